"""Loops around a kernel's statements: opens scopes from the outside in, closes them from the inside out."""

from __future__ import annotations

from collections.abc import Sequence

from unmoor.ir.dim import Dim, const
from unmoor.ir.kernel import Loop, Stmt
from unmoor.kernels.scope import Scope

Axis = tuple[str, Dim]


class Nest:
    """Loops over `axes`, the first of which is the kernel's outermost; `inner` is the scope inside them all."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes: tuple[Axis, ...] = tuple(axes) or (("i", const(1)),)
        self.scopes: list[Scope] = []
        for var, _ in self.axes:
            self.scopes.append(Scope(self.scopes[-1] if self.scopes else None, frozenset((var,))))

    @property
    def inner(self) -> Scope:
        return self.scopes[-1]

    def close(self) -> Loop:
        """The finished loop nest."""
        loop: Loop | None = None
        for (var, extent), scope in reversed(list(zip(self.axes, self.scopes, strict=True))):
            if loop is not None:
                scope.statements.append(loop)
            loop = Loop(var, extent, tuple(scope.statements))
        assert loop is not None
        return loop


def loop_inside(scope: Scope, axes: Sequence[Axis]) -> tuple[list[Scope], Scope]:
    """Scopes for loops over `axes` inside `scope`; the last one is returned again as the innermost."""
    scopes: list[Scope] = []
    inner = scope
    for var, _ in axes:
        inner = Scope(inner, frozenset((var,)))
        scopes.append(inner)
    return scopes, inner


def close_inside(scope: Scope, axes: Sequence[Axis], scopes: Sequence[Scope]) -> None:
    """Appends the loops that `loop_inside` opened to `scope`; with no axes there is nothing to do."""
    body: tuple[Stmt, ...] = ()
    for k in reversed(range(len(axes))):
        var, extent = axes[k]
        if k + 1 < len(axes):
            scopes[k].statements.extend(body)
        body = (Loop(var, extent, tuple(scopes[k].statements)),)
    scope.statements.extend(body)
