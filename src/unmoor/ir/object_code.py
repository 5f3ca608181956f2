"""Machine code as the archive stores it: one relocation-free blob per target, with entry offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unmoor.ir.target import Target


@dataclass(frozen=True)
class ObjectCode:
    """Position-independent text and read-only data of some kernels for one target.

    `blob` calls nothing, writes nothing of its own and may be mapped at any 64-byte aligned address;
    `entries` gives each kernel's byte offset in it. The ABI is that of `ir.kernel`.
    """

    target: Target
    blob: bytes
    entries: Mapping[str, int]
