"""Bad input to `train` gets one sentence that names the argument, before any weight changes."""

import ast
import os
import re
import traceback
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

from course_utils import accuracy, evaluate, mlp, moons, own_functions, tensor_loader, train
from course_utils.training import train_step
from tests.lessons import ROOT

X, y = moons(100, seed=0)
LOSS = nn.CrossEntropyLoss()
MODEL = mlp(2, 8, 2)
OTHER = mlp(2, 8, 2)


def sgd(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr)


def emptied(optimizer, **settings):
    """Without its parameter groups; or with settings that PyTorch would not have taken."""
    if settings:
        optimizer.param_groups[0].update(settings)
    else:
        optimizer.param_groups.clear()
    return optimizer


class Around(torch.optim.Optimizer):
    """An optimizer around another one, as many are written: without super().__init__()."""

    def __init__(self, inner):
        self.inner, self.param_groups, self.state = inner, inner.param_groups, inner.state


def attempt(
    X=X,
    y=y,
    model=None,
    train_loader=None,
    val_loader="same",
    loss_fn=LOSS,
    optimizer=None,
    epochs=2,
    **options,
):
    model = mlp(2, 8, 2) if model is None else model
    if train_loader is None:
        train_loader = tensor_loader(X, y, batch_size=32, shuffle=True)
    if isinstance(val_loader, str):
        val_loader = train_loader
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    if optimizer is None:
        optimizer = torch.optim.SGD(parameters, lr=0.1)
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        train(
            model, train_loader, val_loader, loss_fn, optimizer, epochs, progress=False, **options
        )
    finally:
        unchanged = all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert not unchanged, "this run was meant to train"


with_nan = X.clone()
with_nan[77, 1] = float("nan")
SINGLE, SINGLE_LOSS = mlp(2, 8, 1), nn.BCEWithLogitsLoss()


ROWS = TensorDataset(X, y)
NORMED = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
FROZEN = mlp(2, 8, 2).requires_grad_(False)
with torch.inference_mode():
    INFERENCE = mlp(2, 8, 2)


class Failing(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 3:
            raise KeyError(3)
        return X[index], y[index]


class Unbounded:
    """A loader without a length."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x).detach()


class Scaling(nn.Module):
    """A model that scales its inputs, in place."""

    def __init__(self, scale):
        super().__init__()
        self.layer, self.scale = nn.Linear(2, 2), scale

    def forward(self, x):
        return self.layer(self.scale(x))


class Clamped(nn.Module):
    def __init__(self, low=0.01, high=0.99):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x):
        return x.clamp(self.low, self.high)


class Mean(nn.Module):
    def forward(self, x):
        return x.square().mean()


class Narrowing(Detached):
    """Gives fewer outputs for a short batch."""

    def forward(self, x):
        return self.layer(x)[:, : 2 if len(x) > 10 else 1]


class Pairs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x), x


class Held:
    """A loader, or the rows of one, whose iterator was made once and for all."""

    def __init__(self, things):
        self.iterator = iter(things)

    def __iter__(self):
        return self.iterator


class HeldRows(Held, IterableDataset):
    pass


def rates(lr):
    optimizer = sgd(MODEL)
    optimizer.param_groups[0]["lr"] = lr
    return dict(model=MODEL, optimizer=optimizer)


def diverged():
    model = mlp(2, 8, 2)
    model[2].bias.data[1] = float("nan")
    return model


def remembering(number):
    """A model, and an optimizer whose earlier run left this among its momenta."""
    model = mlp(2, 8, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    momentum = torch.zeros_like(model[2].bias)
    momentum[1] = number
    optimizer.state[model[2].bias]["momentum_buffer"] = momentum
    return dict(model=model, optimizer=optimizer)


def scheduled(kind, *arguments):
    optimizer = sgd(MODEL)
    return dict(model=MODEL, optimizer=optimizer, scheduler=kind(optimizer, *arguments))


def labels_first(y_true, y_pred):
    return F.cross_entropy(y_pred, y_true)


async def never_awaited(*arguments, **options):
    raise AssertionError


def never_begun(epoch, model, history):
    yield


class Later:
    async def __call__(self, *arguments):
        raise AssertionError


class Three:
    def __init__(self, *three):
        pass


def squeezed(outputs, labels):
    return F.mse_loss(outputs.squeeze(1), labels)


PROBABLE = nn.Sequential(mlp(2, 8, 1), nn.Sigmoid())
LOGARITHMS = nn.Sequential(mlp(2, 8, 2), nn.LogSoftmax(1))
REGRESSION = dict(model=SINGLE, loss_fn=squeezed, y=X[:, 0])
DOUBLING = Scaling(lambda x: x.mul_(2.0))
EMBEDDING = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))


BAD = {
    # labels
    "float labels": (dict(y=y.float()), TypeError, ["train_loader", "torch.float32", "y.long()"]),
    "int32 labels": (dict(y=y.int()), TypeError, ["torch.int32", "y.long()"]),
    "labels of shape [N, 1]": (dict(y=y[:, None]), ValueError, ["[N, 1]", "y.squeeze(1)"]),
    "float labels of shape [N, 1]": (dict(y=y[:, None].float()), ValueError, ["y.squeeze(1).long()"]),
    "one-hot labels": (dict(y=F.one_hot(y)), ValueError, ["[N, 2]", "y.argmax(dim=1)"]),
    "labels from 1": (dict(y=y + 1), ValueError, ["from 1 to 2", "between 0 and 1"]),
    "negative labels": (dict(y=y - 1), ValueError, ["from -1 to 0"]),
    "labels out of range only in the validation data": (
        dict(val_loader=tensor_loader(X, y * 2, batch_size=10)), ValueError, ["val_loader", "from 0 to 2"],
    ),
    "[N, 1] outputs against [N] labels": (
        dict(model=SINGLE, loss_fn=SINGLE_LOSS, y=y.float()), ValueError, ["[N, 1]", "y[:, None]"],
    ),
    "[N, 1] outputs against [N] numbers": (
        dict(model=SINGLE, loss_fn=nn.MSELoss(), y=X[:, 0], metric=None), ValueError, ["y[:, None]"],
    ),
    "[N] outputs against [N, 1] labels": (
        dict(model=nn.Sequential(SINGLE, nn.Flatten(0)), loss_fn=SINGLE_LOSS, y=y[:, None].float()),
        ValueError, ["y.squeeze(1)"],
    ),
    "int labels for BCE": (
        dict(model=SINGLE, loss_fn=SINGLE_LOSS, y=y[:, None]), TypeError, ["y.float()"],
    ),
    "BCE labels above 1": (
        dict(model=SINGLE, loss_fn=SINGLE_LOSS, y=2.0 * y[:, None]), ValueError, ["from 0 to 2", "between 0 and 1"],
    ),
    "one output and float labels": (dict(model=SINGLE, y=y[:, None].float()), ValueError, ["single output"]),
    "[N] outputs for cross-entropy": (
        dict(model=nn.Sequential(SINGLE, nn.Flatten(0))), ValueError, ["one logit for each class", "BCEWithLogitsLoss"],
    ),
    "one output for cross-entropy": (dict(model=SINGLE), ValueError, ["single output", "BCEWithLogitsLoss"]),
    "regression with accuracy": (
        dict(model=SINGLE, loss_fn=nn.MSELoss(), y=X[:, :1]), ValueError, ["metric=None"],
    ),
    "float labels for the functional loss": (dict(y=y.float(), loss_fn=F.cross_entropy), TypeError, ["y.long()"]),
    "a loss of one's own that can't": (
        dict(y=y.float(), loss_fn=lambda a, b: F.cross_entropy(a, b)), ValueError, ["loss_fn can't compare"],
    ),
    "labels below 0 as counts": (
        dict(model=SINGLE, loss_fn=nn.PoissonNLLLoss(), y=y[:, None] - 1, metric=None), ValueError, ["from -1 to 0", "counts"],
    ),
    "logits as labels": (dict(y=X, metric=None), ValueError, ["probabilities of the classes", "y.softmax(dim=1)"]),
    "logarithms for KLDivLoss": (
        dict(model=LOGARITHMS, loss_fn=nn.KLDivLoss(reduction="batchmean"), y=X.log_softmax(1), metric=None),
        ValueError, ["KLDivLoss needs probabilities", "log_target=True"],
    ),
    "probabilities for KLDivLoss of logarithms": (
        dict(model=LOGARITHMS, loss_fn=nn.KLDivLoss(reduction="batchmean", log_target=True), y=X.softmax(1), metric=None),
        ValueError, ["needs the logarithms"],
    ),
    "signs for yes or no": (
        dict(loss_fn=nn.MultiLabelSoftMarginLoss(), y=2.0 * F.one_hot(y) - 1), ValueError, ["from -1 to 1", "between 0 and 1"],
    ),
    "labels 0 and 1 for a loss that takes signs": (
        dict(model=SINGLE, loss_fn=nn.SoftMarginLoss(), y=y[:, None].float(), metric=None), ValueError, ["-1 and 1", "2 * y - 1"],
    ),
    "labels 0 and 1 for a functional loss that takes signs": (
        dict(model=SINGLE, loss_fn=F.hinge_embedding_loss, y=y[:, None], metric=None), ValueError, ["HingeEmbeddingLoss", "2 * y - 1"],
    ),
    # inputs
    "complex inputs": (dict(X=X.cfloat()), TypeError, ["torch.complex64", "view_as_real"]),
    "pictures without a channel": (
        dict(model=nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten()), X=X[:, None]), ValueError, ["nn.Conv2d(1, 2, …)", "X[:, None]"],
    ),
    "pictures with their channels last": (
        dict(model=nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), X=torch.zeros(100, 1, 1, 3)), ValueError, ["3 channels", "X.movedim(-1, 1)"],
    ),
    "numbers with a fraction for an embedding": (dict(model=EMBEDDING), TypeError, ["nn.Embedding(5, 3)", "X.long()"]),
    "float64 inputs": (dict(X=X.double()), TypeError, ["torch.float64", "X.float()"]),
    "int inputs": (dict(X=X.long()), TypeError, ["torch.int64", "X.float()"]),
    "wrong width": (dict(X=torch.zeros(100, 3)), ValueError, ["[32, 3]", "instead of 2"]),
    "images for a flat model": (dict(X=torch.zeros(100, 2, 3, 3)), ValueError, ["instead of 2"]),
    "NaN": (dict(X=with_nan), ValueError, ["1 NaN", "inputs", "every weight into NaN"]),
    "NaN in the validation data": (
        dict(val_loader=tensor_loader(with_nan, y, batch_size=10)), ValueError, ["val_loader has 1 NaN", "count as the best"],
    ),
    "NaN in a subset": (
        dict(train_loader=DataLoader(random_split(TensorDataset(with_nan, y), [100, 0])[0], batch_size=5)),
        ValueError, ["1 NaN"],
    ),
    "NaN in a list of batches": (dict(train_loader=[(X, y), (with_nan, y)]), ValueError, ["1 NaN"]),
    "infinite labels": (
        dict(model=SINGLE, loss_fn=nn.MSELoss(), y=X[:, :1] / 0, metric=None), ValueError, ["labels"],
    ),
    # loaders
    "a tensor": (dict(train_loader=X), TypeError, ["train_loader is a Tensor", "tensor_loader("]),
    "a dataset": (dict(train_loader=TensorDataset(X, y)), TypeError, ["TensorDataset", "tensor_loader("]),
    "a generator": (dict(train_loader=(b for b in [(X, y)])), TypeError, ["only once"]),
    "a number": (dict(train_loader=3), TypeError, ["int, not a loader"]),
    "no batches": (dict(train_loader=[]), ValueError, ["train_loader is empty"]),
    "nothing left after drop_last": (
        dict(train_loader=tensor_loader(X, y, batch_size=128, drop_last=True)), ValueError, ["drop_last"],
    ),
    "an empty validation loader": (dict(val_loader=[]), ValueError, ["val_loader is empty"]),
    "batches without labels": (dict(train_loader=[X]), TypeError, ["list of Tensors", "tensor_loader("]),
    "batches of three": (dict(train_loader=[(X, y, y)]), TypeError, ["3 parts"]),
    "arrays": (dict(train_loader=[(X.numpy(), y.numpy())]), TypeError, ["xb", "ndarray"]),
    "the data instead of a loader": (dict(train_loader=(X, y)), TypeError, ["tensor_loader("]),
    "a loader class": (dict(train_loader=DataLoader), TypeError, ["class DataLoader", "tensor_loader("]),
    "a dictionary": (dict(train_loader={"X": X}), TypeError, ["dict", "tensor_loader("]),
    "rows that are put together into a generator": (
        dict(train_loader=DataLoader(ROWS, collate_fn=lambda rows: map(torch.stack, zip(*rows, strict=True)))), TypeError, ["a map", "tuple(…)"],
    ),
    "single rows": (dict(train_loader=[*zip(X, y, strict=True)]), ValueError, ["single rows", "batch_size"]),
    "inputs by name": (dict(train_loader=[({"X": X}, y)]), TypeError, ["xb is a dict", "collate_fn"]),
    "words as labels": (dict(train_loader=[(X[:2], ["cat", "dog"])]), TypeError, ["yb is a list", "classes.index(word)"]),
    "a list that the model changes": (
        dict(train_loader=[(X.clone(), y)], model=DOUBLING, optimizer=sgd(DOUBLING)),
        ValueError, ["the model changes its inputs in place", "train_loader gives the same tensors again"],
    ),
    "a list whose labels the loss changes": (
        dict(train_loader=[(X, y + 1)], val_loader=None, loss_fn=lambda a, b: F.cross_entropy(a, b.sub_(1))),
        ValueError, ["loss_fn changes its labels in place"],
    ),
    "a bad batch later in a list": (dict(train_loader=[(X, y), None]), TypeError, ["NoneType"]),
    "an empty batch": (dict(train_loader=[(X[:0], y[:0])]), ValueError, ["at least one"]),
    "a data set that fails": (dict(train_loader=DataLoader(Failing(), batch_size=4)), ValueError, ["KeyError: 3"]),
    "a single row left for BatchNorm": (
        dict(model=NORMED, train_loader=tensor_loader(X[:97], y[:97], batch_size=32)), ValueError, ["drop_last=True"],
    ),
    "a later batch of another type": (dict(train_loader=[(X, y), (X.long(), y)]), TypeError, ["torch.int64", "X.float()"]),
    "a later batch of another width": (dict(train_loader=[(X, y), (X[:, :1], y)]), ValueError, ["[100, 1]", "instead of 2"]),
    "sparse inputs": (dict(train_loader=[(X.to_sparse(), y)]), TypeError, ["sparse", "to_dense()"]),
    "nested inputs": (
        dict(train_loader=[(torch.nested.nested_tensor([X[0], X[1]], layout=torch.jagged), y[:2])]), TypeError, ["nested"],
    ),
    "tensors without numbers": (dict(train_loader=[(X.to("meta"), y)]), TypeError, ["meta device"]),
    "unequal lengths": (dict(train_loader=[(X, y[:50])]), ValueError, ["one label for each example"]),
    "a sampler that is a generator": (
        dict(train_loader=DataLoader(TensorDataset(X, y), sampler=(i for i in range(100)))), TypeError, ["DataLoader that", "only once"],
    ),
    "a loader that holds an iterator": (dict(train_loader=Held([(X, y)])), TypeError, ["Held that", "only once"]),
    "a validation loader that holds an iterator": (dict(val_loader=Held([(X, y)])), TypeError, ["val_loader", "only once"]),
    "a stream that holds an iterator": (
        dict(train_loader=DataLoader(HeldRows(zip(X, y, strict=True)), batch_size=10)), TypeError, ["only once"],
    ),
    "rows that are put together into nothing": (
        dict(train_loader=DataLoader(TensorDataset(X, y), collate_fn=lambda rows: None)), TypeError, ["a NoneType"],
    ),
    "a number that the embedding doesn't know": (
        dict(model=EMBEDDING, X=torch.arange(200).view(100, 2) % 6), ValueError, ["nn.Embedding(5, 3)", "from 0 to 4", "from 0 to 5"],
    ),
    "one feature without a dimension of its own": (
        dict(model=mlp(1, 8, 2), X=X[:, 0]), ValueError, ["X[:, None]"],
    ),
    "classes in the last place": (
        dict(model=nn.Linear(2, 2), X=X.view(20, 5, 2), y=y.view(20, 5)), ValueError, ["[N, C, 5]", "movedim(-1, 1)"],
    ),
    "pictures of labels with a channel": (
        dict(model=nn.Conv1d(1, 2, 1), X=X[:, None], y=y[:, None, None].expand(100, 1, 2)), ValueError, ["shape [N, 2]", "y.squeeze(1)"],
    ),
    "a DataFrame": (dict(train_loader=pd.DataFrame(X.numpy())), TypeError, ["DataFrame, not a loader", "tensor_loader("]),
    "weights of the classes for a sampler of rows": (
        dict(train_loader=DataLoader(ROWS, batch_size=8, sampler=WeightedRandomSampler([0.5, 0.5], 100))),
        ValueError, ["2 weights for 100 rows", "class_weights[y]"],
    ),
    "a sampler of batches where one of rows belongs": (
        dict(train_loader=DataLoader(ROWS, sampler=BatchSampler(SequentialSampler(ROWS), 5, False))),
        ValueError, ["batches of batches", "batch_sampler="],
    ),
    "a mask for a part of the rows": (
        dict(train_loader=DataLoader(Subset(ROWS, y == 1), batch_size=4)), TypeError, ["True and False", "mask.nonzero().flatten()"],
    ),
    "a sampler class": (
        dict(train_loader=DataLoader(ROWS, batch_size=4, sampler=SequentialSampler)), ValueError, ["can't give its first batch", "not iterable"],
    ),
    "rows that aren't there": (
        dict(train_loader=DataLoader(Subset(ROWS, [3, 400]), batch_size=4)), ValueError, ["can't give its first batch", "index 400"],
    ),
    "data with a graph behind them": (
        dict(X=nn.Linear(2, 2)(X)), ValueError, ["backward() fails on batch 2", "computed with gradients"],
    ),
    # model, loss, optimizer
    "a model that flattens too much": (
        dict(model=nn.Sequential(mlp(2, 8, 2), nn.Flatten(0))), ValueError, ["32 rows", "outputs [64]", "squeeze(1)"],
    ),
    "layers in a list": (
        dict(model=nn.Sequential(), optimizer=sgd(MODEL)), ValueError, ["no parameters", "nn.ModuleList"],
    ),
    "an optimizer that goes uphill": (
        dict(model=MODEL, optimizer=torch.optim.Adam(MODEL.parameters(), maximize=True)), ValueError, ["maximize=True", "minus"],
    ),
    "an optimizer that holds nothing any more": (dict(model=MODEL, optimizer=emptied(sgd(MODEL))), ValueError, ["has no parameters"]),
    "an optimizer around another": (
        dict(model=MODEL, optimizer=Around(sgd(MODEL))), ValueError, ["can't tell its state", "super().__init__"],
    ),
    "two learning rates in one": (
        dict(model=MODEL, optimizer=emptied(sgd(MODEL), lr=torch.ones(2))), ValueError, ["tensor([1., 1.])", "must be a number"],
    ),
    "an optimizer that wants sparse gradients": (
        dict(model=MODEL, optimizer=torch.optim.SparseAdam([*MODEL.parameters()])),
        ValueError, ["optimizer can't make a step after batch 1", "SparseAdam", "as they were before the call"],
    ),
    "a weight decay of NaN": (
        dict(model=MODEL, optimizer=torch.optim.SGD(MODEL.parameters(), weight_decay=float("nan"))), ValueError, ["weight_decay=nan"],
    ),
    "an optimizer without a learning rate": (
        dict(model=MODEL, optimizer=torch.optim.Optimizer(MODEL.parameters(), {})), ValueError, ["no learning rate", '{"lr": lr}'],
    ),
    "weights of all classes 0": (dict(loss_fn=nn.CrossEntropyLoss(weight=torch.zeros(2))), ValueError, ["not all of them 0"]),
    "a weight for each of more outputs": (
        dict(model=SINGLE, loss_fn=nn.BCEWithLogitsLoss(pos_weight=torch.ones(3)), y=y[:, None].float()),
        ValueError, ["pos_weight of shape [3]", "[N, 1]"],
    ),
    "a loss in NumPy": (
        dict(loss_fn=lambda a, b: metrics.log_loss(b, a)), ValueError, ["made of torch functions"],
    ),
    "class weights below 0": (
        dict(loss_fn=nn.CrossEntropyLoss(weight=torch.tensor([-1.0, 1.0]))), ValueError, ["weight=[-1.0, 1.0]", "at least 0"],
    ),
    "a weight of NaN": (
        dict(model=SINGLE, loss_fn=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(float("nan"))), y=y[:, None].float()),
        ValueError, ["pos_weight=nan"],
    ),
    "logits for KLDivLoss": (
        dict(loss_fn=nn.KLDivLoss(reduction="batchmean"), y=F.one_hot(y).float(), metric=None), ValueError, ["KLDivLoss takes the logarithms"],
    ),
    "a loss with the labels first": (
        dict(loss_fn=labels_first, y=F.one_hot(y).float(), metric=None), TypeError, ["loss_fn is called with the outputs first", "(y_true, y_pred)"],
    ),
    "a metric with the labels first": (
        dict(metric=metrics.f1_score), TypeError, ["metric is called with the outputs first", "lambda logits, y: metric(y, logits)"],
    ),
    "a model that diverged earlier": (dict(model=diverged()), ValueError, ["NaN or infinite weights, in 2.bias"]),
    "an optimizer that diverged earlier": (
        remembering(float("nan")), ValueError, ["NaN or infinite numbers", "momentum_buffer", "Make a new one: torch.optim.SGD("],
    ),
    "an optimizer whose momentum is infinite": (remembering(float("inf")), ValueError, ["momentum_buffer"]),
    "an optimizer for gradients through its steps": (
        dict(model=MODEL, optimizer=torch.optim.SGD(MODEL.parameters(), differentiable=True)), ValueError, ["differentiable=True", "Leave it out"],
    ),
    "a softmax over a single output": (
        dict(model=nn.Sequential(mlp(2, 8, 1), nn.Softmax(1)), loss_fn=nn.BCELoss(), y=y[:, None].float(), metric=None),
        ValueError, ["over a single output, which is 1", "BCEWithLogitsLoss"],
    ),
    "a log_softmax over a single output, reshaped and cut off": (
        dict(
            model=nn.Sequential(mlp(2, 8, 1), nn.LogSoftmax(-1), Clamped(), nn.Flatten(0)),
            loss_fn=lambda a, b: F.mse_loss(a, b), y=X[:, 0], metric=None,
        ),
        ValueError, ["single output, which is 0"],
    ),
    "a log_softmax over the rows": (
        dict(model=nn.Sequential(mlp(2, 8, 2), nn.LogSoftmax(0)), loss_fn=nn.NLLLoss()), ValueError, ["log_softmax along dimension 0", "dim=1"],
    ),
    "a gradient too long to be shortened": (
        dict(model=SINGLE, loss_fn=nn.MSELoss(), X=1e18 * X, y=X[:, :1], metric=None, max_grad_norm=1.0),
        ValueError, ["max_grad_norm can't shorten", "length overflows", "Scale inputs"],
    ),
    "a learning rate of NaN": (rates(float("nan")), ValueError, ["learning rate nan in parameter group 0"]),
    "a learning rate below 0": (rates(-0.1), ValueError, ["learning rate -0.1"]),
    "a learning rate that is no number": (rates(None), ValueError, ["learning rate None"]),
    "class weights of NumPy's kind": (
        dict(loss_fn=nn.CrossEntropyLoss(weight=torch.ones(2).double())), TypeError, ["class weights of torch.float64", "weight.to(torch.float32)"],
    ),
    "own loss that compares all with all, rows sorted": (
        dict(model=SINGLE, loss_fn=lambda a, b: (F.softplus(a) - a * b).mean(), y=y.sort()[0].float(), metric=None),
        ValueError, ["every output with every label"],
    ),
    "own loss on probabilities with accuracy": (
        dict(model=PROBABLE, loss_fn=lambda p, t: -(t * p.log() + (1 - t) * (1 - p).log()).mean(), y=y[:, None].float()),
        ValueError, ["loss_fn works on probabilities"],
    ),
    "squares of probabilities with accuracy": (
        dict(model=PROBABLE, loss_fn=nn.MSELoss(), y=y[:, None].float()), ValueError, ["MSELoss brings the outputs", "outputs > 0.5"],
    ),
    "metric that compares all with all": (
        REGRESSION | dict(metric=lambda a, b: (a - b).abs().mean()), ValueError, ["metric compares every output", "y[:, None]"],
    ),
    "metric in NumPy that compares all with all": (
        REGRESSION | dict(metric=lambda a, b: abs(a.numpy() - b.numpy()).mean()), ValueError, ["metric compares every output"],
    ),
    "metric that compares all with all, rows sorted": (
        REGRESSION | dict(y=y.sort()[0].float(), metric=lambda a, b: ((a > 0) == b).float().mean()), ValueError, ["metric compares"],
    ),
    "metric that keeps a dimension too many": (
        dict(metric=lambda a, b: (a.argmax(1, keepdim=True) == b).float().mean()), ValueError, ["metric compares", "same shape"],
    ),
    "metric of labels [N, 1]": (
        dict(y=y[:, None], loss_fn=lambda a, b: F.cross_entropy(a, b[:, 0]), metric=lambda a, b: (a.argmax(1) == b).float().mean()),
        ValueError, ["metric compares"],
    ),
    "metric that returns an array": (dict(metric=lambda a, b: a.numpy()), TypeError, ["return one number", "array("]),
    "a model class": (dict(model=nn.Linear, optimizer=sgd(MODEL)), TypeError, ["model is the class Linear"]),
    "no model": (dict(model=3, optimizer=sgd(MODEL)), TypeError, ["model must be", "int"]),
    "a model with two outputs": (dict(model=Pairs()), TypeError, ["one tensor", "tuple"]),
    "a loss class": (dict(loss_fn=nn.CrossEntropyLoss), TypeError, ["nn.CrossEntropyLoss()"]),
    "a loss that rounds": (
        REGRESSION | dict(y=y.float(), loss_fn=lambda a, b: (a[:, 0].sigmoid().round() - b).abs().mean(), metric=None),
        ValueError, ["gradient", "zero everywhere", "round"],
    ),
    "a loss of detached outputs, and weight decay": (
        dict(model=MODEL, loss_fn=lambda a, b: F.cross_entropy(a.detach(), b) + MODEL[0].weight.square().sum()),
        ValueError, ["gradient", "detach"],
    ),
    "a loss that is said to need a gradient": (
        dict(loss_fn=lambda a, b: (a.argmax(1) != b).float().mean().requires_grad_()), ValueError, ["any trainable parameter"],
    ),
    "a loss made anew of its number": (
        dict(loss_fn=lambda a, b: 2 * torch.tensor(F.cross_entropy(a, b).item(), requires_grad=True)),
        ValueError, ["any trainable parameter", ".item()"],
    ),
    "own loss of two dimensions too many": (
        dict(model=nn.Sequential(SINGLE, nn.Unflatten(1, (1, 1))), loss_fn=lambda a, b: (a - b).abs().mean(), y=X[:, 0], metric=None),
        ValueError, ["every output with every label", "Both must have the same shape"],
    ),
    "own loss of two dimensions too few": (
        dict(model=nn.Sequential(SINGLE, nn.Flatten(0)), loss_fn=lambda a, b: (a - b).abs().mean(), y=X[:, :1, None], metric=None),
        ValueError, ["every output with every label"],
    ),
    "a norm": (
        dict(model=SINGLE, loss_fn=lambda a, b: torch.dist(a, b), y=X[:, :1], metric=None), ValueError, ["adds up its rows", ".norm()"],
    ),
    "a sum and weight decay": (
        dict(model=SINGLE, loss_fn=lambda a, b: ((a - b) ** 2).sum() + SINGLE[0].weight.square().sum(), y=X[:, :1], metric=None),
        ValueError, ["adds up its rows"],
    ),
    "own loss on probabilities that compares all with all": (
        dict(model=PROBABLE, loss_fn=lambda p, t: -(t * p.log() + (1 - t) * (1 - p).log()).mean(), y=y.float(), metric=None),
        ValueError, ["every output with every label"],
    ),
    "logits for NLLLoss": (dict(loss_fn=nn.NLLLoss()), ValueError, ["logarithms of probabilities", "LogSoftmax"]),
    "probabilities for NLLLoss": (
        dict(model=nn.Sequential(mlp(2, 8, 2), nn.Softmax(1)), loss_fn=F.nll_loss), ValueError, ["CrossEntropyLoss() on logits"],
    ),
    "a loss by name": (dict(loss_fn="cross_entropy"), TypeError, ["loss_fn must be a function"]),
    "a summed loss": (dict(loss_fn=nn.CrossEntropyLoss(reduction="sum")), ValueError, ['reduction="mean"']),
    "a summed loss by its old name": (
        dict(loss_fn=partial(F.cross_entropy, size_average=False)), ValueError, ['reduction="sum"'],
    ),
    "labels smoothed too little": (
        dict(loss_fn=nn.CrossEntropyLoss(label_smoothing=-0.1)), ValueError, ["label_smoothing=-0.1", "0 to 1"],
    ),
    "a summed functional loss": (
        dict(loss_fn=partial(F.cross_entropy, reduction="sum")), ValueError, ['reduction="sum"'],
    ),
    "a loss of one's own that adds up": (
        dict(model=SINGLE, loss_fn=lambda a, b: ((a - b) ** 2).sum(), y=X[:, :1], metric=None), ValueError, ["adds up its rows"],
    ),
    "a complex loss": (
        dict(loss_fn=lambda a, b: F.cross_entropy(a, b) * 1j), ValueError, ["complex"],
    ),
    "one-hot labels with accuracy": (
        dict(y=F.one_hot(y).float()), ValueError, ["probabilities of classes", "y.argmax(dim=1)"],
    ),
    "one-hot labels for a loss of one's own": (
        dict(y=F.one_hot(y).float(), loss_fn=lambda a, b: F.cross_entropy(a, b)), ValueError, ["y.argmax(dim=1)"],
    ),
    "a loss of many numbers": (
        dict(loss_fn=lambda a, b: F.cross_entropy(a, b, reduction="none")), ValueError, ["one number"],
    ),
    "nothing to learn": (dict(model=Detached()), ValueError, ["any trainable parameter"]),
    "an optimizer class": (dict(optimizer=torch.optim.SGD), TypeError, ["optimizer is the class SGD"]),
    "another model's optimizer": (
        dict(model=MODEL, optimizer=sgd(OTHER)), ValueError, ["4 of 4 parameters", "Build it again"],
    ),
    "an optimizer that needs a closure": (
        dict(model=MODEL, optimizer=torch.optim.LBFGS(MODEL.parameters())), ValueError, ["LBFGS"],
    ),
    "only frozen parameters": (
        dict(model=FROZEN, optimizer=sgd(FROZEN)), ValueError, ["only frozen parameters"],
    ),
    "probabilities with accuracy": (
        dict(model=nn.Sequential(mlp(2, 8, 1), nn.Sigmoid()), loss_fn=nn.BCELoss(), y=y[:, None].float()),
        ValueError, ["BCEWithLogitsLoss"],
    ),
    "hidden broadcasting": (
        dict(model=SINGLE, loss_fn=lambda a, b: F.mse_loss(a, b), y=X[:, 0], metric=None), ValueError, ["target size"],
    ),
    "own loss that compares all with all": (
        dict(model=SINGLE, loss_fn=lambda a, b: ((a - b) ** 2).mean(), y=X[:, 0], metric=None),
        ValueError, ["every output with every label", "y[:, None]"],
    ),
    "own loss that compares all with all, the other way round": (
        dict(model=nn.Sequential(SINGLE, nn.Flatten(0)), loss_fn=lambda a, b: (a - b).abs().mean(), y=X[:, :1], metric=None),
        ValueError, ["every output with every label", "y.squeeze(1)"],
    ),
    "a model that can't learn": (
        dict(model=INFERENCE), ValueError, ["inference_mode", "load_state_dict"],
    ),
    "labels out of range for NLLLoss": (
        dict(model=nn.Sequential(mlp(2, 8, 2), nn.LogSoftmax(1)), loss_fn=nn.NLLLoss(), y=y * 2), ValueError, ["from 0 to 2"],
    ),
    # options
    "no epochs": (dict(epochs=0), ValueError, ["epochs", "at least 1", "got 0"]),
    "half an epoch": (dict(epochs=0.5), ValueError, ["epochs", "got 0.5"]),
    "epochs=True": (dict(epochs=True), ValueError, ["epochs", "got True"]),
    "an unknown device": (dict(device="gpu"), ValueError, ["device='gpu'", '"cpu"']),
    "a device that is yes": (dict(device=True), TypeError, ["device must be a name"]),
    "a device without numbers": (dict(device="meta"), ValueError, ["device='meta'", '"cpu"']),
    "a device that isn't there": (dict(device="cuda:99"), ValueError, ["device='cuda:99'"]),
    "patience without validation": (dict(patience=3, val_loader=None), ValueError, ["patience", "val_loader"]),
    "patience 0": (dict(patience=0), ValueError, ["patience", "at least 1"]),
    "a negative clip norm": (dict(max_grad_norm=-1.0), ValueError, ["max_grad_norm", "-1.0"]),
    "a clip norm of NaN": (dict(max_grad_norm=float("nan")), ValueError, ["max_grad_norm", "nan"]),
    "a clip norm that is no number": (dict(max_grad_norm="1"), ValueError, ["max_grad_norm", "'1'"]),
    "amp by name": (dict(amp="fp16"), ValueError, ["amp must be True"]),
    "float16 on the CPU": (dict(amp=torch.float16, device="cpu"), ValueError, ["torch.bfloat16"]),
    "a bare callback": (dict(callbacks=print), TypeError, ["callbacks=[f]"]),
    "a callback that is no function": (dict(callbacks=[1]), TypeError, ["callbacks"]),
    "callbacks that can be called only once": (dict(callbacks=(f for f in [print])), TypeError, ["callbacks"]),
    "a metric without a result": (dict(metric=lambda logits, y: None), TypeError, ["return one number"]),
    "a callback of one argument": (dict(callbacks=[lambda epoch: None]), TypeError, ["(epoch, model, history)"]),
    "an async callback": (dict(callbacks=[never_awaited]), TypeError, ["callbacks", "async"]),
    "an async callback with an argument": (dict(callbacks=[partial(never_awaited, more=1)]), TypeError, ["async"]),
    "a callback object that is async": (dict(callbacks=[Later()]), TypeError, ["async"]),
    "a callback that yields": (dict(callbacks=[never_begun]), TypeError, ["callbacks", "yield"]),
    "a callback class": (dict(callbacks=[Three]), TypeError, ["callbacks", "class Three", "Three(…)"]),
    "an async metric": (dict(metric=never_awaited), TypeError, ["metric", "async"]),
    "a metric class": (dict(metric=Three, val_loader=None), TypeError, ["metric", "class Three"]),
    "an async loss": (dict(loss_fn=never_awaited), TypeError, ["loss_fn", "async"]),
    "a metric of one argument": (dict(metric=lambda logits: 1.0), TypeError, ["(logits, labels)"]),
    "a metric that fails": (
        dict(metric=lambda logits, y: logits @ y), ValueError, ["metric can't judge", "RuntimeError"],
    ),
    "a metric that is no function": (dict(metric="auc"), TypeError, ["metric"]),
    "a metric that is no function, and nothing to judge": (
        dict(metric="auc", val_loader=None), TypeError, ["metric must be a function"],
    ),
    "a checkpoint that is no path": (dict(checkpoint=5), TypeError, ["checkpoint", "int"]),
    # schedulers
    "a step size of 0": (scheduled(lr_scheduler.StepLR, 0), ValueError, ["StepLR has step_size=0", "1 or more"]),
    "a step size below 0": (scheduled(lr_scheduler.StepLR, -1), ValueError, ["step_size=-1"]),
    "half a step": (scheduled(lr_scheduler.StepLR, 1.5), ValueError, ["step_size=1.5"]),
    "a warm-up of 0 epochs": (
        scheduled(lambda o: lr_scheduler.LinearLR(o, total_iters=0)), ValueError, ["LinearLR has total_iters=0"],
    ),
    "a period of 0": (scheduled(lr_scheduler.CosineAnnealingLR, 0), ValueError, ["T_max=0"]),
    "a schedule that ends too early": (
        scheduled(lr_scheduler.LambdaLR, lambda epoch: [1.0, 0.1][epoch]), ValueError, ["fails after epoch 2 of 2", "IndexError"],
    ),
    "a schedule without an answer": (
        scheduled(lr_scheduler.LambdaLR, lambda epoch: None if epoch else 1.0), ValueError, ["fails after epoch 1", "TypeError"],
    ),
    "a schedule that falls below 0": (
        scheduled(lr_scheduler.LambdaLR, lambda epoch: 1 - 0.7 * epoch), ValueError, ["sets the learning rate to -0.04", "epoch 2"],
    ),
    "a schedule of NaN": (
        scheduled(lr_scheduler.LambdaLR, lambda epoch: float("nan") if epoch else 1.0), ValueError, ["to nan after epoch 1"],
    ),
    "a part of a schedule with a period of 0": (
        scheduled(lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ConstantLR(o), lr_scheduler.StepLR(o, 0)], [1])),
        ValueError, ["StepLR has step_size=0"],
    ),
    "another optimizer's scheduler": (
        dict(scheduler=lr_scheduler.StepLR(sgd(OTHER), 1)), ValueError, ["another optimizer"],
    ),
    "a scheduler class": (dict(scheduler=lr_scheduler.StepLR), TypeError, ["scheduler is the class"]),
    "a scheduler step that doesn't exist": (dict(scheduler_step="step"), ValueError, ["scheduler_step"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_explained_before_any_weight_changes(case):
    arguments, error, words = BAD[case]
    with pytest.raises(error) as caught:
        attempt(**arguments)
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "\n" not in message


# Functions of which some refusals are met by tests of their own, and not by a case of BAD.
MET_ELSEWHERE = {
    "examine_evaluation", "_check_model", "_check_optimizer", "_check_surroundings", "_check_checkpoint",
    "_check_fit", "_check_length", "score", "_score",
}  # fmt: skip


def test_each_refusal_is_met_by_a_bad_input():
    met = set()
    for arguments, error, _ in BAD.values():
        with pytest.raises(error) as caught:
            attempt(**arguments)
        frames = traceback.walk_tb(caught.tb)
        met |= {(Path(frame.f_code.co_filename).stem, line) for frame, line in frames}
    for file in ("inputs", "schedules", "batches", "metrics", "own_functions"):
        tree = ast.parse((ROOT / "course_utils" / f"{file}.py").read_text())
        for function in tree.body:
            if getattr(function, "name", "") in MET_ELSEWHERE:
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Raise) and node.exc:
                    lines = range(node.lineno, node.end_lineno + 1)
                    assert any((file, line) in met for line in lines), (
                        f"no case of BAD comes to course_utils/{file}.py, line {node.lineno}: "
                        f"{ast.unparse(node)}"
                    )


def test_schedulers_that_do_not_fit_the_run_are_explained():
    model = mlp(2, 8, 2)
    optimizer = sgd(model)
    one_cycle = lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=8)
    with pytest.raises(
        ValueError, match=r"8 of its 8 steps left, but this run makes 2 .* here 8\."
    ):
        attempt(model=model, optimizer=optimizer, scheduler=one_cycle)
    attempt(model=model, optimizer=optimizer, scheduler=one_cycle, scheduler_step="batch")
    with pytest.raises(ValueError, match="0 of its 8 steps left"):
        attempt(model=model, optimizer=optimizer, scheduler=one_cycle, scheduler_step="batch")

    unbounded = Unbounded([(X, y)])
    with pytest.raises(ValueError, match=r"but this run makes 2 .*len\(train_loader\)\.$"):
        attempt(
            model=model,
            optimizer=optimizer,
            train_loader=unbounded,
            scheduler=lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=8),
        )

    short = lr_scheduler.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": []})
    with pytest.raises(ValueError, match="knows 1 of the optimizer's 2 parameter groups"):
        attempt(model=model, optimizer=optimizer, scheduler=short)

    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match="needs a val_loader"):
        attempt(model=model, optimizer=optimizer, scheduler=plateau, val_loader=None)
    with pytest.raises(ValueError, match="once an epoch"):
        attempt(model=model, optimizer=optimizer, scheduler=plateau, scheduler_step="batch")
    rising = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max")
    with pytest.raises(ValueError, match='mode="max", but it is given the validation loss'):
        attempt(model=model, optimizer=optimizer, scheduler=rising)


def test_a_cosine_period_in_epochs_is_not_stepped_by_the_batch():
    model = mlp(2, 8, 2)
    optimizer = sgd(model)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    with pytest.raises(ValueError, match=r"T_max=2, which counts epochs, .* 8 times.* here 8\."):
        attempt(model=model, optimizer=optimizer, scheduler=cosine, scheduler_step="batch")
    attempt(model=model, optimizer=optimizer, scheduler=cosine)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    with pytest.raises(ValueError, match=r"T_max=8, which counts batches, .* here 2\."):
        attempt(model=model, optimizer=optimizer, scheduler=cosine)

    model = mlp(2, 8, 2)
    optimizer = sgd(model)
    per_batch = lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    attempt(model=model, optimizer=optimizer, scheduler=per_batch, scheduler_step="batch")


def warm_up_and_cosine(optimizer, steps):
    parts = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, steps - 1)
    return lr_scheduler.SequentialLR(optimizer, [parts, cosine], [1])


def down_in(optimizer, steps):
    return lr_scheduler.PolynomialLR(optimizer, total_iters=steps)


@pytest.mark.parametrize(
    ("make", "steps", "scheduler_step", "says"),
    [
        (warm_up_and_cosine, 2, "batch", r"2 steps, with T_max=1 .* counts epochs, .* here 8\."),
        (warm_up_and_cosine, 8, "epoch", r"8 steps, with T_max=7 .* counts batches, .* here 2\."),
        (down_in, 8, "epoch", r"total_iters=8, which counts batches, .* here 2\."),
        (warm_up_and_cosine, 8, "batch", None),
        (warm_up_and_cosine, 2, "epoch", None),
        (down_in, 8, "batch", None),
        (down_in, 2, "epoch", None),
    ],
)
def test_other_schedules_with_an_end_are_counted_in_the_steps_they_make(
    make, steps, scheduler_step, says
):
    model = mlp(2, 8, 2)
    optimizer = sgd(model)
    options = {"scheduler": make(optimizer, steps), "scheduler_step": scheduler_step}
    if says is None:
        attempt(model=model, optimizer=optimizer, **options)
    else:
        with pytest.raises(ValueError, match=says):
            attempt(model=model, optimizer=optimizer, **options)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(X=X[:, :1]), "1 features instead of 2"),
        (dict(y=y + 5), "labels from 5 to 6"),
        (dict(loader=[]), "loader is empty"),
        (dict(X=X.to("meta")), "meta device"),
        (dict(X=X.to_sparse()), "sparse"),
        (dict(loss_fn=nn.MSELoss()), "but the model's outputs have shape"),
        (dict(loss_fn=nn.CrossEntropyLoss(reduction="sum")), 'reduction="sum"'),
        (dict(y=F.one_hot(y).float()), "probabilities of classes"),
        (dict(model=3), "model must be"),
        (dict(device="gpu"), "can't be used on this machine"),
        (dict(device="meta"), "can't be used on this machine"),
        (dict(loader=iter([(X, y)])), "pass list(loader)"),
        (dict(loader=Held([(X, y)])), "pass list(loader)"),
        (dict(autocast=True), "autocast must be a context"),
        (dict(X=with_nan), "A loss over them is NaN: fill"),
        (
            dict(model=Narrowing(), loader=[(X, y), (X[:9], y[:9])], loss_fn=lambda a, b: a.mean()),
            "metric can't judge all 109 rows (RuntimeError: Sizes of tensors must match",
        ),
        (
            dict(model=SINGLE, y=X[:, 0], loss_fn=lambda a, b: ((a - b) ** 2).mean()),
            "every output with",
        ),
        (dict(loader=Unbounded([(X, y), (X, y + 5)])), "batch 2 of loader has labels from 5 to 6"),
    ],
)
def test_evaluate_says_what_is_wrong_too(arguments, says):
    defaults = dict(X=X, y=y, model=MODEL, loss_fn=LOSS, device=None, autocast=None)
    given = {**defaults, **arguments}
    loader = given.get("loader", [(given["X"], given["y"])])
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        evaluate(
            given["model"], loader, given["loss_fn"], given["device"], autocast=given["autocast"]
        )


class InPlace(Detached):
    def forward(self, x):
        hidden = self.layer(x).sigmoid()
        outputs = hidden * hidden
        hidden += 1
        return outputs


class Carrying(Detached):
    carried = 0

    def forward(self, x):
        self.carried = self.layer(x).mean() + self.carried
        return self.layer(x) + self.carried


def hooked(*_):
    raise KeyError("hook")


def with_hook():
    model = mlp(2, 8, 2)
    model[0].weight.register_hook(hooked)
    return model


class Failed(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("no step")


@pytest.mark.parametrize(
    ("model", "says", "advice"),
    [
        (
            InPlace,
            "backward() fails on batch 1 of train_loader (RuntimeError: one of the",
            "x = x + 1",
        ),
        (
            Carrying,
            "backward() fails on batch 2 of train_loader (RuntimeError: Trying",
            ".detach()",
        ),
        (with_hook, "backward() fails on batch 1 of train_loader (KeyError: 'hook')", "hooks"),
    ],
)
def test_a_backward_that_fails_is_told_from_a_batch_that_does(model, says, advice):
    model = model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        attempt(model=model)
    assert advice in str(caught.value) and "as they were before the call" in str(caught.value)
    assert all(map(torch.equal, before, model.parameters()))


def test_gradients_that_a_callback_switched_off_are_named():
    try:
        with pytest.raises(ValueError, match="gradients switched off, as a callback does"):
            attempt(callbacks=[lambda *_: torch.set_grad_enabled(False)])
    finally:
        torch.set_grad_enabled(True)


@pytest.mark.parametrize("wrap", [TensorDataset, lambda *tensors: [*zip(*tensors, strict=True)]])
def test_a_look_at_the_data_leaves_them_as_they_are(wrap):
    model, inputs, labels = Scaling(lambda x: x.mul_(2.0)), X.clone(), y + 1

    def from_one(logits, labels):
        return F.cross_entropy(logits, labels.sub_(1))

    loader = DataLoader(wrap(inputs, labels), batch_size=32)
    attempt(model=model, train_loader=loader, loss_fn=from_one, metric=None)
    evaluate(model, loader, from_one, metric=None)
    assert torch.equal(inputs, X) and torch.equal(labels, y + 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.clamp_(-1, 1),
        lambda x: F.relu(x, inplace=True),
        lambda x: x.sub_(x.mean(0)).div_(x.std(0)),
        lambda x: x.mul(2.0),
    ],
)
def test_a_change_in_place_that_can_be_made_again_is_let_through(change):
    batches = [(X[:50].clone(), y[:50]), (X[50:].clone(), y[50:])]
    attempt(model=Scaling(change), train_loader=batches)


def test_an_optimizer_that_fails_is_named():
    model = mlp(2, 8, 2)
    with pytest.raises(ValueError, match=r"optimizer can't make a step .*no step"):
        attempt(model=model, optimizer=Failed(model.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("model", "loss_fn", "labels", "twice"),
    [
        (nn.Sequential(mlp(2, 8, 2), nn.Softmax(1)), LOSS, y, "softmax"),
        (mlp(2, 8, 2), lambda a, b: F.cross_entropy(a.softmax(1), b), y, "softmax"),
        (nn.Sequential(mlp(2, 8, 2), nn.Softmax(1), Clamped()), LOSS, y, "softmax"),
        (nn.Sequential(PROBABLE, nn.Flatten(0)), SINGLE_LOSS, y.float(), "the sigmoid"),
        (nn.Sequential(PROBABLE, Clamped()), SINGLE_LOSS, y[:, None].float(), "the sigmoid"),
    ],
)
def test_what_model_and_loss_both_apply_is_warned_about(model, loss_fn, labels, twice):
    with pytest.warns(UserWarning, match=f"^{twice} is applied twice"):
        attempt(model=model, loss_fn=loss_fn, y=labels, metric=None)


@pytest.mark.parametrize("end", [[nn.Sigmoid()], [nn.Sigmoid(), Clamped()]])
def test_a_sigmoid_before_cross_entropy_is_warned_about(end):
    with pytest.warns(UserWarning, match="^softmax is applied to what a sigmoid gives"):
        attempt(model=nn.Sequential(mlp(2, 8, 2), *end))


KINDS = F.one_hot(y).float()


@pytest.mark.parametrize(
    "labels", [torch.ones(100, 2), 5 * KINDS, KINDS + (torch.arange(100) == 9)[:, None]]
)
def test_labels_that_are_too_large_for_probabilities_are_warned_about_once(labels):
    with pytest.warns(
        UserWarning, match=r"adds up to [235], .*BCEWithLogitsLoss.*y / y.sum"
    ) as told:
        attempt(y=labels, metric=None)
    assert len(told) == 1


@pytest.mark.parametrize(
    "labels",
    [
        KINDS,
        0.9 * KINDS + 0.05,  # smoothed
        0.3 * KINDS + 0.7 * KINDS.roll(1, 0),  # mixed
        KINDS * (torch.arange(100) % 3 > 0)[:, None],  # some rows left out
        X.softmax(1),
        X.softmax(1).half().float(),
        X.softmax(1).bfloat16().float(),
        X.softmax(1).round(decimals=1),
    ],
)
@pytest.mark.filterwarnings("error")
def test_probabilities_as_labels_are_taken_in_silence(labels):
    attempt(y=labels, metric=None)


class Attentive(nn.Module):
    """Attention over one position, in which softmax is 1 for good reason."""

    def __init__(self):
        super().__init__()
        self.asked, self.given = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        asked, given = self.asked(x)[:, None], self.given(x)[:, None]
        return (torch.softmax(asked @ asked.mT, -1) @ given)[:, 0]


class Pointer(nn.Module):
    """How likely each position of a sequence is, whose length is that of the batch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x).squeeze(2).log_softmax(1)


def weighted(weights, labels):
    return (weights * labels).mean()


@pytest.mark.parametrize(
    "arguments",
    [
        dict(model=Attentive()),
        dict(
            model=Pointer(), loss_fn=lambda a, b: F.nll_loss(a, b),
            train_loader=[(X[:, None], 0 * y), (X.view(50, 2, 2), y[:50])],
        ),
        dict(model=nn.Sequential(mlp(2, 8, 1), nn.Softmax(0)), loss_fn=weighted, y=X[:, :1]),  # weights of rows
        dict(model=LOGARITHMS, loss_fn=nn.NLLLoss(), train_loader=tensor_loader(X, y, batch_size=1)),
        dict(model=nn.Sequential(nn.Conv1d(1, 2, 1), nn.LogSoftmax(1)), X=X[:, None], y=(X > 0).long(), loss_fn=nn.NLLLoss()),
        dict(model=nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 2))),
        dict(model=nn.Sequential(mlp(2, 8, 2), Clamped(-9, 9))),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_a_softmax_or_sigmoid_that_is_right_is_let_through(arguments):
    attempt(**arguments, metric=None)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(model=nn.Sequential(nn.BatchNorm1d(2), mlp(2, 8, 1)), X=1e18 * X),
        dict(model=mlp(2, 8, 1).double(), X=1e18 * X.double(), y=X[:, :1].double()),
        dict(X=1e9 * X),
    ],
)
@pytest.mark.filterwarnings("error")
def test_large_inputs_whose_gradient_has_a_length_are_let_through(arguments):
    given = dict(model=mlp(2, 8, 1), y=X[:, :1], max_grad_norm=1.0) | arguments
    attempt(loss_fn=nn.MSELoss(), optimizer=sgd(given["model"], 1e-3), metric=None, **given)


def test_a_look_at_the_gradient_leaves_none_behind():
    given, model = [], mlp(2, 8, 2)
    model.register_forward_hook(lambda *_: given.extend(p.grad for p in model.parameters()))
    with pytest.raises(ValueError, match="val_loader is empty"):
        attempt(model=model, max_grad_norm=1.0, val_loader=Empty())
    assert given and {p.grad for p in model.parameters()} | {*given} == {None}


def test_what_an_optimizer_remembers_may_hold_an_infinite_number_of_its_own():
    arguments = remembering(0.5)
    for state in arguments["optimizer"].state.values():
        state["least"] = torch.tensor(float("inf"))
    attempt(**arguments)


class Exhausted(nn.Module):
    """Needs more memory than there is, from a certain batch on."""

    def __init__(self, calls):
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 2), iter(range(calls))

    def forward(self, x):
        if next(self.calls, None) is None:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.layer(x)


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_memory_that_runs_out_is_told_by_its_own_name(calls):
    model = Exhausted(calls)
    before = model.layer.weight.clone()
    with pytest.raises(torch.OutOfMemoryError):
        attempt(model=model)
    assert torch.equal(model.layer.weight, before)
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(model, [(X, y)], LOSS)


def test_a_schedule_that_is_too_short_for_a_loader_without_a_length_is_named():
    model, loader = mlp(2, 8, 2), Unbounded([(X, y)] * 4)
    optimizer = sgd(model)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3)
    with pytest.raises(ValueError, match="scheduler can't make its step after batch 4 of train_lo"):
        attempt(
            model=model,
            train_loader=loader,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_step="batch",
        )


def test_a_cosine_that_is_through_is_warned_about():
    model = mlp(2, 8, 2)
    optimizer = sgd(model)
    options = dict(model=model, optimizer=optimizer, epochs=3)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attempt(scheduler=scheduler, **options)
    with pytest.warns(UserWarning, match="3 steps behind it, and T_max=3.*rises again"):
        attempt(scheduler=scheduler, **options)


@pytest.mark.parametrize("kind", [lr_scheduler.LambdaLR, lr_scheduler.PolynomialLR])
def test_a_schedule_that_spends_the_run_at_zero_is_warned_about(kind):
    model = mlp(2, 8, 2)
    optimizer = sgd(model)

    def scheduler(steps):
        falling = kind is lr_scheduler.LambdaLR
        return kind(optimizer, (lambda step: max(0, 1 - step / steps)) if falling else steps)

    options = dict(model=model, optimizer=optimizer, epochs=3, scheduler_step="batch")
    with pytest.warns(UserWarning, match=r"0, or below 1e-12, in 9 of 12 steps.* epochs \* len"):
        attempt(scheduler=scheduler(3), **options)
    for steps in (6, 11, 12, 100):
        optimizer.param_groups[0].update(lr=0.1, initial_lr=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            attempt(scheduler=scheduler(steps), **options)


def test_a_schedule_that_draws_from_an_iterator_is_not_asked_beforehand():
    model, factors = mlp(2, 8, 2), iter([1.0, 0.5, 0.25])
    optimizer = sgd(model)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: next(factors))
    attempt(model=model, optimizer=optimizer, scheduler=scheduler)
    assert optimizer.param_groups[0]["lr"] == 0.1 * 0.25


@pytest.mark.parametrize(
    "part", [slice(1), slice(10), slice(None, None, 2), slice(-1, None), slice(2, None)]
)
def test_a_loss_that_leaves_rows_out_by_their_place_is_warned_about(part):
    with pytest.warns(
        UserWarning, match=r"looks at \d+ of the 32 rows of a batch, chosen by their"
    ):
        attempt(loss_fn=lambda logits, labels: F.cross_entropy(logits[part], labels[part]))


@pytest.mark.parametrize("outputs_of", [lambda a: a, lambda a: a.softmax(1), lambda a: a.tanh()])
@pytest.mark.filterwarnings("error")
def test_a_loss_that_falls_without_end_is_warned_about(outputs_of):
    def likelihood(logits, labels):
        return F.nll_loss(outputs_of(logits), labels)

    torch.manual_seed(
        0
    )  # some models have only positive outputs at first, which might be probabilities
    if outputs_of(X).equal(X):
        with pytest.warns(UserWarning, match="falls without end: it is linear"):
            attempt(loss_fn=likelihood)
    else:
        attempt(loss_fn=likelihood)
    attempt(loss_fn=likelihood, model=nn.Sequential(mlp(2, 8, 2), nn.LogSoftmax(1)))


def hardest(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none").topk(2).values.mean()


def of_one_class(logits, labels):
    return (F.cross_entropy(logits, labels, reduction="none") * labels).mean()


def half_as_target(logits, labels):
    half = len(logits) // 2
    return F.mse_loss(logits[:half], logits[half : 2 * half].detach())


def in_pairs(logits, labels):
    half = (len(logits) + 1) // 2
    return F.mse_loss(logits[: len(logits) - half], logits[half:])


def contrastive(logits, labels):
    return F.cross_entropy(logits @ logits.T, torch.arange(len(labels)))


def noisy(logits, labels):
    return F.cross_entropy(logits + torch.randn_like(logits), labels)


def with_decay(logits, labels):
    return F.cross_entropy(logits, labels) + 100.0 + MODEL[0].weight.square().sum()


@pytest.mark.parametrize(
    "loss_fn", [hardest, of_one_class, half_as_target, in_pairs, contrastive, noisy, with_decay]
)
@pytest.mark.parametrize("rows", [2, 5, 32])
@pytest.mark.filterwarnings("error")
def test_losses_that_choose_rows_by_what_they_hold_or_compare_them_are_let_through(loss_fn, rows):
    loader = [(X[:rows], y[:rows].roll(1)), (X[rows : 2 * rows], y[rows : 2 * rows])]
    attempt(train_loader=loader, loss_fn=loss_fn, metric=None)


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, partial(torch.autocast, "cpu")]
)
def test_where_nothing_can_be_learned_training_is_refused(context):
    with context(), pytest.raises(ValueError, match="Call it outside"):
        attempt()


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (X.to_sparse(), y, "logits that are sparse"),
        (X, y.to_sparse(), "labels that are sparse"),
        (X.to("meta"), y.to("meta"), "logits that are on the meta device"),
        (X * 1j, y, "logits that are complex"),
        (X[:, 0], y * 1j, "labels that are complex"),
        (X > 0, y, "got yes and no, torch.bool"),
    ],
)
def test_accuracy_says_which_tensors_it_can_not_compare(logits, labels, says):
    with pytest.raises(TypeError, match=says):
        accuracy(logits, labels)


@pytest.mark.filterwarnings("error")
def test_accuracy_warns_of_probabilities_that_it_reads_as_logits():
    sure = 8.0 * (y[:, None] - 0.5) + X[:, :1]  # right answers, as logits
    assert accuracy(sure, y[:, None]) == 1.0
    with pytest.warns(UserWarning, match="reads logits.*from before the sigmoid"):
        assert accuracy(sure.sigmoid(), y[:, None]) == 0.5
    assert accuracy(sure.sigmoid().round(), y[:, None]) == 1.0
    assert accuracy(sure > 0, y[:, None]) == 1.0
    assert accuracy(0.5 + 0.1 * X[:, :1].sigmoid(), y[:, None]) == 0.5
    assert accuracy(sure[y == 0].sigmoid(), y[y == 0, None]) == 0.0


@pytest.mark.parametrize("norm", [-1, 0, float("nan"), "1", True])
def test_a_step_refuses_a_limit_that_no_gradient_can_have(norm):
    with pytest.raises(ValueError, match="max_grad_norm is a length, a number above 0"):
        train_step(MODEL, X, y, LOSS, sgd(MODEL), max_grad_norm=norm)


def test_a_model_without_numbers_is_refused():
    model = mlp(2, 8, 2).to("meta")
    with pytest.raises(ValueError, match="meta device: its parameters have shapes"):
        train(model, [(X, y)], None, LOSS, sgd(model), 1, progress=False)


def test_a_model_whose_weights_have_no_shape_yet_is_refused():
    model = nn.Sequential(nn.LazyLinear(2))
    with pytest.raises(ValueError, match=r"lazy layers, .* model\(xb\), before you build"):
        train(model, [(X, y)], None, LOSS, sgd(model), 1, progress=False)


@pytest.mark.parametrize("numbers", [0.0, 1.0])  # a loss of NaN and one of infinity
def test_a_first_loss_that_takes_the_weights_with_it_is_refused(numbers):
    with pytest.raises(ValueError, match=r"loss of (nan|inf), and its gradient"):
        attempt(loss_fn=lambda a, b: (a * numbers).square().sum() / 0, val_loader=None)


def test_a_first_loss_over_no_rows_leaves_the_weights_alone():
    with pytest.warns(UserWarning, match="training loss became nan .* mean over no rows"):
        attempt(
            loss_fn=lambda a, b: F.cross_entropy(a, b, reduction="none")[b > b.min()].mean(),
            train_loader=[(X[y == 1], y[y == 1]), (X, y)],
        )


def fill(x):
    return x.nan_to_num()


def of_known(outputs, labels):
    known = ~labels.isnan()
    return F.mse_loss(outputs[known], labels[known])


@pytest.mark.parametrize("rows", [slice(None), [*range(60), 77]])  # in the first batch or later
def test_gaps_that_model_or_loss_fill_are_let_through(rows):
    model = nn.Sequential(mlp(2, 8, 2))
    model.register_forward_pre_hook(lambda model, inputs: fill(*inputs))
    attempt(model=model, X=with_nan[rows], y=y[rows])
    attempt(X=X[rows], y=with_nan[rows], loss_fn=of_known, metric=None)


def test_gaps_that_model_or_loss_only_hide_are_not():
    model = nn.Sequential(mlp(2, 8, 2))
    model.register_forward_hook(lambda model, inputs, outputs: outputs.nan_to_num())
    with pytest.raises(ValueError, match="1 NaN"):  # the gradients of the first layer have it
        attempt(model=model, X=with_nan)
    with pytest.raises(ValueError, match="1 NaN"):
        attempt(y=with_nan, loss_fn=nn.MSELoss(), metric=None)


class Unlisted(nn.Module):
    """Has a layer in a list, and uses it with gradients or without."""

    def __init__(self, context):
        super().__init__()
        self.hidden, self.layer, self.context = [nn.Linear(2, 4)], nn.Linear(4, 2), context

    def forward(self, x):
        with self.context():
            x = self.hidden[0](x)
        return self.layer(x.relu())


def test_layers_that_the_model_does_not_list_are_warned_about():
    with pytest.warns(UserWarning, match=r"list: 2 of shape \[4, 2\], \[4\], .* nn.ModuleList"):
        attempt(model=Unlisted(torch.enable_grad))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attempt(model=Unlisted(torch.no_grad))  # as a part that others have trained


class Plain(nn.Linear):
    """Has a weight that is only a tensor, or keeps its inputs with their slopes."""

    def __init__(self, weighs):
        super().__init__(2, 2)
        self.w, self.weighs = torch.ones(2, requires_grad=True), weighs

    def forward(self, x):
        if not self.weighs:
            self.w = x = x.clone().requires_grad_()
        return super().forward(x) * (self.w if self.weighs else 1)


def test_a_weight_that_is_no_parameter_is_warned_about():
    with pytest.warns(UserWarning, match=r"list: 1 of shape \[2\], .* an nn.Parameter"):
        attempt(model=Plain(weighs=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attempt(model=Plain(weighs=False))


class Tempered(nn.CrossEntropyLoss):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, logits, yb):
        return super().forward(logits / self.temperature, yb)


def test_parameters_of_a_loss_that_the_optimizer_does_not_hold_are_warned_about():
    model, loss_fn = mlp(2, 8, 2), Tempered()
    with pytest.warns(UserWarning, match="1 trainable parameters .* such as temperature, .* stay"):
        attempt(model=model, loss_fn=loss_fn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = [*model.parameters(), *loss_fn.parameters()]
        attempt(model=model, loss_fn=loss_fn, optimizer=torch.optim.SGD(both, lr=0.1))
        attempt(model=model, loss_fn=loss_fn.requires_grad_(False))


def test_a_model_without_its_first_line_is_told_which():
    class Scale(nn.Module):
        def __init__(self):
            self.k = 2

    with pytest.raises(TypeError, match=r"begin its __init__ with super\(\).__init__\(\)"):
        train(Scale(), [(X, y)], None, LOSS, torch.optim.SGD(mlp(2, 2).parameters(), lr=0.1), 1)


def test_labels_in_doubles_that_a_loss_can_not_go_back_through_are_named():
    with pytest.raises(ValueError, match=r"labels of torch.float64, .* y.float\(\)"):
        attempt(model=mlp(2, 2), y=X.double(), loss_fn=nn.HuberLoss(), metric=None)


@pytest.mark.parametrize("name", ["train", "eval"])
def test_a_method_that_hides_the_switch_to_training_is_named(name):
    own = type("Own", (nn.Sequential,), {name: lambda self, loader: [*loader]})(mlp(2, 8, 2))
    with pytest.raises(ValueError, match=r"switched between training and evaluation .* own"):
        attempt(model=own)


class Numbered:
    """A loader that a `for` loop goes through by numbers."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return 5

    def __getitem__(self, i):
        if i * self.size >= 100:
            raise IndexError(i)
        rows = slice(i * self.size, (i + 1) * self.size)
        return X[rows], y[rows]


def test_a_sequence_of_batches_is_a_loader_if_it_ends():
    attempt(train_loader=Numbered(20))
    with pytest.raises(TypeError, match="not a loader"):
        attempt(train_loader=Numbered(10))  # a loop would go on beyond its length


def test_a_loss_without_a_value_for_one_class_is_not_taken_for_one_of_probabilities():
    def balanced(outputs, labels):
        losses = F.binary_cross_entropy_with_logits(outputs, labels, reduction="none")
        return (losses * labels).sum() / labels.sum() + (losses * (1 - labels)).mean()

    model, labels = mlp(2, 8, 1), y[:, None].float()
    val_loader = [(X[y == 0], labels[y == 0])]
    with pytest.warns(UserWarning, match="validation loss became nan"):
        train(model, [(X, labels)], val_loader, balanced, sgd(model), 1, progress=False)


def test_a_replaced_head_makes_the_optimizer_stale():
    model = mlp(2, 8, 3)
    optimizer = sgd(model)
    model[-1] = nn.Linear(8, 2)
    with pytest.raises(ValueError, match="2 of 4 parameters"):
        attempt(model=model, optimizer=optimizer)


def test_a_checkpoint_must_be_a_file_in_a_folder_that_exists(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        attempt(checkpoint=tmp_path)
    with pytest.raises(ValueError, match="doesn't exist"):
        attempt(checkpoint=tmp_path / "runs" / "a.pt")
    (tmp_path / "file").touch()
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for name in ("file/a.pt", "loop", "a" * 300, "a\0b"):
        with pytest.raises(ValueError, match="can't be a file") as caught:
            attempt(checkpoint=tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no ordinary file"):
        attempt(checkpoint=tmp_path / "pipe")
    attempt(checkpoint=tmp_path / "without_a_suffix")


class Squares(Dataset):
    """A data set of one's own, which draws random numbers like an augmentation does."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.rand(2), index % 2


def test_looking_at_the_data_draws_no_random_numbers_and_moves_no_statistics():
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    statistics = model[1].running_mean.clone()
    loader = DataLoader(Squares(), batch_size=8, shuffle=True)
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="val_loader is empty"):
        attempt(model=model, train_loader=loader, val_loader=Empty())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(statistics, model[1].running_mean) and model.training


class Empty:
    """A loader that has no length to tell that it is empty."""

    def __iter__(self):
        return iter(())


def repaired(rows):
    xb, yb = default_collate(rows)
    return xb.nan_to_num(), yb


@pytest.mark.parametrize(
    "arguments",
    [
        dict(y=F.one_hot(y).float(), metric=None),  # probabilities
        dict(y=torch.where(torch.arange(100) == 3, -100, y)),  # CrossEntropyLoss ignores -100
        dict(model=nn.Sequential(nn.Flatten(), mlp(4, 8, 2)), X=torch.randn(100, 2, 2)),
        dict(model=nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2)), X=torch.randint(5, (100, 2))),
        dict(model=mlp(2, 8, 1), loss_fn=lambda p, t: F.mse_loss(p.squeeze(1), t), y=X[:, 0], metric=None),
        dict(model=mlp(2, 8, 1), loss_fn=lambda p, t: (p[:, 0] - t).square().mean(), y=1e6 + 1e3 * X[:, 0], metric=None, max_grad_norm=1.0),
        dict(model=mlp(2, 8, 1), loss_fn=lambda p, t: -p.mean(), metric=None),
        dict(model=mlp(2, 8, 1), loss_fn=lambda p, t: (p[:, 0].sort()[0] - t.sort()[0]).abs().mean(), y=X[:, 0], metric=None),
        REGRESSION | dict(metric=lambda p, t: (p.squeeze(1) - t).abs().mean()),
        REGRESSION | dict(metric=lambda p, t: p.mean() / t.mean()),
        REGRESSION | dict(metric=lambda p, t: (p.flatten().sort()[0] - t.sort()[0]).abs().mean()),
        dict(train_loader=DataLoader(TensorDataset(X, y), batch_sampler=[[0, 1], [5, 9]])),
        dict(max_grad_norm=float("inf")),
        REGRESSION | dict(model=nn.Sequential(SINGLE, nn.Flatten(0)), loss_fn=lambda a, b: (a - b).abs().mean(), metric=None),
        REGRESSION | dict(loss_fn=lambda a, b: a, model=nn.Sequential(SINGLE, Mean()), metric=None),
        REGRESSION | dict(metric=lambda true, predicted: metrics.mean_squared_error(true, predicted)),
        dict(model=nn.Sequential(mlp(2, 8, 2), nn.LogSoftmax(1)), loss_fn=nn.NLLLoss()),
        dict(
            model=nn.Sequential(nn.Linear(1, 3), nn.LogSoftmax(-1)), X=torch.randn(100, 6, 1), y=torch.full((100, 6, 3), 1 / 3),
            loss_fn=nn.KLDivLoss(reduction="batchmean"), metric=None,
        ),
        dict(train_loader=DataLoader(ROWS, batch_size=8, sampler=WeightedRandomSampler(torch.ones(100), 40))),
        dict(train_loader=DataLoader(Subset(ROWS, np.arange(50)[::-1]), batch_size=8)),
        dict(loss_fn=nn.MultiLabelSoftMarginLoss(), y=F.one_hot(y).float()),
        dict(model=mlp(2, 8, 1), loss_fn=nn.BCEWithLogitsLoss(), y=y[:, None].float()),
        dict(model=mlp(2, 8, 3), loss_fn=nn.BCEWithLogitsLoss(pos_weight=torch.ones(3)), y=torch.randint(2, (100, 3)).float()),
        dict(model=mlp(2, 8, 1), loss_fn=nn.SoftMarginLoss(), y=2 * y[:, None] - 1, metric=None),
        dict(model=mlp(2, 8, 1), loss_fn=nn.PoissonNLLLoss(), y=y[:, None]),
        dict(train_loader=DataLoader(TensorDataset(with_nan, y), batch_size=10, collate_fn=repaired)),
        dict(model=NORMED, train_loader=tensor_loader(X[:97], y[:97], batch_size=32, drop_last=True)),
        dict(val_loader=None),
        dict(train_loader=DataLoader(Squares(), batch_size=8, num_workers=1)),
    ],
    ids=["probabilities", "ignored labels", "flatten", "embedding", "own loss", "own loss of large numbers", "a critic's loss", "a loss between distributions", "a metric that squeezes", "a metric of means", "a metric between distributions", "batches by number", "no limit for gradients", "one output without a dimension", "a model that returns its loss", "a metric that does not mind the order", "logarithms", "logarithms, classes last", "weighted rows", "rows backwards", "many labels", "one logit", "a weight for each output", "signs", "counts", "repaired on the way", "BatchNorm", "no validation", "workers"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*worker processes")
def test_unusual_but_right_input_is_accepted(arguments):
    attempt(**arguments)


def contrastive(outputs, y):
    """Every row against all others of its batch, as in NT-Xent."""
    z = F.normalize(outputs, dim=1)
    alike = (z @ z.T / 0.5).masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    same = (y[:, None] == y) & ~torch.eye(len(z), dtype=torch.bool)
    return -(alike.log_softmax(1) * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


def dice(outputs, y):
    p = outputs.sigmoid()
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def concordance(outputs, y):
    apart = (outputs.mean() - y.mean()) ** 2
    covariance = ((outputs - outputs.mean()) * (y - y.mean())).mean()
    return 1 - 2 * covariance / (outputs.var() + y.var() + apart)


def partial_likelihood(risks, times):
    """Of Cox: each row against those that lived longer."""
    risks = risks[times.flatten().argsort(descending=True)]
    return -(risks - risks.logcumsumexp(0)).mean()


def hardest_quarter(outputs, y):
    return F.cross_entropy(outputs, y, reduction="none").topk(len(y) // 4).values.mean()


def variational(outputs, y):
    mean, log_variance = outputs.chunk(2, dim=1)
    drawn = mean + torch.randn_like(mean) * (log_variance / 2).exp()
    return F.mse_loss(drawn, y) - 0.005 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


def discrepancy(outputs, y):
    """Of two samples, by a Gaussian kernel."""

    def kernel(a, b):
        return torch.exp(-(torch.cdist(a, b) ** 2) / 2).mean()

    return kernel(outputs, outputs) + kernel(y, y) - 2 * kernel(outputs, y)


@pytest.mark.parametrize(
    ("loss_fn", "width", "labels"),
    [
        (contrastive, 3, y),
        (dice, 1, y[:, None].float()),
        (concordance, 1, X[:, :1]),
        (partial_likelihood, 1, X[:, :1].abs()),
        (hardest_quarter, 2, y),
        (variational, 2, X[:, :1]),
        (discrepancy, 2, X),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_losses_that_are_no_mean_over_single_rows_are_accepted_in_silence(loss_fn, width, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attempt(model=mlp(2, 8, width), loss_fn=loss_fn, y=labels, metric=None)


VAL = tensor_loader(X, y, batch_size=10)  # ten batches, each smaller than what a metric is given


def of_the_second_half(outputs, labels):
    return (outputs.argmax(1) == labels)[torch.arange(len(X)) >= 50].float().mean()


def late_answers(outputs, labels):
    late = labels[50:]
    return sum((outputs.argmax(1)[50:] == late).tolist()) / len(late)


def spread(outputs, labels):
    return outputs[0].std() / outputs[::10, 0].std()  # PyTorch warns for a single number


def test_a_metric_that_draws_rows_is_not_taken_for_one_that_compares_all_with_all():
    for seed in range(40):  # some draws look like it
        rng = np.random.default_rng(seed)

        def bootstrap(outputs, labels, rng=rng):
            rows = rng.integers(0, len(labels), 10)
            return (outputs[rows].argmax(1) == labels[rows]).float().mean()

        own_functions.check_pairs("metric", bootstrap, torch.randn(16, 2), torch.arange(16) % 2)


@pytest.mark.parametrize("metric", [of_the_second_half, late_answers, spread])
def test_a_metric_that_only_fits_all_rows_is_not_judged_by_one_batch(metric):
    model = mlp(2, 8, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(model, VAL, VAL, LOSS, sgd(model), 1, metric=metric, progress=False)
    assert history["val_acc"][0] >= 0
