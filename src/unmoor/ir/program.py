"""Programs: what the virtual machine runs. One per signature; the file of a traced function holds several.

A program has two register files. *Int registers* hold sizes as int64; they are computed by `formulas` when a call
comes with sizes that the session has not just seen. *Tensor registers* are described by `tensors` and never move
for given sizes. A call then runs `code` from top to bottom.

    formulas  one row an int register, in order; register k is set by row k
    checks    relations of int registers, tested after the formulas; a failing one refuses the call
    tensors   where each tensor is, its dtype and dims (int registers); the inputs come first, in order,
              then the outputs, in order, then all others
    code      instructions

Some sizes come out of data: how many elements a mask selects is known when the instruction has run that counts them.
Their registers, and all that are computed from them, follow the others, in runs: each such instruction sets the run of
registers from `first` on, `count` of them, and until then nothing may use them. Memory is planned before a call runs:
places and bytes of tensor registers are never among those; the bytes are then an upper bound.

Small machine, big kernels: the instruction table below is the whole set.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from unmoor.dtypes import DType
from unmoor.ir.graph import Source
from unmoor.ir.kernel import Kernel, Panels
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.signature import Signature

GENERATOR = "random()"  # the state that draws of random numbers count in: i64 [seed, draws]


class FormulaOp(IntEnum):
    """How an int register gets its value. Arithmetic that overflows int64 refuses the call."""

    CONST = 0  # a: the value
    DIM = 1  # a: index of an input, b: axis
    ADD = 2  # a, b: registers
    SUB = 3
    MUL = 4
    FLOORDIV = 5  # rounds down; b = 0 refuses the call
    MOD = 6  # the divisor's sign
    MIN = 7
    MAX = 8
    GIVEN = 9  # a: which of the numbers that the builtin gives whose instruction sets this register
    CONTIGUOUS = 10  # a: index of an input; 1 where its elements lie in order without gaps, else 0


class CheckOp(IntEnum):
    EQ = 0
    NE = 1
    LE = 2
    LT = 3


class Place(IntEnum):
    """Where a tensor register's memory is."""

    INPUT = 0  # the caller's input number `index`
    OUTPUT = 1  # the caller's output number `index`
    WEIGHT = 2  # weight number `index` of the file
    ARENA = 3  # byte offset in the session's arena: the value of int register `index`
    ROW = 4  # in a loop, the row of tensor register `index`, no row itself, that the turn has reached


class Opcode(IntEnum):
    """The instruction set. Operand meanings stand beside each; r: int register, t: tensor register."""

    CALL = 0  # kernel, extent r, [t...] in the order of its buffers, [r...] of its ints, perhaps a grain r
    COPY = 1  # destination t, source t: same dtype and dims
    GUARD = 2  # t: a 0-dim bool; perhaps the number t that it is about; expected 0 or 1; message: refuses unless equal
    RAISE = 3  # message: refuses the call; perhaps the number t that the message is about
    RETURN = 4
    JUMP = 5  # target: goes on there; the end of a first block, with the second block up to the target
    JUMP_UNLESS = 6  # t: a 0-dim bool; target: goes on there unless it is true; the block up to there runs where it is
    BUILTIN = 7  # builtin, [t...] and [r...] as [builtins.md](builtins.md) says; sets `count` registers from `first` on
    LOOP = 8  # turns r, rows [t...]; expected 1: last row first; target: behind its NEXT; the block is run in turns
    WHILE = 9  # t: a 0-dim bool; target: behind its NEXT; runs the block up to there unless it is false
    NEXT = 10  # target: its LOOP or WHILE, whose block ends here; of a WHILE, t: a 0-dim bool: another turn follows


JUMPS = (Opcode.JUMP, Opcode.JUMP_UNLESS, Opcode.LOOP, Opcode.WHILE, Opcode.NEXT)
MAX_TURNS = 1 << 32  # of all the loops of a call together


@dataclass(frozen=True)
class Formula:
    op: FormulaOp
    a: int
    b: int = 0


@dataclass(frozen=True)
class Check:
    """`left op right` on int registers; `message` indexes the program's messages."""

    op: CheckOp
    left: int
    right: int
    message: int


@dataclass(frozen=True)
class TensorRegister:
    """A tensor: place, dtype, and the int registers of its dims. `bytes` is the int register of the bytes it spans."""

    place: Place
    index: int
    dtype: DType
    dims: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Instruction:
    """One row of `code`. `kernel` is an index into the file's kernels, `builtin` a name; unused fields are 0 or "".

    A call with a `grain`, an int register, may be cut into pieces of so many turns of its outermost loop, the last one
    shorter, which threads do in any order. Whether it is changes no bit of a result."""

    opcode: Opcode
    kernel: int = 0
    extent: int = 0
    tensors: tuple[int, ...] = ()
    ints: tuple[int, ...] = ()
    expected: int = 0
    message: int = 0
    source: int = 0  # index into the program's sources, for errors and profiles
    target: int = 0  # the instruction that a jump goes on with, a later one but for NEXT
    builtin: str = ""
    first: int = 0  # the int registers that a builtin's numbers set
    count: int = 0
    grain: int | None = None  # None: a call that is never cut; 0 turns at run time say the same


@dataclass(frozen=True)
class Message:
    """What a refused call says: the text, and the user's line it speaks of."""

    text: str
    source: Source


@dataclass(frozen=True)
class Program:
    """The executable form of one signature. `arena` is the int register of the arena's bytes;
    `flops` and `traffic` are int registers too: floating-point operations and bytes moved by one call."""

    signature: Signature
    formulas: tuple[Formula, ...]
    checks: tuple[Check, ...]
    tensors: tuple[TensorRegister, ...]
    code: tuple[Instruction, ...]
    messages: tuple[Message, ...]
    sources: tuple[Source, ...]
    arena: int
    flops: int
    traffic: int

    @cached_property
    def early(self) -> int:
        """How many int registers are known before the code runs: they come first."""
        return len(self.formulas) - sum(i.count for i in self.code)


@dataclass(frozen=True)
class Weight:
    """A constant of the file: `data` in storage order (1-D, panels already packed), with its logical
    dtype and shape, and the packed layout if it has one. `name` is the constant's origin.

    With `panels`, the last two axes of `shape` are the panels' [k, n], or, where `transposed`, [n, k]: so a
    linear layer's weight keeps its own shape while a matmul reads it packed."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    data: memoryview
    panels: Panels | None = None
    transposed: bool = False


@dataclass(frozen=True)
class State:
    """A tensor that a session keeps from call to call, by name; `weight` is its value before the first call."""

    name: str
    weight: int


@dataclass(frozen=True)
class Method:
    """One entry point: its name, the recorded graph's text ("" where it was stripped), what the trace froze, and a
    program per signature. `constants` says which weight of the file each constant of the recorded graph is, by
    the constant's name; `parameters` names the positional parameters of the traced callable."""

    name: str
    graph: str
    constants: tuple[tuple[str, int], ...]
    parameters: tuple[str, ...]
    assumptions: str
    programs: tuple[Program, ...]


@dataclass(frozen=True)
class ExampleArray:
    """A tensor of an example: its bytes, and the difference that is allowed in each element (0 for inputs)."""

    dtype: DType
    shape: tuple[int, ...]
    data: bytes
    tolerance: float = 0.0

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.data, self.dtype.numpy).reshape(self.shape)


@dataclass(frozen=True)
class Example:
    """A call of the method of that number in a fresh session, and what it must give.

    `tensors` are those that the caller gives, then those of all outputs: what is returned, and the new values of what
    the call changes.
    """

    method: int
    tensors: tuple[ExampleArray, ...]


@dataclass(frozen=True)
class Image:
    """Everything a file holds, before encoding: what `archive` writes and the native runtime runs."""

    methods: tuple[Method, ...]
    kernels: tuple[Kernel, ...]
    weights: tuple[Weight, ...]
    code: tuple[ObjectCode, ...]
    states: tuple[State, ...] = ()
    examples: tuple[Example, ...] = ()
