"""Guards and paths that tell the number that they are about: in the same words on every host, and checked in files."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from tests.archive_images import TELLING, copies, telling
from tests.format.spoilt import changed_at_random, fields_at
from tests.format.test_hostile import refused_or_sound
from tests.format.test_readers_agree import agree

from unmoor import archive, runtime
from unmoor.archive import layout
from unmoor.errors import ArchiveError, NotTraced, UnmoorError
from unmoor.ir.printer import print_program
from unmoor.ir.program import Program
from unmoor.reference import run_program

DATA = archive.write(copies(telling()))
REALS = [
    0.0, -0.0, 2.0, -1.5, 0.1, 1 / 3, 3.0999999046325684, 100.0, 123456789.0, 2.0**53, 9007199254740993e0, 1e15, 9.5e15,
    1e16, 1e17, 1.7976931348623157e308, 5e-324, 1e-4, 1.5e-5, 1e-5, 1e22, 1e23, float("nan"), float("inf"),
    -float("inf"),
]  # fmt: skip


def told(program: Program, held: bool = False, real: float = 0.0, whole: int = 0) -> set[str]:
    """What the native runtime and the reference say to a call."""
    inputs = np.array(held), np.array(real), np.array(whole)
    said = set()
    for call in (runtime.open(archive.write(copies(program))), lambda *i: run_program(program, (), (), i)):
        with pytest.raises(NotTraced) as raised:
            call(*inputs)
        said.add(str(raised.value))
    return said


@pytest.mark.parametrize("real", REALS)
def test_a_real_number_is_written_as_python_writes_it(real: float) -> None:
    assert told(telling(), real=real) == {f"model.py:3 froze 2.0; here it is {real!r}"}


def test_random_real_numbers_are_written_as_python_writes_them() -> None:
    model = runtime.open(DATA)
    for bits in np.random.default_rng(5).integers(-(2**63), 2**63, 2000, np.int64):
        real = np.array(bits).view(np.float64)
        with pytest.raises(NotTraced) as raised:
            model(np.array(False), real, np.array(0))
        assert str(raised.value) == f"model.py:3 froze 2.0; here it is {real.item()!r}"


@pytest.mark.parametrize("whole", [0, -7, 2**63 - 1, -(2**63)])
def test_a_whole_number_and_a_truth(whole: int) -> None:
    path = telling(TELLING.replace("guard t0 is 1", "guard t0 is 0", 1))
    assert told(path, whole=whole) == {f"model.py:4 looped 3 times; here it is {whole}"}
    between = TELLING[TELLING.index("  guard t0") : TELLING.index("  guard t0 is 1", TELLING.index("@6:"))]
    truth = telling(TELLING.replace(between, ""))
    assert told(truth) == {"model.py:5 froze True; here it is False"}


def test_without_a_number_the_message_is_what_it_is() -> None:
    assert told(telling(TELLING.replace(" of t1", ""))) == {"model.py:3 froze 2.0; here it is another"}


def test_its_text_is_read_back_and_its_file_as_it_was_written() -> None:
    assert print_program(telling(), ()) == TELLING
    assert archive.read(DATA).methods[0].programs[0] == telling()


def test_only_files_that_tell_a_number_need_a_reader_that_knows_of_it() -> None:
    assert DATA[12] == layout.VERSION_OF_TOLD
    silent = telling(TELLING.replace(" of t1", "").replace(" of t3", "").replace(" of t4", ""))
    assert archive.write(copies(silent))[12] == layout.VERSION


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" of t1", " of t9"),  # does not exist
        ("t4 = arena 2 : i64[]", "t4 = arena 2 : i64[r0]"),  # no single number
        ("copy t4, t2", "copy t3, t0"),  # not written
    ],
)
def test_what_is_refused_when_a_file_is_opened(old: str, new: str) -> None:
    _refused(telling(TELLING.replace(old, new)))


def test_a_guard_tells_one_number_of_a_dtype_that_has_words() -> None:
    program = telling()
    guard = program.code[2]
    for tensors in ((), (0, 1, 2), (0, 1, 1), (1, 0)):
        _refused(replace(program, code=(*program.code[:2], replace(guard, tensors=tensors), *program.code[3:])))
    raised = program.code[5]
    _refused(replace(program, code=(*program.code[:5], replace(raised, tensors=(4, 4)), *program.code[6:])))


def _refused(program: Program) -> None:
    data = archive.write(copies(program))
    with pytest.raises(ArchiveError):
        archive.read(data)
    with pytest.raises(ArchiveError):
        runtime.open(data)


@pytest.mark.parametrize("name", ["instructions", "tensors", "registers"])
def test_every_field_at_its_extremes(name: str) -> None:
    for data in fields_at(DATA, name, (*range(10), 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)):
        agree(data)
        refused_or_sound(data)
        _run_if_taken(data)


def test_random_changes() -> None:
    for data in changed_at_random(DATA, 13, 1000, "weight_data", (*range(13), 127, 255)):
        agree(data)
        _run_if_taken(data)


def _run_if_taken(data: bytes) -> None:
    for held in (False, True):
        with contextlib.suppress(UnmoorError, TypeError, MemoryError):
            runtime.open(data)(np.array(held), np.array(1.5), np.array(7))
