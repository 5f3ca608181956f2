"""Index maps: the core views, each of which says where an element of the result lies in its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unmoor.ir.dim import Dim, bounded_divide, const, dim
from unmoor.ir.op import Facts, Kind, Op, Sample
from unmoor.ir.types import TensorType
from unmoor.ops.family import EVERY, EXACT, FLOATS, composite
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema

Index = tuple[Dim, ...]


def made_of(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


def _core(
    name: str,
    schema: str,
    infer: Callable[..., TensorType],
    lower: Callable[..., Index],
    reference: Callable[..., Any],
    *args: Any,
) -> Op:
    return Op(
        f"prim::{name}",
        parse_schema(schema),
        Kind.VIEW,
        infer,
        reference,
        (),
        lambda d: [Sample((made_of(d)(2, 3, 4), *args))],
        EXACT,
        lower=lower,
        dtypes=EVERY,
    )


def _reshape_index(
    index: Index, extents: Mapping[str, Dim], source: TensorType, result: TensorType, shape: Any
) -> Index:
    """Axes that both have at an end stay as they are, however an index moves along them. Between them, row-major: the
    offset in the result, taken apart by the source's sizes; the outermost takes what is left."""
    out = [const(0)] * source.rank
    if any(extent == 0 for extent in source.shape):  # there is nothing to read
        return tuple(out)
    theirs = [a for a, extent in enumerate(source.shape) if extent != 1]
    ours = [a for a, extent in enumerate(result.shape) if extent != 1]
    for end in (0, -1):
        while theirs and ours and source.shape[theirs[end]] == result.shape[ours[end]]:
            out[theirs.pop(end)] = index[ours.pop(end)]
    offset, step = const(0), const(1)
    for a in reversed(ours):
        offset, step = offset + index[a] * step, step * result.shape[a]
    for a in reversed(theirs):
        if a == theirs[0]:
            out[a] = offset
        else:
            offset, out[a] = bounded_divide(offset, source.shape[a], extents)
    return tuple(out)


def _expand_infer(facts: Facts, x: TensorType, shape: Sequence[Any]) -> TensorType:
    return TensorType(x.dtype, tuple(dim(d) for d in shape))


def _expand_index(index: Index, extents: Any, source: TensorType, result: TensorType, shape: Any) -> Index:
    return tuple(
        const(0) if s == 1 and r != 1 else i for i, s, r in zip(index, source.shape, result.shape, strict=True)
    )


def _permute_index(index: Index, extents: Any, source: TensorType, result: TensorType, dims: Sequence[int]) -> Index:
    order = [int(str(d)) for d in dims]
    return tuple(index[order.index(a)] for a in range(len(order)))


def _slice_infer(facts: Facts, x: TensorType, axis: int, start: Any, step: Any, length: Any) -> TensorType:
    a = int(str(axis))
    return TensorType(x.dtype, (*x.shape[:a], dim(length), *x.shape[a + 1 :]))


def _slice_index(
    index: Index, extents: Any, source: TensorType, result: TensorType, axis: int, start: Any, step: Any, length: Any
) -> Index:
    a = int(str(axis))
    return tuple(i * step + start if k == a else i for k, i in enumerate(index))


def _np_slice(x: np.ndarray, axis: int, start: int, step: int, length: int) -> np.ndarray:
    return np.take(x, np.arange(length) * step + start, axis=axis)


def _flip_index(index: Index, extents: Any, source: TensorType, result: TensorType, dims: Sequence[int]) -> Index:
    return tuple(source.shape[a] - 1 - i if a in dims else i for a, i in enumerate(index))


def _windows_infer(facts: Facts, x: TensorType, axis: int, size: Any, step: Any, dilation: Any) -> TensorType:
    a, reach = int(str(axis)), dim(dilation) * (dim(size) - 1) + 1
    return TensorType(x.dtype, (*x.shape[:a], (x.shape[a] - reach) // dim(step) + 1, *x.shape[a + 1 :], dim(size)))


def _windows_index(
    index: Index, extents: Any, source: TensorType, result: TensorType, axis: int, size: Any, step: Any, dilation: Any
) -> Index:
    a = int(str(axis))
    return tuple(i * step + index[-1] * dilation if k == a else i for k, i in enumerate(index[:-1]))


def _np_windows(x: np.ndarray, axis: int, size: int, step: int, dilation: int) -> np.ndarray:
    reach = dilation * (size - 1) + 1
    whole = np.lib.stride_tricks.sliding_window_view(x, reach, axis)
    places = (slice(None),) * axis + (slice(None, None, step),)
    return np.asarray(whole[places][..., ::dilation])


def _strided_index(
    index: Index,
    extents: Any,
    source: TensorType,
    result: TensorType,
    shape: Any,
    strides: Sequence[Any],
    start: Any,
) -> Index:
    return (sum((i * step for i, step in zip(index, strides, strict=True)), dim(start)),)


def np_strided(x: np.ndarray, shape: Sequence[int], strides: Sequence[int], start: int) -> np.ndarray:
    places = np.full(tuple(shape), start)
    for axis, step in enumerate(strides):
        places = places + np.arange(shape[axis]).reshape(-1, *(1 for _ in shape[axis + 1 :])) * step
    return np.asarray(x[places])


def view(
    name: str,
    schema: str,
    decompose: Callable[..., Any],
    reference: Callable[..., Any],
    samples: list[tuple[Any, ...]],
    overloads: str = "default",
) -> Op:
    """A view of PyTorch's, as a composition of the core ones; each sample is a shape, and what follows it."""

    def made(dtype: str) -> list[Sample]:
        return [Sample((made_of(dtype)(*shape), *args)) for shape, *args in samples]

    return composite(name, schema, overloads, decompose, reference, made, dtypes=EVERY, tolerance=EXACT)


INDEX_MAPS: list[Op] = [
    _core("reshape", "(Tensor self, int[] shape) -> Tensor", _expand_infer, _reshape_index, np.reshape, (4, 6)),
    _core(
        "permute",
        "(Tensor self, int[] dims) -> Tensor",
        lambda facts, x, dims: TensorType(x.dtype, tuple(x.shape[int(str(d))] for d in dims)),
        _permute_index,
        np.transpose,
        (2, 0, 1),
    ),
    _core("expand", "(Tensor self, int[] shape) -> Tensor", _expand_infer, _expand_index, np.broadcast_to, (2, 3, 4)),
    _core(
        "slice",
        "(Tensor self, int axis, int start, int step, int length) -> Tensor",
        _slice_infer,
        _slice_index,
        _np_slice,
        1,
        1,
        1,
        2,
    ),
    replace(
        _core(
            "windows",
            "(Tensor self, int axis, int size, int step, int dilation) -> Tensor",
            _windows_infer,
            _windows_index,
            _np_windows,
            2,
            2,
            1,
            2,
        ),
        doc="Every `step`-th run of `size` elements, `dilation` apart, along an axis; a run is a new last axis.",
    ),
    replace(
        _core(
            "strided",
            "(Tensor self, int[] shape, int[] strides, int start) -> Tensor",
            lambda facts, x, shape, *_: _expand_infer(facts, x, shape),
            _strided_index,
            np_strided,
        ),
        samples=lambda d: [Sample((made_of(d)(24), (2, 3, 5), (4, 2, 1), 3))],
        doc="Elements of a row: the place that each index of an axis adds its stride to, from `start` on.",
    ),
    _core(
        "flip",
        "(Tensor self, int[] dims) -> Tensor",
        lambda facts, x, dims: x,
        _flip_index,
        lambda x, dims: np.flip(x, tuple(dims)),
        (1,),
    ),
]
