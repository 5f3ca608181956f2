"""Computes equal things once.

Does: replaces a node by an earlier one of the same op and arguments. Needs: SSA. Leaves: the first of each. Does not:
merge nodes with effects or blocks, or that find sizes in data.
"""

from __future__ import annotations

import math
from typing import Any

from unmoor.ir.graph import Arg, Graph, Node
from unmoor.ops.found import found_by
from unmoor.passes.dead_code import has_effect
from unmoor.passes.rewrite import rewrite_nodes


def common_subexpressions(graph: Graph) -> Graph:
    """The graph with each computation once."""
    seen: dict[Any, Node] = {}

    def rewrite(node: Node) -> tuple[Arg, ...] | None:
        if node.blocks or has_effect(node) or found_by(node):
            return None
        key = (node.op, _key(node.args))
        if key in seen:
            return seen[key].outputs
        seen[key] = node
        return None

    return rewrite_nodes(graph, rewrite)


def _key(arg: Arg) -> Any:
    """An argument to compare by: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(arg, tuple):
        return tuple(_key(a) for a in arg)
    sign = math.copysign(1, arg) if isinstance(arg, float) else 0
    return (type(arg).__name__, str(arg) if isinstance(arg, float) else arg, sign)
