"""The loop to copy: killed and resumed it ends where it would have ended, and that is train's end."""

import pytest
import torch
from torch import nn

from course_utils import mlp, moons, tensor_loader, train, whole_loop

X, y = moons(300, noise=0.3, seed=0)
TRAIN = tensor_loader(X[:200], y[:200], batch_size=32, shuffle=True)
VAL = tensor_loader(X[200:], y[200:], batch_size=64)
LOSS = nn.CrossEntropyLoss()
EPOCHS = 12


def start():
    torch.manual_seed(0)
    model = mlp(2, 32, 2, dropout=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    steps = EPOCHS * len(TRAIN)
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)


def fit(path, patience=EPOCHS, log=lambda line: None):
    model, optimizer, scheduler = start()
    options = {"patience": patience, "device": torch.device("cpu"), "log": log}
    run = whole_loop.fit(
        model, TRAIN, VAL, LOSS, optimizer, scheduler, EPOCHS, path, max_norm=0.5, **options
    )
    return model, run


def equal(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_a_killed_run_goes_on_to_the_same_end(tmp_path):
    def dies(line):
        if line.startswith("epoch 5:"):
            raise ConnectionError

    undisturbed, run = fit(tmp_path / "a.pt")
    with pytest.raises(ConnectionError):
        fit(tmp_path / "b.pt", log=dies)
    lines = []
    resumed, resumed_run = fit(tmp_path / "b.pt", log=lines.append)
    assert equal(undisturbed, resumed) and run["val_loss"] == resumed_run["val_loss"]
    assert lines[0].startswith("epoch 5:") and "validation loss" in lines[0] and "rate" in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


@pytest.mark.parametrize("patience", [2, EPOCHS])
def test_it_is_the_loop_of_the_package(tmp_path, patience):
    mine, run = fit(tmp_path / "a.pt", patience)
    model, optimizer, scheduler = start()
    history = train(
        model, TRAIN, VAL, LOSS, optimizer, EPOCHS, "cpu", progress=False, scheduler=scheduler,
        scheduler_step="batch", max_grad_norm=0.5, patience=patience,
    )  # fmt: skip
    assert run["train_loss"] == history["train_loss"] and run["val_loss"] == history["val_loss"]
    assert run["best_epoch"] == history.best_epoch and equal(mine, model)
