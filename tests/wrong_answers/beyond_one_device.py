"""Answers to the exercises of lesson 10."""

import numpy as np
import torch
from torch.utils.data import DistributedSampler

from course_utils.checks.beyond_one_device import WRONG_PLANS

from . import gallery

wrong, right = gallery("beyond_one_device")

# Exercise 1


@wrong("average_gradients", "parameter by parameter")
def over_parameters(shares):
    return [sum(g.mean() for g in gradients) for gradients, _ in shares]


@wrong("average_gradients", "changed the gradients")
def in_place(shares):
    (first, rows), *others = shares
    for i, grad in enumerate(first):
        grad *= rows
        for gradients, n in others:
            grad += n * gradients[i]
        grad /= sum(n for _, n in shares)
    return first


@right("average_gradients")
def one_after_the_other(shares):
    rows = sum(n for _, n in shares)
    columns = zip(*[gradients for gradients, _ in shares], strict=True)
    for column in columns:
        yield sum(n * grad for grad, (_, n) in zip(column, shares, strict=True)) / rows


# Exercise 2


def step(reduced, then=lambda model, all_reduce, size: None):
    """A step in which `reduced(loss, model, all_reduce, size)` comes before optimizer.step()."""

    def step_together(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        reduced(loss, model, all_reduce, world_size)
        optimizer.step()
        then(model, all_reduce, world_size)
        return loss.detach()

    return step_together


def averaged(loss, model, all_reduce, world_size):
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
        parameter.grad /= world_size


@wrong("step_together", "too late, or on copies")
@step
def result_thrown_away(loss, model, all_reduce, world_size):
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad / world_size)


@wrong("step_together", "there is no gradient yet")
@step
def reduced_before_backward(loss, model, all_reduce, world_size):
    for parameter in model.parameters():
        all_reduce(parameter.grad)
    loss.backward()


@wrong("step_together", "You gave all_reduce the loss")
@step
def loss_reduced(loss, model, all_reduce, world_size):
    loss.backward()
    with torch.no_grad():
        all_reduce(loss)


@wrong("step_together", "of some parameters only")
@step
def weights_only(loss, model, all_reduce, world_size):
    loss.backward()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            all_reduce(parameter.grad)
            parameter.grad /= world_size


@wrong("step_together", "8 times in one step")
@step
def reduced_twice(loss, model, all_reduce, world_size):
    averaged(loss, model, all_reduce, world_size)
    for parameter in model.parameters():
        all_reduce(parameter.grad)
        parameter.grad /= world_size


@wrong("step_together", "different weights")
@step
def own_gradients_added(loss, model, all_reduce, world_size):
    loss.backward()
    own = [parameter.grad.clone() for parameter in model.parameters()]
    for parameter, grad in zip(model.parameters(), own, strict=True):
        all_reduce(parameter.grad)
        parameter.grad.add_(grad).div_(world_size + 1)


@wrong("step_together", "move before the last gradient")
@step
def moved_by_hand_and_back(loss, model, all_reduce, world_size):
    parameters = list(model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    loss.backward()
    for parameter in parameters:
        parameter.data -= 0.1 * parameter.grad
        all_reduce(parameter.grad)
        parameter.grad /= world_size
    for parameter, old in zip(parameters, before, strict=True):
        parameter.data.copy_(old)


@wrong("step_together", "wait for each other for ever")
def only_one_calls(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    def reduced(loss, *rest):
        if yb.sum() == 7:  # so on one of the processes alone
            averaged(loss, *rest)
        else:
            loss.backward()

    return step(reduced)(model, xb, yb, loss_fn, optimizer, all_reduce, world_size)


def loss_with_graph(model, xb, yb, loss_fn, *rest):
    step(averaged)(model, xb, yb, loss_fn, *rest)
    return loss_fn(model(xb), yb)


wrong(
    "step_together",
    {
        "all_reduce was never called": step(lambda loss, *_: loss.backward()),
        "still has its graph": loss_with_graph,
        "The step is right. The loss": lambda *case: loss_with_graph(*case).item(),
    },
)

# Exercise 3


def share(
    seeded=lambda seed, epoch, rank: seed + epoch,
    padded=lambda order, size, epoch: order + order[: -len(order) % size],
    mine=lambda rows, rank, size: rows[rank::size],
):
    """The right rows of a process, to be spoilt in the order, its length, or the share of it."""

    def my_rows(n, rank, world_size, epoch, seed=0):
        generator = torch.Generator().manual_seed(seeded(seed, epoch, rank))
        order = torch.randperm(n, generator=generator).tolist()
        return mine(padded(order, world_size, epoch), rank, world_size)

    return my_rows


def by_seed_alone(seed, epoch, rank):
    return seed


def pushed_on(order, size, epoch):
    return (order[epoch:] + order[:epoch]) + order[epoch : epoch + -len(order) % size]


def shares_exchanged(n, rank, world_size, epoch, seed=0):
    return share(by_seed_alone)(n, (rank + epoch) % world_size, world_size, epoch, seed)


def from_the_global_generator(n, rank, world_size, epoch, seed=0):
    order = torch.randperm(n).tolist()
    return (order + order[: -n % world_size])[rank::world_size]


def shuffled_within_the_share(n, rank, world_size, epoch, seed=0):
    rows = [*range(n), *range(-n % world_size)][rank::world_size]
    return [rows[i] for i in share()(len(rows), 0, 1, epoch, seed)]


def each_pads_its_own_share(n, rank, world_size, epoch, seed=0):
    rows = share(padded=lambda order, size, epoch: order)(n, rank, world_size, epoch, seed)
    return (rows + rows)[: -(-n // world_size)]


@right("my_rows")
def by_pytorch(n, rank, world_size, epoch, seed=0):
    sampler = DistributedSampler(range(n), num_replicas=world_size, rank=rank, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


right("my_rows")(share())
right("my_rows")(
    share(
        lambda seed, epoch, rank: 1000 * seed + epoch,
        mine=lambda rows, rank, size: torch.tensor(rows).view(size, -1)[rank],
    )
)
wrong(
    "my_rows",
    {
        "Epoch 0 and epoch 1": share(by_seed_alone),
        "Epoch 0 and epoch 2": share(lambda seed, epoch, rank: seed + epoch % 2),
        "not with the rank": share(lambda seed, epoch, rank: seed + 100 * epoch + rank),
        "seeded alike on every process": from_the_global_generator,
        "the shares have [12, 11] rows": share(padded=lambda order, size, epoch: order),
        "the shares have [1, 1, 0, 0] rows": each_pads_its_own_share,
        "1 row is never drawn": share(
            padded=lambda order, size, epoch: order[: len(order) - len(order) % size]
        ),
        "2 rows come twice; 0 would do": share(
            padded=lambda order, size, epoch: order + order[: size - len(order) % size]
        ),
        "you hand out row -1": share(
            padded=lambda order, size, epoch: order + [-1] * (-len(order) % size)
        ),
        "only in another order": shuffled_within_the_share,
        "every process gets all rows": share(mine=lambda rows, rank, size: rows),
        "stored order": lambda n, rank, world_size, epoch, seed=0: [*range(n)][rank::world_size],
        "Use seed as well": lambda n, rank, world_size, epoch, seed=0: share()(
            n, rank, world_size, epoch
        ),
        "exchanged or its order pushed on": shares_exchanged,
        "its order pushed on": share(by_seed_alone, pushed_on),
        "in ascending order": share(mine=lambda rows, rank, size: sorted(rows[rank::size])),
    },
)

# Exercise 4

right("wrong_lines")({7, 15, 18})
right("wrong_lines")([18, 15, 7])
right("wrong_lines")(set(np.array([7, 15, 18])))
wrong(
    "wrong_lines",
    {
        "Line 3 is right": {3, 7, 15},
        "Line 5 is right": {5, 15, 18},
        "Line 17 is right": {7, 15, 17},
        "Line 9 is right": {7, 9, 18},
        "polite, not a must": {7, 15, 19},
        "2 of the three found. Which rows": {15, 18},
        "happen once": {7, 15},
        "Its partner never comes": {7, 18},
        "single number": 7,
        "from 1 to 19": {7, 15, 20},
    },
)

# Exercise 5

RIGHT_PLAN = {"combined_batch": 512, "rows_per_process": 1251, "steps": 20, "drawn_twice": 2}

right("plan")(RIGHT_PLAN)
right("plan")({**RIGHT_PLAN, "drawn_twice": 2.0, "note": "eight processes"})
wrong("plan", "should be a number")({**RIGHT_PLAN, "steps": "twenty"})
for name, numbers in WRONG_PLANS.items():
    wrong("plan", {words: RIGHT_PLAN | {name: number} for words, number in numbers.items()})
