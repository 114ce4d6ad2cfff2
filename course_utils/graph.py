"""A drawing of the graph that autograd records during the forward pass."""

import re
from collections import deque
from statistics import mean

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from .plotting import BLUE

# Inches, so that the type keeps its size however large the graph is.
_FONT_SIZE = 13  # points
_CHARACTER = 0.602 * _FONT_SIZE / 72  # every character of DejaVu Sans Mono is this wide
_BOX_HEIGHT, _ROW, _GAP, _MARGIN = 0.54, 0.8, 0.5, 0.15


def draw_graph(tensor, names=None):
    """Draw how `tensor` was computed, as autograd recorded it; returns the Axes.

    Read it from left to right, as the forward pass went. Square blue boxes are leaves, the
    tensors that get a gradient, with their shape, or the value of a single number. Round boxes
    are operations: `Addmm` stands for the node `AddmmBackward0`. A tensor that needs no gradient
    leaves no trace in the graph, so the data is not there.

    `names` maps names to tensors: `model.named_parameters()`, or `{"w": w, "loss": loss}`.
    The name of a computed tensor stands under the operation that gave it.

    Raises TypeError for something that is no tensor, ValueError for a tensor without a graph.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"draw_graph needs a tensor; got a {type(tensor).__name__}.")
    if tensor.grad_fn is None:
        raise ValueError(
            "This tensor has no graph (its grad_fn is None): either it was not computed from "
            "anything that requires gradients, or it was computed under torch.no_grad() or "
            "detached."
        )
    try:
        names = dict(names or ())
    except (TypeError, ValueError):
        raise TypeError(
            'names is model.named_parameters(), or a dict of tensors, as in {"w": w, "loss": loss}.'
        ) from None
    columns = _columns(tensor.grad_fn)
    labels = _labels(columns, names)
    places, (width, height) = _places(columns, labels)
    ax = plt.figure(figsize=(width, height), layout="none").add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    for item, label in labels.items():
        _draw_box(ax, places[item], label, leaf=hasattr(item, "variable"))
    _draw_arrows(ax, columns, places, labels)
    return ax


def _places(columns, labels):
    """item -> (left, right, y) of every box and waypoint, in inches; and the size of the whole."""
    widths = [
        max((_width(labels[item]) for item in column if item in labels), default=0)
        for column in columns
    ]
    width = sum(widths) + _GAP * (len(columns) - 1) + 2 * _MARGIN
    rows = _rows(columns)
    top, bottom = min(rows.values()), max(rows.values())
    left, places = width - _MARGIN, {}
    for column, column_width in zip(columns, widths, strict=True):
        left -= column_width
        for item in column:
            y = _MARGIN + _BOX_HEIGHT / 2 + _ROW * (rows[item] - top)
            slack = (column_width - _width(labels[item])) / 2 if item in labels else 0
            places[item] = (left + slack, left + column_width - slack, y)
        left -= _GAP
    return places, (width, _ROW * (bottom - top) + _BOX_HEIGHT + 2 * _MARGIN)


def _columns(end):
    """The graph in columns from `end` backwards: one dict each, item -> the items it leads to.

    An item stands one column before the first it leads to. Where an arrow passes a column by, an
    `object()` in that column, a waypoint, keeps its way clear of the boxes.
    """
    depth = {end: 0}  # the longest way to the end, in steps
    queue = deque([end])
    while queue:
        node = queue.popleft()
        for source in _sources(node):
            if depth.get(source, 0) <= depth[node]:
                depth[source] = depth[node] + 1
                queue.append(source)

    columns = [{} for _ in range(max(depth.values()) + 1)]
    columns[0][end] = []
    for node in sorted(depth, key=depth.get):
        for source in _sources(node):
            target = node
            for between in range(depth[node] + 1, depth[source]):
                waypoint = object()
                columns[between][waypoint] = [target]
                target = waypoint
            columns[depth[source]].setdefault(source, []).append(target)
    return columns


def _sources(node):
    """The nodes that a node's inputs came from; inputs that need no gradient have none."""
    return [source for source, _ in node.next_functions if source is not None]


def _rows(columns):
    """item -> row: as near as possible to what it leads to, at least one row from the next."""
    rows = dict.fromkeys(columns[0], 0.0)
    for column in columns[1:]:
        wanted = {item: mean(rows[target] for target in column[item]) for item in column}
        items = sorted(wanted, key=wanted.get)
        for above, item in zip([None, *items], items, strict=False):
            rows[item] = wanted[item] if above is None else max(wanted[item], rows[above] + 1)
        shift = mean(wanted[item] - rows[item] for item in items)
        for item in items:
            rows[item] += shift
    return rows


def _labels(columns, names):
    """node -> the text in its box; waypoints have none."""
    leaf_names = {id(tensor): name for name, tensor in names.items()}
    result_names = {t.grad_fn: name for name, t in names.items() if t.grad_fn is not None}
    labels = {}
    for node in (item for column in columns for item in column if hasattr(item, "next_functions")):
        if hasattr(node, "variable"):
            leaf = node.variable
            value = f"= {leaf.item():.4g}" if leaf.ndim == 0 else list(leaf.shape)
            labels[node] = f"{leaf_names.get(id(leaf), 'leaf')}\n{value}"
        else:
            labels[node] = re.sub(r"^.*::|Backward\d*$", "", node.name())
            if node in result_names:
                labels[node] += f"\n= {result_names[node]}"
    return labels


def _width(label):
    return max(_BOX_HEIGHT, _CHARACTER * max(map(len, label.splitlines())) + 0.2)


def _draw_box(ax, place, label, leaf):
    left, right, y = place
    ax.add_patch(
        FancyBboxPatch(
            (left, y - _BOX_HEIGHT / 2), right - left, _BOX_HEIGHT,
            boxstyle="square,pad=0" if leaf else "round,pad=0,rounding_size=0.2",
            facecolor=(BLUE, 0.15) if leaf else "white", edgecolor=BLUE if leaf else "black",
            lw=2.5 if leaf else 1.5,
        )
    )  # fmt: skip
    ax.text(
        (left + right) / 2, y, label, ha="center", va="center", family="DejaVu Sans Mono",
        fontsize=_FONT_SIZE, linespacing=1.1,
    )  # fmt: skip


def _draw_arrows(ax, columns, places, labels):
    arrivals = {item: [] for item in places}
    for column in columns:
        for item, targets in column.items():
            for target in targets:
                arrivals[target].append(item)
    for target, sources in arrivals.items():
        left, right, y = places[target]
        if target not in labels:
            ax.plot([left, right], [y, y], color="black", lw=1.5)
        # Arrows arrive side by side, so that two from the same box can be told apart.
        spread = min(0.13, 0.36 / len(sources)) if sources else 0
        for index, source in enumerate(sorted(sources, key=lambda item: places[item][2])):
            _, start, start_y = places[source]
            end_y = y + spread * (index - (len(sources) - 1) / 2)
            middle = (start + left) / 2
            way = [(start, start_y), (middle, start_y), (middle, end_y), (left, end_y)]
            ax.add_patch(
                FancyArrowPatch(
                    path=Path(way, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]),
                    arrowstyle="-|>" if target in labels else "-", mutation_scale=14, color="black",
                    lw=1.5,
                )
            )  # fmt: skip
