"""The workflows of GitHub Actions parse, the commands they call are there; and so on Binder."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.lessons import ROOT
from tools.stamp import colab_link, links_in_colab

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_three_workflows_are_there():
    assert [path.stem for path in WORKFLOWS] == ["drift", "pages", "test"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_commands_that_exist_and_pins_its_actions(path):
    # YAML reads the key `on` as true.
    workflow = yaml.safe_load(path.read_text().replace("\non:", '\n"on":'))
    assert set(workflow) >= {"name", "on", "permissions", "jobs"}
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)
    called = re.findall(r"\bmake ([\w-]+)", " ".join(s.get("run", "") for s in steps(workflow)))
    assert called and set(called) <= TARGETS


def test_ci_and_the_test_workflow_run_the_same_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / ".github" / "workflows" / "test.yml").read_text()


def test_on_binder_a_published_lesson_leads_to_the_others_beside_it(tmp_path):
    address = "https://github.com/ada/training-loop"
    here = f"[Open in Colab]({colab_link(address, '05_full_loop')})"
    lesson = tmp_path / "notebooks" / "05_full_loop.ipynb"
    lesson.parent.mkdir()
    lesson.write_text(here + links_in_colab("[Next](06_dataloader.ipynb#shuffling)", address))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] || exec "{sys.executable}" "$@"\n')  # no pip
    python.chmod(0o755)
    found = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = ["bash", ROOT / ".binder" / "postBuild"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | found, check=True)
    assert lesson.read_text() == here + "[Next](06_dataloader.ipynb#shuffling)"
