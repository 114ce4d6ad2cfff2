"""What checks of whole loops are built from: the doctor watches, and the weights decide."""

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..doctor import LoopDoctor
from .feedback import Mistake, call, compare


def outcome(run, function):
    """(what `function` returned, the model's numbers, optimizer steps) of `run(function)`.

    `run` calls the function on fresh data and a fresh model; it returns the result and the model.
    """
    steps = []
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(1))
    try:
        torch.manual_seed(0)
        result, model = run(function)
    finally:
        hook.remove()
    numbers = [value.detach().double().flatten() for value in model.state_dict().values()]
    return result, torch.cat(numbers), len(steps)


def trained_like(attempt, reference, run, mistakes):
    """(result, expected result, "bit for bit" or "up to rounding") of a loop without a bug.

    The doctor watches the attempt, and its weights must be those of `reference`. `mistakes` maps
    an explanation to another loop, whose weights give that mistake away.
    """
    with LoopDoctor(verbose=False) as doctor:
        result, weights, steps = outcome(run, lambda *args: call(attempt, *args))
    for finding in doctor.findings:
        if finding.severity != "note":
            where = f" ({finding.where})" if finding.where else ""
            raise Mistake(
                f"The doctor names {finding.bug}{where}: {finding.evidence}. This leads to: "
                f"{finding.symptom}. To repair it: {finding.fix}"
            )
    expected, right_weights, right_steps = outcome(run, reference)
    if steps != right_steps:
        raise Mistake(
            f"The doctor sees no bug, but the optimizer made {steps} steps instead of "
            f"{right_steps}: one for each batch of each epoch. Does a `return` or a `break` stand "
            "inside a loop?"
        )
    others = {words: outcome(run, loop)[1] for words, loop in mistakes.items()}
    compare(weights, right_weights, others, "The doctor sees no bug, but the weights at the end")
    return result, expected, "bit for bit" if weights.equal(right_weights) else "up to rounding"
