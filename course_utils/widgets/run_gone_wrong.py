"""A run that breaks: one layer of the network grows out of hand. Which one? (lesson 00)."""

import numpy as np
import torch
from torch import nn

from ..data import xor
from ..models import mlp
from ..random_state import seeded
from .base import Simulation
from .controls import Choice, Slider
from .scene import Axis, Line, Panel, Rule, Scene, Verdict

_STEPS = 170
_GROWTH = 1.08  # of the weights of one layer, in each step from a certain one on
_GROWN = 1.8  # times its weights of ten steps before: there a layer shows that it grows
_TOO_MUCH = 3  # times the first loss: there the run is stopped
_LAYERS = ("layer 1", "layer 2", "layer 3", "layer 4")
_NO_ANSWER = "no answer yet"
_LOOKS = (("blue", "-", "o"), ("vermillion", "--", "^"), ("green", ":", "s"), ("purple", "-.", "D"))


class RunGoneWrong(Simulation):
    """A real run of a 2-32-32-32-1 network on XOR, watched from inside the loop.

    It is stopped when its loss has tripled: what comes later is chaos, in which the rounding errors
    of the processor decide.
    """

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
        self.begin = torch.randint(80, 110, (), generator=chance).item()
        loss_fn = nn.BCEWithLogitsLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        record = []
        for step in range(_STEPS):
            rows = torch.randint(len(X), (64,), generator=chance)
            optimizer.zero_grad()
            loss = loss_fn(model(X[rows]), y[rows])
            loss.backward()
            weights = [layer.weight.detach().norm().item() for layer in layers]
            gradients = [layer.weight.grad.norm().item() for layer in layers]
            record.append([loss.item(), *weights, *gradients])
            if not loss.item() < _TOO_MUCH * record[0][0]:
                break
            optimizer.step()
            if step >= self.begin:
                with torch.no_grad():
                    layers[self.culprit].weight.mul_(_GROWTH)
        self.losses, self.weights, self.gradients = np.split(np.array(record), [1, 5], axis=1)
        self.losses = self.losses[:, 0]
        ten_before = np.maximum(np.arange(len(record)) - 10, 0)
        self.growth = self.weights / self.weights[ten_before]
        grown = (self.growth >= _GROWN).any(axis=1)
        self.grown = int(grown.argmax())  # the first step at which the weights of a layer had

    def scene(self):
        at, last = min(self.values["at"], len(self.losses) - 1), len(self.losses) - 1
        steps, here = np.arange(last + 1), Rule(x=at)

        def panel(title, values, marks):
            values = values[values > 1e-3]
            y = Axis(values.min() / 1.3, values.max() * 1.3, log=True)
            return Panel([here, *marks], Axis(0, _STEPS, "step"), y, title)

        def curves(norms):
            each = zip(_LAYERS, norms[: at + 1].T, _LOOKS, strict=True)
            return [
                Line(steps[: at + 1], values, color, dash, name, marker=marker, at=(at,))
                for name, values, (color, dash, marker) in each
            ]

        each = zip(_LAYERS, self.weights[at], self.growth[at], self.gradients[at], strict=True)
        words = [f"{name} {w:.3g}, {times:.2f} times, {g:.2g}" for name, w, times, g in each]
        whole = Line(steps, self.losses, "ink", width=1.5)
        end = f" The run was stopped here, at step {last}." if at == last < _STEPS - 1 else ""
        return Scene(
            [
                panel("loss of the batch", self.losses, [whole]),
                panel("norm of the weights", self.weights, curves(self.weights)),
                panel("norm of the gradient", self.gradients, curves(self.gradients)),
            ],
            f"Step {at}: loss {self.losses[at]:.2g}. Norm of the weights, how many times that of "
            f"ten steps before, norm of the gradient: {'; '.join(words)}.{end}",
            self._verdict(),
        )

    def _verdict(self):
        if self.values["answer"] == _NO_ANSWER:
            return Verdict("open", "Which layer grew?")
        answer = _LAYERS.index(self.values["answer"])
        growth = self.growth[self.grown]
        first = (
            f"at step {self.grown} the weights of one layer were {_GROWN} times those of ten steps "
            "before"
        )
        if answer != self.culprit:
            its = f"those of {_LAYERS[answer]} {growth[answer]:.2f} times"
            return Verdict("wrong", f"Not that one: {first}, and {its}.")
        others = f"those of the other layers at most {np.delete(growth, answer).max():.2f} times"
        text = f"Right: {_LAYERS[answer]}. It showed first there: {first}, {others}."
        return Verdict("right", text)
