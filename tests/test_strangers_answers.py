"""Answers that strangers gave to the exercises: none that is wrong is praised, none that is right refused."""

import ast
from contextlib import suppress

import pytest

from course_utils.checks.feedback import PASSED
from tests import lessons
from tests.strangers.answers import ANSWERS

pytestmark = pytest.mark.everywhere  # a minute in all

# What an answer may use beside imports, functions and constants of the cells above it
_MADE = {
    "08_ipo_case_study": "FEATURES = [n for n in load_ipo() if n.startswith(('issue', 'subscription'))]",
    "09_debugging_clinic": "loss_fn = nn.CrossEntropyLoss()",
}


def _names(cells, lesson):
    """The names that the code cells define, without running what takes time."""
    names = {"__name__": "lesson"}
    for cell in cells:
        if cell.cell_type != "code" or cell.source.startswith("%"):
            continue
        for node in ast.parse(cell.source).body:
            literal = isinstance(node, ast.Assign) and _is_literal(node.value)
            kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
            if isinstance(node, kinds) or literal:
                with suppress(
                    NameError, ImportError
                ):  # it needs something that only running the lesson makes
                    exec(compile(ast.Module([node], []), "<lesson>", "exec"), names)
    exec(_MADE.get(lesson, ""), names)
    return names


def _is_literal(value):
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("lesson", lessons.LESSONS)
def test_wrong_answers_are_refused_and_right_ones_pass(lesson):
    cells = lessons.read(lesson).cells
    places = [i for i, cell in enumerate(cells) if "exercise" in lessons.tags(cell)]
    misjudged = []
    for stem, number, kind, note, code in ANSWERS:
        if stem != lesson:
            continue
        place = places[number - 1]
        names = _names(cells[:place], lesson)
        exec(compile(code, "<answer>", "exec"), names)
        feedback = eval(cells[place + 1].source, names)
        if (feedback.status == PASSED) != (kind == "right"):
            misjudged.append((number, kind, note, feedback.message))
    assert not misjudged
