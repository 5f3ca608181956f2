"""The article's programs, recorded and replayed at other sizes and values."""

from __future__ import annotations

import inspect
import warnings

import pytest
import torch
from torch import nn

from unmoor.capture import TrainingModeWarning, record
from unmoor.errors import Unsupported
from unmoor.ir.recording import Froze


class Net(nn.Module):
    def __init__(self, p: float = 0.2) -> None:
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(3, 8), nn.Linear(8, 16), nn.Linear(16, 1)
        self.d1, self.d2 = nn.Dropout(p), nn.Dropout(p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.d1(torch.relu(self.l1(x)))
        x = self.d2(torch.relu(self.l2(x)))
        return self.l3(x)


def test_sum_holds_at_every_rank(replay):
    r = replay(lambda x: x.sum(), torch.ones(2))
    assert r.ops == ["aten::sum"]
    r.agrees(torch.randn(3, 3))
    r.agrees(torch.randn(0))


def on_tensor(x):
    if x.sum() > 0:
        return x + 1
    return x - 1


def on_item(x):
    if x.sum().item() > 0:
        return x + 1
    return x - 1


def on_float(x):
    if float(x.sum()) > 0:
        return x + 1
    return x - 1


def on_float_mirrored(x):
    if float(x.sum()) > 0:
        return x + 1
    return x - 1


@pytest.mark.parametrize("fn", [on_tensor, on_item, on_float, on_float_mirrored])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_branch_is_the_comparison_and_not_the_value(replay, fn, side):
    r = replay(fn, side * torch.ones(2))
    r.agrees(side * torch.rand(5) + side)
    r.agrees(side * torch.rand(2, 3) + side)
    r.refuses(-side * torch.ones(4))


def test_a_branch_says_what_held_and_what_holds(replay):
    taken = replay(on_item, torch.ones(2))
    assert taken.guards == ["took the branch `x.sum().item() > 0` in every example; here it is False"]
    skipped = replay(on_item, -torch.ones(2))
    assert skipped.guards == ["did not take the branch `x.sum().item() > 0` in any example; here it is True"]
    (guard,) = [n for n in taken.recording.graph.nodes if n.op == "prim::guard"]
    assert guard.source.text == "if x.sum().item() > 0:"
    assert guard.source.file.endswith("test_programs.py")
    (assumption,) = [a for a in taken.recording.assumptions if a.froze is Froze.BRANCH_ON_DATA]
    assert assumption.checked and assumption.source == guard.source


def test_python_numbers_are_folded_by_python(replay):
    def f(x):
        a = 7
        b = 11
        c = 2
        d = a + b + c
        e = a + b + c + 25  # noqa: F841
        return x + d

    r = replay(f, torch.zeros(1))
    assert [(n.op, n.args[1]) for n in r.recording.graph.nodes] == [("aten::add", 20)]
    r.agrees(torch.randn(2, 2))


def test_tensor_constants_are_recorded_as_they_ran(replay):
    def f(x):
        a = torch.tensor(7)
        b = torch.tensor(11)
        c = torch.tensor(2)
        d = a + b + c
        e = a + b + c + 25  # noqa: F841
        return x + d

    r = replay(f, torch.zeros(1))
    assert [c.value.name for c in r.recording.graph.constants] == ["a", "b", "c"]
    assert r.ops == ["aten::add"] * 6
    r.agrees(torch.randn(2, 2))


def test_creation_ops_are_ops_and_not_constants(replay):
    def f(x):
        m1 = torch.eye(5)
        x = x.mul(m1)
        m2 = torch.arange(1, 26).view(5, 5)
        x = x.add(m2)
        x = torch.relu(x)
        return x.matmul(m1)

    r = replay(f, torch.eye(5))
    assert r.ops == [f"aten::{n}" for n in ("eye", "mul", "arange", "view", "add", "relu", "matmul")]
    assert not r.recording.graph.constants
    r.agrees(torch.randn(5, 5))
    r.agrees(torch.randn(3, 5, 5))


def test_the_model_in_eval_mode(replay):
    net = Net().eval()
    r = replay(net, torch.tensor([1.2, 3.0, 0.1]))
    assert [c.origin for c in r.recording.graph.constants][:2] == ["parameter l1.weight", "parameter l1.bias"]
    assert [n.source.module for n in r.recording.graph.nodes] == ["l1", "", "d1", "l2", "", "d2", "l3"]
    assert "self.l3(x)" in r.recording.graph.nodes[-1].source.text
    r.agrees(torch.randn(3))
    r.agrees(torch.randn(7, 3))
    r.agrees(torch.randn(0, 3))


def test_the_model_in_training_mode_warns():
    net = Net()
    with pytest.warns(TrainingModeWarning) as caught:
        recording = record(net, (torch.ones(3),))
    text = str(caught[0].message)
    assert caught[0].filename == __file__
    assert "d1 (Dropout), called at" in text and "d2 (Dropout), called at" in text and ".eval()" in text
    lines = inspect.getsourcelines(Net)
    first = lines[1] + next(k for k, line in enumerate(lines[0]) if "self.d1(torch" in line)
    assert f"test_programs.py:{first}" in text
    assert [s.name for s in recording.states] == ["random()"]


def test_dropout_that_drops_nothing_may_be_in_training_mode(replay):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replay(Net(p=0.0), torch.ones(3)).agrees(torch.randn(2, 3))


def test_batch_norm_in_training_mode_keeps_its_statistics_as_state():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.warns(TrainingModeWarning, match=r"1 \(BatchNorm1d\)"):
        recording = record(net, (torch.randn(5, 3),))
    assert sorted(s.name for s in recording.states) == ["1.num_batches_tracked", "1.running_mean", "1.running_var"]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_draws_that_cannot_be_made_again_are_refused_by_name():
    with pytest.raises(Unsupported, match=r"multinomial.default draws random numbers"):
        record(lambda x: x.multinomial(2), (torch.ones(3),))
    with pytest.raises(Unsupported, match=r"draws from a generator of its own"):
        record(lambda x: x + torch.zeros(3).uniform_(generator=torch.Generator()), (torch.ones(3),))


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_function_runs_as_it_was_written(replay):
    def f(y):
        return y.view(y.shape[0], -1) * y.shape[0] if y.sum() > 0 else y

    compiled = torch.compile(f, backend="eager")
    for g in (lambda x: compiled(x) + 1, lambda x: torch.compile(f, backend="eager")(x) + 1):
        r = replay(g, torch.ones(2, 3))
        r.agrees(torch.ones(4, 5))
        r.refuses(-torch.ones(4, 5))
    assert torch.equal(compiled(torch.ones(2, 3)), f(torch.ones(2, 3)))


def test_operators_with_several_names(replay):
    def f(x, y):
        both = (x > 0) & (y > 0) | (x < y)
        both ^= x == 1
        return torch.min(x, y), torch.max(x, y), both, both.long() & 1

    replay(f, torch.randn(3, 4), torch.randn(4)).agrees(torch.randn(5, 2), torch.randn(5, 2))


class Hooked(torch.nn.Module):
    """Installs a hook at its first call, and notes that it did, as libraries do that collect hidden states."""

    def __init__(self):
        super().__init__()
        self.inner, self.seen = torch.nn.Linear(3, 3), []

    def forward(self, x):
        if not getattr(self, "installed", False):
            self.inner.register_forward_hook(lambda module, args, result: self.seen.append(result))
            self.installed = True
        self.seen.clear()
        self.inner(x)
        return torch.cat(self.seen)


def test_hooks_that_a_call_installs_are_taken_off_again():
    net = Hooked().eval()
    x = torch.rand(2, 3)
    record(net, (x,))
    assert not net.inner._forward_hooks and not hasattr(net, "installed")
    assert net(x).shape == net(x).shape == (2, 3)
