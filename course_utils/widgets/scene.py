"""What a simulation shows, as plain data: panels of marks on axes, a sentence, a verdict.

The browser draws a scene (view.js), and matplotlib draws the same one for readers without a browser
(picture.py). Colours are names, as each theme has its own shades: those below, and ink, soft and line
for what is no data. Array fields may be anything that numpy takes. What lies outside the axes is cut
off or, with `edge=True`, drawn at their edge; NaN then stands at the upper one.
"""

import math
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

COLORS = ("blue", "vermillion", "green", "purple", "sky", "grey")


@dataclass
class Axis:
    low: float = 0.0
    high: float = 1.0
    label: str = ""
    log: bool = False
    ticks: dict | None = None  # place -> text; {} for none, None for what the renderer thinks good
    drawn: bool = True


def ticks(*places):
    """Ticks at these places, for an `Axis`."""
    return {place: f"{place:g}" for place in places}


def doubled(least, until):
    """`least`, or the first of its doubles that is not below `until`: an axis that grows rarely."""
    return least * 2 ** max(0, math.ceil(math.log2(max(until, least) / least)))


def powers_of_ten(values, least, low=1.0, high=1.0):
    """The powers of ten around the finite `values` above `least`; at least from `low` to `high`."""
    values = values[np.isfinite(values) & (values > least)]
    ends = values.min(initial=low), values.max(initial=high)
    return 10.0 ** math.floor(math.log10(ends[0])), 10.0 ** math.ceil(math.log10(ends[1]))


@dataclass
class Line:
    """A line through the points in order; NaN in x breaks it. `at`: which of them have a marker."""

    x: np.ndarray
    y: np.ndarray
    color: str = "blue"
    dash: str = "-"
    label: str = ""
    width: float = 2.0
    marker: str = ""
    at: tuple = ()
    stairs: bool = False
    edge: bool = False
    arrow: bool = False


@dataclass
class Points:
    x: np.ndarray
    y: np.ndarray
    color: str = "blue"
    marker: str = "o"
    size: float = 7.0
    label: str = ""
    hollow: bool = False
    alpha: float = 1.0
    edge: bool = False


@dataclass
class Heat:
    """A grid of numbers [rows, columns] as colours, the first row at the bottom."""

    values: np.ndarray
    x: tuple
    y: tuple
    low: float = 0.0
    high: float = 1.0
    colors: str = "confidence"  # or "counts"
    smooth: bool = True


@dataclass
class Band:
    """The ground between two curves."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    color: str = "grey"
    label: str = ""
    alpha: float = 0.2


@dataclass
class Bars:
    x: np.ndarray
    height: np.ndarray
    width: float = 0.8
    color: str = "blue"
    label: str = ""
    hatch: bool = False


@dataclass
class Rule:
    """A straight line through the whole panel, at an x or at a y."""

    x: float | None = None
    y: float | None = None
    color: str = "grey"
    dash: str = "-"
    label: str = ""
    width: float = 1.5


@dataclass
class Text:
    x: float
    y: float
    text: str
    color: str = "ink"
    size: float = 1.0  # times the size of all text
    bold: bool = False
    anchor: str = "middle"


@dataclass
class Box:
    """A box around a text, or one of a given size, in the units of the axes."""

    x: float
    y: float
    text: str = ""
    width: float | None = None
    height: float | None = None
    color: str = "ink"
    fill: str = ""
    dash: str = "-"


@dataclass
class Panel:
    marks: list
    x: Axis
    y: Axis
    title: str = ""
    width: float = 1.0  # beside the others
    height: float = 1.0  # times the height of all panels
    least: int = 230  # pixels; narrower than that, and the panels stand below each other
    row: bool = False  # begins a new row


@dataclass
class Verdict:
    """`sign`: right, wrong, or open."""

    sign: str
    text: str


@dataclass
class Scene:
    """`sentence` says in words what there is to see, for those who don't see it, too."""

    panels: list
    sentence: str
    verdict: Verdict | None = None


def legend(panels):
    """For each panel the marks that its legend names: none, if its neighbour names the same ones."""
    named = [[mark for mark in panel.marks if getattr(mark, "label", "")] for panel in panels]
    before = None
    for marks in named:
        looks = [(mark.label, mark.color) for mark in marks]
        yield marks if looks != before else []
        before = looks


def encoded(thing):
    """A scene, or a part of one, as a tree of dicts, lists and numbers; arrays as bytes: float32,
    and uint8 for the values of a heat map."""
    if isinstance(thing, Heat):
        tree = {
            f.name: encoded(getattr(thing, f.name)) for f in fields(thing) if f.name != "values"
        }
        share = (np.asarray(thing.values) - thing.low) / (thing.high - thing.low)
        # 64 shades look like 256, and make recordings much smaller
        shades = np.clip(np.nan_to_num(share, nan=1.0) * 63, 0, 63).round()
        levels = (shades * 255 / 63).round().astype(np.uint8)
        return {"mark": "heat", **tree, "shape": list(levels.shape), "values": levels.tobytes()}
    if is_dataclass(thing):
        tree = {f.name: encoded(_array(f, getattr(thing, f.name))) for f in fields(thing)}
        return {"mark": type(thing).__name__.lower(), **tree}
    if isinstance(thing, np.ndarray):
        with np.errstate(over="ignore"):
            return thing.astype("<f4").tobytes()
    if isinstance(thing, dict):
        return {str(key): encoded(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | range):
        return [encoded(value) for value in thing]
    return thing.item() if isinstance(thing, np.generic) else thing


def _array(field, value):
    return np.asarray(value, dtype=float) if field.type is np.ndarray else value


_ABSENT = object()


def changes(old, new, path=()):
    """What turns the tree `old` into `new`: (path, "=", value), or (path, "+", bytes to append)."""
    before, parts = _parts(old), _parts(new)
    if parts is not None and type(old) is type(new) and before.keys() == parts.keys():
        for key, value in parts.items():
            yield from changes(before[key], value, (*path, key))
    elif old == new and type(old) is type(new):
        return
    elif isinstance(new, bytes) and isinstance(old, bytes) and old and new.startswith(old):
        yield path, "+", new[len(old) :]
    elif parts is not None:
        yield path, "=", type(new)()
        for key, value in parts.items():
            yield from changes(_ABSENT, value, (*path, key))
    else:
        yield path, "=", new


def _parts(tree):
    """The parts of a dict or a list by their keys; None for anything else."""
    parts = dict(enumerate(tree)) if isinstance(tree, list) else tree
    return parts if isinstance(parts, dict) else None
