"""Running sums, products and extremes along an axis: the core scans, and PyTorch's cumulative ops made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmoor.dtypes import DType, f32, f64, i64
from unmoor.errors import SignatureError
from unmoor.ir.op import Builder, Kind, Op, Sample, Tolerance
from unmoor.ir.scalar import Expr, apply, select
from unmoor.ops.family import CLOSE, EVERY, EXACT, FLOATS, NUMBERS, axis_of, composite
from unmoor.ops.indexing import counting
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema


@dataclass(frozen=True)
class Combine:
    """How a scan goes on: `fn` of the running value and the next element; `wide` runs f32 in f64, as PyTorch does."""

    fn: Callable[[Expr, Expr], Expr]
    wide: bool

    def running(self, dtype: DType) -> DType:
        """The dtype of the running value."""
        return f64 if self.wide and dtype is f32 else dtype


def _log_add_exp(a: Expr, b: Expr) -> Expr:
    """log(exp(a) + exp(b)), also of infinities."""
    low, high = apply("min", a, b), apply("max", a, b)
    same = apply("eq", low, high) & apply("eq", apply("abs", low), math.inf)
    return select(same, high, apply("log1p", apply("exp", low - high)) + high)


def _running(fn: Callable[[np.ndarray, int], np.ndarray]) -> Callable[..., np.ndarray]:
    """A running reference: f32 in f64."""

    def evaluate(x: np.ndarray, axis: int) -> np.ndarray:
        wide = x.astype(np.float64) if x.dtype == np.float32 else x
        with np.errstate(all="ignore"):
            return np.asarray(fn(wide, int(axis)).astype(x.dtype))

    return evaluate


def _make(dtype: str) -> Any:
    return Rand if dtype in FLOATS else Ints


def _core(name: str, combine: Combine, reference: Any, tolerance: Tolerance, dtypes: tuple[str, ...]) -> Op:
    return Op(
        f"prim::{name}",
        parse_schema("(Tensor self, int axis) -> Tensor"),
        Kind.SCAN,
        lambda facts, x, axis: x,
        reference,
        (),
        lambda d: [
            Sample((_make(d)(7), 0)),
            Sample((_make(d)(3, 4, 19), 1)),
            Sample((_make(d)(0, 3), 0)),
            Sample((_make(d)(3, 4), 1)),
        ],
        tolerance,
        lower=combine,
        dtypes=dtypes,
    )


CORE = [
    _core("cumsum", Combine(lambda a, b: a + b, True), _running(lambda x, a: np.cumsum(x, a)), EXACT, NUMBERS),
    _core("cumprod", Combine(lambda a, b: a * b, True), _running(lambda x, a: np.cumprod(x, a)), EXACT, NUMBERS),
    _core("cummax", Combine(lambda a, b: apply("max", a, b), False), np.maximum.accumulate, EXACT, EVERY),
    _core("cummin", Combine(lambda a, b: apply("min", a, b), False), np.minimum.accumulate, EXACT, EVERY),
    _core("logcumsumexp", Combine(_log_add_exp, True), _running(np.logaddexp.accumulate), CLOSE, FLOATS),
]


# -- PyTorch's ops --------------------------------------------------------------------------------
def _scan(core: str) -> Callable[..., Any]:
    def decompose(b: Builder, x: Any, axis: int, dtype: DType | None) -> Any:
        type_ = b.type_of(x)
        target = dtype or (type_.dtype if type_.dtype.is_float else i64)
        if target is not type_.dtype:
            x = b.emit("prim::cast", x, target)
        a = axis_of(axis, type_.rank)
        return b.emit(core, x, a) if type_.rank else x

    return decompose


def logcumsumexp(b: Builder, x: Any, axis: int) -> Any:
    """The logarithm of the running sum of exponentials."""
    type_ = b.type_of(x)
    if not type_.dtype.is_float:
        raise SignatureError(f"logcumsumexp needs a floating dtype, not {type_.dtype.torch_name}")
    a = axis_of(axis, type_.rank)
    return b.emit("prim::logcumsumexp", x, a) if type_.rank else x


def _extreme(core: str) -> Callable[..., Any]:
    """Running extremes, and where the last element stands that equals them; a NaN is an extreme, from there on."""

    def decompose(b: Builder, x: Any, axis: int) -> tuple[Any, Any]:
        type_ = b.type_of(x)
        a = axis_of(axis, type_.rank)
        if not type_.rank:
            return x, b.emit("prim::full", (), 0, i64)
        values = b.emit(core, x, a)
        here = b.emit("aten::eq", x, values)
        if type_.dtype.is_float:
            here = b.emit("aten::logical_or", here, b.emit("aten::isnan", x))
        place = b.emit("aten::where", here, counting(b, a, type_.shape), 0)
        return values, b.emit("prim::cummax", place, a)

    return decompose


def _np_scan(fn: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def evaluate(x: np.ndarray, axis: int, dtype: DType | None = None) -> np.ndarray:
        target = dtype or (f32 if x.dtype == np.float32 else f64 if x.dtype == np.float64 else i64)
        data = x.astype(target.numpy)
        return data if not x.ndim else _running(lambda v, a: np.asarray(fn(v, a)))(data, axis)

    return evaluate


def _np_extreme(fn: Any) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def evaluate(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        values = fn.accumulate(x, axis)
        count = np.arange(x.shape[axis]).reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
        place = np.where((x == values) | (x != x), count, 0)
        return values, np.maximum.accumulate(place, axis)

    return evaluate


def _samples(dtype: str) -> list[Sample]:
    make = _make(dtype)
    return [Sample((make(3, 5), 1)), Sample((make(4, 33), -2)), Sample((make(), 0)), Sample((make(2, 0), 1))]


def _extreme_samples(dtype: str) -> list[Sample]:
    plain = [Sample((Ints(3, 9), 1)), Sample((Ints(9, 17), 0)), Sample((Ints(), -1))]
    if dtype not in FLOATS:
        return plain
    return [*plain, Sample((np.array([1.0, 3.0, 3.0, np.nan, 5.0, np.nan, 1.0]), 0))]


def _cumulative(name: str, fn: Callable[..., Any]) -> Op:
    return composite(
        f"aten::{name}",
        "(Tensor self, int dim, *, dtype? dtype=None) -> Tensor",
        "default",
        _scan(f"prim::{name}"),
        _np_scan(fn),
        _samples,
        dtypes=EVERY,
        tolerance=EXACT,
    )


SCAN: list[Op] = [
    *CORE,
    _cumulative("cumsum", np.cumsum),
    _cumulative("cumprod", np.cumprod),
    composite(
        "aten::logcumsumexp",
        "(Tensor self, int dim) -> Tensor",
        "default",
        logcumsumexp,
        lambda x, a: x if not x.ndim else _running(np.logaddexp.accumulate)(x, a),
        lambda d: [*_samples(d), Sample((np.array([-np.inf, -np.inf, 1.0, np.inf, np.inf, np.nan, 0.0]), 0))],
    ),
    *(
        composite(
            f"aten::{name}",
            "(Tensor self, int dim) -> (Tensor, Tensor)",
            "default",
            _extreme(f"prim::{name}"),
            _np_extreme(fn),
            _extreme_samples,
            dtypes=EVERY,
            tolerance=EXACT,
        )
        for name, fn in (("cummax", np.maximum), ("cummin", np.minimum))
    ),
]
