"""Lesson 09 and the doctor agree: the table knows every bug, and the examination has one key."""

import re

import pytest
import torch
from torch import nn

from course_utils import LoopDoctor, mlp
from course_utils.checks.debugging_clinic import CASES, HEALTHY
from course_utils.doctor.detector import Detector
from tests import lessons

NOTEBOOK = lessons.read("09_debugging_clinic")
TEXT = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")


def test_the_table_lists_every_bug_that_the_doctor_can_name_once():
    rows = re.findall(r"^\| `([\w-]+)` \|(?: [^|]+ \|){3}$", TEXT, flags=re.MULTILINE)
    bugs = {detector.bug for detector in Detector.all if detector.bug}
    assert bugs - set(rows) == set(), "these have no row | `id` | symptom | cause | fix |"
    assert set(rows) - bugs == set(), (
        "of these there is no detector in a module that doctor/__init__.py imports and lists"
    )
    assert len(rows) == len(set(rows))


def test_each_group_of_the_table_says_how_many_rows_it_has():
    groups = re.findall(r"<summary>([^<]+) \((\d+)\)</summary>(.*?)</details>", TEXT, re.DOTALL)
    assert len(groups) > 5
    for title, count, group in groups:
        rows = len(re.findall(r"^\|", group, flags=re.MULTILINE)) - 2  # without head and rule
        assert int(count) == rows, f"{title}: there are {rows} rows"


@pytest.fixture(scope="module")
def names():
    """What the lesson's imports and the cells of the examination define."""
    defined = {}
    for cell in lessons.code_cells(NOTEBOOK):
        if re.match(r"import math|points, labels|class TwoParts|def loop_\d", cell.source):
            exec(cell.source, defined)
    return defined


@pytest.mark.parametrize("number", CASES)
def test_the_doctor_agrees_with_the_key_of_the_examination(number, names):
    with LoopDoctor(verbose=False) as doctor:
        names[f"loop_{number}"]()
    assert [finding.bug for finding in doctor.findings] == [CASES[number].diagnosis] * (
        CASES[number].diagnosis != HEALTHY
    )


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_the_first_aid_for_rows_that_mix_finds_a_network_that_reads_along_the_batch(kind):
    (cell,) = [cell for cell in lessons.code_cells(NOTEBOOK) if "def mixing(" in cell.source]
    names = {"torch": torch, "nn": nn, "mlp": mlp, "xb": torch.randn(8, 5, 2)}
    exec(cell.source.partition("models = ")[0], names)

    class Reader(nn.Module):
        def __init__(self, batch_first):
            super().__init__()
            self.reader = kind(2, 4, batch_first=batch_first)

        def forward(self, x):
            return self.reader(x)[0][:, -1]

    assert names["mixing"](Reader(batch_first=True)) == 0
    assert names["mixing"](Reader(batch_first=False)) > 0
