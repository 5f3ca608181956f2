"""Runs builtins, slowly and plainly: each on flat NumPy arrays, as the table of `ir.builtin` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import numbers_of
from unmoor.errors import SignatureError
from unmoor.ir.builtin import BUILTINS
from unmoor.ops.fft import fft_plan
from unmoor.ops.matrix_factors import (
    np_cholesky,
    np_eigenvalues,
    np_lu,
    np_lu_solved,
    np_qr,
    np_solved,
    np_svd,
)


def run_builtin(name: str, buffers: Sequence[np.ndarray], ints: Sequence[int]) -> tuple[int, ...]:
    """Writes the buffers that are not read, and returns the numbers that the builtin gives."""
    builtin = BUILTINS[name]
    named = {i.name: value for i, value in zip(builtin.ints, ints, strict=True)}
    if builtin.misfit(named):
        raise SignatureError(f"{name}: {builtin.misfit(named)} is {named[builtin.misfit(named)]}")
    parts = []
    for buffer, flat, count in zip(builtin.buffers, buffers, builtin.elements(named), strict=True):
        if flat.size < count:
            raise SignatureError(f"{name}: {buffer.name} has {flat.size} elements of {count}")
        parts.append(flat[:count])
    return _RUN[name](parts, **named)


def argsorted(x: np.ndarray, descending: bool) -> np.ndarray:
    """The order of the elements along the last axis: stable, NaN the largest."""
    numbers = numbers_of(x)
    if not descending:
        return np.asarray(np.argsort(numbers, -1, kind="stable"))
    return np.asarray(x.shape[-1] - 1 - np.flip(np.argsort(np.flip(numbers, -1), -1, kind="stable"), -1))


def _topk(b: list[np.ndarray], rows: int, n: int, k: int, descending: int) -> tuple[int, ...]:
    x = b[0].reshape(rows, n)
    order = argsorted(x, bool(descending))[:, :k]
    b[1][:] = np.take_along_axis(x, order, -1).reshape(-1)
    b[2][:] = order.reshape(-1)
    return ()


def _kth(b: list[np.ndarray], rows: int, n: int, k: int) -> tuple[int, ...]:
    x = b[0].reshape(rows, n)
    b[2][:] = argsorted(x, False)[:, k - 1]
    b[1][:] = x[np.arange(rows), b[2]]
    return ()


def _search(b: list[np.ndarray], rows: int, n: int, m: int, right: int) -> tuple[int, ...]:
    """By halving, as PyTorch does it: what comes out of rows that are not sorted follows from that."""
    line, values = numbers_of(b[0]).reshape(rows, n), numbers_of(b[1]).reshape(rows, m)
    for row in range(rows):
        for k in range(m):
            low, high = 0, n
            while low < high:
                middle = (low + high) // 2
                element, value = line[row, middle], values[row, k]
                if element > value or (not right and element == value):
                    high = middle
                else:
                    low = middle + 1
            b[2][row * m + k] = low
    return ()


def _nonzero(b: list[np.ndarray], n: int) -> tuple[int, ...]:
    places = np.flatnonzero(b[0])
    b[1][: places.size] = places
    return (places.size,)


def _fft_plan(b: list[np.ndarray], rows: int, n: int, spread: int) -> tuple[int, ...]:
    if rows:
        b[0][:] = fft_plan(n, spread)
    return ()


def _fft(b: list[np.ndarray], strands: int, rows: int, n: int, inner: int, spread: int) -> tuple[int, ...]:
    if strands:
        given = (b[0].astype(np.float64) + 1j * b[1]).reshape(rows, n, inner)
        made = np.fft.fft(given, axis=1).reshape(-1)
        b[3][:], b[4][:] = made.real, made.imag
    return ()


def _matrices(fn: Callable[..., tuple[np.ndarray, ...]], shapes: Callable[..., Any]) -> Callable[..., tuple[int, ...]]:
    """A function of one matrix, or of one with a right side, on every row; `shapes` are those of buffers, by ints."""

    def run(b: list[np.ndarray], rows: int, *ints: int, **named: int) -> tuple[int, ...]:
        sizes = (*ints, *named.values())
        given, made, rest = shapes(*sizes)
        views = [x.reshape(rows, *shape) for x, shape in zip(b, (*given, *made), strict=False)]
        for row in range(rows):
            results = fn(*(v[row] for v in views[: len(given)]), *rest)
            for view, result in zip(views[len(given) :], results, strict=True):
                view[row] = result
        return ()

    return run


_RUN: dict[str, Callable[..., tuple[int, ...]]] = {
    "sort": lambda b, rows, n, descending: _topk(b, rows, n, n, descending),
    "topk": _topk,
    "kth": _kth,
    "search": _search,
    "nonzero": _nonzero,
    "fft_plan": _fft_plan,
    "fft": _fft,
    "lu": _matrices(np_lu, lambda n: ([(n, n)], [(n, n), (n,)], ())),
    "lu_solve": _matrices(np_lu_solved, lambda n, k: ([(n, n), (n,), (n, k)], [(n, k)], ())),
    "triangular_solve": _matrices(
        np_solved, lambda n, k, upper, unit: ([(n, n), (n, k)], [(n, k)], (bool(upper), bool(unit)))
    ),
    "cholesky": _matrices(np_cholesky, lambda n: ([(n, n)], [(n, n), ()], ())),
    "qr": _matrices(np_qr, lambda m, n, c: ([(m, n)], [(m, c), (c, n)], (c,))),
    "svd": _matrices(np_svd, lambda m, n: ([(m, n)], [(m, n), (n,), (n, n)], ())),
    "eigenvalues": _matrices(np_eigenvalues, lambda n: ([(n, n)], [(n,)], ())),
}
