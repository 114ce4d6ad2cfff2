"""What a function of one's own uses besides its arguments: closures, global variables, methods."""

import dis
import functools
import sysconfig
from contextlib import suppress
from types import CodeType, FunctionType

_INSTALLED = (sysconfig.get_path("stdlib"), "<frozen")


def is_own(function):
    """Whether it is a function that stands in no installed package."""
    return isinstance(function, FunctionType) and not _is_installed(function.__code__.co_filename)


@functools.cache
def _is_installed(file):
    return "site-packages" in file or "dist-packages" in file or file.startswith(_INSTALLED)


def closed_over(function):
    """The values of the variables that a function closes over."""
    values = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a variable that has no value yet
            if name != "__class__":  # which super() needs
                values.append(cell.cell_contents)
    return values


def globals_of(function):
    """The global variables that a function reads, also in functions inside it: name -> value."""
    known = function.__globals__
    return {name: known[name] for name in _names(function.__code__)[0] if name in known}


def methods_of(kind, *names):
    """The methods of a class by these names, and those of its own that they name: name -> function."""
    found, names = {}, list(names)
    for name in names:  # which grows
        method = getattr(kind, name, None)
        method = getattr(method, "fget", getattr(method, "func", method))  # of a property
        while hasattr(method, "__wrapped__"):  # as @torch.no_grad() does
            method = method.__wrapped__
        if name not in found and is_own(method):
            found[name] = method
            names += names_read(method)
    return found


def names_read(function):
    """The names of the attributes, of whatever object, and the keys that stand in a function."""
    return _names(function.__code__)[1]


@functools.lru_cache  # a checkpoint asks again after every epoch
def names_set(kind):
    """The names of the attributes that the methods of one's own class set."""
    methods = [method for base in kind.__mro__ for method in vars(base).values() if is_own(method)]
    return {name for method in methods for name in _names(method.__code__)[2]}


@functools.cache
def _names(code):
    """The names of global variables read, of attributes read and keys, and of attributes set, sorted."""
    variables, read, were_set = set(), set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            variables.add(instruction.argval)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            read.add(instruction.argval)
        elif instruction.opname == "STORE_ATTR":
            were_set.add(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, str) and inner.isidentifier():
            read.add(inner)
        if isinstance(inner, CodeType):
            for names, more in zip((variables, read, were_set), _names(inner), strict=True):
                names.update(more)
    return sorted(variables), sorted(read), sorted(were_set)
