"""What is known about the watched run, in the order in which things happened."""

import math
import weakref
from collections import deque
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler
from torch.utils.weak import WeakTensorKeyDictionary

from .graph import Graph
from .where import learner_line

_CHANGE_WITH_MODE = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
)  # fmt: skip
_IN_A_ROW = 16  # backwards are looked at until the step of an optimizer comes
_RECENT = 64  # backwards are remembered; a step may use the gradients of fewer
_MODELS = 64  # that are each looked at closely when they run for the first time
_IN_USE = 16  # models, optimizers and schedulers that are kept alive at most
_PASSES_UNUSED = 3  # and so long


def _has_modes(layer):
    if isinstance(layer, nn.RNNBase):
        return layer.dropout > 0
    return isinstance(layer, _CHANGE_WITH_MODE) and getattr(layer, "p", 1) > 0


def _has_weights(module):
    """Whether it has parameters. A class of the learner's may list them in its own way."""
    try:
        return next(iter(module.parameters()), None) is not None
    except Exception:
        return False


def looked_at(n):
    """Whether the n-th step or pass is looked at closely: 1, 2, 3, 4, 8, 16, … costs little."""
    return n <= 4 or n & (n - 1) == 0


def tensors_in(value):
    """The tensors in a batch, or in a layer's arguments or output."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)


def first_tensor(value):
    """The first of them, or None."""
    return next(tensors_in(value), None)


def memory_of(tensor):
    """Where the tensor's numbers lie, the same for all its views; 0 if it has no storage of its own."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, or wrapped by torch.func
        return 0


def only_value(tensor):
    """The one number that all entries of a tensor are, or None."""
    low, high = (bound.item() for bound in tensor.detach().aminmax())
    return low if low == high else None


def held_by(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class Call:
    """A module that ran. `call` objects live only as long as their event."""

    __slots__ = (
        "args", "batch_number", "depth", "grad_enabled", "has_graph", "module", "one_pass", "out",
        "output", "training", "x",
    )  # fmt: skip

    def __init__(self, module, args, output, depth, run):
        self.module, self.args, self.output = module, args, output
        self.depth = depth  # 0: called by the learner, not by another module
        self.training, self.grad_enabled = module.training, torch.is_grad_enabled()
        self.one_pass, self.batch_number = run.current, run.batch_number
        # The first tensor among the arguments and in the output; the common case, quickly
        x, out = args[0] if args else None, output
        self.x = x if isinstance(x, torch.Tensor) else first_tensor(args)
        self.out = out if isinstance(out, torch.Tensor) else first_tensor(out)
        # Whether the output can go backward
        self.has_graph = self.grad_enabled and self.out is not None and self.out.requires_grad


@dataclass
class Ran:
    """What a pass remembers of the forwards of one model in one mode."""

    module: weakref.ref
    training: bool
    active: list  # names of Dropout and BatchNorm layers in training mode, at the first forward
    grad_enabled: bool
    where: str
    forwards: int = 0
    batches: int = 0
    last_batch: int = 0


@dataclass
class Pass:
    """One time through a DataLoader."""

    loader: weakref.ref
    number: int  # of this loader, from 1
    held: object = None  # the loader, as long as the pass lasts
    shuffled: bool = False  # whether the rows are known to come in random order
    updates_batch_norm: bool = False
    steps_before: int = 0  # optimizer steps before it began
    batches: int = 0
    forwards: int = 0
    backwards: int = 0
    grad_calls: int = 0  # of autograd.grad
    steps: int = 0
    schedules: int = 0
    losses: list = field(default_factory=list)
    ran: dict = field(default_factory=dict)
    over: bool = False

    @property
    def trains(self):
        return self.backwards > 0 or self.steps > 0

    @property
    def evaluates(self):
        return self.forwards > 0 and not (self.backwards or self.steps or self.grad_calls)


def _shuffles(loader):
    sampler = getattr(loader, "sampler", None)
    known = isinstance(sampler, RandomSampler | SubsetRandomSampler | WeightedRandomSampler)
    return known or bool(getattr(sampler, "shuffle", False))


@dataclass
class OptimizerRecord:
    steps: int = 0
    last_step: int = 0  # times are counted in events, see Run.now
    clears: int = 0
    where: str = ""


@dataclass(slots=True)
class Backward:
    loss: torch.Tensor
    value: float | None  # the loss as a number, where reading it costs nothing
    graph: Graph | None  # at steps that are looked at closely
    now: int
    one_pass: Pass | None
    batch: int  # the loader's, by its number; without a loader minus the number of forwards


@dataclass
class Step:
    """An optimizer about to step. The rest is known only if `complete`: all backwards since this
    optimizer's last step were looked at, and there was one."""

    optimizer: torch.optim.Optimizer
    record: OptimizerRecord
    held: list
    complete: bool
    reached: set  # ids of the tensors that those backwards led to
    pending: bool  # a model ran since the last backward, and its loss is still to come
    closure: bool

    def without_gradient(self):
        """Whether no held tensor has a gradient other than zero."""
        grads = [p.grad for p in self.held if p.grad is not None]
        return not any(_nonzero(grad) for grad in grads)


def _nonzero(grad):
    return bool((grad._values() if grad.is_sparse else grad).any())


class _Lines(dict):
    """What happened -> the learner's line that did it first. To ask for `lines[what]` while it
    happens is to note it; `get` only looks."""

    def __missing__(self, what):
        self[what] = learner_line()
        return self[what]


class Run:
    """The facts that several detectors need; `Watch` fills them in. What a detector with
    `records = True` remembers for others is its own, and asked of `recorder(its class)`."""

    def __init__(self):
        self.recorders = {}  # class -> the detector of that class
        self.over = False
        # Models, optimizers and tensors, none of which is kept alive by being known
        self.models = weakref.WeakKeyDictionary()  # module that the learner called -> has weights
        self.functional_dropout = weakref.WeakSet()  # models that call F.dropout themselves
        self.optimizers = weakref.WeakKeyDictionary()  # optimizer that was used -> its record
        self.optimized = self.several = False  # whether there is an optimizer, and more than one
        self.reached = WeakTensorKeyDictionary()  # leaf of a loss -> some of its values back then
        # Kept alive for the questions at the end
        self.made = deque(maxlen=8)  # optimizers: did they ever step?
        self.loose = deque(maxlen=32)  # parameters of no model that ran
        self._in_use = {}  # id -> (object, number of passes when it was last used)
        # Data
        self.passes, self.open = [], {}
        self.numbers = weakref.WeakKeyDictionary()  # loader -> passes over it
        self.trained_on = weakref.WeakSet()  # loaders with a pass that is over and trained
        self.current = self.batch = None  # the pass and the batch that are being worked on
        self.batch_number = self.batch_of_backward = 0
        # Counted so far
        self.forwards = self.backwards = self.grad_calls = self.steps = self.scaler_steps = 0
        self._backwards_at_step = 0  # at the last one
        self.own_steps = 0  # of the optimizer that made it
        self.losses = []  # of each backward; NaN where reading it would cost too much
        self.not_finite = 0  # the number of the first of the losses in a row that are not finite
        # When it happened, in events
        self.now = self.last_forward = self.last_backward = self.last_step = self.last_clear = 0
        self.recent = deque(maxlen=_RECENT)  # (time, ids of leaves, None if not looked at)
        self.scale = 1.0  # by which a GradScaler multiplied the loss of the next backward
        self.lines = _Lines()
        # What is looked at closely
        self.looking = self.due = True  # due: by the number of steps and backwards alone
        self.must_look = False  # asked for by a detector: a backward may show what a graph was for
        self.watch_functions = False  # asked for by a detector: torch functions after this forward
        self._steps_at_new = 0  # when the last new model ran for the first time
        # Weak references: model, its input and output, of the last forward that can go backward
        self.latest = None, None, None
        # The common cases, quickly; weak references
        self._model = lambda: None  # the last one that ran
        self._latest = lambda: None, None  # the optimizer that was asked for last, and its record
        self._stepped = lambda: None  # the one that stepped last

    # What happened ---------------------------------------------------------------------------

    def tick(self):
        self.now += 1
        return self.now

    def use(self, thing):
        """Keep a model, optimizer or scheduler for the questions at the end, while it is in use.

        A loop inside a function is gone with everything in it before the doctor can ask.
        """
        self._in_use[id(thing)] = thing, len(self.passes)
        if len(self._in_use) > _IN_USE:
            self._forget_unused()

    def _forget_unused(self):
        now = len(self.passes)
        recent = [(key, use) for key, use in self._in_use.items() if now - use[1] <= _PASSES_UNUSED]
        self._in_use = dict(recent[-_IN_USE:])
        self._model = self._stepped = lambda: None  # used anew when they come again

    def look(self):
        """Decide whether what comes until the next step is looked at closely."""
        waiting = self.backwards - self._backwards_at_step
        self.due = looked_at(self.steps + 1 - self._steps_at_new) and (
            looked_at(waiting + 1) or (waiting < _IN_A_ROW and self.optimized)
        )
        self.looking = self.due or self.must_look

    def look_again(self):
        """The same before a backward: steps are counted already, backwards that add up are not."""
        if self.optimized and self.backwards > self._backwards_at_step:
            self.look()
        else:
            self.looking = self.due or self.must_look

    @property
    def backwards_since_step(self):
        return self.backwards - self._backwards_at_step

    def make(self, *optimizers):
        """Note optimizers that may step."""
        self.made.extend(optimizers)
        self.optimized |= bool(optimizers)

    def optimizer(self, optimizer):
        known, record = self._latest
        if known() is not optimizer:
            record = self.optimizers.setdefault(optimizer, OptimizerRecord())
            self._latest = weakref.ref(optimizer), record
            self.optimized, self.several = True, len(self.optimizers) > 1
        return record

    def steps_of(self, optimizer):
        """The steps of an optimizer, or, of one that only hands on to another, of that one: they
        have the same parameter groups."""
        if steps := self.optimizer(optimizer).steps:
            return steps
        groups = {id(group) for group in optimizer.param_groups}
        shared = [
            self.optimizers[other].steps for other in self.stepped_optimizers()
            if any(id(group) in groups for group in other.param_groups)
        ]  # fmt: skip
        return max(shared, default=0)

    def is_model(self, module):
        if module is self._model():  # the common case, quickly
            return True
        known = self.models.get(module)
        if known is None:
            known = self.models[module] = _has_weights(module)
            if known and len(self.models) < _MODELS:
                self._steps_at_new = self.steps
                self.look()
        if known:
            self._model = weakref.ref(module)
            self.use(module)
        return known

    def start_pass(self, loader, iterator, updates_batch_norm):
        for earlier in [key for key, p in self.open.items() if p.loader() in (loader, None)]:
            self.end_pass(earlier)
        number = self.numbers[loader] = 1 + self.numbers.get(loader, 0)
        one_pass = Pass(
            weakref.ref(loader), number, loader, _shuffles(loader), updates_batch_norm, self.steps
        )
        self.passes.append(one_pass)
        self.open[id(iterator)] = one_pass
        self._forget_unused()
        return one_pass

    def end_pass(self, key):
        one_pass = self.open.pop(key, None)
        if one_pass is not None:
            if one_pass.trains and one_pass.held is not None:
                self.trained_on.add(one_pass.held)
            one_pass.over, one_pass.held = True, None
            if self.current is one_pass:
                self.current, self.batch = None, None
        return one_pass

    def ran(self, call):
        """Count a model's forward for its pass."""
        self.forwards += 1
        if call.grad_enabled:
            self.now = self.last_forward = self.now + 1
        if call.has_graph:
            x = call.x if call.x is None else weakref.ref(call.x)
            self.latest = weakref.ref(call.module), x, weakref.ref(call.out)
        one_pass = call.one_pass
        if one_pass is None:
            return
        one_pass.forwards += 1
        key = id(call.module), call.training, call.grad_enabled
        ran = one_pass.ran.get(key)
        if ran is None:
            ran = one_pass.ran[key] = Ran(
                weakref.ref(call.module), call.training, self.active_layers(call.module),
                call.grad_enabled, learner_line(),
            )  # fmt: skip
        ran.forwards += 1
        if call.batch_number != ran.last_batch:
            ran.last_batch = call.batch_number
            ran.batches += 1

    def went_back(self, loss):
        """The facts about a backward that is about to happen."""
        self.backwards += 1
        now = self.now = self.last_backward = self.now + 1
        self.batch_of_backward = self.batch_number
        value = None
        if loss.numel() == 1 and (loss.is_cpu or self.looking):
            value = loss.item() / self.scale
            if math.isfinite(value):
                self.not_finite = 0
            elif not self.not_finite:
                self.not_finite = self.backwards
        self.scale = 1.0
        graph = Graph(loss) if self.looking else None
        ids = None
        if graph is not None:
            ids = {id(leaf) for leaf in graph.leaves}
            fresh = [leaf for leaf in graph.leaves if leaf not in self.reached]
            for leaf in fresh:
                self.reached[leaf] = sample(leaf)
            if fresh:
                in_models = {id(p) for model in self.known_models() for p in model.parameters()}
                self.loose.extend(
                    leaf for leaf in fresh
                    if isinstance(leaf, nn.Parameter) and id(leaf) not in in_models
                )  # fmt: skip
        self.recent.append((now, ids))
        self.losses.append(math.nan if value is None else value)
        if self.current is not None:
            self.current.backwards += 1
            self.current.losses.append(self.losses[-1])
        batch = self.batch_number if self.current is not None else -self.forwards
        return Backward(loss, value, graph, now, self.current, batch)

    def about_to_step(self, optimizer, closure):
        record = self.optimizer(optimizer)
        since = [ids for time, ids in self.recent if time > record.last_step]
        complete = bool(since) and None not in since and len(since) < _RECENT
        pending = self.last_forward > max(self.last_backward, record.last_step)
        reached = set().union(*since) if complete else set()
        if not record.where:
            record.where = learner_line()
        return Step(optimizer, record, held_by(optimizer), complete, reached, pending, closure)

    def has_stepped(self, optimizer):
        record = self.optimizer(optimizer)
        record.steps += 1
        self.steps += 1
        self.own_steps = record.steps
        if optimizer is not self._stepped():
            self._stepped = weakref.ref(optimizer)
            self.use(optimizer)
        self.now = self.last_step = record.last_step = self.now + 1
        self._backwards_at_step = self.backwards
        if self.current is not None:
            self.current.steps += 1
        self.look()

    # Questions that detectors ask ------------------------------------------------------------

    def recorder(self, kind):
        """The detector of that class, which remembers what others need."""
        return self.recorders[kind]

    def layers_with_modes(self, module):
        """Names of the module's layers that act otherwise in training than in evaluation mode."""
        names = [type(layer).__name__ for layer in module.modules() if _has_modes(layer)]
        return names + ["dropout"] * (module in self.functional_dropout)

    def active_layers(self, module):
        """Those of them that are in training mode."""
        layers = (layer for layer in module.modules() if layer.training)
        names = [type(layer).__name__ for layer in layers if _has_modes(layer)]
        return names + ["dropout"] * (module.training and module in self.functional_dropout)

    def stepped_optimizers(self):
        return [optimizer for optimizer, record in self.optimizers.items() if record.steps]

    def stepped_ids(self):
        """The ids of all tensors held by optimizers that stepped."""
        return {id(p) for optimizer in self.stepped_optimizers() for p in held_by(optimizer)}

    def known_models(self):
        return [module for module, has_weights in list(self.models.items()) if has_weights]

    def name_of(self, tensor):
        """The parameter's name in a model that ran, or its shape."""
        for model in self.known_models():
            for name, parameter in model.named_parameters():
                if parameter is tensor:
                    return name
        return f"a tensor {list(tensor.shape)}"

    def unchanged(self, leaf):
        """Whether a leaf still has the values with which it was first reached."""
        return torch.equal(self.reached[leaf], sample(leaf))


def sample(tensor):
    """A few values, to see later whether they changed."""
    flat = tensor.detach().reshape(-1)
    return torch.cat([flat[:4], flat[-4:]]).clone()
