"""How many turns of a kernel's outermost loop are worth a thread's attention: its grain, from sizes alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unmoor.ir.dim import Dim, const, dmax, nonnegative
from unmoor.ir.kernel import Contract, Fold, Index, Kernel, Let, Loop, Stmt, Store
from unmoor.ir.scalar import FUNCTIONS, Apply, Expr, Load
from unmoor.ir.walk import walk

# Costs in hundredths of a nanosecond of one core with wide vectors; a rough guess is enough to choose a grain.
BYTE = 2
SIMPLE, COMPLEX = 3, 30
PRODUCT = 2
PIECE = 1_000_000  # 10 us: some ten times what handing a piece over costs
EVEN = 64  # turns: pieces of many turns begin at multiples of this, and so at whole vectors and register tiles


def grain_of(kernel: Kernel, meaning: Mapping[str, Dim]) -> Dim | None:
    """The turns of one piece, over the sizes that the kernel's sizes mean; None where a call is never worth cutting."""
    indices = {s.name for s in walk((kernel.body,)) if isinstance(s, Index)}
    cost = _cost(kernel, kernel.body.body).substitute({kernel.body.var: 0}).substitute(meaning)
    extent = kernel.body.extent.substitute(meaning)
    if cost.symbols & indices or (extent.is_const and extent.value <= 1):
        return None
    turns = dmax(1, const(PIECE) // dmax(1, cost))
    if _runs_over_rows(kernel.body) or (turns.is_const and turns.value >= EVEN):
        turns = (turns + (EVEN - 1)) // EVEN * EVEN
    return None if extent.is_const and nonnegative(turns - extent) else turns


def _runs_over_rows(loop: Loop) -> bool:
    """Whether its turns are rows of a contraction, which are worth more in tiles than alone."""
    return any(isinstance(s, Contract) for inner in loop.body if isinstance(inner, Loop) for s in inner.body)


def _cost(kernel: Kernel, body: Iterable[Stmt]) -> Dim:
    """What statements cost. A loop whose extent depends on an outer index counts as in that loop's first turn."""
    total = const(0)
    for stmt in body:
        if isinstance(stmt, Loop):
            total = total + stmt.extent * _cost(kernel, stmt.body).substitute({stmt.var: 0})
        elif isinstance(stmt, Fold):
            inside = _cost(kernel, stmt.body) + _value(stmt.value) + SIMPLE
            for var, extent in reversed(stmt.axes):
                inside = extent * inside.substitute({var: 0})
            total = total + inside
        elif isinstance(stmt, Contract):
            inside = const(PRODUCT)
            for _, extent in stmt.axes:
                inside = inside * extent
            total = total + inside
        elif isinstance(stmt, Store):
            total = total + _value(stmt.value) + BYTE * kernel.buffer(stmt.buffer).dtype.size
        elif isinstance(stmt, Let | Index):
            total = total + _value(stmt.value)
    return total


def _value(expr: Expr) -> int:
    if isinstance(expr, Load):
        return BYTE * expr.dtype.size
    if isinstance(expr, Apply):
        own = COMPLEX if FUNCTIONS[expr.fn].costly else SIMPLE
        return own + sum(map(_value, expr.args))
    return 0
