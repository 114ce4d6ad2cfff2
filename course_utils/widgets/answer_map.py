"""The plane of two-class points, coloured by what a model answers everywhere."""

import torch

from ..modes import evaluating
from .scene import Axis, Heat, Panel, Points

_GRID = 60  # points on each side


def plane(X, margin, n=_GRID):
    """((left, right), (below, above), the n * n points of a grid [n * n, 2], row by row)"""
    (x0, y0), (x1, y1) = (X.min(0).values - margin).tolist(), (X.max(0).values + margin).tolist()
    rows = torch.cartesian_prod(torch.linspace(y0, y1, n), torch.linspace(x0, x1, n))
    return (x0, x1), (y0, y1), rows.flip(1)


def answer_map(model, X, y, title, margin=0.2, width=1.0):
    """A panel with the points `X` [N, 2] of the classes `y` [N] on the model's answers: a forward
    pass on every point of a grid."""
    x_range, y_range, grid = plane(X, margin)
    with evaluating(model), torch.no_grad():
        answers = model(grid).softmax(dim=1)[:, 1]
    marks = [Heat(answers.reshape(_GRID, _GRID).numpy(), x_range, y_range)]
    for c, (color, marker) in enumerate((("blue", "o"), ("vermillion", "^"))):
        marks.append(Points(*X[y == c].T.numpy(), color, marker, size=6, label=f"class {c}"))
    return Panel(marks, Axis(*x_range, ticks={}), Axis(*y_range, ticks={}), title, width)
