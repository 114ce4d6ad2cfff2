"""Validation data that is no fair test: scaled otherwise than the training data, or part of it."""

import itertools

import torch

from .detector import Detector
from .findings import ERROR
from .sources import FirstPasses, WholeTensors

_ROWS = 20  # before their statistics say something
_VARIES = 1e-6  # or more is the standard deviation of a column that is no constant
_SHIFT, _RATIO = 2, 3  # deviations away, or times the deviation: no draw of the same data
_COLUMNS = 8  # before one factor for all of them is no accident
_FACTOR = 0.6, 1.7  # outside of which it is another unit, no other draw
_ONE_FACTOR, _ONE_SHIFT = 0.2, 0.15  # by which columns may differ from it
_MEAN_0, _DEVIATION_1, _END = 1e-5, 1e-4, 1e-6  # as near as rounding leaves what was scaled
_HARDLY_ANY = 0.05  # of the rows are shared
_FOLDS_SHARE = 0.3  # of their training rows, at least
_MOSTLY = 0.5  # of the rows are shared, or of the columns continuous
_NEARLY_ALL = 0.98  # of the rows are shared: they may be there to measure the training data
_NEARLY_WHOLE = 0.9  # of the training rows are in it: it may be the whole data
_FEW_ROWS, _FEW_SHARED = 10, 0.1  # may be equal by chance
_REPEATS = 5  # times the share that comes twice among the training rows is no chance


class _Pairs(Detector):
    """A detector that compares what a model was trained on with what it was evaluated on."""

    def __init__(self, run):
        super().__init__(run)
        self.compared = set()

    def pairs(self, run):
        """New pairs of first passes of the same model through two loaders, both over."""
        sources = [
            s.gather()
            for s in run.recorder(FirstPasses).sources.values()
            if s.count and s.one_pass.over
        ]
        evaluated = [s for s in sources if s.one_pass.evaluates]
        for training in sources:
            if training.one_pass.trains:
                for source in evaluated:
                    key = id(training), id(source)
                    if key not in self.compared and not training.models.isdisjoint(source.models):
                        self.compared.add(key)
                        yield training, source

    def whole(self, run):
        """Each model with all that it was trained on, first passes and tensors, and the whole
        tensors that it was evaluated on more than once, or at the end."""
        whole = run.recorder(WholeTensors)
        for model, sets in list(whole.sets.items()):
            tensors = whole.trained.get(model)
            loaders = [
                s.gather() for s in run.recorder(FirstPasses).sources.values()
                if s.count and model in s.models and s.one_pass.over and s.one_pass.trains
            ]  # fmt: skip
            sets = [
                known for known in sets
                if known.steps[-1] > known.steps[0] or (run.over and known.steps[-1] == run.steps)
            ]  # fmt: skip
            trained = [*loaders, tensors] if tensors and tensors.gather().count else loaders
            if trained and sets:
                yield trained, sets


class ValScaledDifferently(_Pairs):
    bug, severity = "val-scaled-differently", ERROR
    symptom = "validation is much worse than training, from the first epoch on"
    fix = "use the training data's numbers for both: X_val = (X_val - X_train.mean(0)) / X_train.std(0)"

    def judge(self, run):
        for training, source in self.pairs(run):
            if False in (training.as_given, source.as_given):
                continue  # scaled between loader and model
            if _shared(source, training.prints) < _HARDLY_ANY:
                said = unlike(training, source) or scaled_apart(training, source)
                if said:
                    return self.found(said)
        for trained, sets in self.whole(run):
            trained = [t for t in trained if getattr(t, "as_given", True) is not False]
            other = [s for s in sets if not any(_shared(s, t.prints) > _MOSTLY for t in trained)]
            # With three columns or more it is no curve or map that is drawn; and where any of the
            # sets is like the training data, the others may be meant to be unlike it.
            if len(trained) != 1 or not all(s.scored and len(s.total) > 2 for s in other):
                continue
            said = [unlike(trained[0], s) or scaled_apart(trained[0], s) for s in other]
            if said and all(said):
                return self.found(said[0])


def unlike(training, source):
    """Words for statistics that are far apart, or ""."""
    (mean, std), (other_mean, other_std) = training.statistics(), source.statistics()
    if mean.shape != other_mean.shape or min(training.count, source.count) < _ROWS:
        return ""
    varies = (std > _VARIES) & (other_std > _VARIES)
    if not varies.any():
        return ""
    mean, std = mean[varies], std[varies]
    other_mean, other_std = other_mean[varies], other_std[varies]
    shift = ((other_mean - mean).abs() / std).median().item()
    ratio = (other_std / std).median().item()
    apart = shift > _SHIFT or ratio > _RATIO or ratio < 1 / _RATIO
    if apart or _same_in_other_units(mean, std, other_mean, other_std):
        return _in_numbers(mean, std, other_mean, other_std)
    return ""


def _same_in_other_units(mean, std, other_mean, other_std):
    """Whether one factor, far from 1, and one shift lead from all columns to the others."""
    low, factor, high = torch.quantile(other_std / std, torch.tensor([0.25, 0.5, 0.75]).double())
    offset = other_mean - factor * mean
    away = (offset - offset.median()).abs() / other_std
    return bool(
        len(mean) >= _COLUMNS
        and not _FACTOR[0] < factor < _FACTOR[1]
        and high - low < _ONE_FACTOR * factor
        and away.median() < _ONE_SHIFT
    )


def scaled_apart(training, source):
    """Words for data that were both scaled exactly, so each by its own numbers, or ""."""
    if training.total.shape != source.total.shape or min(training.count, source.count) < _ROWS:
        return ""
    (mean, std), (other_mean, other_std) = training.statistics(), source.statistics()
    if _standardised(training) and _standardised(source):
        return (
            "both are exactly standardised (mean 0, standard deviation 1), so each with its own "
            f"statistics: {_in_numbers(mean, std, other_mean, other_std)}"
        )
    from_0_to_1 = _from_0_to_1(training) & _from_0_to_1(source)
    if from_0_to_1.sum() < 2:
        return ""
    columns = training.continuous() & source.continuous()
    if columns.sum() > 1 and bool(from_0_to_1[columns].all()):
        return (
            f"in {int(columns.sum())} columns the smallest value is exactly 0 and the largest "
            "exactly 1, in the training and in the validation data, so each was scaled by its own "
            f"range: {_in_numbers(mean, std, other_mean, other_std)}"
        )
    return ""


def _in_numbers(mean, std, other_mean, other_std):
    return (
        f"training inputs have mean {mean.mean():.3g} and standard deviation {std.mean():.3g}, "
        f"validation inputs {other_mean.mean():.3g} and {other_std.mean():.3g}"
    )


def _standardised(source):
    mean, std = source.statistics()
    varies = std > _VARIES
    if not varies.any():
        return False
    n, std = source.count, std[varies]
    unbiased = std * (n / (n - 1)) ** 0.5
    near = min((std - 1).abs().max().item(), (unbiased - 1).abs().max().item())
    return mean[varies].abs().max().item() < _MEAN_0 and near < _DEVIATION_1


def _from_0_to_1(source):
    return (source.low.abs() < _END) & ((source.high - 1).abs() < _END)


class ValOverlapsTrain(_Pairs):
    bug, severity = "val-overlaps-train", ERROR
    symptom = "validation is as good as training, and worse on new data"
    fix = "split once, without overlap: random_split(dataset, [0.8, 0.2])"

    def __init__(self, run):
        super().__init__(run)
        self.all_of_it = None  # what will be said if no other data is evaluated
        self.clean = False

    def judge(self, run):
        for training, source in self.pairs(run):
            train = training.prints
            share = _shared(source, train)
            self.clean |= share < _HARDLY_ANY
            after = _evaluated_after(run, training, source)
            if not after or not _by_copies(training, source, share):
                continue
            said = _rows_in_words(source, share, len(train))
            if training.complete() and _is_part(source, train, share):
                return self.found(said)
            if training.dataset != source.dataset:
                self.all_of_it = said
            if share > _NEARLY_ALL and self.held_out_later(run, training, source):
                return self.found(
                    f"{said} of an earlier part of this run, though the latest training data leaves "
                    "them out: one model goes through several folds",
                    fix="build a new model and a new optimizer inside the loop over the folds",
                )
        for trained, sets in self.whole(run):
            for training, source in itertools.product(trained, sets):
                train = training.all_trained(source)
                if train is None or not (source.scored or source.handed_on):
                    continue
                share = _shared(source, train)
                if _by_copies(training, source, share) and _is_part(source, train, share):
                    return self.found(_rows_in_words(source, share, len(train)))
        if run.over and self.all_of_it and not self.clean:
            return self.found(self.all_of_it)

    def held_out_later(self, run, training, source):
        """Whether the latest training rows before an evaluation leave its rows out, but share many
        with earlier training data that has them, as in cross-validation."""
        before = run.passes[: run.passes.index(source.one_pass)]
        latest = next((p for p in reversed(before) if p.trains), None)
        loader = latest.loader() if latest is not None else None
        other = next(
            (s for s in run.recorder(FirstPasses).sources.values()
             if s.count and (s.one_pass is latest or s.one_pass.loader() is loader is not None)
             and not s.models.isdisjoint(source.models)), None,
        )  # fmt: skip
        if other is None or other is training:
            return False
        other.gather()
        return (
            _shared(source, other.prints) < _HARDLY_ANY
            and _shared(other, training.prints) > _FOLDS_SHARE
        )


def _rows_in_words(source, share, n):
    return (
        f"{round(share * source.count)} of the {source.count} validation rows are also among the "
        f"{n} training rows"
    )


def _shared(source, train):
    """The share of a source's rows that are among the training rows."""
    return torch.isin(source.prints, train).double().mean().item()


def _is_part(source, train, share):
    """Whether some rows are shared and others not, on both sides; all of them may be there to
    measure the training data, or the whole data, beside a validation set."""
    back = torch.isin(train, source.prints).double().mean().item()
    return share < _NEARLY_ALL and back < _NEARLY_WHOLE


def _by_copies(training, source, share):
    """Whether so many rows can't be equal by chance, as in small tables of few different values."""
    if source.count < _FEW_ROWS or share < _FEW_SHARED:
        return False
    repeats = 1 - len(training.prints.unique()) / len(training.prints)
    continuous = training.continuous().double().mean() > _MOSTLY
    return bool(continuous) or share >= _REPEATS * repeats


def _evaluated_after(run, training, source):
    """Whether labelled rows were evaluated after training; else, they may be new ones, which get
    their labels from the model and are added then."""
    if not source.labelled:
        return False
    began = run.passes.index(training.one_pass)
    loader = source.one_pass.loader()
    later = run.passes[began + 1 :]
    return any(p is source.one_pass or (loader is not None and p.loader() is loader) for p in later)
