"""Sizes of a contraction group as parameters, by the role they play, so that layers of all sizes share one kernel.

A matmul of 64 x 256 and one of 256 x 64 are the same loops with other numbers. Each axis of the result, the depth and
the places of a convolution become symbols of their own, even where two sizes happen to be equal; an axis of size 1
stays one. Groups that read through views keep their sizes, since a view's index may lean on how sizes are related.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.dim import Dim, const, product, sym
from unmoor.ir.graph import Arg, Block, Node, Value, map_arg, tensor_type
from unmoor.ir.op import Kind
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE

CONVOLVE = "prim::convolve"
Shape = tuple[Dim, ...]


def with_roles(node: Node) -> tuple[Node, dict[str, Dim]]:
    """The group with symbols for its sizes, and what each of them stands for; as it is where its sizes must stay."""
    block = node.blocks[0]
    if any(TABLE[n.op].kind not in (Kind.MAP, Kind.CONTRACT) for n in block.nodes):
        return node, {}
    (contract,) = (n for n in block.nodes if TABLE[n.op].kind is Kind.CONTRACT)
    roles = _Roles()
    shapes = roles.of_contract(contract)
    out = shapes[contract.output]
    values: dict[Value, Arg] = {}
    for value in (*block.params, *(v for n in block.nodes for v in n.outputs)):
        type_ = tensor_type(value)
        shape = shapes.get(value) or tuple(
            d if d == 1 else o for d, o in zip(type_.shape, out[len(out) - type_.rank :], strict=True)
        )
        values[value] = Value(value.name, TensorType(type_.dtype, shape))

    def moved(v: Value) -> Value:
        made = values[v]
        assert isinstance(made, Value)
        return made

    nodes = tuple(
        replace(n, args=tuple(map_arg(a, values) for a in n.args), outputs=tuple(map(moved, n.outputs)))
        for n in block.nodes
    )
    results = tuple(moved(r) for r in block.results if isinstance(r, Value))
    return replace(node, blocks=(Block(tuple(map(moved, block.params)), nodes, results),)), roles.meaning


class _Roles:
    def __init__(self) -> None:
        self.meaning: dict[str, Dim] = {}

    def size(self, role: str, d: Dim) -> Dim:
        """The symbol of a role; 1 stays 1."""
        if d == 1:
            return d
        self.meaning[role] = d
        return sym(role)

    def of_contract(self, node: Node) -> dict[Value, Shape]:
        """The shapes of the contraction's operands and its result."""
        left, right = node.inputs
        result, matrix = tensor_type(node.output).shape, tensor_type(right).shape
        out = tuple(self.size(f"z{a}", d) for a, d in enumerate(result))
        if node.op == CONVOLVE:
            taps = node.args[2]
            assert isinstance(taps, tuple)
            source = tensor_type(left).shape
            channels = self.size("zc", source[-1])
            grouped = len(matrix) == 3
            groups = out[-2] if grouped else const(1)
            places = tuple(self.size(f"zp{a}", d) for a, d in enumerate(source[1:-2]))
            depth = product(int(str(t)) for t in taps) * channels
            shape = (out[0], *places, groups, channels)
            return {node.output: out, left: shape, right: (*((groups,) if grouped else ()), depth, out[-1])}
        depth = self.size("zk", matrix[-2])
        rows, batch = tensor_type(left).shape, out[:-2]
        return {
            node.output: out,
            left: (*_aligned(rows[:-2], batch), out[-2], depth),
            right: (*_aligned(matrix[:-2], batch), depth, out[-1]),
        }


def _aligned(shape: Shape, out: Shape) -> Shape:
    """The batch axes of an operand: those of the result, or 1."""
    return tuple(d if d == 1 else o for d, o in zip(shape, out[len(out) - len(shape) :], strict=True))
