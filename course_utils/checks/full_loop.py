"""Checks for lesson 05, the full loop."""

import copy

import torch
from torch import nn

from ..data import moons, tensor_loader
from ..models import mlp
from ..training import evaluate as reference_evaluate
from .feedback import Mistake, NotAttempted, as_number, call, check, close, compare


def _weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@check
def one_step(attempt):
    """`one_step(model, xb, yb, loss_fn, optimizer)` does the five lines, returns the loss."""
    X, y = moons(96, seed=1)
    batches = [(X[i : i + 32], y[i : i + 32]) for i in (0, 32, 64)]
    start = mlp(2, 8, 2)
    loss_fn = nn.CrossEntropyLoss()

    def run(step):
        model = copy.deepcopy(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        losses = [step(model, xb, yb, loss_fn, optimizer) for xb, yb in batches]
        return losses, _weights(model)

    def right(model, xb, yb, loss_fn, optimizer):
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        return loss.item()

    def never_cleared(model, xb, yb, loss_fn, optimizer):
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()

    def on_probabilities(model, xb, yb, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model(xb).softmax(dim=1), yb).backward()
        optimizer.step()

    def step_first(model, xb, yb, loss_fn, optimizer):
        optimizer.step()
        optimizer.zero_grad()
        loss_fn(model(xb), yb).backward()

    expected_losses, expected = run(right)
    losses, weights = run(lambda *args: call(attempt, *args))
    before = _weights(start)
    if close(weights, before):
        raise Mistake(
            "After three steps no weight has moved. Either backward() is not called, or "
            "zero_grad() stands between backward() and step() and throws the gradients away, or "
            "step() comes before backward(), when there are no gradients yet."
        )
    compare(
        weights,
        expected,
        {
            "The gradients of earlier batches are still in .grad when you step: clear them with "
            "optimizer.zero_grad() once a step.": run(never_cleared)[1],
            "You gave the loss softmax probabilities. nn.CrossEntropyLoss wants the logits as "
            "they come from the model.": run(on_probabilities)[1],
            "optimizer.step() comes before loss.backward(), so each step uses the gradients of "
            "the batch before, and the last batch is never used.": run(step_first)[1],
        },
        "The weights after three steps",
    )
    losses = [as_number(loss, "The loss you return") for loss in losses]
    compare(losses, expected_losses, {}, "The losses of the three steps")
    return "Your five lines move the weights exactly as PyTorch's own loop would."


@check
def count_correct(attempt):
    """`count_correct(logits, yb)` returns how many predictions are right."""
    logits, yb = torch.randn(32, 32), torch.randint(32, (32,))
    logits[:20] += 8 * nn.functional.one_hot(yb[:20], 32)
    matches = logits.argmax(dim=1) == yb
    yours = as_number(call(attempt, logits, yb), "The count")
    compare(
        yours,
        matches.sum().item(),
        {
            "That is the share of correct answers, not their number. Sum instead of averaging.": (
                matches.float().mean().item()
            ),
            "You looked for the largest logit of each class over the batch. Each row is one "
            "example: use argmax(dim=1).": (logits.argmax(dim=0) == yb).sum().item(),
            "You compared the largest logit itself with the label. Its position is the answer: "
            "argmax, not max.": (logits.amax(dim=1) == yb).sum().item(),
            "That is the number of wrong answers.": (~matches).sum().item(),
            "That is the number of rows. Compare the predictions with yb before counting.": 32,
        },
        "For a batch of 32 rows and 32 classes the count",
    )
    return "You count matching rows, so the counts of unequal batches can simply be added up."


@check
def evaluate(attempt):
    """`evaluate(model, loader, loss_fn)` returns (mean loss, accuracy) over all examples."""
    X, y = moons(90, noise=0.3, seed=2)
    model = mlp(2, 16, 2, dropout=0.5)
    with torch.no_grad():
        model[-1].weight *= 8  # far from ln 2, so that unequal batches differ
    loader = tensor_loader(X, y, batch_size=64)  # 64 rows, then 26
    loss_fn = nn.CrossEntropyLoss()
    expected = reference_evaluate(model, loader, loss_fn)
    model.eval()
    with torch.no_grad():
        per_batch = [(loss_fn(model(xb), yb).item(), xb, yb) for xb, yb in loader]
        batch_accuracy = [
            (model(xb).argmax(dim=1) == yb).float().mean().item() for _, xb, yb in per_batch
        ]
    model.train()

    recorded = []

    def watched_loss(logits, yb):
        recorded.append((model.training, logits.requires_grad))
        return loss_fn(logits, yb)

    result = call(attempt, model, loader, watched_loss)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise Mistake("Return two numbers: `return mean_loss, accuracy`.")
    if any(part is ... for part in result):
        raise NotAttempted
    if not recorded:
        raise Mistake("loss_fn was never called. Go through the loader and compute the loss.")
    loss, accuracy = (
        as_number(part, what)
        for part, what in zip(result, ("The mean loss", "The accuracy"), strict=True)
    )
    if any(training for training, _ in recorded):
        raise Mistake(
            "The model was in training mode, so dropout was active and the numbers are noisy. "
            "Call model.eval() before the loop."
        )
    if any(requires_grad for _, requires_grad in recorded):
        raise Mistake(
            "The numbers may be right, but the logits carry a graph that nobody needs. Put the "
            "loop under torch.no_grad()."
        )
    batch_losses = [value for value, _, _ in per_batch]
    compare(
        loss,
        expected[0],
        {
            "You averaged the batch means. The batches have 64 and 26 rows, so each mean must "
            "count with its number of rows: add loss.item() * len(xb), divide by all rows.": sum(
                batch_losses
            )
            / 2,
            "You added up the batch means without dividing.": sum(batch_losses),
            "You divided the sum of batch means by the number of rows. Multiply each mean by "
            "len(xb) before adding.": sum(batch_losses) / 90,
            "That is the loss of the last batch alone.": batch_losses[-1],
            "The sum over all rows still has to be divided by their number.": expected[0] * 90,
        },
        "The mean loss",
    )
    compare(
        accuracy,
        expected[1],
        {
            "You averaged the batch accuracies. Count the correct rows of all batches, then "
            "divide once.": sum(batch_accuracy) / 2,
            "That is a percentage; return a share between 0 and 1.": expected[1] * 100,
            "That is the number of correct rows; divide by all rows.": expected[1] * 90,
        },
        "The accuracy",
    )
    if not model.training:
        raise Mistake(
            "The numbers are right, but the model is still in evaluation mode, and the next epoch "
            "would train without dropout. Call model.train() at the end."
        )
    return "Loss and accuracy count every example once, and the model is back in training mode."


@check
def gradients_are_fresh(attempt):
    """`gradients_are_fresh(model, xb, yb, loss_fn)`: True if .grad is this batch's alone."""
    X, y = moons(64, seed=3)
    (first, second) = ((X[:32], y[:32]), (X[32:], y[32:]))
    model, loss_fn = mlp(2, 8, 2), nn.CrossEntropyLoss()

    def backward(*batches):
        model.zero_grad()
        for xb, yb in batches:
            loss_fn(model(xb), yb).backward()

    def answer():
        grads = [parameter.grad.clone() for parameter in model.parameters()]
        result = call(attempt, model, *second, loss_fn)
        after = [parameter.grad for parameter in model.parameters()]
        if any(b is None or not torch.equal(a, b) for a, b in zip(grads, after, strict=True)):
            raise Mistake(
                "Your check changes the gradients that it is meant to look at, so the step that "
                "follows would use wrong ones. Compute the fresh gradients with "
                "torch.autograd.grad(loss, list(model.parameters())), which leaves .grad alone."
            )
        if isinstance(result, torch.Tensor) and result.numel() == 1:
            result = result.item()
        if not isinstance(result, bool):
            raise Mistake(f"Return True or False; yours is a {type(result).__name__}.")
        return result

    backward(second)
    if not answer():
        raise Mistake(
            "The gradients were cleared and came from this batch alone, but you say they are "
            "stale. Compare with torch.allclose, for rounding, and compare like with like."
        )
    backward(first, second)
    if answer():
        raise Mistake(
            "The gradients of two batches were added up, but you call them fresh. Work out "
            "what this batch alone would give, and compare every parameter's .grad with it."
        )
    backward(second)
    last = list(model.parameters())[-1]
    last.grad += 0.1
    if answer():
        raise Mistake(
            "Only the last parameter's gradient was stale, and you did not notice: compare all "
            "parameters, not just the first."
        )
    backward(second)
    for parameter in model.parameters():
        parameter.grad *= -1
    if answer():
        raise Mistake(
            "The gradients pointed the other way, and you call them fresh: lengths alone don't "
            "tell. Compare the values."
        )
    return "This assertion finds a missing zero_grad at its first step, whatever the curve says."


@check
def early_stopping(attempt):
    """`EarlyStopping(patience)` with `.should_stop(val_loss, model)` and `.restore(model)`."""
    if not isinstance(attempt, type):
        raise Mistake("Pass the class itself: check.full_loop.early_stopping(EarlyStopping).")

    def run(losses, patience):
        """The number of epochs run, and the stopper; the only weight is the epoch's number."""
        model = nn.Linear(1, 1, bias=False)
        stopper = attempt(patience)
        for epoch, loss in enumerate(losses, 1):
            with torch.no_grad():
                model.weight.fill_(float(epoch))
            stop = call(stopper.should_stop, loss, model)
            if not isinstance(stop, bool):
                raise Mistake(f"should_stop must return True or False; it returned {stop!r}.")
            if stop:
                return epoch, stopper
        return len(losses) + 1, stopper

    falling = [1.0, 0.9, 0.8, 0.7, 0.6]
    epochs, _ = run(falling, patience=2)
    if epochs <= len(falling):
        raise Mistake(
            f"The loss fell in every epoch, yet you stopped after epoch {epochs}. A loss that is "
            "lower than the best so far must set the counter back to 0."
        )
    losses = [1.0, 0.5, 0.6, 0.4, 0.45, 0.35, 0.5, 0.55, 0.6, 0.65, 0.3]
    epochs, stopper = run(losses, patience=3)
    if epochs != 9:
        explanation = {
            7: "Three epochs were bad by then, but not in a row: epochs 4 and 6 were the best so "
            "far and must set the counter back to 0.",
            8: "That is one epoch early: stop when 3 epochs in a row were not better.",
            10: "That is one epoch late: stop as soon as 3 in a row were not better (>=, not >).",
        }.get(epochs, "Epochs 7, 8 and 9 are the first 3 in a row that were not better.")
        when = f"after epoch {epochs}" if epochs <= len(losses) else "never"
        raise Mistake(
            f"With patience=3 and losses {losses} training should stop after epoch 9; yours "
            f"stopped {when}. {explanation}"
        )
    other = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        other.weight.fill_(99.0)
    stopper.restore(other)  # another model, to tell "nothing loaded" from "the last epoch loaded"
    weight = other.weight.item()
    if weight == 99:
        raise Mistake(
            "restore() changed nothing in the model it was given. Load the weights you saved: "
            "model.load_state_dict(…)."
        )
    if weight == 9:
        raise Mistake(
            "restore() put back the weights of the last epoch, 9, not of the best, 6. Probably you "
            "saved model.state_dict() without a copy: it holds references, and training moved what "
            "they refer to. Save copy.deepcopy(model.state_dict())."
        )
    if weight != 6:
        raise Mistake(
            f"restore() put back the weights of epoch {weight:g}; the best epoch was 6. Save the "
            "weights every time the loss is the lowest so far, and only then."
        )
    epochs, _ = run([0.5, 0.5, 0.5, 0.5], patience=2)
    if epochs != 3:
        raise Mistake(
            "A loss equal to the best is no improvement: with losses 0.5, 0.5, 0.5 and patience=2 "
            "stop after epoch 3. Use <, not <=."
        )
    return "It waits as long as it should, and gives back the best weights, not the last."
