"""Tells whether two blocks do the same: the same nodes in the same order, of the same values from outside."""

from __future__ import annotations

from collections.abc import Callable

from unmoor.ir.graph import Arg, Block, Node, Value

Same = Callable[[Value, Value], bool]


def unlike(a: Block, b: Block, same: Same) -> Node | Block | None:
    """The first node of `b` that differs from that of `a`, `b` where only the ends differ, None where nothing does.

    `same` compares values from outside. Where nodes stand in the user's program does not matter.
    """
    return _Comparison(same).block(a, b)


class _Comparison:
    def __init__(self, same: Same) -> None:
        self.same = same
        self.known: dict[Value, Value] = {}  # those of the blocks themselves

    def block(self, a: Block, b: Block) -> Node | Block | None:
        if len(a.params) != len(b.params):
            return b
        self.known.update(zip(a.params, b.params, strict=True))
        for one, other in zip(a.nodes, b.nodes, strict=False):
            found = self._node(one, other)
            if found is not None:
                return found
        if len(a.nodes) < len(b.nodes):
            return b.nodes[len(a.nodes)]
        return None if len(a.nodes) == len(b.nodes) and self._arg(a.results, b.results) else b

    def _node(self, a: Node, b: Node) -> Node | Block | None:
        alike = a.op == b.op and len(a.outputs) == len(b.outputs) and len(a.blocks) == len(b.blocks)
        if not alike or not self._arg(_without_message(a), _without_message(b)):
            return b
        for one, other in zip(a.blocks, b.blocks, strict=True):
            if self.block(one, other) is not None:
                return b
        self.known.update(zip(a.outputs, b.outputs, strict=True))
        return None

    def _arg(self, a: Arg, b: Arg) -> bool:
        if isinstance(a, tuple):
            return isinstance(b, tuple) and len(a) == len(b) and all(map(self._arg, a, b))
        if isinstance(a, Value):
            if not isinstance(b, Value):
                return False
            return self.known[a] is b if a in self.known else self.same(a, b)
        return type(a) is type(b) and repr(a) == repr(b)


def _without_message(node: Node) -> tuple[Arg, ...]:
    """The arguments, but for what a guard says."""
    return node.args[:2] if node.op.endswith("guard") else node.args
