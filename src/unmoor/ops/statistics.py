"""Norms, logarithmic and NaN-aware sums, moments together, covariances, differences: reductions as formulas."""

from __future__ import annotations

import math
from typing import Any

from unmoor.dtypes import DType, bool_, i64
from unmoor.errors import SignatureError
from unmoor.ir.op import Op
from unmoor.ops.family import EXACT, axes_of, axis_of
from unmoor.ops.formula import FAR, Aten, formula
from unmoor.ops.formulas import floating
from unmoor.ops.matrix_spectra import svdvals
from unmoor.ops.reduction import variance
from unmoor.ops.samples import Rand

MATRIX = Rand(3, 5)


def _axes(aten: Aten, x: Any, dim: Any) -> tuple[int, ...]:
    return axes_of(dim, aten.rank(x))


def vector_norm(aten: Aten, x: Any, order: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    """(sum |x|^p)^(1/p) along axes; the largest or smallest |x| for p = +-inf, the number of non-zeros for p = 0."""
    if not aten.is_float(x):
        raise SignatureError("a norm needs a floating tensor: call .float() first")
    if dtype is not None:
        x = aten.cast(x, dtype)
    axes, p = _axes(aten, x, dim), 2.0 if order is None else float(order)
    if p == 0:
        return aten.sum(aten.cast(aten.ne(x, 0), aten.type_of(x).dtype), axes, keepdim)
    if p == 2 and axes:
        return aten.sqrt(aten.sum(aten.mul(x, x), axes, keepdim))
    size = aten.abs(x)
    if not axes:
        return size
    if abs(p) == math.inf:
        return (aten.amax if p > 0 else aten.amin)(size, axes, keepdim)
    if p == 1:
        return aten.sum(size, axes, keepdim)
    return aten.pow(aten.sum(aten.pow(size, p), axes, keepdim), 1 / p)


def matrix_norm(aten: Aten, x: Any, order: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    """Frobenius, the largest or smallest sum of rows (inf) or columns (1) or singular value (2), or their sum (nuc)."""
    if order == "fro":
        return vector_norm(aten, x, 2, dim, keepdim, dtype)
    if dtype is not None:
        x = aten.cast(x, dtype)
    rows, columns = (axis_of(d, aten.rank(x)) for d in dim)
    if isinstance(order, str) or abs(order) == 2:
        return _spectral_norm(aten, x, order, rows, columns, keepdim)
    along, other = (columns, rows) if abs(order) == math.inf else (rows, columns)
    sums = aten.sum(aten.abs(x), (along,), True)
    made = (aten.amax if order > 0 else aten.amin)(sums, (other,), True)
    return made if keepdim else aten.squeeze(made, tuple(sorted((rows, columns))))


def _spectral_norm(aten: Aten, x: Any, order: Any, rows: int, columns: int, keepdim: bool) -> Any:
    values = svdvals(aten.builder, aten.movedim(x, (rows, columns), (-2, -1)))
    fold = aten.sum if order == "nuc" else aten.amax if order > 0 else aten.amin
    made = fold(values, (-1,))
    for axis in sorted((rows, columns)) if keepdim else ():
        made = aten.unsqueeze(made, axis)
    return made


def _linalg_norm(aten: Aten, x: Any, order: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    if order is None or (dim is not None and len(dim) == 1) or (dim is None and aten.rank(x) == 1):
        return vector_norm(aten, x, order, dim, keepdim, dtype)
    axes = (-2, -1) if dim is None else dim
    if len(axes) != 2 or (dim is None and aten.rank(x) != 2):
        raise SignatureError("a matrix norm needs two dims")
    return matrix_norm(aten, x, order, axes, keepdim, dtype)


def _logsumexp(aten: Aten, x: Any, dim: Any, keepdim: bool) -> Any:
    """log sum exp(x - m) + m with the largest m, which is left out where it is infinite."""
    x = floating(aten, x)
    axes = _axes(aten, x, dim)
    if not axes:
        return x
    if not aten.facts.at_most(1, _count(aten, x, axes)):
        return aten.log(aten.sum(aten.exp(x), axes, keepdim))
    top = aten.amax(x, axes, True)
    top = aten.where(aten.isinf(top), 0.0, top)
    made = aten.add(aten.log(aten.sum(aten.exp(aten.sub(x, top)), axes, True)), top)
    return made if keepdim else aten.squeeze(made, axes)


def _count(aten: Aten, x: Any, axes: tuple[int, ...]) -> Any:
    total: Any = 1
    for a in axes:
        total = aten.shape(x)[a] * total
    return total


def _nansum(aten: Aten, x: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    return aten.sum(_without_nan(aten, x), dim, keepdim, dtype)


def _without_nan(aten: Aten, x: Any) -> Any:
    return aten.where(aten.isnan(x), 0.0, x) if aten.is_float(x) else x


def _nanmean(aten: Aten, x: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    counted = aten.sum(aten.logical_not(aten.isnan(x)), dim, keepdim)
    return aten.div(_nansum(aten, x, dim, keepdim, dtype), counted)


def _aminmax(aten: Aten, x: Any, dim: int | None, keepdim: bool) -> Any:
    axes = _axes(aten, x, () if dim is None else (dim,))
    return aten.amin(x, axes, keepdim), aten.amax(x, axes, keepdim)


def _moments(root: bool) -> Any:
    def meaning(aten: Aten, x: Any, dim: Any, correction: Any, keepdim: bool) -> Any:
        made = variance(aten.builder, x, dim, 1 if correction is None else correction, keepdim)
        return aten.sqrt(made) if root else made, aten.mean(x, dim, keepdim)

    return meaning


def _count_nonzero(aten: Aten, x: Any, dim: Any) -> Any:
    return aten.sum(aten.cast(aten.ne(x, 0), i64), dim)


def _cov(aten: Aten, x: Any, correction: int, counts: Any, weights: Any) -> Any:
    """The weighted covariance of rows; a normaliser below zero counts as zero, as in PyTorch."""
    if aten.rank(x) > 2:
        raise SignatureError("cov needs a tensor of at most two dims")
    rank, x = aten.rank(x), floating(aten, x)
    x = aten.reshape(x, (1, -1)) if rank < 2 else x
    both = counts if weights is None else weights if counts is None else aten.mul(weights, counts)
    dtype = aten.type_of(x).dtype
    if both is None:
        total: Any = aten.cast(aten.number(aten.shape(x)[1], i64), dtype)
        mean = aten.mean(x, (1,), True)
    else:
        total = aten.sum(both)
        mean = aten.div(aten.sum(aten.mul(x, both), (1,), True), total)
    if weights is None:
        left = aten.sub(total, correction)
    else:
        left = aten.sub(total, aten.mul(aten.div(aten.sum(aten.mul(both, weights)), total), correction))
    centred = aten.sub(x, mean)
    scaled = centred if both is None else aten.mul(centred, both)
    made = aten.div(aten.matmul(scaled, aten.t(centred)), aten.clamp_min(left, 0))
    return aten.reshape(made, ()) if rank < 2 or aten.facts.equal(aten.shape(x)[0], 1) else made


def _corrcoef(aten: Aten, x: Any) -> Any:
    made = aten.cov(x)
    if not aten.rank(made):
        return aten.div(made, made)
    spread = aten.sqrt(aten.diagonal(made))
    made = aten.div(aten.div(made, aten.unsqueeze(spread, 1)), aten.unsqueeze(spread, 0))
    return aten.clamp(made, -1.0, 1.0)


def _pairs(aten: Aten, y: Any, dim: int) -> tuple[Any, Any]:
    """The tensor without its last, and without its first place along an axis."""
    axis = axis_of(dim, aten.rank(y))
    return aten.slice(y, axis, 0, -1), aten.slice(y, axis, 1)


def _trapezoids(aten: Aten, y: Any, x: Any, dx: float, dim: int) -> Any:
    """The area between each place and the next."""
    left, right = _pairs(aten, y, dim)
    total = aten.add(left, right)
    if x is None:
        return aten.mul(total, dx / 2)
    if aten.rank(x) == 1:
        steps = aten.sub(*reversed(_pairs(aten, x, 0)))
        steps = aten.reshape(steps, (-1, *(1 for _ in range(aten.rank(y) - 1 - axis_of(dim, aten.rank(y))))))
    else:
        steps = aten.sub(*reversed(_pairs(aten, x, dim - aten.rank(y) if dim >= 0 else dim)))
    return aten.div(aten.mul(total, steps), 2.0)


def _trapezoid(aten: Aten, y: Any, x: Any, dx: float, dim: int) -> Any:
    if not aten.facts.at_most(1, aten.shape(y)[dim]):
        return aten.sum(floating(aten, y), (dim,))
    return aten.sum(_trapezoids(aten, y, x, dx, dim), (dim,))


def _diff(aten: Aten, x: Any, n: int, dim: int, prepend: Any, append: Any) -> Any:
    if n == 0:
        return x
    parts = tuple(p for p in (prepend, x, append) if p is not None)
    made = aten.cat(parts, dim) if len(parts) > 1 else x
    for _ in range(n):
        if not aten.facts.at_most(1, aten.shape(made)[dim]):
            return made
        left, right = _pairs(aten, made, dim)
        made = aten.logical_xor(right, left) if aten.type_of(x).dtype is bool_ else aten.sub(right, left)
    return made


def _renorm(aten: Aten, x: Any, p: float, dim: int, most: float) -> Any:
    axis = axis_of(dim, aten.rank(x))
    norms = aten.linalg_vector_norm(x, p, tuple(a for a in range(aten.rank(x)) if a != axis), True)
    scale = aten.where(aten.gt(norms, most), aten.div(most, aten.add(norms, 1e-7)), 1.0)
    return aten.mul(x, scale)


def _weight_norm(aten: Aten, v: Any, g: Any, dim: int) -> Any:
    """Directions times magnitudes: each slice along an axis, or for -1 the whole, is scaled to the norm g."""
    return aten.mul(v, aten.div(g, aten.norm_except_dim(v, 2, dim)))


def _norm_except_dim(aten: Aten, v: Any, p: int, dim: int) -> Any:
    """The norm of each slice along an axis, of the tensor's rank; for -1 that of the whole, without axes."""
    if dim == -1:
        return aten.linalg_vector_norm(v, p)
    return aten.linalg_vector_norm(v, p, tuple(a for a in range(aten.rank(v)) if a != axis_of(dim, aten.rank(v))), True)


def _quantile(aten: Aten, x: Any, q: Any, dim: int | None, keepdim: bool, how: str) -> Any:
    """What lies a share q of the way along the sorted elements; NaN where there is one."""
    dtype = aten.type_of(x).dtype
    if dtype.name not in ("f32", "f64") or how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise SignatureError("quantile takes float32 or float64, and one of PyTorch's interpolations")
    rank, axis = aten.rank(x), None if dim is None else axis_of(dim, aten.rank(x))
    single = isinstance(q, float | int) or not aten.rank(q)
    shares = aten.reshape(aten.number(float(q), dtype) if isinstance(q, float | int) else q, (-1,))
    aten.builder.guard(
        aten.all(aten.logical_and(aten.ge(shares, 0), aten.le(shares, 1))), True, "q lies outside 0 .. 1"
    )
    rows = aten.reshape(x, (-1,)) if axis is None or not rank else aten.movedim(x, axis, -1)
    count, last = aten.shape(rows)[-1], aten.rank(rows) - 1
    if not aten.facts.at_most(1, count):
        raise SignatureError("quantile of no elements")
    ordered = aten.builder.emit_all("aten::sort", rows, -1, False, None)[0]
    place = aten.mul(shares, aten.cast(aten.number(count - 1, i64), dtype))
    if how in ("lower", "higher", "nearest"):
        place = {"lower": aten.floor, "higher": aten.ceil, "nearest": aten.round}[how](place)
    below, above = aten.floor(place), aten.ceil(place)
    low, high = (aten.builder.emit("prim::take", ordered, (aten.cast(v, i64),), (last,), last) for v in (below, above))
    weight = aten.sub(place, below) if how != "midpoint" else aten.mul(aten.ne(below, above), 0.5)
    made = low if how in ("lower", "higher", "nearest") else aten.lerp(low, high, aten.cast(weight, dtype))
    made = aten.where(aten.any(aten.isnan(rows), -1, True), math.nan, made)
    made = aten.select(made, -1, 0) if single else aten.movedim(made, -1, 0)
    if not keepdim or not rank:
        return made
    if axis is None:
        return aten.reshape(made, (*(() if single else aten.shape(shares)), *(1 for _ in range(rank))))
    return aten.unsqueeze(made, axis if single else axis + 1)


NORM = "(Tensor self, Scalar? p=2, int[] dim=[], bool keepdim=False, *, dtype? dtype=None) -> Tensor"
MOMENTS = "(Tensor self, int[]? dim=None, *, Scalar? correction=1, bool keepdim=False) -> (Tensor, Tensor)"
DIMS = "(Tensor self, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"
AREA = "(Tensor y, Tensor? x=None, *, float dx=1, int dim=-1) -> Tensor"
STATISTICS: list[Op] = [
    formula(
        "linalg_vector_norm",
        "(Tensor self, Scalar ord=2, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
        vector_norm,
        *((MATRIX, p, (1,), True) for p in (2, 1, 3.5, math.inf, 0)),
        (MATRIX,),
    ),
    formula(
        "norm",
        NORM,
        vector_norm,
        (MATRIX, 2, (1,)),
        overloads="Scalar ScalarOpt_dim ScalarOpt_dim_dtype ScalarOpt_dtype",
    ),
    formula(
        "linalg_matrix_norm",
        "(Tensor self, Scalar ord='fro', int[] dim=[-2, -1], bool keepdim=False, *, dtype? dtype=None) -> Tensor",
        matrix_norm,
        *((MATRIX, p) for p in (1, -1, math.inf, 2, "nuc")),
        overloads="default str_ord",
    ),
    formula(
        "linalg_norm",
        "(Tensor self, Scalar? ord=None, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
        _linalg_norm,
        (MATRIX,),
        (MATRIX, 1),
        overloads="default ord_str",
    ),
    formula(
        "dist",
        "(Tensor self, Tensor other, Scalar p=2) -> Tensor",
        lambda aten, x, y, p: aten.linalg_vector_norm(aten.sub(x, y), p),
        (MATRIX, Rand(5), 3),
    ),
    formula(
        "logsumexp",
        "(Tensor self, int[] dim, bool keepdim=False) -> Tensor",
        _logsumexp,
        (MATRIX, (1,)),
        overloads="default special_logsumexp.default",
        stepwise=True,
    ),
    formula(
        "quantile",
        "(Tensor self, any q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor",
        _quantile,
        (MATRIX, 0.3, 1),
        (MATRIX, 0.5, None, True, "midpoint"),
        overloads="default scalar",
    ),
    formula("nansum", DIMS, _nansum, (MATRIX, (1,))),
    formula("nanmean", DIMS, _nanmean, (MATRIX, (1,))),
    formula(
        "aminmax",
        "(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor, Tensor)",
        _aminmax,
        (MATRIX, 1, True),
        (MATRIX,),
        tolerance=EXACT,
    ),
    formula("var_mean", MOMENTS, _moments(False), (MATRIX, (1,)), overloads="correction default dim"),
    formula("std_mean", MOMENTS, _moments(True), (MATRIX, (1,)), overloads="correction default dim"),
    formula(
        "count_nonzero",
        "(Tensor self, int[]? dim=None) -> Tensor",
        _count_nonzero,
        (MATRIX, (1,)),
        overloads="dim_IntList default",
        tolerance=EXACT,
    ),
    formula(
        "cov",
        "(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor",
        _cov,
        (MATRIX,),
        tolerance=FAR,
    ),
    formula("corrcoef", "(Tensor self) -> Tensor", _corrcoef, (MATRIX,), tolerance=FAR),
    formula("trapezoid", AREA, _trapezoid, (MATRIX, None, 0.5, 0), overloads="dx x trapz.dx trapz.x", stepwise=True),
    formula(
        "cumulative_trapezoid",
        AREA,
        lambda aten, y, x, dx, dim: aten.cumsum(_trapezoids(aten, y, x, dx, dim), dim),
        (MATRIX, None, 0.5, 0),
        overloads="dx x",
        stepwise=True,
    ),
    formula(
        "diff",
        "(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor",
        _diff,
        (MATRIX, 2),
        tolerance=EXACT,
    ),
    formula(
        "norm_except_dim",
        "(Tensor v, int pow=2, int dim=0) -> Tensor",
        _norm_except_dim,
        (MATRIX, 2, 1),
        (MATRIX, 2, -1),
    ),
    formula(
        "_weight_norm",
        "(Tensor v, Tensor g, int dim=0) -> Tensor",
        _weight_norm,
        (MATRIX, Rand(3, 1), 0),
        (MATRIX, Rand(1, 5), 1),
    ),
    formula("renorm", "(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor", _renorm, (MATRIX, 2, 0, 1.0)),
]
