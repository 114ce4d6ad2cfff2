"""Answers to the exercises of lesson 00."""

import numpy as np

from . import gallery

wrong, right = gallery("why_a_loop")

# Exercise 1


@right("steps_per_epoch")
def with_numpy(n, batch_size, drop_last):
    return np.floor(n / batch_size) if drop_last else -(-n // batch_size)


@wrong("steps_per_epoch", "should be a number")
def list_of_batches(n, batch_size, drop_last):
    return [batch_size] * (n // batch_size)


# Exercise 2


@right("output_gradient")
def row_by_row(y_hat, y):
    rows = [(p - t) / y.size for p, t in zip(y_hat[:, 0], y[:, 0], strict=True)]
    return np.array(rows)[:, None]


@wrong("output_gradient", "yours has the shape []")
def mean_taken(y_hat, y):
    return np.mean(y_hat - y)


@wrong("output_gradient", "yours has the shape [20, 20]")
def broadcast(y_hat, y):
    return (y_hat - y.ravel()) / len(y)


@wrong("output_gradient", "changed the data")
def in_place(y_hat, y):
    y_hat -= y
    return y_hat / len(y)


# Exercise 3


@wrong("update", "Return the whole list")
def returns_the_last_array(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p -= lr * g
    return p


@wrong("update", "changed the gradients")
def gradients_scaled(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        g *= lr
        p -= g
    return params


@wrong("update", "but you return others")
def returns_copies(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p -= lr * g
    return [p.copy() for p in params]


@wrong("update", "returned None")
def nothing_returned(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p -= lr * g


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


@wrong("train_in_pytorch", "plain Python number")
def tensors(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return losses


@wrong("train_in_pytorch", "Does the return stand inside the loop")
def return_inside_the_loop(model, loss_fn, optimizer, batches):
    losses = []
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        return losses


@wrong("train_in_pytorch", "as a list: begin with losses = []")
def the_sum(model, loss_fn, optimizer, batches):
    total = 0.0
    for xb, yb in batches:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


@wrong("train_in_pytorch", "returned None")
def no_return(model, loss_fn, optimizer, batches):
    for xb, yb in batches:
        optimizer.zero_grad()
        loss_fn(model(xb), yb).backward()
        optimizer.step()


def steps(*lines):
    """An answer with these lines after the forward pass."""

    def answer(model, loss_fn, optimizer, batches):
        losses = []
        for xb, yb in batches:
            loss = loss_fn(model(xb), yb)
            for line in lines:
                loss.backward() if line == "backward" else getattr(optimizer, line)()
            losses.append(loss.item())
        return losses

    return answer


wrong("train_in_pytorch", "zero_grad is missing in the loop")(steps("backward", "step"))
wrong("train_in_pytorch", "step() is missing")(steps("zero_grad", "backward"))
wrong("train_in_pytorch", "backward() is missing")(steps("zero_grad", "step"))
wrong("train_in_pytorch", "between backward and step")(steps("backward", "zero_grad", "step"))
wrong("train_in_pytorch", "step comes before backward")(steps("zero_grad", "step", "backward"))


@wrong("train_in_pytorch", "zero_grad is missing in the loop")
def cleared_once(model, loss_fn, optimizer, batches):
    optimizer.zero_grad()
    return steps("backward", "step")(model, loss_fn, optimizer, batches)


# Exercise 5


@wrong("success_by_width", "only trained with the seeds [3]")
def one_seed(train_once, widths, seeds):
    return {width: float(train_once(width, seeds[0]) >= 0.85) for width in widths}


@wrong("success_by_width", "Width 2 was only trained with the seeds [3]. To be fair")
def another_seed_for_each_width(train_once, widths, seeds):
    pairs = zip(widths, seeds, strict=False)
    return {width: float(train_once(width, seed) >= 0.85) for width, seed in pairs}


@wrong("success_by_width", "not among those you were given")
def own_seeds(train_once, widths, seeds):
    return {width: np.mean([train_once(width, s) >= 0.85 for s in range(20)]) for width in widths}


@wrong("success_by_width", "swapped the arguments")
def swapped(train_once, widths, seeds):
    return {width: np.mean([train_once(s, width) >= 0.85 for s in seeds]) for width in widths}


@wrong("success_by_width", "Width 5 was never trained")
def return_inside(train_once, widths, seeds):
    for width in widths:
        return {width: np.mean([train_once(width, seed) >= 0.85 for seed in seeds])}


@wrong("success_by_width", "The keys should be the widths")
def dict_made_anew(train_once, widths, seeds):
    for width in widths:
        share = {width: np.mean([train_once(width, seed) >= 0.85 for seed in seeds])}
    return share


@wrong("success_by_width", "Return a dict")
def list_returned(train_once, widths, seeds):
    return [np.mean([train_once(width, seed) >= 0.85 for seed in seeds]) for width in widths]


@wrong("success_by_width", "never called")
def nothing_trained(train_once, widths, seeds):
    return {width: 1.0 for width in widths}
