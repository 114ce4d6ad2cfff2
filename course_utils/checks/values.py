"""Comparing what an attempt gives with what is right, and showing both."""

import numpy as np
import torch


def as_array(value):
    """Numbers, arrays and tensors as an array of floats; TypeError or ValueError for the rest."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    if isinstance(value, list | tuple) and any(isinstance(one, torch.Tensor) for one in value):
        value = [as_array(one) for one in value]
    return np.asarray(value, dtype=float)


def close(a, b, tolerance=1e-5):
    """Equal up to rounding, for numbers, arrays and tensors; False for other shapes."""
    a, b = as_array(a), as_array(b)
    return a.shape == b.shape and np.allclose(a, b, tolerance, tolerance, equal_nan=True)


def same(a, b):
    """Numbers up to rounding, entry by entry in lists and dicts; anything else as == says."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    try:
        return close(a, b)
    except (TypeError, ValueError):
        pass
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def contrast(yours, right, what):
    """What should be and what is; the first difference if both begin alike."""
    if shown(yours) != shown(right):
        return f"{what} should be {shown(right)}; you have {shown(yours)}."
    yours, right = as_array(yours), as_array(right)
    if yours.shape != right.shape:
        return f"{what} should have shape {list(right.shape)}; yours has {list(yours.shape)}."
    if yours.size == 1:
        return f"{what} should be {right.item():.6g}; you have {yours.item():.6g}."
    wrong = ~np.isclose(yours, right, 1e-5, 1e-5, equal_nan=True)
    place = tuple(np.argwhere(wrong)[0].tolist())
    return (
        f"{what} should be {right[place]:.6g} at place {list(place)}; you have "
        f"{yours[place]:.6g} there."
    )


def shown(value):
    """A number, or the first few of several; other things as Python writes them."""
    try:
        array = as_array(value)
    except (TypeError, ValueError):
        return repr(value)
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if array.size == 1:
        return f"{array.item():.4g}"
    first = ", ".join(f"{number:.4g}" for number in array.flatten()[:4])
    return f"[{first}{', …' if array.size > 4 else ''}]"
