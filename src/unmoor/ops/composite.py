"""Composite ops: normalisations, softmax, dropout in eval, copies and casts, all taken apart into core ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DType
from unmoor.errors import Unsupported
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import CLOSE, EVERY, EXACT, FLOATS, composite, in_dtype
from unmoor.ops.reduction import mean, np_variance, variance
from unmoor.ops.samples import Ints, Rand


def _cast(b: Builder, x: Any, dtype: DType | None) -> Any:
    return x if dtype is None or b.type_of(x).dtype is dtype else b.emit("prim::cast", x, dtype)


def softmax(b: Builder, x: Any, dim: int, dtype: DType | None) -> Any:
    """exp(x - max) times the reciprocal of its sum, along one axis: one division a row, not one an element."""
    x = _cast(b, x, dtype)
    if not b.type_of(x).rank:
        return b.emit("aten::exp", b.emit("aten::sub", x, x))
    if not b.facts.at_most(1, b.type_of(x).shape[dim]):
        return b.emit("aten::exp", x)  # without elements, as there is nothing along the axis
    shifted = b.emit("aten::sub", x, b.emit("aten::amax", x, (dim,), True))
    e = b.emit("aten::exp", shifted)
    return b.emit("aten::mul", e, b.emit("aten::reciprocal", b.emit("aten::sum", e, (dim,), True, None)))


def log_softmax(b: Builder, x: Any, dim: int, dtype: DType | None) -> Any:
    """x - max - log(sum(exp(x - max))), along one axis."""
    x = _cast(b, x, dtype)
    if b.type_of(x).rank and not b.facts.at_most(1, b.type_of(x).shape[dim]):
        return b.emit("aten::exp", x)  # without elements, as there is nothing along the axis
    shifted = b.emit("aten::sub", x, b.emit("aten::amax", x, (dim,), True))
    return b.emit(
        "aten::sub", shifted, b.emit("aten::log", b.emit("aten::sum", b.emit("aten::exp", shifted), (dim,), True, None))
    )


def layer_norm(b: Builder, x: Any, shape: Sequence[Any], weight: Any, bias: Any, eps: float, cudnn: bool) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the trailing axes (Ba, Kiros, Hinton 2016)."""
    rank = b.type_of(x).rank
    axes = tuple(range(rank - len(shape), rank))
    scale = b.emit("aten::rsqrt", b.emit("aten::add", variance(b, x, axes, 0, True), eps))
    made = b.emit("aten::mul", b.emit("aten::sub", x, mean(b, x, axes, True)), scale)
    made = made if weight is None else b.emit("aten::mul", made, weight)
    return made if bias is None else b.emit("aten::add", made, bias)


def rms_norm(b: Builder, x: Any, shape: Sequence[Any], weight: Any, eps: float | None) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight over the trailing axes (Zhang, Sennrich 2019)."""
    type_ = b.type_of(x)
    axes = tuple(range(type_.rank - len(shape), type_.rank))
    tiny = float(np.finfo(type_.dtype.numpy).eps) if eps is None else eps
    made = b.emit(
        "aten::mul", x, b.emit("aten::rsqrt", b.emit("aten::add", mean(b, b.emit("aten::mul", x, x), axes, True), tiny))
    )
    return made if weight is None else b.emit("aten::mul", made, weight)


def batch_norm(
    b: Builder,
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Any:
    """Normalisation by the running statistics, along axis 1: a factor and a term for each channel, as in eager."""
    if training or running_mean is None:
        raise Unsupported("batch_norm in training mode: call .eval() before tracing")
    rank = b.type_of(x).rank

    def column(v: Any) -> Any:
        return b.emit("prim::reshape", v, (1, b.type_of(v).shape[0], *(1 for _ in range(rank - 2)))) if rank > 1 else v

    scale = b.emit("aten::rsqrt", b.emit("aten::add", running_var, eps))
    scale = scale if weight is None else b.emit("aten::mul", scale, weight)
    shift = b.emit("aten::mul", running_mean, scale)
    shift = b.emit("aten::neg", shift) if bias is None else b.emit("aten::sub", bias, shift)
    return b.emit("aten::add", b.emit("aten::mul", x, column(scale)), column(shift))


def dropout(b: Builder, x: Any, p: float, train: bool) -> Any:
    """The tensor itself, in eval mode."""
    if train and p != 0:
        raise Unsupported("dropout in training mode draws random numbers: call .eval() before tracing")
    return x


def _np_softmax(x: np.ndarray, dim: int, dtype: DType | None = None) -> np.ndarray:
    data = in_dtype(x, dtype) if dtype else x
    e = np.exp(data - np.max(data, axis=dim, keepdims=True)) if data.size else data
    return np.asarray(e / np.sum(e, axis=dim, keepdims=True))


def _np_layer_norm(
    x: np.ndarray, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn: bool = True
) -> np.ndarray:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    made = (x - x.mean(axes, keepdims=True)) / np.sqrt(np_variance(x, axes, 0, True) + eps)
    return np.asarray((made * (1 if weight is None else weight)) + (0 if bias is None else bias)).astype(x.dtype)


def _np_rms_norm(x: np.ndarray, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> np.ndarray:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    made = x / np.sqrt((x * x).mean(axes, keepdims=True) + (np.finfo(x.dtype).eps if eps is None else eps))
    return np.asarray(made * (1 if weight is None else weight)).astype(x.dtype)


def _np_batch_norm(
    x: np.ndarray,
    w: Any,
    b: Any,
    m: np.ndarray,
    v: np.ndarray,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> np.ndarray:
    def column(a: np.ndarray) -> np.ndarray:
        return a.reshape(1, -1, *(1 for _ in range(x.ndim - 2))) if x.ndim > 1 else a

    made = (x - column(m)) / np.sqrt(column(v) + eps)
    return np.asarray(made * (1 if w is None else column(w)) + (0 if b is None else column(b))).astype(x.dtype)


def _lerp(b: Builder, x: Any, end: Any, weight: Any) -> Any:
    return b.emit("aten::add", x, b.emit("aten::mul", weight, b.emit("aten::sub", end, x)))


def _add_scaled(op: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any, t1: Any, t2: Any, value: Any) -> Any:
        whole = op == "aten::mul" and not any(b.type_of(t).dtype.is_float for t in (x, t1, t2))
        scale = int(value) if whole and isinstance(value, float) else value  # of integers, PyTorch truncates it
        return b.emit("aten::add", x, b.emit("aten::mul", b.emit(op, t1, t2), scale))

    return decompose


def _one(*samples: tuple[Any, ...]) -> Callable[[str], Sequence[Sample]]:
    return lambda d: [Sample(s) for s in samples]


def _same(dtype: str) -> list[Sample]:
    return [Sample(((Rand if dtype in FLOATS else Ints)(2, 3),))]


def _identity(name: str) -> Op:
    return composite(
        f"aten::{name}",
        "(Tensor self) -> Tensor",
        "default",
        lambda b, x: x,
        lambda x: x,
        _same,
        dtypes=EVERY,
        tolerance=EXACT,
    )


LAYER_NORM = (
    "(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
    "bool cudnn_enable=True) -> Tensor"
)
BATCH_NORM = (
    "(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, "
    "float momentum, float eps, bool cudnn_enabled) -> Tensor"
)
LOG_SOFTMAX = Tolerance(
    {**CLOSE.rtol, "f16": 2.0**-10, "bf16": 2.0**-7},
    {**CLOSE.atol, "f16": 2.0**-10, "bf16": 2.0**-7},
    "own exp and log; along the last axis eager rounds the logarithm to half floats before it subtracts, we the result",
)
COMPOSITE: list[Op] = [
    *(_identity(n) for n in ("clone", "contiguous", "detach", "alias", "lift_fresh", "lift_fresh_copy")),
    composite(
        "aten::to",
        "(Tensor self, dtype? dtype=None) -> Tensor",
        "to.dtype to.device to.dtype_layout to.other _to_copy.default type_as.default",
        _cast,
        lambda x, d=None: in_dtype(x, d) if d else x,
        _same,
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    composite(
        "aten::softmax",
        "(Tensor self, int dim, dtype? dtype=None) -> Tensor",
        "softmax.int",
        softmax,
        _np_softmax,
        _one((Rand(3, 17), 1), (Rand(3, 4, 5), 0), (Rand(9), -1)),
    ),
    composite(
        "aten::_softmax",
        "(Tensor self, int dim, bool half_to_float) -> Tensor",
        "default",
        lambda b, x, d, h: softmax(b, x, d, None),
        lambda x, d, h: _np_softmax(x, d),
        _one((Rand(3, 17), 1, False)),
    ),
    composite(
        "aten::log_softmax",
        "(Tensor self, int dim, dtype? dtype=None) -> Tensor",
        "log_softmax.int",
        log_softmax,
        lambda x, d, t=None: np.log(_np_softmax(x, d, t)),
        _one((Rand(3, 17), 1), (Rand(3, 4, 5), 0)),
        tolerance=LOG_SOFTMAX,
    ),
    composite(
        "aten::_log_softmax",
        "(Tensor self, int dim, bool half_to_float) -> Tensor",
        "default",
        lambda b, x, d, h: log_softmax(b, x, d, None),
        lambda x, d, h: np.log(_np_softmax(x, d)),
        _one((Rand(3, 17), 1, False)),
        tolerance=LOG_SOFTMAX,
    ),
    composite(
        "aten::layer_norm",
        LAYER_NORM,
        "default",
        layer_norm,
        _np_layer_norm,
        _one((Rand(3, 17), (17,), Rand(17), Rand(17)), (Rand(2, 3, 4), (3, 4))),
    ),
    composite(
        "aten::rms_norm",
        "(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
        "default",
        rms_norm,
        _np_rms_norm,
        _one((Rand(3, 17), (17,), Rand(17), 1e-6), (Rand(3, 17), (17,))),
    ),
    composite(
        "aten::batch_norm",
        BATCH_NORM,
        "default",
        batch_norm,
        _np_batch_norm,
        _one((Rand(3, 4, 5), Rand(4), Rand(4), Rand(4), np.array([0.5, 1.0, 2.0, 1.5]), False, 0.1, 1e-5, True)),
    ),
    *(
        composite(
            f"aten::{name}",
            "(Tensor input, float p, bool train) -> Tensor",
            "default",
            dropout,
            lambda x, p, t: x,
            _one((Rand(3, 4), 0.5, False)),
            tolerance=EXACT,
        )
        for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    ),
    composite(
        "aten::lerp",
        "(Tensor self, Tensor end, Tensor weight) -> Tensor",
        "Tensor Scalar",
        _lerp,
        lambda x, e, w: x + w * (e - x),
        _one((Rand(3, 4), Rand(3, 4), 0.3), (Rand(3, 4), Rand(4), Rand(3, 4))),
    ),
    composite(
        "aten::addcmul",
        "(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
        "default",
        _add_scaled("aten::mul"),
        lambda x, a, b, v=1: x + v * a * b,
        _one((Rand(3, 4), Rand(4), Rand(3, 1))),
    ),
    composite(
        "aten::addcdiv",
        "(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
        "default",
        _add_scaled("aten::div"),
        lambda x, a, b, v=1: x + v * a / b,
        _one((Rand(3, 4), Rand(4), Rand(3, 1, shift=5.0))),
    ),
]
