"""A quiz in the browser: the list of its questions, which quiz.js makes answer by itself."""

from pathlib import Path

import anywidget
import traitlets


class QuizView(anywidget.AnyWidget):
    """`page` is the quiz as HTML; `tries` the answers chosen so far, for each question."""

    # As text: given a path, anywidget watches the file and never lets go of its instances.
    _esm = Path(__file__).with_name("quiz.js").read_text(encoding="utf-8")
    page = traitlets.Unicode().tag(sync=True)
    tries = traitlets.List().tag(sync=True)
