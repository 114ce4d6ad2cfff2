"""Answers to the exercises of lesson 07."""

import copy
import math

import torch

from course_utils.checks.schedulers import (
    amp_lines,
    amp_step,
    clip,
    doubled,
    warmup_cosine,
)

from . import gallery

wrong, right = gallery("schedulers")

# Exercise 1


def cosine_of_torch(step, peak, warmup, total):
    if step < warmup:
        return warmup_cosine.right(step, peak, warmup, total)
    return peak * (1 + torch.cos(math.pi * (step - warmup) / (total - warmup))) / 2


wrong(
    "warmup_cosine",
    {
        ".item()": lambda *case: torch.tensor(warmup_cosine.right(*case)),
        "for a plain number use `math`": cosine_of_torch,
        "in reverse order": lambda step, peak, warmup, total: warmup_cosine.right(
            total - 1 - step, peak, warmup, total
        ),
    },
)

# Exercise 2

CLOCKS = {
    "StepLR": "epoch",
    "CosineAnnealingLR": "batch",
    "OneCycleLR": "batch",
    "LinearLR": "batch",
    "ReduceLROnPlateau": "epoch",
}
right("where_to_step")(CLOCKS)
right("where_to_step")(
    {name: {"epoch": "epochs", "batch": "batches"}[clock] for name, clock in CLOCKS.items()}
)
right("where_to_step")({name: clock.upper() for name, clock in reversed(CLOCKS.items())})
wrong(
    "where_to_step",
    {
        "1e-03 after one epoch": CLOCKS | {"StepLR": "batch", "LinearLR": ...},
        "get through a tenth of its curve": CLOCKS | {"CosineAnnealingLR": "epoch"},
        "still be climbing when the run ends": CLOCKS | {"OneCycleLR": "epoch"},
        "0.019 after three epochs": CLOCKS | {"LinearLR": "after each epoch"},
        "a new one only after each epoch": CLOCKS | {"ReduceLROnPlateau": "batches"},
        "(2 more to look at.)": dict.fromkeys(CLOCKS, "epoch"),
        'answer "epoch" or "batch"': CLOCKS | {"StepLR": 5},
    },
)

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


def saves(change):
    """A checkpoint whose state is `change(self, the right state)`."""

    def state_dict(self):
        return change(self, Checkpoint.state_dict(self))

    return type("Checkpoint", (Checkpoint,), {"state_dict": state_dict})


def forgets(name):
    return saves(lambda self, state: {key: state[key] for key in state if key != name})


class ParametersOnly(Checkpoint):
    def state_dict(self):
        parameters = self.parts["model"].named_parameters()
        return super().state_dict() | {"model": {n: p.detach().clone() for n, p in parameters}}

    def load_state_dict(self, state):
        self.parts["model"].load_state_dict(state.pop("model"), strict=False)
        super().load_state_dict(state)


class MomentsOnly(Checkpoint):
    def load_state_dict(self, state):
        groups = self.parts["optimizer"].state_dict()["param_groups"]
        optimizer = {"state": state["optimizer"]["state"], "param_groups": groups}
        super().load_state_dict(state | {"optimizer": optimizer})


class RandomStateOfTheStart(Checkpoint):
    def __init__(self, *parts):
        super().__init__(*parts)
        self.random = torch.get_rng_state()

    def state_dict(self):
        return super().state_dict() | {"random": self.random}


@wrong("checkpoint", "but not the random numbers")
class DrawsAfterwards(Checkpoint):
    def load_state_dict(self, state):
        super().load_state_dict(state)
        torch.rand(1)


wrong(
    "checkpoint",
    {
        "optimizer's state did not": forgets("optimizer"),
        "begin its curve again": forgets("scheduler"),
        "but not the random numbers": forgets("random"),
        "not in __init__": RandomStateOfTheStart,
        "old weights still": forgets("model"),
        "the class itself": Checkpoint(None, None, None),
        "references, not copies": saves(
            lambda self, state: state | {k: part.state_dict() for k, part in self.parts.items()}
        ),
        "Use copy.deepcopy": saves(
            lambda self, state: state | {"optimizer": self.parts["optimizer"].state_dict()}
        ),
        "buffers of BatchNorm did not": ParametersOnly,
        "can't go through a file": saves(lambda self, state: state | copy.deepcopy(self.parts)),
        "changed the run": saves(lambda self, state: (torch.manual_seed(0), state)[1]),
        'in "param_groups"': MomentsOnly,
        "came to its end without a `return`": saves(lambda self, state: None),
    },
)

# Exercise 4


def a_generator_used_up(parameters, max_norm):
    length = sum(p.grad.square().sum() for p in parameters if p.grad is not None).sqrt().item()
    for p in parameters:
        p.grad *= min(1, max_norm / length)
    return length


@torch.no_grad()
def clipped_weights(parameters, max_norm):
    parameters = list(parameters)
    length = torch.cat([p.flatten() for p in parameters]).norm().item()
    for p in parameters:
        p *= min(1, max_norm / length)
    return length


def by_absolute_values(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    length = sum(grad.abs().sum() for grad in grads).item()
    for grad in grads:
        grad *= min(1, max_norm / length)
    return length


wrong(
    "clip",
    {
        "can be gone through only once": a_generator_used_up,
        "changed the weights": clipped_weights,
        ".grad is None": lambda parameters, max_norm: sum(p.grad.sum() for p in parameters),
        "The direction is right": by_absolute_values,
        ".item()": lambda *case: torch.tensor(clip.right(*case)),
    },
)

# Exercise 5


def doubled_with_zeros(gradient):
    scale = 1
    while ((gradient * scale).half() == 0).any():
        scale *= 2
    return scale


def half_too_early(gradient):
    scale = 1
    while ((gradient.half() * scale)[gradient != 0] == 0).any():
        scale *= 2
    return scale


wrong(
    "smallest_scale",
    {
        "grows and grows": doubled_with_zeros,
        "Multiply before .half()": half_too_early,
        "leave it out": lambda gradient: (2**-24 / gradient.abs().min()).item(),
        "A smaller one is enough": lambda gradient: 2.0**40,
        "still become": lambda gradient: min(doubled(gradient), 4),
        "Yours is no power of two": lambda gradient: 1.5 * doubled(gradient),
        "should be a number": lambda gradient: "2",
    },
)

# Exercise 6


def unscales_the_loss(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    loss = loss_fn(model(xb), yb)
    scaler.scale(loss).backward()
    scaler.unscale_(loss)


def only_if_the_loss_is_finite(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    def step(loss, scale, later):
        if loss.isfinite():
            optimizer.step()
        scaler.update()
        return loss.item()

    lines = amp_lines("unscale clip", returns=step)
    return lines(model, xb, yb, loss_fn, optimizer, scaler, max_norm)


def own_scaler(model, xb, yb, loss_fn, optimizer, scaler, max_norm):
    own = torch.amp.GradScaler("cpu")
    return amp_step.right(model, xb, yb, loss_fn, optimizer, own, max_norm)


wrong(
    "amp_step",
    {
        "before you clip": amp_lines("clip unscale step update"),
        "skips such a step": amp_lines("unscale clip optimizer.step update"),
        "is update() missing": amp_lines("unscale clip step"),
        "or not the last of them": amp_lines("unscale clip update step"),
        "update() runs twice": amp_lines("unscale clip step update update"),
        "did not use scaler.scale": amp_lines(backward=lambda loss, scaler: loss.backward()),
        "found no gradient at all": amp_lines("zero unscale clip step update"),
        ".item()": amp_lines(returns=lambda loss, scale, later: loss),
        "want the optimizer": unscales_the_loss,
        "Looking at the loss is not enough": only_if_the_loss_is_finite,
        "none of your own": own_scaler,
    },
)

# Exercise 7

ORDER = {
    "each epoch": "train batches validate best save",
    "each batch": "zero forward backward unscale clip step update schedule",
}


def reordered(epoch=ORDER["each epoch"], batch=ORDER["each batch"]):
    return {"each epoch": epoch, "each batch": batch}


right("whole_loop")(ORDER)
right("whole_loop")(
    {
        "each epoch": ["train", "batches", "validate", "best", "save"],
        "each batch": "forward, zero, backward, unscale, clip, step, schedule, update",
    }
)
right("whole_loop")(reordered(batch="Forward Backward Unscale Clip Step Schedule Update Zero"))
for says, batch in {
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
    wrong("whole_loop", says)(reordered(batch=batch))
for says, epoch in {
    "the mode that validation left behind": "batches validate best save train",
    "what this epoch's batches have taught": "train validate batches best save",
    "known only after validation": "train batches best validate save",
    "without the best weights so far": "train batches validate save best",
}.items():
    wrong("whole_loop", says)(reordered(epoch))
wrong("whole_loop", "would hardly have begun to fall")(
    reordered(
        "train batches validate schedule best save",
        "zero forward backward unscale clip step update",
    )
)
wrong("whole_loop", "gradients pile up")(
    reordered(
        "train zero batches validate best save",
        "forward backward unscale clip step update schedule",
    )
)
wrong("whole_loop", "Pass the dict")("zero forward backward")
