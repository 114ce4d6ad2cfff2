"""`python -m course_utils.doctor script.py`: the script as without it, and a report at the end."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from course_utils.doctor.detector import Detector
from course_utils.doctor.story import stories

SCRIPT = """
import os, pickle, signal, sys, time
import torch
from torch import nn
import beside

class Own:
    pass

print(sys.argv, __name__, __file__, sys.path[0], type(pickle.loads(pickle.dumps(Own()))))
model = nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(5):
    loss = nn.functional.cross_entropy(model(torch.rand(8, 2)), torch.randint(2, (8,)))
    loss.backward()
    optimizer.step()
if sys.argv[1] == "raises":
    model(torch.rand(8, 3))
if sys.argv[1] == "leaves":
    sys.exit("with these words")
if sys.argv[1] == "is interrupted":
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
"""
DOCTOR = ["-m", "course_utils.doctor"]


@pytest.fixture
def python(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text(SCRIPT)
    (tmp_path / "project" / "beside.py").write_text("")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return run


@pytest.mark.parametrize("ending", ["raises", "leaves", "is interrupted"])
def test_a_script_ends_as_without_the_doctor_and_its_report_follows(python, ending):
    script = "project/train.py", ending
    alone, watched = python(*script), python(*DOCTOR, *script)
    assert watched.returncode == alone.returncode != 0
    assert watched.stdout == alone.stdout and "project/train.py" in alone.stdout
    words, report = watched.stderr.split("\nerror: no-zero-grad\n")
    said = words.partition("\nLoop doctor:")[0]
    assert said.strip() == alone.stderr.strip() != ""
    assert "train.py, line 16: optimizer.step()" in report
    assert alone.returncode == (-signal.SIGINT if ending == "is interrupted" else 1)


def test_a_report_for_machines_and_a_red_run_for_what_is_grave(python, tmp_path):
    script = "project/train.py", "ends"
    assert python(*DOCTOR, *script).returncode == 0
    run = python(*DOCTOR, "--json", "report.json", "--fail-on", "error", *script)
    assert run.returncode == 1 and "['project/train.py', 'ends']" in run.stdout
    [finding] = json.loads((tmp_path / "report.json").read_text())["findings"]
    assert (finding["bug"], finding["severity"]) == ("no-zero-grad", "error")


def test_a_bug_is_explained_by_its_row_in_lesson_09(python):
    assert set(stories()) == {detector.bug for detector in Detector.all if detector.bug}
    run = python(*DOCTOR, "--explain", "no-zero-grad")
    assert run.returncode == 0 and all(words in run.stdout for words in stories()["no-zero-grad"])
    run = python(*DOCTOR, "--explain", "zero-grad")
    assert run.returncode == 2 and re.search(
        "no bug is called 'zero-grad'.*no-zero-grad", run.stderr
    )


def test_a_script_that_is_not_there_is_said_in_a_sentence(python):
    run = python(*DOCTOR, "trian.py")
    assert run.returncode == 2 and "there is no file 'trian.py'" in run.stderr
