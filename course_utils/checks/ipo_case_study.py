"""Checks for lesson 08, the IPO case study."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from sklearn import metrics
from sklearn.metrics import roc_auc_score

from ..data import load_ipo
from .exercise import exercise
from .feedback import Mistake, as_number, as_pair, call, check, explained

FEATURES = [
    "issue_size_cr",
    "subscription_qib",
    "subscription_hni",
    "subscription_rii",
    "subscription_total",
    "issue_price",
]


def _tables():
    table = load_ipo()
    yield (pd.concat([table, table[:10]], ignore_index=True),)  # not the table of the lesson
    yield (table[::3].reset_index(drop=True),)


def _features(attempt, table):
    words = (
        "Some returned columns are not numbers: leave name and date out. (FEATURES holds names "
        "alone; the columns with these names are table[FEATURES].)"
    )
    # Of the logarithm of 0 the check has words of its own.
    with explained({"ufunc": words}), np.errstate(divide="ignore"):
        result = call(attempt, table)
    try:
        X = np.asarray(result, dtype=float)
    except (TypeError, ValueError):
        raise Mistake(words) from None
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
    if X.shape[1] != 6:
        raise Mistake(f"There are six usable columns; you return {X.shape[1]}.")
    if np.allclose(X.mean(axis=0), 0, atol=1e-3):
        raise Mistake(
            "You have already standardised, with means taken over all rows, test rows included. "
            "Return log1p alone; scaling comes after the split."
        )
    ranks = pd.DataFrame(np.nan_to_num(X)).rank().to_numpy()
    for name in FEATURES:  # in any order: of your columns the one whose ranks are most like its own
        distances = np.abs(ranks - table[[name]].rank().to_numpy()).sum(axis=0)
        yield f"The column log1p of {name}", X[:, distances.argmin()]


def _tells(column, answer):
    """Whether a feature is the answer itself, scaled or after a logarithm."""
    known = np.isfinite(column)
    if known.sum() < 10 or np.ptp(column[known]) == 0:
        return False
    forms = (answer[known], np.log1p(np.abs(answer[known])))
    return any(abs(np.corrcoef(column[known], form)[0, 1]) > 0.97 for form in forms)


@exercise(
    cases=_tables,
    observe=_features,
    praise="Six features, all known before the first trade, none of them ruled by a few giants.",
)
def make_features(table):
    """`make_features(table)` returns log(1 + x) of the six columns known before listing."""
    return np.log1p(table[FEATURES].to_numpy())


@make_features.variant
def another_order_with_log(table):
    return np.log(1 + table[FEATURES[::-1]])


@make_features.variant
def as_a_tensor(table):
    return torch.log1p(torch.tensor(table[FEATURES].to_numpy(), dtype=torch.float64))


@make_features.mistake
def plain_log(table):
    """Some columns contain zeros, and log(0) is minus infinity. Use np.log1p, which takes
    log(1 + x)."""
    with np.errstate(divide="ignore"):
        return np.log(table[FEATURES].to_numpy())


make_features.known(
    "The columns are still as skewed as in the file. Take np.log1p of them.",
    lambda table: table[FEATURES],
    "That is the logarithm to the base 10. Take the natural logarithm.",
    lambda table: np.log10(1 + table[FEATURES]),
    "There is a log1p for numbers in the column issue_price too: it is still as it was.",
    lambda table: pd.concat([np.log1p(table[FEATURES[:-1]]), table["issue_price"]], axis=1),
)


def _two_parts():
    rng = np.random.default_rng(0)
    n = 50_000  # so many rows that both definitions of the deviation give the same
    for mean, deviation in ((5, 3), (-2, 0.5)):
        yield rng.normal(mean, deviation, (n, 2)), rng.normal(mean + 3, 2 * deviation, (n - 99, 2))


def _scaled(attempt, X_train, X_test):
    parts = as_pair(call(attempt, X_train, X_test), "train_scaled, test_scaled")
    hint = (
        "The training part is right; scale the test part by the same mean and deviation. (Take "
        "both from X_train before you give that name to something else.)"
    )
    for name, given, part, advice in zip(
        ("training", "test"), (X_train, X_test), parts, ("", hint), strict=True
    ):
        part = np.asarray(part, dtype=float)
        if part.shape not in (X_train.shape, X_test.shape):
            raise Mistake(
                f"The scaled {name} part should have shape {given.shape}, as it came in; yours has "
                f"{part.shape}."
            )
        yield f"The first rows of the scaled {name} part", part[:20], advice


@exercise(
    cases=_two_parts,
    observe=_scaled,
    praise="The test rows were measured with the training part's ruler: nothing leaked.",
)
def standardise(X_train, X_test):
    """`standardise(X_train, X_test)` scales both by the training part's mean and deviation."""
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    return (X_train - mean) / std, (X_test - mean) / std


@standardise.variant
def with_the_sample_deviation(X_train, X_test):
    mean, std = X_train.mean(0), X_train.std(0, ddof=1)
    return [(X_train - mean) / std, (X_test - mean) / std]


def _both(scale):
    """Scales both parts by `scale(X, X_train, X_test)`."""
    return lambda X_train, X_test: tuple(scale(X, X_train, X_test) for X in (X_train, X_test))


def _z(X, of, axis=0):
    return (X - of.mean(axis=axis, keepdims=True)) / of.std(axis=axis, keepdims=True)


standardise.known(
    "You scaled the test part by its own mean and deviation. Then the same IPO would get other "
    "features in other company: use the training part's numbers for both.",
    _both(lambda X, *_: _z(X, X)),
    "Mean and deviation come from training and test rows together, so the test rows have leaked "
    "into the training data. Fit on X_train alone.",
    _both(lambda X, *both: _z(X, np.vstack(both))),
    "You used one mean for all columns. Each column has its own: axis=0.",
    _both(lambda X, train, _: _z(X, train, axis=None)),
    "You subtracted the mean; now divide by the standard deviation too.",
    _both(lambda X, train, _: X - train.mean(axis=0)),
    "You divided by the deviation; subtract the mean first.",
    _both(lambda X, train, _: X / train.std(axis=0)),
    "You divided by the variance; divide by its root, the deviation.",
    _both(lambda X, train, _: _z(X, train) / train.std(axis=0)),
    "You scaled each row by its own mean. One row is one IPO; each column has a mean and a "
    "deviation: axis=0.",
    _both(lambda X, *_: _z(X, X, axis=1)),
    "The brackets are missing: subtract first, then divide.",
    _both(lambda X, train, _: X - train.mean(axis=0) / train.std(axis=0)),
    "That is min-max scaling, to values from 0 to 1. Use mean and standard deviation.",
    _both(lambda X, train, _: (X - train.min(axis=0)) / np.ptp(train, axis=0)),
    "Both parts are still as they came.",
    _both(lambda X, *_: X),
    "The two are exchanged: return the training part first.",
    lambda X_train, X_test: (_z(X_test, X_train), _z(X_train, X_train)),
    "The training part is right; the test part is still as it was.",
    lambda X_train, X_test: (_z(X_train, X_train), X_test),
)


# What `bootstrap_auc` may give, as a function of the AUCs of many resamples and of the rows.
INTERVALS = {
    "a 95 % interval": lambda aucs, n: np.percentile(aucs, [2.5, 97.5]),
    "a 90 % interval (percentiles 5 and 95)": lambda aucs, n: np.percentile(aucs, [5, 95]),
    "an interval from percentile 2.5 to 95": lambda aucs, n: np.percentile(aucs, [2.5, 95]),
    "an interval from percentile 5 to 97.5": lambda aucs, n: np.percentile(aucs, [5, 97.5]),
    "an 80 % interval (percentiles 10 and 90)": lambda aucs, n: np.percentile(aucs, [10, 90]),
    "the interval of 1000 rows a draw, narrower than these rows allow (draw len(y) rows)": (
        lambda aucs, n: (
            aucs.mean() + (np.percentile(aucs, [2.5, 97.5]) - aucs.mean()) * (n / 1000) ** 0.5
        )
    ),
    "a 50 % interval (percentiles 25 and 75)": lambda aucs, n: np.percentile(aucs, [25, 75]),
    "mean ± one standard deviation, about 68 %": (
        lambda aucs, n: aucs.mean() + np.array([-1, 1]) * aucs.std()
    ),
    "mean ± two standard errors of the mean, which would shrink with more draws": (
        lambda aucs, n: aucs.mean() + np.array([-2, 2]) * aucs.std() / 1000**0.5
    ),
}


@check
def bootstrap_auc(attempt):
    """`bootstrap_auc(y, score)` returns the ends of a 95 % interval of the AUC."""
    distances = []  # from each kind of interval, on each data set, in deviations
    for seed, rows in ((0, 64), (3, 120), (5, 90)):
        rng = np.random.default_rng(seed)
        y = (rng.random(rows) < 0.55).astype(int)
        score = y + rng.normal(0, 1.2, rows)
        yours, shown = _interval(attempt, y, score)
        draws = bootstrapped_aucs(y, score, 5000)
        lowest, highest = np.percentile(draws, [0.5, 99.5])
        if yours[0] < lowest and yours[1] > highest:
            raise Mistake(
                "That holds more than 99 % of the draws. Take percentiles 2.5 and 97.5, not the "
                f"lowest and the highest, and draw as many rows as there are. {shown}"
            )
        ends = [interval(draws, rows) for interval in INTERVALS.values()]
        distances.append((np.array(ends) - yours) / draws.std())
    # Resampling is random, so the interval counts as the one it comes closest to.
    distances = np.sqrt((np.array(distances) ** 2).mean(axis=(0, 2)))
    closest = list(INTERVALS)[distances.argmin()]
    if distances.min() > 0.22:
        low, high = INTERVALS["a 95 % interval"](draws, rows)
        raise Mistake(
            f"A 95 % interval would be about {low:.2f} to {high:.2f}. Do you draw a thousand times? "
            f"And each time len(y) rows, here {rows}, out of all? {shown}"
        )
    if closest != "a 95 % interval":
        raise Mistake(
            f"That is {closest}; take percentiles 2.5 and 97.5. (If you did, the draws were "
            f"unlucky: run it again.) {shown}"
        )
    return f"{shown} With {rows} rows an AUC is known no better than that."


def _interval(attempt, y, score):
    """(both ends, what they are in words); raise a Mistake unless they make an interval."""
    auc = roc_auc_score(y, score)
    outside = (
        "You draw a row that is not there. Draw from len(y) rows, and take them from the arguments, "
        "y and score."
    )
    try:
        with _quick_auc(attempt), explained({"out of bounds": outside}):
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
    return yours, shown


def bootstrapped_aucs(y, score, n):
    """AUCs of `n` resamples: pairs of a positive and a negative row, as often as both are drawn."""
    draws = np.random.default_rng(1).multinomial(len(y), [1 / len(y)] * len(y), size=n)
    positive, negative = draws[:, y == 1], draws[:, y == 0]
    ahead = (score[y == 1][:, None] > score[y == 0]).astype(float)
    wins = ((positive @ ahead) * negative).sum(axis=1)
    return wins / (positive.sum(axis=1) * negative.sum(axis=1))


@contextmanager
def _quick_auc(attempt):
    """In a `with` block: scikit-learn's AUC without its checks, which take a second in a thousand."""
    places = [vars(metrics), getattr(attempt, "__globals__", {})]
    named = [(place, name) for place in places for name in place if place[name] is roc_auc_score]
    for place, name in named:
        place[name] = _auc
    try:
        yield
    finally:
        for place, name in named:
            place[name] = roc_auc_score


def _auc(y_true, y_score, **options):
    y, score = np.asarray(y_true), np.asarray(y_score)
    if options or set(y.flat) != {0, 1}:
        return roc_auc_score(y_true, y_score, **options)
    return (np.sign(np.subtract.outer(score[y == 1], score[y == 0])).mean() + 1) / 2


def _gains():
    yield -54.46, 5.0  # IRCTC
    yield 12.5, 2.0
    yield pd.Series([10.0, -80.0, -20.0]), pd.Series([2.0, 10.0, 1.0])


def _true_gain(attempt, recorded, factor):
    columns = isinstance(recorded, pd.Series)
    try:
        result = call(attempt, recorded, factor)
        yours = np.asarray(result, dtype=float) if columns else as_number(result, "The gain")
    except (TypeError, ValueError) as error:
        if columns:
            raise Mistake(
                "For single numbers it is right; make it work for whole columns too, without if or "
                "float()."
            ) from None
        if "not iterable" not in str(error):
            raise
        raise Mistake(
            "A single number can't be looped over. Calculate without a loop: + - * / work on "
            "numbers and on whole columns alike."
        ) from error
    if columns:
        yield "For three rows at once the gains", yours
    else:
        yield f"For a recorded gain of {recorded} and a factor of {factor} the true gain", yours


@exercise(
    cases=_gains,
    observe=_true_gain,
    praise="IRCTC did not lose half its value on its first day. It more than doubled.",
)
def true_gain(recorded_pct, factor):
    """`true_gain(recorded_pct, factor)` undoes the adjustment for later splits, in percent."""
    return ((1 + recorded_pct / 100) * factor - 1) * 100


@true_gain.variant
def through_prices(recorded_pct, factor):
    close = 100 * (1 + recorded_pct / 100)
    return close * factor - 100


true_gain.variant(np.vectorize(lambda pct, factor: pct * factor + 100 * (factor - 1)))

true_gain.known(
    "You multiplied the gain. What the split divided was the price: turn the gain into a price "
    "ratio, 1 + recorded/100, multiply that, and turn it back.",
    lambda pct, factor: pct * factor,
    "That is the price ratio in percent of the issue price; subtract 1 before multiplying by 100.",
    lambda pct, factor: (1 + pct / 100) * factor * 100,
    "Where everything is multiplied by 100, the 1 must be, too: subtract it before.",
    lambda pct, factor: (1 + pct / 100) * factor * 100 - 1,
    "That is a fraction; the column is in percent, so multiply by 100.",
    lambda pct, factor: (1 + pct / 100) * factor - 1,
    "That is the price ratio. Turn it back into a gain in percent: subtract 1, multiply by 100.",
    lambda pct, factor: (1 + pct / 100) * factor,
    "A gain is added to the price: the ratio is 1 + recorded/100, with a plus.",
    lambda pct, factor: ((1 - pct / 100) * factor - 1) * 100,
    "You used the percentage as a fraction: divide it by 100 first.",
    lambda pct, factor: (1 + pct) * factor - 1,
    "The brackets are missing: subtract 1 first, then multiply by 100.",
    lambda pct, factor: (1 + pct / 100) * factor - 1 * 100,
    "Turn the gain into a price ratio first: 1 + recorded/100.",
    lambda pct, factor: (pct / 100 * factor - 1) * 100,
    "You divided by the factor. The split has already divided the price; multiply to undo it.",
    lambda pct, factor: ((1 + pct / 100) / factor - 1) * 100,
    "For a whole column you return a single number. Each row has its own gain.",
    lambda pct, factor: float(through_prices(np.mean(pct), np.mean(factor))),
)


def _answers():
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    probability = np.array([0.9, 0.8, 0.7, 0.2, 0.95, 0.6, 0.3, 0.2, 0.1, 0.05])
    for threshold in (0.65, 0.25, 0.9, 0.92, 0.99):  # 0.9 is a tie, above 0.99 there is none
        yield y, probability, threshold
    yield y[2:], probability[::-1][2:], 0.25


def _precision_recall(attempt, y, probability, threshold):
    try:
        pair = as_pair(call(attempt, y, probability, threshold), "precision, recall")
    except ZeroDivisionError:
        raise Mistake(
            f"You divide by zero. At threshold {threshold} nothing is picked: recall is 0, and "
            "precision has no value, float('nan')."
        ) from None
    if any(part is None for part in pair):
        raise Mistake("None is no number. Where precision has no value, return float('nan').")
    values = [as_number(part, "Each of the two") for part in pair]
    yield f"At threshold {threshold} (precision, recall)", values


@exercise(
    cases=_answers,
    observe=_precision_recall,
    praise="Both are right, also where precision has no value.",
)
def precision_recall(y, probability, threshold):
    """`precision_recall(y, probability, threshold)` returns the two, NaN if undefined."""
    return _of_picked(y, probability >= threshold)


def _of_picked(y, picked):
    return y[picked].mean() if picked.any() else np.nan, picked[y == 1].mean()


@precision_recall.variant
def with_a_matrix(y, probability, threshold):
    (_, false_positive), (missed, hits) = metrics.confusion_matrix(y, probability >= threshold)
    chosen = hits + false_positive
    return np.array([hits / chosen if chosen else np.nan, hits / (hits + missed)])


@precision_recall.variant
def with_scikit_learn(y, probability, threshold):
    answer = (probability >= threshold).astype(int)
    precision = metrics.precision_score(y, answer, zero_division=np.nan)
    return precision, metrics.recall_score(y, answer)


def _picking(spoilt):
    """Returns `spoilt(y, picked, the right pair)`."""

    def attempt(y, probability, threshold):
        picked = probability >= threshold
        return spoilt(y, picked, _of_picked(y, picked))

    return attempt


precision_recall.known(
    "You ignore the argument threshold, and use 0.5.",
    lambda y, probability, threshold: _of_picked(y, probability >= 0.5),
    "A probability equal to the threshold is picked too: use >=, not >.",
    lambda y, probability, threshold: _of_picked(y, probability > threshold),
    "You picked the rows below the threshold.",
    _picking(lambda y, picked, pair: _of_picked(y, ~picked)),
    "Precision divides by all that you picked, not by all rows.",
    _picking(lambda y, picked, pair: (y[picked].sum() / len(y), pair[1])),
    "Recall divides by all true gains, not by all rows.",
    _picking(lambda y, picked, pair: (pair[0], y[picked].sum() / len(y))),
    "Both are divided by all rows. Precision divides by all that you picked, recall by all true "
    "gains.",
    _picking(lambda y, picked, pair: [y[picked].sum() / len(y)] * 2),
    "The second number is the share of losses rightly left out (specificity). Recall asks how "
    "many of the true gains you found.",
    _picking(lambda y, picked, pair: (pair[0], 1 - picked[y == 0].mean())),
    "These are percentages; return shares between 0 and 1.",
    _picking(lambda y, picked, pair: (100 * pair[0], 100 * pair[1])),
    "You counted losses as the class to find. It is gains, y == 1.",
    _picking(lambda y, picked, pair: _of_picked(1 - y, ~picked)),
    "The first number is the accuracy. Precision looks only at what you picked.",
    _picking(lambda y, picked, pair: ((picked == y).mean(), pair[1])),
    "You have swapped them: return precision first, then recall.",
    _picking(lambda y, picked, pair: pair[::-1]),
    "Where what is picked is all wrong, precision is 0, not nan.",
    _picking(lambda y, picked, pair: (pair[0] or np.nan, pair[1])),
    "Where nothing is picked, recall is 0, and precision has no value, float('nan').",
    _picking(lambda y, picked, pair: (np.nan_to_num(pair[0]), pair[1])),
    "Recall has a value where nothing is picked: none of the gains was found, so it is 0.",
    _picking(lambda y, picked, pair: pair if picked.any() else (np.nan, np.nan)),
)
