"""Walks and rewrites the dims of loop nests: extents, indices and index values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from unmoor.ir.dim import Dim
from unmoor.ir.kernel import Contract, Fold, Index, Let, Loop, Stmt, Store
from unmoor.ir.scalar import Apply, Expr, IndexValue, Load


def walk(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """All statements, each before those inside it."""
    for stmt in body:
        yield stmt
        if isinstance(stmt, Loop | Fold):
            yield from walk(stmt.body)


def extents_of(body: tuple[Stmt, ...]) -> Iterator[Dim]:
    """The extents of all loops, axes and indices made of data."""
    for stmt in walk(body):
        if isinstance(stmt, Loop | Index):
            yield stmt.extent
        elif isinstance(stmt, Fold | Contract):
            yield from (e for _, e in stmt.axes)


def indices_of(body: tuple[Stmt, ...]) -> Iterator[Dim]:
    """The indices of all loads and stores, and sizes used as numbers."""
    for stmt in walk(body):
        if isinstance(stmt, Store):
            yield stmt.index
        if isinstance(stmt, Let | Index | Store | Fold):
            yield from _expr_indices(stmt.value)
        if isinstance(stmt, Contract):
            yield stmt.left.index
            yield stmt.right.index
        if isinstance(stmt, Fold | Contract):
            yield from (d for bound in stmt.inside for d in bound)


def _expr_indices(expr: Expr) -> Iterator[Dim]:
    if isinstance(expr, Load | IndexValue):
        yield expr.index
    elif isinstance(expr, Apply):
        for a in expr.args:
            yield from _expr_indices(a)


def rewrite_dims_of(stmt: Stmt, rewrite: Callable[[Dim], Dim]) -> Stmt:
    """The statement with every dim rewritten."""
    if isinstance(stmt, Let):
        return replace(stmt, value=rewrite_expr(stmt.value, rewrite))
    if isinstance(stmt, Index):
        return Index(stmt.name, rewrite_expr(stmt.value, rewrite), rewrite(stmt.extent))
    if isinstance(stmt, Store):
        return Store(stmt.buffer, rewrite(stmt.index), rewrite_expr(stmt.value, rewrite))
    if isinstance(stmt, Loop):
        return Loop(stmt.var, rewrite(stmt.extent), tuple(rewrite_dims_of(s, rewrite) for s in stmt.body))
    axes = tuple((v, rewrite(e)) for v, e in stmt.axes)
    inside = tuple((rewrite(position), rewrite(extent)) for position, extent in stmt.inside)
    if isinstance(stmt, Fold):
        body = tuple(rewrite_dims_of(s, rewrite) for s in stmt.body)
        return replace(stmt, axes=axes, body=body, value=rewrite_expr(stmt.value, rewrite), inside=inside)
    left, right = rewrite_expr(stmt.left, rewrite), rewrite_expr(stmt.right, rewrite)
    assert isinstance(left, Load) and isinstance(right, Load)
    return replace(stmt, axes=axes, left=left, right=right, inside=inside)


def rewrite_expr(expr: Expr, rewrite: Callable[[Dim], Dim]) -> Expr:
    """The expression with every index rewritten."""
    if isinstance(expr, Load | IndexValue):
        return replace(expr, index=rewrite(expr.index))
    if isinstance(expr, Apply):
        return replace(expr, args=tuple(rewrite_expr(a, rewrite) for a in expr.args))
    return expr


def loop_vars(body: tuple[Stmt, ...]) -> list[str]:
    """The variables of all loops and axes, and the names of indices made of data."""
    names: list[str] = []
    for stmt in walk(body):
        if isinstance(stmt, Loop):
            names.append(stmt.var)
        elif isinstance(stmt, Index):
            names.append(stmt.name)
        elif isinstance(stmt, Fold | Contract):
            names += [v for v, _ in stmt.axes]
    return names
