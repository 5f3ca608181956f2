"""Ranges: evenly spaced numbers, and the places of a matrix's triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.dtypes import DEFAULT_FLOAT, DType, f64, i64
from unmoor.errors import Unsupported
from unmoor.ir.dim import Dim, dim
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import EXACT, composite
from unmoor.ops.formula import FAR, NEAR
from unmoor.ops.resampling import number

SPACED = Tolerance(NEAR.rtol, NEAR.atol, "eager steps from the start of each vector, as wide as its processor has them")


HALF = "linspace in {} rounds as wide as eager's vectors are: make it in float32, and convert it"


def linspace(b: Builder, start: Any, end: Any, steps: Any, dtype: DType | None) -> Any:
    """`steps` numbers from start to end, the second half counted from the end, as eager does."""
    target, count = dtype or DEFAULT_FLOAT, dim(steps)
    if target is not target.compute and target.is_float:
        raise Unsupported(HALF.format(target.torch_name))
    kind = target if target.is_float else f64
    low, high = (_bound(b, v, target, kind) for v in (start, end))
    if b.facts.equal(count, 0):
        return b.emit("prim::full", (0,), 0, target)
    if b.facts.equal(count, 1):
        return b.emit("prim::reshape", b.emit("prim::cast", low, target), (1,))
    places = b.emit("prim::iota", count)
    step = b.emit("aten::div", b.emit("aten::sub", high, low), number(b, count - 1, kind))
    ahead = b.emit("aten::mul", b.emit("prim::cast", places, kind), step)
    behind = b.emit("aten::mul", b.emit("prim::cast", b.emit("aten::rsub", places, count - 1), kind), step)
    first = b.emit("aten::lt", places, count // 2)
    made = b.emit("aten::where", first, b.emit("aten::add", low, ahead), b.emit("aten::sub", high, behind))
    return b.emit("prim::cast", made, target)


def _bound(b: Builder, value: Any, target: DType, kind: DType) -> Any:
    """A bound as a 0-dim tensor; bounds of integers are cut first."""
    if isinstance(value, Dim):
        return number(b, value, kind)
    return b.emit("prim::full", (), float(value if target.is_float else int(value)), kind)


def logspace(b: Builder, start: Any, end: Any, steps: Any, base: float, dtype: DType | None) -> Any:
    """Powers of a base whose exponents are evenly spaced."""
    target = dtype or DEFAULT_FLOAT
    if not target.is_float:
        raise Unsupported("logspace of integers cuts off powers that may lie on either side of one: use a float dtype")
    return b.emit("aten::pow", float(base), linspace(b, start, end, steps, dtype))


def _indices(upper: bool) -> Callable[..., Any]:
    """The places of a triangle in row-major order, as two rows of a tensor."""

    def decompose(b: Builder, rows: Any, columns: Any, offset: int, dtype: DType | None) -> Any:
        height, width = b.facts.int_of(dim(rows)), b.facts.int_of(dim(columns))
        total = int(_counts(height, width, offset, upper).sum())
        if not total:
            return b.emit("prim::full", (2, 0), 0, dtype or i64)
        reach = b.emit("aten::add", b.emit("prim::iota", height), offset if upper else offset + 1)
        counts = b.emit("aten::clamp", reach, 0, width)
        counts = b.emit("aten::rsub", counts, width) if upper else counts
        ends = b.emit("aten::cumsum", counts, 0, None)
        places = b.emit("prim::iota", total)
        ended = b.emit("aten::ge", b.emit("prim::reshape", places, (total, 1)), ends)
        row = b.emit("aten::sum", ended, (1,), False, None)
        column = b.emit("aten::sub", places, b.emit("prim::take", ends, (row,), (0,), 0))
        left = b.emit("prim::take", counts, (row,), (0,), 0)
        column = b.emit("aten::add", column, width if upper else left)
        return b.emit("prim::cast", b.emit("aten::stack", (row, column), 0), dtype or i64)

    return decompose


def _counts(height: int, width: int, offset: int, upper: bool) -> np.ndarray:
    """How many places of each row belong to the triangle."""
    reach = np.clip(np.arange(height) + offset + (not upper), 0, width)
    return np.asarray(width - reach if upper else reach)


# -- references -----------------------------------------------------------------------------------
def _np_linspace(start: float, end: float, steps: int, dtype: DType | None = None) -> np.ndarray:
    target = dtype or DEFAULT_FLOAT
    if target is not target.compute and target.is_float:
        raise Unsupported(HALF.format(target.torch_name))
    bounds = (start, end) if target.is_float else (int(start), int(end))
    return np.linspace(bounds[0], bounds[1], steps).astype(target.numpy)


def _np_logspace(start: float, end: float, steps: int, base: float = 10.0, dtype: DType | None = None) -> np.ndarray:
    made = np.power(base, _np_linspace(start, end, steps, dtype))
    return np.asarray(made).astype((dtype or DEFAULT_FLOAT).numpy)


def _np_indices(find: Callable[..., Any]) -> Callable[..., np.ndarray]:
    return lambda rows, columns, offset=0, dtype=None: np.stack(find(rows, offset, columns)).astype(
        (dtype or i64).numpy
    )


def _op(name: str, schema: str, decompose: Any, reference: Any, *samples: Any, tolerance: Tolerance = EXACT) -> Op:
    return composite(
        f"aten::{name}",
        schema,
        "default",
        decompose,
        reference,
        lambda d: [Sample(s) for s in samples],
        dtypes=("f32",),
        tolerance=tolerance,
        stepwise=True,
    )


INDICES = "(int row, int col, int offset=0, *, dtype? dtype=None) -> Tensor"
RANGES: list[Op] = [
    _op(
        "linspace",
        "(Scalar start, Scalar end, int steps, *, dtype? dtype=None) -> Tensor",
        linspace,
        _np_linspace,
        *((0.0, 1.0, 7), (-3, 5, 4), (2.0, 1.0, 1), (0, 1, 0)),
        tolerance=SPACED,
    ),
    _op(
        "logspace",
        "(Scalar start, Scalar end, int steps, float base=10.0, *, dtype? dtype=None) -> Tensor",
        logspace,
        _np_logspace,
        *((0.0, 1.0, 5), (-2, 2, 4, 2.0)),
        tolerance=FAR,
    ),
    _op("tril_indices", INDICES, _indices(False), _np_indices(np.tril_indices), (4, 5), (4, 3, -2), (2, 3, 5)),
    _op("triu_indices", INDICES, _indices(True), _np_indices(np.triu_indices), (4, 5), (4, 3, -2), (2, 3, 5)),
]
