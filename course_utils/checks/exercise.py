"""A check as a table: what is right, the cases it is tried on, and each known mistake once.

    @exercise(cases=batches, observe=returned("The count", as_number), praise="You count rows.")
    def count_correct(logits, yb):
        return (logits.argmax(dim=1) == yb).sum().item()

    @count_correct.mistake
    def a_share(logits, yb):
        '''That is the share of correct answers, not their number. Sum instead of averaging.'''
        return (logits.argmax(dim=1) == yb).float().mean().item()

A mistake is an attempt like any other, and its docstring is what the learner is told. An attempt
that gives on every case what a mistake gives has made it; so the table tests itself.
"""

import functools
import random
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from ..random_state import seeded
from .feedback import Diagnosis, Mistake, NotAttempted, call, check, without
from .mutants import mutants
from .probes import Probes
from .relations import is_telling, quantities, relation, resemblance
from .values import contrast, same

ALL = 10**9  # parts of an observation


def returned(what, read=lambda result: result):
    """Observe what the attempt returns for a case, as `read` reads it.

    `what` names it for the learner; {0}, {1} … stand for the arguments of the case.
    """

    def observe(attempt, *case):
        yield what.format(*case), read(call(attempt, *case))

    return observe


def exercise(cases, observe, praise, forbid=None):
    """Make a check of the right answer; the decorated name is then the check.

    cases: a function that gives the cases one after the other, each a tuple of arguments. It is
        asked again for each attempt, always with the same random numbers.
    observe: a generator function (attempt, *case) that yields what is to be compared, as pairs
        (its name for the learner, value); a third item says what to do where only that is wrong
        and no mistake is known. It may raise Mistake.
    forbid: (names of torch's functions, words) that a right answer may not call.
    """

    def make(right):
        return Exercise(right, cases, observe, praise, forbid)

    return make


class Exercise:
    """A check; call it with an attempt. `right`, `variants` and `mistakes` are its table."""

    def __init__(self, right, cases, observe, praise, forbid):
        self.right, self.cases, self.observe = right, cases, observe
        self.praise, self.forbid = praise, forbid
        self.variants = []  # other right answers
        self.mistakes = {}  # words -> attempt
        self._mutants = None  # made when they are asked for
        self._memory = {}  # (attempt, number of a case) -> what was seen
        functools.update_wrapper(self, right, updated=())
        self._check = check(
            functools.wraps(right, updated=())(lambda attempt: self._judge(attempt))
        )

    def __call__(self, attempt):
        return self._check(attempt)

    def variant(self, attempt):
        """Decorator: another right answer."""
        self.variants.append(attempt)
        return attempt

    def mistake(self, attempt):
        """Decorator: a known mistake, a function or a class with its words as its docstring."""
        if not attempt.__doc__:
            raise TypeError(
                f"{attempt.__name__} needs a docstring, which is what the learner is told."
            )
        self.known(" ".join(attempt.__doc__.split()), attempt)
        return attempt

    def known(self, *rows):
        """Add mistakes that need no `def`: words, attempt, words, attempt, …"""
        for words, attempt in zip_longest(rows[::2], rows[1::2]):
            if not (isinstance(words, str) and callable(attempt)):
                raise TypeError(
                    f"{self.__name__}.known takes words, attempt, words, attempt, …; got {words!r} and "
                    f"then {attempt!r}."
                )
            assert words not in self.mistakes, f"the same words for two mistakes: {words}"
            self.mistakes[words] = attempt

    def spoilt(self, **methods):
        """The right class with other methods."""
        return type(self.right.__name__, (self.right,), methods)

    def _judge(self, attempt):
        yours = [self._see(attempt, case) for case in self._drawn()]
        right = [self._remembered(self.right, n) for n in range(len(yours))]
        for n, (mine, expected) in enumerate(zip(yours, right, strict=True)):
            if not mine.agrees(expected):
                raise self._named(attempt, yours, right, n)
        if self.forbid:
            with without(*self.forbid):
                list(self.observe(attempt, *self._drawn()[0]))
        return self.praise

    def _drawn(self):
        """All cases, made anew, and then the first once more: it brings stale state to light."""
        with _randomness(0):
            cases = list(self.cases())
        with _randomness(0):
            return [*cases, next(iter(self.cases()))]

    def _see(self, attempt, case):
        seen = Observation(quantities(self._arguments(case), case))
        try:
            with _randomness(1):
                for part in self.observe(attempt, *case):
                    seen.parts.append(Part(*part))
        except NotAttempted:
            raise
        except Exception as error:
            seen.error = error
        return seen

    def _arguments(self, case):
        """The names of what a case holds: those of the right answer, if it is called with them."""
        for function, names_before in ((self.right, 0), (self.observe, 1)):
            code = getattr(function, "__code__", None)
            if code and code.co_argcount == len(case) + names_before:
                return code.co_varnames[names_before : code.co_argcount]
        return ()

    def _is(self, words, yours, place, cases):
        """Whether a known mistake does the same on these cases, up to the part at `place`."""
        known = self.mistakes[words]
        return all(yours[n].agrees(self._remembered(known, n), place) for n in cases)

    def _remembered(self, known, n):
        """What the right answer or a known mistake does on case n, which is tried only once."""
        if (known, n) not in self._memory:
            self._memory[known, n] = self._see(known, self._drawn()[n])
        return self._memory[known, n]

    def _is_made_to_fit(self, words, yours, right, place):
        """Whether the attempt is that mistake wherever the mistake comes to a result."""
        known = self.mistakes[words]
        cases = [n for n in range(len(yours)) if len(self._remembered(known, n).parts) > place]
        telling = [n for n in cases if not yours[n].agrees(right[n], place)]
        return len(telling) > 1 and self._is(words, yours, place, cases)

    def _named(self, attempt, yours, right, n):
        """The error with the best words there are for an attempt that fails on case n."""
        place = yours[n].first_difference(right[n])
        difference = yours[n].contrast(right[n], place)
        if not difference and isinstance(yours[n].error, Diagnosis):
            return yours[n].error
        alike = [words for words in self.mistakes if self._is(words, yours, place, (n, *range(n)))]
        for parts in (ALL, place):
            for words in alike:
                if self._is(words, yours, parts, range(len(yours))):
                    return Mistake(f"{words} ({difference})" if difference else words)
        for words in alike:
            if self._is_made_to_fit(words, yours, right, place):
                return Mistake(f"{words} ({difference})")
        if not difference:  # the attempt came to no result
            error = yours[n].error
            if n and not isinstance(error, Mistake):
                error.add_note(f"The case: {right[n].parts[place].what}")
            return error
        if n == len(yours) - 1:
            return Mistake(
                "The first time it is right, and later, with the same input, it is not: something "
                f"is left from the calls before. Is it kept outside the function? ({difference})"
            )
        results = [
            (mine.parts[place].value, expected.parts[place].value, mine.names)
            for mine, expected in zip(yours, right, strict=True)
            if place < len(mine.parts) and place < len(expected.parts)
        ]
        words = yours[n].parts[place].hint
        if not words and alike and is_telling(yours[n].parts[place].value):
            words = alike[0]  # up to this case; on a later one the attempt does something else
        if words := (
            words
            or relation(results)
            or self._probed(attempt, yours, right)
            or self._mutated(yours, n, [mine for mine, _, _ in results])
            or resemblance(results)
        ):
            return Mistake(f"{words} ({difference})")
        if n or place:
            return Mistake(f"{difference} What is asked before that is right.")
        return Mistake(difference)

    def _probed(self, attempt, yours, right):
        """Words that other cases bring to light, where a case is what an attempt is called with."""
        code, case = getattr(self.right, "__code__", None), self._drawn()[0]
        if code and code.co_argcount == len(case):
            see_right, see_yours = (partial(self._see, one) for one in (self.right, attempt))
            names = code.co_varnames[: len(case)]
            return Probes(names, self._drawn, right, yours, see_right, see_yours).words()

    def _mutated(self, yours, n, results):
        """Words for a small mistake in a right answer that leads to these results on every case."""
        if not is_telling(*results):
            return None
        end = time.monotonic() + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._mutants is None:
                bases = (self.right, *self.variants)
                self._mutants = [mutant for base in bases for mutant in mutants(base)]
            for words, mutant in self._mutants:
                cases = (n, *range(len(yours)))  # n alone tells most of them apart
                if all(yours[k].agrees(self._remembered(mutant, k)) for k in cases):
                    return f"Your result is that of a right answer with one mistake in it: {words}."
                if time.monotonic() > end:
                    return None


class Part(NamedTuple):
    """One thing that is compared: its name for the learner, its value, a word of advice."""

    what: str
    value: object
    hint: str = ""


@dataclass(eq=False)
class Observation:
    """What an attempt did on one case: the parts that were seen, and the error that ended it."""

    names: dict
    parts: list = field(default_factory=list)
    error: Exception | None = None

    def first_difference(self, other):
        """The place of the first part that differs, or that only one of the two came to."""
        pairs = zip(self.parts, other.parts, strict=False)
        for place, (mine, theirs) in enumerate(pairs):
            if not same(mine.value, theirs.value):
                return place
        return min(len(self.parts), len(other.parts))

    def contrast(self, right, place):
        if place < len(self.parts):
            return contrast(
                self.parts[place].value, right.parts[place].value, right.parts[place].what
            )
        return ""

    def agrees(self, other, place=ALL):
        """Whether both are the same up to the part at `place`, or the error that stands there."""
        if place < len(self.parts) and place < len(other.parts):
            return self.first_difference(other) > place
        ended = [(type(seen.error), str(seen.error)) for seen in (self, other)]
        shared = len(self.parts) == len(other.parts) == self.first_difference(other)
        return shared and ended[0] == ended[1]


@contextmanager
def _randomness(seed):
    """Every attempt meets the same random numbers, of PyTorch, NumPy and Python."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with seeded(seed):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
