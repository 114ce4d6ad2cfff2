"""Write the shared setup cell into every lesson: `make stamp`.

The address of the published repository stands in pyproject.toml, as `Repository` under
`[project.urls]`; without it the cell says how to get the package.
"""

import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]

_TRY = """\
# Setup, the same in every lesson: install the course's package where it is missing, nothing else.
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


def setup_cell():
    """The source of the setup cell."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository = project.get("urls", {}).get("Repository")
    then = _INSTALL.format(repository=repository) if repository else _EXPLAIN
    return _TRY + then + _LAST


def main():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "setup" in cell.metadata.get("tags", []):
                cell.source = setup_cell()
        nbformat.write(notebook, path)
        print(f"stamped {path.name}")


if __name__ == "__main__":
    main()
