"""The one architecture that the course trains, and the model inside a compiled one."""

from itertools import pairwise
from numbers import Integral, Real

from torch import nn


def mlp(*widths, dropout=0.0):
    """A multilayer perceptron: Linear layers with ReLU, and dropout if asked for, between them.

    `mlp(2, 64, 2)` maps [B, 2] to logits [B, 2] through 64 hidden units. `dropout` is the
    probability with which each hidden unit is set to zero in training mode.

    Raises ValueError for fewer than two widths, a width below 1 or a dropout outside [0, 1).
    """
    whole = [isinstance(width, Integral) and not isinstance(width, bool) for width in widths]
    if len(widths) < 2 or not all(whole) or min(widths) < 1:
        raise ValueError(
            "mlp needs at least an input and an output width, whole numbers of 1 or more, "
            f"as in mlp(2, 64, 2); got {widths}."
        )
    if not (isinstance(dropout, Real) and 0 <= dropout < 1):
        raise ValueError(f"dropout is a probability of at least 0 and below 1; got {dropout!r}.")
    layers = []
    for fan_in, fan_out in pairwise(widths[:-1]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def uncompiled(model):
    """The model itself, also where it is one that `torch.compile` has wrapped."""
    return getattr(model, "_orig_mod", model)
