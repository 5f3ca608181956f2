"""Fourier transforms over one axis, of real and complex tensors, of any length.

The runtime's `fft` transforms complex rows without scaling; everything else is written with it. An inverse transform
is a forward one with the parts exchanged before and after it.
"""

from __future__ import annotations

import math
from typing import Any

from unmoor.dtypes import DEFAULT_FLOAT, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim
from unmoor.ir.op import Builder
from unmoor.ops.family import axis_of
from unmoor.ops.fft import WIDE, transform


def floating(b: Builder, x: Any) -> Any:
    """A tensor of floats: integers in the default float."""
    dtype = b.type_of(x).dtype
    if dtype.is_complex or dtype.name in WIDE:
        return x
    if dtype.is_float:
        raise Unsupported(f"a Fourier transform of {dtype.torch_name} is not supported: convert with .float() first")
    return b.emit("prim::cast", x, DEFAULT_FLOAT)


def parts(b: Builder, x: Any) -> tuple[Any, Any]:
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


def length(b: Builder, x: Any, n: Any, axis: int) -> Dim:
    wanted = b.type_of(x).shape[axis] if n is None else dim(n)
    if not b.facts.at_most(1, wanted):
        raise SignatureError(f"a Fourier transform of {wanted} points: it needs one at least")
    return wanted


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
    wanted = length(b, x, n, a)
    re, im = (_fitted(b, p, wanted, a) for p in parts(b, floating(b, x)))
    if inverse:
        im, re = transform(b, im, re, a)
    else:
        re, im = transform(b, re, im, a)
    return b.complex(*(_scaled(b, p, wanted, norm, inverse) for p in (re, im)))


def rfft(b: Builder, x: Any, n: Any, axis: int, norm: str | None) -> Any:
    """The first half of a real tensor's transform; the second mirrors it."""
    if b.type_of(x).dtype.is_complex:
        raise SignatureError("rfft takes real tensors, as in eager PyTorch")
    a = axis_of(axis, b.type_of(x).rank)
    wanted = length(b, x, n, a)
    x = _fitted(b, floating(b, x), wanted, a)
    half = wanted // const(2) + 1
    if wanted.is_const and wanted.value % 2 == 0 and wanted.value >= 4:
        re, im = _of_half(b, x, a)
    else:
        re, im = (b.emit("aten::narrow", p, a, 0, half) for p in transform(b, *parts(b, x), a))
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
    re, im = transform(b, re, im, axis)
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
    re, im = (_fitted(b, p, half, a) for p in parts(b, floating(b, z)))
    if wanted.is_const and wanted.value % 2 == 0 and wanted.value >= 4:
        made = _into_half(b, re, im, a, wanted.value)
    else:
        rest = wanted - half  # those behind, mirrored
        mirrored = [b.emit("prim::flip", b.emit("prim::slice", p, a, 1, 1, rest), (a,)) for p in (re, im)]
        whole_re = b.emit("aten::cat", (re, mirrored[0]), a)
        whole_im = b.emit("aten::cat", (_without_ends(b, im, a, wanted), b.emit("aten::neg", mirrored[1])), a)
        made = transform(b, whole_im, whole_re, a)[1]
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
    made_im, made_re = transform(b, z_im, z_re, axis)
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
