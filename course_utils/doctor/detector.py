"""What a detector is."""

from .findings import Finding

HEARD_ENOUGH = object()  # what a method returns that needs not be told of its event any more


class Detector:
    """One bug in one piece: its signal, what keeps it silent on correct loops, and its words. A bug
    with two quite different signs has two detectors.

    A subclass sets `bug`, `severity`, `symptom` and `fix`, listens to the events it needs (methods
    named like those of `EVENTS`, called while the loop runs) and answers in `judge`, which is asked
    at the end of each pass over the data and at the end of the loop (`run.over`) until it gives a
    finding: `self.found(evidence with numbers, line)`, or set `self.said` and `self.line`. Events
    come with every step, so a method that has learned all it can returns `HEARD_ENOUGH`.

    Detectors are asked module by module, causes before what they lead to (the list is in
    `__init__.py`), and within a module in the order in which they are defined; those of other
    packages come last. `symptom_only = True` marks one that sees what many bugs lead to: it is
    asked only if nothing else was found.
    """

    EVENTS = (
        "batch",  # (one_pass, batch): a DataLoader handed out a batch
        "first_batch",  # (one_pass, batch): the first one of its pass; before "batch"
        "pass_end",  # (one_pass): it is over; one_pass.loader() is its DataLoader, or None
        "called",  # (call): a layer or a loss ran, at steps that are looked at closely
        "forward",  # (call): a model ran
        "watched",  # (call): the same, at steps that are looked at closely; after "forward"
        "first_forward",  # (call): the same, the first one in a pass over a DataLoader
        "backward",  # (backward): before gradients are computed
        "not_finite",  # (backward): the same, but only when its loss is NaN or infinite, or not read
        #                after one that was
        "graph",  # (backward): the same, but only when its graph was read
        "gradients",  # (): after gradients were computed, where there is an optimizer
        "cleared",  # (module_or_optimizer)
        "clip",  # (grads): before gradients are clipped
        "step",  # (step): before an optimizer changes anything, when it is looked at closely
        "stepped",  # (optimizer): after
        "schedule",  # (scheduler, value): what it was given, such as a loss, or None
        "state_taken",  # (module, state): state_dict() was called
        "saved",  # (thing): torch.save(thing, …)
        "state_loads",  # (module, state): load_state_dict() will be called
        "state_loaded",  # (module, state, keys): it was; what it returned
        "dropout",  # (model, explicit): functional dropout that drops, in its forward; whether
        #             training=True was said
        "scaled",  # (scale): a GradScaler multiplies a loss
        "unscaled",  # (scaler, optimizer)
        "function",  # (call, function, args, kwargs, result): a torch function after the forward
        #              `call`, for the first few of each model and mode
    )
    bug = severity = symptom = fix = ""
    said = line = ""  # the evidence and its line, for a detector that sees the bug as it happens
    symptom_only = False
    hidden_by = ()  # bugs that lead to this signal too: after one of them it is not asked
    records = False  # it accuses of nothing, but remembers what several detectors need to know
    all = []  # noqa: RUF012

    def __init_subclass__(cls):
        if not (cls.bug or cls.records):
            return  # a base of several detectors
        name = cls.__module__, cls.__qualname__
        known = [(one.__module__, one.__qualname__) for one in Detector.all]
        if name in known:  # its cell was run again
            Detector.all[known.index(name)] = cls
        else:
            Detector.all.append(cls)

    def __init__(self, run):
        self.run = run

    def judge(self, run):
        """The finding, if there is one by now."""
        if self.said:
            return self.found(self.said, self.line)

    def found(self, evidence, where="", fix=None, severity=None):
        return Finding(
            self.bug, severity or self.severity, evidence, fix or self.fix, where, self.symptom
        )
