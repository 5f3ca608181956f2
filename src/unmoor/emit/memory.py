"""The memory plan: offsets of intermediate buffers in one arena, as formulas of the signature's sizes.

Buffers whose lifetimes do not overlap share a slot. A slot is as large as the largest of them; slots lie one after the
other, so every offset is a sum that holds for all sizes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from unmoor.ir.dim import Dim, const, dmax, nonnegative, round_up

ALIGNMENT = 64  # bytes; a cache line, and the widest vector register


@dataclass(frozen=True)
class Lifetime:
    """A buffer of `size` bytes that is live from instruction `first` to instruction `last`, both included."""

    key: Hashable
    size: Dim
    first: int
    last: int


@dataclass
class _Slot:
    size: Dim
    free_from: int


def plan(lifetimes: Sequence[Lifetime]) -> tuple[dict[Hashable, Dim], Dim]:
    """The byte offset of each buffer, and the bytes of the whole arena."""
    slots: list[_Slot] = []
    slot_of: dict[Hashable, int] = {}
    for life in sorted(lifetimes, key=lambda x: x.first):
        size = round_up(life.size, ALIGNMENT)
        number = _choose(slots, size, life.first)
        if number is None:
            number = len(slots)
            slots.append(_Slot(size, 0))
        slot = slots[number]
        slot.size = dmax(slot.size, size)
        slot.free_from = life.last + 1
        slot_of[life.key] = number
    starts: list[Dim] = []
    total = const(0)
    for slot in slots:
        starts.append(total)
        total = total + slot.size
    return {key: starts[number] for key, number in slot_of.items()}, total


def _choose(slots: list[_Slot], size: Dim, first: int) -> int | None:
    """A free slot for `size` bytes: one that is surely large enough, else one that is of comparable form."""
    free = [k for k, slot in enumerate(slots) if slot.free_from <= first]
    fitting = [k for k in free if nonnegative(slots[k].size - size)]
    if fitting:
        return min(fitting, key=lambda k: len(slots[k].size.terms))
    growing = [k for k in free if nonnegative(size - slots[k].size)]
    return growing[-1] if growing else None
