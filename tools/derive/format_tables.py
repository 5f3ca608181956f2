"""The byte tables of docs/format.md, and its worked example: between markers, from the layout."""

from __future__ import annotations

import re

from tools.derive.example import smallest_file

from unmoor import dtypes
from unmoor.archive import layout
from unmoor.ir import target
from unmoor.ir.program import CheckOp, FormulaOp, Opcode, Place

BLOCK = re.compile(r"(<!-- derived: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(document: str) -> str:
    """The document with every derived block made again."""
    makers = {"header": header, "sections": sections, "rows": rows, "codes": codes, "example": example}
    return BLOCK.sub(lambda m: m[1] + makers[m["name"]]() + m[3], document)


def table(row: layout.Row) -> str:
    lines = ["| Offset | Type | Field | Meaning |", "|---:|---|---|---|"]
    for f, at in zip(row.fields, row.offsets, strict=True):
        points = f" (`{f.of}`)" if f.of else ""
        lines.append(f"| {at} | {f.type} | `{f.name}` | {f.doc}{points} |")
    return "\n".join(lines) + "\n"


def header() -> str:
    return f"{table(layout.HEADER)}\nAn entry of the section table, {layout.ENTRY.size} bytes:\n\n{table(layout.ENTRY)}"


def sections() -> str:
    lines = ["| Kind | Section | Row bytes | Holds |", "|---:|---|---:|---|"]
    for s in layout.SECTIONS:
        doc = s.doc + (f" `detail` is the {s.detail}." if s.detail else "") + (" May be absent." if s.optional else "")
        lines.append(f"| {s.kind} | `{s.name}` | {s.row.size if s.row else '-'} | {doc} |")
    return "\n".join(lines) + "\n"


def rows() -> str:
    parts = []
    for s in layout.SECTIONS:
        if s.row is not None:
            parts.append(f"#### `{s.name}`: {s.row.size} bytes\n\n{s.row.doc}\n\n{table(s.row)}")
    return "\n".join(parts)


def codes() -> str:
    lists = {
        "dtype": {d.name: d.code for d in dtypes.ALL},
        "target code": {t.name: t.code for t in target.ALL},
        "dim_kind": layout.DIM_KINDS,
        "formula_op": {m.name.lower(): m.value for m in FormulaOp},
        "check_op": {sign: code for sign, code in layout.CHECK_OPS.items()},
        "place": {m.name.lower(): m.value for m in Place},
        "opcode": {m.name.lower(): m.value for m in Opcode},
        "role": layout.ROLES,
        "weight_layout": layout.WEIGHT_LAYOUTS,
    }
    assert list(layout.CHECK_OPS.values()) == [m.value for m in CheckOp]
    lines = ["| Codes | Values |", "|---|---|"]
    for name, values in lists.items():
        lines.append(f"| {name} | {', '.join(f'{code} `{key}`' for key, code in values.items())} |")
    return "\n".join(lines) + "\n"


def example() -> str:
    """The smallest file, byte by byte, with what stands where."""
    data = smallest_file()
    notes = {0: "header", layout.HEADER.size: "section table"}
    count = layout.HEADER.struct.unpack(data[: layout.HEADER.size])[4]
    for k in range(count):
        at = layout.HEADER.size + k * layout.ENTRY.size
        kind, _, offset, length, *_ = layout.ENTRY.struct.unpack(data[at : at + layout.ENTRY.size])
        notes.setdefault(at, f"entry of {layout.BY_KIND[kind].name}: {length} bytes at {offset}")
        if length:
            notes[offset // 16 * 16] = f"section {layout.BY_KIND[kind].name}"
    lines, skipped = [], False
    for at in range(0, len(data), 16):
        line = data[at : at + 16]
        if not any(line) and at not in notes:
            skipped = True
            continue
        lines += ["  ..."] if skipped else []
        skipped = False
        note = f"  {notes[at]}" if at in notes else ""
        lines.append(f"{at:06x}  {line.hex(' '):47}{note}")
    return "```text\n" + "\n".join(lines) + "\n```\n"
