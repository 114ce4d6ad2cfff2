"""A schedule of the learning rate, and what it does to real runs (lesson 07)."""

import math

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from ..data import moons
from ..devices import seeded
from ..models import mlp
from ..plotting import BLUE, VERMILLION
from ..training import train_step
from .base import Simulation
from .canvas import within
from .controls import Choice, LogSlider, Slider

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
            o, max_lr=v["lr"], total_steps=steps, pct_start=v["warmup"], cycle_momentum=False
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
_LOW, _HIGH = 0.03, 3.0  # the losses that the axes show


class ScheduleExplorer(Simulation):
    """A run with the schedule and one without, from the same start; each step adds a pair."""

    name = "schedule_explorer"
    controls = {
        "schedule": Choice("schedule", tuple(SCHEDULES), "CosineAnnealingLR"),
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
        self.finals = []  # for each seed the last loss (without, with the schedule)
        self.step()

    def step(self):
        """Train two more models, one without and one with the schedule, on the next seed."""
        seed = self.values["seed"] + len(self.finals)
        self.runs = [self._train(name, seed) for name in (None, self.values["schedule"])]
        self.finals.append([losses[-1] for _, losses in self.runs])

    def _train(self, schedule, seed):
        """(learning rate at each step, validation loss before the first and after each step)"""
        X, y = self.data
        with seeded(seed):
            model = mlp(2, 64, 2)
        generator, loss_fn = torch.Generator().manual_seed(seed), nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.values["lr"], momentum=0.9, fused=True
        )
        make, clock = SCHEDULES.get(schedule, (None, None))
        if clock and self.values["clock"] != "as meant":
            clock = "batch" if clock == "epoch" else "epoch"
        epochs, batches = self.values["epochs"], math.ceil(len(X) / _BATCH)
        scheduler = make(optimizer, self.values, epochs * batches) if make else None
        wants_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        rates, losses = [], [self._val_loss(model, loss_fn)]
        for _ in range(epochs):
            for rows in torch.randperm(len(X), generator=generator).split(_BATCH):
                rates.append(optimizer.param_groups[0]["lr"])
                train_step(model, X[rows], y[rows], loss_fn, optimizer)
                losses.append(self._val_loss(model, loss_fn))
                if clock == "batch":
                    scheduler.step(*losses[-1:] * wants_loss)
            if clock == "epoch":
                scheduler.step(*losses[-1:] * wants_loss)
        return np.array(rates), np.array(losses)

    def _val_loss(self, model, loss_fn):
        with torch.no_grad():
            return loss_fn(model(self.val[0]), self.val[1]).item()

    def draw(self, figure):
        axes = figure.subplots(1, 3, width_ratios=[1.1, 1.4, 0.8])
        self.rate_ax, self.loss_ax, self.dots_ax = axes
        looks = (("constant", VERMILLION, "--", "^"), ("schedule", BLUE, "-", "o"))
        self.rates, self.losses, self.dots = [], [], []
        for name, color, style, marker in looks:
            self.rates += self.rate_ax.plot([], [], color=color, ls=style, drawstyle="steps-post")
            self.losses += self.loss_ax.plot([], [], color=color, ls=style, lw=1.5, label=name)
            self.dots += self.dots_ax.plot([], [], marker, color=color, alpha=0.7, mec="black")
        self.medians = [self.dots_ax.plot([], [], color="black", lw=3)[0] for _ in looks]
        self.rate_ax.set(xlabel="epoch", title="learning rate")
        self.loss_ax.set(xlabel="epoch", title="validation loss, newest seed", yscale="log")
        self.dots_ax.set(title="at the end", yscale="log", xlim=(-0.6, 1.6))
        self.dots_ax.set(xticks=[0, 1], xticklabels=["constant", "schedule"])
        for ax in (self.loss_ax, self.dots_ax):
            ticks = [0.03, 0.1, 0.3, 1, 3]
            ax.set(ylim=(_LOW, _HIGH), yticks=ticks, yticklabels=map(str, ticks))
            ax.minorticks_off()
        for ax in (self.rate_ax, self.loss_ax):
            ax.xaxis.get_major_locator().set_params(integer=True)
        self.loss_ax.legend(loc="upper right", ncols=2, fontsize="small")
        self._shown = None
        return [*self.rates, *self.losses, *self.dots, *self.medians]

    def paint(self):
        epochs, top = self.values["epochs"], max(rates.max() for rates, _ in self.runs)
        if self._shown != (epochs, top):
            self._shown = epochs, top
            for ax in (self.rate_ax, self.loss_ax):
                ax.set_xlim(0, epochs)
            self.rate_ax.set_ylim(-0.04 * top, 1.08 * top)
            self.invalidate()
        finals = np.array(self.finals)
        spread = 0.25 * np.sin(2.4 * np.arange(len(finals)))  # beside each other, not at random
        for i, (rates, losses) in enumerate(self.runs):
            steps_an_epoch = len(rates) / epochs
            held = np.append(rates, rates[-1])  # until the end of the last step
            self.rates[i].set_data(np.arange(len(held)) / steps_an_epoch, held)
            self.losses[i].set_data(
                np.arange(len(losses)) / steps_an_epoch, within(losses, _LOW, _HIGH)
            )
            self.dots[i].set_data(i + spread, within(finals[:, i], _LOW, _HIGH))
            self.medians[i].set_data(
                [i - 0.35, i + 0.35], [within(np.median(finals[:, i]), _LOW, _HIGH)] * 2
            )
        constant, scheduled = np.median(finals, axis=0)
        rates, n = self.runs[1][0], len(finals)
        beyond = ~(finals < _HIGH)  # NaN, too
        gone = f" {beyond.sum()} of these losses lie beyond the axes." if beyond.any() else ""
        wins = (finals[:, 1] < finals[:, 0]).sum()
        return (
            f"{self.values['schedule']}: the learning rate goes from {rates[0]:.3g} to "
            f"{rates[-1]:.3g}, at most {rates.max():.3g}. Validation loss after {epochs} epochs, "
            f"median over {n} {'seed' if n == 1 else 'seeds'}: {scheduled:.3f}, with a constant "
            f"rate {constant:.3f}; the schedule is lower in {wins} of {n}.{gone}"
        )
