"""One training run on several processes, as `torchrun` starts them, with `torch.distributed` alone.

Every process trains a copy of the model on its own share of each batch, and the gradients are
averaged before each step, so that all copies stay equal. On one process nothing here does anything.
"""

import gc
import os
import traceback
from contextlib import contextmanager
from itertools import count, cycle, pairwise, repeat

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Sampler

from .losses import OF_CLASSES, kind_of, rows_counted

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

    If one process raises, the others do, too, with its words: it leaves the group, at which what
    they wait for breaks. A group that somebody else has joined already is used and left alone, so
    there they wait until it ends. CPU tensors travel by gloo, those on CUDA by nccl.
    """
    started = dist.is_available() and int(os.environ.get("WORLD_SIZE", 1)) > 1
    join = started and not dist.is_initialized()
    if join:
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if local_rank < torch.cuda.device_count():
            torch.cuda.set_device(local_rank)  # what "cuda" means from here on
        # Under a new name each time: who joins again must not find the addresses of last time.
        store, number, world_size = next(dist.rendezvous("env://"))
        store = dist.PrefixStore(f"train {next(_joined)}", store)
        dist.init_process_group(store=store, rank=number, world_size=world_size)
        _meet()  # or who leaves at once, with an error, breaks the others' attempt to connect
    try:
        yield
        if join:
            _meet()
    except Exception as error:
        if not join:
            raise
        _forget_frames(error)
        if getattr(error, "known_to_all", False):
            raise
        own = f"process {number} stopped with {type(error).__name__}: {error}"
        first = _first_words(store, own)
        if first != own:
            raise RuntimeError(first) from None
        raise
    finally:
        if join:
            # A replica is part of a cycle. Found later, it would take the group with it, and wait,
            # with the interpreter's lock in its hands, for the group's thread, which may want it.
            gc.collect()
            dist.destroy_process_group()


def _first_words(store, own):
    """What the process that failed first said of it."""
    try:
        return store.compare_set("failed", "", own).decode()
    except RuntimeError:  # the store has gone with its process
        return own


def _forget_frames(error):
    """Let go of what the functions held that `error` came through: a replica keeps the group open."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _meet():
    """Wait until every process is here; over gloo, so on CUDA too without the device."""
    dist.all_reduce(torch.zeros(1))


@contextmanager
def together():
    """In a `with` block that every process comes to: if one raises there, all of them do.

    A process that went on alone would wait for the others, in the next collective, for ever.
    """
    if size() == 1:
        yield
        return
    own = None
    try:
        yield
    except Exception as error:
        if getattr(error, "known_to_all", False):
            raise
        own = error
    said = gather(own and f"{type(own).__name__}: {own}")
    error = own
    if own is None and any(said):
        first = next(i for i, words in enumerate(said) if words)
        error = RuntimeError(f"process {first} stopped with {said[first]}")
    if error is not None:
        error.known_to_all = True
        raise error


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


def from_first(function):
    """What `function()` returns on process 0, on every process; if it raises there, all raise."""
    if size() == 1:
        return function()
    answer = [None]
    with together():
        if rank() == 0:
            answer = [function()]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]


def check_same(facts):
    """Raise ValueError, on every process, if `facts` (texts by name) differ between them."""
    first, *others = gather(facts)
    for number, theirs in enumerate(others, 1):
        for name, text in first.items():
            if theirs.get(name) != text:
                error = ValueError(
                    f"{name} on process 0: {text}; on process {number}: {theirs.get(name)}. Every "
                    "process must be given all the data, the same, and train picks each one's "
                    "share. Is the split random? Draw it with a fixed seed."
                )
                error.known_to_all = True
                raise error


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


def share_of_loss(loss_fn):
    """`loss_fn`, whose gradient counts with the rows that this process has of the whole batch.

    The average over the processes is then the gradient of the loss of the combined batch, also
    where the loss doesn't divide by the number of rows (see `losses.rows_counted`).
    """
    if size() == 1 or kind_of(loss_fn) not in OF_CLASSES:
        return loss_fn  # shares are equally long
    counted = rows_counted(loss_fn)

    def weighted(logits, yb):
        mine = torch.as_tensor(counted(yb), dtype=torch.float32, device=logits.device)
        of_all = mine.clone()
        dist.all_reduce(of_all)
        loss = loss_fn(logits, yb)
        share = torch.where(of_all > 0, mine * size() / of_all, 0.0)
        loss.register_hook(lambda grad: (grad * share).to(grad.dtype))
        return loss

    return weighted


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
    """Whether `loader` is what `shares` made of another one."""
    return isinstance(getattr(loader, "sampler", None), _Share)


def shares(train_loader, val_loader):
    """`(schedule_steps, train_loader, val_loader)`: what this process has of each.

    The loaders keep their batch size. Together the processes take the training batches that one
    process would with batches `size()` times as large. Every validation row comes exactly once.
    Raises ValueError if a loader can't be split.

    `schedule_steps` says, number after number, how often to step a schedule after each batch: once,
    on one process. A share has fewer batches than the whole loader, by which schedules are counted,
    `epochs * len(train_loader)`. So that each ends where it would on one process, its steps are
    spread evenly over the batches.
    """
    if size() == 1:
        return repeat(1), train_loader, val_loader
    train_share = _share("train_loader", train_loader, _TrainingShare)
    val_share = val_loader and _share("val_loader", val_loader, _ValidationShare)
    batches = len(train_share)
    done = [i * len(train_loader) // batches for i in range(batches + 1)]
    return cycle([b - a for a, b in pairwise(done)]), train_share, val_share


def _share(name, loader, sampler):
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
    share = DataLoader(sampler=sampler(loader), **options)
    if sampler is _TrainingShare and len(share) == 0:
        raise ValueError(
            f"{name} has {len(loader.sampler)} rows: with drop_last=True they don't fill one batch "
            f"of {loader.batch_size} on each of {size()} processes. Choose a smaller batch_size."
        )
    return share
