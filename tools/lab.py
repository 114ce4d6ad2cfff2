"""Open the lessons in JupyterLab, as copies that belong to the learner: `make lab`.

The lessons are worked on in my_work/, which git ignores, so that `git pull` never meets a
learner's changes. A lesson that is missing there is copied; one that is there is left alone.
Arguments go to JupyterLab: `make lab LAB_ARGS="--no-browser --port 8899"`.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tools.start_page import read_lesson, start_page

ROOT = Path(__file__).parents[1]


class Desk:
    """A learner's folder: copies of the lessons, the start page, and in .course/ what is noted.

    .course/passed holds an empty file for each solved exercise, written by the checks;
    .course/shipped the fingerprint of each lesson at the time when it was copied.
    """

    def __init__(self, lessons, work):
        self.shipped = {path: read_lesson(path) for path in sorted(lessons.glob("*.ipynb"))}
        self.work = work
        self.passed, self.copied_from = work / ".course" / "passed", work / ".course" / "shipped"

    def tidy(self):
        """Copy the lessons that are missing, bring the start page up to date; returns new names."""
        for folder in (self.passed, self.copied_from):
            folder.mkdir(parents=True, exist_ok=True)
        missing = [path for path in self.shipped if not (self.work / path.name).exists()]
        for path in missing:
            # Copied under another name first: a half copy must never pass for the learner's work.
            unfinished = self.work / f".{path.name}.part"
            shutil.copyfile(path, unfinished)
            unfinished.rename(self.work / path.name)
            (self.copied_from / path.stem).write_text(self.shipped[path].fingerprint)
        lessons = list(self.shipped.values())
        passed = {path.name for path in self.passed.iterdir()}
        text = start_page(lessons, passed, [lesson for lesson in lessons if self._renewed(lesson)])
        page = self.work / "START.md"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
        return [path.name for path in missing]

    def _renewed(self, lesson):
        """Whether the lesson changed since it was copied."""
        note = self.copied_from / lesson.name
        return note.exists() and note.read_text() != lesson.fingerprint


def lab_command(work, arguments):
    """The command that serves `work` with this Python's JupyterLab and opens the start page."""
    command = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={work}",
        "--LabApp.default_url=/lab/tree/START.md",
        f"--LabApp.app_settings_dir={ROOT / 'tools' / 'lab_settings'}", *arguments,
    ]  # fmt: skip
    # Jupyter refuses to run as root, the usual user of a container, unless told that it is meant.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in arguments:
        command.append("--allow-root")
    return command


def serve(work, arguments):
    """Run JupyterLab on the learner's folder until it ends; returns its exit status."""
    desk = Desk(ROOT / "notebooks", work)
    for name in desk.tidy():
        print(f"new in {work.name}: {name}")
    print(f"Your lessons are in {work.name}/. To start one afresh, delete it there.", flush=True)
    environment = os.environ | {"COURSE_PROGRESS": str(desk.passed)}
    server = subprocess.Popen(lab_command(work, arguments), env=environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches JupyterLab, which asks and stops
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while True:
        try:
            return server.wait(timeout=1)
        except subprocess.TimeoutExpired:
            with suppress(OSError):  # a full disk must not take the server down
                desk.tidy()


def main():
    sys.exit(serve(ROOT / "my_work", sys.argv[1:]))


if __name__ == "__main__":
    main()
