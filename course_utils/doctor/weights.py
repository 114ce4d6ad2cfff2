"""Weights that are not trained: unknown to the model or its optimizer, or cut off from the loss."""

import weakref

from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from .detector import Detector
from .findings import ERROR, WARNING
from .run import held_by, memory_of, tensors_in

_LOSSES_KEPT = 64  # graphs whose leaves are remembered
_AGAIN = 3  # times are no accident, and no model that is only shown


class UnregisteredLayers(Detector):
    bug, severity = "unregistered-layers", ERROR
    symptom = "these layers keep their random first weights, and are missing in state_dict()"
    fix = "self.layers = nn.ModuleList([...]), or nn.ModuleDict for a dict"

    def __init__(self, run):
        super().__init__(run)
        self.inside = []  # layers that ran inside the model that runs now
        self.suspects = []
        self.made_anew = weakref.WeakKeyDictionary()  # model -> forwards with a layer of their own
        self.kind = ""  # of such a layer
        self.latest = weakref.WeakKeyDictionary()  # model -> last unregistered layer
        self.times = WeakTensorKeyDictionary()  # leaf -> times that a loss depended on it

    def called(self, call):
        if call.depth:
            if call.module._parameters and call.grad_enabled:
                self.inside.append(call.module)
            return
        inside, self.inside = self.inside, []
        registered = None
        for layer in inside:
            if registered is None:
                registered = set(call.module.modules())
            if layer not in registered and len(self.suspects) < 50:
                self.made_in_forward(call.module, layer)
                pair = weakref.ref(layer), type(call.module).__name__
                if pair not in self.suspects:
                    self.suspects.append(pair)

    def made_in_forward(self, model, layer):
        before = self.latest.get(model)
        if before is not None and before() is None:  # gone with its forward
            self.made_anew[model] = self.made_anew.get(model, 0) + 1
            self.kind = type(layer).__name__
        self.latest[model] = weakref.ref(layer)

    def graph(self, backward):
        for leaf in backward.graph.leaves:
            self.times[leaf] = self.times.get(leaf, 0) + 1

    def judge(self, run):
        if not run.stepped_optimizers():
            return None
        return self.new_layers(run) or self.lost_layers(run) or self.lost_tensors(run)

    def new_layers(self, run):
        """Layers that a forward makes for itself."""
        for model, times in self.made_anew.items():
            if times >= _AGAIN:
                return self.found(
                    f"in {times} forwards that were looked at, {type(model).__name__} made a new "
                    f"{self.kind} layer for itself, with new random weights, and forgot it",
                    run.lines.get("backward"),
                    fix="make the layer once, in __init__: self.layer = nn.Linear(...)",
                )

    def lost_tensors(self, run):
        """Trainable tensors in attributes of a model that are none of its parameters."""
        held = run.stepped_ids()
        for model in run.known_models():
            registered = {id(p) for p in model.parameters()}
            if not registered & held:
                continue
            for module in model.modules():
                for name, value in vars(module).items():
                    if name.startswith("_"):
                        continue
                    lost = [
                        t for t in tensors_in(value)
                        if t.requires_grad and id(t) not in registered | held
                        and self.times.get(t, 0) >= _AGAIN and run.unchanged(t)
                    ]  # fmt: skip
                    if lost:
                        owner = type(module).__name__
                        return self.found(
                            f"self.{name} of {owner} holds {len(lost)} trainable tensors "
                            f"({sum(t.numel() for t in lost)} weights) that {owner}.parameters() "
                            "doesn't know, so the optimizer doesn't train them",
                            run.lines.get("backward"),
                            fix=f"self.{name} = nn.Parameter(...), or nn.ParameterList([...])",
                        )

    def lost_layers(self, run):
        held = run.stepped_ids()
        lost, owner = [], ""
        for ref, name in self.suspects:
            layer = ref()
            own = [] if layer is None else [p for p in layer.parameters(False) if p.requires_grad]
            useful = bool(own) and all(p in run.reached for p in own)
            if useful and all(id(p) not in held and run.unchanged(p) for p in own):
                lost.append(layer)
                owner = name
        if lost:
            weights = sum(p.numel() for layer in lost for p in layer.parameters(False))
            return self.found(
                f"{len(lost)} layers with {weights} weights run inside {owner}, but "
                f"{owner}.parameters() doesn't know them, so the optimizer doesn't train them",
                run.lines.get("backward"),
            )


class OptimizerHoldsOtherParams(Detector):
    bug, severity = "optimizer-holds-other-params", ERROR
    symptom = (
        "the loss doesn't fall, or only a part of the model learns: the optimizer holds weights that "
        "the model doesn't use"
    )
    fix = "build the optimizer after the model is complete: optimizer = {}(model.parameters(), ...)"

    def __init__(self, run):
        super().__init__(run)
        self.useless = weakref.WeakKeyDictionary()  # optimizer -> steps without any gradient
        self.unused = weakref.WeakKeyDictionary()  # optimizer -> ids that its last loss left out

    def step(self, step):
        if step.complete and not step.pending:
            unused = {id(p) for p in step.held if id(p) not in step.reached}
            self.unused[step.optimizer] = unused
            mine = len(unused) < len(step.held)
            if not mine and step.without_gradient():
                self.useless[step.optimizer] = self.useless.get(step.optimizer, 0) + 1
            elif mine:
                self.useless.pop(step.optimizer, None)

    def judge(self, run):
        missing = _not_held(run)
        if not missing:
            return None
        for optimizer, count in self.useless.items():
            used = any(p in run.reached for p in held_by(optimizer))
            if count >= (_AGAIN if used else 2):
                name, now = type(optimizer).__name__, " any more" if used else ""
                return self.found(
                    f"none of the {len(held_by(optimizer))} parameters of {name} has anything to "
                    f"do with the loss{now}; the loss depends on {len(missing)} others, such as "
                    f"{run.name_of(missing[0])}",
                    run.optimizer(optimizer).where,
                    fix=self.fix.format(name),
                )
        if not run.over:
            return None
        in_models = {id(p) for model in run.known_models() for p in model.parameters()}
        for optimizer in run.stepped_optimizers():
            held, name = held_by(optimizer), type(optimizer).__name__
            unused = self.unused.get(optimizer, ())
            foreign = [
                p for p in held
                if id(p) not in in_models and (id(p) in unused or p not in run.reached)
            ]  # fmt: skip
            replaced = [p for p in missing if any(p.shape[1:] == q.shape[1:] for q in foreign)]
            if foreign and replaced:
                return self.found(
                    f"{len(foreign)} of {len(held)} parameters of {name} are in no model that "
                    f"runs, and {len(missing)} that the loss depends on are missing, such as "
                    f"{run.name_of(missing[0])}: layers were replaced after the optimizer was "
                    "built",
                    run.optimizer(optimizer).where,
                    fix=self.fix.format(name),
                )


def _not_held(run):
    """Parameters that losses depend on, that no optimizer holds and that nothing else changed."""
    if not run.stepped_optimizers():
        return []
    held = run.stepped_ids()
    return [
        leaf
        for leaf in list(run.reached)
        if isinstance(leaf, nn.Parameter)
        and leaf.requires_grad
        and id(leaf) not in held
        and run.unchanged(leaf)
    ]


class ParamsNotOptimized(Detector):
    bug, severity = "params-not-optimized", WARNING
    hidden_by = "unregistered-layers", "optimizer-holds-other-params"
    symptom = "this part of the model keeps its random first weights"
    fix = (
        "give the optimizer all of them: Adam([*encoder.parameters(), *decoder.parameters()]); if "
        "they are meant to stay, say so with parameter.requires_grad_(False)"
    )

    def __init__(self, run):
        super().__init__(run)
        self.in_training = weakref.WeakSet()  # models that ran in training mode, with a graph
        self.later = WeakTensorKeyDictionary()  # leaf -> losses that depended on it after a step
        self.together = []  # ids of the leaves of each loss

    def called(self, call):
        if not call.depth and call.training and call.grad_enabled:
            self.in_training.add(call.module)

    def graph(self, backward):
        if len(self.together) < _LOSSES_KEPT:
            self.together.append({id(leaf) for leaf in backward.graph.leaves})
        if self.run.steps:
            for leaf in backward.graph.leaves:
                self.later[leaf] = self.later.get(leaf, 0) + 1

    def in_earnest(self, leaf, held):
        """Whether a loss that is optimized depends on the leaf, or one of its own that comes
        again and again; a model that is only shown once goes backward before or after."""
        again = self.later.get(leaf, 0) >= _AGAIN
        return again or any(id(leaf) in ids and ids & held for ids in self.together)

    def judge(self, run):
        if not run.over:
            return None  # a later phase may train them
        held = run.stepped_ids()
        # The turn of an optimizer may still come where a loop breaks off in its first steps.
        waiting = {id(p) for o in run.made for p in held_by(o)} if run.steps < _AGAIN else ()
        missing = [
            leaf for leaf in _not_held(run)
            if id(leaf) not in waiting and self.in_earnest(leaf, held)
        ]  # fmt: skip
        if not missing or not any(id(leaf) in held for leaf in list(run.reached)):
            return None
        set_aside = {
            id(p) for model in run.known_models() if model not in self.in_training
            for p in model.parameters() if not any(id(q) in held for q in model.parameters())
        }  # fmt: skip
        missing = [p for p in missing if id(p) not in set_aside]
        if missing:
            weights = sum(p.numel() for p in missing)
            names = ", ".join(run.name_of(p) for p in missing[:3])
            return self.found(
                f"the loss depends on {len(missing)} trainable tensors ({weights} weights: "
                f"{names}{', …' * (len(missing) > 3)}) that no optimizer holds; they didn't change",
                run.lines.get("step"),
            )


class LayersCutOff(Detector):
    bug, severity = "layers-cut-off", ERROR
    symptom = "the layers before the cut keep their random first weights; the rest learns a little"
    fix = "take .detach(), .data or no_grad() out of the forward, between these layers"

    def __init__(self, run):
        super().__init__(run)
        self.order = []  # (layer, its input carried a graph or came from outside) since last step
        self.outside = set()  # storage of what the learner hands to models
        self.models = weakref.WeakSet()  # that ran in training mode since last step
        self.cut = weakref.WeakKeyDictionary()  # layer before a cut -> number of times
        self.silent = weakref.WeakKeyDictionary()  # model -> steps in which nothing reached it
        self.inside = []  # layers that ran without a graph inside the model that runs now
        self.unrecorded = weakref.WeakKeyDictionary()  # those of models that had one -> steps

    def called(self, call):
        if call.depth == 0:
            if call.training and call.grad_enabled and self.inside:
                for layer in self.inside:
                    self.unrecorded[layer] = self.unrecorded.get(layer, 0) + 1
            self.inside = []
            self.inputs_of_root(call)
            if call.training:
                self.models.add(call.module)
        if not call.module._parameters or not call.training or call.x is None:
            return
        if call.depth and not call.grad_enabled:
            self.inside.append(call.module)
        if len(self.order) < 2000:
            x = call.x
            self.order.append(
                (weakref.ref(call.module), x.requires_grad or not x.is_floating_point(), memory_of(x),
                 call.grad_enabled, call.depth)
            )  # fmt: skip

    def inputs_of_root(self, call):
        """A model's inputs need no graph, unless they come from another trained model."""
        if len(self.outside) < 2000:
            self.outside.update(memory_of(x) for x in tensors_in(call.args) if not x.requires_grad)

    def step(self, step):
        order, self.order = self.order, []
        outside, self.outside = self.outside, set()
        models, self.models = list(self.models), weakref.WeakSet()
        if not step.complete or step.closure or not step.held:
            return
        held = {id(p) for p in step.held if p.requires_grad}
        for model in models:
            own = {id(p) for p in model.parameters() if p.requires_grad}
            if own and own < held and not own & step.reached and held & step.reached:
                self.silent[model] = self.silent.get(model, 0) + 1
        silent = None
        for ref, connected, home, grad_enabled, _ in order:
            layer = ref()
            if layer is None:
                continue
            own = [id(p) for p in layer.parameters(False)]
            if any(p in step.reached for p in own):
                if silent is not None and grad_enabled and not connected and home not in outside:
                    self.cut[silent] = self.cut.get(silent, 0) + 1
                    return
            elif own and all(p in held for p in own):
                silent = layer

    def judge(self, run):
        if run.over:  # a later phase may train them
            return self.before_a_cut(run) or self.under_no_grad(run) or self.whole_model(run)

    def before_a_cut(self, run):
        for layer, count in self.cut.items():
            if count >= 2 and not any(p in run.reached for p in layer.parameters(False)):
                return self.found(
                    f"{_name_in_models(run, layer)} ran and the optimizer holds its weights, but "
                    f"in {count} of the steps looked at no gradient reached it: a later layer got "
                    "its input without a graph",
                    run.lines.get("backward"),
                )

    def under_no_grad(self, run):
        held = run.stepped_ids()
        for layer, count in self.unrecorded.items():
            own = [p for p in layer.parameters(False) if p.requires_grad]
            if count >= 2 and own and all(id(p) in held and p not in run.reached for p in own):
                return self.found(
                    f"{_name_in_models(run, layer)} ran {count} times under no_grad() in the "
                    "forward of a model that is trained, so no gradient reached it, though the "
                    "optimizer holds its weights",
                    run.lines.get("backward"),
                )

    def whole_model(self, run):
        for model, count in self.silent.items():
            if count >= 2 and not any(p in run.reached for p in model.parameters()):
                weights = sum(p.numel() for p in model.parameters())
                return self.found(
                    f"a {type(model).__name__} with {weights} weights ran in training mode and the "
                    f"optimizer holds them, but in none of the {count} steps looked at did a "
                    "gradient reach it: its output lost its graph on the way to the loss",
                    run.lines.get("backward"),
                    fix="take .detach(), .data, .numpy() or no_grad() away between the two models",
                )


def _name_in_models(run, layer):
    for model in run.known_models():
        for name, module in model.named_modules():
            if module is layer:
                return f"{name or 'the model'} ({type(layer).__name__})"
    return type(layer).__name__


class LossCutOff(Detector):
    bug, severity = "loss-cut-off", ERROR
    symptom = "no parameter gets a gradient; the loss stays where it started"
    fix = (
        "call backward on the loss that the loss function returned, computed from the model's "
        "output itself: no torch.tensor(loss), loss.item(), .detach(), .data or .numpy() between"
    )
    cut = 0

    def graph(self, backward):
        # Leaves that no optimizer and no model knows: a graph that begins after the model.
        if not self.run.forwards:
            return
        known = {id(p) for model in self.run.known_models() for p in model.parameters()}
        known |= {id(p) for optimizer in self.run.optimizers for p in held_by(optimizer)}
        leaves = backward.graph.leaves
        inputs = {id(leaf) for leaf in leaves if isinstance(leaf, nn.Parameter)}
        if not inputs and not any(id(leaf) in known for leaf in leaves):
            self.cut += 1

    def judge(self, run):
        if self.cut >= 2 and run.steps and self.cut >= min(run.backwards, 4) / 2:
            return self.found(
                f"in {self.cut} backwards that were looked at, the loss depended on no parameter "
                "of the model: its graph begins behind the model",
                run.lines.get("backward"),
            )
