"""What `train` is given, looked at before any work: each mistake gets one sentence that helps."""

import math
import warnings
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from numbers import Integral, Real
from operator import length_hint
from pathlib import Path

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import BatchSampler, DataLoader, Dataset, Subset, WeightedRandomSampler

from . import failures, metrics, schedules, trial
from .losses import kind_of, option
from .modes import evaluating


def check_device(device):
    """`device` as a `torch.device` that is present on this machine and computes.

    Raises ValueError for a name PyTorch doesn't know and for a device that isn't there, TypeError for
    what is no name.
    """
    if not isinstance(device, str | int | torch.device) or isinstance(device, bool):
        raise TypeError(
            f'device must be a name, such as "cpu" or "cuda", or None; got {type(device).__name__}.'
        )
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # which "meta" can't
    except (RuntimeError, AssertionError) as error:
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
    _check_surroundings(device)
    _check_model(model, learns=True)
    _check_loader("train_loader", train_loader)
    _check_batch_norm(model, train_loader, processes)
    if val_loader is not None:
        _check_loader("val_loader", val_loader)
    _check_loss_fn(loss_fn)
    _check_optimizer(optimizer, model, loss_fn, processes)
    check_whole_number("epochs", epochs)
    if scheduler_step not in ("epoch", "batch"):
        raise ValueError(f'scheduler_step must be "epoch" or "batch"; got {scheduler_step!r}.')
    if scheduler is not None:
        kinds = LRScheduler, ReduceLROnPlateau
        example = "a scheduler of torch.optim.lr_scheduler, or a subclass of its LRScheduler"
        _check_kind("scheduler", scheduler, kinds, example)
        schedules.check(
            scheduler,
            scheduler_step,
            optimizer,
            train_loader,
            val_loader,
            epochs,
            processes,
            resumes,
        )
    _check_options(patience, val_loader, max_grad_norm, amp, device)
    if checkpoint is not None:
        _check_checkpoint(checkpoint)
    _check_callbacks(callbacks, model)
    if metric is not None:
        check_function("metric", metric)
    model.to(device)
    if isinstance(loss_fn, nn.Module):
        loss_fn.to(device)
    clipped = [] if max_grad_norm is None else [p for p in _held(optimizer) if p.requires_grad]
    trial.try_loader(
        "train_loader", train_loader, model, loss_fn, device, learns=True, clipped=clipped
    )
    if val_loader is not None:
        logits, yb = trial.try_loader(
            "val_loader", val_loader, model, loss_fn, device, learns=False
        )
        metrics.check_metric(metric, default_metric, loss_fn, logits, yb)


def examine_evaluation(model, loader, loss_fn, device, metric, autocast, default_metric):
    """The same for the arguments of `evaluate`, which moves no model: returns the device."""
    _check_model(model, learns=False)
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), "cpu")
    _check_loader("loader", loader)
    _check_loss_fn(loss_fn)
    device = check_device(device)
    if metric is not None:
        check_function("metric", metric)
    if autocast is not None and not hasattr(type(autocast), "__enter__"):
        raise TypeError(
            'autocast must be a context, as in torch.autocast("cuda", torch.bfloat16), or None; got '
            f"{autocast!r}."
        )
    logits, yb = trial.try_loader("loader", loader, model, loss_fn, device, learns=False)
    metrics.check_metric(metric, default_metric, loss_fn, logits, yb)
    return device


def check_learnable(name, loader, model, loss_fn, device):
    """Whether `model` can learn from `loader` by `loss_fn`; raises as `examine` does."""
    _check_model(model, learns=True)
    _check_loader(name, loader)
    _check_loss_fn(loss_fn)
    trial.try_loader(name, loader, model, loss_fn, device, learns=True)


def check_whole_number(name, value, least=1):
    """Raises ValueError for anything but a whole number from `least` on."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}.")


def check_max_grad_norm(value):
    """Raises ValueError for anything but None and a number above 0, which may be infinity."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if value is not None and not (is_number and value > 0):
        raise ValueError(f"max_grad_norm is a length, a number above 0, or None; got {value!r}.")


def check_function(name, value):
    """Raises TypeError for anything but a function, or another object, that answers when called."""
    if isinstance(value, type):
        raise TypeError(
            f"{name} must be a function; got the class {value.__name__}. Call the class first: "
            f"{value.__name__}(…)."
        )
    if not callable(value):
        raise TypeError(f"{name} must be a function; got {type(value).__name__}.")
    called = (value, type(value).__call__)
    if any(map(iscoroutinefunction, called)) or any(map(isasyncgenfunction, called)):
        raise TypeError(f"{name} must be an ordinary function; this one is async: leave async out.")
    if any(map(isgeneratorfunction, called)):
        raise TypeError(
            f"{name} must be an ordinary function; this one has a yield, so calling it does nothing."
        )


def _check_kind(name, value, kind, example):
    if isinstance(value, type):
        raise TypeError(
            f"{name} is the class {value.__name__}, not an object made from it. "
            f"Call the class first: {name} = {value.__name__}(…)."
        )
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {example}; got {type(value).__name__}.")


def _check_model(model, learns):
    _check_kind("model", model, nn.Module, "a model, as in mlp(2, 64, 2)")
    if "_parameters" not in vars(model):
        raise TypeError(
            "model was never made a module: begin its __init__ with super().__init__()."
        )
    tensors = [*model.parameters(), *model.buffers()]
    if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
        raise ValueError(
            "model has lazy layers, whose weights have no shape yet. Call it once with a batch, "
            "model(xb), before you build the optimizer."
        )
    try:
        with evaluating(model):
            pass
    except Exception as error:  # whatever a method of that name does
        raise ValueError(
            "model can't be switched between training and evaluation by model.train() and model.eval() "
            f"({failures.in_short(error)}). A method of your own with such a name needs another one; a "
            "model that was exported or frozen can't be used, but the one that it was made from."
        ) from error
    if any(tensor.is_meta for tensor in tensors):
        raise ValueError(
            "model lies on the meta device: its parameters have shapes, but no numbers. Build it "
            'without torch.device("meta"), or give it numbers by model.to_empty(device=…) and a '
            "new initialisation."
        )
    if learns and any(tensor.is_inference() for tensor in tensors):
        raise ValueError(
            "model was built inside torch.inference_mode(), so its parameters can never learn. "
            "Build it outside; a new one takes over what it knows by "
            "new_model.load_state_dict(model.state_dict())."
        )
    for name, parameter in model.named_parameters():
        if learns and parameter.requires_grad and not parameter.isfinite().all():
            raise ValueError(
                f"model has NaN or infinite weights, in {name}, from which nothing can be learned. Did "
                "an earlier run diverge? Build model and optimizer again."
            )


def _check_loss_fn(loss_fn):
    if isinstance(loss_fn, type):
        raise TypeError(
            f"loss_fn is the class {loss_fn.__name__}, not a loss function. "
            f"Make one with parentheses: nn.{loss_fn.__name__}()."
        )
    check_function("loss_fn", loss_fn)
    for name in ("weight", "pos_weight") if kind_of(loss_fn) is not None else ():
        weight = option(loss_fn, name)
        if not isinstance(weight, torch.Tensor):
            continue
        if not bool(((weight >= 0) & weight.isfinite()).all()) or not bool(weight.any()):
            raise ValueError(
                f"loss_fn has {name}={weight.tolist()}, and needs numbers of at least 0, not all of them 0."
            )
    if kind_of(loss_fn) is nn.CrossEntropyLoss and (option(loss_fn, "label_smoothing") or 0) < 0:
        raise ValueError(
            f"loss_fn has label_smoothing={option(loss_fn, 'label_smoothing')}, and needs a number from 0 to 1."
        )
    reduction = option(loss_fn, "reduction", "mean")
    if kind_of(loss_fn) is not None and option(loss_fn, "size_average") is False:
        reduction = "sum"  # its old name
    if reduction in ("sum", "none"):
        raise ValueError(
            f'loss_fn has reduction="{reduction}", but each batch needs its mean loss. '
            'Use reduction="mean", which is the default.'
        )


def _check_options(patience, val_loader, max_grad_norm, amp, device):
    if patience is not None:
        check_whole_number("patience", patience)
        if val_loader is None:
            raise ValueError("patience watches the validation loss, so train needs a val_loader.")
    check_max_grad_norm(max_grad_norm)
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
        check_function("each of callbacks", callback)
        try:
            signature(callback).bind(1, model, {})
        except TypeError as error:
            raise TypeError(
                f"each of callbacks must take (epoch, model, history) ({error})."
            ) from error
        except ValueError:
            pass  # some built-in functions don't tell


def _check_loader(name, loader):
    help_ = "Wrap your data: tensor_loader(X, y, batch_size=64)."
    if isinstance(loader, type):
        raise TypeError(f"{name} is the class {loader.__name__}, not a loader. {help_}")
    data = isinstance(loader, Dataset | dict | str) or hasattr(loader, "__array__")
    if data or not (hasattr(loader, "__iter__") or _is_sequence(loader)):
        raise TypeError(f"{name} is a {type(loader).__name__}, not a loader. {help_}")
    if isinstance(loader, DataLoader):
        _check_sampling(name, loader)
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


def _is_sequence(thing):
    """Whether a `for` loop can go through it by numbers, up to its length and no further."""
    try:
        thing[len(thing)]
    except IndexError:
        return True
    except Exception:
        return False
    return False  # as with a Sequence of Keras, which a loop would never leave


def _check_sampling(name, loader):
    """What a DataLoader takes, although it gives other rows then than were meant."""
    if isinstance(loader.sampler, BatchSampler) and loader.batch_size is not None:
        raise ValueError(
            f"{name} has a BatchSampler as its sampler, and would make batches of batches. Pass it as "
            "batch_sampler=…, without batch_size."
        )
    if isinstance(loader.sampler, WeightedRandomSampler):
        weights, rows = len(loader.sampler.weights), length_hint(loader.dataset)
        if rows and weights != rows:
            raise ValueError(
                f"{name} has a WeightedRandomSampler with {weights} weights for {rows} rows, and needs one "
                "for each row. From weights for the classes: class_weights[y]."
            )
    chosen = loader.dataset.indices[:1] if isinstance(loader.dataset, Subset) else []
    if any("bool" in str(getattr(number, "dtype", type(number))) for number in chosen):
        raise TypeError(
            f"{name} has a Subset that is given True and False, but needs the numbers of the rows: "
            "mask.nonzero().flatten()."
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
    if getattr(optimizer, "defaults", {}).get("differentiable"):
        raise ValueError(
            "optimizer has differentiable=True, which is for gradients through its steps and can't change "
            "a model's weights in place. Leave it out."
        )
    known = {id(parameter) for parameter in model.parameters()}
    if isinstance(loss_fn, nn.Module):
        known |= {id(parameter) for parameter in loss_fn.parameters()}
        if processes > 1 and any(p.requires_grad for p in loss_fn.parameters()):
            raise ValueError(
                "loss_fn has parameters of its own, and only the gradients of the model's are "
                "averaged over the processes. Make them part of the model, or train in one process."
            )
    check_settings(optimizer)
    held = _held(optimizer)
    if not any(parameter.requires_grad for parameter in held):
        raise ValueError(
            "optimizer holds only frozen parameters (requires_grad=False), so nothing would be "
            "learned. Give it the parameters that are to be trained."
        )
    if not known:
        raise ValueError(
            "model has no parameters that PyTorch knows of. Layers in a list or dict belong into "
            "nn.ModuleList or nn.ModuleDict."
        )
    foreign = sum(id(parameter) not in known for parameter in held)
    if foreign:
        raise ValueError(
            f"optimizer holds {foreign} of {len(held)} parameters that are not in the model: it "
            "was built for another one, or before layers were replaced. Build it again: "
            f"torch.optim.{type(optimizer).__name__}(model.parameters(), …). Those that belong to the loss "
            "must be in it: make loss_fn an nn.Module that holds them."
        )
    _check_state(optimizer)
    if isinstance(loss_fn, nn.Module):
        _warn_of_idle(loss_fn, held)


def _warn_of_idle(loss_fn, held):
    """A word of warning if the loss has parameters to train that the optimizer doesn't hold."""
    held = set(map(id, held))
    idle = [n for n, p in loss_fn.named_parameters() if p.requires_grad and id(p) not in held]
    if idle:
        warnings.warn(
            f"loss_fn has {len(idle)} trainable parameters that optimizer doesn't hold, such as {idle[0]}, "
            "so they stay as they are. Give it [*model.parameters(), *loss_fn.parameters()], or freeze "
            "them with loss_fn.requires_grad_(False).",
            stacklevel=2,
        )


def _held(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


_ASKED = (torch.float64, torch.float32, torch.bfloat16, torch.float16)  # those of 8 bits can't be


def _check_state(optimizer):
    """Whether what an optimizer remembers of earlier steps, such as a momentum, is made of numbers."""
    remembered = getattr(optimizer, "state", None)  # one of your own may keep it elsewhere
    for parameter, state in remembered.items() if isinstance(remembered, dict) else ():
        for name, value in state.items() if isinstance(state, dict) else ():
            if type(value) is not torch.Tensor or value.dtype not in _ASKED:
                continue
            # A single number, such as the least loss so far, may be infinite.
            like_parameter = value.shape == getattr(parameter, "shape", None)
            if value.isnan().any() or (like_parameter and value.isinf().any()):
                raise ValueError(
                    f"optimizer has NaN or infinite numbers in what it remembers of earlier steps, {name}, "
                    "and the next step would carry them into the weights. Did an earlier run diverge? Make "
                    f"a new one: torch.optim.{type(optimizer).__name__}(model.parameters(), …)."
                )


def check_settings(optimizer):
    """Raises ValueError if an optimizer's own numbers can't lead to a smaller loss."""
    if not optimizer.param_groups:
        raise ValueError("optimizer has no parameters. Build it again with model.parameters().")
    try:
        optimizer.state_dict()
    except Exception as error:  # whatever a class of one's own lacks
        raise ValueError(
            f"optimizer can't tell its state ({failures.in_short(error)}), which train must be able to "
            'put back. Let its __init__ call super().__init__(parameters, {"lr": lr}), or give it '
            "state_dict and load_state_dict."
        ) from error
    if "lr" not in optimizer.param_groups[0]:
        raise ValueError(
            "optimizer has no learning rate, which the history notes. Name it among its defaults: "
            'super().__init__(parameters, {"lr": lr}).'
        )
    for i, group in enumerate(optimizer.param_groups):
        lr = group.get("lr", 0.0)
        number = isinstance(lr, Real | torch.Tensor) and not isinstance(lr, bool)
        number = number and (not isinstance(lr, torch.Tensor) or lr.numel() == 1)
        if not (number and 0 <= lr < math.inf):
            raise ValueError(
                f"optimizer has the learning rate {lr!r} in parameter group {i}. It must be a number "
                "of at least 0."
            )
        for name, value in group.items():
            parts = value if isinstance(value, tuple | list) and name != "params" else [value]
            if any(isinstance(part, float) and math.isnan(part) for part in parts):
                raise ValueError(
                    f"optimizer has {name}={value!r} in parameter group {i}, which would turn every "
                    "weight into NaN. It must be a number."
                )
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise ValueError(
            "optimizer has maximize=True, but the loss is to become smaller. Leave it out, and let "
            "loss_fn return what is to be large with a minus."
        )


def _check_checkpoint(checkpoint):
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"checkpoint must be the path of a file; got {type(checkpoint).__name__}.")
    given = f"checkpoint={str(checkpoint)!r}"
    try:
        path = Path(checkpoint).expanduser()
        path.resolve().stat()
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{given} can't be a file ({failures.in_short(error)}).") from error
    if path.is_dir():
        raise ValueError(f"{given} is a folder. Name a file in it: {str(path / 'run.pt')!r}.")
    if path.exists() and not path.is_file():
        raise ValueError(
            f"{given} is no ordinary file but a device or a pipe. Choose another name."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"{given} lies in a folder that doesn't exist. Make it first: "
            f"Path({str(path.parent)!r}).mkdir(parents=True)."
        )
