"""Train many copies of a model at once, each with its own learning rate."""

from itertools import count
from numbers import Integral

import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from . import inputs
from .devices import seeded
from .losses import rows_counted


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
    be any whose step is proportional to its learning rate, as it is for SGD, Adam and AdamW.

    `schedule(done)` returns what the rates are multiplied by when the share `done` of all steps
    is behind, from 0 on and below 1; None leaves them as they are.

    All copies see the same batches, and layers with `requires_grad=False` stay as they are. Their
    weights are stacked, [64, 2] becomes [copies, 64, 2], and `torch.func.vmap` takes one step with
    all of them. The loss is the mean over all rows of `val_loader`, or of `train_loader` if it is
    None, at the end, in evaluation mode; a run that blew up ends with infinity or NaN.

    Raises ValueError or TypeError if there is no seed, if `lrs` are not positive numbers or `epochs`
    no whole number from 0, if the model can't learn from the loader (as `train` does), or if it has
    buffers, as BatchNorm does: its copies can't share a batch.
    """
    try:
        rates = torch.as_tensor(lrs, dtype=torch.float32)
        usable = rates.ndim == 1 and len(rates) > 0 and bool(((rates > 0) & rates.isfinite()).all())
    except (TypeError, ValueError, RuntimeError):
        usable = False
    if not usable:
        raise ValueError(f"lrs must be a list of learning rates above 0; got {lrs!r}.")
    lrs = rates
    if isinstance(seeds, int):
        raise TypeError(f"seeds is a list of seeds: seeds=range({seeds}), or seeds=[{seeds}].")
    for name, value in (("make_model", make_model), ("optimizer", optimizer)):
        if isinstance(value, torch.nn.Module | torch.optim.Optimizer) or not callable(value):
            raise TypeError(
                f"{name} must be a function that makes a new one for each copy, as in lambda: "
                f"mlp(2, 64, 2) and torch.optim.SGD; got a {type(value).__name__}."
            )
    if not isinstance(epochs, Integral) or isinstance(epochs, bool) or epochs < 0:
        raise ValueError(f"epochs must be a whole number of at least 0; got {epochs!r}.")
    starts = []
    for seed in seeds:
        if not isinstance(seed, Integral):
            raise TypeError(f"seeds are whole numbers, as in seeds=range(20); got {seed!r}.")
        with seeded(int(seed)):
            starts.append(make_model())
    if not starts:
        raise ValueError("seeds must name at least one seed, as in seeds=range(20).")
    model = starts[0]
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"make_model must return a model; it returned a {type(model).__name__}.")
    if next(model.buffers(), None) is not None:
        raise ValueError(
            "sweep_learning_rates can't train a model with buffers (BatchNorm keeps running "
            "means there). Train such models one by one."
        )

    device = next(model.parameters()).device
    inputs.check_data("train_loader", train_loader, model, loss_fn, device)
    if val_loader is None:
        val_loader = train_loader
    else:
        inputs.check_data("val_loader", val_loader, model, loss_fn, device)

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

    gradients_of = vmap(grad(loss_of), in_dims=(0, None, None), randomness="different")
    losses_of = vmap(loss_of, in_dims=(0, None, None))
    # One optimizer for all, with learning rate 1; each copy then goes its own share of the way.
    whole_step = optimizer(list(trained.values()), lr=1.0)
    model.train()
    steps, factor = count(), 1.0
    for _ in range(epochs):
        for xb, yb in train_loader:
            if schedule is not None:
                factor = schedule(next(steps) / (epochs * len(train_loader)))
            gradients = gradients_of(parameters, xb.to(device), yb.to(device))
            before = {name: value.clone() for name, value in trained.items()}
            for name, value in trained.items():
                value.grad = gradients[name]
            whole_step.step()
            for name, value in trained.items():
                share = factor * rates.view(-1, *[1] * (value.ndim - 1))
                value.copy_(torch.lerp(before[name], value, share))

    model.eval()
    counted, total, rows = rows_counted(loss_fn), torch.zeros(len(rates), device=device), 0
    for xb, yb in val_loader:
        if n := counted(yb):  # none, if the loss ignores all labels of the batch
            total += n * losses_of(parameters, xb.to(device), yb.to(device))
            rows += n
    return (total / rows).view(len(starts), len(lrs)).cpu()
