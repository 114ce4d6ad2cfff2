"""How the time of a step divides into its parts, by PyTorch's profiler."""

import os
import warnings
from contextlib import contextmanager
from statistics import median

from torch.profiler import ProfilerActivity, profile


def shares_of_time(function, parts):
    """The share that each of `parts` has of a step, floats that add up to 1.

    `function()` makes many steps; a part is what it does under
    `torch.profiler.record_function(name)`. Each part counts with the median over the steps, since
    now and then another program interrupts.

    Raises ValueError for a part that `function` never came to.
    """
    with _quiet(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        function()
    times = {part: [] for part in parts}
    for event in profiler.events():
        if event.name in times:
            times[event.name].append(event.cpu_time_total)
    for part, each in times.items():
        if not each:
            raise ValueError(f"No step came to record_function({part!r}).")
    medians = [median(times[part]) for part in parts]
    return [each / sum(medians) for each in medians]


@contextmanager
def _quiet():
    """Builds of the profiler announce start and stop on the error stream, or warn of cycles."""
    stream, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Profiler clears events")
            yield
    finally:
        os.dup2(stream, 2)
        os.close(stream)
        os.close(nowhere)
