"""docs/ops.md: every op, from the op table."""

from __future__ import annotations

from tools.derive import op_db_states

from unmoor.ir.op import Kind, Op, Tolerance
from unmoor.ops import TABLE

INTRODUCTION = """\
# Ops

Derived from the op table, `src/unmoor/ops/`, by `tools/generate.py`; do not edit.
[How to add one](add-an-op.md).

*Tested in* are the element types that the differential tests run; the tolerance is against eager PyTorch, relative to
the result (`r`) or absolute (`a`), and bit-equal where none is given.

"""
TITLES = {
    Kind.MAP: ("Map", "Each output element from the elements at its (broadcast) place."),
    Kind.REDUCE: ("Reduce", "Axes folded by an associative function."),
    Kind.VIEW: ("View", "Elements only change place."),
    Kind.PAD: ("Pad", "A constant around the elements of a tensor."),
    Kind.CONTRACT: ("Contract", "Sums of products of two operands."),
    Kind.CREATE: ("Create", "Elements from their index and constants alone."),
    Kind.INDEX: ("Index", "Elements at places that integer tensors name."),
    Kind.SCATTER: ("Scatter", "A copy with elements written at places that integer tensors name."),
    Kind.SCAN: ("Scan", "Running values along an axis."),
    Kind.JOIN: ("Join", "Several tensors side by side."),
    Kind.PACK: ("Pack", "A copy into the layout that contractions read."),
    Kind.COMPOSITE: ("Composite", "Taken apart into the others when a signature is compiled."),
    Kind.BUILTIN: ("Builtin", "A function of the native runtime."),
}


def document() -> str:
    """The whole document."""
    kinds = (_section(kind) for kind in Kind if any(o.kind is kind for o in TABLE.values()))
    return INTRODUCTION + "\n".join([*kinds, op_db_states.section()])


def _section(kind: Kind) -> str:
    title, text = TITLES[kind]
    rows = [_row(op) for op in TABLE.values() if op.kind is kind]
    head = ["| Op | Schema | Torch overloads | Tested in | Tolerance |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", text, "", *head, *rows]) + "\n"


def _row(op: Op) -> str:
    overloads = ", ".join(f"`{o}`" for o in op.overloads)
    return f"| `{op.name}` | `{op.schema.text}` | {overloads} | {', '.join(op.dtypes)} | {_tolerance(op.tolerance)} |"


def _tolerance(tolerance: Tolerance) -> str:
    parts = [f"{dtype or 'other'} r {t:g}" for dtype, t in tolerance.rtol.items() if t]
    parts += [f"{dtype or 'other'} a {t:g}" for dtype, t in tolerance.atol.items() if t]
    return ": ".join(filter(None, (", ".join(parts), tolerance.reason)))
