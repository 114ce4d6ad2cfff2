"""What no gradient reaches: parts that run and are held, and terms of the loss without a graph."""

import sys
import weakref
from dataclasses import dataclass, field

import torch
from torch import nn

from .detector import Detector
from .findings import ERROR, WARNING
from .functions import LOSSES, name_of
from .graph import Graph, inputs, kind, leaves_below
from .run import held_by, looked_at, memory_of, sample, tensors_in
from .where import is_learners

_LOOKS = 3  # at steps; a part may be left out of one loss, or of two
_TIMES = 3  # seen, before it is called a bug


@dataclass
class _Empty:
    """Of one optimizer: its tensors that never had a gradient when it stepped."""

    tensors: list = field(default_factory=list)  # (weak reference, some values at the first step)
    looks: int = 0


class NeverReached(Detector):
    """The same bug by another sign: `.grad` is None whenever the optimizer steps."""

    bug, severity = "layers-cut-off", WARNING
    symptom = "this part keeps its first weights, and the rest learns around it"
    fix = (
        "use the output of this part in the loss, and take .detach(), .data, .item(), .numpy(), "
        "no_grad() and new tensors (torch.tensor(…), Variable(…)) out of its way there"
    )
    hidden_by = (
        "layers-cut-off", "optimizer-holds-other-params", "unregistered-layers", "loss-cut-off",
        "backward-never-called", "grads-cleared-before-step", "step-before-backward",
    )  # fmt: skip

    def __init__(self, run):
        super().__init__(run)
        self.empty = weakref.WeakKeyDictionary()
        self.ran = weakref.WeakKeyDictionary()  # layer -> times, in training mode
        self.seen = weakref.WeakSet()  # layers that ran in any mode
        self.latest = {}  # where an output of the last forward lies -> it (weak), ids of its leaves
        self.returned = set()  # ids of tensors on which one of several outputs depends
        self.used = set()  # those of outputs that the learner computed with

    def called(self, call):
        if call.module._parameters:
            self.seen.add(call.module)
            if call.training:
                self.ran[call.module] = self.ran.get(call.module, 0) + 1

    def watched(self, call):
        self.latest = {}
        if not (call.training and self.suspects()):
            return
        outs = [out for out in tensors_in(call.output) if out.grad_fn is not None]
        if len(outs) < 2:
            return  # all that was returned is used
        for out in outs:
            leaves = {id(leaf) for leaf in Graph(out).leaves}
            self.latest[memory_of(out)] = weakref.ref(out), leaves
            self.returned |= leaves

    def function(self, call, function, args, kwargs, result):
        for arg in tensors_in(args) if self.latest else ():
            out, leaves = self.latest.get(memory_of(arg), (None, ()))
            if out is not None and out() is not None:  # else another tensor lies there by now
                self.used.update(leaves)

    def stepped(self, optimizer):
        if not looked_at(self.run.own_steps):
            return
        known = self.empty.get(optimizer)
        if known is None:
            known = self.empty[optimizer] = _Empty(
                [(weakref.ref(p), sample(p)) for p in held_by(optimizer) if p.requires_grad]
            )
        known.looks += 1
        known.tensors = [
            (ref, values) for ref, values in known.tensors
            if ref() is not None and ref().grad is None
        ]  # fmt: skip

    def suspects(self):
        return any(known.tensors for known in self.empty.values())

    def judge(self, run):
        if not run.over or not run.backwards:
            return None  # a later phase may train them
        for optimizer, known in self.empty.items():
            never = [
                ref() for ref, values in known.tensors
                if ref() is not None and torch.equal(values, sample(ref()))
            ]  # fmt: skip
            if known.looks >= _LOOKS and never:
                found = self.whole(run, optimizer, never, known.looks)
                found = found or self.part(run, optimizer, never, known.looks)
                if found:
                    return found

    def whole(self, run, optimizer, never, looks):
        """All that an optimizer trains, in models that ran."""
        if len(never) < sum(p.requires_grad for p in held_by(optimizer)):
            return None
        ids = {id(p) for p in never}
        for model in run.known_models():
            if any(id(p) in ids for p in model.parameters()):
                return self.found(
                    f"none of the {len(never)} tensors that {type(optimizer).__name__} holds "
                    f"({sum(p.numel() for p in never)} weights of a {type(model).__name__} that "
                    f"runs) had a gradient in the {looks} of its steps that were looked at: its "
                    "output lost its graph on the way to the loss",
                    run.lines.get("backward"),
                    severity=ERROR,
                )

    def part(self, run, optimizer, never, looks):
        """A layer of a model that is trained otherwise."""
        ids = {id(p) for p in never}
        for model in run.known_models():
            owners = {"": model}
            for name, layer in model.named_modules():
                owners[name] = layer
                own = list(layer.parameters(False))
                if not own or not all(id(p) in ids for p in own) or self.rare(layer):
                    continue
                if id(own[0]) in self.returned - self.used:
                    continue  # handed to the learner, who has no use for it
                if not _is_learners_class(owners, name):
                    continue  # such as the pooler of a pretrained model
                said, fix = "ran, and", None
                if layer not in self.seen:
                    if self.one_of_several(owners, name):
                        continue
                    said, fix = "never ran, though", "use it in forward(), or take it out"
                return self.found(
                    f"{name or 'the model'} ({type(layer).__name__}, "
                    f"{sum(p.numel() for p in own)} weights) {said} {type(optimizer).__name__} "
                    f"holds it, and its gradient was None in all {looks} steps that were looked "
                    "at: the loss doesn't depend on it",
                    run.lines.get("backward"),
                    fix,
                )

    def rare(self, layer):
        return layer in self.seen and self.ran.get(layer, 0) < 2

    def one_of_several(self, owners, name):
        """Whether a layer is for choice, such as a head for one task: a neighbour of it ran."""
        while name:
            name = name.rpartition(".")[0]
            if isinstance(owners[name], nn.ModuleList | nn.ModuleDict):
                return any(layer in self.seen for layer in owners[name].modules())
        return False


def _is_learners_class(owners, name):
    """Whether the class that made the layer `name` is the learner's own, containers left out."""
    while name:
        name = name.rpartition(".")[0]
        owner = type(owners[name])
        if owner not in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
            file = getattr(sys.modules.get(owner.__module__), "__file__", None)
            return file is None or is_learners(file)
    return True


class UntrainedInFront(Detector):
    """The same bug by another sign: a network that nobody holds, in front of one that is trained,
    and whose output lost its graph between them."""

    bug, severity = "params-not-optimized", WARNING
    symptom = "this network keeps its random first weights"
    fix = (
        "train it too: no .detach() or .numpy() between, and its parameters in the optimizer; or "
        "say that it stays: network.requires_grad_(False).eval()"
    )

    def __init__(self, run):
        super().__init__(run)
        self.outputs = {}  # where an output lies -> its model, and the output, that it stays there
        self.first = weakref.WeakKeyDictionary()  # model -> its first weights' values
        self.times = weakref.WeakKeyDictionary()  # model -> times that another one got its output
        self.behind = weakref.WeakKeyDictionary()  # model -> the other one
        self.loaded = weakref.WeakSet()

    def called(self, call):
        if call.depth or not call.grad_enabled:
            return
        for x in tensors_in(call.args):
            front, _ = self.outputs.get(memory_of(x), (None, None))
            if front is not None and front is not call.module and not x.requires_grad:
                self.times[front] = self.times.get(front, 0) + 1
                self.behind[front] = weakref.ref(call.module)
        own = next(iter(call.module.parameters()), None)
        if call.training and call.has_graph and own is not None and len(self.outputs) < 8:
            if call.module not in self.first:
                self.first[call.module] = sample(own)
            self.outputs[memory_of(call.out)] = call.module, call.out.detach()

    def step(self, step):
        self.outputs = {}

    def state_loaded(self, module, state, keys):
        self.loaded.add(module)

    def judge(self, run):
        if not run.over:
            return None
        held = run.stepped_ids()
        for front, times in self.times.items():
            own, behind = list(front.parameters()), self.behind[front]()
            alone = not any(id(p) in held or p in run.reached for p in own)
            pretrained = any(module in self.loaded for module in front.modules())
            if times < _TIMES or behind is None or not alone or pretrained:
                continue
            trained = any(id(p) in held and p in run.reached for p in behind.parameters())
            free = all(p.requires_grad for p in own) and not set(own) & set(behind.parameters())
            if trained and free and torch.equal(sample(own[0]), self.first[front]):
                weights = sum(p.numel() for p in own)
                return self.found(
                    f"a {type(front).__name__} with {weights} weights ran in training mode in front "
                    f"of the {type(behind).__name__} that is trained; no optimizer holds them, and "
                    f"its output had no graph any more {times} times",
                    run.lines.get("step"),
                )


_SUMS = {"add", "__add__", "__radd__", "__iadd__", "add_", "sub", "__sub__", "__isub__", "rsub"}


_FLAT = "Round", "Floor", "Ceil", "Sign"


class TermCutOff(Detector):
    bug, severity = "loss-term-cut-off", WARNING
    symptom = (
        "the printed loss contains the term, but no weight learns from it, whatever its factor"
    )
    fix = (
        "compute the term from the model's output as it is: no .detach(), .data, .item(), "
        "argmax or threshold (p > 0.5) on the way; for hard decisions use the probabilities"
    )

    def __init__(self, run):
        super().__init__(run)
        self.without = {}  # id -> tensor computed from outputs or weights that has no graph
        self.sums = []  # (sum, value of the part without a graph)
        self.count = 0
        self.flat = {}  # name of a function in steps -> losses that went through it

    def watched(self, call):
        for out in tensors_in(call.output):
            if not out.requires_grad and len(self.without) < 200:
                self.without[id(out)] = out

    def function(self, call, function, args, kwargs, result):
        if not isinstance(result, torch.Tensor) or len(self.without) > 500:
            return
        name = name_of(function)
        given = [*tensors_in(args), *tensors_in(kwargs)]
        if result.requires_grad:
            if name in _SUMS and result.numel() == 1:
                self.sums += [
                    (result, term.item()) for term in given
                    if id(term) in self.without and term.numel() == 1 and term.is_floating_point()
                ]  # fmt: skip
        elif name in LOSSES or any(id(t) in self.without or t.requires_grad for t in given):
            self.without[id(result)] = result

    def graph(self, backward):
        nodes = backward.graph.arithmetic
        for result, value in self.sums:
            if value and result.grad_fn in nodes:
                self.count += 1
                if self.count >= 2:
                    self.said = (
                        f"a term of the loss (now {value:.4g} of {backward.value or 0:.4g}) has "
                        "no graph, so its gradient is 0 for every weight"
                    )
                    self.line = self.run.lines.get("backward")
                break
        for name in () if self.run.grad_calls else _FLAT:
            if name in backward.graph.nodes:
                self.flat[name] = self.flat.get(name, 0) + 1
                if self.flat[name] >= 2 and not self.said:
                    self.said = (
                        f"the loss goes through {name.lower()}(), in {self.flat[name]} backwards "
                        "that were looked at, and its gradient is 0 everywhere"
                    )
                    self.line = self.run.lines.get("backward")
        self.without, self.sums = {}, []


class TermForOthers(Detector):
    bug, severity = "term-trains-another-model", WARNING
    symptom = (
        "the term's gradients go to weights that this step doesn't change, and are thrown away"
    )
    fix = "hand this step's own output to the other model without .detach(): d_out = D(fake)"

    def __init__(self, run):
        super().__init__(run)
        self.terms = []  # of the last loss: ids of the leaves of each term
        self.waiting = None  # the other optimizer, while it may still step
        self.times = weakref.WeakKeyDictionary()  # optimizer that stepped -> times

    def backward(self, backward):
        if self.waiting is not None:
            optimizer, self.waiting = self.waiting[0](), None
            if optimizer is not None:
                self.times[optimizer] = self.times.get(optimizer, 0) + 1
        self.terms = []

    def graph(self, backward):
        if len(self.run.optimizers) > 1 and self.run.steps:
            parts = _terms(backward.loss.grad_fn)
            if 2 <= len(parts) <= 8:
                self.terms = [leaves_below(part) for part in parts]

    def step(self, step):
        terms, self.terms = self.terms, []
        if not terms or step.closure:
            return
        held = {id(p) for p in step.held}
        mine = [ids for ids in terms if ids & held]
        for other in self.run.stepped_optimizers():
            theirs = {id(p) for p in held_by(other)}
            if other is step.optimizer or theirs & held:
                continue
            lost = [ids for ids in terms if ids and ids <= theirs]
            if mine and lost and not any(ids & theirs for ids in mine):
                self.waiting = weakref.ref(step.optimizer), weakref.ref(other)

    def stepped(self, optimizer):
        if self.waiting is not None and self.waiting[1]() is optimizer:
            self.waiting = None

    def judge(self, run):
        for optimizer, times in self.times.items():
            if times >= _TIMES:
                return self.found(
                    f"before {times} steps of {type(optimizer).__name__} that were looked at, one "
                    "term of the loss depended on none of the weights that it holds, but only on "
                    "those of another optimizer, which did not step",
                    run.lines.get("backward"),
                )


def _terms(node):
    """The nodes whose results are added up to the loss, constant factors left out."""
    found, waiting = [], [node]
    while waiting and len(found) < 9:
        node = waiting.pop()
        if node is None:
            continue
        below = inputs(node)
        if kind(node) in ("Add", "Sub", "Rsub") or (
            kind(node) in ("Mul", "Div", "Neg") and len(below) == 1
        ):
            waiting += below
        else:
            found.append(node)
    return found
