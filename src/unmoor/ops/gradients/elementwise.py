"""Gradients of elementwise ops, with PyTorch's choices at kinks and ties."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unmoor.ops.formula import Aten

Made = tuple[Any, ...]


def _unary(slope: Callable[[Aten, Any, Any], Any]) -> Callable[..., Made]:
    """The gradient times `slope(aten, x, y)`."""
    return lambda aten, g, y, x, *rest: (lambda: aten.mul(g, slope(aten, x, y)), *(None for _ in rest))


def _over(divisor: Callable[[Aten, Any, Any], Any]) -> Callable[..., Made]:
    """The gradient over `divisor(aten, x, y)`."""
    return lambda aten, g, y, x, *rest: (lambda: aten.div(g, divisor(aten, x, y)), *(None for _ in rest))


def _flat(aten: Aten, g: Any, y: Any, *args: Any) -> Made:
    """The gradient is zero everywhere."""
    return tuple(None for _ in args)


def _where_not(condition: Callable[..., Any]) -> Callable[..., Made]:
    """The gradient, but zero where `condition(aten, x, y, *rest)` holds."""
    return lambda aten, g, y, x, *rest: (
        lambda: aten.where(condition(aten, x, y, *rest), 0.0, g),
        *(None for _ in rest),
    )


def _scaled(aten: Aten, g: Any, factor: Any) -> Any:
    return g if isinstance(factor, (int, float)) and factor == 1 else aten.mul(g, factor)


def _add(aten: Aten, g: Any, y: Any, a: Any, b: Any, alpha: Any) -> Made:
    return lambda: g, lambda: _scaled(aten, g, alpha), None


def _sub(aten: Aten, g: Any, y: Any, a: Any, b: Any, alpha: Any) -> Made:
    return lambda: g, lambda: aten.neg(_scaled(aten, g, alpha)), None


def _rsub(aten: Aten, g: Any, y: Any, a: Any, b: Any, alpha: Any) -> Made:
    return lambda: aten.neg(_scaled(aten, g, alpha)), lambda: g, None


def _mul(aten: Aten, g: Any, y: Any, a: Any, b: Any) -> Made:
    return lambda: aten.mul(g, b), lambda: aten.mul(g, a)


def _div(aten: Aten, g: Any, y: Any, a: Any, b: Any) -> Made:
    return lambda: aten.div(g, b), lambda: aten.neg(aten.mul(g, aten.div(aten.div(a, b), b)))


def _div_mode(aten: Aten, g: Any, y: Any, a: Any, b: Any, mode: str | None) -> Made:
    return (*_div(aten, g, y, a, b), None) if mode is None else (None, None, None)


def _rest_of(mode: str) -> Callable[..., Made]:
    def rule(aten: Aten, g: Any, y: Any, a: Any, b: Any) -> Made:
        return lambda: g, lambda: aten.neg(aten.mul(g, aten.div_mode(a, b, rounding_mode=mode)))

    return rule


def _extreme(worse: str) -> Callable[..., Made]:
    """Ties share the gradient."""

    def rule(aten: Aten, g: Any, y: Any, a: Any, b: Any) -> Made:
        def of(mine: Any, other: Any) -> Any:
            shared = aten.where(aten.eq(mine, other), aten.mul(g, 0.5), g)
            return aten.where(getattr(aten, worse)(mine, other), 0.0, shared)

        return lambda: of(a, b), lambda: of(b, a)

    return rule


def _clamp(aten: Aten, g: Any, y: Any, x: Any, low: Any, high: Any) -> Made:
    def inside() -> Any:
        kept = g
        if low is not None:
            kept = aten.where(aten.ge(x, low), kept, 0.0)
        return kept if high is None else aten.where(aten.le(x, high), kept, 0.0)

    def of_low() -> Any:
        below = aten.where(aten.lt(x, low), g, 0.0)
        return below if high is None else aten.where(aten.lt(low, high), below, 0.0)

    def of_high() -> Any:
        above = aten.gt(x, high)
        return aten.where(above if low is None else aten.logical_or(above, aten.lt(high, low)), g, 0.0)

    return inside, of_low, of_high


def _clamp_min(aten: Aten, g: Any, y: Any, x: Any, low: Any) -> Made:
    return lambda: aten.where(aten.ge(x, low), g, 0.0), lambda: aten.where(aten.lt(x, low), g, 0.0)


def _clamp_max(aten: Aten, g: Any, y: Any, x: Any, high: Any) -> Made:
    return lambda: aten.where(aten.le(x, high), g, 0.0), lambda: aten.where(aten.gt(x, high), g, 0.0)


def _where(aten: Aten, g: Any, y: Any, condition: Any, a: Any, b: Any) -> Made:
    return None, lambda: aten.where(condition, g, 0.0), lambda: aten.where(condition, 0.0, g)


def _cast(aten: Aten, g: Any, y: Any, x: Any, dtype: Any) -> Made:
    return lambda: aten.cast(g, aten.type_of(x).dtype), None


def _pow(aten: Aten, g: Any, y: Any, x: Any, exponent: Any) -> Made:
    def of_base() -> Any:
        slope = aten.mul(exponent, aten.pow(x, aten.sub(exponent, 1.0)))
        if isinstance(exponent, (int, float)):
            return aten.mul(g, slope) if exponent else aten.mul(g, 0.0)
        return aten.where(aten.eq(exponent, 0.0), 0.0, aten.mul(g, slope))

    def of_exponent() -> Any:
        none = aten.logical_and(aten.eq(x, 0.0), aten.ge(exponent, 0.0))
        return aten.where(none, 0.0, aten.mul(g, aten.mul(y, aten.log(x))))

    return of_base, of_exponent


def _atan2(aten: Aten, g: Any, y: Any, a: Any, b: Any) -> Made:
    def scaled() -> Any:
        return aten.div(g, aten.add(aten.mul(a, a), aten.mul(b, b)))

    return lambda: aten.mul(scaled(), b), lambda: aten.neg(aten.mul(scaled(), a))


def _leaky_relu(aten: Aten, g: Any, y: Any, x: Any, slope: float) -> Made:
    return lambda: aten.where(aten.gt(x, 0.0), g, aten.mul(g, slope)), None


def _elu(aten: Aten, g: Any, y: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Made:
    def of_x() -> Any:
        low = aten.mul(aten.exp(aten.mul(x, input_scale)), input_scale * alpha * scale)
        return aten.where(aten.le(x, 0.0), aten.mul(g, low), aten.mul(g, scale))

    return of_x, None, None, None


def _gelu(aten: Aten, g: Any, y: Any, x: Any, approximate: str) -> Made:
    def exact() -> Any:
        chance = aten.mul(aten.add(aten.erf(aten.mul(x, math.sqrt(0.5))), 1.0), 0.5)
        density = aten.mul(aten.exp(aten.mul(aten.mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
        return aten.mul(g, aten.add(chance, aten.mul(x, density)))

    def by_tanh() -> Any:
        beta, kappa = math.sqrt(2 / math.pi), 0.044715
        square = aten.mul(x, x)
        inner = aten.tanh(aten.mul(aten.mul(x, beta), aten.add(aten.mul(square, kappa), 1.0)))
        left = aten.mul(aten.add(inner, 1.0), 0.5)
        slope = aten.mul(aten.add(aten.mul(square, 3 * kappa), 1.0), beta)
        right = aten.mul(aten.mul(aten.mul(x, 0.5), aten.sub(1.0, aten.mul(inner, inner))), slope)
        return aten.mul(g, aten.add(left, right))

    return by_tanh if approximate == "tanh" else exact, None


def _silu(aten: Aten, x: Any, y: Any) -> Any:
    s = aten.sigmoid(x)
    return aten.mul(s, aten.add(aten.mul(x, aten.sub(1.0, s)), 1.0))


def _mish(aten: Aten, x: Any, y: Any) -> Any:
    t = aten.tanh(aten.softplus(x))
    return aten.add(t, aten.mul(aten.mul(x, aten.sigmoid(x)), aten.sub(1.0, aten.mul(t, t))))


def _softplus(aten: Aten, g: Any, y: Any, x: Any, beta: float, threshold: float) -> Made:
    def of_x() -> Any:
        scaled = aten.mul(x, beta)
        return aten.where(aten.gt(scaled, threshold), g, aten.mul(g, aten.sigmoid(scaled)))

    return of_x, None, None


def _square_of(aten: Aten, v: Any) -> Any:
    return aten.mul(v, v)


ELEMENTWISE: dict[str, Callable[..., Made]] = {
    "aten::add": _add,
    "aten::sub": _sub,
    "aten::rsub": _rsub,
    "aten::mul": _mul,
    "aten::div": _div,
    "aten::div_mode": _div_mode,
    "aten::floor_divide": _flat,
    "aten::remainder": _rest_of("floor"),
    "aten::fmod": _rest_of("trunc"),
    "aten::neg": lambda aten, g, y, x: (lambda: aten.neg(g),),
    "aten::abs": _unary(lambda aten, x, y: aten.sign(x)),
    "aten::sign": _flat,
    "aten::maximum": _extreme("lt"),
    "aten::minimum": _extreme("gt"),
    "aten::clamp": _clamp,
    "aten::clamp_min": _clamp_min,
    "aten::clamp_max": _clamp_max,
    "aten::where": _where,
    "prim::cast": _cast,
    "prim::copy": lambda aten, g, y, x: (lambda: g,),
    "aten::sqrt": _over(lambda aten, x, y: aten.mul(y, 2.0)),
    "aten::rsqrt": _unary(lambda aten, x, y: aten.mul(aten.mul(_square_of(aten, y), y), -0.5)),
    "aten::reciprocal": _unary(lambda aten, x, y: aten.neg(_square_of(aten, y))),
    "aten::exp": _unary(lambda aten, x, y: y),
    "aten::exp2": _unary(lambda aten, x, y: aten.mul(y, math.log(2))),
    "aten::expm1": _unary(lambda aten, x, y: aten.add(y, 1.0)),
    "aten::sin": _unary(lambda aten, x, y: aten.cos(x)),
    "aten::cos": _unary(lambda aten, x, y: aten.neg(aten.sin(x))),
    "aten::tan": _unary(lambda aten, x, y: aten.add(_square_of(aten, y), 1.0)),
    "aten::atan": _over(lambda aten, x, y: aten.add(_square_of(aten, x), 1.0)),
    "aten::sinh": _unary(lambda aten, x, y: aten.cosh(x)),
    "aten::cosh": _unary(lambda aten, x, y: aten.sinh(x)),
    "aten::tanh": _unary(lambda aten, x, y: aten.sub(1.0, _square_of(aten, y))),
    "aten::asinh": _unary(lambda aten, x, y: aten.rsqrt(aten.add(_square_of(aten, x), 1.0))),
    "aten::acosh": _unary(lambda aten, x, y: aten.rsqrt(aten.sub(_square_of(aten, x), 1.0))),
    "aten::atanh": _over(lambda aten, x, y: aten.sub(1.0, _square_of(aten, x))),
    "aten::erf": _unary(lambda aten, x, y: aten.mul(aten.exp(aten.neg(_square_of(aten, x))), 2 / math.sqrt(math.pi))),
    "aten::sigmoid": _unary(lambda aten, x, y: aten.mul(aten.sub(1.0, y), y)),
    "aten::log": _over(lambda aten, x, y: x),
    "aten::log2": _over(lambda aten, x, y: aten.mul(x, math.log(2))),
    "aten::log10": _over(lambda aten, x, y: aten.mul(x, math.log(10))),
    "aten::log1p": _over(lambda aten, x, y: aten.add(x, 1.0)),
    "aten::asin": _unary(lambda aten, x, y: aten.rsqrt(aten.sub(1.0, _square_of(aten, x)))),
    "aten::acos": _unary(lambda aten, x, y: aten.neg(aten.rsqrt(aten.sub(1.0, _square_of(aten, x))))),
    "aten::atan2": _atan2,
    "aten::pow": _pow,
    "aten::floor": _flat,
    "aten::ceil": _flat,
    "aten::trunc": _flat,
    "aten::round": _flat,
    "aten::frac": lambda aten, g, y, x: (lambda: g,),
    "aten::relu": _where_not(lambda aten, x, y: aten.le(y, 0.0)),
    "aten::relu6": _where_not(lambda aten, x, y: aten.logical_or(aten.le(x, 0.0), aten.ge(x, 6.0))),
    "aten::leaky_relu": _leaky_relu,
    "aten::elu": _elu,
    "aten::hardtanh": _where_not(lambda aten, x, y, low, high: aten.logical_or(aten.le(x, low), aten.ge(x, high))),
    "aten::hardsigmoid": lambda aten, g, y, x: (
        lambda: aten.where(aten.logical_and(aten.gt(x, -3.0), aten.lt(x, 3.0)), aten.mul(g, 1 / 6), 0.0),
    ),
    "aten::hardswish": lambda aten, g, y, x: (
        lambda: aten.where(
            aten.le(x, -3.0),
            0.0,
            aten.where(aten.lt(x, 3.0), aten.mul(g, aten.add(aten.mul(x, 1 / 3), 0.5)), g),
        ),
    ),
    "aten::gelu": _gelu,
    "aten::silu": _unary(_silu),
    "aten::mish": _unary(_mish),
    "aten::softplus": _softplus,
    "aten::log_sigmoid": _unary(lambda aten, x, y: aten.sigmoid(aten.neg(x))),
}
