"""Three optimizers on the same surface, from the same point (lesson 04)."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from ..plotting import COLORS, MARKERS
from .base import Simulation
from .controls import Choice, LogSlider, Slider


class Surface(NamedTuple):
    """A loss of two numbers; for each axis the range to show; its lowest point; where to start."""

    loss: Callable
    x: tuple
    y: tuple
    lowest: tuple
    start: tuple


SURFACES = {
    "bowl": Surface(lambda x, y: x**2 + y**2, (-3, 3), (-2, 2), (0, 0), (-2.5, 1.5)),
    "ravine": Surface(
        lambda x, y: (x**2 + 50 * y**2) / 2, (-4.5, 2), (-1.8, 1.8), (0, 0), (-4.0, 1.5)
    ),
    "saddle": Surface(
        lambda x, y: x**2 - y**2 + y**4 / 4, (-2.5, 2.5), (-2.2, 2.2), (0, 2**0.5), (-2.0, 0.02)
    ),
    "Rosenbrock": Surface(
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2, (-2, 2), (-1, 3), (1, 1), (-1.2, 1.0)
    ),
}
OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "momentum 0.9": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "Adam": torch.optim.Adam,
}
_LINES = ("-", "--", ":")
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

    def draw(self, figure):
        self.ax, self.loss_ax = figure.subplots(1, 2, width_ratios=[1.5, 1])
        self.paths, self.heads, self.losses = [], [], []
        for i, name in enumerate(OPTIMIZERS):
            style = {"color": COLORS[i], "ls": _LINES[i]}
            self.paths += self.ax.plot([], [], lw=1.5, **style)
            self.heads += self.ax.plot([], [], MARKERS[i], color=COLORS[i], ms=11, mec="black")
            self.losses += self.loss_ax.plot([], [], label=name, **style)
        self.ax.grid(False)
        self.loss_ax.set(xlabel="step", ylabel="loss above the lowest", yscale="log")
        self.loss_ax.set(ylim=(1e-8, 1e4))
        self.loss_ax.legend(loc="upper right")
        self._shown = None
        return [*self.paths, *self.heads, *self.losses]

    def _draw_surface(self, right):
        """The still part, when the surface or the length of the race has changed."""
        if self._shown == (self.surface, right):
            return
        self._shown = self.surface, right
        for artist in (*self.ax.collections, *self.ax.texts):
            artist.remove()
        (x0, x1), (y0, y1) = self.surface.x, self.surface.y
        x, y = torch.linspace(x0, x1, 120), torch.linspace(y0, y1, 120)
        height = self.surface.loss(*torch.meshgrid(x, y, indexing="xy"))
        height = (height - height.min() + 0.01).log()  # or the walls would hide the valley
        self.ax.contour(
            x.numpy(), y.numpy(), height.numpy(), levels=14, colors="0.75", linewidths=1
        )
        self.ax.text(*self.surface.lowest, "lowest", ha="center", va="center", size=10)
        self.ax.set(xlim=(x0, x1), ylim=(y0, y1), xlabel="x", ylabel="y")
        self.loss_ax.set_xlim(0, right)
        self.invalidate()

    def paint(self):
        self._draw_surface(max(100, 100 * 2 ** ((self.steps - 1) // 100).bit_length()))
        lowest = self.surface.loss(*torch.tensor(self.surface.lowest, dtype=torch.float64))
        words = []
        for (name, (_, _, path)), line, head, curve in zip(
            self.runners.items(), self.paths, self.heads, self.losses, strict=True
        ):
            points = torch.tensor(path, dtype=torch.float64)
            line.set_data(*points.T.numpy())
            head.set_data(*points[-1:].T.numpy())
            loss = (self.surface.loss(*points.T) - lowest).abs()
            curve.set_data(range(len(loss)), loss.clamp(min=1e-9).numpy())
            gone = not points[-1].abs().max() < _FAR
            words.append(f"{name} has run away" if gone else f"{name} {loss[-1]:.2g}")
        return f"Step {self.steps}, loss above the lowest: {', '.join(words)}."
