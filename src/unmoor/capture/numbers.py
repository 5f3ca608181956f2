"""Symbolic numbers: what `x.shape[0]` and `x.item()` give while tracing.

They hold the real number, so Python goes on with it, and know how it came about, so the graph holds the arithmetic.
Classes derive from torch's SymInt and SymFloat because those are what torch's argument parsers carry to a dispatch
mode untouched; all arithmetic is our own. Where Python must have a plain number (`int(n)`, `range(n)`), the number is
pinned by a guard; where a comparison decides, the comparison is guarded.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import torch

from unmoor.ir.graph import Value
from unmoor.ir.number import ARITHMETIC, COMPARISONS
from unmoor.ir.types import BOOL, FLOAT, INT

if TYPE_CHECKING:
    from unmoor.capture.guards import Guards

Plain = Union[int, float]
Text = str  # a SymNode has a method of this name


class Number:
    """A number with its history; what torch calls a SymNode. `hint` is its value in this run.

    `data` says that it depends on the elements of a tensor, and not on sizes alone.
    """

    __slots__ = ("_value", "args", "data", "guards", "hint", "op")

    def __init__(self, guards: Guards, hint: Plain, op: str, args: tuple[Any, ...], data: bool) -> None:
        self.guards = guards
        self.hint = hint
        self.op = op
        self.args = args
        self.data = data
        self._value: Value | None = None

    @property
    def value(self) -> Value:
        """The graph's value; its arithmetic is recorded when it is first needed."""
        waiting = [self]
        while self._value is None:
            number = waiting[-1]
            first = [a for a in number.args if isinstance(a, Number) and a._value is None]
            if first:
                waiting += reversed(first)
                continue
            args = tuple(a._value if isinstance(a, Number) else a for a in number.args)
            number._value = self.guards.tape.pure(number.op, args, INT if isinstance(number.hint, int) else FLOAT)
            waiting.pop()
        return self._value

    def pin(self) -> Any:
        """The plain number, guarded by equality."""
        self.guards.equal(self)
        return self.hint

    # What torch's C++ code asks of a node. Anything else it might ask is an AttributeError, never a wrong answer.
    def is_int(self) -> bool:
        return isinstance(self.hint, int)

    def is_float(self) -> bool:
        return isinstance(self.hint, float)

    def is_bool(self) -> bool:
        return False

    def is_constant(self) -> bool:
        return False

    def is_symbolic(self) -> bool:
        return True

    def is_nested_int(self) -> bool:
        return False

    def maybe_as_int(self) -> None:
        return None

    def has_hint(self) -> bool:
        return True

    def clone(self) -> Number:
        return self

    def _graph_repr(self) -> Text:
        return self.guards.as_text(self)

    def str(self) -> Text:
        return self.guards.as_text(self)

    def int_(self) -> int:
        return int(self.pin())

    def guard_int(self, file: Text, line: int) -> int:
        return int(self.pin())

    def guard_float(self, file: Text, line: int) -> float:
        return float(self.pin())


def made(guards: Guards, hint: Plain, value: Value) -> Int | Float:
    """A symbolic number that a branch or loop of the graph gives."""
    number = Number(guards, hint, "", (value,), data=True)
    number._value = value
    return wrap(number)


class Truth:
    """A comparison of numbers that is not asked for its outcome yet: a loop that gets it asks in every turn."""

    def __init__(self, guards: Guards, a: Number, b: Number | Plain, op: str) -> None:
        self.guards, self.a, self.b, self.op = guards, a, b, op
        self.held = COMPARISONS[op](a.hint, b.hint if isinstance(b, Number) else b)

    @property
    def value(self) -> Value:
        """The condition in the graph."""
        b = self.b.value if isinstance(self.b, Number) else self.b
        return self.guards.tape.pure("prim::compare", (self.a.value, b, self.op), BOOL)

    def __bool__(self) -> bool:
        return self.guards.compare(self.a, self.b, self.op)


def number_of(value: object) -> Number | Plain | None:
    """The node of a symbolic number (of ours, or as torch wraps it again), a plain number as itself, else None."""
    if isinstance(value, (torch.SymInt, torch.SymFloat)):
        node: Any = value.node
        return node if isinstance(node, Number) else None
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, bool) else value
    return None


def _hint(number: Number | Plain) -> Plain:
    return number.hint if isinstance(number, Number) else number


def wrap(node: Number) -> Int | Float:
    return Int(node) if isinstance(node.hint, int) else Float(node)


def arithmetic(op: str, *operands: Number | Plain) -> Any:
    """`op` of numbers, as Python computes it: symbolic where an operand is."""
    guards = next(o.guards for o in operands if isinstance(o, Number))
    plain = [_hint(o) for o in operands]
    hint = ARITHMETIC[op](*plain)
    ints = all(isinstance(p, int) for p in plain)
    recordable = (ints and op in _INT_OPS) or op in _FLOAT_OPS
    if op == "pow" and ints and isinstance(hint, int):
        return _int_power(operands[0], operands[1])
    if not recordable or not isinstance(hint, (int, float)) or (abs(hint) >= 2**63 and isinstance(hint, int)):
        return ARITHMETIC[op](*(o.pin() if isinstance(o, Number) else o for o in operands))
    kind = "int" if isinstance(hint, int) else "float"
    data = any(isinstance(o, Number) and o.data for o in operands)
    return wrap(Number(guards, hint, f"prim::{kind}_{op}", tuple(operands), data))


_INT_OPS = frozenset(("add", "sub", "mul", "floordiv", "mod", "min", "max", "neg", "div"))
_FLOAT_OPS = frozenset(("add", "sub", "mul", "div", "pow", "neg", "sqrt"))


def _int_power(base: Number | Plain, exponent: Number | Plain) -> Any:
    """An integer power as products; a symbolic exponent is pinned."""
    count = exponent.pin() if isinstance(exponent, Number) else int(exponent)
    if not isinstance(base, Number) or count > 8:
        return (base.pin() if isinstance(base, Number) else base) ** count
    out: Any = 1
    for _ in range(count):
        out = wrap(base) * out
    return out


def _binary(op: str, mirrored: bool = False) -> Callable[[Any, object], Any]:
    def method(self: Any, other: object) -> Any:
        number = number_of(other)
        if number is None:
            return NotImplemented
        a, b = (number, self.node) if mirrored else (self.node, number)
        return arithmetic(op, a, b)

    return method


def _compare(op: str) -> Callable[[Any, object], Any]:
    def method(self: Any, other: object) -> Any:
        number = number_of(other)
        if number is None:
            return NotImplemented
        guards = self.node.guards
        return Truth(guards, self.node, number, op) if guards.deferred else guards.compare(self.node, number, op)

    return method


def _pinned(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of which only Python's own exists: it works on the pinned number."""

    def method(self: Any, *args: Any) -> Any:
        return function(self.node.pin(), *(a.node.pin() if isinstance(a, (Int, Float)) else a for a in args))

    return method


def _mirrored(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: function(b, a)


class _Symbolic:
    """What symbolic ints and floats share."""

    node: Number

    def __init__(self, node: Number) -> None:
        self.node = node

    __add__ = _binary("add")
    __radd__ = _binary("add", mirrored=True)
    __sub__ = _binary("sub")
    __rsub__ = _binary("sub", mirrored=True)
    __mul__ = _binary("mul")
    __rmul__ = _binary("mul", mirrored=True)
    __truediv__ = _binary("div")
    __rtruediv__ = _binary("div", mirrored=True)
    __floordiv__ = _binary("floordiv")
    __rfloordiv__ = _binary("floordiv", mirrored=True)
    __mod__ = _binary("mod")
    __rmod__ = _binary("mod", mirrored=True)
    __pow__ = _binary("pow")
    __rpow__ = _binary("pow", mirrored=True)
    __lt__ = _compare("<")
    __le__ = _compare("<=")
    __gt__ = _compare(">")
    __ge__ = _compare(">=")
    __eq__ = _compare("==")
    __ne__ = _compare("!=")
    __divmod__ = lambda self, other: (self // other, self % other)  # noqa: E731
    __and__, __rand__ = _pinned(operator.and_), _pinned(operator.and_)
    __or__, __ror__ = _pinned(operator.or_), _pinned(operator.or_)
    __xor__, __rxor__ = _pinned(operator.xor), _pinned(operator.xor)
    __lshift__, __rlshift__ = _pinned(operator.lshift), _pinned(_mirrored(operator.lshift))
    __rshift__, __rrshift__ = _pinned(operator.rshift), _pinned(_mirrored(operator.rshift))
    __invert__ = _pinned(operator.invert)
    __hash__ = _pinned(hash)
    __complex__ = _pinned(complex)
    is_integer = _pinned(lambda n: float(n).is_integer())
    bit_length = _pinned(lambda n: n.bit_length())
    as_integer_ratio = _pinned(lambda n: n.as_integer_ratio())
    hex = _pinned(lambda n: n.hex())
    __reduce_ex__ = _pinned(lambda n, protocol: n.__reduce_ex__(protocol))

    def __neg__(self) -> Any:
        return arithmetic("neg", self.node)

    def __pos__(self) -> Any:
        return self

    def sqrt(self) -> Any:
        """What np.sqrt asks an object for."""
        return arithmetic("sqrt", self.node)

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __sym_max__(self, other: Any) -> Any:
        return arithmetic("max", self.node, number_of(other))  # type: ignore[arg-type]

    def __sym_min__(self, other: Any) -> Any:
        return arithmetic("min", self.node, number_of(other))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return self.node.guards.as_text(self.node)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        self.node.guards.as_text(self.node)
        return format(self.node.hint, spec)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self


class Int(_Symbolic, torch.SymInt):
    """A symbolic int: a size, or an integer read from a tensor."""

    # a program that asks `isinstance(n, int)` must go the way that it goes with real numbers
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return int

    def __int__(self) -> int:
        guards = self.node.guards
        return int(guards.converted(self.node, guards.comparison_in_caller("int")))

    def __index__(self) -> int:
        return int(self.node.pin())

    def __float__(self) -> float:
        guards = self.node.guards
        return float(guards.converted(self.node, guards.comparison_in_caller("float")))

    def __round__(self, digits: int | None = None) -> Any:
        return self

    __trunc__ = __floor__ = __ceil__ = __pos__ = _Symbolic.__pos__

    def __sym_float__(self) -> Any:
        return arithmetic("mul", self.node, 1.0)

    @property
    def numerator(self) -> Any:
        return self

    real = numerator

    def conjugate(self) -> Any:
        return self

    def item(self) -> Any:
        """What NumPy's product of sizes has: of symbols it is a symbol."""
        return self


class Float(_Symbolic, torch.SymFloat):
    """A symbolic float: a quotient of sizes, or a float read from a tensor."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return float

    def __float__(self) -> float:
        guards = self.node.guards
        return float(guards.converted(self.node, guards.comparison_in_caller("float")))

    def __int__(self) -> int:
        node = self.node
        return node.guards.truncated(node, node.guards.comparison_in_caller("int"))

    __round__ = _pinned(round)
    __trunc__ = _pinned(math.trunc)

    def __floor__(self) -> Any:
        return self._divided(lambda a, b: a // b, math.floor)

    def __ceil__(self) -> Any:
        return self._divided(lambda a, b: -(-a // b), math.ceil)

    def whole(self) -> Any | None:
        """int() of this as an expression, where it is a quotient of ints."""
        quotient = self._quotient()
        if quotient is None or not quotient[1] > 0:
            return None
        a, b = quotient
        up, down = (arithmetic("max", n.node, 0) if isinstance(n, Int) else max(n, 0) for n in (a, -a))
        return up // b - down // b  # towards zero

    def _divided(self, exact: Callable[[Any, Any], Any], plain: Callable[[float], int]) -> Any:
        """floor or ceil: integer arithmetic where this is a quotient of ints, else of the pinned number."""
        quotient = self._quotient()
        return plain(self.node.pin()) if quotient is None else exact(*quotient)

    def _quotient(self) -> tuple[Any, Any] | None:
        """Two ints whose quotient this is: divided, or a size times a float of so few bits that no size is rounded."""
        args = self.node.args
        if self.node.op == "prim::float_div" and all(isinstance(_hint(n), int) for n in args):
            a, b = (wrap(n) if isinstance(n, Number) else n for n in args)
            return a, b
        if self.node.op == "prim::float_mul" and not self.node.data:
            for size, factor in (args, args[::-1]):
                if isinstance(size, Number) and size.is_int() and isinstance(factor, float) and math.isfinite(factor):
                    above, below = factor.as_integer_ratio()
                    if max(abs(above), below) <= 1 << 10:
                        return wrap(size) * above, below
        return None

    def __sym_float__(self) -> Any:
        return self

    def __sym_int__(self) -> int:
        return int(self)

    @property
    def real(self) -> Any:
        return self

    def conjugate(self) -> Any:
        return self
