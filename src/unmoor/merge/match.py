"""Follows a recording along known paths: which values are the same, and where it leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from unmoor.ir.graph import Arg, Value
from unmoor.ir.recording import State
from unmoor.merge.paths import Definitions, Edge, Step

Use = tuple[Step | Edge, tuple[int, ...]]  # a place among a step's arguments, or among an edge's outputs


@dataclass
class Match:
    """Known values and those of the new recording that they are.

    Where the recording joins a known path (`joining`), values that were made before may be paired freely; `splits`
    then has what is one value on the known way and another on the new one, with the places where it is used.
    """

    known: dict[Value, Arg]
    definitions: Definitions
    shared: set[Value]
    joining: bool = False
    made: set[Value] = field(default_factory=set)  # by the known steps that were walked since the join
    made_new: set[Value] = field(default_factory=set)
    splits: dict[tuple[Value, Value], list[Use]] = field(default_factory=dict)
    turned: list[tuple[Edge, dict[Value, set[Value]]]] = field(default_factory=list)  # sides not taken, and roles there
    guards: list[tuple[Step, State]] = field(default_factory=list)  # walked, with the new state there
    walked: list[Step] = field(default_factory=list)

    def same(self, a: Arg, b: Arg, use: Use | None = None) -> bool:
        """Whether a known argument is the new one."""
        if isinstance(a, tuple):
            if not isinstance(b, tuple) or len(a) != len(b):
                return False
            uses = [None if use is None else (use[0], (*use[1], k)) for k in range(len(a))]
            return all(self.same(x, y, u) for x, y, u in zip(a, b, uses, strict=True))
        if not isinstance(a, Value) or not isinstance(b, Value):
            return type(a) is type(b) and repr(a) == repr(b) and not isinstance(a, Value)
        if a in self.definitions or b in self.definitions:
            if a not in self.definitions or b not in self.definitions:
                return False
            x, y = self.definitions[a], self.definitions[b]
            return x.op == y.op and self.same(x.args, y.args)
        return self._pair(a, b, use)

    def _pair(self, a: Value, b: Value, use: Use | None) -> bool:
        now = self.known.get(a, a if a in self.shared else None)
        if now is b:
            return True
        if not self.joining or a in self.made or b in self.made_new:
            return False
        if now is None:
            self.known[a] = b
            return True
        if use is None:
            return False
        self.splits.setdefault((a, b), []).append(use)
        return True

    def same_state(self, a: object, b: object, roles: dict[Value, set[Value]]) -> bool:
        """Whether the program holds the same; `roles` gets what each known value is on the new way."""
        if isinstance(a, tuple) and isinstance(b, tuple):
            return len(a) == len(b) and all(self.same_state(x, y, roles) for x, y in zip(a, b, strict=True))
        if not isinstance(a, Value) or not isinstance(b, Value):
            return not isinstance(a, Value) and not isinstance(b, Value) and a == b
        if a in self.definitions or b in self.definitions:
            return self.same(a, b)
        now = self.known.get(a, a if a in self.shared else None)
        if now is not b and (a in self.made or b in self.made_new):
            return False
        if now is None:
            self.known[a] = b
        roles.setdefault(a, set()).add(b)
        return True

    # -- walking ------------------------------------------------------------------------------
    def cross(self, edge: Edge) -> None:
        """Go along a known edge."""
        moved: dict[Value, Arg] = {}
        for value, source in edge.values.items():
            if not isinstance(source, Value) or source in self.shared or source in self.known:
                moved[value] = self.known.get(source, source) if isinstance(source, Value) else source
        self.known.update(moved)
        if self.joining:  # these become what they are on this way, and cannot be paired with anything else
            self.made.update(edge.values)
            for value in edge.values.keys() - moved.keys():
                self.known.pop(value, None)

    def step(self, step: Step, new: Step) -> bool:
        """Go over a step that is no guard."""
        a, b = step.node, new.node
        if a.op != b.op or a.source != b.source or len(a.outputs) != len(b.outputs):
            return False
        if not self.same(a.args, b.args, (step, ())):
            return False
        self.known.update(zip(a.outputs, b.outputs, strict=True))
        self.made.update(a.outputs)
        self.made_new.update(b.outputs)
        self.walked.append(step)
        return True

    def guard(self, step: Step, new: Step) -> tuple[bool, bool] | None:
        """The side that a new guard takes at a known one, and whether it is used up; None where they differ."""
        a, b = step.node, new.node
        if not new.is_guard or a.source != b.source:
            return None
        roles: dict[Value, set[Value]] = {}
        if self.joining and (
            step.state is None or new.state is None or not self.same_state(step.state, new.state, roles)
        ):
            return None
        condition, other = a.args[0], b.args[0]
        assert isinstance(condition, Value) and isinstance(other, Value)
        if self.same(condition, other):
            side, used = new.held, True
        elif self._other_number(condition, other) and step.held and new.held:
            side, used = False, False
        else:
            return None
        if self.joining and new.state is not None:
            self.guards.append((step, new.state))
            self.turned.extend((edge, roles) for s, edge in step.sides.items() if s is not side)
        self.walked.append(step)
        return side, used

    def _other_number(self, a: Value, b: Value) -> bool:
        """Whether two conditions say that the same number equals two different ones."""
        x, y = self.definitions.get(a), self.definitions.get(b)
        if x is None or y is None or x.op != "prim::compare" or y.op != "prim::compare":
            return False
        if x.args[2] != "==" or y.args[2] != "==" or not self.same(x.args[0], y.args[0]):
            return False
        one, other = x.args[1], y.args[1]
        return isinstance(one, int | float) and isinstance(other, int | float) and one != other and other == other


def pairs(a: object, b: object) -> Iterator[tuple[Value, Value]]:
    """The graph values that stand at the same places of two states."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        for x, y in zip(a, b, strict=False):
            yield from pairs(x, y)
    elif isinstance(a, Value) and isinstance(b, Value):
        yield a, b
