"""Paths: the steps of several recordings as one acyclic graph, which splits at guards and joins where runs go on alike.

Each recording has values of its own, but for the constants. A step keeps those of the recording that brought it; an
edge says, for values of its target's recording, which values of its source's they are on this way. The values that it
does not speak of are the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from unmoor.ir.graph import Arg, Node, Value, values_of
from unmoor.ir.recording import Held

GUARD = "prim::guard"
# What is computed from numbers alone, or read from a tensor, costs nothing to repeat, and is no step.
PURE = (
    "prim::size",
    "prim::rank",
    "prim::is_contiguous",
    "prim::is_dtype",
    "prim::compare",
    "prim::not",
    "prim::item",
    "prim::truth",
    "prim::int_",
    "prim::float_",
)


def is_pure(node: Node) -> bool:
    """Whether a node makes a number, which may be computed wherever it is used."""
    return node.op.startswith(PURE)


@dataclass(eq=False)
class Edge:
    """The way to the next step, or to the end with `outputs`. `values`: the target's values in the source's terms."""

    to: Step | None
    values: dict[Value, Arg] = field(default_factory=dict)
    outputs: tuple[Arg, ...] = ()


@dataclass(eq=False)
class Step:
    """A node that ran. `sides` has the key True for what follows; for a guard, True and False for both sides.

    `writes`: the program wrote in place right after it. `run` and `asked` tell which recording brought it, and how many
    guards it had asked before. Where several ways lead here, `known` are the values that each of them brings; `loose`:
    what shares memory differs between them.
    """

    node: Node
    held_state: Held | None = None
    writes: bool = False
    run: int = 0
    asked: int = 0
    sides: dict[bool, Edge] = field(default_factory=dict)
    known: frozenset[Value] | None = None
    loose: bool = False

    @cached_property
    def reads(self) -> tuple[Arg, ...]:
        """The arguments, and what the blocks use from outside."""
        return (*self.node.args, *self.node.captured)

    @property
    def is_guard(self) -> bool:
        return self.node.op == GUARD

    @property
    def held(self) -> bool:
        return bool(self.node.args[1])


def after(edge: Edge) -> list[Step]:
    """The steps that an edge leads to, each before those that follow it."""
    order: list[Step] = []
    done: set[Step] = set()
    stack: list[tuple[Step, bool]] = [(edge.to, False)] if edge.to is not None else []
    while stack:
        step, left = stack.pop()
        if left:
            order.append(step)
        elif step not in done:
            done.add(step)
            stack.append((step, True))
            stack += [(e.to, False) for e in step.sides.values() if e.to is not None]
    return order[::-1]


class Definitions(dict[Value, Node]):
    """The nodes of the numbers that are no steps."""

    def leaves(self, arg: Arg) -> Iterator[Value]:
        """The values of steps, inputs and constants that an argument is made of."""
        for value in values_of(arg):
            if value in self:
                yield from self.leaves(self[value].args)
            else:
                yield value


def needs(first: Edge, definitions: Definitions) -> dict[Step, set[Value]]:
    """For each step, the values that it and what follows use and that were made before it."""
    needed: dict[Step, set[Value]] = {}
    for step in reversed(after(first)):
        wanted = set(definitions.leaves(step.reads))
        for edge in step.sides.values():
            wanted |= edge_needs(edge, needed, definitions)
        needed[step] = wanted - set(step.node.outputs)
    return needed


def edge_needs(edge: Edge, needed: dict[Step, set[Value]], definitions: Definitions) -> set[Value]:
    """The values that an edge and what follows it use, in its source's terms."""
    wanted = needed[edge.to] if edge.to is not None else set(definitions.leaves(edge.outputs))
    return {leaf for v in wanted for leaf in definitions.leaves(edge.values.get(v, v))}
