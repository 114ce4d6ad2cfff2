"""What all lessons share is stamped into them from one place, and every link leads somewhere."""

import datetime
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.lessons import LESSONS, ROOT, read
from tests.links import broken_links, external_links
from tools import stamp


@pytest.fixture
def course(tmp_path):
    """A copy of all files that are stamped or linked."""
    names = (
        ".venv*",
        ".git",
        ".*_cache",
        ".executed",
        ".text",
        "my_work",
        "site",
        "slides",
        "__pycache__",
    )
    ignored = shutil.ignore_patterns(*names)
    shutil.copytree(ROOT, tmp_path / "course", ignore=ignored)
    return tmp_path / "course"


def cells(path):
    return nbformat.read(path, as_version=4).cells


def contents(course):
    return {
        path: path.read_bytes()
        for path in (course / "README.md", course / "pyproject.toml", *course.glob("notebooks/*"))
    }


def test_the_repository_is_stamped(course):
    before = contents(course)
    stamp.stamp(course)
    changed = [path.name for path, content in contents(course).items() if content != before[path]]
    assert not changed, "run `make stamp`"


def test_what_jupyter_and_colab_leave_behind_is_taken_out():
    lesson = read(LESSONS[0])
    left = read(LESSONS[0])
    cell = next(cell for cell in left.cells if cell.cell_type == "code")
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="hello")], 3
    cell.metadata["collapsed"] = True
    left.metadata.kernelspec["display_name"] = "my course"
    left.metadata.language_info["version"] = "3.13.1"
    left.metadata["colab"] = {"provenance": []}
    assert left != lesson and stamp.clean(left) == lesson


def test_what_to_try_gets_a_cell_of_its_own_below_a_new_simulation():
    new = nbformat.v4
    line = new.new_code_cell("widgets.loss_explorer()", metadata={"tags": ["deeper"]})
    notebook = new.new_notebook(cells=[line, new.new_markdown_cell("## The next section")])
    stamp.add_experiments(notebook)
    _, told, following = notebook.cells
    assert told.source.startswith("**What to try**") and told.metadata.tags == ["deeper"]
    assert following.source == "## The next section"
    told.source = "**What to try**, before a question changed"
    stamp.add_experiments(notebook)
    assert len(notebook.cells) == 3 and "before" not in told.source


def test_publishing_puts_the_address_everywhere_once_and_every_link_resolves(course):
    stamp.set_repository(course, "ada/first")
    stamp.stamp(course)
    stamp.set_repository(course, "bob/training.loop-2")
    stamp.stamp(course)
    once = contents(course)
    stamp.set_repository(course, "bob/training.loop-2")
    stamp.stamp(course)
    assert contents(course) == once

    everything = b"".join(once.values()).decode()
    address = "https://github.com/bob/training.loop-2"
    assert "ada/first" not in everything
    assert f"git clone {address} && cd training.loop-2\n" in everything
    assert everything.count(f"%pip install --quiet --no-deps git+{address}\\n") == len(LESSONS)
    for lesson in LESSONS:
        link = f"https://colab.research.google.com/github/bob/training.loop-2/blob/main/notebooks/{lesson}.ipynb"
        assert f"[Open in Colab]({link})" in everything
    in_lessons = "".join(
        cell.source for lesson in course.glob("notebooks/*") for cell in cells(lesson)
    )
    assert "](06_dataloader.ipynb" not in in_lessons, "Colab knows no folder with the others in it"
    assert (
        "](https://colab.research.google.com/github/bob/training.loop-2/blob/main/notebooks/06_dataloader.ipynb"
        in in_lessons
    )
    files = re.findall(re.escape(address) + r"/blob/main/(\S+)\)", in_lessons)
    assert "data/README.md" in files and all((ROOT / name).exists() for name in files)
    assert broken_links(course) == []


def test_unpublishing_gives_the_lessons_back_as_they_were(course):
    stamp.stamp(course)
    before = contents(course)
    stamp.set_repository(course, "ada/first.git")
    assert stamp.repository(course) == "https://github.com/ada/first"
    stamp.stamp(course)
    (course / "pyproject.toml").write_bytes(before[course / "pyproject.toml"])
    stamp.stamp(course)
    assert contents(course) == before


def test_a_published_copy_passes_the_tests_that_publishing_touches(course):
    stamp.set_repository(course, "ada/training-loop")
    stamp.stamp(course)
    affected = (
        "is_stamped or verified_with or relative_link or external_link or readme or teaching "
        "or quiz_recap_and_next or links_and_pictures"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", affected]
    files = [f"tests/test_{name}.py" for name in ("stamp", "house", "teaching", "lessons", "site")]
    run = subprocess.run([*command, *files], cwd=course, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]


def test_an_unpublished_course_has_no_badge_and_its_setup_cell_says_what_to_do(course):
    (course / "pyproject.toml").write_text("[project]\n")
    stamp.stamp(course)
    assert b"colab.research.google.com" not in b"".join(contents(course).values())
    assert "make lab" in stamp.setup_cell(None) and "%pip" not in stamp.setup_cell(None)


@pytest.mark.parametrize(
    "name", ["", "ada", "ada/", "a/b/c", "https://github.com/ada/x", "ada/x y", "-ada/x", "ada/.."]
)
def test_a_wrong_name_gets_one_sentence_and_changes_nothing(course, name):
    before = contents(course)
    with pytest.raises(SystemExit, match="REPO is the owner and the name of your repository"):
        stamp.set_repository(course, name)
    assert contents(course) == before


def test_every_lesson_says_what_it_was_last_verified_with(course):
    stamp.set_verified(course, "9.8.7", datetime.date(2031, 5, 4))
    stamp.stamp(course)
    for lesson in LESSONS:
        header = cells(course / "notebooks" / f"{lesson}.ipynb")[0].source
        assert header.count("*Last verified with torch 9.8.7 on 4 May 2031") == 1


def test_every_relative_link_and_anchor_leads_somewhere():
    assert broken_links(ROOT) == []


def test_every_external_link_is_on_the_list():
    listed = (Path(__file__).parent / "external_links.txt").read_text().split()
    assert listed == sorted(set(listed))
    found = external_links(ROOT)
    assert found - set(listed) == set(), "look whether they lead somewhere, then add them"
    assert set(listed) - found == set(), "no page has these any more: take them out"


def test_a_broken_link_is_noticed(course):
    (course / "docs" / "page.md").write_text(
        "# A page\n\n## Some `code`, twice\n\n[a](../README.md) [b](#some-code-twice) [c](gone.md)\n"
        "[d](#gone) ![e](gone.png) [f](../README.md#start) [g](../README.md#gone)\n\n"
        "`[no](link)`\n\n<img src='gone.svg' alt='gone'>\n"
    )
    broken = broken_links(course)
    assert [text.partition(": ")[2] for text in broken] == [
        "gone.md",
        "#gone",
        "gone.png",
        "../README.md#gone",
        "gone.svg",
    ]


def test_a_lesson_without_the_line_of_minutes_is_refused():
    source = re.sub(r"\d+ minutes", "An hour", read(LESSONS[0]).cells[0].source)
    with pytest.raises(SystemExit, match="no line like"):
        stamp.header_cell(source, ROOT, LESSONS[0])
