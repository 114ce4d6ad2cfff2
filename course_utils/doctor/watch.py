"""How the run is watched: what is put in PyTorch's way while the loop runs, and taken out again."""

import contextvars
import functools
import sys
import threading
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

from .detector import HEARD_ENOUGH
from .run import Call, Run, looked_at
from .where import in_sight

# A watcher must not break the loop that it watches, so its own errors are dropped. Tests set this
# to see them.
STRICT = False

_FUNCTIONS_AFTER = 2  # torch functions are watched after this many forwards of a model and mode
_FUNCTIONS = 1000  # of them after one forward: metrics come soon, other work may be long


class _Here(threading.local):
    busy = False  # whether a watcher is at work in this thread


_here = _Here()


def _safely(method):
    """Run a piece of the watcher; whatever goes wrong in it stays in it, and is reported."""

    @functools.wraps(method)
    def guarded(self, *args):
        if _here.busy:
            return  # what a watcher itself computes is no event
        _here.busy = True
        try:
            method(self, *args)
        except Exception as error:
            if STRICT:
                raise
            self.broken.setdefault(f"what needs {method.__name__}", error)
        finally:
            _here.busy = False

    return guarded


class _Listeners(dict):
    """Event -> (detector, method) of all that listen to it."""

    def __init__(self, detectors):
        self.detectors = detectors

    def __missing__(self, event):
        methods = [(detector, getattr(detector, event, None)) for detector in self.detectors]
        self[event] = [(detector, method) for detector, method in methods if method]
        return self[event]


class Watch:
    """What one doctor sees of the loop: tells `run` and the detectors."""

    def __init__(self, detectors, report):
        self.run = Run()
        # Called with the watch at the end of the passes 1, 2, 3, 4, 8, 16, …
        self.report = report
        self.broken = {}  # what failed -> its exception
        self.detectors = []
        for detector in detectors:
            try:
                self.run.recorders[detector] = detector(self.run)
            except Exception as error:
                self.keep_apart(detector, error)
            else:
                self.detectors.append(self.run.recorders[detector])
        self.unanswered = list(self.detectors)
        self.found = set()  # bugs
        self.listeners = _Listeners(self.detectors)
        self.depth = 0  # of modules calling modules
        self.root = None  # the outermost of them, while it runs
        self.depth_of_state = 0
        self.in_schedule = self.in_dropout = False
        self.mode = _Functions(self)
        self.looks = weakref.WeakKeyDictionary()  # model -> {kind of forward: times}
        self.looked_for = lambda: None, None  # a weak reference to the last model, and its own

    def keep_apart(self, detector, error):
        """A detector that failed is asked nothing more, and the report says that it failed."""
        if STRICT:
            raise error
        name = detector.bug or getattr(detector, "__name__", type(detector).__name__)
        self.broken[name] = error
        if detector in self.detectors:
            self.detectors.remove(detector)
            self.unanswered = [one for one in self.unanswered if one is not detector]
            self.listeners.clear()

    def tell(self, event, *facts):
        for detector, listener in self.listeners[event]:
            try:
                if listener(*facts) is HEARD_ENOUGH:
                    setattr(detector, event, None)
                    self.listeners.clear()
            except Exception as error:
                self.keep_apart(detector, error)

    def ask(self):
        """New findings. A detector that gave one is not asked again."""
        for detector in list(self.unanswered):
            if self.found.intersection(detector.hidden_by) or (
                detector.symptom_only and self.found
            ):
                continue
            try:
                finding = detector.judge(self.run)
            except Exception as error:
                self.keep_apart(detector, error)
                continue
            if finding is not None:
                self.unanswered.remove(detector)
                self.found.add(finding.bug)
                yield finding

    def start(self):
        _places.enter(self)

    def stop(self):
        """Go again; whether a watch that came later to the same thread or task is still there."""
        self.mode.leave()
        return _places.leave(self)

    # Modules ---------------------------------------------------------------------------------

    def module_call(self, original, module, *args, **kwargs):
        run = self.run
        if _here.busy or torch.compiler.is_compiling():
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
            if outermost:
                self.root = None
        is_model = outermost and run.is_model(module)
        if is_model or run.looking:
            self.on_call(module, args or tuple(kwargs.values()), output, is_model)
        return output

    @_safely
    def on_call(self, module, args, output, is_model):
        if _peek() is not None:  # vmap or grad of torch.func: its tensors have no values to look at
            return
        run = self.run
        call = Call(module, args, output, self.depth, run)
        if run.looking:
            self.tell("called", call)
        if is_model:
            run.ran(call)
            self.tell("forward", call)
            if call.one_pass is not None and call.one_pass.forwards == 1:
                self.tell("first_forward", call)
            if run.looking:
                self.tell("watched", call)
            if self.looks_at_functions(call):
                self.mode.enter(call)

    def looks_at_functions(self, call):
        """Whether torch functions are watched after this forward."""
        run, kind = self.run, (call.training, call.grad_enabled)
        wanted, run.watch_functions = run.watch_functions, False
        module, looks = self.looked_for
        if module() is not call.module:
            looks = self.looks.setdefault(call.module, {})
            self.looked_for = weakref.ref(call.module), looks
        looks[kind] = looks.get(kind, 0) + 1
        return wanted or looks[kind] <= _FUNCTIONS_AFTER

    # Gradients -------------------------------------------------------------------------------

    def engine(self, original, tensors, *args, **kwargs):
        if self.mode.inside:
            self.mode.leave()
        accumulates = kwargs.get("accumulate_grad", False)
        self.on_backward(tensors, accumulates)
        result = original(tensors, *args, **kwargs)
        if accumulates and self.run.optimized and self.listeners["gradients"]:
            self.on_gradients()
        return result

    @_safely
    def on_gradients(self):
        self.tell("gradients")

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
        run.lines["backward"]
        run.look_again()
        if run.backwards in (0, 2) and run.looking and not run.optimized:
            run.make(*in_sight(torch.optim.Optimizer))  # made before the doctor came
        backward = run.went_back(loss)
        self.tell("backward", backward)
        if run.not_finite:
            self.tell("not_finite", backward)
        if backward.graph is not None:
            self.tell("graph", backward)
        if not run.optimized:
            run.look()  # for what comes next: no step will do so

    def optimizer_init(self, original, optimizer, *args, **kwargs):
        original(optimizer, *args, **kwargs)
        self.run.make(optimizer)

    @_safely
    def on_cleared(self, owner, *_):
        self.run.now = self.run.last_clear = self.run.now + 1
        self.run.lines["zero_grad"]
        if isinstance(owner, torch.optim.Optimizer):
            self.run.optimizer(owner).clears += 1
            if not self.run.steps:  # later its steps keep it
                self.run.use(owner)
        self.tell("cleared", owner)

    @_safely
    def on_step(self, optimizer, args, kwargs):
        closure = args[1:] or kwargs.get("closure")
        self.tell("step", self.run.about_to_step(optimizer, bool(closure)))

    @_safely
    def on_stepped(self, optimizer, *_):
        self.run.lines["step"]
        self.run.has_stepped(optimizer)
        self.tell("stepped", optimizer)

    def group_tensors(self, original, lists, *args, **kwargs):
        if _caller().f_code.co_name == "clip_grad_value_":
            self.on_clip(lists[0])
        return original(lists, *args, **kwargs)

    @_safely
    def on_clip(self, grads, *_):
        self.run.lines["clip"]
        self.tell("clip", grads)

    # Data ------------------------------------------------------------------------------------

    def loader_iter(self, original, loader):
        caller = _caller().f_code
        iterator = original(loader)
        self.on_pass(loader, iterator, caller.co_name == "update_bn")
        return iterator

    @_safely
    def on_pass(self, loader, iterator, updates_batch_norm):
        self.run.start_pass(loader, iterator, updates_batch_norm)

    def loader_next(self, original, iterator):
        if self.mode.inside:
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
        if one_pass.batches == 1:
            self.tell("first_batch", one_pass, batch)
        self.tell("batch", one_pass, batch)

    @_safely
    def on_pass_end(self, iterator):
        one_pass = self.run.end_pass(id(iterator))
        if one_pass is not None:
            self.tell("pass_end", one_pass)
            if looked_at(len(self.run.passes)):
                self.report(self)

    # Schedules, mixed precision, saved weights, dropout --------------------------------------

    def scheduler_step(self, original, scheduler, *args, **kwargs):
        if self.in_schedule or _caller().f_code.co_name == "_initial_step":
            return original(scheduler, *args, **kwargs)
        self.on_schedule(scheduler, *args, *kwargs.values())
        self.in_schedule = True  # schedulers of schedulers step each other
        try:
            return original(scheduler, *args, **kwargs)
        finally:
            self.in_schedule = False

    @_safely
    def on_schedule(self, scheduler, value=None, *_):
        self.run.tick()
        self.run.lines["schedule"]
        self.run.use(scheduler)
        if self.run.current is not None:
            self.run.current.schedules += 1
        self.tell("schedule", scheduler, value)

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

    def state_dict(self, original, module, *args, **kwargs):
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
        self.run.lines["save"]
        self.tell("saved", thing)

    def load_state_dict(self, original, module, *args, **kwargs):
        state = args[0] if args else kwargs.get("state_dict")
        self.on_state_loads(module, state)
        keys = original(module, *args, **kwargs)
        self.on_state_loaded(module, state, keys)
        return keys

    @_safely
    def on_state_loads(self, module, state):
        self.run.lines["load_state_dict"]
        self.tell("state_loads", module, state)

    @_safely
    def on_state_loaded(self, module, state, keys):
        self.tell("state_loaded", module, state, keys)

    def dropout(self, original, *args, **kwargs):
        caller = _caller()
        layer = caller.f_globals.get("__name__") == "torch.nn.modules.dropout"
        self.on_dropout(caller.f_locals.get("self") if layer else None, args, kwargs)
        self.in_dropout = True
        try:
            return original(*args, **kwargs)
        finally:
            self.in_dropout = False

    def low_dropout(self, original, x, p, train):
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


def _caller():
    """The frame that called the function which a watch is put in front of."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _before(event):
    def wrapper(watch, original, *args, **kwargs):
        getattr(watch, event)(*args)
        return original(*args, **kwargs)

    return wrapper


class _Places:
    """The places in PyTorch where watches are told of what happens; shared by all of them.

    Something is put there when the first watch comes and taken out when the last one has gone, in
    whatever order they go. What happens is told to the watches of the thread or asyncio task where
    it happens, the innermost last; in a thread without one, to the only watch there is.
    """

    def __init__(self):
        self.lock = threading.RLock()
        self.watches = ()
        self.only = None  # the only watch, if there is one: the common case, quickly
        self.here = contextvars.ContextVar("watches", default=())
        self.undo = []
        self.patched = set()

    def enter(self, watch):
        with self.lock:
            self.watches += (watch,)
            self.only = watch if len(self.watches) == 1 else None
            self.here.set((*self.of_this_task(), watch))
            watch.mode.thread = threading.get_ident()
            self.put_in()

    def leave(self, watch):
        """Whether a watch that came later to the same thread or task is still there."""
        with self.lock:
            here = self.of_this_task()
            self.watches = tuple(other for other in self.watches if other is not watch)
            self.only = self.watches[0] if len(self.watches) == 1 else None
            self.here.set(self.of_this_task())
            if not self.watches:
                self.patched.clear()
                while self.undo:
                    self.undo.pop()()
        return watch in here[:-1]

    def of_this_task(self):
        """Its own watches; some that it inherited may have gone elsewhere."""
        return tuple(watch for watch in self.here.get() if watch in self.watches)

    def watching(self):
        """The watches that are told."""
        return self.watches if self.only else self.of_this_task()

    def put_in(self):
        self.wrap(nn.Module, "__call__", Watch.module_call, often=True)
        self.wrap(torch.autograd, "_engine_run_backward", Watch.engine)
        for owner in (torch.optim.Optimizer, nn.Module):
            self.wrap(owner, "zero_grad", _before("on_cleared"))
        self.wrap(DataLoader, "__iter__", Watch.loader_iter)
        iterator = getattr(dataloader, "_BaseDataLoaderIter", None)
        self.wrap(iterator, "__next__", Watch.loader_next)
        for scheduler in _all_kinds(LRScheduler):
            if "step" in vars(scheduler):
                self.wrap(scheduler, "step", Watch.scheduler_step)
        # Inside the clip functions, since "from … import clip_grad_norm_" escapes a patch of them.
        self.wrap(clip_grad, "_get_total_norm", _before("on_clip"))
        self.wrap(clip_grad, "_group_tensors_by_device_and_dtype", Watch.group_tensors)
        self.wrap(torch.amp.GradScaler, "scale", _before("on_scale"))
        self.wrap(torch.amp.GradScaler, "unscale_", _before("on_unscale"))
        self.wrap(torch.amp.GradScaler, "step", _before("on_scaler_step"))
        self.wrap(torch, "save", _before("on_saved"))
        self.wrap(nn.Module, "state_dict", Watch.state_dict)
        self.wrap(nn.Module, "load_state_dict", Watch.load_state_dict)
        for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"):
            self.wrap(F, name, Watch.dropout)
        # Under "from torch.nn.functional import dropout", which escapes a patch of the name.
        for owner in (getattr(torch, "_VF", None), torch):
            self.wrap(owner, "dropout", Watch.low_dropout)
        self.wrap(torch.optim.Optimizer, "__init__", Watch.optimizer_init)
        if "hooks" not in self.patched:
            self.patched.add("hooks")
            before = register_optimizer_step_pre_hook(self.before_step)
            after = register_optimizer_step_post_hook(self.after_step)
            self.undo += [before.remove, after.remove]

    def before_step(self, *facts):
        for watch in self.watching():
            if watch.run.looking:
                watch.on_step(*facts)

    def after_step(self, *facts):
        for watch in self.watching():
            watch.on_stepped(*facts)

    def wrap(self, owner, name, wrapper, often=False):
        """`often`: it is called for every layer, so that all but the model itself must come through
        quickly, unless they are looked at."""
        original = getattr(owner, name, None)
        if original is None:  # a private name that this PyTorch doesn't have: one signal less
            return
        if (owner, name) in self.patched:
            return
        self.patched.add((owner, name))

        # Some libraries keep the functions that they find while the loop runs (torch._dynamo does):
        # what they keep only hands on when no watch is there.
        @functools.wraps(original)
        def wrapped(*args, **kwargs):
            watch = self.only
            if watch is not None:
                if often and watch.depth and not watch.run.looking:
                    return original(*args, **kwargs)
                return wrapper(watch, original, *args, **kwargs)
            inner = original
            for watch in self.of_this_task():
                inner = functools.partial(wrapper, watch, inner)
            return inner(*args, **kwargs)

        if name in vars(owner):
            self.undo.append(functools.partial(setattr, owner, name, getattr(owner, name)))
        else:  # inherited
            self.undo.append(functools.partial(delattr, owner, name))
        setattr(owner, name, wrapped)


_places = _Places()


class _Functions(TorchFunctionMode):
    """Sees torch functions between a model's forward and the next event, for few batches only."""

    def __init__(self, watch):
        super().__init__()
        self.watch, self.call, self.inside = watch, None, False
        self.left = 0  # functions that are still watched after this forward
        self.thread = None  # the modes of PyTorch are those of a thread

    def enter(self, call):
        stack = self.stack()
        free = stack is not None and all(isinstance(mode, _Functions) for mode in stack)
        self.left = _FUNCTIONS
        if self.inside:
            self.call = call
        elif free and self.thread == threading.get_ident():
            self.call, self.inside = call, True
            self.__enter__()

    def leave(self):
        if self.inside:
            self.call = None
            stack = self.stack()
            # Another's mode may lie above: the learner's own, or one that is still at work. Then
            # this one is passive, and goes together with it.
            while stack and isinstance(stack[-1], _Functions) and stack[-1].call is None:
                stack[-1].inside = False
                stack.pop().__exit__(None, None, None)

    def stack(self):
        """The modes that are on; None where PyTorch doesn't tell, then ours is never entered."""
        tell = getattr(overrides, "_get_current_function_mode_stack", None)
        return tell and tell()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if self.call is not None and self.left and self.watch in _places.watching():
            self.left -= 1
            self.watch.on_function(self.call, function, args, kwargs or {}, result)
        return result


# What of torch.func is at work, None if nothing.
_peek = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", lambda: None)


def _all_kinds(kind):
    yield kind
    for sub in kind.__subclasses__():
        yield from _all_kinds(sub)
