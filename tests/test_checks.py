"""Every check names the mistake of a wrong answer and accepts right answers in any style."""

import copy
from collections import Counter
from types import FunctionType

import pytest
import torch

from course_utils import checks
from course_utils.checks.exercise import Exercise
from course_utils.checks.feedback import NOT_ATTEMPTED, PASSED, WRONG, Mistake, call, compare
from course_utils.checks.mutants import mutants
from tests import lessons
from tests.wrong_answers import all_answers

GALLERY = all_answers()
EXERCISES = [
    (lesson.partition("_")[2], check.source.split("(")[0].rpartition(".")[2])
    for lesson in lessons.LESSONS
    for _, check, _ in lessons.exercises(lessons.read(lesson))
]


TABLES = [
    check
    for lesson, exercise in EXERCISES
    if isinstance(check := getattr(getattr(checks, lesson), exercise), Exercise)
]


def named(value):
    return getattr(value, "__name__", None) or type(value).__name__


@pytest.mark.parametrize(
    "answer",
    GALLERY,
    ids=lambda answer: f"{answer.exercise}-{answer.says or named(answer.attempt)}",
)
def test_feedback_names_the_mistake_and_accepts_right_answers(answer):
    feedback = answer.feedback
    if answer.says is None:
        assert feedback.status == PASSED, feedback.message
    else:
        assert feedback.status == WRONG, feedback.message
        assert answer.says in feedback.message


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_a_table_refuses_each_of_its_mistakes_with_its_words(table):
    for words, attempt in table.mistakes.items():
        error = str(table._see(attempt, table._drawn()[0]).error)
        assert "positional argument" not in error, f"{words!r} takes other arguments: {error}"
        feedback = table(attempt)
        assert feedback.status == WRONG and feedback.message.startswith(words), (
            f"the learner should be told {words!r}, and is told {feedback.message!r}"
        )


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_a_table_accepts_each_of_its_right_answers(table):
    for seen in map(table._see, [table.right] * 99, table._drawn()):
        assert seen.error is None, "the right answer itself stops"
    for attempt in table.variants:
        feedback = table(attempt)
        assert feedback.status == PASSED, f"{named(attempt)}: {feedback.message}"


@pytest.mark.parametrize(
    "table", [table for table in TABLES if isinstance(table.right, type)], ids=named
)
def test_an_object_made_of_what_the_first_one_was_given_does_not_pass(table):
    first = []

    class Remembers(table.right):
        def __init__(self, *args, **kwargs):
            first.append((args, kwargs))
            super().__init__(*first[0][0], **first[0][1])

    assert table(Remembers).status == WRONG


@pytest.mark.parametrize(
    "table", [table for table in TABLES if isinstance(table.right, FunctionType)], ids=named
)
def test_an_answer_by_heart_or_one_that_remembers_does_not_pass(table):
    results = []

    def noted(*args, **kwargs):
        result = table.right(*args, **kwargs)
        detach = isinstance(result, torch.Tensor)
        results.append(result.detach().clone() if detach else copy.deepcopy(result))
        return result

    def by_heart(*args, **kwargs):
        return copy.deepcopy(results[0])

    def remembers(*args, **kwargs):
        calls.append(1)
        return by_heart() if len(calls) > 1 else table.right(*args, **kwargs)

    calls = []
    for case in table._drawn()[:1]:
        list(table.observe(noted, *case))
    assert table(by_heart).status == WRONG, "all cases have the same result"
    assert table(remembers).status == WRONG, "no case comes after one with another result"


@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # as a check ignores them
@pytest.mark.parametrize("check", TABLES, ids=named)
def test_small_mistakes_can_be_made_in_every_right_answer(check):
    for right in (check.right, *check.variants):
        assert all(words and callable(mutant) for words, mutant in mutants(right))


def test_each_check_is_called_in_its_lesson():
    of_a_function = checks.feedback.check(print).__code__
    there = {
        (lesson, name)
        for lesson in {lesson for lesson, _ in EXERCISES}
        for name, value in vars(getattr(checks, lesson)).items()
        if isinstance(value, Exercise) or getattr(value, "__code__", None) is of_a_function
    }
    unused = there - set(EXERCISES)
    assert not unused, f"{unused}: no lesson calls check.LESSON.EXERCISE(attempt) below a stub"


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_each_check_knows_four_wrong_and_two_right_answers(lesson, exercise):
    mine = [a for a in GALLERY if (a.lesson, a.exercise) == (lesson, exercise)]
    table = getattr(getattr(checks, lesson), exercise)
    rows = (table.mistakes, [table.right, *table.variants]) if table in TABLES else ((), ())
    wrong = sum(a.says is not None for a in mine) + len(rows[0])
    right = sum(a.says is None for a in mine) + len(rows[1])
    assert wrong >= 4 and right >= 2, (
        f"of four wrong and two right answers, checks/{lesson}.py and tests/wrong_answers/{lesson}.py "
        f"have {wrong} and {right}"
    )
    messages = [a.feedback.message for a in mine if a.says is not None]
    assert max(Counter(messages).values(), default=0) <= 2, "two mistakes get the same feedback"


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)
def test_an_untouched_stub_is_not_attempted_and_leaves_random_numbers_alone(lesson, exercise):
    check = getattr(getattr(checks, lesson), exercise)
    state = torch.get_rng_state()
    assert check(...).status == NOT_ATTEMPTED
    assert torch.equal(state, torch.get_rng_state())


def test_a_dict_filled_in_part_has_its_rows_checked_and_then_counted():
    tasks = dict.fromkeys(checks.loss._TASKS, ...)
    bird = "which of 7 bird species is in the picture"
    right = (torch.nn.CrossEntropyLoss, [32, 7], [32], torch.int64)
    assert "Not attempted yet" in checks.loss.choices(tasks).message
    feedback = checks.loss.choices(tasks | {bird: right})
    assert feedback.status == NOT_ATTEMPTED and "1 of 4 rows" in feedback.message
    assert checks.loss.choices(tasks | {bird: (*right[:3], torch.float32)}).status == WRONG
    assert "Not attempted yet" in checks.loss.choices(tasks | {bird: (*right[:3], ...)}).message


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
