"""Text forms of graphs, kernels and programs. What is printed reads back with `ir.parser`."""

from unmoor.ir.printer.graph import print_graph
from unmoor.ir.printer.kernel import print_kernel
from unmoor.ir.printer.program import print_program

__all__ = ["print_graph", "print_kernel", "print_program"]
