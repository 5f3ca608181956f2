"""Lowers writes at indices: copies the tensor, then writes place after place, all in one turn of the outermost loop."""

from __future__ import annotations

from unmoor.ir.dim import Dim, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Loop, Store
from unmoor.ir.scalar import Load
from unmoor.kernels.elements import Elements, nothing_special
from unmoor.kernels.nest import Axis, Nest, close_inside, loop_inside
from unmoor.ops import TABLE
from unmoor.ops.access import ZERO, Index, linear


def lower_scatter(node: Node, buffers: dict[Value, str]) -> Loop:
    """The kernel's body. Places may be met again, so their order is kept: nothing here runs side by side."""
    block = node.blocks[0]
    put = block.nodes[-1]
    x, indices, axes, at, values, how = put.args
    assert isinstance(x, Value) and isinstance(values, Value) and isinstance(indices, tuple) and isinstance(axes, tuple)
    shape, dtype = tensor_type(x).shape, tensor_type(x).dtype
    first, indexed = int(str(at)), [int(str(a)) for a in axes]
    (found, *_) = (tensor_type(i).shape for i in indices if isinstance(i, Value))
    copied, copy_point = _loops("c", shape)
    turns, here = _loops("i", found)
    along, rest = _loops("j", tuple(d for a, d in enumerate(shape) if a not in indexed))
    elements = Elements(block, buffers, dict((*copied, *turns, *along)), nothing_special)
    nest = Nest(())
    result = buffers[put.output]

    scopes, inner = loop_inside(nest.inner, copied)
    element = elements.at(x, copy_point, inner)
    inner.statements.append(Store(result, linear(copy_point, shape), element))
    close_inside(nest.inner, copied, scopes)

    axes_of_loops = [*turns, *along]
    scopes, inner = loop_inside(nest.inner, axes_of_loops)
    named = dict(zip(indexed, indices, strict=True))
    others = iter(rest)
    place: list[Dim] = []
    for a, extent in enumerate(shape):
        tensor = named.get(a)
        place.append(elements.place(tensor, here, extent, inner) if isinstance(tensor, Value) else next(others))
    target = linear(tuple(place), shape)
    value = elements.at(values, (*rest[:first], *here, *rest[first:]), inner)
    combine = TABLE[put.op].lower[str(how)]
    if combine is not None:
        value = combine(Load(result, target, dtype), value)
    inner.statements.append(Store(result, target, value))
    close_inside(nest.inner, axes_of_loops, scopes)
    return nest.close()


def _loops(letter: str, shape: tuple[Dim, ...]) -> tuple[list[Axis], Index]:
    """Loops over a shape, and the index at their point; an axis of size 1 needs no loop."""
    axes = [(f"{letter}{a}", e) for a, e in enumerate(shape) if e != 1]
    return axes, tuple(ZERO if e == 1 else sym(f"{letter}{a}") for a, e in enumerate(shape))
