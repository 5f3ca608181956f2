"""Resizing: each result is read at a computed place, or mixed from the two places beside it, one axis at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import f32, i64
from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim, dim
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import EXACT, composite
from unmoor.ops.samples import Rand

MIXED = Tolerance(
    {"f32": 2e-5, "f64": 1e-13}, {"f32": 1e-5, "f64": 1e-13}, "the places and weights are rounded in another order"
)


def _size(b: Builder, size: Dim, wanted: Any, factor: float | None) -> Dim:
    if wanted is not None:
        return dim(wanted)
    assert factor is not None
    whole = int(factor)
    if factor == whole:
        return size * whole
    inverse = round(1 / factor)
    if factor == 1 / inverse:
        return size // inverse
    return dim(int(b.facts.int_of(size) * factor))


def _number(b: Builder, size: Dim) -> Any:
    """A size as a 0-dim float32."""
    zero = b.emit("prim::reshape", b.emit("prim::iota", 1), ())
    return b.emit("prim::cast", b.emit("aten::add", zero, size), f32)


def _scale(b: Builder, size: Dim, count: Dim, factor: float | None) -> Any:
    """How far apart in the source two neighbours of the result are."""
    if factor is not None:
        return float(np.float32(1 / factor))
    if size.is_const and count.is_const:
        return float(np.float32(size.value) / np.float32(count.value))
    return b.emit("aten::div", _number(b, size), _number(b, count))


def _nearest(b: Builder, x: Any, axis: int, count: Dim, factor: float | None) -> Any:
    size = b.type_of(x).shape[axis]
    place = b.emit("prim::cast", b.emit("prim::iota", count), f32)
    place = b.emit("aten::floor", b.emit("aten::mul", place, _scale(b, size, count, factor)))
    at = b.emit("aten::clamp", b.emit("prim::cast", place, i64), None, size - 1)
    return b.emit("prim::take", x, (at,), (axis,), axis)


def _linear(b: Builder, x: Any, axis: int, count: Dim, factor: float | None, corners: bool) -> Any:
    size = b.type_of(x).shape[axis]
    place = b.emit("prim::cast", b.emit("prim::iota", count), f32)
    if corners:
        apart: Any = 0.0 if b.facts.equal(count, 1) else _scale(b, size - 1, count - 1, None)
        place = b.emit("aten::mul", place, apart)
    else:
        place = b.emit("aten::mul", b.emit("aten::add", place, 0.5), _scale(b, size, count, factor))
        place = b.emit("aten::clamp", b.emit("aten::sub", place, 0.5), 0.0, None)
    low = b.emit("aten::clamp", b.emit("prim::cast", b.emit("aten::floor", place), i64), None, size - 1)
    high = b.emit("aten::clamp", b.emit("aten::add", low, 1), None, size - 1)
    share = b.emit("aten::sub", place, b.emit("prim::cast", low, f32))
    rank = b.type_of(x).rank
    share = b.emit("prim::reshape", share, (count, *(1 for _ in range(rank - axis - 1))))
    first, second = (b.emit("prim::take", x, (at,), (axis,), axis) for at in (low, high))
    rest = b.emit("aten::mul", first, b.emit("aten::rsub", share, 1))
    return b.emit("aten::add", rest, b.emit("aten::mul", second, share))


def _resize(step: Callable[..., Any], rank: int, corners: bool) -> Callable[..., Any]:
    def resize(b: Builder, x: Any, size: Any, *given: Any) -> Any:
        align = given[:-1] if corners else ()
        factors = given[-1]
        shape = b.type_of(x).shape
        if len(shape) != rank + 2:
            raise SignatureError(f"resizing {rank} dims needs a tensor of rank {rank + 2}")
        for a in range(rank):
            factor = None if factors is None or size is not None else float(factors[a])
            count = _size(b, shape[a + 2], None if size is None else size[a], factor)
            if not b.facts.at_most(1, shape[a + 2]):
                raise SignatureError(f"resizing a tensor without elements along dim {a + 2}")
            if count != shape[a + 2]:
                x = step(b, x, a + 2, count, factor, *align)
        return x

    return resize


def _np_places(n: int, count: int, factor: float | None, corners: bool | None) -> np.ndarray:
    o = np.arange(count, dtype=np.float32)
    if corners:
        return np.asarray(o * np.float32((n - 1) / (count - 1) if count > 1 else 0))
    scale = np.float32(1 / factor) if factor else np.float32(n) / np.float32(count)
    if corners is None:
        return np.asarray(np.floor(o * scale))
    return np.asarray(np.maximum((o + np.float32(0.5)) * scale - np.float32(0.5), np.float32(0)))


def _np_resize(rank: int, linear: bool) -> Callable[..., np.ndarray]:
    def resize(x: np.ndarray, size: Any, *given: Any) -> np.ndarray:
        factors = given[-1]
        for a in range(rank):
            n = x.shape[a + 2]
            factor = None if factors is None else factors[a]
            count = size[a] if size is not None else int(n * factors[a])
            if count == n:
                continue
            place = _np_places(n, count, factor, bool(given[0]) if linear else None)
            low = np.minimum(place.astype(np.int64), n - 1)
            if linear:
                share = (place - low).astype(np.float32).reshape(-1, *(1,) * (x.ndim - a - 3))
                x = x.take(low, a + 2) * (1 - share) + x.take(np.minimum(low + 1, n - 1), a + 2) * share
            else:
                x = x.take(low, a + 2)
        return x

    return resize


def _op(name: str, rank: int, linear: bool) -> Op:
    x = Rand(2, 3, *(5, 4, 3)[:rank])
    corners = "bool align_corners, " if linear else ""
    modes: Sequence[tuple[Any, ...]] = [(False,), (True,)] if linear else [()]
    samples = [Sample((x, (8, 3, 7)[:rank], *m, None)) for m in modes]
    samples += [Sample((x, None, *m, (2.0, 1.5, 0.5)[:rank])) for m in modes]
    return composite(
        f"aten::{name}",
        f"(Tensor input, int[]? output_size, {corners}float[]? scale_factors) -> Tensor",
        "vec",
        _resize(_linear if linear else _nearest, rank, linear),
        _np_resize(rank, linear),
        lambda d: samples,
        dtypes=("f32",),
        tolerance=MIXED if linear else EXACT,
    )


RESAMPLING: list[Op] = [
    *(_op(f"upsample_nearest{rank}d", rank, False) for rank in (1, 2, 3)),
    _op("upsample_linear1d", 1, True),
    _op("upsample_bilinear2d", 2, True),
    _op("upsample_trilinear3d", 3, True),
]
