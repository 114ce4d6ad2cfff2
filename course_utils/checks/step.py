"""Checks for lesson 04, the step."""

import copy
from functools import partial

import torch
from torch import nn

from ..models import mlp
from .exercise import exercise
from .feedback import Mistake, NotAttempted, as_number, call, explained
from .values import close


def _optimizer(attempt, name, parameters, **settings):
    """The learner's optimizer, made of the class that was passed."""
    if not isinstance(attempt, type):
        raise Mistake(f"Pass the class itself: check.step.{name.lower()}({name}).")
    optimizer = attempt(parameters, **settings)
    if not callable(getattr(optimizer, "step", None)):
        raise Mistake(f"{name} needs a method step().")
    return optimizer


_NO_W = (
    "There is no w in your step. Go through self.parameters, and put each parameter in the place of "
    "w."
)
_ONE_BY_ONE = "self.parameters is a list of tensors: take one after the other with `for`."
_STEP_ERRORS = {
    "name 'lr'": "The learning rate belongs to the object: write self.lr.",
    "name 'parameters'": "The list belongs to the object: write self.parameters.",
    "name 'w'": _NO_W,
    "variable 'w'": _NO_W,
    "attribute 'w'": _NO_W,
    "name 'sqrt'": "PyTorch's root is a method of the tensor: v_hat.sqrt().",
    "'list' object": _ONE_BY_ONE,
    "attribute 'grad'": _ONE_BY_ONE,
    "leaf Variable": "Autograd refuses to record a change of a parameter in place, and it should "
    "not be recorded: do it inside `with torch.no_grad():`.",
    "NoneType": "One of the parameters has no gradient: its .grad is None, since the backward pass "
    "did not reach it. Leave such a parameter alone.",
}


def _act(function, *args):
    """Call what should work in place, on parameters; its result doesn't matter, but `...` does."""
    if not callable(function):
        raise Mistake("Pass the function itself to the check, without parentheses after its name.")
    with explained(_STEP_ERRORS):
        result = function(*args)
    if result is ...:
        raise NotAttempted


def _parameters(steps, zero=False):
    """Parameters, and for each step their gradients; the second has none, a last one may be 0."""
    sizes = ((6,), (2,), (2, 2), (3,))[: 4 if zero else 3]
    parameters = [nn.Parameter(torch.randn(*size).double()) for size in sizes]
    first, _, third, *last = parameters
    gradients = [
        [0.01 * torch.randn_like(first), None, 5.0 * torch.randn_like(third)]
        + [torch.zeros_like(parameter) for parameter in last]
        for _ in range(steps)
    ]
    return parameters, gradients


def _flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


_ONLY_READ = "Your step changes the gradients. It should only read them."


def _run(parameters, gradients, step, touched=_ONLY_READ):
    """How far all parameters have moved after the steps.

    A step that touches the gradients is a Mistake, of which `touched` says what.
    """
    before = _flat(parameters)
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        step()
        after = [parameter.grad for parameter in parameters]
        if not all(map(_same, after, of_step)):
            raise Mistake(touched)
    return _flat(parameters) - before


def _same(a, b):
    return a is b or (a is not None and b is not None and torch.equal(a, b))


_STOPPED = (
    "Only the parameters before the one without a gradient have moved. Skip that one, with an `if` "
    "or `continue`; `return` and `break` leave the loop. (Or is there a return inside it?)"
)
_NOT_MOVED = (
    "No parameter has moved. `p = p - …` makes a new tensor and leaves the parameter where it was; "
    "`p -= …` changes it in place."
)


class Optimizer:
    """What the stubs give: parameters, settings, and Adam's memory."""

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.parameters = list(parameters)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.t = 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def with_gradient(self):
        return [p for p in self.parameters if p.grad is not None]


def _rates():
    for steps, lr in ((20, 0.37), (3, 0.02)):
        yield *_parameters(steps), lr


def _sgd(attempt, parameters, gradients, lr):
    optimizer = _optimizer(attempt, "SGD", parameters, lr=lr)
    moved = _run(parameters, gradients, lambda: _act(optimizer.step))
    zeros = [torch.zeros_like(parameter) for parameter in parameters]
    way = sum(
        _flat([zero if g is None else g for g, zero in zip(of_step, zeros, strict=True)])
        for of_step in gradients
    )
    rate = -(moved @ way / (way @ way)).item()
    advice = ""
    if rate > 0 and close(moved, -rate * way):
        advice = (
            f"You move by {rate:.3g} times the gradient. Use the learning rate that was passed, "
            f"self.lr, {lr} here."
        )
    yield f"After {len(gradients)} steps the total move of the parameters", moved, advice


@exercise(
    cases=_rates,
    observe=_sgd,
    praise="With its default settings torch.optim.SGD does nothing else.",
)
class sgd(Optimizer):
    """`SGD(parameters, lr)` with a method `step()`."""

    @torch.no_grad()
    def step(self):
        for p in self.with_gradient():
            self.move(p)

    def move(self, p):
        p -= self.lr * p.grad


sgd.variant(torch.optim.SGD)


@sgd.variant
class WithAlpha(Optimizer):
    @torch.no_grad()
    def step(self):
        for p in self.with_gradient():
            p.add_(p.grad, alpha=-self.lr)


@sgd.variant
class ThroughData(Optimizer):
    def step(self):
        for p in self.parameters:
            if p.grad is None:
                continue
            p.data = p.data - self.lr * p.grad


def _stops(self):
    """A step that ends at the first parameter without a gradient."""
    everything = self.parameters
    self.parameters = everything[: [p.grad is None for p in everything].index(True)]
    type(self).__bases__[0].step(self)
    self.parameters = everything


def _against(way):
    """SGD whose parameters move by minus `way(p, gradient, lr, optimizer)`."""
    return sgd.spoilt(move=lambda self, p: p.sub_(way(p, p.grad, self.lr, self)))


sgd.known(
    _NOT_MOVED,
    _against(lambda p, g, lr, sgd: 0 * g),
    _STOPPED,
    sgd.spoilt(step=_stops),
    "You move along the gradient, uphill. Go against it, with a minus.",
    _against(lambda p, g, lr, sgd: -lr * g),
    "The learning rate is missing.",
    _against(lambda p, g, lr, sgd: g),
    "You divide by the learning rate; multiply.",
    _against(lambda p, g, lr, sgd: g / lr),
    "You divide by the number of parameters. Each takes its whole step.",
    _against(lambda p, g, lr, sgd: lr * g / len(sgd.parameters)),
    "You divide by the number of entries. Each takes its whole step.",
    _against(lambda p, g, lr, sgd: lr * g / p.numel()),
    "You move by the sign of the gradient. Its size counts, too.",
    _against(lambda p, g, lr, sgd: lr * g.sign()),
    "You put the step in the place of the parameter. Start from where it is: p -= ….",
    _against(lambda p, g, lr, sgd: p + lr * g),
    "You multiply by the parameter: the step is lr times the gradient, no more.",
    _against(lambda p, g, lr, sgd: lr * g * p),
    "You subtract a share of the parameter itself. The step is lr times its gradient, .grad.",
    _against(lambda p, g, lr, sgd: lr * p),
)


def _settings():
    yield *_parameters(7), {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}
    yield *_parameters(3), {"lr": 0.3, "betas": (0.5, 0.9), "eps": 1e-2}


def _adam(attempt, parameters, gradients, settings):
    optimizer = _optimizer(attempt, "Adam", parameters, **settings)
    moved = _run(parameters, gradients, lambda: _act(optimizer.step))
    yield f"After {len(gradients)} steps the total move of the parameters", moved


@exercise(
    cases=_settings,
    observe=_adam,
    praise="On these gradients equal to torch.optim.Adam, step for step.",
)
class adam(Optimizer):
    """`Adam(parameters, lr, betas, eps)` with a method `step()`."""

    @torch.no_grad()
    def step(self):
        self.count()
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                self.means(i, p.grad, *self.betas)
                m_hat, v_hat = self.hats(i, *self.betas)
                p += self.move(m_hat, v_hat, p.grad)

    def count(self):
        self.t += 1

    def means(self, i, g, beta1, beta2):
        self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
        self.v[i] = beta2 * self.v[i] + (1 - beta2) * g**2

    def hats(self, i, beta1, beta2):
        return self.m[i] / (1 - beta1**self.t), self.v[i] / (1 - beta2**self.t)

    def move(self, m_hat, v_hat, g):
        return -self.lr * m_hat / (v_hat.sqrt() + self.eps)


adam.variant(torch.optim.Adam)


@adam.variant
class FusedCorrection(Optimizer):
    """As in the paper's efficient version, with lerp_ and addcmul_."""

    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
            if p.grad is None:
                continue
            m.lerp_(p.grad, 1 - beta1)
            v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            size = v.sqrt() / (1 - beta2**self.t) ** 0.5 + self.eps
            p.addcdiv_(m, size, value=-self.lr / (1 - beta1**self.t))


def _means(m=None, v=None):
    """Adam with another running mean m or v: functions of (old mean, gradient, its beta, other)."""

    def means(self, i, g, beta1, beta2):
        self.m[i] = (m or _mean)(self.m[i], g, beta1, beta2)
        self.v[i] = (v or _mean)(self.v[i], g if v else g**2, beta2, beta1)

    return adam.spoilt(means=means)


def _mean(old, g, beta, other):
    return beta * old + (1 - beta) * g


def _moves(move):
    """Adam whose step is minus lr times `move(m_hat, v_hat, gradient, eps)`."""
    return adam.spoilt(move=lambda self, m, v, g: -self.lr * move(m, v, g, self.eps))


def _hats(hats):
    """Adam with other hats, of (m, v, t, beta1, beta2)."""
    return adam.spoilt(hats=lambda self, i, *betas: hats(self.m[i], self.v[i], self.t, *betas))


def _keeps(m, v):
    """Adam whose memory m or v is after each step as it was before."""

    def step(self):
        kept = self.m[:], self.v[:]
        adam.right.step(self)
        self.m, self.v = self.m if m else kept[0], self.v if v else kept[1]

    return adam.spoilt(step=step)


def _counts(skipped):
    """Adam that counts t in the loop over the parameters."""

    def means(self, i, g, beta1, beta2):
        self.t += 1 + (skipped and i > 1)  # the second of the three has no gradient
        adam.right.means(self, i, g, beta1, beta2)

    return adam.spoilt(count=lambda self: None, means=means)


def _fixed(**fixed):
    """Adam that has some of its settings written into it."""

    def __init__(self, parameters, **settings):
        adam.right.__init__(self, parameters, **(settings | fixed))

    return adam.spoilt(__init__=__init__)


def _counts_late(self):
    adam.right.step(self)
    self.t += 1


def _hats_kept(self, i, *betas):
    self.m[i], self.v[i] = adam.right.hats(self, i, *betas)
    return self.m[i], self.v[i]


def _roles(old, g, beta, other):
    return (1 - beta) * old + beta * g


def _sum(old, g, beta, other):
    return beta * old + g


adam.known(
    _NOT_MOVED,
    _moves(lambda m, v, g, eps: 0 * m),
    _STOPPED,
    adam.spoilt(step=_stops),
    "The hats are missing: m and v start at 0, so divide m by 1 - beta1**t and v by 1 - beta2**t.",
    _hats(lambda m, v, t, b1, b2: (m, v)),
    "m is divided by 1 - beta1**t, but v must be divided too, by 1 - beta2**t.",
    _hats(lambda m, v, t, b1, b2: (m / (1 - b1**t), v)),
    "v is divided by 1 - beta2**t, but m must be divided too, by 1 - beta1**t.",
    _hats(lambda m, v, t, b1, b2: (m, v / (1 - b2**t))),
    "v_hat is v divided by 1 - beta2**t; you use beta1.",
    _hats(lambda m, v, t, b1, b2: (m / (1 - b1**t), v / (1 - b1**t))),
    "m_hat is m divided by 1 - beta1**t; you use beta2.",
    _hats(lambda m, v, t, b1, b2: (m / (1 - b2**t), v / (1 - b2**t))),
    "The hats multiply; divide by 1 - beta**t.",
    _hats(lambda m, v, t, b1, b2: (m * (1 - b1**t), v * (1 - b2**t))),
    "You put m_hat and v_hat back into m and v. They are for this step only.",
    adam.spoilt(hats=_hats_kept),
    "m and v are as they were after your step: `m = …` only gives the name m to a new tensor. "
    "Change them in place, or write self.m[i] = ….",
    _keeps(m=False, v=False),
    "m starts from 0 in each step. Keep it in self.m[i].",
    _keeps(m=False, v=True),
    "v starts from 0 in each step. Keep it in self.v[i].",
    _keeps(m=True, v=False),
    "You move by the gradient itself; move by m_hat, its running mean.",
    _moves(lambda m, v, g, eps: g / (v.sqrt() + eps)),
    "`/ root + eps` adds eps to the quotient. Put brackets: / (root + eps).",
    adam.spoilt(move=lambda self, m, v, g: -(self.lr * m / v.sqrt() + self.eps)),
    "`m_hat / root + eps` adds eps to the quotient. Put brackets: / (root + eps).",
    _moves(lambda m, v, g, eps: m / v.sqrt() + eps),
    "eps stands inside the square root; it belongs outside, sqrt(v_hat) + eps.",
    _moves(lambda m, v, g, eps: m / (v + eps).sqrt()),
    "eps is missing, or one of your own: sqrt(v_hat) + self.eps.",
    _moves(lambda m, v, g, eps: m / v.sqrt()),
    "The square root of v_hat is missing.",
    _moves(lambda m, v, g, eps: m / (v + eps)),
    "The division by the root of v_hat is missing.",
    _moves(lambda m, v, g, eps: m),
    "You multiply by the root of v_hat; divide.",
    _moves(lambda m, v, g, eps: m * (v.sqrt() + eps)),
    "You move uphill. Subtract the step.",
    _moves(lambda m, v, g, eps: -m / (v.sqrt() + eps)),
    "The learning rate is missing.",
    _fixed(lr=1.0),
    "What stands under the root is below 0. v is a mean of squared gradients: g**2.",
    _means(v=_mean),
    "v is a mean of squared gradients. You square the whole share, (1 - beta2) * g.",
    _means(v=lambda old, g, b2, b1: b2 * old + ((1 - b2) * g) ** 2),
    "v is a mean of squared gradients. You take their absolute values.",
    _means(v=lambda old, g, b2, b1: b2 * old + (1 - b2) * g.abs()),
    "The running mean v is made with beta2; you use beta1.",
    _means(v=lambda old, g, b2, b1: b1 * old + (1 - b1) * g**2),
    "The running mean m is made with beta1; you use beta2.",
    _means(m=lambda old, g, b1, b2: b2 * old + (1 - b2) * g),
    "In m the new gradient must count with 1 - beta1; yours counts in full.",
    _means(m=_sum),
    "In v the new square must count with 1 - beta2; yours counts in full.",
    _means(v=lambda old, g, b2, b1: b2 * old + g**2),
    "The new gradient must count with 1 - beta, so that m and v are means, not sums.",
    _means(m=_sum, v=lambda old, g, b2, b1: b2 * old + g**2),
    "Brackets are missing: `1 - beta1 * g` is 1 minus a product, (1 - beta1) * g is meant.",
    _means(
        m=lambda old, g, b1, b2: b1 * old + 1 - b1 * g,
        v=lambda old, g, b2, b1: b2 * old + 1 - b2 * g**2,
    ),
    "Brackets are missing in m: `1 - beta1 * g` is 1 minus a product; it is (1 - beta1) * g.",
    _means(m=lambda old, g, b1, b2: b1 * old + 1 - b1 * g),
    "Brackets are missing in v: `1 - beta2 * g**2` is 1 minus a product; it is (1 - beta2) * g**2.",
    _means(v=lambda old, g, b2, b1: b2 * old + 1 - b2 * g**2),
    "The old mean counts with beta, the new gradient with 1 - beta; yours the other way round.",
    _means(m=_roles, v=lambda old, g, b2, b1: _roles(old, g**2, b2, b1)),
    "The betas are swapped: the first belongs to m, the second to v.",
    _means(
        m=lambda old, g, b1, b2: b2 * old + (1 - b2) * g,
        v=lambda old, g, b2, b1: b1 * old + (1 - b1) * g**2,
    ),
    "The betas are swapped everywhere: the first belongs to m, the second to v.",
    adam.spoilt(
        __init__=lambda self, parameters, lr, betas, eps: adam.right.__init__(
            self, parameters, lr, betas[::-1], eps
        ),
    ),
    "t is always 1, or the power is missing: count the steps with self.t += 1, and divide by "
    "1 - beta**t.",
    adam.spoilt(count=lambda self: setattr(self, "t", 1)),
    "t is 0 in your first step, and 1 - beta**0 is 0, so you divide by zero. Count the step "
    "before you use t.",
    adam.spoilt(count=lambda self: None, step=_counts_late),
    "t is one too large: it is 1 in the first step.",
    adam.spoilt(count=lambda self: setattr(self, "t", max(self.t, 1) + 1)),
    "You count t once for each parameter. Count it once a step, before the loop.",
    _counts(skipped=False),
    "You count t once for each parameter, even those you skip. Count it once a step, before "
    "the loop.",
    _counts(skipped=True),
    "You use fixed betas and eps. Use those that were passed, self.betas and self.eps.",
    _fixed(betas=(0.9, 0.999), eps=1e-8),
    "You use fixed betas. Use those that were passed, self.betas.",
    _fixed(betas=(0.9, 0.999)),
)


def _decays():
    for lr, weight_decay in ((0.2, 0.3), (0.05, 4.0)):
        yield *_parameters(1, zero=True), lr, weight_decay


_OLD_RECIPE = (
    "You change the gradients. Decay that is added to them is the old recipe: Adam then divides it, "
    "too. Shrink the parameters themselves."
)


def _decay(attempt, parameters, gradients, lr, weight_decay):
    before = _flat(parameters)
    step = partial(_act, attempt, parameters, lr, weight_decay)
    moved = _run(parameters, gradients, step, _OLD_RECIPE)
    yield f"With lr = {lr} and weight_decay = {weight_decay} the parameters", before + moved


@exercise(
    cases=_decays,
    observe=_decay,
    praise="With this line before Adam's step you have AdamW: the gradient never sees the decay.",
)
@torch.no_grad()
def decay(parameters, lr, weight_decay):
    """`decay(parameters, lr, weight_decay)` shrinks each parameter that has a gradient."""
    for p in parameters:
        if p.grad is not None:
            p *= 1 - lr * weight_decay


@decay.variant
@torch.no_grad()
def by_subtraction(parameters, lr, weight_decay):
    for p in filter(lambda p: p.grad is not None, parameters):
        p -= lr * weight_decay * p
    return parameters


@decay.variant
def by_data(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is not None:
            p.data = p.data * (1 - lr * weight_decay)


def _changes(change, which=lambda p: p.grad is not None):
    """A decay that changes the parameters of `which` by `change(p, lr, weight_decay)`."""

    @torch.no_grad()
    def attempt(parameters, lr, weight_decay):
        for p in filter(which, parameters):
            change(p, lr, weight_decay)

    return attempt


def _right_change(p, lr, wd):
    p.mul_(1 - lr * wd)


decay.known(
    "No parameter has changed. Work in place, with *=.",
    _changes(lambda p, lr, wd: None),
    "You also shrink the parameter that has no gradient. Adam would skip it.",
    _changes(_right_change, lambda p: True),
    "You leave out a parameter whose gradient is 0. It has one, so it decays: ask whether .grad "
    "is None.",
    _changes(_right_change, lambda p: p.grad is not None and p.grad.any()),
    "You shrink only the parameter that has no gradient. It is the one to skip.",
    _changes(_right_change, lambda p: p.grad is None),
    "You left out a parameter with a single dimension, as one does with biases. Here every one "
    "with a gradient decays.",
    _changes(_right_change, lambda p: p.grad is not None and p.ndim > 1),
    "You shrink by weight_decay. The share is lr * weight_decay, so that a lower learning rate "
    "also decays less.",
    _changes(lambda p, lr, wd: p.mul_(1 - wd)),
    "You shrink by lr. The share is lr * weight_decay.",
    _changes(lambda p, lr, wd: p.mul_(1 - lr)),
    "You shrink by lr + weight_decay. Multiply the two.",
    _changes(lambda p, lr, wd: p.mul_(1 - lr - wd)),
    "You shrink by 1 - lr times weight_decay. Only the share of lr * weight_decay goes.",
    _changes(lambda p, lr, wd: p.mul_((1 - lr) * wd)),
    "Decay takes a share of the weight itself; you take one of its gradient.",
    _changes(lambda p, lr, wd: p.sub_(lr * wd * p.grad)),
    "Only decay; the step against the gradient is Adam's own.",
    _changes(lambda p, lr, wd: p.mul_(1 - lr * wd).sub_(lr * p.grad)),
    "You grow the weights: the factor is 1 - lr * weight_decay.",
    _changes(lambda p, lr, wd: p.mul_(1 + lr * wd)),
    "You subtract the same amount from every weight. Decay takes a share of each: multiply.",
    _changes(lambda p, lr, wd: p.sub_(lr * wd)),
    "You keep the share that should go: multiply by 1 - lr * weight_decay.",
    _changes(lambda p, lr, wd: p.mul_(lr * wd)),
    "You subtract the square of each weight: it is a share of the weight itself.",
    _changes(lambda p, lr, wd: p.sub_(lr * wd * p**2)),
    "You shrink by the sign of each weight: take a share of the weight itself.",
    _changes(lambda p, lr, wd: p.sub_(lr * wd * p.sign())),
)


@decay.mistake
@torch.no_grad()
def stops_at_none(parameters, lr, weight_decay):
    """Only the parameters before the one without a gradient have changed. Skip that one, with an
    `if` or `continue`; `return` and `break` leave the loop."""
    parameters[0].mul_(1 - lr * weight_decay)


def _sweeps():
    nan, inf = float("nan"), float("inf")
    lrs = torch.tensor([0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
    losses = torch.tensor(
        [
            [0.60, 0.50, 0.001, 0.05, 0.01, 0.20],
            [0.61, 0.52, 0.400, 0.06, 0.02, 0.21],
            [0.62, 0.51, 0.420, 0.05, nan, 0.20],
            [0.61, nan, 0.410, 0.06, nan, 0.22],
            [0.60, 0.50, 0.430, 3.00, nan, 0.20],
        ]
    )
    yield lrs, losses
    lrs, losses = torch.logspace(-3, 0, 9), 1 + torch.rand(7, 9)
    losses[:, 0] -= 1.0  # the lowest
    losses[2:, 0] = inf  # but most of its runs blew up
    losses[:, 8] -= 0.5
    losses[2, 8] = nan  # the best nevertheless
    yield lrs, losses
    yield torch.logspace(-2, 0, 4), torch.rand(5, 4)


_NO_SUCH_PLACE = (
    "lrs has no such place. `losses.argmin()` counts through all rows, one after the other: take "
    "the median over the seeds, dim=0, first."
)


def _picked(attempt, lrs, losses):
    with explained({"out of bounds": _NO_SUCH_PLACE, "out of range": _NO_SUCH_PLACE}):
        rate = call(attempt, lrs, losses)
    yield "The learning rate", as_number(rate, "The learning rate")


@exercise(
    cases=_sweeps,
    observe=_picked,
    praise="You pick what works in most runs, and a run that died counts against its rate.",
)
def pick_lr(lrs, losses):
    """`pick_lr(lrs, losses)`: the rate with the lowest median loss, where NaN is the worst."""
    losses = torch.where(losses.isfinite(), losses, torch.inf)
    return lrs[losses.median(dim=0).values.argmin()].item()


@pick_lr.variant
def sorted_by_hand(lrs, losses):
    def median(column):
        numbers = sorted(v if v == v else float("inf") for v in column.tolist())
        return numbers[len(numbers) // 2]

    medians = [median(losses[:, i]) for i in range(len(lrs))]
    return lrs.tolist()[medians.index(min(medians))]


@pick_lr.variant
def nan_as_a_large_number(lrs, losses):
    return float(lrs[losses.nan_to_num(nan=1e30).quantile(0.5, dim=0).argmin()])


def _alive(losses):
    return torch.where(losses.isfinite(), losses, 1e9)


def _best(lrs, losses):
    """The rate with the lowest median of losses, NaN and inf as they are."""
    return lrs[losses.median(dim=0).values.argmin()].item()


pick_lr.known(
    "One run of the best rate died, and you leave that rate out. Count the dead run as inf, and "
    "ask for the median.",
    lambda lrs, losses: _best(lrs, torch.where(losses.isfinite().all(dim=0), losses, torch.inf)),
    "A rate at which five of seven runs ended with inf can't be the best.",
    lambda lrs, losses: lrs[
        torch.where(losses == torch.inf, torch.nan, losses.nan_to_num(nan=1e9))
        .nanmedian(dim=0)
        .values.argmin()
    ].item(),
    "You drop every seed in which any rate died, with all its other runs. Count only the dead "
    "run itself as inf.",
    lambda lrs, losses: _best(lrs, losses[~losses.isnan().any(dim=1)]),
    "losses.argmin() finds the best single run, and counts through all rows. Take the median over "
    "the seeds, dim=0, first.",
    lambda lrs, losses: lrs[_alive(losses).argmin()].item(),
    "0.001 stands first, and is not the best. You want one median for each rate, over the "
    "seeds: median(dim=0).values.",
    lambda lrs, losses: lrs[_alive(losses).median(dim=1).values.argmin()].item(),
    "0.003 has one NaN among its losses. To PyTorch the median or mean of numbers with a NaN is "
    "NaN, and argmin takes NaN for the smallest. Replace what is not finite by inf first.",
    _best,
    "The best single run decides here, but its rate did badly in others. Take the median over "
    "the seeds, dim=0.",
    lambda lrs, losses: lrs[_alive(losses).min(dim=0).values.argmin()].item(),
    "At 0.1 three of five runs became NaN. Leaving them out, or counting them as 0, makes the "
    "rate look good: count them as the worst there can be, inf.",
    lambda lrs, losses: lrs[losses.nanmedian(dim=0).values.argmin()].item(),
    "You take the lowest mean. One bad run spoils the mean of 0.03; the median forgives it.",
    lambda lrs, losses: lrs[_alive(losses).mean(dim=0).argmin()].item(),
    "argmax finds the rate with the highest loss. You want the lowest.",
    lambda lrs, losses: lrs[_alive(losses).median(dim=0).values.argmax()].item(),
    "That is the place of the best learning rate in the list. Return the rate itself.",
    lambda lrs, losses: _alive(losses).median(dim=0).values.argmin().item(),
    "That is the lowest median itself. Return the rate at which it was reached.",
    lambda lrs, losses: _alive(losses).median(dim=0).values.min().item(),
    "You take the largest of the rates, or the last. Ask for the lowest median loss.",
    lambda lrs, losses: lrs[-1].item(),
    "You choose by the last seed alone. Take the median over all seeds, dim=0.",
    lambda lrs, losses: lrs[_alive(losses)[-1].argmin()].item(),
    "You choose by the first seed alone. Take the median over all seeds, dim=0.",
    lambda lrs, losses: lrs[_alive(losses)[0].argmin()].item(),
)


_BY_IDENTITY = (
    "`in` and == compare tensors number by number, which fails or finds equal values in another "
    "tensor. Compare by identity: with `is`, or id(p) in a set."
)
_GROUPS = (
    "optimizer.param_groups is a list of dictionaries: go through the groups, and in each through "
    'group["params"].'
)
_ORPHAN_ERRORS = {
    "size of tensor": _BY_IDENTITY,
    "Boolean value": _BY_IDENTITY,
    "list indices": _GROUPS,
    "'dict' object": _GROUPS,
    "no attribute 'parameters'": f"An optimizer has no parameters(). {_GROUPS}",
}


def _optimized():
    model = mlp(2, 4, 4, 2)
    groups = [{"params": model[0].parameters()}, {"params": model[2:].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    yield (
        model,
        optimizer,
        "Look at all groups: this optimizer has two, and together they hold all.",
    )
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[4] = copy.deepcopy(model[4])
    yield (
        model,
        optimizer,
        "The last layer was replaced by another one with equal shapes and values, which the "
        "optimizer does not hold. Compare by identity, not by value.",
    )
    model = mlp(2, 4, 4, 2)
    model[2].bias.requires_grad_(False)
    optimizer = torch.optim.SGD([model[0].weight, model[4].weight], lr=0.1)
    why = "The optimizer holds two weights, and 2.bias is frozen, so it needs none."
    yield model, optimizer, why
    model, other = mlp(3, 5, 1), mlp(3, 5, 1)
    why = "This optimizer holds the parameters of another model: all of this one's are orphans."
    yield model, torch.optim.Adam(other.parameters()), why


def _orphans(attempt, model, optimizer, why):
    with explained(_ORPHAN_ERRORS):
        result = call(attempt, model, optimizer)
    if not isinstance(result, list | tuple):
        raise Mistake(f"Return a list of names; yours is a {type(result).__name__}.")
    if not all(isinstance(name, str) for name in result):
        raise Mistake("Return the names, strings such as '0.weight', not the parameters.")
    yield "Your list", list(result), why


@exercise(
    cases=_optimized,
    observe=_orphans,
    praise="Assert `not orphans(model, optimizer)` before training, and this bug can't hide.",
)
def orphans(model, optimizer):
    """`orphans(model, optimizer)`: names of trainable parameters that it does not hold."""
    return _not_in(slice(None))(model, optimizer)


def _held(optimizer, groups=slice(None)):
    return {id(p) for group in optimizer.param_groups[groups] for p in group["params"]}


def _not_in(groups):
    """The orphans, if the optimizer had these groups alone."""
    return lambda model, optimizer: [
        name for name, p in _trainable(model) if id(p) not in _held(optimizer, groups)
    ]


def _trainable(model):
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


@orphans.variant
def by_is(model, optimizer):
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not any(parameter is p for p in held)
    ]


@orphans.variant
def by_hash(model, optimizer):
    held = set()
    for group in optimizer.param_groups:
        held |= set(group["params"])
    return tuple(name for name, p in model.named_parameters() if p.requires_grad and p not in held)


@orphans.mistake
def by_value(model, optimizer):
    """The last layer was replaced by another one with equal shapes and values, which the optimizer
    does not hold. Compare by identity, not by value."""
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        name
        for name, p in _trainable(model)
        if not any(p.shape == q.shape and torch.equal(p, q) for q in held)
    ]


orphans.known(
    "Look at all groups: this optimizer has two, and together they hold all.",
    _not_in(slice(1)),
    "You keep the last group only. Collect the parameters of all groups.",
    _not_in(slice(-1, None)),
    "2.bias is frozen, so it needs no optimizer. Leave out what has no requires_grad.",
    lambda model, optimizer: [
        name for name, p in model.named_parameters() if id(p) not in _held(optimizer)
    ],
    "You return what the optimizer does hold. Asked are the others.",
    lambda model, optimizer: [
        name for name, p in model.named_parameters() if id(p) in _held(optimizer)
    ],
    "You return all parameters, also those that the optimizer holds. Compare with id(p) of the "
    'tensors in group["params"].',
    lambda model, optimizer: [n for n, _ in _trainable(model)],
    'Your list is always empty. Compare with id(p) of the tensors in group["params"].',
    lambda model, optimizer: [],
    "Give each name once, in the order of model.named_parameters().",
    lambda model, optimizer: sorted(orphans.right(model, optimizer)),
    "Only the first orphan is in your list. Does the return stand inside the loop?",
    lambda model, optimizer: orphans.right(model, optimizer)[:1],
    "You return at the first parameter: does the return stand inside the loop?",
    lambda model, optimizer: [
        name for name, p in _trainable(model)[:1] if id(p) not in _held(optimizer)
    ],
    "You ask for weights alone. A bias can be an orphan, too.",
    lambda model, optimizer: [n for n in orphans.right(model, optimizer) if n.endswith("weight")],
    "You look for what is frozen; asked is what is trainable and not held.",
    lambda model, optimizer: [n for n, p in model.named_parameters() if not p.requires_grad],
)


def _networks():
    """Networks with biases, norms and convolutions, one of them with a frozen layer; a decay."""
    yield mlp(2, 4, 2), 0.1
    normed = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 2, bias=False))
    yield normed, 0.02
    pictures = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    pictures[0].requires_grad_(False)
    yield pictures, 0.5
    yield nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), 0.3


def _two_groups(attempt, model, weight_decay):
    groups = call(attempt, model, weight_decay)
    if not (isinstance(groups, list | tuple) and all(isinstance(group, dict) for group in groups)):
        raise Mistake("Return a list of dictionaries, one for each group.")
    if len(groups) != 2:
        raise Mistake(f"Return two groups, in a list; yours has {len(groups)}.")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group, which in zip(groups, ("first", "second"), strict=True):
        if missing := {"params", "weight_decay"} - group.keys():
            raise Mistake(f'The {which} group lacks "{sorted(missing)[0]}".')
        ids = [id(parameter) for parameter in group["params"]]
        if not set(ids) <= names.keys():
            raise Mistake(
                f'"params" of the {which} group holds something that is no parameter of the model. '
                "Put the parameters themselves there: no names, no copies."
            )
        yield f"The {which} group", sorted(names[i] for i in ids)
        yield f"The decay of the {which} group", group["weight_decay"]


@exercise(
    cases=_networks,
    observe=_two_groups,
    praise="Weights are decayed, biases and norms are not, and nothing is left out.",
)
def decay_groups(model, weight_decay):
    """`decay_groups(model, weight_decay)`: two groups for an optimizer, decayed and not."""
    return _by_dimensions(model, weight_decay)


def _by_dimensions(model, weight_decay, other=0.0, least=2, frozen=False):
    trained = [p for p in model.parameters() if p.requires_grad or frozen]
    return [
        {"params": [p for p in trained if p.ndim >= least], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < least], "weight_decay": other},
    ]


@decay_groups.variant
def one_after_the_other(model, weight_decay):
    decayed, free = [], []
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            (free if parameter.ndim <= 1 else decayed).append(parameter)
    first = dict(params=decayed, weight_decay=weight_decay, lr=0.1)
    return first, dict(params=free, weight_decay=0)


@decay_groups.variant
def by_the_shape(model, weight_decay):
    trained = list(filter(lambda p: p.requires_grad, model.parameters()))
    return [
        {"params": (p for p in trained if len(p.shape) > 1), "weight_decay": weight_decay},
        {"params": (p for p in trained if len(p.shape) == 1), "weight_decay": 0.0},
    ]


@decay_groups.mistake
def by_the_name(model, weight_decay):
    """A norm's scale is called weight, too, and should not be decayed: sort by the number of
    dimensions, not by the name."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return [
        {
            "params": [p for n, p in trained.items() if "bias" not in n],
            "weight_decay": weight_decay,
        },
        {"params": [p for n, p in trained.items() if "bias" in n], "weight_decay": 0.0},
    ]


decay_groups.known(
    "Frozen parameters belong to neither group. Ask for requires_grad.",
    lambda model, decay: _by_dimensions(model, decay, frozen=True),
    "Biases and norms should not be decayed: the second group needs a decay of 0.",
    lambda model, decay: _by_dimensions(model, decay, other=decay),
    "It is the other way round: what is decayed comes first.",
    lambda model, decay: _by_dimensions(model, decay)[::-1],
    "You decay what should be free, and leave free what should be decayed.",
    lambda model, decay: [
        group | {"weight_decay": weight_decay}
        for group, weight_decay in zip(_by_dimensions(model, decay), (0.0, decay), strict=True)
    ],
    "The weight of nn.Conv2d has four dimensions, and is decayed, too: ask for two "
    "or more, not for exactly two.",
    lambda model, decay: [
        {
            "params": [p for _, p in _trainable(model) if (p.ndim == 2) is flat],
            "weight_decay": d,
        }
        for flat, d in ((True, decay), (False, 0.0))
    ],
    "The weights of Linear layers have two dimensions, and they are to be decayed.",
    lambda model, decay: _by_dimensions(model, decay, least=3),
)
