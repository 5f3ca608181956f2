"""docs/bytecode.md: the instruction set, from `ir/program.py` and the comments beside its rows."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum

from unmoor.ir.program import CheckOp, FormulaOp, Opcode, Place

ROW = re.compile(r"^    (?P<name>[A-Z_]+) = (?P<code>\d+)(?:  # (?P<doc>.*))?$", re.MULTILINE)
INTRODUCTION = """\
# Bytecode

Derived from `src/unmoor/ir/program.py` by `tools/generate.py`; do not edit. [format.md](format.md) says how it is
stored.

A *program* is the executable form of one signature. It has two register files: *int registers* hold sizes as 64-bit
integers and are set by *formulas*, *tensor registers* say where each tensor is. For sizes that it has not just seen,
the machine evaluates the formulas in order, tests the checks, and places every tensor; then it runs the code from top
to bottom.

"""


def table(enum: type[IntEnum], title: str, text: str) -> str:
    """The enum's rows with the comments beside them; a row without one means what the last row's comment says."""
    rows = list(ROW.finditer(inspect.getsource(enum)))
    assert [(m["name"], int(m["code"])) for m in rows] == [(m.name, m.value) for m in enum], (
        f"{enum} is not a plain list"
    )
    lines = [f"## {title}", "", text, "", "| Code | Name | Meaning |", "|---:|---|---|"]
    lines += [f"| {m['code']} | `{m['name'].lower()}` | {m['doc'] or ''} |" for m in rows]
    return "\n".join(lines) + "\n"


def document() -> str:
    """The whole document."""
    parts = (
        table(Opcode, "Instructions", "*r* is an int register, *t* a tensor register."),
        table(
            FormulaOp,
            "Formulas",
            "Row *k* sets int register *k*. Arithmetic that leaves 64 bits refuses the call. "
            "Operands of a row without a meaning of its own are registers, as those of `add`.",
        ),
        table(CheckOp, "Checks", "A relation of two int registers; where it does not hold the call is refused."),
        table(Place, "Places", "Where a tensor register's memory is."),
    )
    return INTRODUCTION + "\n".join(parts)
