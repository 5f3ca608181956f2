"""Drops nodes and constants that nothing needs.

Does: keeps what outputs and effects (guards) need. Leaves: inputs, all of them. Does not: look into blocks.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.graph import Graph, Node, Value, values_of, walk_nodes
from unmoor.ir.op import Effect
from unmoor.ops import TABLE

EFFECTS = ("prim::guard", "prim::rank_guard", "prim::dtype_guard", "prim::raise", "prim::If", "prim::Loop")


def dead_code(graph: Graph) -> Graph:
    """The graph without what nothing needs."""
    needed: set[Value] = set(values_of(graph.outputs))
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if has_effect(node) or any(v in needed for v in node.outputs):
            kept.append(node)
            needed.update(node.inputs)
            for inner in walk_nodes(tuple(n for b in node.blocks for n in b.nodes)):
                needed.update(inner.inputs)
    constants = tuple(c for c in graph.constants if c.value in needed)
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)


def has_effect(node: Node) -> bool:
    """Whether a node does more than make values."""
    if node.op in EFFECTS:
        return True
    return node.op in TABLE and TABLE[node.op].effects is not Effect.NONE
