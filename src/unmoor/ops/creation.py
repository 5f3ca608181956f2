"""Ops that make tensors from sizes and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import DEFAULT_FLOAT, DType, bool_, f32, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, dim
from unmoor.ir.graph import Value
from unmoor.ir.op import ULP, Builder, Kind, Op, Sample
from unmoor.ir.scalar import IndexValue, Number, apply
from unmoor.ir.types import TensorType
from unmoor.ops.family import EVERY, EXACT, FLOATS, composite, in_dtype, number_type
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema
from unmoor.ops.view import expand

IOTA = Op(
    "prim::iota",
    parse_schema("(int length) -> Tensor"),
    Kind.CREATE,
    lambda facts, n: TensorType(i64, (dim(n),)),
    lambda n: np.arange(n, dtype=np.int64),
    (),
    lambda d: [Sample((5,))],
    EXACT,
    lower=lambda index, type_, n: IndexValue(index[0]),
    dtypes=("i64",),
    doc="0, 1, ..., length-1 as i64.",
)
FULL = Op(
    "prim::full",
    parse_schema("(int[] shape, Scalar value, dtype dtype) -> Tensor"),
    Kind.CREATE,
    lambda facts, shape, value, dtype: TensorType(dtype, tuple(dim(d) for d in shape)),
    lambda shape, value, dtype: np.full(shape, in_dtype(value, dtype)),
    (),
    lambda d: [Sample(((2, 3), 1.5, f32))],
    EXACT,
    lower=lambda index, type_, shape, value, dtype: (
        IndexValue(value) if isinstance(value, Dim) else Number(dtype, value)
    ),
    dtypes=("f32",),
)
LOWER_TRIANGLE = Op(
    "prim::lower_triangle",
    parse_schema("(int rows, int columns) -> Tensor"),
    Kind.CREATE,
    lambda facts, rows, columns: TensorType(bool_, (dim(rows), dim(columns))),
    lambda rows, columns: np.tri(rows, columns, dtype=bool),
    (),
    lambda d: [Sample((3, 5))],
    EXACT,
    lower=lambda index, type_, rows, columns: apply("le", IndexValue(index[1]), IndexValue(index[0])),
    dtypes=("bool",),
    doc="Which keys causal attention lets a query see: column <= row. Nothing is read or computed of the others, where "
    "a kernel can leave them out.",
)


HALF = "arange in {} rounds as wide as eager's vectors are: make it in float32, and convert it"
SHORT = 32  # fewer elements than this are no whole vectors on any processor


def _default(dtype: DType | None, *values: Any) -> DType:
    """The dtype that PyTorch gives a tensor made of such Python numbers."""
    if dtype is not None:
        return dtype
    return DEFAULT_FLOAT if any(isinstance(v, float) for v in values) else i64


def _dtype_of(b: Builder, number: Any) -> DType:
    """The dtype that PyTorch gives a tensor made of a number: written down, a size, or computed by the call."""
    dtype = b.type_of(number).dtype if isinstance(number, Value) else number_type(number).dtype
    return DEFAULT_FLOAT if dtype.is_float else dtype


def _full(b: Builder, shape: Any, value: Any, dtype: DType) -> Any:
    if isinstance(value, Value):  # a number that the call computes
        return expand(b, b.emit("prim::cast", value, dtype), tuple(dim(d) for d in shape))
    if isinstance(value, Dim) and not value.is_const and dtype is not i64:
        return b.emit("prim::cast", b.emit("prim::full", tuple(shape), value, i64), dtype)
    plain = value.value if isinstance(value, Dim) and value.is_const else value
    return b.emit("prim::full", tuple(shape), plain, dtype)


def _whole(value: Any) -> Any:
    """A bound of an integer range: floats are cut, as PyTorch does."""
    return int(value) if isinstance(value, float) else value


def arange(b: Builder, start: Any, end: Any, step: Any, dtype: DType | None) -> Any:
    """start, start + step, ... below end; sizes may be symbolic, float bounds must be constants.

    Floats are computed in float64, as PyTorch does, and rounded once. A range of int64 cuts its bounds before it
    counts; other integers count first.
    """
    target = _default(dtype, start, end, step)
    if target is i64:
        start, end, step = _whole(start), _whole(end), _whole(step)
    if any(isinstance(v, float) for v in (start, end, step)):
        values = [float(v) if not isinstance(v, Dim) else float(b.facts.int_of(v)) for v in (start, end, step)]
        length: Any = int(np.ceil((values[1] - values[0]) / values[2]))
    else:
        stride = b.facts.int_of(step)
        if stride == 0:
            raise SignatureError("arange needs a step that is not 0")
        span = dim(end) - start if stride > 0 else dim(start) - end
        if not b.facts.at_most(0, span):
            raise SignatureError("arange's bounds and step do not fit together")
        length = (span + (abs(stride) - 1)) // abs(stride)
    if not target.is_float:
        start, step = _whole(start), _whole(step)
    if target is not target.compute and target.is_float and not _rounds_once(b, target, start, step, dim(length)):
        raise Unsupported(HALF.format(target.torch_name))
    made = b.emit("prim::iota", length)
    fraction = any(isinstance(v, float) and v != int(v) for v in (start, step))
    if target is not i64:
        made = b.emit("prim::cast", made, f64 if fraction else target)
    if step != 1:
        made = b.emit("aten::mul", made, step)
    made = made if start == 0 else b.emit("aten::add", made, start)
    return b.emit("prim::cast", made, target) if fraction and target is not f64 else made


def _rounds_once(b: Builder, dtype: DType, start: Any, step: Any, length: Dim) -> bool:
    """Whether eager makes these half floats one by one, or without any rounding."""
    if length.is_const and length.value < SHORT:
        return True
    if any(v != int(v) for v in (start, step) if not isinstance(v, Dim)):
        return False
    exact = int(2 / ULP[dtype])  # below, all whole numbers are of the dtype
    last = dim(int(start) if isinstance(start, float) else start) + (length - 1) * dim(int(step))
    return all(b.facts.at_most(end, exact) and b.facts.at_most(-exact, end) for end in (dim(last), dim(_whole(start))))


def eye(b: Builder, n: Any, m: Any, dtype: DType | None) -> Any:
    """Ones on the diagonal of an n x m matrix."""
    rows = b.emit("prim::reshape", b.emit("prim::iota", n), (dim(n), 1))
    columns = b.emit("prim::iota", n if m is None else m)
    return b.emit("prim::cast", b.emit("aten::eq", rows, columns), dtype or DEFAULT_FLOAT)


def triangle(keep: str) -> Callable[..., Any]:
    """tril or triu: zero where the column is right (left) of the row plus a diagonal."""

    def decompose(b: Builder, x: Any, diagonal: int) -> Any:
        type_ = b.type_of(x)
        rows = b.emit("prim::reshape", b.emit("prim::iota", type_.shape[-2]), (type_.shape[-2], 1))
        columns = b.emit("prim::iota", type_.shape[-1])
        inside = b.emit(keep, columns, b.emit("aten::add", rows, diagonal))
        zero = False if type_.dtype is bool_ else 0.0 if type_.dtype.is_float else 0
        return b.emit("aten::where", inside, x, zero)

    return decompose


def _np_arange(start: Any, end: Any, step: Any, dtype: DType | None) -> np.ndarray:
    target = _default(dtype, start, end, step)
    made = np.arange(start, end, step)
    if target is not target.compute and target.is_float:
        exact = made.size < SHORT or ((made == np.trunc(made)).all() and np.abs(made).max() <= 2 / ULP[target])
        if not exact:
            raise Unsupported(HALF.format(target.torch_name))
    return in_dtype(made, target)


def _op(
    name: str,
    schema: str,
    overloads: str,
    decompose: Callable[..., Any],
    reference: Callable[..., Any],
    *samples: tuple[Any, ...],
    stepwise: bool = False,
) -> Op:
    return composite(
        name,
        schema,
        overloads,
        decompose,
        reference,
        lambda d: [Sample(s) for s in samples],
        dtypes=("f32",),
        tolerance=EXACT,
        stepwise=stepwise,
    )


def _like(name: str, value: Any) -> list[Op]:
    """zeros, zeros_like and new_zeros for a value."""
    return [
        _op(
            f"aten::{name}",
            "(int[] size, *, dtype? dtype=None) -> Tensor",
            "default",
            lambda b, s, d: _full(b, s, value, d or DEFAULT_FLOAT),
            lambda s, d: np.full(s, value, (d or DEFAULT_FLOAT).numpy),
            ((2, 3), None),
        ),
        _op(
            f"aten::{name}_like",
            "(Tensor self, *, dtype? dtype=None) -> Tensor",
            "default",
            lambda b, x, d: _full(b, b.type_of(x).shape, value, d or b.type_of(x).dtype),
            lambda x, d: np.full(x.shape, value, d.numpy if d else x.dtype),
            (Rand(2, 3), None),
        ),
        _op(
            f"aten::new_{name}",
            "(Tensor self, int[] size, *, dtype? dtype=None) -> Tensor",
            "default",
            lambda b, x, s, d: _full(b, s, value, d or b.type_of(x).dtype),
            lambda x, s, d: np.full(s, value, d.numpy if d else x.dtype),
            (Rand(2, 3), (4,), None),
        ),
    ]


CREATION: list[Op] = [
    IOTA,
    FULL,
    LOWER_TRIANGLE,
    *_like("zeros", 0),
    *_like("ones", 1),
    _op(
        "aten::full",
        "(int[] size, Scalar fill_value, *, dtype? dtype=None) -> Tensor",
        "default",
        lambda b, s, v, d: _full(b, s, v, d or _dtype_of(b, v)),
        lambda s, v, d: np.full(s, v, (d or number_type(v).dtype).numpy),
        ((2, 3), 1.5, None),
        ((2,), 3, None),
    ),
    _op(
        "aten::full_like",
        "(Tensor self, Scalar fill_value, *, dtype? dtype=None) -> Tensor",
        "default",
        lambda b, x, v, d: _full(b, b.type_of(x).shape, v, d or b.type_of(x).dtype),
        lambda x, v, d: np.full(x.shape, v, d.numpy if d else x.dtype),
        (Rand(2, 3), 2, None),
    ),
    _op(
        "aten::new_full",
        "(Tensor self, int[] size, Scalar fill_value, *, dtype? dtype=None) -> Tensor",
        "default",
        lambda b, x, s, v, d: _full(b, s, v, d or b.type_of(x).dtype),
        lambda x, s, v, d: np.full(s, v, d.numpy if d else x.dtype),
        (Rand(2, 3), (4,), 2, None),
    ),
    _op(
        "aten::scalar_tensor",
        "(Scalar s, *, dtype? dtype=None) -> Tensor",
        "default",
        lambda b, v, d: _full(b, (), v, d or DEFAULT_FLOAT),
        lambda v, d: np.asarray(v, (d or DEFAULT_FLOAT).numpy),
        (2.5, None),
    ),
    _op(
        "aten::arange",
        "(Scalar start=0, Scalar end=0, Scalar step=1, *, dtype? dtype=None) -> Tensor",
        "default start start_step",
        arange,
        _np_arange,
        (0, 5, 1, None),
        (1, 10, 3, None),
        (0.0, 1.0, 0.25, None),
        (5, 0, -2, None),
        stepwise=True,
    ),
    _op(
        "aten::eye",
        "(int n, int? m=None, *, dtype? dtype=None) -> Tensor",
        "default m",
        eye,
        lambda n, m, d: np.eye(n, m, dtype=(d or DEFAULT_FLOAT).numpy),
        (3, None, None),
        (2, 4, None),
    ),
    composite(
        "aten::tril",
        "(Tensor self, int diagonal=0) -> Tensor",
        "default",
        triangle("aten::le"),
        np.tril,
        lambda d: [Sample(((Rand if d in FLOATS else Ints)(4, 5), k)) for k in (0, 1, -2)],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    composite(
        "aten::triu",
        "(Tensor self, int diagonal=0) -> Tensor",
        "default",
        triangle("aten::ge"),
        np.triu,
        lambda d: [Sample(((Rand if d in FLOATS else Ints)(4, 5), k)) for k in (0, 1, -2)],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
]
