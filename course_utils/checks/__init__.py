"""Exercise checks, one module a lesson: `check.full_loop.count_correct(count_correct)`."""

from . import backward, full_loop, ipo_case_study, step

__all__ = ["backward", "full_loop", "ipo_case_study", "step"]
