"""The lessons with their outputs, for `make site` and `make slides`.

Executing them all takes minutes, so each result is kept in .executed/ until the lesson, the package
or the data change.
"""

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
# Figures as drawings, too, which a page can show in its own colours.
_FIRST = "from course_utils import plotting; plotting.FORMATS.append('svg')"


def lessons(names=()):
    """name -> executed notebook, in order: of the lessons named, or of all."""
    paths = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    if unknown := set(names) - set(paths):
        raise SystemExit(f"There is no lesson {min(unknown)!r}; there are {', '.join(paths)}.")
    paths = [path for name, path in paths.items() if name in names or not names]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two kernels at a time must not fight for cores
    with ThreadPoolExecutor(max_workers=2) as workers:
        return dict(zip([path.stem for path in paths], workers.map(_executed, paths), strict=True))


def _executed(path):
    kept = ROOT / ".executed" / f"{path.stem}-{_fingerprint(path)}.ipynb"
    if not kept.exists():
        print(f"executing {path.stem} ...", flush=True)
        notebook = execute(nbformat.read(path, as_version=4), path.stem)
        kept.parent.mkdir(exist_ok=True)
        for outdated in kept.parent.glob(f"{path.stem}-*"):
            outdated.unlink()
        unfinished = kept.with_suffix(".part")
        nbformat.write(notebook, unfinished)
        unfinished.rename(kept)
    return nbformat.read(kept, as_version=4)


def execute(notebook, name):
    """The notebook with its outputs, run in an empty folder; an error in a cell ends the program."""
    with tempfile.TemporaryDirectory() as folder:
        # The kernel of this Python, whatever kernels the machine has, without its warning that it
        # talks unencrypted; no state of widgets, which nobody could operate on a page.
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            store_widget_state=False,
            coalesce_streams=True,  # lines printed one after the other are one text
            extra_arguments=[f"--IPKernelApp.exec_lines={_FIRST}", "--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        try:
            return client.execute()
        except CellExecutionError as error:
            raise SystemExit(f"{name} did not run to its end: {error}") from None


def _fingerprint(path):
    """Of all that decides what a lesson shows."""
    return hashlib.sha256(path.read_bytes() + package_fingerprint().encode()).hexdigest()[:12]


def package_fingerprint():
    """Of the package, the data and the versions of all others."""
    files = [*(ROOT / "course_utils").rglob("*"), *(ROOT / "data").glob("*")]
    files = [file for file in sorted(files) if file.is_file() and file.suffix != ".pyc"]
    digest = hashlib.sha256()
    for file in [*files, ROOT / "constraints.txt"]:
        digest.update(file.read_bytes())
    return digest.hexdigest()
