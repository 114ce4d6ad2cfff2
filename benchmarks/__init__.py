"""The common form of the benchmarks: every other module in this folder is one section.

A section is a module with

- a docstring: its first line is the title, the rest says in Markdown what is measured and how;
- `measure()`, which yields `Table`s;
- `READING`: what the tables say, written by hand after measuring and without numbers of its own,
  so that it stays true when they are measured again.

A ratio is a time divided by that of the table's base in the same round: 1.00x is as fast as the
base, less is faster.
"""

import os
import statistics
import time
from dataclasses import dataclass, field

os.environ["OMP_NUM_THREADS"] = "1"  # here, since torch reads it when it is imported


@dataclass
class Row:
    """One line of a table: its ratios, one for each round, and what its further columns hold.

    In a table of plain numbers no row has ratios.

    `ours` marks code of the course, which `make bench-check` guards.
    """

    name: str
    ratios: list[float] = field(default_factory=list)
    cells: tuple[str, ...] = ()
    ours: bool = False

    @property
    def median(self):
        return statistics.median(self.ratios)


@dataclass
class Table:
    """`columns` are the heads of the further columns, `base` is what a ratio of 1 means.

    `left_out` says for everything that could not be measured why.
    """

    title: str
    rows: list[Row]
    columns: tuple[str, ...] = ()
    base: str = ""
    left_out: dict[str, str] = field(default_factory=dict)


def cpu_seconds(function, *arguments):
    """CPU time of one call: other programs on the machine count little."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def in_rounds(contestants, rounds):
    """name -> what its function returned in each round; the order rotates from round to round."""
    names = list(contestants)
    results = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            results[name].append(contestants[name]())
        names.append(names.pop(0))
    return results


def ratios(times, base):
    """Each time divided by the base's of the same round."""
    return [round(t / b, 4) for t, b in zip(times, base, strict=True)]


def milliseconds(times):
    """The median as a cell of a table."""
    median = 1000 * statistics.median(times)
    return f"{median:.0f} ms" if median >= 100 else f"{median:.2g} ms"
