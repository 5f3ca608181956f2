"""TorchScript's arithmetic on numbers that are symbolic; on plain ones torch runs its own."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from unmoor.capture.numbers import Float, Int, arithmetic, number_of
from unmoor.capture.script.boundary import as_float


def is_symbolic(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(is_symbolic, value))
    if isinstance(value, dict):
        return any(map(is_symbolic, value.values()))
    return isinstance(value, (Int, Float))


def pinned(value: Any) -> Any:
    """A value with plain numbers, guarded by equality."""
    if isinstance(value, (Int, Float)):
        return value.node.pin()
    if isinstance(value, dict):
        return {k: pinned(v) for k, v in value.items()}
    return type(value)(map(pinned, value)) if type(value) in (list, tuple) else value


def without_data(value: Any) -> Any:
    """A value with plain numbers for those that data decides, guarded by equality."""
    if isinstance(value, (Int, Float)):
        return value.node.pin() if value.node.data else value
    return type(value)(map(without_data, value)) if type(value) in (list, tuple) else value


def as_int(number: Any) -> Any:
    if isinstance(number, Float):
        node = number.node
        return node.guards.truncated(node, None)
    return number if isinstance(number, Int) else int(number)


def _extreme(op: str) -> Callable[[Any, Any], Any]:
    def choose(a: Any, b: Any) -> Any:
        numbers = [number_of(x) for x in (a, b)]
        return arithmetic(op, *(n for n in numbers if n is not None))

    return choose


def _of_ints(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operation that Python computes as TorchScript does for ints only."""

    def apply(a: Any, b: Any) -> Any:
        return function(a, b) if isinstance(a, int) and isinstance(b, int) else NotImplemented

    return apply


def _range_length(low: Any, high: Any, step: Any) -> Any:
    step = pinned(step)
    if step == 0:
        return NotImplemented  # torch raises the error
    if step > 0:
        return (high - low + step - 1) // step if low < high else 0
    return (low - high - 1 - step) // -step if low > high else 0


def _power(a: Any, b: Any) -> Any:
    if isinstance(b, (Int, Float)) or isinstance(a, Float):
        return NotImplemented
    return a**b if b >= 0 else NotImplemented


# By the name of the op, for numbers. What gives NotImplemented is left to torch, with the numbers pinned.
SYMBOLIC: dict[str, Callable[..., Any]] = {
    "aten::add": operator.add,
    "aten::sub": operator.sub,
    "aten::mul": operator.mul,
    "aten::div": operator.truediv,
    "aten::floordiv": _of_ints(operator.floordiv),
    "aten::remainder": _of_ints(operator.mod),
    "aten::pow.int_to_int": _power,
    "aten::neg": operator.neg,
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::Int": as_int,
    "aten::Float": as_float,
    "aten::Bool": lambda n: n != 0,
    "aten::sqrt": lambda n: arithmetic("sqrt", n.node),
    "aten::ceil": lambda n: math.ceil(n),
    "aten::floor": lambda n: math.floor(n),
    "prim::abs": abs,
    "prim::min": _extreme("min"),
    "prim::max": _extreme("max"),
    "aten::__range_length": _range_length,
    "aten::__derive_index": lambda index, start, step: start + index * step,
}


def symbolic(kind: str, overload: str, args: list[Any]) -> Any:
    """An op on numbers of which one is symbolic, as arithmetic of the graph; NotImplemented where that has none."""
    function = SYMBOLIC.get(overload) or SYMBOLIC.get(kind)
    if function is None or not all(isinstance(a, (int, float)) for a in args):
        return NotImplemented
    try:
        return function(*args)
    except (ZeroDivisionError, OverflowError, ValueError):
        return NotImplemented


def of_tensors(kind: str, numbers: list[Any]) -> Any:
    """The number that a tensor op gives of 0-dim integer tensors with these values; NotImplemented for others."""
    match kind, numbers:
        case "aten::add", [a, b, 1]:
            return a + b
        case "aten::sub", [a, b, 1]:
            return a - b
        case "aten::mul", [a, b]:
            return a * b
        case "aten::floor_divide", [a, b] if not isinstance(b, Int) and b:
            return a // b
        case "aten::div", [a, b, "floor"] if not isinstance(b, Int) and b:
            return a // b
        case "aten::div", [a, b, "trunc"] if not isinstance(b, Int) and b > 0:
            return a // b if a >= 0 else NotImplemented
        case "aten::remainder", [a, b] if not isinstance(b, Int) and b:
            return a % b
        case "aten::neg", [a]:
            return -a
        case (("aten::detach" | "aten::clone" | "aten::alias"), [a, *_]):
            return a
    return NotImplemented
