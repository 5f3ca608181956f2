"""Gradients of ops that move elements: views, joins, padding, and what reads or writes at places that data names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.ops.formula import Aten
from unmoor.ops.indexing import counting
from unmoor.ops.scatter import put

Made = tuple[Any, ...]


def _zeros(aten: Aten, x: Any) -> Any:
    return aten.builder.emit("prim::full", aten.shape(x), 0.0, aten.type_of(x).dtype)


def _reshape(aten: Aten, g: Any, y: Any, x: Any, shape: Any) -> Made:
    return lambda: aten.builder.emit("prim::reshape", g, aten.shape(x)), None


def _permute(aten: Aten, g: Any, y: Any, x: Any, dims: Any) -> Made:
    back = tuple(int(a) for a in np.argsort([int(str(d)) for d in dims]))
    return lambda: aten.builder.emit("prim::permute", g, back), None


def _expand(aten: Aten, g: Any, y: Any, x: Any, shape: Any) -> Made:
    return lambda: summed_to(aten, g, aten.shape(x)), None


def summed_to(aten: Aten, g: Any, shape: Any) -> Any:
    """A gradient of a broadcast result as that of an operand of this shape."""
    own = aten.shape(g)
    lead = len(own) - len(shape)
    axes = (*range(lead), *(a + lead for a, d in enumerate(shape) if d == 1 and own[a + lead] != 1))
    if axes:
        g = aten.builder.emit("prim::sum", g, axes, False)
    return g if aten.shape(g) == tuple(shape) else aten.builder.emit("prim::reshape", g, tuple(shape))


def _slice(aten: Aten, g: Any, y: Any, x: Any, axis: int, start: Any, step: Any, length: Any) -> Made:
    def of_x() -> Any:
        b, shape = aten.builder, aten.shape(x)
        if step != 1:
            places = aten.add(aten.mul(b.emit("prim::iota", length), step), start)
            return b.emit("prim::put", _zeros(aten, x), (places,), (axis,), axis, g, "set")
        before = tuple(start if a == axis else 0 for a in range(len(shape)))
        after = tuple(shape[axis] - start - length if a == axis else 0 for a in range(len(shape)))
        return b.emit("prim::pad", g, before, after, 0.0)

    return of_x, None, None, None, None


def _windows(aten: Aten, g: Any, y: Any, x: Any, axis: int, size: Any, step: Any, dilation: Any) -> Made:
    def of_x() -> Any:
        b, rank = aten.builder, aten.rank(x)
        count = aten.shape(y)[axis]
        starts = aten.reshape(aten.mul(b.emit("prim::iota", count), step), (count, 1))
        places = aten.add(starts, aten.mul(b.emit("prim::iota", size), dilation))
        order = (*range(axis + 1), rank, *range(axis + 1, rank))
        return put(b, _zeros(aten, x), (places,), (axis,), axis, b.emit("prim::permute", g, order), "add")

    return of_x, None, None, None, None


def _strided(aten: Aten, g: Any, y: Any, x: Any, shape: Any, strides: Any, start: Any) -> Made:
    def of_x() -> Any:
        b = aten.builder
        if not shape:
            places = aten.reshape(b.emit("prim::iota", 1), ())
        else:
            places = aten.mul(counting(b, 0, shape), strides[0])
            for axis in range(1, len(shape)):
                places = aten.add(places, aten.mul(counting(b, axis, shape), strides[axis]))
        return put(b, _zeros(aten, x), (aten.add(places, start),), (0,), 0, g, "add")

    return of_x, None, None, None


def _flip(aten: Aten, g: Any, y: Any, x: Any, dims: Any) -> Made:
    return lambda: aten.builder.emit("prim::flip", g, dims), None


def _cat(aten: Aten, g: Any, y: Any, tensors: Any, axis: int) -> Made:
    def part(start: Any, x: Any) -> Callable[[], Any]:
        return lambda: aten.builder.emit("prim::slice", g, axis, start, 1, aten.shape(x)[axis])

    parts: list[Any] = []
    start: Any = 0
    for x in tensors:
        parts.append(part(start, x))
        start = aten.shape(x)[axis] + start
    return tuple(parts), None


def _pad(aten: Aten, g: Any, y: Any, x: Any, before: Any, after: Any, value: Any) -> Made:
    def of_x() -> Any:
        made = g
        for axis, start in enumerate(before):
            if start != 0 or after[axis] != 0:
                made = aten.builder.emit("prim::slice", made, axis, start, 1, aten.shape(x)[axis])
        return made

    return of_x, None, None, None


def _take(aten: Aten, g: Any, y: Any, x: Any, indices: Any, axes: Any, at: int) -> Made:
    return lambda: put(aten.builder, _zeros(aten, x), indices, axes, at, g, "add"), None, None, None


def _put(aten: Aten, g: Any, y: Any, x: Any, indices: Any, axes: Any, at: int, values: Any, how: str) -> Made:
    if how not in ("set", "add"):
        raise NotImplementedError

    def of_x() -> Any:
        if how == "add":
            return g
        nothing = aten.builder.emit("prim::full", aten.shape(values), 0.0, aten.type_of(x).dtype)
        return aten.builder.emit("prim::put", g, indices, axes, at, nothing, "set")

    return of_x, None, None, None, lambda: aten.builder.emit("prim::take", g, indices, axes, at), None


def _embedding(aten: Aten, g: Any, y: Any, weight: Any, indices: Any, padding: int, scale: bool, sparse: bool) -> Made:
    """The rows of padding get none."""
    if scale or sparse:
        raise NotImplementedError

    def of_weight() -> Any:
        back = g
        if padding >= 0:
            back = aten.where(aten.unsqueeze(aten.eq(indices, padding), -1), 0.0, back)
        return put(aten.builder, _zeros(aten, weight), (indices,), (0,), 0, back, "add")

    return of_weight, None, None, None, None


MOVING: dict[str, Callable[..., Made]] = {
    "prim::reshape": _reshape,
    "prim::permute": _permute,
    "prim::expand": _expand,
    "prim::slice": _slice,
    "prim::windows": _windows,
    "prim::strided": _strided,
    "prim::flip": _flip,
    "prim::cat": _cat,
    "prim::pad": _pad,
    "prim::take": _take,
    "prim::put": _put,
    "aten::embedding": _embedding,
}
