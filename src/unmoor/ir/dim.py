"""Integer expressions over named symbols: sizes, strides, offsets and loop indices.

A Dim is kept in canonical form, a sum of integer multiples of products of atoms, so equal
polynomials compare equal. Atoms are symbols and calls of floordiv, mod, min and max. Symbols stand
for non-negative integers. A constant Dim equals, and hashes as, its int.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Union

from unmoor.errors import Unsupported

DimLike = Union["Dim", int]


@dataclass(frozen=True)
class Call:
    """An atom that is not a polynomial: `fn` is floordiv, mod, min or max, of two Dims."""

    fn: str
    a: Dim
    b: Dim

    @cached_property
    def text(self) -> str:
        if self.fn in ("min", "max"):
            return f"{self.fn}({self.a}, {self.b})"
        sign = {"floordiv": "//", "mod": "%"}[self.fn]
        return f"{self.a.grouped}{sign}{self.b.grouped}"


Atom = Union[str, Call]
Monomial = tuple[tuple[Atom, int], ...]  # (atom, power), sorted by the atom's text; () is 1

APPLY: dict[str, Callable[[int, int], int]] = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "min": min,
    "max": max,
}


def _atom_text(atom: Atom) -> str:
    return atom if isinstance(atom, str) else atom.text


@lru_cache(maxsize=1 << 16)
def _monomial_key(monomial: Monomial) -> tuple[int, tuple[tuple[str, int], ...]]:
    return (-sum(p for _, p in monomial), tuple((_atom_text(a), p) for a, p in monomial))


@lru_cache(maxsize=1 << 16)
def _monomial_product(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for atom, p in b:
        powers[atom] = powers.get(atom, 0) + p
    return tuple(sorted(powers.items(), key=lambda ap: _atom_text(ap[0])))


class Dim:
    """An immutable integer expression. Build with `sym`, `const`, Python's + - * // %, `dmin`, `dmax`."""

    __slots__ = ("__dict__", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        kept = [(m, c) for m, c in terms.items() if c]
        if len(kept) > 1:
            kept.sort(key=lambda mc: _monomial_key(mc[0]))
        self.terms = tuple(kept)

    # -- inspection ---------------------------------------------------------------------------
    @cached_property
    def is_const(self) -> bool:
        return not self.terms or (len(self.terms) == 1 and self.terms[0][0] == ())

    @property
    def value(self) -> int:
        """The int of a constant Dim; ValueError for any other."""
        if not self.is_const:
            raise ValueError(f"{self} is not a constant")
        return self.terms[0][1] if self.terms else 0

    @property
    def is_symbol(self) -> bool:
        return self.symbol is not None

    @cached_property
    def symbol(self) -> str | None:
        """The name, where this Dim is one bare symbol."""
        if len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1:
            ((atom, power),) = self.terms[0][0]
            if power == 1 and isinstance(atom, str):
                return atom
        return None

    @cached_property
    def symbols(self) -> frozenset[str]:
        names: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                names |= {atom} if isinstance(atom, str) else atom.a.symbols | atom.b.symbols
        return frozenset(names)

    def coefficient(self, name: str) -> Dim | None:
        """The factor c of `c*name + rest` with neither holding `name`; None where it is not linear."""
        factor: dict[Monomial, int] = {}
        for monomial, c in self.terms:
            powers = dict(monomial)
            if name in powers:
                if powers[name] != 1:
                    return None
                factor[tuple((a, p) for a, p in monomial if a != name)] = c
            if any(isinstance(a, Call) and name in (a.a.symbols | a.b.symbols) for a in powers):
                return None
        return Dim(factor)

    # -- arithmetic ---------------------------------------------------------------------------
    def __add__(self, other: DimLike) -> Dim:
        added = dim(other)
        if not added.terms:
            return self
        if not self.terms:
            return added
        total = dict(self.terms)
        for monomial, c in added.terms:
            total[monomial] = total.get(monomial, 0) + c
        return Dim(total)

    def __mul__(self, other: DimLike) -> Dim:
        factor = dim(other)
        if factor.is_const:
            return self._times(factor.value)
        if self.is_const:
            return factor._times(self.value)
        total: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in factor.terms:
                monomial = _monomial_product(m1, m2)
                total[monomial] = total.get(monomial, 0) + c1 * c2
        return Dim(total)

    def _times(self, number: int) -> Dim:
        return self if number == 1 else Dim({m: c * number for m, c in self.terms})

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: DimLike) -> Dim:
        return self + -dim(other)

    def __rsub__(self, other: DimLike) -> Dim:
        return dim(other) - self

    def __floordiv__(self, other: DimLike) -> Dim:
        return _divide(self, dim(other))[0]

    def __mod__(self, other: DimLike) -> Dim:
        return _divide(self, dim(other))[1]

    def __rfloordiv__(self, other: DimLike) -> Dim:
        return dim(other) // self

    def __rmod__(self, other: DimLike) -> Dim:
        return dim(other) % self

    # -- meaning ------------------------------------------------------------------------------
    def evaluate(self, env: Mapping[str, int]) -> int:
        """The value under `env` (symbol -> int). KeyError names a missing symbol."""
        total = 0
        for monomial, c in self.terms:
            for atom, power in monomial:
                v = env[atom] if isinstance(atom, str) else APPLY[atom.fn](atom.a.evaluate(env), atom.b.evaluate(env))
                c *= v**power
            total += c
        return total

    def substitute(self, env: Mapping[str, DimLike]) -> Dim:
        """This expression with symbols replaced; symbols that are not in `env` stay."""
        if not (self.symbols & env.keys()):
            return self
        total = const(0)
        for monomial, c in self.terms:
            product = const(c)
            for atom, power in monomial:
                if isinstance(atom, str):
                    v = dim(env.get(atom, sym(atom)))
                else:
                    v = call(atom.fn, atom.a.substitute(env), atom.b.substitute(env))
                for _ in range(power):
                    product = product * v
            total = total + product
        return total

    # -- comparison and text ------------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.is_const and self.value == other
        return isinstance(other, Dim) and self.terms == other.terms

    @cached_property
    def _hash(self) -> int:
        return hash(self.value) if self.is_const else hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def text(self) -> str:
        out = ""
        for monomial, c in self.terms:
            factors = [
                t if isinstance(a, str) or a.fn in ("min", "max") else f"({t})"
                for a, p in monomial
                for t in [_atom_text(a)] * p
            ]
            if abs(c) != 1 or not factors:
                factors.insert(0, str(abs(c)))
            body = "*".join(factors)
            if len(self.terms) == 1 and len(monomial) == 1 and c == 1 and body.startswith("("):
                body = body[1:-1] if monomial[0][1] == 1 else body
            out += (" - " if c < 0 else " + ") + body if out else ("-" if c < 0 else "") + body
        return out or "0"

    @property
    def grouped(self) -> str:
        """The text, in parentheses where it is more than one factor."""
        return self.text if self.is_symbol or (self.is_const and self.value >= 0) else f"({self.text})"

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


@lru_cache(maxsize=1 << 12, typed=True)
def const(value: int) -> Dim:
    return Dim({(): value})


@lru_cache(maxsize=1 << 12)
def sym(name: str) -> Dim:
    return Dim({((name, 1),): 1})


def dim(value: DimLike) -> Dim:
    """An int as a Dim; a Dim as itself. Unsupported for a value that is only known while the program runs."""
    if isinstance(value, Dim):
        return value
    if not isinstance(value, int):
        raise Unsupported(f"a size or position here comes out of a tensor ({value!r}), which is not supported")
    return const(value)


def call(fn: str, a: DimLike, b: DimLike) -> Dim:
    """`fn` (floordiv, mod, min or max) of two Dims, simplified where that holds for all values."""
    a, b = dim(a), dim(b)
    if fn in ("floordiv", "mod"):
        return _divide(a, b)[0 if fn == "floordiv" else 1]
    if a.is_const and b.is_const:
        return const(APPLY[fn](a.value, b.value))
    if a == b:
        return a
    if nonnegative(b - a):
        return a if fn == "min" else b
    if nonnegative(a - b):
        return b if fn == "min" else a
    a, b = sorted((a, b), key=str)
    return Dim({((Call(fn, a, b), 1),): 1})


def dmin(a: DimLike, b: DimLike) -> Dim:
    return call("min", a, b)


def dmax(a: DimLike, b: DimLike) -> Dim:
    return call("max", a, b)


def product(dims: Iterable[DimLike]) -> Dim:
    """The product of Dims; 1 for none (the element count of a shape)."""
    total = const(1)
    for d in dims:
        total = total * d
    return total


def round_up(a: DimLike, multiple: int) -> Dim:
    """The least multiple of `multiple` that is >= a."""
    return (dim(a) + (multiple - 1)) // multiple * multiple


def nonnegative(d: Dim) -> bool:
    """Whether d >= 0 is plain from its form: no negative coefficient (atoms are non-negative).

    A min, max, floordiv or mod counts as non-negative only where its operands do.
    """
    return all(c >= 0 and all(isinstance(a, str) or _atom_nonnegative(a) for a, _ in m) for m, c in d.terms)


def _atom_nonnegative(atom: Call) -> bool:
    if atom.fn == "mod":  # Python's sign rule: that of the divisor
        return nonnegative(atom.b)
    if atom.fn == "max":
        return nonnegative(atom.a) or nonnegative(atom.b)
    return nonnegative(atom.a) and nonnegative(atom.b)


def _monomial_quotient(m: Monomial, d: Monomial) -> Monomial | None:
    powers = dict(m)
    for atom, p in d:
        if powers.get(atom, 0) < p:
            return None
        powers[atom] -= p
    return tuple((a, p) for a, p in powers.items() if p)


def _divide(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """(a // b, a % b). Terms of a that are exact multiples of b leave the call: (b*q + r)//b = q + r//b."""
    if b == 0:
        raise ZeroDivisionError(f"{a} divided by 0")
    if b == 1:
        return a, const(0)
    q, r = _split_by_monomial(a, b) if len(b.terms) == 1 else _split_by_polynomial(a, b)
    if r.is_const and b.is_const:
        return q + r.value // b.value, const(r.value % b.value)
    if r == 0:
        return q, r
    if nonnegative(r) and nonnegative(b - 1 - r):
        return q, r
    if b.is_const and b.value > 0:  # a common factor: (g*x)//(g*y) = x//y
        g = math.gcd(b.value, *(c for _, c in r.terms))
        if g > 1:
            inner_q, inner_r = _divide(Dim({m: c // g for m, c in r.terms}), const(b.value // g))
            return q + inner_q, inner_r * g
    return q + Dim({((Call("floordiv", r, b), 1),): 1}), Dim({((Call("mod", r, b), 1),): 1})


def _split_by_monomial(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """(q, r) with a = b*q + r, where b is one term and q takes all it can."""
    ((bm, bc),) = b.terms
    quotient: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for m, c in a.terms:
        q = _monomial_quotient(m, bm)
        whole = c // bc if q is not None and (bc > 0 or c % bc == 0) else 0
        if q is not None and whole:
            quotient[q] = quotient.get(q, 0) + whole
        if c - whole * bc:
            rest[m] = c - whole * bc
    return Dim(quotient), Dim(rest)


def _split_by_polynomial(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """(q, r) with a = b*q + r: one round of polynomial division by b's leading term."""
    whole, remaining = const(0), a
    bm, bc = b.terms[0]
    for m, c in a.terms:
        q = _monomial_quotient(m, bm)
        if q is not None and c % bc == 0:
            step = Dim({q: c // bc})
            reduced = remaining - step * b
            if len(reduced.terms) < len(remaining.terms):
                whole, remaining = whole + step, reduced
    return whole, remaining


def bounded_divide(a: Dim, b: Dim, extents: Mapping[str, Dim]) -> tuple[Dim, Dim]:
    """(a // b, a % b) where each symbol v of `extents` is a loop index with 0 <= v < extents[v].

    Splits a into multiples of b and a rest that the bounds prove to lie in [0, b), so that
    (i*C + j)//C becomes i and (i*C + j)%C becomes j.
    """
    q, r = _divide(a, b)
    if len(r.terms) == 1 and r.terms[0][1] == 1 and len(r.terms[0][0]) == 1:
        atom, power = r.terms[0][0][0]
        if power == 1 and isinstance(atom, Call) and atom.fn == "mod" and atom.b == b and below(atom.a, b, extents):
            return _divide(a - atom.a, b)[0], atom.a  # exact, now that the rest is gone
    return q, r


def below(d: Dim, bound: Dim, extents: Mapping[str, Dim]) -> bool:
    """Whether 0 <= d < bound follows from the loop extents (d without negative coefficients)."""
    if not nonnegative(d):
        return False
    highest = d.substitute({v: e - 1 for v, e in extents.items()})
    return nonnegative(bound - 1 - highest)
