"""The iteration space of a fusion group, and whether a node fits into it.

A group iterates over the axes of one shape. Some axes may be folded by reductions; values of the group are
then *full* (one element per point) or *row* values (one per point of the axes that are kept).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from unmoor.ir.dim import Dim, sym
from unmoor.ops.access import ZERO, Index


@dataclass(frozen=True)
class Space:
    """The axes of `shape`, of which those in `folded` are reduced by the group's reductions."""

    shape: tuple[Dim, ...]
    folded: frozenset[int] = frozenset()

    @cached_property
    def point(self) -> Index:
        """The index of a full value: one symbol per axis, 0 for an axis of size 1."""
        return tuple(ZERO if e == 1 else sym(f"i{a}") for a, e in enumerate(self.shape))

    @cached_property
    def extents(self) -> dict[str, Dim]:
        return {f"i{a}": e for a, e in enumerate(self.shape)}

    def index_of(self, shape: tuple[Dim, ...]) -> Index | None:
        """The index of a value of `shape` at the space's point; None where such a value has no place here."""
        point = self.point
        if shape == self.shape:
            return point
        if self.folded:
            kept = tuple(e for a, e in enumerate(self.shape) if a not in self.folded)
            if shape == kept:
                return tuple(i for a, i in enumerate(point) if a not in self.folded)
            if shape == self.row_shape:
                return tuple(ZERO if a in self.folded else i for a, i in enumerate(point))
        return None

    @cached_property
    def row_shape(self) -> tuple[Dim, ...]:
        """The shape of a row value that keeps the folded axes with size 1."""
        return tuple(Dim({(): 1}) if a in self.folded else e for a, e in enumerate(self.shape))
