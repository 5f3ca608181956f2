"""Decodes a file into an image, verified whole: what it returns is sound, or it raises ArchiveError."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unmoor import dtypes
from unmoor.archive import layout
from unmoor.archive.container import Container, open_container
from unmoor.archive.effects import check_effects, effects_of
from unmoor.archive.examples import examples_of
from unmoor.archive.rules import check_program
from unmoor.archive.tables import Record, Tables
from unmoor.errors import ArchiveError, UnmoorError
from unmoor.ir import target
from unmoor.ir.builtin import BUILTINS
from unmoor.ir.dim import Dim, const, sym
from unmoor.ir.graph import Relation, Source
from unmoor.ir.kernel import PANEL_ALIGN, PANEL_WIDTH, Kernel, Panels
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.parser import parse_dim, parse_kernel
from unmoor.ir.program import (
    JUMPS,
    Check,
    CheckOp,
    Formula,
    FormulaOp,
    Image,
    Instruction,
    Message,
    Method,
    Opcode,
    Place,
    Program,
    State,
    TensorRegister,
    Weight,
)
from unmoor.ir.signature import Signature, TensorSpec
from unmoor.ir.structure import parse_arguments, parse_result
from unmoor.ir.types import TensorType

CHECK_SIGNS = {code: sign for sign, code in layout.CHECK_OPS.items()}
ROLE_NAMES = {code: name for name, code in layout.ROLES.items()}
TARGETS = {t.code: t for t in target.ALL}


def decode(data: memoryview, weights: memoryview | None = None) -> Image:
    """The image of a file's bytes; `weights` is the weights section, where that was kept apart.

    Weights are views of `data`, not copies. Raises ArchiveError, and nothing else, for any bytes whatever.
    """
    try:
        return _Decoder(open_container(data), weights).image()
    except ArchiveError:
        raise
    except (ValueError, KeyError, UnmoorError, RecursionError, OverflowError) as error:
        raise ArchiveError(f"the file is damaged: {error or type(error).__name__}") from error


class _Decoder:
    def __init__(self, container: Container, weights: memoryview | None) -> None:
        self.container, self.tables = container, Tables(container)
        data = container.sections[layout.BY_NAME["weight_data"].kind, 0]
        if data is None and (weights is None or weights.nbytes < container.apart_bytes):
            raise ArchiveError("the file's weights are kept apart from it, and were not given")
        self.weight_data = weights[: container.apart_bytes] if data is None and weights is not None else data

    def image(self) -> Image:
        """The verified image."""
        t = self.tables
        kernels = tuple(map(self._kernel, t["kernels"]))
        weights = self._weights()
        self._check_tiling("graphs", [(m.graph_offset, m.graph_bytes) for m in t["methods"]])
        self._check_tiling("kernel_texts", [(k.text_offset, k.text_bytes) for k in t["kernels"]])
        states = tuple(State(t.string(s.name), s.weight) for s in t["states"])
        self.effects = effects_of(t, [s.name for s in states])
        self.builtins = tuple(t.string(b.name) for b in t["builtins"])
        self.called: set[int] = set()
        if lacking := [name for name in self.builtins if name not in BUILTINS]:
            raise ArchiveError(f"the file needs the builtin {lacking[0]}, which this Unmoor lacks: a newer one has it")
        methods = tuple(map(self._method, t["methods"]))
        if len(self.called) < len(self.builtins):
            raise ArchiveError("the file is damaged: it names a builtin that it does not call")
        for what, names in (
            ("methods", [m.name for m in methods]),
            ("kernels", [k.name for k in kernels]),
            ("states", [s.name for s in states]),
            ("builtins", self.builtins),
        ):
            if len(set(names)) != len(names):
                raise ArchiveError(f"the file is damaged: two {what} have the same name")
        for method in methods:
            if len({(p.signature.arguments, p.signature.result) for p in method.programs}) > 1:
                raise ArchiveError(f"the file is damaged: the programs of {method.name} differ in their structures")
            if len({(p.signature.states, p.signature.changed) for p in method.programs}) > 1:
                raise ArchiveError(f"the file is damaged: the programs of {method.name} differ in what they change")
            for number, program in enumerate(method.programs):
                check_program(program, kernels, weights, f"method {method.name}, program {number}")
                check_effects(program.signature, states, weights, f"method {method.name}, program {number}")
        if any(weights[s.weight].panels is not None for s in states):
            raise ArchiveError("the file is damaged: a state's first value is a packed weight")
        return Image(methods, kernels, weights, self._code(kernels), states, examples_of(t, self.container, methods))

    def _check_tiling(self, section: str, spans: Sequence[tuple[int, int]]) -> None:
        """Texts lie one after the other and fill their section."""
        end = 0
        for offset, length in spans:
            if offset != end:
                raise ArchiveError(f"the file is damaged: the texts in {section} do not follow each other")
            end += length
        if end != len(self.container.section(section)):
            raise ArchiveError(f"the file is damaged: the texts in {section} do not fill it")

    def _text(self, section: str, offset: int, length: int) -> str:
        return str(self.container.section(section)[offset : offset + length], "utf-8")

    def _names(self, record: Record, name: str) -> tuple[str, ...]:
        return tuple(self.tables.string(r.string) for r in self.tables.span(record, name, "names"))

    # -- kernels, code, weights ---------------------------------------------------------------
    def _kernel(self, row: Record) -> Kernel:
        kernel = parse_kernel(self._text("kernel_texts", row.text_offset, row.text_bytes))
        told = [(b.role, b.dtype, b.panels is not None) for b in kernel.buffers]
        rows = self.tables.span(row, "buffer", "buffers")
        wanted = [(ROLE_NAMES[b.role], dtypes.BY_CODE[b.dtype], bool(b.panels)) for b in rows]
        if told != wanted or len(kernel.ints) != row.int_count or kernel.name != self.tables.string(row.name):
            raise ArchiveError(f"the file is damaged: the row of the kernel {kernel.name} does not agree with its text")
        return kernel

    def _code(self, kernels: Sequence[Kernel]) -> tuple[ObjectCode, ...]:
        made = []
        details = self.container.details("machine_code")
        if details != self.container.details("code_entries"):
            raise ArchiveError("the file is damaged: machine code without entries, or entries without machine code")
        for detail in details:
            if detail not in TARGETS:
                raise ArchiveError(f"the file holds machine code for the target {detail}, which this Unmoor lacks")
            blob = bytes(self.container.section("machine_code", detail))
            offsets = [at for (at,) in layout.CODE_ENTRY.struct.iter_unpack(self._entries(detail))]
            if len(offsets) != len(kernels) or any(at >= len(blob) for at in offsets):
                raise ArchiveError("the file is damaged: the code entries do not fit the kernels and the code")
            entries = {k.name: at for k, at in zip(kernels, offsets, strict=True)}
            made.append(ObjectCode(TARGETS[detail], blob, entries))
        return tuple(made)

    def _entries(self, detail: int) -> memoryview:
        rows = self.container.section("code_entries", detail)
        if len(rows) % layout.CODE_ENTRY.size:
            raise ArchiveError("the file is damaged: the section code_entries holds part of a row")
        return rows

    def _weights(self) -> tuple[Weight, ...]:
        assert self.weight_data is not None
        return tuple(self._weight(row, self.weight_data) for row in self.tables["weights"])

    def _weight(self, row: Record, data: memoryview) -> Weight:
        name, dtype = self.tables.string(row.name), dtypes.BY_CODE[row.dtype]
        shape = tuple(r.size for r in self.tables.span(row, "dim", "shapes"))
        panels, elements = None, 1
        for size in shape:
            elements *= size
        packing = (row.panel_width, row.panel_align)
        if row.layout == layout.WEIGHT_LAYOUTS["panels"]:
            panels = Panels(const(row.batch), const(row.k), const(row.n))
            last = (row.n, row.k) if row.transposed else (row.k, row.n)
            sound = packing == (PANEL_WIDTH, PANEL_ALIGN) and shape[-2:] == last and row.transposed <= 1
            sound = sound and row.batch * row.k * row.n == elements
            elements = panels.numel.value
        else:
            sound = not any((row.transposed, *packing, row.batch, row.k, row.n))
        sound = sound and all(size >= 0 for size in (*shape, row.batch)) and row.bytes == elements * dtype.size
        if not sound or row.offset % layout.WEIGHT_ALIGNMENT or row.offset + row.bytes > len(data):
            raise ArchiveError(f"the file is damaged: the weight {name} does not fit its shape or the file")
        stored = np.frombuffer(data[row.offset : row.offset + row.bytes], dtype.numpy)
        return Weight(name, dtype, shape, stored.data, panels, bool(row.transposed))

    # -- programs -----------------------------------------------------------------------------
    def _source(self, row: Record) -> Source:
        s = self.tables.string
        return Source(s(row.file), row.line, s(row.line_text), s(row.module))

    def _dim(self, row: Record, symbols: tuple[str, ...], is_input: bool) -> Dim:
        if row.kind == layout.DIM_KINDS["fixed"] and row.value >= 0:
            return const(row.value)
        if row.kind == layout.DIM_KINDS["symbol"] and 0 <= row.value < len(symbols):
            return sym(symbols[row.value])
        if row.kind == layout.DIM_KINDS["expression"] and not is_input and 0 <= row.value < len(self.tables["strings"]):
            return parse_dim(self.tables.string(row.value))
        raise ArchiveError(f"the file is damaged: a dim of kind {row.kind} and value {row.value}")

    def _spec(self, row: Record, symbols: tuple[str, ...], is_input: bool) -> TensorSpec:
        shape = tuple(self._dim(d, symbols, is_input) for d in self.tables.span(row, "dim", "dims"))
        return TensorSpec(self.tables.string(row.name), TensorType(dtypes.BY_CODE[row.dtype], shape))

    def _signature(self, row: Record, number: int) -> Signature:
        t = self.tables
        states, changed = self.effects[number]
        symbols = self._names(row, "symbol")
        specs = t.span(row, "spec", "specs")
        if len(specs) != row.input_count + row.output_count:
            raise ArchiveError("the file is damaged: a program's specs are not its inputs and outputs")
        relations = tuple(
            Relation(parse_dim(t.string(r.left)), CHECK_SIGNS[r.op], parse_dim(t.string(r.right)), t.string(r.message))
            for r in t.span(row, "relation", "relations")
        )
        return Signature(
            tuple(self._spec(s, symbols, True) for s in specs[: row.input_count]),
            tuple(self._spec(s, symbols, False) for s in specs[row.input_count :]),
            parse_arguments(t.string(row.arguments), row.input_count - len(states)),
            parse_result(t.string(row.result), row.output_count - len(changed)),
            relations,
            states,
            changed,
        )

    def _tensor(self, row: Record) -> TensorRegister:
        dims = tuple(r.number for r in self.tables.span(row, "dim", "registers"))
        return TensorRegister(Place(row.place), row.index, dtypes.BY_CODE[row.dtype], dims, row.bytes)

    def _instruction(self, row: Record) -> Instruction:
        tensors = tuple(r.number for r in self.tables.span(row, "tensor", "registers"))
        ints = tuple(r.number for r in self.tables.span(row, "int", "registers"))
        opcode = Opcode(row.opcode)
        if opcode is Opcode.BUILTIN:
            if row.kernel >= len(self.builtins):
                raise ArchiveError(f"the file is damaged: it calls the builtin {row.kernel}, which it does not name")
            self.called.add(row.kernel)
            made = Instruction(opcode, 0, 0, tensors, ints, 0, row.message, row.source)
            return replace(made, builtin=self.builtins[row.kernel], first=row.extent, count=row.expected)
        kernel, target = (0, row.kernel) if opcode in JUMPS else (row.kernel, 0)
        expected, grain = row.expected, None
        if opcode is Opcode.CALL and expected:
            expected, grain = 0, expected - 1
        made = Instruction(opcode, kernel, row.extent, tensors, ints, expected, row.message, row.source, target)
        return replace(made, grain=grain)

    def _program(self, row: Record, number: int) -> Program:
        t = self.tables
        return Program(
            self._signature(row, number),
            tuple(Formula(FormulaOp(f.op), f.a, f.b) for f in t.span(row, "formula", "formulas")),
            tuple(Check(CheckOp(c.op), c.left, c.right, c.message) for c in t.span(row, "check", "checks")),
            tuple(map(self._tensor, t.span(row, "tensor", "tensors"))),
            tuple(map(self._instruction, t.span(row, "instruction", "instructions"))),
            tuple(Message(t.string(m.text), self._source(m)) for m in t.span(row, "message", "messages")),
            tuple(map(self._source, t.span(row, "source", "sources"))),
            row.arena,
            row.flops,
            row.traffic,
        )

    def _method(self, row: Record) -> Method:
        t = self.tables
        return Method(
            t.string(row.name),
            self._text("graphs", row.graph_offset, row.graph_bytes),
            tuple((t.string(c.name), c.weight) for c in t.span(row, "constant", "constants")),
            self._names(row, "parameter"),
            t.string(row.assumptions),
            tuple(map(self._program, t.span(row, "program", "programs"), itertools.count(row.first_program))),
        )
