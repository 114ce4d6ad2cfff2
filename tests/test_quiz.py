import pytest

from course_utils import quiz, show_source, train_step
from course_utils.quiz import Quiz

QUESTIONS = [
    {
        "text": "Is `a < b`?",
        "answers": [
            {"text": "no", "why": "Look again."},
            {"text": "yes", "right": True, "why": "It is."},
        ],
    }
]


def test_an_answer_is_marked_and_explained():
    questions = Quiz(QUESTIONS)
    assert questions.mark(1, 0) == (False, "Look again.")
    assert questions.mark(1, 1) == (True, "It is.")


def test_choosing_an_answer_shows_the_verdict_beside_it():
    questions = Quiz(QUESTIONS)
    bundle = questions._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    heading, _, choice, verdict = questions._box.children
    assert "<code>a &lt; b</code>" in heading.value
    assert "Right" not in verdict.value and "Not this one" not in verdict.value
    choice.value = 0
    assert "A: ✗ Not this one." in verdict.value and "Look again." in verdict.value
    choice.value = 1
    assert "B: ✓ Right." in verdict.value and "Look again." not in verdict.value


def test_without_a_front_end_the_questions_are_readable_text():
    assert repr(Quiz(QUESTIONS)) == "1. Is `a < b`?\n   A) no\n   B) yes"
    bundle = Quiz(QUESTIONS)._repr_mimebundle_()
    assert bundle["text/plain"] == repr(Quiz(QUESTIONS))
    asked, folded_away = bundle["text/html"].split("<details>")
    assert "<code>a &lt; b</code>" in asked and "<li>yes</li>" in asked and "Right" not in asked
    assert "<b>Right.</b> It is." in folded_away and "Not this one. Look again." in folded_away


def test_an_unknown_lesson_names_those_that_have_a_quiz():
    with pytest.raises(ValueError, match="05_full_loop"):
        quiz("5")


def test_show_source_is_the_package_code_itself():
    shown = show_source(train_step).data
    assert shown.startswith("```python\ndef train_step(") and "scaler.step(optimizer)" in shown


def test_show_source_shows_an_excerpt_from_one_line_to_another():
    shown = show_source(train_step, "optimizer.zero_grad()", "loss = ").data
    assert shown.startswith("```python\noptimizer.zero_grad()\n")
    assert shown.endswith("    loss = loss_fn(logits, yb)\n```")
    with pytest.raises(ValueError, match="No line with 'no such line'"):
        show_source(train_step, "no such line")


def test_show_source_of_something_without_source_is_explained():
    with pytest.raises(TypeError, match="written in Python"):
        show_source(len)
