"""Answers to the exercises of lesson 08."""

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from course_utils.checks.ipo_case_study import FEATURES as SIX

from . import gallery

wrong, right = gallery("ipo_case_study")

# Exercise 1


@right("make_features")
def as_a_frame(table):
    return table[SIX].apply(np.log1p)


@right("make_features")
def another_order_with_log(table):
    return np.log(1 + table[SIX[::-1]].values)


@right("make_features")
def as_a_tensor(table):
    return torch.log1p(torch.tensor(table[SIX].to_numpy(), dtype=torch.float64))


@wrong("make_features", "listing_gain_pct is among your features")
def answer_included(table):
    return np.log1p(table.select_dtypes("number").drop(columns="listing_gain").abs())


@wrong("make_features", "listing_gain_pct is among your features")
def answer_included_raw(table):
    return np.column_stack([np.log1p(table[SIX]), table["listing_gain_pct"]])


@wrong("make_features", "listing_gain is among your features")
def label_included(table):
    return np.log1p(table[[*SIX, "listing_gain"]].to_numpy())


@wrong("make_features", "log(0)")
def plain_log(table):
    with np.errstate(divide="ignore"):
        return np.log(table[SIX].to_numpy())


@wrong("make_features", "still as skewed")
def no_log(table):
    return table[SIX].to_numpy()


@wrong("make_features", "already standardised")
def scaled_too(table):
    return StandardScaler().fit_transform(np.log1p(table[SIX].to_numpy()))


@wrong("make_features", "six usable columns")
def price_forgotten(table):
    return np.log1p(table[SIX[:-1]].to_numpy())


@wrong("make_features", "changed the data")
def in_place(table):
    table[SIX] = np.log1p(table[SIX])
    return table[SIX]


@wrong("make_features", "not numbers")
def names_included(table):
    return table[["name", *SIX]].to_numpy()


@wrong("make_features", "natural logarithm")
def another_logarithm(table):
    return np.log10(1 + table[SIX].to_numpy())


# Exercise 2


@right("standardise")
def with_the_sample_deviation(X_train, X_test):
    mean, std = X_train.mean(0), X_train.std(0, ddof=1)
    return (X_train - mean) / std, (X_test - mean) / std


@right("standardise")
def with_a_scaler(X_train, X_test):
    scaler = StandardScaler().fit(X_train)
    return [scaler.transform(X_train), scaler.transform(X_test)]


@wrong("standardise", "training and test rows together")
def fitted_on_everything(X_train, X_test):
    both = np.concatenate([X_train, X_test])
    mean, std = both.mean(axis=0), both.std(axis=0)
    return (X_train - mean) / std, (X_test - mean) / std


@wrong("standardise", "its own mean")
def each_its_own(X_train, X_test):
    return tuple((X - X.mean(axis=0)) / X.std(axis=0) for X in (X_train, X_test))


@wrong("standardise", "one mean for all columns")
def one_ruler(X_train, X_test):
    mean, std = X_train.mean(), X_train.std()
    return (X_train - mean) / std, (X_test - mean) / std


@wrong("standardise", "divide by the standard deviation too")
def centred_only(X_train, X_test):
    mean = X_train.mean(axis=0)
    return X_train - mean, X_test - mean


@wrong("standardise", "subtract the mean first")
def scaled_only(X_train, X_test):
    std = X_train.std(axis=0)
    return X_train / std, X_test / std


@wrong("standardise", "scale the test part by the same")
def test_part_untouched(X_train, X_test):
    return (X_train - X_train.mean(axis=0)) / X_train.std(axis=0), X_test


@wrong("standardise", "by the variance")
def by_the_variance(X_train, X_test):
    mean, variance = X_train.mean(axis=0), X_train.var(axis=0)
    return (X_train - mean) / variance, (X_test - mean) / variance


@wrong("standardise", "changed the data")
def scaled_in_place(X_train, X_test):
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    X_train -= mean
    X_train /= std
    return X_train, (X_test - mean) / std


@wrong("standardise", "two things")
def train_only(X_train, X_test):
    return (X_train - X_train.mean(axis=0)) / X_train.std(axis=0)


wrong("standardise", "own mean. One row is one IPO")(
    lambda X_train, X_test: tuple(
        (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
        for X in (X_train, X_test)
    )
)
wrong("standardise", "brackets are missing")(
    lambda X_train, X_test: tuple(
        X - X_train.mean(axis=0) / X_train.std(axis=0) for X in (X_train, X_test)
    )
)
wrong("standardise", "min-max scaling")(
    lambda X_train, X_test: tuple(
        (X - X_train.min(axis=0)) / np.ptp(X_train, axis=0) for X in (X_train, X_test)
    )
)
wrong("standardise", "training part first")(
    lambda X_train, X_test: tuple(
        (X - X_train.mean(axis=0)) / X_train.std(axis=0) for X in (X_test, X_train)
    )
)


@wrong("standardise", "The training part is right")
def test_part_left_as_it_is(X_train, X_test):
    return (X_train - X_train.mean(axis=0)) / X_train.std(axis=0, ddof=1), X_test


# Exercise 3


def auc(y, score):
    """As roc_auc_score, but quick: it is called some ten thousand times."""
    positive, negative = score[y == 1][:, None], score[y == 0]
    return (positive > negative).mean() + (positive == negative).mean() / 2


def resampled(y, score, draw, percentiles=(2.5, 97.5)):
    aucs = []
    for _ in range(1000):
        a, b = draw(len(y))
        aucs.append(auc(y[a], score[b]))
    return tuple(np.percentile(aucs, percentiles))


RNG = np.random.default_rng(1)


def same_rows(n):
    rows = RNG.integers(n, size=n)
    return rows, rows


@right("bootstrap_auc")
def percentiles(y, score):
    return resampled(y, score, same_rows)


@right("bootstrap_auc")
def quantiles_with_choice(y, score):
    draws = [np.random.choice(len(y), len(y)) for _ in range(1000)]
    aucs = [auc(y[rows], score[rows]) for rows in draws]
    return np.quantile(aucs, 0.025), np.quantile(aucs, 0.975)


@right("bootstrap_auc")
def as_an_array(y, score):
    return np.array(resampled(y, score, same_rows))


@wrong("bootstrap_auc", "only one class")
def resample_of_the_resample(y, score):
    aucs = []
    for _ in range(1000):
        rows, _ = same_rows(len(y))
        y, score = y[rows], score[rows]
        aucs.append(auc(y, score) if len(set(y)) == 2 else np.nan)
    return np.percentile(aucs, [2.5, 97.5])


@right("bootstrap_auc")
def two_deviations(y, score):
    aucs = [auc(y[rows], score[rows]) for rows, _ in (same_rows(len(y)) for _ in range(1000))]
    return np.mean(aucs) - 1.96 * np.std(aucs), np.mean(aucs) + 1.96 * np.std(aucs)


def percentiles_of(low, high, draws=1000, sign=1):
    """A bootstrap with other percentiles, another number of draws, or scores of the other sign."""

    def interval(y, score):
        aucs = [auc(y[rows], sign * score[rows]) for rows, _ in map(same_rows, [len(y)] * draws)]
        return np.percentile(aucs, [low, high])

    return interval


wrong("bootstrap_auc", "take percentiles 2.5 and 97.5")(percentiles_of(2.5, 95))
wrong("bootstrap_auc", "an 80 % interval")(percentiles_of(10, 90))
wrong("bootstrap_auc", "1 minus the AUC")(percentiles_of(2.5, 97.5, sign=-1))


@wrong("bootstrap_auc", "no width")
def without_replacement(y, score):
    return resampled(y, score, lambda n: (np.random.permutation(n),) * 2)


@wrong("bootstrap_auc", "drawn separately")
def rows_torn_apart(y, score):
    return resampled(y, score, lambda n: (same_rows(n)[0], same_rows(n)[0]))


@wrong("bootstrap_auc", "90 % interval")
def ninety_percent(y, score):
    return resampled(y, score, same_rows, (5, 95))


@wrong("bootstrap_auc", "50 % interval")
def quartiles(y, score):
    return resampled(y, score, same_rows, (25, 75))


@wrong("bootstrap_auc", "one standard deviation")
def one_deviation(y, score):
    aucs = [auc(y[rows], score[rows]) for rows, _ in (same_rows(len(y)) for _ in range(1000))]
    return np.mean(aucs) - np.std(aucs), np.mean(aucs) + np.std(aucs)


@wrong("bootstrap_auc", "counts in percent")
def shares_for_percentages(y, score):
    return resampled(y, score, same_rows, (0.025, 0.975))


@wrong("bootstrap_auc", "lowest and the highest")
def all_draws(y, score):
    rng = np.random.default_rng(0)  # its own: the ends hang on the draws
    return resampled(y, score, lambda n: (rng.integers(n, size=n),) * 2, (0, 100))


@wrong("bootstrap_auc", "standard errors of the mean")
def error_of_the_mean(y, score):
    aucs = [auc(y[rows], score[rows]) for rows, _ in (same_rows(len(y)) for _ in range(1000))]
    error = np.std(aucs) / np.sqrt(len(aucs))
    return np.mean(aucs) - 2 * error, np.mean(aucs) + 2 * error


@wrong("bootstrap_auc", "lower end comes first")
def upside_down(y, score):
    return resampled(y, score, same_rows)[::-1]


@wrong("bootstrap_auc", "two things")
def the_mean(y, score):
    return np.mean(resampled(y, score, same_rows))


@wrong("bootstrap_auc", "as many rows as there are")
def a_third_of_the_rows(y, score):
    rng = np.random.default_rng(0)
    return resampled(y, score, lambda n: (rng.integers(n, size=n // 3),) * 2)


@wrong("bootstrap_auc", "labels first, then the scores")
def arguments_exchanged(y, score):
    return np.percentile([roc_auc_score(score, y)], [2.5, 97.5])


# Exercise 4


@right("true_gain")
def through_prices(recorded_pct, factor):
    close = 100 * (1 + recorded_pct / 100)
    return close * factor - 100


@right("true_gain")
def expanded(recorded_pct, factor):
    return recorded_pct * factor + 100 * (factor - 1)


@wrong("true_gain", "You multiplied the gain")
def gain_times_factor(recorded_pct, factor):
    return recorded_pct * factor


@wrong("true_gain", "subtract 1")
def ratio_in_percent(recorded_pct, factor):
    return (1 + recorded_pct / 100) * factor * 100


@wrong("true_gain", "That is a fraction")
def as_a_fraction(recorded_pct, factor):
    return (1 + recorded_pct / 100) * factor - 1


@wrong("true_gain", "divide it by 100 first")
def percent_taken_for_fraction(recorded_pct, factor):
    return (1 + recorded_pct) * factor - 1


@wrong("true_gain", "You divided by the factor")
def divided(recorded_pct, factor):
    return ((1 + recorded_pct / 100) / factor - 1) * 100


@wrong("true_gain", "whole columns")
def only_if_split(recorded_pct, factor):
    return ((1 + recorded_pct / 100) * factor - 1) * 100 if factor > 1 else recorded_pct


@wrong("true_gain", "For three rows at once")
def one_number_for_all(recorded_pct, factor):
    return float(((1 + np.mean(recorded_pct) / 100) * np.mean(factor) - 1) * 100)


wrong("true_gain", "That is the price ratio. Turn it back")(
    lambda pct, factor: (1 + pct / 100) * factor
)
wrong("true_gain", "with a plus")(lambda pct, factor: ((1 - pct / 100) * factor - 1) * 100)
wrong("true_gain", "can't be looped over")(
    lambda pct, factor: [((1 + p / 100) * f - 1) * 100 for p, f in zip(pct, factor, strict=True)]
)
right("true_gain")(np.vectorize(lambda pct, factor: pct * factor + 100 * (factor - 1)))


# Exercise 5


@right("precision_recall")
def with_a_matrix(y, probability, threshold):
    (_, false_positive), (missed, hits) = confusion_matrix(y, probability >= threshold)
    chosen = hits + false_positive
    return (hits / chosen if chosen else np.nan), hits / (hits + missed)


@right("precision_recall")
def with_scikit_learn(y, probability, threshold):
    answer = (probability >= threshold).astype(int)
    return precision_score(y, answer, zero_division=np.nan), recall_score(y, answer)


@wrong("precision_recall", "swapped")
def swapped(y, probability, threshold):
    return with_scikit_learn(y, probability, threshold)[::-1]


@wrong("precision_recall", "ignore the argument threshold")
def always_one_half(y, probability, threshold):
    return with_scikit_learn(y, probability, 0.5)


@wrong("precision_recall", "use >=")
def strictly_above(y, probability, threshold):
    return with_scikit_learn(y, probability, threshold + 1e-9)


@wrong("precision_recall", "precision is 0, not nan")
def nan_without_hits(y, probability, threshold):
    precision, recall = with_scikit_learn(y, probability, threshold)
    return precision or np.nan, recall


@wrong("precision_recall", "not by all rows")
def over_all_rows(y, probability, threshold):
    picked = probability >= threshold
    hits = (picked & (y == 1)).sum()
    return hits / len(y), hits / (y == 1).sum()


@wrong("precision_recall", "specificity")
def specificity(y, probability, threshold):
    precision, _ = with_scikit_learn(y, probability, threshold)
    return precision, ((probability < threshold) & (y == 0)).sum() / (y == 0).sum()


@wrong("precision_recall", "precision has no value")
def zero_instead_of_nan(y, probability, threshold):
    answer = (probability >= threshold).astype(int)
    return precision_score(y, answer, zero_division=0), recall_score(y, answer)


@wrong("precision_recall", "You divide by zero")
def division_by_zero(y, probability, threshold):
    picked = [bool(p >= threshold) for p in probability]
    hits = sum(a and b == 1 for a, b in zip(picked, y, strict=True))
    return hits / sum(picked), hits / sum(int(label) for label in y)


def picked_and_recall(y, picked):
    return y[picked].mean() if picked.any() else np.nan, picked[y == 1].mean()


right("precision_recall")(lambda y, probability, t: picked_and_recall(y, probability >= t))
wrong("precision_recall", "below the threshold")(lambda y, p, t: picked_and_recall(y, p < t))
wrong("precision_recall", "The first number is the accuracy")(
    lambda y, p, t: (((p >= t) == y).mean(), picked_and_recall(y, p >= t)[1])
)


@wrong("precision_recall", "Recall has a value here")
def both_undefined(y, probability, threshold):
    picked = probability >= threshold
    return picked_and_recall(y, picked) if picked.any() else (np.nan, np.nan)
