"""Fusion: which nodes of a typed graph share a kernel. Asks an op's kind, never its name."""

from unmoor.fusion.fuse import fuse
from unmoor.fusion.hoist import hoist

__all__ = ["fuse", "hoist"]
