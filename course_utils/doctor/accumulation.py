"""Gradients and optimizers that outlive their step, or don't live long enough."""

import weakref

import torch

from .detector import Detector
from .findings import ERROR, WARNING, Finding
from .run import held_by, sample
from .where import learner_frame

_STEPS_KEPT = 128  # whose backwards are remembered


def _here():
    frame = learner_frame()
    return frame and (frame.f_code, frame.f_lineno)


class Groups(Detector):
    """Remembers which backwards led to each step, where one optimizer is in use."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        run.groups = self
        self.weights = None  # some of them, at the last backward
        # [line, number of passes, cleared afterwards, batch] of backwards since the last step
        self.now = []
        # Of each step: (backwards, how many were cleared, passes, lines, batches)
        self.steps = []
        self.closures = False  # whether optimizers call backward themselves

    def backward(self, backward):
        if len(self.now) < 500 and len(self.steps) < _STEPS_KEPT:
            batch = self.run.batch_number if backward.one_pass is not None else None
            self.now.append([_here(), len(self.run.passes), False, batch])
            self.weights = self.some_weights()

    def cleared(self, owner):
        # Where the weights were moved meanwhile, as SAM does, the gradient has served its purpose.
        if self.now and self.weights is not None and torch.equal(self.weights, self.some_weights()):
            for one in self.now:
                one[2] = True

    def some_weights(self):
        held = [p for optimizer in self.run.stepped_optimizers() for p in held_by(optimizer)[:1]]
        return sample(held[0]) if held else None

    def step(self, step):
        self.closures |= step.closure

    def stepped(self, optimizer):
        if len(self.steps) < _STEPS_KEPT:
            now, self.now = self.now, []
            cleared = sum(one[2] for one in now)
            passes, lines = {one[1] for one in now}, {one[0] for one in now}
            batches = {one[3] for one in now} - {None}
            self.steps.append((len(now), cleared, passes, lines, batches))

    def plain(self):
        run = self.run
        other = self.closures or run.scaler_steps or run.grad_calls
        return len(run.stepped_optimizers()) == 1 and not other


class AccumulationLeftover(Detector):
    bug, severity = "accumulation-leftover", WARNING
    symptom = (
        "the first step of an epoch is made of too many batches, some with gradients of older "
        "weights: the loss jumps at the start of every epoch"
    )
    fix = (
        "step at the end of the epoch too: if (i + 1) % k == 0 or i + 1 == len(loader); or "
        "optimizer.zero_grad() before the loop over batches"
    )

    def judge(self, run):
        steps = run.groups.steps
        inside = [count for count, _, passes, *_ in steps if len(passes) == 1]
        across = [step for step in steps if len(step[2]) == 2 and not step[1]]
        if not inside or len(across) < 2 or not run.groups.plain():
            return None
        usual = max(set(inside), key=inside.count)
        more = [count for count, *_ in across if count > usual]
        if usual >= 2 and len(more) == len(across) and inside.count(usual) >= 0.8 * len(inside):
            return self.found(
                f"a step uses the gradients of {usual} batches, but {len(more)} steps used those "
                f"of {more[0]}: {more[0] - usual} batches at the end of the epoch before made no "
                "step, and their gradients were still there",
                run.lines.get("step"),
            )


class AccumulationCleared(Detector):
    bug, severity = "accumulation-cleared", ERROR
    symptom = "each step uses the last batch alone: the others are computed for nothing"
    fix = "optimizer.zero_grad() right after optimizer.step(), in the same if, not for every batch"

    def judge(self, run):
        steps = run.groups.steps
        lost = [
            count for count, cleared, _, lines, batches in steps
            if count >= 2 and len(lines) == 1 and cleared == count - 1 and len(batches) == count
        ]  # fmt: skip
        if len(lost) >= 3 and len(lost) >= 0.8 * len(steps) and run.groups.plain():
            return self.found(
                f"{len(lost)} of {len(steps)} steps came after {lost[-1]} backwards, and the "
                f"gradients of the first {lost[-1] - 1} were cleared before they could be used",
                run.lines.get("zero_grad") or run.lines.get("step"),
            )


class OptimizerMadeAnew(Detector):
    bug, severity = "optimizer-made-anew", WARNING
    symptom = (
        "momentum and Adam's averages begin at nothing in every epoch: the loss jumps there, and "
        "converges worse at the end"
    )
    fix = "make the optimizer once, before the loop over epochs, and hand it to the function"

    def __init__(self, run):
        super().__init__(run)
        self.made = []  # (first tensor, how many, its kind and rate, number of passes then)
        self.known = weakref.WeakSet()

    def stepped(self, optimizer):
        if optimizer in self.known or len(self.made) > 200:
            return
        self.known.add(optimizer)
        held = held_by(optimizer)
        group = optimizer.param_groups[0]
        remembers = bool(optimizer.state) and (
            "betas" in group or bool(group.get("momentum")) or "alpha" in group
        )
        if held and remembers:
            what = type(optimizer).__name__, float(group["lr"]), len(held)
            self.made.append((weakref.ref(held[0]), what, len(self.run.passes)))

    def judge(self, run):
        if len(self.made) < 4:
            return None
        alike = {}
        for ref, what, passes in self.made:
            if ref() is not None:
                alike.setdefault((id(ref()), what), []).append(passes)
        for (_, (name, rate, _)), passes in alike.items():
            trained = [p for p in run.passes if p.steps]
            each = len(set(passes)) == len(passes)  # not two in one epoch
            if len(passes) >= 4 and each and len(passes) >= 0.8 * len(trained) > 2:
                return self.found(
                    f"{len(passes)} {name} optimizers with learning rate {rate:g} were made for the "
                    f"same weights, one for each of {len(trained)} passes over the data",
                    run.lines.get("step"),
                )


class GradientsOfAnotherLoss(Detector):
    """`no-zero-grad` again: what another model's loss left in these weights is applied too."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.left = []  # [optimizer, parameter, where its gradient lies, version, line, added to]
        self.line_now = None
        self.times = weakref.WeakKeyDictionary()

    def backward(self, backward):
        if len(self.run.optimizers) < 2:
            return
        self.line_now = _here()
        for one in self.left:
            grad = one[1].grad
            there = grad is not None and grad.data_ptr() == one[2] and grad._version == one[3]
            one[5] = there and one[4] != self.line_now and bool(grad.any())

    def stepped(self, optimizer):
        run = self.run
        mine = [one for one in self.left if one[0]() is optimizer]
        if any(one[5] and _grew(one) for one in mine):
            self.times[optimizer] = self.times.get(optimizer, 0) + 1
        self.left = [one for one in self.left if one[0]() is not optimizer]
        if len(run.optimizers) < 2 or run.last_backward <= run.last_clear:
            return
        own = {id(p) for p in held_by(optimizer)}
        for other in run.stepped_optimizers():
            held = held_by(other)
            if other is optimizer or not held or id(held[0]) in own:
                continue
            if any(one[0]() is other for one in self.left):
                continue
            grad = held[0].grad
            if grad is not None and not grad.is_sparse:
                self.left.append(
                    [
                        weakref.ref(other),
                        held[0],
                        grad.data_ptr(),
                        grad._version,
                        self.line_now,
                        False,
                    ]
                )

    def judge(self, run):
        for optimizer, times in self.times.items():
            steps = run.optimizer(optimizer).steps
            if times >= 3 and times >= 0.5 * steps:
                return Finding(
                    "no-zero-grad", ERROR,
                    f"in {times} of {steps} steps of one {type(optimizer).__name__} its weights "
                    "still had the gradients that another model's loss had left there, and they "
                    "were applied too",
                    "clear just before this model's own backward: optimizer_d.zero_grad(), then "
                    "loss_d.backward(), then optimizer_d.step()",
                    run.lines.get("step"),
                    "this model is pushed by the other's loss, such as a discriminator that learns "
                    "to be deceived",
                )  # fmt: skip


def _grew(one):
    grad = one[1].grad
    return grad is not None and grad.data_ptr() == one[2] and grad._version > one[3]
