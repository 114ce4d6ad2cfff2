"""A lesson alone, as in Colab: its setup cell installs the course's package and nothing else."""

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import nbformat

from tests.lessons import ROOT, code_cells, output_text, read, tags
from tools.stamp import setup_cell

_USE = """\
from course_utils import check, load_ipo, quiz, widgets
print(course_utils.__file__)
print(check.full_loop.one_step(...))
print(len(load_ipo()), "offers,", len(quiz("05_full_loop").questions), "questions")
widgets.training_dashboard()
"""
_EXECUTE = """\
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=120).execute()
nbformat.write(notebook, sys.argv[1])
"""


def published(folder):
    """The address of a git repository with the course as it is on disk."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("course_utils", "data", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "The course"]):
        subprocess.run([*git, *command], check=True)
    return folder.as_uri()


def machine(folder):
    """(a Python that has this one's packages installed, but not the course's; its variables)."""
    venv.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Packages on such a path are found and listed, but pip counts them as another's and never
    # removes them.
    packages = folder.with_name("packages")
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        # Without tqdm, which nothing here uses: installing dependencies as well would show.
        if not entry.name.startswith(("course_utils", "_editable_impl_course_utils", "tqdm")):
            (packages / entry.name).symlink_to(entry)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    (site / "packages.pth").write_text(str(packages))
    private = {name: str(folder / name) for name in ("JUPYTER_DATA_DIR", "IPYTHONDIR")}
    # The package is built with the hatchling that is there, so that no network is needed: pip
    # takes the 0 for the value of "build isolation", in spite of the variable's name.
    variables = os.environ | private | {"PIP_NO_BUILD_ISOLATION": "0", "MPLBACKEND": "agg"}
    variables.pop("PYTHONPATH", None)
    return python, variables


def installed(python, variables):
    """The packages that pip finds."""
    freeze = subprocess.run(
        [python, "-m", "pip", "freeze"], env=variables, capture_output=True, text=True, check=True
    )
    return set(freeze.stdout.splitlines())


def test_a_lesson_alone_installs_the_package_with_its_data_and_changes_nothing_else(tmp_path):
    python, variables = machine(tmp_path / "machine")
    address = published(tmp_path / "course")
    lesson = read("05_full_loop")
    setup = next(cell for cell in code_cells(lesson) if "setup" in tags(cell))
    setup.source = setup_cell(address)
    lesson.cells = [setup, nbformat.v4.new_code_cell(_USE)]
    folder = tmp_path / "content"
    folder.mkdir()
    nbformat.write(lesson, folder / "lesson.ipynb")

    before = installed(python, variables)
    run = subprocess.run(
        [python, "-c", _EXECUTE, "lesson.ipynb"],
        cwd=folder, env=variables, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    after = installed(python, variables)

    assert len(before) > 20 and before < after
    new = " ".join(after - before)
    assert re.fullmatch(re.escape(f"course_utils @ git+{address}@") + r"\w+", new), new
    used = output_text(nbformat.read(folder / "lesson.ipynb", as_version=4).cells[1])
    assert str(tmp_path / "machine") in used
    assert "Not attempted yet." in used and "319 offers" in used and " questions" in used
