"""Weights that stay in memory when an image is linked again: only new ones are copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmoor.archive.layout import WEIGHT_ALIGNMENT
from unmoor.archive.writer import raw
from unmoor.ir.program import Weight


class WeightsApart:
    """A weights section in memory that outlives the images written with it.

    Weights are known again by the memory they lie in, which is held fast. Where most of the section is no longer
    used, or it must grow, the next `place` makes a new one; models that were opened with the old keep that.
    """

    def __init__(self) -> None:
        self._section = _section(0)
        self._end = 0
        self._held: dict[tuple[int, int], tuple[int, memoryview]] = {}

    @property
    def section(self) -> memoryview:
        """The bytes to open the file with. They do not change where a file points at them."""
        return self._section.data[: self._end]

    def place(self, weights: Sequence[Weight]) -> tuple[list[int], int]:
        """Byte offsets of the weights, and the section's length; copies what is not there yet."""
        known = {_identity(w): w for w in weights}
        needed = sum(_padded(w.data.nbytes) for w in known.values())
        new = sum(_padded(w.data.nbytes) for key, w in known.items() if key not in self._held)
        if self._end + new > len(self._section) or self._end + new > 2 * needed + 4096:
            self._section, self._end, self._held = _section(needed + needed // 4 + 4096), 0, {}
        for key, w in known.items():
            if key not in self._held:
                data = raw(w.data)
                self._section[self._end : self._end + data.nbytes] = np.frombuffer(data, np.uint8)
                self._held[key] = (self._end, w.data)
                self._end += _padded(data.nbytes)
        return [self._held[_identity(w)][0] for w in weights], self._end


def _section(length: int) -> np.ndarray:
    """An array of bytes at an aligned address. Its pages take no memory before they are written."""
    storage = np.zeros(length + WEIGHT_ALIGNMENT, np.uint8)
    start = -storage.__array_interface__["data"][0] % WEIGHT_ALIGNMENT
    return storage[start : start + length]


def _identity(weight: Weight) -> tuple[int, int]:
    address: int = np.asarray(weight.data).__array_interface__["data"][0]
    return address, weight.data.nbytes


def _padded(length: int) -> int:
    return -(-length // WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT
