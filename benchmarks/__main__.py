"""Measure the sections and write benchmarks/README.md: `make bench`, `make bench ONLY=loader`.

What was measured is kept in results.json, from which the README is written. With `--check` nothing
is written: what is measured now is compared with what is kept there.
"""

import argparse
import datetime
import importlib
import json
import os
import pkgutil
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks import Row, Table

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
MARGIN = 0.10

INTRODUCTION = """\
# Benchmarks

Timings are noisy, so each is a ratio of times taken in the same run: 1.00x is as fast as the \
table's base, less is faster, more is slower. *Lowest* and *highest* are those of single rounds. \
Where several ways should lead to the same result, the results are compared; nothing is listed that \
does not agree. Lines about this course are in bold.

`make bench` measures all of this again and writes this page, `make bench ONLY=loader` one section. \
`make bench-check` says whether the course became slower. It complains about a line in bold if the \
new median is above every round that is kept in [results.json](results.json), the kept median below \
every new round, and the new one more than {margin:.0%} above the kept one. If nothing has changed, a \
line of five rounds fulfils the first two by chance in 6 of the 252 orders that old and new rounds \
can have; the third keeps the small differences between machines and versions out.
"""


def sections(only):
    """name -> module, for every script of the common form whose name contains `only`."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(HERE)]) if not m.ispkg)
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    found = {name: module for name, module in modules.items() if hasattr(module, "READING")}
    chosen = {name: module for name, module in found.items() if only in name}
    if not chosen:
        sys.exit(f"No section is called {only!r}. There are: {', '.join(found)}.")
    return chosen


def measure(module):
    return {
        "when": f"{datetime.date.today()}, {machine()}",
        "tables": [asdict(table) for table in module.measure()],
    }


def machine():
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0].split(":")[1].strip() if models else cpu
    return (
        f"{cpu}, {os.cpu_count()} cores, one thread; "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )


# Writing


def as_tables(result):
    for table in result["tables"]:
        yield Table(**table | {"rows": [Row(**row) for row in table["rows"]]})


def markdown(table):
    rounds = len(table.rows[0].ratios) if table.rows else 0
    heads = [f"median of {rounds}", "lowest", "highest"] if rounds else []
    heads += table.columns
    lines = [f"### {table.title}", ""]
    lines += [f"1.00x: {table.base}.", ""] if rounds else []
    lines += [line(["", *heads]), "|---" * (1 + len(heads)) + "|"]
    for row in table.rows:
        numbers = (row.median, min(row.ratios), max(row.ratios)) if rounds else ()
        ratios = (f"{number:.2f}x" for number in numbers)
        lines.append(line([f"**{row.name}**" if row.ours else row.name, *ratios, *row.cells]))
    lines += ["", *(f"Left out: {name}. {reason}" for name, reason in table.left_out.items())]
    return "\n".join(lines).strip()


def line(cells):
    return f"| {' | '.join(cells)} |"


def page(results):
    parts = [INTRODUCTION.format(margin=MARGIN).strip()]
    for name, result in results.items():
        module = importlib.import_module(f"benchmarks.{name}")
        title, method = module.__doc__.split("\n", 1)
        parts += [
            f"## {title}",
            f"[{name}.py]({name}.py), {result['when']}.",
            method.strip(),
            *map(markdown, as_tables(result)),
            module.READING.strip(),
        ]
    return "\n\n".join(parts) + "\n"


# Comparing


def slower(old, new):
    apart = new.median > max(old.ratios) and old.median < min(new.ratios)
    return apart and new.median > old.median * (1 + MARGIN)


def worse(kept, fresh):
    """A sentence for each line of the course that became slower; see the README for the rule."""
    now = {(table.title, row.name): row for table in as_tables(fresh) for row in table.rows}
    for table in as_tables(kept):
        for old in table.rows:
            if not (old.ours and old.ratios):
                continue
            new = now.get((table.title, old.name))
            if new is None:
                yield f"{table.title}: {old.name} could not be measured any more."
            elif slower(old, new):
                yield (
                    f"{table.title}: {old.name} is at {new.median:.2f}x of {table.base}; "
                    f"it was at {old.median:.2f}x, and in no round above {max(old.ratios):.2f}x."
                )


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of a section's name")
    parser.add_argument("--check", action="store_true", help="compare with results.json")
    options = parser.parse_args()
    complaints = []
    for name, module in sections(options.only).items():
        print(f"Measuring {name} ...", flush=True)
        fresh = measure(module)
        results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        if options.check:
            complaints += worse(results.get(name, {"tables": []}), fresh)
        else:
            results = dict(sorted((results | {name: fresh}).items()))
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            README.write_text(page(results))
            print("\n\n".join(map(markdown, as_tables(fresh))), flush=True)
    if complaints:
        sys.exit("Slower than before:\n" + "\n".join(complaints))


if __name__ == "__main__":
    main()
