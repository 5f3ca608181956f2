"""Gradients of reductions, softmax, norms and what else folds axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unmoor.ops.family import axes_of, axis_of
from unmoor.ops.formula import Aten

Made = tuple[Any, ...]


def _kept(aten: Aten, v: Any, x: Any, axes: Any) -> Any:
    """What a reduction gave, with its axes of size 1 where it folded."""
    folded = axes_of(axes, aten.rank(x))
    return aten.reshape(v, tuple(1 if a in folded else d for a, d in enumerate(aten.shape(x))))


def _spread(aten: Aten, v: Any, x: Any, axes: Any) -> Any:
    """What a reduction gave, at all the places that it folded."""
    kept = _kept(aten, v, x, axes)
    return kept if aten.shape(kept) == aten.shape(x) else aten.builder.emit("prim::expand", kept, aten.shape(x))


def _sum(aten: Aten, g: Any, y: Any, x: Any, axes: Any, keepdim: bool) -> Made:
    return lambda: _spread(aten, g, x, axes), None, None


def _extreme(aten: Aten, g: Any, y: Any, x: Any, axes: Any, keepdim: bool) -> Made:
    """All that tie share the gradient; NaN is what it equals."""

    def of_x() -> Any:
        largest = _kept(aten, y, x, axes)
        here = aten.logical_or(aten.eq(x, largest), aten.logical_and(aten.isnan(x), aten.isnan(largest)))
        each = aten.cast(here, aten.type_of(x).dtype)
        share = aten.div(_kept(aten, g, x, axes), aten.sum(each, axes_of(axes, aten.rank(x)), True))
        return aten.mul(each, share)

    return of_x, None, None


def _prod(aten: Aten, g: Any, y: Any, x: Any, axes: Any, keepdim: bool) -> Made:
    """The product of the others: of one zero, that of all but it; of two, zero."""

    def of_x() -> Any:
        folded = axes_of(axes, aten.rank(x))
        zero = aten.eq(x, 0.0)
        zeros = aten.sum(aten.cast(zero, aten.type_of(x).dtype), folded, True)
        without = aten.builder.emit("prim::prod", aten.where(zero, 1.0, x), folded, True)
        at_zero = aten.where(aten.eq(zeros, 1.0), without, 0.0)
        elsewhere = aten.where(aten.eq(zeros, 0.0), aten.div(without, x), 0.0)
        return aten.mul(aten.where(zero, at_zero, elsewhere), _kept(aten, g, x, axes))

    return of_x, None, None


def _with_place(aten: Aten, g: Any, y: Any, x: Any, dim: int, keepdim: bool) -> Made:
    """max and min along a dim: the gradient goes where the index says."""

    def of_x() -> Any:
        if not aten.rank(x):
            return g[0]
        return _at_places(aten, _kept(aten, g[0], x, dim), _kept(aten, y[1], x, dim), x, axis_of(dim, aten.rank(x)))

    return of_x, None, None


def _at_places(aten: Aten, g: Any, places: Any, x: Any, axis: int) -> Any:
    zeros = aten.builder.emit("prim::full", aten.shape(x), 0.0, aten.type_of(x).dtype)
    return aten.scatter_add(zeros, axis, places, g)


def _sorted(aten: Aten, g: Any, y: Any, x: Any, *rest: Any) -> Made:
    """Of rows whose elements were moved along the last axis to places that are told."""
    return lambda: _at_places(aten, g[0], y[1], x, aten.rank(x) - 1), *(None for _ in rest)


def _kth(aten: Aten, g: Any, y: Any, x: Any, k: Any) -> Made:
    last = aten.rank(x) - 1
    return lambda: _at_places(aten, _kept(aten, g[0], x, last), _kept(aten, y[1], x, last), x, last), None


def _softmax(aten: Aten, g: Any, y: Any, x: Any, dim: int, dtype: Any) -> Made:
    def of_x() -> Any:
        weighted = aten.mul(g, y)
        axes = (dim,) if aten.rank(y) else ()
        back = aten.sub(weighted, aten.mul(y, aten.sum(weighted, axes, True)))
        return aten.cast(back, aten.type_of(x).dtype)

    return of_x, None, None


def _log_softmax(aten: Aten, g: Any, y: Any, x: Any, dim: int, dtype: Any) -> Made:
    def of_x() -> Any:
        axes = (dim,) if aten.rank(y) else ()
        return aten.cast(aten.sub(g, aten.mul(aten.exp(y), aten.sum(g, axes, True))), aten.type_of(x).dtype)

    return of_x, None, None


def _logsumexp(aten: Aten, g: Any, y: Any, x: Any, dim: Any, keepdim: bool) -> Made:
    return lambda: aten.mul(_kept(aten, g, x, dim), aten.exp(aten.sub(x, _kept(aten, y, x, dim)))), None, None


def _std(aten: Aten, g: Any, y: Any, x: Any, dim: Any, correction: Any, keepdim: bool) -> Made:
    """Zero where all elements are equal."""

    def of_x() -> Any:
        axes = axes_of(dim, aten.rank(x))
        count: Any = 1
        for a in axes:
            count = count * aten.shape(x)[a]
        spread, back = _kept(aten, y, x, dim), _kept(aten, g, x, dim)
        left = aten.sub(aten.number(count, aten.type_of(x).dtype), 1.0 if correction is None else float(correction))
        scale = aten.where(aten.eq(spread, 0.0), 0.0, aten.div(back, aten.mul(spread, aten.clamp_min(left, 0.0))))
        return aten.mul(aten.sub(x, aten.mean(x, axes, True)), scale)

    return of_x, None, None, None


def _vector_norm(aten: Aten, g: Any, y: Any, x: Any, order: Any, dim: Any, keepdim: bool, dtype: Any) -> Made:
    """Zero where all elements are."""

    def of_x() -> Any:
        p = 2.0 if order is None else float(order)
        wide = x if dtype is None else aten.cast(x, dtype)
        size, back = _kept(aten, y, x, dim), _kept(aten, g, x, dim)
        if p == 0:
            return aten.mul(x, 0.0)
        if p == 1:
            made = aten.mul(aten.sign(wide), back)
        elif p == 2:
            made = aten.mul(wide, aten.where(aten.eq(size, 0.0), 0.0, aten.div(back, size)))
        elif math.isinf(p):
            here = aten.cast(aten.eq(aten.abs(wide), size), aten.type_of(wide).dtype)
            share = aten.div(back, aten.sum(here, axes_of(dim, aten.rank(x)), True))
            made = aten.mul(aten.mul(aten.sign(wide), here), share)
        else:
            scale = aten.where(aten.eq(size, 0.0), 0.0, aten.div(back, aten.pow(size, p - 1)))
            powers = aten.where(aten.eq(wide, 0.0), 0.0, aten.pow(aten.abs(wide), p - 1))
            made = aten.mul(aten.mul(aten.sign(wide), powers), scale)
        return aten.cast(made, aten.type_of(x).dtype)

    return of_x, None, None, None, None


def _cumsum(aten: Aten, g: Any, y: Any, x: Any, axis: int) -> Made:
    def of_x() -> Any:
        return aten.flip(aten.builder.emit("prim::cumsum", aten.flip(g, (axis,)), axis), (axis,))

    return of_x, None


def _cross_entropy_of_chances(aten: Aten, g: Any, y: Any, x: Any, target: Any, weight: Any, reduction: int) -> Made:
    """binary_cross_entropy: PyTorch keeps the divisor away from zero."""

    def scaled(of: Any) -> Any:
        back = g if weight is None else aten.mul(g, weight)
        if reduction == 1:
            back = aten.div(back, aten.number(aten.type_of(x).numel, aten.type_of(x).dtype))
        return aten.mul(of, back)

    def of_x() -> Any:
        spread = aten.clamp_min(aten.mul(aten.sub(1.0, x), x), 1e-12)
        return scaled(aten.div(aten.sub(x, target), spread))

    def of_target() -> Any:
        no, yes = aten.clamp_min(aten.log1p(aten.neg(x)), -100.0), aten.clamp_min(aten.log(x), -100.0)
        return scaled(aten.sub(no, yes))

    return of_x, of_target, None, None


REDUCTIONS: dict[str, Callable[..., Made]] = {
    "prim::sum": _sum,
    "prim::amax": _extreme,
    "prim::amin": _extreme,
    "prim::prod": _prod,
    "aten::max_dim": _with_place,
    "aten::min_dim": _with_place,
    "prim::sort": _sorted,
    "prim::topk": _sorted,
    "prim::kth": _kth,
    "aten::softmax": _softmax,
    "aten::log_softmax": _log_softmax,
    "aten::logsumexp": _logsumexp,
    "aten::std": _std,
    "aten::linalg_vector_norm": _vector_norm,
    "prim::cumsum": _cumsum,
    "aten::binary_cross_entropy": _cross_entropy_of_chances,
}
