"""What `train()` costs, beside a hand-written loop and other libraries

Two tasks, each from the same weights, on the same batches, with SGD and momentum, one thread:

- two moons: MLP 2-64-2, 1600 rows to train on, 400 to validate, batch 64, 20 epochs
- larger: MLP 784-512-10, 16,000 rows to train on, 4000 to validate, batch 64, 2 epochs

Everyone hands back the same history: training loss, validation loss and validation accuracy of \
each epoch. Each library is used as its documentation says, with progress bars, loggers and \
checkpoints off; the programs are in [peers](peers). Each round starts a fresh process for each of \
them, in rotating order, and who can't reproduce the results is left out. *Difference* is the largest one between its final weights and history and \
those of the hand-written loop. Times are CPU time, set-up included, after one epoch to warm up; \
*import* is what is added to `import torch`, *memory* the highest resident memory of the process.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import Row, Table, in_rounds, milliseconds, ratios

ROUNDS = 5
BASE = "hand-written loop"
PEERS = {  # module in peers -> how the table calls it
    "by_hand": BASE,
    "by_hand_tensor_loader": f"{BASE}, `tensor_loader`",
    "course": "`train()`, same `DataLoader`",
    "course_tensor_loader": "`train()`, `tensor_loader`",
    "accelerate": "Accelerate",
    "fabric": "Fabric",
    "fastai": "fastai",
    "ignite": "Ignite",
    "keras": "Keras on torch",
    "lightning": "Lightning",
    "poutyne": "Poutyne",
    "skorch": "skorch",
}
PACKAGES = {"fabric": "lightning", "ignite": "pytorch-ignite"}
TASKS = {"two_moons": "Two moons, an epoch", "larger": "Larger network, an epoch"}
TOLERANCE = 5e-4  # what rounding becomes in 500 steps, where sums are taken in another order

READING = """\
Of a plain `DataLoader` over tensors `train()` takes the rows of a batch at once, as `tensor_loader` \
does, and so it is faster than the loop written by hand on the small task, where fetching rows is much \
of the work; on the larger one little of that is left. Beside a loop by hand that fetches in the same \
way, its own cost shows: about a seventh more on the small task, some 25 µs a step, and nothing that \
could be seen on the larger one. It pays for the look at the data before the first step, the snapshot \
after each epoch that makes an interrupt harmless, and the arguments it can be given. It takes slightly \
more memory than the loop by hand, Accelerate and Ignite, and less than the others.

On a small network the work around each step is most of the time, and fastai, Lightning and Keras \
multiply it; on a larger network all come closer. No ranking follows from this: these libraries do \
much that `train()` does not, and a small network on a CPU is where that shows most.
"""


def fresh_process(peer):
    """What `benchmarks.peers` measured, or the last line of its error message."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.peers", peer, folder],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["It ended without a word."])[-1]
        measured = json.loads((Path(folder) / f"{peer}.json").read_text())
        weights = torch.load(Path(folder) / f"{peer}.pt")
    for task in TASKS:
        history = [value for values in measured[task]["history"].values() for value in values]
        measured[task]["result"] = torch.cat([weights[task].double(), torch.tensor(history)])
    return measured


def difference(runs, base, task):
    """The largest difference to the hand-written loop in any round."""
    expected = base[0][task]["result"]
    results = [run[task]["result"] for run in runs]
    if any(result.shape != expected.shape for result in results):
        return float("inf")
    return max((result - expected).abs().max().item() for result in results)


def measure():
    runs = in_rounds({peer: lambda peer=peer: fresh_process(peer) for peer in PEERS}, ROUNDS)
    base, left_out = runs["by_hand"], {}
    for peer, mine in runs.items():
        errors = [run for run in mine if isinstance(run, str)]
        if errors:
            left_out[PEERS[peer]] = errors[0]
        elif max(difference(mine, base, task) for task in TASKS) > TOLERANCE:
            left_out[PEERS[peer]] = "Its weights or its history differ."
    here = [peer for peer in PEERS if PEERS[peer] not in left_out]

    for task, title in TASKS.items():
        rows = []
        for peer in here:
            seconds = [run[task]["epoch"] for run in runs[peer]]
            gap = difference(runs[peer], base, task)
            cells = (milliseconds(seconds), f"{gap:.0e}" if gap else "none")
            times = ratios(seconds, [run[task]["epoch"] for run in base])
            rows.append(Row(name(peer), times, cells, ours=peer.startswith("course")))
        yield Table(title, rows, ("an epoch", "difference"), BASE, left_out)

    rows = []
    for peer in here:
        memory = [run["memory"] for run in runs[peer]]
        seconds = [run["import"] for run in runs[peer]]
        cells = (f"{statistics.median(memory):.0f} MiB", milliseconds(seconds))
        times = ratios(memory, [run["memory"] for run in base])
        rows.append(Row(name(peer), times, cells, ours=peer.startswith("course")))
    yield Table("Memory and import", rows, ("memory", "import"), f"memory of the {BASE}")


def name(peer):
    own = peer.startswith(("by_hand", "course"))
    return PEERS[peer] if own else f"{PEERS[peer]} {version(PACKAGES.get(peer, peer))}"
