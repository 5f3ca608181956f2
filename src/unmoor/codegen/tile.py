"""Contractions: cut into panels of columns and tiles of rows, each added up by the micro-kernel and then finished here.

A panel of columns stays in the cache while all rows pass over it, and a block of its depth in the fastest one while a
block of rows does. The sums of a block come in a buffer on the stack; one loop over it runs what follows the
contraction. Where rows lie in more loops than one, or more axes than one are summed over, see `places`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from unmoor.codegen import math
from unmoor.codegen.builder import COMPUTE, MEMORY, Val, const, const_lanes
from unmoor.codegen.counted import counted, evenly, when
from unmoor.codegen.frame import Frame, Lanes
from unmoor.codegen.microkernel import ALONE, SUMS_STEP, MicroKernel, stack_of_sums
from unmoor.ir.dim import Dim
from unmoor.ir.kernel import PANEL_ALIGN, PANEL_WIDTH, Contract, Let, Loop, Store

ZERO, ONE = const("i64", 0), const("i64", 1)
BLOCK_ROWS = 48  # rows that pass over a block of the right operand while it stays in the fastest cache
BLOCK_DEPTH = 256  # its depth
CACHED_ROWS = 144  # rows whose part of the left operand stays in the second fastest while all panels pass over it
ABREAST = 3  # vectors that are finished side by side: half a panel's row of 32-byte ones, all of it of 64-byte ones
YES, NO = const("i1", 1), const("i1", 0)


def is_contraction(loop: Loop) -> bool:
    """Whether the loop runs over rows of a contraction: it holds the column loop that holds the Contract, or is the
    only loop around one that does, and the right operand is the same in all its turns."""
    if _has_columns(loop):
        return True
    if len(loop.body) != 1 or not isinstance(inner := loop.body[0], Loop) or not _has_columns(inner):
        return False
    return loop.var not in _contract(inner).right.index.symbols


def _has_columns(loop: Loop) -> bool:
    inner = [s for s in loop.body if isinstance(s, Loop)]
    return len(inner) == 1 and any(isinstance(s, Contract) for s in inner[0].body)


def is_plain(loop: Loop) -> bool:
    """Whether the contraction's rows lie in one loop, and it sums over one axis without bounds."""
    return _has_columns(loop) and len(_contract(loop).axes) == 1 and not _contract(loop).inside


def _contract(rows: Loop) -> Contract:
    (columns,) = (s for s in rows.body if isinstance(s, Loop))
    (contract,) = (s for s in columns.body if isinstance(s, Contract))
    return contract


@dataclass(frozen=True)
class Panel:
    """Columns from `first`: `live` of them are real, the micro-kernel makes `width`."""

    first: Val
    live: Val
    width: Val
    place: Val  # address of the first column at k = 0
    step: Val  # elements from one k to the next


class Contraction:
    """Rows one after the other, one axis. `table` says whether the rows come by a table of their places."""

    table = False
    block_rows = BLOCK_ROWS

    def __init__(self, f: Frame, loop: Loop, lanes: int) -> None:
        self.f, self.b, self.lanes = f, f.b, lanes
        self.around = None if _has_columns(loop) else loop
        rows = loop if self.around is None else loop.body[0]
        assert isinstance(rows, Loop)
        self.rows = rows
        (self.columns,) = (s for s in rows.body if isinstance(s, Loop))
        self.contract = _contract(rows)
        self.left, self.right = self.contract.left, self.contract.right
        self.panels = f.layout[self.right.buffer].panels
        self.micro = MicroKernel(
            f.b.module, self.left.dtype, self.right.dtype, masked=self.panels is None, table=self.table
        )
        self.row_step = f.size(step_along(self.left.index, rows.var))
        self.last = self.contract.axes[-1][0]
        assert self.contract.axes[-1][1] == 1 or step_along(self.left.index, self.last) == 1
        self.sums = stack_of_sums(f.b, self.left.dtype, self.block_rows)

    def emit(self, begin: Val, end: Val) -> None:
        """The turns [begin, end) of the outermost loop, all columns."""
        if self._alone():
            self._panels(begin, end)
        else:
            evenly(self.b, begin, end, CACHED_ROWS, lambda first, count: self._panels(first, self.b.add(first, count)))

    def _panels(self, begin: Val, end: Val) -> None:
        self._each_panel(lambda panel: self._rows(begin, end, panel))

    def _each_panel(self, body: Callable[[Panel], None]) -> None:
        n = self.f.size(self.columns.extent)

        def once(first: Val, _: list[Val]) -> list[Val]:
            body(self._panel(first, n))
            return []

        counted(self.b, ZERO, self.b.add(n, PANEL_WIDTH - 1), PANEL_WIDTH, [], once)

    def _panel(self, first: Val, n: Val) -> Panel:
        b, right = self.b, self.right
        live = b.intrinsic("smin", [const("i64", PANEL_WIDTH), b.sub(n, first)])
        buffer, elem = self.f.buffers[right.buffer], MEMORY[right.dtype]
        k = {var: ZERO for var, _ in self.contract.axes}
        if self.panels is None:
            with self.f.at(**k, **{self.columns.var: first}):
                place = self.f.size(right.index)
            return Panel(
                first, live, live, b.offset(buffer, elem, place), self.f.size(step_along(right.index, self.last))
            )
        with self.f.at(**k, **{self.columns.var: ZERO}):
            logical = self.f.size(right.index)  # batch * k * n
        depth, start, whole = self.f.size(self.panels.k), ZERO, self.f.size(self.panels.n)
        if self.panels.batch != 1:
            batch = b.udiv(logical, b.intrinsic("smax", [ONE, b.mul(depth, whole)]))  # of no elements: no matter which
            start = b.mul(batch, b.mul(depth, self.f.size(self.panels.padded_n)))
        place = b.add(start, b.mul(first, depth))
        width = step = b.and_(b.add(live, PANEL_ALIGN - 1), -PANEL_ALIGN)
        if self.columns.extent != self.panels.n:  # the loop may end before the matrix does
            step = b.intrinsic("smin", [const("i64", PANEL_WIDTH), b.sub(self.f.size(self.panels.padded_n), first)])
        return Panel(first, live, width, b.offset(buffer, elem, place), step)

    # -- rows ---------------------------------------------------------------------------------
    def _rows(self, begin: Val, end: Val, panel: Panel) -> None:
        """Blocks of rows, nearly equal: no row is left to a tile that has too little to do."""
        if self._alone():
            self._block(begin, ONE, panel)
            return
        evenly(self.b, begin, end, self.block_rows, lambda row, height: self._block(row, height, panel))

    def _block(self, row: Val, height: Val, panel: Panel) -> None:
        with self.f.at(**{self.rows.var: row}):
            self._blocks(row, height, panel)
        counted(self.b, ZERO, height, 1, [], lambda r, _: self._finish(self.b.add(row, r), r, panel))

    # -- sums ---------------------------------------------------------------------------------
    def _blocks(self, row: Val, height: Val, panel: Panel) -> None:
        """The terms of a block of rows, a block of the axis after the other. No terms at all: zeros."""
        b, elem, count = self.b, MEMORY[self.right.dtype], self.f.size(self.contract.axes[-1][1])
        known = int(count.text) if count.text.isdigit() else None
        if self._alone() or (known is not None and 0 < known <= BLOCK_DEPTH):
            self._call(row, height, panel, panel.place, ZERO, count, NO)
            return

        def block(first: Val, _: list[Val]) -> list[Val]:
            depth = b.intrinsic("smin", [b.sub(count, first), const("i64", BLOCK_DEPTH)])
            place = b.offset(panel.place, elem, b.mul(first, panel.step))
            self._call(row, height, panel, place, first, depth, b.icmp("sgt", first, 0))
            return []

        reach = b.add(b.intrinsic("smax", [count, ONE]), BLOCK_DEPTH - 1)
        counted(b, ZERO, reach, BLOCK_DEPTH, [], block)

    def _alone(self) -> bool:
        return self.around is None and self.rows.extent == 1

    def _call(self, row: Val, height: Val, panel: Panel, right: Val, left: Val, depth: Val, keep: Val) -> None:
        with self.f.at(**{self.rows.var: row, self.last: ZERO}):
            start = self.f.address(self.left.buffer, self.left.index)
        start = self.b.offset(start, MEMORY[self.left.dtype], left)
        rows = height
        if not self.table:  # by its size alone, so that results are the same in however many pieces a call is cut
            single = self.b.icmp("eq", self.f.size(self.rows.extent), 1)
            rows = self.b.select(single, const("i64", ALONE), height)
        args = [rows, panel.width, start, self.row_step, ZERO, right, panel.step, ZERO, ONE, depth]
        fetch = self._fetch(height, panel, right, ONE, depth)
        self.b.call(self.micro.function(), "void", [*args, *fetch, self.sums, keep])

    def _fetch(self, height: Val, panel: Panel, right: Val, outer: Val, depth: Val) -> tuple[Val, Val]:
        """Where the next block of the right operand is, and how fast the tiles of this one ask for it."""
        if self.panels is None or self._alone():
            return right, ZERO
        block = self.b.mul(self.b.mul(depth, outer), self.b.mul(panel.step, self.right.dtype.size))
        return self.b.offset(right, "i8", block), self.micro.fetch_step(self.b, block, height, depth, outer)

    # -- epilogue -----------------------------------------------------------------------------
    def _finish(self, row: Val, r: Val, panel: Panel) -> list[Val]:
        """What follows the contraction in the loops, for one row of a panel."""
        b = self.b
        place = b.offset(self.sums, COMPUTE[self.left.dtype], b.mul(r, SUMS_STEP))

        def vector(at: Val, live: Val | None) -> list[Val]:
            mask = None
            if live is not None:
                ids = const_lanes("i64", range(self.lanes))
                mask = b.icmp("slt", ids, b.broadcast(live, self.lanes))
            total = b.load_elements(b.offset(place, COMPUTE[self.left.dtype], at), self.left.dtype, self.lanes, mask)
            column = b.add(panel.first, at)
            lanes = Lanes(self.columns.var, self.lanes, mask, live)
            with self.f.at(**{self.rows.var: row, self.columns.var: column}), self.f.vector(lanes):
                self._statements(total)
            return []

        def whole(count: int, at: Val, _: list[Val]) -> list[Val]:
            places = [b.add(at, k * self.lanes) if k else at for k in range(count)]
            b.interleaved([partial(vector, place, None) for place in places])
            return []

        at = ZERO
        for count in sorted({self._abreast(), 1}, reverse=True):
            at, _ = counted(b, at, panel.live, self.lanes * count, [], partial(whole, count))
        when(b, b.icmp("slt", at, panel.live), [], lambda: vector(at, b.sub(panel.live, at)))
        return []

    def _abreast(self) -> int:
        """How many vectors are finished side by side: what follows may be a long chain of operations, and what a
        processor looks ahead holds too few of these to fill its units."""
        values = (s.value for s in (*self.rows.body, *self.columns.body) if isinstance(s, Let | Store))
        return 1 if any(map(math.branches, values)) else ABREAST

    def _statements(self, total: Val) -> None:
        self.f.late.update({s.name: s.value for s in self.rows.body if isinstance(s, Let)})
        self.f.values[self.contract.name] = total
        for stmt in self.columns.body:
            if isinstance(stmt, Let):
                self.f.late[stmt.name] = stmt.value
            elif isinstance(stmt, Store):
                self.f.store(stmt.buffer, stmt.index, self.f.expr(stmt.value))


def step_along(index: Dim, var: str) -> Dim:
    """How far an index moves on at each turn of a loop."""
    step = index.coefficient(var)
    assert step is not None, f"{index} is not linear in {var}"
    return step
