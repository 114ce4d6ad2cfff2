"""A scene drawn by matplotlib, for readers without a front end: GitHub, CI, a printed page."""

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..plotting import BLUE, CONFIDENCE, GREEN, GREY, PURPLE, SKY, VERMILLION, use_course_style
from .scene import legend

_COLORS = {
    "ink": "black", "soft": "0.35", "line": "0.8", "": "white", "none": "none",
    "blue": BLUE, "vermillion": VERMILLION, "green": GREEN, "purple": PURPLE, "sky": SKY,
    "grey": GREY,
}  # fmt: skip
_MAPS = {"confidence": CONFIDENCE, "counts": "Blues"}


def png(panels, width, height):
    """PNG bytes of the panels, in a figure of so many inches outside of pyplot."""
    rows = [[]]
    for panel, named in zip(panels, legend(panels), strict=True):
        if panel.row:
            rows.append([])
        rows[-1].append((panel, named))
    with plt.rc_context():
        use_course_style()
        figure = Figure(figsize=(width, height), dpi=100)
        FigureCanvasAgg(figure)
        heights = [max(panel.height for panel, _ in row) for row in rows]
        parts = np.ravel(figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights))
        for part, row in zip(parts, rows, strict=True):
            widths = [panel.width for panel, _ in row]
            axes = part.subplots(1, len(row), squeeze=False, width_ratios=widths)[0]
            for ax, (panel, named) in zip(axes, row, strict=True):
                _draw(ax, panel, named)
        buffer = BytesIO()
        figure.savefig(buffer, format="png")
        return buffer.getvalue()


def _draw(ax, panel, named):
    for name, axis in (("x", panel.x), ("y", panel.y)):
        ax.set(**{f"{name}label": axis.label, f"{name}scale": "log" if axis.log else "linear"})
        ax.set(**{f"{name}lim": (axis.low, axis.high)})
        if axis.ticks is not None:
            ax.set(**{f"{name}ticks": [float(place) for place in axis.ticks]})
            ax.set(**{f"{name}ticklabels": list(axis.ticks.values())})
            getattr(ax, f"{name}axis").minorticks_off()
        elif axis.log:
            getattr(ax, f"{name}axis").set_minor_formatter(NullFormatter())
    ax.set_title(panel.title)
    if not (panel.x.drawn or panel.y.drawn):
        ax.axis("off")
    for mark in panel.marks:
        _MARKS[type(mark).__name__](ax, mark, panel)
    ax.set(xlim=(panel.x.low, panel.x.high), ylim=(panel.y.low, panel.y.high))
    if named:
        ax.legend(fontsize="small", loc="best")


def _inside(values, axis, edge):
    values = np.asarray(values, dtype=float)
    return np.clip(np.nan_to_num(values, nan=axis.high), axis.low, axis.high) if edge else values


def _line(ax, m, panel):
    x, y = np.asarray(m.x, dtype=float), _inside(m.y, panel.y, m.edge)
    color = _COLORS[m.color]
    if m.arrow:
        look = {"arrowstyle": "->", "color": color, "ls": m.dash}
        ax.annotate("", (x[-1], y[-1]), (x[0], y[0]), arrowprops=look)
        return
    ax.plot(
        x, y, m.dash, color=color, lw=m.width, label=m.label or None, marker=m.marker,
        markevery=[i for i in m.at if i < len(x)], drawstyle="steps-post" if m.stairs else "default",
    )  # fmt: skip


def _points(ax, m, panel):
    color = _COLORS[m.color]
    ax.plot(
        m.x, _inside(m.y, panel.y, m.edge), m.marker, ls="", color=color, ms=m.size, alpha=m.alpha,
        mec=color if m.hollow else "white", mfc="none" if m.hollow else color, label=m.label or None,
        mew=2 if m.hollow else 0.6,
    )  # fmt: skip


def _heat(ax, m, panel):
    ax.imshow(
        m.values, origin="lower", extent=(*m.x, *m.y), aspect="auto", vmin=m.low, vmax=m.high,
        cmap=_MAPS[m.colors], interpolation="bilinear" if m.smooth else "nearest",
    )  # fmt: skip
    ax.grid(False)


def _band(ax, m, panel):
    look = {"color": _COLORS[m.color], "alpha": m.alpha, "lw": 0, "label": m.label or None}
    low, high = (_inside(values, panel.y, True) for values in (m.low, m.high))
    ax.fill_between(np.asarray(m.x, dtype=float), low, high, **look)


def _bars(ax, m, panel):
    look = {"hatch": "//" if m.hatch else "", "edgecolor": "white", "label": m.label or None}
    x, height = (np.asarray(values, dtype=float) for values in (m.x, m.height))
    ax.bar(x, height, m.width, color=_COLORS[m.color], **look)


def _rule(ax, m, panel):
    look = {"color": _COLORS[m.color], "ls": m.dash, "lw": m.width, "label": m.label or None}
    ax.axvline(m.x, **look) if m.y is None else ax.axhline(m.y, **look)


def _text(ax, m, panel):
    place = {"ha": {"middle": "center", "start": "left", "end": "right"}[m.anchor], "va": "center"}
    weight = "bold" if m.bold else "normal"
    ax.text(m.x, m.y, m.text, color=_COLORS[m.color], size=12 * m.size, weight=weight, **place)


def _box(ax, m, panel):
    look = {"fc": _COLORS[m.fill], "ec": _COLORS[m.color], "ls": m.dash}
    if m.width is None:
        look["boxstyle"] = "round,pad=0.4"
        ax.text(m.x, m.y, m.text, size=14, bbox=look, ha="center", va="center")
    else:
        corner = m.x - m.width / 2, m.y - m.height / 2
        ax.add_patch(plt.Rectangle(corner, m.width, m.height, zorder=2, **look))
        ax.text(m.x, m.y, m.text, size=14, ha="center", va="center")


_MARKS = {
    "Line": _line, "Points": _points, "Heat": _heat, "Band": _band, "Bars": _bars, "Rule": _rule,
    "Text": _text, "Box": _box,
}  # fmt: skip
