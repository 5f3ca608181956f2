"""Singular vectors, eigenvectors, least squares and exponentials of matrices.

The signs of vectors are free: capture refuses programs whose results depend on them. Where matrices leave more than
signs open, by values that are equal or 0, a guard refuses the call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import f32, f64, i32, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import const
from unmoor.ir.op import Builder, Op
from unmoor.ops.formula import FAR, Aten, formula
from unmoor.ops.linear_systems import cholesky, diagonal, inv, is_vector, lu_factor, solve, spread_out
from unmoor.ops.matrix_factors import ROUNDINGS, apart, factored, matrix, turned, well
from unmoor.ops.matrix_spectra import mirrored, values_and_vectors
from unmoor.ops.samples import Rand

OPEN = (
    "a matrix with {}, or almost so, leaves its vectors open, so that they may not be eager PyTorch's\n"
    "  fix: {} gives the values alone"
)


def _apart(b: Builder, a: Any, s: Any, also_zero: bool, message: str) -> None:
    """A guard: neighbours of `s`, sorted, differ, and with `also_zero` differ from 0."""
    count = b.type_of(s).shape[-1]
    after, before = (b.emit("aten::narrow", s, -1, start, count - 1) for start in (1, 0))
    gaps = b.emit("aten::abs", b.emit("aten::sub", after, before))
    apart(b, a, s, gaps, b.emit("aten::amin", s, (-1,), True) if also_zero else None, message)


def svd(b: Builder, a: Any, full: bool, driver: Any = None) -> tuple[Any, Any, Any]:
    """Left vectors, singular values, and right vectors as rows; with `full`, all that are orthogonal to them too."""
    m, n = matrix(b, a, square=False).shape[-2:]
    if any(b.facts.equal(d, 0) for d in (m, n)):
        raise Unsupported("svd of a matrix without elements is not supported")
    u, s, v = values_and_vectors(b, a)
    _apart(b, a, s, True, OPEN.format("equal singular values, or one that is 0", "torch.linalg.svdvals(x)"))
    if full:
        u, v = (_completed(b, w) for w in (u, v))
    return u, s, turned(b, v)


def _completed(b: Builder, u: Any) -> Any:
    """Orthogonal columns, with further ones up to a square."""
    m, n = b.type_of(u).shape[-2:]
    if b.facts.equal(m, n):
        return u
    return b.emit("aten::cat", (u, b.emit("aten::narrow", b.emit_all("prim::qr", u, m)[0], -1, n, m - n)), -1)


def old_svd(b: Builder, a: Any, some: bool, vectors: bool) -> tuple[Any, Any, Any]:
    """The older form, whose right vectors are columns."""
    if not vectors:
        raise Unsupported("svd with compute_uv=False is not supported: use torch.linalg.svdvals")
    u, s, v = svd(b, a, not some)
    return u, s, turned(b, v)


def eigh(b: Builder, a: Any, uplo: str) -> tuple[Any, Any]:
    """The eigenvalues of a symmetric matrix, ascending, and its eigenvectors: those of a matrix whose values are
    shifted until they are positive are its singular vectors."""
    type_ = matrix(b, a)
    if b.facts.equal(type_.shape[-1], 0):
        raise Unsupported("eigh of a matrix without elements is not supported")
    whole = mirrored(b, a if uplo.upper() == "L" else turned(b, a))
    wide = b.emit("aten::to", whole, f64)
    size = b.emit("aten::sqrt", b.emit("aten::sum", b.emit("aten::mul", wide, wide), (-2, -1), True, None))
    eye = b.emit("aten::eye", type_.shape[-1], None, f64)
    shifted = b.emit("aten::add", wide, b.emit("aten::mul", eye, b.emit("aten::mul", size, 1.5)))
    vectors = b.emit("aten::to", b.emit("aten::flip", b.emit_all("prim::svd", shifted)[2], (-1,)), type_.dtype)
    values = b.emit("prim::eigenvalues", whole)
    _apart(b, a, values, False, OPEN.format("equal eigenvalues", "torch.linalg.eigvalsh(x)"))
    return values, vectors


def lstsq(b: Builder, a: Any, x: Any, rcond: Any, driver: Any) -> tuple[Any, Any, Any, Any]:
    """The least squares solution of a system of full rank; of several, the smallest."""
    if driver not in (None, "gelsy") or rcond is not None:
        raise Unsupported("lstsq with a driver other than gelsy, or with rcond, is not supported")
    type_ = matrix(b, a, square=False)
    if b.type_of(x).dtype is not type_.dtype:
        raise SignatureError(f"lstsq of {type_} and {b.type_of(x)}: eager PyTorch wants one dtype")
    vector = is_vector(b, type_, b.type_of(x))
    x = b.emit("aten::unsqueeze", x, -1) if vector else x
    a, x = spread_out(b, a, x)
    m, n = type_.shape[-2:]
    tall = b.facts.at_most(n, m)
    least = n if tall else m
    if b.facts.equal(least, 0) or not b.facts.equal(b.type_of(x).shape[-2], m):
        raise SignatureError(f"lstsq of {type_} and {b.type_of(x)}: their sizes do not fit")
    q, r = b.emit_all("prim::qr", a if tall else turned(b, a), least)
    pivots = b.emit("aten::abs", diagonal(b, r))
    epsilons = ROUNDINGS * float(np.finfo(type_.dtype.numpy).eps)
    small = b.emit("aten::mul", b.emit("aten::amax", pivots, (-1,), True), epsilons)
    whole = b.emit("aten::all", b.emit("aten::gt", pivots, small), None, False)
    b.guard(whole, True, "lstsq of a matrix without full rank is not supported: use torch.linalg.pinv(a) @ b")
    if tall:
        made = b.emit("prim::triangular_solve", r, b.emit("aten::matmul", turned(b, q), x), True, False)
    else:
        made = b.emit("aten::matmul", q, b.emit("prim::triangular_solve", turned(b, r), x, False, False))
    batch = b.type_of(a).shape[:-2]
    nothing = b.emit("prim::full", (const(0),), 0.0, type_.dtype)  # gelsy tells no residuals
    rank = b.emit("prim::full", batch, least, i64)
    return b.emit("aten::squeeze", made, -1) if vector else made, nothing, rank, nothing


def lu(b: Builder, a: Any, pivot: bool) -> tuple[Any, Any, Any]:
    """A permutation, a lower triangle with ones on its diagonal, and an upper triangle, whose product is the matrix."""
    if not pivot:
        raise Unsupported("lu without pivoting is not supported")
    type_ = matrix(b, a)
    both, pivots = b.emit_all("prim::lu", a)
    eye = b.emit("aten::expand", b.emit("aten::eye", type_.shape[-1], None, type_.dtype), type_.shape)
    moved = b.emit("prim::lu_solve", eye, pivots, eye)  # the exchanges alone
    return turned(b, moved), b.emit("aten::add", b.emit("aten::tril", both, -1), eye), b.emit("aten::triu", both, 0)


# -- what reports failures instead of raising errors ------------------------------------------------
def _reported(b: Builder, a: Any, *made: Any) -> tuple[Any, ...]:
    """Results with what `*_ex` reports: 0, since a guard refuses everything else."""
    return (*made, b.emit("prim::full", b.type_of(a).shape[:-2], 0, i32))


# -- exponentials ---------------------------------------------------------------------------------
HALVINGS, TERMS = 12, 18


def matrix_exp(aten: Aten, x: Any) -> Any:
    """e to a matrix: its series where it is small, which halving brings about, and squaring undoes."""
    b, type_ = aten.builder, matrix(aten.builder, x)
    if type_.dtype not in (f32, f64):
        raise Unsupported(f"matrix_exp of {type_.dtype} is not supported: eager PyTorch gives nan for large elements")
    wide = aten.to(x, f64)
    eye = aten.eye(type_.shape[-1], None, f64)
    size = aten.amax(aten.sum(aten.abs(wide), (-2,), True, None), (-1,), True)
    count = aten.clamp_min(aten.ceil(aten.log2(aten.clamp_min(size, 1e-30))), 0.0)
    fits = aten.logical_not(aten.any(aten.gt(count, float(HALVINGS)), None, False))
    b.guard(fits, True, f"matrix_exp of a matrix whose norm is more than 2^{HALVINGS} is not supported")
    small = aten.mul(wide, aten.exp2(aten.neg(count)))
    zero = aten.mul(small, 0.0)

    def term(carried: tuple[Any, ...], rows: tuple[Any, ...]) -> tuple[None, tuple[Any, ...], tuple[Any, ...]]:
        return None, (aten.add(eye, aten.div(aten.matmul(small, carried[0]), rows[0])),), ()

    def square(carried: tuple[Any, ...], rows: tuple[Any, ...]) -> tuple[None, tuple[Any, ...], tuple[Any, ...]]:
        twice = aten.matmul(carried[0], carried[0])
        return None, (aten.where(aten.gt(count, rows[0]), twice, carried[0]),), ()

    (made,) = b.loop(TERMS, (aten.add(zero, eye),), (aten.arange(TERMS, 0, -1, f64),), term)
    (made,) = b.loop(HALVINGS, (made,), (aten.arange(0, HALVINGS, 1, f64),), square)
    return aten.to(made, type_.dtype)


M, BATCH, TALL = well(4, 4), well(2, 3, 3), Rand(5, 3)
DIAGONAL = np.diag(np.array([1.0, 3.0, 2.0], np.float32))
MATRIX_VECTORS: list[Op] = [
    factored("linalg_svd", "(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor, Tensor, Tensor)", svd),
    factored("svd", "(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor, Tensor, Tensor)", old_svd),
    factored("linalg_eigh", "(Tensor self, str UPLO='L') -> (Tensor, Tensor)", eigh),
    factored(
        "linalg_lstsq",
        "(Tensor self, Tensor b, float? rcond=None, *, str? driver=None) -> (Tensor, Tensor, Tensor, Tensor)",
        lstsq,
        (TALL, Rand(5, 2)),
        (Rand(2, 3, 4), Rand(2, 3, 2)),
    ),
    factored("linalg_lu", "(Tensor A, *, bool pivot=True) -> (Tensor, Tensor, Tensor)", lu, (M,), (BATCH,)),
    factored(
        "linalg_cholesky_ex",
        "(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor, Tensor)",
        lambda b, a, upper, check: _reported(b, a, cholesky(b, a, upper)),
        (M,),
        (BATCH, True),
    ),
    factored(
        "linalg_inv_ex",
        "(Tensor A, *, bool check_errors=False) -> (Tensor, Tensor)",
        lambda b, a, check: _reported(b, a, inv(b, a)),
        (M,),
        (BATCH,),
    ),
    factored(
        "linalg_solve_ex",
        "(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor, Tensor)",
        lambda b, a, x, left, check: _reported(b, a, solve(b, a, x, left)),
        (M, Rand(4, 2)),
    ),
    factored(
        "linalg_lu_factor_ex",
        "(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor, Tensor, Tensor)",
        lambda b, a, pivot, check: _reported(b, a, *lu_factor(b, a, pivot)),
        (M,),
    ),
    formula(
        "matrix_exp",
        "(Tensor self) -> Tensor",
        matrix_exp,
        (Rand(4, 4),),
        (Rand(2, 3, 3, scale=9.0),),
        overloads="default linalg_matrix_exp.default",
        tolerance=FAR,
        stepwise=True,
    ),
]
