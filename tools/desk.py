"""The learner's folder: copies of the lessons, and what is noted beside them.

The lessons are worked on in my_work/, which git ignores, so that `git pull` never meets a
learner's changes. A lesson that is missing there is copied; one that is there is left alone.
"""

from pathlib import Path

from tools.stamp import local_links
from tools.start_page import read_lesson

ROOT = Path(__file__).parents[1]


class Unusable(Exception):
    """The folder can't be worked in; the message says what to do."""


class Desk:
    """A learner's folder `work`, with copies of the notebooks in the folder `lessons`.

    .course/passed holds an empty file for each solved exercise, written by the checks;
    .course/shipped the fingerprint of each lesson at the time when it was copied.
    """

    def __init__(self, lessons, work):
        self.shipped = {}
        for path in sorted(lessons.glob("*.ipynb")):
            try:
                self.shipped[path] = read_lesson(path)
            except Exception as error:
                raise Unusable(
                    f"The lesson {path.name} can't be read: its file is damaged "
                    f"({type(error).__name__}). Fetch it again, with `git checkout {path}`."
                ) from None
        self.work = work
        self.passed, self.copied_from = work / ".course" / "passed", work / ".course" / "shipped"

    def tidy(self):
        """Copy the lessons that are missing; returns their names.

        Raises Unusable if the folder can't be written.
        """
        try:
            for folder in (self.passed, self.copied_from):
                folder.mkdir(parents=True, exist_ok=True)
            missing = [path for path in self.shipped if not (self.work / path.name).exists()]
            for path in missing:
                # Copied under another name first: a half copy must never pass for the learner's work.
                unfinished = self.work / f".{path.name}.part"
                unfinished.write_text(
                    local_links(path.read_text(encoding="utf-8")), encoding="utf-8"
                )
                unfinished.rename(self.work / path.name)
                (self.copied_from / path.stem).write_text(self.shipped[path].fingerprint)
        except (FileExistsError, NotADirectoryError):
            raise Unusable(
                f"{self.work} should be the folder with your lessons, but something in it, or the "
                "whole, is a file. Rename that file, then start again."
            ) from None
        except PermissionError as error:
            raise Unusable(
                f"{error.filename} can't be written: you have no permission. Give yourself the "
                f"right to write in {self.work}, or move the course to a folder of your own."
            ) from None
        return [path.name for path in missing]

    def solved(self):
        """The names of the solved exercises, as `full_loop.one_step`."""
        return {path.name for path in self.passed.iterdir()} if self.passed.is_dir() else set()

    def renewed(self):
        """The lessons that have changed since they were copied."""
        notes = {lesson: self.copied_from / lesson.name for lesson in self.shipped.values()}
        return [
            lesson for lesson, note in notes.items()
            if note.exists() and note.read_text(errors="replace") != lesson.fingerprint
        ]  # fmt: skip
