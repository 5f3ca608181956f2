"""Sizes that a call finds in data: which node of a typed graph finds them."""

from __future__ import annotations

from unmoor.ir.builtin import BUILTINS
from unmoor.ir.graph import Node, tensor_type
from unmoor.ops import TABLE


def found_by(node: Node) -> tuple[str, ...]:
    """The symbols of the sizes that a node finds, in the order in which its builtin gives them."""
    op = TABLE.get(node.op)
    if op is None or op.builtin is None or not BUILTINS[op.builtin.name].gives:
        return ()
    return tuple(d.symbol for d in tensor_type(node.outputs[0]).shape if d.symbol is not None)
