"""torch.cond, while_loop, scan and map: every path is in the graph and in the file, as eager PyTorch decides."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch._higher_order_ops import map as map_rows
from torch._higher_order_ops import scan

import unmoor
from unmoor import capture
from unmoor.errors import NotTraced, Unsupported
from unmoor.reference import run_graph


def check(fn, traced, inputs):
    """The recorded graph, the compiled program, its file and its Python source agree with eager on every input."""
    model = unmoor.load(traced.to_bytes(), trust=True)
    for given in inputs:
        args = given if isinstance(given, tuple) else (given,)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = fn(*args)
            for run in (traced, model, source(traced)):
                torch.testing.assert_close(run(*args), want, rtol=1e-5, atol=1e-6)


def source(traced):
    """`traced.code` as a function."""
    space: dict = {}
    code = str(traced.code)
    exec(code, space)
    made = space[code.split("def ")[1].split("(")[0]]
    return lambda *args: made(*capture.flatten_call(args, {})[1])


class Layers(nn.Module):
    """Both branches use parameters, by closure."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda y: torch.relu(self.one(y)), lambda y: self.other(y) - 1, (x,)) * 2


@pytest.mark.parametrize("sign", [1, -1])
def test_both_sides_of_a_cond_are_kept(sign):
    torch.manual_seed(0)
    net = Layers().eval()
    traced = unmoor.trace(net, sign * torch.ones(2, 3))
    assert str(traced.graph).count("aten::linear") == 2
    for x in (torch.ones(2, 3), -torch.ones(2, 3), torch.randn(7, 3), torch.randn(4, 2, 3), torch.zeros(0, 3)):
        torch.testing.assert_close(traced(x), net(x).detach(), rtol=1e-5, atol=1e-6)
    assert "branch" not in traced.assumptions


def nested_results(x, pair):
    def yes(d):
        return {"a": d["x"] * 2, "b": [d["p"][0] + 1]}

    def no(d):
        return {"a": d["x"].sin(), "b": [d["p"][1] - 1]}

    return torch.cond(x.mean() > pair[0].mean(), yes, no, ({"x": x, "p": pair},))


def test_operands_and_results_are_nested():
    traced = unmoor.trace(nested_results, torch.ones(3), (torch.zeros(2), torch.ones(2)))
    inputs = [(torch.randn(n), (torch.randn(2), torch.randn(2))) for n in (1, 3, 8)]
    check(nested_results, traced, inputs)


def passed_on(x, y):
    return torch.cond(x.sum() > y.sum(), lambda a, b: a, lambda a, b: b, (x, y)) * 2


def test_a_branch_may_hand_on_what_it_is_given():
    traced = unmoor.trace(passed_on, torch.ones(3), torch.zeros(3))
    check(passed_on, traced, [(torch.randn(4), torch.randn(4)) for _ in range(4)])


def cond_in_cond(x, y):
    def deep(a, b):
        return torch.cond(b.sum() > 0, lambda a, b: a + b, lambda a, b: a - b, (a, b)).relu()

    return torch.cond(
        x.sum() > 0, deep, lambda a, b: torch.cond(b.max() > a.max(), lambda: a * b, lambda: a / 2), (x, y)
    )


def test_branches_in_branches():
    traced = unmoor.trace(cond_in_cond, torch.ones(3), torch.ones(3))
    check(cond_in_cond, traced, [(torch.randn(5), torch.randn(5)) for _ in range(8)])


def growth(x, limit):
    def again(i, y):
        return (i < 20) & (y.abs().sum() < limit)

    def body(i, y):
        return i + 1, y * 2 + i

    return torch.while_loop(again, body, (torch.tensor(0), x))


@pytest.mark.parametrize("limit", [50.0, -1.0])
def test_a_while_loop_runs_as_often_as_the_data_says(limit):
    traced = unmoor.trace(growth, torch.ones(3), torch.tensor(limit))
    inputs = [(torch.randn(n), torch.tensor(v)) for n, v in ((1, 5.0), (4, 1e4), (3, -1.0), (2, 0.0), (7, 100.0))]
    check(growth, traced, inputs)
    assert str(traced.graph).count("prim::Loop") == 1 and "loop" not in traced.assumptions


def counted(x, n):
    return torch.while_loop(lambda i, y: i < 5, lambda i, y: (i + 2, y + i * n), (0, x))[1]


def test_a_number_is_carried():
    traced = unmoor.trace(counted, torch.ones(3), torch.tensor(2.0))
    check(counted, traced, [(torch.randn(3), torch.tensor(v)) for v in (1.0, -3.0)])


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.float16, torch.float64])
def test_a_carried_number_promotes_as_a_number(dtype):
    def fn(x):
        return torch.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, y + i), (1, x))[1]

    for x in (torch.ones((), dtype=dtype), torch.ones(3, dtype=dtype)):
        got = unmoor.trace(fn, x)(x)
        torch.testing.assert_close(got, x + 6)


class Remembers(nn.Module):
    """Buffers that branches read, and that take what a branch gives."""

    def __init__(self):
        super().__init__()
        self.register_buffer("h", torch.zeros(3))
        self.register_buffer("n", torch.zeros(()))

    def forward(self, x):
        self.h = torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a + self.h, (x,))
        y = torch.cond(self.n > 1, lambda a: a * 10, lambda a: a + self.n, (self.h,))
        self.n += 1
        return y


def test_state_goes_through_branches():
    net = Remembers().eval()
    traced = unmoor.trace(net, torch.ones(3))
    model = unmoor.load(traced.to_bytes(), trust=True)
    for sign in (1, -1, -1, 1, -1):
        x = sign * torch.ones(3)
        want = net(x)
        torch.testing.assert_close(traced(x), want)
        torch.testing.assert_close(model(x), want)


def up_to_the_size(x):
    return torch.while_loop(lambda i, y: 2 * i < x.shape[0], lambda i, y: (i + 1, y + i), (0, x))[1]


def test_a_size_bounds_the_turns():
    traced = unmoor.trace(up_to_the_size, torch.ones(4, 2))
    check(up_to_the_size, traced, [torch.randn(n, 2) for n in (0, 1, 2, 5, 11)])


def newton(x):
    """A branch and a loop inside of a loop."""

    def again(i, y):
        return i < 6

    def body(i, y):
        def refine(z):
            _, out = torch.while_loop(lambda k, w: k < 3, lambda k, w: (k + 1, 0.5 * (w + 2 / w)), (torch.tensor(0), z))
            return out

        return i + 1, torch.cond(y.max() > 2, lambda z: z / 2, refine, (y,))

    return torch.while_loop(again, body, (torch.tensor(0), x))[1]


def test_branches_and_loops_in_a_loop():
    traced = unmoor.trace(newton, torch.ones(3))
    check(newton, traced, [torch.rand(n) * 50 + 0.1 for n in (1, 3, 9)])


class Cell(nn.Module):
    """A recurrent cell of the user's own, over time."""

    def __init__(self, reverse):
        super().__init__()
        self.wx, self.wh, self.reverse = nn.Linear(3, 4), nn.Linear(4, 4), reverse

    def forward(self, xs):
        def step(carry, x):
            h = torch.tanh(self.wx(x) + self.wh(carry["h"]))
            return {"h": h, "n": carry["n"] + 1}, (h * 2, h.sum(-1))

        init = {"h": torch.zeros(xs.shape[1], 4), "n": torch.zeros(())}
        return scan(step, init, xs, reverse=self.reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_goes_over_any_number_of_rows(reverse):
    torch.manual_seed(0)
    net = Cell(reverse).eval()
    traced = unmoor.trace(net, torch.randn(5, 2, 3))
    check(net, traced, [torch.randn(t, b, 3) for t, b in ((5, 2), (1, 1), (9, 4))])
    with pytest.raises(NotTraced, match=r"test_control_flow.py:\d+ scan goes over the rows .*at least one; here there"):
        traced(torch.randn(0, 2, 3))


def along_another_axis(x):
    return scan(lambda c, r: (c + r, c * r), torch.zeros(x.shape[0]), x, dim=1)


def test_scan_along_another_axis():
    check(
        along_another_axis, unmoor.trace(along_another_axis, torch.randn(2, 4)), [torch.randn(3, 7), torch.randn(1, 1)]
    )


def each_row(x, w):
    return map_rows(lambda row, w: (torch.softmax(row @ w, -1), row.sum()), x, w)


def test_map():
    traced = unmoor.trace(each_row, torch.randn(3, 2), torch.randn(2, 4))
    check(each_row, traced, [(torch.randn(n, 2), torch.randn(2, 5)) for n in (1, 6)])


def plain_predicate(x, flag):
    y = torch.cond(flag, lambda a: a + 1, lambda a: a - 1, (x,))
    return torch.cond(x.shape[0] > 2, lambda a: a * 2, lambda a: a / 2, (y,))


def test_a_plain_predicate_takes_its_branch():
    traced = unmoor.trace(plain_predicate, torch.ones(3), True)
    assert "prim::If" not in str(traced.graph)
    torch.testing.assert_close(traced(torch.ones(4), True), plain_predicate(torch.ones(4), True))
    with pytest.raises(NotTraced, match=r"`x.shape\[0\] > 2`"):
        traced(torch.ones(2), True)


def test_no_compiler_of_torch_runs(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("torch.compile ran")

    from torch._higher_order_ops import utils

    monkeypatch.setattr(utils, "_hop_compile_and_call", refuse)
    unmoor.trace(newton, torch.ones(3))
    before = torch.cond.__code__
    assert before.co_filename.endswith("cond.py")  # torch's own again


# -- with examples ------------------------------------------------------------------------------------
def around(x):
    y = torch.cond(x.sum() > 0, lambda a: a * 3, lambda a: a - 3, (x,))
    if y.max() > 10:
        y = y - 10
    _, y = torch.while_loop(lambda i, z: (i < 9) & (z.sum() < 30), lambda i, z: (i + 1, z + 1), (torch.tensor(0), y))
    return torch.relu(y)


def test_examples_merge_around_them():
    traced = unmoor.trace(around, torch.ones(3))
    with pytest.raises(NotTraced, match=r"`y.max\(\) > 10`"):
        traced(torch.ones(3) * 9)
    traced.add_example(torch.ones(3) * 9)
    check(around, traced, [torch.randn(4) * 8 for _ in range(8)])
    assert str(traced.graph).count("prim::Loop") == 1  # what follows the branch is shared


def test_a_file_is_checked_before_it_is_saved(tmp_path):
    digest = unmoor.save(unmoor.trace(cond_in_cond, torch.ones(3), torch.ones(3)), tmp_path / "f.unmoor")
    model = unmoor.load(tmp_path / "f.unmoor", trust=digest)
    x, y = -torch.ones(3), torch.ones(3)
    torch.testing.assert_close(model(x, y), cond_in_cond(x, y))


# -- random numbers -----------------------------------------------------------------------------------
def noisy(x):
    def body(i, y):
        return i + 1, y + torch.rand(())

    def quiet(y):
        return y + torch.rand(()) + torch.rand(())

    def loud(y):
        return torch.while_loop(lambda i, y: i < 3, body, (torch.tensor(0), y))[1]

    y = torch.cond(x.sum() > 0, loud, quiet, (x,))
    return y, torch.rand(())


def test_each_turn_draws_numbers_of_its_own():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    traced = unmoor.trace(noisy, torch.ones(()))
    assert torch.equal(torch.get_rng_state(), state)
    values = []
    for _ in range(40):
        y, z = traced(torch.ones(()))
        values += [float(y - 1) / 3, float(z)]
    assert len(set(values)) == 80 and 0.3 < sum(values) / 80 < 0.7
    traced.reset_state()
    y, z = traced(torch.ones(()))
    assert [float(y - 1) / 3, float(z)] == values[:2]
    y, z = traced(-torch.ones(()))
    assert -1 < float(y) < 1 and 0 <= float(z) < 1


# -- what is refused ----------------------------------------------------------------------------------
KEPT: list = []


def writes_its_operand(x):
    return torch.cond(x.sum() > 0, lambda y: y.add_(1) * 2, lambda y: y - 1, (x,))


def writes_what_is_carried(x):
    return torch.while_loop(lambda y: y.sum() < 9, lambda y: (y.mul_(2) + 1,), (x,))


def leaks_a_number(x):
    KEPT.clear()
    y = torch.cond(x.sum() > 0, lambda y: KEPT.append(y.sum().item()) or y * 2, lambda y: y - 1, (x,))
    return y * KEPT[0]


def one_tensor_twice(x):
    a, b = torch.cond(x.sum() > 0, lambda y: [y * 2] * 2, lambda y: [y, y - 1], (x,))
    return a.add_(1), b


def raises_on_the_other_side(x):
    n = x.sum().long()
    return torch.cond(n > 3, lambda y: y[n], lambda y: y[0], (x,))


def leaks(x):
    KEPT.clear()
    torch.cond(x.sum() > 0, lambda y: KEPT.append(y * 2) or y, lambda y: y - 1, (x,))
    return KEPT[0]


def two_sizes(x):
    return torch.cond(x.sum() > 0, lambda y: y[:2] * 1, lambda y: y - 1, (x,))


def two_dtypes(x):
    return torch.cond(x.sum() > 0, lambda y: y.double(), lambda y: y - 1, (x,))


def two_structures(x):
    return torch.cond(x.sum() > 0, lambda y: (y * 1,), lambda y: y - 1, (x,))


def grows(x):
    return torch.while_loop(lambda y: y.sum() < 9, lambda y: (torch.cat([y, y]),), (x,))


def counts_in_python(x):
    turns = []

    def body(y):
        turns.append(1)
        return (y * len(turns),)

    return torch.while_loop(lambda y: y.sum() < 90, body, (x,))


def asks_in_a_turn(x):
    def body(y):
        return (y + 1 if y.sum() > 6 else y + 2,)

    return torch.while_loop(lambda y: y.sum() < 20, body, (x,))


def written_later(x):
    y = torch.cond(x.sum() > 0, lambda a: a, lambda a: a - 1, (x,))
    y.add_(1)
    return y, x


REFUSED = [
    (writes_its_operand, r"add_ changes a tensor that this function, .* did not make.*clone"),
    (writes_what_is_carried, r"mul_ changes a tensor that this function, .* did not make.*clone"),
    (leaks_a_number, r"number is used here that was made inside a function which torch.cond.*return it"),
    (one_tensor_twice, r"may give a tensor.*clone"),
    (raises_on_the_other_side, r"which this example does not need, raises IndexError.*example"),
    (leaks, r"made inside a function which torch.cond.*return it"),
    (two_sizes, r"give a tensor float32\[2\] and a tensor float32\[3\]"),
    (two_dtypes, r"give a tensor float64\[3\] and a tensor float32\[3\]"),
    (two_structures, "of different structure"),
    (grows, r"carries is a tensor float32\[3\] before a turn and a tensor float32\[6\] after it"),
    (counts_in_python, "does something else in turn 2 than in the first"),
    (asks_in_a_turn, "does something else in turn 2 than in the first"),
    (written_later, "may give a tensor from outside.*clone"),
]


@pytest.mark.parametrize(("program", "text"), REFUSED, ids=[p.__name__ for p, _ in REFUSED])
def test_what_cannot_be_kept_is_refused_with_the_line(program, text):
    x = torch.ones(3)
    with pytest.raises(Unsupported, match=rf"(?s)test_control_flow.py:\d+.*{text}"):
        unmoor.trace(program, x)
    assert torch.equal(x, torch.ones(3))


def guarded_inside(x):
    return torch.cond(x.sum() > 0, lambda y: y * 2 if y.max() > 3 else y + 1, lambda y: y - 1, (x,))


def test_a_branch_inside_is_guarded_where_it_is_reached():
    traced = unmoor.trace(guarded_inside, torch.ones(3))
    torch.testing.assert_close(traced(-9 * torch.ones(3)), -10 * torch.ones(3))
    with pytest.raises(NotTraced, match=r"test_control_flow.py:\d+ did not take the branch `y.max\(\) > 3`"):
        traced(9 * torch.ones(3))
    with pytest.raises(Unsupported, match=r"test_control_flow.py:\d+.*branches in Python.*torch.cond"):
        traced.add_example(9 * torch.ones(3))


def test_the_recorded_graph_runs_in_the_reference_interpreter():
    recording = capture.record(newton, (torch.ones(3),))
    x = torch.rand(5) * 9 + 0.1
    (got,) = run_graph(recording.graph, [x.numpy()])
    torch.testing.assert_close(torch.from_numpy(got), newton(x), rtol=1e-5, atol=1e-6)
