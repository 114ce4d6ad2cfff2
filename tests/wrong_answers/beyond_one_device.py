"""Answers to the exercises of lesson 10."""

import torch
from torch.utils.data import DistributedSampler

from . import gallery

wrong, right = gallery("beyond_one_device")

# Exercise 1


@right("average_gradients")
def with_loops(shares):
    rows = sum(n for _, n in shares)
    average = []
    for i in range(len(shares[0][0])):
        total = torch.zeros_like(shares[0][0][i])
        for gradients, n in shares:
            total += gradients[i] * n / rows
        average.append(total)
    return average


@right("average_gradients")
def stacked(shares):
    counts = torch.tensor([float(n) for _, n in shares])
    weights = counts / counts.sum()
    parameters = zip(*[gradients for gradients, _ in shares], strict=True)
    return tuple(torch.tensordot(weights, torch.stack(grads), dims=1) for grads in parameters)


def _weighted(shares, weight):
    parameters = zip(*[gradients for gradients, _ in shares], strict=True)
    weights = [weight(n) for _, n in shares]
    return [sum(w * g for w, g in zip(weights, grads, strict=True)) for grads in parameters]


@wrong("average_gradients", "plain average")
def plain_average(shares):
    return _weighted(shares, lambda n: 1 / len(shares))


@wrong("average_gradients", "plain sum")
def plain_sum(shares):
    return _weighted(shares, lambda n: 1)


@wrong("average_gradients", "still has to be divided by all rows")
def never_divided(shares):
    return _weighted(shares, lambda n: n)


@wrong("average_gradients", "divided by the number of processes")
def divided_by_processes(shares):
    return _weighted(shares, lambda n: n / len(shares))


@wrong("average_gradients", "first process alone")
def first_only(shares):
    return shares[0][0]


@wrong("average_gradients", "instead of multiplying")
def divided_by_rows(shares):
    return _weighted(shares, lambda n: 1 / n)


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


# Exercise 2


@right("step_together")
def as_in_the_lesson(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
        parameter.grad.div_(world_size)
    optimizer.step()
    return loss.item()


@right("step_together")
def loss_divided_first(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    loss = loss_fn(model(xb), yb)
    (loss / world_size).backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@right("step_together")
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


@wrong("step_together", "all_reduce was never called")
def never_reduced(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("step_together", "Divide by world_size")
def summed(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
    optimizer.step()
    return loss.item()


@wrong("step_together", "too late, or on copies")
def reduced_after_the_step(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
        parameter.grad /= world_size
    return loss.item()


@wrong("step_together", "too late, or on copies")
def result_thrown_away(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad / world_size)
    optimizer.step()
    return loss.item()


@wrong("step_together", "there is no gradient yet")
def reduced_before_backward(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    for parameter in model.parameters():
        all_reduce(parameter.grad)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("step_together", "You gave all_reduce the loss")
def loss_reduced(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    all_reduce(loss)
    loss = loss / world_size
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("step_together", "zero_grad() once a step")
def not_cleared(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    loss = loss_fn(model(xb), yb)
    own = torch.autograd.grad(loss, list(model.parameters()))
    for parameter, grad in zip(model.parameters(), own, strict=True):
        all_reduce(grad)
        old = 0 if parameter.grad is None else parameter.grad
        parameter.grad = old + grad / world_size
    optimizer.step()
    return loss.item()


@wrong("step_together", "wrong for AdamW")
def weights_averaged(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for parameter in model.parameters():
            all_reduce(parameter)
            parameter /= world_size
    return loss.item()


@wrong("step_together", "divided by the number of rows")
def divided_by_the_rows(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    for parameter in model.parameters():
        all_reduce(parameter.grad)
        parameter.grad /= len(xb)
    optimizer.step()
    return loss.item()


@wrong("step_together", "wait for each other for ever")
def only_one_calls(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    if yb.sum() == 7:  # so on one of the processes alone
        for parameter in model.parameters():
            all_reduce(parameter.grad)
    optimizer.step()
    return loss.item()


@wrong("step_together", "still has its graph")
def loss_with_graph(model, xb, yb, loss_fn, optimizer, all_reduce, world_size):
    as_in_the_lesson(model, xb, yb, loss_fn, optimizer, all_reduce, world_size)
    return loss_fn(model(xb), yb)


# Exercise 3


def _order(n, seed):
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


@right("my_rows")
def by_slicing(n, rank, world_size, epoch, seed=0):
    order = _order(n, seed + epoch)
    order += order[: -n % world_size]
    return order[rank::world_size]


@right("my_rows")
def by_pytorch(n, rank, world_size, epoch, seed=0):
    sampler = DistributedSampler(range(n), num_replicas=world_size, rank=rank, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


@right("my_rows")
def in_pieces(n, rank, world_size, epoch, seed=0):
    order = torch.tensor(_order(n, 1000 * seed + epoch))
    length = -(-n // world_size)
    return torch.cat([order, order])[rank * length : (rank + 1) * length]


@wrong("my_rows", "Epoch 0 and epoch 1")
def without_epoch(n, rank, world_size, epoch, seed=0):
    order = _order(n, seed)
    return (order + order[: -n % world_size])[rank::world_size]


@wrong("my_rows", "not with the rank")
def seeded_with_the_rank(n, rank, world_size, epoch, seed=0):
    order = _order(n, seed + 100 * epoch + rank)
    return (order + order[: -n % world_size])[rank::world_size]


@wrong("my_rows", "not with the rank")
def from_the_global_generator(n, rank, world_size, epoch, seed=0):
    order = torch.randperm(n).tolist()
    return (order + order[: -n % world_size])[rank::world_size]


@wrong("my_rows", "the shares have [12, 11] rows")
def unequal(n, rank, world_size, epoch, seed=0):
    return _order(n, seed + epoch)[rank::world_size]


@wrong("my_rows", "1 row is never drawn")
def left_out(n, rank, world_size, epoch, seed=0):
    order = _order(n, seed + epoch)
    return order[: n - n % world_size][rank::world_size]


@wrong("my_rows", "2 rows come twice; 0 would do")
def one_too_many(n, rank, world_size, epoch, seed=0):
    order = _order(n, seed + epoch)
    return (order + order[: world_size - n % world_size])[rank::world_size]


@wrong("my_rows", "only in another order")
def shuffled_within_the_share(n, rank, world_size, epoch, seed=0):
    rows = [*range(n), *range(-n % world_size)][rank::world_size]
    return [rows[i] for i in _order(len(rows), seed + epoch)]


@wrong("my_rows", "every process gets all rows")
def everything(n, rank, world_size, epoch, seed=0):
    return _order(n, seed + epoch)


@wrong("my_rows", "stored order")
def not_shuffled(n, rank, world_size, epoch, seed=0):
    return list(range(n))[rank::world_size]


@wrong("my_rows", "Use seed as well")
def without_seed(n, rank, world_size, epoch, seed=0):
    return by_slicing(n, rank, world_size, epoch)


# Exercise 4

right("wrong_lines")({7, 15, 18})
right("wrong_lines")([18, 15, 7])
wrong("wrong_lines", "Line 3 is right")({3, 7, 15})
wrong("wrong_lines", "Line 5 is right")({5, 15, 18})
wrong("wrong_lines", "Line 17 is right")({7, 15, 17})
wrong("wrong_lines", "Line 9 is right")({7, 9, 18})
wrong("wrong_lines", "polite, not a must")({7, 15, 19})
wrong("wrong_lines", "2 of the three found. Which rows")({15, 18})
wrong("wrong_lines", "happen once")({7, 15})
wrong("wrong_lines", "Its partner never comes")({7, 18})
wrong("wrong_lines", "single number")(7)
wrong("wrong_lines", "from 1 to 19")({7, 15, 20})

# Exercise 5


def _plan(combined_batch=512, rows_per_process=1251, steps=20, drawn_twice=2):
    return {
        "combined_batch": combined_batch,
        "rows_per_process": rows_per_process,
        "steps": steps,
        "drawn_twice": drawn_twice,
    }


right("plan")(_plan())
right("plan")({**_plan(drawn_twice=2.0), "note": "eight processes"})
wrong("plan", "batch of one process")(_plan(combined_batch=64))
wrong("plan", "counted per process")(_plan(combined_batch=8))
wrong("plan", "six rows would be left out")(_plan(rows_per_process=1250))
wrong("plan", "part of a row")(_plan(rows_per_process=1250.75))
wrong("plan", "fills up the last batch, too")(_plan(rows_per_process=1280))
wrong("plan", "is a step, too")(_plan(steps=19))
wrong("plan", "one process that has all the rows")(_plan(steps=157))
wrong("plan", "don't add them up")(_plan(steps=160))
wrong("plan", "can't be equal without filling up")(_plan(drawn_twice=0))
wrong("plan", "Six rows are left over")(_plan(drawn_twice=6))
wrong("plan", "last combined batch")(_plan(drawn_twice=234))
wrong("plan", "should be a number")(_plan(steps="twenty"))


# Exercise 3, rows that stay together


def order_of(n, world_size, seed):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    return order + order[: -n % world_size]


@wrong("my_rows", "exchanged or its order pushed on")
def shares_exchanged(n, rank, world_size, epoch, seed=0):
    return order_of(n, world_size, seed)[(rank + epoch) % world_size :: world_size]


@wrong("my_rows", "exchanged or its order pushed on")
def one_order_pushed_on(n, rank, world_size, epoch, seed=0):
    order = order_of(n, world_size, seed)
    return (order[epoch:] + order[:epoch])[rank::world_size]


@wrong("my_rows", "in ascending order")
def sorted_shares(n, rank, world_size, epoch, seed=0):
    return sorted(order_of(n, world_size, seed + epoch)[rank::world_size])


@wrong("my_rows", "Epoch 0 and epoch 2")
def two_orders_in_turn(n, rank, world_size, epoch, seed=0):
    return order_of(n, world_size, seed + epoch % 2)[rank::world_size]


@wrong("my_rows", "you hand out row -1")
def padded_with_minus_one(n, rank, world_size, epoch, seed=0):
    return (order_of(n, 1, seed + epoch) + [-1] * (-n % world_size))[rank::world_size]
