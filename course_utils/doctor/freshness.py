"""Data that should be new in every batch or epoch, and is not."""

import random
import weakref

import numpy as np
import torch

from .detector import HEARD_ENOUGH, Detector
from .findings import ERROR, WARNING
from .run import tensors_in

_LOOKED_AT = 256  # backwards, from the first on
_BATCHES = 4  # in a row, on one and the same tensor, are no coincidence


class BatchNotUsed(Detector):
    bug, severity = "batch-not-used", ERROR
    symptom = "the loss falls, often to 0, but only for rows that come again and again"
    fix = "use the batch that the loop hands out: loss_fn(model(xb), yb) with the names of the for line"

    def __init__(self, run):
        super().__init__(run)
        self.latest = None  # a weak reference to what the models of this pass were given
        self.one_pass = None
        self.batches = set()  # in which it was the same tensor
        self.fresh = False  # whether it was another one at any time

    def forward(self, call):
        if self.run.backwards > _LOOKED_AT:
            return HEARD_ENOUGH
        one_pass, x = call.one_pass, call.x
        if one_pass is None or not call.has_graph or x is None or self.said or x.requires_grad:
            return
        base = x if x._base is None else x._base
        if one_pass is not self.one_pass:
            self.one_pass, self.latest = one_pass, weakref.ref(base)
            self.batches, self.fresh = set(), False
        known = self.latest()
        own = any(t is x or t is base for t in tensors_in(self.run.batch))
        if known is not base or own or len(call.args) > 1:
            self.fresh = True
        self.batches.add(call.batch_number)

    def judge(self, run):
        one_pass = self.one_pass
        enough = one_pass is not None and one_pass.backwards >= _BATCHES <= len(self.batches)
        if enough and not self.fresh and not run.grad_calls:
            return self.found(
                f"in {len(self.batches)} batches of a pass the model was given one and the same "
                "tensor, which is not the batch, so the loss doesn't depend on what the loader "
                "hands out",
                run.lines.get("backward"),
            )


class SameAugmentation(Detector):
    bug, severity = "same-augmentation", WARNING
    symptom = "the random changes of the data are the same in every epoch, and in every worker"
    fix = (
        "draw from torch's own generator in __getitem__ (every worker gets a new seed in each "
        "epoch), or give the generator a new seed in worker_init_fn"
    )

    def __init__(self, run):
        super().__init__(run)
        self.passes = weakref.WeakKeyDictionary()  # loader -> passes that trained
        self.names = weakref.WeakKeyDictionary()  # loader -> name of its data set's generator

    def pass_end(self, one_pass):
        loader = one_pass.loader()
        if loader is None or not one_pass.trains or not getattr(loader, "num_workers", 0):
            return
        self.passes[loader] = self.passes.get(loader, 0) + 1
        if not loader.persistent_workers and loader.worker_init_fn is None:
            self.names[loader] = _generator_used(loader.dataset)

    def judge(self, run):
        for loader, name in self.names.items():
            times = self.passes[loader]
            if name and times >= 2:
                data = type(loader.dataset).__name__
                return self.found(
                    f"{data}.{name} is a random generator that is copied to the {loader.num_workers} "
                    f"workers at the start of each epoch, so in {times} epochs all of them drew the "
                    "same numbers"
                )


def _generator_used(dataset):
    """The attribute of a data set that is a generator and that its __getitem__ names, or ""."""
    code = getattr(getattr(type(dataset), "__getitem__", None), "__code__", None)
    kinds = np.random.Generator, np.random.RandomState, random.Random, torch.Generator
    for name, value in getattr(dataset, "__dict__", {}).items():
        if isinstance(value, kinds) and code is not None and name in code.co_names:
            return name
    return ""
