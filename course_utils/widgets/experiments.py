"""The *What to try* of the simulations, as data: a TOML file beside the module of each.

A file is a list of `[[experiment]]` tables: `question`, `answer`, and `moves`, what to do in order:
settings by name as `{lr = 0.5}`, a number of steps, or the label of a button. The notebooks' text is
written from it (`tools/stamp.py`), the simulation offers it, the web pages play it, and the tests
hold its answers to what is seen.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .controls import as_text

TO_TRY = "**What to try**"


class Experiment(NamedTuple):
    question: str
    answer: str
    moves: tuple


@cache
def experiments_of(name):
    """The experiments of a simulation; none, if it has no file."""
    path = Path(__file__).with_name(f"{name}.toml")
    if not path.is_file():
        return ()
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["experiment"]
    for number, table in enumerate(tables, 1):
        if missing := set(Experiment._fields) - set(table):
            raise ValueError(
                f"{path.name}: experiment {number} has no {', '.join(sorted(missing))}."
            )
    return tuple(
        Experiment(table["question"].strip(), table["answer"].strip(), tuple(table["moves"]))
        for table in tables
    )


def in_words(move, controls):
    """A move as its button says it."""
    if isinstance(move, dict):
        return ", ".join(f"{controls[name].label} {as_text(value)}" for name, value in move.items())
    return f"{move} step{'s' * (move != 1)}" if isinstance(move, int) else move


def as_markdown(experiments):
    """What stands below the simulation in its lesson."""
    parts = [f"{TO_TRY}, each time from the defaults:"]
    for number, experiment in enumerate(experiments, 1):
        answer = f"<details><summary>Answer</summary>\n\n{experiment.answer}\n\n</details>"
        indented = answer.replace("\n", "\n   ").replace("\n   \n", "\n\n")
        parts += [f"{number}. {experiment.question}", f"   {indented}"]
    return "\n\n".join(parts)
