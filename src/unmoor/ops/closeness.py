"""How close the outputs of whole programs must be to what is expected of them."""

from __future__ import annotations

import numpy as np

from unmoor.dtypes import DType, bf16, f16, f32, f64, numbers_of

# In parts of the largest element: rounding of some hundred ops in the dtype. Other dtypes are exact.
TOLERANCE = {f32: 1e-3, f64: 1e-8, f16: 3e-2, bf16: 1e-1}
SMALLEST = 1e-6  # what counts as the largest element, where all are smaller


def allowed(expected: np.ndarray, dtype: DType) -> float:
    """The difference that is allowed in each element of a tensor of `dtype`."""
    if dtype not in TOLERANCE:
        return 0.0
    numbers = np.abs(numbers_of(expected).astype(np.float64))
    finite = numbers[np.isfinite(numbers)]
    return TOLERANCE[dtype] * max(SMALLEST, float(finite.max(initial=0.0)) if finite.size else 1.0)
