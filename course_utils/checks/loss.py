"""Checks for lesson 02, the loss."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..models import mlp
from .feedback import Mistake, NotAttempted, call, check, close, compare, without


def _value(loss):
    """The number in a loss that was returned as a tensor with one element."""
    if not isinstance(loss, torch.Tensor):
        raise Mistake(
            f"You return a {type(loss).__name__}. A loss must stay a tensor, or backward() has "
            "nothing to start from: leave .item(), float() and the math module out."
        )
    if loss.numel() != 1:
        raise Mistake(
            f"A loss is one number; yours is a tensor {list(loss.shape)}. Take the mean over the "
            "rows at the end."
        )
    return loss.item()


def _gradient(loss_fn, logits, targets):
    """The gradient of a loss with respect to the logits."""
    logits = logits.clone().requires_grad_()
    loss = loss_fn(logits, targets)
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), logits, allow_unused=True)
    if gradient is None:
        raise Mistake(
            "The value is right, but backward() could not start from it, or not get to the logits: "
            ".detach(), .data or a detour through plain numbers has cut it off."
        )
    return gradient


_BY_HAND = "Right, but PyTorch did the work. Write it without its loss functions."


@check
def cross_entropy(attempt):
    """`cross_entropy(logits, yb)`: the mean over the batch, from logits, at any size of them."""
    logits, yb = 2 * torch.randn(6, 4), torch.tensor([0, 3, 1, 1, 0, 2])
    rows = torch.arange(6)
    total, right = logits.logsumexp(dim=1), logits[rows, yb]
    log_p = logits.log_softmax(dim=1)
    p = log_p.exp()[rows, yb]
    expected = F.cross_entropy(logits, yb).item()
    compare(
        _value(call(attempt, logits, yb)),
        expected,
        {
            "The minus is missing: a logarithm of a probability is below 0.": -expected,
            "That is the sum over the rows; divide by their number.": expected * 6,
            "You took the mean over all rows and classes. Only the right class of each row counts: "
            "divide by the number of rows.": expected / 4,
            "The logarithm is missing: that is the mean probability of the right class.": p.mean(),
            "The logarithm is missing: that is minus the mean probability of the right class.": (
                -p.mean()
            ),
            "You took the logarithm of a logit. Make probabilities of the logits first.": (
                -right.log().mean()
            ),
            "That is 1 minus the probability of the right class. Take minus its logarithm.": (
                1 - p.mean()
            ),
            "You took the logarithm of the mean probability. First the logarithm of each row's, "
            "then the mean.": -p.mean().log(),
            "That is the logarithm to the base 2. Take the natural one.": expected / math.log(2),
            "That is the logarithm to the base 10. Take the natural one.": expected / math.log(10),
            "Your softmax adds up over the batch. Each row is one example: dim=1.": (
                logits.logsumexp(dim=0)[yb] - right
            ).mean(),
            "Your softmax adds up over all rows and classes together. Each row is one example: "
            "dim=1.": (logits.logsumexp(dim=(0, 1)) - right).mean(),
            "You always took the largest logit. Take that of the right class, yb.": (
                total - logits.max(dim=1).values
            ).mean(),
            "That is the mean of the right logits, without a softmax: the logarithm of the sum of "
            "exps is missing.": -right.mean(),
            "logits[:, yb] pairs every row with every label. Take one logit from each row: "
            "logits[torch.arange(len(yb)), yb].": (total[:, None] - logits[:, yb]).mean(),
            "Softmax has been applied twice.": F.cross_entropy(logits.softmax(dim=1), yb),
            "You subtracted the largest logit before exp, but not from the logit of the right class. "
            "Subtract it from all, or add it to the logarithm again.": (
                total - logits.max(dim=1).values - right
            ).mean(),
            "You divided by the number of classes; divide by the number of rows.": expected * 6 / 4,
            "That is the loss of the last row alone. Add the rows up inside the loop.": -log_p[
                5, 2
            ],
            "That is the loss of the first row alone. Is the return inside the loop?": -log_p[0, 0],
        },
        "For 6 rows and 4 classes the loss",
    )

    def ask(rows, labels, expected, explanation):
        yours = _value(call(attempt, torch.tensor(rows), torch.tensor(labels)))
        if not close(yours, expected, 1e-4):
            raise Mistake(
                f"For the logits {rows} and the classes {labels} the loss should be "
                f"{expected:.4g}; yours is {yours:.4g}. {explanation}"
            )

    large, small = [1000.0, 999.0, 997.0], [-1000.0, -1001.0, -1003.0]
    one = F.cross_entropy(torch.tensor([large]), torch.tensor([1])).item()
    ask(
        [large],
        [1],
        one,
        "exp of such a logit overflows. Subtract the row's largest first, or use logsumexp.",
    )
    ask(
        [large, small],
        [1, 1],
        one,
        "Subtract from each row its own largest logit; the largest of the whole batch wipes the "
        "other rows out.",
    )
    ask(
        [[200.0, 0.0, 0.0]],
        [1],
        200.0,
        "The probability of the right class rounds to 0, and its logarithm is lost, or capped by "
        "whatever you added to it. Don't form the probability: logsumexp minus the right logit.",
    )
    if not close(_gradient(attempt, logits, yb), _gradient(F.cross_entropy, logits, yb)):
        raise Mistake(
            "The value is right, its gradient is not: it should be (probabilities - one_hot) / B. "
            "Some part of your computation was cut off from the logits."
        )
    with without(("cross_entropy", "nll_loss"), _BY_HAND):
        call(attempt, logits, yb)
    return "Right for any logits, and its gradient is (probabilities - one_hot) / B, as it should."


@check
def bce_with_logits(attempt):
    """`bce_with_logits(logits, targets)`: the mean, with the right value and push everywhere."""
    logits = torch.tensor([[1.7], [-0.4], [0.9], [-2.2], [0.3]])
    targets = torch.tensor([[1.0], [1.0], [0.0], [0.0], [1.0]])
    yes, no = F.softplus(-logits), F.softplus(logits)  # the losses if yes, or no, is right
    expected = F.binary_cross_entropy_with_logits(logits, targets).item()
    yours = _value(call(attempt, logits, targets))
    if math.isnan(yours):
        raise Mistake(
            "Already ordinary logits give NaN. Do you take the logarithm of a negative number? "
            "Logits are no probabilities; sigmoid makes probabilities of them."
        )
    compare(
        yours,
        expected,
        {
            "The minus is missing: a logarithm of a probability is below 0.": -expected,
            "That is the sum over the rows; take the mean.": expected * 5,
            "Yes and no are swapped: target 1 asks for a large logit.": (
                F.binary_cross_entropy_with_logits(logits, 1 - targets)
            ),
            "You added the logit of a yes. It is subtracted: log(1 + e^z) - z.": (
                no + logits * targets
            ).mean(),
            "You judge the rows with target 1 only; the others cost nothing. A certain yes must "
            "cost something where no is right.": (targets * yes).mean(),
            "You judge the rows with target 0 only; the others cost nothing.": (
                (1 - targets) * no
            ).mean(),
            "The part for no is log(1 - p), not 1 - log(p).": (
                targets * yes - (1 - targets) * (1 + yes)
            ).mean(),
            "In max(z, 0) - z * target + log(1 + exp(-|z|)) the absolute value is missing.": (
                logits.relu() - logits * targets + yes
            ).mean(),
            "max(z, 0) is missing in max(z, 0) - z * target + log(1 + exp(-|z|)).": (
                F.softplus(-logits.abs()) - logits * targets
            ).mean(),
            "You treat every row as if no were right: the part with the targets is missing.": (
                no.mean()
            ),
            "You treat every row as if yes were right: the part with the targets is missing.": (
                yes.mean()
            ),
            "That is the logarithm to the base 2. Take the natural one.": expected / math.log(2),
            "The sigmoid has been applied twice.": F.binary_cross_entropy_with_logits(
                logits.sigmoid(), targets
            ),
            "That is the mean squared error of the probabilities, not a cross-entropy.": (
                F.mse_loss(logits.sigmoid(), targets)
            ),
            "That is the cross-entropy of a single class: its softmax is always 1, its loss always "
            "0. The other class has the logit 0.": 0.0,
            "You compared every logit with every target: [B] against [B, 1] gives [B, B].": (
                no.mean() - logits.mean() * targets.mean()
            ),
        },
        "For five ordinary logits the loss",
    )
    # float64, too, is too small for exp(1000)
    for logit, target in ((150.0, 0.0), (-150.0, 1.0), (150.0, 1.0), (-150.0, 0.0), (1000.0, 0.0)):
        data = torch.tensor([[logit]]), torch.tensor([[target]])
        right = F.binary_cross_entropy_with_logits(*data).item()
        yours = _value(call(attempt, *data))
        shown = f"At logit {logit:g} with target {target:g} the loss should be {right:g}"
        if not math.isfinite(yours):
            why = (
                "Somewhere exp is too large or too small for float32."
                if math.isfinite(_value(attempt(data[0] / 3, data[1])))
                else "A probability is rounded to 0 or 1 before its logarithm is taken. (A clamp at "
                "1 - 1e-12 does not help: in float32 that is 1.) Don't form the probability."
            )
            raise Mistake(
                f"{shown}; yours is {yours}. {why} It is the cross-entropy of the two logits 0 "
                "and z, so exercise 1 has the formula."
            )
        if close(yours, 100.0):
            raise Mistake(
                f"{shown}; yours is 100, the limit of nn.BCELoss: the probability was rounded "
                "before it got there. Start from the logits."
            )
        if not close(yours, right, 1e-4):
            raise Mistake(
                f"{shown}; yours is {yours:.4g}. Clamping, or a small number added inside the "
                "logarithm, hides the infinity and caps the loss, and the gradient goes silent."
            )
        push = _gradient(attempt, *data)
        expected_push = _gradient(F.binary_cross_entropy_with_logits, *data)
        if not close(push, expected_push):
            raise Mistake(
                f"At logit {logit:g} with target {target:g} the value is right, but its gradient "
                f"is {push.item():g} instead of {expected_push.item():g}. (torch.where computes "
                "both of its branches: an overflow in the one not taken still spoils the gradient.)"
            )
    if not close(
        _gradient(attempt, logits, targets),
        _gradient(F.binary_cross_entropy_with_logits, logits, targets),
    ):
        raise Mistake("The values are right, but the gradient is not (p - target) / B.")
    with without(("binary_cross_entropy_with_logits",), _BY_HAND):
        call(attempt, logits, targets)
    return "Even a model that is sure and wrong is pushed back with full strength."


# For each task: the right loss, what else is wrong with the other two, the number of outputs.
_TASKS = {
    "tomorrow's temperature in degrees": (
        "MSELoss",
        {
            "CrossEntropyLoss": "A temperature is a quantity, not one of several classes.",
            "BCEWithLogitsLoss": "That is for yes or no. A temperature is a quantity.",
        },
        1,
    ),
    "which of 7 bird species is in the picture": (
        "CrossEntropyLoss",
        {
            "MSELoss": "Species numbers are only names: species 3 does not lie between 2 and 4.",
            "BCEWithLogitsLoss": "That asks seven separate yes-or-no questions, and would allow "
            "several species, or none. Exactly one is right here.",
        },
        7,
    ),
    "does the customer cancel, one output": (
        "BCEWithLogitsLoss",
        {
            "MSELoss": "Yes or no is not a quantity, and squared errors don't know that a logit "
            "far above 0 is a good yes.",
            "CrossEntropyLoss": "With one output its softmax is always 1 and its loss always 0. It "
            "would need two outputs; here there is one.",
        },
        1,
    ),
    "which of 12 topics an article is about, often several": (
        "BCEWithLogitsLoss",
        {
            "MSELoss": "Each topic is a yes-or-no question, not a quantity.",
            "CrossEntropyLoss": "Its softmax makes the topics compete for one probability of 1. "
            "Here several may be right: ask a yes-or-no question for each.",
        },
        12,
    ),
}


@check
def choices(attempt):
    """`choices`: for each task (loss, output shape, target shape, target dtype) at batch 32."""
    filled = _filled(attempt, _TASKS)
    for task, choice in filled.items():
        try:
            _judge(task, *_parts(choice))
        except Mistake as mistake:
            raise Mistake(f"“{task}”: {mistake}") from None
    if len(filled) < len(_TASKS):
        raise NotAttempted
    return "PyTorch would take all four, and they would learn what you meant."


def _filled(attempt, keys):
    """The entries of a dict that have been filled in; it must have exactly these keys."""
    if not isinstance(attempt, dict):
        raise Mistake(f"Pass the dict to the check; it got a {type(attempt).__name__}.")
    if set(attempt) != set(keys):
        missing = ", ".join(str(key) for key in keys if key not in attempt)
        unknown = ", ".join(str(key) for key in attempt if key not in keys)
        raise Mistake(
            f"Keep the keys of the dict. Missing: {missing or '-'}; new: {unknown or '-'}."
        )
    filled = {key: value for key, value in attempt.items() if value is not ...}
    if not filled:
        raise NotAttempted
    return filled


def _parts(choice):
    """(name of the loss, output shape, target shape, dtype) of an answer."""
    if not isinstance(choice, tuple | list) or len(choice) != 4:
        raise Mistake("Give four things: (loss, output shape, target shape, target dtype).")
    if any(part is ... for part in choice):
        raise NotAttempted
    loss, output, target, dtype = choice
    if isinstance(loss, nn.Module):
        loss = type(loss)
    name = loss.rpartition(".")[2] if isinstance(loss, str) else getattr(loss, "__name__", "?")
    if name == "BCELoss":
        raise Mistake("nn.BCELoss wants probabilities. The model gives logits: BCEWithLogitsLoss.")
    if name not in ("MSELoss", "CrossEntropyLoss", "BCEWithLogitsLoss"):
        raise Mistake(
            "The first entry should be nn.MSELoss, nn.CrossEntropyLoss or nn.BCEWithLogitsLoss."
        )
    for shape in (output, target):
        if not isinstance(shape, tuple | list) or not all(isinstance(n, int) for n in shape):
            raise Mistake(
                f"A shape is a list of whole numbers, as [32, 1]; one of yours is {shape}."
            )
    if not isinstance(dtype, torch.dtype):
        raise Mistake("The last entry is a dtype: torch.float32 or torch.int64.")
    return name, list(output), list(target), dtype


def _judge(task, loss, output, target, dtype):
    right_loss, why_not, outputs = _TASKS[task]
    if loss != right_loss:
        raise Mistake(f"not nn.{loss}. {why_not[loss]}")
    outputs_fit = ([32, outputs], [32]) if outputs == 1 else ([32, outputs],)
    if output not in outputs_fit:
        raise Mistake(
            f"the output {output} does not fit. It has 32 rows, and as many columns as the model "
            "has answers to give in each."
        )
    if loss == "CrossEntropyLoss":
        if (target, dtype) == (output, torch.float32):
            return  # a probability for each class
        if target != [32]:
            raise Mistake(
                f"the targets are class numbers, one for each row: [32], not {target}. "
                "nn.CrossEntropyLoss does not want a second dimension, and no one-hot rows."
            )
        if dtype != torch.int64:
            raise Mistake(f"nn.CrossEntropyLoss refuses class numbers as {dtype}: int64.")
        return
    if target != output:
        raise Mistake(
            f"output {output} and target {target} differ. nn.MSELoss would compare everything with "
            "everything, and nn.BCEWithLogitsLoss refuses: give both the same shape."
        )
    if dtype != torch.float32:
        raise Mistake(
            f"the targets should be float32, like the model's output, not {dtype}. (For yes or no: "
            "0.0 and 1.0.)"
        )


_NOT_REPAIRED = {
    "multi-target": "The labels are still a column [N, 1]: make them [N].",
    "target dtype": "The labels are class numbers of the wrong type: make them int64.",
    "to match target batch_size": "The labels have lost rows: each row of the logits needs one.",
    "not implemented for 'Long'": "The logits stand first, then the labels.",
    "Boolean value of Tensor": "nn.CrossEntropyLoss is a class. Make a loss function of it first, "
    "nn.CrossEntropyLoss(), then call that.",
}


@check
def repaired_loss(attempt):
    """`repaired_loss(model, xb, yb)`: cross-entropy of three classes, labels as floats [B, 1]."""
    model = mlp(2, 16, 3)
    with torch.no_grad():
        model[-1].weight *= 6  # far from even, so that the mistakes differ
    xb, yb = torch.randn(5, 2), torch.tensor([[2.0], [0.0], [1.0], [2.0], [2.0]])
    labels = yb[:, 0].long()
    with torch.no_grad():
        logits = model(xb)
    one_hot = F.one_hot(labels, 3).float()
    expected = F.cross_entropy(logits, labels).item()
    try:
        loss = call(attempt, model, xb, yb)
    except (RuntimeError, ValueError) as error:
        for words, explanation in _NOT_REPAIRED.items():
            if words in str(error):
                raise Mistake(f"{explanation} (PyTorch says: {error})") from None
        raise
    compare(
        _value(loss),
        expected,
        {
            "It runs, but the softmax is still there, and cross-entropy applies its own. Give it "
            "the logits.": F.cross_entropy(logits.softmax(dim=1), labels),
            "A sigmoid in front is as wrong as a softmax: cross-entropy wants the logits.": (
                F.cross_entropy(logits.sigmoid(), labels)
            ),
            "NLLLoss wants logarithms of probabilities, and got logits. nn.CrossEntropyLoss takes "
            "the logits as they are.": F.nll_loss(logits, labels),
            "NLLLoss wants logarithms of probabilities, and got the probabilities themselves.": (
                F.nll_loss(logits.softmax(dim=1), labels)
            ),
            "Every label became class 0: argmax over a column of length 1 is always 0. Take the "
            "numbers themselves.": F.cross_entropy(logits, torch.zeros_like(labels)),
            "That asks three yes-or-no questions. One of three classes is right: "
            "nn.CrossEntropyLoss.": F.binary_cross_entropy_with_logits(logits, one_hot),
            "That is the mean squared error of one-hot rows; the task is cross-entropy.": (
                F.mse_loss(logits, one_hot)
            ),
            "That is the mean squared error of each logit and the class number; the task is "
            "cross-entropy.": F.mse_loss(logits, yb.expand(5, 3)),
            "Cross-entropy wants the logits, and got the classes that argmax found.": (
                F.cross_entropy(logits.argmax(dim=1).float(), yb[:, 0])
            ),
            "That is the sum over the rows; leave the reduction at the mean.": expected * 5,
        },
        "For a batch of five the loss",
    )
    if not loss.requires_grad:
        raise Mistake(
            "The value is right, but the graph is lost, so backward() can't reach the weights. "
            "Leave .detach() and no_grad() out."
        )
    try:
        single = _value(attempt(model, xb[:1], yb[:1]))
    except (RuntimeError, ValueError, IndexError):
        raise Mistake(
            "With a batch of one row it fails: .squeeze() without a dimension removes the batch "
            "dimension too. Use yb[:, 0] or yb.squeeze(1)."
        ) from None
    compare(single, F.cross_entropy(logits[:1], labels[:1]), {}, "For a batch of one row the loss")
    return "Logits, int64 class numbers, shape [B]: all three repaired, the silent one too."


# For each run: its name, and what its numbers say.
_RUNS = {
    "A": ("softmax first", "ln 4 is 1.386, and log(1 + 3/e) is 0.744."),
    "B": ("[B, 1] against [B]", "The loss stays at the variance of the targets."),
    "C": ("learned only the class shares", "ln 3 is 1.099, the entropy of the shares is 0.83."),
    "D": ("inputs not scaled", "The first loss is 20 times ln 4, then all goes well."),
    "E": ("one output for cross-entropy", "A loss of 0 while half of the answers are wrong."),
    "F": ("healthy", "ln 10 is 2.303, and the loss goes on falling."),
}
# What a run of that name would look like.
_LOOKS = {
    "healthy": "would start near ln C and get far below what doing nothing scores",
    "softmax first": "would start near ln C and stop at log(1 + (C-1)/e), with good accuracy",
    "[B, 1] against [B]": "would be a squared error stuck at the variance of the targets",
    "inputs not scaled": "would start many times above ln C",
    "learned only the class shares": "would stop at the entropy of the class shares, with the "
    "accuracy of the majority baseline",
    "one output for cross-entropy": "would have a loss of exactly 0 from the first step",
}


@check
def diagnoses(attempt):
    """`diagnoses`: the name of what happened, for each of the six runs."""
    filled = _filled(attempt, _RUNS)
    for run, name in filled.items():
        if not isinstance(name, str) or name not in _LOOKS:
            raise Mistake(f"Run {run}: {name!r} is none of the names. They stand in NAMES.")
        right, evidence = _RUNS[run]
        if name != right:
            raise Mistake(f"Run {run}: “{name}” {_LOOKS[name]}. Look at its numbers: {evidence}")
    if len(filled) < len(_RUNS):
        raise NotAttempted
    return "Six runs, no code, and you know what happened in each of them."
