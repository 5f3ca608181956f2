"""Drops work that changes nothing, by rules that hold to the bit.

Does: a cast to the same dtype goes, and a cast to a wider dtype and back; x*1, x/1, x - 0 and integer x + 0 are x;
-(-x) and not(not x) are x. Needs: a typed graph. Does not: x + 0.0, which turns -0.0 into 0.0.
"""

from __future__ import annotations

from unmoor.dtypes import Category, DType
from unmoor.ir.graph import Arg, Graph, Node, Value, tensor_type
from unmoor.ops import TABLE
from unmoor.passes.rewrite import rewrite_nodes

TWICE = ("aten::neg", "aten::logical_not", "aten::bitwise_not")


def algebra(graph: Graph) -> Graph:
    """The graph without work that changes nothing."""
    producer: dict[Value, Node] = {}

    def rewrite(node: Node) -> tuple[Arg, ...] | None:
        same = _same_as(node, producer)
        if same is not None and same.type == node.output.type:
            return (same,)
        producer.update((v, node) for v in node.outputs)
        return None

    return rewrite_nodes(graph, rewrite)


def _same_as(node: Node, producer: dict[Value, Node]) -> Value | None:
    """The value that the node's output equals."""
    if node.op not in TABLE or len(node.outputs) != 1 or not node.inputs:
        return None
    first = node.args[0]
    if not isinstance(first, Value):
        return None
    source = producer.get(first)
    if node.op == "prim::cast":
        if tensor_type(first).dtype is node.args[1]:
            return first
        if source is not None and source.op == "prim::cast":
            inner = source.args[0]
            if isinstance(inner, Value) and node.args[1] is tensor_type(inner).dtype:
                return inner if _widens(tensor_type(inner).dtype, tensor_type(first).dtype) else None
        return None
    if node.op in TWICE and source is not None and source.op == node.op and isinstance(source.args[0], Value):
        return source.args[0]
    integers = not tensor_type(node.output).dtype.is_float
    if node.op in ("aten::mul", "aten::div") and _is(node.args[1], 1):
        return first
    if node.op == "aten::sub" and _is(node.args[1], 0) and node.args[2] == 1:
        return first
    if node.op == "aten::add" and integers and _is(node.args[1], 0):
        return first
    return None


def _is(arg: Arg, number: int) -> bool:
    """Whether an argument is that number; of zeros only the positive one counts."""
    return isinstance(arg, int | float) and not isinstance(arg, bool) and str(float(arg)) == str(float(number))


def _widens(narrow: DType, wide: DType) -> bool:
    """Whether every value of one dtype is one of the other, too."""
    if narrow.category is Category.BOOL:
        return True
    if narrow.category is wide.category:
        return narrow.size < wide.size or (narrow.size == wide.size and not narrow.is_float)
    return narrow.category is Category.INT and wide.is_float and wide.size > narrow.size
