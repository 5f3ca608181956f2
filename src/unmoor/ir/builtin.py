"""Builtins: functions of the native runtime that programs call by name, for what no loop nest says well.

The table is the whole set: the encoder, both verifiers and the runtime's own table (`native/src/generated/codes.inc`)
derive from it. A file lists the names that it uses, so that an older runtime can say which one it lacks.

A builtin gets buffers and ints. It works on `ints[0]` rows, one as the other, like a kernel on the turns of its
outermost loop; those that `give` numbers run once, and the numbers become int registers of the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from unmoor.dtypes import DType, bool_, f32, f64, i64

MOST = (1 << 31) - 1  # elements of a row: places within it fit into 32 bits


@dataclass(frozen=True)
class BuiltinBuffer:
    """A buffer: "in", "out" or "local" (scratch). `dtype` None is that of the first buffer, where it may be any.

    It has at least as many elements as the product of the ints that `sizes` names, times `times`.
    """

    name: str
    role: str
    dtype: DType | None
    sizes: tuple[str, ...]
    times: int = 1


@dataclass(frozen=True)
class BuiltinInt:
    """An int: at least `least`, at most `most`, and at most the int named `within`."""

    name: str
    least: int = 0
    most: int = MOST
    within: str = ""


@dataclass(frozen=True)
class Builtin:
    """One function. `gives` names the numbers that it finds; buffers do not overlap.

    `of` are the dtypes that "any" may be, where that is not every one.
    """

    name: str
    doc: str
    buffers: tuple[BuiltinBuffer, ...]
    ints: tuple[BuiltinInt, ...]
    gives: tuple[str, ...] = ()
    of: tuple[DType, ...] = ()

    def elements(self, ints: dict[str, int]) -> tuple[int, ...]:
        """The elements that each buffer has at least."""
        return tuple(b.times * prod(ints[s] for s in b.sizes) for b in self.buffers)

    def misfit(self, ints: dict[str, int]) -> str:
        """Which int is outside its range, or ""."""
        for i in self.ints:
            if not i.least <= ints[i.name] <= min(i.most, ints[i.within] if i.within else i.most):
                return i.name
        return ""


_ROWS = BuiltinInt("rows", most=(1 << 62))
_LENGTH = BuiltinInt("n")


FFT_LARGEST_FACTOR = 31  # of lengths with a larger prime factor, `fft` makes convolutions of other lengths
FFT_SPREAD = 7  # how many complex numbers these need for an element
FFT_STRANDS = 16  # into how many parts, each with scratch of its own, rows are divided at most


def _flag(name: str) -> BuiltinInt:
    return BuiltinInt(name, most=1)


ALL = (
    Builtin(
        "sort",
        "Sorts each row, equal elements in their order and NaN as the largest: the elements, and where they stood.",
        (
            BuiltinBuffer("x", "in", None, ("rows", "n")),
            BuiltinBuffer("values", "out", None, ("rows", "n")),
            BuiltinBuffer("places", "out", i64, ("rows", "n")),
            BuiltinBuffer("keys", "local", None, ("rows", "n")),
            BuiltinBuffer("order", "local", i64, ("rows", "n")),
        ),
        (_ROWS, _LENGTH, _flag("descending")),
    ),
    Builtin(
        "topk",
        "The first `k` elements of each row as `sort` would have it, and where they stood.",
        (
            BuiltinBuffer("x", "in", None, ("rows", "n")),
            BuiltinBuffer("values", "out", None, ("rows", "k")),
            BuiltinBuffer("places", "out", i64, ("rows", "k")),
            BuiltinBuffer("candidates", "local", i64, ("rows", "k"), 2),
        ),
        (_ROWS, _LENGTH, BuiltinInt("k", within="n"), _flag("descending")),
    ),
    Builtin(
        "kth",
        "The element that `sort`, ascending, would put at the place `k` (from 1) of each row, and where it stood.",
        (
            BuiltinBuffer("x", "in", None, ("rows", "n")),
            BuiltinBuffer("values", "out", None, ("rows",)),
            BuiltinBuffer("places", "out", i64, ("rows",)),
            BuiltinBuffer("candidates", "local", i64, ("rows", "n")),
        ),
        (_ROWS, _LENGTH, BuiltinInt("k", least=1, within="n")),
    ),
    Builtin(
        "search",
        "Before which element of its row, which is sorted, each value belongs; with `right`, behind those equal to it.",
        (
            BuiltinBuffer("x", "in", None, ("rows", "n")),
            BuiltinBuffer("values", "in", None, ("rows", "m")),
            BuiltinBuffer("places", "out", i64, ("rows", "m")),
        ),
        (_ROWS, BuiltinInt("n", most=1 << 62), BuiltinInt("m", most=1 << 62), _flag("right")),
    ),
    Builtin(
        "nonzero",
        "Where a mask holds, in order; gives how many places these are.",
        (
            BuiltinBuffer("mask", "in", bool_, ("n",)),
            BuiltinBuffer("places", "out", i64, ("n",)),
        ),
        (BuiltinInt("n", most=1 << 62),),
        ("count",),
    ),
    Builtin(
        "fft_plan",
        "What `fft` of rows of `n` elements needs: roots of one; with a `spread` of 7 or more, of lengths with large "
        "prime factors, those of a longer length and the chirp.",
        (
            BuiltinBuffer("plan", "out", None, ("n", "spread"), 2),
            BuiltinBuffer("work", "local", None, ("n", "spread"), 2),
        ),
        (BuiltinInt("rows", most=1), BuiltinInt("n", least=1), BuiltinInt("spread", least=1, most=FFT_SPREAD)),
        of=(f32, f64),
    ),
    Builtin(
        "fft",
        "The discrete Fourier transform of `rows` tensors of `n` times `inner` complex numbers along their first axis, "
        "by the parts, not scaled. The rows are divided into `strands`.",
        (
            BuiltinBuffer("re", "in", None, ("rows", "n", "inner")),
            BuiltinBuffer("im", "in", None, ("rows", "n", "inner")),
            BuiltinBuffer("plan", "in", None, ("n", "spread"), 2),
            BuiltinBuffer("out_re", "out", None, ("rows", "n", "inner")),
            BuiltinBuffer("out_im", "out", None, ("rows", "n", "inner")),
            BuiltinBuffer("work", "local", None, ("strands", "n", "inner", "spread"), 2),
        ),
        (
            BuiltinInt("strands", most=FFT_STRANDS, within="rows"),
            BuiltinInt("rows", most=1 << 50),
            BuiltinInt("n", least=1),
            BuiltinInt("inner", most=1 << 50),
            BuiltinInt("spread", least=1, most=FFT_SPREAD),
        ),
        of=(f32, f64),
    ),
    Builtin(
        "lu",
        "L and U of matrices whose rows are exchanged, in one: `pivots` has the row that each was exchanged with.",
        (
            BuiltinBuffer("a", "in", None, ("rows", "n", "n")),
            BuiltinBuffer("lu", "out", None, ("rows", "n", "n")),
            BuiltinBuffer("pivots", "out", i64, ("rows", "n")),
        ),
        (_ROWS, _LENGTH),
        of=(f32, f64),
    ),
    Builtin(
        "lu_solve",
        "Solves systems, of what `lu` gives and of right sides with `k` columns.",
        (
            BuiltinBuffer("lu", "in", None, ("rows", "n", "n")),
            BuiltinBuffer("pivots", "in", i64, ("rows", "n")),
            BuiltinBuffer("b", "in", None, ("rows", "n", "k")),
            BuiltinBuffer("x", "out", None, ("rows", "n", "k")),
        ),
        (_ROWS, _LENGTH, BuiltinInt("k")),
        of=(f32, f64),
    ),
    Builtin(
        "triangular_solve",
        "Solves triangular systems, of the `upper` or the lower triangle; with `unit`, of ones on the diagonal.",
        (
            BuiltinBuffer("a", "in", None, ("rows", "n", "n")),
            BuiltinBuffer("b", "in", None, ("rows", "n", "k")),
            BuiltinBuffer("x", "out", None, ("rows", "n", "k")),
        ),
        (_ROWS, _LENGTH, BuiltinInt("k"), _flag("upper"), _flag("unit")),
        of=(f32, f64),
    ),
    Builtin(
        "cholesky",
        "The lower factors of positive definite matrices; `failed` has the size of the first minor that is not, or 0.",
        (
            BuiltinBuffer("a", "in", None, ("rows", "n", "n")),
            BuiltinBuffer("l", "out", None, ("rows", "n", "n")),
            BuiltinBuffer("failed", "out", i64, ("rows",)),
        ),
        (_ROWS, _LENGTH),
        of=(f32, f64),
    ),
    Builtin(
        "qr",
        "Orthogonal columns and upper triangles whose products are the matrices, `c` of each.",
        (
            BuiltinBuffer("a", "in", None, ("rows", "m", "n")),
            BuiltinBuffer("q", "out", None, ("rows", "m", "c")),
            BuiltinBuffer("r", "out", None, ("rows", "c", "n")),
            BuiltinBuffer("work", "local", None, ("rows", "m", "n")),
            BuiltinBuffer("column", "local", None, ("rows", "m")),
            BuiltinBuffer("taus", "local", None, ("rows", "n")),
        ),
        (_ROWS, BuiltinInt("m"), BuiltinInt("n"), BuiltinInt("c", within="m")),
        of=(f32, f64),
    ),
    Builtin(
        "svd",
        "Singular values of matrices, descending, with left and right vectors; left ones that belong to 0 are 0.",
        (
            BuiltinBuffer("a", "in", None, ("rows", "m", "n")),
            BuiltinBuffer("u", "out", None, ("rows", "m", "n")),
            BuiltinBuffer("s", "out", None, ("rows", "n")),
            BuiltinBuffer("v", "out", None, ("rows", "n", "n")),
            BuiltinBuffer("columns", "local", f64, ("rows", "m", "n")),
            BuiltinBuffer("turned", "local", f64, ("rows", "n", "n")),
            BuiltinBuffer("sizes", "local", f64, ("rows", "n")),
        ),
        (_ROWS, BuiltinInt("m"), BuiltinInt("n", within="m")),
        of=(f32, f64),
    ),
    Builtin(
        "eigenvalues",
        "The eigenvalues of symmetric matrices, ascending; their lower triangles are read.",
        (
            BuiltinBuffer("a", "in", None, ("rows", "n", "n")),
            BuiltinBuffer("values", "out", None, ("rows", "n")),
            BuiltinBuffer("work", "local", f64, ("rows", "n", "n")),
        ),
        (_ROWS, _LENGTH),
        of=(f32, f64),
    ),
)
BUILTINS = {b.name: b for b in ALL}
