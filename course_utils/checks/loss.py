"""Checks for lesson 02, the loss."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from ..models import mlp
from .exercise import exercise
from .feedback import Mistake, NotAttempted, as_number, call, check, explained, filled
from .values import close


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


_CUT_OFF = (
    "The value is right, its gradient is not. Is some part of your computation cut off from the "
    "logits, by .detach() or no_grad()? (torch.where computes both of its branches: an overflow in "
    "the one not taken still spoils the gradient.)"
)
_BY_HAND = "Right, but PyTorch did the work. Write it without its loss functions."


def _loss_and_gradient(attempt, logits, targets, what, advice=lambda yours: ""):
    """The parts of a loss of logits; `advice` says what a wrong number at this place points to."""
    yours = _value(call(attempt, logits, targets))
    yield f"{what} the loss", yours, advice(yours)
    yield f"{what} the gradient", _gradient(attempt, logits, targets), _CUT_OFF


def _batches():
    for rows, classes in ((6, 4), (9, 3), (1, 5)):
        yield 2 * torch.randn(rows, classes), torch.randperm(rows * classes)[:rows] % classes
    large, small = [1000.0, 999.0, 997.0], [-1000.0, -1001.0, -1003.0]
    for rows in ([large], [large, small], [[200.0, 0.0, 0.0]], [[1000.0, 0.0, 0.0]]):
        yield torch.tensor(rows), torch.ones(len(rows), dtype=torch.long)


def _cross_entropy(attempt, logits, yb):
    what, advice = f"For {len(yb)} rows and {logits.shape[1]} classes", ""
    if logits.abs().max() > 100:
        what = f"For the logits {logits.tolist()} and the classes {yb.tolist()}"
        advice = (
            "exp of such a logit overflows. Subtract the row's largest first, or use logsumexp."
        )
        if logits.min() < 0:
            advice = (
                "Subtract from each row its own largest logit; the largest of the whole batch wipes "
                "the other rows out."
            )
        elif logits.min() == 0:
            advice = (
                "The probability of the right class rounds to 0, and its logarithm is lost, or "
                "capped by whatever you added to it. Don't form the probability: logsumexp minus "
                "the right logit."
            )
    yield from _loss_and_gradient(attempt, logits, yb, what, lambda yours: advice)


@exercise(
    cases=_batches,
    observe=_cross_entropy,
    praise="Right for any logits, and its gradient is (probabilities - one_hot) / B, as it should.",
    forbid=(("cross_entropy", "nll_loss"), _BY_HAND),
)
def cross_entropy(logits, yb):
    """`cross_entropy(logits, yb)`: the mean over the batch, from logits, at any size of them."""
    return (logits.logsumexp(dim=1) - _right_logit(logits, yb)).mean()


def _right_logit(logits, yb):
    return logits[torch.arange(len(yb)), yb]


def _p_right(logits, yb, dim=1):
    return _right_logit(logits.softmax(dim=dim), yb)


@cross_entropy.variant
def with_one_hot(logits, yb):
    one_hot = F.one_hot(yb, logits.shape[1])
    return -(logits.log_softmax(dim=-1) * one_hot).sum(dim=1).mean()


@cross_entropy.variant
def with_gather_and_max(logits, yb):
    shifted = logits - logits.max(dim=1, keepdim=True).values
    right_logit = shifted.gather(1, yb[:, None]).squeeze(1)
    return (shifted.exp().sum(dim=1).log() - right_logit).sum() / len(yb)


@cross_entropy.variant
def row_by_row(logits, yb):
    losses = [row.logsumexp(0) - row[label] for row, label in zip(logits, yb, strict=True)]
    return torch.stack(losses).mean().reshape(1)


def _shifted(logits, yb, by, right_of):
    """The formula with powers of logits - by; `right_of` are those of the right class."""
    return ((logits - by).exp().sum(dim=1).log() - _right_logit(right_of, yb)).mean()


cross_entropy.known(
    "Subtract from each row its own largest logit; the largest of the whole batch wipes the "
    "other rows out.",
    lambda z, yb: _shifted(z, yb, z.max(), z - z.max()),
    "You subtracted the largest logit before exp, but not from the logit of the right class. "
    "Subtract it from all, or add it to the logarithm again.",
    lambda z, yb: _shifted(z, yb, z.amax(1, True), z),
    "That is 1 minus the probability of the right class. Take minus its logarithm.",
    lambda z, yb: 1 - _p_right(z, yb).mean(),
    "You took the mean over all rows and classes. Only the right class of each row counts: "
    "divide by the number of rows.",
    lambda z, yb: F.cross_entropy(z, yb) / z.shape[1],
    "Your softmax adds up over the batch. Each row is one example: dim=1.",
    lambda z, yb: -_right_logit(z.log_softmax(dim=0), yb).mean(),
    "Your softmax adds up over all rows and classes together. Each row is one example: dim=1.",
    lambda z, yb: (z.logsumexp(dim=(0, 1)) - _right_logit(z, yb)).mean(),
    "logits[:, yb] pairs every row with every label. Take one logit from each row: "
    "logits[torch.arange(len(yb)), yb].",
    lambda z, yb: -z.log_softmax(dim=1)[:, yb].mean(),
    "You divided by the number of classes; divide by the number of rows.",
    lambda z, yb: F.cross_entropy(z, yb, reduction="sum") / z.shape[1],
    "The minus is missing: a logarithm of a probability is below 0.",
    lambda logits, yb: -F.cross_entropy(logits, yb),
    "That is the sum over the rows; divide by their number.",
    lambda logits, yb: F.cross_entropy(logits, yb, reduction="sum"),
    "The logarithm is missing: that is the mean probability of the right class.",
    lambda logits, yb: _p_right(logits, yb).mean(),
    "The logarithm is missing: that is minus the mean probability of the right class.",
    lambda logits, yb: -_p_right(logits, yb).mean(),
    "You took the logarithm of a logit. Make probabilities of the logits first.",
    lambda logits, yb: -_right_logit(logits, yb).log().mean(),
    "You took the logarithm of the mean probability. First the logarithm of each row's, then "
    "the mean.",
    lambda logits, yb: -_p_right(logits, yb).mean().log(),
    "That is the logarithm to the base 2. Take the natural one.",
    lambda logits, yb: -_p_right(logits, yb).log2().mean(),
    "That is the logarithm to the base 10. Take the natural one.",
    lambda logits, yb: -_p_right(logits, yb).log10().mean(),
    "You always took the largest logit. Take that of the right class, yb.",
    lambda logits, yb: -logits.log_softmax(dim=1).max(dim=1).values.mean(),
    "That is the mean of the right logits, without a softmax: the logarithm of the sum of exps "
    "is missing.",
    lambda logits, yb: -_right_logit(logits, yb).mean(),
    "Softmax has been applied twice.",
    lambda logits, yb: F.cross_entropy(logits.softmax(dim=1), yb),
    "That is the loss of the last row alone. Add the rows up inside the loop.",
    lambda logits, yb: F.cross_entropy(logits[-1:], yb[-1:]),
    "That is the loss of the first row alone. Is the return inside the loop?",
    lambda logits, yb: F.cross_entropy(logits[:1], yb[:1]),
)


def _yes_or_no():
    for rows in (8, 5, 1):
        logits, targets = 2 * torch.randn(rows, 1), (torch.arange(rows) % 3 == 0).float()[:, None]
        logits[0] = 0.3  # yes, though below one half
        yield logits, targets


def _decided(attempt, logits, targets):
    result = call(attempt, logits, targets)
    if not (isinstance(result, tuple | list) and len(result) == 3):
        raise Mistake("Return three things: the probabilities, the answers, how many are right.")
    for name, column in zip(("probabilities", "answers"), result, strict=False):
        if not isinstance(column, torch.Tensor) or column.shape != logits.shape:
            shape = (
                list(column.shape) if isinstance(column, torch.Tensor) else type(column).__name__
            )
            raise Mistake(
                f"The {name} should be a tensor {list(logits.shape)}, as the logits; yours is {shape}."
            )
        yield f"The {name}", column.float().detach()
    yield "The number of right answers", as_number(result[2], "The number of right answers")


@exercise(
    cases=_yes_or_no,
    observe=_decided,
    praise="A logit above zero is a probability above one half: the same answer, without a sigmoid.",
)
def decide(logits, targets):
    """`decide(logits, targets)` returns probabilities, answers and the number of right ones."""
    answers = (logits > 0).float()
    return logits.sigmoid(), answers, (answers == targets).sum().item()


@decide.variant
def by_probability(logits, targets):
    probabilities = 1 / (1 + (-logits).exp())
    answers = probabilities.round()
    return probabilities, answers, int((answers == targets).sum())


@decide.variant
def answers_as_truth_values(logits, targets):
    answers = logits > 0
    return logits.sigmoid(), answers, (answers == targets.bool()).sum().item()


def _decide(probabilities=torch.sigmoid, yes=lambda z: z > 0, count=lambda a, t: (a == t).sum()):
    """A mistake in one of the three."""

    def attempt(logits, targets):
        answers = yes(logits).float()
        return probabilities(logits), answers, count(answers, targets).item()

    return attempt


decide.known(
    "Return the probabilities first, then the answers.",
    lambda logits, targets: [decide.right(logits, targets)[n] for n in (1, 0, 2)],
    "You compared the logits with 0.5. That is the limit for probabilities; a logit is yes above "
    "0.",
    _decide(yes=lambda z: z > 0.5),
    "You compared probabilities with 0, and they are all above it. Yes is a probability above "
    "0.5, or a logit above 0.",
    _decide(yes=lambda z: z.sigmoid() > 0),
    "Your answers are the wrong way round: yes is a logit above 0.",
    _decide(yes=lambda z: z <= 0),
    "All your answers are no. Yes is a probability above 0.5, or a logit above 0.",
    _decide(yes=lambda z: 0 * z),
    "Those are rounded logits. Round the probabilities, or compare the logits with 0.",
    _decide(yes=lambda z: z.round()),
    "Softmax over a single logit gives 1 in every row. One logit wants the sigmoid.",
    _decide(probabilities=lambda z: z.softmax(1)),
    "Softmax over the batch makes the rows share one probability. One logit wants the sigmoid.",
    _decide(probabilities=lambda z: z.softmax(0)),
    "Those are the probabilities of no.",
    _decide(probabilities=lambda z: 1 - z.sigmoid()),
    "Those are still the logits. The sigmoid makes probabilities of them.",
    _decide(probabilities=lambda z: z),
    "You apply the sigmoid twice.",
    _decide(probabilities=lambda z: z.sigmoid().sigmoid()),
    "That is the share of right answers, not their number: sum instead of averaging.",
    _decide(count=lambda a, t: (a == t).float().mean()),
    "That is the number of wrong answers.",
    _decide(count=lambda a, t: (a != t).sum()),
    "That is the number of rows.",
    _decide(count=lambda a, t: torch.tensor(len(a))),
    "That is how many answers are yes. Compare them with the targets first.",
    _decide(count=lambda a, t: a.sum()),
    "You count only right answers that are yes; a right no counts as well.",
    _decide(count=lambda a, t: (a * t).sum()),
    "Nothing you compared is equal. A probability or a logit is hardly ever exactly 0 or 1: compare "
    "the answers with the targets.",
    _decide(count=lambda a, t: torch.tensor(0)),
    "You compared every answer with every target: [B, 1] against [B] gives [B, B].",
    _decide(count=lambda a, t: (a == t[:, 0]).sum()),
)


def _columns():
    for n in (5, 8):
        logits = 2 * torch.randn(n, 1)
        logits[0], logits[1] = 1.7, -0.4
        yield logits, (torch.arange(n) % 3 == 0).float()[:, None]
    # float64, too, is too small for exp(1000)
    for logit, target in ((150.0, 0.0), (-150.0, 1.0), (150.0, 1.0), (-150.0, 0.0), (1000.0, 0.0)):
        yield torch.tensor([[logit]]), torch.tensor([[target]])


def _bce_with_logits(attempt, logits, targets):
    if len(logits) > 1:
        what, advice = f"For {len(logits)} ordinary logits", _ordinary_bce
    else:
        what = f"At logit {logits.item():g} with target {targets.item():g}"
        advice = functools.partial(_extreme_bce, attempt, logits, targets)
    yield from _loss_and_gradient(attempt, logits, targets, what, advice)


def _ordinary_bce(yours):
    if math.isnan(yours):
        return (
            "Already ordinary logits give NaN. Do you take the logarithm of a negative number? "
            "Logits are no probabilities; sigmoid makes probabilities of them."
        )
    return ""


def _extreme_bce(attempt, logits, targets, yours):
    if not math.isfinite(yours):
        why = (
            "Somewhere exp is too large or too small for float32."
            if math.isfinite(_value(attempt(logits / 3, targets)))
            else "A probability is rounded to 0 or 1 before its logarithm is taken. (A clamp at "
            "1 - 1e-12 does not help: in float32 that is 1.) Don't form the probability."
        )
        return (
            f"{why} It is the cross-entropy of the two logits 0 and z: exercise 1 has the formula."
        )
    if close(yours, 100.0):
        return (
            "100 is the limit of nn.BCELoss: the probability was rounded before it got there. "
            "Start from the logits."
        )
    return (
        "Clamping, or a small number added inside the logarithm, hides the infinity and caps the "
        "loss, and the gradient goes silent."
    )


@exercise(
    cases=_columns,
    observe=_bce_with_logits,
    praise="Even a model that is sure and wrong is pushed back with full strength.",
    forbid=(("binary_cross_entropy_with_logits",), _BY_HAND),
)
def bce_with_logits(logits, targets):
    """`bce_with_logits(logits, targets)`: the mean, with the right value and push everywhere."""
    return (F.softplus(logits) - logits * targets).mean()


def _bce(logits, targets):
    return F.binary_cross_entropy_with_logits(logits, targets)


@bce_with_logits.variant
def as_two_classes(logits, targets):
    both = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return F.cross_entropy(both, targets[:, 0].long())


@bce_with_logits.variant
def with_logsigmoid(logits, targets):
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    return -(targets * yes + (1 - targets) * no).mean()


@bce_with_logits.variant
def with_logaddexp(logits, targets):
    return (torch.logaddexp(torch.zeros_like(logits), logits) - targets * logits).mean()


@bce_with_logits.variant
def the_textbook_formula(logits, targets):
    tail = torch.log1p(torch.exp(-logits.abs()))
    return (logits.clamp(min=0) - logits * targets + tail).mean()


@bce_with_logits.mistake
def where(logits, targets):
    """torch.where computes both of its branches: an overflow in the one not taken still spoils
    the gradient."""
    softplus = torch.where(logits > 50, logits, (1 + logits.exp()).log())
    return (softplus - logits * targets).mean()


bce_with_logits.known(
    "You judge the rows with target 1 only; the others cost nothing. A certain yes must cost "
    "something where no is right.",
    lambda z, t: (t * F.softplus(-z)).mean(),
    "The part for no is log(1 - p), not 1 - log(p).",
    lambda z, t: (t * F.softplus(-z) - (1 - t) * (1 + F.softplus(-z))).mean(),
    "In max(z, 0) - z * target + log(1 + exp(-|z|)) the absolute value is missing.",
    lambda z, t: (z.relu() - z * t + (1 + (-z).exp()).log()).mean(),
    "max(z, 0) is missing in max(z, 0) - z * target + log(1 + exp(-|z|)).",
    lambda z, t: (torch.log1p((-z.abs()).exp()) - z * t).mean(),
    "The minus is missing: a logarithm of a probability is below 0.",
    lambda z, t: -_bce(z, t),
    "That is the sum over the rows; take the mean.",
    lambda z, t: _bce(z, t) * len(z),
    "Yes and no are swapped: target 1 asks for a large logit.",
    lambda z, t: _bce(-z, t),
    "You added the logit of a yes. It is subtracted: log(1 + e^z) - z.",
    lambda z, t: (F.softplus(z) + z * t).mean(),
    "You judge the rows with target 0 only; the others cost nothing.",
    lambda z, t: ((1 - t) * F.softplus(z)).mean(),
    "You treat every row as if no were right: the part with the targets is missing.",
    lambda z, t: F.softplus(z).mean(),
    "You treat every row as if yes were right: the part with the targets is missing.",
    lambda z, t: F.softplus(-z).mean(),
    "That is the logarithm to the base 2. Take the natural one.",
    lambda z, t: _bce(z, t) / math.log(2),
    "The sigmoid has been applied twice.",
    lambda z, t: _bce(z.sigmoid(), t),
    "That is the mean squared error of the probabilities, not a cross-entropy.",
    lambda z, t: F.mse_loss(z.sigmoid(), t),
    "That is the cross-entropy of a single class: its softmax is always 1, its loss always 0. "
    "The other class has the logit 0.",
    lambda z, t: F.cross_entropy(z, t),
    "You compared every logit with every target: [B] against [B, 1] gives [B, B].",
    lambda z, t: (F.softplus(z) - z * t[:, 0]).mean(),
)


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
    answers = filled(attempt, _TASKS)
    praise = "PyTorch would take all four, and they would learn what you meant."
    for task, choice in answers.items():
        try:
            loss, output, target, dtype = _parts(choice)
            _judge(task, loss, output, target, dtype)
        except Mistake as mistake:
            raise Mistake(f"“{task}”: {mistake}") from None
        if loss == "CrossEntropyLoss" and target == output:
            praise += " (A probability for each class, as one-hot rows are, is right as well.)"
    if len(answers) < len(_TASKS):
        raise NotAttempted
    return praise


def _parts(choice):
    """(name of the loss, output shape, target shape, dtype) of an answer."""
    if not isinstance(choice, tuple | list) or len(choice) != 4:
        raise Mistake("Give four things: (loss, output shape, target shape, target dtype).")
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
                f"(One-hot rows would be {output}, torch.float32.)"
            )
        if dtype == torch.uint8:
            raise Mistake("class numbers as uint8 do run, but 255 is the last. Use int64.")
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


_WRONG_TYPE = "The labels are class numbers of the wrong type: make them int64."
_NOT_REPAIRED = {
    "multi-target": "The labels are still a column [N, 1]: make them [N].",
    "target dtype": _WRONG_TYPE,
    "scalar type Long": _WRONG_TYPE,  # in the words of torch 2.11
    "to match target batch_size": "The labels have lost rows: each row of the logits needs one.",
    "is invalid for input of size": "A batch may have any number of rows: let yb[:, 0] find it.",
    "not implemented for 'Long'": "The logits stand first, then the labels.",
    "Boolean value of Tensor": "nn.CrossEntropyLoss is a class. Make a loss function of it first, "
    "nn.CrossEntropyLoss(), then call that.",
}


def _labelled_columns():
    for labels in ([2.0, 0.0, 1.0, 2.0, 2.0], [1.0, 2.0, 0.0, 1.0], [1.0]):
        model = mlp(2, 16, 3)
        with torch.no_grad():
            model[-1].weight *= 6  # far from even, so that the mistakes differ
        yield model, torch.randn(len(labels), 2), torch.tensor(labels)[:, None]


_LOST_DIMENSION = (
    "With a batch of one row it fails: .squeeze() without a dimension removes the batch dimension "
    "too. Use yb[:, 0] or yb.squeeze(1)."
)


def _repaired_loss(attempt, model, xb, yb):
    with explained(_NOT_REPAIRED if len(xb) > 1 else {"": _LOST_DIMENSION}):
        loss = call(attempt, model, xb, yb)
    yield f"For a batch of {len(xb)} the loss", _value(loss)
    if not loss.requires_grad:
        raise Mistake(
            "The value is right, but the graph is lost, so backward() can't reach the weights. "
            "Leave .detach() and no_grad() out."
        )
    (gradient,) = torch.autograd.grad(loss.sum(), model[-1].bias, allow_unused=True)
    yield "The value is right, but the gradient of the last bias", gradient


@exercise(
    cases=_labelled_columns,
    observe=_repaired_loss,
    praise="Logits, int64 class numbers, shape [B]: all three repaired, the silent one too.",
)
def repaired_loss(model, xb, yb):
    """`repaired_loss(model, xb, yb)`: cross-entropy of three classes, labels as floats [B, 1]."""
    return F.cross_entropy(model(xb), yb.squeeze(1).to(torch.int64))


@repaired_loss.variant
def flattened(model, xb, yb):
    return nn.CrossEntropyLoss()(model(xb), yb.flatten().long())


@repaired_loss.variant
def log_softmax_and_nll(model, xb, yb):
    return nn.NLLLoss()(model(xb).log_softmax(dim=1), yb.view(-1).type(torch.long))


@repaired_loss.variant
def with_one_hot_rows(model, xb, yb):
    return F.cross_entropy(model(xb), _one_hot(yb))


def _one_hot(yb):
    return F.one_hot(yb[:, 0].long(), 3).float()


repaired_loss.known(
    "It runs, but the softmax is still there, and cross-entropy applies its own. Give it the "
    "logits.",
    lambda m, xb, yb: F.cross_entropy(m(xb).softmax(dim=1), yb[:, 0].long()),
    "A sigmoid in front is as wrong as a softmax: cross-entropy wants the logits.",
    lambda m, xb, yb: F.cross_entropy(m(xb).sigmoid(), yb[:, 0].long()),
    "NLLLoss wants logarithms of probabilities, and got logits. nn.CrossEntropyLoss takes the "
    "logits as they are.",
    lambda m, xb, yb: F.nll_loss(m(xb), yb[:, 0].long()),
    "NLLLoss wants logarithms of probabilities, and got the probabilities themselves.",
    lambda m, xb, yb: F.nll_loss(m(xb).softmax(dim=1), yb[:, 0].long()),
    "Every label became class 0: argmax over a column of length 1 is always 0. Take the "
    "numbers themselves.",
    lambda m, xb, yb: F.cross_entropy(m(xb), yb.argmax(dim=1)),
    "That asks three yes-or-no questions. One of three classes is right: nn.CrossEntropyLoss.",
    lambda m, xb, yb: _bce(m(xb), _one_hot(yb)),
    "That is the mean squared error of one-hot rows; the task is cross-entropy.",
    lambda m, xb, yb: F.mse_loss(m(xb), _one_hot(yb)),
    "That is the mean squared error of each logit and the class number; the task is cross-entropy.",
    lambda m, xb, yb: F.mse_loss(m(xb), yb.expand(-1, 3)),
    "Cross-entropy wants the logits, and got the classes that argmax found.",
    lambda m, xb, yb: F.cross_entropy(m(xb).argmax(dim=1).float(), yb[:, 0]).requires_grad_(),
    "That is the sum over the rows; leave the reduction at the mean.",
    lambda m, xb, yb: F.cross_entropy(m(xb), yb[:, 0].long(), reduction="sum"),
)


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
    answers = filled(attempt, _RUNS)
    for run, name in answers.items():
        if not isinstance(name, str) or name not in _LOOKS:
            raise Mistake(f"Run {run}: {name!r} is none of the names. They stand in NAMES.")
        right, evidence = _RUNS[run]
        if name != right:
            raise Mistake(f"Run {run}: “{name}” {_LOOKS[name]}. Look at its numbers: {evidence}")
    if len(answers) < len(_RUNS):
        raise NotAttempted
    return "Six runs, no code, and you know what happened in each of them."
