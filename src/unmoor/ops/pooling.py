"""Pools: reductions over sliding windows, with the channels last in memory as convolutions leave them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY, DType
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.convolution import channels_first, channels_last, each_of
from unmoor.ops.family import CLOSE, EXACT, FLOATS, composite
from unmoor.ops.padding import pad
from unmoor.ops.samples import Rand


class Windows:
    """The windows of a pool over the places of [n, c, places...] (or [c, places...])."""

    def __init__(
        self, b: Builder, x: Any, taps: Any, steps: Any, margin: Any, dilation: Any, ceil: bool, rank: int
    ) -> None:
        self.b, self.rank, self.ceil = b, rank, ceil
        self.batched = b.type_of(x).rank == rank + 2
        if not self.batched and b.type_of(x).rank != rank + 1:
            raise SignatureError(f"a pool over {rank} dims needs a tensor of rank {rank + 1} or {rank + 2}")
        if not self.batched:
            x = b.emit("prim::reshape", x, (const(1), *b.type_of(x).shape))
        self.taps = tuple(b.facts.int_of(dim(t)) for t in each_of(taps, rank))
        given = self.taps if steps in (None, ()) else each_of(steps, rank)
        self.steps = tuple(b.facts.int_of(dim(s)) for s in given)
        self.margin = tuple(b.facts.int_of(dim(m)) for m in each_of(margin, rank))
        self.dilation = tuple(b.facts.int_of(dim(d)) for d in each_of(dilation, rank))
        self.x = channels_last(b, x, rank)
        self.sizes = b.type_of(self.x).shape[1:-1]
        if any(2 * m > t for m, t in zip(self.margin, self.taps, strict=True)):
            raise SignatureError("the padding of a pool is at most half of its window")
        self.counts = [self._count(a, ceil) for a in range(rank)]

    def _count(self, axis: int, ceil: bool) -> Dim:
        """How many windows there are; with `ceil` also one that begins inside and reaches out at the end."""
        size, tap, step = self.sizes[axis], self.taps[axis], self.steps[axis]
        margin, reach = self.margin[axis], self.dilation[axis] * (tap - 1) + 1
        if not ceil:
            if not self.b.facts.at_most(reach, size + 2 * margin):
                raise SignatureError(f"the window of a pool reaches over {reach} places of {size + 2 * margin}")
            return (size + (2 * margin - reach)) // step + 1
        count = (size + (2 * margin - reach + step - 1)) // step + 1
        return count - 1 if self.b.facts.at_most(size + margin, (count - 1) * step) else count

    def padded(self, value: float) -> Any:
        """[n, counts..., taps..., c], with `value` outside."""
        after = [m + (s - 1 if self.ceil else 0) for m, s in zip(self.margin, self.steps, strict=True)]
        x = pad(self.b, self.x, (0, *self.margin, 0), (0, *after, 0), value)
        for a in range(self.rank):
            x = self.b.emit("prim::windows", x, a + 1, self.taps[a], self.steps[a], self.dilation[a])
            if self.ceil:
                x = self.b.emit("prim::slice", x, a + 1, 0, 1, self.counts[a])
        rank = self.rank
        return self.b.emit("prim::permute", x, (*range(rank + 1), *range(rank + 2, 2 * rank + 2), rank + 1))

    @property
    def folded(self) -> tuple[int, ...]:
        """The axes of the taps."""
        return tuple(range(self.rank + 1, 2 * self.rank + 1))

    def result(self, made: Any) -> Any:
        """[n, counts..., c] as PyTorch has it."""
        made = channels_first(self.b, made, self.rank)
        return made if self.batched else self.b.emit("prim::reshape", made, self.b.type_of(made).shape[1:])


def max_pool(b: Builder, x: Any, taps: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, rank: int) -> Any:
    """The largest element of each window; padding never wins."""
    windows = Windows(b, x, taps, stride, padding, dilation, ceil, rank)
    return windows.result(b.emit("prim::amax", windows.padded(_least(b.type_of(x).dtype)), windows.folded, False))


def _least(dtype: DType) -> float:
    return -math.inf if dtype.is_float else int(np.iinfo(dtype.numpy).min)


def max_pool_with_indices(
    b: Builder, x: Any, taps: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, rank: int
) -> tuple[Any, Any]:
    """The largest element of each window, and its row-major place in the unpadded tensor: the first such, or NaN's."""
    windows = Windows(b, x, taps, stride, padding, dilation, ceil, rank)
    seen = windows.padded(_least(b.type_of(x).dtype))
    tap = b.emit("prim::argmax", seen, windows.folded, False)
    index = None
    for a in range(rank):
        inner = math.prod(windows.taps[a + 1 :])
        along = tap if inner == 1 else b.emit("aten::floor_divide", tap, inner)
        along = b.emit("aten::remainder", along, windows.taps[a])
        start = b.emit("aten::mul", b.emit("prim::iota", windows.counts[a]), windows.steps[a])
        start = b.emit("prim::reshape", start, (windows.counts[a], *(1,) * (rank - a)))
        place = b.emit("aten::add", start, b.emit("aten::mul", along, windows.dilation[a]))
        place = b.emit("aten::sub", place, windows.margin[a])
        # a window of nothing but -inf names its first tap: where that is padding, the first that is not
        inside = b.emit("aten::remainder", place, windows.dilation[a])
        place = b.emit("aten::where", b.emit("aten::lt", place, 0), inside, place)
        index = place if index is None else b.emit("aten::add", b.emit("aten::mul", index, windows.sizes[a]), place)
    largest = b.emit("prim::amax", seen, windows.folded, False)
    return windows.result(largest), windows.result(index)


def avg_pool(
    b: Builder, x: Any, taps: Any, stride: Any, padding: Any, ceil: bool, inside: bool, divisor: int | None, rank: int
) -> Any:
    """The mean of each window; `inside` counts the padding as elements, `divisor` replaces the count."""
    if not b.type_of(x).dtype.is_float:
        raise Unsupported("avg_pool of integers is not supported: convert with .float() first")
    windows = Windows(b, x, taps, stride, padding, 1, ceil, rank)
    total = b.emit("prim::sum", windows.padded(0.0), windows.folded, False)
    if divisor is not None:
        return windows.result(b.emit("aten::div", total, divisor))
    if not ceil and (inside or not any(windows.margin)):
        return windows.result(b.emit("aten::mul", total, 1 / math.prod(windows.taps)))
    for axis in range(rank):
        count = _elements(b, windows, axis, inside, b.type_of(x).dtype)
        total = b.emit(
            "aten::div", total, b.emit("prim::reshape", count, (windows.counts[axis], *(1,) * (rank - axis)))
        )
    return windows.result(total)


def _elements(b: Builder, windows: Windows, axis: int, inside: bool, dtype: DType) -> Any:
    """How many elements each window of an axis has."""
    size, margin = windows.sizes[axis], windows.margin[axis]
    places = b.emit("prim::iota", windows.counts[axis])
    start = b.emit("aten::sub", b.emit("aten::mul", places, windows.steps[axis]), margin)
    end = b.emit("aten::clamp", b.emit("aten::add", start, windows.taps[axis]), None, size + margin)
    if not inside:
        start, end = b.emit("aten::clamp", start, 0, None), b.emit("aten::clamp", end, None, size)
    return b.emit("prim::cast", b.emit("aten::sub", end, start), dtype)


def adaptive_avg_pool(b: Builder, x: Any, size: Any, rank: int) -> Any:
    """Means of windows chosen so that `size` results come out: [i * n // size, ceil((i + 1) * n / size))."""
    dims = b.type_of(x).rank
    wanted = [b.type_of(x).shape[dims - rank + a] if s is None else dim(s) for a, s in enumerate(each_of(size, rank))]
    dtype = b.type_of(x).dtype
    if rank == 3 and dtype is not dtype.compute and not all(w == 1 for w in wanted):
        raise Unsupported(
            "adaptive_avg_pool3d of half floats, which eager adds up in them: convert with .float() first"
        )
    if all(w == 1 for w in wanted):
        return b.emit("aten::mean", x, tuple(range(dims - rank, dims)), True, None)
    for a, count in enumerate(wanted):
        x = _average_axis(b, x, dims - rank + a, count)
    return x


def _average_axis(b: Builder, x: Any, axis: int, count: Dim) -> Any:
    """The means along one axis, as a matrix product: row i of the matrix is 1 / length inside window i."""
    type_ = b.type_of(x)
    size = type_.shape[axis]
    if size == count:
        return x
    row = b.emit("prim::reshape", b.emit("prim::iota", count), (count, 1))
    column = b.emit("prim::iota", size)
    start = b.emit("aten::floor_divide", b.emit("aten::mul", row, size), count)
    end = b.emit("aten::mul", b.emit("aten::add", row, 1), size)
    end = b.emit("aten::floor_divide", b.emit("aten::add", end, count - 1), count)
    within = b.emit("aten::logical_and", b.emit("aten::ge", column, start), b.emit("aten::lt", column, end))
    length = b.emit("prim::cast", b.emit("aten::sub", end, start), type_.dtype)
    weights = b.emit("aten::div", b.emit("prim::cast", within, type_.dtype), length)
    order = [a for a in range(type_.rank) if a != axis]
    last = b.emit("prim::permute", x, (*order, axis))
    made = b.emit("aten::matmul", last, b.emit("prim::permute", weights, (1, 0)))
    return b.emit("prim::permute", made, tuple((*order, axis).index(a) for a in range(type_.rank)))


# -- references -----------------------------------------------------------------------------------
def _np_windows(
    x: np.ndarray, taps: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, rank: int, value: float
) -> tuple[list[np.ndarray], list[int]]:
    taps, margin, spread = each_of(taps, rank), each_of(padding, rank), each_of(dilation, rank)
    steps = taps if stride in (None, ()) else each_of(stride, rank)
    counts, after = [], []
    for n, t, s, m, d in zip(x.shape[-rank:], taps, steps, margin, spread, strict=True):
        room = n + 2 * m - d * (t - 1) - 1
        count = (-(-room // s) if ceil else room // s) + 1
        counts.append(count - 1 if ceil and (count - 1) * s >= n + m else count)
        after.append(max((counts[-1] - 1) * s + d * (t - 1) + 1 - n - m, 0))
    wide = np.pad(x, [(0, 0)] * (x.ndim - rank) + list(zip(margin, after, strict=True)), constant_values=value)
    parts = []
    for tap in np.ndindex(*taps):
        places = tuple(
            slice(k * d, k * d + (c - 1) * s + 1, s) for k, d, c, s in zip(tap, spread, counts, steps, strict=True)
        )
        parts.append(wide[(slice(None),) * (x.ndim - rank) + places])
    return parts, counts


def _np_max(rank: int) -> Callable[..., np.ndarray]:
    def pool(
        x: np.ndarray, taps: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
    ) -> np.ndarray:
        return np.asarray(
            np.max(_np_windows(x, taps, stride, padding, dilation, ceil, rank, _least(BY_NUMPY[x.dtype]))[0], axis=0)
        )

    return pool


def _np_max_places(rank: int) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def pool(
        x: np.ndarray, taps: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        places = np.broadcast_to(np.arange(math.prod(x.shape[-rank:])).reshape(x.shape[-rank:]), x.shape)
        parts, _ = _np_windows(x, taps, stride, padding, dilation, ceil, rank, _least(BY_NUMPY[x.dtype]))
        where, _ = _np_windows(places, taps, stride, padding, dilation, ceil, rank, 0)
        best = np.argmax(parts, axis=0)[None]
        return np.max(parts, axis=0), np.take_along_axis(np.stack(where), best, 0)[0]

    return pool


def _np_avg(rank: int) -> Callable[..., np.ndarray]:
    def pool(
        x: np.ndarray,
        taps: Any,
        stride: Any = (),
        padding: Any = 0,
        ceil: bool = False,
        inside: bool = True,
        divisor: int | None = None,
    ) -> np.ndarray:
        parts, _ = _np_windows(x, taps, stride, padding, 1, ceil, rank, 0)
        one = np.ones_like(x)
        margin = each_of(padding, rank) if inside else (0,) * rank
        wide = np.pad(one, [(0, 0)] * (x.ndim - rank) + [(m, m) for m in margin], constant_values=1)
        counted, _ = _np_windows(one, taps, stride, padding, 1, ceil, rank, 0)
        if inside:
            counted, _ = _np_windows(wide, taps, stride or taps, 0, 1, ceil, rank, 0)
            counted = [c[tuple(slice(0, n) for n in parts[0].shape)] for c in counted]
        total: np.ndarray = np.sum(parts, axis=0)
        return np.asarray(total / (divisor if divisor is not None else np.sum(counted, axis=0))).astype(x.dtype)

    return pool


def _np_adaptive(rank: int) -> Callable[..., np.ndarray]:
    def pool(x: np.ndarray, size: Any) -> np.ndarray:
        for a, count in enumerate(each_of(size, rank)):
            axis = x.ndim - rank + a
            n = x.shape[axis]
            parts = [x.take(range(i * n // count, -(-(i + 1) * n // count)), axis).mean(axis) for i in range(count)]
            x = np.stack(parts, axis).astype(x.dtype)
        return x

    return pool


# -- the table ------------------------------------------------------------------------------------
def _ops(rank: int) -> list[Op]:
    x = Rand(2, 3, *(7, 6, 5)[:rank])
    one, two, three = (1,) * rank, (2,) * rank, (3,) * rank
    most = [
        Sample((x, two)),
        Sample((x, three, two, one)),
        Sample((x, two, one, (0,) * rank, two)),
        Sample((x, three, two, one, one, True)),
        Sample((Rand(3, *(7, 6, 5)[:rank]), two)),
    ]
    mean = [
        Sample((x, two)),
        Sample((x, three, two, one)),
        Sample((x, three, two, one, False, False)),
        Sample((x, three, two, one, True, False)),
    ]
    divisor = ", int? divisor_override=None" if rank > 1 else ""

    def largest(b: Builder, x: Any, taps: Any, stride: Any, margin: Any, dilation: Any, ceil: bool) -> Any:
        return max_pool(b, x, taps, stride, margin, dilation, ceil, rank)

    def places(b: Builder, x: Any, taps: Any, stride: Any, margin: Any, dilation: Any, ceil: bool) -> Any:
        return max_pool_with_indices(b, x, taps, stride, margin, dilation, ceil, rank)

    def average(
        b: Builder, x: Any, taps: Any, stride: Any, margin: Any, ceil: bool, inside: bool, divisor: Any = None
    ) -> Any:
        return avg_pool(b, x, taps, stride, margin, ceil, inside, divisor, rank)

    return [
        composite(
            f"aten::max_pool{rank}d",
            "(Tensor self, int[] kernel_size, int[] stride=[], int[] padding=0, int[] dilation=1, "
            "bool ceil_mode=False) -> Tensor",
            "default",
            largest,
            _np_max(rank),
            lambda d: most,
            dtypes=FLOATS,
            tolerance=EXACT,
        ),
        composite(
            f"aten::max_pool{rank}d_with_indices",
            "(Tensor self, int[] kernel_size, int[] stride=[], int[] padding=0, int[] dilation=1, "
            "bool ceil_mode=False) -> (Tensor, Tensor)",
            "default",
            places,
            _np_max_places(rank),
            lambda d: most,
            dtypes=FLOATS,
            tolerance=EXACT,
        ),
        composite(
            f"aten::avg_pool{rank}d",
            "(Tensor self, int[] kernel_size, int[] stride=[], int[] padding=0, bool ceil_mode=False, "
            f"bool count_include_pad=True{divisor}) -> Tensor",
            "default",
            average,
            _np_avg(rank),
            lambda d: mean,
            dtypes=FLOATS,
            tolerance=CLOSE,
        ),
        composite(
            f"aten::adaptive_avg_pool{rank}d",
            "(Tensor self, int[] output_size) -> Tensor",
            "default",
            lambda b, x, size: adaptive_avg_pool(b, x, size, rank),
            _np_adaptive(rank),
            lambda d: [Sample((x, one)), Sample((x, (3, 2, 4)[:rank])), Sample((Rand(2, *(4, 4, 4)[:rank]), two))],
            dtypes=FLOATS if rank < 3 else ("f32", "f64"),
            tolerance=CLOSE,
            stepwise=rank == 3,
        ),
    ]


POOLING: list[Op] = [op for rank in (1, 2, 3) for op in _ops(rank)]
