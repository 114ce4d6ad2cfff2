"""The random numbers of a run: where they come from, how to fix them, and how to put them back."""

import functools
import random
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import nn

from .own_code import closed_over, globals_of, is_own

_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_LEAVES = (torch.Tensor, np.ndarray, ModuleType, type, str, bytes, int, float)
_PLAIN = {type(None), bool, int, float, str, bytes, torch.Tensor, nn.Parameter}
_DEEPEST, _LONGEST = 8, 100  # a list of a million file names is no place for a generator


def generators_in(*things):
    """The random generators that `things` hold, each once, besides the global ones.

    Looks into attributes, lists, dictionaries and functions: samplers, data sets inside data sets,
    augmentations, what a function closes over, and the global variables it reads or calls.
    """
    found, seen = [], set()

    def look(thing, depth):
        if type(thing) in _PLAIN or (isinstance(thing, dict | set) and not thing):
            return  # most of what a layer holds: numbers, and dictionaries of hooks nobody set
        if isinstance(thing, _LEAVES) or depth > _DEEPEST or id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, _KINDS):
            if not isinstance(thing, random.SystemRandom):  # which has no state
                found.append(thing)
            return
        for part in _parts(thing):
            look(part, depth + 1)

    for thing in things:
        look(thing, 0)
    return found


def _parts(thing):
    if isinstance(thing, dict):
        return list(thing.values())[:_LONGEST]
    if isinstance(thing, list | tuple):
        return thing[:_LONGEST]
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, FunctionType):
        return [
            *closed_over(thing),
            *(thing.__defaults__ or ()),
            *(thing.__kwdefaults__ or {}).values(),
            *(value for value in globals_of(thing).values() if _is_drawn_from(value, thing)),
        ]
    kinds = [
        kind
        for kind in type(thing).__mro__
        if kind.__module__.partition(".")[0] not in ("torch", "builtins")
    ]
    slots = [vars(kind).get("__slots__", ()) for kind in kinds]
    names = [name for slot in slots for name in ([slot] if isinstance(slot, str) else slot)]
    held = {name: getattr(thing, name, None) for name in names} | getattr(thing, "__dict__", {})
    held.pop("_iterator", None)
    methods = [getattr(value, "__func__", value) for kind in kinds for value in vars(kind).values()]
    return [*held.values(), *(value for value in methods if isinstance(value, FunctionType))]


def _is_drawn_from(value, function):
    """Whether a global variable is a generator, or what one's own function may call."""
    return isinstance(value, _KINDS) or (callable(value) and is_own(function))


def random_state(generators=()):
    """The state of the global random numbers of Python, NumPy and PyTorch, and of `generators`."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "generators": [_state_of(generator) for generator in generators],
    }


def set_random_state(state, generators=()):
    """Put everything back to a state that `random_state` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, its_state in zip(generators, state["generators"], strict=True):
        _put_back(generator, its_state)


@contextmanager
def undisturbed(*things):
    """In a `with` block random numbers may be drawn; after it all go on as if none had been."""
    generators = generators_in(*things)
    state = random_state(generators)
    try:
        yield
    finally:
        set_random_state(state, generators)


@contextmanager
def seeded(seed):
    """In a `with` block: PyTorch's CPU numbers start at `seed`; after it they go on as before.

    Other devices are left alone: `torch.manual_seed` would reseed them for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _state_of(generator):
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state()


def _put_back(generator, state):
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)
