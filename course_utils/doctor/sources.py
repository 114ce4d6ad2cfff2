"""The rows that models were trained on and evaluated on, from a DataLoader or as whole tensors."""

import weakref
from dataclasses import dataclass, field

import torch
from torch.utils.data import RandomSampler, SequentialSampler, SubsetRandomSampler

from .detector import Detector
from .functions import compares
from .run import looked_at, tensors_in

_ROWS = 50_000  # of a first pass are remembered at most
_COLUMNS = 64  # evenly spaced, are enough to know a row again
_SOURCES = 12  # loaders; one that is made anew in each epoch counts each time
_EXAMPLES = 256  # rows that are kept whole
_BATCHES = 500  # of training without a loader
_SETS = 6  # whole tensors that a model is evaluated on
_DIFFERENT, _MOST_DIFFER = 10, 0.8  # values among so large a part of the rows: it is continuous
_LAST_QUARTER = 0.75  # of the batches it begins after; who brings new rows there may bring more
_WHOLE = 20  # rows or more are a set to evaluate on, fewer may be examples


@dataclass(eq=False)
class Rows:
    """Rows as numbers: a fingerprint of each, and statistics of each column."""

    waiting: list = field(default_factory=list)  # batches that are not yet gathered
    count: int = 0
    prints: torch.Tensor | None = None
    total: torch.Tensor | None = None  # sums over the rows, for each column
    squares: torch.Tensor | None = None
    low: torch.Tensor | None = None
    high: torch.Tensor | None = None
    examples: torch.Tensor | None = None  # the first rows, whole

    def add(self, x):
        """Add the rows of a batch, if they are as long as those before."""
        rows = columns(x)
        before = self.waiting[-1] if self.waiting else self.examples
        if before is None or before.shape[1] == rows.shape[1]:
            rows = rows.detach() if rows.requires_grad else rows
            self.waiting.append(rows.clone())
            self.count += rows.shape[0]

    def gather(self):
        """Bring everything up to date with the rows that were added."""
        if not self.waiting:
            return self
        rows = torch.cat(self.waiting).double()
        self.waiting = []
        prints = fingerprints(rows)
        total, squares = rows.sum(0), (rows * rows).sum(0)
        low, high = rows.amin(0), rows.amax(0)  # faster than aminmax
        if self.prints is not None:
            prints = torch.cat([self.prints, prints])
            total, squares = self.total + total, self.squares + squares
            low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
            rows = torch.cat([self.examples, rows[:_EXAMPLES]])
        self.prints, self.total, self.squares, self.low, self.high = (
            prints,
            total,
            squares,
            low,
            high,
        )
        self.examples = rows[:_EXAMPLES].clone()
        return self

    def statistics(self):
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean * mean).clamp(min=0).sqrt()

    def continuous(self):
        """Columns in which hardly a value comes twice among different rows."""
        rows = self.examples[_first(self.prints[: len(self.examples)])].sort(0).values
        distinct = 1 + (rows[1:] != rows[:-1]).sum(0)
        return distinct > max(_DIFFERENT, _MOST_DIFFER * len(rows))


@dataclass(eq=False)
class LoaderSource(Rows):
    """The first pass over a loader."""

    one_pass: object = None
    dataset: int = 0  # its id
    labels: list = field(default_factory=list)
    models: weakref.WeakSet = field(default_factory=weakref.WeakSet)
    as_given: bool | None = None  # whether models got the batches as they came
    whole: bool = False  # whether such a pass goes through all rows, each once
    labelled: bool = False  # whether a batch is more than its inputs

    def add_batch(self, batch):
        parts = [t for t in tensors_in(batch) if t.ndim and len(t)]
        if not parts or self.count > _ROWS:
            return
        x, before = parts[0], self.count
        if not _is_rows(x):
            return
        self.add(x)
        if self.count > before and len(parts) > 1:
            self.labelled = True
            if len(parts[1]) == len(x) and parts[1].numel() == len(x):
                self.labels.append(parts[1].detach().reshape(-1))

    def all_trained(self, tensor):
        """The prints of all rows trained on before a tensor was evaluated, None if unknown."""
        before = tensor.steps[-1] > self.one_pass.steps_before
        return self.prints if self.complete() and before else None

    def complete(self):
        return self.whole and self.count <= _ROWS


@dataclass(eq=False)
class TrainedTensors(Rows):
    """Batches without a loader, each of which went through a backward."""

    order: list = field(default_factory=list)  # the number of each batch; views come again
    known: dict = field(default_factory=dict)  # where a batch lies -> weak reference and number
    sizes: list = field(default_factory=list)
    rows: int = 0  # of all these batches
    length: int = 0  # of the last one

    def add_batch(self, x):
        self.length = x.shape[0]  # faster than len()
        if len(self.order) >= _BATCHES or self.rows > _ROWS:
            return
        home = x if x._base is None else x._base
        key = id(home), x.storage_offset(), x.shape
        ref, number = self.known.get(key, (None, len(self.sizes)))
        if ref is None or ref() is not home:
            number = len(self.sizes)
            self.known[key] = weakref.ref(home), number
            self.add(x)
            self.sizes.append(self.length)
            self.rows += self.length
        self.order.append(number)

    def all_before(self):
        """The prints of all rows that are trained on, or None if more may come: if the last
        quarter of the batches brought new ones."""
        self.gather()
        if len(self.order) < 4 or self.count != self.rows:
            return None
        newest = _first(self.prints).max()
        batch = int(torch.searchsorted(torch.tensor(self.sizes).cumsum(0), newest, right=True))
        return self.prints if self.order.index(batch) < _LAST_QUARTER * len(self.order) else None

    def all_trained(self, tensor):
        return tensor.trained


@dataclass(eq=False)
class EvaluatedTensor(Rows):
    """A tensor without a loader that a model was evaluated on; `steps`: made before, each time."""

    steps: list = field(default_factory=list)
    scored: bool = False  # the outputs were compared with something
    handed_on: bool = False  # or went to NumPy, where they may be
    trained: torch.Tensor | None = None  # prints of rows trained on before, if that was all of them


def _is_rows(x):
    dense = x.is_cpu and x.layout is torch.strided
    return dense and x.ndim > 1 and x.is_floating_point() and x.numel() > 0


def columns(x):
    flat = x if x.ndim == 2 else x.reshape(len(x), -1)
    every = -(-flat.shape[1] // _COLUMNS)
    return flat if every == 1 else flat[:, ::every]


def fingerprints(rows):
    """A number for each row of `rows` (float64 [N, D]), different for different rows: their sums
    with fixed, irrational-looking weights."""
    places = torch.arange(1, rows.shape[1] + 1, dtype=torch.float64)
    return rows @ torch.sin(places * 12.9898)


def _first(prints):
    """Where each different print comes first."""
    _, which = prints.unique(return_inverse=True)
    first = torch.full((int(which.max()) + 1,), len(prints))
    return first.scatter_reduce(0, which, torch.arange(len(prints)), "amin")


class FirstPasses(Detector):
    """Remembers the first pass over each loader."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.sources = {}  # id of a pass -> LoaderSource

    def batch(self, one_pass, batch):
        if one_pass.number > 1:
            return
        sources, key = self.sources, id(one_pass)
        if key not in sources and len(sources) < _SOURCES:
            loader = one_pass.held
            sources[key] = LoaderSource(
                one_pass=one_pass, dataset=id(loader.dataset), whole=_goes_through_all(loader)
            )
        if key in sources:
            sources[key].add_batch(batch)

    def forward(self, call):
        if call.one_pass is None or call.one_pass.number > 1:
            return
        source = self.sources.get(id(call.one_pass))
        if source is not None:
            source.models.add(call.module)
            if source.as_given is None and call.x is not None:
                given = next(tensors_in(self.run.batch), None)
                source.as_given = given is not None and _same_numbers(call.x, given)


def _goes_through_all(loader):
    """Whether a pass is known to hand out every row of the loader's data once."""
    sampler = loader.sampler
    once = type(sampler) in (SequentialSampler, RandomSampler, SubsetRandomSampler)
    drawn = getattr(sampler, "replacement", False) or getattr(sampler, "_num_samples", None)
    return once and not drawn and loader.batch_size is not None and not loader.drop_last


def _same_numbers(x, given):
    if x.numel() != given.numel() or x.dtype != given.dtype:
        return False
    some, others = (t.detach().reshape(-1)[:16].cpu() for t in (x, given))
    return torch.equal(some, others)


class WholeTensors(Detector):
    """Remembers the rows of training and evaluation that come without a loader."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.trained = weakref.WeakKeyDictionary()  # model -> TrainedTensors
        self.sets = weakref.WeakKeyDictionary()  # model -> list of EvaluatedTensor
        self.pending = None  # model and batch of a forward whose backward is to come
        self.evaluations = weakref.WeakKeyDictionary()  # model -> number
        self.latest = None, None  # the last evaluation's call, and what is known of its tensor

    def forward(self, call):
        x, run = call.x, self.run
        if call.has_graph and call.one_pass is not None:
            self.pending = None
        elif x is None or x.requires_grad or not _is_rows(x):
            return
        elif call.has_graph:
            self.pending = weakref.ref(call.module), x
        elif run.steps and len(x) >= _WHOLE and self.is_whole(call):
            number = self.evaluations[call.module] = 1 + self.evaluations.get(call.module, 0)
            if looked_at(number):
                self.evaluated(call, x)

    def batches_in_a_round(self):
        """How many batches come again and again in the same order; 0 if nothing is known of it."""
        order = [number for trained in self.trained.values() for number in trained.order]
        n = len(set(order))
        again = len(order) >= 2 * n and order == [i % n for i in range(len(order))]
        return n if len(self.trained) == 1 and again else 0

    def is_whole(self, call):
        """Whether the tensor comes from no loader; a pass that trains may hold an evaluation."""
        if call.one_pass is None:
            return True
        given = next(tensors_in(self.run.batch), None)
        return call.one_pass.backwards > 0 and given is not None and len(given) != len(call.x)

    def backward(self, backward):
        self.latest = None, None
        if self.pending is None:
            return
        (model, x), self.pending = self.pending, None
        model, trained = model(), self.trained
        known = None if model is None else trained.get(model)
        if known is None and model is not None and len(trained) < _SOURCES:
            known = trained[model] = TrainedTensors()
        if known is not None:
            known.add_batch(x)

    def evaluated(self, call, x):
        sets = self.sets.setdefault(call.module, [])
        now = EvaluatedTensor()
        now.add(x)
        now.gather()
        for known in sets:
            if known.count == now.count and torch.equal(known.prints, now.prints):
                now = known
                break
        else:
            if len(sets) == _SETS:
                return
            sets.append(now)
        now.steps.append(self.run.steps)
        known = self.trained.get(call.module)
        now.trained = None if known is None else known.all_before()
        self.latest = call, now
        self.run.watch_functions = True

    def function(self, call, function, args, kwargs, result):
        latest, known = self.latest
        if call is latest:
            known.scored |= compares(function, args)
            known.handed_on |= function is torch.Tensor.numpy
