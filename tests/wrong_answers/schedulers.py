"""Answers to the exercises of lesson 07."""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from . import gallery

wrong, right = gallery("schedulers")

# Exercise 1


@right("warmup_cosine")
def in_numpy(step, peak, warmup, total):
    if step >= warmup:
        return np.cos(np.pi * (step - warmup) / (total - warmup)) * peak / 2 + peak / 2
    return np.interp(step, [0, warmup], [peak / 10, peak])


@right("warmup_cosine")
def asked_pytorch(step, peak, warmup, total):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    ramp = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warmup)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, total - warmup)
    both = lr_scheduler.SequentialLR(optimizer, [ramp, fall], [warmup])
    for _ in range(step):
        optimizer.step()
        both.step()
    return both.get_last_lr()[0]


def schedule(ramp=lambda t: 0.1 + 0.9 * t, fall=None, since=None, length=None):
    """A right answer, or one with a part spoilt."""

    def warmup_cosine(step, peak, warmup, total):
        if step < warmup:
            return peak * ramp(step / warmup)
        start = warmup if since is None else since
        t = (step - start) / (total - warmup if length is None else length(total))
        return peak * (0.5 * (1 + math.cos(math.pi * t)) if fall is None else fall(t))

    return warmup_cosine


wrong("warmup_cosine", "not at 0")(schedule(ramp=lambda t: t))
wrong("warmup_cosine", "overshoots the peak")(schedule(ramp=lambda t: 0.1 + t))
wrong("warmup_cosine", "along a straight line")(schedule(ramp=lambda t: 10 ** (t - 1)))
wrong("warmup_cosine", "running since step 0")(schedule(since=0, length=lambda total: total))
wrong("warmup_cosine", "yours takes total")(schedule(length=lambda total: total))
wrong("warmup_cosine", "half a turn")(
    schedule(fall=lambda t: 0.5 + 0.5 * math.cos(2 * math.pi * t))
)
wrong("warmup_cosine", "Take half")(schedule(fall=lambda t: 1 + math.cos(math.pi * t)))
wrong("warmup_cosine", "negative rate")(schedule(fall=lambda t: math.cos(math.pi * t)))


@wrong("warmup_cosine", "one step ahead")
def counted_from_one(step, peak, warmup, total):
    return schedule()(step + 1, peak, warmup, total)


@wrong("warmup_cosine", "the rate of step 0 should be 0.03; you have 0.3")
def no_warmup(step, peak, warmup, total):
    return 0.5 * peak * (1 + math.cos(math.pi * step / total))


@wrong("warmup_cosine", ".item()")
def in_torch(step, peak, warmup, total):
    return torch.tensor(schedule()(step, peak, warmup, total))


def warm(step, peak, warmup):
    return peak * (0.1 + 0.9 * step / warmup)


@wrong("warmup_cosine", "1 - cos climbs")
def the_cosine_climbs(step, peak, warmup, total):
    share = (step - warmup) / (total - warmup)
    if step < warmup:
        return warm(step, peak, warmup)
    return peak * (1 - math.cos(math.pi * share)) / 2


@wrong("warmup_cosine", "along a straight line")
def a_straight_fall(step, peak, warmup, total):
    if step < warmup:
        return warm(step, peak, warmup)
    return peak * (total - step) / (total - warmup)


@wrong("warmup_cosine", "for a plain number use `math`")
def cosine_of_torch(step, peak, warmup, total):
    if step < warmup:
        return warm(step, peak, warmup)
    return peak * (1 + torch.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def warm_up_then(fall, climbed=lambda step, warmup: step / warmup, height=None):
    def schedule(step, peak, warmup, total):
        if step < warmup:
            return (height or peak) * (0.1 + 0.9 * climbed(step, warmup))
        return (height or peak) * fall((step - warmup) / (total - warmup))

    return schedule


def half_cosine(share):
    return (1 + math.cos(math.pi * share)) / 2


wrong("warmup_cosine", "A quarter of a turn")(warm_up_then(lambda t: math.cos(math.pi * t / 2)))
wrong("warmup_cosine", "pi, not 180")(warm_up_then(lambda t: (1 + math.cos(180 * t)) / 2))
wrong("warmup_cosine", "multiply by peak")(warm_up_then(half_cosine, height=1))
wrong("warmup_cosine", "Your warm-up is one step ahead")(
    warm_up_then(half_cosine, lambda step, warmup: (step + 1) / warmup)
)


@wrong("warmup_cosine", "not by warmup - 1")
def warm_up_by_linspace(step, peak, warmup, total):
    if step < warmup:
        return np.linspace(peak / 10, peak, warmup)[step]
    return peak * half_cosine((step - warmup) / (total - warmup))


@right("warmup_cosine")
def squared_cosine(step, peak, warmup, total, floor=0.1):
    share = max(0, step - warmup) / (total - warmup)
    return peak * min(1, floor + (1 - floor) * step / warmup) * math.cos(math.pi / 2 * share) ** 2


# Exercise 2

CLOCKS = {
    "StepLR": "epoch",
    "CosineAnnealingLR": "batch",
    "OneCycleLR": "batch",
    "LinearLR": "batch",
    "ReduceLROnPlateau": "epoch",
}
right("where_to_step")(CLOCKS)
right("where_to_step")({name: clock.upper() for name, clock in reversed(CLOCKS.items())})
wrong("where_to_step", "1e-03 after one epoch")(CLOCKS | {"StepLR": "batch"})
wrong("where_to_step", "get through a tenth of its curve")(CLOCKS | {"CosineAnnealingLR": "epoch"})
wrong("where_to_step", "still be climbing when the run ends")(CLOCKS | {"OneCycleLR": "epoch"})
wrong("where_to_step", "0.019 after three epochs")(CLOCKS | {"LinearLR": "epoch"})
wrong("where_to_step", "a new one only after each epoch")(CLOCKS | {"ReduceLROnPlateau": "batch"})
wrong("where_to_step", "(2 more to look at.)")(dict.fromkeys(CLOCKS, "epoch"))
wrong("where_to_step", 'answer "epoch" or "batch"')(CLOCKS | {"StepLR": 5})
wrong("where_to_step", "look at: LinearLR")({k: v for k, v in CLOCKS.items() if k != "LinearLR"})
wrong("where_to_step", "this is a list")(list(CLOCKS.values()))

# Exercise 3


class Checkpoint:
    """A right answer, to be spoilt below in one place each."""

    def __init__(self, model, optimizer, scheduler):
        self.parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}

    def state_dict(self):
        state = {name: part.state_dict() for name, part in self.parts.items()}
        return copy.deepcopy(state) | {"random": torch.get_rng_state()}

    def load_state_dict(self, state):
        for name, part in self.parts.items():
            if name in state:
                part.load_state_dict(state[name])
        if "random" in state:
            torch.set_rng_state(state["random"])


right("checkpoint")(Checkpoint)


@right("checkpoint")
class AsAList:
    def __init__(self, *parts):
        self.parts = parts

    def state_dict(self):
        return [copy.deepcopy(p.state_dict()) for p in self.parts] + [torch.random.get_rng_state()]

    def load_state_dict(self, state):
        *states, random = state
        for part, part_state in zip(self.parts, states, strict=True):
            part.load_state_dict(part_state)
        torch.random.set_rng_state(random)
        return self


def without(*names):
    class Forgetful(Checkpoint):
        def state_dict(self):
            return {name: s for name, s in super().state_dict().items() if name not in names}

    return Forgetful


wrong("checkpoint", "optimizer's state did not")(without("optimizer"))
wrong("checkpoint", "begin its curve again")(without("scheduler"))
wrong("checkpoint", "but not the random numbers")(without("random"))
wrong("checkpoint", "old weights still")(without("model"))
wrong("checkpoint", "the class itself")(Checkpoint(None, None, None))


@wrong("checkpoint", "references, not copies")
class KeptByReference(Checkpoint):
    def state_dict(self):
        state = {name: part.state_dict() for name, part in self.parts.items()}
        return state | {"random": torch.get_rng_state()}


@wrong("checkpoint", "references, not copies")
class OptimizerByReference(Checkpoint):
    def state_dict(self):
        return super().state_dict() | {"optimizer": self.parts["optimizer"].state_dict()}


@wrong("checkpoint", "buffers of BatchNorm did not")
class ParametersOnly(Checkpoint):
    def state_dict(self):
        parameters = self.parts["model"].named_parameters()
        return super().state_dict() | {"model": {n: p.detach().clone() for n, p in parameters}}

    def load_state_dict(self, state):
        self.parts["model"].load_state_dict(state.pop("model"), strict=False)
        super().load_state_dict(state)


@wrong("checkpoint", "can't go through a file")
class WholeObjects(Checkpoint):
    def state_dict(self):
        return copy.deepcopy(self.parts) | {"random": torch.get_rng_state()}


@wrong("checkpoint", "changed the run")
class Reseeds(Checkpoint):
    def state_dict(self):
        torch.manual_seed(0)
        return super().state_dict()


@wrong("checkpoint", 'in "param_groups"')
class MomentsOnly(Checkpoint):
    def load_state_dict(self, state):
        groups = self.parts["optimizer"].state_dict()["param_groups"]
        optimizer = {"state": state["optimizer"]["state"], "param_groups": groups}
        super().load_state_dict(state | {"optimizer": optimizer})


@wrong("checkpoint", "but not the random numbers")
class DrawsAfterwards(Checkpoint):
    def load_state_dict(self, state):
        super().load_state_dict(state)
        torch.rand(1)


@wrong("checkpoint", "came to its end without a `return`")
class NothingSaved(Checkpoint):
    def state_dict(self):
        super().state_dict()


# Exercise 4


@right("clip")
def from_the_library(parameters, max_norm):
    return nn.utils.clip_grad_norm_(parameters, max_norm).item()


@right("clip")
def new_tensors(parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    length = math.sqrt(sum(p.grad.square().sum().item() for p in parameters))
    if length > max_norm:
        for p in parameters:
            p.grad = p.grad * (max_norm / length)
    return length


@right("clip")
def through_one_vector(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = torch.cat([g.flatten() for g in grads]).norm().item()
    for g in grads:
        g.mul_(min(1.0, max_norm / (length + 1e-6)))
    return length


def clipper(factor=None, each=None, result=None):
    """A right answer, or one with a part spoilt."""

    def clip(parameters, max_norm):
        grads = [p.grad for p in parameters if p.grad is not None]
        length = torch.cat([g.flatten() for g in grads]).norm().item()
        for g in grads:
            if each:
                each(g, max_norm)
            else:
                g.mul_(factor(length, max_norm) if factor else min(1.0, max_norm / length))
        return result(length, max_norm) if result else length

    return clip


wrong("clip", "each tensor by itself")(
    clipper(each=lambda g, max_norm: g.mul_(min(1.0, max_norm / g.norm())))
)
wrong("clip", "cut off single values")(clipper(each=lambda g, m: g.clamp_(-m, m)))
wrong("clip", "was stretched")(clipper(factor=lambda length, max_norm: max_norm / length))
wrong("clip", "Multiply by max_norm as well")(clipper(factor=lambda length, _: 1 / length))
wrong("clip", "square root of the sum")(clipper(factor=lambda length, m: min(1, m / length**2)))
wrong("clip", "return the one before")(clipper(result=min))
wrong("clip", ".item()")(clipper(result=lambda length, _: torch.tensor(length)))


@wrong("clip", "add the squares of all values")
def sum_of_norms(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = sum(g.norm().item() for g in grads)
    for g in grads:
        g *= min(1, max_norm / length)
    return length


@wrong("clip", "can be gone through only once")
def a_generator_used_up(parameters, max_norm):
    length = sum(p.grad.square().sum() for p in parameters if p.grad is not None).sqrt().item()
    for p in parameters:
        p.grad *= min(1, max_norm / length)
    return length


@wrong("clip", "changed the weights")
@torch.no_grad()
def clipped_weights(parameters, max_norm):
    parameters = list(parameters)
    length = torch.cat([p.flatten() for p in parameters]).norm().item()
    for p in parameters:
        p *= min(1, max_norm / length)
    return length


@wrong("clip", ".grad is None")
def none_gradients_forgotten(parameters, max_norm):
    return sum(p.grad.square().sum() for p in parameters).sqrt().item()


@wrong("clip", "upside down")
def upside_down(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = torch.cat([grad.flatten() for grad in grads]).norm().item()
    for grad in grads:
        grad *= max(1, length / max_norm)
    return length


@wrong("clip", "The direction is right")
def by_absolute_values(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = sum(grad.abs().sum() for grad in grads).item()
    for grad in grads:
        grad *= min(1, max_norm / length)
    return length


@wrong("clip", "the wrong way round")
def stretches_the_short_ones(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = math.sqrt(sum((grad**2).sum().item() for grad in grads))
    if length < max_norm:
        for grad in grads:
            grad *= max_norm / length
    return length


@right("clip")
def all_in_one_call(parameters, max_norm, eps=1e-12):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = math.hypot(*[float(grad.norm()) for grad in grads])
    if length > max_norm:
        torch._foreach_mul_(grads, max_norm / (length + eps))
    return np.float64(length)


# Exercise 5


def doubling(gradient):
    scale = 1
    while ((gradient * scale).half() == 0).any():
        scale *= 2
    return scale


@right("smallest_scale")
def without_zeros(gradient):
    return float(doubling(gradient[gradient != 0]))


@right("smallest_scale")
def by_logarithm(gradient):
    smallest = gradient[gradient != 0].abs().min().item()
    scale = 2 ** max(0, math.ceil(math.log2(2**-25 / smallest)))
    return scale if smallest * scale > 2**-25 else 2 * scale  # half way is rounded to 0


wrong("smallest_scale", "grows and grows")(doubling)


@wrong("smallest_scale", "one doubling more")
def rounding_forgotten(gradient):
    smallest = gradient[gradient != 0].abs().min().item()
    return 2 ** max(0, math.ceil(math.log2(2**-24 / smallest)))


@wrong("smallest_scale", "at its full precision")
def smallest_normal_number(gradient):
    smallest = gradient[gradient != 0].abs().min().item()
    return 2 ** max(0, math.ceil(math.log2(torch.finfo(torch.float16).tiny / smallest)))


@wrong("smallest_scale", "saves the largest value")
def largest_value(gradient):
    return doubling(gradient.abs().max())


@wrong("smallest_scale", "Negative values count too")
def positive_values(gradient):
    return doubling(gradient[gradient > 0])


@wrong("smallest_scale", "a smaller one is enough")
def the_default(gradient):
    return 65536


@wrong("smallest_scale", "leave it out")
def division_by_zero(gradient):
    return (2**-24 / gradient.abs().min()).item()


@wrong("smallest_scale", "still become")
def stops_at_the_first(gradient):
    scale = 1
    while ((gradient * scale).half()[gradient != 0] == 0).all():
        scale *= 2
    return scale


@wrong("smallest_scale", "no power of two")
def exact_quotient(gradient):
    return max(1.0, 2**-24 / gradient[gradient != 0].abs().min().item())


@right("smallest_scale")
def scale_in_a_tensor(gradient):
    scale = torch.tensor(1.0)
    while ((gradient * scale).half()[gradient != 0] == 0).any():
        scale = 2 * scale
    return scale


@wrong("smallest_scale", "half of the smallest number")
def lifted_to_half_of_the_smallest(gradient):
    smallest = gradient[gradient != 0].abs().min().item()
    return max(1, 2 ** math.ceil(math.log2(2**-25 / smallest)))


@wrong("smallest_scale", "Multiply before .half()")
def half_too_early(gradient):
    scale = 1
    while ((gradient.half() * scale)[gradient != 0] == 0).any():
        scale *= 2
    return scale


def doubled_until_alive(gradient, by=2):
    scale = 1
    while ((gradient * scale).half()[gradient != 0] == 0).any():
        scale = scale * by if by > 1 else scale + 1
    return scale


wrong("smallest_scale", "no power of two")(lambda gradient: doubled_until_alive(gradient, by=10))
wrong("smallest_scale", "never below 1")(
    lambda gradient: 2.0 ** math.ceil(math.log2(2.0**-25 / gradient[gradient != 0].abs().min()))
)
wrong("smallest_scale", "how often you doubled")(
    lambda gradient: int(math.log2(doubled_until_alive(gradient)))
)
wrong("smallest_scale", "look before you double")(
    lambda gradient: 2 * doubled_until_alive(gradient)
)
wrong("smallest_scale", "most negative value")(lambda gradient: doubled_until_alive(gradient.min()))


@right("smallest_scale")
def by_recursion(gradient, scale=1):
    if torch.equal((gradient * scale).half() != 0, gradient != 0):
        return np.float32(scale)
    return by_recursion(gradient, 2 * scale)


# Exercise 6


@right("amp_step")
def cleared_last(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return loss.item()


@right("amp_step")
def longer_limit_instead(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad(set_to_none=False)
    logits = model(xb)
    loss = loss_fn(logits, yb)
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(list(model.parameters()), max_norm * scaler.get_scale())
    scaler.step(optimizer)
    scaler.update()
    return float(loss.detach())


def step_in_order(order, *, scaled=True, clear=True, shown=torch.Tensor.item):
    def amp_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
        if clear:
            optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        (scaler.scale(loss) if scaled else loss).backward()
        for line in order.split():
            if line == "unscale":
                scaler.unscale_(optimizer)
            elif line == "clip":
                nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            elif line == "step":
                scaler.step(optimizer)
            elif line == "optimizer.step":
                optimizer.step()
            elif line == "update":
                scaler.update()
        return shown(loss)

    return amp_step


wrong("amp_step", "before you clip")(step_in_order("clip unscale step update"))
wrong("amp_step", "before you clip")(step_in_order("clip step update"))
wrong("amp_step", "never clipped")(step_in_order("unscale step update"))
wrong("amp_step", "skips such a step")(step_in_order("unscale clip optimizer.step update"))
wrong("amp_step", "is update() missing")(step_in_order("unscale clip step"))
wrong("amp_step", "or not the last of them")(step_in_order("unscale clip update step"))
wrong("amp_step", "did not use scaler.scale")(
    step_in_order("unscale clip step update", scaled=False)
)
wrong("amp_step", "clear them once a step")(step_in_order("unscale clip step update", clear=False))


@wrong("amp_step", "scaled loss")
def scaled_loss_returned(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = scaler.scale(loss_fn(model(xb), yb))
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


@wrong("amp_step", "every weight becomes NaN")
def as_it_was_found(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    loss = scaler.scale(loss_fn(model(xb), yb))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


wrong("amp_step", ".item()")(step_in_order("unscale clip step update", shown=lambda loss: loss))


@wrong("amp_step", "weights have not moved")
def cleared_before_the_step(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.zero_grad()
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


@wrong("amp_step", "That is the scaled loss")
def the_loss_stays_scaled(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = scaler.scale(loss_fn(model(xb), yb))
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


@wrong("amp_step", "changes nothing in place")
def scaled_for_nobody(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss)
    loss.backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


@wrong("amp_step", "when update() has changed it already")
def divided_after_update(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    scaled_loss = the_loss_stays_scaled(model, xb, yb, loss_fn, optimizer, scaler, max_norm)
    return scaled_loss / scaler.get_scale()


@wrong("amp_step", "found no gradient at all")
def cleared_before_unscale(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    optimizer.zero_grad()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


@wrong("amp_step", "want the optimizer")
def unscales_the_loss(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    scaler.unscale_(loss)


@wrong("amp_step", "never scaled")
def no_scale_at_all(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss_fn(model(xb), yb).backward()
    scaler.unscale_(optimizer)


@wrong("amp_step", "not one of your own")
def own_scaler(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    in_order = step_in_order("unscale clip step update")
    return in_order(model, xb, yb, loss_fn, optimizer, torch.amp.GradScaler("cpu"), max_norm)


# Exercise 7

ORDER = {
    "each epoch": "train batches validate best save",
    "each batch": "zero forward backward unscale clip step update schedule",
}


def reordered(where, pieces):
    return ORDER | {where: pieces}


right("whole_loop")(ORDER)
right("whole_loop")(
    {
        "each epoch": ["train", "batches", "validate", "best", "save"],
        "each batch": "forward, zero, backward, unscale, clip, step, schedule, update",
    }
)
right("whole_loop")(
    reordered("each batch", "Forward Backward Unscale Clip Step Schedule Update Zero")
)
for says, pieces in {
    "65536 times too long": "zero forward backward clip unscale step update schedule",
    "the gradients of the batch before": "zero forward step backward unscale clip update schedule",
    "shortens gradients that are not there yet": (
        "zero forward clip backward unscale step update schedule"
    ),
    "clipping it afterwards is too late": "zero forward backward unscale step clip update schedule",
    "it comes after the step": "zero forward backward unscale clip update step schedule",
    "The first rate would be skipped": "schedule zero forward backward unscale clip step update",
    "nothing would ever move": "forward backward zero unscale clip step update schedule",
    "backward() needs a loss": "zero backward forward unscale clip step update schedule",
    "nothing to divide": "zero forward unscale backward clip step update schedule",
    "A piece is missing: 'schedule'": "zero forward backward unscale clip step update",
    "'zero' is there 2 times": "zero forward backward unscale clip step update schedule zero",
    "'validation' is not among": "zero forward backward unscale clip step update validation",
}.items():
    wrong("whole_loop", says)(reordered("each batch", pieces))
for says, pieces in {
    "the mode that validation left behind": "batches validate best save train",
    "what this epoch's batches have taught": "train validate batches best save",
    "known only after validation": "train batches best validate save",
    "without the best weights so far": "train batches validate save best",
}.items():
    wrong("whole_loop", says)(reordered("each epoch", pieces))
wrong("whole_loop", "would hardly have begun to fall")(
    {
        "each epoch": "train batches validate schedule best save",
        "each batch": "zero forward backward unscale clip step update",
    }
)
wrong("whole_loop", "gradients pile up")(
    {
        "each epoch": "train zero batches validate best save",
        "each batch": "forward backward unscale clip step update schedule",
    }
)
wrong("whole_loop", "with the keys of the stub")("zero forward backward")


wrong("smallest_scale", "ends at 65536")(
    lambda gradient: min(doubled_until_alive(gradient[gradient != 0]), 65536)
)


@wrong("amp_step", "Looking at the loss is not enough")
def only_if_the_loss_is_finite(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    if loss.isfinite():
        optimizer.step()
    scaler.update()
    return loss.item()
