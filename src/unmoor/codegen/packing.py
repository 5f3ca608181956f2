"""Packing: a matrix written into panels, row by row where it lies so, in turned blocks where its columns do.

A store into panels says where its element is in the matrix; to find out where that is in the panels takes divisions.
Here the loops run over panels, so that their places follow from each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from unmoor.codegen.builder import MEMORY, Builder, Val, const, const_lanes, lanes_of
from unmoor.codegen.counted import counted, when
from unmoor.codegen.frame import Lanes
from unmoor.ir.kernel import PANEL_WIDTH, Buffer, Let, Loop, Panels, Store
from unmoor.ir.scalar import Apply, Expr, Load

if TYPE_CHECKING:
    from unmoor.codegen.nest import Nest

ZERO = const("i64", 0)


def is_packing(loop: Loop, layout: Mapping[str, Buffer]) -> bool:
    """Whether the loop runs over the rows of a matrix that goes into panels, around a loop over its columns."""
    if len(loop.body) != 1 or not isinstance(columns := loop.body[0], Loop):
        return False
    *lets, store = columns.body
    if not isinstance(store, Store) or not all(isinstance(s, Let) for s in lets):
        return False
    panels = layout[store.buffer].panels
    return (
        panels is not None
        and columns.extent == panels.n
        and store.index.coefficient(columns.var) == 1
        and store.index.coefficient(loop.var) == panels.n
    )


def emit_packing(nest: Nest, loop: Loop, begin: Val, end: Val) -> None:
    """The rows [begin, end), all columns."""
    _Packing(nest, loop).emit(begin, end)


class _Packing:
    def __init__(self, nest: Nest, loop: Loop) -> None:
        self.f, self.b, self.lanes, self.rows = nest.f, nest.f.b, nest.lanes, loop
        (columns,) = loop.body
        assert isinstance(columns, Loop)
        self.columns = columns
        *_, store = columns.body
        assert isinstance(store, Store)
        self.store = store
        self.dtype = self.f.layout[store.buffer].dtype
        panels = self.f.layout[store.buffer].panels
        assert panels is not None
        self.panels: Panels = panels

    def emit(self, begin: Val, end: Val) -> None:
        b, f = self.b, self.f
        depth, n, padded = (f.size(d) for d in (self.panels.k, self.panels.n, self.panels.padded_n))
        with f.at(**{self.rows.var: ZERO, self.columns.var: ZERO}):
            before = f.size(self.store.index)  # elements of the matrices before this one
        matrix = b.udiv(before, b.intrinsic("smax", [const("i64", 1), b.mul(depth, n)]))
        start = b.offset(f.buffers[self.store.buffer], MEMORY[self.dtype], b.mul(matrix, b.mul(depth, padded)))
        if not self._turned():
            self._straight(start, begin, end, ZERO)
            return
        counted(b, ZERO, b.add(n, PANEL_WIDTH - 1), PANEL_WIDTH, [], lambda c, _: self._blocks(start, begin, end, c))
        whole = b.and_(b.sub(end, begin), -self.lanes)
        self._straight(start, b.add(begin, whole), end, ZERO)
        self._straight(start, begin, b.add(begin, whole), b.and_(n, -self.lanes))

    def _turned(self) -> bool:
        """Whether what is read lies side by side along the rows, and not along the columns."""
        loads = [x.index for s in self.columns.body if isinstance(s, Let | Store) for x in _loads(s.value)]
        along = [(index.coefficient(self.rows.var), index.coefficient(self.columns.var)) for index in loads]
        return any(column not in (0, 1) for _, column in along) and all(
            row is not None and row in (0, 1) and column is not None for row, column in along
        )

    def _place(self, start: Val, row: Val, column: Val) -> Val:
        """Where an element is."""
        b = self.b
        first = b.mul(b.udiv(column, const("i64", PANEL_WIDTH)), PANEL_WIDTH)
        width = b.intrinsic("smin", [const("i64", PANEL_WIDTH), b.sub(self.f.size(self.panels.padded_n), first)])
        at = b.add(b.mul(first, self.f.size(self.panels.k)), b.add(b.mul(row, width), b.sub(column, first)))
        return b.offset(start, MEMORY[self.dtype], at)

    def _value(self, row: Val, column: Val, lanes: Lanes) -> Val:
        """What is stored, in every lane."""
        f, values = self.f, dict(self.f.values)
        with f.at(**{self.rows.var: row, self.columns.var: column}), f.vector(lanes):
            for s in self.columns.body:
                if isinstance(s, Let):
                    f.values[s.name] = f.expr(s.value)
            value = f.full(f.expr(self.store.value))
        f.values = values
        return value

    # -- row by row ---------------------------------------------------------------------------
    def _straight(self, start: Val, begin: Val, end: Val, column: Val) -> None:
        """Rows begin .. end-1 from a column on, which is a multiple of a vector's lanes."""
        b, n = self.b, self.f.size(self.panels.n)

        def vector(row: Val, at: Val, live: Val | None) -> list[Val]:
            mask = None
            if live is not None:
                mask = b.icmp("slt", const_lanes("i64", range(self.lanes)), b.broadcast(live, self.lanes))
            value = self._value(row, at, Lanes(self.columns.var, self.lanes, mask, live))
            b.store_elements(value, self._place(start, row, at), self.dtype, mask)
            return []

        def along(row: Val, _: list[Val]) -> list[Val]:
            at, _ = counted(b, column, n, self.lanes, [], lambda at, _: vector(row, at, None))
            return when(b, b.icmp("slt", at, n), [], lambda: vector(row, at, b.sub(n, at)))

        counted(b, begin, end, 1, [], along)

    # -- in blocks ----------------------------------------------------------------------------
    def _blocks(self, start: Val, begin: Val, end: Val, first: Val) -> list[Val]:
        """The whole blocks of a panel: as many rows and columns as a vector has lanes."""
        b, lanes = self.b, self.lanes
        limit = b.intrinsic("smin", [self.f.size(self.panels.n), b.add(first, PANEL_WIDTH)])

        def block(row: Val, column: Val) -> list[Val]:
            along = Lanes(self.rows.var, lanes)
            columns = [self._value(row, b.add(column, c) if c else column, along) for c in range(lanes)]
            for r, x in enumerate(transposed(b, columns)):
                b.store_elements(x, self._place(start, b.add(row, r) if r else row, column), self.dtype)
            return []

        def strip(column: Val, _: list[Val]) -> list[Val]:
            counted(b, begin, end, lanes, [], lambda row, _: block(row, column))
            return []

        counted(b, first, limit, lanes, [], strip)
        return []


def transposed(b: Builder, vectors: list[Val]) -> list[Val]:
    """As many vectors as each has lanes, turned: lane l of vector v becomes lane v of vector l."""
    count = lanes_of(vectors[0].type)
    low = [k for i in range(count // 2) for k in (i, count + i)]
    high = [k + count // 2 for k in low]
    half = count // 2
    for _ in range(count.bit_length() - 1):
        pairs = list(zip(vectors[:half], vectors[half:], strict=True))
        vectors = [b.shuffle(x, y, lanes) for x, y in pairs for lanes in (low, high)]
    return vectors


def _loads(e: Expr) -> Iterator[Load]:
    if isinstance(e, Load):
        yield e
    elif isinstance(e, Apply):
        for a in e.args:
            yield from _loads(a)
