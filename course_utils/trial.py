"""A batch goes through model and loss, to say in one sentence what would not work.

`train`, `evaluate` and the sweep do this with one batch before any weight changes, and, when
something fails in the middle of a pass, with the batch at which it did.
"""

import warnings
from contextlib import contextmanager
from functools import partial

import torch

from . import failures, graph_checks, loaders, own_functions
from .batches import check_batch, check_labels, check_values, warn_of_large_rows
from .failures import Unusable, in_short
from .losses import kind_of
from .modes import evaluating
from .random_state import undisturbed
from .remembered import forgetting


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
    return failures.of_step(name, error)


def try_loader(name, loader, model, loss_fn, device, learns, clipped=()):
    """Try the first batch, and look through all data in memory: (logits, labels) of the batch.

    `clipped` are the parameters whose gradient is to be shortened, if it is.
    """
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
                check_batch(name, tensors)
            if whole and all(map(loaders.lies_plainly, whole[0])):  # its rows in one piece
                batches = [tuple(part[: loader.batch_size or 64] for part in whole[0])]
            else:
                batches = [_first_batch(name, loader)]
        return _try_batches(name, batches, whole, model, loss_fn, device, learns, clipped)


def _try_batches(name, batches, whole, model, loss_fn, device, learns, clipped=()):
    """(logits, labels) of the first of `batches`; the values are those of `whole`, if there are any."""
    tried = {}  # by the kind of input: later batches of a list may be of another
    for batch in batches:
        check_batch(name, batch)
        if _kind_of_input(batch[0]) not in tried:
            # A copy, since some models and losses change theirs in place.
            xb, yb = (tensor.to(device, copy=True) for tensor in batch)
            logits = _try_forward(name, model, xb)
            if kind_of(loss_fn) is not None and logits.shape[:1] != yb.shape[:1]:
                raise ValueError(
                    f"{name} gives {len(xb)} rows, and the model's outputs {list(logits.shape)} are not "
                    "one for each. Is there a squeeze() or view(-1) in the model? Say which dimension: "
                    "squeeze(1), or flatten(1)."
                )
            tried[_kind_of_input(batch[0])] = logits, xb, yb, batch
    copes = partial(_copes, model, loss_fn, device, learns)
    for X, y in whole or batches:
        check_values(name, X, y, copes)
        check_labels(name, loss_fn, tried[_kind_of_input(X)][0], y.to(device))
    if learns:
        warn_of_large_rows(name, loss_fn, (y for _, y in whole or batches))
    for logits, xb, yb, batch in tried.values():
        loss = _try_loss(name, model, loss_fn, logits, yb, learns)
        if learns:
            graph_checks.check_end(logits, xb, loss_fn)
        if learns and not bool(loss.isfinite()):
            graph_checks.check_value(model, loss_fn, xb, yb)
        elif clipped and graph_checks.is_too_long(loss, clipped):
            graph_checks.check_length(model, loss_fn, batch, device, clipped)
        if learns and not xb.requires_grad:  # a graph of its own may stand behind it
            graph_checks.warn_of_strangers(logits, model, loss_fn)
        if batches is whole:  # the pass goes through the very tensors of a list
            _check_in_place(name, "the model changes its inputs", model, [xb], batch[0])
            _check_in_place(name, "loss_fn changes its labels", loss_fn, [logits, yb], batch[1])
    logits, _, yb, _ = tried[_kind_of_input(batches[0][0])]
    return logits.detach(), yb


def _copes(model, loss_fn, device, learns, X, y):
    """Whether model and loss make something of rows with NaN: they fill gaps, or leave them out."""
    try:
        loss = loss_fn(model(X[:64].to(device, copy=True)), y[:64].to(device, copy=True))
        return bool(loss.isfinite()) and (not learns or graph_checks.slopes_are_finite(loss, model))
    except Exception:  # as in _try_forward
        return False


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
            f"{name} can't give its first batch ({in_short(error)}). To see the line, run it alone: "
            f"next(iter({name}))."
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


def _try_forward(name, model, xb):
    try:
        logits = model(xb)
    except torch.OutOfMemoryError:
        raise  # as in `watching`
    except Exception as error:  # whatever the model raises, the learner needs the same sentence
        raise failures.of_forward(name, model, xb, error) from error
    if not isinstance(logits, torch.Tensor):
        got = "None: has its forward a return?" if logits is None else f"a {type(logits).__name__}."
        raise TypeError(f"model must return one tensor, the logits; it returned {got}")
    return logits


def _try_loss(name, model, loss_fn, logits, yb, learns):
    try:
        with warnings.catch_warnings():  # PyTorch only warns when shapes broadcast
            warnings.filterwarnings("error", message="Using a target size")
            loss = loss_fn(logits, yb)
    except torch.OutOfMemoryError:
        raise  # as in `watching`
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
        graph_checks.check_graph(loss, model, loss_fn)
    if kind_of(loss_fn) is None:
        own_functions.check_order("loss_fn", loss_fn, logits.detach(), yb)
        own_functions.check_loss(loss_fn, logits.detach(), yb, learns)
    return loss
