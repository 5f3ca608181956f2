"""What is known of a signature's sizes: proven facts, and those that the example decided and the signature records."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unmoor.errors import Unsupported
from unmoor.ir.bounds import interval
from unmoor.ir.dim import Dim, DimLike, const, dim, nonnegative, sym
from unmoor.ir.graph import Relation, Source


class Learnt(Exception):
    """A symbol turned out to be a constant or another symbol; specialisation starts again with that.

    `pinned` says so of a dim that the user named, and the program pinned."""

    def __init__(self, symbol: str, value: Dim) -> None:
        super().__init__(f"{symbol} is {value}")
        self.symbol, self.value = symbol, value
        self.pinned: tuple[str, str, Source] | None = None


def _is_plain(d: Dim) -> bool:
    """Whether a size is a sum of products of symbols, with no rest of a division in it."""
    return all(isinstance(atom, str) for monomial, _ in d.terms for atom, _ in monomial)


def _nobody(relation: Relation) -> None:
    raise Unsupported(f"nothing checks {relation} here")


class ExampleFacts:
    """Answers by proof, else by the example's sizes; each answer of the second kind becomes a relation.

    An equality that fixes a symbol is raised as `Learnt`, so that it holds everywhere.

    Of sizes that a call finds in data there is no example: what is not proven is taken to hold, or not to hold where a
    size would have to be 0 or 1, and `demand` has the program check it where it stands.
    """

    def __init__(self, example: Mapping[str, int]) -> None:
        self.example = example
        self.relations: dict[Relation, None] = {}
        self.most: dict[str, Dim] = {}  # of each size that a call finds, the greatest value
        self.demand: Callable[[Relation], None] = _nobody

    def found(self, most: Dim) -> Dim:
        """A new symbol for a size that a call finds, between 0 and `most`."""
        name = f"u{len(self.most)}"
        self.most[name] = interval(most, self.most)[1]
        return sym(name)

    def is_found(self, d: DimLike) -> bool:
        """Whether a size depends on what a call finds."""
        return not self.most.keys().isdisjoint(dim(d).symbols)

    def decided(self, a: DimLike, op: str, b: DimLike) -> bool | None:
        """Whether a == b or a <= b, where bounds tell, for sizes that a call finds; else None."""
        low, high = interval(dim(b) - dim(a), self.most)
        if op == "<=":
            return True if nonnegative(low) else False if nonnegative(-high - 1) else None
        apart = nonnegative(low - 1) or nonnegative(-high - 1)
        return True if dim(a) == dim(b) else False if apart else None

    def _demanded(self, a: Dim, op: str, b: Dim) -> bool:
        known = self.decided(a, op, b)
        if known is not None:
            return known
        if op == "==" and any(x.is_const and x.value in (0, 1) for x in (a, b)) and _is_plain(a - b):
            self.demand(Relation(a, "!=", b))
            return False
        self.demand(Relation(a, op, b))
        return True

    def equal(self, a: DimLike, b: DimLike) -> bool:
        """Whether a == b."""
        left, right = dim(a), dim(b)
        difference = left - right
        if difference.is_const:
            return difference == 0
        if self.is_found(difference):
            return self._demanded(left, "==", right)
        if Relation(left, "==", right) in self.relations:
            return True
        if nonnegative(difference - 1) or nonnegative(-difference - 1):
            return False
        if difference.evaluate(self.example) == 0:
            self._learn(difference)
            self.relations[Relation(left, "==", right)] = None
            return True
        self.relations[Relation(left, "!=", right)] = None
        return False

    def at_most(self, a: DimLike, b: DimLike) -> bool:
        """Whether a <= b."""
        left, right = dim(a), dim(b)
        if self.is_found(right - left):
            return self._demanded(left, "<=", right)
        if nonnegative(right - left):
            return True
        if nonnegative(left - right - 1):
            return False
        holds = left.evaluate(self.example) <= right.evaluate(self.example)
        self.relations[Relation(left, "<=", right) if holds else Relation(right, "<", left)] = None
        return holds

    def int_of(self, a: DimLike) -> int:
        """The int of a size; a symbolic one becomes part of the signature."""
        value = dim(a)
        if value.is_const:
            return value.value
        if self.is_found(value):
            raise Unsupported(f"a number is needed here, and the size {value} comes out of data")
        number = value.evaluate(self.example)
        self.equal(value, number)
        return number

    def _learn(self, zero: Dim) -> None:
        """Raises Learnt where `zero == 0` says that a symbol is a constant or another symbol."""
        for name in sorted(zero.symbols, key=lambda n: (len(n), n), reverse=True):
            factor = zero.coefficient(name)
            if factor is None or not factor.is_const:
                continue
            rest = zero.substitute({name: 0}) * -1
            if all(c % factor.value == 0 for _, c in rest.terms):
                value = Dim({m: c // factor.value for m, c in rest.terms})
                if value.is_const or value.is_symbol:
                    raise Learnt(name, value)
        if len(zero.symbols) == 1:
            (name,) = zero.symbols
            if zero.coefficient(name) is None or not zero.substitute({name: sym(name)}).is_const:
                fixed = const(self.example[name])
                if zero.substitute({name: fixed}) == 0 and zero.substitute({name: fixed + 1}) != 0:
                    raise Learnt(name, fixed)
