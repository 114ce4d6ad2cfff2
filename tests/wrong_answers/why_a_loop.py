"""Answers to the exercises of lesson 00."""

import math

import numpy as np
import torch

from . import gallery

wrong, right = gallery("why_a_loop")

# Exercise 1


@right("steps_per_epoch")
def with_ceil(n, batch_size, drop_last):
    return n // batch_size if drop_last else math.ceil(n / batch_size)


@right("steps_per_epoch")
def by_counting(n, batch_size, drop_last):
    starts = range(0, n, batch_size)
    return sum(1 for start in starts if not drop_last or start + batch_size <= n)


@right("steps_per_epoch")
def with_numpy(n, batch_size, drop_last):
    return np.floor(n / batch_size) if drop_last else -(-n // batch_size)


@wrong("steps_per_epoch", "left out the incomplete last batch")
def always_floor(n, batch_size, drop_last):
    return n // batch_size


@wrong("steps_per_epoch", "but drop_last is True")
def always_ceil(n, batch_size, drop_last):
    return math.ceil(n / batch_size)


@wrong("steps_per_epoch", "divides evenly")
def always_one_more(n, batch_size, drop_last):
    return n // batch_size if drop_last else n // batch_size + 1


@wrong("steps_per_epoch", "no fraction of a step")
def plain_division(n, batch_size, drop_last):
    return n / batch_size


@wrong("steps_per_epoch", "rounded to the nearest")
def rounded(n, batch_size, drop_last):
    return n // batch_size if drop_last else round(n / batch_size)


@wrong("steps_per_epoch", "Nothing is incomplete")
def always_dropping_one(n, batch_size, drop_last):
    return math.ceil(n / batch_size) - (1 if drop_last else 0)


@wrong("steps_per_epoch", "examples left over, not the number of steps")
def remainder(n, batch_size, drop_last):
    return n % batch_size


@wrong("steps_per_epoch", "not a single full batch")
def at_least_one(n, batch_size, drop_last):
    return max(1, with_ceil(n, batch_size, drop_last))


@wrong("steps_per_epoch", "still make one batch")
def needs_a_full_batch(n, batch_size, drop_last):
    return 0 if n < batch_size else with_ceil(n, batch_size, drop_last)


@wrong("steps_per_epoch", "should be a number")
def list_of_batches(n, batch_size, drop_last):
    return [batch_size] * (n // batch_size)


@right("steps_per_epoch")
def in_a_tensor(n, batch_size, drop_last):
    steps = torch.tensor(n / batch_size)
    return steps.floor() if drop_last else steps.ceil()


@wrong("steps_per_epoch", "one batch together")
def one_batch_for_each_left_over(n, batch_size, drop_last):
    return n // batch_size if drop_last else n // batch_size + n % batch_size


# Exercise 2


@right("output_gradient")
def as_in_the_lesson(y_hat, y):
    return (y_hat - y) / len(y_hat)


@right("output_gradient")
def row_by_row(y_hat, y):
    rows = [(p - t) / y.size for p, t in zip(y_hat[:, 0], y[:, 0], strict=True)]
    return np.array(rows)[:, None]


@right("output_gradient")
def by_autograd(y_hat, y):
    z = torch.logit(torch.from_numpy(y_hat)).requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(z, torch.from_numpy(y)).backward()
    return z.grad


@wrong("output_gradient", "left out the division")
def not_divided(y_hat, y):
    return y_hat - y


@wrong("output_gradient", "The sign is the other way round: where")
def sign_swapped(y_hat, y):
    return (y - y_hat) / len(y)


@wrong("output_gradient", "and the division by len(y) is missing")
def sign_swapped_and_not_divided(y_hat, y):
    return y - y_hat


@wrong("output_gradient", "You divided by 5")
def five_fixed(y_hat, y):
    return (y_hat - y) / 5


@wrong("output_gradient", "You divided by 32")
def thirty_two_fixed(y_hat, y):
    return (y_hat - y) / 32


@wrong("output_gradient", "The sign got lost")
def absolute(y_hat, y):
    return np.abs(y_hat - y) / len(y)


@wrong("output_gradient", "not with its square")
def squared(y_hat, y):
    return (y_hat - y) ** 2 / len(y)


@wrong("output_gradient", "belongs to the squared error")
def slope_of_the_sigmoid_kept(y_hat, y):
    return (y_hat - y) * y_hat * (1 - y_hat) / len(y)


@wrong("output_gradient", "gradient for the probability")
def of_the_probability(y_hat, y):
    return (-y / y_hat + (1 - y) / (1 - y_hat)) / len(y)


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


@wrong("output_gradient", "factor 2 too many")
def of_the_squared_error(y_hat, y):
    return 2 * (y_hat - y) / len(y)


@wrong("output_gradient", "gradient of the mean squared error")
def chain_rule_of_the_squared_error(y_hat, y):
    return 2 * (y_hat - y) * y_hat * (1 - y_hat) / len(y)


@wrong("output_gradient", "the losses of the points")
def losses_instead(y_hat, y):
    return -(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat)) / len(y)


@wrong("output_gradient", "class 0 have a slope")
def the_ones_alone(y_hat, y):
    return np.where(y == 1, (y_hat - 1) / len(y), 0)


@wrong("output_gradient", "through the sigmoid already")
def sigmoid_twice(y_hat, y):
    return (1 / (1 + np.exp(-y_hat)) - y) / len(y)


# Exercise 3


@right("update")
def by_index(params, grads, lr):
    for i in range(len(params)):
        params[i] -= lr * grads[i]
    return params


@right("update")
def with_slices(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p[...] = p - g * lr
    return [p for p in params]


@right("update")
def with_numpy_subtract(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        np.subtract(p, lr * g, out=p)
    return params


@wrong("update", "No array has changed")
def the_friends_version(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p = p - lr * g
    return params


@wrong("update", "new arrays into the list")
def new_arrays_in_the_list(params, grads, lr):
    for i, g in enumerate(grads):
        params[i] = params[i] - lr * g
    return params


@wrong("update", "You return new arrays")
def new_list(params, grads, lr):
    return [p - lr * g for p, g in zip(params, grads, strict=True)]


@wrong("update", "uphill")
def uphill(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p += lr * g
    return params


@wrong("update", "learning rate is missing")
def without_lr(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p -= g
    return params


@wrong("update", "Return the whole list")
def returns_the_last_array(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p -= lr * g
    return p


@wrong("update", "inside the loop")
def return_inside_the_loop(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p -= lr * g
        return params


@wrong("update", "replaced the weights")
def replaced(params, grads, lr):
    for p, g in zip(params, grads, strict=True):
        p[...] = -lr * g
    return params


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

# Exercise 5


@right("success_by_width")
def with_numpy_mean(train_once, widths, seeds):
    return {width: np.mean([train_once(width, seed) >= 0.85 for seed in seeds]) for width in widths}


@right("success_by_width")
def seeds_outside(train_once, widths, seeds):
    works = dict.fromkeys(widths, 0)
    for seed in seeds:
        for width in widths:
            if train_once(width=width, seed=seed) >= 0.85:
                works[width] += 1 / len(seeds)
    return works


def experiment(summary):
    """A right experiment up to its last line."""

    def attempt(train_once, widths, seeds):
        return {
            width: summary(np.array([train_once(width, seed) for seed in seeds]))
            for width in widths
        }

    return attempt


wrong("success_by_width", "mean accuracies")(experiment(np.mean))
wrong("success_by_width", "One lucky run")(experiment(np.max))
wrong("success_by_width", "at least means >=")(experiment(lambda a: (a > 0.85).mean()))
wrong("success_by_width", "numbers of runs")(experiment(lambda a: (a >= 0.85).sum()))
wrong("success_by_width", "percentages")(experiment(lambda a: 100 * (a >= 0.85).mean()))
wrong("success_by_width", "runs that fail")(experiment(lambda a: (a < 0.85).mean()))
wrong("success_by_width", "You divided by 20")(experiment(lambda a: (a >= 0.85).sum() / 20))
wrong("success_by_width", "You divided by 10")(experiment(lambda a: (a >= 0.85).sum() / 10))
wrong("success_by_width", "number of widths")(experiment(lambda a: (a >= 0.85).sum() / 3))
wrong("success_by_width", "works at all")(experiment(lambda a: (a >= 0.85).any().astype(float)))


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


@right("success_by_width")
def mean_of_a_tensor(train_once, widths, seeds):
    return {
        w: torch.tensor([train_once(w, s) >= 0.85 for s in seeds]).float().mean() for w in widths
    }


@wrong("success_by_width", "Start it at 0")
def count_goes_on(train_once, widths, seeds):
    share, works = {}, 0
    for width in widths:
        for seed in seeds:
            works += train_once(width, seed) >= 0.85
        share[width] = works / len(seeds)
    return share
