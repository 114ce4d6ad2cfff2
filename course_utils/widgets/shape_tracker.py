"""The shapes on the way through a network, taken by hooks from a real pass (lesson 01)."""

import math
from typing import NamedTuple

import torch

from ..models import mlp
from ..random_state import seeded
from .base import Simulation
from .controls import Slider, Switch
from .scene import Axis, Box, Line, Panel, Scene, Text

_LOOKS = {"Linear": ("sky", "-"), "ReLU": ("", "--")}  # kind -> fill and edge of its box


class Layer(NamedTuple):
    """What a hook and the layer itself had to say."""

    name: str
    shape: list  # of its output
    weight: list  # the shape of its weight, or [] if it has none
    parameters: int


class ShapeTracker(Simulation):
    """A real `mlp`, a real batch; forward hooks write down the shape of each layer's output."""

    name = "shape_tracker"
    controls = {
        "batch": Slider("batch size", 1, 256, 32),
        "inputs": Slider("inputs", 1, 1024, 784),
        "hidden1": Slider("hidden layer 1 (0: none)", 0, 512, 128),
        "hidden2": Slider("hidden layer 2 (0: none)", 0, 512, 0),
        "outputs": Slider("outputs", 1, 100, 10),
        "alone": Switch("one row alone, without a batch dimension"),
    }
    size = (11.0, 4.4)

    def reset(self):
        values = self.values
        hidden = [values[name] for name in ("hidden1", "hidden2") if values[name]]
        with seeded(0):
            model = mlp(values["inputs"], *hidden, values["outputs"])
            xb = torch.rand(values["batch"], values["inputs"])
        self.layers = []
        for module in model:
            module.register_forward_hook(self._write_down)
        x = xb[0] if values["alone"] else xb
        self.start = list(x.shape)
        with torch.no_grad():
            model(x)
        self.total = sum(parameter.numel() for parameter in model.parameters())

    def _write_down(self, module, inputs, output):
        weight = list(module.weight.shape) if hasattr(module, "weight") else []
        count = sum(parameter.numel() for parameter in module.parameters())
        self.layers.append(Layer(type(module).__name__, list(output.shape), weight, count))

    def scene(self):
        layers = [Layer("input", self.start, [], 0), *self.layers]
        marks, end = [], None
        for i, layer in enumerate(layers):
            # As high as the tensor has rows, as wide as it has columns (by log)
            rows = layer.shape[0] if len(layer.shape) == 2 else 1
            height = 0.12 + 1.5 * math.log2(rows) / 8
            width = 0.06 + 0.5 * math.log2(layer.shape[-1]) / 10
            fill, dash = _LOOKS.get(layer.name, ("line", "-"))
            if end is not None:
                marks.append(Line((end + 0.03, i - width / 2 - 0.03), (0, 0), "ink", arrow=True))
            end = i + width / 2
            count = f"weight {layer.weight}\n{layer.parameters} parameters"
            below = count if layer.weight else "no parameters" if i else ""
            marks += [
                Box(i, 0, width=width, height=height, fill=fill, dash=dash),
                Text(i, 1.25, layer.name, size=1.1),
                Text(i, -1.08, str(layer.shape), size=1.15, bold=True),
                Text(i, -1.5, below, "soft"),
            ]
        x, y = Axis(-0.5, len(layers) - 0.5, drawn=False), Axis(-1.75, 1.5, drawn=False)
        title = "what each layer puts out (higher: more rows, wider: more columns)"
        steps = " → ".join(f"{layer.name} {layer.shape}" for layer in layers)
        most = max(self.layers, key=lambda layer: layer.parameters)
        return Scene(
            [Panel(marks, x, y, title, least=110 * len(layers))],
            f"{steps}. {self.total} parameters, {most.parameters / self.total:.0%} of them in the "
            f"largest layer, whose weight is {most.weight}.",
        )
