"""The scalar expression of a group's value at an index: loads for inputs, ops lowered, views read through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from unmoor.dtypes import DType, bool_
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Arg, Block, Node, Value, tensor_type
from unmoor.ir.op import Kind
from unmoor.ir.scalar import Expr, IndexValue, Load, Number, cast
from unmoor.kernels.scope import Scope
from unmoor.ops import TABLE
from unmoor.ops.access import Index, broadcast_index, linear, through_view

ELEMENTWISE = ("Tensor", "Tensor?", "Scalar", "Scalar?")


def nothing_special(node: Node, index: Index, scope: Scope) -> Expr:
    """For groups whose values are all made element by element."""
    raise AssertionError(f"{node.op} has no place in this group")


class Elements:
    """Expressions for the values of one block.

    `buffers` names the buffer of each value that is read from memory, `extents` bounds every loop index, and `special`
    computes values that are not made element by element (reductions and contractions).
    """

    def __init__(
        self,
        block: Block,
        buffers: dict[Value, str],
        extents: Mapping[str, Dim],
        special: Callable[[Node, Index, Scope], Expr],
    ) -> None:
        self.producer = {v: n for n in block.nodes for v in n.outputs}
        self.buffers = buffers
        self.extents = extents
        self.special = special
        self.uses = Counter(v for n in block.nodes for v in n.inputs) + Counter(
            r for r in block.results if isinstance(r, Value)
        )
        self.stored: dict[Value, Callable[[Index], Load]] = {}  # values that an earlier phase left in a buffer

    def at(self, value: Value, index: Index, scope: Scope) -> Expr:
        """The element of `value` at `index`, computed in the outermost scope that can."""
        key = (value, tuple(index))
        known = scope.find(key)
        if known is not None:
            return known
        home = scope.home(index)
        expr = self._compute(value, index, home)
        if self.uses[value] > 1 or home is not scope:
            expr = home.bind(expr)
        home.known[key] = expr
        return expr

    def _compute(self, value: Value, index: Index, scope: Scope) -> Expr:
        type_ = tensor_type(value)
        if value in self.stored:
            return self.stored[value](index)
        if value in self.buffers and value not in self.producer:
            return Load(self.buffers[value], linear(index, type_.shape), type_.dtype)
        node = self.producer[value]
        op = TABLE[node.op]
        if op.kind is Kind.VIEW:
            (source,) = node.inputs
            return self.at(source, through_view(node, index, self.extents), scope)
        if op.kind is Kind.CREATE:
            expr: Expr = op.lower(index, type_, *node.args)
            return expr
        if op.kind is Kind.MAP:
            return self._map(node, index, scope)
        return self.special(node, index, scope)

    def _map(self, node: Node, index: Index, scope: Scope) -> Expr:
        op = TABLE[node.op]
        result = tensor_type(node.output).dtype
        compute = tensor_type(node.inputs[0]).dtype if result is bool_ and node.inputs else result
        args = [
            self._operand(arg, index, compute, scope) if param.type in ELEMENTWISE and arg is not None else arg
            for arg, param in zip(node.args, op.schema.params, strict=True)
        ]
        lowered: Expr = op.lower(*args)
        return lowered

    def _operand(self, arg: Arg, index: Index, compute: DType, scope: Scope) -> Expr:
        if isinstance(arg, Value):
            return self.at(arg, broadcast_index(index, tensor_type(arg).shape), scope)
        if isinstance(arg, Dim):
            return cast(IndexValue(arg), compute)
        assert isinstance(arg, bool | int | float), f"{arg!r} is no operand of an elementwise op"
        return Number(compute, arg)
