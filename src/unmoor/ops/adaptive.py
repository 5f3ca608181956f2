"""Adaptive max pools, and the way back from a max pool: elements at the places that it named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.convolution import each_of
from unmoor.ops.family import EXACT, FLOATS, composite
from unmoor.ops.samples import Rand
from unmoor.ops.scatter import scatter


class _Axis:
    """The windows of one axis: [i * n // count, ceil((i + 1) * n / count)) for each i."""

    def __init__(self, b: Builder, size: Dim, count: Dim) -> None:
        self.b, self.size, self.count = b, size, count
        places = b.emit("prim::iota", count)
        self.start = b.emit("aten::floor_divide", b.emit("aten::mul", places, size), count)
        end = b.emit("aten::mul", b.emit("aten::add", places, 1), size)
        end = b.emit("aten::floor_divide", b.emit("aten::add", end, count - 1), count)
        self.last = b.emit("aten::sub", end, 1)
        self.longest = _longest(size, count)

    def place(self, tap: Any, axes_after: int) -> Any:
        """Where on the axis a tap of each window lies; taps beyond a window's end are its last."""
        b = self.b
        shape = (self.count, *(const(1) for _ in range(axes_after)))
        start, last = (b.emit("prim::reshape", v, shape) for v in (self.start, self.last))
        return b.emit("aten::minimum", b.emit("aten::add", start, tap), last)


def _longest(size: Dim, count: Dim) -> Dim:
    """How many elements the longest window has; one more may be told where sizes are symbols."""
    if size.is_const and count.is_const:
        n, c = size.value, count.value
        return const(max((-(-(i + 1) * n // c) - i * n // c for i in range(c)), default=1))
    return size if count == 1 else (size + (count - 1)) // count + 1


def adaptive_max_pool(b: Builder, x: Any, size: Any, rank: int) -> tuple[Any, Any]:
    """The largest element of each window and its row-major place; windows are such that `size` results come out."""
    shape = b.type_of(x).shape
    lead = len(shape) - rank
    if lead not in (1, 2) or not all(b.facts.at_most(1, d) for d in shape[lead:]):
        raise SignatureError(f"adaptive_max_pool{rank}d needs [c, sizes...] or [n, c, sizes...] with elements")
    axes = [_Axis(b, shape[lead + a], dim(count)) for a, count in enumerate(each_of(size, rank))]
    for a, axis in enumerate(axes):
        where = axis.place(b.emit("prim::iota", axis.longest), 1)
        x = b.emit("prim::take", x, (where,), (lead + 2 * a,), lead + 2 * a)
    order = (*range(lead), *(lead + 2 * a for a in range(rank)), *(lead + 2 * a + 1 for a in range(rank)))
    seen = b.emit("prim::permute", x, order)
    folded = tuple(range(lead + rank, lead + 2 * rank))
    tap = b.emit("prim::argmax", seen, folded, False)
    index = None
    for a, axis in enumerate(axes):
        inner = product([other.longest for other in axes[a + 1 :]])
        along = tap if inner == 1 else b.emit("aten::floor_divide", tap, inner)
        place = axis.place(b.emit("aten::remainder", along, axis.longest), rank - 1 - a)
        index = place if index is None else b.emit("aten::add", b.emit("aten::mul", index, axis.size), place)
    return b.emit("prim::amax", seen, folded, False), index


def max_unpool(b: Builder, x: Any, indices: Any, size: Any, rank: int) -> Any:
    """Zeros of the given size with the elements at their row-major places."""
    shape, sizes = b.type_of(x).shape, [dim(d) for d in size]
    lead = shape[: len(shape) - rank]
    own = b.type_of(indices).shape
    alike = len(own) == len(shape) and all(map(b.facts.equal, own, shape))
    if len(lead) not in (1, 2) or len(sizes) != rank or not alike:
        raise SignatureError(f"max_unpool{rank}d needs a tensor, indices of its shape and {rank} sizes")
    rows, places = (b.emit("prim::reshape", v, (*lead, product(shape[len(lead) :]))) for v in (x, indices))
    zeros = b.emit("prim::full", (*lead, product(sizes)), 0, b.type_of(x).dtype)
    made = scatter(b, zeros, -1, places, rows, None)
    return b.emit("prim::reshape", made, (*lead, *sizes))


# -- references -----------------------------------------------------------------------------------
def _np_adaptive(rank: int) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def pool(x: np.ndarray, size: Any) -> tuple[np.ndarray, np.ndarray]:
        counts, sizes = each_of(size, rank), x.shape[-rank:]
        places = np.arange(math.prod(sizes)).reshape(sizes)
        values = np.empty((*x.shape[:-rank], *counts), x.dtype)
        index = np.empty(values.shape, np.int64)
        for at in np.ndindex(*counts):
            cut: Any = [slice(i * n // c, -(-(i + 1) * n // c)) for i, n, c in zip(at, sizes, counts, strict=True)]
            window = x[(Ellipsis, *cut)].reshape(*x.shape[:-rank], -1)
            best = window.argmax(-1)
            values[(..., *at)] = np.take_along_axis(window, best[..., None], -1)[..., 0]
            index[(..., *at)] = places[tuple(cut)].reshape(-1)[best]
        return values, index

    return pool


def _np_unpool(rank: int) -> Callable[..., np.ndarray]:
    def unpool(x: np.ndarray, indices: np.ndarray, size: Any, *_: Any) -> np.ndarray:
        lead = x.shape[:-rank]
        out = np.zeros((*lead, math.prod(size)), x.dtype)
        np.put_along_axis(out, indices.reshape(*lead, -1), x.reshape(*lead, -1), -1)
        return out.reshape(*lead, *size)

    return unpool


def _ops(rank: int) -> list[Op]:
    x = Rand(2, 3, *(7, 6, 5)[:rank])
    return [
        composite(
            f"aten::adaptive_max_pool{rank}d",
            "(Tensor self, int[] output_size) -> (Tensor, Tensor)",
            "default",
            lambda b, v, size: adaptive_max_pool(b, v, size, rank),
            _np_adaptive(rank),
            lambda d: [
                Sample((x, (1,) * rank)),
                Sample((x, (3, 2, 4)[:rank])),
                Sample((Rand(2, *(4,) * rank), (2,) * rank)),
            ],
            dtypes=FLOATS,
            tolerance=EXACT,
        )
    ]


PLACES = np.array([[[[0, 3], [9, 10]]]])
ADAPTIVE: list[Op] = [
    *(op for rank in (1, 2, 3) for op in _ops(rank)),
    composite(
        "aten::max_unpool2d",
        "(Tensor self, Tensor indices, int[] output_size) -> Tensor",
        "default",
        lambda b, x, indices, size: max_unpool(b, x, indices, size, 2),
        _np_unpool(2),
        lambda d: [Sample((Rand(1, 1, 2, 2), PLACES, (4, 4)))],
        dtypes=FLOATS,
        tolerance=EXACT,
    ),
    composite(
        "aten::max_unpool3d",
        "(Tensor self, Tensor indices, int[] output_size, int[] stride, int[] padding) -> Tensor",
        "default",
        lambda b, x, indices, size, stride, padding: max_unpool(b, x, indices, size, 3),
        _np_unpool(3),
        lambda d: [Sample((Rand(1, 1, 1, 2, 2), PLACES[None], (1, 4, 4), (1, 1, 1), (0, 0, 0)))],
        dtypes=FLOATS,
        tolerance=EXACT,
    ),
]
