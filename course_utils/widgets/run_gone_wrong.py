"""A run that breaks: in one layer the learning rate gets out of hand. Which one? (lesson 00)."""

import math

import numpy as np
import torch
from torch import nn

from ..data import xor
from ..devices import seeded
from ..models import mlp
from ..plotting import COLORS, GREY, MARKERS
from .base import Simulation
from .controls import Choice, Slider

_STEPS = 150
_GROWTH = 1.3  # of the learning rate of one layer, in each step from a certain one on
_TOP = 1e12  # what lies above this is left out of the picture
_LAYERS = ("layer 1", "layer 2", "layer 3", "layer 4")
_NO_ANSWER = "no answer yet"
_LINES = ("-", "--", ":", "-.")


class RunGoneWrong(Simulation):
    """A real run of a 2-32-32-32-1 network on XOR, watched from inside the loop."""

    name = "run_gone_wrong"
    controls = {
        "at": Slider("look at step", 0, _STEPS - 1, 40, live=True),
        "answer": Choice("the layer that grew", (_NO_ANSWER, *_LAYERS), _NO_ANSWER, live=True),
        "seed": Slider("seed", 0, 99, 0),
    }
    size = (11.0, 4.2)

    def reset(self):
        """Train the run; the seed decides its weights, batches, and which layer goes wrong when."""
        chance = torch.Generator().manual_seed(self.values["seed"])
        with seeded(self.values["seed"]):
            model = mlp(2, 32, 32, 32, 1)
        X, y = xor(320, seed=self.values["seed"])
        y = y.float()[:, None]
        layers = [module for module in model if isinstance(module, nn.Linear)]
        self.culprit = torch.randint(len(layers), (), generator=chance).item()
        begin = torch.randint(60, 100, (), generator=chance).item()
        loss_fn = nn.BCEWithLogitsLoss()
        optimizer = torch.optim.SGD(
            [{"params": layer.parameters()} for layer in layers], lr=0.1, momentum=0.9
        )
        record = []
        for step in range(_STEPS):
            rows = torch.randint(len(X), (64,), generator=chance)
            if step >= begin:
                optimizer.param_groups[self.culprit]["lr"] *= _GROWTH
            optimizer.zero_grad()
            loss = loss_fn(model(X[rows]), y[rows])
            loss.backward()
            weights = [layer.weight.detach().norm().item() for layer in layers]
            gradients = [layer.weight.grad.norm().item() for layer in layers]
            record.append([loss.item(), *weights, *gradients])
            optimizer.step()
        self.losses, self.weights, self.gradients = np.split(np.array(record), [1, 5], axis=1)
        self.losses = self.losses[:, 0]
        with np.errstate(invalid="ignore"):  # infinite weights at the end of some runs
            self.growth = self.weights / self.weights[np.maximum(np.arange(_STEPS) - 10, 0)]
        self.tripled = int((self.growth >= 3).any(axis=1).argmax())  # the first step with one

    def draw(self, figure):
        self.axes = figure.subplots(1, 3)
        self.loss_line = self.axes[0].plot([], [], color="black", lw=1.5)
        self.cursors = [ax.plot([], [], color=GREY, lw=1.5)[0] for ax in self.axes]
        self.curves = [
            ax.plot([], [], _LINES[i], color=COLORS[i], marker=MARKERS[i], label=name)[0]
            for ax in self.axes[1:]
            for i, name in enumerate(_LAYERS)
        ]
        titles = ("loss of the batch", "norm of the weights", "norm of the gradient")
        for ax, title in zip(self.axes, titles, strict=True):
            ax.set(xlabel="step", title=title, yscale="log", xlim=(0, _STEPS))
        figure.legend(handles=self.curves[:4], loc="outside lower center", ncols=4)
        self._shown = None
        return [*self.loss_line, *self.cursors, *self.curves]

    def _fit_axes(self):
        """Limits for the whole run, so that they stand still while the learner scrubs."""
        if self._shown is self.losses:
            return
        self._shown = self.losses
        for ax, values in zip(self.axes, (self.losses, self.weights, self.gradients), strict=True):
            values = values[(values > 1e-4) & (values < _TOP)]  # no NaN either
            low, high = (math.log10(x) for x in (values.min(), values.max()))
            ax.set_ylim(10.0 ** math.floor(low), 10.0 ** math.ceil(high))
        self.invalidate()

    def paint(self):
        self._fit_axes()
        at = self.values["at"]
        steps = np.arange(at + 1)
        self.loss_line[0].set_data(range(_STEPS), self.losses)
        for ax, cursor in zip(self.axes, self.cursors, strict=True):
            cursor.set_data([at, at], ax.get_ylim())
        norms = np.hstack([self.weights, self.gradients])
        for curve, values in zip(self.curves, norms.T, strict=True):
            curve.set_data(steps, values[: at + 1])
            curve.set_markevery([at])
        each = zip(_LAYERS, self.weights[at], self.growth[at], self.gradients[at], strict=True)
        words = [f"{name} {w:.3g}, {times:.3g} times, {g:.2g}" for name, w, times, g in each]
        shown = [self.losses[at], *self.weights[at], *self.gradients[at]]
        above = (
            ""
            if all(x < _TOP for x in shown)
            else " Some of it is too large for the picture, or NaN."
        )
        return (
            f"Step {at}: loss {self.losses[at]:.3g}. Norm of the weights, how many times that of "
            f"ten steps before, norm of the gradient: {'; '.join(words)}.{above} {self._verdict()}"
        )

    def _verdict(self):
        if self.values["answer"] == _NO_ANSWER:
            return "Which layer grew?"
        answer = _LAYERS.index(self.values["answer"])
        growth = self.growth[self.tripled]
        first = f"at step {self.tripled} the weights of one layer had tripled in ten steps"
        if answer != self.culprit:
            times = f"{growth[answer]:.3g} times what they were"
            return f"Not that one: {first}, and those of {_LAYERS[answer]} were {times}."
        others = f"{max(np.delete(growth, answer)):.3g} times what they were"
        return (
            f"Right: {_LAYERS[answer]}. It came first: {first}, and those of the other layers were at "
            f"most {others}."
        )
