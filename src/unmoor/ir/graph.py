"""Graphs: programs over tensors and numbers in SSA form, as recorded and as optimised.

Meaning. Nodes run in order; each value is defined once, before its uses; a block sees the values
of the blocks around it. Values are immutable: there are no views and no in-place writes at this
level (capture makes them explicit), so a node without effects may be dropped, moved or repeated.

A *recorded* graph has untyped tensors (`Tensor`) and holds at every rank and size that its guards
allow; sizes are values (`prim::size(%x, 0)`) and integer arithmetic on them. A *typed* graph belongs
to one signature: each tensor has a TensorType over the signature's symbols, and sizes stand in the
arguments as Dims. Floats follow IEEE 754 as eager PyTorch computes them: no fast-math, NaN and -0 kept.

Structural ops, outside the op table:

    prim::size(tensor, axis) -> int             size along an axis; only in recorded graphs
    prim::rank(tensor) -> int                   number of axes; only in recorded graphs
    prim::is_contiguous(tensor) -> bool         of an input: do its elements lie in order without gaps; only recorded
    prim::is_dtype(tensor, dtype) -> bool       whether the tensor has that dtype; only recorded
    prim::int_<op>(a, b) -> int                 add sub mul floordiv mod min max neg; only recorded
    prim::float_<op>(...) -> float              add sub mul div pow neg sqrt ceil floor of Python numbers
    prim::compare(a, b, "<") -> bool            of ints or floats: < <= > >= == !=; only recorded
    prim::not(a) -> bool
    prim::leaf(tensor, number) -> tensor        a leaf that gradients end at, by its number; only recorded
    prim::grad([outputs], [seeds], [leaves], again)
                                                gradients of the outputs times the seeds, one for each leaf; `again`:
                                                gradients of them may be asked for; only recorded
    prim::item(tensor) -> int|float|bool        the one element of a tensor, as a number
    prim::truth(tensor) -> bool                 bool(tensor): the one element is not zero
    prim::guard(cond, expected, message, value) NotTraced(message) unless bool(cond) is expected; `value`, in a typed
                                                graph and not always there, is the number that the message is about
    prim::rank_guard(tensor, rank, message)     NotTraced unless the tensor has that rank; only recorded
    prim::dtype_guard(tensor, dtype, message)   NotTraced unless the tensor has that dtype; only recorded
    prim::dims(tensor, name, [entry...])        what the user says of an input's dims: none, a size, or a name with its
                                                least and greatest size (or none); only recorded
    prim::If(cond)                              two blocks without parameters, of which the first runs where cond holds,
                                                else the second; its results are the node's outputs
    prim::Loop(turns, condition, backward, [carried...], [scanned...])
                                                one block, run `turns` times, or while the bool tensor
                                                `condition` holds: the other one is none. Its parameters are
                                                the carried values, then a row of each scanned tensor: what it
                                                holds at one place of its first axis. It yields the next
                                                condition where there is one, then what is carried on, then
                                                further rows. The outputs are the carried values after the last
                                                turn, then those rows of all turns, side by side along a new
                                                first axis. With `backward` the turns take and give rows from
                                                the last to the first. A loop with a condition has no rows.
    prim::raise(message, value)                 NotTraced(message), where a branch was never seen: the last node of a
                                                block, which then has no results; `value` as of a guard
    fusion::<kind>(inputs...)                   a fusion group: one block whose nodes share one kernel

In a grouped graph a `prim::reshape` outside the groups is another name for the same memory, `prim::pack` copies a
matrix into panels, `prim::matmul_panels` is a matmul whose right operand is stored so, and `prim::unpack` shows such a
matrix to what reads it element by element.

In a typed graph `item` and number arithmetic have become 0-dim tensors and ops on them, and `guard`
takes a 0-dim bool tensor. Guards that sizes decide are gone: each is proven, or a relation of the signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Union

import numpy as np

from unmoor.dtypes import DType
from unmoor.ir.dim import Dim
from unmoor.ir.types import TENSOR, TensorType, Type


@dataclass(frozen=True)
class Source:
    """Where an op stands in the user's program: file, 1-based line, that line's text, module path.

    Of a line in a library, `caller` is the user's own that led there, as `train.py:12`: for the texts of errors while
    one compiles, so files and the text of graphs are without it.
    """

    file: str = ""
    line: int = 0
    text: str = ""
    module: str = ""
    caller: str = field(default="", compare=False)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        return f"{where} ({self.module})".strip() if self.module else where

    @property
    def led(self) -> str:
        """The line, with the user's own that led there: `masking.py:369, called from train.py:12`; "" for none."""
        called = f", called from {self.caller}" if self.caller else ""
        return f"{self.file}:{self.line}{called}" if self.file else ""


NOWHERE = Source()


@dataclass(frozen=True, eq=False)
class Value:
    """A value of the graph, compared by identity. `name` is unique in its graph and prints as `%name`."""

    name: str
    type: Type = TENSOR

    def __repr__(self) -> str:
        return f"%{self.name}"


# What a node's argument may be: a value, a constant, a Dim (typed graphs), or a list of those.
Arg = Union[Value, Dim, DType, None, bool, int, float, str, tuple["Arg", ...]]
# Views one after the other: ops, each with the numbers that follow its tensor.
Views = tuple[tuple[str, tuple[object, ...]], ...]


@dataclass(frozen=True, eq=False)
class Block:
    """Nodes with parameters and results: a branch, a loop body or a fusion group."""

    params: tuple[Value, ...]
    nodes: tuple[Node, ...]
    results: tuple[Arg, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """One op applied. `args` follow the op's schema, one per parameter, defaults filled in."""

    op: str
    args: tuple[Arg, ...]
    outputs: tuple[Value, ...]
    source: Source = NOWHERE
    blocks: tuple[Block, ...] = ()

    @property
    def output(self) -> Value:
        """The single output; ValueError where there are several or none."""
        (only,) = self.outputs
        return only

    @cached_property
    def inputs(self) -> tuple[Value, ...]:
        """The values among the arguments, in order, lists included; not those that blocks capture."""
        return tuple(values_of(self.args))

    @cached_property
    def captured(self) -> tuple[Value, ...]:
        """The values from outside that the blocks use, each once, in the order of their first use."""
        found: dict[Value, None] = {}
        for block in self.blocks:
            inside = set(block.params)
            for node in block.nodes:
                found.update((v, None) for v in (*node.inputs, *node.captured) if v not in inside)
                inside.update(node.outputs)
            found.update((v, None) for v in values_of(block.results) if v not in inside)
        return tuple(found)

    @cached_property
    def used(self) -> tuple[Value, ...]:
        """What the node needs: its inputs, then what its blocks capture."""
        return (*self.inputs, *self.captured) if self.blocks else self.inputs

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The symbols in the arguments, in the types of what it gives, and in its blocks."""
        found = set(_symbols_in(self.args))
        for value in self.outputs:
            if isinstance(value.type, TensorType):
                found.update(_symbols_in(value.type.shape))
        for block in self.blocks:
            found.update(*(node.symbols for node in block.nodes), _symbols_in(block.results))
        return frozenset(found)


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor fixed by the trace: a parameter, buffer, closed-over tensor, or a folded result.

    `origin` says where it came from ("parameter l1.weight", "folded"); `data` is read-only, C-contiguous.
    A constant made for how a kernel reads it names the constant that it shows, and the views, each an op with what
    follows its tensor, `through` which it does: so both are stored once. Its data is then a view or copy of it.
    """

    value: Value
    data: np.ndarray
    origin: str = ""
    shows: Constant | None = None
    through: Views = ()

    def seen(self, value: Value, data: np.ndarray, views: Views) -> Constant:
        """What further views make of it."""
        return Constant(value, data, self.origin, self.shows or self, (*self.through, *views))

    @property
    def transposed(self) -> bool:
        """Whether it shows the other with its last two axes swapped, and nothing else changed."""
        order = list(range(self.data.ndim))
        return self.through == (("prim::permute", ((*order[:-2], *order[:-3:-1]),)),)


@dataclass(frozen=True)
class Relation:
    """A fact about sizes that a signature demands: `left op right`, with op one of == != <= < .

    `message` is what the user is told where it does not hold, or "" where the sizes say enough.
    """

    left: Dim
    op: str
    right: Dim
    message: str = ""

    def holds(self, env: Mapping[str, int]) -> bool:
        a, b = self.left.evaluate(env), self.right.evaluate(env)
        return {"==": a == b, "!=": a != b, "<=": a <= b, "<": a < b}[self.op]

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole program. `relations` and typed inputs are empty or untyped in a recorded graph."""

    name: str
    inputs: tuple[Value, ...]
    constants: tuple[Constant, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Arg, ...]
    relations: tuple[Relation, ...] = field(default=())

    def walk(self) -> Iterator[Node]:
        """All nodes in order, those inside blocks right after the node that holds them."""
        return walk_nodes(self.nodes)

    def values(self) -> Iterator[Value]:
        """Everything that is defined, in order; what is in a node's blocks before its outputs."""
        yield from self.inputs
        yield from (c.value for c in self.constants)
        yield from _defined(self.nodes, [])

    @property
    def differentiates(self) -> bool:
        """Whether a recorded graph asks for gradients."""
        return any(node.op == "prim::grad" for node in self.walk())

    @property
    def constant_of(self) -> dict[Value, Constant]:
        return {c.value: c for c in self.constants}


def tensor_type(value: Value) -> TensorType:
    """The type of a tensor in a typed graph; AssertionError for an untyped value."""
    assert isinstance(value.type, TensorType), f"%{value.name} is no typed tensor"
    return value.type


def _defined(nodes: tuple[Node, ...], found: list[Value]) -> list[Value]:
    for node in nodes:
        for block in node.blocks:
            found += block.params
            _defined(block.nodes, found)
        found += node.outputs
    return found


def walk_nodes(nodes: tuple[Node, ...]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for block in node.blocks:
            yield from walk_nodes(block.nodes)


def values_of(arg: object) -> list[Value]:
    """The values in an argument or (nested) list of arguments, in order."""
    if isinstance(arg, Value):
        return [arg]
    found: list[Value] = []
    if isinstance(arg, tuple):
        for a in arg:
            if isinstance(a, Value):
                found.append(a)
            elif isinstance(a, tuple):
                found += values_of(a)
    return found


def _symbols_in(args: tuple[Arg, ...]) -> set[str]:
    found: set[str] = set()
    for arg in args:
        if isinstance(arg, Dim):
            found |= arg.symbols
        elif isinstance(arg, tuple):
            found |= _symbols_in(arg)
    return found


def map_arg(arg: Arg, mapping: Mapping[Value, Arg]) -> Arg:
    """The argument with values replaced; values that are not in `mapping` stay."""
    if isinstance(arg, Value):
        return mapping.get(arg, arg)
    if isinstance(arg, tuple):
        return tuple(map_arg(a, mapping) for a in arg)
    return arg


def map_node(node: Node, mapping: Mapping[Value, Arg]) -> Node:
    """The node with values replaced in its arguments, and in its blocks where they are used; else itself."""
    if not any(v in mapping for v in node.used):
        return node
    args = tuple(map_arg(a, mapping) for a in node.args)
    blocks = tuple(
        replace(
            b, nodes=tuple(map_node(n, mapping) for n in b.nodes), results=tuple(map_arg(r, mapping) for r in b.results)
        )
        for b in node.blocks
    )
    return replace(node, args=args, blocks=blocks)


@dataclass(frozen=True)
class LoopParts:
    """What stands where in a `prim::Loop` and its block."""

    turns: Arg
    condition: Arg
    backward: bool
    initial: tuple[Arg, ...]
    scanned: tuple[Arg, ...]
    carried: tuple[Value, ...]  # parameters
    rows: tuple[Value, ...]  # parameters
    next_condition: tuple[Arg, ...]  # of one, or none
    next_carried: tuple[Arg, ...]
    next_rows: tuple[Arg, ...]


def loop_parts(node: Node) -> LoopParts:
    """The parts of a loop that the verifier has passed."""
    turns, condition, backward, initial, scanned = node.args
    assert isinstance(initial, tuple) and isinstance(scanned, tuple)
    (block,) = node.blocks
    count, first = len(initial), 0 if condition is None else 1
    return LoopParts(
        turns,
        condition,
        bool(backward),
        initial,
        scanned,
        block.params[:count],
        block.params[count:],
        block.results[:first],
        block.results[first : first + count],
        block.results[first + count :],
    )


def raises(block: Block) -> bool:
    """Whether a block ends in NotTraced, so that it has no results."""
    return bool(block.nodes) and block.nodes[-1].op == "prim::raise"


class Names:
    """Fresh value names: the wanted one, else with the first free number behind it."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._given = taken
        self._next: dict[str, int] = {}

    @cached_property
    def _taken(self) -> set[str]:
        return set(self._given)  # read when a name is first asked for: many a pass needs none

    def fresh(self, wanted: str = "") -> str:
        name, n = wanted, self._next.get(wanted, 0)
        while not name or name in self._taken:
            name, n = (f"{wanted}.{n}" if wanted else str(n)), n + 1
        self._next[wanted] = n
        self._taken.add(name)
        return name


def names_of(graph: Graph) -> Names:
    """Names that avoid every value of `graph`."""
    return Names(v.name for v in graph.values())
