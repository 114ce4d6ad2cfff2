"""`%%doctor`: the doctor for one cell of a notebook."""

from . import LoopDoctor
from .errors import explanation


def doctor(line, cell):
    """Run the cell inside `with LoopDoctor()`; the report is the cell's output."""
    from IPython import get_ipython

    # A line in place of the magic's own, so that the lines named are those the learner counts.
    first = "" if cell.startswith("%%") else "# %%doctor\n"
    with LoopDoctor(verbose=False) as watching:
        result = get_ipython().run_cell(first + cell)
    if result.error_in_exec is not None:  # shown by the shell, which knows no notes of ours
        print(explanation(result.error_in_exec) or "")
    return watching


def register(shell):
    shell.register_magic_function(doctor, "cell", "doctor")
