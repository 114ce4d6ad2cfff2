"""The run that lesson 07 kills: in a process of its own, without warning, in the middle."""

import subprocess
import sys

import torch
from torch import nn

from .data import moons
from .loaders import tensor_loader
from .models import mlp
from .training import train


def run(checkpoint=None, epochs=60, callbacks=()):
    """Train with everything that carries state, or go on from the file `checkpoint`."""
    X, y = moons(1000, noise=0.2, seed=0)
    train_loader = tensor_loader(X[:600], y[:600], batch_size=64, shuffle=True)
    val_loader = tensor_loader(X[600:], y[600:], batch_size=400)
    torch.manual_seed(0)
    model = mlp(2, 64, 2, dropout=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    history = train(
        model, train_loader, val_loader, nn.CrossEntropyLoss(), optimizer, epochs, "cpu",
        scheduler=scheduler, checkpoint=checkpoint, callbacks=callbacks, progress=False,
    )  # fmt: skip
    return model, history


def start_and_kill(checkpoint, epoch):
    """Start `run` as another process, kill it during this epoch, and return its exit code."""
    command = [sys.executable, "-m", "course_utils.killed_run", str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.strip() == str(epoch):
                process.kill()  # SIGKILL; on Windows, its equivalent
                break
    return process.returncode


if __name__ == "__main__":
    run(sys.argv[1], callbacks=[lambda epoch, *_: print(epoch, flush=True)])
