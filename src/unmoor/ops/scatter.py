"""Writes at places that data names: the core op `prim::put`, and PyTorch's scatters, fills and adds made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY, DType, bool_, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, product
from unmoor.ir.op import Builder, Kind, Op, Sample
from unmoor.ir.scalar import Expr, apply
from unmoor.ops.family import COMPUTED, EVERY, EXACT, FLOATS, NUMBERS, axis_of, composite
from unmoor.ops.indexing import (
    OUT_OF_RANGE,
    check_range,
    clamped,
    counting,
    places,
    some_place,
    taken_shape,
    with_size,
)
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema
from unmoor.ops.slicing import slice_
from unmoor.ops.view import expand

Combine = Callable[[Expr, Expr], Expr]
COMBINE: dict[str, Combine | None] = {  # what is written, of what is there and what comes; None: what comes
    "set": None,
    "add": lambda a, b: apply("or", a, b) if a.dtype is bool_ else a + b,
    "mul": lambda a, b: apply("and", a, b) if a.dtype is bool_ else a * b,
    "max": lambda a, b: apply("max", a, b),
    "min": lambda a, b: apply("min", a, b),
}
NUMPY = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


# -- the core op ----------------------------------------------------------------------------------
def _np_put(
    x: np.ndarray, indices: Sequence[np.ndarray], axes: Sequence[int], at: int, values: np.ndarray, how: str
) -> np.ndarray:
    out = np.array(x, order="C")
    front = np.moveaxis(out, axes, range(len(axes)))  # a view: writes reach `out`
    rank = indices[0].ndim
    rows = np.moveaxis(values, range(at, at + rank), range(rank))
    where = [clamped(i, x.shape[a]) for i, a in zip(indices, axes, strict=True)]
    with np.errstate(all="ignore"):
        for place in np.ndindex(indices[0].shape):
            target = tuple(i[place] for i in where)
            front[target] = rows[place] if how == "set" else NUMPY[how](front[target], rows[place])
    return out


PUT = Op(
    "prim::put",
    parse_schema("(Tensor self, Tensor[] indices, int[] axes, int at, Tensor values, str how) -> Tensor"),
    Kind.SCATTER,
    lambda facts, x, *rest: x,
    _np_put,
    (),
    lambda d: [
        Sample((_make(d)(5, 4), (places(0, 4, -1, 2),), (0,), 0, _make(d)(4, 4), "set")),
        Sample((_make(d)(5, 4), (places([1, 3], [-4, 1]),), (1,), 1, _make(d)(5, 2, 2), "add")),
        Sample((_make(d)(3, 4, 5), (places(0, 2, 0), places(4, 4, -1)), (0, 2), 1, _make(d)(4, 3), "max")),
        Sample((_make(d)(6), (places(5, 5, 0),), (0,), 0, _make(d)(3), "mul")),
    ],
    EXACT,
    lower=COMBINE,
    dtypes=EVERY,
    doc="The tensor with `values` written, added, ... (`how`: set add mul max min) where prim::take of the same "
    "indices would read, one after the other in the indices' row-major order.",
)


def put(b: Builder, x: Any, indices: Sequence[Any], axes: Sequence[int], at: int, values: Any, how: str) -> Any:
    """prim::put; indices share one shape, and values are cast and broadcast to what they name."""
    type_, found = b.type_of(x), b.type_of(indices[0]).shape
    values = shaped(b, values, type_.dtype, taken_shape(type_.shape, axes, at, found))
    if product(found) == 0:
        return x
    for a, index in zip(axes, indices, strict=True):
        if not some_place(b, index, type_.shape[a]):
            if b.facts.equal(product(found), 0):
                return x
            raise SignatureError(f"index out of range: {type_} has no elements along an indexed dim")
    return b.emit("prim::put", x, tuple(indices), tuple(axes), at, values, how)


def shaped(b: Builder, values: Any, dtype: DType, shape: Sequence[Dim]) -> Any:
    """Values (a tensor or a number) in a dtype, broadcast to a shape; leading axes of size 1 too many are dropped."""
    if isinstance(values, bool | int | float | Dim):
        values = number(b, values, dtype)
    if b.type_of(values).dtype is not dtype:
        values = b.emit("prim::cast", values, dtype)
    own = b.type_of(values).shape
    while len(own) > len(shape) and (own[0] == 1 or b.facts.equal(own[0], 1)):
        own = own[1:]
    if own != b.type_of(values).shape:
        values = b.emit("prim::reshape", values, own)
    return values if own == tuple(shape) else expand(b, values, shape)


def number(b: Builder, value: Any, dtype: DType) -> Any:
    """A number as a 0-dim tensor of a dtype, converted as an assignment to an element converts it."""
    if isinstance(value, Dim):
        made = b.emit("prim::full", (), value, i64)
        return made if dtype is i64 else b.emit("prim::cast", made, dtype)
    plain = bool(value) if dtype is bool_ else float(value) if dtype.is_float else int(value)
    return b.emit("prim::full", (), plain, dtype)


# -- one axis -------------------------------------------------------------------------------------
def _row(b: Builder, index: Any) -> Any:
    if b.type_of(index).rank > 1:
        raise SignatureError("the index must have one dim")
    return index if b.type_of(index).rank else b.emit("prim::reshape", index, (1,))


def _as_rows(b: Builder, x: Any, axis: int, index: Any, write: Callable[[Any, int, Any], Any]) -> Any:
    """Writes along an axis at a 1-D index; a 0-dim tensor is a row of one element."""
    type_ = b.type_of(x)
    a = axis_of(axis, type_.rank)
    if type_.rank:
        return write(x, a, _row(b, index))
    return b.emit("prim::reshape", write(b.emit("prim::reshape", x, (1,)), 0, _row(b, index)), ())


def _source(b: Builder, source: Any, rows: Any, axis: int, index: Any) -> Any:
    """What is written along an axis, of the sizes that it meets; a 0-dim tensor is a row of one element."""
    if not b.type_of(source).rank:
        source = b.emit("prim::reshape", source, (1,))
    shape, count = b.type_of(rows).shape, b.type_of(index).numel
    wanted = (*shape[:axis], count, *shape[axis + 1 :])
    own = b.type_of(source).shape
    if len(own) != len(wanted) or not all(b.facts.equal(d, e) for d, e in zip(own, wanted, strict=True)):
        raise SignatureError(f"the source has the shape {list(own)}, where {list(wanted)} is written")
    return source


def index_add(b: Builder, x: Any, axis: int, index: Any, source: Any, alpha: Any) -> Any:
    """The tensor with slices of `source`, times alpha, added at places along an axis."""

    def write(rows: Any, a: int, where: Any) -> Any:
        check_range(b, where, b.type_of(rows).shape[a], OUT_OF_RANGE)
        given = _source(b, source, rows, a, where)
        if alpha != 1:
            given = b.emit("aten::mul", given, alpha)
        return put(b, rows, (where,), (a,), a, given, "add")

    return _as_rows(b, x, axis, index, write)


def index_copy(b: Builder, x: Any, axis: int, index: Any, source: Any) -> Any:
    """The tensor with slices of `source` written at places along an axis."""

    def write(rows: Any, a: int, where: Any) -> Any:
        check_range(b, where, b.type_of(rows).shape[a], "index_copy_(): index is out of bounds")
        return put(b, rows, (where,), (a,), a, _source(b, source, rows, a, where), "set")

    return _as_rows(b, x, axis, index, write)


def index_fill(b: Builder, x: Any, axis: int, index: Any, value: Any) -> Any:
    """The tensor with one value at places along an axis."""

    def write(rows: Any, a: int, where: Any) -> Any:
        check_range(b, where, b.type_of(rows).shape[a], "index out of range", negative=True)
        return put(b, rows, (where,), (a,), a, value, "set")

    return _as_rows(b, x, axis, index, write)


# -- scatters -------------------------------------------------------------------------------------
REDUCE = {"add": "add", "multiply": "mul", "sum": "add", "prod": "mul", "amax": "max", "amin": "min", "mean": "add"}


def _scatter(b: Builder, x: Any, axis: int, index: Any, source: Any, how: str) -> Any:
    """out[index[i][j]][j] = source[i][j], for axis 0."""
    type_ = b.type_of(x)
    if not type_.rank:
        x = b.emit("prim::reshape", x, (1,))
    if not b.type_of(index).rank:
        index = b.emit("prim::reshape", index, (1,))
    where, shape = b.type_of(index).shape, b.type_of(x).shape
    if len(where) != len(shape):
        raise SignatureError(f"the index has {len(where)} dims, and the tensor {len(shape)}")
    if b.type_of(index).numel == 0:
        return x
    a = axis_of(axis, len(shape))
    check_range(b, index, shape[a], f"index is out of bounds for dimension {a}{with_size(shape[a])}")
    indices = []
    for k, d in enumerate(where):
        if k != a and d != shape[k] and not b.facts.at_most(d, shape[k]):
            raise SignatureError(f"the index has size {d} along dim {k}, and the tensor {shape[k]}")
        indices.append(index if k == a else counting(b, k, where))
    made = put(b, x, indices, range(len(shape)), 0, _cut(b, source, where), how)
    return made if type_.rank else b.emit("prim::reshape", made, ())


def _cut(b: Builder, source: Any, shape: Sequence[Dim]) -> Any:
    """What a scatter reads of its source: a tensor cut to the index's sizes; a number as it is."""
    if isinstance(source, bool | int | float | Dim) or not b.type_of(source).rank:
        return source
    own = b.type_of(source).shape
    if len(own) != len(shape):
        raise SignatureError(f"the index has {len(shape)} dims, and the source {len(own)}")
    for k, (have, want) in enumerate(zip(own, shape, strict=True)):
        if have != want and not b.facts.at_most(want, have):
            raise SignatureError(f"the index has size {want} along dim {k}, and the source {have}")
        source = slice_(b, source, k, 0, want, 1)
    return source


def scatter(b: Builder, x: Any, axis: int, index: Any, source: Any, reduce: str | None) -> Any:
    """Writes (or adds, or multiplies) the source's elements at the places that the index names along an axis."""
    return _scatter(b, x, axis, index, source, REDUCE[reduce] if reduce else "set")


def scatter_reduce(b: Builder, x: Any, axis: int, index: Any, source: Any, reduce: str, include_self: bool) -> Any:
    """A reduction of what is scattered to each place, with what was there or without it."""
    type_ = b.type_of(x)
    if reduce not in REDUCE:
        raise Unsupported(f"scatter_reduce with reduce={reduce!r}")
    start = x
    if not include_self:
        start = _scatter(b, x, axis, index, _neutral(reduce, type_.dtype), "set")
    made = _scatter(b, start, axis, index, source, REDUCE[reduce])
    if reduce != "mean":
        return made
    own = b.emit("prim::full", type_.shape, 1, type_.dtype)
    if not include_self:
        own = _scatter(b, own, axis, index, 0, "set")
    count = b.emit("aten::clamp_min", _scatter(b, own, axis, index, 1, "add"), 1)
    return b.emit("aten::div" if type_.dtype.is_float else "aten::floor_divide", made, count)


def index_reduce(b: Builder, x: Any, axis: int, index: Any, source: Any, reduce: str, include_self: bool) -> Any:
    """A reduction of the source's slices that go to each place along an axis, with what was there or without it."""
    dtype = b.type_of(x).dtype
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise SignatureError(f"index_reduce with reduce={reduce!r}")
    if dtype is not dtype.compute and reduce in ("prod", "mean"):
        raise Unsupported(f"index_reduce of {dtype.torch_name}, which eager rounds step by step: convert it first")

    def write(rows: Any, a: int, where: Any) -> Any:
        check_range(b, where, b.type_of(rows).shape[a], OUT_OF_RANGE)
        given = _source(b, source, rows, a, where)
        start = rows if include_self else put(b, rows, (where,), (a,), a, _neutral(reduce, dtype), "set")
        made = put(b, start, (where,), (a,), a, given, REDUCE[reduce])
        if reduce != "mean":
            return made
        own = b.emit("prim::full", b.type_of(rows).shape, 1, dtype)
        own = own if include_self else put(b, own, (where,), (a,), a, 0, "set")
        count = b.emit("aten::clamp_min", put(b, own, (where,), (a,), a, 1, "add"), 1)
        return b.emit("aten::div" if dtype.is_float else "aten::floor_divide", made, count)

    return _as_rows(b, x, axis, index, write)


def _np_index_reduce(
    x: np.ndarray, axis: int, index: np.ndarray, source: np.ndarray, reduce: str, include_self: bool = True
) -> np.ndarray:
    shape = [1] * x.ndim
    shape[axis] = len(index)
    where = np.broadcast_to(index.reshape(shape), source.shape)
    return _np_scatter_reduce(x, axis, where, source, reduce, include_self)


def _neutral(reduce: str, dtype: DType) -> Any:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.is_float:
        return float("-inf") if reduce == "amax" else float("inf")
    bits = 1 if dtype is bool_ else dtype.size * 8 - 1
    low, high = (0, 1) if dtype is bool_ else (-(2**bits), 2**bits - 1)
    return low if reduce == "amax" else high


def _np_scatter(x: np.ndarray, axis: int, index: np.ndarray, source: Any, reduce: str | None = None) -> np.ndarray:
    out = np.array(x, order="C").reshape(x.shape or (1,))
    where = index.reshape(index.shape or (1,))
    given = np.broadcast_to(np.asarray(source), where.shape) if not np.ndim(source) else source
    for place in np.ndindex(where.shape):
        target = list(place)
        target[axis % out.ndim] = where[place]
        value = given[place].astype(x.dtype)
        out[tuple(target)] = NUMPY[REDUCE[reduce]](out[tuple(target)], value) if reduce else value
    return out.reshape(x.shape)


def _np_scatter_reduce(
    x: np.ndarray, axis: int, index: np.ndarray, source: np.ndarray, reduce: str, include_self: bool = True
) -> np.ndarray:
    start = x if include_self else _np_scatter(x, axis, index, np.asarray(_neutral(reduce, BY_NUMPY[x.dtype])))
    made = _np_scatter(start, axis, index, source, reduce)
    if reduce != "mean":
        return made
    own = np.ones_like(x) if include_self else _np_scatter(np.ones_like(x), axis, index, 0)
    count = np.maximum(_np_scatter(own, axis, index, np.ones(index.shape, x.dtype), "sum"), 1)
    return np.asarray(made / count if x.dtype.kind == "f" else made // count).astype(x.dtype)


def _np_index(how: str) -> Callable[..., np.ndarray]:
    def evaluate(x: np.ndarray, axis: int, index: np.ndarray, source: Any, alpha: Any = 1) -> np.ndarray:
        out = np.array(x, order="C").reshape(x.shape or (1,))
        front = np.moveaxis(out, axis, 0)
        rows = np.broadcast_to(source, front.shape) if not np.ndim(source) else np.moveaxis(np.asarray(source), axis, 0)
        for k, i in enumerate(np.reshape(index, -1)):
            value = rows[k if np.ndim(source) else 0]
            front[i] = front[i] + np.asarray(value * alpha).astype(x.dtype) if how == "add" else value
        return out.reshape(x.shape)

    return evaluate


def _scatter_samples(dtype: str) -> list[Sample]:
    make = _make(dtype)
    return [
        Sample((make(4, 5), 1, places([0, 4], [2, 3], [1, 0]), make(3, 3))),
        Sample((make(3, 19), 0, np.arange(57).reshape(3, 19) % 3, make(3, 19))),
        Sample((make(3, 4, 5), -2, np.zeros((3, 1, 5), np.int64), make(3, 1, 5))),
        Sample((make(4), 0, np.array(3), make())),
        Sample((make(4, 5), 0, np.zeros((0, 5), np.int64), make(2, 5))),
    ]


def _twice(dtype: str) -> list[Sample]:
    """Samples in which places are met more than once."""
    make = _make(dtype)
    return [
        *_scatter_samples(dtype),
        Sample((make(3, 4), 0, places([0, 0, 1, 2], [0, 2, 1, 2]), make(2, 4))),
        Sample((make(3), 0, places(1, 1, 1, 0), make(4))),
    ]


def _op(name: str, schema: str, decompose: Any, reference: Any, samples: Any, overloads: str = "default") -> Op:
    return composite(name, schema, overloads, decompose, reference, samples, dtypes=NUMBERS, tolerance=EXACT)


def _rows(dtype: str) -> list[Sample]:
    make = _make(dtype)
    return [
        Sample((make(4, 5, 3), 1, places(4, 0), make(4, 2, 3))),
        Sample((make(4, 5), -1, np.array([2], np.int32), make(4, 1))),
        Sample((make(4), 0, np.array(3), make())),
        Sample((make(4, 3), 0, np.zeros(0, np.int64), make(0, 3))),
    ]


SCATTER: list[Op] = [
    PUT,
    _op(
        "aten::index_add",
        "(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor",
        index_add,
        _np_index("add"),
        lambda d: [*_rows(d)[:2], *_rows(d)[3:], Sample((_make(d)(4, 3), 0, places(1, 1, 2), _make(d)(3, 3), 2))],
    ),
    composite(
        "aten::index_reduce",
        "(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor",
        "default",
        index_reduce,
        _np_index_reduce,
        lambda d: [
            Sample((_make(d)(4, 3), 0, places(1, 1, 2), _make(d)(3, 3), reduce, own))
            for reduce in ("prod", "mean", "amax", "amin")
            for own in (True, False)
        ],
        dtypes=COMPUTED,
        tolerance=EXACT,
    ),
    _op(
        "aten::index_copy",
        "(Tensor self, int dim, Tensor index, Tensor source) -> Tensor",
        index_copy,
        _np_index("set"),
        lambda d: [s for s in _rows(d) if s.args[2].dtype == np.int64],
    ),
    _op(
        "aten::index_fill",
        "(Tensor self, int dim, Tensor index, Tensor value) -> Tensor",
        index_fill,
        _np_index("set"),
        lambda d: [
            Sample((_make(d)(4, 5, 3), 1, places(4, -5), 2)),
            Sample((_make(d)(4, 5), 0, places(1), _make(d)())),
            Sample((_make(d)(4, 5), 0, np.zeros(0, np.int64), 1)),
        ],
        "int_Scalar int_Tensor",
    ),
    _op(
        "aten::scatter",
        "(Tensor self, int dim, Tensor index, Tensor src, *, str? reduce=None) -> Tensor",
        scatter,
        _np_scatter,
        lambda d: [
            *_scatter_samples(d),
            *(Sample((*s.args, "add")) for s in _twice(d)),
            *(Sample((*s.args, "multiply")) for s in _twice(d)[-1:]),
        ],
        "src reduce",
    ),
    _op(
        "aten::scatter_value",
        "(Tensor self, int dim, Tensor index, Scalar value, *, str? reduce=None) -> Tensor",
        scatter,
        _np_scatter,
        lambda d: [
            Sample((_make(d)(4, 5), 1, places([0, 4], [2, 3], [1, 0]), 3)),
            Sample((_make(d)(4), 0, places(1, 1), 3, "add")),
        ],
        "scatter.value scatter.value_reduce",
    ),
    _op(
        "aten::scatter_add",
        "(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
        lambda b, x, d, i, s: _scatter(b, x, d, i, s, "add"),
        lambda x, d, i, s: _np_scatter(x, d, i, s, "add"),
        _twice,
    ),
    _op(
        "aten::scatter_reduce",
        "(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor",
        scatter_reduce,
        _np_scatter_reduce,
        lambda d: [
            Sample((*_twice(d)[k].args, reduce, own))
            for k in (0, -2)
            for reduce in ("sum", "prod", "mean", "amax", "amin")
            for own in (True, False)
        ],
        "two",
    ),
]
