"""Contractions: a register tile of rows x columns accumulates along k, then runs the epilogue on its accumulators.

The right operand is read in vectors along its columns, from panels or from rows of its own; the left one element by
element, broadcast. A panel of columns stays in the cache while all rows pass over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from unmoor.codegen.builder import COMPUTE, MEMORY, Val, const, const_lanes, vec
from unmoor.codegen.counted import counted, when
from unmoor.codegen.frame import Frame, Lanes
from unmoor.ir.dim import Dim
from unmoor.ir.kernel import PANEL_ALIGN, PANEL_WIDTH, Contract, Let, Loop, Store

Turn = Callable[[Val, list[Val]], list[Val]]
UNROLL = 4  # steps of k per turn
WHOLE_K = 16  # a contraction this short is written out without a loop


def is_contraction(loop: Loop) -> bool:
    """Whether the loop runs over the rows of a contraction: it holds the column loop that holds the Contract."""
    inner = [s for s in loop.body if isinstance(s, Loop)]
    return len(inner) == 1 and any(isinstance(s, Contract) for s in inner[0].body)


def emit_contraction(f: Frame, rows: Loop, begin: Val, end: Val, lanes: int) -> None:
    """The rows [begin, end) of a contraction, all columns."""
    _Contraction(f, rows, lanes).emit(begin, end)


@dataclass(frozen=True)
class _Block:
    """Columns that a tile covers: `vectors` vectors from column `first`; the last one masked unless `whole`."""

    first: Val
    vectors: int
    whole: bool
    place: Val  # of the block's first column at k = 0, in elements of the right buffer
    step: Val  # elements from one k to the next


class _Contraction:
    def __init__(self, f: Frame, rows: Loop, lanes: int) -> None:
        self.f, self.b, self.rows, self.lanes = f, f.b, rows, lanes
        (self.columns,) = (s for s in rows.body if isinstance(s, Loop))
        (self.contract,) = (s for s in self.columns.body if isinstance(s, Contract))
        *self.outer_k, self.k = self.contract.axes
        self.dtype, self.right = self.contract.left.dtype, self.contract.right.dtype
        self.vector = vec(COMPUTE[self.dtype], lanes)
        self.panels = f.layout[self.contract.right.buffer].panels
        # A tile fills the registers: 32 of 64 bytes, or 16 of 32. The columns of a narrow one are a cache line of a
        # panel's row: half a line more would fetch both halves for every row of tiles.
        wide = lanes * self.dtype.size == 64
        self.tile_rows, self.tile_vectors = ((8, 4, 2, 1), 3) if wide else ((6, 4, 2, 1), 2)

    def emit(self, begin: Val, end: Val) -> None:
        n = self.columns.extent
        if n.is_const:
            self._panels_of_known_width(begin, end, n.value)
        else:
            self._panels_of_any_width(begin, end)

    # -- columns ------------------------------------------------------------------------------
    def _panels_of_known_width(self, begin: Val, end: Val, n: int) -> None:
        whole = n // PANEL_WIDTH
        if whole:
            counted(
                self.b,
                const("i64", 0),
                const("i64", whole * PANEL_WIDTH),
                PANEL_WIDTH,
                [],
                lambda c, _: self._panel(begin, end, c, PANEL_WIDTH, PANEL_WIDTH),
            )
        if n > whole * PANEL_WIDTH:
            rest = n - whole * PANEL_WIDTH
            width = -(-rest // PANEL_ALIGN) * PANEL_ALIGN
            self._panel(begin, end, const("i64", whole * PANEL_WIDTH), width, rest)

    def _panels_of_any_width(self, begin: Val, end: Val) -> None:
        """Whole panels, then one of the three narrower widths."""
        n = self.f.size(self.columns.extent)
        c, _ = counted(
            self.b,
            const("i64", 0),
            n,
            PANEL_WIDTH,
            [],
            lambda c, _: self._panel(begin, end, c, PANEL_WIDTH, PANEL_WIDTH),
        )
        left = self.b.sub(n, c)
        for width in range(PANEL_ALIGN, PANEL_WIDTH + 1, PANEL_ALIGN):
            inside = self.b.and_(self.b.icmp("sgt", left, width - PANEL_ALIGN), self.b.icmp("sle", left, width))
            when(self.b, inside, [], lambda w=width: self._panel(begin, end, c, w, None))  # type: ignore[misc]

    def _panel(self, begin: Val, end: Val, first: Val, width: int, used: int | None) -> list[Val]:
        """One panel: `used` of its `width` columns are real (None: only the run knows)."""
        at, reach = 0, width if used is None else used
        while at < reach:
            vectors = min(self.tile_vectors, (width - at) // self.lanes)
            while vectors > 1 and used is not None and at + (vectors - 1) * self.lanes >= used:
                vectors -= 1
            whole = used is not None and at + vectors * self.lanes <= used
            block = self._block(self.b.add(first, at) if at else first, first, at, width, vectors, whole)
            self._all_rows(begin, end, block)
            at += vectors * self.lanes
        return []

    def _block(self, column: Val, first: Val, at: int, width: int, vectors: int, whole: bool) -> _Block:
        right = self.contract.right
        col, k = self.columns.var, self.k[0]
        if self.panels is None:
            with self.f.at(**{col: column}), self._start_of_k():
                place = self.f.size(right.index)
            return _Block(column, vectors, whole, place, self.f.size(_step(right.index, k)))
        with self.f.at(**{col: const("i64", 0)}), self._start_of_k():
            logical = self.f.size(right.index)  # batch * k * n
        p = self.panels
        size = self.f.size(p.k)
        batch = self.b.udiv(logical, self.b.mul(size, self.f.size(p.n))) if p.batch != 1 else const("i64", 0)
        start = self.b.mul(batch, self.b.mul(size, self.f.size(p.padded_n))) if p.batch != 1 else const("i64", 0)
        place = self.b.add(self.b.add(start, self.b.mul(first, size)), at)
        return _Block(column, vectors, whole, place, const("i64", width))

    # -- rows ---------------------------------------------------------------------------------
    def _all_rows(self, begin: Val, end: Val, block: _Block) -> None:
        i = begin
        for rows in self.tile_rows:
            i, _ = counted(self.b, i, end, rows, [], lambda r, _, m=rows: self._tile(r, m, block))  # type: ignore[misc]

    def _tile(self, row: Val, rows: int, block: _Block) -> list[Val]:
        left = self.contract.left
        starts = []
        for r in range(rows):
            with self.f.at(**{self.rows.var: self.b.add(row, r) if r else row}), self._start_of_k():
                starts.append(self.f.address(left.buffer, left.index))
        pointer = self.b.offset(self.f.buffers[self.contract.right.buffer], MEMORY[self.right], block.place)
        masks = [self._mask(block, v) for v in range(block.vectors)]
        acc = [const(self.vector, 0)] * (rows * block.vectors)
        acc = self._along_outer_k(list(self.outer_k), acc, starts, pointer, block, masks)
        for r in range(rows):
            for v in range(block.vectors):
                self._epilogue(self.b.add(row, r) if r else row, block, v, acc[r * block.vectors + v], masks[v])
        return []

    def _mask(self, block: _Block, v: int) -> Val | None:
        """Which columns of a vector are real; None for all of them."""
        if block.whole:
            return None
        live = self.b.sub(self.f.size(self.columns.extent), self.b.add(block.first, v * self.lanes))
        return self.b.icmp("slt", const_lanes("i64", range(self.lanes)), self.b.broadcast(live, self.lanes))

    def _start_of_k(self) -> AbstractContextManager[None]:
        return self.f.at(**{var: const("i64", 0) for var, _ in self.contract.axes})

    def _along_outer_k(
        self,
        axes: list[tuple[str, Dim]],
        acc: list[Val],
        starts: Sequence[Val],
        pointer: Val,
        block: _Block,
        masks: Sequence[Val | None],
    ) -> list[Val]:
        """Loops over all axes but the last; each turn moves the operands' places on."""
        if not axes:
            return self._along_k(acc, starts, pointer, block, masks)
        (var, extent), *rest = axes
        left = self.f.size(_step(self.contract.left.index, var))
        right = self.f.size(self._rows_of_right(var))

        def turn(i: Val, sums: list[Val]) -> list[Val]:
            along = self.b.op("mul nsw", i, left)
            moved = [self.b.offset(s, MEMORY[self.dtype], along) for s in starts]
            down = self.b.op("mul nsw", self.b.op("mul nsw", i, right), block.step)
            return self._along_outer_k(
                rest, sums, moved, self.b.offset(pointer, MEMORY[self.right], down), block, masks
            )

        return counted(self.b, const("i64", 0), self.f.size(extent), 1, acc, turn)[1]

    def _rows_of_right(self, var: str) -> Dim:
        """How many rows of the right operand a turn of an outer k axis is."""
        index = self.contract.right.index
        return _step(index, var) // _step(index, self.k[0])

    def _along_k(
        self, acc: list[Val], starts: Sequence[Val], pointer: Val, block: _Block, masks: Sequence[Val | None]
    ) -> list[Val]:
        step = self.f.size(_step(self.contract.left.index, self.k[0]))

        def once(k: Val, sums: list[Val]) -> list[Val]:
            at = self.b.op("mul nsw", k, block.step)
            right = []
            for v in range(block.vectors):
                place = self.b.offset(pointer, MEMORY[self.right], self.b.add(at, v * self.lanes) if v else at)
                mask = masks[v] if self.panels is None else None
                right.append(self.b.load_elements(place, self.right, self.lanes, mask))
            along = k if step.text == "1" else self.b.op("mul nsw", k, step)
            out = []
            for r, start in enumerate(starts):
                x = self.b.load(self.b.offset(start, MEMORY[self.dtype], along), COMPUTE[self.dtype])
                wide = self.b.broadcast(x, self.lanes)
                out += [self.b.fma(wide, right[v], sums[r * block.vectors + v]) for v in range(block.vectors)]
            return out

        def several(k: Val, sums: list[Val], count: int) -> list[Val]:
            for u in range(count):
                sums = once(self.b.add(k, u) if u else k, sums)
            return sums

        extent = self.k[1]
        if extent.is_const and extent.value <= WHOLE_K:
            return several(const("i64", 0), acc, extent.value)
        end = self.f.size(extent)
        if len(starts) == 1:
            return self._one_row(once, acc, end)
        k, acc = counted(self.b, const("i64", 0), end, UNROLL, acc, lambda k, a: several(k, a, UNROLL))
        return counted(self.b, k, end, 1, acc, once)[1]

    def _one_row(self, once: Turn, acc: list[Val], end: Val) -> list[Val]:
        """A single row has too few sums to hide the latency of an FMA: UNROLL sets of them, joined at the end."""
        count = len(acc)
        none = [const(self.vector, 0)] * count

        def turn(k: Val, sums: list[Val]) -> list[Val]:
            out: list[Val] = []
            for u in range(UNROLL):
                part = sums[u * count : (u + 1) * count]
                out += once(self.b.add(k, u) if u else k, part)
            return out

        k, sums = counted(self.b, const("i64", 0), end, UNROLL, acc + none * (UNROLL - 1), turn)
        total = [
            self.b.add(self.b.add(sums[v], sums[v + count]), self.b.add(sums[v + 2 * count], sums[v + 3 * count]))
            for v in range(count)
        ]
        return counted(self.b, k, end, 1, total, once)[1]

    # -- epilogue -----------------------------------------------------------------------------
    def _epilogue(self, row: Val, block: _Block, v: int, total: Val, mask: Val | None) -> None:
        """What follows the contraction in the loops, for one row and one vector of columns."""
        column = self.b.add(block.first, v * self.lanes) if v else block.first
        live = None if mask is None else self.b.sub(self.f.size(self.columns.extent), column)
        lanes = Lanes(self.columns.var, self.lanes, mask, live)
        with self.f.at(**{self.rows.var: row, self.columns.var: column}), self.f.vector(lanes):
            self.f.late.update({s.name: s.value for s in self.rows.body if isinstance(s, Let)})
            self.f.values[self.contract.name] = total
            for stmt in self.columns.body:
                if isinstance(stmt, Let):
                    self.f.late[stmt.name] = stmt.value
                elif isinstance(stmt, Store):
                    self.f.store(stmt.buffer, stmt.index, self.f.expr(stmt.value))


def _step(index: Dim, var: str) -> Dim:
    step = index.coefficient(var)
    assert step is not None, f"{index} is not linear in {var}"
    return step
