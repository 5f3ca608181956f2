"""Builtins of the runtime: which values, scratch and ints a node's call of one takes."""

from __future__ import annotations

from dataclasses import dataclass

from unmoor.dtypes import DType
from unmoor.ir.builtin import BUILTINS
from unmoor.ir.dim import Dim, dim, product
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ops import TABLE


@dataclass(frozen=True)
class BuiltinUse:
    """A node's call of a builtin: values in the order of its buffers, then the dtype and elements of each scratch."""

    name: str
    operands: tuple[Value, ...]
    scratch: tuple[tuple[DType, Dim], ...]
    ints: tuple[Dim, ...]


def is_builtin(node: Node) -> bool:
    """Whether a builtin of the runtime makes what the node gives."""
    return node.op in TABLE and TABLE[node.op].builtin is not None


def builtin_use(node: Node) -> BuiltinUse:
    """The call that a node of the kind BUILTIN is."""
    use = TABLE[node.op].builtin
    assert use is not None
    builtin = BUILTINS[use.name]
    ints = tuple(dim(i) for i in use.ints(*(tensor_type(a) if isinstance(a, Value) else a for a in node.args)))
    named = {i.name: value for i, value in zip(builtin.ints, ints, strict=True)}
    any_dtype = tensor_type((*node.inputs, *node.outputs)[0]).dtype
    scratch = tuple(
        (b.dtype or any_dtype, product(named[s] for s in b.sizes) * b.times)
        for b in builtin.buffers
        if b.role == "local"
    )
    return BuiltinUse(use.name, (*node.inputs, *node.outputs), scratch, ints)
