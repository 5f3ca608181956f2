"""Integer division, remainders, powers and shifts, which never trap.

Division by zero, which PyTorch refuses, gives 0 here; the smallest integer by -1 wraps.
"""

from __future__ import annotations

from unmoor.codegen.builder import BITS, Builder, Module, Val, element, lanes_of, mangled
from unmoor.ir.scalar import PHILOX_MULTIPLIERS, PHILOX_ROUNDS, PHILOX_WEYL


def quotient(b: Builder, x: Val, y: Val) -> Val:
    """x / y towards zero. i32 in f64, whose quotient of two of them never rounds to the next integer; i64 by lane."""
    zero, minus = b.icmp("eq", y, 0), b.icmp("eq", y, -1)
    safe = b.select(b.or_(zero, minus), 1, y)
    if element(x.type) == "i32":
        wide = b.fdiv(b.convert("sitofp", x, "double"), b.convert("sitofp", safe, "double"))
        q = b.convert("fptosi", wide, "i32")
    else:
        q = b.sdiv(x, safe)
    return b.select(zero, 0, b.select(minus, b.neg(x), q))


def _quotient_and_rest(b: Builder, x: Val, y: Val) -> tuple[Val, Val]:
    q = quotient(b, x, y)
    return q, b.select(b.icmp("eq", y, 0), 0, b.sub(x, b.mul(q, y)))


def _wrong_sign(b: Builder, r: Val, y: Val) -> Val:
    """Where a remainder is not 0 and has not the divisor's sign."""
    return b.and_(b.icmp("ne", r, 0), b.icmp("slt", b.xor(r, y), 0))


def floordiv(b: Builder, x: Val, y: Val) -> Val:
    q, r = _quotient_and_rest(b, x, y)
    return b.select(_wrong_sign(b, r, y), b.sub(q, 1), q)


def mod(b: Builder, x: Val, y: Val) -> Val:
    _, r = _quotient_and_rest(b, x, y)
    return b.select(_wrong_sign(b, r, y), b.add(r, y), r)


def fmod(b: Builder, x: Val, y: Val) -> Val:
    return _quotient_and_rest(b, x, y)[1]


def shl(b: Builder, x: Val, y: Val) -> Val:
    """0 where the count is negative or too large, as in PyTorch."""
    valid = b.icmp("ult", y, BITS[element(x.type)])
    return b.select(valid, b.shl(x, b.select(valid, y, 0)), 0)


def shr(b: Builder, x: Val, y: Val) -> Val:
    """The sign in every bit where the count is negative or too large, as in PyTorch."""
    last = BITS[element(x.type)] - 1
    return b.ashr(x, b.select(b.icmp("ult", y, last), y, last))


def power(b: Builder, x: Val, y: Val) -> Val:
    """Wraps; a negative exponent gives 1 for 1, +-1 for -1, else 0."""
    name = f"unmoor_ipow_{mangled(x.type)}"
    b.module.unit(name, lambda: _define_power(b.module, name, x.type))
    return b.call(name, x.type, [x, y])


def _define_power(module: Module, name: str, type_: str) -> None:
    """Squaring, while any lane's exponent has bits left."""
    b = Builder(module, name, [(type_, "x"), (type_, "y")], type_, internal=True)
    x, y = b.params
    negative = b.icmp("slt", y, 0)
    odd = b.icmp("ne", b.and_(y, 1), 0)
    minus = b.select(b.icmp("eq", x, -1), b.select(odd, b.like(x, -1), 1), 0)
    inverse = b.select(b.icmp("eq", x, 1), 1, minus)
    loop, end, entry = b.new_label("loop"), b.new_label("end"), b.label
    start = b.select(negative, 0, y)
    b.br(loop)
    b.start(loop)
    result, base, left = b.phi(type_, (b.like(x, 1), entry)), b.phi(type_, (x, entry)), b.phi(type_, (start, entry))
    next_result = b.select(b.icmp("ne", b.and_(left, 1), 0), b.mul(result, base), result)
    next_base, next_left = b.mul(base, base), b.lshr(left, 1)
    for phi, value in ((result, next_result), (base, next_base), (left, next_left)):
        b.add_incoming(phi, value, loop)
    rest = next_left
    if lanes_of(type_) > 1:
        scalar = element(type_)
        rest = b.call(f"llvm.vector.reduce.or.{mangled(type_)}", scalar, [next_left], intrinsic=True)
    b.cond_br(b.icmp("eq", rest, 0), end, loop)
    b.start(end)
    b.ret(b.select(negative, inverse, next_result))
    b.finish()


def philox(b: Builder, counter: Val, offset: Val, seed: Val) -> Val:
    """Philox 4x32-10 on i64 lanes; ir.scalar has the formula. Each word stands in the low half of a lane."""
    low = 0xFFFFFFFF
    words = [b.and_(counter, low), b.lshr(counter, 32), b.and_(offset, low), b.lshr(offset, 32)]
    key = [b.and_(seed, low), b.lshr(seed, 32)]
    for _ in range(PHILOX_ROUNDS):
        first, second = b.mul(words[0], PHILOX_MULTIPLIERS[0]), b.mul(words[2], PHILOX_MULTIPLIERS[1])
        words = [
            b.xor(b.xor(b.lshr(second, 32), words[1]), key[0]),
            b.and_(second, low),
            b.xor(b.xor(b.lshr(first, 32), words[3]), key[1]),
            b.and_(first, low),
        ]
        key = [b.and_(b.add(k, w), low) for k, w in zip(key, PHILOX_WEYL, strict=True)]
    return b.or_(words[0], b.shl(words[1], 32))
