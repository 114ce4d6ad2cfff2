"""What the batches hold, and in which order they come."""

import statistics
import weakref

import numpy as np
import torch
from torch import nn
from torch.utils.data import DistributedSampler, RandomSampler

from .detector import Detector
from .findings import ERROR, WARNING
from .graph import YES_OR_NO, kind, saved
from .health import Moves, last_quarter
from .run import only_value, tensors_in
from .sources import FirstPasses, columns, fingerprints

_TINY_INPUTS = 0.02  # weights are made for inputs near 1
_LARGE_INPUTS, _LARGE_DEVIATION = 100, 20  # large alone may be a single outlier, or a mean
_BLANK_BATCHES = 4  # or more, in which all inputs are one number: a run may begin with zeros
_ROWS_OF_ONE_CLASS = 8  # or more in a batch; fewer are of one class by luck
_CLASSES, _ROWS_A_CLASS = 100, 10  # more classes, or fewer rows, are no sign of an order
_BATCHES = 5  # fewer show no order
_NEARLY_ALL = 0.8  # of the batches; there is one wherever the class changes
_BATCHES_AT_FIRST = 4  # of the same class: the order begins with it
_AGAIN = 24  # inputs that came again; of fewer, half may have another label by luck
_LOSSES_SEEN = 20  # before one can say that nothing is learned
_FEW_CLASSES = 20  # of labels; more values are numbers
_AS_GUESSED = 0.9, 2  # times what guessing costs: a loss between them has learned nothing
_ROWS_FOR_NEIGHBOURS = 60  # before those say something
_SERIES_CORRELATION = 0.7  # of a column with the next one, in a window of a time series
_NEARER_THAN_NOISE = 0.8  # times the distance there, or less, lie rows with neighbourhoods


class NaNInput(Detector):
    bug, severity = "nan-input", ERROR
    symptom = "the loss is NaN, and after one step weights are NaN, for good"
    fix = "look for them with torch.isnan(X).any(), and fill or drop those rows before training"

    def not_finite(self, backward):
        if self.said or backward.value == backward.value:
            return
        _, x, _ = self.run.latest
        inputs = [*tensors_in(self.run.batch), x and x()]
        if backward.graph is not None:
            inputs += [saved(node, "target") for node in backward.graph.losses]
        for tensor in inputs:
            if tensor is not None and tensor.is_floating_point():
                bad = int((~torch.isfinite(tensor.detach())).sum())
                if bad:
                    number = self.run.backwards
                    self.line = self.run.lines.get("backward")
                    self.said = (
                        f"the loss is NaN at backward {number}, and {bad} of {tensor.numel()} "
                        f"values of this batch ({list(tensor.shape)}) are NaN or infinite"
                    )
                    return


_NORMS = nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm


class InputScale(Detector):
    bug, severity = "input-scale", WARNING
    symptom = "a large loss at first, slow or jumpy learning, a learning rate that never fits"
    fix = "scale with the training data: X = (X - X_train.mean(0)) / X_train.std(0)"

    def __init__(self, run):
        super().__init__(run)
        self.first = True
        self.large = []

    def called(self, call):
        # The first layer with weights; a normalisation in front of it has already been at work.
        if call.depth == 0:
            first, self.first = self.first, True
            if not first:
                return
        if not self.first or not call.training or not call.grad_enabled:
            return
        weight = call.module._parameters.get("weight")
        x = call.x
        if weight is None or x is None:
            return
        self.first = False
        name = type(call.module).__name__
        takes_data = (name == "Linear" or name.startswith("Conv")) and not x.requires_grad
        if takes_data and x.is_floating_point() and x.numel() and len(self.large) < 8:
            x = x.float()
            self.large.append((x.abs().max().item(), x.std().item(), name))

    def judge(self, run):
        if len(self.large) < 2 or not run.steps:
            return None
        largest = min(value for value, _, _ in self.large)
        spread = min(std for _, std, _ in self.large)
        smallest = max(value for value, _, _ in self.large)
        scaled = any(isinstance(m, _NORMS) for model in run.known_models() for m in model.modules())
        if len(self.large) >= _BLANK_BATCHES and not any(std for _, std, _ in self.large):
            return self.found(
                f"all inputs of the first {self.large[0][2]} layer are {smallest:.2g}, in "
                f"{len(self.large)} batches: there is nothing to learn from; X // 255 or .long() makes "
                "such data of numbers between 0 and 1",
                run.lines.get("backward"),
                fix="find where the values get lost, here or in forward(); pixels are X.float() / 255",
            )
        if 0 < smallest < _TINY_INPUTS and not scaled:
            return self.found(
                f"the first {self.large[0][2]} layer gets inputs of at most {smallest:.2g}: weights "
                "are made for inputs near 1, and these hardly count beside the biases; pixels "
                "divided by 255 twice look like that",
                run.lines.get("backward"),
            )
        if largest > _LARGE_INPUTS and spread > _LARGE_DEVIATION:
            return self.found(
                f"the first {self.large[0][2]} layer gets inputs as large as {largest:.4g} "
                f"(standard deviation {spread:.3g}); weights are made for inputs near 1",
                run.lines.get("backward"),
            )


class SortedBatches(Detector):
    bug, severity = "sorted-batches", ERROR
    symptom = "the loss jumps whenever the class changes; accuracy is poor for early classes"
    fix = "DataLoader(train_data, batch_size=..., shuffle=True)"

    def __init__(self, run):
        super().__init__(run)
        self.checked = set()
        self.pure = []  # the class of each batch that was looked at, None for a mixed one

    def graph(self, backward):
        if len(self.pure) > 50:
            return
        for node in backward.graph.losses:
            target = saved(node, "target") if kind(node) in ("NllLoss", *YES_OR_NO) else None
            if target is None or not target.ndim or len(target) != target.numel():
                continue
            if target.numel() >= _ROWS_OF_ONE_CLASS:
                self.pure.append(only_value(target))

    def judge(self, run):
        for source in run.recorder(FirstPasses).sources.values():
            if not (source.one_pass.trains and source.one_pass.over and source.labels):
                continue
            if id(source) in self.checked:
                continue
            self.checked.add(id(source))
            labels = torch.cat(source.labels)
            classes = labels.unique()
            if not 2 <= len(classes) <= _CLASSES or len(labels) < _ROWS_A_CLASS * len(classes):
                continue
            blocks = 1 + int((labels[1:] != labels[:-1]).sum())
            batches = len(source.labels)
            if blocks <= len(classes) + 1 and batches >= 2 * len(classes) - 1:
                return self.found(
                    f"the {len(labels)} labels of an epoch came in {blocks} blocks of one class "
                    f"each ({len(classes)} classes), so most batches hold a single class",
                    run.lines.get("backward"),
                )
        seen = [c for c in self.pure if c is not None]
        batches = len(self.pure)
        mostly = batches >= _BATCHES and len(seen) >= _NEARLY_ALL * batches
        at_first = self.pure[:_BATCHES_AT_FIRST]
        in_blocks = at_first == at_first[:1] * _BATCHES_AT_FIRST and len(set(seen)) >= 2
        if mostly and in_blocks and len(run.stepped_optimizers()) == 1:
            return self.found(
                f"{len(seen)} of {batches} batches that were looked at hold a single class",
                run.lines.get("backward"),
                fix="shuffle in every epoch: order = torch.randperm(len(X))",
            )


class NoSetEpoch(Detector):
    bug, severity = "no-set-epoch", ERROR
    symptom = "every epoch has the same order of batches"
    fix = "train_loader.sampler.set_epoch(epoch) at the start of each epoch"

    def __init__(self, run):
        super().__init__(run)
        self.epochs = weakref.WeakKeyDictionary()

    def first_batch(self, one_pass, batch):
        loader = one_pass.loader()
        sampler = getattr(loader, "sampler", None)
        inner = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
        sampler = sampler if isinstance(sampler, DistributedSampler) else inner
        if isinstance(sampler, DistributedSampler) and sampler.shuffle:
            self.epochs.setdefault(sampler, []).append((sampler.epoch, one_pass))

    def judge(self, run):
        for passes in self.epochs.values():
            trained = [epoch for epoch, one_pass in passes if one_pass.trains]
            if len(trained) >= 2 and len(set(trained)) == 1:
                return self.found(
                    f"{len(trained)} epochs were drawn by a DistributedSampler whose epoch stayed "
                    f"{trained[0]}",
                    run.lines.get("backward"),
                )


class LabelsMisaligned(Detector):
    bug, severity = "labels-misaligned", ERROR
    symptom = "validation stays at chance, whatever the model"
    fix = "shuffle inputs and labels together: one DataLoader over TensorDataset(X, y)"

    def __init__(self, run):
        super().__init__(run)
        self.apart = 0
        self.before = None  # the loader and the batch that came just before
        self.x = None  # the last input of a model
        self.rows, self.labels = [], []  # of batches that were looked at

    def watched(self, call):
        x = call.x
        usable = call.grad_enabled and x is not None
        if usable and x.is_floating_point() and x.ndim in (2, 4) and x.device.type == "cpu":
            self.x = None if x.requires_grad else x.detach()

    def graph(self, backward):
        x, self.x = self.x, None
        if x is None or not x[0].numel() or len(backward.graph.losses) > 2 or len(self.rows) > 20:
            return
        for node in backward.graph.losses:
            target = saved(node, "target")
            if target is not None and target.numel() == len(x) > 1:
                self.rows.append(columns(x)[:64].to(torch.float64, copy=True))
                self.labels.append(target.detach().reshape(-1)[:64].double())

    def batch(self, one_pass, batch):
        if isinstance(batch, list | tuple) and len(batch) > 1:
            self.before = None
            return
        loader = one_pass.held
        parts = list(tensors_in(batch))
        holds = None
        if len(parts) == 1 and isinstance(getattr(loader, "sampler", None), RandomSampler):
            values = parts[0]
            holds = "y" if values.ndim == 1 and not values.is_floating_point() else "X"
        before, self.before = (
            self.before,
            (weakref.ref(loader), holds, len(parts[0]) if parts else 0),
        )
        if before and {before[1], holds} == {"X", "y"} and before[2] == self.before[2]:
            other = before[0]()
            generators = loader.sampler.generator, getattr(other.sampler, "generator", None)
            if generators == (None, None):
                self.apart += 1

    def judge(self, run):
        if self.apart >= 2 and run.steps:
            return self.found(
                "inputs and labels come from two DataLoaders that shuffle on their own: "
                f"{self.apart} batches of labels belong to other inputs",
                run.lines.get("backward"),
            )
        enough = run.over and self.rows and len(run.losses) >= _LOSSES_SEEN
        mixed = all(only_value(labels) is None for labels in self.labels)
        if enough and mixed and run.recorder(Moves).plain():
            said = changing(self.rows, self.labels, run.losses)
            said = said or unexplained(self.rows, self.labels, run.losses)
            if said:
                return self.found(
                    said,
                    run.lines.get("backward"),
                    fix="index both with one permutation: X, y = X[order], y[order]",
                    severity=WARNING,
                )


def guessed(rows, labels, losses):
    """The shares of the labels, what guessing costs and the last losses, if these are no better;
    None if something is learned, or the labels are no classes."""
    rows_alike = len({part.shape[1] for part in rows}) == 1
    labels = torch.cat(labels)
    classes = labels.unique()
    if not rows_alike or len(classes) > _FEW_CLASSES or not bool((labels == labels.round()).all()):
        return None
    shares = torch.stack([(labels == c).double().mean() for c in classes])
    entropy = -(shares * shares.log()).sum().item()
    late = statistics.fmean(last_quarter(losses))
    low, high = _AS_GUESSED
    return (shares, entropy, late) if low * entropy < late < high * entropy else None


def changing(rows, labels, losses):
    """Words for inputs that come again with other labels, as often as by chance, or ""."""
    prints = [fingerprints(part).round(decimals=6) for part in rows]
    facts = guessed(rows, labels, losses)
    if facts is None or any(len(part.unique()) < len(part) for part in prints):
        return ""  # equal inputs may have different labels, in a table of few values
    shares, entropy, late = facts
    known, again, other = {}, 0, 0
    for prints_, labels_ in zip(prints, labels, strict=True):
        for key, label in zip(prints_.tolist(), labels_.tolist(), strict=True):
            if key in known:
                again += 1
                other += known[key] != label
            known[key] = label
    by_chance = 1 - (shares**2).sum().item()
    if again >= _AGAIN and other > by_chance * again / 2:
        return (
            f"{other} of {again} inputs that came again had another label than before, by chance "
            f"it would be {by_chance:.0%}; the loss stays at {late:.3g} (by guessing: {entropy:.3g})"
        )
    return ""


def unexplained(rows, labels, losses):
    """Words for labels that have nothing to do with inputs which are no mere noise, or ""."""
    facts = guessed(rows, labels, losses)
    if facts is None:
        return ""
    shares, entropy, late = facts
    rows, labels = torch.cat(rows), torch.cat(labels)
    rows = (rows - rows.mean(0)) / rows.std(0).clamp(min=1e-9)
    _, first = np.unique(fingerprints(rows).round(decimals=6), return_index=True)
    rows, labels = rows[first], labels[first]
    n = len(rows)
    if n < _ROWS_FOR_NEIGHBOURS or not bool(torch.isfinite(rows).all()):
        return ""
    # A window of a time series may well say nothing about what comes next.
    if rows.shape[1] > 4 and (rows[:, 1:] * rows[:, :-1]).mean() > _SERIES_CORRELATION:
        return ""
    nearest, order = _nearest(rows)
    # Noise has no neighbourhoods: mixing each column by itself would change nothing.
    generator = torch.Generator().manual_seed(0)
    mixed = [column[torch.randperm(n, generator=generator)] for column in rows.T]
    apart, _ = _nearest(torch.stack(mixed, 1))
    same, chance = (labels == labels[order]).double().mean().item(), (shares**2).sum().item()
    by_luck = same < chance + 2 * (chance * (1 - chance) / n) ** 0.5
    if by_luck and nearest.median() < _NEARER_THAN_NOISE * apart.median():
        return (
            f"the most similar of {n} inputs share their label in {same:.0%} of the cases, and by "
            f"chance it would be {chance:.0%}: labels have nothing to do with the inputs, and the "
            f"loss stays at {late:.3g} (by guessing: {entropy:.3g})"
        )
    return ""


def _nearest(rows):
    """Distance and number of each row's nearest other row."""
    distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    return distances.min(1)
