"""Reading, solving and executing the lesson notebooks, for the tests."""

import ast
import os
import re
import tempfile
from html import unescape
from pathlib import Path

import nbformat
import numpy as np
from nbmake.nb_run import NotebookRun

ROOT = Path(__file__).parents[1]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def read(lesson):
    return nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def hand_written_loop(evaluate):
    """`train_by_hand` of lesson 05, from the notebook: it stands nowhere else."""
    cells = code_cells(read("05_full_loop"))
    (cell,) = [cell for cell in cells if "hand-written-loop" in tags(cell)]
    names = {"evaluate": evaluate}
    exec(cell.source, names)
    return names["train_by_hand"]


def recorded():
    """The class `Recorded` of lesson 03, from the notebook: it stands nowhere else."""
    (cell,) = [cell for cell in code_cells(read("03_backward")) if "class Recorded:" in cell.source]
    names = {"np": np}
    exec(cell.source, names)
    return names["Recorded"]


# Core and deeper

DEEPER = " · *deeper*"


def without_deeper_parts(notebook):
    """Leave out what can wait."""
    notebook.cells = [cell for cell in notebook.cells if "deeper" not in tags(cell)]


def wrongly_marked(notebook):
    """Cells that their headings and their tag `deeper` say different things about."""
    problems, level = [], None  # the level of the heading that began a deeper part
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # Code may hold comments, which look like headings; what stays keeps its place.
            text = re.sub(r"```.*?```", lambda m: "." * len(m[0]), cell.source, flags=re.DOTALL)
            for heading in re.finditer(r"^(#+) .*$", text, flags=re.MULTILINE):
                begins = heading[0].endswith(DEEPER)
                ends = not begins and level is not None and len(heading[1]) <= level
                if (begins or ends) and heading.start() > 0:
                    problems.append(f"{heading[0]!r} must be the first line of its cell")
                level = len(heading[1]) if begins else None if ends else level
        if ("deeper" in tags(cell)) != (level is not None):
            way = "no tag deeper" if level is not None else "the tag deeper"
            problems.append(
                f"{cell.id}, {cell.source[:60]!r}: it has {way}, but the heading above it, or of the "
                f"part it stands in, ends {'in' if level is not None else 'without'} {DEEPER!r}"
            )
    return problems


def needed_although_deeper(notebook):
    """Deeper exercises whose answer a cell of the core uses, though it may be missing."""
    core = [cell for cell in code_cells(notebook) if "deeper" not in tags(cell)]
    return [
        f"{name}, which a deeper exercise gives, is used in the core: {cell.source[:60]!r}"
        for stub, _, _ in exercises(notebook)
        if "deeper" in tags(stub)
        for name in _names_given(stub.source)
        for cell in core
        if name in _names_used(cell.source)
    ]


def _names_used(source):
    tree = ast.parse(re.sub(r"^(\s*)%.*$", r"\1pass", source, flags=re.MULTILINE))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _names_given(source):
    """What code defines, at its top level."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from map(ast.unparse, node.targets)


# Exercises


def exercises(notebook):
    """(stub, check, explanation) cells of every exercise, in order."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if "exercise" in tags(cell):
            found.append((cell, notebook.cells[index + 1], notebook.cells[index + 2]))
    return found


def solution(explanation):
    """The code of the `<details>` Solution block of a markdown cell."""
    block = re.search(
        r"<summary>Solution</summary>\s*```python\n(.*?)```", explanation.source, flags=re.DOTALL
    )
    assert block, f"no solution in: {explanation.source[:80]}"
    return block.group(1).rstrip()


def solve(notebook):
    """Put every solution in the place of its stub."""
    for stub, _, explanation in exercises(notebook):
        stub.source = solution(explanation)


# Execution

# Sums are taken in another order elsewhere, so no two kinds of processor compute the same last digit.
# The second is what most laptops have, the third does without the vector instructions of both.
BACKENDS = {
    "here": {},
    "a laptop": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    "no vectors": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    # Waiting threads sleep; those that spin slow down whatever runs beside them.
    "two threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
}


def execute(notebook):
    """(the executed notebook, CPU seconds of its kernel), run by nbmake in an empty folder.

    The empty folder proves that a lesson needs nothing beside it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lesson.ipynb"
        nbformat.write(notebook, path)
        before = _children_seconds()
        result = NotebookRun(path, default_timeout=300).execute()
        seconds = _children_seconds() - before
    assert result.error is None, result.error.trace
    return result.nb, seconds


def _children_seconds():
    times = os.times()
    return times.children_user + times.children_system


# What can be wrong with an executed notebook; each function returns a list of sentences


def not_executed(notebook):
    """Cells that did not run, and a notebook that printed nothing."""
    cells = code_cells(notebook)
    problems = [f"not executed: {c.source[:80]!r}" for c in cells if c.execution_count is None]
    if not any(output_text(cell).strip() for cell in cells):
        problems.append("the notebook printed nothing")
    return problems


def warnings_shown(notebook):
    """Whatever the reader would see on a red ground."""
    return [
        f"{cell.source[:80]!r} wrote to stderr: {output.text}"
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.get("name") == "stderr"
    ]


def other_verdicts(notebook, expected):
    """Exercise checks that say something else than `expected`."""
    verdicts = [output_text(check).strip() for _, check, _ in exercises(notebook)]
    return [verdict for verdict in verdicts if not verdict.startswith(expected)]


def mute_figures(notebook):
    """Figures that don't say what they show."""
    return [
        f"a figure without alternative text: {cell.source[:80]!r}"
        for cell in code_cells(notebook)
        for data in (output.get("data", {}) for output in cell.outputs)
        if "image/png" in data
        and not re.search(r'<img [^>]*alt="[^"]{20,}"', data.get("text/html", ""))
    ]


def unfounded_numbers(notebook):
    """Numbers of the prose that no neighbouring code cell gives."""
    problems = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown" or index == 0:
            continue
        measured = [n for near in neighbours(notebook.cells, index) for n in numbers_of(near)]
        for number, value, percent in prose_numbers(cell.source):
            if not has_source(number, value, percent, measured):
                before, _, after = cell.source.partition(number)
                problems.append(
                    f"{before[-40:] + number + after[:20]!r}: no code cell beside it gives {number}. Print "
                    "it there, or take it out (what the reader is to type stands in backticks)."
                )
    return problems


def output_text(cell):
    """All that a reader sees below a code cell, as text."""
    parts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        html = re.sub(r'<img[^>]*alt="([^"]*)"[^>]*>', r"\1", data.get("text/html", ""))
        parts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/markdown", "")]
        parts.append(unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)))
    return "\n".join(parts)


# Numbers

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")
_NOT_MEASURED = re.compile(
    r"```.*?```"  # code
    r"|`[^`]*`|<details>.*?</details>"
    r"|\$[^$]*\$"  # formulas
    r"|\]\([^)]*\)"  # the address of a link
    r"|^#+ .*$"  # headings
    r"|^\*(?:easy|medium|hard) ·.*\*$"  # the card of an exercise
    r"|\b(?:lessons?|exercises?|questions?) \d+(?:(?:,| and| to) \d+)*"
    r"|\*\*Next: .*$",
    flags=re.DOTALL | re.MULTILINE,
)


def prose_numbers(source):
    """(text, value, is a percentage) for the numbers of a markdown cell that need a source.

    All of them, except whole numbers below ten, which count things in the text, and what stands
    in code, formulas, headings and references.
    """
    text = re.sub(r"^\|[-| ]*$", "", source, flags=re.MULTILINE)
    text = _NOT_MEASURED.sub(" ", text)
    found = []
    for match in _NUMBER.finditer(text):
        number = match.group()
        if "." in number or float(number) >= 10:
            percent = text[match.end() :].lstrip().startswith("%")
            found.append((number, float(number), percent))
    return found


def numbers_of(cell):
    """Every number in a code cell's source and output."""
    text = cell.source + "\n" + output_text(cell)
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]


def neighbours(cells, index):
    """The code cells just before and just after markdown cell `index`."""
    before, after = index, index
    while before > 0 and cells[before - 1].cell_type == "markdown":
        before -= 1
    while after < len(cells) - 1 and cells[after + 1].cell_type == "markdown":
        after += 1
    near = []
    step = before - 1
    while step >= 0 and cells[step].cell_type == "code":
        near.append(cells[step])
        step -= 1
    step = after + 1
    while step < len(cells) and cells[step].cell_type == "code":
        near.append(cells[step])
        step += 1
    return near


def has_source(number, value, percent, measured):
    """Whether a number of the prose is one of the measured ones, rounded.

    A decimal may be off by one in its last place, since floating point differs a little from one
    processor to another; a whole number may be a rounded one.
    """
    decimals = len(number.partition(".")[2])
    tolerance = (1.01 if decimals else 0.5) * 10.0**-decimals
    scales = (1, 100) if percent else (1,)
    return any(abs(value - scale * m) <= tolerance for m in measured for scale in scales)
