"""The learner's own lines as syntax trees, and what the names in them stand for while they run."""

import ast
import functools
import linecache

from .where import describe

TREES = 8  # of files are kept
_trees = {}  # name of a file -> its lines, their tree


def tree_of(filename):
    """The syntax tree of a file or a notebook's cell, None if it can't be read."""
    lines = linecache.getlines(filename)
    known, tree = _trees.get(filename, (None, None))
    if known is not lines:  # another text; linecache hands out the same list for the same
        tree = _parsed(lines)
        if len(_trees) > TREES:
            _trees.clear()
        _trees[filename] = lines, tree
    return tree


def _parsed(lines):
    try:
        return ast.parse("".join(lines))
    except SyntaxError:
        return None


def nodes_around(frame):
    """The nodes around the line that runs in `frame`, from the outside in, and of them the
    innermost function (or the whole file) and the innermost loop (or None)."""
    tree = tree_of(frame.f_code.co_filename)
    return ([], None, None) if tree is None else _around(tree, frame.f_lineno)


@functools.lru_cache(maxsize=256)
def _around(tree, line):
    around = [tree]
    for outer in around:
        around += [
            node for node in ast.iter_child_nodes(outer)
            if getattr(node, "lineno", line + 1) <= line <= node.end_lineno
        ]  # fmt: skip
    around = around[1:]
    loops = [node for node in around if isinstance(node, ast.For)]
    scopes = [node for node in around if isinstance(node, ast.FunctionDef)] or [tree]
    return around, scopes[-1], loops[-1] if loops else None


def after(scope, line):
    """The scope's nodes below a line, in their order."""
    nodes = [node for node in ast.walk(scope) if getattr(node, "lineno", 0) > line]
    return sorted(nodes, key=lambda node: node.lineno)


def line_of(frame, node):
    return describe(frame.f_code.co_filename, node.lineno)


def in_own_function(frame, find):
    """Those tuples of nodes that `find(tree)` gives of the frame's file, and that stand in its own
    function; the variables of another one may have the same names."""
    tree = tree_of(frame.f_code.co_filename)
    if tree is None:
        return []
    return [nodes for nodes in find(tree) if nodes[0].lineno in _lines(frame.f_code)]


@functools.lru_cache(maxsize=64)
def _lines(code):
    return {line for *_, line in code.co_lines()}


def names_in(node):
    """All names in a piece of code."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def is_name(node, name):
    return isinstance(node, ast.Name) and node.id == name


def last_name(node):
    """`best` of the name `best` or the attribute `self.best`; "" for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def names_bound(statement):
    """The names that an assignment or a loop gives a value."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return set().union(*(names_in(target) for target in targets))


def value_of(node, frame):
    """What a name or an attribute of one stands for in a frame, or None."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if isinstance(node, ast.Attribute):
        return getattr(value_of(node.value, frame), "__dict__", {}).get(node.attr)
    return None
