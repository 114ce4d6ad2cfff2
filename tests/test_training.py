import math
import os
import re
import signal
import threading
import warnings
from contextlib import suppress
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    TensorDataset,
)

from course_utils import History, accuracy, evaluate, mlp, moons, tensor_loader, train, train_step
from course_utils import loaders as loaders_module
from tests.lessons import hand_written_loop

X, y = moons(200, seed=0)
LOSS = nn.CrossEntropyLoss()


def loaders(shuffle=True, batch_size=32):
    train_loader = tensor_loader(X[:160], y[:160], batch_size=batch_size, shuffle=shuffle)
    return train_loader, tensor_loader(X[160:], y[160:], batch_size=32)


def setting(seed=0, lr=0.1, optimizer=torch.optim.SGD, **options):
    torch.manual_seed(seed)
    model = mlp(2, 16, 2, dropout=0.2)
    return model, optimizer(model.parameters(), lr=lr, **options)


def run(epochs=3, val=True, **options):
    model, optimizer = setting()
    train_loader, val_loader = loaders()
    options = {"progress": False} | options
    history = train(
        model, train_loader, val_loader if val else None, LOSS, optimizer, epochs, **options
    )
    return model, history


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# The loop


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize(
    "make", [tensor_loader, lambda *t, **o: DataLoader(TensorDataset(*t), **o)]
)
def test_train_equals_the_hand_written_loop_of_lesson_05_bit_for_bit(optimizer, make):
    train_loader = make(X[:150], y[:150], batch_size=32, shuffle=True)
    val_loader = make(X[150:], y[150:], batch_size=32)
    mine, mine_optimizer = setting(optimizer=optimizer)
    by_hand = hand_written_loop(evaluate)(
        mine, train_loader, val_loader, LOSS, mine_optimizer, 4, "cpu"
    )
    model, model_optimizer = setting(optimizer=optimizer)
    history = train(
        model, train_loader, val_loader, LOSS, model_optimizer, 4, "cpu", progress=False
    )
    assert same_weights(mine, model)
    assert all(history[name] == by_hand[name] for name in by_hand)


def test_train_step_is_the_five_lines():
    model, optimizer = setting()
    other, other_optimizer = setting()
    model.eval(), other.eval()
    loss = train_step(model, X, y, LOSS, optimizer)
    other_optimizer.zero_grad()
    expected = LOSS(other(X), y)
    expected.backward()
    other_optimizer.step()
    assert torch.equal(loss, expected.detach()) and not loss.requires_grad
    assert same_weights(model, other)


def test_a_list_of_batches_is_a_loader():
    model, optimizer = setting()
    history = train(model, [(X, y)], [(X, y)], LOSS, optimizer, 2, progress=False)
    assert history.epochs == 2


def test_history_means_count_every_sample_once():
    model, optimizer = setting(lr=0.0)
    train_loader, _ = loaders(batch_size=100)  # 100 and 60
    model = mlp(2, 16, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    history = train(model, train_loader, None, LOSS, optimizer, 1, progress=False)
    with torch.no_grad():
        assert history["train_loss"][0] == pytest.approx(LOSS(model(X[:160]), y[:160]).item())


def test_evaluate_counts_every_sample_once_and_leaves_the_model_as_it_was():
    model = mlp(2, 16, 2, dropout=0.5)
    before = [parameter.clone() for parameter in model.parameters()]
    for mode in (True, False):
        model.train(mode)
        loss, share = evaluate(model, tensor_loader(X, y, batch_size=150), LOSS)
        assert model.training is mode
        model.eval()
        with torch.no_grad():
            assert loss == pytest.approx(LOSS(model(X), y).item())
            assert share == (model(X).argmax(dim=1) == y).double().mean().item()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_metric_sees_all_validation_data_at_once():
    seen = []

    def spread(logits, labels):
        seen.append((len(logits), len(labels)))
        return 0.25

    _, history = run(epochs=2, metric=spread)
    assert seen[-2:] == [(40, 40)] * 2  # before, it was tried on a single batch
    assert history["val_acc"] == [0.25, 0.25]
    assert all(map(math.isnan, run(epochs=2, metric=None)[1]["val_acc"]))


def test_a_loader_may_use_the_memory_of_its_batch_again():
    class Reusing:
        def __iter__(self):
            xb, yb = torch.empty(50, 2), torch.empty(50, dtype=torch.int64)
            for i in range(0, 200, 50):
                xb.copy_(X[i : i + 50]), yb.copy_(y[i : i + 50])
                yield xb, yb

    model = mlp(2, 16, 2)
    assert evaluate(model, Reusing(), LOSS) == evaluate(
        model, tensor_loader(X, y, batch_size=50), LOSS
    )


class Remembering(nn.Module):
    """Counts its calls, in every way there is, and carries a hidden state over."""

    def __init__(self):
        super().__init__()
        self.net, self.calls = mlp(2, 16, 2), 0
        self.list, self.dict, self.tensor = [], {"calls": 0}, torch.zeros(())
        self._before = None
        self.register_buffer("count", torch.zeros(()))

    def forward(self, xb):
        self.calls += 1
        self.count += 1
        self.list.append(0)
        self.dict["calls"] += 1
        self.tensor += 1
        hidden = self.net(xb) + getattr(self, "hidden", 0)
        hidden = hidden if self._before is None else hidden + self._before
        self.hidden = self._before = hidden.detach().mean(dim=0)
        calls = [self.calls, self.count, len(self.list), self.dict["calls"], self.tensor]
        return hidden / sum(calls)


def test_a_model_remembers_nothing_of_the_look_before_training():
    models = []
    for fit in (train, hand_written_loop(evaluate)):
        torch.manual_seed(0)
        models.append(Remembering())
        optimizer = torch.optim.SGD(models[-1].parameters(), lr=0.1)
        options = {"progress": False} if fit is train else {}
        batches = [(X[:100], y[:100]), (X[100:], y[100:])]
        fit(models[-1], batches, batches[:1], LOSS, optimizer, 2, "cpu", **options)
    mine, by_hand = models
    assert mine.calls == by_hand.calls == 6  # in each epoch two batches, and one to validate
    assert same_weights(mine, by_hand)


class Relative:
    """A loss in parts of its first value and of its moving average, which it keeps as a tensor."""

    def __init__(self):
        self.first, self.average, self.values = True, None, []

    def __call__(self, logits, labels):
        loss = LOSS(logits, labels)
        if self.first:
            self.start, self.first = loss.item(), False
        old = loss.detach() if self.average is None else self.average
        self.average = 0.9 * old + 0.1 * loss.detach()
        self.values.append(loss.item())
        return len(self.values) * (loss / self.start + loss / self.average)


def test_a_loss_remembers_nothing_of_the_look_before_training():
    models = []
    for fit in (train, hand_written_loop(evaluate)):
        torch.manual_seed(0)
        models.append(mlp(2, 16, 2))
        optimizer = torch.optim.SGD(models[-1].parameters(), lr=0.1)
        options = {"progress": False} if fit is train else {}
        fit(models[-1], [(X, y)], [(X, y)], Relative(), optimizer, 2, "cpu", **options)
    assert same_weights(*models)


class Bootstrapped:
    """A metric that draws rows, and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, logits, labels):
        self.calls += 1
        return torch.rand(()).item() + self.calls


def test_a_metric_remembers_nothing_of_the_look_before_training():
    model = mlp(2, 16, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(1)
    history = train(
        model, [(X, y)], [(X, y)], LOSS, optimizer, 2, "cpu", metric=Bootstrapped(), progress=False
    )
    torch.manual_seed(1)
    assert history["val_acc"] == [torch.rand(()).item() + calls for calls in (1, 2)]


class Growing(Sampler):
    """Gives more rows in every pass."""

    passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(range(20 * self.passes))

    def __len__(self):
        return 20 * (self.passes + 1)


def test_a_sampler_that_counts_its_passes_begins_with_the_first():
    sampler, model = Growing(), mlp(2, 16, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows = []
    loader = DataLoader(TensorDataset(X, y), sampler=sampler, batch_size=20)
    counted = [lambda *_: rows.append(20 * sampler.passes)]
    train(model, loader, None, LOSS, optimizer, 3, "cpu", callbacks=counted, progress=False)
    assert rows == [20, 40, 60]


def test_weights_that_the_forward_pass_itself_changes_are_left_alone_by_the_look():
    class Averaging(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.slow = mlp(2, 16, 2), nn.Parameter(torch.zeros(2), requires_grad=False)

        def forward(self, xb):
            self.slow += 1
            return self.net(xb) + self.slow

    model = Averaging()
    optimizer = torch.optim.SGD(model.net.parameters(), lr=0.1)
    train(model, [(X, y)], [(X, y)], LOSS, optimizer, 3, "cpu", progress=False)
    assert model.slow.tolist() == [6, 6]


# Accuracy


def test_accuracy_of_class_logits_and_of_single_logits():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1])) == 2 / 3
    single = torch.tensor([[1.0], [-1.0], [2.0], [-0.5]])
    labels = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    assert accuracy(single, labels) == 0.75
    assert accuracy(single[:, 0], labels[:, 0].long()) == 0.75


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(4, 1), torch.zeros(4)),  # would compare every output with every label
        (torch.zeros(4), torch.tensor([0.1, 2.0, 3.0, 1.5])),  # regression
        (torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_accuracy_refuses_what_it_would_count_wrongly(logits, labels):
    with pytest.raises(ValueError, match="accuracy compares"):
        accuracy(logits, labels)


def test_logits_that_are_nan_answer_nothing():
    labels = (torch.arange(10) % 5 == 0).long()
    logits = torch.eye(2)[labels]
    assert accuracy(logits, labels) == 1
    logits[0] = float("nan")
    assert accuracy(logits, labels) == 0.9
    assert accuracy(torch.full((10,), float("nan")), labels.float()) == 0


def test_an_accuracy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one answer"):
        accuracy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


# Losses that don't divide by the number of rows


WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0]))
SOME_IGNORED = torch.where(torch.arange(200) % 3 == 0, -100, y)


@pytest.mark.parametrize(
    ("loss_fn", "labels"),
    [
        (WEIGHTED, y),
        (WEIGHTED, SOME_IGNORED),
        (LOSS, SOME_IGNORED),
        (partial(nn.functional.cross_entropy, ignore_index=1), y),
        (nn.CrossEntropyLoss(label_smoothing=0.2, weight=torch.tensor([3.0, 1.0])), SOME_IGNORED),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(4.0)), y[:, None].float().expand(200, 2)),
    ],
)
def test_a_loss_over_batches_is_the_loss_over_all_rows(loss_fn, labels):
    model = mlp(2, 16, 2)
    loss, _ = evaluate(model, tensor_loader(X, labels, batch_size=7), loss_fn, metric=None)
    with torch.no_grad():
        assert loss == pytest.approx(loss_fn(model(X), labels).item(), rel=1e-5)


def test_a_batch_of_ignored_labels_counts_for_nothing(recwarn):
    labels = y.clone()
    labels[:32] = -100
    model, optimizer = setting()
    loader = tensor_loader(X, labels, batch_size=32)
    history = train(model, loader, loader, LOSS, optimizer, 3, progress=False)
    assert all(map(math.isfinite, history["train_loss"] + history["val_loss"]))
    assert not recwarn.list


def test_a_loss_without_a_value_is_not_blamed_on_weights_that_are_finite():
    def sometimes(logits, labels):
        return LOSS(logits, labels) * (math.nan if labels[0] == 1 else 1.0)

    batches = [(X[y == c], y[y == c]) for c in (0, 1)]
    model, _ = setting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.step = lambda: None  # so that no NaN reaches the weights
    with pytest.warns(UserWarning, match="All weights are still finite"):
        train(model, batches, None, sometimes, optimizer, 1, progress=False)


def test_clipping_shortens_the_gradient_of_all_that_is_trained():
    model, scale = mlp(2, 16, 2), nn.Parameter(torch.ones(()))
    start = [p.detach().clone() for p in (*model.parameters(), scale)]
    optimizer = torch.optim.SGD([*model.parameters(), scale], lr=1.0)
    train_step(model, X, y, lambda a, b: 1e3 * scale * LOSS(a, b), optimizer, max_grad_norm=0.01)
    moved = [a - b for a, b in zip(start, (*model.parameters(), scale), strict=True)]
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


# History


def test_history_has_one_row_for_each_epoch_in_every_column():
    _, history = run(epochs=4)
    assert list(history) == ["train_loss", "val_loss", "val_acc", "lr", "seconds"]
    assert {len(column) for column in history.values()} == {4} and history.epochs == 4
    frame = history.to_frame()
    assert frame.index.tolist() == [1, 2, 3, 4] and frame.columns.tolist() == list(history)
    assert history["val_loss"][history.best_epoch - 1] == min(history["val_loss"])
    assert f"lowest val_loss in epoch {history.best_epoch}" in repr(history)


def test_a_callback_may_keep_a_column_of_its_own(tmp_path):
    def norm(epoch, model, history):
        history.setdefault("norm", []).append(model[0].weight.norm().item())

    path = tmp_path / "run.pt"
    run(epochs=2, callbacks=[norm], checkpoint=path)
    _, history = run(epochs=3, callbacks=[norm], checkpoint=path)
    assert len(history["norm"]) == 3 == len(history.to_frame())
    history["norm"].pop()
    assert history.to_frame()["norm"].isna().tolist() == [False, False, True]


def test_without_validation_data_the_columns_are_nan_and_there_is_no_best_epoch():
    _, history = run(epochs=2, val=False)
    assert all(map(math.isnan, history["val_loss"] + history["val_acc"]))
    assert history.best_epoch is None and "lowest" not in repr(history)


# Options


def test_early_stopping_puts_the_best_weights_back():
    kept = []

    def keep(epoch, model, history):
        kept.append([parameter.detach().clone() for parameter in model.parameters()])

    model, optimizer = setting(lr=30)  # so high that it soon gets worse
    train_loader, val_loader = loaders()
    options = {"patience": 2, "callbacks": [keep], "progress": False}
    history = train(model, train_loader, val_loader, LOSS, optimizer, 50, **options)
    best = history.best_epoch
    assert best < history.epochs < 50 and history.epochs == best + 2
    assert all(torch.equal(a, b) for a, b in zip(kept[best - 1], model.parameters(), strict=True))
    assert evaluate(model, val_loader, LOSS)[0] == history["val_loss"][best - 1]


def test_schedulers_step_once_an_epoch_or_once_a_batch():
    for scheduler_step, expected in (
        ("epoch", [0.1, 0.05, 0.025]),
        ("batch", [0.1, 0.1 / 32, 0.1 / 1024]),
    ):
        model, optimizer = setting()
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        options = {"scheduler": scheduler, "scheduler_step": scheduler_step, "progress": False}
        history = train(model, *loaders(), LOSS, optimizer, 3, **options)
        assert history["lr"] == pytest.approx(expected)


def test_reduce_on_plateau_is_given_the_validation_loss():
    model, optimizer = setting(lr=30)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    history = train(model, *loaders(), LOSS, optimizer, 6, scheduler=scheduler, progress=False)
    assert history["lr"][-1] < 30
    assert scheduler.best == min(history["val_loss"])


def test_gradients_are_clipped_to_the_given_length():
    model, _ = setting()
    model.eval()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_step(model, X, y, LOSS, optimizer, max_grad_norm=0.01)
    moved = [a - b for a, b in zip(start, model.parameters(), strict=True)]
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_mixed_precision_on_the_cpu_computes_in_bfloat16_and_learns():
    seen = set()

    class Watched(nn.Module):
        def forward(self, logits, labels):
            seen.add(logits.dtype)
            return LOSS(logits, labels)

    model, optimizer = setting(lr=0.5)
    train_loader, val_loader = loaders()
    history = train(
        model, train_loader, val_loader, Watched(), optimizer, 5, "cpu", amp=True, progress=False
    )
    assert torch.bfloat16 in seen
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_callbacks_are_called_after_every_epoch_with_what_happened():
    calls = []
    model, history = run(
        epochs=3, callbacks=[lambda *args: calls.append((args[0], args[2].epochs, args[1]))]
    )
    assert calls == [(1, 1, model), (2, 2, model), (3, 3, model)]
    assert history.epochs == 3


def test_progress_is_shown_only_when_asked_for(capsys):
    run(epochs=2)
    assert capsys.readouterr() == ("", "")
    run(epochs=2, progress=True)
    assert "10/10" in capsys.readouterr().err


def test_a_validation_loss_without_a_value_is_said_once():
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    model[1].running_var.fill_(math.nan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="The validation loss became nan in epoch 1") as said:
        train(model, [(X, y)], [(X, y)], LOSS, optimizer, 3, progress=False)
    assert len(said) == 1


def test_divergence_is_said_once():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e20)
    batches = [(X, y[:, None].float())]
    with pytest.warns(UserWarning, match="training loss became") as caught:
        train(model, batches, None, nn.MSELoss(), optimizer, 8, metric=None, progress=False)
    assert [warning.filename for warning in caught] == [__file__]  # at the line that calls train


def test_a_callback_may_draw_random_numbers_and_change_the_rate_of_a_resumed_run(tmp_path):
    def meddle(epoch, model, history, stop_after=None):
        torch.rand(3)
        for group in optimizer.param_groups:
            group["lr"] /= 2
        if epoch == stop_after:
            raise ConnectionError

    results = []
    for path, stop_after in ((None, None), (tmp_path / "run.pt", 2), (tmp_path / "run.pt", None)):
        model, optimizer = setting()
        callback = partial(meddle, stop_after=stop_after)
        options = {"checkpoint": path, "callbacks": [callback], "progress": False}
        with suppress(ConnectionError):
            history = train(model, *loaders(), LOSS, optimizer, 5, **options)
            results.append((history["lr"], history["train_loss"]))
    assert len(results) == 2 and results[0] == results[1]


def test_a_loader_that_never_ends_is_pointed_out(monkeypatch):
    class Endless:
        def __iter__(self):
            while True:
                yield X, y

    def stop_soon(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(loaders_module, "_MANY", 3)
    model, optimizer = setting()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = stop_soon
        history = train(model, Endless(), None, LOSS, optimizer, 1, progress=False)
    assert history.epochs == 0


def test_a_loader_without_a_length_trains():
    class Stream(IterableDataset):
        def __iter__(self):
            return zip(X, y, strict=True)

    model, optimizer = setting()
    history = train(model, DataLoader(Stream(), batch_size=50), None, LOSS, optimizer, 2)
    assert history.epochs == 2


def test_the_learning_rate_is_recorded_as_a_number():
    model, _ = setting()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.02))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    history = train(model, *loaders(), LOSS, optimizer, 3, scheduler=scheduler, progress=False)
    assert history["lr"] == pytest.approx([0.02, 0.01, 0.005])


# Interrupting


class Interrupting:
    """A loader that behaves like Ctrl-C in the middle of its `epoch`-th pass."""

    def __init__(self, loader, epoch):
        self.loader, self.epoch = loader, epoch

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        self.epoch -= 1
        for number, batch in enumerate(self.loader):
            if self.epoch == 0 and number == 2:
                raise KeyboardInterrupt
            yield batch


def test_an_interrupt_leaves_history_weights_and_optimizer_at_the_last_finished_epoch(capsys):
    train_loader, val_loader = loaders()
    model, optimizer = setting(optimizer=torch.optim.AdamW, lr=0.01)
    history = train(
        model, Interrupting(train_loader, 4), val_loader, LOSS, optimizer, 9, progress=False
    )
    assert "end of epoch 3" in capsys.readouterr().out
    assert {len(column) for column in history.values()} == {3}
    assert evaluate(model, val_loader, LOSS)[0] == history["val_loss"][-1]
    assert {state["step"].item() for state in optimizer.state.values()} == {3 * len(train_loader)}

    other, other_optimizer = setting(optimizer=torch.optim.AdamW, lr=0.01)
    train(other, train_loader, val_loader, LOSS, other_optimizer, 3, progress=False)
    assert same_weights(model, other)


def test_a_metric_of_numpy_judges_a_run_in_16_bits_too():
    model, optimizer = setting()
    history = train(
        model, *loaders(), LOSS, optimizer, 1, "cpu", amp=torch.bfloat16, progress=False,
        metric=lambda logits, y: (logits.numpy().argmax(1) == y.numpy()).mean(),
    )  # fmt: skip
    assert history["val_acc"][0] > 0.5


def test_an_interrupt_in_the_first_epoch_leaves_everything_untouched():
    train_loader, val_loader = loaders()
    model, optimizer = setting()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    history = train(
        model, Interrupting(train_loader, 1), val_loader, LOSS, optimizer, 9, progress=False
    )
    assert history.epochs == 0 and history.best_epoch is None
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


# Failing in the middle


class Rows(Dataset):
    """Rows of two moons, of which number 77 is what `row` makes of it once it is `armed`."""

    def __init__(self, row):
        self.row, self.armed = row, True

    def __len__(self):
        return 160

    def __getitem__(self, index):
        if index == 77 and self.armed:
            return self.row(X[index], y[index])
        return X[index], y[index]


def unreadable(x, label):
    raise FileNotFoundError("no such picture")


FAILURES = [
    (lambda x, label: (x, label + 7), "batch 3 of train_loader has labels from 0 to 8"),
    (
        lambda x, label: (x[:1], label),
        "train_loader can't give batch 3 (RuntimeError: ",
    ),
    (unreadable, "train_loader can't give batch 3 (FileNotFoundError: no such picture)"),
]


@pytest.mark.parametrize(("row", "says"), FAILURES, ids=["label", "width", "file"])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*worker processes")
def test_a_bad_row_beyond_the_first_batch_is_named_and_the_state_put_back(row, says, workers):
    def arm(epoch, model, history):
        data.armed = True
        kept.append([p.detach().clone() for p in model.parameters()])
        kept.append(
            {i: state["step"].item() for i, state in optimizer.state_dict()["state"].items()}
        )

    kept, data = [], Rows(row)
    data.armed = False
    model, optimizer = setting(optimizer=torch.optim.AdamW)
    loader = DataLoader(data, batch_size=32, num_workers=workers)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        train(model, loader, None, LOSS, optimizer, 3, callbacks=[arm], progress=False)
    assert str(caught.value).endswith("history are as they were at the end of epoch 1.")
    assert "\n" not in str(caught.value)
    weights, steps = kept
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    state = optimizer.state_dict()["state"]
    assert steps == {i: state[i]["step"].item() for i in state} and all(
        layer.training for layer in model.modules()
    )


def test_a_bad_row_in_the_first_epoch_leaves_everything_untouched():
    for loaders_ in (
        (DataLoader(Rows(lambda x, label: (x, label * 0.5)), batch_size=77), None),
        ([(X, y)], DataLoader(Rows(lambda x, label: (x, label - 3)), batch_size=32)),
        (DataLoader(ConcatDataset([TensorDataset(X, y), TensorDataset(X, y + 7)]), batch_size=32), None),
        (DataLoader([(x, label + 7 * (i > 90)) for i, (x, label) in enumerate(zip(X, y, strict=True))], 32), None),
    ):  # fmt: skip
        model, optimizer = setting()
        before = [p.detach().clone() for p in model.parameters()]
        with pytest.raises(ValueError, match=r"batch \d of .*as they were before the call\."):
            train(model, *loaders_, LOSS, optimizer, 3, progress=False)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("late", "says"),
    [
        (
            lambda: torch.ones(3),
            r"metric can't judge all 40 rows \(TypeError: it returned a tensor \[3\]",
        ),
        (lambda: None, "it returned None"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_metric_that_can_not_judge_all_rows_is_said_and_the_state_put_back(late, says):
    model, optimizer = setting()
    before = [p.detach().clone() for p in model.parameters()]
    train_loader, val_loader = loaders()

    def metric(logits, labels):
        return 0.5 if len(labels) < 40 else late()

    with pytest.raises(ValueError, match=says):
        train(model, train_loader, val_loader, LOSS, optimizer, 2, metric=metric, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with pytest.raises(ValueError, match=says):
        evaluate(model, val_loader, LOSS, metric=metric)


def test_what_a_model_returns_in_training_alone_is_named():
    class Auxiliary(nn.Linear):
        def forward(self, xb):
            logits = super().forward(xb)
            return (logits, logits) if self.training else logits

    model = Auxiliary(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="must return one tensor, the logits; it returned a tuple"):
        train(model, [(X, y)], None, LOSS, optimizer, 1, progress=False)


def test_a_loader_that_is_empty_in_a_later_epoch_is_named():
    class Fading:
        """Gives its batch to the first epoch, and no more; of the look before it remembers nothing."""

        def __init__(self):
            self.batches = [[(X, y)]]

        def __iter__(self):
            yield from self.batches.pop() if self.batches else []

    model, optimizer = setting()
    with pytest.raises(
        ValueError, match=r"train_loader can't give batch 1 .*none this time.*epoch 1"
    ):
        train(model, Fading(), None, LOSS, optimizer, 3, progress=False)


def test_a_metric_may_return_a_tensor_with_a_graph(recwarn):
    _, history = run(epochs=1, metric=lambda logits, labels: torch.ones((), requires_grad=True))
    assert history["val_acc"] == [1.0] and not recwarn.list


def test_a_state_dict_may_leave_out_what_is_frozen():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.adapter = mlp(2, 8, 2).requires_grad_(False), nn.Linear(2, 2)

        def forward(self, xb):
            return self.base(xb) + self.adapter(xb)

        def state_dict(self, *args, **options):
            whole = super().state_dict(*args, **options)
            return {name: value for name, value in whole.items() if "base" not in name}

    def stop(epoch, model, history):
        raise LookupError("enough")

    model = Adapted()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train(model, *loaders(), LOSS, optimizer, 3, patience=1, progress=False)
    with pytest.raises(LookupError, match=r"^enough$"):
        train(model, *loaders(), LOSS, optimizer, 3, callbacks=[stop], progress=False)


def test_a_callbacks_own_exception_comes_out_as_it_is():
    def stop(epoch, model, history):
        kept.extend(parameter.detach().clone() for parameter in model.parameters())
        raise LookupError("enough")

    kept = []
    model, optimizer = setting()
    with pytest.raises(LookupError, match=r"^enough$"):
        train(model, *loaders(), LOSS, optimizer, 3, callbacks=[stop], progress=False)
    assert all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))


def test_an_interrupt_in_the_middle_of_an_evaluation_leaves_the_model_in_training_mode():
    class Pressing(nn.Module):
        """Ctrl-C while the layers are being put into evaluation mode, one after the other."""

        def __init__(self):
            super().__init__()
            self.layer, self.modes = nn.Linear(2, 2), modes

        def forward(self, xb):
            return self.layer(xb)

        def train(self, mode=True):
            super().train(mode)
            self.modes.append(mode)
            if not mode and True in self.modes:  # the epoch has begun
                raise KeyboardInterrupt
            return self

    torch.manual_seed(0)
    modes = []
    model = Pressing()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = train(model, *loaders(), LOSS, optimizer, 3, progress=False)
    assert history.epochs == 0
    assert all(layer.training for layer in model.modules())


def test_an_interrupt_while_the_best_weights_are_put_back_is_no_error_and_leaves_them():
    class Pressing(nn.Linear):
        pressed = False

        def load_state_dict(self, state_dict, **options):
            super().load_state_dict(state_dict, **options)
            if not self.pressed:
                self.pressed = True
                raise KeyboardInterrupt

    def go(kind):
        torch.manual_seed(0)
        model = kind(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=30.0)
        options = {"patience": 3, "progress": False}
        return model, train(model, *loaders(), LOSS, optimizer, 6, **options)

    model, history = go(Pressing)
    assert model.pressed and history.best_epoch < history.epochs
    assert same_weights(model, go(nn.Linear)[0])


def test_an_interrupt_right_after_a_switch_leaves_gradients_and_autocast_as_they_were():
    """Before the block is entered that would switch back: no gradients, and autocast for good."""

    def press(*_):
        torch.autocast("cpu", torch.bfloat16).__enter__()
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    models = []
    for callbacks in ([], [press], []):
        model, optimizer = setting()
        options = {"amp": True, "callbacks": callbacks, "progress": False}
        history = train(model, *loaders(), LOSS, optimizer, 3, "cpu", **options)
        assert history.epochs == (1 if callbacks else 3)
        assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
        models.append(model)
    assert same_weights(models[0], models[2])


def test_a_real_ctrl_c_returns_the_history():
    def press_soon(epoch, model, history):
        if epoch == 3:  # somewhere in the epochs that follow
            threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    train_loader, val_loader = loaders()
    model, optimizer = setting()
    options = {"callbacks": [press_soon], "progress": False}
    history = train(model, train_loader, val_loader, LOSS, optimizer, 1_000_000, **options)
    assert 3 <= history.epochs < 1_000_000
    assert evaluate(model, val_loader, LOSS)[0] == history["val_loss"][-1]


def test_history_is_a_dict_of_lists_that_starts_empty():
    assert History() == {"train_loss": [], "val_loss": [], "val_acc": [], "lr": [], "seconds": []}


@pytest.mark.parametrize("label", [2, 7, -1])
def test_accuracy_refuses_labels_that_are_no_classes(label):
    with pytest.raises(ValueError, match="class numbers from 0 to 1"):
        accuracy(torch.randn(3, 2), torch.tensor([0, 1, label]))
