"""Loading: a saved file as a callable model. Needs neither torch nor llvmlite where the file's code is trusted."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import IO, Any

from unmoor import archive, runtime
from unmoor.errors import MissingDependency


def load(
    file: str | os.PathLike[str] | bytes | IO[bytes], *, trust: bool | str = False, method: str | None = None
) -> runtime.Model:
    """A saved file as a model: tensors in, tensors out, torch's or NumPy's as they are given.

    trust   may the machine code in the file run? True, or the digest that `save` returned. Otherwise it is made again
            from the file's verified kernels where llvmlite is installed; else a call raises NotTrusted.
    method  the method that calling the model calls

    Raises ArchiveError for a file that is not sound, NotTrusted for another digest, OSError where it cannot be read.
    """
    source: Any = file if isinstance(file, str | os.PathLike | bytes) else file.read()
    if not trust:
        made = _made_again(source)
        if made is not None:
            return runtime.open(made, trust=True, method=method)
    return runtime.open(source, trust=trust, method=method)


def _made_again(source: Any) -> bytes | None:
    """The file with its machine code replaced by our own from its kernels; None where llvmlite is not installed."""
    from unmoor import codegen

    try:
        host = codegen.host_target()
    except MissingDependency:
        return None
    if host is None:
        return None
    image = archive.read(source)
    return archive.write(replace(image, code=(codegen.generate(image.kernels, host),)))
