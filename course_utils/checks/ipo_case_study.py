"""Checks for lesson 08, the IPO case study."""

import math

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ..data import load_ipo
from .feedback import Mistake, NotAttempted, as_number, call, check, close, compare

FEATURES = [
    "issue_size_cr",
    "subscription_qib",
    "subscription_hni",
    "subscription_rii",
    "subscription_total",
    "issue_price",
]


def _two(result, what):
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise Mistake(f"Return two things: `return {what}`.")
    if any(part is ... for part in result):
        raise NotAttempted
    return result


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
    untouched = table.copy()
    result = call(attempt, table)
    if not table.equals(untouched):
        raise Mistake("Your function changed the table it was given. Work on a copy.")
    try:
        X = np.asarray(result, dtype=float)
    except (TypeError, ValueError):
        raise Mistake("Some returned columns are not numbers: leave name and date out.") from None
    if X.ndim != 2 or len(X) != len(table):
        raise Mistake(f"Return one row for each of the {len(table)} IPOs; yours is {X.shape}.")
    for name in ("listing_gain_pct", "listing_gain"):
        if any(_tells(column, table[name].to_numpy(dtype=float)) for column in X.T):
            raise Mistake(
                f"{name} is among your features, and it is the answer: nobody knows it before the "
                "first day of trading is over. Leave it out."
            )
    raw = table[FEATURES].to_numpy()
    if X.shape[1] != 6:
        raise Mistake(f"There are six usable columns; you return {X.shape[1]}.")
    if not np.isfinite(X).all():
        raise Mistake(
            "There are infinite or undefined values: some columns contain zeros, and log(0) is "
            "minus infinity. Use np.log1p, which takes log(1 + x)."
        )
    if close(X, raw):
        raise Mistake("The columns are still as skewed as in the file. Take np.log1p of them.")
    if np.allclose(X.mean(axis=0), 0, atol=1e-3):
        raise Mistake(
            "You have already standardised, with means taken over all rows, test rows included. "
            "Return log1p alone; scaling comes after the split."
        )
    expected = np.log1p(raw)
    order = [
        next((i for i, column in enumerate(X.T) if close(column, right)), None)
        for right in expected.T
    ]
    if None in order:
        raise Mistake(f"There is no column that is log1p of {FEATURES[order.index(None)]}.")
    return "Six features, all known before the first trade, none of them ruled by a few giants."


@check
def standardise(attempt):
    """`standardise(X_train, X_test)` scales both by the training part's mean and deviation."""
    rng = np.random.default_rng(0)
    X_train, X_test = rng.normal(5, 3, (40, 3)), rng.normal(8, 6, (10, 3))
    a, b = X_train.copy(), X_test.copy()
    train, test = _two(call(attempt, a, b), "train_scaled, test_scaled")
    if not (np.array_equal(a, X_train) and np.array_equal(b, X_test)):
        raise Mistake("Your function changed the arrays it was given. Make new ones.")
    train, test = np.asarray(train, dtype=float), np.asarray(test, dtype=float)
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
    compare(train, (X_train - mean) / X_train.std(axis=0), {}, "The scaled training part")
    raise Mistake("The training part is right; scale the test part by the same mean and deviation.")


@check
def bootstrap_auc(attempt):
    """`bootstrap_auc(y, score)` returns the ends of a 95 % interval of the AUC."""
    rng = np.random.default_rng(0)
    y = (rng.random(64) < 0.55).astype(int)
    score = y + rng.normal(0, 1.2, 64)
    auc = roc_auc_score(y, score)
    draws = _bootstrapped_aucs(y, score, 5000)
    mean, deviation = draws.mean(), draws.std()
    ends = {
        "a 95 % interval": np.percentile(draws, [2.5, 97.5]),
        "a 90 % interval (percentiles 5 and 95)": np.percentile(draws, [5, 95]),
        "a 50 % interval (percentiles 25 and 75)": np.percentile(draws, [25, 75]),
        "mean ± one standard deviation, about 68 %": (mean - deviation, mean + deviation),
    }
    state = np.random.get_state()
    try:
        result = call(attempt, y.copy(), score.copy())
    finally:
        np.random.set_state(state)
    yours = [as_number(end, "Each end") for end in _two(result, "low, high")]
    shown = f"Here the AUC is {auc:.3f} and your interval {yours[0]:.3f} to {yours[1]:.3f}."
    if yours[0] > yours[1]:
        raise Mistake(f"The lower end comes first. {shown}")
    if yours[1] - yours[0] < 0.01:
        raise Mistake(
            "The interval has no width: every resample was the same rows again. Draw with "
            f"replacement, for example rng.integers(len(y), size=len(y)). {shown}"
        )
    if yours[0] < 0.5 < yours[1] and abs(np.mean(yours) - 0.5) < 0.05:
        raise Mistake(
            "The interval is centred on 0.5, chance: labels and scores were drawn separately, so "
            f"they no longer belong together. Use the same rows for both. {shown}"
        )
    # Resampling is random, so the interval counts as the one it comes closest to.
    distances = {name: np.abs(np.subtract(yours, right)).max() for name, right in ends.items()}
    closest = min(distances, key=distances.get)
    if distances[closest] > 0.4 * deviation:
        low, high = ends["a 95 % interval"]
        raise Mistake(f"A 95 % interval would be about {low:.2f} to {high:.2f}. {shown}")
    if closest != "a 95 % interval":
        raise Mistake(f"That is {closest}; take percentiles 2.5 and 97.5. {shown}")
    return f"{shown} With 64 rows an AUC is known no better than that."


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
    yours = as_number(call(attempt, recorded, factor), "The gain")
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
            "You used the percentage as a fraction: divide it by 100 first.": (1 + recorded)
            * factor
            - 1,
            "You divided by the factor. The split has already divided the price; multiply to undo "
            "it.": (ratio / factor - 1) * 100,
        },
        "For IRCTC (recorded -54.46, factor 5) the true gain",
    )
    column = pd.Series([10.0, -80.0])
    whole = call(attempt, column, pd.Series([1.0, 10.0]))
    if not close(np.asarray(whole, dtype=float), np.array([10.0, 100.0])):
        raise Mistake("For single numbers it is right; make it work for whole columns too.")
    return "IRCTC did not lose half its value on its first day. It more than doubled."


@check
def precision_recall(attempt):
    """`precision_recall(y, probability, threshold)` returns the two, NaN if undefined."""
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    probability = np.array([0.9, 0.8, 0.7, 0.2, 0.85, 0.6, 0.3, 0.2, 0.1, 0.05])
    result = call(attempt, y, probability, 0.65)  # 3 true, 1 false positive; 1 false negative
    values = [as_number(part, "Each of the two") for part in _two(result, "precision, recall")]
    compare(
        values,
        [3 / 4, 3 / 4],
        {
            "You ignore the argument threshold, and use 0.5.": [3 / 5, 3 / 4],
            "Precision divides by all that you predicted as gains, not by all rows.": [0.3, 0.75],
            "Recall divides by all true gains, not by all rows.": [0.75, 0.3],
            "The second number is the share of losses rightly left out (specificity). Recall asks "
            "how many of the true gains you found.": [0.75, 5 / 6],
        },
        "At threshold 0.65 (precision, recall)",
    )
    values = [as_number(part, "Each") for part in _two(call(attempt, y, probability, 0.25), "")]
    compare(
        values,
        [1 / 2, 3 / 4],
        {
            "You have swapped them: return precision first, then recall.": [3 / 4, 1 / 2],
        },
        "At threshold 0.25 (precision, recall)",
    )
    try:
        values = [as_number(part, "Each") for part in _two(call(attempt, y, probability, 0.95), "")]
    except ZeroDivisionError:
        raise Mistake(
            "At threshold 0.95 nothing is predicted to gain, and you divide by zero. Precision has "
            "no value then: return float('nan') for it."
        ) from None
    if not (math.isnan(values[0]) and values[1] == 0):
        raise Mistake(
            "At threshold 0.95 nothing is predicted to gain: recall is 0, and precision has no "
            f"value, so return float('nan') for it. Yours are {values[0]:g} and {values[1]:g}."
        )
    return "Both are right, also where precision has no value."
