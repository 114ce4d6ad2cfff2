"""Losses that are given something else than they expect; read off the graph under the loss."""

import math
import weakref

import torch
from torch import nn

from .detector import Detector
from .findings import ERROR, WARNING
from .graph import NLL, VIEWS, below, first_input, inputs, kind, saved, shape, signed
from .run import only_value, tensors_in


def activation(node):
    """ "softmax", "sigmoid" or "relu" if the node's input is the result of one, else "".

    Those written by hand count too, and what only keeps numbers off 0 and 1 is looked through.
    """
    source = below(node)
    while source is not None and kind(source) in ("Clamp", "ClampMin", "ClampMax"):
        low, high = (getattr(source, name, None) for name in ("_saved_min", "_saved_max"))
        if low == 0 and high is None and kind(source) != "ClampMax":
            return "relu"
        source = below(source)
    if source is None:
        return ""
    name = kind(source)
    if name == "Div":  # exp(x) / exp(x).sum()
        kinds = {kind(part) for part in inputs(source)}
        return "softmax" if kinds == {"Exp", "Sum"} else ""
    if name == "Mul":  # 1 / (1 + exp(-x))
        for expected in ("Reciprocal", "Add", "Exp"):
            source = below(source)
            if source is None or kind(source) != expected:
                return ""
        return "sigmoid"
    return name.lower() if name in ("Softmax", "Sigmoid", "Relu") else ""


_ROUNDING = 1e-3  # of the sum of a row's probabilities
_ABOUT_ONE = 0.99, 1.01  # between which lies the sum of exp of log-probabilities
_LOOKS = 4  # at losses, before something holds for all of them
_EXACTLY_ONE = 1e-5  # but for rounding: a loss that was divided by itself
_DIVISORS = 3  # of different sizes, at least: one that stays the same is a constant


class UnderTheLoss(Detector):
    """A detector that looks at each loss node; `wrong(node)` says what is wrong with it, if anything."""

    def graph(self, backward):
        for node in backward.graph.losses:
            if said := self.wrong(node):
                self.said, self.line = said, self.run.lines.get("backward")
                return

    def wrong(self, node):
        raise NotImplementedError


class FromOutputToLoss(Detector):
    """A detector that sees in training what loss a model's output goes into.

    `follow(model, output, loss)` is told of the node of the output and of each loss node."""

    output = None  # weak reference to the last model that ran, node of its output

    def watched(self, call):
        self.output = None
        if call.out is not None and call.out.grad_fn is not None:
            self.output = weakref.ref(call.module), call.out.grad_fn

    def graph(self, backward):
        output, self.output = self.output, None
        model = output and output[0]()
        if model is not None:
            for node in backward.graph.losses:
                self.follow(model, output[1], node)

    def follow(self, model, output, loss):
        raise NotImplementedError


class SoftmaxBeforeCrossEntropy(UnderTheLoss):
    bug, severity = "softmax-before-cross-entropy", ERROR
    symptom = (
        "the loss stays above a floor, 0.31 for 2 classes, 1.46 for 10; sure mistakes get no push"
    )
    fix = "hand the logits to the loss: take the softmax out of the model, use it only to show"

    def wrong(self, node):
        if kind(node) == "LogSoftmax":
            name = activation(node)
            if name in ("softmax", "sigmoid"):
                return (
                    f"cross-entropy takes a softmax itself, and its input {list(shape(node))} is "
                    f"already the result of a {name}, all between 0 and 1"
                )


class SigmoidBeforeBCEWithLogits(UnderTheLoss):
    bug, severity = "sigmoid-before-bce-with-logits", ERROR
    symptom = "the loss stays above 0.31, with balanced classes above 0.5: its p is 0.5 to 0.73"
    fix = "hand the logits to the loss: take the sigmoid out of the model, use it only to show"

    def wrong(self, node):
        if kind(node) == "BinaryCrossEntropyWithLogits":
            name = activation(node)
            if name in ("softmax", "sigmoid"):
                return (
                    f"BCEWithLogitsLoss takes a sigmoid itself, and its input {list(shape(below(node)))} "
                    f"is already the result of a {name}"
                )


class SoftmaxOnMultiLabel(UnderTheLoss):
    bug, severity = "softmax-on-multilabel", ERROR
    symptom = "the answers of a row sum to 1, so never more than one label is likely"
    fix = "one sigmoid for each label: logits with nn.BCEWithLogitsLoss(), no softmax"

    def wrong(self, node):
        if kind(node) != "BinaryCrossEntropy" or activation(node) != "softmax":
            return None
        target = saved(node, "target")
        if target is None or target.ndim != 2 or not bool(((target == 0) | (target == 1)).all()):
            return None
        several = int((target.sum(1) > 1).sum())
        if several:
            return (
                f"BCELoss is given the result of a softmax over {target.shape[1]} labels, and "
                f"{several} of the {len(target)} rows of a batch have more than one label"
            )


class BoundedLogits(UnderTheLoss):
    bug, severity = "bounded-logits", WARNING
    symptom = "the loss stays above a floor: no probability can come near 0 or 1"
    fix = (
        "a linear layer at the end: logits = nn.Linear(hidden, classes)(h), no activation after it"
    )

    times = 0

    def called(self, call):
        layer = call.module
        if not isinstance(layer, nn.RNNBase) or not call.has_graph:
            return
        if getattr(layer, "nonlinearity", "tanh") == "tanh" and not getattr(layer, "proj_size", 0):
            for out in tensors_in(call.output):
                if out.grad_fn is not None:
                    out.grad_fn.metadata["bounded"] = type(layer).__name__

    def wrong(self, node):
        if kind(node) not in ("LogSoftmax", "BinaryCrossEntropyWithLogits"):
            return None
        name = self.source(node)
        self.times += bool(name)
        if name and self.times >= 2:
            size = shape(first_input(node))
            if kind(node) == "LogSoftmax":
                ends = size[signed(node._saved_dim)] - 1
                least = math.log(1 + ends * math.exp(-2))
            else:
                least = math.log(1 + math.exp(-1))
            return (
                f"the logits {list(size)} come straight out of a {name}, so they lie between -1 "
                f"and 1, and the loss of a row is at least {least:.2f}"
            )

    def source(self, node):
        """The name of what the logits come from, if that keeps them between -1 and 1."""
        while len(inputs(node)) == 1:
            node = inputs(node)[0]
            if name := node.metadata.get("bounded"):
                return name
            if kind(node) not in VIEWS:
                return "tanh" if kind(node) == "Tanh" else ""
        return ""


class ReluOnLogits(UnderTheLoss):
    bug, severity = "relu-on-logits", ERROR
    symptom = (
        "logits can't be negative, and one that is 0 for every row no longer learns: the loss often "
        "stops early"
    )
    fix = "no activation after the last layer"

    def wrong(self, node):
        logits = kind(node) in ("LogSoftmax", "BinaryCrossEntropyWithLogits")
        if logits and activation(node) == "relu":
            source = below(node)
            result = saved(source, "result")
            zeros = "" if result is None else f"; {(result == 0).float().mean():.0%} are zero"
            return f"the logits {list(shape(source))} come straight out of a ReLU{zeros}"


def is_linear(node):
    """Whether the node adds the bias of a Linear layer, whose input had more than two dimensions."""
    sources = inputs(node)
    return (
        kind(node) == "Add"
        and {kind(source) for source in sources} == {"AccumulateGrad", "UnsafeView"}
        and any(
            kind(source) == "AccumulateGrad" and source.variable.ndim == 1 for source in sources
        )
    )


def picked(result):
    """What -x[rows, labels].mean() picks from: the node that computed x, or None."""
    node, negative = result.grad_fn, False
    while node is not None and kind(node) in ("Mean", "Sum", "Neg", "Div", *VIEWS - {"Select"}):
        negative |= kind(node) == "Neg"
        sources = inputs(node)
        node = sources[0] if len(sources) == 1 else None
    if node is None or not negative or kind(node) not in ("Index", "Gather"):
        return None
    return below(node)


class _NLL(UnderTheLoss):
    def graph(self, backward):
        super().graph(backward)
        source = None if backward.graph.losses else picked(backward.loss)
        if source is not None and len(shape(source)) == 2 and kind(source) in self.by_hand:
            self.said, self.line = self.words_by_hand, self.run.lines.get("backward")

    def row_sums(self, node):
        """The loss's input with its sums over the classes, if it is no log-softmax."""
        source = below(node)
        if kind(node) not in NLL or source is None:
            return None
        if kind(source) in ("LogSoftmax", "Log", "LogSigmoid", "LogSigmoidForward"):
            return None
        values = saved(node, "self")
        if values is None or values.ndim < 2:
            return None
        values = values.detach().float()
        return values, values.sum(1), kind(source)


class NLLOnProbabilities(_NLL):
    bug, severity = "nll-on-probabilities", ERROR
    symptom = "the loss is negative and falls to -1"
    by_hand = ("Softmax",)
    words_by_hand = (
        "the loss is minus the probability of the label, with 0 logarithms in between: the "
        "gradient nearly vanishes where the model is wrong"
    )
    fix = "use log_softmax instead of softmax, or logits with nn.CrossEntropyLoss()"

    def wrong(self, node):
        found = self.row_sums(node)
        if found is not None:
            values, sums, source = found
            if values.min() >= 0 and (
                torch.allclose(sums, torch.ones_like(sums), atol=_ROUNDING)
                or source in ("Softmax", "Sigmoid")
            ):
                return (
                    "NLLLoss needs log-probabilities, which are at most 0; its input lies between "
                    f"{values.min():.3f} and {values.max():.3f} and each row sums to "
                    f"{sums.mean():.3f}"
                )


class NLLOnLogits(_NLL):
    bug, severity = "nll-on-logits", ERROR
    symptom = "the loss falls below zero without end"
    by_hand = ("Addmm", "Mm", "UnsafeView")
    words_by_hand = (
        "the loss is minus the logit of the label, with 0 softmaxes in between: it has no lower end"
    )
    fix = "nn.CrossEntropyLoss() on the logits, or log_softmax in front of NLLLoss"

    def wrong(self, node):
        found = self.row_sums(node)
        if found is not None:
            values, _, source = found
            total = values.exp().sum(1)
            low, high = _ABOUT_ONE
            if (
                values.max() > 0
                and values.min() < 0
                and not low < total.mean() < high
                and (source not in ("Sub", "Add", "Logsumexp") or is_linear(below(node)))
            ):
                return (
                    "NLLLoss needs log-probabilities, whose exp sums to 1 in each row; here it "
                    f"sums to {total.mean():.3g} on average, and the largest value is "
                    f"{values.max():.3g}"
                )


class CrossEntropyOneClass(UnderTheLoss):
    bug, severity = "cross-entropy-one-class", ERROR
    symptom = "the loss is exactly 0 from the first step and nothing is learned"
    fix = "nn.BCEWithLogitsLoss() for a single logit, or two outputs for two classes"

    def wrong(self, node):
        if kind(node) == "BinaryCrossEntropy" and activation(node) == "softmax":
            node = below(node)
        if kind(node) not in ("LogSoftmax", "Softmax"):
            return None
        sizes = shape(node)
        dim = signed(node._saved_dim)
        if len(sizes) > 1 and sizes[dim] == 1:
            return (
                f"the softmax in the loss runs over a single output ({list(sizes)}), which always "
                "has probability 1"
            )
        before = inputs(node)
        if len(sizes) == 1 and sizes[0] > 1 and before and shape(before[0]) == sizes:
            column = inputs(before[0]) if kind(before[0]) in VIEWS else []
            if column and shape(column[0]) == (*sizes, 1):
                return (
                    f"the logits {list(sizes)} were a column {list(shape(column[0]))}: cross-entropy "
                    "takes the rows of the batch for classes, and each row has a single output"
                )


class ClassWeightsCancel(Detector):
    bug, severity = "class-weights-cancel", WARNING
    symptom = "class weights change nothing: rare classes are learned as badly as without them"
    fix = (
        "larger batches, with several classes in each; or loss = (weight[yb] * "
        "F.cross_entropy(logits, yb, reduction='none')).mean()"
    )

    def __init__(self, run):
        super().__init__(run)
        self.classes = []  # that of each weighted batch which was looked at; None for several

    def graph(self, backward):
        for node in backward.graph.losses:
            weight, target = saved(node, "weight"), saved(node, "target")
            mean = kind(node) in NLL and node._saved_reduction == 1
            if not mean or weight is None or target is None or not target.numel():
                continue
            if bool((weight != weight[0]).any()):
                self.classes.append(only_value(target))
                self.rows = target.numel()

    def judge(self, run):
        alone = [c for c in self.classes if c is not None]
        if len(self.classes) >= _LOOKS and len(alone) == len(self.classes) and len(set(alone)) > 1:
            return self.found(
                f"the mean is divided by the sum of its rows' class weights, and each of "
                f"{len(alone)} batches that were looked at (the last of {self.rows}) has rows of "
                "one class only, so the weight is divided by itself",
                run.lines.get("backward"),
            )


class LossDividedByItself(Detector):
    bug, severity = "loss-divided-by-itself", WARNING
    symptom = "the loss is 1 from the first step to the last, and steps don't get shorter"
    fix = "loss.backward() on the loss as it is; watch loss.item() beside it"

    def __init__(self, run):
        super().__init__(run)
        self.divisors = []

    def graph(self, backward):
        node, value = backward.loss.grad_fn, backward.value
        while node is not None and kind(node) in VIEWS:
            node = first_input(node)
        if node is None or kind(node) != "Div" or value is None or abs(value - 1) > _EXACTLY_ONE:
            return
        divisor = getattr(node, "_saved_other", None)
        if isinstance(divisor, torch.Tensor):
            divisor = divisor.item() if divisor.numel() == 1 else None
        if divisor is not None and len(inputs(node)) == 1:
            self.divisors.append(divisor)

    def judge(self, run):
        if len(self.divisors) >= _LOOKS and len(set(self.divisors)) >= _DIVISORS:
            return self.found(
                f"in {len(self.divisors)} backwards that were looked at the loss was divided by its "
                f"own value, {self.divisors[0]:.4g} at first and {self.divisors[-1]:.4g} at the "
                "last, so what goes backward is always 1",
                run.lines.get("backward"),
            )


class BroadcastLoss(Detector):
    bug, severity = "broadcast-loss", ERROR
    symptom = "the model learns to answer the mean of the labels for every input"
    fix = "make both shapes equal: loss_fn(pred.squeeze(1), yb) or loss_fn(pred, yb.unsqueeze(1))"

    def graph(self, backward):
        if self.said:
            return
        for node in backward.graph.arithmetic:
            if kind(node) not in ("Sub", "Rsub", "Expand", "Mul") or len(inputs(node)) != 1:
                continue
            size, source = shape(node), inputs(node)[0]
            if len(size) != 2 or size[0] != size[1] or size[0] == 1:
                continue
            n = size[0]
            if shape(source) in ((n, 1), (n,)) and kind(source) != "Unsqueeze":
                if kind(node) == "Mul" and not self.by_vector(node, n, shape(source)):
                    continue
                self.said = (
                    f"{n} outputs {list(shape(source))} met {n} labels of another shape, and "
                    f"broadcasting made {n} x {n} = {n * n} differences of them"
                )
                self.line = self.run.lines.get("backward")
                return

    def by_vector(self, node, n, source):
        vector = (n,) if len(source) == 2 else (n, 1)
        both = saved(node, "self"), saved(node, "other")
        return any(other is not None and tuple(other.shape) == vector for other in both)
