"""Files with builtins: what they do, and that both readers refuse the same ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.archive_images import copies, finding
from tests.format.spoilt import changed_at_random, fields_at
from tests.format.test_hostile import refused_or_sound
from tests.format.test_readers_agree import agree

from unmoor import archive, runtime
from unmoor.archive import layout
from unmoor.errors import ArchiveError, UnmoorError
from unmoor.ir.parser import parse_program
from unmoor.ir.printer import print_program
from unmoor.ir.program import Formula, FormulaOp, Instruction, Opcode, Place, Program, TensorRegister
from unmoor.reference import run_program

DATA = archive.write(copies(finding()))
MASKS = ([], [0], [1], [0, 1, 0, 0, 1, 1], [1] * 40, [0] * 40)


def change_code(number: int, **fields: object) -> Program:
    code = list(finding().code)
    code[number] = replace(code[number], **fields)
    return replace(finding(), code=tuple(code))


def change_formula(number: int, *formula: int) -> Program:
    formulas = list(finding().formulas)
    formulas[number] = Formula(FormulaOp(formula[0]), *formula[1:])
    return replace(finding(), formulas=tuple(formulas))


def change_tensor(number: int, **fields: object) -> Program:
    tensors = list(finding().tensors)
    tensors[number] = replace(tensors[number], **fields)
    return replace(finding(), tensors=tuple(tensors))


@pytest.mark.parametrize("mask", MASKS, ids=len)
def test_what_they_do(mask: list[int]) -> None:
    given = np.array(mask, np.bool_), np.array([3, np.nan, -0.0, 0, 5], np.float32)
    for got in (runtime.open(DATA)(*given), run_program(finding(), (), (), given)):
        np.testing.assert_array_equal(got[0], np.flatnonzero(mask))
        np.testing.assert_array_equal(got[1], np.flatnonzero(mask))
        np.testing.assert_array_equal(got[2], np.array([np.nan, 5, 3, -0.0, 0], np.float32))


def test_its_text_is_read_back() -> None:
    program = finding()
    text = print_program(program, ())
    assert "builtin nonzero [t0, t2] [r0] sets r13 to r14" in text
    assert "r13 = given 0" in text
    assert print_program(parse_program(text, program.signature, ()), ()) == text


def test_it_is_read_as_it_was_written() -> None:
    assert archive.read(DATA).methods[0].programs[0] == finding()
    assert DATA[8] == layout.VERSION_OF_BUILTINS


SECTIONS = ("instructions", "formulas", "tensors", "builtins", "registers", "programs")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_field_at_its_extremes(name: str) -> None:
    for data in fields_at(DATA, name, (0, 1, 2, 3, 9, 13, 14, 15, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)):
        agree(data)
        refused_or_sound(data)
        run_if_taken(data)


def test_random_changes() -> None:
    for data in changed_at_random(DATA, 7, 2000, "weight_data", (0, 1, 2, 3, 7, 9, 12, 13, 14, 127, 255)):
        agree(data)
        run_if_taken(data)


def run_if_taken(data: bytes) -> None:
    """A file that is taken runs, or refuses the call: it never crashes."""
    with contextlib.suppress(UnmoorError, TypeError, MemoryError):
        runtime.open(data)(np.array([1, 0, 1], np.bool_), np.arange(4, dtype=np.float32))


BROKEN: dict[str, Callable[[], Program]] = {
    "an int register before it is known": lambda: change_order(),
    "a number that it does not give": lambda: change_formula(13, FormulaOp.GIVEN, 1),
    "a number outside its run": lambda: change_formula(12, FormulaOp.GIVEN, 0),
    "a run that is not the next": lambda: change_code(0, first=12),
    "a run that is too long": lambda: change_code(0, count=3),
    "a run of a builtin that gives nothing": lambda: change_code(2, first=15, count=1),
    "bytes that the call finds": lambda: change_tensor(2, bytes=13),
    "an offset that the call finds": lambda: change_tensor(5, index=13),
    "an arena that the call finds": lambda: replace(finding(), arena=13),
    "an input's dims that the call finds": lambda: change_tensor(0, dims=(13,)),
    "another dtype": lambda: change_code(0, tensors=(1, 2)),
    "too few buffers": lambda: change_code(0, tensors=(0,)),
    "too few ints": lambda: change_code(2, ints=(12, 1)),
    "a buffer that is read before it is written": lambda: change_code(2, tensors=(6, 4, 5, 6, 7)),
    "an input that is written": lambda: change_code(2, tensors=(1, 1, 5, 6, 7)),
}


def change_order() -> Program:
    """The copy stands before the instruction that finds its size."""
    program = finding()
    first, second, *rest = program.code
    tensors = (*program.tensors, TensorRegister(Place.INPUT, 0, program.tensors[0].dtype, (0,), 0))
    return replace(program, code=(second, first, *rest), tensors=tensors)


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_refused_when_a_file_is_opened(what: str) -> None:
    data = archive.write(copies(BROKEN[what]()))
    with pytest.raises(ArchiveError):
        archive.read(data)
    with pytest.raises(ArchiveError):
        runtime.open(data)


@pytest.mark.parametrize(
    "program",
    [
        lambda: change_tensor(6, index=7),  # scratch that overlaps
        lambda: change_code(2, tensors=(1, 4, 5, 6, 5)),
        lambda: change_code(2, ints=(2, 1, 12)),  # more rows than there are
        lambda: change_code(2, ints=(12, 2, 12)),  # longer ones
        lambda: change_code(2, ints=(12, 1, 2)),  # a flag of 8
        lambda: change_code(0, ints=(2,)),
        lambda: change_formula(13, FormulaOp.CONST, 1 << 40),
        lambda: change_formula(13, FormulaOp.CONST, -1),
    ],
)
def test_what_refuses_a_call(program: Callable[[], Program]) -> None:
    given = np.array([1, 0, 1], np.bool_), np.arange(4, dtype=np.float32)
    with pytest.raises(UnmoorError):
        runtime.open(archive.write(copies(program())))(*given)


def test_a_builtin_that_this_runtime_lacks_is_named() -> None:
    code = (Instruction(Opcode.BUILTIN, tensors=(0, 2), ints=(0,), builtin="fathom", first=13, count=2),)
    data = archive.write(copies(replace(finding(), code=(*code, *finding().code[1:]))))
    for read in (archive.read, runtime.open):
        with pytest.raises(ArchiveError, match=r"fathom.*lacks"):
            read(data)
