"""Padding and shifts in sequences of tokens."""

import torch
from torch import nn

from .detector import Detector
from .findings import WARNING
from .graph import NLL, inputs, kind, saved, signed
from .run import tensors_in

_PADDING = 0.25  # of all tokens, at least, are runs of one value at the end of a row
_TOGETHER = 0.9  # of the places, padding of inputs and of targets is at the same ones


def tail(tokens):
    """For [N, T] tokens that end in runs of one value: that value and where these runs are.

    None where it is no padding: if less than a quarter of all is such a run, or all are equally
    long.
    """
    if tokens.ndim != 2 or tokens.is_floating_point() or tokens.shape[1] < 3 or len(tokens) < 2:
        return None
    last = tokens[:, -1]
    value = last.mode().values
    same = (tokens == value).flip(1).cumprod(1).flip(1).bool()
    lengths = same.sum(1)
    if same.double().mean() < _PADDING or lengths.unique().numel() < 2:
        return None
    return value.item(), same


class _Tokens(Detector):
    """Remembers the token inputs of a model's forward."""

    def __init__(self, run):
        super().__init__(run)
        self.tokens = []
        self.count = 0

    def watched(self, call):
        if call.has_graph:
            self.tokens = [
                t.detach() for t in tensors_in(call.args)
                if t.ndim == 2 and not t.is_floating_point() and t.dtype is not torch.bool
            ]  # fmt: skip

    def labels(self, backward):
        """(node, tokens, target [N, T]) of cross-entropies with one target for each token."""
        for node in backward.graph.losses:
            if kind(node) in NLL:
                target = saved(node, "target")
                for tokens in self.tokens:
                    if target is not None and target.numel() == tokens.numel():
                        yield node, tokens, target.detach().reshape(tokens.shape)
                        break


class PaddingInLoss(_Tokens):
    bug, severity = "padding-in-loss", WARNING
    symptom = "the loss gets small quickly, and the model answers padding for real tokens"
    fix = "nn.CrossEntropyLoss(ignore_index=pad)"

    def graph(self, backward):
        for node, tokens, target in self.labels(backward):
            found, inside = tail(target), tail(tokens)
            weight = saved(node, "weight")
            if found is None or inside is None or getattr(node, "_saved_reduction", 1) == 0:
                continue
            value, where = found
            ignored = signed(node._saved_ignore_index)
            if value != ignored and bool((where == inside[1]).double().mean() > _TOGETHER):
                if weight is not None and 0 <= value < len(weight) and weight[value] == 0:
                    continue
                self.count += 1
                if self.count >= 2 and not self.said:
                    self.said = (
                        f"{where.double().mean():.0%} of the {target.numel()} targets of a batch "
                        f"are {value} at the end of a row, where the tokens are padding too, and "
                        "they count in the loss"
                    )
                    self.line = self.run.lines.get("backward")
        self.tokens = []


class LabelsNotShifted(_Tokens):
    bug, severity = "labels-not-shifted", WARNING
    symptom = "the loss soon goes to 0, and the model can only repeat what it reads"
    fix = "predict the next token: inputs, targets = tokens[:, :-1], tokens[:, 1:]"

    def __init__(self, run):
        super().__init__(run)
        self.causal = []  # of each layer that reads a row: whether it can do without later tokens

    def called(self, call):
        layer = call.module
        if isinstance(layer, nn.RNNBase):
            self.causal.append(not layer.bidirectional)
        elif isinstance(layer, nn.MultiheadAttention):
            self.causal.append(True)

    def graph(self, backward):
        causal, self.causal = self.causal, []
        tokens_of_forward = self.tokens
        for _, tokens, target in self.labels(backward):
            if causal == [True] and len(tokens_of_forward) == 1 and torch.equal(tokens, target):
                varied = tokens.unique().numel() > 2 and tokens.shape[1] > 2
                self.count += varied
                if self.count >= 2 and not self.said:
                    self.said = (
                        f"the {target.numel()} targets of a batch are the model's input tokens "
                        "themselves, each at its own place"
                    )
                    self.line = self.run.lines.get("backward")
        self.tokens = []


class LastStepIsPadding(_Tokens):
    bug, severity = "last-step-is-padding", WARNING
    symptom = "short texts are hardly learned: what the network read has faded away in the padding"
    fix = (
        "pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), or take each "
        "row's last real step: out[torch.arange(N), lengths - 1]"
    )

    def __init__(self, run):
        super().__init__(run)
        self.outputs = []  # (nodes of output and last state, where time is, steps) of recurrent layers

    def called(self, call):
        layer, x = call.module, call.x
        one_way = isinstance(layer, nn.RNNBase) and not layer.bidirectional
        if one_way and call.has_graph and x is not None and x.ndim == 3 and len(self.outputs) < 8:
            time = 1 if layer.batch_first else 0
            states = [t.grad_fn for t in list(tensors_in(call.output))[1:]]
            self.outputs.append((call.out.grad_fn, states, time, x.shape[time]))

    def graph(self, backward):
        outputs, self.outputs = self.outputs, []
        tokens, self.tokens = self.tokens, []
        if len(outputs) != 1 or len(tokens) != 1 or self.said:
            return
        found = tail(tokens[0])
        out, states, time, steps = outputs[0]
        if found is None or steps not in tokens[0].shape:
            return
        users = [
            node for nodes in backward.graph.nodes.values() for node in nodes
            if out in inputs(node) or any(state in inputs(node) for state in states)
        ]  # fmt: skip
        if not users or not all(self.takes_last(node, out, time, steps) for node in users):
            return
        self.count += 1
        if self.count >= 2:
            share = found[1].double().mean()
            self.said = (
                f"rows end in runs of {found[0]}, {share:.0%} of all tokens, and the recurrent "
                f"layer's last step (of {steps}) is used, after all the padding"
            )
            self.line = self.run.lines.get("backward")

    def takes_last(self, node, out, time, steps):
        if out not in inputs(node):
            return kind(node) in ("Select", "Squeeze", "View", "Slice")  # the last state h[-1]
        if kind(node) != "Select":
            return False
        index = signed(node._saved_index)
        return signed(node._saved_dim) % 3 == time and index in (-1, steps - 1)
