"""Checks for lesson 00, why a loop."""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..models import mlp
from .exercise import exercise, returned
from .feedback import Mistake, NotAttempted, as_number, call
from .values import close


def _loaders():
    yield 1010, 32, False
    yield 1000, 32, False  # 31.25, where 1010 / 32 is 31.6
    yield 960, 32, False
    yield 1010, 32, True
    yield 960, 32, True
    yield 20, 32, False
    yield 20, 32, True
    yield 77, 10, False


@exercise(
    cases=_loaders,
    observe=returned(
        "steps_per_epoch({0}, {1}, drop_last={2})",
        lambda steps: as_number(steps, "The number of steps", plain=False),
    ),
    praise="The same numbers as len() of PyTorch's DataLoader gives.",
)
def steps_per_epoch(n, batch_size, drop_last):
    """`steps_per_epoch(n, batch_size, drop_last)` returns the number of steps in one epoch."""
    return n // batch_size if drop_last else -(-n // batch_size)


@steps_per_epoch.variant
def as_pytorch_counts(n, batch_size, drop_last):
    return len(DataLoader(range(n), batch_size, drop_last=drop_last))


@steps_per_epoch.variant
def by_counting(n, batch_size, drop_last):
    starts = range(0, n, batch_size)
    return sum(1 for start in starts if not drop_last or start + batch_size <= n)


@steps_per_epoch.variant
def in_a_tensor(n, batch_size, drop_last):
    steps = torch.tensor(n / batch_size)
    return steps.floor() if drop_last else steps.ceil()


def _steps(otherwise, dropped=lambda n, size: n // size):
    """The steps where drop_last is False and where it is True, from n and the size of a batch."""
    return lambda n, size, drop_last: (dropped if drop_last else otherwise)(n, size)


def _up(n, size):
    return -(-n // size)


def _down(n, size):
    return n // size


steps_per_epoch.known(
    "You left out the incomplete last batch, but drop_last is False here.",
    _steps(_down),
    "You rounded to the nearest number. Any example left over makes one more batch.",
    _steps(lambda n, size: round(n / size)),
    "You rounded to the nearest number. drop_last decides whether the rest counts, not its size.",
    lambda n, size, drop_last: round(n / size),
    "n divides evenly here: no example is left over, so there is no batch more.",
    _steps(lambda n, size: n // size + 1),
    "You counted the incomplete last batch, but drop_last is True here.",
    _steps(_up, _up),
    "drop_last works the wrong way round: True leaves the incomplete batch out.",
    _steps(_down, _up),
    "There is not a single full batch here, and the incomplete one is dropped.",
    _steps(_up, lambda n, size: max(1, n // size)),
    "There is no fraction of a step: the examples left over make one smaller batch.",
    lambda n, size, drop_last: n / size,
    "There is no fraction of a step: without drop_last the rest makes one smaller batch.",
    _steps(lambda n, size: n / size),
    "Nothing is incomplete here, so nothing is dropped.",
    _steps(_up, lambda n, size: _up(n, size) - 1),
    "That is the number of examples left over, not the number of steps.",
    lambda n, size, drop_last: n % size,
    "The examples left over make one batch together, not one each.",
    _steps(lambda n, size: n // size + n % size),
    "You divided the other way round: how many times does batch_size go into n?",
    lambda n, size, drop_last: size // n,
    "20 examples still make one batch, an incomplete one.",
    _steps(lambda n, size: _up(n, size) if n > size else 0),
)


def _answers():
    for n, every in ((20, 3), (7, 2), (1, 1)):
        y = (np.arange(n) % every == 0).astype(float)[:, None]
        yield 1 / (1 + np.exp(-np.random.normal(size=(n, 1)))), y


def _slopes(attempt, y_hat, y):
    n = len(y)
    slopes = call(attempt, y_hat, y)
    if np.shape(slopes) != (n, 1):
        averaged = " Divide each by the number of points, without adding them up."
        raise Mistake(
            f"For a batch of {n} points the result should have the shape [{n}, 1], one slope for "
            f"each logit; yours has the shape {list(np.shape(slopes))}."
            f"{averaged if np.size(slopes) == 1 else ''}"
        )
    yield f"For {n} points the gradient", slopes


@exercise(
    cases=_answers,
    observe=_slopes,
    praise="This is what PyTorch computes, too: answer minus truth, shared among the batch.",
)
def output_gradient(y_hat, y):
    """`output_gradient(y_hat, y)` is the gradient of the mean BCE for each logit, [B, 1]."""
    return (y_hat - y) / len(y)


@output_gradient.variant
def with_where(y_hat, y):
    return np.where(y == 1, y_hat - 1, y_hat) / y.size


@output_gradient.variant
def by_autograd(y_hat, y):
    logits = torch.from_numpy(np.log(y_hat / (1 - y_hat))).requires_grad_()
    nn.BCEWithLogitsLoss()(logits, torch.from_numpy(y)).backward()
    return logits.grad.numpy()


output_gradient.known(
    "You left out the division: the loss is the mean over the batch, so each point has only "
    "its share, 1 / len(y), of the say.",
    lambda y_hat, y: y_hat - y,
    "The sign is the other way round: where the answer is too high, a higher logit makes the "
    "loss larger, so the slope is positive.",
    lambda y_hat, y: (y - y_hat) / len(y),
    "The sign is the other way round, and the division by len(y) is missing.",
    lambda y_hat, y: y - y_hat,
    "The sign got lost. Where y is 1, the slope must be negative.",
    lambda y_hat, y: abs(y_hat - y) / len(y),
    "There is a factor 2 too many; it belongs to the squared error.",
    lambda y_hat, y: 2 * (y_hat - y) / len(y),
    "That is the gradient of the mean squared error. The loss here is the cross-entropy, and "
    "its gradient is simpler.",
    lambda y_hat, y: 2 * (y_hat - y) * y_hat * (1 - y_hat) / len(y),
    "The points of class 0 have a slope, too.",
    lambda y_hat, y: y * (y_hat - y) / len(y),
    "The points of class 1 have a slope, too.",
    lambda y_hat, y: (1 - y) * y_hat / len(y),
    "y_hat has been through the sigmoid already; you apply it once more.",
    lambda y_hat, y: (1 / (1 + np.exp(-y_hat)) - y) / len(y),
    "Those are the losses of the points, not the slopes.",
    lambda y_hat, y: -np.log(np.where(y == 1, y_hat, 1 - y_hat)) / len(y),
    "The slope grows with the error itself, not with its square.",
    lambda y_hat, y: (y_hat - y) ** 2 / len(y),
    "There is a factor y_hat * (1 - y_hat) too many; it belongs to the squared error. With the "
    "cross-entropy it cancels.",
    lambda y_hat, y: (y_hat - y) * y_hat * (1 - y_hat) / len(y),
    "That is the gradient for the probability y_hat. One step further back, for the logit, the "
    "denominator cancels.",
    lambda y_hat, y: (y_hat - y) / (y_hat * (1 - y_hat)) / len(y),
    "You multiplied by the answer: the slope for a logit is answer minus truth, no more.",
    lambda y_hat, y: (y_hat - y) * y_hat / len(y),
)


def _layers():
    for lr, *shapes in ((0.05, (4, 2), (4,), (1, 4), (1,)), (1.7, (3,)), (0.4, (2, 3), (2, 3))):
        params, grads = ([np.random.normal(size=shape) for shape in shapes] for _ in range(2))
        yield params, grads, lr


def _flat(arrays):
    return np.concatenate([np.ravel(array) for array in arrays])


def _update(attempt, params, grads, lr):
    arrays, start, gradient = list(params), _flat(params), _flat(grads)
    result = call(attempt, params, grads, lr)
    if not close(_flat(grads), gradient):
        raise Mistake("Your function changed the gradients. It should only read them.")
    if not (isinstance(result, list | tuple) and len(result) == len(arrays)):
        raise Mistake("Return the whole list: `return params`, after the loop.")
    yield "The arrays should have moved; the change of their numbers", _flat(arrays) - start
    yield "The change of the arrays in the list", _flat(params) - start
    yield "The change of the arrays that you return", _flat(result) - start
    if not all(a is b for a, b in zip(result, arrays, strict=True)):
        raise Mistake("The arrays have moved as they should, but you return others: return params.")


@exercise(
    cases=_layers,
    observe=_update,
    praise="You changed the arrays themselves, as optimizer.step() does with a model's parameters.",
)
def update(params, grads, lr):
    """`update(params, grads, lr)` moves the arrays in place and returns the list."""
    for p, g in zip(params, grads, strict=True):
        p -= lr * g
    return params


@update.variant
def by_index(params, grads, lr):
    for i in range(len(params)):
        params[i] -= lr * grads[i]
    return params


@update.variant
def with_slices(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p[...] = p - g * lr
    return [p for p in params]


@update.variant
def with_numpy_subtract(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        np.subtract(p, lr * g, out=p)
    return params


def _first_alone(params, grads, lr):
    params[0] -= lr * grads[0]
    return params


def _new_in_the_list(params, grads, lr):
    params[:] = [p - lr * g for p, g in zip(params, grads, strict=True)]
    return params


def _moving(move):
    """An update whose arrays move by `move(p, g, lr)`."""

    def attempt(params, grads, lr):
        for p, g in zip(params, grads, strict=True):
            p += move(p, g, lr)
        return params

    return attempt


update.known(
    "No array has changed. `p = p - …` makes a new array and calls it p, and the array in the "
    "list stays as it was. `p -= …` changes the array itself.",
    lambda params, grads, lr: params,
    "You put new arrays into the list. The numbers are right, but everybody who holds one of "
    "the old arrays still has the old numbers. Change the arrays themselves, with -=.",
    _new_in_the_list,
    "You return new arrays with the right numbers, but the arrays that the network uses are as "
    "they were. Change those, with -=.",
    lambda params, grads, lr: [p - lr * g for p, g in zip(params, grads, strict=True)],
    "Only the first array has moved. Is the return inside the loop?",
    _first_alone,
    "You went uphill. The gradient points to where the loss rises, so subtract.",
    _moving(lambda p, g, lr: lr * g),
    "The learning rate is missing: each array moves by lr times its gradient.",
    _moving(lambda p, g, lr: -g),
    "You replaced the weights by the update. Start from where they are: p -= lr * g.",
    _moving(lambda p, g, lr: -p - lr * g),
    "You divided by lr. Each array moves by lr times its gradient.",
    _moving(lambda p, g, lr: -g / lr),
    "You subtracted the rate and forgot the gradient.",
    _moving(lambda p, g, lr: -lr),
    "You multiplied the rate with the array itself, not with its gradient.",
    _moving(lambda p, g, lr: -lr * p),
    "Each array moves by 0.3 times its gradient, whatever lr is. Use lr.",
    _moving(lambda p, g, lr: -0.3 * g),
    "You kept only the sign of the gradient: its size counts, too.",
    _moving(lambda p, g, lr: -lr * np.sign(g)),
)


def _runs():
    """Three kinds of training, with unequal batches, so that no line can be left to luck."""
    for layers, loss_fn, optimizer_of, rows in (
        ((2, 8, 1), nn.BCEWithLogitsLoss(), partial(torch.optim.SGD, lr=0.5), (6, 6, 6, 2)),
        ((3, 5, 1), nn.MSELoss(), partial(torch.optim.Adam, lr=0.05), (4, 7, 1)),
        (
            (4, 6, 3),
            nn.CrossEntropyLoss(),
            partial(torch.optim.SGD, lr=0.2, momentum=0.9),
            (5,) * 6,
        ),
    ):
        model = mlp(*layers)
        targets = {
            nn.BCEWithLogitsLoss: lambda n: torch.randint(2, (n, 1)).float(),
            nn.MSELoss: lambda n: torch.randn(n, 1),
            nn.CrossEntropyLoss: lambda n: torch.randint(3, (n,)),
        }[type(loss_fn)]
        batches = [(torch.randn(n, layers[0]), targets(n)) for n in rows]
        yield model, loss_fn, optimizer_of(model.parameters()), batches


def _trained(attempt, model, loss_fn, optimizer, batches):
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("step"))
    first = next(model.parameters())
    first.register_hook(lambda _: calls.append("backward"))
    before = first.detach().clone()
    losses = call(attempt, model, loss_fn, optimizer, batches)
    if torch.equal(first, before):
        raise Mistake(_why_nothing_moved(calls))
    if not isinstance(losses, list | tuple | np.ndarray):
        raise Mistake(
            "Return the losses of all steps as a list: begin with losses = [], append one number in "
            f"each step. You return a {type(losses).__name__}."
        )
    if len(losses) == 0:
        raise Mistake("Your list is empty: append loss.item() to it in each step.")
    if len(losses) == 1 < len(batches):
        raise Mistake(
            f"You return one loss for {len(batches)} batches. Does the return stand inside the loop, "
            "does the list begin anew in each round, or does the append stand after the loop?"
        )
    yield "The losses of the steps", np.array([as_number(loss, "Each loss") for loss in losses])
    with torch.no_grad():
        yield "The weights afterwards", torch.cat([p.flatten() for p in model.parameters()])


def _why_nothing_moved(calls):
    if "step" not in calls:
        return "No weight has moved: optimizer.step() is missing, or its parentheses are."
    if "backward" not in calls:
        return "No weight has moved: loss.backward() is missing, so step finds no gradients."
    if calls[0] == "step":
        return (
            "No weight has moved: step comes before backward, where the gradients have just been "
            "cleared. No error tells you."
        )
    return (
        "No weight has moved: zero_grad stands between backward and step, and throws the "
        "gradients away just before the optimizer reads them. No error tells you."
    )


def loop(step):
    """An attempt that does this for each batch."""

    def attempt(model, loss_fn, optimizer, batches):
        losses = []
        for xb, yb in batches:
            losses.append(step(model, loss_fn, optimizer, xb, yb).item())
        return losses

    return attempt


def in_order(*lines):
    """The beats in another order, or not all of them."""

    def step(model, loss_fn, optimizer, xb, yb):
        loss = loss_fn(model(xb), yb)
        for line in lines:
            loss.backward() if line == "backward" else getattr(optimizer, line)()
        return loss

    return step


@exercise(
    cases=_runs,
    observe=_trained,
    praise="Three kinds of training, and your loop runs each of them as ours does.",
)
def train_in_pytorch(model, loss_fn, optimizer, pairs):
    """`train_in_pytorch(model, loss_fn, optimizer, pairs)` steps once for each pair (xb, yb)."""
    losses = []
    for xb, yb in pairs:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


train_in_pytorch.variant(loop(in_order("backward", "step", "zero_grad")))
train_in_pytorch.variant(loop(in_order("zero_grad", "backward", "step")))


@train_in_pytorch.variant
def clearing_the_model(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        model.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        losses += [loss.item()]
        optimizer.step()
    return np.array(losses)


def _sgd_by_hand(model, loss_fn, optimizer, xb, yb):
    model.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= optimizer.param_groups[0]["lr"] * p.grad
    return loss


def _loss_after(model, loss_fn, optimizer, xb, yb):
    in_order("zero_grad", "backward", "step")(model, loss_fn, optimizer, xb, yb)
    return loss_fn(model(xb), yb)


def _with_loss(loss_of):
    """A step on `loss_of(loss_fn, logits, yb)`."""

    def step(model, loss_fn, optimizer, xb, yb):
        optimizer.zero_grad()
        loss = loss_of(loss_fn, model(xb), yb)
        loss.backward()
        optimizer.step()
        return loss

    return loop(step)


def _at_once(model, loss_fn, optimizer, batches):
    optimizer.zero_grad()
    losses = [loss_fn(model(xb), yb) for xb, yb in batches]
    sum(losses).backward()
    optimizer.step()
    return [loss.item() for loss in losses]


def _only_the_last(model, loss_fn, optimizer, batches):
    for xb, yb in batches:
        loss = loss_fn(model(xb), yb)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return [loss.item()] * len(batches)


_right_step = in_order("zero_grad", "backward", "step")
train_in_pytorch.known(
    "zero_grad is missing in the loop, or its parentheses are: PyTorch adds each batch's gradients "
    "to those of the batches before.",
    loop(in_order("backward", "step")),
    "The step comes before backward and changes weights that the walk back still needs. Keep the "
    "order forward, loss, backward, step.",
    loop(in_order("step", "backward")),
    "You step twice with the same gradients.",
    loop(in_order("zero_grad", "backward", "step", "step")),
    "You step once, after the loop. Backward and step belong into the loop, indented like the "
    "forward pass.",
    _at_once,
    "Only the last batch was learned from. Backward and step belong into the loop, indented like "
    "the forward pass.",
    _only_the_last,
    "That is the plain step by hand. The optimizer that you were given may do more: call "
    "optimizer.step().",
    loop(_sgd_by_hand),
    "You make an optimizer of your own. Use the one that your function was given.",
    lambda model, loss_fn, optimizer, batches: loop(_right_step)(
        model, loss_fn, torch.optim.SGD(model.parameters(), lr=0.3), batches
    ),
    "You make a loss function of your own. Use the one that your function was given.",
    lambda model, loss_fn, optimizer, batches: loop(_right_step)(
        model, nn.BCEWithLogitsLoss(), optimizer, batches
    ),
    "You note the loss after the step. Note that of the forward pass, which drove it.",
    loop(_loss_after),
    "The loss function wants the model's answer first, then the right one: loss_fn(logits, yb).",
    _with_loss(lambda loss_fn, logits, yb: loss_fn(yb, logits)),
    "You gave loss_fn probabilities. Unlike the bce of the NumPy loop it has the sigmoid built in: "
    "give it the logits, as they come from the model.",
    _with_loss(lambda loss_fn, logits, yb: loss_fn(logits.sigmoid(), yb)),
    "You went through the batches in another order: backwards.",
    lambda model, loss_fn, optimizer, batches: loop(_right_step)(
        model, loss_fn, optimizer, batches[::-1]
    ),
    "You return running sums of the losses. Append each step's own.",
    lambda *case: np.cumsum(loop(_right_step)(*case)),
)


class _Trainer:
    """`train_once(width, seed)` with known accuracies, which notes its calls."""

    def __init__(self, seeds, table):
        self.seeds, self.table, self.runs = seeds, table, []

    def __call__(self, width, seed):
        self.runs.append((width, seed))
        known = width in self.table and seed in self.seeds
        return self.table[width][self.seeds.index(seed)] if known else 0.5


def _experiments():
    seeds = [3, 8, 13, 21]
    table = {
        2: [0.70, 0.85, 0.60, 0.72],
        5: [0.90, 0.84, 0.88, 0.65],
        9: [0.95, 0.91, 0.99, 0.70],
    }
    yield _Trainer(seeds, table), list(table), seeds
    seeds = [14, 10, 17, 11, 12, 19, 15]
    table = {
        1: [0.5, 0.6, 0.7, 0.84, 0.3, 0.8, 0.2],
        4: [0.9, 0.8, 0.85, 0.7, 0.99, 0.6, 0.5],
    }
    yield _Trainer(seeds, table), list(table), seeds


def _shares(attempt, train_once, widths, seeds):
    result = call(attempt, train_once, widths, seeds)
    _check_runs(train_once.runs, widths, seeds)
    if not isinstance(result, dict):
        raise Mistake(f"Return a dict, {{width: share}}; yours is a {type(result).__name__}.")
    if set(result) != set(widths):
        raise Mistake(
            f"The keys should be the widths, {widths}; yours are {list(result)}. (Make the dict "
            "before the loop, and return it after the loop.)"
        )
    if any(share is ... for share in result.values()):
        raise NotAttempted
    shares = [as_number(result[w], f"The share for width {w}", plain=False) for w in widths]
    yield f"For the widths {widths} and {len(seeds)} seeds the shares", shares


@exercise(
    cases=_experiments,
    observe=_shares,
    praise="Every width got the same seeds: none had more tries, or better ones picked for it.",
)
def success_by_width(train_once, widths, seeds):
    """`success_by_width(train_once, widths, seeds)` returns {width: share of runs that work}."""
    return {width: np.mean([train_once(width, seed) >= 0.85 for seed in seeds]) for width in widths}


@success_by_width.variant
def seeds_outside(train_once, widths, seeds):
    works = dict.fromkeys(widths, 0)
    for seed in seeds:
        for width in widths:
            if train_once(width=width, seed=seed) >= 0.85:
                works[width] += 1 / len(seeds)
    return works


@success_by_width.variant
def mean_of_a_tensor(train_once, widths, seeds):
    return {
        w: torch.tensor([train_once(w, s) >= 0.85 for s in seeds]).float().mean() for w in widths
    }


def _summary(summarise):
    """A right experiment up to its last line."""

    def attempt(train_once, widths, seeds):
        runs = {width: np.array([train_once(width, seed) for seed in seeds]) for width in widths}
        return {width: summarise(accuracies, widths) for width, accuracies in runs.items()}

    return attempt


success_by_width.known(
    "Your count goes on from one width to the next. Start it at 0 for each.",
    lambda train_once, widths, seeds: dict(
        zip(
            widths,
            np.cumsum([*success_by_width.right(train_once, widths, seeds).values()]),
            strict=True,
        )
    ),
    "Those are mean accuracies. Ask of each run whether it works, then take the share.",
    _summary(lambda a, widths: a.mean()),
    "Those are the best runs. One lucky run says little: take the share that works.",
    _summary(lambda a, widths: a.max()),
    "A run with exactly 0.85 works, too: at least means >=.",
    _summary(lambda a, widths: (a > 0.85).mean()),
    "Those are numbers of runs; divide by the number of seeds to get shares.",
    _summary(lambda a, widths: (a >= 0.85).sum()),
    "Those are percentages; return shares between 0 and 1.",
    _summary(lambda a, widths: 100 * (a >= 0.85).mean()),
    "Those are the shares of runs that fail.",
    _summary(lambda a, widths: (a < 0.85).mean()),
    "You divided by the number of widths; divide by the number of seeds.",
    _summary(lambda a, widths: (a >= 0.85).sum() / len(widths)),
    "You say only whether any run works at all.",
    _summary(lambda a, widths: float((a >= 0.85).any())),
    "You say only whether every run works.",
    _summary(lambda a, widths: float((a >= 0.85).all())),
    "You ask whether the mean of the runs is high enough. Ask that of each run, then take the "
    "share.",
    _summary(lambda a, widths: float(a.mean() >= 0.85)),
)


def _check_runs(runs, widths, seeds):
    """Raise a Mistake unless each width was trained once with each seed, or more often."""
    if not runs:
        raise Mistake("train_once was never called. Call train_once(width, seed) for every pair.")
    wanted = {(width, seed) for width in widths for seed in seeds}
    done = set(runs)
    if done & {(seed, width) for width, seed in wanted}:
        raise Mistake("You swapped the arguments: it is train_once(width, seed).")
    if done - wanted:
        width, seed = sorted(done - wanted)[0]
        raise Mistake(
            f"You trained width {width} with seed {seed}, which is not among those you were given: "
            f"widths {widths}, seeds {seeds}."
        )
    for width in widths:
        used = [seed for seed in seeds if (width, seed) in done]
        if not used:
            raise Mistake(f"Width {width} was never trained. Is the return inside the loop?")
        if used != seeds:
            raise Mistake(
                f"Width {width} was only trained with the seeds {used}. To be fair, each width "
                f"gets all of them: {seeds}."
            )
