"""The text of programs: formulas, tensor registers, checks and instructions, one a line."""

from __future__ import annotations

import json
from collections.abc import Sequence

from unmoor.ir.graph import Source
from unmoor.ir.kernel import Kernel
from unmoor.ir.printer.graph import print_source
from unmoor.ir.program import JUMPS, CheckOp, Formula, FormulaOp, Instruction, Opcode, Program

INFIX = {
    FormulaOp.ADD: "+",
    FormulaOp.SUB: "-",
    FormulaOp.MUL: "*",
    FormulaOp.FLOORDIV: "//",
    FormulaOp.MOD: "%",
}
SIGNS = {CheckOp.EQ: "==", CheckOp.NE: "!=", CheckOp.LE: "<=", CheckOp.LT: "<"}


def print_program(program: Program, kernels: Sequence[Kernel]) -> str:
    """The program as text; `kernels` are those that its instructions index."""
    lines = [f"program {program.signature} {{"]
    lines += [f"  r{k} = {_formula(f)}" for k, f in enumerate(program.formulas)]
    for k, t in enumerate(program.tensors):
        dims = ", ".join(f"r{d}" for d in t.dims)
        lines.append(f"  t{k} = {t.place.name.lower()} {t.index} : {t.dtype}[{dims}] bytes r{t.bytes}")
    for c in program.checks:
        message = program.messages[c.message]
        comment = f"  # {print_source(message.source)}" if message.source != Source() else ""
        lines.append(f"  check r{c.left} {SIGNS[c.op]} r{c.right} else {json.dumps(message.text)}{comment}")
    targets = {i.target for i in program.code if i.opcode in JUMPS}
    for k, i in enumerate(program.code):
        lines += [f"  @{k}:"] if k in targets else []
        lines.append(f"  {_instruction(i, program, kernels)}")
    lines += [f"  arena r{program.arena} flops r{program.flops} traffic r{program.traffic}", "}"]
    return "\n".join(lines) + "\n"


def _formula(f: Formula) -> str:
    if f.op is FormulaOp.CONST:
        return str(f.a)
    if f.op is FormulaOp.DIM:
        return f"dim {f.a} {f.b}"
    if f.op in (FormulaOp.GIVEN, FormulaOp.CONTIGUOUS):
        return f"{f.op.name.lower()} {f.a}"
    if f.op in INFIX:
        return f"r{f.a} {INFIX[f.op]} r{f.b}"
    return f"{f.op.name.lower()}(r{f.a}, r{f.b})"


def _instruction(i: Instruction, program: Program, kernels: Sequence[Kernel]) -> str:
    tensors = ", ".join(f"t{t}" for t in i.tensors)
    source = program.sources[i.source] if program.sources else Source()
    comment = f"  # {print_source(source)}" if source != Source() else ""
    if i.opcode is Opcode.CALL:
        ints = ", ".join(f"r{r}" for r in i.ints)
        cut = f" by r{i.grain}" if i.grain is not None else ""
        return f"call {kernels[i.kernel].name} [{tensors}] [{ints}] over r{i.extent}{cut}{comment}"
    if i.opcode is Opcode.BUILTIN:
        ints = ", ".join(f"r{r}" for r in i.ints)
        sets = f" sets r{i.first} to r{i.first + i.count - 1}" if i.count else ""
        return f"builtin {i.builtin} [{tensors}] [{ints}]{sets}{comment}"
    if i.opcode is Opcode.COPY:
        return f"copy {tensors}"
    if i.opcode is Opcode.GUARD:
        text = json.dumps(program.messages[i.message].text)
        return f"guard t{i.tensors[0]} is {i.expected} else {text}{_told(i.tensors[1:])}{comment}"
    if i.opcode is Opcode.JUMP:
        return f"jump @{i.target}"
    if i.opcode is Opcode.JUMP_UNLESS:
        return f"jump_unless {tensors} @{i.target}{comment}"
    if i.opcode is Opcode.LOOP:
        order = " backward" if i.expected else ""
        return f"loop r{i.extent} [{tensors}]{order} @{i.target}{comment}"
    if i.opcode is Opcode.WHILE:
        return f"while {tensors} @{i.target}{comment}"
    if i.opcode is Opcode.NEXT:
        return f"next{' ' if tensors else ''}{tensors} @{i.target}"
    if i.opcode is Opcode.RAISE:
        return f"raise {json.dumps(program.messages[i.message].text)}{_told(i.tensors)}{comment}"
    return "return"


def _told(tensors: Sequence[int]) -> str:
    return "".join(f" of t{t}" for t in tensors)
