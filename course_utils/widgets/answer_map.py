"""The plane of two-class points, coloured by what a model answers everywhere."""

import numpy as np
import torch

from ..plotting import BLUE, CONFIDENCE, VERMILLION

_GRID = 80  # points on each side


class AnswerMap:
    """Ground and points on `ax`; `artists` are those that move."""

    def __init__(self, ax, title, point_size):
        self.ax = ax
        self.ground = ax.imshow(
            np.zeros((_GRID, _GRID)), origin="lower", aspect="auto", cmap=CONFIDENCE, vmin=0, vmax=1
        )
        look = {"ms": point_size, "mec": "white", "mew": 0.6}
        self.points = [
            ax.plot([], [], marker, color=color, **look)[0]
            for marker, color in (("o", BLUE), ("^", VERMILLION))
        ]
        ax.grid(False)
        ax.set(title=title, xticks=[], yticks=[])
        self.artists = [self.ground, *self.points]

    def fit(self, X, y, margin):
        """Show the points `X` [N, 2] of the classes `y` [N], with a margin around them."""
        (x0, y0), (x1, y1) = (
            (X.min(0).values - margin).tolist(),
            (X.max(0).values + margin).tolist(),
        )
        self.ground.set_extent([x0, x1, y0, y1])
        self.ax.set(xlim=(x0, x1), ylim=(y0, y1))
        rows, columns = torch.linspace(y0, y1, _GRID), torch.linspace(x0, x1, _GRID)
        self.grid = torch.cartesian_prod(rows, columns).flip(1)
        for c, line in enumerate(self.points):
            line.set_data(*X[y == c].T.numpy())

    def paint(self, model):
        with torch.no_grad():
            answers = model(self.grid).softmax(dim=1)[:, 1]
        self.ground.set_data(answers.reshape(_GRID, _GRID).numpy())
