"""One trained model, the same batch again and again: what each of the two switches does (05)."""

from itertools import cycle

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..data import moons
from ..random_state import seeded
from ..training import train_step
from .base import Simulation
from .controls import Choice, Slider, Switch
from .runs import loss_of
from .scene import COLORS, Axis, Line, Panel, Points, Rule, Scene, Text

_UNITS = 16
_MODES = ("model.train()", "model.eval()")


class TrainEvalSwitch(Simulation):
    """Passes of one batch through a trained model. Nothing is learned any more, no weight moves."""

    name = "train_eval_switch"
    controls = {
        "mode": Choice("mode", _MODES, _MODES[0], live=True),
        "no_grad": Switch("with torch.no_grad()", live=True),
        "layer": Choice("layer in the middle", ("Dropout", "BatchNorm"), "Dropout"),
        "dropout": Slider("p of Dropout", 0.0, 0.9, 0.5, step=0.05),
        "batch": Choice("the batch", ("both classes", "class 0 only"), "both classes", live=True),
        "seed": Slider("seed", 0, 99, 0),
    }
    size = (10.0, 4.2)
    seconds_a_frame = 0.0  # each pass is to be seen
    preview_steps = 15

    def reset(self):
        values = self.values
        X, y = moons(464, noise=0.2, seed=values["seed"])
        X_held, y_held = X[400:], y[400:]
        one = y_held == 0
        self.batches = {
            "both classes": (X_held, y_held),
            "class 0 only": (X_held[one], y_held[one]),
        }
        with seeded(values["seed"]):
            norm = values["layer"] == "BatchNorm"
            middle = nn.BatchNorm1d(_UNITS) if norm else nn.Dropout(values["dropout"])
            first, last = nn.Linear(2, _UNITS), nn.Linear(_UNITS, 2)
            self.model = nn.Sequential(first, nn.ReLU(), middle, last)
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.02)
            for _ in range(5):
                for xb, yb in zip(X[:400].split(40), y[:400].split(40), strict=True):
                    train_step(self.model, xb, yb, cross_entropy, optimizer)
        self.means = middle.running_mean if norm else torch.zeros(0)
        self.model.eval()  # the losses before anybody touched a switch
        self.trained = {name: loss_of(self.model, *rows) for name, rows in self.batches.items()}
        self.record = []  # (loss, (in train mode or not, batch), the running means) of each pass
        self.start = self.means.clone()
        self.logits = None

    def step(self):
        """One more pass; with chance of its own, so that two passes needn't be equal."""
        X, y = self.batches[self.values["batch"]]
        train = self.values["mode"] == _MODES[0]
        self.model.train(train)
        seed = 1000 * self.values["seed"] + len(self.record)
        with seeded(seed), torch.set_grad_enabled(not self.values["no_grad"]):
            self.logits = self.model(X)
        loss = cross_entropy(self.logits.detach(), y).item()
        self.record.append((loss, (train, self.values["batch"]), self.means.tolist()))

    def scene(self):
        losses = np.array([loss for loss, _, _ in self.record])
        train = np.array([mode for _, (mode, _), _ in self.record], dtype=bool)
        passes = np.arange(1, len(losses) + 1)
        trained = self.trained[self.values["batch"]]
        top = max(losses.max(initial=0), *self.trained.values())
        x = Axis(0, max(30, 30 * -(-len(losses) // 30)), "pass")
        height = 0.2 * np.ceil(top * 1.25 / 0.2)
        marks = [
            Points(passes[train], losses[train], "vermillion", label="pass in model.train()"),
            Points(passes[~train], losses[~train], "blue", "s", label="pass in model.eval()"),
            Rule(y=trained, dash=":", label="eval(), after training"),
        ]
        if self.logits is not None:
            graph = f"output.requires_grad: {self.logits.requires_grad}"
            marks.append(Text(0.02 * x.high, 0.95 * height, graph, anchor="start"))
        panels = [Panel(marks, x, Axis(0, height), "loss of the batch", 1.4)]
        if len(self.means):
            panels.append(self._statistics(x))
        if self.logits is None:
            words = f"No pass yet. In eval mode, right after training: loss {trained:.4f}."
            return Scene(panels, words)
        kind = self.record[-1][1]
        same = [loss for loss, its_kind, _ in self.record if its_kind == kind][-10:]
        moved = (self.means - self.start).abs().max().item() if len(self.means) else 0
        running = f" Since training the running means have moved by up to {moved:.3g}."
        spread = f"{min(same):.4f} to {max(same):.4f}" if len(same) > 1 else "this is the first"
        return Scene(
            panels,
            f"Pass {len(losses)}, {self.values['mode']}: loss {losses[-1]:.4f} (the last passes of "
            f"this kind: {spread}); right after training, in eval mode, {trained:.4f}. "
            f"{graph}.{running if len(self.means) else ''}",
        )

    def _statistics(self, x):
        """The running means of BatchNorm, after each pass."""
        means = np.array([self.start.tolist(), *(m for _, _, m in self.record)])
        looks = zip(cycle(COLORS), cycle(["-", "--"]), strict=False)
        passes = range(len(means))
        curves = [
            Line(passes, unit, *look, width=1.5) for unit, look in zip(means.T, looks, strict=False)
        ]
        y = Axis(np.floor(means.min()), np.ceil(means.max(initial=1.0)))
        return Panel(curves, x, y, "running means of BatchNorm")
