"""Answers to the exercises of lesson 03."""

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.checks.backward import (
    BY_HAND,
    by_hand_weighted,
    by_unit_vectors,
    in_place_and_back,
    layer_gradients,
)
from tests import lessons

from . import gallery

wrong, right = gallery("backward")

# Exercise 1

right("by_hand")({"w": -36, "b": -9})
right("by_hand")({"w": torch.tensor(-36.0), "b": torch.tensor([-9.0], requires_grad=True)})
wrong("by_hand", {words: {"w": w, "b": b} for words, (w, b) in BY_HAND.items()})
wrong(
    "by_hand",
    {
        "link by link": {"w": -324, "b": -81},
        "what a nudge gives": {"w": -35.84, "b": -8.99},
        "gradient for w is right": {"w": -36, "b": 1},
        "gradient for b is right": {"w": 36, "b": -9},
        "should be a number": {"w": "minus 36", "b": -9},
        "Missing: w; new: W": {"W": -36, "b": -9},
        "Pass the dict": -36,
    },
)

# Exercise 2


def two_loops(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    rows, columns = x.shape if x.ndim == 2 else (1, 1)
    for i in range(rows):
        for j in range(columns):
            nudge = torch.zeros_like(x)
            nudge.view(rows, -1)[i, j] = eps
            grad.view(rows, -1)[i, j] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return grad


def two_loops_over_the_shape(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            grad[i, j] = in_place_and_back(f, x, eps)[i, j]
    return grad


def nudge_left_in(f, x, eps=1e-5):
    x += eps
    return by_unit_vectors(f, x, eps)


def last_entry_missing(f, x, eps=1e-5):
    grad = by_unit_vectors(f, x, eps)
    grad.view(-1)[-1] = 0
    return grad


def by_autograd(f, x, eps=1e-5):
    x = x.clone().requires_grad_()
    f(x).backward()
    return x.grad


wrong(
    "numerical_gradient",
    {
        "has shape [6]": lambda f, x, eps=1e-5: by_unit_vectors(f, x, eps).flatten(),
        "of shape [3]": two_loops,
        "Go through view(-1) of": two_loops_over_the_shape,
        "changed the data": nudge_left_in,
        "should be": last_entry_missing,
        "without backward()": by_autograd,
        "another shape than x": lambda f, x, eps=1e-5: by_unit_vectors(f, x.flatten(), eps).view(
            x.shape
        ),
    },
)

# Exercise 3

RIGHT = {"a": "nonzero", "b": "None", "c": "None", "d": "zero", "e": "nonzero"}
right("none_or_zero")(RIGHT)
right("none_or_zero")({"a": "non-zero", "b": None, "c": "none", "d": "zero", "e": "Nonzero"})
wrong(
    "none_or_zero",
    {
        "reaches the loss by a.sum()": RIGHT | {"a": "zero"},
        "makes a plain number": RIGHT | {"b": "nonzero"},
        "nothing is recorded": RIGHT | {"c": "zero"},
        "there is a path": RIGHT | {"d": "None"},
        "a gradient is about rates": RIGHT | {"e": "zero"},
        "Right: 3 of 5": RIGHT | {"d": "nonzero", "e": "zero"},
        'Write the word: "nonzero"': RIGHT | {"a": 1.0},
        'Write the word: "zero"': RIGHT | {"d": 0},
        'should be "None", "zero"': RIGHT | {"a": "some"},
    },
)

# Exercise 4


def product(change_W=lambda G, x: G.T @ x, change_b=lambda G: G.sum(0)):
    def layer_gradients(x, W, b, target):
        G = 2 * (x @ W.T + b - target) / target.numel()
        return change_W(G, x), change_b(G)

    return layer_gradients


def by_backward(x, W, b, target):
    F.mse_loss(x @ W.T + b, target).backward()


def by_autograd_grad(x, W, b, target):
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    return torch.autograd.grad(F.mse_loss(x @ W.T + b, target), (W, b))


wrong(
    "layer_gradients",
    {
        "Turn the product round": product(lambda G, x: x.T @ G),
        "Add the rows up": product(change_b=lambda G: G.sum(1)),
        "All rows share one bias": product(change_b=lambda G: G),
        "the one for W first": lambda *case: layer_gradients.right(*case)[::-1],
        "gradient_for_W, gradient_for_b": lambda *case: layer_gradients.right(*case)[0],
        "without autograd": by_backward,
        "Work the gradients out yourself": by_autograd_grad,
    },
)

# Exercise 5


def divided_by_pieces_and_not_by_rows(model, pieces, loss_fn):
    model.zero_grad()
    for xb, yb in pieces:
        (loss_fn(model(xb), yb) * len(xb) / len(pieces)).backward()
    return 0.0


def joined(model, pieces, loss_fn):
    xb, yb = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    loss_fn(model(xb), yb).backward()
    return 0.0


def with_a_step(model, pieces, loss_fn):
    result = by_hand_weighted(model, pieces, loss_fn)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return result


wrong(
    "accumulate",
    {
        "a common factor is wrong": divided_by_pieces_and_not_by_rows,
        "60 rows went through": joined,
        "weights have moved": with_a_step,
        "plain Python number": lambda *case: torch.tensor(by_hand_weighted(*case)),
    },
)

# Exercise 6

Recorded = lessons.recorded()


class _Right(Recorded):
    def __matmul__(self, other):
        return type(self)(
            self.data @ other.data,
            (self, other),
            lambda g: (g @ other.data.T, self.data.T @ g),
        )

    def relu(self):
        return type(self)(np.maximum(self.data, 0), (self,), lambda g: (g * (self.data > 0),))


@right("small_autograd")
class WithEinsum(_Right):
    def __matmul__(self, other):
        def rule(g):
            left = np.einsum("bo,io->bi", g, other.data)
            return [left, np.einsum("bi,bo->io", self.data, g)]

        return WithEinsum(self.data.dot(other.data), [self, other], rule)


@right("small_autograd")
class WithWhere(_Right):
    def relu(self):
        on = np.where(self.data > 0, 1.0, 0.0)
        return WithWhere(self.data * on, (self,), lambda g: (g * on,))


def network(**methods):
    """The right class with another `@` or relu: functions that give (data, parents, rule)."""

    def method(parts):
        return lambda self, *other: type(self)(*parts(self, *other))

    return type("Network", (_Right,), {name: method(parts) for name, parts in methods.items()})


class PlainArrays(_Right):
    def __matmul__(self, other):
        return self.data @ other.data


wrong(
    "small_autograd",
    {
        "ReLU's rule: g where its input was positive": network(
            relu=lambda x: (np.maximum(x.data, 0), (x,), lambda g: (g,))
        ),
        "one gradient for each parent": network(
            relu=lambda x: (np.maximum(x.data, 0), (x,), lambda g: g * (x.data > 0))
        ),
        "The values of relu": network(
            relu=lambda x: (np.minimum(x.data, 0), (x,), lambda g: (g * (x.data < 0),))
        ),
        "Each gradient has its parent's shape": network(
            __matmul__=lambda x, W: (
                x.data @ W.data,
                (x, W),
                lambda g: (x.data.T @ g, g @ W.data.T),
            )
        ),
        "No gradient comes to W2": network(
            __matmul__=lambda x, W: (x.data @ W.data, (x,), lambda g: (g @ W.data.T,))
        ),
        "made by type(self)(data, parents, rule)": PlainArrays,
        "Pass the class itself": _Right(1.0),
    },
)
