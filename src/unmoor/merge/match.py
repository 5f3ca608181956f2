"""Follows a recording along known paths: which values are the same, and which side it takes at a guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unmoor.ir.alike import unlike
from unmoor.ir.graph import Arg, Value
from unmoor.merge.paths import Definitions, Edge, Step


@dataclass
class Match:
    """Known values, and those of the new recording that they are."""

    known: dict[Value, Arg]
    definitions: Definitions
    fixed: set[Value]  # constants

    def same(self, a: Arg, b: Arg) -> bool:
        """Whether a known argument is the new one."""
        return _alike(a, b, self.definitions, lambda x, y: self.known.get(x, x if x in self.fixed else None) is y)

    def cross(self, edge: Edge) -> None:
        """Go along a known edge."""
        moved = {}
        for value, source in edge.values.items():
            now = (
                self.known.get(source, source if source in self.fixed else None)
                if isinstance(source, Value)
                else source
            )
            if now is not None:
                moved[value] = now
        if edge.values:  # they go by their new names from here on
            sources = set(edge.values.values())
            self.known = {v: now for v, now in self.known.items() if v not in sources}
            self.known.update(moved)
        if edge.to is not None and edge.to.known is not None:  # other ways lead here, and bring these alone
            self.known = {v: now for v, now in self.known.items() if v in edge.to.known}

    def step(self, step: Step, new: Step) -> bool:
        """Go over a step that is no guard."""
        a, b = step.node, new.node
        if a.op != b.op or a.source != b.source or len(a.outputs) != len(b.outputs) or not self.same(a.args, b.args):
            return False
        if any(unlike(x, y, self.same) is not None for x, y in zip(a.blocks, b.blocks, strict=True)):
            return False
        self.known.update(zip(a.outputs, b.outputs, strict=True))
        return True

    def guard(self, step: Step, new: Step) -> tuple[bool, bool] | None:
        """The side that a new guard takes at a known one, and whether it is used up; None where they differ."""
        a, b = step.node, new.node
        if not new.is_guard or a.source != b.source:
            return None
        condition, other = a.args[0], b.args[0]
        assert isinstance(condition, Value) and isinstance(other, Value)
        if self.same(condition, other):
            return new.held, True
        return (False, False) if self._other_number(condition, other) and step.held and new.held else None

    def _other_number(self, a: Value, b: Value) -> bool:
        """Whether two conditions say that the same number equals two different ones, or the same dtype."""
        x, y = self.definitions.get(a), self.definitions.get(b)
        if x is None or y is None or x.op != y.op or x.op not in ("prim::compare", "prim::is_dtype"):
            return False
        if x.op == "prim::is_dtype":
            return self.same(x.args[0], y.args[0]) and x.args[1] is not y.args[1]
        if x.args[2] != "==" or y.args[2] != "==" or not self.same(x.args[0], y.args[0]):
            return False
        one, other = x.args[1], y.args[1]
        return isinstance(one, int | float) and isinstance(other, int | float) and one != other and other == other


class Pairs(dict[Value, Value]):
    """Known values, and the new ones that are to stand in their places. False where one would be two."""

    def __init__(self, definitions: Definitions, fixed: set[Value]) -> None:
        super().__init__()
        self.definitions, self.fixed = definitions, fixed

    def add(self, a: Arg, b: Arg) -> bool:
        """Whether a known argument can be the new one; values in it are paired."""
        return _alike(a, b, self.definitions, lambda x, y: (x if x in self.fixed else self.setdefault(x, y)) is y)


def _alike(a: Arg, b: Arg, definitions: Definitions, values: Callable[[Value, Value], bool]) -> bool:
    """Whether two arguments are the same but for values, which `values` compares; defined ones by their definitions."""
    if isinstance(a, tuple):
        if not isinstance(b, tuple) or len(a) != len(b):
            return False
        return all(_alike(x, y, definitions, values) for x, y in zip(a, b, strict=True))
    if not isinstance(a, Value) or not isinstance(b, Value):
        return type(a) is type(b) and repr(a) == repr(b) and not isinstance(a, Value)
    if a in definitions or b in definitions:
        if a not in definitions or b not in definitions:
            return False
        x, y = definitions[a], definitions[b]
        return x.op == y.op and _alike(x.args, y.args, definitions, values)
    return values(a, b)
