"""Lesson 09 and the doctor agree: the table knows every bug, and the examination has one key."""

import re

import pytest

from course_utils import LoopDoctor
from course_utils.checks.debugging_clinic import CASES, HEALTHY
from course_utils.doctor.detector import Detector
from tests import lessons

NOTEBOOK = lessons.read("09_debugging_clinic")


def test_the_table_lists_every_bug_that_the_doctor_can_name_once():
    text = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    rows = re.findall(r"^\| `([\w-]+)` \|(?: [^|]+ \|){3}$", text, flags=re.MULTILINE)
    assert sorted(rows) == sorted(detector.bug for detector in Detector.all if detector.bug)


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
