"""What all simulations share: controls, buttons, frames, status, errors, sharing and closing.

A simulation declares its `controls` and says what they do:

- `reset()` builds its state from `self.values`, the values of the controls by name
- `step()`, if there is one, makes one real training step; it knows nothing of the screen
- `draw(figure)` makes the axes and artists once and returns the artists that move
- `paint()` changes those artists and returns one sentence that says what there is to see
"""

import re
import threading
import time
import traceback

from ..plotting import Picture
from .canvas import Canvas
from .controls import as_text

_on_screen = {}  # (class, cell) -> the simulation shown there, to be replaced when the cell reruns


class Simulation:
    """A picture that its user controls. Display it as the last line of a cell.

    `settings` is the text that another simulation of this kind gave as its `settings`; single
    controls can be set by name, as in `lr=0.5`. `present=True` enlarges it for a projector.

    Raises ValueError for a control that doesn't exist or a value outside its limits.
    """

    name = ""  # as in the notebook: widgets.NAME()
    controls = {}
    buttons = {}  # more buttons: label -> the name of the method that it calls
    size = (9.0, 4.0)  # inches
    seconds_a_frame = 0.02  # of training between two pictures; at least one step
    preview_steps = 0  # the first picture shows the run after so many steps
    step = None

    def __init__(self, settings="", present=False, **values):
        self.values = {name: control.default for name, control in self.controls.items()}
        self.present = present
        self.error = None
        self.running = False
        self._lock = threading.RLock()
        self._view = None
        for name, value in {**self.parsed(settings), **values}.items():
            self._set(name, value)
        self.reset()
        self._canvas = Canvas(self.draw, self.size, present)
        for _ in range(self.preview_steps):
            self.step()

    # What a simulation defines

    def reset(self):
        """Build the state from `self.values`."""

    def draw(self, figure):
        """Make the axes and artists; return the artists that move."""
        raise NotImplementedError

    def paint(self):
        """Change the moving artists; return a sentence that says what there is to see."""
        raise NotImplementedError

    def change(self, name):
        """A live control has changed during a run. Most simulations read `self.values` anyway."""

    # Settings

    @property
    def settings(self):
        """All controls as one short text: `training_dashboard lr=0.1 data=moons seed=0`."""
        pairs = (f"{name}={as_text(value)}" for name, value in self.values.items())
        return " ".join([self.name, *pairs])

    def parsed(self, settings):
        """The values by name in a line of settings, such as "optimizer_race lr=0.1"."""
        if not isinstance(settings, str):
            raise TypeError(
                f"{self.name} takes its controls by name, as in {self.name}"
                f"({next(iter(self.controls))}=…); got {settings!r}."
            )
        words = re.split(r"\s+(?=\w+=)", settings.strip() or self.name)
        if words and words[0] != self.name:
            raise ValueError(
                f"These settings belong to {words[0]!r}; this simulation is {self.name}, and its "
                f"settings begin with that name."
            )
        pairs = [word.partition("=") for word in words[1:]]
        return {name: value for name, _, value in pairs}

    def _set(self, name, value):
        if name not in self.controls:
            raise ValueError(
                f"{self.name} has no control {name!r}; it has {', '.join(self.controls)}."
            )
        try:
            self.values[name] = self.controls[name].parse(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}={value!r} can't be: it {error}.") from None

    # What the user does

    def set(self, **values):
        """Set controls by name; restarts the run unless all of them are live. Repaints."""
        with self._lock:
            before = dict(self.values)
            try:
                for name, value in values.items():
                    self._set(name, value)
            except ValueError:
                self.values = before  # all of them or none
                raise
            if all(self.controls[name].live for name in values):
                self._try(lambda: [self.change(name) for name in values])
            else:
                self._try(self.reset)
            self.show()

    def restart(self):
        """Reset: the state as the controls describe it, from the start."""
        with self._lock:
            self.error = None
            self._try(self.reset)
            self.show()

    def press(self, label):
        """Press one of the simulation's own buttons."""
        with self._lock:
            self._try(getattr(self, self.buttons[label]))
            self.show()

    def advance(self, seconds=0.0):
        """Make at least one step, and more as long as `seconds` have not passed. Repaints."""
        with self._lock:
            end = time.perf_counter() + seconds
            self._try(self.step)
            while self.error is None and time.perf_counter() < end:
                self._try(self.step)
            self.show()

    def tick(self):
        """One beat of the clock while it plays. A beat that comes while another works is dropped."""
        if self.running and self._lock.acquire(blocking=False):
            try:
                self.advance(self.seconds_a_frame)
            finally:
                self._lock.release()

    def _try(self, action):
        """An error stops the run and shows itself; it must not vanish in a log."""
        try:
            action()
        except Exception as error:
            self.running = False
            self.error = f"{type(error).__name__}: {error}"
            traceback.print_exc()

    # What the user sees

    def frame(self):
        """(PNG bytes, sentence) of the present state."""
        with self._lock:
            sentence = self.paint()
            return self._canvas.png(), sentence

    def invalidate(self):
        """Call this in `paint` after changing limits, titles or anything else that stands still."""
        self._canvas.invalidate()

    def show(self):
        """Send the present state to the screen, if there is one."""
        if self._view is not None:
            self._view.update()

    def close(self):
        """Take everything off the screen and out of memory."""
        self.running = False
        if self._view is not None:
            self._view.close()
            self._view = None

    def _repr_mimebundle_(self, **kwargs):
        from .view import View, this_cell

        place = (type(self), this_cell())
        if _on_screen.get(place) not in (None, self):
            _on_screen[place].close()
        _on_screen[place] = self
        if self._view is None:
            self._view = View(self)
        # The picture is for readers without a live notebook: GitHub, a page, a printed course.
        png, sentence = self.frame()
        picture = Picture(png, sentence)
        return {
            "application/vnd.jupyter.widget-view+json": self._view.mimetype,
            "text/html": picture._repr_html_(),
            "image/png": png,
            "text/plain": repr(picture),
        }
