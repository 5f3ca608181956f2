"""Computes arithmetic on literal numbers in a recorded graph.

Does: folds prim::int_*, prim::float_* and prim::compare of literals, and drops guards on literals that hold. Leaves:
a guard that does not hold, for specialisation to report. Does not: touch sizes or tensors.
"""

from __future__ import annotations

from typing import Any

from unmoor.ir.graph import Arg, Graph, Node
from unmoor.ir.number import ARITHMETIC, COMPARISONS
from unmoor.passes.rewrite import rewrite_nodes


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
        return (COMPARISONS[args[2]](args[0], args[1]),)
    if name == "not":
        return (not args[0],)
    family, _, operation = name.partition("_")
    if family not in ("int", "float") or operation not in ARITHMETIC:
        return None
    try:
        return (ARITHMETIC[operation](*args),)
    except (ArithmeticError, ValueError):
        return None  # the run will raise it where the user's program does
