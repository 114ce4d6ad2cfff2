"""What `train()` costs beside the hand-written loop of lesson 05, as ratios in one run.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.train_overhead

Two moons, MLP 2-64-2 with dropout, 1600 points, batch 64, AdamW, 20 epochs. Each round times all
contestants once, in rotating order; a ratio compares times of the same round. Weights and history
must be bit-identical before anything is timed.
"""

import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils import evaluate, mlp, moons, tensor_loader, train
from tests.lessons import hand_written_loop

EPOCHS, ROUNDS = 20, 15


def plain_loader(*tensors, **options):
    return DataLoader(TensorDataset(*tensors), **options)


def run(loop, make_loader):
    """(seconds, history, weights) of one run from the same start."""
    X, y = moons(2000, seed=0)
    torch.manual_seed(0)
    model = mlp(2, 64, 2, dropout=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    train_loader = make_loader(X[:1600], y[:1600], batch_size=64, shuffle=True)
    val_loader = make_loader(X[1600:], y[1600:], batch_size=256)
    start = time.perf_counter()
    history = loop(model, train_loader, val_loader, nn.CrossEntropyLoss(), optimizer, EPOCHS, "cpu")
    seconds = time.perf_counter() - start
    return seconds, history, torch.cat([p.detach().flatten() for p in model.parameters()])


def quiet_train(*arguments):
    return train(*arguments, progress=False)


def import_seconds(statement):
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return float(subprocess.check_output([sys.executable, "-c", code]))


def report(name, ratios):
    print(
        f"{name:<34} {statistics.median(ratios):.2f}x   "
        f"(from {min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"
    )


def main():
    by_hand = hand_written_loop(evaluate)
    contestants = {
        "hand-written loop": (by_hand, plain_loader),
        "train(), same DataLoader": (quiet_train, plain_loader),
        "train(), tensor_loader": (quiet_train, tensor_loader),
    }
    _, history, weights = run(*contestants["hand-written loop"])
    for name, contestant in contestants.items():
        _, other_history, other_weights = run(*contestant)
        assert torch.equal(weights, other_weights), name
        assert all(history[key] == other_history[key] for key in history), name

    names = list(contestants)
    times = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            times[name].append(run(*contestants[name])[0])
        names.append(names.pop(0))
    base = times["hand-written loop"]
    for name in list(contestants)[1:]:
        report(name, [t / b for t, b in zip(times[name], base, strict=True)])

    extra = [
        import_seconds("import torch, course_utils") - import_seconds("import torch")
        for _ in range(5)
    ]
    print(f"import course_utils after torch: {statistics.median(extra):+.3f} s (median of 5)")
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}, one thread")


if __name__ == "__main__":
    main()
