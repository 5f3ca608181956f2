"""The scalar functions of ir.scalar in LLVM IR: one entry per row and kind of operand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unmoor.codegen.builder import COMPUTE, Builder, Val, element, is_float
from unmoor.codegen.math import (
    casts,
    error_function,
    exponential,
    hyperbolic,
    integers,
    inverse_trigonometric,
    logarithm,
    power,
    remainder,
    trigonometric,
)
from unmoor.codegen.math.floats import fabs, through_double
from unmoor.codegen.math.floats import sqrt as square_root
from unmoor.dtypes import DType
from unmoor.ir.scalar import Apply, Expr

Emit = Callable[..., Val]


def _intrinsic(name: str) -> Emit:
    return lambda b, x: b.intrinsic(name, [x])


def _compare(ordered: str, signed: str, unsigned: str) -> Emit:
    """A comparison by LLVM's predicates for floats, integers and booleans."""

    def emit(b: Builder, x: Val, y: Val) -> Val:
        if is_float(x.type):
            return b.fcmp(ordered, x, y)
        return b.icmp(unsigned if element(x.type) == "i1" else signed, x, y)

    return emit


def _extreme(ordered: str, signed: str, of_bools: str) -> Emit:
    """max or min. NaN in either operand gives NaN: the second's by the comparison's form, the first's by a select."""

    def emit(b: Builder, x: Val, y: Val) -> Val:
        if element(x.type) == "i1":
            return b.op(of_bools, x, y)
        if not is_float(x.type):
            return b.select(b.icmp(signed, x, y), x, y)
        return b.select(b.fcmp("uno", x, x), x, b.select(b.fcmp(ordered, x, y), x, y))

    return emit


def _absolute(b: Builder, x: Val) -> Val:
    if is_float(x.type):
        return fabs(b, x)
    return b.intrinsic("abs", [x], [b.const("i1", False)])


def _in_double(fn: Emit) -> Emit:
    """A function written for f64, also of f32."""
    return lambda b, *args: fn(b, *args) if element(args[0].type) == "double" else through_double(b, fn, *args)


def _by_kind(of_floats: Emit, of_ints: Emit) -> Emit:
    return lambda b, *args: (of_floats if is_float(args[0].type) else of_ints)(b, *args)


EMIT: dict[str, Emit] = {
    "add": Builder.add,
    "sub": Builder.sub,
    "mul": Builder.mul,
    "div": Builder.fdiv,
    "floordiv": _by_kind(remainder.floordiv, integers.floordiv),
    "mod": _by_kind(remainder.mod, integers.mod),
    "fmod": _by_kind(remainder.fmod, integers.fmod),
    "pow": _by_kind(_in_double(power.pow_double), integers.power),
    "neg": Builder.neg,
    "abs": _absolute,
    "max": _extreme("ogt", "sgt", "or"),
    "min": _extreme("olt", "slt", "and"),
    "sqrt": square_root,
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "log": logarithm.log,
    "log2": logarithm.log2,
    "log10": logarithm.log10,
    "log1p": logarithm.log1p,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "asin": inverse_trigonometric.asin,
    "acos": inverse_trigonometric.acos,
    "atan": inverse_trigonometric.atan,
    "atan2": inverse_trigonometric.atan2,
    "sinh": _in_double(hyperbolic.sinh),
    "cosh": _in_double(hyperbolic.cosh),
    "tanh": exponential.tanh,
    "asinh": _in_double(hyperbolic.asinh),
    "acosh": _in_double(hyperbolic.acosh),
    "atanh": _in_double(hyperbolic.atanh),
    "erf": error_function.erf,
    "sigmoid": exponential.sigmoid,
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"),
    "round": _intrinsic("roundeven"),
    "eq": _compare("oeq", "eq", "eq"),
    "ne": _compare("une", "ne", "ne"),
    "lt": _compare("olt", "slt", "ult"),
    "le": _compare("ole", "sle", "ule"),
    "gt": _compare("ogt", "sgt", "ugt"),
    "ge": _compare("oge", "sge", "uge"),
    "and": Builder.and_,
    "or": Builder.or_,
    "xor": Builder.xor,
    "not": Builder.not_,
    "shl": integers.shl,
    "shr": integers.shr,
    "philox": integers.philox,
    "isnan": lambda b, x: b.fcmp("uno", x, x),
    "select": Builder.select,
}
BRANCHING = ("sin", "cos", "tan", "fmod", "mod", "floordiv")  # of floats, for rare lanes
FUSIBLE = ("add", "sub", "mul")  # may be fused with their neighbours; the steps of all others may not


def expand(b: Builder, fn: str, dtype: DType, args: Sequence[Val]) -> Val:
    """The scalar function `fn` of operands in compute form (bool as i1), in every lane.

    `dtype` is that of the operands (for `select`, of the last two; for `cast`, the dtype to convert to). Straight
    vector code, except that those of BRANCHING branch: afterwards `b.label` may be another block. KeyError for a
    function that is no row of ir.scalar.FUNCTIONS.
    """
    if fn == "cast":
        return casts.cast(b, args[0], dtype)
    if any(element(a.type) != COMPUTE[dtype] for a in (args[1:] if fn == "select" else args)):
        raise TypeError(f"{fn} of {', '.join(a.type for a in args)}, expected {dtype}")
    if fn in FUSIBLE:
        return EMIT[fn](b, *args)
    with b.exact():
        return EMIT[fn](b, *args)


def branches(expr: Expr) -> bool:
    """Whether an expression's code may have branches."""
    return isinstance(expr, Apply) and (expr.fn in BRANCHING or any(map(branches, expr.args)))
