"""Plausible answers to the exercises, one module a lesson: wrong ones and unusual right ones.

Each wrong answer says which words the feedback must contain: it has to name *this* mistake.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from course_utils import checks


@dataclass(frozen=True, eq=False)
class Answer:
    lesson: str
    exercise: str
    attempt: Any
    says: str | None  # None: a right answer

    @cached_property
    def feedback(self):
        return getattr(getattr(checks, self.lesson), self.exercise)(self.attempt)


GALLERY = []


def gallery(lesson):
    """The two decorators of a lesson's module: `wrong(exercise, says)` and `right(exercise)`.

    `wrong(exercise, {says: attempt, …})` adds several at once.
    """

    def wrong(exercise, says):
        if isinstance(says, dict):
            for words, attempt in says.items():
                wrong(exercise, words)(attempt)
            return None

        def add(attempt):
            GALLERY.append(Answer(lesson, exercise, attempt, says))
            return attempt

        return add

    def right(exercise):
        return wrong(exercise, None)

    return wrong, right


def all_answers():
    """The answers of every module in this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return GALLERY
