"""Save and load the whole state of a training run, so that a resumed run equals an unbroken one."""

import copy
import os
import pickle
import warnings
import zipfile
from collections import Counter, OrderedDict
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import distributed, fingerprint
from .models import uncompiled
from .random_state import generators_in, random_state, set_random_state

_FORMAT = 6  # raise it when the content of a checkpoint changes
_ARRAY = "a NumPy array"  # the key under which an array stands in a file, as a tensor
_ADVICE = "Call train as before, or choose another file."
_AS_THEY_ARE = {
    type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size,
}  # fmt: skip


def clone(state):
    """A copy of a nested state that shares no tensor, array or list with the original."""
    kind = type(state)
    if kind in _AS_THEY_ARE:
        return state
    if kind is dict:
        return {key: clone(value) for key, value in state.items()}
    if kind in (list, tuple):
        return kind([value if type(value) in _AS_THEY_ARE else clone(value) for value in state])
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        same_kind = copy.copy(state)  # a Counter stays one; its update() would add
        for key, value in state.items():
            same_kind[key] = clone(value)
        return same_kind
    try:
        return copy.deepcopy(state)
    except Exception:  # a lock, a file: then both hold the same
        return state


class TrainingState:
    """All that a run of `train` changes: weights, optimizer, schedule, history, random numbers.

    `best_weights` are those of the best epoch so far, or None. `sources` are the things whose own
    random generators belong to the run: loaders with their data sets, callbacks, and so on.
    """

    def __init__(self, model, loss_fn, optimizer, scheduler, scaler, history, sources):
        self.best_weights = None
        model = uncompiled(model)
        parts = {
            "model": model,
            "loss_fn": loss_fn if isinstance(loss_fn, nn.Module) else None,
            "optimizer": optimizer,
            "scheduler": scheduler,
            "scaler": scaler,
            "history": history,
        }
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._learned = [name for name in ("model", "loss_fn") if name in self._parts]
        self._loaders = [part for part in sources if isinstance(part, torch.utils.data.DataLoader)]
        self._generators = generators_in(model, loss_fn, *sources)
        self._saved_before = False
        self._run = self._file = None  # set by `resume`, which comes before `save`

    def snapshot(self):
        """A copy of everything but the random numbers, to `restore` later in the same run."""
        snapshot = {name: clone(part.state_dict()) for name, part in self._parts.items()}
        return {**snapshot, "best_weights": self.best_weights}

    def restore(self, snapshot):
        """Put everything back to where it was when `snapshot` was taken."""
        for name, part in self._parts.items():
            _load(part, snapshot[name])
        self.best_weights = snapshot["best_weights"]

    def keep_best(self):
        """Remember the weights as they are now."""
        self.best_weights = {name: clone(self._parts[name].state_dict()) for name in self._learned}

    def put_best_back(self):
        """Give model and loss the weights that `keep_best` remembered, if it did."""
        for name, weights in (self.best_weights or {}).items():
            _load(self._parts[name], weights)

    def save(self, path, describe):
        """Write everything to the file `path`, which is whole at any moment: old state or new.

        `describe()` tells what the run is, as `resume` was told. Of several processes the first
        one writes, with the random numbers of all of them. If it can't be written (a full disk, a
        folder without permission) the old file stays, a warning says so, and training can go on.
        """
        randoms = distributed.gather(random_state(self._generators))
        if distributed.rank() > 0:
            return
        now = describe()
        unchanged = {name: text for name, text in self._run.items() if now.get(name, text) == text}
        content = {**self.snapshot(), "random": randoms, "run": unchanged, "format": _FORMAT}
        try:
            content = _to_file(content)
            if not self._saved_before:
                torch.load(_written(content), weights_only=True)
                self._saved_before = True
            _write_atomically(content, self._file)
        except (OSError, ValueError, pickle.PickleError) as error:
            reason = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
            warnings.warn(
                f"The checkpoint {path} could not be written ({reason}); training goes on.",
                stacklevel=5,  # the line that called train
            )

    def resume(self, path, describe, epochs):
        """Go on from the checkpoint at `path`, if there is one, up to so many epochs.

        `describe()` returns what must be the same then as now: texts by name. Of several processes
        the first one reads, for all. Raises ValueError if the file is no readable checkpoint, if
        it was made by another run, or if this state could not be saved in this file.
        """
        self._run = {
            "number of processes": str(distributed.size()),
            **describe(),
            "number of random generators": str(len(self._generators)),
        }
        _to_file(self.snapshot())
        self._warn_if_resuming_will_differ()
        self._file = _file(path)  # a callback may go to another folder
        if distributed.rank() == 0:
            _remove_leftovers(self._file)
        found = distributed.from_first(lambda: self._found_of_this_run(path, epochs))
        if found is None:
            return
        self._run = {**self._run, **found["run"]}
        before = self.snapshot()
        try:
            self.restore(found)
            for loader in self._loaders:
                if loader.persistent_workers and loader.num_workers:
                    iter(loader)  # starting workers draws a number, which the run has behind it
            set_random_state(found["random"][distributed.rank()], self._generators)
        except BaseException as error:  # Ctrl-C, or whatever a part does with a state not its own
            self.restore(before)
            if not isinstance(error, Exception):
                raise
            raise ValueError(
                f"checkpoint={str(path)!r} does not fit this run ({error}). {_ADVICE}"
            ) from error
        if distributed.rank() == 0:
            done = self._parts["history"].epochs
            if done < epochs:
                print(f"Going on after epoch {done}, from {path}.")
            else:
                print(
                    f"Nothing to train: epochs={epochs}, and the run in {path} has had {done}. Model "
                    f"and history are those of epoch {done}."
                )

    def _found_of_this_run(self, path, epochs):
        """The content of the file, or None; ValueError if it is not of this run.

        The first of several processes compares, which also described the run that was saved: a
        function of another one may read another rank.
        """
        found = _found(path, self._file, epochs)
        if found is None:
            return None
        if _shapes(found["model"]) != _shapes(self._parts["model"].state_dict()):
            raise ValueError(
                f"checkpoint={str(path)!r} was made with a model of other layers or widths. {_ADVICE}"
            )
        for name, (then, now) in fingerprint.differences(found["run"], self._run).items():
            raise ValueError(
                f"checkpoint={str(path)!r} was made by another run: its {name} was {then}, "
                f"here it is {now}. {_ADVICE}"
            )
        return found

    def _warn_if_resuming_will_differ(self):
        for loader in self._loaders:
            draws = generators_in(loader.dataset) or fingerprint.is_random(loader)
            if loader.persistent_workers and draws:
                warnings.warn(
                    "the data set draws random numbers, in workers that live on from epoch to "
                    "epoch, where no checkpoint reaches: a resumed run will see other ones. With "
                    "persistent_workers=False it will be the same to the last bit.",
                    stacklevel=6,  # the line that called train
                )


def exists(path):
    """Whether there is a checkpoint to go on from."""
    try:
        return path is not None and _file(path).exists()
    except (TypeError, ValueError, OSError, RuntimeError):  # the examination has words for it
        return False


def _file(path):
    """The file that is meant: `~` is the home folder, and a link leads to its target."""
    return Path(path).expanduser().resolve()


def _load(part, state):
    """Give `part` its state back; a module may leave out in its `state_dict()` what never changes."""
    if getattr(type(part), "load_state_dict", None) is nn.Module.load_state_dict:
        part.load_state_dict(state, strict=False)
    else:
        part.load_state_dict(state)


def _to_file(value, where=""):
    """`value` made of nothing but what `torch.load` reads back safely.

    Raises ValueError, with the place, for anything else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        native = np.array(value, value.dtype.newbyteorder("="))
        return {_ARRAY: torch.from_numpy(native)}
    if isinstance(value, dict):
        kind = type(value) if type(value) in (Counter, OrderedDict) else dict
        place = {key: f"{key!r} of {where}" if where else f"the {key}" for key in value}
        return kind(
            {_to_file(key, where): _to_file(item, place[key]) for key, item in value.items()}
        )
    if type(value) in (list, tuple, set):
        return type(value)(_to_file(item, f"an entry of {where}") for item in value)
    raise ValueError(
        f"a checkpoint can't hold {where}, which is a {type(value).__name__}. Keep numbers, text, "
        "tensors, arrays, and lists or dictionaries of them there, or leave it out of state_dict()"
    )


def _from_file(value):
    """What `_to_file` was given."""
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return value[_ARRAY].numpy()
        for key in value:
            value[key] = _from_file(value[key])
    if type(value) in (list, tuple):
        return type(value)(map(_from_file, value))
    return value


def _written(content):
    buffer = BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return buffer


def _part(path):
    # In the same folder, since a rename is atomic only on one disk; under a name of its own, since
    # another process may be writing, too.
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def _write_atomically(content, path):
    temporary = _part(path)
    buffer = _written(content)
    try:
        with open(temporary, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_leftovers(path):
    """The pieces of processes that were killed while they wrote."""
    for part in path.parent.glob("*.part"):
        if part.name.startswith(path.name + ".") and not _is_being_written(part):
            with suppress(OSError):
                part.unlink()


def _is_being_written(part):
    """Whether the process that began it is still alive."""
    number = part.name.split(".")[-2]
    if os.name != "posix" or not number.isdecimal():
        return False  # on Windows an open file can't be removed anyway
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return int(number) != os.getpid()


def _found(path, file, epochs):
    """The content of the checkpoint, or None; ValueError if the run goes on and it can't be written."""
    content = _read(path, file) if file.exists() else None
    if content is None or len(content["history"]["seconds"]) < epochs:
        try:
            _part(file).touch()
            _part(file).unlink()
        except OSError as error:
            raise ValueError(
                f"checkpoint={str(path)!r} can't be written ({error.strerror}). Choose a folder in "
                "which you may write."
            ) from error
    return content


def _read(path, file):
    """The content of a checkpoint; ValueError if it is none."""
    damaged = (
        f"checkpoint={str(path)!r} is not a checkpoint of this course, or is damaged. "
        "Move the file away to start from the beginning."
    )
    try:
        with zipfile.ZipFile(file) as archive:
            bad = archive.testzip()  # the checksums, at which torch.load does not look
        content = torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise ValueError(
            f"checkpoint={str(path)!r} can't be read ({error.strerror}). Check its permissions."
        ) from error
    except Exception as error:  # whatever the damaged bytes lead to
        raise ValueError(damaged) from error
    if bad is not None or not isinstance(content, dict) or "format" not in content:
        raise ValueError(damaged)
    if content["format"] != _FORMAT or not {"run", "random", "model", "history"} <= set(content):
        raise ValueError(
            f"checkpoint={str(path)!r} was made by another version of this course. Go on with that "
            "one, or move the file away to start from the beginning."
        )
    return _from_file(content)


def _shapes(weights):
    return {name: value.shape for name, value in weights.items() if hasattr(value, "shape")}
