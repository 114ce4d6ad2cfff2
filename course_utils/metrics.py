"""A metric judges outputs: whether it can judge those that the loss compares, and its score."""

import math
import warnings

import torch
from torch import nn

from . import own_functions
from .failures import Unusable, in_short
from .losses import OF_CLASSES, OF_COUNTS, YES_OR_NO, kind_of
from .random_state import undisturbed
from .remembered import forgetting


def check_metric(metric, default_metric, loss_fn, logits, yb):
    """Whether `metric` can judge what `loss_fn` compares; `default_metric` is one that reads logits."""
    if metric is None:
        return
    if metric is default_metric and kind_of(loss_fn) is not None:  # neither of them remembers
        _check_metric(metric, default_metric, loss_fn, logits, yb)
        return
    with undisturbed(metric, loss_fn), forgetting(metric, loss_fn, weights=False):
        _check_metric(metric, default_metric, loss_fn, logits, yb)


def _check_metric(metric, default_metric, loss_fn, logits, yb):
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
        with warnings.catch_warnings():  # what holds of one batch may not hold of all
            if metric is not default_metric:
                warnings.simplefilter("ignore")
            _score(metric, logits, yb)
    except TypeError as error:
        raise TypeError(
            f"metric must take (logits, labels) and return one number ({error})."
        ) from error
    except (ValueError, IndexError, ArithmeticError):
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


def _are_probabilities(loss_fn, logits, yb):
    if not yb.is_floating_point() or yb.shape != logits.shape or logits.ndim < 2:
        return False
    if logits.shape[1] == 1:
        return False
    kind = kind_of(loss_fn)
    return kind in OF_CLASSES or (kind is None and bool((yb.sum(dim=1) - 1).abs().max() < 1e-4))


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
    # With `amp` logits have 16 bits; bfloat16 is nothing that NumPy knows.
    score = metric(logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits, y)
    if isinstance(score, torch.Tensor):
        score = score.detach()
    try:
        return float(score)
    except (TypeError, ValueError, RuntimeError) as error:
        tensor = isinstance(score, torch.Tensor)
        got = f"a tensor {list(score.shape)}" if tensor else " ".join(repr(score).split())[:60]
        raise TypeError(f"it returned {got}") from error
