"""Checks for lesson 00, why a loop."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from .feedback import Mistake, NotAttempted, as_number, call, check, close, compare


@check
def steps_per_epoch(attempt):
    """`steps_per_epoch(n, batch_size, drop_last)` returns the number of steps in one epoch."""
    left_out = "You left out the incomplete last batch, but drop_last is False here."
    rounded = "You rounded to the nearest number. Any example left over makes one more batch."
    too_many = "n divides evenly here: no example is left over, so there is no batch more."
    counted = "You counted the incomplete last batch, but drop_last is True here."
    none_full = "There is not a single full batch here, and the incomplete one is dropped."
    fraction = "There is no fraction of a step: the examples left over make one smaller batch."
    remainder = "That is the number of examples left over, not the number of steps."
    one_each = "The examples left over make one batch together, not one each."
    cases = [  # n, batch_size, drop_last, {what a mistake would give}
        (1010, 32, False, {fraction: 1010 / 32, left_out: 31, remainder: 18, one_each: 49}),
        (1000, 32, False, {rounded: 31}),  # 31.25, where 1010 / 32 is 31.6
        (960, 32, False, {too_many: 31}),
        (1010, 32, True, {counted: 32, fraction: 1010 / 32}),
        (960, 32, True, {"Nothing is incomplete here, so nothing is dropped.": 29}),
        (20, 32, False, {"20 examples still make one batch, an incomplete one.": 0}),
        (20, 32, True, {none_full: 1}),
    ]
    for n, batch_size, drop_last, mistakes in cases:
        expected = len(DataLoader(range(n), batch_size, drop_last=drop_last))
        what = f"steps_per_epoch({n}, {batch_size}, drop_last={drop_last})"
        yours = as_number(call(attempt, n, batch_size, drop_last), what, plain=False)
        compare(yours, expected, mistakes, what)
    return "The same numbers as len() of PyTorch's DataLoader gives."


@check
def output_gradient(attempt):
    """`output_gradient(y_hat, y)` is the gradient of the mean BCE for each logit, [B, 1]."""
    n = 20
    logits = torch.randn(n, 1, dtype=torch.float64, requires_grad=True)
    labels = (torch.arange(n) % 3 == 0).double()[:, None]
    nn.BCEWithLogitsLoss()(logits, labels).backward()
    expected = logits.grad.numpy()
    y_hat, y = logits.detach().sigmoid().numpy(), labels.numpy()
    error = y_hat - y

    yours = call(attempt, y_hat, y)
    if np.shape(yours) != (n, 1):
        averaged = " Divide each by the number of points, without adding them up."
        raise Mistake(
            f"For a batch of {n} points the result should have the shape [{n}, 1], one slope for "
            f"each logit; yours has the shape {list(np.shape(yours))}."
            f"{averaged if np.size(yours) == 1 else ''}"
        )
    compare(
        yours,
        expected,
        {
            "You left out the division: the loss is the mean over the batch, so each point has "
            "only its share, 1 / len(y), of the say.": error,
            "The sign is the other way round: where the answer is too high, a higher logit makes "
            "the loss larger, so the slope is positive.": -expected,
            "The sign is the other way round, and the division by len(y) is missing.": -error,
            f"You divided by 5, which was right for five points. This batch has {n}: divide by "
            "len(y).": error / 5,
            "You divided by 32, but not every batch has 32 rows. Divide by len(y).": error / 32,
            "The sign got lost. Where y is 1, the slope must be negative.": np.abs(expected),
            "There is a factor 2 too many; it belongs to the squared error.": 2 * expected,
            "That is the gradient of the mean squared error. The loss here is the cross-entropy, "
            "and its gradient is simpler.": 2 * expected * y_hat * (1 - y_hat),
            "The points of class 0 have a slope, too.": y * expected,
            "The points of class 1 have a slope, too.": (1 - y) * expected,
            "y_hat has been through the sigmoid already; you apply it once more.": (
                1 / (1 + np.exp(-y_hat)) - y
            )
            / n,
            "Those are the losses of the points, not the slopes.": (
                -np.log(np.where(y == 1, y_hat, 1 - y_hat)) / n
            ),
            "The slope grows with the error itself, not with its square.": error**2 / n,
            "There is a factor y_hat * (1 - y_hat) too many; it belongs to the squared error. "
            "With the cross-entropy it cancels.": expected * y_hat * (1 - y_hat),
            "That is the gradient for the probability y_hat. One step further back, for the "
            "logit, the denominator cancels.": expected / (y_hat * (1 - y_hat)),
        },
        "The gradient",
    )
    return "This is what PyTorch computes, too: answer minus truth, shared among the batch."


@check
def update(attempt):
    """`update(params, grads, lr)` moves the arrays in place and returns the list."""
    rng = np.random.default_rng(0)
    shapes = (4, 2), (4,), (1, 4), (1,)
    arrays, grads = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
    before, grads_before = [p.copy() for p in arrays], [g.copy() for g in grads]
    lr = 0.3

    def flat(arrays):
        return np.concatenate([np.ravel(array) for array in arrays])

    start, gradient = flat(before), flat(grads)
    expected = start - lr * gradient
    params = list(arrays)
    result = call(attempt, params, grads, lr)
    if not close(flat(grads), flat(grads_before)):
        raise Mistake("Your function changed the gradients. It should only read them.")
    if not (isinstance(result, list | tuple) and len(result) == len(arrays)):
        raise Mistake("Return the whole list: `return params`, after the loop.")
    if close(flat(arrays), start) and close(flat(params), expected):
        raise Mistake(
            "You put new arrays into the list. The numbers are right, but everybody who holds one "
            "of the old arrays still has the old numbers. Change the arrays themselves, with -=."
        )
    if close(flat(arrays), start) and close(flat(result), expected):
        raise Mistake(
            "You return new arrays with the right numbers, but the arrays that the network uses "
            "are as they were. Change those, with -=."
        )
    if close(flat(arrays), flat([before[0] - lr * grads[0], *before[1:]])):
        raise Mistake("Only the first array has moved. Is the return inside the loop?")
    compare(
        flat(arrays),
        expected,
        {
            "No array has changed. `p = p - …` makes a new array and calls it p, and the array in "
            "the list stays as it was. `p -= …` changes the array itself.": start,
            "You went uphill. The gradient points to where the loss rises, so subtract.": (
                start + lr * gradient
            ),
            "The learning rate is missing: each array moves by lr times its gradient.": (
                start - gradient
            ),
            "You replaced the weights by the update. Start from where they are: p -= lr * g.": (
                -lr * gradient
            ),
        },
        "The arrays after the update",
    )
    if not all(a is b for a, b in zip(result, arrays, strict=True)):
        raise Mistake("The arrays have moved as they should, but you return others: return params.")
    return "You changed the arrays themselves, as optimizer.step() does with a model's parameters."


@check
def order_of_the_lines(attempt):
    """A string of the letters A to E, in an order that trains."""
    if not isinstance(attempt, str | list | tuple) or not all(
        isinstance(part, str) for part in attempt
    ):
        raise Mistake('Give the order as a string of five letters, such as "ABCDE".')
    letters = [letter for letter in "".join(attempt).upper() if letter.isalpha()]
    if sorted(letters) != list("ABCDE"):
        raise Mistake(
            f"Each of the letters A, B, C, D and E should stand there once; yours are "
            f"{''.join(letters) or 'none'}."
        )
    step, loss, clear, backward, forward = (letters.index(letter) for letter in "ABCDE")
    if loss < forward:
        raise Mistake("B comes before E: it compares logits that the model has not computed yet.")
    if backward < loss:
        raise Mistake("D comes before B: there is no loss yet from which to walk back.")
    if step == 0 and clear < backward:
        raise Mistake(
            "A comes first, before D. This trains, but one round late: each step uses the gradients "
            "of the batch before, and those of the last batch are never used."
        )
    if step < backward:
        raise Mistake("A comes before D: the optimizer would step without this batch's gradients.")
    if backward < clear < step:
        raise Mistake(
            "C stands between D and A: it throws the gradients away just before the optimizer "
            "reads them. No weight would ever move, and no error would tell you."
        )
    return (
        "Forward, loss, backward, step in this order; zero_grad anywhere but between backward "
        "and step."
    )


@check
def success_by_width(attempt):
    """`success_by_width(train_once, widths, seeds)` returns {width: share of runs that work}."""
    seeds = [3, 8, 13, 21]
    table = {
        2: [0.70, 0.85, 0.60, 0.72],
        5: [0.90, 0.84, 0.88, 0.65],
        9: [0.95, 0.91, 0.99, 0.70],
    }
    widths = list(table)
    accuracies = np.array(list(table.values()))
    runs = []

    def train_once(width, seed):
        runs.append((width, seed))
        return table[width][seeds.index(seed)] if width in table and seed in seeds else 0.5

    result = call(attempt, train_once, widths, seeds)
    _check_runs(runs, widths, seeds)
    if not isinstance(result, dict):
        raise Mistake(f"Return a dict, {{width: share}}; yours is a {type(result).__name__}.")
    if set(result) != set(widths):
        raise Mistake(
            f"The keys should be the widths, {widths}; yours are {list(result)}. (Make the dict "
            "before the loop, and return it after the loop.)"
        )
    if any(share is ... for share in result.values()):
        raise NotAttempted
    works = (accuracies >= 0.85).mean(axis=1)
    yours = [as_number(result[w], f"The share for width {w}", plain=False) for w in widths]
    divisor = max(round(len(seeds) * works.sum() / sum(yours)), 1) if sum(yours) > 0 else 1
    compare(
        yours,
        works,
        {
            "Those are mean accuracies. Ask of each run whether it works, then take the share.": (
                accuracies.mean(axis=1)
            ),
            "Those are the best runs. One lucky run says little: take the share that works.": (
                accuracies.max(axis=1)
            ),
            "A run with exactly 0.85 works, too: at least means >=.": (accuracies > 0.85).mean(
                axis=1
            ),
            "Those are numbers of runs; divide by the number of seeds to get shares.": (
                works * len(seeds)
            ),
            "Those are percentages; return shares between 0 and 1.": works * 100,
            "Those are the shares of runs that fail.": 1 - works,
            "You divided by the number of widths; divide by the number of seeds.": (
                works * len(seeds) / len(widths)
            ),
            f"You divided by {divisor}, but here there are 4 seeds: divide by len(seeds).": (
                works * len(seeds) / divisor
            ),
            "You say only whether any run works at all.": (works > 0).astype(float),
            "You ask whether the mean of the runs is high enough. Ask that of each run, then take "
            "the share.": (accuracies.mean(axis=1) >= 0.85).astype(float),
            "Your count goes on from one width to the next. Start it at 0 for each.": (
                np.cumsum(works)
            ),
        },
        f"For the widths {widths} the shares",
    )
    return "Every width got the same seeds, so the luck of the start is the same for all."


def _check_runs(runs, widths, seeds):
    """Raise a Mistake unless each width was trained once with each seed, or more often."""
    if not runs:
        raise Mistake("train_once was never called. Call train_once(width, seed) for every pair.")
    wanted = {(width, seed) for width in widths for seed in seeds}
    done = set(runs)
    if done & {(seed, width) for width, seed in wanted}:
        raise Mistake("You swapped the arguments: it is train_once(width, seed).")
    if done - wanted:
        width, seed = sorted(done - wanted)[0]
        raise Mistake(
            f"You trained width {width} with seed {seed}, which is not among those you were given: "
            f"widths {widths}, seeds {seeds}."
        )
    for width in widths:
        used = [seed for seed in seeds if (width, seed) in done]
        if not used:
            raise Mistake(f"Width {width} was never trained. Is the return inside the loop?")
        if used != seeds:
            raise Mistake(
                f"Width {width} was only trained with the seeds {used}. To be fair, each width "
                f"gets all of them: {seeds}."
            )
