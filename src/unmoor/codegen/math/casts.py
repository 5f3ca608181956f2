"""Conversions between dtypes, as PyTorch does them on x86.

A float that an integer type cannot hold, NaN included, becomes the type's smallest number (what the processor's own
conversion gives); truncation otherwise. To bool is "is not zero" (NaN is true). Small integers and half floats are
numbers of i32 and f32 that the cast makes fit: integers wrap, floats are rounded to nearest, ties to even.
"""

from __future__ import annotations

from unmoor.codegen.builder import BITS, COMPUTE, Builder, Val, element, is_float, with_element
from unmoor.dtypes import DType, bf16, bool_, f16, u8


def cast(b: Builder, x: Val, to: DType) -> Val:
    """x as a number of the dtype `to`, in its form in registers."""
    wide = _widened(b, x, to)
    if to is to.compute:
        return wide
    if to is f16:
        return b.convert("fpext", b.convert("fptrunc", wide, "half"), "float")
    if to is bf16:
        return _rounded_to_bf16(b, wide)
    if to is u8:
        return b.and_(wide, 255)
    unused = 32 - 8 * to.size
    return b.ashr(b.shl(wide, unused), unused)


def _rounded_to_bf16(b: Builder, x: Val) -> Val:
    """The upper half of a float after adding half of its last place, less one where that is even: a tie goes there."""
    bits = b.as_int(x)
    odd = b.and_(b.lshr(bits, 16), 1)
    rounded = b.and_(b.add(bits, b.add(odd, 0x7FFF)), ~0xFFFF)
    return b.as_float(b.select(b.fcmp("uno", x, x), b.like(bits, 0x7FC00000), rounded))


def _widened(b: Builder, x: Val, to: DType) -> Val:
    """x in the form in registers of the dtype that `to` is computed with."""
    source, target = element(x.type), COMPUTE[to]
    if source == target:
        return x
    if to is bool_:
        return b.fcmp("une", x, 0.0) if is_float(x.type) else b.icmp("ne", x, 0)
    if source == "i1":
        return (
            b.select(x, b.const(with_element(x.type, target), 1), 0)
            if is_float(target)
            else b.convert("zext", x, target)
        )
    if is_float(x.type):
        if is_float(target):
            return b.convert("fpext" if target == "double" else "fptrunc", x, target)
        return _truncate(b, x, target)
    if is_float(target):
        return b.convert("sitofp", x, target)
    return b.convert("sext" if target == "i64" else "trunc", x, target)


def _truncate(b: Builder, x: Val, target: str) -> Val:
    """`fptosi` is only defined within range, so what is outside becomes the smallest number first."""
    limit = 2.0 ** (BITS[target] - 1)
    inside = b.and_(b.fcmp("olt", x, limit), b.fcmp("oge", x, -limit))
    return b.convert("fptosi", b.select(inside, x, -limit), target)
