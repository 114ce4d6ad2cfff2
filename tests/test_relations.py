"""A plain relation between two results is found where there is one, and nowhere else."""

import math

import numpy as np
import pytest
import torch

from course_utils.checks.relations import quantities, relation, resemblance


def results(change, shape=(5, 3)):
    """Two cases of other sizes, the wrong result made from the right one by `change(r, n)`."""
    for n in (shape[0], shape[0] + 2):
        r = np.random.default_rng(n).normal(size=(n, *shape[1:]))
        yield change(r, n), r, {"`len(xb)`": n, "`lr`": 0.3, "`xb`": np.ones(n)}


RELATED = {
    "sign": lambda r, n: -r,
    "twice": lambda r, n: 2 * r,
    "half": lambda r, n: r / 2,
    "percent": lambda r, n: 100 * r,
    "ln 2": lambda r, n: r / math.log(2),
    "`len(xb)` times": lambda r, n: n * r,
    "divided by `len(xb)`": lambda r, n: r / n,
    "`lr` times": lambda r, n: 0.3 * r,
    "divide by 4, a fixed number, where `len(xb)`": lambda r, n: r * n / 4,
    "multiply by 4, a fixed number, where `len(xb)`": lambda r, n: r / n * 4,
    "(n - 1) / n": lambda r, n: r * (n - 1) / n,
    "rounded to 2": lambda r, n: np.round(r, 2),
    "whole numbers": lambda r, n: np.trunc(r),
    "1 minus": lambda r, n: 1 - r,
    "1 divided by": lambda r, n: 1 / r,
    "along dim=0, with the same sum": lambda r, n: r.sum(0) / r / (1 / r).sum(0),
    "square": lambda r, n: r**2,
    "exp of the right": lambda r, n: np.exp(r),
    "sign got lost": lambda r, n: np.abs(r),
    "negative, yours is 0": lambda r, n: np.maximum(r, 0),
    "sigmoid": lambda r, n: 1 / (1 + np.exp(-r)),
    "reverse": lambda r, n: r[::-1],
    "along dim=0, sorted": lambda r, n: np.sort(r, 0),
    "along dim=0, added up one after the other": lambda r, n: np.cumsum(r, 0),
    "along dim=0, one place late": lambda r, n: np.roll(r, 1, 0),
    "in other places": lambda r, n: (
        np.random.default_rng(n).permutation(r.ravel()).reshape(r.shape)
    ),
    "transpose": lambda r, n: r.T,
    "their shape is not": lambda r, n: r.ravel(),
    "other rows": lambda r, n: r.T.reshape(r.shape),
    "its sum over dim=1": lambda r, n: r.sum(1),
    "its mean over dim=0": lambda r, n: r.mean(0),
    "the sum of the right numbers": lambda r, n: r.sum(),
    "cut off": lambda r, n: r[:-1],
    "first of the right results": lambda r, n: r[0],
    "goes on": lambda r, n: np.concatenate([r, r[:1]]),
    "3.7 times": lambda r, n: 3.7 * r,
    "right one +0.25": lambda r, n: r + 0.25,
    "proportions": lambda r, n: r * math.pi**n,
    "All of your numbers are 0": lambda r, n: 0 * r,
    "NaN": lambda r, n: r * math.nan,
    "infinite": lambda r, n: r + math.inf,
    "but the last row": lambda r, n: np.concatenate([r[:-1], r[-1:] + 1]),
    "Only the first column": lambda r, n: np.concatenate([r[:, :1], r[:, 1:] + 1], axis=1),
}


@pytest.mark.parametrize("words", RELATED)
def test_a_relation_is_named(words):
    found = list(results(RELATED[words]))
    assert words in (relation(found) or resemblance(found))


@pytest.mark.parametrize(
    ("words", "change"),
    {
        "the mean of your numbers is right": lambda r, n: r,
        "Every entry met every other": lambda r, n: r[:, None] + np.where(np.eye(n), 0, r),
    }.items(),
)
def test_a_result_that_lacks_its_last_step_is_recognised(words, change):
    found = []
    for r in (np.random.default_rng(n).normal(size=n) for n in (4, 7)):
        right = r.mean() if "mean" in words else r
        found.append((change(r, len(r)), right, {}))
    assert words in relation(found)


def test_a_relation_must_hold_in_every_case():
    first, second = results(lambda r, n: 5 * r)
    assert "5 times" in relation([first, second])
    assert "`len(xb)`" in relation([first])


def test_an_answer_that_ignores_its_input_is_told_so():
    cases = [(7.0, right, {}) for right in (7.0, 3.0, 12.0)]
    assert "whatever the input" in relation(cases)


def test_unrelated_results_get_no_relation():
    rng = np.random.default_rng(0)
    names = {"`len(xb)`": 6, "`xb.shape[1]`": 4, "`lr`": 0.1, "`seed`": 3}
    for _ in range(50):
        for shape in ((), (3,), (4, 5)):
            yours, right = rng.normal(size=shape), rng.normal(size=shape)
            assert relation([(yours, right, names)]) is None
            assert resemblance([(yours, right, names)]) is None
        counts = [(int(rng.integers(30)), int(rng.integers(30)), names) for _ in range(4)]
        assert relation(counts) is None


def test_one_small_count_is_too_little_to_see_a_relation():
    assert relation([(6, 3, {"`len(xb)`": 2})]) is None


def test_what_is_no_number_has_no_relation():
    assert relation([("a", "b", {})]) is None
    assert relation([({"a": 1}, {"a": 2}, {})]) is None


def test_names_come_from_the_arguments():
    names = quantities(("xb", "lr", "widths", "flag"), (torch.ones(6, 4), 0.1, [1, 2], True))
    numbers = {name: value for name, value in names.items() if not isinstance(value, np.ndarray)}
    assert numbers == {
        "`len(xb)`": 6,
        "`xb.shape[1]`": 4,
        "the number of all entries of `xb`": 24,
        "`lr`": 0.1,
        "`len(widths)`": 2,
    }
