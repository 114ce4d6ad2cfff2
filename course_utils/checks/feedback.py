"""What every check is built from: run the attempt, compare, and name the mistake."""

import copy
import functools
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from .. import progress
from ..doctor import errors
from ..doctor.where import is_learners
from ..random_state import seeded
from .relations import relation, resemblance
from .values import close, contrast

PASSED, WRONG, NOT_ATTEMPTED = "passed", "wrong", "not attempted"


@dataclass(frozen=True)
class Feedback:
    """The verdict on an attempt, shown by the notebook as the result of the check's cell."""

    status: str
    message: str

    def __repr__(self):
        sign = {PASSED: "✓ Correct.", WRONG: "✗ Not yet.", NOT_ATTEMPTED: "○"}
        return f"{sign[self.status]} {self.message}"

    def _repr_html_(self):
        color = {PASSED: "#009E73", WRONG: "#D55E00", NOT_ATTEMPTED: "#666666"}[self.status]
        return (
            f'<div role="status" style="border-left: 5px solid {color}; padding: 4px 12px; '
            f'white-space: pre-wrap">{escape(repr(self))}</div>'
        )


class Mistake(Exception):
    """An attempt that is wrong; the message says how, to the learner."""


class Diagnosis(Mistake):
    """A mistake that is known by name already: no table need be asked."""


class NotAttempted(Exception):
    """The `...` of the stub is still there."""


def check(function):
    """Make a check of a function that takes the attempt, raises `Mistake` or returns praise.

    The check never raises, starts from the same random numbers each time, and leaves those and
    autograd's switch as they were.
    """

    @functools.wraps(function)
    def run(attempt):
        numpy_state = np.random.get_state()
        try:
            with seeded(0), torch.enable_grad():
                np.random.seed(0)
                if attempt is ...:
                    raise NotAttempted
                praise = function(attempt)
            progress.record(function.__module__.rpartition(".")[2], function.__name__)
            return Feedback(PASSED, praise)
        except NotAttempted:
            return Feedback(NOT_ATTEMPTED, _left_to_do(attempt))
        except Mistake as mistake:
            return Feedback(WRONG, str(mistake))
        except Exception as error:  # the attempt's own: the learner needs its line, not our stack
            return Feedback(WRONG, explain(error))
        finally:
            np.random.set_state(numpy_state)

    return run


def _left_to_do(attempt):
    """What to tell a learner whose attempt still holds a `...`."""
    rows = [_is_open(answer) for answer in attempt.values()] if isinstance(attempt, dict) else []
    if 0 < sum(rows) < len(rows):
        return f"{len(rows) - sum(rows)} of {len(rows)} rows are filled. Now the others."
    return "Not attempted yet. A ... is left in the cell above: replace it, run that cell, then this one."


def _is_open(answer):
    """Whether a row of a dict holds the `...` of the stub, or a tuple with one in it."""
    parts = answer if isinstance(answer, tuple | list) else [answer]
    return any(part is ... for part in parts)


def call(function, *args, **kwargs):
    """What the attempt returns; `...` means not attempted, None a forgotten `return`.

    Raises Mistake if the attempt changed the tensors, arrays or tables it was given.
    """
    if not callable(function):
        raise Mistake(
            f"Pass the function itself to the check, without parentheses after its name; "
            f"it got a {type(function).__name__}."
        )
    data = [value for value in args if hasattr(value, "__array__")]
    before = [_copy(value) for value in data]
    result = function(*args, **kwargs)
    if result is ...:
        raise NotAttempted
    if result is None:
        raise Mistake(
            "Your function returned None: it came to its end without a `return`. (A `return` "
            "inside an `if` needs another one after it.)"
        )
    if not all(_same(a, b) for a, b in zip(data, before, strict=True)):
        raise Mistake("Your function changed the data it was given. Work on a copy.")
    return result


def _copy(value):
    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def _same(a, b):
    """Equal in every element, also where both are NaN."""
    a, b = (np.asarray(v.detach() if isinstance(v, torch.Tensor) else v) for v in (a, b))
    return a.shape == b.shape and bool(np.all((a == b) | ((a != a) & (b != b))))


def as_pair(result, what):
    """`result` as two values; `what` names them for the learner."""
    if not (isinstance(result, tuple | list | np.ndarray) and len(result) == 2):
        raise Mistake(f"Return two things: `return {what}`.")
    if any(part is ... for part in result):
        raise NotAttempted
    return tuple(result)


def as_class(attempt, name):
    """`attempt`, which should be a class, or a function that makes its objects."""
    if not callable(attempt):
        raise Mistake(f"Pass the class itself, {name}, not an object made from it.")
    return attempt


def as_tensor(value, what, shape=None):
    """`value` as a tensor, also where it is an array; Mistake if it is none, or of another shape."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"{what} should be a tensor; yours is a {type(value).__name__}.")
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Mistake(
            f"{what} should have shape {list(shape)}; yours has shape {list(value.shape)}."
        )
    return value


def filled(attempt, names):
    """The entries of a dict to fill in that hold an answer; it must have exactly these names."""
    if not isinstance(attempt, dict):
        raise Mistake(f"Pass the dict with your answers; this is a {type(attempt).__name__}.")
    if attempt.keys() != set(names):
        missing = ", ".join(str(name) for name in names if name not in attempt)
        unknown = ", ".join(str(name) for name in attempt if name not in names)
        raise Mistake(
            f"Keep the names in the dict. Missing: {missing or '-'}; new: {unknown or '-'}."
        )
    answers = {name: attempt[name] for name in names if not _is_open(attempt[name])}
    if not answers:
        raise NotAttempted
    return answers


@contextmanager
def explained(errors):
    """Make a Mistake of an error with certain words in its message; `errors` maps them to its text."""
    try:
        yield
    except (Mistake, NotAttempted):
        raise
    except Exception as error:
        for words, explanation in errors.items():
            if words in str(error):
                raise Mistake(f"{explanation} (Python says: {error})") from None
        raise


class without(TorchFunctionMode):
    """In a `with` block: it is a Mistake to call one of torch's functions with these names."""

    def __init__(self, names, why):
        super().__init__()
        self.names, self.why = names, why

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function.__name__ in self.names:
            raise Mistake(self.why)
        return function(*args, **(kwargs or {}))


def as_number(value, what, plain=True):
    """`value` as a Python number, or a Mistake that says what to return instead.

    `plain=False` also takes the number in a tensor with one element.
    """
    if not plain:
        value = _item(value)
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise Mistake(f"{what} should be one number; yours is a tensor {list(value.shape)}.")
        raise Mistake(
            f"{what} should be a plain Python number; yours is a tensor. Take its value with "
            ".item()."
        )
    if callable(value):
        raise Mistake(
            f"{what} should be a number; yours is a function: its parentheses are missing."
        )
    try:
        return float(value + 0)  # not a string
    except (TypeError, ValueError):
        raise Mistake(f"{what} should be a number; yours is a {type(value).__name__}.") from None


def as_bool(value, what):
    """`value` as True or False, where it is one, also of NumPy or in a tensor."""
    value = _item(value)
    if not isinstance(value, bool):
        raise Mistake(f"{what} should return True or False; yours returned {value!r}.")
    return value


def _item(value):
    """The number or truth value in a tensor or array with one element; anything else as it is."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and len(value.reshape(-1)) == 1:
        return value.item()
    return value


def compare(yours, expected, mistakes, what):
    """Raise a Mistake unless `yours` is `expected`.

    `mistakes` maps an explanation to the value that this mistake leads to; the one that matches
    names the mistake.
    """
    if close(yours, expected):
        return
    shown = contrast(yours, expected, what)
    for explanation, value in mistakes.items():
        if close(yours, value):
            raise Mistake(f"{explanation} ({shown})")
    results = [(yours, expected, {})]
    if words := relation(results) or resemblance(results):
        raise Mistake(f"{words} ({shown})")
    raise Mistake(shown)


def explain(error):
    """The exception with the learner's line: the innermost one that is not library code."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.line and is_learners(frame.filename)
    ]
    where = f" in your line `{own[-1].line}`" if own else ""
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    hints = [note for note in getattr(error, "__notes__", []) if "Loop doctor:" not in note]
    if isinstance(error, NameError) and _is_stored(error):
        hints.insert(0, f"The object keeps it for you. To repair it: self.{error.name}.")
    if found := errors.known(error):
        meaning, fix = found
        hints.insert(0, f"{meaning} To repair it: {fix}.")
    hint = "".join(f" ({hint.strip()})" for hint in hints)
    return f"Your code stopped{where} with {type(error).__name__}: {first_line}{hint}"


def _is_stored(error):
    """Whether the name that a method didn't find is an attribute of its object."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return hasattr(frame.f_locals.get("self"), error.name or "")
