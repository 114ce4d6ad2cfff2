"""A schedule of the learning rate, and what it does to real runs (lesson 07)."""

import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

from ..data import moons
from ..models import mlp
from ..random_state import seeded
from ..training import train_step
from .base import Simulation
from .controls import Choice, LogSlider, Slider
from .runs import loss_of
from .scene import Axis, Line, Panel, Points, Scene, ticks

_BATCH = 64


def _warmup_cosine(optimizer, v, steps):
    warmup = max(1, round(v["warmup"] * steps))
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=warmup)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup)
    return lr_scheduler.SequentialLR(optimizer, [warm, fall], milestones=[warmup])


# name -> (how to build it, the clock that it counts with)
SCHEDULES = {
    "StepLR": (lambda o, v, steps: lr_scheduler.StepLR(o, v["every"], v["factor"]), "epoch"),
    "CosineAnnealingLR": (
        lambda o, v, steps: lr_scheduler.CosineAnnealingLR(o, T_max=v["epochs"]), "epoch",
    ),
    "OneCycleLR": (  # the momentum stays as it is, or we would compare two optimizers
        lambda o, v, steps: lr_scheduler.OneCycleLR(
            o, max_lr=v["lr"], total_steps=steps, pct_start=max(v["warmup"], 2 / steps), cycle_momentum=False
        ),
        "batch",
    ),
    "warm-up + cosine": (_warmup_cosine, "batch"),
    "ReduceLROnPlateau": (
        lambda o, v, steps: lr_scheduler.ReduceLROnPlateau(
            o, factor=v["factor"], patience=v["every"]
        ),
        "epoch",
    ),
}  # fmt: skip
_ALL, _CONSTANT = "all of them", "constant"
_LOOKS = {
    _CONSTANT: ("vermillion", "--", "^"),
    "StepLR": ("green", "-", "s"),
    "CosineAnnealingLR": ("blue", "-", "o"),
    "OneCycleLR": ("purple", "-.", "D"),
    "warm-up + cosine": ("sky", "--", "v"),
    "ReduceLROnPlateau": ("grey", ":", "P"),
}
_SHORT = {
    _CONSTANT: "constant", "StepLR": "Step", "CosineAnnealingLR": "cosine", "OneCycleLR": "1cycle",
    "warm-up + cosine": "warm-up", "ReduceLROnPlateau": "plateau",
}  # fmt: skip
_LOW, _HIGH = 0.03, 3.0  # the losses that the axes show


class ScheduleExplorer(Simulation):
    """Runs with schedules and one without, from the same start; each step adds another seed."""

    name = "schedule_explorer"
    controls = {
        "schedule": Choice("schedule", (_ALL, *SCHEDULES), _ALL),
        "lr": LogSlider("learning rate", 0.01, 3, 1.0),
        "epochs": Slider("epochs", 2, 16, 8),
        "every": Slider("step_size or patience", 1, 10, 2),
        "factor": Slider("gamma or factor", 0.1, 0.9, 0.5, step=0.1),
        "warmup": Slider("share of warm-up", 0.05, 0.5, 0.2, step=0.05),
        "clock": Choice("stepped", ("as meant", "with the wrong clock"), "as meant"),
        "seed": Slider("first seed", 0, 99, 0),
    }
    size = (11.0, 4.2)
    preview_steps = 2

    def reset(self):
        X, y = moons(1000, noise=0.2, seed=0)
        self.data, self.val = (X[:600], y[:600]), (X[600:], y[600:])
        self.finals = []  # for each seed the last loss of every run
        self.step()

    def step(self):
        """Train more models on the next seed: one without a schedule, and one with each."""
        seed, chosen = self.values["seed"] + len(self.finals), self.values["schedule"]
        names = (_CONSTANT, *(SCHEDULES if chosen == _ALL else [chosen]))
        self.runs = {name: self._train(name, seed) for name in names}
        self.finals.append([losses[-1] for _, losses in self.runs.values()])

    def _train(self, schedule, seed):
        """(learning rate at each step, validation loss before the first and after each step)"""
        X, y = self.data
        with seeded(seed):
            model = mlp(2, 64, 2)
        generator = torch.Generator().manual_seed(seed)
        lr = self.values["lr"]
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, fused=True)
        make, clock = SCHEDULES.get(schedule, (None, None))
        if clock and self.values["clock"] != "as meant":
            clock = "batch" if clock == "epoch" else "epoch"
        epochs, batches = self.values["epochs"], math.ceil(len(X) / _BATCH)
        scheduler = make(optimizer, self.values, epochs * batches) if make else None
        wants_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        rates, losses = [], [loss_of(model, *self.val)]
        for _ in range(epochs):
            for rows in torch.randperm(len(X), generator=generator).split(_BATCH):
                rates.append(optimizer.param_groups[0]["lr"])
                train_step(model, X[rows], y[rows], cross_entropy, optimizer)
                losses.append(loss_of(model, *self.val))
                if clock == "batch":
                    scheduler.step(*losses[-1:] * wants_loss)
            if clock == "epoch":
                scheduler.step(*losses[-1:] * wants_loss)
        return np.array(rates), np.array(losses)

    def scene(self):
        epochs, n = self.values["epochs"], len(self.finals)
        finals = np.array(self.finals)  # [seeds, runs]
        medians = np.median(finals, axis=0)
        spread = 0.25 * np.sin(2.4 * np.arange(n))  # beside each other, not at random
        shown, middle = (np.fmin(np.maximum(v, _LOW), _HIGH) for v in (finals, medians))
        rate_lines, loss_lines, ends = [], [], []
        for i, (name, (rates, losses)) in enumerate(self.runs.items()):
            color, dash, marker = _LOOKS[name]
            steps = np.arange(len(losses)) * epochs / len(rates)
            held = np.append(rates, rates[-1])  # until the end of the last step
            rate_lines.append(Line(steps, held, color, dash, _SHORT[name], stairs=True))
            loss_lines.append(Line(steps, losses, color, dash, _SHORT[name], width=1.5, edge=True))
            ends += [
                Points(shown[:, i], spread - i, color, marker, alpha=0.7),
                Line(middle[[i, i]], [-i - 0.35, -i + 0.35], "ink", width=3),
            ]
        top = max(rates.max() for rates, _ in self.runs.values())
        losses_axis = Axis(_LOW, _HIGH, "", True, ticks(0.03, 0.1, 0.3, 1, 3))
        names = {-i: _SHORT[name] for i, name in enumerate(self.runs)}
        x = Axis(0, epochs, "epoch")
        beyond = ~(finals < _HIGH)  # NaN, too
        gone = f" {beyond.sum()} of these losses lie beyond the axes." if beyond.any() else ""
        return Scene(
            [
                Panel(rate_lines, x, Axis(-0.04 * top, 1.08 * top), "learning rate", 1.1),
                Panel(loss_lines, x, losses_axis, "validation loss, newest seed", 1.4),
                Panel(ends, losses_axis, Axis(0.4 - len(names), 0.6, ticks=names), "at the end", 1.2),
            ],
            f"{self._of_rates()}Validation loss after {epochs} epochs, median over {n} "
            f"{'seed' if n == 1 else 'seeds'}: {self._of_medians(medians)}.{gone}",
        )  # fmt: skip

    def _of_rates(self):
        """How the learning rate moves, if there is one schedule to speak of."""
        if self.values["schedule"] == _ALL:
            return ""
        rates, _ = self.runs[self.values["schedule"]]
        return (
            f"{self.values['schedule']}: the learning rate goes from {rates[0]:.3g} to "
            f"{rates[-1]:.3g}, at most {rates.max():.3g}. "
        )

    def _of_medians(self, medians):
        constant, *others = np.array(self.finals).T
        words = [f"with a constant rate {medians[0]:.3f}"]
        for name, median, losses in zip(list(self.runs)[1:], medians[1:], others, strict=True):
            wins = (losses < constant).sum()
            words.append(f"{name} {median:.3f} (lower in {wins} of {len(losses)})")
        return ", ".join(words)
