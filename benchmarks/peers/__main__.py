"""Train both tasks with one peer, in this fresh process: `python -m benchmarks.peers NAME FOLDER`.

Writes what was measured to FOLDER/NAME.json and the weights to FOLDER/NAME.pt.
"""

import importlib
import json
import re
import sys
import time
from pathlib import Path

import torch  # first: the import time of a peer is what it adds

start = time.process_time()
name, folder = sys.argv[1], Path(sys.argv[2])
peer = importlib.import_module(f"benchmarks.peers.{name}")
measured = {"import": time.process_time() - start}

from benchmarks.peers import task as tasks  # noqa: E402

make_loader = getattr(peer, "MAKE_LOADER", None)
peer.fit(tasks.two_moons(1, make_loader))  # what is loaded at the first step is loaded now
weights = {}
for make_task in (tasks.two_moons, tasks.larger):
    task = make_task(make_loader=make_loader)
    start = time.process_time()
    history = peer.fit(task)
    seconds = (time.process_time() - start) / task.epochs
    history = {key: list(map(float, history[key])) for key in ("train_loss", "val_loss", "val_acc")}
    measured[make_task.__name__] = {"epoch": seconds, "history": history}
    weights[make_task.__name__] = torch.cat([p.detach().flatten() for p in task.model.parameters()])

# Not resource.getrusage: that remembers the parent process.
status = Path("/proc/self/status").read_text()
measured["memory"] = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024
torch.save(weights, folder / f"{name}.pt")
(folder / f"{name}.json").write_text(json.dumps(measured))
