"""The autograd graph of a loss, read just before backward goes through it."""

import functools
from collections import deque

# Nodes that hand the same numbers on in another shape or type.
VIEWS = {
    "View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "T", "Transpose",
    "Permute", "Expand", "Clone", "ToCopy", "Alias", "Select", "Slice", "Contiguous", "Flatten",
}  # fmt: skip
# What learners put between a loss function and backward: sums, weights, means, penalties.
_ARITHMETIC = VIEWS | {
    "Add", "Sub", "Rsub", "Mul", "Div", "Mean", "Sum", "Neg", "Pow", "Abs", "Stack", "Cat",
    "Unbind", "Split", "Index", "Gather", "Where", "MaskedFill", "MaskedSelect", "Sqrt", "Log",
    "Square", "Huber", "Maximum", "Minimum",
}  # fmt: skip
NLL = ("NllLoss", "NllLoss2D")
CROSS_ENTROPY = (*NLL, "LogSoftmax")
YES_OR_NO = ("BinaryCrossEntropyWithLogits", "BinaryCrossEntropy")
OF_NUMBERS = ("MseLoss", "SmoothL1Loss", "HuberLoss")
_LOSSES = {*CROSS_ENTROPY, *YES_OR_NO, *OF_NUMBERS, "KlDiv", "CtcLoss"}


def kind(node):
    """`NllLossBackward0` -> `NllLoss`; a leaf is `AccumulateGrad`."""
    return _kind(node.name())


@functools.cache
def _kind(name):
    return name.rpartition("::")[2].partition("Backward")[0]


def shape(node):
    """The shape of the tensor that the node computed."""
    return tuple(node._input_metadata[0].shape)


def signed(number):
    """A saved dimension as it was given: nodes show -1 as 2**64 - 1."""
    return number - (1 << 64) if number >= 1 << 63 else number


def inputs(node):
    """The nodes that the node's inputs came from; inputs that need no gradient have none."""
    return [source for source, _ in node.next_functions if source is not None]


def first_input(node):
    """The first of them, or None."""
    return next(iter(inputs(node)), None)


def without_views(node):
    """The node itself, or what it is a view of."""
    while kind(node) in VIEWS and len(inputs(node)) == 1:
        node = inputs(node)[0]
    return node


def below(node):
    """The node that computed this node's input, views left out; None if there is no single one."""
    sources = inputs(node)
    while len(sources) == 1 and kind(sources[0]) in VIEWS:
        sources = inputs(sources[0])
    return sources[0] if len(sources) == 1 else None


def leaves_below(node):
    """The ids of the tensors that will get a gradient through the node."""
    ids, waiting, seen = set(), [node], {node}
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            ids.add(id(node.variable))
        for source in inputs(node):
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return ids


def saved(node, name):
    """A tensor that the node keeps for its backward, or None.

    With saved-tensor hooks (checkpointing, offloading) unpacking could run the forward again.
    """
    raw = getattr(node, f"_raw_saved_{name}", None)
    if raw is None or getattr(raw, "unpack_hook", None) is not None:
        return None
    try:
        return getattr(node, f"_saved_{name}")
    except RuntimeError:  # already freed
        return None


class Graph:
    """`leaves`: tensors that will get a gradient. `losses`: the loss nodes directly under the
    result, `top`: what the result comes from. `arithmetic`: the nodes between. `nodes`: all of them, kind by kind.
    """

    def __init__(self, result):
        start = result.grad_fn
        self.leaves, self.nodes = [], {}
        self.losses, self.arithmetic = [], []
        self.top = "" if start is None else kind(start)
        if start is None:
            self.leaves.append(result)
            return
        self._find_losses(start)
        waiting, seen = [start], {start}
        while waiting:
            node = waiting.pop()
            if hasattr(node, "variable"):
                self.leaves.append(node.variable)
                continue
            self.nodes.setdefault(kind(node), []).append(node)
            for source in inputs(node):
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)

    def _find_losses(self, start):
        waiting, seen = deque([start]), {start}
        while waiting and len(seen) < 300:
            node = waiting.popleft()
            name = kind(node)
            if name in _LOSSES:
                self.losses.append(node)
            if name in _ARITHMETIC:
                self.arithmetic.append(node)
            if name in _ARITHMETIC or name in NLL:
                fresh = inputs(node)
            else:  # functions that stretch their inputs to one shape
                fresh = [source for source in inputs(node) if kind(source) == "Expand"]
            fresh = [source for source in fresh if source not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
