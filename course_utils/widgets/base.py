"""What all simulations share: controls, buttons, frames, experiments, errors, sharing and closing.

A simulation declares its `controls`, with what else the class `Simulation` lists, and what they do:

- `reset()` builds its state from `self.values`, the values of the controls by name
- `step()`, if there is one, makes one real training step; it knows nothing of the screen
- `scene()` returns the `Scene` that shows the present state, and changes nothing
"""

import re
import threading
import time
import traceback

from ..plotting import Picture
from . import picture
from .controls import as_text
from .experiments import experiments_of, in_words
from .scene import changes, encoded

_SECONDS = 0.012  # of training between two pictures
_FRAMES = 80  # in which the steps that an experiment asks for can be watched, at least
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
    size = (9.0, 4.0)  # inches, of the still picture
    seconds_a_frame = _SECONDS  # at least one step
    frames = 60  # of a recorded experiment, at most about so many
    preview_steps = 0  # the first picture shows the run after so many steps
    step = None

    def __init__(self, settings="", present=False, **values):
        self.values = self._defaults()
        self.present = present
        self.error = None
        self.trying = None  # [number of the experiment, how many of its moves are made]
        self.left = None  # how many steps its move still asks for; None: as many as one likes
        self._lock = threading.RLock()
        self._view = None
        self._sent = None  # the tree as the browser has it
        for name, value in {**self.parsed(settings), **values}.items():
            self._set(name, value)
        self.reset()
        for _ in range(self.preview_steps):
            self.step()

    # What a simulation defines

    def reset(self):
        """Build the state from `self.values`."""

    def scene(self):
        """The `Scene` of the present state."""
        raise NotImplementedError

    def change(self, name):
        """A live control has changed during a run. Most simulations read `self.values` anyway."""

    # Settings

    def _defaults(self):
        return {name: control.default for name, control in self.controls.items()}

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
        """Set controls by name; restarts the run unless all of them are live."""
        with self._lock:
            self._apply(values)
            self.show()

    def do(self, what, **given):
        """What the browser asks for, by the name of a method below; "" or why it can't be."""
        with self._lock:
            try:
                getattr(self, f"_do_{what}")(**given)
            except ValueError as error:
                return str(error)
        return ""

    def _do_frame(self, afresh=False):
        """As many steps as fit between two pictures; `afresh`: Play has just been pressed."""
        if afresh and self.left == 0:
            self.left = None
        asked = self.left is not None
        end = time.perf_counter() + max(self.seconds_a_frame, asked * _SECONDS)
        made = 0
        while self.left != 0 and self.error is None:
            self._do_step()
            made += 1
            if time.perf_counter() >= end or (asked and made >= self._pace):
                break

    def _do_step(self):
        self.left = self.left and self.left - 1
        self._try(self.step)

    def _do_press(self, label):
        if label not in self.buttons:
            known = ", ".join(self.buttons) or "none"
            raise ValueError(f"{self.name} has no button {label!r}; it has {known}.")
        self._try(getattr(self, self.buttons[label]))

    def _do_set(self, values):
        self._apply(values)

    def _do_settings(self, text):
        self._apply(self.parsed(text))

    def _do_restart(self):
        self.error, self.left = None, None
        self._try(self.reset)

    def _do_defaults(self):
        self.values, self.trying = self._defaults(), None
        self._do_restart()

    def _do_experiment(self, number):
        """Begin an experiment: all controls as the course has them, then its first move."""
        self._do_defaults()
        self.trying = [number, 0]
        self._do_move()

    def _do_move(self):
        """The next move of the experiment: settings, a button, or steps that are still to be made."""
        number, made = self.trying
        move = self.experiments[number - 1].moves[made]
        self.trying = [number, made + 1]
        self.left = None
        if isinstance(move, dict):
            self._apply(move)
        elif isinstance(move, int):
            self.left = move
            self._pace = -(-move // _FRAMES)
        elif move == "Restart":
            self._do_restart()
        else:
            self._do_press(move)

    def _apply(self, values):
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
            self._do_restart()

    def _try(self, action):
        """An error stops the run and shows itself; it must not vanish in a log."""
        try:
            action()
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            traceback.print_exc()

    # Experiments

    @property
    def experiments(self):
        """The *What to try* of this simulation, a list of `Experiment`."""
        return experiments_of(self.name)

    def tried(self, number, stride=None):
        """Do what experiment `number` (from 1) says. Yields after every move and, with a `stride`,
        also each time so many steps have been made."""
        with self._lock:
            self._do_experiment(number)
            while True:
                while self.left:
                    self._do_step()
                    if self.left and stride and self.left % stride == 0:
                        yield
                yield
                if self.trying[1] == len(self.experiments[number - 1].moves):
                    return
                self._do_move()

    # What the user sees

    @property
    def said(self):
        """The sentence of the present picture, and the verdict."""
        with self._lock:
            scene = self.scene()
        return f"{scene.sentence} {scene.verdict.text}" if scene.verdict else scene.sentence

    def tree(self):
        """Everything that the browser has to know."""
        with self._lock:
            self._sent = {
                "what": self._description(),
                "values": dict(self.values),
                "settings": self.settings,
                "trying": self.trying and list(self.trying),
                "left": self.left,
                "error": self.error and f"Stopped. {self.error}",
                **encoded(self.scene()),
            }
            return self._sent

    def _description(self):
        """What never changes."""
        return {
            "name": self.name,
            "present": self.present,
            "plays": self.step is not None,
            "buttons": list(self.buttons),
            "controls": [
                {"name": name, "kind": type(control).__name__.lower(), **encoded(control)}
                for name, control in self.controls.items()
            ],
            "experiments": [
                tried._asdict() | {"moves": [in_words(m, self.controls) for m in tried.moves]}
                for tried in self.experiments
            ],
        }

    def news(self):
        """What has changed since the browser was told last: items of `changes`."""
        with self._lock:
            before = self._sent
            return list(changes(before, self.tree()))

    def show(self):
        """Send the present state to the screen, if there is one."""
        if self._view is not None:
            self._view.tell()

    def close(self):
        """Take everything off the screen and out of memory."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _repr_mimebundle_(self, **kwargs):
        with self._lock:
            scene = self.scene()
        still = Picture(picture.png(scene.panels, *self.size), self.said)
        bundle = {
            "text/html": still._repr_html_(),
            "image/png": still._repr_png_(),
            "text/plain": repr(still),
        }
        try:
            from .view import View, this_cell
        except ImportError as error:  # anywidget is missing or too old: the picture and why
            bundle["text/html"] += f"<p>{error}</p>"
            return bundle
        cell = this_cell()
        if cell is not None:
            if _on_screen.get((type(self), cell)) not in (None, self):
                _on_screen[type(self), cell].close()
            _on_screen[type(self), cell] = self
        if self._view is None:
            self._view = View(self)
        data, metadata = self._view._repr_mimebundle_()  # Colab finds anywidget by its metadata
        return {**data, **bundle}, metadata
