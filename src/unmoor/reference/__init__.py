"""Slow, obvious interpreters of every level: the meaning that compiled code is held against."""

from unmoor.reference.graph import run_graph
from unmoor.reference.kernel import run_kernel
from unmoor.reference.program import int_registers, run_program

__all__ = ["int_registers", "run_graph", "run_kernel", "run_program"]
