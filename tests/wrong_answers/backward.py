"""Answers to the exercises of lesson 03."""

import numpy as np
import torch
import torch.nn.functional as F

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


@right("numerical_gradient")
def by_unit_vectors(f, x, eps=1e-5):
    eye = torch.eye(x.numel(), dtype=x.dtype)
    slopes = [
        float(f(x + eps * e.view(x.shape)) - f(x - eps * e.view(x.shape))) / (2 * eps) for e in eye
    ]
    return torch.tensor(slopes, dtype=x.dtype).view(x.shape)


@right("numerical_gradient")
def in_place_and_back(f, x, eps=1e-5):
    x, grad = x.clone(), torch.empty_like(x)
    for i in range(x.numel()):
        kept = x.view(-1)[i].item()
        x.view(-1)[i] = kept + eps
        up = f(x).item()
        x.view(-1)[i] = kept - eps
        down = f(x).item()
        x.view(-1)[i] = kept
        grad.view(-1)[i] = (up - down) / eps / 2
    return grad


def _one_by_one(difference):
    def numerical_gradient(f, x, eps=1e-5):
        grad = torch.zeros_like(x)
        for i in range(x.numel()):
            nudge = torch.zeros_like(x)
            nudge.view(-1)[i] = eps
            grad.view(-1)[i] = difference(f, x, nudge, eps)
        return grad

    return numerical_gradient


wrong("numerical_gradient", "2 * eps apart")(
    _one_by_one(lambda f, x, nudge, eps: (f(x + nudge) - f(x - nudge)) / eps)
)
wrong("numerical_gradient", "rise itself")(
    _one_by_one(lambda f, x, nudge, eps: f(x + nudge) - f(x - nudge))
)
wrong("numerical_gradient", "one side only. That works")(
    _one_by_one(lambda f, x, nudge, eps: (f(x + nudge) - f(x)) / eps)
)
wrong("numerical_gradient", "one side only, divided by 2 * eps")(
    _one_by_one(lambda f, x, nudge, eps: (f(x + nudge) - f(x)) / (2 * eps))
)
wrong("numerical_gradient", "wrong way round")(
    _one_by_one(lambda f, x, nudge, eps: (f(x - nudge) - f(x + nudge)) / (2 * eps))
)


@wrong("numerical_gradient", "all entries at once")
def all_at_once(f, x, eps=1e-5):
    return torch.full_like(x, (f(x + eps) - f(x - eps)) / (2 * eps))


@wrong("numerical_gradient", "a nudge of your own")
def own_eps(f, x, eps=1e-5):
    return by_unit_vectors(f, x)


@wrong("numerical_gradient", "has shape [6]")
def flat(f, x, eps=1e-5):
    return by_unit_vectors(f, x, eps).flatten()


@wrong("numerical_gradient", "not for a vector")
def two_loops(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    rows, columns = x.shape if x.ndim == 2 else (1, 1)
    for i in range(rows):
        for j in range(columns):
            nudge = torch.zeros_like(x)
            nudge.view(rows, -1)[i, j] = eps
            grad.view(rows, -1)[i, j] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return grad


@wrong("numerical_gradient", "stops for a vector of 3")
def two_loops_over_the_shape(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            nudge = torch.zeros_like(x)
            nudge[i, j] = eps
            grad[i, j] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return grad


@wrong("numerical_gradient", "`old = x[i, j]` is no copy")
def old_value_kept_as_a_view(f, x, eps=1e-5):
    x, grad = x.clone(), torch.zeros_like(x)
    for i, j in np.ndindex(*x.shape):
        old = x[i, j]
        x[i, j] = old + eps
        up = f(x)
        x[i, j] = old - eps
        grad[i, j] = (up - f(x)) / (2 * eps)
        x[i, j] = old
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


def nudged(f, x, eps, up_and_down):
    gradient = torch.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = up_and_down(x, place)
        gradient[place] = (f(up) - f(down)) / (2 * eps)
    return gradient


@wrong("numerical_gradient", "up and down are the same tensor")
def two_names_of_one_tensor(f, x, eps=1e-5):
    def up_and_down(x, place):
        up = down = x.clone()
        up[place] += eps
        down[place] -= eps
        return up, down

    return nudged(f, x, eps, up_and_down)


@wrong("numerical_gradient", "still nudged")
def never_put_back(f, x, eps=1e-5):
    up, down = x.clone(), x.clone()

    def up_and_down(_, place):
        up[place] += eps
        down[place] -= eps
        return up, down

    return nudged(f, x, eps, up_and_down)


@wrong("numerical_gradient", "whole row")
def rows_at_once(f, x, eps=1e-5):
    gradient = torch.zeros_like(x)
    for i in range(len(x)):
        nudge = torch.zeros_like(x)
        nudge[i] = eps
        gradient[i] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return gradient


@wrong("numerical_gradient", "Put brackets")
def no_brackets(f, x, eps=1e-5):
    gradient = torch.zeros_like(x)
    for place in np.ndindex(*x.shape):
        nudge = torch.zeros_like(x)
        nudge[place] = eps
        gradient[place] = (f(x + nudge) - f(x - nudge)) / 2 * eps
    return gradient


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


@wrong("numerical_gradient", "Is the return inside the loop?")
def return_inside(f, x, eps=1e-5):
    grad = torch.zeros_like(x)
    for i in range(x.numel()):
        grad.view(-1)[i] = in_place_and_back(f, x, eps).view(-1)[i]
        return grad


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


@right("layer_gradients")
def by_einsum(x, W, b, target):
    error = x @ W.T + b - target
    G = 2 / (error.shape[0] * error.shape[1]) * error
    return [torch.einsum("bo,bi->oi", G, x), G.sum(0)]


@right("layer_gradients")
def row_by_row(x, W, b, target):
    W_grad, b_grad = torch.zeros_like(W), torch.zeros_like(b)
    for row, wanted in zip(x, target, strict=True):
        G = 2 * (W @ row + b - wanted) / target.numel()
        W_grad += torch.outer(G, row)
        b_grad += G
    return W_grad, b_grad


def _from_G(make_G, make_W=lambda G, x: G.T @ x, make_b=lambda G: G.sum(0)):
    def layer_gradients(x, W, b, target):
        G = make_G(x @ W.T + b - target)
        return make_W(G, x), make_b(G)

    return layer_gradients


wrong("layer_gradients", "divided by the number of rows")(_from_G(lambda e: 2 * e / len(e)))
wrong("layer_gradients", "rate of the mean is missing")(_from_G(lambda e: 2 * e))
wrong("layer_gradients", "rate of squaring is missing")(_from_G(lambda e: e / e.numel()))
wrong("layer_gradients", "wrong way round")(_from_G(lambda e: -2 * e / e.numel()))
wrong("layer_gradients", "number of outputs")(_from_G(lambda e: 2 * e / e.shape[1]))
wrong("layer_gradients", "Turn the product round")(
    _from_G(lambda e: 2 * e / e.numel(), make_W=lambda G, x: x.T @ G)
)
wrong("layer_gradients", "averaged the rows")(
    _from_G(lambda e: 2 * e / e.numel(), make_b=lambda G: G.mean(0))
)
wrong("layer_gradients", "gradient for b has the shape")(
    _from_G(lambda e: 2 * e / e.numel(), make_b=lambda G: G)
)


wrong("layer_gradients", "number of inputs")(_from_G(lambda e: 2 * e / 15))
wrong("layer_gradients", "Add the rows up")(
    _from_G(lambda e: 2 * e / e.numel(), make_b=lambda G: G.sum(1))
)
wrong("layer_gradients", "All rows share one bias")(
    _from_G(lambda e: 2 * e / e.numel(), make_b=lambda G: G)
)


@wrong("layer_gradients", "the one for W first")
def swapped(x, W, b, target):
    return by_einsum(x, W, b, target)[::-1]


@wrong("layer_gradients", "left the bias out")
def no_bias(x, W, b, target):
    G = 2 * (x @ W.T - target) / target.numel()
    return G.T @ x, G.sum(0)


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


@right("layer_gradients")
def in_numpy(x, W, b, target):
    x, W, b, target = (tensor.numpy() for tensor in (x, W, b, target))
    G = 2 * (x @ W.T + b - target) / target.size
    return G.T @ x, G.sum(axis=0)


# Exercise 5


@right("accumulate")
def by_hand_weighted(model, pieces, loss_fn):
    for p in model.parameters():
        p.grad = None
    n = sum(yb.shape[0] for _, yb in pieces)
    losses = []
    for xb, yb in pieces:
        part = loss_fn(model(xb), yb) * (yb.shape[0] / n)
        part.backward()
        losses.append(part.detach())
    return torch.stack(losses).sum().item()


@right("accumulate")
def sums_then_scale(model, pieces, loss_fn):
    model.zero_grad(set_to_none=False)
    total, rows = 0.0, 0
    for xb, yb in pieces:
        loss = loss_fn(model(xb), yb) * len(xb)
        loss.backward()
        total, rows = total + loss.item(), rows + len(xb)
    for parameter in model.parameters():
        parameter.grad /= rows
    return total / rows


def _accumulate(weight, clear=True, clear_inside=False, returned=None):
    def accumulate(model, pieces, loss_fn):
        if clear:
            model.zero_grad()
        rows, losses = sum(len(xb) for xb, _ in pieces), []
        for xb, yb in pieces:
            if clear_inside:
                model.zero_grad()
            loss = loss_fn(model(xb), yb)
            (loss * weight(len(xb), rows, len(pieces))).backward()
            losses.append((loss.item(), len(xb) / rows))
        if returned:
            return returned(losses)
        return sum(loss * share for loss, share in losses)

    return accumulate


def _share(n, rows, pieces):
    return n / rows


wrong("accumulate", "left over from before")(_accumulate(_share, clear=False))
wrong("accumulate", "added up the means")(_accumulate(lambda n, rows, pieces: 1))
wrong("accumulate", "divided by the number of pieces")(_accumulate(lambda n, rows, k: 1 / k))
wrong("accumulate", "added up sums")(_accumulate(lambda n, rows, pieces: n))
wrong("accumulate", "clear the gradients inside")(_accumulate(_share, clear_inside=True))
wrong("accumulate", "not multiplied by its own rows")(_accumulate(lambda n, rows, k: 1 / rows))
wrong("accumulate", "divided each mean by its own rows")(_accumulate(lambda n, rows, k: 1 / n))
wrong("accumulate", "20 times the right one")(_accumulate(lambda n, rows, pieces: n / pieces))
wrong("accumulate", "sum over all rows")(
    _accumulate(_share, returned=lambda losses: 60 * sum(loss * share for loss, share in losses))
)
wrong("accumulate", "number of pieces again")(
    _accumulate(_share, returned=lambda losses: np.mean([loss * share for loss, share in losses]))
)
wrong("accumulate", "the last piece's alone")(
    _accumulate(_share, returned=lambda losses: losses[-1][0])
)
wrong("accumulate", "plain mean of the pieces' losses")(
    _accumulate(_share, returned=lambda losses: sum(loss for loss, _ in losses) / len(losses))
)
wrong("accumulate", "last piece's share")(
    _accumulate(_share, returned=lambda losses: losses[-1][0] * losses[-1][1])
)


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


@wrong("accumulate", "Is backward() called?")
def no_backward(model, pieces, loss_fn):
    model.zero_grad()
    return sum(loss_fn(model(xb), yb).item() * len(xb) for xb, yb in pieces) / 60


@wrong("accumulate", "graphs of all pieces are kept")
def one_walk_at_the_end(model, pieces, loss_fn):
    model.zero_grad()
    rows = sum(len(xb) for xb, _ in pieces)
    loss = sum(loss_fn(model(xb), yb) * len(xb) for xb, yb in pieces) / rows
    loss.backward()
    return loss.item()


@wrong("accumulate", "divided by the rows so far")
def rows_counted_on_the_way(model, pieces, loss_fn):
    model.zero_grad()
    rows = 0
    for xb, yb in pieces:
        rows += len(xb)
        (loss_fn(model(xb), yb) * len(xb) / rows).backward()
    return 0.0
