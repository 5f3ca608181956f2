"""Contractions: matrix products at every rank, as one core op over batched matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.errors import SignatureError
from unmoor.ir.dim import const, product
from unmoor.ir.op import Builder, Facts, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.family import EXACT, broadcast, composite
from unmoor.ops.samples import Rand
from unmoor.ops.schema import parse_schema
from unmoor.ops.view import expand, transpose

SUMS = Tolerance({"f32": 2e-5, "f64": 1e-13}, {"f32": 1e-5, "f64": 1e-13}, "sums of products in another order, FMA")


def _infer(facts: Facts, a: TensorType, b: TensorType) -> TensorType:
    return TensorType(a.dtype, (*a.shape[:-1], b.shape[-1]))


def _core(name: str) -> Op:
    return Op(
        f"prim::{name}",
        parse_schema("(Tensor self, Tensor other) -> Tensor"),
        Kind.CONTRACT,
        _infer,
        np.matmul,
        (),
        lambda d: [Sample((Rand(3, 4), Rand(4, 5))), Sample((Rand(2, 3, 4), Rand(2, 4, 5)))],
        SUMS,
        lower=True,
        dtypes=("f32", "f64"),
    )


PACK = Op(
    "prim::pack",
    parse_schema("(Tensor self) -> Tensor"),
    Kind.PACK,
    lambda facts, x: x,
    lambda x: x,
    (),
    lambda d: [Sample((Rand(3, 4),))],
    EXACT,
    lower=True,
    dtypes=("f32", "f64"),
    doc="A matrix copied into the panel layout that `prim::matmul_panels` reads; its elements are the same.",
)

UNPACK = Op(
    "prim::unpack",
    parse_schema("(Tensor self) -> Tensor"),
    Kind.VIEW,
    lambda facts, x: x,
    lambda x: x,
    (),
    lambda d: [Sample((Rand(3, 4),))],
    EXACT,
    lower=lambda index, extents, source, out: index,
    doc="A matrix that lies in the panels of `prim::matmul_panels`, element by element: a table that is looked up in "
    "one place and multiplied in another is stored once.",
)


def _product(b: Builder, x: Any, y: Any) -> Any:
    """x[..., m, k] @ y[..., k, n] of equal batch axes; integers by multiplying and summing."""
    left, right = b.type_of(x), b.type_of(y)
    if left.dtype is not right.dtype:
        raise SignatureError(f"matmul of {left} and {right}: the dtypes differ")
    if not b.facts.equal(left.shape[-1], right.shape[-2]):
        raise SignatureError(f"matmul of {left} and {right}: sizes {left.shape[-1]} and {right.shape[-2]} differ")
    if left.dtype.is_float:
        return b.emit("prim::matmul", x, y)
    wide = b.emit("prim::reshape", x, (*left.shape, const(1)))
    tall = b.emit("prim::reshape", y, (*right.shape[:-2], const(1), *right.shape[-2:]))
    return b.emit("prim::sum", b.emit("aten::mul", wide, tall), (left.rank - 1,), False)


def matmul(b: Builder, x: Any, y: Any) -> Any:
    """PyTorch's matmul: vectors are rows or columns, batch axes broadcast, one right matrix serves all batches."""
    left, right = b.type_of(x), b.type_of(y)
    if not left.rank or not right.rank:
        raise SignatureError("matmul needs tensors of at least one axis")
    if left.rank == 1:
        x = b.emit("prim::reshape", x, (const(1), *left.shape))
        made = matmul(b, x, y)
        shape = b.type_of(made).shape
        return b.emit("prim::reshape", made, shape[:-2] + shape[-1:] if right.rank > 1 else ())
    if right.rank == 1:
        made = matmul(b, x, b.emit("prim::reshape", y, (*right.shape, const(1))))
        return b.emit("prim::reshape", made, b.type_of(made).shape[:-1])
    if right.rank == 2 and left.rank > 2:
        flat = b.emit("prim::reshape", x, (product(left.shape[:-1]), left.shape[-1]))
        return b.emit("prim::reshape", _product(b, flat, y), (*left.shape[:-1], right.shape[-1]))
    batch = broadcast(b.facts, [left.shape[:-2], right.shape[:-2]])
    x = x if left.shape[:-2] == batch else expand(b, x, (*batch, *left.shape[-2:]))
    y = y if right.shape[:-2] == batch else expand(b, y, (*batch, *right.shape[-2:]))
    return _product(b, x, y)


def linear(b: Builder, x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight^T + bias."""
    made = matmul(b, x, transpose(b, weight, 0, 1) if b.type_of(weight).rank == 2 else weight)
    return made if bias is None else b.emit("aten::add", made, bias)


def addmm(b: Builder, bias: Any, x: Any, y: Any, beta: float, alpha: float) -> Any:
    """beta * bias + alpha * (x @ y); a beta of 0 leaves the bias out, NaN and all."""
    made = matmul(b, x, y)
    if not b.type_of(made).dtype.is_float:  # as PyTorch does
        alpha, beta = int(alpha), int(beta)
    made = made if alpha == 1 else b.emit("aten::mul", made, alpha)
    if beta == 0:
        return made
    return b.emit("aten::add", made, bias if beta == 1 else b.emit("aten::mul", bias, beta))


def _np_linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(np.matmul(x, w.T) if b is None else np.matmul(x, w.T) + b)


def _np_addmm(bias: np.ndarray, x: np.ndarray, y: np.ndarray, beta: float = 1, alpha: float = 1) -> np.ndarray:
    if x.dtype.kind != "f":
        beta, alpha = int(beta), int(alpha)
    return np.asarray((beta * bias if beta else 0) + alpha * np.matmul(x, y)).astype(x.dtype)


def _op(
    name: str,
    schema: str,
    decompose: Callable[..., Any],
    reference: Callable[..., Any],
    *shapes: Sequence[tuple[int, ...]],
) -> Op:
    return composite(
        name,
        schema,
        "default",
        decompose,
        reference,
        lambda d: [Sample(tuple(Rand(*s) for s in one)) for one in shapes],
        tolerance=SUMS,
    )


PAIR = "(Tensor self, Tensor mat2) -> Tensor"
ADD = "(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"
CONTRACTION: list[Op] = [
    _core("matmul"),
    _core("matmul_panels"),
    PACK,
    UNPACK,
    _op(
        "aten::matmul",
        "(Tensor self, Tensor other) -> Tensor",
        matmul,
        np.matmul,
        [(3, 4), (4, 5)],
        [(4,), (4,)],
        [(2, 3, 4), (4,)],
        [(4,), (4, 5)],
        [(2, 1, 3, 4), (5, 4, 2)],
        [(2, 3, 4), (4, 5)],
        [(0, 4), (4, 5)],
    ),
    _op("aten::mm", PAIR, matmul, np.matmul, [(3, 4), (4, 5)]),
    _op("aten::bmm", PAIR, matmul, np.matmul, [(2, 3, 4), (2, 4, 5)]),
    _op("aten::mv", "(Tensor self, Tensor vec) -> Tensor", matmul, np.matmul, [(3, 4), (4,)]),
    _op("aten::dot", "(Tensor self, Tensor tensor) -> Tensor", matmul, np.matmul, [(4,), (4,)]),
    _op(
        "aten::linear",
        "(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
        linear,
        _np_linear,
        [(3, 4), (5, 4), (5,)],
        [(4,), (5, 4), (5,)],
        [(2, 3, 4), (5, 4)],
    ),
    _op("aten::addmm", ADD, addmm, _np_addmm, [(5,), (3, 4), (4, 5)], [(3, 5), (3, 4), (4, 5)]),
    _op(
        "aten::baddbmm",
        "(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
        addmm,
        _np_addmm,
        [(2, 3, 5), (2, 3, 4), (2, 4, 5)],
    ),
]
