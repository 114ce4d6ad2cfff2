"""Answers to the exercises of lesson 06."""

import random

import numpy as np
import torch
from torch.utils.data import BatchSampler, RandomSampler

from course_utils.checks.dataloader import (
    COUNTS,
    collate,
    mini_loader,
    pad_collate,
    sample_weights,
    windows,
)

from . import gallery

wrong, right = gallery("dataloader")

# Exercise 1

RIGHT = {name: number for name, (number, *_) in COUNTS.items()}

right("count_batches")(RIGHT)
right("count_batches")(
    dict(zip(RIGHT, (torch.tensor(27), torch.tensor([4]), np.array(780), 24.0), strict=True))
)
for name, (_, mistakes, way) in COUNTS.items():
    wrong("count_batches", {words: RIGHT | {name: number} for words, number in mistakes.items()})
    wrong("count_batches", {way: RIGHT | {name: 1234}})
wrong(
    "count_batches",
    {
        "A batch is there or not": RIGHT | {"steps in one epoch": 26.04},
        "Count its rows": RIGHT | {"rows in the last batch": 0.04},
        "should be a number": RIGHT | {"steps in one epoch": "27"},
        "That is one epoch": RIGHT
        | {"steps in one epoch": ..., "steps in 30 epochs with drop_last": 26},
        "Missing: steps in one epoch": {"steps": 27},
        "Pass the dict": [27, 4, 780, 24],
    },
)

# Exercise 2


def reads(item):
    """A dataset whose item is `item(window, target)`."""
    return windows.spoilt(__getitem__=lambda self, i: item(self.window(i), self.target(i)))


wrong(
    "windows",
    {
        "the class itself": windows.right(torch.arange(9.0), 3),
        "not a slice": reads(lambda window, target: (window, target[None])),
        "should be a tensor": reads(lambda window, target: (window, target.item())),
        "2 things": reads(lambda window, target: window[None]),
        "The numbers are right, their shape is not": reads(
            lambda window, target: (window[None], target)
        ),
        "the one value right after the window": reads(lambda window, target: (window, window)),
        "the window first": reads(lambda window, target: (target, window)),
        "an int": windows.spoilt(__len__=lambda self: 18.0),
        "self.series": windows.spoilt(__len__=lambda self: len(series)),  # noqa: F821
        "name 'row' is not defined": windows.spoilt(__len__=lambda self: row),  # noqa: F821
    },
)

# Exercise 3


@right("mini_loader")
class WithPyTorchsSampler(mini_loader.right):
    def __iter__(self):
        torch.randint(2**62, (), generator=self.generator)
        sampler = RandomSampler(self.X, generator=self.generator)
        for rows in BatchSampler(sampler, self.batch_size, self.drop_last):
            yield [self.X[rows], self.y[rows]]


def nothing(self):
    pass


def order_from_elsewhere(self):
    return torch.randperm(len(self.X))


def order_with_replacement(self):
    return torch.randint(len(self.X), (len(self.X),), generator=self.generator)


def seed_again(self):
    self.generator.manual_seed(1)


wrong(
    "mini_loader",
    {
        "never drew from the generator": mini_loader.spoilt(
            seed_workers=nothing, order=order_from_elsewhere, spare=nothing
        ),
        "One of your draws does not use it": mini_loader.spoilt(order=order_from_elsewhere),
        "Every epoch has the same order": mini_loader.spoilt(seed_workers=seed_again),
        "old order": mini_loader.spoilt(order=lambda self: torch.arange(len(self.X))),
        "come twice": mini_loader.spoilt(order=order_with_replacement),
        "don't belong together": mini_loader.spoilt(
            batch=lambda self, rows: (self.X[rows], self.y[rows.flip(0)])
        ),
        "`yield xb, yb`": mini_loader.spoilt(
            __iter__=lambda self: [*mini_loader.right.__iter__(self)]
        ),
        "no batch at all": mini_loader.spoilt(__iter__=lambda self: iter(())),
        "an empty batch": mini_loader.spoilt(
            slices=lambda self: [*mini_loader.right.slices(self), torch.arange(0)]
        ),
        "single rows": mini_loader.spoilt(slices=order_with_replacement),
        "Take the same rows of both": mini_loader.spoilt(
            batch=lambda self, rows: (self.X, self.y[rows])
        ),
    },
)

# Exercise 4


def given(*names):
    """The right answer with these parts only, in this order."""

    def attempt(rows):
        parts = dict(zip(("padded", "mask", "labels"), pad_collate.right(rows), strict=True))
        return [parts[name] for name in names]

    return attempt


wrong(
    "pad_collate",
    {
        "dtype bool": collate(mask=lambda rows, real: real.float()),
        "one entry for each place": collate(mask=lambda rows, real: real.sum(1)),
        "batch_first": collate(padded=lambda rows, right: right.T),
        "stay float32": collate(padded=lambda rows, right: right.double()),
        "as wide as the longest row of this batch": collate(
            padded=lambda rows, right: right[:, :2]
        ),
        "should be a tensor": collate(labels=torch.Tensor.tolist),
        "int64": collate(labels=torch.Tensor.float),
        "3 things": given("padded", "labels"),
        "mask should be of dtype bool": lambda rows: [
            pad_collate.right(rows)[i] for i in (0, 0, 2)
        ],
    },
)

# Exercise 5


@right("sample_weights")
def in_percent(y, shares):
    weights = torch.zeros(len(y), dtype=torch.double)
    for c, share in enumerate(shares):
        weights[y == c] = 100.0 * float(share) / (y == c).double().mean()
    return weights


wrong(
    "sample_weights",
    {
        "With shares [0.1, 0.15": lambda y, shares: (  # those of the first case, written in
            in_percent(y, [0.5, 0.2, 0.3, *shares[3:]])
        ),
        "one weight a class": lambda y, shares: torch.as_tensor(shares) / torch.bincount(y),
        "same weight": lambda y, shares: sample_weights.right(y.sort().values, shares),
        "with a list such as": lambda y, shares: (shares / torch.bincount(y))[y],
        "weights of shape [48]": lambda y, shares: in_percent(y, shares)[:-1],
        "above zero": lambda y, shares: in_percent(y, shares) * (y > 0),
        "as a tensor, one number for each row": lambda y, shares: "equal",
    },
)

# Exercise 6


def split(fifth=5, seeded=True, ruler=lambda X, train: (X[train].mean(dim=0), X[train].std(dim=0)),
          groups=torch.unique, held_out=None):  # fmt: skip
    """A right answer, to be spoilt by its options."""

    def clean_split(X, y, group, seed):
        generator = torch.Generator()
        generator.manual_seed(seed) if seeded else generator.seed()
        names = groups(group)
        order = torch.randperm(len(names), generator=generator)
        val = torch.isin(group, names[order[: len(names) // fifth]])
        if held_out:
            val = held_out(X, group, names[order])
        mean, std = ruler(X, ~val)
        return (X[~val] - mean) / std, y[~val], (X[val] - mean) / std, y[val]

    return clean_split


def afterwards(change):
    """The right answer with `change(X, X_train, y_train, X_val, y_val)` instead of its result."""
    return lambda X, y, group, seed: change(X, *split()(X, y, group, seed))


def own(part):
    return (part - part.mean(dim=0)) / part.std(dim=0)


@right("clean_split")
def with_python_and_numpy(X, y, group, seed):
    ids = sorted(set(group.tolist()))
    chosen = random.Random(seed).sample(ids, len(ids) // 5)
    val = np.isin(group.numpy(), chosen)
    mean, std = X.numpy()[~val].mean(axis=0), X.numpy()[~val].std(axis=0)
    Z = torch.as_tensor((X.numpy() - mean) / std)
    return Z[~val], y[~val], Z[val], y[val]


@right("clean_split")
def by_lists_of_rows(X, y, group, seed):
    torch.manual_seed(seed)
    groups = group.unique()[torch.randperm(group.unique().numel())]
    val_groups = set(groups[: len(groups) // 5].tolist())
    train = [i for i, g in enumerate(group.tolist()) if g not in val_groups]
    val = [i for i, g in enumerate(group.tolist()) if g in val_groups]
    std, mean = torch.std_mean(X[train], dim=0)
    return [(X[train] - mean) / std, y[train], (X[val] - mean) / std, y[val]]


def rows_not_groups(X, group, names):
    return torch.isin(torch.arange(len(X)), torch.randperm(len(X))[: len(X) // 5])


def until_a_fifth_of_the_rows(X, group, names):
    held_out = torch.zeros(len(X), dtype=torch.bool)
    for name in names:
        if held_out.sum() < len(X) // 5:
            held_out |= group == name
    return held_out


def with_replacement(X, group, names):
    return torch.isin(group, names[torch.randint(len(names), (2,))])


def a_block(X, group, names):
    start = int(names[0]) % 5 * 2
    return torch.isin(group, group.unique()[start : start + 2])


wrong(
    "clean_split",
    {
        "groups have rows in both parts": split(held_out=rows_not_groups),
        "exchanged": afterwards(lambda X, Xt, yt, Xv, yv: (Xv, yv, Xt, yt)),
        "two different splits": split(seeded=False),
        "seeds gave the same split": split(
            held_out=lambda X, group, _: torch.isin(group, group.unique()[:2])
        ),
        "was drawn twice": split(held_out=with_replacement),
        "Any 2 of the 12 groups should be possible": split(held_out=a_block),
        "has 3": split(fifth=4),
        "Of 17 groups a fifth, rounded down, is 3": split(
            held_out=lambda X, group, names: torch.isin(group, names[:2])
        ),
        "their numbers have gaps": split(groups=lambda group: torch.arange(int(group.max()) + 1)),
        "Count groups, not rows": split(held_out=until_a_fifth_of_the_rows),
        "exactly once": afterwards(lambda X, Xt, yt, Xv, yv: (Xt[1:], yt[1:], Xv, yv)),
        "4 things": afterwards(lambda X, Xt, yt, Xv, yv: (Xt, Xv)),
        "Another order": afterwards(lambda X, Xt, yt, Xv, yv: (Xt, Xv, yt, yv)),
        "Inputs and labels don't fit": afterwards(lambda X, Xt, yt, Xv, yv: (Xt[1:], yt, Xv, yv)),
        "training part has no rows": afterwards(lambda X, Xt, yt, Xv, yv: (Xt[:0], yt[:0], Xv, yv)),
        "validation part has no rows. Places drawn": split(
            groups=lambda group: -torch.arange(1, 1 + len(group.unique()))
        ),
        "same order": afterwards(lambda X, Xt, yt, Xv, yv: (Xt, yt.flip(0), Xv, yv)),
        "come from all rows": split(ruler=lambda X, train: (X.mean(dim=0), X.std(dim=0))),
        "by its own mean": afterwards(lambda X, Xt, yt, Xv, yv: (Xt, yt, own(X[yv]), yv)),
        "are not scaled": split(ruler=lambda X, train: (0, 1)),
        "Only the training part is scaled": afterwards(
            lambda X, Xt, yt, Xv, yv: (Xt, yt, X[yv], yv)
        ),
        "nothing is divided": split(ruler=lambda X, train: (X[train].mean(dim=0), 1)),
        "each column has its own, dim=0": split(
            ruler=lambda X, train: (X[train].mean(), X[train].std())
        ),
        "divided by the variance": split(
            ruler=lambda X, train: (X[train].mean(dim=0), X[train].var(dim=0))
        ),
    },
)
