"""Integers divided by zero: eager PyTorch raises an error there, so the call is refused."""

from __future__ import annotations

import numpy as np

from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Arg, Value, tensor_type
from unmoor.specialise.builder import TypedBuilder

DIVISIONS = frozenset(("aten::floor_divide", "aten::remainder", "aten::fmod", "aten::div_mode"))
MESSAGE = "divides integers by zero, where eager PyTorch raises an error"


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


def _is_empty(b: TypedBuilder, value: Arg) -> bool:
    return isinstance(value, Value) and b.facts.equal(tensor_type(value).numel, 0)


def _begins_above_zero(b: TypedBuilder, first: Dim) -> bool:
    return first.is_const and first.value > 0
