"""How long the course takes

Each lesson, with its exercises solved, runs once from top to bottom in an empty folder, as the \
tests run it, one thread. *CPU* is that of its kernel, start and imports included; *wall* what the \
clock on the wall says.

The way from a fresh clone to the first executed cell is walked once as well: `git clone` of this \
repository, `make setup` (packages from pip's cache where it has them, else from the network), \
then the setup cell of lesson 00.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import Row, Table
from tests import lessons

FIRST_CELL = """
from tests.lessons import LESSONS, code_cells, execute, read
notebook = read(LESSONS[0])
notebook.cells = code_cells(notebook)[:1]
execute(notebook)
"""
READING = """\
Reading, predicting and solving take a learner far longer than the computing does. Nearly all of the \
way from a fresh clone to the first cell is the set-up, which happens once: PyTorch and JupyterLab \
are large.
"""


def solved(lesson):
    """(CPU seconds, wall seconds) of one lesson."""
    notebook = lessons.read(lesson)
    lessons.solve(notebook)
    start = time.perf_counter()
    _, cpu = lessons.execute(notebook)
    return cpu, time.perf_counter() - start


def all_lessons():
    seconds, left_out = {}, {}
    for lesson in lessons.LESSONS:
        try:
            seconds[lesson] = solved(lesson)
        except AssertionError as error:
            left_out[lesson] = str(error).strip().splitlines()[-1]
    total = map(sum, zip(*seconds.values(), strict=True))
    rows = [
        Row(name, cells=tuple(f"{second:.0f} s" for second in numbers))
        for name, numbers in (seconds | {"all": total}).items()
    ]
    return Table("The lessons", rows, ("CPU", "wall"), left_out=left_out)


def from_fresh_clone():
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        seconds, left_out = {}, {}
        for name, command, where in [
            ("`git clone`", ["git", "clone", "--quiet", lessons.ROOT, clone], folder),
            ("`make setup`", ["make", "--silent", "setup"], clone),
            ("the first cell", [".venv/bin/python", "-c", FIRST_CELL], clone),
        ]:
            start = time.perf_counter()
            done = subprocess.run(
                command, cwd=where, env=environment, capture_output=True, text=True
            )
            if done.returncode:
                left_out[name] = (done.stderr.strip().splitlines() or ["It failed."])[-1]
                break
            seconds[name] = time.perf_counter() - start
    seconds["all"] = sum(seconds.values())
    rows = [Row(name, cells=(f"{second:.1f} s",)) for name, second in seconds.items()]
    return Table("From a fresh clone", rows, ("wall",), left_out=left_out)


def measure():
    yield all_lessons()
    yield from_fresh_clone()
