"""The examples of a file, decoded and checked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unmoor import dtypes
from unmoor.archive import layout
from unmoor.archive.container import Container
from unmoor.archive.rules import MAX_RANK
from unmoor.archive.tables import Record, Tables
from unmoor.errors import ArchiveError
from unmoor.ir.program import Example, ExampleArray, Method

MOST_BYTES = 2**63


def examples_of(tables: Tables, container: Container, methods: Sequence[Method]) -> tuple[Example, ...]:
    """The examples. ArchiveError where one has not its method's tensors, or a tensor not the bytes of its shape."""
    decoder = _Decoder(tables, container.section("example_data"))
    made = tuple(decoder.example(number, row, methods) for number, row in enumerate(tables["examples"]))
    if decoder.end != len(decoder.data):
        raise ArchiveError("the file is damaged: the tensors of its examples do not fill their section")
    return made


class _Decoder:
    def __init__(self, tables: Tables, data: memoryview) -> None:
        self.tables, self.data, self.end = tables, data, 0

    def example(self, number: int, row: Record, methods: Sequence[Method]) -> Example:
        rows = self.tables.span(row, "tensor", "example_tensors")
        programs = methods[row.method].programs
        if not programs or any(len(p.signature.given) + len(p.signature.outputs) != len(rows) for p in programs):
            raise ArchiveError(f"the file is damaged: example {number} has not the tensors of its method")
        given = len(programs[0].signature.given)
        tensors = tuple(self._tensor(r, f"example {number}, tensor {k}", k < given) for k, r in enumerate(rows))
        return Example(row.method, tensors)

    def _tensor(self, row: Record, where: str, is_input: bool) -> ExampleArray:
        dtype = dtypes.BY_CODE[row.dtype]
        shape = tuple(r.size for r in self.tables.span(row, "dim", "shapes"))
        elements = math.prod(n for n in shape if n) if all(n >= 0 for n in shape) else MOST_BYTES
        start = self.end + -self.end % layout.EXAMPLE_ALIGNMENT
        sound = len(shape) <= MAX_RANK and elements * dtype.size < MOST_BYTES
        sound = sound and row.bytes == (0 if 0 in shape else elements * dtype.size)
        sound = sound and row.offset == start and row.bytes <= len(self.data) - start
        if not sound or any(self.data[self.end : start]):
            raise ArchiveError(f"the file is damaged: {where} does not fit its shape or the file")
        tolerance = float(row.tolerance)
        exact = is_input or not dtype.is_float
        if not 0.0 <= tolerance < math.inf or (exact and tolerance > 0):
            raise ArchiveError(f"the file is damaged: {where} has the tolerance {tolerance}")
        self.end = start + row.bytes
        return ExampleArray(dtype, shape, bytes(self.data[start : self.end]), tolerance)
