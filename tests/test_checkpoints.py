import multiprocessing
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

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
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        process = start(train_until_patience_runs_out, path)
        process.join(timeout=draw.random() * seconds * (kills + 1) / 100)  # the first ones early
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
    with pytest.warns(UserWarning, match=r"could not be written \(No space left on device\)"):
        _, history = run(tmp_path / "run.pt", epochs=2)
    assert history.epochs == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission_costs_the_checkpoint_but_not_the_training(
    tmp_path, monkeypatch
):
    def denied(*_):  # the real thing would not stop root, as whom tests run in containers
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "run.pt"
    run(path, epochs=1)
    before = path.read_bytes()
    monkeypatch.setattr(checkpoints, "open", denied, raising=False)
    with pytest.warns(UserWarning, match=r"could not be written \(Permission denied\)"):
        _, history = run(path, epochs=3)
    assert history.epochs == 3
    assert path.read_bytes() == before


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
    torch.save({"model": {}}, path)
    with pytest.raises(ValueError, match="not a checkpoint of this course"):
        run(path)
