"""What the loop doctor costs

The same loop, watched and not watched: with `with LoopDoctor():`, with PyTorch's anomaly \
detection, and with public tools that look for bugs while a loop runs, each as its own page \
recommends. AdamW, a validation after each epoch, one thread, CPU time, the tool's report at the \
end included. All give bit-identical weights.

- two moons: MLP 2-64-2, 1600 rows, batch 64
- larger: MLP 256-512-512-10, 5120 rows, batch 256
- by hand: MLP 2-64-2 on batches of 64 that are indexed, weights changed without an optimizer, no \
validation; a loop of about a tenth of a second, for what needs no optimizer

torch-audit looks at every thousandth step unless told otherwise; it is measured as it comes and, \
like the others, at every step. torch-preflight reads source code and TrainCheck compares a run \
with recorded runs that were correct; they add nothing to a loop that could be timed here.
"""

import contextlib
import io
import warnings
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import Row, Table, cpu_seconds, in_rounds, milliseconds, ratios
from course_utils import LoopDoctor, mlp, moons

ROUNDS = 9

READING = """\
The doctor looks at every step, and costs less than anomaly detection, torchmortem, and torch-audit \
at every step, except in short runs: it pays most for the first steps and passes, which it looks at \
closely, so that the longer the run, the smaller its share. The aims, 1.2x over 60 epochs of the \
small loop, 1.05x over 8 of the larger one and 1.5x by hand, are met with little to spare, and single \
rounds differ by more. What is left is a few Python calls for each event of a step, which weigh where \
a step takes less than a millisecond. What a tool finds for its price stands \
[above](#what-the-loop-doctor-and-other-tools-find).
"""


class Silent:
    """What a tool is told by the loop; most need no telling."""

    def after_backward(self, step, loss):
        pass

    def after_step(self, loss):
        pass


@contextmanager
def nothing(model, optimizer):
    yield Silent()


@contextmanager
def doctor(model, optimizer):
    with LoopDoctor(verbose=False):
        yield Silent()


@contextmanager
def anomaly(model, optimizer):
    with torch.autograd.detect_anomaly(check_nan=True):
        yield Silent()


@contextmanager
def gradsnitch(model, optimizer):
    import gradsnitch

    monitor = gradsnitch.watch(model, optimizer, check_every=50)

    class Told(Silent):
        def after_backward(self, step, loss):
            monitor.log(step, loss.item())

    yield Told()
    monitor.report()


@contextmanager
def torchmortem(model, optimizer):
    from torchmortem import Autopsy

    with Autopsy(model, optimizer=optimizer) as autopsy:

        class Told(Silent):
            def after_step(self, loss):
                autopsy.step(loss=loss.item())

        yield Told()


@contextmanager
def torch_audit(model, optimizer, **options):
    from torch_audit import autopatch

    auditor = autopatch(model, optimizer=optimizer, **options)
    yield Silent()
    auditor.finish(report=False)
    auditor.unpatch()


def torch_audit_every_step(model, optimizer):
    return torch_audit(model, optimizer, every_n_steps=1)


BASE = "the loop alone"
CONTESTANTS = {
    BASE: nothing,
    "`LoopDoctor`": doctor,
    "`detect_anomaly`": anomaly,
    "gradsnitch": gradsnitch,
    "torch-audit, as it comes": torch_audit,
    "torch-audit, every step": torch_audit_every_step,
    "torchmortem": torchmortem,
}
WITHOUT_OPTIMIZER = BASE, "`LoopDoctor`", "`detect_anomaly`"
BY_HAND_STEPS = 700


def loops():
    """(title, contestants, loop, its arguments, its steps) of each table."""
    two_moons = (*moons(2000, seed=0), 1600, 64, (2, 64, 2))
    X = torch.randn(6400, 256, generator=torch.Generator().manual_seed(0))
    larger = (X, X[:, :10].argmax(1), 5120, 256, (256, 512, 512, 10))
    for name, task, lengths in (
        ("Two moons", two_moons, (60, 6)),
        ("Larger network", larger, (8, 1)),
    ):
        for epochs in lengths:
            title = f"{name}, watched, {epochs} epoch{'s' * (epochs > 1)}"
            steps = epochs * -(-task[2] // task[3])
            yield title, CONTESTANTS, with_optimizer, (*task, epochs), steps
    free = {name: CONTESTANTS[name] for name in WITHOUT_OPTIMIZER}
    yield "By hand, watched", free, by_hand, (*two_moons[:2], BY_HAND_STEPS), BY_HAND_STEPS


def with_optimizer(watching, X, y, n, batch_size, widths, epochs):
    """The weights after training from the same start."""
    torch.manual_seed(0)
    model = mlp(*widths)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    train_loader = DataLoader(TensorDataset(X[:n], y[:n]), batch_size=batch_size, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[n:], y[n:]), batch_size=256)
    step = 0
    with watching(model, optimizer) as told:
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(xb), yb)
                loss.backward()
                told.after_backward(step, loss)
                optimizer.step()
                told.after_step(loss)
                step += 1
            model.eval()
            with torch.no_grad():
                for xb, yb in val_loader:
                    F.cross_entropy(model(xb), yb)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def by_hand(watching, X, y, steps):
    """The same for a loop without optimizer and DataLoader."""
    torch.manual_seed(0)
    model = mlp(2, 64, 2)
    with watching(model, None):
        for _ in range(steps):
            rows = torch.randint(len(X), (64,))
            F.cross_entropy(model(X[rows]), y[rows]).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
                    p.grad = None
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@contextmanager
def silence():
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def measure():
    for title, contestants, loop, task, steps in loops():
        agreed, left_out = {}, {}
        weights = loop(nothing, *task)
        for name, watching in contestants.items():
            try:
                with silence():
                    same = torch.equal(loop(watching, *task), weights)
            except ImportError as error:
                left_out[name] = str(error)
                continue
            if same:
                agreed[name] = watching
            else:
                left_out[name] = "It changes the weights."
        with silence():
            times = in_rounds(
                {
                    name: lambda watching=watching, loop=loop, task=task: cpu_seconds(
                        loop, watching, *task
                    )
                    for name, watching in agreed.items()
                },
                ROUNDS,
            )
        rows = [
            Row(
                name,
                ratios(seconds, times[BASE]),
                (milliseconds([second / steps for second in seconds]),),
                ours=contestants[name] is doctor,
            )
            for name, seconds in times.items()
        ]
        yield Table(title, rows, ("a step",), BASE, left_out)
