"""Computes arithmetic on literal numbers in a recorded graph.

Does: folds prim::int_*, prim::float_* and prim::compare of literals, and drops guards on literals that hold. Leaves:
a guard that does not hold, for specialisation to report. Does not: touch sizes or tensors.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from unmoor.ir.graph import Arg, Graph, Node
from unmoor.passes.rewrite import rewrite_nodes

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "min": min,
    "max": max,
    "neg": operator.neg,
    "div": operator.truediv,
    "pow": operator.pow,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
    "floor": math.floor,
}
COMPARE: dict[str, Callable[..., bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def number_folding(graph: Graph) -> Graph:
    """The graph with literal arithmetic done."""
    return rewrite_nodes(graph, _fold)


def _fold(node: Node) -> tuple[Arg, ...] | None:
    if not node.op.startswith("prim::") or not all(isinstance(a, bool | int | float | str) for a in node.args):
        return None
    name = node.op.removeprefix("prim::")
    args: Any = node.args
    if name == "guard":
        return () if bool(args[0]) is bool(args[1]) else None
    if name == "compare":
        return (COMPARE[args[2]](args[0], args[1]),)
    if name == "not":
        return (not args[0],)
    family, _, operation = name.partition("_")
    if family not in ("int", "float") or operation not in ARITHMETIC:
        return None
    try:
        return (ARITHMETIC[operation](*args),)
    except (ArithmeticError, ValueError):
        return None  # the run will raise it where the user's program does
