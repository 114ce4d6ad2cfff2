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
        torch.default_generator.manual_seed(0)
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
    expected, right_weights, right_steps = outcome(run, reference)
    _raise_first(finding for finding in doctor.findings if finding.severity == "error")
    if steps != right_steps:
        ask = (
            "Do you go over another loader, or for more epochs, than your function was given?"
            if steps > right_steps
            else "Does step() stand outside the loop over batches, or a `return` or a `break` "
            "inside a loop?"
        )
        raise Mistake(
            f"The optimizer made {steps} steps instead of {right_steps}: one for each batch of "
            f"each epoch. {ask}"
        )
    _raise_first(finding for finding in doctor.findings if finding.severity == "warning")
    others = {words: outcome(run, loop)[1] for words, loop in mistakes.items()}
    compare(weights, right_weights, others, "The doctor sees no bug, but the weights at the end")
    return result, expected, "bit for bit" if weights.equal(right_weights) else "up to rounding"


def _raise_first(findings):
    for finding in findings:
        where = f" ({finding.where})" if finding.where else ""
        raise Mistake(
            f"The doctor names {finding.bug}{where}: {finding.evidence}. This leads to: "
            f"{finding.symptom}. To repair it: {finding.fix}"
        )
