"""The training loop, to be read from top to bottom: one step, one evaluation, a whole run."""

import math
import time
import warnings
from contextlib import nullcontext
from functools import partial
from operator import length_hint

import torch
from torch import nn

from . import checkpoints, distributed, failures, fingerprint, inputs, metrics, trial
from .batches import not_plain, not_real
from .devices import pick_device
from .losses import rows_counted
from .modes import evaluating, switches_kept


def accuracy(logits, yb):
    """The share of correct answers, a float.

    `logits` [N, C] with class numbers `yb` [N]: the largest logit is the answer. `logits` of
    the same shape as `yb`, whose values are 0 or 1: a logit above 0 answers 1, each entry by
    itself (a probability that sigmoid gives is always above 0: pass the logit instead; of one-hot
    labels pass the class numbers). A row with NaN among its logits answers nothing, so it is wrong.

    Raises ValueError for any other pair of shapes, for labels that are no classes, and for no rows,
    TypeError for anything but plain tensors of real numbers. Warns if the rows, some twenty of each
    class or more, reach from near 0 to near 1 and would be read far better as probabilities.
    """
    if not (isinstance(logits, torch.Tensor) and isinstance(yb, torch.Tensor)):
        raise TypeError(
            f"accuracy takes two tensors; got a {type(logits).__name__} and a {type(yb).__name__}. "
            "An array becomes a tensor by torch.as_tensor(array)."
        )
    for name, tensor in (("logits", logits), ("labels", yb)):
        if strange := not_plain(tensor) or not_real(tensor):
            raise TypeError(
                f"accuracy compares plain tensors of real numbers; got {name} that are {strange}."
            )
    if len(yb.shape) == 0 or len(yb) == 0:
        raise ValueError(f"accuracy needs at least one answer; got labels {list(yb.shape)}.")
    classes = logits.ndim == 2 and logits.shape[1] > 1 and logits.shape[:1] == yb.shape
    if classes and logits.dtype == torch.bool:
        raise TypeError(
            "accuracy looks for the largest logit of each row; got yes and no, torch.bool. Pass the "
            "logits themselves."
        )
    if classes and not yb.is_floating_point():
        lowest, highest = (bound.item() for bound in yb.aminmax())
        inside = lowest >= 0 and highest < logits.shape[1]
        strange = [] if inside else yb[(yb != -100) & ((yb < 0) | (yb >= logits.shape[1]))]
        if len(strange):
            raise ValueError(
                f"accuracy compares with class numbers from 0 to {logits.shape[1] - 1}, one for each "
                f"logit of a row; got {strange.unique()[:6].tolist()}."
            )
        correct = logits.argmax(dim=1) == yb
        if not math.isfinite(logits.sum().item()):  # quicker than to ask each row for NaN
            correct &= ~logits.isnan().any(dim=1)
    elif logits.shape == yb.shape and bool(((yb == 0) | (yb == 1)).all()):
        correct = ((logits > 0) == (yb == 1)) & ~logits.isnan()
        metrics.warn_if_probabilities(logits, yb, correct)
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
    program wait for the device. Elsewhere it is a Python float (MPS has no doubles).
    """

    def __init__(self):
        self.total, self.count = 0.0, 0

    def add(self, batch_mean, n):
        """Add the mean of `n` samples, a tensor with one element."""
        if batch_mean.is_cuda:
            term = (batch_mean.detach().double() * n).where(torch.as_tensor(n) > 0, 0.0)
        else:
            term = batch_mean.item() * n if n else 0.0  # the mean of no samples is NaN
        self.total = self.total + term
        self.count = self.count + n

    def value(self):
        """The mean so far, a float; NaN before the first sample."""
        return float(self.total) / float(self.count) if self.count else math.nan

    def of_all_processes(self):
        """The mean over the samples of all processes that train together."""
        whole = WeightedMean()
        for total, count in distributed.gather((float(self.total), float(self.count))):
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

    With `max_grad_norm`, a number above 0, the gradient of all that the optimizer trains is
    shortened to that length if it is longer; ValueError for any other. `autocast` and `scaler` are
    those of mixed precision, see `mixed_precision`. What else doesn't fit fails in PyTorch's own
    words: it is `train` that looks first.
    """
    optimizer.zero_grad()
    with autocast or nullcontext():
        logits = model(xb)
        loss = loss_fn(logits, yb)
    scaler.scale(loss).backward()
    if max_grad_norm is not None:
        inputs.check_max_grad_norm(max_grad_norm)
        scaler.unscale_(optimizer)  # the limit is meant for the true gradient, not the scaled one
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, max_grad_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def evaluate(model, loader, loss_fn, device=None, *, metric=accuracy, autocast=None):
    """The mean loss over all samples of `loader`, and `metric(logits, y)` over all at once.

    `loader` can be gone through again and again, as for `train`; its first batch is looked at before.
    Returns two floats; the second is NaN for `metric=None`. Runs in evaluation mode, without
    gradients, and leaves every layer in the mode it was in. `device=None` is the model's own.

    Class weights and `ignore_index` of a cross-entropy count as they would in one large batch (see
    `losses.rows_counted`), if it is passed as it is or by `functools.partial`; the batches of any
    other loss count with their rows. `accuracy` counts labels of -100, which cross-entropy ignores, as
    wrong; for another `ignore_index` pass a metric of your own.

    Raises ValueError or TypeError if an argument can't work, if the loader gives no batch, or if
    a batch, which the message names, can't be used.
    """
    device = inputs.examine_evaluation(model, loader, loss_fn, device, metric, autocast, accuracy)
    return measure("loader", loader, model, loss_fn, device, metric, autocast)


def measure(name, loader, model, loss_fn, device, metric, autocast):
    """What `evaluate` returns, for arguments that have been looked at; the loader has this name.

    If `loader` is one process's share (see `distributed`), the numbers are those of all together.
    """
    mean_loss, all_logits, all_y = WeightedMean(), [], []
    rows = rows_counted(loss_fn)  # len, for most losses
    watched = trial.watching(name, loader, model, loss_fn, device)
    with watched as batches, evaluating(model), torch.no_grad(), autocast or nullcontext():
        for xb, yb in batches:
            xb, yb = xb.to(device, non_blocking=True), yb.to(device, non_blocking=True)
            logits = model(xb)
            mean_loss.add(loss_fn(logits, yb), rows(yb))
            if metric is not None:
                all_logits.append(logits.clone())  # a loader may use the memory of its batch again
                all_y.append(yb.clone())
    if distributed.is_share(loader):
        mean_loss = mean_loss.of_all_processes()
        all_logits = distributed.gather_tensors(all_logits, device)
        all_y = distributed.gather_tensors(all_y, device)
    loss = mean_loss.value()
    if metric is None:
        return loss, math.nan
    return loss, metrics.score(metric, all_logits, all_y)


class History(dict):
    """What `train` measured: a dictionary that has under each key a list of one float for each epoch.

    - `train_loss`: mean over the samples, each taken just before the step it caused
    - `val_loss`, `val_acc`: after the epoch, in evaluation mode; NaN without validation data.
      `val_acc` is the metric that was passed, accuracy unless you chose another
    - `lr`: the learning rate at the first step of the epoch (of the first parameter group)
    - `seconds`: wall-clock time, validation included

    Epochs are counted from 1. `append`, `state_dict` and `load_state_dict` serve `train`, and look
    at nothing.
    """

    def __init__(self):
        super().__init__(train_loss=[], val_loss=[], val_acc=[], lr=[], seconds=[])

    def append(self, **row):
        for name, value in row.items():  # a callback may keep columns of its own
            self[name].append(value)

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

        columns = {
            name: pd.Series(values, dtype=None if values else float)
            for name, values in self.items()
        }
        frame = pd.DataFrame(columns)  # NaN where a column of one's own is shorter
        return frame.set_index(pd.RangeIndex(1, len(frame) + 1, name="epoch"))

    def plot(self, axes=None, metric="accuracy (share correct)"):
        """Draw loss and metric against the epoch; see `plotting.plot_history`."""
        from .plotting import plot_history

        return plot_history(self, axes, metric)

    def state_dict(self):
        return dict(self)

    def load_state_dict(self, state):
        self.clear()  # also of columns that a callback began in an epoch that doesn't count
        self.update(checkpoints.clone(state))

    def __repr__(self):
        best = f", lowest val_loss in epoch {self.best_epoch}" if self.best_epoch else ""
        return f"History of {self.epochs} epochs{best}: " + ", ".join(self)


@distributed.process_group()
@switches_kept()
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

    - `model`: returns one tensor for the inputs of a batch
    - `train_loader`, `val_loader`: a `DataLoader`, or any collection of batches `(xb, yb)`, two
      tensors with the rows along their first dimension, that can be gone through again and again;
      `val_loader` may be None. Rows of a `TensorDataset` are fetched as by `tensor_loader`: the same
      batches in less time
    - `device`: None takes the best one present; the model is moved there
    - `scheduler`: one of `torch.optim.lr_scheduler`, or a subclass, stepped after every `"epoch"` or
      every `"batch"` as `scheduler_step` says; `ReduceLROnPlateau` is given the validation loss
    - `patience`: stop after this many epochs without a lower validation loss, and put the
      weights of the best epoch back
    - `max_grad_norm`: shorten longer gradients to this length, a number above 0
    - `amp`: mixed precision, see `mixed_precision`
    - `checkpoint`: a file that holds the whole state after every epoch. The same call with the
      same file goes on where the last run was stopped; see below
    - `metric(logits, y)`: evaluated on the whole validation data at once, with logits of 16 bits as
      float32; None for no metric
    - `callbacks`: functions called as `callback(epoch, model, history)` after every epoch; a
      callback may keep columns of its own in the history
    - `progress`: show a progress bar

    Ctrl-C, or the notebook's stop button, ends the run early: model, optimizer and history are
    put back to the end of the last finished epoch (with `patience` the model to the best one), and
    the history is returned. With a checkpoint an epoch is finished when the file has it. If a batch
    can't be used (a label that is no class, a file that can't be read), they are put back in the
    same way, and ValueError names the batch and what is wrong; torch.OutOfMemoryError comes through
    as it is. With `num_workers` PyTorch may lose a Ctrl-C, which is to be pressed once more then, or
    take it for a worker that failed.

    A resumed run equals an unbroken one, on the CPU to the last bit. Part of the state are the
    weights of model and `loss_fn`, optimizer, schedule, history, and random numbers: the global
    ones, and the generators inside loaders, samplers, data sets, model, loss, metric and callbacks.
    Not part of it is what else your own objects count or remember, and what happens inside workers
    that live on (`persistent_workers=True`), about which `train` warns if random numbers are drawn
    there. If model, loss, optimizer, schedule, options or data are others than those of the file,
    `train` refuses to go on and says what differs; others may be `epochs`, the number of `patience`,
    `device`, `callbacks` and `progress`. Code of your own is compared with the settings that it reads by
    name, but for texts and yes or no in global variables. Hooks, what a stream yields, and all but a
    few rows of a data set of your own it can't compare.

    Under `torchrun` the same call trains on several processes together, each on its share of the
    rows. Give every process all the data. `batch_size` is that of one process: the result is that
    of one process with batches so many times as large, also with class weights and `ignore_index`
    in a cross-entropy of PyTorch, except that a last uneven batch is filled up with the epoch's
    first rows, that dropout draws other units, and that BatchNorm sees the batch of its own process
    alone. A loss of your own, also one that wraps a cross-entropy, must be a mean over rows. A
    schedule by the batch is counted in batches of the loader as you pass it, `epochs *
    len(train_loader)`, on any number of processes. Every process returns the same weights and
    losses; the first one alone shows progress, saves and runs the callbacks, which must only look.
    If one process fails, all stop. Ctrl-C ends the whole job; to go on from its checkpoint, start
    as many processes again.

    Raises ValueError or TypeError, before any weight changes, if an argument can't work. For that
    one batch of each loader is looked at first (with a checkpoint or several processes a few rows
    more), and a schedule gone through. Random generators, weights, what layers count or remember, and
    numbers and lists that loader, sampler, stream, loss or metric keep of themselves are put back
    afterwards; a data set or function that counts its calls notices. What a loss of your own is meant
    to be can't be seen: one that ignores the labels or counts padding is trained as it is.
    """
    # Look before anything changes.
    device = inputs.check_device(pick_device() if device is None else device)
    compared = checkpoint is not None or distributed.size() > 1
    with distributed.together():
        inputs.examine(
            model, train_loader, val_loader, loss_fn, optimizer, epochs, device,
            scheduler, scheduler_step, patience, max_grad_norm, amp, checkpoint, metric, callbacks,
            default_metric=accuracy, processes=distributed.size(),
            resumes=checkpoints.exists(checkpoint),
        )  # fmt: skip
        data = fingerprint.of_data(train_loader, val_loader) if compared else {}
        schedule_steps, train_loader, val_loader = distributed.shares(train_loader, val_loader)
    distributed.check_same(data)

    # Gather all that the run changes, and go on from where an earlier call was stopped.
    replica = distributed.replicate(model)
    step_loss = distributed.share_of_loss(loss_fn)
    history = History()
    autocast, scaler = mixed_precision(amp, device)
    state = checkpoints.TrainingState(
        model, loss_fn, optimizer, scheduler, scaler, history,
        (train_loader, val_loader, metric, *callbacks),
    )  # fmt: skip
    choices = {
        "metric": metric, "scheduler_step": scheduler_step, "amp": amp,
        "max_grad_norm": max_grad_norm, "patience": "set" if patience is not None else "not set",
    }  # fmt: skip
    run = partial(
        fingerprint.of_run, model, loss_fn, optimizer, scheduler, (train_loader, val_loader), choices, data
    )  # fmt: skip
    if checkpoint is not None:
        with distributed.together():
            state.resume(checkpoint, run, epochs)
    last_epoch_end = state.snapshot()
    step_options = {"max_grad_norm": max_grad_norm, "autocast": autocast, "scaler": scaler}
    rows = rows_counted(loss_fn)  # len, for most losses
    first = distributed.rank() == 0
    bar = _progress_bar(train_loader, epochs, history.epochs, progress and first)
    try:
        while history.epochs < epochs and not _out_of_patience(history, patience):
            # One epoch of training.
            start, lr = time.perf_counter(), float(optimizer.param_groups[0]["lr"])
            model.train()
            mean_loss = WeightedMean()
            with trial.watching("train_loader", train_loader, model, loss_fn, device) as batches:
                for xb, yb in batches:
                    xb, yb = xb.to(device, non_blocking=True), yb.to(device, non_blocking=True)
                    loss = train_step(replica, xb, yb, step_loss, optimizer, **step_options)
                    mean_loss.add(loss, rows(yb))
                    if scheduler is not None and scheduler_step == "batch":
                        for _ in range(next(schedule_steps)):  # one, unless processes share batches
                            scheduler.step()
                    bar.update()
            distributed.copy_buffers(model)

            # Its end: validation and the schedule.
            val_loss, val_acc = math.nan, math.nan
            if val_loader is not None:
                val_loss, val_acc = measure(
                    "val_loader", val_loader, model, loss_fn, device, metric, autocast
                )
            if scheduler is not None and scheduler_step == "epoch":
                if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                    scheduler.step(val_loss)
                else:
                    scheduler.step()

            # What is kept of it.
            history.append(
                train_loss=mean_loss.of_all_processes().value(),
                val_loss=val_loss,
                val_acc=val_acc,
                lr=lr,
                seconds=time.perf_counter() - start,
            )
            _warn_if_diverged(history, model, validated=val_loader is not None)
            if patience is not None and history.best_epoch == history.epochs:
                state.keep_best()
            if checkpoint is None:  # else the epoch is finished when the file has it
                last_epoch_end = state.snapshot()
            bar.set_postfix(
                train_loss=history["train_loss"][-1], val_loss=val_loss, val_acc=val_acc
            )
            with distributed.together():
                for callback in callbacks if first else ():
                    callback(history.epochs, model, history)
                    if checkpoint is None:
                        last_epoch_end = state.snapshot()
            if checkpoint is not None:
                state.save(checkpoint, run)  # last, since a callback may draw random numbers
                last_epoch_end = state.snapshot()
        state.put_best_back()
    except KeyboardInterrupt:
        state.restore(last_epoch_end)
        state.put_best_back()
        model.train()  # the interrupt may have come in the middle of an evaluation
        print(f"Stopped at the end of epoch {history.epochs}, the last one that was finished.")
    except Exception as error:
        state.restore(last_epoch_end)
        model.train()
        if isinstance(error, failures.Unusable):
            when = f"at the end of epoch {history.epochs}" if history.epochs else "before the call"
            error.args = (f"{error} Model, optimizer and history are as they were {when}.",)
        raise
    finally:
        bar.close()
    return history


def mixed_precision(amp, device):
    """The `autocast` context (None for full precision) and the gradient scaler for `amp`.

    `amp=True` is bfloat16, or float16 with a scaler on an older CUDA chip that has no bfloat16; a
    dtype, one of these two, chooses itself. `device` is a `torch.device`. Only float16 needs the
    scaler: its small numbers end at 6e-8, those of bfloat16 at 9e-41. The scaler looks for overflow
    before every step, for which the program waits for the device unless the optimizer is a fused one.
    """
    if not amp:
        return None, _NO_SCALER
    if amp is True:
        has_bfloat16 = device.type != "cuda" or torch.cuda.is_bf16_supported(False)
        amp = torch.bfloat16 if has_bfloat16 else torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=amp is torch.float16)
    return torch.autocast(device.type, dtype=amp), scaler


def _out_of_patience(history, patience):
    return patience is not None and history.epochs - (history.best_epoch or 0) >= patience


def _warn_if_diverged(history, model, validated):
    """Say so in the first epoch that has a loss without a value."""
    if _first_not_finite(history["train_loss"]):
        became = f"training loss became {history['train_loss'][-1]}"
        if all(parameter.isfinite().all() for parameter in model.parameters()):
            reason = (
                "All weights are still finite, so it is the loss of some batch that has no value: a "
                "mean over no rows, for example, or the logarithm of 0."
            )
        else:
            reason = (
                "Usual causes: a learning rate that is too high, a NaN in the data, or a logarithm, a root "
                "or a division of 0 in model or loss_fn. The weights can't recover."
            )
    elif validated and _first_not_finite(history["val_loss"]):
        became = f"validation loss became {history['val_loss'][-1]}"
        reason = (
            "Such an epoch can't count as the best. Is there a NaN in the validation data, or in the "
            "running means of a BatchNorm, or are all labels ignored?"
        )
    else:
        return
    warnings.warn(
        f"The {became} in epoch {history.epochs}. {reason}",
        stacklevel=5,  # the line that called train
    )


def _first_not_finite(losses):
    return not math.isfinite(losses[-1]) and all(map(math.isfinite, losses[:-1]))


def _progress_bar(loader, epochs, done, shown):
    from tqdm.auto import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no thread beside: a process with a second one allocates slower

    steps = length_hint(loader)  # 0 if it has no length
    return Bar(
        total=epochs * steps or None,
        initial=steps * done,
        miniters=1,  # what that thread would bring back to 1 after a pause
        disable=not shown,
        desc="training",
        unit="step",
    )
