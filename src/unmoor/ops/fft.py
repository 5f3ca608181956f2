"""The fast Fourier transform: the core op over one axis of a tensor's parts, and the plan that it needs of a length."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import BY_NAME, DType
from unmoor.ir.builtin import FFT_LARGEST_FACTOR, FFT_SPREAD, FFT_STRANDS
from unmoor.ir.dim import Dim, const, dim, dmin, product
from unmoor.ir.op import Builder, BuiltinCall, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.samples import Rand
from unmoor.ops.schema import parse_schema

WIDE = ("f32", "f64")
SPECTRAL = Tolerance(
    {"f32": 4e-6, "f64": 2e-14},
    {"f32": 1e-5, "f64": 2e-14},
    "sums of all elements in another order; an element may be small among large ones",
)


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


def transform(b: Builder, re: Any, im: Any, axis: int) -> tuple[Any, Any]:
    type_ = b.type_of(re)
    plan = b.emit("prim::fft_plan", type_.shape[axis], type_.dtype)
    made = b.emit_all("prim::fft", re, im, plan, axis)
    return made[0], made[1]
