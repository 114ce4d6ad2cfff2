"""Exercise checks, one module a lesson: `check.full_loop.count_correct(count_correct)`."""

from . import backward, full_loop, ipo_case_study

__all__ = ["backward", "full_loop", "ipo_case_study"]
