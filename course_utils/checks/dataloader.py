"""Checks for lesson 06, the DataLoader."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .exercise import exercise
from .feedback import (
    Mistake,
    NotAttempted,
    as_class,
    as_number,
    as_tensor,
    call,
    check,
    filled,
)
from .values import close


def _parts(result, what):
    """`result` as a tuple of tensors, one for each of the names in `what`."""
    names = what.split(", ")
    if not (isinstance(result, tuple | list) and len(result) == len(names)):
        raise Mistake(f"There should be {len(names)} things, in this order: {what}.")
    if any(part is ... for part in result):
        raise NotAttempted
    return tuple(as_tensor(part, name) for name, part in zip(names, result, strict=True))


COUNTS = {  # the right number, what others say, and the way for all the rest
    "steps in one epoch": (
        27,
        {
            "Those are the full batches. The rows that are left make one more.": 26,
            "A batch is there or not: the rest makes a whole step, with fewer rows.": 2500 / 96,
        },
        "Count the full batches of 96; if rows are left, they make one more.",
    ),
    "rows in the last batch": (
        4,
        {
            "That would be a full batch, but 2500 does not divide evenly by 96.": 96,
            "So many are missing to fill the last batch. How many are in it?": 27 * 96 - 2500,
            "That is the rest as a part of a batch. Count its rows.": 2500 / 96 - 26,
        },
        "Take the rows of the full batches from 2500.",
    ),
    "steps in 30 epochs with drop_last": (
        780,
        {
            "You counted the incomplete batches, which drop_last leaves out.": 810,
            "Rows left out of an epoch are not carried over into the next: count the full "
            "batches of one epoch first.": 30 * 2500 // 96,
            "Rows left out of an epoch are not carried over, and steps are whole.": 30 * 2500 / 96,
            "That is one epoch.": 26,
        },
        "Count the full batches of one epoch; each epoch has as many.",
    ),
    "weight of a row in the last batch": (
        24,
        {
            "The other way round: the fewer rows share a batch mean, the more each counts.": 4 / 96,
            "They would count the same if the means were weighted by rows. An average of means "
            "gives each batch the same weight.": 1,
            "That is how many rows share the last batch mean. Compare with the 96 that share a "
            "full one.": 4,
            "That is the share of a row in the last batch mean. Divide it by that in a full one, "
            "1/96.": 1 / 4,
            "That is the weight against a row of the average batch. Compare with a full one.": 2500
            / 27
            / 4,
        },
        "How many rows share the mean of a full batch, and how many that of the last?",
    ),
}


@check
def count_batches(attempt):
    """`answers`: four numbers about 2500 rows in batches of 96."""
    answers = filled(attempt, COUNTS)
    for name, answer in answers.items():
        right, mistakes, way = COUNTS[name]
        yours = as_number(answer, f'"{name}"', plain=False)
        if close(yours, right):
            continue
        nearest = min(mistakes, key=lambda words: abs(mistakes[words] - yours))
        # 26.04 is meant as 2500 / 96
        made = math.isclose(yours, mistakes[nearest], rel_tol=1e-3, abs_tol=2e-3)
        raise Mistake(f'"{name}" is another number. {nearest if made else way}')
    if len(answers) < len(COUNTS):
        raise NotAttempted
    return "All four. Round up for the steps, unless the last batch is dropped."


def _series():
    yield torch.randn(23), 5
    yield torch.randn(9), 2


def _windows(attempt, series, width):
    data = as_class(attempt, "Windows")(series, width)
    length = call(data.__len__)
    number = as_number(length, "The length")
    yield f"For {len(series)} values and a width of {width} the length", number
    if not isinstance(length, int):
        raise Mistake("DataLoader wants the length as a whole number, an int.")
    for i in (3, *range(length)):
        window, target = _parts(call(data.__getitem__, i), "window, target")
        if window.ndim < target.ndim:
            raise Mistake("Another order, please: the window first, then its target.")
        yield f"Window {i}", window
        if target.shape:
            raise Mistake(
                f"The target has shape {list(target.shape)}. It is the one value right after the "
                "window: use an index, not a slice, to get shape []."
            )
        yield f"The target of window {i}", target


@exercise(
    cases=_series,
    observe=_windows,
    praise="Each window ends just before its target. Neighbouring windows share values, so split a "
    "series by time first, and cut the windows afterwards.",
)
class windows:
    """`Windows(series, width)` is a dataset of pairs (window, the value right after it)."""

    def __init__(self, series, width):
        self.series, self.width = series, width

    def __len__(self):
        return len(self.series) - self.width

    def window(self, i):
        return self.series[i : i + self.width]

    def target(self, i):
        return self.series[i + self.width]

    def __getitem__(self, i):
        return self.window(i), self.target(i)


@windows.variant
class UnfoldedAtOnce:
    def __init__(self, series, width):
        self.windows = series.unfold(0, width, 1)[:-1]
        self.targets = series[width:]

    def __len__(self):
        return self.targets.numel()

    def __getitem__(self, i):
        return [self.windows[i], self.targets[i]]


@windows.variant
def a_list_is_a_dataset(series, width):
    return [(series[i - width : i], series[i]) for i in range(width, len(series))]


def _length(length):
    return windows.spoilt(__len__=lambda self: length(len(self.series), self.width))


def _window(window):
    return windows.spoilt(window=lambda self, i: window(self.series, i, self.width))


def _target(target):
    return windows.spoilt(target=lambda self, i: target(self.series, i, self.width))


windows.known(
    "That is the number of values. A window needs room, and a value after it.",
    _length(lambda n, width: n),
    "One too many: no value comes after the last window, so it has no target.",
    _length(lambda n, width: n - width + 1),
    "One too few: the last value of the series is the target of one more window.",
    _length(lambda n, width: n - width - 1),
    "Windows overlap: a new one starts at every position, not every `width`.",
    _length(lambda n, width: n // width),
    "The windows don't overlap: window i starts at position i.",
    _window(lambda series, i, width: series[i * width : (i + 1) * width]),
    "A slice ends at the second number, so [i : width] ends too early: [i : i + width].",
    _window(lambda series, i, width: series[i:width]),
    "Your window is one value short. A slice leaves its end out: [i : i + width].",
    _window(lambda series, i, width: series[i : i + width - 1]),
    "Your window is one value too long: it contains its own target.",
    _window(lambda series, i, width: series[i : i + width + 1]),
    "Your window starts one position too late.",
    _window(lambda series, i, width: series[i + 1 : i + 1 + width]),
    "It is always the same window. Use i in both places.",
    _window(lambda series, i, width: series[3 : 3 + width]),
    "That is the last value of the window itself: the model would be asked for a number that "
    "it can see.",
    _target(lambda series, i, width: series[i + width - 1]),
    "That is one too far: it leaves out the value right after the window.",
    _target(lambda series, i, width: series[i + width + 1]),
    "That is the first value of the window, which the model can see.",
    _target(lambda series, i, width: series[i]),
)


def _tables():
    for rows, batch_size in ((23, 5), (20, 5), (9, 4)):
        for drop_last in (False, True):  # a label tells which row it belongs to
            yield torch.randn(rows, 2), torch.arange(rows), batch_size, drop_last


def _loaded(attempt, X, y, batch_size, drop_last):
    generator = torch.Generator().manual_seed(1)
    state, X_before = generator.get_state(), X.clone()
    mine = as_class(attempt, "MiniLoader")(X, y, batch_size, generator, drop_last=drop_last)
    case = f"For {len(X)} rows in batches of {batch_size}, drop_last={drop_last},"
    yield f"{case} the length", as_number(call(mine.__len__), "The length")
    epochs = [_one_epoch(mine, X) for _ in range(3)]
    sizes = [len(batch) for batch in epochs[0]]
    if 0 in sizes:
        raise Mistake(f"{case} your loader gives an empty batch at the end.")
    yield f"{case} the numbers of rows in the batches", sizes
    orders = [torch.cat(epoch).tolist() for epoch in epochs]
    if any(len(set(order)) < len(order) for order in orders):
        raise Mistake(
            "Some rows come twice in one epoch. Draw an order in which each row comes once: "
            "torch.randperm."
        )
    if orders[0] == list(range(len(orders[0]))):
        raise Mistake("The rows come in their old order. Shuffle: the slices must be of `order`.")
    if torch.equal(generator.get_state(), state):
        raise Mistake(
            "Your loader never drew from the generator it was given. Pass it on each time: "
            "generator=self.generator."
        )
    if orders[0] == orders[1]:
        raise Mistake(
            "Every epoch has the same order. Draw it in __iter__, anew each time, and don't set "
            "the seed again."
        )
    if not torch.equal(X, X_before):
        raise Mistake("Your loader changed X. Index it with the shuffled row numbers instead.")
    generator.manual_seed(1)
    again = attempt(X, y, batch_size, generator, drop_last=drop_last)
    if torch.cat(_one_epoch(again, X)).tolist() != orders[0]:
        raise Mistake(
            "A generator with the same seed gives another order. One of your draws does not use "
            "it: torch.randperm(…, generator=self.generator)."
        )
    yield f"{case} the order of the rows over three epochs", orders


def _one_epoch(loader, X):
    """The labels of each batch, after a look at the batches."""
    batches = call(loader.__iter__)
    if not hasattr(batches, "__next__"):
        raise Mistake(
            f"__iter__ returned a {type(batches).__name__}, but Python wants something that hands "
            "out batches one by one: use `yield xb, yb` in a loop."
        )
    labels = []
    while len(labels) < 100 and (batch := next(batches, None)) is not None:
        xb, yb = _parts(batch, "xb, yb")
        if yb.ndim != 1:
            raise Mistake(
                "You hand out single rows. A batch is a slice of the order: rows = "
                "order[i : i + self.batch_size], then self.X[rows], self.y[rows]."
            )
        if xb.shape != (len(yb), 2):
            raise Mistake(
                f"A batch has xb {list(xb.shape)} and yb {list(yb.shape)}. Take the same rows of "
                "both: self.X[rows], self.y[rows]."
            )
        if not torch.equal(xb, X[yb]):
            raise Mistake(
                "The rows and the labels of a batch don't belong together. Use one order for both."
            )
        labels.append(yb)
    if not labels:
        raise Mistake("Going through your loader gives no batch at all.")
    if len(labels) == 100:
        raise Mistake("Your loader does not stop after one epoch.")
    return labels


@exercise(
    cases=_tables,
    observe=_loaded,
    praise="Not one batch differs from DataLoader's, epoch after epoch.",
)
class mini_loader:
    """`MiniLoader(X, y, batch_size, generator, drop_last)` gives the batches of DataLoader."""

    def __init__(self, X, y, batch_size, generator, drop_last=False):
        self.X, self.y = X, y
        self.batch_size, self.generator, self.drop_last = batch_size, generator, drop_last

    def __len__(self):
        batches = len(self.X) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def seed_workers(self):
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)

    def order(self):
        return torch.randperm(len(self.X), generator=self.generator)

    def spare(self):
        torch.randperm(len(self.X), generator=self.generator)

    def batch(self, rows):
        return self.X[rows], self.y[rows]

    def slices(self):
        return self.order().split(self.batch_size)[: len(self)]

    def __iter__(self):
        self.seed_workers()
        for rows in self.slices():
            yield self.batch(rows)
        self.spare()


@mini_loader.variant
def the_original(X, y, batch_size, generator, drop_last=False):
    data = TensorDataset(X, y)
    return DataLoader(data, batch_size, shuffle=True, generator=generator, drop_last=drop_last)


@mini_loader.variant
class ItsOwnIterator(mini_loader.right):
    """Draws in __iter__, which calls itself an iterator."""

    def __iter__(self):
        self.seed_workers()
        self.left = list(self.slices())
        self.spare()
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        return self.batch(self.left.pop(0))


def _batches(length):
    """Another length: of (rows, batch size, drop_last)."""
    return mini_loader.spoilt(
        __len__=lambda self: length(len(self.X), self.batch_size, self.drop_last),
    )


def _nothing(self):
    pass


def _draw_of_32_bits(self):
    torch.rand(1, generator=self.generator)


def _shuffles_its_data(self):
    order = mini_loader.right.order(self)
    self.rows = getattr(self, "rows", torch.arange(len(order)))[order]
    return self.rows


mini_loader.known(
    "The rows that are left at the end are a batch too, unless drop_last.",
    _batches(lambda n, size, drop: n // size),
    "With drop_last the incomplete batch does not count.",
    _batches(lambda n, size, drop: -(-n // size)),
    "That is one more than there are: 20 rows are four full batches.",
    _batches(lambda n, size, drop: n // size + (not drop)),
    "With drop_last you always leave out a batch, also a full one.",
    _batches(lambda n, size, drop: -(-n // size) - drop),
    "That is the number of rows. Count batches.",
    _batches(lambda n, size, drop: n),
    "The number of batches is whole: round it.",
    _batches(lambda n, size, drop: n / size),
    "drop_last shortens the length alone: the incomplete batch is handed out all the same.",
    mini_loader.spoilt(slices=lambda self: self.order().split(self.batch_size)),
    "You draw only the order. DataLoader draws a whole number before it, and a second order "
    "after the last batch.",
    mini_loader.spoilt(seed_workers=_nothing, spare=_nothing),
    "The first epoch is right, the later ones are not: draw 3, the unused order at the end, is "
    "missing.",
    mini_loader.spoilt(spare=_nothing),
    "Draw 1, the whole number before the order, is missing.",
    mini_loader.spoilt(seed_workers=_nothing),
    "Your draw 1 is of another kind, and takes less from the generator. It should be a whole "
    "number of 64 bits, as in the cell above.",
    mini_loader.spoilt(seed_workers=_draw_of_32_bits),
    "You shuffle what the last epoch has shuffled. Leave self.X and self.y as they are, and "
    "index them.",
    mini_loader.spoilt(order=_shuffles_its_data),
)


def _uneven_rows():
    for lengths in ([4, 1, 6, 3], [2, 3], [2, 2, 2]):
        values = [torch.randn(length) for length in lengths]
        values[0][-1] = 0.0  # a real zero, which is no padding
        yield (list(zip(values, [2, 0, 1, 1], strict=False)),)


def _padded(attempt, rows):
    padded, mask, y = _parts(call(attempt, rows), "padded, mask, labels")
    lengths = _lengths(rows)
    shape = len(rows), max(lengths).item()
    if padded.shape == shape[::-1] != shape:
        raise Mistake(
            f"padded has shape {list(padded.shape)}, with the batch second. The batch comes first: "
            "batch_first=True."
        )
    if padded.shape != shape:
        raise Mistake(
            f"For rows of length {lengths.tolist()} padded should have shape {list(shape)}, as "
            f"wide as the longest row of this batch; yours has {list(padded.shape)}."
        )
    if padded.dtype != torch.float32:
        raise Mistake(f"padded should stay float32, as the rows are; yours is {padded.dtype}.")
    yield "padded", padded
    if mask.shape != shape:
        raise Mistake(
            f"The mask needs one entry for each place of padded, {list(shape)}; yours has shape "
            f"{list(mask.shape)}."
        )
    if mask.dtype != torch.bool:
        raise Mistake(f"The mask should be of dtype bool, True or False; yours is {mask.dtype}.")
    yield "The mask (1 for True)", mask
    if y.dtype != torch.int64:
        raise Mistake(f"Class labels should be int64; yours are {y.dtype}.")
    yield "The labels, in the order of the rows,", y


def _lengths(rows):
    return torch.tensor([len(values) for values, _ in rows])


def _places(rows):
    return torch.arange(max(_lengths(rows)))


def collate(padded=None, mask=None, labels=lambda y: y):
    """The right answer, or another padded or mask made of (rows, the right one), or other labels."""

    def attempt(rows):
        right = nn.utils.rnn.pad_sequence([values for values, _ in rows], batch_first=True)
        real = _places(rows) < _lengths(rows)[:, None]
        return (
            padded(rows, right) if padded else right,
            mask(rows, real) if mask else real,
            labels(torch.tensor([label for _, label in rows])),
        )

    return attempt


@exercise(
    cases=_uneven_rows,
    observe=_padded,
    praise="Padding and mask belong together: with both, no row need depend on its neighbours.",
)
def pad_collate(rows):
    """`pad_collate(rows)` returns the padded values, the mask and the labels."""
    return collate()(rows)


@pad_collate.variant
def by_loops(rows):
    padded = torch.zeros(len(rows), max(len(values) for values, _ in rows))
    mask, labels = padded.bool(), torch.zeros(len(rows), dtype=torch.long)
    for i, (values, label) in enumerate(rows):
        padded[i, : len(values)] = values
        mask[i, : len(values)] = True
        labels[i] = label
    return padded, mask, labels


@pad_collate.variant
def padded_with_nan(rows):
    values, labels = zip(*rows, strict=True)
    padded = nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=math.nan)
    return [padded.nan_to_num(), ~padded.isnan(), torch.LongTensor(labels)]


def _values_last(rows, right):
    longest = right.shape[1]
    return torch.stack([torch.cat([torch.zeros(longest - len(v)), v]) for v, _ in rows])


pad_collate.known(
    "Your rows are padded well, but stand in another order. Don't sort them.",
    lambda rows: pad_collate.right(sorted(rows, key=lambda row: -len(row[0]))),
    "Your rows are padded well, but stand in another order. Don't sort them: shortest first is "
    "an order, too.",
    lambda rows: pad_collate.right(sorted(rows, key=lambda row: len(row[0]))),
    "The zeros stand before the values. Put them after.",
    collate(padded=_values_last),
    "Fill the empty places with zeros.",
    collate(padded=lambda rows, right: right.where(_places(rows) < _lengths(rows)[:, None], -1.0)),
    "Your mask is True for the padding. True should stand for the real values.",
    collate(mask=lambda rows, real: ~real),
    "You asked where padded is not zero, but a real value may be zero as well. Use the lengths.",
    collate(mask=lambda rows, real: pad_collate.right(rows)[0] != 0),
    "Your mask is one place too long in each row: places count from 0, so use < and not <=.",
    collate(mask=lambda rows, real: _places(rows) <= _lengths(rows)[:, None]),
    "Your mask calls every place real.",
    collate(mask=lambda rows, real: real | True),
    "The labels are sorted; they belong in the order of the rows.",
    collate(labels=lambda y: y.sort().values),
)


def _shares():
    for counts, shares in (
        ([30, 12, 6], [0.5, 0.2, 0.3]),
        ([5, 21, 9, 13], [0.1, 0.15, 0.5, 0.25]),
    ):
        y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        y = y[torch.randperm(len(y))]
        yield y, torch.tensor(shares)
        yield y, shares  # a list is allowed as well


def _sample_weights(attempt, y, shares):
    classes = len(shares)
    try:
        weights = call(attempt, y, shares)
    except (TypeError, AttributeError) as error:
        if not isinstance(shares, list):
            raise
        raise Mistake(
            "With shares as a tensor it works, with a list such as [0.5, 0.2, 0.3] it stops "
            f"({error}). A list does not calculate: torch.as_tensor(shares) first."
        ) from None
    try:
        weights = torch.as_tensor(weights, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake("Return the weights as a tensor, one number for each row.") from None
    if weights.shape == (classes,):
        raise Mistake(
            "You return one weight a class. The sampler wants one for each row: index with y."
        )
    if weights.shape != (len(y),):
        raise Mistake(
            f"{len(y)} rows need weights of shape [{len(y)}]; yours have {list(weights.shape)}."
        )
    if not bool((weights > 0).all()):
        raise Mistake("Every weight should be above zero, or some rows are never drawn.")
    if any(weights[y == c].std() > 1e-6 * weights.max() for c in range(classes)):
        raise Mistake("Rows of the same class should have the same weight.")
    drawn = torch.bincount(y, weights) / weights.sum()
    yield (
        f"With shares {[round(float(s), 2) for s in shares]} the shares of the classes among the rows drawn",
        drawn,
    )


@exercise(
    cases=_shares,
    observe=_sample_weights,
    praise="Right for any shares. Remember that the model's probabilities will follow them.",
)
def sample_weights(y, shares):
    """`sample_weights(y, shares)` gives class c the share shares[c] of the rows drawn."""
    return (torch.as_tensor(shares) / torch.bincount(y))[y]


def _weights(per_class):
    """Weights for each row, from `per_class(shares, counts)`."""

    def attempt(y, shares):
        return per_class(torch.as_tensor(shares), torch.bincount(y).float())[y]

    return attempt


sample_weights.known(
    "Every class is drawn equally often: you divide by the counts, but the shares don't come in.",
    _weights(lambda shares, counts: 1 / counts),
    "You took the share itself as the weight of a row. A class with more rows then gets more: "
    "its rows have to divide the share between them.",
    _weights(lambda shares, counts: shares),
    "All rows weigh the same, so the classes are drawn as they are.",
    _weights(lambda shares, counts: torch.ones(len(counts))),
    "You multiplied by the counts. Divide: the more rows a class has, the less each weighs.",
    _weights(lambda shares, counts: shares * counts),
    "The weights grow with the size of the class, and the shares don't come in.",
    _weights(lambda shares, counts: counts),
    "The other way round: divide the share by the count.",
    _weights(lambda shares, counts: counts / shares),
    "You divide by the shares: a class with a larger share must weigh more.",
    _weights(lambda shares, counts: 1 / shares),
    "You divided by the square of the count; once is enough.",
    _weights(lambda shares, counts: shares / counts**2),
    "The shares go to the classes in reverse order.",
    _weights(lambda shares, counts: shares.flip(0) / counts),
    "Classes 0 and 1 have each other's share.",
    _weights(lambda shares, counts: torch.cat([shares[:2].flip(0), shares[2:]]) / counts),
)


@sample_weights.variant
def in_numbers(y, shares):
    counts = y.bincount().tolist()
    return [float(shares[label]) / counts[label] for label in y.tolist()]


@check
def clean_split(attempt):
    """`clean_split(X, y, group, seed)` splits by group, then scales by the training part."""
    for n in (12, 17):
        _judge_split(attempt, n)
    return "No group on both sides, and validation had no say in the scaling. This score counts."


def _judge_split(attempt, n):
    """Forty splits of n groups, whose numbers have gaps."""
    sizes, names = torch.randint(3, 9, (n,)), torch.randperm(100)[:n]
    shuffled = torch.randperm(int(sizes.sum()))
    group = names.repeat_interleave(sizes)[shuffled]
    typical = 3 * torch.randn(n, 2).repeat_interleave(sizes, dim=0)[shuffled]
    X = typical + torch.randn(len(group), 2) * torch.tensor([1.0, 0.1]) + torch.tensor([50.0, -4.0])
    y = torch.arange(len(group))  # a label tells which row it belongs to

    def split(seed):
        result = call(attempt, X, y, group, seed)
        return _parts(result, "X_train, y_train, X_val, y_val")

    splits = [split(seed) for seed in range(40)]
    X_train, y_train, X_val, y_val = splits[0]
    if y_train.ndim == 2 and X_val.ndim == 1:
        raise Mistake("Another order, please: X_train, y_train, X_val, y_val.")
    if y_train.ndim != 1 or y_val.ndim != 1:
        raise Mistake("Return labels [N], one for each row of the part.")
    if not len(y_train) or not len(y_val):
        raise Mistake(
            f"The {'validation' if len(y_train) else 'training'} part has no rows. Places drawn by "
            "torch.randperm are no group numbers, which have gaps; group.unique()[places] are."
        )
    if X_train.shape != (len(y_train), 2) or X_val.shape != (len(y_val), 2):
        raise Mistake(
            f"Inputs and labels don't fit: X_train {list(X_train.shape)}, y_train "
            f"{list(y_train.shape)}, X_val {list(X_val.shape)}, y_val {list(y_val.shape)}."
        )
    if sorted(torch.cat([y_train, y_val]).tolist()) != y.tolist():
        raise Mistake("Every row should be in one of the two parts, exactly once.")
    train_groups, val_groups = set(group[y_train].tolist()), set(group[y_val].tolist())
    if train_groups & val_groups:
        raise Mistake(
            f"{len(train_groups & val_groups)} of {n} groups have rows in both parts. Choose "
            "groups, not rows, and let every row follow its group."
        )
    if len(train_groups) == n // 5:
        raise Mistake("The two parts are exchanged: the fifth goes to validation.")
    _check_draws(n, group, split, splits)
    _check_scaling(X, y_train, y_val, X_train, X_val)


def _check_draws(n, group, split, splits):
    """Raise a Mistake unless each seed draws a fifth of the n groups, and draws them by chance."""
    for seed, (*_, y_held_out) in enumerate(splits):
        groups = len(group[y_held_out].unique())
        if groups == 1 and seed:
            raise Mistake(
                f"With seed {seed} one group was drawn twice, so that validation has only that one. "
                "Draw without replacement: torch.randperm, not torch.randint."
            )
        if groups != n // 5:
            raise Mistake(
                f"Of {n} groups a fifth, rounded down, is {n // 5}. With seed {seed} your validation part "
                f"has {groups}. Count groups, not rows, and draw from group.unique(): their "
                "numbers have gaps."
            )
    if not all(torch.equal(splits[0][3], split(0)[3]) for _ in range(4)):  # chance may repeat one
        raise Mistake(
            "The same seed gave two different splits. Draw with a generator that has that seed: "
            "torch.Generator().manual_seed(seed)."
        )
    different = len({tuple(sorted(held_out.tolist())) for *_, held_out in splits})
    if different == 1:
        raise Mistake("Forty seeds gave the same split. Draw the groups at random, by `seed`.")
    if different <= 14:  # of the 66 pairs of 12 groups chance takes about 30
        raise Mistake(
            f"Forty seeds gave only {different} different splits. Any {n // 5} of the {n} groups "
            "should be possible: draw with torch.randperm and a generator that has the seed."
        )


def _check_scaling(X, y_train, y_val, X_train, X_val):
    """Raise a Mistake unless both parts are scaled by the training part."""
    scaled, rows = torch.cat([X_train, X_val]), torch.cat([X[y_train], X[y_val]])
    mean, std, n = X[y_train].mean(dim=0), X[y_train].std(dim=0), len(y_train)

    def own(part):
        return (part - part.mean(dim=0)) / part.std(dim=0)

    for words, value in {
        "": (rows - mean) / std,
        # NumPy's standard deviation divides by N, PyTorch's by N - 1: both will do
        " ": (rows - mean) / X[y_train].std(dim=0, correction=0),
        "The mean and deviation come from all rows, so validation took part. Split first.": own(
            rows
        ),
        "Each part is scaled by its own mean and deviation. Use the training part's for both, or "
        "the same number means two different things.": torch.cat([own(rows[:n]), own(rows[n:])]),
        "The inputs are not scaled.": rows,
        "Only the training part is scaled. The model expects validation rows on the same scale.": (
            torch.cat([own(rows[:n]), rows[n:]])
        ),
        "The mean is taken away, but nothing is divided by the deviation.": rows - mean,
        "One mean and one deviation for all columns: each column has its own, dim=0.": (
            (rows - X[y_train].mean()) / X[y_train].std()
        ),
        "You divided by the variance; divide by its root, the deviation.": (rows - mean) / std**2,
    }.items():
        if close(scaled, value, tolerance=1e-4):
            if words.strip():
                raise Mistake(words)
            return
    raise Mistake(
        "The split is right, but the inputs are not what they should be. Scale each column by the "
        "training part's mean and deviation, and keep X and y in the same order."
    )
