"""Checks for lesson 10, beyond one device."""

import copy
import threading
from itertools import pairwise
from numbers import Integral

import torch
from torch import nn

from ..data import moons
from ..models import mlp
from .feedback import Mistake, NotAttempted, as_number, call, check, close, compare


def _flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@check
def average_gradients(attempt):
    """`average_gradients([(gradients, rows), …])` returns those of the whole batch."""
    rows = [5, 20, 7]
    shares = [([torch.randn(3, 2), torch.randn(3)], n) for n in rows]
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
    shapes = [list(part.shape) for part in result]
    if shapes != [[3, 2], [3]]:
        raise Mistake(
            f"The processes have two gradients each, of shapes [3, 2] and [3]; you returned shapes "
            f"{shapes}. Average parameter by parameter, over the processes."
        )
    by_process = torch.stack([_flat(gradients) for gradients, _ in shares])
    weights = torch.tensor(rows, dtype=torch.float32)[:, None]
    total = (by_process * weights).sum(dim=0)
    compare(
        _flat(result),
        total / 32,
        {
            "That is the plain average. The shares have 5, 20 and 7 rows, so each must count with "
            "its number of rows.": by_process.mean(dim=0),
            "That is the plain sum of the gradients.": by_process.sum(dim=0),
            "The gradients are weighted by their rows, but the sum still has to be divided by all "
            "rows.": total,
            "You divided by the number of processes; divide by the number of rows of all of them, "
            "since you have weighted by rows.": total / 3,
            "Those are the gradients of the first process alone.": by_process[0],
            "You divided by the rows instead of multiplying: the largest share must count most.": (
                (by_process / weights).sum(dim=0)
            ),
        },
        "The gradient of the whole batch",
    )
    return "Every row counts once, whichever process it went to: the gradient of the whole batch."


@check
def step_together(attempt):
    """`step_together(model, xb, yb, loss_fn, optimizer, all_reduce, world_size)`"""
    X, y = moons(72, noise=0.3, seed=4)
    batches = [(X[i : i + 36], y[i : i + 36]) for i in (0, 36)]
    start = mlp(2, 6, 2)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give

    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=0.5, momentum=0.9)

    def adam(parameters):
        return torch.optim.AdamW(parameters, lr=0.05)

    def as_one(optimizer_for, scale=1.0, rows=slice(None), clear=True):
        """The weights after both batches, by one process that takes `rows` of each."""
        model = copy.deepcopy(start)
        optimizer = optimizer_for(model.parameters())
        for xb, yb in batches:
            if clear:
                optimizer.zero_grad()
            (scale * loss_fn(model(xb[rows]), yb[rows])).backward()
            optimizer.step()
        return _flat(model.parameters())

    processes = _Processes(3)

    def run(optimizer_for):
        models = [copy.deepcopy(start) for _ in range(3)]
        optimizers = [optimizer_for(model.parameters()) for model in models]

        def work(rank, all_reduce):
            rows = slice(12 * rank, 12 * rank + 12)
            return [
                call(attempt, models[rank], xb[rows], yb[rows], loss_fn, optimizers[rank],
                     all_reduce, 3)
                for xb, yb in batches
            ]  # fmt: skip

        losses = processes.run(work)
        return losses, [_flat(model.parameters()) for model in models]

    losses, weights = run(sgd)
    alone = as_one(sgd, rows=slice(12))
    sizes = {tensor.numel() for tensor in processes.reduced}
    wanted = {parameter.numel() for parameter in start.parameters()}
    if wanted & sizes and not wanted <= sizes:
        raise Mistake(
            "all_reduce got the gradients of some parameters only. Call it for every parameter, in "
            "a loop over model.parameters()."
        )
    if not processes.reduced:
        raise Mistake(
            "all_reduce was never called, so each process trains for itself. Call it on every "
            "parameter's .grad."
        )
    if all(tensor.ndim == 0 for tensor in processes.reduced):
        raise Mistake(
            "You gave all_reduce the loss. What must be averaged are the gradients: "
            "all_reduce(parameter.grad) for every parameter, after backward()."
        )
    calls = sum(tensor.ndim > 0 for tensor in processes.reduced) / (3 * len(batches))
    if calls > len(list(start.parameters())):
        raise Mistake(
            f"all_reduce ran {calls:g} times in one step of one process, and there are "
            f"{len(list(start.parameters()))} gradients. Once for each is enough: what has been "
            "reduced is the same everywhere."
        )
    if close(weights[0], _flat(start.parameters())):
        raise Mistake("No weight has moved. Are backward() and optimizer.step() called?")
    if close(weights[0], alone):
        raise Mistake(
            "Each process made the step of its own rows, although all_reduce was called: too late, "
            "or on copies. It belongs between backward() and step(), on parameter.grad itself."
        )
    expected = as_one(sgd)
    compare(
        weights[0],
        expected,
        {
            "all_reduce gives the sum over the processes, and you step with it. Divide by "
            "world_size.": as_one(sgd, scale=3),
            "You divided twice by world_size.": as_one(sgd, scale=1 / 3),
            "You divided by the number of rows. The gradients are means already; divide by "
            "world_size.": as_one(sgd, scale=3 / 12),
            "The gradients of the batch before are still in .grad: clear them with zero_grad() "
            "once a step.": as_one(sgd, clear=False),
        },
        "The weights of the first process after two steps",
    )
    if not all(close(other, expected) for other in weights):
        raise Mistake("The processes ended with different weights. Reduce every gradient.")
    _, weights = run(adam)
    if not close(weights[0], as_one(adam)):
        raise Mistake(
            "Right for SGD, but wrong for AdamW. You averaged something after the step; AdamW's "
            "step is no plain multiple of the gradient, so average the gradients before it."
        )
    for step, (xb, yb) in enumerate(batches[:1]):
        own = loss_fn(start(xb[:12]), yb[:12]).item()
        every = loss_fn(start(xb), yb).item()
        loss = losses[0][step]
        if isinstance(loss, torch.Tensor) and loss.requires_grad:
            raise Mistake("The step is right, but the loss still has its graph: loss.detach().")
        value = as_number(loss.item() if torch.is_tensor(loss) else loss, "The loss you return")
        if not (close(value, own) or close(value, every)):
            raise Mistake(
                f"The step is right, but the loss should be {own:.4g}, that of this process's rows "
                f"before the step; yours is {value:.4g}."
            )
    return "Three processes make the step of one, with SGD and with AdamW. That is what DDP does."


class _Processes:
    """Threads that play processes, with an `all_reduce` of their own."""

    def __init__(self, size):
        self.size, self.reduced = size, []

    def run(self, work):
        """What `work(rank, all_reduce)` returns for each rank; its exception if it raises one."""
        self._barrier = threading.Barrier(self.size, timeout=2)
        self._brought = [None] * self.size
        results, errors = [None] * self.size, []

        def play(rank):
            try:
                results[rank] = work(rank, lambda tensor: self._all_reduce(rank, tensor))
            except threading.BrokenBarrierError:
                pass  # another one stopped, and has said why
            except Exception as error:
                errors.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=play, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        if None in results:
            raise Mistake(
                "The processes wait for each other for ever: one called all_reduce, another did "
                "not. Every process must call it equally often."
            )
        return results

    def _all_reduce(self, rank, tensor):
        if tensor is None:
            raise Mistake(
                "all_reduce was given None: there is no gradient yet. Call it after backward()."
            )
        if not isinstance(tensor, torch.Tensor):
            raise Mistake(f"all_reduce takes one tensor; it got a {type(tensor).__name__}.")
        self._brought[rank] = tensor.detach().clone()
        self.reduced.append(self._brought[rank])
        self._barrier.wait()
        total = sum(self._brought)
        self._barrier.wait()  # nobody may bring the next one before all have added up
        with torch.no_grad():
            tensor.copy_(total)


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


@check
def plan(attempt):
    """A dict with combined_batch, rows_per_process, steps and drawn_twice."""
    names = ("combined_batch", "rows_per_process", "steps", "drawn_twice")
    if not isinstance(attempt, dict):
        raise Mistake(f"Fill in the dict; yours is a {type(attempt).__name__}.")
    if any(attempt.get(name) is ... for name in names):
        raise NotAttempted
    missing = [name for name in names if name not in attempt]
    if missing:
        raise Mistake(f"The plan has no {missing[0]!r}. Keep all four keys.")
    n, size, batch_size = 10_006, 8, 64
    rows = -(-n // size)
    steps = -(-rows // batch_size)
    expected = (size * batch_size, rows, steps, size * rows - n)
    mistakes = (
        {
            "That is the batch of one process. One step uses the rows of all eight.": batch_size,
            "That is the batch divided among the processes, but batch_size is counted per "
            "process.": batch_size / size,
        },
        {
            "Rounded down, six rows would be left out. The sampler fills up instead.": n // size,
            "A process can't get a part of a row: round up.": n / size,
            "That fills up the last batch, too. The sampler only makes the shares equal; a last "
            "batch may be smaller.": steps * batch_size,
            "Those are the rows of all processes; each gets an eighth.": n,
        },
        {
            "The last, smaller batch is a step, too: round up.": rows // batch_size,
            "A step is made or not: round up.": rows / batch_size,
            "Those are the steps of one process that has all the rows.": -(-n // batch_size),
            "The processes make their steps at the same time: don't add them up.": steps * size,
        },
        {
            "10006 is not divisible by 8, so the shares can't be equal without filling up.": 0,
            "Six rows are left over after equal shares. For how many processes would a row be "
            "missing then?": n % size,
            "That fills up the last combined batch. Only the shares have to be equal.": (
                steps * size * batch_size - n
            ),
        },
    )
    for name, right, wrong in zip(names, expected, mistakes, strict=True):
        compare(as_number(attempt[name], name, plain=False), right, wrong, name)
    return "Twenty steps where one process with batches of 64 makes 157, and two rows drawn twice."
