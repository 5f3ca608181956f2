"""sinh, cosh, asinh, acosh and atanh, of f64; f32 goes through f64. (tanh stands with the exponentials.)"""

from __future__ import annotations

from unmoor.codegen.builder import Builder, Val
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.exponential import expm1_reduced, reduce_exp
from unmoor.codegen.math.floats import at_most, copysign, fabs, horner, scale, sqrt
from unmoor.codegen.math.logarithm import log, log1p

LN2 = 0.6931471805599453


def _half_exp(b: Builder, a: Val) -> Val:
    """e^a / 2 for a >= 0, which overflows later than e^a."""
    n, _, r = reduce_exp(b, at_most(b, a, 712.0))
    return scale(b, b.add(expm1_reduced(b, r), 1.0), b.sub(n, 1.0))


def sinh(b: Builder, x: Val) -> Val:
    """x + x^3 P(x^2) up to 1, (e^a - e^-a)/2 above."""
    a = fabs(b, x)
    z = b.mul(a, a)
    small = b.fma(b.mul(a, z), horner(b, z, c.SINH_64), a)
    h = _half_exp(b, a)
    large = b.sub(h, b.fdiv(b.like(h, 0.25), h))
    return copysign(b, b.select(b.fcmp("olt", a, 1.0), small, large), x)


def cosh(b: Builder, x: Val) -> Val:
    h = _half_exp(b, fabs(b, x))
    return b.add(h, b.fdiv(b.like(h, 0.25), h))


def asinh(b: Builder, x: Val) -> Val:
    """log1p(a + a^2/(1 + sqrt(1 + a^2))); log(a) + log(2) from 2^28."""
    a = fabs(b, x)
    square = b.mul(a, a)
    near = log1p(b, b.add(a, b.fdiv(square, b.add(sqrt(b, b.add(square, 1.0)), 1.0))))
    far = b.add(log(b, a), LN2)
    return copysign(b, b.select(b.fcmp("olt", a, 2.0**28), near, far), x)


def acosh(b: Builder, x: Val) -> Val:
    """log1p(t + sqrt(2t + t^2)) with t = x - 1; log(x) + log(2) from 2^28; NaN below 1."""
    t = b.sub(x, 1.0)
    near = log1p(b, b.add(t, sqrt(b, b.fma(t, t, b.add(t, t)))))
    far = b.add(log(b, x), LN2)
    result = b.select(b.fcmp("oge", x, 2.0**28), far, near)
    return b.select(b.fcmp("olt", x, 1.0), float("nan"), result)


def atanh(b: Builder, x: Val) -> Val:
    """log1p(2a/(1 - a))/2."""
    a = fabs(b, x)
    doubled = b.add(a, a)
    return copysign(b, b.mul(log1p(b, b.fdiv(doubled, b.sub(1.0, a))), 0.5), x)
