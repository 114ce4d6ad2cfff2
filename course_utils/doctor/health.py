"""Symptoms without a better explanation: steps too long or too short, units that are dead."""

import math
import statistics
import weakref

import torch

from .detector import Detector
from .findings import ERROR, WARNING
from .graph import CROSS_ENTROPY, below, inputs, kind, saved, shape, signed, without_views
from .run import held_by
from .sources import WholeTensors

# Copies and dead units
_STEPS = 3  # after so many, what is still equal stays equal
_ROWS, _UNITS = 8, 4  # at least, of a layer whose zeros are counted: fewer are all 0 by luck
_LOOKS = 4  # before something holds for the whole run
_DEAD = 0.9  # of the units give 0 for every row
_BORN_DEAD = 0.5  # or more at the first look: no step has killed them
# Learning rates
_LARGE = 10_000_000  # weights, of which no copy is made
_LONG_STEP = 0.5  # of the weights' own length, is more than a good learning rate does
_SHORT_STEP = 1e-4
_FLAT = 1e-3  # a gradient that short, beside the weights, has vanished: no rate repairs that
_CONSTANT = 1.01  # times its first value a rate may become: more is a warm-up, or a range test
_LOSSES_OF_A_BREAKDOWN, _LOSSES_OF_A_RISE, _LOSSES_OF_A_STANDSTILL = 5, 12, 20  # at least
_GROWN = 3  # times what it was
_HIGH_STILL = 0.9  # of what it was
_LEAP, _NOT_RECOVERED = 20, 0.4  # times the loss before any step
_STOOD_STILL = 0.97  # of what it was
_AT_REST = 1e-6  # of the highest rate: steps with that change nothing
_WASTED = 0.2  # of the steps, at the end, are more than a schedule means to be at rest
# Losses
_IN_A_ROW = 3  # losses that are no numbers; a single one may be skipped
_MANY = 4  # times the loss of a guess is more than an untrained model has


def last_quarter(losses):
    """Five of them at least."""
    return losses[-max(5, len(losses) // 4) :]


class SymmetricInit(Detector):
    bug, severity = "symmetric-init", ERROR
    symptom = "all units of the layer stay copies of one: the model is as good as with one unit"
    fix = "keep PyTorch's own initialisation, or nn.init.kaiming_normal_(layer.weight)"

    def __init__(self, run):
        super().__init__(run)
        self.copies = {}

    def step(self, step):
        if not step.complete or step.record.steps < _STEPS:
            return
        for parameter in step.held:
            if id(parameter) not in step.reached or parameter.grad is None or parameter.ndim < 2:
                continue
            values = parameter.detach()
            if len(values) > 1 and values[0].numel() > 1:
                which = "rows" if _equal_rows(parameter) else ""
                if not which and values.ndim == 2 and _equal_columns(parameter):
                    which = "columns"  # of x @ weight
                if which:
                    found = self.copies.setdefault(
                        id(parameter), [0, weakref.ref(parameter), which]
                    )
                    found[0] += 1
                else:
                    self.copies.pop(id(parameter), None)

    def judge(self, run):
        for times, ref, which in self.copies.values():
            parameter = ref()
            if times >= 2 and parameter is not None:
                count = len(parameter) if which == "rows" else len(parameter[0])
                return self.found(
                    f"all {count} {which} of {run.name_of(parameter)} are equal, still after "
                    f"{run.steps} steps",
                    run.lines.get("step"),
                )


def _equal_rows(parameter):
    """Whether its rows are equal and learn the same, but for rounding."""
    values, gradient = parameter.detach(), parameter.grad
    if not _close(*values.flatten(1)[:2, 0].tolist()):  # nearly always, and quicker to ask
        return False
    if not torch.allclose(values[0], values[1], rtol=1e-3, atol=1e-5):
        return False
    if torch.equal(values, values[:1].expand_as(values)):
        return True
    return (
        gradient.layout is torch.strided
        and torch.allclose(values, values[:1], rtol=1e-3, atol=1e-5)
        and bool(gradient.any())
        and torch.allclose(gradient, gradient[:1], rtol=1e-2, atol=1e-3 * gradient.abs().max())
    )


def _equal_columns(parameter):
    """Whether its columns are equal and learn the same; rounding differs from column to column."""
    values, gradient = parameter.detach(), parameter.grad
    return (
        _close(*values[0, :2].tolist())
        and gradient.layout is torch.strided
        and torch.allclose(values[0], values[0, :1], rtol=1e-4, atol=0)
        and bool(gradient.any())
        and torch.allclose(values, values[:, :1], rtol=1e-4, atol=0)
        and torch.allclose(gradient, gradient[:, :1], rtol=1e-3, atol=0)
    )


def _close(one, other):
    return math.isclose(one, other, rel_tol=2e-3, abs_tol=2e-5)


class DeadRelu(Detector):
    bug, severity, symptom_only = "dead-relu", WARNING, True
    symptom = "the loss stops early: units that are 0 for every row get no gradient"
    fix = "a smaller learning rate, PyTorch's own initialisation of the biases, or nn.LeakyReLU()"

    def __init__(self, run):
        super().__init__(run)
        self.dead = []  # share of units that are 0 for a whole batch, in the worst layer

    def graph(self, backward):
        worst = None
        for node in backward.graph.nodes.get("Relu", ()):
            size = shape(node)
            large = len(size) > 1 and size[0] >= _ROWS and size[1] >= _UNITS
            if not large or not _under_weights(node, backward):
                continue
            result = saved(node, "result")
            if result is not None:
                largest = result.detach().flatten(1).amax(0)
                share = 1 - largest.count_nonzero().item() / largest.numel()
                worst = max(worst or (0, 0), (share, math.prod(size[1:])))
        if worst is not None:
            self.dead.append(worst)

    def judge(self, run):
        late = self.dead[-3:]
        too_long = max(run.recorder(Moves).ratios, default=0) > 1
        if self.dead and self.dead[0][0] < _BORN_DEAD and too_long:
            return None  # such steps have killed them
        if len(self.dead) >= _LOOKS and min(share for share, _ in late) >= _DEAD:
            share, units = late[-1]
            return self.found(
                f"{share:.0%} of the {units} units of a ReLU layer were 0 for every row of a batch",
                run.lines.get("backward"),
            )


def _under_weights(node, backward):
    """Whether a layer with weights takes the node's output (then it is no loss or penalty)."""
    graph = backward.graph
    for name in ("Addmm", "Mm", "Convolution", "MaxPool2DWithIndices"):
        for user in graph.nodes.get(name, ()):
            if any(node in (source, without_views(source)) for source in inputs(user)):
                return True
    return False


class Moves(Detector):
    """Remembers how far weights move in a step, in their own length; for the two below."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.before = []  # parameters, and copies of them before the step
        self.ratios = []  # of the first layer with weights
        self.longest = 0.0  # of the first or the last one
        self.steepest = 0.0  # gradient beside weights, of both
        self.left_over = 0  # passes that began on the gradients of the pass before
        self.last = 0, None  # time and pass of the last backward
        self.first_rate = self.last_rate = self.highest_rate = 0.0
        self.at_rest = 0  # steps since the rate was more than next to nothing
        self.ordinary = False  # whether the loss is one of those that are known
        self.broken = None  # number of the first loss that is NaN or infinite

    def graph(self, backward):
        graph, node = backward.graph, backward.loss.grad_fn
        by_hand = graph.top == "Mean" and below(node) is not None
        self.ordinary = bool(graph.losses) or (by_hand and kind(below(node)) in ("Pow", "Abs"))

    def backward(self, backward):
        (time, before), self.last = self.last, (backward.now, backward.one_pass)
        if before is not backward.one_pass and before is not None and backward.one_pass is not None:
            self.left_over += time > max(self.run.last_step, self.run.last_clear)

    def not_finite(self, backward):
        if self.broken is None:
            self.broken = self.run.backwards - 1

    def step(self, step):
        self.before = []
        if step.complete:
            wide = [p for p in step.held if p.ndim >= 2 and id(p) in step.reached]
            if wide and wide[0].numel() < _LARGE:
                some = {id(p): p for p in (wide[0], wide[-1]) if p.numel() < _LARGE}
                self.before = [(p, p.detach().clone()) for p in some.values()]

    def stepped(self, optimizer):
        rate = self.last_rate = float(optimizer.param_groups[0]["lr"])
        if rate > self.highest_rate:
            self.highest_rate = rate
        tiny = _AT_REST * self.highest_rate
        works = rate > tiny or any(group["lr"] > tiny for group in optimizer.param_groups)
        self.at_rest = 0 if works else self.at_rest + 1
        self.first_rate = self.first_rate or rate
        before, self.before = self.before, []
        for i, (parameter, old) in enumerate(before):
            length = old.norm().item()
            if length > 0:
                ratio = (parameter.detach() - old).norm().item() / length
                self.longest = max(self.longest, ratio)
                if i == 0:
                    self.ratios.append(ratio)
                if parameter.grad is not None:
                    steepest = parameter.grad.norm().item() / length
                    self.steepest = max(self.steepest, steepest)

    def plain(self):
        """One optimizer, a constant or falling rate, and an ordinary loss."""
        return (
            len(self.run.stepped_optimizers()) == 1
            and self.run.steps >= _LOOKS
            and self.highest_rate <= _CONSTANT * self.first_rate
            and self.ordinary
        )


def _passes_in_order(run):
    """The losses of each whole training pass, if the rows come in a fixed order: within a pass the
    loss may then rise with the data, as along a series with a trend."""
    trained = [p for p in run.passes if p.backwards]
    if not trained and (n := run.recorder(WholeTensors).batches_in_a_round()):
        return [run.losses[i : i + n] for i in range(0, len(run.losses) - n + 1, n)]
    return [] if any(p.shuffled for p in trained) else [p.losses for p in trained if p.over]


class LrTooHigh(Detector):
    bug, severity, symptom_only = "lr-too-high", WARNING, True
    symptom = "the loss jumps, grows or becomes NaN"
    fix = "a learning rate ten times smaller; a common start is 1e-3 for Adam, 0.1 for SGD"

    def judge(self, run):
        losses, moves = run.losses, run.recorder(Moves)
        if len(losses) < _LOSSES_OF_A_BREAKDOWN or not moves.plain() or moves.left_over:
            return None
        rate, line, bad = moves.last_rate, run.lines.get("step"), moves.broken
        if bad is not None:
            grew = losses[max(0, bad - 3) : bad]
            if bad >= 1 and max(grew) > _GROWN * abs(losses[0]) + 1e-3:
                return self.found(
                    f"the loss was {losses[0]:.2g} at first, {grew[-1]:.2g} after {bad} batches, and "
                    f"then {losses[bad]}, with a learning rate of {rate:g}",
                    line,
                )
            return None
        if len(losses) < _LOSSES_OF_A_RISE:
            return None
        ratio, most = (
            (statistics.median(moves.ratios), max(moves.ratios)) if moves.ratios else (0, 0)
        )
        if most < _LONG_STEP:
            return None
        early = statistics.fmean(losses[: min(3, len(losses) // 5)])
        late = statistics.median(losses[-max(3, min(200, len(losses) // 4)) :])
        first = losses[0]  # the only one that was made before any step
        in_order = _passes_in_order(run)
        if len(in_order) > 1:
            first = early = statistics.fmean(in_order[0])
            late = statistics.fmean(in_order[-1])
        grew = 0 < _GROWN * early < late
        steady = ratio > _LONG_STEP and late > _HIGH_STILL * early
        long = 0 < _HIGH_STILL * first < late and (most > 1 or steady)
        # A leap to a multiple of the untrained model's loss, from which it did not recover.
        leap = 0 < _LEAP * first < sorted(losses)[-3]
        leapt = most > 1 and leap and late > _NOT_RECOVERED * first
        if grew or long or leapt:
            return self.found(
                f"the loss was {losses[0]:.4g} at first, at most {max(losses):.4g} and {late:.4g} at "
                f"the end; a step changed weights by up to {most:.0%} of their length (learning rate {rate:g})",
                line,
            )


class LrTooLow(Detector):
    bug, severity, symptom_only = "lr-too-low", WARNING, True
    symptom = "the loss hardly moves in a whole epoch"
    fix = "a learning rate ten or a hundred times larger; a common start is 1e-3 for Adam"

    def judge(self, run):
        moves = run.recorder(Moves)
        enough = len(run.losses) >= _LOSSES_OF_A_STANDSTILL and len(moves.ratios) >= _LOOKS
        if not run.over or not enough:
            return None
        if moves.at_rest > max(_LOSSES_OF_A_BREAKDOWN, _WASTED * run.steps):
            return self.found(
                f"the learning rate was {moves.highest_rate:g} at most, and {moves.last_rate:g} in "
                f"the last {moves.at_rest} of {run.steps} steps, which changed nothing",
                run.lines.get("schedule") or run.lines.get("step"),
                fix="plan the schedule for the whole run: its length is that of the run, counted in "
                "calls of scheduler.step()",
            )
        if not moves.plain():
            return None
        losses = [loss for loss in run.losses if math.isfinite(loss)]
        if not losses or not 0 < moves.longest < _SHORT_STEP or moves.steepest <= _FLAT:
            return None
        last = last_quarter(losses)
        first, last = statistics.fmean(losses[: len(last)]), statistics.fmean(last)
        if first > 0 and last > _STOOD_STILL * first:
            return self.found(
                f"in {run.steps} steps the loss went from {first:.4g} to {last:.4g}; a step "
                f"changed weights by {moves.longest:.1e} of their length at most "
                f"(learning rate {moves.last_rate:g})",
                run.lines.get("step"),
            )


class FirstLossTooLarge(Detector):
    bug, severity, symptom_only = "first-loss-too-large", WARNING, True
    symptom = "the model is sure of wrong answers from the start, and first has to unlearn that"
    fix = (
        "keep PyTorch's own initialisation, and scale the inputs; a new last layer with small "
        "weights begins at ln C: nn.init.normal_(layer.weight, std=0.01)"
    )

    def __init__(self, run):
        super().__init__(run)
        self.first = None  # the first loss, and the number of classes

    def graph(self, backward):
        node = backward.loss.grad_fn
        if self.run.backwards > 1 or self.run.steps or backward.graph.losses[:1] != [node]:
            return  # with a factor or a second term it has another scale
        softmax = below(node)
        if kind(node) in CROSS_ENTROPY and kind(softmax) == "LogSoftmax" and below(softmax):
            scaled = kind(below(softmax)) in ("Mul", "Div")  # by a temperature
            classes = shape(softmax)[signed(softmax._saved_dim)]
            if node._saved_reduction == 1 and classes > 1 and not scaled:
                self.first = backward.value, classes

    def judge(self, run):
        if not run.over or self.first is None:
            return None
        losses = [loss for loss in run.losses if math.isfinite(loss)]
        if len(losses) < _LOSSES_OF_A_STANDSTILL:
            return None
        (first, classes), guessing = self.first, math.log(self.first[1])
        late = statistics.median(last_quarter(losses))
        if first > _MANY * guessing and late > guessing:
            return self.found(
                f"the first loss was {first:.3g}, though guessing among {classes} classes costs "
                f"ln {classes} = {guessing:.3g}; at the end it is {late:.3g}, still worse than that",
                run.lines.get("backward"),
            )


class NaNLoss(Detector):
    bug, severity, symptom_only = "nan-loss", ERROR, True
    symptom = "after one step with a NaN gradient weights are NaN, for good"
    fix = (
        "torch.autograd.set_detect_anomaly(True) before the loop names the operation; typical are "
        "log(0), sqrt(0), 0 / 0 and exp of a large number: clamp what goes in, or add 1e-8"
    )

    born = ""  # in words, where the first of the losses in a row that are not finite came up

    def not_finite(self, backward):
        if self.run.not_finite == self.run.backwards:
            self.born = self.birthplace()

    def broken(self, run):
        """A tensor that was trained and is NaN now, though the loss is a number."""
        for optimizer in run.stepped_optimizers() if run.losses else ():
            for p in held_by(optimizer):
                if p in run.reached and p.layout is torch.strided and bool(p.isnan().any()):
                    return p

    def birthplace(self):
        model, _, output = (part and part() for part in self.run.latest)
        if model is not None and not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
            return "weights are NaN or infinite by then, so the gradient of a step before was"
        if output is None:
            return "the weights are finite, so it comes up in the forward or in the loss"
        if bool(torch.isfinite(output.detach()).all()):
            return "the model's output is finite, so it comes up in the loss"
        return "the model's output is not finite, though its weights are"

    def judge(self, run):
        since = run.not_finite
        broken = None if since or not run.over else self.broken(run)
        if broken is not None:
            return self.found(
                f"{run.name_of(broken)} is NaN at the end, though the loss is "
                f"{run.losses[-1]:.4g}: its gradient was NaN in one of {run.steps} steps, and the "
                "model's answers don't show it, as with torch.where",
                run.lines.get("backward"),
            )
        times = run.backwards + 1 - since
        if since and (times >= _IN_A_ROW or (run.over and since == 1)):
            return self.found(
                f"the loss is {run.losses[since - 1]} at backward {since} of "
                f"{run.backwards} and stays so: {self.born}",
                run.lines.get("backward"),
            )
