"""What the graph and the gradients of a first batch tell about model and loss."""

import warnings

import torch
from torch import nn

from .losses import kind_of

_TWICE = (
    "{} is applied twice, as by a model that ends in it and a loss that applies it once more: it learns "
    "slowly, and its loss stays high. Let the model return logits, without {}."
)
_SQUASHED = (
    "softmax is applied to what a sigmoid gives, numbers between 0 and 1, so that no class can become "
    "likely: it learns slowly, and its loss stays high. Let the model return logits, without the sigmoid."
)
_WORDS = {  # what a loss applies to its outputs -> what may stand right before it, and a warning
    "LogSoftmaxBackward0": {
        "SoftmaxBackward0": _TWICE.format("softmax", "softmax"),
        "SigmoidBackward0": _SQUASHED,
    },
    "BinaryCrossEntropyWithLogitsBackward0": {
        "SigmoidBackward0": _TWICE.format("the sigmoid", "the sigmoid"),
    },
}


_VIEWS = ("ViewBackward0", "ReshapeAliasBackward0", "SqueezeBackward1", "UnsqueezeBackward0")
_CLAMPS = ("ClampBackward0", "ClampBackward1", "ClampMinBackward0", "ClampMaxBackward0")


def check_graph(loss, model, loss_fn):
    """Whether the graph of the loss leads to a parameter, as far as it can be seen; a word of warning
    if softmax is applied to probabilities, or the sigmoid."""
    parts = [part for part in (model, loss_fn) if isinstance(part, nn.Module)]
    parameters = {id(parameter) for part in parts for parameter in part.parameters()}
    leads_back = False
    for node in _nodes(loss):
        hidden = isinstance(node, torch.autograd.function.BackwardCFunction)  # as checkpoint has it
        leads_back |= hidden or id(getattr(node, "variable", None)) in parameters
        if words := _WORDS.get(type(node).__name__):
            before = type(_origin(node.next_functions[0][0])).__name__
            if before in words:
                warnings.warn(words[before], stacklevel=2)
    if not leads_back:
        raise ValueError(
            "the loss doesn't depend on any trainable parameter, so nothing can be learned: are "
            "all parameters frozen, or does the model or loss_fn use .detach(), .item() or no_grad()?"
        )


def check_end(logits, xb, loss_fn):
    """Whether the softmax in which a model ends, if it does, goes over its outputs."""
    last = _origin(logits.grad_fn)
    if type(last).__name__ not in ("SoftmaxBackward0", "LogSoftmaxBackward0"):
        return
    shape = last._saved_result.shape
    dim = range(len(shape))[last._saved_dim - 2**64 * (last._saved_dim >= 2**63)]
    name = "softmax" if type(last).__name__ == "SoftmaxBackward0" else "log_softmax"
    if dim == 0:  # a loss of one's own may have it so: each row gets a weight
        if len(shape) > 1 and shape[0] == len(xb) and kind_of(loss_fn) is not None:
            raise ValueError(
                f"the model ends in a {name} along dimension 0, over the rows of the batch, so that each "
                "output depends on the other rows. Take it over the outputs of a row: dim=1."
            )
    elif shape[dim] == 1 and not _has_one_position(xb):
        always = 1 if name == "softmax" else 0
        raise ValueError(
            f"the model ends in a {name} over a single output, which is {always} whatever the weights are, "
            "so nothing can be learned. For yes or no leave it out and use nn.BCEWithLogitsLoss(); for "
            "classes give the model one output for each."
        )


def _has_one_position(xb):
    """Whether these may be sequences of length 1, [N, 1, C] or [N, 1] of whole numbers; others are longer."""
    return xb.shape[1:2] == (1,) and xb.ndim == 2 + xb.is_floating_point()


def check_value(model, loss_fn, xb, yb):
    """A first loss of NaN that takes the weights with it; a mean over no rows, say, leaves them."""
    try:
        # What a layer has counted so far may be NaN, and is used in evaluation only.
        loss = _loss_in_training(model, loss_fn, xb, yb)
        harmless = bool(loss.isfinite()) or slopes_are_finite(loss, model)
    except RuntimeError:  # such as checkpointing of the older kind, which has no autograd.grad
        return
    if not harmless and all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise ValueError(
            f"the first batch has a loss of {loss.item()}, and its gradient would turn weights into NaN. Is "
            "there a logarithm, a root or a division of 0, or a mean over no rows, in model or loss_fn?"
        )


def _loss_in_training(model, loss_fn, xb, yb):
    mode = model.training
    try:
        model.train()
        return loss_fn(model(xb), yb)
    finally:
        model.train(mode)


def is_too_long(loss, clipped):
    """Whether a gradient of finite numbers has a length that is none: its squares are too large."""
    try:
        slopes = torch.autograd.grad(loss, clipped, retain_graph=True, allow_unused=True)
        slopes = [slope for slope in slopes if slope is not None]
        finite = all(bool(slope.isfinite().all()) for slope in slopes)
        return finite and not bool(nn.utils.get_total_norm(slopes).isfinite())
    except Exception:  # as in check_value, and whatever a hook raises
        return False


def check_length(model, loss_fn, batch, device, clipped):
    """The same in training: BatchNorm, say, makes large numbers small there."""
    try:
        loss = _loss_in_training(model, loss_fn, *(x.to(device, copy=True) for x in batch))
    except Exception:  # such as BatchNorm with a single row
        return
    if is_too_long(loss, clipped):
        raise ValueError(
            "max_grad_norm can't shorten the gradient of the first batch: its numbers are so large that its "
            "length overflows, and it would become 0. Scale inputs and labels, for example to a mean of 0 "
            "and a standard deviation of 1."
        )


def warn_of_strangers(logits, model, loss_fn):
    """Weights that have a part in the outputs, but that no optimizer can be given by model.parameters()."""
    parts = [part for part in (model, loss_fn) if isinstance(part, nn.Module)]
    known = {id(parameter) for part in parts for parameter in part.parameters()}
    leaves = [node.variable for node in _nodes(logits) if hasattr(node, "variable")]
    held = [value for layer in model.modules() for value in vars(layer).values()]
    own = {id(x) for value in held for x in (value if isinstance(value, list | tuple) else [value])}
    # Tensors with a row for each of the batch are inputs, whose slopes somebody wants to know.
    strangers = [
        leaf
        for leaf in leaves
        if id(leaf) not in known
        and (isinstance(leaf, nn.Parameter) or (id(leaf) in own and len(leaf) != len(logits)))
    ]
    if strangers:
        shapes = ", ".join(str(list(parameter.shape)) for parameter in strangers[:4])
        warnings.warn(
            f"the model computes with weights that model.parameters() doesn't list: {len(strangers)} of shape "
            f"{shapes}, which are not trained. A tensor must be an nn.Parameter; layers in a list or dict "
            "belong into nn.ModuleList or nn.ModuleDict, and are made in __init__, not in forward.",
            stacklevel=2,
        )


def _nodes(tensor):
    """All nodes of the graph behind a tensor, each once."""
    nodes, seen = [tensor.grad_fn], {None}
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            yield node
            nodes += [before for before, _ in node.next_functions]


def _origin(node):
    """The node from which this one has its values, whatever their shape was, and limited or not."""
    while type(node).__name__ in _VIEWS + _CLAMPS:
        node = node.next_functions[0][0]
    return node


def slopes_are_finite(loss, model):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    slopes = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    return all(bool(slope.isfinite().all()) for slope in slopes if slope is not None)
