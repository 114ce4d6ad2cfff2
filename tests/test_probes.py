"""Other cases bring to light what an attempt ignores, and which part of its input it uses."""

import pytest
import torch

from course_utils.checks.exercise import exercise, returned
from course_utils.checks.feedback import WRONG
from course_utils.checks.probes import _CUTS


def cases():
    for rows, lr in ((5, 0.1), (7, 0.3)):
        yield torch.randn(rows), torch.rand(rows), lr


@exercise(cases=cases, observe=returned("The step"), praise="Right.")
def step(losses, weights, lr):
    return lr * (weights * losses.exp()).sum() / weights.sum()


def told(attempt):
    feedback = step(attempt)
    assert feedback.status == WRONG
    return feedback.message


@pytest.mark.parametrize("name", _CUTS)
def test_the_part_of_its_input_that_an_attempt_uses_is_named(name):
    cut = _CUTS[name]
    message = told(lambda losses, weights, lr: step.right(losses[cut], weights[cut], lr))
    assert f"the right one for {name} of `losses` alone" in message


@pytest.mark.parametrize(
    ("name", "attempt"),
    {
        "losses": lambda losses, weights, lr: lr * weights.mean(),
        "weights": lambda losses, weights, lr: lr * losses.mean(),
        "lr": lambda losses, weights, lr: step.right(losses, weights, 0.1) + weights[0],
    }.items(),
)
def test_an_argument_that_makes_no_difference_is_named(name, attempt):
    assert f"Whatever `{name}` is" in told(attempt)


def test_an_attempt_that_uses_all_it_is_given_gets_no_such_words():
    for wrong in (
        lambda losses, weights, lr: lr * (weights * losses).sum() / weights.sum(),
        lambda losses, weights, lr: lr * (weights * losses.exp()).sum() / losses.sum(),
        lambda losses, weights, lr: step.right(losses, weights, lr) ** lr,
    ):
        assert not {"Whatever", "alone."} & set(told(wrong).split())


def test_a_constant_is_not_told_which_argument_it_ignores():
    assert "Whatever" not in told(lambda losses, weights, lr: 0.25)
