"""Decodes the sections' rows, and checks by the layout table that every number points at something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unmoor import dtypes
from unmoor.archive import layout
from unmoor.archive.container import Container
from unmoor.errors import ArchiveError
from unmoor.ir.program import CheckOp, FormulaOp, Opcode, Place

ENUMS: Mapping[str, frozenset[int]] = {
    "dtype": frozenset(dtypes.BY_CODE),
    "dim_kind": frozenset(layout.DIM_KINDS.values()),
    "check_op": frozenset(CheckOp),
    "formula_op": frozenset(FormulaOp),
    "place": frozenset(Place),
    "opcode": frozenset(Opcode),
    "role": frozenset(layout.ROLES.values()),
    "weight_layout": frozenset(layout.WEIGHT_LAYOUTS.values()),
}


class Record:
    """A decoded row: its fields by name."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, int]) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> int:
        return self._fields[name]


class Tables:
    """All rows of a file, checked: every `of` of the layout holds, reserved fields are 0, strings are sound."""

    def __init__(self, container: Container) -> None:
        self._rows: dict[str, list[Record]] = {}
        for section in layout.SECTIONS:
            if section.row is not None and not section.detail:
                self._rows[section.name] = _decode(section, container.section(section.name))
        for section in layout.SECTIONS:
            if section.name in self._rows:
                self._check(section)
        self._check_owners()
        self._strings = self._decode_strings(bytes(container.section("string_bytes")))

    def __getitem__(self, section: str) -> list[Record]:
        return self._rows[section]

    def span(self, record: Record, name: str, section: str) -> list[Record]:
        """The rows that `first_<name>` and `<name>_count` of a record say."""
        first: int = getattr(record, f"first_{name}")
        count: int = getattr(record, f"{name}_count")
        return self._rows[section][first : first + count]

    def string(self, number: int) -> str:
        """The string of a number that was checked."""
        return self._strings[number]

    def _check(self, section: layout.Section) -> None:
        assert section.row is not None
        rules = [(f, len(self._rows.get(f.of, ()))) for f in section.row.fields if f.of or f.name == "reserved"]
        for number, record in enumerate(self._rows[section.name]):
            for f, limit in rules:
                value = getattr(record, f.name)
                if f.name == "reserved":
                    sound = value == 0
                elif f.of in ENUMS:
                    sound = value in ENUMS[f.of]
                elif f.count:
                    sound = value + getattr(record, f.count) <= limit
                else:
                    sound = value < limit
                if not sound:
                    raise ArchiveError(
                        f"the file is damaged: {section.name}[{number}].{f.name} = {value} is out of range"
                    )

    def _check_owners(self) -> None:
        """Every row is in one run, in the order of a walk from the roots: decoding is linear in the file's size."""
        self._next = dict.fromkeys(self._rows, 0)
        for root in layout.ROOTS:
            self._next[root] = len(self._rows[root])
            for record in self._rows[root]:
                self._own(root, record)
        for name, taken in self._next.items():
            if name != "strings" and taken != len(self._rows[name]):
                raise ArchiveError(f"the file is damaged: {name} has rows that nothing uses")

    def _own(self, section: str, record: Record) -> None:
        for f in layout.RUNS[section]:
            first, count = getattr(record, f.name), getattr(record, f.count)
            if first != self._next[f.of]:
                raise ArchiveError(f"the file is damaged: a run into {f.of} starts at {first}, not behind the last one")
            self._next[f.of] += count
            for child in self._rows[f.of][first : first + count] if layout.RUNS[f.of] else ():
                self._own(f.of, child)

    def _decode_strings(self, raw: bytes) -> list[str]:
        strings, end = [], 0
        for number, row in enumerate(self._rows["strings"]):
            stop = row.offset + row.bytes
            if row.offset != end or stop >= len(raw) or raw[stop] or b"\0" in raw[end:stop]:
                raise ArchiveError(f"the file is damaged: strings[{number}] does not follow the one before it")
            try:
                strings.append(raw[end:stop].decode("utf-8"))
            except UnicodeDecodeError as error:
                raise ArchiveError(f"the file is damaged: strings[{number}] is not UTF-8") from error
            end = stop + 1
        if end != len(raw) or not strings or strings[0]:
            raise ArchiveError("the file is damaged: the strings do not fill their section, or the first is not empty")
        return strings


def _decode(section: layout.Section, data: memoryview) -> list[Record]:
    row = section.row
    assert row is not None
    if len(data) % row.size:
        raise ArchiveError(f"the file is damaged: the section {section.name} holds part of a row")
    names = [f.name for f in row.fields]
    return [Record(dict(zip(names, values, strict=True))) for values in _unpack(row, data)]


def _unpack(row: layout.Row, data: memoryview) -> Iterator[tuple[Any, ...]]:
    return row.struct.iter_unpack(data)
