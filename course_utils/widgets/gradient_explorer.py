"""One weight, one bias: the two passes through their graph, and what a second one adds."""

import torch

from .base import Simulation
from .controls import Slider, Switch
from .scene import Axis, Box, Line, Panel, Scene, Text

# name -> where its box, its value and its gradient stand
_PLACES = {
    "w": ((0, 0), (0, 0.5), (0, -0.5)),
    "product": ((1, 0), (1, 0.5), (1, -0.5)),
    "y": ((2, 0), (2, 0.5), (2.45, -0.66)),
    "b": ((2, -1.5), (1.6, -1.5), (2.6, -1.5)),
    "error": ((3, 0), (3, 0.5), (3, -0.5)),
    "loss": ((4, 0), (4, 0.5), (4, -0.5)),
}
# from, to, what happens on the way, where that is written
_LINKS = [
    ("w", "product", "times x", (0.5, 0.27)),
    ("product", "y", "plus b", (1.5, 0.27)),
    ("b", "y", "plus the product", (1.52, -0.85)),
    ("y", "error", "minus target", (2.5, 0.27)),
    ("error", "loss", "squared", (3.5, 0.27)),
]


class GradientExplorer(Simulation):
    """`loss = (w * x + b - target)**2`: each value and each gradient, computed by autograd."""

    name = "gradient_explorer"
    controls = {
        "w": Slider("weight w", -4.0, 4.0, 2.0, step=0.1),
        "b": Slider("bias b", -4.0, 4.0, 1.0, step=0.1),
        "x": Slider("input x", -4.0, 4.0, 3.0, step=0.1),
        "target": Slider("target", -10.0, 10.0, 5.0, step=0.1),
        "twice": Switch("forward and backward twice, without clearing"),
    }
    size = (11.0, 4.0)

    def reset(self):
        values = self.values
        leaf = {"dtype": torch.float64, "requires_grad": True}
        w, b = (torch.tensor(values[name], **leaf) for name in "wb")
        for _ in range(2 if values["twice"] else 1):
            product = w * values["x"]
            y = product + b
            error = y - values["target"]
            loss = error**2
            self.tensors = {
                "w": w, "product": product, "b": b, "y": y, "error": error, "loss": loss,
            }  # fmt: skip
            for tensor in (product, y, error, loss):
                tensor.retain_grad()
            loss.backward()

    def scene(self):
        marks = []
        for start, end, link, written in _LINKS:
            (x0, y0), (x1, y1) = _PLACES[start][0], _PLACES[end][0]
            if y0 == y1:
                tail, head, (dx, dy) = (x0 + 0.27, y0), (x1 - 0.27, y1), (0, 0.06)
            else:
                tail, head, (dx, dy) = (x0, y0 + 0.25), (x1, y1 - 0.25), (-0.035, 0)
            xs, ys = (tail[0] + dx, head[0] + dx), (tail[1] + dy, head[1] + dy)
            marks.append(Line(xs, ys, "blue", arrow=True))
            xs, ys = (head[0] - dx, tail[0] - dx), (head[1] - dy, tail[1] - dy)
            marks.append(Line(xs, ys, "vermillion", "--", arrow=True))
            marks.append(Text(*written, link, "grey", 0.9))
        for name, (place, above, below) in _PLACES.items():
            tensor = self.tensors[name]
            marks += [
                Box(*place, name, width=0.48, height=0.34),
                Text(*above, _number(tensor), "blue", 1.15, bold=True),
                Text(*below, f"gradient {_number(tensor.grad)}", "vermillion", 1.05),
            ]
        x, y = Axis(-0.5, 4.5, drawn=False), Axis(-1.9, 0.8, drawn=False)
        tensors, target = self.tensors, self.values["target"]
        times = ", added up over two passes" if self.values["twice"] else ""
        return Scene(
            [Panel(marks, x, y, "forward: values, backward: gradients", least=560)],
            f"Prediction {_number(tensors['y'])}, target {target:.4g}, loss "
            f"{_number(tensors['loss'])}. Gradient of w {_number(tensors['w'].grad)}, of b "
            f"{_number(tensors['b'].grad)}{times}. To lower the loss, "
            f"{_direction('w', tensors['w'].grad)} and {_direction('b', tensors['b'].grad)}.",
        )


def _number(tensor):
    """Without the rounding errors of the last digits, and without a minus in front of 0."""
    return f"{round(tensor.item(), 6) + 0.0:.4g}"


def _direction(name, gradient):
    if round(gradient.item(), 6) == 0:
        return f"leave {name}"
    return f"{'lower' if gradient > 0 else 'raise'} {name}"
