"""Fetches ahead: what the next turn of the outermost loop reads and writes, asked for while this one computes.

A row that is walked over several times waits for memory in its first pass, which has little else to do. So its pass
with the most arithmetic asks for the next row.
"""

from __future__ import annotations

from collections.abc import Iterator

from unmoor.codegen.builder import Val, const
from unmoor.codegen.frame import Frame
from unmoor.ir.dim import Dim
from unmoor.ir.kernel import Fold, Let, Loop, Stmt, Store
from unmoor.ir.scalar import FUNCTIONS, Apply, Expr, Load
from unmoor.ir.walk import walk

CACHE_LINE = 64
FURTHEST = 32 * 1024  # bytes: what is fetched longer before may be gone again


class Ahead:
    """Of one kernel: the pass that fetches, and the places that it fetches, at a step ahead of its own."""

    def __init__(self, frame: Frame) -> None:
        self.f = frame
        self.outer = frame.kernel.body.var
        passes = [s for s in frame.kernel.body.body if _axis(s) is not None]
        costs = [_cost(s) for s in passes]
        self.chosen: Stmt | None = None
        self.streams: dict[tuple[str, Dim], Dim] = {}
        if len(passes) > 1 and max(costs) > 0:
            self.chosen = passes[costs.index(max(costs))]
            for s in passes:
                self._collect(s)

    def _collect(self, stmt: Stmt) -> None:
        """The places of a pass that lie side by side and move on with the outermost loop."""
        axis, own = _axis(stmt), _axis(self.chosen)
        assert axis is not None and own is not None
        if axis[1] != own[1]:
            return
        for buffer, index in _places(stmt):
            at = index.substitute({axis[0]: Dim({((own[0], 1),): 1})})
            step = index.coefficient(self.outer)
            layout = self.f.layout[buffer]
            if step is None or step == 0 or at.coefficient(own[0]) != 1 or layout.panels or layout.role == "local":
                continue
            if step.symbols <= set(self.f.kernel.ints) and at.symbols <= {*self.f.kernel.ints, own[0], self.outer}:
                self.streams[buffer, at] = step

    def fetch(self, stmt: Stmt, places: list[Val], lanes: int) -> None:
        """Fetches what vectors at `places` of the pass `stmt` will need in the next turn: one request a cache line."""
        if stmt is not self.chosen:
            return
        axis = _axis(stmt)
        assert axis is not None
        for (buffer, index), step in self.streams.items():
            size = self.f.layout[buffer].dtype.size
            far = self.f.b.intrinsic("smin", [self.f.size(step), const("i64", FURTHEST // size)])
            for place in places[:: max(1, CACHE_LINE // (lanes * size))]:
                with self.f.at(**{axis[0]: self.f.b.add(place, far)}):
                    self.f.b.prefetch(self.f.address(buffer, index), soon=True)


def _axis(stmt: Stmt | None) -> tuple[str, Dim] | None:
    """The one axis of a pass over a row."""
    if isinstance(stmt, Fold) and len(stmt.axes) == 1:
        return stmt.axes[0]
    return (stmt.var, stmt.extent) if isinstance(stmt, Loop) else None


def _cost(stmt: Stmt) -> int:
    """How many costly functions a pass computes for one element; none where it is no plain pass."""
    assert isinstance(stmt, Fold | Loop)
    if not all(isinstance(s, Let | Store) for s in stmt.body):
        return 0
    return sum(isinstance(e, Apply) and FUNCTIONS[e.fn].costly for value in _values(stmt) for e in _parts(value))


def _values(stmt: Fold | Loop) -> Iterator[Expr]:
    for s in walk((stmt,)):
        if isinstance(s, Let | Store | Fold):
            yield s.value


def _parts(expr: Expr) -> Iterator[Expr]:
    yield expr
    if isinstance(expr, Apply):
        for a in expr.args:
            yield from _parts(a)


def _places(stmt: Stmt) -> Iterator[tuple[str, Dim]]:
    assert isinstance(stmt, Fold | Loop)
    for value in _values(stmt):
        yield from ((e.buffer, e.index) for e in _parts(value) if isinstance(e, Load))
    yield from ((s.buffer, s.index) for s in walk((stmt,)) if isinstance(s, Store))
