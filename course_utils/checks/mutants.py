"""Right answers with one small mistake made in their source, to recognise an attempt by its result."""

import ast
import copy
import inspect
import textwrap
from types import FunctionType

_OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
_OTHER |= {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.LtE, ast.LtE: ast.GtE}
_OTHER |= {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
_EDGE = {ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt}
_SIGN = {ast.Add: "plus", ast.Sub: "minus", ast.Mult: "product", ast.Div: "division"}
_PART = {ast.Add: "term", ast.Sub: "term", ast.Mult: "factor", ast.MatMult: "factor"}
_NAMES = {"mean": "sum", "sum": "mean", "max": "min", "min": "max", "argmax": "argmin"}
_NAMES |= {"argmin": "argmax", "std": "var", "var": "std", "log": "log2", "log1p": "log"}


def mutants(function):
    """Pairs (what is wrong with it, function), each with one small mistake; [] without a source."""
    if not isinstance(function, FunctionType):
        return []
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except OSError:
        return []
    endless = any(isinstance(node, ast.While) for node in ast.walk(tree))
    if endless or not isinstance(tree.body[0], ast.FunctionDef):
        return []  # a loop might never end; a lambda stands in the midst of something
    tree.body[0].decorator_list = []
    arguments = [argument.arg for argument in tree.body[0].args.args]
    found = []
    for place, node in enumerate(ast.walk(tree)):
        if isinstance(getattr(node, "ctx", None), ast.Store):
            continue
        for words, other in _mistakes(node, arguments):
            changed = copy.deepcopy(tree)
            _Replace(list(ast.walk(changed))[place], other).visit(changed)
            names = dict(function.__globals__)
            exec(compile(ast.fix_missing_locations(changed), "<mutant>", "exec"), names)
            found.append((words, names[function.__name__]))
    return found


class _Replace(ast.NodeTransformer):
    def __init__(self, node, other):
        self.node, self.other = node, copy.deepcopy(other)

    def visit(self, node):
        return self.other if node is self.node else self.generic_visit(node)


def _mistakes(node, arguments):
    """(words, what may stand in the place of a node by mistake)"""
    if isinstance(node, ast.BinOp):
        yield from _in_a_calculation(node.left, node.op, node.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "a minus is missing", node.operand
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OTHER:
        turned = ast.Compare(node.left, [_OTHER[type(node.ops[0])]()], node.comparators)
        yield "a comparison is the wrong way round", turned
        if edge := _EDGE.get(type(node.ops[0])):
            text = "a comparison counts what is equal on the wrong side"
            yield text, ast.Compare(node.left, [edge()], node.comparators)
    if isinstance(node, ast.keyword) and node.arg in ("dim", "axis"):
        other = {"0": 1, "1": 0}.get(ast.unparse(node.value))
        if other is not None:
            yield f"{node.arg}={other} is the wrong one", ast.keyword(node.arg, ast.Constant(other))
    if isinstance(node, ast.Attribute) and node.attr in _NAMES:
        other = _NAMES[node.attr]
        yield (
            f"`{other}` stands where another function belongs",
            ast.Attribute(node.value, other, node.ctx),
        )
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name and not node.args and name not in ("item", "float", "numpy", "squeeze"):
            yield f"`{name}` is missing", node.func.value
        elif len(node.args) == 1 and name and not isinstance(node.args[0], ast.Starred):
            yield f"`{name}` is missing", node.args[0]
    if isinstance(node, ast.Name) and node.id in arguments:
        for other in arguments:
            if other != node.id:
                text = f"`{other}` stands where another argument belongs"
                yield text, ast.Name(other, ast.Load())


def _in_a_calculation(left, op, right):
    if type(op) in _OTHER:
        yield (
            f"a {_SIGN[type(op)]} is missing, and a {_SIGN[_OTHER[type(op)]]} stands in its place",
            ast.BinOp(left, _OTHER[type(op)](), right),
        )
    if type(op) in (ast.Sub, ast.Div, ast.MatMult):
        yield "the two sides of a calculation are exchanged", ast.BinOp(right, op, left)
    yield f"a {_PART.get(type(op), 'division')} is missing", left
    if type(op) in _PART:
        yield f"a {_PART[type(op)]} is missing", right
    if isinstance(left, ast.BinOp):
        inner = ast.BinOp(left.right, op, right)
        yield "brackets are missing, or too many", ast.BinOp(left.left, left.op, inner)
    if isinstance(right, ast.BinOp):
        inner = ast.BinOp(left, op, right.left)
        yield "brackets are missing, or too many", ast.BinOp(inner, right.op, right.right)
