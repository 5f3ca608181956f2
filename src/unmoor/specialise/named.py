"""Named and pinned dims: what a user says of an input's sizes, held against a signature."""

from __future__ import annotations

from dataclasses import dataclass, field

from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim, const
from unmoor.ir.graph import Arg, Relation, Source
from unmoor.specialise.facts import ExampleFacts


class Demanded(SignatureError):
    """Sizes that are not as the user said they would be."""


@dataclass(frozen=True)
class Pinned:
    """A named dim that the program fixes: its value, a size or another name, and the line that needs it."""

    name: str
    value: str
    source: Source


@dataclass
class NamedDims:
    """The names met so far: of symbols, and of each name the dim, its size and its place."""

    facts: ExampleFacts
    symbols: dict[str, str] = field(default_factory=dict)
    _met: dict[str, tuple[Dim, int, str]] = field(default_factory=dict)

    def hold(self, name: str, shape: tuple[Dim, ...], said: tuple[Arg, ...]) -> None:
        """prim::dims: Demanded where the example is not as it says; what must hold of other sizes becomes known."""
        if len(shape) != len(said):
            raise Demanded(f"{name} has {len(shape)} dims here, and {len(said)} as `dims` of the trace says")
        for axis, (d, entry) in enumerate(zip(shape, said, strict=True)):
            where = f"dim {axis} of {name}"
            size = d.evaluate(self.facts.example)
            if isinstance(entry, int):
                if size != entry:
                    raise Demanded(f"{where} is {size} here, and {entry} as `dims` of the trace says")
                self.facts.equal(d, entry)
            elif isinstance(entry, tuple):
                label, least, most = entry
                assert isinstance(label, str) and isinstance(least, int) and (most is None or isinstance(most, int))
                self._name(label, d, size, where)
                self._range(label, d, size, where, least, most)

    def _name(self, label: str, d: Dim, size: int, where: str) -> None:
        known, other, first = self._met.setdefault(label, (d, size, where))
        if size != other:
            raise Demanded(f"{where} is {size} and {first} is {other} here; `dims` of the trace says {label} of both")
        self.facts.equal(known, d)
        if d.symbol is not None:
            self.symbols.setdefault(d.symbol, label)

    def _range(self, label: str, d: Dim, size: int, where: str, least: int, most: int | None) -> None:
        limits = [(size >= least, f"at least {least}", Relation(const(least), "<=", d))] if least else []
        limits += [] if most is None else [(size <= most, f"at most {most}", Relation(d, "<=", const(most)))]
        for holds, bound, relation in limits:
            if not holds:
                raise Demanded(f"{where} is {size} here, and `dims` of the trace says that {label} is {bound}")
            if not d.is_const:
                message = f"`dims` of the trace says that {label} is {bound}"
                told = Relation(relation.left, relation.op, relation.right, message)
                self.facts.relations.setdefault(told)
