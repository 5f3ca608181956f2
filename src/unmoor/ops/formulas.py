"""Elementwise functions as formulas of others: the long tail of PyTorch's pointwise ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unmoor.dtypes import DEFAULT_FLOAT, bool_, f64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.op import Op
from unmoor.ops.family import EXACT
from unmoor.ops.formula import FAR, Aten, formula
from unmoor.ops.samples import Rand

UNARY = "(Tensor self) -> Tensor"
BINARY = "(Tensor self, Tensor other) -> Tensor"
INF, NAN = math.inf, math.nan


def floating(aten: Aten, x: Any) -> Any:
    """A tensor of floats: integers and bools in the default float."""
    return x if aten.is_float(x) else aten.cast(x, DEFAULT_FLOAT)


def in_f64(fn: Callable[[Aten, Any], Any]) -> Callable[[Aten, Any], Any]:
    """A function computed in float64 and rounded once."""

    def computed(aten: Aten, x: Any) -> Any:
        given = floating(aten, x)
        return aten.cast(fn(aten, aten.cast(given, f64)), aten.type_of(given).dtype)

    return computed


def negative(aten: Aten, x: Any) -> Any:
    """Where the sign is minus: below zero, or -0.0."""
    below = aten.lt(x, 0)
    if not aten.is_float(x):
        return below
    return aten.logical_or(below, aten.logical_and(aten.eq(x, 0), aten.lt(aten.reciprocal(x), 0)))


def _log_add(aten: Aten, a: Any, b: Any, exp: str, scale: float) -> Any:
    """log(e^a + e^b) = max + log1p(e^-|a - b|), in the base of `exp`; equal infinities are themselves."""
    top, bottom = aten.maximum(a, b), aten.minimum(a, b)
    more = aten.mul(aten.log1p(getattr(aten, exp)(aten.sub(bottom, top))), scale)
    same = aten.logical_and(aten.eq(a, b), aten.isinf(a))
    return aten.where(same, top, aten.add(top, more))


def _hypot(aten: Aten, a: Any, b: Any) -> Any:
    """The larger side times sqrt(1 + ratio^2), so that nothing overflows on the way."""
    a, b = aten.abs(a), aten.abs(b)
    top, bottom = aten.maximum(a, b), aten.minimum(a, b)
    ratio = aten.div(bottom, aten.where(aten.eq(top, 0), 1.0, top))
    made = aten.mul(top, aten.sqrt(aten.add(aten.mul(ratio, ratio), 1.0)))
    infinite = aten.logical_or(aten.eq(a, INF), aten.eq(b, INF))
    return aten.where(infinite, INF, made)


def _times_log(log: str) -> Callable[..., Any]:
    def meaning(aten: Aten, x: Any, y: Any) -> Any:
        product = aten.mul(x, getattr(aten, log)(y))
        zero = aten.eq(x, 0)
        made = aten.where(zero, 0.0, product)
        return made if not aten.is_float(y) else aten.where(aten.isnan(y), NAN, made)

    return meaning


def _copysign(aten: Aten, x: Any, sign: Any) -> Any:
    size = aten.abs(floating(aten, x))
    return aten.where(negative(aten, floating(aten, sign)), aten.neg(size), size)


def _heaviside(aten: Aten, x: Any, values: Any) -> Any:
    if aten.type_of(x).dtype is not aten.type_of(values).dtype:
        raise SignatureError("heaviside needs tensors of one dtype")
    return aten.where(aten.eq(x, 0), values, aten.cast(aten.gt(x, 0), aten.type_of(x).dtype))


def _not_nan(pick: str) -> Callable[..., Any]:
    def meaning(aten: Aten, a: Any, b: Any) -> Any:
        made = getattr(aten, pick)(a, b)
        if aten.is_float(a):
            made = aten.where(aten.isnan(a), b, made)
        return aten.where(aten.isnan(b), a, made) if aten.is_float(b) else made

    return meaning


def _isclose(aten: Aten, a: Any, b: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    if aten.type_of(a).dtype is not aten.type_of(b).dtype:
        raise SignatureError("isclose needs tensors of one dtype")
    same = aten.eq(a, b)
    if equal_nan and aten.is_float(a):
        same = aten.logical_or(same, aten.logical_and(aten.isnan(a), aten.isnan(b)))
    if rtol == 0 and atol == 0:
        return same
    if aten.type_of(a).dtype is bool_:
        a, b = floating(aten, a), floating(aten, b)
    allowed = aten.add(aten.abs(aten.mul(b, rtol)), atol)
    far = aten.abs(aten.sub(a, b))
    near = aten.logical_and(aten.isfinite(floating(aten, far)), aten.le(far, allowed))
    return aten.logical_or(same, near)


def _nan_to_num(aten: Aten, x: Any, nan: float | None, high: float | None, low: float | None) -> Any:
    if not aten.is_float(x):
        return x
    import numpy as np

    ends = np.finfo(aten.type_of(x).dtype.compute.numpy)
    if aten.type_of(x).dtype.size < 4:
        raise Unsupported("nan_to_num of half precision is not supported: convert with .float() first")
    made = aten.where(aten.isnan(x), 0.0 if nan is None else nan, x)
    made = aten.where(aten.eq(x, INF), float(ends.max) if high is None else high, made)
    return aten.where(aten.eq(x, -INF), float(ends.min) if low is None else low, made)


def _keep(aten: Aten, condition: Any, value: Any, x: Any) -> Any:
    """A number where the condition holds, else x, in x's dtype."""
    return aten.cast(aten.where(condition, value, x), aten.type_of(x).dtype)


def _hardshrink(aten: Aten, x: Any, by: float) -> Any:
    inside = aten.logical_and(aten.ge(x, -by), aten.le(x, by))
    return aten.where(inside, 0.0, x)


def _softshrink(aten: Aten, x: Any, by: float) -> Any:
    middle = aten.where(aten.lt(x, -by), aten.add(x, by), aten.mul(x, 0.0))
    return aten.where(aten.gt(x, by), aten.sub(x, by), middle)


def _logit(aten: Aten, x: Any, eps: float | None) -> Any:
    x = floating(aten, x)
    x = x if eps is None else aten.clamp(x, eps, 1 - eps)
    return aten.log(aten.div(x, aten.sub(1.0, x)))


def _sinc(aten: Aten, x: Any) -> Any:
    turned = aten.mul(x, math.pi)
    return aten.where(aten.eq(x, 0), 1.0, aten.div(aten.sin(turned), turned))


def _entr(aten: Aten, x: Any) -> Any:
    x = floating(aten, x)
    inside = aten.where(aten.eq(x, 0), 0.0, aten.neg(aten.mul(x, aten.log(x))))
    return aten.where(aten.lt(x, 0), -INF, inside)


def _erfc(aten: Aten, x: Any) -> Any:
    return aten.sub(1.0, aten.erf(x))


def _ndtr(aten: Aten, x: Any) -> Any:
    return aten.mul(aten.add(aten.erf(aten.mul(floating(aten, x), math.sqrt(0.5))), 1.0), 0.5)


def _erfinv(aten: Aten, y: Any) -> Any:
    """Winitzki's closed approximation, then four steps of Newton on erf."""
    log = aten.log1p(aten.neg(aten.mul(y, y)))
    a = 0.147
    half = aten.add(aten.mul(log, 0.5), 2 / (math.pi * a))
    root = aten.sub(aten.sqrt(aten.sub(aten.mul(half, half), aten.div(log, a))), half)
    x = aten.mul(aten.sign(y), aten.sqrt(root))
    for _ in range(4):
        slope = aten.mul(aten.exp(aten.neg(aten.mul(x, x))), 2 / math.sqrt(math.pi))
        x = aten.sub(x, aten.div(aten.sub(aten.erf(x), y), slope))
    ends = aten.where(aten.eq(y, 1), INF, aten.where(aten.eq(y, -1), -INF, x))
    return aten.where(aten.gt(aten.abs(y), 1), NAN, ends)


STEPS = 10  # how far arguments are moved up before an asymptotic series: error below 1e-15


def _lgamma(aten: Aten, x: Any) -> Any:
    """Stirling's series above 10, recurrence down to 0.5, reflection below."""
    low = aten.lt(x, 0.5)
    z = aten.where(low, aten.sub(1.0, x), x)
    shifted, product = aten.add(z, float(STEPS)), z
    for k in range(1, STEPS):
        product = aten.mul(product, aten.add(z, float(k)))
    inverse = aten.reciprocal(shifted)
    square = aten.mul(inverse, inverse)
    series: Any = 691 / 360360
    for term in (1 / 1188, 1 / 1680, 1 / 1260, 1 / 360, 1 / 12):
        series = aten.sub(term, aten.mul(square, series))
    stirling = aten.add(
        aten.sub(aten.mul(aten.sub(shifted, 0.5), aten.log(shifted)), shifted), 0.5 * math.log(2 * math.pi)
    )
    direct = aten.sub(aten.add(stirling, aten.mul(inverse, series)), aten.log(product))
    sine = aten.abs(aten.sin(aten.mul(aten.sub(x, aten.round(x)), math.pi)))
    reflected = aten.sub(aten.log(aten.div(math.pi, sine)), direct)
    made = aten.where(low, reflected, direct)
    pole = aten.logical_and(aten.le(x, 0), aten.eq(x, aten.floor(x)))
    return aten.where(aten.logical_or(pole, aten.isinf(x)), INF, made)


def _digamma(aten: Aten, x: Any) -> Any:
    """The asymptotic series above 10, recurrence down to 0.5, reflection below."""
    low = aten.lt(x, 0.5)
    z = aten.where(low, aten.sub(1.0, x), x)
    shifted, recurrence = aten.add(z, float(STEPS)), aten.reciprocal(z)
    for k in range(1, STEPS):
        recurrence = aten.add(recurrence, aten.reciprocal(aten.add(z, float(k))))
    inverse = aten.reciprocal(shifted)
    square = aten.mul(inverse, inverse)
    series: Any = 691 / 32760
    for term in (1 / 132, 1 / 240, 1 / 252, 1 / 120, 1 / 12):
        series = aten.sub(term, aten.mul(square, series))
    direct = aten.sub(aten.log(shifted), aten.add(aten.mul(inverse, 0.5), aten.mul(square, series)))
    direct = aten.sub(direct, recurrence)
    tangent = aten.tan(aten.mul(aten.sub(x, aten.round(x)), math.pi))
    made = aten.where(low, aten.sub(direct, aten.div(math.pi, tangent)), direct)
    made = aten.where(aten.logical_and(aten.lt(x, 0), aten.eq(x, aten.floor(x))), NAN, made)
    at_zero = aten.where(negative(aten, x), INF, -INF)
    return aten.where(aten.eq(x, INF), INF, aten.where(aten.eq(x, 0), at_zero, made))


def _mvlgamma(aten: Aten, x: Any, p: int) -> Any:
    x = floating(aten, x)
    made: Any = aten.lgamma(x)
    for k in range(1, p):
        made = aten.add(made, aten.lgamma(aten.sub(x, k / 2)))
    return aten.add(made, p * (p - 1) / 4 * math.log(math.pi))


def _glu(aten: Aten, x: Any, dim: int) -> Any:
    size = aten.shape(x)[dim]
    if not aten.facts.equal(size % 2, 0):
        raise SignatureError(f"glu needs an even size, got {size}")
    left, right = aten.narrow(x, dim, 0, size // 2), aten.narrow(x, dim, size // 2, size // 2)
    return aten.mul(left, aten.sigmoid(right))


def _prelu(aten: Aten, x: Any, weight: Any) -> Any:
    rank = aten.rank(x)
    channels = aten.type_of(weight).numel
    if rank > 1 and aten.rank(weight) == 1:
        weight = aten.reshape(weight, (channels, *(1 for _ in range(rank - 2))))
    elif not rank:
        weight = aten.reshape(weight, ())
    return aten.where(aten.gt(x, 0), x, aten.mul(weight, x))


def _rrelu(aten: Aten, x: Any, lower: float, upper: float, training: bool) -> Any:
    if training:
        raise Unsupported("rrelu in training mode draws random numbers: call .eval() before tracing")
    return aten.leaky_relu(x, (lower + upper) / 2)


def _fill(aten: Aten, x: Any, value: Any) -> Any:
    type_ = aten.type_of(x)
    if isinstance(value, bool | int | float):
        return aten.full_like(x, value, None)
    return aten.expand(aten.cast(value, type_.dtype), type_.shape)


UNIT = Rand(3, 5, scale=0.2)
MIDDLE = Rand(3, 5, scale=0.05, shift=0.5)
PAIR = (Rand(3, 5), Rand(5))
FORMULAS: list[Op] = [
    formula("positive", UNARY, lambda aten, x: x, tolerance=EXACT),
    formula("erfc", UNARY, _erfc, overloads="default special_erfc.default", tolerance=FAR),
    formula("logaddexp", BINARY, lambda aten, a, b: _log_add(aten, a, b, "exp", 1.0), PAIR),
    formula("logaddexp2", BINARY, lambda aten, a, b: _log_add(aten, a, b, "exp2", 1 / math.log(2)), PAIR),
    formula("hypot", BINARY, _hypot, PAIR),
    formula(
        "xlogy",
        BINARY,
        _times_log("log"),
        (Rand(3, 5), Rand(5, scale=0.1, shift=2.0)),
        overloads="Tensor Scalar_Other Scalar_Self special_xlogy.default special_xlogy.other_scalar "
        "special_xlogy.self_scalar",
    ),
    formula(
        "special_xlog1py",
        BINARY,
        _times_log("log1p"),
        (Rand(3, 5), Rand(5, scale=0.1, shift=2.0)),
        overloads="default other_scalar self_scalar",
    ),
    formula("copysign", BINARY, _copysign, PAIR, overloads="Tensor Scalar", tolerance=EXACT),
    formula("heaviside", "(Tensor self, Tensor values) -> Tensor", _heaviside, PAIR, tolerance=EXACT),
    formula("fmax", BINARY, _not_nan("maximum"), PAIR, tolerance=EXACT),
    formula("fmin", BINARY, _not_nan("minimum"), PAIR, tolerance=EXACT),
    formula(
        "float_power",
        "(Tensor self, Tensor exponent) -> Tensor",
        lambda aten, a, b: aten.pow(*(aten.cast(v, f64) if not isinstance(v, int | float) else v for v in (a, b))),
        (Rand(3, 5, scale=0.1, shift=2.0), Rand(5)),
        overloads="Tensor_Tensor Tensor_Scalar Scalar",
    ),
    formula(
        "isclose",
        "(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor",
        _isclose,
        PAIR,
        tolerance=EXACT,
    ),
    formula("isposinf", UNARY, lambda aten, x: aten.eq(x, INF), tolerance=EXACT),
    formula("isneginf", UNARY, lambda aten, x: aten.eq(x, -INF), tolerance=EXACT),
    formula("isreal", UNARY, lambda aten, x: aten.full_like(x, True, bool_), tolerance=EXACT),
    formula("signbit", UNARY, negative, tolerance=EXACT),
    formula("sgn", UNARY, lambda aten, x: aten.sign(x), tolerance=EXACT),
    formula("deg2rad", UNARY, lambda aten, x: aten.mul(x, math.pi / 180)),
    formula("rad2deg", UNARY, lambda aten, x: aten.mul(x, 180 / math.pi)),
    formula(
        "nan_to_num",
        "(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
        _nan_to_num,
        tolerance=EXACT,
    ),
    formula(
        "threshold",
        "(Tensor self, Scalar threshold, Scalar value) -> Tensor",
        lambda aten, x, t, value: _keep(aten, aten.le(x, t), value, x),
        (Rand(3, 5), 0.1, 20.0),
        tolerance=EXACT,
    ),
    formula("hardshrink", "(Tensor self, Scalar lambd=0.5) -> Tensor", _hardshrink, (Rand(3, 5), 0.5), tolerance=EXACT),
    formula("softshrink", "(Tensor self, float lambd=0.5) -> Tensor", _softshrink, (Rand(3, 5), 0.5)),
    formula(
        "celu",
        "(Tensor self, float alpha=1.0) -> Tensor",
        lambda aten, x, a: aten.where(aten.gt(x, 0), x, aten.mul(aten.expm1(aten.div(x, a)), a)),
        (Rand(3, 5), 1.5),
    ),
    formula(
        "selu",
        UNARY,
        lambda aten, x: aten.elu(x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1),
    ),
    formula(
        "logit",
        "(Tensor self, float? eps=None) -> Tensor",
        _logit,
        (MIDDLE, 0.1),
        overloads="default special_logit.default",
        stepwise=True,
    ),
    formula("sinc", UNARY, _sinc, overloads="default special_sinc.default", tolerance=FAR),
    formula("special_entr", UNARY, _entr),
    formula("special_ndtr", UNARY, _ndtr, tolerance=FAR, stepwise=True),
    formula("erfinv", UNARY, in_f64(_erfinv), (UNIT,), overloads="default special_erfinv.default", tolerance=FAR),
    formula(
        "special_ndtri",
        UNARY,
        in_f64(lambda aten, x: aten.mul(_erfinv(aten, aten.sub(aten.mul(x, 2.0), 1.0)), math.sqrt(2))),
        (MIDDLE,),
        tolerance=FAR,
    ),
    formula("lgamma", UNARY, in_f64(_lgamma), overloads="default special_gammaln.default", tolerance=FAR),
    formula(
        "digamma",
        UNARY,
        in_f64(_digamma),
        overloads="default special_digamma.default special_psi.default",
        tolerance=FAR,
    ),
    formula(
        "mvlgamma",
        "(Tensor self, int p) -> Tensor",
        _mvlgamma,
        (Rand(3, 5, scale=0.2, shift=4.0), 3),
        overloads="default special_multigammaln.default",
        tolerance=FAR,
    ),
    formula("glu", "(Tensor self, int dim=-1) -> Tensor", _glu, (Rand(3, 6), -1)),
    formula("prelu", "(Tensor self, Tensor weight) -> Tensor", _prelu, (Rand(2, 3, 5), Rand(3)), tolerance=EXACT),
    formula(
        "rrelu",
        "(Tensor self, float lower=0.125, float upper=0.3333333333333333, bool training=False) -> Tensor",
        _rrelu,
        (Rand(3, 5), 0.1, 0.3, False),
    ),
    formula(
        "fill",
        "(Tensor self, Tensor value) -> Tensor",
        _fill,
        (Rand(3, 5), 2.0),
        overloads="Scalar Tensor",
        tolerance=EXACT,
    ),
]
