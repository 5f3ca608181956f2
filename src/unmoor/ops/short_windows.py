"""Fourier transforms in short windows: `stft`, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim
from unmoor.ir.op import Builder, Op
from unmoor.ops.fft import WIDE
from unmoor.ops.fourier import fft, irfft, rfft
from unmoor.ops.fourier_axes import on_arrays, spectral
from unmoor.ops.samples import Rand


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


SHORT_WINDOWS: list[Op] = [
    spectral(
        "stft",
        "(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, "
        "bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor",
        stft,
        on_arrays(stft),
        (Rand(2, 40), 8, 4, 6, Rand(6), False, None, True),
        (Rand(33), 8, None, None, None, True, False, True),
    ),
    spectral(
        "istft",
        "(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True, "
        "bool normalized=False, bool? onesided=None, int? length=None, bool return_complex=False) -> Tensor",
        istft,
        on_arrays(istft),
        (np.ones((2, 5, 6), np.complex64) * (1 + 1j), 8, 4),
    ),
]
