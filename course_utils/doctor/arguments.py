"""What loss functions are called with: other numbers, other targets or another scale than they need."""

import weakref

import torch

from .detector import Detector
from .findings import ERROR, WARNING
from .functions import (
    BINARY,
    ORDERINGS,
    REGRESSION,
    input_and_target,
    name_of,
)
from .graph import (
    OF_NUMBERS,
    VIEWS,
    below,
    first_input,
    inputs,
    kind,
    leaves_below,
    saved,
    shape,
    without_views,
)
from .loss import FromOutputToLoss, UnderTheLoss, activation
from .run import memory_of, tensors_in
from .sources import FirstPasses
from .where import learner_line

_NO_LOGARITHM = 1e-3  # or more: those of probabilities end at 0
_SHARE_CUT_OFF = 0.1  # of the targets, at least, have a fraction that the loss was not given
_TARGETS = 4  # at least; fewer tell nothing
_TARGETS_OF_AN_EPOCH = 50
_NEARLY_ALL = 0.98  # of an epoch's targets are one number: what is left of numbers cut off
_TOLERANCE = 0.01  # beyond the ends of an activation's range
_SHARE_OUTSIDE = 0.1  # of the targets, at least, which the model then can't come near
_SAME_NUMBER = 1e-3  # between a divisor and the rows of a batch
_STEPS_DIVIDED = 3  # by the rows, once more
_LEAST_DISCOUNT = 0.3  # a factor below it, or from 1 on, is no discount of what comes later


class _OfLossFunctions(Detector):
    """A detector that looks at the calls of some loss functions, in training."""

    functions = ()

    def function(self, call, function, args, kwargs, result):
        name = name_of(function)
        if name in self.functions and call.grad_enabled and not self.said:
            x, target = input_and_target(args, kwargs)
            if x is not None and target is not None:
                self.said = self.wrong(name, x.detach(), target.detach(), args, kwargs) or ""
                self.line = learner_line()


class KLOnProbabilities(_OfLossFunctions):
    bug, severity = "kl-on-probabilities", ERROR
    symptom = (
        "the loss is negative or far too large, and its smallest value is not at equal answers"
    )
    fix = (
        "F.kl_div(F.log_softmax(logits, dim=1), target_probabilities, reduction='batchmean'): the "
        "input in logarithms, the target as probabilities"
    )
    functions = ("kl_div",)

    def wrong(self, name, x, target, args, kwargs):
        if not x.numel() or not x.is_floating_point():
            return None
        low, high = x.min().item(), x.max().item()
        log_target = kwargs.get("log_target", False)
        if low >= 0 and high > 0:
            return (
                "KLDivLoss needs logarithms of probabilities, which are at most 0; its input lies "
                f"between {low:.3f} and {high:.3f}"
            )
        if high > _NO_LOGARITHM and x.ndim > 1:
            return (
                "KLDivLoss needs logarithms of probabilities, which are at most 0; its input goes "
                f"up to {high:.3g}: these are raw scores"
            )
        if not log_target and target.min().item() < 0:
            return (
                f"the target of KLDivLoss needs probabilities, and it goes down to "
                f"{target.min().item():.3g}; logarithms need log_target=True"
            )


class LossArgumentsSwapped(Detector):
    bug, severity = "loss-arguments-swapped", ERROR
    symptom = "the loss is wrong, may be negative or infinite, and the weights may become NaN"
    fix = "the model's answer comes first, the target second: loss_fn(pred, yb)"

    def function(self, call, function, args, kwargs, result):
        name = name_of(function)
        if name in BINARY and call.grad_enabled and not self.said:
            x, target = input_and_target(args, kwargs)
            if x is not None and target is not None and target.requires_grad > x.requires_grad:
                self.said = (
                    f"{name} got a first argument without a graph, with values such as "
                    f"{x.reshape(-1)[:1].tolist()}, and the model's answer {list(target.shape)} "
                    "as its target"
                )
                self.line = learner_line()


class MultiHotCrossEntropy(_OfLossFunctions):
    bug, severity = "cross-entropy-on-multi-hot", ERROR
    symptom = "probabilities of a row sum to 1, so never more than one label is found"
    fix = "several labels a row need nn.BCEWithLogitsLoss(), and a sigmoid in the evaluation"
    functions = ("cross_entropy",)

    def wrong(self, name, x, target, args, kwargs):
        if not target.is_floating_point() or target.shape != x.shape or x.ndim != 2:
            return None
        several = target.sum(1) > 1.5
        if bool(((target == 0) | (target == 1)).all()) and bool(several.any()):
            return (
                f"cross-entropy takes one class for right in each row, and {int(several.sum())} of "
                f"these {len(target)} rows have several labels"
            )


class TargetsMadeWhole(_OfLossFunctions):
    bug, severity = "targets-made-whole", ERROR
    symptom = "what comes after the point is never learned; targets between 0 and 1 all become 0"
    fix = "keep the targets as they are: torch.tensor(y, dtype=torch.float32), no .long() or .int()"
    functions = REGRESSION

    def __init__(self, run):
        super().__init__(run)
        self.whole = weakref.WeakSet()  # passes whose whole numbers a regression loss was given

    def wrong(self, name, x, target, args, kwargs):
        for part in tensors_in(self.run.batch):
            if part.numel() != target.numel() or part.numel() < _TARGETS:
                continue
            part, flat = part.detach().reshape(-1), target.reshape(-1)
            if not part.is_floating_point():
                if self.run.current is not None and torch.equal(part.to(flat.dtype), flat):
                    self.pass_ = self.run.current
                continue
            broken = (part != part.trunc()).double().mean().item()
            if broken > _SHARE_CUT_OFF and torch.equal(part.trunc().to(flat.dtype), flat):
                return (
                    f"{broken:.0%} of the batch's {part.numel()} targets are no whole numbers, and "
                    f"the loss was given them cut off, such as {flat[0].item():g} for "
                    f"{part[0].item():.3g}"
                )

    pass_ = None

    def judge(self, run):
        if self.said or self.pass_ is None or not self.pass_.over:
            return super().judge(run)
        source = run.recorder(FirstPasses).sources.get(id(self.pass_))
        labels = torch.cat(source.labels) if source is not None and source.labels else None
        if (
            labels is not None
            and len(labels) >= _TARGETS_OF_AN_EPOCH
            and labels.unique().numel() <= 2
        ):
            value = labels.mode().values
            share = (labels == value).double().mean().item()
            if share >= _NEARLY_ALL and int(labels.abs().max()) <= 1:
                return self.found(
                    f"a regression is given targets of type {str(labels.dtype)[6:]}, and {share:.0%} of "
                    f"the {len(labels)} targets of an epoch are {int(value)}: numbers between were "
                    "cut off",
                    run.lines.get("backward"),
                    severity=WARNING,
                )


_RANGES = {"relu": (0, None), "sigmoid": (0, 1), "tanh": (-1, 1), "softmax": (0, 1)}
_BY_HAND = ("Pow", "Abs")


class OutputsOutOfReach(Detector):
    bug, severity = "targets-out-of-reach", ERROR
    symptom = "the loss stops far above 0; answers stick at the end of the activation's range"
    fix = "no activation after the last layer of a regression, or scale the targets into its range"

    def graph(self, backward):
        if self.said:
            return
        graph = backward.graph
        for node in [*graph.losses, *(n for n in graph.arithmetic if kind(n) in _BY_HAND)]:
            found = self.ends(node)
            if found is None:
                continue
            name, targets = found
            low, high = _RANGES[name]
            out = (
                targets < low - _TOLERANCE if low is not None else torch.zeros_like(targets).bool()
            )
            if high is not None:
                out = out | (targets > high + _TOLERANCE)
            share = out.double().mean().item()
            if share > _SHARE_OUTSIDE and targets.numel() >= _TARGETS:
                ends = f"at least {low}" if high is None else f"between {low} and {high}"
                self.said = (
                    f"the answers come out of a {name}, so they are {ends}; {share:.0%} of the "
                    f"{targets.numel()} targets lie outside, from {targets.min():.3g} to "
                    f"{targets.max():.3g}"
                )
                self.line = self.run.lines.get("backward")
                return

    def ends(self, node):
        """(name of the last activation, targets) of a regression loss, or None."""
        if kind(node) in OF_NUMBERS:
            name = self.last(node)
            target = saved(node, "target")
            if name and target is not None and target.is_floating_point():
                return name, target.detach()
        elif kind(node) in _BY_HAND:  # ((pred - y) ** 2).mean()
            sources = inputs(node)
            difference = saved(node, "self")
            if len(sources) == 1 and kind(sources[0]) in ("Sub", "Rsub") and difference is not None:
                name, source = self.last(sources[0]), below(sources[0])
                result = saved(source, "result") if name and source is not None else None
                if result is not None and result.numel() == difference.numel():
                    d = difference.detach().reshape(-1)
                    result = result.detach().reshape(-1)
                    first = sources[0].next_functions[0][0] is not None
                    minus = kind(sources[0]) == "Sub"
                    return name, (result - d if first == minus else result + d)

    def last(self, node):
        name = activation(node)
        if not name and below(node) is not None and kind(below(node)) == "Tanh":
            name = "tanh"
        return name if name in _RANGES else ""


class LossAveragedTwice(Detector):
    bug, severity = "loss-averaged-twice", WARNING
    symptom = "gradients are as many times too short as a batch has rows: SGD hardly learns, Adam hides it"
    fix = (
        "loss.backward() on the mean itself; divide a loss only if it was made with reduction='sum'"
    )

    def __init__(self, run):
        super().__init__(run)
        self.rows = 0  # of the last loss, if it was divided by them
        self.count = 0

    def graph(self, backward):
        self.rows = 0
        if self.run.backwards_since_step != 1:
            return  # accumulation divides too
        node, divisor = backward.loss.grad_fn, None
        while node is not None and kind(node) in (*VIEWS, "Div", "Mul"):
            if kind(node) in ("Div", "Mul"):
                other = getattr(node, "_saved_other", None)
                other = (
                    other.item()
                    if isinstance(other, torch.Tensor) and other.numel() == 1
                    else other
                )
                if isinstance(other, int | float) and other:
                    divisor = other if kind(node) == "Div" else 1 / other
            sources = inputs(node)
            node = sources[0] if len(sources) == 1 else None
        if node is None or divisor is None:
            return
        mean = kind(node) == "Mean" or getattr(node, "_saved_reduction", None) == 1
        source = below(node)
        size = shape(source) if source is not None else ()
        if mean and size and size[0] > 1 and abs(divisor - size[0]) < _SAME_NUMBER:
            self.rows = size[0]

    def step(self, step):
        rows, self.rows = self.rows, 0
        self.count += bool(rows) and self.run.backwards_since_step == 1
        if self.count >= _STEPS_DIVIDED and rows and not self.said:
            self.said = (
                f"the loss is a mean over the batch already, and it was divided by its {rows} rows "
                "once more"
            )
            self.line = self.run.lines.get("backward")


class ActivationUnlikeLoss(FromOutputToLoss):
    bug, severity = "activation-unlike-loss", ERROR
    hidden_by = ("cross-entropy-on-multi-hot",)
    symptom = "scores that are far worse than the loss lets hope"
    fix = (
        "evaluate as you train: sigmoid with BCEWithLogitsLoss, softmax (or argmax) with "
        "CrossEntropyLoss"
    )

    def __init__(self, run):
        super().__init__(run)
        self.trained = weakref.WeakKeyDictionary()  # model -> kind of the loss of its output
        self.activated = None  # call, result of the activation, its name
        self.cut = weakref.WeakKeyDictionary()  # model -> (activation, columns, line)

    def follow(self, model, output, loss):
        node = first_input(loss)
        while node is not None and node is not output and kind(node) in VIEWS:
            node = first_input(node)
        if node is output:
            self.trained[model] = kind(loss)

    def function(self, call, function, args, kwargs, result):
        name = name_of(function)
        x = args[0] if args else None
        if call.grad_enabled or not isinstance(x, torch.Tensor) or call.out is None:
            return
        if name in ("softmax", "sigmoid"):
            if memory_of(x) == memory_of(call.out) != 0 and x.ndim == 2 and x.shape[1] > 1:
                self.activated = call, result, name
        elif name in (*ORDERINGS, "round") and self.activated and self.activated[0] is call:
            number = len(args) > 1 and isinstance(args[1], float)
            if x is self.activated[1] and (number or name == "round"):
                self.cut.setdefault(call.module, (self.activated[2], x.shape[1], learner_line()))

    def judge(self, run):
        for model, (name, columns, line) in self.cut.items():
            trained = self.trained.get(model)
            if name == "softmax" and trained == "BinaryCrossEntropyWithLogits":
                return self.found(
                    f"the {columns} outputs are trained with a sigmoid each (BCEWithLogitsLoss), "
                    "and in the evaluation a softmax over them is compared with a threshold: of "
                    "several labels at most one can be above 0.5",
                    line,
                )
            if name == "sigmoid" and trained == "LogSoftmax":
                return self.found(
                    f"the {columns} outputs are trained with a softmax over them "
                    "(CrossEntropyLoss), and in the evaluation a sigmoid of each is compared with "
                    "a threshold",
                    line,
                    severity=WARNING,
                )


class TargetCarriesGradient(UnderTheLoss):
    bug, severity = "td-target-not-detached", WARNING
    symptom = "the target moves towards the answer: values shrink or drift"
    fix = (
        "with torch.no_grad(): target = reward + gamma * target_net(next_state).max(1).values, "
        "with a copy of the network: target_net = copy.deepcopy(net)"
    )

    def __init__(self, run):
        super().__init__(run)
        self.seen = 0

    def wrong(self, node):
        if kind(node) not in (*OF_NUMBERS, "Sub"):
            return None
        sides = inputs(node)
        if len(sides) != 2:
            return None
        for target, answer in (sides, sides[::-1]):
            gamma = _bootstrap(target)
            if gamma and leaves_below(target) & leaves_below(answer) & self.run.stepped_ids():
                self.seen += 1
                if self.seen >= 2:
                    return (
                        f"the target of the loss is {gamma:g} times an answer of the network that "
                        "is trained, plus a number, and carries its graph, so each step changes "
                        "the target too"
                    )


_LOG_PROBABILITY = {"Gather", "Index", "LogSoftmax", "Logsumexp", "Exp", "Pow"}


class ValueNotDetached(Detector):
    bug, severity = "value-not-detached", WARNING
    symptom = "the policy's loss trains the critic too, away from the true values"
    fix = "advantage = (reward - value).detach() in the policy's loss"

    count = 0

    def graph(self, backward):
        graph, values, factors = backward.graph, [], []  # nodes, which must not outlive this
        for node in graph.losses:
            if kind(node) in OF_NUMBERS:
                values += [without_views(source) for source in inputs(node)]
        for node in graph.nodes.get("Pow", ())[:20]:
            source = first_input(node)
            if source is not None and kind(source) in ("Sub", "Rsub") and node in graph.arithmetic:
                values += [without_views(part) for part in inputs(source)]
        for node in graph.nodes.get("Mul", ())[:50]:
            sides = inputs(node)
            if node in graph.arithmetic and len(sides) == 2:
                for one, other in (sides, sides[::-1]):
                    if _kinds_below(one) & _LOG_PROBABILITY:
                        factors += _chain(other)
        self.count += any(value in factors for value in values)

    def judge(self, run):
        if self.count >= 2:
            return self.found(
                f"in {self.count} losses that were looked at, the value that a squared error trains "
                "is also a factor beside a log-probability, with its graph: the advantage",
                run.lines.get("backward"),
            )


def _kinds_below(node):
    return {kind(part) for part in _chain(node, branches=True)}


def _chain(node, branches=False):
    """The nodes below one, through sums, factors and views, eight at most."""
    found, waiting = [], [node]
    while waiting and len(found) < 8:
        node = waiting.pop(0)
        found.append(node)
        sources = inputs(node)
        if branches or len(sources) == 1 or kind(node) in ("Sub", "Add", "Rsub", "Div"):
            waiting += sources
    return found


def _bootstrap(node):
    """The factor gamma if a node computes `reward + gamma * answer`, else 0."""
    while node is not None and kind(node) in VIEWS:
        node = first_input(node)
    if node is None or kind(node) != "Add" or len(inputs(node)) != 1:
        return 0
    node = inputs(node)[0]
    for _ in range(6):
        name, sources = kind(node), inputs(node)
        if name == "Mul":
            other = (
                saved(node, "other") if saved(node, "other") is not None else saved(node, "self")
            )
            if other is not None and other.numel() == 1 and _LEAST_DISCOUNT < other.item() < 1:
                return other.item()
        if len(sources) != 1 or name not in (*VIEWS, "Mul"):
            return 0
        node = sources[0]
    return 0
