"""The files around the course agree with each other."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.lessons import LESSONS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]


def test_environment_yml_has_the_packages_and_bounds_of_pyproject():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    names = {"pytorch": "torch", "playwright-python": "playwright"}
    (from_pypi,) = [line["pip"] for line in conda if isinstance(line, dict)]
    conda = [line for line in conda if isinstance(line, str) and line != "pip"]
    conda = {re.sub(r"^[\w-]+", lambda m: names.get(m[0], m[0]), line) for line in conda}
    conda.update(from_pypi)
    assert conda == {*REQUIREMENTS, f"python{PROJECT['requires-python']}"}


def test_packages_have_lower_bounds_only_so_that_colab_keeps_its_own():
    for requirement in map(Requirement, REQUIREMENTS):
        assert [bound.operator for bound in requirement.specifier] == [">="], requirement


def pinned():
    """The versions that constraints.txt names."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def test_constraints_pin_every_package_to_a_version_that_the_bounds_allow():
    assert pinned()["torch"] == "2.13.0"
    for requirement in map(Requirement, REQUIREMENTS):
        assert requirement.specifier.contains(Version(pinned()[requirement.name]))


def test_no_pinned_version_asks_for_a_later_fix_of_python_than_the_course():
    # Debian 12 has Python 3.11.2; there pip looked for a way out until one gave up.
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    for package in metadata.distributions():
        name = package.name.lower().replace("_", "-")
        asked = package.metadata["Requires-Python"]
        if asked and package.version == pinned().get(name):
            assert SpecifierSet(asked).contains(oldest), f"{name} {package.version}: {asked}"


def test_importing_the_package_loads_nothing_that_is_not_needed_yet():
    code = (
        "import sys, torch; before = set(sys.modules); import course_utils; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"matplotlib", "pandas", "sklearn", "scipy", "IPython", "ipywidgets", "tqdm"}
    assert not heavy & set(loaded.stdout.split())


def imported_by(path, modules):
    """The names of `modules` that the file imports when it is loaded."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - node.level + 1]
            whole = ".".join([*above, *filter(None, [node.module])])
            parts = {f"{whole}.{name.name}" for name in node.names} & modules.keys()
            yield from parts or {whole} & modules.keys()


def test_imports_in_the_package_point_one_way():
    files = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in
             (ROOT / "course_utils").rglob("*.py") if p.stem != "__init__"}  # fmt: skip
    graph = {name: set(imported_by(path, files)) for name, path in files.items()}
    assert "course_utils.trial" in graph["course_utils.inputs"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_public_names_are_there_and_an_unknown_one_is_an_attribute_error():
    import course_utils

    for name in course_utils.__all__:
        assert getattr(course_utils, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        course_utils.trian  # noqa: B018


def test_readme_lists_every_lesson():
    text = (ROOT / "README.md").read_text()
    for lesson in LESSONS:
        assert f"(notebooks/{lesson}.ipynb)" in text
