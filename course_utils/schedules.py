"""Schedules, which `train` looks at before the run: do they fit it, and can they be stepped through?"""

import copy
import math
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from operator import length_hint
from types import FunctionType

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from . import failures
from .own_code import closed_over, globals_of
from .random_state import undisturbed

_REHEARSED = 1000  # steps, at most


def check(
    scheduler, scheduler_step, optimizer, train_loader, val_loader, epochs, processes, resumes
):
    """Whether a scheduler belongs to this run of `train`; raises ValueError with what to do."""
    _check_fit(scheduler, scheduler_step, optimizer, val_loader)
    _check_counts(scheduler)
    _check_length(scheduler, scheduler_step, train_loader, epochs, processes, resumes)
    if not (resumes or isinstance(scheduler, ReduceLROnPlateau)):  # a file holds where it stands
        batches = length_hint(train_loader, 1) if scheduler_step == "batch" else 1
        _rehearse(scheduler, optimizer, min(epochs * batches, _REHEARSED), scheduler_step)


def _check_fit(scheduler, scheduler_step, optimizer, val_loader):
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            "scheduler was built for another optimizer, so it would change nothing here. Build it "
            f"again: {type(scheduler).__name__}(optimizer, …)."
        )
    groups = len(optimizer.param_groups)
    if len(getattr(scheduler, "base_lrs", optimizer.param_groups)) != groups:
        raise ValueError(
            f"scheduler knows {len(scheduler.base_lrs)} of the optimizer's {groups} parameter groups: "
            f"it was built before the others were added. Build it again: "
            f"{type(scheduler).__name__}(optimizer, …)."
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


def _check_counts(scheduler):
    """A period of 0 PyTorch takes without a word, to divide by it, or never to end, during the run."""
    for part in getattr(scheduler, "_schedulers", [scheduler]):
        for name, kind in (("step_size", Integral), ("T_max", Real), ("total_iters", Real)):
            period = getattr(part, name, 1)
            if not isinstance(period, kind) or period <= 0:
                raise ValueError(
                    f"scheduler={type(part).__name__} has {name}={period!r}, and needs a number of "
                    "steps, 1 or more."
                )


def _rehearse(scheduler, optimizer, steps, scheduler_step):
    """Go through the schedule once with a copy, so that it doesn't stop the run half-way."""
    functions = [f for f in getattr(scheduler, "lr_lambdas", []) if isinstance(f, FunctionType)]
    held = [value for f in functions for value in (*closed_over(f), *globals_of(f).values())]
    if any(isinstance(value, Iterator) for value in held):
        return  # what is asked of it now would be missing later
    double = object.__new__(type(optimizer))
    vars(double).update(vars(optimizer))
    double.param_groups = [
        {name: v.clone() if isinstance(v, torch.Tensor) else v for name, v in group.items()}
        for group in optimizer.param_groups
    ]
    try:
        rehearsal = copy.deepcopy(scheduler, {id(optimizer): double})
    except Exception:  # it holds a lock, a file
        return
    idle = 0  # steps in which nothing moves
    with undisturbed(scheduler), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(1, steps + 1):
            idle += max(_rates(double)) < 1e-12
            _rehearse_step(rehearsal, double, f"{scheduler_step} {step} of {steps}")
    if idle > steps / 2:
        counted = "epochs" if scheduler_step == "epoch" else "epochs * len(train_loader)"
        warnings.warn(
            f"scheduler={type(scheduler).__name__} has a learning rate of 0, or below 1e-12, in {idle} of "
            f"{steps} steps, in which nothing is learned. Is its length counted in the steps of this run, {counted}?",
            stacklevel=2,
        )


def _rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def _rehearse_step(scheduler, optimizer, when):
    name = f"scheduler={type(scheduler).__name__}"
    try:
        scheduler.step()
        rates = _rates(optimizer)
    except Exception as error:  # whatever a function of one's own raises
        raise ValueError(
            f"{name} fails after {when} ({failures.in_short(error)}). A function among its arguments "
            "must have an answer for every number of steps, from 0 to the last."
        ) from error
    for rate in rates:
        if not -1e-9 < rate < math.inf:  # a cosine ends at 0, rounded
            raise ValueError(
                f"{name} sets the learning rate to {rate:g} after {when}. It must stay a number of "
                "at least 0."
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
    if isinstance(scheduler, CosineAnnealingLR) and not resumes:
        _warn_if_through(scheduler)
    length, as_given = _length(scheduler)
    name = f"scheduler={type(scheduler).__name__}"
    if length is None or batches <= 1:
        return
    if scheduler_step == "epoch":
        if length == epochs * batches:
            raise ValueError(
                f"{name} has {as_given}, which counts batches, but "
                'scheduler_step="epoch" steps it once an epoch: the run would end near its beginning. '
                f'Use scheduler_step="batch", or count epochs, here {epochs}.'
            )
        return
    last = getattr(scheduler, "_schedulers", [scheduler])[-1]
    if not isinstance(last, CosineAnnealingLR):
        return
    if length <= epochs:  # a period of so few batches was counted in epochs
        raise ValueError(
            f"{name} has {as_given}, which counts epochs, but "
            f'scheduler_step="batch" steps it {steps} times: the learning rate would '
            f'go down and up again and again. Use scheduler_step="epoch", or count {whole}.'
        )
    if processes > 1 and length in (steps // processes, -(-steps // processes)):
        raise ValueError(
            f"{name} has {as_given}, the batches of one of {processes} processes. Schedules are counted "
            "by the batches of the whole loader, so that the same line is right for any number of "
            f"processes: {whole}."
        )


def _length(scheduler):
    """(the steps after which a schedule has got where it goes, in words too), or (None, None)."""
    if isinstance(scheduler, SequentialLR):
        length, as_given = _length(scheduler._schedulers[-1])
        if length is not None:
            length += scheduler._milestones[-1]
            as_given = f"{length} steps, with {as_given} at its end"
        return length, as_given
    for kind, name in ((CosineAnnealingLR, "T_max"), (LinearLR | PolynomialLR, "total_iters")):
        if isinstance(scheduler, kind):
            length = getattr(scheduler, name)
            return length, f"{name}={length}"
    return None, None


def _warn_if_through(cosine):
    if cosine.last_epoch >= cosine.T_max:
        warnings.warn(
            f"scheduler=CosineAnnealingLR has {cosine.last_epoch} steps behind it, and T_max="
            f"{cosine.T_max}: from here on the learning rate rises again. For another run build "
            "it, and the optimizer, anew.",
            stacklevel=2,
        )
