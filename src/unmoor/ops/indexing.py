"""Reads at places that data names: the core op `prim::take`, and PyTorch's gathers and look-ups made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import bool_, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, Facts, Kind, Op, Sample
from unmoor.ir.types import TensorType
from unmoor.ops.family import EVERY, EXACT, FLOATS, axis_of, broadcast, composite
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema
from unmoor.ops.slicing import select, slice_
from unmoor.ops.view import expand, reshape, unsqueeze

OUT_OF_RANGE = "index out of range in self"


def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


def places(*values: Any) -> np.ndarray:
    """An index tensor for samples."""
    return np.array(values, np.int64)


# -- the core op ----------------------------------------------------------------------------------
def taken_shape(shape: Sequence[Dim], axes: Sequence[int], at: int, found: Sequence[Dim]) -> tuple[Dim, ...]:
    """The shape with `axes` gone and the indices' shape `found` put before the axis `at` of those that are left."""
    rest = [d for a, d in enumerate(shape) if a not in axes]
    return (*rest[:at], *found, *rest[at:])


def _ints(dims: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(str(d)) for d in dims)


def _take_infer(facts: Facts, x: TensorType, indices: Sequence[TensorType], axes: Any, at: Any) -> TensorType:
    return TensorType(x.dtype, taken_shape(x.shape, _ints(axes), int(str(at)), indices[0].shape))


def _np_take(x: np.ndarray, indices: Sequence[np.ndarray], axes: Sequence[int], at: int) -> np.ndarray:
    front = np.moveaxis(x, axes, range(len(axes)))
    found = front[tuple(clamped(i, x.shape[a]) for i, a in zip(indices, axes, strict=True))]
    rank = indices[0].ndim
    return np.asarray(np.moveaxis(found, range(rank), range(at, at + rank)))


def clamped(index: np.ndarray, size: int) -> np.ndarray:
    """Indices as kernels use them: negative ones from the end, then within 0 .. size-1."""
    wide = np.asarray(index).astype(np.int64)
    return np.asarray(np.clip(np.where(wide < 0, wide + size, wide), 0, size - 1))


TAKE = Op(
    "prim::take",
    parse_schema("(Tensor self, Tensor[] indices, int[] axes, int at) -> Tensor"),
    Kind.INDEX,
    _take_infer,
    _np_take,
    (),
    lambda d: [
        Sample((_make(d)(5, 4), (places(0, 4, -1, 2),), (0,), 0)),
        Sample((_make(d)(5, 4), (places([1, 3], [-4, 0]),), (1,), 1)),
        Sample((_make(d)(3, 4, 5), (places(0, 2, 1), places(4, 4, -5)), (0, 2), 1)),
        Sample((_make(d)(37), (places(*range(36, -1, -1)),), (0,), 0)),
    ],
    EXACT,
    lower=True,
    dtypes=EVERY,
    doc="The elements at `indices` (integer tensors of one shape) along `axes`, each along the other axes whole. The "
    "indices' axes stand before the axis `at` of those that are left. Negative indices count from the end; others "
    "out of range are clamped: guards of the program refuse them.",
)


def check_range(b: Builder, index: Any, size: Dim, message: str, negative: bool = False) -> None:
    """Guards that all indices lie in 0 .. size-1 (or from -size, counted from the end), unless their making says so."""
    type_ = b.type_of(index)
    if type_.numel == 0:
        return
    span = b.span(index)
    if b.facts.is_found(size) and span is not None and span == (const(0), size):
        return
    if (
        not b.facts.is_found(size)
        and span is not None
        and b.facts.at_most(-size if negative else 0, span[0])
        and b.facts.at_most(span[1], size)
    ):
        return
    low = b.emit("aten::ge", index, -size if negative else 0)
    inside = b.emit("aten::logical_and", low, b.emit("aten::lt", index, size))
    axes = tuple(range(type_.rank))
    b.guard(b.emit("prim::all", inside, axes, False) if axes else inside, True, message)


def some_place(b: Builder, index: Any, size: Dim) -> bool:
    """Whether an axis has elements that an index may name, or the index names none where there are none."""
    return b.facts.is_found(size) or b.span(index) == (const(0), size) or b.facts.at_most(1, size)


def take(b: Builder, x: Any, indices: Sequence[Any], axes: Sequence[int], at: int) -> Any:
    """prim::take with indices that are broadcast together; of an axis without elements nothing can be taken."""
    type_ = b.type_of(x)
    for index in indices:
        if b.type_of(index).dtype.is_float or b.type_of(index).dtype is bool_:
            raise SignatureError(f"indices must be integers, not {b.type_of(index).dtype.torch_name}")
    shape = broadcast(b.facts, [b.type_of(i).shape for i in indices])
    if not all(some_place(b, i, type_.shape[a]) for i, a in zip(indices, axes, strict=True)):
        if not b.facts.equal(product(shape), 0):
            raise SignatureError(f"index out of range: {type_} has no elements along an indexed dim")
        return b.emit("prim::full", taken_shape(type_.shape, axes, at, shape), False, type_.dtype)
    wide = tuple(i if b.type_of(i).shape == shape else expand(b, i, shape) for i in indices)
    return b.emit("prim::take", x, wide, tuple(axes), at)


# -- one axis -------------------------------------------------------------------------------------
def embedding(b: Builder, weight: Any, indices: Any, padding: int, scale: bool, sparse: bool) -> Any:
    """The rows of a table at some indices. (padding_idx matters only to gradients.)"""
    rows = b.type_of(weight).shape[0]
    check_range(b, indices, rows, OUT_OF_RANGE)
    return take(b, weight, (indices,), (0,), 0)


def index_select(b: Builder, x: Any, axis: int, index: Any) -> Any:
    """The slices along an axis at some indices."""
    type_ = b.type_of(x)
    a = axis_of(axis, type_.rank)
    if b.type_of(index).rank > 1:
        raise SignatureError("index_select needs an index of one dim")
    if not b.type_of(index).rank:
        index = b.emit("prim::reshape", index, (1,))
    source = x if type_.rank else b.emit("prim::reshape", x, (1,))
    check_range(b, index, b.type_of(source).shape[a], OUT_OF_RANGE)
    made = take(b, source, (index,), (a,), a)
    return made if type_.rank else b.emit("prim::reshape", made, ())


def take_flat(b: Builder, x: Any, index: Any) -> Any:
    """The elements at places in the tensor as one row."""
    count = b.type_of(x).numel
    check_range(b, index, count, "out of range: an index lies outside the tensor", negative=True)
    return take(b, b.emit("prim::reshape", x, (count,)), (index,), (0,), 0)


def gather(b: Builder, x: Any, axis: int, index: Any, sparse: bool = False) -> Any:
    """out[i][j] = x[index[i][j]][j], for axis 0; the index may be smaller than the tensor along the other axes."""
    source, wanted = b.type_of(x), b.type_of(index)
    if wanted.numel == 0:
        return b.emit("prim::full", wanted.shape, False, source.dtype)
    if not wanted.rank:
        index = b.emit("prim::reshape", index, (1,))
    if not source.rank:
        x = b.emit("prim::reshape", x, (1,))
    place = along(b, x, axis, index)
    made = take(b, place[0], place[1], tuple(range(len(place[1]))), 0)
    return made if wanted.rank else b.emit("prim::reshape", made, ())


def along(b: Builder, x: Any, axis: int, index: Any) -> tuple[Any, tuple[Any, ...]]:
    """What gather reads: the tensor cut to the index's sizes along the other axes, and an index for every axis."""
    shape, wanted = b.type_of(x).shape, b.type_of(index).shape
    if len(shape) != len(wanted):
        raise SignatureError(f"the index has {len(wanted)} dims, and the tensor {len(shape)}")
    axis = axis_of(axis, len(shape))
    check_range(b, index, shape[axis], f"index is out of bounds for dimension {axis}{with_size(shape[axis])}")
    indices = []
    for a, d in enumerate(wanted):
        if a == axis:
            indices.append(index)
            continue
        if d != shape[a] and not b.facts.at_most(d, shape[a]):
            raise SignatureError(f"the index has size {d} along dim {a}, and the tensor {shape[a]}")
        x = slice_(b, x, a, 0, d, 1)
        indices.append(counting(b, a, wanted))
    return x, tuple(indices)


def counting(b: Builder, axis: int, shape: Sequence[Dim]) -> Any:
    """0, 1, ... along one axis of a shape."""
    one = tuple(d if a == axis else const(1) for a, d in enumerate(shape))
    return b.emit("prim::expand", b.emit("prim::reshape", b.emit("prim::iota", shape[axis]), one), tuple(shape))


def with_size(size: Dim) -> str:
    """The end of a message that names a size, where it is a number."""
    return f" with size {size}" if size.is_const else ""


def take_along_dim(b: Builder, x: Any, index: Any, axis: int | None) -> Any:
    """gather with tensor and index broadcast along the other axes; without an axis, of both as one row."""
    if axis is None:
        return gather(b, reshape(b, x, (-1,)), 0, reshape(b, index, (-1,)))
    source, wanted = b.type_of(x).shape, b.type_of(index).shape
    if len(source) != len(wanted):
        raise SignatureError(
            f"take_along_dim needs tensor and index of equal rank, not {len(source)} and {len(wanted)}"
        )
    a = axis_of(axis, len(source))
    common = broadcast(b.facts, [(*s[:a], const(1), *s[a + 1 :]) for s in (source, wanted)])

    def wide(v: Any, own: Dim) -> Any:
        return expand(b, v, (*common[:a], own, *common[a + 1 :]))

    return gather(b, wide(x, source[a]), a, wide(index, wanted[a]))


def one_hot(b: Builder, x: Any, classes: int) -> Any:
    """A new last axis with 1 at the class and 0 elsewhere."""
    if isinstance(classes, int) and classes < 0:
        raise Unsupported("one_hot without num_classes has a result whose size depends on data: give num_classes")
    message = "one_hot takes class values of at least 0 and smaller than num_classes"
    check_range(b, x, dim(classes), message)
    last = unsqueeze(b, x, -1)
    return b.emit("prim::cast", b.emit("aten::eq", last, b.emit("prim::iota", classes)), i64)


# -- advanced indexing ----------------------------------------------------------------------------
def advanced(b: Builder, x: Any, indices: dict[int, Any]) -> Any:
    """x indexed by integer tensors along some axes, NumPy's rule for where the found axes stand."""
    if not indices:
        return x
    axes, at = placement(indices)
    shape = b.type_of(x).shape
    for a in axes:
        where = f"dimension {a}{with_size(shape[a])}"
        check_range(b, indices[a], shape[a], f"index is out of bounds for {where}", negative=True)
    return take(b, x, tuple(indices[a] for a in axes), axes, at)


def placement(indices: dict[int, Any]) -> tuple[tuple[int, ...], int]:
    """The indexed axes, and where the found ones stand: at the first where all are neighbours, else in front."""
    axes = tuple(sorted(indices))
    together = axes == tuple(range(axes[0], axes[0] + len(axes)))
    return axes, axes[0] if together else 0


def viewed(b: Builder, x: Any, items: Sequence[Any]) -> tuple[Any, dict[int, Any]]:
    """x[items] as far as numbers, slices, None and an ellipsis go, and the index tensors for axes of the result."""
    taken = sum(_axes_taken(b, i) for i in items)
    rest = b.type_of(x).rank - taken
    if rest < 0:
        raise SignatureError(f"too many indices for a tensor of rank {b.type_of(x).rank}")
    axis, indices = 0, dict[int, Any]()
    for item in items:
        if isinstance(item, tuple):
            what, *bounds = item
            if what == "ellipsis":
                axis += rest
                continue
            x = (
                unsqueeze(b, x, axis)
                if what == "newaxis"
                else slice_(b, x, axis, bounds[0], bounds[1], 1 if bounds[2] is None else bounds[2])
            )
        elif isinstance(item, int | Dim):
            x = select(b, x, axis, item)
            continue
        elif b.type_of(item).dtype is bool_:
            x, indices[axis] = through_mask(b, x, item, axis)
        else:
            indices[axis] = item
        axis += 1
    return x, indices


def _axes_taken(b: Builder, item: Any) -> int:
    """How many axes of a tensor an item stands for, an ellipsis aside."""
    if isinstance(item, tuple):
        return int(item[0] == "slice")
    return 1 if isinstance(item, int | Dim) or b.type_of(item).dtype is not bool_ else b.type_of(item).rank


def through_mask(b: Builder, x: Any, mask: Any, axis: int) -> tuple[Any, Any]:
    """The tensor with the axes that a mask covers as one, of no axes a new one, and the places where the mask holds."""
    shape, wide = b.type_of(x).shape, b.type_of(mask).shape
    covered = shape[axis : axis + len(wide)]
    if len(covered) < len(wide) or not all(b.facts.equal(d, e) for d, e in zip(wide, covered, strict=True)):
        raise SignatureError(f"a mask of shape {list(wide)} does not fit {b.type_of(x)} at dim {axis}")
    if len(wide) != 1:
        x = b.emit("prim::reshape", x, (*shape[:axis], product(wide), *shape[axis + len(wide) :]))
        mask = b.emit("prim::reshape", mask, (product(wide),))
    return x, b.places(mask)


def getitem(b: Builder, x: Any, items: Sequence[Any]) -> Any:
    """x[items] for integers, slices, None, an ellipsis, masks and integer tensors; a 0-dim one counts as an integer."""
    x, indices = viewed(b, x, items)
    for axis in sorted(indices, reverse=True):
        if not b.type_of(indices[axis]).rank:
            x = advanced(b, x, {axis: indices.pop(axis)})
            indices = {a - (a > axis): i for a, i in indices.items()}
    return advanced(b, x, indices)


def index(b: Builder, x: Any, indices: Sequence[Any]) -> Any:
    """x[indices], with None for an axis that stays whole."""
    x, places = viewed(b, x, tuple(("slice", None, None, None) if i is None else i for i in indices))
    return advanced(b, x, places)


def np_axes_taken(item: Any) -> int:
    """How many axes of an array an item stands for, an ellipsis aside."""
    if isinstance(item, tuple):
        return int(item[0] == "slice")
    return int(np.ndim(item)) if np.asarray(item).dtype == np.bool_ else 1


def _np_getitem(x: np.ndarray, items: Sequence[Any]) -> np.ndarray:
    """Numbers, also as tensors of rank 0, go first: to PyTorch they are no advanced indices."""
    taken = sum(np_axes_taken(i) for i in items)
    made: list[Any] = []
    found, axis = x, 0
    for item in items:
        if isinstance(item, tuple) and item[0] == "ellipsis":
            made += [slice(None)] * (x.ndim - taken)
            axis += x.ndim - taken
        elif isinstance(item, tuple) and item[0] == "newaxis":
            made.append(None)
        elif isinstance(item, tuple):
            made.append(slice(*item[1:]))
            axis += 1
        elif np.ndim(item) or np.asarray(item).dtype == np.bool_:
            made.append(item)
            axis += np_axes_taken(item)
        else:
            found = np.take(found, int(item), axis)
    return np.asarray(np.asarray(found[tuple(made)]).copy())


def _np_index(x: np.ndarray, indices: Sequence[Any]) -> np.ndarray:
    return np.asarray(x[tuple(slice(None) if i is None else i for i in indices)])


def _np_gather(x: np.ndarray, axis: int, index: np.ndarray, sparse: bool = False) -> np.ndarray:
    if not index.ndim or not x.ndim:
        return np.asarray(x.reshape(-1)[index.reshape(-1)].reshape(index.shape))
    grid = np.ix_(*(range(n) for n in index.shape))
    return np.asarray(x[tuple(index if a == axis % x.ndim else g for a, g in enumerate(grid))])


def _np_take_along(x: np.ndarray, index: np.ndarray, axis: int | None) -> np.ndarray:
    return np.take_along_axis(x, index, axis)


def _np_one_hot(x: np.ndarray, classes: int) -> np.ndarray:
    return np.asarray((x[..., None] == np.arange(classes)).astype(np.int64))


def _op(name: str, schema: str, decompose: Any, reference: Any, samples: Any, overloads: str = "default") -> Op:
    return composite(name, schema, overloads, decompose, reference, samples, dtypes=EVERY, tolerance=EXACT)


INDEXING: list[Op] = [
    TAKE,
    _op(
        "aten::embedding",
        "(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False)"
        " -> Tensor",
        embedding,
        lambda w, i, *_: w[i],
        lambda d: [
            Sample((_make(d)(7, 5), places([0, 6, 3], [3, 3, 1]))),
            Sample((_make(d)(7, 5), np.array([1, 6], np.int32), 1)),
            Sample((_make(d)(7, 33), np.array(4))),
            Sample((_make(d)(7, 5), np.zeros((0, 2), np.int64))),
        ],
    ),
    _op(
        "aten::index_select",
        "(Tensor self, int dim, Tensor index) -> Tensor",
        index_select,
        lambda x, d, i: np.take(x, np.reshape(i, -1), d) if x.ndim else x,
        lambda d: [
            Sample((_make(d)(4, 5, 3), 1, places(4, 0, 0))),
            Sample((_make(d)(4, 5), -1, np.array([2], np.int32))),
            Sample((_make(d)(4), 0, np.array(3))),
            Sample((_make(d)(), 0, np.array(0))),
            Sample((_make(d)(0, 3), 1, places(2, 1))),
        ],
    ),
    _op(
        "aten::gather",
        "(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor",
        gather,
        _np_gather,
        lambda d: [
            Sample((_make(d)(4, 5), 1, places([0, 4], [2, 2], [1, 0]))),
            Sample((_make(d)(3, 19), 0, np.arange(38).reshape(2, 19) % 3)),
            Sample((_make(d)(3, 4, 5), -2, np.zeros((3, 2, 1), np.int64))),
            Sample((_make(d)(4), 0, np.array(3))),
            Sample((_make(d)(4, 5), 0, np.zeros((0, 5), np.int64))),
        ],
    ),
    _op(
        "aten::take_along_dim",
        "(Tensor self, Tensor indices, int? dim=None) -> Tensor",
        take_along_dim,
        _np_take_along,
        lambda d: [
            Sample((_make(d)(3, 4), places([1], [0], [3]), 1)),
            Sample((_make(d)(1, 4), places([1, 1], [0, 2], [3, 3]), 1)),
            Sample((_make(d)(3, 4), places(11, 5), None)),
        ],
    ),
    _op(
        "aten::take",
        "(Tensor self, Tensor index) -> Tensor",
        take_flat,
        lambda x, i: x.reshape(-1)[i],
        lambda d: [Sample((_make(d)(3, 4), places([1, -1], [11, 5]))), Sample((_make(d)(3), np.array(2)))],
    ),
    _op(
        "aten::index",
        "(Tensor self, Tensor?[] indices) -> Tensor",
        index,
        _np_index,
        lambda d: [
            Sample((_make(d)(3, 4), (places(1, -1),))),
            Sample((_make(d)(3, 4, 5), (None, places([1], [-1]), places(0, 4)))),
            Sample((_make(d)(3, 4, 5), (places(2, 0), None, places(0, 4)))),
        ],
        "Tensor",
    ),
    composite(
        "aten::one_hot",
        "(Tensor self, int num_classes=-1) -> Tensor",
        "default",
        one_hot,
        _np_one_hot,
        lambda d: [Sample((places([0, 4], [2, 2]), 5)), Sample((np.array(1), 3))],
        dtypes=("i64",),
        tolerance=EXACT,
    ),
    _op(
        "unmoor::getitem",
        "(Tensor self, any items) -> Tensor",
        getitem,
        _np_getitem,
        lambda d: [
            Sample((_make(d)(3, 4, 5), (1, ("ellipsis",), ("slice", 1, None, 2)))),
            Sample((_make(d)(3, 4), (("newaxis",), ("slice", None, -1, None), 2))),
            Sample((_make(d)(3, 4), (places(2, -3, 0),))),
            Sample((_make(d)(3, 4, 5), (("slice", None, None, None), places(2, -3, 0), ("slice", 1, None, 2)))),
            Sample((_make(d)(3, 4, 5), (places([0], [2]), ("slice", None, 3, None), places(2, 4)))),
            Sample((_make(d)(3, 4, 5), (0, ("slice", None, 3, None), places(2, 4)))),
            Sample((_make(d)(3, 4, 5), (("ellipsis",), places(3, 3), places([2], [4])))),
            Sample((_make(d)(3, 4, 5), (places(1, 2), ("newaxis",), places(3, 0)))),
            Sample((_make(d)(3, 4, 5), (np.array(1), ("slice", None, 3, None), np.array([-1, 0], np.int32)))),
            Sample((_make(d)(3, 4), (np.array(-1),))),
            Sample((_make(d)(3, 4), (np.zeros((0, 2), np.int64),))),
        ],
        "",
    ),
]
