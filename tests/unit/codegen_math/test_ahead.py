"""Rows that are walked over several times are fetched while the row before is computed."""

from __future__ import annotations

import pytest

from unmoor.codegen.generate import llvm_ir
from unmoor.ir.parser import parse_kernel
from unmoor.ir.target import X86_64_V3

SOFTMAX = """kernel k(in x : f32[n*m], in w : f32[m], out y : f32[n*m]) ints (n, m) {
  parallel i < n {
    fold a = max over j < m { let u = x[i*m + j] u }
    fold s = add over j < m { let v = x[i*m + j] let e = exp(sub(v, a)) y[i*m + j] = e e }
    loop j < m { let q = y[i*m + j] y[i*m + j] = mul(w[j], div(q, s)) }
  }
}"""
MEAN = """kernel k(in x : f32[n*m], out y : f32[n*m]) ints (n, m) {
  parallel i < n {
    fold s = add over j < m { x[i*m + j] }
    loop j < m { let v = x[i*m + j] y[i*m + j] = sub(v, s) }
  }
}"""
MAP = """kernel k(in x : f32[n], out y : f32[n]) ints (n) {
  parallel i < n { y[i] = exp(x[i]) }
}"""


@pytest.mark.parametrize(("text", "lines"), [(SOFTMAX, 4), (MEAN, 0), (MAP, 0)])
def test_only_the_costly_pass_of_several_fetches_each_line_once(text, lines):
    """Four vectors of 32 bytes are two lines of `x` and two of `y`; `w` is the same for every row."""
    assert llvm_ir([parse_kernel(text)], X86_64_V3).count("call void @llvm.prefetch") == lines
