"""What a simulation lets its user set: each control is declared once and knows its own limits."""

import math
from dataclasses import dataclass


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError("must be a number") from None


@dataclass(frozen=True)
class Slider:
    """A number from `low` to `high` in steps of `step`; whole if all of them are.

    `live` means that a change takes effect in the run that is going on, instead of restarting it.
    """

    label: str
    low: float
    high: float
    default: float
    step: float = 1
    live: bool = False

    def parse(self, value):
        """`value`, a number or its text, if it is within the limits; ValueError if not."""
        whole = all(isinstance(x, int) for x in (self.low, self.high, self.default, self.step))
        number = _number(value)
        if math.isfinite(number):
            number = round(number) if whole else round(number, 6)  # sliders give 0.0999999
        if not (self.low <= number <= self.high):  # NaN fails here, too
            raise ValueError(f"must lie between {self.low:g} and {self.high:g}")
        return number


@dataclass(frozen=True)
class LogSlider:
    """A positive number of two digits from `low` to `high`; the slider runs over its logarithm."""

    label: str
    low: float
    high: float
    default: float
    live: bool = False

    def parse(self, value):
        number = _number(value)
        if not (self.low * (1 - 1e-9) <= number <= self.high * (1 + 1e-9)):
            raise ValueError(f"must lie between {self.low:g} and {self.high:g}")
        return float(f"{number:.2g}")  # no more than one would say aloud


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    label: str
    options: tuple
    default: str
    live: bool = False

    def parse(self, value):
        if value not in self.options:
            raise ValueError(f"must be one of {', '.join(self.options)}")
        return value


@dataclass(frozen=True)
class Switch:
    """On or off."""

    label: str
    default: bool = False
    live: bool = False

    def parse(self, value):
        if value not in (True, False, "on", "off"):
            raise ValueError("must be on or off")
        return value in (True, "on")


def as_text(value):
    """A control's value as it stands in a simulation's settings."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
