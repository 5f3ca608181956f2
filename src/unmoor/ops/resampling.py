"""Resizing: each result is read at a computed place, or mixed from the places around it, one axis at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from unmoor.dtypes import DType, f32, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, dim
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import EXACT, composite
from unmoor.ops.samples import Rand

MIXED = Tolerance(
    {"f32": 2e-5, "f64": 1e-13}, {"f32": 1e-5, "f64": 1e-13}, "the places and weights are rounded in another order"
)
SHARPNESS = -0.75  # of the cubic kernel; antialiased resizing takes the usual -0.5
SOFT = -0.5


def _size(b: Builder, size: Dim, wanted: Any, factor: float | None) -> Dim:
    if wanted is not None:
        return dim(wanted)
    assert factor is not None
    whole = Fraction(factor)
    if whole.denominator <= 64:  # the product is exact, so the quotient is what eager rounds down to
        return (size * whole.numerator) // whole.denominator
    inverse = round(1 / factor)
    if factor == 1 / inverse:
        return size // inverse
    return dim(int(b.facts.int_of(size) * factor))


def number(b: Builder, size: Dim, dtype: DType = f32) -> Any:
    """A size as a 0-dim float."""
    zero = b.emit("prim::reshape", b.emit("prim::iota", 1), ())
    return b.emit("prim::cast", b.emit("aten::add", zero, size), dtype)


def _scale(b: Builder, size: Dim, count: Dim, factor: float | None, dtype: DType) -> Any:
    """How far apart in the source two neighbours of the result are."""
    kind = dtype.numpy.type
    if factor is not None:
        return float(kind(1 / factor))
    if size.is_const and count.is_const:
        return float(kind(size.value) / kind(count.value))
    return b.emit("aten::div", number(b, size, dtype), number(b, count, dtype))


def _counting(b: Builder, count: Dim, dtype: DType = f32) -> Any:
    return b.emit("prim::cast", b.emit("prim::iota", count), dtype)


def _exactness(b: Builder, x: Any) -> DType:
    """The dtype that places and weights are computed in: the tensor's own."""
    return b.type_of(x).dtype.compute


def _nearest(b: Builder, x: Any, axis: int, count: Dim, factor: float | None) -> Any:
    return _read(b, x, axis, b.emit("aten::mul", _counting(b, count), _apart(b, x, axis, count, factor)))


def _nearest_exact(b: Builder, x: Any, axis: int, count: Dim, factor: float | None) -> Any:
    middle = b.emit("aten::add", _counting(b, count), 0.5)
    return _read(b, x, axis, b.emit("aten::mul", middle, _apart(b, x, axis, count, factor)))


def _apart(b: Builder, x: Any, axis: int, count: Dim, factor: float | None) -> Any:
    return _scale(b, b.type_of(x).shape[axis], count, factor, f32)


def _read(b: Builder, x: Any, axis: int, place: Any) -> Any:
    whole = b.emit("prim::cast", b.emit("aten::floor", place), i64)
    at = b.emit("aten::clamp", whole, None, b.type_of(x).shape[axis] - 1)
    return b.emit("prim::take", x, (at,), (axis,), axis)


def _distance(b: Builder, size: Dim, count: Dim, factor: float | None, corners: bool, dtype: DType) -> Any:
    """How far apart in the source two neighbours of the result are, with their corners or their borders aligned."""
    if not corners:
        return _scale(b, size, count, factor, dtype)
    return 0.0 if b.facts.equal(count, 1) else _scale(b, size - 1, count - 1, None, dtype)


def _place(b: Builder, size: Dim, count: Dim, factor: float | None, corners: bool, dtype: DType) -> Any:
    """Where in the source each result lies."""
    apart = _distance(b, size, count, factor, corners, dtype)
    if corners:
        return b.emit("aten::mul", _counting(b, count, dtype), apart)
    place = b.emit("aten::mul", b.emit("aten::add", _counting(b, count, dtype), 0.5), apart)
    return b.emit("aten::sub", place, 0.5)


def _weighted(b: Builder, x: Any, axis: int, at: Any, weight: Any) -> Any:
    """The elements at places along an axis, each times its place's weight."""
    rank, count = b.type_of(x).rank, b.type_of(at).shape[0]
    column = b.emit("prim::reshape", weight, (count, *(1 for _ in range(rank - axis - 1))))
    return b.emit("aten::mul", b.emit("prim::take", x, (at,), (axis,), axis), column)


def _linear(b: Builder, x: Any, axis: int, count: Dim, factor: float | None, corners: bool) -> Any:
    size = b.type_of(x).shape[axis]
    place = b.emit("aten::clamp", _place(b, size, count, factor, corners, _exactness(b, x)), 0.0, None)
    low = b.emit("aten::clamp", b.emit("prim::cast", b.emit("aten::floor", place), i64), None, size - 1)
    high = b.emit("aten::clamp", b.emit("aten::add", low, 1), None, size - 1)
    share = b.emit("aten::sub", place, b.emit("prim::cast", low, _exactness(b, x)))
    first = _weighted(b, x, axis, low, b.emit("aten::rsub", share, 1))
    return b.emit("aten::add", first, _weighted(b, x, axis, high, share))


def cubic_weights(b: Builder, share: Any) -> list[Any]:
    """The weights of the four places around one that lies `share` behind the second (Keys 1981)."""
    nearer = [share, b.emit("aten::rsub", share, 1.0)]
    farther = [b.emit("aten::add", d, 1.0) for d in nearer]
    inner = [_cubic(b, d, (SHARPNESS + 2, -(SHARPNESS + 3), 0.0, 1.0)) for d in nearer]
    outer = [_cubic(b, d, (SHARPNESS, -5 * SHARPNESS, 8 * SHARPNESS, -4 * SHARPNESS)) for d in farther]
    return [outer[0], inner[0], inner[1], outer[1]]


def _cubic(b: Builder, d: Any, coefficients: Sequence[float]) -> Any:
    made: Any = b.emit("aten::mul", d, coefficients[0])
    for c in coefficients[1:-1]:
        made = b.emit("aten::mul", b.emit("aten::add", made, c) if c else made, d)
    return b.emit("aten::add", made, coefficients[-1])


def _bicubic(b: Builder, x: Any, axis: int, count: Dim, factor: float | None, corners: bool) -> Any:
    size = b.type_of(x).shape[axis]
    place = _place(b, size, count, factor, corners, _exactness(b, x))
    floor = b.emit("aten::floor", place)
    second = b.emit("prim::cast", floor, i64)
    made = None
    for k, weight in enumerate(cubic_weights(b, b.emit("aten::sub", place, floor))):
        at = b.emit("aten::clamp", b.emit("aten::add", second, k - 1), 0, size - 1)
        part = _weighted(b, x, axis, at, weight)
        made = part if made is None else b.emit("aten::add", made, part)
    return made


def _antialiased(reach: float) -> Callable[..., Any]:
    """The filter of that reach, widened to the distance of the results' places: a matrix along the axis."""

    def step(b: Builder, x: Any, axis: int, count: Dim, factor: float | None, corners: bool) -> Any:
        size, rank, dtype = b.type_of(x).shape[axis], b.type_of(x).rank, _exactness(b, x)
        apart = _distance(b, size, count, factor, corners, dtype)
        apart = b.emit("prim::full", (), apart, dtype) if isinstance(apart, float) else apart
        wide = b.emit("aten::maximum", apart, 1.0)
        column = b.emit("prim::reshape", b.emit("aten::add", _counting(b, count, dtype), 0.5), (count, 1))
        center = b.emit("aten::mul", column, apart)
        reached = b.emit("aten::mul", wide, reach)
        low = b.emit("prim::cast", b.emit("aten::add", b.emit("aten::sub", center, reached), 0.5), i64)
        high = b.emit("prim::cast", b.emit("aten::add", b.emit("aten::add", center, reached), 0.5), i64)
        places = b.emit("prim::iota", size)
        inside = b.emit("aten::logical_and", b.emit("aten::ge", places, low), b.emit("aten::lt", places, high))
        middle = b.emit("aten::add", b.emit("prim::cast", places, dtype), 0.5)
        distance = b.emit("aten::div", b.emit("aten::abs", b.emit("aten::sub", middle, center)), wide)
        weight = b.emit("aten::where", inside, _filter(b, distance, reach), 0.0)
        weight = b.emit("aten::div", weight, b.emit("aten::sum", weight, (1,), True, None))
        order = (*(a for a in range(rank) if a != axis), axis)
        last = b.emit("prim::permute", x, order)
        made = b.emit("aten::matmul", last, b.emit("prim::permute", weight, (1, 0)))
        return b.emit("prim::permute", made, tuple(order.index(a) for a in range(rank)))

    return step


def _filter(b: Builder, distance: Any, reach: float) -> Any:
    """The triangle of reach 1, or the cubic kernel of reach 2."""
    if reach == 1.0:
        return b.emit("aten::clamp", b.emit("aten::rsub", distance, 1.0), 0.0, None)
    inner = _cubic(b, distance, (SOFT + 2, -(SOFT + 3), 0.0, 1.0))
    outer = _cubic(b, distance, (SOFT, -5 * SOFT, 8 * SOFT, -4 * SOFT))
    beyond = b.emit("aten::where", b.emit("aten::lt", distance, 2.0), outer, 0.0)
    return b.emit("aten::where", b.emit("aten::lt", distance, 1.0), inner, beyond)


def _resize(step: Callable[..., Any], rank: int) -> Callable[..., Any]:
    def resize(b: Builder, x: Any, size: Any, *given: Any) -> Any:
        *align, factors = given
        shape = b.type_of(x).shape
        if b.type_of(x).dtype is not b.type_of(x).dtype.compute and step in (_linear, _bicubic):
            raise Unsupported(
                "this resizing of half floats, which eager rounds tap by tap: convert with .float() first"
            )
        if len(shape) != rank + 2:
            raise SignatureError(f"resizing {rank} dims needs a tensor of rank {rank + 2}")
        for a in range(rank):
            factor = None if factors is None else factors[a]
            count = _size(b, shape[a + 2], None if size is None else size[a], factor)
            if not b.facts.at_most(1, shape[a + 2]):
                raise SignatureError(f"resizing a tensor without elements along dim {a + 2}")
            moves = factor not in (None, 1) and step not in (_nearest, _linear) and not any(align)
            if count != shape[a + 2] or moves:  # eager's nearest and linear leave an axis that keeps its size
                x = step(b, x, a + 2, count, factor, *align)
        return x

    return resize


# -- references -----------------------------------------------------------------------------------
def _np_places(n: int, count: int, factor: float | None, corners: bool) -> np.ndarray:
    o = np.arange(count, dtype=np.float32)
    if corners:
        return np.asarray(o * np.float32((n - 1) / (count - 1) if count > 1 else 0))
    scale = np.float32(1 / factor) if factor else np.float32(n) / np.float32(count)
    return np.asarray((o + np.float32(0.5)) * scale - np.float32(0.5))


def _np_nearest(half: float) -> Callable[..., np.ndarray]:
    def matrix(n: int, count: int, factor: float | None, corners: bool) -> np.ndarray:
        scale = np.float32(1 / factor) if factor else np.float32(n) / np.float32(count)
        place = np.floor((np.arange(count, dtype=np.float32) + np.float32(half)) * scale)
        return np.asarray(np.eye(n, dtype=np.float32)[np.minimum(place.astype(np.int64), n - 1)])

    return matrix


def _np_linear(n: int, count: int, factor: float | None, corners: bool) -> np.ndarray:
    place = np.maximum(_np_places(n, count, factor, corners), 0)
    low = np.minimum(place.astype(np.int64), n - 1)
    share = (place - low).astype(np.float32)[:, None]
    eye = np.eye(n, dtype=np.float32)
    return np.asarray(eye[low] * (1 - share) + eye[np.minimum(low + 1, n - 1)] * share)


def _np_kernel(d: np.ndarray, a: float) -> np.ndarray:
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = (((d - 5) * d + 8) * d - 4) * a
    return np.asarray(np.where(d < 1, inner, np.where(d < 2, outer, 0)))


def _np_cubic(n: int, count: int, factor: float | None, corners: bool) -> np.ndarray:
    place = _np_places(n, count, factor, corners)
    low = np.floor(place)
    made = np.zeros((count, n), np.float32)
    for k in range(-1, 3):
        at = np.clip(low + k, 0, n - 1).astype(np.int64)
        np.add.at(made, (np.arange(count), at), _np_kernel(np.abs(place - low - k), SHARPNESS))
    return made


def _np_antialiased(reach: float) -> Callable[..., np.ndarray]:
    def matrix(n: int, count: int, factor: float | None, corners: bool) -> np.ndarray:
        scale = float(np.float32(1 / factor)) if factor else n / count
        if corners:
            scale = (n - 1) / (count - 1) if count > 1 else 0.0
        wide = max(scale, 1.0)
        center = (np.arange(count) + 0.5)[:, None] * scale
        places = np.arange(n)
        low = np.trunc(center - reach * wide + 0.5)
        high = np.trunc(center + reach * wide + 0.5)
        d = np.abs(places + 0.5 - center) / wide
        weight = np.maximum(1 - d, 0) if reach == 1.0 else _np_kernel(d, SOFT)
        weight = np.where((places >= low) & (places < high), weight, 0)
        return np.asarray(weight / weight.sum(1, keepdims=True)).astype(np.float32)

    return matrix


def _np_resize(rank: int, matrix: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Along each axis, the product with the matrix of weights."""

    def resize(x: np.ndarray, size: Any, *given: Any) -> np.ndarray:
        *align, factors = given
        for a in range(rank):
            factor = None if factors is None else factors[a]
            n = x.shape[a + 2]
            count = size[a] if size is not None else int(n * factors[a])
            x = np.moveaxis(np.moveaxis(x, a + 2, -1) @ matrix(n, count, factor, any(align)).T, -1, a + 2)
        return np.asarray(x).astype(np.float32)

    return resize


TAP_BY_TAP = ("upsample_linear1d", "upsample_trilinear3d", "upsample_bicubic2d")  # of half floats, in eager


# -- the table ------------------------------------------------------------------------------------
def _op(name: str, rank: int, step: Callable[..., Any], matrix: Callable[..., np.ndarray]) -> Op:
    x = Rand(2, 3, *(5, 4, 3)[:rank])
    mixed = step not in (_nearest, _nearest_exact)
    corners = "bool align_corners, " if mixed else ""
    modes: Sequence[tuple[Any, ...]] = [(False,), (True,)] if mixed else [()]
    samples = [Sample((x, (8, 3, 7)[:rank], *m, None)) for m in modes]
    samples += [Sample((x, None, *m, (2.0, 1.5, 0.5)[:rank])) for m in modes]
    return composite(
        f"aten::{name}",
        f"(Tensor input, int[]? output_size, {corners}float[]? scale_factors) -> Tensor",
        "vec",
        _resize(step, rank),
        _np_resize(rank, matrix),
        lambda d: samples,
        dtypes=("f32",),
        tolerance=MIXED if mixed else EXACT,
        stepwise=name in TAP_BY_TAP,
    )


RESAMPLING: list[Op] = [
    *(_op(f"upsample_nearest{rank}d", rank, _nearest, _np_nearest(0.0)) for rank in (1, 2, 3)),
    *(_op(f"_upsample_nearest_exact{rank}d", rank, _nearest_exact, _np_nearest(0.5)) for rank in (1, 2, 3)),
    _op("upsample_linear1d", 1, _linear, _np_linear),
    _op("upsample_bilinear2d", 2, _linear, _np_linear),
    _op("upsample_trilinear3d", 3, _linear, _np_linear),
    _op("upsample_bicubic2d", 2, _bicubic, _np_cubic),
    _op("_upsample_bilinear2d_aa", 2, _antialiased(1.0), _np_antialiased(1.0)),
    _op("_upsample_bicubic2d_aa", 2, _antialiased(2.0), _np_antialiased(2.0)),
]
