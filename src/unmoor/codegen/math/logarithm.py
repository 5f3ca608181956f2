"""log, log2, log10 and log1p.

x = 2^e m with sqrt(1/2) <= m < sqrt(2), f = m - 1. f32: log(1+f) = f - f^2/2 + f^3 P(f). f64, after fdlibm's
e_log.c (Sun, 1993): with s = f/(2+f), log(1+f) = f - (f^2/2 - s (f^2/2 + R(s^2))), R fitted anew. Both leave the
logarithm as a pair, so that other bases multiply a pair by 1/log(base) as a pair.
"""

from __future__ import annotations

from typing import NamedTuple

from unmoor.codegen.builder import Builder, Val, element
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.floats import Pair, fabs, fast_two_sum, format_of, horner, to_float, two_product, two_sum

INF, NAN = float("inf"), float("nan")
SQRT_HALF_BITS = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}


class Base(NamedTuple):
    """1/log(base), and log_base(2), each in two words; the first of the latter short, so that e * high is exact."""

    factor: tuple[float, float]
    log2: tuple[float, float]


def _words(*values: str) -> tuple[float, float]:
    high, low = (float.fromhex(v) for v in values)
    return high, low


NATURAL = {
    "float": Base((1.0, 0.0), _words("0x1.62e4p-1", "0x1.7f7d1cp-20")),
    "double": Base((1.0, 0.0), _words("0x1.62e42fefa38p-1", "0x1.ef35793c7673p-45")),
}
BINARY = {
    "float": Base(_words("0x1.715476p+0", "0x1.4ae0cp-26"), (1.0, 0.0)),
    "double": Base(_words("0x1.71547652b82fep+0", "0x1.777d0ffda0d24p-56"), (1.0, 0.0)),
}
DECIMAL = {
    "float": Base(_words("0x1.bcb7b2p-2", "-0x1.5b235ep-27"), _words("0x1.344p-2", "0x1.3509f8p-18")),
    "double": Base(
        _words("0x1.bcb7b1526e50ep-2", "0x1.95355baaafad3p-57"), _words("0x1.34413509f78p-2", "0x1.fef311f12b358p-46")
    ),
}


def split(b: Builder, x: Val) -> tuple[Val, Val]:
    """(e, m) with x = 2^e m, sqrt(1/2) <= m < sqrt(2), for positive finite x; e as a float."""
    f = format_of(x)
    small = b.fcmp("olt", x, f.smallest_normal)
    bits = b.as_int(b.select(small, b.mul(x, 2.0 ** (f.mantissa + 1)), x))
    e = b.ashr(b.sub(bits, SQRT_HALF_BITS[f.elem]), f.mantissa)
    m = b.as_float(b.sub(bits, b.shl(e, f.mantissa)))
    return to_float(b, b.sub(e, b.select(small, b.like(bits, f.mantissa + 1), 0))), m


def log_pair(b: Builder, f: Val) -> Pair:
    """log(1 + f) for sqrt(1/2) - 1 <= f < sqrt(2) - 1, as a pair that is right to about an ulp of its low word."""
    if element(f.type) == "float":
        square = b.mul(f, f)
        rest = b.mul(square, b.fma(f, horner(b, f, c.LOG_32), -0.5))
        return f, rest
    half_square = b.mul(b.mul(f, f), 0.5)
    s = b.fdiv(f, b.add(f, 2.0))
    z = b.mul(s, s)
    r = b.mul(z, horner(b, z, c.LOG_RATIO_64))
    high, low = fast_two_sum(b, f, b.neg(half_square))
    return high, b.fma(s, b.add(half_square, r), low)


def combine(b: Builder, e: Val, pair: Pair, base: Base) -> Val:
    """e log(2) + pair, in the base."""
    high, low = pair
    if base.factor[0] != 1.0:
        product, error = two_product(b, high, base.factor[0])
        low = b.fma(low, base.factor[0], b.fma(high, base.factor[1], error))
        high = product
    low = b.fma(e, base.log2[1], low) if base.log2[1] else low
    high, error = two_sum(b, b.mul(e, base.log2[0]), high)
    return b.add(high, b.add(error, low))


def handle_edges(b: Builder, x: Val, result: Val) -> Val:
    """-inf at 0, NaN below, inf and NaN as they are."""
    edge = b.select(b.fcmp("oeq", x, 0.0), b.like(x, -INF), b.select(b.fcmp("olt", x, 0.0), b.like(x, NAN), x))
    usual = b.and_(b.fcmp("ogt", x, 0.0), b.fcmp("olt", x, INF))
    return b.select(usual, result, edge)


def _log(b: Builder, x: Val, bases: dict[str, Base]) -> Val:
    e, m = split(b, x)
    return handle_edges(b, x, combine(b, e, log_pair(b, b.sub(m, 1.0)), bases[element(x.type)]))


def log(b: Builder, x: Val) -> Val:
    if element(x.type) == "double":
        return _log(b, x, NATURAL)
    e, m = split(b, x)  # one word is enough: e*high and f add up to within half an ulp
    high, low = log_pair(b, b.sub(m, 1.0))
    total = b.fma(e, NATURAL["float"].log2[0], b.add(high, b.fma(e, NATURAL["float"].log2[1], low)))
    return handle_edges(b, x, total)


def log2(b: Builder, x: Val) -> Val:
    return _log(b, x, BINARY)


def log10(b: Builder, x: Val) -> Val:
    return _log(b, x, DECIMAL)


def log1p(b: Builder, x: Val) -> Val:
    """log of u = 1 + x rounded, corrected by (1 + x - u)/u."""
    u = b.add(x, 1.0)
    correction = b.fdiv(two_sum(b, b.like(x, 1.0), x)[1], u)
    e, m = split(b, u)
    high, low = log_pair(b, b.sub(m, 1.0))
    base = NATURAL[element(x.type)]
    result = handle_edges(b, u, combine(b, e, (high, b.add(low, correction)), base))
    tiny = b.fcmp("olt", fabs(b, x), 2.0 ** -(format_of(x).mantissa + 3))  # and keeps -0
    return b.select(tiny, x, result)
