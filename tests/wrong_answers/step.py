"""Answers to the exercises of lesson 04."""

import torch

from course_utils.checks.step import Optimizer, adam, decay_groups, orphans, pick_lr

from . import gallery

wrong, right = gallery("step")

# Exercise 1


def stepping(change, which=lambda p: p.grad is not None):
    """SGD that does `change(p, lr)` to the parameters of `which`."""

    @torch.no_grad()
    def step(self):
        for p in filter(which, self.parameters):
            change(p, self.lr)

    return type("SGD", (Optimizer,), {"step": step})


class Recorded(Optimizer):
    def step(self):
        for p in self.with_gradient():
            p -= self.lr * p.grad


def clears(p, lr):
    p -= lr * p.grad
    p.grad = None


def all_at_once(self):
    self.parameters -= self.lr * self.parameters.grad


def fills_none(p, lr):
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    p -= lr * p.grad


wrong(
    "sgd",
    {
        "with torch.no_grad()": Recorded,
        "its .grad is None": stepping(lambda p, lr: p.sub_(lr * p.grad), lambda p: True),
        "changes the gradients": stepping(clears),
        "It should only read them": stepping(fills_none, lambda p: True),
        "is not None": stepping(lambda p, lr: p.sub_(lr * p.grad), lambda p: p.grad),
        "0.1 times the gradient. Use the learning": stepping(lambda p, lr: p.sub_(0.1 * p.grad)),
        "write self.lr": stepping(lambda p, rate: p.sub_(lr * p.grad)),  # noqa: F821
        "write self.parameters": stepping(lambda p, lr: parameters[0]),  # noqa: F821
        "list of tensors": stepping(lambda p, lr: object().grad),
        "put each parameter in the place of w": stepping(lambda p, lr: [p].w),
        "no w in your step": stepping(lambda p, lr: w.sub_(lr * w.grad)),  # noqa: F821
        "take one after the other": type("SGD", (Optimizer,), {"step": all_at_once}),
        "Pass the class itself": Recorded([torch.zeros(2)]),
    },
)

# Exercise 2


@wrong("adam", "should be")
class Forgets(adam.right):
    def means(self, i, g, beta1, beta2):
        self.m[i], self.v[i] = 0.1 * g, 0.001 * g**2


@wrong("adam", "v_hat.sqrt()")
class RootByItself(adam.right):
    def move(self, m_hat, v_hat, g):
        return -self.lr * m_hat / (sqrt(v_hat) + self.eps)  # noqa: F821


# Exercise 3


def decaying(change):
    """Does `change(p, lr, weight_decay)`, recorded or not."""

    def decay(parameters, lr, weight_decay):
        for p in parameters:
            if p.grad is not None:
                change(p, lr, weight_decay)

    return decay


wrong(
    "decay",
    {
        "is the old recipe": torch.no_grad()(decaying(lambda p, lr, wd: p.grad.add_(wd * p))),
        "with torch.no_grad()": decaying(lambda p, lr, wd: p.mul_(1 - lr * wd)),
        "without parentheses": None,
    },
)

# Exercise 4


def inf_written_in_place(lrs, losses):
    losses[losses.isnan()] = torch.inf
    return lrs[losses.median(dim=0).values.argmin()].item()


wrong(
    "pick_lr",
    {
        "counts through all rows": lambda lrs, losses: lrs[losses.argmin()].item(),
        "changed the data": inf_written_in_place,
        ".item()": lambda *case: torch.tensor(pick_lr.right(*case)),
        "add .values": lambda lrs, losses: lrs[
            losses.nan_to_num(nan=1e30).median(dim=0).argmin()
        ].item(),
    },
)

# Exercise 5


def names_of_those_not_in(held_of):
    """Names of parameters that `in` does not find in what an optimizer holds."""

    def orphans(model, optimizer):
        held = held_of(optimizer)
        return [name for name, p in model.named_parameters() if p not in held]

    return orphans


wrong(
    "orphans",
    {
        "not the parameters": lambda model, optimizer: [*model.parameters()],
        "Return a list of names": lambda *case: set(orphans.right(*case)),
        "Compare by identity": names_of_those_not_in(
            lambda optimizer: [p for group in optimizer.param_groups for p in group["params"]]
        ),
        "is a list of dictionaries": names_of_those_not_in(lambda o: o.param_groups["params"]),
        "An optimizer has no parameters()": names_of_those_not_in(lambda o: o.parameters()),
    },
)

# Exercise 6


def grouped(change):
    """`change(first, second)` of the right groups."""
    return lambda *case: change(*decay_groups.right(*case))


wrong(
    "decay_groups",
    {
        "Return a list of dictionaries": grouped(lambda first, second: first),
        "yours has 1": grouped(lambda first, second: [first]),
        "no names, no copies": grouped(
            lambda first, second: [first | {"params": ["0.bias"]}, second]
        ),
        'The second group lacks "weight_decay"': grouped(
            lambda first, second: [first, {"params": second["params"]}]
        ),
    },
)
