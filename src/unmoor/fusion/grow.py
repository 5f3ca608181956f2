"""Grows fusion groups: starts with one per computing node, and merges producers with consumers where that is right.

A merge is right where every node has a place in the common iteration space, every value passed inside the group is read
at the very place where it is made, and no path leads out of the group and back in.
"""

from __future__ import annotations

from dataclasses import dataclass

from unmoor.fusion.nodes import Flow, is_inline, kind_of
from unmoor.fusion.space import Space
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.op import Kind
from unmoor.ops.access import Index, broadcast_index, through_view

LARGEST = 64  # nodes of a group: longer kernels gain nothing, and take ever longer to compile


@dataclass(eq=False)
class Group:
    """Nodes that share a kernel. `kind`: map, row (with reductions), contract, join, scan, scatter, pack, attention.

    A builtin of the runtime is a group of its own, so that what makes groups sees the way through it.
    """

    kind: str
    nodes: list[Node]
    space: Space


def seed(node: Node) -> Group:
    """The group of one node."""
    kind = kind_of(node)
    shape = tensor_type(node.outputs[0]).shape
    if kind is Kind.REDUCE:
        source, dims = node.args[0], node.args[1]
        assert isinstance(source, Value) and isinstance(dims, tuple)
        return Group("row", [node], Space(tensor_type(source).shape, frozenset(int(str(d)) for d in dims)))
    alone = {
        Kind.CONTRACT: "contract",
        Kind.JOIN: "join",
        Kind.PACK: "pack",
        Kind.SCAN: "scan",
        Kind.SCATTER: "scatter",
        Kind.BUILTIN: "builtin",
    }
    return Group(alone.get(kind, "map") if kind else "map", [node], Space(shape))


def grow(flow: Flow) -> list[Group]:
    """The groups of all computing nodes, each in graph order."""
    group_of: dict[Node, Group] = {}
    for node in flow.graph.nodes:
        if not flow.computes(node):
            continue
        group = seed(node)
        group_of[node] = group
        producers = sorted(set(flow.computed_sources(node)), key=lambda n: -flow.order[n])
        for producer in producers:
            earlier = group_of[producer]
            group = group_of[node]
            if earlier is group:
                continue
            merged = _merge(flow, group_of, earlier, group)
            if merged is not None:
                for member in merged.nodes:
                    group_of[member] = merged
    return list(dict.fromkeys(group_of.values()))


def _merge(flow: Flow, group_of: dict[Node, Group], a: Group, b: Group) -> Group | None:
    """The union of a producing group a and a consuming group b, or None where it would be wrong."""
    if len(a.nodes) + len(b.nodes) > LARGEST:
        return None
    kind = _common_kind(a.kind, b.kind)
    if kind is None or (a.kind == "map" and b.kind == "contract"):
        return None
    span = [flow.order[n] for n in (*a.nodes, *b.nodes)]
    if any(min(span) < branch < max(span) for branch in flow.branches):
        return None  # a branch between them may need the one and give the other
    space = _common_space(a.space, b.space)
    if space is None:
        return None
    nodes = sorted(a.nodes + b.nodes, key=flow.order.__getitem__)
    inside = set(nodes)
    if kind == "contract" and any(kind_of(n) is Kind.INDEX for n in nodes):
        return None  # a tile has no place for indices that differ from element to element
    if not all(_fits(flow, node, space, inside) for node in nodes):
        return None
    if _leaves_and_returns(flow, group_of, a, b):
        return None
    return Group(kind, nodes, space)


def _common_kind(a: str, b: str) -> str | None:
    if a == b and a in ("map", "row"):
        return a
    if {a, b} in ({"map", "row"}, {"map", "contract"}):
        return a if b == "map" else b
    return None


def _common_space(a: Space, b: Space) -> Space | None:
    """The space that both fit into: the one with folded axes, else the (equal) shape."""
    if a.folded and b.folded:
        return a if a == b else None
    if a.folded or b.folded:
        return a if a.folded else b
    return a if a.shape == b.shape else None


def _fits(flow: Flow, node: Node, space: Space, inside: set[Node]) -> bool:
    """Whether a node has its place in the space and reads the group's values where they are made."""
    kind = kind_of(node)
    if kind is Kind.REDUCE:
        source, dims = node.args[0], node.args[1]
        assert isinstance(source, Value) and isinstance(dims, tuple)
        if tensor_type(source).shape != space.shape or frozenset(int(str(d)) for d in dims) != space.folded:
            return False
        return _reads_in_place(flow, source, space.point, space, inside)
    index = space.index_of(tensor_type(node.outputs[0]).shape)
    if index is None:
        return False
    if kind in (Kind.CONTRACT, Kind.JOIN, Kind.PACK) or is_inline(node):
        return not any(source in inside for source in flow.computed_sources(node))
    if kind is Kind.INDEX:
        return _indices_fit(flow, node, index, space, inside)
    return all(
        _reads_in_place(flow, arg, broadcast_index(index, tensor_type(arg).shape), space, inside) for arg in node.inputs
    )


def _indices_fit(flow: Flow, node: Node, index: Index, space: Space, inside: set[Node]) -> bool:
    """Whether the indices are read in place; what they point into must be whole before the group runs."""
    source, indices, _, at = node.args
    assert isinstance(source, Value) and isinstance(indices, tuple)
    if any(n in inside for n in flow.sources_of(source)):
        return False
    first = int(str(at))
    tensors = [i for i in indices if isinstance(i, Value)]
    return all(_reads_in_place(flow, i, index[first : first + tensor_type(i).rank], space, inside) for i in tensors)


def _reads_in_place(flow: Flow, value: Value, index: Index, space: Space, inside: set[Node]) -> bool:
    """Whether reading `value` at `index` touches values of the group only at the space's own point."""
    node = flow.producer.get(value)
    if node is None:
        return True
    if flow.computes(node):
        if node not in inside:
            return True
        own = space.index_of(tensor_type(value).shape)
        if own is None:
            return False
        return tuple(index) == own
    if not node.inputs:
        return True
    (source,) = node.inputs
    if kind_of(node) is Kind.PAD:
        return not any(n in inside for n in flow.sources_of(source))
    return _reads_in_place(flow, source, through_view(node, index, space.extents), space, inside)


def _leaves_and_returns(flow: Flow, group_of: dict[Node, Group], a: Group, b: Group) -> bool:
    """Whether some group other than a and b lies on a path from a to b."""
    seen: set[Group] = set()
    first = min(flow.order[n] for n in a.nodes)
    stack = [
        group_of[s] for n in b.nodes for s in flow.computed_sources(n) if s in group_of and group_of[s] not in (a, b)
    ]
    while stack:
        group = stack.pop()
        if group in seen:
            continue
        seen.add(group)
        if max(flow.order[n] for n in group.nodes) < first:
            continue
        for node in group.nodes:
            for source in flow.computed_sources(node):
                earlier = group_of.get(source)
                if earlier is a or earlier is b:
                    return True
                if earlier is not None and earlier is not group:
                    stack.append(earlier)
    return False
