"""Saving: a traced function as a file."""

from __future__ import annotations

import os
from typing import IO

from unmoor import archive
from unmoor.ir.target import ALL, Target
from unmoor.jit.traced import TracedFunction, TracedModule


def save(
    traced: TracedFunction | TracedModule,
    file: str | os.PathLike[str] | IO[bytes],
    targets: tuple[Target, ...] = ALL,
    check: bool = True,
) -> str:
    """Writes a traced function to a path or a binary file object, and returns the digest that `load(trust=...)` takes.

    The file serves every signature that the traced function has been called with. A save to a path that fails midway
    leaves an old file of that name whole. For bytes, see `TracedFunction.to_bytes`.

    First the programs are compared with the original, see `TracedFunction.check`: a difference raises VerifyError, and
    nothing is written. `check=False` leaves that out.
    """
    if check:
        traced.check()
    if isinstance(file, str | os.PathLike):
        return archive.write_file(traced.image(targets), file)
    data = traced.to_bytes(targets)
    file.write(data)
    return archive.digest(data)
