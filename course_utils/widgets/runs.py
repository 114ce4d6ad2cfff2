"""What several simulations train with."""

from functools import partial

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..data import circles, moons, spiral, xor
from ..loaders import tensor_loader

DATA = {"moons": moons, "circles": circles, "xor": xor, "spiral": spiral}
OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "SGD, momentum 0.9": partial(torch.optim.SGD, momentum=0.9),
    "AdamW": torch.optim.AdamW,
}


def shuffled(X, y, batch_size, seed):
    """A loader of the rows, in an order of its own in each epoch."""
    chance = torch.Generator().manual_seed(seed)
    return tensor_loader(X, y, batch_size=batch_size, shuffle=True, generator=chance)


def loss_of(model, X, y):
    """The mean cross-entropy of all rows, a number."""
    with torch.no_grad():
        return cross_entropy(model(X), y).item()


def beyond(*losses, high):
    """What to say if some of the losses are above the axes, or are no numbers."""
    inside = all((np.asarray(part) < high).all() for part in losses)
    return "" if inside else " Some losses lie beyond the axes."
