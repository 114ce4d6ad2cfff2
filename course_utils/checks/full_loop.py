"""Checks for lesson 05, the full loop."""

import copy

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..loaders import tensor_loader
from ..models import mlp
from ..training import evaluate as reference_evaluate
from .exercise import exercise
from .feedback import Mistake, as_bool, as_number, as_pair, call
from .values import close
from .whole_loops import watched


def _weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _batches():
    for lr, rows in ((0.5, 32), (0.05, 20)):
        X, y = moons(3 * rows, seed=1)
        model = mlp(2, 8, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give
        yield model, list(zip(X.split(rows), y.split(rows), strict=True)), loss_fn, optimizer


def _one_step(attempt, model, batches, loss_fn, optimizer):
    steps, losses = [], []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    before = _weights(model)
    for xb, yb in batches:
        losses.append(call(attempt, model, xb, yb, loss_fn, optimizer))
        if not model.training:
            raise Mistake(
                "Your function puts the model into evaluation mode, so dropout would never train. "
                "Leave model.eval() out: here it belongs to the demonstration alone."
            )
    if len(steps) != 3:
        raise Mistake(
            f"In three calls of your function, step() of the optimizer it was given ran "
            f"{len(steps)} times instead of 3. Call it once each time, with parentheses: "
            "optimizer.step(). (And make no optimizer of your own: it would forget its momentum "
            "from call to call.)"
        )
    yield "The way of the weights in three steps", _weights(model) - before
    losses = [as_number(loss, "The loss you return") for loss in losses]
    yield "The weights are right. The losses of the three steps", losses


@exercise(
    cases=_batches,
    observe=_one_step,
    praise="Your function moves the weights exactly as the five lines do.",
)
def one_step(model, xb, yb, loss_fn, optimizer):
    """`one_step(model, xb, yb, loss_fn, optimizer)` does the five lines, returns the loss."""
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


def lines(order, loss_of=lambda loss_fn, z, y: loss_fn(z, y), returns=lambda loss, rows: loss):
    """The five lines in this order, on another loss of the logits, or with another result."""

    def attempt(model, xb, yb, loss_fn, optimizer):
        for line in order.split():
            if line == "forward":
                loss = loss_of(loss_fn, model(xb), yb)
            else:
                loss.backward() if line == "backward" else getattr(optimizer, line)()
        return returns(loss.item(), len(xb))

    return attempt


zero_grad_last = one_step.variant(lines("forward backward step zero_grad"))


@one_step.variant
def cleared_by_hand(model, xb, yb, loss_fn, optimizer):
    model.train()
    out = model(xb)
    value = loss_fn(out, yb)
    for p in model.parameters():
        p.grad = None
    value.backward()
    optimizer.step()
    return float(value.detach())


@one_step.variant
def gradients_put_in_place(model, xb, yb, loss_fn, optimizer):
    loss = loss_fn(model(xb), yb)
    for parameter, grad in zip(
        model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        parameter.grad = grad
    optimizer.step()
    return loss.tolist()


_FIVE = "zero_grad forward backward step"

one_step.known(
    "After three steps no weight has moved. Either backward() is not called, or zero_grad() "
    "stands between backward() and step() and throws the gradients away, or step() comes "
    "before backward(), when there are no gradients yet.",
    lines("forward backward zero_grad step"),
    "The gradients of earlier batches are still in .grad when you step: clear them with "
    "optimizer.zero_grad() once a step.",
    lines("forward backward step"),
    "optimizer.step() comes before loss.backward(), so each step uses the gradients of the "
    "batch before, and the last batch is never used.",
    lines("step zero_grad forward backward"),
    "The weights are right, but that is the loss after the step. Return the one you called "
    "backward() on.",
    lines(f"{_FIVE} forward"),
    "You gave the loss softmax probabilities. nn.CrossEntropyLoss wants the logits as they come "
    "from the model.",
    lines(_FIVE, lambda loss_fn, z, y: loss_fn(z.softmax(dim=1), y)),
    "You use another loss than the loss_fn you were given.",
    lines(_FIVE, lambda loss_fn, z, y: nn.functional.cross_entropy(z, y)),
    "You call backward() on a sum over the rows. loss_fn gives a mean, and the mean decides how "
    "far a step goes.",
    lines(_FIVE, lambda loss_fn, z, y: loss_fn(z, y) * len(y)),
    "You divide the loss by the number of rows before backward(); it is a mean already.",
    lines(_FIVE, lambda loss_fn, z, y: loss_fn(z, y) / len(y)),
    "backward() walks from minus the loss, so the loss rises. Leave the minus out.",
    lines(_FIVE, lambda loss_fn, z, y: -loss_fn(z, y)),
    "You divided by the number of rows, but the loss is a mean over them already.",
    lines(_FIVE, returns=lambda loss, rows: loss / rows),
    "That is a sum over the rows of the batch. Return the loss as it is, a mean.",
    lines(_FIVE, returns=lambda loss, rows: loss * rows),
)


def _logits():
    logits, yb = torch.randn(32, 32), torch.randint(32, (32,))
    sure = torch.arange(32) % 31 < 20  # the first and the last row among them
    logits[sure] += 8 * nn.functional.one_hot(yb[sure], 32)
    logits[torch.arange(5), (yb[:5] + 1) % 32] = -20.0  # large only in absolute value
    yield logits, yb
    logits, yb = torch.randn(50, 7), torch.randint(7, (50,))
    logits[:33] += 8 * nn.functional.one_hot(yb[:33], 7)
    yield logits, yb
    yield torch.tensor([[0.2, 0.9, -3.0]]), torch.tensor([1])
    yield torch.tensor([[-0.2, -0.9], [-5.0, -3.0], [-1.0, -2.0]]), torch.tensor([0, 1, 1])
    yield torch.eye(3), torch.tensor([1, 2, 0])


def _count(attempt, logits, yb):
    count = as_number(call(attempt, logits, yb), "The count")
    yield f"For a batch of {len(yb)} rows and {logits.shape[1]} classes the count", count


@exercise(
    cases=_logits,
    observe=_count,
    praise="You count matching rows, so the counts of unequal batches can simply be added up.",
)
def count_correct(logits, yb):
    """`count_correct(logits, yb)` returns how many predictions are right."""
    return (logits.argmax(dim=1) == yb).sum().item()


@count_correct.variant
def by_counting(logits, yb):
    return sum(int(row.argmax()) == int(label) for row, label in zip(logits, yb, strict=True))


@count_correct.variant
def through_softmax(logits, yb):
    _, prediction = logits.softmax(dim=1).max(dim=1)
    return prediction.eq(yb).sum().item()


@count_correct.variant
def as_float(logits, yb):
    return float(torch.count_nonzero(logits.argmax(-1) == yb))


@count_correct.variant
def own_logit_is_the_largest(logits, yb):
    return int((logits.gather(1, yb[:, None]).squeeze(1) >= logits.max(dim=1).values).sum())


count_correct.known(
    "Only one row is counted: does the `return` stand inside your loop?",
    lambda logits, yb: int(logits[0].argmax() == yb[0]),
    "You compared every prediction with every label: [B, 1] against [B] gives [B, B]. Leave "
    "keepdim out.",
    lambda logits, yb: (logits.argmax(1, keepdim=True) == yb).sum().item(),
    "You looked for the largest logit of each class over the batch. Each row is one example: "
    "use argmax(dim=1).",
    lambda logits, yb: (logits.argmax(dim=0) == yb).sum().item(),
    "That is the share of correct answers, not their number. Sum instead of averaging.",
    lambda logits, yb: (logits.argmax(dim=1) == yb).float().mean().item(),
    "Not one row matched. Compare the position of each row's largest logit with yb: "
    "argmax(dim=1), not max. (Without dim, argmax looks for one place in the whole table.)",
    lambda logits, yb: (logits.max(dim=1).values == yb).sum().item(),
    "That is the number of wrong answers.",
    lambda logits, yb: (logits.argmax(dim=1) != yb).sum().item(),
    "That is the number of rows. Compare the predictions with yb before counting.",
    lambda logits, yb: len(yb),
    "argmax without dim looks for one place in the whole table. Each row is one example: "
    "argmax(dim=1).",
    lambda logits, yb: (logits.argmax() == yb).sum().item(),
    "The last row is missing: range(len(yb)) ends before its end by itself.",
    lambda logits, yb: count_correct.right(logits[:-1], yb[:-1]),
    "The first row is missing: places count from 0.",
    lambda logits, yb: count_correct.right(logits[1:], yb[1:]),
    "You look for the logit that is largest in absolute value. A logit far below 0 is a "
    "confident no.",
    lambda logits, yb: count_correct.right(logits.abs(), yb),
    "You look for the lowest logit of each row; the answer is the class with the highest.",
    lambda logits, yb: count_correct.right(-logits, yb),
    "You count the rows whose right logit is above 0. The answer is the class with the largest "
    "logit, whatever its sign.",
    lambda logits, yb: int((logits[torch.arange(len(yb)), yb] > 0).sum()),
    "You compare two of the columns only. Any class may have the largest logit: argmax(dim=1).",
    lambda logits, yb: int(((logits[:, 1] > logits[:, 0]).long() == yb).sum()),
    "You add up the predicted classes where they are right. Count the rows instead.",
    lambda logits, yb: (yb * (logits.argmax(dim=1) == yb)).sum().item(),
)


def _loaders():
    for rows, size, classes in ((90, 64, 2), (75, 30, 3)):
        X, y = moons(rows, noise=0.3, seed=2)
        y = y + (X[:, 0] > 1.5).long() * (classes - 2)
        model = mlp(2, 16, classes, dropout=0.5)
        with torch.no_grad():
            model[-1].weight *= 8  # far from ln 2, so that unequal batches differ
        yield model, tensor_loader(X, y, batch_size=size), nn.CrossEntropyLoss(label_smoothing=0.1)


def _evaluate(attempt, model, loader, loss_fn):
    seen = []
    model.register_forward_hook(
        lambda model, _, logits: seen.append((model.training, logits.requires_grad))
    )
    before = _weights(model)
    result = as_pair(call(attempt, model, loader, loss_fn), "mean_loss, accuracy")
    if not seen:
        raise Mistake("The model you were given was never called. Use the function's arguments.")
    if not close(before, _weights(model)) or not all(p.requires_grad for p in model.parameters()):
        raise Mistake("Your function changed the model's parameters. Evaluation only looks.")
    if not torch.is_grad_enabled():
        raise Mistake(
            "Gradients are still switched off after your function, and the next epoch could not "
            "train. Use `with torch.no_grad():`, which switches them on again."
        )
    loss, accuracy = (
        as_number(part, what)
        for part, what in zip(result, ("The mean loss", "The accuracy"), strict=True)
    )
    if any(training for training, _ in seen):
        evaluated = " The first batch was in evaluation mode, later ones were not: do you call "
        later = evaluated + "model.train() inside the loop?"
        raise Mistake(
            "The model was in training mode, so dropout was active and the numbers are noisy."
            + (" Call model.eval() before the loop." if seen[0][0] else later)
        )
    if any(requires_grad for _, requires_grad in seen):
        raise Mistake(
            "The numbers may be right, but the logits carry a graph that nobody needs. Put the "
            "loop under torch.no_grad()."
        )
    rows = len(loader.dataset)
    yield f"For {rows} rows in batches of {loader.batch_size} the mean loss", loss
    yield f"The loss is right. For {rows} rows the accuracy", accuracy
    if not model.training:
        raise Mistake(
            "The numbers are right, but the model is still in evaluation mode, and the next epoch "
            "would train without dropout. Call model.train() at the end."
        )


@exercise(
    cases=_loaders,
    observe=_evaluate,
    praise="Loss and accuracy count every example once, and the model is back in training mode.",
)
def evaluate(model, loader, loss_fn):
    """`evaluate(model, loader, loss_fn)` returns (mean loss, accuracy) over all examples."""
    model.train()  # the package's gives the model back as it was
    return reference_evaluate(model, loader, loss_fn)


@evaluate.variant
@torch.no_grad()
def with_lists(model, loader, loss_fn):
    was_training = model.training
    model.eval()
    losses, hits = [], []
    for xb, yb in loader:
        logits = model(xb)
        losses += [loss_fn(logits, yb).item()] * len(yb)
        hits += (logits.argmax(1) == yb).tolist()
    model.train(was_training)
    return sum(losses) / len(losses), sum(hits) / len(hits)


@evaluate.variant
def in_one_batch(model, loader, loss_fn):
    model.eval()
    with torch.inference_mode():
        X = torch.cat([xb for xb, _ in loader])
        y = torch.cat([yb for _, yb in loader])
        logits = model(X)
        result = loss_fn(logits, y).item(), (logits.argmax(dim=1) == y).double().mean().item()
    model.train()
    return result


@evaluate.variant
def with_a_frozen_twin(model, loader, loss_fn):
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    parts = [(twin(xb), yb) for xb, yb in loader]
    logits, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    return [loss_fn(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()]


def _from_batches(summary, logits_as=lambda logits: logits):
    """An evaluation that returns `summary(mean losses, correct rows, sizes of the batches)`."""

    def attempt(model, loader, loss_fn):
        model.eval()
        losses, hits, sizes = [], [], []
        with torch.no_grad():
            for xb, yb in loader:
                logits = logits_as(model(xb))
                losses.append(loss_fn(logits, yb).item())
                hits.append((logits.argmax(dim=1) == yb).sum().item())
                sizes.append(len(xb))
        model.train()
        return summary(np.array(losses), np.array(hits), np.array(sizes))

    return attempt


def _weighted(losses, hits, sizes):
    return losses @ sizes / sizes.sum(), hits.sum() / sizes.sum()


def _right_but(loss=None, accuracy=None):
    """The right evaluation with another loss or accuracy, functions of what a batch gives."""

    def summary(*batches):
        mean, share = _weighted(*batches)
        return loss(*batches) if loss else mean, accuracy(*batches) if accuracy else share

    return _from_batches(summary)


evaluate.known(
    "You averaged the batch means. The batches differ in size, so each mean must count with its "
    "number of rows: add loss.item() * len(xb), divide by all rows.",
    _right_but(lambda losses, hits, sizes: losses.mean()),
    "You added up the batch means without dividing.",
    _right_but(lambda losses, hits, sizes: losses.sum()),
    "You divided the sum of batch means by the number of rows. Multiply each mean by len(xb) "
    "before adding.",
    _right_but(lambda losses, hits, sizes: losses.sum() / sizes.sum()),
    "That is the loss of the last batch alone.",
    _right_but(lambda losses, hits, sizes: losses[-1]),
    "That is the loss of the first batch alone. Return after the loop.",
    _right_but(lambda losses, hits, sizes: losses[0]),
    "That is the accuracy. Return the mean loss first.",
    _from_batches(lambda *batches: _weighted(*batches)[::-1]),
    "You gave the loss softmax probabilities. nn.CrossEntropyLoss wants the logits as they come "
    "from the model.",
    _from_batches(_weighted, lambda logits: logits.softmax(dim=1)),
    "The sum over all rows still has to be divided by their number.",
    _right_but(lambda losses, hits, sizes: losses @ sizes),
    "The sum over all rows is divided by the number of batches; divide by that of all rows.",
    _right_but(lambda losses, hits, sizes: losses @ sizes / len(sizes)),
    "Every batch counts as if it had as many rows as the last one: multiply each mean by its "
    "own len(xb).",
    _right_but(lambda losses, hits, sizes: losses.sum() * sizes[-1] / sizes.sum()),
    "Every batch counts as if it were a full one. The last has fewer rows: multiply by len(xb).",
    _right_but(lambda losses, hits, sizes: losses.sum() * sizes[0] / sizes.sum()),
    "You averaged the batch accuracies. Count the correct rows of all batches, then divide once.",
    _right_but(accuracy=lambda losses, hits, sizes: (hits / sizes).mean()),
    "You added up the batch accuracies. Count the correct rows of all batches, then divide once.",
    _right_but(accuracy=lambda losses, hits, sizes: (hits / sizes).sum()),
    "That is the accuracy of the last batch alone. Count the correct rows of all.",
    _right_but(accuracy=lambda losses, hits, sizes: hits[-1] / sizes[-1]),
    "You counted only the correct rows of the last batch, and divided by all rows.",
    _right_but(accuracy=lambda losses, hits, sizes: hits[-1] / sizes.sum()),
    "That is a percentage; return a share between 0 and 1.",
    _right_but(accuracy=lambda losses, hits, sizes: 100 * hits.sum() / sizes.sum()),
    "That is the number of correct rows; divide by all rows.",
    _right_but(accuracy=lambda losses, hits, sizes: hits.sum()),
    "You divided the number of correct rows by the number of batches; divide by the number of "
    "rows.",
    _right_but(accuracy=lambda losses, hits, sizes: hits.sum() / len(sizes)),
    "That is the share of wrong answers.",
    _right_but(accuracy=lambda losses, hits, sizes: 1 - hits.sum() / sizes.sum()),
)


def _two_loaders():
    X, y = moons(200, noise=0.2, seed=4)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give
    model = mlp(2, 16, 2, dropout=0.2).eval()  # the mode after somebody has looked at it
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    # With generators of their own, how often they are read leaves dropout's numbers alone.
    train_loader = tensor_loader(
        X[:160], y[:160], batch_size=32, shuffle=True, generator=torch.Generator()
    )
    val_loader = tensor_loader(X[160:], y[160:], batch_size=32, generator=torch.Generator())
    yield model, train_loader, val_loader, loss_fn, optimizer, 4


def _run(attempt, model, train_loader, val_loader, loss_fn, optimizer, epochs):
    before = _weights(model)
    result = attempt(model, train_loader, val_loader, loss_fn, optimizer, epochs)
    if not optimizer.state and not close(_weights(model), before):  # no momentum: no step
        raise Mistake(
            "The weights have moved, but not by the optimizer that your function was given. Use "
            "it, and make no other."
        )
    return result, model


def _val_losses(losses):
    if isinstance(losses, dict | nn.Module) or not hasattr(losses, "__len__"):
        raise Mistake(
            f"The weights are right. Return a list with the validation loss of each epoch; yours "
            f"is a {type(losses).__name__}."
        )
    if isinstance(losses, tuple) and any(isinstance(part, list) for part in losses):
        raise Mistake(
            "The weights are right. Return the list of validation losses alone; yours returned "
            f"{len(losses)} things."
        )
    if any(isinstance(loss, tuple | list) for loss in losses):
        raise Mistake(
            "The weights are right, but your list holds pairs: evaluate() returns (mean loss, "
            "accuracy). Keep the first of the two."
        )
    losses = [as_number(loss, "A validation loss", plain=False) for loss in losses]
    if len(losses) != 4:
        raise Mistake(
            f"The weights are right. Of 4 epochs you return {len(losses)} validation losses; "
            "append one after the batches of each epoch."
        )
    yield "The weights are right. The validation losses", losses


@exercise(
    cases=_two_loaders,
    observe=watched(_run, _val_losses),
    praise="Watched by the doctor, and the weights are those of the right loop.",
)
def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    """`train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs)`."""
    loop = _measuring(_val_loss)
    return loop(model, train_loader, val_loader, loss_fn, optimizer, epochs)


def _val_loss(evaluate, val_loader, losses):
    return evaluate(val_loader)[0]


def _measuring(measure, first=False, batches_of=iter):
    """Training on `batches_of(train_loader)`; for each epoch `measure(evaluate, val_loader, losses)`."""

    def loop(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        def evaluate(loader):
            return reference_evaluate(model, loader, loss_fn)

        measured = [measure(evaluate, val_loader, [])] if first else []
        for _ in range(epochs):
            model.train()
            batches = batches_of(train_loader)
            losses = [one_step.right(model, xb, yb, loss_fn, optimizer) for xb, yb in batches]
            measured.append(measure(evaluate, val_loader, losses))
        return measured[:epochs]

    return loop


def _loops_swapped(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    val_losses = []
    for batch in train_loader:
        model.train()
        for _ in range(epochs):
            one_step.right(model, *batch, loss_fn, optimizer)
        val_losses.append(reference_evaluate(model, val_loader, loss_fn)[0])
    return val_losses


def _step_after_the_batches(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    val_losses = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
        optimizer.step()
        val_losses.append(reference_evaluate(model, val_loader, loss_fn)[0])
    return val_losses


train_and_validate.known(
    "You make one step in each epoch: step() stands outside the loop over the batches. Indent it like "
    "backward().",
    _step_after_the_batches,
    "Your loops are the wrong way round: each batch is used `epochs` times in a row. The loop over "
    "the epochs is the outer one.",
    _loops_swapped,
    "next(iter(train_loader)) begins a new pass each time, and gives its first batch. Write `for xb, "
    "yb in train_loader:`, which gives every batch once.",
    _measuring(
        _val_loss, batches_of=lambda loader: [next(iter(loader)) for _ in range(len(loader))]
    ),
    "next(iter(train_loader)) gives one batch, the first. Write `for xb, yb in train_loader:`, which "
    "gives every batch once.",
    _measuring(_val_loss, batches_of=lambda loader: [next(iter(loader))]),
    "All your steps are on one batch, the first. Write `for xb, yb in train_loader:`, which gives "
    "every batch once.",
    lambda model, train, *rest: train_and_validate.right(
        model, [next(iter(train))] * len(train), *rest
    ),
    "You measure on train_loader. The validation loss is that of val_loader.",
    lambda model, train, val, *rest: train_and_validate.right(model, train, train, *rest),
    "You trained with another loss than the loss_fn that your function was given.",
    lambda model, train, val, loss_fn, *rest: train_and_validate.right(
        model, train, val, nn.CrossEntropyLoss(), *rest
    ),
    "That is the accuracy. evaluate() returns the mean loss first.",
    _measuring(lambda evaluate, val_loader, losses: evaluate(val_loader)[1]),
    "You averaged the batch means. The batches have 32 and 8 rows: evaluate() counts every row "
    "once.",
    _measuring(
        lambda evaluate, val_loader, losses: np.mean([evaluate([batch])[0] for batch in val_loader])
    ),
    "That is the loss of the epoch before. Measure after the batches of the epoch.",
    _measuring(_val_loss, first=True),
    "That is the training loss of the last batch. Measure on val_loader.",
    _measuring(lambda evaluate, val_loader, losses: losses[-1]),
    "That is the mean training loss of the epoch. Measure on val_loader.",
    _measuring(lambda evaluate, val_loader, losses: np.mean(losses)),
)


def _states():
    """A model whose .grad is in a known state, a batch, a loss, and what to say of a wrong answer."""
    X, y = moons(64, seed=3)
    first, second = (X[:32], y[:32]), (X[32:], y[32:])
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give
    model = mlp(2, 8, 2)

    def state(*batches):
        fresh = copy.deepcopy(model)
        for xb, yb in batches:
            loss_fn(fresh(xb), yb).backward()
        return fresh

    fresh = (
        "The gradients were cleared and came from this batch alone, but you say they are stale. Use "
        "the loss_fn you were given, and torch.allclose to forgive rounding."
    )
    yield state(second), *second, loss_fn, fresh
    yield state(first), *first, loss_fn, fresh
    added_up = (
        "The gradients of two batches were added up, but you call them fresh. Work out what this "
        "batch alone would give, and compare every parameter's .grad with it."
    )
    yield state(first, second), *second, loss_fn, added_up
    yield state(second, second), *second, loss_fn, added_up
    of_another = (
        "The gradients are those of another batch, and none of this one, but you call them fresh. "
        "Compare the values with what this batch alone gives."
    )
    yield state(first), *second, loss_fn, of_another
    for name, _ in model.named_parameters():
        stale = state(second)
        stale.get_parameter(name).grad += 0.005
        noticed = (
            f"Only the gradient of {name} was stale, by 0.005, and you did not notice: compare all "
            "parameters, closely."
        )
        yield stale, *second, loss_fn, noticed
    rolled = state(second)
    for parameter in rolled.parameters():
        parameter.grad.copy_(parameter.grad.roll(1, dims=0))
    places = (
        "The gradients were in the wrong places, and you call them fresh: lengths or sums alone "
        "don't tell. Compare the values one by one."
    )
    yield rolled, *second, loss_fn, places


def _gradients_are_fresh(attempt, model, xb, yb, loss_fn, why):
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    result = call(attempt, model, xb, yb, loss_fn)
    after = [parameter.grad for parameter in model.parameters()]
    if any(b is None or not torch.equal(a, b) for a, b in zip(grads, after, strict=True)):
        raise Mistake(
            "Your check changes the gradients that it is meant to look at, so the step that "
            "follows would use wrong ones. Compute the fresh gradients with "
            "torch.autograd.grad(loss, list(model.parameters())), which leaves .grad alone."
        )
    yield "Your answer", as_bool(result, "gradients_are_fresh"), why


@exercise(
    cases=_states,
    observe=_gradients_are_fresh,
    praise="This assertion finds a missing zero_grad in the second step, whatever the curve says.",
)
def gradients_are_fresh(model, xb, yb, loss_fn):
    """`gradients_are_fresh(model, xb, yb, loss_fn)`: True if .grad is this batch's alone."""
    return _compare_gradients(model, xb, yb, loss_fn, lambda p, g: torch.allclose(p, g, atol=1e-6))


def _compare_gradients(model, xb, yb, loss_fn, same):
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss_fn(model(xb), yb), parameters)
    return all(same(p.grad, grad) for p, grad in zip(parameters, expected, strict=True))


@gradients_are_fresh.variant
def on_a_copy(model, xb, yb, loss_fn):
    other = copy.deepcopy(model)  # of parameters, which leaves .grad behind
    loss_fn(other(xb), yb).backward()
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(p.grad, q.grad, atol=1e-6) for p, q in pairs)


@gradients_are_fresh.variant
def saved_and_put_back(model, xb, yb, loss_fn):
    saved = [p.grad for p in model.parameters()]
    model.zero_grad()
    loss_fn(model(xb), yb).backward()
    fresh = [p.grad for p in model.parameters()]
    for p, grad in zip(model.parameters(), saved, strict=True):
        p.grad = grad
    return max((a - b).abs().max() for a, b in zip(saved, fresh, strict=True)).item() < 1e-6


@gradients_are_fresh.variant
def with_numpy(model, xb, yb, loss_fn):
    return np.bool_(
        _compare_gradients(
            model, xb, yb, loss_fn, lambda p, g: np.allclose(p.numpy(), g.numpy(), atol=1e-6)
        )
    )


gradients_are_fresh.known(
    "You call even fresh gradients stale. Use the loss_fn you were given, and torch.allclose to "
    "forgive rounding.",
    lambda *batch: False,
    "You answer True whatever the gradients are. Compare them with what this batch alone gives.",
    lambda *batch: True,
    "You answer the wrong way round: True means that the gradients are fresh.",
    lambda *batch: not gradients_are_fresh.right(*batch),
    "You compare lengths or sums alone, and those can be the same by accident. Compare the "
    "values one by one.",
    lambda *batch: _compare_gradients(*batch, lambda p, g: abs(p.norm() - g.norm()).item() < 1e-6),
    "It is enough for you if some gradients are fresh, or nearly so. All of them must be, closely.",
    lambda *batch: not _compare_gradients(*batch, lambda p, g: not torch.allclose(p, g, atol=1e-6)),
)


def _courses():
    yield [3.0, 2.0, 1.9, 1.8, 1.7], 2
    yield [0.5, 0.6, 0.7, 0.8, 0.9], 2
    yield [3.0, 0.5, 0.6, 0.4, 0.45, 0.3999, 0.5, 0.45, 0.6, 0.65, 0.3], 3
    yield [0.5, 0.5, 0.5, 0.5], 2
    yield [2000.0, 1500.0, 1600.0, 1700.0], 1
    yield [-1.0, -2.0, -1.5, -1.9, -3.0], 2


def _early_stopping(attempt, losses, patience):
    if not callable(attempt) or (hasattr(attempt, "should_stop") and not isinstance(attempt, type)):
        raise Mistake("Pass the class itself: check.full_loop.early_stopping(EarlyStopping).")
    stopper, model = attempt(patience), nn.BatchNorm1d(1)  # parameters and buffers
    stopped = "never"
    for epoch, loss in enumerate(losses, 1):
        _fill(model, epoch)
        stop = as_bool(call(stopper.should_stop, loss, model), "should_stop")
        if _number_in(model) != epoch or not model.training:
            raise Mistake("should_stop must only look at the model, not change it.")
        if stop:
            stopped = epoch
            break
    yield (
        f"With patience={patience} and losses {losses} the epoch after which training stops",
        stopped,
    )
    # To tell the possible mistakes apart: what was training goes on to 77, and another model,
    # full of 99, is restored.
    _fill(model, 77)
    other = nn.BatchNorm1d(1)
    _fill(other, 99)
    stopper.restore(other)
    restored = _number_in(other)
    if restored is None:
        raise Mistake(
            "restore() put back only a part of the model. A state_dict() has all of it, buffers "
            "such as those of BatchNorm included."
        )
    yield f"With losses {losses} the epoch whose weights restore() puts back", restored
    if stopped != "never":
        _fill(other, 88)
        again = as_bool(call(stopper.should_stop, max(losses), other), "should_stop")
        yield "After the stop a further bad epoch; should_stop()", again


def _fill(model, number):
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(number)


def _number_in(model):
    """The number that fills the model, or None if its parts differ."""
    values = {value.item() for value in model.state_dict().values()}
    return values.pop() if len(values) == 1 else None


@exercise(
    cases=_courses,
    observe=_early_stopping,
    praise="It waits as long as it should, and gives back the best weights, not the last.",
)
class early_stopping:
    """`EarlyStopping(patience)` with `.should_stop(val_loss, model)` and `.restore(model)`."""

    def __init__(self, patience):
        self.patience, self.best_weights = patience, None
        self.losses, self.good = [], []

    def better(self):
        return self.losses[-1] < min(self.losses[:-1], default=float("inf"))

    def keeps(self):
        return self.good[-1]

    def copied(self, model):
        return copy.deepcopy(model.state_dict())

    def waited(self):
        return [*self.good[::-1], True].index(True)

    def enough(self):
        return self.waited() >= self.patience

    def should_stop(self, val_loss, model):
        self.losses.append(val_loss)
        self.good.append(self.better())
        if self.keeps():
            self.best_weights = self.copied(model)
        return self.enough()

    def restore(self, model):
        model.load_state_dict(self.best_weights)


@early_stopping.variant
class WithHistory:
    def __init__(self, patience):
        self.patience, self.losses = patience, []

    def should_stop(self, val_loss, model):
        self.losses.append(val_loss)
        best = self.losses.index(min(self.losses))
        if best == len(self.losses) - 1:
            self.weights = {k: v.clone() for k, v in model.state_dict().items()}
        return len(self.losses) - 1 - best >= self.patience

    def restore(self, model):
        model.load_state_dict(self.weights)


@early_stopping.variant
class CountingDown:
    def __init__(self, patience):
        self.patience = self.left = patience
        self.best = None

    def should_stop(self, val_loss, model):
        if self.best is None or val_loss < self.best[0]:
            self.best = (val_loss, copy.deepcopy(model))
            self.left = self.patience
        else:
            self.left -= 1
        return self.left <= 0

    def restore(self, model):
        model.load_state_dict(self.best[1].state_dict())


@early_stopping.variant
def from_a_factory(patience):
    return early_stopping.right(patience)


def _only_parameters(self, model):
    return dict(nn.BatchNorm1d(1).state_dict()) | {
        name: p.detach().clone() for name, p in model.named_parameters()
    }


early_stopping.known(
    "restore() put back only a part of the model. A state_dict() has all of it, buffers such as "
    "those of BatchNorm included.",
    early_stopping.spoilt(copied=_only_parameters),
    "You compare each epoch with the one before. Compare with the best so far, and keep that in "
    "self.",
    early_stopping.spoilt(better=lambda self: self.losses[-1] < [float("inf"), *self.losses][-2]),
    "Bad epochs count only in a row: an epoch that is the best so far must set the counter back "
    "to 0.",
    early_stopping.spoilt(waited=lambda self: self.good.count(False)),
    "You count every epoch, also those that are better. Count the bad ones in a row.",
    early_stopping.spoilt(waited=lambda self: len(self.losses)),
    "restore() puts back the weights of the last epoch before the stop. Save the weights every "
    "time the loss is the lowest so far, and only then.",
    early_stopping.spoilt(keeps=lambda self: not self.enough()),
    "restore() puts back the weights of the last epoch. Save the weights every time the loss is "
    "the lowest so far, and only then.",
    early_stopping.spoilt(keeps=lambda self: True),
    "restore() puts back the weights of the first epoch. Save them anew every time the loss is "
    "the lowest so far.",
    early_stopping.spoilt(keeps=lambda self: len(self.losses) == 1),
    "The best loss stays that of the first epoch. Write the lower one into self.best_loss.",
    early_stopping.spoilt(
        better=lambda self: self.losses[-1] < [*self.losses[:-1], float("inf")][0]
    ),
    "A loss that is lower than the best so far is better; to you a higher one is.",
    early_stopping.spoilt(
        better=lambda self: self.losses[-1] > max(self.losses[:-1], default=-float("inf"))
    ),
    "With patience=2 you stopped after 3 bad epochs: stop as soon as the count reaches the "
    "patience (>=, not >).",
    early_stopping.spoilt(enough=lambda self: self.waited() > self.patience),
    "That is one epoch early: stop when `patience` epochs in a row were not better.",
    early_stopping.spoilt(enough=lambda self: self.waited() >= max(1, self.patience - 1)),
    "You stop at the first bad epoch. Use self.patience.",
    early_stopping.spoilt(enough=lambda self: self.waited() > 0),
    "An equal loss is no improvement and must count as a bad epoch.",
    early_stopping.spoilt(better=lambda self: self.losses[-1] == min(self.losses)),
    "You never stop: does should_stop return the comparison of the count with the patience?",
    early_stopping.spoilt(enough=lambda self: False),
    "It is the wrong way round: you return True as long as training should go on.",
    early_stopping.spoilt(enough=lambda self: self.waited() < self.patience),
    "`==` is true only once: after one more bad epoch you would go on. Use >=.",
    early_stopping.spoilt(enough=lambda self: self.waited() == self.patience),
    "You saved the weights without a copy: state_dict() holds references, and training moved "
    "what they refer to, so restore() puts back the latest weights, not the best. Save "
    "copy.deepcopy(model.state_dict()).",
    early_stopping.spoilt(copied=lambda self, m: m.state_dict()),
    "restore() changed nothing in the model it was given. Load the weights you saved: "
    "model.load_state_dict(…).",
    early_stopping.spoilt(restore=lambda self, model: self.best_weights),
)
for n in (2, 3):
    early_stopping.known(
        f"You wait for {n} bad epochs, whatever the patience. Use self.patience.",
        early_stopping.spoilt(enough=lambda self, n=n: self.waited() >= n),
    )
for n in (0, 1, 1000):
    early_stopping.known(
        f"Your best loss starts at {n}, and losses may be higher. Start with float('inf').",
        early_stopping.spoilt(
            better=lambda self, n=n: self.losses[-1] < min([n, *self.losses[:-1]])
        ),
    )
