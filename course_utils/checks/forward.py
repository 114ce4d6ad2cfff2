"""Checks for lesson 01, the forward pass."""

import copy
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch import nn

from ..models import mlp
from .feedback import Mistake, NotAttempted, as_pair, call, check, close, compare, without

_OTHER_BENDS = {
    f"Between the layers stands {name}; the exercise asks for a ReLU.": bend
    for name, bend in (("a sigmoid", torch.sigmoid), ("a tanh", torch.tanh), ("abs", torch.abs))
}


@check
def budget(attempt):
    """A network 64 -> h -> 10 with the widest hidden layer that 10000 parameters allow."""
    if isinstance(attempt, int | float):
        raise Mistake("Pass the network itself, built with your width, not the width.")
    if not isinstance(attempt, nn.Module):
        raise Mistake(
            "Pass a network, such as nn.Sequential(…) with its layers inside; yours is a "
            f"{type(attempt).__name__}."
        )
    model = copy.deepcopy(attempt).eval().float()
    layers = _linear_layers(model)
    if len(layers) != 2:
        raise Mistake(
            "One hidden layer means two Linear layers, one into it and one out of it; yours has "
            f"{len(layers)}."
        )
    first, last = layers
    if (first.in_features, last.out_features) != (64, 10):
        raise Mistake(
            f"The network should lead from 64 inputs to 10 logits; yours leads from "
            f"{first.in_features} to {last.out_features}."
        )
    if first.out_features != last.in_features:
        raise Mistake(
            f"The first layer gives {first.out_features} numbers and the second expects "
            f"{last.in_features}. Both are the width of the hidden layer."
        )
    if any(layer.bias is None for layer in layers):
        raise Mistake("Leave the biases in: both layers should have one.")
    xb = torch.randn(32, 64)
    with torch.no_grad():
        hidden = first(xb)
        logits = last(hidden.relu())
        compare(
            _as_logits(model(xb), (32, 10)),
            logits,
            {
                "There is no ReLU between the two layers, so together they are a single Linear "
                "layer, however wide the hidden one is.": last(hidden),
                "There is a ReLU after the last layer too; logits may be negative.": logits.relu(),
                "Leave the logits as they are, without softmax.": logits.softmax(dim=1),
            }
            | {why: last(bend(hidden)) for why, bend in _OTHER_BENDS.items()},
            "With a ReLU between the two layers the logits of 32 rows",
        )
    width = first.out_features
    others = [
        type(module).__name__
        for module in model.modules()
        if list(module.parameters(recurse=False)) and not isinstance(module, nn.Linear)
    ]
    if others:
        raise Mistake(
            f"{others[0]} has parameters, too, and was not asked for: two Linear layers and a ReLU."
        )
    n = sum(parameter.numel() for parameter in model.parameters())
    if width == 135:
        raise Mistake(
            f"{n} parameters are over the budget. 135 is what you get without the biases of the "
            "hidden layer: each of its units has one."
        )
    if n > 10_000:
        raise Mistake(f"{n} parameters are over the budget of 10000. Round down.")
    if width < 133:
        raise Mistake(
            f"{n} parameters leave room for a wider hidden layer: one more unit costs 64 weights "
            "from the inputs, 1 bias and 10 weights to the logits."
        )
    if n != 9985:
        raise Mistake(f"Yours has {n} parameters; two Linear layers and a ReLU have 9985.")
    return "133 hidden units at 75 parameters each, and 10 biases for the logits: 9985."


def _linear_layers(model):
    """Its Linear layers in the order in which they run; as they are listed if it can't run."""
    listed, run = [module for module in model.modules() if isinstance(module, nn.Linear)], []
    hooks = [layer.register_forward_hook(lambda layer, *_: run.append(layer)) for layer in listed]
    with suppress(RuntimeError, TypeError, NotImplementedError), torch.no_grad():
        model(torch.randn(2, 64))
    for hook in hooks:
        hook.remove()
    return run if {*map(id, run)} == {*map(id, listed)} and len(run) == len(listed) else listed


@check
def forward_by_hand(attempt):
    """`forward_by_hand(weights, biases, xb)` returns the logits of a ReLU network."""

    def network(*widths):
        model = mlp(*widths)
        weights = [layer.weight.detach() for layer in model[::2]]
        biases = [torch.randn(width) for width in widths[1:]]  # as large as the rest
        for layer, bias in zip(model[::2], biases, strict=True):
            layer.bias.data = bias
        return model, weights, biases

    def forward(weights, biases, x, turn=lambda W: W.T, between=torch.relu, end=lambda x: x):
        for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
            x = (x if i == 0 else between(x)) @ turn(W) + b
        return end(x)

    # Square weights first: with them most mistakes give numbers instead of an error.
    model, weights, biases = network(6, 6, 6, 6)
    xb = torch.randn(4, 6)
    arguments = weights, biases, xb
    before = copy.deepcopy([*weights, *biases])
    yours = call(attempt, list(weights), list(biases), xb)
    if not all(map(torch.equal, before, [*weights, *biases])):
        raise Mistake(
            "Your function changed the weights or biases it was given. Write x = x + b, not b += x."
        )
    without_bias = [torch.zeros(6)] * 3
    hidden = xb
    for W, b in zip(weights[:-1], biases, strict=False):
        hidden = (hidden @ W.T).relu() + b
    last_too = (
        "There is a ReLU after the last layer too. Logits may be negative: put it between layers "
        "only."
    )
    slips = {
        "The ReLU is missing, so your layers are together a single Linear layer.": forward(
            *arguments, between=lambda x: x
        ),
        "The weights are stored as [out, in], so each has to be turned: x @ W.T.": forward(
            *arguments, turn=lambda W: W
        ),
        "The biases are missing.": forward(weights, without_bias, xb),
        "You turned the logits into probabilities. Leave them as they come from the last "
        "layer.": forward(*arguments, end=lambda x: x.softmax(dim=1)),
        "There is a ReLU before the first layer too. The inputs go in as they are.": forward(
            weights, biases, xb.relu()
        ),
        "Each of your layers starts from xb again. It should take what the layer before it "
        "gave.": forward(weights[-1:], biases[-1:], xb),
        "You left out the last layer.": forward(weights[:-1], biases[:-1], xb).relu(),
        "You used two layers only. The lists can be longer: go through all of them.": forward(
            weights[:2], biases[:2], xb
        ),
        "You used the first layer and the last. There can be others between.": forward(
            weights[::2], biases[::2], xb
        ),
        "That is the first layer alone. Is the return inside the loop?": forward(
            weights[:1], biases[:1], xb
        ),
        "The last layer has a bias, too.": forward(weights, [*biases[:-1], torch.zeros(6)], xb),
        "First add the bias, then apply the ReLU; yours the other way round.": (
            hidden @ weights[-1].T + biases[-1]
        ),
    } | {why: forward(*arguments, between=bend) for why, bend in _OTHER_BENDS.items()}
    compare(
        _as_logits(yours, (4, 6)),
        model(xb),
        {last_too: forward(*arguments, end=torch.relu)}
        | slips
        | {f"{why} {last_too}": value.relu() for why, value in slips.items()},
        "For three layers of width 6 the logits",
    )
    for widths in ((5, 7, 4, 3), (8, 2), (3, 9, 4, 6, 2)):
        model, weights, biases = network(*widths)
        xb = torch.randn(2, widths[0])
        yours = call(attempt, list(weights), list(biases), xb)
        yours = _as_logits(yours, (2, widths[-1]))
        compare(yours, model(xb), {}, f"For the widths {'-'.join(map(str, widths))} the logits")
    return "The same logits as nn.Linear and nn.ReLU give: there is nothing else inside them."


def _as_logits(value, shape):
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"Return the logits as a tensor; yours is a {type(value).__name__}.")
    if tuple(value.shape) != shape:
        raise Mistake(f"The logits should have shape {list(shape)}; yours {list(value.shape)}.")
    return value


class _Backwards(nn.Module):
    """Runs its layers in another order than it lists them."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(7, 3)
        self.bend = nn.Tanh()
        self.first = nn.Linear(5, 7)

    def forward(self, x):
        return self.last(self.bend(self.first(x)))


@contextmanager
def _explain(errors):
    """Make a Mistake of an error with some words in its message; `errors` maps them to its text."""
    try:
        yield
    except (AttributeError, RuntimeError, TypeError) as error:
        for words, explanation in errors.items():
            if words in str(error):
                raise Mistake(f"{explanation} (Python says: {error})") from None
        raise


_HOOK_ERRORS = {
    "3 were given": "PyTorch calls a hook with three things, the module, its inputs and its "
    "output: def hook(module, inputs, output). Everything else it must know from elsewhere.",
    "must be Tensor": "Your hook returns something, and what a hook returns takes the place of the "
    "layer's output. Let it only append to the list.",
    "'NoneType' object is not callable": "Register the hook itself. With parentheses after its name you call "
    "it at once, and register what it returns.",
}


@check
def record_shapes(attempt):
    """`record_shapes(model, xb)` returns [(name, output shape), …] by hooks, and removes them."""
    names = ("wide", "bend", "narrow")
    sizes = (9, 9, 2)
    layers = nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2)
    model = nn.Sequential()
    for name, layer in zip(names, layers, strict=True):
        model.add_module(name, layer)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    layers[0].register_forward_hook(lambda *_: None)
    ours = _hooks(model)

    with _explain(_HOOK_ERRORS):
        yours = _as_shapes(call(attempt, model, torch.randn(6, 4)))
    expected = [(name, (6, size)) for name, size in zip(names, sizes, strict=True)]
    if len(calls) != 1:
        raise Mistake(
            f"The model itself was called {len(calls)} times instead of once. Register a hook on "
            "each layer, then let the model run: model(xb)."
        )
    if not ours <= _hooks(model):
        raise Mistake(
            "There was a hook in the model before, and your function took it off. Remove your own "
            "hooks only, by their handles."
        )
    if _hooks(model) != ours:
        raise Mistake(
            "The shapes are recorded, but your hooks still hang on the layers and run at every "
            "call from now on. Keep the handles and call remove() on each."
        )
    found = [name for name, _ in yours]
    if len(found) == 3 and set(found) == {"narrow"}:
        raise Mistake(
            "All layers have the name of the last one. Your hook looks the name up when it runs, "
            "and by then the loop is over. Make the hook in a function that is given the name."
        )
    if [shape for _, shape in yours] == [(6, 4), (6, 9), (6, 9)]:
        raise Mistake("Those are the shapes that go into the layers. Record the output's.")
    if [shape for _, shape in yours] == [tuple(p.shape) for p in model.parameters()]:
        raise Mistake("Those are the shapes of the parameters. Record the output's.")
    if any(name in ("", "Sequential") for name in found):
        raise Mistake(
            "The model itself is in your list. named_modules() gives it too; named_children() "
            "gives its layers only."
        )
    if set(found) <= {type(layer).__name__ for layer in layers}:
        raise Mistake(
            f"{found} are the classes of the layers. Their names, {list(names)}, come from "
            "named_children()."
        )
    if yours != expected:
        raise Mistake(f"Expected {_shown(expected)}; yours is {_shown(yours)}.")

    model = _Backwards()
    yours = _as_shapes(call(attempt, model, torch.randn(6, 5)))
    expected = [("first", (6, 7)), ("bend", (6, 7)), ("last", (6, 3))]
    if sorted(yours) == sorted(expected) and yours != expected:
        raise Mistake(
            "The layers are in the order in which the class lists them. Another model may run "
            "them in another order: append to the list inside the hook."
        )
    if yours != expected:
        raise Mistake(
            f"For a model that runs its layers in another order than it lists them, expected "
            f"{_shown(expected)}; yours is {_shown(yours)}."
        )
    try:
        attempt(model, torch.randn(6, 11))
    except RuntimeError:
        pass
    else:
        raise Mistake(
            "The forward pass failed, and your function hid the error. Use try … finally without "
            "except: it cleans up, and lets the error through."
        )
    if _hooks(model):
        raise Mistake(
            "After a forward pass that failed, your hooks are still there. Put model(xb) into "
            "`try:` and the removing into `finally:`, which runs in any case."
        )
    return "The order is the one in which the layers really ran, and the model is clean again."


def _hooks(model):
    """The (module, hook number) pairs of all hooks in the model."""
    return {
        (name, number)
        for name, module in model.named_modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks)
        for number in hooks
    }


def _as_shapes(value):
    """The attempt's list as [(name, shape), …] of a string and a tuple."""
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list | tuple):
        raise Mistake(f"Return a list of (name, shape) pairs; yours is a {type(value).__name__}.")
    if not pairs:
        raise Mistake("Your list is empty. Does model(xb) run while the hooks are registered?")
    shapes = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Mistake(f"Each entry should be a pair (name, shape); one of yours is {pair!r}.")
        name, shape = pair
        if isinstance(shape, torch.Tensor):
            raise Mistake("You recorded the outputs themselves. Record list(output.shape).")
        if not isinstance(name, str) or not isinstance(shape, list | tuple):
            raise Mistake(
                "Each pair should be the name of a layer, a string, and its output shape; one of "
                f"yours is {pair!r}."
            )
        shapes.append((name, tuple(shape)))
    return shapes


def _shown(shapes):
    return [(name, list(shape)) for name, shape in shapes]


@check
def softmax(attempt):
    """`softmax(logits)` returns the probabilities of each row, also for large logits."""
    logits = 2 * torch.randn(5, 5)  # square, so that a forgotten keepdim gives numbers
    yours = _as_probabilities(call(attempt, logits), logits)
    if yours.isnan().any():
        raise Mistake(
            "For ordinary logits, around 0, yours is NaN. If you subtract the same number from "
            "every row, such as 1000, all powers become 0, and 0 / 0 is NaN: subtract each row's "
            "own largest logit."
        )
    slips = {
        "All numbers of the batch together add up to 1. Sum each row by itself: "
        "sum(dim=1, keepdim=True).": lambda powers: powers / powers.sum(),
        "You divided each column by the sum of a row: without keepdim=True the sums [B] lie "
        "down along the rows.": lambda powers: powers / powers.sum(dim=1),
        "The powers still have to be divided by the sum of their row.": lambda powers: powers,
    }
    largest = logits.amax(dim=1, keepdim=True)
    slips = {
        text: slip(powers)
        for text, slip in slips.items()
        for powers in (logits.exp(), (logits - largest).exp())
        if close(yours, slip(powers))
    }
    compare(
        yours,
        logits.softmax(dim=1),
        slips
        | {
            "Each column adds up to 1 instead of each row. A row is one example: use dim=1.": (
                logits.softmax(dim=0)
            ),
            "Those are the logarithms of the probabilities.": logits.log_softmax(dim=1),
            "That is the sigmoid of each logit by itself. In softmax the classes of a row share "
            "a sum of 1.": logits.sigmoid(),
            "You divided by the largest logit of each row; subtract it.": (
                (logits / largest).softmax(dim=1)
            ),
            "You divided the logits by their sum, without exp.": (
                logits / logits.sum(dim=1, keepdim=True)
            ),
            "You subtracted the largest logit of each column: without keepdim=True the maxima "
            "[B] lie down along the rows.": (logits - logits.amax(dim=1)).softmax(dim=1),
        },
        "The probabilities of a batch [5, 5]",
    )
    wide = torch.randn(3, 7)
    compare(
        _as_probabilities(call(attempt, wide), wide),
        wide.softmax(dim=1),
        {},
        "The probabilities of a batch [3, 7]",
    )
    large = torch.tensor([[1000.0, 1001.0, 998.0], [1002.0, 999.0, 1000.0]])
    yours = _as_probabilities(call(attempt, large), large)
    if not close(yours, large.softmax(dim=1)):
        raise Mistake(
            "The row [1000, 1001, 998] fails: exp(1000) is infinite in float32, and infinite "
            "divided by infinite is NaN. Subtract the row's largest logit before exp."
        )
    apart = torch.tensor([[1000.0, 1001.0, 998.0], [-1000.0, -1001.0, -998.0]])
    yours = _as_probabilities(call(attempt, apart), apart)
    if not close(yours, apart.softmax(dim=1)):
        raise Mistake(
            "The row [-1000, -1001, -998] fails beside one of large logits: all its powers are 0, "
            "and 0 / 0 is NaN. Subtract from each row its own largest logit, not the batch's."
        )
    spread = torch.tensor([[1000.0, -1000.0, 0.0]])
    if not close(_as_probabilities(call(attempt, spread), spread), spread.softmax(dim=1)):
        raise Mistake(
            "The row [1000, -1000, 0] fails: what you subtract leaves a logit far above 0, and "
            "its exp is infinite. Subtract the largest, so that nothing is above 0."
        )
    with without(("softmax", "log_softmax"), "Right, but torch did the work. Write it yourself."):
        call(attempt, wide)
    return "Each row adds up to 1 and no logit is too large: the largest exponent is always 0."


def _as_probabilities(value, logits):
    if isinstance(value, np.ndarray | list):
        value = torch.as_tensor(np.asarray(value))
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"Return a tensor; yours is a {type(value).__name__}.")
    if value.shape != logits.shape:
        raise Mistake(
            f"Logits {list(logits.shape)} should give as many probabilities; yours have shape "
            f"{list(value.shape)}."
        )
    return value


@check
def repair(attempt):
    """`repair(images, labels)` returns float32 [B, 784] and int64 [B]."""
    for n in (6, 1):
        images = np.random.rand(n, 28, 28)
        labels = np.random.permutation(10)[:n, None].astype(np.float64)
        fixed_size = (
            f"You ask for a shape that does not hold {n} pictures of 28 x 28. Take their number "
            "from the data, len(images), or use flatten(start_dim=1)."
        )
        with _explain({"is invalid for input of size": fixed_size}):
            xb, yb = as_pair(call(attempt, images, labels), "xb, yb")
        _check_inputs(xb, images)
        _check_labels(yb, labels)
    return "float32 rows in, whole numbers as labels: this batch passes every door of this lesson."


def _check_inputs(xb, images):
    n = len(images)
    if not isinstance(xb, torch.Tensor):
        raise Mistake(f"xb should be a tensor; yours is a {type(xb).__name__}.")
    if xb.dtype == torch.int64 and xb.numel() == n:
        raise Mistake("Those look like the labels. Return xb first, then yb.")
    if xb.dtype != torch.float32:
        raise Mistake(
            f"xb is {str(xb.dtype).removeprefix('torch.')}; the weights of the network are "
            "float32, and both must be the same."
        )
    if tuple(xb.shape) != (n, 784):
        raise Mistake(
            f"For images {list(images.shape)} xb should have shape [{n}, 784]; yours has "
            f"{list(xb.shape)}. Flatten all dimensions but the first."
        )
    expected = images.reshape(n, 784)
    compare(
        xb,
        expected,
        {
            "The pixels were cut to whole numbers, and all became 0. Convert straight to "
            "float32.": np.zeros((n, 784)),
            "The shape is right, but each row holds pixels of all pictures: reshape to [784, B] "
            "and turning that mixes them. Keep the first dimension and join the others.": (
                images.reshape(784, n).T
            ),
            "You divided by 255. Only types and shapes need a repair; leave the values.": (
                expected / 255
            ),
            "Each picture lies on its side: its two pixel dimensions are swapped.": (
                images.transpose(0, 2, 1).reshape(n, 784)
            ),
        },
        "The pixels",
    )


def _check_labels(yb, labels):
    n = len(labels)
    if not isinstance(yb, torch.Tensor):
        raise Mistake(f"yb should be a tensor; yours is a {type(yb).__name__}.")
    if yb.is_floating_point():
        raise Mistake(
            f"yb is {str(yb.dtype).removeprefix('torch.')}; class labels are positions, and "
            "positions are int64."
        )
    if n == 1 and yb.ndim == 0:
        raise Mistake(
            "For a batch of one the labels have lost their batch dimension: squeeze() removes "
            "every dimension of 1. Name the one you mean: squeeze(1)."
        )
    if tuple(yb.shape) == (n, 1):
        raise Mistake(f"yb is still a column, [{n}, 1]; the loss expects [{n}].")
    if tuple(yb.shape) == (n, 10):
        raise Mistake(f"yb is one-hot, [{n}, 10]; give the number of the class, [{n}].")
    if tuple(yb.shape) != (n,):
        raise Mistake(f"yb should have shape [{n}]; yours has {list(yb.shape)}.")
    if yb.dtype != torch.int64:
        raise Mistake(f"yb is {str(yb.dtype).removeprefix('torch.')}; make it int64.")
    zeros = np.zeros(n)
    compare(
        yb,
        labels[:, 0],
        {
            "All labels are 0: argmax finds the largest of one number, which is at place 0. The "
            "labels are class numbers already.": zeros
        },
        "The labels",
    )


_GRAPH_ERRORS = {
    "'NoneType' object": "You came to None where you expected a node: in next_functions it stands "
    "for an input without a gradient, such as data. Skip it.",
    "'tuple' object": "The entries of next_functions are pairs, a node and a number: take the node.",
}


@check
def leaves(attempt):
    """`leaves(tensor)` returns the leaf tensors of its graph, each once."""

    def number(value):
        return torch.tensor(value, requires_grad=True)

    a, b, c = number(2.0), number(3.0), number(-1.5)
    _look_for(attempt, (a * b + c) ** 2, {"a": a, "b": b, "c": c}, "(a * b + c) ** 2")
    _look_for(attempt, (a * torch.tensor(7.0) + c).exp(), {"a": a, "c": c}, "exp(a * 7 + c)")
    _look_for(attempt, a * b + a * a, {"a": a, "b": b}, "a * b + a * a")
    d = number(2.0)  # equal to a, but another tensor
    _look_for(attempt, a * b + d, {"a": a, "b": b, "d": d}, "a * b + d with equal a and d")

    layer, model = nn.Linear(5, 5), mlp(5, 6, 5)
    loss = nn.CrossEntropyLoss()(layer(model(layer(torch.randn(4, 5)))), torch.tensor([2, 0, 1, 4]))
    named = {f"layer.{name}": parameter for name, parameter in layer.named_parameters()}
    named |= {f"model.{name}": parameter for name, parameter in model.named_parameters()}
    _look_for(attempt, loss, named, "the loss of layer(model(layer(xb)))")
    return "Every tensor that backward() will reach, each once: these will get a gradient."


def _look_for(attempt, result, named, expression):
    """Raise a Mistake unless the attempt finds just the tensors of `named` in `result`'s graph."""
    with _explain(_GRAPH_ERRORS):
        value = call(attempt, result)
    if isinstance(value, torch.Tensor) or not isinstance(value, list | tuple | set | frozenset):
        raise Mistake(f"Return a list of tensors; yours is a {type(value).__name__}.")
    yours = list(value)
    if any(item is ... for item in yours):
        raise NotAttempted
    if any(hasattr(item, "next_functions") for item in yours):
        raise Mistake(
            "Your list holds nodes of the graph. The tensor of an AccumulateGrad node is in its "
            "`variable`."
        )
    if not all(isinstance(item, torch.Tensor) for item in yours):
        raise Mistake("Return the tensors themselves; your list holds something else.")
    if any(item is result for item in yours):
        raise Mistake("The result itself was computed, so it is no leaf.")
    missing = [name for name, leaf in named.items() if not any(leaf is item for item in yours)]
    strange = [item for item in yours if not any(leaf is item for leaf in named.values())]
    if any(item.is_leaf and item.requires_grad for item in strange):
        raise Mistake(
            f"For {expression} your list holds a leaf of another graph, left over from an earlier "
            "call. Start with an empty list inside the function, not outside and not as a default."
        )
    if strange:
        raise Mistake(
            f"For {expression} your list holds a tensor that is no leaf of the graph. Return the "
            "tensors in `variable`, without copying them."
        )
    if len(missing) == len(named):
        raise Mistake(
            f"For {expression} you found no leaf. Start at tensor.grad_fn and follow "
            "next_functions."
        )
    if missing and any(torch.equal(named[name], item) for name in missing for item in yours):
        raise Mistake(
            f"For {expression} one leaf is missing: it has the same value as another, but is "
            "another tensor. `in` and == compare values; ask with `is`, or keep seen nodes in a "
            "set."
        )
    if missing:
        raise Mistake(
            f"For {expression} you did not find {', '.join(missing)}. Follow every entry of "
            "next_functions, all the way to its end."
        )
    for name, leaf in named.items():
        times = sum(item is leaf for item in yours)
        if times > 1:
            raise Mistake(
                f"For {expression} your list holds {name} {times} times: several ways through the "
                "graph end there. Skip the nodes that you have seen."
            )
