"""The byte layout of a file: every section and every field, declared once.

The writer, the reader, the C++ structs (`native/src/generated/layout.inc`) and the tables of `docs/format.md` derive
from here (`tools/generate.py`). All numbers are little-endian; fields are aligned to their size. A *table* section is
an array of rows of one size; a *bytes* section is what its description says. Reserved fields and the padding between
sections are zero, and readers refuse a file where they are not.

Kinds, row layouts and codes never change their meaning: what must change gets a new kind, and VERSION goes up.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cached_property

MAGIC = b"\x8dUNM\r\n\x1a\n"  # a byte that is no ASCII, both line ends, and DOS's end of file: text transfers damage it
VERSION = 1  # written by this code, and readable by readers of that version; but for
VERSION_OF_STATE = 2  # files with states or updates, and
VERSION_OF_BUILTINS = 3  # files with builtins, and
VERSION_OF_GRAIN = 3  # files with calls that may be cut into pieces, and
VERSION_OF_EXAMPLES = 4  # files with examples, and
VERSION_OF_LOOPS = 5  # files with loops, and
VERSION_OF_TOLD = 6  # files whose messages tell a number
READS = 6  # readers refuse a file whose `oldest_reader` is greater

SECTION_ALIGNMENT = 64
WEIGHTS_ALIGNMENT = 4096  # of the weights section: pages can be mapped
WEIGHT_ALIGNMENT = 64  # of each weight in it
EXAMPLE_ALIGNMENT = 64  # of each tensor of an example
DIGEST_BYTES = 32

FORMATS = {"u32": "I", "i64": "q", "u64": "Q", "f64": "d", "sha256": "32s", "magic": "8s"}
SIZES = {"u32": 4, "i64": 8, "u64": 8, "f64": 8, "sha256": 32, "magic": 8}


@dataclass(frozen=True)
class Field:
    """One field of a row. `of` names what a u32 indexes: a table, or an enum such as `dtype`.

    With `count` the field is the first of as many rows of `of` as the field `count` says.
    """

    name: str
    type: str
    doc: str
    of: str = ""
    count: str = ""


@dataclass(frozen=True)
class Row:
    """A record of fixed size. `name` is its C++ struct's."""

    name: str
    doc: str
    fields: tuple[Field, ...]

    @cached_property
    def struct(self) -> struct.Struct:
        return struct.Struct("<" + "".join(FORMATS[f.type] for f in self.fields))

    @property
    def size(self) -> int:
        return self.struct.size

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The byte offset of each field; AssertionError where one is not aligned."""
        offsets, at = [], 0
        for f in self.fields:
            assert at % min(SIZES[f.type], 8) == 0, f"{self.name}.{f.name} is not aligned"
            offsets.append(at)
            at += SIZES[f.type]
        assert at % max(min(SIZES[f.type], 8) for f in self.fields) == 0, f"{self.name} needs padding at its end"
        return tuple(offsets)


@dataclass(frozen=True)
class Section:
    """A kind of section: a table of `row`, or bytes where that is None. `detail` says what the entry's field means."""

    name: str
    kind: int
    doc: str
    row: Row | None = None
    detail: str = ""
    optional: bool = False
    aligned: int = field(default=SECTION_ALIGNMENT)


def _u32(name: str, doc: str, of: str = "", count: str = "") -> Field:
    return Field(name, "u32", doc, of, count)


def _span(name: str, doc: str, of: str) -> tuple[Field, Field]:
    """A run of rows of another table."""
    return (
        _u32(f"first_{name}", f"first of {doc}", of, f"{name}_count"),
        _u32(f"{name}_count", "how many"),
    )


RESERVED = _u32("reserved", "0")

HEADER = Row(
    "Header",
    "The first 64 bytes.",
    (
        Field("magic", "magic", "8D 55 4E 4D 0D 0A 1A 0A"),
        _u32("writer", "format version of the writer"),
        _u32("oldest_reader", "oldest reader version that may read this file"),
        Field("file_bytes", "u64", "length of the whole file"),
        _u32("section_count", "entries of the section table, which follows at once"),
        RESERVED,
        Field(
            "digest", "sha256", "SHA-256 of bytes 0..31 of the file followed by the section table: the file's digest"
        ),
    ),
)

ENTRY = Row(
    "SectionEntry",
    "One entry of the section table.",
    (
        _u32("kind", "kind of section"),
        _u32("detail", "what the kind says, else 0"),
        Field("offset", "u64", "from the start of the file; 0 for weights kept apart"),
        Field("bytes", "u64", "length of the section"),
        _u32("flags", "1: kept apart from the file (weights only), else 0"),
        RESERVED,
        Field("digest", "sha256", "SHA-256 of the section's bytes; zeros where it is kept apart"),
    ),
)
APART = 1  # SectionEntry.flags

STRING = Row(
    "StringRow",
    "A string: UTF-8 without zero bytes, followed by one zero byte, after which the next string starts.",
    (_u32("offset", "of its first byte in `string_bytes`"), _u32("bytes", "length without the zero")),
)
NAME = Row("NameRow", "A string in a list of strings.", (_u32("string", "the string", "strings"),))
METHOD = Row(
    "MethodRow",
    "An entry point. Methods have distinct names.",
    (
        _u32("name", "its name", "strings"),
        _u32("assumptions", "what the trace froze, for people", "strings"),
        _u32("graph_offset", "of the recorded graph's text in `graphs`"),
        _u32("graph_bytes", "length of that text; 0 where it was stripped"),
        *_span("parameter", "the names of the positional parameters", "names"),
        *_span("constant", "the constants of the recorded graph", "constants"),
        *_span("program", "its programs, in the order in which they are tried", "programs"),
    ),
)
CONSTANT = Row(
    "ConstantRow",
    "Which weight a constant of the recorded graph is.",
    (_u32("name", "the constant's name in the graph", "strings"), _u32("weight", "the weight", "weights")),
)
PROGRAM = Row(
    "ProgramRow",
    "The executable form of one signature.",
    (
        _u32("signature", "the signature, for people", "strings"),
        _u32("arguments", "structure of (args, kwargs), as JSON", "strings"),
        _u32("result", "structure of the returned value, as JSON", "strings"),
        _u32("input_count", "tensors of a call; the program's first tensors and specs"),
        _u32("output_count", "tensors that it returns; those that follow"),
        *_span("spec", "the specs: inputs, then outputs", "specs"),
        *_span("symbol", "the names of the symbols", "names"),
        *_span("relation", "the relations, for people", "relations"),
        *_span("formula", "the formulas: one for each int register", "formulas"),
        *_span("check", "the checks", "checks"),
        *_span("tensor", "the tensor registers: inputs, outputs, others", "tensors"),
        *_span("instruction", "the code", "instructions"),
        *_span("message", "the messages", "messages"),
        *_span("source", "the source map", "sources"),
        _u32("arena", "int register: bytes of working memory"),
        _u32("flops", "int register: floating-point operations"),
        _u32("traffic", "int register: bytes moved"),
    ),
)
SPEC = Row(
    "SpecRow",
    "Name, dtype and dims of an input or output.",
    (
        _u32("name", "its name, for people", "strings"),
        _u32("dtype", "element type", "dtype"),
        *_span("dim", "its dims", "dims"),
    ),
)
DIM = Row(
    "DimRow",
    "One dim of a spec.",
    (
        _u32("kind", "how to read `value`", "dim_kind"),
        RESERVED,
        Field(
            "value", "i64", "fixed: the size; symbol: its number in the program; expression: a string (outputs only)"
        ),
    ),
)
RELATION = Row(
    "RelationRow",
    "A fact about sizes that the signature demands, whose test is among the checks; or a bound of one that calls find.",
    (
        _u32("left", "an expression of symbols", "strings"),
        _u32("op", "comparison", "check_op"),
        _u32("right", "an expression of symbols", "strings"),
        _u32("message", "what the user is told, or empty", "strings"),
    ),
)
FORMULA = Row(
    "FormulaRow",
    "How an int register gets its value. Operands that are registers lie before this one.",
    (
        _u32("op", "operation", "formula_op"),
        RESERVED,
        Field("a", "i64", "const: the value; dim, contiguous: the input; else an int register"),
        Field("b", "i64", "dim: the axis; const, contiguous: 0; else an int register"),
    ),
)
CHECK = Row(
    "CheckRow",
    "A relation of int registers, tested after the formulas.",
    (
        _u32("op", "comparison", "check_op"),
        _u32("left", "int register"),
        _u32("right", "int register"),
        _u32("message", "message of the program where it does not hold"),
    ),
)
TENSOR = Row(
    "TensorRow",
    "A tensor register.",
    (
        _u32("place", "where its memory is", "place"),
        _u32(
            "index",
            "input, output or weight number; arena: the int register of its byte offset; row: the whole's register",
        ),
        _u32("dtype", "element type", "dtype"),
        *_span("dim", "its dims: int registers", "registers"),
        _u32("bytes", "int register: the bytes that it spans"),
    ),
)
INSTRUCTION = Row(
    "InstructionRow",
    "An instruction. Fields that its opcode does not use are 0.",
    (
        _u32("opcode", "what to do", "opcode"),
        _u32(
            "kernel",
            "call: the kernel; jump, jump_unless, loop, while, next: the instruction to go on with; builtin: its row",
        ),
        _u32(
            "extent",
            "int register: a call's iterations of its outermost loop; a loop's turns; builtin: the first it sets",
        ),
        *_span("tensor", "the tensor registers: a kernel's buffers in order", "registers"),
        *_span("int", "the int registers: a kernel's ints in order", "registers"),
        _u32(
            "expected",
            "guard: 0 or 1; loop: 1 where it takes the last row first; builtin: how many int registers it sets; "
            "call: its grain, 1 + an int register, or 0",
        ),
        _u32("message", "guard, raise: message of the program"),
        _u32("source", "where it comes from, in the program's source map"),
    ),
)
MESSAGE = Row(
    "MessageRow",
    "What a refused call says. It is shown as `file:line text`.",
    (
        _u32("text", "the text", "strings"),
        _u32("file", "the user's file, or empty", "strings"),
        _u32("line", "1-based line, or 0"),
        _u32("line_text", "that line", "strings"),
        _u32("module", "module path", "strings"),
    ),
)
SOURCE = Row("SourceRow", "A place in the user's program.", MESSAGE.fields[1:])
REGISTER = Row("RegisterRow", "A register number in a list.", (_u32("number", "register"),))
KERNEL = Row(
    "KernelRow",
    "A kernel: its text, and what a caller must know of it. Kernels have distinct names.",
    (
        _u32("name", "its name", "strings"),
        _u32("text_offset", "of its text in `kernel_texts`"),
        _u32("text_bytes", "length of that text"),
        *_span("buffer", "its buffers", "buffers"),
        _u32("int_count", "its ints"),
    ),
)
BUFFER = Row(
    "BufferRow",
    "A kernel's buffer.",
    (
        _u32("role", "how it is used", "role"),
        _u32("dtype", "element type", "dtype"),
        _u32("panels", "1: packed in panels, else 0"),
    ),
)
WEIGHT = Row(
    "WeightRow",
    "A constant. Panels hold `batch` matrices [k, n]: cut into panels of `panel_width` columns, each stored row by "
    "row, the last as wide as its columns need, rounded up to `panel_align`, missing columns zero.",
    (
        _u32("name", "where it came from", "strings"),
        _u32("dtype", "element type", "dtype"),
        *_span("dim", "its logical shape", "shapes"),
        _u32("layout", "how it is stored", "weight_layout"),
        _u32("transposed", "1: the panels show the last two axes of the shape swapped, else 0"),
        _u32("panel_width", "48 for panels, else 0"),
        _u32("panel_align", "16 for panels, else 0"),
        Field("offset", "u64", "in the section `weight_data`, a multiple of 64"),
        Field("bytes", "u64", "length"),
        Field("batch", "i64", "panels: matrices, else 0"),
        Field("k", "i64", "panels: rows, else 0"),
        Field("n", "i64", "panels: columns, else 0"),
    ),
)
SHAPE = Row(
    "ShapeRow",
    "One size of the shape of a weight, or of a tensor of an example.",
    (Field("size", "i64", "elements, >= 0"),),
)
STATE = Row(
    "StateRow",
    "A tensor that a session keeps from call to call. States have distinct names.",
    (_u32("name", "its name", "strings"), _u32("weight", "its value before the first call: a plain weight", "weights")),
)
STATE_INPUT = Row(
    "StateInputRow",
    "An input that the session gives: the last inputs of a program are its states. Sorted by program, then input.",
    (
        _u32("program", "the program", "programs"),
        _u32("input", "number of the input, all dims fixed"),
        _u32("state", "the state: dtype and sizes are those of its weight", "states"),
    ),
)
UPDATE = Row(
    "UpdateRow",
    "An output that is written back into an input of the same dtype and dims once the call has succeeded: the last "
    "outputs of a program. Sorted by program, then output; no input is written twice. The programs of a method have "
    "equal state inputs and updates.",
    (
        _u32("program", "the program", "programs"),
        _u32("output", "number of the output"),
        _u32("input", "number of the input"),
    ),
)
BUILTIN = Row(
    "BuiltinRow",
    "A builtin of the runtime that the programs call. Names are distinct, and each is called.",
    (_u32("name", "its name", "strings"),),
)
EXAMPLE = Row(
    "ExampleRow",
    "A call of a method in a session as it is before its first call, and what it must give. Its tensors are those that "
    "the caller gives, then those of all outputs of the method's programs: what it returns, and the new values of what "
    "it changes.",
    (_u32("method", "the method, which has a program", "methods"), *_span("tensor", "its tensors", "example_tensors")),
)
EXAMPLE_TENSOR = Row(
    "ExampleTensorRow",
    "A tensor of an example. Its bytes are at the first multiple of 64 behind those of the one before.",
    (
        _u32("dtype", "element type", "dtype"),
        *_span("dim", "its shape", "shapes"),
        RESERVED,
        Field("offset", "u64", "in the section `example_data`"),
        Field("bytes", "u64", "length"),
        Field("tolerance", "f64", "outputs of floats: the difference allowed in each element, finite; else 0"),
    ),
)
CODE_ENTRY = Row(
    "CodeEntryRow", "Where a kernel starts.", (Field("offset", "u64", "byte offset of its first instruction"),)
)

SECTIONS = (
    Section("strings", 1, "All strings, each once; number 0 is the empty one.", STRING),
    Section("string_bytes", 2, "The strings' bytes, without gaps."),
    Section("names", 3, "Lists of strings.", NAME),
    Section("methods", 4, "The entry points.", METHOD),
    Section("constants", 5, "The constants of the recorded graphs.", CONSTANT),
    Section("graphs", 6, "The text of the recorded graphs, one after the other.", optional=True),
    Section("programs", 7, "The programs.", PROGRAM),
    Section("specs", 8, "Inputs and outputs.", SPEC),
    Section("dims", 9, "Dims of the specs.", DIM),
    Section("relations", 10, "Relations.", RELATION),
    Section("formulas", 11, "Size arithmetic.", FORMULA),
    Section("checks", 12, "Checks of sizes.", CHECK),
    Section("tensors", 13, "Tensor registers.", TENSOR),
    Section("instructions", 14, "Code.", INSTRUCTION),
    Section("registers", 15, "Lists of registers.", REGISTER),
    Section("messages", 16, "What refused calls say.", MESSAGE),
    Section("sources", 17, "The source map.", SOURCE),
    Section("kernels", 18, "The kernels.", KERNEL),
    Section("buffers", 19, "The kernels' buffers.", BUFFER),
    Section("kernel_texts", 20, "The text of the kernels, one after the other."),
    Section("weights", 21, "The constants.", WEIGHT),
    Section("shapes", 22, "Shapes of the weights and of the examples' tensors.", SHAPE),
    Section("code_entries", 23, "One row for each kernel, in order.", CODE_ENTRY, "target code", optional=True),
    Section("machine_code", 24, "Relocation-free machine code for one target.", None, "target code", optional=True),
    Section("states", 26, "What sessions keep.", STATE, optional=True),
    Section("state_inputs", 27, "Inputs that sessions give.", STATE_INPUT, optional=True),
    Section("updates", 28, "Outputs that are written back.", UPDATE, optional=True),
    Section("builtins", 29, "What the programs need of the runtime.", BUILTIN, optional=True),
    Section("examples", 30, "Calls, and what they must give.", EXAMPLE, optional=True),
    Section("example_tensors", 31, "Their tensors.", EXAMPLE_TENSOR, optional=True),
    Section("example_data", 32, "Those tensors' bytes, zeros between them.", optional=True),
    Section("weight_data", 25, "The constants' bytes, zeros between them.", aligned=WEIGHTS_ALIGNMENT),
)
BY_NAME = {s.name: s for s in SECTIONS}
BY_KIND = {s.kind: s for s in SECTIONS}

# Rows are owned: those of the roots by the file, each other row by the one row whose run it is in. A walk over roots,
# and in each row over its runs in the order of the fields, meets the rows of every table in order, and all of them.
ROOTS = ("methods", "kernels", "weights", "states", "state_inputs", "updates", "builtins", "examples")
STATEFUL = ("states", "state_inputs", "updates")
RUNS = {s.name: tuple(f for f in s.row.fields if f.count) if s.row else () for s in SECTIONS}

# What fields with `of` one of these names hold.
DIM_KINDS = {"fixed": 0, "symbol": 1, "expression": 2}
ROLES = {"in": 0, "out": 1, "local": 2}
WEIGHT_LAYOUTS = {"plain": 0, "panels": 1}
CHECK_OPS = {"==": 0, "!=": 1, "<=": 2, "<": 3}

assert len(BY_KIND) == len(SECTIONS)


def version_of(section: str) -> int:
    """The oldest version whose readers know a kind of section."""
    if section.startswith("example"):
        return VERSION_OF_EXAMPLES
    if section == "builtins":
        return VERSION_OF_BUILTINS
    return VERSION_OF_STATE if section in STATEFUL else VERSION
