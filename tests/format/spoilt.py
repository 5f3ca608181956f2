"""Spoilt copies of a file: single fields or random bytes changed, with the digests made to fit again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence

from unmoor.archive import layout


def entries(data: bytes) -> Iterator[tuple[int, layout.Section, int, int]]:
    """(place of the entry, section, its offset, its length) of each section."""
    for k in range(int.from_bytes(data[24:28], "little")):
        at = 64 + 64 * k
        kind, _, offset, length, *_ = layout.ENTRY.struct.unpack(data[at : at + 64])
        yield at, layout.BY_KIND[kind], offset, length


def with_digests(data: bytearray) -> bytes:
    """The file with every digest made to fit: what an attacker would send."""
    for at, _, offset, length in list(entries(bytes(data))):
        data[at + 32 : at + 64] = hashlib.sha256(data[offset : offset + length]).digest()
    end = 64 + 64 * int.from_bytes(data[24:28], "little")
    data[32:64] = hashlib.sha256(data[:32] + data[64:end]).digest()
    return bytes(data)


def with_digests_if_any(data: bytearray) -> bytes:
    """The same, or the bytes as they are where their section table cannot be read."""
    try:
        return with_digests(data)
    except (KeyError, MemoryError):
        return bytes(data)


def fields_at(data: bytes, name: str, values: Sequence[int]) -> Iterator[bytes]:
    """Copies in which a field of a row of the section `name` has one of the values: each field of each row."""
    for _, section, offset, length in entries(data):
        if section.name != name or section.row is None:
            continue
        for start in range(offset, offset + length, section.row.size):
            for f, at in zip(section.row.fields, section.row.offsets, strict=True):
                size = layout.SIZES[f.type]
                for value in values:
                    made = bytearray(data)
                    made[start + at : start + at + size] = (value % 256**size).to_bytes(size, "little")
                    yield with_digests(made)


def changed_at_random(
    data: bytes, seed: int, count: int, until: str, values: Sequence[int], most: int = 3
) -> Iterator[bytes]:
    """Copies with up to `most` bytes changed before the section `until`, to one of the values or any other."""
    rng = random.Random(seed)
    last = next(offset for _, s, offset, _ in entries(data) if s.name == until)
    for _ in range(count):
        made = bytearray(data)
        for _ in range(rng.randint(1, most)):
            made[rng.randrange(64, last)] = rng.choice((*values, rng.randrange(256)))
        yield with_digests_if_any(made)
