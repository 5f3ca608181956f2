"""Kernels: loop nests over flat buffers, before any tiling or vectorising. The serialised Kernel is the truth.

Meaning. A kernel has flat, contiguous buffers and integer parameters. Its body is one outermost loop,
whose iterations are independent of each other: a caller may split them between threads. Inside, statements
run in order. Buffers do not overlap. An `in` buffer is only read; an `out` buffer may be read back where the same
iteration of the outermost loop wrote it; a `local` buffer belongs to one worker and holds nothing at the start
of an iteration of the outermost loop. A Fold of no elements gives the function's neutral value.

An index computed from data is named by an Index statement, which clamps it: a kernel never reads or writes outside its
buffers, whatever the data says. `let g < 100 = x1[i]` is such a statement; `g` then stands in the dims that follow.

The order of a Fold's or Contract's additions is the generator's choice, fixed by sizes alone; multiplication and
addition may be fused; nothing else may be changed.

    kernel softmax(in x : f32[1024*s0], out y : f32[1024*s0], local t : f32[1024]) ints (s0) {
      parallel i < s0 {
        fold m = max over j < 1024 { x[i*1024 + j] }
        fold s = add over j < 1024 { let e = exp(sub(x[i*1024 + j], m)); t[j] = e; e }
        loop j < 1024 { y[i*1024 + j] = div(t[j], s) }
      }
    }

Machine code has the signature

    void kernel(void *const *buffers, const int64_t *ints, int64_t begin, int64_t end)

with `buffers` in the order of `Kernel.buffers`, `ints` in that of `Kernel.ints`, and does the iterations
[begin, end) of the outermost loop. Buffers are aligned to their element size; `local` and packed ones to 64 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from unmoor.dtypes import DType
from unmoor.ir.dim import Dim, dmin, round_up
from unmoor.ir.scalar import Expr, Load

PANEL_WIDTH = 48  # columns of a packed panel: 3 registers of 16 floats, or 2 x 3 of 8
PANEL_ALIGN = 16  # the last panel is as wide as its columns need, rounded up to this


@dataclass(frozen=True)
class Panels:
    """The packed layout of `batch` matrices [k, n] that stand right of a contraction.

    A matrix is cut into panels of PANEL_WIDTH columns; a panel is stored row by row (k-major), the last one
    narrower, its missing columns zero. Any target reads it, taking as many columns at a time as suit it.
    """

    batch: Dim
    k: Dim
    n: Dim

    @property
    def padded_n(self) -> Dim:
        return round_up(self.n, PANEL_ALIGN)

    @property
    def numel(self) -> Dim:
        return self.batch * self.k * self.padded_n

    def offset(self, b: Dim, row: Dim, column: Dim) -> Dim:
        """Where element [b, row, column] is stored."""
        panel = column // PANEL_WIDTH
        width = dmin(PANEL_WIDTH, self.padded_n - panel * PANEL_WIDTH)
        start = b * self.k * self.padded_n + panel * PANEL_WIDTH * self.k
        return start + row * width + column % PANEL_WIDTH


@dataclass(frozen=True)
class Buffer:
    """A kernel's buffer. `role` is in, out or local; `numel` counts logical elements.

    With `panels`, the memory has that layout, while loads and stores still index it logically, as a
    contiguous [batch, k, n]; `storage` is the count of elements really stored.
    """

    name: str
    dtype: DType
    numel: Dim
    role: str
    panels: Panels | None = None

    @property
    def storage(self) -> Dim:
        return self.panels.numel if self.panels else self.numel


@dataclass(frozen=True)
class Let:
    """Names a scalar value."""

    name: str
    value: Expr


@dataclass(frozen=True)
class Index:
    """Names an i64 value computed from data, clamped into 0 .. extent-1, that may then stand in dims.

    `extent` is positive wherever the statement runs.
    """

    name: str
    value: Expr
    extent: Dim


@dataclass(frozen=True)
class Store:
    """Writes one element."""

    buffer: str
    index: Dim
    value: Expr


@dataclass(frozen=True)
class Loop:
    """Runs `body` for var = 0 .. extent-1, in order; the outermost one in any order."""

    var: str
    extent: Dim
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Fold:
    """A reduction: runs `body` over all `axes` (var, extent) and folds `value` with `fn` into `name`.

    fn: add mul max min and or, of the value's dtype; argmax argmin give the i64 row-major position over
    the axes of the first extreme (of the first NaN, where there is one). Folding no elements by max,
    min, argmax or argmin has no meaning and is refused before.

    Only the places count at which 0 <= position < extent for each (position, extent) of `inside`; elsewhere nothing is
    read. A position is linear in one axis. A max or min of no places inside is the infinity, or the extreme integer,
    that any element beats.
    """

    name: str
    fn: str
    axes: tuple[tuple[str, Dim], ...]
    body: tuple[Stmt, ...]
    value: Expr
    inside: tuple[tuple[Dim, Dim], ...] = ()


@dataclass(frozen=True)
class Contract:
    """The sum over all `axes` of left * right, floats of one dtype, into `name`: a Fold that is tiled.

    `right` may be stored as half floats, which are widened to `left`'s f32.

    It stands in a loop over the columns, which is in a loop over the rows: `left` depends on the row and the
    axes, `right` on the column and the axes, both perhaps on loops further out.

    Only the places count at which 0 <= position < extent for each (position, extent) of `inside`; elsewhere nothing is
    read. A position is linear in one axis, and in the row or in loops further out.
    """

    name: str
    axes: tuple[tuple[str, Dim], ...]
    left: Load
    right: Load
    inside: tuple[tuple[Dim, Dim], ...] = ()


Stmt = Union[Let, Index, Store, Loop, Fold, Contract]


@dataclass(frozen=True)
class Kernel:
    """A loop nest. `ints` are the symbols, besides loop indices, that its expressions use."""

    name: str
    buffers: tuple[Buffer, ...]
    ints: tuple[str, ...]
    body: Loop

    def buffer(self, name: str) -> Buffer:
        """The buffer of that name; KeyError where there is none."""
        for b in self.buffers:
            if b.name == name:
                return b
        raise KeyError(name)


FOLDS = ("add", "mul", "max", "min", "and", "or", "argmax", "argmin")
