"""A probability becomes a decision: what each threshold costs and yields (lesson 08)."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from ..data import load_ipo
from ..models import mlp
from ..random_state import seeded
from ..training import train_step
from .base import Simulation
from .controls import Choice, Slider
from .scene import Axis, Band, Heat, Line, Panel, Points, Rule, Scene, Text

FEATURES = [
    "issue_size_cr", "subscription_qib", "subscription_hni", "subscription_rii",
    "subscription_total", "issue_price",
]  # fmt: skip
_THRESHOLDS = np.arange(101) / 100
_RESAMPLES = 300
_CURVES = (("precision", "vermillion", "-", "s"), ("recall", "green", "--", "^"))


@lru_cache(maxsize=8)  # going back to labels seen before takes no second training
def out_of_fold(labels, seed):
    """(labels, probabilities) of all IPOs, each from a network that had not seen the row."""
    from sklearn.model_selection import StratifiedKFold  # here, to keep the import light

    table = load_ipo(labels)
    features, y = np.log1p(table[FEATURES].to_numpy()), table["listing_gain"].to_numpy()
    probability = np.empty(len(y))
    for rows, held_out in StratifiedKFold(5, shuffle=True, random_state=seed).split(features, y):
        mean, std = features[rows].mean(axis=0), features[rows].std(axis=0)
        X = torch.tensor((features - mean) / std, dtype=torch.float32)
        xb, yb = X[rows], torch.tensor(y[rows, None], dtype=torch.float32)
        with seeded(seed):
            model = mlp(6, 32, 16, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        loss_fn = nn.BCEWithLogitsLoss()
        for _ in range(200):
            train_step(model, xb, yb, loss_fn, optimizer)
        with torch.no_grad():
            probability[held_out] = model(X[held_out]).sigmoid().squeeze(1).numpy()
    return y, probability


def _interval(values):
    """The middle 95 % along the first axis; NaN where most resamples have no value."""
    known = np.isfinite(values).mean(axis=0) > 0.5
    ends = np.full((2, values.shape[1]), np.nan)
    ends[:, known] = np.nanpercentile(values[:, known], [2.5, 97.5], axis=0)
    return ends


class ThresholdExplorer(Simulation):
    """The network of lesson 08, trained here, at every threshold, with bootstrap intervals."""

    name = "threshold_explorer"
    controls = {
        "threshold": Slider("threshold", 0.0, 1.0, 0.5, step=0.01, live=True),
        "price": Slider("cost of picking a loss", 0.0, 5.0, 2.0, step=0.5, live=True),
        "labels": Choice("labels", ("corrected", "recorded"), "corrected"),
        "seed": Slider("seed", 0, 99, 0),
    }
    size = (11.0, 4.2)

    def reset(self):
        y, probability = out_of_fold(self.values["labels"], self.values["seed"])
        self.y = y
        picked = probability[:, None] >= _THRESHOLDS  # one column for each threshold
        gain = y == 1
        # How often each resample of the rows draws each row; the first one is the data as it is.
        draws = np.random.default_rng(self.values["seed"]).multinomial(
            len(y), np.full(len(y), 1 / len(y)), _RESAMPLES
        )
        draws = np.vstack([np.ones_like(draws[:1]), draws]).astype(float)
        gains, hits = draws @ gain, draws @ (picked & gain[:, None])
        losses, alarms = draws @ ~gain, draws @ (picked & ~gain[:, None])
        with np.errstate(invalid="ignore"):  # nothing picked: no precision
            curves = {"precision": hits / (hits + alarms)}
        curves["recall"] = hits / gains[:, None]
        curves["alarms"] = alarms / losses[:, None]
        self.hits, self.alarms = hits[0].astype(int), alarms[0].astype(int)
        self.curves = {name: values[0] for name, values in curves.items()}
        self.bands = {name: _interval(values[1:]) for name, values in curves.items()}

        order = np.argsort(-probability)  # the ROC curve has a corner at every row
        zero = np.zeros((len(draws), 1))
        rise = np.hstack([zero, (draws * gain)[:, order].cumsum(axis=1) / gains[:, None]])
        run = np.hstack([zero, (draws * ~gain)[:, order].cumsum(axis=1) / losses[:, None]])
        self.roc = run[0], rise[0]
        areas = (np.diff(run) * (rise[:, 1:] + rise[:, :-1]) / 2).sum(axis=1)
        self.auc, self.auc_band = areas[0], np.percentile(areas[1:], [2.5, 97.5])
        heights = [np.interp(_THRESHOLDS[1:], x, up) for x, up in zip(run, rise, strict=True)]
        self.roc_band = np.percentile(heights[1:], [2.5, 97.5], axis=0)

    def costs(self):
        """For every threshold: a loss picked costs the price, a gain left out costs 1."""
        return self.values["price"] * self.alarms + (self.y == 1).sum() - self.hits

    def scene(self):
        i = round(self.values["threshold"] * 100)
        costs = self.costs()
        cheapest = int(costs.argmin())
        hits, alarms = self.hits[i], self.alarms[i]
        precision = "precision has no value, as nothing is picked"
        if hits + alarms:
            precision = f"precision {self._with_interval('precision', i)}"
        return Scene(
            [self._roc(i, cheapest), self._curves(i, cheapest), self._matrix(hits, alarms)],
            f"Threshold {_THRESHOLDS[i]:.2f}: of {len(self.y)} IPOs {hits + alarms} picked, {hits} "
            f"of them gains; {precision}, recall {self._with_interval('recall', i)}. AUC "
            f"{self.auc:.2f} ({self.auc_band[0]:.2f} to {self.auc_band[1]:.2f}). Cost "
            f"{costs[i]:g}; the cheapest threshold on these rows is {_THRESHOLDS[cheapest]:.2f}, "
            f"cost {costs[cheapest]:g}.",
        )

    def _roc(self, i, cheapest):
        alarms, recall = self.curves["alarms"], self.curves["recall"]
        marks = [
            Band(_THRESHOLDS[1:], *self.roc_band, "blue"),
            Line([0, 1], [0, 1], "grey", ":", "guessing", 1.5),
            Line(*self.roc, "blue", "-", "network", 1.5),
            Line(self.bands["alarms"][:, i], [recall[i]] * 2, "ink", width=1.3),
            Line([alarms[i]] * 2, self.bands["recall"][:, i], "ink", width=1.3),
            Points([alarms[cheapest]], [recall[cheapest]], "ink", "D", 11, "cheapest", hollow=True),
            Points([alarms[i]], [recall[i]], "vermillion", "o", 11, "threshold"),
        ]
        y = Axis(-0.02, 1.02, "share of gains picked")
        return Panel(marks, Axis(-0.02, 1.02, "share of losses picked"), y, "share of gains picked")

    def _curves(self, i, cheapest):
        marks = [Rule(y=self.y.mean(), dash=":", label="picking everything")]
        for name, color, dash, marker in _CURVES:
            marks += [
                Band(_THRESHOLDS, *self.bands[name], color),
                Line(_THRESHOLDS, self.curves[name], color, dash, name),
                Points(_THRESHOLDS[[i]], self.curves[name][[i]], color, marker, 11),
            ]
        marks += [Rule(x=_THRESHOLDS[i], color="ink", width=1.2)]
        marks += [Rule(x=_THRESHOLDS[cheapest], color="ink", dash="-.")]
        x = Axis(-0.02, 1.02, "threshold (dash-dotted: cheapest)")
        return Panel(marks, x, Axis(-0.02, 1.02), "precision and recall", 1.15)

    def _matrix(self, hits, alarms):
        gains, losses = (self.y == 1).sum() - hits, (self.y == 0).sum() - alarms
        counts = np.array([[losses, alarms], [gains, hits]])
        marks = [Heat(counts, (0, 2), (0, 2), 0, 400, "counts", smooth=False)]
        for row, column in np.ndindex(2, 2):
            count = str(counts[row, column])
            marks.append(Text(column + 0.5, row + 0.5, count, size=1.5, bold=True))
        x = Axis(0, 2, ticks={0.5: "left out", 1.5: "picked"})
        return Panel(marks, x, Axis(0, 2, ticks={0.5: "lost", 1.5: "gained"}), "IPOs", 0.85)

    def _with_interval(self, name, i):
        low, high = self.bands[name][:, i]
        interval = f" (95 % interval {low:.2f} to {high:.2f})" if np.isfinite(low) else ""
        return f"{self.curves[name][i]:.2f}{interval}"
