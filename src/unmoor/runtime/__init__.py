"""The native runtime in Python: opens files and runs them. Needs NumPy, and nothing else."""

from __future__ import annotations

import os
from typing import Any

from unmoor.runtime.model import Method, MethodInfo, Model, ModelInfo, OnMiss, Rebuild
from unmoor.runtime.structures import rebuild as as_plain_data

__all__ = ["Method", "MethodInfo", "Model", "ModelInfo", "open"]


def open(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview,
    *,
    trust: bool | str = False,
    weights: Any = None,
    method: str | None = None,
    on_miss: OnMiss | None = None,
    outputs: str = "inputs",
    rebuild: Rebuild = as_plain_data,
    threads: int = 1,
    huge: bool = False,
) -> Model:
    """Opens a file: a path, or its bytes.

    trust    may its machine code run? False, True, or the digest that the file must have
    weights  the buffer with the weights section, where that is kept apart from the file
    method   which method calling the model calls; by default `forward`, else the first
    on_miss  called where no signature fits, with the method's name, args, kwargs, and the SignatureError to raise if
             nothing can be done
    outputs  "inputs": torch tensors out where a torch tensor came in, else NumPy arrays; or "torch" or "numpy"
    rebuild  makes the returned value from its structure and the outputs; by default dataclasses come back as dicts
    threads  how many threads a call may use; they are shared by all who call the model
    huge     copy weights that the file holds into memory of their own, of huge pages

    Raises ArchiveError for a file that is not sound, NotTrusted for another digest than `trust`, OSError where it
    cannot be read. Without trust the file can be looked at; a call raises NotTrusted.
    """
    return Model(source, trust, weights, method, on_miss, outputs, rebuild, threads, huge)
