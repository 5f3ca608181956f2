"""Bounds of integer expressions over symbols that data decides: a least and a greatest value, without such symbols."""

from __future__ import annotations

from collections.abc import Mapping

from unmoor.errors import Unsupported
from unmoor.ir.dim import Atom, Call, Dim, const, dmax, dmin, nonnegative, sym

Interval = tuple[Dim, Dim]


def interval(d: Dim, most: Mapping[str, Dim]) -> Interval:
    """The least and the greatest value of `d` where each symbol of `most` lies between 0 and that."""
    if not d.symbols & most.keys():
        return d, d
    low, high = const(0), const(0)
    for monomial, coefficient in d.terms:
        least, greatest = const(1), const(1)
        for atom, power in monomial:
            a, z = _atom(atom, most)
            if not nonnegative(a) and (power > 1 or len(monomial) > 1):
                raise Unsupported(f"the size {d} comes out of data, and there is no bound for it")
            for _ in range(power):
                least, greatest = least * a, greatest * z
        if coefficient < 0:
            least, greatest = greatest, least
        low, high = low + least * coefficient, high + greatest * coefficient
    return low, high


def _atom(atom: Atom, most: Mapping[str, Dim]) -> Interval:
    if isinstance(atom, str):
        return (const(0), most[atom]) if atom in most else (sym(atom), sym(atom))
    return _call(atom, most)


def _call(call: Call, most: Mapping[str, Dim]) -> Interval:
    whole = Dim({((call, 1),): 1})
    if not whole.symbols & most.keys():
        return whole, whole
    (a, z), (b, y) = interval(call.a, most), interval(call.b, most)
    if call.fn == "min":
        return dmin(a, b), dmin(z, y)
    if call.fn == "max":
        return dmax(a, b), dmax(z, y)
    if call.fn == "mod":
        return const(0), y
    if b == y:
        return a // b, z // b
    return dmin(a, 0), dmax(z, 0)  # by at least 1
