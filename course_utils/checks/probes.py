"""Other cases to try with an attempt that is wrong in a way that nobody foresaw."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import torch

_ROWS = torch.Tensor | np.ndarray | pd.Series | pd.DataFrame | list | tuple
_CUTS = {
    "the first": slice(1),
    "the last": slice(-1, None),
    "the first two": slice(2),
    "all but the first": slice(1, None),
    "all but the last": slice(-1),
    "every second": slice(None, None, 2),
}


class Probes:
    """Tries an attempt, and the right answer, on cases that are made of the known ones.

    names: those of the arguments. cases: makes all cases, anew for each try. right, yours: what
    was seen on these, a list of `Observation`s each. see_right, see_yours: look at another case.
    """

    def __init__(self, names, cases, right, yours, see_right, see_yours):
        self.names, self.cases = names, cases
        self.right, self.yours = right, yours
        self.see_right, self.see_yours = see_right, see_yours

    def words(self):
        """Words for what comes to light, or None."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a single row has no deviation, and so on
            return self._of_a_part() or self._ignored()

    def _ignored(self):
        data = [place for place, argument in enumerate(self.cases()[0]) if not callable(argument)]
        ignored = [self.names[place] for place in data if self._is_ignored(place)]
        if ignored and len(ignored) < len(self.names):
            return (
                f"Whatever `{ignored[0]}` is, your result is the same. Do you use it, or in its "
                "place something that fits one example?"
            )

    def _is_ignored(self, place):
        """Whether only the right result changes where one argument is another one."""
        matters = False
        for n, following in pairwise(range(len(self.right))):
            for changed in range(len(_others(self.cases()[n][place], None))):

                def mixed(n=n, following=following, changed=changed):
                    case, other = list(self.cases()[n]), self.cases()[following][place]
                    case[place] = _others(case[place], other)[changed]
                    return case

                right = self.see_right(mixed())
                if right.error or right.agrees(self.right[n]):
                    continue  # it doesn't fit the others, or makes no difference here
                matters = True
                yours = self.see_yours(mixed())
                if yours.error or not yours.agrees(self.yours[n]):
                    return False
        return matters

    def _of_a_part(self):
        rows = [place for place, arg in enumerate(self.cases()[0]) if isinstance(arg, _ROWS)]
        if not rows:
            return
        long = [n for n, case in enumerate(self.cases()) if len(case[rows[0]]) > 2]
        for name, cut in _CUTS.items():
            if long and all(self._is_of(cut, rows, n) for n in long):
                return (
                    f"Your result is the right one for {name} of `{self.names[rows[0]]}` alone. "
                    "All count."
                )

    def _is_of(self, cut, rows, n):
        """Whether yours is another result than the right one, and right if all `rows` are cut."""
        fewer = list(self.cases()[n])
        length = len(fewer[rows[0]])
        for place in rows:
            if len(fewer[place]) == length:
                fewer[place] = fewer[place][cut]
        less = self.see_right(fewer)
        return not less.agrees(self.right[n]) and self.yours[n].agrees(less)


def _others(argument, following):
    """What to put in the place of an argument: its rows in another order, its first row for all."""
    if not isinstance(argument, _ROWS):
        return [following]
    n = len(argument)
    return [_taken(argument, order) for order in ([*range(1, n), 0], [0] * n)] if n else []


def _taken(rows, places):
    if isinstance(rows, list | tuple):
        return type(rows)(rows[i] for i in places)
    return rows.iloc[places] if isinstance(rows, pd.Series | pd.DataFrame) else rows[places]
