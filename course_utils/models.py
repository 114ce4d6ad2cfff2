"""The one architecture that the course trains, a multilayer perceptron; and, for any model, its
modes and PyTorch's, the model inside a compiled one, and what its layers remember of a call."""

from contextlib import contextmanager
from itertools import pairwise
from numbers import Integral, Real

import torch
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


@contextmanager
def evaluating(model):
    """In a `with` block: evaluation mode; after it, also after an error, each layer's own again."""
    modes = [(layer, layer.training) for layer in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def switches_kept():
    """In a `with` block: after it, gradients and autocast are on or off as they were before.

    PyTorch itself switches them back, except when Ctrl-C comes right between the two. Gradients
    would stay off then, or the 16-bit copies of the weights would never be made anew.
    """
    kinds = {
        kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        for kind in ("cpu", "cuda", "mps")
    }
    gradients, cached, depth = torch.is_grad_enabled(), torch.is_autocast_cache_enabled(), _depth()
    try:
        yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_autocast_cache_enabled(cached)
        for kind, (enabled, dtype) in kinds.items():
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        for _ in range(_depth() - depth):
            torch.autocast_decrement_nesting()
            torch.clear_autocast_cache()


def _depth():
    """How many autocast blocks are open."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def uncompiled(model):
    """The model itself, also where it is one that `torch.compile` has wrapped."""
    return getattr(model, "_orig_mod", model)


@contextmanager
def forgetting(*things):
    """In a `with` block: after it, modules among `things` remember nothing of the calls in it.

    Put back are plain attributes (a counter, the hidden state of the last batch) and buffers.
    """
    layers = [
        layer for thing in things if isinstance(thing, nn.Module) for layer in thing.modules()
    ]
    held = [(layer, _own(layer)) for layer in layers]
    buffers = [
        (layer, name, buffer, buffer.clone())
        for layer in layers
        for name, buffer in layer.named_buffers(recurse=False)
        if buffer.layout is torch.strided  # others don't change in place
    ]
    try:
        yield
    finally:
        for layer, own in held:
            for name in _own(layer).keys() - own.keys():
                del vars(layer)[name]
            vars(layer).update(own)
        with torch.no_grad():
            for layer, name, buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
                if getattr(layer, name) is not buffer:
                    setattr(layer, name, buffer)


def _own(layer):
    """What a layer holds besides its parts, such as `_buffers` and `_modules`, and their like."""
    return {name: value for name, value in vars(layer).items() if not name.startswith("_")}
