"""The simulations: each one line in a notebook, as in `widgets.training_dashboard()`."""

from .batch_size_explorer import BatchSizeExplorer as batch_size_explorer
from .gradient_explorer import GradientExplorer as gradient_explorer
from .optimizer_race import OptimizerRace as optimizer_race
from .overfitting_explorer import OverfittingExplorer as overfitting_explorer
from .schedule_explorer import ScheduleExplorer as schedule_explorer
from .shuffling_comparison import ShufflingComparison as shuffling_comparison
from .threshold_explorer import ThresholdExplorer as threshold_explorer
from .training_dashboard import TrainingDashboard as training_dashboard

__all__ = [
    "batch_size_explorer",
    "gradient_explorer",
    "optimizer_race",
    "overfitting_explorer",
    "schedule_explorer",
    "shuffling_comparison",
    "threshold_explorer",
    "training_dashboard",
]
