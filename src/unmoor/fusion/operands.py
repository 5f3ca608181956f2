"""Prepares a typed graph for grouping: contractions get operands that their kernel can read fast.

The right operand of a matmul comes packed into panels: a constant at compile time, any other by a `prim::pack` node.
The left one must be readable with a fixed stride along each axis. Inline values that nobody can read through cheaply
(graph outputs, guards' conditions, reshapes that would need a division per element) become *anchors*: they get
kernels of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unmoor.fusion.nodes import PACK, is_inline, kind_of
from unmoor.ir.dim import Call, Dim, const, sym
from unmoor.ir.graph import Arg, Constant, Graph, Names, Node, Value, names_of, tensor_type, values_of
from unmoor.ir.op import Kind
from unmoor.ir.types import TensorType
from unmoor.ops import evaluate
from unmoor.ops.access import Index, linear, through_view

RESHAPE = "prim::reshape"
PERMUTE = "prim::permute"
WINDOWED = ("prim::windows", "prim::pad", RESHAPE)  # what stands between windows and the tensor that they are of
CONVOLVE = "prim::convolve"
TAKE = "prim::take"
REPEATS = (2, 4, 8)  # lanes that may share an element
TESTS = ("prim::guard", "prim::If", "prim::Loop", "prim::raise")  # what they read, the machine reads as one number
SMALL_RIGHT = 64 * 64  # elements of a right operand that is read in place: packing would cost more than it saves


class _Preparation:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names: Names = names_of(graph)
        self.producer = {v: n for n in graph.nodes if not n.blocks for v in n.outputs}
        self.constants = {c.value: c for c in graph.constants}
        self.added: dict[tuple[str, tuple[object, ...]], Constant] = {}
        self.nodes: list[Node] = []
        self.anchors: set[Value] = set()

    def emit(self, op: str, args: tuple[Arg, ...], type: TensorType, like: Node) -> Value:
        out = Value(self.names.fresh(like.output.name), type)
        node = Node(op, args, (out,), like.source)
        self.nodes.append(node)
        self.producer[out] = node
        return out

    # -- contractions -------------------------------------------------------------------------
    def matmul(self, node: Node) -> None:
        left, right = node.args
        assert isinstance(left, Value) and isinstance(right, Value)
        if tensor_type(right).shape[-1] == 1:
            self.matrix_vector(node, left, right)
            return
        self.anchor_unless_strided(left)
        right = self.without_batch_expand(right)
        panels = self.constant_for_panels(right)
        if panels is None and self.readable_in_place(right):
            self.nodes.append(Node(node.op, (left, right), node.outputs, node.source))
            return
        packed = panels or self.emit(PACK, (right,), tensor_type(right), node)
        made = Node("prim::matmul_panels", (left, packed), node.outputs, node.source)
        self.nodes.append(made)
        self.producer[node.output] = made

    def convolution(self, node: Node) -> None:
        """A convolution walks over its left operand as it lies in memory; its right one is always packed."""
        left, right, *rest = node.args
        assert isinstance(left, Value) and isinstance(right, Value)
        if not self.in_memory(left):
            self.anchor(left)
        packed = self.constant_for_panels(right) or self.emit(PACK, (right,), tensor_type(right), node)
        made = Node(node.op, (left, packed, *rest), node.outputs, node.source)
        self.nodes.append(made)
        self.producer[node.output] = made

    def windows(self, node: Node) -> None:
        """Windows read each element several times, and so from where their last axis lies side by side."""
        value = node.inputs[0]
        while (source := self.producer.get(value)) is not None and source.op in WINDOWED:
            (value,) = source.inputs
        if source is not None and source.op == PERMUTE and source.args[1][-1] != tensor_type(value).rank - 1:  # type: ignore[index]
            self.anchor(value)

    def matrix_vector(self, node: Node, left: Value, right: Value) -> None:
        """A single column is a row-wise dot product: both operands run along k with stride 1."""
        shape = tensor_type(right).shape
        rank = len(shape)
        swap = (*range(rank - 2), rank - 1, rank - 2)
        dtype = tensor_type(right).dtype
        row = self.emit("prim::permute", (right, swap), TensorType(dtype, (*shape[:-2], shape[-1], shape[-2])), node)
        product = self.emit("aten::mul", (left, row), tensor_type(left), node)
        reduced = Node("prim::sum", (product, (rank - 1,), True), node.outputs, node.source)
        self.nodes.append(reduced)
        self.producer[node.output] = reduced

    def without_batch_expand(self, value: Value) -> Value:
        """The source of an expand along batch axes only: one matrix serves every batch."""
        node = self.producer.get(value)
        if node is None or node.op != "prim::expand":
            return value
        source = node.args[0]
        assert isinstance(source, Value)
        shape = tensor_type(source).shape
        if shape[-2:] == tensor_type(value).shape[-2:] and all(d == 1 for d in shape[:-2]):
            return source
        return value

    def constant_for_panels(self, value: Value) -> Value | None:
        """A constant, seen through views, as a constant of its own that `emit` will store in panels.

        Half floats stay half floats: the contraction widens what it reads.
        """
        chain: list[Node] = []
        base = value
        while (node := self.producer.get(base)) is not None and node.inputs and (is_inline(node) or _widens(node)):
            if is_inline(node):
                chain.insert(0, node)
            (base,) = node.inputs
        constant = self.constants.get(base)
        if constant is None or any(isinstance(x, Dim) and not x.is_const for n in chain for x in _flat(n.args[1:])):
            return None
        key = (base.name, tuple((n.op, n.args[1:]) for n in chain))
        if key not in self.added:
            data: np.ndarray = constant.data
            views = tuple((n.op, tuple(map(_plain, n.args[1:]))) for n in chain)
            for op, args in views:
                data = evaluate(op, (data, *args))
            type_ = TensorType(tensor_type(base).dtype, tensor_type(value).shape)
            made = Value(self.names.fresh(f"{base.name}.panels"), type_)
            self.added[key] = constant.seen(made, data, views)
        return self.added[key].value

    def share_tables(self, outputs: set[Value]) -> None:
        """Look-ups in a constant that a contraction reads as panels read the same panels: tied weights stand once."""
        shown = {c.shows.value: c for c in self.added.values() if c.shows and (c.transposed or not c.through)}
        other = {v for n in self.nodes for v in n.used if not (n.op == TAKE and n.args[0] is v)}
        nodes, self.nodes = self.nodes, []
        for node in nodes:
            panels = shown.get(node.inputs[0]) if node.op == TAKE and node.inputs[0] not in other | outputs else None
            if panels is None:
                self.nodes.append(node)
                continue
            source = self.emit("prim::unpack", (panels.value,), tensor_type(panels.value), node)
            if panels.transposed:
                rank = tensor_type(source).rank
                swap = (*range(rank - 2), rank - 1, rank - 2)
                source = self.emit("prim::permute", (source, swap), tensor_type(node.inputs[0]), node)
            self.nodes.append(replace(node, args=(source, *node.args[1:])))

    def readable_in_place(self, value: Value) -> bool:
        """Whether a right operand may stay unpacked: small, and its columns lie side by side."""
        *_, k, n = tensor_type(value).shape
        if not (k.is_const and n.is_const and k.value * n.value <= SMALL_RIGHT):
            return False
        offset = self.offset(value)
        return offset is not None and offset.coefficient(f"i{tensor_type(value).rank - 1}") == 1

    def anchor_unless_strided(self, value: Value) -> None:
        """Copies a left operand unless its elements lie at fixed strides, 1 along the contracted axis."""
        shape = tensor_type(value).shape
        offset = self.offset(value)
        steps = [offset.coefficient(f"i{a}") if offset is not None else None for a in range(len(shape))]
        if any(s is None for s in steps) or (shape[-1] != 1 and steps[-1] != 1):
            self.anchor(value)

    def offset(self, value: Value) -> Dim | None:
        """The linear offset of value[i0, i1, ...] in what is in memory; None where it is not in memory."""
        shape = tensor_type(value).shape
        index: Index = tuple(const(0) if e == 1 else sym(f"i{a}") for a, e in enumerate(shape))
        extents = {f"i{a}": e for a, e in enumerate(shape)}
        while (node := self.producer.get(value)) is not None and is_inline(node) and not self.in_memory(value):
            if kind_of(node) is not Kind.VIEW:
                return None
            index = through_view(node, index, extents)
            (value,) = node.inputs
        return linear(index, tensor_type(value).shape)

    # -- anchors ------------------------------------------------------------------------------
    def in_memory(self, value: Value) -> bool:
        """Whether the value's elements lie in memory in order: computed, given, or a reshape of such."""
        node = self.producer.get(value)
        if node is None or value in self.anchors or not is_inline(node):
            return True
        return node.op == RESHAPE and self.in_memory(node.inputs[0])

    def anchor(self, value: Value) -> None:
        """Materialises an inline value; of a reshape its source, since the reshape is then only a name."""
        while (node := self.producer.get(value)) is not None and node.op == RESHAPE:
            (value,) = node.inputs
        if node is not None and is_inline(node):
            self.anchors.add(value)

    def anchor_numbers(self, node: Node) -> None:
        """What a guard, branch or loop tests or tells is of rank 0 itself, and not by another name of memory."""
        for value in node.args:
            source = self.producer.get(value) if isinstance(value, Value) else None
            if source is not None and source.op == RESHAPE:
                self.anchors.add(source.output)

    def anchor_dividing_reshape(self, node: Node) -> None:
        value = node.output
        if self.in_memory(value):
            return
        shape = tensor_type(value).shape
        index = tuple(sym(f"i{a}") for a in range(len(shape)))
        extents = {f"i{a}": e for a, e in enumerate(shape)}
        inner = through_view(node, index, extents)
        source = self.producer.get(node.inputs[0])
        if source is not None and source.op == "prim::expand" and tensor_type(source.inputs[0]).shape[-1] == 1:
            inner = through_view(
                source, inner, extents
            )  # elements repeated: lanes beside each other share what they read
            if shape[-1].is_const and all(_repeats(d, f"i{len(shape) - 1}") for d in inner):
                return
        if any(isinstance(atom, Call) for d in inner for m, _ in d.terms for atom, _ in m):
            self.anchor(value)


def _repeats(d: Dim, last: str) -> bool:
    """Whether an index divides, if at all, the last loop's alone, by a number of lanes."""
    calls = [atom for monomial, _ in d.terms for atom, _ in monomial if isinstance(atom, Call)]
    return all(c.fn == "floordiv" and c.a == sym(last) and c.b in REPEATS for c in calls)


def _widens(node: Node) -> bool:
    """Whether a node casts half floats to what they are computed with."""
    if node.op != "prim::cast":
        return False
    dtype = tensor_type(node.inputs[0]).dtype
    return dtype.is_float and dtype is not dtype.compute and node.args[1] is dtype.compute


def _plain(arg: Arg) -> object:
    """An argument with constant Dims as ints."""
    if isinstance(arg, tuple):
        return tuple(_plain(a) for a in arg)
    return arg.value if isinstance(arg, Dim) and arg.is_const else arg


def _flat(arg: object) -> list[object]:
    return [x for a in arg for x in _flat(a)] if isinstance(arg, tuple) else [arg]


def prepare(graph: Graph) -> tuple[Graph, frozenset[Value]]:
    """The graph with contraction operands prepared, and the inline values to materialise."""
    work = _Preparation(graph)
    for node in graph.nodes:
        if node.op == "prim::matmul":
            work.matmul(node)
        elif node.op == CONVOLVE:
            work.convolution(node)
        else:
            if node.op == "prim::windows":
                work.windows(node)
            if node.op == RESHAPE:
                work.anchor_dividing_reshape(node)
            if node.op in TESTS or kind_of(node) is Kind.BUILTIN:
                for value in node.used:
                    work.anchor(value)
            work.nodes.append(node)
    for value in values_of(graph.outputs):
        work.anchor(value)
    for node in graph.walk():  # what is made here may be tested in a block
        if node.op in TESTS:
            work.anchor_numbers(node)
    work.nodes = _needed(work.nodes, set(values_of(graph.outputs)))
    work.share_tables(set(values_of(graph.outputs)))
    constants = graph.constants + tuple(work.added.values())
    return replace(graph, constants=constants, nodes=tuple(work.nodes)), frozenset(work.anchors)


def _needed(nodes: Sequence[Node], used: set[Value]) -> list[Node]:
    """The nodes without widening casts, and views of them, that packed weights have made needless."""
    kept = []
    for node in reversed(nodes):
        if not used.isdisjoint(node.outputs) or not (is_inline(node) or _widens(node)):
            kept.append(node)
            used.update(node.used)
    return kept[::-1]
