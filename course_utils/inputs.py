"""What `train` is given, looked at before any work: each mistake gets one sentence that helps."""

import math
import traceback
import warnings
from collections.abc import Iterator
from inspect import signature
from numbers import Integral, Real
from operator import length_hint
from pathlib import Path

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset

from . import loaders
from .losses import OF_CLASSES, YES_OR_NO, kind_of, option
from .models import evaluating
from .random_state import undisturbed

_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def check_device(device):
    """`device` as a `torch.device` that is present on this machine.

    Raises ValueError for a name PyTorch doesn't know and for a device that isn't there.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device={str(device)!r} can't be used on this machine. Pass None to take the best device "
            'present, or "cpu".'
        ) from error
    return found


def examine(
    model, train_loader, val_loader, loss_fn, optimizer, epochs, device,
    scheduler, scheduler_step, patience, max_grad_norm, amp, checkpoint, metric, callbacks,
    *, default_metric, processes, resumes,
):  # fmt: skip
    """All arguments of `train`, before any weight changes; the model is moved to the device.

    Of the world around them it is told three facts: which metric reads logits, how many
    `processes` train together, and whether a checkpoint is there that the run `resumes`.

    One batch of each loader is tried, and all data in memory looked through. Random numbers are
    put back. Raises TypeError for a thing of the wrong kind, ValueError for a value that can't work.
    """
    _check_kind("model", model, nn.Module, "a model, as in mlp(2, 64, 2)")
    _check_loader("train_loader", train_loader)
    _check_batch_norm(model, train_loader, processes)
    if val_loader is not None:
        _check_loader("val_loader", val_loader)
    _check_loss_fn(loss_fn)
    _check_optimizer(optimizer, model, loss_fn, processes)
    _check_whole_number("epochs", epochs)
    if scheduler_step not in ("epoch", "batch"):
        raise ValueError(f'scheduler_step must be "epoch" or "batch"; got {scheduler_step!r}.')
    if scheduler is not None:
        _check_scheduler(scheduler, scheduler_step, optimizer, val_loader)
        _check_length(scheduler, scheduler_step, train_loader, epochs, processes, resumes)
    _check_options(patience, val_loader, max_grad_norm, amp, device)
    if checkpoint is not None:
        _check_checkpoint(checkpoint)
    _check_surroundings(device)
    _check_callbacks(callbacks, model)
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(
            "model lies on the meta device: its parameters have shapes, but no numbers. Build it "
            'without torch.device("meta"), or give it numbers by model.to_empty(device=…) and a '
            "new initialisation."
        )
    model.to(device)
    if isinstance(loss_fn, nn.Module):
        loss_fn.to(device)
    _try_data("train_loader", train_loader, model, loss_fn, device, learns=True)
    if val_loader is not None:
        logits, yb = _try_data("val_loader", val_loader, model, loss_fn, device, learns=True)
        _check_metric(metric, default_metric, loss_fn, logits, yb)


def examine_evaluation(model, loader, loss_fn, device, metric, default_metric):
    """The same for the arguments of `evaluate`, which moves no model: returns the device."""
    _check_kind("model", model, nn.Module, "a model, as in mlp(2, 64, 2)")
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), "cpu")
    device = check_device(device)
    _check_loader("loader", loader)
    _check_loss_fn(loss_fn)
    logits, yb = _try_data("loader", loader, model, loss_fn, device, learns=False)
    _check_metric(metric, default_metric, loss_fn, logits, yb)
    return device


def check_data(name, loader, model, loss_fn, device):
    """Whether `model` can learn from `loader` by `loss_fn`; raises as `examine` does."""
    _check_loader(name, loader)
    _check_loss_fn(loss_fn)
    _try_data(name, loader, model, loss_fn, device, learns=True)


def _try_data(name, loader, model, loss_fn, device, learns):
    """Try the first batch, and look through all data in memory: (logits, labels) of the batch."""
    with undisturbed(loader, model, loss_fn), torch.set_grad_enabled(learns), evaluating(model):
        batch = _first_batch(name, loader)
        whole = loaders.all_batches(loader)
        tried = {}  # by the kind of input: later batches of a list may be of another
        for each in whole if isinstance(loader, list | tuple) else [batch]:
            _check_batch(name, each)
            if _kind_of_input(each[0]) not in tried:
                xb, yb = (tensor.to(device) for tensor in each)
                tried[_kind_of_input(xb)] = _try_forward(name, model, xb), yb
        for X, y in whole or [batch]:
            _check_values(name, X, y)
            _check_labels(name, loss_fn, tried[_kind_of_input(X)][0], y.to(device), X)
        for logits, yb in tried.values():
            _try_loss(name, loss_fn, logits, yb, learns)
    logits, yb = tried[_kind_of_input(batch[0])]
    return logits.detach(), yb


def _kind_of_input(xb):
    return xb.dtype, xb.shape[1:]


def _check_kind(name, value, kind, example):
    if isinstance(value, type):
        raise TypeError(
            f"{name} is the class {value.__name__}, not an object made from it. "
            f"Call the class first: {name} = {value.__name__}(…)."
        )
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {example}; got {type(value).__name__}.")


def _check_callable(name, value):
    if not callable(value):
        raise TypeError(f"{name} must be a function; got {type(value).__name__}.")


def _check_loss_fn(loss_fn):
    if isinstance(loss_fn, type):
        raise TypeError(
            f"loss_fn is the class {loss_fn.__name__}, not a loss function. "
            f"Make one with parentheses: nn.{loss_fn.__name__}()."
        )
    _check_callable("loss_fn", loss_fn)
    reduction = option(loss_fn, "reduction", "mean")
    if reduction in ("sum", "none"):
        raise ValueError(
            f'loss_fn has reduction="{reduction}", but each batch needs its mean loss. '
            'Use reduction="mean", which is the default.'
        )


def _check_options(patience, val_loader, max_grad_norm, amp, device):
    if patience is not None:
        _check_whole_number("patience", patience)
        if val_loader is None:
            raise ValueError("patience watches the validation loss, so train needs a val_loader.")
    if max_grad_norm is not None and not (_is_number(max_grad_norm) and max_grad_norm > 0):
        raise ValueError(
            f"max_grad_norm is a length, a number above 0, or None; got {max_grad_norm!r}."
        )
    if not (isinstance(amp, bool) or amp is torch.float16 or amp is torch.bfloat16):
        raise ValueError(f"amp must be True, False, torch.float16 or torch.bfloat16; got {amp!r}.")
    if amp is torch.float16 and device.type == "cpu":
        raise ValueError("amp=torch.float16 needs a GPU; on the CPU use amp=torch.bfloat16.")


def _check_surroundings(device):
    if not torch.is_grad_enabled():
        raise ValueError(
            "train is called inside torch.no_grad() or torch.inference_mode(), where nothing can "
            "be learned. Call it outside."
        )
    if torch.is_autocast_enabled(device.type):
        raise ValueError(
            "train is called inside torch.autocast, which would keep using its first 16-bit copies "
            "of the weights, so that nothing is learned. Call it outside, with amp=True."
        )


def _check_callbacks(callbacks, model):
    if not isinstance(callbacks, list | tuple):
        raise TypeError("callbacks is a list of functions; put brackets around it: callbacks=[f].")
    for callback in callbacks:
        _check_callable("each of callbacks", callback)
        try:
            signature(callback).bind(1, model, {})
        except TypeError as error:
            raise TypeError(
                f"each of callbacks must take (epoch, model, history) ({error})."
            ) from error
        except ValueError:
            pass  # some built-in functions don't tell


def _check_metric(metric, default_metric, loss_fn, logits, yb):
    if metric is None:
        return
    _check_callable("metric", metric)
    if metric is default_metric and kind_of(loss_fn) is nn.BCELoss:
        raise ValueError(
            "metric=accuracy reads logits, but BCELoss works on probabilities. Leave the Sigmoid "
            "out of the model and use nn.BCEWithLogitsLoss(), or pass your own metric."
        )
    if metric is default_metric and _are_probabilities(loss_fn, logits, yb):
        raise ValueError(
            f"the labels {list(yb.shape)} are probabilities of classes, such as one-hot rows, and "
            "metric=accuracy would read each entry as an answer of its own, yes or no. Pass class "
            "numbers as labels, y.argmax(dim=1), or your own metric, or metric=None."
        )
    try:
        score = metric(logits, yb)
    except TypeError as error:
        raise TypeError(f"metric must take (logits, labels) ({error}).") from error
    except ValueError:
        if metric is default_metric:
            raise
        return  # another metric may be unable to judge a single batch
    except Exception as error:
        raise ValueError(f"metric can't judge the first batch ({_in_short(error)}).") from error
    try:
        float(score)
    except (TypeError, ValueError, RuntimeError) as error:
        got = list(score.shape) if isinstance(score, torch.Tensor) else repr(score)
        raise TypeError(f"metric must return one number; it returned {got}.") from error


def _are_probabilities(loss_fn, logits, yb):
    if not yb.is_floating_point() or yb.shape != logits.shape or logits.ndim < 2:
        return False
    if logits.shape[1] == 1:
        return False
    kind = kind_of(loss_fn)
    return kind in OF_CLASSES or (kind is None and bool((yb.sum(dim=1) - 1).abs().max() < 1e-4))


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_whole_number(name, value):
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")


def _check_loader(name, loader):
    help_ = "Wrap your data: tensor_loader(X, y, batch_size=64)."
    if isinstance(loader, type):
        raise TypeError(f"{name} is the class {loader.__name__}, not a loader. {help_}")
    if isinstance(loader, torch.Tensor | Dataset | dict | str) or not hasattr(loader, "__iter__"):
        raise TypeError(f"{name} is a {type(loader).__name__}, not a loader. {help_}")
    if isinstance(loader, Iterator):
        raise TypeError(
            f"{name} is a {type(loader).__name__} that can be gone through only once, and every "
            f"epoch needs it again. {help_}"
        )
    if length_hint(loader, 1) == 0:
        raise ValueError(
            f"{name} is empty: it has no batches. Has the data any rows, and with drop_last=True "
            "at least batch_size of them?"
        )
    if isinstance(loader, tuple | list) and not isinstance(loader[0], tuple | list):
        raise TypeError(
            f"{name} is a {type(loader).__name__} of {type(loader[0]).__name__}s, not of batches "
            f"(xb, yb). {help_}"
        )


def _check_batch_norm(model, loader, processes):
    """BatchNorm1d can't train on a batch with a single row, and the last batch may be one."""
    if not any(isinstance(layer, nn.BatchNorm1d) for layer in model.modules()):
        return
    if not isinstance(loader, DataLoader) or loader.batch_size is None or loader.drop_last:
        return
    rows, batch_size = -(-length_hint(loader.sampler) // processes), loader.batch_size
    last_batch = rows % batch_size or batch_size
    if rows and last_batch == 1:
        raise ValueError(
            f"train_loader's last batch has a single row ({rows} rows in batches of "
            f"{batch_size}), and BatchNorm needs two. Pass drop_last=True to the loader, or choose "
            "another batch size."
        )


def _check_optimizer(optimizer, model, loss_fn, processes):
    _check_kind(
        "optimizer",
        optimizer,
        torch.optim.Optimizer,
        "an optimizer, as in torch.optim.SGD(model.parameters(), lr=0.1)",
    )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "optimizer=LBFGS needs a function that it can call several times in each step, which "
            "train doesn't offer. Choose another one, such as torch.optim.AdamW."
        )
    known = {id(parameter) for parameter in model.parameters()}
    if isinstance(loss_fn, nn.Module):
        known |= {id(parameter) for parameter in loss_fn.parameters()}
        if processes > 1 and any(p.requires_grad for p in loss_fn.parameters()):
            raise ValueError(
                "loss_fn has parameters of its own, and only the gradients of the model's are "
                "averaged over the processes. Make them part of the model, or train in one process."
            )
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not any(parameter.requires_grad for parameter in held):
        raise ValueError(
            "optimizer holds only frozen parameters (requires_grad=False), so nothing would be "
            "learned. Give it the parameters that are to be trained."
        )
    foreign = sum(id(parameter) not in known for parameter in held)
    if foreign:
        raise ValueError(
            f"optimizer holds {foreign} of {len(held)} parameters that are not in the model: it "
            "was built for another one, or before layers were replaced. Build it again: "
            f"torch.optim.{type(optimizer).__name__}(model.parameters(), …)."
        )


def _check_scheduler(scheduler, scheduler_step, optimizer, val_loader):
    _check_kind(
        "scheduler",
        scheduler,
        (LRScheduler, ReduceLROnPlateau),
        "a learning-rate scheduler from torch.optim.lr_scheduler",
    )
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            "scheduler was built for another optimizer, so it would change nothing here. Build it "
            f"again: {type(scheduler).__name__}(optimizer, …)."
        )
    if isinstance(scheduler, ReduceLROnPlateau):
        if scheduler.mode == "max":
            raise ValueError(
                'scheduler=ReduceLROnPlateau has mode="max", but it is given the validation loss, '
                'which should fall. Use mode="min", which is the default.'
            )
        if scheduler_step == "batch":
            raise ValueError(
                "scheduler=ReduceLROnPlateau looks at the validation loss, which there is once "
                'an epoch. Use scheduler_step="epoch".'
            )
        if val_loader is None:
            raise ValueError(
                "scheduler=ReduceLROnPlateau looks at the validation loss, so train needs a "
                "val_loader."
            )


def _check_length(scheduler, scheduler_step, train_loader, epochs, processes, resumes):
    """Whether a schedule that knows its length was counted for this run."""
    batches = length_hint(train_loader)  # of the whole loader, not of a process's share
    steps = epochs * (batches if scheduler_step == "batch" else 1)
    whole = "epochs * len(train_loader)" + f", here {epochs * batches}" * bool(batches)
    if isinstance(scheduler, OneCycleLR):
        left = scheduler.total_steps - (0 if resumes else scheduler.last_epoch)
        if steps and left != steps:
            raise ValueError(
                f"scheduler=OneCycleLR has {left} of its {scheduler.total_steps} steps left, but "
                f'this run makes {steps} with scheduler_step="{scheduler_step}". Build it for this '
                f'run: scheduler_step="batch" and total_steps={whole}.'
            )
    if not isinstance(scheduler, CosineAnnealingLR) or scheduler_step == "epoch" or batches <= 1:
        return
    if scheduler.T_max <= epochs:  # a period of so few batches was counted in epochs
        raise ValueError(
            f"scheduler=CosineAnnealingLR has T_max={scheduler.T_max}, which counts epochs, but "
            f'scheduler_step="batch" steps it {steps} times: the learning rate would '
            f'go down and up again and again. Use scheduler_step="epoch", or T_max={whole}.'
        )
    if processes > 1 and scheduler.T_max in (steps // processes, -(-steps // processes)):
        raise ValueError(
            f"scheduler=CosineAnnealingLR has T_max={scheduler.T_max}, the batches of one of "
            f"{processes} processes. Schedules are counted by the batches of the whole loader, so "
            f"that the same line is right for any number of processes: T_max={whole}."
        )


def _check_checkpoint(checkpoint):
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"checkpoint must be the path of a file; got {type(checkpoint).__name__}.")
    try:
        path = Path(checkpoint).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r}: there is no such home folder."
        ) from error
    if path.is_dir():
        raise ValueError(
            f"checkpoint={str(path)!r} is a folder. Name a file in it: {str(path / 'run.pt')!r}."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"checkpoint={str(path)!r} lies in a folder that doesn't exist. Make it first: "
            f"Path({str(path.parent)!r}).mkdir(parents=True)."
        )


def _first_batch(name, loader):
    try:
        batch = loaders.first_batch(loader)
    except Exception as error:  # as in _try_forward
        raise ValueError(f"{name} can't give its first batch ({_in_short(error)}).") from error
    if batch is None:
        raise ValueError(f"{name} is empty: it gave no batch.")
    return batch


def _check_batch(name, batch):
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        some = isinstance(batch, tuple | list)
        got = f"{len(batch)} part{'s' * (len(batch) > 1)}" if some else f"a {type(batch).__name__}"
        raise TypeError(
            f"{name} must give pairs of tensors (xb, yb); a batch of it is {got}. Build it from "
            "both: tensor_loader(X, y, batch_size=64)."
        )
    for part, tensor in zip(("xb", "yb"), batch, strict=True):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(
                f"{name} must give tensors; {part} is a {type(tensor).__name__}. Convert it with "
                "torch.as_tensor."
            )
    xb, yb = batch
    for part, tensor in (("inputs", xb), ("labels", yb)):
        if tensor.is_nested or tensor.layout is not torch.strided or tensor.is_meta:
            what = "nested" if tensor.is_nested else "on the meta device, without numbers"
            what = "sparse" if tensor.layout in _SPARSE and not tensor.is_nested else what
            raise TypeError(
                f"{name} gives {part} that are {what}. train needs plain tensors: use "
                "tensor.to_dense(), or torch.nested.to_padded_tensor(tensor, 0.0)."
            )
    if xb.ndim == 0 or yb.ndim == 0 or len(xb) != len(yb) or len(xb) == 0:
        raise ValueError(
            f"{name} must give one label for each example, and at least one; a batch of it has xb "
            f"{list(xb.shape)} and yb {list(yb.shape)}."
        )


def _check_values(name, X, y):
    for part, values in (("inputs", X), ("labels", y)):
        if values.is_floating_point() and not torch.isfinite(values).all():
            bad = (~torch.isfinite(values)).sum().item()
            consequence = (
                "A loss over them is NaN, and so no epoch could count as the best"
                if name == "val_loader"
                else "Training on them would turn every weight into NaN"
            )
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
        return TypeError(
            f"{name} gives inputs of {xb.dtype}, but the model's weights are {weight.dtype}. "
            f"Convert the inputs with {convert}."
        )
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer, x = frame.f_locals.get("self"), frame.f_locals.get("input")
        known = isinstance(layer, nn.Linear) and isinstance(x, torch.Tensor)
        if known and x.shape[-1] != layer.in_features:
            return ValueError(
                f"{name} gives inputs of shape {list(xb.shape)}, and the layer "
                f"nn.Linear({layer.in_features}, {layer.out_features}) of the model gets "
                f"{list(x.shape)}: {x.shape[-1]} features instead of {layer.in_features}. "
                f"{_width_advice(x, layer, x is xb)}"
            )
    return ValueError(
        f"{name} gives inputs of shape {list(xb.shape)} and {xb.dtype}, and the model fails on "
        f"them ({_in_short(error)}). To see the line, run it alone: model(xb)."
    )


def _width_advice(x, layer, is_data):
    if x.ndim > 2 and math.prod(x.shape[1:]) == layer.in_features:
        return "Put nn.Flatten() in front of it."
    if is_data:
        return "Change the data or the model's input width."
    return f"Make it nn.Linear({x.shape[-1]}, {layer.out_features})."


def _check_labels(name, loss_fn, logits, y, X):
    if len(y) != len(X):
        raise ValueError(f"{name} has {len(X)} inputs but {len(y)} labels.")
    kind = kind_of(loss_fn)
    if kind in OF_CLASSES:
        _check_class_labels(name, kind, option(loss_fn, "ignore_index", -100), logits, y)
    elif kind is not None:
        _check_number_labels(name, kind, logits, y)


def _check_number_labels(name, kind, logits, y):
    if logits.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"{name} gives labels of shape [N{_rest(y)}], but the model's outputs have shape "
            f"[N{_rest(logits)}]. {_reshape_advice(logits, y)}"
        )
    if not y.is_floating_point():
        raise TypeError(
            f"{name} gives labels of {y.dtype}, but {kind.__name__} compares them with the "
            "model's outputs as numbers. Convert them with y.float()."
        )
    if kind in YES_OR_NO and bool(((y < 0) | (y > 1)).any()):
        raise ValueError(
            f"{name} has labels from {y.min().item():g} to {y.max().item():g}, but "
            f"{kind.__name__} needs labels between 0 and 1."
        )


def _check_class_labels(name, kind, ignore_index, logits, y):
    if logits.ndim < 2:
        raise ValueError(
            f"the model's outputs have shape {list(logits.shape)}, but {kind.__name__} needs one "
            "logit for each class, [N, C]. For a single logit use nn.BCEWithLogitsLoss()."
        )
    if y.is_floating_point() and y.shape[1:] == logits.shape[1:]:
        return  # probabilities of the classes
    if y.ndim == 2 and logits.ndim == 2:
        advice = "y.squeeze(1)" if y.shape[1] == 1 else "y.argmax(dim=1)"
        raise ValueError(
            f"{name} gives labels of shape [N{_rest(y)}], but {kind.__name__} needs class "
            f"numbers of shape [N]. Make them so with {advice}{'.long()' * y.is_floating_point()}."
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


def _try_loss(name, loss_fn, logits, yb, learns):
    try:
        with warnings.catch_warnings():  # PyTorch only warns when shapes broadcast
            warnings.filterwarnings("error", message="Using a target size")
            loss = loss_fn(logits, yb)
    except Exception as error:  # as in _try_forward
        raise ValueError(
            f"{name}: loss_fn can't compare the model's outputs {list(logits.shape)} of "
            f"{logits.dtype} with labels {list(yb.shape)} of {yb.dtype} "
            f"({_in_short(error)})."
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
    if learns and not loss.requires_grad:
        raise ValueError(
            "the loss doesn't depend on any trainable parameter, so nothing can be learned: are "
            "all parameters frozen, or does the model or loss_fn use .detach() or no_grad()?"
        )
    _check_mean(loss_fn, loss.item(), logits, yb)


def _check_mean(loss_fn, loss, logits, yb):
    """A sum over the rows is twice as large for every row twice; a mean stays as it is."""
    if kind_of(loss_fn) is not None or not (math.isfinite(loss) and loss):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            twice = loss_fn(torch.cat([logits, logits]), torch.cat([yb, yb])).item()
    except Exception:  # a loss that is made for one number of rows
        return
    if math.isclose(twice, 2 * loss, rel_tol=1e-5):
        raise ValueError(
            "loss_fn adds up its rows: for every row twice it is twice as large. The mean over an "
            "epoch needs the mean of each batch. Use .mean() instead of .sum(), or divide by len(y)."
        )


def _in_short(error):
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _rest(tensor):
    return "".join(f", {size}" for size in tensor.shape[1:])


def _reshape_advice(logits, y):
    if logits.ndim == y.ndim + 1 and logits.shape[-1] == 1:
        return "Give the labels a second dimension: y[:, None]."
    if y.ndim == logits.ndim + 1 and y.shape[-1] == 1:
        return "Take the labels' second dimension away: y.squeeze(1)."
    return "Both must have the same shape, or PyTorch would compare every output with every label."
