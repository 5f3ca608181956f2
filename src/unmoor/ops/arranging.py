"""Arrangements: views and joins that PyTorch names, as compositions of the core ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unmoor.dtypes import i64, promote
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import dim as as_dim
from unmoor.ir.dim import dmin
from unmoor.ir.op import Op, Tolerance
from unmoor.ops.family import EXACT, axis_of, broadcast
from unmoor.ops.formula import NEAR, Aten, formula
from unmoor.ops.samples import Ints

X, CUBE = Ints(3, 4), Ints(2, 4, 6)
LISTS = "(Tensor[] tensors) -> Tensor"


def _op(
    name: str,
    schema: str,
    meaning: Callable[..., Any],
    *samples: Any,
    overloads: str = "default",
    tolerance: Tolerance = EXACT,
) -> Op:
    dtypes = ("f32", "i64", "bool") if tolerance is EXACT else ("f32", "i64")
    return formula(name, schema, meaning, *samples, overloads=overloads, dtypes=dtypes, tolerance=tolerance)


def atleast(rank: int) -> Callable[[Aten, Any], Any]:
    """A tensor with axes of size 1 added as NumPy's atleast_1d, _2d and _3d add them."""

    def meaning(aten: Aten, x: Any) -> Any:
        shape = aten.shape(x)
        if len(shape) >= rank:
            return x
        if rank < 3:
            return aten.reshape(x, (*(1 for _ in range(rank - len(shape))), *shape))
        return aten.reshape(x, (1, *shape, 1) if len(shape) == 1 else (*shape, 1) if shape else (1, 1, 1))

    return meaning


def _joined(rank: int, axis: int) -> Callable[..., Any]:
    def meaning(aten: Aten, tensors: Sequence[Any]) -> Any:
        return aten.cat(tuple(atleast(rank)(aten, t) for t in tensors), axis)

    return meaning


def _hstack(aten: Aten, tensors: Sequence[Any]) -> Any:
    parts = tuple(atleast(1)(aten, t) for t in tensors)
    return aten.cat(parts, 0 if aten.rank(parts[0]) == 1 else 1)


def _column_stack(aten: Aten, tensors: Sequence[Any]) -> Any:
    return _hstack(aten, [aten.reshape(t, (-1, 1)) if aten.rank(t) < 2 else t for t in tensors])


def _block_diag(aten: Aten, tensors: Sequence[Any]) -> Any:
    blocks = [atleast(2)(aten, t) for t in tensors]
    dtype = aten.type_of(blocks[0]).dtype
    for t in blocks[1:]:
        dtype = promote(dtype, aten.type_of(t).dtype)
    total = sum((aten.shape(t)[1] for t in blocks[1:]), aten.shape(blocks[0])[1])
    rows, before = [], as_dim(0)
    for t in blocks:
        width = aten.shape(t)[1]
        rows.append(aten.constant_pad_nd(aten.cast(t, dtype), (before, total - before - width), 0))
        before = before + width
    return aten.cat(tuple(rows), 0)


def _meshgrid(aten: Aten, tensors: Sequence[Any], indexing: str) -> tuple[Any, ...]:
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    sizes = [aten.type_of(tensors[k]).numel for k in order]
    grids: list[Any] = [None] * len(order)
    for place, k in enumerate(order):
        shape = tuple(sizes[place] if a == place else 1 for a in range(len(order)))
        grids[k] = aten.expand(aten.reshape(tensors[k], shape), tuple(sizes))
    return tuple(grids)


def _cartesian(aten: Aten, tensors: Sequence[Any]) -> Any:
    if len(tensors) == 1:
        return tensors[0]
    return aten.stack(tuple(aten.reshape(g, (-1,)) for g in _meshgrid(aten, tensors, "ij")), 1)


def _broadcast_tensors(aten: Aten, tensors: Sequence[Any]) -> tuple[Any, ...]:
    shape = broadcast(aten.facts, [aten.shape(t) for t in tensors])
    return tuple(t if aten.shape(t) == shape else aten.expand(t, shape) for t in tensors)


def _tile(aten: Aten, x: Any, dims: Sequence[Any]) -> Any:
    return aten.repeat(x, (*(1 for _ in range(aten.rank(x) - len(dims))), *dims))


def _rot90(aten: Aten, x: Any, k: int, dims: Sequence[int]) -> Any:
    first, second = (axis_of(d, aten.rank(x)) for d in dims)
    if k % 4 == 2:
        return aten.flip(x, (first, second))
    if k % 4 == 0:
        return x
    turned = aten.transpose(x, first, second)
    return aten.flip(turned, (first if k % 4 == 1 else second,))


def diagonal(aten: Aten, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """x[..., k, k + offset] for all k, as a last axis: every (columns + 1)-th element of the flattened matrices."""
    i, j = axis_of(dim1, aten.rank(x)), axis_of(dim2, aten.rank(x))
    if i == j:
        raise SignatureError("diagonal needs two different dims")
    rest = [a for a in range(aten.rank(x)) if a not in (i, j)]
    moved = aten.permute(x, (*rest, i, j))
    *batch, rows, columns = aten.shape(moved)
    top, left = max(-offset, 0), max(offset, 0)
    if not (aten.facts.at_most(top + 1, rows) and aten.facts.at_most(left + 1, columns)):
        return aten.new_zeros(x, (*batch, 0), None)
    high, wide = rows - top, columns - left
    length = high if aten.facts.at_most(high, wide) else wide
    flat = aten.reshape(moved, (*batch, rows * columns))
    axis, start = len(batch), columns * top + left
    width = aten.facts.int_of(columns)
    return aten.builder.emit("prim::slice", flat, axis, start, width + 1, length)


def diag_embed(aten: Aten, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """Matrices of zeros with the last axis on a diagonal."""
    rank = aten.rank(x) + 1
    i, j = axis_of(dim1, rank), axis_of(dim2, rank)
    if i == j:
        raise SignatureError("diag_embed needs two different dims")
    size = aten.shape(x)[-1] + abs(offset)
    rows = aten.reshape(aten.builder.emit("prim::iota", size), (size, 1))
    here = aten.eq(aten.sub(aten.builder.emit("prim::iota", size), rows), offset)
    padded = aten.constant_pad_nd(x, (max(offset, 0), max(-offset, 0)), 0)
    values = aten.unsqueeze(padded, -2)  # element at column c
    made = aten.cast(aten.where(here, values, 0), aten.type_of(x).dtype)
    order = [a for a in range(rank - 2)]
    for place, axis in sorted(((i, rank - 2), (j, rank - 1))):
        order.insert(place, axis)
    return aten.permute(made, tuple(order))


def _diag(aten: Aten, x: Any, offset: int) -> Any:
    return diagonal(aten, x, offset, 0, 1) if aten.rank(x) == 2 else diag_embed(aten, x, offset, 0, 1)


def _diagonal_scatter(aten: Aten, x: Any, src: Any, offset: int, dim1: int, dim2: int) -> Any:
    i, j = axis_of(dim1, aten.rank(x)), axis_of(dim2, aten.rank(x))
    rows, columns = aten.shape(x)[i], aten.shape(x)[j]
    top, left = max(-offset, 0), max(offset, 0)
    length = aten.shape(src)[-1]
    placed = aten.diag_embed(aten.cast(src, aten.type_of(x).dtype), 0, i, j)
    pads: list[Any] = [0, 0] * aten.rank(x)
    for axis, before, size in ((i, top, rows), (j, left, columns)):
        place = 2 * (aten.rank(x) - 1 - axis)
        pads[place : place + 2] = [before, size - length - before]
    placed = aten.constant_pad_nd(placed, tuple(pads), 0)
    shape = [1] * aten.rank(x)
    numbers = []
    for axis, size in ((i, rows), (j, columns)):
        numbers.append(aten.reshape(aten.builder.emit("prim::iota", size), (*shape[:axis], size, *shape[axis + 1 :])))
    here = aten.eq(aten.sub(numbers[1], numbers[0]), offset)
    return aten.where(here, placed, x)


def _pieces(aten: Aten, x: Any, indices: Sequence[Any], axis: int) -> tuple[Any, ...]:
    parts, start = [], 0
    for end in (*indices, None):
        parts.append(aten.slice(x, axis, start, end))
        start = end
    return tuple(parts)


def _sections(aten: Aten, x: Any, sections: int, axis: int) -> tuple[Any, ...]:
    """The first (size mod sections) pieces are one longer."""
    size = aten.shape(x)[axis_of(axis, aten.rank(x))]
    each, longer = size // sections, size % sections
    return _pieces(aten, x, [each * k + dmin(longer, k) for k in range(1, sections)], axis)


def tensor_split(aten: Aten, x: Any, sections: Any, indices: Any, axis: int) -> tuple[Any, ...]:
    """Pieces by their number, or by the places between them."""
    return _pieces(aten, x, indices, axis) if sections is None else _sections(aten, x, sections, axis)


def _split_along(place: int) -> Callable[..., Any]:
    def meaning(aten: Aten, x: Any, sections: Any, indices: Any) -> tuple[Any, ...]:
        axis = 0 if place == 1 and aten.rank(x) == 1 else place
        if sections is not None and not aten.facts.equal(aten.shape(x)[axis] % sections, 0):
            raise SignatureError(f"size {aten.shape(x)[axis]} does not divide into {sections} pieces")
        return tensor_split(aten, x, sections, indices, axis)

    return meaning


def sum_to_size(aten: Aten, x: Any, size: Sequence[Any]) -> Any:
    """What broadcasting from `size` repeated, summed."""
    if not size:
        return aten.sum(x)
    front = aten.rank(x) - len(size)
    axes = tuple(range(front))
    axes += tuple(a + front for a, d in enumerate(size) if as_dim(d) == 1 and aten.shape(x)[a + front] != 1)
    made = aten.sum(x, axes, True) if axes else x
    return aten.reshape(made, tuple(size))


def _shift(forward: bool) -> Callable[..., Any]:
    def meaning(aten: Aten, x: Any, dims: Sequence[int] | None) -> Any:
        axes = tuple(range(aten.rank(x))) if dims is None else tuple(axis_of(d, aten.rank(x)) for d in dims)
        for a in axes:
            size = aten.shape(x)[a]
            x = aten.roll(x, (size // 2 if forward else (size + 1) // 2,), (a,))
        return x

    return meaning


def _repeat_each(aten: Aten, x: Any, repeats: Any, axis: int | None, total: Any) -> Any:
    """Each element (or slice) `repeats` times in a row."""
    if axis is None:
        x, axis = aten.reshape(x, (-1,)), 0
    a = axis_of(axis, aten.rank(x))
    shape = aten.shape(x)
    if total is not None and not aten.facts.equal(total, shape[a] * repeats):
        raise SignatureError("repeat_interleave: output_size is not the size times the repeats")
    wide = aten.expand(aten.unsqueeze(x, a + 1), (*shape[: a + 1], repeats, *shape[a + 1 :]))
    return aten.reshape(wide, (*shape[:a], shape[a] * repeats, *shape[a + 1 :]))


def _trace(aten: Aten, x: Any) -> Any:
    return aten.sum(diagonal(aten, x, 0, 0, 1))


def _vander(aten: Aten, x: Any, n: Any) -> Any:
    x = aten.reshape(x, (1,)) if not aten.rank(x) else x
    count = aten.shape(x)[-1] if n is None else n
    x = aten.cast(x, i64) if not aten.is_float(x) else x
    columns, power = [], aten.ones_like(x)
    for _ in range(aten.facts.int_of(count)):
        columns.append(power)
        power = aten.mul(power, x)
    return aten.stack(tuple(columns), -1)


def _swap(aten: Aten, x: Any, a: int, b: int) -> Any:
    return aten.transpose(x, a, b)


SPLIT = "(Tensor self, int? sections=None, int[]? indices=None) -> Tensor[]"
DIAGONAL = "(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor"


def _combinations(aten: Aten, x: Any, r: int, again: bool) -> Any:
    """The pairs of a row's elements, in order; alone where r is 1."""
    if r == 1:
        return aten.reshape(x, (-1, 1))
    if r != 2 or aten.rank(x) != 1:
        raise Unsupported(f"combinations of {r} elements: only pairs of a row's elements are supported")
    count = aten.shape(x)[0]
    pairs = aten.triu_indices(count, count, 0 if again else 1)
    return aten.transpose(aten.builder.emit("prim::take", x, (pairs,), (0,), 0), 0, 1)


ARRANGING: list[Op] = [
    *(_op(f"atleast_{n}d", "(Tensor self) -> Tensor", atleast(n), (X,), (Ints(4),)) for n in (1, 2, 3)),
    _op("hstack", LISTS, _hstack, ((X, Ints(3, 2)),)),
    _op("vstack", LISTS, _joined(2, 0), ((X, Ints(4)),), overloads="default row_stack.default"),
    _op("dstack", LISTS, _joined(3, 2), ((X, X),)),
    _op("column_stack", LISTS, _column_stack, ((X, Ints(3)),)),
    _op("block_diag", LISTS, _block_diag, ((X, Ints(2, 2)),)),
    _op(
        "meshgrid",
        "(Tensor[] tensors, *, str indexing='ij') -> Tensor[]",
        _meshgrid,
        ((Ints(3), Ints(2)), "xy"),
        overloads="indexing default",
    ),
    _op("cartesian_prod", LISTS, _cartesian, ((Ints(3), Ints(2)),)),
    _op("broadcast_tensors", "(Tensor[] tensors) -> Tensor[]", _broadcast_tensors, ((X, Ints(4)),)),
    _op("broadcast_to", "(Tensor self, int[] size) -> Tensor", lambda aten, x, s: aten.expand(x, s), (X, (2, 3, 4))),
    *(
        _op(
            name,
            "(Tensor self, Tensor other) -> Tensor",
            lambda aten, x, o: aten.reshape(x, aten.shape(o)),
            (X, Ints(2, 6)),
        )
        for name in ("view_as", "reshape_as")
    ),
    _op("ravel", "(Tensor self) -> Tensor", lambda aten, x: aten.reshape(x, (-1,)), (X,)),
    _op("tile", "(Tensor self, int[] dims) -> Tensor", _tile, (X, (2,))),
    _op("rot90", "(Tensor self, int k=1, int[] dims=[0, 1]) -> Tensor", _rot90, *((X, k) for k in (1, 2, 3))),
    _op("fliplr", "(Tensor self) -> Tensor", lambda aten, x: aten.flip(x, (1,)), (X,)),
    _op("flipud", "(Tensor self) -> Tensor", lambda aten, x: aten.flip(x, (0,)), (X,)),
    _op("diagonal", DIAGONAL, diagonal, (CUBE, 1, 0, 2), (X, -1), overloads="default diagonal_copy.default"),
    _op("linalg_diagonal", "(Tensor A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor", diagonal, (CUBE,)),
    _op("diag", "(Tensor self, int diagonal=0) -> Tensor", _diag, (X, 1), (Ints(3), -1)),
    _op(
        "diag_embed", "(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor", diag_embed, (X, 1), (X, -1, 0)
    ),
    _op(
        "diagflat",
        "(Tensor self, int offset=0) -> Tensor",
        lambda aten, x, offset: diag_embed(aten, aten.reshape(x, (-1,)), offset, 0, 1),
        (Ints(2, 2), 1),
    ),
    _op(
        "diagonal_scatter",
        "(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor",
        _diagonal_scatter,
        (X, Ints(3), 1),
    ),
    _op(
        "tensor_split",
        "(Tensor self, int? sections=None, int[]? indices=None, int dim=0) -> Tensor[]",
        tensor_split,
        (X, 2),
        (CUBE, None, (1, 3), 2),
        overloads="sections indices",
    ),
    *(_op(f"{n}split", SPLIT, _split_along(k), (CUBE, 2), overloads="int array") for k, n in enumerate("vhd")),
    _op("sum_to_size", "(Tensor self, int[] size) -> Tensor", sum_to_size, (Ints(3, 4), (3, 1)), tolerance=NEAR),
    _op("fft_fftshift", "(Tensor self, int[]? dim=None) -> Tensor", _shift(True), (Ints(3, 4),)),
    _op("fft_ifftshift", "(Tensor self, int[]? dim=None) -> Tensor", _shift(False), (Ints(3, 4),)),
    _op(
        "repeat_interleave",
        "(Tensor self, int repeats, int? dim=None, *, int? output_size=None) -> Tensor",
        _repeat_each,
        (X, 2),
        (X, 3, 1),
        overloads="self_int",
    ),
    _op("trace", "(Tensor self) -> Tensor", _trace, (X,), tolerance=NEAR),
    _op(
        "vander",
        "(Tensor x, int? N=None, bool increasing=False) -> Tensor",
        lambda aten, x, n, up: aten.linalg_vander(x, n) if up else aten.flip(aten.linalg_vander(x, n), (1,)),
        (Ints(4), 3),
        tolerance=NEAR,
    ),
    _op("combinations", "(Tensor self, int r=2, bool with_replacement=False) -> Tensor", _combinations, (Ints(4),)),
    _op("linalg_vander", "(Tensor x, *, int? N=None) -> Tensor", _vander, (X, 3), tolerance=NEAR),
    _op("swapaxes", "(Tensor self, int axis0, int axis1) -> Tensor", _swap, (X, 0, 1)),
    _op("swapdims", "(Tensor self, int dim0, int dim1) -> Tensor", _swap, (X, 0, 1)),
    _op(
        "mH",
        "(Tensor self) -> Tensor",
        lambda aten, x: aten.transpose(x, -2, -1),
        (X,),
        overloads="default adjoint.default matrix_H.default",
    ),
]
