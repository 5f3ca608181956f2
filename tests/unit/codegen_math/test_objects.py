"""Object code calls nothing, and every row of the table can be made for every dtype that it takes."""

from __future__ import annotations

import pytest

from unmoor.codegen.builder import Builder, Module
from unmoor.codegen.math import expand
from unmoor.codegen.math.table import EMIT
from unmoor.dtypes import bool_, f32, f64, i32, i64
from unmoor.ir.scalar import FUNCTIONS

DTYPES = {"b": (bool_,), "i": (i32, i64), "f": (f32, f64)}


def test_every_row_has_an_entry():
    assert {*EMIT, "cast"} == set(FUNCTIONS)


@pytest.mark.parametrize("fn", EMIT)
def test_leaves_no_symbol_undefined(fn, lanes, compile_function, undefined):
    for kind in FUNCTIONS[fn].takes:
        for dtype in DTYPES[kind]:
            assert undefined(compile_function(fn, dtype, lanes).elf) == []


def test_refuses_operands_of_another_dtype():
    b = Builder(Module(), "k", [("double", "x")])
    with pytest.raises(TypeError, match="exp of double, expected f32"):
        expand(b, "exp", f32, b.params)


def test_steps_of_a_function_are_never_fused():
    b = Builder(Module(), "k", [("float", "x")])
    expand(b, "log", f32, b.params)
    expand(b, "mul", f32, [b.params[0], b.params[0]])
    b.ret()
    b.finish()
    contracted = [line for line in b.module.text().splitlines() if "contract" in line]
    assert len(contracted) == 1 and "fmul contract float %x, %x" in contracted[0]
