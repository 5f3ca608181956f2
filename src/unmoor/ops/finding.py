"""Results as large as data says: what a mask selects, where it holds, and the distinct values of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import bool_, i64
from unmoor.errors import NotTraced, Unsupported
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, BuiltinCall, Facts, Kind, Op, Sample
from unmoor.ir.types import TensorType
from unmoor.ops.contraction import SUMS
from unmoor.ops.family import EVERY, EXACT, FLOATS, axis_of, broadcast, composite
from unmoor.ops.indexing import take
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.scatter import put
from unmoor.ops.schema import parse_schema
from unmoor.ops.slicing import select
from unmoor.ops.view import expand


def _nonzero_infer(facts: Facts, mask: TensorType) -> TensorType:
    return TensorType(i64, (facts.found(mask.numel),))


NONZERO = Op(
    "prim::nonzero",
    parse_schema("(Tensor mask) -> Tensor"),
    Kind.BUILTIN,
    _nonzero_infer,
    lambda mask: np.flatnonzero(mask),
    (),
    lambda d: [
        Sample((np.array([True, False, True, True]),)),
        Sample((np.zeros(3, np.bool_),)),
        Sample((np.ones(40, np.bool_),)),
        Sample((np.zeros(0, np.bool_),)),
    ],
    EXACT,
    builtin=BuiltinCall("nonzero", lambda mask: (mask.numel,)),
    dtypes=("bool",),
    doc="Where a 1-D mask holds, in order. How many places these are, its size, is found by the call.",
)


def _flat(b: Builder, x: Any) -> Any:
    """Where a tensor is not zero, as places in its elements as one row."""
    if b.type_of(x).dtype is not bool_:
        x = b.emit("aten::ne", x, 0)
    return b.places(b.emit("prim::reshape", x, (b.type_of(x).numel,)))


def _columns(b: Builder, x: Any) -> list[Any]:
    """For each axis, where along it a tensor is not zero."""
    shape, flat = b.type_of(x).shape, _flat(b, x)
    made = []
    for axis, size in enumerate(shape):
        inner = product(shape[axis + 1 :])
        rest = flat if inner == 1 else b.emit("aten::floor_divide", flat, inner)
        made.append(rest if axis == 0 else b.emit("aten::remainder", rest, size))
    return made


def nonzero(b: Builder, x: Any) -> Any:
    """The places where a tensor is not zero, one a row."""
    if not b.type_of(x).rank:
        count = b.type_of(_flat(b, b.emit("prim::reshape", x, (1,)))).shape[0]
        return b.emit("prim::full", (count, const(0)), 0, i64)
    columns = _columns(b, x)
    count = b.type_of(columns[0]).shape[0]
    rows = tuple(b.emit("prim::reshape", c, (count, const(1))) for c in columns)
    return rows[0] if len(rows) == 1 else b.emit("prim::cat", rows, 1)


def nonzero_numpy(b: Builder, x: Any) -> tuple[Any, ...]:
    """The places where a tensor is not zero, a tensor for each axis."""
    return tuple(_columns(b, x if b.type_of(x).rank else b.emit("prim::reshape", x, (1,))))


def masked_select(b: Builder, x: Any, mask: Any) -> Any:
    """The elements where the mask holds, in order; the two are broadcast."""
    shape = broadcast(b.facts, [b.type_of(x).shape, b.type_of(mask).shape])
    x, mask = (v if b.type_of(v).shape == shape else expand(b, v, shape) for v in (x, mask))
    return take(b, b.emit("prim::reshape", x, (product(shape),)), (_flat(b, mask),), (0,), 0)


# -- distinct values ------------------------------------------------------------------------------
def _runs(b: Builder, row: Any) -> tuple[Any, Any]:
    """Where a row's elements differ from the one before them, as a mask, and those places."""
    count = b.type_of(row).shape[0]
    here = b.emit("prim::iota", count)
    before = b.emit("aten::clamp_min", b.emit("aten::sub", here, 1), 0)
    first = b.emit(
        "aten::logical_or", b.emit("aten::ne", row, take(b, row, (before,), (0,), 0)), b.emit("aten::eq", here, 0)
    )
    return first, b.places(first)


def _counts(b: Builder, starts: Any, total: Dim) -> Any:
    """How long each run is, of where they start."""
    runs = b.type_of(starts).shape[0]
    here = b.emit("prim::iota", runs)
    after = b.emit("aten::clamp_max", b.emit("aten::add", here, 1), runs - 1)
    last = b.emit("aten::eq", here, runs - 1)
    ends = b.emit("aten::where", last, total, take(b, starts, (after,), (0,), 0))
    return b.emit("aten::sub", ends, starts)


def _number_of_run(b: Builder, first: Any) -> Any:
    return b.emit("aten::sub", b.emit("aten::cumsum", first, 0, None), 1)


def _nothing(b: Builder) -> Any:
    return b.emit("prim::full", (const(0),), 0, i64)


def unique(b: Builder, x: Any, in_order: bool, inverse: bool, counts: bool) -> tuple[Any, Any, Any]:
    """The distinct values in order; which of them each element is, and how often each occurs, where asked for."""
    shape, total = b.type_of(x).shape, b.type_of(x).numel
    values, places = b.emit_all("prim::sort", b.emit("prim::reshape", x, (total,)), False)
    first, starts = _runs(b, values)
    which = _nothing(b)
    if inverse:
        start = b.emit("prim::full", (total,), 0, i64)
        which = b.emit("prim::reshape", put(b, start, (places,), (0,), 0, _number_of_run(b, first), "set"), shape)
    return (
        take(b, values, (starts,), (0,), 0),
        which,
        _counts(b, starts, total) if counts else _nothing(b),
    )


MANY_COLUMNS = 64


def unique_dim(b: Builder, x: Any, axis: int, in_order: bool, inverse: bool, counts: bool) -> tuple[Any, Any, Any]:
    """The distinct slices along an axis, in the order of their first different elements; which each is, and counts."""
    a = axis_of(axis, b.type_of(x).rank)
    front = b.emit("aten::movedim", x, (a,), (0,)) if b.type_of(x).rank else b.emit("prim::reshape", x, (1,))
    total, *rest = b.type_of(front).shape
    columns = b.facts.int_of(product(rest))
    if not 1 <= columns <= MANY_COLUMNS:
        raise Unsupported(f"unique of slices of {columns} elements is not supported: 1 to {MANY_COLUMNS} are")
    rows = b.emit("prim::reshape", front, (total, const(columns)))
    order = b.emit("prim::iota", total)
    for column in reversed(range(columns)):  # stable sorts, the column that decides first comes last
        keys = take(b, select(b, rows, 1, column), (order,), (0,), 0)
        order = take(b, order, (b.emit_all("prim::sort", keys, False)[1],), (0,), 0)
    rows = take(b, rows, (order,), (0,), 0)
    here = b.emit("prim::iota", total)
    before = b.emit("aten::clamp_min", b.emit("aten::sub", here, 1), 0)
    other = b.emit("aten::any", b.emit("aten::ne", rows, take(b, rows, (before,), (0,), 0)), 1, False)
    first = b.emit("aten::logical_or", other, b.emit("aten::eq", here, 0))
    starts = b.places(first)
    found = b.emit("prim::reshape", take(b, rows, (starts,), (0,), 0), (b.type_of(starts).shape[0], *rest))
    nowhere = b.emit("prim::full", (total,), 0, i64)
    return (
        b.emit("aten::movedim", found, (0,), (a,)) if rest else found,
        put(b, nowhere, (order,), (0,), 0, _number_of_run(b, first), "set"),
        _counts(b, starts, total),
    )


def _np_unique_dim(
    x: np.ndarray, axis: int, in_order: bool = True, inverse: bool = False, counts: bool = False
) -> tuple[np.ndarray, ...]:
    found, which, often = np.unique(x, axis=axis, return_inverse=True, return_counts=True)
    return found, which.reshape(-1).astype(np.int64), often


def unique_consecutive(b: Builder, x: Any, inverse: bool, counts: bool, axis: int | None) -> tuple[Any, Any, Any]:
    """The elements that differ from the one before them, and as in unique."""
    if axis is not None:
        raise Unsupported("unique_consecutive along a dim: only over all elements it is supported")
    shape, total = b.type_of(x).shape, b.type_of(x).numel
    row = b.emit("prim::reshape", x, (total,))
    first, starts = _runs(b, row)
    return (
        take(b, row, (starts,), (0,), 0),
        b.emit("prim::reshape", _number_of_run(b, first), shape) if inverse else _nothing(b),
        _counts(b, starts, total) if counts else _nothing(b),
    )


# -- rows that data groups ------------------------------------------------------------------------
def histc(b: Builder, x: Any, bins: Any, least: Any, most: Any) -> Any:
    """How many elements fall into each of equally wide bins between two numbers; others do not count."""
    if not isinstance(least, int | float) or not isinstance(most, int | float) or least >= most:
        raise Unsupported("histc without min < max takes them from the data: give both")
    dtype, count = b.type_of(x).dtype, b.facts.int_of(bins)
    row = b.emit("prim::reshape", x, (b.type_of(x).numel,))
    inside = b.emit("aten::logical_and", b.emit("aten::ge", row, least), b.emit("aten::le", row, most))
    place = b.emit("aten::div", b.emit("aten::mul", b.emit("aten::sub", row, least), count), float(most - least))
    safe = b.emit("aten::where", inside, place, b.emit("prim::full", (), 0.0, dtype))
    where = b.emit("aten::clamp_max", b.emit("prim::cast", safe, i64), count - 1)
    zeros = b.emit("prim::full", (const(count),), 0.0, dtype)
    return put(b, zeros, (where,), (0,), 0, b.emit("prim::cast", inside, dtype), "add")


def grouped_mm(b: Builder, x: Any, weight: Any, ends: Any, bias: Any, dtype: Any) -> Any:
    """Row k times the matrix of the group it is in: group g has the rows before ends[g] that no earlier one has."""
    if ends is None or bias is not None or b.type_of(x).rank != 2 or b.type_of(weight).rank != 3:
        raise Unsupported("grouped_mm of other tensors than rows, a matrix for each group, and where the groups end")
    rows, groups = b.type_of(x).shape[0], b.facts.int_of(b.type_of(weight).shape[0])
    own = b.type_of(ends).dtype
    count = b.emit("prim::iota", rows)
    group = b.emit("prim::search", ends, count if own is i64 else b.emit("prim::cast", count, own), True)
    out = b.emit("prim::full", (rows, b.type_of(weight).shape[2]), 0.0, b.type_of(x).dtype)
    for g in range(groups):
        places = b.places(b.emit("aten::eq", group, g))
        made = b.emit("aten::matmul", take(b, x, (places,), (0,), 0), select(b, weight, 0, g))
        out = put(b, out, (places,), (0,), 0, made, "set")
    return out if dtype is None else b.emit("prim::cast", out, dtype)


def repeat_interleave(b: Builder, x: Any, repeats: Any, axis: int | None, total: Any) -> Any:
    """Each slice along an axis as often as `repeats` says; of all elements as one row without an axis."""
    if total is None:
        raise Unsupported("repeat_interleave has a result as large as the sum of the repeats: give it as output_size")
    if axis is None or not b.type_of(x).rank:
        x, axis = b.emit("prim::reshape", x, (b.type_of(x).numel,)), 0
    a = axis_of(axis, b.type_of(x).rank)
    size = b.type_of(x).shape[a]
    repeats = b.emit("prim::reshape", repeats, (b.type_of(repeats).numel,))
    if b.type_of(repeats).shape != (size,):
        repeats = expand(b, repeats, (size,))
    never = b.emit("prim::all", b.emit("aten::ge", repeats, 0), (0,), False)
    b.guard(never, True, "repeat_interleave: a repeat is negative")
    fits = b.emit("aten::eq", b.emit("aten::sum", repeats, (), False, i64), total)
    b.guard(fits, True, "repeat_interleave: output_size is not the sum of the repeats")
    ends = b.emit("aten::cumsum", repeats, 0, i64)
    places = b.emit("prim::search", ends, b.emit("prim::iota", dim(total)), True)
    return take(b, x, (places,), (a,), a)


def _np_repeat(x: np.ndarray, repeats: np.ndarray, axis: int | None = None, total: int | None = None) -> np.ndarray:
    made = np.repeat(x, np.maximum(repeats, 0), axis)
    if np.any(np.asarray(repeats) < 0) or (total is not None and made.shape[axis or 0] != total):
        raise NotTraced("repeat_interleave: output_size is not the sum of the repeats, or one is negative")
    return made


def _np_histc(x: np.ndarray, bins: int = 100, least: float = 0, most: float = 0) -> np.ndarray:
    out = np.zeros(int(bins), x.dtype)
    for v in x.reshape(-1):
        if least <= v <= most:
            out[min(int((v - x.dtype.type(least)) * bins / x.dtype.type(most - least)), int(bins) - 1)] += 1
    return out


def _np_grouped(x: np.ndarray, weight: np.ndarray, ends: np.ndarray, bias: None = None, dtype: None = None) -> Any:
    out, start = np.zeros((x.shape[0], weight.shape[2]), x.dtype), 0
    for g, end in enumerate(ends):
        out[start:end] = x[start:end] @ weight[g]
        start = end
    return out


# -- references and samples -----------------------------------------------------------------------
def _np_runs(row: np.ndarray, inverse: bool, counts: bool, shape: Any, order: np.ndarray | None) -> Any:
    first = np.ones(row.size, np.bool_)
    first[1:] = row[1:] != row[:-1]
    starts = np.flatnonzero(first)
    which = np.cumsum(first) - 1
    if order is not None:
        spread = np.zeros(row.size, np.int64)
        spread[order] = which
        which = spread
    nothing = np.zeros(0, np.int64)
    return (
        row[starts],
        which.reshape(shape).astype(np.int64) if inverse else nothing,
        np.diff(np.append(starts, row.size)) if counts else nothing,
    )


def _np_unique(x: np.ndarray, in_order: bool = True, inverse: bool = False, counts: bool = False) -> Any:
    flat = x.reshape(-1)
    order = np.argsort(flat, kind="stable")
    return _np_runs(flat[order], inverse, counts, x.shape, order)


def _np_consecutive(x: np.ndarray, inverse: bool = False, counts: bool = False, axis: None = None) -> Any:
    return _np_runs(x.reshape(-1), inverse, counts, x.shape, None)


def _np_columns(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.nonzero(np.atleast_1d(x)))


def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


def _sparse(dtype: str, *shape: int) -> np.ndarray:
    """Few distinct values, among them 0."""
    return np.asarray(np.random.default_rng(5).integers(0, 3, shape), np.float64 if dtype in FLOATS else np.int64)


def _places_samples(dtype: str) -> list[Sample]:
    if dtype == "bool":
        return [Sample((np.array([[True, False, True], [False, False, True]]),)), Sample((np.array(True),))]
    shapes = ((3, 5), (2, 3, 4), (7,), (0, 3), ())
    return [*(Sample((_sparse(dtype, *s),)) for s in shapes), Sample((np.zeros((2, 3)),))]


def _repeated(dtype: str, *rest: Any) -> list[Sample]:
    if dtype == "bool":
        return [Sample((np.array([True, False, True]), *rest))]
    return [Sample((_sparse(dtype, *s), *rest)) for s in ((3, 5), (19,), (1,), (0,), ())]


def _op(name: str, schema: str, overloads: str, decompose: Any, reference: Any, samples: Any) -> Op:
    return composite(name, schema, overloads, decompose, reference, samples, dtypes=EVERY, tolerance=EXACT)


FINDING: list[Op] = [
    NONZERO,
    _op("aten::nonzero", "(Tensor self) -> Tensor", "default", nonzero, lambda x: np.argwhere(x), _places_samples),
    _op("aten::argwhere", "(Tensor self) -> Tensor", "default", nonzero, lambda x: np.argwhere(x), _places_samples),
    _op("aten::nonzero_numpy", "(Tensor self) -> Tensor[]", "default", nonzero_numpy, _np_columns, _places_samples),
    _op(
        "aten::where_places",
        "(Tensor condition) -> Tensor[]",
        "where.default",
        nonzero_numpy,
        _np_columns,
        _places_samples,
    ),
    _op(
        "aten::masked_select",
        "(Tensor self, Tensor mask) -> Tensor",
        "default",
        masked_select,
        lambda x, m: np.broadcast_to(x, np.broadcast_shapes(x.shape, m.shape))[
            np.broadcast_to(m, np.broadcast_shapes(x.shape, m.shape))
        ],
        lambda d: [
            Sample((_make(d)(2, 3), np.array([True, False, True]))),
            Sample((_make(d)(3), np.array([[True, False, True], [False] * 3]))),
            Sample((_make(d)(3), np.zeros(3, np.bool_))),
            Sample((_make(d)(), np.array(True))),
        ],
    ),
    _op(
        "aten::_unique2",
        "(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> "
        "(Tensor, Tensor, Tensor)",
        "default",
        unique,
        _np_unique,
        lambda d: [*_repeated(d), *_repeated(d, True, True, True), *_repeated(d, True, False, True)],
    ),
    _op(
        "aten::unique_dim",
        "(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> "
        "(Tensor, Tensor, Tensor)",
        "default",
        unique_dim,
        _np_unique_dim,
        lambda d: (
            [
                Sample((_sparse(d, 9, 2), 0, True, True, True)),
                Sample((_sparse(d, 2, 3, 7), -1)),
                Sample((_sparse(d, 7), 0, True, True, False)),
            ]
            if d != "bool"
            else [Sample((np.array([[True, False], [True, True], [True, False]]), 0, True, True, True))]
        ),
    ),
    _op(
        "aten::unique_consecutive",
        "(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) -> (Tensor, Tensor, Tensor)",
        "default",
        unique_consecutive,
        _np_consecutive,
        lambda d: [*_repeated(d), *_repeated(d, True, True), *_repeated(d, False, True)],
    ),
    composite(
        "aten::histc",
        "(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor",
        "default",
        histc,
        _np_histc,
        lambda d: [
            Sample((_sparse(d, 3, 5), 3, 0, 2)),
            Sample((Rand(40), 7, -1, 1)),
            Sample((np.array([np.nan, 1.0, 5.0, -1.0]), 2, 0, 1)),
            Sample((Rand(0), 2, 0, 1)),
        ],
        dtypes=("f32", "f64"),
        tolerance=EXACT,
    ),
    composite(
        "aten::_grouped_mm",
        "(Tensor self, Tensor mat2, Tensor? offs=None, Tensor? bias=None, dtype? out_dtype=None) -> Tensor",
        "default",
        grouped_mm,
        _np_grouped,
        lambda d: [
            Sample((Rand(7, 8), Rand(3, 8, 4), np.array([2, 2, 7], np.int32))),
            Sample((Rand(16, 8), Rand(2, 8, 16), np.array([16, 16], np.int32))),
        ],
        dtypes=("f32",),
        tolerance=SUMS,
    ),
    _op(
        "aten::repeat_interleave_tensor",
        "(Tensor self, Tensor repeats, int? dim=None, *, int? output_size=None) -> Tensor",
        "repeat_interleave.self_Tensor",
        repeat_interleave,
        _np_repeat,
        lambda d: [
            Sample((_make(d)(3, 2), np.array([1, 0, 3]), 0, 4)),
            Sample((_make(d)(2, 3), np.array([1, 0, 3]), -1, 4)),
            Sample((_make(d)(4), np.array([2]), None, 8)),
        ],
    ),
]
