"""The instructors' page speaks about the lessons as they are."""

import re

import pytest

from tests.lessons import LESSONS, ROOT, read

PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("lesson", LESSONS)
def test_each_prediction_has_an_answer(lesson):
    cells = [cell.source for cell in read(lesson).cells if cell.cell_type == "markdown"]
    title = cells[0].splitlines()[0].removeprefix("# ")
    section = re.search(rf"^### {re.escape(title)}$(.*?)(?=^### |\Z)", PAGE, flags=re.M | re.S)
    assert section, f"no section for {title}"
    answers = re.findall(r"^(\d+)\. ", section[1], flags=re.MULTILINE)
    asked = sum(source.count("> **Predict.**") for source in cells)
    assert [int(number) for number in answers] == list(range(1, asked + 1))
