"""Scalar expressions: what a kernel computes for one element. Ops are lowered to these.

Each expression has a dtype. Operands of a function share one dtype unless its row says otherwise;
`cast` changes it. Python numbers beside an expression take its dtype. Integers wrap; floats follow
IEEE 754; `max` and `min` hand on NaN, as PyTorch's do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from unmoor.dtypes import DType, bool_, i64
from unmoor.ir.dim import Dim


class Expr:
    """Base of scalar expressions; builds others with Python's operators."""

    dtype: DType

    def __add__(self, o: ExprLike) -> Expr:
        return apply("add", self, o)

    def __radd__(self, o: ExprLike) -> Expr:
        return apply("add", o, self)

    def __sub__(self, o: ExprLike) -> Expr:
        return apply("sub", self, o)

    def __rsub__(self, o: ExprLike) -> Expr:
        return apply("sub", o, self)

    def __mul__(self, o: ExprLike) -> Expr:
        return apply("mul", self, o)

    def __rmul__(self, o: ExprLike) -> Expr:
        return apply("mul", o, self)

    def __truediv__(self, o: ExprLike) -> Expr:
        return apply("div", self, o)

    def __rtruediv__(self, o: ExprLike) -> Expr:
        return apply("div", o, self)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __lt__(self, o: ExprLike) -> Expr:
        return apply("lt", self, o)

    def __le__(self, o: ExprLike) -> Expr:
        return apply("le", self, o)

    def __gt__(self, o: ExprLike) -> Expr:
        return apply("gt", self, o)

    def __ge__(self, o: ExprLike) -> Expr:
        return apply("ge", self, o)

    def __and__(self, o: ExprLike) -> Expr:
        return apply("and", self, o)

    def __or__(self, o: ExprLike) -> Expr:
        return apply("or", self, o)


ExprLike = Union[Expr, bool, int, float]


@dataclass(frozen=True)
class Number(Expr):
    """A literal."""

    dtype: DType
    value: bool | int | float


@dataclass(frozen=True)
class Load(Expr):
    """One element of a kernel's buffer, at a linear index over loop indices and sizes."""

    buffer: str
    index: Dim
    dtype: DType


@dataclass(frozen=True)
class Ref(Expr):
    """The value of an earlier Let, Fold or Contract of the kernel."""

    name: str
    dtype: DType


@dataclass(frozen=True)
class IndexValue(Expr):
    """A size or loop index expression as an i64 number."""

    index: Dim
    dtype: DType = i64


@dataclass(frozen=True)
class Apply(Expr):
    """A scalar function (a row of FUNCTIONS) of operands."""

    fn: str
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True)
class Function:
    """A scalar function: operand count, which result dtype ("same" as the operands, or "bool"),
    which operand categories it takes (b, i, f), and its meaning on NumPy scalars or arrays.
    `costly` marks what is dearer to compute twice than to store and read back."""

    name: str
    arity: int
    result: str
    takes: str
    meaning: Callable[..., Any]
    costly: bool = False


def _erf(x: Any) -> Any:
    import math

    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(np.asarray(x).dtype)


def _floordiv(a: Any, b: Any) -> Any:
    """Float: PyTorch's div(rounding_mode="floor"); int: division by zero is the caller's error."""
    return np.floor_divide(a, b)


def _ipow(a: Any, b: Any) -> Any:
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind == "f":
        return np.power(a, b)
    negative = np.where(a == 1, 1, np.where(a == -1, np.where(b % 2 == 0, 1, -1), 0))
    return np.where(b < 0, negative, np.power(a, np.where(b < 0, 0, b))).astype(a.dtype)


PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
PHILOX_WEYL = 0x9E3779B9, 0xBB67AE85
PHILOX_ROUNDS = 10


def _philox(counter: Any, offset: Any, seed: Any) -> Any:
    """Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the first two of the four
    words for the counter (counter, offset), low words first, and the key `seed`; the first word in the low half."""
    low = np.uint64(0xFFFFFFFF)
    c, o, s = (np.asarray(v, np.int64).astype(np.uint64) for v in (counter, offset, seed))
    words = [c & low, c >> np.uint64(32), o & low, o >> np.uint64(32)]
    key = [s & low, s >> np.uint64(32)]
    for _ in range(PHILOX_ROUNDS):
        first, second = words[0] * np.uint64(PHILOX_MULTIPLIERS[0]), words[2] * np.uint64(PHILOX_MULTIPLIERS[1])
        words = [
            (second >> np.uint64(32)) ^ words[1] ^ key[0],
            second & low,
            (first >> np.uint64(32)) ^ words[3] ^ key[1],
            first & low,
        ]
        key = [(k + np.uint64(w)) & low for k, w in zip(key, PHILOX_WEYL, strict=True)]
    return (words[0] | words[1] << np.uint64(32)).astype(np.int64)


_ROWS = (
    Function("add", 2, "same", "if", np.add),
    Function("sub", 2, "same", "if", np.subtract),
    Function("mul", 2, "same", "if", np.multiply),
    Function("div", 2, "same", "f", np.divide),
    Function("floordiv", 2, "same", "if", _floordiv),
    Function("mod", 2, "same", "if", np.remainder),  # the divisor's sign
    Function("fmod", 2, "same", "if", np.fmod),  # the dividend's sign
    Function("pow", 2, "same", "if", _ipow, costly=True),
    Function("neg", 1, "same", "if", np.negative),
    Function("abs", 1, "same", "if", np.abs),
    Function("max", 2, "same", "bif", np.maximum),
    Function("min", 2, "same", "bif", np.minimum),
    Function("sqrt", 1, "same", "f", np.sqrt),
    Function("exp", 1, "same", "f", np.exp, costly=True),
    Function("exp2", 1, "same", "f", np.exp2, costly=True),
    Function("expm1", 1, "same", "f", np.expm1, costly=True),
    Function("log", 1, "same", "f", np.log, costly=True),
    Function("log2", 1, "same", "f", np.log2, costly=True),
    Function("log10", 1, "same", "f", np.log10, costly=True),
    Function("log1p", 1, "same", "f", np.log1p, costly=True),
    Function("sin", 1, "same", "f", np.sin, costly=True),
    Function("cos", 1, "same", "f", np.cos, costly=True),
    Function("tan", 1, "same", "f", np.tan, costly=True),
    Function("asin", 1, "same", "f", np.arcsin, costly=True),
    Function("acos", 1, "same", "f", np.arccos, costly=True),
    Function("atan", 1, "same", "f", np.arctan, costly=True),
    Function("atan2", 2, "same", "f", np.arctan2, costly=True),
    Function("sinh", 1, "same", "f", np.sinh, costly=True),
    Function("cosh", 1, "same", "f", np.cosh, costly=True),
    Function("tanh", 1, "same", "f", np.tanh, costly=True),
    Function("asinh", 1, "same", "f", np.arcsinh, costly=True),
    Function("acosh", 1, "same", "f", np.arccosh, costly=True),
    Function("atanh", 1, "same", "f", np.arctanh, costly=True),
    Function("erf", 1, "same", "f", _erf, costly=True),
    Function("sigmoid", 1, "same", "f", lambda x: 1 / (1 + np.exp(-x)), costly=True),
    Function("floor", 1, "same", "f", np.floor),
    Function("ceil", 1, "same", "f", np.ceil),
    Function("trunc", 1, "same", "f", np.trunc),
    Function("round", 1, "same", "f", np.rint),  # halves to even
    Function("eq", 2, "bool", "bif", np.equal),
    Function("ne", 2, "bool", "bif", np.not_equal),
    Function("lt", 2, "bool", "bif", np.less),
    Function("le", 2, "bool", "bif", np.less_equal),
    Function("gt", 2, "bool", "bif", np.greater),
    Function("ge", 2, "bool", "bif", np.greater_equal),
    Function("and", 2, "same", "bi", np.bitwise_and),
    Function("or", 2, "same", "bi", np.bitwise_or),
    Function("xor", 2, "same", "bi", np.bitwise_xor),
    Function("not", 1, "same", "bi", np.invert),
    Function("shl", 2, "same", "i", np.left_shift),
    Function("shr", 2, "same", "i", np.right_shift),
    Function("philox", 3, "same", "i", _philox, costly=True),  # (counter, offset, seed): 64 random bits; of i64
    Function("isnan", 1, "bool", "f", np.isnan),
    Function("select", 3, "same", "bif", np.where),  # (bool, a, b): a where true
    Function("cast", 1, "given", "bif", lambda x: x),  # float to int truncates; to bool is "not zero"
)
FUNCTIONS = {f.name: f for f in _ROWS}


def number(value: ExprLike, dtype: DType) -> Expr:
    """A Python number as a literal of `dtype`; an expression as itself."""
    return value if isinstance(value, Expr) else Number(dtype, value)


def apply(fn: str, *operands: ExprLike) -> Expr:
    """A function of operands that share a dtype; Python numbers take the others' dtype."""
    typed = [o for o in (operands[1:] if fn == "select" else operands) if isinstance(o, Expr)]
    if not typed:
        raise TypeError(f"{fn} needs an operand that is an expression")
    dtype = typed[0].dtype
    args = tuple(number(o, dtype) for o in operands)
    for a in args[1:] if fn == "select" else args:
        if a.dtype is not dtype:
            raise TypeError(f"{fn}: operands of {dtype} and {a.dtype}; cast one of them")
    return Apply(fn, args, bool_ if FUNCTIONS[fn].result == "bool" else dtype)


def cast(x: Expr, dtype: DType) -> Expr:
    """x converted; x itself where it has that dtype already."""
    return x if x.dtype is dtype else Apply("cast", (x,), dtype)


def select(condition: Expr, a: ExprLike, b: ExprLike) -> Expr:
    """a where the bool condition holds, else b."""
    return apply("select", condition, a, b)
