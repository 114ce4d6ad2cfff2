"""What a batch must be: a pair of plain tensors, with finite numbers and labels that fit the loss."""

import warnings
from collections.abc import Iterator

import torch
from torch import nn

from . import own_functions
from .losses import (
    OF_CLASSES,
    OF_COUNTS,
    OF_LOGARITHMS,
    OF_SIGNS,
    OF_WHOLE_NUMBERS,
    YES_OR_NO,
    kind_of,
    option,
)


def check_batch(name, batch):
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
        if strange := not_plain(tensor):
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
            f"{list(xb.shape)} and yb {list(yb.shape)}. The examples are counted along the first dimension "
            "of both."
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


def not_plain(tensor):
    """A word for a tensor whose numbers don't simply lie in a row, or None."""
    if tensor.is_nested:
        return "nested"
    if tensor.is_meta:
        return "on the meta device, without numbers"
    if tensor.layout is not torch.strided:
        return "sparse" if "sparse" in str(tensor.layout) else f"of layout {tensor.layout}"
    return None


def not_real(tensor):
    """A word for a tensor whose numbers can't be told larger from smaller, or None."""
    return "complex" if tensor.is_complex() else "quantized" if tensor.is_quantized else None


def check_values(name, X, y, copes):
    """Whether all numbers are finite, or else `copes(X, y)` with the rows in which some are not."""
    for part, values in (("inputs", X), ("labels", y)):
        if values.is_floating_point() and not torch.isfinite(values).all():
            rows = ~torch.isfinite(values).reshape(len(values), -1).all(dim=1)
            if copes(X[rows.to(X.device)], y[rows.to(y.device)]):
                continue
            bad = (~torch.isfinite(values)).sum().item()
            consequence = {
                "train_loader": "Training on them would turn every weight into NaN",
                "val_loader": "A loss over them is NaN, and so no epoch could count as the best",
            }.get(name, "A loss over them is NaN")
            raise ValueError(
                f"{name} has {bad} NaN or infinite value{'s' * (bad > 1)} among its {part}. "
                f"{consequence}: fill or drop those rows."
            )


def check_labels(name, loss_fn, logits, y):
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
        _check_number_labels(name, kind, bool(option(loss_fn, "log_target")), logits, y)
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


_ROUNDING = 1e-3


def _check_number_labels(name, kind, in_logarithms, logits, y):
    if logits.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"{name} gives labels of shape [N{_rest(y)}], but the model's outputs have shape "
            f"[N{_rest(logits)}]. {own_functions.reshape_advice(logits, y)}"
        )
    if not y.is_floating_point() and kind not in OF_WHOLE_NUMBERS:
        raise TypeError(
            f"{name} gives labels of {y.dtype}, but {kind.__name__} compares them with the "
            "model's outputs as numbers. Convert them with y.float()."
        )
    wrong, needed = torch.zeros(()), ""
    if kind in YES_OR_NO:
        wrong, needed = (y < 0) | (y > 1), "labels between 0 and 1"
    elif kind in OF_COUNTS:
        wrong, needed = y < 0, "counts, from 0 on"
    elif kind is nn.KLDivLoss and in_logarithms:
        wrong, needed = y > _ROUNDING, "the logarithms of probabilities if log_target=True"
    elif kind is nn.KLDivLoss:
        wrong, needed = y < 0, "probabilities, or log_target=True for their logarithms"
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
    n_classes = logits.shape[1]
    if n_classes == 1:
        raise ValueError(
            f"the model has a single output, but {kind.__name__} needs one for each class. Give "
            "the model as many outputs as there are classes, or, for two classes, keep one and use "
            "nn.BCEWithLogitsLoss() with labels y.float()[:, None]."
        )
    if y.is_floating_point() and y.shape[1:] == logits.shape[1:]:  # probabilities of the classes
        if (y < -_ROUNDING).any():
            raise ValueError(
                f"{name} has labels from {y.min().item():g} to {y.max().item():g}, but {kind.__name__} needs "
                "class numbers or the probabilities of the classes. Of logits take y.softmax(dim=1)."
            )
        return
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
    outside = (y != ignore_index) & ((y < 0) | (y >= n_classes))
    if outside.any():
        raise ValueError(
            f"{name} has labels from {y.min().item()} to {y.max().item()}, but the model has "
            f"{n_classes} outputs, so they must lie between 0 and {n_classes - 1}. Number the "
            "classes from 0, or give the model more outputs."
        )


def warn_of_large_rows(name, loss_fn, labels):
    """A word of warning if what cross-entropy takes for probabilities of classes adds up to more than 1."""
    if kind_of(loss_fn) is not nn.CrossEntropyLoss:
        return
    sums = [y.sum(1, dtype=torch.float32).max().item() for y in labels if y.is_floating_point()]
    if max(sums, default=0) > 1.1:  # not by rounding
        warnings.warn(
            f"{name} has labels of which some row adds up to {max(sums):.4g}, and CrossEntropyLoss takes a "
            "row for the probabilities of the classes. For several classes at once use "
            "nn.BCEWithLogitsLoss(); else divide each row by its sum, y / y.sum(dim=1, keepdim=True).",
            stacklevel=2,
        )


def _rest(tensor):
    return "".join(f", {size}" for size in tensor.shape[1:])
