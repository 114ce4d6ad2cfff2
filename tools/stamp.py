"""Write what all lessons share into the lessons and the README: `make stamp`.

Two facts stand in one place each: the address of the published repository, as `Repository` under
`[project.urls]` in pyproject.toml, which `make publish REPO=owner/name` sets; and the torch and
the day of the last green run of all tests, in tools/verified.toml, which `make verified` sets.
The minutes of a lesson are computed from what it holds, by tools/minutes.py. The *What to try* of a
simulation is written from its experiments, `course_utils/widgets/NAME.toml`.
"""

import argparse
import datetime
import re
import tomllib
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import nbformat
import tomlkit

from course_utils.widgets.experiments import TO_TRY, as_markdown, experiments_of
from tools import minutes

ROOT = Path(__file__).parents[1]

_TRY = """\
try:
    import course_utils
except ModuleNotFoundError:
"""
_INSTALL = """\
    %pip install --quiet --no-deps git+{repository}
    import course_utils
"""
_EXPLAIN = """\
    raise ModuleNotFoundError(
        "The package course_utils is missing. Start this notebook with `make lab` in the course's "
        "folder, or install the package: pip install --no-deps PATH_TO_THE_COURSE"
    ) from None
"""
_LAST = 'print("course_utils", course_utils.__version__)'

_METADATA = {  # of every lesson
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_SIMULATION = re.compile(r"widgets\.(\w+)\(")

_GITHUB = "https://github.com/"
_MINUTES = re.compile(r"^\*(?:About )?\d+ minutes[^·\n]*?(?= · |\*$)", flags=re.MULTILINE)
VERIFIED = re.compile(r"\n\n\*Last verified with torch .*\*$", flags=re.MULTILINE)
_README_ROW = re.compile(r"^(\| \[.*\]\(notebooks/(\w+)\.ipynb\) \|)[^|]*\|[^|]*\|", re.MULTILINE)
_README_SUM = re.compile(r"^\| \*all\* \|.*$", flags=re.MULTILINE)
_COLAB = "https://colab.research.google.com/github/"
_LOCAL_LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb(#[^)\s]*)?\)")
_COLAB_LINK = re.compile(
    r"(?<!\[Open in Colab)\]\(" + re.escape(_COLAB) + r"[^)\s]+/notebooks/(\w+)\.ipynb(#[^)\s]*)?\)"
)
_FILE = re.compile(r"(?<!\[)`((?:course_utils|data)/[\w./]+)`")  # of the repository, by its name
_FILE_LINK = re.compile(r"\[(`[^`]+`)\]\(" + re.escape(_GITHUB) + r"[^)\s]+/blob/main/[^)\s]+\)")
_SAVE = (
    "there, first “File → Save a copy in Drive”: that copy is yours, and where you come back to; "
    "Colab keeps nothing else, and which exercises you have solved is noted nowhere"
)
_README_BLOCK = re.compile(r"<!-- published -->\n.*?<!-- /published -->", flags=re.DOTALL)


# The two facts


def repository(root):
    """The address of the published repository, or None."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def set_repository(root, name):
    """Publish under `name`, the owner and name of a repository on GitHub."""
    name = name.removesuffix(".git")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.+$)[A-Za-z0-9._-]+", name):
        raise SystemExit(
            "REPO is the owner and the name of your repository on GitHub, as in "
            f"`make publish REPO=ada/training-loop`; got {name!r}."
        )
    path = root / "pyproject.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    project = document["project"]
    if "urls" not in project:
        project["urls"] = tomlkit.table().add("Repository", "").add(tomlkit.nl())
    project["urls"]["Repository"] = _GITHUB + name
    path.write_text(tomlkit.dumps(document), encoding="utf-8", newline="\n")


def set_verified(root, torch, day):
    """Note that all tests passed with this torch on this day."""
    text = f'# Written by `make verified`: all tests passed.\ntorch = "{torch}"\ndate = {day}\n'
    (root / "tools" / "verified.toml").write_text(text, encoding="utf-8", newline="\n")


# What is made of them


def setup_cell(repository):
    """The source of the setup cell."""
    then = _INSTALL.format(repository=repository) if repository else _EXPLAIN
    does = "install the course's package where it is missing" if repository else "find the package"
    return f"# Setup, the same in every lesson: {does}, nothing else.\n" + _TRY + then + _LAST


def colab_link(repository, lesson):
    """The address that opens a lesson in Colab."""
    name = repository.removeprefix(_GITHUB)
    return f"{_COLAB}{name}/blob/main/notebooks/{lesson}.ipynb"


def links_in_colab(markdown, repository):
    """The text for Colab, which knows no folder: links to other lessons are addresses there, and
    files of the repository that it names are links to them."""
    linked = _LOCAL_LINK.sub(
        lambda link: f"]({colab_link(repository, link[1])}{link[2] or ''})", markdown
    )
    return _FILE.sub(rf"[`\1`]({repository}/blob/main/\1)", linked)


def local_links(markdown):
    """The text with its links to other lessons as names of files, for all other places."""
    unlinked = _FILE_LINK.sub(r"\1", markdown)
    return _COLAB_LINK.sub(lambda link: f"]({link[1]}.ipynb{link[2] or ''})", unlinked)


def header_cell(source, root, lesson):
    """The first cell of a lesson, with the line below its minutes that says what it ran with."""
    fact = tomllib.loads((root / "tools" / "verified.toml").read_text(encoding="utf-8"))
    day = f"{fact['date'].day} {fact['date']:%B %Y}"
    line = f"Last verified with torch {fact['torch']} on {day}"
    if address := repository(root):
        line += f" · [Open in Colab]({colab_link(address, lesson)}): {_SAVE}"
    core, deeper = map(minutes.rounded, minutes.minutes(lesson, root))
    more = f"; {deeper} more for the deeper parts" if deeper else ""
    bare = VERIFIED.sub("", source)
    if not _MINUTES.search(bare):
        raise SystemExit(f"The first cell of {lesson} has no line like *50 minutes · builds on …*")
    bare = _MINUTES.sub(f"*{core} minutes{more}", bare, count=1)
    return re.sub(r"^\*\d+ minutes.*$", rf"\g<0>\n\n*{line}*", bare, count=1, flags=re.MULTILINE)


def unstamped(source):
    """The first cell of a lesson without what is stamped into it."""
    return _MINUTES.sub("", VERIFIED.sub("", source))


def readme(source, root, titles):
    """The README, with the minutes of the lessons and, once the course is published, its address.

    `titles` (name -> title) are those of the lessons.
    """
    times = {name: minutes.minutes(name, root) for name in titles}
    source = _README_ROW.sub(
        lambda row: f"{row[1]} {' | '.join(str(minutes.rounded(m)) for m in times[row[2]])} |",
        source,
    )
    core, deeper = (round(sum(column) / 60) for column in zip(*times.values(), strict=True))
    source = _README_SUM.sub(f"| *all* | {core} hours | {deeper} hours | |", source)
    address = repository(root)
    lines = ["<!-- published -->"]
    if address:
        folder = address.rpartition("/")[2]
        lessons = (f"[{title}]({colab_link(address, name)})" for name, title in titles.items())
        lines += [
            "", f"    git clone {address} && cd {folder}",
            "", "Or open a lesson in Colab, without installing anything: " + " · ".join(lessons),
            "",
        ]  # fmt: skip
    block = "\n".join([*lines, "<!-- /published -->"])
    return _README_BLOCK.sub(lambda _: block, source)


def clean(notebook):
    """Without what a run leaves behind: outputs, counts, which Python it was, and metadata of cells
    but the known ones."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        kept = ("tags", "slideshow", "nbmake")
        cell.metadata = {name: cell.metadata[name] for name in kept if name in cell.metadata}
    notebook.metadata = nbformat.from_dict(_METADATA)
    return notebook


def add_experiments(notebook):
    """Write *What to try* below each simulation, in a new cell if there is none yet."""
    for code, below in pairwise(list(notebook.cells)):
        if name := _SIMULATION.match(code.source):
            if not below.source.startswith(TO_TRY):
                tags = {"tags": code.metadata.tags} if "tags" in code.metadata else {}
                below = nbformat.v4.new_markdown_cell(metadata=tags)
                notebook.cells.insert(notebook.cells.index(code) + 1, below)
            told = as_markdown(experiments_of(name[1]))
            if below.source != told:  # also where somebody has edited the copy
                print(f"What to try of {name[1]}: written from course_utils/widgets/{name[1]}.toml")
            below.source = told


def stamp(root):
    """Stamp every lesson and the README; a second time changes nothing."""
    titles = {}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = clean(nbformat.read(path, as_version=4))
        add_experiments(notebook)
        nbformat.write(notebook, path)  # the minutes are computed from it
        header = notebook.cells[0]
        titles[path.stem] = header.source.splitlines()[0].removeprefix("# ")
        header.source = header_cell(header.source, root, path.stem)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = local_links(cell.source)
                if address := repository(root):
                    cell.source = links_in_colab(cell.source, address)
            if "setup" in cell.metadata.get("tags", []):
                cell.source = setup_cell(repository(root))
        nbformat.write(notebook, path)
    path = root / "README.md"
    source = readme(path.read_text(encoding="utf-8"), root, titles)
    path.write_text(source, encoding="utf-8", newline="\n")


def main():
    options = argparse.ArgumentParser(prog="python -m tools.stamp", description=__doc__)
    options.add_argument("--repository", metavar="OWNER/NAME", help="publish under this name")
    options.add_argument("--verified", action="store_true", help="all tests just passed")
    chosen = options.parse_args()
    if chosen.repository is not None:
        set_repository(ROOT, chosen.repository)
    if chosen.verified:
        torch = metadata.version("torch").partition("+")[0]
        set_verified(ROOT, torch, datetime.date.today())
    stamp(ROOT)
    where = repository(ROOT) or "no address: not published yet"
    print(f"Stamped the lessons and the README ({where}). Look at `git diff`, then commit.")


if __name__ == "__main__":
    main()
