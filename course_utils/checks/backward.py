"""Checks for lesson 03, the backward pass."""

import numpy as np
import torch
from torch import nn

from ..data import moons
from ..models import mlp
from .exercise import exercise
from .feedback import (
    Mistake,
    NotAttempted,
    as_number,
    as_pair,
    as_tensor,
    call,
    check,
    compare,
    filled,
    without,
)
from .values import close

W, B, X, TARGET = -1.0, 0.5, 4.0, 1.0
_ERROR = W * X + B - TARGET


def _pair(rate, x=X):
    """The gradients for w and b, where `rate` is that of y."""
    return [rate * x, rate]


BY_HAND = {  # what other pairs of numbers say
    "The two are right, but in each other's place.": _pair(2 * _ERROR)[::-1],
    "The sign is the wrong way round: the error is y - target, with y = -3.5. Raising w or b "
    "brings y nearer to the target, so the loss falls.": _pair(-2 * _ERROR),
    "The rate of squaring is missing: the square of a number changes twice that number times as "
    "fast as the number.": _pair(_ERROR),
    "The gradient for w is not passed on by x yet: a nudge of w moves y 4 times as far.": _pair(
        2 * _ERROR, 1
    ),
    "You multiplied by w where the rate is x: y = w * x changes x times as fast as w.": _pair(
        2 * _ERROR, W
    ),
    "The bias is not multiplied by x: a nudge of b moves y just as far.": [2 * _ERROR * X] * 2,
    "Those are the gradients for the old numbers, w = 2, b = 1, x = 3, target = 5.": [12, 4],
    "You left the target out: the error is y - target.": _pair(2 * (_ERROR + TARGET)),
    "From y = -3.5 taking the target 1 away leads further down: the error is -4.5.": _pair(
        2 * (_ERROR + 2 * TARGET)
    ),
    "You lost the sign of w: y = w * x + b is -4 + 0.5.": _pair(2 * (_ERROR - 2 * W * X)),
    "You took the bias away: y = w * x + b is -4 + 0.5.": _pair(2 * (_ERROR - 2 * B)),
    "You took the bias away, where y = w * x + b adds it: y is -3.5, and rises with b.": [
        2 * (_ERROR - 2 * B) * X,
        -2 * (_ERROR - 2 * B),
    ],
    "You left the bias out of y: y = w * x + b is -3.5.": _pair(2 * (_ERROR - B)),
    "You multiplied by the loss itself, the square of the error; its rate is twice the error.": (
        _pair(_ERROR**2)
    ),
    "That is the loss itself. Asked is how fast it changes with w, and with b.": [_ERROR**2] * 2,
    "The gradient for w is right. That for b has the other sign: it is twice the error, and y is "
    "below the target.": [2 * _ERROR * X, -2 * _ERROR],
    "The gradient for b is right. That for w has the other sign: x is positive and keeps it.": [
        -2 * _ERROR * X,
        2 * _ERROR,
    ],
}


@check
def by_hand(attempt):
    """`{"w": …, "b": …}`: the gradients for w = -1, b = 0.5, x = 4, target = 1."""
    answers = filled(attempt, "wb")
    if len(answers) < 2:
        raise NotAttempted
    yours = [
        as_number(answer, f"The gradient for {name}", plain=False)
        for name, answer in answers.items()
    ]
    right = _pair(2 * _ERROR)
    if not close(yours, right):
        raise Mistake(_slip(yours, right))
    return "Minus signs and all: raising w or b would lower the loss here, and w does so faster."


def _slip(yours, right):
    """What is wrong with two numbers, in words that leave the right ones to the learner."""
    for words, pair in BY_HAND.items():
        if close(yours, pair):
            return words
    if close(yours, right, 0.05):
        return (
            "Very near: that is what a nudge gives. Multiply the rates along the chain instead, and "
            "both come out as whole numbers."
        )
    if close(yours[0], right[0]):
        return "The gradient for w is right. For b the way is the same, without the link through x."
    if close(yours[1], right[1]):
        return (
            "The gradient for b is right. For w there is one more link: y changes x times as fast."
        )
    return (
        "Go along the chain, link by link: y is -3.5, and the error y - target is -4.5. What is the "
        "rate of squaring there? And which rate comes in addition for w?"
    )


def _functions():
    factors = torch.randn(2, 3, dtype=torch.float64)

    def uneven(x):
        return (factors * x**3).sum() + x[0, 0] * x[1, 2]

    # A nudge so large that a difference to one side can be told from a central one
    yield uneven, torch.randn(2, 3, dtype=torch.float64), 0.1
    yield (lambda x: (x**3).sum()), torch.randn(3, dtype=torch.float64), None
    yield (lambda x: (x**3).sum() + x[0, 0, 0]), torch.randn(2, 1, 2), 0.25


def _numerical_gradient(attempt, f, x, eps):
    settings = () if eps is None else (eps,)
    with without(("backward", "grad"), "Nudge, without backward() or autograd: this is the judge."):
        try:
            slopes = call(attempt, f, x, *settings)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            if "size of tensor" in str(error):
                raise Mistake(
                    "f was called with a tensor of another shape than x. Nudge a copy of x, and "
                    "hand the whole copy to f."
                ) from None
            if x.ndim == 2:
                raise
            raise Mistake(
                f"It works for a 2 x 3 tensor, but stops for one of shape {list(x.shape)}. Go "
                "through view(-1) of x.new_zeros(x.shape), which is one row whatever the shape."
            ) from None
    as_tensor(slopes, "The gradient, one number for each entry of x,", x.shape)
    which = "With the default eps" if eps is None else f"With eps = {eps}"
    yield f"{which} and an x of shape {list(x.shape)} the gradient", slopes
    if slopes.dtype != x.dtype:
        raise Mistake(
            f"x is {x.dtype} and your gradient {slopes.dtype}. A judge must be as exact as what it "
            "judges: torch.zeros_like(x)."
        )


def _nudge_each(slope):
    """A numerical gradient with `slope(f, x, nudge, eps)` for each entry."""

    def attempt(f, x, eps=1e-5):
        gradient = torch.zeros_like(x)
        for i in range(x.numel()):
            nudge = torch.zeros_like(x)
            nudge.view(-1)[i] = eps
            gradient.view(-1)[i] = slope(f, x, nudge, eps)
        return gradient

    return attempt


_central = _nudge_each(lambda f, x, nudge, eps: (f(x + nudge) - f(x - nudge)) / (2 * eps))


@exercise(
    cases=_functions,
    observe=_numerical_gradient,
    praise="This judge knows nothing but the function itself, whoever worked the gradient out.",
)
def numerical_gradient(f, x, eps=1e-5):
    """`numerical_gradient(f, x, eps)`: central differences, one entry of `x` at a time."""
    return _central(f, x, eps)


@numerical_gradient.variant
def by_unit_vectors(f, x, eps=1e-5):
    eye = torch.eye(x.numel(), dtype=x.dtype)
    slopes = [
        float(f(x + eps * e.view(x.shape)) - f(x - eps * e.view(x.shape))) / (2 * eps) for e in eye
    ]
    return torch.tensor(slopes, dtype=x.dtype).view(x.shape)


@numerical_gradient.variant
def in_place_and_back(f, x, eps=1e-5):
    x, grad = x.clone(), torch.empty_like(x)
    for i in range(x.numel()):
        kept = x.view(-1)[i].item()
        x.view(-1)[i] = kept + eps
        up = f(x).item()
        x.view(-1)[i] = kept - eps
        down = f(x).item()
        x.view(-1)[i] = kept
        grad.view(-1)[i] = (up - down) / eps / 2
    return grad


def _central_by(widen):
    """Central differences with `widen(nudge)` in place of the nudge of one entry."""
    return _nudge_each(
        lambda f, x, nudge, eps: (f(x + widen(nudge)) - f(x - widen(nudge))) / (2 * eps)
    )


def _to_its_row(nudge):
    rows = nudge.view(len(nudge), -1).sum(1)
    return rows.view(-1, *[1] * (nudge.ndim - 1)) + 0 * nudge


numerical_gradient.known(
    "You nudged a whole row at once, so each of yours is the sum of its slopes. Go through all "
    "dimensions of x.",
    _central_by(_to_its_row),
    "The entries that you nudged before are still nudged. Start from a fresh x.clone() for each, or "
    "put the entry back.",
    _central_by(lambda nudge: nudge.flatten().flip(0).cumsum(0).flip(0).view_as(nudge)),
    "You nudged all entries at once, so each of yours is the sum of all slopes. Nudge one "
    "entry, leave the others where they are.",
    _nudge_each(lambda f, x, nudge, eps: (f(x + eps) - f(x - eps)) / (2 * eps)),
    "Only the first entry has a slope. Is the return inside the loop?",
    lambda f, x, *eps: _central(f, x, *eps).where(torch.arange(x.numel()).view(x.shape) < 1, 0),
    "You used a nudge of your own. Use the eps that is passed.",
    lambda f, x, *eps: _central(f, x),
    "x is float64 and your gradient float32. A judge must be as exact as what it judges: "
    "torch.zeros_like(x).",
    lambda f, x, *eps: _central(f, x, *eps).float(),
    "All zero: up and down are the same tensor. `a = x` only gives x another name; take x.clone().",
    _nudge_each(lambda f, x, nudge, eps: 0.0),
    "`/ 2 * eps` divides by 2 and multiplies by eps. Put brackets: / (2 * eps).",
    _nudge_each(lambda f, x, nudge, eps: (f(x + nudge) - f(x - nudge)) / 2 * eps),
    "That is the difference between up and down, divided by eps. The two points lie 2 * eps apart.",
    _nudge_each(lambda f, x, nudge, eps: (f(x + nudge) - f(x - nudge)) / eps),
    "That is the rise itself. Divide it by the distance of the two points, 2 * eps.",
    _nudge_each(lambda f, x, nudge, eps: f(x + nudge) - f(x - nudge)),
    "You nudged to one side only. That works, but less well: use f(x + nudge) - f(x - nudge), "
    "divided by 2 * eps.",
    _nudge_each(lambda f, x, nudge, eps: (f(x + nudge) - f(x)) / eps),
    "You nudged downwards only. That works, but less well: use f(x + nudge) - f(x - nudge), "
    "divided by 2 * eps.",
    _nudge_each(lambda f, x, nudge, eps: (f(x) - f(x - nudge)) / eps),
    "Your numbers are those of a nudge to one side only, divided by 2 * eps. If your code nudges "
    "both ways: `old = x[i, j]` is no copy, it changes with x. Take `x[i, j].item()`.",
    _nudge_each(lambda f, x, nudge, eps: (f(x + nudge) - f(x)) / (2 * eps)),
    "The sign is the wrong way round: it is up minus down.",
    _nudge_each(lambda f, x, nudge, eps: (f(x - nudge) - f(x + nudge)) / (2 * eps)),
    "You add up and down. Subtract: what counts is how much higher it is on one side.",
    _nudge_each(lambda f, x, nudge, eps: (f(x + nudge) + f(x - nudge)) / (2 * eps)),
)


KINDS = {
    "a": ("nonzero", "a reaches the loss by a.sum(), with rate 1, and by hidden as well."),
    "b": (
        "None",
        ".item() makes a plain number of b.sum(), and torch.tensor(…) a new leaf of that. The walk "
        "back ends there and never comes to b.",
    ),
    "c": ("None", "under no_grad() nothing is recorded, so shift is a constant to the walk back."),
    "d": (
        "zero",
        "there is a path, so it isn't None; but -(d ** 2) - 1 is below 0 for every d, so that the "
        "ReLU is off and its rate is 0.",
    ),
    "e": (
        "nonzero",
        "e - e.detach() has the value 0, but a gradient is about rates: the first e has rate 1, "
        "and the second is a constant.",
    ),
}


@check
def none_or_zero(attempt):
    """`{"a": …, …, "e": …}`: "None", "zero" or "nonzero" for five parameters."""
    answers = {name: _as_kind(answer, name) for name, answer in filled(attempt, KINDS).items()}
    wrong = [name for name in answers if answers[name] != KINDS[name][0]]
    if wrong:
        name = wrong[0]
        raise Mistake(
            f"Right: {len(answers) - len(wrong)} of {len(answers)}. Look at {name} again, which you "
            f"take for {answers[name]!r}: {KINDS[name][1]}"
        )
    if len(answers) < len(KINDS):
        raise NotAttempted
    return "None is a walk that never came, zero a walk that came with nothing."


def _as_kind(answer, name):
    kind = str(answer).strip().lower().replace("-", "")
    if kind in ("none", "zero", "nonzero"):
        return kind.replace("none", "None")
    word = ""
    if isinstance(answer, int | float):
        word = f' Write the word: "{"nonzero" if answer else "zero"}".'
    raise Mistake(
        f'The answer for {name} should be "None", "zero" or "nonzero"; got {answer!r}.{word}'
    )


def _layers():
    for rows, inputs, outputs in ((5, 3, 2), (7, 2, 4)):
        yield (
            torch.randn(rows, inputs),
            torch.randn(outputs, inputs),
            torch.randn(outputs),
            torch.randn(rows, outputs),
        )


def _layer_gradients(attempt, x, W, b, target):
    with without(("backward", "grad"), "Work the gradients out yourself, without autograd."):
        pair = call(attempt, x, W, b, target)
    W_grad, b_grad = as_pair(pair, "gradient_for_W, gradient_for_b")
    for yours, expected, name in ((W_grad, W, "W"), (b_grad, b, "b")):
        as_tensor(yours, f"The gradient for {name}")
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
    case = f"For {len(x)} rows, {x.shape[1]} inputs and {len(b)} outputs"
    yield f"{case} the gradient for W", W_grad
    yield f"The gradient for W is right. {case} the gradient for b", b_grad


@exercise(
    cases=_layers,
    observe=_layer_gradients,
    praise="This is what autograd computes for an nn.Linear.",
)
def layer_gradients(x, W, b, target):
    """`layer_gradients(x, W, b, target)`: the mean squared error's gradients for W and b."""
    error = x @ W.T + b - target
    G = 2 * error / error.numel()
    return G.T @ x, G.sum(dim=0)


@layer_gradients.variant
def by_einsum(x, W, b, target):
    error = x @ W.T + b - target
    G = 2 / (error.shape[0] * error.shape[1]) * error
    return [torch.einsum("bo,bi->oi", G, x), G.sum(0)]


@layer_gradients.variant
def row_by_row(x, W, b, target):
    W_grad, b_grad = torch.zeros_like(W), torch.zeros_like(b)
    for row, wanted in zip(x, target, strict=True):
        G = 2 * (W @ row + b - wanted) / target.numel()
        W_grad += torch.outer(G, row)
        b_grad += G
    return W_grad, b_grad


@layer_gradients.variant
def in_numpy(x, W, b, target):
    x, W, b, target = (tensor.numpy() for tensor in (x, W, b, target))
    G = 2 * (x @ W.T + b - target) / target.size
    return G.T @ x, G.sum(axis=0)


def _from(G, b_grad=lambda G: G.sum(dim=0)):
    """Layer gradients with `G(error, x, target, bias)` in place of the gradient for the output."""

    def attempt(x, W, b, target):
        gradient = G(x @ W.T + b - target, x, target, b)
        return gradient.T @ x, b_grad(gradient)

    return attempt


layer_gradients.known(
    "The mean is over all B x out numbers, so divide by error.numel(); you divided by the "
    "number of rows.",
    _from(lambda e, x, t, b: 2 * e / len(e)),
    "The rate of the mean is missing: each number counts with 1 / error.numel().",
    _from(lambda e, x, t, b: 2 * e),
    "The rate of squaring is missing: twice the error.",
    _from(lambda e, x, t, b: e / e.numel()),
    "The rate of squaring and that of the mean are missing: twice the error, divided by "
    "error.numel().",
    _from(lambda e, x, t, b: e),
    "The sign is the wrong way round: the error is out - target.",
    _from(lambda e, x, t, b: -2 * e / e.numel()),
    "You divided by the number of outputs; the mean is over rows and outputs.",
    _from(lambda e, x, t, b: 2 * e / e.shape[1]),
    "You divided by the number of inputs, x.numel(); the mean is over error.numel().",
    _from(lambda e, x, t, b: 2 * e / x.numel()),
    "You left the bias out of the forward pass.",
    _from(lambda e, x, t, b: 2 * (e - b) / e.numel()),
    "You left the target out: the error is out - target.",
    _from(lambda e, x, t, b: 2 * (e + t) / e.numel()),
    "You took the squared errors; their rate is twice the error.",
    _from(lambda e, x, t, b: e**2 / e.numel()),
    "You took the size of the errors. Their sign counts, too.",
    _from(lambda e, x, t, b: 2 * e.abs() / e.numel()),
    "The gradient for W is right. You averaged the rows of G for the bias. The 1/B is in G "
    "already: add them up.",
    _from(lambda e, x, t, b: 2 * e / e.numel(), lambda G: G.mean(dim=0)),
)


def _pieces():
    for sizes in ((32, 20, 8), (5, 9, 2, 4)):
        X, y = moons(sum(sizes), noise=0.3, seed=4)
        order = torch.randperm(len(X))
        model = mlp(2, 8, 2)
        with torch.no_grad():
            model[-1].weight *= 6  # so that the pieces' losses differ
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)  # left over from before
        pieces = list(zip(X[order].split(sizes), y[order].split(sizes), strict=True))
        yield model, pieces, nn.CrossEntropyLoss()


def _accumulate(attempt, model, pieces, loss_fn):
    rows_seen, events = [], []

    def watch(_, __, loss):
        events.append("forward")
        if loss.requires_grad:
            loss.register_hook(lambda _: events.append("backward"))

    before = [parameter.detach().clone() for parameter in model.parameters()]
    model.register_forward_hook(lambda _, inputs, __: rows_seen.append(len(inputs[0])))
    with loss_fn.register_forward_hook(watch):
        returned = call(attempt, model, pieces, loss_fn)
    if not all(map(torch.equal, before, model.parameters())):
        raise Mistake("The weights have moved. Only the gradients are wanted, no step.")
    if max(rows_seen, default=0) > max(len(xb) for xb, _ in pieces):
        raise Mistake(
            f"A batch of {max(rows_seen)} rows went through the model at once. The point is that "
            "it would not fit: send each piece through by itself."
        )
    yield f"For {len(pieces)} pieces the order", ", ".join(events)
    grads = [parameter.grad for parameter in model.parameters()]
    if any(grad is None for grad in grads):
        raise Mistake("There is no gradient after your function. Is backward() called?")
    yield f"For {len(pieces)} pieces the gradient", torch.cat([grad.flatten() for grad in grads])
    yield "The gradient is right. The mean loss", as_number(returned, "The mean loss")


@exercise(
    cases=_pieces,
    observe=_accumulate,
    praise="Any split of this batch gives this gradient now, and memory for one piece is enough.",
)
def accumulate(model, pieces, loss_fn):
    """`accumulate(model, pieces, loss_fn)`: the large batch's gradient from uneven pieces."""
    model.zero_grad()
    rows, total = sum(len(xb) for xb, _ in pieces), 0.0
    for xb, yb in pieces:
        loss = loss_fn(model(xb), yb) * len(xb) / rows
        loss.backward()
        total += loss.item()
    return total


@accumulate.variant
def sums_then_scale(model, pieces, loss_fn):
    model.zero_grad(set_to_none=False)
    total, rows = 0.0, 0
    for xb, yb in pieces:
        loss = loss_fn(model(xb), yb) * len(xb)
        loss.backward()
        total, rows = total + loss.item(), rows + len(xb)
    for parameter in model.parameters():
        parameter.grad /= rows
    return total / rows


@accumulate.variant
def by_hand_weighted(model, pieces, loss_fn):
    for p in model.parameters():
        p.grad = None
    n = sum(yb.shape[0] for _, yb in pieces)
    losses = []
    for xb, yb in pieces:
        part = loss_fn(model(xb), yb) * (yb.shape[0] / n)
        part.backward()
        losses.append(part.detach())
    return torch.stack(losses).sum().item()


def _weighs(weight, clear=True, clear_inside=False, returns=None, at_the_end=None):
    """Accumulates losses times `weight(rows of the piece, all rows, pieces, rows so far)`.

    `at_the_end(parts)` is what backward() is called on, once, where it is not in the loop.
    """

    def attempt(model, pieces, loss_fn):
        if clear:
            model.zero_grad()
        rows, seen, losses, parts = sum(len(xb) for xb, _ in pieces), 0, [], []
        for xb, yb in pieces:
            if clear_inside:
                model.zero_grad()
            seen += len(xb)
            loss = loss_fn(model(xb), yb)
            part = loss * weight(len(xb), rows, len(pieces), seen)
            parts.append(part) if at_the_end else part.backward()
            losses.append((loss.item(), len(xb) / rows, part.item()))
        if at_the_end:
            at_the_end(parts).backward()
        if returns:
            return returns(losses, rows)
        return sum(part for _, _, part in losses)

    return attempt


def _share(n, rows, pieces, seen):
    return n / rows


def _returns(returns):
    return _weighs(_share, returns=returns)


def _cleared(model, pieces, loss_fn, to_none):
    total = accumulate.right(model, pieces, loss_fn)
    model.zero_grad(to_none)
    return total


@torch.no_grad()
def _without_graph(model, pieces, loss_fn):
    model.zero_grad()
    rows = sum(len(xb) for xb, _ in pieces)
    return sum(loss_fn(model(xb), yb).item() * len(xb) for xb, yb in pieces) / rows


accumulate.known(
    "You add the losses up and walk back once, at the end. Until then the graphs of all pieces are "
    "kept, which takes as much memory as one large batch. Call backward() for each piece before the "
    "next one.",
    _weighs(_share, at_the_end=sum),
    "backward() stands behind the loop, so that only the last piece has a gradient. Call it in the "
    "loop, once for each piece.",
    _weighs(_share, at_the_end=lambda parts: parts[-1]),
    "The gradients are gone again when your function ends. Clear them before the loop, not "
    "after it.",
    lambda *case: _cleared(*case, True),
    "All gradients are 0 when your function ends. Clear them before the loop, not after it.",
    lambda *case: _cleared(*case, False),
    "There is no gradient after your function. Is backward() called?",
    _without_graph,
    "The gradients that were left over from before are still in there. Clear them first.",
    _weighs(_share, clear=False),
    "Only the last piece is left: you clear the gradients inside the loop.",
    _weighs(_share, clear_inside=True),
    "You added up the means of the pieces. Each must count with its share of the rows: "
    "loss * len(xb) / rows.",
    _weighs(lambda n, rows, k, seen: 1),
    "You divided by the number of pieces. They have different numbers of rows, so the small "
    "ones count too much: use loss * len(xb) / rows.",
    _weighs(lambda n, rows, k, seen: 1 / k),
    "You added up sums over rows. Divide by the number of all rows.",
    _weighs(lambda n, rows, k, seen: n),
    "Each mean is divided by the number of rows, but not multiplied by its own rows.",
    _weighs(lambda n, rows, k, seen: 1 / rows),
    "You divided each mean by its own rows. It is a mean already: multiply by them, and divide "
    "by all rows.",
    _weighs(lambda n, rows, k, seen: 1 / n),
    "You divided by the rows so far. Count all rows before the first piece.",
    _weighs(lambda n, rows, k, seen: n / seen),
    "The shares of the rows are right, and then you divide by the number of pieces, too.",
    _weighs(lambda n, rows, k, seen: n / rows / k),
    "The gradient is right, but the loss you return is the last piece's alone.",
    _returns(lambda losses, rows: losses[-1][0]),
    "The gradient is right, but you return the last piece's share of the loss. Add the shares up.",
    _returns(lambda losses, rows: losses[-1][2]),
    "The gradient is right, but you return the plain mean of the pieces' losses. Weigh them by "
    "their rows as well.",
    _returns(lambda losses, rows: sum(loss for loss, _, _ in losses) / len(losses)),
    "The gradient is right, but you return the sum of the pieces' losses.",
    _returns(lambda losses, rows: sum(loss for loss, _, _ in losses)),
    "The gradient is right, but you return the sum over all rows. Divide by their number.",
    _returns(lambda losses, rows: rows * sum(part for _, _, part in losses)),
    "The gradient is right, but the shares add up to the mean: don't divide them by the number "
    "of pieces again.",
    _returns(lambda losses, rows: sum(part for _, _, part in losses) / len(losses)),
)


def _networks():
    """Data and parameters of 2-layer networks, float64, and which rows and units are on."""
    for rows, inputs, hidden, outputs in ((6, 3, 5, 2), (1, 2, 4, 3), (7, 4, 4, 4)):
        shapes = (rows, inputs), (inputs, hidden), (hidden,), (hidden, outputs), (outputs,)
        yield [np.random.normal(size=shape) for shape in shapes]


_PARTS = "x", "W1", "b1", "W2", "b2"


def _with_pytorch(arrays):
    """(logits, gradients) of mean(logits * logits) for all of _PARTS, by autograd."""
    x, W1, b1, W2, b2 = tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    logits = (x @ W1 + b1).relu() @ W2 + b2
    (logits**2).mean().backward()
    return logits.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


def _run_back(result, leaves):
    """The gradients of `leaves`, along `parents` and `rule`, each once and after its children."""
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent in node.parents:
                visit(parent)
            order.append(node)

    visit(result)
    grads = {id(result): np.ones(())}
    for node in reversed(order):
        if node.rule:
            given = node.rule(grads[id(node)])
            if not isinstance(given, tuple | list) or len(given) != len(node.parents):
                raise Mistake(
                    "A rule returns a tuple with one gradient for each parent; with one parent: "
                    "(gradient,)."
                )
            for parent, g in zip(node.parents, given, strict=True):
                if np.shape(g) != np.shape(parent.data):
                    raise Mistake(
                        f"A rule gave a gradient {list(np.shape(g))} to a parent "
                        f"{list(np.shape(parent.data))}. Each gradient has its parent's shape: ask "
                        "which product of g and the other side gives it."
                    )
                grads[id(parent)] = grads.get(id(parent), 0) + g
    return [grads.get(id(leaf)) for leaf in leaves]


_ADVICE = {
    "x": "the gradient that @ gives to its left side: g @ other.data.T",
    "W1": "ReLU's rule, g * (self.data > 0), and the one that @ gives to its right side",
    "b1": "ReLU's rule: g where its input was positive, 0 elsewhere",
    "W2": "the gradient that @ gives to its right side: self.data.T @ g",
    "b2": "the operations change a gradient that passes them by",
}


@check
def small_autograd(attempt):
    """A class with `@` and `relu`, like `Recorded`; a network of both has PyTorch's gradients."""
    if not isinstance(attempt, type):
        raise Mistake("Pass the class itself, without parentheses after its name.")
    for arrays in _networks():
        x, W1, b1, W2, b2 = leaves = [attempt(array) for array in arrays]
        product = call(lambda x=x, W1=W1: x @ W1)
        for name, result, expected in (
            ("x @ W1", product, arrays[0] @ arrays[1]),
            ("relu", call(product.relu) if hasattr(product, "relu") else None, None),
        ):
            if not isinstance(result, attempt):
                raise Mistake(
                    f"{name} should return another {attempt.__name__}, made by type(self)(data, "
                    f"parents, rule); yours is a {type(result).__name__}."
                )
            expected = np.maximum(product.data, 0) if expected is None else expected
            compare(result.data, expected, {}, f"The values of {name}")
        logits = (product + b1).relu() @ W2 + b2
        expected, gradients = _with_pytorch(arrays)
        compare(logits.data, expected, {}, "The logits of a network of two layers")
        yours = _run_back((logits * logits).mean(), leaves)
        # from the result backwards: the first that is wrong is where the mistake sits
        for place in (4, 3, 2, 1, 0):
            name = _PARTS[place]
            if yours[place] is None:
                raise Mistake(
                    f"No gradient comes to {name}. Are both sides among the parents, (self, other)?"
                )
            advice = f"The values are right, the gradient is not. Look at {_ADVICE[name]}."
            if not close(yours[place], gradients[place]):
                compare(
                    yours[place],
                    gradients[place],
                    {advice: yours[place]},
                    f"The gradient of {name}",
                )
    return "A network of two layers, made of your operations, has PyTorch's gradients."
