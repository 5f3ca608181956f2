"""Runs kernels element by element, in the order the loops are written."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DType, bf16, bf16_values, bf16_words, bool_
from unmoor.ir.dim import Dim, const
from unmoor.ir.kernel import Buffer, Contract, Fold, Index, Kernel, Let, Loop, Stmt, Store
from unmoor.ir.scalar import FUNCTIONS, Expr, IndexValue, Load, Number, Ref

NEUTRAL = {"add": 0, "mul": 1, "and": True, "or": False}


def run_kernel(kernel: Kernel, buffers: Sequence[np.ndarray], ints: Sequence[int], begin: int, end: int) -> None:
    """Does iterations [begin, end) of the outermost loop, on flat arrays in storage order, in place."""
    run = _Run(
        kernel,
        dict(zip((b.name for b in kernel.buffers), buffers, strict=True)),
        dict(zip(kernel.ints, ints, strict=True)),
    )
    with np.errstate(all="ignore"):
        for i in range(begin, end):
            run.sizes[kernel.body.var] = i
            run.body(kernel.body.body)


class _Run:
    def __init__(
        self, kernel: Kernel, memory: Mapping[str, MutableSequence[Any] | np.ndarray], sizes: dict[str, int]
    ) -> None:
        self.layout = {b.name: b for b in kernel.buffers}
        self.memory = memory
        self.sizes = sizes
        self.values: dict[str, Any] = {}

    def body(self, statements: tuple[Stmt, ...]) -> None:
        for stmt in statements:
            if isinstance(stmt, Let):
                self.values[stmt.name] = self.expr(stmt.value)
            elif isinstance(stmt, Index):
                last = stmt.extent.evaluate(self.sizes) - 1
                self.sizes[stmt.name] = max(min(int(self.expr(stmt.value)), last), 0)
            elif isinstance(stmt, Store):
                layout, value = self.layout[stmt.buffer], self.expr(stmt.value)
                stored = bf16_words(value) if layout.dtype is bf16 else value
                self.memory[stmt.buffer][self.place(layout, stmt.index)] = stored
            elif isinstance(stmt, Loop):
                for i in range(stmt.extent.evaluate(self.sizes)):
                    self.sizes[stmt.var] = i
                    self.body(stmt.body)
            elif isinstance(stmt, Fold):
                self.values[stmt.name] = self.fold(stmt)
            else:
                self.values[stmt.name] = self.contract(stmt)

    def points(self, axes: tuple[tuple[str, Dim], ...]) -> Any:
        for place in np.ndindex(*(e.evaluate(self.sizes) for _, e in axes)):
            self.sizes.update(zip((v for v, _ in axes), place, strict=True))
            yield

    def counts(self, stmt: Fold | Contract) -> bool:
        """Whether the place is inside the statement's bounds."""
        return all(0 <= p.evaluate(self.sizes) < e.evaluate(self.sizes) for p, e in stmt.inside)

    def fold(self, stmt: Fold) -> Any:
        values = []
        for _ in self.points(stmt.axes):
            if not self.counts(stmt):
                continue
            self.body(stmt.body)
            values.append(self.expr(stmt.value))
        dtype = stmt.value.dtype.numpy
        if stmt.fn in ("argmax", "argmin"):
            return np.int64(getattr(np, stmt.fn)(np.array(values, dtype)))
        if stmt.fn in ("max", "min"):
            if not values and stmt.inside:
                return _beaten(stmt.fn, dtype)
            return getattr(np, stmt.fn)(np.array(values, dtype))
        ufunc = FUNCTIONS[stmt.fn].meaning
        return ufunc.reduce(np.array(values, dtype), initial=dtype.type(NEUTRAL[stmt.fn]), dtype=dtype)  # type: ignore[attr-defined]

    def contract(self, stmt: Contract) -> Any:
        total = stmt.left.dtype.numpy.type(0)
        for _ in self.points(stmt.axes):
            if not self.counts(stmt):
                continue
            total += self.expr(stmt.left) * total.dtype.type(self.expr(stmt.right))
        return total

    def expr(self, expr: Expr) -> Any:
        if isinstance(expr, Number):
            return _typed(expr.value, expr.dtype)
        if isinstance(expr, Ref):
            return self.values[expr.name]
        if isinstance(expr, IndexValue):
            return np.int64(expr.index.evaluate(self.sizes))
        if isinstance(expr, Load):
            element = self.memory[expr.buffer][self.place(self.layout[expr.buffer], expr.index)]
            return bf16_values(element)[()] if expr.dtype is bf16 else element
        operands = [self.expr(a) for a in expr.args]  # type: ignore[attr-defined]
        return _typed(FUNCTIONS[expr.fn].meaning(*operands), expr.dtype)  # type: ignore[attr-defined]

    def place(self, buffer: Buffer, index: Dim) -> int:
        offset = index.evaluate(self.sizes)
        if not 0 <= offset < buffer.numel.evaluate(self.sizes):
            raise IndexError(f"{buffer.name}[{offset}] is outside its {buffer.numel.evaluate(self.sizes)} elements")
        if buffer.panels is None:
            return offset
        p = buffer.panels
        k, n = p.k.evaluate(self.sizes), p.n.evaluate(self.sizes)
        return (
            type(p)(p.batch, const(k), const(n))
            .offset(*(const(x) for x in (offset // (k * n), offset // n % k, offset % n)))
            .value
        )


def _typed(value: Any, dtype: DType) -> Any:
    """A value as a scalar of the dtype; one of bfloat16 is a float32 that it can hold."""
    if dtype is bf16:
        return bf16_values(bf16_words(value))[()]
    if dtype is dtype.compute or dtype.is_float:
        return np.bool_(value != 0) if dtype is bool_ else dtype.numpy.type(value)
    return np.asarray(value).astype(dtype.compute.numpy).astype(dtype.numpy)[()]


def _beaten(fn: str, dtype: Any) -> Any:
    """The number that any element beats."""
    if dtype.kind == "f":
        return dtype.type(-np.inf if fn == "max" else np.inf)
    if dtype.kind == "b":
        return np.bool_(fn == "min")
    return dtype.type(np.iinfo(dtype).min if fn == "max" else np.iinfo(dtype).max)
