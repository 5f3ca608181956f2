"""Views of a part: slices, selections, the pieces of an axis, and what lies at strides in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim, const, dim, dmax, dmin
from unmoor.ir.op import Builder, Op
from unmoor.ops.family import axis_of, plain
from unmoor.ops.index_maps import np_strided, view


def bound(b: Builder, index: Any, size: Dim, default: Any) -> Dim:
    """A slice's bound, negative ones counted from the end, kept within 0 .. size."""
    if index is None:
        return dim(default)
    d = dim(index)
    if d.is_const and d.value >= 2**62:
        return size
    if b.facts.is_found(size) or b.facts.is_found(d):
        behind = d.value < 0 if d.is_const else not b.facts.at_most(0, d)
        return dmin(dmax(d + size, 0) if behind else d, size)
    if (d.is_const and d.value < 0) or (not d.is_const and not b.facts.at_most(0, d)):
        return d + size if b.facts.at_most(-d, size) else const(0)
    if d == 0:
        return d
    return d if d == size or b.facts.at_most(d, size) else size


def run_length(b: Builder, first: Dim, last: Dim) -> Dim:
    """How many places lie between two bounds."""
    if b.facts.is_found(last - first):
        return dmax(last - first, 0)
    return last - first if b.facts.at_most(first, last) else const(0)


def slice_(b: Builder, x: Any, axis: int, start: Any, end: Any, step: Any) -> Any:
    """x[start:end:step] along an axis."""
    type_ = b.type_of(x)
    a, stride = axis_of(axis, type_.rank), plain(step)
    if stride < 1:
        raise SignatureError("a slice's step must be positive")
    size = type_.shape[a]
    first, last = bound(b, start, size, 0), bound(b, end, size, size)
    length = run_length(b, first, last)
    if first == 0 and length == size and stride == 1:
        return x
    return b.emit("prim::slice", x, a, first, stride, (length + (stride - 1)) // stride)


def select(b: Builder, x: Any, axis: int, index: Any) -> Any:
    """x[index] along an axis, which goes away."""
    type_ = b.type_of(x)
    a = axis_of(axis, type_.rank)
    size, place = type_.shape[a], dim(index)
    if not b.facts.at_most(0, place):
        place = place + size
    if not (b.facts.at_most(0, place) and b.facts.at_most(place + 1, size)):
        raise SignatureError(f"index {index} is out of range for dim {axis} of size {size}")
    one = b.emit("prim::slice", x, a, place, 1, 1)
    return b.emit("prim::reshape", one, (*type_.shape[:a], *type_.shape[a + 1 :]))


def as_strided(b: Builder, x: Any, shape: Sequence[Any], strides: Sequence[Any], start: Any) -> Any:
    """The elements that lie at such steps in the tensor's memory, which is row-major."""
    sizes, steps, first = [dim(d) for d in shape], [dim(s) for s in strides], dim(start or 0)
    if len(sizes) != len(steps):
        raise SignatureError("as_strided needs as many strides as sizes")
    count = b.type_of(x).numel
    if any(b.facts.equal(d, 0) for d in sizes):
        return b.emit("prim::full", tuple(sizes), False, b.type_of(x).dtype)
    reach = sum(((d - 1) * s for d, s in zip(sizes, steps, strict=True)), first) + 1
    if not b.facts.at_most(reach, count):
        raise SignatureError(f"as_strided reaches over {reach} elements of {count}")
    return b.emit("prim::strided", b.emit("prim::reshape", x, (count,)), tuple(sizes), tuple(steps), first)


def narrow(b: Builder, x: Any, d: int, start: Any, length: Any) -> Any:
    """A run of an axis, which must lie within it: unlike a slice, it is not cut short."""
    size = b.type_of(x).shape[axis_of(d, b.type_of(x).rank)]
    first = dim(start)
    if first.is_const and first.value < 0:
        first = first + size
    if not b.facts.at_most(first + length, size):
        raise SignatureError(f"narrow from {first} of {length} elements exceeds an axis of {size}")
    return slice_(b, x, d, first, first + length, 1)


def split(b: Builder, x: Any, sizes: Sequence[Any], axis: int) -> tuple[Any, ...]:
    """Pieces of the given sizes along an axis."""
    type_ = b.type_of(x)
    if not all(b.facts.at_most(0, size) for size in sizes):
        raise SignatureError("split needs sizes that are not negative")
    if not b.facts.equal(sum(map(dim, sizes), const(0)), type_.shape[axis_of(axis, type_.rank)]):
        raise SignatureError(f"split needs sizes that add up to that of the axis, {type_.shape[axis]}")
    parts, start = [], const(0)
    for size in sizes:
        parts.append(slice_(b, x, axis, start, start + size, 1))
        start = start + size
    return tuple(parts)


def split_equally(b: Builder, x: Any, size: Any, axis: int) -> tuple[Any, ...]:
    """Pieces of one size along an axis, the last perhaps smaller. Their number becomes part of the signature."""
    type_ = b.type_of(x)
    total, each = type_.shape[axis_of(axis, type_.rank)], dim(size)
    if not b.facts.at_most(1, each):
        if not (b.facts.equal(each, 0) and b.facts.equal(total, 0)):
            raise SignatureError("split needs a positive size")
        return (x,)
    pieces = max(b.facts.int_of((total + each - 1) // each), 1)
    return split(b, x, [*[each] * (pieces - 1), total - each * (pieces - 1)], axis)


def chunk(b: Builder, x: Any, chunks: int, axis: int) -> tuple[Any, ...]:
    """At most `chunks` pieces of one size along an axis; of no elements, just so many."""
    type_ = b.type_of(x)
    size = type_.shape[axis_of(axis, type_.rank)]
    whole, rest = size // chunks, size % chunks
    if rest == 0:
        return split(b, x, [whole] * chunks, axis)
    total = b.facts.int_of(size)
    if total == 0:
        return split(b, x, [const(0)] * chunks, axis)
    return split_equally(b, x, -(-total // chunks), axis)


def unbind(b: Builder, x: Any, axis: int) -> tuple[Any, ...]:
    """The slices along an axis, whose size becomes part of the signature."""
    type_ = b.type_of(x)
    return tuple(select(b, x, axis, k) for k in range(b.facts.int_of(type_.shape[axis_of(axis, type_.rank)])))


def _np_split(x: np.ndarray, size: int, axis: int) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, range(size, x.shape[axis], size), axis)) if x.shape[axis] else (x,)


def _np_chunk(x: np.ndarray, chunks: int, axis: int) -> tuple[np.ndarray, ...]:
    return _np_split(x, -(-x.shape[axis] // chunks), axis) if x.shape[axis] else (x,) * chunks


SLICING: list[Op] = [
    view(
        "aten::as_strided",
        "(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
        as_strided,
        lambda x, size, stride, start=0: np_strided(x.reshape(-1), size, stride, start or 0),
        [((2, 12), (2, 3, 5), (4, 2, 1), 3), ((4, 3), (), ()), ((2, 3), (0, 2), (9, 1))],
        overloads="default as_strided_copy.default",
    ),
    view(
        "aten::slice",
        "(Tensor self, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor",
        slice_,
        lambda x, d, s, e, k: x[(slice(None),) * (d % x.ndim) + (slice(s, e, k),)],
        [((5, 4), 0, 1, 4, 2), ((5, 4), 1, -2, None, 1), ((5, 4), -1, 1, None, 1)],
        overloads="Tensor slice_copy.Tensor",
    ),
    view(
        "aten::select",
        "(Tensor self, int dim, int index) -> Tensor",
        select,
        lambda x, d, i: np.take(x, i, d),
        [((5, 4), 1, 2), ((5, 4), 0, -1)],
        overloads="int select_copy.int",
    ),
    view(
        "aten::narrow",
        "(Tensor self, int dim, int start, int length) -> Tensor",
        narrow,
        lambda x, d, s, n: np.take(x, range(s, s + n), d),
        [((5, 4), 0, 1, 3)],
        overloads="default narrow_copy.default",
    ),
    view(
        "aten::chunk",
        "(Tensor self, int chunks, int dim=0) -> Tensor[]",
        chunk,
        _np_chunk,
        [((6, 4), 3, 0), ((5, 4), 2, 0), ((0, 4), 2, 0)],
        overloads="default unsafe_chunk.default",
    ),
    view(
        "aten::split",
        "(Tensor self, int split_size, int dim=0) -> Tensor[]",
        split_equally,
        _np_split,
        [((6, 4), 4, 0)],
        overloads="Tensor unsafe_split.Tensor split_copy.Tensor",
    ),
    view(
        "aten::split_with_sizes",
        "(Tensor self, int[] split_sizes, int dim=0) -> Tensor[]",
        split,
        lambda x, s, d: tuple(np.split(x, np.cumsum(s)[:-1], d)),
        [((6, 4), (1, 5), 0)],
        overloads="default split.sizes unsafe_split_with_sizes.default split_with_sizes_copy.default",
    ),
    view(
        "aten::unbind",
        "(Tensor self, int dim=0) -> Tensor[]",
        unbind,
        lambda x, d: tuple(np.moveaxis(x, d, 0)),
        [((3, 4), 0), ((3, 4), 1)],
        overloads="int unbind_copy.int",
    ),
]
