"""Files with loops: what they do, and that both readers refuse the same ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.archive_images import LOOPING, copies, finding, looping
from tests.format.spoilt import changed_at_random, fields_at
from tests.format.test_hostile import refused_or_sound
from tests.format.test_readers_agree import agree

from unmoor import archive, runtime
from unmoor.archive import layout
from unmoor.errors import ArchiveError, UnmoorError
from unmoor.ir.parser import parse_program
from unmoor.ir.printer import print_program
from unmoor.ir.program import Instruction, Opcode, Place, Program, TensorRegister
from unmoor.reference import run_program

DATA = archive.write(copies(looping()))
X = np.arange(10, dtype=np.float32).reshape(5, 2)
FIRST = np.array([-1, -2], np.float32)


def given(rows: int, go: bool = False, flags: tuple[int, ...] = (0, 1)) -> tuple[np.ndarray, ...]:
    return X[:rows], FIRST, np.array(go), np.array(flags, np.bool_)


def change(old: str, new: str) -> Program:
    assert LOOPING.count(old) == 1
    return parse_program(LOOPING.replace(old, new), looping().signature, ())


def change_code(number: int, **fields: object) -> Program:
    code = list(looping().code)
    code[number] = replace(code[number], **fields)
    return replace(looping(), code=tuple(code))


def both(program: Program, inputs: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, ...]]:
    return [runtime.open(archive.write(copies(program)))(*inputs), run_program(program, (), (), inputs)]


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_what_they_do(rows: int) -> None:
    for go in (False, True):
        for moved, last in both(looping(), given(rows, go)):
            np.testing.assert_array_equal(moved, np.concatenate([FIRST[None], X])[:rows])
            np.testing.assert_array_equal(last, X[rows - 1] if rows else FIRST)


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_backward(rows: int) -> None:
    program = change("loop r0 [t7, t8] @5", "loop r0 [t7, t8] backward @5")
    for moved, last in both(program, given(rows)):
        np.testing.assert_array_equal(moved, np.concatenate([X[:rows], FIRST[None]])[1:])
        np.testing.assert_array_equal(last, X[0] if rows else FIRST)


def test_the_session_goes_from_sizes_to_sizes() -> None:
    model = runtime.open(DATA)
    for rows in (3, 1, 5, 5, 0, 2):
        np.testing.assert_array_equal(model(*given(rows))[0], np.concatenate([FIRST[None], X])[:rows])


def test_its_text_is_read_back() -> None:
    assert print_program(looping(), ()) == LOOPING


def test_it_is_read_as_it_was_written() -> None:
    assert archive.read(DATA).methods[0].programs[0] == looping()
    assert DATA[8] == layout.VERSION_OF_LOOPS


SECTIONS = ("instructions", "formulas", "tensors", "registers", "programs")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_field_at_its_extremes(name: str) -> None:
    for data in fields_at(DATA, name, (*range(13), 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)):
        agree(data)
        refused_or_sound(data)
        run_if_taken(data)


def test_random_changes() -> None:
    for data in changed_at_random(DATA, 11, 2000, "weight_data", (*range(13), 127, 255)):
        agree(data)
        run_if_taken(data)


def test_every_truncation_and_flipped_byte() -> None:
    for at in range(0, len(DATA), 3):
        data = bytearray(DATA)
        data[at] ^= 1 << at % 8
        agree(bytes(data))
        agree(DATA[:at])


def run_if_taken(data: bytes) -> None:
    """A file that is taken runs, or refuses the call: it never crashes. (No condition holds: none for ever.)"""
    with contextlib.suppress(UnmoorError, TypeError, MemoryError):
        runtime.open(data)(*given(3, flags=(0, 0)))


BROKEN: dict[str, Callable[[], Program]] = {
    "a loop that ends nowhere": lambda: change("[t7, t8] @5", "[t7, t8] @4"),
    "a loop that goes to another's end": lambda: change("[t7, t8] @5", "[t7, t8] @10"),
    "a loop whose end is another's": lambda: change("next @1\n", "next @6\n"),
    "a loop that ends itself": lambda: change_code(1, target=2),
    "a loop without an end": lambda: change_code(4, opcode=Opcode.RETURN, target=0),
    "an end without a loop": lambda: change_code(0, opcode=Opcode.NEXT, tensors=(), target=1),
    "an end inside another loop": lambda: change("next @7\n", "next t6 @6\n"),
    "a row that no loop moves": lambda: change("loop r0 [t7, t8] @5", "loop r0 [t7] @5"),
    "a row behind its loop": lambda: change("copy t6, t2\n", "copy t5, t8\n"),
    "a row that two loops move": lambda: change("loop r1 [t9]", "loop r1 [t9, t7]"),
    "a row moved twice": lambda: change("loop r0 [t7, t8] @5", "loop r0 [t7, t8, t7] @5"),
    "a loop that moves what is no row": lambda: change("loop r1 [t9]", "loop r1 [t5]"),
    "a row of a row": lambda: change("t8 = row 4", "t8 = row 7"),
    "a row of a later tensor": lambda: change("t8 = row 4", "t8 = row 9"),
    "a row of another dtype": lambda: change("t9 = row 3 : bool", "t9 = row 3 : i64"),
    "an input whose rows are written": lambda: change("copy t8, t5", "copy t7, t5"),
    "an output of whose rows none is written": lambda: change("copy t8, t5", "copy t5, t5"),
    "a row that is read before it is written": lambda: change("copy t8, t5", "copy t5, t8"),
    "what only a turn has written": lambda: change("copy t6, t2\n", "copy t5, t1\n"),
    "a while without a condition": lambda: change_code(6, tensors=()),
    "a while on floats": lambda: change_code(6, tensors=(5,)),
    "a turn without a condition": lambda: change("next t6 @6", "next @6"),
    "a counted turn with a condition": lambda: change("next @7\n", "next t6 @7\n"),
    "turns that do not exist": lambda: change_code(1, extent=8),
    "an order that does not exist": lambda: change_code(1, expected=2),
    "a while with turns": lambda: change_code(6, extent=1),
    "an end with turns": lambda: change_code(4, extent=1),
    "a loop with ints": lambda: change_code(1, ints=(0,)),
    "a loop with a message": lambda: change_code(1, message=1),
    "a size that is found in a loop": lambda: found_in_a_loop(),
    "turns that a call finds": lambda: found_turns(),
    "rows whose size a call finds": lambda: found_rows(),
}


def found_in_a_loop() -> Program:
    program = finding()
    first, *rest = program.code
    code = (Instruction(Opcode.LOOP, extent=12, target=3), first, Instruction(Opcode.NEXT), *rest)
    return replace(program, code=code)


def found_turns() -> Program:
    program = finding()
    loop = Instruction(Opcode.LOOP, extent=13, target=4), Instruction(Opcode.COPY, tensors=(3, 2))
    code = (*program.code[:1], *loop, Instruction(Opcode.NEXT, target=1), *program.code[1:])
    return replace(program, code=code)


def found_rows() -> Program:
    program = finding()
    row = TensorRegister(Place.ROW, 2, program.tensors[2].dtype, (), 2)
    return replace(program, tensors=(*program.tensors, row))


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_refused_when_a_file_is_opened(what: str) -> None:
    data = archive.write(copies(BROKEN[what]()))
    with pytest.raises(ArchiveError):
        archive.read(data)
    with pytest.raises(ArchiveError):
        runtime.open(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loop r0 [t7, t8] @5", "loop r1 [t7, t8] @5"),  # more or fewer rows than turns
        ("t8 = row 4 : f32[r2] bytes r4", "t8 = row 4 : f32[r3] bytes r4"),
        ("t8 = row 4 : f32[r2] bytes r4", "t8 = row 4 : f32[r2] bytes r5"),
        ("r2 = 2\n", "r2 = -1\n"),
    ],
)
def test_what_refuses_a_call(old: str, new: str) -> None:
    with pytest.raises(UnmoorError):
        runtime.open(archive.write(copies(change(old, new))))(*given(3, flags=(0, 1)))


def test_turns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmoor.reference.program.MAX_TURNS", 3)
    with pytest.raises(UnmoorError, match="turns together"):
        run_program(looping(), (), (), given(1, True, (1, 1)))
