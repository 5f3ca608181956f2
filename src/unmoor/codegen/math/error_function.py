"""erf."""

from __future__ import annotations

from unmoor.codegen.builder import Builder, Val, element
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.exponential import LN2, LOG2E, expm1_reduced
from unmoor.codegen.math.exponential import exp as exponential
from unmoor.codegen.math.floats import at_most, copysign, fabs, format_of, horner

TWO_OVER_ROOT_PI = {
    "float": (float.fromhex("0x1.20dd76p+0"), float.fromhex("-0x1.f7ac92p-25")),
    "double": (float.fromhex("0x1.20dd750429b6dp+0"), float.fromhex("0x1.1ae3a914fed80p-56")),
}


def erf(b: Builder, x: Val) -> Val:
    a = fabs(b, x)
    return copysign(b, _erf32(b, a) if element(x.type) == "float" else _erf64(b, a), x)


def _erf32(b: Builder, a: Val) -> Val:
    """1 - e^-y with y = -log(erfc(a)) = a (2/sqrt(pi) + a R(a)): one polynomial, right for small a as well."""
    f = format_of(a)
    a = at_most(b, a, 4.0)  # erf rounds to 1 from 3.92
    high, low = TWO_OVER_ROOT_PI["float"]
    y = b.fma(a, high, b.mul(a, b.fma(a, horner(b, a, c.ERF_LOG_32), low)))
    shifted = b.fma(y, -LOG2E, f.magic + f.bias)
    n = b.sub(shifted, f.magic + f.bias)
    r = b.fma(n, -LN2["float"][0], b.neg(y))  # -y = n ln2 + r; |n| <= 26, so one word of ln2 does
    s = b.as_float(b.shl(b.as_int(shifted), f.mantissa))  # 2^n
    return b.fma(b.neg(s), expm1_reduced(b, r), b.sub(1.0, s))


def _erf64(b: Builder, a: Val) -> Val:
    """x + x P(x^2) below 0.75; above, 1 - exp(-x^2) Q(t)/(1 + 2x) with t = (x - 4)/(x + 4), which maps the half
    line to [-1, 1) (Schonfelder, Mathematics of Computation 32, 1978)."""
    z = b.mul(a, a)
    small = b.fma(a, horner(b, z, c.ERF_SMALL_64), a)
    x = at_most(b, a, 6.0)  # erf rounds to 1 from 5.93
    t = b.fdiv(b.sub(x, 4.0), b.add(x, 4.0))
    square = b.mul(x, x)
    rest = b.fma(x, x, b.neg(square))
    e = exponential(b, b.neg(square))
    e = b.fma(e, b.neg(rest), e)
    tail = b.fdiv(b.mul(e, horner(b, t, c.ERFCX_64)), b.fma(x, 2.0, 1.0))
    return b.select(b.fcmp("olt", a, 0.75), small, b.sub(1.0, tail))
