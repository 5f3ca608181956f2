"""Verifiers: what must hold of graphs and kernels. Each module opens with the list of its rules."""

from unmoor.ir.verify.graph import verify_graph
from unmoor.ir.verify.kernel import verify_kernel

__all__ = ["verify_graph", "verify_kernel"]
