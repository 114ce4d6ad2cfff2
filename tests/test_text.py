"""A lesson goes to text and back: nothing changes but what was edited, and no work is lost."""

import shutil

import nbformat
import pytest

from tests.lessons import LESSONS, ROOT
from tools import text


@pytest.fixture
def course(tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return tmp_path


@pytest.mark.parametrize("name", LESSONS)
def test_there_and_back_changes_nothing(course, name):
    path = text.lesson(course, name[:2])
    before = path.read_text()
    text.to_text(course, path)
    text.to_notebook(course, path)
    assert path.read_text() == before


def test_an_edited_sentence_is_all_that_changes_even_if_the_notebook_was_run(course):
    path = text.lesson(course, "03")
    shipped = path.read_text().splitlines()
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.cell_type == "code").execution_count = 7
    nbformat.write(notebook, path)

    page = text.to_text(course, path)
    page.write_text(page.read_text().replace("The backward pass", "The way back", 1))
    text.to_notebook(course, path)
    changed = [line for line in path.read_text().splitlines() if line not in shipped]
    assert len(changed) == 1 and "The way back" in changed[0]


def test_text_that_was_not_put_back_is_not_overwritten(course):
    path = text.lesson(course, "03")
    page = text.to_text(course, path)
    page.write_text(page.read_text() + "\n# mine\n")
    path.touch()  # as the stamp does, or a pull
    with pytest.raises(SystemExit, match="may hold your work"):
        text.to_text(course, path)
    text.to_notebook(course, path)
    assert "# mine" in text.to_text(course, path).read_text()


def test_what_changed_in_the_notebook_meanwhile_stays_or_is_told(course):
    path = text.lesson(course, "03")
    page = text.to_text(course, path)
    page.write_text(page.read_text().replace("## Recap", "## Looking back", 1))
    path.write_text(path.read_text().replace("The backward pass", "The way back", 1))  # a pull
    text.to_notebook(course, path)
    assert "The way back" in path.read_text() and "## Looking back" in path.read_text()

    page.write_text(page.read_text().replace("## Looking back", "## Mine", 1))
    path.write_text(path.read_text().replace("## Looking back", "## Theirs", 1))
    with pytest.raises(SystemExit, match="has changed since in a place"):
        text.to_notebook(course, path)
    assert "## Mine" in page.read_text() and "## Theirs" in path.read_text()


@pytest.mark.parametrize("name", ["", "3", "99", "nothing"])
def test_a_lesson_that_is_not_there_gets_one_sentence(course, name):
    with pytest.raises(SystemExit, match="LESSON is the number of a lesson"):
        text.lesson(course, name)
