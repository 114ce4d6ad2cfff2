"""The same training twice, with `zero_grad` and without it (lesson 05)."""

import math
from functools import partial

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..loaders import batches_of
from ..models import mlp
from ..random_state import seeded
from .base import Simulation
from .controls import Choice, LogSlider, Slider
from .runs import DATA, OPTIMIZERS, loss_of, shuffled
from .scene import Axis, Line, Panel, Scene, doubled, powers_of_ten

# Noisy, so that no run can end at a loss of zero
_DATA = DATA | {name: partial(DATA[name], noise=0.2) for name in ("moons", "circles")}
_OPTIMIZERS = OPTIMIZERS | {"SGD, momentum 1.0": partial(torch.optim.SGD, momentum=1.0)}
_LOWEST = 1e-4  # what lies below this is left out of the picture
_LOOKS = {"with zero_grad": ("blue", "-"), "without": ("vermillion", "--")}


class ZeroGradComparison(Simulation):
    """Two equal models on equal batches; one loop clears the gradients, the other forgets to."""

    name = "zero_grad_comparison"
    controls = {
        "optimizer": Choice("optimizer", tuple(_OPTIMIZERS), "SGD"),
        "lr": LogSlider("learning rate", 0.0001, 10, 0.1, live=True),
        "batch_size": Slider("batch size", 1, 400, 64),
        "data": Choice("data", tuple(_DATA), "moons"),
        "seed": Slider("seed", 0, 99, 0),
    }
    size = (10.0, 4.0)
    preview_steps = 150

    def reset(self):
        values = self.values
        self.X, self.y = _DATA[values["data"]](400, seed=values["seed"])
        self.runs = []  # (model, optimizer, its record: rows of (loss over all data, norm of .grad))
        for _ in _LOOKS:
            with seeded(values["seed"]):
                model = mlp(2, 32, 2)
            optimizer = _OPTIMIZERS[values["optimizer"]](model.parameters(), lr=values["lr"])
            self.runs.append((model, optimizer, []))
        loader = shuffled(self.X, self.y, values["batch_size"], values["seed"])
        self.batches = batches_of(loader)
        self.steps = 0
        self._measure()

    def change(self, name):
        for _, optimizer, _ in self.runs:
            optimizer.param_groups[0]["lr"] = self.values["lr"]

    def step(self):
        xb, yb = next(self.batches)
        for clear, (model, optimizer, _) in zip((True, False), self.runs, strict=True):
            if clear:
                optimizer.zero_grad()
            loss = cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        self.steps += 1
        self._measure()

    def _measure(self):
        for model, _, record in self.runs:
            gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            norm = torch.cat(gradients).norm().item() if gradients else math.nan
            record.append((loss_of(model, self.X, self.y), norm))

    def scene(self):
        records = np.array([record for _, _, record in self.runs])  # [2, steps + 1, 2]
        steps = np.arange(self.steps + 1)
        panels = []
        for column, title in enumerate(("loss, all points", "norm of .grad at step()")):
            curves = [
                Line(steps, record[:, column], color, dash, name)
                for record, (name, (color, dash)) in zip(records, _LOOKS.items(), strict=True)
            ]
            low, high = powers_of_ten(records[:, :, column], _LOWEST, low=0.5)
            x = Axis(0, doubled(100, self.steps), "step")
            panels.append(Panel(curves, x, Axis(low, high, log=True), title))
        words = []
        for name, record in zip(_LOOKS, records, strict=True):
            loss, norm = record[-1]
            now = f"loss {loss:.3g}" if math.isfinite(loss) else f"the loss has become {loss}"
            below = " (below the picture)" if loss < _LOWEST else ""
            moved = f", gradient norm {norm:.3g}" if self.steps else ""
            words.append(f"{name} {now}{below}, lowest {np.nanmin(record[:, 0]):.3g}{moved}")
        sentence = f"Step {self.steps}, {self.values['optimizer']}: {'; '.join(words)}."
        return Scene(panels, sentence)
