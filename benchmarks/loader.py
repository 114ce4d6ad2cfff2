"""What fetching whole batches saves

One pass over shuffled tensors in batches of 64, nothing done with them; one thread, no workers, \
CPU time. All use the same sampler and give the same batches. `__getitems__` is PyTorch's own way \
to fetch many rows at a time: the data set returns a list of rows, which are stacked again; \
`tensor_loader` builds on it and leaves out the list. torchdata is used as its documentation \
shows: sampler, mapper, batcher, collate.
"""

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    TensorDataset,
    default_collate,
)

from benchmarks import Row, Table, cpu_seconds, in_rounds, milliseconds, ratios
from benchmarks.peers.task import Shuffled
from course_utils import moons, tensor_loader

ROUNDS, BATCH = 15, 64

READING = """\
`tensor_loader` takes a fraction of the default's time, a small one on narrow rows; on wide rows \
copying the numbers remains. Plain PyTorch comes close with a `BatchSampler` in the \
sampler's place. `__getitems__` alone gains little, because its rows are stacked again, and \
torchdata takes longer than the default. A loop that indexes the tensors itself is faster than \
`tensor_loader`, many times so on small data: it leaves out the `DataLoader`, and with it samplers, \
workers and the state from which a run goes on.
"""


class Rows(Dataset):
    """A data set that answers `__getitems__` as documented: with a list of rows."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitems__(self, indices):
        index = torch.tensor(indices)
        return list(zip(self.X[index], self.y[index], strict=True))


def default(X, y):
    return DataLoader(TensorDataset(X, y), batch_size=BATCH, sampler=Shuffled(len(X)))


def getitems(X, y):
    return DataLoader(Rows(X, y), batch_size=BATCH, sampler=Shuffled(len(X)))


def batch_sampler(X, y):
    sampler = BatchSampler(Shuffled(len(X)), BATCH, drop_last=False)
    return DataLoader(TensorDataset(X, y), sampler=sampler, batch_size=None)


def torchdata(X, y):
    from torchdata.nodes import Batcher, Loader, Mapper, SamplerWrapper

    rows = Mapper(SamplerWrapper(Shuffled(len(X))), TensorDataset(X, y).__getitem__)
    return Loader(Mapper(Batcher(rows, BATCH, drop_last=False), default_collate))


def ours(X, y):
    return tensor_loader(X, y, batch_size=BATCH, sampler=Shuffled(len(X)))


class ByHand:
    def __init__(self, X, y):
        self.X, self.y = X, y
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self):
        for index in torch.randperm(len(self.X), generator=self.generator).split(BATCH):
            yield self.X[index], self.y[index]


BASE = "`DataLoader(TensorDataset(…))`"
CONTESTANTS = {
    BASE: default,
    "`DataLoader`, `__getitems__`": getitems,
    "`DataLoader`, `BatchSampler` as sampler": batch_sampler,
    "torchdata": torchdata,
    "`tensor_loader`": ours,
    "`X[index]` in a loop of one's own": ByHand,
}


def data():
    yield "Two moons: 1600 rows of 2", moons(1600, seed=0)
    X = torch.randn(16_000, 784, generator=torch.Generator().manual_seed(0))
    yield "16,000 rows of 784", (X, X[:, :10].argmax(dim=1))


def go_through(loader):
    for _batch in loader:
        pass


def agrees(loader, batches):
    return all(
        torch.equal(mine, theirs)
        for batch, other in zip(loader, batches, strict=True)
        for mine, theirs in zip(batch, other, strict=True)
    )


def measure():
    for title, tensors in data():
        batches, loaders, left_out = list(default(*tensors)), {}, {}
        for name, make in CONTESTANTS.items():
            try:
                loader = make(*tensors)
            except ImportError as error:
                left_out[name] = str(error)
                continue
            if agrees(loader, batches):
                loaders[name] = loader
            else:
                left_out[name] = "Its batches differ."
        times = in_rounds(
            {
                name: lambda loader=loader: cpu_seconds(go_through, loader)
                for name, loader in loaders.items()
            },
            ROUNDS,
        )
        rows = [
            Row(
                name,
                ratios(seconds, times[BASE]),
                (milliseconds(seconds),),
                ours=CONTESTANTS[name] is ours,
            )
            for name, seconds in times.items()
        ]
        yield Table(title, rows, ("a pass",), BASE, left_out)
