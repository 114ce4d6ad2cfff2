"""How far a batch's gradient is off, and what batches of several sizes learn (lesson 06)."""

from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..data import moons
from ..models import mlp
from ..random_state import seeded
from ..training import train_step
from .base import Simulation
from .controls import Choice, LogSlider, Slider
from .runs import beyond, loss_of
from .scene import Axis, Line, Panel, Points, Rule, Scene, doubled, ticks

_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_RIVALS = (16, 160, 1600)  # the batch sizes that the chosen one is compared with
_LOOKS = (
    ("blue", "-", "o"), ("green", "--", "s"), ("purple", ":", "D"), ("vermillion", "-", "^"),
)  # fmt: skip
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
        self._measure_gradients(torch.Generator().manual_seed(seed))
        self.rows = [0]
        self.runs = []
        for size in (*_RIVALS, self.batch_size):
            model = self._new_model()
            lr = self.values["lr"] * (size / 16 if self.values["rule"] != "the same" else 1)
            run = SimpleNamespace(
                size=size, model=model, seen=0, losses=[loss_of(model, *self.val)]
            )
            run.optimizer = torch.optim.SGD(model.parameters(), lr=lr, fused=True)
            run.generator = torch.Generator().manual_seed(seed)
            run.batches = []  # the row numbers of those that are left in this epoch
            self.runs.append(run)

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
                train_step(model, X[rows], y[rows], cross_entropy, optimizer)
        weights = {name: weight.detach() for name, weight in model.named_parameters()}

        def loss_of_row(weights, x, label):
            return cross_entropy(torch.func.functional_call(model, weights, x[None]), label[None])

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
                    order = torch.randperm(len(X), generator=run.generator)
                    run.batches = list(order.split(run.size))
                rows = run.batches[0]
                if run.seen + len(rows) > self.rows[-1]:
                    break
                train_step(run.model, X[rows], y[rows], cross_entropy, run.optimizer)
                run.seen += len(run.batches.pop(0))
            run.losses.append(loss_of(run.model, *self.val))

    def scene(self):
        reach = 1.1 * max(self.one_row / 2, self.length)
        least = self.one_row / 200  # a noise of zero has no place on a logarithmic axis
        noise = self.noises[self.batch_size]
        along = self.along.clamp(-reach, reach)
        out = (self.along.abs() > reach) | (self.across > 1.25 * reach)
        outside = f", {out.sum()} are drawn at the edge" if out.any() else ""
        cloud = [
            Rule(x=0, dash=":"),
            Points(along, self.across.clamp(max=1.25 * reach), "vermillion", "^", 6, alpha=0.6),
            Line([0, self.length], [0, 0], "ink", width=5),
        ]
        ends = np.array([3, 2000])
        noises = [
            Line(ends, self.one_row / np.sqrt(ends), "grey", label="1 / root", width=1.5),
            Points(_SIZES, [self.noises[size] for size in _SIZES], "blue", label="measured"),
            Rule(y=self.length, color="ink", dash=":", label="full gradient"),
            Points([self.batch_size], [max(noise, least)], "vermillion", "^", 12),
        ]
        until = doubled(3200, self.rows[-1])
        apart = 4 * round(until / 3200)  # markers that run together hide the lines
        curves, names, at = [], (*_RIVALS, "chosen"), range(apart // 2, len(self.rows), apart)
        for name, run, (color, dash, marker) in zip(names, self.runs, _LOOKS, strict=True):
            look = {"marker": marker, "at": at, "edge": True}
            curves.append(Line(self.rows, run.losses, color, dash, str(name), **look))
        words = [f"{run.size}: {run.losses[-1]:.3f}" for run in self.runs]
        words[-1] = f"chosen {words[-1]}"
        sizes = Axis(3, 2000, "batch size", True, ticks(4, 16, 64, 256, 1024))
        marked = ticks(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)
        noise_axis = Axis(0.7 * least, 2.4 * reach, log=True, ticks=marked)
        loss_axis = Axis(_LOW, _HIGH, log=True, ticks=marked)
        seen = Axis(0, until, "rows seen")
        across = Axis(-1.05 * reach, 1.05 * reach, "along the full gradient (bar)")
        return Scene(
            [
                Panel(cloud, across, Axis(-0.04 * reach, 1.3 * reach), "gradients of 100 batches"),
                Panel(noises, sizes, noise_axis, "length of the noise"),
                Panel(curves, seen, loss_axis, "validation loss, by batch size", 1.2),
            ],
            f"Batches of {self.batch_size}: noise {noise:.3f}, {noise / self.length:.2f} times the "
            f"length of the full gradient ({self.length:.3f}); {(self.along < 0).sum()} of "
            f"{_DRAWS} batches point away from it{outside}. Validation loss after {self.rows[-1]} "
            f"rows, by batch size: {', '.join(words)}."
            f"{beyond(*(run.losses for run in self.runs), high=_HIGH)}",
        )
