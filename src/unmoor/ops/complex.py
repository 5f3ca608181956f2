"""Complex tensors: made of real ones and taken apart; what other ops do with them stands in `complex_rules`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DEFAULT_FLOAT
from unmoor.errors import SignatureError
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import CLOSE, EXACT, composite
from unmoor.ops.samples import Rand
from unmoor.ops.slicing import select

WIDE = ("f32", "f64")
UNARY = "(Tensor self) -> Tensor"


def of_parts(b: Builder, re: Any, im: Any) -> Any:
    """The complex tensor of two parts, broadcast together."""
    types = b.type_of(re), b.type_of(im)
    if types[0].dtype is not types[1].dtype or types[0].dtype.name not in WIDE:
        raise SignatureError(f"complex of {types[0]} and {types[1]}: eager PyTorch wants two of float32 or float64")
    return b.complex(*b.emit_all("aten::broadcast_tensors", (re, im)))


def polar(b: Builder, size: Any, angle: Any) -> Any:
    """size * (cos(angle) + i sin(angle))."""
    parts = (b.emit("aten::mul", size, b.emit(f"aten::{f}", angle)) for f in ("cos", "sin"))
    if b.type_of(size).dtype is not b.type_of(angle).dtype or b.type_of(size).dtype.name not in WIDE:
        raise SignatureError("polar wants two tensors of float32 or of float64, as in eager PyTorch")
    return b.complex(*parts)


def view_as_complex(b: Builder, x: Any) -> Any:
    """Pairs along the last axis as complex numbers."""
    type_ = b.type_of(x)
    if not type_.rank or type_.dtype.name not in WIDE or not b.facts.equal(type_.shape[-1], 2):
        raise SignatureError(f"view_as_complex of {type_}: it needs a last dim of size 2, in float32 or float64")
    return b.complex(*(select(b, x, -1, k) for k in (0, 1)))


def _needs_complex(name: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any) -> Any:
        raise SignatureError(f"{name} of the real tensor {b.type_of(x)}: eager PyTorch refuses it")

    return decompose


def _angle(b: Builder, x: Any) -> Any:
    """Of real numbers: pi where they are negative."""
    x = x if b.type_of(x).dtype.is_float else b.emit("prim::cast", x, DEFAULT_FLOAT)
    below = b.emit("aten::lt", x, 0.0)
    made = b.emit("aten::where", below, math.pi, b.emit("aten::zeros_like", x))
    return b.emit("aten::where", b.emit("aten::isnan", x), x, made)


def _np_angle(x: np.ndarray) -> np.ndarray:
    data = x if x.dtype.kind in "fc" else x.astype(np.float32)
    return np.asarray(np.where(np.isnan(data), data, np.angle(data)).astype(data.real.dtype))


def _op(name: str, schema: str, decompose: Any, reference: Any, samples: Any, tolerance: Tolerance = EXACT) -> Op:
    def made(d: str) -> Sequence[Sample]:
        return [Sample(s) for s in samples]

    return composite(f"aten::{name}", schema, "default", decompose, reference, made, dtypes=WIDE, tolerance=tolerance)


def _np_complex(re: np.ndarray, im: np.ndarray) -> np.ndarray:
    made = np.empty(np.broadcast_shapes(re.shape, im.shape), np.complex64 if re.dtype == np.float32 else np.complex128)
    made.real, made.imag = re, im
    return made


COMPLEX: list[Op] = [
    _op(
        "complex",
        "(Tensor real, Tensor imag) -> Tensor",
        of_parts,
        _np_complex,
        [(Rand(2, 3), Rand(2, 3)), (Rand(3), Rand(2, 1))],
    ),
    _op(
        "polar",
        "(Tensor abs, Tensor angle) -> Tensor",
        polar,
        lambda size, angle: _np_complex(size * np.cos(angle), size * np.sin(angle)),
        [(Rand(2, 3), Rand(2, 3))],
        CLOSE,
    ),
    _op(
        "view_as_complex",
        UNARY,
        view_as_complex,
        lambda x: _np_complex(x[..., 0], x[..., 1]),
        [(Rand(3, 2),), (Rand(2, 3, 2),)],
    ),
    _op(
        "view_as_real",
        UNARY,
        _needs_complex("view_as_real"),
        lambda z: np.stack([z.real, z.imag], -1),
        [(np.array([1 + 2j, 3 - 1j], np.complex64),)],
    ),
    _op("real", UNARY, lambda b, x: x, np.real, [(Rand(2, 3),)]),
    _op("imag", UNARY, _needs_complex("imag"), np.imag, [(np.array([1 + 2j, 3 - 1j], np.complex64),)]),
    _op("_conj", UNARY, lambda b, x: x, np.conj, [(np.array([1 + 2j, 3 - 1j], np.complex64),)]),
    _op("conj_physical", UNARY, lambda b, x: x, np.conj, [(Rand(2, 3),)]),
    _op("angle", UNARY, _angle, _np_angle, [(Rand(2, 3),)], CLOSE),
]
