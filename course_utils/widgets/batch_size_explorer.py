"""How far a batch's gradient is off, and what batches of several sizes learn (lesson 06)."""

import math
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..devices import seeded
from ..models import mlp
from ..plotting import BLUE, GREEN, GREY, PURPLE, VERMILLION
from ..training import train_step
from .base import Simulation
from .canvas import within
from .controls import Choice, LogSlider, Slider

_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_RIVALS = (16, 160, 1600)  # the batch sizes that the chosen one is compared with
_LOOKS = ((BLUE, "-", "o"), (GREEN, "--", "s"), (PURPLE, ":", "D"), (VERMILLION, "-", "^"))
_DRAWS = 100
_ROWS_A_STEP = 160
_LOW, _HIGH = 0.01, 3.0  # the losses that the axes show


class BatchSizeExplorer(Simulation):
    """Gradients of a half-trained model, by batch size, and training for equally many rows."""

    name = "batch_size_explorer"
    controls = {
        "batch_size": LogSlider("batch size", 4, 1600, 64),
        "lr": LogSlider("learning rate", 0.01, 1, 0.1),
        "rule": Choice("rate of larger batches", ("the same", "grows with the batch"), "the same"),
        "trained": Slider("epochs before measuring", 0, 10, 5),
        "seed": Slider("seed", 0, 99, 0),
    }
    size = (11.0, 4.2)
    preview_steps = 20  # two epochs, as in the lesson

    def reset(self):
        seed, self.batch_size = self.values["seed"], round(self.values["batch_size"])
        X, y = moons(2000, noise=0.1, seed=0)
        self.data, self.val = (X[:1600], y[:1600]), (X[1600:], y[1600:])
        self.loss_fn = nn.CrossEntropyLoss()
        self._measure_gradients(torch.Generator().manual_seed(seed))
        self.rows = [0]
        self.runs = []
        for size in (*_RIVALS, self.batch_size):
            model = self._new_model()
            factor = size / 16 if self.values["rule"] != "the same" else 1
            self.runs.append(
                SimpleNamespace(
                    size=size,
                    model=model,
                    optimizer=torch.optim.SGD(
                        model.parameters(), lr=self.values["lr"] * factor, fused=True
                    ),
                    generator=torch.Generator().manual_seed(seed),
                    batches=[],  # the row numbers of those that are left in this epoch
                    seen=0,
                    losses=[self._val_loss(model)],
                )
            )

    def _new_model(self):
        with seeded(self.values["seed"]):
            return mlp(2, 64, 2)

    def _measure_gradients(self, generator):
        """Of a model trained for some epochs: the gradient of each row, of batches, of all rows."""
        X, y = self.data
        model = self._new_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
        for _ in range(self.values["trained"]):
            for rows in torch.randperm(len(X), generator=generator).split(64):
                train_step(model, X[rows], y[rows], self.loss_fn, optimizer)
        weights = {name: weight.detach() for name, weight in model.named_parameters()}

        def loss_of_row(weights, x, label):
            return self.loss_fn(torch.func.functional_call(model, weights, x[None]), label[None])

        grads = torch.vmap(torch.func.grad(loss_of_row), in_dims=(None, 0, 0))(weights, X, y)
        of_rows = torch.cat([grad.flatten(1) for grad in grads.values()], dim=1)
        full = of_rows.mean(dim=0)
        self.length = full.norm().item()
        self.one_row = (of_rows - full).pow(2).sum(dim=1).mean().sqrt().item()

        orders = torch.rand(_DRAWS, len(X), generator=generator).argsort(dim=1)
        self.noises = {}
        for size in (*_SIZES, self.batch_size):  # without replacement, as a loader draws
            share = torch.zeros(orders.shape).scatter_(1, orders[:, :size], 1 / size)
            batches = share @ of_rows
            self.noises[size] = (batches - full).pow(2).sum(dim=1).mean().sqrt().item()
        self.along = batches @ full / self.length  # those of the chosen size, the last ones
        across = batches - self.along[:, None] * full / self.length
        self.across = across.norm(dim=1)

    def step(self):
        """All runs may see 160 more rows; those whose next batch is larger save them up."""
        X, y = self.data
        self.rows.append(self.rows[-1] + _ROWS_A_STEP)
        for run in self.runs:
            while True:
                if not run.batches:
                    run.batches = list(
                        torch.randperm(1600, generator=run.generator).split(run.size)
                    )
                rows = run.batches[0]
                if run.seen + len(rows) > self.rows[-1]:
                    break
                train_step(run.model, X[rows], y[rows], self.loss_fn, run.optimizer)
                run.seen += len(run.batches.pop(0))
            run.losses.append(self._val_loss(run.model))

    def _val_loss(self, model):
        with torch.no_grad():
            return self.loss_fn(model(self.val[0]), self.val[1]).item()

    def draw(self, figure):
        self.cloud_ax, self.noise_ax, self.loss_ax = figure.subplots(1, 3, width_ratios=[1, 1, 1.2])
        chosen = {"color": VERMILLION, "mec": "black"}
        (self.cloud,) = self.cloud_ax.plot([], [], "^", ms=6, alpha=0.6, **chosen)
        (self.full,) = self.cloud_ax.plot([], [], color="black", lw=4)
        self.cloud_ax.axvline(0, color=GREY, ls=":", lw=1.5)
        self.cloud_ax.set(
            title="gradients of 100 batches", xlabel="along the full gradient (black)"
        )
        self.cloud_ax.set(ylabel="length of the rest")

        (self.noise_line,) = self.noise_ax.plot([], [], color=GREY, lw=1.5, label="slope -1/2")
        (self.noise_dots,) = self.noise_ax.plot([], [], "o", color=BLUE, label="measured")
        (self.length_line,) = self.noise_ax.plot(
            [1, 2000], [1, 1], color="black", ls=":", label="full gradient"
        )
        (self.noise_here,) = self.noise_ax.plot([], [], "^", ms=12, **chosen)
        self.noise_ax.set(title="noise", xlabel="batch size", xscale="log", yscale="log")
        ticks = [4, 16, 64, 256, 1024]
        self.noise_ax.set(xlim=(3, 2000), xticks=ticks, xticklabels=map(str, ticks))
        ticks = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3]
        self.noise_ax.set(yticks=ticks, yticklabels=map(str, ticks))
        self.noise_ax.legend(loc="lower left", fontsize="small")

        self.lines = []
        for name, (color, style, marker) in zip((*_RIVALS, "chosen"), _LOOKS, strict=True):
            self.lines += self.loss_ax.plot(
                [], [], color=color, ls=style, marker=marker, markevery=(0.1, 0.2), label=name
            )
        ticks = [0.01, 0.03, 0.1, 0.3, 1, 3]
        self.loss_ax.set(title="validation loss", xlabel="rows seen", yscale="log")
        self.loss_ax.set(ylim=(_LOW, _HIGH), yticks=ticks, yticklabels=map(str, ticks))
        self.loss_ax.locator_params(axis="x", nbins=4)
        for ax in (self.noise_ax, self.loss_ax):
            ax.minorticks_off()
        self.loss_ax.legend(loc="lower left", ncols=2, fontsize="small", title="batch size")
        self._shown = None
        still = [self.cloud, self.full, self.noise_dots, self.noise_here]
        return [*still, *self.lines]

    def _fit_axes(self):
        right = 3200 * 2 ** max(0, math.ceil(math.log2(max(self.rows[-1], 1) / 3200)))
        if self._shown == (self.one_row, self.length, right):
            return
        self._shown = self.one_row, self.length, right
        self.loss_ax.set_xlim(0, right)
        self.reach = 1.1 * max(self.one_row / 2, self.length)
        self.cloud_ax.set_xlim(-1.05 * self.reach, 1.05 * self.reach)
        self.cloud_ax.set_ylim(-0.04 * self.reach, 1.3 * self.reach)
        self.least = self.one_row / 200  # a noise of zero has no place on a logarithmic axis
        self.noise_ax.set_ylim(0.7 * self.least, 2.4 * self.reach)
        sizes = np.array([3, 2000])
        self.noise_line.set_data(sizes, self.one_row / np.sqrt(sizes))
        self.length_line.set_ydata([self.length] * 2)
        self.invalidate()

    def paint(self):
        self._fit_axes()
        along = within(self.along.numpy(), -self.reach, self.reach)
        self.cloud.set_data(along, within(self.across.numpy(), 0, 1.25 * self.reach))
        self.full.set_data([0, self.length], [0, 0])
        self.noise_dots.set_data(_SIZES, [self.noises[size] for size in _SIZES])
        noise = self.noises[self.batch_size]
        self.noise_here.set_data([self.batch_size], [max(noise, self.least)])
        out = (self.along.abs() > self.reach) | (self.across > 1.25 * self.reach)
        outside = f", {out.sum()} are drawn at the edge" if out.any() else ""
        words, beyond = [], False
        for run, line in zip(self.runs, self.lines, strict=True):
            losses = np.array(run.losses)
            line.set_data(self.rows, within(losses, _LOW, _HIGH))
            beyond = beyond or not (losses < _HIGH).all()
            words.append(f"{run.size}: {losses[-1]:.3f}")
        return (
            f"Batches of {self.batch_size}: noise {noise:.3f}, {noise / self.length:.2f} times the "
            f"length of the full gradient ({self.length:.3f}); {(self.along < 0).sum()} of "
            f"{_DRAWS} batches point away from it{outside}. Validation loss after {self.rows[-1]} rows, by batch "
            f"size: {', '.join(words)}.{' Some losses lie beyond the axes.' if beyond else ''}"
        )
