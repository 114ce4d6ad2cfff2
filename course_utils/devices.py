"""Where training runs, and how a run is made repeatable."""

import os
from contextlib import contextmanager

import torch


def pick_device():
    """The best device present: CUDA, else Apple's MPS, else the CPU.

    Where `torchrun` has started several processes, each has a CUDA device of its own.
    """
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if torch.cuda.is_available():
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if several else "cuda")
    if torch.backends.mps.is_available() and not several:  # it can't exchange gradients
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def seeded(seed):
    """In a `with` block: PyTorch's CPU numbers start at `seed`; after it they go on as before.

    Other devices are left alone: `torch.manual_seed` would reseed them for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
