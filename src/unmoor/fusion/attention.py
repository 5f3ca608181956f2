"""Joins a contraction, the rows that are made of it, and the contraction that reads these, into one group.

What lies between the two contractions, the scores of attention, then never leaves the cache: the kernel makes some rows
of it after the other. Right where nobody else reads it, and every value is read at the very place where it is made.
"""

from __future__ import annotations

from unmoor.fusion.grow import Group
from unmoor.fusion.nodes import Flow, kind_of
from unmoor.ir.graph import Node, Value, tensor_type, values_of
from unmoor.ir.op import Kind

MATMULS = ("prim::matmul", "prim::matmul_panels")


def join_attention(flow: Flow, groups: list[Group]) -> list[Group]:
    """The groups, those of attention joined."""
    group_of = {n: g for g in groups for n in g.nodes}
    readers: dict[Value, set[object]] = {}  # groups, and None for whatever else there is: views, guards, outputs
    for node in flow.graph.nodes:
        for value in node.used:
            readers.setdefault(value, set()).add(group_of.get(node))
    for value in values_of(flow.graph.outputs):
        readers.setdefault(value, set()).add(None)
    joined: dict[Group, Group] = {}
    for last in groups:
        found = _Chain(flow, group_of, readers, last).parts()
        if found is not None:
            nodes = sorted((n for g in found for n in g.nodes), key=flow.order.__getitem__)
            whole = Group("attention", nodes, last.space)
            joined.update(dict.fromkeys(found, whole))
    return list(dict.fromkeys(joined.get(g, g) for g in groups))


class _Chain:
    """The groups that end with `last`, where they can be one."""

    def __init__(self, flow: Flow, group_of: dict[Node, Group], readers: dict[Value, set[object]], last: Group) -> None:
        self.flow, self.group_of, self.readers, self.last = flow, group_of, readers, last

    def parts(self) -> tuple[Group, Group, Group] | None:
        second = _product(self.last)
        if second is None:
            return None
        weights = second.args[0]
        assert isinstance(weights, Value)
        rows = self._maker(weights)
        if rows is None or rows.kind != "row" or not self._softmax_like(rows, weights):
            return None
        firsts = {self.group_of[s] for n in rows.nodes for s in self.flow.computed_sources(n)} - {rows}
        firsts = {g for g in firsts if g.kind == "contract"}
        (first,) = firsts if len(firsts) == 1 else (None,)
        if first is None or not self._fits(first, rows, weights, second):
            return None
        span = [self.flow.order[n] for g in (first, rows, self.last) for n in g.nodes]
        if any(min(span) < branch < max(span) for branch in self.flow.branches):
            return None
        return first, rows, self.last

    def _maker(self, value: Value) -> Group | None:
        node = self.flow.producer.get(value)
        return self.group_of.get(node) if node is not None else None

    def _softmax_like(self, rows: Group, weights: Value) -> bool:
        """Whether the rows are folded along their last axis, which stays with size 1, and give the left operand."""
        shape = rows.space.shape
        return (
            rows.space.folded == {len(shape) - 1}
            and tensor_type(weights).shape == shape
            and all(kind_of(n) in (Kind.MAP, Kind.REDUCE) for n in rows.nodes)
            and not any(n.args[2] is False for n in rows.nodes if kind_of(n) is Kind.REDUCE)
        )

    def _fits(self, first: Group, rows: Group, weights: Value, second: Node) -> bool:
        product = _product(first)
        shape, out = rows.space.shape, tensor_type(second.output).shape
        if product is None or tensor_type(product.output).shape != shape or shape[:-1] != out[:-1]:
            return False
        if any(d == 1 for d in (*shape[-2:], out[-1])):
            return False  # a row or column alone has kernels of its own
        if any(value is weights for n in self.last.nodes for value in (n.inputs[1:] if n is second else n.inputs)):
            return False
        if any(kind_of(n) not in (Kind.MAP, Kind.CONTRACT) for g in (first, self.last) for n in g.nodes):
            return False
        dtype = tensor_type(weights).dtype
        return self._read_by(first, rows, shape, dtype) and self._read_by(rows, self.last, rows.space.row_shape, dtype)

    def _read_by(self, made: Group, reader: Group, shape: object, dtype: object) -> bool:
        """Whether what a group makes is read by the next one alone, through no view, in the shape that it has there."""
        for node in made.nodes:
            for value in node.outputs:
                others = self.readers.get(value, set()) - {made}
                if others - {reader}:
                    return False
                if others and not (tensor_type(value).shape == shape or value is _left(self.last)):
                    return False
                if others and tensor_type(value).dtype is not dtype:
                    return False
        return True


def _product(group: Group) -> Node | None:
    """The matrix product of a group of one."""
    if group.kind != "contract":
        return None
    (node,) = (n for n in group.nodes if kind_of(n) is Kind.CONTRACT)
    return node if node.op in MATMULS else None


def _left(group: Group) -> object:
    node = _product(group)
    return node.args[0] if node is not None else None
