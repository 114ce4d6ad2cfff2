"""How a model is put together: layers that are one, switches that switch nothing, mixed-up dimensions."""

import difflib
import math
import weakref

from torch import nn
from torch.utils.data import RandomSampler

from .detector import Detector
from .findings import ERROR, WARNING
from .graph import VIEWS, below, first_input, inputs, kind, saved, shape, signed
from .run import memory_of, tensors_in

_MISSPELT = 0.8  # as like as that, by difflib, is a name that is meant to be another
_TIMES = 3  # seen, before it is called a bug


class LayersShared(Detector):
    bug, severity = "layers-shared", WARNING
    symptom = "several layers learn as one: the model is smaller than it looks"
    fix = "make each layer anew: nn.ModuleList([make_layer() for _ in range(n)]), not [layer] * n"

    def __init__(self, run):
        super().__init__(run)
        self.known = weakref.WeakSet()

    def watched(self, call):
        if call.module in self.known or self.said:
            return
        self.known.add(call.module)
        for name, container in call.module.named_modules():
            if isinstance(container, nn.ModuleList | nn.Sequential | nn.ModuleDict):
                layers = list(container._modules.values())
                for layer in {id(part): part for part in layers}.values():
                    times = sum(part is layer for part in layers)
                    if times > 1 and next(layer.parameters(), None) is not None:
                        self.said = (
                            f"{name or 'the model'} ({type(container).__name__}) lists one and the "
                            f"same {type(layer).__name__} {times} times, so these "
                            f"{times} layers have one set of weights"
                        )

    def judge(self, run):
        return super().judge(run) if run.steps else None


class RequiresGradMisspelt(Detector):
    bug, severity = "requires-grad-misspelt", ERROR
    symptom = "what was to be frozen is trained"
    fix = (
        "for p in layer.parameters(): p.requires_grad = False, or layer.requires_grad_(False) for "
        "a whole module"
    )

    def judge(self, run):
        if not run.stepped_optimizers():
            return None
        held = run.stepped_ids()
        for model in run.known_models():
            for path, parameter in model.named_parameters():
                for name, value in vars(parameter).items():
                    trained = id(parameter) in held and parameter in run.reached
                    if _is_like(name, value) and trained and not value:
                        return self.say(f"parameter {path} has an attribute {name} = {value}")
            for path, module in model.named_modules():
                for name, value in vars(module).items():
                    if value is False and (name == "requires_grad" or _is_like(name, value)):
                        own = list(module.parameters())
                        if own and all(id(p) in held and p in run.reached for p in own):
                            return self.say(
                                f"{path or 'the model'} ({type(module).__name__}) has an attribute "
                                f"{name} = False, which its {len(own)} parameters don't know"
                            )

    def say(self, evidence):
        return self.found(f"{evidence}; PyTorch reads no such attribute, and all of it is trained")


def _is_like(name, value):
    if not isinstance(value, bool) or name in ("training", "requires_grad"):
        return False
    like = difflib.get_close_matches(name, ["requires_grad"], 1, _MISSPELT)
    return bool(like) or name == "trainable"


_RECOUNTS = "View", "UnsafeView", "ReshapeAlias", "Reshape"
_CHANNELS_LAST = (
    "logits.permute(0, 2, 3, 1).reshape(-1, classes), or the logits as they are: cross_entropy "
    "takes [N, C, H, W] with labels [N, H, W]"
)


class ViewSwapsSizes(Detector):
    bug, severity = "view-swaps-dimensions", ERROR
    symptom = "rows, channels or time steps are mixed; if it is rows, the loss stays near chance"
    fix = (
        "x.permute(0, 2, 1), or x.transpose(1, 2), moves dimensions; view and reshape only recount"
    )

    def __init__(self, run):
        super().__init__(run)
        self.outside = []  # (where it lies, its shape) of what the model that runs was given
        self.times = {}  # (shape before, shape after) -> times

    def called(self, call):
        """A layer that gets the model's input in another shape, but in the same order in memory."""
        if call.depth == 0 or not call.grad_enabled or call.x is None or call.x.requires_grad:
            return
        batch = [t for t in tensors_in(self.run.batch) if t.ndim >= 3]
        x = call.x
        if x.ndim < 3 or not x.is_contiguous():
            return
        for given in [*batch, *([] if x._base is None else [x._base])]:
            if given is not x and memory_of(given) == memory_of(x) != 0 and given.is_contiguous():
                self.look(tuple(given.shape), tuple(x.shape))

    def graph(self, backward):
        for node in backward.graph.losses:
            self.look_under(node)
        for node in [n for name in _RECOUNTS
                     for n in backward.graph.nodes.get(name, ())]:  # fmt: skip
            source = first_input(node)
            if source is None or len(shape(node)) < 3:
                continue
            before = tuple(getattr(node, "_saved_self_sym_sizes", None) or shape(source))
            moved = kind(source) in ("Permute", "Transpose", "T", "Expand", "Stack")
            if not moved and not _is_moved(source):
                self.look(before, shape(node))

    def look_under(self, loss):
        """[N, C, H, W] logits that are counted anew as rows of C, without a permute before."""
        source = first_input(loss)
        if kind(loss) != "LogSoftmax" or source is None or kind(source) not in _RECOUNTS:
            return
        before, after = shape(first_input(source) or source), shape(source)
        classes = after[-1]
        flat = len(after) == 2 and len(before) > 2 and signed(loss._saved_dim) % 2 == 1
        if flat and before[1] == classes != before[-1] and not _is_moved(inputs(source)[0]):
            self.count((before[1:], classes), (
                f"view or reshape makes {list(after)} of the logits {list(before)}: a row then "
                f"holds one class at {classes} neighbouring places, not {classes} classes at one"
            ), _CHANNELS_LAST)  # fmt: skip

    def look(self, before, after):
        swapped = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
        if len(before) != len(after) or len(swapped) != 2 or self.said:
            return
        i, j = swapped
        one, two = before[i], before[j]
        if (after[i], after[j]) == (two, one) and min(one, two) > 1 and math.prod(before):
            self.count((before[1:], after[1:]), (
                f"view or reshape makes {list(after)} of {list(before)}: that swaps the sizes of "
                f"dimensions {i} and {j}, but leaves the numbers in their order, so values of "
                "different places are mixed"
            ))  # fmt: skip

    def count(self, key, said, fix=None):
        self.times[key] = self.times.get(key, 0) + 1
        if self.times[key] >= 2 and not self.said:
            self.said, self.fix = said, fix or self.fix
            self.line = self.run.lines.get("backward")


def _is_moved(node):
    """Whether dimensions changed places just before, so that a view may lead back."""
    for _ in range(4):
        if kind(node) in ("Permute", "Transpose", "T"):
            return True
        sources = inputs(node)
        if kind(node) not in VIEWS or len(sources) != 1:
            return False
        node = sources[0]
    return False


class SoftmaxOverBatch(Detector):
    bug, severity = "softmax-over-batch", ERROR
    symptom = "a row's answer depends on the other rows of its batch: evaluation row by row is bad"
    fix = "softmax(x, dim=1), or dim=-1: over the classes (or places) of each row"

    def __init__(self, run):
        super().__init__(run)
        self.rows = 0  # of the last model that ran, in and out
        self.columns = 0  # losses with one of its kind directly below
        self.hits = {}  # (kind, directly under the loss, sizes but the first) -> numbers of rows

    def watched(self, call):
        if call.has_graph and call.x is not None and call.x.ndim:
            same = call.out.ndim > 0 and len(call.x) == len(call.out)
            self.rows = len(call.x) if same else 0

    def graph(self, backward):
        for node in backward.graph.losses:
            self.under_nll(node)
        n, self.rows = self.rows, 0
        if n < 2 or self.said:
            return
        under = {below(node) for node in backward.graph.losses} | set(backward.graph.arithmetic)
        under |= {below(node) for node in backward.graph.arithmetic}
        for name in ("Softmax", "LogSoftmax"):
            for node in backward.graph.nodes.get(name, ()):
                size = shape(node)
                if len(size) < 2 or size[0] != n or signed(node._saved_dim) % len(size):
                    continue
                if n in size[1:]:
                    continue  # pairs of rows, as contrastive losses have them
                key = name, node in under, size[1:]
                rows = self.hits.setdefault(key, [])
                rows.append(n)
                loader = next((len(t) for t in tensors_in(self.run.batch) if t.ndim), 0)
                if len(rows) >= 2 and (loader == n or len(set(rows)) > 1):
                    self.said = (
                        f"a softmax with dim=0 over {list(size)} runs over the {n} rows of the "
                        "batch, so the rows of a batch share one sum of 1"
                    )
                    self.line = self.run.lines.get("backward")
                    return

    def under_nll(self, node):
        """NLLLoss says itself where the rows are, also without a model."""
        source, target = first_input(node), saved(node, "target")
        if kind(node) != "NllLoss" or source is None or kind(source) != "LogSoftmax":
            return
        size = shape(source)
        if len(size) == 2 and size[0] == len(target) > 1 and signed(source._saved_dim) % 2 == 0:
            self.columns += size[0] != size[1]
            if self.columns >= 2:
                self.said = (
                    f"a log_softmax with dim=0 over {list(size)} runs over the {size[0]} rows, "
                    f"so not over the {size[1]} classes from which the loss takes one"
                )
                self.line = self.run.lines.get("backward")


class SoftmaxOverOne(Detector):
    bug, severity = "softmax-over-one", WARNING
    symptom = "these weights are always 1, whatever is learned: attention that does not attend"
    fix = "softmax over the dimension that is to be weighed: for scores [N, T, 1] that is dim=1"

    def __init__(self, run):
        super().__init__(run)
        self.times = 0
        self.larger = set()  # numbers of dimensions of softmaxes over more than one
        self.size = ()

    def graph(self, backward):
        under = {below(node) for node in backward.graph.losses} | set(backward.graph.losses)
        ones = []
        for node in backward.graph.nodes.get("Softmax", ()):
            size = shape(node)
            if len(size) < 2 or node in under:
                continue
            if size[signed(node._saved_dim)] > 1:
                self.larger.add(len(size))
            elif math.prod(size) > 1:
                ones.append(size)
        if ones:
            self.times += 1
            self.size = ones[0]

    def judge(self, run):
        if self.times >= _TIMES and len(self.size) not in self.larger:
            return self.found(
                f"a softmax over {list(self.size)} runs over a dimension of size 1, so all its "
                f"{math.prod(self.size)} results are 1 and the layers below get no gradient "
                f"({self.times} times of the steps looked at)",
                run.lines.get("backward"),
            )


class FrozenBatchNorm(Detector):
    bug, severity = "frozen-batchnorm-updates", WARNING
    symptom = (
        "the frozen part changes all the same: its BatchNorm follows the new data, and the old "
        "task may get worse"
    )
    fix = "after model.train(): frozen_part.eval(), in every epoch"

    def __init__(self, run):
        super().__init__(run)
        self.layers = weakref.WeakKeyDictionary()  # layer -> (model, times)

    def called(self, call):
        layer = call.module
        if (
            isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training
            and layer.track_running_stats and layer.weight is not None and call.grad_enabled
            and not layer.weight.requires_grad
        ):  # fmt: skip
            self.layers[layer] = self.layers.get(layer, 0) + 1

    def judge(self, run):
        if not self.layers or not run.over:
            return None
        held = run.stepped_ids()
        frozen = [
            layer for layer, times in self.layers.items()
            if times >= 2 and not layer.weight.requires_grad and layer.weight not in run.reached
            and id(layer.weight) not in held
        ]  # fmt: skip
        for model in run.known_models():
            inside = [layer for layer in model.modules() if any(layer is f for f in frozen)]
            trained = any(id(p) in held and p.requires_grad for p in model.parameters())
            others = [p for p in model.parameters() if not p.requires_grad]
            if inside and trained and len(others) > 2 * len(inside):
                return self.found(
                    f"{len(inside)} BatchNorm layers have frozen weights (requires_grad=False) and "
                    "ran in training mode, so they normalised with each batch and their running "
                    "mean and variance went on moving",
                    run.lines.get("backward"),
                )


class BatchFirstForgotten(Detector):
    bug, severity = "batch-first-forgotten", ERROR
    symptom = (
        "the network reads along the batch: rows mix, and what came before in a row is not seen"
    )
    fix = "nn.LSTM(..., batch_first=True); the same for nn.GRU, nn.RNN, attention and transformers"

    def __init__(self, run):
        super().__init__(run)
        self.layers = []  # (name, shape of its input) since the last backward
        self.count = 0

    def called(self, call):
        layer, x = call.module, call.x
        reads = isinstance(layer, nn.RNNBase | nn.MultiheadAttention) and not layer.batch_first
        if reads and call.grad_enabled and x is not None and x.ndim == 3 and len(self.layers) < 50:
            self.layers.append((type(layer).__name__, tuple(x.shape)))

    def graph(self, backward):
        layers, self.layers = self.layers, []
        parts = [t for t in tensors_in(self.run.batch) if t.ndim]
        one_pass = self.run.current
        loader = one_pass.held if one_pass is not None else None
        shuffled = isinstance(getattr(loader, "sampler", None), RandomSampler)
        if not layers or not shuffled or self.said or len(parts) < 2:
            return
        n, labels = len(parts[0]), parts[1]
        if labels.numel() != n or len(labels) != n:
            return
        for name, size in layers:
            if size[0] == n and size[1] not in (1, n):
                self.count += 1
                if self.count >= 2:
                    self.said = (
                        f"{name} got {list(size)} and takes the first dimension for time, but it "
                        f"holds the {n} rows of the batch, which come in random order"
                    )
                    self.line = self.run.lines.get("backward")
                return
