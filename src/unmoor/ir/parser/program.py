"""Reads the text of programs back: one pattern a kind of line.

The text shows the signature, but not the structures in it, so the signature is given. What refusals say is in the text
once for each that may say it; its line in the user's program is that of the instruction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from unmoor.dtypes import BY_NAME
from unmoor.errors import VerifyError
from unmoor.ir.graph import Source
from unmoor.ir.kernel import Kernel
from unmoor.ir.parser.graph import parse_source
from unmoor.ir.printer.program import INFIX, SIGNS
from unmoor.ir.program import (
    Check,
    Formula,
    FormulaOp,
    Instruction,
    Message,
    Opcode,
    Place,
    Program,
    TensorRegister,
)
from unmoor.ir.signature import Signature

_FORMULAS_OF = {sign: op for op, sign in INFIX.items()}
_CHECKS_OF = {sign: op for op, sign in SIGNS.items()}
_COMMENT = r"(?:  # (?P<comment>.*))?"
_TEXT = r'(?P<text>"(?:[^"\\]|\\.)*")'
_TOLD = r"(?: of (?P<told>t\d+))?"


def parse_program(text: str, signature: Signature, kernels: Sequence[Kernel]) -> Program:
    """The program of a text, whose calls name `kernels`. VerifyError, with the line, where it cannot be read."""
    reader = _Reader(signature, kernels)
    lines = text.rstrip("\n").split("\n")
    if len(lines) < 3 or lines[0] != f"program {signature} {{" or lines[-1] != "}":
        raise VerifyError("a program is `program SIGNATURE {`, its lines, and `}`, and the signature is the one given")
    for number, line in enumerate(lines[1:-1], 2):
        reader.line(number, line.removeprefix("  "))
    return reader.program()


class _Reader:
    def __init__(self, signature: Signature, kernels: Sequence[Kernel]) -> None:
        self.signature = signature
        self.kernels = {k.name: n for n, k in enumerate(kernels)}
        self.formulas: list[Formula] = []
        self.checks: list[Check] = []
        self.tensors: list[TensorRegister] = []
        self.code: list[Instruction] = []
        self.messages: dict[Message, int] = {}
        self.sources: dict[Source, int] = {}
        self.totals = (0, 0, 0)

    def line(self, number: int, line: str) -> None:
        for pattern, read in _LINES:
            match = re.fullmatch(pattern, line)
            if match is not None:
                try:
                    read(self, match)
                except (KeyError, ValueError) as error:
                    raise VerifyError(f"line {number}: {error} in: {line}") from error
                return
        raise VerifyError(f"line {number}: cannot read: {line}")

    def program(self) -> Program:
        arena, flops, traffic = self.totals
        return Program(
            self.signature,
            tuple(self.formulas),
            tuple(self.checks),
            tuple(self.tensors),
            tuple(self.code),
            tuple(self.messages),
            tuple(self.sources),
            arena,
            flops,
            traffic,
        )

    def message(self, text: str, source: Source) -> int:
        return self.messages.setdefault(Message(json.loads(text), source), len(self.messages))

    # -- kinds of line ------------------------------------------------------------------------
    def formula(self, m: re.Match[str]) -> None:
        if int(m["n"]) != len(self.formulas):
            raise ValueError(f"r{m['n']} is not the next int register")
        if m["const"] is not None:
            made = Formula(FormulaOp.CONST, int(m["const"]))
        elif m["input"] is not None:
            made = Formula(FormulaOp.DIM, int(m["input"]), int(m["axis"]))
        elif m["given"] is not None:
            made = Formula(FormulaOp.GIVEN, int(m["given"]))
        elif m["of"] is not None:
            made = Formula(FormulaOp.CONTIGUOUS, int(m["of"]))
        elif m["sign"] is not None:
            made = Formula(_FORMULAS_OF[m["sign"]], int(m["a"]), int(m["b"]))
        else:
            made = Formula(FormulaOp[m["fn"].upper()], int(m["c"]), int(m["d"]))
        self.formulas.append(made)

    def tensor(self, m: re.Match[str]) -> None:
        if int(m["n"]) != len(self.tensors):
            raise ValueError(f"t{m['n']} is not the next tensor register")
        place, dims = Place[m["place"].upper()], _registers(m["dims"])
        self.tensors.append(TensorRegister(place, int(m["index"]), BY_NAME[m["dtype"]], dims, int(m["bytes"])))

    def check(self, m: re.Match[str]) -> None:
        message = self.message(m["text"], parse_source(m["comment"] or ""))
        self.checks.append(Check(_CHECKS_OF[m["sign"]], int(m["a"]), int(m["b"]), message))

    def label(self, m: re.Match[str]) -> None:
        if int(m["n"]) != len(self.code):
            raise ValueError(f"@{m['n']} is not the next instruction")

    def end(self, m: re.Match[str]) -> None:
        self.totals = int(m["arena"]), int(m["flops"]), int(m["traffic"])

    def call(self, m: re.Match[str]) -> None:
        kernel, extent = self.kernels[m["kernel"]], int(m["extent"])
        grain = int(m["grain"]) if m["grain"] else None
        self._add(m, Opcode.CALL, kernel, extent, _registers(m["tensors"]), _registers(m["ints"]), grain=grain)

    def builtin(self, m: re.Match[str]) -> None:
        first, last = (int(m["first"]), int(m["last"])) if m["first"] else (0, -1)
        self._add(m, Opcode.BUILTIN, tensors=_registers(m["tensors"]), ints=_registers(m["ints"]))
        self.code[-1] = replace(self.code[-1], builtin=m["builtin"], first=first, count=last - first + 1)

    def copy(self, m: re.Match[str]) -> None:
        self._add(m, Opcode.COPY, tensors=_registers(m["tensors"]))

    def guard(self, m: re.Match[str]) -> None:
        message = self.message(m["text"], parse_source(m["comment"] or ""))
        tensors = (int(m["t"]), *_registers(m["told"] or ""))
        self._add(m, Opcode.GUARD, tensors=tensors, expected=int(m["expected"]), message=message)

    def raises(self, m: re.Match[str]) -> None:
        message = self.message(m["text"], parse_source(m["comment"] or ""))
        self._add(m, Opcode.RAISE, tensors=_registers(m["told"] or ""), message=message)

    def returns(self, m: re.Match[str]) -> None:
        self._add(m, Opcode.RETURN)

    def jump(self, m: re.Match[str]) -> None:
        self._add(m, Opcode.JUMP, target=int(m["target"]))

    def jump_unless(self, m: re.Match[str]) -> None:
        self._add(m, Opcode.JUMP_UNLESS, tensors=(int(m["t"]),), target=int(m["target"]))

    def loop(self, m: re.Match[str]) -> None:
        rows, backward = _registers(m["tensors"]), int(m["backward"] is not None)
        self._add(m, Opcode.LOOP, extent=int(m["turns"]), tensors=rows, expected=backward, target=int(m["target"]))

    def while_(self, m: re.Match[str]) -> None:
        self._add(m, Opcode.WHILE, tensors=(int(m["t"]),), target=int(m["target"]))

    def next(self, m: re.Match[str]) -> None:
        self._add(m, Opcode.NEXT, tensors=_registers(m["t"] or ""), target=int(m["target"]))

    def _add(
        self,
        m: re.Match[str],
        opcode: Opcode,
        kernel: int = 0,
        extent: int = 0,
        tensors: tuple[int, ...] = (),
        ints: tuple[int, ...] = (),
        expected: int = 0,
        message: int = 0,
        target: int = 0,
        grain: int | None = None,
    ) -> None:
        source = parse_source(m.groupdict().get("comment") or "")
        place = self.sources.setdefault(source, len(self.sources))
        self.code.append(
            Instruction(opcode, kernel, extent, tensors, ints, expected, message, place, target, grain=grain)
        )


def _registers(text: str) -> tuple[int, ...]:
    return tuple(int(part.strip()[1:]) for part in text.split(",")) if text else ()


_LINES: tuple[tuple[str, Callable[[_Reader, re.Match[str]], None]], ...] = (
    (
        r"r(?P<n>\d+) = (?:(?P<const>-?\d+)|dim (?P<input>\d+) (?P<axis>\d+)|given (?P<given>\d+)"
        r"|contiguous (?P<of>\d+)"
        r"|r(?P<a>\d+) (?P<sign>//|[-+*%]) r(?P<b>\d+)|(?P<fn>min|max)\(r(?P<c>\d+), r(?P<d>\d+)\))",
        _Reader.formula,
    ),
    (
        r"t(?P<n>\d+) = (?P<place>\w+) (?P<index>\d+) : (?P<dtype>\w+)\[(?P<dims>[r\d, ]*)\] bytes r(?P<bytes>\d+)",
        _Reader.tensor,
    ),
    (rf"check r(?P<a>\d+) (?P<sign>==|!=|<=|<) r(?P<b>\d+) else {_TEXT}{_COMMENT}", _Reader.check),
    (r"@(?P<n>\d+):", _Reader.label),
    (
        rf"call (?P<kernel>\S+) \[(?P<tensors>[t\d, ]*)\] \[(?P<ints>[r\d, ]*)\] over r(?P<extent>\d+)"
        rf"(?: by r(?P<grain>\d+))?{_COMMENT}",
        _Reader.call,
    ),
    (
        r"builtin (?P<builtin>\w+) \[(?P<tensors>[t\d, ]*)\] \[(?P<ints>[r\d, ]*)\]"
        rf"(?: sets r(?P<first>\d+) to r(?P<last>\d+))?{_COMMENT}",
        _Reader.builtin,
    ),
    (r"copy (?P<tensors>[t\d, ]+)", _Reader.copy),
    (rf"guard t(?P<t>\d+) is (?P<expected>[01]) else {_TEXT}{_TOLD}{_COMMENT}", _Reader.guard),
    (rf"raise {_TEXT}{_TOLD}{_COMMENT}", _Reader.raises),
    (r"return", _Reader.returns),
    (r"jump @(?P<target>\d+)", _Reader.jump),
    (rf"jump_unless t(?P<t>\d+) @(?P<target>\d+){_COMMENT}", _Reader.jump_unless),
    (
        rf"loop r(?P<turns>\d+) \[(?P<tensors>[t\d, ]*)\](?P<backward> backward)? @(?P<target>\d+){_COMMENT}",
        _Reader.loop,
    ),
    (rf"while t(?P<t>\d+) @(?P<target>\d+){_COMMENT}", _Reader.while_),
    (r"next(?: (?P<t>t\d+))? @(?P<target>\d+)", _Reader.next),
    (r"arena r(?P<arena>\d+) flops r(?P<flops>\d+) traffic r(?P<traffic>\d+)", _Reader.end),
)
