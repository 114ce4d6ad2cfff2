"""The story of a bug: its row in the table of lesson 09, which is the one place where it stands."""

import json
import re
from pathlib import Path

_LESSON = "09_debugging_clinic.ipynb"
# In the repository, and in an installed package, which carries a copy.
_PLACES = Path(__file__).parents[2] / "notebooks", Path(__file__).parents[1] / "_lessons"
_ROW = re.compile(r"^\| `([\w-]+)` \|" + 3 * r" ([^|]+) \|" + "$", re.MULTILINE)


def stories():
    """Symptom, cause and fix of every bug that the doctor can name: {id: (symptom, cause, fix)}."""
    path = next(place / _LESSON for place in _PLACES if (place / _LESSON).exists())
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return {bug: tuple(words) for bug, *words in _ROW.findall(text)}


def as_text(bug, symptom, cause, fix):
    lines = zip(("symptom", "cause", "fix"), (symptom, cause, fix), strict=True)
    return "\n".join([bug, *(f"  {title + ':':<9}{words}" for title, words in lines)])
