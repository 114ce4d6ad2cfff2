"""Learning-rate schedules that are stepped at the wrong time."""

import weakref
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from torch.optim import lr_scheduler as kinds

from .detector import Detector
from .findings import ERROR, WARNING
from .run import held_by

# Stepped too often
_WITH_EACH_BATCH = 0.8  # of an epoch's batches, at least
_WITH_EACH_STEP = 0.9  # of the optimizer's steps
_NOTHING = 1e-4  # times the highest rate is next to nothing
_STEPS, _LONG = 20, 0.3  # at least, and the part of them with next to nothing
_TURNED = 1.5  # times its length, a cosine is far up again
_LOWERED, _FAR_LOWER, _LOST = 0.9, 1 / 4, 1 / 100  # times the first rate
_HALVED = 0.5  # in every epoch
_SLOWLY = 0.95  # a factor that may be meant for every batch
# Stepped too seldom
_FEWER = 0.6  # times the optimizer's steps, at most
_NEARLY_ALL, _LONGER = 0.9, 1.5  # times the optimizer's steps, and those made, are planned
_ENDED, _STILL_HIGH = 0.02, 0.3  # times the first rate
_SHORTLY_BEFORE = 0.8  # of the steps
_WARMING, _WARM = 0.5, 1.01  # times the base rate: a warm-up begins below and ends at it
_RATES = 4  # at least, to see it rise


@dataclass
class _Scheduled:
    steps: int = 0
    first_after: int = 0  # steps of its optimizer before its first step
    second_after: int | None = None
    last_after: int = 0
    idle: int = 0  # steps without a step of its optimizer before them, though others stepped
    others: int = 0
    rates: list = field(default_factory=list)  # before each step, of the first group
    per_pass: dict = field(default_factory=dict)


class _Schedules(Detector):
    def __init__(self, run):
        super().__init__(run)
        self.schedulers = weakref.WeakKeyDictionary()

    def schedule(self, scheduler, value):
        optimizer = getattr(scheduler, "optimizer", None)
        if optimizer is None:
            return
        steps = self.run.steps_of(optimizer)
        known = self.schedulers.get(scheduler)
        if known is None:
            before = steps or int(getattr(optimizer, "_opt_called", False))
            known = self.schedulers[scheduler] = _Scheduled(first_after=before)
        elif known.second_after is None:
            known.second_after = steps
        elif steps == known.last_after and self.run.steps > known.others:
            known.idle += 1
        known.last_after, known.others = steps, self.run.steps
        known.steps += 1
        if len(known.rates) < 100_000:
            known.rates.append(float(optimizer.param_groups[0]["lr"]))
        if self.run.current is not None:
            key = self.run.passes.index(self.run.current)
            known.per_pass[key] = known.per_pass.get(key, 0) + 1

    def each(self):
        for scheduler, known in list(self.schedulers.items()):
            yield scheduler, known, scheduler.optimizer

    def steps_per_pass(self, run):
        """Optimizer steps in a finished training pass; 0 before there is one."""
        return next((p.steps for p in run.passes if p.over and p.steps), 0)

    def epochs(self, run):
        """Training passes, finished or not."""
        return sum(bool(p.steps) for p in run.passes)


class SchedulerOtherOptimizer(_Schedules):
    bug, severity = "scheduler-other-optimizer", ERROR
    symptom = "the learning rate that is used never changes"
    fix = "build the scheduler for the optimizer that steps, after the optimizer is built"

    def judge(self, run):
        return self.idle(run) or self.twice_for_one(run)

    def twice_for_one(self, run):
        """Two equal schedulers of one optimizer, while another that steps has none."""
        scheduled = [optimizer for _, _, optimizer in self.each()]
        if all(optimizer in scheduled for optimizer in run.stepped_optimizers()):
            return None
        for (one, known, optimizer), (other, _, same) in combinations(self.each(), 2):
            if (
                optimizer is same
                and type(one) is type(other)
                and _settings(one) == _settings(other)
            ):
                return self.found(
                    f"two equal {type(one).__name__} schedulers made {known.steps} steps each for "
                    f"one {type(optimizer).__name__}, and another optimizer that steps has none",
                    run.lines.get("schedule"),
                    fix="build one scheduler for each optimizer",
                )

    def idle(self, run):
        if not run.steps:
            return None
        for scheduler, known, optimizer in self.each():
            never = not run.steps_of(optimizer) and known.steps >= 2
            idle = never or (known.idle >= 2 and known.idle >= known.steps - 2)
            if idle and not self.used(known, optimizer):
                return self.found(
                    f"{type(scheduler).__name__} made {known.steps} steps for a "
                    f"{type(optimizer).__name__} that made no step meanwhile; the {run.steps} "
                    "optimizer steps of this run were made by another",
                    run.lines.get("schedule"),
                )

    def used(self, known, optimizer):
        """Whether an optimizer that steps has taken over the rate, by whatever means."""
        rates = {known.rates[-1], optimizer.param_groups[0]["lr"]} - {known.rates[0]}
        others = [other for other in self.run.stepped_optimizers() if other is not optimizer]
        return any(group["lr"] in rates for other in others for group in other.param_groups)


def _settings(scheduler):
    """What was chosen for the scheduler; what changes while it runs begins with an underscore."""
    changing = ("optimizer", "last_epoch")
    return {
        name: value for name, value in vars(scheduler).items()
        if not name.startswith("_") and name not in changing
    }  # fmt: skip


class SchedulerBeforeOptimizer(_Schedules):
    bug, severity = "scheduler-before-optimizer", ERROR
    symptom = "the first learning rate of the schedule is skipped"
    fix = "scheduler.step() after optimizer.step(), at the end of the batch or the epoch"

    def judge(self, run):
        if run.scaler_steps:
            return None  # a scaler skips steps whose gradient is infinite
        for scheduler, known, optimizer in self.each():
            steps = run.steps_of(optimizer)
            if (
                known.first_after == 0 and known.second_after and steps >= known.second_after
                and isinstance(scheduler, kinds.LRScheduler) and held_by(optimizer)
            ):  # fmt: skip
                return self.found(
                    f"{type(scheduler).__name__}.step() came before the first optimizer.step(): "
                    f"the learning rate {known.rates[0]:.3g} was never used",
                    run.lines.get("schedule"),
                )


class SchedulerPerBatch(_Schedules):
    bug, severity = "scheduler-per-batch", WARNING
    symptom = "the learning rate is near zero (or going up and down) long before the end"
    fix = "scheduler.step() once per epoch, outside the loop over batches"

    def judge(self, run):
        batches = self.steps_per_pass(run)
        if batches < 2:
            return self.without_loader(run)
        for scheduler, known, optimizer in self.each():
            per_pass = [
                known.per_pass.get(i, 0) for i, p in enumerate(run.passes) if p.over and p.steps
            ]
            if not per_pass or min(per_pass) < max(2, _WITH_EACH_BATCH * batches):
                continue
            said = self.too_fast(scheduler, known, batches, optimizer)
            if said:
                return self.found(
                    f"{type(scheduler).__name__} was stepped {known.steps} times in "
                    f"{len(per_pass)} epochs, after every batch; {said}",
                    run.lines.get("schedule"),
                )

    def without_loader(self, run):
        """Where no DataLoader shows what an epoch is: by a rate that is next to nothing for long."""
        for scheduler, known, optimizer in self.each():
            highest = max(known.rates)
            lost = sum(rate < _NOTHING * highest for rate in known.rates)
            in_step = known.steps >= _WITH_EACH_STEP * run.steps_of(optimizer)
            falls = isinstance(scheduler, kinds.StepLR | kinds.ExponentialLR | kinds.MultiStepLR)
            if falls and in_step and known.steps >= _STEPS and lost > _LONG * known.steps:
                now = float(optimizer.param_groups[0]["lr"])
                return self.found(
                    f"{type(scheduler).__name__} was stepped {known.steps} times, with every step "
                    f"of the optimizer; {lost} of them were made below a ten-thousandth of the "
                    f"first learning rate, which went from {known.rates[0]:.3g} to {now:.3g}",
                    run.lines.get("schedule"),
                )

    def too_fast(self, scheduler, known, batches, optimizer):
        start, now = known.rates[0], float(optimizer.param_groups[0]["lr"])
        fallen = f"in them the learning rate went from {start:.3g} to {now:.3g}"
        if isinstance(scheduler, kinds.CosineAnnealingLR):
            # Whole epochs may be meant as cycles, unless it is the number of all epochs.
            epochs = self.epochs(self.run)
            meant = scheduler.T_max % batches == 0
            if self.run.over and scheduler.T_max == epochs:
                meant = False
            if scheduler.last_epoch > _TURNED * scheduler.T_max and not meant:
                return f"its T_max of {scheduler.T_max} was over after {scheduler.T_max} batches"
        elif isinstance(scheduler, kinds.ReduceLROnPlateau):
            if scheduler.patience < batches / 2 and now < _LOWERED * start:
                return f"its patience of {scheduler.patience} counts batches then; {fallen}"
        elif isinstance(scheduler, kinds.StepLR):
            if (
                scheduler.step_size < batches
                and scheduler.gamma < _SLOWLY
                and now < _FAR_LOWER * start
            ):
                return f"its step_size of {scheduler.step_size} counts batches then; {fallen}"
        elif isinstance(scheduler, kinds.MultiStepLR):
            if len(scheduler.milestones) and max(scheduler.milestones) <= batches and now < start:
                return f"all its milestones lie in the first epoch then; {fallen}"
        elif isinstance(scheduler, kinds.ExponentialLR | kinds.MultiplicativeLR):
            epochs = known.steps / batches
            if now < _LOST * start or (epochs >= 2 and now < start * _HALVED**epochs):
                return fallen
        elif isinstance(scheduler, kinds.LambdaLR | kinds.PolynomialLR):
            highest = max(known.rates)
            after = known.rates[known.rates.index(highest) :]
            tiny = sum(rate < _NOTHING * highest for rate in after)
            if tiny > batches or now < 0:
                return fallen


class SchedulerPerEpoch(_Schedules):
    bug, severity = "scheduler-per-epoch", WARNING
    symptom = "the schedule hardly begins: the learning rate stays near its first value"
    fix = (
        "scheduler.step() after every optimizer.step(), inside the loop over batches; or plan the "
        "schedule in epochs, T_max=epochs, and keep one scheduler.step() an epoch"
    )

    def judge(self, run):
        batches = self.steps_per_pass(run)
        if not run.over or batches < 2:
            return None
        epochs = self.epochs(run)
        for scheduler, known, optimizer in self.each():
            steps = run.steps_of(optimizer)
            planned = self.planned(scheduler, known, steps, batches)
            once_an_epoch = epochs >= 2 and known.steps <= epochs + 1
            if planned and once_an_epoch and known.steps < _FEWER * steps:
                now = float(optimizer.param_groups[0]["lr"])
                return self.found(
                    f"{type(scheduler).__name__} is planned for {planned} steps and made "
                    f"{known.steps}, one per epoch, while the optimizer made {steps}; the learning "
                    f"rate ended at {now:.3g}",
                    run.lines.get("schedule"),
                )

    def ends_at(self, scheduler, steps):
        """Whether the learner's function comes down to 0 just at the number of optimizer steps."""
        function = scheduler.lr_lambdas[0]
        at, now = function(steps), function(scheduler.last_epoch)
        before = function(int(_SHORTLY_BEFORE * steps))
        return at < _ENDED < before and now > _STILL_HIGH

    def planned(self, scheduler, known, steps, batches):
        if isinstance(scheduler, kinds.OneCycleLR):
            total = scheduler.total_steps
            longer = total > _LONGER * known.steps
            return total if longer and total >= _NEARLY_ALL * steps else 0
        if isinstance(scheduler, kinds.CyclicLR):
            up = scheduler.total_size * scheduler.step_ratio
            return int(up) if up > known.steps else 0
        if isinstance(scheduler, kinds.CosineAnnealingLR):
            return scheduler.T_max if abs(scheduler.T_max - steps) < batches else 0
        if isinstance(scheduler, kinds.PolynomialLR | kinds.LinearLR):
            total = scheduler.total_iters
            return total if known.steps < total and abs(total - steps) < batches else 0
        if isinstance(scheduler, kinds.SequentialLR):
            last = scheduler._schedulers[-1]
            length = getattr(last, "T_max", getattr(last, "total_iters", None))
            if length is None:
                return 0
            total = scheduler._milestones[-1] + length
            return total if abs(total - steps) < batches else 0
        if isinstance(scheduler, kinds.LambdaLR) and self.ends_at(scheduler, steps):
            return steps
        if isinstance(scheduler, kinds.LambdaLR):
            rates = [*known.rates, float(scheduler.optimizer.param_groups[0]["lr"])]
            base = scheduler.base_lrs[0]
            rising = all(a < b for a, b in pairwise(rates)) and rates[0] < _WARMING * base
            return steps if len(rates) >= _RATES and rising and rates[-1] <= _WARM * base else 0
        return 0
