"""The data of the course: four toy data sets and the IPO table."""

import hashlib
import math
from numbers import Integral, Real
from pathlib import Path

import torch

# Installed from a wheel, the package carries the data; in the repository it stands beside it.
_PACKAGED = Path(__file__).parent / "_data"
DATA_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "data"

_SHA256 = {
    "indian_ipo.csv": "cd15b4e674b9aedec823aed9c5d3edcc15bc175ab78b6d9b7c4c93032c674e33",
    "ipo_label_audit.csv": "27820c127e0c21764b025d6afd05aa5ed3defbc80028cc4ec13058526a298030",
}


def moons(n=1000, noise=0.1, seed=0):
    """Two interleaved half circles, the same curves as scikit-learn's `make_moons`.

    Returns `X`, float32 [n, 2], and `y`, int64 [n], in random order: `n // 2` points of
    class 1, the rest of class 0. `noise` is the standard deviation of the Gaussian noise
    added to both coordinates. The same seed gives the same data on every machine, up to rounding.

    Raises ValueError for fewer than two points, a `noise` below 0 and a `seed` of more than 63 bits.
    """
    generator = _generator(n, noise, seed)
    y = torch.arange(n) % 2
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    lower = torch.stack([1 - torch.cos(angle), 0.5 - torch.sin(angle)], dim=1)
    return _noisy(torch.where(y[:, None] == 0, upper, lower), y, noise, generator)


def circles(n=1000, noise=0.1, seed=0):
    """A circle of radius 1 (class 0) around one of radius 0.5 (class 1). See `moons`."""
    generator = _generator(n, noise, seed)
    y = torch.arange(n) % 2
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    radius = torch.where(y == 0, 1.0, 0.5)
    points = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return _noisy(points, y, noise, generator)


def xor(n=1000, noise=0.1, seed=0):
    """Points drawn from the square [-1, 1]², class 1 where the two coordinates differ in sign.

    The classes are only about equally large. Noise is added after the labels are drawn, so some
    points end up on the wrong side.
    See `moons`.
    """
    generator = _generator(n, noise, seed)
    points = 2 * torch.rand(n, 2, generator=generator) - 1
    return _noisy(points, (points[:, 0] * points[:, 1] < 0).long(), noise, generator)


def spiral(n=1000, noise=0.02, seed=0):
    """Two spiral arms of one turn each, from near the centre to radius 1. See `moons`."""
    generator = _generator(n, noise, seed)
    y = torch.arange(n) % 2
    distance = torch.rand(n, generator=generator).sqrt()
    angle = 2 * math.pi * distance + math.pi * y
    points = torch.stack([distance * torch.cos(angle), distance * torch.sin(angle)], dim=1)
    return _noisy(points, y, noise, generator)


def _generator(n, noise, seed):
    if not isinstance(n, Integral) or n < 2:
        raise ValueError(f"n is the number of points, a whole number of at least 2; got {n!r}.")
    if not (isinstance(noise, Real) and 0 <= noise < math.inf):
        raise ValueError(f"noise is a standard deviation, a number from 0; got {noise!r}.")
    if not (isinstance(seed, Integral) and abs(seed) < 2**63):
        raise ValueError(f"seed is a whole number of at most 63 bits; got {seed!r}.")
    return torch.Generator().manual_seed(int(seed))


def _noisy(points, y, noise, generator):
    order = torch.randperm(len(y), generator=generator)
    points = points + noise * torch.randn(points.shape, generator=generator)
    return points[order], y[order]


def load_ipo(labels="recorded"):
    """The 319 Indian IPOs of 2010-2022 as a pandas DataFrame, in order of listing date.

    `labels="recorded"` gives the table as it circulates. `labels="corrected"` replaces
    `listing_gain_pct` and `listing_gain` of the rows in `data/ipo_label_audit.csv`: by the
    independently reported first-day gain where there is one, else by the recomputed gain.
    Columns, units, origin and defects are described in `data/README.md`.

    Raises ValueError for another `labels`, FileNotFoundError if a data file is missing, and
    ValueError if one was changed.
    """
    if labels not in ("recorded", "corrected"):
        raise ValueError(f'labels must be "recorded" or "corrected"; got {labels!r}.')
    table = _read_csv("indian_ipo.csv")
    if labels == "corrected":
        audit = _read_csv("ipo_label_audit.csv")
        gain = audit["reported_first_day_gain_pct"].fillna(audit["corrected_gain_pct"])
        gain.index = audit["listing_date"].astype(str) + audit["name"]
        key = table["listing_date"].astype(str) + table["name"]
        table["listing_gain_pct"] = key.map(gain).fillna(table["listing_gain_pct"])
        table["listing_gain"] = (table["listing_gain_pct"] > 0).astype("int64")
    return table


def load_ipo_audit():
    """The audit of 105 IPO labels, one row each, with a source; see `data/README.md`.

    Raises as `load_ipo` does for a missing or changed file.
    """
    return _read_csv("ipo_label_audit.csv")


def _read_csv(name):
    import pandas as pd  # here, so that `import course_utils` stays fast

    path = DATA_DIR / name
    if not path.is_file():
        raise FileNotFoundError(
            f"The data file {name} is missing from {DATA_DIR}. Get it back with "
            f"`git checkout data/{name}`, or install course_utils again."
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256[name]:
        raise ValueError(
            f"The data file {path} is not the one this course was written for (its checksum "
            f"differs: it was cut off or edited). Get it back with `git checkout data/{name}`, "
            "or install course_utils again."
        )
    return pd.read_csv(path, parse_dates=["listing_date"])
