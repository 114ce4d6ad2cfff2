"""Modes of layers, and of PyTorch itself, that are the old ones again after a `with` block."""

from contextlib import contextmanager

import torch


@contextmanager
def evaluating(model):
    """In a `with` block: evaluation mode; after it, also after an error, each layer's own again."""
    modes = [(layer, layer.training) for layer in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def switches_kept():
    """In a `with` block: after it, gradients and autocast are on or off as they were before.

    PyTorch itself switches them back, except when Ctrl-C comes right between the two. Gradients
    would stay off then, or the 16-bit copies of the weights would never be made anew.
    """
    kinds = {
        kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        for kind in ("cpu", "cuda", "mps")
    }
    gradients, cached, depth = torch.is_grad_enabled(), torch.is_autocast_cache_enabled(), _depth()
    try:
        yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_autocast_cache_enabled(cached)
        for kind, (enabled, dtype) in kinds.items():
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        for _ in range(_depth() - depth):
            torch.autocast_decrement_nesting()
            torch.clear_autocast_cache()


def _depth():
    """How many autocast blocks are open."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()
