"""The minutes of a lesson follow from what it holds."""

import pytest
from nbformat import v4

from tests.lessons import LESSONS
from tools import minutes


def lesson(*cells):
    return v4.new_notebook(
        cells=[
            (v4.new_markdown_cell if kind == "text" else v4.new_code_cell)(
                source, metadata={"tags": list(tags)}
            )
            for kind, source, *tags in cells
        ]
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (("text", "word " * 90), 0.5),
        (("text", "<details><summary>Hint</summary>\n\n" + "word " * 90 + "\n</details>"), 0),
        (
            ("text", "[two words](a/very/long/address#with-an-anchor) | `x = 1` |\n|---|---|"),
            7 / 180,
        ),
        (("text", "```python\nx = 1\n\ny = 2\n```"), 2 * 5 / 60),
        (("text", "> **Predict.** What?"), 3 / 180 + 40 / 60),
        (("text", "### Exercise 1\n\n*easy · 10 minutes · practises it*"), 13 + 10 / 180),
        (("text", "**What to try**\n\n1. This.\n\n2. That."), 7 / 180 + 3),
        (("text", "1. This.\n\n2. That."), 4 / 180),
        (("code", "x = 1\n\ny = 2"), 2 * 5 / 60),
        (("code", "x = 1", "setup"), 0),
        (("code", "def f():\n    return ...", "exercise"), 0),
        (("code", "check.step.sgd(sgd)"), 0),
        (("code", 'quiz("05_full_loop")'), 2 * 45 / 60),
    ],
)
def test_each_thing_takes_its_time(cell, expected):
    found = minutes.parts(lesson(("text", "## T"), cell), [{}, {}])
    assert sum(part.minutes for part in found) == pytest.approx(expected + 2 / 180)


def test_parts_begin_at_headings_and_are_deeper_by_their_tag():
    notebook = lesson(
        ("text", "## A\n\n```\n# no heading\n```\n\n### B\n\ntext"),
        ("text", "### C · *deeper*", "deeper"),
        ("code", "x = 1", "deeper"),
        ("text", "## Quiz"),
        ("code", 'quiz("05_full_loop")'),
    )
    found = minutes.parts(notebook, [{}, {"deeper": True}])
    assert [(part.title, part.deeper) for part in found] == [
        ("A", False),
        ("B", False),
        ("C · *deeper*", True),
        ("Quiz", False),
        ("questions on deeper parts", True),
    ]
    assert found[2].lines == found[3].questions == found[4].questions == 1


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_core_fits_into_an_hour(lesson):
    core, _ = minutes.minutes(lesson)
    assert core <= 60, (
        f"move something to a deeper part; python -m tools.minutes {lesson} shows what"
    )


def test_all_cores_fit_into_ten_hours():
    assert sum(minutes.minutes(lesson)[0] for lesson in LESSONS) <= 600
