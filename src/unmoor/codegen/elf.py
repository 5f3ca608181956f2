"""Takes the code out of an ELF object file: one blob of text and read-only data, relocated, that calls nothing.

Layout of the file: the System V ABI, chapter 4, and its AMD64 supplement for the relocation types.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

R_X86_64_PC32, R_X86_64_PLT32 = 2, 4
SHT_RELA, SHT_SYMTAB, SHT_NOBITS = 4, 2, 8
SHF_WRITE, SHF_ALLOC = 1, 2
ALIGNMENT = 64


@dataclass(frozen=True)
class Section:
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int


Symbol = tuple[str, int, int, int]  # name, section, value, kind


def extract(obj: bytes) -> tuple[bytes, dict[str, int]]:
    """The blob of an object file, and the offset of each global function in it.

    Raises AssertionError for what a kernel must not have: undefined symbols, writable data, unknown relocations.
    """
    assert obj[:6] == b"\x7fELF\x02\x01", "not a little-endian ELF64 object"
    sections = _sections(obj)
    blob = bytearray()
    start: dict[int, int] = {}
    for k, s in enumerate(sections):
        if s.flags & SHF_ALLOC and s.size and not s.name.startswith(".eh_frame"):
            assert not s.flags & SHF_WRITE and s.type != SHT_NOBITS, f"section {s.name} is writable"
            blob += bytes(-len(blob) % max(s.align, ALIGNMENT))
            start[k] = len(blob)
            blob += obj[s.offset : s.offset + s.size]
    symbols = next(_symbols(obj, s, sections) for s in sections if s.type == SHT_SYMTAB)
    for s in sections:
        if s.type == SHT_RELA and s.info in start:
            _relocate(obj, s, blob, start, symbols)
    entries = {name: start[k] + value for name, k, value, kind in symbols if kind == 2 and k in start and name}
    return bytes(blob), entries


def _sections(obj: bytes) -> list[Section]:
    (table,) = struct.unpack_from("<Q", obj, 40)
    size, count, names = struct.unpack_from("<HHH", obj, 58)
    raw = [struct.unpack_from("<IIQQQQIIQQ", obj, table + k * size) for k in range(count)]
    strings = raw[names][4]
    return [Section(_string(obj, strings + r[0]), r[1], r[2], r[4], r[5], r[6], r[7], r[8]) for r in raw]


def _string(obj: bytes, at: int) -> str:
    return obj[at : obj.index(b"\0", at)].decode()


def _symbols(obj: bytes, table: Section, sections: list[Section]) -> list[Symbol]:
    strings = sections[table.link].offset
    out = []
    for at in range(table.offset, table.offset + table.size, 24):
        name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", obj, at)
        out.append((_string(obj, strings + name), section, value, info & 15))
    return out


def _relocate(obj: bytes, rela: Section, blob: bytearray, start: dict[int, int], symbols: list[Symbol]) -> None:
    for at in range(rela.offset, rela.offset + rela.size, 24):
        offset, info, addend = struct.unpack_from("<QQq", obj, at)
        name, section, value, _ = symbols[info >> 32]
        assert section in start, f"the code refers to {name or section}, which is not in it"
        kind = info & 0xFFFFFFFF
        assert kind in (R_X86_64_PC32, R_X86_64_PLT32), f"relocation {kind} of {name}"
        place = start[rela.info] + offset
        struct.pack_into("<i", blob, place, start[section] + value + addend - place)
