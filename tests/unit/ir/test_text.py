"""Text forms read back as what was printed, and what cannot be read is refused with its line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unmoor.dtypes import bool_, f32, i64
from unmoor.errors import VerifyError
from unmoor.ir.dim import const, dmin, sym
from unmoor.ir.graph import Block, Constant, Graph, Node, Relation, Source, Value
from unmoor.ir.kernel import Buffer, Contract, Fold, Index, Kernel, Let, Loop, Panels, Store
from unmoor.ir.parser import parse_dim, parse_graph, parse_kernel
from unmoor.ir.printer import print_graph, print_kernel
from unmoor.ir.scalar import IndexValue, Load, Number, Ref, apply, cast
from unmoor.ir.types import INT, TensorType
from unmoor.ir.verify import verify_kernel

S, T, I, J, K = map(sym, ("s0", "s1", "i", "j", "k"))
F = TensorType(f32, (S, const(8)))


def softmax() -> Kernel:
    load = Load("x", I * 1024 + J, f32)
    e = Ref("e", f32)
    return Kernel(
        "softmax",
        (Buffer("x", f32, S * 1024, "in"), Buffer("y", f32, S * 1024, "out"), Buffer("t", f32, const(1024), "local")),
        ("s0",),
        Loop(
            "i",
            S,
            (
                Fold("m", "max", (("j", const(1024)),), (), load),
                Fold(
                    "s",
                    "add",
                    (("j", const(1024)),),
                    (Let("e", apply("exp", load - Ref("m", f32))), Store("t", J, e)),
                    e,
                ),
                Loop("j", const(1024), (Store("y", I * 1024 + J, Load("t", J, f32) / Ref("s", f32)),)),
            ),
        ),
    )


def linear() -> Kernel:
    total = Ref("a", f32)
    mask = cast(IndexValue(J % 3), f32) > Number(f32, -0.0)
    return Kernel(
        "linear",
        (
            Buffer("x", f32, S * 3, "in"),
            Buffer("w", f32, const(24), "in", Panels(const(1), const(3), const(8))),
            Buffer("y", f32, S * 8, "out"),
            Buffer("b", bool_, S * 8, "out"),
        ),
        ("s0",),
        Loop(
            "i",
            S,
            (
                Loop(
                    "j",
                    const(8),
                    (
                        Contract("a", (("k", const(3)),), Load("x", I * 3 + K, f32), Load("w", K * 8 + J, f32)),
                        Store("y", I * 8 + J, apply("max", total, Number(f32, -math.inf))),
                        Store("b", I * 8 + J, mask),
                    ),
                ),
            ),
        ),
    )


def rows() -> Kernel:
    return Kernel(
        "rows",
        (Buffer("x", f32, T * 8, "in"), Buffer("at", i64, S, "in"), Buffer("y", f32, S * 8, "out")),
        ("s0", "s1"),
        Loop(
            "i",
            S,
            (
                Index("g", Load("at", I, i64), T),
                Loop("j", const(8), (Store("y", I * 8 + J, Load("x", sym("g") * 8 + J, f32)),)),
            ),
        ),
    )


def convolution() -> Kernel:
    """Windows of three places along a padded axis: what lies outside does not count."""
    at = I + sym("t") - 1
    contract = Contract(
        "a",
        (("t", const(3)), ("k", T)),
        Load("x", at * T + K, f32),
        Load("w", (sym("t") * T + K) * 8 + J, f32),
        ((at, S),),
    )
    return Kernel(
        "convolution",
        (Buffer("x", f32, S * T, "in"), Buffer("w", f32, T * 24, "in"), Buffer("y", f32, S * 8, "out")),
        ("s0", "s1"),
        Loop("i", S, (Loop("j", const(8), (contract, Store("y", I * 8 + J, Ref("a", f32)))),)),
    )


def pool() -> Kernel:
    """Windows of three places in steps of two, with a place of padding before them."""
    at = I * 2 + K - 1
    return Kernel(
        "pool",
        (Buffer("x", f32, S * 8, "in"), Buffer("y", f32, T * 8, "out")),
        ("s0", "s1"),
        Loop(
            "i",
            T,
            (
                Loop(
                    "j",
                    const(8),
                    (
                        Fold("m", "max", (("k", const(3)),), (), Load("x", at * 8 + J, f32), ((at, S),)),
                        Store("y", I * 8 + J, Ref("m", f32)),
                    ),
                ),
            ),
        ),
    )


def test_a_fold_is_bounded_along_its_axes():
    kernel = pool()
    verify_kernel(kernel)
    text = print_kernel(kernel)
    for wrong in ("0 <= 2*i - 1 < s0", "0 <= 2*i + s1*k < s0", "0 <= 2*i + k < q"):
        with pytest.raises(VerifyError):
            verify_kernel(parse_kernel(text.replace("0 <= 2*i + k - 1 < s0", wrong)))
    with pytest.raises(VerifyError, match="argmax counts all places"):
        verify_kernel(parse_kernel(text.replace("= max over", "= argmax over")))


@pytest.mark.parametrize("kernel", [softmax(), linear(), rows(), convolution(), pool()], ids=lambda k: k.name)
def test_kernels_read_back(kernel):
    text = print_kernel(kernel)
    assert parse_kernel(text) == kernel
    assert print_kernel(parse_kernel(text)) == text


def test_a_bound_is_linear_in_one_axis():
    kernel = convolution()
    verify_kernel(kernel)
    text = print_kernel(kernel)
    for wrong in ("0 <= i + t + k - 1 < s0", "0 <= i*s1 + t < s0", "0 <= i < s0", "0 <= t < s0, 0 <= k < q"):
        with pytest.raises(VerifyError):
            verify_kernel(parse_kernel(text.replace("0 <= i + t - 1 < s0", wrong)))


def graph() -> Graph:
    x, w, y, n, z, g, p, q = (
        Value("x", F),
        Value("l1.weight", F),
        Value("y", F),
        Value("n", INT),
        Value("z"),
        Value("g", TensorType(bool_, ())),
        Value("p", F),
        Value("q", F),
    )
    source = Source("my model.py", 12, 'y = x + "a # b"', "l1.act")
    inner = Node("aten::relu", (p,), (q,), source)
    nodes = (
        Node("aten::add", (x, w, -0.0), (y,), source),
        Node("prim::size", (y, -1), (n,)),
        Node("aten::odd", (y, (S * 8 + 1, dmin(S, 4), T % 3), None, True, f32, 'a "b"', math.inf, (), i64, 1e-5), (z,)),
        Node("prim::guard", (g, True, 'took the branch `x > 0`, "here"'), (), source),
        Node("fusion::map", (y,), (Value("o", F),), source, (Block((p,), (inner,), (q,)),)),
    )
    data = np.zeros((4, 8), np.float32)
    relations = (Relation(S, "==", T), Relation(const(1), "<=", S, "needs rows"))
    return Graph("forward", (x, g), (Constant(w, data, "parameter l1.weight"),), nodes, (z, S * 2), relations)


def test_graphs_read_back():
    text = print_graph(graph())
    again = parse_graph(text, {"l1.weight": np.zeros((4, 8), np.float32)})
    assert print_graph(again) == text
    assert again.nodes[0].source == graph().nodes[0].source
    assert math.copysign(1, again.nodes[0].args[2]) == -1
    assert again.relations == graph().relations


@pytest.mark.parametrize(
    "text", ["8*s0 + 1", "s0 + (s1//8)", "3*((s0 + 1)//2) - 3", "min(4, s0)", "s0%s1", "(s0 + 1)%4", "0", "-s0"]
)
def test_dims_read_back(text):
    assert str(parse_dim(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("graph f(%x) {\n  return (%y)\n}", "%y is used before it is defined in: return (%y)"),
        ("graph f(%x, %x) {\n  return ()\n}", "%x is defined twice"),
        ("graph f() {\n  const %w : Tensor f32[3]\n  return ()\n}", "no data for the constant %w"),
        ("graph f() {\n  ?\n}", "line 2: cannot read"),
        ("graph f() { %a = aten::x(" + "[" * 1000, "nested too deeply"),
    ],
)
def test_bad_graphs_are_refused(text, words):
    with pytest.raises(VerifyError, match=words.replace("(", r"\(").replace(")", r"\)")):
        parse_graph(text, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kernel",
        "kernel k() ints () { parallel i < 3 { y[i] = f32(1) } }",
        "kernel k(out y : f32[3]) ints () { parallel i < 3 { y[i] = nope(f32(1)) } }",
        "kernel k(out y : f32[3]) ints () { parallel i < 1//0 { } }",
    ],
)
def test_bad_kernels_are_refused(text):
    with pytest.raises(VerifyError, match="line 1"):
        parse_kernel(text)
