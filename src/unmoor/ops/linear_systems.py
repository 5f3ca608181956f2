"""Linear systems: inverses, determinants, and solutions by the factors of a matrix.

A matrix that eager PyTorch refuses, one that is singular or not positive definite, refuses the call with a guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import i32, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import product
from unmoor.ir.op import Builder, Op
from unmoor.ir.types import TensorType
from unmoor.ops.family import broadcast
from unmoor.ops.matrix_factors import factored, matrix, turned, well
from unmoor.ops.samples import Rand

SINGULAR = "a matrix is singular, where eager PyTorch raises an error"
NOT_POSITIVE = "a matrix is not positive definite, where eager PyTorch raises an error"


def diagonal(b: Builder, x: Any) -> Any:
    """The diagonals of matrices."""
    return b.emit("aten::diagonal", x, 0, -2, -1)


def _factors(b: Builder, a: Any) -> tuple[Any, Any]:
    matrix(b, a)
    made = b.emit_all("prim::lu", a)
    return made[0], made[1]


def _regular(b: Builder, a: Any) -> tuple[Any, Any]:
    """The factors of matrices; a guard refuses the call where one is singular."""
    lu, pivots = _factors(b, a)
    b.guard(b.emit("aten::any", b.emit("aten::eq", diagonal(b, lu), 0.0), None, False), False, SINGULAR)
    return lu, pivots


def _identity(b: Builder, type_: TensorType) -> Any:
    return b.emit("aten::expand", b.emit("aten::eye", type_.shape[-1], None, type_.dtype), type_.shape)


def inv(b: Builder, a: Any) -> Any:
    """The inverse."""
    return b.emit("prim::lu_solve", *_regular(b, a), _identity(b, b.type_of(a)))


def is_vector(b: Builder, a: TensorType, x: TensorType) -> bool:
    """Whether the right side is a vector, or a batch of them with the batch dims of the matrices."""
    if x.rank == 1:
        return True
    return a.rank - 1 == x.rank and all(b.facts.equal(m, n) for m, n in zip(a.shape[:-1], x.shape, strict=True))


def spread_out(b: Builder, a: Any, x: Any) -> tuple[Any, Any]:
    """Matrices and right sides with equal batch dims."""
    batch = broadcast(b.facts, [b.type_of(v).shape[:-2] for v in (a, x)])
    made = []
    for v in (a, x):
        wanted = (*batch, *b.type_of(v).shape[-2:])
        made.append(v if wanted == b.type_of(v).shape else b.emit("aten::expand", v, wanted))
    return made[0], made[1]


def _with_sides(b: Builder, a: Any, x: Any, left: bool, solve: Callable[[Any, Any], Any]) -> Any:
    """Solves for a right side: a vector as a column, or from the right through transposes."""
    type_, vector = matrix(b, a), False
    if b.type_of(x).dtype is not type_.dtype:
        raise SignatureError(f"a system of {type_} and {b.type_of(x)}: eager PyTorch wants one dtype")
    if left and is_vector(b, type_, b.type_of(x)):
        x, vector = b.emit("aten::unsqueeze", x, -1), True
    if not left:
        a, x = turned(b, a), turned(b, x)
    if b.type_of(x).rank < 2 or not b.facts.equal(b.type_of(x).shape[-2], type_.shape[-1]):
        raise SignatureError(f"a system of {type_} and {b.type_of(x)}: their sizes do not fit")
    made = solve(*spread_out(b, a, x))
    made = made if left else turned(b, made)
    return b.emit("aten::squeeze", made, -1) if vector else made


def solve(b: Builder, a: Any, x: Any, left: bool) -> Any:
    """The solution of a system."""
    return _with_sides(b, a, x, left, lambda m, r: b.emit("prim::lu_solve", *_regular(b, m), r))


def solve_triangular(b: Builder, a: Any, x: Any, upper: bool, left: bool, unit: bool) -> Any:
    """The solution of a triangular system."""
    matrix(b, a)
    if b.type_of(x).rank < 2:
        raise SignatureError("solve_triangular takes a matrix as right side")
    if not left:
        made = solve_triangular(b, turned(b, a), turned(b, x), not upper, True, unit)
        return turned(b, made)
    return b.emit("prim::triangular_solve", *spread_out(b, a, x), upper, unit)


def cholesky(b: Builder, a: Any, upper: bool) -> Any:
    """The lower factor, or the upper one of the upper triangle."""
    matrix(b, a)
    low, failed = b.emit_all("prim::cholesky", turned(b, a) if upper else a)
    b.guard(b.emit("aten::any", b.emit("aten::ne", failed, 0), None, False), False, NOT_POSITIVE)
    return turned(b, low) if upper else low


def cholesky_solve(b: Builder, x: Any, low: Any, upper: bool) -> Any:
    """The solution of a system of what a Cholesky factor belongs to."""
    low = turned(b, low) if upper else low
    return solve_triangular(b, turned(b, low), solve_triangular(b, low, x, False, True, False), True, True, False)


def cholesky_inverse(b: Builder, low: Any, upper: bool) -> Any:
    """The inverse of what a Cholesky factor belongs to."""
    return cholesky_solve(b, _identity(b, matrix(b, low)), low, upper)


def _odd(b: Builder, pivots: Any) -> Any:
    """Whether an odd number of rows were exchanged."""
    n = b.type_of(pivots).shape[-1]
    moved = b.emit("aten::ne", pivots, b.emit("prim::iota", n))
    return b.emit("aten::eq", b.emit("aten::remainder", b.emit("aten::sum", moved, (-1,), False, None), 2), 1)


def det(b: Builder, a: Any) -> Any:
    """The determinant: the product of U's diagonal, with the sign of the exchanges."""
    lu, pivots = _factors(b, a)
    made = b.emit("aten::prod", diagonal(b, lu), -1, False, None)
    return b.emit("aten::where", _odd(b, pivots), b.emit("aten::neg", made), made)


def slogdet(b: Builder, a: Any) -> tuple[Any, Any]:
    """The determinant's sign, and the logarithm of its size."""
    lu, pivots = _factors(b, a)
    pivoted = diagonal(b, lu)
    sign = b.emit("aten::prod", b.emit("aten::sign", pivoted), -1, False, None)
    sign = b.emit("aten::where", _odd(b, pivots), b.emit("aten::neg", sign), sign)
    return sign, b.emit("aten::sum", b.emit("aten::log", b.emit("aten::abs", pivoted)), (-1,), False, None)


def logdet(b: Builder, a: Any) -> Any:
    """The determinant's logarithm; NaN where it is negative."""
    sign, size = slogdet(b, a)
    return b.emit("aten::where", b.emit("aten::lt", sign, 0.0), math.nan, size)


def lu_factor(b: Builder, a: Any, pivot: bool) -> tuple[Any, Any]:
    """LAPACK's form: L and U in one, and from 1 on with which row each was exchanged."""
    if not pivot:
        raise Unsupported("lu_factor without pivoting is not supported")
    lu, pivots = _regular(b, a)
    return lu, b.emit("prim::cast", b.emit("aten::add", pivots, 1), i32)


def lu_solve(b: Builder, lu: Any, pivots: Any, x: Any, left: bool, adjoint: bool) -> Any:
    """The solution of a system of `lu_factor`'s."""
    if not left or adjoint:
        raise Unsupported("lu_solve from the right, or of the adjoint, is not supported: use torch.linalg.solve")
    lu, x = spread_out(b, lu, x)
    places = b.emit("aten::sub", b.emit("prim::cast", pivots, i64), 1)
    if b.type_of(places).shape != b.type_of(lu).shape[:-1]:
        places = b.emit("aten::expand", places, b.type_of(lu).shape[:-1])
    return b.emit("prim::lu_solve", lu, places, x)


def triangular_solve(b: Builder, x: Any, a: Any, upper: bool, transpose: bool, unit: bool) -> tuple[Any, Any]:
    """The older form, which gives the matrix back."""
    matrix(b, a)
    a, x = spread_out(b, a, x)
    return solve_triangular(b, turned(b, a) if transpose else a, x, upper is not transpose, True, unit), a


def tensorinv(b: Builder, a: Any, ind: int) -> Any:
    """The inverse of a tensor whose first `ind` axes are a matrix's rows."""
    shape = b.type_of(a).shape
    rows, columns = product(shape[:ind]), product(shape[ind:])
    made = inv(b, b.emit("aten::reshape", a, (rows, columns)))
    return b.emit("aten::reshape", made, (*shape[ind:], *shape[:ind]))


def tensorsolve(b: Builder, a: Any, x: Any, dims: Any) -> Any:
    """The solution of a system of a tensor whose last axes are a matrix's columns."""
    rank = b.type_of(a).rank
    if dims:
        axes = [d % rank for d in dims]
        a = b.emit("aten::permute", a, (*(k for k in range(rank) if k not in axes), *axes))
    shape = b.type_of(a).shape[b.type_of(x).rank :]
    n = product(shape)
    made = solve(b, b.emit("aten::reshape", a, (n, n)), b.emit("aten::reshape", x, (n,)), True)
    return b.emit("aten::reshape", made, shape)


M, BATCH = well(4, 4), well(2, 3, 3)
LINEAR_SYSTEMS: list[Op] = [
    factored("linalg_inv", "(Tensor A) -> Tensor", inv, (M,), (BATCH,)),
    factored("inverse", "(Tensor self) -> Tensor", inv, (M,)),
    factored("linalg_det", "(Tensor A) -> Tensor", det, (M,), (BATCH,)),
    factored("det", "(Tensor self) -> Tensor", det, (M,)),
    factored("linalg_slogdet", "(Tensor A) -> (Tensor, Tensor)", slogdet, (M,), (BATCH,)),
    factored("slogdet", "(Tensor self) -> (Tensor, Tensor)", slogdet, (M,)),
    factored("logdet", "(Tensor self) -> Tensor", logdet, (M,), (BATCH,)),
    factored(
        "linalg_solve",
        "(Tensor A, Tensor B, *, bool left=True) -> Tensor",
        solve,
        (M, Rand(4), True),
        (BATCH, Rand(3, 2), True),
        (BATCH, Rand(2, 5, 3), False),
    ),
    factored(
        "linalg_solve_triangular",
        "(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor",
        solve_triangular,
        (M, Rand(4, 2), True, True, False),
        (BATCH, Rand(5, 3), False, False, False),
    ),
    factored("linalg_cholesky", "(Tensor self, *, bool upper=False) -> Tensor", cholesky, (M,), (BATCH, True)),
    factored("cholesky", "(Tensor self, bool upper=False) -> Tensor", cholesky, (M,), (BATCH, True)),
    factored(
        "cholesky_solve",
        "(Tensor self, Tensor input2, bool upper=False) -> Tensor",
        cholesky_solve,
        (Rand(4, 2), np.tril(M)),
    ),
    factored("cholesky_inverse", "(Tensor self, bool upper=False) -> Tensor", cholesky_inverse, (np.tril(M),)),
    factored("linalg_lu_factor", "(Tensor A, *, bool pivot=True) -> (Tensor, Tensor)", lu_factor, (M,), (BATCH,)),
    factored(
        "linalg_lu_solve",
        "(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor",
        lu_solve,
        (M, np.array([2, 2, 4, 4]).astype(np.int32), Rand(4, 2)),
    ),
    factored(
        "triangular_solve",
        "(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) -> (Tensor, Tensor)",
        triangular_solve,
        (Rand(4, 2), M),
        (Rand(4, 2), M, False, True),
    ),
    factored("linalg_tensorinv", "(Tensor self, int ind=2) -> Tensor", tensorinv, (well(4, 4).reshape(2, 2, 4), 2)),
    factored(
        "linalg_tensorsolve",
        "(Tensor self, Tensor other, int[]? dims=None) -> Tensor",
        tensorsolve,
        (well(4, 4).reshape(2, 2, 4), Rand(2, 2)),
    ),
]
