"""Assignments to parts of a tensor, as functions that give the new tensor: `x[items] = value` and its relatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unmoor.dtypes import bool_, i64
from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.family import EVERY, EXACT, FLOATS, axis_of, broadcast, composite
from unmoor.ops.indexing import check_range, np_axes_taken, placement, places, take, viewed, with_size
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.scatter import number, put, shaped
from unmoor.ops.slicing import bound, run_length
from unmoor.ops.view import expand, reshape

WHOLE = ("slice", None, None, None)
NEW = ("newaxis",)


def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


@dataclass
class _Region:
    """What x[items] names: its shape, and where along each axis of x its elements stand.

    shape     of x[items] before index tensors find their place
    whole     by axis of x, the axis of `shape` that runs along all of it
    runs      by axis of x, the axis of `shape` and the start and step of a slice
    fixed     by axis of x, an integer (a Dim, or a tensor of rank 0)
    found     by axis of x, the axis of `shape` and the tensor of an index tensor
    """

    shape: list[Dim] = field(default_factory=list)
    whole: dict[int, int] = field(default_factory=dict)
    runs: dict[int, tuple[int, Dim, int]] = field(default_factory=dict)
    fixed: dict[int, Any] = field(default_factory=dict)
    found: dict[int, tuple[int, Any]] = field(default_factory=dict)


def _region(b: Builder, x: Any, items: Sequence[Any]) -> _Region:
    shape = b.type_of(x).shape
    taken = sum(not (isinstance(i, tuple) and i[0] in ("newaxis", "ellipsis")) for i in items)
    if taken > len(shape):
        raise SignatureError(f"too many indices for a tensor of rank {len(shape)}")
    region, axis = _Region(), 0
    spread = [("ellipsis",)] if ("ellipsis",) not in items else []
    for item in (*items, *spread):
        if item == ("ellipsis",):
            for _ in range(len(shape) - taken):
                _run(b, region, axis, shape[axis], WHOLE)
                axis += 1
            continue
        if item == NEW:
            region.shape.append(const(1))
            continue
        if isinstance(item, tuple):
            _run(b, region, axis, shape[axis], item)
        elif isinstance(item, int | Dim):
            region.fixed[axis] = _integer(b, item, shape[axis], axis)
        elif not b.type_of(item).rank:
            _check(b, item, shape[axis], axis)
            region.fixed[axis] = item
        else:
            _check(b, item, shape[axis], axis)
            region.found[axis] = (len(region.shape), item)
            region.shape.append(const(1))
        axis += 1
    return region


def _run(b: Builder, region: _Region, axis: int, size: Dim, item: tuple[Any, ...]) -> None:
    _, start, stop, step = item
    stride = 1 if step is None else int(str(step))
    if stride < 1:
        raise SignatureError("a slice's step must be positive")
    first, last = bound(b, start, size, 0), bound(b, stop, size, size)
    length = run_length(b, first, last)
    place = len(region.shape)
    region.shape.append((length + (stride - 1)) // stride)
    if first == 0 and length == size and stride == 1:
        region.whole[axis] = place
    else:
        region.runs[axis] = (place, first, stride)


def _integer(b: Builder, item: Any, size: Dim, axis: int) -> Dim:
    place = dim(item)
    if not b.facts.at_most(0, place):
        place = place + size
    if not (b.facts.at_most(0, place) and b.facts.at_most(place + 1, size)):
        raise SignatureError(f"index {item} is out of range for dim {axis} of size {size}")
    return place


def _check(b: Builder, index: Any, size: Dim, axis: int) -> None:
    check_range(b, index, size, f"index is out of bounds for dimension {axis}{with_size(size)}", negative=True)


def assign(b: Builder, x: Any, items: Sequence[Any], value: Any, how: str = "set") -> Any:
    """x with x[items] = value, or with value added where `how` is add; later ones of equal places count."""
    masks = [k for k, i in enumerate(items) if _is_mask(b, i)]
    if masks:
        return _assign_masked(b, x, items, masks, value, how)
    region = _region(b, x, items)
    if how == "set" and len(region.whole) == b.type_of(x).rank:
        return _all(b, x, region.shape, value)
    shape, front, back = _found_shape(b, region)
    indices = _indices(b, x, region, shape, front, back)
    rank = b.type_of(x).rank
    rest = 0  # trailing axes that stay whole: they are written as rows
    while (
        rest < rank - 1 and (a := rank - 1 - rest) in region.whole and front[region.whole[a]] == len(shape) - 1 - rest
    ):
        rest += 1
    indexed = range(rank - rest)
    here = shape[: len(shape) - rest]
    wide = [expand(b, reshape(b, i, here_of(b, i, len(here))), here) for i in indices[: rank - rest]]
    value = _without_leading_ones(b, value, len(shape))
    return put(b, x, wide, tuple(indexed), 0, shaped(b, value, b.type_of(x).dtype, shape), how)


def here_of(b: Builder, index: Any, rank: int) -> tuple[Dim, ...]:
    """The shape of an index over the region, over its first `rank` axes alone."""
    return b.type_of(index).shape[:rank]


def _all(b: Builder, x: Any, shape: Sequence[Dim], value: Any) -> Any:
    """Every element assigned."""
    type_ = b.type_of(x)
    made = shaped(b, value, type_.dtype, shape)
    return made if tuple(shape) == type_.shape else b.emit("prim::reshape", made, type_.shape)


def _without_leading_ones(b: Builder, value: Any, rank: int) -> Any:
    return value if rank or isinstance(value, bool | int | float | Dim) else reshape(b, value, ())


def _found_shape(b: Builder, region: _Region) -> tuple[tuple[Dim, ...], dict[int, int], tuple[int, int]]:
    """The region's shape with index tensors in place, where its other axes went, and where the found ones stand."""
    if not region.found:
        return tuple(region.shape), {k: k for k in range(len(region.shape))}, (0, 0)
    by_place = {place: tensor for place, tensor in region.found.values()}
    _, at = placement(by_place)
    found = broadcast(b.facts, [b.type_of(t).shape for t in by_place.values()])
    others = [k for k in range(len(region.shape)) if k not in by_place]
    moved = {k: n if n < at else n + len(found) for n, k in enumerate(others)}
    rest = [region.shape[k] for k in others]
    return (*rest[:at], *found, *rest[at:]), moved, (at, len(found))


def _indices(
    b: Builder, x: Any, region: _Region, shape: Sequence[Dim], moved: dict[int, int], found: tuple[int, int]
) -> list[Any]:
    """For each axis of x, where along it the region's elements stand: size 1 where that does not differ."""
    rank, at, count = len(shape), *found
    made = []
    for axis, size in enumerate(b.type_of(x).shape):
        if axis in region.fixed:
            place = region.fixed[axis]
            one = number(b, place, i64) if isinstance(place, Dim) else place
            made.append(b.emit("prim::reshape", one, (const(1),) * rank))
        elif axis in region.found:
            own = b.type_of(region.found[axis][1]).shape
            wide = (*(const(1),) * (at + count - len(own)), *own, *(const(1),) * (rank - at - count))
            made.append(b.emit("prim::reshape", region.found[axis][1], wide))
        else:
            place, start, step = region.runs[axis] if axis in region.runs else (region.whole[axis], const(0), 1)
            k = moved[place]
            run = b.emit("prim::iota", size)
            if axis in region.runs:
                run = b.emit("prim::slice", run, 0, start, step, shape[k])
            made.append(b.emit("prim::reshape", run, tuple(shape[k] if n == k else const(1) for n in range(rank))))
    return made


# -- masks ----------------------------------------------------------------------------------------
def _is_mask(b: Builder, item: Any) -> bool:
    return not (item is None or isinstance(item, tuple | int | Dim)) and b.type_of(item).dtype is bool_


def _assign_masked(b: Builder, x: Any, items: Sequence[Any], masks: list[int], value: Any, how: str) -> Any:
    """Where a mask stands among the items: the region that the others name is chosen from element by element."""
    if len(masks) > 1 or any(not (isinstance(i, tuple | int | Dim)) for k, i in enumerate(items) if k not in masks):
        raise SignatureError("an assignment by a mask beside another index tensor is not supported")
    (k,) = masks
    mask = items[k]
    others = (*items[:k], *(WHOLE,) * b.type_of(mask).rank, *items[k + 1 :])
    part, _ = viewed(b, x, others)
    before = sum(not isinstance(i, int | Dim) for i in items[:k])
    if ("ellipsis",) in items[:k]:
        before = b.type_of(part).rank - b.type_of(mask).rank - sum(not isinstance(i, int | Dim) for i in items[k + 1 :])
    new = masked(b, part, mask, before, value, how)
    return assign(b, x, others, new)


def masked(b: Builder, x: Any, mask: Any, axis: int, value: Any, how: str = "set") -> Any:
    """x with x[mask] = value, the mask over the axes from `axis` on."""
    type_, wide = b.type_of(x), b.type_of(mask).shape
    if len(wide) + axis > type_.rank or not all(
        b.facts.equal(d, e) for d, e in zip(wide, type_.shape[axis:], strict=False)
    ):
        raise SignatureError(f"a mask of shape {list(wide)} does not fit {type_} at dim {axis}")
    behind = type_.rank - axis - len(wide)
    over = b.emit("prim::reshape", mask, (*wide, *(const(1),) * behind))
    given = _one_place(b, value, mask, behind)
    if isinstance(given, tuple):  # the n-th true element of the mask takes the n-th value
        place = b.emit("aten::sub", b.emit("aten::cumsum", reshape(b, mask, (-1,)), 0, None), 1)
        rows = take(b, given[0], (place,), (axis,), axis) if b.type_of(mask).numel != 0 else given[0]
        shape = (*type_.shape[:axis], *wide, *type_.shape[axis + len(wide) :])
        own = b.type_of(rows).shape
        given = b.emit("prim::reshape", rows, (*own[:axis], *wide, *own[axis + 1 :])) if own else rows
        given = shaped(b, given, type_.dtype, shape)
    else:
        given = shaped(b, given, type_.dtype, type_.shape)
    if how != "set":
        given = b.emit("aten::logical_or" if type_.dtype is bool_ else "aten::add", x, given)
    return b.emit("aten::where", over, given, x)


def _one_place(b: Builder, value: Any, mask: Any, behind: int) -> Any:
    """The value as it is broadcast over a mask's axes; or, in a tuple, a tensor with a place for each true element."""
    if isinstance(value, bool | int | float | Dim) or b.type_of(value).rank <= behind:
        return value
    shape = b.type_of(value).shape
    at = len(shape) - behind - 1
    if shape[at] == 1 or (not b.facts.is_found(shape[at]) and b.facts.equal(shape[at], 1)):
        extra = (*shape[:at], *(const(1),) * b.type_of(mask).rank, *shape[at + 1 :])
        return b.emit("prim::reshape", value, extra)
    count = b.emit("aten::sum", mask, (), False, None)
    message = "the number of values does not fit the number of True elements of the mask"
    b.guard(b.emit("aten::eq", count, shape[at]), True, message)
    return (value,)


def masked_fill(b: Builder, x: Any, mask: Any, value: Any) -> Any:
    """The tensor with a number where the mask holds; the two are broadcast."""
    type_ = b.type_of(x)
    return b.emit("aten::where", mask, shaped(b, value, type_.dtype, ()), x)


def masked_scatter(b: Builder, x: Any, mask: Any, source: Any) -> Any:
    """The source's elements, in order, at the true places of the mask; the two are broadcast."""
    shape = broadcast(b.facts, [b.type_of(x).shape, b.type_of(mask).shape])
    x, mask = (v if b.type_of(v).shape == shape else expand(b, v, shape) for v in (x, mask))
    count = b.type_of(source).numel
    flat = reshape(b, mask, (product(shape),))
    total = b.emit("aten::sum", flat, (), False, None)
    b.guard(
        b.emit("aten::le", total, count), True, "masked_scatter: the source has fewer elements than the mask has True"
    )
    if not b.facts.at_most(1, count):
        return x
    place = b.emit("aten::clamp_min", b.emit("aten::sub", b.emit("aten::cumsum", flat, 0, None), 1), 0)
    values = take(b, reshape(b, source, (count,)), (place,), (0,), 0)
    return b.emit("aten::where", mask, b.emit("prim::reshape", values, shape), x)


# -- relatives ------------------------------------------------------------------------------------
def index_put(b: Builder, x: Any, indices: Sequence[Any], values: Any, accumulate: bool) -> Any:
    """x[indices] = values, or += where accumulate says so; None stands for a whole axis."""
    items = tuple(WHOLE if i is None else i for i in indices)
    return assign(b, x, items, values, "add" if accumulate else "set")


def slice_scatter(b: Builder, x: Any, source: Any, axis: int, start: Any, end: Any, step: Any) -> Any:
    """The tensor with a slice along an axis replaced."""
    a = axis_of(axis, b.type_of(x).rank)
    return assign(b, x, (*(WHOLE,) * a, ("slice", start, end, step)), source)


def select_scatter(b: Builder, x: Any, source: Any, axis: int, index: Any) -> Any:
    """The tensor with one place along an axis replaced."""
    a = axis_of(axis, b.type_of(x).rank)
    return assign(b, x, (*(WHOLE,) * a, index), source)


def _np_setitem(x: np.ndarray, items: Sequence[Any], value: Any, how: str = "set") -> np.ndarray:
    """Numbers, also as tensors of rank 0, go first, as in PyTorch."""
    out = np.array(x, order="C")  # its flat view is written
    part = np.arange(x.size).reshape(x.shape)  # the region as offsets
    taken = sum(np_axes_taken(i) for i in items)
    made: list[Any] = []
    axis = 0
    for item in items:
        if isinstance(item, tuple):
            made.append(
                {"newaxis": None, "ellipsis": Ellipsis}.get(item[0]) if item[0] != "slice" else slice(*item[1:])
            )
            axis += {"newaxis": 0, "ellipsis": x.ndim - taken}.get(item[0], 1)
        elif np.ndim(item) or np.asarray(item).dtype == np.bool_:
            made.append(item)
            axis += np_axes_taken(item)
        else:
            part = np.take(part, int(item), axis)
    where = part[tuple(made)]
    given = np.asarray(value)
    while given.ndim > where.ndim:
        given = given[0]
    given = np.broadcast_to(given.astype(x.dtype), where.shape)
    for place in np.ndindex(where.shape):
        old = out.reshape(-1)[where[place]]
        out.reshape(-1)[where[place]] = given[place] if how == "set" else old + given[place]
    return out


def _np_index_put(x: np.ndarray, indices: Sequence[Any], values: np.ndarray, accumulate: bool = False) -> np.ndarray:
    return _np_setitem(x, [WHOLE if i is None else i for i in indices], values, "add" if accumulate else "set")


def _np_masked_scatter(x: np.ndarray, mask: np.ndarray, source: np.ndarray) -> np.ndarray:
    out, where = (np.array(v, order="C") for v in np.broadcast_arrays(x, mask))
    out[where] = source.reshape(-1)[: where.sum()]
    return out


MASK = np.array([[True, False, True, False], [False, False, False, False], [True, True, False, True]])


def _set_samples(dtype: str) -> list[Sample]:
    make = _make(dtype)
    return [
        Sample((make(3, 4), (1,), 2)),
        Sample((make(3, 4), (("ellipsis",), -1), make(3))),
        Sample((make(3, 19), (("slice", 1, None, None),), make(19))),
        Sample((make(5, 7), (("slice", None, None, 2), ("slice", 1, -1, 3)), make(3, 2))),
        Sample((make(3, 4), (("ellipsis",),), make(4))),
        Sample((make(3, 4), (("newaxis",), ("slice", None, 2, None), 2), make(1, 1))),
        Sample((make(3, 4), (("slice", 2, 1, None),), 1)),
        Sample((make(5, 4), (places(3, -4, 0),), make(3, 4))),
        Sample((make(3, 4, 5), (("slice", None, None, None), places(2, -3, 0), ("slice", 1, None, 2)), make(3, 2))),
        Sample((make(3, 4, 5), (places([0], [2]), ("slice", None, 3, None), places(2, 4)), make(2, 1, 1))),
        Sample((make(3, 4, 5), (0, ("slice", None, 3, None), places(2, 4)), make(3, 2))),
        Sample((make(3, 4, 5), (np.array(1), ("slice", None, 3, None), np.array([-1, 0], np.int32)), 3)),
        Sample((make(), (("ellipsis",),), 3)),
        Sample((make(3, 4), (MASK,), 2)),
        Sample((make(3, 4), (np.array([True, False, True]),), make(1, 4))),
        Sample((make(3, 4), (np.array([True, False, True]),), make(2, 4))),
        Sample((make(3, 4), (MASK,), make(5))),
        Sample((make(3, 4), (("slice", 1, None, None), np.array([True, False, True, False])), make(2, 1))),
        Sample((make(2, 3, 4), (0, MASK), 1)),
    ]


def _op(name: str, schema: str, decompose: Any, reference: Any, samples: Any, overloads: str = "default") -> Op:
    return composite(name, schema, overloads, decompose, reference, samples, dtypes=EVERY, tolerance=EXACT)


ASSIGNMENT: list[Op] = [
    _op(
        "unmoor::setitem",
        "(Tensor self, any items, Tensor value) -> Tensor",
        assign,
        _np_setitem,
        _set_samples,
        "",
    ),
    _op(
        "aten::index_put",
        "(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
        index_put,
        _np_index_put,
        lambda d: [
            Sample((_make(d)(3, 4), (places(1, -1),), _make(d)(2, 4))),
            Sample((_make(d)(3, 4), (None, places(1, -1)), _make(d)())),
            Sample((_make(d)(3, 4), (MASK,), _make(d)())),
            *([Sample((_make(d)(3, 4), (places(1, 1, 2),), _make(d)(4), True))] if d != "bool" else []),
            *([Sample((_make(d)(3, 4), (places(1, 1), places(2, 2)), _make(d)(2), True))] if d != "bool" else []),
        ],
    ),
    _op(
        "aten::masked_fill",
        "(Tensor self, Tensor mask, Tensor value) -> Tensor",
        masked_fill,
        lambda x, m, v: np.where(m, np.asarray(v).astype(x.dtype), x),
        lambda d: [
            Sample((_make(d)(2, 3), np.array([True, False, True]), -1.0 if d in FLOATS else 1)),
            Sample((_make(d)(3), np.array([[True, False, True]] * 2), _make(d)())),
        ],
        "Scalar Tensor",
    ),
    _op(
        "aten::masked_scatter",
        "(Tensor self, Tensor mask, Tensor source) -> Tensor",
        masked_scatter,
        _np_masked_scatter,
        lambda d: [
            Sample((_make(d)(3, 4), MASK, _make(d)(7))),
            Sample((_make(d)(2, 3), np.array([True, False, True]), _make(d)(2, 2))),
            Sample((_make(d)(3), np.zeros(3, np.bool_), _make(d)(0))),
        ],
    ),
    _op(
        "aten::slice_scatter",
        "(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor",
        slice_scatter,
        lambda x, s, d=0, start=None, end=None, step=1: _np_setitem(
            x, (*(WHOLE,) * (d % x.ndim), ("slice", start, end, step)), s
        ),
        lambda d: [
            Sample((_make(d)(5, 4), _make(d)(2, 4), 0, 1, 4, 2)),
            Sample((_make(d)(5, 4), _make(d)(5, 2), 1, -2, None)),
        ],
    ),
    _op(
        "aten::select_scatter",
        "(Tensor self, Tensor src, int dim, int index) -> Tensor",
        select_scatter,
        lambda x, s, d, i: _np_setitem(x, (*(WHOLE,) * (d % x.ndim), i), s),
        lambda d: [Sample((_make(d)(5, 4), _make(d)(5), 1, -1)), Sample((_make(d)(5), _make(d)(), 0, 2))],
    ),
]
