"""Answers to the exercises of lesson 00."""

import numpy as np
import torch

from course_utils.checks.why_a_loop import in_order, loop, success_by_width, update

from . import gallery

wrong, right = gallery("why_a_loop")

# Exercise 1


@right("steps_per_epoch")
def with_numpy(n, batch_size, drop_last):
    return np.floor(n / batch_size) if drop_last else -(-n // batch_size)


wrong(
    "steps_per_epoch",
    {
        "should be a number": lambda n, size, drop_last: [size] * (n // size),
        "or one of two": lambda n, size, drop_last: 31 if drop_last else 32,
    },
)

# Exercise 2


def in_place(y_hat, y):
    y_hat -= y
    return y_hat / len(y)


wrong(
    "output_gradient",
    {
        "yours has the shape []": lambda y_hat, y: np.mean(y_hat - y),
        "yours has the shape [20, 20]": lambda y_hat, y: (y_hat - y.ravel()) / len(y),
        "changed the data": in_place,
        "You divide by 5, a fixed number, where `len(y_hat)`": lambda y_hat, y: (y_hat - y) / 5,
        "You divide by 32, a fixed number": lambda y_hat, y: (y_hat - y) / 32,
    },
)

# Exercise 3


def gradients_scaled(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        g *= lr
        p -= g
    return params


wrong(
    "update",
    {
        "Return the whole list": lambda *case: update.right(*case)[-1],
        "changed the gradients": gradients_scaled,
        "but you return others": lambda *case: [p.copy() for p in update.right(*case)],
        "returned None": lambda *case: update.right(*case) and None,
    },
)

# Exercise 4


@right("train_in_pytorch")
def with_names_of_his_own(net, criterion, opt, data):
    history = []
    for x, y in data:
        out = net(x)
        error = criterion(out, y)
        error.backward()
        opt.step()
        opt.zero_grad(set_to_none=False)
        history.append(error.detach().item())
    return tuple(history)


def steps(*lines, returns=lambda losses: losses):
    return lambda *case: returns(
        loop(in_order(*(lines or ("zero_grad", "backward", "step"))))(*case)
    )


def cleared_once(model, loss_fn, optimizer, batches):
    optimizer.zero_grad()
    return steps("backward", "step")(model, loss_fn, optimizer, batches)


wrong(
    "train_in_pytorch",
    {
        "plain Python number": steps(
            returns=lambda losses: [torch.tensor(loss) for loss in losses]
        ),
        "Does the return stand inside the loop": lambda model, loss_fn, optimizer, batches: steps()(
            model, loss_fn, optimizer, batches[:1]
        ),
        "Your list is empty": steps(returns=lambda losses: []),
        "its parentheses are missing": steps(
            returns=lambda losses: [torch.tensor(loss).item for loss in losses]
        ),
        "as a list: begin with losses = []": steps(returns=sum),
        "returned None": steps(returns=lambda losses: None),
        "zero_grad is missing in the loop": cleared_once,
        "step() is missing": steps("zero_grad", "backward"),
        "backward() is missing": steps("zero_grad", "step"),
        "between backward and step": steps("backward", "zero_grad", "step"),
        "where the gradients have just been": steps("zero_grad", "step", "backward"),
        "step comes before backward, where": steps("step", "backward", "zero_grad"),
        "comes before backward and changes": steps("step", "zero_grad", "backward"),
    },
)

# Exercise 5


def of_pairs(pairs):
    """Shares of the runs that `pairs(widths, seeds)` gives for each width."""

    def success_by_width(train_once, widths, seeds):
        runs = pairs(widths, seeds)
        return {w: np.mean([train_once(*pair) >= 0.85 for pair in runs[w]]) for w in runs}

    return success_by_width


wrong(
    "success_by_width",
    {
        "only trained with the seeds [3]": of_pairs(
            lambda widths, seeds: {w: [(w, seeds[0])] for w in widths}
        ),
        "Width 2 was only trained with the seeds [3]. To be fair": of_pairs(
            lambda widths, seeds: {w: [(w, s)] for w, s in zip(widths, seeds, strict=False)}
        ),
        "not among those you were given": of_pairs(
            lambda widths, seeds: {w: [(w, s) for s in range(20)] for w in widths}
        ),
        "swapped the arguments": of_pairs(
            lambda widths, seeds: {w: [(s, w) for s in seeds] for w in widths}
        ),
        "Width 5 was never trained": of_pairs(
            lambda widths, seeds: {w: [(w, s) for s in seeds] for w in widths[:1]}
        ),
        "The keys should be the widths": lambda train_once, widths, seeds: dict(
            [*success_by_width.right(train_once, widths, seeds).items()][-1:]
        ),
        "Return a dict": lambda *case: [*success_by_width.right(*case).values()],
        "never called": lambda train_once, widths, seeds: dict.fromkeys(widths, 1.0),
        "You divide by 5, a fixed number, where `len(seeds)`": lambda train_once, widths, seeds: {
            w: sum(train_once(w, s) >= 0.85 for s in seeds) / 5 for w in widths
        },
    },
)
