"""Elements moved between space and channels: pixel shuffles, channel shuffle, and windows as new axes or columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import const, dim, product
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.convolution import each_of
from unmoor.ops.family import EVERY, EXACT, FLOATS, axis_of, composite
from unmoor.ops.padding import pad
from unmoor.ops.samples import Ints, Rand


def _part(b: Builder, x: Any, axis: int, by: int) -> Any:
    """The size of an axis divided by `by`. SignatureError where that leaves a rest."""
    size = b.type_of(x).shape[axis]
    if by < 1 or not b.facts.equal(size % by, 0):
        raise SignatureError(f"size {size} of dim {axis} is not divisible by {by}")
    return size // by


def pixel_shuffle(b: Builder, x: Any, factor: Any) -> Any:
    """[..., c*r*r, h, w] as [..., c, h*r, w*r] (Shi et al. 2016)."""
    type_, r = b.type_of(x), b.facts.int_of(factor)
    if type_.rank < 3:
        raise SignatureError(f"pixel_shuffle of {type_}: it needs at least 3 axes")
    n, (height, width) = type_.rank - 3, type_.shape[-2:]
    channels = _part(b, x, n, r * r)
    split = b.emit("prim::reshape", x, (*type_.shape[:n], channels, const(r), const(r), height, width))
    mixed = b.emit("prim::permute", split, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return b.emit("prim::reshape", mixed, (*type_.shape[:n], channels, height * r, width * r))


def pixel_unshuffle(b: Builder, x: Any, factor: Any) -> Any:
    """[..., c, h*r, w*r] as [..., c*r*r, h, w]."""
    type_, r = b.type_of(x), b.facts.int_of(factor)
    if type_.rank < 3:
        raise SignatureError(f"pixel_unshuffle of {type_}: it needs at least 3 axes")
    n, channels = type_.rank - 3, type_.shape[-3]
    height, width = _part(b, x, n + 1, r), _part(b, x, n + 2, r)
    split = b.emit("prim::reshape", x, (*type_.shape[:n], channels, height, const(r), width, const(r)))
    mixed = b.emit("prim::permute", split, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return b.emit("prim::reshape", mixed, (*type_.shape[:n], channels * (r * r), height, width))


def channel_shuffle(b: Builder, x: Any, groups: Any) -> Any:
    """[n, g*c, ...] with the channels of the groups in turn (Zhang et al. 2018)."""
    type_, g = b.type_of(x), b.facts.int_of(groups)
    if type_.rank < 3:
        raise SignatureError(f"channel_shuffle of {type_}: it needs at least 3 axes")
    split = b.emit("prim::reshape", x, (type_.shape[0], const(g), _part(b, x, 1, g), *type_.shape[2:]))
    mixed = b.emit("prim::permute", split, (0, 2, 1, *range(3, type_.rank + 1)))
    return b.emit("prim::reshape", mixed, type_.shape)


def unfold(b: Builder, x: Any, axis: int, size: Any, step: Any) -> Any:
    """Every `step`-th run of `size` elements along an axis, as a new last axis."""
    type_ = b.type_of(x)
    length, stride = b.facts.int_of(size), b.facts.int_of(step)
    if not type_.rank or length < 1 or stride < 1:
        raise SignatureError(f"unfold of {type_} needs an axis, a positive size and a positive step")
    a = axis_of(axis, type_.rank)
    if not b.facts.at_most(length, type_.shape[a]):
        raise SignatureError(f"unfold: runs of {length} do not fit into {type_.shape[a]}")
    return b.emit("prim::windows", x, a, length, stride, 1)


def im2col(b: Builder, x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The windows of [n, c, h, w] as columns: [n, c * taps, windows]."""
    type_ = b.type_of(x)
    if type_.rank == 3:
        one = im2col(b, b.emit("prim::reshape", x, (1, *type_.shape)), kernel, dilation, padding, stride)
        return b.emit("prim::reshape", one, b.type_of(one).shape[1:])
    if type_.rank != 4:
        raise SignatureError(f"unfold of {type_}: it needs 3 or 4 axes")
    taps, apart, margin, steps = (
        tuple(b.facts.int_of(dim(v)) for v in each_of(a, 2)) for a in (kernel, dilation, padding, stride)
    )
    wide = pad(b, x, (0, 0, *margin), (0, 0, *margin))
    for a in range(2):
        reach = apart[a] * (taps[a] - 1) + 1
        if not b.facts.at_most(reach, b.type_of(wide).shape[2 + a]):
            raise SignatureError(f"a window that reaches over {reach} places does not fit into {type_}")
        wide = b.emit("prim::windows", wide, 2 + a, taps[a], steps[a], apart[a])
    n, c, rows, columns, *_ = b.type_of(wide).shape
    mixed = b.emit("prim::permute", wide, (0, 1, 4, 5, 2, 3))
    return b.emit("prim::reshape", mixed, (n, c * product([dim(t) for t in taps]), rows * columns))


def col2im(b: Builder, x: Any, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The way back from im2col: columns added up at the places of their windows, in the order of the taps."""
    type_ = b.type_of(x)
    if type_.dtype is not type_.dtype.compute:
        raise Unsupported("fold of half floats, which eager adds up in them: convert with .float() first")
    if type_.rank == 2:
        one = col2im(b, b.emit("prim::reshape", x, (1, *type_.shape)), size, kernel, dilation, padding, stride)
        return b.emit("prim::reshape", one, b.type_of(one).shape[1:])
    if type_.rank != 3:
        raise SignatureError(f"fold of {type_}: it needs 2 or 3 axes")
    taps, apart, margin, steps = (
        tuple(b.facts.int_of(dim(v)) for v in each_of(a, 2)) for a in (kernel, dilation, padding, stride)
    )
    sizes = [dim(d) for d in each_of(size, 2)]
    wide = [d + 2 * m for d, m in zip(sizes, margin, strict=True)]
    if not all(b.facts.at_most(e * (t - 1) + 1, w) for e, t, w in zip(apart, taps, wide, strict=True)):
        raise SignatureError("fold: the window is larger than the result and its padding")
    counts = [(w - (e * (t - 1) + 1)) // s + 1 for w, e, t, s in zip(wide, apart, taps, steps, strict=True)]
    channels = _part(b, x, 1, taps[0] * taps[1])
    if not b.facts.equal(type_.shape[2], counts[0] * counts[1]):
        raise SignatureError(f"fold: {type_.shape[2]} columns for {counts[0]} times {counts[1]} windows")
    columns = b.emit("prim::reshape", x, (type_.shape[0], channels, *map(const, taps), *counts))
    places = []
    for a in range(2):
        tap = b.emit("prim::reshape", b.emit("aten::mul", b.emit("prim::iota", taps[a]), apart[a]), (taps[a], 1))
        place = b.emit("aten::add", tap, b.emit("aten::mul", b.emit("prim::iota", counts[a]), steps[a]))
        own = (
            (const(taps[0]), const(1), counts[0], const(1))
            if a == 0
            else (const(1), const(taps[1]), const(1), counts[1])
        )
        whole = (const(taps[0]), const(taps[1]), *counts)
        places.append(b.emit("prim::expand", b.emit("prim::reshape", place, own), whole))
    zeros = b.emit("prim::full", (type_.shape[0], channels, *wide), 0, type_.dtype)
    made = b.emit("prim::put", zeros, tuple(places), (2, 3), 2, columns, "add")
    for a in range(2):
        made = b.emit("prim::slice", made, 2 + a, margin[a], 1, sizes[a]) if margin[a] else made
    return made


# -- references -----------------------------------------------------------------------------------
def _np_shuffle(x: np.ndarray, r: int) -> np.ndarray:
    *lead, c, h, w = x.shape
    split = x.reshape(*lead, c // (r * r), r, r, h, w)
    return np.moveaxis(split, (-2, -1), (-4, -2)).reshape(*lead, c // (r * r), h * r, w * r)


def _np_unshuffle(x: np.ndarray, r: int) -> np.ndarray:
    *lead, c, h, w = x.shape
    split = x.reshape(*lead, c, h // r, r, w // r, r)
    return np.moveaxis(split, (-3, -1), (-4, -3)).reshape(*lead, c * r * r, h // r, w // r)


def _np_channel_shuffle(x: np.ndarray, g: int) -> np.ndarray:
    return x.reshape(x.shape[0], g, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def _np_unfold(x: np.ndarray, axis: int, size: int, step: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis)
    return np.asarray(windows[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)])


def _np_im2col(x: np.ndarray, kernel: Any, dilation: Any, padding: Any, stride: Any) -> np.ndarray:
    if x.ndim == 3:
        return np.asarray(_np_im2col(x[None], kernel, dilation, padding, stride)[0])
    k, d, p, s = (each_of(v, 2) for v in (kernel, dilation, padding, stride))
    wide = np.pad(x, ((0, 0), (0, 0), (p[0], p[0]), (p[1], p[1])))
    counts = [(wide.shape[2 + a] - d[a] * (k[a] - 1) - 1) // s[a] + 1 for a in (0, 1)]
    parts = []
    for tap in np.ndindex(*k):
        cut = [slice(t * e, t * e + (c - 1) * q + 1, q) for t, e, c, q in zip(tap, d, counts, s, strict=True)]
        parts.append(wide[:, :, cut[0], cut[1]].reshape(*x.shape[:2], -1))
    return np.stack(parts, 2).reshape(x.shape[0], -1, counts[0] * counts[1])


def _np_col2im(x: np.ndarray, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> np.ndarray:
    if x.ndim == 2:
        return np.asarray(_np_col2im(x[None], size, kernel, dilation, padding, stride)[0])
    n, k, d, p, s = (each_of(v, 2) for v in (size, kernel, dilation, padding, stride))
    counts = [(n[a] + 2 * p[a] - d[a] * (k[a] - 1) - 1) // s[a] + 1 for a in (0, 1)]
    out = np.zeros((x.shape[0], x.shape[1] // (k[0] * k[1]), n[0] + 2 * p[0], n[1] + 2 * p[1]), x.dtype)
    columns = x.reshape(*out.shape[:2], *k, *counts)
    for tap in np.ndindex(*k):
        cut = [slice(t * e, t * e + (c - 1) * q + 1, q) for t, e, c, q in zip(tap, d, counts, s, strict=True)]
        out[:, :, cut[0], cut[1]] += columns[:, :, tap[0], tap[1]]
    return out[:, :, p[0] : p[0] + n[0], p[1] : p[1] + n[1]]


def _op(
    name: str,
    schema: str,
    decompose: Callable[..., Any],
    reference: Callable[..., Any],
    *samples: Sequence[Any],
    dtypes: tuple[str, ...] = EVERY,
) -> Op:
    def made(dtype: str) -> list[Sample]:
        return [Sample(((Rand if dtype in FLOATS else Ints)(*shape), *args)) for shape, *args in samples]

    return composite(f"aten::{name}", schema, "default", decompose, reference, made, dtypes=dtypes, tolerance=EXACT)


REARRANGEMENT: list[Op] = [
    _op(
        "pixel_shuffle",
        "(Tensor self, int upscale_factor) -> Tensor",
        pixel_shuffle,
        _np_shuffle,
        ((2, 8, 2, 3), 2),
        ((9, 1, 2), 3),
    ),
    _op(
        "pixel_unshuffle",
        "(Tensor self, int downscale_factor) -> Tensor",
        pixel_unshuffle,
        _np_unshuffle,
        ((2, 2, 4, 6), 2),
        ((1, 3, 6), 3),
    ),
    _op(
        "channel_shuffle",
        "(Tensor self, int groups) -> Tensor",
        channel_shuffle,
        _np_channel_shuffle,
        ((2, 6, 2, 3), 2),
    ),
    _op(
        "unfold",
        "(Tensor self, int dimension, int size, int step) -> Tensor",
        unfold,
        _np_unfold,
        ((2, 7, 3), 1, 3, 2),
        ((7,), -1, 2, 1),
    ),
    _op(
        "im2col",
        "(Tensor self, int[] kernel_size, int[] dilation, int[] padding, int[] stride) -> Tensor",
        im2col,
        _np_im2col,
        ((2, 3, 5, 4), (3, 2), (1, 1), (1, 0), (2, 1)),
        ((3, 5, 4), (2, 2), (2, 1), (0, 0), (1, 1)),
        dtypes=FLOATS,
    ),
    _op(
        "col2im",
        "(Tensor self, int[] output_size, int[] kernel_size, int[] dilation, int[] padding, int[] stride) -> Tensor",
        col2im,
        _np_col2im,
        ((2, 18, 9), (5, 4), (3, 2), (1, 1), (1, 0), (2, 1)),
        ((12, 9), (5, 4), (2, 2), (2, 1), (0, 0), (1, 1)),
        dtypes=("f32", "f64"),
    ),
]
