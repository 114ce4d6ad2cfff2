"""Checks for lesson 10, beyond one device."""

import copy
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

import torch
from torch import nn

from ..data import moons
from ..models import mlp
from .exercise import exercise
from .feedback import Mistake, NotAttempted, as_number, call, check, compare
from .values import close


def _flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _shares():
    for rows, shapes in (((5, 20, 7), ((3, 2), (3,))), ((9, 1, 4, 2), ((4,), (2, 4)))):
        yield ([([torch.randn(shape) for shape in shapes], n) for n in rows],)


def _averaged(attempt, shares):
    before = copy.deepcopy(shares)
    result = call(attempt, shares)
    if not all(close(_flat(a), _flat(b)) for (a, _), (b, _) in zip(shares, before, strict=True)):
        raise Mistake(
            "Your function changed the gradients it was given (+= and /= work in place). Compute "
            "new tensors instead."
        )
    if hasattr(result, "__next__"):
        result = list(result)
    if not isinstance(result, list | tuple) or not all(torch.is_tensor(part) for part in result):
        raise Mistake("Return a list of tensors, one for each parameter.")
    shapes, wanted = ([list(grad.shape) for grad in grads] for grads in (result, shares[0][0]))
    if shapes != wanted:
        raise Mistake(
            f"The processes have two gradients each, of shapes {wanted[0]} and {wanted[1]}; you "
            f"returned shapes {shapes}. Average parameter by parameter, over the processes."
        )
    yield f"For {len(shares)} processes the gradient of the whole batch", _flat(result)


@exercise(
    cases=_shares,
    observe=_averaged,
    praise="Every row counts once, whichever process it went to: the gradient of the whole batch.",
)
def average_gradients(shares):
    """`average_gradients([(gradients, rows), …])` returns those of the whole batch."""
    return _weighted(lambda rows: rows / rows.sum())(shares)


def _weighted(weights):
    """Adds up the gradients with the `weights` of a tensor of all row counts."""

    def attempt(shares):
        factors = weights(torch.tensor([float(n) for _, n in shares]))
        parameters = zip(*[gradients for gradients, _ in shares], strict=True)
        return [torch.tensordot(factors, torch.stack(grads), dims=1) for grads in parameters]

    return attempt


@average_gradients.variant
def with_loops(shares):
    rows = sum(n for _, n in shares)
    average = []
    for i in range(len(shares[0][0])):
        total = torch.zeros_like(shares[0][0][i])
        for gradients, n in shares:
            total += gradients[i] * n / rows
        average.append(total)
    return tuple(average)


average_gradients.known(
    "That is the plain average. Shares have different numbers of rows, so each must count with "
    "its number of rows.",
    _weighted(lambda rows: torch.ones_like(rows) / len(rows)),
    "That is the plain sum of the gradients.",
    _weighted(torch.ones_like),
    "The gradients are weighted by their rows, but the sum still has to be divided by all rows.",
    _weighted(lambda rows: rows),
    "You divided by the number of processes; divide by the number of rows of all of them, "
    "since you have weighted by rows.",
    _weighted(lambda rows: rows / len(rows)),
    "Those are the gradients of the first process alone.",
    lambda shares: shares[0][0],
    "You divided by the rows instead of multiplying: the largest share must count most.",
    _weighted(lambda rows: 1 / rows),
)


@dataclass(eq=False)
class _Setting:
    size: int  # processes
    optimizer: Callable


def _settings():
    yield (_Setting(3, lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.9)),)
    yield (_Setting(2, lambda parameters: torch.optim.AdamW(parameters, lr=0.05)),)


_APART = (
    "After your step the processes have different weights: each has stepped with a gradient of its "
    "own. What must be the same everywhere before optimizer.step() is the .grad of every parameter."
)
_EARLY = (
    "The result is right, but the weights move before the last gradient has been reduced. First "
    "all_reduce for every gradient, then the step, and leave the weights to the optimizer."
)


def _two_steps(attempt, setting):
    X, y = moons(72, noise=0.3, seed=4)
    start = mlp(2, 6, 2)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give
    models = [copy.deepcopy(start) for _ in range(setting.size)]
    optimizers = [setting.optimizer(model.parameters()) for model in models]
    processes, early = _Processes(setting.size), []

    def work(rank, all_reduce):
        losses = []
        for xb, yb in zip(X.split(36), y.split(36), strict=True):
            before = _flat(models[rank].parameters())

            def reduce(tensor, before=before):
                early.append(not close(_flat(models[rank].parameters()), before))
                all_reduce(tensor)

            rows = slice(rank * 36 // setting.size, (rank + 1) * 36 // setting.size)
            losses.append(
                call(attempt, models[rank], xb[rows], yb[rows], loss_fn, optimizers[rank], reduce,
                     setting.size)
            )  # fmt: skip
        return losses

    losses = processes.run(work)
    _look_at_calls(processes, start)
    weights = [_flat(model.parameters()) for model in models]
    named = type(optimizers[0]).__name__
    apart = max((one - weights[0]).abs().max().item() for one in weights)
    yield "The largest difference between the weights of two processes", apart, _APART
    yield f"The weights of all processes after two steps with {named}", weights[0]
    yield "That weights move before the last all_reduce", any(early), _EARLY
    loss = losses[0][0]
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        raise Mistake("The step is right, but the loss still has its graph: loss.detach().")
    value = as_number(loss, "The loss you return", plain=False)
    own = loss_fn(start(X[: 36 // setting.size]), y[: 36 // setting.size]).item()
    if close(value, loss_fn(start(X[:36]), y[:36]).item()):
        value = own  # that of the rows of all processes is welcome, too
    yield "The step is right. The loss of this process's rows before the step", value


def _look_at_calls(processes, model):
    """Raise a Mistake if all_reduce was given something else than every gradient once a step."""
    reduced = processes.reduced
    if not reduced:
        raise Mistake(
            "all_reduce was never called, so each process trains for itself. Call it on every "
            "parameter's .grad."
        )
    if all(tensor.ndim == 0 for tensor in reduced):
        raise Mistake(
            "You gave all_reduce the loss. What must be averaged are the gradients: "
            "all_reduce(parameter.grad) for every parameter, after backward()."
        )
    sizes, wanted = ({tensor.numel() for tensor in some} for some in (reduced, model.parameters()))
    if wanted & sizes and not wanted <= sizes:
        raise Mistake(
            "all_reduce got the gradients of some parameters only. Call it for every parameter, in "
            "a loop over model.parameters()."
        )
    calls = sum(tensor.ndim > 0 for tensor in reduced) / (2 * processes.size)
    if calls > len(list(model.parameters())):
        raise Mistake(
            f"all_reduce ran {calls:g} times in one step of one process, and there are "
            f"{len(list(model.parameters()))} gradients. Once for each is enough: what has been "
            "reduced is the same everywhere."
        )


class _Processes:
    """Threads that play processes, with an `all_reduce` of their own."""

    def __init__(self, size):
        self.size, self.reduced = size, []

    def run(self, work):
        """What `work(rank, all_reduce)` returns for each rank; its exception if it raises one."""
        self._changed = threading.Condition()
        self._brought = defaultdict(dict)  # number of the call -> rank -> tensor
        self._calls, self._ended = [0] * self.size, set()
        results, errors = [None] * self.size, {}

        def play(rank):
            try:
                results[rank] = work(rank, lambda tensor: self._all_reduce(rank, tensor))
            except Exception as error:
                errors[rank] = error
            with self._changed:
                self._ended.add(rank)
                self._changed.notify_all()

        threads = [threading.Thread(target=play, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in sorted(errors.values(), key=lambda error: isinstance(error, _Alone)):
            raise error  # that others were left alone is only its consequence
        return results

    def _all_reduce(self, rank, tensor):
        if tensor is None:
            raise Mistake(
                "all_reduce was given None: there is no gradient yet. Call it after backward()."
            )
        if not isinstance(tensor, torch.Tensor):
            raise Mistake(f"all_reduce takes one tensor; it got a {type(tensor).__name__}.")
        with self._changed:
            brought = self._brought[self._calls[rank]]
            self._calls[rank] += 1
            brought[rank] = tensor.detach().clone()
            self.reduced.append(brought[rank])
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(brought) == self.size or self._ended - set(brought))
            if len(brought) < self.size:
                raise _Alone(
                    "The processes wait for each other for ever: one called all_reduce, another "
                    "did not. Every process must call it equally often."
                )
        with torch.no_grad():
            tensor.copy_(sum(brought[other] for other in range(self.size)))


class _Alone(Mistake):
    """A process that waits for one that has come to its end."""


@exercise(
    cases=_settings,
    observe=_two_steps,
    praise="Several processes make the step of one, with SGD and with AdamW. That is what DDP does.",
)
def step_together(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    """`step_together(model, xb, yb, loss_fn, optimizer, all_reduce, world_size)`"""
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
        parameter.grad.div_(world_size)
    optimizer.step()
    return loss.item()


@step_together.variant
def loss_divided_first(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    loss = loss_fn(model(xb), yb)
    (loss / world_size).backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@step_together.variant
def all_gradients_at_once(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    together = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    all_reduce(together)
    for parameter in model.parameters():
        parameter.grad = together[: parameter.numel()].view_as(parameter) / world_size
        together = together[parameter.numel() :]
    optimizer.step()
    return loss.detach()


def _step(divisor=lambda size, rows: size, before="", after="", clear=True, step=True):
    """The right step, to be spoilt in one place.

    before, after: what is averaged before optimizer.step(), and after it: "grad" or "data".
    """

    def attempt(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
        def average(what):
            for parameter in model.parameters() if what else ():
                all_reduce(getattr(parameter, what))
                getattr(parameter, what).div_(divisor(world_size, len(xb)))

        if clear:
            optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        average(before)
        if step:
            optimizer.step()
        average(after)
        return loss.detach()

    return attempt


step_together.known(
    "all_reduce gives the sum over the processes, and you step with it. Divide by world_size, in "
    "place: parameter.grad /= world_size.",
    _step(lambda size, rows: 1, before="grad"),
    "You divided twice by world_size.",
    _step(lambda size, rows: size**2, before="grad"),
    "You divided by the number of rows. The gradients are means already; divide by world_size.",
    _step(lambda size, rows: rows, before="grad"),
    "You divide by 2, however many processes there are. Divide by world_size.",
    _step(lambda size, rows: 2, before="grad"),
    "The gradients of the batch before are still in .grad: clear them with zero_grad() once a "
    "step.",
    _step(before="grad", clear=False),
    "No weight has moved. Is optimizer.step() called?",
    _step(before="grad", step=False),
    "Each process made the step of its own rows, although all_reduce was called: too late, or "
    "on copies. It belongs between backward() and step(), on parameter.grad itself.",
    _step(after="grad"),
    "You average the weights before the step, when they are the same on all processes anyway. "
    "Each process then steps with a gradient of its own: average that.",
    _step(before="data"),
    "Right for SGD, but wrong for AdamW. You averaged the weights after the step; AdamW's step "
    "is no plain multiple of the gradient, so average the gradients before it.",
    _step(after="data"),
)


@check
def my_rows(attempt):
    """`my_rows(n, rank, world_size, epoch, seed=0)` returns this process's rows."""
    for n, world_size in ((40, 2), (23, 2), (30, 4), (2, 4)):
        epochs = [_handed_out(attempt, n, world_size, epoch) for epoch in range(5)]
        for shares in epochs:
            _check_shares(shares, n, world_size)
        if n <= world_size:
            continue  # too few rows to tell chance from a rule
        for epoch in range(1, 5):
            _check_change(epochs[0], epochs[epoch], epoch)
        if all(share == sorted(share) for shares in epochs for share in shares):
            raise Mistake(
                "Every process goes through its rows in ascending order, epoch after epoch. Leave "
                "them in the order of the shuffle."
            )
        if _handed_out(attempt, n, world_size, 0, seed=1) == epochs[0]:
            raise Mistake("Another seed gives the same rows. Use seed as well as epoch.")
    return "Every row is drawn, no process waits for another, and no two epochs are the same."


def _handed_out(attempt, n, world_size, epoch, seed=0):
    """The shares of all processes, each of which has drawn random numbers of its own before."""
    shares = []
    for rank in range(world_size):
        torch.rand(rank)
        result = call(attempt, n, rank, world_size, epoch, seed)
        if isinstance(result, torch.Tensor):
            result = result.tolist()
        try:
            shares.append([int(row) for row in result])
        except (TypeError, ValueError):
            raise Mistake(
                f"Return a list of row numbers; yours is a {type(result).__name__}."
            ) from None
    return shares


def _check_change(before, after, epoch):
    """Raise a Mistake if two epochs have their rows, or much of their order, in common."""
    if before == after:
        raise Mistake(
            f"Epoch 0 and epoch {epoch} hand out the same rows in the same order. The seed of the "
            "shuffle must depend on the epoch: seed + epoch."
        )
    if sorted(before[0]) == sorted(after[0]):
        raise Mistake(
            f"A process gets the same rows in epoch 0 and epoch {epoch}, only in another order. "
            "Shuffle all rows first, then split them."
        )
    pairs = [{pair for share in shares for pair in pairwise(share)} for shares in (before, after)]
    common = max(len(set(one) & set(other)) / len(other) for one in before[:1] for other in after)
    if common > 0.9 or len(pairs[0] & pairs[1]) > len(pairs[0]) / 2:
        raise Mistake(
            f"Epoch {epoch} is epoch 0 with its shares exchanged or its order pushed on: the same "
            "rows stay together. Draw a whole new order in each epoch."
        )


def _check_shares(shares, n, world_size):
    drawn = [row for share in shares for row in share]
    where = f"For {n} rows and {world_size} processes"
    lengths = [len(share) for share in shares]
    if not set(drawn) <= set(range(n)):
        strange = min(set(drawn) - set(range(n)))
        raise Mistake(f"{where} you hand out row {strange}; there are rows 0 to {n - 1}.")
    if lengths == [n] * world_size:
        raise Mistake(f"{where} every process gets all rows. Give each only its share.")
    if n % world_size == 0 and len(set(drawn)) < n:
        raise Mistake(
            f"{where} some rows are drawn twice and others never. The processes can't talk, so "
            "they must all draw the same order: from a generator of its own, seeded alike on "
            "every process (not with the rank), and then take different parts of it."
        )
    if len(set(lengths)) > 1:
        raise Mistake(
            f"{where} the shares have {lengths} rows. The shorter one would leave the others "
            "waiting in its last step: fill the order up until world_size divides its length."
        )
    if len(set(drawn)) < n:
        left_out = n - len(set(drawn))
        raise Mistake(
            f"{where} {left_out} {'row is' if left_out == 1 else 'rows are'} never drawn. Fill up "
            "with rows that come twice rather than leave some out."
        )
    if len(drawn) - n >= world_size:
        raise Mistake(
            f"{where} {len(drawn) - n} rows come twice; {-n % world_size} would do. Fill up only "
            "until world_size divides the length."
        )
    if shares == [list(range(n))[rank::world_size] for rank in range(world_size)]:
        raise Mistake(f"{where} the rows come in their stored order. Shuffle them first.")


@check
def wrong_lines(attempt):
    """The numbers of the three wrong lines of a script."""
    if isinstance(attempt, int) and not isinstance(attempt, bool):
        raise Mistake("That is a single number. Put the three into a set: {…, …, …}.")
    if not isinstance(attempt, set | frozenset | list | tuple):
        raise Mistake(f"Give a set of three line numbers; yours is a {type(attempt).__name__}.")
    if ... in attempt:
        raise NotAttempted
    named = set(attempt)
    if not all(isinstance(line, Integral) and 1 <= line <= 19 for line in named):
        raise Mistake("The lines have whole numbers from 1 to 19.")
    fine = {
        3: "A different seed in each process is fine: DDP copies the weights of process 0 to all, "
        "and dropout should differ.",
        4: "The model is an ordinary one. DDP wraps it two lines later.",
        5: "The optimizer may be built before DDP: the wrapped model has the very same parameters.",
        6: "Wrapping the model in DDP is what makes it data parallel.",
        10: "zero_grad() stands where it always stands.",
        12: "backward() is where DDP averages the gradients. Both processes call it.",
        13: "Both processes make the same step; that keeps their weights equal.",
        14: "detach() only drops the graph.",
        16: "Dividing the sum by the number of processes is right; it needs no exchange, so both "
        "may do it.",
        17: "Printing on one process is right: it is no collective, nobody waits for it.",
        19: "Every process leaves the group. A barrier before it is polite, not a must.",
    }
    for line in sorted(named - {7, 15, 18}):
        reason = fine.get(line, "It has to be there, on both processes.")
        raise Mistake(f"Line {line} is right. {reason}")
    clues = {
        7: "Which rows does each of the two processes see? One line makes them see the same.",
        15: "Which line does one process call that the other never joins? Its partner never comes.",
        18: "Which line should happen once, but happens on both processes at the same moment?",
    }
    missing = [clue for line, clue in clues.items() if line not in named]
    if missing:
        raise Mistake(f"{3 - len(missing)} of the three found. {missing[0]}")
    return "Same rows for both, a collective that only one calls, a file that both write."


_PLAN = {"combined_batch": 8 * 64, "rows_per_process": 1251, "steps": 20, "drawn_twice": 2}
# For each entry: what a wrong number means. There are 10006 rows, 8 processes, batches of 64.
WRONG_PLANS = {
    "combined_batch": {
        "That is the batch of one process. One step uses the rows of all eight.": 64,
        "That is the batch divided among the processes, but batch_size is counted per process.": 8,
    },
    "rows_per_process": {
        "Rounded down, six rows would be left out. The sampler fills up instead.": 10_006 // 8,
        "A process can't get a part of a row: round up.": 10_006 / 8,
        "That fills up the last batch, too. The sampler only makes the shares equal; a last batch "
        "may be smaller.": 20 * 64,
        "Those are the rows of all processes; each gets an eighth.": 10_006,
    },
    "steps": {
        "The last, smaller batch is a step, too: round up.": 1251 // 64,
        "A step is made or not: round up.": 1251 / 64,
        "Those are the steps of one process that has all the rows.": 157,
        "The processes make their steps at the same time: don't add them up.": 8 * 20,
    },
    "drawn_twice": {
        "10006 is not divisible by 8, so the shares can't be equal without filling up.": 0,
        "Six rows are left over after equal shares. For how many processes would a row be missing "
        "then?": 10_006 % 8,
        "That fills up the last combined batch. Only the shares have to be equal.": (
            20 * 8 * 64 - 10_006
        ),
    },
}


@check
def plan(attempt):
    """A dict with combined_batch, rows_per_process, steps and drawn_twice."""
    if not isinstance(attempt, dict):
        raise Mistake(f"Fill in the dict; yours is a {type(attempt).__name__}.")
    if any(attempt.get(name) is ... for name in _PLAN):
        raise NotAttempted
    for name, right in _PLAN.items():
        if name not in attempt:
            raise Mistake(f"The plan has no {name!r}. Keep all four keys.")
        compare(as_number(attempt[name], name, plain=False), right, WRONG_PLANS[name], name)
    return "Twenty steps where one process with batches of 64 makes 157, and two rows drawn twice."
