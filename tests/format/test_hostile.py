"""Hostile files: truncated, flipped, and rewritten with sound digests. The reader refuses each with ArchiveError."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest
from tests.archive_images import image, with_examples

from unmoor import archive
from unmoor.archive import layout
from unmoor.errors import ArchiveError

DATA = archive.write(with_examples(image()))


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


def refused_or_sound(data: bytes) -> bool:
    """Whether the file is refused; one that is not refused must be what it says when written again."""
    try:
        read = archive.read(data)
    except ArchiveError:
        return True
    assert archive.read(archive.write(read)) == read
    return False


def test_every_truncation_is_refused() -> None:
    for length in range(len(DATA)):
        with pytest.raises(ArchiveError):
            archive.read(DATA[:length])


def test_bytes_behind_the_end_are_refused() -> None:
    with pytest.raises(ArchiveError, match="3 bytes follow its end"):
        archive.read(DATA + b"abc")


def test_every_flipped_byte_is_refused() -> None:
    for at in range(len(DATA)):
        data = bytearray(DATA)
        data[at] ^= 1 << at % 8
        with pytest.raises(ArchiveError):
            archive.read(bytes(data))


@pytest.mark.parametrize("name", [s.name for s in layout.SECTIONS if s.row is not None])
def test_every_field_at_its_extremes_is_refused_or_sound(name: str) -> None:
    for _, section, offset, length in entries(DATA):
        if section.name != name or section.row is None:
            continue
        for start in range(offset, offset + length, section.row.size):
            for f, at in zip(section.row.fields, section.row.offsets, strict=True):
                size = layout.SIZES[f.type]
                for value in (0, 1, 2, 255, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1):
                    data = bytearray(DATA)
                    data[start + at : start + at + size] = (value % 256**size).to_bytes(size, "little")
                    refused_or_sound(with_digests(data))


def test_random_changes_with_sound_digests_are_refused_or_sound() -> None:
    rng = random.Random(1)
    last = next(offset for _, s, offset, _ in entries(DATA) if s.name == "code_entries")
    refused = 0
    for _ in range(1500):
        data = bytearray(DATA)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(64, last)] = rng.choice((0, 1, 2, 3, 127, 128, 255, rng.randrange(256)))
        refused += refused_or_sound(with_digests_if_any(data))
    assert refused > 500


def test_a_section_that_is_missing_twice_or_unknown_is_refused() -> None:
    for at, section, _, _ in entries(DATA):
        data = bytearray(DATA)
        data[at : at + 4] = (999).to_bytes(4, "little")
        end = 64 + 64 * int.from_bytes(data[24:28], "little")
        data[32:64] = hashlib.sha256(data[:32] + data[64:end]).digest()
        with pytest.raises(ArchiveError, match="unknown kind 999"):
            archive.read(bytes(data))
        assert section.kind != 999
