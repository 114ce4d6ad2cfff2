"""How the run is watched: what is put in PyTorch's way while the loop runs, and taken out again."""

import functools
import sys
import weakref

import torch
import torch.nn.functional as F
from torch import nn, overrides
from torch.nn.utils import clip_grad
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, dataloader

from .run import Call, Run

# A watcher must not break the loop that it watches, so its own errors are dropped. Tests set this
# to see them.
STRICT = False

_FUNCTIONS_AFTER = 2  # torch functions are watched after this many forwards of a model and mode


def _safely(method):
    """Run a piece of the watcher; whatever goes wrong in it stays in it."""

    @functools.wraps(method)
    def guarded(self, *args):
        if self.busy:
            return  # what the watcher itself computes is no event
        self.busy = True
        try:
            method(self, *args)
        except Exception:
            if STRICT:
                raise
        finally:
            self.busy = False

    return guarded


class Watch:
    """Puts itself between the loop and PyTorch, tells `run` and the detectors, and goes again."""

    def __init__(self, detectors, report):
        self.run = Run()
        # Called with the watch at the end of each pass; after the eighth of every eighth one.
        self.report = report
        self.detectors = [detector(self.run) for detector in detectors]
        self.unanswered = list(self.detectors)
        self.found = set()  # bugs
        self.listeners = {}
        self.busy = False
        self.depth = 0  # of modules calling modules
        self.root = None  # the outermost of them
        self.depth_of_state = 0
        self.in_schedule = self.in_dropout = False
        self.undo = []
        self.mode = _Functions(self)
        self.looks = weakref.WeakKeyDictionary()

    def tell(self, event, *facts):
        if event not in self.listeners:
            self.listeners[event] = [
                getattr(detector, event) for detector in self.detectors if hasattr(detector, event)
            ]
        for listener in self.listeners[event]:
            listener(*facts)

    def ask(self):
        """New findings. A detector that gave one is not asked again."""
        for detector in list(self.unanswered):
            if self.found.intersection(detector.hidden_by) or (
                detector.symptom_only and self.found
            ):
                continue
            try:
                finding = detector.judge(self.run)
            except Exception:
                if STRICT:
                    raise
                continue
            if finding is not None:
                self.unanswered.remove(detector)
                self.found.add(finding.bug)
                yield finding

    # Coming and going ------------------------------------------------------------------------

    def start(self):
        self._patch(nn.Module, "__call__", self._module_call(nn.Module.__call__))
        self._wrap(torch.autograd, "_engine_run_backward", self._engine)
        for owner in (torch.optim.Optimizer, nn.Module):
            self._wrap(owner, "zero_grad", self._before(self.on_cleared))
        self._wrap(DataLoader, "__iter__", self._loader_iter)
        self._wrap(getattr(dataloader, "_BaseDataLoaderIter", None), "__next__", self._loader_next)
        for scheduler in _all_kinds(LRScheduler):
            if "step" in vars(scheduler):
                self._wrap(scheduler, "step", self._scheduler_step)
        # Inside the clip functions, since "from … import clip_grad_norm_" escapes a patch of them.
        self._wrap(clip_grad, "_get_total_norm", self._before(self.on_clip))
        self._wrap(clip_grad, "_group_tensors_by_device_and_dtype", self._group_tensors)
        self._wrap(torch.amp.GradScaler, "scale", self._before(self.on_scale))
        self._wrap(torch.amp.GradScaler, "unscale_", self._before(self.on_unscale))
        self._wrap(torch.amp.GradScaler, "step", self._before(self.on_scaler_step))
        self._wrap(torch, "save", self._before(self.on_saved))
        self._wrap(nn.Module, "state_dict", self._state_dict)
        self._wrap(nn.Module, "load_state_dict", self._before(self.on_state_loaded))
        for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"):
            self._wrap(F, name, self._dropout)
        # Under "from torch.nn.functional import dropout", which escapes a patch of the name.
        for owner in (getattr(torch, "_VF", None), torch):
            self._wrap(owner, "dropout", self._low_dropout)
        self._wrap(torch.optim.Optimizer, "__init__", self._optimizer_init)
        before = register_optimizer_step_pre_hook(self.on_step)
        after = register_optimizer_step_post_hook(self.on_stepped)
        self.undo += [before.remove, after.remove]

    def stop(self):
        self.mode.leave()
        while self.undo:
            self.undo.pop()()

    def _wrap(self, owner, name, wrapper):
        original = getattr(owner, name, None)
        if original is None:  # a private name that this PyTorch doesn't have: one signal less
            return

        # Some libraries keep the functions that they find while the loop runs (torch._dynamo does):
        # what they keep must neither watch nor hold anything afterwards.
        watching = [wrapper]
        self.undo.append(watching.clear)

        @functools.wraps(original)
        def wrapped(*args, **kwargs):
            return watching[0](original, *args, **kwargs) if watching else original(*args, **kwargs)

        self._patch(owner, name, wrapped)

    def _patch(self, owner, name, value):
        if name in vars(owner):
            self.undo.append(functools.partial(setattr, owner, name, getattr(owner, name)))
        else:  # inherited
            self.undo.append(functools.partial(delattr, owner, name))
        setattr(owner, name, value)

    def _before(self, event):
        def wrapper(original, *args, **kwargs):
            event(*args)
            return original(*args, **kwargs)

        return wrapper

    # Modules ---------------------------------------------------------------------------------

    def _module_call(self, original):
        run = self.run

        @functools.wraps(original)
        def call(module, *args, **kwargs):
            # This runs for every layer, so most of them must come through quickly.
            if (self.depth and not run.looking) or self.busy or torch.compiler.is_compiling():
                return original(module, *args, **kwargs)
            outermost = not self.depth
            if outermost:
                if self.mode.inside and run.is_model(module):
                    self.mode.leave()
                self.root = module
            self.depth += 1
            try:
                output = original(module, *args, **kwargs)
            finally:
                self.depth -= 1
            if run.looking or (outermost and run.is_model(module)):
                self.on_call(module, args or tuple(kwargs.values()), output)
            return output

        return call

    @_safely
    def on_call(self, module, args, output):
        if _inside_torch_func():
            return
        run = self.run
        is_model = self.depth == 0 and run.is_model(module)
        if not (is_model or run.looking):
            return
        grad_enabled = torch.is_grad_enabled()
        call = Call(
            module, args, output, self.depth, module.training, grad_enabled, run.current,
            run.batch_number,
        )  # fmt: skip
        if run.looking:
            self.tell("called", call)
        if is_model:
            run.ran(call)
            self.tell("forward", call)
            looks = self.looks.setdefault(module, {})
            kind = module.training, grad_enabled
            looks[kind] = looks.get(kind, 0) + 1
            if looks[kind] <= _FUNCTIONS_AFTER or run.watch_functions:
                run.watch_functions = False
                self.mode.enter(call)

    # Gradients -------------------------------------------------------------------------------

    def _engine(self, original, tensors, *args, **kwargs):
        self.mode.leave()
        self.on_backward(tensors, kwargs.get("accumulate_grad", False))
        return original(tensors, *args, **kwargs)

    @_safely
    def on_backward(self, tensors, accumulates):
        run = self.run
        if not accumulates:
            run.grad_calls += 1
            run.last_backward = run.tick()
            if run.current is not None:
                run.current.grad_calls += 1
            return
        loss = tensors[0]
        if not isinstance(loss, torch.Tensor):
            return
        run.line("backward")
        run.look()
        backward = run.went_back(loss)
        self.tell("backward", backward)
        if backward.graph is not None:
            self.tell("graph", backward)

    def _optimizer_init(self, original, optimizer, *args, **kwargs):
        original(optimizer, *args, **kwargs)
        self.run.made.append(optimizer)

    @_safely
    def on_cleared(self, owner, *_):
        self.run.last_clear = self.run.tick()
        self.run.line("zero_grad")
        if isinstance(owner, torch.optim.Optimizer):
            self.run.optimizer(owner).clears += 1
            if not self.run.steps:  # later its steps keep it
                self.run.use(owner)
        self.tell("cleared", owner)

    @_safely
    def on_step(self, optimizer, args, kwargs):
        self.run.line("step")
        if self.run.looking:
            closure = args[1:] or kwargs.get("closure")
            self.tell("step", self.run.about_to_step(optimizer, bool(closure)))

    @_safely
    def on_stepped(self, optimizer, *_):
        self.run.has_stepped(optimizer)
        self.tell("stepped", optimizer)

    def _group_tensors(self, original, lists, *args, **kwargs):
        if sys._getframe(2).f_code.co_name == "clip_grad_value_":
            self.on_clip(lists[0])
        return original(lists, *args, **kwargs)

    @_safely
    def on_clip(self, grads, *_):
        self.run.line("clip")
        self.tell("clip", grads)

    # Data ------------------------------------------------------------------------------------

    def _loader_iter(self, original, loader):
        caller = sys._getframe(2).f_code
        iterator = original(loader)
        self.on_pass(loader, iterator, caller.co_name == "update_bn")
        return iterator

    @_safely
    def on_pass(self, loader, iterator, updates_batch_norm):
        self.run.start_pass(loader, iterator, updates_batch_norm)

    def _loader_next(self, original, iterator):
        self.mode.leave()
        try:
            batch = original(iterator)
        except StopIteration:
            self.on_pass_end(iterator)
            raise
        self.on_batch(iterator, batch)
        return batch

    @_safely
    def on_batch(self, iterator, batch):
        run = self.run
        one_pass = run.open.get(id(iterator))
        if one_pass is None:
            return
        one_pass.batches += 1
        run.batch_number += 1
        run.current, run.batch = one_pass, batch
        self.tell("batch", one_pass, batch)

    @_safely
    def on_pass_end(self, iterator):
        one_pass = self.run.end_pass(id(iterator))
        if one_pass is not None:
            self.tell("pass_end", one_pass)
            if len(self.run.passes) <= 8 or len(self.run.passes) % 8 == 0:
                self.report(self)

    # Schedules, mixed precision, saved weights, dropout --------------------------------------

    def _scheduler_step(self, original, scheduler, *args, **kwargs):
        if self.in_schedule or sys._getframe(2).f_code.co_name == "_initial_step":
            return original(scheduler, *args, **kwargs)
        self.on_schedule(scheduler)
        self.in_schedule = True  # schedulers of schedulers step each other
        try:
            return original(scheduler, *args, **kwargs)
        finally:
            self.in_schedule = False

    @_safely
    def on_schedule(self, scheduler):
        self.run.tick()
        self.run.line("schedule")
        self.run.use(scheduler)
        if self.run.current is not None:
            self.run.current.schedules += 1
        self.tell("schedule", scheduler)

    @_safely
    def on_scale(self, scaler, *_):
        self.run.scale = float(scaler.get_scale()) if scaler.is_enabled() else 1.0
        self.tell("scaled", self.run.scale)

    @_safely
    def on_unscale(self, scaler, optimizer):
        self.tell("unscaled", scaler, optimizer)

    @_safely
    def on_scaler_step(self, scaler, *_):
        self.run.scaler_steps += 1

    def _state_dict(self, original, module, *args, **kwargs):
        self.depth_of_state += 1
        try:
            state = original(module, *args, **kwargs)
        finally:
            self.depth_of_state -= 1
        if self.depth_of_state == 0:
            self.on_state_taken(module, state)
        return state

    @_safely
    def on_state_taken(self, module, state):
        self.tell("state_taken", module, state)

    @_safely
    def on_saved(self, thing, *_):
        self.run.line("save")
        self.tell("saved", thing)

    @_safely
    def on_state_loaded(self, module, state, *_):
        self.run.line("load_state_dict")
        self.tell("state_loaded", module, state)

    def _dropout(self, original, *args, **kwargs):
        caller = sys._getframe(2)
        layer = caller.f_globals.get("__name__") == "torch.nn.modules.dropout"
        self.on_dropout(caller.f_locals.get("self") if layer else None, args, kwargs)
        self.in_dropout = True
        try:
            return original(*args, **kwargs)
        finally:
            self.in_dropout = False

    def _low_dropout(self, original, x, p, train):
        if not self.in_dropout:
            self.on_dropout(None, (x, p, train), {})
        return original(x, p, train)

    @_safely
    def on_dropout(self, layer, args, kwargs):
        if layer is not None and (
            self.depth == 0 or self.root.training or layer in self.root.modules()
        ):
            return
        p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
        if p > 0 and self.depth > 0:
            self.run.functional_dropout.add(self.root)
            explicit = len(args) > 2 or "training" in kwargs
            if kwargs.get("training", args[2] if len(args) > 2 else True):
                self.tell("dropout", self.root, explicit)

    @_safely
    def on_function(self, call, function, args, kwargs, result):
        self.tell("function", call, function, args, kwargs, result)


class _Functions(TorchFunctionMode):
    """Sees torch functions between a model's forward and the next event, for few batches only."""

    def __init__(self, watch):
        super().__init__()
        self.watch, self.call, self.inside = watch, None, False

    def enter(self, call):
        if not self.inside and self.stack() == []:
            self.call, self.inside = call, True
            self.__enter__()

    def leave(self):
        if self.inside:
            self.call = None
            stack = self.stack()
            if stack and stack[-1] is self:  # else the learner's own mode lies above: wait
                self.__exit__(None, None, None)
                self.inside = False

    def stack(self):
        """The modes that are on; None where PyTorch doesn't tell, then ours is never entered."""
        tell = getattr(overrides, "_get_current_function_mode_stack", None)
        return tell and tell()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if self.call is not None:
            self.watch.on_function(self.call, function, args, kwargs or {}, result)
        return result


_peek = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", lambda: None)


def _inside_torch_func():
    """Whether vmap or grad of torch.func is at work: then tensors have no values to look at."""
    return _peek() is not None


def _all_kinds(kind):
    yield kind
    for sub in kind.__subclasses__():
        yield from _all_kinds(sub)
