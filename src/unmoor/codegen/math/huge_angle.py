"""Reduction of huge angles modulo pi/2, for the rare lanes where few-word reduction is not enough.

After Payne and Hanek, "Radian reduction for trigonometric functions" (SIGNUM Newsletter 18, 1983): the bits of
2/pi that matter for x = M 2^E are multiplied by the integer M, modulo 4, in 192-bit integer arithmetic.
"""

from __future__ import annotations

from unmoor.codegen.builder import Builder, Module, Val, const
from unmoor.codegen.math.floats import fast_two_sum, multiply_pairs, two_sum

LEADING_ZEROS = 64  # before the first bit of 2/pi in the table, so that x down to 2^-7 needs no case of its own
WORDS = 22  # 64-bit words, enough for the largest double
PIO2 = (float.fromhex("0x1.921fb54442d18p+0"), float.fromhex("0x1.1a62633145c07p-54"))
NAME = "unmoor_reduce_huge"


def two_over_pi(bits: int) -> int:
    """floor(2/pi 2^bits), by Machin's formula pi = 16 atan(1/5) - 4 atan(1/239) in integers."""
    one = 1 << (bits + 64)

    def atan_inverse(n: int) -> int:
        total, power, k = 0, one // n, 1
        while power:
            total += power // k if k % 4 == 1 else -(power // k)
            power //= n * n
            k += 2
        return total

    pi = 16 * atan_inverse(5) - 4 * atan_inverse(239)
    return 2 * one * (1 << bits) // pi


def _table(module: Module) -> Val:
    bits = WORDS * 64 - LEADING_ZEROS
    value = two_over_pi(bits)
    words = [value >> (64 * (WORDS - 1 - i)) & (2**64 - 1) for i in range(WORDS)]
    return module.table("unmoor_two_over_pi", "i64", words)


def reduce_huge(b: Builder, x: Val) -> tuple[Val, Val, Val]:
    """(q, high, low) of one finite double x >= 2^-7: x = q pi/2 + high + low modulo 2 pi, q an i64 of 0..3."""
    b.module.unit(NAME, lambda: _define(b.module))
    packed = b.call(NAME, "{ i64, double, double }", [x])
    parts = [b.emit(t, f"extractvalue {packed.typed}, {i}") for i, t in enumerate(("i64", "double", "double"))]
    return parts[0], parts[1], parts[2]


def _define(module: Module) -> None:
    b = Builder(
        module,
        NAME,
        [("double", "x")],
        "{ i64, double, double }",
        internal=True,
        attributes='nounwind noinline cold "no-builtins"',
    )
    with b.exact():
        q, high, low = _body(b, b.params[0])
    packed = Val("poison", "{ i64, double, double }")
    for i, v in enumerate((q, high, low)):
        packed = b.emit(packed.type, f"insertvalue {packed.typed}, {v.typed}, {i}")
    b.ret(packed)
    b.finish()


def _body(b: Builder, x: Val) -> tuple[Val, Val, Val]:
    bits = b.as_int(x)
    mantissa = b.or_(b.and_(bits, (1 << 52) - 1), 1 << 52)
    # x = mantissa 2^E, E = exponent - 1075; the bits of 2/pi from E - 2 on decide x 2/pi modulo 4
    start = b.add(b.and_(b.lshr(bits, 52), 2047), LEADING_ZEROS - 1075 - 2)
    words = _window(b, start)
    total = const("i192", 0)
    for i, word in enumerate(words):  # a product with a higher word is cut at 192 bits
        product = b.mul(b.convert("zext", mantissa, "i128"), b.convert("zext", word, "i128"))
        total = b.add(total, b.shl(b.convert("zext", product, "i192"), 64 * (2 - i)))
    q = b.convert("trunc", b.lshr(b.add(total, 1 << 189), 190), "i64")
    turn = _pair(b, b.shl(total, 2))
    high, low = multiply_pairs(b, turn, (const("double", PIO2[0]), const("double", PIO2[1])))
    return b.and_(q, 3), high, low


def _window(b: Builder, start: Val) -> list[Val]:
    """192 bits of the table from bit `start` on, as three words, the highest first."""
    first = b.lshr(start, 6)
    shift = b.and_(start, 63)
    table = _table(b.module)
    raw = [b.load(b.offset(table, "i64", b.add(first, i)), "i64") for i in range(4)]
    return [b.intrinsic("fshl", [raw[i], raw[i + 1], shift]) for i in range(3)]


def _pair(b: Builder, fraction: Val) -> tuple[Val, Val]:
    """A signed 192-bit fraction of 1 as a pair: its 32-bit digits, each exact, added from the highest down."""
    high, low = const("double", 0.0), const("double", 0.0)
    for k in range(5):
        digit = b.convert("trunc", b.lshr(fraction, 160 - 32 * k), "i32")
        value = b.convert("sitofp" if k == 0 else "uitofp", digit, "double")
        high, error = two_sum(b, high, b.mul(value, 2.0 ** (-32 * (k + 1))))
        low = b.add(low, error)
    return fast_two_sum(b, high, low)
