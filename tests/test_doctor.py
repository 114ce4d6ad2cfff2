import asyncio
import contextlib
import gc
import io
import os
import subprocess
import sys
import threading
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad
from torch.optim import optimizer as optim_module
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from course_utils import LoopDoctor, mlp, moons
from course_utils.doctor import Finding, watch
from course_utils.doctor.detector import HEARD_ENOUGH, Detector
from course_utils.doctor.errors import explanation
from course_utils.doctor.findings import ERROR, WARNING
from tests.loops import all_loops

LOOPS = all_loops()
# Loops whose bug the doctor does not see yet. Who teaches it one takes the loop off this list.
MISSED = {
    "credit_frame", "wine_report", "churn_recall", "wine_batch_means", "ten_by_ten_batches",
    "dataframe_shuffled_labels_not",
}  # fmt: skip


@pytest.fixture(autouse=True)
def errors_of_the_watcher_are_seen(monkeypatch):
    monkeypatch.setattr(watch, "STRICT", True)


def run_quietly(loop):
    """The doctor after the loop, with what both print thrown away."""
    torch.manual_seed(0)  # some loops set no seed
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        with LoopDoctor() as doctor:
            loop()
    return doctor


@pytest.mark.parametrize(
    "loop", [loop for loop in LOOPS if loop.bug and loop.run.__name__ not in MISSED], ids=str
)
def test_the_bug_is_named_with_evidence_line_and_fix(loop):
    findings = run_quietly(loop.run).findings
    assert [finding.bug for finding in findings[:1]] == [loop.bug], (
        f"{loop.bug} is to be named first; the doctor names {findings or 'nothing'}"
    )
    assert any(character.isdigit() for character in findings[0].evidence), (
        f"the evidence has no number: {findings[0].evidence}"
    )
    if findings[0].where:
        assert ", line " in findings[0].where


def test_a_bug_that_is_not_seen_yet_is_not_given_another_name():
    for loop in LOOPS:
        if loop.bug and loop.run.__name__ in MISSED:
            assert run_quietly(loop.run).findings == [], loop


def test_the_list_of_missed_loops_names_buggy_loops_only():
    assert {loop.run.__name__ for loop in LOOPS if loop.bug} >= MISSED


@pytest.mark.parametrize("loop", [loop for loop in LOOPS if not loop.bug], ids=str)
def test_a_correct_loop_gives_no_error_and_no_warning(loop):
    assert run_quietly(loop.run).findings == []


@pytest.mark.parametrize("seed", [0, 3, 10, 11])
def test_a_trend_in_slices_of_a_tensor_is_no_learning_rate_too_high(seed):
    (loop,) = [loop for loop in LOOPS if loop.run.__name__ == "stock_full_batch_sgd_trend"]

    def seeded_loop():
        torch.manual_seed(seed)
        loop.run()

    assert run_quietly(seeded_loop).findings == []


def test_every_bug_has_its_words_and_a_loop_that_has_it():
    shown = {loop.bug for loop in LOOPS if loop.run.__name__ not in MISSED}
    for detector in Detector.all:
        if detector.bug:
            name = detector.__name__
            assert detector.severity in (ERROR, WARNING), f"{name}: severity is ERROR or WARNING"
            assert detector.symptom and detector.fix, f"{name} has no symptom, or no fix"
            assert detector.bug in shown, f"no loop in tests/loops/ has the bug {detector.bug}"


# It changes nothing --------------------------------------------------------------------------


def two_moons(epochs=4, dropout=0.2, after_step=lambda: None):
    """Losses, weights and the random state after an ordinary loop."""
    X, y = moons(400, seed=0)
    torch.manual_seed(0)
    model = nn.Sequential(mlp(2, 32, 16, dropout=dropout), nn.BatchNorm1d(16), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    train_loader = DataLoader(TensorDataset(X[:320], y[:320]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[320:], y[320:]), batch_size=40)
    losses = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            clip_grad.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            after_step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            losses += [F.cross_entropy(model(xb), yb).item() for xb, yb in val_loader]
    return losses, model.state_dict(), torch.get_rng_state()


def test_training_is_bit_identical_with_and_without_it():
    losses, weights, random_state = two_moons()
    with LoopDoctor(verbose=False) as doctor:
        watched_losses, watched_weights, watched_state = two_moons()
    assert doctor.findings == []
    assert watched_losses == losses
    assert torch.equal(watched_state, random_state)
    for name, value in weights.items():
        assert torch.equal(watched_weights[name], value), name


def patched_places():
    """Everything that the doctor puts something in front of."""
    schedulers = list(watch._all_kinds(LRScheduler))
    return [
        nn.Module.__call__, nn.Module.zero_grad, nn.Module.state_dict, nn.Module.load_state_dict,
        torch.autograd._engine_run_backward, torch.optim.Optimizer.zero_grad, DataLoader.__iter__,
        _BaseDataLoaderIter.__next__, clip_grad._get_total_norm,
        clip_grad._group_tensors_by_device_and_dtype, torch.amp.GradScaler.scale,
        torch.amp.GradScaler.unscale_, torch.amp.GradScaler.step, F.dropout, F.alpha_dropout,
        *(vars(scheduler).get("step") for scheduler in schedulers),
        list(optim_module._global_optimizer_pre_hooks),
        list(optim_module._global_optimizer_post_hooks),
        torch.overrides._get_current_function_mode_stack(),
    ]  # fmt: skip


def test_everything_is_put_back_after_the_loop_and_after_a_hundred_runs():
    before = patched_places()
    for _ in range(100):
        with LoopDoctor(verbose=False):
            two_moons(epochs=1)
    assert patched_places() == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_everything_is_put_back_after_an_exception_which_goes_through(error):
    before = patched_places()

    def stop():
        raise error("stop")

    with pytest.raises(error, match="stop"), LoopDoctor(verbose=False):
        two_moons(after_step=stop)
    assert patched_places() == before


PRIVATE_NAMES = [
    "_engine_run_backward", "_get_total_norm", "_group_tensors_by_device_and_dtype",
    "_BaseDataLoaderIter", "_get_current_function_mode_stack", "_functorch", "_VF",
]  # fmt: skip


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_where_pytorch_lacks_a_private_name_the_doctor_works_without_it(monkeypatch, name):
    def getattr_of_another_version(owner, attribute, *default):
        found = getattr(owner, attribute, *default)
        assert attribute != name or default, f"{name} is taken for granted"
        return default[0] if attribute == name else found

    monkeypatch.setattr(watch, "getattr", getattr_of_another_version, raising=False)
    before = patched_places()
    with LoopDoctor(verbose=False) as doctor:
        losses, *_ = two_moons()
    assert doctor.findings == [] and losses == two_moons()[0] and patched_places() == before
    with contextlib.redirect_stdout(io.StringIO()), LoopDoctor() as doctor:
        loop_without_zero_grad(epochs=3)
    bugs = [finding.bug for finding in doctor.findings]
    assert bugs == ([] if name == "_engine_run_backward" else ["no-zero-grad"])


def test_an_exception_inside_a_forward_leaves_nothing_behind():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            raise ValueError("broken")

    with LoopDoctor(verbose=False) as doctor:
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                Broken()(torch.rand(4, 2))
        losses, *_ = two_moons()
    assert doctor.findings == [] and losses == two_moons()[0]


def test_doctors_can_be_nested_and_used_again():
    before = patched_places()
    no_zero_grad = next(loop for loop in LOOPS if loop.bug == "no-zero-grad")
    with contextlib.redirect_stdout(io.StringIO()):
        outer = LoopDoctor(verbose=False)
        with outer:
            with LoopDoctor(verbose=False) as inner:
                no_zero_grad.run()
            two_moons()
    assert [f.bug for f in inner.findings] == [f.bug for f in outer.findings] == ["no-zero-grad"]
    with outer:
        two_moons()
    assert outer.findings == []
    assert patched_places() == before


@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_doctors_that_overlap_leave_nothing_behind_in_whatever_order_they_go(first_to_leave):
    before = patched_places()
    doctors = [LoopDoctor(verbose=False), LoopDoctor(verbose=False)]
    for doctor in doctors:
        doctor.__enter__()
    model = mlp(2, 8, 2)
    model(torch.zeros(1, 2))
    left = doctors.pop(first_to_leave)
    left.__exit__(None, None, None)
    model(torch.zeros(1, 2))
    doctors.pop().__exit__(None, None, None)
    assert patched_places() == before
    assert ("another doctor came later" in repr(left)) == (first_to_leave == 0)


def test_a_doctor_that_watches_already_refuses_a_second_loop():
    before = patched_places()
    with LoopDoctor(verbose=False) as doctor:
        with pytest.raises(RuntimeError, match="make another"), doctor:
            pass
        loop_without_zero_grad(epochs=1)
    assert [finding.bug for finding in doctor.findings] == ["no-zero-grad"]
    assert patched_places() == before


def watched(loop, done):
    with LoopDoctor(verbose=False) as doctor:
        loop()
    done[loop] = [finding.bug for finding in doctor.findings]


def test_doctors_in_two_threads_see_each_its_own_loop():
    before, done = patched_places(), {}
    loops = two_moons, lambda: loop_without_zero_grad(epochs=2)
    threads = [threading.Thread(target=watched, args=(loop, done)) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done[loop] for loop in loops] == [[], ["no-zero-grad"]]
    assert patched_places() == before


def test_doctors_in_two_asyncio_tasks_see_each_its_own_loop():
    async def steps(clear):
        model = mlp(2, 8, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        X, y = moons(50, seed=0)
        with LoopDoctor(verbose=False) as doctor:
            for _ in range(8):
                if clear:
                    optimizer.zero_grad()
                loss = F.cross_entropy(model(X), y)
                await asyncio.sleep(0)
                loss.backward()
                optimizer.step()
        return [finding.bug for finding in doctor.findings]

    async def both():
        return await asyncio.gather(steps(clear=True), steps(clear=False))

    before = patched_places()
    assert asyncio.run(both()) == [[], ["no-zero-grad"]]
    assert patched_places() == before


def test_a_detector_from_elsewhere_that_fails_is_named_and_disturbs_no_other(monkeypatch, capsys):
    monkeypatch.setattr(watch, "STRICT", False)
    monkeypatch.setattr(Detector, "all", list(Detector.all))

    class Failing(Detector):
        bug, severity, symptom, fix = "own-check", "error", "s", "f"

        def step(self, step):
            raise ValueError("no such thing")

    with LoopDoctor() as doctor:
        two_moons()
    assert doctor.findings == [] and doctor.unchecked == ["own-check (ValueError: no such thing)"]
    out = capsys.readouterr().out
    assert "nothing wrong" not in out and "could not be made: own-check" in out
    assert "own-check" in doctor._repr_html_()
    with LoopDoctor(verbose=False) as doctor:
        loop_without_zero_grad(epochs=2)
    assert [finding.bug for finding in doctor.findings] == ["no-zero-grad"]


class Seen(Detector):
    """Counts what comes after a forward, and the graphs that are read."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.functions, self.graphs = 0, []
        Seen.latest = self

    def function(self, call, function, args, kwargs, result):
        self.functions += 1

    def graph(self, backward):
        self.graphs.append(self.run.backwards)


@pytest.fixture
def seen(monkeypatch):
    """Asks for the counts of the last loop."""
    others = [detector for detector in Detector.all if detector is not Seen]
    monkeypatch.setattr(Detector, "all", [*others, Seen])
    return lambda: Seen.latest


Detector.all.remove(Seen)


def by_hand(steps, watched_each_time):
    model = mlp(2, 8, 2)
    X, y = moons(200, seed=0)
    for _ in range(steps):
        rows = torch.randint(200, (20,))
        watched_each_time(model)
        F.cross_entropy(model(X[rows]), y[rows]).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
                p.grad = None


def test_a_loop_without_an_optimizer_is_looked_at_more_and_more_rarely(seen):
    with LoopDoctor(verbose=False):
        by_hand(100, lambda model: None)
    assert seen().graphs == [1, 2, 3, 4, 8, 16, 32, 64]


def test_a_method_that_has_heard_enough_is_not_told_any_more_and_others_are(monkeypatch):
    monkeypatch.setattr(Detector, "all", list(Detector.all))
    heard = []

    class Curious(Detector):
        records = True

        def backward(self, backward):
            heard.append("backward")
            return HEARD_ENOUGH if len(heard) >= 5 else None

        def forward(self, call):
            heard.append("forward")

    with LoopDoctor(verbose=False) as doctor:
        by_hand(50, lambda model: None)
    assert heard == 3 * ["forward", "backward"] + 47 * ["forward"]
    assert doctor.findings == [] and not doctor.unchecked


def test_an_optimizer_whose_turn_did_not_come_before_an_error_holds_its_parameters():
    front, behind = nn.Linear(2, 2), nn.Linear(2, 1)
    first = torch.optim.Adam(behind.parameters())
    _second = torch.optim.Adam(front.parameters())
    doctor = LoopDoctor(verbose=False)
    with pytest.raises(RuntimeError, match="inplace"), doctor:
        loss = behind(torch.tanh(front(torch.ones(4, 2)))).mean()
        loss.backward(retain_graph=True)
        first.step()
        (-loss).backward()
    assert doctor.findings == []


def kept_gradients(steps, clears):
    """The findings for a loop that calls zero_grad in the steps for which `clears` says so."""
    X, y = moons(20, seed=0)
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with LoopDoctor(verbose=False) as doctor:
        for step in range(steps):
            if clears(step):
                optimizer.zero_grad()
            F.cross_entropy(model(X), y).backward()
            optimizer.step()
    return doctor.findings


@pytest.mark.parametrize(
    ("since", "steps", "every", "named"),
    [(200, 600, 2, True), (200, 600, 3, True), (200, 600, 1000, True), (576, 584, 1000, False)],
)
def test_gradients_that_are_kept_from_some_step_on_are_seen(since, steps, every, named):
    findings = kept_gradients(steps, lambda step: step < since or step % every == 0)
    assert [finding.bug for finding in findings] == ["no-zero-grad"] * named
    if every == 1000 and named:
        assert "in about 67% of 600 steps" in findings[0].evidence


@pytest.mark.parametrize("epoch", [16, 32, 50, 61, 64, 72, 88, 128])
def test_no_length_of_an_epoch_hides_kept_gradients_or_makes_more_of_them(epoch):
    assert kept_gradients(900, lambda step: step % epoch < epoch // 3)  # 2 of 3 steps keep them
    assert not kept_gradients(900, lambda step: step % epoch >= epoch // 8)  # 1 of 8


def test_forwards_whose_graph_is_not_used_do_not_keep_the_doctor_looking(seen):
    with LoopDoctor(verbose=False):
        by_hand(200, lambda model: model(torch.randn(2)))
    assert len(seen().graphs) < 60


def test_long_work_after_a_forward_is_not_watched_to_its_end(seen):
    model = mlp(2, 8, 2)
    with LoopDoctor(verbose=False):
        for _ in range(2):
            out = model(torch.rand(4, 2))
            for _ in range(5000):
                out = out + 1
    assert 0 < seen().functions < 5000


def test_models_and_optimizers_are_let_go_after_the_loop():
    def alive():
        gc.collect()
        return [o for o in gc.get_objects() if issubclass(type(o), torch.optim.AdamW)]

    before = alive()  # of loops in other tests
    with LoopDoctor(verbose=False) as doctor:
        two_moons(epochs=1)
    assert len(alive()) == len(before) and doctor.findings == []


def test_a_search_over_many_models_does_not_keep_them_all_in_memory():
    X, y = moons(40, seed=0)
    models = weakref.WeakSet()
    with LoopDoctor(verbose=False):
        for _ in range(60):
            model = mlp(2, 8, 2)
            models.add(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(2):
                optimizer.zero_grad()
                F.cross_entropy(model(X), y).backward()
                optimizer.step()
        del model, optimizer
        gc.collect()
        assert len(models) <= 16


def test_a_loss_that_is_nan_from_the_first_step_breaks_no_check(monkeypatch):
    monkeypatch.setattr(watch, "STRICT", False)
    X, y = moons(400, seed=0)
    model = mlp(2, 8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with LoopDoctor(verbose=False) as doctor:
        for xb, yb in zip(X.split(16), y.split(16), strict=True):
            optimizer.zero_grad()
            (F.cross_entropy(model(xb), yb) + (xb[0, 0] - xb[0, 0]).log() * 0).backward()
            optimizer.step()
    assert [finding.bug for finding in doctor.findings] == ["nan-loss"] and not doctor.unchecked


# Reports -------------------------------------------------------------------------------------


def loop_without_zero_grad(epochs):
    X, y = moons(200, seed=0)
    model = mlp(2, 8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        print(f"epoch {epoch} begins")
        for xb, yb in DataLoader(TensorDataset(X, y), batch_size=50):
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()


def test_a_finding_is_printed_once_at_the_end_of_the_first_pass(capsys):
    with LoopDoctor() as doctor:
        loop_without_zero_grad(epochs=3)
    out = capsys.readouterr().out
    assert out.count("error: no-zero-grad") == 1
    assert out.index("no-zero-grad") < out.index("epoch 1 begins")
    [finding] = doctor.findings
    assert isinstance(finding, Finding)
    assert "3 of 4 steps" in finding.evidence
    assert finding.where.endswith("optimizer.step()") and "test_doctor.py, line" in finding.where
    doctor.report()
    assert capsys.readouterr().out.strip() == str(finding) == repr(doctor)


def test_the_html_report_escapes_the_learners_line():
    finding = Finding("nan-input", "error", "1 < 2", "fix <it>", "line 1: a < b")
    html = finding._repr_html_()
    assert "1 &lt; 2" in html and "fix &lt;it&gt;" in html and "<it>" not in html


def test_without_findings_the_report_says_what_was_watched(capsys):
    with LoopDoctor() as doctor:
        two_moons(epochs=2)
    assert "found nothing wrong (4 passes over the data, 24 forwards, 20 backwards" in repr(doctor)
    assert "found nothing wrong" in capsys.readouterr().out
    assert "found nothing wrong" in doctor._repr_html_()


# Exceptions ----------------------------------------------------------------------------------


def wrong_dtype():
    mlp(2, 4, 2)(torch.rand(8, 2, dtype=torch.float64))


def wrong_width():
    mlp(2, 4, 2)(torch.rand(8, 3))


def label_out_of_range():
    F.cross_entropy(mlp(2, 4, 2)(torch.rand(3, 2)), torch.tensor([0, 1, 2]))


def column_of_labels():
    F.cross_entropy(mlp(2, 4, 2)(torch.rand(3, 2)), torch.zeros(3, 1, dtype=torch.int64))


def float_labels():
    F.cross_entropy(mlp(2, 4, 2)(torch.rand(3, 2)), torch.zeros(3))


def bce_shapes():
    F.binary_cross_entropy_with_logits(mlp(2, 4, 1)(torch.rand(3, 2)), torch.zeros(3))


def bce_on_classes():
    F.binary_cross_entropy_with_logits(mlp(2, 4, 3)(torch.rand(5, 2)), torch.zeros(5, 1))


def bce_on_logits():
    F.binary_cross_entropy(10 * torch.ones(3), torch.zeros(3))


def bce_on_signs():
    F.binary_cross_entropy(0.5 * torch.ones(3), -torch.ones(3))


def carried_over():
    cell = torch.nn.RNNCell(2, 4)
    optimizer, hidden = torch.optim.SGD(cell.parameters(), lr=0.1), torch.zeros(3, 4)
    for _ in range(3):
        hidden = cell(torch.rand(3, 2), hidden)
        hidden.sum().backward(retain_graph=True)
        optimizer.step()


def detached_loss():
    F.cross_entropy(mlp(2, 4, 2)(torch.rand(3, 2)).detach(), torch.tensor([0, 1, 1])).backward()


def twice():
    loss = mlp(2, 4, 2)(torch.rand(3, 2)).pow(2).mean()
    loss.backward()
    loss.backward()


def xor_for_a_power():
    torch.rand(3) ^ 2


def empty_optimizer():
    torch.optim.SGD([], lr=0.1)


def dimension_too_many():
    torch.rand(3).mean(dim=1)


def other_device():
    mlp(2, 4, 2).to("meta")(torch.rand(3, 2))


@pytest.mark.parametrize(
    ("mistake", "help_"),
    [
        (wrong_dtype, "dtype=torch.float32"),
        (wrong_width, "in_features"),
        (label_out_of_range, "0 to C - 1"),
        (dimension_too_many, "print its shape"),
        (column_of_labels, r"yb.squeeze(1)"),
        (float_labels, "yb.long()"),
        (bce_shapes, "[N, 1] against [N]"),
        (bce_on_classes, "asks yes or no for every one"),
        (bce_on_logits, "BCEWithLogitsLoss"),
        (bce_on_signs, "number the two classes 0 and 1"),
        (carried_over, "hidden = hidden.detach(), and leave retain_graph out"),
        (detached_loss, "has no graph"),
        (twice, "hidden.detach()"),
        (xor_for_a_power, "x**2"),
        (empty_optimizer, "nn.ModuleList"),
        (other_device, "another on"),
        (other_device, "model.to(device)"),
    ],
)
def test_an_exception_goes_through_with_an_explanation(mistake, help_):
    with pytest.raises((RuntimeError, ValueError, IndexError)) as caught, LoopDoctor(verbose=False):
        mistake()
    assert help_ in "".join(getattr(caught.value, "__notes__", []))


def test_the_explanation_of_devices_names_those_of_the_message():
    message = "Expected all tensors to be on the same device, but found cuda:0 and cpu!"
    assert "one is on cuda:0, another on cpu" in explanation(RuntimeError(message))


def test_only_a_loss_is_said_to_dislike_the_type_of_its_labels():
    assert "labels" in explanation(RuntimeError("\"nll_loss_out_frame\" not implemented for 'Int'"))
    assert not explanation(RuntimeError("\"bitwise_and_cpu\" not implemented for 'Float'"))


@pytest.mark.parametrize(
    ("slip", "help_"),
    [
        (lambda model, X: model((X, X)), "for xb, yb in train_loader"),
        (lambda model, X: range([X]), "for xb, yb in train_loader"),
        (lambda model, X: DataLoader(X)[0], "for xb, yb in train_loader"),
        (lambda model, X: nn.CrossEntropyLoss()(model, X), "model(xb)"),
        (lambda model, X: X.long.squeeze(1), "parentheses are missing"),
        (lambda model, X: torch.optim.SGD(model.parameters()).step(X), "takes no loss"),
        (lambda model, X: X.numpy().flatten(start_dim=1), "torch.tensor(array)"),
        (lambda model, X: X.numpy().float(), "torch.tensor(array)"),
        (lambda model, X: torch.from_numpy(X), "a tensor already"),
        (lambda model, X: list(3), "for i in range(n)"),
        (lambda model, X: [].extend(0.5), "append"),
        (lambda model, X: X.to(float32), "torch.float32"),  # noqa: F821
    ],
)
def test_what_python_says_of_a_beginners_slip_is_explained(slip, help_):
    with pytest.raises((TypeError, AttributeError, NameError)) as caught:
        slip(mlp(2, 4, 2), torch.rand(3, 2))
    assert help_ in explanation(caught.value)


def test_an_unknown_exception_goes_through_as_it_is():
    with pytest.raises(ValueError, match="own") as caught, LoopDoctor(verbose=False):
        raise ValueError("own")
    assert not hasattr(caught.value, "__notes__")


# In a notebook -------------------------------------------------------------------------------

CELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "course_utils")
doctor = shell.run_cell_magic("doctor", "", '''
import torch
from torch import nn
model = nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(5):
    loss = nn.functional.cross_entropy(model(torch.rand(8, 2)), torch.randint(2, (8,)))
    loss.backward()
    optimizer.step()
''')
print(doctor.findings[0].bug, "|", doctor.findings[0].where, "|", "model" in shell.user_ns)
"""


def test_the_cell_magic_watches_a_cell(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", CELL], capture_output=True, text=True,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    # Counted as in the editor, where the magic's own line is the first.
    assert "no-zero-grad | line 10: optimizer.step() | True" in run.stdout, run.stdout + run.stderr
