"""Checks for lesson 04, the step."""

import copy

import torch
from torch import nn

from ..models import mlp
from .exercise import exercise
from .feedback import Mistake, NotAttempted, as_number, call, check, close, compare


def _optimizer(attempt, name, parameters, **settings):
    """The learner's optimizer, made of the class that was passed."""
    if not isinstance(attempt, type):
        raise Mistake(f"Pass the class itself: check.step.{name.lower()}({name}).")
    optimizer = attempt(parameters, **settings)
    if not callable(getattr(optimizer, "step", None)):
        raise Mistake(f"{name} needs a method step().")
    return optimizer


def _act(function, *args):
    """Call what should work in place, on parameters; its result doesn't matter, but `...` does."""
    if not callable(function):
        raise Mistake("Pass the function itself to the check, without parentheses after its name.")
    try:
        result = function(*args)
    except RuntimeError as error:
        if "leaf Variable" in str(error):
            raise Mistake(
                "Autograd refuses to record a change of a parameter in place, and it should not "
                "be recorded: do it inside `with torch.no_grad():`."
            ) from None
        raise
    except (TypeError, AttributeError) as error:
        if "NoneType" in str(error):
            raise Mistake(
                "One of the parameters has no gradient: its .grad is None, since the backward "
                "pass did not reach it. Leave such a parameter alone."
            ) from None
        raise
    if result is ...:
        raise NotAttempted


def _parameters(steps=1):
    """Three parameters, and for each step their gradients; the second has none."""
    torch.default_generator.manual_seed(1)
    parameters = [nn.Parameter(torch.randn(*size).double()) for size in ((6,), (2,), (2, 2))]
    first, _, last = parameters
    gradients = [
        [0.01 * torch.randn_like(first), None, 5.0 * torch.randn_like(last)] for _ in range(steps)
    ]
    return parameters, gradients


def _flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _run(parameters, gradients, step):
    """All parameters after the steps; fails if a step touches the gradients."""
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        step()
        after = [parameter.grad for parameter in parameters]
        if not all(map(_same, after, of_step)):
            raise Mistake("Your step changes the gradients. It should only read them.")
    return _flat(parameters)


def _same(a, b):
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def _stopped(before, after):
    """`after` up to the parameter that has no gradient, `before` from there on."""
    return torch.cat([after[:6], before[6:]])


_STOPPED = (
    "Only the parameters before the one without a gradient have moved. Skip that one, with an `if` "
    "or `continue`; `return` and `break` leave the loop."
)


@check
def sgd(attempt):
    """`SGD(parameters, lr)` with a method `step()`."""
    lr = 0.3
    parameters, gradients = _parameters(steps=100)
    before = _flat(parameters)
    optimizer = _optimizer(attempt, "SGD", parameters, lr=lr)
    yours = _run(parameters, gradients, lambda: _act(optimizer.step))
    if close(yours, before):
        raise Mistake(
            "No parameter has moved. `p = p - …` makes a new tensor and leaves the parameter where "
            "it was; `p -= …` changes it in place."
        )
    twins, _ = _parameters(steps=100)
    theirs = torch.optim.SGD(twins, lr=lr)
    right = _run(twins, gradients, theirs.step)
    moved = right - before
    rate = lr * ((yours - before) @ moved / (moved @ moved)).item()
    compare(
        yours,
        right,
        {
            "You move along the gradient, uphill. Go against it, with a minus.": before - moved,
            "The learning rate is missing.": before + moved / lr,
            "You divide by the learning rate; multiply.": before + moved / lr**2,
            _STOPPED: _stopped(before, right),
            f"You move by {rate:.3g} times the gradient. Use the learning rate that was passed, "
            f"self.lr, {lr} here.": before + moved * rate / lr,
        },
        "After 100 steps the parameters",
    )
    return "Three lines, and torch.optim.SGD does nothing else."


@check
def adam(attempt):
    """`Adam(parameters, lr, betas, eps)` with a method `step()`."""
    steps, settings = 100, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}
    parameters, gradients = _parameters(steps)
    start = [parameter.detach().clone() for parameter in parameters]
    optimizer = _optimizer(attempt, "Adam", parameters, **settings)
    yours = _run(parameters, gradients, lambda: _act(optimizer.step))
    if close(yours, _flat(start)):
        raise Mistake("No parameter has moved. Change the parameters in place, with -=.")
    twins, _ = _parameters(steps)
    right = _run(twins, gradients, torch.optim.Adam(twins, **settings).step)

    if yours.isnan().any():
        parameters, gradient = _parameters()
        optimizer = _optimizer(attempt, "Adam", parameters, **settings)
        first = _run(parameters, gradient, lambda: _act(optimizer.step))
        if first.isnan().sum() < 10:  # of the ten numbers that have a gradient
            raise Mistake(
                "Your parameters become NaN: what stands under the root is below 0. v is a mean of "
                "squared gradients, and beta2**t has t in the exponent."
            )

    def with_slip(slip, lr=0.05, betas=(0.8, 0.95), eps=1e-3):
        """Where Adam would end with one line of it changed."""
        beta1, beta2 = betas[::-1] if slip == "swapped" else betas
        after = [tensor.clone() for tensor in start]
        m, v = ([torch.zeros_like(tensor) for tensor in start] for _ in range(2))
        for step, of_step in enumerate(gradients, 1):
            for i, g in enumerate(of_step):
                if g is None:
                    continue
                half = i // 2
                other_t = {
                    "frozen t": 1,
                    "late t": step - 1,
                    "t per parameter": 2 * step - 1 + half,
                    "t per parameter, skipped too": 3 * step - 2 + i,
                }
                t = other_t.get(slip, step)
                if slip in ("forgets", "forgets m"):
                    m[i] = 0 * m[i]
                if slip in ("forgets", "forgets v"):
                    v[i] = 0 * v[i]
                old1, old2 = (1 - beta1, 1 - beta2) if slip == "roles" else (beta1, beta2)
                old2 = beta1 if slip == "v by beta1" else old2
                m[i] = old1 * m[i] + (1 if slip in ("sums", "sum in m") else 1 - old1) * g
                v[i] = old2 * v[i] + (1 if slip == "sums" else 1 - old2) * g**2
                hat2 = beta1 if slip == "v_hat by beta1" else beta2
                m_hat, v_hat = m[i] / (1 - beta1**t), v[i] / (1 - hat2**t)
                if slip == "hats kept":
                    m[i], v[i] = m_hat, v_hat
                m_hat = m[i] if slip in ("no hats", "only v_hat") else m_hat
                m_hat = g if slip == "gradient" else m_hat
                v_hat = v[i] if slip in ("no hats", "only m_hat") else v_hat
                root = v_hat if slip == "no root" else v_hat.sqrt()
                size = (v_hat + eps).sqrt() if slip == "eps inside" else root + eps
                way = m_hat / root + eps if slip == "no brackets" else m_hat / size
                after[i] += (1 if slip == "uphill" else -1) * lr * way
        return _flat(after)

    defaults = {"betas": (0.9, 0.999), "eps": 1e-8}
    compare(
        yours,
        right,
        {
            "The hats are missing: m and v start at 0, so divide m by 1 - beta1**t and v by "
            "1 - beta2**t.": with_slip("no hats"),
            "m is divided by 1 - beta1**t, but v must be divided too, by 1 - beta2**t.": with_slip(
                "only m_hat"
            ),
            "v is divided by 1 - beta2**t, but m must be divided too, by 1 - beta1**t.": with_slip(
                "only v_hat"
            ),
            "You put m_hat and v_hat back into m and v. They are for this step only.": with_slip(
                "hats kept"
            ),
            "m and v are as they were after your step: `m = …` only gives the name m to a new "
            "tensor. Change them in place, or write self.m[i] = ….": with_slip("forgets"),
            "m starts from 0 in each step. Keep it in self.m[i].": with_slip("forgets m"),
            "v starts from 0 in each step. Keep it in self.v[i].": with_slip("forgets v"),
            "You move by the gradient itself; move by m_hat, its running mean.": with_slip(
                "gradient"
            ),
            "`/ root + eps` adds eps to the quotient. Put brackets: / (root + eps).": with_slip(
                "no brackets"
            ),
            "The running mean v is made with beta2; you use beta1.": with_slip("v by beta1"),
            "v_hat is v divided by 1 - beta2**t; you use beta1.": with_slip("v_hat by beta1"),
            "In m the new gradient must count with 1 - beta1; yours counts in full.": with_slip(
                "sum in m"
            ),
            "The old mean counts with beta, the new gradient with 1 - beta; yours the other way "
            "round.": with_slip("roles"),
            "The learning rate is missing.": with_slip(None, lr=1.0),
            _STOPPED: _stopped(_flat(start), right),
            "eps stands inside the square root; it belongs outside, sqrt(v_hat) + eps.": with_slip(
                "eps inside"
            ),
            "The square root of v_hat is missing.": with_slip("no root"),
            "t is always 1: count the steps with self.t += 1, and divide by 1 - beta**t.": with_slip(
                "frozen t"
            ),
            "t is 0 in your first step, and 1 - beta**0 is 0, so you divide by zero. Count the step "
            "before you use t.": with_slip("late t"),
            "You count t once for each parameter. Count it once a step, before the loop.": (
                with_slip("t per parameter")
            ),
            "You count t once for each parameter, even those you skip. Count it once a step, "
            "before the loop.": with_slip("t per parameter, skipped too"),
            "The new gradient must count with 1 - beta, so that m and v are means, not sums.": (
                with_slip("sums")
            ),
            "The betas are swapped: the first belongs to m, the second to v.": with_slip("swapped"),
            "You move uphill. Subtract the step.": with_slip("uphill"),
            "You use fixed betas and eps. Use those that were passed, self.betas and self.eps.": (
                with_slip(None, **defaults)
            ),
            "You use fixed betas. Use those that were passed, self.betas.": with_slip(
                None, betas=defaults["betas"]
            ),
            "You use a fixed eps. Use the one that was passed, self.eps.": with_slip(
                None, eps=defaults["eps"]
            ),
        },
        f"After {steps} steps the parameters",
    )
    return "Equal to torch.optim.Adam for 100 steps, in two lines of memory and one of movement."


@check
def decay(attempt):
    """`decay(parameters, lr, weight_decay)` shrinks each parameter that has a gradient."""
    lr, weight_decay = 0.2, 0.3
    parameters, gradients = _parameters()
    before = _flat(parameters)
    first, _, last = gradients[0]
    gradient = torch.cat([first, torch.zeros(2), last.flatten()])
    yours = _run(parameters, gradients, lambda: _act(attempt, parameters, lr, weight_decay))
    if close(yours, before):
        raise Mistake("No parameter has changed. Work in place, with *=.")

    def shrunk(factor, middle=1.0, shift=0.0):
        """All multiplied by `factor`, and the second, which has no gradient, by `middle`."""
        expected = factor * before - shift
        expected[6:8] = before[6:8] * middle
        return expected

    share = 1 - lr * weight_decay
    compare(
        yours,
        shrunk(share),
        {
            "You also shrink the parameter that has no gradient. Adam would skip it.": shrunk(
                share, middle=share
            ),
            "You shrink by weight_decay. The share is lr * weight_decay, so that a lower learning "
            "rate also decays less.": shrunk(1 - weight_decay),
            "You shrink by lr. The share is lr * weight_decay.": shrunk(1 - lr),
            "You shrink by lr + weight_decay. Multiply the two.": shrunk(1 - lr - weight_decay),
            "You shrink only the parameter that has no gradient. It is the one to skip.": shrunk(
                1.0, middle=share
            ),
            "You left out a parameter with a single dimension, as one does with biases. Here every "
            "one with a gradient decays.": torch.cat([before[:8], shrunk(share)[8:]]),
            "Decay takes a share of the weight itself; you take one of its gradient.": (
                before - (1 - share) * gradient
            ),
            "Only decay; the step against the gradient is Adam's own.": (
                shrunk(share) - lr * gradient
            ),
            _STOPPED: _stopped(before, shrunk(share)),
            "You grow the weights: the factor is 1 - lr * weight_decay.": shrunk(
                1 + lr * weight_decay
            ),
            "You subtract the same amount from every weight. Decay takes a share of each: "
            "multiply.": shrunk(1.0, shift=lr * weight_decay),
            "You keep the share that should go: multiply by 1 - lr * weight_decay.": shrunk(
                lr * weight_decay
            ),
        },
        "The parameters",
    )
    return "With this line before Adam's step you have AdamW: the gradient never sees the decay."


@check
def pick_lr(attempt):
    """`pick_lr(lrs, losses)`: the rate with the lowest median loss, where NaN is the worst."""
    nan, inf = float("nan"), float("inf")
    lrs = torch.tensor([0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
    losses = torch.tensor(
        [
            [0.60, 0.50, 0.001, 0.05, 0.01, 0.20],
            [0.61, 0.52, 0.400, 0.06, 0.02, 0.21],
            [0.62, 0.51, 0.420, 0.05, nan, 0.20],
            [0.61, nan, 0.410, 0.06, nan, 0.22],
            [0.60, 0.50, 0.430, 3.00, nan, 0.20],
        ]
    )
    yours = as_number(call(attempt, lrs, losses), "The learning rate")
    slips = {
        0.001: "0.001 stands first, and that is what median(dim=1) leads to, one number for each "
        "seed, or the median of the whole table. You want one for each rate, over the seeds: dim=0.",
        0.06: "That is the lowest median itself. Return the rate at which it was reached.",
        0.003: "0.003 has one NaN among its losses. To PyTorch the median or mean of numbers with a "
        "NaN is NaN, and argmin takes NaN for the smallest. Replace what is not finite by inf first.",
        0.01: "0.01 has the lowest single run, but its other runs did badly. Take the median over "
        "the seeds, dim=0.",
        0.1: "At 0.1 three of five runs became NaN. Leaving them out makes the rate look good: "
        "count them as the worst there can be, inf.",
        0.3: "0.3 has the lowest mean. One bad run spoils the mean of 0.03; the median forgives it.",
        3.0: "That is the place of the best learning rate in the list. Return the rate itself.",
    }
    for value, explanation in slips.items():
        if close(yours, value):
            raise Mistake(explanation)
    compare(yours, 0.03, {}, "The learning rate")

    lrs, losses = torch.logspace(-3, 0, 9), 1 + torch.rand(7, 9)
    losses[:, 0] -= 1.0  # the lowest
    losses[2:, 0] = inf  # but most of its runs blew up
    losses[:, 8] -= 0.5
    losses[2, 8] = nan  # the best nevertheless
    others = losses[:, 1:8].median(dim=0).values.argmin() + 1
    compare(
        as_number(call(attempt, lrs, losses), "The learning rate"),
        lrs[8],
        {
            "A rate at which five of seven runs ended with inf can't be the best.": lrs[0],
            "One run of the best rate died, and you leave that rate out. Count the dead run as inf, "
            "and ask for the median.": lrs[others],
        },
        "For another sweep the learning rate",
    )
    return "You pick what works in most runs, and a run that died counts against its rate."


_BY_IDENTITY = (
    "`in` and == compare tensors number by number, which fails or finds equal values in another "
    "tensor. Compare by identity: with `is`, or id(p) in a set."
)
_GROUPS = (
    "optimizer.param_groups is a list of dictionaries: go through the groups, and in each through "
    'group["params"].'
)
_ORPHAN_ERRORS = {
    "size of tensor": _BY_IDENTITY,
    "Boolean value": _BY_IDENTITY,
    "list indices": _GROUPS,
    "'dict' object": _GROUPS,
    "no attribute 'parameters'": f"An optimizer has no parameters(). {_GROUPS}",
}


@check
def orphans(attempt):
    """`orphans(model, optimizer)`: names of trainable parameters that it does not hold."""

    def answer(model, optimizer):
        try:
            result = call(attempt, model, optimizer)
        except (AttributeError, RuntimeError, TypeError) as error:
            for words, explanation in _ORPHAN_ERRORS.items():
                if words in str(error):
                    raise Mistake(explanation) from None
            raise
        if not isinstance(result, list | tuple):
            raise Mistake(f"Return a list of names; yours is a {type(result).__name__}.")
        if not all(isinstance(name, str) for name in result):
            raise Mistake("Return the names, strings such as '0.weight', not the parameters.")
        return list(result)

    def must_be(expected, yours, why):
        if yours != expected:
            if set(yours) == set(expected):
                why = "Give each name once, in the order of model.named_parameters()."
            raise Mistake(f"{why} Your list should be {expected}; it is {yours}.")

    model = mlp(2, 4, 4, 2)
    names = [name for name, _ in model.named_parameters()]
    groups = [{"params": model[0].parameters()}, {"params": model[2:].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    yours = answer(model, optimizer)
    if yours == names:
        raise Mistake(
            "The optimizer holds all of these, or you return what it does hold. Compare with "
            'id(p) of the tensors in group["params"].'
        )
    must_be([], yours, "Look at all groups: this optimizer has two, and together they hold all.")

    model[4] = copy.deepcopy(model[4])
    must_be(
        ["4.weight", "4.bias"],
        answer(model, optimizer),
        "The last layer was replaced by another one with equal shapes and values, which the "
        "optimizer does not hold. Compare by identity, not by value.",
    )
    model[2].bias.requires_grad_(False)
    optimizer = torch.optim.SGD([model[0].weight, model[4].weight], lr=0.1)
    must_be(
        ["0.bias", "2.weight", "4.bias"],
        answer(model, optimizer),
        "The optimizer holds two weights, and 2.bias is frozen, so it needs none.",
    )
    return "Assert `not orphans(model, optimizer)` before training, and this bug can't hide."


def _networks():
    """Networks with biases, norms and convolutions, one of them with a frozen layer; a decay."""
    yield mlp(2, 4, 2), 0.1
    normed = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 2, bias=False))
    yield normed, 0.02
    pictures = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    pictures[0].requires_grad_(False)
    yield pictures, 0.5


def _two_groups(attempt, model, weight_decay):
    groups = call(attempt, model, weight_decay)
    if not (isinstance(groups, list | tuple) and all(isinstance(group, dict) for group in groups)):
        raise Mistake("Return a list of dictionaries, one for each group.")
    if len(groups) != 2:
        raise Mistake(f"Return two groups, in a list; yours has {len(groups)}.")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group, which in zip(groups, ("first", "second"), strict=True):
        if missing := {"params", "weight_decay"} - group.keys():
            raise Mistake(f'The {which} group lacks "{sorted(missing)[0]}".')
        ids = [id(parameter) for parameter in group["params"]]
        if not set(ids) <= names.keys():
            raise Mistake(
                f'"params" of the {which} group holds something that is no parameter of the model. '
                "Put the parameters themselves there: no names, no copies."
            )
        yield f"The {which} group", sorted(names[i] for i in ids)
        yield f"The decay of the {which} group", group["weight_decay"]


@exercise(
    cases=_networks,
    observe=_two_groups,
    praise="Weights are decayed, biases and norms are not, and nothing is left out.",
)
def decay_groups(model, weight_decay):
    """`decay_groups(model, weight_decay)`: two groups for an optimizer, decayed and not."""
    return _by_dimensions(model, weight_decay)


def _by_dimensions(model, weight_decay, other=0.0, least=2, frozen=False):
    trained = [p for p in model.parameters() if p.requires_grad or frozen]
    return [
        {"params": [p for p in trained if p.ndim >= least], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < least], "weight_decay": other},
    ]


@decay_groups.variant
def one_after_the_other(model, weight_decay):
    decayed, free = [], []
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            (free if parameter.ndim <= 1 else decayed).append(parameter)
    first = dict(params=decayed, weight_decay=weight_decay, lr=0.1)
    return first, dict(params=free, weight_decay=0)


@decay_groups.variant
def by_the_shape(model, weight_decay):
    trained = list(filter(lambda p: p.requires_grad, model.parameters()))
    return [
        {"params": (p for p in trained if len(p.shape) > 1), "weight_decay": weight_decay},
        {"params": (p for p in trained if len(p.shape) == 1), "weight_decay": 0.0},
    ]


@decay_groups.mistake
def by_the_name(model, weight_decay):
    """A norm's scale is called weight, too, and it is none that multiplies inputs: sort by the
    number of dimensions, not by the name."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return [
        {
            "params": [p for n, p in trained.items() if "bias" not in n],
            "weight_decay": weight_decay,
        },
        {"params": [p for n, p in trained.items() if "bias" in n], "weight_decay": 0.0},
    ]


decay_groups.known(
    {
        "Frozen parameters belong to neither group. Ask for requires_grad.": (
            lambda model, decay: _by_dimensions(model, decay, frozen=True)
        ),
        "Biases and norms should not be decayed: the second group needs a decay of 0.": (
            lambda model, decay: _by_dimensions(model, decay, other=decay)
        ),
        "It is the other way round: what is decayed comes first.": (
            lambda model, decay: _by_dimensions(model, decay)[::-1]
        ),
        "You decay what should be free, and leave free what should be decayed.": (
            lambda model, decay: [
                group | {"weight_decay": weight_decay}
                for group, weight_decay in zip(
                    _by_dimensions(model, decay), (0.0, decay), strict=True
                )
            ]
        ),
        "The weights of Linear layers have two dimensions, and they are to be decayed.": (
            lambda model, decay: _by_dimensions(model, decay, least=3)
        ),
    }
)
