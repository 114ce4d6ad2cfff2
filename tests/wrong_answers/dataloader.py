"""Answers to the exercises of lesson 06."""

import math
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, Dataset, RandomSampler

from . import gallery

wrong, right = gallery("dataloader")

# Exercise 1


def counted(steps=27, last=4, dropped=780, weight=24):
    return {
        "steps in one epoch": steps,
        "rows in the last batch": last,
        "steps in 30 epochs with drop_last": dropped,
        "weight of a row in the last batch": weight,
    }


right("count_batches")(counted())
right("count_batches")(
    counted(math.ceil(2500 / 96), 2500 % 96, np.int64(30 * (2500 // 96)), 96 / (2500 % 96))
)
wrong("count_batches", "rows that are left make one more")(counted(steps=26))
wrong("count_batches", "a whole step, with fewer rows")(counted(steps=2500 / 96))
wrong("count_batches", "does not divide evenly")(counted(last=96))
wrong("count_batches", "missing to fill")(counted(last=92))
wrong("count_batches", "which drop_last leaves out")(counted(dropped=810))
wrong("count_batches", "carried over into the next")(counted(dropped=781))
wrong("count_batches", "That is one epoch")(counted(dropped=26))
wrong("count_batches", "The other way round")(counted(weight=1 / 24))
wrong("count_batches", "if the means were weighted")(counted(weight=1))
wrong("count_batches", "should be a number")(counted(steps="27"))
wrong("count_batches", "four names")({"steps": 27})

right("count_batches")(counted(torch.tensor(27), torch.tensor([4]), np.array(780), 24.0))


wrong("count_batches", "a whole step, with fewer rows")(counted(steps=26.04))
wrong("count_batches", "Count its rows")(counted(last=0.04))
wrong("count_batches", "Divide it by that in a full one")(counted(weight=1 / 4))


# Exercise 2


class WindowsRight(Dataset):
    def __init__(self, series, width):
        self.series, self.width = series, width

    def __len__(self):
        return len(self.series) - self.width

    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width]


@right("windows")
class UnfoldedAtOnce(Dataset):
    def __init__(self, series, width):
        self.windows = series.unfold(0, width, 1)[:-1]
        self.targets = series[width:]

    def __len__(self):
        return self.targets.numel()

    def __getitem__(self, i):
        return [self.windows[i], self.targets[i]]


@right("windows")
def a_list_is_a_dataset(series, width):
    return [(series[i - width : i], series[i]) for i in range(width, len(series))]


@wrong("windows", "number of values")
class LengthOfTheSeries(WindowsRight):
    def __len__(self):
        return len(self.series)


@wrong("windows", "has no target")
class OneTooMany(WindowsRight):
    def __len__(self):
        return len(self.series) - self.width + 1


@wrong("windows", "One too few")
class OneTooFew(WindowsRight):
    def __len__(self):
        return len(self.series) - self.width - 1


@wrong("windows", "starts at every position")
class NoOverlapInLength(WindowsRight):
    def __len__(self):
        return len(self.series) // self.width


@wrong("windows", "one value short")
class ShortWindow(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width - 1], self.series[i + self.width]


@wrong("windows", "contains its own target")
class TargetInside(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width + 1], self.series[i + self.width]


@wrong("windows", "last value of the window itself")
class TargetSeen(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width - 1]


@wrong("windows", "one too far")
class TargetTooFar(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width + 1]


@wrong("windows", "not a slice")
class TargetSliced(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width : i + self.width + 1]


@wrong("windows", "should be a tensor")
class TargetAsNumber(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + self.width].item()


@wrong("windows", "2 things")
class WindowOnly(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width + 1][None]


wrong("windows", "the class itself")(WindowsRight(torch.arange(9.0), 3))


class Sliced(Dataset):
    def __init__(self, series, width):
        self.series, self.width = series, width

    def __len__(self):
        return len(self.series) - self.width

    def __getitem__(self, i):
        return self.series[i : self.width], self.series[i + self.width]


wrong("windows", "[i : width] ends too early")(Sliced)


@wrong("windows", "shape [5]; yours has [1, 5]")
class WithABatchDimension(Sliced):
    def __getitem__(self, i):
        return self.series[None, i : i + self.width], self.series[i + self.width]


@wrong("windows", "the one value right after the window")
class TargetForEachStep(WindowsRight):
    def __getitem__(self, i):
        return self.series[i : i + self.width], self.series[i + 1 : i + self.width + 1]


@wrong("windows", "the window first")
class TargetFirst(WindowsRight):
    def __getitem__(self, i):
        return self.series[i + self.width], self.series[i : i + self.width]


# Exercise 3


class Mini:
    """A right answer, to be spoilt below in one place each."""

    def __init__(self, X, y, batch_size, generator, drop_last=False):
        self.X, self.y = X, y
        self.batch_size, self.generator, self.drop_last = batch_size, generator, drop_last

    def __len__(self):
        batches = len(self.X) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def worker_seed(self):
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)

    def order(self):
        return torch.randperm(len(self.X), generator=self.generator)

    def batch(self, rows):
        return self.X[rows], self.y[rows]

    def starts(self):
        return range(0, len(self) * self.batch_size, self.batch_size)

    def spare(self):
        self.order()

    def __iter__(self):
        self.worker_seed()
        order = self.order()
        for start in self.starts():
            yield self.batch(order[start : start + self.batch_size])
        self.spare()


@right("mini_loader")
class WithSplit(Mini):
    def __iter__(self):
        self.worker_seed()
        batches = self.order().split(self.batch_size)
        batches = [rows for rows in batches if len(rows) == self.batch_size or not self.drop_last]
        self.spare()
        return iter([self.batch(rows) for rows in batches])


@right("mini_loader")
class WithPyTorchsSampler(Mini):
    def __iter__(self):
        torch.randint(2**62, (), generator=self.generator)
        sampler = RandomSampler(self.X, generator=self.generator)
        for rows in BatchSampler(sampler, self.batch_size, self.drop_last):
            yield [self.X[rows], self.y[rows]]


@wrong("mini_loader", "You draw only the order")
class OrderOnly(Mini):
    def worker_seed(self):
        pass

    def spare(self):
        pass


@wrong("mini_loader", "The first epoch is right")
class NoSpare(Mini):
    def spare(self):
        pass


@wrong("mini_loader", "Draw 1")
class NoWorkerSeed(Mini):
    def worker_seed(self):
        pass


@wrong("mini_loader", "never drew from the generator")
class GlobalGenerator(Mini):
    def worker_seed(self):
        pass

    def order(self):
        return torch.randperm(len(self.X))


@wrong("mini_loader", "Every epoch has the same order")
class SeededAgain(Mini):
    def worker_seed(self):
        self.generator.manual_seed(1)
        super().worker_seed()


@wrong("mini_loader", "old order")
class NotShuffled(Mini):
    def __iter__(self):
        self.order()
        for start in self.starts():
            yield self.batch(slice(start, start + self.batch_size))


@wrong("mini_loader", "don't belong together")
class ShuffledSeparately(Mini):
    def batch(self, rows):
        return self.X[rows], self.y[rows.flip(0)]


@wrong("mini_loader", "come twice")
class WithReplacement(Mini):
    def order(self):
        return torch.randint(len(self.X), (len(self.X),), generator=self.generator)


@wrong("mini_loader", "are a batch too")
class LastOneMissing(Mini):
    def __len__(self):
        return len(self.X) // self.batch_size


@wrong("mini_loader", "does not count")
class DropLastIgnored(Mini):
    def __len__(self):
        return math.ceil(len(self.X) / self.batch_size)


@wrong("mini_loader", "the batches should have")
class DropLastOnlyInLength(Mini):
    def starts(self):
        return range(0, len(self.X), self.batch_size)


@wrong("mini_loader", "20 rows are four full batches")
class AlwaysOneMore(Mini):
    def __len__(self):
        return len(self.X) // self.batch_size + (not self.drop_last)


@wrong("mini_loader", "Count batches")
class LengthInRows(Mini):
    def __len__(self):
        return len(self.X)


@wrong("mini_loader", "`yield xb, yb`")
class ListReturned(Mini):
    def __iter__(self):
        return list(super().__iter__())


@wrong("mini_loader", "no batch at all")
class ReturnsInsteadOfYields(Mini):
    def __iter__(self):
        return iter(())


class ItsOwnIterator:
    """Draws in __iter__, which calls itself an iterator."""

    def __init__(self, X, y, batch_size, generator, drop_last=False):
        self.X, self.y = X, y
        self.batch_size, self.generator, self.drop_last = batch_size, generator, drop_last

    def __len__(self):
        whole, rest = divmod(len(self.X), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self):
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        order = torch.randperm(len(self.X), generator=self.generator)
        torch.randperm(len(self.X), generator=self.generator)
        self.left = list(order.split(self.batch_size)[: len(self)])
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        rows = self.left.pop(0)
        return self.X[rows], self.y[rows]


right("mini_loader")(ItsOwnIterator)


@wrong("mini_loader", "what the last epoch has shuffled")
class ShufflesItsData(ItsOwnIterator):
    def __iter__(self):
        super().__iter__()
        order = torch.cat([*self.left, torch.arange(0)])
        if len(order) == len(self.X):
            self.X, self.y = self.X[order], self.y[order]
            self.left = list(torch.arange(len(self.X)).split(self.batch_size))
        return self


@wrong("mini_loader", "single rows")
class OneRowEach(Mini):
    def __iter__(self):
        for row in self.order():
            yield self.X[row], self.y[row]


@wrong("mini_loader", "of another kind")
class DrawOfAnotherKind(Mini):
    def worker_seed(self):
        torch.rand(1, generator=self.generator)


@wrong("mini_loader", "One of your draws does not use it")
class OrderFromElsewhere(Mini):
    def order(self):
        return torch.randperm(len(self.X))

    def spare(self):
        torch.randperm(len(self.X), generator=self.generator)


@wrong("mini_loader", "20 rows in batches of 5, drop_last=True")
class DropsAlways(Mini):
    def __len__(self):
        return math.ceil(len(self.X) / self.batch_size) - self.drop_last


# Exercise 4


def padding(rows, value=0.0):
    return nn.utils.rnn.pad_sequence(
        [row for row, _ in rows], batch_first=True, padding_value=value
    )


def lengths_of(rows):
    return torch.tensor([len(row) for row, _ in rows])


def mask_of(rows):
    return torch.arange(lengths_of(rows).max()) < lengths_of(rows)[:, None]


def labels_of(rows):
    return torch.tensor([label for _, label in rows])


@right("pad_collate")
def by_loops(rows):
    longest = max(len(values) for values, _ in rows)
    padded = torch.zeros(len(rows), longest)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    labels = torch.zeros(len(rows), dtype=torch.long)
    for i, (values, label) in enumerate(rows):
        padded[i, : len(values)] = values
        mask[i, : len(values)] = True
        labels[i] = label
    return padded, mask, labels


@right("pad_collate")
def mask_from_ones(rows):
    values, labels = zip(*rows, strict=True)
    ones = [torch.ones_like(v, dtype=torch.bool) for v in values]
    pad = nn.utils.rnn.pad_sequence
    return [pad(values, batch_first=True), pad(ones, batch_first=True), torch.LongTensor(labels)]


@wrong("pad_collate", "a real value may be zero")
def mask_from_values(rows):
    return padding(rows), padding(rows) != 0, labels_of(rows)


@wrong("pad_collate", "True for the padding")
def mask_inverted(rows):
    return padding(rows), ~mask_of(rows), labels_of(rows)


@wrong("pad_collate", "one place too long")
def mask_too_long(rows):
    mask = torch.arange(lengths_of(rows).max()) <= lengths_of(rows)[:, None]
    return padding(rows), mask, labels_of(rows)


@wrong("pad_collate", "dtype bool")
def mask_of_floats(rows):
    return padding(rows), mask_of(rows).float(), labels_of(rows)


@wrong("pad_collate", "one entry for each place")
def lengths_instead_of_a_mask(rows):
    return padding(rows), lengths_of(rows), labels_of(rows)


@wrong("pad_collate", "batch_first")
def batch_second(rows):
    return padding(rows).T, mask_of(rows).T, labels_of(rows)


@wrong("pad_collate", "padded should be")
def padded_with_minus_one(rows):
    return padding(rows, value=-1.0), mask_of(rows), labels_of(rows)


@wrong("pad_collate", "before the values")
def padded_on_the_left(rows):
    flipped = [(values.flip(0), label) for values, label in rows]
    return padding(flipped).flip(1), mask_of(rows).flip(1), labels_of(rows)


@wrong("pad_collate", "as wide as the longest row of this batch")
def cut_to_the_shortest(rows):
    shortest = min(len(values) for values, _ in rows)
    padded = torch.stack([values[:shortest] for values, _ in rows])
    return padded, torch.ones_like(padded, dtype=torch.bool), labels_of(rows)


@wrong("pad_collate", "should be a tensor")
def labels_as_a_list(rows):
    return padding(rows), mask_of(rows), [label for _, label in rows]


@wrong("pad_collate", "int64")
def labels_as_floats(rows):
    return padding(rows), mask_of(rows), labels_of(rows).float()


@wrong("pad_collate", "3 things")
def no_mask(rows):
    return padding(rows), labels_of(rows)


@wrong("pad_collate", "Don't sort them")
def longest_first(rows):
    rows = sorted(rows, key=lambda row: -len(row[0]))
    values, labels = zip(*rows, strict=True)
    padded = nn.utils.rnn.pad_sequence(values, batch_first=True)
    lengths = torch.tensor([len(row) for row in values])
    return padded, torch.arange(padded.shape[1]) < lengths[:, None], torch.tensor(labels)


@right("pad_collate")
def padded_with_nan(rows):
    values, labels = zip(*rows, strict=True)
    padded = nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=math.nan)
    return padded.nan_to_num(), ~padded.isnan(), torch.tensor(labels)


# Exercise 5


@right("sample_weights")
def row_by_row(y, shares):
    return [float(shares[c]) / (y == c).sum().item() for c in y.tolist()]


@right("sample_weights")
def in_percent(y, shares):
    weights = torch.zeros(len(y), dtype=torch.double)
    for c, share in enumerate(shares):
        weights[y == c] = 100.0 * float(share) / (y == c).double().mean()
    return weights


@wrong("sample_weights", "one weight a class")
def one_a_class(y, shares):
    return shares / torch.bincount(y)


@wrong("sample_weights", "same weight")
def in_the_order_of_the_classes(y, shares):
    return (shares / torch.bincount(y))[y.sort().values]


@wrong("sample_weights", "with a list such as")
def tensors_only(y, shares):
    return (shares / torch.bincount(y))[y]


@wrong("sample_weights", "weights of shape [48]")
def one_short(y, shares):
    return in_percent(y, shares)[:-1]


# Exercise 6


def split(X, y, group, seed, *, val=None, ruler="train", seeded=True, part=5):
    """A right answer, to be spoilt by its options."""
    generator = torch.Generator()
    generator.manual_seed(seed) if seeded else generator.seed()
    groups = group.unique()
    if val is None:
        order = torch.randperm(len(groups), generator=generator)
        val = torch.isin(group, groups[order[: len(groups) // part]])
    rulers = {"train": X[~val], "all": X, "own": X[val]}
    mean, std = rulers[ruler].mean(dim=0), rulers[ruler].std(dim=0)
    X_val = (X[val] - mean) / std
    if ruler == "own":
        mean, std = X[~val].mean(dim=0), X[~val].std(dim=0)
    return (X[~val] - mean) / std, y[~val], X_val, y[val]


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


@wrong("clean_split", "groups have rows in both parts")
def as_it_was(X, y, group, seed):
    X = (X - X.mean(dim=0)) / X.std(dim=0)
    order = torch.randperm(len(X))
    train_rows, val_rows = order[len(X) // 5 :], order[: len(X) // 5]
    return X[train_rows], y[train_rows], X[val_rows], y[val_rows]


@wrong("clean_split", "come from all rows")
def scaled_first(X, y, group, seed):
    return split(X, y, group, seed, ruler="all")


@wrong("clean_split", "by its own mean")
def each_by_its_own(X, y, group, seed):
    return split(X, y, group, seed, ruler="own")


@wrong("clean_split", "two different splits")
def seed_ignored(X, y, group, seed):
    return split(X, y, group, seed, seeded=False)


@wrong("clean_split", "seeds gave the same split")
def first_groups(X, y, group, seed):
    return split(X, y, group, seed, val=torch.isin(group, group.unique()[:2]))


@wrong("clean_split", "has 3")
def a_quarter(X, y, group, seed):
    return split(X, y, group, seed, part=4)


@wrong("clean_split", "exchanged")
def exchanged(X, y, group, seed):
    X_train, y_train, X_val, y_val = split(X, y, group, seed)
    return X_val, y_val, X_train, y_train


@wrong("clean_split", "not scaled")
def never_scaled(X, y, group, seed):
    _, y_train, _, y_val = split(X, y, group, seed)
    return X[y_train], y_train, X[y_val], y_val


@wrong("clean_split", "Only the training part is scaled")
def validation_not_scaled(X, y, group, seed):
    X_train, y_train, _, y_val = split(X, y, group, seed)
    return X_train, y_train, X[y_val], y_val


@wrong("clean_split", "same order")
def labels_out_of_order(X, y, group, seed):
    X_train, y_train, X_val, y_val = split(X, y, group, seed)
    return X_train, y_train.flip(0), X_val, y_val


@wrong("clean_split", "exactly once")
def rows_lost(X, y, group, seed):
    X_train, y_train, X_val, y_val = split(X, y, group, seed)
    return X_train[1:], y_train[1:], X_val, y_val


@wrong("clean_split", "4 things")
def inputs_only(X, y, group, seed):
    return split(X, y, group, seed)[::2]


@wrong("clean_split", "Another order")
def in_the_order_of_sklearn(X, y, group, seed):
    names = group.unique()
    generator = torch.Generator().manual_seed(seed)
    chosen = names[torch.randperm(len(names), generator=generator)[: len(names) // 5]]
    val = torch.isin(group, chosen)
    X = (X - X[~val].mean(dim=0)) / X[~val].std(dim=0)
    return X[~val], X[val], y[~val], y[val]


def split_at(X, y, held_out, ruler):
    scaled = (X - ruler[0]) / ruler[1]
    return scaled[~held_out], y[~held_out], scaled[held_out], y[held_out]


def a_fifth_of(group, seed):
    names = group.unique()
    generator = torch.Generator().manual_seed(seed)
    return torch.isin(
        group, names[torch.randperm(len(names), generator=generator)][: len(names) // 5]
    )


@wrong("clean_split", "their numbers have gaps")
def as_if_numbered_without_gaps(X, y, group, seed):
    n = int(group.max()) + 1
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held_out = torch.isin(group, order[: n // 5])
    part = X[~held_out]
    return split_at(X, y, held_out, (part.mean(dim=0), part.std(dim=0)))


@wrong("clean_split", "Count groups, not rows")
def groups_until_a_fifth_of_the_rows(X, y, group, seed):
    names = group.unique()
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    held_out = torch.zeros(len(X), dtype=torch.bool)
    for name in names[order]:
        if held_out.sum() < len(X) // 5:
            held_out |= group == name
    part = X[~held_out]
    return split_at(X, y, held_out, (part.mean(dim=0), part.std(dim=0)))


@wrong("clean_split", "each column has its own, dim=0")
def one_ruler_for_all_columns(X, y, group, seed):
    held_out = a_fifth_of(group, seed)
    return split_at(X, y, held_out, (X[~held_out].mean(), X[~held_out].std()))


@wrong("clean_split", "divided by the variance")
def by_the_variance(X, y, group, seed):
    held_out = a_fifth_of(group, seed)
    part = X[~held_out]
    return split_at(X, y, held_out, (part.mean(dim=0), part.var(dim=0)))
