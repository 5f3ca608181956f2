"""Matrices written into panels by every target's code, in several pieces of rows, against the kernels' interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from machine import Machine, runnable

from unmoor.codegen import generate
from unmoor.ir.parser.kernel import parse_kernel
from unmoor.ir.target import Target
from unmoor.reference.kernel import run_kernel

STRAIGHT = "i1*n2 + i2"
TURNED = "i1 + i2*n1"
APART = "2*i1*n2 + 2*i2"
TEXT = """kernel pack(in x0 : {dtype}[2*n0*n1*n2], out y0 : {dtype}[n0*n1*n2] panels(n0, n1, n2)) ints (n0, n1, n2) {{
  parallel i0 < n0 {{
    loop i1 < n1 {{
      loop i2 < n2 {{
        let v0 = mul(x0[i0*n1*n2 + {place}], {dtype}(2.0))
        y0[i0*n1*n2 + i1*n2 + i2] = add(v0, x0[i0*n1*n2 + {place}])
      }}
    }}
  }}
}}
"""
ROWS = """kernel pack(in x0 : f32[n0*n1], out y0 : f32[n0*n1] panels(1, n0, n1)) ints (n0, n1) {
  parallel i0 < n0 {
    loop i1 < n1 {
      y0[i0*n1 + i1] = x0[i0 + i1*n0]
    }
  }
}
"""


@pytest.mark.parametrize("target", runnable(), ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("place", [STRAIGHT, TURNED, APART])
def test_batches_of_all_sizes(place: str, dtype: str, target: Target) -> None:
    kernel = parse_kernel(TEXT.format(place=place, dtype=dtype))
    machine = Machine(generate([kernel], target))
    numbers = {"f32": np.float32, "f64": np.float64}[dtype]
    for k, n in ((1, 1), (7, 5), (8, 8), (16, 48), (3, 49), (17, 64), (33, 113), (0, 5), (5, 0)):
        x = np.arange(2 * 2 * k * n).astype(numbers)
        got, want = (np.zeros(2 * k * (n + 15) // 16 * 16 + 2 * k * 16, numbers) for _ in range(2))
        machine.call("pack", [x, got], [2, k, n], 0, 2)
        run_kernel(kernel, [x, want], [2, k, n], 0, 2)
        np.testing.assert_array_equal(got, want, err_msg=f"{k} x {n}")


@pytest.mark.parametrize("target", runnable(), ids=lambda t: t.name)
def test_pieces_of_rows(target: Target) -> None:
    kernel = parse_kernel(ROWS)
    machine = Machine(generate([kernel], target))
    k, n = 41, 53
    x = np.random.default_rng(0).random(k * n, np.float32)
    got, want = (np.zeros(k * 64, np.float32) for _ in range(2))
    for begin, end in ((0, 3), (3, 20), (20, 20), (20, 41)):
        machine.call("pack", [x, got], [k, n], begin, end)
    run_kernel(kernel, [x, want], [k, n], 0, k)
    np.testing.assert_array_equal(got, want)
