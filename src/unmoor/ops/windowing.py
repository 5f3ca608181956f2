"""Window functions of signals: Hann, Hamming, Blackman, Bartlett and Kaiser, of any length."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unmoor.dtypes import DEFAULT_FLOAT, f64, i64
from unmoor.errors import Unsupported
from unmoor.ir.dim import Dim, dim
from unmoor.ir.op import Op
from unmoor.ops.formula import FAR, NEAR, Aten, formula

# What a window is at `at`, its places, which run from 0 to the last one, `last`: both in the window's dtype.
Shape = Callable[..., Any]
OPTIONS = "*, dtype? dtype=None) -> Tensor"


def _window(shape: Shape) -> Callable[..., Any]:
    """A window of a length; a periodic one is the beginning of one that is longer by 1."""

    def meaning(aten: Aten, length: Any, periodic: bool, *rest: Any) -> Any:
        *shaped, dtype = rest
        target = dtype or DEFAULT_FLOAT
        if target not in (DEFAULT_FLOAT, f64):
            raise Unsupported(f"a window of {target.torch_name} is not supported: convert with .to() afterwards")
        size = dim(length)
        if aten.facts.equal(size, 1):
            return aten.ones((1,), target)
        last: Dim = size if periodic else size - 1
        at = aten.cast(aten.builder.emit("prim::iota", size), target)
        return shape(aten, at, aten.cast(aten.number(last, i64), f64), target, *shaped)

    return meaning


def _turns(aten: Aten, at: Any, last: Any, dtype: Any, times: float) -> Any:
    """The cosine of so many turns over the window."""
    step = aten.cast(aten.div(times * 2 * math.pi, last), dtype)
    return aten.cos(aten.mul(at, step))


def _hamming(aten: Aten, at: Any, last: Any, dtype: Any, alpha: float = 0.54, beta: float = 0.46) -> Any:
    return aten.add(aten.mul(_turns(aten, at, last, dtype, 1.0), -beta), alpha)


def _hann(aten: Aten, at: Any, last: Any, dtype: Any) -> Any:
    return _hamming(aten, at, last, dtype, 0.5, 0.5)


def _blackman(aten: Aten, at: Any, last: Any, dtype: Any) -> Any:
    once, twice = (_turns(aten, at, last, dtype, times) for times in (1.0, 2.0))
    return aten.add(aten.sub(aten.mul(twice, 0.08), aten.mul(once, 0.5)), 0.42)


def _bartlett(aten: Aten, at: Any, last: Any, dtype: Any) -> Any:
    rising = aten.mul(at, aten.cast(aten.div(2.0, last), dtype))
    return aten.where(aten.gt(rising, 1.0), aten.sub(2.0, rising), rising)


def _kaiser(aten: Aten, at: Any, last: Any, dtype: Any, beta: float = 12.0) -> Any:
    from_middle = aten.sub(aten.mul(at, aten.cast(aten.div(2.0, last), dtype)), 1.0)
    inside = aten.clamp(aten.sub(1.0, aten.mul(from_middle, from_middle)), 0.0, None)
    whole = aten.i0(aten.number(float(beta), dtype))
    return aten.div(aten.i0(aten.mul(aten.sqrt(inside), float(beta))), whole)


def _of(name: str, shape: Shape, tolerance: Any = NEAR, *more: str) -> list[Op]:
    """The window in torch's overloads: with each argument more, the ones before it are given too."""
    made = _window(shape)
    ops = []
    for count, overload in enumerate(("default", "periodic", *more)):
        params = ["int window_length", "bool periodic", *(f"float {p.rpartition('_')[2]}" for p in more)][: count + 1]
        values: tuple[Any, ...] = (True, 0.6, 0.3)[:count]

        def meaning(aten: Aten, length: Any, *rest: Any, given: int = count) -> Any:
            return made(aten, length, *((True, *rest) if given == 0 else rest))

        ops.append(
            formula(
                f"{name}_window" if overload == "default" else f"{name}_window_{overload}",
                f"({', '.join(params)}, {OPTIONS}",
                meaning,
                *((n, *values, None) for n in (9, 12, 1, 0)),
                *(((8, False, *values[1:], None),) if count else ()),
                overloads="default" if overload == "default" else f"{name}_window.{overload}",
                tolerance=tolerance,
            )
        )
    return ops


WINDOWING: list[Op] = [
    *_of("hann", _hann),
    *_of("hamming", _hamming, NEAR, "periodic_alpha", "periodic_alpha_beta"),
    *_of("blackman", _blackman),
    *_of("bartlett", _bartlett),
    *_of("kaiser", _kaiser, FAR, "beta"),
]
