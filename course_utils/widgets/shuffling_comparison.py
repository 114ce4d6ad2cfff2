"""Three orders of the same rows, and the printed loss that hides what they do (lesson 06)."""

import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..data import moons
from ..models import mlp
from ..random_state import seeded
from ..training import accuracy, train_step
from .base import Simulation
from .controls import LogSlider, Slider
from .runs import beyond, loss_of
from .scene import Axis, Line, Panel, Points, Scene, doubled, ticks

_LOOKS = {
    "sorted": ("vermillion", "--", "^"),
    "reshuffled": ("blue", "-", "o"),
    "fixed": ("green", ":", "s"),  # drawn on top of the line that it goes along with
}
_ROWS = 1600  # to train on; the other 400 validate
_LOW, _HIGH = 0.003, 10.0  # the losses that the axes show


class ShufflingComparison(Simulation):
    """Three models from the same start, which take the same rows in three orders."""

    name = "shuffling_comparison"
    controls = {
        "lr": LogSlider("learning rate", 0.001, 1, 0.1),
        "batch_size": Slider("batch size", 8, 800, 64),
        "seed": Slider("seed", 0, 99, 0),
    }
    size = (11.0, 4.2)
    preview_steps = 125  # five epochs, as in the lesson

    def reset(self):
        seed = self.values["seed"]
        X, y = moons(2000, noise=0.1, seed=0)
        self.data, self.val = (X[:_ROWS], y[:_ROWS]), (X[_ROWS:], y[_ROWS:])
        self.generator = torch.Generator().manual_seed(seed)
        self.orders = {
            "sorted": self.data[1].argsort(stable=True),
            "fixed": torch.randperm(_ROWS, generator=self.generator),
        }
        self.runs = {}
        for name in _LOOKS:
            with seeded(seed):  # the same start for all
                model = mlp(2, 64, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=self.values["lr"], fused=True)
            self.runs[name] = model, optimizer
        self.steps_an_epoch = math.ceil(_ROWS / self.values["batch_size"])
        self.batch_losses = {name: [] for name in _LOOKS}
        self.fair_losses = {name: [loss_of(self.runs[name][0], *self.data)] for name in _LOOKS}
        self.printed = {}  # of the last full epoch: name -> (printed, fair)

    def step(self):
        X, y = self.data
        place = len(self.fair_losses["sorted"]) - 1
        if place % self.steps_an_epoch == 0:
            self.orders["reshuffled"] = torch.randperm(_ROWS, generator=self.generator)
        first = place % self.steps_an_epoch * self.values["batch_size"]
        for name, (model, optimizer) in self.runs.items():
            rows = self.orders[name][first : first + self.values["batch_size"]]
            loss = train_step(model, X[rows], y[rows], cross_entropy, optimizer)
            self.batch_losses[name].append(loss.item())
            self.fair_losses[name].append(loss_of(model, *self.data))
        if (place + 1) % self.steps_an_epoch == 0:
            for name, losses in self.batch_losses.items():
                mean = np.mean(losses[-self.steps_an_epoch :])
                self.printed[name] = mean, self.fair_losses[name][-1]

    def scene(self):
        epochs = (len(self.fair_losses["sorted"]) - 1) / self.steps_an_epoch
        y = Axis(_LOW, _HIGH, log=True, ticks=ticks(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10))
        curves, ends, words = [], [], []
        for i, (name, (color, dash, marker)) in enumerate(_LOOKS.items()):
            losses = np.array(self.fair_losses[name])
            steps = np.arange(len(losses)) / self.steps_an_epoch
            width = 4 if name == "fixed" else 2
            curves.append(Line(steps, losses, color, dash, name, width, edge=True))
            if name in self.printed:
                printed, fair = self.printed[name]
                left, right = i - 0.17, i + 0.17
                ends += [
                    Line([left, right], [printed, fair], color, width=1.5, edge=True),
                    Points([left], [printed], color, marker, 10, hollow=True, edge=True),
                    Points([right], [fair], color, marker, 11, edge=True),
                ]
                words.append(f"{name} prints {printed:.3f}, fair is {fair:.3f}")
            else:
                words.append(f"{name} {losses[-1]:.3f}")
        if self.printed:
            said = f"Mean of the batches of the last full epoch: {'; '.join(words)}."
        else:
            said = f"Loss on all training rows: {', '.join(words)}."
        scores = ", ".join(f"{name} {self._val_accuracy(name):.1%}" for name in _LOOKS)
        orders = Axis(-0.5, 2.5, "hollow: printed, full: fair", ticks=dict(enumerate(_LOOKS)))
        x = Axis(0, doubled(5, epochs), "epoch")
        fair = Panel(curves, x, y, "loss on all training rows, after each step", 1.9)
        return Scene(
            [fair, Panel(ends, orders, y, "last full epoch")],
            f"Epoch {epochs:.1f}. {said} Validation accuracy now: {scores}."
            f"{beyond(*self.fair_losses.values(), high=_HIGH)}",
        )

    def _val_accuracy(self, name):
        with torch.no_grad():
            return accuracy(self.runs[name][0](self.val[0]), self.val[1])
