"""Scopes: the statements of a loop body under construction, with what has already been computed there."""

from __future__ import annotations

from unmoor.ir.dim import Dim
from unmoor.ir.graph import Value
from unmoor.ir.kernel import Index, Let, Stmt
from unmoor.ir.scalar import Expr, Number, Ref

Key = tuple[Value, tuple[Dim, ...]]


class Scope:
    """One loop body. `symbols` are the loop indices it adds to those of its parents."""

    def __init__(self, parent: Scope | None, symbols: frozenset[str]) -> None:
        self.parent = parent
        self.symbols = symbols
        self.statements: list[Stmt] = []
        self.known: dict[Key, Expr] = {}
        self.places: dict[tuple[Key, Dim], str] = {}  # indices made of data, by the element they are and their bound
        self._counter: list[int] = parent._counter if parent else [0]

    def fresh(self) -> str:
        """A name for a scalar value, unique in the kernel."""
        self._counter[0] += 1
        return f"v{self._counter[0] - 1}"

    def find(self, key: Key) -> Expr | None:
        """The expression of an element that this scope or one around it has computed."""
        scope: Scope | None = self
        while scope is not None:
            if key in scope.known:
                return scope.known[key]
            scope = scope.parent
        return None

    def home(self, index: tuple[Dim, ...]) -> Scope:
        """The outermost scope in which `index` can be evaluated: where its value is computed once."""
        needed = frozenset().union(*(d.symbols for d in index))
        scope = self
        while scope.parent is not None and not (scope.symbols & needed):
            scope = scope.parent
        return scope

    def index(self, key: Key, value: Expr, extent: Dim) -> str:
        """The name of an index made of data: the element `key`, computed as `value`, within `extent`."""
        known = self.places.get((key, extent))
        if known is not None:
            return known
        name = f"g{self.fresh()[1:]}"
        self.statements.append(Index(name, value, extent))
        self.symbols |= {name}
        self.places[key, extent] = name
        return name

    def bind(self, expr: Expr) -> Expr:
        """Names an expression, so that it is computed once; literals and names stay as they are."""
        if isinstance(expr, Number | Ref):
            return expr
        name = self.fresh()
        self.statements.append(Let(name, expr))
        return Ref(name, expr.dtype)
