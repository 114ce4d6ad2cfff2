import math
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    Subset,
    TensorDataset,
    default_collate,
)

from course_utils import checkpoints, mlp, moons, tensor_loader, train

X, y = moons(160, seed=0)
LOSS = nn.CrossEntropyLoss()


def run(checkpoint=None, epochs=6, stop_after=None, width=16, lr=0.02, T_max=6, **options):
    """A run with everything that draws random numbers or carries state from epoch to epoch."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = mlp(2, width, 2, dropout=0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max)
    generator = torch.Generator().manual_seed(1)
    train_loader = tensor_loader(X[:120], y[:120], batch_size=16, shuffle=True, generator=generator)
    val_generator = torch.Generator().manual_seed(2)
    val_loader = tensor_loader(
        X[120:], y[120:], batch_size=16, shuffle=True, generator=val_generator
    )

    def stop(epoch, model, history):
        if epoch == stop_after:
            raise ConnectionError("the machine went away")

    options = {"scheduler": scheduler, "patience": 4, "callbacks": [stop]} | options
    history = train(
        model, train_loader, val_loader, LOSS, optimizer, epochs,
        checkpoint=checkpoint, progress=False, **options,
    )  # fmt: skip
    return model, history


def measured(history):
    return {name: values for name, values in history.items() if name != "seconds"}


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_that_was_stopped_and_called_again_equals_an_unbroken_one(tmp_path, stop_after):
    model, history = run()
    path = tmp_path / "run.pt"
    with pytest.raises(ConnectionError):
        run(path, stop_after=stop_after)
    torch.rand(7), random.random(), np.random.rand()  # a new process starts elsewhere
    resumed, resumed_history = run(path)
    assert measured(resumed_history) == measured(history)
    assert same_weights(model, resumed)


def test_resuming_says_where_it_goes_on(tmp_path, capsys):
    run(tmp_path / "run.pt", epochs=2)
    assert capsys.readouterr().out == ""
    run(tmp_path / "run.pt", epochs=3)
    assert "Going on after epoch 2, from" in capsys.readouterr().out
    for epochs in (3, 1):  # no more than it has had
        _, history = run(tmp_path / "run.pt", epochs=epochs)
        said = f"Nothing to train: epochs={epochs}, and the run in {tmp_path / 'run.pt'} has had 3."
        assert history.epochs == 3 and said in capsys.readouterr().out


def test_a_learning_rate_from_numpy_can_be_saved_and_loaded(tmp_path):
    for _ in range(2):
        _, history = run(tmp_path / "run.pt", lr=np.logspace(-2, -1, 3)[1])
    assert history.epochs == run(lr=np.logspace(-2, -1, 3)[1])[1].epochs


def test_a_generator_inside_a_batch_sampler_belongs_to_the_state(tmp_path):
    def go(path, stop_after):
        torch.manual_seed(0)
        sampler = RandomSampler(range(160), generator=torch.Generator().manual_seed(3))
        loader = DataLoader(TensorDataset(X, y), batch_sampler=BatchSampler(sampler, 16, False))
        model = mlp(2, 8, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def stop(epoch, model, history):
            if epoch == stop_after:
                raise ConnectionError

        options = {"checkpoint": path, "callbacks": [stop], "progress": False}
        return train(model, loader, None, LOSS, optimizer, 4, **options)

    with pytest.raises(ConnectionError):
        go(tmp_path / "run.pt", 2)
    assert go(tmp_path / "run.pt", None)["train_loss"] == go(None, None)["train_loss"]


class Noisy(Dataset):
    """Rows with noise from generators of its own, of NumPy's two kinds, Python's and PyTorch's."""

    def __init__(self):
        self.numpy, self.old = np.random.default_rng(0), np.random.RandomState(0)
        self.python, self.torch = random.Random(0), torch.Generator().manual_seed(0)

    def __len__(self):
        return 60

    def __getitem__(self, index):
        noise = self.numpy.normal() + self.old.normal() + self.python.random()
        return X[index] + float(noise) + torch.rand(1, generator=self.torch), y[index]


class ByItself(Sampler):
    """Shuffles with a generator that has another name than PyTorch's own."""

    def __init__(self):
        self.rng = np.random.default_rng(1)

    def __len__(self):
        return 60

    def __iter__(self):
        return iter(self.rng.permutation(60).tolist())


_RNG = np.random.default_rng(3)  # as in a notebook, where all is global


def jittered(rows):
    xb, yb = default_collate(rows)
    return xb + float(_RNG.normal()), yb


def _shift():
    return float(_RNG.normal())


class Shifted(Noisy):
    """A function that it calls draws, in a comprehension."""

    @staticmethod
    def shifted(x):
        return torch.stack([value + _shift() for value in x])

    def __getitem__(self, index):
        return self.shifted(X[index]), y[index]


class Slotted:
    __slots__ = ("rng",)

    def __init__(self):
        self.rng = random.Random(0)

    def __call__(self, rows):
        xb, yb = default_collate(rows)
        return xb + self.rng.random(), yb


def by_name(rng):
    def collate(rows, *, rng=rng):
        xb, yb = default_collate(rows)
        return xb + rng.random(), yb

    return collate


def closing_over(rng):
    class Loader:
        def __iter__(self):
            yield X + rng.random(), y

    return Loader()


LOADERS = {
    "a data set's own generators": lambda: DataLoader(Noisy(), batch_size=20, shuffle=True),
    "a sampler's own generator": lambda: DataLoader(Noisy(), batch_size=20, sampler=ByItself()),
    "a subset of it": lambda: DataLoader(Subset(Noisy(), range(40)), batch_size=20),
    "a global generator": lambda: DataLoader(
        TensorDataset(X[:60], y[:60]), batch_size=20, collate_fn=jittered
    ),
    "a global generator, two calls away": lambda: DataLoader(Shifted(), batch_size=20),
    "slots": lambda: DataLoader(
        TensorDataset(X[:60], y[:60]), batch_size=20, collate_fn=Slotted()
    ),
    "an argument by name": lambda: DataLoader(
        TensorDataset(X[:60], y[:60]), batch_size=20, collate_fn=by_name(random.Random(0))
    ),
    "closed over by a method": lambda: closing_over(random.Random(0)),
    "workers that live on": lambda: DataLoader(
        TensorDataset(X[:60], y[:60]), batch_size=20, shuffle=True,
        num_workers=1, persistent_workers=True,
    ),
}  # fmt: skip


def short_run(path, epochs, loader, loss_fn=LOSS, **options):
    torch.manual_seed(0)
    _RNG.bit_generator.state = np.random.default_rng(3).bit_generator.state
    model = mlp(2, 8, 2)
    held = [*model.parameters(), *getattr(loss_fn, "parameters", list)()]
    optimizer = torch.optim.SGD(held, lr=0.3)
    options = {"checkpoint": path, "progress": False} | options
    return train(model, loader, None, loss_fn, optimizer, epochs, **options), model


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.filterwarnings("ignore:.*worker processes")
def test_random_numbers_wherever_they_are_drawn_belong_to_the_state(tmp_path, name):
    unbroken, _ = short_run(None, 4, LOADERS[name]())
    short_run(tmp_path / "run.pt", 2, LOADERS[name]())
    resumed, _ = short_run(tmp_path / "run.pt", 4, LOADERS[name]())
    assert measured(resumed) == measured(unbroken) or math.isnan(unbroken["val_loss"][0])
    assert resumed["train_loss"] == unbroken["train_loss"]


@pytest.mark.filterwarnings("ignore:.*worker processes")
def test_random_numbers_in_workers_that_live_on_are_warned_about(tmp_path):
    loader = DataLoader(Noisy(), batch_size=20, num_workers=1, persistent_workers=True)
    with pytest.warns(UserWarning, match="persistent_workers=False it will be the same") as said:
        short_run(tmp_path / "run.pt", 1, loader)
    assert {warning.filename for warning in said} == {__file__}


class Scaled(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits * self.scale, labels)


def test_the_parameters_of_a_loss_belong_to_the_state(tmp_path):
    loader = tensor_loader(X, y, batch_size=40, shuffle=True)
    losses = [Scaled(), Scaled(), Scaled()]
    unbroken, _ = short_run(None, 4, loader, losses[0])
    short_run(tmp_path / "run.pt", 2, loader, losses[1])
    resumed, _ = short_run(tmp_path / "run.pt", 4, loader, losses[2])
    assert resumed["train_loss"] == unbroken["train_loss"]
    assert torch.equal(losses[0].scale, losses[2].scale) and losses[2].scale != 1


class Table(torch.optim.lr_scheduler.LRScheduler):
    def __init__(self, optimizer, table):
        self.table = table
        super().__init__(optimizer)

    def get_lr(self):
        return [float(self.table[self.last_epoch])] * len(self.optimizer.param_groups)


class Counting(nn.Linear):
    """A model with an array as extra state, changed in place."""

    def __init__(self):
        super().__init__(2, 2)
        self.seen = np.zeros(2)

    def forward(self, xb):
        self.seen += self.training
        return super().forward(xb)

    def get_extra_state(self):
        return self.seen

    def set_extra_state(self, state):
        self.seen = state


def test_numpy_in_optimizers_schedules_and_models_can_be_saved_and_loaded(tmp_path):
    schedules = torch.optim.lr_scheduler
    cases = [
        (lambda m: torch.optim.AdamW(m.parameters(), betas=(np.float64(0.9), np.float64(0.99))), None),
        (None, lambda o: schedules.MultiStepLR(o, np.array([1, 3]))),
        (None, lambda o: Table(o, np.linspace(0.1, 0.01, 10))),
    ]  # fmt: skip
    for number, (optimizer_of, schedule_of) in enumerate(cases):
        lasts = []
        for path, epochs in (
            (None, 4),
            (tmp_path / f"{number}.pt", 2),
            (tmp_path / f"{number}.pt", 4),
        ):
            torch.manual_seed(0)
            model = Counting()
            optimizer = (optimizer_of or (lambda m: torch.optim.SGD(m.parameters(), lr=0.1)))(model)
            schedule = schedule_of and schedule_of(optimizer)
            options = {"scheduler": schedule, "checkpoint": path, "progress": False}
            history = train(model, [(X, y)], None, LOSS, optimizer, epochs, **options)
            lasts.append((history["lr"], history["train_loss"], model.seen.tolist()))
        assert lasts[0] == lasts[2]
        assert type(model.seen) is np.ndarray


def test_what_a_file_can_not_hold_is_said_before_training(tmp_path):
    class Policy:
        pass

    model = mlp(2, 8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight.clone()
    with pytest.raises(ValueError, match="can't hold 'table' of the scheduler, which is a Policy"):
        train(
            model, [(X, y)], None, LOSS, optimizer, 1, progress=False,
            scheduler=TableOf(optimizer, Policy()), checkpoint=tmp_path / "run.pt",
        )  # fmt: skip
    assert torch.equal(before, model[0].weight) and not list(tmp_path.iterdir())


class TableOf(Table):
    def get_lr(self):
        return [0.1]


def test_flipped_bits_are_noticed_or_harmless(tmp_path):
    path = tmp_path / "run.pt"
    short_run(path, 1, [(X, y)])
    whole, expected = path.read_bytes(), short_run(None, 2, [(X, y)])[0]["train_loss"]
    draw, refused = random.Random(0), 0
    for _ in range(40):
        place, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        try:
            assert short_run(path, 2, [(X, y)])[0]["train_loss"] == expected
        except ValueError as error:
            refused += "is damaged" in str(error)
    assert refused > 10


def test_a_link_stays_a_link_and_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "far").mkdir()
    (tmp_path / "run.pt").symlink_to(tmp_path / "far" / "real.pt")
    run("~/run.pt", epochs=1)
    assert (tmp_path / "run.pt").is_symlink() and (tmp_path / "far" / "real.pt").is_file()
    assert run("~/run.pt", epochs=2)[1].epochs == 2
    assert [file.name for file in (tmp_path / "far").iterdir()] == ["real.pt"]


def write_again_and_again(path, seconds):
    content, end = {"a": torch.zeros(100_000)}, time.monotonic() + seconds
    while time.monotonic() < end:
        checkpoints._write_atomically(content, path)


@pytest.mark.skipif(os.name != "posix", reason="two writers are started by forking")
def test_two_processes_with_one_file_never_leave_it_broken(tmp_path):
    path = tmp_path / "run.pt"
    write_again_and_again(path, 0)
    checkpoints._write_atomically({"a": torch.zeros(1)}, path)
    writers = [
        multiprocessing.get_context("fork").Process(target=write_again_and_again, args=(path, 1.5))
        for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        torch.load(path, weights_only=True)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_finished_run_called_again_returns_its_result_at_once(tmp_path):
    model, history = run(tmp_path / "run.pt")
    again, again_history = run(tmp_path / "run.pt")
    assert dict(again_history) == dict(history) and same_weights(model, again)


def test_a_checkpoint_without_its_random_state_resumes_to_something_else(tmp_path):
    """The test above can fail: dropping one part of the state is enough."""
    path = tmp_path / "run.pt"
    with pytest.raises(ConnectionError):
        run(path, stop_after=3)
    content = torch.load(path, weights_only=True)
    content["random"][0]["torch"] = torch.Generator().manual_seed(5).get_state()
    torch.save(content, path)
    assert measured(run(path)[1]) != measured(run()[1])


def test_schedulers_and_plateaus_survive(tmp_path):
    schedulers = torch.optim.lr_scheduler
    for make in (
        lambda optimizer: schedulers.OneCycleLR(optimizer, 0.1, total_steps=48),
        lambda optimizer: schedulers.SequentialLR(
            optimizer,
            [
                schedulers.LinearLR(optimizer, total_iters=2),
                schedulers.CosineAnnealingLR(optimizer, 4),
            ],
            milestones=[2],
        ),
        schedulers.ReduceLROnPlateau,
    ):
        results = []
        for path, stops in (
            (None, [None]),
            (tmp_path / f"{len(list(tmp_path.iterdir()))}.pt", [3, None]),
        ):
            for stop_after in stops:
                torch.manual_seed(0)
                model = mlp(2, 8, 2, dropout=0.3)
                optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
                scheduler = make(optimizer)
                per_batch = isinstance(scheduler, schedulers.OneCycleLR)

                def stop(epoch, model, history, stop_after=stop_after):
                    if epoch == stop_after:
                        raise ConnectionError

                loader = tensor_loader(X[:128], y[:128], batch_size=16, shuffle=True)
                try:
                    history = train(
                        model, loader, [(X[128:], y[128:])], LOSS, optimizer, 6,
                        scheduler=scheduler, scheduler_step="batch" if per_batch else "epoch",
                        checkpoint=path, callbacks=[stop], progress=False,
                    )  # fmt: skip
                except ConnectionError:
                    continue
                results.append(measured(history))
        assert results[0] == results[1]


@pytest.mark.parametrize("interrupted", [1, 2])
def test_a_schedule_that_was_stepped_here_goes_on_from_the_checkpoint(tmp_path, interrupted):
    """As in a notebook, where a cell is run again after Ctrl-C, and again after the end."""
    model = mlp(2, 8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=32)
    loader = tensor_loader(X[:128], y[:128], batch_size=16, shuffle=True)
    interrupts = {interrupted}

    def interrupt(epoch, model, history):
        history.setdefault("own", []).append(epoch)
        if epoch in interrupts:
            interrupts.remove(epoch)
            raise KeyboardInterrupt

    for epochs in (interrupted - 1, 4, 4):  # the file has no more when the callbacks are called
        history = train(
            model, loader, None, LOSS, optimizer, 4, scheduler=scheduler, scheduler_step="batch",
            checkpoint=tmp_path / "run.pt", callbacks=[interrupt], progress=False,
        )  # fmt: skip
        assert history.epochs == epochs and scheduler.last_epoch == 8 * epochs
        assert {len(column) for column in history.values()} == {epochs}


def train_until_patience_runs_out(path):
    """A run that early stopping ends; its result is left in a file beside the checkpoint."""
    multiprocessing.set_start_method("fork", force=True)  # tqdm's lock shall not outlive a kill
    model, history = run(path, epochs=100_000, T_max=400, patience=40)
    torch.save([measured(history), model.state_dict()], f"{path}.result")


def result(path):
    history, weights = torch.load(f"{path}.result", weights_only=True)
    return history, {name: tensor.tolist() for name, tensor in weights.items()}


@pytest.mark.skipif(os.name != "posix", reason="starting 20 processes is quick only by forking")
def test_a_run_killed_twenty_times_at_random_moments_ends_bit_identical(tmp_path):
    # Forked from a server that has torch loaded, each process starts at once.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "torch._dynamo"])

    def start(function, *args):
        process = processes.Process(target=function, args=args)
        process.start()
        return process

    start(os.getpid).join()  # now the server is warm
    started = time.monotonic()
    start(train_until_patience_runs_out, tmp_path / "unbroken.pt").join()
    seconds = time.monotonic() - started
    expected = result(tmp_path / "unbroken.pt")
    assert 40 < len(expected[0]["val_loss"]) < 100_000

    draw = random.Random(0)
    kills, path = 0, tmp_path / "0.pt"
    while kills < 20:
        process = start(train_until_patience_runs_out, path)
        process.join(timeout=draw.random() * seconds * (kills + 1) / 100)  # the first ones early
        part = path.with_name(f"{path.name}.{process.pid}.part")
        while kills % 4 == 0 and process.is_alive() and not part.exists():
            pass  # every fourth is killed while it writes
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            kills += 1
        else:  # it ended before it could be killed: look at its result, and begin another run
            assert process.exitcode == 0 and result(path) == expected
            path = tmp_path / f"{kills}.pt"
    start(train_until_patience_runs_out, path).join()
    assert result(path) == expected
    assert not list(tmp_path.glob("*.part"))


def test_the_file_is_replaced_atomically_and_nothing_else_is_left(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    run(path, epochs=1)
    before = path.read_bytes()

    def power_cut(*_):
        raise SystemExit("power cut before the rename")

    monkeypatch.setattr(os, "replace", power_cut)
    with pytest.raises(SystemExit):
        run(path, epochs=3)
    assert path.read_bytes() == before
    monkeypatch.undo()
    run(path, epochs=3)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_full_disk_costs_the_checkpoint_but_not_the_training(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(
        UserWarning, match=r"could not be written \(No space left on device\)"
    ) as said:
        _, history = run(tmp_path / "run.pt", epochs=2)
    assert history.epochs == 2
    assert {warning.filename for warning in said} == {__file__}  # at the line that calls train
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission_costs_the_checkpoint_but_not_the_training(
    tmp_path, monkeypatch
):
    def denied(*_):  # the real thing would not stop root, as whom tests run in containers
        raise PermissionError(13, "Permission denied")

    def take_away(epoch, model, history):
        monkeypatch.setattr(checkpoints, "open", denied, raising=False)

    path = tmp_path / "run.pt"
    run(path, epochs=1)
    before = path.read_bytes()
    with pytest.warns(UserWarning, match=r"could not be written \(Permission denied\)"):
        _, history = run(path, epochs=3, callbacks=[take_away])
    assert history.epochs == 3
    assert path.read_bytes() == before


def test_a_file_that_can_not_be_written_is_said_before_training(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "run.pt"
    run(path, epochs=2)
    monkeypatch.setattr(checkpoints.Path, "touch", denied)
    for name, epochs in (("new.pt", 2), ("run.pt", 3)):
        with pytest.raises(ValueError, match=r"can't be written \(Permission denied\). Choose"):
            run(tmp_path / name, epochs=epochs)
    assert run(path, epochs=2)[1].epochs == 2  # nothing to train, nothing to write


def test_a_callback_may_go_to_another_folder(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    run("run.pt", epochs=2, callbacks=[lambda *_: os.chdir(tmp_path / "other")])
    assert (tmp_path / "run.pt").exists() and not list((tmp_path / "other").iterdir())


def test_a_folder_that_vanishes_costs_the_checkpoint_but_not_the_training(tmp_path):
    folder = tmp_path / "drive"
    folder.mkdir()

    def pull_the_plug(epoch, model, history):
        shutil.rmtree(folder, ignore_errors=True)

    with pytest.warns(UserWarning, match=r"could not be written \(No such file or directory\)"):
        _, history = run(folder / "run.pt", epochs=2, callbacks=[pull_the_plug])
    assert history.epochs == 2


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "run.pt"
    if content is None:
        run(path, epochs=1)
        content = path.read_bytes()[:-500]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint of this course, or is damaged"):
        run(path)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_run_is_refused_with_a_reason(tmp_path):
    path = tmp_path / "run.pt"
    run(path, epochs=1)
    with pytest.raises(ValueError, match="other layers or widths"):
        run(path, width=8)
    with pytest.raises(ValueError, match="its scheduler was CosineAnnealingLR, here it is none"):
        run(path, scheduler=None)
    with pytest.raises(ValueError, match=r"optimizer's lr was 0\.02, here it is 0\.5"):
        run(path, lr=0.5)
    with pytest.raises(ValueError, match="patience was set, here it is not set"):
        run(path, patience=None)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format": 3}, path)
    with pytest.raises(ValueError, match="another version of this course"):
        run(path)
    torch.save({"model": {}}, path)
    with pytest.raises(ValueError, match="not a checkpoint of this course"):
        run(path)


def other_run(path, act=None, drop=0.1, labels=y, rows=160, batch_size=16, loss_fn=LOSS, group_lr=0.1,
              gamma=0.5, metric=None, model=None):  # fmt: skip
    torch.manual_seed(0)
    if model is None:
        act = act or nn.ReLU()
        model = nn.Sequential(nn.Linear(2, 8), act, nn.Dropout(drop), nn.Linear(8, 2))
    groups = [
        {"params": model[0].parameters()},
        {"params": model[3].parameters(), "lr": group_lr},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma)
    loader = tensor_loader(X[:rows], labels[:rows], batch_size=batch_size, shuffle=True)
    options = {"scheduler": schedule, "metric": metric, "checkpoint": path, "progress": False}
    return train(model, loader, None, loss_fn, optimizer, 2, **options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": 1 - y}, "train_loader's labels"),
        ({"rows": 150}, "train_loader's length was 160, here it is 150"),
        ({"batch_size": 50}, "batch_size was 16, here it is 50"),
        ({"act": nn.Tanh()}, r"layer 1 was ReLU\(\), here it is Tanh\(\)"),
        ({"act": nn.LeakyReLU(0.2)}, "layer 1 was ReLU"),
        ({"drop": 0.9}, "layer 2 was Dropout"),
        ({"loss_fn": nn.CrossEntropyLoss(label_smoothing=0.3)}, "label_smoothing was 0.0"),
        ({"loss_fn": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0]))}, "loss_fn's weight"),
        ({"loss_fn": lambda a, b: LOSS(a, b)}, "loss_fn"),
        ({"group_lr": 0.7}, "parameter group 1's initial_lr was 0.1, here it is 0.7"),
        ({"gamma": 0.9}, "scheduler's gamma was 0.5, here it is 0.9"),
        ({"metric": lambda a, b: 0.0}, "metric was None, here it is <lambda>"),
    ],
)
def test_another_run_is_not_taken_for_this_one(tmp_path, change, says):
    path = tmp_path / "run.pt"
    if "weight" in says:
        other_run(path, loss_fn=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0])))
    else:
        other_run(path)
    with pytest.raises(ValueError, match=f"another run: its .*{says}"):
        other_run(path, **change)


def test_a_schedule_by_another_function_is_another_run(tmp_path):
    def go(function):
        model = mlp(2, 8, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, function)
        options = {"scheduler": schedule, "checkpoint": tmp_path / "run.pt", "progress": False}
        return train(model, [(X, y)], None, LOSS, optimizer, 2, **options)

    go(lambda epoch: 0.9**epoch)
    go(lambda epoch: 0.9**epoch)
    with pytest.raises(ValueError, match="scheduler's function 0's code"):
        go(lambda epoch: 0.5**epoch)


def test_two_functions_of_one_name_are_not_taken_for_each_other(tmp_path):
    path = tmp_path / "run.pt"
    smooth = 0.1

    def make(smoothing):
        return lambda logits, labels: nn.functional.cross_entropy(
            logits, labels, label_smoothing=smoothing
        )

    other_run(path, loss_fn=make(smooth))
    assert other_run(path, loss_fn=make(smooth)).epochs == 2
    with pytest.raises(ValueError, match=r"loss_fn's values was 0\.1, here it is 0\.4"):
        other_run(path, loss_fn=make(0.4))
    with pytest.raises(ValueError, match="loss_fn's code"):
        other_run(path, loss_fn=lambda logits, labels: LOSS(2 * logits, labels))


def _weighed(weight):
    loss = nn.CrossEntropyLoss(weight=weight)
    return lambda logits, labels: loss(logits, labels)


class _Scaled:
    def __init__(self, factor):
        self.factor = factor

    def loss(self, logits, labels):
        return self.factor * LOSS(logits, labels)


def _by_default(factor):
    def loss(logits, labels, *, factor=factor):
        return factor * LOSS(logits, labels)

    return loss


class _Acting(nn.Module):
    def __init__(self, act, bend=None):
        super().__init__()
        self.act, self.bend = act, bend
        self.register_buffer("scale", torch.tensor(1.0 if bend is None else bend), persistent=False)

    def forward(self, x):
        return self.act(x) * self.scale


class _Noisy(torch.utils.data.Dataset):
    def __init__(self, spread):
        self.spread = spread

    def __len__(self):
        return 160

    def __getitem__(self, i):
        noise = torch.randn(2)
        return X[i] + (self.spread(noise) if callable(self.spread) else self.spread * noise), y[i]


def _collate(shift):
    def collate(rows):
        xs, ys = zip(*rows, strict=True)
        return torch.stack(xs) + shift, torch.stack(ys)

    return collate


def _drawn(weights):
    return torch.utils.data.WeightedRandomSampler(weights, 160)


FEW, MANY = torch.tensor([1.0, 1.0]), torch.tensor([1.0, 9.0])
ROWS = torch.utils.data.TensorDataset(X[:160], y[:160])


@pytest.mark.parametrize(
    ("part", "then", "now", "says"),
    [
        ("loss_fn", nn.CrossEntropyLoss, partial(nn.CrossEntropyLoss, MANY), "loss_fn's weight"),
        ("loss_fn", partial(nn.CrossEntropyLoss, MANY), nn.CrossEntropyLoss, "loss_fn's weight"),
        ("loss_fn", partial(_weighed, FEW), partial(_weighed, MANY), "loss_fn's values"),
        ("loss_fn", lambda: _Scaled(1).loss, lambda: _Scaled(2).loss, "loss_fn's object"),
        ("loss_fn", partial(_by_default, 1), partial(_by_default, 2), "loss_fn's values was 1"),
        (
            "act",
            partial(_Acting, torch.relu),
            partial(_Acting, torch.tanh),
            "layer 1's act was relu",
        ),
        (
            "act",
            partial(_Acting, torch.relu),
            partial(_Acting, torch.relu, 0.5),
            "layer 1's scale was 1.0",
        ),
        ("dataset", partial(_Noisy, 0.1), partial(_Noisy, 2.0), "dataset's spread was 0.1"),
        ("dataset", lambda: _Noisy(torch.relu), lambda: _Noisy(torch.tanh), "spread was relu"),
        ("collate_fn", partial(_collate, 0), partial(_collate, 5), "collate_fn was collate"),
        (
            "sampler",
            partial(_drawn, [1.0] * 160),
            partial(_drawn, [1.0, 3.0] * 80),
            "sampler's weights",
        ),
    ],
)
def test_what_is_held_inside_belongs_to_the_run(tmp_path, part, then, now, says):
    def go(make, epochs):
        torch.manual_seed(0)
        parts = {"loss_fn": LOSS, "act": nn.ReLU(), "dataset": ROWS, part: make()}
        loss_fn, act = parts.pop("loss_fn"), parts.pop("act")
        model = nn.Sequential(nn.Linear(2, 8), act, nn.Linear(8, 2))
        loader = torch.utils.data.DataLoader(batch_size=16, **parts)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        options = {"checkpoint": tmp_path / "run.pt", "progress": False}
        return train(model, loader, None, loss_fn, optimizer, epochs, **options)

    go(then, 1)
    assert go(then, 2).epochs == 2
    with pytest.raises(ValueError, match=f"another run: its .*{says}"):
        go(now, 3)


def test_an_interrupt_while_a_run_is_being_resumed_leaves_its_objects_as_they_were(tmp_path):
    class Pressing(torch.optim.lr_scheduler.StepLR):
        pressed = False

        def load_state_dict(self, state):
            super().load_state_dict(state)
            if Pressing.pressed:
                Pressing.pressed = False
                raise KeyboardInterrupt

    def parts():
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, Pressing(optimizer, 1)

    def go(model, optimizer, schedule, epochs):
        options = {"scheduler": schedule, "checkpoint": tmp_path / "run.pt", "progress": False}
        return train(model, [(X, y)], None, LOSS, optimizer, epochs, **options)

    go(*parts(), 1)
    again = parts()
    Pressing.pressed = True
    with pytest.raises(KeyboardInterrupt):
        go(*again, 2)
    assert torch.equal(again[0].weight, parts()[0].weight) and again[2].last_epoch == 0
    assert go(*again, 2).epochs == 2


NOTEBOOK = """
import time
from dataclasses import dataclass
from enum import Enum

import torch
from torch.nn.functional import cross_entropy

device, factor, calls, weight = "cpu", 2.0, 0, torch.tensor([1.0, 2.0])

def half(x):
    return x / 2

def loss_fn(logits, labels):
    global calls
    calls += 1
    assert device in {"cpu", "cuda", "hpu", "ipu", "mps", "mtia", "xla", "xpu"}
    return factor * cross_entropy(half(logits), labels, weight)

class Mode(Enum):
    LINEAR = 1
    SQUARE = 2

@dataclass
class Config:
    slope: float = 1.5
    mode: Mode = Mode.LINEAR
    device: str = "cpu"
    folder: str = "today"

    def power(self):
        return self.mode.value

class Shared:
    shift = 0.1

class Model(torch.nn.Linear):
    share = 0.7

    def __init__(self):
        super().__init__(2, 2)
        self.config, self.began, self.steps = Config(), time.time(), [torch.sigmoid, half]
        self._gate = torch.nn.Sequential(torch.nn.Dropout(0.2))
        self.options = {"act": "tanh", "run": f"run of {time.time()}"}

    @property
    def scale(self):
        return 4 * self.share + Shared.shift

    def features(self, x):
        for step in self.steps:
            x = step(x)
        return x.tanh() if self.options["act"] == "tanh" else x

    def forward(self, x):
        x = self.features(x).to(self.config.device) ** self.config.power()
        return super().forward(x * self.config.slope * self.scale)

    def about(self):
        return "a line"

class Schedule(torch.optim.lr_scheduler.LRScheduler):
    def get_lr(self):
        return [0.1 / (1 + self.last_epoch)]

class Plain(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})
        self.share = 0.9

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            p.sub_(self.share * self.param_groups[0]["lr"] * p.grad)
"""


def notebook_run(path, epochs, edit=("", "")):
    """A run whose parts stand in a notebook, of which one line was edited."""
    cells = {"__name__": "__main__"}
    exec(NOTEBOOK.replace(*edit) if edit[0] else NOTEBOOK, cells)
    torch.manual_seed(0)
    model = cells["Model"]()
    optimizer = cells["Plain"](model.parameters())
    return train(
        model, [(X, y)], None, cells["loss_fn"], optimizer, epochs,
        scheduler=cells["Schedule"](optimizer), checkpoint=path, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            ('factor, calls, weight = "cpu", 2.0', 'factor, calls, weight = "cpu", 3.0'),
            "factor was 2",
        ),
        (("[1.0, 2.0]", "[1.0, 3.0]"), "weight"),
        (("x / 2", "x / 3"), "half"),
        (("x.tanh()", "x.relu()"), "model's features"),
        (("0.1 / (1", "0.2 / (1"), "scheduler's get_lr"),
        (("* p.grad)", "* p.grad.sign())"), "optimizer's step"),
        (("self.share = 0.9", "self.share = 0.8"), "optimizer's share was 0.9"),
        (("slope: float = 1.5", "slope: float = 2.5"), "config"),
        (("Mode = Mode.LINEAR", "Mode = Mode.SQUARE"), "config"),
        (("self.mode.value", "self.mode.value + 1"), "config"),
        (("shift = 0.1", "shift = 0.2"), "Shared was Shared with shift 0.1, here it is"),
        (("share = 0.7", "share = 0.6"), "model's share was 0.7, here it is 0.6"),
        (("4 * self.share", "5 * self.share"), "model's scale"),
        (("[torch.sigmoid,", "[torch.relu,"), r"model's steps was \[sigmoid, half"),
        (('"act": "tanh"', '"act": "none"'), "model's options"),
        (('device: str = "cpu"', 'device: torch.device = torch.device("cpu")'), None),
        (("today", "tomorrow"), None),
        (("a line", "another line"), None),
        (('device, factor, calls, weight = "cpu"', 'device, factor, calls, weight = "cuda"'), None),
    ],
)
def test_what_a_function_reads_and_calls_belongs_to_the_run(tmp_path, edit, says):
    assert edit[0] in NOTEBOOK
    notebook_run(tmp_path / "run.pt", 1)
    assert notebook_run(tmp_path / "run.pt", 2).epochs == 2
    if says is None:
        assert notebook_run(tmp_path / "run.pt", 3, edit).epochs == 3
    else:
        with pytest.raises(ValueError, match=f"another run: its .*{says}"):
            notebook_run(tmp_path / "run.pt", 3, edit)


def test_a_set_in_a_function_is_the_same_in_another_process(tmp_path):
    # The order of a set of texts is drawn anew by every Python that starts.
    code = (
        "import sys; from tests.test_checkpoints import notebook_run; notebook_run(sys.argv[1], 2)"
    )
    path = tmp_path / "run.pt"
    notebook_run(path, 1)
    subprocess.run([sys.executable, "-c", code, path], cwd=Path(__file__).parents[1], check=True)
    assert notebook_run(path, 3).epochs == 3


def test_the_objects_of_an_earlier_call_go_on_from_its_file(tmp_path):
    """In a notebook the cell of `train` alone is run again: rate and counters have moved on."""
    path = tmp_path / "run.pt"
    torch.manual_seed(0)
    model = Counting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for epochs in (2, 3, 5):
        history = train(
            model, [(X, y)], None, LOSS, optimizer, epochs,
            scheduler=schedule, checkpoint=path, progress=False,
        )  # fmt: skip
    assert history["lr"] == pytest.approx([0.1 * 0.5**i for i in range(5)])


def test_a_compiled_model_and_the_same_one_uncompiled_share_a_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    unbroken, _ = short_run(None, 4, [(X, y)])
    for epochs, wrap in ((2, partial(torch.compile, backend="eager")), (4, nn.Identity())):
        torch.manual_seed(0)
        model = mlp(2, 8, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        options = {"checkpoint": path, "progress": False}
        history = train(wrap(model), [(X, y)], None, LOSS, optimizer, epochs, **options)
    assert history["train_loss"] == pytest.approx(unbroken["train_loss"], rel=1e-6)
