"""The line of the learner's code that led to what is happening now."""

import functools
import inspect
import linecache
import math
import os
import sys
import types
from pathlib import Path

import torch

# Installed packages, Python's own modules and this package: code that the learner did not write.
_LIBRARIES = (
    str(Path(torch.__file__).parents[1]),
    str(Path(os.__file__).parent),
    str(Path(__file__).parents[1]),
    "<frozen",
)
_OWN = str(Path(__file__).parent)
FRAMES = 4  # of the learner's functions, from the inside out, are read by most who read lines


@functools.cache
def is_learners(filename):
    return not filename.startswith(_LIBRARIES)


def learner_frame():
    """The innermost running frame of code that is no library, or None."""
    frame = sys._getframe(1)
    while frame is not None and not is_learners(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def learner_frames(limit=math.inf):
    """The running frames of such code, from the inside out, so many at most."""
    frame = learner_frame()
    while frame is not None and limit > 0:
        if is_learners(frame.f_code.co_filename):
            yield frame
            limit -= 1
        frame = frame.f_back


def forget_the_watcher(traceback):
    """Take the frames of this package out of a traceback, so that it reads as without it."""
    while traceback is not None:
        after = traceback.tb_next
        while after is not None and after.tb_frame.f_code.co_filename.startswith(_OWN):
            after = after.tb_next
        traceback.tb_next = traceback = after


def learner_line():
    """The line of `learner_frame()` as text, as "line 12: loss.backward()"; "" if there is none."""
    frame = learner_frame()
    return "" if frame is None else describe(frame.f_code.co_filename, frame.f_lineno)


def learner_place():
    """The code and the number of its line, to tell places apart; None if there is none."""
    frame = learner_frame()
    return frame and (frame.f_code, frame.f_lineno)


def in_sight(kind):
    """Objects of a kind in the variables of the learner's running functions and modules, and in
    the attributes of what is there."""
    found = {}
    for frame in learner_frames():
        names = frame.f_locals
        values = [*names.values(), *frame.f_globals.values()]
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED and type(names) is dict:
            names.clear()  # a copy, which would keep a function's tensors alive
        values += [
            part for value in values if hasattr(value, "__dict__") and not _is_code(value)
            for part in list(vars(value).values())
        ]  # fmt: skip
        found.update({id(value): value for value in values if issubclass(type(value), kind)})
    return list(found.values())


def _is_code(value):
    return isinstance(value, type | types.ModuleType | types.FunctionType)


def describe(filename, number):
    """A line of a file or of a notebook's cell, with its text where that can be read."""
    text = linecache.getline(filename, number).strip()
    in_file = Path(filename).suffix == ".py" and "ipykernel" not in filename
    place = f"{Path(filename).name}, line {number}" if in_file else f"line {number}"
    return f"{place}: {text}" if text else place
