"""The number behind a tensor: an element of what was made of sizes is an expression of those sizes, not data."""

from __future__ import annotations

from unmoor.capture.guards import Guards
from unmoor.capture.numbers import Number
from unmoor.ir.graph import Arg, Node, Value
from unmoor.ir.types import INT

_ARITHMETIC = {
    "aten::mul": "prim::int_mul",
    "aten::add": "prim::int_add",
    "aten::sub": "prim::int_sub",
    "aten::rsub": "prim::int_sub",
}

_SCALED = ("aten::add", "aten::sub", "aten::rsub")


def number_behind(guards: Guards, value: Value, real: int | float) -> Number | None:
    """The number that the tensor `value`, of one integer, was made of; None where it depends on data."""
    made = {v: node for node in guards.tape.nodes for v in node.outputs}
    found = _behind(guards, made, value)
    if not isinstance(found, Number):
        return None
    found.hint = real
    return found


def rests_on_sizes(guards: Guards, value: Value) -> bool:
    """Whether a tensor is the same wherever the sizes are, and none of what it was made of is data."""
    made = {v: node for node in guards.tape.nodes for v in node.outputs}
    constants = {c.value for c in guards.tape.constants}
    known: set[Value] = set()
    left = [value]
    while left:
        at = left.pop()
        if at in known or at in constants:
            continue
        known.add(at)
        node = made.get(at)
        if node is None:
            return False  # an input, or state
        left += [] if node.op == "prim::size" else node.inputs
    return True


def _behind(guards: Guards, made: dict[Value, Node], value: Arg) -> Number | int | None:
    if type(value) is int:
        return value
    node = made.get(value) if isinstance(value, Value) else None
    if node is None:
        return None
    assert isinstance(value, Value)
    if value.type == INT:
        return _of_value(guards, node, value) if _of_sizes(made, node) else None
    source = _moved_from(made, node, value)
    if source is not None:
        return _behind(guards, made, source)
    return _computed(guards, made, node)


def _of_value(guards: Guards, node: Node, value: Value) -> Number:
    number = Number(guards, 0, node.op, node.args, data=False)  # whoever asks says what it is in this run
    number._value = value
    return number


def _of_sizes(made: dict[Value, Node], node: Node) -> bool:
    if node.op == "prim::size":
        return True
    parts = [made.get(a) if isinstance(a, Value) else None for a in node.args]
    known = [p is not None or type(a) is int for p, a in zip(parts, node.args, strict=True)]
    return node.op.startswith("prim::int_") and all(known) and all(_of_sizes(made, p) for p in parts if p is not None)


def _never_negative(made: dict[Value, Node], number: Arg | Number) -> bool:
    if isinstance(number, int):
        return number >= 0
    node = made.get(number) if isinstance(number, Value) else number
    if not isinstance(node, (Node, Number)):
        return False
    kept = ("prim::int_mul", "prim::int_add", "prim::int_min", "prim::int_max", "prim::int_floordiv")
    return node.op == "prim::size" or (node.op in kept and all(_never_negative(made, a) for a in node.args))


def _moved_from(made: dict[Value, Node], node: Node, value: Value) -> Arg:
    """Where the one element of a node's result lies."""
    if node.op == "aten::full" and node.args[0] == ():
        return node.args[1]
    if node.op in ("unmoor::getitem", "aten::unbind") and isinstance(node.args[0], Value):
        index = node.args[1] if node.op == "unmoor::getitem" else (node.outputs.index(value),)
        stack = made.get(node.args[0])
        one = isinstance(index, tuple) and len(index) == 1 and type(index[0]) is int
        if stack is not None and stack.op == "aten::stack" and one and (len(node.args) < 2 or stack.args[1] == 0):
            parts = stack.args[0]
            assert isinstance(parts, tuple) and isinstance(index, tuple) and isinstance(index[0], int)
            return parts[index[0]] if -len(parts) <= index[0] < len(parts) else None
    return None


def _computed(guards: Guards, made: dict[Value, Node], node: Node) -> Number | None:
    """A product, sum, difference or whole quotient of numbers that are known."""
    if node.op not in _ARITHMETIC and node.op != "aten::div_mode":
        return None
    a, b = (_behind(guards, made, v) for v in node.args[:2])
    if a is None or b is None or (node.op in _SCALED and node.args[2:] != (1,)):
        return None
    if node.op == "aten::rsub":
        a, b = b, a
    op = _ARITHMETIC.get(node.op, "prim::int_floordiv")
    if op == "prim::int_floordiv":
        positive = type(b) is int and b > 0
        if not positive or not (node.args[2] == "floor" or (node.args[2] == "trunc" and _never_negative(made, a))):
            return None
    return Number(guards, 0, op, (a, b), data=False)
