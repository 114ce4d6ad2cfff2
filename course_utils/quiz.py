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
    """Questions that mark themselves in the browser. Without one they show as a list, with the
    explanations folded away."""

    def __init__(self, questions):
        self.questions = questions
        self._view = None

    def _repr_mimebundle_(self, **kwargs):
        bundle = {"text/html": self._page(), "text/plain": repr(self)}
        try:
            from .quiz_view import QuizView
        except ImportError:  # without anywidget the list alone
            return bundle
        if self._view is None:
            self._view = QuizView(page=self._page())
        data, metadata = self._view._repr_mimebundle_()  # Colab finds anywidget by its metadata
        return {**data, **bundle}, metadata

    def _page(self):
        """The questions as a list, which is also what quiz.js reads."""
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
