"""Checks for lesson 06, the DataLoader."""

import math

import torch
from torch.utils.data import DataLoader, TensorDataset

from .exercise import exercise
from .feedback import Mistake, NotAttempted, as_number, call, check, compare
from .values import close


def _class(attempt, name):
    if not callable(attempt):
        raise Mistake(f"Pass the class itself, {name}, not an object made from it.")
    return attempt


def _parts(result, what):
    """`result` as a tuple of tensors, one for each of the names in `what`."""
    names = what.split(", ")
    if not (isinstance(result, tuple | list) and len(result) == len(names)):
        raise Mistake(f"There should be {len(names)} things, in this order: {what}.")
    for name, part in zip(names, result, strict=True):
        if part is ...:
            raise NotAttempted
        if not isinstance(part, torch.Tensor):
            raise Mistake(f"{name} should be a tensor; yours is a {type(part).__name__}.")
    return tuple(result)


@check
def count_batches(attempt):
    """`answers`: four numbers about 2500 rows in batches of 96."""
    facts = {
        "steps in one epoch": (
            27,
            {
                "Those are the full batches. The rows that are left make one more.": 26,
                "A batch is there or not: the rest makes a whole step, with fewer rows.": 2500 / 96,
            },
        ),
        "rows in the last batch": (
            4,
            {
                "That would be a full batch, but 2500 does not divide evenly by 96.": 96,
                "So many are missing to fill the last batch. How many are in it?": 27 * 96 - 2500,
                "That is the rest as a part of a batch. Count its rows.": 2500 / 96 - 26,
            },
        ),
        "steps in 30 epochs with drop_last": (
            780,
            {
                "You counted the incomplete batches, which drop_last leaves out.": 810,
                "Rows left out of an epoch are not carried over into the next: count the full "
                "batches of one epoch first.": 30 * 2500 // 96,
                "Rows left out of an epoch are not carried over, and steps are whole.": 30
                * 2500
                / 96,
                "That is one epoch.": 26,
            },
        ),
        "weight of a row in the last batch": (
            24,
            {
                "The other way round: the fewer rows share a batch mean, the more each counts.": 4
                / 96,
                "They would count the same if the means were weighted by rows. An average of "
                "means gives each batch the same weight.": 1,
                "That is how many rows share the last batch mean. Compare with the 96 that share "
                "a full one.": 4,
                "That is the share of a row in the last batch mean. Divide it by that in a full "
                "one, 1/96.": 1 / 4,
                "That is the weight against a row of the average batch. Compare with a full "
                "one.": 2500 / 27 / 4,
            },
        ),
    }
    if not (isinstance(attempt, dict) and set(attempt) == set(facts)):
        raise Mistake("Keep the dict `answers` with its four names, and fill in the numbers.")
    if any(value is ... for value in attempt.values()):
        raise NotAttempted
    for name, (expected, mistakes) in facts.items():
        yours = as_number(attempt[name], f'"{name}"', plain=False)
        rounded = {  # 26.04 is meant as 2500 / 96
            text: yours if math.isclose(yours, value, rel_tol=1e-3, abs_tol=2e-3) else value
            for text, value in mistakes.items()
        }
        compare(yours, expected, rounded, f'"{name}"')
    return "All four. Round up for the steps, unless the last batch is dropped."


@check
def windows(attempt):
    """`Windows(series, width)` is a dataset of pairs (window, the value right after it)."""
    series, width, i = torch.randn(23), 5, 3
    data = _class(attempt, "Windows")(series, width)
    length = call(data.__len__)
    compare(
        as_number(length, "The length"),
        18,
        {
            "That is the number of values. A window needs room, and a value after it.": 23,
            "One too many: no value comes after the last window, so it has no target.": 19,
            "One too few: the last value of the series is the target of one more window.": 17,
            "Windows overlap: a new one starts at every position, not every `width`.": 23 // 5,
        },
        "For 23 values and a width of 5 the length",
    )
    if not isinstance(length, int):
        raise Mistake("DataLoader wants the length as a whole number, an int.")

    def item(i):
        return _parts(call(data.__getitem__, i), "window, target")

    window, target = item(i)
    if window.ndim < target.ndim:
        raise Mistake("Another order, please: the window first, then its target.")
    compare(
        window,
        series[i : i + width],
        {
            "The windows don't overlap: window i starts at position i.": series[i * width :][
                :width
            ],
            "A slice ends at the second number, so [i : width] ends too early: [i : i + width].": (
                series[i:width]
            ),
            "Your window is one value short. A slice leaves its end out: [i : i + width].": series[
                i : i + width - 1
            ],
            "Your window is one value too long: it contains its own target.": series[
                i : i + width + 1
            ],
            "Your window starts one position too late.": series[i + 1 : i + 1 + width],
        },
        "Window 3",
    )
    if target.shape:
        raise Mistake(
            f"The target has shape {list(target.shape)}. It is the one value right after the "
            "window: use an index, not a slice, to get shape []."
        )
    compare(
        target,
        series[i + width],
        {
            "That is the last value of the window itself: the model would be asked for a number "
            "that it can see.": series[i + width - 1],
            "That is one too far: it leaves out the value right after the window.": series[
                i + width + 1
            ],
            "That is the first value of the window, which the model can see.": series[i],
        },
        "The target of window 3",
    )
    for i in range(length):
        if not (close(item(i)[0], series[i : i + width]) and close(item(i)[1], series[i + width])):
            raise Mistake(f"Item 3 is right, but item {i} is not. Use i in both places.")
    return (
        "Each window ends just before its target. Neighbouring windows share values, so split a "
        "series by time first, and cut the windows afterwards."
    )


@check
def mini_loader(attempt):
    """`MiniLoader(X, y, batch_size, generator, drop_last)` gives the batches of DataLoader."""
    _class(attempt, "MiniLoader")
    for rows, drop_last in ((23, False), (23, True), (20, False), (20, True)):
        _compare_with_dataloader(attempt, rows, drop_last)
    return "Not one batch differs from DataLoader's, epoch after epoch."


def _compare_with_dataloader(attempt, rows, drop_last, batch_size=5):
    X, y = torch.randn(rows, 2), torch.arange(rows)  # a label tells which row it belongs to
    X_before = X.clone()
    theirs = DataLoader(
        TensorDataset(X, y),
        batch_size,
        shuffle=True,
        drop_last=drop_last,
        generator=torch.Generator().manual_seed(1),
    )
    generator = torch.Generator().manual_seed(1)
    state = generator.get_state()
    mine = attempt(X, y, batch_size, generator, drop_last=drop_last)
    case = f"{rows} rows in batches of {batch_size}, drop_last={drop_last}"
    compare(
        as_number(call(mine.__len__), "The length"),
        len(theirs),
        {
            "The rows that are left at the end are a batch too, unless drop_last.": rows
            // batch_size,
            "With drop_last the incomplete batch does not count.": -(-rows // batch_size),
            "That is one more than there are: 20 rows are four full batches.": len(theirs) + 1,
            "That is the number of rows. Count batches.": rows,
            "The number of batches is whole: round it.": rows / batch_size,
        },
        f"For {case} the length",
    )

    epochs = [_one_epoch(mine, X) for _ in range(3)]
    sizes = [len(batch) for batch in epochs[0]]
    expected_sizes = [len(yb) for _, yb in theirs]
    theirs.generator.manual_seed(1)  # looking at the sizes has drawn from it
    if 0 in sizes:
        raise Mistake(f"For {case} your loader gives an empty batch at the end.")
    if sizes != expected_sizes:
        raise Mistake(f"For {case} the batches should have {expected_sizes} rows; yours: {sizes}.")
    orders = [torch.cat(epoch).tolist() for epoch in epochs]
    for order in orders:
        if len(set(order)) < len(order):
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
    generator = torch.Generator().manual_seed(1)
    again = attempt(X, y, batch_size, generator, drop_last=drop_last)
    if torch.cat(_one_epoch(again, X)).tolist() != orders[0]:
        raise Mistake(
            "A generator with the same seed gives another order. One of your draws does not use "
            "it: torch.randperm(…, generator=self.generator)."
        )

    def drawn(first, last, shuffle_on=False, kind=torch.int64):
        """The three orders, with or without draws 1 and 3, each of the last epoch's order or not."""
        generator = torch.Generator().manual_seed(1)
        orders, rows_now = [], torch.arange(rows)
        for _ in range(3):
            if first:
                torch.empty((), dtype=kind).random_(generator=generator)
            order = torch.randperm(rows, generator=generator)
            rows_now = rows_now[order] if shuffle_on else order
            orders.append(rows_now.tolist()[: sum(sizes)])
            if last:
                torch.randperm(rows, generator=generator)
        return orders

    compare(
        orders,
        [torch.cat([yb for _, yb in theirs]).tolist() for _ in range(3)],
        {
            "You draw only the order. DataLoader draws a whole number before it, and a second "
            "order after the last batch.": drawn(first=False, last=False),
            "The first epoch is right, the later ones are not: draw 3, the unused order at the "
            "end, is missing.": drawn(first=True, last=False),
            "Draw 1, the whole number before the order, is missing.": drawn(first=False, last=True),
            "Your draw 1 is of another kind, and takes less from the generator. It should be a "
            "whole number of 64 bits, as in the cell above.": drawn(
                first=True, last=True, kind=torch.int32
            ),
            "You shuffle what the last epoch has shuffled. Leave self.X and self.y as they are, and "
            "index them.": drawn(first=True, last=True, shuffle_on=True),
        },
        f"For {case} the order of the rows over three epochs",
    )


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


@check
def pad_collate(attempt):
    """`pad_collate(rows)` returns the padded values, the mask and the labels."""
    for lengths in ([4, 1, 6, 3], [2, 3]):
        values = [torch.randn(length) for length in lengths]
        values[0][-1] = 0.0  # a real zero, which is no padding
        labels = [2, 0, 1, 1][: len(lengths)]
        _check_padding(attempt, values, labels)
    return "Padding and mask belong together; now no row depends on its neighbours in the batch."


def _check_padding(attempt, values, labels):
    rows = list(zip(values, labels, strict=True))
    padded, mask, y = _parts(call(attempt, rows), "padded, mask, labels")
    lengths = [len(row) for row in values]
    longest = max(lengths)
    expected = torch.stack([torch.cat([v, torch.zeros(longest - len(v))]) for v in values])
    on_the_left = torch.stack([torch.cat([torch.zeros(longest - len(v)), v]) for v in values])
    real = torch.arange(longest) < torch.tensor(lengths)[:, None]

    if padded.shape == expected.T.shape != expected.shape:
        raise Mistake(
            f"padded has shape {list(padded.shape)}, with the batch second. The batch comes first: "
            "batch_first=True."
        )
    if padded.shape != expected.shape:
        raise Mistake(
            f"For rows of length {lengths} padded should have shape {list(expected.shape)}, as "
            f"wide as the longest row of this batch; yours has {list(padded.shape)}."
        )
    if padded.dtype != torch.float32:
        raise Mistake(f"padded should stay float32, as the rows are; yours is {padded.dtype}.")
    if not close(padded, expected) and sorted(padded.tolist()) == sorted(expected.tolist()):
        raise Mistake("Your rows are padded well, but stand in another order. Don't sort them.")
    compare(
        padded,
        expected,
        {"The zeros stand before the values. Put them after.": on_the_left},
        "padded",
    )
    if not close(padded[~real], torch.zeros((~real).sum())):
        raise Mistake("Fill the empty places with zeros.")
    if mask.shape != real.shape:
        raise Mistake(
            f"The mask needs one entry for each place of padded, {list(real.shape)}; yours has "
            f"shape {list(mask.shape)}."
        )
    if mask.dtype != torch.bool:
        raise Mistake(f"The mask should be of dtype bool, True or False; yours is {mask.dtype}.")
    places = torch.arange(longest)
    compare(
        mask,
        real,
        {
            "Your mask is True for the padding. True should stand for the real values.": ~real,
            "You asked where padded is not zero, but a real value may be zero as well. Use the "
            "lengths.": expected != 0,
            "Your mask is one place too long in each row: places count from 0, so use < and not "
            "<=.": places <= torch.tensor(lengths)[:, None],
            "Your mask calls every place real.": torch.ones_like(real),
        },
        "The mask (1 for True)",
    )
    if y.dtype != torch.int64:
        raise Mistake(f"Class labels should be int64; yours are {y.dtype}.")
    if y.tolist() != labels:
        raise Mistake(
            f"The labels should be {labels}, in the order of the rows; yours: {y.tolist()}."
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
    {
        "Every class is drawn equally often: you divide by the counts, but the shares don't come "
        "in.": _weights(lambda shares, counts: 1 / counts),
        "You took the share itself as the weight of a row. A class with more rows then gets more: "
        "its rows have to divide the share between them.": _weights(lambda shares, counts: shares),
        "All rows weigh the same, so the classes are drawn as they are.": _weights(
            lambda shares, counts: torch.ones(len(counts))
        ),
        "You multiplied by the counts. Divide: the more rows a class has, the less each "
        "weighs.": _weights(lambda shares, counts: shares * counts),
        "The weights grow with the size of the class, and the shares don't come in.": _weights(
            lambda shares, counts: counts
        ),
        "The other way round: divide the share by the count.": _weights(
            lambda shares, counts: counts / shares
        ),
        "You divide by the shares: a class with a larger share must weigh more.": _weights(
            lambda shares, counts: 1 / shares
        ),
        "You divided by the square of the count; once is enough.": _weights(
            lambda shares, counts: shares / counts**2
        ),
        "The shares go to the classes in reverse order.": _weights(
            lambda shares, counts: shares.flip(0) / counts
        ),
    }
)


@sample_weights.variant
def in_numbers(y, shares):
    counts = y.bincount().tolist()
    return [float(shares[label]) / counts[label] for label in y.tolist()]


@check
def clean_split(attempt):
    """`clean_split(X, y, group, seed)` splits by group, then scales by the training part."""
    sizes = torch.tensor([3, 8, 4, 6, 5, 3, 7, 4, 6, 5, 3, 8])
    names = torch.tensor([17, 3, 99, 42, 8, 23, 61, 5, 77, 30, 12, 50])
    shuffled = torch.randperm(len(names.repeat_interleave(sizes)))
    group = names.repeat_interleave(sizes)[shuffled]
    typical = 3 * torch.randn(12, 2).repeat_interleave(sizes, dim=0)[shuffled]
    X = typical + torch.randn(len(group), 2) * torch.tensor([1.0, 0.1]) + torch.tensor([50.0, -4.0])
    y = torch.arange(len(group))  # a label tells which row it belongs to

    def split(seed):
        result = call(attempt, X, y, group, seed)
        return _parts(result, "X_train, y_train, X_val, y_val")

    splits = [split(seed) for seed in range(40)]
    X_train, y_train, X_val, y_val = splits[0]
    if y_train.ndim == 2 and X_val.ndim == 1:
        raise Mistake("Another order, please: X_train, y_train, X_val, y_val.")
    if y_train.ndim != 1 or y_val.ndim != 1 or not len(y_train) or not len(y_val):
        raise Mistake("Return labels [N], with at least one row in each part.")
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
            f"{len(train_groups & val_groups)} of 12 groups have rows in both parts. Choose "
            "groups, not rows, and let every row follow its group."
        )
    if len(train_groups) == 2:
        raise Mistake("The two parts are exchanged: the fifth goes to validation.")
    for seed, (*_, y_held_out) in enumerate(splits):
        groups = len(group[y_held_out].unique())
        if groups == 1 and seed:
            raise Mistake(
                f"With seed {seed} one group was drawn twice, so that validation has only that one. "
                "Draw without replacement: torch.randperm, not torch.randint."
            )
        if groups != 2:
            raise Mistake(
                f"Of 12 groups a fifth, rounded down, is 2. With seed {seed} your validation part "
                f"has {groups}. Count groups, not rows, and draw from group.unique(): their "
                "numbers have gaps."
            )
    if not all(torch.equal(y_val, split(0)[3]) for _ in range(4)):  # chance may repeat one
        raise Mistake(
            "The same seed gave two different splits. Draw with a generator that has that seed: "
            "torch.Generator().manual_seed(seed)."
        )
    different = len({tuple(sorted(held_out.tolist())) for *_, held_out in splits})
    if different == 1:
        raise Mistake("Forty seeds gave the same split. Draw the groups at random, by `seed`.")
    if different <= 14:  # of the 66 pairs of groups chance takes about 30
        raise Mistake(
            f"Forty seeds gave only {different} different splits. Any two of the 12 groups should "
            "be possible: draw with torch.randperm and a generator that has the seed."
        )
    _check_scaling(X, y_train, y_val, X_train, X_val)
    return "No group on both sides, and validation had no say in the scaling. This score counts."


def _check_scaling(X, y_train, y_val, X_train, X_val):
    scaled = torch.cat([X_train, X_val])

    def ruler(part, other, correction=1):
        std = part.std(dim=0, correction=correction)
        return (other - part.mean(dim=0)) / std

    train_part, val_part = X[y_train], X[y_val]
    both = torch.cat([train_part, val_part])
    if close(scaled, ruler(train_part, both, correction=0), tolerance=1e-4):
        return  # NumPy's standard deviation divides by N, PyTorch's by N - 1: both will do
    own = torch.cat([ruler(train_part, train_part), ruler(val_part, val_part)])
    half = torch.cat([ruler(train_part, train_part), val_part])
    if not close(scaled, ruler(train_part, both), tolerance=1e-4):
        for explanation, value in {
            "The mean and deviation come from all rows, so validation took part. Split first.": ruler(
                X, both
            ),
            "Each part is scaled by its own mean and deviation. Use the training part's for both, "
            "or the same number means two different things.": own,
            "The inputs are not scaled.": both,
            "Only the training part is scaled. The model expects validation rows on the same "
            "scale.": half,
            "The mean is taken away, but nothing is divided by the deviation.": both
            - train_part.mean(dim=0),
            "One mean and one deviation for all columns: each column has its own, dim=0.": (
                both - train_part.mean()
            )
            / train_part.std(),
            "You divided by the variance; divide by its root, the deviation.": (
                both - train_part.mean(dim=0)
            )
            / train_part.var(dim=0),
        }.items():
            if close(scaled, value, tolerance=1e-4):
                raise Mistake(explanation)
        raise Mistake(
            "The split is right, but the inputs are not what they should be. Scale each column by "
            "the training part's mean and deviation, and keep X and y in the same order."
        )
