"""Save and load the whole state of a training run, so that a resumed run equals an unbroken one."""

import os
import random
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from . import distributed

_FORMAT = 3  # raise it when the content of a checkpoint changes


def clone(state):
    """A copy of a nested state that shares no tensor or list with the original."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: clone(value) for key, value in state.items()}
    if isinstance(state, list):
        return [clone(value) for value in state]
    if isinstance(state, np.generic):  # a NumPy number could be saved, but not safely loaded
        return state.item()
    return state


class TrainingState:
    """All that a run of `train` changes: weights, optimizer, schedule, history, random numbers.

    `best_weights` is the `state_dict` of the best epoch so far, or None. `loaders` are those whose
    random generators belong to the run, `choices` (name -> value) what else must be the same when
    it goes on.
    """

    def __init__(self, model, optimizer, scheduler, scaler, history, loaders, choices):
        self.best_weights = None
        parts = {
            "model": model,
            "optimizer": optimizer,
            "scheduler": scheduler,
            "scaler": scaler,
            "history": history,
        }
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._generators = [g for loader in loaders for g in generators_of(loader)]
        self._settings = _settings(model, optimizer, scheduler, self._generators) | {
            name: _as_text(value) for name, value in choices.items()
        }

    def snapshot(self):
        """A copy of everything but the random numbers, to `restore` later in the same run."""
        snapshot = {name: clone(part.state_dict()) for name, part in self._parts.items()}
        return {**snapshot, "best_weights": self.best_weights}

    def restore(self, snapshot):
        """Put everything back to where it was when `snapshot` was taken."""
        for name, part in self._parts.items():
            part.load_state_dict(snapshot[name])
        self.best_weights = snapshot["best_weights"]

    def save(self, path):
        """Write everything to the file `path`, which is whole at any moment: old state or new.

        Of several processes the first one writes, with the random numbers of all of them.
        If it can't be written (a full disk, a folder without permission) the old file stays, a
        warning says so, and training can go on.
        """
        content = {
            **self.snapshot(),
            "random": distributed.gather(random_state(self._generators)),
            "settings": self._settings,
            "format": _FORMAT,
        }
        if distributed.rank() > 0:
            return
        try:
            _write_atomically(content, Path(path))
        except OSError as error:
            warnings.warn(
                f"The checkpoint {path} could not be written ({error.strerror}); training goes on.",
                stacklevel=4,
            )

    def resume(self, path):
        """Go on from the checkpoint at `path`, if there is one.

        Raises ValueError if it is no readable checkpoint, or was made by another run.
        """
        if not Path(path).exists():
            return
        content = _read(path)
        saved, advice = content["settings"], "Call train as before, or choose another file."
        for name in {**saved, **self._settings}:
            then, now = saved.get(name, "none"), self._settings.get(name, "none")
            if then != now:
                raise ValueError(
                    f"checkpoint={str(path)!r} was made by another run: its {name} was {then}, "
                    f"here it is {now}. {advice}"
                )
        if _shapes(content["model"]) != _shapes(self._parts["model"].state_dict()):
            raise ValueError(
                f"checkpoint={str(path)!r} was made with a model of other layers or widths. {advice}"
            )
        before = self.snapshot()
        try:
            self.restore(content)
            set_random_state(content["random"][distributed.rank()], self._generators)
        except Exception as error:  # whatever a part does with a state that is not its own
            self.restore(before)
            raise ValueError(
                f"checkpoint={str(path)!r} does not fit this run ({error}). {advice}"
            ) from error
        if distributed.rank() == 0:
            print(f"Going on after epoch {self._parts['history'].epochs}, from {path}.")


def _settings(model, optimizer, scheduler, generators):
    """What must be the same when a run goes on, as text by name."""
    settings = {"model": type(model).__name__, "optimizer": type(optimizer).__name__}
    settings |= {f"optimizer's {name}": str(value) for name, value in optimizer.defaults.items()}
    if scheduler is not None:
        settings["scheduler"] = type(scheduler).__name__
        lengths = ("T_max", "T_0", "total_steps", "total_iters", "step_size", "milestones")
        known = {name: getattr(scheduler, name) for name in lengths if hasattr(scheduler, name)}
        settings |= {f"scheduler's {name}": str(value) for name, value in known.items()}
    settings["number of random generators"] = str(len(generators))
    settings["number of processes"] = str(distributed.size())
    return settings


def _as_text(value):
    """A loss or a metric by its name, anything else as it is written."""
    name = getattr(value, "__name__", type(value).__name__)
    return name if callable(value) else str(value)


def _write_atomically(content, path):
    buffer = BytesIO()
    torch.save(content, buffer)
    temporary = path.with_name(path.name + ".part")  # same folder: a rename is atomic only there
    try:
        with open(temporary, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path):
    damaged = (
        f"checkpoint={str(path)!r} is not a checkpoint of this course, or is damaged. "
        "Move the file away to start from the beginning."
    )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise ValueError(
            f"checkpoint={str(path)!r} can't be read ({error.strerror}). Check its permissions."
        ) from error
    except Exception as error:  # torch.load raises whatever the damaged bytes lead it to
        raise ValueError(damaged) from error
    whole = {"format", "settings", "random", "model"}
    if not isinstance(content, dict) or not whole <= set(content) or content["format"] != _FORMAT:
        raise ValueError(damaged)
    return content


def _shapes(weights):
    return {name: getattr(value, "shape", None) for name, value in weights.items()}


def generators_of(loader):
    """The random generators that a loader draws from, besides PyTorch's global one."""
    sampler, batch_sampler = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))
    inner = [getattr(outer, "sampler", None) for outer in (sampler, batch_sampler)]
    found = [getattr(source, "generator", None) for source in (loader, sampler, *inner)]
    unique = {id(g): g for g in found if isinstance(g, torch.Generator)}
    return list(unique.values())


def random_state(generators):
    """The state of every random number generator that training may draw from."""
    name, key, *position = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, key.tolist(), *position),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "generators": [generator.get_state() for generator in generators],
    }


def set_random_state(state, generators):
    """Put the generators back to a state that `random_state` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, generator_state in zip(generators, state["generators"], strict=True):
        generator.set_state(generator_state)
