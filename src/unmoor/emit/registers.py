"""Int registers: turns Dims into formulas, each distinct subexpression once."""

from __future__ import annotations

from collections.abc import Mapping

from unmoor.ir.bounds import interval
from unmoor.ir.dim import Call, Dim, DimLike, dim, dmax
from unmoor.ir.program import Formula, FormulaOp
from unmoor.ir.signature import contiguity

OPS = {"floordiv": FormulaOp.FLOORDIV, "mod": FormulaOp.MOD, "min": FormulaOp.MIN, "max": FormulaOp.MAX}


class IntRegisters:
    """The int register file under construction. `places` says how each symbol is read from the inputs.

    Symbols for sizes that a call finds are told by `find`. A register belongs to the run of the last instruction that
    finds something it depends on: all the others stand before that one wherever the register is used. `layout` brings
    the runs behind each other; until then registers have the numbers in which they were made.
    """

    def __init__(self, places: Mapping[str, Formula]) -> None:
        self.places = places
        self.formulas: list[Formula] = []
        self.runs: list[int] = []  # of each register: 0 for what is known before the code runs
        self.most: dict[str, Dim] = {}
        self._given: dict[str, int] = {}
        self._known: dict[tuple[Formula, int], int] = {}

    def find(self, symbols: tuple[str, ...], most: Dim) -> int:
        """The next run: that of an instruction which finds these sizes, each at most `most`."""
        run = 1 + max(self.runs, default=0)
        bound = dmax(interval(most, self.most)[1], 1)  # what is read at a clamped place of no elements is memory, too
        for number, name in enumerate(symbols):
            self.most[name] = bound
            self._given[name] = self._row(FormulaOp.GIVEN, number, 0, run)
        return run

    def at_most(self, value: DimLike) -> int:
        """The register that holds an upper bound of `value`, known before the code runs."""
        return self.of(interval(dim(value), self.most)[1])

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

    def size(self, place: tuple[int, int]) -> int:
        """The register that holds the size of an input along an axis."""
        return self._row(FormulaOp.DIM, *place)

    def layout(self) -> tuple[list[int], dict[int, tuple[int, int]]]:
        """The final number of each register, with the runs in order, and of each run where it starts and its length."""
        order = sorted(range(len(self.formulas)), key=lambda k: self.runs[k])  # stable: operands stay before their uses
        final = [0] * len(order)
        spans: dict[int, tuple[int, int]] = {}
        for number, k in enumerate(order):
            final[k] = number
            start, length = spans.get(self.runs[k], (number, 0))
            spans[self.runs[k]] = start, length + 1
        rows = [self.formulas[k] for k in order]
        self.formulas = [Formula(f.op, final[f.a], final[f.b]) if f.op in _OF_REGISTERS else f for f in rows]
        return final, spans

    def _atom(self, atom: str | Call) -> int:
        if isinstance(atom, str):
            if atom in self._given:
                return self._given[atom]
            place = self.places[atom]
            return self._row(place.op, place.a, place.b)
        return self._row(OPS[atom.fn], self.of(atom.a), self.of(atom.b))

    def _row(self, op: FormulaOp, a: int, b: int = 0, run: int = 0) -> int:
        if op in _OF_REGISTERS:
            run = max(self.runs[a], self.runs[b])
        formula = Formula(op, a, b)
        if (formula, run) not in self._known:
            self._known[formula, run] = len(self.formulas)
            self.formulas.append(formula)
            self.runs.append(run)
        return self._known[formula, run]


_OF_REGISTERS = frozenset(FormulaOp) - {FormulaOp.CONST, FormulaOp.DIM, FormulaOp.GIVEN, FormulaOp.CONTIGUOUS}


def symbol_places(shapes: list[tuple[Dim, ...]]) -> dict[str, Formula]:
    """How each symbol is read: from where it is first seen as a whole dim of an input, or as an input's contiguity."""
    places: dict[str, Formula] = {}
    for k, shape in enumerate(shapes):
        places[contiguity(k)] = Formula(FormulaOp.CONTIGUOUS, k)
        for axis, d in enumerate(shape):
            if d.symbol is not None:
                places.setdefault(d.symbol, Formula(FormulaOp.DIM, k, axis))
    return places
