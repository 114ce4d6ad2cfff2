"""The shapes on the way through a network, taken by hooks from a real pass (lesson 01)."""

import math
from typing import NamedTuple

import torch

from ..devices import seeded
from ..models import mlp
from ..plotting import SKY
from .base import Simulation
from .controls import Slider, Switch

_SLOTS = 6  # at most: the input, and what the five layers of a 2-hidden-layer network put out


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

    def draw(self, figure):
        self.ax = figure.subplots()
        self.ax.axis("off")
        self.ax.set(ylim=(-1.75, 1.5))
        self.ax.set_title("what each layer puts out (higher: more rows, wider: more columns)")
        centred = {"ha": "center", "va": "center"}
        self.boxes, self.shapes, self.names, self.weights, self.arrows = [], [], [], [], []
        for i in range(_SLOTS):
            self.boxes += self.ax.bar([i], [0], 0.1, lw=2, ec="black", zorder=3)
            self.shapes.append(self.ax.text(i, 0, "", size=14, weight="bold", **centred))
            self.names.append(self.ax.text(i, 1.25, "", size=14, **centred))
            self.weights.append(self.ax.text(i, -1.5, "", size=11, **centred))
            self.arrows += self.ax.plot([], [], color="black", lw=1.5, marker=">", markevery=[1])
        return [*self.arrows, *self.boxes, *self.shapes, *self.names, *self.weights]

    def _place(self, i, shape, kind):
        """The box of one tensor: as high as it has rows, as wide as it has columns (by log)."""
        rows = shape[0] if len(shape) == 2 else 1
        height = 0.12 + 1.5 * math.log2(rows) / 8
        width = 0.06 + 0.5 * math.log2(shape[-1]) / 10
        box = self.boxes[i]
        box.set(x=i - width / 2, y=-height / 2, width=width, height=height)
        box.set(facecolor={"Linear": SKY, "ReLU": "white"}.get(kind, "0.85"))
        box.set_linestyle("--" if kind == "ReLU" else "-")
        self.shapes[i].set(text=str(shape), y=-1.05)
        return width

    def paint(self):
        layers = [Layer("input", self.start, [], 0), *self.layers]
        self.ax.set_xlim(-0.5, len(layers) - 0.5)
        end = 0
        for i in range(_SLOTS):
            used = i < len(layers)
            for artists in (self.boxes, self.shapes, self.names, self.weights, self.arrows):
                artists[i].set_visible(used)
            if not used:
                continue
            layer = layers[i]
            width = self._place(i, layer.shape, layer.name)
            self.arrows[i].set_data([end, i - width / 2 - 0.06], [0, 0])
            self.arrows[i].set_visible(i > 0)
            end = i + width / 2
            self.names[i].set_text(layer.name)
            count = f"weight {layer.weight}\n{layer.parameters} parameters"
            self.weights[i].set_text(count if layer.weight else "" if i == 0 else "no parameters")
        steps = " -> ".join(f"{layer.name} {layer.shape}" for layer in layers)
        most = max(self.layers, key=lambda layer: layer.parameters)
        return (
            f"{steps}. {self.total} parameters, {most.parameters / self.total:.0%} of them in the "
            f"largest layer, whose weight is {most.weight}."
        )
