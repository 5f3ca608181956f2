"""Loop pass: merges perfectly nested loops that walk memory as one.

Loops over i < A and j < B become one over i < A*B where every index holds i and j only as (i*B + j) times something.
The same for neighbouring axes of a Fold. A Contract keeps its row and column loops, and so does what writes panels:
elements next to each other lie so only within a row of a panel.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.dim import Dim, sym
from unmoor.ir.kernel import Contract, Fold, Kernel, Let, Loop, Stmt, Store
from unmoor.ir.walk import extents_of, indices_of, rewrite_dims_of


def collapse_loops(kernel: Kernel) -> Kernel:
    """The kernel with as few loops as its indices allow. Needs unique loop variables; changes no values."""
    panels = frozenset(b.name for b in kernel.buffers if b.panels is not None and b.role == "out")
    return replace(kernel, body=_collapse(kernel.body, panels))


def _collapse(loop: Loop, panels: frozenset[str]) -> Loop:
    body = tuple(_inner(s, panels) for s in loop.body)
    loop = replace(loop, body=body)
    while len(loop.body) == 1 and isinstance(inner := loop.body[0], Loop):
        if _is_of_tiles(inner, panels):
            break
        merged = _merge((loop.var, loop.extent), (inner.var, inner.extent), inner.body)
        if merged is None:
            break
        loop = Loop(loop.var, loop.extent * inner.extent, merged)
    return loop


def _is_of_tiles(loop: Loop, panels: frozenset[str]) -> bool:
    """Whether a loop is over the rows or columns of a contraction, or of a matrix that goes into panels."""
    inside = [*loop.body, *(s for inner in loop.body if isinstance(inner, Loop) for s in inner.body)]
    return any(isinstance(s, Contract) or (isinstance(s, Store) and s.buffer in panels) for s in inside)


def _inner(stmt: Stmt, panels: frozenset[str]) -> Stmt:
    if isinstance(stmt, Loop):
        return _collapse(stmt, panels)
    if isinstance(stmt, Fold):
        fold = replace(stmt, body=tuple(_inner(s, panels) for s in stmt.body))
        return _collapse_axes(fold)
    return stmt


def _collapse_axes(fold: Fold) -> Fold:
    axes = list(fold.axes)
    k = len(axes) - 2 if not fold.inside else -1  # a bound is of one axis
    while k >= 0:
        statements = (*fold.body, Let("", fold.value))
        merged = _merge(axes[k], axes[k + 1], statements)
        if merged is not None:
            *body, last = merged
            assert isinstance(last, Let)
            axes[k : k + 2] = [(axes[k][0], axes[k][1] * axes[k + 1][1])]
            fold = replace(fold, axes=tuple(axes), body=tuple(body), value=last.value)
        k -= 1
    return fold


def _merge(outer: tuple[str, Dim], inner: tuple[str, Dim], body: tuple[Stmt, ...]) -> tuple[Stmt, ...] | None:
    """The body with outer*extent + inner replaced by outer alone; None where some index forbids it."""
    (i, _), (j, extent) = outer, inner
    if any(i in e.symbols or j in e.symbols for e in extents_of(body)):
        return None
    for index in indices_of(body):
        ci, cj = index.coefficient(i), index.coefficient(j)
        if ci is None or cj is None or ci != cj * extent:
            return None

    def rewrite(index: Dim) -> Dim:
        step = index.coefficient(j)
        return index if step is None or step == 0 else index.substitute({i: 0, j: 0}) + step * sym(i)

    return tuple(rewrite_dims_of(s, rewrite) for s in body)
