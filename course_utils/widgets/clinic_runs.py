"""Training runs with a bug in the loop, for the clinic: what is written down, and what gives it away."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..data import moons, tensor_loader
from ..devices import seeded
from ..models import mlp
from ..training import accuracy

EPOCHS, PER_EPOCH = 8, 20
STEPS = EPOCHS * PER_EPOCH
_HEALTHY_SEED = 1000  # the healthy run is nobody's twin: other weights, points and batches


class Run(NamedTuple):
    """What is written down of a run: at each step the loss and, for each of the two layers, the
    gradient's norm as `step()` finds it and by which part of their length the weights change; the
    validation accuracy after each epoch."""

    losses: np.ndarray
    gradients: np.ndarray
    changes: np.ndarray
    accuracies: np.ndarray


def train_with(bug, seed):
    """A run of a 2-32-2 network on two moons with `bug` in its loop; none, if it is "healthy"."""
    record, accuracies = [], []
    with seeded(seed):
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

        for _ in range(EPOCHS):
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
    first, last = run.losses[:PER_EPOCH].mean(), run.losses[-PER_EPOCH:].mean()
    return f"{first:.3g} in the first epoch and {last:.3g} in the last"


def _largest_jump(run):
    """The loss of the two neighbouring batches of the first epoch between which it rises most."""
    losses = run.losses[:PER_EPOCH]
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


@cache
def healthy_run():
    return train_with("healthy", _HEALTHY_SEED)
