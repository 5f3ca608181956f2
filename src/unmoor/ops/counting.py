"""Counts: how often values occur, what occurs most, and sums over bags of rows that offsets name."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import bool_, f32, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import const, dim
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.contraction import SUMS
from unmoor.ops.family import EXACT, FLOATS, INTS, NUMBERS, axis_of, composite
from unmoor.ops.formula import Aten, formula
from unmoor.ops.indexing import OUT_OF_RANGE, check_range, take
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.scatter import put


def bincount(b: Builder, x: Any, weights: Any, least: Any) -> Any:
    """How often each number occurs, or the sum of its weights; there are as many as `minlength` says."""
    type_, count = b.type_of(x), dim(least)
    if count == 0:
        raise Unsupported(
            "bincount without minlength has a result as large as the largest value: give the number of classes as "
            "minlength"
        )
    if type_.rank != 1 or type_.dtype.is_float or type_.dtype is bool_:
        raise SignatureError(f"bincount of {type_}: it takes one row of integers")
    check_range(b, x, count, "bincount: a value is not smaller than minlength, beyond which the result would grow")
    if weights is None:
        return put(b, b.emit("prim::full", (count,), 0, i64), (x,), (0,), 0, 1, "add")
    dtype = f32 if b.type_of(weights).dtype is f32 else f64
    if not b.facts.equal(b.type_of(weights).numel, type_.numel):
        raise SignatureError("bincount needs as many weights as numbers")
    given = b.emit("prim::reshape", weights, type_.shape)
    given = given if b.type_of(given).dtype is dtype else b.emit("prim::cast", given, dtype)
    return put(b, b.emit("prim::full", (count,), 0.0, dtype), (x,), (0,), 0, given, "add")


def _np_bincount(x: np.ndarray, weights: Any = None, least: int = 0) -> np.ndarray:
    made = np.zeros(int(least), np.int64 if weights is None else np.float32 if weights.dtype == np.float32 else float)
    for k, v in enumerate(x):
        made[v] += 1 if weights is None else weights.reshape(-1)[k]
    return made


def mode(b: Builder, x: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The value that occurs most along an axis, the smallest of several, and the last place where it stands."""
    rank = b.type_of(x).rank
    if not rank:
        return x, b.emit("prim::full", (), 0, i64)
    a = axis_of(axis, rank)
    count = b.type_of(x).shape[a]
    if not b.facts.at_most(1, count):
        raise SignatureError("mode of no elements has no value")
    values, places = b.emit_all("aten::sort", b.emit("aten::movedim", x, (a,), (-1,)), -1, False, True)
    here = b.emit("prim::iota", count)
    before = b.emit("aten::index_select", values, -1, b.emit("aten::clamp_min", b.emit("aten::sub", here, 1), 0))
    starts = b.emit("aten::logical_or", b.emit("aten::ne", values, before), b.emit("aten::eq", here, 0))
    start = b.emit_all("aten::cummax", b.emit("aten::where", starts, here, 0), -1)[0]
    most = b.emit("aten::argmax", b.emit("aten::sub", here, start), -1, True)  # the first end of a longest run
    made = [b.emit("aten::gather", v, -1, most) for v in (values, places)]
    made = [b.emit("aten::movedim", v, (-1,), (a,)) for v in made]
    first, second = (v if keepdim else b.emit("aten::squeeze", v, a) for v in made)
    return first, second


def _np_mode(x: np.ndarray, axis: int = -1, keepdim: bool = False) -> Any:
    if not x.ndim:
        return x, np.zeros((), np.int64)
    rows = np.moveaxis(x, axis, -1)
    found = np.zeros(rows.shape[:-1], np.int64)
    for at in np.ndindex(found.shape):
        values, counts = np.unique(rows[at], return_counts=True, equal_nan=False)
        wanted = values[np.argmax(counts)]
        same = np.flatnonzero(rows[at] == wanted)
        found[at] = same[-1] if same.size else np.flatnonzero(np.isnan(rows[at]))[0]
    made = np.take_along_axis(rows, found[..., None], -1)[..., 0], found
    return tuple(np.expand_dims(v, axis) for v in made) if keepdim else made


def nanmedian(b: Builder, x: Any, axis: int, keepdim: bool) -> tuple[Any, Any]:
    """The lower median along an axis of what is no NaN, and where it stood; NaN where there is nothing else."""
    type_ = b.type_of(x)
    if not type_.dtype.is_float or not type_.rank:
        own = b.emit_all("aten::median_dim", x, axis, keepdim)
        return own[0], own[1]
    a = axis_of(axis, type_.rank)
    if not b.facts.at_most(1, type_.shape[a]):
        raise SignatureError("nanmedian of no elements has no value")
    values, places = b.emit_all("aten::sort", x, a, False, True)  # NaN last
    count = b.emit("aten::sum", b.emit("aten::logical_not", b.emit("aten::isnan", x)), (a,), True, None)
    half = b.emit("aten::floor_divide", b.emit("aten::clamp_min", b.emit("aten::sub", count, 1), 0), 2)
    made = [b.emit("aten::gather", v, a, half) for v in (values, places)]
    first, second = (v if keepdim else b.emit("aten::squeeze", v, a) for v in made)
    return first, second


def _np_nanmedian(x: np.ndarray, axis: int, keepdim: bool = False) -> Any:
    rows = np.moveaxis(np.atleast_1d(x), axis, -1)
    order = np.argsort(rows, -1, kind="stable")
    lost = np.isnan(rows) if x.dtype.kind == "f" else np.zeros(rows.shape, bool)
    half = np.maximum((~lost).sum(-1, keepdims=True) - 1, 0) // 2
    found = np.take_along_axis(order, half, -1)
    made = np.take_along_axis(rows, found, -1)[..., 0], found[..., 0]
    if not x.ndim:
        return tuple(v.reshape(()) for v in made)
    return tuple(np.expand_dims(v, axis) for v in made) if keepdim else made


# -- bags -----------------------------------------------------------------------------------------
SUM, MEAN, MAX = 0, 1, 2
LOWEST = float("-inf")


def embedding_bag(
    aten: Aten,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale: bool,
    how: int,
    sparse: bool,
    given: Any,
    include_last: bool,
    padding: Any,
) -> tuple[Any, ...]:
    """Sums, means or maxima of rows of a table, a bag at a time: bags begin at offsets in the list of rows."""
    b = aten.builder
    if aten.rank(indices) != 1 or aten.rank(offsets) != 1:
        raise SignatureError("embedding_bag takes a row of indices, and a row of offsets into it")
    rows, width = aten.shape(weight)
    (total,), (marks,) = aten.shape(indices), aten.shape(offsets)
    bags = marks - 1 if include_last else marks
    offsets = aten.cast(offsets, i64)
    check_range(b, indices, rows, OUT_OF_RANGE)
    if aten.facts.at_most(1, marks):
        last = aten.eq if include_last else aten.le
        fits = aten.logical_and(aten.eq(aten.select(offsets, 0, 0), 0), last(aten.select(offsets, 0, -1), total))
        ends = "end with the number of indices" if include_last else "stay within the indices"
        b.guard(fits, True, f"embedding_bag: offsets begin with 0, and {ends}")
    number = aten.sub(b.emit("prim::search", offsets, b.emit("prim::iota", total), True), 1)
    dtype = aten.type_of(weight).dtype
    taken = take(b, weight, (indices,), (0,), 0)
    if given is not None:
        taken = aten.mul(taken, aten.unsqueeze(given, -1))
    number = aten.clamp_max(number, bags - 1)
    counts = b.emit("prim::full", (total,), True, bool_)
    if padding is not None:
        counts = aten.ne(indices, padding if padding >= 0 else rows + padding)
        taken = aten.where(aten.unsqueeze(counts, -1), taken, LOWEST if how == MAX else 0.0)
    start = b.emit("prim::full", (bags, width), LOWEST if how == MAX else 0.0, dtype)
    made = put(b, start, (number,), (0,), 0, taken, "max" if how == MAX else "add")
    if how == SUM:
        zeros = b.emit("prim::full", (marks,), 0, i64)
        quick = padding is None and dtype is f32  # without what gradients would need
        return made, b.emit("prim::full", (const(0),), 0, i64) if quick else number, zeros, zeros
    size = put(b, b.emit("prim::full", (bags,), 0, i64), (number,), (0,), 0, aten.cast(counts, i64), "add")
    sizes = aten.unsqueeze(size, -1)
    if how == MEAN:
        return aten.div(made, aten.cast(aten.clamp_min(sizes, 1), dtype)), number, size, size
    here = aten.unsqueeze(b.emit("prim::iota", total), -1)
    winner = aten.logical_and(aten.eq(taken, take(b, made, (number,), (0,), 0)), aten.unsqueeze(counts, -1))
    first = put(
        b,
        b.emit("prim::full", (bags, width), total, i64),
        (number,),
        (0,),
        0,
        aten.where(winner, here, total),
        "min",
    )
    places = aten.where(aten.eq(first, total), 0, take(b, indices, (aten.clamp_max(first, total - 1),), (0,), 0))
    return aten.where(aten.eq(sizes, 0), 0.0, made), number, size, places


def fill_diagonal(aten: Aten, x: Any, value: Any, wrap: bool) -> Any:
    """The tensor with its main diagonal overwritten; a tall matrix goes on below, with `wrap`."""
    b, shape = aten.builder, aten.shape(x)
    if len(shape) < 2 or not all(aten.facts.equal(d, shape[0]) for d in (shape[1:] if len(shape) > 2 else ())):
        raise SignatureError(f"fill_diagonal_ of {aten.type_of(x)}: more than two dims must be of one size")
    row = aten.reshape(b.emit("prim::iota", shape[0]), (shape[0], *(1 for _ in shape[1:])))
    if wrap and len(shape) == 2 and not aten.facts.at_most(shape[0], shape[1]):
        row = aten.remainder(row, shape[1] + 1)
    mask = None
    for axis, size in enumerate(shape[1:], 1):
        place = aten.reshape(b.emit("prim::iota", size), (size, *(1 for _ in shape[axis + 1 :])))
        same = aten.eq(row, place)
        mask = same if mask is None else aten.logical_and(mask, same)
    return aten.masked_fill(x, mask, value)


# -- samples --------------------------------------------------------------------------------------
def _rows(dtype: str, *args: Any) -> list[Sample]:
    few = np.random.default_rng(3).integers(0, 3, (4, 7))
    return [Sample((few.astype(np.float64 if dtype in FLOATS else np.int64), *args))]


BAG_INDICES = np.array([3, 1, 4, 1, 0, 2, 1])
HOLES = np.array([[1.0, np.nan, 3.0, 2.0], [np.nan] * 4, [4.0, 4.0, np.nan, 1.0]])


def _bags(how: int, sparse: bool, given: Any, include_last: bool, padding: int | None) -> tuple[Any, ...]:
    offsets = np.array([0, 2, 2, 5, *([7] if include_last else [])])
    return (Rand(6, 3), BAG_INDICES, offsets, False, how, sparse, given, include_last, padding)


COUNTING: list[Op] = [
    composite(
        "aten::bincount",
        "(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor",
        "default",
        bincount,
        _np_bincount,
        lambda d: [Sample((np.array([0, 2, 2, 1, 2]), None, 4)), Sample((np.array([1, 0, 1]), Rand(3), 3))],
        dtypes=INTS,
        tolerance=SUMS,
    ),
    composite(
        "aten::mode",
        "(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor, Tensor)",
        "default",
        mode,
        _np_mode,
        lambda d: [*_rows(d, -1), *_rows(d, 0, True), *_rows(d, 1, False)],
        dtypes=NUMBERS,
        tolerance=EXACT,
    ),
    composite(
        "aten::nanmedian_dim",
        "(Tensor self, int dim, bool keepdim=False) -> (Tensor, Tensor)",
        "nanmedian.dim",
        nanmedian,
        _np_nanmedian,
        lambda d: [Sample((Rand(3, 8), 1)), Sample((Rand(5, 4), 0, True)), Sample((HOLES[::2], 1)), Sample((HOLES, 0))],
        dtypes=("f32", "f64"),
        tolerance=EXACT,
    ),
    composite(
        "aten::nanmedian",
        "(Tensor self) -> Tensor",
        "default",
        lambda b, x: nanmedian(b, b.emit("prim::reshape", x, (b.type_of(x).numel,)), 0, False)[0],
        lambda x: _np_nanmedian(x.reshape(-1), 0)[0],
        lambda d: [Sample((Rand(3, 8),)), Sample((HOLES,))],
        dtypes=("f32", "f64"),
        tolerance=EXACT,
    ),
    formula(
        "embedding_bag",
        "(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq, int mode, bool sparse, "
        "Tensor? per_sample_weights, bool include_last_offset, int? padding_idx) -> (Tensor, Tensor, Tensor, Tensor)",
        embedding_bag,
        _bags(SUM, False, None, False, None),
        _bags(SUM, False, Rand(7), False, 1),
        _bags(MEAN, False, None, False, -5),
        _bags(MAX, False, None, True, 1),
        overloads="padding_idx",
        tolerance=SUMS,
    ),
    formula(
        "fill_diagonal",
        "(Tensor self, Scalar fill_value, bool wrap=False) -> Tensor",
        fill_diagonal,
        (Ints(3, 5), 7, False),
        (Ints(7, 2), 7, True),
        (Ints(3, 3, 3), 7, False),
        overloads="fill_diagonal_.default",
        dtypes=("f32", "f64", "i64", "i32"),
        tolerance=EXACT,
    ),
    *(
        formula(
            f"_is_{how}_true",
            "(Tensor self) -> Tensor",
            lambda aten, x, how=how: getattr(aten, how)(x),
            (np.array([True, False]),),
            (np.array([[True], [True]]),),
            (np.zeros((0, 2), np.bool_),),
            dtypes=("bool",),
            tolerance=EXACT,
        )
        for how in ("all", "any")
    ),
]
