"""Int registers: turns Dims into formulas, each distinct subexpression once."""

from __future__ import annotations

from collections.abc import Mapping

from unmoor.ir.dim import Call, Dim, DimLike, dim
from unmoor.ir.program import Formula, FormulaOp

OPS = {"floordiv": FormulaOp.FLOORDIV, "mod": FormulaOp.MOD, "min": FormulaOp.MIN, "max": FormulaOp.MAX}


class IntRegisters:
    """The int register file under construction. `places` says where each symbol is read: (input, axis)."""

    def __init__(self, places: Mapping[str, tuple[int, int]]) -> None:
        self.places = places
        self.formulas: list[Formula] = []
        self._known: dict[Formula, int] = {}

    def of(self, value: DimLike) -> int:
        """The register that holds `value`. KeyError where a symbol is no input's size."""
        total: int | None = None
        for monomial, coefficient in dim(value).terms:
            term: int | None = None
            for atom, power in monomial:
                factor = self._atom(atom)
                for _ in range(power):
                    term = factor if term is None else self._row(FormulaOp.MUL, term, factor)
            if term is None:
                term = self._row(FormulaOp.CONST, coefficient)
            elif coefficient != 1:
                term = self._row(FormulaOp.MUL, term, self._row(FormulaOp.CONST, coefficient))
            total = term if total is None else self._row(FormulaOp.ADD, total, term)
        return self._row(FormulaOp.CONST, 0) if total is None else total

    def _atom(self, atom: str | Call) -> int:
        if isinstance(atom, str):
            return self._row(FormulaOp.DIM, *self.places[atom])
        return self._row(OPS[atom.fn], self.of(atom.a), self.of(atom.b))

    def _row(self, op: FormulaOp, a: int, b: int = 0) -> int:
        formula = Formula(op, a, b)
        if formula not in self._known:
            self._known[formula] = len(self.formulas)
            self.formulas.append(formula)
        return self._known[formula]


def symbol_places(shapes: list[tuple[Dim, ...]]) -> dict[str, tuple[int, int]]:
    """Where each symbol is first seen as a whole dim of an input."""
    places: dict[str, tuple[int, int]] = {}
    for k, shape in enumerate(shapes):
        for axis, d in enumerate(shape):
            if d.symbol is not None:
                places.setdefault(d.symbol, (k, axis))
    return places
