"""Numbers outside tensors: sizes become Dims, literals are computed, numbers read from data become 0-dim tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unmoor.dtypes import bool_, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.bounds import interval
from unmoor.ir.complex import Complex
from unmoor.ir.dim import Dim, const, dim, dmax, dmin, nonnegative
from unmoor.ir.graph import Arg, Value, tensor_type
from unmoor.ir.number import ARITHMETIC, COMPARISONS
from unmoor.specialise.builder import TypedBuilder

SIZE: dict[str, Callable[..., Any]] = {**ARITHMETIC, "min": dmin, "max": dmax}
TENSOR = {
    "add": "aten::add",
    "sub": "aten::sub",
    "mul": "aten::mul",
    "floordiv": "aten::floor_divide",
    "mod": "aten::remainder",
    "min": "aten::minimum",
    "max": "aten::maximum",
    "neg": "aten::neg",
    "div": "aten::div",
    "pow": "aten::pow",
    "sqrt": "aten::sqrt",
    "ceil": "aten::ceil",
    "floor": "aten::floor",
}
COMPARE = {
    "<": "aten::lt",
    "<=": "aten::le",
    ">": "aten::gt",
    ">=": "aten::ge",
    "==": "aten::eq",
    "!=": "aten::ne",
}


def plain(value: Arg) -> Arg:
    """A constant Dim as an int."""
    return value.value if isinstance(value, Dim) and value.is_const else value


def as_tensor(b: TypedBuilder, value: Arg) -> Value:
    """A number as a 0-dim tensor of Python's precision: i64, f64 or bool."""
    if isinstance(value, Value):
        return value
    if isinstance(value, Complex):
        raise Unsupported("a complex tensor goes through a branch or a loop: keep torch.view_as_real of it there")
    if isinstance(value, Dim):
        made = b.emit("prim::full", (), value, i64)
    else:
        assert isinstance(value, bool | int | float)
        made = b.emit(
            "prim::full", (), value, bool_ if isinstance(value, bool) else i64 if isinstance(value, int) else f64
        )
    b.weak.add(made)
    return made


def arithmetic(b: TypedBuilder, name: str, args: tuple[Arg, ...], integers: bool) -> Arg:
    """prim::int_<name> and prim::float_<name>."""
    args = tuple(plain(a) for a in args)
    if not any(isinstance(a, Value | Dim) for a in args):
        return ARITHMETIC[name](*args)  # type: ignore[no-any-return]
    if integers and not any(isinstance(a, Value) for a in args):
        return plain(SIZE[name](*(dim(a) for a in args)))  # type: ignore[arg-type]
    tensors = [as_tensor(b, a) for a in args]
    if not integers:
        tensors = [t if tensor_type(t).dtype is f64 else b.emit("prim::cast", t, f64) for t in tensors]
    made = b.emit(TENSOR[name], *tensors)
    if not integers and name in ("ceil", "floor"):
        made = b.emit("prim::cast", made, i64)
    b.weak.add(made)
    return made


def compare(b: TypedBuilder, left: Arg, right: Arg, sign: str) -> Arg:
    """prim::compare: a bool where sizes or literals decide, else a 0-dim bool tensor."""
    left, right = plain(left), plain(right)
    op = COMPARE[sign]
    if isinstance(left, Value) or isinstance(right, Value):
        made = b.emit(op, as_tensor(b, left), as_tensor(b, right))
        b.weak.add(made)
        return made
    if not (isinstance(left, Dim) or isinstance(right, Dim)):
        numbers: Any = (left, right)
        return bool(COMPARISONS[sign](*numbers))
    if isinstance(left, float) or isinstance(right, float):
        left, right, sign = _whole(left, right, sign)
    a, c = dim(left), dim(right)  # type: ignore[arg-type]
    facts = b.facts
    if facts.is_found(a - c):
        return _compare_found(b, a, c, sign)
    return {
        "==": lambda: facts.equal(a, c),
        "!=": lambda: not facts.equal(a, c),
        "<=": lambda: facts.at_most(a, c),
        "<": lambda: facts.at_most(a + 1, c),
        ">=": lambda: facts.at_most(c, a),
        ">": lambda: facts.at_most(c + 1, a),
    }[sign]()


def _compare_found(b: TypedBuilder, left: Dim, right: Dim, sign: str) -> Arg:
    """A comparison of sizes that a call finds: what bounds do not tell is data."""
    least, greatest = interval(left - right, b.facts.most)
    low, high = nonnegative(least), nonnegative(-greatest)
    below, above = nonnegative(-greatest - 1), nonnegative(least - 1)
    known = {
        "<": (below, low),
        "<=": (high, above),
        ">": (above, high),
        ">=": (low, below),
        "==": (False, below or above),
        "!=": (below or above, False),
    }[sign]
    if any(known):
        return known[0]
    made = b.emit(COMPARE[sign], as_tensor(b, left), as_tensor(b, right))
    b.weak.add(made)
    return made


def _whole(left: Arg, right: Arg, sign: str) -> tuple[Arg, Arg, str]:
    """A comparison of a size with a float as one of whole numbers."""
    value = left if isinstance(left, float) else right
    assert isinstance(value, float)
    if not value.is_integer():
        raise Unsupported(f"a size is compared with {value}: compare it with a whole number")
    return (int(value), right, sign) if isinstance(left, float) else (left, int(value), sign)


def item(b: TypedBuilder, value: Value) -> Value:
    """prim::item: the one element of a tensor, in Python's precision."""
    type_ = tensor_type(value)
    if not b.facts.equal(type_.numel, const(1)):
        raise SignatureError(f"item() of a tensor of type {type_}: it needs exactly one element")
    made = value if not type_.rank else b.emit("prim::reshape", value, ())
    wide = f64 if type_.dtype.is_float else bool_ if type_.dtype is bool_ else i64
    made = made if type_.dtype is wide else b.emit("prim::cast", made, wide)
    b.weak.add(made)
    return made


def truth(b: TypedBuilder, value: Arg) -> Arg:
    """prim::truth: whether the one element of a tensor, or a number, is not zero."""
    value = plain(value)
    if isinstance(value, Dim):
        return compare(b, value, 0, "!=")
    if not isinstance(value, Value):
        return bool(value)
    made = item(b, value)
    return made if tensor_type(made).dtype is bool_ else b.emit("aten::ne", made, 0)
