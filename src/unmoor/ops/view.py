"""Views: ops that only move elements. The core index maps, and PyTorch's views as compositions of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from unmoor.dtypes import promote
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, bounded_divide, const, dim, dmax, dmin, product
from unmoor.ir.op import Builder, Facts, Kind, Op, Sample
from unmoor.ir.types import TensorType
from unmoor.ops.family import EVERY, EXACT, FLOATS, axes_of, axis_of, composite, plain
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema

Index = tuple[Dim, ...]


def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


def _core(
    name: str,
    schema: str,
    infer: Callable[..., TensorType],
    lower: Callable[..., Index],
    reference: Callable[..., Any],
    *args: Any,
) -> Op:
    return Op(
        f"prim::{name}",
        parse_schema(schema),
        Kind.VIEW,
        infer,
        reference,
        (),
        lambda d: [Sample((_make(d)(2, 3, 4), *args))],
        EXACT,
        lower=lower,
        dtypes=EVERY,
    )


# -- core index maps ------------------------------------------------------------------------------
def _reshape_index(
    index: Index, extents: Mapping[str, Dim], source: TensorType, result: TensorType, shape: Any
) -> Index:
    """Row-major: the offset in the result, taken apart by the source's sizes; the outermost takes what is left."""
    offset, step = const(0), const(1)
    if any(extent == 0 for extent in source.shape):  # there is nothing to read
        return (offset,) * source.rank
    for i, extent in zip(reversed(index), reversed(result.shape), strict=True):
        offset, step = offset + i * step, step * extent
    wide = [a for a, extent in enumerate(source.shape) if extent != 1]
    out = [const(0)] * source.rank
    for a in reversed(wide):
        if a == wide[0]:
            out[a] = offset
        else:
            offset, out[a] = bounded_divide(offset, source.shape[a], extents)
    return tuple(out)


def _expand_infer(facts: Facts, x: TensorType, shape: Sequence[Any]) -> TensorType:
    return TensorType(x.dtype, tuple(dim(d) for d in shape))


def _expand_index(index: Index, extents: Any, source: TensorType, result: TensorType, shape: Any) -> Index:
    return tuple(
        const(0) if s == 1 and r != 1 else i for i, s, r in zip(index, source.shape, result.shape, strict=True)
    )


def _permute_index(index: Index, extents: Any, source: TensorType, result: TensorType, dims: Sequence[int]) -> Index:
    order = [int(str(d)) for d in dims]
    return tuple(index[order.index(a)] for a in range(len(order)))


def _slice_infer(facts: Facts, x: TensorType, axis: int, start: Any, step: Any, length: Any) -> TensorType:
    a = int(str(axis))
    return TensorType(x.dtype, (*x.shape[:a], dim(length), *x.shape[a + 1 :]))


def _slice_index(
    index: Index, extents: Any, source: TensorType, result: TensorType, axis: int, start: Any, step: Any, length: Any
) -> Index:
    a = int(str(axis))
    return tuple(i * step + start if k == a else i for k, i in enumerate(index))


def _np_slice(x: np.ndarray, axis: int, start: int, step: int, length: int) -> np.ndarray:
    return np.take(x, np.arange(length) * step + start, axis=axis)


def _flip_index(index: Index, extents: Any, source: TensorType, result: TensorType, dims: Sequence[int]) -> Index:
    return tuple(source.shape[a] - 1 - i if a in dims else i for a, i in enumerate(index))


def _windows_infer(facts: Facts, x: TensorType, axis: int, size: Any, step: Any, dilation: Any) -> TensorType:
    a, reach = int(str(axis)), dim(dilation) * (dim(size) - 1) + 1
    return TensorType(x.dtype, (*x.shape[:a], (x.shape[a] - reach) // dim(step) + 1, *x.shape[a + 1 :], dim(size)))


def _windows_index(
    index: Index, extents: Any, source: TensorType, result: TensorType, axis: int, size: Any, step: Any, dilation: Any
) -> Index:
    a = int(str(axis))
    return tuple(i * step + index[-1] * dilation if k == a else i for k, i in enumerate(index[:-1]))


def _np_windows(x: np.ndarray, axis: int, size: int, step: int, dilation: int) -> np.ndarray:
    reach = dilation * (size - 1) + 1
    whole = np.lib.stride_tricks.sliding_window_view(x, reach, axis)
    places = (slice(None),) * axis + (slice(None, None, step),)
    return np.asarray(whole[places][..., ::dilation])


def _strided_index(
    index: Index,
    extents: Any,
    source: TensorType,
    result: TensorType,
    shape: Any,
    strides: Sequence[Any],
    start: Any,
) -> Index:
    return (sum((i * step for i, step in zip(index, strides, strict=True)), dim(start)),)


def _np_strided(x: np.ndarray, shape: Sequence[int], strides: Sequence[int], start: int) -> np.ndarray:
    places = np.full(tuple(shape), start)
    for axis, step in enumerate(strides):
        places = places + np.arange(shape[axis]).reshape(-1, *(1 for _ in shape[axis + 1 :])) * step
    return np.asarray(x[places])


CORE: list[Op] = [
    _core("reshape", "(Tensor self, int[] shape) -> Tensor", _expand_infer, _reshape_index, np.reshape, (4, 6)),
    _core(
        "permute",
        "(Tensor self, int[] dims) -> Tensor",
        lambda facts, x, dims: TensorType(x.dtype, tuple(x.shape[int(str(d))] for d in dims)),
        _permute_index,
        np.transpose,
        (2, 0, 1),
    ),
    _core("expand", "(Tensor self, int[] shape) -> Tensor", _expand_infer, _expand_index, np.broadcast_to, (2, 3, 4)),
    _core(
        "slice",
        "(Tensor self, int axis, int start, int step, int length) -> Tensor",
        _slice_infer,
        _slice_index,
        _np_slice,
        1,
        1,
        1,
        2,
    ),
    replace(
        _core(
            "windows",
            "(Tensor self, int axis, int size, int step, int dilation) -> Tensor",
            _windows_infer,
            _windows_index,
            _np_windows,
            2,
            2,
            1,
            2,
        ),
        doc="Every `step`-th run of `size` elements, `dilation` apart, along an axis; a run is a new last axis.",
    ),
    replace(
        _core(
            "strided",
            "(Tensor self, int[] shape, int[] strides, int start) -> Tensor",
            lambda facts, x, shape, *_: _expand_infer(facts, x, shape),
            _strided_index,
            _np_strided,
        ),
        samples=lambda d: [Sample((_make(d)(24), (2, 3, 5), (4, 2, 1), 3))],
        doc="Elements of a row: the place that each index of an axis adds its stride to, from `start` on.",
    ),
    _core(
        "flip",
        "(Tensor self, int[] dims) -> Tensor",
        lambda facts, x, dims: x,
        _flip_index,
        lambda x, dims: np.flip(x, tuple(dims)),
        (1,),
    ),
]


# -- PyTorch's views ------------------------------------------------------------------------------
def reshape(b: Builder, x: Any, shape: Sequence[Any]) -> Any:
    """The tensor in another shape, one size of which may be -1."""
    type_ = b.type_of(x)
    wanted = [dim(d) for d in shape]
    unknown = [k for k, d in enumerate(wanted) if d == -1]
    if len(unknown) > 1:
        raise SignatureError("only one size can be -1")
    if unknown:
        known = product(d for k, d in enumerate(wanted) if k != unknown[0])
        if any(b.facts.equal(d, 0) for k, d in enumerate(wanted) if k != unknown[0]):
            raise SignatureError("a size of -1 cannot be told beside a size of 0")
        wanted[unknown[0]] = type_.numel // known
    if not b.facts.equal(product(wanted), type_.numel):
        raise SignatureError(f"shape {list(wanted)} does not fit {type_}")
    return b.emit("prim::reshape", x, tuple(wanted))


def _np_flatten(x: np.ndarray, start: int = 0, end: int = -1) -> np.ndarray:
    shape = x.shape or (1,)
    first, last = start % len(shape), end % len(shape)
    return x.reshape(*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])


def expand(b: Builder, x: Any, size: Sequence[Any]) -> Any:
    """The tensor with axes of size 1 repeated, new ones in front; -1 keeps a size."""
    type_ = b.type_of(x)
    new = len(size) - type_.rank
    if new < 0:
        raise SignatureError(f"expand to {len(size)} axes of a tensor of rank {type_.rank}")
    shape = [*(const(1) for _ in range(new)), *type_.shape]
    wanted = []
    for axis, given in enumerate(size):
        d, own = dim(given), shape[axis]
        if d == -1 or own == d or (own != 1 and b.facts.equal(own, d)):
            wanted.append(own)
        elif own == 1 or b.facts.equal(own, 1):
            wanted.append(d)
            shape[axis] = const(1)
        else:
            raise SignatureError(f"size {own} does not expand to {d}")
    if tuple(shape) != type_.shape:
        x = b.emit("prim::reshape", x, tuple(shape))
    return b.emit("prim::expand", x, tuple(wanted))


def permute(b: Builder, x: Any, dims: Sequence[int]) -> Any:
    """The tensor with its axes in another order."""
    rank = b.type_of(x).rank
    return b.emit("prim::permute", x, tuple(axis_of(d, rank) for d in dims))


def transpose(b: Builder, x: Any, dim0: int, dim1: int) -> Any:
    """The tensor with two axes swapped."""
    rank = b.type_of(x).rank
    order = list(range(rank))
    if rank:
        i, j = axis_of(dim0, rank), axis_of(dim1, rank)
        order[i], order[j] = order[j], order[i]
    return b.emit("prim::permute", x, tuple(order))


def unsqueeze(b: Builder, x: Any, axis: int) -> Any:
    """The tensor with a new axis of size 1."""
    shape = list(b.type_of(x).shape)
    shape.insert(axis_of(axis, len(shape) + 1), const(1))
    return b.emit("prim::reshape", x, tuple(shape))


def squeeze(b: Builder, x: Any, dims: Any) -> Any:
    """The tensor without those axes (all, for None) that have size 1."""
    type_ = b.type_of(x)
    among = axes_of(dims, type_.rank) if dims != () else ()
    shape = tuple(d for a, d in enumerate(type_.shape) if a not in among or not b.facts.equal(d, 1))
    return b.emit("prim::reshape", x, shape)


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


def flatten(b: Builder, x: Any, start: int, end: int) -> Any:
    """The axes start .. end as one."""
    type_ = b.type_of(x)
    if not type_.rank:
        return b.emit("prim::reshape", x, (1,))
    i, j = axis_of(start, type_.rank), axis_of(end, type_.rank)
    return b.emit("prim::reshape", x, (*type_.shape[:i], product(type_.shape[i : j + 1]), *type_.shape[j + 1 :]))


def unflatten(b: Builder, x: Any, axis: int, sizes: Sequence[Any]) -> Any:
    """One axis as several."""
    type_ = b.type_of(x)
    a = axis_of(axis, type_.rank)
    given = [dim(s) for s in sizes]
    if given.count(const(-1)) == 1:  # told by this axis alone, also where another is of size 0
        known = product(d for d in given if d != -1)
        if b.facts.equal(known, 0):
            raise SignatureError("a size of -1 cannot be told beside a size of 0")
        given[given.index(const(-1))] = type_.shape[a] // known
    if not b.facts.equal(product(given), type_.shape[a]):
        raise SignatureError(f"sizes {given} do not fit the axis of {type_.shape[a]}")
    return reshape(b, x, (*type_.shape[:a], *given, *type_.shape[a + 1 :]))


def cat(b: Builder, tensors: Sequence[Any], axis: int) -> Any:
    """Tensors one after the other along an axis; 1-D tensors of no elements are left out, as PyTorch does."""
    types = [b.type_of(t) for t in tensors]
    rank = max(t.rank for t in types)
    kept = [
        t for t, type_ in zip(tensors, types, strict=True) if not (type_.rank == 1 and rank > 1 and type_.shape[0] == 0)
    ]
    common = types[0].dtype
    for type_ in types:
        common = promote(common, type_.dtype)
    a = axis_of(axis, rank)
    first = b.type_of(kept[0]).shape
    for t in kept[1:]:
        other = b.type_of(t).shape
        if len(other) != rank or not all(
            k == a or b.facts.equal(m, n) for k, (m, n) in enumerate(zip(first, other, strict=True))
        ):
            raise SignatureError(f"cat along dim {axis} of {b.type_of(kept[0])} and {b.type_of(t)}")
    cast = tuple(t if b.type_of(t).dtype is common else b.emit("prim::cast", t, common) for t in kept)
    return cast[0] if len(cast) == 1 else b.emit("prim::cat", cast, a)


def stack(b: Builder, tensors: Sequence[Any], axis: int) -> Any:
    """Tensors of one shape along a new axis."""
    return cat(b, [unsqueeze(b, t, axis) for t in tensors], axis)


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
        raise SignatureError("split needs a positive size")
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


def repeat(b: Builder, x: Any, repeats: Sequence[Any]) -> Any:
    """The tensor several times along its axes."""
    shape = b.type_of(x).shape
    shape = (*(const(1) for _ in range(len(repeats) - len(shape))), *shape)
    between = [d for pair in zip([const(1)] * len(shape), shape, strict=True) for d in pair]
    wide = [d for pair in zip(repeats, shape, strict=True) for d in pair]
    expanded = b.emit("prim::expand", b.emit("prim::reshape", x, tuple(between)), tuple(dim(d) for d in wide))
    return b.emit("prim::reshape", expanded, tuple(d * r for d, r in zip(shape, repeats, strict=True)))


def roll(b: Builder, x: Any, shifts: Any, dims: Any) -> Any:
    """The elements moved along axes, those that leave at the end coming in at the front; without axes, of one row."""
    moves, axes = ((v,) if isinstance(v, int | Dim) else tuple(v) for v in (shifts, dims))
    type_ = b.type_of(x)
    if not axes:
        if len(moves) != 1:
            raise SignatureError("roll without dims takes one shift")
        flat = b.emit("prim::reshape", x, (type_.numel,))
        return b.emit("prim::reshape", roll(b, flat, moves, (0,)), type_.shape)
    if len(moves) != len(axes):
        raise SignatureError(f"roll with {len(moves)} shifts for {len(axes)} dims")
    for shift, axis in zip(moves, axes, strict=True):
        a = axis_of(axis, type_.rank)
        size = type_.shape[a] if type_.rank else const(0)
        if b.facts.is_found(size):
            raise Unsupported("roll along a dim whose size comes out of data")
        if not b.facts.at_most(1, size):
            continue
        start = -dim(shift) % size
        if start != 0:
            parts = (b.emit("prim::slice", x, a, start, 1, size - start), b.emit("prim::slice", x, a, 0, 1, start))
            x = b.emit("prim::cat", parts, a)
    return x


def narrow(b: Builder, x: Any, d: int, start: Any, length: Any) -> Any:
    """A run of an axis, which must lie within it: unlike a slice, it is not cut short."""
    size = b.type_of(x).shape[axis_of(d, b.type_of(x).rank)]
    first = dim(start)
    if first.is_const and first.value < 0:
        first = first + size
    if not b.facts.at_most(first + length, size):
        raise SignatureError(f"narrow from {first} of {length} elements exceeds an axis of {size}")
    return slice_(b, x, d, first, first + length, 1)


def movedim(b: Builder, x: Any, source: Any, destination: Any) -> Any:
    """The tensor with some axes at new places."""
    rank = b.type_of(x).rank
    src = [axis_of(a, rank) for a in ((source,) if isinstance(source, int) else source)]
    dst = [axis_of(a, rank) for a in ((destination,) if isinstance(destination, int) else destination)]
    order = [a for a in range(rank) if a not in src]
    for to, a in sorted(zip(dst, src, strict=True)):
        order.insert(to, a)
    return b.emit("prim::permute", x, tuple(order)) if rank else x


def _view(
    name: str,
    schema: str,
    decompose: Callable[..., Any],
    reference: Callable[..., Any],
    samples: list[tuple[Any, ...]],
    overloads: str = "default",
) -> Op:
    def made(dtype: str) -> list[Sample]:
        return [Sample((_make(dtype)(*shape), *args)) for shape, *args in samples]

    return composite(name, schema, overloads, decompose, reference, made, dtypes=EVERY, tolerance=EXACT)


def _np_squeeze(x: np.ndarray, dims: Any = None) -> np.ndarray:
    return x.reshape([d for a, d in enumerate(x.shape) if a not in axes_of(dims, x.ndim) or d != 1])


def _np_split(x: np.ndarray, size: int, axis: int) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, range(size, x.shape[axis], size), axis))


def _np_unflatten(x: np.ndarray, axis: int, sizes: Sequence[int]) -> np.ndarray:
    a = axis % x.ndim
    told = [x.shape[a] // prod(n for n in sizes if n != -1) if s == -1 else s for s in sizes]
    return x.reshape(*x.shape[:a], *told, *x.shape[a + 1 :])


def _np_chunk(x: np.ndarray, chunks: int, axis: int) -> tuple[np.ndarray, ...]:
    return _np_split(x, -(-x.shape[axis] // chunks), axis) if x.shape[axis] else (x,) * chunks


SELF = "(Tensor self) -> Tensor"
CAT = Op(
    "prim::cat",
    parse_schema("(Tensor[] tensors, int axis) -> Tensor"),
    Kind.JOIN,
    lambda facts, tensors, axis: TensorType(
        tensors[0].dtype,
        tuple(
            sum((t.shape[a] for t in tensors[1:]), tensors[0].shape[a]) if a == int(str(axis)) else d
            for a, d in enumerate(tensors[0].shape)
        ),
    ),
    lambda tensors, axis: np.concatenate(tensors, axis),
    (),
    lambda d: [Sample(((_make(d)(2, 3), _make(d)(2, 1)), 1))],
    EXACT,
    lower=True,
    dtypes=EVERY,
)

VIEW: list[Op] = [
    *CORE,
    CAT,
    _view(
        "aten::view",
        "(Tensor self, int[] size) -> Tensor",
        reshape,
        np.reshape,
        [((2, 6), (3, -1)), ((2, 3), (6,))],
        overloads="default view_copy.default _unsafe_view.default",
    ),
    _view(
        "aten::reshape",
        "(Tensor self, int[] shape) -> Tensor",
        reshape,
        np.reshape,
        [((2, 6), (3, -1)), ((4,), (2, 2))],
    ),
    _view(
        "aten::permute",
        "(Tensor self, int[] dims) -> Tensor",
        permute,
        np.transpose,
        [((2, 3, 4), (2, 0, -2))],
        overloads="default permute_copy.default",
    ),
    _view(
        "aten::transpose",
        "(Tensor self, int dim0, int dim1) -> Tensor",
        transpose,
        lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
        [((2, 3, 4), 0, -1)],
        overloads="int transpose_copy.int",
    ),
    _view(
        "aten::t",
        SELF,
        lambda b, x: transpose(b, x, 0, 1) if b.type_of(x).rank == 2 else x,
        np.transpose,
        [((2, 3),), ((4,),)],
        overloads="default t_copy.default",
    ),
    _view(
        "aten::numpy_T",
        SELF,
        lambda b, x: permute(b, x, tuple(reversed(range(b.type_of(x).rank)))),
        np.transpose,
        [((2, 3, 4),)],
    ),
    _view(
        "aten::mT",
        SELF,
        lambda b, x: transpose(b, x, -2, -1),
        lambda x: np.swapaxes(x, -1, -2) if x.ndim else x,
        [((2, 3, 4),)],
    ),
    _view(
        "aten::expand",
        "(Tensor self, int[] size) -> Tensor",
        expand,
        lambda x, s: np.broadcast_to(x, [x.shape[k - len(s)] if d == -1 else d for k, d in enumerate(s)]),
        [((3, 1), (2, -1, 4))],
        overloads="default expand_copy.default",
    ),
    _view(
        "aten::as_strided",
        "(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
        as_strided,
        lambda x, size, stride, start=0: _np_strided(x.reshape(-1), size, stride, start or 0),
        [((2, 12), (2, 3, 5), (4, 2, 1), 3), ((4, 3), (), ()), ((2, 3), (0, 2), (9, 1))],
        overloads="default as_strided_copy.default",
    ),
    _view(
        "aten::expand_as",
        "(Tensor self, Tensor other) -> Tensor",
        lambda b, x, o: expand(b, x, b.type_of(o).shape),
        lambda x, o: np.broadcast_to(x, o.shape),
        [((3, 1), Rand(2, 3, 4))],
    ),
    _view(
        "aten::unsqueeze",
        "(Tensor self, int dim) -> Tensor",
        unsqueeze,
        np.expand_dims,
        [((2, 3), -1), ((), 0)],
        overloads="default unsqueeze_copy.default",
    ),
    _view(
        "aten::squeeze",
        "(Tensor self, int[]? dim=None) -> Tensor",
        squeeze,
        _np_squeeze,
        [((2, 1, 3, 1),), ((2, 1, 3, 1), (1,)), ((2, 1), (0,))],
        overloads="default dim dims squeeze_copy.default squeeze_copy.dim squeeze_copy.dims",
    ),
    _view(
        "aten::flatten",
        "(Tensor self, int start_dim=0, int end_dim=-1) -> Tensor",
        flatten,
        _np_flatten,
        [((2, 3, 4),), ((2, 3, 4), 1), ((2, 3, 4), 0, 1), ((2, 3, 4), -2, -1), ((0, 3), 0, 1)],
        "using_ints",
    ),
    _view(
        "aten::unflatten",
        "(Tensor self, int dim, int[] sizes) -> Tensor",
        unflatten,
        _np_unflatten,
        [((2, 6), 1, (3, 2)), ((2, 6), -1, (3, 2)), ((6, 2), -2, (3, 2))],
        "int",
    ),
    _view(
        "aten::slice",
        "(Tensor self, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor",
        slice_,
        lambda x, d, s, e, k: x[(slice(None),) * (d % x.ndim) + (slice(s, e, k),)],
        [((5, 4), 0, 1, 4, 2), ((5, 4), 1, -2, None, 1), ((5, 4), -1, 1, None, 1)],
        overloads="Tensor slice_copy.Tensor",
    ),
    _view(
        "aten::select",
        "(Tensor self, int dim, int index) -> Tensor",
        select,
        lambda x, d, i: np.take(x, i, d),
        [((5, 4), 1, 2), ((5, 4), 0, -1)],
        overloads="int select_copy.int",
    ),
    _view(
        "aten::narrow",
        "(Tensor self, int dim, int start, int length) -> Tensor",
        narrow,
        lambda x, d, s, n: np.take(x, range(s, s + n), d),
        [((5, 4), 0, 1, 3)],
        overloads="default narrow_copy.default",
    ),
    _view(
        "aten::flip",
        "(Tensor self, int[] dims) -> Tensor",
        lambda b, x, dims: b.emit("prim::flip", x, axes_of(dims, b.type_of(x).rank)) if dims else x,
        lambda x, d: np.flip(x, tuple(d)) if x.ndim else x,
        [((3, 4), (0,)), ((3, 4), (0, -1))],
    ),
    _view(
        "aten::movedim",
        "(Tensor self, int[] source, int[] destination) -> Tensor",
        movedim,
        lambda x, source, destination: np.moveaxis(x, source, destination) if x.ndim else x,
        [((2, 3, 4), (0,), (2,))],
        overloads="intlist int moveaxis.intlist moveaxis.int",
    ),
    _view("aten::repeat", "(Tensor self, int[] repeats) -> Tensor", repeat, np.tile, [((2, 3), (2, 1, 3))]),
    _view(
        "aten::chunk",
        "(Tensor self, int chunks, int dim=0) -> Tensor[]",
        chunk,
        _np_chunk,
        [((6, 4), 3, 0), ((5, 4), 2, 0), ((0, 4), 2, 0)],
        overloads="default unsafe_chunk.default",
    ),
    _view(
        "aten::split",
        "(Tensor self, int split_size, int dim=0) -> Tensor[]",
        split_equally,
        _np_split,
        [((6, 4), 4, 0)],
        overloads="Tensor unsafe_split.Tensor split_copy.Tensor",
    ),
    _view(
        "aten::split_with_sizes",
        "(Tensor self, int[] split_sizes, int dim=0) -> Tensor[]",
        split,
        lambda x, s, d: tuple(np.split(x, np.cumsum(s)[:-1], d)),
        [((6, 4), (1, 5), 0)],
        overloads="default split.sizes unsafe_split_with_sizes.default split_with_sizes_copy.default",
    ),
    _view(
        "aten::roll",
        "(Tensor self, int[] shifts, int[] dims=[]) -> Tensor",
        roll,
        lambda x, s, d=(): np.roll(x, s, d if d != () else None),
        [((3, 4), (1,), (0,)), ((3, 4), (-6, 5), (1, -2)), ((3, 4), (5,), ()), ((0, 3), (1,), (0,))],
    ),
    _view(
        "aten::unbind",
        "(Tensor self, int dim=0) -> Tensor[]",
        unbind,
        lambda x, d: tuple(np.moveaxis(x, d, 0)),
        [((3, 4), 0), ((3, 4), 1)],
        overloads="int unbind_copy.int",
    ),
    composite(
        "aten::cat",
        "(Tensor[] tensors, int dim=0) -> Tensor",
        "default",
        cat,
        np.concatenate,
        lambda d: [Sample(((_make(d)(2, 3), _make(d)(1, 3)), 0)), Sample(((_make(d)(2, 3), _make(d)(2, 5)), -1))],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    composite(
        "aten::stack",
        "(Tensor[] tensors, int dim=0) -> Tensor",
        "default",
        stack,
        np.stack,
        lambda d: [Sample(((_make(d)(2, 3), _make(d)(2, 3)), 1))],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
]
