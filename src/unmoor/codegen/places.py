"""Contractions over places, such as convolutions: rows of several loops as one run, each read where a table says.

Tiles of rows do not end with an image's row. Of a block of rows, those whose terms all lie inside the bounds come
first, taps side by side in memory as one axis. At the borders each tap takes the rows that it reaches, so that what
lies outside is neither read nor multiplied. A block of the right operand stays in the fastest cache while all rows
pass over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unmoor.codegen.builder import MEMORY, Val, const
from unmoor.codegen.counted import counted, evenly, when
from unmoor.codegen.frame import Frame
from unmoor.codegen.microkernel import SUMS_STEP, TABLE
from unmoor.codegen.tile import BLOCK_DEPTH, NO, ONE, YES, ZERO, Contraction, Panel, step_along
from unmoor.ir.dim import Dim
from unmoor.ir.kernel import Loop


@dataclass(frozen=True)
class _Axis:
    """An axis that is summed over: at each turn so many elements of the left and rows of the right operand."""

    var: str
    count: Val
    left: Val
    rows: Val


@dataclass(frozen=True)
class _Bound:
    """Only where 0 <= position < size: along `axis` by `step`, at each row by `along`."""

    position: Dim
    size: Val
    axis: int
    step: Val
    along: Val
    span: Val  # from the first tap to the last

    @property
    def moves(self) -> bool:
        return self.along.text != "0"


class _List:
    """A table of rows under construction, in the layout of a micro-kernel's."""

    def __init__(self, f: Frame) -> None:
        self.b = f.b
        self.table, self.length = f.b.local("i64", 2 * TABLE), f.b.local("i64", 1)

    def clear(self) -> None:
        self.b.store(ZERO, self.length)

    def count(self) -> Val:
        return self.b.load(self.length, "i64")

    def row(self, at: Val) -> tuple[Val, Val]:
        """Where a row begins, and where its sums are."""
        b = self.b
        sums = b.load(b.offset(self.table, "i64", b.add(at, TABLE)), "i64")
        return b.load(b.offset(self.table, "i64", at), "i64"), sums

    def add(self, start: Val, sums: Val, condition: Val) -> Val:
        """Adds a row where the condition holds; returns its place."""
        b, at = self.b, self.count()
        b.store(start, b.offset(self.table, "i64", at))
        b.store(sums, b.offset(self.table, "i64", b.add(at, TABLE)))
        b.store(b.add(at, b.convert("zext", condition, "i64")), self.length)
        return at


class Places(Contraction):
    """The rows of one or two loops, summed over any number of axes within bounds."""

    table = True
    block_rows = TABLE - 1  # a list writes one row more than it keeps

    def __init__(self, f: Frame, loop: Loop, lanes: int) -> None:
        super().__init__(f, loop, lanes)
        self.axes = [self._axis(var, extent) for var, extent in self.contract.axes]
        names = [var for var, _ in self.contract.axes]
        self.bounds = []
        for position, extent in self.contract.inside:
            axis = next(k for k, var in enumerate(names) if var in position.symbols)
            step, along = (f.size(step_along(position, var)) for var in (names[axis], self.rows.var))
            span = f.b.mul(step, f.b.sub(self.axes[axis].count, 1))
            self.bounds.append(_Bound(position, f.size(extent), axis, step, along, span))
        bounded = max((bound.axis for bound in self.bounds), default=0) + 1
        moving = [bound.axis for bound in self.bounds if bound.moves]
        self.splits = (moving[0] if moving else bounded, bounded)  # axes before these are taken tap by tap
        self.whole = _List(f)  # rows of which all counts
        self.level = _List(f) if self.bounds else None  # rows that have the axes from the edge on whole
        self.part = _List(f) if moving else None
        self.reached = _List(f) if self.bounds else None  # of these, the ones that some taps reach
        self.positions = [(f.b.local("i64", TABLE), f.b.local("i64", TABLE)) for _ in self.bounds]

    def _axis(self, var: str, extent: Dim) -> _Axis:
        right = step_along(self.right.index, var) // step_along(self.right.index, self.last)
        return _Axis(var, self.f.size(extent), self.f.size(step_along(self.left.index, var)), self.f.size(right))

    def emit(self, begin: Val, end: Val) -> None:
        b = self.b
        wide = self.f.size(self.rows.extent)
        if self.around is None:
            wide = b.intrinsic("smax", [end, ONE])  # one line
        else:
            begin, end = b.mul(begin, wide), b.mul(end, wide)
        evenly(b, begin, end, self.block_rows, lambda first, count: self._run(first, count, wide))

    def _run(self, first: Val, count: Val, wide: Val) -> None:
        """A block of rows, all columns."""
        for rows in (self.whole, self.level, self.part):
            if rows is not None:
                rows.clear()
        self._lines(first, count, wide, self._list)

        def columns(panel: Panel) -> None:
            self._sum(panel)
            self._lines(first, count, wide, lambda begin, end, r: self._finish_line(begin, end, r, panel))

        self._each_panel(columns)

    def _lines(self, first: Val, count: Val, wide: Val, line: Callable[[Val, Val, Val], None]) -> None:
        """Calls `line` with the rows begin .. end-1 of each turn of the loop around, and the place of its row 0."""
        b = self.b
        turn = b.udiv(first, wide)
        skipped = b.sub(first, b.mul(turn, wide))
        reach = b.add(skipped, count)

        def once(t: Val, _: list[Val]) -> list[Val]:
            before = b.sub(b.mul(t, wide), skipped)
            begin = b.intrinsic("smax", [ZERO, b.sub(0, before)])
            end = b.intrinsic("smin", [wide, b.sub(count, before)])
            with self.f.at(**({self.around.var: b.add(turn, t)} if self.around else {})):
                line(begin, end, before)
            return []

        counted(b, ZERO, b.udiv(b.add(reach, b.sub(wide, 1)), wide), 1, [], once)

    # -- lists --------------------------------------------------------------------------------
    def _list(self, begin: Val, end: Val, before: Val) -> None:
        """Lists the rows of one line."""
        b, f = self.b, self.f
        none = {var: ZERO for var, _ in self.contract.axes}
        with f.at(**none, **{self.rows.var: ZERO}):
            start = f.size(self.left.index)
            firsts = [f.size(bound.position) for bound in self.bounds]

        def row(x: Val, _: list[Val]) -> list[Val]:
            place = b.add(start, b.mul(x, self.row_step))
            sums = b.mul(b.add(before, x), SUMS_STEP)
            at = [b.add(p, b.mul(x, bound.along)) for p, bound in zip(firsts, self.bounds, strict=True)]
            level = whole = YES
            for p, bound in zip(at, self.bounds, strict=True):
                inside = self._inside(p, b.add(p, bound.span), bound)
                whole = b.and_(whole, inside)
                level = b.and_(level, inside) if bound.axis >= self.splits[0] else level
            self.whole.add(place, sums, whole)
            for k, (rows, condition) in enumerate(
                ((self.level, b.and_(level, b.not_(whole))), (self.part, b.not_(level)))
            ):
                if rows is not None:
                    mine = rows.add(place, sums, condition)
                    for p, kept in zip(at, self.positions, strict=True):
                        b.store(p, b.offset(kept[k], "i64", mine))
            return []

        counted(b, begin, end, 1, [], row)

    def _inside(self, low: Val, high: Val, bound: _Bound) -> Val:
        return self.b.and_(self.b.icmp("sge", low, 0), self.b.icmp("slt", high, bound.size))

    def _reach(self, rows: _List, kind: int, taps: dict[int, Val], shift: Val) -> Val:
        """Lists the rows that some taps reach, `shift` elements further; returns how many they are."""
        b, reached = self.b, self.reached
        assert reached is not None
        reached.clear()

        def once(r: Val, _: list[Val]) -> list[Val]:
            inside = YES
            for bound, kept in zip(self.bounds, self.positions, strict=True):
                if bound.axis in taps:
                    p = b.add(b.load(b.offset(kept[kind], "i64", r), "i64"), b.mul(bound.step, taps[bound.axis]))
                    inside = b.and_(inside, self._inside(p, p, bound))
            place, sums = rows.row(r)
            reached.add(b.add(place, shift), sums, inside)
            return []

        counted(b, ZERO, rows.count(), 1, [], once)
        return reached.count()

    # -- sums ---------------------------------------------------------------------------------
    def _sum(self, panel: Panel) -> None:
        axes = self._merged(self.axes)
        self._zeros(self.whole, panel, axes)
        self._terms(axes, self.whole, panel, ZERO, ZERO, NO)
        for kind, rows in enumerate((self.level, self.part)):
            if rows is not None:
                self._border(rows, kind, panel)

    def _zeros(self, rows: _List, panel: Panel, axes: Sequence[_Axis]) -> None:
        """Zeros where there are no terms at all."""
        b, none = self.b, NO
        for axis in axes:
            none = b.or_(none, b.icmp("sle", axis.count, 0))

        def fill() -> list[Val]:
            self._tiles(rows, rows.count(), panel, ZERO, ZERO, ONE, ZERO, ZERO, ZERO, NO)
            return []

        when(b, none, [], fill)

    def _border(self, rows: _List, kind: int, panel: Panel) -> None:
        """The rows of a border: taps one by one along the axes before the edge, or along all that are bounded."""
        b, reached = self.b, self.reached
        assert reached is not None
        split = self.splits[kind]
        count = rows.count()

        def some() -> list[Val]:
            self._tiles(rows, count, panel, ZERO, ZERO, ONE, ZERO, ZERO, ZERO, NO)

            def tap(left: Val, right: Val, taps: dict[int, Val]) -> None:
                many = self._reach(rows, kind, taps, left)

                def reach() -> list[Val]:
                    self._terms(self._merged(self.axes[split:]), reached, panel, ZERO, right, YES)
                    return []

                when(b, b.icmp("sgt", many, 0), [], reach)

            self._taps(self.axes[:split], 0, ZERO, ZERO, {}, tap)
            return []

        when(b, b.icmp("sgt", count, 0), [], some)

    def _taps(
        self,
        axes: Sequence[_Axis],
        number: int,
        left: Val,
        right: Val,
        taps: dict[int, Val],
        body: Callable[[Val, Val, dict[int, Val]], None],
    ) -> None:
        """`body` at every turn of the axes, in order, with what to add to the places in both operands."""
        if not axes:
            body(left, right, taps)
            return
        b, (axis, *rest) = self.b, axes

        def turn(t: Val, _: list[Val]) -> list[Val]:
            at = b.add(left, b.mul(t, axis.left)), b.add(right, b.mul(t, axis.rows))
            self._taps(rest, number + 1, *at, taps | {number: t}, body)
            return []

        counted(b, ZERO, axis.count, 1, [], turn)

    def _merged(self, axes: Sequence[_Axis]) -> list[_Axis]:
        """Axes as few as can be, where all their turns count: those that lie in memory as one are one."""
        b, dims = self.b, dict(self.contract.axes)
        out: list[tuple[_Axis, Dim, Dim, Dim]] = []
        for axis in axes:
            left, right = step_along(self.left.index, axis.var), step_along(self.right.index, axis.var)
            extent = dims[axis.var]
            if out and out[-1][1] == left * extent and out[-1][2] == right * extent:
                before, _, _, wide = out.pop()
                merged = _Axis(axis.var, b.mul(before.count, axis.count), axis.left, axis.rows)
                out.append((merged, left, right, wide * extent))
            else:
                out.append((axis, left, right, extent))
        return [axis for axis, *_ in out]

    def _terms(self, axes: Sequence[_Axis], rows: _List, panel: Panel, left: Val, right: Val, keep: Val) -> None:
        """The terms of listed rows over axes: of the last two in blocks that fit the fastest cache."""
        b = self.b
        *outer, inner = axes
        second = outer.pop() if outer else _Axis("", ONE, ZERO, ZERO)
        several = b.intrinsic("smax", [ONE, b.udiv(const("i64", BLOCK_DEPTH), b.intrinsic("smax", [ONE, inner.count]))])
        started = self.b.local("i1", 1)
        b.store(keep, started)

        def here(at_left: Val, at_right: Val, _: dict[int, Val]) -> None:
            def part(t: Val, carried: list[Val]) -> list[Val]:
                (first,) = carried
                turns = b.intrinsic("smin", [several, b.sub(second.count, first)])
                l1, r1 = b.add(at_left, b.mul(first, second.left)), b.add(at_right, b.mul(first, second.rows))

                def block(k: Val, depth: Val) -> None:
                    l2, r2 = b.add(l1, b.mul(k, inner.left)), b.add(r1, b.mul(k, inner.rows))
                    args = (l2, r2, turns, second.left, second.rows, depth)
                    self._tiles(rows, rows.count(), panel, *args, b.load(started, "i1"))
                    b.store(YES, started)

                evenly(b, ZERO, inner.count, BLOCK_DEPTH, block)
                return [b.add(first, turns)]

            count = b.udiv(b.add(second.count, b.sub(several, 1)), several)
            counted(b, ZERO, count, 1, [ZERO], part)

        self._taps(outer, 0, left, right, {}, here)

    def _tiles(
        self,
        rows: _List,
        count: Val,
        panel: Panel,
        left: Val,
        right: Val,
        outer: Val,
        left_step: Val,
        right_step: Val,
        depth: Val,
        keep: Val,
    ) -> None:
        """Adds up `outer` times `depth` terms of listed rows, from so many elements and rows on."""
        b = self.b
        start = b.offset(self.f.buffers[self.left.buffer], MEMORY[self.left.dtype], left)
        place = b.offset(panel.place, MEMORY[self.right.dtype], b.mul(right, panel.step))
        step, fetch = b.mul(right_step, panel.step), self._fetch(count, panel, place, outer, depth)
        args = [count, panel.width, start, ZERO, left_step, place, panel.step, step, outer, depth]
        b.call(self.micro.function(), "void", [*args, *fetch, self.sums, keep, rows.table])

    # -- epilogue -----------------------------------------------------------------------------
    def _finish_line(self, begin: Val, end: Val, before: Val, panel: Panel) -> None:
        counted(self.b, begin, end, 1, [], lambda x, _: self._finish(x, self.b.add(before, x), panel))
