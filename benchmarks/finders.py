"""Tools that look for bugs in training loops, each used on an unchanged loop as its page says.

A tool asks its user for a line here and there, and for the model, the optimizer, a batch or the
loss. `Meeting` and `attend` stand in for that user: they step in where the loop calls its model,
`backward` and `step`, and hand over what is there.
"""

import contextlib
import io
import random
import re
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from course_utils import LoopDoctor

LOSSES = (
    "cross_entropy",
    "nll_loss",
    "kl_div",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)


class Stop(BaseException):
    """Ends a loop early; no `except Exception` of the loop holds it up."""


class User:
    """What a loop calls while it runs inside `in_the_loop`; each method does what the loop would."""

    def __init__(self):
        self.optimizers = []

    def forward(self, call, model, args, kwargs):
        """The outermost call of a module with parameters while gradients are recorded."""
        return call(model, *args, **kwargs)

    def loss(self, function, args, kwargs):
        """A call of one of `LOSSES`."""
        return function(*args, **kwargs)

    def backward(self, backward, loss, args, kwargs):
        return backward(loss, *args, **kwargs)

    def stepped(self, optimizer, args, kwargs):
        """After `optimizer.step()`."""


def seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@contextmanager
def silence():
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def in_the_loop(user):
    call, backward, make = nn.Module.__call__, torch.Tensor.backward, Optimizer.__init__
    losses = {name: getattr(F, name) for name in LOSSES}
    inside = False

    def forward(model, *args, **kwargs):
        nonlocal inside
        if inside or not torch.is_grad_enabled() or next(model.parameters(), None) is None:
            return call(model, *args, **kwargs)
        inside = True
        try:
            return user.forward(call, model, args, kwargs)
        finally:
            inside = False

    def built(optimizer, *args, **kwargs):
        make(optimizer, *args, **kwargs)
        user.optimizers.append(optimizer)

    nn.Module.__call__, Optimizer.__init__ = forward, built
    torch.Tensor.backward = lambda loss, *a, **k: user.backward(backward, loss, a, k)
    for name, function in losses.items():
        setattr(F, name, lambda *a, function=function, **k: user.loss(function, a, k))
    hook = register_optimizer_step_post_hook(user.stepped)
    try:
        yield
    finally:
        hook.remove()
        nn.Module.__call__, torch.Tensor.backward, Optimizer.__init__ = call, backward, make
        for name, function in losses.items():
            setattr(F, name, function)


class Modules(User):
    """Which modules a loop trains."""

    def __init__(self, run):
        super().__init__()
        self.modules = []
        seed()
        with in_the_loop(self):
            run()

    def forward(self, call, model, args, kwargs):
        if not any(model is known for known in self.modules):
            self.modules.append(model)
        return call(model, *args, **kwargs)


class Meeting(User):
    """A loop that stands before its first training step, and what its user has at hand there.

    `loss_fn(outputs, *targets)` is the loss as the loop computes it. Where that is a loss function
    of PyTorch applied to the model's answers, it is that function; else `targets` is empty and
    the loop itself runs once more, up to its first `backward`, with `outputs` in place of what its
    own model answers.
    """

    def __init__(self, run):
        super().__init__()
        self.run, self.model, self.loss_fn, self.targets = run, None, self.loss_of, ()
        seed()
        with contextlib.suppress(Stop), in_the_loop(self):
            run()
        self.optimizer = self.optimizers[-1]
        _Plain(self)

    def forward(self, call, model, args, kwargs):
        self.model, self.inputs, self.named = model, args, kwargs
        raise Stop

    def loss_of(self, outputs):
        return _Again(self, outputs).result

    def whole_loss(self):
        return self.loss_fn(self.model(*self.inputs, **self.named), *self.targets)


class _Again(User):
    """The loop once more up to its first backward, with a given answer of a given model."""

    def __init__(self, meeting, outputs):
        super().__init__()
        self.meeting, self.outputs, self.result = meeting, outputs, None
        states = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(), contextlib.suppress(Stop), in_the_loop(self):
            seed()
            meeting.run()
        random.setstate(states[0])
        np.random.set_state(states[1])

    def forward(self, call, model, args, kwargs):
        outputs, self.outputs = self.outputs, None
        return outputs if outputs is not None else call(self.meeting.model, *args, **kwargs)

    def backward(self, backward, loss, args, kwargs):
        self.result = loss
        raise Stop


class _Plain(User):
    """Gives a meeting the loss function and the targets where the loop calls nothing else."""

    def __init__(self, meeting):
        super().__init__()
        self.meeting, self.answer, self.calls = meeting, None, []
        seed()
        with contextlib.suppress(Stop), in_the_loop(self):
            meeting.run()

    def forward(self, call, model, args, kwargs):
        self.answer = call(model, *args, **kwargs)
        return self.answer

    def loss(self, function, args, kwargs):
        result = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, result))
        return result

    def backward(self, backward, loss, args, kwargs):
        for function, given, options, result in self.calls:
            # nn.CrossEntropyLoss and its like name all their options.
            usual = set(map(str, options.values())) <= {"None", "-100", "mean", "0.0", "1.0"}
            if result is loss and len(given) == 2 and given[0] is self.answer and usual:
                self.meeting.loss_fn, self.meeting.targets = function, (given[1],)
        raise Stop


class Tool(User):
    """A tool that is told of the steps of a loop while it runs."""

    model = None
    steps = 0

    def forward(self, call, model, args, kwargs):
        if self.model is None:
            self.model, self.optimizer = model, self.optimizers[-1]
            self.start()
        self.inputs, self.targets = args, None
        return call(model, *args, **kwargs)

    def loss(self, function, args, kwargs):
        self.targets = args[1]
        return function(*args, **kwargs)

    def backward(self, backward, loss, args, kwargs):
        backward(loss, *args, **kwargs)
        self.last = loss.item()
        self.after_backward()

    def stepped(self, optimizer, args, kwargs):
        if self.model is not None:
            self.after_step()
            self.steps += 1

    def start(self):
        pass

    def after_backward(self):
        pass

    def after_step(self):
        pass


def kind(words):
    """A sentence without what differs from loop to loop: numbers and names of parameters."""
    return " ".join(word for word in words.split() if not re.search(r"[\d.]\S*$", word))


# Tools for a running loop ----------------------------------------------------------------------


class TorchAudit(Tool):
    def start(self):
        from torch_audit import autopatch

        self.auditor = autopatch(self.model, optimizer=self.optimizer, every_n_steps=1)

    def findings(self):
        found = self.auditor.finish(report=False).findings
        self.auditor.unpatch()
        found = [f for f in found if not f.rule_id.startswith("TA2")]  # what suits a GPU
        return [(f.rule_id, f.message) for f in found if f.severity.value != "INFO"]


class TorchMortem(Tool):
    def start(self):
        from torchmortem import Autopsy

        self.autopsy = Autopsy(self.model, optimizer=self.optimizer).__enter__()

    def after_step(self):
        self.autopsy.step(loss=self.last)

    def findings(self):
        self.autopsy.__exit__(None, None, None)
        found = self.autopsy.get_report().findings
        return [
            (f.title.split(" in ")[0], f"{f.title}: {f.summary}") for f in found if f.severity > 0
        ]


class GradSnitch(Tool):
    def start(self):
        import gradsnitch

        self.monitor = gradsnitch.watch(self.model, self.optimizer, check_every=50)

    def after_backward(self):
        self.monitor.log(self.steps, self.last)

    def findings(self):
        return [(f.code, str(f)) for f in self.monitor.report()]


class TrainingDoctor(Tool):
    def start(self):
        from training_doctor import Doctor

        self.doctor = Doctor()

    def after_step(self):
        self.doctor.log(step=self.steps, loss=self.last, lr=self.optimizer.param_groups[0]["lr"])

    def findings(self):
        found = self.doctor.diagnoses
        return [(d.problem, str(d)) for d in found if d.severity.value != "info"]


class TrainTools(Tool):
    def start(self):
        from traintools import BatchInspector, GradientHealthMonitor

        self.batches, self.gradients, self.said = BatchInspector(), GradientHealthMonitor(), []

    def after_backward(self):
        rate = self.optimizer.param_groups[0]["lr"]
        self.said += self.batches.inspect(self.inputs[0], self.targets, step=self.steps).warnings
        self.said += self.gradients.inspect(self.model, step=self.steps, lr=rate).warnings

    def findings(self):
        return [(kind(said), said) for said in self.said]


def attend(tool):
    """Finds with a `Tool` in a loop."""

    def find(loop):
        told = tool()
        with in_the_loop(told):
            loop.run()
        return told.findings()

    return find


# Tools for one batch before training -----------------------------------------------------------


def torchtest2(meeting):
    import torchtest2

    inputs = meeting.inputs if len(meeting.inputs) > 1 else meeting.inputs[0]
    report = torchtest2.check_model(
        meeting.model,
        inputs,
        *meeting.targets,
        loss_fn=meeting.loss_fn,
        optimizer=meeting.optimizer,
    )
    return [(f"{r.name} {r.status}", r.message) for r in report.failures + report.warnings]


def guardtower(meeting):
    import guardtower

    report = guardtower.audit(
        meeting.model, meeting.whole_loss, optimizer=meeting.optimizer, inputs=meeting.inputs
    )
    return [(f.catalog_id or f.check, f.message) for f in report.errors + report.warnings]


def torchdiag(meeting):
    import torchdiag

    model, (x,) = meeting.model, meeting.inputs
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        torchdiag.summary(model)
        torchdiag.check_dead_neurons(model, x)
        torchdiag.verify_step(
            model,
            meeting.optimizer,
            meeting.loss_fn if meeting.targets else lambda outputs, _: meeting.loss_fn(outputs),
            x,
            *(meeting.targets or (None,)),
        )
        meeting.whole_loss().backward()
        torchdiag.check_gradients(model)
    said = [line.strip(" •") for line in printed.getvalue().splitlines() if "  • " in line]
    return [(kind(line), line) for line in said]


def before(find):
    return lambda loop: find(Meeting(loop.run))


# Those that need no user -----------------------------------------------------------------------


def loop_doctor(loop):
    with LoopDoctor(verbose=False) as doctor:
        loop.run()
    return [(finding.bug, str(finding)) for finding in doctor.findings]


def pytorch(loop):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run()
    return [(kind(str(w.message)), str(w.message)) for w in caught]


def torch_preflight(loop):
    from torch_preflight.config import Config
    from torch_preflight.engine import check_source

    found, _ = check_source("train.py", loop.source, Config())
    return [(d.code, d.message) for d in found if d.severity.value != "note"]


class Finder(NamedTuple):
    """`find` takes a loop and returns kind and words of each finding that is a warning or worse."""

    find: Callable
    needs: str


FINDERS = {
    "`LoopDoctor`": Finder(loop_doctor, "a line around the loop, or none"),
    "PyTorch's own warnings": Finder(pytorch, "nothing"),
    "torchtest2": Finder(
        before(torchtest2),
        "a call before training, with model, optimizer, a batch, and the loss as a function",
    ),
    "guardtower": Finder(
        before(guardtower),
        "a call before training, with model, optimizer, a batch, and the loss as a function",
    ),
    "torchdiag": Finder(
        before(torchdiag),
        "four calls around a first step, with model, optimizer, a batch, and the loss as a function",
    ),
    "torch-audit": Finder(attend(TorchAudit), "three lines, with model and optimizer"),
    "torchmortem": Finder(
        attend(TorchMortem), "three lines, one in each step, with model, optimizer and loss"
    ),
    "gradsnitch": Finder(
        attend(GradSnitch), "three lines, one in each step, with model, optimizer and loss"
    ),
    "training-doctor": Finder(
        attend(TrainingDoctor), "two lines, one in each step, with loss and learning rate"
    ),
    "traintools": Finder(
        attend(TrainTools), "four lines, two in each step, with model, batch and learning rate"
    ),
    "torch-preflight": Finder(torch_preflight, "the text of the program"),
}
