"""The instructors' page speaks about the lessons as they are."""

import re

import pytest

from tests.lessons import LESSONS, ROOT, read

PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_prediction_has_an_answer_and_the_minutes_are_the_lessons_own(lesson):
    cells = [cell.source for cell in read(lesson).cells if cell.cell_type == "markdown"]
    title = cells[0].splitlines()[0].removeprefix("# ")
    section = re.search(rf"^### {re.escape(title)}$(.*?)(?=^### |\Z)", PAGE, flags=re.M | re.S)
    assert section, f"no section for {title}"
    answers = re.findall(r"^(\d+)\. ", section[1], flags=re.MULTILINE)
    asked = sum(source.count("> **Predict.**") for source in cells)
    assert [int(number) for number in answers] == list(range(1, asked + 1))

    minutes = re.search(r"^\*About (\d+) minutes", cells[0], flags=re.MULTILINE)[1]
    row = re.search(rf"^\| {lesson[:2]} \| (\d+) \|.*\| ([\d, ]+) \| ([\d, ]+) \|$", PAGE, re.M)
    assert row[1] == minutes
    exercises = sorted(map(int, f"{row[2]}, {row[3]}".split(", ")))
    there = sum("exercise" in c.metadata.get("tags", []) for c in read(lesson).cells)
    assert exercises == list(range(1, there + 1)), "each exercise is in class or homework"
