"""Hostile examples: a file is refused when it is opened, or its check fails with a reason; nothing else happens."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from tests.archive_images import copies, copying
from tests.format.spoilt import entries, with_digests, with_digests_if_any

from unmoor import archive, runtime
from unmoor.archive import layout
from unmoor.dtypes import f32
from unmoor.errors import ArchiveError, UnmoorError, VerifyError
from unmoor.ir.dim import const, sym
from unmoor.ir.program import Example, ExampleArray
from unmoor.ir.types import TensorType


def data() -> bytes:
    """A file that needs no machine code: copies of a matrix and a vector, with examples of several sizes."""
    types = TensorType(f32, (sym("s0"), const(2))), TensorType(f32, (sym("s1"),))
    held = copies(copying((("x", types[0]), ("y", types[1])), (1, 0)))
    examples = []
    for rows, columns in ((3, 4), (0, 1), (1, 0)):
        x, y = np.ones((rows, 2), np.float32), np.arange(columns, dtype=np.float32)
        inputs = [ExampleArray(f32, a.shape, a.tobytes()) for a in (x, y)]
        examples.append(Example(0, (*inputs, *(replace(i, tolerance=0.5) for i in reversed(inputs)))))
    return archive.write(replace(held, examples=tuple(examples)))


def outcome(file: bytes) -> str:
    """How a file ends: "refused", "wrong" or "ok". Anything but these fails the test."""
    try:
        model = runtime.open(file)
    except ArchiveError:
        return "refused"
    try:
        return model.verify()[:2]
    except VerifyError as error:
        assert str(error).startswith("example ")
        return "wrong"
    except (UnmoorError, MemoryError):  # sizes that overflow, or that there is no memory for
        return "wrong"


def test_a_sound_file_is_ok() -> None:
    assert outcome(data()) == "ok"


def test_every_field_of_the_examples_at_its_extremes() -> None:
    whole = data()
    seen = set()
    for _, section, offset, length in entries(whole):
        if section.name not in ("examples", "example_tensors", "shapes") or section.row is None:
            continue
        for start in range(offset, offset + length, section.row.size):
            for f, at in zip(section.row.fields, section.row.offsets, strict=True):
                size = layout.SIZES[f.type]
                for value in (0, 1, 2, 3, 9, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1, 0x7FF0 << 48, 0x7FF8 << 48):
                    changed = bytearray(whole)
                    changed[start + at : start + at + size] = (value % 256**size).to_bytes(size, "little")
                    seen.add(outcome(with_digests(changed)))
    assert seen >= {"ok", "refused"}


def test_random_changes_behind_the_weights() -> None:
    whole, rng = data(), random.Random(7)
    first = next(offset for _, s, offset, _ in entries(whole) if s.name == "examples")
    seen = [outcome(whole[:at]) for at in range(first, len(whole), 97)]
    for _ in range(600):
        changed = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(first, len(changed))] = rng.choice((0, 1, 2, 127, 255, rng.randrange(256)))
        seen.append(outcome(with_digests_if_any(changed)))
    assert set(seen) == {"ok", "refused", "wrong"}


def test_sizes_beyond_all_memory_are_named_and_not_allocated() -> None:
    """An output that is said to be huge takes nothing: its bytes must be in the file."""
    whole = bytearray(data())
    for _, section, offset, length in entries(bytes(whole)):
        if section.name == "shapes":
            whole[offset + length - 8 : offset + length] = (2**40).to_bytes(8, "little")
    assert outcome(with_digests(whole)) == "refused"
