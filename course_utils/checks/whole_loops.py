"""What checks of whole loops observe: the doctor watches, and the weights decide."""

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..doctor import LoopDoctor
from .feedback import Diagnosis, call

_STEPS = (
    "The optimizer should make one step for each batch of each epoch. With fewer: does step() stand "
    "outside the loop over batches, or a `return` or a `break` inside a loop? With more: do you go "
    "over another loader, or for more epochs, than your function was given?"
)


def watched(run, read):
    """Observe a loop: what the doctor finds, its steps, its weights, and what it returns.

    `run(attempt, *case)` gives the result and the model that was trained; `read(result)` yields
    the parts of the result.
    """

    def observe(attempt, *case):
        steps = []
        hook = register_optimizer_step_post_hook(lambda *_: steps.append(1))
        try:
            with LoopDoctor(verbose=False) as doctor:
                result, model = run(lambda *args: call(attempt, *args), *case)
        finally:
            hook.remove()
        _raise_first(finding for finding in doctor.findings if finding.severity == "error")
        yield "The number of steps", len(steps), _STEPS
        _raise_first(finding for finding in doctor.findings if finding.severity == "warning")
        numbers = [value.detach().double().flatten() for value in model.state_dict().values()]
        yield "The doctor sees no bug, but the weights at the end", torch.cat(numbers)
        yield from read(result)

    return observe


def _raise_first(findings):
    for finding in findings:
        where = f" ({finding.where})" if finding.where else ""
        raise Diagnosis(
            f"The doctor names {finding.bug}{where}: {finding.evidence}. This leads to: "
            f"{finding.symptom}. To repair it: {finding.fix}"
        )
