"""Three orders of the same rows, and the printed loss that hides what they do (lesson 06)."""

import math

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..devices import seeded
from ..models import mlp
from ..plotting import BLUE, GREEN, VERMILLION
from ..training import accuracy, train_step
from .base import Simulation
from .canvas import within
from .controls import LogSlider, Slider

_LOOKS = {
    "sorted": (VERMILLION, "--", "^"),
    "reshuffled": (BLUE, "-", "o"),
    "fixed": (GREEN, ":", "s"),  # drawn on top of the line that it goes along with
}
_LOW, _HIGH = 0.003, 10.0  # the losses that the axes show


class ShufflingComparison(Simulation):
    """Three models from the same start, whose batches differ in nothing but their order."""

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
        self.data, self.val = (X[:1600], y[:1600]), (X[1600:], y[1600:])
        self.loss_fn = nn.CrossEntropyLoss()
        self.generator = torch.Generator().manual_seed(seed)
        self.orders = {
            "sorted": self.data[1].argsort(stable=True),
            "fixed": torch.randperm(1600, generator=self.generator),
        }
        self.runs = {}
        for name in _LOOKS:
            with seeded(seed):  # the same start for all
                model = mlp(2, 64, 2)
            self.runs[name] = (
                model, torch.optim.SGD(model.parameters(), lr=self.values["lr"], fused=True),
            )  # fmt: skip
        self.steps_an_epoch = math.ceil(1600 / self.values["batch_size"])
        self.batch_losses = {name: [] for name in _LOOKS}
        self.fair_losses = {name: [self._fair_loss(name)] for name in _LOOKS}
        self.printed = {}  # of the last full epoch: name -> (printed, fair)

    def step(self):
        X, y = self.data
        place = len(self.fair_losses["sorted"]) - 1
        if place % self.steps_an_epoch == 0:
            self.orders["reshuffled"] = torch.randperm(1600, generator=self.generator)
        first = place % self.steps_an_epoch * self.values["batch_size"]
        for name, (model, optimizer) in self.runs.items():
            rows = self.orders[name][first : first + self.values["batch_size"]]
            loss = train_step(model, X[rows], y[rows], self.loss_fn, optimizer)
            self.batch_losses[name].append(loss.item())
            self.fair_losses[name].append(self._fair_loss(name))
        if (place + 1) % self.steps_an_epoch == 0:
            for name, losses in self.batch_losses.items():
                mean = np.mean(losses[-self.steps_an_epoch :])
                self.printed[name] = mean, self.fair_losses[name][-1]

    def _fair_loss(self, name):
        with torch.no_grad():
            return self.loss_fn(self.runs[name][0](self.data[0]), self.data[1]).item()

    def draw(self, figure):
        self.ax, self.end_ax = figure.subplots(1, 2, width_ratios=[1.9, 1])
        ticks = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]
        for ax in (self.ax, self.end_ax):
            ax.set(yscale="log", ylim=(_LOW, _HIGH), yticks=ticks, yticklabels=map(str, ticks))
            ax.minorticks_off()
        self.lines, self.ends = {}, {}
        for i, (name, (color, style, marker)) in enumerate(_LOOKS.items()):
            width = 4 if name == "fixed" else 2
            (self.lines[name],) = self.ax.plot([], [], color=color, ls=style, lw=width, label=name)
            mark = {"color": color, "ms": 11, "mew": 2, "ls": ""}
            left, right = i - 0.17, i + 0.17
            link = self.end_ax.plot([left, right], [1, 1], color=color, lw=1.5)[0]
            printed = self.end_ax.plot([left], [1], marker, mfc="white", **mark)[0]
            self.ends[name] = link, printed, self.end_ax.plot([right], [1], marker, **mark)[0]
        self.ax.set(xlabel="epoch", title="loss on all training rows, after each step")
        self.ax.legend(loc="upper right", ncols=3, fontsize="small")
        self.ax.xaxis.get_major_locator().set_params(integer=True)
        self.end_ax.set(title="last full epoch", xlim=(-0.5, 2.5), xticks=[0, 1, 2])
        self.end_ax.set(xticklabels=list(_LOOKS), xlabel="hollow: printed, full: fair")
        self._shown = None
        return [*self.lines.values(), *(artist for three in self.ends.values() for artist in three)]

    def paint(self):
        epochs = (len(self.fair_losses["sorted"]) - 1) / self.steps_an_epoch
        right = 5 * 2 ** math.ceil(math.log2(max(epochs / 5, 1)))
        if self._shown != right:
            self._shown = right
            self.ax.set_xlim(0, right)
            self.invalidate()
        words, beyond = [], False
        for name, line in self.lines.items():
            losses = np.array(self.fair_losses[name])
            beyond = beyond or not (losses < _HIGH).all()
            line.set_data(np.arange(len(losses)) / self.steps_an_epoch, within(losses, _LOW, _HIGH))
            link, *marks = self.ends[name]
            for artist in (link, *marks):
                artist.set_visible(name in self.printed)
            if name in self.printed:
                link.set_ydata(within(self.printed[name], _LOW, _HIGH))
                for mark, loss in zip(marks, self.printed[name], strict=True):
                    mark.set_ydata([within(loss, _LOW, _HIGH)])
                printed, fair = self.printed[name]
                words.append(f"{name} prints {printed:.3f}, fair is {fair:.3f}")
            else:
                words.append(f"{name} {losses[-1]:.3f}")
        if self.printed:
            said = f"Mean of the batches of the last full epoch: {'; '.join(words)}."
        else:
            said = f"Loss on all training rows: {', '.join(words)}."
        scores = ", ".join(f"{name} {self._val_accuracy(name):.1%}" for name in _LOOKS)
        return (
            f"Epoch {epochs:.1f}. {said} Validation accuracy now: {scores}."
            f"{' Some losses lie beyond the axes.' if beyond else ''}"
        )

    def _val_accuracy(self, name):
        with torch.no_grad():
            return accuracy(self.runs[name][0](self.val[0]), self.val[1])
