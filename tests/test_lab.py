import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from course_utils import checks, progress
from course_utils.checks.feedback import PASSED, WRONG, Mistake, check
from tests import lessons
from tests.lessons import LESSONS, ROOT
from tools.desk import Desk, Unusable
from tools.lab import lab_command, serve
from tools.start_page import read_lesson, start_page


def lesson(title, *checks, deeper=(), setup="import course_utils"):
    """A lesson with a header, a setup cell and the cells that check its exercises."""
    tags = {check: {"tags": ["deeper"]} for check in deeper}
    cells = [
        nbformat.v4.new_markdown_cell(f"# {title}\n\n**Promise.**\n\n*50 minutes*"),
        nbformat.v4.new_code_cell(setup, metadata={"tags": ["setup"]}),
        *(
            nbformat.v4.new_code_cell(f"check.{check}(attempt)", metadata=tags.get(check, {}))
            for check in (*checks, *deeper)
        ),
    ]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))


@pytest.fixture
def folders(tmp_path):
    """The folder of the shipped lessons, with two of them, and the learner's, still missing."""
    lessons, work = tmp_path / "notebooks", tmp_path / "my_work"
    lessons.mkdir()
    (lessons / "04_step.ipynb").write_text(
        lesson("04 · The step", "step.sgd", "step.adam", deeper=["step.adamw"])
    )
    (lessons / "05_loop.ipynb").write_text(lesson("05 · The loop", "full_loop.one_step"))
    return lessons, work


def test_lessons_are_copied_once_and_a_learners_work_is_never_overwritten(folders):
    lessons, work = folders
    assert Desk(lessons, work).tidy() == ["04_step.ipynb", "05_loop.ipynb"]
    (work / "05_loop.ipynb").write_text("my answers")
    (lessons / "05_loop.ipynb").write_text(lesson("05 · The loop", "full_loop.improved"))
    (lessons / "06_new.ipynb").write_text(lesson("06 · New"))
    assert Desk(lessons, work).tidy() == ["06_new.ipynb"]
    assert (work / "05_loop.ipynb").read_text() == "my answers"
    assert Desk(lessons, work).tidy() == []
    names = ["04_step.ipynb", "05_loop.ipynb", "06_new.ipynb"]
    assert sorted(path.name for path in work.iterdir()) == [".course", *names]


def test_a_copy_that_was_broken_off_is_made_again(folders):
    lessons, work = folders
    work.mkdir()
    (work / ".05_loop.ipynb.part").write_text("shi")
    Desk(lessons, work).tidy()
    assert (work / "05_loop.ipynb").read_text() == (lessons / "05_loop.ipynb").read_text()


def page(desk):
    """The text of the start page as the learner would see it now, without markup."""
    lessons = list(desk.shipped.values())
    html = start_page(lessons, desk.solved(), desk.renewed(), "/", desk.work.name)
    return " ".join(BeautifulSoup(html, "html.parser").main.get_text().split())


def test_the_start_page_counts_passed_checks_and_leads_to_the_first_unfinished_lesson(
    folders, monkeypatch
):
    desk = Desk(*folders)
    assert "Begin with 04 · The step" in page(desk)
    assert "50 minutes" in page(desk) and "Promise." in page(desk)

    monkeypatch.setenv("COURSE_PROGRESS", str(desk.passed))
    progress.record("step", "sgd")
    progress.record("step", "sgd")
    assert "Continue with 04 · The step" in page(desk)
    assert "1 of 2 exercises, 0 of 1 deeper ones" in page(desk)

    progress.record("step", "adam")
    assert "Continue with 05 · The loop" in page(desk)
    assert "2 of 2 exercises ✓, 0 of 1 deeper ones" in page(desk), "what is deeper can wait"

    progress.record("full_loop", "one_step")
    assert "You have solved every exercise" in page(desk)


def test_a_lesson_that_was_renewed_is_announced_until_its_copy_is_renamed(folders):
    lessons, work = folders
    Desk(lessons, work).tidy()
    (lessons / "04_step.ipynb").write_text(lesson("04 · The step", "step.sgd", setup="stamped"))
    desk = Desk(lessons, work)
    desk.tidy()
    assert "newer version of 04 · The step." in page(desk)

    (work / "04_step.ipynb").rename(work / "my_04_step.ipynb")
    desk.tidy()
    assert "newer version" not in page(desk)

    (lessons / "05_loop.ipynb").write_text(
        lesson("05 · The loop", "full_loop.one_step", setup="another address").replace(
            "*50 minutes*",
            "*55 minutes; 10 more for the deeper parts*\\n\\n*Last verified with torch 3 on 1 May 2030*",
        )
    )
    assert "newer version" not in page(Desk(lessons, work)), "`make stamp` alone is no new version"


def test_a_folder_that_cannot_be_used_gets_one_sentence(folders, monkeypatch):
    lessons, work = folders
    work.write_text("a file in its place")
    assert "Rename that file" in serve(work, [])
    work.unlink()

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied", str(work))

    with monkeypatch.context() as changed:  # whoever runs the tests may be root, who may everything
        changed.setattr(Path, "mkdir", forbidden)
        with pytest.raises(Unusable, match="no permission"):
            Desk(lessons, work).tidy()
    (lessons / "06_broken.ipynb").write_bytes(b"caf\xe9")
    with pytest.raises(Unusable, match=r"06_broken\.ipynb can't be read"):
        Desk(lessons, work)


def test_what_a_learner_keeps_beside_the_lessons_is_left_alone(folders):
    lessons, work = folders
    Desk(lessons, work).tidy()
    (work / "START.md").write_bytes(b"my notes, caf\xe9")
    (work / "more").mkdir()
    Desk(lessons, work).tidy()
    assert (work / "START.md").read_bytes() == b"my notes, caf\xe9"


def test_passed_checks_are_noted_only_where_make_lab_asks_for_it(tmp_path, monkeypatch):
    @check
    def passes(attempt):
        return "Well done."

    @check
    def fails(attempt):
        raise Mistake("Not so.")

    monkeypatch.chdir(tmp_path)
    assert passes(1).status == PASSED
    assert list(tmp_path.iterdir()) == []

    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "passed"))
    assert passes(1).status == PASSED and fails(1).status == WRONG
    assert [path.name for path in (tmp_path / "passed").iterdir()] == ["test_lab.passes"]

    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "passed"))
    assert passes(1).status == PASSED, "a folder that can't be written must not disturb"


def test_the_start_page_names_exercises_as_the_checks_record_them():
    for name in LESSONS:
        shipped = read_lesson(ROOT / "notebooks" / f"{name}.ipynb")
        exercises = shipped.exercises + shipped.deeper
        assert len(exercises) == len(lessons.exercises(lessons.read(name)))
        for exercise in exercises:
            module, function = exercise.split(".")
            recorded = getattr(getattr(checks, module), function)
            assert (recorded.__module__, recorded.__name__) == (
                f"course_utils.checks.{module}",
                function,
            )


def test_arguments_reach_jupyterlab_and_the_token_stays_on():
    command = lab_command(Path("work"), ["--no-browser", "--port", "8899"])
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--no-browser" in command and command[command.index("--port") + 1] == "8899"
    assert not any("token" in argument or "password" in argument for argument in command)


def test_the_learners_folder_is_ignored_by_git():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "my_work/" in ignored


def _get(address, seconds=30):
    """The page, as soon as the server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_ending_make_lab_ends_jupyterlab(tmp_path):
    code = """if True:
        import pathlib, sys
        from tools import lab
        waits = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
        lab.lab_command = lambda *_: [sys.executable, "-c", waits]
        lab.serve(pathlib.Path(sys.argv[1]), [])"""
    command = [sys.executable, "-c", code, str(tmp_path / "my_work")]
    course = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    server = next(int(line) for line in course.stdout if line.strip().isdigit())
    course.terminate()
    course.wait(20)
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_lab_serves_the_start_page_and_prints_its_address_with_a_token(tmp_path):
    Desk(ROOT / "notebooks", tmp_path / "my_work").tidy()
    command = lab_command(tmp_path / "my_work", ["--no-browser", "--ServerApp.port_retries=50"])
    own = {"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"}
    environment = os.environ | {name: str(tmp_path / name) for name in own}
    server = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        address = None
        for line in server.stderr:
            if found := re.search(
                r"http://(?:127\.0\.0\.1|localhost):(\d+)/start\?token=(\w+)", line
            ):
                address = found
                break
        assert address, "JupyterLab printed no address"
        port, token = address.groups()
        start = _get(f"http://127.0.0.1:{port}/start?token={token}")
        assert all(f'href="/lab/tree/{lesson}.ipynb"' in start for lesson in LESSONS)
        (tmp_path / "my_work" / "05_full_loop.ipynb").unlink()
        (tmp_path / "my_work" / ".course" / "passed" / "full_loop.one_step").touch()
        assert "Continue with" in _get(f"http://127.0.0.1:{port}/start?token={token}")
        deadline = time.monotonic() + 30
        while not (tmp_path / "my_work" / "05_full_loop.ipynb").exists():
            assert time.monotonic() < deadline, "a deleted lesson did not come back"
            time.sleep(0.1)
        extension = "@jupyterlab/apputils-extension:notification"
        settings = _get(f"http://127.0.0.1:{port}/lab/api/settings/{extension}?token={token}")
        defaults = json.loads(settings)["schema"]["properties"]
        assert defaults["fetchNews"]["default"] == "false", "JupyterLab would ask about news"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
