"""sin, cos and tan.

x = n pi/2 + r with pi/2 in three words (Cody and Waite) and r as a pair; sin r and cos r as polynomials, chosen and
signed by n modulo 4. Beyond the limit of that reduction a lane goes through `huge_angle`, in a branch that is almost
never taken: calls of these functions may leave the builder in another block than they found it in.
f32 reduces in f64 and evaluates in f32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from unmoor.codegen.builder import Builder, Val, element, lanes_of, mangled
from unmoor.codegen.math import coefficients as c
from unmoor.codegen.math.floats import fabs, fast_two_sum, horner, rint, to_int, two_sum, with_sign
from unmoor.codegen.math.huge_angle import reduce_huge

TWO_OVER_PI = float.fromhex("0x1.45f306dc9c883p-1")
# pi/2 in three words; the first two have 33 bits, so that n of 20 bits times them is exact
PIO2 = (
    float.fromhex("0x1.921fb544p+0"),
    float.fromhex("0x1.0b4611a6p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)
PIO2_HIGH, PIO2_LOW = float.fromhex("0x1.921fb54442d18p+0"), float.fromhex("0x1.1a62633145c07p-54")
LIMIT = {"float": 2.0**27, "double": 2.0**20}


class Angle(NamedTuple):
    """x = n pi/2 + high + low: n an integer of x's width, of which the lowest two bits matter."""

    n: Val
    high: Val
    low: Val


def reduce_double(b: Builder, x: Val) -> Angle:
    """For |x| <= 2^20, right to about 2^-53 of |high| however small that is."""
    n = rint(b, b.mul(x, TWO_OVER_PI))
    first = b.fma(n, -PIO2[0], x)  # exact
    high, low = two_sum(b, first, b.mul(n, -PIO2[1]))
    high, low = fast_two_sum(b, high, b.fma(n, -PIO2[2], low))
    return Angle(to_int(b, n), high, low)


def reduce_single(b: Builder, x: Val) -> Angle:
    """For f32 |x| <= 2^27: two words of pi/2 in f64; the nearest that an f32 comes to a multiple of pi/2 is 2^-30."""
    wide = b.convert("fpext", x, "double")
    n = rint(b, b.mul(wide, TWO_OVER_PI))
    r = b.fma(n, -PIO2_LOW, b.fma(n, -PIO2_HIGH, wide))
    narrow = b.convert("fptrunc", r, "float")
    whole = b.convert("trunc", to_int(b, n), "i32")
    return Angle(whole, narrow, b.like(narrow, 0.0))


def sin_poly(b: Builder, angle: Angle) -> Val:
    """sin(high + low), |high| <= pi/4."""
    r = angle.high
    z = b.mul(r, r)
    if element(r.type) == "float":
        return b.fma(b.mul(z, r), horner(b, z, c.SIN_32), r)
    low = b.fma(angle.low, b.mul(z, -0.5), angle.low)  # low * cos(r)
    return b.add(r, b.fma(b.mul(z, r), horner(b, z, c.SIN_64), low))


def cos_poly(b: Builder, angle: Angle) -> Val:
    """cos(high + low), |high| <= pi/4."""
    r = angle.high
    z = b.mul(r, r)
    if element(r.type) == "float":
        return b.fma(z, b.fma(z, horner(b, z, c.COS_32), -0.5), 1.0)
    high, low = fast_two_sum(b, b.like(r, 1.0), b.mul(z, -0.5))
    low = b.fma(r, b.neg(angle.low), low)
    return b.add(high, b.fma(b.mul(z, z), horner(b, z, c.COS_64), low))


def _odd(b: Builder, n: Val) -> Val:
    return b.icmp("ne", b.and_(n, 1), 0)


def _half_turn(b: Builder, n: Val) -> Val:
    """The sign bit where bit 1 of n is set."""
    bits = {"i32": 32, "i64": 64}[element(n.type)]
    return b.shl(b.and_(n, 2), bits - 2)


def sin_of(b: Builder, angle: Angle) -> Val:
    chosen = b.select(_odd(b, angle.n), cos_poly(b, angle), sin_poly(b, angle))
    return with_sign(b, chosen, _half_turn(b, angle.n))


def cos_of(b: Builder, angle: Angle) -> Val:
    return sin_of(b, Angle(b.add(angle.n, 1), angle.high, angle.low))


def tan_of(b: Builder, angle: Angle) -> Val:
    s, k, odd = sin_poly(b, angle), cos_poly(b, angle), _odd(b, angle.n)
    return b.fdiv(b.select(odd, b.neg(k), s), b.select(odd, s, k))


Finish = Callable[[Builder, Angle], Val]


def _with_huge(b: Builder, name: str, x: Val, finish: Finish) -> Val:
    """The fast path for all lanes, replaced where |x| is beyond its limit; NaN for inf and NaN."""
    single = element(x.type) == "float"
    limit = LIMIT[element(x.type)]
    huge = b.fcmp("ogt", fabs(b, x), limit)
    fast = finish(b, (reduce_single if single else reduce_double)(b, x))
    rare, done = b.new_label("huge"), b.new_label("done")
    any_huge = (
        huge
        if lanes_of(x.type) == 1
        else b.call(f"llvm.vector.reduce.or.{mangled(huge.type)}", "i1", [huge], intrinsic=True)
    )
    before = b.label
    b.cond_br(any_huge, rare, done, likely=False)
    b.start(rare)
    slow = b.call(_slow(b, name, x.type, finish), x.type, [x])
    b.br(done)
    b.start(done)
    return b.phi(x.type, (fast, before), (slow, rare))


def _slow(b: Builder, name: str, type_: str, finish: Finish) -> str:
    """The internal function that takes each lane through the reduction it needs."""
    scalar, whole = f"unmoor_{name}_huge_f64", f"unmoor_{name}_huge_{mangled(type_)}"
    module = b.module

    def define_scalar() -> None:
        f = Builder(module, scalar, [("double", "x")], "double", internal=True, attributes=_COLD)
        with f.exact():
            f.ret(_scalar(f, f.params[0], finish))
        f.finish()

    def define_whole() -> None:
        f = Builder(module, whole, [(type_, "x")], type_, internal=True, attributes=_COLD)
        one = (
            (lambda v: f.convert("fptrunc", f.call(scalar, "double", [f.convert("fpext", v, "double")]), "float"))
            if element(type_) == "float"
            else (lambda v: f.call(scalar, "double", [v]))
        )
        f.ret(f.map_lanes(one, f.params[0]))
        f.finish()

    module.unit(scalar, define_scalar)
    module.unit(whole, define_whole)
    return whole


_COLD = 'nounwind noinline cold "no-builtins"'


def _scalar(b: Builder, x: Val, finish: Finish) -> Val:
    """One double of any size."""
    a = fabs(b, x)
    small, large, end = b.new_label("small"), b.new_label("large"), b.new_label("end")
    b.cond_br(b.fcmp("olt", a, LIMIT["double"]), small, large)
    b.start(small)
    near = finish(b, reduce_double(b, x))
    b.br(end)
    b.start(large)
    finite = b.fcmp("olt", a, float("inf"))
    q, high, low = reduce_huge(b, b.select(finite, a, 1.0))
    negative = b.fcmp("olt", x, 0.0)
    angle = Angle(
        b.select(negative, b.neg(q), q), b.select(negative, b.neg(high), high), b.select(negative, b.neg(low), low)
    )
    far = b.select(finite, finish(b, angle), float("nan"))
    b.br(end)
    b.start(end)
    return b.phi("double", (near, small), (far, large))


def sin(b: Builder, x: Val) -> Val:
    """-0 stays: a product of zeros in the reduction has lost its sign."""
    result = _with_huge(b, "sin", x, sin_of)
    return b.select(b.fcmp("oeq", x, 0.0), x, result)


def cos(b: Builder, x: Val) -> Val:
    return _with_huge(b, "cos", x, cos_of)


def tan(b: Builder, x: Val) -> Val:
    if element(x.type) == "float":  # a quotient of two f32 roundings is more than 2 ulp
        return b.convert("fptrunc", _with_huge_tan(b, b.convert("fpext", x, "double")), "float")
    return _with_huge_tan(b, x)


def _with_huge_tan(b: Builder, x: Val) -> Val:
    result = _with_huge(b, "tan", x, tan_of)
    return b.select(b.fcmp("oeq", x, 0.0), x, result)
