"""Merges chains of views into single ones.

Does: a reshape of a reshape is one reshape, a permute of a permute one permute; a permute that moves only axes of
size 1 is a reshape; views that change nothing go. Needs: a typed graph. Does not: move views past computations.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.graph import Arg, Graph, Node, Value, tensor_type
from unmoor.passes.rewrite import rewrite_nodes

RESHAPE, PERMUTE = "prim::reshape", "prim::permute"


def canonicalise_views(graph: Graph) -> Graph:
    """The graph with views merged."""
    producer: dict[Value, Node] = {}
    replaced: dict[Node, Node] = {}

    def rewrite(node: Node) -> tuple[Arg, ...] | None:
        view = _merged(node, producer)
        if view.op in (RESHAPE, PERMUTE, "prim::expand") and _changes_nothing(view):
            return (view.args[0],)
        if view is not node:
            replaced[node] = view
        producer.update((v, view) for v in view.outputs)
        return None

    made = rewrite_nodes(graph, rewrite)
    return replace(made, nodes=tuple(replaced.get(n, n) for n in made.nodes))


def _merged(node: Node, producer: dict[Value, Node]) -> Node:
    if node.op not in (RESHAPE, PERMUTE):
        return node
    source = producer.get(node.inputs[0])
    if source is not None and source.op == node.op == RESHAPE:
        node = replace(node, args=(source.args[0], node.args[1]))
    elif source is not None and source.op == node.op == PERMUTE:
        inner, outer = _axes(source), _axes(node)
        node = replace(node, args=(source.args[0], tuple(inner[a] for a in outer)))
    if node.op == PERMUTE and _keeps_memory_order(node):
        shape = tensor_type(node.output).shape
        return _merged(Node(RESHAPE, (node.args[0], shape), node.outputs, node.source), producer)
    return node


def _axes(node: Node) -> list[int]:
    dims = node.args[1]
    assert isinstance(dims, tuple)
    return [int(str(d)) for d in dims]


def _keeps_memory_order(node: Node) -> bool:
    shape = tensor_type(node.inputs[0]).shape
    wide = [a for a in _axes(node) if shape[a] != 1]
    return wide == sorted(wide)


def _changes_nothing(node: Node) -> bool:
    if tensor_type(node.output).shape != tensor_type(node.inputs[0]).shape:
        return False
    return node.op != PERMUTE or _axes(node) == list(range(len(_axes(node))))
