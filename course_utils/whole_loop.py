"""A whole training loop in one piece, to copy: plain PyTorch, nothing of this course.

A schedule by the batch, clipping, mixed precision on a GPU, the best weights, and a checkpoint
from which a killed run goes on. Lesson 07 says why each line stands where it does.
"""

import copy
import os

import torch
from torch import nn


def fit(
    model, train_loader, val_loader, loss_fn, optimizer, scheduler, epochs, path,
    patience=10, max_norm=1.0, device=None, log=print,
):  # fmt: skip
    """Train, or go on with the run in the file `path`; returns its losses and its best epoch."""
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    run = {"train_loss": [], "val_loss": [], "best_epoch": 0, "best_weights": None}
    if os.path.exists(path):
        resume(path, parts, run)
    while len(run["val_loss"]) < epochs and len(run["val_loss"]) - run["best_epoch"] < patience:
        train_loss = train_epoch(
            model, train_loader, loss_fn, optimizer, scheduler, scaler, max_norm, device
        )
        val_loss = validate(model, val_loader, loss_fn, device)
        if val_loss < min(run["val_loss"], default=float("inf")):
            run["best_epoch"] = len(run["val_loss"]) + 1
            run["best_weights"] = copy.deepcopy(model.state_dict())
        run["train_loss"].append(train_loss)
        run["val_loss"].append(val_loss)
        log(
            f"epoch {len(run['val_loss'])}: training loss {train_loss:.4f}, "
            f"validation loss {val_loss:.4f}, rate {optimizer.param_groups[0]['lr']:.2e}"
        )
        save(path, parts, run)  # last: the state after everything
    if run["best_weights"] is not None:
        model.load_state_dict(run["best_weights"])
    return run


def train_epoch(model, loader, loss_fn, optimizer, scheduler, scaler, max_norm, device):
    """One pass over the loader; returns the mean loss per row."""
    model.train()
    total, rows = 0.0, 0
    for xb, yb in loader:
        xb, yb = xb.to(device), yb.to(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.float16, enabled=scaler.is_enabled()):
            loss = loss_fn(model(xb), yb)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # the limit is meant for the true gradient
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)  # leaves the step out if a gradient is infinite
        scaler.update()
        scheduler.step()  # once a batch: the schedule counts batches
        total += loss.item() * len(xb)
        rows += len(xb)
    return total / rows


@torch.no_grad()
def validate(model, loader, loss_fn, device):
    """The mean loss per row, in evaluation mode."""
    model.eval()
    total, rows = 0.0, 0
    for xb, yb in loader:
        xb, yb = xb.to(device), yb.to(device)
        total += loss_fn(model(xb), yb).item() * len(xb)
        rows += len(xb)
    return total / rows


def save(path, parts, run):
    """Write the whole state so that `path` is whole at any moment: the old file or the new one."""
    states = {name: part.state_dict() for name, part in parts.items()}
    random = [torch.get_rng_state()]
    if torch.cuda.is_available():
        random += torch.cuda.get_rng_state_all()
    with open(f"{path}.part", "wb") as file:
        torch.save({"states": states, "run": run, "random": random}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.part", path)


def resume(path, parts, run):
    """Put everything back to where it was at the end of the last epoch."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(content["states"][name])
    run.update(content["run"])
    torch.set_rng_state(content["random"][0])  # last: nothing may draw after it
    if len(content["random"]) > 1:
        torch.cuda.set_rng_state_all(content["random"][1:])
