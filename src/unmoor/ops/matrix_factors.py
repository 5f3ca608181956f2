"""Factors of matrices, by builtins of the runtime: LU, Cholesky, QR, singular values, and triangular systems."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NAME, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, BuiltinCall, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.family import composite
from unmoor.ops.formula import ON_ARRAYS
from unmoor.ops.samples import Rand
from unmoor.ops.schema import parse_schema

WIDE = ("f32", "f64")
SOLVED = Tolerance(
    {"f32": 1e-4, "f64": 1e-11},
    {"f32": 1e-4, "f64": 1e-11},
    "another order of eliminations than LAPACK's: errors grow with the condition of the matrix",
)


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


def well(*shape: int) -> np.ndarray:
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


MATRIX_FACTORS: list[Op] = [
    _core(
        "lu",
        "(Tensor self) -> (Tensor, Tensor)",
        lambda facts, a: (a, TensorType(i64, a.shape[:-1])),
        "lu",
        lambda a: (_batch(a), a.shape[-1]),
        _each(np_lu, 2),
        _of(well(2, 5, 5)),
        "L and U in one of matrices whose rows are exchanged, and which ones those are.",
    ),
    _core(
        "lu_solve",
        "(Tensor lu, Tensor pivots, Tensor b) -> Tensor",
        lambda facts, lu, pivots, b: b,
        "lu_solve",
        lambda lu, pivots, b: (_batch(lu), lu.shape[-1], b.shape[-1]),
        lambda *args: _each(np_lu_solved, 1)(*args)[0],
        lambda d: [Sample((np_lu(well(5, 5).astype(BY_NAME[d].numpy))[0], np.array([1, 1, 4, 3, 4]), Rand(5, 2)))],
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
            Sample((well(2, 5, 5).astype(BY_NAME[d].numpy), Rand(2, 5, 3), upper, unit))
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
        _of(well(2, 5, 5)),
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
        _of(well(2, 5, 5)),
        "The eigenvalues of symmetric matrices, ascending.",
    ),
]


# -- what ops of matrices share ---------------------------------------------------------------------
def matrix(b: Builder, x: Any, square: bool = True) -> TensorType:
    type_ = b.type_of(x)
    if type_.rank < 2 or (square and not b.facts.equal(type_.shape[-1], type_.shape[-2])):
        raise SignatureError(f"{type_} is no {'square matrix' if square else 'matrix'}, nor a batch of them")
    if type_.dtype.name not in WIDE:
        raise Unsupported(f"linear algebra of {type_.dtype.torch_name} is not supported: convert with .float() first")
    return type_


def turned(b: Builder, x: Any) -> Any:
    return b.emit("aten::mT", x)


# In parts of the largest: where two values of a matrix are closer, rounding turns their vectors, here and in eager
# PyTorch, by more than outputs may be off.
CLOSE = {"f32": 2.5e-4, "f64": 1e-6}
ROUNDINGS = 32.0  # epsilons, for each row, that no number is told from 0 in


def apart(b: Builder, a: Any, values: Any, gaps: Any, last: Any, message: str) -> None:
    """A guard: the gaps between values of a matrix are wide, and the last number, if any, is wide enough or not 0.

    In a square matrix the last vector follows from the others, but for the sign, which is only open where it is 0.
    """
    dtype, count = b.type_of(a).dtype, b.type_of(values).shape[-1]
    size = b.emit("aten::amax", b.emit("aten::abs", values), (-1,), True)
    rows = b.emit("prim::cast", b.emit("prim::full", (), count, i64), dtype)
    rounded = b.emit("aten::mul", rows, ROUNDINGS * float(np.finfo(dtype.numpy).eps))
    close = b.emit("aten::clamp_min", rounded, CLOSE[dtype.name])
    holds = b.emit("aten::all", b.emit("aten::gt", gaps, b.emit("aten::mul", size, close)), None, False)
    if last is not None:
        m, n = b.type_of(a).shape[-2:]
        least = b.emit("aten::mul", size, rounded if b.facts.equal(m, n) else close)
        wide = b.emit("aten::all", b.emit("aten::gt", last, least), None, False)
        holds = b.emit("aten::logical_and", holds, wide)
    b.guard(holds, True, message)


def factored(
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
