"""Answers to the exercises of lesson 02."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks.loss import decide

from . import gallery

wrong, right = gallery("loss")

# Exercise 1


def p_right(logits, yb):
    return logits.softmax(dim=1)[torch.arange(len(yb)), yb]


def of_powers(logits, yb):
    exps = logits.exp()
    return -(exps / exps.sum(dim=1, keepdim=True))[torch.arange(len(yb)), yb].log().mean()


def denominator_detached(logits, yb):
    return (logits.logsumexp(1).detach() - logits[torch.arange(len(yb)), yb]).mean()


wrong(
    "cross_entropy",
    {
        "overflows": of_powers,
        "rounds to 0": lambda logits, yb: -p_right(logits, yb).log().mean(),
        "Don't form the probability": lambda z, yb: -p_right(z.double(), yb).log().mean(),
        "capped by whatever you added": lambda z, yb: -(p_right(z, yb) + 1e-12).log().mean(),
        "Take the mean over the rows": lambda z, yb: F.cross_entropy(z, yb, reduction="none"),
        "must stay a tensor": lambda logits, yb: F.cross_entropy(logits, yb).item(),
        "could not start": lambda logits, yb: F.cross_entropy(logits.detach(), yb),
        "its gradient is not": denominator_detached,
        "PyTorch did the work": nn.CrossEntropyLoss(),
        "not get to the logits": lambda logits, yb: torch.tensor(
            F.cross_entropy(logits, yb).item(), requires_grad=True
        ),
    },
)

# Exercise 2


@right("decide")
def with_where(logits, targets):
    p = torch.special.expit(logits)
    answers = torch.where(p > 0.5, 1.0, 0.0)
    return [p, answers, sum(float(a) == float(t) for a, t in zip(answers, targets, strict=True))]


def deciding(change):
    """`change(probabilities, answers, count)` of the right ones."""
    return lambda logits, targets: change(*decide.right(logits, targets))


wrong(
    "decide",
    {
        "should be a tensor [8, 1]": deciding(lambda p, answers, n: (p, answers.squeeze(), n)),
        "yours is list": deciding(lambda p, answers, n: (p.tolist(), answers, n)),
        "Take its value with .item()": deciding(
            lambda p, answers, n: (p, answers, torch.tensor(n))
        ),
        "Return three things": deciding(lambda p, answers, n: answers),
    },
)

# Exercise 3


def of_probabilities(p, t):
    return -(t * p.log() + (1 - t) * (1 - p).log()).mean()


def through_numpy(logits, targets):
    z, t = logits.detach().numpy(), targets.numpy()
    return float((np.logaddexp(0, z) - z * t).mean())


def small_number_inside(logits, targets):
    p = logits.sigmoid()
    return -(targets * (p + 1e-7).log() + (1 - targets) * (1 - p + 1e-7).log()).mean()


wrong(
    "bce_with_logits",
    {
        "A probability is rounded to 0 or 1": lambda z, t: of_probabilities(z.sigmoid(), t),
        "A clamp at 1 - 1e-12 does not help": lambda z, t: of_probabilities(
            z.sigmoid().clamp(1e-12, 1 - 1e-12), t
        ),
        "exp is too large or too small": lambda z, t: ((1 + z.exp()).log() - z * t).mean(),
        "At logit 1000": lambda z, t: ((1 + z.double().exp()).log() - z * t).mean(),
        "limit of nn.BCELoss": lambda z, t: nn.BCELoss()(z.sigmoid(), t),
        "hides the infinity": small_number_inside,
        "caps the loss": lambda z, t: F.binary_cross_entropy_with_logits(z.clamp(-50, 50), t),
        "must stay a tensor": through_numpy,
        "PyTorch did the work": nn.BCEWithLogitsLoss(),
        "Logits are no probabilities": of_probabilities,
    },
)

# Exercise 4

TEMPERATURE = "tomorrow's temperature in degrees"
BIRDS = "which of 7 bird species is in the picture"
CANCELS = "does the customer cancel, one output"
TOPICS = "which of 12 topics an article is about, often several"

RIGHT_CHOICES = {
    TEMPERATURE: (nn.MSELoss, [32, 1], [32, 1], torch.float32),
    BIRDS: (nn.CrossEntropyLoss, [32, 7], [32], torch.int64),
    CANCELS: (nn.BCEWithLogitsLoss, [32, 1], [32, 1], torch.float32),
    TOPICS: (nn.BCEWithLogitsLoss, [32, 12], [32, 12], torch.float32),
}

right("choices")(RIGHT_CHOICES)
right("choices")(
    {
        TEMPERATURE: ["nn.MSELoss", (32,), (32,), torch.float],
        BIRDS: [nn.CrossEntropyLoss(), torch.Size([32, 7]), (32,), torch.long],
        CANCELS: ["BCEWithLogitsLoss", (32,), (32,), torch.float],
        TOPICS: [nn.BCEWithLogitsLoss(), (32, 12), (32, 12), torch.float],
    }
)
right("choices")(RIGHT_CHOICES | {BIRDS: (nn.CrossEntropyLoss, [32, 7], [32, 7], torch.float32)})


def choosing(task, *choice):
    return RIGHT_CHOICES | {task: choice}


MSE, BCE, CE = nn.MSELoss, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss
FLOAT, LONG = torch.float32, torch.int64
wrong(
    "choices",
    {
        "quantity, not one of several": choosing(TEMPERATURE, CE, [32, 1], [32], LONG),
        "That is for yes or no": choosing(TEMPERATURE, BCE, [32, 1], [32, 1], FLOAT),
        "compare everything with everything": choosing(TEMPERATURE, MSE, [32, 1], [32], FLOAT),
        "only names": choosing(BIRDS, MSE, [32, 1], [32, 1], FLOAT),
        "Exactly one is right": choosing(BIRDS, BCE, [32, 7], [32, 7], FLOAT),
        "the output [32, 1] does not fit": choosing(BIRDS, CE, [32, 1], [32], LONG),
        "class numbers, one for each row": choosing(BIRDS, CE, [32, 7], [32, 1], LONG),
        "refuses class numbers as torch.float32": choosing(BIRDS, CE, [32, 7], [32], FLOAT),
        "255 is the last": choosing(BIRDS, CE, [32, 7], [32], torch.uint8),
        "loss always 0": choosing(CANCELS, CE, [32, 1], [32], LONG),
        "should be float32": choosing(CANCELS, BCE, [32, 1], [32, 1], LONG),
        "compete": choosing(TOPICS, CE, [32, 12], [32], LONG),
        "yes-or-no question, not a quantity": choosing(TOPICS, MSE, [32, 12], [32, 12], FLOAT),
        "four things": RIGHT_CHOICES | {BIRDS: CE},
        "wants probabilities": choosing(CANCELS, nn.BCELoss, [32, 1], [32, 1], FLOAT),
        "The first entry": choosing(TEMPERATURE, nn.L1Loss, [32, 1], [32, 1], FLOAT),
        "A shape is a list": choosing(TOPICS, BCE, 12, 12, FLOAT),
        "is a dtype": choosing(BIRDS, CE, [32, 7], [32], "int64"),
        "Keep the names": {"temperature": RIGHT_CHOICES[TEMPERATURE]},
        "Pass the dict": list(RIGHT_CHOICES.values()),
    },
)

# Exercise 5


def without_graph(model, xb, yb):
    with torch.no_grad():
        return F.cross_entropy(model(xb), yb[:, 0].long())


wrong(
    "repaired_loss",
    {
        "batch of one row": lambda m, xb, yb: F.cross_entropy(m(xb), yb.long().squeeze()),
        "make them int64": lambda m, xb, yb: F.cross_entropy(m(xb), yb[:, 0]),
        "still a column": lambda m, xb, yb: F.cross_entropy(m(xb), yb.long()),
        "graph is lost": without_graph,
        "is a class": lambda m, xb, yb: nn.CrossEntropyLoss(m(xb), yb[:, 0].long()),
        "The logits stand first": lambda m, xb, yb: F.cross_entropy(yb[:, 0].long(), m(xb)),
        "any number of rows": lambda m, xb, yb: F.cross_entropy(m(xb), yb.reshape(6).long()),
        "have lost rows": lambda m, xb, yb: F.cross_entropy(m(xb), yb[0].long()),
    },
)

# Exercise 6

RIGHT_DIAGNOSES = {
    "A": "softmax first",
    "B": "[B, 1] against [B]",
    "C": "learned only the class shares",
    "D": "inputs not scaled",
    "E": "one output for cross-entropy",
    "F": "healthy",
}

right("diagnoses")(RIGHT_DIAGNOSES)
right("diagnoses")(dict(reversed(RIGHT_DIAGNOSES.items())))


def saying(**names):
    return RIGHT_DIAGNOSES | names


wrong(
    "diagnoses",
    {
        "Run A: “learned only the class shares” would stop at the entropy": saying(
            A="learned only the class shares", C="softmax first"
        ),
        "Run A: “healthy”": saying(A="healthy", F="softmax first"),
        "Run B: “inputs not scaled”": saying(B="inputs not scaled", D="[B, 1] against [B]"),
        "Run C: “softmax first”": saying(C="softmax first", A=...),
        "Run D: “healthy”": saying(D="healthy", F="inputs not scaled"),
        "Run E: “healthy”": saying(E="healthy", F="one output for cross-entropy"),
        "Run F: “inputs not scaled”": saying(F="inputs not scaled"),
        "is none of the names": saying(B="shape trap"),
        "Keep the names": {"A": "healthy"},
        "Pass the dict": "healthy",
    },
)
