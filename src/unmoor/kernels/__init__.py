"""Lowering: a fusion group becomes a kernel, a loop nest over flat buffers."""

from unmoor.kernels.lower import lower

__all__ = ["lower"]
