"""Moves permutes below elementwise work, reductions and joins, so that all of them walk over memory as it lies.

Does: relu(permute(y)) becomes permute(relu(y)); permute(y) + b becomes permute(y + b'), where b' is b with its axes
put back; a sum over some axes of permute(y) is one over other axes of y; tensors that are all permuted alike are joined
along another axis. So a network of convolutions, each of which works with the channels last, stays in that layout
throughout. Needs: a typed graph with canonical views. Leaves: the same values. Does not: move a permute of a graph
input or constant.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.dim import Dim, const
from unmoor.ir.graph import Arg, Graph, Names, Node, Value, map_arg, names_of, tensor_type
from unmoor.ir.op import Kind
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE

PERMUTE, RESHAPE = "prim::permute", "prim::reshape"
POSITIONS = ("prim::argmax", "prim::argmin")  # their results depend on the order of the axes


def sink_permutes(graph: Graph) -> Graph:
    """The graph with permutes as far down as elementwise ops and reductions allow."""
    return _Sinking(graph).run()


class _Sinking:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names: Names = names_of(graph)
        self.producer: dict[Value, Node] = {}
        self.nodes: list[Node] = []

    def run(self) -> Graph:
        for node in self.graph.nodes:
            kind = TABLE[node.op].kind if node.op in TABLE else None
            moved = None
            if kind is Kind.MAP and len(node.outputs) == 1:
                moved = self._elementwise(node)
            elif kind is Kind.REDUCE and node.op not in POSITIONS:
                moved = self._reduction(node)
            elif kind is Kind.JOIN:
                moved = self._join(node)
            if not moved:
                self._add(node)
        return replace(self.graph, nodes=tuple(self.nodes))

    def _add(self, node: Node) -> None:
        self.nodes.append(node)
        self.producer.update((v, node) for v in node.outputs)

    def _emit(self, op: str, args: tuple[Arg, ...], type_: TensorType, name: str) -> Value:
        out = Value(self.names.fresh(name), type_)
        self._add(Node(op, args, (out,)))
        return out

    def _elementwise(self, node: Node) -> bool:
        shape = tensor_type(node.output).shape
        found = [v for v in node.inputs if tensor_type(v).shape == shape and self._permute_of_computed(v)]
        if not found:
            return False
        order = _order(self.producer[found[0]])
        back = tuple(order.index(a) for a in range(len(order)))
        inner = tuple(shape[a] for a in back)
        replaced = {v: self._put_back(v, back) for v in dict.fromkeys(node.inputs)}
        early = Value(self.names.fresh(node.output.name), TensorType(tensor_type(node.output).dtype, inner))
        self._add(Node(node.op, tuple(map_arg(a, dict(replaced)) for a in node.args), (early,), node.source))
        self._add(Node(PERMUTE, (early, order), node.outputs, node.source))
        return True

    def _put_back(self, value: Value, back: tuple[int, ...]) -> Arg:
        """An operand with its axes in the inner order, axes of size 1 added where it has fewer."""
        type_ = tensor_type(value)
        if not type_.rank:
            return value
        source = self.producer.get(value)
        same_rank = type_.rank == len(back)
        if (
            source is not None
            and source.op == PERMUTE
            and same_rank
            and [_order(source)[a] for a in back] == sorted(back)
        ):
            return source.inputs[0]
        shape = (*(const(1) for _ in range(len(back) - type_.rank)), *type_.shape)
        if shape != type_.shape:
            value = self._emit(RESHAPE, (value, shape), TensorType(type_.dtype, shape), value.name)
        moved = tuple(shape[a] for a in back)
        wide = [a for a in back if shape[a] != 1]
        op, arg = (RESHAPE, moved) if wide == sorted(wide) else (PERMUTE, back)
        return self._emit(op, (value, arg), TensorType(type_.dtype, moved), value.name)

    def _reduction(self, node: Node) -> bool:
        (value,) = node.inputs
        if not self._permute_of_computed(value):
            return False
        order = _order(self.producer[value])
        _, dims, keep = node.args
        assert isinstance(dims, tuple)
        folded = {order[int(str(d))] for d in dims}
        inner = tensor_type(self.producer[value].inputs[0]).shape
        kept: list[tuple[int, Dim]] = [
            (a, const(1) if a in folded else d) for a, d in enumerate(inner) if keep or a not in folded
        ]
        result = tensor_type(node.output)
        early = Value(self.names.fresh(node.output.name), TensorType(result.dtype, tuple(d for _, d in kept)))
        self._add(Node(node.op, (self.producer[value].inputs[0], tuple(sorted(folded)), keep), (early,), node.source))
        places = [a for a, _ in kept]
        after = tuple(places.index(a) for a in order if keep or a not in folded)
        self._add(Node(PERMUTE, (early, after), node.outputs, node.source))
        return True

    def _join(self, node: Node) -> bool:
        if not all(self._permute_of_computed(v) for v in node.inputs):
            return False
        first, *others = (_order(self.producer[v]) for v in node.inputs)
        if any(order != first for order in others):
            return False
        back = tuple(first.index(a) for a in range(len(first)))
        result = tensor_type(node.output)
        early = Value(
            self.names.fresh(node.output.name), TensorType(result.dtype, tuple(result.shape[a] for a in back))
        )
        parts = tuple(self.producer[v].inputs[0] for v in node.inputs)
        self._add(Node(node.op, (parts, first[int(str(node.args[1]))]), (early,), node.source))
        self._add(Node(PERMUTE, (early, first), node.outputs, node.source))
        return True

    def _permute_of_computed(self, value: Value) -> bool:
        """Whether the value is a permute of something that a kernel makes, perhaps seen in another shape and order."""
        node = self.producer.get(value)
        if node is None or node.op != PERMUTE:
            return False
        source = self.producer.get(node.inputs[0])
        while source is not None and source.op in (RESHAPE, PERMUTE):
            source = self.producer.get(source.inputs[0])
        return (
            source is not None
            and source.op in TABLE
            and TABLE[source.op].kind
            in (
                Kind.CONTRACT,
                Kind.MAP,
                Kind.REDUCE,
                Kind.JOIN,
            )
        )


def _order(node: Node) -> tuple[int, ...]:
    dims = node.args[1]
    assert isinstance(dims, tuple)
    return tuple(int(str(d)) for d in dims)
