"""Elementwise arithmetic, comparison, logic and rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import bool_, i64
from unmoor.ir.op import Op, Sample, Tolerance
from unmoor.ir.scalar import Expr, apply, cast, select
from unmoor.ops.family import EVERY, EXACT, FLOATS, NUMBERS, composite, pointwise
from unmoor.ops.samples import Ints, Rand

UNARY = "(Tensor self) -> Tensor"
BINARY = "(Tensor self, Tensor other) -> Tensor"
SCALED = "(Tensor self, Tensor other, *, float alpha=1) -> Tensor"
SCALED_SUM = Tolerance({"f32": 1e-6, "f64": 1e-15}, {"f32": 2e-7, "f64": 4e-16}, "exact for alpha 1, else perhaps FMA")


def _as_bool(x: Expr) -> Expr:
    return cast(x, bool_)


def _nonzero_divisors(dtype: str) -> list[Sample]:
    if dtype in FLOATS:
        return [Sample((Rand(3, 17), Rand(17))), Sample((Rand(5), 2)), Sample((Rand(5), -0.7))]
    return [Sample((Ints(3, 17), Ints(17, low=1))), Sample((Ints(9), Ints(9, low=-7, high=0))), Sample((Ints(9), 3))]


def both(dtype: str) -> list[Sample]:
    """Samples of two operands: broadcast, 0-dim, empty, and a number where the dtype has one."""
    return [*tensors(dtype), *([] if dtype == "bool" else [Sample(((Rand if dtype in FLOATS else Ints)(2, 3), 2))])]


def tensors(dtype: str) -> list[Sample]:
    """Samples of two tensors: broadcast, 0-dim and empty."""
    make = Rand if dtype in FLOATS else Ints
    return [Sample((make(3, 1), make(4))), Sample((make(5), make())), Sample((make(0, 3), make(3)))]


def _add(a: Expr, b: Expr, alpha: float) -> Expr:
    if a.dtype is bool_:
        return a | b if alpha else a
    return a + (b if alpha == 1 else b * alpha)


def _sub(a: Expr, b: Expr, alpha: float) -> Expr:
    return a - (b if alpha == 1 else b * alpha)


def _divide(a: Expr, b: Expr, mode: str | None) -> Expr:
    if mode == "floor":
        return apply("floordiv", a, b)
    if mode != "trunc":
        return a / b
    if a.dtype.is_float:
        return apply("trunc", a / b)
    quotient, rest = apply("floordiv", a, b), apply("mod", a, b)
    inexact = apply("ne", rest, 0) & apply("lt", apply("xor", a, b), 0)
    return quotient + cast(inexact, a.dtype)


def _sign(x: Expr) -> Expr:
    if x.dtype is bool_:
        return x
    return (
        select(apply("isnan", x), x, cast(x > 0, x.dtype) - cast(x < 0, x.dtype))
        if x.dtype.is_float
        else (cast(x > 0, x.dtype) - cast(x < 0, x.dtype))
    )


def _python_div(a: np.ndarray, b: np.ndarray, mode: str | None) -> Any:
    if mode is None:
        return a / b
    if a.dtype.kind == "f":
        return np.floor_divide(a, b) if mode == "floor" else np.trunc(a / b)
    quotient = np.floor_divide(a, b)
    return quotient if mode == "floor" else quotient + ((a % b != 0) & ((a < 0) != (b < 0)))


ARITHMETIC: list[Op] = [
    pointwise(
        "aten::add",
        SCALED,
        "Tensor Scalar",
        _add,
        lambda a, b, alpha: (a | b if alpha else a) if a.dtype == bool else a + alpha * b,
        samples=both,
        dtypes=EVERY,
        tolerance=SCALED_SUM,
    ),
    pointwise(
        "aten::sub",
        SCALED,
        "Tensor Scalar",
        _sub,
        lambda a, b, alpha: a - alpha * b,
        samples=both,
        tolerance=SCALED_SUM,
    ),
    pointwise(
        "aten::rsub",
        SCALED,
        "Tensor Scalar",
        lambda a, b, alpha: _sub(b, a, alpha),
        lambda a, b, alpha: b - alpha * a,
        samples=both,
        tolerance=SCALED_SUM,
    ),
    pointwise(
        "aten::mul",
        BINARY,
        "Tensor Scalar",
        lambda a, b: a & b if a.dtype is bool_ else a * b,
        np.multiply,
        samples=both,
        dtypes=EVERY,
    ),
    pointwise(
        "aten::div",
        "(Tensor self, Tensor other) -> Tensor",
        "Tensor Scalar",
        lambda a, b: a / b,
        np.divide,
        promote="float",
        samples=_nonzero_divisors,
        dtypes=NUMBERS,
    ),
    pointwise(
        "aten::div_mode",
        "(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor",
        "",
        _divide,
        _python_div,
        samples=lambda d: [Sample((*s.args, m)) for s in _nonzero_divisors(d) for m in ("floor", "trunc")],
    ),
    pointwise(
        "aten::floor_divide",
        BINARY,
        "default Scalar",
        lambda a, b: apply("floordiv", a, b),
        np.floor_divide,
        samples=_nonzero_divisors,
    ),
    pointwise(
        "aten::remainder",
        BINARY,
        "Tensor Scalar Scalar_Tensor",
        lambda a, b: apply("mod", a, b),
        np.remainder,
        samples=_nonzero_divisors,
    ),
    pointwise(
        "aten::fmod", BINARY, "Tensor Scalar", lambda a, b: apply("fmod", a, b), np.fmod, samples=_nonzero_divisors
    ),
    pointwise("aten::neg", UNARY, "default", lambda x: -x, np.negative),
    pointwise("aten::abs", UNARY, "default", lambda x: apply("abs", x), np.abs),
    pointwise("aten::sign", UNARY, "default", _sign, lambda x: x if x.dtype == bool else np.sign(x), dtypes=EVERY),
    composite(
        "aten::square",
        UNARY,
        "default",
        lambda b, x: b.emit("aten::mul", *(2 * [b.emit("prim::cast", x, i64) if b.type_of(x).dtype is bool_ else x])),
        lambda x: np.square(x.astype(np.int64) if x.dtype == bool else x),
        lambda d: [Sample(((Rand if d in FLOATS else Ints)(2, 3),))],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    pointwise(
        "aten::maximum", BINARY, "default", lambda a, b: apply("max", a, b), np.maximum, samples=tensors, dtypes=EVERY
    ),
    pointwise(
        "aten::minimum", BINARY, "default", lambda a, b: apply("min", a, b), np.minimum, samples=tensors, dtypes=EVERY
    ),
]
