"""Simulations on pages and slides, where there is no Python: their experiments, recorded.

A recording is made by the simulation itself, operated as its experiments say, and kept in
.executed/ until the package or the data change.
"""

import hashlib
import re

from course_utils import widgets
from course_utils.widgets.recording import recorded
from tools import executed


def recording(source, present=False):
    """The recording, as JSON text, of the simulation that the cell `source` shows.

    `present` makes its type that of a projector.
    """
    key = hashlib.sha256(f"{source}{present}{executed.package_fingerprint()}".encode()).hexdigest()[
        :12
    ]
    kept = executed.ROOT / ".executed" / f"recording-{key}.json"
    if not kept.exists():
        simulation = eval(source, {"widgets": widgets})
        simulation.present = present
        text = recorded(simulation)
        kept.parent.mkdir(exist_ok=True)
        unfinished = kept.with_suffix(".part")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.rename(kept)
    return kept.read_text(encoding="utf-8")


def as_script(module, name):
    """A module of the package as a script that puts its function `name` into the window.

    A page in a folder may not load modules.
    """
    source = (executed.ROOT / "course_utils" / module).read_text(encoding="utf-8")
    source = re.sub(r"^export (default .*$)?", "", source, flags=re.MULTILINE)
    return f"window.{name} = (() => {{\n{source}\nreturn {name}\n}})()\n"


def player():
    """The script that defines `playback(element, recording)`."""
    return as_script("widgets/view.js", "playback")
