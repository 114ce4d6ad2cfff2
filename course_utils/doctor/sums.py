"""What becomes of a batch's numbers: what they are added to, divided by or subtracted from.

Sums are plain Python numbers and metrics are often NumPy's, which PyTorch never sees; so the
learner's lines are read, and the lengths and shapes in them are those of this run.
"""

import ast

from .reading import after, is_name, names_bound, names_in, nodes_around, value_of
from .where import is_learners


def receiver(frame):
    """The frame whose line gets the number: the caller's, where this line returns it."""
    around, *_ = nodes_around(frame)
    returned = next((n for n in around if isinstance(n, ast.Return)), None)
    if returned is None or returned.value is None or _weighted(returned.value):
        return frame
    caller = frame.f_back
    return receiver(caller) if is_learners(caller.f_code.co_filename) else frame


def division(frame):
    """(text, divisor) of the first division by a `len(…)` of the sum to which the line that runs
    in `frame` adds its number; None if there is none, or a number is weighted on the way."""
    around, scope, loop = nodes_around(frame)
    statement = next((n for n in around[::-1] if isinstance(n, ast.Assign | ast.AugAssign)), None)
    if loop is None or statement is None:
        return None
    total = _sum_of(statement, loop)
    if total is None or not _begins_anew(total, loop, around, scope):
        return None
    for node in after(scope, loop.end_lineno):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            over, below = node.left, node.right
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
            over, below = node.target, node.value
        else:
            continue
        if total in names_in(over):
            length = _length(below, frame)
            return None if length is None else (ast.unparse(node), length)
    return None


def mean_of_list(frame):
    """Whether the line that runs in `frame` collects numbers in a list of which only a plain mean
    is taken: `numbers.append(…)`, then `np.mean(numbers)` or `sum(numbers) / len(numbers)`."""
    around, scope, loop = nodes_around(frame)
    call = next((n.value for n in around if isinstance(n, ast.Expr)), None)
    if loop is None or not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    numbers = call.func.value
    if call.func.attr != "append" or not isinstance(numbers, ast.Name) or _weighted(call):
        return False
    uses = [
        node for node in after(scope, loop.end_lineno)
        if isinstance(node, ast.Call) and any(is_name(arg, numbers.id) for arg in node.args)
    ]  # fmt: skip
    names = {ast.unparse(use.func).rpartition(".")[2] for use in uses}
    plain = names & {"mean", "fmean", "nanmean"} or names >= {"sum", "len"}
    # Weights may come with the list: np.average(numbers, weights=…), zip(numbers, sizes).
    return bool(plain) and names <= {"mean", "fmean", "nanmean", "sum", "len", "print", "std"}


def meter(frame):
    """The object to which the line that runs in `frame` hands its number and nothing else, as in
    `accuracy_meter.update(accuracy.item())`; None if there is none."""
    around, *_ = nodes_around(frame)
    call = next((n.value for n in around if isinstance(n, ast.Expr)), None)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    alone = len(call.args) == 1 and not call.keywords and not _weighted(call.args[0])
    return (
        value_of(call.func.value, frame)
        if alone and isinstance(call.func.value, ast.Name)
        else None
    )


def meeting(frame, maker="numpy"):
    """The first `a - b` or `a == b` in which the array that `maker` returns in the line in `frame`
    meets another one, and that one's shape; None if there is none."""
    around, scope, _ = nodes_around(frame)
    made = next((n for n in around if isinstance(n, ast.Assign | ast.Return)), None)
    if made is None or not _is_call(made.value, maker):
        return None  # perhaps in another shape
    if isinstance(made, ast.Return):
        caller = frame.f_back
        is_own = is_learners(caller.f_code.co_filename)
        return meeting(caller, frame.f_code.co_name) if is_own else None
    if not isinstance(made.targets[0], ast.Name):
        return None
    name = made.targets[0].id
    for node in after(scope, made.end_lineno):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.For) and name in names_bound(node):
            return None  # perhaps in another shape
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            pair = node.left, node.right
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            pair = node.left, node.comparators[0]
        else:
            continue
        others = [part for part in pair if not is_name(part, name)]
        if len(others) == 1 and isinstance(others[0], ast.Name):
            return ast.unparse(node), getattr(value_of(others[0], frame), "shape", None)
    return None


def _is_call(value, name):
    """Whether an expression is a call of the function or method `name`, with nothing around it."""
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == name


def _begins_anew(total, loop, around, scope):
    """Whether the sum is of this loop alone: set just before it and added to nowhere else."""
    outer = [n for n in around if isinstance(n, ast.For | ast.While) and n is not loop]
    inside = outer[-1] if outer else scope
    set_before = [
        n for n in ast.walk(inside)
        if isinstance(n, ast.Assign) and total in names_bound(n) and n.lineno < loop.lineno
    ]  # fmt: skip
    added = [n for n in ast.walk(scope) if isinstance(n, ast.AugAssign) and total in names_bound(n)]
    elsewhere = [n for n in added if not loop.lineno <= n.lineno <= loop.end_lineno
                 and not isinstance(n.op, ast.Div)]  # fmt: skip
    return bool(set_before) and not elsewhere


def _weighted(node):
    weights = ast.Mult, ast.Div, ast.MatMult
    return any(isinstance(p, ast.BinOp) and isinstance(p.op, weights) for p in ast.walk(node))


def _sum_of(statement, loop):
    """The name to which the statement's value is added as it is, at once or later in the loop."""
    if isinstance(statement, ast.Assign):
        value = statement.targets[0]
        statements = [
            node for node in ast.walk(loop)
            if isinstance(node, ast.AugAssign) and names_in(node.value) & names_in(value)
            and node.lineno >= statement.lineno
        ]  # fmt: skip
        if not isinstance(value, ast.Name) or len(statements) != 1 or _weighted(statement.value):
            return None
        statement = statements[0]
    plain = isinstance(statement.op, ast.Add) and not _weighted(statement.value)
    return statement.target.id if plain and isinstance(statement.target, ast.Name) else None


def _length(node, frame):
    """The value of `len(name.attribute…)` in the frame, with a whole number added or taken away."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        length, number = _length(node.left, frame), getattr(node.right, "value", None)
        if length is not None and type(number) is int:
            return length + number if isinstance(node.op, ast.Add) else length - number
        return None
    call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"
    if not call or len(node.args) != 1:
        return None
    path, node = [], node.args[0]
    while isinstance(node, ast.Attribute):
        path.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    value = value_of(node, frame)
    for name in reversed(path):
        value = getattr(value, name, None)
    return len(value) if hasattr(value, "__len__") else None
