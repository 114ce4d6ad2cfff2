"""Answers to the exercises of lesson 01."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from course_utils import mlp
from course_utils.checks.forward import (
    columns_instead_of_rows,
    every_time,
    forward_by_hand,
    leaves,
    record_shapes,
    recorder,
    repair,
)

from . import gallery

wrong, right = gallery("forward")

# Exercise 1


class AsAClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.output = nn.Linear(133, 10)  # listed before it runs
        self.hidden = nn.Linear(64, 133)

    def forward(self, xb):
        return self.output(F.relu(self.hidden(xb)))


right("budget")(mlp(64, 133, 10))
right("budget")(mlp(64, 133, 10).double())
right("budget")(AsAClass())
right("budget")(nn.Sequential(nn.Flatten(), mlp(64, 133, 10, dropout=0.5)))


def network(between, inputs=64, hidden=133, into=None, **settings):
    return nn.Sequential(
        nn.Linear(inputs, hidden, **settings), between, nn.Linear(into or hidden, 10)
    )


wrong(
    "budget",
    {
        "10060 parameters are over the budget of 10000. Round down": mlp(64, 134, 10),
        "without the biases": mlp(64, 135, 10),
        "over the budget of 10000: each hidden unit": mlp(
            64, 153, 10
        ),  # the logits' weights forgotten
        "9910 parameters leave room": mlp(64, 132, 10),
        "4810 parameters leave room": mlp(64, 64, 10),
        "no ReLU between": network(nn.Identity()),
        "ReLU after the last": nn.Sequential(mlp(64, 133, 10), nn.ReLU()),
        "without softmax": nn.Sequential(mlp(64, 133, 10), nn.Softmax(dim=1)),
        "from 64 inputs to 10 logits; yours leads from 784 to 10": mlp(784, 12, 10),
        "yours has 3": mlp(64, 80, 50, 10),
        "yours has 1": nn.Linear(64, 10),
        "Pass the network itself": 133,
        "with its layers inside": (nn.Linear(64, 133), nn.ReLU(), nn.Linear(133, 10)),
        "expects 64. Both are the width": network(nn.ReLU(), into=64),
        "Leave the biases in": network(nn.ReLU(), hidden=135, bias=False),
        "stands a sigmoid": network(nn.Sigmoid()),
        "BatchNorm1d has parameters, too": nn.Sequential(nn.BatchNorm1d(64), mlp(64, 133, 10)),
    },
)

# Exercise 2


@wrong("forward_by_hand", "changed the data it was given")
def in_place(weights, biases, xb):
    logits = forward_by_hand.right(weights, biases, xb)
    xb.relu_()
    return logits


@wrong("forward_by_hand", "changed the weights or biases")
def biases_changed(weights, biases, xb):
    logits = forward_by_hand.right(weights, biases, xb)
    biases[0] += 1
    return logits


wrong(
    "forward_by_hand",
    {
        "should be a tensor": lambda *case: list(forward_by_hand.right(*case)),
        "should have shape [4, 6]; yours has shape [6, 4]": (
            lambda *case: columns_instead_of_rows(*case).T
        ),
    },
)

# Exercise 3


def hooked(model, xb, hook_for, remove=True, run=None):
    """Hooks on each layer from `hook_for(name, shapes)`, removed unless an error comes."""
    shapes = []
    handles = [
        layer.register_forward_hook(hook_for(name, shapes))
        for name, layer in model.named_children()
    ]
    (run or model)(xb)
    if remove:
        for handle in handles:
            handle.remove()
    return shapes


def output_hook(name, shapes):
    return lambda module, inputs, output: shapes.append((name, list(output.shape)))


wrong(
    "record_shapes",
    {
        "still hang on the layers": lambda m, xb: hooked(m, xb, output_hook, remove=False),
        "After a forward pass that failed": lambda m, xb: hooked(m, xb, output_hook),
        "called 2 times": lambda m, xb: hooked(m, xb, output_hook, run=lambda x: (m(x), m(x))),
        "called 0 times": lambda m, xb: hooked(m, xb, output_hook, run=m.forward),
        "recorded the outputs themselves": recorder(lambda name, layer, x, output: (name, output)),
        "one of yours is [6, 9, 0]": recorder(lambda name, layer, x, output: [*output.shape, 0]),
        "should be the name of a layer": recorder(
            lambda name, layer, x, output: (type(layer), output.shape)
        ),
        "takes the place of the layer's output": lambda m, xb: hooked(
            m, xb, lambda name, shapes: lambda module, inputs, output: output.shape
        ),
        "with three things": lambda m, xb: hooked(
            m, xb, lambda name, shapes: lambda output: shapes.append((name, output))
        ),
        "Register the hook itself": lambda m, xb: hooked(
            m, xb, lambda name, shapes: output_hook(name, shapes)(None, xb, xb)
        ),
    },
)


@wrong("record_shapes", "took it off")
def all_hooks_cleared(model, xb):
    shapes = hooked(model, xb, output_hook, remove=False)
    for module in model.modules():
        module._forward_hooks.clear()
    return shapes


@wrong("record_shapes", "hid the error")
def error_swallowed(model, xb):
    try:
        return record_shapes.right(model, xb)
    except RuntimeError:
        return []


@wrong("record_shapes", "Your list is empty")
def hooks_after_the_run(model, xb):
    model(xb)
    return hooked(model, xb, output_hook, run=lambda xb: None)


# Exercise 4


@wrong("softmax", "changed the data")
def shifted_in_place(logits):
    logits -= logits.amax(dim=1, keepdim=True)
    return logits.exp() / logits.exp().sum(dim=1, keepdim=True)


wrong(
    "softmax",
    {
        "should have shape [5, 5]; yours has shape [5]": lambda z: z.softmax(dim=1).amax(dim=1),
        "torch did the work": lambda z: z.softmax(dim=1),
        "add .values": lambda z: (z - z.max(dim=1, keepdim=True)).exp(),
    },
)

# Exercise 5


def repaired(xb=lambda xb: xb, yb=lambda yb: yb):
    def attempt(images, labels):
        good_xb, good_yb = repair.right(images, labels)
        return xb(good_xb), yb(good_yb)

    return attempt


wrong(
    "repair",
    {
        "xb is float64": repaired(xb=lambda xb: xb.double()),
        "xb is float16": repaired(xb=lambda xb: xb.half()),
        "should have shape [6, 784]; yours has [6, 28, 28]": (
            repaired(xb=lambda xb: xb.reshape(-1, 28, 28))
        ),
        "[1, 784]; yours has [784]": repaired(xb=lambda xb: xb.squeeze()),
        "yb is float64": repaired(yb=lambda yb: yb.double()),
        "yb is int32": repaired(yb=lambda yb: yb.int()),
        "still a column": repaired(yb=lambda yb: yb[:, None]),
        "lost their batch dimension": repaired(yb=lambda yb: yb.squeeze()),
        "one-hot": repaired(yb=lambda yb: F.one_hot(yb, 10)),
        "yb should have shape [6]; yours has [1, 6]": repaired(yb=lambda yb: yb[None]),
        "xb should be a tensor; yours is a ndarray": repaired(xb=lambda xb: xb.numpy()),
        "yb should be a tensor; yours is a list": repaired(yb=lambda yb: yb.tolist()),
        "The labels should be": repaired(yb=lambda yb: yb.flip(0) + 1),
        "Return xb first": lambda *batch: repair.right(*batch)[::-1],
        "Return two things": lambda *batch: repair.right(*batch)[0],
        "Take their number from the data": lambda images, labels: (
            torch.tensor(images).float().reshape(32, 784),
            torch.tensor(labels).long()[:, 0],
        ),
    },
)

# Exercise 6


def below(tensor, before=lambda node: [earlier for earlier, _ in node.next_functions if earlier]):
    """The nodes that hold a leaf, found by way of `before(node)`."""
    nodes = [tensor.grad_fn]
    for node in nodes:
        nodes += before(node)
    return [node for node in nodes if hasattr(node, "variable")]


@wrong("leaves", "compare values")
def found_by_value(tensor):
    found = []
    for leaf in every_time(tensor.grad_fn):
        if leaf not in found:
            found.append(leaf)
    return found


@wrong("leaves", "in one leaf")
def neighbours_compared(tensor):
    found = every_time(tensor.grad_fn)
    return [a for a, b in pairwise([*found, None]) if a is not b]


@wrong("leaves", "'layer.bias', 'layer.bias'")
def numbers_once_others_each_time(tensor):
    found = every_time(tensor.grad_fn)
    return [*{leaf for leaf in found if leaf.ndim == 0}, *(leaf for leaf in found if leaf.ndim)]


@wrong("leaves", "Follow every entry")
def one_step_only(tensor):
    nodes = [node for node, _ in tensor.grad_fn.next_functions[0][0].next_functions]
    return [node.variable for node in nodes if hasattr(node, "variable")]


@wrong("leaves", "all the way to its end")
def first_branch_only(tensor):
    node = tensor.grad_fn
    while not hasattr(node, "variable"):
        node = node.next_functions[0][0]
    return [node.variable]


@wrong("leaves", "left over from an earlier call")
def list_as_a_default(tensor, found=[]):  # noqa: B006
    found += [leaf for leaf in leaves.right(tensor) if not any(leaf is item for item in found)]
    return found


wrong(
    "leaves",
    {
        "you have ['a', 'a', 'a', 'b']": lambda tensor: every_time(tensor.grad_fn),
        "holds nodes of the graph": below,
        "are pairs, a node and a number": lambda tensor: below(
            tensor, lambda node: node.next_functions
        ),
        "You came to None": lambda tensor: [
            node.variable
            for node in below(tensor, lambda node: [earlier for earlier, _ in node.next_functions])
        ],
        "without copying them": lambda tensor: {
            leaf.detach().clone() for leaf in leaves.right(tensor)
        },
        "You found no leaf": lambda tensor: [],
        "it is no leaf": lambda tensor: {tensor, *every_time(tensor.grad_fn)},
        "Return a list of tensors; yours is a Tensor": lambda tensor: sum(leaves.right(tensor)),
        "holds something else": lambda tensor: [leaf.shape for leaf in leaves.right(tensor)],
        "without parentheses after its name": (),
    },
)
