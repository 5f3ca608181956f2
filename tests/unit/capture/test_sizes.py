"""Sizes: real numbers for Python, values in the graph, guards where Python decides by them."""

from __future__ import annotations

import math
import threading

import pytest
import torch

from unmoor.capture import record
from unmoor.ir.recording import Froze


def test_sizes_stay_expressions(replay):
    def f(x):
        b, n = x.shape
        y = x.view(x.shape[0], -1) * n / (n * 2)
        return y.reshape(b * 2, n // 2), torch.arange(n + 1), n % 3, -b

    r = replay(f, torch.randn(5, 4))
    assert "prim::guard" not in r.ops
    r.agrees(torch.randn(3, 8))
    r.agrees(torch.randn(2, 2))


def test_reading_the_shape_guards_the_rank(replay):
    for f in (lambda x: x * x.shape[0], lambda x: x * x.size(-1), lambda x: x + x.dim(), lambda x: x / x.numel()):
        r = replay(f, torch.randn(5, 4))
        assert r.ops.count("prim::rank_guard") == 1
        r.agrees(torch.randn(2, 3))
        r.refuses(torch.randn(2, 3, 4), match="2 dims")


def test_a_size_counted_from_the_front_needs_no_rank(replay):
    r = replay(lambda x: x * x.size(0), torch.randn(5, 4))
    r.agrees(torch.randn(3))
    r.agrees(torch.randn(2, 3, 4))


def test_a_branch_on_a_size_is_a_guard(replay):
    def f(x):
        if x.shape[0] > 3:
            return x + 1
        return x - 1

    r = replay(f, torch.randn(5))
    assert r.guards[-1] == "took the branch `x.shape[0] > 3` in every example; here it is False"
    r.agrees(torch.randn(4))
    r.refuses(torch.randn(3), match="x.shape")


def test_a_condition_that_decides_nothing_is_no_guard(replay):
    def f(x, mask=None, causal=True):
        causal = x.shape[0] > 1 and mask is None and causal
        other = x.shape[0] < 3 or not None
        if x.shape[0] == 2 and mask is None:
            return x
        return x * 2 if causal else x.cumsum(0) if other else x

    r = replay(f, torch.randn(5), torch.ones(1))
    assert "prim::guard" not in r.ops
    r.agrees(torch.randn(1), torch.ones(1))
    r.agrees(torch.randn(2), torch.ones(1))
    r = replay(f, torch.randn(5))
    assert [g for g in r.guards if "branch" in g] == [
        "took the branch `x.shape[0] > 1` in every example; here it is False",
        "did not take the branch `x.shape[0] == 2` in any example; here it is True",
    ]


@pytest.mark.parametrize(
    "condition",
    [
        "n > 3 and x is not None",  # it decides
        "n > 3 or flag",
        "not n > 3 and not flag",
        "(n > 3) is True",
        "n > 3 and (y := x) is None",  # something is kept on the way
        "(n > 3 and len(x.shape)) or flag",  # something is called
        "3 < n < 7 or flag",
    ],
)
def test_a_condition_that_may_decide_is_a_guard(replay, condition):
    space: dict = {}
    exec(f"def f(x, flag=False):\n  n = x.shape[0]\n  if {condition}:\n    return x + 1\n  return x - 1", space)
    r = replay(space["f"], torch.randn(5, 1))
    assert "prim::guard" in r.ops


def test_conditions_are_named_one_by_one(replay):
    def f(x, y):
        if x.shape[0] > 3 and (not y.sum() > 0 or y.shape[0] == 2):
            return x
        return y

    r = replay(f, torch.randn(5), torch.ones(2))
    branches = [g for g in r.guards if "branch" in g]
    assert [g.split("`")[1] for g in branches] == ["x.shape[0] > 3", "y.sum() > 0", "y.shape[0] == 2"]


def test_plain_numbers_pin_the_size(replay):
    def f(x):
        for i in range(x.shape[0]):
            x = x + i
        return x

    r = replay(f, torch.randn(3))
    assert [a.froze for a in r.recording.assumptions] == [Froze.LOOP, Froze.RANK]
    assert "range(x.shape[0])" in r.guards[-1]
    r.agrees(torch.randn(3))
    r.refuses(torch.randn(4))


def test_texts_are_found_behind_calls_of_python_functions(replay):
    def twice(n):
        return [0] * n * 2

    r = replay(lambda x: x + len(twice(x.shape[0])) + len(torch.tensor(list(range(x.shape[0])))), torch.ones(3))
    assert [g.split("`")[1] for g in r.guards if "used a size" in g] == ["[0] * n"]
    r = replay(lambda x: x + torch.Tensor([x.shape[0], 1]).sum(), torch.ones(3))
    assert [g.split("`")[1] for g in r.guards if "used a size" in g] == ["torch.Tensor([x.shape[0], 1])"]


def test_len_and_iteration_pin_the_size(replay):
    def f(x):
        return sum(row * len(x) for row in x)

    r = replay(f, torch.randn(3, 2))
    r.agrees(torch.randn(3, 5))
    r.refuses(torch.randn(4, 2))


def test_float_arithmetic_of_sizes(replay):
    def f(q):
        return q / math.sqrt(q.size(-1)) * q.size(-1) ** -0.5 + math.ceil(q.shape[0] / 2) + math.floor(q.shape[0] / 2)

    r = replay(f, torch.randn(2, 9))
    assert "prim::guard" not in r.ops
    r.agrees(torch.randn(5, 4))


def test_integer_powers_and_comparisons_with_itself(replay):
    def f(x):
        n = x.shape[0]
        assert n == x.shape[0] and n >= 0
        return x * n**2

    r = replay(f, torch.randn(3))
    assert "prim::guard" not in r.ops
    r.agrees(torch.randn(6))


def test_the_number_of_pieces_is_part_of_the_program(replay):
    for f in (lambda x: x.unbind(0), lambda x: x.split(2), lambda x: x.chunk(2)):
        r = replay(f, torch.randn(4, 3))
        r.agrees(torch.randn(4, 5))
        r.refuses(torch.randn(9, 3)) if len(f(torch.randn(9, 3))) != len(f(torch.randn(4, 3))) else None
    r = replay(lambda x: x.chunk(2), torch.randn(4, 3))
    r.agrees(torch.randn(7, 3))
    r.refuses(torch.randn(1, 3))


def test_dtype_reads_are_guarded(replay):
    def f(x):
        return torch.zeros(3, dtype=x.dtype) + x

    r = replay(f, torch.ones(3))
    r.agrees(torch.randn(3))
    r.refuses(torch.ones(3, dtype=torch.float64), match="float32")


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.type() == "torch.FloatTensor",
        lambda x: torch.is_floating_point(x),
        lambda x: x.new_tensor([1, 2]).sum() < 9,
        lambda x: x.itemsize == 4,
        lambda x: x.type_as(x) is not None and x.to(x) is not None,
    ],
)
def test_every_way_to_read_a_dtype_is_guarded(read):
    recording = record(lambda x: x + 1 if read(x) else x, (torch.ones(3),))
    assert any(n.op == "prim::dtype_guard" for n in recording.graph.nodes)


def test_the_function_numel_is_symbolic(replay):
    replay(lambda x: x / torch.numel(x), torch.ones(2, 3)).agrees(torch.ones(4, 5))


def test_a_comparison_inside_a_call_says_so(replay):
    r = replay(lambda x: x * max(x.shape, key=lambda n: n), torch.ones(2, 3))
    assert r.guards[-1].startswith("a comparison inside `max(x.shape, key=lambda n: n)` was True in every example")
    r.agrees(torch.ones(4, 5))
    r.refuses(torch.ones(5, 4))


def test_sizes_of_weights_are_plain():
    w = torch.randn(4, 3)
    seen = []

    def f(x):
        seen.append(type(w.shape[0]))
        return x @ w.reshape(w.shape[0], -1).t()

    record(f, (torch.randn(2, 3),))
    assert seen == [int]


def test_other_threads_read_plain_sizes():
    inside, done = threading.Event(), threading.Event()
    seen: list[object] = []

    def reader():
        inside.wait(10)
        t = torch.ones(3, 2)
        seen.extend([type(t.shape[0]), type(t.numel()), len(t), bool(t.sum() > 0), t[0].tolist(), t.sum().item()])
        done.set()

    def f(x):
        inside.set()
        assert done.wait(10)
        return x * x.shape[0]

    thread = threading.Thread(target=reader)
    thread.start()
    recording = record(f, (torch.ones(2),))
    thread.join()
    assert seen == [int, int, 3, True, [1.0, 1.0], 6.0]
    assert [n.op for n in recording.graph.nodes] == ["prim::rank_guard", "prim::size", "aten::mul"]


def test_methods_are_as_before_after_a_trace():
    before = {n: vars(torch.Tensor).get(n) for n in ("shape", "size", "__bool__", "__getitem__", "__len__", "dtype")}
    with pytest.raises(ZeroDivisionError):
        record(lambda x: x * x.shape[0] / 0 if 1 // 0 else x, (torch.ones(2),))
    record(lambda x: x * x.shape[0], (torch.ones(2),))
    assert {n: vars(torch.Tensor).get(n) for n in before} == before
    assert type(torch.ones(2).shape[0]) is int
