"""Training loops in many styles, for the loop doctor: buggy ones, each with its bug, and correct ones.

Each is a function without arguments that trains something tiny. Nothing in it knows of the doctor.
The modules `blind_…` were written by others, who did not see the doctor, and each set was first run
when it was complete. Of the bugs in `blind_buggy_1` to `4` it named 49 of 57 and flagged none of 64
correct loops; then, in order, 56 of 68 (`5` and `6`) and 2 of 52; 38 of 40 (`7`) and 0 of 40; 39 of
44 (`8`) and 0 of 40; 41 of 44 (`9`) and 2 of 40. Each time it was then repaired on them too, as it
was built on `dev_…` and `own_…`. The last count, on `10`: 38 of 40 bugs named, 0 of 40 correct loops
flagged. It has not been changed since.
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
