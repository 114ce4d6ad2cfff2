"""Remembers which exercises were solved, where `make lab` asks for it, and nowhere else."""

import os
from contextlib import suppress
from pathlib import Path


def record(lesson, exercise):
    """Note a passed check as an empty file in the folder that `make lab` names.

    A file for each exercise needs no lock: any number of notebooks may write at once. A folder
    that cannot be written is no reason to disturb the learner.
    """
    if folder := os.environ.get("COURSE_PROGRESS"):
        with suppress(OSError):
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, f"{lesson}.{exercise}").touch()
