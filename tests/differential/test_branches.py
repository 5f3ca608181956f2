"""Several examples become branches: both sides run in the traced program and in the saved file, as eager decides."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import NotTraced, Unsupported


def check(fn, traced, inputs, refused=()):
    """Traced and saved agree with eager on every input; those in `refused` raise NotTraced in both."""
    model = unmoor.load(traced.to_bytes(), trust=True)
    for number, given in enumerate(inputs):
        args = given if isinstance(given, tuple) else (given,)
        for run in (traced, model):
            if number in refused:
                with pytest.raises(NotTraced):
                    run(*args)
            else:
                with torch.no_grad():
                    torch.testing.assert_close(run(*args), fn(*args), rtol=1e-5, atol=1e-6)


def branch(x):
    if x.sum() > 0:  # noqa: SIM108
        y = torch.exp(x)
    else:
        y = -x * 2
    return torch.relu(y) + x


def test_both_sides_of_a_branch():
    traced = unmoor.trace(branch, torch.ones(3))
    with pytest.raises(NotTraced, match=r"took the branch `x.sum\(\) > 0`"):
        traced(-torch.ones(3))
    traced.add_example(-torch.ones(3))
    check(branch, traced, [torch.randn(5).abs(), -torch.randn(7).abs(), torch.zeros(1), torch.ones(2, 3)])
    assert "took the branch" not in traced.assumptions
    assert str(traced.graph).count("aten::relu") == 1  # what follows is shared


def optional(x):
    if x.mean() > 0:
        x = x * 2
    return x + 1


@pytest.mark.parametrize("order", [(1, -1), (-1, 1)])
def test_a_branch_without_else(order):
    traced = unmoor.trace(optional, order[0] * torch.ones(4))
    traced.add_example(order[1] * torch.ones(4))
    check(optional, traced, [torch.ones(2), -torch.ones(9)])
    assert str(traced.graph).count("aten::add") == 1


def nested(x, y):
    if x.sum() > 0:
        if y.sum() > 0:
            return x + y
        z = x - y
    else:
        z = x * y
    return torch.sigmoid(z)


def test_nested_branches_are_filled_one_by_one():
    one, minus = torch.ones(3), -torch.ones(3)
    traced = unmoor.trace(nested, one, one)
    inputs = [(one, one), (one, minus), (minus, one), (minus, minus)]
    check(nested, traced, inputs, refused=(1, 2, 3))
    traced.add_example(minus, one)
    check(nested, traced, inputs, refused=(1,))
    traced.add_example(one, minus)
    check(nested, traced, inputs)


def twelve(x):
    for i in range(12):
        if x[i] > 0:  # noqa: SIM108
            x = x * 1.5
        else:
            x = x - 0.25
    return x


def test_twelve_branches_in_a_row():
    traced = unmoor.trace(twelve, torch.ones(12))
    traced.add_example(-torch.ones(12))
    torch.manual_seed(0)
    check(twelve, traced, [torch.ones(12), -torch.ones(12), *torch.randn(20, 12)])
    assert str(traced.graph).count("prim::If") <= 12


def every_other(x):
    y = x
    for i in range(12):
        if x[i] > 0:
            y = y * 1.5
    return y


def test_twelve_branches_from_mixed_examples():
    signs = torch.tensor([1.0, -1.0] * 6)
    traced = unmoor.trace(every_other, signs)
    traced.add_example(-signs)
    traced.add_example(torch.ones(12))
    traced.add_example(-torch.ones(12))
    torch.manual_seed(0)
    check(every_other, traced, [signs, -signs, torch.ones(12), -torch.ones(12), *torch.randn(20, 12)])
    assert str(traced.graph).count("prim::If") < 40


def flagged(x, y):
    flag = False
    if x.sum() > 0:
        flag = True
    if y.sum() > 0:
        if flag:
            return x + y
        return x - y
    return x * y


def test_what_python_remembers_is_not_forgotten():
    one, minus = torch.ones(3), -torch.ones(3)
    traced = unmoor.trace(flagged, one, one)
    traced.add_example(minus, minus)
    check(flagged, traced, list(itertools.product((one, minus), repeat=2)))


def in_one_expression(x, y):
    return x * ((3 if x.sum() > 0 else 4) * (1 if y.sum() > 0 else 2))


def test_a_half_done_expression_is_not_forgotten():
    one, minus = torch.ones(3), -torch.ones(3)
    traced = unmoor.trace(in_one_expression, one, one)
    traced.add_example(minus, minus)
    check(in_one_expression, traced, list(itertools.product((one, minus), repeat=2)))


def count_up(x):
    steps = 0
    while x.sum() < 10 and steps < 20:
        x = x + 1
        steps += 1
    return x * 2


def test_a_loop_along_the_seen_counts():
    traced = unmoor.trace(count_up, torch.full((2,), 3.0))
    traced.add_example(torch.full((2,), 1.0))
    traced.add_example(torch.full((2,), 7.0))
    check(count_up, traced, [torch.full((2,), float(v)) for v in (3, 1, 7, 3.4, 2.5, -40)])


def by_count(x, n):
    for _ in range(int(n)):
        x = torch.tanh(x) + 1
    return x


def test_a_count_read_from_a_tensor():
    traced = unmoor.trace(by_count, torch.randn(4), torch.tensor(2))
    for n in (0, 4):
        traced.add_example(torch.randn(4), torch.tensor(n))
    check(by_count, traced, [(torch.randn(4), torch.tensor(n)) for n in (2, 0, 4, 3)], refused=(3,))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.large, self.small = nn.Linear(4, 8), nn.Linear(4, 8)
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        if x.abs().max() > 1:  # noqa: SIM108
            h = torch.relu(self.large(x))
        else:
            h = self.small(x)
        return self.last(h), h


def test_weights_of_both_sides():
    torch.manual_seed(0)
    net = Gated().eval()
    traced = unmoor.trace(net, torch.randn(3, 4) * 5)
    traced.add_example(torch.rand(3, 4) / 2)
    check(net, traced, [torch.randn(7, 4) * 9, torch.rand(1, 4) / 2, torch.zeros(0, 4)][:2])


def test_ranks():
    def f(x):
        return x.sum(1) if x.dim() == 2 else x * 2

    traced = unmoor.trace(f, torch.ones(2, 3))
    traced.add_example(torch.ones(4))
    check(f, traced, [torch.ones(5, 2), torch.ones(6), torch.ones(2, 2, 2)], refused=(2,))


def test_other_results_are_refused():
    def f(x):
        return (x, x) if x.sum() > 0 else x + 1

    traced = unmoor.trace(f, torch.ones(2))
    with pytest.raises(Unsupported, match="the result has another structure"):
        traced.add_example(-torch.ones(2))
    check(f, traced, [torch.ones(3), -torch.ones(3)], refused=(1,))


def test_a_difference_that_no_condition_shows_is_refused():
    scale = [2.0]

    def f(x):
        return x * scale[0] if scale[0] > 1 else x + 1

    traced = unmoor.trace(f, torch.ones(2))
    scale[0] = 0.5
    with pytest.raises(Unsupported, match=r"test_branches.py:\d+.*no condition on tensors"):
        traced.add_example(torch.ones(2))
