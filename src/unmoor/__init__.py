"""Unmoor: traces PyTorch programs and saves them to run where there is no Python and no libtorch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unmoor.errors import (
    ArchiveError,
    MissingDependency,
    NotTraced,
    NotTrusted,
    SignatureError,
    UnmoorError,
    Unsupported,
)

if TYPE_CHECKING:
    from unmoor.capture import TrainingModeWarning
    from unmoor.ir.named import Dim
    from unmoor.jit.load import load
    from unmoor.jit.save import save
    from unmoor.jit.traced import TracedFunction, TracedModule, trace, trace_module
    from unmoor.runtime import Model

__version__ = "0.1.0"
__all__ = [
    "ArchiveError",
    "Dim",
    "MissingDependency",
    "Model",
    "NotTraced",
    "NotTrusted",
    "SignatureError",
    "TracedFunction",
    "TracedModule",
    "TrainingModeWarning",
    "UnmoorError",
    "Unsupported",
    "load",
    "save",
    "trace",
    "trace_module",
]

# Imported when they are used: `load` must not need what `trace` needs, nor wait for it.
LAZY = {
    "Dim": "unmoor.ir.named",
    "Model": "unmoor.runtime",
    "TracedFunction": "unmoor.jit.traced",
    "TracedModule": "unmoor.jit.traced",
    "TrainingModeWarning": "unmoor.capture",
    "load": "unmoor.jit.load",
    "save": "unmoor.jit.save",
    "trace": "unmoor.jit.traced",
    "trace_module": "unmoor.jit.traced",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'unmoor' has no attribute {name!r}")
    value = getattr(import_module(LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *LAZY]
