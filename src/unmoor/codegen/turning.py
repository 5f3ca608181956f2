"""Loops that turn what they read: elements side by side along one loop become side by side along the loop inside it.

Such as a tensor that changes the place of its channels. Blocks of as many elements each way as a vector has lanes are
read in vectors along the outer loop, turned in registers, and written in vectors along the inner one. Blocks come in
tiles of a cache line each way, so that lines are read and written whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unmoor.codegen.builder import Val, const, const_lanes
from unmoor.codegen.counted import counted, when
from unmoor.codegen.frame import Lanes
from unmoor.codegen.packing import transposed
from unmoor.ir.kernel import Let, Loop, Store
from unmoor.ir.scalar import FUNCTIONS, Apply, Expr, Load

if TYPE_CHECKING:
    from unmoor.codegen.nest import Nest

ZERO = const("i64", 0)
MOST_READS = 3  # that are turned in one loop
MOST_WORK = 12  # operations for an element: a tile repeats them for each vector


def is_turning(loop: Loop, lanes: int) -> bool:
    """Whether some reads lie side by side along the loop, and all writes along the only loop inside it."""
    if len(loop.body) != 1 or not isinstance(inner := loop.body[0], Loop):
        return False
    if not all(isinstance(s, Let | Store) for s in inner.body) or loop.var in inner.extent.symbols:
        return False
    if loop.extent.is_const and loop.extent.value < lanes:
        return False
    work = [e for s in inner.body if isinstance(s, Let | Store) for e in _operations(s.value)]
    if len(work) > MOST_WORK or any(FUNCTIONS[e.fn].costly for e in work):
        return False
    stores = [s for s in inner.body if isinstance(s, Store)]
    written = {s.buffer for s in stores}
    if not all(s.index.coefficient(inner.var) == 1 for s in stores):
        return False
    return 1 <= len(_turned(loop, inner)) <= MOST_READS and all(x.buffer not in written for x in _reads(inner))


def emit_turning(nest: Nest, loop: Loop, begin: Val, end: Val) -> None:
    """The turns [begin, end)."""
    _Turning(nest, loop).emit(begin, end)


class _Turning:
    def __init__(self, nest: Nest, loop: Loop) -> None:
        self.nest, self.f, self.b, self.lanes, self.loop = nest, nest.f, nest.f.b, nest.lanes, loop
        (inner,) = loop.body
        assert isinstance(inner, Loop)
        self.inner, self.reads = inner, _turned(loop, inner)
        self.tile = self.lanes if self.b.module.avx512 else self.lanes * 2  # a cache line of what fills a vector

    def emit(self, begin: Val, end: Val) -> None:
        b, n, tile = self.b, self.f.size(self.inner.extent), self.tile

        def strip(i: Val, _: list[Val]) -> list[Val]:
            j, _ = counted(b, ZERO, n, tile, [], lambda j, _: self._tile(i, j))
            self._edge(i, b.add(i, tile), j, n)
            return []

        i, _ = counted(b, begin, end, tile, [], strip)
        self._edge(i, end, ZERO, n)

    def _tile(self, i: Val, j: Val) -> list[Val]:
        """Whole blocks."""
        b = self.b
        for down in range(0, self.tile, self.lanes):
            for along in range(0, self.tile, self.lanes):
                self._block(b.add(i, down), b.add(j, along), None, None)
        return []

    def _edge(self, i: Val, end: Val, first: Val, n: Val) -> None:
        """Blocks that may be narrower, of the turns i .. end-1 and the inner ones from `first` on."""
        b = self.b

        def blocks(r: Val, _: list[Val]) -> list[Val]:
            at = b.add(i, r)

            def block(c: Val, _: list[Val]) -> list[Val]:
                here = b.add(first, c)
                self._block(at, here, self._live(at, end), self._live(here, n))
                return []

            counted(b, ZERO, b.add(b.sub(n, first), self.lanes - 1), self.lanes, [], block)
            return []

        counted(b, ZERO, b.add(b.sub(end, i), self.lanes - 1), self.lanes, [], blocks)

    def _live(self, at: Val, end: Val) -> Val:
        return self.b.intrinsic("smin", [const("i64", self.lanes), self.b.sub(end, at)])

    def _block(self, i: Val, j: Val, down: Val | None, along: Val | None) -> None:
        """A block of `down` turns of the loop and `along` of the inner one; None: as many as lanes."""
        b, f, outer, inner = self.b, self.f, self.loop.var, self.inner.var
        given: list[list[Val]] = []
        for read in self.reads:
            columns = []
            for k in range(self.lanes):
                last = const("i64", k) if along is None else b.intrinsic("smin", [const("i64", k), b.sub(along, 1)])
                lanes = Lanes(outer, self.lanes, self._mask(down), down)
                with f.at(**{outer: i, inner: b.add(j, last)}), f.vector(lanes):
                    columns.append(f.load(read))
            given.append(transposed(b, columns))

        def row(r: int) -> list[Val]:
            lanes = Lanes(inner, self.lanes, self._mask(along), along)
            with f.at(**{outer: b.add(i, r), inner: j}), f.vector(lanes):
                f.given = {read: turned[r] for read, turned in zip(self.reads, given, strict=True)}
                self.nest.body(self.inner.body)
                f.given = {}
            return []

        for r in range(self.lanes):
            if down is None or r == 0:
                row(r)
            else:
                when(b, b.icmp("slt", const("i64", r), down), [], lambda r=r: row(r))  # type: ignore[misc]

    def _mask(self, live: Val | None) -> Val | None:
        if live is None:
            return None
        return self.b.icmp("slt", const_lanes("i64", range(self.lanes)), self.b.broadcast(live, self.lanes))


def _turned(loop: Loop, inner: Loop) -> list[Load]:
    """The reads that lie side by side along the loop, and apart along the inner one."""
    found = []
    for read in _reads(inner):
        along = read.index.coefficient(inner.var)
        if read.index.coefficient(loop.var) == 1 and along is not None and along != 0 and along != 1:
            found.append(read)
    return list(dict.fromkeys(found))


def _reads(inner: Loop) -> list[Load]:
    return [x for s in inner.body if isinstance(s, Let | Store) for x in _loads(s.value)]


def _loads(e: Expr) -> list[Load]:
    if isinstance(e, Load):
        return [e]
    return [x for a in e.args for x in _loads(a)] if isinstance(e, Apply) else []


def _operations(e: Expr) -> list[Apply]:
    return [e, *(x for a in e.args for x in _operations(a))] if isinstance(e, Apply) else []
