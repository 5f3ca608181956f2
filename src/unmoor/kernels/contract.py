"""Lowers contraction groups: a matmul with the pointwise work after it, and the packing of its right operand."""

from __future__ import annotations

from unmoor.ir.dim import Dim, const, product, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Contract, Loop, Panels, Store
from unmoor.ir.op import Kind
from unmoor.ir.scalar import Expr, Load, Ref
from unmoor.kernels.elements import Elements, nothing_special
from unmoor.kernels.merge_outer import merge_outer
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


def loop_axes(shape: tuple[Dim, ...], first: int = 0) -> tuple[list[tuple[str, Dim]], Index]:
    """Loops over batch, row and column axes, and the index at their point. Row and column always have a loop; the axis
    `first` has the outermost."""
    order = sorted(range(len(shape)), key=lambda a: (a != first, a))
    looped = {a for k, a in enumerate(order) if k >= len(shape) - 2 or shape[a] != 1}
    axes = [(f"i{a}", shape[a]) for a in order if a in looped]
    point = tuple(sym(f"i{a}") if a in looped else Dim({}) for a in range(len(shape)))
    return axes, point


class ContractLowering:
    """Builds the loop nest of one contraction group."""

    def __init__(self, node: Node, buffers: dict[Value, str]) -> None:
        self.block = node.blocks[0]
        self.buffers = buffers
        (self.matmul,) = (n for n in self.block.nodes if TABLE[n.op].kind is Kind.CONTRACT)
        shape, matrix = (tensor_type(v).shape for v in (self.matmul.output, self.matmul.inputs[1]))
        self.grouped = self.matmul.op == CONVOLVE and len(matrix) == 3
        self.axes, self.point = loop_axes(shape, len(shape) - 2 if self.grouped else 0)
        depth = matrix[-2]
        self.contracted: Expr | None = None
        extents = {**dict(self.axes), "k": depth}
        self.elements = Elements(self.block, buffers, extents, self._contract, self._after_contraction())

    def lower(self) -> Loop:
        """The kernel's body."""
        nest = Nest(self.axes)
        for result in self.block.results:
            assert isinstance(result, Value)
            index = broadcast_index(self.point, tensor_type(result).shape)
            expr = self.elements.at(result, self.point, nest.inner)
            nest.inner.statements.append(Store(self.buffers[result], linear(index, tensor_type(result).shape), expr))
        return merge_outer(nest.close())

    def _after_contraction(self) -> frozenset[Value]:
        """The values made of the contraction's: with one row or column alone, their index does not name its loop."""
        made = set(self.matmul.outputs)
        for node in self.block.nodes:
            if not made.isdisjoint(node.inputs):
                made.update(node.outputs)
        return frozenset(made)

    def _contract(self, node: Node, index: Index, scope: Scope) -> Expr:
        if self.contracted is not None:  # there is one point: other indices name it without the loops of one turn
            return self.contracted
        left, right = node.inputs
        if node.op == CONVOLVE:
            self.contracted = self._convolve(node, left, right, scope)
            return self.contracted
        k = tensor_type(left).shape[-1]
        axis = sym("k")
        *batch, row, column = self.point
        a = self.elements.load(left, (*batch, row, axis))
        if node.op in PACKED:
            shape = tensor_type(right).shape
            place = (*broadcast_index(tuple(batch), shape[:-2]), axis, column)
            b = Load(self.buffers[right], linear(place, shape), tensor_type(right).dtype)
        else:
            shared = broadcast_index(tuple(batch), tensor_type(right).shape[:-2])  # one matrix may serve every batch
            b = self.elements.load(right, (*shared, axis, column))
        name = scope.fresh()
        scope.statements.append(Contract(name, (("k", k),), a, b))
        self.contracted = Ref(name, a.dtype)
        return self.contracted

    def _convolve(self, node: Node, left: Value, right: Value, scope: Scope) -> Expr:
        """The k axes are the taps and, last, the channels. Padding is never read: its places are not inside."""
        taps, steps, dilations, before, after = (
            tuple(int(str(a)) for a in arg) for arg in node.args[2:] if isinstance(arg, tuple)
        )
        source, matrix = tensor_type(left), tensor_type(right)
        _, *spatial, _, channels = source.shape
        *outer, column = self.point
        group = outer.pop() if self.grouped else const(0)
        image, *places = outer
        axes: list[tuple[str, Dim]] = []
        inside: list[tuple[Dim, Dim]] = []
        k: list[Dim] = []
        reach: list[Dim] = []
        for a, place in enumerate(places):
            padded = before[a] != 0 or after[a] != 0
            counts = taps[a] != 1 or padded
            k.append(sym(f"k{a}") if counts else const(0))
            axes += [(f"k{a}", const(taps[a]))] if counts else []
            reach.append(place * steps[a] + k[a] * dilations[a] - before[a])
            inside += [(reach[a], spatial[a])] if padded else []
        axes.append(("kc", channels))
        k.append(sym("kc"))
        at = linear((image, *reach, group, k[-1]), source.shape)
        depth = linear(tuple(k), (*map(const, taps), channels))
        matrices = (group,) if self.grouped else ()
        name = scope.fresh()
        a_load = Load(self.buffers[left], at, source.dtype)
        b_load = Load(self.buffers[right], linear((*matrices, depth, column), matrix.shape), matrix.dtype)
        scope.statements.append(Contract(name, tuple(axes), a_load, b_load, tuple(inside)))
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
