"""Saving: a traced function as a file."""

from __future__ import annotations

import os
from typing import IO

from unmoor import archive
from unmoor.ir.target import ALL, Target
from unmoor.jit.examples import most
from unmoor.jit.progress import telling
from unmoor.jit.report import Report
from unmoor.jit.traced import TracedFunction, TracedModule


class Digest(str):
    """A file's digest, with the report of the check before it was saved; None where there was no check."""

    report: Report | None = None


def save(
    traced: TracedFunction | TracedModule,
    file: str | os.PathLike[str] | IO[bytes],
    targets: tuple[Target, ...] = ALL,
    check: bool = True,
    examples: bool | int = True,
) -> Digest:
    """Writes a traced function to a path or a binary file object, and returns the digest that `load(trust=...)` takes.

    The file serves every signature that the traced function has been called with. A save to a path that fails midway
    leaves an old file of that name whole. For bytes, see `TracedFunction.to_bytes`.

    First the programs are compared with the original, see `TracedFunction.check`: a difference raises VerifyError, and
    nothing is written. The returned digest has what was compared as `report`. `check=False` leaves that out.

    The file holds examples, with which `unmoor verify`, `um verify` and `um_verify` check it on any host: what it was
    traced on, what its programs give for that, and tolerances. They take at most 256 KB, or as many bytes as `examples`
    says; larger ones give way to smaller inputs made from them. `examples=False` leaves them out.
    """
    if not isinstance(traced, TracedFunction | TracedModule):
        raise TypeError(f"unmoor.save takes what unmoor.trace gave, not a {type(traced).__name__}: trace it first")
    if not isinstance(file, str | os.PathLike) and not hasattr(file, "write"):
        raise TypeError(f"file is a {type(file).__name__}; unmoor.save takes a path or a binary file object")
    most(examples)
    with telling("writing the file"):
        report = _checked(traced) if check else None
        if isinstance(file, str | os.PathLike):
            digest = Digest(archive.write_file(traced.image(targets, examples), file))
        else:
            data = traced.to_bytes(targets, examples)
            file.write(data)
            digest = Digest(archive.digest(data))
    digest.report = report
    return digest


def _checked(traced: TracedFunction | TracedModule) -> Report:
    with telling("comparing with the original"):
        return traced.check()
