"""The scalar expression of a group's value at an index: loads for inputs, ops lowered, views read through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from unmoor.dtypes import DType, bool_, i64
from unmoor.ir.dim import Dim, nonnegative, sym
from unmoor.ir.graph import Arg, Block, Node, Value, tensor_type
from unmoor.ir.op import Kind
from unmoor.ir.scalar import Expr, IndexValue, Load, Number, cast, number, select
from unmoor.kernels.scope import Scope
from unmoor.ops import TABLE
from unmoor.ops.access import Index, broadcast_index, linear, through_view

ELEMENTWISE = ("Tensor", "Tensor?", "Scalar", "Scalar?")


def nothing_special(node: Node, index: Index, scope: Scope) -> Expr:
    """For groups whose values are all made element by element."""
    raise AssertionError(f"{node.op} has no place in this group")


def unpadded(node: Node, index: Index) -> Index:
    """The place in a padding's source for an index inside it."""
    before = node.args[1]
    assert isinstance(before, tuple)
    return tuple(i - int(str(p)) for i, p in zip(index, before, strict=True))


class Elements:
    """Expressions for the values of one block.

    `buffers` names the buffer of each value that is read from memory, `extents` bounds every loop index, and `special`
    computes values that are not made element by element (reductions and contractions). Values that are `inmost` are
    computed where they are asked for, and not further out. The padding of nodes in `unread` is never read: who asks for
    what they pad keeps inside.
    """

    def __init__(
        self,
        block: Block,
        buffers: dict[Value, str],
        extents: dict[str, Dim],
        special: Callable[[Node, Index, Scope], Expr],
        inmost: frozenset[Value] = frozenset(),
    ) -> None:
        self.producer = {v: n for n in block.nodes for v in n.outputs}
        self.buffers = buffers
        self.extents = extents
        self.special = special
        self.inmost = inmost
        self.uses = Counter(v for n in block.nodes for v in n.inputs) + Counter(
            r for r in block.results if isinstance(r, Value)
        )
        self.unread: set[Node] = set()
        self.stored: dict[Value, Callable[[Index], Load]] = {}  # values that an earlier phase left in a buffer

    def at(self, value: Value, index: Index, scope: Scope) -> Expr:
        """The element of `value` at `index`, computed in the outermost scope that can."""
        key = (value, tuple(index))
        known = scope.find(key)
        if known is not None:
            return known
        home = scope if value in self.inmost else scope.home(index)
        expr = self._compute(value, index, home)
        if self.uses[value] > 1 or home is not scope:
            expr = home.bind(expr)
        home.known[key] = expr
        return expr

    def load(self, value: Value, index: Index) -> Load:
        """The element of a value in memory, or of a view of one: what contractions read, which take no names."""
        while (node := self.producer.get(value)) is not None:
            index = through_view(node, index, self.extents)
            (value,) = node.inputs
        type_ = tensor_type(value)
        return Load(self.buffers[value], linear(index, type_.shape), type_.dtype)

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
        if op.kind is Kind.PAD:
            (source,) = node.inputs
            if node in self.unread:
                return self.at(source, unpadded(node, index), scope)
            inside, place, outside = op.lower(index, tensor_type(source), type_, *node.args[1:])
            return select(inside, self.at(source, place, scope), number(outside, type_.dtype))
        if op.kind is Kind.CREATE:
            expr: Expr = op.lower(index, type_, *node.args)
            return expr
        if op.kind is Kind.MAP:
            return self._map(node, index, scope)
        if op.kind is Kind.INDEX:
            return self._taken(node, index, scope)
        return self.special(node, index, scope)

    def _taken(self, node: Node, index: Index, scope: Scope) -> Expr:
        """prim::take: the source's element at the places that the indices name, the other axes as they are."""
        source, indices, axes, at = node.args
        assert isinstance(source, Value) and isinstance(indices, tuple) and isinstance(axes, tuple)
        first, rank = int(str(at)), tensor_type(node.output).rank - tensor_type(source).rank + len(axes)
        here = index[first : first + rank]
        rest = iter((*index[:first], *index[first + rank :]))
        named = {int(str(a)): i for a, i in zip(axes, indices, strict=True)}
        place: list[Dim] = []
        for axis, extent in enumerate(tensor_type(source).shape):
            tensor = named.get(axis)
            place.append(self.place(tensor, here, extent, scope) if isinstance(tensor, Value) else next(rest))
        return self.at(source, tuple(place), scope)

    def place(self, tensor: Value, index: Index, extent: Dim, scope: Scope) -> Dim:
        """The element of an integer tensor as an index below `extent`; negative ones count from the end."""
        home = scope.home(index)
        value = self.at(tensor, index, home)
        if isinstance(value, IndexValue) and self._below(value.index, extent):
            return value.index
        wide = home.bind(cast(value, i64))
        wrapped = select(wide < 0, wide + IndexValue(extent), wide)
        name = home.index((tensor, tuple(index)), wrapped, extent)
        self.extents[name] = extent
        return sym(name)

    def _below(self, index: Dim, extent: Dim) -> bool:
        """Whether an index is plainly at least 0 and below `extent`."""
        highest = index.substitute({v: e - 1 for v, e in self.extents.items()})
        return nonnegative(index) and nonnegative(extent - 1 - highest)

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
