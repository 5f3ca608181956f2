"""Encodes an image as the sections of a file. Equal images give equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from unmoor.archive import layout
from unmoor.errors import ArchiveError
from unmoor.ir.graph import Relation, Source
from unmoor.ir.kernel import PANEL_ALIGN, PANEL_WIDTH, Kernel
from unmoor.ir.printer import print_kernel
from unmoor.ir.program import (
    JUMPS,
    Example,
    ExampleArray,
    Image,
    Instruction,
    Method,
    Opcode,
    Program,
    TensorRegister,
    Weight,
)
from unmoor.ir.signature import Signature, TensorSpec
from unmoor.ir.structure import print_structure

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Part:
    """A section to write: its bytes in pieces, so that large weights are not copied; None where they are kept apart."""

    section: layout.Section
    detail: int
    bytes: int
    pieces: tuple[Bytes, ...] | None


class Placing(Protocol):
    """Says where each weight lies in the weights section."""

    def place(self, weights: Sequence[Weight]) -> tuple[list[int], int]:
        """Byte offsets of the weights, and the section's length."""


def chunks(image: Image, apart: Placing | None = None) -> Iterator[Bytes]:
    """The file's bytes in order. With `apart` the weights are left out; they are read from where it places them."""
    parts = _Encoder().encode(image, apart)
    version = _version(image, parts)
    entries, offset, paddings = [], layout.HEADER.size + layout.ENTRY.size * len(parts), []
    for part in parts:
        padding = 0 if part.pieces is None else -offset % part.section.aligned
        paddings.append(padding)
        offset += padding
        entries.append(_entry(part, offset))
        offset += 0 if part.pieces is None else part.bytes
    table = b"".join(entries)
    head = layout.HEADER.struct.pack(layout.MAGIC, version, version, offset, len(parts), 0, bytes(layout.DIGEST_BYTES))[
        : -layout.DIGEST_BYTES
    ]
    yield head + hashlib.sha256(head + table).digest() + table
    for part, padding in zip(parts, paddings, strict=True):
        if part.pieces is not None:
            yield bytes(padding)
            yield from part.pieces


def _version(image: Image, parts: Sequence[Part]) -> int:
    """The oldest version of the format that has what the file uses."""
    versions = [layout.version_of(p.section.name) for p in parts]
    for i in (i for m in image.methods for p in m.programs for i in p.code):
        if i.opcode in (Opcode.LOOP, Opcode.WHILE):
            versions.append(layout.VERSION_OF_LOOPS)
        elif len(i.tensors) > (i.opcode is Opcode.GUARD) and i.opcode in (Opcode.GUARD, Opcode.RAISE):
            versions.append(layout.VERSION_OF_TOLD)
        elif i.grain is not None:
            versions.append(layout.VERSION_OF_GRAIN)
    return max(versions)


def _entry(part: Part, offset: int) -> bytes:
    if part.pieces is None:
        digest, offset, flags = bytes(layout.DIGEST_BYTES), 0, layout.APART
    else:
        sha = hashlib.sha256()
        for piece in part.pieces:
            sha.update(piece)
        digest, flags = sha.digest(), 0
    return layout.ENTRY.struct.pack(part.section.kind, part.detail, offset, part.bytes, flags, 0, digest)


class _Encoder:
    """Collects rows section by section."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int | float, ...]]] = {s.name: [] for s in layout.SECTIONS if s.row}
        self.strings: dict[str, int] = {}
        self.string_bytes = bytearray()
        self.texts = {"graphs": bytearray(), "kernel_texts": bytearray()}
        self.example_data = bytearray()
        self.builtins: dict[str, int] = {}
        self.string("")

    # -- pieces -------------------------------------------------------------------------------
    def string(self, text: str) -> int:
        """The number of a string. Characters that UTF-8 or C cannot hold are written as escapes."""
        if text not in self.strings:
            raw = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")
            self.strings[text] = len(self.rows["strings"])
            self.rows["strings"].append((len(self.string_bytes), len(raw)))
            self.string_bytes += raw + b"\0"
        return self.strings[text]

    def span(self, section: str, rows: Iterable[tuple[int | float, ...]]) -> tuple[int, int]:
        """Appends rows, and says which they are: (first, count)."""
        made = list(rows)  # encoding a row may append rows elsewhere, never here
        first = len(self.rows[section])
        self.rows[section] += made
        return first, len(made)

    def names(self, names: Iterable[str]) -> tuple[int, int]:
        return self.span("names", ((self.string(n),) for n in names))

    def registers(self, numbers: Iterable[int]) -> tuple[int, int]:
        return self.span("registers", ((n,) for n in numbers))

    def text(self, section: str, text: str) -> tuple[int, int]:
        raw = text.encode("utf-8", "backslashreplace")
        start = len(self.texts[section])
        self.texts[section] += raw
        return start, len(raw)

    # -- signatures ---------------------------------------------------------------------------
    def _spec(self, spec: TensorSpec, symbols: dict[str, int]) -> tuple[int, ...]:
        rows = []
        for d in spec.type.shape:
            if d.is_const:
                rows.append((layout.DIM_KINDS["fixed"], 0, d.value))
            elif d.symbol in symbols:
                rows.append((layout.DIM_KINDS["symbol"], 0, symbols[d.symbol]))
            else:
                rows.append((layout.DIM_KINDS["expression"], 0, self.string(str(d))))
        return (self.string(spec.name), spec.type.dtype.code, *self.span("dims", rows))

    def _relation(self, relation: Relation) -> tuple[int, ...]:
        left, right = self.string(str(relation.left)), self.string(str(relation.right))
        return (left, layout.CHECK_OPS[relation.op], right, self.string(relation.message))

    # -- programs -----------------------------------------------------------------------------
    def _source(self, source: Source) -> tuple[int, ...]:
        file, text, module = self.string(source.file), self.string(source.text), self.string(source.module)
        return (file, source.line, text, module)

    def _tensor(self, t: TensorRegister) -> tuple[int, ...]:
        return (t.place, t.index, t.dtype.code, *self.registers(t.dims), t.bytes)

    def _instruction(self, i: Instruction) -> tuple[int, ...]:
        spans = (*self.registers(i.tensors), *self.registers(i.ints))
        if i.opcode is Opcode.BUILTIN:
            number = self.builtins.setdefault(i.builtin, len(self.builtins))
            return (i.opcode, number, i.first, *spans, i.count, 0, i.source)
        expected = i.grain + 1 if i.grain is not None else i.expected
        what = i.target if i.opcode in JUMPS else i.kernel
        return (i.opcode, what, i.extent, *spans, expected, i.message, i.source)

    def _program(self, p: Program) -> tuple[int, ...]:
        s = p.signature
        symbols = _symbols(s)
        specs = (self._spec(spec, symbols) for spec in (*s.inputs, *s.outputs))
        return (
            self.string(str(s)),
            self.string(print_structure(s.arguments)),
            self.string(print_structure(s.result)),
            len(s.inputs),
            len(s.outputs),
            *self.span("specs", specs),
            *self.names(symbols),
            *self.span("relations", map(self._relation, s.relations)),
            *self.span("formulas", ((f.op, 0, f.a, f.b) for f in p.formulas)),
            *self.span("checks", ((c.op, c.left, c.right, c.message) for c in p.checks)),
            *self.span("tensors", map(self._tensor, p.tensors)),
            *self.span("instructions", map(self._instruction, p.code)),
            *self.span("messages", ((self.string(m.text), *self._source(m.source)) for m in p.messages)),
            *self.span("sources", map(self._source, p.sources)),
            p.arena,
            p.flops,
            p.traffic,
        )

    def _method(self, m: Method) -> tuple[int, ...]:
        return (
            self.string(m.name),
            self.string(m.assumptions),
            *self.text("graphs", m.graph),
            *self.names(m.parameters),
            *self.span("constants", ((self.string(name), weight) for name, weight in m.constants)),
            *self.span("programs", map(self._program, m.programs)),
        )

    # -- kernels and weights ------------------------------------------------------------------
    def _kernel(self, k: Kernel) -> tuple[int, ...]:
        buffers = ((layout.ROLES[b.role], b.dtype.code, int(b.panels is not None)) for b in k.buffers)
        text = self.text("kernel_texts", print_kernel(k))
        return (self.string(k.name), *text, *self.span("buffers", buffers), len(k.ints))

    def _weight(self, w: Weight, offset: int) -> tuple[int, ...]:
        if w.panels is None:
            packed = (layout.WEIGHT_LAYOUTS["plain"], 0, 0, 0)
            matrices = (0, 0, 0)
        else:
            packed = (layout.WEIGHT_LAYOUTS["panels"], int(w.transposed), PANEL_WIDTH, PANEL_ALIGN)
            matrices = (w.panels.batch.value, w.panels.k.value, w.panels.n.value)
        shape = self.span("shapes", ((n,) for n in w.shape))
        return (self.string(w.name), w.dtype.code, *shape, *packed, offset, w.data.nbytes, *matrices)

    def _example_tensor(self, tensor: ExampleArray) -> tuple[int | float, ...]:
        self.example_data += bytes(-len(self.example_data) % layout.EXAMPLE_ALIGNMENT)
        offset = len(self.example_data)
        self.example_data += tensor.data
        shape = self.span("shapes", ((n,) for n in tensor.shape))
        return (tensor.dtype.code, *shape, 0, offset, len(tensor.data), tensor.tolerance)

    def _example(self, example: Example) -> tuple[int | float, ...]:
        return (example.method, *self.span("example_tensors", map(self._example_tensor, example.tensors)))

    def _effects(self, image: Image) -> None:
        """The programs' state inputs and updates."""
        numbers = {s.name: k for k, s in enumerate(image.states)}
        signatures = [p.signature for m in image.methods for p in m.programs]
        for program, s in enumerate(signatures):
            inputs, outputs = len(s.given), len(s.returned)
            self.span("state_inputs", ((program, inputs + k, numbers[name]) for k, name in enumerate(s.states)))
            self.span("updates", ((program, outputs + k, number) for k, number in enumerate(s.changed)))

    # -- the whole ----------------------------------------------------------------------------
    def encode(self, image: Image, apart: Placing | None) -> list[Part]:
        """The sections in the order of the layout."""
        self.span("methods", map(self._method, image.methods))
        self.span("kernels", map(self._kernel, image.kernels))
        placing = apart or Consecutive()
        offsets, length = placing.place(image.weights)
        self.span("weights", (self._weight(w, at) for w, at in zip(image.weights, offsets, strict=True)))
        pieces = None if apart else tuple(_weight_pieces(image.weights, offsets))
        self.span("states", ((self.string(s.name), s.weight) for s in image.states))
        self._effects(image)
        self.span("builtins", ((self.string(name),) for name in self.builtins))
        self.span("examples", map(self._example, image.examples))
        single: dict[str, tuple[Bytes, ...]] = {"example_data": (bytes(self.example_data),)}
        single |= {"string_bytes": (bytes(self.string_bytes),)}
        single |= {name: (bytes(text),) for name, text in self.texts.items()}
        codes = sorted(image.code, key=lambda c: c.target.code)
        parts = []
        for section in layout.SECTIONS:
            if section.name == "code_entries":
                for code in codes:
                    rows = b"".join(layout.CODE_ENTRY.struct.pack(code.entries[k.name]) for k in image.kernels)
                    parts.append(Part(section, code.target.code, len(rows), (rows,)))
            elif section.name == "machine_code":
                parts += [Part(section, c.target.code, len(c.blob), (c.blob,)) for c in codes]
            elif section.name == "weight_data":
                parts.append(Part(section, 0, length, pieces))
            elif section.row is not None:
                table = b"".join(section.row.struct.pack(*row) for row in self.rows[section.name])
                if table or not section.optional:
                    parts.append(Part(section, 0, len(table), (table,)))
            elif not section.optional or single[section.name][0]:
                parts.append(Part(section, 0, len(single[section.name][0]), single[section.name]))
        return parts


def _symbols(signature: Signature) -> dict[str, int]:
    """The symbols of a signature, numbered in the order in which the inputs show them."""
    symbols: dict[str, int] = {}
    for spec in signature.inputs:
        for d in spec.type.shape:
            if d.symbol is None and not d.is_const:
                raise ArchiveError(f"input {spec.name} has the dim {d}: an input's dim is a constant or a symbol")
            if d.symbol is not None:
                symbols.setdefault(d.symbol, len(symbols))
    return symbols


class Consecutive:
    """Weights one after the other; those with equal bytes share a place."""

    def place(self, weights: Sequence[Weight]) -> tuple[list[int], int]:
        """Byte offsets of the weights, and the section's length."""
        known: dict[tuple[int, bytes], int] = {}
        offsets, end = [], 0
        for w in weights:
            content = (w.data.nbytes, hashlib.sha256(raw(w.data)).digest())
            if content not in known:
                known[content] = -(-end // layout.WEIGHT_ALIGNMENT) * layout.WEIGHT_ALIGNMENT
                end = known[content] + w.data.nbytes
            offsets.append(known[content])
        return offsets, end


def _weight_pieces(weights: Sequence[Weight], offsets: Sequence[int]) -> Iterator[Bytes]:
    end = 0
    for w, offset in zip(weights, offsets, strict=True):
        if offset >= end:
            yield bytes(offset - end)
            yield raw(w.data)
            end = offset + w.data.nbytes


def raw(data: memoryview) -> memoryview:
    """The bytes of a contiguous buffer of any element type."""
    return np.asarray(data).reshape(-1).view(np.uint8).data
