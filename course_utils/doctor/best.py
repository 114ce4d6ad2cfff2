"""Which way is better: what a loop hands to a schedule, or keeps as its best."""

import ast
import functools
from collections import deque

import torch
from torch import nn
from torch.optim import lr_scheduler as kinds

from .detector import Detector
from .findings import WARNING
from .reading import TREES, in_own_function, last_name, line_of, value_of
from .where import FRAMES, learner_frames

_ACCURACY = ("acc", "f1", "auc", "iou", "dice", "score", "precision", "recall", "r2", "bleu")
_LOSS = ("loss", "err", "mse", "mae", "nll")
_RISE = 1e-6  # of a mean, at least: less is rounding
_WHOLE_NUMBER = 1e-3  # so near to one is a count of rows
_ROWS_OF_A_SCORE = 20  # at least: any number is near to a share of fewer
_LOSSES = 8  # at least, to say that they fall
_VALUES_COMPARED = 4  # at least, to say that those rise or fall
_EPOCHS_KEPT = 3  # in which the model itself was kept as the best one


def sounds_like(name, words):
    return any(word in name.lower() for word in words)


def rises(values):
    half = len(values) // 2
    return sum(values[-half:]) > sum(values[:half]) + _RISE * half if half else False


def _accuracy_like(values, rows):
    """Whether all values are a number of right answers divided by the number of rows."""
    for percent in (1, 100):
        shares = [value / percent for value in values]
        if all(0 <= s <= 1 and abs(s * rows - round(s * rows)) < _WHOLE_NUMBER for s in shares):
            return len(set(shares)) > 1
    return False


class _Values(Detector):
    """A detector of numbers that are better the larger, or the smaller, they are."""

    def __init__(self, run):
        super().__init__(run)
        self.rows = 0  # of the last evaluation

    def pass_end(self, one_pass):
        loader = one_pass.loader()
        if one_pass.evaluates and loader is not None and hasattr(loader.sampler, "__len__"):
            self.rows = len(loader.sampler)

    def learns(self, run):
        """Whether the training loss falls."""
        losses = [loss for loss in run.losses if loss == loss]
        return len(losses) >= _LOSSES and not rises(losses)

    def is_accuracy(self, name, values):
        if not rises(values):
            return False
        likely = not sounds_like(name, _LOSS) and sounds_like(name, _ACCURACY)
        return likely or (self.rows >= _ROWS_OF_A_SCORE and _accuracy_like(values, self.rows))

    def is_loss(self, name, values):
        likely = sounds_like(name, _LOSS) and not sounds_like(name, _ACCURACY)
        return likely and rises([-v for v in values]) and min(values) >= 0


class PlateauUpsideDown(_Values):
    bug, severity = "plateau-upside-down", WARNING
    symptom = "the learning rate falls while the model still gets better, and learning stops"
    fix = "ReduceLROnPlateau(optimizer, mode='max') for an accuracy; mode='min' (as is) for a loss"

    def __init__(self, run):
        super().__init__(run)
        self.values = {}  # id of a scheduler -> mode, values, name

    def schedule(self, scheduler, value):
        if not isinstance(scheduler, kinds.ReduceLROnPlateau) or value is None:
            return
        mode, values, _ = self.values.get(id(scheduler), (scheduler.mode, deque(maxlen=200), ""))
        values.append(float(value))
        self.values[id(scheduler)] = mode, values, _argument(self.run.lines.get("schedule", ""))

    def judge(self, run):
        for mode, values, name in self.values.values():
            if len(values) < _VALUES_COMPARED or not self.learns(run):
                continue
            v = list(values)
            wrong = self.is_accuracy(name, v) if mode == "min" else self.is_loss(name, v)
            if wrong:
                return self.found(
                    f"mode='{mode}' waits for {'smaller' if mode == 'min' else 'larger'} numbers, "
                    f"and it was given {v[0]:.4g} at first and {v[-1]:.4g} in the end, while the "
                    "training loss fell: each better epoch counts as a bad one",
                    run.lines.get("schedule"),
                )


def _argument(line):
    """What stands in the brackets of `scheduler.step(…)`, of which a name tells loss or accuracy."""
    return line.rpartition(".step(")[2]


class BestIsWorst(_Values):
    bug, severity = "best-is-worst", WARNING
    symptom = "the kept model is the worst one, or the very first"
    fix = (
        "a loss is better the smaller (loss < best), an accuracy the larger (acc > best, best = 0)"
    )

    def __init__(self, run):
        super().__init__(run)
        self.values = {}  # line of a comparison -> (its text, whether smaller wins, name, values)

    def look(self):
        for frame in learner_frames(FRAMES):
            for test, new, smaller in in_own_function(frame, _best_so_far):
                value = value_of(new, frame)
                if isinstance(value, torch.Tensor) and value.numel() == 1:
                    value = value.item()
                if isinstance(value, float):
                    known = self.values.setdefault(
                        line_of(frame, test), (ast.unparse(test), smaller, last_name(new), [])
                    )[3]
                    if (not known or known[-1] != value) and len(known) < 200:
                        known.append(value)

    def first_batch(self, one_pass, batch):
        if len(self.run.passes) < 100:
            self.look()

    def state_taken(self, module, state):
        if len(self.run.passes) < 100:
            self.look()

    def judge(self, run):
        for line, (text, smaller, name, values) in self.values.items():
            if len(values) < _VALUES_COMPARED or not self.learns(run):
                continue
            wrong = self.is_accuracy(name, values) if smaller else self.is_loss(name, values)
            if wrong:
                kind = "an accuracy" if smaller else "a loss"
                return self.found(
                    f"{text} keeps the {'smallest' if smaller else 'largest'}, but {name} behaves "
                    f"as {kind}: {values[0]:.4g} at first, {values[-1]:.4g} in the end, while the "
                    "training loss fell",
                    line,
                )


@functools.lru_cache(maxsize=TREES)
def _best_so_far(tree):
    """(comparison, the new value, whether the smaller one wins) of every `if a < b:` with `b = a`
    in its body, in a tree."""
    found = []
    for node in _ifs(tree):
        test = node.test
        if not isinstance(test, ast.Compare) or len(test.ops) != 1:
            continue
        if not isinstance(test.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            continue
        sides = {ast.unparse(test.left), ast.unparse(test.comparators[0])}
        for target, new in _assigned(node.body):
            if {ast.unparse(target), ast.unparse(new)} == sides:
                less = isinstance(test.ops[0], ast.Lt | ast.LtE)
                found.append((test, new, less == (ast.unparse(test.left) == ast.unparse(new))))
    # Where both ways are written down, the learner's own switch chooses.
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    def place(new):
        inside = [s.lineno for s in scopes if s.lineno <= new.lineno <= s.end_lineno]
        return max(inside, default=0), ast.unparse(new)

    ways = {}
    for _, new, smaller in found:
        ways.setdefault(place(new), set()).add(smaller)
    return [(test, new, smaller) for test, new, smaller in found if len(ways[place(new)]) == 1]


def _ifs(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.If)]


def _assigned(body):
    """(target, value) of the assignments in some statements, those of tuples one by one."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from zip(target.elts, value.elts, strict=False)
            else:
                yield target, value


class BestModelAlias(Detector):
    """The same bug by another sign, for a model that is kept whole."""

    bug, severity = "best-state-alias", WARNING
    symptom = "the best epoch's model is always the last one: both names are one model"
    fix = "best_model = copy.deepcopy(model)"

    def __init__(self, run):
        super().__init__(run)
        self.times = 0

    def first_batch(self, one_pass, batch):
        if not self.run.steps or self.said or len(self.run.passes) > 60:
            return
        for frame in learner_frames(FRAMES):
            for new, old in in_own_function(frame, _kept):
                model = value_of(old, frame)
                for kept in _named(last_name(new), frame):
                    if isinstance(model, nn.Module) and kept is model and model in self.run.models:
                        self.times += 1
                        if self.times >= _EPOCHS_KEPT:
                            self.said = (
                                f"{ast.unparse(new)} is no copy: it is the very {type(model).__name__} "
                                f"that goes on training ({self.run.steps} steps by now)"
                            )
                            self.line = line_of(frame, new)
                        return


def _named(name, frame):
    """Values of a name in a frame, or in the objects that its names stand for."""
    if name in frame.f_locals:
        yield frame.f_locals[name]
    for value in list(frame.f_locals.values()):
        if not isinstance(value, torch.Tensor | nn.Module | type):
            inside = getattr(value, "__dict__", {})
            if isinstance(inside, dict) and name in inside:
                yield inside[name]


@functools.lru_cache(maxsize=TREES)
def _kept(tree):
    """(target, name) of every `best… = name` under an `if`, in a tree."""
    return [
        (target, value) for node in _ifs(tree) for target, value in _assigned(node.body)
        if "best" in last_name(target).lower() and isinstance(value, ast.Name | ast.Attribute)
    ]  # fmt: skip
