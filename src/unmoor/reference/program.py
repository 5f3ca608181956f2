"""Runs programs: formulas, checks and instructions as they are written, with kernels run by their own reference."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from unmoor.errors import NotTraced, SignatureError
from unmoor.ir.kernel import Kernel
from unmoor.ir.program import (
    MAX_TURNS,
    CheckOp,
    Formula,
    FormulaOp,
    Instruction,
    Message,
    Opcode,
    Place,
    Program,
    TensorRegister,
    Weight,
)
from unmoor.ir.recording import ANOTHER
from unmoor.reference.builtin import run_builtin
from unmoor.reference.kernel import run_kernel

_LIMIT = 1 << 63


def run_program(
    program: Program, kernels: Sequence[Kernel], weights: Sequence[Weight], inputs: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """The outputs of a call. `inputs` are those of the signature, states last; none of them is written.

    Raises SignatureError where a check refuses the sizes, NotTraced where a guard or a raise refuses the call, or a
    check that speaks for a guard.
    """
    return _Run(program, kernels, weights, inputs).outputs()


def int_registers(program: Program, shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """The int registers that are known before a call runs, for contiguous inputs of these shapes."""
    return _Numbers(program, shapes, [True] * len(shapes)).sizes


class _Numbers:
    """The int registers of a call."""

    def __init__(self, program: Program, shapes: Sequence[tuple[int, ...]], contiguous: Sequence[bool]) -> None:
        self.program, self.shapes, self.contiguous = program, shapes, contiguous
        self.sizes: list[int] = []
        self.evaluate(range(program.early), ())

    def evaluate(self, registers: range, given: Sequence[int]) -> None:
        """Sets the int registers, of which the first are set already; `given` are the numbers that a builtin found."""
        for number in registers:
            formula = self.program.formulas[number]
            value = self.formula(formula, given)
            if not -_LIMIT <= value < _LIMIT:
                raise SignatureError(f"the formula {formula} is beyond 64 bits")
            self.sizes.append(value)

    def formula(self, f: Formula, given: Sequence[int]) -> int:
        if f.op is FormulaOp.CONST:
            return f.a
        if f.op is FormulaOp.DIM:
            return int(self.shapes[f.a][f.b])
        if f.op is FormulaOp.CONTIGUOUS:
            return int(self.contiguous[f.a])
        if f.op is FormulaOp.GIVEN:
            return given[f.a]
        a, b = self.sizes[f.a], self.sizes[f.b]
        if f.op in (FormulaOp.FLOORDIV, FormulaOp.MOD) and b == 0:
            raise SignatureError("a formula of the sizes divides by zero")
        return _ARITHMETIC[f.op](a, b)


class _Run(_Numbers):
    def __init__(
        self, program: Program, kernels: Sequence[Kernel], weights: Sequence[Weight], inputs: Sequence[np.ndarray]
    ) -> None:
        _check_inputs(program, inputs)
        super().__init__(program, [i.shape for i in inputs], [i.flags.c_contiguous for i in inputs])
        self.kernels = kernels
        for check in program.checks:
            if not _HOLDS[check.op](self.sizes[check.left], self.sizes[check.right]):
                raise _refusal(program.messages[check.message], self.sizes[check.left])
        given = [np.array(i, order="C", copy=True).reshape(-1) for i in inputs]
        self.turn: dict[int, int] = {}  # that a loop has reached
        self.turns = 0  # of all loops
        arena = np.zeros(self.sizes[program.arena], np.uint8)
        outputs: dict[int, np.ndarray] = {}
        self.tensors: list[np.ndarray] = []  # flat, in storage order; those in the arena share its memory
        for t in program.tensors:
            dtype = t.dtype.numpy
            if t.place is Place.INPUT:
                self.tensors.append(given[t.index])
            elif t.place is Place.OUTPUT:
                made = np.zeros(self.sizes[t.bytes] // t.dtype.size, dtype)
                self.tensors.append(outputs.setdefault(t.index, made))  # one memory, whichever register names it
            elif t.place is Place.WEIGHT:
                self.tensors.append(np.frombuffer(weights[t.index].data, dtype))
            elif t.place is Place.ROW:
                self.tensors.append(np.empty(0, dtype))  # a loop says where
            else:
                start = self.sizes[t.index]
                self.tensors.append(arena[start : start + self.sizes[t.bytes]].view(dtype))

    def outputs(self) -> tuple[np.ndarray, ...]:
        at = 0
        while True:
            instruction = self.program.code[at]
            if instruction.opcode is Opcode.RETURN:
                break
            at = self.step(at, instruction)
        made = [
            (t, flat) for t, flat in zip(self.program.tensors, self.tensors, strict=True) if t.place is Place.OUTPUT
        ]
        first = {t.index: flat[: self.count(t)].reshape([self.sizes[d] for d in t.dims]) for t, flat in reversed(made)}
        return tuple(first[k] for k in range(len(self.program.signature.outputs)))

    def count(self, t: TensorRegister) -> int:
        """The elements of a tensor whose dims are known; SignatureError where they take more than its bytes."""
        sizes = [self.sizes[d] for d in t.dims]
        if min(sizes, default=0) < 0 or prod(sizes) * t.dtype.size > self.sizes[t.bytes]:
            raise SignatureError(f"a tensor of {t.dtype}{sizes} does not fit into its {self.sizes[t.bytes]} bytes")
        return prod(sizes)

    def builtin(self, i: Instruction) -> None:
        given = run_builtin(i.builtin, [self.tensors[t] for t in i.tensors], [self.sizes[r] for r in i.ints])
        if i.count:
            if i.first != len(self.sizes):  # a block that sets some was not run
                self.sizes += [0] * (i.first - len(self.sizes))
            self.evaluate(range(i.first, i.first + i.count), given)

    def step(self, at: int, i: Instruction) -> int:
        """Runs one instruction; returns the number of the next."""
        if i.opcode is Opcode.CALL:
            buffers, ints = [self.tensors[t] for t in i.tensors], [self.sizes[r] for r in i.ints]
            run_kernel(self.kernels[i.kernel], buffers, ints, 0, self.sizes[i.extent])
        elif i.opcode is Opcode.COPY:
            target, source = (self.tensors[t] for t in i.tensors)
            count = self.count(self.program.tensors[i.tensors[0]])
            target[:count] = source[:count]
        elif i.opcode is Opcode.BUILTIN:
            self.builtin(i)
        elif i.opcode is Opcode.GUARD:
            if bool(self.tensors[i.tensors[0]][0]) is not bool(i.expected):
                raise self.refusal(i)
        elif i.opcode is Opcode.RAISE:
            raise self.refusal(i)
        elif i.opcode is Opcode.LOOP:
            self.turn[at] = 0
            if self.sizes[i.extent] == 0:
                return i.target
            self.move_rows(at, i)
        elif i.opcode is Opcode.NEXT:
            return self.next(at, i)
        elif i.opcode is Opcode.JUMP or not self.tensors[i.tensors[0]][0]:
            return i.target
        return at + 1

    def next(self, at: int, i: Instruction) -> int:
        """Goes on behind the loop, or in its next turn."""
        loop = self.program.code[i.target]
        if loop.opcode is Opcode.LOOP:
            self.turn[i.target] += 1
            more = self.turn[i.target] < self.sizes[loop.extent]
        else:
            more = bool(self.tensors[i.tensors[0]][0])
        if not more:
            return at + 1
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise NotTraced(f"the loops of a call may take {MAX_TURNS} turns together; they go on")
        if loop.opcode is Opcode.LOOP:
            self.move_rows(i.target, loop)
        return i.target + 1

    def move_rows(self, at: int, i: Instruction) -> None:
        """The loop's rows name what the turn takes."""
        turn = self.turn[at]
        place = self.sizes[i.extent] - 1 - turn if i.expected else turn
        for t in i.tensors:
            row = self.program.tensors[t]
            count = prod(self.sizes[d] for d in row.dims)
            self.tensors[t] = self.tensors[row.index][place * count : (place + 1) * count]

    def refusal(self, i: Instruction) -> NotTraced:
        message = self.program.messages[i.message]
        text = message.text
        for t in i.tensors[i.opcode is Opcode.GUARD :]:
            text = text.replace(ANOTHER, f"is {self.tensors[t][0].item()!r}")
        return NotTraced(f"{message.source.file}:{message.source.line} {text}")


def _check_inputs(program: Program, inputs: Sequence[np.ndarray]) -> None:
    """SignatureError unless count, dtypes, ranks and sizes are those of the signature."""
    specs = program.signature.inputs
    if len(inputs) != len(specs):
        raise SignatureError(f"{len(inputs)} inputs for {len(specs)}")
    known: dict[str, int] = {}
    for spec, given in zip(specs, inputs, strict=True):
        if given.dtype != spec.type.dtype.numpy or given.ndim != spec.type.rank:
            raise SignatureError(f"{spec} is given {given.dtype}{list(given.shape)}")
        for dim, size in zip(spec.type.shape, given.shape, strict=True):
            if dim.symbol is not None:
                known.setdefault(dim.symbol, size)
    for k, (spec, given) in enumerate(zip(specs, inputs, strict=True)):
        for axis, (dim, size) in enumerate(zip(spec.type.shape, given.shape, strict=True)):
            if dim.symbols <= known.keys() and dim.evaluate(known) != size:
                raise _refused_dim(program, k, axis, size)


def _refused_dim(program: Program, k: int, axis: int, size: int) -> Exception:
    """The error for a dim that does not fit: what the check says that speaks for it, if there is one."""
    for check in program.checks:
        message = program.messages[check.message]
        is_dim = check.op is CheckOp.EQ and program.formulas[check.left] == Formula(FormulaOp.DIM, k, axis)
        if is_dim and message.source.file:
            return _refusal(message, size)
    return SignatureError(f"{program.signature.inputs[k]} is given the size {size} along axis {axis}")


def _refusal(message: Message, now: int) -> Exception:
    if not message.source.file:
        return SignatureError(message.text)
    text = message.text.replace(ANOTHER, f"is {now}")
    return NotTraced(f"{message.source.file}:{message.source.line} {text}")


_HOLDS: dict[CheckOp, Callable[[int, int], bool]] = {
    CheckOp.EQ: operator.eq,
    CheckOp.NE: operator.ne,
    CheckOp.LE: operator.le,
    CheckOp.LT: operator.lt,
}
_ARITHMETIC: dict[FormulaOp, Callable[[int, int], int]] = {
    FormulaOp.ADD: operator.add,
    FormulaOp.SUB: operator.sub,
    FormulaOp.MUL: operator.mul,
    FormulaOp.FLOORDIV: operator.floordiv,
    FormulaOp.MOD: operator.mod,
    FormulaOp.MIN: min,
    FormulaOp.MAX: max,
}
