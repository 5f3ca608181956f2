"""Lowers attention groups: some rows of scores at a time, a softmax of them, and their product with the values.

The scores of a block of rows stay in a local buffer: the matrix of all of them is never written. Keys that a causal
mask hides from a whole block are left out of all three steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from unmoor.dtypes import i64
from unmoor.ir.dim import Dim, dmin, product, sym
from unmoor.ir.graph import Block, Node, Value, tensor_type
from unmoor.ir.kernel import Buffer, Contract, Fold, Loop, Store
from unmoor.ir.op import Kind
from unmoor.ir.scalar import Expr, Load, Ref
from unmoor.ir.walk import rewrite_dims_of
from unmoor.kernels.contract import PACKED
from unmoor.kernels.elements import Elements
from unmoor.kernels.phases import kept_values
from unmoor.kernels.scope import Scope
from unmoor.ops import TABLE
from unmoor.ops.access import ZERO, Index, broadcast_index, linear

ROWS = 24  # of a block: whole register tiles of 6 and of 8, and few enough for their scores to stay in the second cache
BASE = "base"  # the first row of a block


class _OverwrittenError(Exception):
    """Scores are read after the memory that they stood in has been given to what was made of them."""


def lower_attention(node: Node, buffers: dict[Value, str]) -> tuple[Loop, tuple[Buffer, ...]]:
    """The kernel's body and its local buffers: one row for scores and weights where that is enough, else two."""
    try:
        work = _Lowering(node, buffers, apart=False)
        return work.lower(), tuple(work.locals)
    except _OverwrittenError:
        work = _Lowering(node, buffers, apart=True)
        return work.lower(), tuple(work.locals)


class _Lowering:
    """Builds the loop nest of one attention group. Rows and batch axes have symbols of their own until the end."""

    def __init__(self, node: Node, buffers: dict[Value, str], apart: bool) -> None:
        self.apart = apart
        self.block = node.blocks[0]
        self.buffers = dict(buffers)
        self.first, self.second = (n for n in self.block.nodes if TABLE[n.op].kind is Kind.CONTRACT)
        *batch, self.rows, self.keys = tensor_type(self.first.output).shape
        self.columns = tensor_type(self.second.output).shape[-1]
        self.batch = [(f"i{a}", e) for a, e in enumerate(batch) if e != 1]
        self.outer: Index = tuple(ZERO if e == 1 else sym(f"i{a}") for a, e in enumerate(batch))
        self.extents = dict(self.batch)
        self.elements = Elements(self.block, self.buffers, self.extents, self._special)
        self.weights = self.second.inputs[0]
        self.scores = self._scores()
        self.seen = self._seen()
        self.pending: list[Value] = []
        self.locals: list[Buffer] = []
        self.passes = 0

    # -- what is kept -------------------------------------------------------------------------
    def _dependent(self, roots: list[Node]) -> set[Value]:
        """The values made of those of some nodes."""
        made = {v for n in roots for v in n.outputs}
        for node in self.block.nodes:
            if not made.isdisjoint(node.inputs):
                made.update(node.outputs)
        return made

    def _reductions(self) -> list[Node]:
        return [n for n in self.block.nodes if TABLE[n.op].kind is Kind.REDUCE]

    def _scores(self) -> Value:
        """What the first step leaves: the product after all that is done to each of its elements first."""
        value, later = self.first.output, self._dependent(self._reductions())
        while True:
            (reader, *others) = [n for n in self.block.nodes if value in n.inputs]
            if others or TABLE[reader.op].kind is not Kind.MAP or reader.output in later or value is self.weights:
                return value
            if tensor_type(reader.output).dtype is not tensor_type(self.first.output).dtype:
                return value
            value = reader.output

    def _seen(self) -> Dim:
        """How many keys a block of rows can see."""
        masked = self.elements.producer[self.scores]
        if masked.op == "aten::where" and masked.args[2] == -math.inf and isinstance(mask := masked.args[0], Value):
            source = self.elements.producer.get(mask)
            if source is not None and source.op == "prim::lower_triangle" and self._hidden_keys_count_for_nothing():
                return dmin(self.keys, sym(BASE) + ROWS)
        return self.keys

    def _hidden_keys_count_for_nothing(self) -> bool:
        """Whether a score of -inf is no maximum, adds 0 to sums, and weighs 0, as in a softmax of rows with a key."""
        at: dict[Value, float] = {self.scores: -math.inf}  # what the value is where its score is -inf
        for node in self.block.nodes:
            if node is self.second or self.second.output in node.inputs:
                break
            hidden = [at[v] for v in node.inputs if v in at]
            if not hidden:
                continue
            if TABLE[node.op].kind is Kind.REDUCE:
                if (node.op, hidden[0]) not in (("prim::amax", -math.inf), ("prim::sum", 0.0)):
                    return False
            elif node.op == "aten::sub" and at.get(node.inputs[0]) == -math.inf and len(hidden) == 1:
                at[node.output] = -math.inf
            elif node.op == "aten::exp" and hidden[0] == -math.inf:
                at[node.output] = 0.0
            else:
                return False
        return at.get(self.weights) == 0

    def _row_results(self) -> list[Value]:
        """Values of one element a row that the last step reads."""
        after, kept = self._dependent([self.second]), self._dependent(self._reductions()) - {self.weights}
        reads = {
            v for n in self.block.nodes if not after.isdisjoint(n.outputs) and n is not self.second for v in n.inputs
        }
        return [v for n in self.block.nodes for v in n.outputs if v in reads and v in kept and v not in after]

    def _local(self, dtype: object, numel: Dim) -> str:
        name = f"t{len(self.locals)}"
        self.locals.append(Buffer(name, dtype, numel, "local"))  # type: ignore[arg-type]
        return name

    # -- building -----------------------------------------------------------------------------
    def lower(self) -> Loop:
        """The kernel's body."""
        dtype = tensor_type(self.scores).dtype
        height = dmin(ROWS, self.rows)
        self.slab = self._local(dtype, height * self.keys)
        outer = Scope(None, frozenset(var for var, _ in self.batch) | {BASE})
        self._score(outer)
        self._normalise(outer, height)
        self._mix(outer)
        blocks = (self.rows + (ROWS - 1)) // ROWS
        place = self._places(blocks)
        body = tuple(rewrite_dims_of(s, lambda d: d.substitute(place)) for s in outer.statements)
        return Loop("p", product(e for _, e in self.batch) * blocks, body)

    def _places(self, blocks: Dim) -> dict[str, Dim]:
        """The symbols of rows and batch axes over the one loop around everything."""
        rest = sym("p")
        base = (rest % blocks if self.batch else rest) * ROWS
        rest = rest // blocks
        place = {BASE: base, **{f"r{k}": base + sym(f"r{k}") for k in range(3)}}
        for number, (var, extent) in reversed(list(enumerate(self.batch))):
            place[var] = rest % extent if number else rest
            rest = rest // extent
        return place

    def _rows_scope(self, outer: Scope, step: int) -> Scope:
        self.extents[f"r{step}"] = self.rows
        return Scope(outer, frozenset((f"r{step}",)))

    def _close(self, outer: Scope, step: int, rows: Scope) -> None:
        outer.statements.append(Loop(f"r{step}", dmin(ROWS, self.rows - sym(BASE)), tuple(rows.statements)))

    def _columns(self, rows: Scope, extent: Dim) -> tuple[str, Scope]:
        """The scope of one more loop along a row."""
        var = f"j{self.passes}"
        self.passes += 1
        self.extents[var] = extent
        return var, Scope(rows, frozenset((var,)))

    def _place(self, slab: str, index: Index) -> Load:
        """Where a block's buffer holds what belongs to an index."""
        return Load(slab, (index[-2] - sym(BASE)) * self.keys + index[-1], tensor_type(self.scores).dtype)

    def _store(self, value: Value, index: Index, scope: Scope) -> None:
        expr = self.elements.at(value, index, scope)
        scope.statements.append(Store(self.slab, self._place(self.slab, index).index, expr))
        self.elements.stored[value] = partial(self._place, self.slab)

    def _keep(self, index: Index, scope: Scope) -> None:
        """In a pass along a row: writes what later passes need and this one has just computed for the first time."""
        for value in list(self.pending):
            known = scope.known.get((value, index))
            if known is None:
                continue
            slab = self.slab
            if self.apart:
                slab = self._local(tensor_type(value).dtype, dmin(ROWS, self.rows) * self.keys)
            elif len(self.elements.stored) > 1 or not isinstance(known, Ref):
                raise _OverwrittenError
            else:
                self.elements.stored[self.scores] = _overwritten
            scope.statements.append(Store(slab, self._place(slab, index).index, known))
            self.elements.stored[value] = partial(self._place, slab)
            self.pending.remove(value)

    def _score(self, outer: Scope) -> None:
        rows = self._rows_scope(outer, 0)
        var, inner = self._columns(rows, self.keys)
        self._store(self.scores, (*self.outer, sym("r0"), sym(var)), inner)
        rows.statements.append(Loop(var, self.seen, tuple(inner.statements)))
        self._close(outer, 0, rows)

    def _normalise(self, outer: Scope, height: Dim) -> None:
        rows = self._rows_scope(outer, 1)
        block = Block(self.block.params, self.block.nodes, (self.weights, *self._row_results()))
        shape = tensor_type(self.scores).shape
        later = self._dependent(self._reductions())
        full = {v for v in later if tensor_type(v).shape == shape} - self._dependent([self.second])
        self.pending = kept_values(block, full)
        for node in self._reductions():
            self.elements.at(node.output, self._row(node.output, "r1"), rows)
        if self.weights not in self.elements.stored:
            var, inner = self._columns(rows, self.keys)
            self._store(self.weights, (*self.outer, sym("r1"), sym(var)), inner)
            rows.statements.append(Loop(var, self.seen, tuple(inner.statements)))
        for value in self._row_results():
            name = self._local(tensor_type(value).dtype, height)
            expr = self.elements.at(value, self._row(value, "r1"), rows)
            rows.statements.append(Store(name, sym("r1") - sym(BASE), expr))
            self.elements.stored[value] = self._row_place(name, value)
        self._close(outer, 1, rows)

    def _row(self, value: Value, var: str) -> Index:
        return (*self.outer, sym(var), *((ZERO,) if len(tensor_type(value).shape) > len(self.outer) + 1 else ()))

    def _row_place(self, name: str, value: Value) -> Callable[[Index], Load]:
        axis, dtype = len(self.outer), tensor_type(value).dtype
        return lambda index: Load(name, index[axis] - sym(BASE), dtype)

    def _mix(self, outer: Scope) -> None:
        rows = self._rows_scope(outer, 2)
        self.extents["e"] = self.columns
        inner = Scope(rows, frozenset(("e",)))
        point = (*self.outer, sym("r2"), sym("e"))
        for result in self.block.results:
            assert isinstance(result, Value)
            shape = tensor_type(result).shape
            expr = self.elements.at(result, point, inner)
            inner.statements.append(Store(self.buffers[result], linear(broadcast_index(point, shape), shape), expr))
        rows.statements.append(Loop("e", self.columns, tuple(inner.statements)))
        self._close(outer, 2, rows)

    # -- what is not made element by element --------------------------------------------------
    def _special(self, node: Node, index: Index, scope: Scope) -> Expr:
        if TABLE[node.op].kind is Kind.REDUCE:
            return self._reduce(node, scope)
        *batch, row, column = index
        first = node is self.first
        depth = tensor_type(node.inputs[1]).shape[-2]
        axis = sym("k")
        self.extents["k"] = depth
        if first:
            left = self.elements.load(node.inputs[0], (*batch, row, axis))
        else:
            left = self._place(self.slab, (*batch, row, axis))
        name = scope.fresh()
        right = self._right(node, (*batch, axis, column))
        scope.statements.append(Contract(name, (("k", depth if first else self.seen),), left, right))
        return Ref(name, left.dtype)

    def _right(self, node: Node, index: Index) -> Load:
        value = node.inputs[1]
        shape = tensor_type(value).shape
        place = (*broadcast_index(index[:-2], shape[:-2]), *index[-2:])  # one matrix may serve every batch
        if node.op in PACKED:
            return Load(self.buffers[value], linear(place, shape), tensor_type(value).dtype)
        return self.elements.load(value, place)

    def _reduce(self, node: Node, scope: Scope) -> Expr:
        """A fold over the keys that a block of rows sees, in the row's scope."""
        var, inner = self._columns(scope, self.keys)
        index = (*self.outer, sym("r1"), sym(var))
        value = self.elements.at(node.inputs[0], index, inner)
        self._keep(index, inner)
        name, fn = scope.fresh(), str(TABLE[node.op].lower)
        scope.statements.append(Fold(name, fn, ((var, self.seen),), tuple(inner.statements), value))
        return Ref(name, i64 if fn in ("argmax", "argmin") else value.dtype)


def _overwritten(index: Index) -> Load:
    raise _OverwrittenError
