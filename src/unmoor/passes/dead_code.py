"""Drops nodes and constants that nothing needs.

Does: keeps what outputs and effects (guards) need. Leaves: inputs, all of them.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.graph import Block, Graph, Node, Value, captured, raises, values_of
from unmoor.ir.op import Effect
from unmoor.ops import TABLE
from unmoor.ops.found import found_by, symbols_in

EFFECTS = ("prim::guard", "prim::rank_guard", "prim::dtype_guard", "prim::dims", "prim::raise", "prim::Loop")


def dead_code(graph: Graph) -> Graph:
    """The graph without what nothing needs."""
    needed: set[Value] = set(values_of(graph.outputs))
    nodes = _kept(graph.nodes, needed, set(symbols_in(Node("return", graph.outputs, ()))))
    constants = tuple(c for c in graph.constants if c.value in needed)
    return replace(graph, nodes=nodes, constants=constants)


def _kept(nodes: tuple[Node, ...], needed: set[Value], sizes: set[str]) -> tuple[Node, ...]:
    """The nodes that effects, `needed` values or sizes ask for; adds to both what they use."""
    kept: list[Node] = []
    for node in reversed(nodes):
        found = found_by(node)
        if has_effect(node) or any(v in needed for v in node.outputs) or not sizes.isdisjoint(found):
            node = _used_outputs(node, needed, sizes)
            kept.append(node)
            needed.update((*node.inputs, *captured(node)))
            sizes.update(symbols_in(node))
    return tuple(reversed(kept))


def _used_outputs(node: Node, needed: set[Value], sizes: set[str]) -> Node:
    """A branch with the outputs that are needed, and in its blocks only what makes them."""
    if node.op != "prim::If":
        return node
    used = [k for k, v in enumerate(node.outputs) if v in needed]
    blocks = []
    for block in node.blocks:
        results = () if raises(block) else tuple(block.results[k] for k in used)
        blocks.append(Block((), _kept(block.nodes, set(values_of(results)), sizes), results))
    return replace(node, outputs=tuple(node.outputs[k] for k in used), blocks=tuple(blocks))


def has_effect(node: Node) -> bool:
    """Whether a node does more than make values."""
    if node.op in EFFECTS:
        return True
    if node.op == "prim::If":
        return any(has_effect(n) for b in node.blocks for n in b.nodes)
    return node.op in TABLE and TABLE[node.op].effects is not Effect.NONE
