"""What must hold inside a program, beyond its layout: each register, message and kernel it names exists and fits."""

from __future__ import annotations

from collections.abc import Sequence

from unmoor.errors import ArchiveError
from unmoor.ir.kernel import Kernel
from unmoor.ir.program import Formula, FormulaOp, Instruction, Opcode, Place, Program, TensorRegister, Weight

MAX_RANK = 16
OPERANDS = {Opcode.COPY: 2, Opcode.GUARD: 1, Opcode.RAISE: 0, Opcode.RETURN: 0}


def check_program(program: Program, kernels: Sequence[Kernel], weights: Sequence[Weight], where: str) -> None:
    """ArchiveError names the first rule that the program breaks; `where` names the program."""
    checker = _Checker(program, kernels, weights, where)
    checker.signature()
    for number, formula in enumerate(program.formulas):
        checker.formula(number, formula)
    for number, check in enumerate(program.checks):
        checker.ints(f"check {number}", (check.left, check.right))
        checker.message(f"check {number}", check.message)
    checker.ints("the program", (program.arena, program.flops, program.traffic))
    for number, tensor in enumerate(program.tensors):
        checker.tensor(number, tensor)
    for number, instruction in enumerate(program.code):
        checker.instruction(number, instruction)
    if not program.code or program.code[-1].opcode not in (Opcode.RETURN, Opcode.RAISE):
        checker.refuse("the code does not end in return or raise")


class _Checker:
    def __init__(self, p: Program, kernels: Sequence[Kernel], weights: Sequence[Weight], where: str) -> None:
        self.program, self.kernels, self.weights, self.where = p, kernels, weights, where

    def refuse(self, what: str) -> None:
        raise ArchiveError(f"the file is damaged: {self.where}: {what}")

    def ints(self, who: str, registers: Sequence[int]) -> None:
        for r in registers:
            if not 0 <= r < len(self.program.formulas):
                self.refuse(f"{who} reads the int register {r}, which does not exist")

    def message(self, who: str, number: int) -> None:
        if number >= len(self.program.messages):
            self.refuse(f"{who} has the message {number}, which does not exist")

    def signature(self) -> None:
        """The specs agree with the first tensor registers."""
        p, s = self.program, self.program.signature
        specs = (*s.inputs, *s.outputs)
        if len(p.tensors) < len(specs):
            self.refuse("there are fewer tensor registers than inputs and outputs")
        for number, (spec, tensor) in enumerate(zip(specs, p.tensors, strict=False)):
            is_input = number < len(s.inputs)
            place = (Place.INPUT, number) if is_input else (Place.OUTPUT, number - len(s.inputs))
            if (tensor.place, tensor.index) != place or tensor.dtype is not spec.type.dtype:
                self.refuse(f"tensor register {number} is not {spec}")
            if len(tensor.dims) != spec.type.rank:
                self.refuse(f"tensor register {number} has another rank than {spec}")

    def formula(self, number: int, f: Formula) -> None:
        if f.op is FormulaOp.CONST:
            sound = f.b == 0
        elif f.op is FormulaOp.DIM:
            inputs = self.program.signature.inputs
            sound = 0 <= f.a < len(inputs) and 0 <= f.b < inputs[f.a].type.rank
        else:
            sound = 0 <= f.a < number and 0 <= f.b < number
        if not sound:
            self.refuse(f"formula {number} ({f.op.name} {f.a} {f.b}) reads what does not exist before it")

    def tensor(self, number: int, t: TensorRegister) -> None:
        p = self.program
        self.ints(f"tensor register {number}", (*t.dims, t.bytes))
        limits = {
            Place.INPUT: len(p.signature.inputs),
            Place.OUTPUT: len(p.signature.outputs),
            Place.WEIGHT: len(self.weights),
            Place.ARENA: len(p.formulas),
        }
        if t.index >= limits[t.place]:
            self.refuse(f"tensor register {number} is at {t.place.name} {t.index}, which does not exist")
        if len(t.dims) > MAX_RANK:
            self.refuse(f"tensor register {number} has {len(t.dims)} dims; {MAX_RANK} is the most")

    def instruction(self, number: int, i: Instruction) -> None:
        who = f"instruction {number} ({i.opcode.name})"
        self.ints(who, (*i.ints, i.extent))
        for t in i.tensors:
            if t >= len(self.program.tensors):
                self.refuse(f"{who} has the tensor register {t}, which does not exist")
        if i.source >= len(self.program.sources):
            self.refuse(f"{who} has a source that does not exist")
        if i.opcode is Opcode.CALL:
            self.call(who, i)
        elif len(i.tensors) != OPERANDS[i.opcode] or i.ints:
            self.refuse(f"{who} has the wrong number of operands")
        if i.opcode in (Opcode.GUARD, Opcode.RAISE):
            self.message(who, i.message)
        if i.opcode is Opcode.COPY:
            target, source = (self.program.tensors[t] for t in i.tensors)
            if target.place in (Place.INPUT, Place.WEIGHT) or target.dtype is not source.dtype:
                self.refuse(f"{who} copies between tensors that do not fit")
        if i.opcode is Opcode.GUARD:
            tested = self.program.tensors[i.tensors[0]]
            if tested.dtype.name != "bool" or tested.dims or i.expected > 1:
                self.refuse(f"{who} does not test a 0-dim bool")

    def call(self, who: str, i: Instruction) -> None:
        if i.kernel >= len(self.kernels):
            self.refuse(f"{who} calls the kernel {i.kernel}, which does not exist")
        kernel = self.kernels[i.kernel]
        if len(i.tensors) != len(kernel.buffers) or len(i.ints) != len(kernel.ints):
            self.refuse(f"{who} gives the kernel {kernel.name} the wrong number of operands")
        for t, buffer in zip(i.tensors, kernel.buffers, strict=True):
            tensor = self.program.tensors[t]
            if tensor.dtype is not buffer.dtype:
                self.refuse(f"{who} gives the buffer {buffer.name} of {kernel.name} another dtype")
            if buffer.role != "in" and tensor.place in (Place.INPUT, Place.WEIGHT):
                self.refuse(f"{who} lets {kernel.name} write into an input or weight")
