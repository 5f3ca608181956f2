"""Reads the text forms of graphs, kernels and programs back. Errors are VerifyErrors that show the line."""

from unmoor.ir.parser.dim import parse_dim
from unmoor.ir.parser.graph import parse_graph
from unmoor.ir.parser.kernel import parse_kernel
from unmoor.ir.parser.program import parse_program

__all__ = ["parse_dim", "parse_graph", "parse_kernel", "parse_program"]
