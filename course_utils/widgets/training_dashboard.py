"""Watch a two-layer network learn to separate two classes (lesson 05)."""

import math

import numpy as np
import torch
from torch import nn

from ..data import batches_of, circles, moons, spiral, tensor_loader, xor
from ..devices import seeded
from ..models import mlp
from ..plotting import BLUE, VERMILLION
from ..training import accuracy, train_step
from .answer_map import AnswerMap
from .base import Simulation
from .controls import Choice, LogSlider, Slider

DATA = {"moons": moons, "circles": circles, "xor": xor, "spiral": spiral}
OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "SGD, momentum 0.9": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "AdamW": torch.optim.AdamW,
}


class TrainingDashboard(Simulation):
    """Training, one step at a time: the map of answers, both losses, and where it stands."""

    name = "training_dashboard"
    controls = {
        "data": Choice("data", tuple(DATA), "moons"),
        "lr": LogSlider("learning rate", 0.0001, 10, 0.1, live=True),
        "batch_size": Slider("batch size", 1, 200, 20),
        "optimizer": Choice("optimizer", tuple(OPTIMIZERS), "SGD"),
        "width": Slider("hidden units", 1, 64, 16),
        "seed": Slider("seed", 0, 99, 0),
    }
    buttons = {"Explode": "explode"}
    size = (10.0, 4.2)
    preview_steps = 100

    def reset(self):
        values = self.values
        X, y = DATA[values["data"]](300, seed=values["seed"])
        self.X, self.y = X[:200], y[:200]
        self.val = X[200:], y[200:]
        with seeded(values["seed"]):
            self.model = mlp(2, values["width"], 2)
        self.loss_fn = nn.CrossEntropyLoss()
        self.optimizer = OPTIMIZERS[values["optimizer"]](self.model.parameters(), lr=values["lr"])
        self.loader = tensor_loader(
            self.X,
            self.y,
            batch_size=values["batch_size"],
            shuffle=True,
            generator=torch.Generator().manual_seed(values["seed"]),
        )
        self.batches = batches_of(self.loader)
        self.steps = 0
        self.record = []  # (epoch, training loss, validation loss)
        self._measure()

    def change(self, name):
        for group in self.optimizer.param_groups:
            group["lr"] = self.values["lr"]

    def explode(self):
        """A learning rate of 10, in the run that is going on."""
        self.set(lr=10)

    def step(self):
        train_step(self.model, *next(self.batches), self.loss_fn, self.optimizer)
        self.steps += 1
        self._measure()

    def _measure(self):
        with torch.no_grad():
            train_loss = self.loss_fn(self.model(self.X), self.y).item()
            val_logits = self.model(self.val[0])
        self.record.append(
            (
                self.steps / len(self.loader),
                train_loss,
                self.loss_fn(val_logits, self.val[1]).item(),
            )
        )
        self.val_acc = accuracy(val_logits, self.val[1])

    def draw(self, figure):
        map_ax, self.loss_ax = figure.subplots(1, 2, width_ratios=[1, 1.3])
        self.map = AnswerMap(map_ax, "answers (paler: less certain)", point_size=6)
        (self.train_line,) = self.loss_ax.plot([], [], color=BLUE, label="training")
        (self.val_line,) = self.loss_ax.plot([], [], "--", color=VERMILLION, label="validation")
        self.loss_ax.set(xlabel="epoch", ylabel="loss", yscale="log")
        self.loss_ax.legend(loc="upper right")
        self._shown = None
        return [*self.map.artists, self.train_line, self.val_line]

    def _fit_axes(self):
        """New limits when the data has changed or the curve has left its axes."""
        epochs, *losses = np.array(self.record).T
        finite = np.concatenate(losses)[np.isfinite(np.concatenate(losses))]
        right = 2.0 ** math.ceil(math.log2(max(epochs[-1], 5)))
        low = 10.0 ** math.floor(math.log10(max(finite.min(initial=1.0), 1e-6)))
        high = 10.0 ** math.ceil(math.log10(finite.max(initial=1.0)))
        wanted = (self.values["data"], self.values["seed"], right, low, high)
        if wanted == self._shown:
            return
        self._shown = wanted
        self.loss_ax.set(xlim=(0, right), ylim=(low, high))
        self.map.fit(self.X, self.y, margin=0.2)
        self.invalidate()

    def paint(self):
        self._fit_axes()
        epochs, train_losses, val_losses = np.array(self.record).T
        self.train_line.set_data(epochs, train_losses)
        self.val_line.set_data(epochs, val_losses)
        self.map.paint(self.model)
        return (
            f"Epoch {epochs[-1]:.1f}, step {self.steps}: training loss {train_losses[-1]:.3f}, "
            f"validation loss {val_losses[-1]:.3f}, validation accuracy {self.val_acc:.0%}."
        )
