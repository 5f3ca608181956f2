"""Small linear algebra: factors of matrices, what is solved with them, singular values, by builtins of the runtime.

A matrix that eager PyTorch refuses, one that is singular or not positive definite, refuses the call with a guard.
Vectors whose signs are free, those of `svd` and `eigh`, are not given: what comes of them whatever their signs is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NAME, i32, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, BuiltinCall, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.family import broadcast, composite
from unmoor.ops.formula import ON_ARRAYS
from unmoor.ops.samples import Rand
from unmoor.ops.schema import parse_schema

WIDE = ("f32", "f64")
SOLVED = Tolerance(
    {"f32": 1e-4, "f64": 1e-11},
    {"f32": 1e-4, "f64": 1e-11},
    "another order of eliminations than LAPACK's: errors grow with the condition of the matrix",
)
SINGULAR = "a matrix is singular, where eager PyTorch raises an error"
NOT_POSITIVE = "a matrix is not positive definite, where eager PyTorch raises an error"


# -- the core ops ---------------------------------------------------------------------------------
def _batch(x: TensorType) -> Dim:
    return product(x.shape[:-2])


def _each(fn: Callable[..., tuple[Any, ...]], count: int) -> Callable[..., Any]:
    """A reference on one matrix, over all of them."""

    def reference(a: np.ndarray, *rest: Any) -> tuple[np.ndarray, ...]:
        batch = a.shape[:-2]
        arrays = [a, *(r for r in rest if isinstance(r, np.ndarray))]
        plain = [r for r in rest if not isinstance(r, np.ndarray)]
        flat = [x.reshape(math.prod(batch), *x.shape[len(batch) :]) for x in arrays]
        made = [fn(*(f[k] for f in flat), *plain) for k in range(len(flat[0]))]
        made = made or [fn(*(np.ones(f.shape[1:], f.dtype) for f in flat), *plain)]
        stacks = [np.stack([m[k] for m in made])[: len(flat[0])] for k in range(count)]
        return tuple(s.reshape((*batch, *s.shape[1:])) for s in stacks)

    return reference


def np_lu(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One matrix's L and U in one, and the rows that were exchanged."""
    lu, pivots = a.copy(), np.arange(len(a))
    for j in range(len(a)):
        pivots[j] = j + int(np.argmax(np.abs(lu[j:, j])))
        lu[[j, pivots[j]]] = lu[[pivots[j], j]]
        if lu[j, j] != 0:
            lu[j + 1 :, j] /= lu[j, j]
            lu[j + 1 :, j + 1 :] -= np.outer(lu[j + 1 :, j], lu[j, j + 1 :])
    return lu, pivots.astype(np.int64)


def np_solved(a: np.ndarray, b: np.ndarray, upper: bool, unit: bool) -> tuple[np.ndarray]:
    """One triangular system's solution."""
    x = b.copy()
    order = range(len(a))
    for i in reversed(order) if upper else order:
        for j in range(i + 1, len(a)) if upper else range(i):
            x[i] -= a[i, j] * x[j]
        with np.errstate(all="ignore"):
            x[i] = x[i] if unit else x[i] / a[i, i]
    return (x,)


def np_lu_solved(lu: np.ndarray, pivots: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
    """One system's solution, of its factors."""
    x = b.copy()
    for j, other in enumerate(pivots):
        if j < other < len(x):
            x[[j, other]] = x[[other, j]]
    return np_solved(lu, np_solved(lu, x, False, True)[0], True, False)


def np_cholesky(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One matrix's lower factor, and the size of the first minor that is not positive."""
    low, n = np.zeros_like(a), len(a)
    for i in range(n):
        for j in range(i + 1):
            left = float(a[i, j]) - float(low[i, :j].astype(float) @ low[j, :j].astype(float))
            if j < i:
                low[i, j] = left / low[j, j]
            elif left > 0:
                low[i, i] = math.sqrt(left)
            else:
                return low, np.asarray(i + 1)
    return low, np.asarray(0)


def np_qr(a: np.ndarray, c: int) -> tuple[np.ndarray, np.ndarray]:
    """One matrix's factors, signed as Householder's reflections sign them."""
    q, r = np.linalg.qr(a.astype(np.float64), "complete")
    return q[:, :c].astype(a.dtype), r[:c].astype(a.dtype)


def np_svd(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One matrix's singular values and vectors; left ones that belong to 0 are 0."""
    u, s, v = np.linalg.svd(a.astype(np.float64), full_matrices=False)
    u = np.where(s > 0, u, 0)
    return u.astype(a.dtype), s.astype(a.dtype), v.T.astype(a.dtype)


def np_eigenvalues(a: np.ndarray) -> tuple[np.ndarray]:
    """One symmetric matrix's, of its lower triangle."""
    return (np.linalg.eigvalsh(a.astype(np.float64), "L").astype(a.dtype),)


def _core(name: str, schema: str, infer: Any, builtin: str, ints: Any, reference: Any, samples: Any, doc: str) -> Op:
    return Op(
        f"prim::{name}",
        parse_schema(schema),
        Kind.BUILTIN,
        infer,
        reference,
        (),
        samples,
        SOLVED,
        builtin=BuiltinCall(builtin, ints),
        dtypes=WIDE,
        doc=doc,
    )


def _well(*shape: int) -> np.ndarray:
    """Matrices that are far from singular, symmetric and positive definite."""
    x = np.random.default_rng(sum(shape)).standard_normal(shape)
    return np.asarray((x @ np.swapaxes(x, -1, -2) + 3 * np.eye(shape[-1])).astype(np.float32))


def _in(array: Any, dtype: str) -> Any:
    """A matrix in the dtype that is tested."""
    is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    return array.astype(BY_NAME[dtype].numpy) if is_float else array


def _of(*args: Any) -> Callable[[str], list[Sample]]:
    """A sample whose matrices are in the dtype that is tested."""
    return lambda d: [Sample(tuple(_in(a, d) for a in args))]


CORE: list[Op] = [
    _core(
        "lu",
        "(Tensor self) -> (Tensor, Tensor)",
        lambda facts, a: (a, TensorType(i64, a.shape[:-1])),
        "lu",
        lambda a: (_batch(a), a.shape[-1]),
        _each(np_lu, 2),
        _of(_well(2, 5, 5)),
        "L and U in one of matrices whose rows are exchanged, and which ones those are.",
    ),
    _core(
        "lu_solve",
        "(Tensor lu, Tensor pivots, Tensor b) -> Tensor",
        lambda facts, lu, pivots, b: b,
        "lu_solve",
        lambda lu, pivots, b: (_batch(lu), lu.shape[-1], b.shape[-1]),
        lambda *args: _each(np_lu_solved, 1)(*args)[0],
        lambda d: [Sample((np_lu(_well(5, 5).astype(BY_NAME[d].numpy))[0], np.array([1, 1, 4, 3, 4]), Rand(5, 2)))],
        "The solutions of systems of what `prim::lu` gives.",
    ),
    _core(
        "triangular_solve",
        "(Tensor a, Tensor b, bool upper, bool unit) -> Tensor",
        lambda facts, a, b, upper, unit: b,
        "triangular_solve",
        lambda a, b, upper, unit: (_batch(a), a.shape[-1], b.shape[-1], const(int(upper)), const(int(unit))),
        lambda *args: _each(np_solved, 1)(*args)[0],
        lambda d: [
            Sample((_well(2, 5, 5).astype(BY_NAME[d].numpy), Rand(2, 5, 3), upper, unit))
            for upper, unit in ((False, False), (True, False))
        ],
        "The solutions of triangular systems, of the upper triangle or the lower one.",
    ),
    _core(
        "cholesky",
        "(Tensor self) -> (Tensor, Tensor)",
        lambda facts, a: (a, TensorType(i64, a.shape[:-2])),
        "cholesky",
        lambda a: (_batch(a), a.shape[-1]),
        _each(np_cholesky, 2),
        _of(_well(2, 5, 5)),
        "Lower factors of positive definite matrices, and where one is not: the size of the first such minor, else 0.",
    ),
    _core(
        "qr",
        "(Tensor self, int c) -> (Tensor, Tensor)",
        lambda facts, a, c: (
            TensorType(a.dtype, (*a.shape[:-1], dim(c))),
            TensorType(a.dtype, (*a.shape[:-2], dim(c), a.shape[-1])),
        ),
        "qr",
        lambda a, c: (_batch(a), a.shape[-2], a.shape[-1], dim(c)),
        _each(np_qr, 2),
        lambda d: [Sample((Rand(2, 5, 3), 3)), Sample((Rand(3, 5), 3)), Sample((Rand(5, 3), 5))],
        "c orthogonal columns, and c rows of an upper triangle: their product is the matrix.",
    ),
    _core(
        "svd",
        "(Tensor self) -> (Tensor, Tensor, Tensor)",
        lambda facts, a: (
            a,
            TensorType(a.dtype, (*a.shape[:-2], a.shape[-1])),
            TensorType(a.dtype, (*a.shape[:-2], a.shape[-1], a.shape[-1])),
        ),
        "svd",
        lambda a: (_batch(a), a.shape[-2], a.shape[-1]),
        _each(np_svd, 3),
        lambda d: [Sample((np.diag(np.array([1.0, 3.0, 2.0])).astype(BY_NAME[d].numpy) ** 2,))],
        "Left vectors, singular values in descending order, right vectors, of matrices that are not wider than high.",
    ),
    _core(
        "eigenvalues",
        "(Tensor self) -> Tensor",
        lambda facts, a: TensorType(a.dtype, a.shape[:-1]),
        "eigenvalues",
        lambda a: (_batch(a), a.shape[-1]),
        lambda a: _each(np_eigenvalues, 1)(a)[0],
        _of(_well(2, 5, 5)),
        "The eigenvalues of symmetric matrices, ascending.",
    ),
]


# -- what PyTorch makes of them -------------------------------------------------------------------
def _matrix(b: Builder, x: Any, square: bool = True) -> TensorType:
    type_ = b.type_of(x)
    if type_.rank < 2 or (square and not b.facts.equal(type_.shape[-1], type_.shape[-2])):
        raise SignatureError(f"{type_} is no {'square matrix' if square else 'matrix'}, nor a batch of them")
    if type_.dtype.name not in WIDE:
        raise Unsupported(f"linear algebra of {type_.dtype.torch_name} is not supported: convert with .float() first")
    return type_


def _diagonal(b: Builder, x: Any) -> Any:
    return b.emit("aten::diagonal", x, 0, -2, -1)


def _factors(b: Builder, a: Any) -> tuple[Any, Any]:
    _matrix(b, a)
    made = b.emit_all("prim::lu", a)
    return made[0], made[1]


def _regular(b: Builder, a: Any) -> tuple[Any, Any]:
    """The factors of matrices; a guard refuses the call where one is singular."""
    lu, pivots = _factors(b, a)
    b.guard(b.emit("aten::any", b.emit("aten::eq", _diagonal(b, lu), 0.0), None, False), False, SINGULAR)
    return lu, pivots


def _identity(b: Builder, type_: TensorType) -> Any:
    return b.emit("aten::expand", b.emit("aten::eye", type_.shape[-1], None, type_.dtype), type_.shape)


def inv(b: Builder, a: Any) -> Any:
    """The inverse."""
    return b.emit("prim::lu_solve", *_regular(b, a), _identity(b, b.type_of(a)))


def _is_vector(b: Builder, a: TensorType, x: TensorType) -> bool:
    """Whether the right side is a vector, or a batch of them with the batch dims of the matrices."""
    if x.rank == 1:
        return True
    return a.rank - 1 == x.rank and all(b.facts.equal(m, n) for m, n in zip(a.shape[:-1], x.shape, strict=True))


def _spread_out(b: Builder, a: Any, x: Any) -> tuple[Any, Any]:
    """Matrices and right sides with equal batch dims."""
    batch = broadcast(b.facts, [b.type_of(v).shape[:-2] for v in (a, x)])
    made = []
    for v in (a, x):
        wanted = (*batch, *b.type_of(v).shape[-2:])
        made.append(v if wanted == b.type_of(v).shape else b.emit("aten::expand", v, wanted))
    return made[0], made[1]


def _turned(b: Builder, x: Any) -> Any:
    return b.emit("aten::mT", x)


def _with_sides(b: Builder, a: Any, x: Any, left: bool, solve: Callable[[Any, Any], Any]) -> Any:
    """Solves for a right side: a vector as a column, or from the right through transposes."""
    type_, vector = _matrix(b, a), False
    if b.type_of(x).dtype is not type_.dtype:
        raise SignatureError(f"a system of {type_} and {b.type_of(x)}: eager PyTorch wants one dtype")
    if left and _is_vector(b, type_, b.type_of(x)):
        x, vector = b.emit("aten::unsqueeze", x, -1), True
    if not left:
        a, x = _turned(b, a), _turned(b, x)
    if b.type_of(x).rank < 2 or not b.facts.equal(b.type_of(x).shape[-2], type_.shape[-1]):
        raise SignatureError(f"a system of {type_} and {b.type_of(x)}: their sizes do not fit")
    made = solve(*_spread_out(b, a, x))
    made = made if left else _turned(b, made)
    return b.emit("aten::squeeze", made, -1) if vector else made


def solve(b: Builder, a: Any, x: Any, left: bool) -> Any:
    """The solution of a system."""
    return _with_sides(b, a, x, left, lambda m, r: b.emit("prim::lu_solve", *_regular(b, m), r))


def solve_triangular(b: Builder, a: Any, x: Any, upper: bool, left: bool, unit: bool) -> Any:
    """The solution of a triangular system."""
    _matrix(b, a)
    if b.type_of(x).rank < 2:
        raise SignatureError("solve_triangular takes a matrix as right side")
    if not left:
        made = solve_triangular(b, _turned(b, a), _turned(b, x), not upper, True, unit)
        return _turned(b, made)
    return b.emit("prim::triangular_solve", *_spread_out(b, a, x), upper, unit)


def cholesky(b: Builder, a: Any, upper: bool) -> Any:
    """The lower factor, or the upper one of the upper triangle."""
    _matrix(b, a)
    low, failed = b.emit_all("prim::cholesky", _turned(b, a) if upper else a)
    b.guard(b.emit("aten::any", b.emit("aten::ne", failed, 0), None, False), False, NOT_POSITIVE)
    return _turned(b, low) if upper else low


def cholesky_solve(b: Builder, x: Any, low: Any, upper: bool) -> Any:
    """The solution of a system of what a Cholesky factor belongs to."""
    low = _turned(b, low) if upper else low
    return solve_triangular(b, _turned(b, low), solve_triangular(b, low, x, False, True, False), True, True, False)


def cholesky_inverse(b: Builder, low: Any, upper: bool) -> Any:
    """The inverse of what a Cholesky factor belongs to."""
    return cholesky_solve(b, _identity(b, _matrix(b, low)), low, upper)


def _odd(b: Builder, pivots: Any) -> Any:
    """Whether an odd number of rows were exchanged."""
    n = b.type_of(pivots).shape[-1]
    moved = b.emit("aten::ne", pivots, b.emit("prim::iota", n))
    return b.emit("aten::eq", b.emit("aten::remainder", b.emit("aten::sum", moved, (-1,), False, None), 2), 1)


def det(b: Builder, a: Any) -> Any:
    """The determinant: the product of U's diagonal, with the sign of the exchanges."""
    lu, pivots = _factors(b, a)
    made = b.emit("aten::prod", _diagonal(b, lu), -1, False, None)
    return b.emit("aten::where", _odd(b, pivots), b.emit("aten::neg", made), made)


def slogdet(b: Builder, a: Any) -> tuple[Any, Any]:
    """The determinant's sign, and the logarithm of its size."""
    lu, pivots = _factors(b, a)
    diagonal = _diagonal(b, lu)
    sign = b.emit("aten::prod", b.emit("aten::sign", diagonal), -1, False, None)
    sign = b.emit("aten::where", _odd(b, pivots), b.emit("aten::neg", sign), sign)
    return sign, b.emit("aten::sum", b.emit("aten::log", b.emit("aten::abs", diagonal)), (-1,), False, None)


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
    lu, x = _spread_out(b, lu, x)
    places = b.emit("aten::sub", b.emit("prim::cast", pivots, i64), 1)
    if b.type_of(places).shape != b.type_of(lu).shape[:-1]:
        places = b.emit("aten::expand", places, b.type_of(lu).shape[:-1])
    return b.emit("prim::lu_solve", lu, places, x)


def qr(b: Builder, a: Any, mode: str) -> tuple[Any, Any]:
    """Orthogonal columns and an upper triangle."""
    m, n = _matrix(b, a, square=False).shape[-2:]
    if mode not in ("reduced", "complete"):
        raise Unsupported(f"qr with the mode {mode!r} is not supported: take the second of torch.linalg.qr(x)")
    least = m if b.facts.at_most(m, n) else n
    made = b.emit_all("prim::qr", a, m if mode == "complete" else least)
    return made[0], made[1]


def _values_and_vectors(b: Builder, a: Any) -> tuple[Any, Any, Any]:
    m, n = _matrix(b, a, square=False).shape[-2:]
    if b.facts.at_most(n, m):
        made = b.emit_all("prim::svd", a)
        return made[0], made[1], made[2]
    made = b.emit_all("prim::svd", _turned(b, a))
    return made[2], made[1], made[0]


def svdvals(b: Builder, a: Any) -> Any:
    """The singular values."""
    return _values_and_vectors(b, a)[1]


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
        a = _mirrored(b, a)
    if any(b.facts.equal(d, 0) for d in _matrix(b, a, square=False).shape[-2:]):
        raise Unsupported("pinv of a matrix without elements is not supported")
    u, s, v = _values_and_vectors(b, a)
    small = b.emit("aten::le", s, _cut(b, a, s, atol, rtol))
    inverse = b.emit("aten::where", small, 0.0, b.emit("aten::reciprocal", s))
    return b.emit("aten::matmul", b.emit("aten::mul", v, b.emit("aten::unsqueeze", inverse, -2)), _turned(b, u))


def _mirrored(b: Builder, a: Any) -> Any:
    """The symmetric matrix of a lower triangle."""
    _matrix(b, a)
    return b.emit("aten::add", b.emit("aten::tril", a, 0), _turned(b, b.emit("aten::tril", a, -1)))


def matrix_rank(b: Builder, a: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """How many singular values are not small."""
    a = _mirrored(b, a) if hermitian else a
    if any(b.facts.equal(d, 0) for d in _matrix(b, a, square=False).shape[-2:]):
        raise Unsupported("matrix_rank of a matrix without elements is not supported")
    s = svdvals(b, a)
    return b.emit("aten::sum", b.emit("aten::gt", s, _cut(b, a, s, atol, rtol)), (-1,), False, None)


def cond(b: Builder, a: Any, p: Any) -> Any:
    """The norm of a matrix times that of its inverse."""
    if p is None or p in (2, -2):
        s = svdvals(b, a)
        ends = b.emit("aten::amax", s, (-1,), False), b.emit("aten::amin", s, (-1,), False)
        return b.emit("aten::div", *(ends if p != -2 else ends[::-1]))
    _matrix(b, a)
    return b.emit(
        "aten::mul", *(b.emit("aten::linalg_matrix_norm", m, p, (-2, -1), False, None) for m in (a, inv(b, a)))
    )


def triangular_solve(b: Builder, x: Any, a: Any, upper: bool, transpose: bool, unit: bool) -> tuple[Any, Any]:
    """The older form, which gives the matrix back."""
    _matrix(b, a)
    a, x = _spread_out(b, a, x)
    return solve_triangular(b, _turned(b, a) if transpose else a, x, upper is not transpose, True, unit), a


def eigvalsh(b: Builder, a: Any, uplo: str) -> Any:
    """The eigenvalues of a symmetric matrix, ascending."""
    _matrix(b, a)
    return b.emit("prim::eigenvalues", a if uplo.upper() == "L" else _turned(b, a))


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


# -- the table ------------------------------------------------------------------------------------
def _op(
    name: str, schema: str, decompose: Callable[..., Any], *samples: tuple[Any, ...], overloads: str = "default"
) -> Op:
    """Its reference is the same on arrays: NumPy does the factoring there."""
    return composite(
        f"aten::{name}",
        schema,
        overloads,
        decompose,
        lambda *args: decompose(ON_ARRAYS, *args),
        lambda d: [Sample(tuple(_in(a, d) for a in s)) for s in samples],
        dtypes=WIDE,
        tolerance=SOLVED,
    )


M, BATCH = _well(4, 4), _well(2, 3, 3)
LINEAR_ALGEBRA: list[Op] = [
    *CORE,
    _op("linalg_inv", "(Tensor A) -> Tensor", inv, (M,), (BATCH,)),
    _op("inverse", "(Tensor self) -> Tensor", inv, (M,)),
    _op("linalg_det", "(Tensor A) -> Tensor", det, (M,), (BATCH,)),
    _op("det", "(Tensor self) -> Tensor", det, (M,)),
    _op("linalg_slogdet", "(Tensor A) -> (Tensor, Tensor)", slogdet, (M,), (BATCH,)),
    _op("slogdet", "(Tensor self) -> (Tensor, Tensor)", slogdet, (M,)),
    _op("logdet", "(Tensor self) -> Tensor", logdet, (M,), (BATCH,)),
    _op(
        "linalg_solve",
        "(Tensor A, Tensor B, *, bool left=True) -> Tensor",
        solve,
        (M, Rand(4), True),
        (BATCH, Rand(3, 2), True),
        (BATCH, Rand(2, 5, 3), False),
    ),
    _op(
        "linalg_solve_triangular",
        "(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor",
        solve_triangular,
        (M, Rand(4, 2), True, True, False),
        (BATCH, Rand(5, 3), False, False, False),
    ),
    _op("linalg_cholesky", "(Tensor self, *, bool upper=False) -> Tensor", cholesky, (M,), (BATCH, True)),
    _op("cholesky", "(Tensor self, bool upper=False) -> Tensor", cholesky, (M,), (BATCH, True)),
    _op(
        "cholesky_solve",
        "(Tensor self, Tensor input2, bool upper=False) -> Tensor",
        cholesky_solve,
        (Rand(4, 2), np.tril(M)),
    ),
    _op("cholesky_inverse", "(Tensor self, bool upper=False) -> Tensor", cholesky_inverse, (np.tril(M),)),
    _op("linalg_lu_factor", "(Tensor A, *, bool pivot=True) -> (Tensor, Tensor)", lu_factor, (M,), (BATCH,)),
    _op(
        "linalg_lu_solve",
        "(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor",
        lu_solve,
        (M, np.array([2, 2, 4, 4]).astype(np.int32), Rand(4, 2)),
    ),
    _op(
        "linalg_qr",
        "(Tensor A, str mode='reduced') -> (Tensor, Tensor)",
        qr,
        (Rand(5, 3),),
        (Rand(2, 3, 4),),
        (Rand(4, 2), "complete"),
    ),
    _op(
        "qr",
        "(Tensor self, bool some=True) -> (Tensor, Tensor)",
        lambda b, a, some: qr(b, a, "reduced" if some else "complete"),
        (Rand(5, 3),),
    ),
    _op("linalg_cond", "(Tensor self, Scalar? p=None) -> Tensor", cond, (M,), (BATCH, 1), overloads="default p_str"),
    _op(
        "pinverse",
        "(Tensor self, float rcond=1e-15) -> Tensor",
        lambda b, a, rcond: pinv(b, a, None, rcond, False),
        (Rand(5, 3),),
    ),
    _op(
        "triangular_solve",
        "(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) -> (Tensor, Tensor)",
        triangular_solve,
        (Rand(4, 2), M),
        (Rand(4, 2), M, False, True),
    ),
    _op(
        "linalg_svdvals",
        "(Tensor A, *, str? driver=None) -> Tensor",
        lambda b, a, driver: svdvals(b, a),
        (Rand(2, 5, 3),),
    ),
    _op(
        "linalg_pinv",
        "(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
        pinv,
        (Rand(5, 3),),
        overloads="atol_rtol_tensor atol_rtol_float",
    ),
    _op(
        "linalg_matrix_rank",
        "(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
        matrix_rank,
        (Rand(5, 3),),
        overloads="atol_rtol_tensor atol_rtol_float",
    ),
    _op("linalg_eigvalsh", "(Tensor self, str UPLO='L') -> Tensor", eigvalsh, (M,), (BATCH, "U")),
    _op("linalg_tensorinv", "(Tensor self, int ind=2) -> Tensor", tensorinv, (_well(4, 4).reshape(2, 2, 4), 2)),
    _op(
        "linalg_tensorsolve",
        "(Tensor self, Tensor other, int[]? dims=None) -> Tensor",
        tensorsolve,
        (_well(4, 4).reshape(2, 2, 4), Rand(2, 2)),
    ),
]
