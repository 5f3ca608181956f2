"""The text of kernels, as the docstring of `ir.kernel` shows it."""

from __future__ import annotations

from unmoor.ir.dim import Dim
from unmoor.ir.kernel import Buffer, Fold, Index, Kernel, Let, Loop, Stmt, Store
from unmoor.ir.scalar import Apply, Expr, IndexValue, Load, Number, Ref


def print_kernel(kernel: Kernel) -> str:
    """The kernel as text."""
    buffers = ", ".join(map(_buffer, kernel.buffers))
    lines = [f"kernel {kernel.name}({buffers}) ints ({', '.join(kernel.ints)}) {{"]
    lines += [f"  parallel {kernel.body.var} < {kernel.body.extent} {{"]
    lines += _body(kernel.body.body, "    ")
    return "\n".join([*lines, "  }", "}"]) + "\n"


def _buffer(b: Buffer) -> str:
    panels = f" panels({b.panels.batch}, {b.panels.k}, {b.panels.n})" if b.panels else ""
    return f"{b.role} {b.name} : {b.dtype}[{b.numel}]{panels}"


def _body(body: tuple[Stmt, ...], indent: str) -> list[str]:
    return [line for stmt in body for line in _stmt(stmt, indent)]


def _stmt(stmt: Stmt, indent: str) -> list[str]:
    if isinstance(stmt, Let):
        return [f"{indent}let {stmt.name} = {print_expr(stmt.value)}"]
    if isinstance(stmt, Index):
        return [f"{indent}let {stmt.name} < {stmt.extent} = {print_expr(stmt.value)}"]
    if isinstance(stmt, Store):
        return [f"{indent}{stmt.buffer}[{stmt.index}] = {print_expr(stmt.value)}"]
    if isinstance(stmt, Loop):
        return [f"{indent}loop {stmt.var} < {stmt.extent} {{", *_body(stmt.body, indent + "  "), f"{indent}}}"]
    axes = _axes(stmt.axes)
    if isinstance(stmt, Fold):
        head = f"{indent}fold {stmt.name} = {stmt.fn} over {axes}{_inside(stmt.inside)} {{"
        return [head, *_body(stmt.body, indent + "  "), f"{indent}  {print_expr(stmt.value)}", f"{indent}}}"]
    product = f"{print_expr(stmt.left)} * {print_expr(stmt.right)}"
    return [f"{indent}contract {stmt.name} over {axes}{_inside(stmt.inside)} {{ {product} }}"]


def _axes(axes: tuple[tuple[str, Dim], ...]) -> str:
    return ", ".join(f"{var} < {extent}" for var, extent in axes)


def _inside(bounds: tuple[tuple[Dim, Dim], ...]) -> str:
    listed = ", ".join(f"0 <= {position} < {extent}" for position, extent in bounds)
    return f" where {listed}" if listed else ""


def print_expr(expr: Expr) -> str:
    """A scalar expression; literals carry their dtype."""
    if isinstance(expr, Number):
        return f"{expr.dtype}({str(expr.value).lower() if isinstance(expr.value, bool) else repr(expr.value)})"
    if isinstance(expr, Load):
        return f"{expr.buffer}[{expr.index}]"
    if isinstance(expr, Ref):
        return expr.name
    if isinstance(expr, IndexValue):
        return f"index({expr.index})"
    assert isinstance(expr, Apply)
    kind = f"<{expr.dtype}>" if expr.fn == "cast" else ""
    return f"{expr.fn}{kind}({', '.join(map(print_expr, expr.args))})"
