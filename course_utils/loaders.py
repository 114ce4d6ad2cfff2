"""A fast loader for tensors, and what can be known of any loader without training on it."""

import copy
import math
import warnings
from collections.abc import Iterator
from itertools import islice
from numbers import Integral
from operator import length_hint

import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)
from torch.utils.data.dataloader import _BaseDataLoaderIter

from .batches import not_plain

_MANY = 10_000  # batches in a pass of unknown length: does it end?


class TensorBatches(Dataset):
    """Rows of tensors of equal length, fetched a batch at a time by one indexing operation."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors[0])

    def __getitem__(self, index):
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices):
        return self[torch.tensor(indices)]


def _as_fetched(batch):
    """The collate function of a loader whose data set gives whole batches."""
    return batch


def batches_of(loader):
    """Batch after batch, without end: when the loader is through it begins anew."""
    while True:
        yield from loader


# What DataLoader takes without a word, or refuses only later and in other words.
_OPTIONS = (
    ("shuffle", bool, "True or False"),
    ("num_workers", Integral, "a whole number"),
    ("generator", torch.Generator, "a generator, as in torch.Generator().manual_seed(0)"),
)


def tensor_loader(*tensors, batch_size=64, shuffle=False, **options):
    """An ordinary `DataLoader` over tensors that fetches whole batches instead of single rows.

    `DataLoader(TensorDataset(X, y), …)` takes 64 rows one by one and stacks them again. Here
    the dataset answers PyTorch's `__getitems__` with one indexing operation: the batches and the
    random draws are the same, in less time. `options` go to `DataLoader` (`generator`,
    `drop_last`, …).

    Raises TypeError if something is not a plain tensor, ValueError if lengths differ or are zero or if
    `batch_size` is no whole number of at least 1, and both as `DataLoader` does for its options.
    """
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(
                f"tensor_loader takes tensors, each by itself, and everything else by name, as in "
                f"tensor_loader(X, y, batch_size=64); got {type(tensor).__name__}. An array becomes "
                "a tensor by torch.as_tensor(array)."
            )
        if strange := not_plain(tensor):
            raise TypeError(
                f"tensor_loader takes plain tensors; got one that is {strange}. A sparse one becomes plain "
                "by tensor.to_dense(), a nested one by torch.nested.to_padded_tensor(tensor, 0.0)."
            )
    lengths = [len(tensor) if tensor.ndim else 0 for tensor in tensors]
    if not lengths or min(lengths) == 0:
        raise ValueError("tensor_loader needs at least one tensor with at least one row.")
    if len(set(lengths)) > 1:
        raise ValueError(f"tensor_loader needs tensors of equal length; got lengths {lengths}.")
    if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1; got {batch_size!r}.")
    options["shuffle"] = shuffle
    for name, kind, needed in _OPTIONS:
        value = options.get(name)
        if not (value is None or isinstance(value, kind)):
            raise TypeError(f"{name} must be {needed}; got {value!r}.")
    if own_rules := [name for name in ("batch_sampler", "collate_fn") if name in options]:
        raise TypeError(
            f"tensor_loader makes its batches itself, without {own_rules[0]}. Pass yours to "
            f"DataLoader(TensorDataset(X, y), {own_rules[0]}=…)."
        )
    return DataLoader(
        TensorBatches(tensors),
        batch_size=int(batch_size),
        collate_fn=_as_fetched,
        **options,
    )


class _AsStacked(Dataset):
    """The rows of a `TensorDataset`, at once wherever that gives what stacking them would."""

    def __init__(self, rows):
        self.rows = rows

    def __getitems__(self, indices):
        tensors = self.rows.tensors  # those of now: a callback may have put others there
        numbers = type(indices) is list and set(map(type, indices)) == {int}
        if numbers and all(map(lies_plainly, tensors)):
            return TensorBatches(tensors).__getitems__(indices)
        return default_collate([self.rows[index] for index in indices])


def lies_plainly(tensor):
    """Whether rows of `tensor`, taken at once, lie in memory as if stacked, and share no graph."""
    return type(tensor) is torch.Tensor and tensor.is_contiguous() and not tensor.requires_grad


def in_whole_batches(loader):
    """`loader`; or, if it would fetch rows of a `TensorDataset` one by one, one for a single pass
    that does it as `tensor_loader` does: the batches and the random draws are the same, in less time."""
    if (
        type(loader) is not DataLoader
        or type(loader.dataset) is not TensorDataset
        or hasattr(loader.dataset, "__getitems__")
        or loader.collate_fn is not default_collate
        or loader.batch_sampler is None
        or loader.num_workers > 0
    ):
        return loader
    faster = copy.copy(loader)  # it shares samplers and generators
    # A DataLoader lets nobody set its data set, since samplers might not fit; these have its rows.
    vars(faster).update(dataset=_AsStacked(loader.dataset), collate_fn=_as_fetched)
    return faster


def counting_parts(loader):
    """The loader, and what in it may count its passes; a data set of rows may keep some instead."""
    names = ["sampler", "batch_sampler"] if is_map_style(loader) else ["dataset"]
    return [loader] + [getattr(loader, name) for name in names if isinstance(loader, DataLoader)]


def is_map_style(loader):
    """Whether it is a `DataLoader` over rows that can be fetched by their number."""
    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)


def only_once(loader):
    """Whether `loader` can be gone through only once, since it, or its source, holds an iterator."""
    if is_map_style(loader):
        return any(isinstance(part, Iterator) for part in (loader.sampler, loader.batch_sampler))
    source = loader.dataset if isinstance(loader, DataLoader) else loader
    if isinstance(source, Iterator):
        return not isinstance(loader, DataLoader)  # a stream may well begin anew in its __iter__
    iterator = iter(source)
    held = isinstance(iterator, Iterator) and iterator is iter(source)
    return held and not isinstance(iterator, _BaseDataLoaderIter)  # as persistent workers have it


def first_batch(loader):
    """A list with the first batch, if there is one; of a map-style DataLoader without its workers."""
    if not is_map_style(loader) or loader.batch_sampler is None:
        return list(islice(loader, 1))
    dataset = loader.dataset
    fetch = getattr(dataset, "__getitems__", lambda indices: [dataset[i] for i in indices])
    return [loader.collate_fn(fetch(indices)) for indices in islice(loader.batch_sampler, 1)]


def stored_tensors(dataset):
    """The tensors of a data set that is nothing but tensors, or a part of one; else None."""
    if isinstance(dataset, Subset):
        tensors = stored_tensors(dataset.dataset)
        try:
            return tensors and [tensor[torch.as_tensor(dataset.indices)] for tensor in tensors]
        except (IndexError, ValueError):  # the loader may fail at it, and says where
            return None
    return dataset.tensors if type(dataset) in (TensorDataset, TensorBatches) else None


def all_batches(loader):
    """All data as pairs (X, y), if the loader hands on what lies in memory; else nothing."""
    if isinstance(loader, list | tuple):
        return loader
    if (
        not isinstance(loader, DataLoader)
        or loader.collate_fn not in (default_collate, _as_fetched)
        or type(loader.sampler) not in (SequentialSampler, RandomSampler)
    ):
        return []
    tensors = stored_tensors(loader.dataset)
    return [tuple(tensors)] if tensors and len(tensors) == 2 else []


class Watched:
    """A loader that remembers its latest batch, and says so if a pass goes on and on."""

    def __init__(self, name, loader):
        self.name, self.loader = name, loader
        self.given, self.latest = 0, None  # how many batches; None while the next one is fetched

    def __iter__(self):
        length = length_hint(self.loader)
        for batch in in_whole_batches(self.loader):
            self.given, self.latest = self.given + 1, batch
            if self.given > _MANY and not length:
                warnings.warn(
                    f"{self.name} has no length and has given more than {_MANY} batches in one "
                    "pass. If it never ends, neither does the pass: stop, and give it an end, for "
                    "example by itertools.islice in its __iter__.",
                    stacklevel=3,
                )
                length = math.inf  # said once
            yield batch
            self.latest = None
        if not self.given and length_hint(self.loader, 1):  # the share of a process may be empty
            raise ValueError("it has none this time: can it be gone through only once?")
