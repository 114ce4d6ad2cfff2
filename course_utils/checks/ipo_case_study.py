"""Checks for lesson 08, the IPO case study."""

import math

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ..data import load_ipo
from .feedback import Mistake, as_number, as_pair, call, check, close, compare

FEATURES = [
    "issue_size_cr",
    "subscription_qib",
    "subscription_hni",
    "subscription_rii",
    "subscription_total",
    "issue_price",
]


def _tells(column, answer):
    """Whether a feature is the answer itself, scaled or after a logarithm."""
    known = np.isfinite(column)
    if known.sum() < 10 or np.ptp(column[known]) == 0:
        return False
    forms = (answer[known], np.log1p(np.abs(answer[known])))
    return any(abs(np.corrcoef(column[known], form)[0, 1]) > 0.97 for form in forms)


@check
def make_features(attempt):
    """`make_features(table)` returns log(1 + x) of the six columns known before listing."""
    table = load_ipo()
    table = pd.concat([table, table[:10]], ignore_index=True)  # not the table of the lesson
    try:
        X = np.asarray(call(attempt, table), dtype=float)
    except (TypeError, ValueError):
        raise Mistake("Some returned columns are not numbers: leave name and date out.") from None
    if X.ndim != 2 or len(X) != len(table):
        raise Mistake(
            f"Return one row for each of the {len(table)} rows of the table that was passed; yours "
            f"has shape {X.shape}."
        )
    for name in ("listing_gain_pct", "listing_gain"):
        if any(_tells(column, table[name].to_numpy(dtype=float)) for column in X.T):
            raise Mistake(
                f"{name} is among your features, and it is the answer: nobody knows it before the "
                "first day of trading is over. Leave it out."
            )
    raw = table[FEATURES].to_numpy()
    if X.shape[1] != 6:
        raise Mistake(f"There are six usable columns; you return {X.shape[1]}.")
    if np.isneginf(X).any():
        raise Mistake(
            "Some columns contain zeros, and log(0) is minus infinity. Use np.log1p, which takes "
            "log(1 + x)."
        )
    if not np.isfinite(X).all():
        raise Mistake("There are undefined or infinite values. Keep every entry; use np.log1p.")
    if close(X, raw):
        raise Mistake("The columns are still as skewed as in the file. Take np.log1p of them.")
    if np.allclose(X.mean(axis=0), 0, atol=1e-3):
        raise Mistake(
            "You have already standardised, with means taken over all rows, test rows included. "
            "Return log1p alone; scaling comes after the split."
        )
    missing = [
        name
        for name, right in zip(FEATURES, np.log1p(raw).T, strict=True)
        if not any(close(column, right) for column in X.T)
    ]
    if missing:
        raise Mistake(f"No column is log1p (with the natural logarithm) of: {', '.join(missing)}.")
    return "Six features, all known before the first trade, none of them ruled by a few giants."


@check
def standardise(attempt):
    """`standardise(X_train, X_test)` scales both by the training part's mean and deviation."""
    rng = np.random.default_rng(0)
    X_train, X_test = rng.normal(5, 3, (40, 3)), rng.normal(8, 6, (10, 3))
    parts = as_pair(call(attempt, X_train, X_test), "train_scaled, test_scaled")
    train, test = (np.asarray(part, dtype=float) for part in parts)
    both = np.vstack([X_train, X_test])
    mean = X_train.mean(axis=0)
    for ddof in (0, 1):  # both definitions of the standard deviation will do
        std = X_train.std(axis=0, ddof=ddof)
        if close(train, (X_train - mean) / std) and close(test, (X_test - mean) / std):
            return "The test rows were measured with the training part's ruler: nothing leaked."
        if close(test, (X_test - X_test.mean(axis=0)) / X_test.std(axis=0, ddof=ddof)):
            raise Mistake(
                "You scaled the test part by its own mean and deviation. Then the same IPO would "
                "get other features in other company: use the training part's numbers for both."
            )
        if close(train, (X_train - mean) / std):
            raise Mistake(
                "The training part is right; scale the test part by the same mean and deviation. "
                "(Take both from X_train before you give that name to something else.)"
            )
        if close(train, (X_train - both.mean(axis=0)) / both.std(axis=0, ddof=ddof)):
            raise Mistake(
                "Mean and deviation come from training and test rows together, so the test rows "
                "have leaked into the training data. Fit on X_train alone."
            )
        if close(train, (X_train - X_train.mean()) / X_train.std(ddof=ddof)):
            raise Mistake("You used one mean for all columns. Each column has its own: axis=0.")
        if close(train, X_train - mean):
            raise Mistake("You subtracted the mean; now divide by the standard deviation too.")
        if close(train, X_train / std):
            raise Mistake("You divided by the deviation; subtract the mean first.")
        if close(train, (X_train - mean) / std**2):
            raise Mistake("You divided by the variance; divide by its root, the deviation.")
    std, low, across = X_train.std(axis=0), X_train.min(axis=0), np.ptp(X_train, axis=0)
    of_rows = X_train.mean(axis=1, keepdims=True), X_train.std(axis=1, keepdims=True)
    compare(
        train,
        (X_train - mean) / std,
        {
            "You scaled each row by its own mean. One row is one IPO; each column has a mean and a "
            "deviation: axis=0.": (X_train - of_rows[0]) / of_rows[1],
            "The brackets are missing: subtract first, then divide.": X_train - mean / std,
            "That is min-max scaling, to values from 0 to 1. Use mean and standard deviation.": (
                X_train - low
            )
            / across,
            "The two are exchanged: return the training part first.": (X_test - mean) / std,
        },
        "The scaled training part",
    )


@check
def bootstrap_auc(attempt):
    """`bootstrap_auc(y, score)` returns the ends of a 95 % interval of the AUC."""
    for seed, rows in ((0, 64), (3, 120)):  # few draws can be lucky once
        rng = np.random.default_rng(seed)
        y = (rng.random(rows) < 0.55).astype(int)
        shown = _check_interval(attempt, y, y + rng.normal(0, 1.2, rows))
    return f"{shown} With {rows} rows an AUC is known no better than that."


def _check_interval(attempt, y, score):
    """Raise a Mistake unless the attempt gives a 95 % interval; return it in words."""
    auc = roc_auc_score(y, score)
    draws = _bootstrapped_aucs(y, score, 5000)
    mean, deviation = draws.mean(), draws.std()
    ends = {
        "a 95 % interval": np.percentile(draws, [2.5, 97.5]),
        "a 90 % interval (percentiles 5 and 95)": np.percentile(draws, [5, 95]),
        "an interval from percentile 2.5 to 95": np.percentile(draws, [2.5, 95]),
        "an interval from percentile 5 to 97.5": np.percentile(draws, [5, 97.5]),
        "an 80 % interval (percentiles 10 and 90)": np.percentile(draws, [10, 90]),
        "the interval of 1000 rows a draw, narrower than these rows allow (draw len(y) rows)": (
            mean + (np.percentile(draws, [2.5, 97.5]) - mean) * (len(y) / 1000) ** 0.5
        ),
        "a 50 % interval (percentiles 25 and 75)": np.percentile(draws, [25, 75]),
        "mean ± one standard deviation, about 68 %": (mean - deviation, mean + deviation),
        "mean ± two standard errors of the mean, which would shrink with more draws": (
            mean - 2 * deviation / 1000**0.5,
            mean + 2 * deviation / 1000**0.5,
        ),
    }
    try:
        result = as_pair(call(attempt, y, score), "low, high")
    except ValueError as error:
        if "continuous format" not in str(error):
            raise
        raise Mistake("roc_auc_score wants the labels first, then the scores.") from error
    yours = [as_number(end, "Each end") for end in result]
    if not np.isfinite(yours).all():
        raise Mistake(
            "An end is nan: one of your resamples had only one class in it. Always draw from the "
            "original rows, not from the resample before."
        )
    shown = f"Here the AUC is {auc:.3f} and your interval {yours[0]:.3f} to {yours[1]:.3f}."
    if yours[0] > yours[1]:
        raise Mistake(f"The lower end comes first. {shown}")
    if yours[1] - yours[0] < 1e-9:
        raise Mistake(
            "The interval has no width: every resample was the same. Draw with replacement, for "
            "example rng.integers(len(y), size=len(y)), and make the generator once, before the "
            f"loop. {shown}"
        )
    if yours[0] < 0.5 < yours[1] and abs(np.mean(yours) - 0.5) < 0.05:
        raise Mistake(
            "The interval is centred on 0.5, chance: labels and scores were drawn separately, so "
            f"they no longer belong together. Use the same rows for both. {shown}"
        )
    if yours[1] < auc and yours[0] < 1 - auc < yours[1]:
        raise Mistake(
            f"Your interval lies around {1 - auc:.3f}, which is 1 minus the AUC: the scores have "
            f"the other sign, or the classes are exchanged. {shown}"
        )
    if yours[1] < auc:
        raise Mistake(
            f"Both ends lie below the AUC. np.percentile counts in percent: 2.5 and 97.5. {shown}"
        )
    lowest, highest = np.percentile(draws, [0.5, 99.5])
    if yours[0] < lowest and yours[1] > highest:
        raise Mistake(
            "That holds more than 99 % of the draws. Take percentiles 2.5 and 97.5, not the lowest "
            f"and the highest, and draw as many rows as there are. {shown}"
        )
    # Resampling is random, so the interval counts as the one it comes closest to.
    distances = {name: np.abs(np.subtract(yours, right)).max() for name, right in ends.items()}
    distances["a 95 % interval"] -= 0.1 * deviation  # in doubt for the learner
    closest = min(distances, key=distances.get)
    if distances[closest] > 0.4 * deviation:
        low, high = ends["a 95 % interval"]
        raise Mistake(f"A 95 % interval would be about {low:.2f} to {high:.2f}. {shown}")
    if closest != "a 95 % interval":
        raise Mistake(
            f"That is {closest}; take percentiles 2.5 and 97.5. (If you did, the draws were "
            f"unlucky: run it again.) {shown}"
        )
    return shown


def _bootstrapped_aucs(y, score, n):
    """AUCs of `n` resamples: pairs of a positive and a negative row, as often as both are drawn."""
    draws = np.random.default_rng(1).multinomial(len(y), [1 / len(y)] * len(y), size=n)
    positive, negative = draws[:, y == 1], draws[:, y == 0]
    ahead = (score[y == 1][:, None] > score[y == 0]).astype(float)
    wins = ((positive @ ahead) * negative).sum(axis=1)
    return wins / (positive.sum(axis=1) * negative.sum(axis=1))


@check
def true_gain(attempt):
    """`true_gain(recorded_pct, factor)` undoes the adjustment for later splits, in percent."""
    recorded, factor = -54.46, 5.0
    try:
        yours = as_number(call(attempt, recorded, factor), "The gain")
    except TypeError as error:
        if "not iterable" not in str(error):
            raise
        raise Mistake(
            "A single number can't be looped over. Calculate without a loop: + - * / work on "
            "numbers and on whole columns alike."
        ) from error
    ratio = 1 + recorded / 100
    compare(
        yours,
        (ratio * factor - 1) * 100,
        {
            "You multiplied the gain. What the split divided was the price: turn the gain into a "
            "price ratio, 1 + recorded/100, multiply that, and turn it back.": recorded * factor,
            "That is the price ratio in percent of the issue price; subtract 1 before multiplying "
            "by 100.": ratio * factor * 100,
            "That is a fraction; the column is in percent, so multiply by 100.": ratio * factor - 1,
            "That is the price ratio. Turn it back into a gain in percent: subtract 1, multiply by "
            "100.": ratio * factor,
            "A gain is added to the price: the ratio is 1 + recorded/100, with a plus.": (
                (1 - recorded / 100) * factor - 1
            )
            * 100,
            "You used the percentage as a fraction: divide it by 100 first.": (1 + recorded)
            * factor
            - 1,
            "The brackets are missing: subtract 1 first, then multiply by 100.": ratio * factor
            - 100,
            "Turn the gain into a price ratio first: 1 + recorded/100.": (
                recorded / 100 * factor - 1
            )
            * 100,
            "You divided by the factor. The split has already divided the price; multiply to undo "
            "it.": (ratio / factor - 1) * 100,
        },
        "For IRCTC (recorded -54.46, factor 5) the true gain",
    )
    columns = pd.Series([10.0, -80.0, -20.0]), pd.Series([2.0, 10.0, 1.0])
    try:
        whole = np.asarray(call(attempt, *columns), dtype=float)
    except (TypeError, ValueError):
        raise Mistake(
            "For IRCTC it is right; make it work for whole columns too, without if or float()."
        ) from None
    compare(whole, [120.0, 100.0, -20.0], {}, "For three rows at once the gains")
    return "IRCTC did not lose half its value on its first day. It more than doubled."


@check
def precision_recall(attempt):
    """`precision_recall(y, probability, threshold)` returns the two, NaN if undefined."""
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    probability = np.array([0.9, 0.8, 0.7, 0.2, 0.95, 0.6, 0.3, 0.2, 0.1, 0.05])

    def ask(threshold, expected, mistakes):
        pair = as_pair(call(attempt, y, probability, threshold), "precision, recall")
        values = [as_number(part, "Each of the two") for part in pair]
        compare(values, expected, mistakes, f"At threshold {threshold} (precision, recall)")

    ask(
        0.65,  # 3 hits, 1 false alarm, 1 gain missed
        [3 / 4, 3 / 4],
        {
            "You ignore the argument threshold, and use 0.5.": [3 / 5, 3 / 4],
            "Precision divides by all that you picked, not by all rows.": [3 / 10, 3 / 4],
            "Recall divides by all true gains, not by all rows.": [3 / 4, 3 / 10],
            "The second number is the share of losses rightly left out (specificity). Recall asks "
            "how many of the true gains you found.": [3 / 4, 5 / 6],
            "These are percentages; return shares between 0 and 1.": [75, 75],
            "You counted losses as the class to find. It is gains, y == 1.": [5 / 6, 5 / 6],
            "The first number is the accuracy. Precision looks only at what you picked.": [
                8 / 10,
                3 / 4,
            ],
            "You picked the rows below the threshold.": [1 / 6, 1 / 4],
        },
    )
    ask(
        0.25,
        [1 / 2, 3 / 4],
        {"You have swapped them: return precision first, then recall.": [3 / 4, 1 / 2]},
    )
    ask(
        0.9,
        [1 / 2, 1 / 4],
        {"A probability equal to the threshold is picked too: use >=, not >.": [0, 0]},
    )
    ask(0.92, [0, 0], {"One row is picked here, wrongly: precision is 0, not nan.": [math.nan, 0]})
    undefined = "nothing is picked: recall is 0, and precision has no value, float('nan')"
    try:
        ask(
            0.99,
            [math.nan, 0],
            {
                f"At threshold 0.99 {undefined}.": [0, 0],
                "Recall has a value here: none of the gains was found, so it is 0.": [
                    math.nan,
                    math.nan,
                ],
            },
        )
    except ZeroDivisionError:
        raise Mistake(f"You divide by zero. At threshold 0.99 {undefined}.") from None
    return "Both are right, also where precision has no value."
