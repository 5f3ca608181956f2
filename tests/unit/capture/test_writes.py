"""In-place operations: values in the graph, the same memory for the program, refusals where they would outlive it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unmoor.capture import record
from unmoor.errors import Unsupported
from unmoor.ir.recording import Froze


def test_in_place_ops_become_values(replay):
    def f(x):
        y = x + 1
        nn.functional.relu(y, inplace=True)
        y += x
        y.mul_(2).sub_(1)
        return y

    r = replay(f, torch.randn(2, 3))
    assert "aten::relu" in r.ops and not any(op.endswith("_") for op in r.ops)
    r.agrees(torch.randn(4))


def test_an_inplace_relu_layer(replay):
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).eval()
    replay(net, torch.randn(3)).agrees(torch.randn(5, 3))


def test_a_write_shows_in_earlier_views(replay):
    def f(x):
        y = x + 1
        z = y.t()
        w = z.unsqueeze(0)
        y.mul_(2)
        return w, z, y

    replay(f, torch.randn(2, 3)).agrees(torch.randn(4, 2))


def test_a_write_through_a_view_shows_in_the_base(replay):
    def f(x):
        y = x + 1
        before = y * 1
        z = y.transpose(0, 1)
        z.mul_(2)
        y.view(-1).add_(1)
        y.permute(1, 0).relu_()
        y.unsqueeze(-1).neg_()
        return y, z, before

    r = replay(f, torch.randn(2, 3))
    r.agrees(torch.randn(4, 2))


def test_overwriting(replay):
    def f(x):
        a, b, c = x + 1, x + 2, x + 3
        a.zero_()
        b.fill_(2.5)
        c.copy_(x[:1])
        return a, b, c

    replay(f, torch.randn(2, 3)).agrees(torch.randn(4, 2))


def test_the_target_keeps_its_shape_and_dtype(replay):
    def f(x, y):
        z = x + 1
        z += y
        return z

    r = replay(f, torch.randn(2, 3), torch.randn(3, dtype=torch.float64))
    r.agrees(torch.randn(4, 3), torch.randn(3, dtype=torch.float64))
    r.refuses(torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64), match="dtype")


def test_literals_may_be_written(replay):
    def f(x):
        t = torch.tensor([1.0, 2.0])
        t.add_(1)
        return x + t

    r = replay(f, torch.randn(2))
    r.agrees(torch.randn(2))
    r.agrees(torch.randn(2))


@pytest.mark.parametrize(
    ("what", "fn"),
    [
        ("memory or type in place", lambda x: x.resize_(3)),
        ("out= argument of another shape", lambda x: torch.add(x, x, out=torch.zeros(2))),
    ],
)
def test_writes_that_outlive_the_call_are_refused(what, fn):
    x = torch.arange(6.0).reshape(2, 3)
    before = x.clone()
    with pytest.raises(Unsupported, match=what):
        record(lambda x: (fn(x), x)[1], (x,))
    assert torch.equal(x, before) and x._version == 0


def test_a_tie_that_strides_decide_is_pinned_only_when_it_matters(replay):
    def unused(x):
        return (x + 1).flatten().relu_()

    def used(x):
        y = x + 1
        z = y.flatten()
        z.relu_()
        return y, z

    replay(unused, torch.randn(2, 3)).agrees(torch.randn(4, 2))
    assert not any(a.froze is Froze.LAYOUT for a in record(unused, (torch.randn(2, 3),)).assumptions)
    r = replay(used, torch.randn(2, 3))
    r.agrees(torch.randn(4, 2))
    r.refuses(torch.randn(3, 2).t(), match=r"x is not\n  fix: pass x.contiguous")


@pytest.mark.parametrize("fn", [lambda x: x.contiguous(), lambda x: x.reshape(-1), lambda x: x.float()])
def test_a_write_reaches_the_input_through_what_shares_its_memory(replay, fn):
    r = replay(lambda x: (fn(x).add_(1), x + 0)[1], torch.arange(6.0).reshape(2, 3))
    x = torch.randn(4, 2)
    torch.testing.assert_close(r(x), x + 1)


def test_a_cast_copies_when_the_dtype_says_so(replay):
    def f(x):
        y = x.float()
        y += 0.5
        return y, x

    r = replay(f, torch.tensor([1, 2]))
    r.agrees(torch.tensor([3, 4]))
    r.refuses(torch.tensor([3.0]), match="dtype")


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x):
        self.count += 1
        return x * self.weight


def test_a_buffer_that_is_written_is_state_and_stays_as_it_was():
    m = Counts()
    recording = record(m, (torch.ones(2),))
    assert m.count == 0 and m.count._version == 0
    assert [s.name for s in recording.states] == ["count"] and recording.changed == (1,)


def test_a_leaf_that_requires_grad_is_not_written():
    m = Counts()
    with pytest.raises(Unsupported, match=r"changes a leaf tensor that requires grad \(parameter m.weight\)"):
        record(lambda x: (m.weight.mul_(2), x)[1], (torch.ones(2),))
    with torch.no_grad():
        recording = record(lambda x: (m.weight.mul_(2), x)[1], (torch.ones(2),))
    assert [s.name for s in recording.states] == ["m.weight"] and torch.equal(m.weight, torch.ones(2))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.add_(1),
        lambda x: x.t().add_(1),
        lambda x: x.detach().mul_(2),
        lambda x: x.data.zero_(),
        lambda x: torch.relu_(x[0]),
        lambda x: x.__setitem__(0, 1.0),
    ],
)
def test_an_argument_that_is_written_is_a_result_and_stays_as_it_was(fn):
    x = torch.arange(6.0).reshape(2, 3)
    before = x.clone()
    assert record(lambda x: (fn(x), x)[1], (x,)).changed == (0,)
    assert torch.equal(x, before) and x._version == 0


def test_assigning_to_a_part(replay):
    def f(x):
        y = x + 1
        y[:, 0] = 5
        return y

    replay(f, torch.randn(2, 3)).agrees(torch.randn(4, 2))


def test_indexing_is_recorded_whole(replay):
    def f(x):
        return x[0], x[..., -1], x[:, None, 1:], x[-1:, ::2], x[: x.shape[0] - 1], x[x.shape[0] - 1]

    r = replay(f, torch.randn(3, 4))
    assert r.ops.count("unmoor::getitem") == 6 and "aten::select" not in r.ops
    r.agrees(torch.randn(5, 2))
    replay(lambda x: x[..., 0], torch.randn(3, 4)).agrees(torch.randn(2, 3, 4))


def test_masks_of_rank_0(replay):
    r = replay(lambda x: x[x.sum() > 0], torch.randn(3))
    r.agrees(torch.ones(3))
    r.agrees(torch.zeros(4))
