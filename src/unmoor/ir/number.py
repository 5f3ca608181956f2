"""What arithmetic and comparisons of numbers in a recorded graph mean: prim::int_*, prim::float_*, prim::compare."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "min": min,
    "max": max,
    "neg": operator.neg,
    "div": operator.truediv,
    "pow": operator.pow,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
    "floor": math.floor,
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
