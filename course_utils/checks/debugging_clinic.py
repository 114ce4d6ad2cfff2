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
    # The last of 14 batches has 14 rows, and there are enough for the doctor to see a kept graph.
    # With a generator of its own, reading the loader once more, to count, leaves dropout's random
    # numbers alone.
    size, left = 22, 14
    loader = tensor_loader(X, y, batch_size=size, generator=torch.Generator())
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
        "You divided the sum of batch means by the number of rows. Multiply each loss by len(xb) "
        "before adding.": sum(last) / 300,
        "You weighted each loss with the loader's batch size. The last batch is smaller: use "
        "len(xb).": (expected[-1] * 300 + last[-1] * (size - left)) / 300,
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
    shapes = [p.shape for p in mlp(2, 16, 16, 3).parameters()]

    def at_once(model):
        clip_grad_norm_(model.parameters(), 1.0)

    def one_by_one(model):
        for parameter in model.parameters():
            clip_grad_norm_(parameter, 1.0)

    def loop(clip=at_once, momentum=0.9, cosine=True, per_batch=False, frozen=False):
        def tuned(model, loader, epochs):
            model[:-1].requires_grad_(not frozen)
            model[-1] = nn.Linear(16, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
            length = epochs * len(loader) if per_batch else epochs
            scheduler = CosineAnnealingLR(optimizer, T_max=length)
            model.train()
            for _ in range(epochs):
                for xb, yb in loader:
                    optimizer.zero_grad()
                    cross_entropy(model(xb), yb).backward()
                    clip(model)
                    optimizer.step()
                    if cosine and per_batch:
                        scheduler.step()
                if cosine and not per_batch:
                    scheduler.step()
            return model

        return tuned

    def run(function):
        loader.generator.manual_seed(0)
        result = function(mlp(2, 16, 16, 2), loader, 5)
        if not isinstance(result, nn.Module):
            raise Mistake(f"Return the model; yours returned a {type(result).__name__}.")
        if [p.shape for p in result.parameters()] != shapes:
            raise Mistake(
                "Your model has other layers than planned. Put the new one in the place of the "
                "last, model[-1] = nn.Linear(16, 3), and keep all others."
            )
        return result, result

    mistakes = {
        "The gradients are not clipped at all. Clip their length to 1 with clip_grad_norm_ between "
        "backward() and step(). (clip_grad_value_ limits single numbers, and none is so large.)": (
            loop(clip=lambda model: None)
        ),
        "You clipped the gradient of each weight by itself. One call with model.parameters() "
        "clips the length of all of them together.": loop(clip=one_by_one),
        "SGD runs without momentum. The plan was momentum=0.9.": loop(momentum=0),
        "The learning rate stays at 0.1. Step the schedule at the end of each epoch.": loop(
            cosine=False
        ),
        "You stretched the schedule over all batches and step it after each. That is a good "
        "schedule as well, but the task asks for one step an epoch.": loop(per_batch=True),
        "The old layers are frozen, and only the new one is trained. Train all of the model.": loop(
            frozen=True
        ),
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

    def on_training_rows(model, optimizer, train_loader, val_loader, epochs):
        return right(model, optimizer, train_loader, train_loader, epochs)

    def run(function):
        loaders[0].generator.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=1.6)  # so high that it also falls
        return function(model, optimizer, *loaders, 4), model

    elsewhere = {"You measured on train_loader. Validate on val_loader.": on_training_rows}
    accuracies, expected, how = trained_like(attempt, right, run, elsewhere)
    means = batch_means[:4]
    accuracies = _numbers(accuracies, "accuracies", "four epochs", 4)
    mistakes = {
        "You averaged the accuracies of the batches. The last one has 12 rows, the others 34: "
        "count the correct rows, and divide once.": means,
        "You added up the accuracies of the batches and divided by the number of rows. Count the "
        "correct rows, with .sum().": [3 * mean / 80 for mean in means],
        "The count goes on from one epoch to the next: set it to 0 before each validation.": (
            torch.tensor(expected).cumsum(dim=0)
        ),
        "That is the best accuracy so far. Return that of each epoch, also where it falls.": (
            torch.tensor(expected).cummax(dim=0).values
        ),
        "The accuracies are sorted. Leave them in the order of the epochs.": sorted(expected),
        "You validate before the epoch's training. Each number belongs after it.": [
            accuracies[0],
            *expected[:-1],
        ],
        "Not one row matched. Compare the position of each row's largest logit with yb: "
        "argmax(dim=1), not max.": [0] * 4,
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
    y = 2 * X[:, 0] - X[:, 1] + 1 + 2 * torch.randn(160)  # so much noise that it soon overfits
    loaders = _loaders(X, y, 128, 12)

    def val_loss(pairs, losses):
        return sum(((pred.squeeze(1) - yb) ** 2).sum().item() for pred, yb in pairs)

    def loop(score=val_loss, each=False):
        """Restores the epoch with the lowest score, at the end or after each epoch."""

        def trained(model, optimizer, train_loader, val_loader, epochs):
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

        return trained

    def run(function):
        loaders[0].generator.manual_seed(0)
        model = mlp(3, 16, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.04)
        return function(model, optimizer, *loaders, 12), model

    mistakes = {
        "Those are the weights of the last epoch. Put copies of the best ones back into the model "
        "after the loop, with model.load_state_dict.": loop(lambda pairs, losses: -len(losses)),
        "Those are the weights of the epoch with the highest validation loss.": loop(
            lambda *args: -val_loss(*args)
        ),
        "You chose the epoch by a training loss. What counts is the validation loss.": loop(
            lambda pairs, losses: losses[-1]
        ),
        "The validation loss has the shapes wrong: [B, 1] against [B]. Training is right, but the "
        "best epoch is not.": loop(
            lambda pairs, losses: sum(((pred - yb) ** 2).sum().item() for pred, yb in pairs)
        ),
        "You chose by something that is nearly the validation loss. If it is the mean of the batch "
        "means: the last batch has 8 rows, the others 12, so add up the squares of all rows.": loop(
            lambda pairs, losses: sum(
                ((pred.squeeze(1) - yb) ** 2).mean().item() for pred, yb in pairs
            )
        ),
        "You put the best weights back after each epoch, so training starts from them again. Do "
        "it once, after the loop.": loop(each=True),
    }
    losses, expected, how = trained_like(attempt, loop(), run, mistakes)
    losses = _numbers(losses, "losses", "twelve epochs of four steps", 48)
    sums = {
        "Each of your losses is the sum over a batch; the task takes the mean. (The weights don't "
        "show it: to Adam a factor makes no difference.)": [32 * loss for loss in expected]
    }
    compare(losses, expected, sums, "The weights are right. The list of losses")
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
