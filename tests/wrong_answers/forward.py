"""Answers to the exercises of lesson 01."""

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import mlp

from . import gallery

wrong, right = gallery("forward")

# Exercise 1


class AsAClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 133)
        self.output = nn.Linear(133, 10)

    def forward(self, xb):
        return self.output(F.relu(self.hidden(xb)))


right("budget")(mlp(64, 133, 10))
right("budget")(AsAClass())
right("budget")(nn.Sequential(nn.Flatten(), mlp(64, 133, 10, dropout=0.5)))

wrong("budget", "10060 parameters are over the budget of 10000. Round down")(mlp(64, 134, 10))
wrong("budget", "without the biases")(mlp(64, 135, 10))
wrong("budget", "9910 parameters leave room")(mlp(64, 132, 10))
wrong("budget", "4810 parameters leave room")(mlp(64, 64, 10))
wrong("budget", "no ReLU between")(nn.Sequential(nn.Linear(64, 133), nn.Linear(133, 10)))
wrong("budget", "ReLU after the last")(nn.Sequential(mlp(64, 133, 10), nn.ReLU()))
wrong("budget", "without softmax")(nn.Sequential(mlp(64, 133, 10), nn.Softmax(dim=1)))
wrong("budget", "from 64 inputs to 10 logits; yours leads from 784 to 10")(mlp(784, 12, 10))
wrong("budget", "yours has 3")(mlp(64, 80, 50, 10))
wrong("budget", "yours has 1")(nn.Linear(64, 10))
wrong("budget", "Pass the network itself")(133)
wrong("budget", "with its layers inside")((nn.Linear(64, 133), nn.ReLU(), nn.Linear(133, 10)))
wrong("budget", "expects 64. Both are the width")(
    nn.Sequential(nn.Linear(64, 133), nn.ReLU(), nn.Linear(64, 10))
)
wrong("budget", "Leave the biases in")(
    nn.Sequential(nn.Linear(64, 135, bias=False), nn.ReLU(), nn.Linear(135, 10))
)
wrong("budget", "stands a sigmoid")(
    nn.Sequential(nn.Linear(64, 133), nn.Sigmoid(), nn.Linear(133, 10))
)

right("budget")(mlp(64, 133, 10).double())


# Exercise 2


@right("forward_by_hand")
def relu_unless_last(weights, biases, xb):
    for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
        xb = torch.matmul(xb, W.t()) + b
        if i < len(weights) - 1:
            xb = torch.clamp(xb, min=0)
    return xb


@right("forward_by_hand")
def columns_instead_of_rows(weights, biases, xb):
    x = xb.T
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.maximum(W @ x + b[:, None], torch.zeros(()))
    return (weights[-1] @ x + biases[-1][:, None]).T


@right("forward_by_hand")
def row_by_row(weights, biases, xb):
    rows = []
    for row in xb:
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            row = F.relu(W @ row + b)
        rows.append(weights[-1] @ row + biases[-1])
    return torch.stack(rows)


@wrong("forward_by_hand", "ReLU after the last layer")
def relu_everywhere(weights, biases, xb):
    for W, b in zip(weights, biases, strict=True):
        xb = (xb @ W.T + b).relu()
    return xb


@wrong("forward_by_hand", "The ReLU is missing")
def no_relu(weights, biases, xb):
    for W, b in zip(weights, biases, strict=True):
        xb = xb @ W.T + b
    return xb


@wrong("forward_by_hand", "each has to be turned")
def not_turned(weights, biases, xb):
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        xb = (xb @ W + b).relu()
    return xb @ weights[-1] + biases[-1]


@wrong("forward_by_hand", "The biases are missing")
def no_biases(weights, biases, xb):
    for W in weights[:-1]:
        xb = (xb @ W.T).relu()
    return xb @ weights[-1].T


@wrong("forward_by_hand", "into probabilities")
def softmax_at_the_end(weights, biases, xb):
    return relu_unless_last(weights, biases, xb).softmax(dim=1)


@wrong("forward_by_hand", "before the first layer")
def relu_before_each(weights, biases, xb):
    for W, b in zip(weights, biases, strict=True):
        xb = xb.relu() @ W.T + b
    return xb


@wrong("forward_by_hand", "left out the last layer")
def last_layer_forgotten(weights, biases, xb):
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        xb = (xb @ W.T + b).relu()
    return xb


@wrong("forward_by_hand", "two layers only")
def two_layers(weights, biases, xb):
    return (xb @ weights[0].T + biases[0]).relu() @ weights[1].T + biases[1]


@wrong("forward_by_hand", "For the widths 5-7-4-3")
def three_layers(weights, biases, xb):
    if weights[0].shape == (7, 5):
        return no_relu(weights, biases, xb)
    return relu_unless_last(weights, biases, xb)


@wrong("forward_by_hand", "changed the data it was given")
def in_place(weights, biases, xb):
    logits = relu_unless_last(weights, biases, xb)
    xb.relu_()
    return logits


@wrong("forward_by_hand", "changed the weights or biases")
def biases_changed(weights, biases, xb):
    logits = relu_unless_last(weights, biases, xb)
    biases[0] += 1
    return logits


@wrong("forward_by_hand", "as a tensor")
def list_of_rows(weights, biases, xb):
    return list(relu_unless_last(weights, biases, xb))


@wrong("forward_by_hand", "should have shape [4, 6]; yours [6, 4]")
def still_columns(weights, biases, xb):
    return columns_instead_of_rows(weights, biases, xb).T


@right("forward_by_hand")
def numpy_all_along(weights, biases, xb):
    x = xb.numpy()
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        x = np.maximum(x @ W.numpy().T + b.numpy(), 0)
    return x @ weights[-1].numpy().T + biases[-1].numpy()


@right("forward_by_hand")
def emptying_the_lists(weights, biases, xb):
    while len(weights) > 1:
        xb = (xb @ weights.pop(0).T + biases.pop(0)).relu()
    return xb @ weights[0].T + biases[0]


@wrong("forward_by_hand", "starts from xb again")
def from_xb_each_time(weights, biases, xb):
    for W, b in zip(weights, biases, strict=True):
        out = xb @ W.T + b
    return out


def each_layer(activate, last=lambda x: x):
    def forward_by_hand(weights, biases, xb):
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            xb = activate(xb @ W.T, b)
        return last(xb @ weights[-1].T + biases[-1])

    return forward_by_hand


wrong("forward_by_hand", "First add the bias")(each_layer(lambda x, b: x.relu() + b))
wrong("forward_by_hand", "stands a tanh")(each_layer(lambda x, b: (x + b).tanh()))
wrong("forward_by_hand", "stands a sigmoid; the exercise asks for a ReLU. There is a ReLU after")(
    each_layer(lambda x, b: (x + b).sigmoid(), last=torch.relu)
)


@wrong("forward_by_hand", "first layer and the last")
def the_ends_only(weights, biases, xb):
    return two_layers(weights[:: len(weights) - 1], biases[:: len(weights) - 1], xb)


@wrong("forward_by_hand", "starts from xb again")
def relu_from_xb_each_time(weights, biases, xb):
    for W, b in zip(weights, biases, strict=True):
        out = (xb @ W.T + b).relu()
    return out


@wrong("forward_by_hand", "Is the return inside the loop?")
def return_inside(weights, biases, xb):
    for W, b in zip(weights, biases, strict=True):
        xb = (xb @ W.T + b).relu()
        return xb


@wrong("forward_by_hand", "The last layer has a bias")
def last_bias_forgotten(weights, biases, xb):
    return relu_unless_last(weights, biases, xb) - biases[-1]


# Exercise 3


@right("record_shapes")
def with_hooks(model, xb, hook_on=nn.Module.register_forward_hook):
    shapes, handles = [], []
    for name, layer in model.named_children():

        def hook(module, inputs, output, name=name):
            shapes.append([name, output.shape])

        handles.append(hook_on(layer, hook))
    try:
        model(xb)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


@right("record_shapes")
def with_exit_stack(model, xb):
    from contextlib import ExitStack

    shapes = {}
    names = {layer: name for name, layer in model.named_children()}
    with ExitStack() as stack:
        for layer in names:
            stack.enter_context(
                layer.register_forward_hook(
                    lambda layer, _, output: shapes.update({names[layer]: tuple(output.shape)})
                )
            )
        model(xb)
    return shapes


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


@wrong("record_shapes", "still hang on the layers")
def hooks_left_behind(model, xb):
    return hooked(model, xb, output_hook, remove=False)


@wrong("record_shapes", "After a forward pass that failed")
def no_finally(model, xb):
    return hooked(model, xb, output_hook)


@wrong("record_shapes", "called 2 times")
def run_twice(model, xb):
    return hooked(model, xb, output_hook, run=lambda xb: (model(xb), model(xb)))


@wrong("record_shapes", "called 0 times")
def around_the_call(model, xb):
    return hooked(model, xb, output_hook, run=model.forward)


@wrong("record_shapes", "go into the layers")
def shapes_of_the_inputs(model, xb):
    def hook_for(name, shapes):
        return lambda module, inputs, output: shapes.append((name, list(inputs[0].shape)))

    return hooked(model, xb, hook_for)


@wrong("record_shapes", "recorded the outputs themselves")
def outputs_not_shapes(model, xb):
    def hook_for(name, shapes):
        return lambda module, inputs, output: shapes.append((name, output))

    return hooked(model, xb, hook_for)


@wrong("record_shapes", "one of yours is [6, 9, 0]")
def shapes_without_names(model, xb):
    def hook_for(name, shapes):
        return lambda module, inputs, output: shapes.append([*output.shape, 0])

    return hooked(model, xb, hook_for)


@wrong("record_shapes", "should be the name of a layer")
def types_instead_of_names(model, xb):
    def hook_for(name, shapes):
        return lambda module, inputs, output: shapes.append((type(module), output.shape))

    return hooked(model, xb, hook_for)


@wrong("record_shapes", "are the classes of the layers")
def class_names(model, xb):
    def hook_for(name, shapes):
        return lambda module, inputs, output: shapes.append((type(module).__name__, output.shape))

    return hooked(model, xb, hook_for)


@wrong("record_shapes", "Expected [('wide', [6, 9]), ('bend', [6, 9]), ('narrow', [6, 2])]")
def numbers_as_names(model, xb):
    return [(str(i), shape) for i, (_, shape) in enumerate(with_hooks(model, xb))]


@wrong("record_shapes", "takes the place of the layer's output")
def hook_that_returns(model, xb):
    return hooked(model, xb, lambda name, shapes: lambda module, inputs, output: output.shape)


@wrong("record_shapes", "with three things")
def hook_of_one_thing(model, xb):
    return hooked(model, xb, lambda name, shapes: lambda output: shapes.append((name, output)))


@wrong("record_shapes", "Register the hook itself")
def hook_called_at_once(model, xb):
    return hooked(model, xb, lambda name, shapes: output_hook(name, shapes)(None, xb, xb))


@wrong("record_shapes", "the name of the last one")
def late_binding(model, xb):
    shapes, handles = [], []
    for name, layer in model.named_children():
        handles.append(
            layer.register_forward_hook(
                lambda module, inputs, output: shapes.append((name, output.shape))  # noqa: B023
            )
        )
    model(xb)
    for handle in handles:
        handle.remove()
    return shapes


@wrong("record_shapes", "named_modules() gives it too")
def the_model_too(model, xb):
    shapes = []
    handles = [
        module.register_forward_hook(output_hook(name, shapes))
        for name, module in model.named_modules()
    ]
    model(xb)
    for handle in handles:
        handle.remove()
    return shapes


@wrong("record_shapes", "in which the class lists them")
def order_of_the_class(model, xb):
    shapes = dict(with_hooks(model, xb))
    return [(name, shapes[name]) for name, _ in model.named_children()]


@wrong("record_shapes", "took it off")
def all_hooks_cleared(model, xb):
    shapes = hooked(model, xb, output_hook, remove=False)
    for module in model.modules():
        module._forward_hooks.clear()
    return shapes


@wrong("record_shapes", "hid the error")
def error_swallowed(model, xb):
    try:
        return with_hooks(model, xb)
    except RuntimeError:
        return []


@wrong("record_shapes", "Your list is empty")
def hooks_after_the_run(model, xb):
    model(xb)
    return hooked(model, xb, output_hook, run=lambda xb: None)


@wrong("record_shapes", "shapes of the parameters")
def parameters_instead(model, xb):
    model(xb)
    return [(name, list(parameter.shape)) for name, parameter in model.named_parameters()]


@wrong("record_shapes", "took it off")
def every_hook_of_the_layers_cleared(model, xb):
    shapes = []
    for name, layer in model.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: shapes.append((name, out.shape)))
    try:
        model(xb)
    finally:
        for layer in model.children():
            layer._forward_hooks.clear()
    return shapes


# Exercise 4


@right("softmax")
def transposed(logits):
    columns = logits.T
    powers = torch.exp(columns - columns.max(dim=0).values)
    return (powers / powers.sum(dim=0)).T


@right("softmax")
def row_for_row(logits):
    rows = [torch.exp(row - row.max()) for row in logits]
    return torch.stack([row / row.sum() for row in rows])


@right("softmax")
def through_logarithms(logits):
    return (logits - logits.logsumexp(dim=1, keepdim=True)).exp()


@wrong("softmax", "Each column adds up to 1")
def over_the_batch(logits):
    powers = (logits - logits.amax(dim=0)).exp()
    return powers / powers.sum(dim=0)


@wrong("softmax", "All numbers of the batch together")
def one_sum(logits):
    powers = (logits - logits.max()).exp()
    return powers / powers.sum()


@wrong("softmax", "each column by the sum of a row")
def sum_without_keepdim(logits):
    powers = logits.exp()
    return powers / powers.sum(dim=1)


@wrong("softmax", "largest logit of each column")
def maximum_without_keepdim(logits):
    powers = (logits - logits.amax(dim=1)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@wrong("softmax", "exp(1000) is infinite")
def not_shifted(logits):
    powers = logits.exp()
    return powers / powers.sum(dim=1, keepdim=True)


@wrong("softmax", "its own largest logit, not the batch's")
def shifted_by_the_batch(logits):
    powers = (logits - logits.max()).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@wrong("softmax", "such as 1000, all powers become 0")
def shifted_by_1000(logits):
    powers = (logits - 1000).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@wrong("softmax", "logarithms")
def log_softmax(logits):
    return logits - logits.logsumexp(dim=1, keepdim=True)


@wrong("softmax", "sigmoid")
def sigmoid(logits):
    return 1 / (1 + (-logits).exp())


@wrong("softmax", "still have to be divided")
def never_divided(logits):
    return logits.exp()


@wrong("softmax", "without exp")
def no_powers(logits):
    return logits / logits.sum(dim=1, keepdim=True)


@wrong("softmax", "should be")
def powers_of_two(logits):
    powers = 2**logits
    return powers / powers.sum(dim=1, keepdim=True)


@wrong("softmax", "changed the data")
def shifted_in_place(logits):
    logits -= logits.amax(dim=1, keepdim=True)
    return logits.exp() / logits.exp().sum(dim=1, keepdim=True)


@wrong("softmax", "as many probabilities; yours have shape [5]")
def the_largest_only(logits):
    return logits.softmax(dim=1).amax(dim=1)


@right("softmax")
def as_a_list(logits):
    rows = [[math.exp(z - max(row)) for z in row] for row in logits.tolist()]
    return [[power / sum(row) for power in row] for row in rows]


@wrong("softmax", "torch did the work")
def softmax_of_torch(logits):
    return logits.softmax(dim=1)


@wrong("softmax", "[1000, -1000, 0] fails")
def shifted_by_the_mean(logits):
    powers = (logits - logits.mean(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@wrong("softmax", "without keepdim=True the sums")
def shifted_then_sums_along_rows(logits):
    powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1)


@wrong("softmax", "add .values")
def both_results_of_max(logits):
    return (logits - logits.max(dim=1, keepdim=True)).exp()


@wrong("softmax", "by the largest logit of each row; subtract")
def divided_by_the_largest(logits):
    powers = (logits / logits.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


# Exercise 5


@right("repair")
def from_numpy(images, labels):
    xb = torch.from_numpy(images).float().reshape(len(images), -1)
    return xb, torch.from_numpy(labels).long().flatten()


@right("repair")
def in_numpy(images, labels):
    xb = images.reshape(len(images), 784).astype(np.float32)
    return [torch.tensor(xb), torch.tensor(labels[:, 0].astype(np.int64))]


def repaired(xb=lambda xb: xb, yb=lambda yb: yb):
    def attempt(images, labels):
        good_xb, good_yb = from_numpy(images, labels)
        return xb(good_xb), yb(good_yb)

    return attempt


wrong("repair", "xb is float64")(repaired(xb=lambda xb: xb.double()))
wrong("repair", "xb is float16")(repaired(xb=lambda xb: xb.half()))
wrong("repair", "should have shape [6, 784]; yours has [6, 28, 28]")(
    repaired(xb=lambda xb: xb.reshape(-1, 28, 28))
)
wrong("repair", "[1, 784]; yours has [784]")(repaired(xb=lambda xb: xb.squeeze()))
wrong("repair", "cut to whole numbers")(repaired(xb=lambda xb: xb.long().float()))
wrong("repair", "yb is float64")(repaired(yb=lambda yb: yb.double()))
wrong("repair", "yb is int32")(repaired(yb=lambda yb: yb.int()))
wrong("repair", "still a column")(repaired(yb=lambda yb: yb[:, None]))
wrong("repair", "lost their batch dimension")(repaired(yb=lambda yb: yb.squeeze()))
wrong("repair", "one-hot")(repaired(yb=lambda yb: F.one_hot(yb, 10)))
wrong("repair", "yb should have shape [6]; yours has [1, 6]")(repaired(yb=lambda yb: yb[None]))
wrong("repair", "xb should be a tensor; yours is a ndarray")(repaired(xb=lambda xb: xb.numpy()))
wrong("repair", "yb should be a tensor; yours is a list")(repaired(yb=lambda yb: yb.tolist()))
wrong("repair", "The labels should be")(repaired(yb=lambda yb: yb.flip(0) + 1))


@wrong("repair", "each row holds pixels of all pictures")
def reshaped_and_turned(images, labels):
    _, yb = from_numpy(images, labels)
    return torch.tensor(images.reshape(784, -1), dtype=torch.float32).T, yb


@wrong("repair", "lies on its side")
def pixels_swapped(images, labels):
    xb, yb = from_numpy(images, labels)
    return xb.reshape(-1, 28, 28).mT.flatten(start_dim=1), yb


@wrong("repair", "argmax finds the largest of one")
def labels_by_argmax(images, labels):
    xb, _ = from_numpy(images, labels)
    return xb, torch.from_numpy(labels).argmax(dim=1)


@wrong("repair", "Return xb first")
def swapped(images, labels):
    return from_numpy(images, labels)[::-1]


@wrong("repair", "Return two things")
def images_only(images, labels):
    return from_numpy(images, labels)[0]


@wrong("repair", "divided by 255")
def scaled_as_well(images, labels):
    return torch.tensor(images).float().flatten(1) / 255, torch.tensor(labels)[:, 0].long()


@wrong("repair", "Take their number from the data")
def thirty_two_fixed(images, labels):
    return torch.tensor(images).float().reshape(32, 784), torch.tensor(labels).long()[:, 0]


# Exercise 6


@right("leaves")
def recursively(tensor):
    found = {}

    def visit(node):
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        for earlier, _ in node.next_functions:
            if earlier:
                visit(earlier)

    visit(tensor.grad_fn)
    return list(found.values())


@right("leaves")
def as_a_set(tensor):
    nodes = [tensor.grad_fn]
    for node in nodes:
        nodes += [earlier for earlier, _ in node.next_functions if earlier is not None]
    return {node.variable for node in nodes if hasattr(node, "variable")}


def every_time(node):
    """The leaves below a node, as often as they are reached."""
    if node is None:
        return []
    if hasattr(node, "variable"):
        return [node.variable]
    return [leaf for earlier, _ in node.next_functions for leaf in every_time(earlier)]


@wrong("leaves", "holds a 3 times")
def repeated(tensor):
    return every_time(tensor.grad_fn)


@wrong("leaves", "holds a 2 times")
def neighbours_compared(tensor):
    found = every_time(tensor.grad_fn)
    return [a for a, b in pairwise([*found, None]) if a is not b]


@wrong("leaves", "layer(model(layer(xb))) your list holds layer.weight 2 times")
def numbers_once_others_each_time(tensor):
    found = every_time(tensor.grad_fn)
    numbers = {leaf for leaf in found if leaf.ndim == 0}
    return [*numbers, *(leaf for leaf in found if leaf.ndim > 0)]


@wrong("leaves", "holds nodes of the graph")
def nodes_instead(tensor):
    nodes = [tensor.grad_fn]
    for node in nodes:
        nodes += [earlier for earlier, _ in node.next_functions if earlier is not None]
    return [node for node in nodes if hasattr(node, "variable")]


@wrong("leaves", "compare values")
def found_by_value(tensor):
    found = []
    for leaf in every_time(tensor.grad_fn):
        if leaf not in found:
            found.append(leaf)
    return found


@wrong("leaves", "you did not find a, b")
def one_step_only(tensor):
    return [
        earlier.variable
        for earlier, _ in tensor.grad_fn.next_functions[0][0].next_functions
        if hasattr(earlier, "variable")
    ]


@wrong("leaves", "you did not find b, c")
def first_branch_only(tensor):
    node = tensor.grad_fn
    while not hasattr(node, "variable"):
        node = node.next_functions[0][0]
    return [node.variable]


@wrong("leaves", "left over from an earlier call")
def list_as_a_default(tensor, found=[]):  # noqa: B006
    found += [leaf for leaf in as_a_set(tensor) if not any(leaf is item for item in found)]
    return found


@wrong("leaves", "are pairs, a node and a number")
def pairs_as_nodes(tensor):
    nodes = [tensor.grad_fn]
    for node in nodes:
        nodes += node.next_functions
    return nodes


@wrong("leaves", "You came to None")
def none_forgotten(tensor):
    nodes, found = [tensor.grad_fn], set()
    for node in nodes:
        if hasattr(node, "variable"):
            found.add(node.variable)
        nodes += [earlier for earlier, _ in node.next_functions]
    return found


@wrong("leaves", "without copying them")
def copies(tensor):
    return {leaf.detach().clone() for leaf in set(every_time(tensor.grad_fn))}


@wrong("leaves", "you found no leaf")
def none_found(tensor):
    return []


@wrong("leaves", "it is no leaf")
def the_result_too(tensor):
    return {tensor, *every_time(tensor.grad_fn)}


@wrong("leaves", "Return a list of tensors; yours is a Tensor")
def added_up(tensor):
    return sum(every_time(tensor.grad_fn))


@wrong("leaves", "holds something else")
def shapes_instead(tensor):
    return [leaf.shape for leaf in every_time(tensor.grad_fn)]


wrong("leaves", "without parentheses after its name")(())
