"""Contractions: cut into panels of columns and tiles of rows, each added up by the micro-kernel and then finished here.

A panel of columns stays in the cache while all rows pass over it, and a block of its depth in the fastest one while a
block of rows does. The sums of a block come in a buffer on the stack; one loop over it runs what follows the
contraction. Where only places inside bounds count (the padding of a convolution), a tile of rows that are all inside is
one call; at the borders each tap is a call of its own, of the rows that it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def _contract(rows: Loop) -> Contract:
    (columns,) = (s for s in rows.body if isinstance(s, Loop))
    (contract,) = (s for s in columns.body if isinstance(s, Contract))
    return contract


def emit_contraction(f: Frame, loop: Loop, begin: Val, end: Val, lanes: int) -> None:
    """The turns [begin, end) of a contraction's rows, or of the loop around them, all columns."""
    _Contraction(f, loop, lanes).emit(begin, end)


@dataclass(frozen=True)
class _Panel:
    """Columns from `first`: `live` of them are real, the micro-kernel makes `width`."""

    first: Val
    live: Val
    width: Val
    place: Val  # address of the first column at k = 0
    step: Val  # elements from one k to the next


@dataclass(frozen=True)
class _Axis:
    """An axis that is summed over: turns from `start`, each so many elements of the left and rows of the right."""

    start: Val
    count: Val
    left: Val
    rows: Val


class _Contraction:
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
        self.micro = MicroKernel(f.b.module, self.left.dtype, self.right.dtype, masked=self.panels is None)
        self.row_step = f.size(_step(self.left.index, rows.var))
        self.last = self.contract.axes[-1][0]
        assert self.contract.axes[-1][1] == 1 or _step(self.left.index, self.last) == 1
        self.edge = next((p for p in self.contract.inside if rows.var in p[0].symbols), None)
        self.most_rows = self.micro.most_rows if self.edge else BLOCK_ROWS
        self.sums = stack_of_sums(f.b, self.left.dtype, self.most_rows)
        self.edge_axis = next((v for v, _ in self.contract.axes if self.edge and v in self.edge[0].symbols), None)

    def emit(self, begin: Val, end: Val) -> None:
        if self._alone() or self.around is not None:
            self._panels(begin, end)
        else:
            evenly(self.b, begin, end, CACHED_ROWS, lambda first, count: self._panels(first, self.b.add(first, count)))

    def _panels(self, begin: Val, end: Val) -> None:
        n = self.f.size(self.columns.extent)
        reach = self.b.add(n, PANEL_WIDTH - 1)
        counted(self.b, ZERO, reach, PANEL_WIDTH, [], lambda first, _: self._columns(begin, end, self._panel(first, n)))

    def _columns(self, begin: Val, end: Val, panel: _Panel) -> list[Val]:
        if self.around is None:
            self._rows(begin, end, panel)
            return []

        def once(i: Val, _: list[Val]) -> list[Val]:
            assert self.around is not None
            with self.f.at(**{self.around.var: i}):
                self._rows(ZERO, self.f.size(self.rows.extent), panel)
            return []

        counted(self.b, begin, end, 1, [], once)
        return []

    def _panel(self, first: Val, n: Val) -> _Panel:
        b, right = self.b, self.right
        live = b.intrinsic("smin", [const("i64", PANEL_WIDTH), b.sub(n, first)])
        buffer, elem = self.f.buffers[right.buffer], MEMORY[right.dtype]
        k = {var: ZERO for var, _ in self.contract.axes}
        if self.panels is None:
            with self.f.at(**k, **{self.columns.var: first}):
                place = self.f.size(right.index)
            return _Panel(first, live, live, b.offset(buffer, elem, place), self.f.size(_step(right.index, self.last)))
        with self.f.at(**k, **{self.columns.var: ZERO}):
            logical = self.f.size(right.index)  # batch * k * n
        depth, start = self.f.size(self.panels.k), ZERO
        if self.panels.batch != 1:
            batch = b.udiv(logical, b.mul(depth, n))
            start = b.mul(batch, b.mul(depth, self.f.size(self.panels.padded_n)))
        place = b.add(start, b.mul(first, depth))
        width = b.and_(b.add(live, PANEL_ALIGN - 1), -PANEL_ALIGN)
        return _Panel(first, live, width, b.offset(buffer, elem, place), width)

    # -- rows ---------------------------------------------------------------------------------
    def _rows(self, begin: Val, end: Val, panel: _Panel) -> None:
        """Blocks of rows, nearly equal: no row is left to a tile that has too little to do."""
        if self._alone():
            self._block(begin, ONE, panel)
            return
        evenly(self.b, begin, end, self.most_rows, lambda row, height: self._block(row, height, panel))

    def _block(self, row: Val, height: Val, panel: _Panel) -> None:
        with self.f.at(**{self.rows.var: row}):
            self._sum(row, height, panel)
        counted(self.b, ZERO, height, 1, [], lambda r, _: self._finish(self.b.add(row, r), r, panel))

    # -- sums ---------------------------------------------------------------------------------
    def _sum(self, row: Val, height: Val, panel: _Panel) -> None:
        """The sums of a tile."""
        if self.edge is None:
            self._terms(self._axes(merged=True), row, height, panel, self.sums, NO)
            return
        b, (position, extent) = self.b, self.edge
        size = self.f.size(extent)
        taps = next((e for v, e in self.contract.axes if v == self.edge_axis), None)
        assert taps is not None and self.edge_axis is not None
        step = self.f.size(_step(position, self.edge_axis))
        along = self.f.size(_step(position, self.rows.var))
        with self.f.at(**{self.edge_axis: ZERO}):
            first = self.f.size(position)
        last = b.add(b.add(first, b.mul(along, b.sub(height, 1))), b.mul(step, b.sub(self.f.size(taps), 1)))
        inside = b.and_(b.icmp("sge", first, 0), b.icmp("slt", last, size))
        whole, border, done = b.new_label("inside"), b.new_label("border"), b.new_label("summed")
        b.cond_br(inside, whole, border)
        b.start(whole)
        self._terms(self._axes(merged=True), row, height, panel, self.sums, NO)
        b.br(done)
        b.start(border)
        self._call(row, height, panel, panel.place, ZERO, ZERO, ZERO, ZERO, ZERO, self.sums, NO)
        axes = self._axes(merged=False)
        own = axes.pop(self.edge_axis)

        def tap(t: Val, _: list[Val]) -> list[Val]:
            at = b.add(first, b.mul(step, t))
            low = b.intrinsic("smax", [ZERO, self._ceiling(b.sub(0, at), along)])
            high = b.intrinsic("smin", [height, self._ceiling(b.sub(size, at), along)])

            def some() -> list[Val]:
                moved = {"": _Axis(t, ONE, own.left, own.rows), **axes}
                into = b.offset(self.sums, COMPUTE[self.left.dtype], b.mul(low, SUMS_STEP))
                with self.f.at(**{self.rows.var: b.add(row, low)}):
                    self._terms(moved, row, b.sub(high, low), panel, into, YES)
                return []

            when(b, b.icmp("slt", low, high), [], some)
            return []

        counted(b, ZERO, own.count, 1, [], tap)
        b.br(done)
        b.start(done)

    def _ceiling(self, a: Val, by: Val) -> Val:
        """a / by rounded up, for a positive divisor."""
        return a if by.text == "1" else self.f.floor_divide(self.b.add(a, self.b.sub(by, 1)), by)

    def _axes(self, merged: bool) -> dict[str, _Axis]:
        """The axes of the sum, at the places of the loops around; axes that lie in memory as one are `merged`.

        An axis that is bounded by the loops around counts only what is inside.
        """
        b, out = self.b, {}
        dims: list[tuple[str, Dim, Dim, Dim]] = []
        for var, extent in self.contract.axes:
            left, right = _step(self.left.index, var), _step(self.right.index, var)
            rows = right // _step(self.right.index, self.last)
            if merged and dims and self._bound(dims[-1][0]) is None:
                before, count, wide, high = dims[-1]
                if wide == left * extent and high == rows * extent:
                    dims[-1] = (before, count * extent, left, rows)
                    continue
            dims.append((var, extent, left, rows))
        for var, extent, along, down in dims:
            start, turns = ZERO, self.f.size(extent)
            bound = self._bound(var)
            if bound is not None:
                position, size = bound
                step = self.f.size(_step(position, var))
                with self.f.at(**{var: ZERO}):
                    first = self.f.size(position)
                start = b.intrinsic("smax", [ZERO, self._ceiling(b.sub(0, first), step)])
                end = b.intrinsic("smin", [turns, self._ceiling(b.sub(self.f.size(size), first), step)])
                turns = b.sub(end, start)
            out[var] = _Axis(start, turns, self.f.size(along), self.f.size(down))
        return out

    def _bound(self, var: str) -> tuple[Dim, Dim] | None:
        """What bounds an axis whatever the row is."""
        return next((p for p in self.contract.inside if p is not self.edge and var in p[0].symbols), None)

    def _terms(self, axes: dict[str, _Axis], row: Val, height: Val, panel: _Panel, sums: Val, keep: Val) -> None:
        """The terms of a tile over all axes: two of them inside the micro-kernel, loops here over the others."""
        b = self.b
        *outer, inner = axes.values()
        if not outer and self.edge is None and not self._alone():
            self._blocks(inner, row, height, panel)
            return
        second = outer.pop() if outer else _Axis(ZERO, ONE, ZERO, ZERO)
        if outer and keep is NO:
            self._call(row, height, panel, panel.place, ZERO, ZERO, ZERO, ZERO, ZERO, sums, NO)
            keep = YES

        def along(rest: list[_Axis], left: Val, rows: Val) -> None:
            if rest:
                axis, *inside = rest

                def turn(t: Val, _: list[Val]) -> list[Val]:
                    at = b.add(axis.start, t)
                    along(inside, b.add(left, b.mul(at, axis.left)), b.add(rows, b.mul(at, axis.rows)))
                    return []

                counted(b, ZERO, axis.count, 1, [], turn)
                return
            left = b.add(left, b.mul(second.start, second.left))
            rows = b.add(rows, b.mul(second.start, second.rows))
            place = b.offset(panel.place, MEMORY[self.right.dtype], b.mul(rows, panel.step))
            step = b.mul(second.rows, panel.step)
            self._call(row, height, panel, place, left, second.left, step, second.count, inner.count, sums, keep)

        along(outer, ZERO, ZERO)

    def _blocks(self, axis: _Axis, row: Val, height: Val, panel: _Panel) -> None:
        """The terms of one axis, a block of it after the other."""
        b, elem = self.b, MEMORY[self.right.dtype]
        known = int(axis.count.text) if axis.count.text.isdigit() else None

        def block(first: Val, _: list[Val]) -> list[Val]:
            at = b.add(axis.start, first)
            depth = b.intrinsic("smin", [b.sub(axis.count, first), const("i64", BLOCK_DEPTH)])
            place = b.offset(panel.place, elem, b.mul(b.mul(at, axis.rows), panel.step))
            keep = b.icmp("sgt", first, 0)
            left = b.mul(at, axis.left)
            self._call(row, height, panel, place, left, ZERO, ZERO, ONE, depth, self.sums, keep)
            return []

        if known is not None and 0 < known <= BLOCK_DEPTH:
            place = b.offset(panel.place, elem, b.mul(b.mul(axis.start, axis.rows), panel.step))
            left = b.mul(axis.start, axis.left)
            self._call(row, height, panel, place, left, ZERO, ZERO, ONE, axis.count, self.sums, NO)
            return
        reach = b.add(b.intrinsic("smax", [axis.count, ONE]), BLOCK_DEPTH - 1)  # no terms at all: zeros
        counted(b, ZERO, reach, BLOCK_DEPTH, [], block)

    def _alone(self) -> bool:
        return self.around is None and self.rows.extent == 1

    def _call(
        self,
        row: Val,
        height: Val,
        panel: _Panel,
        right: Val,
        left: Val,
        left_step: Val,
        right_step: Val,
        outer: Val,
        depth: Val,
        sums: Val,
        keep: Val,
    ) -> None:
        with self.f.at(**{var: ZERO for var, _ in self.contract.axes}):
            start = self.f.address(self.left.buffer, self.left.index)
        start = self.b.offset(start, MEMORY[self.left.dtype], left)
        rows = const("i64", ALONE) if self._alone() else height
        fetch, step = right, ZERO
        if self.panels is not None and not self._alone():
            block = self.b.mul(self.b.mul(depth, outer), self.b.mul(panel.step, self.right.dtype.size))
            fetch, step = self.b.offset(right, "i8", block), self.micro.fetch_step(self.b, block, height, depth, outer)
        args = [rows, panel.width, start, self.row_step, left_step, right, panel.step, right_step, outer, depth]
        self.b.call(self.micro.function(), "void", [*args, fetch, step, sums, keep])

    # -- epilogue -----------------------------------------------------------------------------
    def _finish(self, row: Val, r: Val, panel: _Panel) -> list[Val]:
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

        at, _ = counted(b, ZERO, panel.live, self.lanes, [], lambda at, _: vector(at, None))
        when(b, b.icmp("slt", at, panel.live), [], lambda: vector(at, b.sub(panel.live, at)))
        return []

    def _statements(self, total: Val) -> None:
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
