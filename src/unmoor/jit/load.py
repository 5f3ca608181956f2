"""Loading: a saved file as a callable model. Needs neither torch nor llvmlite where the file's code is trusted."""

from __future__ import annotations

import mmap
import os
from typing import IO, Any

from unmoor import archive, runtime
from unmoor.errors import UnmoorError


def load(
    file: str | os.PathLike[str] | bytes | IO[bytes],
    *,
    trust: bool | str = False,
    threads: int = 1,
    weights: str = "map",
    method: str | None = None,
) -> runtime.Model:
    """A saved file as a model: tensors in, tensors out, torch's or NumPy's as they are given.

    trust   may the machine code in the file run? True, or the digest that `save` returned. Otherwise it is made again
            from the file's verified kernels where llvmlite is installed; else a call raises NotTrusted.
    threads how many threads a call may use, as far as the process may use so many processors; those who call the model
            at the same time share them. The results are the same to the bit for every number
    weights "map": they stay where the file is, which takes least memory, and processes share them; "huge": they are
            copied into memory of their own, of huge pages where the system gives them: calls on large ones are faster
    method  the method that calling the model calls

    A call that fits no signature of the file is compiled from the recorded graph where llvmlite is installed, else it
    raises SignatureError. Raises ArchiveError for a file that is not sound, NotTrusted for another digest, OSError
    where it cannot be read.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}; a call needs at least one")
    if weights not in ("map", "huge"):
        raise ValueError(f'weights is {weights!r}; "map" and "huge" are there')
    source, opened = _held(file)
    if not trust:
        from unmoor.jit.recompile import compiling_target, made_again

        target = compiling_target()
        if target is not None:
            opened, trust = made_again(source, target), True
    digest = archive.digest(source)
    again: dict[str, Any] = {}

    def missed(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: UnmoorError) -> Any:
        from unmoor.jit.recompile import Recompiler  # the compiler is large, and few models need it

        recompiler = again.setdefault("recompiler", Recompiler(source, digest))
        return recompiler.missed(model, name, args, kwargs, error)

    model = runtime.open(opened, trust=trust, method=method, on_miss=missed, threads=threads, huge=weights == "huge")
    return model


def _held(file: str | os.PathLike[str] | bytes | IO[bytes]) -> tuple[Any, Any]:
    """The file as memory, for what may be made from it later, and as what is opened now.

    A path is mapped, which costs no memory until it is read: a call may compile after the file was removed.
    """
    if isinstance(file, bytes):
        return file, file
    if not isinstance(file, str | os.PathLike):
        if not hasattr(file, "read"):
            raise TypeError(f"file is a {type(file).__name__}; unmoor.load takes a path, bytes or a binary file object")
        data = file.read()
        if not isinstance(data, bytes):
            raise TypeError("the file object gives text; open the file in binary mode, 'rb'")
        return data, data
    with open(file, "rb") as handle:
        empty = os.fstat(handle.fileno()).st_size == 0
        mapped = b"" if empty else memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    return mapped, file
