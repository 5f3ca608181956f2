"""Folds over windows, such as depthwise convolutions and pools: several windows at a time, with their taps written out.

Windows beside each other share most of what they read. So a block of them accumulates in registers, and each vector that
they share is loaded once. Blocks are of windows that lie inside the bounds; the few at the borders run one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from unmoor.codegen import math
from unmoor.codegen.accumulate import neutral
from unmoor.codegen.builder import Val, const
from unmoor.codegen.counted import counted, when
from unmoor.codegen.frame import Lanes
from unmoor.ir.dim import Dim, sym
from unmoor.ir.kernel import Fold, Let, Loop, Store
from unmoor.ir.walk import extents_of, indices_of, rewrite_expr

if TYPE_CHECKING:
    from unmoor.codegen.nest import Nest

MOST_TAPS = 11  # taps along the windows that are written out
ZERO = const("i64", 0)


def is_windows(loop: Loop) -> bool:
    """Whether the loop runs over windows beside each other: around one loop over channels with one fold over taps."""
    if len(loop.body) != 1 or not isinstance(inner := loop.body[0], Loop):
        return False
    folds = [s for s in inner.body if isinstance(s, Fold)]
    if len(folds) != 1 or not all(isinstance(s, Let | Store | Fold) for s in inner.body):
        return False
    (fold,) = folds
    taps, count = fold.axes[-1]
    if fold.fn not in ("add", "max", "min") or fold.body or not (count.is_const and count.value <= MOST_TAPS):
        return False
    if any(loop.var in d.symbols for d in extents_of(loop.body)):
        return False
    moving = [(p, e) for p, e in fold.inside if loop.var in p.symbols]
    along = [p.coefficient(loop.var) for p, _ in moving]
    return (
        all(d.coefficient(loop.var) is not None for d in indices_of(loop.body))
        and len(moving) <= 1
        and all(c is not None and c.is_const and c.value > 0 for c in along)
        and all(taps in p.symbols for p, _ in moving)
        and all(p in moving or taps not in p[0].symbols for p in fold.inside)
    )


def emit_windows(nest: Nest, loop: Loop, begin: Val, end: Val) -> None:
    """The windows [begin, end)."""
    _Windows(nest, loop).emit(begin, end)


class _Windows:
    def __init__(self, nest: Nest, loop: Loop) -> None:
        self.nest, self.f, self.b, self.loop = nest, nest.f, nest.f.b, loop
        (inner,) = loop.body
        assert isinstance(inner, Loop)
        self.inner = inner
        (self.fold,) = (s for s in inner.body if isinstance(s, Fold))
        self.taps, count = self.fold.axes[-1]
        self.count = count.value
        self.bound = next(((p, e) for p, e in self.fold.inside if loop.var in p.symbols), None)
        self.block = 8 if self.b.module.avx512 else 4

    def emit(self, begin: Val, end: Val) -> None:
        b = self.b
        low, high = begin, end
        if self.bound is not None:
            position, extent = self.bound
            along, step = self._coefficient(position, self.loop.var), self._coefficient(position, self.taps)
            with self.f.at(**{self.loop.var: ZERO, self.taps: ZERO}):
                first = self.f.size(position)
            reach = b.sub(self.f.size(extent), b.add(first, step * (self.count - 1)))
            low = b.intrinsic("smin", [end, b.intrinsic("smax", [begin, self._ceiling(b.sub(0, first), along)])])
            high = b.intrinsic("smin", [end, b.intrinsic("smax", [low, self._ceiling(reach, along)])])
        counted(b, begin, low, 1, [], self._border)
        at, _ = counted(b, low, high, self.block, [], lambda i, _: self._windows(i, self.block))
        counted(b, at, high, 1, [], lambda i, _: self._windows(i, 1))
        counted(b, high, end, 1, [], self._border)

    def _coefficient(self, position: Dim, var: str) -> int:
        step = position.coefficient(var)
        assert step is not None
        return step.value

    def _ceiling(self, a: Val, by: int) -> Val:
        return a if by == 1 else self.f.floor_divide(self.b.add(a, by - 1), const("i64", by))

    def _border(self, i: Val, _: list[Val]) -> list[Val]:
        """One window that may reach out."""
        return self.nest.turn(self.loop.var, i, self.loop.body)

    def _windows(self, i: Val, count: int) -> list[Val]:
        """`count` windows from i, all inside, over all channels: whole vectors, then the rest under a mask."""
        b, inner, lanes = self.b, self.inner, self.nest.lanes
        end = self.f.size(inner.extent)

        def whole(c: Val, _: list[Val]) -> list[Val]:
            with self.f.vector(Lanes(inner.var, lanes)):
                return self._vector(i, c, count)

        def rest(c: Val) -> list[Val]:
            with self.nest.masked(inner.var, b.sub(end, c)):
                return self._vector(i, c, count)

        c, _ = counted(b, ZERO, end, lanes, [], whole)
        when(b, b.icmp("slt", c, end), [], lambda: rest(c))
        return []

    def _vector(self, i: Val, c: Val, count: int) -> list[Val]:
        fold, var = self.fold, self.loop.var
        dtype = fold.value.dtype
        with self.f.at(**{var: i, self.inner.var: c}):
            start = [neutral(fold.fn, dtype, self.nest.lanes)] * count
            others = tuple(p for p in fold.inside if p != self.bound)
            sums = self.nest.axes(others, list(fold.axes[:-1]), start, lambda acc: self._taps(acc))
        for r, total in enumerate(sums):
            values = dict(self.f.values)
            with self.f.at(**{var: self.b.add(i, r) if r else i, self.inner.var: c}):
                for stmt in self.inner.body:
                    if isinstance(stmt, Fold):
                        self.f.values[stmt.name] = total
                    else:
                        self.nest.body((stmt,))
            self.f.values = values
        return []

    def _taps(self, acc: list[Val]) -> list[Val]:
        """All taps along the windows of one block. What two windows both read has one index, and is loaded once."""
        fold, var = self.fold, self.loop.var

        def moved(r: int, t: int) -> Callable[[Dim], Dim]:
            return lambda d: d.substitute({var: sym(var) + r, self.taps: t})

        with self.f.reusing():
            for t in range(self.count):
                for r in range(len(acc)):
                    value = self.f.full(self.f.expr(rewrite_expr(fold.value, moved(r, t))))
                    acc[r] = math.expand(self.b, fold.fn, fold.value.dtype, [acc[r], value])
        return acc
