"""What fusion sees of a typed graph: which nodes compute, which are read through, and who feeds whom."""

from __future__ import annotations

from collections.abc import Iterator

from unmoor.ir.graph import Graph, Node, Value, values_of
from unmoor.ir.op import Kind
from unmoor.ops import TABLE
from unmoor.ops.found import found_by

PACK = "prim::pack"


def kind_of(node: Node) -> Kind | None:
    """The kind of a node's op; None for structural ops (guards)."""
    return TABLE[node.op].kind if node.op in TABLE else None


def is_inline(node: Node) -> bool:
    """Views, paddings and creations have no kernel of their own: their consumers compute the index instead."""
    return kind_of(node) in (Kind.VIEW, Kind.PAD, Kind.CREATE)


class Flow:
    """Producers and consumers of a typed graph, with `anchors`: inline nodes that are materialised all the same."""

    def __init__(self, graph: Graph, anchors: frozenset[Value]) -> None:
        self.graph = graph
        self.producer = {v: n for n in graph.nodes if not n.blocks for v in n.outputs}  # a branch gives memory
        self.order = {n: k for k, n in enumerate(graph.nodes)}
        self.branches = [k for k, n in enumerate(graph.nodes) if n.op in ("prim::If", "prim::Loop")]
        self.anchors = anchors
        self.finder = {name: n for n in graph.nodes for name in found_by(n)}  # of sizes that come out of data

    def computes(self, node: Node) -> bool:
        """Whether the node's values are made by a kernel (and not read through)."""
        kind = kind_of(node)
        return kind is not None and (not is_inline(node) or node.output in self.anchors)

    def computed_sources(self, node: Node) -> Iterator[Node]:
        """The computing nodes that a node reads, directly or through inline nodes."""
        for value in values_of(node.args):
            yield from self.sources_of(value)
        yield from self.finders(node)

    def finders(self, node: Node) -> Iterator[Node]:
        """The nodes that find the sizes which a node has in its arguments or gives."""
        if self.finder and node not in self.finder.values():
            yield from (self.finder[s] for s in node.symbols if s in self.finder)

    def sources_of(self, value: Value) -> Iterator[Node]:
        """The computing nodes that make a value, itself or through inline nodes."""
        source = self.producer.get(value)
        if source is not None and self.computes(source):
            yield source
        elif source is not None and is_inline(source):
            yield from self.computed_sources(source)
