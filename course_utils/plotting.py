"""The course's figures: plain matplotlib, told apart by shape and line as well as by colour."""

import tomllib
from base64 import b64encode
from html import escape
from io import BytesIO
from numbers import Integral
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from .modes import evaluating

# Okabe and Ito's palette (2008), made to be told apart with every common kind of colour blindness.
BLUE, VERMILLION, GREEN, PURPLE, SKY, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#666666",
)  # fmt: skip
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, GREY)
# From class 0 to class 1, pale so that points and lines stand out on it.
CONFIDENCE = LinearSegmentedColormap.from_list("confidence", ["#7fb8dd", "white", "#f0b27a"])
MARKERS = ("o", "^", "s", "D", "v", "P")
_DESCRIPTIONS = Path(__file__).parent / "figures"
FORMATS = ["png"]  # of a finished figure; the web pages add "svg"


def use_course_style():
    """Type and lines that can be read from the back of a room; a light ground in every theme."""
    plt.rcParams.update(
        {
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=COLORS),
            "lines.linewidth": 2,
            "lines.markersize": 7,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
        }
    )


class Picture:
    """A finished figure with the sentence that says what it shows, for those who don't see it."""

    def __init__(self, png, alt, svg=None):
        self._png, self._svg, self.alt = png, svg, alt

    def _repr_html_(self):
        source = f"data:image/png;base64,{b64encode(self._png).decode()}"
        return f'<img src="{source}" alt="{escape(self.alt)}" style="max-width: 100%">'

    def _repr_png_(self):
        return self._png

    def _repr_svg_(self):
        return self._svg and self._svg.decode()

    def __repr__(self):
        return f"[Figure: {self.alt}]"


def show(figure, name):
    """The figure (or the figure of the Axes, or array of Axes, given) as a `Picture` to display.

    Notebooks give pictures no alternative text of their own, so every figure of the course goes
    through here. `name`, as in "08.gains", is that of its description in figures/08_….toml: one or
    two sentences on what there is to see. In the cell they would answer the prediction above it.

    Raises ValueError for a figure without a description, and TypeError for what is no figure.
    """
    alt = _described().get(name)
    if alt is None:
        lesson, _, short = str(name).partition(".")
        raise ValueError(
            f'The figure {name!r} has no description. Write a line {short or "NAME"} = "…" into '
            f"course_utils/figures/{lesson}_….toml: what there is to see, for those who can't."
        )
    given = figure
    for first in np.ravel(figure)[:1]:
        figure = getattr(first, "figure", figure)
    if not hasattr(figure, "savefig"):
        raise TypeError(f"show takes a figure or its Axes; got a {type(given).__name__}.")
    drawn = {kind: _drawn(figure, kind) for kind in FORMATS}
    plt.close(figure)
    return Picture(**drawn, alt=alt)


def _drawn(figure, kind):
    buffer = BytesIO()
    with plt.rc_context({"svg.fonttype": "none"}):  # words stay words
        figure.savefig(buffer, format=kind, dpi=100)
    return buffer.getvalue()


def _described():
    """name -> description of every figure, from the files in figures/."""
    return {
        f"{path.stem[:2]}.{short}": alt
        for path in sorted(_DESCRIPTIONS.glob("*.toml"))
        for short, alt in tomllib.loads(path.read_text(encoding="utf-8")).items()
    }


def _axes(ax, **options):
    """`ax`, or that of a new figure; TypeError if it is none."""
    if ax is None:
        _, ax = plt.subplots(**options)
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax is what plt.subplots() gives as its second value; got a {type(ax).__name__}."
        )
    return ax


def _numbers(name, values):
    """A list, array or tensor of numbers as a flat array of floats; TypeError if it is none."""
    try:
        given = [*map(_array, values)] if isinstance(values, list | tuple) else _array(values)
        unfit = np.iscomplexobj(given) or np.asarray(given).dtype == object  # None would become NaN
        numbers = None if unfit else np.asarray(given, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        numbers = None
    if numbers is None or numbers.ndim != 1 or len(numbers) == 0:
        raise TypeError(
            f"{name} must be a list of real numbers, not empty; got {_in_short(values)}."
        )
    return numbers


def _array(values):
    """A tensor as an array of NumPy, and anything else as it makes one; RuntimeError if it can't."""
    if not isinstance(values, torch.Tensor):
        return np.array(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _in_short(value):
    return " ".join(repr(value).split())[:60]


def _named(name, curves):
    """`curves` with its values as arrays; TypeError if it is no dict of lists of numbers."""
    if not isinstance(curves, dict) or not curves:
        raise TypeError(
            f"{name} is a dict of lists, name -> numbers, as in "
            f'{{"SGD": [0.2, 0.3], "Adam": [0.1, 0.2]}}; got {_in_short(curves)}.'
        )
    return {key: _numbers(f"{name}[{key!r}]", values) for key, values in curves.items()}


def plot_history(history, axes=None, metric="accuracy (share correct)"):
    """Loss and metric of a `History` against the epoch; returns the two Axes.

    The epoch with the lowest validation loss is marked if there was validation data. `axes` is a
    pair of Axes to draw on, `metric` what the second one's axis is called, a text or the metric itself.

    Raises TypeError for anything but a `History` of real numbers and a pair, ValueError if its columns
    have different lengths.
    """
    if not isinstance(history, dict) or not hasattr(type(history), "best_epoch"):
        raise TypeError(
            f"plot_history takes what train returned, a History; got a {type(history).__name__}."
        )
    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    pair = isinstance(axes, np.ndarray | list | tuple) and len(axes) == 2
    if not pair or not all(isinstance(ax, Axes) for ax in axes):
        raise TypeError("axes is a pair of Axes: figure, axes = plt.subplots(1, 2).")
    epochs = range(1, history.epochs + 1)
    train_loss, val_loss, val_acc = (
        _numbers(f"history[{name!r}]", history.get(name)) if epochs else []
        for name in ("train_loss", "val_loss", "val_acc")
    )
    if not len(train_loss) == len(val_loss) == len(val_acc) == len(epochs):
        raise ValueError(
            f"the history has {len(train_loss)} training losses, {len(val_loss)} validation losses and "
            f"{len(val_acc)} metrics of {len(epochs)} epochs. A column of your own needs its own name."
        )
    loss_ax, score_ax = axes
    loss_ax.plot(epochs, train_loss, BLUE, label="training")
    if history.best_epoch is not None:
        loss_ax.plot(epochs, val_loss, VERMILLION, ls="--", label="validation")
        best = history.best_epoch
        loss_ax.plot(best, val_loss[best - 1], "v", color="black", label=f"lowest, epoch {best}")
        if np.isfinite(val_acc).any():
            score_ax.plot(epochs, val_acc, VERMILLION, ls="--", label="validation")
            score_ax.legend()
    loss_ax.set(xlabel="epoch", ylabel="loss (mean per example)")
    loss_ax.legend()
    score_ax.set(xlabel="epoch", ylabel=getattr(metric, "__name__", metric))
    return axes


def plot_points(X, y, ax=None):
    """The points `X` [N, 2] of the classes 0 and 1, `y` [N], by shape and colour. Returns the Axes.

    Raises ValueError for other shapes, for other classes and for points that are not finite, and
    TypeError for what holds no numbers.
    """
    X, y = _two_classes("plot_points", X, y)
    own = ax is None
    ax = _axes(ax, figsize=(6, 3.6))
    if own:
        ax.set_aspect("equal")
    for c, marker, color in ((0, "o", BLUE), (1, "^", VERMILLION)):
        ax.scatter(
            *X[y == c].numpy().T, s=22, marker=marker, color=color, edgecolors="white", lw=0.6,
            label=f"class {c}",
        )  # fmt: skip
    ax.set(xlabel="first feature", ylabel="second feature")
    ax.grid(False)
    ax.legend(loc="upper right")
    return ax


def _two_classes(name, X, y):
    """Tensors on the CPU; ValueError if they are no points [N, 2] with classes 0 and 1."""
    try:
        X, y = (torch.as_tensor(_array(part)) for part in (X, y))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name} draws points X [N, 2] with their classes y [N], tensors or arrays; got a "
            f"{type(X).__name__} and a {type(y).__name__}."
        ) from error
    y = y.reshape(-1)
    if X.is_complex() or y.is_complex():
        raise TypeError(f"{name} draws real numbers, not complex ones: pass X.real, or X.abs().")
    if X.ndim != 2 or X.shape[1] != 2 or len(X) != len(y) or len(X) == 0:
        raise ValueError(
            f"{name} draws points X [N, 2] with their classes y [N]; got X {list(X.shape)} and "
            f"{len(y)} classes."
        )
    if not bool(((y == 0) | (y == 1)).all()):
        raise ValueError(f"{name} draws the classes 0 and 1; got {y.unique()[:6].tolist()}.")
    if not bool(X.isfinite().all()):
        raise ValueError(f"{name} can't draw points at NaN or infinity: fill or drop those rows.")
    return X, y


def plot_decision_boundary(model, X, y, ax=None, resolution=150):
    """What a two-class model of 2-D points answers everywhere, with the points `X`, `y` on top.

    The ground shows the probability of class 1, from [N, 2] logits by softmax or from [N, 1] by
    sigmoid; the black line is where it is one half. `resolution` is the number of places along each
    side. Returns the Axes.

    Raises ValueError or TypeError if an argument can't work.
    """
    X, y = _two_classes("plot_decision_boundary", X, y)
    ax = _axes(ax, figsize=(5.4, 4.4))
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"plot_decision_boundary draws a model; got a {type(model).__name__}.")
    whole = isinstance(resolution, Integral) and not isinstance(resolution, bool)
    if not whole or not 2 <= resolution <= 2000:
        raise ValueError(f"resolution is a whole number from 2 to 2000; got {resolution!r}.")
    low, high = X.min(dim=0).values - 0.3, X.max(dim=0).values + 0.3
    x1 = torch.linspace(low[0].item(), high[0].item(), resolution)
    x2 = torch.linspace(low[1].item(), high[1].item(), resolution)
    grid = torch.cartesian_prod(x1, x2)
    with evaluating(model), torch.no_grad():
        try:
            logits = model(grid.to(next(model.parameters(), grid)))
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).cpu()
        except Exception as error:  # whatever the model raises
            raise ValueError(
                f"plot_decision_boundary gives the model points {list(grid.shape)}, and it fails on "
                f"them ({type(error).__name__}: {str(error).partition(chr(10))[0]})."
            ) from error
    if logits.ndim != 2 or logits.shape[1] not in (1, 2) or logits.is_complex():
        raise ValueError(
            f"plot_decision_boundary is for models of two classes, with outputs [N, 1] or [N, 2]; "
            f"this one gives {list(logits.shape)} of {logits.dtype}."
        )
    probability = logits.softmax(1)[:, 1] if logits.shape[1] == 2 else logits.sigmoid()[:, 0]
    if not bool(probability.isfinite().all()):
        raise ValueError("plot_decision_boundary can't draw the model's answers: some are NaN.")
    probability = probability.reshape(resolution, resolution).T.numpy()
    x1, x2 = x1.numpy(), x2.numpy()
    look = {"cmap": CONFIDENCE, "vmin": 0, "vmax": 1, "rasterized": True}
    ground = ax.pcolormesh(x1, x2, probability, shading="auto", **look)
    ax.contour(x1, x2, probability, levels=[0.5], colors="black", linewidths=1.5)
    ax.figure.colorbar(ground, ax=ax, label="probability of class 1")
    return plot_points(X, y, ax)


_DASHES = ("-", "--", ":", "-.", (0, (12, 4)))


def plot_curves(curves, x, xlabel, ylabel, ax=None):
    """A line for each entry of `curves` (name -> numbers, one for each of `x`); returns the Axes.

    The lines are told apart by dash and marker as well as by colour.

    Raises TypeError if `curves` is no dict of lists of numbers, ValueError if one has another length.
    """
    curves, x, ax = _named("curves", curves), _numbers("x", x), _axes(ax, figsize=(9, 4))
    for i, (name, values) in enumerate(curves.items()):
        if len(values) != len(x):
            raise ValueError(f"x has {len(x)} numbers, but curves[{name!r}] has {len(values)}.")
        # From the first repeated colour on, another dash goes with it.
        color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
        dash = _DASHES[(i + i // len(COLORS)) % len(_DASHES)]
        every = max(1, len(values) // 10)
        ax.plot(x, values, ls=dash, marker=marker, markevery=every, color=color, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=4)
    return ax


def plot_spread(results, xlabel, ax=None):
    """One row of dots for each entry of `results` (name -> numbers), its median as a black bar.

    For comparing runs over seeds or splits: the spread is the point. Returns the Axes.

    Raises TypeError if `results` is no dict of lists.
    """
    results = _named("results", results)
    ax = _axes(ax, figsize=(9, 0.9 + 0.75 * len(results)))
    for row, (name, values) in enumerate(results.items()):
        offsets = np.linspace(-0.22, 0.22, len(values))[
            np.random.default_rng(0).permutation(len(values))
        ]
        ax.plot(
            values, row + offsets, MARKERS[row % len(MARKERS)], color=COLORS[row % len(COLORS)],
            alpha=0.6, ms=6, label=name,
        )  # fmt: skip
        ax.vlines(np.median(values), row - 0.38, row + 0.38, color="black", lw=3)
    ax.set(xlabel=xlabel, yticks=range(len(results)), yticklabels=list(results))
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    return ax


def plot_passes(tensors, links):
    """A chain of calculations with both passes: values above, gradients below. Returns the Axes.

    `tensors` (name -> tensor of one number) stand from left to right, each computed from the one
    before it by the link of that place in `links` (names, one fewer). All need a `.grad`, those
    in the middle by `retain_grad()`. The rate of a link is the ratio of the gradients beside it.

    Raises TypeError for anything but tensors of one number, and ValueError if one has no gradient
    or if the numbers of tensors and links don't match.
    """
    if not isinstance(tensors, dict) or not isinstance(links, list | tuple):
        raise TypeError(
            "plot_passes takes a dict, name -> tensor, and a list of links, as in "
            'plot_passes({"w": w, "loss": loss}, ["squared"]).'
        )
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or tensor.numel() != 1:
            raise TypeError(f"{name} must be a tensor of one number.")
        if not (tensor.is_leaf or tensor.retains_grad) or tensor.grad is None:
            raise ValueError(
                f"{name} has no gradient: call {name}.retain_grad() before backward()."
            )
    if not tensors or len(links) != len(tensors) - 1:
        needed = f"{len(tensors)} tensors need {len(tensors) - 1} links; got {len(links)}."
        raise ValueError(needed if tensors else "plot_passes needs at least one tensor.")
    _, ax = plt.subplots(figsize=(2.2 * len(tensors), 3))
    centred = {"ha": "center", "va": "center", "fontsize": 14}
    box = {"boxstyle": "round,pad=0.4", "fc": "white", "ec": "black"}
    gradients = [tensor.grad.item() for tensor in tensors.values()]
    for i, (name, tensor) in enumerate(tensors.items()):
        ax.text(i, 0, name, bbox=box, **centred)
        ax.text(i, 0.5, f"value {tensor.item():g}", color=BLUE, **centred)
        ax.text(i, -0.5, f"gradient {gradients[i]:g}", color=VERMILLION, **centred)
    for i, link in enumerate(links):
        forward, backward = {"arrowstyle": "->", "color": BLUE}, {"arrowstyle": "->", "ls": "--"}
        left, right, middle = i + 0.33, i + 0.67, i + 0.5
        ax.annotate("", (right, 0.07), (left, 0.07), arrowprops=forward)
        ax.annotate("", (left, -0.07), (right, -0.07), arrowprops=backward | {"color": VERMILLION})
        ax.text(middle, 0.24, link, ha="center", va="center")
        if gradients[i + 1] != 0:
            rate = gradients[i] / gradients[i + 1]
            ax.text(middle, -0.24, f"times {rate:g}", ha="center", va="center")
    ax.set(xlim=(-0.5, len(tensors) - 0.5), ylim=(-0.75, 0.75))
    ax.axis("off")
    return ax


# The beats of the loop: sign, name, line in PyTorch, what it does, what it hands on to the next.
_BEATS = (
    ("1", "forward", "logits = model(xb)", "answer one batch", "answers"),
    ("2", "loss", "loss = loss_fn(logits, yb)", "how wrong, as one number", "one number"),
    ("3", "backward", "loss.backward()", "for each weight: which way is uphill", "gradients"),
    ("4", "step", "optimizer.step()", "move each weight a little downhill", "new weights"),
    ("0", "zero_grad", "optimizer.zero_grad()", "bookkeeping: clear the gradients", "clean slate"),
)


def plot_loop_cycle(ax=None):
    """The training loop as a ring: four numbered beats, and `zero_grad` as a dashed fifth.

    Returns the Axes.
    """
    ax = _axes(ax, figsize=(11, 5.8))

    def on_ring(turn, radius=2.6):
        """The point a share `turn` of the way around, clockwise from the top."""
        return radius * np.sin(2 * np.pi * turn), radius * np.cos(2 * np.pi * turn)

    for i, (sign, name, line, meaning, hands_on) in enumerate(_BEATS):
        here, there = i / len(_BEATS), (i + 1) / len(_BEATS)
        x, y = on_ring(here)
        edge = {"edgecolor": COLORS[i], "lw": 4, "ls": "--" if name == "zero_grad" else "-"}
        ax.add_patch(plt.Circle((x, y), 0.5, facecolor="white", **edge))
        ax.text(x, y, sign, size=20, weight="bold", ha="center", va="center")

        side = -1 if x < -0.1 else 1  # the text stands outside the ring, that of the top beat above
        place = {"x": x + 0.75 * side, "ha": "left" if side > 0 else "right", "va": "center"}
        middle = y + 0.5 if i == 0 else y
        ax.text(y=middle + 0.42, s=name, size=18, weight="bold", **place)
        ax.text(y=middle, s=line, size=13, family="monospace", **place)
        ax.text(y=middle - 0.4, s=meaning, size=13, **place)

        ax.plot(*on_ring(np.linspace(here + 0.045, there - 0.055, 50)), color=GREY, lw=3)
        head = {"arrowstyle": "-|>,head_width=0.5,head_length=0.9", "lw": 3, "color": GREY}
        ax.annotate("", on_ring(there - 0.035), on_ring(there - 0.06), arrowprops=head)
        x, y = on_ring((here + there) / 2, radius=1.72)
        ax.text(x, y, hands_on, size=13, style="italic", ha="center", va="center")
    ax.text(0, 0.35, "once around:\none step", size=15, ha="center", va="center")
    ax.set(xlim=(-6.6, 6.8), ylim=(-2.75, 3.75), aspect="equal")
    ax.axis("off")
    return ax
