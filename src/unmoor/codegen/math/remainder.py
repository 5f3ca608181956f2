"""fmod, mod and floordiv of floats, as PyTorch computes them on a CPU.

fmod is exact: where the quotient is below 2^mantissa, x - trunc(x/y) y in a fused multiply-add is, and is at most
one y too low. Larger quotients take that step repeatedly with y times powers of two, in a branch for rare lanes.
"""

from __future__ import annotations

from unmoor.codegen.builder import Builder, Module, Val, element, lanes_of, mangled
from unmoor.codegen.math.floats import copysign, fabs, format_of

INF, NAN = float("inf"), float("nan")
_COLD = 'nounwind noinline cold "no-builtins"'
LONG = "unmoor_fmod_long_f64"


def _step(b: Builder, a: Val, c: Val) -> Val:
    """a mod c for a, c > 0 with a/c below 2^mantissa; exact."""
    q = b.intrinsic("trunc", [b.fdiv(a, c)])
    r = b.fma(b.neg(q), c, a)
    return b.select(b.fcmp("olt", r, 0.0), b.add(r, c), r)


def fmod(b: Builder, x: Val, y: Val) -> Val:
    f = format_of(x)
    a, c = fabs(b, x), fabs(b, y)
    quotient = b.fdiv(a, c)
    near = _step(b, a, c)
    defined = b.and_(b.fcmp("olt", a, INF), b.fcmp("ogt", c, 0.0))
    long = b.and_(b.fcmp("uge", quotient, 2.0 ** (f.mantissa - 1)), defined)
    any_long = (
        long
        if lanes_of(x.type) == 1
        else b.call(f"llvm.vector.reduce.or.{mangled(long.type)}", "i1", [long], intrinsic=True)
    )
    rare, done, before = b.new_label("long"), b.new_label("done"), b.label
    b.cond_br(any_long, rare, done, likely=False)
    b.start(rare)
    far = b.select(long, b.call(_all_lanes(b.module, x.type), x.type, [a, c]), near)
    b.br(done)
    b.start(done)
    r = b.phi(x.type, (near, before), (far, rare))
    r = b.select(b.and_(defined, b.fcmp("olt", a, c)), a, r)  # also for infinite y
    r = b.select(defined, r, b.select(b.fcmp("uno", x, y), b.add(x, y), NAN))
    return copysign(b, r, x)


def _all_lanes(module: Module, type_: str) -> str:
    """The internal function that does each lane by `_define_long`; f32 in f64, which holds every result exactly."""
    name = f"unmoor_fmod_long_{mangled(type_)}"

    def define() -> None:
        b = Builder(module, name, [(type_, "x"), (type_, "y")], type_, internal=True, attributes=_COLD)

        def one(x: Val, y: Val) -> Val:
            if element(type_) == "double":
                return b.call(LONG, "double", [x, y])
            wide = [b.convert("fpext", v, "double") for v in (x, y)]
            return b.convert("fptrunc", b.call(LONG, "double", wide), "float")

        b.ret(b.map_lanes(one, *b.params))
        b.finish()

    module.unit(LONG, lambda: _define_long(module))
    return module.unit(name, define)


def _define_long(module: Module) -> None:
    """One double: while x >= 2^52 y, x = x mod 2^k y with the largest k that keeps the quotient below 2^52."""
    b = Builder(module, LONG, [("double", "x"), ("double", "y")], "double", internal=True, attributes=_COLD)
    with b.exact():
        x, y = b.params
        good = b.and_(b.fcmp("ogt", y, 0.0), b.fcmp("olt", x, INF))
        finite = b.fcmp("olt", y, INF)
        y = b.select(b.and_(good, finite), y, 1.0)
        x = b.select(b.and_(good, finite), x, 1.0)
        loop, end, entry = b.new_label("loop"), b.new_label("end"), b.label
        b.br(loop)
        b.start(loop)
        rest = b.phi("double", (x, entry))
        # y 2^k by doubling its size field: k from the exponents, y scaled up first where it is denormal
        ex, ey = _exponent(b, rest), _exponent(b, y)
        k = b.sub(b.sub(ex, ey), 51)
        k = b.select(b.icmp("sgt", k, 0), k, 0)
        r = _step(b, rest, _scaled(b, y, k))
        b.add_incoming(rest, r, b.label)
        b.cond_br(b.icmp("eq", k, 0), end, loop)
        b.start(end)
        b.ret(r)
    b.finish()


def _exponent(b: Builder, x: Val) -> Val:
    """floor(log2(x)) of a double >= 0, as i64; something very small for 0."""
    small = b.fcmp("olt", x, 2.0**-1022)
    bits = b.as_int(b.select(small, b.mul(x, 2.0**54), x))
    return b.sub(b.lshr(bits, 52), b.select(small, b.const("i64", 1023 + 54), 1023))


def _scaled(b: Builder, y: Val, k: Val) -> Val:
    """y 2^k for 0 <= k <= 2100, in three exact steps."""
    for _ in range(3):
        part = b.select(b.icmp("sgt", k, 1000), b.const("i64", 1000), k)
        y = b.mul(y, b.as_float(b.shl(b.add(part, 1023), 52)))
        k = b.sub(k, part)
    return y


def _wrong_sign(b: Builder, r: Val, y: Val) -> Val:
    """Where a remainder is not 0 and has not the divisor's sign."""
    differs = b.xor(b.fcmp("olt", y, 0.0), b.fcmp("olt", r, 0.0))
    return b.and_(b.fcmp("une", r, 0.0), differs)


def mod(b: Builder, x: Val, y: Val) -> Val:
    r = fmod(b, x, y)
    return b.select(_wrong_sign(b, r, y), b.add(r, y), r)


def floordiv(b: Builder, x: Val, y: Val) -> Val:
    """The remainder taken off first, so that the quotient is a near-integer; Python's float floor division."""
    r = fmod(b, x, y)
    quotient = b.fdiv(b.sub(x, r), y)
    quotient = b.select(_wrong_sign(b, r, y), b.sub(quotient, 1.0), quotient)
    floor = b.intrinsic("floor", [quotient])
    floor = b.select(b.fcmp("ogt", b.sub(quotient, floor), 0.5), b.add(floor, 1.0), floor)
    direct = b.fdiv(x, y)
    zero = copysign(b, b.like(x, 0.0), direct)
    result = b.select(b.fcmp("une", quotient, 0.0), floor, zero)
    return b.select(b.fcmp("oeq", y, 0.0), direct, result)
