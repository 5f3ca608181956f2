"""Which values of a row group are worth keeping between its passes over a row.

A row group passes over its folded axes once per reduction and once more to write its full results. A value that several
passes need is either computed again in each, or written to a buffer by the first and read back by the others.
"""

from __future__ import annotations

from unmoor.dtypes import bool_
from unmoor.ir.graph import Block, Node, Value, tensor_type
from unmoor.ir.op import Kind
from unmoor.ir.scalar import FUNCTIONS, Apply, Expr, Number
from unmoor.ops import TABLE

Phase = Node | None  # a reduction, or None for the last pass


def kept_values(block: Block, full: set[Value]) -> list[Value]:
    """Of the elementwise values in `full` (one element per point), those to keep, in block order."""
    producer = {v: n for n in block.nodes for v in n.outputs}
    phases = _phases(block, full, producer)
    consumers: dict[Value, list[Value]] = {}
    for node in block.nodes:
        if TABLE[node.op].kind is Kind.MAP:
            for v in node.inputs:
                consumers.setdefault(v, []).append(node.output)
    kept: list[Value] = []
    for node in block.nodes:
        value = node.outputs[0]
        if value not in full or TABLE[node.op].kind is not Kind.MAP or len(phases.get(value, ())) < 2:
            continue
        absorbed = any(phases.get(w) == phases[value] for w in consumers.get(value, ()) if w in full)
        if not absorbed and _dear(value, producer, full, kept):
            kept.append(value)
    return kept


def _phases(block: Block, full: set[Value], producer: dict[Value, Node]) -> dict[Value, set[Phase]]:
    phases: dict[Value, set[Phase]] = {}

    def mark(value: Value, phase: Phase) -> None:
        seen = phases.setdefault(value, set())
        if phase in seen:
            return
        seen.add(phase)
        node = producer.get(value)
        if node is not None and TABLE[node.op].kind is not Kind.REDUCE:
            for v in node.inputs:
                mark(v, phase)

    for node in block.nodes:
        if TABLE[node.op].kind is Kind.REDUCE:
            mark(node.inputs[0], node)
    for result in block.results:
        if isinstance(result, Value) and result in full:
            mark(result, None)
    return phases


def _dear(value: Value, producer: dict[Value, Node], full: set[Value], kept: list[Value]) -> bool:
    """Whether computing a value again costs more than a store and a load: a costly function, or two loads."""
    loads: set[Value] = set()
    costly = False
    stack = [value]
    while stack:
        v = stack.pop()
        node = producer.get(v)
        if v is not value and v in kept:
            loads.add(v)
        elif node is None:
            if tensor_type(v).rank:
                loads.add(v)
        elif TABLE[node.op].kind is not Kind.REDUCE:
            costly = costly or is_costly(node)
            stack += node.inputs
    return costly or len(loads) > 1


def is_costly(node: Node) -> bool:
    """Whether an elementwise op's formula holds a function that is dear to compute twice."""
    op = TABLE[node.op]
    if op.kind is not Kind.MAP:
        return False
    args = [
        Number(tensor_type(a).dtype, 1)
        if isinstance(a, Value)
        else _literal(a, node)
        if p.type in ("Scalar", "Scalar?", "Tensor", "Tensor?") and a is not None
        else a
        for a, p in zip(node.args, op.schema.params, strict=True)
    ]
    return _has_costly(op.lower(*args))


def _literal(arg: object, node: Node) -> Number:
    result = tensor_type(node.output).dtype
    dtype = tensor_type(node.inputs[0]).dtype if result is bool_ and node.inputs else result
    return Number(dtype, arg if isinstance(arg, bool | int | float) else 1)


def _has_costly(expr: Expr) -> bool:
    return isinstance(expr, Apply) and (FUNCTIONS[expr.fn].costly or any(map(_has_costly, expr.args)))
