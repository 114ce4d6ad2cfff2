"""Training runs as patients: which bug is in the loop, if any? (lesson 09)."""

from itertools import chain

import numpy as np
import torch

from ..plotting import BLUE, GREY, VERMILLION
from .base import Simulation
from .canvas import within
from .clinic_runs import BUGS, PER_EPOCH, STEPS, healthy_run, train_with
from .controls import Choice, Slider

_PATIENTS = 8 * len(BUGS)
_NO_DIAGNOSIS = "no diagnosis yet"
_DIAGNOSES = {f"{name}: {bug.words}": name for name, bug in BUGS.items()}


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
        self.set(patient=(self.values["patient"] + 1) % _PATIENTS)

    def draw(self, figure):
        (loss_ax, accuracy_ax), norm_axes = self.axes = figure.subplots(2, 2, sharex=True)
        loss_ax.set(title="loss of the batch", yscale="log", ylim=(1e-2, 10))
        accuracy_ax.set(title="validation accuracy", ylim=(0, 1.03))
        for ax, title, zero, top in (
            (norm_axes[0], "norm of the gradient at step()", 1e-5, 1e3),
            (norm_axes[1], "change of the weights in a step", 1e-8, 1e3),
        ):
            ax.set(title=title, xlabel="step", yscale="log", ylim=(zero / 2, top))
            powers = 10.0 ** np.arange(np.log10(zero) + 2, np.log10(top) + 1, 2)
            ax.set_yticks([zero, *powers], ["0", *(f"$10^{{{np.log10(p):.0f}}}$" for p in powers)])
            ax.minorticks_off()
        loss_ax.set_xlim(-3, STEPS + 2)

        self.curves = []
        thin = {"color": GREY, "lw": 1, "alpha": 0.8}
        for i, (ax, healthy) in enumerate(
            zip(chain(*self.axes), self._series(healthy_run()), strict=True)
        ):
            for j, values in enumerate(healthy.T):
                line = ("-", "--")[j]
                ax.plot(*self._drawn(ax, values, STEPS - 1), line, **thin)
                color = (BLUE, VERMILLION)[j] if i > 1 else "black"
                marker = "o" if i == 1 else ""
                self.curves += ax.plot([], [], line, marker=marker, color=color, lw=1.8)
        names = {"patient": self.curves[0], "layer 1": self.curves[2], "layer 2": self.curves[3]}
        names["a healthy run"] = loss_ax.lines[0]
        figure.legend(names.values(), names.keys(), loc="outside lower center", ncols=4)
        return self.curves

    @staticmethod
    def _series(run):
        """For each of the four pictures the columns that are drawn in it."""
        return run.losses[:, None], run.accuracies[:, None], run.gradients, run.changes

    @staticmethod
    def _drawn(ax, values, at):
        """Steps and values up to step `at`; accuracies are those at the ends of epochs."""
        every = STEPS // len(values)
        shown = (at + 1) // every
        low, high = ax.get_ylim()
        low *= 2 if ax.get_yticklabels()[0].get_text() == "0" else 1
        return np.arange(1, shown + 1) * every - 1, within(values[:shown], low, high)

    def paint(self):
        at = self.values["at"]
        columns = chain(*(series.T for series in self._series(self.run)))
        for curve, values in zip(self.curves, columns, strict=True):
            curve.set_data(*self._drawn(curve.axes, values, at))
        epochs = (at + 1) // PER_EPOCH
        return (
            f"Patient {self.values['patient']}, step {at} (a healthy run in brackets): "
            + ", ".join(
                f"{what} {there} ({healthy})"
                for what, there, healthy in zip(
                    ("loss", "validation accuracy", "gradient norms", "changes of the weights"),
                    self._numbers(self.run, at, epochs),
                    self._numbers(healthy_run(), at, epochs),
                    strict=True,
                )
            )
            + f". {self._verdict()}"
        )

    @staticmethod
    def _numbers(run, at, epochs):
        return (
            f"{run.losses[at]:.2g}",
            f"{run.accuracies[epochs - 1]:.0%}" if epochs else "not measured yet",
            " and ".join(f"{norm:.3g}" for norm in run.gradients[at]),
            " and ".join(f"{part:.2g}" for part in run.changes[at]),
        )

    def _verdict(self):
        counted = f"First diagnoses right: {sum(self.score.values())} of {len(self.score)}."
        if self.checked != self.values["diagnosis"] or self.checked is None:
            return f"What is wrong with it? Choose a diagnosis and press Check. {counted}"
        if self.checked == _NO_DIAGNOSIS:
            return f"Choose a diagnosis first. {counted}"
        name = _DIAGNOSES[self.checked]
        bug = BUGS[name]
        right = name == self.bug
        verdict = f"Right: {name}. Its sign is" if right else f"Not {name}. Its sign would be"
        return (
            f"{verdict}: {bug.sign}. Here: {bug.numbers(self.run)}. In a healthy run: "
            f"{bug.numbers(healthy_run())}. {counted}"
        )
