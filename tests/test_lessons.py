"""The lesson notebooks: their form, their execution as shipped and solved, and their numbers."""

import re
import tomllib
from itertools import pairwise

import nbformat
import pytest

from course_utils import checks, quiz
from tests import lessons
from tools.stamp import clean, local_links, repository, setup_cell

TAGS = {"setup", "exercise", "deeper", "hand-written-loop"}  # those that something reads
# Of CPU time, deeper parts included, on a processor without vector units; the others have 120.
SECONDS = {"05_full_loop": 240, "08_ipo_case_study": 180, "10_beyond_one_device": 240}

each_lesson = pytest.mark.parametrize("lesson", lessons.LESSONS)


def test_there_are_lessons():
    assert {"05_full_loop", "08_ipo_case_study"} <= set(lessons.LESSONS)


# Form


@each_lesson
def test_notebook_is_stored_clean(lesson):
    notebook = lessons.read(lesson)
    nbformat.validate(notebook)
    assert clean(lessons.read(lesson)) == notebook, "make stamp takes out what a run has left in it"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids), "a cell was copied with its id: delete the id of one"
    for cell in notebook.cells:
        assert set(lessons.tags(cell)) <= TAGS, f"a tag that nothing reads: {lessons.tags(cell)}"
    for cell in lessons.code_cells(notebook):
        assert cell.source.count("\n") < 25, f"too long to read: {cell.source[:60]}"
        assert "plt.show(" not in cell.source, f"a figure is plotting.show(ax, …): {cell.source}"


@each_lesson
def test_setup_cell_is_the_shared_one(lesson):
    first, *others = lessons.code_cells(lessons.read(lesson))
    assert lessons.tags(first) == ["setup"] and first.source == setup_cell(repository(lessons.ROOT))
    assert not any("setup" in lessons.tags(cell) for cell in others)


@each_lesson
def test_images_in_the_text_have_alternative_text(lesson):
    for cell in lessons.read(lesson).cells:
        if cell.cell_type == "markdown":
            without = re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")", cell.source)
            assert not without, f"an image needs words for those who don't see it: {cell.source}"


@each_lesson
def test_each_figure_is_described_once_and_apart_from_its_cell(lesson):
    sources = "\n".join(cell.source for cell in lessons.code_cells(lessons.read(lesson)))
    shown = re.findall(rf'plotting\.show\(.+, "{lesson[:2]}\.(\w+)"\)', sources)
    file = lessons.ROOT / "course_utils" / "figures" / f"{lesson}.toml"
    descriptions = tomllib.loads(file.read_text(encoding="utf-8"))
    assert sources.count("plotting.show(") == len(shown), (
        f'a figure is plotting.show(ax, "{lesson[:2]}.NAME")'
    )
    assert sorted(shown) == sorted(descriptions), f"what {file} describes is not what is shown"
    assert all(len(description) > 20 for description in descriptions.values())


@each_lesson
def test_what_is_folded_away_is_opened_and_closed_in_turn(lesson):
    for cell in lessons.read(lesson).cells:
        tags = re.findall(r"</?details\b", cell.source) if cell.cell_type == "markdown" else []
        assert tags == ["<details", "</details"] * (len(tags) // 2), (
            f"each <details> needs a </details> before the next one: {cell.source}"
        )


@each_lesson
def test_headings_nest(lesson):
    levels = []
    for cell in lessons.read(lesson).cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
            levels += [len(marks) for marks in re.findall(r"^(#+) ", text, flags=re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1, "a lesson has one # heading, its first"
    assert all(b <= a + 1 for a, b in pairwise(levels)), f"a heading leaves a level out: {levels}"


@each_lesson
def test_each_objective_is_practised_and_each_exercise_and_question_practises_one(lesson):
    notebook = lessons.read(lesson)
    objectives = re.findall(r"^- (.*)$", notebook.cells[0].source, flags=re.MULTILINE)
    assert len(objectives) >= 3
    deeper = {  # by the name of what practises it
        f"exercise {n}": "deeper" in lessons.tags(stub)
        for n, (stub, _, _) in enumerate(lessons.exercises(notebook), 1)
    }
    for n, question in enumerate(quiz(lesson).questions, 1):
        deeper[f"question {n}"] = question.get("deeper", False)
    left_over = set(deeper)
    for objective in objectives:
        named = re.search(r"\(([^()]*)\)$", objective)
        assert named, f"no exercise or question is named in: {objective}"
        practised = named.group(1).split(", ")
        assert set(practised) <= set(deeper), f"there is no such exercise or question: {objective}"
        in_the_core = not all(deeper[name] for name in practised)
        assert in_the_core or objective.startswith("*deeper:*"), (
            f"what it names is deeper, so it begins with *deeper:* (or has another number): {objective}"
        )
        left_over -= set(practised)
    assert not left_over, (
        f"no objective ends with {sorted(left_over)}: name each in that it practises"
    )


@each_lesson
def test_exercises_have_card_stub_check_hint_and_solution(lesson):
    notebook = lessons.read(lesson)
    found = lessons.exercises(notebook)
    assert len(found) >= 4
    name = lesson.partition("_")[2]
    for number, (stub, check, explanation) in enumerate(found, 1):
        card = notebook.cells[notebook.cells.index(stub) - 1].source
        line = r"\*(easy|medium|hard) · \d+ minutes · practises .+\*"
        assert re.search(rf"^### Exercise {number} · .+\n\n{line}$", card, flags=re.MULTILINE), (
            f"above its stub, exercise {number} of the lesson, counted from the top, has the card "
            f"### Exercise {number} · TITLE, an empty line, and {line}; here stands:\n{card}"
        )
        assert "..." in stub.source, (
            f"the stub of exercise {number} is unsolved and has a ... in it; here stands:\n{stub.source}"
        )
        called = re.fullmatch(rf"check\.{name}\.(\w+)\(\w+\)", check.source)
        assert called and hasattr(getattr(checks, name), called[1]), (
            f"below its stub, exercise {number} has check.{name}.EXERCISE(attempt), with an EXERCISE "
            f"that checks/{name}.py defines; here stands: {check.source}"
        )
        assert "<summary>Hint</summary>" in explanation.source, (
            f"below its check, exercise {number} has a cell with <details><summary>Hint</summary> and "
            f"<details><summary>Solution</summary>; here stands:\n{explanation.source}"
        )
        assert "..." not in lessons.solution(explanation)


@each_lesson
def test_quiz_has_five_questions_each_answer_explained_one_right(lesson):
    questions = quiz(lesson).questions
    assert len(questions) >= 5
    for question in questions:
        answers = question["answers"]
        assert len(answers) >= 3 and sum(a.get("right", False) for a in answers) == 1, (
            f"three answers or more, one with right = true: {question['text']}"
        )
        whys = [answer["why"] for answer in answers]
        assert all(len(why) > 20 for why in whys) and len(set(whys)) == len(whys), (
            f"each answer has its own explanation, a sentence: {question['text']}"
        )
    rights = [[a.get("right", False) for a in q["answers"]].index(True) for q in questions]
    assert len(set(rights)) > 1, "the right answer is always in the same place"


@each_lesson
def test_lesson_ends_with_quiz_recap_and_next(lesson):
    text = local_links("\n".join(cell.source for cell in lessons.read(lesson).cells[-3:]))
    assert "## Quiz" in text and "## Recap" in text and "**Next:" in text
    following = lessons.LESSONS[lessons.LESSONS.index(lesson) + 1 :]
    if following and int(following[0][:2]) == int(lesson[:2]) + 1:
        title = lessons.read(following[0]).cells[0].source.splitlines()[0].removeprefix("# ")
        assert f"**Next: [{title.rstrip('?')}]({following[0]}.ipynb)" in text


@each_lesson
def test_deeper_parts_have_a_heading_that_says_so_and_the_tag(lesson):
    notebook = lessons.read(lesson)
    problems = lessons.wrongly_marked(notebook) + lessons.needed_although_deeper(notebook)
    assert not problems, "\n".join(problems)


# Execution: the core alone, unsolved, and everything, solved, on another numeric backend. What a
# lesson says is true after both, and `make verified` has the rest of the backends.


@each_lesson
def test_the_core_alone_runs_as_shipped_shows_its_figures_and_proves_its_numbers(lesson):
    notebook = lessons.read(lesson)
    lessons.without_deeper_parts(notebook)
    notebook, _ = lessons.execute(notebook)
    problems = problems_of(notebook, "○ Not attempted yet.")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=[pytest.mark.everywhere] if name != "a laptop" else [])
        for name in lessons.BACKENDS
    ],
)
@each_lesson
def test_the_whole_lesson_solved_passes_every_check_and_proves_its_numbers(
    lesson, backend, monkeypatch
):
    for name, value in lessons.BACKENDS[backend].items():
        monkeypatch.setenv(name, value)
    notebook = lessons.read(lesson)
    lessons.solve(notebook)
    notebook, seconds = lessons.execute(notebook)
    problems = problems_of(notebook, "✓ Correct.")
    assert not problems, "\n".join(problems)
    assert seconds < SECONDS.get(lesson, 120)


def problems_of(notebook, verdict):
    return [
        *lessons.not_executed(notebook),
        *lessons.warnings_shown(notebook),
        *lessons.other_verdicts(notebook, verdict),
        *lessons.mute_figures(notebook),
        *lessons.unfounded_numbers(notebook),
    ]


# The guards themselves


def test_a_part_that_is_marked_in_one_way_only_is_noticed():
    def cells(*pairs):
        return nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_markdown_cell(source, metadata={"tags": ["deeper"] * deeper})
                for source, deeper in pairs
            ]
        )

    right = [("## A", 0), ("### B · *deeper*", 1), ("more", 1), ("#### C", 1), ("### D", 0)]
    assert lessons.wrongly_marked(cells(*right)) == []
    for place in range(len(right)):
        wrong = [*right[:place], (right[place][0], 1 - right[place][1]), *right[place + 1 :]]
        assert len(lessons.wrongly_marked(cells(*wrong))) == 1
    assert "first line" in lessons.wrongly_marked(cells(("text\n\n## A · *deeper*", 1)))[0]


def test_an_answer_to_a_deeper_exercise_that_is_used_elsewhere_is_noticed():
    def code(source, *tags):
        return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})

    exercise = [
        code("def double(x):\n    return ...", "exercise", "deeper"),
        code("check.sample.double(double)", "deeper"),
        nbformat.v4.new_markdown_cell(),
    ]
    notebook = nbformat.v4.new_notebook(cells=exercise)
    assert lessons.needed_although_deeper(notebook) == []
    notebook.cells.append(code("print(double(2))"))
    (problem,) = lessons.needed_although_deeper(notebook)
    assert problem.startswith("double, ") and problem.endswith("'print(double(2))'")


def test_a_notebook_that_executed_nothing_is_noticed():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    assert len(lessons.not_executed(notebook)) == 2
    notebook.cells[0].execution_count = 1
    assert lessons.not_executed(notebook) == ["the notebook printed nothing"]


def test_an_error_in_a_cell_is_noticed():
    cells = [nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_code_cell("1 / 0")]
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lessons.execute(nbformat.v4.new_notebook(cells=cells))


def test_numbers_are_found_in_prose_but_not_in_code_formulas_and_references():
    text = (
        "In lesson 07 the loss `0.5` fell to 0.21, in 20 of 25 runs (exercise 3), by 12 %, $x=44$."
    )
    assert lessons.prose_numbers(text) == [
        ("0.21", 0.21, False),
        ("20", 20.0, False),
        ("25", 25.0, False),
        ("12", 12.0, True),
    ]


@pytest.mark.parametrize(
    ("number", "percent", "measured", "found"),
    [
        ("0.21", False, 0.2149, True),
        ("0.21", False, 0.2321, False),
        ("20", False, 20.0, True),
        ("20", False, 21.0, False),
        ("12", True, 0.118, True),
        ("12", False, 0.118, False),
    ],
)
def test_a_number_must_be_the_measured_one_rounded(number, percent, measured, found):
    assert lessons.has_source(number, float(number), percent, [measured]) is found


def test_every_quiz_file_belongs_to_a_lesson():
    files = (lessons.ROOT / "course_utils" / "quizzes").glob("*.toml")
    for file in files:
        tomllib.loads(file.read_text(encoding="utf-8"))
        assert file.stem in lessons.LESSONS
