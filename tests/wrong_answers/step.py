"""Answers to the exercises of lesson 04."""

import torch

from course_utils import checks

from . import gallery

wrong, right = gallery("step")


class Base:
    """What the stubs give: parameters, settings, and Adam's memory."""

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.parameters = list(parameters)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.t = 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def with_gradient(self):
        return [p for p in self.parameters if p.grad is not None]


# Exercise 1


@right("sgd")
class WithAlpha(Base):
    @torch.no_grad()
    def step(self):
        for p in self.with_gradient():
            p.add_(p.grad, alpha=-self.lr)


@right("sgd")
class ThroughData(Base):
    def step(self):
        for p in self.parameters:
            if p.grad is None:
                continue
            p.data = p.data - self.lr * p.grad


@wrong("sgd", "uphill")
class Uphill(Base):
    def step(self):
        with torch.no_grad():
            for p in self.with_gradient():
                p += self.lr * p.grad


@wrong("sgd", "learning rate is missing")
class NoRate(Base):
    def step(self):
        with torch.no_grad():
            for p in self.with_gradient():
                p -= p.grad


@wrong("sgd", "No parameter has moved")
class Rebound(Base):
    def step(self):
        for p in self.with_gradient():
            p = p - self.lr * p.grad


@wrong("sgd", "with torch.no_grad()")
class Recorded(Base):
    def step(self):
        for p in self.with_gradient():
            p -= self.lr * p.grad


@wrong("sgd", "its .grad is None")
class NoneForgotten(Base):
    def step(self):
        with torch.no_grad():
            for p in self.parameters:
                p -= self.lr * p.grad


@wrong("sgd", "changes the gradients")
class Clears(Base):
    def step(self):
        with torch.no_grad():
            for p in self.with_gradient():
                p -= self.lr * p.grad
                p.grad = None


@wrong("sgd", "should be")
class OnlyTheFirst(Base):
    def step(self):
        with torch.no_grad():
            for p in self.with_gradient():
                p -= self.lr * p.grad
                return


@wrong("sgd", "0.1 times the gradient. Use the learning rate that was passed")
class OwnRate(Base):
    @torch.no_grad()
    def step(self):
        for p in self.with_gradient():
            p -= 0.1 * p.grad


wrong("sgd", "Pass the class itself")(WithAlpha([torch.zeros(2)]))


@wrong("sgd", "`return` and `break` leave the loop")
class StopsAtNone(Base):
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad is None:
                return
            p -= self.lr * p.grad


@wrong("sgd", "changes the gradients")
class FillsNone(Base):
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            p -= self.lr * p.grad


@wrong("sgd", "is not None")
class AsksTheGradientItself(Base):
    @torch.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad:
                p -= self.lr * p.grad


# Exercise 2


class AdamBase(Base):
    """Adam with places to go wrong."""

    def step(self):
        self.count()
        with torch.no_grad():
            for i, p in enumerate(self.parameters):
                if p.grad is not None:
                    self.remember(i, p.grad)
                    p -= self.lr * self.direction(i)

    def count(self):
        self.t += 1

    def remember(self, i, grad):
        beta1, beta2 = self.betas
        self.m[i] = beta1 * self.m[i] + (1 - beta1) * grad
        self.v[i] = beta2 * self.v[i] + (1 - beta2) * grad**2

    def hats(self, i):
        return (s[i] / (1 - b**self.t) for s, b in zip((self.m, self.v), self.betas, strict=True))

    def direction(self, i):
        m, v = self.hats(i)
        return m / (v**0.5 + self.eps)


right("adam")(AdamBase)


@right("adam")
class FusedCorrection(Base):
    """As in the paper's efficient version, with lerp_ and addcmul_."""

    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
            if p.grad is None:
                continue
            m.lerp_(p.grad, 1 - beta1)
            v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            size = v.sqrt() / (1 - beta2**self.t) ** 0.5 + self.eps
            p.addcdiv_(m, size, value=-self.lr / (1 - beta1**self.t))


@wrong("adam", "hats are missing")
class NoHats(AdamBase):
    def hats(self, i):
        return self.m[i], self.v[i]


@wrong("adam", "back into m and v")
class HatsKept(AdamBase):
    def hats(self, i):
        self.m[i], self.v[i] = super().hats(i)
        return self.m[i], self.v[i]


@wrong("adam", "inside the square root")
class EpsInside(AdamBase):
    def direction(self, i):
        m, v = self.hats(i)
        return m / (v + self.eps).sqrt()


@wrong("adam", "square root of v_hat is missing")
class NoRoot(AdamBase):
    def direction(self, i):
        m, v = self.hats(i)
        return m / (v + self.eps)


@wrong("adam", "t is always 1")
class NeverCounts(AdamBase):
    def count(self):
        self.t = 1


@wrong("adam", "once for each parameter")
class CountsParameters(AdamBase):
    def count(self):
        pass

    def remember(self, i, grad):
        self.t += 1
        super().remember(i, grad)


@wrong("adam", "means, not sums")
class Sums(AdamBase):
    def remember(self, i, grad):
        self.m[i] = self.betas[0] * self.m[i] + grad
        self.v[i] = self.betas[1] * self.v[i] + grad**2


@wrong("adam", "betas are swapped")
class Swapped(AdamBase):
    def count(self):
        self.t += 1
        if self.t == 1:
            self.betas = self.betas[::-1]


@wrong("adam", "uphill")
class AdamUphill(AdamBase):
    def direction(self, i):
        return -super().direction(i)


@wrong("adam", "fixed betas and eps")
class Fixed(AdamBase):
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(parameters, lr)


@wrong("adam", "t is 0 in your first step")
class CountsAfter(AdamBase):
    def count(self):
        pass

    def step(self):
        super().step()
        self.t += 1


@wrong("adam", "should be")
class Forgets(AdamBase):
    def remember(self, i, grad):
        self.m[i], self.v[i] = 0.1 * grad, 0.001 * grad**2


class OwnAdam(Base):
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


@wrong("adam", "under the root is below 0")
class ForgotTheSquare(OwnAdam):
    def means(self, i, g):
        beta1, beta2 = self.betas
        self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
        self.v[i] = beta2 * self.v[i] + (1 - beta2) * g


@wrong("adam", "the other way round")
class RolesSwapped(OwnAdam):
    def means(self, i, g):
        beta1, beta2 = self.betas
        self.m[i] = (1 - beta1) * self.m[i] + beta1 * g
        self.v[i] = (1 - beta2) * self.v[i] + beta2 * g**2


@wrong("adam", "v must be divided too")
class OneHat(OwnAdam):
    def hats(self, i):
        return super().hats(i)[0], self.v[i]


@wrong("adam", "only gives the name m to a new tensor")
class NamesOnly(OwnAdam):
    @torch.no_grad()
    def step(self):
        memory = self.m[:], self.v[:]
        super().step()
        self.m, self.v = memory


@wrong("adam", "learning rate is missing")
class RateForgotten(OwnAdam):
    def hats(self, i):
        m_hat, v_hat = super().hats(i)
        return m_hat / self.lr, v_hat


@wrong("adam", "`return` and `break` leave the loop")
class AdamStopsAtNone(OwnAdam):
    @torch.no_grad()
    def step(self):
        self.t += 1
        for i, p in enumerate(self.parameters):
            if p.grad is None:
                break
            self.means(i, p.grad)
            m_hat, v_hat = self.hats(i)
            p -= self.lr * m_hat / (v_hat.sqrt() + self.eps)


@wrong("adam", "even those you skip")
class CountsSkippedParameters(OwnAdam):
    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.parameters):
            self.t += 1
            if p.grad is not None:
                self.means(i, p.grad)
                m_hat, v_hat = self.hats(i)
                p -= self.lr * m_hat / (v_hat.sqrt() + self.eps)


@wrong("adam", "m starts from 0")
class ForgetsM(OwnAdam):
    def means(self, i, g):
        self.m[i] = torch.zeros_like(g)
        super().means(i, g)


@wrong("adam", "v starts from 0")
class ForgetsV(OwnAdam):
    def means(self, i, g):
        self.v[i] = torch.zeros_like(g)
        super().means(i, g)


@wrong("adam", "yours counts in full")
class SumInM(OwnAdam):
    def means(self, i, g):
        super().means(i, g)
        self.m[i] += self.betas[0] * g


@wrong("adam", "v is made with beta2; you use beta1")
class Beta1InV(OwnAdam):
    def means(self, i, g):
        v, beta1 = self.v[i], self.betas[0]
        super().means(i, g)
        self.v[i] = beta1 * v + (1 - beta1) * g**2


@wrong("adam", "v divided by 1 - beta2**t; you use beta1")
class Beta1InBothHats(OwnAdam):
    def hats(self, i):
        return [s[i] / (1 - self.betas[0] ** self.t) for s in (self.m, self.v)]


@wrong("adam", "Put brackets")
class NoBrackets(AdamBase):
    def direction(self, i):
        m, v = self.hats(i)
        return m / v.sqrt() + self.eps


@wrong("adam", "move by m_hat")
class GradientItself(AdamBase):
    def direction(self, i):
        _, v = self.hats(i)
        return self.parameters[i].grad / (v.sqrt() + self.eps)


# Exercise 3


@right("decay")
def by_mul(parameters, lr, weight_decay):
    with torch.no_grad():
        for p in parameters:
            if p.grad is not None:
                p.mul_(1 - lr * weight_decay)


@right("decay")
@torch.no_grad()
def by_subtraction(parameters, lr, weight_decay):
    for p in filter(lambda p: p.grad is not None, parameters):
        p -= lr * weight_decay * p
    return parameters


@wrong("decay", "has no gradient. Adam would skip")
@torch.no_grad()
def all_parameters(parameters, lr, weight_decay):
    for p in parameters:
        p *= 1 - lr * weight_decay


def _decay(change):
    @torch.no_grad()
    def decay(parameters, lr, weight_decay):
        for p in parameters:
            if p.grad is not None:
                change(p, lr, weight_decay)

    return decay


wrong("decay", "by weight_decay. The share")(_decay(lambda p, lr, wd: p.mul_(1 - wd)))
wrong("decay", "grow the weights")(_decay(lambda p, lr, wd: p.mul_(1 + lr * wd)))
wrong("decay", "same amount")(_decay(lambda p, lr, wd: p.sub_(lr * wd)))
wrong("decay", "share that should go")(_decay(lambda p, lr, wd: p.mul_(lr * wd)))
wrong("decay", "changes the gradients")(_decay(lambda p, lr, wd: p.grad.add_(wd * p)))
wrong("decay", "No parameter has changed")(_decay(lambda p, lr, wd: p * (1 - lr * wd)))


@wrong("decay", "with torch.no_grad()")
def decay_recorded(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is not None:
            p *= 1 - lr * weight_decay


wrong("decay", "shrink by lr + weight_decay")(_decay(lambda p, lr, wd: p.mul_(1 - lr - wd)))
wrong("decay", "of its gradient")(_decay(lambda p, lr, wd: p.sub_(lr * wd * p.grad)))
wrong("decay", "Adam's own")(_decay(lambda p, lr, wd: p.mul_(1 - lr * wd).sub_(lr * p.grad)))
wrong("decay", "without parentheses")(None)


@wrong("decay", "as one does with biases")
@torch.no_grad()
def tables_only(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is not None and p.ndim > 1:
            p *= 1 - lr * weight_decay


@wrong("decay", "It is the one to skip")
@torch.no_grad()
def the_other_way_round(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is None:
            p *= 1 - lr * weight_decay


@wrong("decay", "shrink by lr")
@torch.no_grad()
def by_the_rate_alone(parameters, lr, weight_decay):
    for p in parameters:
        if p.grad is not None:
            p *= 1 - lr


# Exercise 4


@right("pick_lr")
def inf_then_median(lrs, losses):
    losses = torch.where(losses.isfinite(), losses, torch.inf)
    return float(lrs[losses.median(dim=0).values.argmin()])


@right("pick_lr")
def sorted_by_hand(lrs, losses):
    def median(column):
        numbers = sorted(v if v == v else float("inf") for v in column.tolist())
        return numbers[len(numbers) // 2]

    medians = [median(losses[:, i]) for i in range(len(lrs))]
    return lrs.tolist()[medians.index(min(medians))]


@wrong("pick_lr", "argmin takes NaN for the smallest")
def nan_wins(lrs, losses):
    return lrs[losses.median(dim=0).values.argmin()].item()


@wrong("pick_lr", "Leaving them out")
def nan_ignored(lrs, losses):
    return lrs[losses.nanmedian(dim=0).values.argmin()].item()


def _clean(losses):
    return torch.nan_to_num(losses, nan=1e9, posinf=1e9)


@wrong("pick_lr", "median or mean of numbers with a NaN")
def plain_mean(lrs, losses):
    return lrs[losses.mean(dim=0).argmin()].item()


@wrong("pick_lr", "one number for each seed")
def median_over_the_rates(lrs, losses):
    return lrs[_clean(losses).median(dim=1).values.argmin()].item()


@wrong("pick_lr", "changed the data")
def inf_written_in_place(lrs, losses):
    losses[losses.isnan()] = torch.inf
    return lrs[losses.median(dim=0).values.argmin()].item()


@wrong("pick_lr", "lowest mean")
def by_mean(lrs, losses):
    return lrs[_clean(losses).mean(dim=0).argmin()].item()


@wrong("pick_lr", "lowest single run")
def by_best_run(lrs, losses):
    return lrs[_clean(losses).min(dim=0).values.argmin()].item()


@wrong("pick_lr", "the place of the best")
def the_place(lrs, losses):
    return _clean(losses).median(dim=0).values.argmin().item()


@wrong("pick_lr", ".item()")
def as_tensor(lrs, losses):
    return lrs[_clean(losses).median(dim=0).values.argmin()]


@wrong("pick_lr", "five of seven runs")
def inf_left_out(lrs, losses):
    kept = torch.where(losses == torch.inf, torch.nan, losses.nan_to_num(nan=1e9))
    return lrs[kept.nanmedian(dim=0).values.argmin()].item()


@wrong("pick_lr", "another sweep")
def learned_by_heart(lrs, losses):
    return 0.03


@wrong("pick_lr", "you leave that rate out")
def only_rates_without_a_dead_run(lrs, losses):
    alive = losses.isfinite().all(dim=0)
    return lrs[alive][losses[:, alive].median(dim=0).values.argmin()].item()


@wrong("pick_lr", "add .values")
def median_gives_two(lrs, losses):
    return lrs[losses.nan_to_num(nan=1e30).median(dim=0).argmin()].item()


@wrong("pick_lr", "what median(dim=1) leads to")
def by_row(lrs, losses):
    return lrs[_clean(losses).median(dim=1).values.argmin()].item()


@wrong("pick_lr", "lowest median itself")
def the_median(lrs, losses):
    return _clean(losses).median(dim=0).values.min().item()


# Exercise 5


@right("orphans")
def by_is(model, optimizer):
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not any(parameter is p for p in held)
    ]


@right("orphans")
def by_hash(model, optimizer):
    held = set()
    for group in optimizer.param_groups:
        held |= set(group["params"])
    result = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or parameter in held:
            continue
        result.append(name)
    return tuple(result)


def _ids(optimizer):
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


@wrong("orphans", "Look at all groups")
def first_group(model, optimizer):
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    return [name for name, p in model.named_parameters() if id(p) not in held]


@wrong("orphans", "Compare by identity")
def by_value(model, optimizer):
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        name
        for name, p in model.named_parameters()
        if not any(p.shape == q.shape and torch.equal(p, q) for q in held)
    ]


@wrong("orphans", "2.bias is frozen")
def frozen_too(model, optimizer):
    return [name for name, p in model.named_parameters() if id(p) not in _ids(optimizer)]


@wrong("orphans", "what it does hold")
def the_held(model, optimizer):
    return [name for name, p in model.named_parameters() if id(p) in _ids(optimizer)]


@wrong("orphans", "not the parameters")
def the_parameters(model, optimizer):
    return [p for p in model.parameters() if id(p) not in _ids(optimizer)] or [None]


@wrong("orphans", "Return a list of names")
def a_set(model, optimizer):
    return {name for name, p in model.named_parameters() if id(p) not in _ids(optimizer)}


@wrong("orphans", "should be ['4.weight', '4.bias']")
def never_any(model, optimizer):
    return []


@wrong("orphans", "Compare by identity")
def not_in_the_list(model, optimizer):
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return [name for name, p in model.named_parameters() if p not in held]


@wrong("orphans", "in the order of model.named_parameters()")
def in_alphabetical_order(model, optimizer):
    return sorted(by_is(model, optimizer))


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
