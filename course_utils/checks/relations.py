"""Plain relations between a wrong result and the right one, for mistakes that nobody foresaw.

A relation is only told if it holds on every case and could hardly hold by accident.
"""

import math

import numpy as np
import torch

from .values import as_array

_ENOUGH_BITS = 12  # of agreement; one number with a fraction gives more than that


def relation(results):
    """Words for the plain relation that holds in all `results`, or None.

    results: triples (yours, right, names); `names` maps words such as "`len(xb)`" to the numbers,
    and "`xb`" to the arrays, that the attempt was given.
    """
    results, wrong = _as_arrays(results)
    if not wrong:
        return None
    if words := _not_finite(*wrong[0]):
        return words
    if all(y.size > 1 and not y.any() for y, _ in wrong):
        return "All of your numbers are 0."
    if is_telling(*(right for _, right in wrong)):
        fits = [list(_fits(*result)) for result in results]
        for words in fits[0]:
            if all(words in others for others in fits[1:]):
                return words
        if words := _fixed_number(results) or _common_factor(results):
            return words
    return _always_the_same(results)


def resemblance(results):
    """Words for what `results` have in common, where there is no plain relation, or None."""
    results, wrong = _as_arrays(results)
    if wrong:
        return _proportions(results) or _another_order(wrong) or _partly_right(*wrong[0])


def _as_arrays(results):
    """(the results as arrays, those of them that are wrong); two empty lists if they can't be."""
    try:
        results = [(as_array(yours), as_array(right), names) for yours, right, names in results]
    except (TypeError, ValueError):
        return [], []
    return results, [(y, r) for y, r, _ in results if not _equal(y, r)]


def quantities(arguments, case):
    """The `names` for `relation`: lengths, sizes and numbers among the arguments of a case."""
    names = {}
    for name, value in zip(arguments, case, strict=False):
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            names[f"`{name}`"] = value
        elif isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
            if value.dtype not in (object, np.dtype("O")):
                names[f"`{name}`"] = as_array(value)
            names[f"`len({name})`"] = len(value)
            if value.ndim > 1:
                names |= {f"`{name}.shape[{d}]`": value.shape[d] for d in range(1, value.ndim)}
                names[f"the number of all entries of `{name}`"] = math.prod(value.shape)
        elif isinstance(value, list | tuple):
            names[f"`len({name})`"] = len(value)
        elif hasattr(value, "dataset"):
            names[f"`len({name}.dataset)`"] = len(value.dataset)
            names[f"`len({name})`"] = len(value)
    return names


def _equal(a, b):
    """Equal up to rounding, measured by the size of the numbers themselves."""
    if a.shape != b.shape:
        return False
    finite = np.abs(b[np.isfinite(b)])
    scale = min(1.0, finite.max()) if finite.size else 1.0
    return np.allclose(a, b, 1e-5, 1e-5 * scale, equal_nan=True)


def is_telling(*values):
    """Whether a formula could hardly give these numbers by accident: one fraction is enough."""
    try:
        numbers = np.concatenate([as_array(value).ravel() for value in values])
    except (TypeError, ValueError):
        return False
    numbers = numbers[np.isfinite(numbers) & (numbers != 0)]
    if np.any(numbers != np.round(numbers)):
        return True
    spread = np.ptp(numbers) if numbers.size else 0
    return numbers.size * math.log2(1 + spread) >= _ENOUGH_BITS


def _fits(yours, right, names):
    """The words of each relation that holds between the two arrays, the plainest first."""
    with np.errstate(all="ignore"):
        for words, value in _candidates(yours, right, names):
            value = np.asarray(value, dtype=float)
            if np.isfinite(value).any() and _equal(yours, value):
                yield words
        for words, value in _unfinished(yours, right):
            if _equal(np.asarray(value, dtype=float), right):
                yield words


def _candidates(yours, right, names):
    """(words, what a result would be that stands in this relation to the right one)"""
    if yours.shape == right.shape:
        yield from _scaled(right, names)
        yield from _mapped(right)
        if right.ndim:
            yield from _moved(right)
    yield from _given(names)
    if yours.shape != right.shape:
        yield from _reshaped(yours, right)


def _scaled(right, names):
    yield "The sign is the wrong way round.", -right
    yield "Yours is twice the right result.", 2 * right
    yield "Yours is half of the right result.", right / 2
    yield "Yours is 100 times the right result: percent instead of a share?", 100 * right
    yield "Yours is a hundredth of the right result: a share instead of percent?", right / 100
    natural = "so a logarithm is taken to the base {}, and the natural one is meant."
    yield f"Yours is the right result divided by ln 2, {natural.format(2)}", right / math.log(2)
    yield f"Yours is the right result divided by ln 10, {natural.format(10)}", right / math.log(10)
    yield "Yours is twice the right result, and has the other sign.", -2 * right
    for name, n in names.items():
        if isinstance(n, np.ndarray) or n == 0:
            continue
        of_rows = name.startswith("`len") or "shape" in name or "entries" in name
        much = " Is it a sum where a mean is asked for?" * of_rows
        little = " Is it divided once too often, or a mean where a sum is asked for?" * of_rows
        yield f"Yours is {name} times the right result.{much}", n * right
        yield f"Yours is the right result divided by {name}.{little}", right / n
        yield f"Yours is {name} times the right result, and has the other sign.", -n * right
        yield f"Yours is the right result divided by {name}, and has the other sign.", -right / n
        yield f"Yours is the right result times the square of {name}.", n**2 * right
        yield f"Yours is the right result divided by the square of {name}.", right / n**2
        if n > 0:
            yield f"Yours is the right result times the root of {name}.", n**0.5 * right
            yield f"Yours is the right result divided by the root of {name}.", right / n**0.5
        if n > 1 and of_rows:
            ends = f"{name} and {name} - 1 stand for one another in a division."
            yield f"Yours is the right result times n / (n - 1): {ends}", right * n / (n - 1)
            yield f"Yours is the right result times (n - 1) / n: {ends}", right * (n - 1) / n
            root = math.sqrt(n / (n - 1))
            yield f"Yours is the right result times the root of n / (n - 1): {ends}", right * root
            yield f"Yours is the right result times the root of (n - 1) / n: {ends}", right / root
        yield f"{name} has been added to the right result.", right + n
        yield f"{name} has been subtracted from the right result.", right - n


def _mapped(right):
    whole = np.all(right == np.round(right))
    if not whole:
        yield "Yours is the right result, cut to whole numbers: by // or int()?", np.floor(right)
        yield "Yours is the right result, cut to whole numbers: by // or int()?", np.trunc(right)
        yield "Yours is the right result, rounded to whole numbers.", np.round(right)
        for places in (1, 2, 3, 4):
            text = f"Yours is the right result, rounded to {places} decimal places. Return it as it is."
            yield text, np.round(right, places)
    yield "Every number is 1 too large.", right + 1
    yield "Every number is 1 too small.", right - 1
    yield "Yours is 1 minus the right result.", 1 - right
    yield "Yours is 1 divided by the right result.", 1 / right
    yield "Yours is minus 1 divided by the right result.", -1 / right
    yield "Yours is the square of the right result: is a root missing?", right**2
    yield "Yours is the root of the right result.", np.sqrt(right)
    yield "The sign got lost: where the right result is negative, yours is positive.", np.abs(right)
    yield "Where the right result is negative, yours is 0.", np.maximum(right, 0)
    yield "Where the right result is positive, yours is 0.", np.minimum(right, 0)
    yield "Yours is the logarithm of the right result.", np.log(right)
    yield "Yours is minus the logarithm of the right result.", -np.log(right)
    yield "Yours is exp of the right result: is a logarithm missing?", np.exp(right)
    yield "Yours is exp of minus the right result.", np.exp(-right)
    yield "A sigmoid stands behind the right result.", 1 / (1 + np.exp(-right))
    yield "Yours is the right result, cut off at 0 and 1.", np.clip(right, 0, 1)
    for dim in range(right.ndim):
        if right.shape[dim] < 2:
            continue
        where = "" if right.ndim == 1 else f" along dim={dim}"
        total = right.sum(dim, keepdims=True)
        powers = np.exp(right - right.max(dim, keepdims=True))
        soft, length = powers / powers.sum(dim, keepdims=True), (right**2).sum(dim, keepdims=True)
        yield f"Yours is the right result, divided by its sum{where}.", right / total
        inverse = (1 / right) / (1 / right).sum(dim, keepdims=True)
        yield (
            f"Yours goes with 1 divided by the right numbers{where}, with the same sum: is something "
            "divided that should be multiplied?",
            inverse * total,
        )
        yield f"A softmax{where} stands behind the right result.", soft
        less = right - right.mean(dim, keepdims=True)
        yield f"The mean{where} has been taken from the right result.", less
        yield f"Yours is the right result, divided by its length{where}.", right / np.sqrt(length)


def _moved(right):
    every = np.ones_like(right)
    yield "Each of your numbers is the sum of all the right ones.", every * right.sum()
    yield "Each of your numbers is the mean of all the right ones.", every * right.mean()
    for dim in range(right.ndim):
        if right.shape[dim] < 2:
            continue
        along = "" if right.ndim == 1 else f" along dim={dim}"
        numbers = f"Yours are the right numbers{along}"
        down = np.flip(np.sort(right, dim), dim)
        yield f"{numbers}, in reverse order.", np.flip(right, dim)
        yield f"{numbers}, sorted.", np.sort(right, dim)
        yield f"{numbers}, sorted from the largest down.", down
        yield f"{numbers}, added up one after the other.", np.cumsum(right, dim)
        yield f"{numbers}, one place late.", np.roll(right, 1, dim)
        yield f"{numbers}, one place early.", np.roll(right, -1, dim)
        highest, lowest = (f(right, dim) for f in (np.maximum.accumulate, np.minimum.accumulate))
        yield f"Yours is the running maximum{along} of the right numbers.", highest
        yield f"Yours is the running minimum{along} of the right numbers.", lowest
        if right.ndim > 1:
            total, mean = right.sum(dim, keepdims=True), right.mean(dim, keepdims=True)
            yield f"Your numbers are all added up along dim={dim}.", every * total
            yield f"Your numbers are all averaged along dim={dim}.", every * mean
        first, last = np.take(right, [0], dim), np.take(right, [-1], dim)
        yield f"The first of the right numbers{along} stands everywhere.", every * first
        yield f"The last of the right numbers{along} stands everywhere.", every * last
    if right.ndim == 2 and min(right.shape) > 1:
        yield "Rows and columns are exchanged.", right.T if right.shape[0] == right.shape[1] else []
        mixed = "The right numbers are there, but a reshape has put them into other rows."
        yield mixed, right.T.reshape(right.shape)


def _given(names):
    for name, value in names.items():
        if isinstance(value, np.ndarray) and value.size > 1:
            yield f"You return {name} as it was given.", value


def _reshaped(yours, right):
    """What is left, or what came to it, if the shape is another one."""
    if yours.size == right.size:
        yield "The numbers are right, their shape is not.", right.reshape(yours.shape)
        if right.ndim > 1 and yours.shape == right.T.shape:
            yield "Rows and columns are exchanged: yours is the transpose.", right.T
    if right.ndim:
        for words, reduce in (("sum", np.sum), ("mean", np.mean), ("largest", np.max)):
            yield f"Yours is only the {words} of the right numbers, a single one.", reduce(right)
            if right.ndim > 1:
                for dim in range(right.ndim):
                    for keep in (False, True):
                        text = f"Yours is the right result, and then its {words} over dim={dim}."
                        yield text, reduce(right, dim, keepdims=keep)
        for words, place in (("first", 0), ("last", -1)):
            if len(right):
                yield f"Yours is the {words} of the right results alone.", right[place]
                yield f"Yours is the {words} of the right results alone.", right[place][None]
    if right.ndim and right.ndim == yours.ndim and right.shape[1:] == yours.shape[1:]:
        n = len(yours)
        if 0 < n < len(right):
            yield "Your result is cut off: right as far as it goes, the end is missing.", right[:n]
            yield "The beginning is missing; what you have is right.", right[-n:]
            step = -(-len(right) // n)
            yield f"You have only every {step}th result.", right[::step]
        if n > len(right) > 0:
            longer = yours.copy()
            longer[: len(right)] = right
            yield "Your result goes on where it should end; up to there it is right.", longer
            longer = yours.copy()
            longer[-len(right) :] = right
            yield "There is something in front of your result that does not belong there.", longer


def _unfinished(yours, right):
    """(words, what should then be the right result), for results that lack a last step."""
    if yours.ndim > right.ndim:
        missing = "The last step is missing: the {} of your numbers{} is right."
        for words, reduce in (("sum", np.sum), ("mean", np.mean)):
            if right.ndim == 0:
                yield missing.format(words, ""), reduce(yours)
            for dim in range(yours.ndim):
                yield missing.format(words, f" over dim={dim}"), reduce(yours, dim)
        if right.ndim == 0 and yours.size:
            yield "Only your first number is asked for.", yours.ravel()[0]
            yield "Only your last number is asked for.", yours.ravel()[-1]
    if yours.ndim == 2 and yours.shape[0] == yours.shape[1] == right.size > 1:
        yield (
            "Every entry met every other one: [B, 1] with [B] gives [B, B], and the right numbers "
            "stand on its diagonal.",
            np.diag(yours).reshape(right.shape),
        )


def _fixed_number(results):
    """A number that fits one case only stands where a length or a setting of the case belongs."""
    factors = []
    for yours, right, _ in results:
        y, r = yours.ravel(), right.ravel()
        factor = (y @ r) / (r @ r) if yours.shape == right.shape and r.any() else 0.0
        if not factor or not _equal(y, factor * r):
            return None
        factors.append(factor)
    for name in results[0][2]:
        sizes = [names.get(name) for _, _, names in results]
        if not all(isinstance(n, int | float) and n for n in sizes) or len(set(sizes)) < 2:
            continue
        for verb, numbers in (
            ("divide", [n / factor for n, factor in zip(sizes, factors, strict=True)]),
            ("multiply", [n * factor for n, factor in zip(sizes, factors, strict=True)]),
        ):
            if np.ptp(numbers) < 1e-5 * abs(numbers[0]):
                return f"You {verb} by {numbers[0]:.4g}, a fixed number, where {name} belongs."
    return None


def _common_factor(results):
    """All numbers of all results are too large by one factor, or by one summand."""
    yours = [y.ravel() for y, r, _ in results if y.shape == r.shape]
    right = [r.ravel() for y, r, _ in results if y.shape == r.shape]
    if len(right) < len(results) or sum(map(len, right)) < 3:
        return None
    y, r = np.concatenate(yours), np.concatenate(right)
    if not (np.isfinite(y).all() and np.isfinite(r).all()) or len(np.unique(r)) < 3:
        return None
    factor = (y @ r) / (r @ r)
    if factor and _equal(y, factor * r):
        return f"Every number of yours is {factor:.4g} times the right one."
    if len(np.unique(np.round(y, 6))) > 1 and _equal(y - (y - r).mean(), r):
        return f"Every number of yours is the right one {(y - r).mean():+.4g}."
    return None


def _proportions(results):
    for y, r, _ in results:
        a, b = y.ravel(), r.ravel()
        if y.shape != r.shape or len(np.unique(b)) < 3 or not (b @ b):
            return None
        if not np.isfinite([*a, *b]).all() or not _equal(a, (a @ b) / (b @ b) * b):
            return None
    return "Your numbers have the right proportions, but a common factor is wrong."


def _not_finite(yours, right):
    if np.isnan(yours).any() and not np.isnan(right).any():
        places = f" at {np.isnan(yours).sum()} of {yours.size} places" if yours.size > 1 else ""
        return (
            f"Yours is NaN{places}: somewhere 0 is divided by 0, a logarithm or root is taken of a "
            "negative number, or infinite meets infinite."
        )
    if np.isinf(yours).any() and not np.isinf(right).any():
        return (
            "Yours is infinite: somewhere exp is too large for its type, a logarithm is taken of 0, "
            "or something is divided by 0."
        )
    return None


def _always_the_same(results):
    """One result, or two for many inputs, whatever is asked."""
    yours, right = (len({str(pair[i].tolist()) for pair in results}) for i in (0, 1))
    if (yours == 1 < right and len(results) > 2) or (yours == 2 and right > 4):
        return (
            f"Your result is the same whatever the input{', or one of two' * (yours == 2)}. Compute "
            "it from the arguments, with no number that fits only one example."
        )
    return None


def _another_order(wrong):
    if is_telling(*(right for _, right in wrong)) and all(
        y.shape == r.shape and _equal(np.sort(y, axis=None), np.sort(r, axis=None))
        for y, r in wrong
    ):
        return "The right numbers are all there, but in other places."
    return None


def _partly_right(yours, right):
    """Which part of one result is wrong, if another part is right."""
    if yours.shape != right.shape or yours.size < 3:
        return None
    good = np.isclose(yours, right, 1e-5, 1e-5, equal_nan=True)
    if (good & (right != 0)).sum() * 5 < (right != 0).sum() or not good.any():
        return None  # that some numbers are 0 in both says nothing
    for part, where in _parts(right):
        if where.any() and not where.all():
            if np.array_equal(good, ~where):
                return f"All is right but {part}."
            if np.array_equal(good, where) and good.sum() > 1:
                return f"Only {part} is right." if "where" not in part else f"It is right {part}."
    return f"{good.sum()} of {good.size} numbers are right."


def _parts(right):
    names = ["row", "column"] if right.ndim == 2 else ["number"] if right.ndim == 1 else []
    for dim, name in enumerate(names):
        for words, place in (("first", 0), ("last", -1)):
            where = np.zeros(right.shape, dtype=bool)
            where[(slice(None),) * dim + (place,)] = True
            yield f"the {words} {name}", where
    yield "where the result is negative", right < 0
    yield "where the result is positive", right > 0
    yield "where the result is 0", right == 0
