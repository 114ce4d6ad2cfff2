"""Gradients and optimizers that outlive their step, or don't live long enough."""

import weakref
from dataclasses import dataclass

import torch

from .detector import HEARD_ENOUGH, Detector
from .findings import ERROR, WARNING
from .order import SeenGradient
from .run import held_by, sample
from .where import learner_place

_STEPS_KEPT = 128  # whose backwards are remembered
_BACKWARDS_KEPT = 500  # of one step
_PASSES = 2  # of one kind are no accident
_MOST = 0.8  # of the steps, or passes, are alike: the last one of an epoch may be another
_STEPS_IN_VAIN = 3  # whose gradients were lost, or another loss's too: one may be a test
_OPTIMIZERS_ANEW = 4  # optimizers for the same weights; fewer may be the phases of one training
_OFTEN = 0.5  # of an optimizer's steps


@dataclass(slots=True)
class _Backward:
    line: tuple
    begun: int  # number of passes over loaders that had begun
    one_pass: object
    batch: int  # as in run.Backward
    kept: bool  # what an earlier backward had left was still there
    cleared: bool = False  # its own gradient was cleared, and not used


@dataclass(slots=True)
class _Group:
    """What led to one step."""

    backwards: list
    as_left: bool  # the step used what the last backward left, at most clipped

    @property
    def count(self):
        return len(self.backwards)

    @property
    def cleared(self):
        return sum(one.cleared for one in self.backwards)

    def all(self, name):
        return {getattr(one, name) for one in self.backwards}


class Groups(Detector):
    """Remembers which backwards led to each step, where one optimizer is in use."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.parameter = None  # one that the optimizer holds and that got a gradient
        self.left = None  # its gradient as the last backward left it
        self.clipped = False  # since then
        self.careful = False  # once gradients were cleared before a step
        self.weights = None  # some of them at the last backward, since then
        self.now = []  # backwards since the last step
        self.steps = []  # groups
        self.closures = False  # whether optimizers call backward themselves

    def backward(self, backward):
        run = self.run
        if len(self.steps) >= _STEPS_KEPT:
            return HEARD_ENOUGH
        if len(self.now) >= _BACKWARDS_KEPT or not run.optimized:
            return
        kept = self.is_left() and bool(self.parameter.grad.any())
        self.now.append(
            _Backward(learner_place(), len(run.passes), backward.one_pass, backward.batch, kept)
        )
        self.weights = self.some_weights() if self.careful else None

    def gradients(self):
        if len(self.steps) >= _STEPS_KEPT:
            return HEARD_ENOUGH
        self.left, self.clipped = None, False
        if self.parameter is not None:
            has_gradient = self.parameter.grad is not None
            self.left = SeenGradient.of(self.parameter) if has_gradient else None

    def is_left(self):
        """Whether the gradient is as the last backward left it, at most clipped."""
        if self.left is None:
            return False
        return self.left.is_there() if self.clipped else self.left.is_unchanged()

    def clip(self, grads):
        self.clipped = True

    def cleared(self, owner):
        if len(self.steps) >= _STEPS_KEPT:
            return HEARD_ENOUGH
        self.clipped = False
        if not self.now:
            return
        # Where the weights were moved meanwhile, as SAM does, the gradient has served its purpose.
        if self.weights is None or torch.equal(self.weights, self.some_weights()):
            for one in self.now:
                one.cleared = True
        self.careful = True

    def some_weights(self):
        return None if self.parameter is None else sample(self.parameter)

    def step(self, step):
        self.closures |= step.closure

    def stepped(self, optimizer):
        if len(self.steps) >= _STEPS_KEPT:
            return HEARD_ENOUGH
        self.steps.append(_Group(self.now, self.is_left()))
        self.now = []
        if self.parameter is None:
            dense = (p for p in held_by(optimizer) if p.grad is not None and _is_dense(p.grad))
            self.parameter = next(dense, None)

    def plain(self):
        run = self.run
        other = self.closures or run.scaler_steps or run.grad_calls
        return len(run.stepped_optimizers()) == 1 and not other


def _is_dense(tensor):
    return tensor.layout is torch.strided


class AccumulationLeftover(Detector):
    bug, severity = "accumulation-leftover", WARNING
    symptom = (
        "the first step of an epoch is made of too many batches, some with gradients of older "
        "weights"
    )
    fix = (
        "step at the end of the epoch too: if (i + 1) % k == 0 or i + 1 == len(loader); or "
        "optimizer.zero_grad() before the loop over batches"
    )

    def judge(self, run):
        steps = run.recorder(Groups).steps
        if all(group.count < 2 for group in steps):
            return None
        inside = [group.count for group in steps if len(group.all("begun")) == 1]
        across = [group for group in steps if len(group.all("begun")) == 2 and not group.cleared]
        if not inside or len(across) < 2 or not run.recorder(Groups).plain():
            return None
        usual = max(set(inside), key=inside.count)
        more = [group.count for group in across if group.count > usual]
        if usual >= 2 and len(more) == len(across) and inside.count(usual) >= _MOST * len(inside):
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
        steps = run.recorder(Groups).steps
        lost = [
            group.count for group in steps
            if group.count >= 2 and group.cleared == group.count - 1 and group.as_left
            and len(group.all("line")) == 1 and len(group.all("batch")) == group.count
        ]  # fmt: skip
        often = len(lost) >= max(_STEPS_IN_VAIN, _MOST * len(steps))
        if often and run.recorder(Groups).plain():
            return self.found(
                f"{len(lost)} of {len(steps)} steps came after {lost[-1]} backwards, and the "
                f"gradients of the first {lost[-1] - 1} were cleared before they could be used",
                run.lines.get("zero_grad") or run.lines.get("step"),
            )


class ExtraBackward(Detector):
    bug, severity = "extra-backward", ERROR
    symptom = "validation data takes part in training, and the first step of an epoch is too long"
    fix = "no backward() in the evaluation, and with torch.no_grad(): around it"

    def judge(self, run):
        mixed = {}
        for group in run.recorder(Groups).steps:
            *before, last = group.backwards or [None]
            if not before or not last.kept or last.one_pass is None or last.one_pass.steps < 2:
                continue
            for one in before:
                other = one.one_pass
                whole = other is not None and other.over and one.begun < last.begun
                if whole and not other.steps and not one.cleared:
                    mixed[id(other)] = other
        if len(mixed) >= _PASSES and run.recorder(Groups).plain():
            backwards = sum(one_pass.backwards for one_pass in mixed.values())
            return self.found(
                f"{len(mixed)} passes over a loader called backward() {backwards} times and made no "
                "step; their gradients were still there in the next pass, and its first step used "
                "them too",
                run.lines.get("backward"),
            )


class OptimizerMadeAnew(Detector):
    bug, severity = "optimizer-made-anew", WARNING
    symptom = (
        "momentum and Adam's averages begin at nothing in every epoch: learning is slower, or the "
        "loss jumps there; with Adam nothing may show"
    )
    fix = "make the optimizer once, before the loop over epochs, and hand it to the function"

    def __init__(self, run):
        super().__init__(run)
        self.made = []  # (first tensor, how many, its kind and rate, number of passes then)

    def stepped(self, optimizer):
        if self.run.own_steps > 1 or len(self.made) > 200:
            return
        held = held_by(optimizer)
        group = optimizer.param_groups[0]
        remembers = bool(optimizer.state) and (
            "betas" in group or bool(group.get("momentum")) or "alpha" in group
        )
        if held and remembers:
            what = type(optimizer).__name__, float(group["lr"]), len(held)
            self.made.append((weakref.ref(held[0]), what, len(self.run.passes)))

    def judge(self, run):
        if len(self.made) < _OPTIMIZERS_ANEW:
            return None
        alike = {}
        for ref, what, passes in self.made:
            if ref() is not None:
                alike.setdefault((id(ref()), what), []).append(passes)
        for (_, (name, rate, _)), passes in alike.items():
            trained = [p for p in run.passes if p.steps]
            each = len(set(passes)) == len(passes)  # not two in one epoch
            if len(passes) >= _OPTIMIZERS_ANEW and each and len(passes) >= _MOST * len(trained) > 2:
                return self.found(
                    f"{len(passes)} {name} optimizers with learning rate {rate:g} were made for the "
                    f"same weights, one for each of {len(trained)} passes over the data",
                    run.lines.get("step"),
                )


@dataclass(slots=True, eq=False)
class _LeftByAnother(SeenGradient):
    """One that another model's loss left in the weights of an optimizer."""

    optimizer: weakref.ref
    line: tuple  # of the backward that left it
    added_to: bool = False  # by a backward in another line


class GradientsOfAnotherLoss(Detector):
    """The same bug by another sign: what another model's loss left in these weights is applied."""

    bug, severity = "no-zero-grad", ERROR
    symptom = (
        "this model is pushed by the other's loss, such as a discriminator that learns to be "
        "deceived"
    )
    fix = (
        "clear just before this model's own backward: optimizer_d.zero_grad(), then "
        "loss_d.backward(), then optimizer_d.step()"
    )

    def __init__(self, run):
        super().__init__(run)
        self.left = []
        self.line_now = None
        self.times = weakref.WeakKeyDictionary()

    def backward(self, backward):
        if not self.run.several:
            return
        self.line_now = learner_place()
        for one in self.left:
            another = one.is_unchanged() and one.line != self.line_now
            one.added_to = another and bool(one.parameter.grad.any())

    def stepped(self, optimizer):
        run = self.run
        if not run.several:
            return
        mine = [one for one in self.left if one.optimizer() is optimizer]
        if any(one.added_to and one.grew() for one in mine):
            self.times[optimizer] = self.times.get(optimizer, 0) + 1
        self.left = [one for one in self.left if one.optimizer() is not optimizer]
        if run.last_backward <= run.last_clear:
            return
        own = {id(p) for p in held_by(optimizer)}
        for other in run.stepped_optimizers():
            held = held_by(other)
            if other is optimizer or not held or id(held[0]) in own:
                continue
            if any(one.optimizer() is other for one in self.left):
                continue
            grad = held[0].grad
            if grad is not None and not grad.is_sparse:
                self.left.append(_LeftByAnother.of(held[0], weakref.ref(other), self.line_now))

    def judge(self, run):
        for optimizer, times in self.times.items():
            steps = run.optimizer(optimizer).steps
            if times >= max(_STEPS_IN_VAIN, _OFTEN * steps):
                return self.found(
                    f"in {times} of {steps} steps of one {type(optimizer).__name__} its weights "
                    "still had the gradients that another model's loss had left there, and they "
                    "were applied too",
                    run.lines.get("step"),
                )
