"""A matplotlib figure that redraws only what moves, since a full drawing takes too long to drag."""

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..plotting import use_course_style

DPI, PRESENT_SCALE = 100, 1.5


class Canvas:
    """One figure outside of pyplot, so that nothing is shared with the notebook's own figures.

    `draw(figure)` makes the axes and artists once and returns those that move; they are changed in
    place and drawn on top of the still rest (blitting).
    """

    def __init__(self, draw, size, present):
        with plt.rc_context():
            use_course_style()
            plt.rcParams.update({"font.size": 14, "axes.titlesize": 15} if present else {})
            self.figure = Figure(figsize=size, dpi=DPI * (PRESENT_SCALE if present else 1))
            self._canvas = FigureCanvasAgg(self.figure)
            self._moving = draw(self.figure)
        for artist in self._moving:
            artist.set_animated(True)
        self._background = None

    def invalidate(self):
        """Draw the still part anew the next time: limits, titles or ticks have changed."""
        self._background = None

    def png(self):
        """The figure as it is now, PNG bytes."""
        if self._background is None:
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._background)
        for artist in self._moving:
            if artist.get_visible():
                artist.axes.draw_artist(artist)
        picture = Image.frombuffer(
            "RGBA", self._canvas.get_width_height(), self._canvas.buffer_rgba(), "raw", "RGBA", 0, 1
        )
        buffer = BytesIO()
        picture.convert("RGB").save(buffer, "png", compress_level=1)
        return buffer.getvalue()


def within(values, low, high):
    """The values to draw: NaN and what is too high at the upper edge, too low at the lower."""
    return np.clip(np.nan_to_num(values, nan=high), low, high)
