"""Answers to the exercises of lesson 05."""

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import evaluate as package_evaluate
from course_utils.checks.full_loop import (
    early_stopping,
    no_zero_grad,
    zero_grad_before_step,
    zero_grad_last,
)

from . import gallery

wrong, right = gallery("full_loop")

# Exercise 1


@wrong("one_step", "ran 0 times")
def step_without_parentheses(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step  # noqa: B018
    return loss.item()


@wrong("one_step", "returned None")
def nothing_returned(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()


@wrong("one_step", ".item()")
def tensor_returned(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    return loss


@wrong("one_step", "Your code stopped in your line `loss.backwards()`")
def misspelt(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backwards()
    optimizer.step()
    return loss.item()


@wrong("one_step", "in your line `loss = loss_fn(model(xb.T), yb)` with RuntimeError")
def error_deep_inside_torch(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb.T), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("one_step", "puts the model into evaluation mode")
def in_evaluation_mode(model, xb, yb, loss_fn, optimizer):
    model.eval()
    return zero_grad_last(model, xb, yb, loss_fn, optimizer)


@wrong("one_step", "no optimizer of your own")
def own_optimizer(model, xb, yb, loss_fn, optimizer):
    return zero_grad_last(
        model, xb, yb, loss_fn, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    )


# Exercise 3


@wrong("count_correct", ".item()")
def still_a_tensor(logits, yb):
    return (logits.argmax(dim=1) == yb).sum()


@wrong("count_correct", "one number")
def not_summed(logits, yb):
    return logits.argmax(dim=1) == yb


# Exercise 4


def evaluation(*, eval_mode=True, no_grad=True, back=True, train_inside=False):
    def attempt(model, loader, loss_fn):
        if eval_mode:
            model.eval()
        loss_sum, hits, n = 0.0, 0, 0
        with torch.set_grad_enabled(not no_grad):
            for xb, yb in loader:
                logits = model(xb)
                loss_sum += loss_fn(logits, yb).item() * len(xb)
                hits += (logits.argmax(dim=1) == yb).sum().item()
                n += len(xb)
                if train_inside:
                    model.train()
        if back:
            model.train()
        return loss_sum / n, hits / n

    return attempt


wrong("evaluate", "do you call model.train() inside the loop?")(evaluation(train_inside=True))
wrong("evaluate", "model.eval()")(evaluation(eval_mode=False))
wrong("evaluate", "torch.no_grad()")(evaluation(no_grad=False))
wrong("evaluate", "still in evaluation mode")(evaluation(back=False))


@right("evaluate")
def loss_once_at_the_end(model, loader, loss_fn):
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(xb) for xb, _ in loader])
    model.train()
    y = torch.cat([yb for _, yb in loader])
    return loss_fn(logits, y).item(), np.mean((logits.argmax(1) == y).numpy())


@wrong("evaluate", "Gradients are still switched off")
def gradients_left_off(model, loader, loss_fn):
    torch.set_grad_enabled(False)
    return in_lists(model, loader, loss_fn)


def in_lists(model, loader, loss_fn):
    model.eval()
    losses = [(loss_fn(model(xb), yb).item(), len(xb)) for xb, yb in loader]
    hits = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in loader)
    model.train()
    n = sum(size for _, size in losses)
    return sum(loss * size for loss, size in losses) / n, hits / n


@wrong("evaluate", "changed the model's parameters")
def frozen_for_good(model, loader, loss_fn):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return in_lists(model, loader, loss_fn)


@wrong("evaluate", "two things")
def loss_only(model, loader, loss_fn):
    return evaluation()(model, loader, loss_fn)[0]


# Exercise 5


def no_backward(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    optimizer.step()
    return loss.item()


def softmax_first(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(F.softmax(model(xb), dim=1), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


def loop(line_by_line):
    """A whole loop around `line_by_line(model, xb, yb, loss_fn, optimizer)`."""

    def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        val_losses = []
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                line_by_line(model, xb, yb, loss_fn, optimizer)
            val_losses.append(package_evaluate(model, val_loader, loss_fn)[0])
        return val_losses

    train_and_validate.__name__ = f"loop_with_{line_by_line.__name__}"
    return train_and_validate


right("train_and_validate")(loop(zero_grad_last))
wrong("train_and_validate", "no-zero-grad")(loop(no_zero_grad))
wrong("train_and_validate", "grads-cleared-before-step")(loop(zero_grad_before_step))
wrong("train_and_validate", "backward-never-called")(loop(no_backward))
wrong("train_and_validate", "softmax-before-cross-entropy")(loop(softmax_first))


@right("train_and_validate")
def written_differently(net, batches, held_out, criterion, opt, n_epochs):
    curve, epoch = [], 0
    while epoch < n_epochs:
        net.train(True)
        for batch in batches:
            for p in net.parameters():
                p.grad = None
            criterion(net(batch[0]), batch[1]).backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            total = sum(criterion(net(xb), yb).item() * len(xb) for xb, yb in held_out)
        curve.append(total / 40)
        epoch += 1
    return np.array(curve)


@wrong("train_and_validate", "The number of steps should be")
def returns_in_the_loop(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            zero_grad_last(model, xb, yb, loss_fn, optimizer)
        return [package_evaluate(model, val_loader, loss_fn)[0]]


@wrong("train_and_validate", "from the first on")
def mode_left_to_chance(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    val_losses = []
    for _ in range(epochs):
        for xb, yb in train_loader:
            zero_grad_last(model, xb, yb, loss_fn, optimizer)
        val_losses.append(package_evaluate(model, val_loader, loss_fn)[0])
    return val_losses


@wrong("train_and_validate", "training-in-eval-mode")
def train_mode_once_only(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    model.train()
    val_losses = []
    for _ in range(epochs):
        for xb, yb in train_loader:
            zero_grad_last(model, xb, yb, loss_fn, optimizer)
        model.eval()
        val_losses.append(package_evaluate(model, val_loader, loss_fn)[0])
    return val_losses


@wrong("train_and_validate", "your list holds pairs")
def keeps_the_pairs(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    val_losses = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            zero_grad_last(model, xb, yb, loss_fn, optimizer)
        val_losses.append(package_evaluate(model, val_loader, loss_fn))
    return val_losses


@wrong("train_and_validate", "list of validation losses alone")
def two_lists(*args):
    val_losses = loop(zero_grad_last)(*args)
    return val_losses, [0.0] * 4


@wrong("train_and_validate", "yours is a Sequential")
def the_model(model, *rest):
    loop(zero_grad_last)(model, *rest)
    return model


def measuring(measure):
    """The right training, and for each epoch `measure(model, val_loader, loss_fn)`."""

    def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        val_losses = []
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                zero_grad_last(model, xb, yb, loss_fn, optimizer)
            val_losses.append(measure(model, val_loader, loss_fn))
        return val_losses

    return train_and_validate


def in_one_go(model, val_loader, loss_fn):
    X, y = (torch.cat(parts) for parts in zip(*val_loader, strict=True))
    with torch.inference_mode():
        return loss_fn(model.eval()(X), y)


def without_the_package(model, val_loader, loss_fn):
    model.eval()
    with torch.no_grad():
        total = sum(loss_fn(model(xb), yb) * len(yb) for xb, yb in val_loader)
    return total / sum(len(yb) for _, yb in val_loader)


right("train_and_validate")(measuring(in_one_go))
right("train_and_validate")(measuring(without_the_package))


@wrong("train_and_validate", "append one after the batches")
def only_the_last(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    return loop(zero_grad_last)(model, train_loader, val_loader, loss_fn, optimizer, epochs)[-1:]


@wrong("train_and_validate", "make no other")
def with_another_optimizer(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=0.01), []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            zero_grad_last(model, xb, yb, loss_fn, optimizer)
        losses.append(package_evaluate(model, val_loader, loss_fn)[0])
    return losses


# Exercise 2


@wrong("gradients_are_fresh", "changes the gradients")
def backward_again(model, xb, yb, loss_fn):
    before = [p.grad.clone() for p in model.parameters()]
    loss_fn(model(xb), yb).backward()
    pairs = zip(model.parameters(), before, strict=True)
    return all(torch.allclose(p.grad, 2 * b) for p, b in pairs)


@wrong("gradients_are_fresh", "compare all")
def first_parameter_only(model, xb, yb, loss_fn):
    first = next(model.parameters())
    (expected,) = torch.autograd.grad(loss_fn(model(xb), yb), [first])
    return torch.allclose(first.grad, expected, atol=1e-6)


@wrong("gradients_are_fresh", "compare all")
def last_parameter_only(model, xb, yb, loss_fn):
    last = list(model.parameters())[-1]
    (expected,) = torch.autograd.grad(loss_fn(model(xb), yb), [last])
    return torch.allclose(last.grad, expected, atol=1e-6)


@wrong("gradients_are_fresh", "True or False")
def differences_returned(model, xb, yb, loss_fn):
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss_fn(model(xb), yb), parameters)
    return [p.grad - g for p, g in zip(parameters, expected, strict=True)]


# Exercise 6


Stopper = early_stopping.right


@wrong("early_stopping", "must only look")
class RestoresTooEarly(Stopper):
    def should_stop(self, val_loss, model):
        stop = super().should_stop(val_loss, model)
        self.restore(model)
        return stop


@wrong("early_stopping", "returned None")
class NoVerdict(Stopper):
    def should_stop(self, val_loss, model):
        super().should_stop(val_loss, model)


wrong("early_stopping", "the class itself")(Stopper(3))
