"""Train many copies of a model at once, each with its own learning rate."""

import math
from functools import partial
from itertools import repeat
from numbers import Integral
from operator import length_hint

import torch
from torch.func import functional_call, grad, grad_and_value, stack_module_state, vmap

from . import failures, inputs, trial
from .losses import rows_counted
from .random_state import seeded


def sweep_learning_rates(
    make_model,
    lrs,
    train_loader,
    loss_fn,
    optimizer,
    epochs,
    seeds=(0,),
    *,
    schedule=None,
    val_loader=None,
):
    """The loss that each learning rate ends with, for each seed: float32 [seeds, lrs].

    `make_model()` returns a new model; it is called once for each seed, after seeding, so all
    learning rates of a seed start from the same weights. `optimizer(parameters, lr=…)` makes the
    optimizer: `torch.optim.AdamW`, or `functools.partial(torch.optim.SGD, momentum=0.9)`. It can
    be any that moves each weight by itself, in proportion to its learning rate, as SGD, Adam and
    AdamW do; three made-up steps are compared, and others (Adafactor, LBFGS, Muon) refused.

    `schedule(done)` returns what the rates are multiplied by when the share `done` of all steps
    is behind, from 0 on and below 1, a number of at least 0; None leaves them as they are.

    All copies see the same batches, and layers with `requires_grad=False` stay as they are. Their
    weights are stacked, [64, 2] becomes [copies, 64, 2], and `torch.func.vmap` takes one step with
    all of them. The loss is the mean over all rows of `val_loader`, or of `train_loader` if it is
    None, at the end, in evaluation mode; a run that blew up ends with infinity or NaN.

    Raises ValueError or TypeError if an argument can't work, if the model can't learn from the loader
    (as `train` does), also when a later batch shows it, or if it has buffers, as BatchNorm does: its
    copies can't share a batch.
    """
    lrs = _rates(lrs)
    _check_makers(make_model, optimizer)
    inputs.check_whole_number("epochs", epochs, least=0)
    starts = _starts(make_model, seeds)
    model = starts[0]
    device = next((parameter.device for parameter in model.parameters()), "cpu")
    inputs.check_learnable("train_loader", train_loader, model, loss_fn, device)
    if val_loader is not None:
        inputs.check_learnable("val_loader", val_loader, model, loss_fn, device)
    _check_loss_fn(loss_fn)
    _check_optimizer(optimizer)
    factors = repeat(1.0) if schedule is None else _factors(schedule, epochs, train_loader)

    stacked, _ = stack_module_state(starts)
    parameters = {
        name: value.detach().repeat_interleave(len(lrs), dim=0) for name, value in stacked.items()
    }
    trained = {
        name: parameters[name] for name, own in model.named_parameters() if own.requires_grad
    }
    rates = lrs.repeat(len(starts)).to(device)

    def loss_of(parameters, xb, yb):
        return loss_fn(functional_call(model, parameters, (xb,)), yb)

    each = {"in_dims": (0, None, None), "randomness": "different"}
    gradients_of = vmap(grad(loss_of), **each)
    whole_step = optimizer(list(trained.values()), lr=1.0)
    model.train()
    for _ in range(epochs):
        with trial.watching("train_loader", train_loader, model, loss_fn, device) as batches:
            for xb, yb in batches:
                gradients = gradients_of(parameters, xb.to(device), yb.to(device))
                for name, value in trained.items():
                    value.grad = gradients[name]
                _step(whole_step, trained.values(), next(factors) * rates)

    # Without gradients some layers, such as nn.GRU, can't be gone through by many copies.
    losses_of = partial(vmap(grad_and_value(loss_of), **each), parameters)
    loader = ("train_loader", train_loader) if val_loader is None else ("val_loader", val_loader)
    losses = _measure(losses_of, len(rates), *loader, model, loss_fn, device)
    return losses.view(len(starts), len(lrs)).cpu()


def _measure(losses_of, copies, name, loader, model, loss_fn, device):
    """The mean loss over all rows of the loader for each copy, [copies]."""
    model.eval()
    counted, total, rows = rows_counted(loss_fn), torch.zeros(copies, device=device), 0
    with trial.watching(name, loader, model, loss_fn, device) as batches:
        for xb, yb in batches:
            if n := counted(yb):  # none, if the loss ignores all labels of the batch
                _, losses = losses_of(xb.to(device), yb.to(device))
                total += n * losses
                rows += n
    return total / rows


def _rates(lrs):
    """The learning rates as a tensor; ValueError if they are none."""
    try:
        rates = torch.as_tensor(lrs, dtype=torch.float32)
        usable = rates.ndim == 1 and len(rates) > 0 and bool(((rates > 0) & rates.isfinite()).all())
    except (TypeError, ValueError, RuntimeError):
        usable = False
    if not usable:
        raise ValueError(f"lrs must be a list of learning rates above 0; got {lrs!r}.")
    return rates


def _check_makers(make_model, optimizer):
    for name, value in (("make_model", make_model), ("optimizer", optimizer)):
        if isinstance(value, torch.nn.Module | torch.optim.Optimizer) or not callable(value):
            raise TypeError(
                f"{name} must be a function that makes a new one for each copy, as in lambda: "
                f"mlp(2, 64, 2) and torch.optim.SGD; got a {type(value).__name__}."
            )


def _check_loss_fn(loss_fn):
    if isinstance(loss_fn, torch.nn.Module) and next(loss_fn.parameters(), None) is not None:
        raise ValueError(
            "loss_fn has parameters of its own, which a sweep doesn't train. Make them part of the model, "
            "or train the models one by one."
        )


def _starts(make_model, seeds):
    """A new model for each seed; ValueError or TypeError if they can't be stacked."""
    if isinstance(seeds, Integral):
        raise TypeError(f"seeds is a list of seeds: seeds=range({seeds}), or seeds=[{seeds}].")
    if not hasattr(seeds, "__iter__"):
        raise TypeError(f"seeds is a list of seeds, as in range(20); got {seeds!r}.")
    starts = []
    for seed in seeds:
        if not isinstance(seed, Integral) or abs(seed) >= 2**63:
            raise TypeError(f"seeds are whole numbers, as in seeds=range(20); got {seed!r}.")
        try:
            with seeded(int(seed)):
                model = make_model()
        except Exception as error:  # whatever a function of one's own raises
            raise ValueError(
                f"make_model() can't make a model ({failures.in_short(error)}). It is called without "
                "arguments."
            ) from error
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"make_model must return a model; it returned a {type(model).__name__}."
            )
        if any(model is other for other in starts) or (
            starts and _shapes(model) != _shapes(starts[0])
        ):
            raise ValueError(
                "make_model must return a new model each time, with the same layers; it returned "
                "the same one again, or one of other widths."
            )
        starts.append(model)
    if not starts:
        raise ValueError("seeds must name at least one seed, as in seeds=range(20).")
    if next(starts[0].buffers(), None) is not None:
        raise ValueError(
            "sweep_learning_rates can't train a model with buffers (BatchNorm keeps running "
            "means there). Train such models one by one."
        )
    return starts


def _shapes(model):
    return {name: (value.shape, value.dtype) for name, value in model.named_parameters()}


def _factors(schedule, epochs, loader):
    """What `schedule` says before each step, one after the other."""
    inputs.check_function("schedule", schedule)
    if not length_hint(loader):
        raise ValueError(
            "schedule is told which share of all steps is done, so train_loader must have a length."
        )
    factors, steps = [], epochs * length_hint(loader)
    for step in range(steps):
        try:
            factor = float(schedule(step / steps))
        except Exception as error:  # whatever a function of one's own raises
            raise TypeError(
                "schedule must take the share of steps that is done and return a number "
                f"({failures.in_short(error)})."
            ) from error
        if not 0 <= factor < math.inf:
            raise ValueError(
                f"schedule must return numbers of at least 0; schedule({step / steps:g}) is {factor}."
            )
        factors.append(factor)
    return iter(factors)


def _step(optimizer, weights, rates):
    """A step of all copies with learning rate 1, of which each goes its own share, [copies]."""
    before = [value.clone() for value in weights]
    optimizer.step()
    for start, value in zip(before, weights, strict=True):
        share = rates.to(value.dtype).view(-1, *[1] * (value.ndim - 1))
        value.copy_(torch.lerp(start, value, share))


def _check_optimizer(optimizer):
    """Whether copies in one optimizer move as each would in its own, on three made-up steps."""
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(3, 2, 4, 3, dtype=torch.float64, generator=generator)
    weights = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator)
    rates, alone = torch.tensor([0.5, 0.01], dtype=torch.float64), [*weights.clone()]
    try:
        whole = optimizer([weights], lr=1.0)
        own = [optimizer([w], lr=rate) for w, rate in zip(alone, rates.tolist(), strict=True)]
        for gradient in gradients:
            weights.grad = gradient
            _step(whole, [weights], rates)
            for w, g, optimizer_of_w in zip(alone, gradient, own, strict=True):
                w.grad = g
                optimizer_of_w.step()
    except Exception as error:
        reason = failures.in_short(error)
    else:
        inputs.check_settings(whole)
        if torch.allclose(weights, torch.stack(alone), rtol=1e-6):
            return
        reason = "its step is not proportional to the learning rate, or depends on other weights"
    raise ValueError(
        f"optimizer can't train many copies at once ({reason}). Take one that moves each weight by "
        "itself, such as SGD, Adam or AdamW, or train the models one by one."
    )
