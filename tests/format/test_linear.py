"""Files with linear algebra: hand-made programs, at honest and at hostile ints."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from tests.archive_images import copies
from tests.format.spoilt import fields_at
from tests.format.test_readers_agree import agree

from unmoor import archive, runtime
from unmoor.dtypes import f32
from unmoor.errors import UnmoorError
from unmoor.ir.builtin import BUILTINS
from unmoor.ir.dim import sym
from unmoor.ir.parser import parse_program
from unmoor.ir.program import Program
from unmoor.ir.signature import Leaf, Mapping, Sequence, Signature, TensorSpec
from unmoor.ir.types import TensorType
from unmoor.reference import run_program

# The matrix is s1 x s1; ints by name: how many rows, how long, and the flags.
INTS = {"rows": "r0", "n": "r1", "m": "r1", "k": "r1", "c": "r1", "upper": "r2", "unit": "r3"}
NAMES = ("lu", "lu_solve", "triangular_solve", "cholesky", "qr", "svd", "eigenvalues")
EXTREMES = (0, 2, 2**31 - 1, 2**63 - 1, 2**64 - 1)


def program(name: str) -> Program:
    """A batch of matrices through a builtin: what it reads beyond them is their own elements, or pivots of zeros."""
    builtin = BUILTINS[name]
    lines, operands, at = [], [], 12
    for number, buffer in enumerate(builtin.buffers):
        dtype = buffer.dtype or f32
        if buffer.role == "in" and dtype is f32:
            operands.append("t0")
            continue
        if number == next(k for k, b in enumerate(builtin.buffers) if b.role == "out" and (b.dtype or f32) is f32):
            operands.append("t1")
            continue
        lines.append(f"  t{2 + len(lines)} = arena {at} : {dtype}[r1] bytes r8")
        operands.append(f"t{1 + len(lines)}")
        at += 1
    pivots = f"  builtin lu [t0, t{1 + len(lines) + 1}, {operands[1]}] [r0, r1]\n" if name == "lu_solve" else ""
    if pivots:
        lines.append(f"  t{2 + len(lines)} = arena {at} : f32[r1] bytes r8")
    square = name not in ("svd", "eigenvalues")
    out = "r0, r1, r1" if square or name == "svd" else "r0, r1"
    locals_ = "".join(f"{line}\n" for line in lines)
    ints = ", ".join(INTS[i.name] for i in builtin.ints)
    text = f"""program (x: f32[s0, s1, s1]) -> (f32[{out.replace("r", "s")}]) {{
  r0 = dim 0 0
  r1 = dim 0 1
  r2 = 1
  r3 = 0
  r4 = 64
  r5 = r1 * r1
  r6 = r0 * r5
  r7 = 4
  r8 = r6 * r4
  r9 = r6 * r7
  r10 = r0 * r1
  r11 = r10 * r7
  r12 = 0
{chr(10).join(f"  r{k} = r{k - 1} + r8" for k in range(13, 24))}
  t0 = input 0 : f32[r0, r1, r1] bytes r9
  t1 = output 0 : f32[{out}] bytes {"r9" if len(out) > 6 else "r11"}
{locals_}{pivots}  builtin {name} [{", ".join(operands)}] [{ints}]
  return
  arena r23 flops r3 traffic r3
}}
"""
    spec = TensorSpec("x", TensorType(f32, (sym("s0"), sym("s1"), sym("s1"))))
    result = TensorSpec("y", TensorType(f32, tuple(sym(d.strip().replace("r", "s")) for d in out.split(","))))
    arguments = Sequence("tuple", (Sequence("tuple", (Leaf(0),)), Mapping((), ())))
    return parse_program(text, Signature((spec,), (result,), arguments, Leaf(0)), ())


@pytest.mark.parametrize("name", NAMES)
def test_what_it_does(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 5)).astype(np.float32)
    x = x @ x.transpose(0, 2, 1) + 5 * np.eye(5, dtype=np.float32)
    got = runtime.open(archive.write(copies(program(name))))(x)
    (want,) = run_program(program(name), (), (), (x,))
    if name == "svd":  # signs are free
        got, want = abs(got), abs(want)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_at_its_extremes(name: str) -> None:
    """What is taken runs, or refuses the call; it never crashes."""
    x = np.ones((2, 3, 3), np.float32)
    data = archive.write(copies(program(name)))
    for section in ("instructions", "formulas", "registers"):
        for spoilt in fields_at(data, section, EXTREMES):
            agree(spoilt)
            with contextlib.suppress(UnmoorError, TypeError, MemoryError):
                runtime.open(spoilt)(x)
