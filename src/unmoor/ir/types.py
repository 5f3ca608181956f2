"""The types of graph values: tensors with symbolic shapes, and scalars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from unmoor.dtypes import DType
from unmoor.ir.dim import Dim, product


@dataclass(frozen=True)
class TensorType:
    """A dense tensor: element type and one Dim per axis. Prints as `f32[s0, 8]`."""

    dtype: DType
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> Dim:
        return product(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class ScalarType:
    """A number outside any tensor: `int` (a size, or a value read from a tensor), `float` or `bool`."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class AnyTensor:
    """A tensor whose dtype and shape are not known before specialisation. Prints as `Tensor`."""

    def __str__(self) -> str:
        return "Tensor"


Type = Union[TensorType, ScalarType, AnyTensor]
TENSOR = AnyTensor()
INT, FLOAT, BOOL = ScalarType("int"), ScalarType("float"), ScalarType("bool")
