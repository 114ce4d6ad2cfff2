"""Multiple-choice questions with an explanation for every answer; one TOML file a lesson.

A file is a list of `[[question]]` tables: `text`, and `answers`, a list of tables with `text`,
`why` and, for the right one, `right = true`. Backticks mark code. A question on a deeper part of the
lesson has `deeper = true`, and says so.
"""

import re
import tomllib
from html import escape
from pathlib import Path

_FOLDER = Path(__file__).parent / "quizzes"
# As large as the text of the notebook, in JupyterLab's Presentation Mode, too
_SIZE = "font-size: var(--jp-content-font-size1)"


def quiz(lesson):
    """The questions of a lesson, for example `quiz("05_full_loop")`, to answer in the notebook.

    Raises ValueError for a lesson without questions.
    """
    path = _FOLDER / f"{lesson}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.toml")))
        raise ValueError(f"There is no quiz for {lesson!r}; there are quizzes for: {known}.")
    return Quiz(tomllib.loads(path.read_text(encoding="utf-8"))["question"])


class Quiz:
    """Questions that mark themselves. Without a live front end they show as a list."""

    def __init__(self, questions):
        self.questions = questions
        self._box = None

    def mark(self, number, choice):
        """Whether answer `choice` (from 0) to question `number` (from 1) is right, and why."""
        answer = self.questions[number - 1]["answers"][choice]
        return answer.get("right", False), answer["why"]

    def _widget(self):
        import ipywidgets as widgets

        rows = []
        for number, question in enumerate(self.questions, 1):
            heading = widgets.HTML(
                f"<p style='{_SIZE}'><b>{number}.</b> {_html(question['text'])}</p>"
            )
            # Long answers wrap in HTML labels but not in radio buttons, so the buttons are letters.
            listed = "".join(
                f"<li style='margin: 2px 0'>{_html(answer['text'])}</li>"
                for answer in question["answers"]
            )
            answers = widgets.HTML(f"<ol type='A' style='margin: 0; {_SIZE}'>{listed}</ol>")
            choice = widgets.ToggleButtons(
                options=[(_letter(i), i) for i in range(len(question["answers"]))],
                value=None,
                style={"button_width": "48px"},
            )
            verdict = widgets.HTML("<div role='status'></div>")
            choice.observe(self._marker(number, verdict), names="value")
            rows += [heading, answers, choice, verdict]
        return widgets.VBox(rows)

    def _marker(self, number, verdict):
        def on_choice(change):
            right, why = self.mark(number, change["new"])
            sign = "✓ Right." if right else "✗ Not this one."
            verdict.value = (
                f"<div role='status' style='border-left: 4px solid "
                f"{'#009E73' if right else '#D55E00'}; padding: 2px 10px; margin: 4px 0; "
                f"{_SIZE}'>"
                f"<b>{_letter(change['new'])}: {sign}</b> {_html(why)}</div>"
            )

        return on_choice

    def _repr_mimebundle_(self, **kwargs):
        if self._box is None:
            self._box = self._widget()
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self._page(),
            "text/plain": repr(self),
        }

    def _page(self):
        """The questions for readers without a live notebook, the explanations folded away."""
        questions = ""
        for question in self.questions:
            texts = "".join(f"<li>{_html(answer['text'])}</li>" for answer in question["answers"])
            verdicts = "".join(
                f"<li>{'<b>Right.</b>' if answer.get('right') else 'Not this one.'} "
                f"{_html(answer['why'])}</li>"
                for answer in question["answers"]
            )
            questions += (
                f"<li><p>{_html(_asked(question))}</p><ol type='A'>{texts}</ol>"
                f"<details><summary>Answers</summary><ol type='A'>{verdicts}</ol></details></li>"
            )
        return f"<ol class='quiz'>{questions}</ol>"

    def __repr__(self):
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(f"{number}. {_asked(question)}")
            for i, answer in enumerate(question["answers"]):
                lines.append(f"   {_letter(i)}) {answer['text']}")
        return "\n".join(lines)


def _asked(question):
    return question["text"] + (" (deeper)" if question.get("deeper") else "")


def _letter(index):
    return "ABCDEFGH"[index]


def _html(text):
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
