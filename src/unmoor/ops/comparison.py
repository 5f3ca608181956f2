"""Elementwise comparison, logic, bits, selection and casts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import ALL, BY_NAME, bool_
from unmoor.ir.op import Kind, Op, Sample
from unmoor.ir.scalar import Expr, Number, apply, cast, select
from unmoor.ir.types import TensorType
from unmoor.ops.elementwise import BINARY, UNARY, both, tensors
from unmoor.ops.family import EVERY, EXACT, FLOATS, INTS, broadcast, compute_dtype, in_dtype, pointwise, type_of_operand
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema


def _compare(name: str, fn: str, reference: Any) -> Op:
    return pointwise(
        f"aten::{name}",
        BINARY,
        "Tensor Scalar",
        lambda a, b: apply(fn, a, b),
        reference,
        result=bool_,
        dtypes=EVERY,
        samples=both,
    )


def _logical(name: str, fn: str, reference: Any) -> Op:
    return pointwise(
        f"aten::logical_{name}",
        BINARY,
        "default",
        lambda a, b: apply(fn, cast(a, bool_), cast(b, bool_)),
        reference,
        result=bool_,
        dtypes=EVERY,
        samples=tensors,
    )


def _bitwise(name: str, fn: str, reference: Any) -> Op:
    return pointwise(
        f"aten::bitwise_{name}",
        BINARY,
        "Tensor Scalar",
        lambda a, b: apply(fn, a, b),
        reference,
        dtypes=(*INTS, "bool"),
        samples=both,
    )


def _shift(name: str, fn: str, reference: Any) -> Op:
    """A shift of integers. By a negative number, or by all bits and more, nothing is left but the sign, or 0."""

    def samples(dtype: str) -> Sequence[Sample]:
        wide = 8 * BY_NAME[dtype].size
        by = np.array([0, 1, 3, wide - 1, wide, wide + 5, *((2, 100) if dtype == "u8" else (-1, -9))])
        return [Sample((Ints(3, 8), by)), Sample((Ints(8), 2)), Sample((Ints(2, 0), 1))]

    return pointwise(
        f"aten::bitwise_{name}_shift",
        BINARY,
        "Tensor Tensor_Scalar Scalar_Tensor",
        lambda a, b: apply(fn, a, b),
        reference,
        dtypes=INTS,
        samples=samples,
    )


def _np_shift(fn: Callable[..., Any], far: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: np.ndarray, by: np.ndarray) -> Any:
        fits = (by >= 0) & (by < 8 * np.asarray(x).dtype.itemsize)
        return np.where(fits, fn(x, np.where(fits, by, 0)), far(x))

    return reference


def _clamp(x: Expr, low: Expr | None, high: Expr | None) -> Expr:
    if low is not None:
        x = apply("max", x, low)
    return x if high is None else apply("min", x, high)


def _np_clamp(x: np.ndarray, low: Any, high: Any) -> np.ndarray:
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _clamp_samples(dtype: str) -> list[Sample]:
    make = Rand if dtype in FLOATS else Ints
    return [
        Sample((make(3, 17), -1, 1)),
        Sample((make(5), None, 1)),
        Sample((make(5), 0, None)),
        Sample((make(4, 5), make(5), None)),
    ]


def _where_infer(facts: Any, condition: Any, a: Any, b: Any) -> TensorType:
    types = [type_of_operand(x) for x in (a, b)]
    return TensorType(compute_dtype("where", types), broadcast(facts, [t.shape for t in (condition, *types)]))


CAST = Op(
    "prim::cast",
    parse_schema("(Tensor self, dtype dtype) -> Tensor"),
    Kind.MAP,
    lambda facts, x, dtype: TensorType(dtype, x.shape),
    in_dtype,
    (),
    lambda d: [Sample((Ints(3, 5, low=0 if d == "u8" else -5), t)) for t in ALL],
    EXACT,
    lower=lambda x, dtype: cast(x, dtype),
    promote="none",
    dtypes=EVERY,
    doc="The tensor converted to another element type.",
)

COPY = Op(
    "prim::copy",
    parse_schema("(Tensor self) -> Tensor"),
    Kind.MAP,
    lambda facts, x: x,
    lambda x: np.asarray(x).copy(),
    (),
    lambda d: [Sample(((Rand if d in FLOATS else Ints)(3, 17),))],
    EXACT,
    lower=lambda x: x,
    promote="none",
    dtypes=EVERY,
    doc="The same elements, in order in memory of their own.",
)

WHERE = Op(
    "aten::where",
    parse_schema("(Tensor condition, Tensor self, Tensor other) -> Tensor"),
    Kind.MAP,
    _where_infer,
    np.where,
    ("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar"),
    lambda d: [
        Sample((np.array([[True], [False]]), (Rand if d in FLOATS else Ints)(2, 3), (Rand if d in FLOATS else Ints)(3)))
    ],
    EXACT,
    lower=select,
    promote="where",
    dtypes=EVERY,
)

COMPARISON: list[Op] = [
    _compare("eq", "eq", np.equal),
    _compare("ne", "ne", np.not_equal),
    _compare("lt", "lt", np.less),
    _compare("le", "le", np.less_equal),
    _compare("gt", "gt", np.greater),
    _compare("ge", "ge", np.greater_equal),
    _logical("and", "and", np.logical_and),
    _logical("or", "or", np.logical_or),
    _logical("xor", "xor", np.logical_xor),
    pointwise(
        "aten::logical_not",
        UNARY,
        "default",
        lambda x: apply("not", cast(x, bool_)),
        np.logical_not,
        result=bool_,
        dtypes=EVERY,
    ),
    _bitwise("and", "and", np.bitwise_and),
    _bitwise("or", "or", np.bitwise_or),
    _bitwise("xor", "xor", np.bitwise_xor),
    _shift("left", "shl", _np_shift(np.left_shift, np.zeros_like)),
    _shift("right", "shr", _np_shift(np.right_shift, lambda x: np.where(x < 0, -1, 0))),
    pointwise("aten::bitwise_not", UNARY, "default", lambda x: apply("not", x), np.invert, dtypes=(*INTS, "bool")),
    pointwise(
        "aten::isnan",
        UNARY,
        "default",
        lambda x: apply("isnan", x) if x.dtype.is_float else Number(bool_, False),
        np.isnan,
        result=bool_,
    ),
    pointwise(
        "aten::isinf",
        UNARY,
        "default",
        lambda x: apply("eq", apply("abs", x), float("inf")),
        np.isinf,
        result=bool_,
        dtypes=FLOATS,
    ),
    pointwise(
        "aten::isfinite",
        UNARY,
        "default",
        lambda x: apply("lt", apply("abs", x), float("inf")),
        np.isfinite,
        result=bool_,
        dtypes=FLOATS,
    ),
    pointwise(
        "aten::clamp",
        "(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor",
        "default Tensor",
        _clamp,
        _np_clamp,
        samples=_clamp_samples,
    ),
    pointwise(
        "aten::clamp_min",
        "(Tensor self, Tensor min) -> Tensor",
        "default Tensor",
        lambda x, m: apply("max", x, m),
        np.maximum,
        samples=both,
    ),
    pointwise(
        "aten::clamp_max",
        "(Tensor self, Tensor max) -> Tensor",
        "default Tensor",
        lambda x, m: apply("min", x, m),
        np.minimum,
        samples=both,
    ),
    WHERE,
    CAST,
    COPY,
]
