"""Indices made of data: what the verifier refuses, and that they stay inside their buffers."""

from __future__ import annotations

import numpy as np
import pytest
from machine import Machine

from unmoor.codegen import generate, host_target
from unmoor.errors import VerifyError
from unmoor.ir.parser import parse_kernel
from unmoor.ir.verify import verify_kernel
from unmoor.reference import run_kernel

ROWS = """kernel rows(in x : f32[3*n0], in at : i64[n1], out y : f32[3*n1]) ints (n0, n1) {
  parallel i < n1 {
    let g < n0 = at[i]
    loop j < 3 { y[i*3 + j] = x[g*3 + j] }
  }
}
"""
ELEMENTS = """kernel elements(in x : f32[n0], in at : i64[n1], out y : f32[n1]) ints (n0, n1) {
  parallel i < n1 {
    let g < n0 = at[i]
    y[i] = x[g]
  }
}
"""


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("at : i64", "at : i32", "no i64"),
        ("let g", "let i", "another meaning"),
        ("x[g*3", "x[h*3", "uses h"),
        ("let g < n0", "let g < n2", "uses n2"),
        ("let g < n0 = at[i]", "let x < n0 = at[i]", "defined twice"),
    ],
)
def test_the_verifier_refuses(was, becomes, message):
    verify_kernel(parse_kernel(ROWS))
    with pytest.raises(VerifyError, match=message):
        verify_kernel(parse_kernel(ROWS.replace(was, becomes)))


def test_an_index_ends_with_its_loop():
    text = ELEMENTS.replace("parallel i < n1 {", "parallel k < 1 {\n  loop i < n1 {").replace(
        "y[i] = x[g]", "}\n y[g] = x[0]"
    )
    with pytest.raises(VerifyError, match="uses g"):
        verify_kernel(parse_kernel(text))


@pytest.mark.parametrize("text", [ROWS, ELEMENTS])
def test_indices_out_of_range_read_the_nearest_element(text):
    kernel = parse_kernel(text)
    width = 3 if kernel.name == "rows" else 1
    x = np.arange(7 * width, dtype=np.float32)
    at = np.array([0, -1, 6, 7, 2**62, -(2**63), 2**63 - 1, 3, *range(-20, 20)], np.int64)
    want = x.reshape(7, width)[np.clip(at, 0, 6)].reshape(-1)
    for run in (run_kernel, lambda *a: Machine(generate([kernel], host_target())).call(kernel.name, *a[1:])):
        y = np.zeros(len(at) * width, np.float32)
        run(kernel, [x, at, y], [7, len(at)], 0, len(at))
        np.testing.assert_array_equal(y, want)
