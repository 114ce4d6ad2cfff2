"""One training run on several processes, as `torchrun` starts them, with `torch.distributed` alone.

Every process trains a copy of the model on its own share of each batch, and the gradients are
averaged before each step, so that all copies stay equal. On one process nothing here does anything.
"""

import os
from contextlib import contextmanager
from itertools import count

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Sampler

# What a loader of a share takes over from the loader that it stands for.
_KEPT = (
    "dataset", "batch_size", "num_workers", "collate_fn", "pin_memory", "drop_last", "timeout",
    "worker_init_fn", "multiprocessing_context", "generator", "prefetch_factor",
    "persistent_workers",
)  # fmt: skip
_joined = count()


@contextmanager
def process_group():
    """Join the processes that `torchrun` started; leave at the end, also after an exception.

    A group that somebody else has joined already is used and left alone. CPU tensors travel by
    gloo, those on CUDA by nccl.
    """
    started = dist.is_available() and int(os.environ.get("WORLD_SIZE", 1)) > 1
    join = started and not dist.is_initialized()
    if join:
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if local_rank < torch.cuda.device_count():
            torch.cuda.set_device(local_rank)  # what "cuda" means from here on
        # Under a new name each time: who joins again must not find the addresses of last time.
        store, rank, world_size = next(dist.rendezvous("env://"))
        store = dist.PrefixStore(f"train {next(_joined)}", store)
        dist.init_process_group(store=store, rank=rank, world_size=world_size)
        _meet()  # or who leaves at once, with an error, breaks the others' attempt to connect
    try:
        yield
        if join:
            _meet()
    finally:
        if join:
            dist.destroy_process_group()


def _meet():
    """Wait until every process is here; over gloo, so on CUDA too without the device."""
    dist.all_reduce(torch.zeros(1))


def size():
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank():
    """The number of this process among them; 0 is the one that reports and saves."""
    return dist.get_rank() if size() > 1 else 0


def gather(value):
    """The `value` of every process, in a list ordered by rank. Tensors must be on the CPU."""
    if size() == 1:
        return [value]
    values = [None] * size()
    dist.all_gather_object(values, value)
    return values


def gather_tensors(tensors, device):
    """The `tensors` of every process in one list, ordered by rank, on `device`."""
    if size() == 1:
        return tensors
    shares = gather([tensor.cpu() for tensor in tensors])
    return [tensor.to(device) for share in shares for tensor in share]


def replicate(model):
    """What to call instead of `model` in training: its gradients are averaged over all processes.

    It begins with the weights of process 0 and shares its parameters with `model`. The processes
    draw different random numbers from here on, so that dropout differs between their shares.
    """
    if size() == 1:
        return model
    if rank() > 0:
        torch.manual_seed(torch.initial_seed() + rank())
    return DistributedDataParallel(model)


def copy_buffers(model):
    """Give every process the buffers of process 0: the running means of BatchNorm, for example."""
    if size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


class _Share(Sampler):
    """This process's share of the rows of `loader`, in the order that process 0 draws for all."""

    def __init__(self, loader):
        self.sampler, self.drop_last = loader.sampler, loader.drop_last

    def __iter__(self):
        order = [list(self.sampler) if rank() == 0 else None]
        if size() > 1:
            dist.broadcast_object_list(order, src=0)
        return iter(self._mine(*order))

    def __len__(self):
        return len(self._mine(range(len(self.sampler))))


class _TrainingShare(_Share):
    """Every `size()`-th row. Shares are equally long: if rows are left over, the first ones are
    drawn twice, or with `drop_last` the last ones not at all."""

    def _mine(self, order):
        split = DistributedSampler(order, shuffle=False, drop_last=self.drop_last)
        return [order[i] for i in split]


class _ValidationShare(_Share):
    """A piece of the rows as they stand, no row twice; pieces may differ in length by one."""

    def _mine(self, order):
        return order[len(order) * rank() // size() : len(order) * (rank() + 1) // size()]


def is_share(loader):
    """Whether `loader` is what `training_share` or `validation_share` made of another one."""
    return isinstance(getattr(loader, "sampler", None), _Share)


def training_share(loader):
    """A loader of this process's share of `loader`, with as many rows in a batch.

    Together the processes take the batches that one process would with a `batch_size` that is
    `size()` times as large. Raises ValueError if `loader` can't be split.
    """
    return _share("train_loader", loader, _TrainingShare)


def validation_share(loader):
    """As `training_share`, but every row comes exactly once, also with `drop_last`. None stays None."""
    return None if loader is None else _share("val_loader", loader, _ValidationShare)


def _share(name, loader, sampler):
    if size() == 1:
        return loader
    advice = (
        f"{size()} processes train together, each on its share of the rows, which train picks "
        "itself. Pass a DataLoader with batch_size=… and, if you like, shuffle=True: "
        "tensor_loader(X, y, batch_size=64, shuffle=True)."
    )
    if not isinstance(loader, DataLoader):
        raise ValueError(f"{name} is a {type(loader).__name__}, which can't be split. {advice}")
    if isinstance(loader.dataset, IterableDataset):
        raise ValueError(f"{name} reads an IterableDataset, which can't be split. {advice}")
    if isinstance(loader.sampler, DistributedSampler):
        raise ValueError(f"{name} is already split by a DistributedSampler. {advice}")
    if loader.batch_size is None:
        raise ValueError(f"{name} makes its batches by its own rule (batch_size=None). {advice}")
    options = {option: getattr(loader, option) for option in _KEPT}
    if sampler is _ValidationShare:
        options["drop_last"] = False
    return DataLoader(sampler=sampler(loader), **options)
