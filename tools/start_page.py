"""The page on which `make lab` opens: the lessons, what is solved, and where to go on."""

import hashlib
import re
from dataclasses import dataclass

import nbformat

from tools import rendering
from tools.stamp import local_links, unstamped

_STYLES = "".join(
    (rendering.TEMPLATES / sheet).read_text(encoding="utf-8")
    for sheet in ("colors.css", "style.css")
)


@dataclass(frozen=True)
class Lesson:
    """What the start page needs to know about a lesson as shipped."""

    name: str
    title: str
    promise: str  # HTML
    minutes: str
    exercises: tuple  # those of the core, as they are recorded: "full_loop.one_step"
    deeper: tuple  # those that can wait
    fingerprint: str


def read_lesson(path):
    """The lesson in a shipped notebook.

    Two versions have one fingerprint if they differ only in what `make stamp` writes.
    """
    cells = nbformat.read(path, as_version=4).cells
    exercises = {False: [], True: []}  # deeper or not
    for cell in cells:
        if call := re.match(r"check\.(\w+\.\w+)\(", cell.source):
            exercises["deeper" in cell.metadata.get("tags", [])].append(call[1])
    own = [
        local_links(cell.source) for cell in cells if "setup" not in cell.metadata.get("tags", [])
    ]
    own[0] = unstamped(own[0])
    fingerprint = hashlib.sha256(repr(own).encode()).hexdigest()
    return Lesson(
        path.stem, *rendering.opening(cells[0].source),
        tuple(exercises[False]), tuple(exercises[True]), fingerprint,
    )  # fmt: skip


def start_page(lessons, passed, renewed, base_url, folder):
    """HTML: the lessons, what is solved of them, and where to go on.

    `passed` holds the names of the solved exercises, `renewed` the lessons with a newer version,
    `base_url` is the server's, and `folder` the name of the learner's.
    """
    rows = [
        {
            "lesson": lesson,
            "address": f"{base_url}lab/tree/{lesson.name}.ipynb",
            "solved": len(passed.intersection(lesson.exercises)),
            "deeper_solved": len(passed.intersection(lesson.deeper)),
            "renewed": lesson in renewed,
        }
        for lesson in lessons
    ]
    begun = any(row["solved"] or row["deeper_solved"] for row in rows)
    unfinished = [row for row in rows if row["solved"] < len(row["lesson"].exercises)]
    return rendering.fill(
        "start.html",
        styles=_STYLES,
        rows=rows,
        todo=unfinished[0] if unfinished else None,
        begun=begun,
        renewed=[lesson.title for lesson in renewed],
        folder=folder,
    )
