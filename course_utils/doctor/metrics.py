"""Metrics that are computed from the wrong thing; seen for the first batches of each model."""

import torch

from .detector import Detector
from .findings import ERROR, WARNING
from .run import memory_of
from .where import learner_line

_COMPARE = {"eq", "__eq__", "ne", "__ne__"}
_ABOVE = {"gt", "__gt__", "ge", "__ge__", "lt", "__lt__", "le", "__le__"}


def _same_memory(a, b):
    return (
        isinstance(a, torch.Tensor)
        and isinstance(b, torch.Tensor)
        and memory_of(a) == memory_of(b) != 0
    )


def _name(function):
    return getattr(function, "__name__", "")


class MetricBroadcast(Detector):
    bug, severity = "metric-broadcast", ERROR
    symptom = "an accuracy that is near chance, or above 100 %"
    fix = "give both the same shape before comparing: (pred.squeeze(1) == yb)"
    said = ""

    def function(self, call, function, args, kwargs, result):
        if self.said or _name(function) not in _COMPARE or len(args) < 2:
            return
        a, b = args[:2]
        if not isinstance(b, torch.Tensor) or _same_memory(a, b):
            return
        short, long = sorted((a, b), key=lambda t: t.ndim)
        n = short.numel()
        if short.ndim == 1 and n > 1 and tuple(long.shape) == (n, 1):
            self.said = (
                f"{list(a.shape)} was compared with {list(b.shape)}, and broadcasting made "
                f"{n} x {n} = {n * n} comparisons of {n}"
            )
            self.line = learner_line()

    def judge(self, run):
        if self.said:
            return self.found(self.said, self.line)


class ArgmaxWrongDim(Detector):
    bug, severity = "argmax-wrong-dim", ERROR
    symptom = "an accuracy near chance although the loss falls"
    fix = "pred = logits.argmax(dim=1), one answer for each row"

    def __init__(self, run):
        super().__init__(run)
        self.taken = []  # (call, result of argmax, what was wrong)
        self.said = ""

    def function(self, call, function, args, kwargs, result):
        if self.said:
            return
        name = _name(function)
        if name in ("argmax", "max") and args and isinstance(args[0], torch.Tensor):
            wrong = self.wrong(call, args, kwargs)
            index = result[1] if isinstance(result, tuple) else result
            if wrong and not index.is_floating_point():
                self.taken = [*self.taken[-3:], (call, index, wrong)]
        elif name in _COMPARE and len(args) >= 2:
            for taken_in, index, wrong in self.taken:
                if taken_in is call and any(_same_memory(index, arg) for arg in args[:2]):
                    self.said, self.line = wrong, learner_line()

    def wrong(self, call, args, kwargs):
        x = args[0]
        out = call.out
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if not x.is_floating_point() or out is None or x.shape != out.shape or x.ndim < 2:
            return None
        if isinstance(dim, torch.Tensor):
            return None
        if dim is None:
            return f"argmax without dim over {list(x.shape)} gives one number for the whole batch"
        if x.shape[dim] == 1:
            return f"argmax over a dimension of size 1 (shape {list(x.shape)}) is always 0"
        if dim % x.ndim == 0:
            return (
                f"argmax(dim={dim}) over {list(x.shape)} looks for the largest value among the "
                f"{x.shape[0]} rows of the batch, not among the {x.shape[1]} classes"
            )
        return None

    def judge(self, run):
        if self.said:
            return self.found(self.said, self.line)


class ThresholdOnLogits(Detector):
    bug, severity = "threshold-on-logits", ERROR
    symptom = "too few positive answers: 0.5 as a logit is a probability of 0.62"
    fix = "pred = (logits > 0), or (torch.sigmoid(logits) > 0.5)"

    def __init__(self, run):
        super().__init__(run)
        self.logits = False  # whether the model is trained on logits
        self.said = ""

    def graph(self, backward):
        names = [node.name() for node in backward.graph.losses]
        self.logits |= any("BinaryCrossEntropyWithLogits" in name for name in names)

    def function(self, call, function, args, kwargs, result):
        if self.said or not _same_memory(args[0] if args else None, call.out):
            return
        x, name = args[0], _name(function)
        cut = args[1] if len(args) > 1 else None
        cut = cut.item() if isinstance(cut, torch.Tensor) and cut.numel() == 1 else cut
        above = name in _ABOVE and isinstance(cut, float) and 0 < cut < 1
        if (above or name == "round") and x.is_floating_point():
            low, high = x.min().item(), x.max().item()
            if low < 0 or high > 1:
                how = f"compared with {cut:g}" if above else "rounded"
                self.said = (
                    f"the model's outputs were {how}, but they are logits, here from {low:.2f} to "
                    f"{high:.2f}, not probabilities"
                )
                self.line = learner_line()

    def judge(self, run):
        if self.said and self.logits:
            return self.found(self.said, self.line)


class MetricNotNormalised(Detector):
    bug, severity = "metric-not-normalised", WARNING
    symptom = "the number changes with the batch size, or a small last batch counts too much"
    fix = "correct += (pred == yb).sum().item(); seen += len(yb); accuracy = correct / seen"

    def __init__(self, run):
        super().__init__(run)
        self.hits = []  # (call, tensors that came from a comparison)
        self.means = {}  # pass -> learner's line

    def function(self, call, function, args, kwargs, result):
        name = _name(function)
        if name in _COMPARE and isinstance(result, torch.Tensor):
            self.hits = [(call, result)]
        elif self.hits and self.hits[0][0] is call and args:
            if not any(args[0] is hit for _, hit in self.hits):
                return
            if name in ("float", "double", "to", "type", "type_as") and result.ndim:
                self.hits.append((call, result))
            elif name == "mean" and result.ndim == 0 and call.one_pass is not None:
                line = learner_line()
                if "+=" in line and "*" not in line:  # added up without weights
                    self.means[id(call.one_pass)] = call.one_pass, call.one_pass.held, line

    def judge(self, run):
        for one_pass, loader, line in self.means.values():
            size = getattr(loader, "batch_size", None)
            rows = len(loader.sampler) if size and hasattr(loader.sampler, "__len__") else 0
            last = rows % size if rows else 0
            uneven = 0 < last < size / 2 and rows > size and not loader.drop_last
            if uneven and one_pass.over and one_pass.evaluates:
                return self.found(
                    f"the accuracies of {one_pass.batches} batches are added up, but the last "
                    f"batch has {last} rows and the others {size}: each of its rows counts "
                    f"{size / last:.3g} times as much",
                    line,
                )


class OutputUnused(Detector):
    """No bug: marks passes whose outputs go nowhere, such as those that refresh BatchNorm."""

    records = True

    def forward(self, call):
        if call.one_pass is not None and call.one_pass.forwards == 1:
            call.one_pass.unused = True

    def function(self, call, function, args, kwargs, result):
        if call.one_pass is not None and _name(function) not in ("__get__", "dim", "size"):
            call.one_pass.unused = False
