"""Lowers scans: for each place outside the axis, a loop along it that carries running values in a local buffer."""

from __future__ import annotations

from unmoor.ir.dim import Dim, dmin, product, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Buffer, Loop, Store
from unmoor.ir.scalar import Load, cast
from unmoor.kernels.elements import Elements, nothing_special
from unmoor.kernels.nest import Axis, Nest, close_inside, loop_inside
from unmoor.kernels.scope import Scope
from unmoor.ops import TABLE
from unmoor.ops.access import ZERO, linear
from unmoor.ops.scan import Combine

RUNNING = "t0"


class ScanLowering:
    """Builds the loop nest of a scan. The axes behind the scanned one are inner loops, and run in vectors."""

    def __init__(self, node: Node, buffers: dict[Value, str]) -> None:
        block = node.blocks[0]
        self.scan = block.nodes[-1]
        self.source, self.axis = self.scan.inputs[0], int(str(self.scan.args[1]))
        combine = TABLE[self.scan.op].lower
        assert isinstance(combine, Combine)
        self.combine = combine
        self.shape = tensor_type(self.source).shape
        self.dtype = tensor_type(self.source).dtype
        self.outer = [(f"i{a}", e) for a, e in enumerate(self.shape[: self.axis]) if e != 1]
        self.rest = [(f"i{a}", e) for a, e in enumerate(self.shape) if a > self.axis and e != 1]
        rows = product(self.shape[self.axis + 1 :])
        self.locals = [Buffer(RUNNING, combine.running(self.dtype), rows, "local")]
        self.result = buffers[self.scan.output]
        extents = dict((*self.outer, *self.rest, ("k", self.shape[self.axis])))
        self.elements = Elements(block, buffers, extents, nothing_special)

    def lower(self) -> Loop:
        """The kernel's body: the first element starts the running values, each further one changes them."""
        nest = Nest(self.outer)
        size = self.shape[self.axis]
        self._along(nest.inner, ("z", dmin(size, 1)), sym("z"), first=True)
        self._along(nest.inner, ("k", size - 1), sym("k") + 1, first=False)
        return nest.close()

    def _along(self, scope: Scope, loop: Axis, place: Dim, first: bool) -> None:
        """A loop along the axis, with the loops over the axes behind it inside."""
        axes = [loop, *self.rest]
        scopes, inner = loop_inside(scope, axes)
        index = tuple(place if a == self.axis else ZERO if e == 1 else sym(f"i{a}") for a, e in enumerate(self.shape))
        row = linear(index[self.axis + 1 :], self.shape[self.axis + 1 :])
        running = self.combine.running(self.dtype)
        value = cast(self.elements.at(self.source, index, inner), running)
        if not first:
            value = self.combine.fn(Load(RUNNING, row, running), value)
        named = inner.bind(value)
        inner.statements.append(Store(RUNNING, row, named))
        inner.statements.append(Store(self.result, linear(index, self.shape), cast(named, self.dtype)))
        close_inside(scope, axes, scopes)
