"""Integers divided by zero, or to a negative power: eager PyTorch raises an error there, so the call is refused."""

from __future__ import annotations

import numpy as np

from unmoor.dtypes import bool_
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Arg, Value, tensor_type
from unmoor.specialise.builder import TypedBuilder

DIVISIONS = frozenset(("aten::floor_divide", "aten::remainder", "aten::fmod", "aten::div_mode"))
MESSAGE = "divides integers by zero, where eager PyTorch raises an error"
NEGATIVE = "integers to negative integer powers, where eager PyTorch raises an error"


def check_divisor(b: TypedBuilder, op: str, args: tuple[Arg, ...]) -> None:
    """Guards, or decides by sizes, that an op of the program divides no integer by zero."""
    if op not in DIVISIONS or (op == "aten::div_mode" and args[2] is None):
        return
    dividend, divisor = args[0], args[1]
    if any(isinstance(a, float) or (isinstance(a, Value) and tensor_type(a).dtype.is_float) for a in args[:2]):
        return
    if isinstance(divisor, int | Dim):
        if b.facts.equal(divisor, 0) and not _is_empty(b, dividend):
            raise SignatureError(MESSAGE)
    elif isinstance(divisor, Value):
        known, span = b.constants.get(divisor), b.span(divisor)
        if (known is not None and np.all(known)) or (span is not None and _begins_above_zero(b, span[0])):
            return
        zero = b.emit("aten::any", b.emit("aten::eq", divisor, 0), None, False)
        b.guard(zero, False, MESSAGE)


def check_exponent(b: TypedBuilder, op: str, args: tuple[Arg, ...]) -> None:
    """Guards, or decides by sizes, that no number to which integers are raised is negative. Tensors may be."""
    if op != "aten::pow" or any(isinstance(a, float) or (isinstance(a, Value) and _is_float(a)) for a in args):
        return
    base, exponent = args
    if isinstance(base, Value) and tensor_type(base).dtype is bool_:
        both = isinstance(exponent, bool) or (isinstance(exponent, Value) and tensor_type(exponent).dtype is bool_)
        if both:
            raise Unsupported("a power of bool by bool is not supported: convert with .long() first")
    if isinstance(exponent, int | Dim):
        if not b.facts.at_most(0, exponent):
            raise SignatureError(NEGATIVE)
    elif isinstance(exponent, Value) and exponent in b.weak:
        b.guard(b.emit("aten::lt", exponent, 0), False, NEGATIVE)


def _is_float(value: Value) -> bool:
    return tensor_type(value).dtype.is_float


def _is_empty(b: TypedBuilder, value: Arg) -> bool:
    return isinstance(value, Value) and b.facts.equal(tensor_type(value).numel, 0)


def _begins_above_zero(b: TypedBuilder, first: Dim) -> bool:
    return first.is_const and first.value > 0
