import pytest
from playwright.sync_api import expect

from course_utils import quiz, show_source, train_step
from course_utils.quiz import Quiz
from tests import browser
from tests.lessons import ROOT

QUESTIONS = [
    {
        "text": "Is `a < b`?",
        "answers": [
            {"text": "no", "why": "Look again."},
            {"text": "yes", "right": True, "why": "It is."},
        ],
    }
]


def test_a_quiz_is_shown_live_with_the_list_beside_it_for_those_who_have_no_front_end():
    bundle, metadata = Quiz(QUESTIONS)._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert "<details>" in bundle["text/html"] and isinstance(metadata, dict)


@browser.needs_chromium
def test_answers_are_buttons_that_mark_themselves_by_keyboard_too_and_are_remembered():
    module = (ROOT / "course_utils" / "quiz.js").read_text(encoding="utf-8")
    with browser.chromium() as chromium:
        page = chromium.new_page()
        # As classic Notebook styles every legend
        page.set_content(
            "<style>legend { font-size: 21px; line-height: inherit; color: #333; "
            "border-bottom: 1px solid }</style>"
            f"<body style='color: rgb(238, 238, 238)'>{Quiz(QUESTIONS * 2)._page()}</body>"
        )
        page.add_script_tag(
            content=f"{module}; window.kept = []; window.enhance = enhance;"
            "enhance(document.querySelector('.quiz'), [], tries => window.kept = tries)",
            type="module",
        )
        legend = page.locator("legend").first
        expect(legend).to_have_css("color", "rgb(238, 238, 238)")
        expect(legend).to_have_css("font-size", "16px")
        expect(legend).to_have_css("border-bottom-width", "0px")
        first = page.get_by_role("group", name="1. Is a < b?")
        first.get_by_role("radio", name="no").check()
        expect(first.get_by_role("status")).to_have_text("✗ Not this one. Look again.")
        page.keyboard.press("ArrowDown")
        expect(first.get_by_role("radio", name="yes")).to_be_checked()
        expect(first.get_by_role("status")).to_have_text("✓ Right. It is.")
        page.get_by_role("group", name="2. Is").get_by_text("yes").click()
        expect(page.locator(".score")).to_have_text("1 of 2 right at the first try.")
        assert page.evaluate("window.kept") == [[0, 1], [1]]

        page.evaluate(
            "html => { document.body.innerHTML = html; enhance(document.querySelector('.quiz'), [[0], []]) }",
            Quiz(QUESTIONS * 2)._page(),
        )
        expect(page.get_by_text("✗ Not this one.")).to_be_visible()
        expect(page.locator(".score")).to_have_text("0 of 1 right at the first try, 1 to go.")


def test_without_a_front_end_the_questions_are_readable_text():
    assert repr(Quiz(QUESTIONS)) == "1. Is `a < b`?\n   A) no\n   B) yes"
    bundle, _ = Quiz(QUESTIONS)._repr_mimebundle_()
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
