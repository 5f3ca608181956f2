"""Order: sort, topk, the k-th value, medians and searches, made of counting how many elements stand before each.

An element's rank along an axis is the number of elements that precede it in the order, so a sort of n elements does n^2
comparisons, in one kernel that keeps nothing but the ranks: three times slower than eager PyTorch for a row of 1,000
elements, thirty times for one of 4,000. NaN counts as the largest value, as in PyTorch, and equal elements keep their
order, in topk, kthvalue and an unstable sort, too, where PyTorch leaves open which of them a place names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NAME, DType, bool_, i32, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.family import EVERY, EXACT, FLOATS, NUMBERS, axis_of, composite
from unmoor.ops.indexing import counting, take
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.scatter import put
from unmoor.ops.view import slice_


# -- the order along the last axis ----------------------------------------------------------------
def _before(b: Builder, other: Any, mine: Any, descending: bool, ties: bool) -> Any:
    """Whether `other` stands before `mine`, or, with `ties`, at the same place; NaN is the largest value."""
    if not b.type_of(mine).dtype.is_float:
        word = ("ge" if ties else "gt") if descending else ("le" if ties else "lt")
        return b.emit(f"aten::{word}", other, mine)
    if ties:
        surely = b.emit("aten::ge" if descending else "aten::le", other, mine)
        return b.emit("aten::logical_or", surely, b.emit("aten::isnan", other if descending else mine))
    beyond = b.emit("aten::logical_not", b.emit("aten::le" if descending else "aten::ge", other, mine))
    number = b.emit("aten::logical_not", b.emit("aten::isnan", mine if descending else other))
    return b.emit("aten::logical_and", beyond, number)


def _ranks(b: Builder, x: Any, descending: bool) -> Any:
    """The place of each element in the order along the last axis."""
    type_ = b.type_of(x)
    if type_.dtype is bool_:
        x = b.emit("prim::cast", x, i32)
    *rest, n = type_.shape
    mine = b.emit("prim::reshape", x, (*rest, n, const(1)))
    other = b.emit("prim::reshape", x, (*rest, const(1), n))
    count = b.emit("prim::iota", n)
    earlier = b.emit("aten::lt", count, b.emit("prim::reshape", count, (n, const(1))))
    before = b.emit(
        "aten::logical_or",
        _before(b, other, mine, descending, False),
        b.emit("aten::logical_and", earlier, _before(b, other, mine, descending, True)),
    )
    return b.emit("prim::sum", b.emit("prim::cast", before, i64), (len(rest) + 1,), False)


def _order(b: Builder, x: Any, descending: bool) -> Any:
    """Which element stands at each place of the order along the last axis."""
    shape = b.type_of(x).shape
    where = (*(counting(b, a, shape) for a in range(len(shape) - 1)), _ranks(b, x, descending))
    start = b.emit("prim::full", shape, 0, i64)
    return put(b, start, where, range(len(shape)), 0, counting(b, len(shape) - 1, shape), "set")


def _at(b: Builder, x: Any, order: Any) -> Any:
    """The elements that an order along the last axis names."""
    wanted = b.type_of(order).shape
    if product(wanted) == 0:
        return b.emit("prim::full", wanted, False, b.type_of(x).dtype)
    rank = len(wanted)
    where = (*(counting(b, a, wanted) for a in range(rank - 1)), order)
    return take(b, x, where, range(rank), 0)


def _swapped(b: Builder, x: Any, axis: int) -> Any:
    """The tensor with an axis and the last one exchanged: it undoes itself."""
    rank = b.type_of(x).rank
    if axis == rank - 1:
        return x
    dims = list(range(rank))
    dims[axis], dims[-1] = dims[-1], dims[axis]
    return b.emit("prim::permute", x, tuple(dims))


def _sorted(
    b: Builder, x: Any, axis: int, descending: bool, first: Any = 0, count: Dim | None = None
) -> tuple[Any, Any]:
    """Values and places of a sort along an axis, or of `count` elements of it from `first` on."""
    type_ = b.type_of(x)
    if not type_.rank:
        axis_of(axis, 0)
        if count is None:
            return x, b.emit("prim::full", (), 0, i64)
        return _sorted(b, b.emit("prim::reshape", x, (1,)), 0, descending, first, count)
    a = axis_of(axis, type_.rank)
    row = _swapped(b, x, a)
    order = _order(b, row, descending)
    if count is not None:
        order = slice_(b, order, type_.rank - 1, first, first + count, 1)
    return _swapped(b, _at(b, row, order), a), _swapped(b, order, a)


# -- PyTorch's ops --------------------------------------------------------------------------------
def sort(b: Builder, x: Any, axis: int, descending: bool, stable: bool | None) -> tuple[Any, Any]:
    """The elements in order along an axis, and where each stood."""
    return _sorted(b, x, axis, descending)


def argsort(b: Builder, x: Any, axis: int, descending: bool, stable: bool | None) -> Any:
    """Where each element of the sorted tensor stood."""
    rank = b.type_of(x).rank
    a = axis_of(axis, rank)
    if not rank:
        return b.emit("prim::full", (), 0, i64)
    return _swapped(b, _order(b, _swapped(b, x, a), descending), a)


def topk(b: Builder, x: Any, k: Any, axis: int, largest: bool, in_order: bool) -> tuple[Any, Any]:
    """The k largest or smallest elements along an axis, in order, and where they stood."""
    shape = b.type_of(x).shape or (const(1),)
    if not b.facts.at_most(k, shape[axis_of(axis, len(shape))]):
        raise SignatureError(f"topk: k = {k} is out of range for the dim's size {shape[axis_of(axis, len(shape))]}")
    if not b.type_of(x).rank and dim(k) == 1:
        return x, b.emit("prim::full", (), 0, i64)
    return _sorted(b, x, axis, largest, 0, dim(k))


def _one(b: Builder, x: Any, at: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The element at a place of the ascending order along an axis, and where it stood."""
    shape = b.type_of(x).shape
    if not shape:
        return x, b.emit("prim::full", (), 0, i64)
    a = axis_of(axis, len(shape))
    found = _sorted(b, x, a, False, at, const(1))
    shape = (*shape[:a], *((const(1),) if keepdim else ()), *shape[a + 1 :])
    return b.emit("prim::reshape", found[0], shape), b.emit("prim::reshape", found[1], shape)


def kthvalue(b: Builder, x: Any, k: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The k-th smallest element along an axis (k from 1), and where it stood."""
    shape = b.type_of(x).shape or (const(1),)
    size = shape[axis_of(axis, len(shape))]
    if not (b.facts.at_most(1, k) and b.facts.at_most(k, size)):
        raise SignatureError(f"kthvalue: k = {k} is out of range for the dim's size {size}")
    return _one(b, x, dim(k) - 1, axis, keepdim)


def median(b: Builder, x: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The lower median along an axis, and where it stood; NaN, and where the first one stood, if there is any."""
    type_ = b.type_of(x)
    shape = type_.shape or (const(1),)
    a = axis_of(axis, len(shape))
    if not b.facts.at_most(1, shape[a]):
        raise SignatureError("median of no elements has no value")
    values, places = _one(b, x, (shape[a] - 1) // 2, axis, keepdim)
    if not type_.dtype.is_float or not type_.rank:
        return values, places
    lost = b.emit("aten::isnan", x)
    first = b.emit("prim::argmax", b.emit("prim::cast", lost, i32), (a,), keepdim)
    any_lost = b.emit("prim::any", lost, (a,), keepdim)
    nan = b.emit("prim::full", (), float("nan"), type_.dtype)
    return b.emit("aten::where", any_lost, nan, values), b.emit("aten::where", any_lost, first, places)


def median_of_all(b: Builder, x: Any) -> Any:
    """The lower median of all elements; NaN if there is any."""
    return median(b, b.emit("prim::reshape", x, (b.type_of(x).numel,)), 0, False)[0]


def searchsorted(b: Builder, rows: Any, x: Any, out_int32: bool, right: bool, side: str | None, sorter: Any) -> Any:
    """Before which element of a sorted row each value belongs: how many are smaller (or, right, not larger)."""
    if sorter is not None:
        raise Unsupported("searchsorted with a sorter: gather the sorted sequence first")
    if isinstance(x, bool | int | float):
        x = b.emit("prim::full", (), x, i64 if isinstance(x, int) else BY_NAME["f32"])
    own, wanted = b.type_of(rows).shape, b.type_of(x).shape
    if len(own) != 1 and (
        len(own) != len(wanted) or not all(b.facts.equal(d, e) for d, e in zip(own[:-1], wanted[:-1], strict=True))
    ):
        raise SignatureError(f"searchsorted: the sequence has the shape {list(own)}, and the values {list(wanted)}")
    line = b.emit("prim::reshape", rows, (*own[:-1], const(1), own[-1])) if len(own) > 1 else rows
    mine = b.emit("prim::reshape", x, (*wanted, const(1)))
    beyond = b.emit("aten::gt" if right or side == "right" else "aten::ge", line, mine)
    before = b.emit("prim::cast", b.emit("aten::logical_not", beyond), i64)
    found = b.emit("prim::sum", before, (len(wanted),), False)
    return b.emit("prim::cast", found, i32) if out_int32 else found


def bucketize(b: Builder, x: Any, boundaries: Any, out_int32: bool, right: bool) -> Any:
    """Which bucket between the sorted boundaries each value falls into."""
    return searchsorted(b, boundaries, x, out_int32, right, None, None)


# -- references -----------------------------------------------------------------------------------
def _np_argsort(x: np.ndarray, axis: int = -1, descending: bool = False, stable: bool | None = None) -> np.ndarray:
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.asarray(np.argsort(x, axis, kind="stable"))
    return np.asarray(x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis))


def _np_sort(x: np.ndarray, axis: int = -1, descending: bool = False, stable: bool | None = None) -> Any:
    order = _np_argsort(x, axis, descending)
    return (np.take_along_axis(x, order, axis) if x.ndim else x), order


def _np_topk(x: np.ndarray, k: int, axis: int = -1, largest: bool = True, in_order: bool = True) -> Any:
    if not x.ndim and k == 1:
        return x, np.zeros((), np.int64)
    values, order = _np_sort(np.atleast_1d(x), axis, largest)
    first = np.arange(int(k))
    return np.take(values, first, axis), np.take(order, first, axis)


def _np_kthvalue(x: np.ndarray, k: int, axis: int = -1, keepdim: bool = False) -> Any:
    found = [np.take(v, [int(k) - 1], axis) for v in _np_sort(np.atleast_1d(x), axis)]
    return tuple(v.reshape(()) if not x.ndim else v if keepdim else np.squeeze(v, axis) for v in found)


def _np_median(x: np.ndarray, axis: int, keepdim: bool = False) -> Any:
    values, order = _np_kthvalue(x, (np.atleast_1d(x).shape[axis] + 1) // 2, axis, keepdim)
    if x.dtype.kind != "f" or not x.ndim:
        return values, order
    lost = np.isnan(x)
    first = np.argmax(lost, axis, keepdims=keepdim)
    any_lost = lost.any(axis, keepdims=keepdim)
    return np.where(any_lost, np.asarray(np.nan, x.dtype), values), np.where(any_lost, first, order)


def _np_searchsorted(
    rows: np.ndarray, x: Any, out_int32: bool = False, right: bool = False, side: Any = None, sorter: Any = None
) -> np.ndarray:
    line = rows[..., None, :] if rows.ndim > 1 else rows
    mine = np.asarray(x)[..., None]
    beyond = line > mine if right or side == "right" else line >= mine
    return np.asarray(np.sum(~beyond, -1)).astype(np.int32 if out_int32 else np.int64)


# -- samples --------------------------------------------------------------------------------------
def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


def _distinct(dtype: str, *shape: int) -> np.ndarray:
    """No two elements equal: which of equal ones PyTorch gives is left open by some ops."""
    numbers = np.random.default_rng(7).permutation(int(np.prod(shape))).reshape(shape) - (0 if dtype == "u8" else 3)
    kind: DType = BY_NAME[dtype]
    return np.asarray(numbers, np.float64 if kind.is_float else kind.compute.numpy)


WITH_NAN = np.array([1.0, np.nan, -0.0, np.inf, 0.0, np.nan, -np.inf, 1.0])


def _sort_samples(dtype: str) -> list[Sample]:
    make = _make(dtype)
    plain = [
        Sample((make(3, 37), 1, False, True)),
        Sample((make(19, 3), 0, True, True)),
        Sample((make(2, 5, 3), 1, False, True)),
        Sample((make(), -1, False, True)),
        Sample((make(2, 0), -1, False, True)),
        Sample((make(1), 0, True, True)),
    ]
    special = [Sample((WITH_NAN, 0, False, True)), Sample((WITH_NAN, 0, True, True))]
    return [*plain, *special] if dtype in ("f32", "f64") else plain


def _topk_samples(dtype: str) -> list[Sample]:
    plain = [
        Sample((_distinct(dtype, 3, 19), 4)),
        Sample((_distinct(dtype, 9, 4), 9, 0, False)),
        Sample((_distinct(dtype, 5), 0)),
        Sample((_make(dtype)(), 1)),
    ]
    return [*plain, Sample((np.array([1.0, np.nan, 3.0, np.inf]), 2))] if dtype in ("f32", "f64") else plain


def _median_samples(dtype: str) -> list[Sample]:
    plain = [
        Sample((_distinct(dtype, 3, 8), 1)),
        Sample((_distinct(dtype, 5, 4), 0, True)),
        Sample((_distinct(dtype, 1), 0)),
    ]
    special = Sample((np.array([[1.0, 5.0, 3.0], [2.0, np.nan, np.nan]]), 1))
    return [*plain, special] if dtype in ("f32", "f64") else plain


def _kth_samples(dtype: str) -> list[Sample]:
    return [Sample((_distinct(dtype, 3, 8), 2)), Sample((_distinct(dtype, 5, 4), 5, 0, True))]


def _line(dtype: str, *shape: int) -> np.ndarray:
    return np.sort(_distinct(dtype, *shape), axis=-1)


def _search_samples(dtype: str) -> list[Sample]:
    make = _make(dtype)
    return [
        Sample((_line(dtype, 9), make(3, 5))),
        Sample((_line(dtype, 3, 9), make(3, 5), True, True)),
        Sample((_line(dtype, 9)[:0], make(4))),
        Sample((_line(dtype, 9), make(0))),
    ]


def _op(name: str, schema: str, overloads: str, decompose: Callable[..., Any], reference: Any, samples: Any) -> Op:
    dtypes = EVERY if "sort" in name and "searchsorted" not in name else NUMBERS
    return composite(name, schema, overloads, decompose, reference, samples, dtypes=dtypes, tolerance=EXACT)


SORTING: list[Op] = [
    _op(
        "aten::sort",
        "(Tensor self, int dim=-1, bool descending=False, *, bool? stable=None) -> (Tensor, Tensor)",
        "default stable",
        sort,
        _np_sort,
        _sort_samples,
    ),
    _op(
        "aten::argsort",
        "(Tensor self, int dim=-1, bool descending=False, *, bool? stable=None) -> Tensor",
        "default stable",
        argsort,
        _np_argsort,
        _sort_samples,
    ),
    _op(
        "aten::topk",
        "(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor, Tensor)",
        "default",
        topk,
        _np_topk,
        _topk_samples,
    ),
    _op(
        "aten::kthvalue",
        "(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor, Tensor)",
        "default",
        kthvalue,
        _np_kthvalue,
        _kth_samples,
    ),
    _op(
        "aten::median",
        "(Tensor self) -> Tensor",
        "default",
        median_of_all,
        lambda x: _np_median(x.reshape(-1), 0)[0],
        lambda d: [Sample((_make(d)(3, 7),)), Sample((_make(d)(8),)), Sample((_make(d)(),))],
    ),
    _op(
        "aten::median_dim",
        "(Tensor self, int dim, bool keepdim=False) -> (Tensor, Tensor)",
        "median.dim",
        median,
        _np_median,
        _median_samples,
    ),
    _op(
        "aten::searchsorted",
        "(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, "
        "Tensor? sorter=None) -> Tensor",
        "Tensor Scalar",
        searchsorted,
        _np_searchsorted,
        _search_samples,
    ),
    _op(
        "aten::bucketize",
        "(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
        "Tensor Scalar",
        bucketize,
        lambda x, line, narrow, right: _np_searchsorted(line, x, narrow, right),
        lambda d: [Sample((_make(d)(3, 5), _line(d, 9))), Sample((_make(d)(7), _line(d, 4), True, True))],
    ),
]
