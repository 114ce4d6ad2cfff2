"""Training loops in many styles, for the loop doctor: buggy ones, each with its bug, and correct ones.

Each is a function without arguments that trains something tiny. Nothing in it knows of the doctor.
The doctor was built on `dev_…`, `own_…` and `reports…`; `strangers` has loops of others, and the
table of how many of them it named before it was repaired on them.
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
    """Every loop of every module in this folder and in that of strangers."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return LOOPS
