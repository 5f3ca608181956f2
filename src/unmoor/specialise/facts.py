"""What is known of a signature's sizes: proven facts, and those that the example decided and the signature records."""

from __future__ import annotations

from collections.abc import Mapping

from unmoor.ir.dim import Dim, DimLike, const, dim, nonnegative, sym
from unmoor.ir.graph import Relation


class Learnt(Exception):
    """A symbol turned out to be a constant or another symbol; specialisation starts again with that."""

    def __init__(self, symbol: str, value: Dim) -> None:
        super().__init__(f"{symbol} is {value}")
        self.symbol, self.value = symbol, value


class ExampleFacts:
    """Answers by proof, else by the example's sizes; each answer of the second kind becomes a relation.

    An equality that fixes a symbol is raised as `Learnt`, so that it holds everywhere.
    """

    def __init__(self, example: Mapping[str, int]) -> None:
        self.example = example
        self.relations: dict[Relation, None] = {}

    def equal(self, a: DimLike, b: DimLike) -> bool:
        """Whether a == b."""
        left, right = dim(a), dim(b)
        difference = left - right
        if difference.is_const:
            return difference == 0
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
