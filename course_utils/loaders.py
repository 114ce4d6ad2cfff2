"""What can be known of a loader without training on it."""

import math
import warnings
from operator import length_hint

import torch
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from .data import TensorBatches, as_fetched

_MANY = 10_000


def is_map_style(loader):
    """Whether it is a `DataLoader` over rows that can be fetched by their number."""
    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)


def first_batch(loader):
    """The first batch, or None; of a map-style DataLoader without starting its workers."""
    if not is_map_style(loader) or loader.batch_sampler is None:
        return next(iter(loader), None)
    dataset = loader.dataset
    fetch = getattr(dataset, "__getitems__", lambda indices: [dataset[i] for i in indices])
    for indices in loader.batch_sampler:
        return loader.collate_fn(fetch(indices))
    return None


def stored_tensors(dataset):
    """The tensors of a data set that is nothing but tensors, or a part of one; else None."""
    if isinstance(dataset, Subset):
        tensors = stored_tensors(dataset.dataset)
        return tensors and [tensor[torch.as_tensor(dataset.indices)] for tensor in tensors]
    return dataset.tensors if type(dataset) in (TensorDataset, TensorBatches) else None


def all_batches(loader):
    """All data as pairs (X, y), if the loader hands on what lies in memory; else nothing."""
    if isinstance(loader, list | tuple):
        return loader
    if (
        not isinstance(loader, DataLoader)
        or loader.collate_fn not in (default_collate, as_fetched)
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
        for batch in self.loader:
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
