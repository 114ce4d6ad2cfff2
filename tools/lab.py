"""Open the lessons in JupyterLab, as copies that belong to the learner: `make lab`.

The lessons are worked on in my_work/, which git ignores, so that `git pull` never meets a
learner's changes. A lesson that is missing there is copied; one that is there is left alone.
Arguments go to JupyterLab: `make lab LAB_ARGS="--no-browser --port 8899"`.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_lessons(lessons, work):
    """Copy the notebooks that `work` doesn't have yet; returns their names."""
    work.mkdir(exist_ok=True)
    missing = [path for path in sorted(lessons.glob("*.ipynb")) if not (work / path.name).exists()]
    for path in missing:
        # Copied under another name first: a half copy must never pass for the learner's work.
        unfinished = work / f".{path.name}.part"
        shutil.copyfile(path, unfinished)
        unfinished.rename(work / path.name)
    return [path.name for path in missing]


def lab_command(work, arguments):
    """The command that serves `work` with this Python's JupyterLab."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={work}", *arguments]
    # Jupyter refuses to run as root, the usual user of a container, unless told that it is meant.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in arguments:
        command.append("--allow-root")
    return command


def main():
    work = ROOT / "my_work"
    for name in copy_lessons(ROOT / "notebooks", work):
        print(f"new in my_work: {name}")
    print("Your lessons are in my_work/. To start one afresh, delete it there and come back.")
    with suppress(KeyboardInterrupt):  # Ctrl-C goes to JupyterLab as well, which stops by itself
        sys.exit(subprocess.run(lab_command(work, sys.argv[1:])).returncode)


if __name__ == "__main__":
    main()
