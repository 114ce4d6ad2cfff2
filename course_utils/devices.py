"""Where training runs."""

import os

import torch


def pick_device():
    """The best device present: CUDA, else Apple's MPS, else the CPU.

    Where `torchrun` has started several processes, each has a CUDA device of its own, and MPS is
    left out, since it can't exchange gradients.
    """
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if torch.cuda.is_available():
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if several else "cuda")
    if torch.backends.mps.is_available() and not several:
        return torch.device("mps")
    return torch.device("cpu")
