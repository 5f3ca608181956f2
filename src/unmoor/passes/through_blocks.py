"""Runs a pass on a graph and on the blocks of its branches and loops, each block as a graph of its own.

A block's graph has what the block uses from outside as inputs and constants, behind its parameters, so nothing moves
into or out of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unmoor.ir.graph import Block, Constant, Graph, Names, Node, Value, map_arg, map_node, values_of

Pass = Callable[[Graph], Graph]
WITH_BLOCKS = ("prim::If", "prim::Loop")


def through_blocks(transform: Pass, graph: Graph) -> Graph:
    """The graph after the pass has seen its nodes, then those of each block of a branch or loop."""
    made = _through(transform, graph)
    return with_unique_names(made) if any(n.op in WITH_BLOCKS for n in made.nodes) else made


def _through(transform: Pass, graph: Graph) -> Graph:
    made = transform(graph)
    if not any(n.op in WITH_BLOCKS for n in made.nodes):
        return made
    constants: dict[Value, Constant] = {c.value: c for c in made.constants}
    nodes = tuple(_through_node(transform, n, made, constants) for n in made.nodes)
    used = {v for n in nodes for v in n.used} | set(values_of(made.outputs))
    kept = tuple(c for v, c in constants.items() if v in used)
    return replace(made, nodes=nodes, constants=kept)


def _through_node(transform: Pass, node: Node, graph: Graph, constants: dict[Value, Constant]) -> Node:
    if node.op not in WITH_BLOCKS:
        return node
    blocks = []
    for block in node.blocks:
        inner = _through(transform, block_graph(block, graph.name, constants))
        constants.update((c.value, c) for c in inner.constants)
        blocks.append(Block(block.params, inner.nodes, inner.outputs))
    return replace(node, blocks=tuple(blocks))


def block_graph(block: Block, name: str, constants: dict[Value, Constant]) -> Graph:
    """A block as a graph: its inputs are its parameters, then what it uses from outside and is no constant."""
    outside = Node("prim::If", (), (), blocks=(block,)).captured
    inputs = (*block.params, *(v for v in outside if v not in constants))
    return Graph(name, inputs, tuple(constants[v] for v in outside if v in constants), block.nodes, block.results)


def with_unique_names(graph: Graph) -> Graph:
    """The graph with values renamed that share a name with an earlier one, as passes on single blocks may leave."""
    names, changed = Names(), dict[Value, Value]()
    for value in graph.values():
        fresh = names.fresh(value.name)
        if fresh != value.name:
            changed[value] = Value(fresh, value.type)
    if not changed:
        return graph

    def renamed(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(changed.get(v, v) for v in values)

    def defined(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        made = []
        for node in nodes:
            blocks = tuple(Block(renamed(b.params), defined(b.nodes), b.results) for b in node.blocks)
            made.append(replace(node, outputs=renamed(node.outputs), blocks=blocks))
        return tuple(made)

    constants = tuple(replace(c, value=changed.get(c.value, c.value)) for c in graph.constants)
    nodes = tuple(map_node(n, changed) for n in defined(graph.nodes))
    outputs = tuple(map_arg(o, changed) for o in graph.outputs)
    return replace(graph, inputs=renamed(graph.inputs), constants=constants, nodes=nodes, outputs=outputs)
