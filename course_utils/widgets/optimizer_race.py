"""Three optimizers on the same surface, from the same point (lesson 04)."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from contourpy import contour_generator

from .base import Simulation
from .controls import Choice, LogSlider, Slider
from .scene import Axis, Line, Panel, Points, Scene, doubled


class Surface(NamedTuple):
    """A loss of two numbers; for each axis the range to show; its lowest point."""

    loss: Callable
    x: tuple
    y: tuple
    lowest: tuple


SURFACES = {
    "bowl": Surface(lambda x, y: x**2 + y**2, (-3, 3), (-2, 2), (0, 0)),
    "ravine": Surface(lambda x, y: (x**2 + 50 * y**2) / 2, (-4.5, 2), (-1.8, 1.8), (0, 0)),
    "saddle": Surface(lambda x, y: x**2 - y**2 + y**4 / 4, (-2.5, 2.5), (-2.2, 2.2), (0, 2**0.5)),
    "Rosenbrock": Surface(
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2, (-2, 2), (-1, 3), (1, 1)
    ),
}
OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "momentum 0.9": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "Adam": torch.optim.Adam,
}
_LOOKS = (("blue", "-", "o"), ("vermillion", "--", "^"), ("green", ":", "s"))
_FAR = 1e6  # a runner beyond this has left for good


class OptimizerRace(Simulation):
    """Real torch.optim optimizers; each takes one step at a time on a surface of two numbers."""

    name = "optimizer_race"
    controls = {
        "surface": Choice("surface", tuple(SURFACES), "ravine"),
        "lr": LogSlider("lr of SGD and momentum", 0.0001, 1, 0.03),
        "adam_lr": LogSlider("lr of Adam", 0.001, 1, 0.1),
        "start_x": Slider("start, from left to right", 0.0, 1.0, 0.08, step=0.01),
        "start_y": Slider("start, from below to above", 0.0, 1.0, 0.92, step=0.01),
    }
    size = (10.0, 4.6)
    seconds_a_frame = 0.0  # one step, slow enough to follow
    preview_steps = 40

    def reset(self):
        self.surface = SURFACES[self.values["surface"]]
        start = [
            low + self.values[name] * (high - low)
            for name, (low, high) in (("start_x", self.surface.x), ("start_y", self.surface.y))
        ]
        self.runners = {}
        for name, make in OPTIMIZERS.items():
            point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
            lr = self.values["adam_lr" if name == "Adam" else "lr"]
            self.runners[name] = point, make([point], lr=lr), [start]
        self.steps = 0

    def step(self):
        for point, optimizer, path in self.runners.values():
            if not point.abs().max() < _FAR:
                continue
            optimizer.zero_grad()
            self.surface.loss(*point).backward()
            optimizer.step()
            path.append(point.tolist())
        self.steps += 1

    def scene(self):
        (x0, x1), (y0, y1) = self.surface.x, self.surface.y
        marks, curves, words = [*_contours(self.values["surface"])], [], []
        lowest = self.surface.loss(*torch.tensor(self.surface.lowest, dtype=torch.float64))
        runners = zip(self.runners.items(), _LOOKS, strict=True)
        for (name, (_, _, path)), (color, dash, marker) in runners:
            points = torch.tensor(path, dtype=torch.float64)
            loss = (self.surface.loss(*points.T) - lowest).abs()
            marks.append(Line(*points.T, color, dash, name, width=1.6))
            marks.append(Points(*points[-1:].T, color, marker, 11))
            curves.append(Line(range(len(loss)), loss.clamp(min=1e-9), color, dash, name))
            gone = not points[-1].abs().max() < _FAR
            words.append(f"{name} has run away" if gone else f"{name} at {loss[-1]:.2g}")
        across = Axis(x0, x1, "x (+ the lowest point)")
        steps, height = Axis(0, doubled(100, self.steps), "step"), Axis(1e-8, 1e4, log=True)
        return Scene(
            [
                Panel(marks, across, Axis(y0, y1), "the surface, seen from above", 1.5),
                Panel(curves, steps, height, "loss above the lowest"),
            ],
            f"Step {self.steps}, loss above the lowest: {', '.join(words)}.",
        )


@cache
def _contours(name):
    """Lines of equal loss, and the lowest point."""
    surface = SURFACES[name]
    x, y = (torch.linspace(*ends, 120, dtype=torch.float64) for ends in (surface.x, surface.y))
    height = surface.loss(*torch.meshgrid(x, y, indexing="xy"))
    height = (height - height.min() + 0.01).log().numpy()  # or the walls would hide the valley
    found = contour_generator(x.numpy(), y.numpy(), height)
    lines = []
    for level in np.linspace(height.min(), height.max(), 16)[1:-1]:
        for line in found.lines(level):
            lines += [line, [[np.nan, np.nan]]]
    x, y = surface.lowest
    contours = Line(*np.concatenate(lines).T, "line", width=1.2)
    return contours, Points([x], [y], "ink", "P", 11)
