"""Fourier transforms over several axes, frequencies, and the table of PyTorch's transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DEFAULT_FLOAT, DType, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import const, dim
from unmoor.ir.op import Builder, Op, Sample
from unmoor.ops.family import axis_of, composite
from unmoor.ops.fft import FFT, FFT_PLAN, SPECTRAL, WIDE
from unmoor.ops.formula import ON_ARRAYS
from unmoor.ops.fourier import fft, floating, hfft, ihfft, irfft, length, parts, rfft
from unmoor.ops.samples import Rand


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
        x = floating(b, x)
        return x if b.type_of(x).dtype.is_complex else b.complex(*parts(b, x))
    for axis, n in axes:
        length(b, x, n, axis)
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


# -- the table --------------------------------------------------------------------------------------
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


def on_arrays(decompose: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: decompose(ON_ARRAYS, *args)


def spectral(name: str, schema: str, decompose: Callable[..., Any], reference: Any, *samples: tuple[Any, ...]) -> Op:
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
    spectral("fft_fft", ONE, fft, _np("fft"), *SIGNALS, (Rand(37),)),
    spectral("fft_ifft", ONE, _inverted(fft), _np("ifft"), *SIGNALS),
    spectral("fft_rfft", ONE, rfft, _np("rfft"), *SIGNALS),
    spectral("fft_irfft", ONE, irfft, _np("irfft"), *SIGNALS),
    spectral("fft_hfft", ONE, hfft, _np("hfft"), *SIGNALS),
    spectral("fft_ihfft", ONE, ihfft, _np("ihfft"), *SIGNALS),
    spectral("fft_fftn", MANY, fftn, _np("fftn"), *PLANES),
    spectral("fft_ifftn", MANY, _inverted(fftn), _np("ifftn"), *PLANES),
    spectral("fft_rfftn", MANY, rfftn, _np("rfftn"), *PLANES),
    spectral("fft_irfftn", MANY, irfftn, _np("irfftn"), *PLANES),
    spectral("fft_hfftn", MANY, hfftn, on_arrays(hfftn), *PLANES),
    spectral("fft_ihfftn", MANY, ihfftn, on_arrays(ihfftn), *PLANES),
    spectral("fft_fft2", TWO, fftn, _np("fft2"), *PLANES),
    spectral("fft_ifft2", TWO, _inverted(fftn), _np("ifft2"), *PLANES),
    spectral("fft_rfft2", TWO, rfftn, _np("rfft2"), *PLANES),
    spectral("fft_irfft2", TWO, irfftn, _np("irfft2"), *PLANES),
    spectral("fft_hfft2", TWO, hfftn, on_arrays(hfftn), *PLANES),
    spectral("fft_ihfft2", TWO, ihfftn, on_arrays(ihfftn), *PLANES),
    spectral(
        "fft_fftfreq",
        "(int n, float d=1.0, *, dtype? dtype=None) -> Tensor",
        fftfreq,
        lambda n, d=1.0, dtype=None: np.fft.fftfreq(n, d).astype((dtype or DEFAULT_FLOAT).numpy),
        (8,),
        (7, 0.5),
    ),
    spectral(
        "fft_rfftfreq",
        "(int n, float d=1.0, *, dtype? dtype=None) -> Tensor",
        lambda b, n, d, dtype: fftfreq(b, n, d, dtype, True),
        lambda n, d=1.0, dtype=None: np.fft.rfftfreq(n, d).astype((dtype or DEFAULT_FLOAT).numpy),
        (8,),
        (7, 0.5),
    ),
]
