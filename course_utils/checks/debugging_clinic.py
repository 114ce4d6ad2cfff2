"""Checks for lesson 09, the debugging clinic: repaired loops, and the examination."""

import copy
import difflib
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import CosineAnnealingLR

from ..data import moons, tensor_loader
from ..doctor.detector import Detector
from ..models import mlp
from .feedback import Mistake, NotAttempted, as_number, check, compare
from .whole_loops import trained_like

# Repairs --------------------------------------------------------------------------------------


def _loaders(X, y, n, batch_size):
    """Training and validation loaders whose order doesn't hang on what else draws numbers."""
    shuffled, in_order = torch.Generator(), torch.Generator()
    return (
        tensor_loader(X[:n], y[:n], batch_size=32, shuffle=True, generator=shuffled),
        tensor_loader(X[n:], y[n:], batch_size=batch_size, generator=in_order),
    )


@check
def epoch(attempt):
    """`healthy_epoch(model, optimizer, loader)` trains and returns the mean loss per example."""
    X, y = moons(300, noise=0.2, seed=1)
    loader = tensor_loader(X, y, batch_size=64)  # the last batch has 44 rows
    batch_losses = []

    def right(model, optimizer, loader):
        model.train()
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            batch_losses.append(loss.item())
            total += loss.item() * len(xb)
        return total / len(loader.dataset)

    def run(function):
        model = mlp(2, 16, 2, dropout=0.2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(3):
            model.eval()  # as an evaluation leaves it
            losses.append(function(model, optimizer, loader))
        return losses, model

    losses, expected, how = trained_like(attempt, right, run, {})
    loss = as_number(losses[-1], "The mean loss")
    last = batch_losses[-len(loader) :]
    mistakes = {
        "You divided the sum over rows by the number of batches. Divide by the number of rows, "
        "len(loader.dataset).": expected[-1] * 300 / len(loader),
        "The sum over rows still has to be divided by their number.": expected[-1] * 300,
        "You divided by len(X_train), which is the size of another data set. Ask the loader: "
        "len(loader.dataset).": expected[-1] * 300 / 800,
        "That is the mean of the batch means. The last batch is smaller: weight each loss with "
        "len(xb).": sum(last) / len(last),
        "That is the loss of the last batch alone.": last[-1],
    }
    compare(loss, expected[-1], mistakes, "The weights are right. The mean loss")
    return f"The weights are those of the healthy loop, {how}, and so is the loss."


@check
def finetune(attempt):
    """`finetune(model, loader, epochs)` gives the model a new head and trains all of it."""
    X = 3 * torch.randn(384, 2)
    y = (X[:, 0] > 0).long() + (X[:, 1] > 1).long()
    loader, _ = _loaders(X, y, 352, 32)

    def loop(clip=True, cosine=True, per_batch=False, train=lambda model: model):
        def tuned(model, loader, epochs):
            model[-1] = nn.Linear(16, 3)
            optimizer = torch.optim.SGD(train(model).parameters(), lr=0.1, momentum=0.9)
            length = epochs * len(loader) if per_batch else epochs
            scheduler = CosineAnnealingLR(optimizer, T_max=length)
            model.train()
            for _ in range(epochs):
                for xb, yb in loader:
                    optimizer.zero_grad()
                    cross_entropy(model(xb), yb).backward()
                    if clip:
                        clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    if cosine and per_batch:
                        scheduler.step()
                if cosine and not per_batch:
                    scheduler.step()
            return model

        return tuned

    def run(function):
        loader.generator.manual_seed(0)
        model = mlp(2, 16, 16, 2)
        result = function(model, loader, 5)
        if not isinstance(result, nn.Module):
            raise Mistake(f"Return the model; yours returned a {type(result).__name__}.")
        return result, model

    mistakes = {
        "The gradients are not clipped at all. Clip them to length 1 between backward() and "
        "step().": loop(clip=False),
        "The learning rate stays at 0.1. Step the schedule at the end of each epoch.": loop(
            cosine=False
        ),
        "You stretched the schedule over all batches and step it after each. That is a good "
        "schedule as well, but the task asks for one step an epoch.": loop(per_batch=True),
        "Only the new layer is trained. Train all of the model.": loop(train=lambda m: m[-1]),
    }
    _, _, how = trained_like(attempt, loop(), run, mistakes)
    return f"All layers learn, clipped and on schedule: {how} the healthy loop's weights."


@check
def fit(attempt):
    """`fit(model, optimizer, train_loader, val_loader, epochs)` returns the accuracies."""
    loaders = _loaders(*moons(400, noise=0.3, seed=3), 320, 34)  # the last of three has 12 rows
    batch_means = []

    def right(model, optimizer, train_loader, val_loader, epochs):
        accuracies = []
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                cross_entropy(model(xb), yb).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = [model(xb).argmax(dim=1) == yb for xb, yb in val_loader]
            batch_means.append(sum(h.float().mean().item() for h in hits) / len(hits))
            accuracies.append(torch.cat(hits).float().mean().item())
        return accuracies

    def run(function):
        loaders[0].generator.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        return function(model, optimizer, *loaders, 4), model

    accuracies, expected, how = trained_like(attempt, right, run, {})
    accuracies = _numbers(accuracies, "accuracies", "four epochs", 4)
    mistakes = {
        "You averaged the accuracies of the batches. The last one has 12 rows, the others 34: "
        "count the correct rows, and divide once.": batch_means[-4:],
        "That is a percentage; return a share between 0 and 1.": [100 * a for a in expected],
        "That is the number of correct rows; divide it by len(val_loader.dataset).": [
            80 * a for a in expected
        ],
        "You divided the number of correct rows by the number of batches.": [
            80 * a / 3 for a in expected
        ],
        "You divided by the size of another data set: ask len(val_loader.dataset).": [
            80 * a / 200 for a in expected
        ],
        "That is the share of wrong answers.": [1 - a for a in expected],
    }
    compare(accuracies, expected, mistakes, "The weights are right. The list of accuracies")
    return f"Both switches go both ways: weights ({how}) and accuracies are the healthy loop's."


@check
def regression(attempt):
    """`regression(model, optimizer, train_loader, val_loader, epochs)` keeps the best epoch."""
    X = torch.randn(160, 3)
    y = 2 * X[:, 0] - X[:, 1] + 1 + 0.5 * torch.randn(160)
    loaders = _loaders(X, y, 128, 32)

    def loop(best=min, restore=True):
        def trained(model, optimizer, train_loader, val_loader, epochs):
            losses, val_losses, states = [], [], []
            for _ in range(epochs):
                model.train()
                for xb, yb in train_loader:
                    optimizer.zero_grad()
                    loss = ((model(xb).squeeze(1) - yb) ** 2).mean()
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
                with torch.no_grad():
                    errors = [(model(xb).squeeze(1) - yb) ** 2 for xb, yb in val_loader]
                val_losses.append(torch.cat(errors).mean().item())
                states.append(copy.deepcopy(model.state_dict()))
            if restore:
                model.load_state_dict(states[val_losses.index(best(val_losses))])
            return losses

        return trained

    def run(function):
        loaders[0].generator.manual_seed(0)
        model = mlp(3, 16, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        return function(model, optimizer, *loaders, 12), model

    mistakes = {
        "Those are the weights of the last epoch. Put the best ones back after the loop.": loop(
            restore=False
        ),
        "Those are the weights of the epoch with the highest validation loss.": loop(best=max),
    }
    losses, expected, how = trained_like(attempt, loop(), run, mistakes)
    losses = _numbers(losses, "losses", "twelve epochs of four steps", 48)
    compare(losses, expected, {}, "The weights are right. The list of losses")
    return f"Shapes, copies and numbers are in order: the best epoch's weights, {how}."


def _numbers(values, what, of, n):
    """`values` as a list of n plain numbers."""
    if not isinstance(values, list | tuple) and not hasattr(values, "tolist"):
        raise Mistake(f"Return a list of {what}; yours returned a {type(values).__name__}.")
    if len(values) != n:
        raise Mistake(f"There are {len(values)} {what} in your list; {of} should give {n}.")
    values = values.tolist() if hasattr(values, "tolist") else values
    return [as_number(value, f"Each of the {what}") for value in values]


# The examination ------------------------------------------------------------------------------

HEALTHY = "healthy"


@dataclass(frozen=True)
class _Case:
    """A loop of the examination. `near` has words for diagnoses that are almost right."""

    diagnosis: str
    look: str
    near: dict = field(default_factory=dict)


CASES = {
    1: _Case(
        "scheduler-per-batch",
        "its loss stops after two epochs, as if the steps had ended; print the learning rate "
        "after every epoch",
        {"lr-too-low": "the rate is too low indeed, but was it from the start? What changed it?"},
    ),
    2: _Case(
        HEALTHY,
        "work out what is in .grad when step() runs, and compare it with the gradient of one "
        "large batch",
    ),
    3: _Case(
        "no-zero-grad",
        "its loss wobbles where it should settle; print the gradient's norm before and after "
        "backward(), in the second step of an epoch",
        {"lr-too-high": "that would wobble too; but would ten times less cure it? Look at .grad"},
    ),
    4: _Case(
        "sigmoid-before-bce-with-logits",
        "its accuracy is good while its loss stays high; compare what goes into the loss with "
        "what this loss expects",
        {"softmax-before-cross-entropy": "the right idea, for another loss"},
    ),
    5: _Case(
        "optimizer-holds-other-params",
        "it learns, but less than it could; compare each layer's weights before and after",
        {"params-not-optimized": "close; the optimizer got all parameters once. Then what?"},
    ),
    6: _Case(
        HEALTHY,
        "list which parameters should change, and whether they do; then ask whether the mode "
        "makes a difference for this model",
    ),
    7: _Case(
        "sorted-batches",
        "its printed loss is low and its accuracy is not; print the labels of a few batches",
    ),
    8: _Case(
        "eval-in-train-mode",
        "its accuracy jumps from epoch to epoch; compute it twice for the same weights",
        {"training-in-eval-mode": "a mode is wrong indeed; in which half of the epoch?"},
    ),
    9: _Case(
        "broadcast-loss",
        "its loss stops near the variance of the labels; print the shape of the difference",
        {"metric-broadcast": "shapes are the matter, but in another line"},
    ),
    10: _Case(
        "layers-cut-off",
        "it learns slowly, like a much smaller model; print the gradient of every layer",
        {"params-not-optimized": "some layers stay as they are, but the optimizer does hold them"},
    ),
}


@check
def exam(attempt):
    """`diagnoses` maps the number of each loop to the id of its bug, or to "healthy"."""
    if isinstance(attempt, list | tuple) and len(attempt) == len(CASES):
        attempt = dict(enumerate(attempt, 1))
    if not isinstance(attempt, dict):
        raise Mistake(
            "Pass a dict such as {1: 'no-zero-grad', 2: 'healthy', …}; yours is a "
            f"{type(attempt).__name__}."
        )
    if unknown := set(attempt) - set(CASES):
        raise Mistake(f"There is no loop {min(unknown, key=str)!r}: the keys are 1 to 10.")
    given = {number: _known_id(number, said) for number, said in attempt.items() if said is not ...}
    if not given:
        raise NotAttempted
    wrong = [n for n in sorted(given) if given[n] != CASES[n].diagnosis]
    open_ = [str(n) for n in CASES if n not in given]
    if not wrong and not open_:
        return (
            "10 of 10, the healthy ones among them: you see bugs, and you see when there is none."
        )
    marks = f"{len(given) - len(wrong)} of {len(CASES)}."
    if open_:
        marks += f" Not answered yet: {', '.join(open_)}."
    hints = [f"\nLoop {n}: {_hint(CASES[n], given[n])}." for n in wrong[:3]]
    more = f"\nAnd {len(wrong) - 3} more." if len(wrong) > 3 else ""
    raise Mistake(marks + "".join(hints) + more)


def _hint(case, said):
    return case.near.get(said) or f"not {said}; {case.look}"


def _known_id(number, said):
    ids = [detector.bug for detector in Detector.all if detector.bug] + [HEALTHY]
    name = str(said).strip().lower().replace("_", "-").replace(" ", "-")
    if name in ids:
        return name
    similar = difflib.get_close_matches(name, ids, n=1)
    suggestion = f" Did you mean {similar[0]!r}?" if similar else ""
    raise Mistake(f"Loop {number}: {said!r} is not an id of the table.{suggestion}")
