"""Loop pass: merges the loops around a contraction's rows into one, so that it has many turns to share out.

Only loops that the right operand does not depend on: its panels then stay in the cache over all of them.
"""

from __future__ import annotations

from unmoor.ir.dim import Dim, sym
from unmoor.ir.kernel import Contract, Loop
from unmoor.ir.walk import rewrite_dims_of, walk


def merge_outer(loop: Loop) -> Loop:
    """The nest of one contraction with the loops around its row loop merged. Changes no values."""
    (contract,) = (s for s in walk((loop,)) if isinstance(s, Contract))
    return _merged(loop, contract.right.index.symbols)


def _merged(loop: Loop, fixed: frozenset[str]) -> Loop:
    if len(loop.body) != 1 or not isinstance(inner := loop.body[0], Loop) or _has_contraction(inner.body):
        return loop
    inner = _merged(inner, fixed)
    if loop.var in fixed or not any(isinstance(s, Loop) and _has_contraction(s.body) for s in inner.body):
        return Loop(loop.var, loop.extent, (inner,))
    i, j, count = loop.var, inner.var, inner.extent

    def rewrite(index: Dim) -> Dim:
        ci, cj = index.coefficient(i), index.coefficient(j)
        if ci is not None and cj is not None and ci == cj * count:
            return index.substitute({i: 0, j: 0}) + cj * sym(i)
        return index.substitute({i: sym(i) // count, j: sym(i) % count})

    return Loop(i, loop.extent * count, tuple(rewrite_dims_of(s, rewrite) for s in inner.body))


def _has_contraction(body: tuple[object, ...]) -> bool:
    """Whether a body is that of a row loop: its column loop holds the contraction."""
    return any(isinstance(s, Loop) and any(isinstance(t, Contract) for t in s.body) for s in body)
