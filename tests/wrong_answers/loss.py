"""Answers to the exercises of lesson 02."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import gallery

wrong, right = gallery("loss")

# Exercise 1


def p_right(logits, yb, dim=1):
    return logits.softmax(dim=dim)[torch.arange(len(yb)), yb]


@wrong("cross_entropy", "overflows")
def four_steps_of_the_lesson(logits, yb):
    exps = logits.exp()
    probabilities = exps / exps.sum(dim=1, keepdim=True)
    return -probabilities[torch.arange(len(yb)), yb].log().mean()


@wrong("cross_entropy", "rounds to 0")
def log_of_softmax(logits, yb):
    return -p_right(logits, yb).log().mean()


@wrong("cross_entropy", "rounds to 0")
def log_with_a_small_number(logits, yb):
    return -(p_right(logits, yb) + 1e-12).log().mean()


@wrong("cross_entropy", "Take the mean over the rows")
def one_for_each_row(logits, yb):
    return logits.logsumexp(dim=1) - logits[torch.arange(len(yb)), yb]


@wrong("cross_entropy", "must stay a tensor")
def as_a_float(logits, yb):
    return F.cross_entropy(logits, yb).item()


@wrong("cross_entropy", "could not start")
def detached(logits, yb):
    return F.cross_entropy(logits.detach(), yb)


@wrong("cross_entropy", "its gradient is not")
def denominator_detached(logits, yb):
    return (logits.logsumexp(1).detach() - logits[torch.arange(len(yb)), yb]).mean()


wrong("cross_entropy", "PyTorch did the work")(nn.CrossEntropyLoss())


@wrong("cross_entropy", "not get to the logits")
def a_new_leaf(logits, yb):
    loss = logits.logsumexp(dim=1) - logits[torch.arange(len(yb)), yb]
    return torch.tensor(loss.mean().item(), requires_grad=True)


# Exercise 2


@right("decide")
def with_where(logits, targets):
    p = torch.special.expit(logits)
    answers = torch.where(p > 0.5, 1.0, 0.0)
    return [p, answers, sum(float(a) == float(t) for a, t in zip(answers, targets, strict=True))]


@wrong("decide", "compared the logits with 0.5")
def threshold_on_logits(logits, targets):
    answers = (logits > 0.5).float()
    return logits.sigmoid(), answers, (answers == targets).sum().item()


@wrong("decide", "share of right answers")
def accuracy(logits, targets):
    p = logits.sigmoid()
    answers = (p > 0.5).float()
    return p, answers, (answers == targets).float().mean().item()


@wrong("decide", "gives 1 in every row")
def softmax(logits, targets):
    p = logits.softmax(dim=1)
    answers = (logits > 0).float()
    return p, answers, (answers == targets).sum().item()


@wrong("decide", "should be a tensor [8, 1]")
def squeezed_answers(logits, targets):
    answers = (logits > 0).float().squeeze()
    return logits.sigmoid(), answers, (answers == targets.squeeze()).sum().item()


@wrong("decide", "Take its value with .item()")
def count_as_a_tensor(logits, targets):
    answers = (logits > 0).float()
    return logits.sigmoid(), answers, (answers == targets).sum()


@wrong("decide", "Return three things")
def answers_alone(logits, targets):
    return (logits > 0).float()


# Exercise 3


@wrong("bce_with_logits", "A probability is rounded to 0 or 1")
def log_of_sigmoid(logits, targets):
    p = logits.sigmoid()
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


@wrong("bce_with_logits", "A clamp at 1 - 1e-12 does not help")
def clamped_as_in_numpy(logits, targets):
    p = logits.sigmoid().clamp(1e-12, 1 - 1e-12)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


@wrong("bce_with_logits", "exp is too large or too small")
def log_of_one_plus_exp(logits, targets):
    return ((1 + logits.exp()).log() - logits * targets).mean()


@wrong("bce_with_logits", "limit of nn.BCELoss")
def sigmoid_and_bce(logits, targets):
    return nn.BCELoss()(logits.sigmoid(), targets)


@wrong("bce_with_logits", "caps the loss")
def small_number_inside(logits, targets):
    p = logits.sigmoid()
    return -(targets * (p + 1e-7).log() + (1 - targets) * (1 - p + 1e-7).log()).mean()


@wrong("bce_with_logits", "caps the loss")
def clamped_logits(logits, targets):
    return F.binary_cross_entropy_with_logits(logits.clamp(-50, 50), targets)


@wrong("bce_with_logits", "sigmoid has been applied twice")
def sigmoid_twice(logits, targets):
    return F.binary_cross_entropy_with_logits(logits.sigmoid(), targets)


@wrong("bce_with_logits", "must stay a tensor")
def through_numpy(logits, targets):
    z, t = logits.detach().numpy(), targets.numpy()
    return float((np.logaddexp(0, z) - z * t).mean())


wrong("bce_with_logits", "PyTorch did the work")(nn.BCEWithLogitsLoss())


@wrong("bce_with_logits", "Logits are no probabilities")
def logits_as_probabilities(logits, targets):
    return -(targets * logits.log() + (1 - targets) * (1 - logits).log()).mean()


@wrong("bce_with_logits", "At logit 1000")
def in_float64(logits, targets):
    z = logits.double()
    return ((1 + z.exp()).log() - z * targets).mean()


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


wrong("choices", "quantity, not one of several")(
    choosing(TEMPERATURE, nn.CrossEntropyLoss, [32, 1], [32], torch.int64)
)
wrong("choices", "That is for yes or no")(
    choosing(TEMPERATURE, nn.BCEWithLogitsLoss, [32, 1], [32, 1], torch.float32)
)
wrong("choices", "compare everything with everything")(
    choosing(TEMPERATURE, nn.MSELoss, [32, 1], [32], torch.float32)
)
wrong("choices", "only names")(choosing(BIRDS, nn.MSELoss, [32, 1], [32, 1], torch.float32))
wrong("choices", "Exactly one is right")(
    choosing(BIRDS, nn.BCEWithLogitsLoss, [32, 7], [32, 7], torch.float32)
)
wrong("choices", "the output [32, 1] does not fit")(
    choosing(BIRDS, nn.CrossEntropyLoss, [32, 1], [32], torch.int64)
)
wrong("choices", "class numbers, one for each row")(
    choosing(BIRDS, nn.CrossEntropyLoss, [32, 7], [32, 1], torch.int64)
)
wrong("choices", "refuses class numbers as torch.float32")(
    choosing(BIRDS, nn.CrossEntropyLoss, [32, 7], [32], torch.float32)
)
wrong("choices", "loss always 0")(
    choosing(CANCELS, nn.CrossEntropyLoss, [32, 1], [32], torch.int64)
)
wrong("choices", "should be float32")(
    choosing(CANCELS, nn.BCEWithLogitsLoss, [32, 1], [32, 1], torch.int64)
)
wrong("choices", "compete")(choosing(TOPICS, nn.CrossEntropyLoss, [32, 12], [32], torch.int64))
wrong("choices", "yes-or-no question, not a quantity")(
    choosing(TOPICS, nn.MSELoss, [32, 12], [32, 12], torch.float32)
)
wrong("choices", "four things")(RIGHT_CHOICES | {BIRDS: nn.CrossEntropyLoss})
wrong("choices", "wants probabilities")(
    choosing(CANCELS, nn.BCELoss, [32, 1], [32, 1], torch.float32)
)
wrong("choices", "The first entry")(
    choosing(TEMPERATURE, nn.L1Loss, [32, 1], [32, 1], torch.float32)
)
wrong("choices", "A shape is a list")(choosing(TOPICS, nn.BCEWithLogitsLoss, 12, 12, torch.float32))
wrong("choices", "is a dtype")(choosing(BIRDS, nn.CrossEntropyLoss, [32, 7], [32], "int64"))
wrong("choices", "Keep the names")({"temperature": RIGHT_CHOICES[TEMPERATURE]})
wrong("choices", "Pass the dict")(list(RIGHT_CHOICES.values()))

# Exercise 5


@wrong("repaired_loss", "batch of one row")
def squeezed(model, xb, yb):
    return F.cross_entropy(model(xb), yb.long().squeeze())


@wrong("repaired_loss", "make them int64")
def dtype_forgotten(model, xb, yb):
    return F.cross_entropy(model(xb), yb[:, 0])


@wrong("repaired_loss", "still a column")
def shape_forgotten(model, xb, yb):
    return F.cross_entropy(model(xb), yb.long())


@wrong("repaired_loss", "graph is lost")
def without_graph(model, xb, yb):
    with torch.no_grad():
        return F.cross_entropy(model(xb), yb[:, 0].long())


@wrong("repaired_loss", "is a class")
def class_called(model, xb, yb):
    return nn.CrossEntropyLoss(model(xb), yb[:, 0].long())


@wrong("repaired_loss", "The logits stand first")
def arguments_swapped(model, xb, yb):
    return F.cross_entropy(yb[:, 0].long(), model(xb))


@wrong("repaired_loss", "have lost rows")
def first_label_only(model, xb, yb):
    return F.cross_entropy(model(xb), yb[0].long())


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


wrong("diagnoses", "Run A: “learned only the class shares” would stop at the entropy")(
    saying(A="learned only the class shares", C="softmax first")
)
wrong("diagnoses", "Run A: “healthy”")(saying(A="healthy", F="softmax first"))
wrong("diagnoses", "Run B: “inputs not scaled”")(
    saying(B="inputs not scaled", D="[B, 1] against [B]")
)
wrong("diagnoses", "Run C: “softmax first”")(saying(C="softmax first", A=...))
wrong("diagnoses", "Run D: “healthy”")(saying(D="healthy", F="inputs not scaled"))
wrong("diagnoses", "Run E: “healthy”")(saying(E="healthy", F="one output for cross-entropy"))
wrong("diagnoses", "Run F: “inputs not scaled”")(saying(F="inputs not scaled"))
wrong("diagnoses", "is none of the names")(saying(B="shape trap"))
wrong("diagnoses", "Keep the names")({"A": "healthy"})
wrong("diagnoses", "Pass the dict")("healthy")
