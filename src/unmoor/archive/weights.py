"""Weights as their logical arrays, whatever layout they are stored in."""

from __future__ import annotations

import numpy as np

from unmoor.ir.kernel import PANEL_WIDTH, Panels
from unmoor.ir.program import Weight


def unpack(weight: Weight) -> np.ndarray:
    """The array of the weight's dtype and shape, read-only; without a copy where it is stored plain."""
    stored = np.asarray(weight.data).reshape(-1)
    if weight.panels is None:
        array = stored.reshape(weight.shape)
    else:
        matrices = _matrices(stored, weight.panels)
        if weight.transposed:
            matrices = matrices.swapaxes(1, 2)
        array = np.ascontiguousarray(matrices).reshape(weight.shape)
    array.flags.writeable = False
    return array


def _matrices(stored: np.ndarray, panels: Panels) -> np.ndarray:
    """The [batch, k, n] array that is stored in panels."""
    batch, k, n, padded = (d.value for d in (panels.batch, panels.k, panels.n, panels.padded_n))
    wide = np.empty((batch, k, padded), stored.dtype)
    by_batch = stored.reshape(batch, k * padded)
    for start in range(0, padded, PANEL_WIDTH):
        width = min(PANEL_WIDTH, padded - start)
        panel = by_batch[:, start * k : (start + width) * k]
        wide[:, :, start : start + width] = panel.reshape(batch, k, width)
    return wide[:, :, :n]
