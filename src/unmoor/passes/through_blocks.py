"""Runs a pass on a graph and on the blocks of its branches and loops, each block as a graph of its own.

A block's graph has what the block uses from outside as inputs and constants, behind its parameters, so nothing moves
into or out of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unmoor.ir.graph import Block, Constant, Graph, Names, Node, Value, captured, map_node, values_of

Pass = Callable[[Graph], Graph]
WITH_BLOCKS = ("prim::If", "prim::Loop")


def through_blocks(transform: Pass, graph: Graph) -> Graph:
    """The graph after the pass has seen its nodes, then those of each block of a branch or loop."""
    made = transform(graph)
    if not any(n.op in WITH_BLOCKS for n in made.nodes):
        return made
    constants: dict[Value, Constant] = {c.value: c for c in made.constants}
    nodes = tuple(_through_node(transform, n, made, constants) for n in made.nodes)
    used = {v for n in nodes for v in (*n.inputs, *captured(n))} | set(values_of(made.outputs))
    kept = tuple(c for v, c in constants.items() if v in used)
    return with_unique_names(replace(made, nodes=nodes, constants=kept))


def _through_node(transform: Pass, node: Node, graph: Graph, constants: dict[Value, Constant]) -> Node:
    if node.op not in WITH_BLOCKS:
        return node
    blocks = []
    for block in node.blocks:
        inner = through_blocks(transform, block_graph(block, graph.name, constants))
        constants.update((c.value, c) for c in inner.constants)
        blocks.append(Block(block.params, inner.nodes, inner.outputs))
    return replace(node, blocks=tuple(blocks))


def block_graph(block: Block, name: str, constants: dict[Value, Constant]) -> Graph:
    """A block as a graph: its inputs are its parameters, then what it uses from outside and is no constant."""
    outside = captured(Node("prim::If", (), (), blocks=(block,)))
    inputs = (*block.params, *(v for v in outside if v not in constants))
    return Graph(name, inputs, tuple(constants[v] for v in outside if v in constants), block.nodes, block.results)


def with_unique_names(graph: Graph) -> Graph:
    """The graph with values renamed that share a name with an earlier one, as passes on single blocks may leave."""
    names, seen = Names(), dict[Value, Value]()

    def define(value: Value) -> Value:
        fresh = names.fresh(value.name)
        made = value if fresh == value.name else Value(fresh, value.type)
        seen[value] = made
        return made

    def renamed(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        made = []
        for node in nodes:
            blocks = tuple(Block(tuple(map(define, b.params)), renamed(b.nodes), b.results) for b in node.blocks)
            made.append(replace(node, outputs=tuple(map(define, node.outputs)), blocks=blocks))
        return tuple(made)

    inputs = tuple(map(define, graph.inputs))
    constants = tuple(replace(c, value=define(c.value)) for c in graph.constants)
    nodes = renamed(graph.nodes)
    changed = {old: new for old, new in seen.items() if old is not new}
    end = map_node(Node("return", graph.outputs, ()), changed)
    nodes = tuple(map_node(n, changed) for n in nodes)
    return replace(graph, inputs=inputs, constants=constants, nodes=nodes, outputs=end.args)
