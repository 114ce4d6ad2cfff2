"""Training runs with a bug in the loop, for the clinic: what is written down, and what gives it away."""

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..loaders import tensor_loader
from ..models import mlp
from ..random_state import seeded
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


class Bug(NamedTuple):
    """`sign`: what it does to a run. `numbers`: what to compare for that, as a template."""

    words: str
    sign: str
    numbers: str

    def read_off(self, run):
        """The numbers of a run, in words."""
        return self.numbers.format_map(facts(run))


_TABLE = Path(__file__).with_name("bugs.toml").read_text(encoding="utf-8")
BUGS = {name: Bug(**bug) for name, bug in tomllib.loads(_TABLE).items()}


def facts(run):
    """What diagnoses are made from. A layer whose gradients overflow has infinite ones."""
    losses, epoch = run.losses, slice(PER_EPOCH)
    gradients = np.nan_to_num(run.gradients, nan=np.inf)
    jump = np.diff(losses[epoch]).argmax()  # between two batches of the first epoch
    return {
        "losses": f"{losses[epoch].mean():.3g} in the first epoch and "
        f"{losses[-PER_EPOCH:].mean():.3g} in the last",
        "first_loss": losses[0], "second_loss": losses[1], "lowest_loss": losses.min(),
        "jump": f"from {losses[jump]:.2g} to {losses[jump + 1]:.2g}",
        "gradient": run.gradients.max(), "least_gradient": run.gradients.min(),
        "gradient_1": gradients[:, 0].max(), "first_gradient_1": gradients[0, 0],
        "change": run.changes.max(), "first_change_1": run.changes[0, 0],
        "median_change_1": np.median(run.changes[:, 0]),
        "accuracy": run.accuracies[-1], "median_accuracy": np.median(run.accuracies),
    }  # fmt: skip


@cache
def healthy_run():
    return train_with("healthy", _HEALTHY_SEED)
