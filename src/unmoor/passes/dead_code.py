"""Drops nodes and constants that nothing needs.

Does: keeps what outputs and effects (guards) need, in blocks too. Leaves: inputs, all of them.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.graph import Block, Graph, Node, Value, loop_parts, raises, values_of
from unmoor.ir.op import Effect
from unmoor.ops import TABLE
from unmoor.ops.found import found_by

EFFECTS = ("prim::guard", "prim::rank_guard", "prim::dtype_guard", "prim::dims", "prim::raise")


def dead_code(graph: Graph) -> Graph:
    """The graph without what nothing needs."""
    needed: set[Value] = set(values_of(graph.outputs))
    nodes = _kept(graph.nodes, needed, set(Node("return", graph.outputs, ()).symbols))
    constants = tuple(c for c in graph.constants if c.value in needed)
    return replace(graph, nodes=nodes, constants=constants)


def _kept(nodes: tuple[Node, ...], needed: set[Value], sizes: set[str]) -> tuple[Node, ...]:
    """The nodes that effects, `needed` values or sizes ask for; adds to both what they use."""
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.op == "prim::If":
            node = _used_outputs(node, needed, sizes)
            stays = bool(node.outputs) or any(b.nodes for b in node.blocks)  # what is left in them has an effect
        else:
            stays = any(v in needed for v in node.outputs) or has_effect(node) or not sizes.isdisjoint(found_by(node))
            node = _used_rounds(node, needed, sizes) if stays and node.op == "prim::Loop" else node
        if stays:
            kept.append(node)
            needed.update(node.used)
            sizes.update(node.symbols)
    return tuple(reversed(kept))


def _used_outputs(node: Node, needed: set[Value], sizes: set[str]) -> Node:
    """A branch with the outputs that are needed, and in its blocks only what makes them."""
    used = [k for k, v in enumerate(node.outputs) if v in needed]
    blocks = []
    for block in node.blocks:
        results = () if raises(block) else tuple(block.results[k] for k in used)
        blocks.append(Block((), _kept(block.nodes, set(values_of(results)), sizes), results))
    return replace(node, outputs=tuple(node.outputs[k] for k in used), blocks=tuple(blocks))


def _used_rounds(node: Node, needed: set[Value], sizes: set[str]) -> Node:
    """A loop that carries only what is needed after it, or by what is."""
    p, (block,) = loop_parts(node), node.blocks
    count = len(p.initial)
    stacks = [k for k, v in enumerate(node.outputs[count:]) if v in needed]
    carried = {k for k in range(count) if node.outputs[k] in needed}
    while True:
        results = (*p.next_condition, *(p.next_carried[k] for k in sorted(carried)), *(p.next_rows[k] for k in stacks))
        inside = set(values_of(results))
        nodes = _kept(block.nodes, inside, sizes)
        used = {*carried, *(k for k, v in enumerate(p.carried) if v in inside)}
        if used == carried:
            break
        carried = used
    kept, rows = sorted(carried), [k for k, v in enumerate(p.rows) if v in inside]
    lists = tuple(p.initial[k] for k in kept), tuple(p.scanned[k] for k in rows)
    params = (*(p.carried[k] for k in kept), *(p.rows[k] for k in rows))
    outputs = (*(node.outputs[k] for k in kept), *(node.outputs[count + k] for k in stacks))
    inner = Block(params, nodes, results)
    return replace(node, args=(*node.args[:3], *lists), outputs=outputs, blocks=(inner,))


def has_effect(node: Node) -> bool:
    """Whether a node does more than make values."""
    if node.op in EFFECTS:
        return True
    if node.op in ("prim::If", "prim::Loop"):
        return any(has_effect(n) for b in node.blocks for n in b.nodes)
    return node.op in TABLE and TABLE[node.op].effects is not Effect.NONE
