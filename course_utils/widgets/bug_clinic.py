"""Training runs as patients: which bug is in the loop, if any? (lesson 09)."""

import numpy as np
import torch

from .base import Simulation
from .clinic_runs import BUGS, PER_EPOCH, STEPS, healthy_run, train_with
from .controls import Choice, Slider
from .scene import Axis, Line, Panel, Scene, Verdict

_PATIENTS = 8 * len(BUGS)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_DIAGNOSIS = "no diagnosis yet"
_DIAGNOSES = {f"{name}: {bug.words}": name for name, bug in BUGS.items()}


def _from_zero(zero, top):
    """A logarithmic axis whose lowest tick stands for 0 and all that is near to it."""
    powers = range(round(np.log10(zero)) + 2, round(np.log10(top)) + 1, 2)
    texts = {10.0**p: "10" + str(p).translate(_SUPERSCRIPTS) for p in powers}
    return Axis(zero, top, log=True, ticks={zero: "0", **texts})


_PICTURES = (
    ("loss of the batch", Axis(1e-2, 10, log=True)),
    ("validation accuracy", Axis(0, 1.03)),
    ("norm of the gradient at step()", _from_zero(1e-5, 1e3)),
    ("change of the weights in a step", _from_zero(1e-8, 1e3)),
)


def _series(run):
    """For each of the four pictures the columns that are drawn in it."""
    return run.losses[:, None], run.accuracies[:, None], run.gradients, run.changes


def _numbers(run, at):
    """The same, of the step `at`, as words."""
    epochs = (at + 1) // PER_EPOCH
    return (
        f"{run.losses[at]:.2g}",
        f"{run.accuracies[epochs - 1]:.0%}" if epochs else "not measured yet",
        " and ".join(f"{norm:.3g}" for norm in run.gradients[at]),
        " and ".join(f"{part:.2g}" for part in run.changes[at]),
    )


class BugClinic(Simulation):
    """A run with an unknown bug beside a healthy one; the first diagnosis of a patient counts."""

    name = "bug_clinic"
    controls = {
        "patient": Slider("patient", 0, _PATIENTS - 1, 0, live=True),
        "at": Slider("show the run up to step", 0, STEPS - 1, STEPS - 1, live=True),
        "diagnosis": Choice("diagnosis", (_NO_DIAGNOSIS, *_DIAGNOSES), _NO_DIAGNOSIS, live=True),
    }
    buttons = {"Check": "check", "Next patient": "next_patient"}
    size = (10.5, 5.0)

    def reset(self):
        self.score = {}  # patient -> whether the first diagnosis was right
        self._admit()

    def _admit(self):
        """The patient's number decides the weights, the points, the batches and the bug; of each
        dozen patients every one has another."""
        dozen, place = divmod(self.values["patient"], len(BUGS))
        order = torch.randperm(len(BUGS), generator=torch.Generator().manual_seed(dozen))
        self.bug = list(BUGS)[order[place]]
        self.run = train_with(self.bug, seed=self.values["patient"])
        self.checked = None

    def change(self, name):
        if name == "patient":
            self.values["diagnosis"] = _NO_DIAGNOSIS
            self._admit()

    def check(self):
        self.checked = self.values["diagnosis"]
        if self.checked != _NO_DIAGNOSIS:
            right = _DIAGNOSES[self.checked] == self.bug
            self.score.setdefault(self.values["patient"], right)

    def next_patient(self):
        self._apply({"patient": (self.values["patient"] + 1) % _PATIENTS})

    def scene(self):
        at = self.values["at"]
        names = ("loss", "validation accuracy", "gradient norms", "changes of the weights")
        both = zip(names, _numbers(self.run, at), _numbers(healthy_run(), at), strict=True)
        said = ", ".join(f"{what} {there} ({healthy})" for what, there, healthy in both)
        sick, healthy = _series(self.run), _series(healthy_run())
        return Scene(
            [self._panel(i, sick[i], healthy[i]) for i in range(len(_PICTURES))],
            f"Patient {self.values['patient']}, step {at} (a healthy run in brackets): {said}.",
            self._verdict(),
        )

    def _panel(self, number, sick, healthy):
        marks = []
        for run, at in ((healthy, STEPS - 1), (sick, self.values["at"])):
            for layer, values in enumerate(run.T):
                every = STEPS // len(values)  # accuracies are those at the ends of epochs
                shown = (at + 1) // every
                steps = np.arange(1, shown + 1) * every - 1
                look = {"dash": ("-", "--")[layer], "edge": True}
                if run is healthy:
                    label = "" if layer else "a healthy run"
                    marks.append(Line(steps, values[:shown], "grey", label=label, width=1, **look))
                else:
                    color = ("blue", "vermillion")[layer] if number > 1 else "ink"
                    look["marker"], look["at"] = ("o", range(shown)) if number == 1 else ("", ())
                    label = f"layer {layer + 1}" if number > 1 else "patient"
                    marks.append(Line(steps, values[:shown], color, label=label, **look))
        x, (title, y) = Axis(-3, STEPS + 2, "step"), _PICTURES[number]
        return Panel(marks, x, y, title, least=330, row=number == 2)

    def _verdict(self):
        counted = f"First diagnoses right: {sum(self.score.values())} of {len(self.score)}."
        if self.checked != self.values["diagnosis"] or self.checked is None:
            text = f"What is wrong with it? Choose a diagnosis and press Check. {counted}"
            return Verdict("open", text)
        if self.checked == _NO_DIAGNOSIS:
            return Verdict("open", f"Choose a diagnosis first. {counted}")
        name = _DIAGNOSES[self.checked]
        bug = BUGS[name]
        right = name == self.bug
        verdict = f"Right: {name}. Its sign is" if right else f"Not {name}. Its sign would be"
        here, healthy = bug.read_off(self.run), bug.read_off(healthy_run())
        text = f"{verdict}: {bug.sign}. Here: {here}. In a healthy run: {healthy}. {counted}"
        return Verdict("right" if right else "wrong", text)
