"""A sweep over 32 learning rates at once against one after the other, as a ratio in one run.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.learning_rate_sweep

Two moons, MLP 2-64-2, 1600 points, batch 64, 4 epochs, the same batches for both. Each round times
both ways once; the losses must agree before anything is timed.
"""

import sys
import time
from functools import partial

import torch
from torch import nn

from benchmarks.train_overhead import report
from course_utils import evaluate, mlp, moons, sweep_learning_rates

EPOCHS, ROUNDS = 4, 7
LRS = torch.logspace(-4, -1, 32)  # where runs don't explode and rounding is not multiplied
LOSS = nn.CrossEntropyLoss()
MAKE_MODEL = partial(mlp, 2, 64, 2)


def one_by_one(batches, optimizer):
    losses = []
    for lr in LRS.tolist():
        torch.manual_seed(0)
        model = MAKE_MODEL()
        own = optimizer(model.parameters(), lr=lr)
        for _ in range(EPOCHS):
            for xb, yb in batches:
                own.zero_grad()
                LOSS(model(xb), yb).backward()
                own.step()
        losses.append(evaluate(model, batches, LOSS)[0])
    return torch.tensor([losses])


def all_at_once(batches, optimizer):
    return sweep_learning_rates(MAKE_MODEL, LRS, batches, LOSS, optimizer, EPOCHS)


def seconds(sweep, *arguments):
    start = time.perf_counter()
    sweep(*arguments)
    return time.perf_counter() - start


def main():
    X, y = moons(1600, seed=0)
    batches = list(zip(X.split(64), y.split(64), strict=True))
    for name, optimizer in {
        "SGD": torch.optim.SGD,
        "SGD, momentum 0.9": partial(torch.optim.SGD, momentum=0.9),
        "AdamW": torch.optim.AdamW,
        "AdamW, fused": partial(torch.optim.AdamW, fused=True),
    }.items():
        torch.testing.assert_close(
            all_at_once(batches, optimizer), one_by_one(batches, optimizer), rtol=1e-2, atol=1e-4
        )
        ratios = [
            seconds(one_by_one, batches, optimizer) / seconds(all_at_once, batches, optimizer)
            for _ in range(ROUNDS)
        ]
        report(name, ratios)
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}, one thread")


if __name__ == "__main__":
    main()
