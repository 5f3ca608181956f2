"""Kernel calls: what lowering a fusion group gives, and what emission turns into an instruction."""

from __future__ import annotations

from dataclasses import dataclass

from unmoor.ir.dim import Dim
from unmoor.ir.graph import Source, Value
from unmoor.ir.kernel import Kernel


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A kernel with what it is called on, in the terms of one signature.

    operands  one per buffer of the kernel: a value of the grouped graph, or None for a local buffer
    sizes     storage of each buffer in elements, over the signature's symbols
    ints      the value of each of the kernel's ints, over the signature's symbols
    extent    iterations of the outermost loop
    flops     arithmetic operations on elements, counted once per scalar function
    grain     how many iterations are worth a thread's attention; None where the call is never to be cut
    """

    kernel: Kernel
    operands: tuple[Value | None, ...]
    sizes: tuple[Dim, ...]
    ints: tuple[Dim, ...]
    extent: Dim
    flops: Dim
    grain: Dim | None
    source: Source
