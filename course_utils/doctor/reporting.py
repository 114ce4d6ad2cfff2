"""What a loop reports: read in the learner's own lines, with the numbers of this run.

Python's numbers never meet PyTorch, so names and lines are looked at here; each finding also needs
what was seen while they ran.
"""

import ast

import torch
from torch.utils.data import DataLoader, RandomSampler

from .detector import Detector
from .findings import ERROR, WARNING
from .functions import LOSSES, name_of
from .reading import (
    after,
    is_name,
    last_name,
    line_of,
    names_in,
    nodes_around,
    tree_of,
    value_of,
)
from .sums import receiver
from .where import FRAMES, learner_frame, learner_frames


class ReturnInLoop(Detector):
    bug, severity = "return-in-the-loop", WARNING
    symptom = "an epoch is a single batch: learning is slow, or the score is that of one batch"
    fix = "move return to the left, behind the loop over batches"

    def __init__(self, run):
        super().__init__(run)
        self.passes = {}  # line of the return -> passes

    def first_forward(self, call):
        one_pass = call.one_pass
        if one_pass.batches > 1 or len(self.run.passes) > 50:
            return
        for frame in learner_frames(6):
            _, _, loop = nodes_around(frame)
            if loop is None or not _loops_over(loop, frame, one_pass.loader()):
                continue
            leaving = next((part for part in loop.body if isinstance(part, ast.Return)), None)
            if leaving is not None:
                self.passes.setdefault(line_of(frame, leaving), []).append(one_pass)
            return

    def judge(self, run):
        for line, passes in self.passes.items():
            done = [p for p in passes if p is not run.current and p.batches == 1]
            loader = done and done[-1].loader()
            length = len(loader) if loader is not None and hasattr(loader, "__len__") else 0
            if len(done) >= 2 and length > 1:
                what = "trained" if done[-1].trains else "evaluated"
                return self.found(
                    f"{len(done)} passes {what} on 1 of {length} batches: the function returns "
                    "inside the loop, after the first batch",
                    line,
                )


def _loops_over(loop, frame, loader):
    names = [node for node in ast.walk(loop.iter) if isinstance(node, ast.Name | ast.Attribute)]
    return loader is not None and any(value_of(node, frame) is loader for node in names)


def _first_use(name, nodes):
    return next((node for node in nodes if is_name(node, name)), None)


class LastBatchOnly(Detector):
    bug, severity = "last-batch-only", WARNING
    symptom = "the reported number jumps about, and is not that of the whole data"
    fix = "add up over the batches: correct += (pred == yb).sum().item(), and divide after the loop"

    def __init__(self, run):
        super().__init__(run)
        self.hits = []  # results of comparisons with labels, in this call
        self.call = None
        self.numbers = {}  # line -> (name, where it is used, pass)

    def function(self, call, function, args, kwargs, result):
        if call.grad_enabled or call.one_pass is None or not isinstance(result, torch.Tensor):
            return
        name = name_of(function)
        if call is not self.call:
            self.call, self.hits = call, []
        if name in ("eq", "__eq__") and result.ndim:
            self.hits.append(result)
        elif args and any(args[0] is hit for hit in self.hits):
            if name in ("float", "double", "to", "type") and result.ndim:
                self.hits.append(result)
            elif name in ("mean", "sum") and result.ndim == 0:
                self.number(call)
        elif name in LOSSES and result.ndim == 0:
            self.number(call)

    def number(self, call):
        frame = learner_frame()
        if frame is None:
            return
        frame = receiver(frame)
        nodes, scope, loop = nodes_around(frame)
        made = next((n for n in nodes[::-1] if isinstance(n, ast.Assign)), None)
        if loop is None or made is None or not isinstance(made.targets[0], ast.Name):
            return
        name = made.targets[0].id
        if name in names_in(made.value) or not _loops_over(loop, frame, call.one_pass.loader()):
            return
        outer = [n for n in nodes if isinstance(n, ast.For | ast.While) and n is not loop]
        place = outer[-1] if outer else scope
        use = _first_use(name, after(place, loop.end_lineno))
        if use is None and outer:
            use = _first_use(name, after(scope, place.end_lineno))
        if use is not None and isinstance(use.ctx, ast.Load):
            self.numbers.setdefault(
                line_of(frame, made), (name, line_of(frame, use), call.one_pass)
            )

    def judge(self, run):
        for name, use, one_pass in self.numbers.values():
            if one_pass.over and one_pass.evaluates and one_pass.batches > 1:
                return self.found(
                    f"{name} is computed anew for each of {one_pass.batches} batches, and after the "
                    "loop it is used as it was for the last one",
                    use,
                )


class SumNeverReset(Detector):
    bug, severity = "sum-never-reset", WARNING
    symptom = "the reported loss or accuracy grows from epoch to epoch, though the model learns"
    fix = "set the sum back to 0 at the start of each epoch: total = 0.0 just before the batch loop"

    def __init__(self, run):
        super().__init__(run)
        self.checked = set()
        self.sums = []  # (frame's file and line of the division, name, first pass)

    def first_batch(self, one_pass, batch):
        if len(self.run.passes) > 8:
            return
        loader = one_pass.loader()
        for frame in learner_frames(FRAMES):
            nodes, *_ = nodes_around(frame)
            loops = [n for n in nodes if isinstance(n, ast.For | ast.While)]
            place = next((i for i, n in enumerate(loops) if isinstance(n, ast.For)
                          and _loops_over(n, frame, loader)), 0)  # fmt: skip
            key = frame.f_code, loops[place].lineno if loops else 0
            if not place or key in self.checked:
                continue
            self.checked.add(key)
            loop, outer = loops[place], loops[place - 1]
            for node in ast.walk(loop):
                adds = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
                if adds and isinstance(node.target, ast.Name):
                    self.look(node.target.id, loop, outer, frame)

    def look(self, name, loop, outer, frame):
        uses = [node for node in ast.walk(outer) if is_name(node, name)]
        stores = [node for node in uses if isinstance(node.ctx, ast.Store)]
        added = [n for n in ast.walk(outer) if isinstance(n, ast.AugAssign)]
        if len(stores) != sum(last_name(n.target) == name for n in added):
            return  # set somewhere
        for node in after(outer, loop.end_lineno):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                length = isinstance(node.right, ast.Call) and last_name(node.right.func) == "len"
                if is_name(node.left, name) and length:
                    self.sums.append((ast.unparse(node), name, line_of(frame, node), frame.f_code))
                    return

    def judge(self, run):
        passes = [p for p in run.passes if p.over]
        if self.sums and len(passes) >= 2:
            text, name, line, _ = self.sums[0]
            return self.found(
                f"{name} is set before the loop over epochs and only added to in it, and {text} "
                f"divides it by the length of 1 epoch; {len(passes)} passes went into it so far",
                line,
            )


class DividedByAnother(Detector):
    """The same bug by another sign: the training data is evaluated in place of the loader that the
    score is divided by."""

    bug, severity = "val-overlaps-train", ERROR
    symptom = "validation is as good as training, and worse on new data"
    fix = "walk through the held-out loader: for xb, yb in test_loader"

    def __init__(self, run):
        super().__init__(run)
        self.division = None  # the division, its line, the loader in it, the pass

    def first_forward(self, call):
        one_pass = call.one_pass
        if call.grad_enabled or self.division:
            return
        if one_pass.held not in self.run.trained_on:
            return
        for frame in learner_frames(2):
            _, scope, loop = nodes_around(frame)
            if loop is not None:
                self.look(frame, after(scope, loop.end_lineno), one_pass)
                return

    def look(self, frame, nodes, one_pass):
        for node in nodes:
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                for part in ast.walk(node.right):
                    other = value_of(part, frame)
                    if isinstance(other, DataLoader) and other is not one_pass.loader():
                        self.division = ast.unparse(node), line_of(frame, node), other, one_pass
                return

    def judge(self, run):
        if not run.over or self.division is None or not self.division[3].evaluates:
            return None
        text, line, other, one_pass = self.division
        if not any(p.loader() is other for p in run.passes):
            return self.found(
                f"the score {text} is that of {one_pass.batches} batches from the loader that the "
                "model is trained on; the loader in its divisor was walked through 0 times",
                line,
            )


class PredictionsInOtherOrder(Detector):
    bug, severity = "predictions-in-other-order", WARNING
    symptom = "a score near chance, though the loss is good: answers meet the labels of other rows"
    fix = "shuffle=False for evaluation, or collect the labels of the same batches: ys.append(yb)"

    def __init__(self, run):
        super().__init__(run)
        self.checked = set()
        self.loop = None  # its line, its pass

    def first_forward(self, call):
        one_pass = call.one_pass
        if call.grad_enabled or self.loop:
            return
        loader = one_pass.loader()
        if not isinstance(getattr(loader, "sampler", None), RandomSampler):
            return
        for frame in learner_frames(FRAMES):
            _, scope, loop = nodes_around(frame)
            if loop is None or not _loops_over(loop, frame, loader):
                continue
            key = frame.f_code.co_filename, loop.lineno
            if key not in self.checked:
                self.checked.add(key)
                name = _collected(loop)
                if name and not _uses_labels(loop):
                    tree = tree_of(frame.f_code.co_filename)
                    if _compared(name, scope, loop, tree):
                        self.loop = line_of(frame, loop), one_pass
            return

    def judge(self, run):
        if self.loop and self.loop[1].over and self.loop[1].evaluates and run.steps:
            line, one_pass = self.loop
            return self.found(
                f"answers for {one_pass.batches} batches are collected from a loader that shuffles, "
                "without the labels of these batches, and compared with labels in another order",
                line,
            )


def _collected(loop):
    """The list to which the loop appends, or ""."""
    for node in ast.walk(loop):
        method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if method and node.func.attr in ("append", "extend"):
            return ast.unparse(node.func.value)
        adds = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
        if adds and isinstance(node.value, ast.List | ast.Call):
            return ast.unparse(node.target)
    return ""


def _uses_labels(loop):
    """Whether anything but the first part of a batch is used in the loop."""
    target = loop.target
    if isinstance(target, ast.Tuple) and any(isinstance(part, ast.Tuple) for part in target.elts):
        target = next(part for part in target.elts if isinstance(part, ast.Tuple))
    if not isinstance(target, ast.Tuple) or len(target.elts) < 2:
        return True  # batch[1] may be anywhere
    labels = set().union(*map(names_in, target.elts[1:]))
    return any(labels & names_in(part) for part in loop.body)


def _compared(name, scope, loop, tree):
    """Whether what was collected is compared: after the loop, or where the function is called."""
    places = after(scope, loop.end_lineno)
    words = {name}
    if isinstance(scope, ast.FunctionDef):
        words.add(scope.name)
        places = [*places, *ast.walk(tree)]
    for node in places:  # names that it is handed on to
        if isinstance(node, ast.Assign) and words & names_in(node.value):
            words |= {last_name(target) for target in node.targets} - {""}
    for node in places:
        compared = isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq)
        scored = isinstance(node, ast.Call) and (
            last_name(node.func).endswith(("_score", "_error", "_matrix", "_report", "_loss"))
            or last_name(node.func) in ("eq", "accuracy")
        )
        if (compared or scored) and words & names_in(node):
            return True
    return False
