"""Answers to the exercises of lesson 03."""

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.checks.backward import (
    by_einsum,
    by_hand_weighted,
    by_unit_vectors,
    in_place_and_back,
)
from tests import lessons

from . import gallery

wrong, right = gallery("backward")

# Exercise 1

right("by_hand")({"w": -36, "b": -9})
right("by_hand")({"b": 2 * (-3.5 - 1), "w": 2 * (-3.5 - 1) * 4.0})
wrong("by_hand", "sign is the wrong way round")({"w": 36, "b": 9})
wrong("by_hand", "rate of squaring is missing")({"w": -18, "b": -4.5})
wrong("by_hand", "not passed on by x")({"w": -9, "b": -9})
wrong("by_hand", "multiplied by w")({"w": 9, "b": -9})
wrong("by_hand", "bias is not multiplied by x")({"w": -36, "b": -36})
wrong("by_hand", "left the bias out")({"w": -40, "b": -10})
wrong("by_hand", "each other's place")({"w": -9, "b": -36})
wrong("by_hand", "loss itself")({"w": 81.0, "b": 20.25})
wrong("by_hand", "should be [-36, -9]")({"w": -324, "b": -81})
wrong("by_hand", "gradient for w is right")({"w": -36, "b": 1})
wrong("by_hand", "gradient for b is right")({"w": 36, "b": -9})
wrong("by_hand", "the error is -4.5")({"w": -20, "b": -5})
wrong("by_hand", "lost the sign of w")({"w": 28, "b": 7})
wrong("by_hand", "That is the loss itself")({"w": 20.25, "b": 20.25})
wrong("by_hand", "should be a number")({"w": "minus 36", "b": -9})
wrong("by_hand", "entries w, b")({"W": -36, "b": -9})
wrong("by_hand", "Pass the dictionary")(-36)

right("by_hand")({"w": torch.tensor(-36.0), "b": torch.tensor([-9.0], requires_grad=True)})
wrong("by_hand", "old numbers")({"w": 12, "b": 4})
wrong("by_hand", "target out")({"w": -28, "b": -7})


# Exercise 2


@wrong("numerical_gradient", "has shape [6]")
def flat(f, x, eps=1e-5):
    return by_unit_vectors(f, x, eps).flatten()


@wrong("numerical_gradient", "of shape [3]")
def two_loops(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    rows, columns = x.shape if x.ndim == 2 else (1, 1)
    for i in range(rows):
        for j in range(columns):
            nudge = torch.zeros_like(x)
            nudge.view(rows, -1)[i, j] = eps
            grad.view(rows, -1)[i, j] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return grad


@wrong("numerical_gradient", "stops for one of shape [3]")
def two_loops_over_the_shape(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            nudge = torch.zeros_like(x)
            nudge[i, j] = eps
            grad[i, j] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return grad


@wrong("numerical_gradient", "changed the data")
def nudge_left_in(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    for i in range(x.numel()):
        x.view(-1)[i] += eps
        up = f(x)
        x.view(-1)[i] -= 2 * eps
        grad.view(-1)[i] = (up - f(x)) / (2 * eps)
    return grad


@wrong("numerical_gradient", "should be")
def last_entry_missing(f, x, eps=1e-5):
    grad = by_unit_vectors(f, x, eps)
    grad.view(-1)[-1] = 0
    return grad


@wrong("numerical_gradient", "without backward()")
def by_autograd(f, x, eps=1e-5):
    x = x.clone().requires_grad_()
    f(x).backward()
    return x.grad


@wrong("numerical_gradient", "changed the data")
def added_and_taken_away(f, x, eps=1e-5):
    gradient = torch.zeros_like(x)
    for place in np.ndindex(*x.shape):
        x[place] += eps
        up = f(x)
        x[place] -= 2 * eps
        gradient[place] = (up - f(x)) / (2 * eps)
        x[place] += eps
    return gradient


@wrong("numerical_gradient", "Go through x.view(-1)")
def rows_and_columns(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            grad[i, j] = in_place_and_back(f, x, eps)[i, j]
    return grad


@wrong("numerical_gradient", "another shape than x")
def flattened_before_f(f, x, eps=1e-5):
    return by_unit_vectors(f, x.flatten(), eps).view(x.shape)


# Exercise 3

RIGHT = {"a": "nonzero", "b": "None", "c": "None", "d": "zero", "e": "nonzero"}
right("none_or_zero")(RIGHT)
right("none_or_zero")({"a": "Nonzero", "b": None, "c": "none", "d": "zero", "e": "nonzero"})
wrong("none_or_zero", "reaches the loss by a.sum()")(RIGHT | {"a": "zero"})
wrong("none_or_zero", "makes a plain number")(RIGHT | {"b": "nonzero"})
wrong("none_or_zero", "nothing is recorded")(RIGHT | {"c": "zero"})
wrong("none_or_zero", "there is a path")(RIGHT | {"d": "None"})
wrong("none_or_zero", "a gradient is about rates")(RIGHT | {"e": "zero"})
wrong("none_or_zero", "3 of 5 are right")(RIGHT | {"d": "nonzero", "e": "zero"})
wrong("none_or_zero", 'should be "None", "zero"')(RIGHT | {"a": 1.0})
wrong("none_or_zero", "entries a, b, c, d, e")({"a": "nonzero"})

right("none_or_zero")({"a": "non-zero", "b": None, "c": "none", "d": "zero", "e": "Nonzero"})


# Exercise 4


def _from_G(make_G, make_W=lambda G, x: G.T @ x, make_b=lambda G: G.sum(0)):
    def layer_gradients(x, W, b, target):
        G = make_G(x @ W.T + b - target)
        return make_W(G, x), make_b(G)

    return layer_gradients


wrong("layer_gradients", "Turn the product round")(
    _from_G(lambda e: 2 * e / e.numel(), make_W=lambda G, x: x.T @ G)
)
wrong("layer_gradients", "Add the rows up")(
    _from_G(lambda e: 2 * e / e.numel(), make_b=lambda G: G.sum(1))
)
wrong("layer_gradients", "All rows share one bias")(
    _from_G(lambda e: 2 * e / e.numel(), make_b=lambda G: G)
)


@wrong("layer_gradients", "the one for W first")
def swapped(x, W, b, target):
    return by_einsum(x, W, b, target)[::-1]


@wrong("layer_gradients", "gradient_for_W, gradient_for_b")
def only_W(x, W, b, target):
    G = 2 * (x @ W.T + b - target) / target.numel()
    return G.T @ x


@wrong("layer_gradients", "without autograd")
def autograd_without_knobs(x, W, b, target):
    F.mse_loss(x @ W.T + b, target).backward()
    return W.grad, b.grad


@wrong("layer_gradients", "without autograd")
def autograd_with_knobs(x, W, b, target):
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    return torch.autograd.grad(F.mse_loss(x @ W.T + b, target), (W, b))


# Exercise 5


@wrong("accumulate", "a common factor is wrong")
def divided_by_pieces_and_not_by_rows(model, pieces, loss_fn):
    model.zero_grad()
    for xb, yb in pieces:
        (loss_fn(model(xb), yb) * len(xb) / len(pieces)).backward()
    return 0.0


@wrong("accumulate", "60 rows went through")
def joined(model, pieces, loss_fn):
    model.zero_grad()
    xb, yb = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    loss = loss_fn(model(xb), yb)
    loss.backward()
    return loss.item()


@wrong("accumulate", "weights have moved")
def with_a_step(model, pieces, loss_fn):
    result = by_hand_weighted(model, pieces, loss_fn)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return result


@wrong("accumulate", "plain Python number")
def tensor_loss(model, pieces, loss_fn):
    return torch.tensor(by_hand_weighted(model, pieces, loss_fn))


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


@wrong("small_autograd", "ReLU's rule: g where its input was positive")
class ReluLetsAllThrough(_Right):
    def relu(self):
        return type(self)(np.maximum(self.data, 0), (self,), lambda g: (g,))


@wrong("small_autograd", "Each gradient has its parent's shape")
class MatmulTheWrongWayRound(_Right):
    def __matmul__(self, other):
        return type(self)(
            self.data @ other.data, (self, other), lambda g: (self.data.T @ g, g @ other.data.T)
        )


@wrong("small_autograd", "one gradient for each parent")
class NoTuple(_Right):
    def relu(self):
        return type(self)(np.maximum(self.data, 0), (self,), lambda g: g * (self.data > 0))


@wrong("small_autograd", "made by type(self)(data, parents, rule)")
class PlainArrays(_Right):
    def __matmul__(self, other):
        return self.data @ other.data


@wrong("small_autograd", "The values of relu")
class ReluThatNegates(_Right):
    def relu(self):
        return type(self)(np.minimum(self.data, 0), (self,), lambda g: (g * (self.data < 0),))


@wrong("small_autograd", "No gradient comes to W2")
class ForgetsTheRightSide(_Right):
    def __matmul__(self, other):
        return type(self)(self.data @ other.data, (self,), lambda g: (g @ other.data.T,))


wrong("small_autograd", "Pass the class itself")(_Right(1.0))
