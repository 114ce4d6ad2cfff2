"""The torch functions that detectors know by their names, and what a call of one was given."""

import torch

REGRESSION = {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"}
BINARY = {"binary_cross_entropy", "binary_cross_entropy_with_logits"}
LOSSES = REGRESSION | BINARY | {
    "cross_entropy", "nll_loss", "kl_div", "poisson_nll_loss", "gaussian_nll_loss",
}  # fmt: skip
EQUALITIES = {"eq", "__eq__", "ne", "__ne__"}
DIFFERENCES = {"sub", "__sub__", "rsub", "__rsub__", "subtract"}
ORDERINGS = {"gt", "__gt__", "ge", "__ge__", "lt", "__lt__", "le", "__le__"}


def name_of(function):
    return getattr(function, "__name__", "")


def argument(args, kwargs, place, *names):
    """What a torch function was given at a place or under one of its names, None if nothing."""
    for name in names:
        if name in kwargs:
            return kwargs[name]
    return args[place] if len(args) > place else None


def input_and_target(args, kwargs):
    """What a loss function was given; None for one that is no tensor."""
    both = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "target")
    return [value if isinstance(value, torch.Tensor) else None for value in both]


def takes_mean(kwargs):
    """Whether a loss function is a mean; `size_average` and `reduce` are its older options."""
    if kwargs.get("reduce") is False or kwargs.get("size_average") is False:
        return False
    older = "reduce" in kwargs or "size_average" in kwargs
    older &= kwargs.get("reduce") is not None or kwargs.get("size_average") is not None
    return older or kwargs.get("reduction", "mean") == "mean"


def compares(function, args):
    """Whether two tensors are compared: outputs with labels."""
    both = len(args) > 1 and all(isinstance(arg, torch.Tensor) for arg in args[:2])
    return both and name_of(function) in EQUALITIES | DIFFERENCES | LOSSES
