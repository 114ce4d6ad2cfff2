"""How long a lesson takes, computed from what is there; `python -m tools.minutes 05` shows where.

The model is plain, so that it can be checked by hand; CONTRIBUTING.md says it in words. `make
stamp` writes what comes out into the lessons and the README.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]

WORDS_A_MINUTE = 180
SECONDS = {"lines": 5, "predictions": 40, "experiments": 90, "questions": 45}
EXERCISE = 1.3  # times what its card says

# What is opened on demand, code, the address of a link, marks, and what is stamped
_NOT_READ = re.compile(
    r"<details>.*?</details>|```.*?```|\]\([^)]*\)|<[^>]+>|^[|\-: ]+$|^\*Last verified with .*?$",
    flags=re.DOTALL | re.MULTILINE,
)
_HEADING = re.compile(r"^(?=#{1,4} )", flags=re.MULTILINE)
_CARD = re.compile(r"^\*(?:easy|medium|hard) · (\d+) minutes", flags=re.MULTILINE)
_TO_TRY = re.compile(r"\*\*What to try\*\*|#+ More to try")


@dataclass
class Part:
    """What stands between two headings."""

    title: str
    deeper: bool
    words: int = 0
    lines: int = 0  # of code
    predictions: int = 0
    experiments: int = 0
    questions: int = 0
    exercise: int = 0  # minutes on its card

    @property
    def minutes(self):
        seconds = sum(each * getattr(self, what) for what, each in SECONDS.items())
        return self.words / WORDS_A_MINUTE + seconds / 60 + EXERCISE * self.exercise


def parts(notebook, questions):
    """The parts of a lesson, in order; `questions` are those of its quiz."""
    found = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        deeper = "deeper" in tags
        if cell.cell_type == "markdown":
            for text in filter(None, _split(cell.source)):
                if not found or text.startswith("#") or deeper != found[-1].deeper:
                    found.append(Part(text.splitlines()[0].lstrip("# "), deeper))
                _read(text, found[-1])
        elif cell.source.startswith("quiz("):
            later = sum(question.get("deeper", False) for question in questions)
            found[-1].questions += len(questions) - later
            if later:
                found.append(Part("questions on deeper parts", True, questions=later))
        elif not {"setup", "exercise"} & set(tags) and not cell.source.startswith("check."):
            found[-1].lines += _lines(cell.source)
    return found


def minutes(lesson, root=ROOT):
    """(core, deeper) in minutes; `lesson` is the name of a notebook, without .ipynb."""
    found = read(lesson, root)
    return tuple(sum(part.minutes for part in found if part.deeper is way) for way in (False, True))


def read(lesson, root=ROOT):
    """The parts of a lesson, from its files."""
    notebook = nbformat.read(root / "notebooks" / f"{lesson}.ipynb", as_version=4)
    quiz = root / "course_utils" / "quizzes" / f"{lesson}.toml"
    return parts(notebook, tomllib.loads(quiz.read_text(encoding="utf-8"))["question"])


def rounded(minutes):
    """To five minutes, which is as exact as the model is."""
    return 5 * round(minutes / 5)


def _split(source):
    """A Markdown cell, cut at its headings; a `#` in code is none."""
    code = re.findall(r"```.*?```", source, flags=re.DOTALL)
    texts = _HEADING.split(re.sub(r"```.*?```", "\0", source, flags=re.DOTALL))
    return [re.sub("\0", lambda _: code.pop(0), text) for text in texts]


def _read(text, part):
    """Add what a piece of Markdown asks of the reader."""
    open_text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    part.words += len(_NOT_READ.sub(" ", open_text).split())
    part.lines += sum(
        _lines(block) for block in re.findall(r"```\w*\n(.*?)```", open_text, flags=re.DOTALL)
    )
    part.predictions += text.count("> **Predict.**")
    part.exercise += sum(map(int, _CARD.findall(text)))
    if _TO_TRY.match(text):
        part.experiments += len(re.findall(r"^\d+\. ", text, flags=re.MULTILINE))


def _lines(code):
    return sum(bool(line.strip()) for line in code.splitlines())


def main():
    asked = sys.argv[1:]
    total = [0, 0]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if asked and not path.stem.startswith(tuple(asked)):
            continue
        found = read(path.stem)
        for part in found if asked else ():
            counts = {what: getattr(part, what) for what in ("words", *SECONDS, "exercise")}
            text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
            print(
                f"{part.minutes:6.1f} {'deeper' if part.deeper else '':6}  {part.title}  ({text})"
            )
        core, deeper = minutes(path.stem)
        total = [total[0] + core, total[1] + deeper]
        print(f"{core:6.1f} core, {deeper:5.1f} deeper  {path.stem}")
    print(f"{total[0] / 60:6.1f} hours core, {total[1] / 60:.1f} deeper")


if __name__ == "__main__":
    main()
