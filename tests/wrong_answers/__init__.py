"""Plausible answers to the exercises, one module a lesson: wrong ones and unusual right ones.

Each wrong answer says which words the feedback must contain: it has to name *this* mistake.
"""

from functools import cache
from typing import Any, NamedTuple

from course_utils import checks


class Answer(NamedTuple):
    lesson: str
    exercise: str
    attempt: Any
    says: str | None  # None: a right answer

    def feedback(self):
        return _feedback(self)


@cache
def _feedback(answer):
    return getattr(getattr(checks, answer.lesson), answer.exercise)(answer.attempt)


GALLERY = []


def gallery(lesson):
    """The two decorators of a lesson's module: `wrong(exercise, says)` and `right(exercise)`."""

    def wrong(exercise, says):
        def add(attempt):
            GALLERY.append(Answer(lesson, exercise, attempt, says))
            return attempt

        return add

    def right(exercise):
        return wrong(exercise, None)

    return wrong, right
