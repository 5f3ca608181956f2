"""Accumulators of a vector fold: several vectors that gather elements in turn, joined by a fixed tree at the end."""

from __future__ import annotations

import math as numbers
from collections.abc import Sequence

from unmoor.codegen import math
from unmoor.codegen.builder import COMPUTE, Builder, Val, const, vec
from unmoor.dtypes import Category, DType, bool_

COUNT = 4  # accumulators: enough to hide the latency of an addition


def neutral(fn: str, dtype: DType, lanes: int) -> Val:
    """What a fold of no elements gives, in `lanes` lanes."""
    type_ = vec(COMPUTE[dtype], lanes)
    if fn in ("add", "or"):
        return const(type_, 0)
    if fn in ("mul", "and"):
        return const(type_, 1)
    sign = -1 if fn == "max" else 1
    if dtype.category is Category.FLOAT:
        return const(type_, sign * numbers.inf)
    if dtype is bool_:
        return const(type_, fn == "min")
    bits = dtype.size * 8 - 1
    return const(type_, -(2**bits) if fn == "max" else 2**bits - 1)


class Accumulators:
    """Folds vectors with a scalar function. The carried values are its own: callers pass them through loops."""

    def __init__(self, b: Builder, fn: str, dtype: DType, lanes: int) -> None:
        self.b, self.fn, self.dtype, self.lanes = b, fn, dtype, lanes

    def start(self) -> list[Val]:
        """The carried values before the first element."""
        return [neutral(self.fn, self.dtype, self.lanes)] * COUNT

    def join(self, carried: Sequence[Val], vectors: Sequence[Val]) -> list[Val]:
        """The carried values after up to COUNT more vectors."""
        new = [self.combine(a, x) for a, x in zip(carried, vectors, strict=False)]
        return [*new, *carried[len(new) :]]

    def total(self, carried: Sequence[Val]) -> Val:
        """One vector out of all."""
        vectors = list(carried[:COUNT])
        while len(vectors) > 1:
            half = len(vectors) // 2
            vectors = [self.combine(vectors[k], vectors[k + half]) for k in range(half)]
        return vectors[0]

    def combine(self, a: Val, c: Val) -> Val:
        """The scalar function, lane by lane."""
        return math.expand(self.b, self.fn, self.dtype, [a, c])


class Extremes(Accumulators):
    """The largest or smallest float. A NaN wins, as in PyTorch; but to ask that of each step would double its cost.

    So the vectors keep the extreme of the numbers, and two more carried masks the lanes that met a NaN: one
    unordered comparison serves two vectors.
    """

    def start(self) -> list[Val]:
        none = const(vec("i1", self.lanes), 0)
        return [*super().start(), none, none]

    def join(self, carried: Sequence[Val], vectors: Sequence[Val]) -> list[Val]:
        seen = list(carried[COUNT:])
        for k in range(0, len(vectors), 2):
            pair = vectors[k : k + 2]
            seen[k // 2] = self.b.or_(seen[k // 2], self.b.fcmp("uno", pair[0], pair[-1]))
        return [*super().join(carried[:COUNT], vectors), *seen]

    def combine(self, a: Val, c: Val) -> Val:
        """The extreme of two, neither of them NaN or the first one's."""
        return self.b.select(self.b.fcmp("ogt" if self.fn == "max" else "olt", c, a), c, a)

    def total(self, carried: Sequence[Val]) -> Val:
        nan = self.b.or_(*carried[COUNT:])
        return self.b.select(nan, const(vec(COMPUTE[self.dtype], self.lanes), numbers.nan), super().total(carried))


def accumulators(b: Builder, fn: str, dtype: DType, lanes: int) -> Accumulators:
    """The accumulators for a fold's function."""
    kind = Extremes if fn in ("max", "min") and dtype.is_float else Accumulators
    return kind(b, fn, dtype, lanes)
