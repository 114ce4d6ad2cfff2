"""A simulation on the screen: ipywidgets 7 or 8, operated by mouse or keyboard, read by voice."""

import math
from html import escape

import ipywidgets
import traitlets
from IPython import get_ipython

from .canvas import DPI, PRESENT_SCALE
from .controls import Choice, LogSlider, Switch

_BEAT = 40  # milliseconds between two ticks of the browser's clock
# Lengths in em grow with the type. The variables are those from which JupyterLab, Colab and the
# others take the sizes of all their widgets. The arrow is grey, to be seen on light and dark; theirs
# is always dark.
_STYLE = """<style>
.course-simulation {
    font-size: var(--jp-widgets-font-size, 13px);
    --jp-widgets-dropdown-arrow: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'\
 viewBox='0 0 18 18'%3E%3Cpath d='M5 7l4 4 4-4z' fill='%23888'/%3E%3C/svg%3E");
}
.course-present {
    --jp-widgets-font-size: clamp(17px, 1.2vw, 22px); --jp-ui-font-size1: var(--jp-widgets-font-size);
    --jp-widgets-inline-height: calc(2 * var(--jp-widgets-font-size));
}
</style>"""


def this_cell():
    """Something that tells the running cell from the others, or None where it can't be known."""
    kernel = getattr(get_ipython(), "kernel", None)
    parent = kernel.get_parent() if kernel is not None else {}
    return parent.get("metadata", {}).get("cellId")


class _Frame(ipywidgets.Image):
    """An image whose tooltip is its accessible name; Image itself has no description to show."""

    description = traitlets.Unicode("").tag(sync=True)


class View:
    """The widgets of one simulation. `update` shows its present state; `close` removes them all."""

    def __init__(self, simulation):
        self.simulation = simulation
        self._filling = False
        width = f"{simulation.size[0] * DPI * (PRESENT_SCALE if simulation.present else 1):.0f}px"
        self._frame = _Frame(format="png", layout={"max_width": "calc(100% - 4px)", "width": width})
        self._status = ipywidgets.HTML()
        self._alert = ipywidgets.HTML()
        self._fields = {
            name: self._field(name, control) for name, control in simulation.controls.items()
        }
        self._settings = ipywidgets.Text(
            description="settings",
            continuous_update=False,
            layout={"width": "98%"},
            style={"description_width": "initial"},
        )
        self._settings.observe(self._on_settings, "value")
        # The browser is the clock: nothing runs when nobody watches, or when the page is closed.
        self._clock = ipywidgets.Play(
            min=0, max=1_000_000_000, interval=_BEAT, layout={"display": "none"}
        )
        self._clock.observe(lambda _: self._on_tick(), "value")

        fields = [box for box, _ in self._fields.values()]
        picture = [self._frame, self._status, self._alert]
        if simulation.present:
            # In columns above the picture, all is on the screen together, and no slider moves away
            # under the pointer when the sentence grows.
            columns = {"grid_template_columns": "repeat(auto-fit, minmax(28em, 1fr))"}
            rows = [ipywidgets.GridBox(fields, layout=columns), *picture]
        else:
            rows = [*picture, ipywidgets.VBox(fields)]
        style = ipywidgets.HTML(_STYLE, layout={"display": "none"})
        self._root = ipywidgets.VBox(
            [ipywidgets.HBox(self._make_buttons()), *rows, self._settings, style]
        )
        self._root.add_class("course-simulation")
        if simulation.present:
            self._root.add_class("course-present")
        self.update()

    @property
    def mimetype(self):
        return {"version_major": 2, "version_minor": 0, "model_id": self._root.model_id}

    # Building

    def _make_buttons(self):
        simulation, made = self.simulation, []

        def add(label, action):
            button = ipywidgets.Button(description=label, layout={"width": "auto"})
            button.on_click(lambda _: action())
            made.append(button)

        if simulation.step is not None:
            add("Play", lambda: self.play(True))
            add("Pause", lambda: self.play(False))
            add("Step", self._on_step)
        for label in simulation.buttons:
            add(label, lambda label=label: simulation.press(label))
        add("Reset", simulation.restart)
        return [*made, self._clock] if simulation.step is not None else made

    def _field(self, name, control):
        """(what to show, the widget that holds the value)"""
        present = self.simulation.present
        label = {"description": control.label, "style": {"description_width": "13.5em"}}
        if isinstance(control, Choice):
            wide = {"width": "fit-content", "min_width": "24em", "max_width": "calc(100% - 4px)"}
            widget = ipywidgets.Dropdown(options=control.options, layout=wide, **label)
        elif isinstance(control, Switch):
            widget = ipywidgets.Checkbox(indent=not present, layout={"width": "auto"}, **label)
        else:
            # The slider is quick, but has no name for a screen reader; the number beside it has.
            limits = {"min": control.low, "max": control.high, "value": control.default}
            number = ipywidgets.BoundedFloatText(
                step=getattr(control, "step", None),
                layout={"width": "19em", "flex": "none"},
                **label,
                **limits,
            )
            if isinstance(control, LogSlider):
                low, high = control.exponents
                options = {"min": low, "max": high, "step": (high - low) / 100, "base": 10}
                slider = ipywidgets.FloatLogSlider(value=control.default, readout=False, **options)
            else:
                slider = ipywidgets.FloatSlider(step=control.step, readout=False, **limits)
            slider.layout.width = "100%" if present else None
            place = math.log10 if isinstance(control, LogSlider) else float

            def on_slider(change):
                # The browser rounds what it is given to the slider's own steps and sends that
                # back, so less than half a step is nobody's wish.
                if abs(place(change["new"]) - place(number.value)) > 0.499 * slider.step:
                    number.value = control.parse(change["new"])

            slider.observe(on_slider, "value")
            number.observe(lambda c: setattr(slider, "value", c["new"]), "value")
            number.observe(lambda change: self._on_control(name, change["new"]), "value")
            return ipywidgets.HBox([number, slider]), number
        widget.observe(lambda change: self._on_control(name, change["new"]), "value")
        return widget, widget

    # What the user does

    def play(self, on):
        self.simulation.running = on and self.simulation.error is None
        # ipywidgets 7 calls it _playing
        playing = "playing" if self._clock.has_trait("playing") else "_playing"
        setattr(self._clock, playing, self.simulation.running)
        self.update()

    def _on_tick(self):
        self.simulation.tick()
        if self.simulation.error is not None:
            self.play(False)

    def _on_step(self):
        if self.simulation.running:
            self.play(False)
        self.simulation.advance()

    def _on_control(self, name, value):
        if not self._filling:
            self.simulation.set(**{name: value})

    def _on_settings(self, change):
        if self._filling or change["new"] == self.simulation.settings:
            return
        try:
            self.simulation.set(**self.simulation.parsed(change["new"]))
        except ValueError as error:
            self._say(self._alert, "alert", str(error))

    # What the user sees

    def update(self):
        simulation = self.simulation
        png, sentence = simulation.frame()
        self._frame.value = png
        self._frame.tooltip = sentence
        self._filling = True
        try:
            for name, (_, widget) in self._fields.items():
                widget.value = simulation.values[name]
            self._settings.value = simulation.settings
        finally:
            self._filling = False
        # While it runs a voice would read without end, so then the sentence is not announced.
        self._say(self._status, "off" if simulation.running else "status", sentence)
        self._say(self._alert, "alert", f"Stopped. {simulation.error}" if simulation.error else "")

    @staticmethod
    def _say(line, role, text):
        attributes = 'aria-live="off"' if role == "off" else f'role="{role}"'
        color = "color: #D55E00; " if role == "alert" else ""
        line.value = f'<div {attributes} style="{color}line-height: 1.5">{escape(text)}</div>'

    def close(self):
        """Close the whole tree: `Widget.close` leaves children, layouts and styles behind."""
        self._clock.unobserve_all()
        todo = [self._root]
        while todo:
            widget = todo.pop()
            todo += getattr(widget, "children", ())
            for part in ("layout", "style"):
                if isinstance(getattr(widget, part, None), ipywidgets.Widget):
                    getattr(widget, part).close()
            widget.close()
