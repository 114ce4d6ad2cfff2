"""What the batches hold, and in which order they come."""

import weakref
from dataclasses import dataclass, field

import torch
from torch.utils.data import DistributedSampler, RandomSampler

from .detector import Detector
from .findings import ERROR, WARNING
from .graph import saved
from .run import tensors_in

_ROWS = 50_000  # of a first pass are remembered at most
_COLUMNS = 64  # evenly spaced, are enough to know a row again
_SOURCES = 12  # loaders; one that is made anew in each epoch counts each time


@dataclass
class _Source:
    """The first pass over a loader: its rows as numbers, its statistics, its labels."""

    one_pass: object
    dataset: int  # its id
    rows: list = field(default_factory=list)  # a fingerprint of each row
    count: int = 0
    total: torch.Tensor | None = None  # sums over the rows, for each feature
    squares: torch.Tensor | None = None
    labels: list = field(default_factory=list)
    models: weakref.WeakSet = field(default_factory=weakref.WeakSet)

    def add(self, batch):
        parts = [t for t in tensors_in(batch) if t.ndim and len(t)]
        if not parts or self.count > _ROWS:
            return
        x = parts[0].detach()
        if not x.is_floating_point() or x.ndim < 2 or x.device.type != "cpu" or not x[0].numel():
            return
        flat = x.reshape(len(x), -1)
        flat = flat[:, :: -(-flat.shape[1] // _COLUMNS)].double()
        self.count += len(flat)
        self.rows.append(flat @ _weights(flat.shape[1]))
        total, squares = flat.sum(0), (flat * flat).sum(0)
        if self.total is None or self.total.shape != total.shape:
            self.total, self.squares, self.count = total, squares, len(flat)
        else:
            self.total, self.squares = self.total + total, self.squares + squares
        if len(parts) > 1 and len(parts[1]) == len(x) and parts[1].numel() == len(x):
            self.labels.append(parts[1].detach().reshape(-1))

    def statistics(self):
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean * mean).clamp(min=0).sqrt()


_known_weights = {}


def _weights(n):
    """Fixed irrational-looking weights, so that different rows get different sums."""
    if n not in _known_weights:
        _known_weights.clear()
        _known_weights[n] = torch.sin(torch.arange(1, n + 1, dtype=torch.float64) * 12.9898)
    return _known_weights[n]


class FirstPasses(Detector):
    """Remembers the first pass over each loader, for the detectors below."""

    records = True

    def batch(self, one_pass, batch):
        if one_pass.number > 1:
            return
        sources, key = self.run.sources, id(one_pass)
        if key not in sources and len(sources) < _SOURCES:
            sources[key] = _Source(one_pass, id(one_pass.held.dataset))
        if key in sources:
            sources[key].add(batch)

    def forward(self, call):
        if call.one_pass is not None and call.one_pass.number == 1:
            source = self.run.sources.get(id(call.one_pass))
            if source is not None:
                source.models.add(call.module)


class _Pairs(Detector):
    """A detector that compares what a model was trained on with what it was evaluated on."""

    def __init__(self, run):
        super().__init__(run)
        self.compared = set()

    def pairs(self, run):
        """New pairs of sources of the same model, both gone through once."""
        sources = [s for s in run.sources.values() if s.count and s.one_pass.over]
        evaluated = [s for s in sources if s.one_pass.evaluates]
        for training in sources:
            if training.one_pass.trains:
                for source in evaluated:
                    key = id(training), id(source)
                    if key not in self.compared and not training.models.isdisjoint(source.models):
                        self.compared.add(key)
                        yield training, source


class NaNInput(Detector):
    bug, severity = "nan-input", ERROR
    symptom = "the loss is NaN, and after one step every weight is NaN for good"
    fix = "look for them with torch.isnan(X).any(), and fill or drop those rows before training"
    said = ""

    def __init__(self, run):
        super().__init__(run)
        self.x = None

    def forward(self, call):
        self.x = None if call.x is None else weakref.ref(call.x)

    def backward(self, backward):
        if self.said or backward.value is None or backward.value == backward.value:
            return
        inputs = [*tensors_in(self.run.batch), self.x() if self.x else None]
        for tensor in inputs:
            if tensor is not None and tensor.is_floating_point():
                bad = int((~torch.isfinite(tensor.detach())).sum())
                if bad:
                    number = self.run.backwards
                    self.said = (
                        f"the loss is NaN at backward {number}, and {bad} of {tensor.numel()} "
                        f"values of this batch ({list(tensor.shape)}) are NaN or infinite"
                    )
                    return

    def judge(self, run):
        if self.said:
            return self.found(self.said, run.lines.get("backward"))


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
        if largest > 100 and spread > 20:
            return self.found(
                f"the first {self.large[0][2]} layer gets inputs as large as {largest:.4g} "
                f"(standard deviation {spread:.3g}); weights are made for inputs near 1",
                run.lines.get("backward"),
            )


class ValScaledDifferently(_Pairs):
    bug, severity = "val-scaled-differently", ERROR
    symptom = "validation is much worse than training, from the first epoch on"
    fix = "use the training data's numbers for both: X_val = (X_val - X_train.mean(0)) / X_train.std(0)"

    def judge(self, run):
        for training, source in self.pairs(run):
            mean, std = training.statistics()
            other_mean, other_std = source.statistics()
            if mean.shape != other_mean.shape or training.count < 20 or source.count < 20:
                continue
            varies = (std > 1e-6) & (other_std > 1e-6)
            same = torch.allclose(mean, other_mean) and torch.allclose(std, other_std)
            if same or not varies.any():
                continue
            mean, std = mean[varies], std[varies]
            other_mean, other_std = other_mean[varies], other_std[varies]
            shift = ((other_mean - mean).abs() / std).median().item()
            ratio = (other_std / std).median().item()
            numbers = (
                f"training inputs have mean {mean.mean():.3g} and standard deviation "
                f"{std.mean():.3g}, validation inputs {other_mean.mean():.3g} and "
                f"{other_std.mean():.3g}"
            )
            if shift > 2 or ratio > 3 or ratio < 1 / 3:
                return self.found(numbers, "")
            if all(_standardised(s) for s in (training, source)):
                return self.found(
                    "both are exactly standardised (mean 0, standard deviation 1), so each with "
                    f"its own statistics: {numbers}",
                    "",
                )


def _standardised(source):
    mean, std = source.statistics()
    varies = std > 1e-6
    n = source.count
    std = std[varies]
    unbiased = std * (n / (n - 1)) ** 0.5
    near = min((std - 1).abs().max().item(), (unbiased - 1).abs().max().item())
    return mean[varies].abs().max().item() < 1e-5 and near < 1e-4


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
            target = saved(node, "target") if "Nll" in node.name() else None
            if target is not None and target.ndim == 1 and len(target) >= 8:
                first = target[0]
                self.pure.append(first.item() if bool((target == first).all()) else None)

    def judge(self, run):
        for source in run.sources.values():
            if not (source.one_pass.trains and source.one_pass.over and source.labels):
                continue
            if id(source) in self.checked:
                continue
            self.checked.add(id(source))
            labels = torch.cat(source.labels)
            classes = labels.unique()
            if not 2 <= len(classes) <= 100 or len(labels) < 10 * len(classes):
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
        mostly = len(self.pure) >= 5 and len(seen) >= 0.8 * len(self.pure)
        if mostly and len(set(seen)) >= 2 and self.pure[:4] == self.pure[:1] * 4:
            return self.found(
                f"{len(seen)} of {len(self.pure)} batches that were looked at hold a single class",
                run.lines.get("backward"),
                fix="shuffle in every epoch: order = torch.randperm(len(X))",
            )


class ValOverlapsTrain(_Pairs):
    bug, severity = "val-overlaps-train", ERROR
    symptom = "validation is as good as training, and worse on new data"
    fix = "split once, without overlap: random_split(dataset, [0.8, 0.2])"

    def __init__(self, run):
        super().__init__(run)
        self.whole = None  # what will be said if no other data is evaluated
        self.clean = False

    def judge(self, run):
        for training, source in self.pairs(run):
            train, val = torch.cat(training.rows), torch.cat(source.rows)
            share = torch.isin(val, train).double().mean().item()
            self.clean |= share < 0.05
            repeats = 1 - len(train.unique()) / len(train)
            if len(val) < 10 or share < max(0.1, 5 * repeats):
                continue
            said = (
                f"{round(share * len(val))} of the {len(val)} validation rows are also among the "
                f"{len(train)} training rows"
            )
            # All of them may be there to measure the training data, beside a validation set.
            if share < 0.98:
                return self.found(said)
            if training.dataset != source.dataset:
                self.whole = said
        if run.over and self.whole and not self.clean:
            return self.found(self.whole)


class NoSetEpoch(Detector):
    bug, severity = "no-set-epoch", ERROR
    symptom = "every epoch has the same order of batches"
    fix = "train_loader.sampler.set_epoch(epoch) at the start of each epoch"

    def __init__(self, run):
        super().__init__(run)
        self.epochs = weakref.WeakKeyDictionary()

    def batch(self, one_pass, batch):
        if one_pass.batches == 1:
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
    symptom = "the loss stays at chance, whatever the model"
    fix = "shuffle inputs and labels together: one DataLoader over TensorDataset(X, y)"

    def __init__(self, run):
        super().__init__(run)
        self.apart = 0
        self.before = None  # the loader and the batch that came just before

    def batch(self, one_pass, batch):
        if isinstance(batch, list | tuple) and len(batch) > 1:
            self.before = None
            return
        loader = one_pass.held
        parts = list(tensors_in(batch))
        kind = None
        if len(parts) == 1 and isinstance(getattr(loader, "sampler", None), RandomSampler):
            values = parts[0]
            kind = "y" if values.ndim == 1 and not values.is_floating_point() else "X"
        before, self.before = (
            self.before,
            (weakref.ref(loader), kind, len(parts[0]) if parts else 0),
        )
        if before and {before[1], kind} == {"X", "y"} and before[2] == self.before[2]:
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
