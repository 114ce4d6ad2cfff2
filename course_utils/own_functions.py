"""A loss or metric of one's own, asked about batches made up for the purpose: what does it compare?"""

import math
import warnings
from inspect import signature

import torch
import torch.nn.functional as F


def check_loss(loss_fn, logits, yb, learns):
    """What the type of a loss would tell: that it is a mean over rows, each compared with its own
    label, and, if a model `learns` from it, that its gradient shows how to make it smaller.

    Raises ValueError; warns of a loss that some rows have no part in, or that falls without end. What
    is right for some is let through: a loss that ignores the labels, or counts padding.
    """
    if logits.shape[:1] != yb.shape[:1]:
        return
    once, *again = (quietly(loss_fn, logits, yb) for _ in range(3))
    if again != [once, once]:  # random or not finite: there is nothing to compare with
        return
    _check_mean(loss_fn, logits, yb, once)
    check_pairs("loss_fn", loss_fn, logits, yb)
    if learns:
        _check_gradient(loss_fn, logits, yb)


_LABELS = {"y_true", "true", "truth", "target", "targets", "label", "labels"}


def check_order(name, function, logits, yb):
    """Whether `function` takes the outputs first; raises TypeError if its parameters say otherwise."""
    try:
        asked = function.forward if isinstance(function, torch.nn.Module) else function
        first, second = [*signature(asked).parameters][:2]
    except (TypeError, ValueError):  # built-in, or of one parameter
        return
    if first not in _LABELS or second in _LABELS:
        return
    if not _same(quietly(function, logits, yb), quietly(function, yb, logits)):
        raise TypeError(
            f"{name} is called with the outputs first, {name}(logits, y), and its parameters are "
            f"({first}, {second}). Turn them round: lambda logits, y: {name}(y, logits)."
        )


def _check_mean(loss_fn, logits, yb, once):
    twice, thrice = (quietly(loss_fn, torch.cat([logits] * n), torch.cat([yb] * n)) for n in (2, 3))
    if not (math.isfinite(twice) and math.isfinite(thrice)):
        return
    first, second = twice - once, thrice - twice
    line = abs(first) > 0.01 * abs(once) and math.isclose(first, second, rel_tol=0.01)
    power = once > 0 and twice > 1.3 * once and thrice > once  # as a norm grows, with a root
    if power:
        power = math.isclose(math.log(twice / once, 2), math.log(thrice / once, 3), rel_tol=0.01)
    if line or power:
        raise ValueError(
            f"loss_fn adds up its rows: for every row twice it is {twice:.4g} instead of {once:.4g}. "
            "The mean over an epoch needs the mean of each batch. Use .mean() instead of .sum() or "
            ".norm(), or divide by len(y)."
        )


def check_pairs(name, function, logits, yb):
    """Whether `function` compares each output with its own label, and not all with all."""
    if logits.numel() == yb.numel() and logits.shape != yb.shape:
        other_shape = logits.shape
    elif yb.ndim == logits.ndim - 1:
        other_shape = (*yb.shape, 1)
    elif yb.ndim > 1 and yb.shape[-1] == 1:
        other_shape = yb.shape[:-1]
    else:
        return
    if bool((yb == yb[0]).all()):  # rows that are sorted, say: every other label becomes another
        odd = torch.arange(len(yb), device=yb.device).view(-1, *[1] * (yb.ndim - 1)) % 2
        yb = torch.where(odd == 1, (yb == 0).to(yb), yb)
    if logits.numel() == yb.numel():  # outputs that are all right, until the order is another one
        all_right = yb.to(logits).reshape(logits.shape)
    elif logits.ndim == 2 and yb.numel() == len(logits):
        classes = yb.long().clamp(0, logits.shape[1] - 1).flatten()
        all_right = F.one_hot(classes, logits.shape[1]).to(logits)
    else:
        return

    for outputs in (all_right, logits):  # the logarithm of a probability has no value for 0

        def in_order_and_not(labels, outputs=outputs):
            return [quietly(function, outputs, part) for part in (labels, labels.roll(1, 0))]

        given, reshaped = in_order_and_not(yb), in_order_and_not(yb.reshape(other_shape))
        if not all(map(math.isfinite, given + reshaped)):
            continue
        again = in_order_and_not(yb), in_order_and_not(yb.reshape(other_shape))
        if again == (given, reshaped) and _same(*given) and not _same(*reshaped):
            raise ValueError(
                f"{name} compares every output with every label: the outputs have shape "
                f"{list(logits.shape)}, the labels {list(yb.shape)}, and in whatever order the labels "
                f"stand, the result stays the same. {reshape_advice(logits, yb)}"
            )
        return


def reshape_advice(logits, y):
    """What to do about labels whose shape is not that of the outputs."""
    if logits.ndim == y.ndim + 1 and logits.shape[-1] == 1:
        return "Give the labels a second dimension: y[:, None]."
    if y.ndim == logits.ndim + 1 and y.shape[-1] == 1:
        return "Take the labels' second dimension away: y.squeeze(1)."
    return "Both must have the same shape, or PyTorch would compare every output with every label."


def _check_gradient(loss_fn, logits, yb):
    """Whether the loss says in which direction to go, and for rows at every place of the batch."""
    generator = torch.Generator(logits.device).manual_seed(0)
    noise = torch.randn(logits.shape, generator=generator, device=logits.device).to(logits)
    outputs = logits * (1 + 0.01 * noise)  # no two rows alike
    values, slopes = zip(
        *(_slope(loss_fn, made_up, yb) for made_up in (outputs, 2 * noise, logits.roll(1, 0) / 2)),
        strict=True,
    )
    told = [
        not math.isfinite(v) or bool(slope.any()) for v, slope in zip(values, slopes, strict=True)
    ]
    if not any(told) and len(set(values)) > 1:
        raise ValueError(
            "loss_fn measures the model's outputs, but its gradient with respect to them is zero "
            "everywhere, so nothing can be learned. argmax, round, sign, comparisons, .item() and "
            ".detach() cut the gradient off: use a smooth loss, such as cross-entropy."
        )

    if not yb.is_floating_point() and bool((logits < 0).any()):  # classes, and no probabilities
        _, of_other_labels = _slope(loss_fn, outputs, yb.roll(1, 0))
        linear = all(torch.allclose(slopes[0], slope) for slope in slopes)
        logarithms = logits.ndim > 1 and bool((logits.exp().sum(dim=1) < 1.1).all())
        if linear and not logarithms and not torch.allclose(slopes[0], of_other_labels):
            warnings.warn(
                "loss_fn falls without end: it is linear in the model's outputs, so that larger ones are "
                "always better. nll_loss and kl_div take log_softmax of them, cross_entropy the outputs "
                "as they are.",
                stacklevel=2,
            )

    used = _rows(slopes[0])
    _, slope_of_rolled = _slope(loss_fn, outputs.roll(1, 0), yb.roll(1, 0))
    by_place = torch.equal(_rows(slope_of_rolled), used)
    if not by_place or torch.equal(used.roll(1), used) or (~used).sum() == 1:
        return  # pairs of rows leave one out of an odd number
    elsewhere = torch.where(used.view(-1, *[1] * (logits.ndim - 1)), outputs, 2 * noise)
    if _same(quietly(loss_fn, elsewhere, yb), values[0]):
        warnings.warn(
            f"loss_fn looks at {int(used.sum())} of the {len(used)} rows of a batch, chosen by their "
            "place and not by what they hold. Is there a return inside a loop, or a slice too many?",
            stacklevel=2,
        )


def _rows(slope):
    """For each row whether any of its entries is other than zero."""
    return slope.reshape(len(slope), -1).any(dim=1)


def _slope(loss_fn, outputs, yb):
    """The loss and its gradient with respect to the outputs; (NaN, zeros) if it can't."""
    outputs = outputs.detach().clone().requires_grad_()
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = loss_fn(outputs, yb.clone())
            (slope,) = torch.autograd.grad(loss, outputs, allow_unused=True, materialize_grads=True)
        return loss.item(), slope
    except Exception:  # as in quietly
        return math.nan, torch.zeros_like(outputs)


def quietly(function, logits, yb):
    """What a loss or metric of one's own returns, as a float; NaN if it can't."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return float(function(logits.clone(), yb.clone()))
    except Exception:  # one that is made for a certain number of rows, say
        return math.nan


def _same(a, b):
    return math.isclose(a, b, rel_tol=1e-5)
