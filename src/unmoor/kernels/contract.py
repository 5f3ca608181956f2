"""Lowers contraction groups: a matmul with the pointwise work after it, and the packing of its right operand."""

from __future__ import annotations

from unmoor.ir.dim import Dim, bounded_divide, const, product, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Contract, Loop, Panels, Store
from unmoor.ir.op import Kind
from unmoor.ir.scalar import Expr, Load, Ref
from unmoor.kernels.elements import Elements, nothing_special
from unmoor.kernels.nest import Nest
from unmoor.kernels.scope import Scope
from unmoor.ops import TABLE
from unmoor.ops.access import Index, broadcast_index, linear

CONVOLVE = "prim::convolve"
PACKED = ("prim::matmul_panels", CONVOLVE)


def panels_of(value: Value) -> Panels:
    """The packed layout of a right operand [..., k, n]."""
    *batch, k, n = tensor_type(value).shape
    return Panels(product(batch), k, n)


def loop_axes(shape: tuple[Dim, ...]) -> tuple[list[tuple[str, Dim]], Index]:
    """Loops over batch, row and column axes, and the index at their point. Row and column always have a loop."""
    last = len(shape) - 2
    axes = [(f"i{a}", e) for a, e in enumerate(shape) if a >= last or e != 1]
    point = tuple(sym(f"i{a}") if a >= last or e != 1 else Dim({}) for a, e in enumerate(shape))
    return axes, point


class ContractLowering:
    """Builds the loop nest of one contraction group."""

    def __init__(self, node: Node, buffers: dict[Value, str]) -> None:
        self.block = node.blocks[0]
        self.buffers = buffers
        (self.matmul,) = (n for n in self.block.nodes if TABLE[n.op].kind is Kind.CONTRACT)
        self.axes, self.point = loop_axes(tensor_type(self.matmul.output).shape)
        depth = tensor_type(self.matmul.inputs[1]).shape[-2]
        self.elements = Elements(self.block, buffers, {**dict(self.axes), "k": depth}, self._contract)

    def lower(self) -> Loop:
        """The kernel's body."""
        nest = Nest(self.axes)
        for result in self.block.results:
            assert isinstance(result, Value)
            index = broadcast_index(self.point, tensor_type(result).shape)
            expr = self.elements.at(result, self.point, nest.inner)
            nest.inner.statements.append(Store(self.buffers[result], linear(index, tensor_type(result).shape), expr))
        return nest.close()

    def _contract(self, node: Node, index: Index, scope: Scope) -> Expr:
        left, right = node.inputs
        if node.op == CONVOLVE:
            return self._convolve(node, left, right, scope)
        k = tensor_type(left).shape[-1]
        axis = sym("k")
        inner = Scope(scope, frozenset(("k",)))
        *batch, row, column = self.point
        a = self.elements.at(left, (*batch, row, axis), inner)
        if node.op in PACKED:
            shape = tensor_type(right).shape
            place = (*broadcast_index(tuple(batch), shape[:-2]), axis, column)
            b: Expr = Load(self.buffers[right], linear(place, shape), tensor_type(right).dtype)
        else:
            shared = broadcast_index(tuple(batch), tensor_type(right).shape[:-2])  # one matrix may serve every batch
            b = self.elements.at(right, (*shared, axis, column), inner)
        assert isinstance(a, Load) and isinstance(b, Load), "contraction operands are read from memory"
        name = scope.fresh()
        scope.statements.append(Contract(name, (("k", k),), a, b))
        return Ref(name, a.dtype)

    def _convolve(self, node: Node, left: Value, right: Value, scope: Scope) -> Expr:
        """The k axes are those of the taps; the last taps and the channels lie side by side, and are one axis."""
        taps, steps, dilations = (tuple(int(str(a)) for a in arg) for arg in node.args[2:5] if isinstance(arg, tuple))
        source, matrix = tensor_type(left), tensor_type(right)
        _, *spatial, groups, channels = source.shape
        *_, row, column = self.point
        group = self.point[0] if matrix.rank == 3 and matrix.shape[0] != 1 else const(0)
        extents = dict(self.axes)
        place: list[Dim] = []
        rest = row
        for extent, tap, step, dilation in reversed(list(zip(spatial, taps, steps, dilations, strict=True))):
            count = (extent - (dilation * (tap - 1) + 1)) // step + 1
            rest, at = bounded_divide(rest, count, extents)
            place.insert(0, at * step)
        merged = dilations[-1] == 1 and groups == 1
        sizes = (*map(const, taps[:-1]), channels * taps[-1]) if merged else (*map(const, taps), channels)
        names = [f"k{a}" for a in range(len(sizes))]
        axes = tuple((n, s) for n, s in zip(names, sizes, strict=True) if s != 1) or ((names[-1], const(1)),)
        k = [sym(n) if any(n == m for m, _ in axes) else const(0) for n in names]
        reach = [p + i * d for p, i, d in zip(place, k, dilations, strict=False)]
        if merged:
            reach[-1] = place[-1]
        a = linear((rest, *reach, group, const(0)), source.shape) + k[-1]
        depth = linear(tuple(k), sizes)
        b = linear((*self.point[:-2], depth, column), matrix.shape)
        name = scope.fresh()
        left_load = Load(self.buffers[left], a, source.dtype)
        scope.statements.append(Contract(name, axes, left_load, Load(self.buffers[right], b, matrix.dtype)))
        return Ref(name, source.dtype)


def lower_pack(node: Node, buffers: dict[Value, str]) -> Loop:
    """The body of a kernel that copies a matrix [..., k, n] into panels."""
    block = node.blocks[0]
    (result,) = block.results
    assert isinstance(result, Value)
    pack = block.nodes[-1]
    axes, point = loop_axes(tensor_type(result).shape)
    elements = Elements(block, buffers, dict(axes), nothing_special)
    nest = Nest(axes)
    value = elements.at(pack.inputs[0], point, nest.inner)
    nest.inner.statements.append(Store(buffers[result], linear(point, tensor_type(result).shape), value))
    return nest.close()
