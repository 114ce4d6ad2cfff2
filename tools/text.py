"""A lesson as text, to edit it, and back: `make text LESSON=05`, then `make notebook LESSON=05`.

The notebook stays the only source. The text lies in .text/, which git ignores, in jupytext's
percent format: each cell begins with `# %%`. Going back keeps the ids of the cells, so that the
diff shows what was changed and nothing else, and what has changed in the notebook meanwhile.
"""

import argparse
import shutil
import subprocess
from pathlib import Path

import jupytext
import nbformat

from tools.stamp import clean

ROOT = Path(__file__).parents[1]


def lesson(root, name):
    """The notebook of the lesson `name`: its number, or the start of its name."""
    found = sorted((root / "notebooks").glob(f"{name}*.ipynb")) if name else []
    if len(found) != 1:
        names = ", ".join(path.stem for path in sorted((root / "notebooks").glob("*.ipynb")))
        raise SystemExit(f"LESSON is the number of a lesson, as in LESSON=05; there are {names}.")
    return found[0]


def files(root, path):
    """The text of a notebook, and a copy of it as it last came from there or was put back."""
    folder = root / ".text"
    return folder / f"{path.stem}.py", folder / f".{path.stem}.py"


def to_text(root, path):
    """Write the notebook as text; returns the file to edit."""
    text, last = files(root, path)
    if text.exists() and not (last.exists() and text.read_bytes() == last.read_bytes()):
        raise SystemExit(
            f"{text.relative_to(root)} was changed and not put back: it may hold your work. Put it "
            f"back by `make notebook LESSON={path.stem}`, or delete it."
        )
    text.parent.mkdir(exist_ok=True)
    jupytext.write(clean(nbformat.read(path, as_version=4)), text, fmt="py:percent")
    shutil.copyfile(text, last)
    return text


def to_notebook(root, path):
    """Put the text back into the notebook, without outputs."""
    text, last = files(root, path)
    if not text.exists():
        raise SystemExit(f"Nothing to put back: first run `make text LESSON={path.stem}`.")
    old = nbformat.read(path, as_version=4)
    _merge(text, last, clean(old), path)
    edited = jupytext.read(text, fmt="py:percent")
    new = jupytext.combine.combine_inputs_with_outputs(edited, old, fmt="py:percent")
    nbformat.write(clean(new), path)
    shutil.copyfile(text, last)


def _merge(text, last, notebook, path):
    """Take over into the text what a pull, a stamp or Jupyter has changed in the notebook since."""
    if not last.exists():
        return
    now = last.with_suffix(".now.py")
    jupytext.write(notebook, now, fmt="py:percent")
    merging = ["git", "merge-file", "-p", "--", text, last, now]
    merged = subprocess.run(merging, capture_output=True)
    now.unlink()
    if merged.returncode != 0:
        raise SystemExit(
            f"{path.name} has changed since in a place that .text/{text.name} changes too. Keep a copy "
            f"of the text, delete it, run `make text LESSON={path.stem}`, and make your change again."
        )
    text.write_bytes(merged.stdout)


def main():
    options = argparse.ArgumentParser(prog="python -m tools.text", description=__doc__)
    options.add_argument("lesson", help="its number, as 05")
    options.add_argument("--back", action="store_true", help="from the text to the notebook")
    chosen = options.parse_args()
    path = lesson(ROOT, chosen.lesson)
    if chosen.back:
        to_notebook(ROOT, path)
        print(f"Wrote {path.relative_to(ROOT)}. Look at `git diff --word-diff`, then `make stamp`.")
    else:
        print(
            f"Edit {to_text(ROOT, path).relative_to(ROOT)}, then: make notebook LESSON={path.stem}"
        )


if __name__ == "__main__":
    main()
