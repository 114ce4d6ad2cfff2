"""The training loop, to be read from top to bottom: one step, one evaluation, a whole run."""

import math
import time
import warnings
from contextlib import nullcontext
from operator import length_hint

import torch
from torch import nn

from . import checkpoints, distributed, inputs
from .devices import pick_device
from .models import evaluating


def accuracy(logits, yb):
    """The share of correct answers, a float.

    `logits` [N, C] with class numbers `yb` [N]: the largest logit is the answer. `logits` of
    the same shape as `yb`, whose values are 0 or 1: a logit above 0 answers 1.

    Raises ValueError for any other pair of shapes and for labels that are no classes.
    """
    if not (isinstance(logits, torch.Tensor) and isinstance(yb, torch.Tensor)):
        raise TypeError(
            f"accuracy takes two tensors; got a {type(logits).__name__} and a {type(yb).__name__}. "
            "An array becomes a tensor by torch.as_tensor(array)."
        )
    classes = logits.ndim == 2 and logits.shape[1] > 1 and logits.shape[:1] == yb.shape
    if classes and not yb.is_floating_point():
        correct = logits.argmax(dim=1) == yb
    elif logits.shape == yb.shape and bool(((yb == 0) | (yb == 1)).all()):
        correct = (logits > 0) == (yb == 1)
    else:
        raise ValueError(
            "accuracy compares logits [N, C] with class numbers [N], or logits with labels 0 and 1 "
            f"of the same shape; got logits {list(logits.shape)} and labels {list(yb.shape)} of "
            f"{yb.dtype}. For regression use another metric, or metric=None."
        )
    return correct.sum().item() / correct.numel()


class WeightedMean:
    """A mean over samples, fed batch by batch, summed in double precision.

    On CUDA the sum stays on the device until `value()`, because reading a number makes the
    program wait for the device. Elsewhere a Python float is as good (MPS has no doubles).
    """

    def __init__(self):
        self.total, self.count = 0.0, 0

    def add(self, batch_mean, n):
        """Add the mean of `n` samples, a tensor with one element."""
        on_cuda = batch_mean.device.type == "cuda"
        value = batch_mean.detach().double() if on_cuda else batch_mean.item()
        self.total = self.total + value * n
        self.count += n

    def value(self):
        if self.count == 0:
            raise ValueError("The loader gave no batches. Can it be gone through only once?")
        return float(self.total) / self.count

    def of_all_processes(self):
        """The mean over the samples of all processes that train together."""
        whole = WeightedMean()
        for total, count in distributed.gather((float(self.total), self.count)):
            whole.total += total
            whole.count += count
        return whole


_NO_SCALER = torch.amp.GradScaler(enabled=False)  # hands everything through unchanged


def train_step(
    model,
    xb,
    yb,
    loss_fn,
    optimizer,
    *,
    max_grad_norm=None,
    autocast=None,
    scaler=_NO_SCALER,
):
    """The five lines: clear the gradients, forward, loss, backward, step.

    `xb` is a batch of inputs, `yb` of labels, both on the model's device. Returns the loss before
    the step, a tensor with one number and without a graph.

    With `max_grad_norm` the gradient is shortened to that length if it is longer. `autocast`
    and `scaler` are those of mixed precision, see `mixed_precision`.
    """
    optimizer.zero_grad()
    with autocast or nullcontext():
        logits = model(xb)
        loss = loss_fn(logits, yb)
    scaler.scale(loss).backward()
    if max_grad_norm is not None:
        scaler.unscale_(optimizer)  # the limit is meant for the true gradient, not the scaled one
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def evaluate(model, loader, loss_fn, device=None, *, metric=accuracy, autocast=None):
    """The mean loss over all samples of `loader`, and `metric(logits, y)` over all at once.

    Returns two floats; the second is NaN for `metric=None`. Runs in evaluation mode, without
    gradients, and leaves every layer in the mode it was in. `device=None` is the model's own.

    Each batch counts with its number of rows, so with class weights or `ignore_index` in the loss
    the mean is an approximation. `accuracy` counts ignored labels as wrong.

    If `loader` is one process's share (see `distributed`), the numbers are those of all together.

    Raises ValueError or TypeError if an argument can't work, or if the loader gives no batch.
    """
    is_share = distributed.is_share(loader)
    if not is_share:  # train has looked at it, and a share may be empty
        inputs.check_evaluation(model, loader, loss_fn, metric)
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), "cpu")
    device = inputs.check_device(device)
    mean_loss, all_logits, all_y = WeightedMean(), [], []
    with evaluating(model), torch.no_grad(), autocast or nullcontext():
        for xb, yb in loader:
            xb, yb = xb.to(device, non_blocking=True), yb.to(device, non_blocking=True)
            logits = model(xb)
            mean_loss.add(loss_fn(logits, yb), len(xb))
            if metric is not None:
                all_logits.append(logits)
                all_y.append(yb)
    if is_share:
        mean_loss = mean_loss.of_all_processes()
        all_logits = distributed.gather_tensors(all_logits, device)
        all_y = distributed.gather_tensors(all_y, device)
    loss = mean_loss.value()
    score = math.nan if metric is None else float(metric(torch.cat(all_logits), torch.cat(all_y)))
    return loss, score


class History(dict):
    """What `train` measured: for each name below a list with one float for each epoch.

    - `train_loss`: mean over the samples, each taken just before the step it caused
    - `val_loss`, `val_acc`: after the epoch, in evaluation mode; NaN without validation data.
      `val_acc` is the metric that was passed, accuracy unless you chose another
    - `lr`: the learning rate at the first step of the epoch (of the first parameter group)
    - `seconds`: wall-clock time, validation included

    Epochs are counted from 1.
    """

    def __init__(self):
        super().__init__(train_loss=[], val_loss=[], val_acc=[], lr=[], seconds=[])

    def append(self, **row):
        for name, values in self.items():
            values.append(row[name])

    @property
    def epochs(self):
        """The number of finished epochs."""
        return len(self["seconds"])

    @property
    def best_epoch(self):
        """The epoch with the lowest validation loss, or None if there is none."""
        losses = [(loss, i) for i, loss in enumerate(self["val_loss"], 1) if math.isfinite(loss)]
        return min(losses)[1] if losses else None

    def to_frame(self):
        """A pandas DataFrame with one row for each epoch."""
        import pandas as pd

        return pd.DataFrame(self, index=pd.RangeIndex(1, self.epochs + 1, name="epoch"))

    def plot(self, axes=None, metric="accuracy (share correct)"):
        """Draw loss and metric against the epoch; see `plotting.plot_history`."""
        from .plotting import plot_history

        return plot_history(self, axes, metric)

    def state_dict(self):
        return dict(self)

    def load_state_dict(self, state):
        self.update(checkpoints.clone(state))

    def __repr__(self):
        best = f", lowest val_loss in epoch {self.best_epoch}" if self.best_epoch else ""
        return f"History of {self.epochs} epochs{best}: " + ", ".join(self)


@distributed.process_group()
def train(
    model,
    train_loader,
    val_loader,
    loss_fn,
    optimizer,
    epochs,
    device=None,
    *,
    scheduler=None,
    scheduler_step="epoch",
    patience=None,
    max_grad_norm=None,
    amp=False,
    checkpoint=None,
    metric=accuracy,
    callbacks=(),
    progress=True,
):
    """Train `model` for `epochs` passes over `train_loader`; returns a `History`.

    - `train_loader`, `val_loader`: a `DataLoader`, or any collection of batches `(xb, yb)` that
      can be gone through again and again; `val_loader` may be None
    - `device`: None takes the best one present; the model is moved there
    - `scheduler`, stepped after every `"epoch"` or every `"batch"` as `scheduler_step` says;
      `ReduceLROnPlateau` is given the validation loss
    - `patience`: stop after this many epochs without a lower validation loss, and put the
      weights of the best epoch back
    - `max_grad_norm`: shorten longer gradients to this length
    - `amp`: mixed precision, see `mixed_precision`
    - `checkpoint`: a file that holds the whole state after every epoch. The same call with the
      same file goes on where the last run was stopped, to bit-identical results on the CPU
    - `metric(logits, y)`: evaluated on the whole validation data at once; None for no metric
    - `callbacks`: functions called as `callback(epoch, model, history)` after every epoch
    - `progress`: show a progress bar

    Ctrl-C, or the notebook's stop button, ends the run early: model, optimizer and history are
    put back to the end of the last finished epoch (with `patience` the model to the best one), and
    the history is returned.

    Under `torchrun` the same call trains on several processes together, each on its share of the
    rows. `batch_size` is that of one process: the result is that of one process with batches so
    many times as large, except that a last uneven batch is filled up with the epoch's first rows,
    and that BatchNorm sees the batch of its own process alone. Every process returns the same
    weights and losses; the first one alone shows progress, saves and runs the callbacks, which must
    only look. Ctrl-C ends the whole job; to go on from its checkpoint, start as many processes again.

    Raises ValueError or TypeError, before any weight changes, if an argument can't work. For that
    one batch of each loader is looked at first, with the random generators put back afterwards; a
    data set that counts its calls notices.
    """
    device = inputs.check_device(pick_device() if device is None else device)
    inputs.check_arguments(
        model, train_loader, val_loader, loss_fn, optimizer, epochs, device,
        scheduler, scheduler_step, patience, max_grad_norm, amp, checkpoint, metric, callbacks,
    )  # fmt: skip
    model.to(device)
    inputs.check_data("train_loader", train_loader, model, loss_fn, device)
    if val_loader is not None:
        batch = inputs.check_data("val_loader", val_loader, model, loss_fn, device)
        _check_metric(metric, loss_fn, *batch)

    train_loader = distributed.training_share(train_loader)
    val_loader = distributed.validation_share(val_loader)
    replica = distributed.replicate(model)
    history = History()
    autocast, scaler = mixed_precision(amp, device)
    choices = {
        "loss_fn": loss_fn, "metric": metric, "scheduler_step": scheduler_step, "amp": amp,
        "max_grad_norm": max_grad_norm, "patience": "set" if patience is not None else "not set",
    }  # fmt: skip
    state = checkpoints.TrainingState(
        model, optimizer, scheduler, scaler, history, (train_loader, val_loader), choices
    )
    if checkpoint is not None:
        state.resume(checkpoint)
    last_epoch_end = state.snapshot()
    step_options = {"max_grad_norm": max_grad_norm, "autocast": autocast, "scaler": scaler}
    first = distributed.rank() == 0
    bar = _progress_bar(train_loader, epochs, history.epochs, progress and first)
    try:
        while history.epochs < epochs and not _out_of_patience(history, patience):
            start, lr = time.perf_counter(), float(optimizer.param_groups[0]["lr"])
            model.train()
            mean_loss = WeightedMean()
            for xb, yb in train_loader:
                xb, yb = xb.to(device, non_blocking=True), yb.to(device, non_blocking=True)
                loss = train_step(replica, xb, yb, loss_fn, optimizer, **step_options)
                mean_loss.add(loss, len(xb))
                if scheduler is not None and scheduler_step == "batch":
                    scheduler.step()
                bar.update()
            distributed.copy_buffers(model)
            val_loss, val_acc = math.nan, math.nan
            if val_loader is not None:
                val_loss, val_acc = evaluate(
                    model, val_loader, loss_fn, device, metric=metric, autocast=autocast
                )
            if scheduler is not None and scheduler_step == "epoch":
                if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                    scheduler.step(val_loss)
                else:
                    scheduler.step()

            history.append(
                train_loss=mean_loss.of_all_processes().value(),
                val_loss=val_loss,
                val_acc=val_acc,
                lr=lr,
                seconds=time.perf_counter() - start,
            )
            _warn_if_diverged(history)
            if patience is not None and history.best_epoch == history.epochs:
                state.best_weights = checkpoints.clone(model.state_dict())
            last_epoch_end = state.snapshot()
            bar.set_postfix(
                train_loss=history["train_loss"][-1], val_loss=val_loss, val_acc=val_acc
            )
            for callback in callbacks if first else ():
                callback(history.epochs, model, history)
            if checkpoint is not None:
                state.save(checkpoint)  # last, since a callback may draw random numbers
    except KeyboardInterrupt:
        state.restore(last_epoch_end)
        print(f"Stopped at the end of epoch {history.epochs}, the last one that was finished.")
    finally:
        bar.close()
    if state.best_weights is not None:
        model.load_state_dict(state.best_weights)
    return history


def mixed_precision(amp, device):
    """The `autocast` context (None for full precision) and the gradient scaler for `amp`.

    `amp=True` is float16 with a scaler on CUDA and bfloat16 elsewhere; a dtype chooses itself.
    Only float16 needs the scaler: its small numbers end at 6e-8, those of bfloat16 at 9e-41. The
    scaler looks for overflow before every step, for which the program waits for the device unless
    the optimizer is a fused one.
    """
    if not amp:
        return None, _NO_SCALER
    if amp is True:
        amp = torch.float16 if device.type == "cuda" else torch.bfloat16
    scaler = torch.amp.GradScaler(device.type, enabled=amp is torch.float16)
    return torch.autocast(device.type, dtype=amp), scaler


def _check_metric(metric, loss_fn, logits, yb):
    if metric is accuracy and isinstance(loss_fn, nn.BCELoss):
        raise ValueError(
            "metric=accuracy reads logits, but BCELoss works on probabilities. Leave the Sigmoid "
            "out of the model and use nn.BCEWithLogitsLoss(), or pass your own metric."
        )
    if metric is None:
        return
    try:
        score = metric(logits.detach(), yb)
    except TypeError as error:
        raise TypeError(f"metric must take (logits, labels) ({error}).") from error
    except ValueError:
        if metric is accuracy:
            raise
        return  # another metric may be unable to judge a single batch
    try:
        float(score)
    except (TypeError, ValueError, RuntimeError) as error:
        got = list(score.shape) if isinstance(score, torch.Tensor) else repr(score)
        raise TypeError(f"metric must return one number; it returned {got}.") from error


def _out_of_patience(history, patience):
    return patience is not None and history.epochs - (history.best_epoch or 0) >= patience


def _warn_if_diverged(history):
    losses = history["train_loss"]
    if not math.isfinite(losses[-1]) and all(map(math.isfinite, losses[:-1])):
        warnings.warn(
            f"The training loss became {losses[-1]} in epoch {history.epochs}. Usual causes: a "
            "learning rate that is too high, or a NaN in the data. The weights can't recover.",
            stacklevel=4,
        )


def _progress_bar(loader, epochs, done, shown):
    from tqdm.auto import tqdm

    steps = length_hint(loader)  # 0 if it has no length
    return tqdm(
        total=epochs * steps or None,
        initial=steps * done,
        disable=not shown,
        desc="training",
        unit="step",
    )
