"""Every check names the mistake of a wrong answer and accepts right answers in any style."""

from collections import Counter

import pytest
import torch

from course_utils import checks
from course_utils.checks.feedback import NOT_ATTEMPTED, PASSED, WRONG, Mistake, call, compare
from tests import lessons
from tests.wrong_answers import all_answers

GALLERY = all_answers()
EXERCISES = [
    (lesson.partition("_")[2], check.source.split("(")[0].rpartition(".")[2])
    for lesson in lessons.LESSONS
    for _, check, _ in lessons.exercises(lessons.read(lesson))
]


@pytest.mark.parametrize(
    "answer",
    GALLERY,
    ids=lambda a: f"{a.exercise}-{getattr(a.attempt, '__name__', type(a.attempt).__name__)}",
)
def test_feedback_names_the_mistake_and_accepts_right_answers(answer):
    feedback = answer.feedback
    if answer.says is None:
        assert feedback.status == PASSED, feedback.message
    else:
        assert feedback.status == WRONG, feedback.message
        assert answer.says in feedback.message


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_each_check_has_four_wrong_and_two_right_answers(lesson, exercise):
    mine = [a for a in GALLERY if (a.lesson, a.exercise) == (lesson, exercise)]
    assert sum(a.says is not None for a in mine) >= 4
    assert sum(a.says is None for a in mine) >= 2
    messages = [a.feedback.message for a in mine if a.says is not None]
    assert max(Counter(messages).values()) <= 2, "different mistakes get the same feedback"


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_an_untouched_stub_is_not_attempted_and_leaves_random_numbers_alone(lesson, exercise):
    check = getattr(getattr(checks, lesson), exercise)
    state = torch.get_rng_state()
    assert check(...).status == NOT_ATTEMPTED
    assert torch.equal(state, torch.get_rng_state())


def test_an_attempt_that_is_no_function_is_explained():
    feedback = checks.full_loop.count_correct(12)
    assert feedback.status == WRONG and "without parentheses" in feedback.message


def test_feedback_reads_the_same_as_text_and_as_html():
    feedback = checks.full_loop.count_correct(lambda logits, yb: 0 < 1)
    assert repr(feedback).startswith("✗ Not yet.")
    assert "✗ Not yet." in feedback._repr_html_() and "<b" not in feedback._repr_html_()


def test_two_numbers_that_begin_alike_are_shown_with_more_digits_and_without_a_place():
    with pytest.raises(Mistake) as mistake:
        compare(1251.4, 1251, {}, "The sum")
    assert str(mistake.value) == "The sum should be 1251; you have 1251.4."


def test_data_with_nan_or_a_graph_can_be_given_to_an_attempt():
    with_nan, with_graph = torch.tensor([1.0, float("nan")]), torch.ones(2, requires_grad=True) * 2
    assert call(lambda a, b: 1, with_nan, with_graph) == 1
    with pytest.raises(Mistake, match="changed the data"):
        call(lambda a: a.zero_().sum(), with_nan)
