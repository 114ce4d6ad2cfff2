import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.lessons import LESSONS, ROOT
from tools.lab import copy_lessons, lab_command


def test_lessons_are_copied_once_and_a_learners_work_is_never_overwritten(tmp_path):
    lessons, work = tmp_path / "notebooks", tmp_path / "my_work"
    lessons.mkdir()
    (lessons / "05.ipynb").write_text("shipped")
    assert copy_lessons(lessons, work) == ["05.ipynb"]

    (work / "05.ipynb").write_text("my answers")
    (lessons / "05.ipynb").write_text("shipped, improved")
    (lessons / "06.ipynb").write_text("new")
    assert copy_lessons(lessons, work) == ["06.ipynb"]
    assert (work / "05.ipynb").read_text() == "my answers"
    assert (work / "06.ipynb").read_text() == "new"
    assert copy_lessons(lessons, work) == []
    assert sorted(path.name for path in work.iterdir()) == ["05.ipynb", "06.ipynb"]


def test_a_copy_that_was_broken_off_is_made_again(tmp_path):
    lessons, work = tmp_path / "notebooks", tmp_path / "my_work"
    lessons.mkdir()
    work.mkdir()
    (lessons / "05.ipynb").write_text("shipped")
    (work / ".05.ipynb.part").write_text("shi")
    copy_lessons(lessons, work)
    assert (work / "05.ipynb").read_text() == "shipped"


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


def test_lab_serves_the_lessons_and_prints_an_address_with_a_token(tmp_path):
    copy_lessons(ROOT / "notebooks", tmp_path / "my_work")
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
                r"http://(?:127\.0\.0\.1|localhost):(\d+)/lab\?token=(\w+)", line
            ):
                address = found
                break
        assert address, "JupyterLab printed no address"
        port, token = address.groups()
        page = _get(f"http://127.0.0.1:{port}/api/contents?token={token}")
        assert all(f"{lesson}.ipynb" in page for lesson in LESSONS)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
