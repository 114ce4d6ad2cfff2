"""The two tasks that everyone trains, always from the same start and on the same batches."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from course_utils.data import moons


@dataclass
class Task:
    model: nn.Module
    optimizer: torch.optim.Optimizer
    train_loader: DataLoader
    val_loader: DataLoader
    epochs: int
    loss_fn = nn.CrossEntropyLoss()


class Shuffled(Sampler):
    """A new order for each epoch. PyTorch's `RandomSampler` draws once more when it is run to its
    end, so its order depends on whether a library asks for one batch too many.
    """

    def __init__(self, n):
        self.n, self.generator = n, torch.Generator()
        self.restart()

    def restart(self):
        self.generator.manual_seed(0)

    def __len__(self):
        return self.n

    def __iter__(self):
        yield from torch.randperm(self.n, generator=self.generator).tolist()


def two_moons(epochs=20, make_loader=None):
    X, y = moons(2000, seed=0)
    return task(X, y, 1600, (2, 64, 2), 0.1, epochs, make_loader)


def larger(epochs=2, make_loader=None):
    """20,000 rows of noise, with labels that a network can learn: the largest of ten projections."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(20_000, 784, generator=generator)
    y = (X @ torch.randn(784, 10, generator=generator)).argmax(dim=1)
    return task(X, y, 16_000, (784, 512, 10), 0.002, epochs, make_loader)


def plain_loader(*tensors, **options):
    return DataLoader(TensorDataset(*tensors), **options)


def task(X, y, n, widths, lr, epochs, make_loader):
    make_loader = make_loader or plain_loader
    torch.manual_seed(0)
    inputs, hidden, outputs = widths
    model = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    return Task(
        model,
        torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
        make_loader(X[:n], y[:n], batch_size=64, sampler=Shuffled(n)),
        make_loader(X[n:], y[n:], batch_size=256),
        epochs,
    )
