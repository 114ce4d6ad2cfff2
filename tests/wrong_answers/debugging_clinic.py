"""Answers to the exercises of lesson 09: loops with some of their bugs left in, or new ones."""

import copy
import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.lr_scheduler import CosineAnnealingLR

from course_utils import evaluate

from . import gallery

wrong, right = gallery("debugging_clinic")

# Exercise 1


@right("epoch")
def zero_grad_last(model, optimizer, loader):
    model.train()
    losses, rows = [], []
    for xb, yb in loader:
        loss = F.cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        rows.append(len(xb))
    return sum(a * b for a, b in zip(losses, rows, strict=True)) / sum(rows)


@right("epoch")
def cleared_by_hand(model, optimizer, loader):
    model.train()
    total = n = 0
    for xb, yb in loader:
        for p in model.parameters():
            p.grad = None
        loss = nn.CrossEntropyLoss(reduction="sum")(model(xb), yb)
        (loss / len(xb)).backward()
        optimizer.step()
        total, n = total + loss.item(), n + len(xb)
    return total / n


@right("epoch")
def rows_counted_by_reading_again(model, optimizer, loader):
    model.train()
    total = 0.0
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = -model(xb).log_softmax(dim=1)[torch.arange(len(yb)), yb].mean()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    return total / sum(len(xb) for xb, _ in loader)


@right("epoch")
def with_a_closure(model, optimizer, loader):
    model.train()
    total = 0.0
    for xb, yb in loader:

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)  # noqa: B023
            loss.backward()
            return loss

        total += optimizer.step(closure).item() * len(xb)
    return total / len(loader.dataset)


def epoch(loss_fn=F.cross_entropy, clear="first", train=True, noted=torch.Tensor.item):
    """The right epoch, to be spoilt in one place."""

    def attempt(model, optimizer, loader):
        if train:
            model.train()
        total, rows = 0.0, 0
        for xb, yb in loader:
            if clear == "first":
                optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            if clear == "before step":
                optimizer.zero_grad()
            optimizer.step()
            total, rows = total + noted(loss) * len(xb), rows + len(xb)
        return float(total) / rows

    return attempt


wrong(
    "epoch",
    {
        "softmax-before-cross-entropy": epoch(lambda z, y: F.cross_entropy(z.softmax(dim=1), y)),
        "grads-cleared-before-step": epoch(clear="before step"),
        "no-zero-grad": epoch(clear="never"),
        "training-in-eval-mode": epoch(train=False),
        "graph-kept": epoch(noted=lambda loss: loss),
        "should be 45; you have 3": lambda model, optimizer, loader: epoch()(
            model, optimizer, [next(iter(loader))]
        ),
        "returned None": lambda *case: epoch()(*case) and None,
        "Take its value with .item()": lambda *case: torch.tensor(epoch()(*case)),
        "weights at the end": epoch(F.multi_margin_loss),
    },
)

# Exercise 2


def tuner(head="first", clip="after", schedule="epoch", only_head=False, result=lambda m: m):
    """The right fine-tuning, to be spoilt in one place."""

    def attempt(model, loader, epochs):
        if head == "first":
            model[-1] = nn.Linear(16, 3)
        if head == "appended":
            model.append(nn.Linear(2, 3))
        trained = model[-1] if only_head else model
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9)
        scheduler = CosineAnnealingLR(optimizer, T_max=epochs)
        if head == "late":
            model[-1] = nn.Linear(16, 3)
        model.train()
        for _ in range(epochs):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                if clip == "before":
                    clip_grad_norm_(model.parameters(), 1.0)
                loss.backward()
                if clip == "after":
                    clip_grad_norm_(model.parameters(), 1.0)
                if clip == "by value":
                    clip_grad_value_(model.parameters(), 1.0)
                optimizer.step()
                if schedule == "batch":
                    scheduler.step()
            if schedule == "epoch":
                scheduler.step()
        return result(model)

    return attempt


wrong(
    "finetune",
    {
        "clip-misplaced": tuner("late", "before", "batch"),
        "optimizer-holds-other-params": tuner(head="late"),
        "2 of 6 parameters of SGD are in no model": tuner(head="late", schedule="batch"),
        "scheduler-per-batch": tuner(schedule="batch"),
        "params-not-optimized": tuner(only_head=True),
        "Return the model": tuner(result=lambda m: m.state_dict()),
        "out of bounds": tuner(head="never"),
        "other layers than planned": tuner(head="appended"),
        "clip_grad_value_ limits single numbers": tuner(clip="by value"),
    },
)


@right("finetune")
def two_groups(model, loader, epochs):
    model[-1] = nn.Linear(16, 3)
    groups = [{"params": model[:-1].parameters()}, {"params": model[-1].parameters()}]
    opt = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    schedule = CosineAnnealingLR(opt, epochs)
    for _ in range(epochs):
        for xb, yb in loader:
            F.cross_entropy(model(xb), yb).backward()
            clip_grad_norm_(list(model.parameters()), max_norm=1)
            opt.step()
            opt.zero_grad()
        schedule.step()
    return model


@right("finetune")
def head_as_a_late_group_and_rate_by_hand(model, loader, epochs):
    opt = torch.optim.SGD(model[:-1].parameters(), lr=0.1, momentum=0.9)
    model[-1] = nn.Linear(16, 3)
    opt.add_param_group({"params": model[-1].parameters()})
    for epoch in range(epochs):
        for group in opt.param_groups:
            group["lr"] = 0.05 * (1 + math.cos(math.pi * epoch / epochs))
        for xb, yb in loader:
            opt.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
    return model


@right("finetune")
def old_layers_in_a_new_model(model, loader, epochs):
    return tuner(head="kept")(nn.Sequential(*model[:-1], nn.Linear(16, 3)), loader, epochs)


@right("finetune")
def head_replaced_by_name(model, loader, epochs):
    model.add_module("4", nn.Linear(16, 3))
    return tuner(head="kept")(model, loader, epochs)


# Exercise 3


def correct(logits, yb):
    return (logits.argmax(dim=1) == yb).sum().item()


def fitter(evaluate=True, back=True, graph=False, count=correct):
    """The right fit, to be spoilt in one place."""

    def attempt(model, optimizer, train_loader, val_loader, epochs):
        accuracies = []
        model.train()
        for _ in range(epochs):
            if back:
                model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.step()
            if evaluate:
                model.eval()
            hits = 0
            with torch.set_grad_enabled(graph):
                for xb, yb in val_loader:
                    hits += count(model(xb), yb)
            accuracies.append(hits / len(val_loader.dataset))
        return accuracies

    return attempt


@wrong("fit", "metric-not-normalised")
def added_means(model, optimizer, train_loader, val_loader, epochs):
    accuracies = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        accuracy = 0.0
        with torch.no_grad():
            for xb, yb in val_loader:
                accuracy += (model(xb).argmax(dim=1) == yb).float().mean().item()
        accuracies.append(accuracy / len(val_loader))
    return accuracies


wrong(
    "fit",
    {
        "eval-builds-graph": fitter(graph=True),
        "eval-in-train-mode": fitter(evaluate=False),
        "training-in-eval-mode": fitter(back=False),
        "Return a list": lambda *case: fitter()(*case)[-1],
        "There are 1 accuracies in your list": lambda *case: fitter()(*case)[-1:],
        "argmax-wrong-dim": fitter(count=lambda z, y: (z.argmax(dim=0) == y[:2]).sum().item()),
    },
)


@right("fit")
def with_inference_mode(model, optimizer, train_loader, val_loader, epochs):
    def accuracy():
        model.eval()
        with torch.inference_mode():
            logits = torch.cat([model(xb) for xb, _ in val_loader])
            y = torch.cat([yb for _, yb in val_loader])
        return (logits.argmax(1) == y).float().mean()

    accuracies = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            loss = F.cross_entropy(model(xb), yb)
            model.zero_grad()
            loss.backward()
            optimizer.step()
        accuracies.append(accuracy().item())
    return tuple(accuracies)


@right("fit")
def with_the_package_and_numpy(model, optimizer, train_loader, val_loader, epochs):
    accuracies = np.zeros(epochs)
    for epoch in range(epochs):
        for xb, yb in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
        _, accuracies[epoch] = evaluate(model, val_loader, F.cross_entropy)
    return accuracies


@right("fit")
def as_one_tensor(model, optimizer, train_loader, val_loader, epochs):
    return torch.tensor(fitter()(model, optimizer, train_loader, val_loader, epochs))


# Exercise 4


def over_all_rows(pairs):
    return torch.cat([(pred.squeeze(1) - yb) ** 2 for pred, yb in pairs]).mean().item()


def regression(squeeze=True, number=True, keep=copy.deepcopy, restore=True):
    """The right regression, to be spoilt in one place."""

    def attempt(model, optimizer, train_loader, val_loader, epochs):
        losses, best, best_weights = [], None, None
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                pred = model(xb)
                loss = (((pred.squeeze(1) if squeeze else pred) - yb) ** 2).mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.item() if number else loss)
            model.eval()
            with torch.no_grad():
                val_loss = over_all_rows([(model(xb), yb) for xb, yb in val_loader])
            if best is None or val_loss < best:
                best, best_weights = val_loss, keep(model.state_dict())
        if restore:
            model.load_state_dict(best_weights)
        return losses

    return attempt


wrong(
    "regression",
    {
        "broadcast-loss": regression(squeeze=False),
        "graph-kept": regression(number=False),
        "best-state-alias": regression(keep=lambda state: state),
        "share memory": regression(keep=dict),
        "There are 12 losses in your list": lambda *case: regression()(*case)[::4],
        "plain Python number": lambda *case: [torch.tensor(x) for x in regression()(*case)],
    },
)


@right("regression")
def labels_as_a_column(model, optimizer, train_loader, val_loader, epochs):
    losses, lowest = [], float("inf")
    for _ in range(epochs):
        for xb, yb in train_loader:
            loss = F.mse_loss(model(xb), yb.unsqueeze(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            errors = [F.mse_loss(model(xb)[:, 0], yb, reduction="sum") for xb, yb in val_loader]
        if sum(errors) < lowest:
            lowest = sum(errors)
            kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return losses


@right("regression")
def saved_to_a_file(model, optimizer, train_loader, val_loader, epochs):
    file = io.BytesIO()

    def keep(state):
        file.seek(0)
        torch.save(state, file)

    losses = regression(keep=keep, restore=False)(
        model, optimizer, train_loader, val_loader, epochs
    )
    file.seek(0)
    model.load_state_dict(torch.load(file))
    return np.array(losses)


@right("regression")
def kept_as_a_model(model, optimizer, train_loader, val_loader, epochs):
    best = None
    losses = []
    for _ in range(epochs):
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = (model(xb).view(-1) - yb).pow(2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            val = sum((model(xb).view(-1) - yb).pow(2).sum() for xb, yb in val_loader).item()
        if best is None or val < best[0]:
            best = val, copy.deepcopy(model)
    model.load_state_dict(best[1].state_dict())
    return losses


# Exercise 5

DIAGNOSES = {
    1: "scheduler-per-batch",
    2: "healthy",
    3: "no-zero-grad",
    4: "sigmoid-before-bce-with-logits",
    5: "optimizer-holds-other-params",
    6: "healthy",
    7: "sorted-batches",
    8: "eval-in-train-mode",
    9: "broadcast-loss",
    10: "layers-cut-off",
}
right("exam")(DIAGNOSES)
right("exam")([name.replace("-", "_").upper() for name in DIAGNOSES.values()])
right("exam")({str(number): f"`{name}`" for number, name in DIAGNOSES.items()})
right("exam")({number: DIAGNOSES[number] for number in (1, 2, 3)})
wrong(
    "exam",
    {
        "9 of 10.\nLoop 1: the rate is too low indeed": DIAGNOSES | {1: "lr-too-low"},
        "Loop 1: the schedule it is": DIAGNOSES | {1: "scheduler-per-epoch"},
        "Loop 2: not lr-too-high; work out what is in .grad": DIAGNOSES | {2: "lr-too-high"},
        "Loop 2: it does add up gradients; but what is backward() called on?": (
            DIAGNOSES | {2: "accumulation-not-averaged"}
        ),
        "Loop 6: one layer stays as it is": DIAGNOSES | {6: "params-not-optimized"},
        "Loop 8: not healthy; its chart gives nothing away": DIAGNOSES | {8: "healthy"},
        "2 of 10.": dict.fromkeys(DIAGNOSES, "healthy"),
        "1 of 2. Not answered yet: 2.": {1: "scheduler-per-batch", 2: ...},
        "Did you mean 'no-zero-grad'": DIAGNOSES | {3: "no-zero-grads"},
        "no loop 11": DIAGNOSES | {11: "healthy"},
        "Pass a dict": "healthy",
    },
)
