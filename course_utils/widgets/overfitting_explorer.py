"""Few noisy points, many weights: what early stopping would have kept (lesson 07)."""

import copy

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..data import moons
from ..models import mlp
from ..random_state import seeded
from ..training import accuracy, train_step
from .answer_map import answer_map
from .base import Simulation
from .controls import Choice, LogSlider, Slider
from .runs import beyond, loss_of
from .scene import Axis, Band, Line, Panel, Points, Scene, ticks

_EPOCHS, _BATCH = 100, 16
_VAL, _MOST = 200, 80  # points to validate on; to train on, at most
_LOW, _HIGH = 0.01, 3.0  # the losses that the axes show


def kept_epoch(val_losses, patience):
    """(index of the epoch whose weights are kept, index of the last epoch run), as `train` does"""
    best = 0
    for epoch, loss in enumerate(val_losses):
        if loss < val_losses[best]:
            best = epoch
        elif epoch - best >= patience:
            return best, epoch
    return best, len(val_losses) - 1


class OverfittingExplorer(Simulation):
    """A whole run of 100 epochs; the patience then decides where it would have been stopped."""

    name = "overfitting_explorer"
    controls = {
        "patience": Slider("patience", 1, 50, 5, live=True),
        "look": Choice("map of", ("kept epoch", "best epoch", "last epoch"), "kept epoch", True),
        "points": Slider("training points", 10, _MOST, 40),
        "noise": Slider("noise of the points", 0.0, 0.6, 0.3, step=0.05),
        "width": Slider("hidden units", 1, 128, 64),
        "lr": LogSlider("learning rate", 0.01, 1, 0.2),
        "seed": Slider("seed", 0, 99, 3),
    }
    size = (11.0, 4.2)

    def reset(self):
        values = self.values
        X, y = moons(_VAL + _MOST, noise=values["noise"], seed=values["seed"])
        self.val = X[:_VAL], y[:_VAL]
        self.X, self.y = X[_VAL:][: values["points"]], y[_VAL:][: values["points"]]
        with seeded(values["seed"]):
            self.model = mlp(2, values["width"], 2)
        generator = torch.Generator().manual_seed(values["seed"])
        parameters, lr = self.model.parameters(), values["lr"]
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=True)
        record, self.states = [], []
        for _ in range(_EPOCHS):
            for rows in torch.randperm(len(self.X), generator=generator).split(_BATCH):
                train_step(self.model, self.X[rows], self.y[rows], cross_entropy, optimizer)
            losses = loss_of(self.model, self.X, self.y), loss_of(self.model, *self.val)
            with torch.no_grad():
                record.append((*losses, accuracy(self.model(self.val[0]), self.val[1])))
            self.states.append(copy.deepcopy(self.model.state_dict()))
        self.train_losses, self.val_losses, self.val_accs = np.array(record).T
        self.best = int(np.nan_to_num(self.val_losses, nan=np.inf).argmin())

    def scene(self):
        patience = self.values["patience"]
        kept, last = kept_epoch(self.val_losses, patience)
        epochs = np.arange(1, _EPOCHS + 1)
        rest = [last + 2, _EPOCHS + 1]
        marks = [
            Band(rest, [_LOW] * 2, [_HIGH] * 2, label="not run any more"),
            Line(epochs, self.train_losses, "blue", label="training", edge=True),
            Line(epochs, self.val_losses, "vermillion", "--", "validation", edge=True),
            Points([kept + 1], self.val_losses[[kept]], "vermillion", "o", 12, "kept", edge=True),
            Points([self.best + 1], self.val_losses[[self.best]], "ink", "v", 12, "best", True, edge=True),
        ]  # fmt: skip
        end = f"lets all {_EPOCHS} epochs run"
        if last < _EPOCHS - 1:
            end = f"stops after epoch {last + 1}"
        looks = {"kept epoch": kept, "best epoch": self.best, "last epoch": _EPOCHS - 1}
        self.model.load_state_dict(self.states[looks[self.values["look"]]])
        title = "training points and answers"
        y = Axis(_LOW, _HIGH, "", True, ticks(0.01, 0.03, 0.1, 0.3, 1, 3))
        return Scene(
            [
                Panel(marks, Axis(0, _EPOCHS + 1, "epoch"), y, "loss", 1.5),
                answer_map(self.model, self.X, self.y, title, margin=0.3),
            ],
            f"Patience {patience} {end} and keeps epoch {kept + 1}: validation loss "
            f"{self._at(kept)}. Best of the whole run: epoch {self.best + 1}, {self._at(self.best)}"
            f". At the end: {self._at(-1)}; training loss {self.train_losses[-1]:.3f}."
            f"{beyond(self.train_losses, self.val_losses, high=_HIGH)}",
        )

    def _at(self, epoch):
        return f"{self.val_losses[epoch]:.3f} (accuracy {self.val_accs[epoch]:.0%})"
