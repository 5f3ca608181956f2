"""Elementwise functions of floats: roots, exponentials, trigonometry, activations, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.ir.op import Op, Sample
from unmoor.ir.scalar import FUNCTIONS, Expr, apply, select
from unmoor.ops.elementwise import BINARY, UNARY, tensors
from unmoor.ops.family import CLOSE, EXACT, FLOATS, NUMBERS, pointwise
from unmoor.ops.samples import Ints, Rand

SQRT_HALF, TANH_SCALE = math.sqrt(0.5), math.sqrt(2 / math.pi)


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(FUNCTIONS["erf"].meaning(x))


def _sigmoid(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _on(low: float, high: float) -> Callable[[str], Sequence[Sample]]:
    """Samples inside a function's domain."""
    middle, half = (low + high) / 2, (high - low) / 8
    return lambda d: [Sample((Rand(3, 17, scale=half, shift=middle),)), Sample((Rand(scale=half, shift=middle),))]


def _function(name: str, domain: tuple[float, float] = (-4.0, 4.0), overloads: str = "default") -> Op:
    """An op that is a row of `ir.scalar.FUNCTIONS` of the same name."""
    row = FUNCTIONS[name]
    return pointwise(
        f"aten::{name}",
        UNARY,
        overloads,
        lambda x: apply(name, x),
        row.meaning,
        promote="float",
        tolerance=CLOSE,
        samples=_on(*domain),
        dtypes=FLOATS,
    )


def activation(
    name: str,
    lower: Callable[..., Expr],
    reference: Callable[..., Any],
    schema: str = UNARY,
    overloads: str = "default",
    samples: Callable[[str], Sequence[Sample]] | None = None,
) -> Op:
    """An elementwise formula of floats."""
    return pointwise(
        f"aten::{name}",
        schema,
        overloads,
        lower,
        reference,
        tolerance=CLOSE,
        dtypes=FLOATS,
        samples=samples or (lambda d: [Sample((Rand(3, 17, scale=3.0),)), Sample((Rand(),))]),
    )


def _rounding(name: str, fn: str, reference: Callable[..., Any]) -> Op:
    return pointwise(
        f"aten::{name}",
        UNARY,
        "default",
        lambda x: apply(fn, x) if x.dtype.is_float else x,
        lambda x: reference(x) if x.dtype.kind == "f" else x,
        tolerance=EXACT,
        dtypes=NUMBERS,
    )


def _gelu(x: Expr, approximate: str) -> Expr:
    if approximate == "tanh":
        return x * 0.5 * (1 + apply("tanh", TANH_SCALE * (x + 0.044715 * (x * x * x))))
    return x * 0.5 * (1 + apply("erf", x * SQRT_HALF))


def _np_gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(TANH_SCALE * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x * SQRT_HALF)))


def _relu(x: Expr) -> Expr:
    return apply("max", x, 0)


def _log1p_exp(x: Expr) -> Expr:
    """log(1 + e^x) without overflow."""
    return apply("max", x, 0) + apply("log1p", apply("exp", -apply("abs", x)))


def _softplus(x: Expr, beta: float, threshold: float) -> Expr:
    scaled = x * beta
    return select(scaled > threshold, x, _log1p_exp(scaled) / beta)


def _elu(x: Expr, alpha: float, scale: float, input_scale: float) -> Expr:
    return select(x > 0, x * scale, apply("expm1", x * input_scale) * (alpha * scale))


def _logsigmoid(x: Expr) -> Expr:
    return apply("min", x, 0) - apply("log1p", apply("exp", -apply("abs", x)))


TRANSCENDENTAL: list[Op] = [
    _function("sqrt", (0.0, 9.0)),
    pointwise(
        "aten::rsqrt",
        UNARY,
        "default",
        lambda x: 1 / apply("sqrt", x),
        lambda x: 1 / np.sqrt(x),
        promote="float",
        tolerance=CLOSE,
        samples=_on(0.1, 9.0),
        dtypes=FLOATS,
    ),
    pointwise("aten::reciprocal", UNARY, "default", lambda x: 1 / x, lambda x: 1 / x, promote="float", dtypes=FLOATS),
    *(
        _function(n)
        for n in (
            "exp",
            "exp2",
            "expm1",
            "sin",
            "cos",
            "tan",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "erf",
            "sigmoid",
        )
    ),
    *(_function(n, (0.05, 9.0)) for n in ("log", "log2", "log10", "log1p")),
    *(_function(n, (-1.0, 1.0)) for n in ("asin", "acos", "atanh")),
    _function("acosh", (1.0, 9.0)),
    pointwise(
        "aten::atan2",
        BINARY,
        "default",
        lambda a, b: apply("atan2", a, b),
        np.arctan2,
        promote="float",
        tolerance=CLOSE,
        samples=tensors,
        dtypes=FLOATS,
    ),
    pointwise(
        "aten::pow",
        "(Tensor self, Tensor exponent) -> Tensor",
        "Tensor_Tensor Tensor_Scalar Scalar",
        lambda a, b: apply("pow", a, b),
        FUNCTIONS["pow"].meaning,
        tolerance=CLOSE,
        samples=lambda d: [
            Sample(((Rand if d in FLOATS else Ints)(3, 5), 2)),
            Sample((Rand(5, scale=0.2, shift=2.0), Rand(5)) if d in FLOATS else (Ints(5), Ints(5))),
            Sample((2.0, Rand(4)) if d in FLOATS else (2, Ints(4))),
        ],
        dtypes=NUMBERS,
    ),
    _rounding("floor", "floor", np.floor),
    _rounding("ceil", "ceil", np.ceil),
    _rounding("trunc", "trunc", np.trunc),
    _rounding("round", "round", np.rint),
    activation("frac", lambda x: x - apply("trunc", x), lambda x: x - np.trunc(x)),
    pointwise("aten::relu", UNARY, "default", _relu, lambda x: np.maximum(x, 0)),
    activation("relu6", lambda x: apply("min", _relu(x), 6), lambda x: np.minimum(np.maximum(x, 0), 6)),
    activation(
        "leaky_relu",
        lambda x, slope: select(x > 0, x, x * slope),
        lambda x, slope: np.where(x > 0, x, x * slope),
        "(Tensor self, float negative_slope=0.01) -> Tensor",
    ),
    activation(
        "elu",
        _elu,
        lambda x, a, s, i: np.where(x > 0, x * s, np.expm1(x * i) * (a * s)),
        "(Tensor self, float alpha=1, float scale=1, float input_scale=1) -> Tensor",
    ),
    activation(
        "hardtanh",
        lambda x, low, high: apply("min", apply("max", x, low), high),
        lambda x, low, high: np.clip(x, low, high),
        "(Tensor self, float min_val=-1, float max_val=1) -> Tensor",
    ),
    activation(
        "hardsigmoid", lambda x: apply("min", apply("max", x + 3, 0), 6) / 6, lambda x: np.clip(x + 3, 0, 6) / 6
    ),
    activation(
        "hardswish", lambda x: x * apply("min", apply("max", x + 3, 0), 6) / 6, lambda x: x * np.clip(x + 3, 0, 6) / 6
    ),
    activation("gelu", _gelu, _np_gelu, "(Tensor self, *, str approximate='none') -> Tensor"),
    activation("silu", lambda x: x * apply("sigmoid", x), lambda x: x * _sigmoid(x)),
    activation("mish", lambda x: x * apply("tanh", _log1p_exp(x)), lambda x: x * np.tanh(np.logaddexp(0, x))),
    activation(
        "softplus",
        _softplus,
        lambda x, b, t: np.where(x * b > t, x, np.logaddexp(0, x * b) / b),
        "(Tensor self, float beta=1, float threshold=20) -> Tensor",
    ),
    activation("log_sigmoid", _logsigmoid, lambda x: -np.logaddexp(0, -x)),
]
