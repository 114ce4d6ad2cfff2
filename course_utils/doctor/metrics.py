"""Metrics that are computed from the wrong thing; seen for the first batches of each model."""

import weakref

import torch
from torch.utils.data import DistributedSampler

from .detector import Detector
from .findings import ERROR, WARNING
from .functions import (
    DIFFERENCES,
    EQUALITIES,
    LOSSES,
    ORDERINGS,
    REGRESSION,
    argument,
    name_of,
    takes_mean,
)
from .graph import VIEWS, first_input, kind, shape, signed
from .loss import FromOutputToLoss
from .run import memory_of
from .sums import division, mean_of_list, meeting, meter, receiver
from .where import describe, learner_frame, learner_line

_MOVES = {"transpose", "permute", "movedim", "swapaxes", "swapdims", "__get__", "t", "moveaxis"}
_CUT = 0.5  # of probabilities; another one may well be the logit of a probability
_ROWS_A_BATCH = 1.5  # or fewer on average, and rows could be meant where batches are counted
_PICKS = VIEWS | {"Index", "MaskedSelect", "Gather"}


def _same_memory(a, b):
    return (
        isinstance(a, torch.Tensor)
        and isinstance(b, torch.Tensor)
        and memory_of(a) == memory_of(b) != 0
    )


class MetricBroadcast(Detector):
    bug, severity = "metric-broadcast", ERROR
    symptom = "an accuracy that is near chance, or above 100 %"
    fix = "give both the same shape before comparing: (pred.squeeze(1) == yb)"
    column = None  # what the learner made a column of

    def function(self, call, function, args, kwargs, result):
        name = name_of(function)
        if name in ("unsqueeze", "__getitem__", "view", "reshape") and args[0].ndim == 1:
            self.column = result
        if name == "numpy" and not self.said and not call.grad_enabled:
            self.in_numpy(call, args[0])
        if self.said or len(args) < 2 or name not in EQUALITIES | DIFFERENCES | REGRESSION:
            return
        a, b = args[:2]
        if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)) or _same_memory(a, b):
            return
        short, long = sorted((a, b), key=lambda t: t.ndim)
        n = short.numel()
        if short.ndim != 1 or n < 2 or tuple(long.shape) != (n, 1):
            return
        if name not in EQUALITIES:
            # In training it is the loss; and differences of all pairs may be meant, of outputs
            # that were made a column for it.
            outs = [t for t in (a, b) if _same_memory(t, call.out) and t is not self.column]
            if call.grad_enabled or not outs or outs[0].shape != call.out.shape:
                return
        self.said = (
            f"{list(a.shape)} met {list(b.shape)}, and broadcasting made {n} x {n} = {n * n} "
            f"comparisons of {n}"
        )
        self.line = learner_line()

    def in_numpy(self, call, values):
        """A column that leaves for NumPy, where the same happens."""
        n, frame = len(call.out), learner_frame()
        if n < 2 or tuple(values.shape) != (n, 1) or frame is None:
            return
        text, shape = meeting(frame) or ("", None)
        if shape == (n,):
            self.said = (
                f"in {text}, [{n}, 1] meets [{n}], and broadcasting makes {n} x {n} = {n * n} "
                f"differences of {n}"
            )
            self.line = learner_line()


def class_dimension(log_softmax, output):
    """The dimension of a model's output over which the loss takes its softmax.

    None if views that can't be followed lie between, or the output is not what the loss is given.
    """
    size = shape(log_softmax)
    dim = signed(log_softmax._saved_dim) % max(len(size), 1)
    node = first_input(log_softmax)
    while node is not None and node is not output:
        name, before = kind(node), first_input(node)
        if before is None:
            return None
        size, below = shape(node), shape(before)
        if name == "Permute":
            dim = signed(node._saved_dims[dim]) % len(size)
        elif name == "Transpose":
            pair = [signed(d) % len(size) for d in (node._saved_dim0, node._saved_dim1)]
            dim = pair[1 - pair.index(dim)] if dim in pair else dim
        elif name in ("View", "UnsafeView", "Reshape", "ReshapeAlias"):
            if dim != len(size) - 1 or not below or below[-1] != size[-1]:
                return None
            dim = len(below) - 1
        elif name not in ("Clone", "ToCopy", "Alias", "Contiguous"):
            return None
        node = before
    return None if node is None else dim


class ArgmaxWrongDim(FromOutputToLoss):
    bug, severity = "argmax-wrong-dim", ERROR
    symptom = "an accuracy near chance although the loss falls"
    fix = "pred = logits.argmax(dim=1), one answer for each row; dim=-1 if the classes come last"

    def __init__(self, run):
        super().__init__(run)
        self.taken = []  # (call, result of argmax, what was wrong)
        self.classes = weakref.WeakKeyDictionary()  # model -> (ndim, dimension) that holds classes
        self.moved = None  # the call after which dimensions changed places
        self.often = 0

    def follow(self, model, output, loss):
        dim = class_dimension(loss, output) if kind(loss) == "LogSoftmax" else None
        if dim is not None:
            self.classes[model] = len(shape(output)), dim

    def function(self, call, function, args, kwargs, result):
        if self.said:
            return
        name = name_of(function)
        if name in _MOVES:
            self.moved = call
        if name in ("argmax", "max") and args and isinstance(args[0], torch.Tensor):
            wrong = self.wrong(call, args, kwargs)
            index = result[1] if isinstance(result, tuple) else result
            if wrong and not index.is_floating_point():
                self.taken = [*self.taken[-3:], (call, index, wrong)]
                if call.module in self.classes and index.ndim and not call.grad_enabled:
                    self.often += 1
                    if self.often >= 2:  # though collected first and compared later
                        self.said, self.line = wrong, learner_line()
        elif name in EQUALITIES and len(args) >= 2:
            for taken_in, index, wrong in self.taken:
                if taken_in is call and any(_same_memory(index, arg) for arg in args[:2]):
                    self.said, self.line = wrong, learner_line()

    def wrong(self, call, args, kwargs):
        x = args[0]
        out = call.out
        dim = argument(args, kwargs, 1, "dim", "axis")
        if not x.is_floating_point() or out is None or x.shape != out.shape or x.ndim < 2:
            return None
        if "other" in kwargs or not (dim is None or isinstance(dim, int)):
            return None
        if dim is None and x.numel() == x.shape[-1]:  # a single row
            return None
        if dim is None:
            return f"argmax without dim over {list(x.shape)} gives one number for the whole batch"
        ndim, right = self.classes.get(call.module, (None, None))
        if ndim not in (None, x.ndim):  # a single row without its batch dimension
            return None
        if ndim is not None and x.shape[dim] > 1 and self.moved is not call:
            if dim % ndim == right:
                return None
            return (
                f"argmax(dim={dim}) over {list(x.shape)} looks for the largest value among the "
                f"{x.shape[dim]} entries of dimension {dim % ndim}, but the classes that the loss "
                f"was trained on are in dimension {right}"
            )
        if x.shape[dim] == 1:
            return f"argmax over a dimension of size 1 (shape {list(x.shape)}) is always 0"
        if dim % x.ndim == 0:
            return (
                f"argmax(dim={dim}) over {list(x.shape)} looks for the largest value among the "
                f"{x.shape[0]} rows of the batch, not among the {x.shape[1]} classes"
            )
        return None


class ThresholdOnLogits(FromOutputToLoss):
    bug, severity = "threshold-on-logits", ERROR
    symptom = "too few positive answers: 0.5 as a logit is a probability of 0.62"
    fix = "pred = (logits > 0), or (torch.sigmoid(logits) > 0.5)"

    def __init__(self, run):
        super().__init__(run)
        self.on_logits = weakref.WeakSet()  # models whose output is the logit of a loss
        self.said = weakref.WeakKeyDictionary()  # model -> evidence and line
        self.cuts = set()

    def follow(self, model, output, loss):
        # One output of several may be no logit; so this one must be what the loss was given.
        node = loss
        while node is not None and kind(node) in {"BinaryCrossEntropyWithLogits", *_PICKS}:
            node = first_input(node)
            if node is output:
                self.on_logits.add(model)

    def function(self, call, function, args, kwargs, result):
        if not _same_memory(args[0] if args else None, call.out):
            return
        x, name = args[0], name_of(function)
        cut = args[1] if len(args) > 1 else None
        cut = cut.item() if isinstance(cut, torch.Tensor) and cut.numel() == 1 else cut
        above = name in ORDERINGS and isinstance(cut, float)
        if above:
            self.cuts.add(cut)
        rounded = name == "round" and not kwargs.get("decimals")
        if ((above and cut == _CUT) or rounded) and x.is_floating_point():
            low, high = x.min().item(), x.max().item()
            if (low < 0 or high > 1) and call.module not in self.said:
                how = "compared with 0.5" if above else "rounded"
                self.said[call.module] = (
                    f"the model's outputs were {how}, but they are logits, here from {low:.2f} to "
                    f"{high:.2f}, not probabilities",
                    learner_line(),
                )

    def judge(self, run):
        for model, (said, line) in self.said.items():
            if model in self.on_logits and self.cuts <= {_CUT}:
                return self.found(said, line)


class MetricNotNormalised(Detector):
    bug, severity = "metric-not-normalised", WARNING
    symptom = "the number changes with the batch size, or a small last batch counts too much"
    fix = "correct += (pred == yb).sum().item(); seen += len(yb); accuracy = correct / seen"

    def __init__(self, run):
        super().__init__(run)
        self.hits = []  # (call, tensors that came from a comparison)
        self.means = {}  # pass -> learner's line, and the object that keeps the mean, if any
        self.sums = {}  # learner's line -> what is added up there, and the division of the sum

    def added(self, call, what):
        frame = learner_frame()
        if call.one_pass is None or frame is None:
            return
        frame = receiver(frame)
        key = frame.f_code, frame.f_lineno
        if key not in self.sums:
            divided = division(frame)
            self.sums[key] = divided and (*divided, what, call.one_pass, call.one_pass.held)

    def function(self, call, function, args, kwargs, result):
        name = name_of(function)
        if name in LOSSES and takes_mean(kwargs) and result.ndim == 0:
            self.added(call, "means")
        if name in EQUALITIES and isinstance(result, torch.Tensor):
            self.hits = [(call, result)]
        elif self.hits and self.hits[0][0] is call and args:
            if not any(args[0] is hit for _, hit in self.hits):
                return
            if name in ("sum", "mean", "count_nonzero") and result.ndim == 0:
                self.added(call, "means" if name == "mean" else "counts")
            if name in ("float", "double", "to", "type", "type_as") and result.ndim:
                self.hits.append((call, result))
            elif name == "mean" and result.ndim == 0 and call.one_pass is not None:
                self.mean(call.one_pass)

    def mean(self, one_pass):
        frame = learner_frame()
        if frame is None:
            return
        frame = receiver(frame)
        line = describe(frame.f_code.co_filename, frame.f_lineno)
        plain = ("+=" in line and "*" not in line) or mean_of_list(frame)  # without weights
        keeper = None if plain else meter(frame)
        if plain or keeper is not None:
            self.means[id(one_pass)] = one_pass, one_pass.held, line, keeper

    def judge(self, run):
        for text, divisor, what, one_pass, loader in filter(None, self.sums.values()):
            sampler = getattr(loader, "sampler", None)
            if not one_pass.over or not hasattr(sampler, "__len__"):
                continue
            rows, batches = len(sampler), one_pass.batches
            if batches > 1 and self.wrong(what, divisor, loader, rows, batches):
                means = "add each mean times len(xb), and divide by the rows; or by len(loader)"
                return self.found(
                    f"{text} divides by {divisor}, but the sum is one of {what} of {batches} "
                    f"batches with {rows} rows",
                    fix=means if what == "means" else f"divide by the {rows} rows",
                )
        for one_pass, loader, line, keeper in self.means.values():
            counts = [v for v in getattr(keeper, "__dict__", {}).values() if type(v) is int]
            if keeper is not None and one_pass.batches not in counts:
                continue
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

    def wrong(self, what, divisor, loader, rows, batches):
        """Whether what was added up is divided by something else than its own number."""
        if what == "means":
            near = divisor == batches + 1 and batches > 1
            return near or (divisor == rows and rows > _ROWS_A_BATCH * batches)
        if divisor == batches and rows > _ROWS_A_BATCH * batches:
            return True
        # All the data of which this loader goes through a part; in several processes each has one.
        whole = getattr(loader.dataset, "dataset", loader.dataset)
        several = isinstance(loader.sampler, DistributedSampler)
        return hasattr(whole, "__len__") and divisor == len(whole) > rows and not several
