"""Targets: a processor family and calling convention that machine code is made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A triple with the features that code may use.

    `vector_bytes` is the width of a vector register, `registers` how many there are. `code` is the
    archive's number for the target; `rank` orders the targets of one family, the best that the
    processor supports is taken. `cpu` is LLVM's name of the feature level.
    """

    name: str
    triple: str
    cpu: str
    vector_bytes: int
    registers: int
    masked: bool  # has predicated vector loads and stores
    code: int
    rank: int


X86_64_V3 = Target("x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", 32, 16, False, code=3, rank=3)
X86_64_V4 = Target("x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", 64, 32, True, code=4, rank=4)

ALL = (X86_64_V3, X86_64_V4)
BY_NAME = {t.name: t for t in ALL}
