"""Answers to the exercises of lesson 05."""

import copy

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import evaluate as package_evaluate
from course_utils.checks.full_loop import (
    early_stopping,
    evaluate,
    lines,
    zero_grad_last,
)

from . import gallery

wrong, right = gallery("full_loop")

# Exercise 1


def stepping(
    backward=torch.Tensor.backward, step=lambda optimizer: optimizer.step(), returns=float
):
    """The five lines, to be spoilt in one place."""

    def answer(model, xb, yb, loss_fn, optimizer):
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        backward(loss)
        step(optimizer)
        return returns(loss.detach())

    return answer


def error_deep_inside_torch(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb.T), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


def own_optimizer(model, xb, yb, loss_fn, optimizer):
    own = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return zero_grad_last(model, xb, yb, loss_fn, own)


wrong(
    "one_step",
    {
        "ran 0 times": stepping(step=lambda optimizer: optimizer.step),
        "returned None": stepping(returns=lambda loss: None),
        ".item()": stepping(returns=lambda loss: loss),
        "with AttributeError: 'Tensor' object has no attribute 'backwards'": stepping(
            lambda loss: loss.backwards()
        ),
        "in your line `loss = loss_fn(model(xb.T), yb)` with RuntimeError": error_deep_inside_torch,
        "puts the model into evaluation mode": lambda model, *rest: zero_grad_last(
            model.eval(), *rest
        ),
        "no optimizer of your own": own_optimizer,
    },
)

# Exercise 2


def backward_again(model, xb, yb, loss_fn):
    before = [p.grad.clone() for p in model.parameters()]
    loss_fn(model(xb), yb).backward()
    pairs = zip(model.parameters(), before, strict=True)
    return all(torch.allclose(p.grad, 2 * b) for p, b in pairs)


def comparing(which):
    """Compares the gradients of these parameters alone."""

    def gradients_are_fresh(model, xb, yb, loss_fn):
        parameters = list(model.parameters())[which]
        expected = torch.autograd.grad(loss_fn(model(xb), yb), parameters)
        pairs = zip(parameters, expected, strict=True)
        return all(torch.allclose(p.grad, g, atol=1e-6) for p, g in pairs)

    return gradients_are_fresh


def on_a_copy_not_cleared(model, xb, yb, loss_fn):
    twin = copy.deepcopy(model)
    pairs = list(zip(twin.parameters(), model.parameters(), strict=True))
    for mine, theirs in pairs:
        mine.grad = theirs.grad.clone()
    loss_fn(twin(xb), yb).backward()
    return all(torch.allclose(a.grad, b.grad, atol=1e-6) for a, b in pairs)


wrong(
    "gradients_are_fresh",
    {
        "call even fresh gradients stale": on_a_copy_not_cleared,
        "changes the gradients": backward_again,
        "compare all": comparing(slice(1)),
        "closely": comparing(slice(-1, None)),
        "True or False": lambda model, xb, yb, loss_fn: [p.grad for p in model.parameters()],
    },
)

# Exercise 3

wrong(
    "count_correct",
    {
        ".item()": lambda logits, yb: (logits.argmax(dim=1) == yb).sum(),
        "one number": lambda logits, yb: logits.argmax(dim=1) == yb,
        "largest logit of each class over the batch": lambda logits, yb: int(
            (logits.argmax(dim=0)[: len(yb)] == yb[: logits.shape[1]]).sum()  # made to fit
        ),
    },
)

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


def gradients_left_off(model, loader, loss_fn):
    torch.set_grad_enabled(False)
    return evaluation()(model, loader, loss_fn)


def frozen_for_good(model, loader, loss_fn):
    model.requires_grad_(False)
    return evaluation()(model, loader, loss_fn)


def divided_by_2000(model, loader, loss_fn):
    loss, accuracy = evaluation()(model, loader, loss_fn)
    return loss * len(loader.dataset) / 2000, accuracy


wrong(
    "evaluate",
    {
        "do you call model.train() inside the loop?": evaluation(train_inside=True),
        "model.eval()": evaluation(eval_mode=False),
        "torch.no_grad()": evaluation(no_grad=False),
        "still in evaluation mode": evaluation(back=False),
        "Gradients are still switched off": gradients_left_off,
        "changed the model's parameters": frozen_for_good,
        "two things": lambda *case: evaluate.right(*case)[0],
        "2000, a fixed number, where `len(loader.dataset)`": divided_by_2000,
    },
)

# Exercise 5


def softmax_first(model, xb, yb, loss_fn, optimizer):
    return zero_grad_last(model, xb, yb, lambda z, y: loss_fn(F.softmax(z, dim=1), y), optimizer)


def measured(model, val_loader, loss_fn):
    return package_evaluate(model, val_loader, loss_fn)[0]


def loop(line_by_line=zero_grad_last, measure=measured, train="each epoch"):
    """A whole loop, spoilt in one place; `train` is the epoch that begins with model.train()."""

    def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        val_losses = []
        for epoch in range(epochs):
            if train in ("each epoch", epoch):
                model.train()
            for xb, yb in train_loader:
                line_by_line(model, xb, yb, loss_fn, optimizer)
            val_losses.append(measure(model, val_loader, loss_fn))
        return val_losses

    return train_and_validate


def left_in_eval_mode(model, val_loader, loss_fn):
    return measured(model.eval(), val_loader, loss_fn)


def in_one_go(model, val_loader, loss_fn):
    X, y = (torch.cat(parts) for parts in zip(*val_loader, strict=True))
    with torch.inference_mode():
        return loss_fn(model.eval()(X), y)


def without_the_package(model, val_loader, loss_fn):
    model.eval()
    with torch.no_grad():
        total = sum(loss_fn(model(xb), yb) * len(yb) for xb, yb in val_loader)
    return total / sum(len(yb) for _, yb in val_loader)


right("train_and_validate")(loop())
right("train_and_validate")(loop(measure=in_one_go))
right("train_and_validate")(loop(measure=without_the_package))


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


def one_step_an_epoch(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    val_losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        for xb, yb in train_loader:
            loss_fn(model.train()(xb), yb).backward()
        optimizer.step()
        val_losses.append(measured(model, val_loader, loss_fn))
    return val_losses


def with_another_optimizer(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    own = torch.optim.AdamW(model.parameters(), lr=0.01)
    return loop()(model, train_loader, val_loader, loss_fn, own, epochs)


wrong(
    "train_and_validate",
    {
        "no-zero-grad": loop(lines("forward backward step")),
        "grads-cleared-before-step": loop(lines("forward backward zero_grad step")),
        "backward-never-called": loop(lines("zero_grad forward step")),
        "softmax-before-cross-entropy": loop(softmax_first),
        "The number of steps should be": lambda *case: loop()(*case[:-1], 1),
        "from the first on": loop(train=None),
        "training-in-eval-mode": loop(train=0, measure=left_in_eval_mode),
        "your list holds pairs": loop(measure=package_evaluate),
        "list of validation losses alone": lambda *case: (loop()(*case), [0.0] * 4),
        "yours is a Sequential": lambda model, *rest: (loop()(model, *rest), model)[1],
        "append one after the batches": lambda *case: loop()(*case)[-1:],
        "outside the loop over the batches": one_step_an_epoch,
        "make no other": with_another_optimizer,
    },
)

# Exercise 6


class RestoresTooEarly(early_stopping.right):
    def should_stop(self, val_loss, model):
        stop = super().should_stop(val_loss, model)
        self.restore(model)
        return stop


class NoVerdict(early_stopping.right):
    def should_stop(self, val_loss, model):
        super().should_stop(val_loss, model)


wrong(
    "early_stopping",
    {
        "must only look": RestoresTooEarly,
        "returned None": NoVerdict,
        "the class itself": early_stopping.right(3),
    },
)
