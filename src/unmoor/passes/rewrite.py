"""Rewrites a graph node by node: each node is kept, replaced by other nodes, or by values that exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unmoor.ir.graph import Arg, Graph, Node, Value, map_arg, map_node

Rewrite = Callable[[Node], "tuple[Arg, ...] | None"]


def rewrite_nodes(graph: Graph, rewrite: Rewrite) -> Graph:
    """The graph after `rewrite` has seen each node, its arguments already rewritten.

    `rewrite` returns None to keep the node, or what its outputs become.
    """
    mapping: dict[Value, Arg] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        seen = map_node(node, mapping)
        results = rewrite(seen)
        if results is None:
            nodes.append(seen)
        else:
            mapping.update(zip(node.outputs, results, strict=True))
    outputs = tuple(map_arg(o, mapping) for o in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)
