"""Weights that are taken out of models and loaded into them again."""

import weakref

import torch

from .detector import Detector
from .findings import ERROR, WARNING
from .run import held_by, tensors_in
from .where import learner_line

_LOADS = 2  # of a model's own weights into itself, with steps between; one may be a test


class BestStateAlias(Detector):
    bug, severity = "best-state-alias", ERROR
    symptom = "the best epoch's weights are never restored: loading changes nothing"
    fix = "best_state = copy.deepcopy(model.state_dict())"

    def __init__(self, run):
        super().__init__(run)
        self.taken = {}  # id -> (weak reference, steps made before)
        self.kept = 0  # steps made while an earlier alias was kept

    def state_taken(self, module, state):
        self.taken = {key: v for key, v in self.taken.items() if v[0]() is not None}
        for _, steps in self.taken.values():
            self.kept = max(self.kept, self.run.steps - steps)
        for tensor in state.values():
            if isinstance(tensor, torch.Tensor):
                self.taken[id(tensor)] = weakref.ref(tensor), self.run.steps

    def saved(self, thing):
        for tensor in tensors_in(thing):
            ref, steps = self.taken.get(id(tensor), (None, None))
            if ref is not None and ref() is tensor and steps < self.run.steps:
                self.said = (
                    "a state_dict that is saved is no copy: it shares memory with the weights, "
                    f"and {self.run.steps - steps} steps were made since it was taken"
                )

    def state_loads(self, module, state):
        live = {}
        for model in [module, *self.run.known_models()]:
            live.update({p.data_ptr(): p for p in model.parameters() if p.numel()})
        for optimizer in self.run.optimizers:
            live.update({p.data_ptr(): p for p in held_by(optimizer)})
        own = {p.data_ptr() for p in module.parameters()}
        shared = stale = since = 0
        for tensor in state.values():
            if not isinstance(tensor, torch.Tensor) or not tensor.numel():
                continue
            home = tensor.data_ptr()
            if home in live:
                ref, steps = self.taken.get(id(tensor), (None, None))
                known = ref is not None and ref() is tensor
                if known:
                    since = max(self.run.steps - steps, self.kept if home in own else 0)
                    stale += since > 0
                else:
                    shared += home in own
        if stale or shared:
            made = f"; {since} steps were made while it was kept" if stale else ""
            self.said = (
                f"{stale + shared} tensors of the loaded state_dict are not copies, they share "
                f"memory with the weights that were trained on{made}"
            )

    def judge(self, run):
        if self.said and run.steps:
            line = run.lines.get("load_state_dict") or run.lines.get("save")
            return self.found(self.said, line)


class WeightsNotLoaded(Detector):
    bug, severity = "weights-not-loaded", ERROR
    symptom = "after loading, the loss begins where an untrained model begins"
    fix = (
        "strict=True (as is), which raises; take a prefix such as module. off the names: "
        "{name.removeprefix('module.'): value for name, value in state.items()}"
    )

    def __init__(self, run):
        super().__init__(run)
        self.empty = weakref.WeakKeyDictionary()  # model that nothing was loaded into -> evidence

    def state_loaded(self, module, state, keys):
        self.empty.pop(module, None)
        own = list(module.state_dict(keep_vars=True))
        missing = set(keys.missing_keys)
        if own and missing.issuperset(own):
            given = next(iter(state), "")
            names = f", such as {given} in place of {own[0]}" if given else ""
            said = (
                f"load_state_dict(strict=False) found none of the {len(own)} names of a "
                f"{type(module).__name__} among the {len(state)} that it was given{names}"
            )
            self.empty[module] = said, learner_line()

    def judge(self, run):
        for module, (said, line) in self.empty.items():
            if any(module in model.modules() for model in run.known_models()):
                return self.found(said, line)


class TargetNetworkAlias(Detector):
    bug, severity = "target-network-alias", WARNING
    symptom = (
        "the target moves with every step of the network, so values drift; syncing does nothing"
    )
    fix = "target_net = copy.deepcopy(policy_net), a network of its own"

    def __init__(self, run):
        super().__init__(run)
        self.taken = None  # the model whose state was taken last, and the steps made before
        self.loads = weakref.WeakKeyDictionary()  # model -> steps before each load into itself

    def state_taken(self, module, state):
        self.taken = weakref.ref(module), self.run.steps

    def state_loads(self, module, state):
        taken, self.taken = self.taken, None
        if taken is None or taken[0]() is not module or taken[1] != self.run.steps:
            return
        homes = {name: t.data_ptr() for name, t in module.named_parameters() if t.numel()}
        given = {name: t.data_ptr() for name, t in state.items() if name in homes}
        if homes and given == homes:
            self.loads.setdefault(module, set()).add(self.run.steps)
            self.line = learner_line()

    def judge(self, run):
        for module, steps in self.loads.items():
            if len(steps - {0}) >= _LOADS:
                return self.found(
                    f"{len(steps)} times load_state_dict() was given the very weights that the "
                    f"{type(module).__name__} has: both names stand for one network",
                    self.line,
                )
