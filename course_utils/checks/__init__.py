"""Exercise checks, one module a lesson: `check.full_loop.count_correct(count_correct)`."""

from . import (
    backward,
    beyond_one_device,
    dataloader,
    debugging_clinic,
    forward,
    full_loop,
    ipo_case_study,
    loss,
    schedulers,
    step,
    why_a_loop,
)

__all__ = [
    "backward",
    "beyond_one_device",
    "dataloader",
    "debugging_clinic",
    "forward",
    "full_loop",
    "ipo_case_study",
    "loss",
    "schedulers",
    "step",
    "why_a_loop",
]
