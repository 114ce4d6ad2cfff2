"""One example, three classes: its loss, the slope, and what a softmax in front does (lesson 02)."""

import math

import torch
from torch.nn.functional import cross_entropy

from .base import Simulation
from .controls import Slider
from .scene import Axis, Bars, Line, Panel, Points, Rule, Scene, Text

_TOP = 7.0  # of the picture of the loss
_LOSSES = {  # name -> (loss of logits [N, 3] and labels [N], colour, line, marker)
    "as logits": (cross_entropy, "blue", "-", "o"),
    "softmax first": (lambda z, y: cross_entropy(z.softmax(dim=1), y), "vermillion", "--", "^"),
}
_FLOOR = math.log(1 + 2 / math.e)


class LossExplorer(Simulation):
    """Cross-entropy of one row of three logits, fed as logits and through a softmax first."""

    name = "loss_explorer"
    controls = {
        "p": Slider("p of the right class", 0.001, 0.999, 0.659, step=0.001),
        "right": Slider("its logit", -10.0, 10.0, 2.0, step=0.1),
        "wrong1": Slider("logit of wrong class 1", -10.0, 10.0, 1.0, step=0.1),
        "wrong2": Slider("logit of wrong class 2", -10.0, 10.0, 0.1, step=0.1),
    }
    size = (10.0, 4.2)

    def _set(self, name, value):
        """The probability moves the right logit, and each logit moves the probability."""
        super()._set(name, value)
        values = self.values
        others = torch.tensor([values["wrong1"], values["wrong2"]]).logsumexp(dim=0).item()
        if name == "p":
            logit = others + math.log(values["p"] / (1 - values["p"]))
            values["right"] = round(min(max(logit, -10.0), 10.0), 4)
        p = 1 / (1 + math.exp(others - values["right"]))
        values["p"] = round(min(max(p, 0.001), 0.999), 4)

    def reset(self):
        row = [self.values[name] for name in ("right", "wrong1", "wrong2")]
        self.probabilities = torch.tensor(row, dtype=torch.float64).softmax(dim=0)
        # Of what the right class leaves over
        self.split = torch.tensor(row[1:], dtype=torch.float64).softmax(dim=0)
        self.results = {}  # name -> (loss, gradient of the three logits, slope along p)
        for name, (loss_fn, *_) in _LOSSES.items():
            logits = torch.tensor([row], dtype=torch.float64, requires_grad=True)
            loss = loss_fn(logits, torch.tensor([0]))
            (gradient,) = torch.autograd.grad(loss, logits)
            p = self.probabilities[:1].clone().requires_grad_()
            (slope,) = torch.autograd.grad(self._along(loss_fn, p), p)
            self.results[name] = loss.item(), gradient[0], slope.item()

    def _along(self, loss_fn, p):
        """The loss of each probability `p` [N] of the right class; the others share the rest."""
        rows = torch.cat([p[:, None], (1 - p[:, None]) * self.split], dim=1)
        each = torch.vmap(lambda row: loss_fn(row[None], torch.tensor([0])))
        return each(rows.clamp(min=1e-30).log())

    def scene(self):
        curve = torch.linspace(0.0008, 1, 300, dtype=torch.float64)
        p = self.probabilities[0].item()
        curves, bars = [], [Rule(y=0, color="ink")]
        for i, (name, (loss_fn, color, dash, marker)) in enumerate(_LOSSES.items()):
            loss, gradient, slope = self.results[name]
            curves.append(Line(curve, self._along(loss_fn, curve), color, dash, name))
            reach = 0.13 / math.hypot(1, slope / _TOP)  # equally long to the eye, steep or flat
            if math.isfinite(slope):
                ends = p - reach, p + reach
                curves.append(Line(ends, [loss + slope * (x - p) for x in ends], "ink", width=1.3))
            curves.append(Points([p], [min(loss, _TOP - 0.15)], color, marker, 11))
            places = [c + 0.4 * i - 0.2 for c in range(3)]
            bars.append(Bars(places, gradient, 0.38, color, name, hatch=bool(i)))
            for x, height in zip(places, gradient.tolist(), strict=True):
                bars.append(
                    Text(x, height + math.copysign(0.09, height), f"{height:z.2f}", size=0.9)
                )
        curves.append(Rule(y=_FLOOR, dash=":", label="floor of softmax first"))
        logits = Axis(-0.6, 2.6, ticks={0: "right class", 1: "wrong 1", 2: "wrong 2"})
        (right, push, slope), (wrong, weak, _) = self.results.values()
        above = " (above the picture)" if right > _TOP else ""
        p_axis = Axis(0, 1.02, "p, the probability of the right class")
        return Scene(
            [
                Panel(curves, p_axis, Axis(0, _TOP), "loss", 1.25),
                Panel(bars, logits, Axis(-1.2, 1.2), "gradient of each logit"),
            ],
            f"The right class gets probability {p:.3g}: loss {right:.4g}{above}, slope along p "
            f"{slope:.3g}, gradient of its logit {push[0].item():+.3g}, length of the gradient "
            f"{push.norm().item():.3g}. With a softmax first: loss {wrong:.4g}, gradient "
            f"{weak[0].item():+.3g}, length {weak.norm().item():.2g}; no answer gets below "
            f"{_FLOOR:.4f}.",
        )
