"""Test samples as plain data: tensors are described by shape and range, and made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rand:
    """A float tensor with elements from the normal distribution times `scale` plus `shift`."""

    shape: tuple[int, ...]
    scale: float = 1.0
    shift: float = 0.0

    def __init__(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> None:
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "shift", shift)

    def make(self, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        return np.array(rng.standard_normal(self.shape) * self.scale + self.shift, dtype)


@dataclass(frozen=True)
class Ints:
    """A tensor with whole elements from low to high, high excluded; as bool, those that are odd."""

    shape: tuple[int, ...]
    low: int = -5
    high: int = 6

    def __init__(self, *shape: int, low: int = -5, high: int = 6) -> None:
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def make(self, rng: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        values = np.asarray(rng.integers(self.low, self.high, self.shape))
        return np.array(values % 2 if dtype == np.bool_ else values, dtype)


def materialise(value: Any, rng: np.random.Generator, dtype: np.dtype) -> Any:
    """Samples' arguments with their tensors made."""
    if isinstance(value, Rand | Ints):
        return value.make(rng, dtype)
    if isinstance(value, tuple):
        return tuple(materialise(v, rng, dtype) for v in value)
    return value
