"""What watching costs: a loop under `LoopDoctor`, beside PyTorch's anomaly detection.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.doctor_overhead

Two loops: two moons, MLP 2-64-2, 1600 points, batch 64, AdamW, 20 epochs, with a validation after
each; and an MLP 256-512-512-10 at batch 256, whose step takes 5 ms or more. Each round times all
contestants once, in rotating order, in CPU time; a ratio compares times of the same round. The
weights must be bit-identical before anything is timed.
"""

import statistics
import sys
import time
import warnings
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from course_utils import LoopDoctor, mlp, moons

ROUNDS = 15
CONTESTANTS = {
    "nothing": nullcontext,
    "LoopDoctor": lambda: LoopDoctor(verbose=False),
    "detect_anomaly": lambda: torch.autograd.detect_anomaly(check_nan=True),
}


def two_moons():
    X, y = moons(2000, seed=0)
    return X, y, 1600, 64, (2, 64, 2), 20


def five_milliseconds():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(6400, 256, generator=generator)
    return X, X[:, :10].argmax(1), 5120, 256, (256, 512, 512, 10), 4


def run(data, watching):
    """(seconds per step, weights) of one run from the same start."""
    X, y, n, batch_size, widths, epochs = data()
    torch.manual_seed(0)
    model = mlp(*widths)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    train_loader = DataLoader(TensorDataset(X[:n], y[:n]), batch_size=batch_size, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[n:], y[n:]), batch_size=256)
    start = time.process_time()
    with watching():
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for xb, yb in val_loader:
                    F.cross_entropy(model(xb), yb)
    seconds = (time.process_time() - start) / (epochs * len(train_loader))
    return seconds, torch.cat([p.detach().flatten() for p in model.parameters()])


def main():
    warnings.filterwarnings("ignore", message="Anomaly Detection has been enabled")
    for data in (two_moons, five_milliseconds):
        _, weights = run(data, nullcontext)
        for name, watching in CONTESTANTS.items():
            assert torch.equal(run(data, watching)[1], weights), name
        names = list(CONTESTANTS)
        times = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                times[name].append(run(data, CONTESTANTS[name])[0])
            names.append(names.pop(0))
        base = times["nothing"]
        print(f"{data.__name__}: {1000 * statistics.median(base):.2f} ms a step")
        for name in list(CONTESTANTS)[1:]:
            ratios = [t / b for t, b in zip(times[name], base, strict=True)]
            print(
                f"  {name:<16} {statistics.median(ratios):.2f}x   "
                f"(from {min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"
            )
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}, one thread")


if __name__ == "__main__":
    main()
