"""Small mistakes in a right answer's source are made, and recognised by what they lead to."""

import math
import time

import pytest
import torch

from course_utils.checks.exercise import exercise, returned
from course_utils.checks.feedback import WRONG
from course_utils.checks.mutants import mutants


def cases():
    for rows in (5, 7):
        yield torch.randn(rows, 3), torch.randn(rows, 3), 0.3


@exercise(cases=cases, observe=returned("The norms"), praise="Right.")
def norms(x, y, eps):
    return ((x - y).pow(2).mean(dim=1) + eps).sqrt() / -(x > y).sum(dim=1).add(1)


def spoilt(difference=torch.sub, power=2, dim=1, mean=torch.mean, root=torch.sqrt, eps=1, sign=-1):
    """The same, written in another way, with a mistake."""

    def attempt(x, y, e):
        length = root(mean(difference(x, y) ** power, dim) + eps * e)
        return sign * length / (1 + (x > y).sum(1))

    return attempt


@pytest.mark.parametrize(
    ("words", "attempt"),
    {
        "a plus stands in its place": spoilt(difference=torch.add),
        "`sqrt` is missing": spoilt(root=lambda x: x),
        "`sum` stands where another": spoilt(mean=torch.sum),
        "a term is missing": spoilt(eps=0),
    }.items(),
)
def test_a_small_mistake_is_recognised_in_an_answer_that_is_written_otherwise(words, attempt):
    feedback = norms(attempt)
    assert feedback.status == WRONG
    assert "one mistake in it" in feedback.message and words in feedback.message


def test_what_is_no_small_mistake_is_told_nothing():
    for attempt in (
        spoilt(power=4),
        spoilt(root=lambda x: x.sigmoid()),
        lambda x, y, eps: torch.randn(len(x)),
        lambda x, y, eps: torch.full((len(x),), math.pi) * x[:, 0],
    ):
        assert "one mistake" not in norms(attempt).message


def test_the_words_show_nothing_of_the_right_answers_source():
    found = " ".join(words for words, _ in mutants(norms.right))
    assert found and not any(piece in found for piece in ("(", "x -", "+ eps", "x >"))


def test_a_function_that_might_not_end_is_left_alone():
    def doubling(x):
        scale = 1
        while scale * x < 1:
            scale *= 2
        return scale

    assert mutants(doubling) == []


def test_looking_for_mistakes_ends_after_a_second():
    @exercise(cases=cases, observe=returned("The sum"), praise="Right.")
    def slow(x, y, eps):
        time.sleep(0.03)
        return (x - y).sum() * eps + (x + y).sum() * eps + (x * y).sum() * eps

    slow(lambda x, y, eps: x.pow(3).sum())
    start = time.monotonic()
    slow(lambda x, y, eps: x.pow(4).sum())
    assert time.monotonic() - start < 3
