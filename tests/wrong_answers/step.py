"""Answers to the exercises of lesson 04."""

import torch

from course_utils import checks
from course_utils.checks.step import Optimizer

from . import gallery

wrong, right = gallery("step")


# Exercise 1


@wrong("sgd", "with torch.no_grad()")
class Recorded(Optimizer):
    def step(self):
        for p in self.with_gradient():
            p -= self.lr * p.grad


@wrong("sgd", "its .grad is None")
class NoneForgotten(Optimizer):
    def step(self):
        with torch.no_grad():
            for p in self.parameters:
                p -= self.lr * p.grad


@wrong("sgd", "changes the gradients")
class Clears(Optimizer):
    def step(self):
        with torch.no_grad():
            for p in self.with_gradient():
                p -= self.lr * p.grad
                p.grad = None


@wrong("sgd", "0.1 times the gradient. Use the learning")
class OwnRate(Optimizer):
    @torch.no_grad()
    def step(self):
        for p in self.with_gradient():
            p -= 0.1 * p.grad


@wrong("sgd", "write self.lr")
class BareRate(Optimizer):
    @torch.no_grad()
    def step(self):
        for p in self.with_gradient():
            p -= lr * p.grad  # noqa: F821


@wrong("sgd", "no w in your step")
class LineOfTheText(Optimizer):
    @torch.no_grad()
    def step(self):
        w -= 0.1 * w.grad  # noqa: F821, F841


wrong("sgd", "Pass the class itself")(Recorded([torch.zeros(2)]))


@wrong("sgd", "changes the gradients")
class FillsNone(Optimizer):
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            p -= self.lr * p.grad


@wrong("sgd", "is not None")
class AsksTheGradientItself(Optimizer):
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad:
                p -= self.lr * p.grad


# Exercise 2


class OwnAdam(Optimizer):
    """Right; what is wrong comes in by the methods below."""

    @torch.no_grad()
    def step(self):
        self.t += 1
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                self.means(i, p.grad)
                m_hat, v_hat = self.hats(i)
                p -= self.lr * m_hat / (v_hat.sqrt() + self.eps)

    def means(self, i, g):
        beta1, beta2 = self.betas
        self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
        self.v[i] = beta2 * self.v[i] + (1 - beta2) * g**2

    def hats(self, i):
        beta1, beta2 = self.betas
        return self.m[i] / (1 - beta1**self.t), self.v[i] / (1 - beta2**self.t)


right("adam")(OwnAdam)


@wrong("adam", "should be")
class Forgets(OwnAdam):
    def means(self, i, g):
        self.m[i], self.v[i] = 0.1 * g, 0.001 * g**2


# Exercise 3


def _decay(change):
    @torch.no_grad()
    def decay(parameters, lr, weight_decay):
        for p in parameters:
            if p.grad is not None:
                change(p, lr, weight_decay)

    return decay


wrong("decay", "changes the gradients")(_decay(lambda p, lr, wd: p.grad.add_(wd * p)))


@wrong("decay", "with torch.no_grad()")
def decay_recorded(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is not None:
            p *= 1 - lr * weight_decay


wrong("decay", "without parentheses")(None)


# Exercise 4


def _clean(losses):
    return torch.nan_to_num(losses, nan=1e9, posinf=1e9)


@wrong("pick_lr", "changed the data")
def inf_written_in_place(lrs, losses):
    losses[losses.isnan()] = torch.inf
    return lrs[losses.median(dim=0).values.argmin()].item()


@wrong("pick_lr", ".item()")
def as_tensor(lrs, losses):
    return lrs[_clean(losses).median(dim=0).values.argmin()]


@wrong("pick_lr", "add .values")
def median_gives_two(lrs, losses):
    return lrs[losses.nan_to_num(nan=1e30).median(dim=0).argmin()].item()


# Exercise 5


def _ids(optimizer):
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


@wrong("orphans", "not the parameters")
def the_parameters(model, optimizer):
    return [p for p in model.parameters() if id(p) not in _ids(optimizer)] or [None]


@wrong("orphans", "Return a list of names")
def a_set(model, optimizer):
    return {name for name, p in model.named_parameters() if id(p) not in _ids(optimizer)}


@wrong("orphans", "Compare by identity")
def not_in_the_list(model, optimizer):
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return [name for name, p in model.named_parameters() if p not in held]


@wrong("orphans", "is a list of dictionaries")
def groups_as_a_dictionary(model, optimizer):
    held = set(optimizer.param_groups["params"])
    return [name for name, p in model.named_parameters() if p not in held]


@wrong("orphans", "An optimizer has no parameters()")
def as_of_a_model(model, optimizer):
    held = set(optimizer.parameters())
    return [name for name, p in model.named_parameters() if p not in held]


# Exercise 6

wrong("decay_groups", "Return a list of dictionaries")(lambda model, decay: {"params": []})
wrong("decay_groups", "yours has 1")(lambda model, decay: [{"params": list(model.parameters())}])


@wrong("decay_groups", "no names, no copies")
def names_of_parameters(model, weight_decay):
    names = [name for name, _ in model.named_parameters()]
    return [{"params": part, "weight_decay": 0.0} for part in (names, [])]


@wrong("decay_groups", 'The second group lacks "weight_decay"')
def without_a_decay(model, weight_decay):
    groups = checks.step.decay_groups.right(model, weight_decay)
    return [groups[0], {"params": groups[1]["params"]}]
