"""Checks for lesson 09, the debugging clinic: repaired loops, and the examination."""

import copy
import difflib
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import CosineAnnealingLR

from ..data import moons
from ..doctor.detector import Detector
from ..loaders import tensor_loader
from ..models import mlp
from .exercise import exercise
from .feedback import Mistake, NotAttempted, as_number, check
from .whole_loops import watched

# Repairs --------------------------------------------------------------------------------------


def _loaders(X, y, n, batch_size):
    """Training and validation loaders whose order doesn't hang on what else draws numbers."""
    shuffled, in_order = torch.Generator(), torch.Generator()
    return (
        tensor_loader(X[:n], y[:n], batch_size=32, shuffle=True, generator=shuffled),
        tensor_loader(X[n:], y[n:], batch_size=batch_size, generator=in_order),
    )


def _an_epoch():
    # The last of 15 batches has 6 rows: dividing by either gives another number. And there are
    # enough for the doctor to see a kept graph.
    # With a generator of its own, reading the loader once more, to count, leaves dropout's random
    # numbers alone.
    model = mlp(2, 16, 2, dropout=0.2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    X, y = moons(300, noise=0.2, seed=1)
    yield model, optimizer, tensor_loader(X, y, batch_size=21, generator=torch.Generator())


def _three_epochs(attempt, model, optimizer, loader):
    losses = []
    for _ in range(3):
        model.eval()  # as an evaluation leaves it
        losses.append(attempt(model, optimizer, loader))
    return losses, model


def _mean_losses(losses):
    losses = [as_number(loss, "The mean loss") for loss in losses]
    yield "The weights are right. The mean losses of three epochs", losses


@exercise(
    cases=_an_epoch,
    observe=watched(_three_epochs, _mean_losses),
    praise="The weights are those of the healthy loop, and so is the loss.",
)
def epoch(model, optimizer, loader):
    """`healthy_epoch(model, optimizer, loader)` trains and returns the mean loss per example."""
    return _weighted(_trained(model, optimizer, loader)) / len(loader.dataset)


def _trained(model, optimizer, loader):
    """(loss, rows) of each batch of a healthy epoch."""
    model.train()
    steps = []
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
        steps.append((loss.item(), len(xb)))
    return steps


def _weighted(steps):
    return sum(loss * rows for loss, rows in steps)


def _reporting(result):
    """The healthy epoch, and then `result(its steps, loader)`."""
    return lambda model, optimizer, loader: result(_trained(model, optimizer, loader), loader)


epoch.known(
    "You divided the sum over rows by the number of batches. Divide by the number of rows, "
    "len(loader.dataset).",
    _reporting(lambda steps, loader: _weighted(steps) / len(steps)),
    "You divided the sum over rows by the rows of the last batch. Divide by all of them, "
    "len(loader.dataset).",
    _reporting(lambda steps, loader: _weighted(steps) / steps[-1][1]),
    "Your total is that of the last batch alone. Add each batch to it, with +=.",
    _reporting(lambda steps, loader: _weighted(steps[-1:]) / len(loader.dataset)),
    "The sum over rows still has to be divided by their number.",
    _reporting(lambda steps, loader: _weighted(steps)),
    "You divided by len(X_train), which is the size of another data set. Ask the loader: "
    "len(loader.dataset).",
    _reporting(lambda steps, loader: _weighted(steps) / 800),
    "That is the mean of the batch means. The last batch is smaller: weight each loss with "
    "len(xb).",
    _reporting(lambda steps, loader: sum(loss for loss, _ in steps) / len(steps)),
    "You divided the sum of batch means by the number of rows. Multiply each loss by len(xb) "
    "before adding.",
    _reporting(lambda steps, loader: sum(loss for loss, _ in steps) / len(loader.dataset)),
    "You weighted each loss with the loader's batch size. The last batch is smaller: use len(xb).",
    _reporting(lambda steps, loader: sum(loss * 21 for loss, _ in steps) / len(loader.dataset)),
    "That is the loss of the last batch alone.",
    _reporting(lambda steps, loader: steps[-1][0]),
)


def _for_three_classes():
    X = 2 * torch.randn(384, 2)
    y = (X[:, 0] > 0).long() + (X[:, 1] > 0.7).long()
    yield mlp(2, 16, 16, 2), _loaders(X, y, 352, 32)[0], 5


def _tuned(attempt, *case):
    result = attempt(*case)
    if not isinstance(result, nn.Module):
        raise Mistake(f"Return the model; yours returned a {type(result).__name__}.")
    if [p.shape for p in result.parameters()] != [p.shape for p in mlp(2, 16, 16, 3).parameters()]:
        raise Mistake(
            "Your model has other layers than planned. Put the new one in the place of the last, "
            "model[-1] = nn.Linear(16, 3), and keep all others."
        )
    return result, result


@exercise(
    cases=_for_three_classes,
    observe=watched(_tuned, lambda result: ()),
    praise="All layers learn, clipped and on schedule: the weights are those of the healthy loop.",
)
def finetune(model, loader, epochs):
    """`finetune(model, loader, epochs)` gives the model a new head and trains all of it."""
    return _tuner()(model, loader, epochs)


def _tuner(clip=clip_grad_norm_, momentum=0.9, schedule="epoch", frozen=False):
    """The right fine-tuning, to be spoilt in one place."""

    def loop(model, loader, epochs):
        model[:-1].requires_grad_(not frozen)
        model[-1] = nn.Linear(16, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
        length = epochs * len(loader) if schedule == "batch" else epochs
        scheduler = CosineAnnealingLR(optimizer, T_max=length)
        model.train()
        for _ in range(epochs):
            for xb, yb in loader:
                optimizer.zero_grad()
                cross_entropy(model(xb), yb).backward()
                clip(model.parameters(), 1.0)
                optimizer.step()
                if schedule == "batch":
                    scheduler.step()
            if schedule == "epoch":
                scheduler.step()
        return model

    return loop


finetune.known(
    "The gradients are not clipped at all. Clip their length to 1 with clip_grad_norm_ between "
    "backward() and step(). (clip_grad_value_ limits single numbers, and none is so large.)",
    _tuner(clip=lambda *_: None),
    "You clipped the gradient of each weight by itself. One call with model.parameters() "
    "clips the length of all of them together.",
    _tuner(clip=lambda parameters, length: [clip_grad_norm_(p, length) for p in parameters]),
    "SGD runs without momentum. The plan was momentum=0.9.",
    _tuner(momentum=0),
    "The learning rate stays at 0.1. Step the schedule at the end of each epoch.",
    _tuner(schedule="never"),
    "You stretched the schedule over all batches and step it after each. That is a good "
    "schedule as well, but the task asks for one step an epoch.",
    _tuner(schedule="batch"),
    "The old layers are frozen, and only the new one is trained. Train all of the model.",
    _tuner(frozen=True),
)


def _to_validate():
    model = nn.Sequential(
        nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1.6)  # so high that it also falls
    loaders = _loaders(*moons(400, noise=0.3, seed=3), 320, 34)  # the last of three has 12 rows
    yield model, optimizer, *loaders, 4


def _whole_run(attempt, model, *rest):
    return attempt(model, *rest), model


def _accuracies(accuracies):
    accuracies = _numbers(accuracies, "accuracies", "four epochs", 4)
    yield "The weights are right. The list of accuracies", accuracies


@exercise(
    cases=_to_validate,
    observe=watched(_whole_run, _accuracies),
    praise="Both switches go both ways: weights and accuracies are those of the healthy loop.",
)
def fit(model, optimizer, train_loader, val_loader, epochs):
    """`fit(model, optimizer, train_loader, val_loader, epochs)` returns the accuracies."""
    return _validating()(model, optimizer, train_loader, val_loader, epochs)


def _share(hits):
    return torch.cat(hits).float().mean().item()


def _validating(measure=_share, report=list, first=False):
    """The right fit, to be spoilt in one place.

    measure: makes a number of the hits in each batch. report: makes the result of all numbers.
    """

    def validated(model, val_loader):
        model.eval()
        with torch.no_grad():
            return measure([model(xb).argmax(dim=1) == yb for xb, yb in val_loader])

    def loop(model, optimizer, train_loader, val_loader, epochs):
        numbers = [validated(model, val_loader)] if first else []
        for _ in range(epochs):
            _trained(model, optimizer, train_loader)
            numbers.append(validated(model, val_loader))
        return report(numbers[:epochs])

    return loop


def _batch_means(hits):
    return [batch.float().mean().item() for batch in hits]


fit.known(
    "You measured on train_loader. Validate on val_loader.",
    lambda model, optimizer, train_loader, val_loader, epochs: fit.right(
        model, optimizer, train_loader, train_loader, epochs
    ),
    "You averaged the accuracies of the batches. The last one has 12 rows, the others 34: "
    "count the correct rows, and divide once.",
    _validating(lambda hits: sum(_batch_means(hits)) / len(hits)),
    "You added up the accuracies of the batches and divided by the number of rows. Count the "
    "correct rows, with .sum().",
    _validating(lambda hits: sum(_batch_means(hits)) / 80),
    "The count goes on from one epoch to the next: set it to 0 before each validation.",
    _validating(report=np.cumsum),
    "That is the best accuracy so far. Return that of each epoch, also where it falls.",
    _validating(report=np.maximum.accumulate),
    "The accuracies are sorted. Leave them in the order of the epochs.",
    _validating(report=sorted),
    "You validate before the epoch's training. Each number belongs after it.",
    _validating(first=True),
    "Not one row matched. Compare the position of each row's largest logit with yb: "
    "argmax(dim=1), not max.",
    _validating(lambda hits: 0.0),
    "That is a percentage; return a share between 0 and 1.",
    _validating(lambda hits: 100 * _share(hits)),
    "That is the number of correct rows; divide it by len(val_loader.dataset).",
    _validating(lambda hits: 80 * _share(hits)),
    "You divided the number of correct rows by the number of batches.",
    _validating(lambda hits: 80 * _share(hits) / 3),
    "You divided by the size of another data set: ask len(val_loader.dataset).",
    _validating(lambda hits: 80 * _share(hits) / 200),
    "That is the share of wrong answers.",
    _validating(lambda hits: 1 - _share(hits)),
)


def _noisy_line():
    X = torch.randn(160, 3)
    y = 2 * X[:, 0] - X[:, 1] + 1 + 2 * torch.randn(160)  # so much noise that it soon overfits
    model = mlp(3, 16, 1)
    yield model, torch.optim.Adam(model.parameters(), lr=0.04), *_loaders(X, y, 128, 12), 12


def _step_losses(losses):
    losses = _numbers(losses, "losses", "twelve epochs of four steps", 48)
    yield "The weights are right. The list of losses", losses


@exercise(
    cases=_noisy_line,
    observe=watched(_whole_run, _step_losses),
    praise="Shapes, copies and numbers are in order: the weights are those of the best epoch.",
)
def regression(model, optimizer, train_loader, val_loader, epochs):
    """`regression(model, optimizer, train_loader, val_loader, epochs)` keeps the best epoch."""
    return _keeping()(model, optimizer, train_loader, val_loader, epochs)


def _val_loss(pairs, losses):
    return sum(((pred.squeeze(1) - yb) ** 2).sum().item() for pred, yb in pairs)


def _keeping(score=_val_loss, each=False):
    """Restores the epoch with the lowest score, at the end or after each epoch."""

    def loop(model, optimizer, train_loader, val_loader, epochs):
        losses, scores, states = [], [], []
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = ((model(xb).squeeze(1) - yb) ** 2).mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            with torch.no_grad():
                scores.append(score([(model(xb), yb) for xb, yb in val_loader], losses))
            states.append(copy.deepcopy(model.state_dict()))
            if each:
                model.load_state_dict(states[scores.index(min(scores))])
        model.load_state_dict(states[scores.index(min(scores))])
        return losses

    return loop


regression.known(
    "Those are the weights of the last epoch. Put copies of the best ones back into the model "
    "after the loop, with model.load_state_dict.",
    _keeping(lambda pairs, losses: -len(losses)),
    "Those are the weights of the epoch with the highest validation loss.",
    _keeping(lambda *args: -_val_loss(*args)),
    "You chose the epoch by a training loss. What counts is the validation loss.",
    _keeping(lambda pairs, losses: losses[-1]),
    "The validation loss has the shapes wrong: [B, 1] against [B]. Training is right, but the "
    "best epoch is not.",
    _keeping(lambda pairs, losses: sum(((pred - yb) ** 2).sum().item() for pred, yb in pairs)),
    "You chose by something that is nearly the validation loss. If it is the mean of the batch "
    "means: the last batch has 8 rows, the others 12, so add up the squares of all rows.",
    _keeping(
        lambda pairs, losses: sum(((pred.squeeze(1) - yb) ** 2).mean().item() for pred, yb in pairs)
    ),
    "You put the best weights back after each epoch, so training starts from them again. Do "
    "it once, after the loop.",
    _keeping(each=True),
    "Each of your losses is the sum over a batch; the task takes the mean. (The weights don't "
    "show it: to Adam a factor hardly matters.)",
    lambda *args: [32 * loss for loss in regression.right(*args)],
)


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
        {
            "lr-too-low": "the rate is too low indeed, but was it from the start? What changed it?",
            "scheduler-per-epoch": "the schedule it is, but look at where it is stepped",
        },
    ),
    2: _Case(
        HEALTHY,
        "work out what is in .grad when step() runs, and compare it with the gradient of one "
        "large batch",
        {
            "accumulation-not-averaged": "it does add up gradients; but what is backward() called "
            "on?",
            "no-zero-grad": "the gradients are cleared; how often, and what do they hold until "
            "then?",
        },
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
        {"params-not-optimized": "one layer stays as it is; is that an accident or a decision?"},
    ),
    7: _Case(
        "sorted-batches",
        "after the first epoch its loss is low and its accuracy near chance; print the labels of "
        "a few batches",
    ),
    8: _Case(
        "eval-in-train-mode",
        "its chart gives nothing away; compute its accuracy twice for the same weights",
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
    """`diagnoses` maps the numbers of some loops, or of all, to the id of each one's bug, or to
    "healthy"."""
    if isinstance(attempt, list | tuple) and len(attempt) == len(CASES):
        attempt = dict(enumerate(attempt, 1))
    if not isinstance(attempt, dict):
        raise Mistake(
            "Pass a dict such as {1: 'no-zero-grad', 2: 'healthy', …}; yours is a "
            f"{type(attempt).__name__}."
        )
    attempt = {int(n) if str(n).strip().isdigit() else n: said for n, said in attempt.items()}
    if unknown := set(attempt) - set(CASES):
        raise Mistake(f"There is no loop {min(unknown, key=str)!r}: the keys are 1 to 10.")
    given = {number: _known_id(number, said) for number, said in attempt.items() if said is not ...}
    if not given:
        raise NotAttempted
    wrong = [n for n in sorted(given) if given[n] != CASES[n].diagnosis]
    open_ = [str(n) for n in sorted(attempt) if n not in given]
    marks = f"{len(given) - len(wrong)} of {len(attempt)}"
    if not wrong and not open_:
        return f"{marks}: you see bugs, and you see when there is none."
    marks += "."
    if open_:
        marks += f" Not answered yet: {', '.join(open_)}."
    hints = [f"\nLoop {n}: {_hint(CASES[n], given[n])}" for n in wrong[:3]]
    more = f"\nAnd {len(wrong) - 3} more." if len(wrong) > 3 else ""
    raise Mistake(marks + "".join(hints) + more)


def _hint(case, said):
    hint = case.near.get(said) or f"not {said}; {case.look}"
    return hint if hint.endswith("?") else f"{hint}."


def _known_id(number, said):
    ids = [detector.bug for detector in Detector.all if detector.bug] + [HEALTHY]
    name = str(said).strip(" `'\"").lower().replace("_", "-").replace(" ", "-")
    if name in ids:
        return name
    similar = difflib.get_close_matches(name, ids, n=1)
    suggestion = f" Did you mean {similar[0]!r}?" if similar else ""
    raise Mistake(f"Loop {number}: {said!r} is not an id of the table.{suggestion}")
