"""Exercise checks, one module a lesson: `check.full_loop.count_correct(count_correct)`."""

from . import full_loop, ipo_case_study

__all__ = ["full_loop", "ipo_case_study"]
