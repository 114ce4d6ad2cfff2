"""The shared package of the course: data, a model, the training function, plots, simulations,
checks of exercises, and the loop doctor."""

import importlib

from .data import circles, load_ipo, load_ipo_audit, moons, spiral, xor
from .devices import pick_device
from .loaders import tensor_loader
from .models import mlp
from .training import History, accuracy, evaluate, train, train_step

__version__ = "0.1.0"

# Loaded on first use, so that `import course_utils` costs little more than `import torch`.
_ON_FIRST_USE = {
    "LoopDoctor": ".doctor",
    "check": ".checks",
    "draw_graph": ".graph",
    "plotting": ".plotting",
    "quiz": ".quiz",
    "show_source": ".source",
    "sweep_learning_rates": ".sweep",
    "widgets": ".widgets",
}

__all__ = [
    "History",
    "LoopDoctor",
    "accuracy",
    "check",
    "circles",
    "draw_graph",
    "evaluate",
    "load_ipo",
    "load_ipo_audit",
    "mlp",
    "moons",
    "pick_device",
    "plotting",
    "quiz",
    "show_source",
    "spiral",
    "sweep_learning_rates",
    "tensor_loader",
    "train",
    "train_step",
    "widgets",
    "xor",
]


def __getattr__(name):
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_ON_FIRST_USE[name], __name__)
    value = getattr(module, name, module)
    globals()[name] = value
    return value


def load_ipython_extension(shell):
    """`%load_ext course_utils` gives `%%doctor`."""
    from .doctor.magic import register

    register(shell)
