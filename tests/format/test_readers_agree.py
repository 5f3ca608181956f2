"""The Python reader and the native one refuse the same files. Only the texts for people are Python's alone to check."""

from __future__ import annotations

import random

import pytest
from tests.format.spoilt import changed_at_random, fields_at
from tests.format.test_hostile import DATA

from unmoor import archive, runtime
from unmoor.archive import layout
from unmoor.errors import ArchiveError


def agree(data: bytes) -> None:
    """Fails where one reader takes what the other refuses."""
    python = native = ""
    try:
        runtime.open(data)
    except ArchiveError as error:
        native = str(error)
    try:
        archive.read(data)
    except ArchiveError as error:
        python = str(error)
        if "agree with its text" in python or error.__cause__ is not None:
            return  # a text for people is wrong, and hides what else Python would find
    assert bool(python) == bool(native), f"Python: {python or 'takes it'}; native: {native or 'takes it'}"


def test_truncated_and_flipped_files() -> None:
    rng = random.Random(2)
    agree(DATA)
    for at in [*range(0, 2000, 7), *(rng.randrange(len(DATA)) for _ in range(300))]:
        data = bytearray(DATA)
        data[at] ^= 1 << rng.randrange(8)
        agree(bytes(data))
        agree(DATA[:at])


@pytest.mark.parametrize("name", [s.name for s in layout.SECTIONS if s.row is not None])
def test_every_field_at_its_extremes(name: str) -> None:
    for data in fields_at(DATA, name, (0, 1, 2, 3, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)):
        agree(data)


def test_random_changes() -> None:
    for data in changed_at_random(DATA, 5, 1000, "machine_code", (0, 1, 2, 3, 127, 255)):
        agree(data)
