"""Training and evaluation mode, and graphs that are built or kept for nothing."""

import gc
import weakref
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from .detector import Detector
from .findings import ERROR, WARNING
from .functions import compares, name_of
from .run import sample, tensors_in
from .sources import WholeTensors
from .where import learner_line

_VISITS = 5000  # that are remembered at most
_KEPT = 3  # graphs of old batches may be in use still
_ALL = 32  # graphs are followed, and of later ones every fourth
_MARKS = 4  # of a visit: after so many graphs it is known what becomes of them
_STEPS_IN_A_ROUND = 4  # of several optimizers, between a forward and its backward
_FORWARDS = 1000  # of a visit that are remembered
_SHARE_IN_EVALUATION = 0.1  # of the steps; a single one may be a test
_OLD = 4  # backwards: a younger graph may still be held by the loop's own variables
_GRAPHS_COMPARED = 5  # at least, before one can say that they grow
_IN_VAIN = 32  # forwards of a model were followed, and no backward came: the rest is not
_ALONE = 8  # forwards between two steps are looked at: parts of one evaluation
_REPLACED = 2  # times that one tensor took the place of another are no chance


@dataclass
class _Visit:
    """Forwards of one model on one tensor that stays in memory, such as the validation data."""

    tensor: weakref.ref
    model: weakref.ref
    steps: list = field(default_factory=list)  # the number of optimizer steps before each forward
    active: list = field(default_factory=list)  # layers in training mode, at each forward
    graphs: int = 0
    trained: bool = False  # a backward followed
    scored: bool = False  # outputs were compared with something
    where: str = ""


class Visits(Detector):
    """Remembers whole tensors handed to models, outside any DataLoader, again and again."""

    records = True
    latest = None, None  # the last call that may be an evaluation in training mode, and its visit

    def __init__(self, run):
        super().__init__(run)
        self.once = {}  # tensors that a model was trained on once, and the steps before
        self.visits = {}  # those that models saw again and again
        self.on_data = weakref.WeakSet()  # models that got the batches of a loader
        self.latest_model = lambda: None  # a weak reference to the last of them
        self.marked = {}  # id -> visit whose graph bears its mark, and the time of it
        self.alone = 0, 0  # forwards without a graph on new tensors, since so many steps
        self.in_vain = weakref.WeakKeyDictionary()  # model -> marks that no backward came to

    def forward(self, call):
        x, run = call.x, self.run
        if x is None or x.layout is not torch.strided:
            return
        batch = run.batch
        if isinstance(batch, list | tuple) and batch and x is batch[0]:  # the common case, quickly
            if call.module is not self.latest_model():
                self.latest_model = weakref.ref(call.module)
                self.on_data.add(call.module)
            return
        base = x if x._base is None else x._base
        if call.one_pass is not None and any(base is t for t in tensors_in(run.batch)):
            self.on_data.add(call.module)
            return  # fresh for each batch
        key = id(call.module), id(base), x.storage_offset(), x.shape
        visit = self.visits.get(key)
        if visit is None or visit.tensor() is not base:
            visit = self.begun(key, base, call)
            if visit is None:
                return  # the common case, quickly: a new batch
        if len(visit.steps) < _FORWARDS:
            visit.steps.append(run.steps)
        again = 2 <= len(visit.steps) <= 3 and not _as_long_as_a_batch(run, call)
        unknown = not visit.trained and visit.graphs < _MARKS
        sought = unknown and (again or not call.training)
        if call.has_graph and (
            (run.due and (visit.graphs < _MARKS or not visit.trained))
            or (sought and self.in_vain.get(call.module, 0) < _IN_VAIN)
        ):
            self.mark(visit, call)
        elif not call.has_graph and call.training and len(visit.active) < _FORWARDS:
            visit.active.append(run.active_layers(call.module))
        alone = not call.has_graph and len(visit.steps) == 1
        if alone:
            number, steps = self.alone
            self.alone = number + 1 if steps == run.steps else 1, run.steps
            alone = self.alone[0] <= _ALONE
        if call.training and not visit.trained and (again or alone):
            self.latest = call, visit
            run.watch_functions = True
        if not visit.where and (len(visit.steps) > 1 if call.has_graph else call.training):
            visit.where = learner_line()

    def begun(self, key, base, call):
        """A new visit; None for a tensor that a model is trained on, as far as is known, once."""
        run = self.run
        tensor, steps = self.once.pop(key, (None, None))
        again = tensor is not None and tensor() is base
        if call.has_graph and call.training and not again and not run.due:
            if len(self.once) > _VISITS:
                self.once.clear()
            self.once[key] = weakref.ref(base), run.steps
            return None
        if len(self.visits) > _VISITS:
            self.visits.clear()
        visit = self.visits[key] = _Visit(weakref.ref(base), weakref.ref(call.module))
        visit.steps += [steps] * again
        return visit

    def mark(self, visit, call):
        """Leave a mark in the graph of this forward: does a backward come to it?"""
        run = self.run
        visit.graphs += 1
        run.must_look = True
        self.marked[id(visit)] = visit, _time(run)
        if call.training and len(visit.active) < 8:
            visit.active.append(run.active_layers(call.module))
        for out in tensors_in(call.output):
            if out.grad_fn is not None:
                out.grad_fn.metadata["visit"] = visit

    def function(self, call, function, args, kwargs, result):
        latest, visit = self.latest
        if call is latest:
            visit.scored |= compares(function, args)

    def backward(self, backward):
        self.latest = None, None

    def graph(self, backward):
        if self.run.must_look:
            for node in (node for nodes in backward.graph.nodes.values() for node in nodes):
                visit = node.metadata.get("visit")
                if visit is not None:
                    visit.trained = True
            marked, self.marked = self.marked, {}
            for key, (visit, time) in marked.items():
                model = visit.model()
                # Several losses may go backward one after the other, before or between steps.
                if not visit.trained and _time(self.run) - time < _STEPS_IN_A_ROUND:
                    self.marked[key] = visit, time
                elif not visit.trained and model is not None:
                    self.in_vain[model] = 1 + self.in_vain.get(model, 0)
            self.run.must_look = bool(self.marked)


class OutputsUnused(Detector):
    """Remembers passes whose outputs go nowhere, such as those that refresh BatchNorm."""

    records = True

    def __init__(self, run):
        super().__init__(run)
        self.passes = set()  # their ids

    def first_forward(self, call):
        self.passes.add(id(call.one_pass))
        # Without no_grad() and eval() it looks like training, whose functions were seen already.
        if call.one_pass.held not in self.run.trained_on:
            self.run.watch_functions = True

    def function(self, call, function, args, kwargs, result):
        if name_of(function) not in ("__get__", "dim", "size"):
            self.passes.discard(id(call.one_pass))


def _time(run):
    """In steps, or in backwards where no optimizer steps."""
    return run.steps or run.backwards


def _as_long_as_a_batch(run, call):
    known = run.recorder(WholeTensors).trained.get(call.module)
    return known is not None and len(call.x) == known.length


class TrainingInEvalMode(Detector):
    bug, severity = "training-in-eval-mode", ERROR
    symptom = (
        "dropout drops nothing and BatchNorm's statistics stand still: the training loss falls "
        "as without them, while the validation loss may rise earlier"
    )
    fix = "model.train() at the start of every epoch, after the evaluation's model.eval()"

    def __init__(self, run):
        super().__init__(run)
        self.training = 0  # steps after a forward in training mode
        self.evaluating = weakref.WeakKeyDictionary()  # model -> steps in evaluation mode
        self.layers = weakref.WeakKeyDictionary()
        self.asleep = weakref.WeakKeyDictionary()  # model -> whether all were, in its forward
        self.last = self.ready = None  # the model of the last forward, and of the last backward

    def forward(self, call):
        if call.has_graph:
            self.last = None if call.training else weakref.ref(call.module)
            if self.last is not None and call.module not in self.layers:
                self.asleep[call.module] = not self.run.active_layers(call.module)

    def backward(self, backward):
        self.ready = self.last

    def stepped(self, optimizer):
        model = None if self.ready is None else self.ready()
        if model is None:
            self.training += 1
            return
        self.evaluating[model] = self.evaluating.get(model, 0) + 1
        if model not in self.layers:
            run = self.run
            trained = run.stepped_ids()
            whole = all(p.requires_grad and id(p) in trained for p in model.parameters())
            asleep = self.asleep.get(model, False)
            self.layers[model] = run.layers_with_modes(model) if asleep and whole else []

    def judge(self, run):
        for model, evaluating in self.evaluating.items():
            layers = self.layers.get(model)
            if (
                layers
                and evaluating >= 2
                and evaluating >= _SHARE_IN_EVALUATION * (self.training + evaluating)
            ):
                since = (
                    f"after {self.training} in training mode" if self.training
                    else "from the first on"
                )  # fmt: skip
                return self.found(
                    f"{evaluating} steps were made in evaluation mode, {since}; the model has "
                    f"{_in_words(layers)}",
                    run.lines.get("step"),
                )


def _in_words(names):
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def _evaluations(run):
    """(pass, what ran in it) of the latest finished evaluations of models that train."""
    trained = run.stepped_ids()
    for one_pass in run.passes[-16:]:
        if one_pass.evaluates and one_pass.over and not one_pass.updates_batch_norm:
            for ran in one_pass.ran.values():
                model = ran.module()
                if model is not None and _is_trained(model, trained):
                    yield one_pass, ran


class EvalInTrainMode(Detector):
    bug, severity = "eval-in-train-mode", ERROR
    symptom = "validation numbers are noisy or too bad; with BatchNorm, validation data leaks in"
    fix = "model.eval() (with parentheses) before the evaluation, model.train() after it"

    def judge(self, run):
        unused = run.recorder(OutputsUnused).passes
        for one_pass, ran in _evaluations(run):
            if (
                ran.training and ran.active and one_pass.steps_before
                and ran.forwards == ran.batches  # MC dropout runs each batch several times
                and not (id(one_pass) in unused and ran.forwards > 1)
            ):  # fmt: skip
                return self.found(
                    f"{ran.forwards} batches were evaluated while {_in_words(ran.active)} "
                    f"{'was' if len(ran.active) == 1 else 'were'} in training mode",
                    ran.where,
                )
        trained = run.stepped_ids()
        visits = run.recorder(Visits).visits.values()
        on_data = {
            *run.recorder(Visits).on_data,
            *(visit.model() for visit in visits if visit.trained and visit.graphs >= 2),
        }
        for visit in visits:
            model = visit.model()
            if model is None or visit.trained or not _is_trained(model, trained):
                continue
            if visit.graphs and (run.grad_calls or not run.over):
                continue  # a backward may follow
            from_data = model in on_data
            # Else it may refresh BatchNorm's statistics, or draw a GAN's samples.
            if (visit.graphs or not from_data) and not visit.scored:
                continue
            active = [names for names in visit.active if names]
            apart = len(set(visit.steps)) == len(visit.steps)
            after = run.over and visit.steps[0] == run.steps and len(visit.steps) == 1
            if active and apart and (len(visit.steps) >= 2 or after) and visit.steps[-1] > 0:
                return self.found(
                    f"{len(active)} forwards without a backward ran while "
                    f"{_in_words(active[0])} "
                    f"{'was' if len(active[0]) == 1 else 'were'} in training mode",
                    visit.where,
                )


def _is_trained(model, trained):
    return any(id(p) in trained for p in model.parameters())


class DropoutAlwaysOn(Detector):
    bug, severity = "dropout-always-on", ERROR
    symptom = "predictions differ from call to call, in evaluation mode too"
    fix = "F.dropout(x, p, training=self.training), or an nn.Dropout layer"

    def __init__(self, run):
        super().__init__(run)
        self.calls = self.in_eval = 0
        self.meant = False
        self.sampled = False  # whether a model saw one input several times in a row: MC dropout
        self.last = None  # batch and model of the last forward, and some values of its input

    def dropout(self, model, explicit):
        self.calls += 1
        self.line = self.line or learner_line()
        self.in_eval += not model.training
        self.meant |= explicit

    def forward(self, call):
        if call.training or call.x is None or self.sampled or not self.calls:
            return
        if call.x.layout is torch.strided:
            values = sample(call.x).tolist()
            now = self.run.steps, call.batch_number, id(call.module), call.x.shape, values
            self.sampled = self.last == now
            self.last = now

    def judge(self, run):
        if not self.in_eval or (self.meant and (self.sampled or not run.over)):
            return None
        how = "with training=True" if self.meant else "without training="
        return self.found(
            f"F.dropout {how} ran {self.calls} times, {self.in_eval} of them while the model was "
            "in evaluation mode: it drops units there too",
            self.line,
            severity=WARNING if self.meant else ERROR,
        )


class EvalBuildsGraph(Detector):
    bug, severity = "eval-builds-graph", WARNING
    hidden_by = "loss-cut-off", "layers-cut-off"  # a backward was meant to follow
    symptom = "evaluation takes more memory and time than it needs"
    fix = "with torch.no_grad(): around the evaluation"

    def judge(self, run):
        for _, ran in _evaluations(run):
            if ran.grad_enabled:
                return self.found(
                    f"{ran.forwards} forward{'s' * (ran.forwards > 1)} of an evaluation recorded a "
                    "graph that backward never used",
                    ran.where,
                )
        trained = run.stepped_ids()
        if not run.over or run.grad_calls:
            return None
        visits = run.recorder(Visits).visits.values()
        changing = {}  # model -> whether its tensors come and go
        for visit in visits:
            model = visit.model()
            if model is None or visit.trained or not _is_trained(model, trained):
                continue
            if visit.graphs < 2 or len(set(visit.steps)) < len(visit.steps):
                continue
            if model not in changing:
                changing[model] = _come_and_go(visits, model)
            if not changing[model]:
                return self.found(
                    f"{visit.graphs} forwards on the same data recorded a graph that backward "
                    "never used",
                    visit.where,
                )


def _come_and_go(visits, model):
    """Whether the model sees each tensor for some steps, and then the next one: not evaluation
    data, but states of an environment, whose values are detached to be a target."""
    times = sorted(
        (visit.steps[0], visit.steps[-1]) for visit in visits
        if visit.model() is model and not visit.trained and len(visit.steps) > 1
    )  # fmt: skip
    return sum(later[0] > earlier[1] for earlier, later in pairwise(times)) >= _REPLACED


class _Tag:
    """Put into a graph node's metadata; it lives as long as the node."""


class GraphKept(Detector):
    bug, severity = "graph-kept", WARNING
    symptom = "memory grows with every batch"
    fix = (
        "collect numbers: total += loss.item(), outputs.append(logits.detach()); carry over "
        "hidden.detach()"
    )

    def __init__(self, run):
        super().__init__(run)
        self.tags = []  # (number of the backward, weak reference)
        self.kept = 0
        self.suspicious = _KEPT  # more than so many are looked into
        self.sizes = []  # number of a backward, and of nodes in its graph

    def backward(self, backward):
        number = self.run.backwards
        if number <= _ALL or number % 4 == 0:
            self.tag(backward.loss, number)
        if number % 8 == 0:
            self.count(number)

    def graph(self, backward):
        if len(self.sizes) < 8:
            nodes = sum(len(nodes) for nodes in backward.graph.nodes.values())
            self.sizes.append((self.run.backwards, nodes))

    def forward(self, call):
        number = self.run.backwards + 1  # of the loss to come
        followed = number % 2 == 0 if number <= _ALL else number % 4 == 0
        if followed and call.has_graph and call.training:
            self.tag(call.out, number)

    def pass_end(self, one_pass):
        if one_pass.backwards:
            self.count(self.run.backwards)

    def tag(self, tensor, number):
        node = tensor.grad_fn
        if node is not None:
            tag = node.metadata["doctor"] = _Tag()
            self.tags.append((number, weakref.ref(tag)))

    def count(self, number):
        self.tags = [(n, tag) for n, tag in self.tags if tag() is not None]
        if self.kept:
            self.kept = max(self.kept, self.old(number))
            return
        # A graph in a reference cycle is not kept by the learner. Looking for cycles everywhere
        # takes long in a large process, so that comes last, and for few graphs only at first.
        for generation in (1, 2):
            if self.old(number) <= self.suspicious:
                return
            gc.collect(generation)
        if self.old(number) > _KEPT:
            self.kept = self.old(number)
        else:
            self.suspicious *= 4

    def old(self, number):
        return len({n for n, tag in self.tags if n <= number - _OLD and tag() is not None})

    def judge(self, run):
        steady = {(b - a) / (j - i) for (i, a), (j, b) in pairwise(self.sizes)}
        if len(self.sizes) >= _GRAPHS_COMPARED and len(steady) == 1 and min(steady) > 0:
            (_, first), (number, last) = self.sizes[0], self.sizes[-1]
            return self.found(
                f"the graph grows with every batch: backward goes through {first} operations at "
                f"first and {last} at backward {number}, so something of each batch is carried "
                "into the next with its graph, such as a hidden state",
                run.lines.get("backward"),
            )
        if self.kept and run.steps:
            return self.found(
                f"of the batches that were watched, {self.kept} earlier ones still had their graph "
                "in memory",
                run.lines.get("backward"),
            )
