"""Reductions along axes: the core folds, and PyTorch's ops as compositions of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DType, bool_, i64, u8
from unmoor.errors import SignatureError
from unmoor.ir.dim import const, dmax, product
from unmoor.ir.op import Builder, Facts, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.family import CLOSE, COMPUTED, EVERY, FLOATS, NUMBERS, axes_of, composite, in_dtype
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema


def reduced_shape(shape: tuple[Any, ...], axes: Sequence[int], keepdim: bool) -> tuple[Any, ...]:
    """The shape after folding `axes`."""
    if keepdim:
        return tuple(const(1) if a in axes else d for a, d in enumerate(shape))
    return tuple(d for a, d in enumerate(shape) if a not in axes)


def _core(name: str, fold: str, reference: Callable[..., Any]) -> Op:
    """A core reduction: axes sorted and counted from the front, dtype unchanged but for argmax and argmin."""

    def infer(facts: Facts, x: TensorType, dim: tuple[int, ...], keepdim: bool) -> TensorType:
        dtype = i64 if fold.startswith("arg") else x.dtype
        return TensorType(dtype, reduced_shape(x.shape, [int(str(d)) for d in dim], keepdim))

    def evaluate(x: np.ndarray, dim: tuple[int, ...], keepdim: bool) -> np.ndarray:
        return np.asarray(reference(x, tuple(dim), bool(keepdim)))

    return Op(
        f"prim::{name}",
        parse_schema("(Tensor self, int[] dim, bool keepdim) -> Tensor"),
        Kind.REDUCE,
        infer,
        evaluate,
        (),
        lambda d: [
            Sample(((Rand if d in FLOATS else Ints)(3, 17), (1,), True)),
            Sample(((Rand if d in FLOATS else Ints)(3, 4, 5), (0, 2), False)),
        ],
        CLOSE,
        lower=fold,
        dtypes=("bool",) if fold in ("and", "or") else COMPUTED,
    )


def _np_arg(x: np.ndarray, dim: tuple[int, ...], keepdim: bool, pick: Callable[..., Any]) -> np.ndarray:
    rest = [a for a in range(x.ndim) if a not in dim]
    flat = np.transpose(x, (*rest, *dim)).reshape(*(x.shape[a] for a in rest), math.prod(x.shape[a] for a in dim))
    found = pick(flat, axis=-1)
    return np.asarray(found.reshape([1 if a in dim else n for a, n in enumerate(x.shape)]) if keepdim else found)


CORE: list[Op] = [
    _core("sum", "add", lambda x, d, k: np.sum(x, axis=d, keepdims=k, dtype=x.dtype)),
    _core("prod", "mul", lambda x, d, k: np.prod(x, axis=d, keepdims=k, dtype=x.dtype)),
    _core("amax", "max", lambda x, d, k: np.max(x, axis=d, keepdims=k)),
    _core("amin", "min", lambda x, d, k: np.min(x, axis=d, keepdims=k)),
    _core("all", "and", lambda x, d, k: np.all(x, axis=d, keepdims=k)),
    _core("any", "or", lambda x, d, k: np.any(x, axis=d, keepdims=k)),
    _core("argmax", "argmax", lambda x, d, k: _np_arg(x, d, k, np.argmax)),
    _core("argmin", "argmin", lambda x, d, k: _np_arg(x, d, k, np.argmin)),
]


def _fold(b: Builder, core: str, x: Any, dim: Any, keepdim: bool, dtype: DType | None = None) -> Any:
    type_ = b.type_of(x)
    axes = axes_of(dim, type_.rank)
    if dtype is not None and dtype is not type_.dtype:
        x = b.emit("prim::cast", x, dtype)
    return b.emit(core, x, axes, keepdim) if axes or core.startswith("prim::arg") else x


def _sum_dtype(x: TensorType, dtype: DType | None) -> DType:
    return dtype or (x.dtype if x.dtype.is_float else i64)


def _mean_dtype(x: TensorType, dtype: DType | None) -> DType:
    found = dtype or x.dtype
    if not found.is_float:
        raise SignatureError(
            f"mean needs a floating dtype, got {found}: give dtype=torch.float32 or call .float() first"
        )
    return found


def _sum(b: Builder, x: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    return _fold(b, "prim::sum", x, dim, keepdim, _sum_dtype(b.type_of(x), dtype))


def _prod(b: Builder, x: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    return _fold(b, "prim::prod", x, dim, keepdim, _sum_dtype(b.type_of(x), dtype))


def count_of(b: Builder, x: Any, dim: Any) -> Any:
    """How many elements each result folds, as a Dim."""
    type_ = b.type_of(x)
    return product(type_.shape[a] for a in axes_of(dim, type_.rank))


def mean(b: Builder, x: Any, dim: Any, keepdim: bool, dtype: DType | None = None) -> Any:
    """The mean along axes, in the tensor's floating dtype."""
    total = _fold(b, "prim::sum", x, dim, keepdim, _mean_dtype(b.type_of(x), dtype))
    return b.emit("aten::div", total, count_of(b, x, dim))


def variance(b: Builder, x: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    """The two-pass variance along axes: the mean square of what is left after the mean, over n - correction."""
    _mean_dtype(b.type_of(x), None)
    centred = b.emit("aten::sub", x, mean(b, x, dim, True))
    total = _fold(b, "prim::sum", b.emit("aten::mul", centred, centred), dim, keepdim)
    count = count_of(b, x, dim)
    if correction == int(correction):
        return b.emit("aten::div", total, dmax(count - int(correction), 0))
    left = b.emit(
        "aten::sub", b.emit("prim::cast", b.emit("prim::full", (), count, i64), b.type_of(total).dtype), correction
    )
    return b.emit("aten::div", total, b.emit("aten::maximum", left, 0.0))


def _extreme(core: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any, dim: Any, keepdim: bool) -> Any:
        _refuse_empty(b, x, dim, core)
        return _fold(b, core, x, dim, keepdim)

    return decompose


def _refuse_empty(b: Builder, x: Any, dim: Any, core: str) -> None:
    if not b.facts.at_most(1, count_of(b, x, dim)):
        raise SignatureError(f"{core.removeprefix('prim::')} of no elements has no value")


def _with_indices(core: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any, dim: int, keepdim: bool) -> Any:
        _refuse_empty(b, x, dim, core)
        axes = axes_of(dim, b.type_of(x).rank)
        if not axes:
            return x, b.emit("prim::full", (), 0, i64)
        return b.emit(core, x, axes, keepdim), b.emit(core.replace("::a", "::arg"), x, axes, keepdim)

    return decompose


def _arg(core: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any, dim: int | None, keepdim: bool) -> Any:
        _refuse_empty(b, x, dim, core)
        if not b.type_of(x).rank:
            return b.emit("prim::full", (), 0, i64)
        return b.emit(core, x, axes_of(dim, b.type_of(x).rank), keepdim)

    return decompose


def _logical(core: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any, dim: Any, keepdim: bool) -> Any:
        made = _fold(b, core, x, dim, keepdim, bool_)
        return b.emit("prim::cast", made, u8) if b.type_of(x).dtype is u8 else made  # PyTorch's old bool

    return decompose


def _np_logical(reference: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(x: np.ndarray, dim: Any, keepdim: bool) -> Any:
        made = reference(x, axis=_axes(dim, x), keepdims=keepdim)
        return np.asarray(made, x.dtype if x.dtype == np.uint8 else np.bool_)

    return evaluate


def _dims(dtype: str) -> list[Sample]:
    make = Rand if dtype in FLOATS else Ints
    return [
        Sample((make(3, 17),)),
        Sample((make(3, 17), (1,))),
        Sample((make(2, 3, 4), (0, 2), True)),
        Sample((make(4, 5), (-2,))),
        Sample((make(),)),
    ]


def _one_dim(dtype: str) -> list[Sample]:
    make = Rand if dtype in FLOATS else Ints
    return [Sample((make(3, 17), 1)), Sample((make(3, 4, 5), 0, True)), Sample((make(9), -1))]


def _axes(dim: Any, x: np.ndarray) -> tuple[int, ...]:
    return axes_of(dim, x.ndim)


def _np_sum(x: np.ndarray, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> np.ndarray:
    target = dtype.numpy if dtype else x.dtype if x.dtype.kind == "f" else np.int64
    return np.asarray(np.sum(x.astype(target), axis=_axes(dim, x), keepdims=keepdim, dtype=target))


def _np_prod(x: np.ndarray, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> np.ndarray:
    target = dtype.numpy if dtype else x.dtype if x.dtype.kind == "f" else np.int64
    return np.asarray(np.prod(x.astype(target), axis=_axes(dim, x), keepdims=keepdim, dtype=target))


def _np_mean(x: np.ndarray, dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> np.ndarray:
    data = in_dtype(x, dtype) if dtype else x
    with np.errstate(all="ignore"):
        return np.asarray(
            np.sum(data, axis=_axes(dim, x), keepdims=keepdim) / np.prod([x.shape[a] for a in _axes(dim, x)])
        ).astype(data.dtype)


def np_variance(x: np.ndarray, dim: Any, correction: float, keepdim: bool) -> np.ndarray:
    """NumPy's two-pass variance with PyTorch's arguments."""
    return np.asarray(np.var(x, axis=_axes(dim, x), ddof=correction, keepdims=keepdim)).astype(x.dtype)


DIMS = "(Tensor self, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor"
VAR = "(Tensor self, int[]? dim=None, *, Scalar? correction=1, bool keepdim=False) -> Tensor"
REDUCTION: list[Op] = [
    *CORE,
    composite("aten::sum", DIMS, "default dim_IntList", _sum, _np_sum, _dims, dtypes=EVERY),
    composite(
        "aten::prod",
        "(Tensor self, int? dim=None, bool keepdim=False, *, dtype? dtype=None) -> Tensor",
        "default dim_int",
        _prod,
        _np_prod,
        _one_dim,
        dtypes=NUMBERS,
        tolerance=Tolerance(
            {**CLOSE.rtol, "f16": 17 * 2.0**-11, "bf16": 17 * 2.0**-8},
            {**CLOSE.atol, "f16": 2.0**-24, "bf16": 2.0**-133},
            "other order of factors; eager rounds to half floats after each of the samples' 17, we once",
        ),
    ),
    composite("aten::mean", DIMS, "default dim", mean, _np_mean, _dims),
    composite(
        "aten::amax",
        "(Tensor self, int[] dim=[], bool keepdim=False) -> Tensor",
        "default",
        _extreme("prim::amax"),
        lambda x, d, k: np.max(x, axis=_axes(d, x), keepdims=k),
        _dims,
        dtypes=NUMBERS,
    ),
    composite(
        "aten::amin",
        "(Tensor self, int[] dim=[], bool keepdim=False) -> Tensor",
        "default",
        _extreme("prim::amin"),
        lambda x, d, k: np.min(x, axis=_axes(d, x), keepdims=k),
        _dims,
        dtypes=NUMBERS,
    ),
    composite(
        "aten::max",
        "(Tensor self) -> Tensor",
        "default",
        lambda b, x: _extreme("prim::amax")(b, x, None, False),
        lambda x: np.max(x),
        lambda d: [Sample(((Rand if d in FLOATS else Ints)(3, 17),))],
        dtypes=NUMBERS,
    ),
    composite(
        "aten::min",
        "(Tensor self) -> Tensor",
        "default",
        lambda b, x: _extreme("prim::amin")(b, x, None, False),
        lambda x: np.min(x),
        lambda d: [Sample(((Rand if d in FLOATS else Ints)(3, 17),))],
        dtypes=NUMBERS,
    ),
    composite(
        "aten::max_dim",
        "(Tensor self, int dim, bool keepdim=False) -> (Tensor, Tensor)",
        "max.dim",
        _with_indices("prim::amax"),
        lambda x, d, k: (np.max(x, axis=d, keepdims=k), np.argmax(x, axis=d, keepdims=k)),
        _one_dim,
        dtypes=NUMBERS,
    ),
    composite(
        "aten::min_dim",
        "(Tensor self, int dim, bool keepdim=False) -> (Tensor, Tensor)",
        "min.dim",
        _with_indices("prim::amin"),
        lambda x, d, k: (np.min(x, axis=d, keepdims=k), np.argmin(x, axis=d, keepdims=k)),
        _one_dim,
        dtypes=NUMBERS,
    ),
    composite(
        "aten::argmax",
        "(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
        "default",
        _arg("prim::argmax"),
        lambda x, d, k: _np_arg(x, _axes(d, x), k, np.argmax),
        _one_dim,
        dtypes=NUMBERS,
    ),
    composite(
        "aten::argmin",
        "(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
        "default",
        _arg("prim::argmin"),
        lambda x, d, k: _np_arg(x, _axes(d, x), k, np.argmin),
        _one_dim,
        dtypes=NUMBERS,
    ),
    composite(
        "aten::all",
        "(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
        "default dim dims",
        _logical("prim::all"),
        _np_logical(np.all),
        _dims,
        dtypes=EVERY,
    ),
    composite(
        "aten::any",
        "(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
        "default dim dims",
        _logical("prim::any"),
        _np_logical(np.any),
        _dims,
        dtypes=EVERY,
    ),
    composite(
        "aten::var",
        VAR,
        "correction",
        lambda b, x, d, c, k: variance(b, x, d, 1 if c is None else c, k),
        lambda x, d, c, k: np_variance(x, d, 1 if c is None else c, k),
        _dims,
    ),
    composite(
        "aten::std",
        VAR,
        "correction",
        lambda b, x, d, c, k: b.emit("aten::sqrt", variance(b, x, d, 1 if c is None else c, k)),
        lambda x, d, c, k: np.sqrt(np_variance(x, d, 1 if c is None else c, k)),
        _dims,
    ),
]
