"""Files with Fourier transforms: hand-made programs, at honest and at hostile ints."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from tests.archive_images import copies
from tests.format.spoilt import fields_at
from tests.format.test_readers_agree import agree

from unmoor import archive, runtime
from unmoor.dtypes import f32, i32
from unmoor.errors import ArchiveError, UnmoorError
from unmoor.ir.dim import sym
from unmoor.ir.parser import parse_program
from unmoor.ir.program import Program
from unmoor.ir.signature import Leaf, Mapping, Sequence, Signature, TensorSpec
from unmoor.ir.types import TensorType
from unmoor.reference import run_program

TEXT = """program (re: f32[s0, s1], im: f32[s0, s1]) -> (f32[s0, s1], f32[s0, s1]) {
  r0 = dim 0 0
  r1 = dim 0 1
  r2 = 1
  r3 = 7
  r4 = 0
  r5 = 64
  r6 = r0 * r1
  r7 = 4
  r8 = r6 * r7
  r9 = r1 * r5
  r10 = r9 + r9
  r11 = r10 * r5
  r12 = r9 + r11
  r13 = r12 + r10
  t0 = input 0 : f32[r0, r1] bytes r8
  t1 = input 1 : f32[r0, r1] bytes r8
  t2 = output 0 : f32[r0, r1] bytes r8
  t3 = output 1 : f32[r0, r1] bytes r8
  t4 = arena r4 : f32[r1] bytes r9
  t5 = arena r9 : f32[r1] bytes r11
  builtin fft_plan [t4, t5] [r2, r1, r3]
  builtin fft [t0, t1, t4, t2, t3, t5] [r2, r0, r1, r2, r3]
  return
  arena r13 flops r4 traffic r4
}
""".replace("arena r4 :", "arena 4 :").replace("arena r9 :", "arena 9 :")


def program(dtype: object = f32, text: str = TEXT) -> Program:
    type_ = TensorType(f32, (sym("s0"), sym("s1")))
    specs = tuple(TensorSpec(n, type_) for n in ("re", "im")), tuple(TensorSpec(n, type_) for n in ("a", "b"))
    arguments = Sequence("tuple", (Sequence("tuple", (Leaf(0), Leaf(1))), Mapping((), ())))
    signature = Signature(*specs, arguments, Sequence("tuple", (Leaf(0), Leaf(1))))
    return parse_program(text, signature, ())


@pytest.mark.parametrize("shape", [(3, 8), (1, 37), (4, 1), (2, 53), (5, 60)])
def test_what_it_does(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    given = tuple(rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    want = np.fft.fft(given[0] + 1j * given[1])
    model = runtime.open(archive.write(copies(program())))
    for got in (model(*given), run_program(program(), (), (), given)):
        np.testing.assert_allclose(got[0], want.real, atol=2e-5)
        np.testing.assert_allclose(got[1], want.imag, atol=2e-5)


EXTREMES = (0, 1, 2, 3, 5, 16, 17, 2**31 - 1, 2**31, 2**50, 2**62, 2**63 - 1, 2**64 - 1)


@pytest.mark.parametrize("name", ["instructions", "formulas", "tensors", "registers"])
def test_every_field_at_its_extremes(name: str) -> None:
    """What is taken runs, or refuses the call; it never crashes."""
    given = tuple(np.ones((2, 37), np.float32) for _ in range(2))
    for data in fields_at(archive.write(copies(program())), name, EXTREMES):
        agree(data)
        with contextlib.suppress(UnmoorError, TypeError, MemoryError):
            runtime.open(data)(*given)


def test_integers_are_refused() -> None:
    text = TEXT.replace(": f32", f": {i32.name}").replace(
        "(re: i32[s0, s1], im: i32[s0, s1])", "(re: f32[s0, s1], im: f32[s0, s1])"
    )
    data = archive.write(copies(program(text=text)))
    for read in (archive.read, runtime.open):
        with pytest.raises(ArchiveError):
            read(data)
