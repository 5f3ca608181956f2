"""Which integers a tensor can hold, where its making tells: counted out by `prim::iota`, or constant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unmoor.ir.dim import Dim, const, dim, nonnegative
from unmoor.ir.graph import Arg, Node, Value, tensor_type
from unmoor.ir.op import Kind
from unmoor.ops import TABLE

Span = tuple[Dim, Dim]  # the least, and one more than the greatest


def span_of(value: Arg, producer: Mapping[Value, Node], constants: Mapping[Value, np.ndarray]) -> Span | None:
    """Bounds of an integer tensor's elements; None where its making does not tell."""
    if not isinstance(value, Value) or tensor_type(value).dtype.numpy.kind != "i":
        return None
    data = constants.get(value)
    if data is not None:
        return (const(int(data.min())), const(int(data.max()) + 1)) if data.size else None
    node = producer.get(value)
    if node is None:
        return None
    if node.op == "prim::iota":
        return const(0), tensor_type(value).shape[0]
    if node.op == "prim::nonzero":
        return const(0), tensor_type(node.inputs[0]).numel
    if node.op in ("aten::remainder", "aten::floor_divide") and len(node.inputs) == 1:
        return _divided(node, producer, constants)
    if TABLE[node.op].kind is Kind.VIEW or node.op == "prim::cast":
        return _part(node, producer) or span_of(node.args[0], producer, constants)
    if node.op == "aten::add" and len(node.inputs) == 1 and node.args[2] == 1:
        given, shift = node.args[0], node.args[1]
        inner = span_of(given, producer, constants)
        if inner is not None and isinstance(shift, int | Dim) and not isinstance(shift, bool):
            return inner[0] + dim(shift), inner[1] + dim(shift)
    return None


def _divided(node: Node, producer: Mapping[Value, Node], constants: Mapping[Value, np.ndarray]) -> Span | None:
    """The bounds of a quotient or rest, by a size, of what is not negative."""
    inner, size = span_of(node.args[0], producer, constants), node.args[1]
    if inner is None or not nonnegative(inner[0]) or isinstance(size, bool) or not isinstance(size, int | Dim):
        return None
    if not nonnegative(dim(size)):
        return None
    if node.op == "aten::remainder":
        return const(0), dim(size)
    return const(0), inner[1] // size if inner[1] % size == 0 else (inner[1] - 1) // size + 1


def _part(node: Node, producer: Mapping[Value, Node]) -> Span | None:
    """The bounds of a slice of an iota; None for other nodes."""
    counted = producer.get(node.inputs[0])
    if node.op != "prim::slice" or counted is None or counted.op != "prim::iota" or node.args[3] != 1:
        return None
    start, length = node.args[2], node.args[4]
    assert isinstance(start, int | Dim) and isinstance(length, int | Dim)
    return dim(start), dim(start) + length
