"""Element types: one table of names, sizes and file codes, with PyTorch's promotion rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Category(IntEnum):
    """PyTorch's ladder of number kinds; promotion between kinds goes up it."""

    BOOL = 0
    INT = 1
    FLOAT = 2
    COMPLEX = 3


@dataclass(frozen=True, eq=False, repr=False)
class DType:
    """An element type. Instances are the module's constants and compare by identity.

    `name` is the IR's word, `torch_name` PyTorch's, `size` is in bytes, `code` is what the
    archive stores and never changes its meaning.
    """

    name: str
    torch_name: str
    size: int
    category: Category
    code: int

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype of the same bytes. bfloat16 has none: its 16-bit words, uint16, which no other dtype uses."""
        return np.dtype("uint16" if self is bf16 else self.torch_name)

    @property
    def is_float(self) -> bool:
        return self.category is Category.FLOAT

    @property
    def is_complex(self) -> bool:
        return self.category is Category.COMPLEX

    @property
    def part(self) -> DType:
        """Of a complex dtype, that of its real and its imaginary part; any other is its own."""
        return _PART.get(self, self)

    @property
    def compute(self) -> DType:
        """In which it is computed with: i32 for smaller integers, f32 for half floats, itself for any other.

        Results are converted back after each op, as eager PyTorch does on a CPU: integers wrap, floats are rounded to
        nearest, ties to even.
        """
        return _COMPUTE.get(self, self)

    def __repr__(self) -> str:
        return self.name


bool_ = DType("bool", "bool", 1, Category.BOOL, 1)
u8 = DType("u8", "uint8", 1, Category.INT, 2)
i8 = DType("i8", "int8", 1, Category.INT, 3)
i16 = DType("i16", "int16", 2, Category.INT, 4)
i32 = DType("i32", "int32", 4, Category.INT, 5)
i64 = DType("i64", "int64", 8, Category.INT, 6)
f16 = DType("f16", "float16", 2, Category.FLOAT, 7)
bf16 = DType("bf16", "bfloat16", 2, Category.FLOAT, 8)
f32 = DType("f32", "float32", 4, Category.FLOAT, 9)
f64 = DType("f64", "float64", 8, Category.FLOAT, 10)

# Complex numbers are known to recorded graphs only: a typed graph has their parts (docs/adr/0009-complex-numbers.md).
c64 = DType("c64", "complex64", 8, Category.COMPLEX, 0)
c128 = DType("c128", "complex128", 16, Category.COMPLEX, 0)

ALL = (bool_, u8, i8, i16, i32, i64, f16, bf16, f32, f64)
COMPLEX = (c64, c128)
_PART = {c64: f32, c128: f64}
_COMPUTE = {u8: i32, i8: i32, i16: i32, f16: f32, bf16: f32}
BY_NAME = {d.name: d for d in ALL}
RECORDED = {d.name: d for d in (*ALL, *COMPLEX)}  # what a recorded graph may name
BY_TORCH_NAME = {d.torch_name: d for d in (*ALL, *COMPLEX)}
BY_CODE = {d.code: d for d in ALL}
BY_NUMPY = {d.numpy: d for d in (*ALL, *COMPLEX)}

DEFAULT_FLOAT = f32  # torch.get_default_dtype(): capture refuses a trace under another one


def promote(a: DType, b: DType) -> DType:
    """The common type of two tensor operands of one category (PyTorch's promote_types)."""
    if a is b:
        return a
    if a.is_complex or b.is_complex:
        return c128 if f64 in (a.part, b.part) else c64
    if a.category is not b.category:
        return a if a.category > b.category else b
    if {a, b} == {f16, bf16}:
        return f32
    if a.size != b.size:
        wide, narrow = (a, b) if a.size > b.size else (b, a)
        return wide if wide is not u8 else narrow
    return i16  # u8 with i8, the only pair of equal size left


def result_type(operands: list[tuple[DType, int]]) -> DType:
    """PyTorch's result_type for (dtype, priority) operands.

    Priority 0 is a tensor with dims, 1 a 0-dim tensor, 2 a Python number (whose dtype is the
    default of its kind: bool, i64 or f32). A later priority matters only by a higher category; complex ones take
    the precision of floats before them.
    """
    best: DType | None = None
    for priority in (0, 1, 2):
        level: DType | None = None
        for dtype, p in operands:
            if p == priority:
                level = dtype if level is None else promote(level, dtype)
        if level is not None and best is not None and level.is_complex and best.is_float:
            best = promote(c64, best)
        elif level is not None and (best is None or level.category > best.category):
            best = level
    if best is None:
        raise ValueError("result_type needs at least one operand")
    return best


def bf16_values(words: np.ndarray) -> np.ndarray:
    """The numbers that bfloat16 words stand for, as float32: they are its upper halves."""
    return (np.asarray(words, np.uint32) << np.uint32(16)).view(np.float32)


def bf16_words(numbers: np.ndarray) -> np.ndarray:
    """Numbers as bfloat16 words, rounded to nearest from float32, ties to even; NaN becomes the quiet one."""
    single = np.asarray(numbers, np.float32)
    bits = single.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    return np.asarray(np.where(np.isnan(single), 0x7FC0, rounded)).astype(np.uint16)


def numbers_of(array: np.ndarray) -> np.ndarray:
    """An array for people and for arithmetic: bfloat16 words as float32, anything else as it is."""
    return bf16_values(array) if array.dtype == bf16.numpy else array
