"""What must hold inside a program, beyond its layout: each register, message and kernel it names exists and fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unmoor.dtypes import bool_, f64, i64
from unmoor.errors import ArchiveError
from unmoor.ir.builtin import BUILTINS
from unmoor.ir.kernel import Kernel
from unmoor.ir.program import (
    JUMPS,
    Formula,
    FormulaOp,
    Instruction,
    Opcode,
    Place,
    Program,
    TensorRegister,
    Weight,
)

MAX_RANK = 16
TOLD = (bool_, i64, f64)  # what a message may be about
ENDS = (Opcode.RETURN, Opcode.RAISE)
CALLS = (Opcode.CALL, Opcode.BUILTIN)
OPERANDS = {
    Opcode.COPY: 2,
    Opcode.RETURN: 0,
    Opcode.JUMP: 0,
    Opcode.JUMP_UNLESS: 1,
    Opcode.WHILE: 1,
}
VARIADIC = (Opcode.CALL, Opcode.BUILTIN, Opcode.LOOP, Opcode.NEXT, Opcode.GUARD, Opcode.RAISE)  # check their own count


Written = tuple[Place | None, int]  # memory; and int registers, as (None, number)


@dataclass
class Region:
    """A block of a branch or a loop that is being checked: it ends before the instruction `end`.

    `before` was written before it began. In a second block of a branch, `first` was written where the first one was
    run; in a first block, `jump` is where the jump at its end goes. The block of a loop ends before its NEXT; `loop` is
    the number of the instruction that began it.
    """

    end: int
    before: set[Written]
    first: set[Written] | None = None
    jump: int | None = None
    loop: int | None = None


def check_program(program: Program, kernels: Sequence[Kernel], weights: Sequence[Weight], where: str) -> None:
    """ArchiveError names the first rule that the program breaks; `where` names the program."""
    checker = _Checker(program, kernels, weights, where)
    checker.signature()
    for number, formula in enumerate(program.formulas):
        checker.formula(number, formula)
    for number, check in enumerate(program.checks):
        checker.early(f"check {number}", (check.left, check.right))
        checker.message(f"check {number}", check.message)
    checker.early("the program", (program.arena, program.flops, program.traffic))
    for number, tensor in enumerate(program.tensors):
        checker.tensor(number, tensor)
    for number, instruction in enumerate(program.code):
        checker.instruction(number, instruction)
    if not program.code:
        checker.refuse("it has no code")


class _Checker:
    def __init__(self, p: Program, kernels: Sequence[Kernel], weights: Sequence[Weight], where: str) -> None:
        self.program, self.kernels, self.weights, self.where = p, kernels, weights, where
        self.written: set[Written] = set()
        self.next = p.early  # the int register that the next builtin that sets any starts with
        self.regions: list[Region] = []
        self.moved: set[int] = set()  # row registers that some loop has moved
        self.moving: set[int] = set()  # those of the loops around the instruction

    def refuse(self, what: str) -> None:
        raise ArchiveError(f"the file is damaged: {self.where}: {what}")

    def ints(self, who: str, registers: Sequence[int]) -> None:
        for r in registers:
            if not 0 <= r < len(self.program.formulas):
                self.refuse(f"{who} reads the int register {r}, which does not exist")

    def early(self, who: str, registers: Sequence[int]) -> None:
        """They are known before the code runs."""
        for r in registers:
            if not 0 <= r < self.program.early:
                self.refuse(f"{who} reads the int register {r}, which is not known before the code runs")

    def known(self, who: str, registers: Sequence[int]) -> None:
        """They are known where the instruction stands."""
        self.ints(who, registers)
        for r in registers:
            if r >= self.program.early and (None, r) not in self.written:
                self.refuse(f"{who} reads the int register {r} before it is known")

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
            if is_input or number >= len(specs) - len(s.changed):
                self.early(f"tensor register {number}", tensor.dims)
            if len(tensor.dims) != spec.type.rank:
                self.refuse(f"tensor register {number} has another rank than {spec}")

    def formula(self, number: int, f: Formula) -> None:
        if f.op is FormulaOp.CONST:
            sound = f.b == 0
        elif f.op is FormulaOp.GIVEN:
            sound = number >= self.program.early and f.a >= 0 and f.b == 0
        elif f.op is FormulaOp.CONTIGUOUS:
            sound = 0 <= f.a < len(self.program.signature.inputs) and f.b == 0
        elif f.op is FormulaOp.DIM:
            inputs = self.program.signature.inputs
            sound = 0 <= f.a < len(inputs) and 0 <= f.b < inputs[f.a].type.rank
        else:
            sound = 0 <= f.a < number and 0 <= f.b < number
        if not sound:
            self.refuse(f"formula {number} ({f.op.name} {f.a} {f.b}) reads what does not exist before it")

    def tensor(self, number: int, t: TensorRegister) -> None:
        p = self.program
        self.ints(f"tensor register {number}", t.dims)
        self.early(f"tensor register {number}", (t.bytes, *((t.index,) if t.place is Place.ARENA else ())))
        if t.place is Place.ROW:
            self.row(number, t)
        limits = {
            Place.INPUT: len(p.signature.inputs),
            Place.OUTPUT: len(p.signature.outputs),
            Place.WEIGHT: len(self.weights),
            Place.ARENA: len(p.formulas),
            Place.ROW: number,
        }
        if t.index >= limits[t.place]:
            self.refuse(f"tensor register {number} is at {t.place.name} {t.index}, which does not exist")
        of = {Place.INPUT: p.signature.inputs, Place.OUTPUT: p.signature.outputs}.get(t.place)
        wanted = of[t.index].type.dtype if of else self.weights[t.index].dtype if t.place is Place.WEIGHT else t.dtype
        if t.dtype is not wanted:
            self.refuse(f"tensor register {number} reads {t.place.name} {t.index} as another dtype")
        if len(t.dims) > MAX_RANK:
            self.refuse(f"tensor register {number} has {len(t.dims)} dims; {MAX_RANK} is the most")

    def row(self, number: int, t: TensorRegister) -> None:
        """A row is one of a tensor register before it, plain and no row itself, of sizes known before the code runs."""
        whole = self.program.tensors[t.index] if t.index < number else None
        self.early(f"tensor register {number}", (*t.dims, *(whole.dims if whole else ())))
        if whole is None or whole.place is Place.ROW or whole.dtype is not t.dtype or self.is_packed(whole):
            self.refuse(f"tensor register {number} is a row of what has no such rows")

    def instruction(self, number: int, i: Instruction) -> None:
        """The operands exist and fit, what is read has been written, and unused fields are 0."""
        who = f"instruction {number} ({i.opcode.name})"
        for t in i.tensors:
            if t >= len(self.program.tensors):
                self.refuse(f"{who} has the tensor register {t}, which does not exist")
        if i.source >= max(len(self.program.sources), 1):
            self.refuse(f"{who} has a source that does not exist")
        self.leave_regions(number)
        self.known(who, (*i.ints, i.extent, i.grain or 0))
        if i.opcode is Opcode.BUILTIN:
            self.sets(who, i)
        self.known(who, [d for t in i.tensors for d in self.program.tensors[t].dims])
        end = self.regions[-1].end if self.regions else len(self.program.code)
        if i.opcode in ENDS and (number != end - 1 or (i.opcode is Opcode.RETURN and self.regions)):
            self.refuse(f"{who}: return is the last instruction, and raise the last of a block")
        if i.opcode not in ENDS and number == len(self.program.code) - 1:
            self.refuse(f"{who}: return or raise is the last instruction")
        if i.target and i.opcode not in JUMPS:
            self.refuse(f"{who} has a target, which only a jump has")
        if i.opcode not in VARIADIC and len(i.tensors) != OPERANDS[i.opcode]:
            self.refuse(f"{who} has the wrong number of operands")
        if i.opcode not in CALLS and (i.ints or i.kernel or (i.extent and i.opcode is not Opcode.LOOP)):
            self.refuse(f"{who} has the wrong number of operands")
        if i.expected > (i.opcode in (Opcode.GUARD, Opcode.LOOP)):
            self.refuse(f"{who} expects something, which only a guard and a loop do")
        if i.opcode in (Opcode.GUARD, Opcode.RAISE):
            self.message(who, i.message)
        elif i.message:
            self.refuse(f"{who} has a message, which only a guard and a raise have")
        RULES[i.opcode](self, who, i)

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
            if tensor.place is Place.WEIGHT and self.is_packed(tensor) != (buffer.panels is not None):
                self.refuse(f"{who} gives the buffer {buffer.name} of {kernel.name} another layout")
            if buffer.role == "in":
                self.reads(who, t)
            else:
                self.writes(who, t)
        self.written |= {self.memory(t) for t, b in zip(i.tensors, kernel.buffers, strict=True) if b.role == "out"}

    def sets(self, who: str, i: Instruction) -> None:
        """The int registers that a builtin's numbers set: the next ones, each of what is known by then."""
        if i.first != (self.next if i.count else 0):
            self.refuse(f"{who} sets the int registers from {i.first} on, which are not the next ones")
        gives = len(BUILTINS[i.builtin].gives)
        if bool(gives) != bool(i.count):
            self.refuse(f"{who} sets {i.count} int registers by the {gives} numbers that it finds")
        for r in range(i.first, i.first + i.count):
            f = self.program.formulas[r]
            if f.op is FormulaOp.GIVEN and f.a >= gives:
                self.refuse(f"{who}: the int register {r} is a number that {i.builtin} does not give")
            if f.op not in (FormulaOp.CONST, FormulaOp.DIM, FormulaOp.GIVEN, FormulaOp.CONTIGUOUS):
                self.known(f"the int register {r}", (f.a, f.b))
            self.written.add((None, r))
        self.next += i.count
        if i.count and any(r.loop is not None for r in self.regions):
            self.refuse(f"{who} finds sizes in a loop, where they would change from turn to turn")

    def builtin(self, who: str, i: Instruction) -> None:
        builtin = BUILTINS[i.builtin]
        if len(i.tensors) != len(builtin.buffers) or len(i.ints) != len(builtin.ints):
            self.refuse(f"{who} gives {i.builtin} the wrong number of operands")
        tensors = [self.program.tensors[t] for t in i.tensors]
        if builtin.of and tensors[0].dtype not in builtin.of:
            self.refuse(f"{who} gives {i.builtin} {tensors[0].dtype}, which it does not take")
        for t, tensor, buffer in zip(i.tensors, tensors, builtin.buffers, strict=True):
            if tensor.dtype is not (buffer.dtype or tensors[0].dtype) or self.is_packed(tensor):
                self.refuse(f"{who} gives the buffer {buffer.name} of {i.builtin} another dtype or layout")
            if buffer.role == "in":
                self.reads(who, t)
            else:
                self.writes(who, t)
        self.written |= {self.memory(t) for t, b in zip(i.tensors, builtin.buffers, strict=True) if b.role == "out"}

    def copy(self, who: str, i: Instruction) -> None:
        target, source = i.tensors
        self.reads(who, source)
        self.writes(who, target)
        if self.program.tensors[target].dtype is not self.program.tensors[source].dtype:
            self.refuse(f"{who} copies between dtypes")
        if self.is_packed(self.program.tensors[source]):
            self.refuse(f"{who} copies a packed weight")
        self.written.add(self.memory(target))

    def guard(self, who: str, i: Instruction) -> None:
        self.reads(who, i.tensors[0])
        tested = self.program.tensors[i.tensors[0]]
        if tested.dtype is not bool_ or tested.dims or self.is_packed(tested):
            self.refuse(f"{who} does not test a 0-dim bool")

    def speaking_guard(self, who: str, i: Instruction) -> None:
        if not i.tensors:
            self.refuse(f"{who} has the wrong number of operands")
        self.guard(who, i)
        self.tells(who, i.tensors[1:])

    def raises(self, who: str, i: Instruction) -> None:
        self.tells(who, i.tensors)

    def tells(self, who: str, registers: Sequence[int]) -> None:
        """The number that a message is about, if there is one."""
        if len(registers) > 1:
            self.refuse(f"{who} has the wrong number of operands")
        for register in registers:
            self.reads(who, register)
            told = self.program.tensors[register]
            if told.dtype not in TOLD or told.dims or self.is_packed(told):
                self.refuse(f"{who} does not tell a 0-dim bool, i64 or f64")

    # -- branches -----------------------------------------------------------------------------
    def jump_unless(self, who: str, i: Instruction) -> None:
        self.guard(who, i)
        number = self.number
        if not number < i.target <= (self.regions[-1].end if self.regions else len(self.program.code) - 1):
            self.refuse(f"{who} goes to {i.target}, which is no later instruction of its block")
        self.regions.append(Region(i.target, set(self.written)))

    def jump(self, who: str, i: Instruction) -> None:
        """The end of a first block: what follows, up to the target, is the second."""
        outer = self.regions[-2].end if len(self.regions) > 1 else len(self.program.code) - 1
        region = self.regions[-1] if self.regions else None
        if region is None or region.loop is not None or region.first is not None or self.number + 1 != region.end:
            self.refuse(f"{who} is not at the end of a first block")
        elif not region.end <= i.target <= outer:
            self.refuse(f"{who} goes to {i.target}, which is no later instruction of the block around it")
        else:
            region.jump = i.target

    def leave_regions(self, number: int) -> None:
        """Ends the blocks that end before an instruction: what all paths to it have written is written."""
        self.number = number
        while self.regions and self.regions[-1].end == number and self.regions[-1].loop is None:
            region = self.regions.pop()
            if region.jump is not None:
                self.regions.append(Region(region.jump, region.before, self.written))
                self.written = set(region.before)
            elif region.first is None:
                self.written = region.before
            elif self.program.code[number - 1].opcode is Opcode.RAISE:
                self.written = region.first
            else:
                self.written &= region.first

    # -- loops --------------------------------------------------------------------------------
    def loop(self, who: str, i: Instruction) -> None:
        """A loop of counted turns: from here on its rows may be named."""
        self.early(who, (i.extent,))
        for t in i.tensors:
            if self.program.tensors[t].place is not Place.ROW or t in self.moved:
                self.refuse(f"{who} moves the tensor register {t}, which is no row, or one that was moved before")
            self.moved.add(t)
            self.moving.add(t)
        self.begin(who, i)

    def while_(self, who: str, i: Instruction) -> None:
        self.guard(who, i)
        self.begin(who, i)

    def begin(self, who: str, i: Instruction) -> None:
        """The block of a loop, with its NEXT just before the target."""
        end, code = i.target - 1, self.program.code
        limit = self.regions[-1].end if self.regions else len(code) - 1
        if not self.number < end < limit or code[end].opcode is not Opcode.NEXT or code[end].target != self.number:
            self.refuse(f"{who} goes to {i.target}, which is not behind its next")
        self.regions.append(Region(end, set(self.written), loop=self.number))

    def end_turn(self, who: str, i: Instruction) -> None:
        """The end of a turn. After the loop a tensor is written whose rows all turns have written."""
        region = self.regions.pop() if self.regions else None
        if region is None or region.end != self.number or region.loop != i.target:
            self.refuse(f"{who} ends no loop")
            return
        began = self.program.code[i.target]
        if len(i.tensors) != (began.opcode is Opcode.WHILE):
            self.refuse(f"{who} has the wrong number of operands")
        if i.tensors:
            self.guard(who, i)
        turn, self.written = self.written, region.before
        for t in began.tensors if began.opcode is Opcode.LOOP else ():
            if self.memory(t) in turn:
                self.written.add(self.memory(self.program.tensors[t].index))
            self.moving.discard(t)

    def ends(self, who: str, i: Instruction) -> None:
        if i.opcode is Opcode.RETURN:
            for number in range(len(self.program.signature.outputs)):
                if (Place.OUTPUT, number) not in self.written:
                    self.refuse(f"{who}: nothing has written output {number}")
                self.known(who, self.program.tensors[len(self.program.signature.inputs) + number].dims)

    # -- memory -------------------------------------------------------------------------------
    def memory(self, register: int) -> Written:
        """What a register names: an output is one memory for all its registers; in the arena each has its own, and
        so has each row."""
        tensor = self.program.tensors[register]
        return (tensor.place, register if tensor.place in (Place.ARENA, Place.ROW) else tensor.index)

    def reads(self, who: str, register: int) -> None:
        tensor = self.program.tensors[register]
        if tensor.place is Place.ROW:
            self.moves(who, register)
            if self.memory(register) not in self.written:
                self.reads(who, tensor.index)
        elif tensor.place in (Place.OUTPUT, Place.ARENA) and self.memory(register) not in self.written:
            self.refuse(f"{who} reads the tensor register {register} before it is written")

    def moves(self, who: str, register: int) -> None:
        if register not in self.moving:
            self.refuse(f"{who} names the row {register} outside of a loop that moves it")

    def writes(self, who: str, register: int) -> None:
        tensor = self.program.tensors[register]
        if tensor.place is Place.ROW:
            self.moves(who, register)
            tensor = self.program.tensors[tensor.index]
        if tensor.place in (Place.INPUT, Place.WEIGHT):
            self.refuse(f"{who} writes into an input or a weight")

    def is_packed(self, tensor: TensorRegister) -> bool:
        return tensor.place is Place.WEIGHT and self.weights[tensor.index].panels is not None


RULES = {
    Opcode.CALL: _Checker.call,
    Opcode.COPY: _Checker.copy,
    Opcode.GUARD: _Checker.speaking_guard,
    Opcode.RAISE: _Checker.raises,
    Opcode.RETURN: _Checker.ends,
    Opcode.JUMP: _Checker.jump,
    Opcode.JUMP_UNLESS: _Checker.jump_unless,
    Opcode.BUILTIN: _Checker.builtin,
    Opcode.LOOP: _Checker.loop,
    Opcode.WHILE: _Checker.while_,
    Opcode.NEXT: _Checker.end_turn,
}
