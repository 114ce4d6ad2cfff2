"""Answers to the exercises of lesson 05."""

import copy

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import evaluate as package_evaluate

from . import gallery

wrong, right = gallery("full_loop")

# Exercise 1


@right("one_step")
def zero_grad_last(model, xb, yb, loss_fn, optimizer):
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


@right("one_step")
def cleared_by_hand(model, xb, yb, loss_fn, optimizer):
    model.train()
    out = model(xb)
    value = loss_fn(out, yb)
    for p in model.parameters():
        p.grad = None
    value.backward()
    optimizer.step()
    return float(value.detach())


@wrong("one_step", "earlier batches are still in .grad")
def no_zero_grad(model, xb, yb, loss_fn, optimizer):
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("one_step", "no weight has moved")
def zero_grad_before_step(model, xb, yb, loss_fn, optimizer):
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@wrong("one_step", "no weight has moved")
def no_backward(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    optimizer.step()
    return loss.item()


@wrong("one_step", "step() comes before loss.backward()")
def step_one_batch_late(model, xb, yb, loss_fn, optimizer):
    optimizer.step()
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    return loss.item()


@wrong("one_step", "softmax probabilities")
def softmax_first(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(F.softmax(model(xb), dim=1), yb)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("one_step", "ran 0 times")
def step_without_parentheses(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(xb), yb)
    loss.backward()
    optimizer.step  # noqa: B018
    return loss.item()


@wrong("one_step", "another loss than the loss_fn")
def own_loss(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(xb), yb)
    loss.backward()
    optimizer.step()
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


@wrong("one_step", "loss after the step")
def loss_after_the_step(model, xb, yb, loss_fn, optimizer):
    optimizer.zero_grad()
    loss_fn(model(xb), yb).backward()
    optimizer.step()
    return loss_fn(model(xb), yb).item()


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


@wrong("one_step", "a mean over them already")
def divided_by_the_rows(model, xb, yb, loss_fn, optimizer):
    return zero_grad_last(model, xb, yb, loss_fn, optimizer) / len(xb)


@wrong("one_step", "a sum over the rows")
def summed_over_the_rows(model, xb, yb, loss_fn, optimizer):
    return zero_grad_last(model, xb, yb, loss_fn, optimizer) * len(xb)


@right("one_step")
def gradients_put_in_place(model, xb, yb, loss_fn, optimizer):
    loss = loss_fn(model(xb), yb)
    for parameter, grad in zip(
        model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        parameter.grad = grad
    optimizer.step()
    return loss.tolist()


# Exercise 3


@right("count_correct")
def by_counting(logits, yb):
    return sum(int(row.argmax()) == int(label) for row, label in zip(logits, yb, strict=True))


@right("count_correct")
def through_softmax(logits, yb):
    _, prediction = logits.softmax(dim=1).max(dim=1)
    return prediction.eq(yb).sum().item()


@right("count_correct")
def as_float(logits, yb):
    return float(torch.count_nonzero(logits.argmax(-1) == yb))


@wrong("count_correct", "share of correct answers")
def mean_instead_of_sum(logits, yb):
    return (logits.argmax(dim=1) == yb).float().mean().item()


@wrong("count_correct", "each class over the batch")
def wrong_dimension(logits, yb):
    return (logits.argmax(dim=0) == yb).sum().item()


@wrong("count_correct", "every prediction with every label")
def keepdim(logits, yb):
    return (logits.argmax(dim=1, keepdim=True) == yb).sum().item()


@wrong("count_correct", "the count should be")
def by_absolute_value(logits, yb):
    return (logits.abs().argmax(dim=1) == yb).sum().item()


@wrong("count_correct", "the count should be")
def last_row_forgotten(logits, yb):
    return sum(int(logits[i].argmax() == yb[i]) for i in range(len(yb) - 1))


@wrong("count_correct", "Not one row matched")
def value_not_position(logits, yb):
    return (logits.max(dim=1).values == yb).sum().item()


@wrong("count_correct", "number of wrong answers")
def counted_errors(logits, yb):
    return (logits.argmax(dim=1) != yb).sum().item()


@wrong("count_correct", "number of rows")
def counted_rows(logits, yb):
    return len(logits.argmax(dim=1) == yb)


@wrong("count_correct", ".item()")
def still_a_tensor(logits, yb):
    return (logits.argmax(dim=1) == yb).sum()


@wrong("count_correct", "one number")
def not_summed(logits, yb):
    return logits.argmax(dim=1) == yb


@wrong("count_correct", "stand inside your loop")
def counts_the_first_row(logits, yb):
    count = 0
    for row, label in zip(logits, yb, strict=True):
        count += int(row.argmax() == label)
        return count


@wrong("count_correct", "Without dim")
def argmax_of_the_table(logits, yb):
    return (logits.argmax() == yb).sum().item()


@right("count_correct")
def own_logit_is_the_largest(logits, yb):
    return int((logits.gather(1, yb[:, None]).squeeze(1) >= logits.max(dim=1).values).sum())


# Exercise 4


@right("evaluate")
@torch.no_grad()
def with_lists(model, loader, loss_fn):
    was_training = model.training
    model.eval()
    losses, hits = [], []
    for xb, yb in loader:
        logits = model(xb)
        losses += [loss_fn(logits, yb).item()] * len(yb)
        hits += (logits.argmax(1) == yb).tolist()
    model.train(was_training)
    return sum(losses) / len(losses), sum(hits) / len(hits)


@right("evaluate")
def in_one_batch(model, loader, loss_fn):
    model.eval()
    with torch.inference_mode():
        X = torch.cat([xb for xb, _ in loader])
        y = torch.cat([yb for _, yb in loader])
        logits = model(X)
        result = loss_fn(logits, y).item(), (logits.argmax(dim=1) == y).double().mean().item()
    model.train()
    return result


def evaluation(*, eval_mode=True, no_grad=True, weighted=True, count=True, back=True, divide=True):
    def attempt(model, loader, loss_fn):
        if eval_mode:
            model.eval()
        loss_sum, hits, accuracies, n, batches = 0.0, 0, 0.0, 0, 0
        with torch.set_grad_enabled(not no_grad):
            for xb, yb in loader:
                logits = model(xb)
                loss_sum += loss_fn(logits, yb).item() * (len(xb) if weighted else 1)
                right_rows = (logits.argmax(dim=1) == yb).sum().item()
                hits += right_rows
                accuracies += right_rows / len(xb)
                n += len(xb)
                batches += 1
        if back:
            model.train()
        loss = loss_sum / (n if weighted else batches) if divide else loss_sum
        return loss, hits / n if count else accuracies / batches

    return attempt


wrong("evaluate", "averaged the batch means")(evaluation(weighted=False))
wrong("evaluate", "averaged the batch accuracies")(evaluation(count=False))
wrong("evaluate", "model.eval()")(evaluation(eval_mode=False))
wrong("evaluate", "torch.no_grad()")(evaluation(no_grad=False))
wrong("evaluate", "still in evaluation mode")(evaluation(back=False))
wrong("evaluate", "divided by their number")(evaluation(divide=False))


@wrong("evaluate", "divided the sum of batch means by the number of rows")
def wrong_divisor(model, loader, loss_fn):
    model.eval()
    total, hits = 0.0, 0
    with torch.no_grad():
        for xb, yb in loader:
            logits = model(xb)
            total += loss_fn(logits, yb).item()
            hits += (logits.argmax(1) == yb).sum().item()
    model.train()
    n = len(loader.dataset)
    return total / n, hits / n


@wrong("evaluate", "percentage")
def in_percent(model, loader, loss_fn):
    loss, accuracy = evaluation()(model, loader, loss_fn)
    return loss, 100 * accuracy


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


@wrong("evaluate", "the size of another data set")
def divided_by_the_lessons_rows(model, loader, loss_fn):
    loss, accuracy = package_evaluate(model, loader, loss_fn)
    model.train()
    rows = sum(len(xb) for xb, _ in loader)
    return loss * rows / 400, accuracy * rows / 400


@right("evaluate")
def with_a_frozen_twin(model, loader, loss_fn):
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    parts = [(twin(xb), yb) for xb, yb in loader]
    logits, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    return [loss_fn(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()]


@wrong("evaluate", "softmax probabilities")
def on_probabilities(model, loader, loss_fn):
    return package_evaluate(torch.nn.Sequential(model, torch.nn.Softmax(dim=1)), loader, loss_fn)


# Exercise 5


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


@wrong("train_and_validate", "steps instead of")
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


@wrong("train_and_validate", "That is the accuracy")
def keeps_the_accuracy(model, train_loader, val_loader, loss_fn, optimizer, epochs):
    val_losses = []
    for _ in range(epochs):
        model.train()
        for xb, yb in train_loader:
            zero_grad_last(model, xb, yb, loss_fn, optimizer)
        val_losses.append(package_evaluate(model, val_loader, loss_fn)[1])
    return val_losses


def around(change):
    """The right loop, called with what `change` makes of (train_loader, val_loader, loss_fn)."""

    def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        changed = change(train_loader, val_loader, loss_fn)
        return loop(zero_grad_last)(model, *changed, optimizer, epochs)

    return train_and_validate


wrong("train_and_validate", "You measure on train_loader")(
    around(lambda train_loader, val_loader, loss_fn: (train_loader, train_loader, loss_fn))
)
wrong("train_and_validate", "another loss than the loss_fn")(
    around(lambda train_loader, val_loader, loss_fn: (train_loader, val_loader, F.cross_entropy))
)


@wrong("train_and_validate", "list of validation losses alone")
def two_lists(*args):
    val_losses = loop(zero_grad_last)(*args)
    return val_losses, [0.0] * 4


@wrong("train_and_validate", "yours is a Sequential")
def the_model(model, *rest):
    loop(zero_grad_last)(model, *rest)
    return model


def measuring(measure, first=False):
    """The right training, and for each epoch `measure(model, val_loader, loss_fn, its losses)`."""

    def train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        val_losses = []
        for _ in range(epochs):
            losses = []
            if first:
                val_losses.append(measure(model, val_loader, loss_fn, losses))
            model.train()
            for xb, yb in train_loader:
                losses.append(zero_grad_last(model, xb, yb, loss_fn, optimizer))
            if not first:
                val_losses.append(measure(model, val_loader, loss_fn, losses))
        return val_losses

    return train_and_validate


def mean_of_batch_means(model, val_loader, loss_fn, losses):
    return np.mean([package_evaluate(model, [batch], loss_fn)[0] for batch in val_loader])


def in_one_go(model, val_loader, loss_fn, losses):
    X, y = (torch.cat(parts) for parts in zip(*val_loader, strict=True))
    with torch.inference_mode():
        return loss_fn(model.eval()(X), y)


def without_the_package(model, val_loader, loss_fn, losses):
    model.eval()
    with torch.no_grad():
        total = sum(loss_fn(model(xb), yb) * len(yb) for xb, yb in val_loader)
    return total / sum(len(yb) for _, yb in val_loader)


right("train_and_validate")(measuring(in_one_go))
right("train_and_validate")(measuring(without_the_package))
wrong("train_and_validate", "averaged the batch means")(measuring(mean_of_batch_means))
wrong("train_and_validate", "training loss of the last batch")(
    measuring(lambda model, val_loader, loss_fn, losses: losses[-1])
)
wrong("train_and_validate", "mean training loss")(
    measuring(lambda model, val_loader, loss_fn, losses: sum(losses) / len(losses))
)
wrong("train_and_validate", "Measure after the batches")(
    measuring(lambda m, val_loader, loss_fn, _: package_evaluate(m, val_loader, loss_fn)[0], True)
)


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


@right("gradients_are_fresh")
def on_a_copy(model, xb, yb, loss_fn):
    other = copy.deepcopy(model)
    other.zero_grad()
    loss_fn(other(xb), yb).backward()
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(p.grad, q.grad, atol=1e-6) for p, q in pairs)


@right("gradients_are_fresh")
def saved_and_put_back(model, xb, yb, loss_fn):
    saved = [p.grad for p in model.parameters()]
    model.zero_grad()
    loss_fn(model(xb), yb).backward()
    fresh = [p.grad for p in model.parameters()]
    for p, grad in zip(model.parameters(), saved, strict=True):
        p.grad = grad
    return max((a - b).abs().max() for a, b in zip(saved, fresh, strict=True)).item() < 1e-6


@right("gradients_are_fresh")
def with_numpy(model, xb, yb, loss_fn):
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss_fn(model(xb), yb), parameters)
    pairs = zip(parameters, expected, strict=True)
    return np.all([np.allclose(p.grad.numpy(), g.numpy(), atol=1e-6) for p, g in pairs])


@wrong("gradients_are_fresh", "two batches were added up")
def only_not_none(model, xb, yb, loss_fn):
    return all(p.grad is not None for p in model.parameters())


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


@wrong("gradients_are_fresh", "you say they are")
def own_loss_again(model, xb, yb, loss_fn):
    parameters = list(model.parameters())
    expected = torch.autograd.grad(F.cross_entropy(model(xb), yb), parameters)
    pairs = zip(parameters, expected, strict=True)
    return all(torch.allclose(p.grad, g, atol=1e-6) for p, g in pairs)


@wrong("gradients_are_fresh", "lengths or sums alone")
def norms_only(model, xb, yb, loss_fn):
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss_fn(model(xb), yb), parameters)
    pairs = zip(parameters, expected, strict=True)
    return all(abs(p.grad.norm() - g.norm()).item() < 1e-6 for p, g in pairs)


@wrong("gradients_are_fresh", "you say they are")
def always_false(model, xb, yb, loss_fn):
    return False


@wrong("gradients_are_fresh", "True or False")
def differences_returned(model, xb, yb, loss_fn):
    parameters = list(model.parameters())
    expected = torch.autograd.grad(loss_fn(model(xb), yb), parameters)
    return [p.grad - g for p, g in zip(parameters, expected, strict=True)]


# Exercise 6


@right("early_stopping")
class WithHistory:
    def __init__(self, patience):
        self.patience, self.losses = patience, []

    def should_stop(self, val_loss, model):
        self.losses.append(val_loss)
        best = self.losses.index(min(self.losses))
        if best == len(self.losses) - 1:
            self.weights = {k: v.clone() for k, v in model.state_dict().items()}
        return len(self.losses) - 1 - best >= self.patience

    def restore(self, model):
        model.load_state_dict(self.weights)


@right("early_stopping")
class CountingDown:
    def __init__(self, patience):
        self.patience = self.left = patience
        self.best = None

    def should_stop(self, val_loss, model):
        if self.best is None or val_loss < self.best[0]:
            self.best = (val_loss, copy.deepcopy(model))
            self.left = self.patience
        else:
            self.left -= 1
        return self.left == 0

    def restore(self, model):
        model.load_state_dict(self.best[1].state_dict())


class Stopper:
    """A right answer, to be spoilt below in one place each."""

    def __init__(self, patience):
        self.patience = patience
        self.best_loss = float("inf")
        self.best_weights = None
        self.waited = 0

    def better(self, loss):
        return loss < self.best_loss

    def kept(self, model):
        return copy.deepcopy(model.state_dict())

    def enough(self):
        return self.waited >= self.patience

    def should_stop(self, val_loss, model):
        if self.better(val_loss):
            self.best_loss, self.best_weights, self.waited = val_loss, self.kept(model), 0
        else:
            self.waited += 1
        return self.enough()

    def restore(self, model):
        model.load_state_dict(self.best_weights)


@wrong("early_stopping", "without a copy")
class KeptByReference(Stopper):
    def kept(self, model):
        return model.state_dict()


@wrong("early_stopping", "only a part")
class ParametersOnly(Stopper):
    def kept(self, model):
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    def restore(self, model):
        model.load_state_dict(self.best_weights, strict=False)


@wrong("early_stopping", "not with the epoch before")
class ComparedWithTheLast(Stopper):
    def should_stop(self, val_loss, model):
        stop = super().should_stop(val_loss, model)
        self.best_loss = val_loss
        return stop


@wrong("early_stopping", "Use self.patience")
class FixedPatience(Stopper):
    def enough(self):
        return self.waited >= 3


@wrong("early_stopping", "must only look")
class RestoresTooEarly(Stopper):
    def should_stop(self, val_loss, model):
        stop = super().should_stop(val_loss, model)
        self.restore(model)
        return stop


@wrong("early_stopping", "without a copy")
class ShallowCopy(Stopper):
    def kept(self, model):
        return model.state_dict().copy()


@wrong("early_stopping", ">=, not >")
class OneLate(Stopper):
    def enough(self):
        return self.waited > self.patience


@right("early_stopping")
def from_a_factory(patience):
    return Stopper(patience)


@wrong("early_stopping", "one epoch early")
class OneEarly(Stopper):
    def enough(self):
        return self.waited >= self.patience - 1 and self.waited > 0


@wrong("early_stopping", "not in a row")
class CounterNeverReset(Stopper):
    def should_stop(self, val_loss, model):
        if self.better(val_loss):
            self.best_loss, self.best_weights = val_loss, self.kept(model)
        else:
            self.waited += 1
        return self.enough()


@wrong("early_stopping", "must count as a bad epoch")
class EqualCounts(Stopper):
    def better(self, loss):
        return loss <= self.best_loss


@wrong("early_stopping", "weights of epoch")
class KeepsEveryEpoch(Stopper):
    def should_stop(self, val_loss, model):
        stop = super().should_stop(val_loss, model)
        if not stop:
            self.best_weights = copy.deepcopy(model.state_dict())
        return stop


@wrong("early_stopping", "fell in every epoch")
class HigherIsBetter(Stopper):
    def better(self, loss):
        return self.best_loss == float("inf") or loss > self.best_loss


@wrong("early_stopping", "restore() changed nothing")
class RestoreForgotten(Stopper):
    def restore(self, model):
        return self.best_weights


@wrong("early_stopping", "returned None")
class NoVerdict(Stopper):
    def should_stop(self, val_loss, model):
        super().should_stop(val_loss, model)


wrong("early_stopping", "the class itself")(Stopper(3))
