"""The simulations without a front end: their logic, their settings, their first picture."""

import gc
import json
import math
import sys
import threading
from base64 import b64decode
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_utils import widgets
from course_utils.widgets import view
from course_utils.widgets.base import Simulation
from course_utils.widgets.controls import Choice, LogSlider, Slider, Switch
from course_utils.widgets.experiments import Experiment
from course_utils.widgets.recording import recorded
from course_utils.widgets.scene import Axis, Heat, Line, Panel, Scene, changes, encoded

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
    bundle, _ = make(name)._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert 'alt="' in bundle["text/html"]
    assert len(bundle["text/plain"]) > 40 and "nan" not in bundle["text/plain"]


@each
def test_every_extreme_of_every_control_can_be_drawn_and_stepped(name):
    simulation = make(name)
    if name == "schedule_explorer":  # which trains six models in each step
        simulation.set(schedule="StepLR", epochs=2)
    for control_name, control in simulation.controls.items():
        usual = simulation.values[control_name]
        for value in extremes(control):
            simulation.set(**{control_name: value})
            if simulation.step is not None:
                simulation.do("step")
            assert simulation.error is None, (control_name, value, simulation.error)
            assert simulation.tree()["sentence"]
        simulation.set(**{control_name: usual})


@each
def test_settings_restore_the_same_simulation(name):
    simulation = make(name)
    for control_name, control in simulation.controls.items():
        if isinstance(control, Slider | LogSlider):
            simulation.set(**{control_name: control.low})
    again = make(name, settings=simulation.settings)
    for one in (simulation, again):
        one.do("restart")
        if simulation.step is not None:
            one.do("step")
            one.do("step")
    assert again.settings == simulation.settings
    assert again.tree() == simulation.tree(), (
        "the same settings give another picture: reset() makes everything from self.values, and "
        "random numbers from a seed of its own"
    )


@each
def test_restart_starts_over_and_reset_brings_the_defaults_back(name):
    simulation, fresh = make(name), make(name)
    fresh.do("restart")
    for control_name, control in simulation.controls.items():
        simulation.set(**{control_name: extremes(control)[0]})
    if simulation.step is not None:
        simulation.do("step")
    simulation.do("defaults")
    assert simulation.tree() == fresh.tree()


def test_settings_may_contain_spaces():
    settings = make("training_dashboard", optimizer="SGD, momentum 0.9", width=8).settings
    again = make("training_dashboard", settings=settings)
    assert again.settings == settings and again.values["optimizer"] == "SGD, momentum 0.9"


@each
def test_settings_may_hold_words_with_spaces(name):
    simulation = make(name)
    for control_name, control in simulation.controls.items():
        if isinstance(control, Choice):
            simulation.values[control_name] = control.options[-1]
    assert make(name, settings=simulation.settings).values == simulation.values


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
    assert "no button 'Toast'" in make(name).do("press", label="Toast")


def test_explode_is_shown_and_reset_recovers():
    simulation = make("training_dashboard", data="spiral", optimizer="SGD, momentum 0.9")
    simulation.do("press", label="Explode")
    for _ in range(50):
        simulation.do("step")
    assert simulation.values["lr"] == 10 and simulation.error is None
    assert simulation.record[-1][1] > 1
    simulation.do("restart")
    assert len(simulation.record) == 1


def test_the_gradient_explorer_shows_lesson_03():
    sentence = make("gradient_explorer").said
    assert "loss 4." in sentence and "Gradient of w 12, of b 4" in sentence
    assert "Gradient of w 24, of b 8" in make("gradient_explorer", twice=True).said


def test_the_race_agrees_with_lesson_04():
    race = make("optimizer_race", lr=0.039)
    for _ in range(260):
        race.do("step")
    points = race.runners["SGD"][2]
    assert abs(points[-1][0]) < 0.01
    race.set(lr=0.041)
    for _ in range(2000):
        race.step()
    assert "SGD has run away" in race.said


class Plain(Simulation):
    """The least that is a simulation, with each kind of control."""

    name = "plain"
    controls = {  # noqa: RUF012
        "slider": Slider("slider", 0, 9, 0),
        "log": LogSlider("log", 0.1, 10, 1),
        "choice": Choice("choice", ("one", "two"), "one"),
        "switch": Switch("switch"),
    }
    size = (2, 1)

    def reset(self):
        self.losses = [1.0]

    def step(self):
        self.losses.append(self.losses[-1] / 2)

    def scene(self):
        marks = [Line(range(len(self.losses)), self.losses)]
        return Scene([Panel(marks, Axis(0, 9), Axis())], f"Loss {self.losses[-1]}.")


@pytest.fixture
def in_cells(monkeypatch):
    """Set `.cell` to what the front end calls the running cell."""
    running = SimpleNamespace(cell=None)
    monkeypatch.setattr(view, "this_cell", lambda: running.cell)
    return running


@pytest.fixture
def talk(monkeypatch):
    """What a simulation's view tells the browser: a list of (content, buffers)."""
    told = []
    monkeypatch.setattr(
        view.View, "send", lambda self, content, buffers: told.append((content, buffers))
    )
    return told


def test_a_question_from_the_browser_is_answered_with_what_has_changed(talk):
    plain = Plain()
    plain._repr_mimebundle_()
    plain.tree()  # as when a page opens
    plain._view._on_message(None, {"id": 7, "do": "step"}, [])
    content, buffers = talk.pop()
    assert content["re"] == 7 and content["refused"] == ""
    assert [item[:2] for item in content["changes"]] == [
        [("panels", 0, "marks", 0, "x"), "+"],
        [("panels", 0, "marks", 0, "y"), "+"],
        [("sentence",), "="],
    ]
    assert [len(part) for part in buffers] == [4, 4]  # one more float of each
    plain._view._on_message(None, {"id": 8, "do": "set", "with": {"values": {"slider": 99}}}, [])
    assert "must lie between 0 and 9" in talk.pop()[0]["refused"]
    plain.set(slider=3)  # from another cell
    assert talk.pop()[0]["re"] is None
    plain.close()


def test_a_tree_changed_step_by_step_is_the_tree_itself():
    simulation = make("training_dashboard")
    heard = {}
    apply(heard, changes(None, simulation.tree()))
    for do in (
        {"what": "step"},
        {"what": "set", "values": {"width": 3}},
        {"what": "press", "label": "Explode"},
    ):
        simulation.do(**do)
        apply(heard, simulation.news())
        assert heard == simulation.tree()


def apply(tree, news):
    for path, op, value in news:
        if path:
            node = tree
            for key in path[:-1]:
                node = node[key]
            value = [*value] if value == [] else {**value} if value == {} else value
            if op == "+":
                node[path[-1]] += value
            elif isinstance(node, list) and path[-1] == len(node):
                node.append(value)
            else:
                node[path[-1]] = value


def test_numbers_arrive_as_bytes_and_heat_maps_as_levels():
    line = encoded(Line([0, 1, math.nan], [1e300, 2, 3]))
    x, y = (np.frombuffer(line[name], "<f4") for name in "xy")
    assert math.isnan(x[2]) and math.isinf(y[0]) and y[1] == 2
    heat = encoded(Heat([[0.0, 0.5], [1.0, math.nan]], (0, 1), (0, 1)))
    assert heat["shape"] == [2, 2] and list(heat["values"]) == [0, 130, 255, 255]


def test_a_frame_takes_as_many_steps_as_fit_and_an_experiment_no_more_than_it_asks_for(monkeypatch):
    monkeypatch.setattr(
        Plain, "experiments", [Experiment("?", "!", ({"slider": 2}, 100, "Restart", 3))]
    )
    monkeypatch.setattr(Plain, "seconds_a_frame", 0.0)
    plain = Plain()
    plain.do("frame", afresh=True)
    assert len(plain.losses) == 2 and plain.left is None
    plain.do("experiment", number=1)
    assert plain.values["slider"] == 2 and len(plain.losses) == 1 and plain.left is None
    plain.do("move")
    assert plain.left == 100 and len(plain.losses) == 1
    plain.do("frame")
    assert 2 <= len(plain.losses) <= 3 and plain.left == 101 - len(plain.losses)
    while plain.left:
        plain.do("frame")
    plain.do("frame")  # was on its way
    assert len(plain.losses) == 101
    plain.do("frame", afresh=True)  # the learner plays on
    assert len(plain.losses) == 102
    assert [len(plain.losses) for _ in plain.tried(1)] == [1, 101, 1, 4]


@each
def test_every_move_of_an_experiment_can_be_made_and_said(name):
    simulation = make(name)
    assert simulation.name == name, f"widgets/__init__.py calls {simulation.name!r} {name!r}"
    assert len(simulation.experiments) >= 3, f"widgets/{name}.toml has fewer than three"
    for experiment in simulation.experiments:
        assert experiment.question and experiment.answer
        assert (
            isinstance(experiment.moves[0], dict)
            or experiment.moves[0] == "Restart"
            or simulation.step
        )
        for move in experiment.moves:
            if isinstance(move, dict):
                for control_name, value in move.items():
                    assert simulation.controls[control_name].parse(value) == value
            else:
                assert isinstance(move, int) or move in ("Restart", *simulation.buttons)
    words = simulation.tree()["what"]["experiments"][0]["moves"][0]
    assert words


def test_a_recording_ends_where_its_simulation_ends():
    simulation = make("gradient_explorer")
    recording = json.loads(recorded(simulation))
    heard = {}
    for items, parts in (recording["first"], *recording["frames"]):
        parts = [b64decode(part) for part in parts]
        news = [(*item, parts.pop(0)) if len(item) == 2 else item for item in items]
        apply(heard, news)
    assert heard["sentence"] == simulation.scene().sentence and heard["values"] == simulation.values
    moves = [len(experiment.moves) for experiment in simulation.experiments]
    assert [len(chapter["looks"]) for chapter in recording["chapters"]] == moves
    assert recording["chapters"][-1]["end"] == len(recording["frames"]) - 1


def test_an_error_in_a_step_stops_the_run_and_restart_recovers(capsys):
    simulation = make("training_dashboard")
    step, simulation.step = simulation.step, lambda: 1 / 0
    simulation.do("frame")
    assert simulation.error.startswith("ZeroDivisionError")
    assert simulation.tree()["error"].startswith("Stopped. ZeroDivisionError")
    simulation.step = step
    simulation.do("restart")
    simulation.do("step")
    assert simulation.error is None


def test_a_hundred_runs_of_the_same_cell_leave_nothing_behind(in_cells):
    from ipywidgets.widgets import widget

    # The registry of ipywidgets 8, or that of 7
    living = widget._instances if hasattr(widget, "_instances") else widget.Widget.widgets
    in_cells.cell = "a"
    left = []
    for _ in range(100):
        Plain(present=True)._repr_mimebundle_()
        left.append((len(living), threading.active_count(), len(plt.get_fignums())))
    assert left[99] == left[1]
    gc.collect()
    assert sum(type(thing) is Plain for thing in gc.get_objects()) == 1


def test_two_of_a_kind_live_beside_each_other_where_cells_have_names_and_where_not(in_cells):
    shown = []
    for in_cells.cell in ("a", "b", None, None):
        shown.append(Plain())
        shown[-1]._repr_mimebundle_()
    assert all(plain._view is not None for plain in shown)
    in_cells.cell = "b"
    Plain()._repr_mimebundle_()
    assert [plain._view is not None for plain in shown] == [True, False, True, True]


@pytest.mark.parametrize(
    ("metadata", "cell"),
    [({"cellId": "c"}, "c"), ({"colab": {"cell_id": "c"}}, "c"), ({}, None)],
)
def test_jupyterlab_and_colab_name_the_running_cell(monkeypatch, metadata, cell):
    kernel = SimpleNamespace(get_parent=lambda: {"metadata": metadata})
    monkeypatch.setattr(view, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    assert view.this_cell() == cell


@pytest.mark.parametrize("found", ["nothing", "an old one"])
def test_without_a_fitting_anywidget_the_picture_comes_with_one_sentence(monkeypatch, found):
    monkeypatch.delitem(sys.modules, "course_utils.widgets.view")
    if found == "nothing":
        monkeypatch.setitem(sys.modules, "anywidget", None)
    else:
        monkeypatch.setattr("importlib.metadata.version", lambda name: "0.8.1")
    bundle = Plain()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" not in bundle
    assert "<img" in bundle["text/html"] and "%pip install" in bundle["text/html"]


def test_a_simulation_leaves_the_notebooks_random_numbers_alone(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("seeds the GPU"))
    state = torch.get_rng_state()
    for name in widgets.__all__:
        simulation = make(name)
        if simulation.step is not None:
            simulation.do("step")
    assert torch.equal(state, torch.get_rng_state())


def test_the_threshold_explorer_counts_what_lesson_08_counts():
    explorer = make("threshold_explorer", threshold=0.7)
    sentence = explorer.said
    assert "129 picked, 115 of them gains" in sentence and "Cost 123" in sentence
    cheapest = []
    for price in (1, 2, 3):
        explorer.set(price=price)
        cheapest.append(int(explorer.costs().argmin()))
    assert cheapest == sorted(set(cheapest))  # the dearer a loss, the higher the threshold
    low, high = explorer.bands["precision"][:, 70]
    assert low < 115 / 129 < high and low > explorer.y.mean()
    repaired = explorer.auc
    explorer.set(labels="recorded")
    assert explorer.auc < repaired - 0.05


def test_the_schedule_explorer_shows_the_wrong_clock():
    explorer = make("schedule_explorer", clock="with the wrong clock", schedule="CosineAnnealingLR")
    rates, _ = explorer.runs["CosineAnnealingLR"]
    assert (np.diff(np.sign(np.diff(rates))) != 0).sum() == 9  # down and up, five times
    explorer.set(schedule="StepLR")
    assert explorer.runs["StepLR"][0][20] == 2**-10
    explorer.set(clock="as meant")
    assert explorer.runs["StepLR"][0][20] == 0.5


def test_the_run_gone_wrong_falls_breaks_and_the_weights_tell_where_before_the_loss():
    run = make("run_gone_wrong")
    culprits = set()
    for seed in range(6):
        run.set(seed=seed, answer="no answer yet")
        assert "Which layer grew?" in run.said
        assert min(run.losses[: run.begin]) < 0.5 * run.losses[0]
        assert max(run.losses[: run.grown + 1]) < 1.1 * run.losses[0]
        growth = run.growth[run.grown]
        assert growth.argmax() == run.culprit and np.sort(growth)[-2] < 1.2
        assert run.gradients[-1].argmax() != run.culprit
        culprits.add(run.culprit)
        for i in range(4):
            run.set(answer=f"layer {i + 1}")
            verdict = "Right: layer" if i == run.culprit else "Not that one: "
            assert verdict in run.said
    assert culprits == {0, 1, 2, 3}


def test_the_threshold_explorer_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    from course_utils.widgets.threshold_explorer import out_of_fold

    explorer = make("threshold_explorer", threshold=1)
    assert math.isclose(explorer.auc, roc_auc_score(*out_of_fold("corrected", 0)))
    assert "precision has no value" in explorer.said


def test_patience_decides_what_the_overfitting_explorer_keeps():
    import numpy as np

    from course_utils.widgets.overfitting_explorer import kept_epoch

    explorer = make("overfitting_explorer")
    kept = [kept_epoch(explorer.val_losses, patience)[0] + 1 for patience in (2, 5, 10)]
    assert kept == [1, 4, 27] and explorer.best + 1 == 27
    assert "keeps epoch 4" in explorer.said
    assert explorer.val_losses[-1] > 1.5 * explorer.val_losses[explorer.best]
    assert explorer.train_losses[-1] < explorer.train_losses[explorer.best] / 2
    explorer.set(noise=0)
    assert explorer.best > 90 and explorer.val_losses[-1] < 0.01
    explorer.val_losses = np.full(100, np.nan)  # diverged: shown at the edge, no error
    assert "nan" in explorer.said


def test_sorted_rows_print_a_low_loss_and_have_a_high_one():
    comparison = make("shuffling_comparison")  # the first picture comes after five epochs
    printed = {name: losses[0] for name, losses in comparison.printed.items()}
    true = {name: losses[1] for name, losses in comparison.printed.items()}
    assert printed["sorted"] == min(printed.values())
    assert true["sorted"] > 1.5 * true["fixed"] and abs(true["fixed"] - true["reshuffled"]) < 0.01
    first = comparison.fair_losses["sorted"][:13]
    assert first == sorted(first) and first[-1] > 1.4  # one class only: it gets worse and worse
    assert max(comparison.batch_losses["sorted"][1:12]) < comparison.batch_losses["sorted"][0]


def test_the_noise_of_a_batch_falls_with_the_root_of_its_size():
    explorer = make("batch_size_explorer", batch_size=16)
    for size in (4, 16, 64):
        assert math.isclose(explorer.noises[size], explorer.one_row / size**0.5, rel_tol=0.15)
    assert explorer.noises[64] > explorer.length > explorer.noises[256]
    explorer.set(batch_size=1600)  # everything: no noise left
    assert explorer.noises[1600] < 1e-4 and math.isclose(
        explorer.along.mean().item(), explorer.length, rel_tol=1e-3
    )


def test_batch_sizes_are_compared_after_equally_many_rows():
    explorer = make("batch_size_explorer", batch_size=16)
    assert [run.seen for run in explorer.runs] == [3200] * 4
    losses = [run.losses[-1] for run in explorer.runs]
    assert losses[:3] == sorted(losses[:3]) and losses[3] == losses[0]
    explorer.set(rule="grows with the batch")
    for _ in range(20):
        explorer.step()
    small, middle, full, _ = (run.losses[-1] for run in explorer.runs)
    assert abs(middle - small) < 0.02 and full > 1
    assert "beyond the axes" in explorer.said


def test_the_gradients_of_the_rows_are_those_of_backward():
    import torch

    explorer = make("batch_size_explorer", trained=0)
    model, (X, y) = explorer._new_model(), explorer.data
    torch.nn.functional.cross_entropy(model(X), y).backward()
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    assert math.isclose(explorer.length, gradient.norm().item(), rel_tol=1e-4)


def test_the_loss_explorer_agrees_with_lesson_02():
    explorer = make("loss_explorer")
    sentence = explorer.said
    assert "probability 0.659: loss 0.417," in sentence and "logit -0.341" in sentence
    explorer.set(right=4, wrong1=-2, wrong2=0)
    sentence = explorer.said
    assert "loss 0.02058" in sentence and "With a softmax first: loss 0.5645" in sentence
    explorer.set(right=-4, wrong1=4)
    lengths = [gradient.norm().item() for _, gradient, _ in explorer.results.values()]
    assert lengths[0] == pytest.approx(1.4, abs=0.01) and lengths[1] < 0.01


def test_in_the_loss_explorer_probability_and_logits_follow_each_other():
    explorer = make("loss_explorer", wrong1=0, wrong2=0)
    explorer.set(p=0.5)
    assert explorer.values["right"] == pytest.approx(math.log(2), abs=1e-3)
    explorer.set(right=0)
    assert explorer.values["p"] == pytest.approx(1 / 3, abs=1e-3)
    explorer.set(wrong1=10, wrong2=10, p=0.999)  # would need a logit of 17.6
    assert explorer.values["right"] == 10 and explorer.values["p"] < 0.999


def test_the_shape_tracker_agrees_with_lesson_01():
    tracker = make("shape_tracker")
    sentence = tracker.said
    assert "input [32, 784] → Linear [32, 128] → ReLU [32, 128] → Linear [32, 10]." in sentence
    assert "101770 parameters, 99%" in sentence and "weight is [128, 784]" in sentence
    tracker.set(batch=1)
    assert tracker.total == 101770 and tracker.layers[-1].shape == [1, 10]
    tracker.set(alone=True)
    assert tracker.layers[-1].shape == [10]
    tracker.set(hidden1=0)
    assert tracker.total == 7850 and len(tracker.layers) == 1


def test_forgetting_zero_grad_is_momentum_1_as_in_lesson_05():
    plain, momentum = make("zero_grad_comparison"), make("zero_grad_comparison")
    momentum.set(optimizer="SGD, momentum 1.0")
    plain.do("restart")
    for _ in range(100):
        plain.step()
        momentum.step()
    losses = [[loss for loss, _ in sim.runs[i][2]] for sim, i in ((plain, 1), (momentum, 0))]
    assert losses[0] == losses[1] != [loss for loss, _ in plain.runs[0][2]]


def test_without_zero_grad_the_gradients_add_up():
    comparison = make("zero_grad_comparison", batch_size=400)
    comparison.do("restart")
    for _ in range(3):
        comparison.step()
    cleared, forgotten = (record for _, _, record in comparison.runs)
    assert cleared[1] == forgotten[1]  # before the first step there is nothing to forget
    assert forgotten[3][1] > 3 * cleared[3][1] and forgotten[3][0] < cleared[3][0]


def test_a_run_that_diverges_without_zero_grad_says_so_and_reset_recovers():
    comparison = make("zero_grad_comparison", optimizer="SGD, momentum 1.0", lr=10, batch_size=1)
    for _ in range(300):
        comparison.step()
    assert comparison.error is None and "has become nan" in comparison.said
    comparison.do("restart")
    assert "nan" not in comparison.said


def losses_of(switch, n=5, **values):
    """The losses of `n` more passes, after these controls have been set."""
    switch.set(**values)
    for _ in range(n):
        switch.do("step")
    return [loss for loss, *_ in switch.record[-n:]]


def test_the_two_switches_do_different_things():
    switch = make("train_eval_switch")
    scattered = losses_of(switch, mode="model.train()")
    assert len(set(scattered)) == 5 and switch.logits.requires_grad
    assert len(set(losses_of(switch, no_grad=True))) == 5 and not switch.logits.requires_grad
    steady = losses_of(switch, mode="model.eval()")
    assert set(steady) == {switch.trained["both classes"]} and not switch.logits.requires_grad
    assert losses_of(switch, no_grad=False) == steady and switch.logits.requires_grad


def test_forgotten_train_mode_spoils_batchnorm_even_without_gradients():
    switch = make("train_eval_switch", layer="BatchNorm")
    switch.do("restart")
    (healthy,) = losses_of(switch, 1, mode="model.eval()")
    weights = [parameter.clone() for parameter in switch.model.parameters()]
    passes = losses_of(switch, 30, mode="model.train()", batch="class 0 only", no_grad=True)
    assert len(set(passes)) == 1  # it doesn't scatter
    assert all((a == b).all() for a, b in zip(weights, switch.model.parameters(), strict=True))
    (spoiled,) = losses_of(switch, 1, mode="model.eval()", batch="both classes")
    assert spoiled > 2 * healthy


def diagnosed(run):
    """The bug, from nothing but the numbers that the clinic shows."""
    layer_1 = run.gradients[:, 0]
    last = run.losses[-20:].mean()
    if not run.gradients.any():
        return "grads-cleared-before-step"
    if not run.changes.any():
        return "optimizer-holds-other-params"
    if not layer_1.any():
        return "layers-cut-off" if last < 0.5 else "dead-relu"
    if run.changes[0, 0] > 1:
        return "lr-too-high"
    if run.changes.max() < 1e-3:
        return "lr-too-low"
    if layer_1.max() > 5:
        return "no-zero-grad"
    if last > 0.6:
        return "labels-misaligned"
    if run.losses.min() > 0.313:
        return "softmax-before-cross-entropy"
    if (run.losses[1:20] - run.losses[:19]).max() > 0.7:
        return "sorted-batches"
    return "healthy" if run.accuracies[-1] > 0.9 else "val-scaled-differently"


def test_every_patient_of_the_clinic_can_be_diagnosed_from_what_is_shown():
    from course_utils.widgets.clinic_runs import BUGS, healthy_run

    clinic, seen = make("bug_clinic"), set()
    for patient in range(int(clinic.controls["patient"].high) + 1):
        clinic.set(patient=patient)
        assert diagnosed(clinic.run) == clinic.bug, patient
        seen.add(clinic.bug)
    assert seen == set(BUGS) and diagnosed(healthy_run()) == "healthy"


def test_the_loop_doctor_gives_the_clinics_bugs_the_same_names():
    from course_utils import LoopDoctor
    from course_utils.widgets.clinic_runs import BUGS, train_with

    for seed, bug in enumerate(BUGS):
        with LoopDoctor(verbose=False) as doctor:
            train_with(bug, seed)
        expected = [] if bug == "healthy" else [bug]
        assert [finding.bug for finding in doctor.findings] == expected


def test_the_clinic_counts_first_diagnoses_and_keeps_its_secret():
    clinic = make("bug_clinic")
    diagnoses = {text.partition(":")[0]: text for text in clinic.controls["diagnosis"].options[1:]}
    clinic.do("press", label="Check")
    assert "Choose a diagnosis first. First diagnoses right: 0 of 0." in clinic.said
    for patient in range(4):
        shown = clinic.said.replace("a healthy run in brackets", "") + clinic.settings
        assert not any(name in shown for name in diagnoses)
        wrong = "no-zero-grad" if clinic.bug != "no-zero-grad" else "healthy"
        if patient < 3:
            clinic.set(diagnosis=diagnoses[wrong])
            assert "press Check" in clinic.said
            clinic.do("press", label="Check")
            assert f"Not {wrong}." in clinic.said
        clinic.set(diagnosis=diagnoses[clinic.bug])
        clinic.do("press", label="Check")
        verdict = clinic.said
        assert f"Right: {clinic.bug}." in verdict and "In a healthy run:" in verdict
        assert f"right: {patient // 3} of {patient + 1}." in verdict
        clinic.do("press", label="Next patient")
    clinic.do("restart")
    assert "0 of 0" in clinic.said
