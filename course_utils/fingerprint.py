"""What a run is, as short texts by name, so that another run is not taken for it."""

import functools
import random
import re
import sys
import zlib
from enum import Enum
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType

import numpy as np
import torch
from torch import nn

from . import loaders
from .models import uncompiled
from .own_code import closed_over, globals_of, is_own, methods_of, names_read, names_set
from .random_state import undisturbed
from .remembered import OF_EVERY_LAYER

_PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
_SPEED_ONLY = {"params", "foreach", "fused", "capturable", "differentiable"}
_SOME_ROWS = 8
# What is told of any attribute: these, and functions. Of other objects, such as a configuration,
# is told what one's own code reads, since the rest may be the hour of the run or a folder.
_AS_STR = (type(None), bool, int, float, complex, str, torch.dtype, range, slice, Enum)
_VALUES = (*_AS_STR, torch.device, np.generic, np.ndarray, torch.Tensor)
_CONTAINERS = (list, tuple, dict, set, frozenset)
_PLAIN = (type(None), bool, int, float, str)  # told of a data set, where more would be too much
_DEVICE = re.compile(r"(cpu|cuda|mps)(:\d+)?")
_DEPTH = 4  # of functions and objects that hold others


def of_run(model, loss_fn, optimizer, scheduler, both_loaders, choices, data):
    """Model, loss, optimizer, schedule, what both loaders hold, `choices` (name -> value), and the
    texts of the data.

    Whatever of it changes while a run goes on, such as a counter, is no description of the run.
    """
    model = uncompiled(model)
    facts = _of_module("model", model) | _of_optimizer(model, optimizer)
    facts |= _of_scheduler("scheduler", scheduler) | _of_function("loss_fn", loss_fn)
    if isinstance(loss_fn, nn.Module):
        facts |= _of_module("loss_fn", loss_fn)
    for name, loader in zip(("train_loader", "val_loader"), both_loaders, strict=True):
        facts |= _of_parts(name, loader)
    for name, value in choices.items():
        facts |= _of_function(name, value) if callable(value) else {name: _text(value)}
    return facts | data


def of_data(train_loader, val_loader):
    """The rows of the loaders and how they are put into batches.

    Data in memory is read through. Of a data set of one's own a few rows are fetched twice, and
    what random numbers have no part in is compared.
    """
    return _of_loader("train_loader", train_loader) | _of_loader("val_loader", val_loader)


def _of_loader(name, loader):
    if loader is None:
        return {name: "none"}
    facts = {name: type(loader).__name__}
    if isinstance(loader, torch.utils.data.DataLoader):
        for option in ("batch_size", "drop_last"):
            facts[f"{name}'s {option}"] = _text(getattr(loader, option))
        facts[f"{name}'s sampler"] = type(loader.sampler).__name__
    data = getattr(loader, "dataset", loader)
    if hasattr(data, "__len__"):
        facts[f"{name}'s length"] = str(len(data))
    with undisturbed(loader):
        parts = _contents(loader, data)
    for i, part in enumerate(parts):
        facts[f"{name}'s {('inputs', 'labels')[i] if len(parts) == 2 else f'part {i}'}"] = part
    return facts


def _of_parts(name, loader):
    """What a loader is made of, data aside: how it collates, draws, and what its data set is set to."""
    if not isinstance(loader, torch.utils.data.DataLoader):
        return {}
    facts = {f"{name}'s collate_fn": _held(loader.collate_fn)}
    for part, kinds in (
        ("sampler", _VALUES + _CONTAINERS),
        ("batch_sampler", _VALUES + _CONTAINERS),
        ("dataset", _PLAIN),
    ):
        for attribute, value in getattr(getattr(loader, part), "__dict__", {}).items():
            own = not attribute.startswith("_") and attribute != "data_source"
            if own and (isinstance(value, kinds) or callable(value)):
                facts[f"{name}'s {part}'s {attribute}"] = _held(value)
    return facts


def differences(then, now):
    """Pairs of texts that differ, by name. Only what both tell about is compared."""
    return {
        name: (then[name], now[name])
        for name in then
        if name in now and then[name] != now[name]
    }  # fmt: skip


def _contents(loader, data):
    """One text for each part of a row."""
    tensors = loaders.stored_tensors(data)
    if tensors is not None:
        return [_text(tensor) for tensor in tensors]
    if isinstance(data, list | tuple):
        if len(data) and all(isinstance(batch, tuple | list) and len(batch) == 2 for batch in data):
            return [_text(list(part)) for part in zip(*data, strict=True)]
        return [_text(data)]
    if loaders.is_map_style(loader) and hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        count = len(data)
        places = sorted({i * (count - 1) // (_SOME_ROWS - 1) for i in range(_SOME_ROWS)})
        draws = [_some_rows(data, places, seed) for seed in (1, 2)]
    elif not isinstance(loader, torch.utils.data.DataLoader):
        draws = [_seeded(seed, lambda: [next(iter(loader))]) for seed in (1, 2)]
    else:
        return []  # a stream: reading it again may not be possible
    if None in draws or len({len(parts) for parts in draws}) > 1:
        return []
    return [a if a == b else "drawn anew" for a, b in zip(*draws, strict=True)]


def is_random(loader):
    """Whether a row of the loader's own data set is another one with other random numbers."""
    if not loaders.is_map_style(loader) or loaders.stored_tensors(loader.dataset) is not None:
        return False
    with undisturbed(loader):
        return "drawn anew" in _contents(loader, loader.dataset)


def _some_rows(data, places, seed):
    return _seeded(seed, lambda: [data[i] for i in places])


def _seeded(seed, fetch):
    """The texts of the parts of what `fetch()` returns, with random numbers that start at `seed`."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        rows = fetch()
    except Exception:  # the examination has words for it
        return None
    if all(isinstance(row, tuple | list) for row in rows) and len(set(map(len, rows))) == 1:
        return [_text(list(part)) for part in zip(*rows, strict=True)]
    return [_text(rows)]


def _of_module(name, module, depth=0):
    facts = {
        f"{name}'s class": type(module).__name__,
        f"{name}'s number of layers": str(len(list(module.modules()))),
        f"{name}'s frozen parameters": ", ".join(
            parameter for parameter, value in module.named_parameters() if not value.requires_grad
        )
        or "none",
    }
    for path, layer in module.named_modules():
        where = f"layer {path}" if path else name
        if path:
            facts[where] = f"{type(layer).__name__}({_without_address(layer.extra_repr())})"
        facts |= _of_attributes(where, layer, "forward", depth=depth)
        for buffer, value in layer._buffers.items():
            # A model's are what it learned, unless no state holds them; those of a loss its weights.
            if name != "model" or buffer in layer._non_persistent_buffers_set:
                facts[f"{where}'s {buffer}"] = _text(value)
    return facts


def _of_optimizer(model, optimizer):
    facts = {"optimizer": type(optimizer).__name__} | _of_code("optimizer", optimizer, "step")
    for option, value in optimizer.defaults.items():
        if option not in _SPEED_ONLY:
            facts[f"optimizer's {option}"] = _text(value)
    groups = optimizer.param_groups
    facts["number of parameter groups"] = str(len(groups))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for i, group in enumerate(groups):
        where = f"parameter group {i}"
        held = " ".join(names.get(id(parameter), "?") for parameter in group["params"])
        facts[f"{where}'s parameters"] = f"{len(group['params'])} ({zlib.crc32(held.encode()):08x})"
        for option, value in group.items():
            if option not in _SPEED_ONLY:
                facts[f"{where}'s {option}"] = _text(value)
    return facts


def _of_scheduler(name, scheduler):
    if scheduler is None:
        return {name: "none"}
    facts = {name: type(scheduler).__name__} | _of_code(name, scheduler, "step", "get_lr")
    for attribute, value in vars(scheduler).items():
        if attribute == "_schedulers":
            for i, part in enumerate(value):
                facts |= _of_scheduler(f"{name}'s part {i}", part)
        elif attribute == "lr_lambdas":
            for i, function in enumerate(value):
                facts |= _of_function(f"{name}'s function {i}", function)
        elif isinstance(value, _VALUES + _CONTAINERS) and attribute != "verbose":
            facts[f"{name}'s {attribute}"] = _text(value)
    return facts


def _of_function(name, function, depth=0):
    """A function or a callable object by its name, its code and what it holds."""
    if function is None:
        return {name: "none"}
    if isinstance(function, functools.partial):
        held = [_held(list(function.args), depth), _held(dict(function.keywords), depth)]
        inner = _of_function(name, function.func, depth)
        return inner | {f"{name}'s arguments": " ".join(held)}
    facts = {name: getattr(function, "__name__", type(function).__name__)}
    if isinstance(function, MethodType):
        object_s, function = function.__self__, function.__func__
        reads = [function.__name__, *names_read(function)] if is_own(function) else ()
        facts[f"{name}'s object"] = _held(object_s, depth, reads)
    if isinstance(function, FunctionType):
        facts |= _of_variables(name, function, depth)
    elif not isinstance(function, nn.Module | type):
        facts |= _of_attributes(name, function, "__call__", depth=depth)
    return facts


def _of_variables(name, function, depth):
    """The code of a function and what its variables hold, those that it closes over and global ones.

    Not told are global texts, and yes or no: more often they are a device or a wish for messages.
    """
    own = is_own(function)
    reads = names_read(function) if own else ()
    held = [*closed_over(function), *(function.__defaults__ or ())]
    held += (function.__kwdefaults__ or {}).values()
    facts = {f"{name}'s code in {_PYTHON}": _code(function.__code__)} if own else {}
    facts[f"{name}'s values"] = " ".join(_held(value, depth, reads) for value in held) or "none"
    if own:
        for variable, value in globals_of(function).items():
            if not isinstance(value, ModuleType | type(None) | bool | str):
                facts[f"{name}'s {variable}"] = _held(value, depth, reads)
    return facts


def _of_attributes(name, thing, *methods, depth=0):
    """The code of an object's own methods by these names, what they read, and what else it holds that
    installed code may read."""
    facts = _of_code(name, thing, *methods, depth=depth)
    for attribute, value in _attributes(thing).items():
        known = isinstance(value, (*_VALUES, *_CONTAINERS)) or callable(value)
        own = attribute.startswith("_") or attribute in names_set(type(thing))
        if known and attribute != "training" and not own:
            facts.setdefault(f"{name}'s {attribute}", _held(value, depth))
    return facts


def _of_code(name, thing, *methods, depth=0):
    """The code of one's own methods by these names, and of those that they name; what they read."""
    facts, reads = {}, list(methods)
    for method, function in methods_of(type(thing), *methods).items():
        facts |= _of_variables(f"{name}'s {method}", function, depth)
        reads += names_read(function)
    places = [
        _attributes(thing),
        *map(vars, (thing if isinstance(thing, type) else type(thing)).__mro__),
    ]
    for attribute in dict.fromkeys(reads):
        place = next((place for place in places if attribute in place), {})
        value = place.get(attribute)
        if isinstance(value, MemberDescriptorType):  # of __slots__
            value = getattr(thing, attribute, None)
        is_code = hasattr(type(value), "__get__") and place is not places[0]
        if place and not is_code and attribute not in _OF_PYTORCH:
            facts[f"{name}'s {attribute}"] = _held(value, depth, reads)
    return facts


# What has a state that the run saves, or facts of its own.
_OF_PYTORCH = OF_EVERY_LAYER | {"training", "state", "param_groups", "defaults", "optimizer"}


def _attributes(thing):
    return getattr(thing, "__dict__", {})


def _held(value, depth=0, reads=()):
    """A text for what a function, an object or a layer holds; of functions and modules in short.

    `reads` are the names that stand in the code which holds it, of attributes and keys. A text in a
    dictionary that it doesn't name may be the hour of the run or a folder.
    """
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if k in reads or not isinstance(v, str)}
    if isinstance(value, _CONTAINERS):
        return _text(value, lambda item: _held(item, depth, reads))
    if isinstance(value, _VALUES):
        return _text(value)
    if depth == _DEPTH:
        return type(value).__name__
    if isinstance(value, nn.Module):
        # One with weights is part of a model, whose attributes may be anything.
        learns = next(value.parameters(), None) is not None
        facts = {"it": str(value)} if learns else _of_module("it", value, depth + 1)
        facts = {name: _without_address(text) for name, text in facts.items()}
    elif callable(value) and not isinstance(value, type):
        facts = _of_function("it", value, depth + 1)
        del facts["it"]  # its name, which is told in any case
    else:
        facts = _of_code("it", value, *reads, depth=depth + 1)
    name = getattr(value, "__name__", type(value).__name__)
    told = ", ".join(f"{fact} {text}" for fact, text in sorted(facts.items())).replace("it's ", "")
    if not facts or len(told) < 40:
        return f"{name} with {told}" if facts else name
    return f"{name} {zlib.crc32(told.encode()):08x}"


@functools.cache  # a checkpoint asks again after every epoch
def _code(code):
    """A number for what a function does: its instructions, names and constants."""

    def parts(code):
        return code.co_code, code.co_names, [*map(constant, code.co_consts)]

    def constant(value):
        if isinstance(value, frozenset):  # whose order is another one in every process
            return sorted(map(repr, value))
        return parts(value) if isinstance(value, CodeType) else repr(value)

    return f"{zlib.crc32(repr(parts(code)).encode()):08x}"


def _text(value, of_item=None):
    """Numbers as they are, arrays and tensors by shape, kind and checksum; items as `of_item` says."""
    of_item = of_item or _text
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, torch.device) or (isinstance(value, str) and _DEVICE.fullmatch(value)):
        return "a device"  # which may be another one
    if isinstance(value, _AS_STR):
        return str(value)
    if isinstance(value, torch.Tensor):
        if value.ndim == 0 and not value.is_meta:
            return str(value.item())
        return f"{list(value.shape)} of {value.dtype}, checksum {_checksum(value):08x}"
    if isinstance(value, np.ndarray) or hasattr(value, "__array_interface__"):
        array = np.asarray(value)
        if array.dtype == object:
            return _text(array.tolist(), of_item)
        checksum = zlib.crc32(np.ascontiguousarray(array))
        return f"{list(array.shape)} of {array.dtype}, checksum {checksum:08x}"
    if isinstance(value, list | tuple | set | frozenset):
        texts = [of_item(item) for item in value]
        if isinstance(value, set | frozenset):
            texts.sort()
        if len(texts) <= 4 and sum(map(len, texts)) < 60:
            return "[" + ", ".join(texts) + "]"
        return f"{len(texts)} values, checksum {zlib.crc32(' '.join(texts).encode()):08x}"
    if isinstance(value, dict):
        texts = [f"{_text(key)}: {of_item(item)}" for key, item in value.items()]
        return "{" + ", ".join(texts) + "}"
    return type(value).__name__


def _checksum(tensor):
    tensor = tensor.detach().cpu().contiguous()
    try:
        return zlib.crc32(tensor.flatten().view(torch.uint8).numpy())
    except (RuntimeError, TypeError):  # meta, sparse or quantised: by shape alone
        return 0


def _without_address(text):
    return re.sub(r" at 0x[0-9a-f]+", "", text)
