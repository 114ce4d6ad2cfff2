"""The page on which `make lab` opens: the lessons, what is solved, and where to go on."""

import hashlib
import re
from dataclasses import dataclass

import nbformat

from tools.stamp import unstamped


@dataclass(frozen=True)
class Lesson:
    """What the start page needs to know about a lesson as shipped."""

    name: str
    title: str
    exercises: tuple  # those of the core, as they are recorded: "full_loop.one_step"
    deeper: tuple  # those that can wait
    fingerprint: str

    @property
    def link(self):
        return f"[{self.title}]({self.name}.ipynb)"


def read_lesson(path):
    """The lesson in a shipped notebook.

    Two versions have one fingerprint if they differ only in what `make stamp` writes.
    """
    cells = nbformat.read(path, as_version=4).cells
    title = cells[0].source.splitlines()[0].removeprefix("# ")
    exercises = {False: [], True: []}  # deeper or not
    for cell in cells:
        if call := re.match(r"check\.(\w+\.\w+)\(", cell.source):
            exercises["deeper" in cell.metadata.get("tags", [])].append(call[1])
    own = [cell.source for cell in cells if "setup" not in cell.metadata.get("tags", [])]
    own[0] = unstamped(own[0])
    fingerprint = hashlib.sha256(repr(own).encode()).hexdigest()
    return Lesson(path.stem, title, tuple(exercises[False]), tuple(exercises[True]), fingerprint)


def start_page(lessons, passed, renewed):
    """Markdown; `passed` holds the solved exercises, `renewed` the lessons with a newer version."""
    solved = {lesson: len(passed.intersection(lesson.exercises)) for lesson in lessons}
    unfinished = [lesson for lesson in lessons if solved[lesson] < len(lesson.exercises)]
    if not unfinished:
        todo = "You have solved every exercise of every lesson's core."
    elif any(solved.values()):
        todo = f"**Continue with {unfinished[0].link}**"
    else:
        todo = f"**Begin with {unfinished[0].link}**"
    rows = []
    for lesson in lessons:
        core = f"{solved[lesson]} of {len(lesson.exercises)} exercises"
        core += "" if lesson in unfinished else " ✓"
        deeper = f"{len(passed.intersection(lesson.deeper))} of {len(lesson.deeper)}"
        rows.append(f"| {lesson.link} | {core} | {deeper if lesson.deeper else ''} |")
    parts = [
        "# The PyTorch training loop",
        todo,
        "\n".join(["| lesson | solved | deeper |", "|---|---|---|", *rows]),
    ]
    parts.append(
        'An exercise counts as soon as its check says "Correct". This page shows it when you open '
        "it again, or at once with *File → Reload Markdown File from Disk*. What is marked *deeper* "
        "in a lesson can wait: no other lesson needs it."
    )
    if renewed:
        names = ", ".join(lesson.link for lesson in renewed)
        parts.append(
            f"**There is a newer version of {names}.** Your copy was left as it is. To get the new "
            "one, rename yours in the list of files on the left (right-click, *Rename*): the new "
            "one appears beside it within seconds, and what you solved still counts."
        )
    return "\n\n".join(parts) + "\n"
