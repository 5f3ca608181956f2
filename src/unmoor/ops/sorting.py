"""Order: sort, topk, the k-th value, medians and searches, by builtins of the runtime that work on rows.

NaN counts as the largest value, as in PyTorch, and equal elements keep their order, in topk, kthvalue and an unstable
sort, too, where PyTorch leaves open which of them a place names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NAME, DType, i32, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, BuiltinCall, Kind, Op, Sample
from unmoor.ir.types import TensorType
from unmoor.ops.family import (
    EVERY,
    EXACT,
    FLOATS,
    NUMBERS,
    axis_of,
    composite,
    compute_dtype,
    type_of_operand,
)
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema


# -- the core ops ---------------------------------------------------------------------------------
def _rows(x: TensorType, *rest: Any) -> tuple[Dim, ...]:
    """The ints of a builtin that works on the rows of a tensor: how many, how long, and what else it takes."""
    return (product(x.shape[:-1]), x.shape[-1], *(dim(int(r) if isinstance(r, bool) else r) for r in rest))


def _like(x: TensorType, *shape: Dim) -> tuple[TensorType, TensorType]:
    """Values and places, with another last axis."""
    wanted = (*x.shape[:-1], *shape)
    return TensorType(x.dtype, wanted), TensorType(i64, wanted)


def _core(name: str, schema: str, infer: Any, builtin: str, ints: Any, reference: Any, samples: Any, doc: str) -> Op:
    return Op(
        name,
        parse_schema(schema),
        Kind.BUILTIN,
        infer,
        reference,
        (),
        samples,
        EXACT,
        builtin=BuiltinCall(builtin, ints),
        dtypes=EVERY,
        doc=doc,
    )


def _swapped(b: Builder, x: Any, axis: int) -> Any:
    """The tensor with an axis and the last one exchanged: it undoes itself."""
    rank = b.type_of(x).rank
    if axis == rank - 1:
        return x
    dims = list(range(rank))
    dims[axis], dims[-1] = dims[-1], dims[axis]
    return b.emit("prim::permute", x, tuple(dims))


def _along(b: Builder, x: Any, axis: int, op: str, *args: Any) -> tuple[Any, Any]:
    """Values and places of a core op along an axis."""
    a = axis_of(axis, b.type_of(x).rank)
    values, places = b.emit_all(op, _swapped(b, x, a), *args)
    return _swapped(b, values, a), _swapped(b, places, a)


# -- PyTorch's ops --------------------------------------------------------------------------------
def sort(b: Builder, x: Any, axis: int, descending: bool, stable: bool | None) -> tuple[Any, Any]:
    """The elements in order along an axis, and where each stood."""
    if not b.type_of(x).rank:
        axis_of(axis, 0)
        return x, b.emit("prim::full", (), 0, i64)
    return _along(b, x, axis, "prim::sort", descending)


def argsort(b: Builder, x: Any, axis: int, descending: bool, stable: bool | None) -> Any:
    """Where each element of the sorted tensor stood."""
    return sort(b, x, axis, descending, stable)[1]


def topk(b: Builder, x: Any, k: Any, axis: int, largest: bool, in_order: bool) -> tuple[Any, Any]:
    """The k largest or smallest elements along an axis, in order, and where they stood."""
    shape = b.type_of(x).shape or (const(1),)
    size = shape[axis_of(axis, len(shape))]
    if not (b.facts.at_most(0, k) and b.facts.at_most(k, size)):
        raise SignatureError(f"topk: k = {k} is out of range for the dim's size {size}")
    if not b.type_of(x).rank:
        if dim(k) == 1:
            return x, b.emit("prim::full", (), 0, i64)
        x = b.emit("prim::reshape", x, (1,))
    return _along(b, x, axis, "prim::topk", k, largest)


def kthvalue(b: Builder, x: Any, k: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The k-th smallest element along an axis (k from 1), and where it stood."""
    shape = b.type_of(x).shape or (const(1),)
    a = axis_of(axis, len(shape))
    if not (b.facts.at_most(1, k) and b.facts.at_most(k, shape[a])):
        raise SignatureError(f"kthvalue: k = {k} is out of range for the dim's size {shape[a]}")
    if not b.type_of(x).rank:
        return x, b.emit("prim::full", (), 0, i64)
    found = _along(b, x, a, "prim::kth", k)
    if keepdim:
        return found
    wanted = (*shape[:a], *shape[a + 1 :])
    return b.emit("prim::reshape", found[0], wanted), b.emit("prim::reshape", found[1], wanted)


def median(b: Builder, x: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The lower median along an axis, and where it stood; NaN, and where the first one stood, if there is any."""
    type_ = b.type_of(x)
    shape = type_.shape or (const(1),)
    a = axis_of(axis, len(shape))
    if not b.facts.at_most(1, shape[a]):
        raise SignatureError("median of no elements has no value")
    values, places = kthvalue(b, x, (shape[a] + 1) // 2, axis, keepdim)
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
    common = compute_dtype("common", [b.type_of(rows), type_of_operand(x) if not _is_tensor(x) else b.type_of(x)])
    if not _is_tensor(x):
        x = b.emit("prim::full", (), x, common)
    rows, x = (v if b.type_of(v).dtype is common else b.emit("prim::cast", v, common) for v in (rows, x))
    own, wanted = b.type_of(rows).shape, b.type_of(x).shape
    if len(own) != 1 and (
        len(own) != len(wanted) or not all(b.facts.equal(d, e) for d, e in zip(own[:-1], wanted[:-1], strict=True))
    ):
        raise SignatureError(f"searchsorted: the sequence has the shape {list(own)}, and the values {list(wanted)}")
    if len(own) == 1:
        found = b.emit("prim::search", rows, b.emit("prim::reshape", x, (product(wanted),)), right or side == "right")
        found = b.emit("prim::reshape", found, wanted)
    else:
        found = b.emit("prim::search", rows, x, right or side == "right")
    return b.emit("prim::cast", found, i32) if out_int32 else found


def _is_tensor(x: Any) -> bool:
    return not isinstance(x, bool | int | float | Dim)


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


def _np_kth(x: np.ndarray, k: int) -> Any:
    return _np_kthvalue(x, k, -1, True)


def _np_search(rows: np.ndarray, x: np.ndarray, right: bool) -> np.ndarray:
    return _np_searchsorted(rows, x, False, right)


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
    _core(
        "prim::sort",
        "(Tensor self, bool descending) -> (Tensor, Tensor)",
        lambda facts, x, descending: _like(x, x.shape[-1]),
        "sort",
        _rows,
        lambda x, descending: _np_sort(x, -1, descending),
        lambda d: [Sample((_make(d)(3, 37), False)), Sample((_make(d)(2, 3, 5), True)), Sample((_make(d)(0, 4), True))],
        "The rows sorted, stable and with NaN as the largest value, and where each element stood.",
    ),
    _core(
        "prim::topk",
        "(Tensor self, int k, bool largest) -> (Tensor, Tensor)",
        lambda facts, x, k, largest: _like(x, dim(k)),
        "topk",
        _rows,
        lambda x, k, largest: _np_topk(x, k, -1, largest),
        lambda d: [
            Sample((_make(d)(3, 37), 5, True)),
            Sample((_make(d)(2, 3), 3, False)),
            Sample((_make(d)(4), 0, True)),
        ],
        "The first k elements of each row as prim::sort would have it, and where each stood.",
    ),
    _core(
        "prim::kth",
        "(Tensor self, int k) -> (Tensor, Tensor)",
        lambda facts, x, k: _like(x, const(1)),
        "kth",
        _rows,
        _np_kth,
        lambda d: [Sample((_make(d)(3, 37), 5)), Sample((_make(d)(4), 1)), Sample((_make(d)(0, 4), 4))],
        "The element that prim::sort, ascending, would put at the place k (from 1) of each row, and where it stood.",
    ),
    _core(
        "prim::search",
        "(Tensor rows, Tensor values, bool right) -> Tensor",
        lambda facts, rows, values, right: TensorType(i64, values.shape),
        "search",
        lambda rows, values, right: (*_rows(rows), values.shape[-1], const(int(right))),
        _np_search,
        lambda d: [
            Sample((_line(d, 9), _make(d)(5), False)),
            Sample((_line(d, 2, 9), _make(d)(2, 5), True)),
        ],
        "Before which element of its sorted row each value belongs; with `right`, behind those equal to it.",
    ),
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
