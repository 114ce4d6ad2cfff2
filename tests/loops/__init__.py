"""Training loops in many styles, for the loop doctor: buggy ones, each with its bug, and correct ones.

Each is a function without arguments that trains something tiny. Nothing in it knows of the doctor.
The modules `blind_…` were written by others and run only when the doctor was finished: it named 49
of their 57 bugs and flagged none of their 64 correct loops. On `dev_…` and `own_…` it was built.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple


class Loop(NamedTuple):
    run: Callable
    bug: str | None  # None: a correct loop

    def __str__(self):
        return f"{self.bug or 'correct'}-{self.run.__name__}"


LOOPS = []


def buggy(bug):
    """Mark a loop whose primary finding must be `bug`."""

    def add(run):
        LOOPS.append(Loop(run, bug))
        return run

    return add


def correct(run):
    """Mark a loop on which the doctor must report no error and no warning."""
    LOOPS.append(Loop(run, None))
    return run


def all_loops():
    """Every loop of every module in this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return LOOPS
