"""Watch a two-layer network learn to separate two classes (lesson 05)."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..loaders import batches_of
from ..models import mlp
from ..modes import evaluating
from ..random_state import seeded
from ..training import accuracy, train_step
from .answer_map import answer_map, plane
from .base import Simulation
from .controls import Choice, LogSlider, Slider
from .runs import DATA, OPTIMIZERS, loss_of, shuffled
from .scene import Axis, Box, Heat, Line, Panel, Scene, Text, doubled, powers_of_ten

_SHOWN = 16  # hidden units at most whose maps have room
_GRID = 16  # points on each side of their maps


class TrainingDashboard(Simulation):
    """Training, one step at a time: the map of answers, both losses, and what each unit does."""

    name = "training_dashboard"
    controls = {
        "data": Choice("data", tuple(DATA), "moons"),
        "lr": LogSlider("learning rate", 0.0001, 10, 0.1, live=True),
        "batch_size": Slider("batch size", 1, 200, 20),
        "optimizer": Choice("optimizer", tuple(OPTIMIZERS), "SGD"),
        "width": Slider("hidden units (0: none)", 0, 64, 16),
        "dropout": Slider("dropout", 0.0, 0.8, 0.0, step=0.1),
        "seed": Slider("seed of the data", 0, 99, 0),
        "weights": Slider("seed of the weights", 0, 99, 0),
    }
    buttons = {"Explode": "explode"}
    frames = 24  # each has many maps
    size = (10.0, 6.4)
    preview_steps = 100

    def reset(self):
        values = self.values
        X, y = DATA[values["data"]](300, seed=values["seed"])
        self.X, self.y = X[:200], y[:200]
        self.val = X[200:], y[200:]
        widths = [2, values["width"], 2] if values["width"] else [2, 2]
        with seeded(values["weights"]):
            self.model = mlp(*widths, dropout=values["dropout"])
        self.optimizer = OPTIMIZERS[values["optimizer"]](self.model.parameters(), lr=values["lr"])
        self.loader = shuffled(self.X, self.y, values["batch_size"], values["seed"])
        self.batches = batches_of(self.loader)
        self.steps = 0
        self.record = []  # (epoch, training loss, validation loss)
        self._measure()

    def change(self, name):
        for group in self.optimizer.param_groups:
            group["lr"] = self.values["lr"]

    def explode(self):
        """A learning rate of 10, in the run that is going on."""
        self._apply({"lr": 10})

    def step(self):
        with seeded(self.steps):  # for the dice of dropout
            train_step(self.model, *next(self.batches), cross_entropy, self.optimizer)
        self.steps += 1
        self._measure()

    def _measure(self):
        with evaluating(self.model), torch.no_grad():
            losses = loss_of(self.model, self.X, self.y), loss_of(self.model, *self.val)
            self.val_acc = accuracy(self.model(self.val[0]), self.val[1])
        self.record.append((self.steps / len(self.loader), *losses))

    def scene(self):
        epochs, *losses = np.array(self.record).T
        x = Axis(0, doubled(5, epochs[-1]), "epoch")
        curves = [
            Line(epochs, losses[0], "blue", label="training"),
            Line(epochs, losses[1], "vermillion", "--", label="validation"),
        ]
        panels = [
            answer_map(self.model, self.X, self.y, "answers (paler: less certain)"),
            Panel(curves, x, Axis(*powers_of_ten(np.ravel(losses), 1e-6), log=True), "loss", 1.3),
        ]
        dead = ""
        if self.values["width"]:
            with torch.no_grad():
                is_dead = ~(self.model[:2](self.X) > 0).any(dim=0)
            if is_dead.any():
                dead = f" Dead hidden units: {is_dead.sum()} of {len(is_dead)}."
            if len(is_dead) <= _SHOWN:
                panels.append(self._units(is_dead))
        return Scene(
            panels,
            f"Epoch {epochs[-1]:.1f}, step {self.steps}: training loss {losses[0][-1]:.3f}, "
            f"validation loss {losses[1][-1]:.3f}, validation accuracy {self.val_acc:.0%}.{dead}",
        )

    def _units(self, is_dead):
        """What each hidden unit gives for every point of the plane, and the weights before and
        after it. A unit's map has the colour of the class that it speaks for."""
        first, last = self.model[0], self.model[-1]
        _, _, grid = plane(self.X, 0.2, _GRID)
        with torch.no_grad():
            active = self.model[:2](grid).T.reshape(-1, _GRID, _GRID).numpy()
            votes = (last.weight[1] - last.weight[0]).numpy()
            into, out = first.weight.numpy(), last.weight.numpy()
        n = len(active)
        middle, half = (n - 1) / 2, min(0.4, 0.4 * n / 8)
        apart = max(n, 8) / 5
        ends = [middle - apart, middle + apart]  # where the two inputs and the two outputs stand
        marks = []
        for unit in range(n):
            for end in (0, 1):
                marks.append(_weight((ends[end], unit), (0.84, 0.68), into[unit, end], into))
                marks.append(_weight((unit, ends[end]), (0.32, 0.16), out[end, unit], out))
        for unit in range(n):
            most = active[unit].max() or 1.0
            side = np.sign(votes[unit]) * active[unit] / most
            place = (unit - half, unit + half), (0.33, 0.67)
            marks.append(Heat(side, *place, low=-1, high=1))
            look = {"dash": ":", "text": "dead"} if is_dead[unit] else {}
            marks.append(Box(unit, 0.5, width=2 * half, height=0.34, fill="none", **look))
        for end, place in enumerate(ends):
            marks.append(Text(place, 0.91, ("first feature", "second feature")[end]))
            color = ("blue", "vermillion")[end]
            marks.append(Text(place, 0.08, f"logit of class {end}", color))
        x = Axis(-0.5 - max(0, 8 - n) / 2, n - 0.5 + max(0, 8 - n) / 2, drawn=False)
        title = "where each hidden unit is active · lines: weights, dashed if negative"
        return Panel(marks, x, Axis(drawn=False), title, least=480, height=0.85, row=True)


def _weight(xs, ys, weight, all_of_them):
    most = np.nanmax(np.abs(all_of_them))
    width = 0.3 + 4 * abs(weight) / most if np.isfinite(weight) and most > 0 else 0.3
    color, dash = ("green", "-") if weight > 0 else ("purple", "--")
    return Line(xs, ys, color, dash, width=round(width, 1))
