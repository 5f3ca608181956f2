"""exp, exp2, expm1, sigmoid and tanh.

Argument reduction x = n ln2 + r, |r| <= ln2/2, with ln2 in two words (Cody and Waite, Software Manual for the
Elementary Functions, 1980), a polynomial for (e^r - 1 - r)/r^2, and scaling by 2^n.
"""

from __future__ import annotations

from typing import NamedTuple

from unmoor.codegen.builder import Builder, Val, element
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.floats import (
    at_least,
    at_most,
    copysign,
    fabs,
    format_of,
    horner,
    power_of_two,
    scale,
    split_integer,
    to_int,
)

LOG2E = 1.4426950408889634
LN2 = {  # high and low word; n * high is not rounded in a fused multiply-add
    "float": (float.fromhex("0x1.62e43p-1"), float.fromhex("-0x1.05c610p-29")),
    "double": (float.fromhex("0x1.62e42fefa39efp-1"), float.fromhex("0x1.abc9e3b39803fp-56")),
}
EXP = {"float": c.EXP_32, "double": c.EXP_64}
# where exp overflows to inf, and where it is below half the smallest denormal, with room to spare
EXP_RANGE = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}
EXP2_RANGE = {"float": (-151.0, 129.0), "double": (-1076.0, 1025.0)}


class Reduced(NamedTuple):
    """x = n ln2 + r, n an integral float; `shifted` as `scale` takes it."""

    n: Val
    shifted: Val
    r: Val


def reduce_exp(b: Builder, x: Val) -> Reduced:
    high, low = LN2[element(x.type)]
    n, shifted = split_integer(b, x, LOG2E)
    return Reduced(n, shifted, b.fma(n, -low, b.fma(n, -high, x)))


def expm1_reduced(b: Builder, r: Val) -> Val:
    """e^r - 1 for |r| <= ln2/2, to about half an ulp."""
    return b.fma(b.mul(r, r), horner(b, r, EXP[element(r.type)]), r)


def clamped(b: Builder, x: Val, limits: tuple[float, float]) -> Val:
    return at_most(b, at_least(b, x, limits[0]), limits[1])


def exp(b: Builder, x: Val) -> Val:
    n, shifted, r = reduce_exp(b, clamped(b, x, EXP_RANGE[element(x.type)]))
    return scale(b, b.fma(horner(b, r, (1.0, *EXP[element(x.type)])), r, 1.0), n, shifted)


def exp_pair(b: Builder, high: Val, low: Val) -> tuple[Val, Val]:
    """(p, n) with exp(high + low) = p * 2^n, p about 1, for `high` within EXP_RANGE and |low| tiny."""
    n, _, r = reduce_exp(b, high)
    m = expm1_reduced(b, r)
    return b.add(b.fma(b.add(m, 1.0), low, m), 1.0), n


def exp2(b: Builder, x: Val) -> Val:
    x = clamped(b, x, EXP2_RANGE[element(x.type)])
    n, shifted = split_integer(b, x, 1.0)
    r = b.sub(x, n)
    if element(x.type) == "float":
        return scale(b, b.fma(horner(b, r, c.EXP2_32), r, 1.0), n, shifted)
    high, low = LN2["double"]
    t = b.mul(r, high)
    rest = b.fma(r, low, b.fma(r, high, b.neg(t)))
    m = expm1_reduced(b, t)
    return scale(b, b.add(b.fma(b.add(m, 1.0), rest, m), 1.0), n, shifted)


def expm1(b: Builder, x: Val) -> Val:
    """As 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)), so that n = 1024 does not overflow early."""
    f = format_of(x)
    lowest = {"float": -20.0, "double": -40.0}[f.elem]  # e^x vanishes beside 1
    y = clamped(b, x, (lowest, EXP_RANGE[f.elem][1]))
    n, _, r = reduce_exp(b, y)
    half = power_of_two(b, b.sub(to_int(b, n), 1), f.elem)
    result = b.mul(b.fma(half, expm1_reduced(b, r), b.sub(half, 0.5)), 2.0)
    tiny = b.fcmp("olt", fabs(b, x), 2.0 ** -(f.mantissa + 3))  # and keeps -0
    return b.select(tiny, x, result)


def sigmoid(b: Builder, x: Val) -> Val:
    """e^-|x| never overflows: 1/(1 + e^-|x|) for x >= 0, e^-|x|/(1 + e^-|x|) below."""
    f = format_of(x)
    negative = b.neg(fabs(b, x))
    n, shifted, r = reduce_exp(b, at_least(b, negative, EXP_RANGE[f.elem][0]))
    e = scale(b, b.add(expm1_reduced(b, r), 1.0), n, shifted)
    numerator = b.select(b.fcmp("olt", x, 0.0), e, 1.0)
    return b.fdiv(numerator, b.add(e, 1.0))


def tanh(b: Builder, x: Val) -> Val:
    """m/(m + 2) with m = e^2|x| - 1, which is right for small x; 1 from where it rounds to 1.

    The low bits of |x| 2/ln2 + magic + bias are the exponent field of 2^n.
    """
    f = format_of(x)
    a = at_most(b, fabs(b, x), {"float": 10.0, "double": 20.0}[f.elem])
    high, low = LN2[f.elem]
    shifted = b.fma(a, 2 * LOG2E, f.magic + f.bias)
    n = b.sub(shifted, f.magic + f.bias)
    r = b.fma(n, -high / 2, a)
    if f.elem == "double":  # ln2 in one f32 word is right to 2^-28 of itself, which n <= 29 allows
        r = b.fma(n, -low / 2, r)
    # e^2r - 1 = 2r + r^2 q(r), its powers of two folded into the coefficients
    doubled = [k * 2.0 ** (i + 2) for i, k in enumerate(EXP[f.elem])]
    m = b.fma(b.mul(r, r), horner(b, r, doubled), b.add(r, r))
    s = b.as_float(b.shl(b.as_int(shifted), f.mantissa))
    e = b.fma(s, m, b.sub(s, 1.0))
    return copysign(b, b.fdiv(e, b.add(e, 2.0)), x)
