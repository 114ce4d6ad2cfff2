"""What objects remember of a call, put back after one that was only a look."""

from collections import deque
from contextlib import contextmanager
from copy import copy

import torch
from torch import nn


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


OF_EVERY_LAYER = {*vars(nn.Module())} - {"training"}  # such as _buffers and _modules
_NUMBERS = (bool, int, float, torch.Tensor, type(None))
_CONTAINERS = (list, dict, set, deque)


def _own(thing, kinds=_NUMBERS + _CONTAINERS):
    """What a layer holds besides its parts; of another thing what it holds of these kinds."""
    if isinstance(thing, nn.Module):
        return {name: value for name, value in vars(thing).items() if name not in OF_EVERY_LAYER}
    return {name: value for name, value in vars(thing).items() if type(value) in kinds}
