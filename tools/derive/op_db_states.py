"""The section of docs/ops.md on torch's op database, from the states that `tools/op_db_coverage.py` found."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).resolve().parent.parent.parent / "tests/op_db_states.tsv"
DTYPES = ("float32", "float64", "int64", "int32", "bool", "bfloat16", "float16")
TEXT = """\
## torch's op database

Each entry of torch's own `op_db` in each dtype that it has on a CPU: all its sample inputs, traced and run against
eager PyTorch by `tools/op_db_coverage.py`. *right*: all samples equal eager's within the tolerance of the ops that ran;
*partly*: those that are not refused by name; *refused*: all are. An entry is supported where all its float32 samples
are right: **{supported} of {total}**. Wrong answers in any dtype: **{wrong}**.

"""


class Row(NamedTuple):
    """An entry's state per dtype, and why most of its refused float32 samples are refused."""

    entry: str
    states: tuple[str, ...]
    reason: str


def read() -> list[Row]:
    """The states as they were last found."""
    lines = FILE.read_text("utf-8").splitlines() if FILE.is_file() else []
    cells = [line.split("\t") for line in lines if not line.startswith("#")]
    return [Row(name, tuple(states), reason) for name, *states, reason in cells]


def write(rows: list[Row]) -> None:
    """Keep the states."""
    lines = ["\t".join((row.entry, *row.states, row.reason)) for row in rows]
    FILE.write_text("\n".join(["# " + "\t".join(("entry", *DTYPES, "refused in float32")), *lines]) + "\n", "utf-8")


def supported(rows: list[Row]) -> int:
    """How many entries are right in all float32 samples."""
    return sum(row.states[0] == "right" for row in rows)


def section() -> str:
    """The table."""
    rows = read()
    wrong = sum(state == "WRONG" for row in rows for state in row.states)
    head = [f"| Entry | {' | '.join(DTYPES)} | Refused in float32 because |", "|---" * (len(DTYPES) + 2) + "|"]
    body = [
        f"| `{row.entry}` | {' | '.join('' if s == 'none' else s for s in row.states)} | {row.reason} |" for row in rows
    ]
    return TEXT.format(supported=supported(rows), total=len(rows), wrong=wrong) + "\n".join([*head, *body]) + "\n"
