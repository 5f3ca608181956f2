"""Sizes that a call finds in data: which node of a typed graph finds them, and which nodes use them."""

from __future__ import annotations

from unmoor.ir.builtin import BUILTINS
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Node, tensor_type
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE


def found_by(node: Node) -> tuple[str, ...]:
    """The symbols of the sizes that a node finds, in the order in which its builtin gives them."""
    op = TABLE.get(node.op)
    if op is None or op.builtin is None or not BUILTINS[op.builtin.name].gives:
        return ()
    return tuple(d.symbol for d in tensor_type(node.outputs[0]).shape if d.symbol is not None)


def symbols_in(node: Node) -> frozenset[str]:
    """The symbols in a node's arguments and in the types of what it gives, and in its blocks."""
    found = _in_args(node.args)
    for value in node.outputs:
        if isinstance(value.type, TensorType):
            found |= _in_args(value.type.shape)
    for block in node.blocks:
        for inner in block.nodes:
            found |= symbols_in(inner)
        found |= _in_args(block.results)
    return found


def _in_args(arg: object) -> frozenset[str]:
    if isinstance(arg, tuple):
        return frozenset().union(*map(_in_args, arg))
    return arg.symbols if isinstance(arg, Dim) else frozenset()
