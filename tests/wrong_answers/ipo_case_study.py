"""Answers to the exercises of lesson 08."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from course_utils.checks.ipo_case_study import FEATURES as SIX
from course_utils.checks.ipo_case_study import INTERVALS, bootstrapped_aucs

from . import gallery

wrong, right = gallery("ipo_case_study")

# Exercise 1


@wrong("make_features", "listing_gain_pct is among your features")
def answer_included(table):
    return np.log1p(table.select_dtypes("number").drop(columns="listing_gain").abs())


@wrong("make_features", "listing_gain_pct is among your features")
def answer_included_raw(table):
    return np.column_stack([np.log1p(table[SIX]), table["listing_gain_pct"]])


@wrong("make_features", "listing_gain is among your features")
def label_included(table):
    return np.log1p(table[[*SIX, "listing_gain"]].to_numpy())


@wrong("make_features", "already standardised")
def scaled_too(table):
    return StandardScaler().fit_transform(np.log1p(table[SIX].to_numpy()))


@wrong("make_features", "six usable columns")
def price_forgotten(table):
    return np.log1p(table[SIX[:-1]].to_numpy())


@wrong("make_features", "log1p of subscription_hni")
def one_column_twice(table):
    return np.log1p(table[[*SIX[:2], *SIX[1:2], *SIX[3:]]])


@wrong("make_features", "changed the data")
def in_place(table):
    table[SIX] = np.log1p(table[SIX])
    return table[SIX]


@wrong("make_features", "not numbers")
def names_included(table):
    return table[["name", *SIX]].to_numpy()


wrong("make_features", "table[FEATURES]")(lambda table: np.log1p(SIX))
wrong("make_features", "table[FEATURES]")(lambda table: SIX)
wrong("make_features", "keyword argument")(lambda table: np.log1p(table[SIX], columns=SIX))
# Its own numbers are shown beside those of a column, although others are nearer to these.
wrong("make_features", "issue_size_cr should be [5.251, 5.798, 4.047, 5.302, …]; you have [189.8")(
    lambda table: table[SIX]
)


# Exercise 2


@right("standardise")
def with_a_scaler(X_train, X_test):
    scaler = StandardScaler().fit(X_train)
    return [scaler.transform(X_train), scaler.transform(X_test)]


@wrong("standardise", "its own mean and deviation")
def each_its_own_in_pandas(X_train, X_test):
    frames = [pd.DataFrame(X) for X in (X_train, X_test)]
    return tuple((frame - frame.mean()) / frame.std() for frame in frames)


@wrong("standardise", "changed the data")
def scaled_in_place(X_train, X_test):
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    X_train -= mean
    X_train /= std
    return X_train, (X_test - mean) / std


@wrong("standardise", "axis=0")
def a_mean_for_each_row(X_train, X_test):
    mean, std = X_train.mean(axis=1), X_train.std(axis=1)
    return (X_train - mean) / std, (X_test - mean) / std


@wrong("standardise", "two things")
def train_only(X_train, X_test):
    return (X_train - X_train.mean(axis=0)) / X_train.std(axis=0)


@wrong("standardise", "as it came in")
def one_column(X_train, X_test):
    return X_train[:, 0], X_test[:, 0]


@wrong("standardise", "scale the test part by the same")
def mean_taken_from_what_is_scaled_already(X_train, X_test):
    train = (X_train - X_train.mean(axis=0)) / X_train.std(axis=0)
    return train, (X_test - train.mean(axis=0)) / X_train.std(axis=0)


# Exercise 3


def auc(y, score):
    """As roc_auc_score, but quick: it is called some ten thousand times."""
    positive, negative = score[y == 1][:, None], score[y == 0]
    return (positive > negative).mean() + (positive == negative).mean() / 2


RNG = np.random.default_rng(1)


def same_rows(n):
    rows = RNG.integers(n, size=n)
    return rows, rows


def resampled(draw=same_rows, percentiles=(2.5, 97.5), sign=1):
    """A bootstrap with other draws, other percentiles or scores of the other sign."""

    def interval(y, score):
        pairs = [draw(len(y)) for _ in range(1000)]
        return np.percentile([auc(y[a], sign * score[b]) for a, b in pairs], percentiles)

    return interval


right("bootstrap_auc")(resampled())


@right("bootstrap_auc")
def quantiles_with_choice(y, score):
    draws = [np.random.choice(len(y), len(y)) for _ in range(1000)]
    aucs = [roc_auc_score(y[rows], score[rows]) for rows in draws]
    return np.quantile(aucs, 0.025), np.quantile(aucs, 0.975)


@right("bootstrap_auc")
def two_deviations(y, score):
    aucs = [auc(y[rows], score[rows]) for rows, _ in (same_rows(len(y)) for _ in range(1000))]
    return np.mean(aucs) - 1.96 * np.std(aucs), np.mean(aucs) + 1.96 * np.std(aucs)


for what, ends in INTERVALS.items():

    def interval(y, score, ends=ends):
        return ends(bootstrapped_aucs(y, score, 1000), len(y))

    wrong("bootstrap_auc", None if what == "a 95 % interval" else what)(interval)

wrong("bootstrap_auc", "1000 rows a draw")(resampled(lambda n: (RNG.integers(n, size=1000),) * 2))
wrong("bootstrap_auc", "1 minus the AUC")(resampled(sign=-1))
wrong("bootstrap_auc", "no width")(resampled(lambda n: (np.random.permutation(n),) * 2))
wrong("bootstrap_auc", "drawn separately")(
    resampled(lambda n: (RNG.integers(n, size=n), RNG.integers(n, size=n)))
)
wrong("bootstrap_auc", "counts in percent")(resampled(percentiles=(0.025, 0.975)))
wrong("bootstrap_auc", "lower end comes first")(resampled(percentiles=(97.5, 2.5)))


@wrong("bootstrap_auc", "lowest and the highest")
def all_draws(y, score):
    rng = np.random.default_rng(0)  # its own: the ends hang on the draws
    return resampled(lambda n: (rng.integers(n, size=n),) * 2, (0, 100))(y, score)


@wrong("bootstrap_auc", "Do you draw a thousand times?")
def ten_draws(y, score):
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(y), size=len(y)) for _ in range(10)]
    return np.percentile([auc(y[rows], score[rows]) for rows in draws], [2.5, 97.5])


@wrong("bootstrap_auc", "out of all?")
def rows_of_the_lesson(y, score):
    rng = np.random.default_rng(0)
    return resampled(lambda n: (rng.integers(64, size=64),) * 2)(y, score)


@wrong("bootstrap_auc", "a row that is not there")
def one_row_too_many(y, score):
    return resampled(lambda n: (RNG.integers(n + 1, size=n),) * 2)(y, score)


@wrong("bootstrap_auc", "as many rows as there are")
def a_third_of_the_rows(y, score):
    rng = np.random.default_rng(0)
    return resampled(lambda n: (rng.integers(n, size=n // 3),) * 2)(y, score)


@wrong("bootstrap_auc", "only one class")
def resample_of_the_resample(y, score):
    aucs = []
    for _ in range(1000):
        rows, _ = same_rows(len(y))
        y, score = y[rows], score[rows]
        aucs.append(auc(y, score) if len(set(y)) == 2 else np.nan)
    return np.percentile(aucs, [2.5, 97.5])


@wrong("bootstrap_auc", "two things")
def the_mean(y, score):
    return np.mean(resampled()(y, score))


@wrong("bootstrap_auc", "labels first, then the scores")
def arguments_exchanged(y, score):
    return np.percentile([roc_auc_score(score, y)], [2.5, 97.5])


# Exercise 4


@wrong("true_gain", "whole columns")
def only_if_split(recorded_pct, factor):
    return ((1 + recorded_pct / 100) * factor - 1) * 100 if factor > 1 else recorded_pct


wrong("true_gain", "can't be looped over")(
    lambda pct, factor: [((1 + p / 100) * f - 1) * 100 for p, f in zip(pct, factor, strict=True)]
)


# Exercise 5


@wrong("precision_recall", "float('nan')")
def none_for_no_value(y, probability, threshold):
    picked = probability >= threshold
    return y[picked].mean() if picked.any() else None, picked[y == 1].mean()


@wrong("precision_recall", "You divide by zero")
def division_by_zero(y, probability, threshold):
    picked = [bool(p >= threshold) for p in probability]
    hits = sum(a and b == 1 for a, b in zip(picked, y, strict=True))
    return hits / sum(picked), hits / sum(int(label) for label in y)
