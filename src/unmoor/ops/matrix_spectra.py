"""Singular values, eigenvalues and orthogonal factors of matrices, and what is made of them: ranks, pseudo-inverses."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import i64
from unmoor.errors import Unsupported
from unmoor.ir.op import Builder, Op
from unmoor.ir.types import TensorType
from unmoor.ops.linear_systems import diagonal, inv
from unmoor.ops.matrix_factors import apart, factored, matrix, turned, well
from unmoor.ops.samples import Rand

DEPENDENT = (
    "a matrix whose columns depend on each other, or almost so, leaves its factors open, so that they may not be eager "
    "PyTorch's\n  fix: torch.linalg.svdvals(x) tells which rank it has"
)


def qr(b: Builder, a: Any, mode: str) -> tuple[Any, Any]:
    """Orthogonal columns and an upper triangle."""
    m, n = matrix(b, a, square=False).shape[-2:]
    if mode not in ("reduced", "complete"):
        raise Unsupported(f"qr with the mode {mode!r} is not supported: take the second of torch.linalg.qr(x)")
    least = m if b.facts.at_most(m, n) else n
    made = b.emit_all("prim::qr", a, m if mode == "complete" else least)
    if not any(b.facts.equal(d, 0) for d in (m, n)):
        pivots = b.emit("aten::abs", diagonal(b, made[1]))
        before, last = (b.emit("aten::narrow", pivots, -1, *at) for at in ((0, least - 1), (least - 1, 1)))
        apart(b, a, pivots, before, last, DEPENDENT)
    return made[0], made[1]


def values_and_vectors(b: Builder, a: Any) -> tuple[Any, Any, Any]:
    """Left vectors, singular values, right vectors."""
    m, n = matrix(b, a, square=False).shape[-2:]
    if b.facts.at_most(n, m):
        made = b.emit_all("prim::svd", a)
        return made[0], made[1], made[2]
    made = b.emit_all("prim::svd", turned(b, a))
    return made[2], made[1], made[0]


def svdvals(b: Builder, a: Any) -> Any:
    """The singular values."""
    return values_and_vectors(b, a)[1]


def _cut(b: Builder, a: Any, s: Any, atol: Any, rtol: Any) -> Any:
    """Below which size singular values count as 0, broadcast along the last axis."""
    type_ = b.type_of(a)
    if any(b.is_tensor(t) and b.type_of(t).rank for t in (atol, rtol)):
        raise Unsupported("tolerances that differ from matrix to matrix are not supported")
    most = b.emit("aten::amax", s, (-1,), True)
    if rtol is None:
        positive = None if atol is None else b.emit("aten::gt", atol, 0.0) if b.is_tensor(atol) else atol > 0
        if positive is not None and not isinstance(positive, bool):
            raise Unsupported("pinv and matrix_rank with atol as a tensor need rtol too")
        larger = type_.shape[-1] if b.facts.at_most(type_.shape[-2], type_.shape[-1]) else type_.shape[-2]
        tiny = float(np.finfo(type_.dtype.numpy).eps)
        number = b.emit("prim::cast", b.emit("prim::full", (), larger, i64), type_.dtype)
        rtol = 0.0 if positive else b.emit("aten::mul", number, tiny)
    relative = b.emit("aten::mul", most, rtol)
    return relative if atol is None else b.emit("aten::maximum", relative, _as_tensor(b, atol, type_))


def _as_tensor(b: Builder, value: Any, type_: TensorType) -> Any:
    return value if b.is_tensor(value) else b.emit("prim::full", (), float(value), type_.dtype)


def pinv(b: Builder, a: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """Moore and Penrose's inverse, by singular values, of which small ones count as 0."""
    if hermitian:
        a = mirrored(b, a)
    if any(b.facts.equal(d, 0) for d in matrix(b, a, square=False).shape[-2:]):
        raise Unsupported("pinv of a matrix without elements is not supported")
    u, s, v = values_and_vectors(b, a)
    small = b.emit("aten::le", s, _cut(b, a, s, atol, rtol))
    inverse = b.emit("aten::where", small, 0.0, b.emit("aten::reciprocal", s))
    return b.emit("aten::matmul", b.emit("aten::mul", v, b.emit("aten::unsqueeze", inverse, -2)), turned(b, u))


def mirrored(b: Builder, a: Any) -> Any:
    """The symmetric matrix of a lower triangle."""
    matrix(b, a)
    return b.emit("aten::add", b.emit("aten::tril", a, 0), turned(b, b.emit("aten::tril", a, -1)))


def matrix_rank(b: Builder, a: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """How many singular values are not small."""
    a = mirrored(b, a) if hermitian else a
    if any(b.facts.equal(d, 0) for d in matrix(b, a, square=False).shape[-2:]):
        raise Unsupported("matrix_rank of a matrix without elements is not supported")
    s = svdvals(b, a)
    return b.emit("aten::sum", b.emit("aten::gt", s, _cut(b, a, s, atol, rtol)), (-1,), False, None)


def cond(b: Builder, a: Any, p: Any) -> Any:
    """The norm of a matrix times that of its inverse."""
    if p is None or p in (2, -2):
        s = svdvals(b, a)
        ends = b.emit("aten::amax", s, (-1,), False), b.emit("aten::amin", s, (-1,), False)
        return b.emit("aten::div", *(ends if p != -2 else ends[::-1]))
    matrix(b, a)
    return b.emit(
        "aten::mul", *(b.emit("aten::linalg_matrix_norm", m, p, (-2, -1), False, None) for m in (a, inv(b, a)))
    )


def eigvalsh(b: Builder, a: Any, uplo: str) -> Any:
    """The eigenvalues of a symmetric matrix, ascending."""
    matrix(b, a)
    return b.emit("prim::eigenvalues", a if uplo.upper() == "L" else turned(b, a))


M, BATCH = well(4, 4), well(2, 3, 3)
MATRIX_SPECTRA: list[Op] = [
    factored(
        "linalg_qr",
        "(Tensor A, str mode='reduced') -> (Tensor, Tensor)",
        qr,
        (Rand(5, 3),),
        (Rand(2, 3, 4),),
        (Rand(4, 2), "complete"),
    ),
    factored(
        "qr",
        "(Tensor self, bool some=True) -> (Tensor, Tensor)",
        lambda b, a, some: qr(b, a, "reduced" if some else "complete"),
        (Rand(5, 3),),
    ),
    factored(
        "linalg_cond", "(Tensor self, Scalar? p=None) -> Tensor", cond, (M,), (BATCH, 1), overloads="default p_str"
    ),
    factored(
        "pinverse",
        "(Tensor self, float rcond=1e-15) -> Tensor",
        lambda b, a, rcond: pinv(b, a, None, rcond, False),
        (Rand(5, 3),),
    ),
    factored(
        "linalg_svdvals",
        "(Tensor A, *, str? driver=None) -> Tensor",
        lambda b, a, driver: svdvals(b, a),
        (Rand(2, 5, 3),),
    ),
    factored(
        "linalg_pinv",
        "(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
        pinv,
        (Rand(5, 3),),
        overloads="atol_rtol_tensor atol_rtol_float",
    ),
    factored(
        "linalg_matrix_rank",
        "(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
        matrix_rank,
        (Rand(5, 3),),
        overloads="atol_rtol_tensor atol_rtol_float",
    ),
    factored("linalg_eigvalsh", "(Tensor self, str UPLO='L') -> Tensor", eigvalsh, (M,), (BATCH, "U")),
]
