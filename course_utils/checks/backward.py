"""Checks for lesson 03, the backward pass."""

import copy
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..models import mlp
from .feedback import (
    Mistake,
    NotAttempted,
    as_number,
    as_pair,
    call,
    check,
    close,
    compare,
    without,
)


def _entries(attempt, names):
    """The values of a dictionary with exactly these names."""
    if not isinstance(attempt, dict):
        raise Mistake(f"Pass the dictionary with your answers; this is a {type(attempt).__name__}.")
    if set(attempt) != set(names):
        raise Mistake(f"The dictionary should have the entries {', '.join(names)}, no others.")
    if any(value is ... for value in attempt.values()):
        raise NotAttempted
    return [attempt[name] for name in names]


@check
def by_hand(attempt):
    """`{"w": …, "b": …}`: the gradients for w = -1, b = 0.5, x = 4, target = 1."""
    w, b, x, target = -1.0, 0.5, 4.0, 1.0
    yours = [
        as_number(value, f"The gradient for {name}", plain=False)
        for name, value in zip("wb", _entries(attempt, "wb"), strict=True)
    ]
    error = w * x + b - target
    right = [2 * error * x, 2 * error]
    compare(
        yours,
        right,
        {
            "The two are right, but in each other's place.": right[::-1],
            "The sign is the wrong way round: the error is y - target, with y = -3.5. Raising w "
            "or b brings y nearer to the target, so the loss falls.": [-2 * error * x, -2 * error],
            "The rate of squaring is missing: the square of a number changes twice that number "
            "times as fast as the number.": [error * x, error],
            "The gradient for w is not passed on by x yet: a nudge of w moves y 4 times as far.": [
                2 * error, 2 * error
            ],
            "You multiplied by w where the rate is x: y = w * x changes x times as fast as w.": [
                2 * error * w, 2 * error
            ],
            "The bias is not multiplied by x: a nudge of b moves y just as far.": [
                2 * error * x, 2 * error * x
            ],
            "Those are the gradients for the old numbers, w = 2, b = 1, x = 3, target = 5.": [12, 4],
            "You left the target out: the error is y - target.": [
                2 * (error + target) * x, 2 * (error + target)
            ],
            "From y = -3.5 taking the target 1 away leads further down: the error is -4.5.": [
                2 * (error + 2 * target) * x, 2 * (error + 2 * target)
            ],
            "You lost the sign of w: y = w * x + b is -4 + 0.5.": [
                2 * (error - 2 * w * x) * x, 2 * (error - 2 * w * x)
            ],
            "You left the bias out of y: y = w * x + b is -3.5.": [
                2 * (error - b) * x, 2 * (error - b)
            ],
            "You multiplied by the loss itself, the square of the error; its rate is twice the "
            "error.": [error**2 * x, error**2],
            "That is the loss itself. Asked is how fast it changes with w, and with b.": [
                error**2, error**2
            ],
            "The gradient for w is right. For b the way is the same, without the link through x.": [
                right[0], yours[1]
            ],
            "The gradient for b is right. For w there is one more link: y changes x times as fast.": [
                yours[0], right[1]
            ],
        },
        "The pair (gradient for w, gradient for b)",
    )  # fmt: skip
    return "Minus signs and all: raising w or b would lower the loss here, and w does so faster."


@check
def numerical_gradient(attempt):
    """`numerical_gradient(f, x, eps)`: central differences, one entry of `x` at a time."""
    x = torch.randn(2, 3, dtype=torch.float64)
    factors = torch.randn(2, 3, dtype=torch.float64)

    def f(x):
        return (factors * x**3).sum() + x[0, 0] * x[1, 2]

    knob = x.clone().requires_grad_()
    f(knob).backward()
    # A nudge so large that a difference to one side can be told from a central one
    expected, eps = knob.grad + factors * 0.1**2, 0.1

    with without(("backward", "grad"), "Nudge, without backward() or autograd: this is the judge."):
        try:
            yours = call(attempt, f, x, eps)
        except RuntimeError as error:
            if "size of tensor" not in str(error):
                raise
            raise Mistake(
                "f was called with a tensor of another shape than x. Nudge a copy of x, and hand "
                "the whole copy to f."
            ) from None
    if not isinstance(yours, torch.Tensor):
        raise Mistake(f"Return a tensor; yours is a {type(yours).__name__}.")
    if yours.shape != x.shape:
        raise Mistake(
            f"The gradient of an x of shape {list(x.shape)} has the same shape: one number for "
            f"each entry. Yours has shape {list(yours.shape)}."
        )

    def differences(up, down, divide_by):
        result = torch.zeros_like(x)
        for i in range(x.numel()):
            one = torch.zeros_like(x)
            one.view(-1)[i] = eps
            result.view(-1)[i] = (f(x + up * one) - f(x + down * one)) / divide_by
        return result

    flat = torch.tril(torch.full((6, 6), eps, dtype=x.dtype)).view(6, 2, 3)
    still_nudged = torch.stack([f(x + one) - f(x - one) for one in flat]).view(2, 3) / (2 * eps)
    rows = eps * torch.eye(2, dtype=x.dtype)[:, :, None]
    whole_rows = torch.stack([f(x + row) - f(x - row) for row in rows])[:, None] / (2 * eps)
    first_only = expected * torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    together = (f(x + eps) - f(x - eps)) / (2 * eps)
    compare(
        yours,
        expected,
        {
            "You nudged all entries at once, so each of yours is the sum of all slopes. Nudge one "
            "entry, leave the others where they are.": together.expand(2, 3),
            "You nudged a whole row at once, so each of yours is the sum of its slopes. Go through "
            "all dimensions of x.": whole_rows.expand(2, 3),
            "The entries that you nudged before are still nudged. Start from a fresh x.clone() for "
            "each, or put the entry back.": still_nudged,
            "All zero: up and down are the same tensor. `a = x` only gives x another name; take "
            "x.clone().": torch.zeros_like(x),
            "`/ 2 * eps` divides by 2 and multiplies by eps. Put brackets: / (2 * eps).": (
                expected * eps**2
            ),
            "That is the difference between up and down, divided by eps. The two points lie 2 * eps "
            "apart.": differences(1, -1, eps),
            "That is the rise itself. Divide it by the distance of the two points, 2 * eps.": (
                differences(1, -1, 1)
            ),
            "You nudged to one side only. That works, but less well: use f(x + nudge) - "
            "f(x - nudge), divided by 2 * eps.": differences(1, 0, eps),
            "Your numbers are those of a nudge to one side only, divided by 2 * eps. If your code "
            "nudges both ways: `old = x[i, j]` is no copy, it changes with x. Take "
            "`x[i, j].item()`.": differences(1, 0, 2 * eps),
            "Only the first entry has a slope. Is the return inside the loop?": first_only,
            "The sign is the wrong way round: it is up minus down.": -expected,
            "You used a nudge of your own. Use the eps that is passed.": knob.grad,
        },
        f"With eps = {eps} the gradient",
    )
    row = x[0].clone()
    only_tables = "It works for a 2 x 3 tensor, but"
    try:
        slopes = call(attempt, lambda x: (x**2).sum(), row)
    except (IndexError, RuntimeError, TypeError, ValueError):
        raise Mistake(
            f"{only_tables} stops for a vector of 3. Go through x.view(-1), which is one row for "
            "any shape."
        ) from None
    if not close(slopes, 2 * row):
        raise Mistake(f"{only_tables} not for a vector of 3 and the default eps.")
    return "This judge knows nothing but the function itself, so it can check any gradient."


@check
def none_or_zero(attempt):
    """`{"a": …, …, "e": …}`: "None", "zero" or "nonzero" for five parameters."""
    reasons = {
        "a": ("nonzero", "a reaches the loss by a.sum(), with rate 1, and by hidden as well."),
        "b": (
            "None",
            ".item() makes a plain number of b.sum(), and torch.tensor(…) a new leaf of that. The "
            "walk back ends there and never comes to b.",
        ),
        "c": (
            "None",
            "under no_grad() nothing is recorded, so shift is a constant to the walk back.",
        ),
        "d": (
            "zero",
            "there is a path, so it isn't None; but -(d ** 2) - 1 is below 0 for every d, so that "
            "the ReLU is off and its rate is 0.",
        ),
        "e": (
            "nonzero",
            "e - e.detach() has the value 0, but a gradient is about rates: the first e has rate "
            "1, and the second is a constant.",
        ),
    }
    answers = dict(zip(reasons, _entries(attempt, reasons), strict=True))
    for name, answer in answers.items():
        answers[name] = _as_kind(answer, name)
    wrong = [name for name, (right, _) in reasons.items() if answers[name] != right]
    if wrong:
        name = wrong[0]
        raise Mistake(
            f"{len(reasons) - len(wrong)} of {len(reasons)} are right. Look at {name} again, which "
            f"you take for {answers[name]!r}: {reasons[name][1]}"
        )
    return "None is a walk that never came, zero a walk that came with nothing."


def _as_kind(answer, name):
    if answer is None or (isinstance(answer, str) and answer.strip().lower() == "none"):
        return "None"
    if isinstance(answer, str) and answer.strip().lower() in ("zero", "nonzero", "non-zero"):
        return answer.strip().lower().replace("-", "")
    raise Mistake(f'The answer for {name} should be "None", "zero" or "nonzero"; got {answer!r}.')


@check
def layer_gradients(attempt):
    """`layer_gradients(x, W, b, target)`: the mean squared error's gradients for W and b."""
    x, W, b = torch.randn(5, 3), torch.randn(2, 3), torch.randn(2)
    target = torch.randn(5, 2)
    error = x @ W.T + b - target
    G = 2 * error / error.numel()
    with without(("backward", "grad"), "Work the gradients out yourself, without autograd."):
        pair = call(attempt, x, W, b, target)
    W_grad, b_grad = as_pair(pair, "gradient_for_W, gradient_for_b")
    for yours, expected, name in ((W_grad, W, "W"), (b_grad, b, "b")):
        if not isinstance(yours, torch.Tensor | np.ndarray):
            raise Mistake(
                f"The gradient for {name} should be a tensor; yours is a {type(yours).__name__}."
            )
        if yours.shape != expected.shape:
            hint = {
                ("W", W.T.shape): " Turn the product round: G.T @ x.",
                ("W", b.shape): " Return the one for W first, then the one for b.",
                ("b", target[:, 0].shape): " Add the rows up, sum(dim=0); each is one example.",
                ("b", target.shape): " All rows share one bias: add them up.",
            }.get((name, yours.shape), "")
            raise Mistake(
                f"The gradient for {name} has the shape of {name}, {list(expected.shape)}; yours "
                f"has shape {list(yours.shape)}.{hint}"
            )
    slips = {
        "The mean is over all B x out numbers, so divide by error.numel(), 10 here; you "
        "divided by the number of rows.": 2,
        "The rate of the mean is missing: each number counts with 1 / error.numel().": 10,
        "The rate of squaring is missing: twice the error.": 0.5,
        "The sign is the wrong way round: the error is out - target.": -1,
        "You divided by the number of outputs; the mean is over rows and outputs.": 5,
        "You divided by the number of inputs, x.numel(); the mean is over error.numel().": 10 / 15,
    }
    compare(
        W_grad,
        G.T @ x,
        {why: factor * (G.T @ x) for why, factor in slips.items()}
        | {"You left the bias out of the forward pass.": (G - 2 * b / error.numel()).T @ x},
        "The gradient for W",
    )
    compare(
        b_grad,
        G.sum(dim=0),
        {why: factor * G.sum(dim=0) for why, factor in slips.items()}
        | {
            "You averaged the rows of G for the bias. The 1/B is in G already: add them up.": (
                G.mean(dim=0)
            ),
        },
        "The gradient for b",
    )
    return "These two lines are what autograd runs for every nn.Linear there is."


@check
def accumulate(attempt):
    """`accumulate(model, pieces, loss_fn)`: the large batch's gradient from uneven pieces."""
    X, y = moons(60, noise=0.3, seed=4)
    pieces = [(X[a:b], y[a:b]) for a, b in ((0, 32), (32, 52), (52, 60))]
    loss_fn = nn.CrossEntropyLoss()
    start = mlp(2, 8, 2)
    with torch.no_grad():
        start[-1].weight *= 6  # so that the pieces' losses differ

    def gradient(function, cleared=False):
        """(the gradient afterwards, what was returned), with old gradients left over."""
        model = copy.deepcopy(start)
        for parameter in model.parameters():
            parameter.grad = None if cleared else torch.full_like(parameter, 0.5)
        returned = function(model, pieces, loss_fn)
        grads = [parameter.grad for parameter in model.parameters()]
        if any(grad is None for grad in grads):
            raise Mistake("There is no gradient after your function. Is backward() called?")
        return torch.cat([grad.flatten() for grad in grads]), returned

    rows_seen, events = [], []

    def watch(_, __, loss):
        events.append("forward")
        if loss.requires_grad:
            loss.register_hook(lambda _: events.append("backward"))

    def watched(model, pieces, loss_fn):
        model.register_forward_hook(lambda _, inputs, __: rows_seen.append(len(inputs[0])))
        before = [parameter.detach().clone() for parameter in model.parameters()]
        with loss_fn.register_forward_hook(watch):
            returned = call(attempt, model, pieces, loss_fn)
        if not all(map(torch.equal, before, model.parameters())):
            raise Mistake("The weights have moved. Only the gradients are wanted, no step.")
        return returned

    def weighted(weights):
        def run(model, pieces, loss_fn):
            model.zero_grad()
            for (xb, yb), weight in zip(pieces, weights, strict=True):
                (loss_fn(model(xb), yb) * weight).backward()

        return run

    def never_cleared(model, pieces, loss_fn):
        for xb, yb in pieces:
            (loss_fn(model(xb), yb) * len(xb) / 60).backward()

    yours, returned = gradient(watched)
    if max(rows_seen, default=0) > 32:
        raise Mistake(
            f"A batch of {max(rows_seen)} rows went through the model at once. The point is that "
            "it would not fit: send each piece through by itself."
        )
    shares = [len(xb) / 60 for xb, _ in pieces]
    right = gradient(weighted(shares))[0]
    times = (yours @ right / (right @ right)).item()
    compare(
        yours,
        right,
        {
            "The gradients that were left over from before are still in there. Clear them first.": (
                gradient(never_cleared)[0]
            ),
            "You added up the means of the pieces. Each must count with its share of the rows: "
            "loss * len(xb) / rows.": gradient(weighted([1, 1, 1]))[0],
            "You divided by the number of pieces. They have 32, 20 and 8 rows, so the small ones "
            "count too much: use loss * len(xb) / rows.": gradient(weighted([1 / 3] * 3))[0],
            "You added up sums over rows. Divide by the number of all rows.": gradient(
                weighted([32, 20, 8])
            )[0],
            "Only the last piece is left: you clear the gradients inside the loop.": gradient(
                weighted([0, 0, shares[2]])
            )[0],
            "Only the last piece is left, counted as if it were all.": gradient(
                weighted([0, 0, 1])
            )[0],
            "Each mean is divided by the number of rows, but not multiplied by its own rows.": (
                gradient(weighted([1 / 60] * 3))[0]
            ),
            "You divided each mean by its own rows. It is a mean already: multiply by them, and "
            "divide by all rows.": gradient(weighted([1 / 32, 1 / 20, 1 / 8]))[0],
            "You divided by the rows so far. Count all rows before the first piece.": gradient(
                weighted([1, 20 / 52, 8 / 60])
            )[0],
            f"Your gradient is {times:.3g} times the right one. The weights len(xb) / rows of all "
            "pieces must add up to 1.": times * right,
        },
        "The gradient",
    )
    if ("backward", "backward") in pairwise(events):
        raise Mistake(
            "The gradient is right, but you add the losses up and walk back once, at the end. Until "
            "then the graphs of all pieces are kept, which takes as much memory as one large "
            "batch. Call backward() for each piece before the next one."
        )
    with torch.no_grad():
        losses = [loss_fn(start(xb), yb).item() for xb, yb in pieces]
    mean = sum(loss * share for loss, share in zip(losses, shares, strict=True))
    compare(
        as_number(returned, "The mean loss"),
        mean,
        {
            "The gradient is right, but the loss you return is the last piece's alone.": losses[-1],
            "The gradient is right, but you return the last piece's share of the loss. Add the "
            "shares up.": losses[-1] * shares[-1],
            "The gradient is right, but you return the plain mean of the pieces' losses. Weigh "
            "them by their rows as well.": sum(losses) / 3,
            "The gradient is right, but you return the sum of the pieces' losses.": sum(losses),
            "The gradient is right, but you return the sum over all rows. Divide by their number.": (
                60 * mean
            ),
            "The gradient is right, but the shares add up to the mean: don't divide them by the "
            "number of pieces again.": mean / 3,
        },
        "The mean loss",
    )
    return "Any split of the batch gives this gradient now, and memory for one piece is enough."
