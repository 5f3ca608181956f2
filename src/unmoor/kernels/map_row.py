"""Lowers map and row groups: pointwise work over an index space, with reductions along some of its axes."""

from __future__ import annotations

import math
from functools import partial

from unmoor.dtypes import i64
from unmoor.ir.dim import Dim, const, product, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Buffer, Fold, Loop, Store
from unmoor.ir.op import Kind
from unmoor.ir.scalar import Expr, Load, Ref
from unmoor.kernels.elements import Elements, unpadded
from unmoor.kernels.nest import Nest, close_inside, loop_inside
from unmoor.kernels.phases import kept_values
from unmoor.kernels.scope import Scope
from unmoor.ops import TABLE
from unmoor.ops.access import ZERO, Index, linear, through_view

NEUTRAL = {"add": 0, "max": -math.inf, "min": math.inf}  # what a padding holds that a fold does not notice


class RowLowering:
    """Builds the loop nest of one map or row group. Without reductions every axis is kept and there is one pass."""

    def __init__(self, node: Node, buffers: dict[Value, str]) -> None:
        self.block = node.blocks[0]
        self.reductions = [n for n in self.block.nodes if TABLE[n.op].kind is Kind.REDUCE]
        self.shape = self._shape()
        self.folded = self._folded()
        self.point: Index = tuple(ZERO if e == 1 else sym(f"i{a}") for a, e in enumerate(self.shape))
        self.extents = {f"i{a}": e for a, e in enumerate(self.shape)}
        self.buffers = buffers
        self.elements = Elements(self.block, buffers, self.extents, self._reduce)
        self.locals: list[Buffer] = []
        self.at_output: set[Value] = set()  # kept values that stand where an output is
        self.pending: list[Value] = []  # kept values that no pass has computed yet
        self.full = self._full_values()
        self.written: set[Value] = set()

    # -- the space ----------------------------------------------------------------------------
    def _shape(self) -> tuple[Dim, ...]:
        if self.reductions:
            return tensor_type(self.reductions[0].inputs[0]).shape
        (first, *_) = self.block.results
        assert isinstance(first, Value)
        return tensor_type(first).shape

    def _folded(self) -> frozenset[int]:
        if not self.reductions:
            return frozenset()
        dims = self.reductions[0].args[1]
        assert isinstance(dims, tuple)
        return frozenset(int(str(d)) for d in dims)

    def _full_values(self) -> set[Value]:
        """Values with one element per point; in a map group that is every result."""
        return {
            v
            for n in self.block.nodes
            for v in n.outputs
            if self.folded and tensor_type(v).shape == self.shape and TABLE[n.op].kind is not Kind.REDUCE
        }

    def _axes(self, folded: bool) -> list[tuple[str, Dim]]:
        return [(f"i{a}", e) for a, e in enumerate(self.shape) if (a in self.folded) is folded and e != 1]

    def _row_index(self, shape: tuple[Dim, ...]) -> Index:
        """The index of a row value, kept axes only, at the point."""
        if len(shape) == len(self.shape):
            return tuple(ZERO if a in self.folded else i for a, i in enumerate(self.point))
        return tuple(i for a, i in enumerate(self.point) if a not in self.folded)

    # -- building -----------------------------------------------------------------------------
    def lower(self) -> Loop:
        """The kernel's body."""
        nest = Nest(self._axes(folded=False))
        row = nest.inner
        if self.folded:
            self._plan_kept()
            for reduction in self.reductions:  # in order: a pass may read what an earlier one has kept
                self.elements.at(reduction.output, self._row_index(tensor_type(reduction.output).shape), row)
        for result in self.block.results:
            assert isinstance(result, Value)
            if result not in self.full:
                index = self._row_index(tensor_type(result).shape) if self.folded else self.point
                self._store(result, index, row)
        self._last_pass(row)
        return nest.close()

    def _plan_kept(self) -> None:
        """Gives each kept value a buffer: an output, or a local row. Only where rows lie in memory in order.

        The place of a row's only result may hold another value until the last pass: its memory is then fetched while
        the row is being computed, and not in the pass that has little else to do.
        """
        if set(self.folded) != set(range(len(self.shape) - len(self.folded), len(self.shape))):
            return
        row = product(self.shape[a] for a in sorted(self.folded))
        kept = kept_values(self.block, self.full)
        free = [r for r in self.block.results if isinstance(r, Value) and r in self.full and r not in kept]
        for value in kept:
            type_ = tensor_type(value)
            if value in self.block.results:
                self.at_output.add(value)
            elif len(free) == 1 and self._reads(free[0], value) and tensor_type(free[0]).dtype is type_.dtype:
                self.buffers[value] = self.buffers[free.pop()]
                self.at_output.add(value)
            else:
                name = f"t{len(self.locals)}"
                self.locals.append(Buffer(name, type_.dtype, row, "local"))
                self.buffers[value] = name
            self.pending.append(value)

    def _reads(self, result: Value, value: Value) -> bool:
        """Whether an elementwise op of the last pass makes `result` from `value` itself."""
        return any(result in n.outputs and value in n.inputs for n in self.block.nodes)

    def _place(self, value: Value, index: Index) -> Load:
        """Where a kept value's element is: in its output buffer, or at the row's place in a local one."""
        type_ = tensor_type(value)
        if value in self.at_output:
            return Load(self.buffers[value], linear(index, type_.shape), type_.dtype)
        first = min(self.folded)
        return Load(self.buffers[value], linear(index[first:], type_.shape[first:]), type_.dtype)

    def _store(self, value: Value, index: Index, scope: Scope) -> None:
        expr = self.elements.at(value, index, scope)
        scope.statements.append(Store(self.buffers[value], linear(index, tensor_type(value).shape), expr))
        self.written.add(value)

    def _keep(self, scope: Scope) -> None:
        """In a pass over the row: writes the kept values that this pass has just computed for the first time."""
        for value in list(self.pending):
            known = scope.known.get((value, self.point))
            if known is not None:
                place = self._place(value, self.point)
                scope.statements.append(Store(place.buffer, place.index, known))
                self.elements.stored[value] = partial(self._place, value)
                self.pending.remove(value)
                self.written.add(value)

    def _reduce(self, node: Node, index: Index, scope: Scope) -> Expr:
        """The reduction's value: a fold in the row's scope."""
        axes = self._axes(folded=True) or [(f"i{min(self.folded)}", const(1))]
        inner = Scope(scope, frozenset(var for var, _ in axes))
        inside = self._inside(node, tuple(var for var, _ in axes))
        value = self.elements.at(node.inputs[0], self.point, inner)
        self._keep(inner)
        name = scope.fresh()
        fn = str(TABLE[node.op].lower)
        scope.statements.append(Fold(name, fn, tuple(axes), tuple(inner.statements), value, inside))
        return Ref(name, i64 if fn in ("argmax", "argmin") else value.dtype)

    def _inside(self, node: Node, axes: tuple[str, ...]) -> tuple[tuple[Dim, Dim], ...]:
        """The bounds of a fold over windows of a padded tensor, whose padding need not be read: a sum of products with
        0 or a largest element beside -inf is what the places inside give."""
        neutral = NEUTRAL.get(str(TABLE[node.op].lower))
        value, index = node.inputs[0], self.point
        while neutral is not None and tensor_type(value).dtype.is_float and self.elements.uses[value] == 1:
            producer = self.elements.producer.get(value)
            if producer is None:
                break
            kind = TABLE[producer.op].kind
            if kind is Kind.VIEW:
                index = through_view(producer, index, self.extents)
                (value,) = producer.inputs
            elif producer.op == "aten::mul" and neutral == 0 and isinstance(factor := producer.args[0], Value):
                if tensor_type(factor).shape != tensor_type(value).shape:
                    break
                value = factor
            elif kind is Kind.PAD and producer.args[3] == neutral:
                return self._bounds(producer, index, axes)
            else:
                break
        return ()

    def _bounds(self, pad: Node, index: Index, axes: tuple[str, ...]) -> tuple[tuple[Dim, Dim], ...]:
        """The places of a padding's source at an index, which must stay inside it; none where a fold cannot tell."""
        (source,) = pad.inputs
        before, after = pad.args[1:3]
        assert isinstance(before, tuple) and isinstance(after, tuple)
        if not all(isinstance(p, int) or (isinstance(p, Dim) and p.is_const) for p in (*before, *after)):
            return ()
        padded = [a for a, (p, q) in enumerate(zip(before, after, strict=True)) if p != 0 or q != 0]
        place = unpadded(pad, index)
        bounds = tuple((place[a], tensor_type(source).shape[a]) for a in padded)
        if not all(_along_one(position, axes) for position, _ in bounds):
            return ()
        self.elements.unread.add(pad)
        return bounds

    def _last_pass(self, row: Scope) -> None:
        left = [r for r in self.block.results if isinstance(r, Value) and r in self.full and r not in self.written]
        if not left:
            return
        axes = self._axes(folded=True)
        scopes, inner = loop_inside(row, axes)
        for result in left:
            self._store(result, self.point, inner)
        close_inside(row, axes, scopes)


def _along_one(position: Dim, axes: tuple[str, ...]) -> bool:
    """Whether a position moves on along one of the axes, by a constant step."""
    steps = [position.coefficient(v) for v in axes]
    moving = [s for s in steps if s != 0]
    return len(moving) == 1 and moving[0] is not None and moving[0].is_const and moving[0].value > 0
