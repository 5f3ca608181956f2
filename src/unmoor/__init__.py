"""Unmoor: traces PyTorch programs and saves them to run where there is no Python and no libtorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unmoor.jit.load import load
    from unmoor.jit.traced import TracedFunction, save, trace

__version__ = "0.1.0"
__all__ = ["TracedFunction", "load", "save", "trace"]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are used: `load` must not need what `trace` needs."""
    if name == "load":
        from unmoor.jit.load import load

        return load
    if name in ("TracedFunction", "save", "trace"):
        from unmoor.jit import traced

        return getattr(traced, name)
    raise AttributeError(f"module 'unmoor' has no attribute {name!r}")
