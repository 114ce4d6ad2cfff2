"""A doctor for training loops: it watches a loop of any style and names the bug in it."""

from . import (
    accumulation,
    arguments,
    best,
    clipping,
    data,
    freshness,
    health,
    loss,
    metrics,
    modes,
    order,
    reach,
    reporting,
    schedules,
    sequences,
    sources,
    states,
    structure,
    validation,
    weights,
)
from .detector import Detector
from .errors import explanation
from .findings import Finding, as_html, as_text, in_order
from .watch import Watch
from .where import forget_the_watcher

__all__ = ["Finding", "LoopDoctor"]

# The order in which detectors are asked: causes before what they lead to.
_MODULES = (
    order,
    accumulation,
    weights,
    reach,
    clipping,
    loss,
    arguments,
    structure,
    sequences,
    modes,
    schedules,
    sources,
    data,
    freshness,
    validation,
    metrics,
    reporting,
    best,
    states,
    health,
)


class LoopDoctor:
    """Watch the training loop inside `with LoopDoctor() as doctor:` and name the bugs in it.

    The loop may be written in any style: the doctor sees what PyTorch does, and reads the loop's
    own lines only for bugs that show there alone.
    Weights, losses and random numbers are the same as without it. What it finds is printed at the
    end of the passes 1, 2, 3, 4, 8, 16, … over the data, and at the end of the loop, and kept in
    `doctor.findings`; `doctor.report()` prints all of it again. An exception of the loop goes
    through, with an explanation added where there is one. In a notebook, `%load_ext course_utils`
    gives the magic `%%doctor`, which does the same for a cell.

    Doctors in different threads or asyncio tasks watch each their own loop; of two nested ones both
    see the inner loop. A check that could not be made, because it failed, stands in
    `doctor.unchecked` and at the end of the report.

    `verbose=False` prints nothing by itself.
    """

    def __init__(self, *, verbose=True):
        self.verbose = verbose
        self.findings = []
        self.unchecked = []
        self._watch = None
        self.watched = "no loop was watched yet"

    def __enter__(self):
        if self._watch is not None:
            raise RuntimeError(
                "This doctor is already watching a loop. For a loop within a loop make another: "
                "with LoopDoctor() as inner:"
            )
        self.findings, self.unchecked = [], []
        self._watch = Watch(_detectors(), self._ask)
        self._watch.start()
        return self

    def __exit__(self, kind, error, traceback):
        watch, self._watch = self._watch, None
        overlapped = watch.stop()
        forget_the_watcher(traceback)
        if error is not None and explanation(error):
            error.add_note(explanation(error))
        watch.run.over = True
        self._ask(watch)
        self.watched = _summary(watch.run)
        self.unchecked = [
            f"{what} ({type(failure).__name__}: {failure})"
            for what, failure in watch.broken.items()
        ]
        if overlapped:
            self.unchecked.append(
                "which of two loops did it: another doctor came later and is still watching"
            )
        if self.verbose and (self.unchecked or not self.findings) and error is None:
            print(self)

    def report(self):
        """Print every finding, errors first."""
        print(self)

    def _ask(self, watch):
        for finding in watch.ask():
            self.findings = in_order([*self.findings, finding])
            if self.verbose:
                print(f"{finding}\n")

    def __repr__(self):
        return as_text(self.findings, self.watched, self.unchecked)

    def _repr_html_(self):
        return as_html(self.findings, self.watched, self.unchecked)


def _detectors():
    """All of them, module by module; those that were defined elsewhere come last."""
    rank = {module.__name__: i for i, module in enumerate(_MODULES)}
    return sorted(Detector.all, key=lambda detector: rank.get(detector.__module__, len(rank)))


def _summary(run):
    return (
        f"{len(run.passes)} passes over the data, {run.forwards} forwards, {run.backwards} "
        f"backwards, {run.steps} optimizer steps"
    )
