"""Moves out of loops the groups that are the same in every turn, such as the packing of a matrix from outside."""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.graph import Block, Graph, Node


def hoist(graph: Graph) -> Graph:
    """A grouped graph with such groups before their loops. A loop of no turns then computes them for nothing."""
    return replace(graph, nodes=_hoisted(graph.nodes))


def _hoisted(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    made: list[Node] = []
    for node in nodes:
        if node.op == "prim::Loop":
            (block,) = node.blocks
            before, inside = _split(replace(block, nodes=_hoisted(block.nodes)))
            made += before
            node = replace(node, blocks=(inside,))
        elif node.op == "prim::If":
            node = replace(node, blocks=tuple(replace(b, nodes=_hoisted(b.nodes)) for b in node.blocks))
        made.append(node)
    return tuple(made)


def _split(block: Block) -> tuple[list[Node], Block]:
    """The nodes of a loop's block that need nothing of it, and the block without them."""
    own = {*block.params, *(v for n in block.nodes for v in n.outputs)}
    before: list[Node] = []
    rest: list[Node] = []
    for node in block.nodes:
        moves = node.op.startswith("fusion::") or node.op == "prim::reshape"
        if moves and own.isdisjoint(node.inputs):
            own.difference_update(node.outputs)
            before.append(node)
        else:
            rest.append(node)
    return before, replace(block, nodes=tuple(rest))
