"""A batch goes through model, loss and metric, to say in one sentence what would not work.

`train`, `evaluate` and the sweep do this with one batch before any weight changes, and, when
something fails in the middle of a pass, with the batch at which it did.
"""

import math
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from . import loaders, own_functions
from .losses import (
    OF_CLASSES,
    OF_COUNTS,
    OF_LOGARITHMS,
    OF_SIGNS,
    YES_OR_NO,
    kind_of,
    option,
)
from .models import evaluating, forgetting
from .random_state import undisturbed


class Unusable(ValueError):
    """Something that failed in the middle of a pass, in words that help."""


@contextmanager
def watching(name, loader, model, loss_fn, device):
    """In a `with` block: the batches of `loader`. If using one fails, `Unusable` says why."""
    batches = loaders.Watched(name, loader)
    try:
        yield batches
    except torch.OutOfMemoryError:
        raise  # programs catch it by this name, to try again with smaller batches
    except Exception as error:
        raise Unusable(_what_failed(batches, model, loss_fn, device, error)) from error


def _what_failed(batches, model, loss_fn, device, error):
    if batches.latest is None:
        return f"{batches.name} can't give batch {batches.given + 1} ({in_short(error)})."
    name = f"batch {batches.given} of {batches.name}"
    learns = batches.name == "train_loader"
    try:
        with undisturbed(model, loss_fn), torch.set_grad_enabled(learns), evaluating(model):
            model.train(learns)  # some models return something else in training
            _try_batches(name, [batches.latest], [], model, loss_fn, device, learns)
    except (TypeError, ValueError) as found:
        return str(found)
    return _what_stopped(name, error)


_ADVICE = {  # a word of PyTorch's message -> what to do
    "inplace operation": "The model or loss_fn changes a tensor in place that backward still needs: "
    "write x = x + 1 instead of x += 1 or x.add_(1), and leave inplace=True out.",
    "second time": "Something of the batch before is used again, such as a hidden state of the model, or "
    "data that were computed with gradients: cut it off by .detach().",
    "does not require grad": "Are gradients switched off, as a callback does by "
    "torch.set_grad_enabled(False)? Write with torch.no_grad(): around what needs none.",
    "leaf Variable": "Write @torch.no_grad() above its step.",
}


def _what_stopped(name, error):
    """Words for what neither the batch nor the forward pass explains, by the place where it failed."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    calls = {(frame.f_code.co_name, frame.f_code.co_filename) for frame in frames}
    if any("_functorch" in file for _, file in calls):
        return (
            f"{name} can't go through many copies of the model at once ({in_short(error)}). model and "
            "loss_fn must be made of tensor operations alone: no .item(), no .numpy(), no if on values, "
            "no changes in place. Or train the models one by one, with train."
        )
    advice = (text for word, text in _ADVICE.items() if word in str(error))
    if ("backward", torch.autograd.__file__) in calls:
        own = "Look at the hooks and at the autograd functions of your own in model and loss_fn."
        return f"loss.backward() fails on {name} ({in_short(error)}). {next(advice, own)}"
    if any(function == "clip_grad_norm_" for function, _ in calls):
        return f"max_grad_norm can't shorten the gradients of {name} ({in_short(error)})."
    callers = [frame.f_locals.get("self") for frame in frames]
    if any(isinstance(caller, LRScheduler) for caller in callers):
        return f"scheduler can't make its step after {name} ({in_short(error)})."
    if any(isinstance(caller, torch.optim.Optimizer) for caller in callers):
        other = next(advice, "Choose another one.")
        return f"optimizer can't make a step after {name} ({in_short(error)}). {other}"
    return f"{name} can't be used ({in_short(error)})."


def try_loader(name, loader, model, loss_fn, device, learns):
    """Try the first batch, and look through all data in memory: (logits, labels) of the batch."""
    again_and_again = name == "loader"  # by `evaluate`, where a copy of all weights would cost time
    with (
        undisturbed(loader, model, loss_fn),
        forgetting(model, loss_fn, *loaders.counting_parts(loader), weights=not again_and_again),
        torch.set_grad_enabled(learns),
        evaluating(model),
    ):
        whole = batches = loaders.all_batches(loader)
        if not isinstance(loader, list | tuple):
            for tensors in whole:
                _check_batch(name, tensors)
            if whole and all(map(loaders.lies_plainly, whole[0])):  # its rows in one piece
                batches = [tuple(part[: loader.batch_size or 64] for part in whole[0])]
            else:
                batches = [_first_batch(name, loader)]
        return _try_batches(name, batches, whole, model, loss_fn, device, learns)


def _try_batches(name, batches, whole, model, loss_fn, device, learns):
    """(logits, labels) of the first of `batches`; the values are those of `whole`, if there are any."""
    tried = {}  # by the kind of input: later batches of a list may be of another
    for batch in batches:
        _check_batch(name, batch)
        if _kind_of_input(batch[0]) not in tried:
            xb, yb = (
                tensor.to(device, copy=True) for tensor in batch
            )  # some change theirs in place
            logits = _try_forward(name, model, xb)
            if kind_of(loss_fn) is not None and logits.shape[:1] != yb.shape[:1]:
                raise ValueError(
                    f"{name} gives {len(xb)} rows, and the model's outputs {list(logits.shape)} are not "
                    "one for each. Is there a squeeze() or view(-1) in the model? Say which dimension: "
                    "squeeze(1), or flatten(1)."
                )
            tried[_kind_of_input(batch[0])] = logits, xb, yb, batch
    for X, y in whole or batches:
        _check_values(name, X, y)
        _check_labels(name, loss_fn, tried[_kind_of_input(X)][0], y.to(device), X)
    for logits, xb, yb, batch in tried.values():
        _try_loss(name, model, loss_fn, logits, yb, learns)
        if batches is whole:  # the pass goes through the very tensors of a list
            _check_in_place(name, "the model changes its inputs", model, [xb], batch[0])
            _check_in_place(name, "loss_fn changes its labels", loss_fn, [logits, yb], batch[1])
    logits, _, yb, _ = tried[_kind_of_input(batches[0][0])]
    return logits.detach(), yb


def _check_in_place(name, what, function, arguments, given):
    """Whether `given`, of which the last argument was a copy, would drift from epoch to epoch."""
    changed = arguments[-1]
    if given.device != changed.device or torch.equal(given, changed):
        return
    once = changed.detach().clone()
    try:
        function(*arguments)
        drift, scale = (changed.detach() - once).float().abs().max(), once.float().abs().max()
        if not drift > 1e-4 * scale:
            return  # such as clamp_, which can be done again
    except Exception:  # it can't be done again, at least
        pass
    raise ValueError(
        f"{what} in place, and {name} gives the same tensors again in every epoch, changed "
        "further and further. Write x = 2 * x instead of x *= 2 or x.mul_(2)."
    )


def _kind_of_input(xb):
    return xb.dtype, xb.shape[1:]


def _first_batch(name, loader):
    try:
        only_once = loaders.only_once(loader)
        first = [] if only_once else loaders.first_batch(loader)
    except Exception as error:  # as in _try_forward
        raise ValueError(
            f"{name} can't give its first batch ({in_short(error)}). To see the line, run it alone: next(iter({name}))."
        ) from error
    if only_once:
        raise TypeError(
            f"{name} is a {type(loader).__name__} that can be gone through only once, and looking at "
            f"its first batch would use it up. If it has an end, pass list({name}). Or wrap your "
            "data: tensor_loader(X, y, batch_size=64)."
        )
    if not first:
        raise ValueError(f"{name} is empty: it gave no batch.")
    return first[0]


def _check_batch(name, batch):
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        some = isinstance(batch, tuple | list)
        got = f"{len(batch)} part{'s' * (len(batch) > 1)}" if some else f"a {type(batch).__name__}"
        advice = "Build it from both: tensor_loader(X, y, batch_size=64)."
        if isinstance(batch, Iterator):
            advice = "Let its collate_fn return tuple(…) of that."
        raise TypeError(f"{name} must give pairs of tensors (xb, yb), and gives {got}. {advice}")
    for part, tensor in zip(("xb", "yb"), batch, strict=True):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(
                f"{name} must give tensors; {part} is a {type(tensor).__name__}. "
                f"{_tensor_advice(tensor)}"
            )
    xb, yb = batch
    for part, tensor in (("inputs", xb), ("labels", yb)):
        if strange := loaders.not_plain(tensor):
            plain = "tensor.to_dense(), or torch.nested.to_padded_tensor(tensor, 0.0)"
            advice = f"use {plain}" if not tensor.is_meta else 'make them without device="meta"'
            raise TypeError(
                f"{name} gives {part} that are {strange}. Plain tensors are needed: {advice}."
            )
    if xb.ndim == 0 or yb.ndim == 0:
        raise ValueError(
            f"{name} gives single rows, xb {list(xb.shape)} and yb {list(yb.shape)}, and must give batches "
            "of them. Pass a batch_size to the loader: tensor_loader(X, y, batch_size=64)."
        )
    if len(xb) != len(yb) or len(xb) == 0:
        raise ValueError(
            f"{name} must give one label for each example, and at least one; it gives xb "
            f"{list(xb.shape)} and yb {list(yb.shape)}."
        )


def _tensor_advice(thing):
    """What to do with a part of a batch that is no tensor."""
    if isinstance(thing, tuple | list) and thing and isinstance(thing[0], str):
        return "Give each word a number of its own, such as classes.index(word)."
    try:
        torch.as_tensor(thing)
    except Exception:  # several things, or none that is made of numbers
        return (
            "Make one tensor of it in the data set or its collate_fn, as by torch.stack, torch.cat or "
            "pad_sequence, and take it apart in the model or the loss."
        )
    return "Convert it with torch.as_tensor."


def not_real(tensor):
    """A word for a tensor whose numbers can't be told larger from smaller, or None."""
    return "complex" if tensor.is_complex() else "quantized" if tensor.is_quantized else None


def _check_values(name, X, y):
    for part, values in (("inputs", X), ("labels", y)):
        if values.is_floating_point() and not torch.isfinite(values).all():
            bad = (~torch.isfinite(values)).sum().item()
            consequence = {
                "train_loader": "Training on them would turn every weight into NaN",
                "val_loader": "A loss over them is NaN, and so no epoch could count as the best",
            }.get(name, "A loss over them is NaN")
            raise ValueError(
                f"{name} has {bad} NaN or infinite value{'s' * (bad > 1)} among its {part}. "
                f"{consequence}: fill or drop those rows."
            )


def _try_forward(name, model, xb):
    try:
        logits = model(xb)
    except Exception as error:  # whatever the model raises, the learner needs the same sentence
        raise _forward_error(name, model, xb, error) from error
    if not isinstance(logits, torch.Tensor):
        got = "None: has its forward a return?" if logits is None else f"a {type(logits).__name__}."
        raise TypeError(f"model must return one tensor, the logits; it returned {got}")
    return logits


def _forward_error(name, model, xb, error):
    weight = next(model.parameters(), None)
    if weight is not None and xb.dtype != weight.dtype and "dtype" in str(error):
        convert = f"X.to({weight.dtype})" if weight.dtype != torch.float32 else "X.float()"
        if xb.is_complex():
            convert = "torch.view_as_real(X).flatten(1), which keeps both parts"
        return TypeError(
            f"{name} gives inputs of {xb.dtype}, but the model's weights are {weight.dtype}. "
            f"Convert the inputs with {convert}."
        )
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer, x = frame.f_locals.get("self"), frame.f_locals.get("input")
        if not isinstance(x, torch.Tensor):
            continue
        if isinstance(layer, nn.Linear) and x.shape[-1] != layer.in_features:
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer "
                f"nn.Linear({layer.in_features}, {layer.out_features}) of the model gets "
                f"{list(x.shape)}: {x.shape[-1]} features instead of {layer.in_features}. "
                f"{_width_advice(x, layer, x is xb)}"
            )
        if isinstance(layer, nn.modules.conv._ConvNd) and (advice := _channel_advice(x, layer)):
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer nn.{type(layer).__name__}("
                f"{layer.in_channels}, {layer.out_channels}, …) of the model gets {list(x.shape)}, and "
                f"needs {layer.in_channels} channel{'s' * (layer.in_channels > 1)} in the second place. "
                f"{advice}"
            )
        if isinstance(layer, nn.Embedding) and x.is_floating_point():
            return TypeError(
                f"{name} gives inputs of {xb.dtype}, and the layer nn.Embedding({layer.num_embeddings}, "
                f"{layer.embedding_dim}) of the model gets {x.dtype}, and needs whole numbers. Convert "
                f"them with {'X' if x is xb else 'x'}.long()."
            )
        if isinstance(layer, nn.Embedding) and isinstance(error, IndexError):
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer "
                f"nn.Embedding({layer.num_embeddings}, {layer.embedding_dim}) of the model, which knows "
                f"the numbers from 0 to {layer.num_embeddings - 1}, gets some from {x.min()} to "
                f"{x.max()}. Number the entries from 0, or give the layer more of them."
            )
    return ValueError(
        f"{name} gives inputs of shape {list(xb.shape)} and {xb.dtype}, and the model fails on "
        f"them ({in_short(error)}). To see the line, run it alone: model(xb)."
    )


def _width_advice(x, layer, is_data):
    if x.ndim > 2 and math.prod(x.shape[1:]) == layer.in_features:
        return "Put nn.Flatten() in front of it."
    if is_data and x.ndim == 1 and layer.in_features == 1:
        return "Give the inputs a second dimension: X[:, None]."
    if is_data:
        return "Change the data or the model's input width."
    return f"Make it nn.Linear({x.shape[-1]}, {layer.out_features})."


def _channel_advice(x, layer):
    """What to do about inputs of a convolution that has its channels elsewhere; None if it has not."""
    along = len(layer.kernel_size)
    if x.ndim == along + 1:
        return "Give the inputs a dimension for it: X[:, None]." if layer.in_channels == 1 else None
    if x.ndim != along + 2 or x.shape[1] == layer.in_channels:
        return None
    if x.shape[-1] == layer.in_channels:
        return "Bring them there: X.movedim(-1, 1)."
    return "Change the data or the layer."


def _check_labels(name, loss_fn, logits, y, X):
    if len(y) != len(X):
        raise ValueError(f"{name} has {len(X)} inputs but {len(y)} labels.")
    kind = kind_of(loss_fn)
    if kind in OF_CLASSES:
        weight = option(loss_fn, "weight")
        if isinstance(weight, torch.Tensor) and weight.dtype != logits.dtype:
            raise TypeError(
                f"loss_fn has class weights of {weight.dtype}, but the model's outputs are "
                f"{logits.dtype}. Convert the weights with weight.to({logits.dtype})."
            )
        _check_class_labels(name, kind, option(loss_fn, "ignore_index", -100), logits, y)
    elif kind is not None:
        _check_number_labels(name, kind, logits, y)
        _check_weights_fit(loss_fn, logits)
    # The classes of KLDivLoss may lie along any dimension: [N, words, classes].
    along = range(1, logits.ndim if kind is nn.KLDivLoss else 2)
    if (
        kind in OF_LOGARITHMS
        and logits.ndim > 1
        and all((logits.exp().sum(dim) > 1.1).any() for dim in along)
    ):
        raise ValueError(
            f"{kind.__name__} takes the logarithms of probabilities, and the model's outputs are none: in "
            "a row their exp must add up to 1. Use nn.CrossEntropyLoss() on logits, or let the model end "
            "in nn.LogSoftmax(dim=1)."
        )


def _check_number_labels(name, kind, logits, y):
    if logits.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"{name} gives labels of shape [N{_rest(y)}], but the model's outputs have shape "
            f"[N{_rest(logits)}]. {own_functions.reshape_advice(logits, y)}"
        )
    if not y.is_floating_point() and kind not in (*OF_COUNTS, *OF_SIGNS):
        raise TypeError(
            f"{name} gives labels of {y.dtype}, but {kind.__name__} compares them with the "
            "model's outputs as numbers. Convert them with y.float()."
        )
    wrong, needed = torch.zeros(()), ""
    if kind in YES_OR_NO:
        wrong, needed = (y < 0) | (y > 1), "labels between 0 and 1"
    elif kind in OF_COUNTS:
        wrong, needed = y < 0, "counts, from 0 on"
    elif kind in OF_SIGNS and bool(((y == 0) | (y == 1)).all()):
        wrong, needed = y == 0, "the labels -1 and 1, as 2 * y - 1 gives them"
    if wrong.any():
        raise ValueError(
            f"{name} has labels from {y.min().item():g} to {y.max().item():g}, but "
            f"{kind.__name__} needs {needed}."
        )


def _check_weights_fit(loss_fn, logits):
    for name in ("weight", "pos_weight"):
        weight = option(loss_fn, name)
        if isinstance(weight, torch.Tensor) and not _broadcasts(weight, logits):
            raise ValueError(
                f"loss_fn has a {name} of shape {list(weight.shape)}, but the model's outputs have shape "
                f"[N{_rest(logits)}]. It must fit the end of that shape: one number for each output of "
                "a row, or, with shape [C, 1, 1], for each channel of a picture."
            )


def _broadcasts(small, large):
    try:
        return torch.broadcast_shapes(small.shape, large.shape) == large.shape
    except RuntimeError:
        return False


def _check_class_labels(name, kind, ignore_index, logits, y):
    if logits.ndim < 2:
        raise ValueError(
            f"the model's outputs have shape {list(logits.shape)}, but {kind.__name__} needs one "
            "logit for each class, [N, C]. For a single logit use nn.BCEWithLogitsLoss()."
        )
    if y.is_floating_point() and y.shape[1:] == logits.shape[1:]:
        return  # probabilities of the classes
    if y.ndim == logits.ndim:
        advice = "y.squeeze(1)" if y.shape[1] == 1 else "y.argmax(dim=1)"
        raise ValueError(
            f"{name} gives labels of shape [N{_rest(y)}], but {kind.__name__} needs class "
            f"numbers of shape [N{_rest(logits[:, 0])}]. Make them so with {advice}"
            f"{'.long()' * y.is_floating_point()}."
        )
    if logits.shape[2:] != y.shape[1:] == logits.shape[1:-1]:
        raise ValueError(
            f"the model's outputs have shape [N{_rest(logits)}] for labels [N{_rest(y)}], but "
            f"{kind.__name__} needs the classes in the second place, [N, C{_rest(y)}]. Return "
            "logits.movedim(-1, 1)."
        )
    if y.dtype != torch.int64:
        raise TypeError(
            f"{name} gives labels of {y.dtype}, but {kind.__name__} needs class numbers of "
            "torch.int64. Convert them with y.long()."
        )
    n_classes = logits.shape[1]
    if n_classes == 1:
        raise ValueError(
            f"the model has a single output, but {kind.__name__} needs one for each class. Give "
            "the model as many outputs as there are classes, or, for two classes, keep one and use "
            "nn.BCEWithLogitsLoss() with labels y.float()[:, None]."
        )
    outside = (y != ignore_index) & ((y < 0) | (y >= n_classes))
    if outside.any():
        raise ValueError(
            f"{name} has labels from {y.min().item()} to {y.max().item()}, but the model has "
            f"{n_classes} outputs, so they must lie between 0 and {n_classes - 1}. Number the "
            "classes from 0, or give the model more outputs."
        )


def _try_loss(name, model, loss_fn, logits, yb, learns):
    try:
        with warnings.catch_warnings():  # PyTorch only warns when shapes broadcast
            warnings.filterwarnings("error", message="Using a target size")
            loss = loss_fn(logits, yb)
    except Exception as error:  # as in _try_forward
        advice = "To see the line, run it alone: loss_fn(model(xb), yb)."
        if "numpy()" in str(error):
            advice = "A loss is made of torch functions, which pass gradients on; NumPy's don't."
        raise ValueError(
            f"{name}: loss_fn can't compare the model's outputs {list(logits.shape)} of "
            f"{logits.dtype} with labels {list(yb.shape)} of {yb.dtype} "
            f"({in_short(error)}). {advice}"
        ) from error
    if not isinstance(loss, torch.Tensor) or loss.ndim != 0:
        got = list(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise ValueError(
            f"loss_fn must return a tensor with one number; it returned {got}. Take the mean() of "
            "several numbers, and leave out .item()."
        )
    if loss.is_complex():
        raise ValueError(
            "loss_fn returns a complex number, and only a real one can be made smaller. Take its "
            "square, loss.abs() ** 2, or compare the parts with .real and .imag."
        )
    if learns:
        _check_graph(loss, model, loss_fn)
    if kind_of(loss_fn) is None:
        own_functions.check_order("loss_fn", loss_fn, logits.detach(), yb)
        own_functions.check_loss(loss_fn, logits.detach(), yb, learns)


_TWICE = {  # what a loss applies to its outputs -> its name, and how a model did so before
    "LogSoftmaxBackward0": ("softmax", "SoftmaxBackward0"),
    "BinaryCrossEntropyWithLogitsBackward0": ("the sigmoid", "SigmoidBackward0"),
}
_VIEWS = ("ViewBackward0", "ReshapeAliasBackward0", "SqueezeBackward1", "UnsqueezeBackward0")


def _check_graph(loss, model, loss_fn):
    """Whether the graph of the loss leads to a parameter, as far as it can be seen; a word of warning
    if softmax or the sigmoid stands twice in it, one right after the other."""
    parts = [part for part in (model, loss_fn) if isinstance(part, nn.Module)]
    parameters = {id(parameter) for part in parts for parameter in part.parameters()}
    nodes, seen, leads_back = [loss.grad_fn], {None}, False
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        hidden = isinstance(node, torch.autograd.function.BackwardCFunction)  # as checkpoint has it
        leads_back |= hidden or id(getattr(node, "variable", None)) in parameters
        nodes += [before for before, _ in node.next_functions]
        name, last = _TWICE.get(type(node).__name__, ("", None))
        if last and type(_before(node)).__name__ == last:
            warnings.warn(
                f"{name} is applied twice, as by a model that ends in it and a loss that applies it once "
                f"more: it learns slowly, and its loss stays high. Let the model return logits, without "
                f"{name}.",
                stacklevel=2,
            )
    if not leads_back:
        raise ValueError(
            "the loss doesn't depend on any trainable parameter, so nothing can be learned: are "
            "all parameters frozen, or does the model or loss_fn use .detach(), .item() or no_grad()?"
        )


def _before(node):
    """The node from which this one has its values, whatever their shape was."""
    node = node.next_functions[0][0]
    while type(node).__name__ in _VIEWS:
        node = node.next_functions[0][0]
    return node


def check_metric(metric, default_metric, loss_fn, logits, yb):
    """Whether `metric` can judge what `loss_fn` compares; `default_metric` is one that reads logits."""
    if metric is None:
        return
    if (
        metric is default_metric
        and logits.shape == yb.shape
        and bool(((yb == 0) | (yb == 1)).all())
    ):
        _check_yes_or_no(loss_fn, logits, yb)
    if metric is default_metric and _are_probabilities(loss_fn, logits, yb):
        raise ValueError(
            f"the labels {list(yb.shape)} are probabilities of classes, such as one-hot rows, and "
            "metric=accuracy would read each entry as an answer of its own, yes or no. Pass class "
            "numbers as labels, y.argmax(dim=1), or your own metric, or metric=None."
        )
    if metric is not default_metric:
        own_functions.check_order("metric", metric, logits, yb)
    try:
        _score(metric, logits, yb)
    except TypeError as error:
        raise TypeError(
            f"metric must take (logits, labels) and return one number ({error})."
        ) from error
    except ValueError:
        if metric is default_metric:
            raise
        return  # another metric may be unable to judge a single batch
    except Exception as error:
        raise ValueError(f"metric can't judge the first batch ({in_short(error)}).") from error
    if metric is not default_metric:
        own_functions.check_pairs("metric", metric, logits, yb)


def _check_yes_or_no(loss_fn, logits, yb):
    """Whether outputs above 0 mean yes, as accuracy reads them: `loss_fn` must compare logits."""
    kind = kind_of(loss_fn)
    # A loss of one's own that takes the logarithm of a probability has no value for -1.
    values = (
        own_functions.quietly(loss_fn, outputs, yb)
        for outputs in (logits, -torch.ones_like(logits))
    )
    own = kind is None and [*map(math.isfinite, values)] == [True, False]
    if own or kind is nn.BCELoss:
        raise ValueError(
            f"metric=accuracy reads logits, but {'loss_fn' if own else 'BCELoss'} works on "
            "probabilities. Leave the Sigmoid out of the model and use nn.BCEWithLogitsLoss(), or "
            "pass your own metric."
        )
    if kind is not None and kind not in (*YES_OR_NO, *OF_CLASSES, *OF_COUNTS):
        raise ValueError(
            f"metric=accuracy reads logits, where above 0 means yes, but {kind.__name__} brings the "
            "outputs close to 0 and 1. Use nn.BCEWithLogitsLoss(), or pass your own metric, such as "
            "lambda outputs, y: ((outputs > 0.5) == (y == 1)).float().mean()."
        )


def warn_if_probabilities(logits, yb, correct):
    """Warn if what was read as logits, yes above 0, are probabilities to all appearance."""
    lowest, highest = logits.aminmax()
    if not (0 <= lowest < 0.1 and 0.9 < highest <= 1) or bool(correct.all()):
        return
    shares = [((logits > 0.5) == (yb == 1))[yb == label].double() for label in (0, 1)]
    spread = 2 / math.sqrt(min(map(len, shares)) or 1)  # twice that of answers by chance
    if sum(share.mean().item() for share in shares) / 2 > 0.5 + spread:
        warnings.warn(
            "accuracy reads logits, where above 0 means yes, but all of these lie between 0 and 1. If "
            "they are probabilities, pass the logits instead, from before the sigmoid.",
            stacklevel=3,
        )


def score(metric, logits, labels):
    """`metric` of all batches of outputs and labels together, a float; `Unusable` if it has none."""
    try:
        return _score(metric, torch.cat(logits), torch.cat(labels))
    except Exception as error:
        rows = sum(map(len, labels))
        raise Unusable(f"metric can't judge all {rows} rows ({in_short(error)}).") from error


def _score(metric, logits, y):
    score = metric(logits, y)
    if isinstance(score, torch.Tensor):
        score = score.detach()
    try:
        return float(score)
    except (TypeError, ValueError, RuntimeError) as error:
        tensor = isinstance(score, torch.Tensor)
        got = f"a tensor {list(score.shape)}" if tensor else " ".join(repr(score).split())[:60]
        raise TypeError(f"it returned {got}") from error


def _are_probabilities(loss_fn, logits, yb):
    if not yb.is_floating_point() or yb.shape != logits.shape or logits.ndim < 2:
        return False
    if logits.shape[1] == 1:
        return False
    kind = kind_of(loss_fn)
    return kind in OF_CLASSES or (kind is None and bool((yb.sum(dim=1) - 1).abs().max() < 1e-4))


def in_short(error):
    """The type of an error and the start of what it says; that of a worker's says it last."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    told_by_worker = any(line.startswith("Original Traceback") for line in lines)
    said = lines[-1] if told_by_worker else f"{type(error).__name__}: {lines[0]}"
    return textwrap.shorten(said, 200, placeholder=" …")


def _rest(tensor):
    return "".join(f", {size}" for size in tensor.shape[1:])
