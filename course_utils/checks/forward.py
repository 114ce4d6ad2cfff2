"""Checks for lesson 01, the forward pass."""

import copy
import math
from contextlib import ExitStack, suppress
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from ..models import mlp
from .exercise import exercise
from .feedback import (
    Mistake,
    NotAttempted,
    as_pair,
    as_tensor,
    call,
    check,
    compare,
    explained,
)

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
    first, last = _two_layers(model)
    xb = torch.randn(32, 64)
    with torch.no_grad():
        hidden = first(xb)
        logits = last(hidden.relu())
        compare(
            as_tensor(model(xb), "The result", (32, 10)),
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
    _check_size(model, first.out_features)
    return "133 hidden units at 75 parameters each, and 10 biases for the logits: 9985."


def _two_layers(model):
    """The layer into the hidden one and the layer out of it, of the widths that are asked for."""
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
    return layers


def _linear_layers(model):
    """Its Linear layers in the order in which they run; as they are listed if it can't run."""
    listed, run = [module for module in model.modules() if isinstance(module, nn.Linear)], []
    hooks = [layer.register_forward_hook(lambda layer, *_: run.append(layer)) for layer in listed]
    with suppress(RuntimeError, TypeError, NotImplementedError), torch.no_grad():
        model(torch.randn(2, 64))
    for hook in hooks:
        hook.remove()
    return run if {*map(id, run)} == {*map(id, listed)} and len(run) == len(listed) else listed


def _check_size(model, width):
    """Raise a Mistake unless the hidden layer is as wide as 10000 parameters allow."""
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
    if width == 134:
        raise Mistake(f"{n} parameters are over the budget of 10000. Round down.")
    price = "each hidden unit costs 64 weights from the inputs, 1 bias, 10 weights to the logits."
    if n > 10_000:
        raise Mistake(f"{n} parameters are over the budget of 10000: {price}")
    if width < 133:
        raise Mistake(f"{n} parameters leave room for a wider hidden layer: {price}")
    if n != 9985:
        raise Mistake(f"Yours has {n} parameters; two Linear layers and a ReLU have 9985.")


def _weights_and_rows():
    # Square weights first: with them most mistakes give numbers instead of an error.
    for widths in ((6, 6, 6, 6), (5, 7, 4, 3), (8, 2), (3, 9, 4, 6, 2)):
        weights = [torch.randn(n, m) / math.sqrt(m) for m, n in pairwise(widths)]
        yield weights, [torch.randn(n) for n in widths[1:]], torch.randn(4, widths[0])


def _logits(attempt, weights, biases, xb):
    given = [*weights, *biases]
    before = copy.deepcopy(given)
    widths = [len(xb.T), *map(len, biases)]
    logits = as_tensor(call(attempt, weights, biases, xb), "The result", (len(xb), widths[-1]))
    if not all(map(torch.equal, before, given)):
        raise Mistake(
            "Your function changed the weights or biases it was given. Write x = x + b, not b += x."
        )
    yield f"For the widths {'-'.join(map(str, widths))} the logits", logits


@exercise(
    cases=_weights_and_rows,
    observe=_logits,
    praise="The same logits as nn.Linear and nn.ReLU give: there is nothing else inside them.",
)
def forward_by_hand(weights, biases, xb):
    """`forward_by_hand(weights, biases, xb)` returns the logits of a ReLU network."""
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        xb = (xb @ W.T + b).relu()
    return xb @ weights[-1].T + biases[-1]


@forward_by_hand.variant
def columns_instead_of_rows(weights, biases, xb):
    x = xb.T
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.maximum(W @ x + b[:, None], torch.zeros(()))
    return (weights[-1] @ x + biases[-1][:, None]).T


@forward_by_hand.variant
def in_numpy(weights, biases, xb):
    x = xb.numpy()
    while len(weights) > 1:
        x = np.maximum(x @ weights.pop(0).numpy().T + biases.pop(0).numpy(), 0)
    return x @ weights[0].numpy().T + biases[0].numpy()


@forward_by_hand.variant
def row_by_row(weights, biases, xb):
    return torch.stack([_layers()(weights, biases, row) for row in xb])


def _layers(
    layer=lambda x, W, b: x @ W.T + b, bend=torch.relu, end=lambda x: x, start=lambda x: x, of=None
):
    """A network with a part spoilt; `of` says which of the layers it has."""

    def attempt(weights, biases, xb):
        x = start(xb)
        for i, (W, b) in enumerate([*zip(weights, biases, strict=True)][of or slice(None)]):
            x = layer(bend(x) if i else x, W, b)
        return end(x)

    return attempt


def _bias_after_the_bend(weights, biases, xb):
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        xb = (xb @ W.T).relu() + b
    return xb @ weights[-1].T + biases[-1]


def _each_from_xb(weights, biases, xb):
    return [xb @ W.T + b for W, b in zip(weights, biases, strict=True)][-1]


_LAST_TOO = (
    "There is a ReLU after the last layer too. Logits may be negative: put it between layers only."
)
_SLIPS = {
    "The ReLU is missing, so your layers are together a single Linear layer.": _layers(
        bend=lambda x: x
    ),
    "The weights are stored as [out, in], so each has to be turned: x @ W.T.": _layers(
        lambda x, W, b: x @ W + b
    ),
    "The biases are missing.": _layers(lambda x, W, b: x @ W.T),
    "There is a ReLU before the first layer too. The inputs go in as they are.": _layers(
        start=torch.relu
    ),
    "Each of your layers starts from xb again. It should take what the layer before it gave.": (
        _each_from_xb
    ),
    "You used two layers only. The lists can be longer: go through all of them.": _layers(
        of=slice(2)
    ),
    "You used the first layer and the last. There can be others between.": (
        lambda weights, biases, xb: _layers(of=slice(None, None, len(weights) - 1 or None))(
            weights, biases, xb
        )
    ),
    "That is the first layer alone. Is the return inside the loop?": _layers(of=slice(1)),
    "The last layer has a bias, too.": (
        lambda weights, biases, xb: _layers()(weights, biases, xb) - biases[-1]
    ),
    "First add the bias, then apply the ReLU; yours the other way round.": _bias_after_the_bend,
} | {why: _layers(bend=bend) for why, bend in _OTHER_BENDS.items()}


def _bent(slip):
    return lambda *case: slip(*case).relu()


for why, slip in _SLIPS.items():
    forward_by_hand.known(why, slip, f"{why} {_LAST_TOO}", _bent(slip))
forward_by_hand.known(
    _LAST_TOO,
    _layers(end=torch.relu),
    "You turned the logits into probabilities. Leave them as they come from the last layer.",
    _layers(end=lambda x: x.softmax(dim=1)),
    "You left out the last layer.",
    _layers(end=torch.relu, of=slice(-1)),
)


class _Backwards(nn.Module):
    """Runs its layers in another order than it lists them."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(7, 3)
        self.bend = nn.Tanh()
        self.first = nn.Linear(5, 7)

    def forward(self, x):
        return self.last(self.bend(self.first(x)))


_HOOK_ERRORS = {
    "3 were given": "PyTorch calls a hook with three things, the module, its inputs and its "
    "output: def hook(module, inputs, output). Everything else it must know from elsewhere.",
    "must be Tensor": "Your hook returns something, and what a hook returns takes the place of the "
    "layer's output. Let it only append to the list.",
    "'NoneType' object is not callable": "Register the hook itself. With parentheses after its name you call "
    "it at once, and register what it returns.",
}


def _models():
    named = nn.Sequential()
    for name, layer in (
        ("wide", nn.Linear(4, 9)),
        ("bend", nn.ReLU()),
        ("narrow", nn.Linear(9, 2)),
    ):
        named.add_module(name, layer)
    named.wide.register_forward_hook(lambda *_: None)
    yield named, torch.randn(6, 4)
    yield _Backwards(), torch.randn(6, 5)


def _recorded(attempt, model, xb):
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    ours = _hooks(model)
    with explained(_HOOK_ERRORS):
        yours = _as_shapes(call(attempt, model, xb))
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
    yield "The list", yours
    try:
        attempt(model, torch.randn(6, 11))
    except RuntimeError:
        pass
    else:
        raise Mistake(
            "The forward pass failed, and your function hid the error. Use try … finally without "
            "except: it cleans up, and lets the error through."
        )
    if _hooks(model) != ours:
        raise Mistake(
            "After a forward pass that failed, your hooks are still there. Put model(xb) into "
            "`try:` and the removing into `finally:`, which runs in any case."
        )


def _hooks(model):
    """The (module, hook number) pairs of all hooks in the model."""
    return {
        (name, number)
        for name, module in model.named_modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks)
        for number in hooks
    }


def _as_shapes(value):
    """The attempt's list as [(name, shape), …] of a string and a list."""
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
        shapes.append((name, list(shape)))
    return shapes


def recorder(entry, layers=nn.Module.named_children):
    """Hooks on `layers(model)` that note `entry(name, layer, input, output)`."""

    def attempt(model, xb):
        entries, handles = [], []
        for name, layer in layers(model):

            def hook(layer, inputs, output, name=name):
                entries.append(entry(name, layer, inputs[0], output))

            handles.append(layer.register_forward_hook(hook))
        try:
            model(xb)
        finally:
            for handle in handles:
                handle.remove()
        return entries

    return attempt


@exercise(
    cases=_models,
    observe=_recorded,
    praise="The order is the one in which the layers really ran, and the model is clean again.",
)
def record_shapes(model, xb):
    """`record_shapes(model, xb)` returns [(name, output shape), …] by hooks, and removes them."""
    return recorder(lambda name, layer, x, output: (name, list(output.shape)))(model, xb)


@record_shapes.variant
def with_exit_stack(model, xb):
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


def _of_parameters(model, xb):
    model(xb)
    return [(name, parameter.shape) for name, parameter in model.named_parameters()]


def _last_name(model, xb):
    *_, (last, _) = model.named_children()
    return [(last, shape) for _, shape in record_shapes.right(model, xb)]


def _order_of_the_class(model, xb):
    shapes = dict(record_shapes.right(model, xb))
    return [(name, shapes[name]) for name, _ in model.named_children()]


record_shapes.known(
    "All layers have the name of the last one. Your hook looks the name up when it runs, and "
    "by then the loop is over. Make the hook in a function that is given the name.",
    _last_name,
    "Those are the shapes that go into the layers. Record the output's.",
    recorder(lambda name, layer, x, output: (name, x.shape)),
    "Those are the shapes of the parameters. Record the output's.",
    _of_parameters,
    "The model itself is in your list. named_modules() gives it too; named_children() gives "
    "its layers only.",
    recorder(lambda name, layer, x, output: (name, output.shape), nn.Module.named_modules),
    "Those are the classes of the layers. Their names come from named_children().",
    recorder(lambda name, layer, x, output: (type(layer).__name__, output.shape)),
    "The layers are in the order in which the class lists them. Another model may run them in "
    "another order: append to the list inside the hook.",
    _order_of_the_class,
)


_LARGE = (
    "exp(1000) is infinite in float32, and infinite divided by infinite is NaN. Subtract the row's "
    "largest logit before exp."
)
_APART = (
    "The row of logits near -1000 fails beside one of large logits: all its powers are 0, and 0 / 0 "
    "is NaN. Subtract from each row its own largest logit, not the batch's."
)
_SPREAD = (
    "What you subtract leaves a logit far above 0, and its exp is infinite. Subtract the largest, "
    "so that nothing is above 0."
)


def _rows():
    yield 2 * torch.randn(5, 5), ""  # square, so that a forgotten keepdim gives numbers
    yield torch.randn(3, 7), ""
    yield torch.tensor([[1000.0, 1001.0, 998.0], [1002.0, 999.0, 1000.0]]), _LARGE
    yield torch.tensor([[1000.0, 1001.0, 998.0], [-1000.0, -1001.0, -998.0]]), _APART
    yield torch.tensor([[1000.0, -1000.0, 0.0]]), _SPREAD


def _probabilities(attempt, logits, advice):
    yours = call(attempt, logits)
    if isinstance(yours, list):
        yours = np.asarray(yours)
    what = f"The logits {logits.tolist()}: the result" if advice else "The result"
    yield what, as_tensor(yours, "The result", logits.shape), advice


def _share(powers=lambda z: (z - z.amax(1, True)).exp(), total=lambda p: p.sum(1, True)):
    """Powers, divided by their total."""

    def attempt(logits):
        p = powers(logits)
        return p / total(p)

    return attempt


@exercise(
    cases=_rows,
    observe=_probabilities,
    praise="Each row adds up to 1 and no logit is too large: the largest exponent is always 0.",
    forbid=(("softmax", "log_softmax"), "Right, but torch did the work. Write it yourself."),
)
def softmax(logits):
    """`softmax(logits)` returns the probabilities of each row, also for large logits."""
    return _share()(logits)


@softmax.variant
def transposed(logits):
    columns = logits.T
    powers = torch.exp(columns - columns.max(dim=0).values)
    return (powers / powers.sum(dim=0)).T


@softmax.variant
def through_logarithms(logits):
    return (logits - logits.logsumexp(dim=1, keepdim=True)).exp()


@softmax.variant
def as_a_list(logits):
    rows = [[math.exp(z - max(row)) for z in row] for row in logits.tolist()]
    return [[power / sum(row) for power in row] for row in rows]


_TOTALS = {
    "Each column adds up to 1 instead of each row. A row is one example: use dim=1.": (
        lambda p: p.sum(0)
    ),
    "All numbers of the batch together add up to 1. Sum each row by itself: sum(dim=1, "
    "keepdim=True).": lambda p: p.sum(),
    "You divided each column by the sum of a row: without keepdim=True the sums [B] lie down along "
    "the rows.": lambda p: p.sum(1),
    "The powers still have to be divided by the sum of their row.": lambda p: 1,
}
for words, total in _TOTALS.items():
    softmax.known(
        words,
        _share(torch.exp, total),
        f"You subtract each row's largest logit, as you should. {words}",
        _share(total=total),
    )
softmax.known(
    "For ordinary logits, around 0, yours is NaN. If you subtract the same number from every row, "
    "such as 1000, all powers become 0, and 0 / 0 is NaN: subtract each row's own largest logit.",
    _share(lambda z: (z - 1000).exp()),
    "Those are the logarithms of the probabilities.",
    lambda z: z.log_softmax(1),
    "That is the sigmoid of each logit by itself. In softmax the classes of a row share a sum "
    "of 1.",
    torch.sigmoid,
    "You divided by the largest logit of each row; subtract it.",
    lambda z: (z / z.amax(1, True)).softmax(1),
    "You divided the logits by their sum, without exp.",
    lambda z: z / z.sum(1, True),
    "You subtracted the largest logit of each column: without keepdim=True the maxima [B] lie "
    "down along the rows.",
    lambda z: (z - z.amax(1)).softmax(1),
    "You took powers of 2. Softmax takes those of e: exp.",
    _share(lambda z: 2**z),
    _LARGE,
    _share(torch.exp),
    _APART,
    _share(lambda z: (z - z.max()).exp()),
    _SPREAD,
    _share(lambda z: (z - z.mean(1, True)).exp()),
)


def _raw_batches():
    for n in (6, 1):
        labels = np.random.permutation(10)[:n, None].astype(np.float64)
        yield np.random.rand(n, 28, 28), labels


def _repaired(attempt, images, labels):
    n = len(images)
    fixed_size = (
        f"You ask for a shape that does not hold {n} pictures of 28 x 28. Take their number "
        "from the data, len(images), or use flatten(start_dim=1)."
    )
    with explained({"is invalid for input of size": fixed_size}):
        xb, yb = as_pair(call(attempt, images, labels), "xb, yb")
    if isinstance(xb, torch.Tensor) and xb.dtype == torch.int64 and xb.numel() == n:
        raise Mistake("Those look like the labels. Return xb first, then yb.")
    _check_form(
        xb,
        "xb",
        torch.float32,
        (n, 784),
        "the weights of the network are float32, and both must be the same.",
        {},
        "Flatten all dimensions but the first.",
    )
    yield "The pixels", xb
    forms = {
        (n, 1): f"yb is still a column, [{n}, 1]; the loss expects [{n}].",
        (n, 10): f"yb is one-hot, [{n}, 10]; give the number of the class, [{n}].",
    }
    if n == 1:
        forms[()] = (
            "For a batch of one the labels have lost their batch dimension: squeeze() removes "
            "every dimension of 1. Name the one you mean: squeeze(1)."
        )
    _check_form(
        yb, "yb", torch.int64, (n,), "class labels are positions, and positions are int64.", forms
    )
    yield "The labels", yb


def _check_form(value, name, dtype, shape, why, forms, advice=""):
    """Raise a Mistake unless `value` has this dtype and shape; `forms` knows other shapes' words."""
    if not isinstance(value, torch.Tensor):
        raise Mistake(f"{name} should be a tensor; yours is a {type(value).__name__}.")
    if value.dtype != dtype:
        raise Mistake(f"{name} is {str(value.dtype).removeprefix('torch.')}; {why}")
    if tuple(value.shape) != shape:
        wrong = f"{name} should have shape {list(shape)}; yours has {list(value.shape)}. {advice}"
        raise Mistake(forms.get(tuple(value.shape), wrong.strip()))


@exercise(
    cases=_raw_batches,
    observe=_repaired,
    praise="float32 rows in, whole numbers as labels: this batch passes every door of this lesson.",
)
def repair(images, labels):
    """`repair(images, labels)` returns float32 [B, 784] and int64 [B]."""
    return torch.from_numpy(images).float().flatten(1), torch.from_numpy(labels)[:, 0].long()


@repair.variant
def in_numpy_first(images, labels):
    xb = images.reshape(len(images), 784).astype(np.float32)
    return [torch.tensor(xb), torch.tensor(labels[:, 0].astype(np.int64))]


@repair.variant
def flattened_at_the_end(images, labels):
    xb = torch.from_numpy(images).float().reshape(len(images), -1)
    return xb, torch.from_numpy(labels).long().flatten()


def _repair(xb=lambda xb: xb, yb=lambda yb: yb):
    """The right answer, with another xb made of [B, 28, 28], or another yb made of [B]."""

    def attempt(images, labels):
        right = repair.right(images, labels)
        return xb(right[0].view(-1, 28, 28)).reshape(-1, 784), yb(right[1])

    return attempt


repair.known(
    "The pixels were cut to whole numbers, and all became 0. Convert straight to float32.",
    _repair(xb=torch.trunc),
    "The shape is right, but each row holds pixels of all pictures: reshape to [784, B] and "
    "turning that mixes them. Keep the first dimension and join the others.",
    _repair(xb=lambda xb: xb.reshape(784, -1).T),
    "The shape is right, but each row holds pixels of all pictures: permuting before the reshape "
    "mixes them. Keep the first dimension and join the others.",
    _repair(xb=lambda xb: xb.permute(1, 2, 0)),
    "You divided by 255. Only types and shapes need a repair; leave the values.",
    _repair(xb=lambda xb: xb / 255),
    "Each picture lies on its side: its two pixel dimensions are swapped.",
    _repair(xb=lambda xb: xb.mT),
    "All labels are 0: argmax finds the largest of one number, which is at place 0. The labels "
    "are class numbers already.",
    _repair(yb=torch.zeros_like),
)


_GRAPH_ERRORS = {
    "'NoneType' object": "You came to None where you expected a node: in next_functions it stands "
    "for an input without a gradient, such as data. Skip it.",
    "'tuple' object": "The entries of next_functions are pairs, a node and a number: take the node.",
}


def _graphs():
    """A result, the leaves of its graph by name, and how it was computed."""
    a, b, c, d = (torch.tensor(value, requires_grad=True) for value in (2.0, 3.0, -1.5, 2.0))
    yield (a * b + c) ** 2, {"a": a, "b": b, "c": c}, "(a * b + c) ** 2"
    yield (a * torch.tensor(7.0) + c).exp(), {"a": a, "c": c}, "exp(a * 7 + c)"
    yield a * b + a * a, {"a": a, "b": b}, "a * b + a * a"
    yield a * b + d, {"a": a, "b": b, "d": d}, "a * b + d with equal a and d"
    layer, model = nn.Linear(5, 5), mlp(5, 6, 5)
    loss = nn.CrossEntropyLoss()(layer(model(layer(torch.randn(4, 5)))), torch.tensor([2, 0, 1, 4]))
    named = dict(nn.ModuleDict({"layer": layer, "model": model}).named_parameters())
    yield loss, named, "the loss of layer(model(layer(xb)))"


def _found(attempt, result, named, expression):
    with explained(_GRAPH_ERRORS):
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
    names = sorted(name for item in yours for name, leaf in named.items() if leaf is item)
    yield f"For {expression} the leaves", names, _advice(names, named)


def _advice(names, named):
    missing = [leaf for name, leaf in named.items() if name not in names]
    if not names:
        return "You found no leaf. Start at tensor.grad_fn and follow next_functions."
    if any(torch.equal(leaf, named[name]) for leaf in missing for name in names):
        return (
            "One leaf is missing: it has the same value as another, but is another tensor. `in` "
            "and == compare values; ask with `is`, or keep seen nodes in a set."
        )
    if missing:
        return "Follow every entry of next_functions, all the way to its end."
    return "Several ways through the graph end in one leaf. Skip the nodes that you have seen."


@exercise(
    cases=_graphs,
    observe=_found,
    praise="Every tensor that backward() will reach, each once: these will get a gradient.",
)
def leaves(tensor):
    """`leaves(tensor)` returns the leaf tensors of its graph, each once."""
    return [*{id(leaf): leaf for leaf in every_time(tensor.grad_fn)}.values()]


def every_time(node):
    """The leaves below a node, as often as they are reached."""
    if node is None:
        return []
    if hasattr(node, "variable"):
        return [node.variable]
    return [leaf for earlier, _ in node.next_functions for leaf in every_time(earlier)]


@leaves.variant
def as_a_set(tensor):
    nodes = [tensor.grad_fn]
    for node in nodes:
        nodes += [earlier for earlier, _ in node.next_functions if earlier is not None]
    return {node.variable for node in nodes if hasattr(node, "variable")}
