"""Lowers concatenation: inside the loops over the axes before the joined one, one loop nest per operand."""

from __future__ import annotations

from unmoor.ir.dim import const, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Loop, Store
from unmoor.kernels.elements import Elements, nothing_special
from unmoor.kernels.nest import Nest, close_inside, loop_inside
from unmoor.ops.access import ZERO, Index, linear


def lower_join(node: Node, buffers: dict[Value, str]) -> Loop:
    """The kernel's body."""
    block = node.blocks[0]
    cat = block.nodes[-1]
    tensors, axis = cat.args[0], int(str(cat.args[1]))
    assert isinstance(tensors, tuple)
    shape = tensor_type(cat.output).shape
    outer = [(f"i{a}", e) for a, e in enumerate(shape[:axis]) if e != 1]
    nest = Nest(outer)
    extents = dict(outer)
    start = const(0)
    for number, tensor in enumerate(tensors):
        assert isinstance(tensor, Value)
        part = tensor_type(tensor).shape
        axes = [(f"j{number}_{a}", part[a]) for a in range(axis, len(part)) if part[a] != 1]
        extents.update(axes)
        names = {f"j{number}_{a}" for a in range(axis, len(part)) if part[a] != 1}
        point: Index = tuple(
            (sym(f"i{a}") if shape[a] != 1 else ZERO)
            if a < axis
            else sym(f"j{number}_{a}")
            if f"j{number}_{a}" in names
            else ZERO
            for a in range(len(part))
        )
        place = tuple(i + start if a == axis else i for a, i in enumerate(point))
        scopes, inner = loop_inside(nest.inner, axes)
        value = Elements(block, buffers, extents, nothing_special).at(tensor, point, inner)
        inner.statements.append(Store(buffers[cat.output], linear(place, shape), value))
        close_inside(nest.inner, axes, scopes)
        start = start + part[axis]
    return nest.close()
