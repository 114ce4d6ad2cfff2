"""The simulations: each one line in a notebook, as in `widgets.training_dashboard()`."""

from .batch_size_explorer import BatchSizeExplorer as batch_size_explorer
from .bug_clinic import BugClinic as bug_clinic
from .gradient_explorer import GradientExplorer as gradient_explorer
from .loss_explorer import LossExplorer as loss_explorer
from .optimizer_race import OptimizerRace as optimizer_race
from .overfitting_explorer import OverfittingExplorer as overfitting_explorer
from .run_gone_wrong import RunGoneWrong as run_gone_wrong
from .schedule_explorer import ScheduleExplorer as schedule_explorer
from .shape_tracker import ShapeTracker as shape_tracker
from .shuffling_comparison import ShufflingComparison as shuffling_comparison
from .threshold_explorer import ThresholdExplorer as threshold_explorer
from .train_eval_switch import TrainEvalSwitch as train_eval_switch
from .training_dashboard import TrainingDashboard as training_dashboard
from .zero_grad_comparison import ZeroGradComparison as zero_grad_comparison

__all__ = [
    "batch_size_explorer", "bug_clinic", "gradient_explorer", "loss_explorer", "optimizer_race",
    "overfitting_explorer", "run_gone_wrong", "schedule_explorer", "shape_tracker",
    "shuffling_comparison", "threshold_explorer", "train_eval_switch", "training_dashboard",
    "zero_grad_comparison",
]  # fmt: skip
