"""Where the elements of a value come from: index maps of views, broadcasting, and linear offsets."""

from __future__ import annotations

from collections.abc import Mapping

from unmoor.ir.dim import Dim, const
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ops import TABLE

Index = tuple[Dim, ...]
ZERO = const(0)


def through_view(node: Node, index: Index, extents: Mapping[str, Dim]) -> Index:
    """The index into a view's source for an index into the view; loop symbols lie below `extents`."""
    source, *rest = node.args
    assert isinstance(source, Value)
    lowered = TABLE[node.op].lower(index, extents, tensor_type(source), tensor_type(node.output), *rest)
    return tuple(lowered)


def broadcast_index(index: Index, shape: tuple[Dim, ...]) -> Index:
    """The index into an operand of `shape` that is broadcast to an index's place: trailing axes, size 1 at 0."""
    aligned = index[len(index) - len(shape) :]
    return tuple(ZERO if extent == 1 else i for i, extent in zip(aligned, shape, strict=True))


def strides(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Element strides of a contiguous tensor."""
    out: list[Dim] = []
    step = const(1)
    for extent in reversed(shape):
        out.append(step)
        step = step * extent
    return tuple(reversed(out))


def linear(index: Index, shape: tuple[Dim, ...]) -> Dim:
    """The offset of an index in a contiguous tensor."""
    total = ZERO
    for i, step in zip(index, strides(shape), strict=True):
        total = total + i * step
    return total
