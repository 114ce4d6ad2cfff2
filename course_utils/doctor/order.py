"""Clearing, backward and step: forgotten, in a wrong order, or adding up too much."""

import weakref
from dataclasses import dataclass

import torch
from torch import nn

from .detector import Detector
from .findings import ERROR, WARNING
from .graph import NLL, OF_NUMBERS, YES_OR_NO, kind
from .run import held_by, sample
from .where import learner_place

_OFTEN = 0.3  # of the steps, or backwards; fewer may be meant
_FOLLOWED = 64  # steps of an optimizer, from the first on; and then, of each so many,
_MORE = 8  # in a row, each time elsewhere, so that no rhythm of the loop hides among them
_BACKWARDS_WITHOUT_STEP = 3  # fewer may be a test of the loss


@dataclass(slots=True, eq=False)
class SeenGradient:
    """The gradient of a parameter as it was at some moment, to see later what became of it."""

    parameter: nn.Parameter
    pointer: int
    version: int

    @classmethod
    def of(cls, parameter, *more):
        grad = parameter.grad
        return cls(parameter, grad.data_ptr(), grad._version, *more)

    def is_there(self):
        grad = self.parameter.grad
        return grad is not None and grad.data_ptr() == self.pointer

    def is_unchanged(self):
        return self.is_there() and self.parameter.grad._version == self.version

    def grew(self):
        """Whether something was added to it."""
        return self.is_there() and self.parameter.grad._version > self.version


@dataclass(slots=True, eq=False)
class _Applied(SeenGradient):
    """One that was applied by its optimizer's last step."""

    stale: bool = False  # it was still there when the next backward came


class NoZeroGrad(Detector):
    bug, severity = "no-zero-grad", ERROR
    symptom = (
        "old gradients push along like momentum without friction: the loss may fall faster at "
        "first, then it jumps or stalls"
    )
    fix = "optimizer.zero_grad() before loss.backward(), for every batch"

    def __init__(self, run):
        super().__init__(run)
        self.applied = weakref.WeakKeyDictionary()  # optimizer -> gradients of its last step
        # optimizer -> steps with old ones among the first; among the later; later ones followed
        self.count = weakref.WeakKeyDictionary()
        self.by_hand = None  # of a loop without optimizer: leaf, values, gradient at last backward
        self.compared = self.added = 0  # such gradients, and those to which one was added

    def graph(self, backward):
        if self.run.steps or not backward.graph.leaves:
            return
        leaf = backward.graph.leaves[0]
        grad = leaf.grad
        if grad is None or grad.layout is not torch.strided:
            self.by_hand = None
            return
        now = weakref.ref(leaf), sample(leaf), grad.data_ptr(), grad._version
        before, self.by_hand = self.by_hand, now
        if before is not None and before[0]() is leaf and before[2] == now[2]:
            # The weights were changed and the gradient was left as backward made it.
            self.compared += 1
            left = now[3] == before[3] + 1 and bool(grad.any())
            self.added += left and not torch.equal(before[1], now[1])

    def stepped(self, optimizer):
        own = self.run.own_steps
        later = own > _FOLLOWED
        # Where in each 64 the followed ones begin: at another eighth each time.
        place = own % _FOLLOWED - own // _FOLLOWED * 3 % 7 * _MORE if later else 0
        if not 0 <= place <= _MORE:
            return
        before = self.applied.pop(optimizer, ())
        old = any(applied.stale and applied.grew() for applied in before)
        first, latest, followed = self.count.get(optimizer, (0, 0, 0))
        if not later:
            self.count[optimizer] = first + old, 0, 0
        elif place:
            self.count[optimizer] = first, latest + old, followed + 1
        if own == _FOLLOWED or place == _MORE:
            return
        now = self.applied[optimizer] = []
        for group in optimizer.param_groups:
            for parameter in (group["params"][0], group["params"][-1]):
                grad = parameter.grad
                if grad is not None and grad.layout is torch.strided:
                    now.append(_Applied.of(parameter))

    def backward(self, backward):
        if not self.applied:
            return
        # What was cleared, by whatever means, is another tensor, has another version or is zero.
        for gradients in self.applied.values():
            gradients[:] = [
                applied for applied in gradients
                if applied.is_unchanged() or (applied.stale and applied.is_there())
            ]  # fmt: skip
            for applied in gradients:
                applied.stale = bool(applied.parameter.grad.any())

    def judge(self, run):
        for optimizer, (count, latest, followed) in self.count.items():
            steps = run.optimizer(optimizer).steps
            if followed:
                count += round(latest / followed * (steps - _FOLLOWED))
            if count >= 2 and count >= _OFTEN * steps:
                share = f"{count}" if steps <= _FOLLOWED else f"about {count / steps:.0%}"
                return self.found(
                    f"in {share} of {steps} steps the gradient of earlier batches, already "
                    "applied, was still there and the new one was added to it",
                    run.lines.get("step"),
                )
        if not run.steps and self.added >= 2 and self.added >= _OFTEN * self.compared:
            return self.found(
                f"in {self.added} of {run.backwards} backwards the gradient of earlier batches, "
                "by which the weights had been changed already, was still there and the new one "
                "was added to it",
                run.lines.get("backward"),
                fix="p.grad = None for every parameter p, after its update",
            )


class GradsClearedBeforeStep(Detector):
    bug, severity = "grads-cleared-before-step", ERROR
    symptom = "the loss stays where it started: the optimizer finds no gradient"
    fix = "optimizer.zero_grad(), then loss.backward(), then optimizer.step()"
    count = 0

    def __init__(self, run):
        super().__init__(run)
        self.versions = {}  # id of a leaf -> version that backward will give its gradient

    def graph(self, backward):
        nothing = not backward.value  # a loss of 0 has a gradient of 0 by itself
        self.versions = {
            id(leaf): 0 if leaf.grad is None else leaf.grad._version + 1
            for leaf in backward.graph.leaves
            if not nothing
        }

    def step(self, step):
        run = self.run
        if step.complete and not step.pending and run.batch_number == run.batch_of_backward:
            mine = [p for p in step.held if id(p) in step.reached and p.requires_grad]
            cleared = run.last_clear > run.last_backward or all(
                p.grad is None or p.grad._version > self.versions.get(id(p), p.grad._version)
                for p in mine
            )
            self.count += bool(mine) and cleared and step.without_gradient()

    def judge(self, run):
        if self.count >= 2:
            return self.found(
                f"in {self.count} steps that were looked at, backward had computed gradients and "
                "they were cleared before optimizer.step() could use them",
                run.lines.get("zero_grad") or run.lines.get("step"),
            )


class StepBeforeBackward(Detector):
    bug, severity = "step-before-backward", ERROR
    symptom = "the step uses no gradient, or the one of the batch before"
    fix = "loss.backward(), then optimizer.step()"

    def __init__(self, run):
        super().__init__(run)
        self.waiting = set()  # optimizers that stepped between a forward and its loss
        self.count = 0

    def step(self, step):
        self.waiting.discard(step.optimizer)
        if step.closure:
            return
        run = self.run
        if step.pending:
            self.waiting.add(step.optimizer)
        elif step.complete and run.batch_number != run.batch_of_backward:
            # First thing for a new batch: the gradients of the batch before are used or cleared.
            cleared = run.last_clear > run.last_backward
            mine = any(id(p) in step.reached for p in step.held)
            self.count += cleared and mine and step.without_gradient()

    def backward(self, backward):
        if not self.waiting:
            return
        leaves = {id(leaf) for leaf in backward.graph.leaves} if backward.graph else set()
        for optimizer in self.waiting:
            stepped = self.run.optimizer(optimizer).last_step
            late = self.run.last_forward < stepped
            if late and any(id(p) in leaves for p in held_by(optimizer)):
                self.count += 1
        self.waiting.clear()

    def judge(self, run):
        if self.count >= 2:
            return self.found(
                f"in each of the {self.count} steps that were looked at, optimizer.step() came before the "
                "loss.backward() of its batch",
                run.lines.get("step"),
            )


class BackwardNeverCalled(Detector):
    bug, severity = "backward-never-called", ERROR
    symptom = "the loss stays where it started"
    fix = "loss.backward() before optimizer.step(), with its parentheses"
    empty = 0

    def step(self, step):
        if not (self.run.backwards or self.run.grad_calls or step.closure):
            self.empty += step.without_gradient()

    def judge(self, run):
        if self.empty >= 2 and not (run.backwards or run.grad_calls):
            return self.found(
                f"{run.steps} optimizer steps, but backward was never called, so no parameter "
                "has a gradient",
                run.lines.get("step"),
            )


class StepNeverCalled(Detector):
    bug, severity = "step-never-called", ERROR
    symptom = "the loss stays where it started: gradients are computed and never applied"
    fix = "optimizer.step() after loss.backward(), with its parentheses"

    def judge(self, run):
        # Gradients of a whole pass may be collected for one step after it, so one pass is too few.
        done = [p for p in run.passes if p.over and p.backwards]
        if (
            run.backwards < _BACKWARDS_WITHOUT_STEP
            or run.scaler_steps
            or not (run.over or len(done) >= 2)
        ):
            return None
        known = [o for o, record in run.optimizers.items() if not record.steps and record.clears]
        if not run.steps and not known:
            known = list(run.made)
        for optimizer in known:
            mine = [p for p in held_by(optimizer) if p in run.reached]
            if mine and all(run.unchanged(p) for p in mine):
                return self.found(
                    f"{run.backwards} backwards, but {type(optimizer).__name__}.step() was never "
                    f"called: all {len(mine)} parameters have their first values",
                    run.lines.get("backward"),
                )


class AccumulationNotAveraged(Detector):
    bug, severity = "accumulation-not-averaged", WARNING
    symptom = "the gradient is as many times too long as there are batches in a step"
    fix = "loss = loss / accumulation_steps before loss.backward()"

    def __init__(self, run):
        super().__init__(run)
        self.plain = []  # of each mean loss since the last step: which batch, which line
        self.other = 0
        self.steps = 0  # made before these
        self.counts = []

    def graph(self, backward):
        if self.steps != self.run.steps:
            self.plain, self.other, self.steps = [], 0, self.run.steps
        graph = backward.graph
        scaled = any(kind(node) in ("Div", "Mul") for node in graph.arithmetic)
        mean = graph.top == "Mean" or any(
            kind(node) in (*NLL, *YES_OR_NO, *OF_NUMBERS)
            and getattr(node, "_saved_reduction", 0) == 1
            for node in graph.losses
        )
        if scaled or not mean:
            self.other += 1
            return
        self.plain.append((backward.batch, learner_place()))

    def step(self, step):
        plain = self.plain if self.steps == self.run.steps else []
        # Without a loader, a step may go through two losses; a loop over batches has one line.
        in_loop = len({line for _, line in plain}) == 1 and len(plain) > 2
        batches = {batch for batch, _ in plain}
        enough = len(plain) > 1 and (in_loop or min(batches) > 0)
        if step.complete and not self.other and enough and len(batches) == len(plain):
            one = next((p for p in step.held if p.grad is not None), None)
            # Each backward after the first changes the gradient once; more is the learner's hand.
            if one is not None and one.grad._version in (len(plain) - 1, len(plain)):
                self.counts.append(len(plain))

    def judge(self, run):
        if len(self.counts) >= 2:
            k = max(set(self.counts), key=self.counts.count)
            return self.found(
                f"each step adds up the gradients of {k} batches, and each loss is a mean that is "
                f"not divided by {k}",
                run.lines.get("backward"),
                fix=f"loss = loss / {k} before loss.backward()",
            )
