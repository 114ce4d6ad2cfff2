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

for order in ("CEBDA", "EBCDA", "ebdac", "E, C, B, D, A", ["E", "B", "D", "A", "C"]):
    right("order_of_the_lines")(order)

wrong("order_of_the_lines", "C stands between D and A")("EBDCA")
wrong("order_of_the_lines", "A comes before D")("CEBAD")
wrong("order_of_the_lines", "one round late")("ACEBD")
wrong("order_of_the_lines", "B comes before E")("CBEDA")
wrong("order_of_the_lines", "D comes before B")("CEDBA")
wrong("order_of_the_lines", "yours are CEBD.")("CEBD")
wrong("order_of_the_lines", "yours are CEBDDA.")("CEBDDA")
wrong("order_of_the_lines", "string of five letters")(5)
wrong("order_of_the_lines", "Give the letters")(
    ["logits = model(xb)", "loss = loss_fn(logits, yb)", "loss.backward()", "optimizer.step()"]
)

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
