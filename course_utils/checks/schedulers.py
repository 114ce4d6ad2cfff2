"""Checks for lesson 07: schedulers, checkpoints, precision."""

import copy
import math
import pickle
from io import BytesIO

import torch
from torch import nn
from torch.optim import lr_scheduler

from ..data import moons, tensor_loader
from ..models import mlp
from ..training import train_step
from .feedback import Mistake, NotAttempted, as_number, call, check, close, compare


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


@check
def warmup_cosine(attempt):
    """`warmup_cosine(step, peak, warmup, total)` returns the learning rate of that step."""
    runs = [(0.3, 7, 31), (0.02, 12, 40)]

    def real(peak, warmup, total):
        optimizer = _optimizer(peak)
        parts = [
            lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=warmup),
            lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup),
        ]
        return _rates(lr_scheduler.SequentialLR(optimizer, parts, milestones=[warmup]), total)

    def over_all_steps(schedule):
        return [schedule(step, *run) for run in runs for step in range(run[2])]

    def built(
        ramp=lambda t: 0.1 + 0.9 * t,
        fall=lambda t: (1 + math.cos(math.pi * t)) / 2,
        share=lambda step, warmup, total: (step - warmup) / (total - warmup),
        climbed=lambda step, warmup: step / warmup,
        height=lambda peak: peak,
        late=0,
    ):
        """The rates of a schedule with one of its parts spoilt."""

        def schedule(step, peak, warmup, total):
            step += late
            if step < warmup:
                return height(peak) * ramp(climbed(step, warmup))
            return height(peak) * fall(share(step, warmup, total))

        return over_all_steps(schedule)

    mistakes = {
        "The warm-up should start at a tenth of the peak, not at 0.": built(ramp=lambda t: t),
        "The warm-up overshoots the peak: from a tenth there are nine tenths left to climb.": built(
            ramp=lambda t: 0.1 + t
        ),
        "The warm-up should climb along a straight line; yours multiplies.": built(
            ramp=lambda t: 0.1 ** (1 - t)
        ),
        "The cosine should begin when the warm-up is over; yours has been running since step 0.": (
            built(share=lambda step, warmup, total: step / total)
        ),
        "The cosine has only total - warmup steps to reach its end; yours takes total.": built(
            share=lambda step, warmup, total: (step - warmup) / total
        ),
        "A whole turn, 2 pi, brings the rate up again. It should go down once: half a turn, pi.": (
            built(fall=lambda t: (1 + math.cos(2 * math.pi * t)) / 2)
        ),
        "1 + cos runs from 2 to 0. Take half of it.": built(
            fall=lambda t: 1 + math.cos(math.pi * t)
        ),
        "cos alone runs from 1 to -1, and a negative rate climbs the loss. Use (1 + cos) / 2.": (
            built(fall=lambda t: math.cos(math.pi * t))
        ),
        "1 - cos climbs from 0 to 2. The rate should fall: (1 + cos) / 2.": built(
            fall=lambda t: (1 - math.cos(math.pi * t)) / 2
        ),
        "After the warm-up your rate falls along a straight line. Half a cosine is wanted.": built(
            fall=lambda t: 1 - t
        ),
        "Half a turn is pi in radians: cos(pi * share).": built(
            fall=lambda t: (1 + math.cos(t)) / 2
        ),
        "The cosine begins at step warmup: its share is (step - warmup) / (total - warmup).": built(
            share=lambda step, warmup, total: step / (total - warmup)
        ),
        "A quarter of a turn, pi / 2, ends in its steepest fall. Half a turn levels off: "
        "(1 + cos(pi * share)) / 2.": built(fall=lambda t: math.cos(math.pi / 2 * t)),
        "math.cos wants radians: half a turn is pi, not 180.": built(
            fall=lambda t: (1 + math.cos(180 * t)) / 2
        ),
        "You are one step ahead: steps are counted from 0.": built(late=1),
        "Your warm-up is one step ahead: at step 0 the rate is still a tenth of the peak.": built(
            climbed=lambda step, warmup: (step + 1) / warmup
        ),
        "Your warm-up is at the peak one step early: it should arrive at step `warmup`, so divide "
        "by warmup, not by warmup - 1.": built(climbed=lambda step, warmup: step / (warmup - 1)),
        "The shape is right, but it peaks at 1: multiply by peak.": built(height=lambda peak: 1),
    }
    expected = [rate for run in runs for rate in real(*run)]
    yours = [
        as_number(rate, "The learning rate")
        for rate in over_all_steps(lambda *args: call(attempt, *args))
    ]
    cases = [(step, run) for run in runs for step in range(run[2])]
    for i, (step, (peak, warmup, total)) in enumerate(cases):
        compare(
            yours[i],
            expected[i],
            {text: rates[i] for text, rates in mistakes.items() if close(rates, yours)},
            f"With peak={peak}, warmup={warmup}, total={total}, the rate of step {step}",
        )
    return "Your function gives the rates of PyTorch's SequentialLR at every step."


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
    if not isinstance(attempt, dict):
        raise Mistake(f"Pass the dict of five answers; this is a {type(attempt).__name__}.")
    if any(clock is ... for clock in attempt.values()):
        raise NotAttempted
    if set(attempt) != set(right):
        names = ", ".join(set(attempt) ^ set(right))
        raise Mistake(f"The dict should have exactly the five keys of the stub; look at: {names}.")
    yours = {name: _clock(clock) for name, clock in attempt.items()}
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
    wrong = [name for name in right if yours[name] != right[name]]
    if wrong:
        more = f" ({len(wrong) - 1} more to look at.)" if len(wrong) > 1 else ""
        raise Mistake(f"{wrong[0]}: {consequences[wrong[0]]}{more}")
    return "A scheduler only counts calls of step(); its numbers say what you must count."


@check
def checkpoint(attempt):
    """`Checkpoint(model, optimizer, scheduler)` with `state_dict()` and `load_state_dict(state)`."""
    if not isinstance(attempt, type) and hasattr(attempt, "state_dict"):
        raise Mistake("Pass the class itself: check.schedulers.checkpoint(Checkpoint).")
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

    def states(parts):
        return copy.deepcopy([part.state_dict() for part in parts]), torch.get_rng_state()

    undisturbed = build(0)
    train_on(*undisturbed)
    (saved_model, saved_optimizer, saved_scheduler), saved_random = states(undisturbed)
    train_on(*undisturbed)
    (final_model, final_optimizer, _), _ = states(undisturbed)

    original = build(0)
    keeper = attempt(*original)  # long before it is asked for the state
    train_on(*original)
    state = call(keeper.state_dict)
    train_on(*original)
    if not _same(original[0].state_dict(), final_model):
        raise Mistake(
            "Taking the state changed the run: after your state_dict() training went on to other "
            "weights than without it. It must only look, and draw no random number."
        )
    state = _through_a_file(state)

    resumed = build(1)  # a new process: other weights, other random numbers
    (untouched, _, _), _ = states(resumed)
    attempt(*resumed).load_state_dict(state)
    (model, optimizer, scheduler), random = states(resumed)
    train_on(*resumed)
    if _same(resumed[0].state_dict(), final_model):
        return "Six epochs in one go or in two halves: the same weights to the last bit."

    parameters = [name for name, _ in resumed[0].named_parameters()]
    if _same(model, untouched):
        raise Mistake("After your load_state_dict() the model has its old weights still.")
    if _same(model, final_model) or _same(optimizer["state"], final_optimizer["state"]):
        raise Mistake(
            "You kept references, not copies: training went on, and what you had saved moved with "
            "it. The state_dict() of a model and of an optimizer both refer to living tensors. "
            "Use copy.deepcopy."
        )
    if not _same(model, saved_model):
        if all(_same(model[name], saved_model[name]) for name in parameters):
            raise Mistake(
                "The parameters came back, the buffers of BatchNorm did not. "
                "model.state_dict() has both."
            )
        raise Mistake("The model did not come back as it was saved. Use its own load_state_dict.")
    if not _same(optimizer["state"], saved_optimizer["state"]):
        raise Mistake(
            "The model came back, but the optimizer's state did not: AdamW would begin without "
            "its running means."
        )
    if not _same(scheduler, saved_scheduler):
        raise Mistake(
            "Model and optimizer came back, but the scheduler did not: it would begin its curve "
            "again at the first step."
        )
    if not _same(optimizer, saved_optimizer):
        raise Mistake(
            "The optimizer's moments came back, but not its settings: the learning rate of this "
            'moment stands in its state_dict() too, in "param_groups".'
        )
    if not torch.equal(random, saved_random):
        raise Mistake(
            "Weights, optimizer and scheduler came back, but not the random numbers: shuffling "
            "and dropout would go on differently. Save torch.get_rng_state() in state_dict(), not "
            "in __init__, and put it back with torch.set_rng_state(…), last."
        )
    raise Mistake("All parts came back, and yet the resumed run ended with other weights.")


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
            "numbers, strings, lists and dicts only. Put the state_dict() of each part into it, "
            "not the part itself."
        ) from error


@check
def clip(attempt):
    """`clip(parameters, max_norm)` shortens all gradients together; returns the old length."""

    def gradients(length):
        """A small model whose gradient has this length, and one parameter without gradient."""
        generator = torch.Generator().manual_seed(5)
        model = mlp(2, 8, 2)
        grads = [torch.randn(p.shape, generator=generator) for p in model.parameters()]
        grads[1] *= 5  # so that the tensors have unequal lengths
        norm = torch.cat([grad.flatten() for grad in grads]).norm()
        for parameter, grad in zip(model.parameters(), grads, strict=True):
            parameter.grad = length * grad / norm
        model.register_parameter("unused", nn.Parameter(torch.ones(3)))
        return model

    def flat(model):
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    def clipped(length, max_norm, spoilt):
        model = gradients(length)
        spoilt([p.grad for p in model.parameters() if p.grad is not None], length, max_norm)
        return flat(model)

    def each_alone(grads, _, max_norm):
        for grad in grads:
            grad *= min(1, max_norm / grad.norm())

    def each_value(grads, _, max_norm):
        for grad in grads:
            grad.clamp_(-max_norm, max_norm)

    def always(grads, length, max_norm):
        for grad in grads:
            grad *= max_norm / length

    def to_length_one(grads, length, _):
        for grad in grads:
            grad /= length

    def by_sum_of_norms(grads, _, max_norm):
        total = sum(grad.norm() for grad in grads)
        for grad in grads:
            grad *= min(1, max_norm / total)

    def by_square(grads, length, max_norm):
        for grad in grads:
            grad *= min(1, max_norm / length**2)

    def upside_down(grads, length, max_norm):
        for grad in grads:
            grad *= length / max_norm

    def by_mean_square(grads, length, max_norm):
        size = length / sum(grad.numel() for grad in grads) ** 0.5
        for grad in grads:
            grad *= min(1, max_norm / size)

    def by_largest(grads, _, max_norm):
        largest = max(grad.abs().max() for grad in grads)
        for grad in grads:
            grad *= min(1, max_norm / largest)

    def zeroed(grads, length, max_norm):
        for grad in grads:
            grad *= length <= max_norm

    def left_alone(*_):
        pass

    explanations = {
        "You shortened each tensor by itself, which turns the gradient to another direction. Work "
        "out one length over all tensors together.": each_alone,
        "You cut off single values, which turns the gradient to another direction. Multiply all "
        "of it by one number.": each_value,
        "A gradient shorter than max_norm must stay as it is; yours was stretched.": always,
        "You divided by the length. Multiply by max_norm as well.": to_length_one,
        "Lengths don't add up like this: add the squares of all values, then take the root.": (
            by_sum_of_norms
        ),
        "You forgot the root: the length is the square root of the sum of squares.": by_square,
        "The factor is upside down: max_norm / length.": upside_down,
        "You set the gradient to 0 where it is too long. Shorten it: multiply by max_norm / "
        "length.": zeroed,
        "You take the root of the mean square for the length. The length is the root of the sum of "
        "all squares, without dividing by their number.": by_mean_square,
        "You measure the gradient by its largest value. Its length is the root of the sum of all "
        "squares.": by_largest,
        "The gradients have not changed. Change .grad in place, with grad.mul_(…) or grad *= …. "
        "And model.parameters() can be gone through only once: make a list of it first. (Or is "
        "your `if` the wrong way round?)": left_alone,
    }
    for length, max_norm in ((7.0, 0.5), (0.3, 0.5), (20.0, 1.5)):
        model = gradients(length)
        weights = [p.detach().clone() for p in model.parameters()]
        try:
            norm = call(attempt, model.parameters(), max_norm)
        except (TypeError, AttributeError) as error:
            if "NoneType" not in str(error):
                raise
            raise Mistake(
                "One of the parameters has no gradient: its .grad is None. Skip such a parameter."
            ) from None
        if any(not torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True)):
            raise Mistake("Your function changed the weights. Clipping is for their gradients.")
        yours, before = flat(model), flat(gradients(length))
        mistakes = {text: clipped(length, max_norm, do) for text, do in explanations.items()}
        same_direction = before * yours.norm() / length
        mistakes[
            f"The direction is right, but the length is now {yours.norm():.3g}. Did you divide by "
            "the root of the sum of all squares?"
        ] = same_direction
        compare(
            yours,
            before * min(1, max_norm / length),
            mistakes,
            f"A gradient of length {length:g} clipped to {max_norm:g}",
        )
        compare(
            as_number(norm, "The length"),
            length,
            {"That is the length after clipping; return the one before.": min(length, max_norm)},
            "The length you return",
        )
    return "The same as clip_grad_norm_: one length for all, one factor, the direction kept."


def _scale_losing(gradient, share):
    """The smallest power of two at which at most this share of the values becomes zero."""
    scale = 1
    while ((gradient * scale).half()[gradient != 0] == 0).float().mean() > share:
        scale *= 2
    return scale


@check
def smallest_scale(attempt):
    """`smallest_scale(gradient)`: the smallest power of two that saves it from becoming zero."""

    def brute_force(gradient):
        scale = 1
        while ((gradient * scale).half()[gradient != 0] == 0).any():
            scale *= 2
        return scale

    def lifted_to(floor):
        def scale(gradient):
            smallest = gradient[gradient != 0].abs().min().item()
            return 2 ** max(0, math.ceil(math.log2(floor / smallest)))

        return scale

    def in_bfloat16(gradient):
        scale = 1
        while ((gradient * scale).bfloat16()[gradient != 0] == 0).any():
            scale *= 2
        return scale

    explanations = {
        "That is the scale for bfloat16, which reaches as far down as float32. Ask what float16 "
        "makes of it: .half().": in_bfloat16,
        "Your search ends at 65536, and this gradient needs more. Go on doubling until no value is "
        "lost.": lambda gradient: min(brute_force(gradient), 65536),
        "You allow a hundredth of the values to be lost. Every single one must be saved: "
        ".any(), not a share.": lambda gradient: _scale_losing(gradient, 0.01),
        "That lifts the smallest value to 6.1e-5, where float16 is at its full precision. Below, "
        "down to 6e-8, it still has numbers, with fewer digits.": lifted_to(2.0**-14),
        "That is one doubling more than needed: a value between 3e-8 and 6e-8 is rounded up, not "
        "down to 0. Let .half() do the rounding.": lifted_to(2.0**-24),
        "A value lifted to 3e-8, half of the smallest number, may be rounded to 0. Let .half() do "
        "the rounding.": lifted_to(2.0**-25),
        "That saves the largest value. The smallest one needs most.": lambda gradient: brute_force(
            gradient.abs().max()
        ),
        "Negative values count too: look at abs().": lambda gradient: brute_force(
            gradient.clamp(min=0)
        ),
        "min() finds the most negative value. You need the one nearest to 0: abs() first.": (
            lambda gradient: brute_force(gradient.min())
        ),
        "That is one doubling too many: look before you double.": lambda gradient: (
            2 * brute_force(gradient)
        ),
        "That is how often you doubled. Return the power of two itself.": lambda gradient: (
            math.log2(brute_force(gradient))
        ),
    }
    generator = torch.Generator().manual_seed(6)
    gradients = [torch.tensor([2e-6, -4e-8, 0.0, 3e-5])]  # nothing is lost here
    for exponent in (-7, -8, -8.5, -9, -9.5):
        gradient = 10 ** (exponent + 3 * torch.rand(6, generator=generator))
        gradients.append(gradient * torch.tensor([1.0, -1.0, 0.0, -1.0, -1.0, 1.0]))
    gradients.append(torch.tensor([1e-14, 2e-5]))  # needs more than a GradScaler starts with
    many = torch.full((1000,), 0.01)
    many[17] = 1e-9  # a single one of many
    gradients.append(many)
    gradients.append(torch.tensor([1e-9, -2e-9]))  # its largest value, too, would be lost
    gradients.append(torch.tensor([2.0**-30, -3e-5, 0.0]))  # to 2**-25 it would be rounded to 0
    try:
        yours = [as_number(call(attempt, each), "The scale", plain=False) for each in gradients]
    except OverflowError as error:
        raise Mistake(
            "Your scale grows and grows. An exact 0 stays 0 at any scale: leave it out. Multiply "
            "before .half(): what has become 0 stays 0. And sizes count, not signs: take abs()."
        ) from error
    matching = {
        text: scale
        for text, scale in explanations.items()
        if [scale(gradient) for gradient in gradients] == yours
    }
    for gradient, scale in zip(gradients, yours, strict=True):
        expected = brute_force(gradient)
        if scale == expected:
            continue
        values = ", ".join(f"{value:.3g}" for value in gradient.tolist()[:6])
        shown = f"For the gradient [{values}{', …' if len(gradient) > 6 else ''}]"
        if not matching and not 0 < scale < math.inf:
            raise Mistake(
                f"{shown} you return {scale:g}. An exact 0 stays 0 at any scale: leave it out. "
                "And size is what counts, not sign: take abs()."
            )
        lost = ((gradient * scale).half()[gradient != 0] == 0).sum().item()
        if lost:
            verdict = f"at yours {lost} of its values still become{'s' * (lost == 1)} 0"
        elif scale < 1:
            verdict = "it is never below 1"
        elif not math.log2(scale).is_integer():
            verdict = "yours is no power of two"
        else:
            verdict = "a smaller one is enough"
        compare(
            scale,
            expected,
            {text: wrong(gradient) for text, wrong in matching.items()},
            f"{shown} the scale ({verdict})",
        )
    return "Multiplying by a power of two only shifts the exponent, so nothing is rounded by it."


@check
def amp_step(attempt):
    """`amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm)`, repaired."""
    X, y = moons(80, seed=7)
    batches = [(5 * X[i : i + 16], y[i : i + 16]) for i in range(0, 80, 16)]
    batches[2] = (batches[2][0] * 1e38, batches[2][1])  # its gradient overflows
    start = mlp(2, 8, 2)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give
    max_norm = 0.3

    def run(step):
        """(losses, weights, number of steps, scale) after five batches, the third broken."""
        model = copy.deepcopy(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
        steps = []
        optimizer.register_step_post_hook(lambda *_: steps.append(1))
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        losses = [step(model, xb, yb, loss_fn, optimizer, scaler, max_norm) for xb, yb in batches]
        weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        return losses, weights, len(steps), scaler.get_scale()

    def right(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
        return train_step(
            model, xb, yb, loss_fn, optimizer, max_grad_norm=max_norm, scaler=scaler
        ).item()

    def spoilt(order="unscale clip step update", clear=True, scale=True):
        """The weights that another order of the lines leads to."""

        def step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
            def by_hand():
                for parameter in model.parameters():
                    parameter.grad /= scaler.get_scale()

            lines = {
                "unscale": lambda: scaler.unscale_(optimizer),
                "by_hand": by_hand,
                "clip": lambda: nn.utils.clip_grad_norm_(model.parameters(), max_norm),
                "step": lambda: scaler.step(optimizer),
                "update": scaler.update,
            }
            if clear:
                optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            scaled_loss = scaler.scale(loss)
            (scaled_loss if scale else loss).backward()
            for line in order.split():
                lines[line]()

        return run(step)[1]

    def scaled(*arguments):
        return arguments[5].get_scale() * right(*arguments)

    def divided_too_late(*arguments):
        return scaled(*arguments) / arguments[5].get_scale()

    out_of_order = (
        "In the second batch the scaler refused to go on. Each step needs unscale_(), step() and "
        "update() once, in this order: is update() missing, or not the last of them?"
    )
    refusals = {
        "since the last update()": out_of_order,
        "after step()": out_of_order,
        "No inf checks": "The scaler found no gradient at all. Is backward() missing, or does "
        "zero_grad() stand between backward() and the scaler's lines?",
        "_scale is None": "The loss is never scaled: scaler.scale(loss).backward().",
        "param_groups": "unscale_() and step() of the scaler want the optimizer, which knows the "
        "gradients: scaler.unscale_(optimizer).",
    }
    expected_losses, expected, expected_steps, expected_scale = run(right)
    updates = []

    def watched(*args):
        scaler = args[5]
        update = scaler.update
        scaler.update = lambda *given: (updates.append(1), update(*given))
        try:
            return call(attempt, *args)
        finally:
            del scaler.update

    try:
        losses, weights, steps, last_scale = run(watched)
    except (RuntimeError, AssertionError, AttributeError) as error:
        why = [why for words, why in refusals.items() if words in str(error)]
        if len(updates) > 1 and "No inf checks" in str(error):
            why = ["update() runs twice in one step. Call it once, at the end."]
        if not why:
            raise
        raise Mistake(f"{why[0]} ({str(error).splitlines()[0]})") from error
    if steps > expected_steps:
        raise Mistake(
            "optimizer.step() takes the gradient as it is, also the broken one of the third batch, "
            "and every weight becomes NaN. scaler.step(optimizer) skips such a step."
        )
    explanations = {
        "You clip the gradient while it is still 1024 times too long, and unscaling then shortens "
        "it 1024 times more. Call scaler.unscale_(optimizer) before you clip.": spoilt(
            "clip step update"
        ),
        "The gradient is never clipped, or not to max_norm before the step.": spoilt("step update"),
        "The gradient is divided by the scale twice: by your own hand, and again by scaler.step(), "
        "which knows nothing of that. Call scaler.unscale_(optimizer) instead.": spoilt(
            "by_hand clip step update"
        ),
        "The weights have not moved. Is scaler.step(optimizer) there, and the gradient still there "
        "when it is called?": torch.cat([p.detach().flatten() for p in start.parameters()]),
        "The gradients of earlier batches are still there: clear them once a step.": spoilt(
            clear=False
        ),
        "The loss is not scaled, but its gradient is unscaled. scaler.scale(loss) changes nothing "
        "in place: call backward() on what it returns.": spoilt(scale=False),
    }
    compare(weights, expected, explanations, "The weights after five batches")
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
    if last_scale != expected_scale:
        raise Mistake(
            f"The scaler you were given ends with a scale of {last_scale:g} instead of "
            f"{expected_scale:g}. Use it, not one of your own: it remembers from step to step."
        )

    def healthy(losses):
        return [losses[i] for i in (0, 1, 3, 4)]

    compare(
        healthy([as_number(loss, "The loss you return") for loss in losses]),
        healthy(expected_losses),
        {
            "That is the scaled loss. Return the true one, for the history.": healthy(
                run(scaled)[0]
            ),
            "You divide by the scale when update() has changed it already. Keep the unscaled loss "
            "before you scale it.": healthy(run(divided_too_late)[0]),
        },
        "The losses of the healthy batches",
    )
    return "Unscale, clip, step, update: and the broken batch was skipped without a trace."


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
    "validate": "Validating after every batch would take most of the time. Once an epoch is enough.",
    "train": "model.train() once an epoch is enough: only validation changes the mode.",
    "best": "There is a new validation loss only once an epoch.",
    "zero": "Without clearing them for each batch, gradients pile up over the whole epoch.",
}


@check
def whole_loop(attempt):
    """A dict with the pieces of a loop in their order, for each epoch and for each batch."""
    if not isinstance(attempt, dict) or set(attempt) != set(_PIECES):
        raise Mistake('Pass the dict with the keys of the stub, "each epoch" and "each batch".')
    if any(pieces is ... for pieces in attempt.values()):
        raise NotAttempted
    yours = {
        where: pieces.lower().replace(",", " ").split() if isinstance(pieces, str) else list(pieces)
        for where, pieces in attempt.items()
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
