"""Training runs as patients: which bug is in the loop, if any? (lesson 09)."""

from collections.abc import Callable
from functools import cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..data import moons, tensor_loader
from ..models import mlp
from ..plotting import BLUE, GREY, VERMILLION
from ..training import accuracy
from .base import Simulation
from .canvas import within
from .controls import Choice, Slider

_EPOCHS, _PER_EPOCH = 8, 20
_STEPS = _EPOCHS * _PER_EPOCH
_HEALTHY_SEED = 1000  # the healthy run is nobody's twin: other weights, points and batches


class Run(NamedTuple):
    """What is written down of a run: at each step the loss and, for each of the two layers, the
    gradient's norm as `step()` finds it and by which part of their length the weights change; the
    validation accuracy after each epoch."""

    losses: np.ndarray
    gradients: np.ndarray
    changes: np.ndarray
    accuracies: np.ndarray


def train(bug, seed):
    """A run of a 2-32-2 network on two moons with `bug` in its loop; none, if it is "healthy"."""
    record, accuracies = [], []
    with torch.random.fork_rng(devices=[]):  # the notebook's luck stays as it is
        torch.default_generator.manual_seed(seed)
        X, y = moons(640, seed=seed)
        X = 10 * X + 100  # raw data is seldom standardised
        X_train, y_train, X_val, y_val = X[:320], y[:320], X[320:], y[320:]
        mean, std = X_train.mean(dim=0), X_train.std(dim=0)
        X_train = (X_train - mean) / std
        if bug != "val-scaled-differently":
            X_val = (X_val - mean) / std
        val_loader = tensor_loader(X_val, y_val, batch_size=320)

        model = mlp(2, 32, 2)
        layers = model[0], model[2]
        parameters = model.parameters()
        if bug == "optimizer-holds-other-params":
            parameters = mlp(2, 32, 2).parameters()
        if bug == "layers-cut-off":
            layers[0].register_forward_hook(lambda layer, inputs, output: output.detach())
        if bug == "dead-relu":
            nn.init.constant_(layers[0].bias, -10.0)
        lr = {"lr-too-high": 100, "lr-too-low": 1e-5}.get(bug, 0.5)
        optimizer = torch.optim.SGD(parameters, lr=lr)
        loss_fn = nn.CrossEntropyLoss()

        for _ in range(_EPOCHS):
            model.train()
            for xb, yb in _batches(bug, X_train, y_train):
                if bug != "no-zero-grad":
                    optimizer.zero_grad()
                logits = model(xb)
                if bug == "softmax-before-cross-entropy":
                    logits = logits.softmax(dim=1)
                loss = loss_fn(logits, yb)
                loss.backward()
                if bug == "grads-cleared-before-step":
                    optimizer.zero_grad()
                gradients = [_gradient(layer).norm().item() for layer in layers]
                before = [_weights(layer) for layer in layers]
                optimizer.step()
                changes = [
                    ((_weights(layer) - old).norm() / old.norm()).item()
                    for layer, old in zip(layers, before, strict=True)
                ]
                record.append([loss.item(), *gradients, *changes])
            model.eval()
            with torch.no_grad():
                accuracies += [accuracy(model(xb), yb) for xb, yb in val_loader]
    losses, gradients, changes = np.split(np.array(record), [1, 3], axis=1)
    return Run(losses[:, 0], gradients, changes, np.array(accuracies))


def _batches(bug, X, y):
    """(inputs, labels) of one epoch."""
    if bug == "labels-misaligned":
        x_loader, y_loader = (tensor_loader(t, batch_size=16, shuffle=True) for t in (X, y))
        return ((xb, yb) for (xb,), (yb,) in zip(x_loader, y_loader, strict=True))
    if bug == "sorted-batches":
        order = y.argsort()
        return tensor_loader(X[order], y[order], batch_size=16)
    return tensor_loader(X, y, batch_size=16, shuffle=True)


def _weights(layer):
    """Weight and bias of the layer as one vector."""
    return torch.cat([p.detach().flatten() for p in layer.parameters()])


def _gradient(layer):
    """Their gradients; without one, 0."""
    gradients = [p.grad.flatten() for p in layer.parameters() if p.grad is not None]
    return torch.cat(gradients) if gradients else torch.zeros(1)


def _first_and_last(run):
    """The mean loss of the first and of the last epoch."""
    first, last = run.losses[:_PER_EPOCH].mean(), run.losses[-_PER_EPOCH:].mean()
    return f"{first:.3g} in the first epoch and {last:.3g} in the last"


def _largest_jump(run):
    """The loss of the two neighbouring batches of the first epoch between which it rises most."""
    losses = run.losses[:_PER_EPOCH]
    at = np.diff(losses).argmax()
    return f"from {losses[at]:.2g} to {losses[at + 1]:.2g}"


class Bug(NamedTuple):
    """`sign`: what it does to a run. `numbers`: what to compare for that, of any run."""

    words: str
    sign: str
    numbers: Callable


# By the names that the loop doctor gives them
BUGS = {
    "healthy": Bug(
        "there is no bug",
        "the loss falls, validation follows, and every layer has a gradient and moves",
        lambda run: (
            f"loss {_first_and_last(run)}, validation accuracy {run.accuracies[-1]:.0%} at the "
            f"end, smallest gradient norm {run.gradients.min():.2g}, largest change in a step "
            f"{run.changes.max():.2g}"
        ),
    ),
    "dead-relu": Bug(
        "the hidden units give 0 for every input",
        "layer 1 gets no gradient at all, and the loss stays near ln 2 = 0.693: only the last "
        "bias still learns",
        lambda run: (
            f"largest gradient norm of layer 1 {run.gradients[:, 0].max():.2g}, loss "
            f"{_first_and_last(run)}"
        ),
    ),
    "grads-cleared-before-step": Bug(
        "zero_grad() comes after backward()",
        "no layer has a gradient when step() comes, so nothing moves",
        lambda run: (
            f"largest gradient norm {run.gradients.max():.3g}, largest change "
            f"{run.changes.max():.2g}"
        ),
    ),
    "labels-misaligned": Bug(
        "inputs and labels are shuffled apart",
        "the weights move, but there is nothing to learn: the loss stays near ln 2 = 0.693",
        lambda run: (
            f"median change of layer 1 in a step {np.median(run.changes[:, 0]):.2g}, loss "
            f"{_first_and_last(run)}"
        ),
    ),
    "layers-cut-off": Bug(
        "layer 1 is detached from the loss",
        "layer 1 gets no gradient and never moves, while layer 2 learns and the loss falls",
        lambda run: (
            f"largest gradient norm of layer 1 {run.gradients[:, 0].max():.2g}, loss "
            f"{_first_and_last(run)}"
        ),
    ),
    "lr-too-high": Bug(
        "the learning rate is too high",
        "the very first step throws the weights far away, before anything could pile up",
        lambda run: (
            f"the first step changed layer 1 by {run.changes[0, 0]:.2g} times its length, and the "
            f"loss went from {run.losses[0]:.2g} to {run.losses[1]:.2g}"
        ),
    ),
    "lr-too-low": Bug(
        "the learning rate is too low",
        "there are gradients and the weights move, but by next to nothing",
        lambda run: (
            f"median change of layer 1 in a step {np.median(run.changes[:, 0]):.2g}, loss "
            f"{_first_and_last(run)}"
        ),
    ),
    "no-zero-grad": Bug(
        "gradients are never cleared",
        "the first step is like a healthy one, then the gradients add up from step to step",
        lambda run: (
            f"the first step changed layer 1 by {run.changes[0, 0]:.2g} times its length; the norm "
            f"of its gradient was {run.gradients[0, 0]:.2g} then and "
            f"{np.nan_to_num(run.gradients[:, 0], nan=np.inf).max():.2g} at its largest"
        ),
    ),
    "optimizer-holds-other-params": Bug(
        "the optimizer holds the weights of another model",
        "there are gradients, but the weights never move; and as zero_grad() of this optimizer "
        "doesn't reach them, the gradients add up",
        lambda run: (
            f"largest gradient norm {run.gradients.max():.3g}, largest change "
            f"{run.changes.max():.2g}"
        ),
    ),
    "softmax-before-cross-entropy": Bug(
        "the loss gets probabilities, not logits",
        "the answers are mostly right, yet no batch has a loss below 0.313",
        lambda run: (
            f"lowest loss of a batch {run.losses.min():.3g}, at a validation accuracy of "
            f"{run.accuracies[-1]:.0%} at the end"
        ),
    ),
    "sorted-batches": Bug(
        "the batches come sorted by class",
        "the loss falls as long as one class comes and jumps when the other one begins",
        lambda run: f"largest jump of the loss in the first epoch {_largest_jump(run)}",
    ),
    "val-scaled-differently": Bug(
        "validation data is not scaled like training data",
        "training is fine, only validation is bad, in nearly every epoch",
        lambda run: (
            f"loss {_first_and_last(run)}, median validation accuracy "
            f"{np.median(run.accuracies):.0%}"
        ),
    ),
}
_PATIENTS = 8 * len(BUGS)
_NO_DIAGNOSIS = "no diagnosis yet"
_DIAGNOSES = {f"{name}: {bug.words}": name for name, bug in BUGS.items()}


@cache
def healthy_run():
    return train("healthy", _HEALTHY_SEED)


class BugClinic(Simulation):
    """A run with an unknown bug beside a healthy one; the first diagnosis of a patient counts."""

    name = "bug_clinic"
    controls = {
        "patient": Slider("patient", 0, _PATIENTS - 1, 0, live=True),
        "at": Slider("show the run up to step", 0, _STEPS - 1, _STEPS - 1, live=True),
        "diagnosis": Choice("diagnosis", (_NO_DIAGNOSIS, *_DIAGNOSES), _NO_DIAGNOSIS, live=True),
    }
    buttons = {"Check": "check", "Next patient": "next_patient"}
    size = (10.5, 5.0)

    def reset(self):
        self.score = {}  # patient -> whether the first diagnosis was right
        self._admit()

    def _admit(self):
        """The patient's number decides the weights, the points, the batches and the bug; of each
        dozen patients every one has another."""
        dozen, place = divmod(self.values["patient"], len(BUGS))
        order = torch.randperm(len(BUGS), generator=torch.Generator().manual_seed(dozen))
        self.bug = list(BUGS)[order[place]]
        self.run = train(self.bug, seed=self.values["patient"])
        self.checked = None

    def change(self, name):
        if name == "patient":
            self.values["diagnosis"] = _NO_DIAGNOSIS
            self._admit()

    def check(self):
        self.checked = self.values["diagnosis"]
        if self.checked != _NO_DIAGNOSIS:
            right = _DIAGNOSES[self.checked] == self.bug
            self.score.setdefault(self.values["patient"], right)

    def next_patient(self):
        self.set(patient=(self.values["patient"] + 1) % _PATIENTS)

    def draw(self, figure):
        (loss_ax, accuracy_ax), norm_axes = self.axes = figure.subplots(2, 2, sharex=True)
        loss_ax.set(title="loss of the batch", yscale="log", ylim=(1e-2, 10))
        accuracy_ax.set(title="validation accuracy", ylim=(0, 1.03))
        for ax, title, zero, top in (
            (norm_axes[0], "norm of the gradient at step()", 1e-5, 1e3),
            (norm_axes[1], "change of the weights in a step", 1e-8, 1e3),
        ):
            ax.set(title=title, xlabel="step", yscale="log", ylim=(zero / 2, top))
            powers = 10.0 ** np.arange(np.log10(zero) + 2, np.log10(top) + 1, 2)
            ax.set_yticks([zero, *powers], ["0", *(f"$10^{{{np.log10(p):.0f}}}$" for p in powers)])
            ax.minorticks_off()
        loss_ax.set_xlim(-3, _STEPS + 2)

        self.curves = []
        thin = {"color": GREY, "lw": 1, "alpha": 0.8}
        for i, (ax, healthy) in enumerate(
            zip(chain(*self.axes), self._series(healthy_run()), strict=True)
        ):
            for j, values in enumerate(healthy.T):
                line = ("-", "--")[j]
                ax.plot(*self._drawn(ax, values, _STEPS - 1), line, **thin)
                color = (BLUE, VERMILLION)[j] if i > 1 else "black"
                marker = "o" if i == 1 else ""
                self.curves += ax.plot([], [], line, marker=marker, color=color, lw=1.8)
        names = {"patient": self.curves[0], "layer 1": self.curves[2], "layer 2": self.curves[3]}
        names["a healthy run"] = loss_ax.lines[0]
        figure.legend(names.values(), names.keys(), loc="outside lower center", ncols=4)
        return self.curves

    @staticmethod
    def _series(run):
        """For each of the four pictures the columns that are drawn in it."""
        return run.losses[:, None], run.accuracies[:, None], run.gradients, run.changes

    @staticmethod
    def _drawn(ax, values, at):
        """Steps and values up to step `at`; accuracies are those at the ends of epochs."""
        every = _STEPS // len(values)
        shown = (at + 1) // every
        low, high = ax.get_ylim()
        low *= 2 if ax.get_yticklabels()[0].get_text() == "0" else 1
        return np.arange(1, shown + 1) * every - 1, within(values[:shown], low, high)

    def paint(self):
        at = self.values["at"]
        columns = chain(*(series.T for series in self._series(self.run)))
        for curve, values in zip(self.curves, columns, strict=True):
            curve.set_data(*self._drawn(curve.axes, values, at))
        epochs = (at + 1) // _PER_EPOCH
        return (
            f"Patient {self.values['patient']}, step {at} (a healthy run in brackets): "
            + ", ".join(
                f"{what} {there} ({healthy})"
                for what, there, healthy in zip(
                    ("loss", "validation accuracy", "gradient norms", "changes of the weights"),
                    self._numbers(self.run, at, epochs),
                    self._numbers(healthy_run(), at, epochs),
                    strict=True,
                )
            )
            + f". {self._verdict()}"
        )

    @staticmethod
    def _numbers(run, at, epochs):
        return (
            f"{run.losses[at]:.2g}",
            f"{run.accuracies[epochs - 1]:.0%}" if epochs else "not measured yet",
            " and ".join(f"{norm:.3g}" for norm in run.gradients[at]),
            " and ".join(f"{part:.2g}" for part in run.changes[at]),
        )

    def _verdict(self):
        counted = f"First diagnoses right: {sum(self.score.values())} of {len(self.score)}."
        if self.checked != self.values["diagnosis"] or self.checked is None:
            return f"What is wrong with it? Choose a diagnosis and press Check. {counted}"
        if self.checked == _NO_DIAGNOSIS:
            return f"Choose a diagnosis first. {counted}"
        name = _DIAGNOSES[self.checked]
        bug = BUGS[name]
        right = name == self.bug
        verdict = f"Right: {name}. Its sign is" if right else f"Not {name}. Its sign would be"
        return (
            f"{verdict}: {bug.sign}. Here: {bug.numbers(self.run)}. In a healthy run: "
            f"{bug.numbers(healthy_run())}. {counted}"
        )
