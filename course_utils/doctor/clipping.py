"""Gradient clipping that clips nothing, or clips scaled gradients."""

from .detector import Detector
from .findings import ERROR
from .run import held_by

_LOOKED_AT = 4  # clips whose gradients are read


class ClipMisplaced(Detector):
    bug, severity = "clip-misplaced", ERROR
    hidden_by = "backward-never-called", "step-before-backward", "loss-cut-off"
    symptom = "gradients are not clipped at all"
    fix = "loss.backward(), then clip_grad_norm_(model.parameters(), 1.0), then optimizer.step()"
    clips = useless = empty = 0

    def clip(self, grads):
        self.clips += 1
        run = self.run
        if not len(grads) and run.last_backward > run.last_step and self.has_gradients():
            self.empty += 1
            return
        after_step = run.last_step > run.last_backward
        self.useless += (
            after_step
            or not len(grads)
            or (
                self.clips <= _LOOKED_AT
                and not any(bool(g.any()) for g in grads if not g.is_sparse)
            )
        )

    def has_gradients(self):
        optimizers = [*self.run.made, *self.run.optimizers]
        return any(p.grad is not None for optimizer in optimizers for p in held_by(optimizer))

    def judge(self, run):
        if run.steps >= 2 and self.empty >= 2 and self.empty >= self.clips - 1:
            return self.found(
                f"{self.empty} of {self.clips} times clipping was given no parameters with a "
                "gradient, though backward() had computed gradients for the optimizer's: an "
                "iterator such as filter(...) or model.parameters() is empty once it was walked "
                "through",
                run.lines.get("clip"),
                fix="keep a list for both: trainable = [p for p in model.parameters() if "
                "p.requires_grad]",
            )
        if (
            run.backwards
            and run.steps >= 2
            and self.useless >= 2
            and self.useless >= self.clips - 1
        ):
            return self.found(
                f"{self.useless} of {self.clips} times there was no gradient to clip: clipping ran "
                "before backward() or after step()",
                run.lines.get("clip"),
            )


class ClipBeforeUnscale(Detector):
    bug, severity = "clip-before-unscale", ERROR
    symptom = "the limit is compared with scaled gradients, so nearly every step becomes tiny"
    fix = "scaler.unscale_(optimizer) just before clip_grad_norm_"

    def __init__(self, run):
        super().__init__(run)
        self.scale, self.time = 1.0, 0  # of the last loss that was scaled, and when it was
        self.clips = self.wrong = 0
        self.largest = 1.0

    def scaled(self, scale):
        self.scale, self.time = scale, self.run.now

    def unscaled(self, scaler, optimizer):
        self.scale = 1.0

    def clip(self, grads):
        self.clips += 1
        run = self.run
        if self.scale != 1 and run.last_backward > run.last_step <= self.time:
            self.wrong += 1
            self.largest = max(self.largest, self.scale)

    def judge(self, run):
        if self.wrong >= 2 and self.wrong >= self.clips / 2:
            return self.found(
                f"{self.wrong} of {self.clips} times gradients were clipped while they were "
                f"multiplied by the scaler's {self.largest:g}",
                run.lines.get("clip"),
            )
