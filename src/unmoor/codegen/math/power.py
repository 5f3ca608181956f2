"""pow of floats.

x^y = 2^n e^r with y log(x) as a pair. The logarithm needs 2^-64 of relative accuracy, since up to ten bits of it go
into n: log(m) = 2 atanh(s) with s = f/(2 + f) as a pair and the first two terms of the series in pairs. Special
cases are those of C's pow (Annex F.10.4.4). f32 goes through f64, where a plain logarithm is enough.
"""

from __future__ import annotations

from unmoor.codegen.builder import Builder, Val
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.exponential import EXP_RANGE, clamped, exp_pair
from unmoor.codegen.math.floats import (
    Pair,
    fabs,
    fast_two_sum,
    horner,
    multiply_pairs,
    scale,
    two_product,
    two_sum,
)
from unmoor.codegen.math.logarithm import NATURAL, split

TWO_THIRDS = (float.fromhex("0x1.5555555555555p-1"), float.fromhex("0x1.5555555555555p-55"))
INF, NAN = float("inf"), float("nan")


def _log_pair(b: Builder, x: Val) -> Pair:
    """log(x) for positive finite x."""
    e, m = split(b, x)
    f = b.sub(m, 1.0)  # exact
    divisor = b.add(f, 2.0)
    divisor_low = b.sub(f, b.sub(divisor, 2.0))
    s = b.fdiv(f, divisor)
    missing = b.fma(b.neg(s), divisor_low, b.fma(b.neg(s), divisor, f))
    pair = s, b.fdiv(missing, divisor)
    square = multiply_pairs(b, pair, pair)
    z = square[0]
    # atanh(s)*2 = 2s + s^3 (2/3 + z (2/5 + ...)); LOG_RATIO is the series from 2/3 on
    rest = b.mul(z, horner(b, z, c.LOG_RATIO_64[1:]))
    first = b.like(x, TWO_THIRDS[0])
    high, low = fast_two_sum(b, first, b.add(rest, TWO_THIRDS[1]))
    cube = multiply_pairs(b, multiply_pairs(b, square, pair), (high, low))
    high, low = fast_two_sum(b, b.mul(pair[0], 2.0), cube[0])
    low = b.add(low, b.fma(pair[1], 2.0, cube[1]))
    words = NATURAL["double"].log2
    low = b.fma(e, words[1], low)
    high, error = two_sum(b, b.mul(e, words[0]), high)
    return fast_two_sum(b, high, b.add(low, error))


def pow_double(b: Builder, x: Val, y: Val) -> Val:
    a = fabs(b, x)
    usual = b.and_(b.fcmp("ogt", a, 0.0), b.fcmp("olt", a, INF))
    log_high, log_low = _log_pair(b, b.select(usual, a, 1.0))
    # beyond this |y| every x but 1 overflows or vanishes; it keeps the products finite
    bounded = clamped(b, y, (-(2.0**70), 2.0**70))
    high, low = two_product(b, log_high, bounded)
    low = b.fma(log_low, bounded, low)
    limited = clamped(b, high, EXP_RANGE["double"])
    low = b.select(b.fcmp("oeq", limited, high), low, 0.0)
    p, n = exp_pair(b, limited, low)
    return _signed(b, x, y, a, usual, scale(b, p, n))


def _signed(b: Builder, x: Val, y: Val, a: Val, usual: Val, magnitude: Val) -> Val:
    """The special cases around |x|^y."""
    # 0 and inf to a power: 0, inf, by the sign of y
    grows = b.xor(b.fcmp("oeq", a, 0.0), b.fcmp("ogt", y, 0.0))
    extreme = b.select(grows, b.like(x, INF), 0.0)
    magnitude = b.select(usual, magnitude, extreme)
    integral = b.fcmp("oeq", b.intrinsic("trunc", [y]), y)
    half = b.mul(y, 0.5)
    odd = b.and_(integral, b.fcmp("une", b.intrinsic("trunc", [half]), half))
    negative = b.icmp("slt", b.as_int(x), 0)
    result = b.select(b.and_(negative, odd), b.neg(magnitude), magnitude)
    below = b.and_(b.fcmp("olt", x, 0.0), b.fcmp("une", a, INF))
    finite_y = b.fcmp("olt", fabs(b, y), INF)
    undefined = b.and_(below, b.and_(finite_y, b.xor(integral, True)))
    result = b.select(undefined, NAN, result)
    # |x| = 1 with y infinite is 1; inf^y for y infinite follows from log|x| above
    result = b.select(b.and_(b.fcmp("oeq", a, 1.0), b.fcmp("oeq", fabs(b, y), INF)), 1.0, result)
    result = b.select(b.fcmp("uno", x, y), b.add(x, y), result)
    one = b.or_(b.fcmp("oeq", y, 0.0), b.fcmp("oeq", x, 1.0))
    return b.select(one, 1.0, result)
