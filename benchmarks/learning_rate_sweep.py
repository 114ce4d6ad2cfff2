"""What training 32 models at once saves

The sweep of lesson 04: two moons, MLP 2-64-2, 1600 rows, 32 learning rates, batch 64, 4 epochs; \
`sweep_learning_rates`, which stacks the models with `torch.func`, against a Python loop over the \
learning rates, on the same batches. One thread, CPU time. The losses agree.
"""

from functools import partial

import torch
from torch import nn

from benchmarks import Row, Table, cpu_seconds, in_rounds, milliseconds, ratios
from course_utils import evaluate, mlp, moons, sweep_learning_rates

EPOCHS, ROUNDS = 4, 5
LRS = torch.logspace(-4, -1, 32)  # where runs don't explode and rounding is not multiplied
LOSS = nn.CrossEntropyLoss()
MAKE_MODEL = partial(mlp, 2, 64, 2)
OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "SGD, momentum 0.9": partial(torch.optim.SGD, momentum=0.9),
    "AdamW": torch.optim.AdamW,
    "AdamW, fused": partial(torch.optim.AdamW, fused=True),
}

READING = """\
Stacked models take a fraction of the time, because PyTorch's own work for each small operation is \
done once for all of them. AdamW gains most, since its step consists of many small operations; its \
fused form, which is one operation already, gains less.
"""


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


def measure():
    X, y = moons(1600, seed=0)
    batches = list(zip(X.split(64), y.split(64), strict=True))
    rows = []
    for name, optimizer in OPTIMIZERS.items():
        torch.testing.assert_close(
            all_at_once(batches, optimizer), one_by_one(batches, optimizer), rtol=1e-2, atol=1e-4
        )
        times = in_rounds(
            {
                sweep: partial(cpu_seconds, sweep, batches, optimizer)
                for sweep in (one_by_one, all_at_once)
            },
            ROUNDS,
        )
        here = times[all_at_once]
        rows.append(Row(name, ratios(here, times[one_by_one]), (milliseconds(here),), ours=True))
    yield Table("32 learning rates", rows, ("all at once",), "one model after the other")
