"""The simulations without a front end: their logic, their settings, their first picture."""

import math

import pytest

from course_utils import widgets
from course_utils.widgets.controls import Choice, LogSlider, Slider, Switch

each = pytest.mark.parametrize("name", widgets.__all__)


def make(name, **options):
    return getattr(widgets, name)(**options)


def extremes(control):
    if isinstance(control, Choice):
        return control.options
    if isinstance(control, Switch):
        return (True, False)
    return (control.low, control.high)


@each
def test_the_first_picture_needs_no_front_end_and_says_what_it_shows(name):
    bundle = make(name)._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert 'alt="' in bundle["text/html"]
    assert len(bundle["text/plain"]) > 40 and "nan" not in bundle["text/plain"]


@each
def test_every_extreme_of_every_control_can_be_drawn_and_stepped(name):
    simulation = make(name)
    for control_name, control in simulation.controls.items():
        for value in extremes(control):
            simulation.set(**{control_name: value})
            if simulation.step is not None:
                simulation.advance()
            assert simulation.error is None, (control_name, value, simulation.error)
            _, sentence = simulation.frame()
            assert sentence
        simulation.set(**{control_name: control.default})


@each
def test_settings_restore_the_same_simulation(name):
    simulation = make(name)
    for control_name, control in simulation.controls.items():
        if isinstance(control, Slider | LogSlider):
            simulation.set(**{control_name: control.low})
    again = make(name, settings=simulation.settings)
    if simulation.step is not None:
        for one in (simulation, again):
            one.restart()
            for _ in range(5):
                one.advance()
    assert again.settings == simulation.settings
    assert again.frame() == simulation.frame()


@each
def test_reset_starts_over(name):
    simulation, fresh = make(name, **{}), make(name)
    fresh.restart()
    if simulation.step is not None:
        for _ in range(7):
            simulation.advance()
    simulation.restart()
    assert simulation.frame() == fresh.frame()


@each
def test_a_value_that_cannot_be_is_explained(name):
    with pytest.raises(ValueError, match="no control 'colour'"):
        make(name, colour="red")
    with pytest.raises(ValueError, match="belong to 'toaster'"):
        make(name, settings="toaster lr=1")
    for control_name, control in make(name).controls.items():
        wrong = {Choice: "none of these", Switch: "perhaps"}.get(type(control), math.nan)
        with pytest.raises(ValueError, match=f"{control_name}="):
            make(name, **{control_name: wrong})


def test_an_error_in_a_step_stops_the_run_and_reset_recovers(capsys):
    simulation = make("training_dashboard")
    step, simulation.step = simulation.step, lambda: 1 / 0
    simulation.running = True
    simulation.tick()
    assert simulation.error.startswith("ZeroDivisionError") and not simulation.running
    simulation.step = step
    simulation.restart()
    simulation.advance()
    assert simulation.error is None


def test_explode_is_shown_and_reset_recovers():
    simulation = make("training_dashboard", data="spiral", optimizer="SGD, momentum 0.9")
    simulation.press("Explode")
    for _ in range(50):
        simulation.advance()
    assert simulation.values["lr"] == 10 and simulation.error is None
    assert simulation.record[-1][1] > 1
    simulation.restart()
    assert len(simulation.record) == 1


def test_the_gradient_explorer_shows_lesson_03():
    sentence = make("gradient_explorer").frame()[1]
    assert "loss 4." in sentence and "Gradient of w 12, of b 4" in sentence
    assert "Gradient of w 24, of b 8" in make("gradient_explorer", twice=True).frame()[1]


def test_the_race_agrees_with_lesson_04():
    race = make("optimizer_race", lr=0.039)
    for _ in range(260):
        race.advance()
    points = race.runners["SGD"][2]
    assert abs(points[-1][0]) < 0.01
    race.set(lr=0.041)
    for _ in range(2000):
        race.step()
    assert "SGD has run away" in race.frame()[1]


def test_displaying_again_in_the_same_cell_leaves_nothing_behind():
    import ipywidgets

    def living():
        return len(ipywidgets.Widget.widgets if hasattr(ipywidgets.Widget, "widgets") else _all())

    def _all():
        from ipywidgets.widgets.widget import _instances

        return _instances

    for round_ in range(12):
        make("training_dashboard")._repr_mimebundle_()
        if round_ == 1:
            expected = living()
    assert living() == expected


def test_a_simulation_leaves_the_notebooks_random_numbers_alone():
    import torch

    state = torch.get_rng_state()
    for name in widgets.__all__:
        simulation = make(name)
        if simulation.step is not None:
            simulation.advance()
    assert torch.equal(state, torch.get_rng_state())
