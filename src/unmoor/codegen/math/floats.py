"""What the float functions share: polynomials, signs, scaling by powers of two, sums and products in two words.

A pair (high, low) is an unevaluated sum; methods after Dekker (1971) and Knuth, with fused multiply-add
(Handbook of Floating-Point Arithmetic, chapter 4). Callers are inside `Builder.exact()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from unmoor.codegen.builder import Builder, Operand, Val, element, with_element


class Format(NamedTuple):
    """IEEE 754 numbers of one element type."""

    elem: str
    integer: str
    bits: int  # in all
    mantissa: int  # stored bits
    bias: int
    smallest_normal: float

    @property
    def magic(self) -> float:
        """1.5 * 2^mantissa: adding it rounds |x| < 2^(mantissa-2) to an integer, kept in the low bits."""
        return 1.5 * 2.0**self.mantissa


FORMATS = {
    "float": Format("float", "i32", 32, 23, 127, 2.0**-126),
    "double": Format("double", "i64", 64, 52, 1023, 2.0**-1022),
}
Pair = tuple[Val, Val]


def format_of(x: Val) -> Format:
    return FORMATS[element(x.type)]


def horner(b: Builder, x: Val, coefficients: Sequence[float]) -> Val:
    """The polynomial of the coefficients, lowest degree first."""
    total: Val = b.like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = b.fma(total, x, c)
    return total


def fabs(b: Builder, x: Val) -> Val:
    return b.intrinsic("fabs", [x])


def copysign(b: Builder, magnitude: Val, sign: Val) -> Val:
    return b.intrinsic("copysign", [magnitude, sign])


def sign_of(b: Builder, x: Val) -> Val:
    """An integer with x's sign bit alone."""
    bits = b.as_int(x)
    return b.and_(bits, 1 << (format_of(x).bits - 1))


def with_sign(b: Builder, x: Val, sign: Val) -> Val:
    """x with its sign flipped where `sign` (from `sign_of`) is set."""
    return b.as_float(b.xor(b.as_int(x), sign))


def rint(b: Builder, x: Val) -> Val:
    """The nearest integer, halves to even."""
    return b.intrinsic("roundeven", [x])


def sqrt(b: Builder, x: Val) -> Val:
    return b.intrinsic("sqrt", [x])


def at_most(b: Builder, x: Val, limit: float) -> Val:
    """min(x, limit), NaN where x is NaN: the form of one x86 instruction."""
    return b.select(b.fcmp("olt", b.like(x, limit), x), limit, x)


def at_least(b: Builder, x: Val, limit: float) -> Val:
    """max(x, limit), NaN where x is NaN."""
    return b.select(b.fcmp("ogt", b.like(x, limit), x), limit, x)


def power_of_two(b: Builder, n: Val, elem: str) -> Val:
    """2^n for an integer n within the normal range, of an integer type as wide as `elem`."""
    f = FORMATS[elem]
    return b.as_float(b.shl(b.add(n, f.bias), f.mantissa))


def split_integer(b: Builder, x: Val, factor: float) -> tuple[Val, Val]:
    """(n, shifted): the integer n nearest to x * factor, |n| < 2^(mantissa-2), as a float, and a float whose low
    bits are n + 2*bias (what `scale` wants). Cheaper than rounding, and the same for every vector length."""
    f = format_of(x)
    offset = f.magic + 2 * f.bias
    shifted = b.add(x, offset) if factor == 1.0 else b.fma(x, factor, offset)
    return b.sub(shifted, offset), shifted


def scale(b: Builder, x: Val, n: Val, shifted: Val | None = None) -> Val:
    """x * 2^n for integral floats n with 2^(n/2) normal, rounded once where x is about 1; overflow gives inf.

    AVX-512 has it as one instruction; elsewhere two multiplications by powers of two. `shifted` is what
    `split_integer` gave with n, where it did.
    """
    f = format_of(x)
    name = _SCALEF.get(x.type)
    if b.module.avx512 and name:
        full = b.const("i16" if x.type == "<16 x float>" else "i8", -1)
        args = [x, n, Val("zeroinitializer", x.type), full]
        args += [b.const("i32", 4)] if x.type in ("<16 x float>", "<8 x double>") else []
        return b.call(f"llvm.x86.avx512.mask.scalef.{name}", x.type, args, intrinsic=True)
    if shifted is None:
        _, shifted = split_integer(b, n, 1.0)
    biased = b.sub(b.as_int(shifted), b.as_int(b.like(x, f.magic)))  # n + 2*bias: no sign to care for
    half = b.lshr(biased, 1)
    first, second = (b.as_float(b.shl(part, f.mantissa)) for part in (half, b.sub(biased, half)))
    return b.mul(b.mul(x, first), second)


_SCALEF = {
    "<16 x float>": "ps.512",
    "<8 x float>": "ps.256",
    "<8 x double>": "pd.512",
    "<4 x double>": "pd.256",
}


def to_int(b: Builder, n: Val) -> Val:
    """An integral float within +-2^(mantissa-2) as an integer of its width; any other gives some integer.

    Through the low bits of n + magic, which is one instruction for every vector length and defined for NaN.
    """
    f = format_of(n)
    bits = b.as_int(b.add(n, f.magic))
    magic_bits = b.as_int(b.like(n, f.magic))
    return b.sub(bits, magic_bits)


def to_float(b: Builder, n: Val) -> Val:
    """An integer within +-2^(mantissa-2) as a float of its width."""
    elem = {"i32": "float", "i64": "double"}[element(n.type)]
    if elem == "float":
        return b.convert("sitofp", n, elem)
    magic = b.const(with_element(n.type, elem), FORMATS[elem].magic)  # AVX2 has no conversion of 64-bit integers
    return b.sub(b.as_float(b.add(n, b.as_int(magic))), magic)


# -- two words --------------------------------------------------------------------------------
def fast_two_sum(b: Builder, a: Val, c: Operand) -> Pair:
    """a + c exactly, where |a| >= |c| or a is 0."""
    high = b.add(a, c)
    return high, b.sub(c, b.sub(high, a))


def two_sum(b: Builder, a: Val, c: Val) -> Pair:
    """a + c exactly."""
    high = b.add(a, c)
    virtual = b.sub(high, a)
    return high, b.add(b.sub(a, b.sub(high, virtual)), b.sub(c, virtual))


def two_product(b: Builder, a: Val, c: Operand) -> Pair:
    """a * c exactly."""
    high = b.mul(a, c)
    return high, b.fma(a, c, b.neg(high))


def multiply_pairs(b: Builder, a: Pair, c: Pair) -> Pair:
    """The product of two pairs to about 2^-100 (f64)."""
    high, low = two_product(b, a[0], c[0])
    low = b.fma(a[0], c[1], b.fma(a[1], c[0], low))
    return fast_two_sum(b, high, low)


# -- f32 by way of f64 ------------------------------------------------------------------------
def through_double(b: Builder, fn: Callable[..., Val], *operands: Val) -> Val:
    """An f32 function as the f64 one of the same operands, rounded."""
    wide = [b.convert("fpext", x, "double") for x in operands]
    return b.convert("fptrunc", fn(b, *wide), "float")
