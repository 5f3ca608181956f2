"""Loop nests: chooses which loop runs in vectors, and emits loops, folds and stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from unmoor.codegen import math
from unmoor.codegen.accumulate import COUNT, accumulators, neutral
from unmoor.codegen.ahead import Ahead
from unmoor.codegen.builder import COMPUTE, Val, const, const_lanes, lanes_of, vec
from unmoor.codegen.counted import counted, when
from unmoor.codegen.frame import Frame, Lanes, repeated
from unmoor.codegen.packing import emit_packing, is_packing
from unmoor.codegen.places import Places
from unmoor.codegen.tile import Contraction, is_contraction, is_plain
from unmoor.codegen.turning import emit_turning, is_turning
from unmoor.codegen.windows import emit_windows, is_windows
from unmoor.dtypes import DType
from unmoor.ir.dim import Dim, nonnegative
from unmoor.ir.kernel import Contract, Fold, Index, Let, Loop, Stmt, Store
from unmoor.ir.scalar import Apply, Expr, Load

Body = tuple[Stmt, ...]
Turn = Callable[[list[Val]], list[Val]]
Bounds = tuple[tuple[Dim, Dim], ...]


class Nest:
    """Emits the statements of one kernel. `lanes` is the vector length in force for it."""

    def __init__(self, frame: Frame, lanes: int) -> None:
        self.f = frame
        self.lanes = lanes
        self.ahead = Ahead(frame)

    def outermost(self, loop: Loop, begin: Val, end: Val) -> None:
        """Iterations [begin, end) of the kernel's outermost loop."""
        self._loop(loop, begin, end)

    def body(self, statements: Body) -> None:
        """Statements in order."""
        for stmt in statements:
            if isinstance(stmt, Let):
                self.f.values[stmt.name] = self.f.expr(stmt.value)
            elif isinstance(stmt, Index):
                self.f.name_index(stmt.name, self.f.expr(stmt.value), stmt.extent)
            elif isinstance(stmt, Store):
                self.f.store(stmt.buffer, stmt.index, self.f.expr(stmt.value))
            elif isinstance(stmt, Loop):
                self._loop(stmt, const("i64", 0), self.f.size(stmt.extent))
            elif isinstance(stmt, Fold):
                self.f.values[stmt.name] = self._fold(stmt)
            else:
                raise AssertionError("a contraction stands outside its row and column loops")

    # -- loops --------------------------------------------------------------------------------
    def _loop(self, loop: Loop, begin: Val, end: Val) -> None:
        if is_contraction(loop):
            kind = Contraction if is_plain(loop) else Places
            kind(self.f, loop, self.lanes).emit(begin, end)
        elif self.f.lanes is None and self.lanes > 1 and is_packing(loop, self.f.layout):
            emit_packing(self, loop, begin, end)
        elif self.f.lanes is None and self.lanes > 1 and is_turning(loop, self.lanes) and not self._in_panels(loop):
            emit_turning(self, loop, begin, end)
        elif self.f.lanes is None and self.lanes > 1 and self._windows_in_vectors(loop):
            emit_windows(self, loop, begin, end)
        elif self.f.lanes is None and self.lanes > 1 and self._runs_in_vectors(loop):
            self._vector_loop(loop, begin, end)
        else:
            counted(self.f.b, begin, end, 1, [], lambda i, _: self.turn(loop.var, i, loop.body))

    def _in_panels(self, loop: Loop) -> bool:
        """Whether something that a loop reads or writes lies in panels."""
        buffers = {load.buffer for load in _loads(loop.body)} | {
            s.buffer for s in _walk(loop.body) if isinstance(s, Store)
        }
        return any(self.f.layout[name].panels is not None for name in buffers)

    def turn(self, var: str, i: Val, body: Body) -> list[Val]:
        """The body of a loop at index i."""
        values = dict(self.f.values)
        with self.f.at(**{var: i}):
            self.body(body)
        self.f.values = values
        return []

    def _vector_loop(self, loop: Loop, begin: Val, end: Val) -> None:
        """Whole vectors first, several at a time where that is worth it, then the rest under a mask."""
        b = self.f.b
        several, even = _abreast(loop), begin.text == "0"

        def whole(count: int, i: Val, _: list[Val]) -> list[Val]:
            with self.f.vector(Lanes(loop.var, self.lanes, even=even)):
                places = [b.add(i, k * self.lanes) if k else i for k in range(count)]
                self.ahead.fetch(loop, places if count == several else [], self.lanes)
                b.interleaved([partial(self.turn, loop.var, place, loop.body) for place in places])
                return []

        def rest(i: Val) -> list[Val]:
            with self.masked(loop.var, b.sub(end, i), even):
                return self.turn(loop.var, i, loop.body)

        i = begin
        for count in sorted({several, 1}, reverse=True):
            i, _ = counted(b, i, end, self.lanes * count, [], partial(whole, count))
        when(b, b.icmp("slt", i, end), [], lambda: rest(i))

    @contextmanager
    def masked(self, var: str, live: Val, even: bool) -> Iterator[Val]:
        """The vector axis with only its first `live` lanes; gives their mask."""
        b = self.f.b
        ids = const_lanes("i64", range(self.lanes))
        mask = b.icmp("slt", ids, b.broadcast(live, self.lanes))
        with self.f.vector(Lanes(var, self.lanes, mask, live, even)):
            yield mask

    def _windows_in_vectors(self, loop: Loop) -> bool:
        """Whether the loop runs over windows whose channels are best read in vectors."""
        return is_windows(loop) and self._runs_in_vectors(loop.body[0])  # type: ignore[arg-type]

    def _runs_in_vectors(self, loop: Loop) -> bool:
        """Whether the loop is the best one of its nest to vectorise."""
        inner = [s for s in _walk(loop.body) if isinstance(s, Loop | Fold)]
        named = _names(loop.body)
        for s in _walk(loop.body):
            if isinstance(s, Store) and (s.index.coefficient(loop.var) != 1 or named & s.index.symbols):
                return False
        if _carries(loop):
            return False
        bounded = [position for s in inner if isinstance(s, Fold) for position, _ in s.inside]
        if any(loop.var in p.symbols or named & p.symbols for p in bounded):
            return False
        if any(loop.var in d.symbols for s in inner for d in _extents(s)):
            return False
        if not inner:
            return True
        inside_is_good = all(self._fold_runs_in_vectors(s) if isinstance(s, Fold) else True for s in inner)
        return not inside_is_good and all(
            not named & x.index.symbols and (_is_short(x.index.coefficient(loop.var)) or repeated(x.index, loop.var))
            for x in _loads(loop.body)
        )

    # -- folds --------------------------------------------------------------------------------
    def _fold_runs_in_vectors(self, fold: Fold) -> bool:
        """Whether the last axis lies side by side in every load and store of the fold."""
        var = fold.axes[-1][0]
        body: Body = (*fold.body, Let("", fold.value))
        if any(var in position.symbols for position, _ in fold.inside):
            return False
        if fold.fn in ("argmax", "argmin") or any(isinstance(s, Loop | Fold | Index) for s in fold.body):
            return False
        steps = [x.index.coefficient(var) for x in _loads(body)]
        stores = [s.index.coefficient(var) for s in fold.body if isinstance(s, Store)]
        return all(map(_is_short, steps)) and all(s == 1 for s in stores)

    def _fold(self, fold: Fold) -> Val:
        if fold.fn in ("argmax", "argmin"):
            return self._arg_fold(fold)
        dtype = fold.value.dtype
        if self.f.lanes is None and self.lanes > 1 and self._fold_runs_in_vectors(fold):
            return self._vector_fold(fold)
        start = neutral(fold.fn, dtype, self.f.lanes.count if self.f.lanes else 1)
        (total,) = self.axes(fold.inside, list(fold.axes), [start], lambda acc: [self._step(fold, acc[0])])
        return total

    def axes(self, inside: Bounds, axes: list[tuple[str, Dim]], carried: list[Val], turn: Turn) -> list[Val]:
        """Scalar loops over all the axes, as far as they are inside bounds, with accumulators carried through."""
        if not axes:
            values = dict(self.f.values)
            made = turn(carried)
            self.f.values = values
            return list(made)
        (var, extent), *rest = axes

        def once(i: Val, acc: list[Val]) -> list[Val]:
            with self.f.at(**{var: i}):
                return self.axes(inside, rest, acc, turn)

        begin, end = self._range(var, extent, inside)
        _, after = counted(self.f.b, begin, end, 1, carried, once)
        return after

    def _range(self, var: str, extent: Dim, inside: Bounds) -> tuple[Val, Val]:
        """The turns of an axis that are inside its bounds."""
        b, begin, end = self.f.b, const("i64", 0), self.f.size(extent)
        for position, size in inside:
            if var in position.symbols:
                step = position.coefficient(var)
                assert step is not None
                with self.f.at(**{var: const("i64", 0)}):
                    first = self.f.size(position)
                low, high = (self._ceiling(b.sub(x, first), step) for x in (const("i64", 0), self.f.size(size)))
                begin, end = b.intrinsic("smax", [begin, low]), b.intrinsic("smin", [end, high])
        return begin, end

    def _ceiling(self, a: Val, by: Dim) -> Val:
        """a / by rounded up, for a positive divisor."""
        return a if by == 1 else self.f.floor_divide(self.f.b.add(a, self.f.size(by - 1)), self.f.size(by))

    def _step(self, fold: Fold, acc: Val) -> Val:
        """The accumulator after one more element (or vector of them)."""
        self.body(fold.body)
        value = self.f.full(self.f.expr(fold.value)) if self.f.lanes else self.f.expr(fold.value)
        return self._combine(fold.fn, fold.value.dtype, acc, value)

    def _combine(self, fn: str, dtype: DType, a: Val, c: Val) -> Val:
        return math.expand(self.f.b, fn, dtype, [a, c])

    def _vector_fold(self, fold: Fold) -> Val:
        """Vectors along the last axis, folded into several accumulators."""
        *outer, (var, extent) = fold.axes
        b, dtype = self.f.b, fold.value.dtype
        sums = accumulators(b, fold.fn, dtype, self.lanes)

        def element(i: Val) -> Val:
            values = dict(self.f.values)
            with self.f.at(**{var: i}):
                self.body(fold.body)
                made = self.f.full(self.f.expr(fold.value))
            self.f.values = values
            return made

        def turn(i: Val, carried: list[Val], count: int) -> list[Val]:
            with self.f.vector(Lanes(var, self.lanes, even=True)):
                places = [b.add(i, k * self.lanes) if k else i for k in range(count)]
                self.ahead.fetch(fold, places if count == COUNT else [], self.lanes)
                return sums.join(carried, b.interleaved([partial(element, place) for place in places]))

        def along(carried: list[Val]) -> list[Val]:
            end = self.f.size(extent)
            i, carried = counted(b, const("i64", 0), end, self.lanes * COUNT, carried, lambda i, c: turn(i, c, COUNT))
            i, carried = counted(b, i, end, self.lanes, carried, lambda i, c: turn(i, c, 1))

            def rest() -> list[Val]:
                with self.masked(var, b.sub(end, i), even=True) as mask:
                    return sums.join(carried, [b.select(mask, element(i), neutral(fold.fn, dtype, self.lanes))])

            return when(b, b.icmp("slt", i, end), carried, rest)

        return self._across(fold.fn, dtype, sums.total(self.axes(fold.inside, outer, sums.start(), along)))

    def _across(self, fn: str, dtype: DType, x: Val) -> Val:
        """The lanes of a vector folded into one, by halves."""
        lanes = lanes_of(x.type)
        while lanes > 1:
            lanes //= 2
            low = self.f.b.shuffle(x, None, range(lanes))
            high = self.f.b.shuffle(x, None, range(lanes, 2 * lanes))
            x = self._combine(fn, dtype, low, high)
        return x

    def _arg_fold(self, fold: Fold) -> Val:
        """The row-major position of the first extreme, or of the first NaN."""
        b, dtype = self.f.b, fold.value.dtype
        lanes = self.f.lanes.count if self.f.lanes else 1
        none = const(vec("i64", lanes), -1)
        start = [const(vec(COMPUTE[dtype], lanes), 0), none, const("i64", 0)]

        def turn(carried: list[Val]) -> list[Val]:
            best, place, here = carried
            self.body(fold.body)
            value = self.f.full(self.f.expr(fold.value))
            better = math.expand(b, "gt" if fold.fn == "argmax" else "lt", dtype, [value, best])
            if dtype.is_float:
                news = b.and_(math.expand(b, "isnan", dtype, [value]), b.not_(math.expand(b, "isnan", dtype, [best])))
                better = b.or_(better, news)
            better = b.or_(better, b.icmp("slt", place, 0))
            at = here if lanes == 1 else b.broadcast(here, lanes)
            return [b.select(better, value, best), b.select(better, at, place), b.add(here, 1)]

        return self.axes(fold.inside, list(fold.axes), start, turn)[1]


def _is_short(step: Dim | None) -> bool:
    """Whether lanes that are so far apart read the same element, or elements side by side."""
    return step is not None and (step == 0 or step == 1)


def _abreast(loop: Loop) -> int:
    """How many vectors of a loop are computed side by side, so that each waits less for what it has just computed."""
    if not all(isinstance(s, Let | Store) and not math.branches(s.value) for s in loop.body):
        return 1
    stores = {(s.buffer, s.index) for s in loop.body if isinstance(s, Store)}
    written = {buffer for buffer, _ in stores}
    return 2 if all(x.buffer not in written or (x.buffer, x.index) in stores for x in _loads(loop.body)) else 1


def _walk(body: Sequence[Stmt]) -> Iterator[Stmt]:
    for stmt in body:
        yield stmt
        if isinstance(stmt, Loop | Fold):
            yield from _walk(stmt.body)


def _names(body: Sequence[Stmt]) -> frozenset[str]:
    """The indices made of data in a loop: they may differ from turn to turn."""
    return frozenset(s.name for s in _walk(body) if isinstance(s, Index))


def _carries(loop: Loop) -> bool:
    """Whether a turn may read what an earlier one has stored, so that turns cannot run side by side."""
    loads: dict[str, list[Dim]] = {}
    for load in _loads(loop.body):
        loads.setdefault(load.buffer, []).append(load.index)
    for store in (s for s in _walk(loop.body) if isinstance(s, Store)):
        for index in loads.get(store.buffer, ()):
            ahead = store.index - index
            if not (nonnegative(-ahead) or nonnegative(ahead - loop.extent)):
                return True
    return False


def _extents(stmt: Loop | Fold) -> list[Dim]:
    return [stmt.extent] if isinstance(stmt, Loop) else [e for _, e in stmt.axes]


def _loads(body: Sequence[Stmt]) -> Iterator[Load]:
    for stmt in _walk(body):
        if isinstance(stmt, Let | Index | Store | Fold):
            yield from _expr_loads(stmt.value)
        elif isinstance(stmt, Contract):
            yield from (stmt.left, stmt.right)


def _expr_loads(e: Expr) -> Iterator[Load]:
    if isinstance(e, Load):
        yield e
    elif isinstance(e, Apply):
        for a in e.args:
            yield from _expr_loads(a)
