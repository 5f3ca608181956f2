"""Fourier transforms: over one axis or several, of real and complex tensors, of any length, and in short windows.

The runtime's `fft` transforms complex rows without scaling; everything else is written with it. An inverse transform
is a forward one with the parts exchanged before and after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NAME, DEFAULT_FLOAT, DType, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.builtin import FFT_LARGEST_FACTOR, FFT_SPREAD, FFT_STRANDS
from unmoor.ir.dim import Dim, const, dim, dmin, product
from unmoor.ir.op import Builder, BuiltinCall, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.family import axis_of, composite
from unmoor.ops.formula import ON_ARRAYS
from unmoor.ops.samples import Rand
from unmoor.ops.schema import parse_schema

WIDE = ("f32", "f64")
SPECTRAL = Tolerance(
    {"f32": 4e-6, "f64": 2e-14},
    {"f32": 1e-5, "f64": 2e-14},
    "sums of all elements in another order; an element may be small among large ones",
)


# -- the core ops ---------------------------------------------------------------------------------
def largest_factor(n: int) -> int:
    """The largest prime factor; 1 of 1."""
    largest, factor = 1, 2
    while factor * factor <= n:
        while n % factor == 0:
            largest, n = factor, n // factor
        factor += 1
    return max(largest, n) if n > 1 else largest


def spread(n: Dim) -> int:
    """How many complex numbers of a plan, and of scratch, there are for an element: more where n may have a large
    prime factor, so that its transform is a convolution of another length."""
    return 1 if n.is_const and largest_factor(n.value) <= FFT_LARGEST_FACTOR else FFT_SPREAD


def _fft_ints(re: TensorType, im: TensorType, plan: TensorType, axis: int) -> tuple[Dim, ...]:
    a = int(str(axis))
    rows, n = product(re.shape[:a]), re.shape[a]
    return (dmin(rows, const(FFT_STRANDS)), rows, n, product(re.shape[a + 1 :]), const(spread(n)))


def fft_plan(n: int, wide: int) -> np.ndarray:
    """What the runtime's `fft_plan` writes: the roots of one of a length m, as cosines and as minus sines.

    m is n, or where n has a large prime factor, and there is room, the least 2^k or 3 * 2^k that the convolution of the
    chirp exp(-pi i k^2 / n) fits into: then the chirp follows, and the transform of its inverse over m.
    """
    made = np.zeros(2 * n * wide)
    chirped = wide >= FFT_SPREAD and largest_factor(n) > FFT_LARGEST_FACTOR
    m = next(c for k in range(64) for c in (1 << k, 3 << k >> 1) if c >= 2 * n - 1) if chirped else n
    turns = np.arange(m) * (2 * np.pi / m)
    made[:m], made[m : 2 * m] = np.cos(turns), -np.sin(turns)
    if chirped:
        k = np.arange(n)
        chirp = np.exp(-1j * np.pi / n * (k * k % (2 * n)))
        made[2 * m : 2 * m + n], made[2 * m + n : 2 * m + 2 * n] = chirp.real, chirp.imag
        row = np.zeros(m, complex)
        row[:n] = chirp.conj()
        row[m - n + 1 :] = chirp.conj()[:0:-1]
        over = np.fft.fft(row) / m
        made[2 * m + 2 * n : 3 * m + 2 * n], made[3 * m + 2 * n : 4 * m + 2 * n] = over.real, over.imag
    return made


def _np_plan(n: int, dtype: DType) -> np.ndarray:
    return fft_plan(n, spread(const(n))).astype(dtype.numpy)


def _np_fft(re: np.ndarray, im: np.ndarray, plan: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    made = np.fft.fft(re.astype(np.float64) + 1j * im, axis=axis)
    return made.real.astype(re.dtype), made.imag.astype(re.dtype)


FFT_PLAN = Op(
    "prim::fft_plan",
    parse_schema("(int n, dtype dtype) -> Tensor"),
    Kind.BUILTIN,
    lambda facts, n, dtype: TensorType(dtype, (dim(n) * (2 * spread(dim(n))),)),
    _np_plan,
    (),
    lambda d: [Sample((n, BY_NAME[d])) for n in (1, 12, 37)],
    SPECTRAL,
    builtin=BuiltinCall("fft_plan", lambda n, dtype: (const(1), dim(n), const(spread(dim(n))))),
    dtypes=WIDE,
    doc="What `prim::fft` of a length needs: roots of one, and the chirp of lengths with large prime factors.",
)
FFT = Op(
    "prim::fft",
    parse_schema("(Tensor re, Tensor im, Tensor plan, int axis) -> (Tensor, Tensor)"),
    Kind.BUILTIN,
    lambda facts, re, im, plan, axis: (re, re),
    _np_fft,
    (),
    lambda d: [
        Sample((Rand(*s), Rand(*s), fft_plan(s[a], FFT_SPREAD).astype(BY_NAME[d].numpy), a))
        for s, a in (((3, 8), 1), ((2, 37), 1), ((30, 5), 0), ((2, 53, 3), 1), ((20, 4, 2), 1))
    ],
    SPECTRAL,
    builtin=BuiltinCall("fft", _fft_ints),
    dtypes=WIDE,
    doc="The discrete Fourier transform along an axis, not scaled.",
)


# -- one axis -------------------------------------------------------------------------------------
def _floating(b: Builder, x: Any) -> Any:
    """A tensor of floats: integers in the default float."""
    dtype = b.type_of(x).dtype
    if dtype.is_complex or dtype.name in WIDE:
        return x
    if dtype.is_float:
        raise Unsupported(f"a Fourier transform of {dtype.torch_name} is not supported: convert with .float() first")
    return b.emit("prim::cast", x, DEFAULT_FLOAT)


def _parts(b: Builder, x: Any) -> tuple[Any, Any]:
    if b.type_of(x).dtype.is_complex:
        re, im = b.parts(x)
        return re, im
    type_ = b.type_of(x)
    return x, b.emit("prim::full", type_.shape, 0.0, type_.dtype)


def _fitted(b: Builder, x: Any, n: Any, axis: int) -> Any:
    """The tensor cut, or padded with zeros, to n elements along an axis."""
    size = b.type_of(x).shape[axis]
    if n is None or dim(n) == size:
        return x
    if not b.facts.at_most(1, n):
        raise SignatureError(f"a Fourier transform of {n} points: it needs one at least")
    if b.facts.at_most(n, size):
        return x if b.facts.equal(n, size) else b.emit("aten::narrow", x, axis, 0, n)
    shape = list(b.type_of(x).shape)
    shape[axis] = dim(n) - size
    zeros = b.emit("aten::zeros", tuple(shape), b.type_of(x).dtype)
    return b.emit("aten::cat", (x, zeros), axis)


def _length(b: Builder, x: Any, n: Any, axis: int) -> Dim:
    wanted = b.type_of(x).shape[axis] if n is None else dim(n)
    if not b.facts.at_most(1, wanted):
        raise SignatureError(f"a Fourier transform of {wanted} points: it needs one at least")
    return wanted


def _transform(b: Builder, re: Any, im: Any, axis: int) -> tuple[Any, Any]:
    type_ = b.type_of(re)
    plan = b.emit("prim::fft_plan", type_.shape[axis], type_.dtype)
    made = b.emit_all("prim::fft", re, im, plan, axis)
    return made[0], made[1]


def _scaled(b: Builder, x: Any, n: Any, norm: str | None, inverse: bool) -> Any:
    """A result scaled as `norm` says: by n, by its root, or not at all."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise SignatureError(f"the norm {norm!r} of a Fourier transform is none of backward, ortho and forward")
    if norm == "ortho":
        if dim(n).is_const:
            return b.emit("aten::mul", x, 1 / math.sqrt(dim(n).value))
        return b.emit("aten::div", x, b.emit("aten::sqrt", _number(b, n, x)))
    if (norm == "forward") is inverse:
        return x
    return b.emit("aten::mul", x, 1 / dim(n).value) if dim(n).is_const else b.emit("aten::div", x, _number(b, n, x))


def _number(b: Builder, n: Any, like: Any) -> Any:
    return b.emit("prim::cast", b.emit("prim::full", (), dim(n), i64), b.type_of(like).dtype.part)


def fft(b: Builder, x: Any, n: Any, axis: int, norm: str | None, inverse: bool = False) -> Any:
    """The transform of a complex or real tensor along an axis, or its inverse."""
    a = axis_of(axis, b.type_of(x).rank)
    wanted = _length(b, x, n, a)
    re, im = (_fitted(b, p, wanted, a) for p in _parts(b, _floating(b, x)))
    if inverse:
        im, re = _transform(b, im, re, a)
    else:
        re, im = _transform(b, re, im, a)
    return b.complex(*(_scaled(b, p, wanted, norm, inverse) for p in (re, im)))


def rfft(b: Builder, x: Any, n: Any, axis: int, norm: str | None) -> Any:
    """The first half of a real tensor's transform; the second mirrors it."""
    if b.type_of(x).dtype.is_complex:
        raise SignatureError("rfft takes real tensors, as in eager PyTorch")
    a = axis_of(axis, b.type_of(x).rank)
    wanted = _length(b, x, n, a)
    x = _fitted(b, _floating(b, x), wanted, a)
    half = wanted // const(2) + 1
    if wanted.is_const and wanted.value % 2 == 0 and wanted.value >= 4:
        re, im = _of_half(b, x, a)
    else:
        re, im = (b.emit("aten::narrow", p, a, 0, half) for p in _transform(b, *_parts(b, x), a))
    return b.complex(*(_scaled(b, p, wanted, norm, False) for p in (re, im)))


def _turns(b: Builder, n: int, count: int, like: Any, axis: int, sign: float) -> tuple[Any, Any]:
    """cos and sin of 2 pi k / n, times a sign, k < count: constants that broadcast along an axis."""
    type_ = b.type_of(like)
    k = b.emit("prim::cast", b.emit("prim::iota", count), f64)
    angle = b.emit("aten::mul", k, sign * 2 * math.pi / n)
    shape = (count, *(1 for _ in range(type_.rank - axis - 1)))
    made = (b.emit("prim::cast", b.emit(f"aten::{f}", angle), type_.dtype) for f in ("cos", "sin"))
    c, s = (b.emit("prim::reshape", m, shape) for m in made)
    return c, s


def _of_half(b: Builder, x: Any, axis: int) -> tuple[Any, Any]:
    """A real transform of even length as a complex one of half the length: even elements are its real parts.

    With Z the transform of half length and W = exp(-2 pi i k / n), X[k] = E + W O, where E = (Z[k] + conj Z[-k]) / 2
    and O = (Z[k] - conj Z[-k]) / 2i.
    """
    n = b.type_of(x).shape[axis].value
    half = n // 2
    re, im = (b.emit("prim::slice", x, axis, k, 2, half) for k in (0, 1))
    re, im = _transform(b, re, im, axis)
    re, im = (b.emit("aten::cat", (p, b.emit("prim::slice", p, axis, 0, 1, 1)), axis) for p in (re, im))  # Z[half]
    back = [b.emit("prim::flip", p, (axis,)) for p in (re, im)]

    def mean(p: Any, q: Any, op: str) -> Any:
        return b.emit("aten::mul", b.emit(op, p, q), 0.5)

    even = mean(re, back[0], "aten::add"), mean(im, back[1], "aten::sub")
    odd = mean(im, back[1], "aten::add"), mean(back[0], re, "aten::sub")
    c, s = _turns(b, n, half + 1, re, axis, -1.0)
    turned_re = b.emit("aten::sub", b.emit("aten::mul", odd[0], c), b.emit("aten::mul", odd[1], s))
    turned_im = b.emit("aten::add", b.emit("aten::mul", odd[0], s), b.emit("aten::mul", odd[1], c))
    return b.emit("aten::add", even[0], turned_re), b.emit("aten::add", even[1], turned_im)


def irfft(b: Builder, z: Any, n: Any, axis: int, norm: str | None) -> Any:
    """The real tensor whose transform's first half this is; the imaginary parts of its ends do not matter."""
    a = axis_of(axis, b.type_of(z).rank)
    wanted = (b.type_of(z).shape[a] - 1) * 2 if n is None else dim(n)
    if not b.facts.at_most(1, wanted):
        raise SignatureError(f"a Fourier transform of {wanted} points: it needs one at least")
    half = wanted // const(2) + 1
    re, im = (_fitted(b, p, half, a) for p in _parts(b, _floating(b, z)))
    if wanted.is_const and wanted.value % 2 == 0 and wanted.value >= 4:
        made = _into_half(b, re, im, a, wanted.value)
    else:
        rest = wanted - half  # those behind, mirrored
        mirrored = [b.emit("prim::flip", b.emit("prim::slice", p, a, 1, 1, rest), (a,)) for p in (re, im)]
        whole_re = b.emit("aten::cat", (re, mirrored[0]), a)
        whole_im = b.emit("aten::cat", (_without_ends(b, im, a, wanted), b.emit("aten::neg", mirrored[1])), a)
        made = _transform(b, whole_im, whole_re, a)[1]
    return _scaled(b, made, wanted, norm, True)


def _without_ends(b: Builder, im: Any, axis: int, n: Dim) -> Any:
    """Imaginary parts of a half transform, with zeros at frequency 0 and, of even lengths, at the last."""
    type_ = b.type_of(im)
    place = b.emit("prim::iota", type_.shape[axis])
    end = b.emit("aten::logical_or", b.emit("aten::eq", place, 0), b.emit("aten::eq", b.emit("aten::mul", place, 2), n))
    end = b.emit("prim::reshape", end, (type_.shape[axis], *(1 for _ in range(type_.rank - axis - 1))))
    return b.emit("aten::where", end, 0.0, im)


def _into_half(b: Builder, re: Any, im: Any, axis: int, n: int) -> Any:
    """`_of_half` backwards: Z = E + i O, whose inverse transform has the even elements as real parts."""
    half = n // 2
    im = _without_ends(b, im, axis, const(n))
    back = [b.emit("prim::flip", p, (axis,)) for p in (re, im)]
    even = b.emit("aten::add", re, back[0]), b.emit("aten::sub", im, back[1])
    odd = b.emit("aten::sub", re, back[0]), b.emit("aten::add", im, back[1])
    c, s = _turns(b, n, half + 1, re, axis, 1.0)
    odd_re = b.emit("aten::sub", b.emit("aten::mul", odd[0], c), b.emit("aten::mul", odd[1], s))
    odd_im = b.emit("aten::add", b.emit("aten::mul", odd[0], s), b.emit("aten::mul", odd[1], c))
    z_re = b.emit("prim::slice", b.emit("aten::sub", even[0], odd_im), axis, 0, 1, half)
    z_im = b.emit("prim::slice", b.emit("aten::add", even[1], odd_re), axis, 0, 1, half)
    made_im, made_re = _transform(b, z_im, z_re, axis)
    pairs = b.emit("aten::stack", (made_re, made_im), axis + 1)
    shape = b.type_of(re).shape
    return b.emit("prim::reshape", pairs, (*shape[:axis], const(n), *shape[axis + 1 :]))


def _swap_norm(norm: str | None) -> str | None:
    return {None: "forward", "backward": "forward", "forward": "backward"}.get(norm, norm)


def hfft(b: Builder, z: Any, n: Any, axis: int, norm: str | None) -> Any:
    """The real transform of a half of what mirrors itself."""
    return irfft(b, b.emit("aten::conj_physical", z), n, axis, _swap_norm(norm))


def ihfft(b: Builder, x: Any, n: Any, axis: int, norm: str | None) -> Any:
    """The inverse of hfft."""
    return b.emit("aten::conj_physical", rfft(b, x, n, axis, _swap_norm(norm)))


# -- several axes ---------------------------------------------------------------------------------
def _axes(b: Builder, x: Any, sizes: Any, dims: Any) -> list[tuple[int, Any]]:
    """The axes with the lengths that are asked for, in order; a length of -1 keeps the tensor's."""
    rank = b.type_of(x).rank
    if dims is None:
        given = list(range(rank)) if sizes is None else list(range(rank - len(sizes), rank))
    else:
        given = [dims] if isinstance(dims, int) else list(dims)
    axes = [axis_of(d, rank) for d in given]
    if len(set(axes)) < len(axes):
        raise SignatureError("a dim stands twice among those of a Fourier transform")
    if sizes is not None and len(sizes) != len(axes):
        raise SignatureError("a Fourier transform over dims and sizes of different numbers")
    wanted = [None] * len(axes) if sizes is None else [None if dim(s) == -1 else s for s in sizes]
    return list(zip(axes, wanted, strict=True))


def fftn(b: Builder, x: Any, sizes: Any, dims: Any, norm: str | None, inverse: bool = False) -> Any:
    """One axis after the other."""
    axes = _axes(b, x, sizes, dims)
    if not axes:
        x = _floating(b, x)
        return x if b.type_of(x).dtype.is_complex else b.complex(*_parts(b, x))
    for axis, n in axes:
        _length(b, x, n, axis)
    for axis, n in reversed(axes):
        x = fft(b, x, n, axis, norm, inverse)
    return x


def rfftn(b: Builder, x: Any, sizes: Any, dims: Any, norm: str | None) -> Any:
    """Real along the last axis, then complex along the others."""
    axes = _axes(b, x, sizes, dims)
    if not axes:
        raise SignatureError("rfftn must transform one dim at least")
    x = rfft(b, x, axes[-1][1], axes[-1][0], norm)
    for axis, n in reversed(axes[:-1]):
        x = fft(b, x, n, axis, norm)
    return x


def irfftn(b: Builder, z: Any, sizes: Any, dims: Any, norm: str | None) -> Any:
    """Complex along all axes but the last, then real."""
    axes = _axes(b, z, sizes, dims)
    if not axes:
        raise SignatureError("irfftn must transform one dim at least")
    for axis, n in axes[:-1]:
        z = fft(b, z, n, axis, norm, True)
    return irfft(b, z, axes[-1][1], axes[-1][0], norm)


def hfftn(b: Builder, z: Any, sizes: Any, dims: Any, norm: str | None) -> Any:
    """Complex along all axes but the last, then to what is real."""
    axes = _axes(b, z, sizes, dims)
    if not axes:
        raise SignatureError("hfftn must transform one dim at least")
    for axis, n in axes[:-1]:
        z = fft(b, z, n, axis, norm)
    return hfft(b, z, axes[-1][1], axes[-1][0], norm)


def ihfftn(b: Builder, x: Any, sizes: Any, dims: Any, norm: str | None) -> Any:
    """The inverse of hfftn."""
    axes = _axes(b, x, sizes, dims)
    if not axes:
        raise SignatureError("ihfftn must transform one dim at least")
    x = ihfft(b, x, axes[-1][1], axes[-1][0], norm)
    for axis, n in reversed(axes[:-1]):
        x = fft(b, x, n, axis, norm, True)
    return x


# -- frequencies ------------------------------------------------------------------------------------
def fftfreq(b: Builder, n: Any, d: float, dtype: DType | None, real: bool = False) -> Any:
    """The frequencies of a transform's elements: 0, 1, ..., -1 over n d."""
    target = dtype or DEFAULT_FLOAT
    size = dim(n)
    half = (size + 1) // const(2)
    if real:
        k = b.emit("prim::iota", size // const(2) + 1)
    else:
        k = b.emit("prim::iota", size)
        k = b.emit("aten::where", b.emit("aten::ge", k, half), b.emit("aten::sub", k, size), k)
    made = b.emit("prim::cast", k, target)
    if size.is_const:
        return b.emit("aten::mul", made, 1.0 / (size.value * d))
    scale = b.emit(
        "aten::reciprocal", b.emit("aten::mul", b.emit("prim::cast", b.emit("prim::full", (), size, i64), f64), d)
    )
    return b.emit("aten::mul", made, b.emit("prim::cast", scale, target))


# -- short windows --------------------------------------------------------------------------------
def _window(b: Builder, window: Any, length: Any, n_fft: Any, like: Any) -> Any:
    """The window, with zeros on both sides up to n_fft; ones where there is none."""
    size = n_fft if length is None else b.facts.int_of(length)
    dtype = b.type_of(like).dtype.part
    if window is None:
        window = b.emit("aten::ones", (size,), dtype)
    if b.type_of(window).dtype.is_complex:
        raise Unsupported("a complex window is not supported")
    if not b.facts.equal(b.type_of(window).shape[0], size) or not 0 < size <= n_fft:
        raise SignatureError(f"a window of {b.type_of(window)} for win_length={size} and n_fft={n_fft}")
    left = (n_fft - size) // 2
    return window if size == n_fft else b.emit("aten::constant_pad_nd", window, (left, n_fft - size - left), 0.0)


def stft(
    b: Builder,
    x: Any,
    n_fft: Any,
    hop_length: Any,
    win_length: Any,
    window: Any,
    normalized: bool,
    onesided: bool | None,
    return_complex: bool | None,
    align_to_window: bool | None,
) -> Any:
    """The transform of every window of n_fft elements, hop_length apart: frequencies, then windows."""
    n = b.facts.int_of(n_fft)
    if align_to_window:
        raise Unsupported("stft with align_to_window is not supported")
    if b.type_of(x).rank not in (1, 2) or b.type_of(x).dtype.name not in (*WIDE, "c64", "c128"):
        raise Unsupported(f"stft of {b.type_of(x)}: it takes signals of float32 or float64, one or a batch")
    hop = max(n // 4, 1) if hop_length is None else b.facts.int_of(hop_length)
    of_complex = b.type_of(x).dtype.is_complex
    half = not of_complex if onesided is None else onesided
    if half and of_complex:
        raise SignatureError("stft of a complex signal is not onesided")
    if hop <= 0 or not b.facts.at_most(n, b.type_of(x).shape[-1]):
        raise SignatureError(f"stft of {b.type_of(x)} with n_fft={n} and hop_length={hop}")
    shaped = _window(b, window, win_length, n, x)
    frames = b.emit("aten::mul", b.emit("aten::unfold", x, -1, n, hop), shaped)
    norm = "ortho" if normalized else None
    made = rfft(b, frames, None, -1, norm) if half else fft(b, frames, None, -1, norm)
    made = b.emit("aten::transpose", made, -1, -2)
    return made if return_complex else b.emit("aten::view_as_real", made)


def istft(
    b: Builder,
    z: Any,
    n_fft: Any,
    hop_length: Any,
    win_length: Any,
    window: Any,
    center: bool,
    normalized: bool,
    onesided: bool | None,
    length: Any,
    return_complex: bool,
) -> Any:
    """The signal whose short-time transform this is: windows overlap and add, over the sum of their squares."""
    n = b.facts.int_of(n_fft)
    if return_complex or onesided is False or not b.type_of(z).dtype.is_complex:
        raise Unsupported("istft gives real signals of onesided transforms only")
    hop = max(n // 4, 1) if hop_length is None else b.facts.int_of(hop_length)
    batched = b.type_of(z).rank == 3
    z = z if batched else b.emit("aten::unsqueeze", z, 0)
    shaped = _window(b, window, win_length, n, z)
    made = irfft(b, b.emit("aten::transpose", z, -1, -2), n, -1, "ortho" if normalized else None)
    made = b.emit("aten::transpose", b.emit("aten::mul", made, shaped), -1, -2)  # batch, n, windows
    windows = b.type_of(made).shape[-1]
    total = (windows - 1) * hop + n
    square = b.emit("aten::mul", shaped, shaped)
    square = b.emit("aten::expand", b.emit("aten::unsqueeze", square, 1), (n, windows))
    signal, weight = (_overlapped(b, v, total, n, hop) for v in (made, b.emit("aten::unsqueeze", square, 0)))
    start = n // 2 if center else 0
    end = total if length is None else dim(length) + start
    if length is None and center:
        end = total - n // 2
    if not b.facts.at_most(end, total):
        raise Unsupported("istft with a length beyond the last window: pad the result with torch.nn.functional.pad")
    signal, weight = (b.emit("aten::narrow", v, -1, start, dim(end) - start) for v in (signal, weight))
    empty = b.emit("aten::any", b.emit("aten::lt", b.emit("aten::abs", weight), 1e-11), None, False)
    b.guard(empty, False, "istft: the windows leave a gap, where eager PyTorch raises an error")
    made = b.emit("aten::div", signal, weight)
    return made if batched else b.emit("aten::squeeze", made, 0)


def _overlapped(b: Builder, columns: Any, total: Dim, n: int, hop: int) -> Any:
    """Columns of n elements, added up `hop` apart."""
    batch = b.type_of(columns).shape[0]
    made = b.emit("aten::col2im", columns, (const(1), total), (1, n), (1, 1), (0, 0), (1, hop))
    return b.emit("prim::reshape", made, (batch, total))


# -- the table ------------------------------------------------------------------------------------
ONE = "(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor"
MANY = "(Tensor self, int[]? s=None, int[]? dim=None, str? norm=None) -> Tensor"
TWO = "(Tensor self, int[]? s=None, int[] dim=[-2, -1], str? norm=None) -> Tensor"


def _np(name: str) -> Callable[..., Any]:
    """NumPy's function of the same name, in the tensor's precision."""

    def reference(x: np.ndarray, n: Any = None, axis: Any = -1, norm: str | None = None) -> np.ndarray:
        data = x if x.dtype.kind in "fc" else x.astype(np.float32)
        if data.dtype == np.float16:
            raise Unsupported("half floats")
        fn: Any = getattr(np.fft, name)
        made = fn(data.astype(np.complex128 if data.dtype.kind == "c" else np.float64), n, axis, norm)
        narrow = data.real.dtype == np.float32
        return np.asarray(
            made.astype((np.complex64 if narrow else np.complex128) if made.dtype.kind == "c" else data.real.dtype)
        )

    return reference


def _on_arrays(decompose: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: decompose(ON_ARRAYS, *args)


def _op(name: str, schema: str, decompose: Callable[..., Any], reference: Any, *samples: tuple[Any, ...]) -> Op:
    return composite(
        f"aten::{name}",
        schema,
        "default",
        decompose,
        reference,
        lambda d: [Sample(s) for s in samples],
        dtypes=WIDE,
        tolerance=SPECTRAL,
    )


def _inverted(decompose: Callable[..., Any]) -> Callable[..., Any]:
    return lambda b, x, n, axis, norm: decompose(b, x, n, axis, norm, True)


SIGNALS: Sequence[tuple[Any, ...]] = ((Rand(3, 8),), (Rand(3, 7), None, 0, "ortho"), (Rand(2, 12), 10, 1, "forward"))
PLANES: Sequence[tuple[Any, ...]] = ((Rand(2, 6, 5),), (Rand(4, 8), (6, 9), (0, 1), "ortho"))
FOURIER: list[Op] = [
    FFT_PLAN,
    FFT,
    _op("fft_fft", ONE, fft, _np("fft"), *SIGNALS, (Rand(37),)),
    _op("fft_ifft", ONE, _inverted(fft), _np("ifft"), *SIGNALS),
    _op("fft_rfft", ONE, rfft, _np("rfft"), *SIGNALS),
    _op("fft_irfft", ONE, irfft, _np("irfft"), *SIGNALS),
    _op("fft_hfft", ONE, hfft, _np("hfft"), *SIGNALS),
    _op("fft_ihfft", ONE, ihfft, _np("ihfft"), *SIGNALS),
    _op("fft_fftn", MANY, fftn, _np("fftn"), *PLANES),
    _op("fft_ifftn", MANY, _inverted(fftn), _np("ifftn"), *PLANES),
    _op("fft_rfftn", MANY, rfftn, _np("rfftn"), *PLANES),
    _op("fft_irfftn", MANY, irfftn, _np("irfftn"), *PLANES),
    _op("fft_hfftn", MANY, hfftn, _on_arrays(hfftn), *PLANES),
    _op("fft_ihfftn", MANY, ihfftn, _on_arrays(ihfftn), *PLANES),
    _op("fft_fft2", TWO, fftn, _np("fft2"), *PLANES),
    _op("fft_ifft2", TWO, _inverted(fftn), _np("ifft2"), *PLANES),
    _op("fft_rfft2", TWO, rfftn, _np("rfft2"), *PLANES),
    _op("fft_irfft2", TWO, irfftn, _np("irfft2"), *PLANES),
    _op("fft_hfft2", TWO, hfftn, _on_arrays(hfftn), *PLANES),
    _op("fft_ihfft2", TWO, ihfftn, _on_arrays(ihfftn), *PLANES),
    _op(
        "fft_fftfreq",
        "(int n, float d=1.0, *, dtype? dtype=None) -> Tensor",
        fftfreq,
        lambda n, d=1.0, dtype=None: np.fft.fftfreq(n, d).astype((dtype or DEFAULT_FLOAT).numpy),
        (8,),
        (7, 0.5),
    ),
    _op(
        "fft_rfftfreq",
        "(int n, float d=1.0, *, dtype? dtype=None) -> Tensor",
        lambda b, n, d, dtype: fftfreq(b, n, d, dtype, True),
        lambda n, d=1.0, dtype=None: np.fft.rfftfreq(n, d).astype((dtype or DEFAULT_FLOAT).numpy),
        (8,),
        (7, 0.5),
    ),
    _op(
        "stft",
        "(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, "
        "bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor",
        stft,
        _on_arrays(stft),
        (Rand(2, 40), 8, 4, 6, Rand(6), False, None, True),
        (Rand(33), 8, None, None, None, True, False, True),
    ),
    _op(
        "istft",
        "(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True, "
        "bool normalized=False, bool? onesided=None, int? length=None, bool return_complex=False) -> Tensor",
        istft,
        _on_arrays(istft),
        (np.ones((2, 5, 6), np.complex64) * (1 + 1j), 8, 4),
    ),
]
