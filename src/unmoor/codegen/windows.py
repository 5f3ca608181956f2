"""Folds over windows, such as depthwise convolutions and pools: several windows at a time, their taps written out.

Windows beside each other share most of what they read. So a block of them accumulates in registers, and each vector
that they share is loaded once. Blocks are of windows that lie inside the bounds; the few at the borders run one by one.
Where lanes share elements, as in convolutions of groups of few channels, the channels of a group are written out too:
they are lanes of one vector that is loaded once.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from unmoor.codegen import math
from unmoor.codegen.accumulate import neutral
from unmoor.codegen.builder import Val, const
from unmoor.codegen.counted import counted, when
from unmoor.codegen.frame import Lanes, repeated
from unmoor.ir.dim import Dim, sym
from unmoor.ir.kernel import Fold, Let, Loop, Store
from unmoor.ir.scalar import Apply
from unmoor.ir.walk import extents_of, indices_of, rewrite_expr

if TYPE_CHECKING:
    from unmoor.codegen.nest import Nest

MOST_TAPS = 11  # taps along the windows that are written out
MOST_TERMS = 16  # taps and channels of a group that are
FURTHEST = 8  # steps and dilations up to which it is seen what windows share
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
    if fold.fn not in ("add", "max", "min") or fold.body or not (count.is_const and 1 < count.value <= MOST_TAPS):
        return False
    if any(loop.var in d.symbols for d in extents_of(loop.body)):
        return False
    moving = [(p, e) for p, e in fold.inside if loop.var in p.symbols]
    along = [p.coefficient(loop.var) for p, _ in moving]
    return (
        all(d.coefficient(loop.var) is not None and d.coefficient(taps) is not None for d in indices_of(loop.body))
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
        self.shared = any(repeated(d, inner.var) for d in indices_of((self.fold,)))
        self.outer, self.channels = self._written_out()
        self.bound = next(((p, e) for p, e in self.fold.inside if loop.var in p.symbols), None)
        registers = 32 if self.b.module.avx512 else 16
        # beside the sums stand a weight of each tap, and room; of many terms the weights are read where they lie
        self.block = 12 if self.shared else max(2, min(6, registers - 3 - self.count))

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
        at = low
        for size in dict.fromkeys((self.block, *((4,) if self.shared else ()), 2, 1)):
            at, _ = counted(b, at, high, size, [], lambda i, _, size=size: self._windows(i, size))  # type: ignore[misc]
        if self.bound is not None:
            counted(b, high, end, 1, [], self._border)

    def _written_out(self) -> tuple[list[tuple[str, Dim]], list[tuple[str, Dim]]]:
        """The axes before the taps: those that are loops, and where lanes share elements the last ones that are not."""
        outer, terms = list(self.fold.axes[:-1]), self.count
        written: list[tuple[str, Dim]] = []
        bounded = {s for position, _ in self.fold.inside for s in position.symbols}
        while self.shared and outer and outer[-1][0] not in bounded and outer[-1][1].is_const:
            terms *= outer[-1][1].value
            if terms > MOST_TERMS:
                break
            written.insert(0, outer.pop())
        return outer, written

    def _coefficient(self, position: Dim, var: str) -> int:
        step = position.coefficient(var)
        assert step is not None
        return step.value

    def _ceiling(self, a: Val, by: int) -> Val:
        """a / by rounded up."""
        return a if by == 1 else self.f.floor_divide(self.b.add(a, by - 1), const("i64", by))

    def _border(self, i: Val, _: list[Val]) -> list[Val]:
        """One window that may reach out."""
        return self.nest.turn(self.loop.var, i, self.loop.body)

    def _windows(self, i: Val, count: int) -> list[Val]:
        """`count` windows from i, all inside, over all channels: whole vectors, then the rest under a mask."""
        b, inner, lanes = self.b, self.inner, self.nest.lanes
        end = self.f.size(inner.extent)

        def whole(c: Val, _: list[Val]) -> list[Val]:
            with self.f.vector(Lanes(inner.var, lanes, even=True)):
                return self._vector(i, c, count)

        def rest(c: Val) -> list[Val]:
            with self.nest.masked(inner.var, b.sub(end, c), even=True):
                return self._vector(i, c, count)

        c, _ = counted(b, ZERO, end, lanes, [], whole)
        if not inner.extent.is_const or inner.extent.value % lanes:
            when(b, b.icmp("slt", c, end), [], lambda: rest(c))
        return []

    def _vector(self, i: Val, c: Val, count: int) -> list[Val]:
        """A vector of channels of each window, with what follows the fold."""
        fold, var = self.fold, self.loop.var
        dtype = fold.value.dtype
        with self.f.at(**{var: i, self.inner.var: c}):
            start = [neutral(fold.fn, dtype, self.nest.lanes)] * count
            others = tuple(p for p in fold.inside if p != self.bound)
            sums = self.nest.axes(others, self.outer, start, self._along)
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

    def _along(self, sums: list[Val]) -> list[Val]:
        """The sums after all taps along the windows, in the order of what is read: a vector serves the windows that
        share it, and is then forgotten, while the weights stay. A window meets its taps in order."""
        along, step = self._pace()
        channels = list(itertools.product(*(range(extent.value) for _, extent in self.channels)))
        terms = [(r * along + t * step, c, r, t) for r in range(len(sums)) for t in range(self.count) for c in channels]
        sums = list(sums)
        for _, c, r, t in sorted(terms):
            sums[r] = self._tap(sums[r], r, t, c)
        return sums

    def _tap(self, total: Val, r: int, t: int, channel: tuple[int, ...]) -> Val:
        """The sum of window r after its tap t of a channel. A product is added as one operation."""
        f, fold, value = self.f, self.fold, self.fold.value
        fixed = {var: place for (var, _), place in zip(self.channels, channel, strict=True)}

        def moved(d: Dim) -> Dim:
            return d.substitute({self.loop.var: sym(self.loop.var) + r, self.taps: t, **fixed})

        value = rewrite_expr(value, moved)
        exact = value.dtype.is_float and value.dtype is value.dtype.compute
        if exact and fold.fn == "add" and isinstance(value, Apply) and value.fn == "mul":
            x, weight = (f.full(f.expr(a)) for a in value.args)
            return self.b.fma(x, weight, total)
        return math.expand(self.b, fold.fn, value.dtype, [total, f.full(f.expr(value))])

    def _pace(self) -> tuple[int, int]:
        """How far a window and a tap move on in what is read, in a common unit."""
        for index in indices_of(self.inner.body):
            window, tap = index.coefficient(self.loop.var), index.coefficient(self.taps)
            if window is None or tap is None or window == 0 or tap == 0:
                continue
            for along in range(1, FURTHEST):
                for step in range(1, FURTHEST):
                    if window * step == tap * along:
                        return along, step
        return 1, 1
