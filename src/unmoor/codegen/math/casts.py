"""Conversions between bool, i32, i64, f32 and f64, as PyTorch does them on x86.

A float that an integer type cannot hold, NaN included, becomes the type's smallest number (what the processor's own
conversion gives); truncation otherwise. To bool is "is not zero" (NaN is true).
"""

from __future__ import annotations

from unmoor.codegen.builder import BITS, COMPUTE, Builder, Val, element, is_float, with_element
from unmoor.dtypes import DType, bool_


def cast(b: Builder, x: Val, to: DType) -> Val:
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
