"""Checks for lesson 05, the full loop."""

import copy

import torch
from torch import nn

from ..data import moons, tensor_loader
from ..models import mlp
from ..training import evaluate as reference_evaluate
from .feedback import Mistake, as_bool, as_number, as_pair, call, check, close, compare
from .whole_loops import trained_like


def _weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@check
def one_step(attempt):
    """`one_step(model, xb, yb, loss_fn, optimizer)` does the five lines, returns the loss."""
    X, y = moons(96, seed=1)
    batches = [(X[i : i + 32], y[i : i + 32]) for i in (0, 32, 64)]
    start = mlp(2, 8, 2)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give

    def run(step):
        """(losses, weights, number of optimizer steps) after three batches"""
        model = copy.deepcopy(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        steps = []
        optimizer.register_step_post_hook(lambda *_: steps.append(1))
        losses = [step(model, xb, yb, loss_fn, optimizer) for xb, yb in batches]
        return losses, _weights(model), len(steps)

    def right(model, xb, yb, loss_fn, optimizer):
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        return loss.item()

    def never_cleared(model, xb, yb, loss_fn, optimizer):
        loss_fn(model(xb), yb).backward()
        optimizer.step()

    def on_probabilities(model, xb, yb, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model(xb).softmax(dim=1), yb).backward()
        optimizer.step()

    def step_first(model, xb, yb, loss_fn, optimizer):
        optimizer.step()
        optimizer.zero_grad()
        loss_fn(model(xb), yb).backward()

    def another_loss(model, xb, yb, loss_fn, optimizer):
        right(model, xb, yb, nn.CrossEntropyLoss(), optimizer)

    def loss_after(model, xb, yb, loss_fn, optimizer):
        right(model, xb, yb, loss_fn, optimizer)
        return loss_fn(model(xb), yb).item()

    def watched(model, *others):
        loss = call(attempt, model, *others)
        if not model.training:
            raise Mistake(
                "Your function puts the model into evaluation mode, so dropout would never train. "
                "Leave model.eval() out: here it belongs to the demonstration alone."
            )
        return loss

    expected_losses, expected, _ = run(right)
    losses, weights, steps = run(watched)
    if steps != 3:
        raise Mistake(
            f"In three calls of your function, step() of the optimizer it was given ran {steps} "
            "times instead of 3. Call it once each time, with parentheses: optimizer.step(). (And "
            "make no optimizer of your own: it would forget its momentum from call to call.)"
        )
    if close(weights, _weights(start)):
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
            "You use another loss than the loss_fn you were given.": run(another_loss)[1],
        },
        "The weights after three steps",
    )
    losses = [as_number(loss, "The loss you return") for loss in losses]
    compare(
        losses,
        expected_losses,
        {
            "That is the loss after the step. Return the one you called backward() on.": run(
                loss_after
            )[0],
            "You divided by the number of rows, but the loss is a mean over them already.": [
                loss / 32 for loss in expected_losses
            ],
            "That is a sum over the rows of the batch. Return the loss as it is, a mean.": [
                loss * 32 for loss in expected_losses
            ],
        },
        "The losses of the three steps",
    )
    return "Your five lines move the weights exactly as PyTorch's own loop would."


@check
def count_correct(attempt):
    """`count_correct(logits, yb)` returns how many predictions are right."""
    logits, yb = torch.randn(32, 32), torch.randint(32, (32,))
    sure = torch.arange(32) % 31 < 20  # the first and the last row among them
    logits[sure] += 8 * nn.functional.one_hot(yb[sure], 32)
    logits[torch.arange(5), (yb[:5] + 1) % 32] = -20.0  # large only in absolute value
    matches = logits.argmax(dim=1) == yb
    expected = matches.sum().item()
    yours = as_number(call(attempt, logits, yb), "The count")
    compare(
        yours,
        expected,
        {
            "That is the share of correct answers, not their number. Sum instead of averaging.": (
                expected / 32
            ),
            "You looked for the largest logit of each class over the batch. Each row is one "
            "example: use argmax(dim=1).": (logits.argmax(dim=0) == yb).sum().item(),
            "Not one row matched. Compare the position of each row's largest logit with yb: "
            "argmax(dim=1), not max. (Without dim, argmax looks for one place in the whole "
            "table.)": 0,
            "Only one row is counted: does the `return` stand inside your loop?": 1,
            "That is the number of wrong answers.": 32 - expected,
            "That is the number of rows. Compare the predictions with yb before counting.": 32,
            "You compared every prediction with every label: [B, 1] against [B] gives [B, B]. "
            "Leave keepdim out.": (logits.argmax(dim=1, keepdim=True) == yb).sum().item(),
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
        on_probabilities = loss_fn(model(X).softmax(dim=1), y).item()
    model.train()

    seen = []
    watch = model.register_forward_hook(
        lambda model, _, logits: seen.append((model.training, logits.requires_grad))
    )
    before = _weights(model)
    result = as_pair(call(attempt, model, loader, loss_fn), "mean_loss, accuracy")
    watch.remove()
    if not seen:
        raise Mistake("The model you were given was never called. Use the function's arguments.")
    if not close(before, _weights(model)) or not all(p.requires_grad for p in model.parameters()):
        raise Mistake("Your function changed the model's parameters. Evaluation only looks.")
    if not torch.is_grad_enabled():
        raise Mistake(
            "Gradients are still switched off after your function, and the next epoch could not "
            "train. Use `with torch.no_grad():`, which switches them on again."
        )
    loss, accuracy = (
        as_number(part, what)
        for part, what in zip(result, ("The mean loss", "The accuracy"), strict=True)
    )
    if any(training for training, _ in seen):
        raise Mistake(
            "The model was in training mode, so dropout was active and the numbers are noisy. "
            "Call model.eval() before the loop."
        )
    if any(requires_grad for _, requires_grad in seen):
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
            "That is the loss of the first batch alone. Return after the loop.": batch_losses[0],
            "That is the accuracy. Return the mean loss first.": expected[1],
            "You gave the loss softmax probabilities. nn.CrossEntropyLoss wants the logits as "
            "they come from the model.": on_probabilities,
            "The sum over all rows still has to be divided by their number.": expected[0] * 90,
            **{
                f"You divided by {rows}, the size of another data set. Add up len(xb) of the "
                "batches as they come.": expected[0] * 90 / rows
                for rows in (400, 1600, 2000)
            },
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
            "You divided the number of correct rows by the number of batches; divide by the "
            "number of rows.": expected[1] * 45,
            "That is the share of wrong answers.": 1 - expected[1],
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
def train_and_validate(attempt):
    """`train_and_validate(model, train_loader, val_loader, loss_fn, optimizer, epochs)`."""
    X, y = moons(200, noise=0.2, seed=4)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give

    train_losses, scores, batch_means = [], [], []

    def right(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        losses = []
        for _ in range(epochs):
            model.train()
            for xb, yb in train_loader:
                optimizer.zero_grad()
                loss = loss_fn(model(xb), yb)
                loss.backward()
                optimizer.step()
                train_losses.append(loss.item())
            losses.append(reference_evaluate(model, val_loader, loss_fn)[0])
        return losses

    def on_training_rows(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        return right(model, train_loader, train_loader, loss_fn, optimizer, epochs)

    def another_loss(model, train_loader, val_loader, loss_fn, optimizer, epochs):
        loss_fn = nn.CrossEntropyLoss()
        return right(model, train_loader, val_loader, loss_fn, optimizer, epochs)

    def run(function):
        model = mlp(2, 16, 2, dropout=0.2).eval()  # the mode after somebody has looked at it
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
        shuffled = torch.Generator().manual_seed(0)
        train_loader = tensor_loader(
            X[:160], y[:160], batch_size=32, shuffle=True, generator=shuffled
        )
        # With a generator of its own, how often it is read leaves dropout's numbers alone.
        val_loader = tensor_loader(X[160:], y[160:], batch_size=32, generator=torch.Generator())
        before = _weights(model)
        result = function(model, train_loader, val_loader, loss_fn, optimizer, 4)
        if not optimizer.state and not close(_weights(model), before):  # no momentum: no step
            raise Mistake(
                "The weights have moved, but not by the optimizer that your function was given. "
                "Use it, and make no other."
            )
        batches = [reference_evaluate(model, [batch], loss_fn)[0] for batch in val_loader]
        batch_means.append(sum(batches) / len(batches))
        scores.append(reference_evaluate(model, val_loader, loss_fn)[1])
        return result, model

    others = {
        "You measure on train_loader. The validation loss is that of val_loader.": on_training_rows,
        "You trained with another loss than the loss_fn that your function was given.": (
            another_loss
        ),
    }
    losses, expected, how = trained_like(attempt, right, run, others)
    if isinstance(losses, dict | nn.Module) or not hasattr(losses, "__len__"):
        raise Mistake(
            f"The weights are right. Return a list with the validation loss of each epoch; yours "
            f"is a {type(losses).__name__}."
        )
    if isinstance(losses, tuple) and any(isinstance(part, list) for part in losses):
        raise Mistake(
            "The weights are right. Return the list of validation losses alone; yours returned "
            f"{len(losses)} things."
        )
    if any(isinstance(loss, tuple | list) for loss in losses):
        raise Mistake(
            "The weights are right, but your list holds pairs: evaluate() returns (mean loss, "
            "accuracy). Keep the first of the two."
        )
    losses = [as_number(loss, "A validation loss", plain=False) for loss in losses]
    if len(losses) != 4:
        raise Mistake(
            f"The weights are right. Of 4 epochs you return {len(losses)} validation losses; "
            "append one after the batches of each epoch."
        )
    compare(
        losses[-1],
        expected[-1],
        {
            "That is the accuracy. evaluate() returns the mean loss first.": scores[0],
            "You averaged the batch means. The batches have 32 and 8 rows: evaluate() counts every "
            "row once.": batch_means[0],
            "That is the loss of the epoch before. Measure after the batches of the epoch.": (
                expected[-2]
            ),
            "That is the training loss of the last batch. Measure on val_loader.": (
                train_losses[19]
            ),
            "That is the mean training loss of the epoch. Measure on val_loader.": (
                sum(train_losses[15:20]) / 5
            ),
        },
        "The weights are right. The last validation loss",
    )
    compare(losses, expected, {}, "The weights are right. The validation losses")
    return f"Watched by the doctor, and the weights are those of the right loop, {how}."


@check
def gradients_are_fresh(attempt):
    """`gradients_are_fresh(model, xb, yb, loss_fn)`: True if .grad is this batch's alone."""
    X, y = moons(64, seed=3)
    first, second = (X[:32], y[:32]), (X[32:], y[32:])
    model = mlp(2, 8, 2)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)  # not what F.cross_entropy would give

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
        return as_bool(result, "gradients_are_fresh")

    backward(second)
    if not answer():
        raise Mistake(
            "The gradients were cleared and came from this batch alone, but you say they are "
            "stale. Use the loss_fn you were given, and torch.allclose to forgive rounding."
        )
    for stale in ((first, second), (second, second)):
        backward(*stale)
        if answer():
            raise Mistake(
                "The gradients of two batches were added up, but you call them fresh. Work out "
                "what this batch alone would give, and compare every parameter's .grad with it."
            )
    for name, parameter in model.named_parameters():
        backward(second)
        parameter.grad += 0.005
        if answer():
            raise Mistake(
                f"Only the gradient of {name} was stale, by 0.005, and you did not notice: compare "
                "all parameters, closely."
            )
    backward(second)
    for parameter in model.parameters():
        parameter.grad.copy_(parameter.grad.roll(1, dims=0))
    if answer():
        raise Mistake(
            "The gradients were in the wrong places, and you call them fresh: lengths or sums "
            "alone don't tell. Compare the values one by one."
        )
    return "This assertion finds a missing zero_grad at its first step, whatever the curve says."


@check
def early_stopping(attempt):
    """`EarlyStopping(patience)` with `.should_stop(val_loss, model)` and `.restore(model)`."""
    if not callable(attempt) or (hasattr(attempt, "should_stop") and not isinstance(attempt, type)):
        raise Mistake("Pass the class itself: check.full_loop.early_stopping(EarlyStopping).")

    def numbered_model(number):
        """A model with parameters and buffers, all of them equal to `number`."""
        model = nn.BatchNorm1d(1)
        fill(model, number)
        return model

    def fill(model, number):
        with torch.no_grad():
            for value in model.state_dict().values():
                value.fill_(number)

    def number_of(model):
        """The number that fills the model, or None if its parts differ."""
        values = {value.item() for value in model.state_dict().values()}
        return values.pop() if len(values) == 1 else None

    def run(losses, patience):
        """The number of epochs run, the stopper, and the model, filled with the last epoch."""
        model = numbered_model(0)
        stopper = attempt(patience)
        for epoch, loss in enumerate(losses, 1):
            fill(model, epoch)
            stop = as_bool(call(stopper.should_stop, loss, model), "should_stop")
            if number_of(model) != epoch or not model.training:
                raise Mistake("should_stop must only look at the model, not change it.")
            if stop:
                return epoch, stopper, model
        return len(losses) + 1, stopper, model

    falling = [3.0, 2.0, 1.9, 1.8, 1.7]
    epochs, _, _ = run(falling, patience=2)
    if epochs <= len(falling):
        raise Mistake(
            f"The loss fell in every epoch, {falling}, yet you stopped after epoch {epochs}. A "
            "loss that is lower than the best so far must set the counter back to 0."
        )
    epochs, _, _ = run([0.5, 0.6, 0.7, 0.8, 0.9], patience=2)
    if epochs == 4:
        raise Mistake(
            "With patience=2 you stopped after 3 bad epochs. Use self.patience, and stop as soon "
            "as the count reaches it (>=, not >)."
        )
    losses = [3.0, 0.5, 0.6, 0.4, 0.45, 0.3999, 0.5, 0.45, 0.6, 0.65, 0.3]
    epochs, stopper, model = run(losses, patience=3)
    if epochs != 9:
        explanation = {
            7: "Three epochs were bad by then, but not in a row: epochs 4 and 6 were the best so "
            "far and must set the counter back to 0.",
            8: "That is one epoch early: stop when 3 epochs in a row were not better.",
        }.get(
            epochs,
            "Epochs 7, 8 and 9 are the first 3 in a row that were not below the best loss so far. "
            "Compare with the best, not with the epoch before, and keep the count in self.",
        )
        when = f"after epoch {epochs}" if epochs <= len(losses) else "never"
        raise Mistake(
            f"With patience=3 and losses {losses} training should stop after epoch 9; yours "
            f"stopped {when}. {explanation}"
        )
    # To tell the possible mistakes apart: what was training goes on to 77, and another model,
    # full of 99, is restored.
    fill(model, 77)
    other = numbered_model(99)
    stopper.restore(other)
    restored = number_of(other)
    if restored == 99:
        raise Mistake(
            "restore() changed nothing in the model it was given. Load the weights you saved: "
            "model.load_state_dict(…)."
        )
    if restored == 77:
        raise Mistake(
            "You saved the weights without a copy: state_dict() holds references, and training "
            "moved what they refer to, so restore() puts back the latest weights, not the best. "
            "Save copy.deepcopy(model.state_dict())."
        )
    if restored is None:
        raise Mistake(
            "restore() put back only a part of the model. A state_dict() has all of it, buffers "
            "such as those of BatchNorm included."
        )
    if restored != 6:
        raise Mistake(
            f"restore() put back the weights of epoch {restored:g}; the best epoch was 6. Save the "
            "weights every time the loss is the lowest so far, and only then."
        )
    epochs, _, _ = run([0.5, 0.5, 0.5, 0.5], patience=2)
    if epochs != 3:
        raise Mistake(
            "An equal loss is no improvement and must count as a bad epoch: with losses 0.5, 0.5, "
            "0.5 and patience=2 stop after epoch 3."
        )
    return "It waits as long as it should, and gives back the best weights, not the last."
