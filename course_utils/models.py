"""The one architecture that the course trains, a multilayer perceptron; and, for any model, its
modes and PyTorch's, the model inside a compiled one, and what its layers remember of a call."""

from collections import deque
from contextlib import contextmanager
from copy import copy
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
def forgetting(*things, weights):
    """In a `with` block: after it, `things` remember nothing of the calls in it.

    Of a module is put back what its layers hold as plain attributes (a counter, the hidden state of the
    last batch), what stands in lists, dictionaries and tensors among these, its buffers and, with
    `weights`, its parameters; of anything else, such as a sampler, its numbers, what stands in its
    lists, and the tensors that it put in the place of others or of None.
    """
    parts = []
    for thing in things:
        parts += thing.modules() if isinstance(thing, nn.Module) else [thing]
    instances = [part for part in parts if hasattr(part, "__dict__") and not isinstance(part, type)]
    held = [(part, _own(part), set(vars(part))) for part in instances]
    values = [(part, value) for part, own, _ in held for value in own.values()]
    named = [
        (layer, name, tensor)
        for layer in parts
        if isinstance(layer, nn.Module)
        for tensors in [layer.named_buffers] + [layer.named_parameters] * weights
        for name, tensor in tensors(recurse=False)
    ]
    tensors = [tensor for _, _, tensor in named]
    tensors += [
        value
        for part, value in values
        if isinstance(part, nn.Module) and isinstance(value, torch.Tensor)
    ]
    # Others than strided ones don't change in place.
    numbers = [(tensor, tensor.clone()) for tensor in tensors if tensor.layout is torch.strided]
    contents = [(value, copy(value)) for _, value in values if type(value) in _CONTAINERS]
    try:
        yield
    finally:
        for part, own, names in held:
            now = _own(part, _NUMBERS)
            for name in now.keys() - names:
                del vars(part)[name]
            # What was None may be an open file, running workers or loaded rows by now: those are kept.
            old = {name: value for name, value in own.items() if value is not None or name in now}
            vars(part).update(old)
        for value, before in contents:
            value.clear()
            value.extend(before) if isinstance(value, list | deque) else value.update(before)
        with torch.no_grad():
            for tensor, before in numbers:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)
        for layer, name, tensor in named:
            if getattr(layer, name) is not tensor:
                setattr(layer, name, tensor)


_OF_EVERY_LAYER = {*vars(nn.Module())} - {"training"}  # such as _buffers and _modules
_NUMBERS = (bool, int, float, torch.Tensor, type(None))
_CONTAINERS = (list, dict, set, deque)


def _own(thing, kinds=_NUMBERS + _CONTAINERS):
    """What a layer holds besides its parts; of another thing what it holds of these kinds."""
    if isinstance(thing, nn.Module):
        return {name: value for name, value in vars(thing).items() if name not in _OF_EVERY_LAYER}
    return {name: value for name, value in vars(thing).items() if type(value) in kinds}
