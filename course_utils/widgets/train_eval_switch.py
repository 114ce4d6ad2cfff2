"""One trained model, the same batch again and again: what each of the two switches does (05)."""

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..devices import seeded
from ..plotting import BLUE, COLORS, GREY, VERMILLION
from ..training import train_step
from .base import Simulation
from .controls import Choice, Slider, Switch

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
    preview_steps = 15

    def reset(self):
        values = self.values
        X, y = moons(464, noise=0.2, seed=values["seed"])
        held_out = X[400:], y[400:]
        class_0 = y[400:] == 0
        self.batches = {
            "both classes": held_out,
            "class 0 only": (held_out[0][class_0], held_out[1][class_0]),
        }
        self.loss_fn = nn.CrossEntropyLoss()
        with seeded(values["seed"]):
            norm = values["layer"] == "BatchNorm"
            middle = nn.BatchNorm1d(_UNITS) if norm else nn.Dropout(values["dropout"])
            self.model = nn.Sequential(
                nn.Linear(2, _UNITS), nn.ReLU(), middle, nn.Linear(_UNITS, 2)
            )
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.02)
            for _ in range(5):
                for xb, yb in zip(X[:400].split(40), y[:400].split(40), strict=True):
                    train_step(self.model, xb, yb, self.loss_fn, optimizer)
        self.means = middle.running_mean if norm else torch.zeros(0)
        self.trained = {}  # the loss of each batch in eval mode, before anybody touched a switch
        self.model.eval()
        with torch.no_grad():
            for name, (X, y) in self.batches.items():
                self.trained[name] = self.loss_fn(self.model(X), y).item()
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
        loss = self.loss_fn(self.logits.detach(), y).item()
        self.record.append((loss, (train, self.values["batch"]), self.means.tolist()))

    def draw(self, figure):
        self.ax, self.means_ax = figure.subplots(1, 2, width_ratios=[1.4, 1])
        self.dots = [
            self.ax.plot([], [], marker, color=color, label=f"pass in {mode}")[0]
            for mode, marker, color in zip(_MODES, "os", (VERMILLION, BLUE), strict=True)
        ]
        label = "eval(), right after training"
        (self.line,) = self.ax.plot([], [], ls=":", color=GREY, label=label)
        self.ax.set(xlabel="pass", ylabel="loss of the batch")
        figure.legend(handles=[*self.dots, self.line], loc="outside lower center", ncols=3)
        self.curves = [
            self.means_ax.plot([], [], "-" if i % 2 else "--", lw=1.5, color=COLORS[i % 6])[0]
            for i in range(_UNITS)
        ]
        self.means_ax.set(xlabel="pass", title="running means of BatchNorm")
        self.note = self.means_ax.text(
            0.5, 0.5, "Dropout keeps\nno running statistics", ha="center", va="center",
            transform=self.means_ax.transAxes,
        )  # fmt: skip
        self.graph = self.ax.text(0.02, 0.97, "", va="top", transform=self.ax.transAxes)
        self._shown = None
        return [*self.dots, self.line, *self.curves, self.note, self.graph]

    def _fit_axes(self, losses, means):
        top = max(losses.max(initial=0), *self.trained.values())
        right = max(30, 30 * -(-len(losses) // 30))
        height = 0.2 * np.ceil(top * 1.25 / 0.2)
        low, high = np.floor(means.min(initial=0.0)), np.ceil(means.max(initial=1.0))
        if self._shown != (wanted := (right, height, low, high)):
            self._shown = wanted
            self.ax.set(xlim=(0, right), ylim=(0, height))
            self.means_ax.set(xlim=(0, right), ylim=(low, high))
            self.invalidate()

    def paint(self):
        losses = np.array([loss for loss, _, _ in self.record])
        train = np.array([mode for _, (mode, _), _ in self.record], dtype=bool)
        means = np.array([self.start.tolist(), *(m for _, _, m in self.record)])
        self._fit_axes(losses, means)
        passes = np.arange(1, len(losses) + 1)
        for dots, these in zip(self.dots, (train, ~train), strict=True):
            dots.set_data(passes[these], losses[these])
        trained = self.trained[self.values["batch"]]
        self.line.set_data([0, self._shown[0]], [trained, trained])
        norm = bool(len(self.means))
        self.note.set_visible(not norm)
        for i, curve in enumerate(self.curves):
            curve.set_data(range(len(means)), means[:, i] if norm else [np.nan] * len(means))
        if self.logits is None:
            self.graph.set_text("")
            return f"No pass yet. In eval mode, right after training: loss {trained:.4f}."
        graph = f"output.requires_grad: {self.logits.requires_grad}"
        self.graph.set_text(graph)
        kind = self.record[-1][1]
        same = [loss for loss, its_kind, _ in self.record if its_kind == kind][-10:]
        moved = (self.means - self.start).abs().max().item() if norm else 0
        running = f" Since training the running means have moved by up to {moved:.3g}."
        spread = f"{min(same):.4f} to {max(same):.4f}" if len(same) > 1 else "this is the first"
        return (
            f"Pass {len(losses)}, {self.values['mode']}: loss {losses[-1]:.4f} (the last passes of "
            f"this kind: {spread}); right after training, in eval mode, {trained:.4f}. "
            f"{graph}.{running if norm else ''}"
        )
