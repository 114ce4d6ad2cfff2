"""A probability becomes a decision: what each threshold costs and yields (lesson 08)."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from ..data import load_ipo
from ..devices import seeded
from ..models import mlp
from ..plotting import BLUE, GREEN, GREY, VERMILLION
from ..training import train_step
from .base import Simulation
from .controls import Choice, Slider

FEATURES = [
    "issue_size_cr", "subscription_qib", "subscription_hni", "subscription_rii",
    "subscription_total", "issue_price",
]  # fmt: skip
_THRESHOLDS = np.arange(101) / 100
_RESAMPLES = 300


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
        self.trained = self.values["labels"], self.values["seed"]

    def draw(self, figure):
        self.roc_ax, self.ax, self.matrix_ax = figure.subplots(1, 3, width_ratios=[1, 1.15, 0.85])
        self.roc_ax.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1.5, label="guessing")
        (self.roc_line,) = self.roc_ax.plot([], [], color=BLUE, lw=1.5, label="network")
        self.roc_ax.set(xlabel="share of losses picked", ylabel="share of gains picked")
        self.roc_ax.set(title="ROC, with 95 % band", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        mark = {"mec": "black", "ms": 11}
        (self.point,) = self.roc_ax.plot([], [], "o", color=VERMILLION, label="threshold", **mark)
        self.cross = [self.roc_ax.plot([], [], color="black", lw=1.2)[0] for _ in range(2)]
        (self.best,) = self.roc_ax.plot([], [], "D", mfc="none", mew=2, label="cheapest", **mark)
        self.roc_ax.legend(loc="lower right", fontsize="small")

        self.lines = {}
        for name, color, style in (("precision", VERMILLION, "-"), ("recall", GREEN, "--")):
            (line,) = self.ax.plot([], [], color=color, ls=style, label=name)
            marker = "s" if name == "precision" else "^"
            self.lines[name] = line, self.ax.plot([], [], marker, color=color, **mark)[0]
        self.base = self.ax.axhline(0, color=GREY, ls=":", lw=1.5, label="picking everything")
        self.here = self.ax.axvline(0, color="black", lw=1)
        self.cheapest_line = self.ax.axvline(0, color="black", lw=1.5, ls="-.")
        self.ax.set(xlabel="threshold (dash-dotted: cheapest)", title="precision and recall")
        self.ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        self.ax.legend(loc="lower left", fontsize="small")

        self.cells = self.matrix_ax.imshow(np.zeros((2, 2)), cmap="Blues", vmin=0, vmax=400)
        centred = {"ha": "center", "va": "center", "size": 18}
        self.counts = [self.matrix_ax.text(j, i, "", **centred) for i in (0, 1) for j in (0, 1)]
        self.matrix_ax.set(xticks=[0, 1], xticklabels=["left out", "picked"], title="IPOs")
        self.matrix_ax.set(yticks=[0, 1], yticklabels=["gained", "lost"])
        self.matrix_ax.grid(False)
        self._shown = None
        lines = [artist for pair in self.lines.values() for artist in pair]
        marks = [*self.cross, self.best, self.point, self.here, self.cheapest_line]
        return [*lines, *marks, self.cells, *self.counts]

    def _draw_bands(self):
        """The still part, when other networks have been trained."""
        if self._shown == self.trained:
            return
        self._shown = self.trained
        for artist in (*self.roc_ax.collections, *self.ax.collections):
            artist.remove()
        self.roc_line.set_data(*self.roc)
        self.roc_ax.fill_between(_THRESHOLDS[1:], *self.roc_band, color=BLUE, alpha=0.2, lw=0)
        for name, (line, _) in self.lines.items():
            line.set_data(_THRESHOLDS, self.curves[name])
            band = {"color": line.get_color(), "alpha": 0.2, "lw": 0}
            self.ax.fill_between(_THRESHOLDS, *self.bands[name], **band)
        self.base.set_ydata([self.y.mean()] * 2)
        self.invalidate()

    def costs(self):
        """For every threshold: a loss picked costs the price, a gain left out costs 1."""
        return self.values["price"] * self.alarms + (self.y == 1).sum() - self.hits

    def paint(self):
        self._draw_bands()
        i = round(self.values["threshold"] * 100)
        costs = self.costs()
        cheapest = int(costs.argmin())
        alarms, recall = self.curves["alarms"], self.curves["recall"]
        self.point.set_data([alarms[i]], [recall[i]])
        self.cross[0].set_data(self.bands["alarms"][:, i], [recall[i]] * 2)
        self.cross[1].set_data([alarms[i]] * 2, self.bands["recall"][:, i])
        self.best.set_data([alarms[cheapest]], [recall[cheapest]])
        for name, (_, marker) in self.lines.items():
            marker.set_data([_THRESHOLDS[i]], [self.curves[name][i]])
        self.here.set_xdata([_THRESHOLDS[i]] * 2)
        self.cheapest_line.set_xdata([_THRESHOLDS[cheapest]] * 2)
        hits, alarms = self.hits[i], self.alarms[i]
        gains, losses = (self.y == 1).sum() - hits, (self.y == 0).sum() - alarms
        self.cells.set_data([[gains, hits], [losses, alarms]])
        for text, count in zip(self.counts, (gains, hits, losses, alarms), strict=True):
            text.set_text(str(count))
        if hits + alarms == 0:
            precision = "precision has no value, as nothing is picked"
        else:
            precision = f"precision {self._with_interval('precision', i)}"
        return (
            f"Threshold {_THRESHOLDS[i]:.2f}: of {len(self.y)} IPOs {hits + alarms} picked, {hits} "
            f"of them gains; {precision}, recall {self._with_interval('recall', i)}. AUC "
            f"{self.auc:.2f} ({self.auc_band[0]:.2f} to {self.auc_band[1]:.2f}). Cost "
            f"{costs[i]:g}; the cheapest threshold on these rows is {_THRESHOLDS[cheapest]:.2f}, "
            f"cost {costs[cheapest]:g}."
        )

    def _with_interval(self, name, i):
        low, high = self.bands[name][:, i]
        interval = f" (95 % interval {low:.2f} to {high:.2f})" if np.isfinite(low) else ""
        return f"{self.curves[name][i]:.2f}{interval}"
