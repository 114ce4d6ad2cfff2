"""Runs of `train` for one process or several, started by `test_distributed.py`.

`torchrun -m tests.distributed_runs NAMES FOLDER` does each run and saves what it returns into FOLDER,
one file for each process. The combined batch is the same for any number of processes.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from course_utils import mlp, moons, tensor_loader, train

PROCESSES = int(os.environ.get("WORLD_SIZE", 1))
RANK = int(os.environ.get("RANK", 0))
BATCH_SIZE = 32 // PROCESSES
X, y = moons(200, noise=0.2, seed=0)
X_train, y_train, X_val, y_val = X[:160], y[:160], X[160:197], y[160:197]
LOSS = nn.CrossEntropyLoss()


def plain_loader(*tensors, **options):
    return DataLoader(TensorDataset(*tensors), batch_size=BATCH_SIZE, **options)


def fast_loader(*tensors, **options):
    return tensor_loader(*tensors, batch_size=BATCH_SIZE, **options)


def outcome(model, history):
    """All that must be the same everywhere; seconds differ."""
    measured = {name: values for name, values in history.items() if name != "seconds"}
    return {"weights": {k: v.clone() for k, v in model.state_dict().items()}, "history": measured}


def go(
    train_loader, val_loader=None, *,
    epochs=4, model=None, loss_fn=LOSS, lr=0.05, schedule=False, **options,
):  # fmt: skip
    torch.manual_seed(0)
    model = mlp(2, 16, 2) if model is None else model()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    if schedule:
        steps = epochs * len(train_loader)  # the same line for any number of processes
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        options |= {"scheduler": scheduler, "scheduler_step": "batch"}
    options = {"progress": False} | options
    return model, train(model, train_loader, val_loader, loss_fn, optimizer, epochs, **options)


def shuffled():
    train_loader = fast_loader(X_train, y_train, shuffle=True)
    return outcome(*go(train_loader, fast_loader(X_val, y_val), schedule=True, max_grad_norm=1.0))


def one_cycle():
    """(steps of the schedule, of how many)"""
    train_loader = fast_loader(X_train[:157], y_train[:157])
    model = mlp(2, 16, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = 3 * len(train_loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    options = {"scheduler": schedule, "scheduler_step": "batch", "progress": False}
    train(model, train_loader, None, LOSS, optimizer, 3, **options)
    return schedule.last_epoch, steps


def in_order():
    train_loader = plain_loader(X_train, y_train)
    return outcome(*go(train_loader, plain_loader(X_val, y_val, drop_last=False)))


def own_generator_and_workers():
    generator = torch.Generator().manual_seed(7)
    subset = Subset(TensorDataset(X, y), range(160))
    options = {"batch_size": BATCH_SIZE, "shuffle": True, "drop_last": True, "num_workers": 1}
    return outcome(*go(DataLoader(subset, generator=generator, **options), epochs=2))


def with_patience():
    train_loader = fast_loader(X_train, y_train, shuffle=True)
    val_loader = fast_loader(X_val, y_val)
    return outcome(*go(train_loader, val_loader, epochs=40, lr=0.5, patience=2))


def metric_of_all_rows_in_order():
    def last_rows(logits, labels):
        assert len(logits) == len(labels)
        return (logits[-5:, 0] * labels[-5:]).sum() * len(logits)

    train_loader = fast_loader(X_train, y_train)
    return outcome(*go(train_loader, fast_loader(X_val, y_val), metric=last_rows))


def one_validation_row():
    return outcome(*go(fast_loader(X_train, y_train), fast_loader(X_val[:1], y_val[:1])))


def uneven():
    """157 rows in batches of 32, the last one filled up to an even number."""
    if PROCESSES > 1:
        return outcome(*go(fast_loader(X_train[:157], y_train[:157])))
    rows = [*range(157), 0]
    batches = [(X[rows[i : i + 32]], y[rows[i : i + 32]]) for i in range(0, 158, 32)]
    return outcome(*go(batches))


def class_weights():
    loss_fn = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0]))
    return outcome(*go(fast_loader(X_train, y_train), fast_loader(X_val, y_val), loss_fn=loss_fn))


def ignored_labels():
    """A third of the rows has no label; among them all that process 0 has of the first batch."""
    labels = y_train.where(torch.arange(160) % 3 > 0, -100)
    labels[:32:2] = -100
    val_labels = y_val.where(torch.arange(37) > 20, -100)
    return outcome(*go(fast_loader(X_train, labels), fast_loader(X_val, val_labels), metric=None))


def batch_norm():
    def model():
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

    return outcome(*go(fast_loader(X_train, y_train), fast_loader(X_val, y_val), model=model))


def bfloat16():
    return outcome(*go(fast_loader(X_train, y_train), fast_loader(X_val, y_val), amp=True))


def callbacks():
    """(epochs in which a callback ran here, random numbers here, gradients, is a group left)"""
    seen = []

    def note(epoch, model, history):
        seen.append(epoch)
        torch.rand(epoch)  # which must not put the processes' order of rows out of step

    train_loader = fast_loader(X_train, y_train, shuffle=True)
    model, _ = go(train_loader, callbacks=[note], model=lambda: mlp(2, 16, 2, dropout=0.5))
    random = torch.rand(3)
    model.zero_grad()
    LOSS(model(X[:10] * (1 + RANK)), y[:10]).backward()  # no longer averaged
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    return seen, random, model[0].weight.grad.clone(), weights, dist.is_initialized()


def joined_before():
    dist.init_process_group("gloo")
    try:
        result = outcome(*go(fast_loader(X_train, y_train)))
        return {**result, "still joined": dist.is_initialized()}
    finally:
        dist.destroy_process_group()


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(X[0], y[0])])


def refusals():
    """What is said about loaders that can't be split, and about a loss with weights."""
    data = TensorDataset(X, y)
    batches = BatchSampler(SequentialSampler(data), 16, False)
    loaders = {
        "list": [(X, y)],
        "stream": DataLoader(Stream(), batch_size=1),
        "split": DataLoader(data, 16, sampler=DistributedSampler(data, PROCESSES, RANK)),
        "batches": DataLoader(data, batch_sampler=batches),
    }
    said = {}
    for name, loader in loaders.items():
        try:
            go(loader)
        except ValueError as error:
            said[name] = str(error)
    model, weighing = mlp(2, 16, 2), nn.Linear(2, 2)
    weighing.forward = lambda logits, labels: LOSS(nn.functional.linear(logits, weighing.weight), y)
    both = torch.optim.SGD([*model.parameters(), *weighing.parameters()])
    try:
        train(model, fast_loader(X, y), None, weighing, both, 1, progress=False)
    except ValueError as error:
        said["loss"] = str(error)
    return {**said, "group left": dist.is_initialized()}


def checkpoint_of_one_process():
    """Only process 0 finds a file when the run goes on."""
    for epochs in (2, 4):
        train_loader = fast_loader(X_train, y_train, shuffle=True)
        path = f"of_process_{RANK}.pt"
        result = outcome(*go(train_loader, epochs=epochs, checkpoint=path))
    return result


def not_broken():
    return outcome(*go(fast_loader(X_train, y_train, shuffle=True)))


def one_fails():
    """What each process says when only one of them has a reason to."""

    def from_process_0(epoch, model, history):
        raise ConnectionError("the disk is full")

    order = torch.randperm(160, generator=torch.Generator().manual_seed(RANK))
    hole = X_val.clone()
    hole[0, 0] = float("nan") if RANK == 1 else 0.0
    attempts = {
        "other rows": (fast_loader(X[order], y[order]), None, {}),
        "fewer rows": (fast_loader(X[: 100 + RANK], y[: 100 + RANK]), None, {}),
        "a hole": (fast_loader(X, y), fast_loader(hole, y_val), {}),
        "a callback": (fast_loader(X, y), None, {"callbacks": [from_process_0]}),
    }
    said = {}
    for name, (train_loader, val_loader, options) in attempts.items():
        try:
            go(train_loader, val_loader, **options)
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


class WithHole(TensorDataset):
    """Rows of which one has, on process 1 alone, what `hole` makes of its label."""

    def __init__(self, hole):
        super().__init__(X_train, y_train)
        self.hole = hole

    def __getitem__(self, index):
        x, label = super().__getitem__(index)
        return x, self.hole(label) if RANK == 1 and index == 101 else label


def one_fails_in_mid_epoch():
    """For each failure what the process says, after how many seconds, and its weights."""
    fetched = []

    def missing_in_the_second_epoch(label):
        fetched.append(label)
        if len(fetched) == 2:
            raise FileNotFoundError("no such picture")
        return label

    attempts = {"a label": lambda label: label + 7, "a file": missing_in_the_second_epoch}
    said, kept = {}, []
    for name, hole in attempts.items():
        model = mlp(2, 16, 2)
        start = time.monotonic()
        try:
            go(DataLoader(WithHole(hole), BATCH_SIZE), model=lambda model=model: model)
        except Exception as error:
            kept.append(error)  # as a notebook or a debugger does
            words, seconds = f"{type(error).__name__}: {error}", time.monotonic() - start
            said[name] = words, seconds, model[0].weight.detach().clone()
    return said


class Mortal(nn.Sequential):
    """Kills its process in the forward pass with the number in the variable DIES_AT."""

    def forward(self, xb):
        self.passes = getattr(self, "passes", 0) + self.training
        if RANK == 1 and self.passes == int(os.environ.get("DIES_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(xb)


def _with_dropout(checkpoint=None):
    train_loader = fast_loader(X_train, y_train, shuffle=True)
    model = lambda: Mortal(*mlp(2, 16, 2, dropout=0.5))  # noqa: E731
    return outcome(
        *go(train_loader, fast_loader(X_val, y_val), model=model, checkpoint=checkpoint, epochs=6)
    )


def unbroken():
    return _with_dropout()


def resumable():
    return _with_dropout(checkpoint="run.pt")


if __name__ == "__main__":
    results = {name: globals()[name]() for name in sys.argv[1].split(",")}
    torch.save(results, Path(sys.argv[2]) / f"{RANK}.pt")
