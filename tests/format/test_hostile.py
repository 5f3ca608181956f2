"""Hostile files: truncated, flipped, and rewritten with sound digests. The reader refuses each with ArchiveError."""

from __future__ import annotations

import hashlib

import pytest
from tests.archive_images import image, with_examples
from tests.format.spoilt import changed_at_random, entries, fields_at

from unmoor import archive
from unmoor.archive import layout
from unmoor.errors import ArchiveError

DATA = archive.write(with_examples(image()))


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
    for data in fields_at(DATA, name, (0, 1, 2, 255, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)):
        refused_or_sound(data)


def test_random_changes_with_sound_digests_are_refused_or_sound() -> None:
    made = changed_at_random(DATA, 1, 1500, "code_entries", (0, 1, 2, 3, 127, 128, 255), most=4)
    assert sum(map(refused_or_sound, made)) > 500


def test_a_section_that_is_missing_twice_or_unknown_is_refused() -> None:
    for at, section, _, _ in entries(DATA):
        data = bytearray(DATA)
        data[at : at + 4] = (999).to_bytes(4, "little")
        end = 64 + 64 * int.from_bytes(data[24:28], "little")
        data[32:64] = hashlib.sha256(data[:32] + data[64:end]).digest()
        with pytest.raises(ArchiveError, match="unknown kind 999"):
            archive.read(bytes(data))
        assert section.kind != 999
