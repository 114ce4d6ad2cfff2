"""The simulations: each one line in a notebook, as in `widgets.training_dashboard()`."""

from .gradient_explorer import GradientExplorer as gradient_explorer
from .optimizer_race import OptimizerRace as optimizer_race
from .training_dashboard import TrainingDashboard as training_dashboard

__all__ = ["gradient_explorer", "optimizer_race", "training_dashboard"]
