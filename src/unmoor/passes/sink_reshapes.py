"""Moves reshapes below elementwise work, so that what follows a matmul in its own shape can join its kernel.

Does: relu(reshape(y)) becomes reshape(relu(y)), and reshape(y) + b becomes reshape(y + b) where b is a scalar, is
reshaped alike, or is broadcast along axes that the reshape keeps at the end, or holds a number for each place of a
last axis that the reshape joins. Needs: a typed graph. Leaves: the same values. Does not: move a reshape past a
reduction, nor one of a graph input or constant.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.dim import Dim, product
from unmoor.ir.graph import Arg, Graph, Names, Node, Value, map_arg, names_of, tensor_type
from unmoor.ir.op import Kind
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE

RESHAPE = "prim::reshape"


def sink_reshapes(graph: Graph) -> Graph:
    """The graph with reshapes as far down as elementwise ops allow."""
    names = names_of(graph)
    producer: dict[Value, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        made = _sunk(node, producer, names)
        for n in made:
            producer.update((v, n) for v in n.outputs)
        nodes += made
    return replace(graph, nodes=tuple(nodes))


def _sunk(node: Node, producer: dict[Value, Node], names: Names) -> list[Node]:
    """The node, or its computation before the reshape that fed it and that reshape after."""
    if node.op not in TABLE or TABLE[node.op].kind is not Kind.MAP or len(node.outputs) != 1:
        return [node]
    result = tensor_type(node.output)
    moved = _computed_reshape(node, producer, result.shape)
    if moved is None:
        return [node]
    inner = tensor_type(moved.inputs[0]).shape
    before: list[Node] = []
    replaced: dict[Value, Arg] = {}
    for value in node.inputs:
        alike = _before_reshape(value, producer, result.shape, inner, names, before)
        if alike is None:
            return [node]
        replaced[value] = alike
    early = Value(names.fresh(node.output.name), TensorType(result.dtype, inner))
    compute = Node(node.op, tuple(map_arg(a, replaced) for a in node.args), (early,), node.source)
    return [*before, compute, Node(RESHAPE, (early, result.shape), node.outputs, node.source)]


def _computed_reshape(node: Node, producer: dict[Value, Node], shape: tuple[Dim, ...]) -> Node | None:
    """The reshape to the result's shape that feeds the node with something computed."""
    for value in node.inputs:
        source = producer.get(value)
        if source is not None and source.op == RESHAPE and tensor_type(value).shape == shape:
            inner = producer.get(source.inputs[0])
            if inner is not None and inner.op in TABLE and TABLE[inner.op].kind in (Kind.CONTRACT, Kind.MAP):
                return source
    return None


def _before_reshape(
    value: Value,
    producer: dict[Value, Node],
    outer: tuple[Dim, ...],
    inner: tuple[Dim, ...],
    names: Names,
    before: list[Node],
) -> Value | None:
    """What stands for an operand where the work is done in shape `inner`; None where nothing can."""
    type_ = tensor_type(value)
    source = producer.get(value)
    if type_.shape == outer:
        if source is not None and source.op == RESHAPE and tensor_type(source.inputs[0]).shape == inner:
            return source.inputs[0]
        made = Value(names.fresh(value.name), TensorType(type_.dtype, inner))
        before.append(Node(RESHAPE, (value, inner), (made,)))
        return made
    kept = 0  # trailing axes that the reshape leaves alone
    while kept < min(len(outer), len(inner)) and outer[-1 - kept] == inner[-1 - kept]:
        kept += 1
    if type_.rank <= kept:
        return value
    joined = _joined(outer, inner)
    wide = kept or (1 if joined and type_.shape[-1] == outer[-1] else 0)
    if all(d == 1 for d in type_.shape[: type_.rank - wide]):
        tail = type_.shape[type_.rank - kept :] if kept or not wide else joined
        made = Value(names.fresh(value.name), TensorType(type_.dtype, tail))
        before.append(Node(RESHAPE, (value, tail), (made,)))
        return made
    return None


def _joined(outer: tuple[Dim, ...], inner: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The last axes of `inner` that are the last one of `outer`, where all before them stay as they are; else none."""
    before = len(outer) - 1
    tail = inner[before:]
    return tail if inner[:before] == outer[:before] and product(tail) == outer[-1] else ()
