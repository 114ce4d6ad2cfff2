"""The instructors' page speaks about the lessons as they are."""

import re

import pytest

from tests.lessons import DEEPER, LESSONS, ROOT, read
from tools import minutes

PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
each_lesson = pytest.mark.parametrize("lesson", LESSONS)


def section_on(lesson):
    title = read(lesson).cells[0].source.splitlines()[0].removeprefix("# ")
    section = re.search(rf"^### {re.escape(title)}$(.*?)(?=^### |\Z)", PAGE, flags=re.M | re.S)
    assert section, f"no section for {title}"
    return section[1]


@each_lesson
def test_each_prediction_has_an_answer(lesson):
    cells = [cell.source for cell in read(lesson).cells if cell.cell_type == "markdown"]
    answers = re.findall(r"^(\d+)\. ", section_on(lesson), flags=re.MULTILINE)
    asked = sum(source.count("> **Predict.**") for source in cells)
    assert [int(number) for number in answers] == list(range(1, asked + 1)), (
        f"docs/teaching.md answers the {asked} predictions of the lesson in order, from 1"
    )


@each_lesson
def test_plans_are_made_of_the_lessons_parts_and_keep_their_time(lesson):
    parts = {part.title.removesuffix(DEEPER): part for part in minutes.read(lesson)}
    named = {title.partition(" · ")[0].lower(): title for title in parts}  # "exercise 3"
    not_for_class = ("Exercise", "Try it", "More to try", "Quiz")
    core = [
        title
        for title, part in parts.items()
        if not part.deeper and not title.startswith(not_for_class)
    ]
    plans = re.findall(r"^- \*\*(\d+) minutes\*\*(?:, also)?: (.+)\.$", section_on(lesson), re.M)
    assert [length for length, _ in plans] == ["45", "60", "90"]
    chosen = []
    for length, text in plans:
        chosen += core if "all sections of the core" in text else []
        chosen += ["Quiz"] if "the quiz" in text else []
        chosen += [
            title or named.get(exercise, exercise)
            for title, exercise in re.findall(r"\*([^*]+)\*|(exercise \d+)", text)
        ]
        twice = {title for title in chosen if chosen.count(title) > 1}
        assert not twice, (
            f"up to the {length} minutes a part is there twice (was an exercise renumbered?): {twice}"
        )
        assert set(chosen) <= set(parts), f"{set(chosen) - set(parts)}: no such part in the lesson"
        took = sum(parts[title].minutes for title in chosen)
        assert 0.8 * int(length) <= took <= int(length), (
            f"the parts of the {length} minutes take {took:.0f}"
        )
