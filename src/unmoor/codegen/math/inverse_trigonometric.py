"""asin, acos, atan and atan2.

Arguments are brought to a short interval by identities (Cody and Waite; Moshier's Cephes for atan's three intervals),
there x + x^3 P(x^2). Multiples of pi are added in two words.
"""

from __future__ import annotations

from unmoor.codegen.builder import Builder, Val, element
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.floats import (
    copysign,
    fabs,
    format_of,
    horner,
    sign_of,
    sqrt,
    with_sign,
)

PI = {  # high and low word
    "float": (float.fromhex("0x1.921fb6p+1"), float.fromhex("-0x1.777a5cp-24")),
    "double": (float.fromhex("0x1.921fb54442d18p+1"), float.fromhex("0x1.1a62633145c07p-53")),
}
ATAN = {"float": c.ATAN_32, "double": c.ATAN_64}
ASIN = {"float": c.ASIN_32, "double": c.ASIN_64}


def _arc_tail(b: Builder, x: Val, z: Val) -> Val:
    """asin(x) - x for |x| <= 1/2, z = x*x."""
    return b.mul(b.mul(x, z), horner(b, z, ASIN[element(x.type)]))


def _half_angle(b: Builder, a: Val) -> tuple[Val, Val, Val]:
    """(s, t, z): sqrt((1 - a)/2) = s + t, z its square, for 1/2 <= a <= 1."""
    z = b.fma(a, -0.5, 0.5)  # exact
    s = sqrt(b, z)
    missing = b.fma(b.neg(s), s, z)
    t = b.fdiv(missing, b.add(s, s))
    return s, b.select(b.fcmp("oeq", z, 0.0), 0.0, t), z


def asin(b: Builder, x: Val) -> Val:
    """Above 1/2: pi/2 - 2 asin(sqrt((1 - |x|)/2))."""
    high, low = PI[element(x.type)]
    a = fabs(b, x)
    s, t, z = _half_angle(b, a)
    outer = b.sub(high / 2, b.mul(b.sub(b.add(s, b.add(t, _arc_tail(b, s, z))), low / 4), 2.0))
    inner = b.add(a, _arc_tail(b, a, b.mul(a, a)))
    return copysign(b, b.select(b.fcmp("ogt", a, 0.5), outer, inner), x)


def acos(b: Builder, x: Val) -> Val:
    """2 asin(sqrt((1 - x)/2)) above 1/2, pi minus that of -x below -1/2, pi/2 - asin(x) between."""
    high, low = PI[element(x.type)]
    a = fabs(b, x)
    s, t, z = _half_angle(b, a)
    tail = b.add(t, _arc_tail(b, s, z))
    positive = b.mul(b.add(s, tail), 2.0)
    negative = b.sub(high, b.mul(b.add(s, b.sub(tail, low / 2)), 2.0))
    outer = b.select(b.fcmp("olt", x, 0.0), negative, positive)
    inner = b.sub(high / 2, b.add(x, b.sub(_arc_tail(b, x, b.mul(x, x)), low / 2)))
    return b.select(b.fcmp("ogt", a, 0.5), outer, inner)


def _arctangent(b: Builder, y: Val, x: Val) -> tuple[Val, Val]:
    """(base, rest): atan(y/x) = base pi/4 + rest for y, x >= 0, base one of 0.0, 1.0, 2.0; one division.

    The middle interval of y/x is [1/2, 2], where the error of (y-x)/(y+x) <= 1/3 counts little beside pi/4.
    """
    low = b.fcmp("ole", y, b.mul(x, 0.5))
    high = b.fcmp("ogt", y, b.mul(x, 2.0))
    numerator = b.select(low, y, b.select(high, b.neg(x), b.sub(y, x)))
    denominator = b.select(low, x, b.select(high, y, b.add(y, x)))
    t = b.fdiv(numerator, denominator)
    z = b.mul(t, t)
    rest = b.fma(b.mul(t, z), horner(b, z, ATAN[element(y.type)]), t)
    return b.select(low, b.like(y, 0.0), b.select(high, b.like(y, 2.0), 1.0)), rest


def atan(b: Builder, x: Val) -> Val:
    high, low = PI[element(x.type)]
    base, rest = _arctangent(b, fabs(b, x), b.like(x, 1.0))
    rest = b.fma(base, low / 4, rest)
    return copysign(b, b.fma(base, high / 4, rest), x)


def atan2(b: Builder, y: Val, x: Val) -> Val:
    """Both operands are scaled together so that nothing over- or underflows but the result itself."""
    f = format_of(x)
    high, low = PI[f.elem]
    a, c_ = fabs(b, y), fabs(b, x)
    largest = b.select(b.fcmp("ogt", a, c_), a, c_)
    big = b.fcmp("ogt", largest, 2.0 ** (f.bias - 2))
    small = b.fcmp("olt", largest, 2.0 ** -(f.bias - 2 * f.mantissa))
    factor = b.select(big, b.like(x, 2.0**-4), b.select(small, b.like(x, 2.0 ** (2 * f.mantissa)), 1.0))
    same = b.and_(b.fcmp("oeq", a, c_), b.fcmp("oeq", largest, float("inf")))  # inf/inf counts as 1
    none = b.fcmp("oeq", largest, 0.0)  # 0/0 as 0/1
    a = b.select(same, 1.0, b.mul(a, factor))
    c_ = b.select(b.or_(same, none), 1.0, b.mul(c_, factor))
    base, rest = _arctangent(b, a, c_)
    # with x < 0 (or -0): pi - that = (4 - base) pi/4 - rest
    sign = sign_of(b, x)
    left = b.icmp("ne", sign, 0)
    base = b.select(left, b.sub(4.0, base), base)
    rest = b.fma(base, low / 4, with_sign(b, rest, sign))
    angle = b.fma(base, high / 4, rest)
    return with_sign(b, angle, sign_of(b, y))
