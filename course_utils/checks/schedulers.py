"""Checks for lesson 07: schedulers, checkpoints, precision."""

import copy
import math
import pickle
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from ..data import moons
from ..loaders import tensor_loader
from ..models import mlp
from ..training import train_step
from .exercise import exercise
from .feedback import (
    Mistake,
    NotAttempted,
    as_class,
    as_number,
    call,
    check,
    explained,
    filled,
)
from .values import close


def _optimizer(lr=0.1):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def _rates(scheduler, steps):
    """The learning rate of each step, with the scheduler stepped after each."""
    rates = []
    for _ in range(steps):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def _settings():
    yield 0.3, 7, 31
    yield 0.02, 12, 40
    yield 1.5, 3, 9


def _all_rates(attempt, peak, warmup, total):
    rates = [
        as_number(call(attempt, step, peak, warmup, total), "The learning rate")
        for step in range(total)
    ]
    yield f"With peak={peak}, warmup={warmup}, total={total}, the rates of steps 0, 1, …", rates


def _schedule(
    ramp=lambda t: 0.1 + 0.9 * t,
    fall=lambda t: (1 + math.cos(math.pi * t)) / 2,
    share=lambda step, warmup, total: (step - warmup) / (total - warmup),
    climbed=lambda step, warmup: step / warmup,
    height=lambda peak: peak,
    late=0,
):
    """A schedule with one of its parts spoilt."""

    def attempt(step, peak, warmup, total):
        step += late
        if step < warmup:
            return height(peak) * ramp(climbed(step, warmup))
        return height(peak) * fall(share(step, warmup, total))

    return attempt


@exercise(
    cases=_settings,
    observe=_all_rates,
    praise="Your function gives the rates of PyTorch's SequentialLR at every step.",
)
def warmup_cosine(step, peak, warmup, total):
    """`warmup_cosine(step, peak, warmup, total)` returns the learning rate of that step."""
    return _schedule()(step, peak, warmup, total)


@warmup_cosine.variant
def as_pytorch_does(step, peak, warmup, total):
    optimizer = _optimizer(peak)
    parts = [
        lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=warmup),
        lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup),
    ]
    return _rates(lr_scheduler.SequentialLR(optimizer, parts, milestones=[warmup]), step + 1)[-1]


@warmup_cosine.variant
def in_numpy(step, peak, warmup, total):
    if step >= warmup:
        return np.cos(np.pi * (step - warmup) / (total - warmup)) * peak / 2 + peak / 2
    return np.interp(step, [0, warmup], [peak / 10, peak])


@warmup_cosine.variant
def squared_cosine(step, peak, warmup, total, floor=0.1):
    share = max(0, step - warmup) / (total - warmup)
    return peak * min(1, floor + (1 - floor) * step / warmup) * math.cos(math.pi / 2 * share) ** 2


warmup_cosine.known(
    "The warm-up should start at a tenth of the peak, not at 0.",
    _schedule(ramp=lambda t: t),
    "The warm-up overshoots the peak: from a tenth there are nine tenths left to climb.",
    _schedule(ramp=lambda t: 0.1 + t),
    "The warm-up should climb along a straight line; yours multiplies.",
    _schedule(ramp=lambda t: 0.1 ** (1 - t)),
    "The warm-up is missing: the rate begins at its peak.",
    _schedule(ramp=lambda t: 1, climbed=lambda step, warmup: 1),
    "The warm-up is missing: your cosine begins at step 0, at the peak.",
    lambda step, peak, warmup, total: peak * (1 + math.cos(math.pi * step / total)) / 2,
    "The cosine should begin when the warm-up is over; yours has been running since step 0.",
    _schedule(share=lambda step, warmup, total: step / total),
    "The cosine has only total - warmup steps to reach its end; yours takes total.",
    _schedule(share=lambda step, warmup, total: (step - warmup) / total),
    "A whole turn, 2 pi, brings the rate up again. It should go down once: half a turn, pi.",
    _schedule(fall=lambda t: (1 + math.cos(2 * math.pi * t)) / 2),
    "1 + cos runs from 2 to 0. Take half of it.",
    _schedule(fall=lambda t: 1 + math.cos(math.pi * t)),
    "cos alone runs from 1 to -1, and a negative rate climbs the loss. Use (1 + cos) / 2.",
    _schedule(fall=lambda t: math.cos(math.pi * t)),
    "1 - cos climbs from 0 to 2. The rate should fall: (1 + cos) / 2.",
    _schedule(fall=lambda t: (1 - math.cos(math.pi * t)) / 2),
    "After the warm-up your rate falls along a straight line. Half a cosine is wanted.",
    _schedule(fall=lambda t: 1 - t),
    "Half a turn is pi in radians: cos(pi * share).",
    _schedule(fall=lambda t: (1 + math.cos(t)) / 2),
    "The cosine begins at step warmup: its share is (step - warmup) / (total - warmup).",
    _schedule(share=lambda step, warmup, total: step / (total - warmup)),
    "A quarter of a turn, pi / 2, ends in its steepest fall. Half a turn levels off: "
    "(1 + cos(pi * share)) / 2.",
    _schedule(fall=lambda t: math.cos(math.pi / 2 * t)),
    "math.cos wants radians: half a turn is pi, not 180.",
    _schedule(fall=lambda t: (1 + math.cos(180 * t)) / 2),
    "You are one step ahead: steps are counted from 0.",
    _schedule(late=1),
    "Your warm-up is one step ahead: at step 0 the rate is still a tenth of the peak.",
    _schedule(climbed=lambda step, warmup: (step + 1) / warmup),
    "Your warm-up is at the peak one step early: it should arrive at step `warmup`, so divide "
    "by warmup, not by warmup - 1.",
    _schedule(climbed=lambda step, warmup: step / (warmup - 1)),
    "The shape is right, but it peaks at 1: multiply by peak.",
    _schedule(height=lambda peak: 1),
)


_EPOCHS, _BATCHES = 20, 10


def _stepped(scheduler, clock):
    """The learning rate at the start of each epoch and after the last one."""
    each_batch = _rates(scheduler, _EPOCHS * _BATCHES + 1 if clock == "batch" else _EPOCHS + 1)
    return each_batch[:: _BATCHES if clock == "batch" else 1]


def _clock(said):
    """ "epoch" for "epoch", "epochs" or "after each epoch", "batch" likewise; else what was said."""
    text = str(said).strip().lower()
    named = [clock for clock, words in _CLOCKS.items() if any(word in text for word in words)]
    return named[0] if len(named) == 1 else text


_CLOCKS = {"epoch": ("epoch",), "batch": ("batch", "step")}


@check
def where_to_step(attempt):
    """A dict from five schedulers to the place of their `step()`: "epoch" or "batch"."""
    right = {
        "StepLR": "epoch",
        "CosineAnnealingLR": "batch",
        "OneCycleLR": "batch",
        "LinearLR": "batch",
        "ReduceLROnPlateau": "epoch",
    }
    yours = {name: _clock(clock) for name, clock in filled(attempt, right).items()}
    for name, clock in yours.items():
        if clock not in ("epoch", "batch"):
            raise Mistake(f'{name}: answer "epoch" or "batch"; yours is {attempt[name]!r}.')

    cut = _stepped(lr_scheduler.StepLR(_optimizer(), step_size=5), "batch")
    cosine = _stepped(lr_scheduler.CosineAnnealingLR(_optimizer(), T_max=200), "epoch")
    one_cycle = _stepped(lr_scheduler.OneCycleLR(_optimizer(), 0.1, total_steps=200), "epoch")
    ramp = _stepped(lr_scheduler.LinearLR(_optimizer(), 0.1, total_iters=30), "epoch")
    consequences = {
        "StepLR": "step_size=5 counts the calls of step(). Called after every batch, it would cut "
        f"the rate every 5 batches: 0.1 at first, {cut[1]:.0e} after one epoch.",
        "CosineAnnealingLR": "T_max=200 is 20 epochs of 10 batches. Called once an epoch it would "
        f"get through a tenth of its curve: the rate would end at {cosine[-1]:.4f}, not near 0.",
        "OneCycleLR": "total_steps=200 is 20 epochs of 10 batches. Called once an epoch it would "
        f"still be climbing when the run ends: from {one_cycle[0]:.4f} to {one_cycle[-1]:.4f}, far "
        "below max_lr=0.1.",
        "LinearLR": "total_iters=30 is three epochs of 10 batches. Called once an epoch, the rate "
        f"would be {ramp[3]:.3f} after three epochs, and {ramp[-1]:.3f} at the end of the run.",
        "ReduceLROnPlateau": "Its step() is given the validation loss, and there is a new one only "
        "after each epoch; patience=3 then means three epochs.",
    }
    wrong = [name for name in yours if yours[name] != right[name]]
    if wrong:
        more = f" ({len(wrong) - 1} more to look at.)" if len(wrong) > 1 else ""
        raise Mistake(f"{wrong[0]}: {consequences[wrong[0]]}{more}")
    if len(yours) < len(right):
        raise NotAttempted
    return "All but the last only count calls of step(); their numbers say what you must count."


@check
def checkpoint(attempt):
    """`Checkpoint(model, optimizer, scheduler)` with `state_dict()` and `load_state_dict(state)`."""
    as_class(attempt, "Checkpoint")
    X, y = moons(48, seed=4)
    loader = tensor_loader(X, y, batch_size=16, shuffle=True)
    loss_fn = nn.CrossEntropyLoss()

    def build(seed):
        """A model with buffers and dropout, an optimizer with state, and a schedule."""
        torch.default_generator.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        return model, optimizer, lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)

    def train_on(model, optimizer, scheduler, epochs=3):
        for _ in range(epochs):
            for xb, yb in loader:
                train_step(model, xb, yb, loss_fn, optimizer)
            scheduler.step()

    undisturbed = build(0)
    train_on(*undisturbed)
    saved = _States.of(undisturbed)
    train_on(*undisturbed)
    final = _States.of(undisturbed)

    original = build(0)
    random_at_first = torch.get_rng_state()
    keeper = attempt(*original)  # long before it is asked for the state
    train_on(*original)
    state = call(keeper.state_dict)
    train_on(*original)
    if not _same(original[0].state_dict(), final.model):
        raise Mistake(
            "Taking the state changed the run: after your state_dict() training went on to other "
            "weights than without it. It must only look, and draw no random number."
        )
    state = _through_a_file(state)

    resumed = build(1)  # a new process: other weights, other random numbers
    untouched = _States.of(resumed)
    attempt(*resumed).load_state_dict(state)
    back = _States.of(resumed)
    train_on(*resumed)
    if _same(resumed[0].state_dict(), final.model):
        return "Six epochs in one go or in two halves: the same weights to the last bit."
    if _same(back.model, untouched.model):
        raise Mistake("After your load_state_dict() the model has its old weights still.")
    raise Mistake(_what_was_lost(back, saved, final, random_at_first))


class _States(NamedTuple):
    """All that a run goes on from, at one moment."""

    model: dict
    optimizer: dict
    scheduler: dict
    random: torch.Tensor

    @classmethod
    def of(cls, parts):
        return cls(*copy.deepcopy([part.state_dict() for part in parts]), torch.get_rng_state())


def _what_was_lost(back, saved, final, random_at_first):
    """Words for the first difference between what came `back` and what was `saved`."""
    if _same(back.model, final.model) or _same(back.optimizer["state"], final.optimizer["state"]):
        return (
            "You kept references, not copies: training went on, and what you had saved moved with "
            "it. The state_dict() of a model and of an optimizer both refer to living tensors. "
            "Use copy.deepcopy."
        )
    if not _same(back.model, saved.model):
        parameters = [name for name in saved.model if name.endswith((".weight", ".bias"))]
        if all(_same(back.model[name], saved.model[name]) for name in parameters):
            return (
                "The parameters came back, the buffers of BatchNorm did not. "
                "model.state_dict() has both."
            )
        return "The model did not come back as it was saved. Use its own load_state_dict."
    if not _same(back.optimizer["state"], saved.optimizer["state"]):
        return (
            "The model came back, but the optimizer's state did not: AdamW would begin without "
            "its running means."
        )
    if not _same(back.scheduler, saved.scheduler):
        return (
            "Model and optimizer came back, but the scheduler did not: it would begin its curve "
            "again at the first step."
        )
    if not _same(back.optimizer, saved.optimizer):
        return (
            "The optimizer's moments came back, but not its settings: the learning rate of this "
            'moment stands in its state_dict() too, in "param_groups".'
        )
    if torch.equal(back.random, random_at_first):
        return (
            "The random numbers are those of the moment when your Checkpoint was made. Save "
            "torch.get_rng_state() in state_dict(), not in __init__."
        )
    if not torch.equal(back.random, saved.random):
        return (
            "Weights, optimizer and scheduler came back, but not the random numbers: shuffling "
            "and dropout would go on differently. Save torch.get_rng_state() in state_dict(), and "
            "put it back with torch.set_rng_state(…), last."
        )
    return "All parts came back, and yet the resumed run ended with other weights."


def _same(a, b):
    """Whether two nested states are equal to the last bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


def _through_a_file(state):
    """`state` as it comes back from a file, loaded the safe way."""
    file = BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError) as error:
        raise Mistake(
            "Your state can't go through a file: torch.load with weights_only=True takes tensors, "
            "numbers, strings and plain containers only. Put the state_dict() of each part into it, "
            "not the part itself."
        ) from error


def _lengths():
    """Models with a gradient of a certain length, one parameter of them without; the longest norm."""
    for length, max_norm in ((7.0, 0.5), (0.3, 0.5), (20.0, 1.5)):
        model = mlp(2, 8, 2)
        grads = [torch.randn_like(parameter) for parameter in model.parameters()]
        grads[1] *= 5  # so that the tensors have unequal lengths
        norm = torch.cat([grad.flatten() for grad in grads]).norm()
        for parameter, grad in zip(model.parameters(), grads, strict=True):
            parameter.grad = length * grad / norm
        model.register_parameter("unused", nn.Parameter(torch.ones(3)))
        yield model, length, max_norm


_NO_GRADIENT = "One of the parameters has no gradient: its .grad is None. Skip such a parameter."


def _clipped(attempt, model, length, max_norm):
    def gradient():
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    before, weights = gradient(), [p.detach().clone() for p in model.parameters()]
    with explained({"NoneType": _NO_GRADIENT}):
        norm = call(attempt, model.parameters(), max_norm)
    if not all(map(torch.equal, weights, model.parameters())):
        raise Mistake("Your function changed the weights. Clipping is for their gradients.")
    after, advice = gradient(), ""
    if close(after, before * after.norm() / length):
        advice = (
            f"The direction is right, but the length is now {after.norm():.3g}. Did you divide by "
            "the root of the sum of all squares?"
        )
    yield f"A gradient of length {length:g} clipped to {max_norm:g}", after, advice
    yield "The length you return", as_number(norm, "The length")


@exercise(
    cases=_lengths,
    observe=_clipped,
    praise="The same as clip_grad_norm_: one length for all, one factor, the direction kept.",
)
def clip(parameters, max_norm):
    """`clip(parameters, max_norm)` shortens all gradients together; returns the old length."""
    return clipper(lambda length, max_norm, grads: min(1, max_norm / length))(parameters, max_norm)


def clipper(factor, each=False, returns=lambda length, max_norm: length):
    """Multiplies by `factor(length, max_norm, gradients)`: all of them, or each by its own."""

    def attempt(parameters, max_norm):
        grads = [p.grad for p in parameters if p.grad is not None]
        length = torch.cat([grad.flatten() for grad in grads]).norm().item()
        factors = [
            factor(length, max_norm, [grad] if each else grads) for grad in grads
        ]  # before any of them changes
        for grad, by in zip(grads, factors, strict=True):
            grad *= by
        return returns(length, max_norm)

    return attempt


@clip.variant
def from_the_library(parameters, max_norm):
    return nn.utils.clip_grad_norm_(parameters, max_norm).item()


@clip.variant
def new_tensors(parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    length = math.sqrt(sum(p.grad.square().sum().item() for p in parameters))
    if length > max_norm:
        for p in parameters:
            p.grad = p.grad * (max_norm / length)
    return length


@clip.variant
def all_in_one_call(parameters, max_norm, eps=1e-12):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = math.hypot(*[float(grad.norm()) for grad in grads])
    if length > max_norm:
        torch._foreach_mul_(grads, max_norm / (length + eps))
    return np.float64(length)


def _to(size, scale=min):
    """A clipper that measures the gradients by `size(length, gradients)`."""
    return clipper(lambda length, m, grads: min(1, m / size(length, grads)))


clip.known(
    "You shortened each tensor by itself, which turns the gradient to another direction. Work "
    "out one length over all tensors together.",
    clipper(lambda length, m, grads: min(1, m / grads[0].norm()), each=True),
    "You cut off single values, which turns the gradient to another direction. Multiply all of "
    "it by one number.",
    clipper(lambda length, m, grads: grads[0].clamp(-m, m) / grads[0], each=True),
    "A gradient shorter than max_norm must stay as it is; yours was stretched.",
    clipper(lambda length, m, grads: m / length),
    "You divided by the length. Multiply by max_norm as well.",
    clipper(lambda length, m, grads: 1 / length),
    "Lengths don't add up like this: add the squares of all values, then take the root.",
    _to(lambda length, grads: sum(grad.norm() for grad in grads)),
    "You forgot the root: the length is the square root of the sum of squares.",
    _to(lambda length, grads: length**2),
    "The factor is upside down: max_norm / length.",
    clipper(lambda length, m, grads: length / m),
    "The factor is upside down: max_norm / length, and at most 1.",
    clipper(lambda length, m, grads: max(1, length / m)),
    "You set the gradient to 0 where it is too long. Shorten it: multiply by max_norm / length.",
    clipper(lambda length, m, grads: length <= m),
    "You take the root of the mean square for the length. The length is the root of the sum of "
    "all squares, without dividing by their number.",
    _to(lambda length, grads: length / sum(grad.numel() for grad in grads) ** 0.5),
    "You measure the gradient by its largest value. Its length is the root of the sum of all "
    "squares.",
    _to(lambda length, grads: max(grad.abs().max() for grad in grads)),
    "The gradients have not changed. Change .grad in place, with grad.mul_(…) or grad *= …. "
    "And model.parameters() can be gone through only once: make a list of it first. (Or is "
    "your `if` the wrong way round?)",
    clipper(lambda length, m, grads: 1),
    "Your `if` is the wrong way round: you stretch the short gradients, and leave the long ones.",
    clipper(lambda length, m, grads: max(1, m / length)),
    "That is the length after clipping; return the one before.",
    clipper(lambda length, m, grads: min(1, m / length), returns=min),
)


def _gradients():
    yield (torch.tensor([2e-6, -4e-8, 0.0, 3e-5]),)  # nothing is lost here
    for exponent in (-7, -8, -8.5, -9, -9.5):
        gradient = 10 ** (exponent + 3 * torch.rand(6))
        yield (gradient * torch.tensor([1.0, -1.0, 0.0, -1.0, -1.0, 1.0]),)
    yield (torch.tensor([1e-14, 2e-5]),)  # needs more than a GradScaler starts with
    many = torch.full((1000,), 0.01)
    many[17] = 1e-9  # a single one of many
    yield (many,)
    yield (torch.tensor([1e-9, -2e-9]),)  # its largest value, too, would be lost
    yield (torch.tensor([2.0**-30, -3e-5, 0.0]),)  # to 2**-25 it would be rounded to 0


_ZEROS = (
    "An exact 0 stays 0 at any scale: leave it out. And size is what counts, not sign: take abs()."
)


def _scale(attempt, gradient):
    try:
        scale = as_number(call(attempt, gradient), "The scale", plain=False)
    except OverflowError:
        raise Mistake(
            f"Your scale grows and grows. {_ZEROS} Multiply before .half(): what has become 0 "
            "stays 0."
        ) from None
    lost = (((gradient * scale).half() == 0) & (gradient != 0)).sum().item()
    if not 0 < scale < math.inf:
        advice = _ZEROS
    elif lost:
        advice = f"At your scale {lost} of its values still become{'s' * (lost == 1)} 0."
    elif scale < 1:
        advice = "The scale is never below 1."
    elif not math.log2(scale).is_integer():
        advice = "Yours is no power of two."
    else:
        advice = "A smaller one is enough."
    values = ", ".join(f"{value:.3g}" for value in gradient.tolist()[:6])
    yield (
        f"For the gradient [{values}{', …' if len(gradient) > 6 else ''}] the scale",
        scale,
        advice,
    )


def doubled(gradient, until=torch.Tensor.any, by=2, dtype=torch.float16):
    """The first power of `by` at which `until(lost)` holds no more for the entries that are lost."""
    scale = 1
    while until(((gradient * scale).to(dtype)[gradient != 0] == 0).float()):
        scale *= by
    return scale


def _lifted_to(floor, least=0):
    """A scale by logarithm, which lifts the smallest value to `floor`."""

    def attempt(gradient):
        smallest = gradient[gradient != 0].abs().min().item()
        return 2.0 ** max(least, math.ceil(math.log2(floor / smallest)))

    return attempt


@exercise(
    cases=_gradients,
    observe=_scale,
    praise="Multiplying by a power of two only shifts the exponent, so nothing is rounded by it.",
)
def smallest_scale(gradient):
    """`smallest_scale(gradient)`: the smallest power of two that saves it from becoming zero."""
    return doubled(gradient)


@smallest_scale.variant
def by_logarithm(gradient):
    smallest = gradient[gradient != 0].abs().min().item()
    scale = 2 ** max(0, math.ceil(math.log2(2**-25 / smallest)))
    return scale if smallest * scale > 2**-25 else 2 * scale  # half way is rounded to 0


@smallest_scale.variant
def by_recursion(gradient, scale=1):
    if torch.equal((gradient * scale).half() != 0, gradient != 0):
        return np.float32(scale)
    return by_recursion(gradient, 2 * scale)


@smallest_scale.variant
def scale_in_a_tensor(gradient):
    scale = torch.tensor(1.0)
    while ((gradient * scale).half()[gradient != 0] == 0).any():
        scale = 2 * scale
    return scale


smallest_scale.known(
    "That is the scale for bfloat16, which reaches nearly as far down as float32. Ask what "
    "float16 makes of it: .half().",
    lambda g: doubled(g, dtype=torch.bfloat16),
    "Your search ends at 65536, and this gradient needs more. Go on doubling until no value is "
    "lost.",
    lambda g: min(doubled(g), 65536),
    "You allow a hundredth of the values to be lost. Every single one must be saved: .any(), "
    "not a share.",
    lambda g: doubled(g, lambda lost: lost.mean() > 0.01),
    "That lifts the smallest value to 6.1e-5, where float16 is at its full precision. Below, "
    "down to 6e-8, it still has numbers, with fewer digits.",
    _lifted_to(2.0**-14),
    "That is one doubling more than needed: a value between 3e-8 and 6e-8 is rounded up, not "
    "down to 0. Let .half() do the rounding.",
    _lifted_to(2.0**-24),
    "A value lifted to 3e-8, half of the smallest number, may be rounded to 0. Let .half() do "
    "the rounding.",
    _lifted_to(2.0**-25),
    "That saves the largest value alone. The smallest one needs most: look at .any() of what is "
    "lost, not at .all().",
    lambda g: doubled(g.abs().max()),
    "Negative values count too: look at abs().",
    lambda g: doubled(g.clamp(min=0)),
    "min() finds the most negative value. You need the one nearest to 0: abs() first.",
    lambda g: doubled(g.min()),
    "That is one doubling too many: look before you double.",
    lambda g: 2 * doubled(g),
    "You begin with 2. A gradient that loses nothing needs no scale: begin with 1.",
    lambda g: max(2, doubled(g)),
    "That is how often you doubled. Return the power of two itself.",
    lambda g: math.log2(doubled(g)),
    "The scale grows by the factor 10, and is no power of two.",
    lambda g: doubled(g, by=10),
    "The scale is always that with which a GradScaler starts. Ask what this gradient needs.",
    lambda g: 65536,
    "The scale is never below 1: a gradient that loses nothing needs none.",
    _lifted_to(2.0**-25, least=-math.inf),
)


def _amp_batches():
    for lr, max_norm, scale in ((0.2, 0.3, 1024.0), (0.05, 1.5, 512.0)):
        X, y = moons(80, seed=7)
        batches = [(5 * X[i : i + 16], y[i : i + 16]) for i in range(0, 80, 16)]
        batches[2] = (batches[2][0] * 1e38, batches[2][1])  # its gradient overflows
        model = mlp(2, 8, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
        yield model, batches, optimizer, scaler, max_norm


_OUT_OF_ORDER = (
    "In the second batch the scaler refused to go on. Each step needs unscale_(), step() and "
    "update() once, in this order: is update() missing, or not the last of them?"
)
_REFUSALS = {
    "since the last update()": _OUT_OF_ORDER,
    "after step()": _OUT_OF_ORDER,
    "No inf checks": "The scaler found no gradient at all. Is backward() missing, or does "
    "zero_grad() stand between backward() and the scaler's lines?",
    "_scale is None": "The loss is never scaled: scaler.scale(loss).backward().",
    "param_groups": "unscale_() and step() of the scaler want the optimizer, which knows the "
    "gradients: scaler.unscale_(optimizer).",
}


def _amp_steps(attempt, model, batches, optimizer, scaler, max_norm):
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give
    losses, steps, updates, update = [], [], [], scaler.update
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    scaler.update = lambda *given: (updates.append(1), update(*given))
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    for xb, yb in batches:
        try:
            with explained(_REFUSALS):
                losses.append(call(attempt, model, xb, yb, loss_fn, optimizer, scaler, max_norm))
        except Mistake:
            if len(updates) > len(losses) + 1:
                raise Mistake(
                    "update() runs twice in one step. Call it once, at the end."
                ) from None
            raise
    if len(steps) == len(batches):
        raise Mistake(
            "optimizer.step() takes the gradient as it is, also the broken one of the third batch, "
            "and the weights become NaN. scaler.step(optimizer) skips such a step."
        )
    yield (
        "How far five batches have moved the weights",
        torch.nn.utils.parameters_to_vector(model.parameters()) - before,
    )
    _step_with_an_infinite_gradient(attempt, max_norm)
    advice = "Use that scaler, none of your own: it remembers from step to step."
    yield "The scale that the scaler you were given ends with", scaler.get_scale(), advice
    losses = [as_number(loss, "The loss you return") for loss in losses]
    yield "The losses of the healthy batches", losses[:2] + losses[3:]


def _step_with_an_infinite_gradient(attempt, max_norm):
    model = nn.Linear(1, 1, bias=False)
    weight = model.weight.item()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    huge = torch.full((1, 1), 1e35), torch.zeros(1, 1)  # finite, until it is scaled
    attempt(model, *huge, lambda p, _: p.sum(), optimizer, torch.amp.GradScaler("cpu"), max_norm)
    if model.weight.item() != weight:
        raise Mistake(
            "A step was made although its gradient was infinite: the loss was finite, but scaled "
            "its gradient is not. Looking at the loss is not enough; scaler.step(optimizer) looks "
            "at the gradients and skips such a step."
        )


@exercise(
    cases=_amp_batches,
    observe=_amp_steps,
    praise="Unscale, clip, step, update: and the broken batch moved no weight.",
)
def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    """`amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm)`, repaired."""
    settings = {"max_grad_norm": max_norm, "scaler": scaler}
    return train_step(model, xb, yb, loss_fn, optimizer, **settings).item()


def amp_lines(
    order="unscale clip step update",
    backward=lambda loss, scaler: scaler.scale(loss).backward(),
    clear=True,
    returns=lambda loss, scale, later: loss.item(),
):
    """The lines of a step in this order; `returns` gets the scale before and after them."""

    def attempt(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
        def by_hand():
            for parameter in model.parameters():
                parameter.grad /= scaler.get_scale()

        lines = {
            "unscale": lambda: scaler.unscale_(optimizer),
            "by_hand": by_hand,
            "clip": lambda: nn.utils.clip_grad_norm_(model.parameters(), max_norm),
            "zero": optimizer.zero_grad,
            "step": lambda: scaler.step(optimizer),
            "update": scaler.update,
            "optimizer.step": optimizer.step,
        }
        if clear:
            optimizer.zero_grad()
        loss, scale = loss_fn(model(xb), yb), scaler.get_scale()
        backward(loss, scaler)
        for line in order.split():
            lines[line]()
        return returns(loss, scale, scaler.get_scale())

    return attempt


amp_step.variant(amp_lines("unscale clip step update zero", clear=False))


@amp_step.variant
def longer_limit_instead(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad(set_to_none=False)
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(list(model.parameters()), max_norm * scaler.get_scale())
    scaler.step(optimizer)
    scaler.update()
    return float(loss.detach())


def _backward_unscaled(loss, scaler):
    scaler.scale(loss)
    loss.backward()


amp_step.known(
    "You clip the gradient while it is still scaled, 1024 times too long, and unscaling then "
    "shortens it 1024 times more. Call scaler.unscale_(optimizer) before you clip.",
    amp_lines("clip step update"),
    "The gradient is never clipped, or not to max_norm before the step.",
    amp_lines("step update"),
    "The gradient is divided by the scale twice: by your own hand, and again by scaler.step(), "
    "which knows nothing of that. Call scaler.unscale_(optimizer) instead.",
    amp_lines("by_hand clip step update"),
    "The weights have not moved. Is scaler.step(optimizer) there, and the gradient still there "
    "when it is called?",
    amp_lines("unscale clip zero step update"),
    "The gradients of earlier batches are still there: clear them once a step.",
    amp_lines(clear=False),
    "The loss is not scaled, but its gradient is unscaled. scaler.scale(loss) changes nothing "
    "in place: call backward() on what it returns.",
    amp_lines(backward=_backward_unscaled),
    "That is the scaled loss. Return the true one, for the history.",
    amp_lines(returns=lambda loss, scale, later: loss.item() * scale),
    "You divide by the scale when update() has changed it already. Keep the unscaled loss "
    "before you scale it.",
    amp_lines(returns=lambda loss, scale, later: loss.item() * scale / later),
)


_PIECES = {
    "each epoch": ("batches", "best", "save", "train", "validate"),
    "each batch": (
        "backward", "clip", "forward", "schedule", "step", "unscale", "update", "zero",
    ),
}  # fmt: skip
# (a, b, what happens if a does not come before b)
_BEFORE = (
    ("train", "batches", "The batches would be trained in the mode that validation left behind."),
    ("batches", "validate", "Validation should measure what this epoch's batches have taught."),
    ("validate", "best", "Whether these weights are the best is known only after validation."),
    ("best", "save", "A run that dies now would come back without the best weights so far."),
    ("forward", "backward", "backward() needs a loss, and forward makes it."),
    ("backward", "step", "The step would use the gradients of the batch before, or find none."),
    ("backward", "unscale", "There is nothing to divide before backward() has been called."),
    ("backward", "clip", "Clipping before backward() shortens gradients that are not there yet."),
    ("unscale", "clip", "The limit would meet gradients that are 65536 times too long."),
    ("clip", "step", "The step would take the whole gradient; clipping it afterwards is too late."),
    ("unscale", "step", "The scaler's step divides by itself, and clip had no true gradient."),
    ("step", "update", "update() forgets that the gradient was unscaled, and adjusts the scale by "
     "what the step has seen: it comes after the step."),
    ("step", "schedule", "The first rate would be skipped; PyTorch warns about it."),
)  # fmt: skip
_ELSEWHERE = {
    "schedule": "This cosine is built for epochs * len(train_loader) calls. Called once an epoch it "
    "would hardly have begun to fall when the run ends.",
    "save": "A file for every batch costs time, and the run goes on at the start of an epoch anyway.",
    "validate": "Validating after every batch costs a pass over all validation rows each time. Once an epoch is enough.",
    "train": "model.train() once an epoch is enough: only validation changes the mode.",
    "best": "There is a new validation loss only once an epoch.",
    "zero": "Without clearing them for each batch, gradients pile up over the whole epoch.",
}


@check
def whole_loop(attempt):
    """A dict with the pieces of a loop in their order, for each epoch and for each batch."""
    answers = filled(attempt, _PIECES)
    if len(answers) < len(_PIECES):
        raise NotAttempted
    yours = {
        where: pieces.lower().replace(",", " ").split() if isinstance(pieces, str) else list(pieces)
        for where, pieces in answers.items()
    }
    known = [piece for pieces in _PIECES.values() for piece in pieces]
    written = [piece for pieces in yours.values() for piece in pieces]
    if strangers := [piece for piece in written if piece not in known]:
        raise Mistake(f"{strangers[0]!r} is not among the pieces of the table.")
    if twice := [piece for piece in known if written.count(piece) > 1]:
        raise Mistake(
            f"Write each piece once; {twice[0]!r} is there {written.count(twice[0])} times."
        )
    if missing := [piece for piece in known if piece not in written]:
        raise Mistake(f"A piece is missing: {missing[0]!r}.")
    for where, pieces in _PIECES.items():
        if lost := [piece for piece in yours[where] if piece not in pieces]:
            other = "each batch" if where == "each epoch" else "each epoch"
            why = _ELSEWHERE.get(lost[0], "One step is forward, backward, step, for every batch.")
            raise Mistake(f'{lost[0]!r} belongs to "{other}". {why}')
    place = {piece: at for pieces in yours.values() for at, piece in enumerate(pieces)}
    for first, then, why in _BEFORE:
        if place[first] > place[then]:
            raise Mistake(f"{first!r} comes before {then!r}. {why}")
    if place["backward"] < place["zero"] < place["step"]:
        raise Mistake(
            "'zero' between 'backward' and 'step' empties the gradients just before they are read: "
            "nothing would ever move."
        )
    return "Every piece is where it belongs. Now you can read any training loop, and trust yours."
