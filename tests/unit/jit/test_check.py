"""Before a save, the programs are compared with the original; a difference refuses the save and names the line."""

from __future__ import annotations

import io
import threading

import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import VerifyError


def kinds(x):
    if type(x.shape[0]) is int:  # a size is a symbol while it is traced, and this is the way to notice
        return x * 2
    return x * 3


def test_a_difference_is_not_saved_and_its_line_is_named():
    traced = unmoor.trace(kinds, torch.rand(3))
    file = io.BytesIO()
    with pytest.raises(VerifyError, match=r"not saved: .*result is off by .*check=False") as caught:
        unmoor.save(traced, file)
    assert file.getvalue() == b""
    assert "The first op that differs is aten::mul at " in str(caught.value) and "`return x * 3`" in str(caught.value)
    assert unmoor.save(traced, file, check=False).startswith("sha256:")


def frozen(x):
    y = torch.relu(x) + 1
    scale = 2.0 if type(x.shape[0]) is not int or x.shape[0] < 10 else 5.0
    return torch.tanh(y * scale)


def test_the_first_op_that_differs_at_another_size_is_named():
    traced = unmoor.trace(frozen, torch.rand(9))
    with pytest.raises(VerifyError, match=r"sizes \[19\].*first op that differs is aten::mul at .*`return torch.tanh"):
        traced.check()


def test_what_is_compiled_wrongly_is_found(monkeypatch):
    from dataclasses import replace

    from unmoor.compiler import pipeline

    def spoilt(graph):
        nodes = [replace(n, op="aten::cos") if n.op == "aten::sin" else n for n in graph.nodes]
        return replace(graph, nodes=tuple(nodes))

    spoilt.__name__ = "spoilt"
    monkeypatch.setattr(pipeline, "TYPED", (*pipeline.TYPED, spoilt))
    monkeypatch.setattr("unmoor.compiler.compile.TYPED", pipeline.TYPED)

    def f(x):
        y = torch.exp(x)
        y = torch.sin(y)
        return y + 1

    traced = unmoor.trace(f, torch.rand(4))
    with pytest.raises(VerifyError, match=r"not: a bug of Unmoor; the first op that it gets wrong is aten::sin at "):
        traced.check()


def test_what_was_compared_is_said():
    report = unmoor.trace(lambda x: (x.softmax(-1), x.sum(0)), torch.rand(3, 4)).check()
    (method,) = report.methods
    assert len(method.compared) >= 8 and "[3, 4]" in method.compared and set(method.off) >= {"result.0", "result.1"}
    text = str(report)
    assert text.startswith("checked on ") and "off by    result.0 " in text and len(text.splitlines()) < 20


def test_a_save_tells_what_it_compared():
    digest = unmoor.save(unmoor.trace(torch.relu, torch.rand(3)), io.BytesIO())
    assert digest.startswith("sha256:") and str(digest.report).startswith("checked on ")
    assert unmoor.save(unmoor.trace(torch.relu, torch.rand(3)), io.BytesIO(), check=False).report is None


def test_every_example_is_replayed():
    traced = unmoor.trace(lambda x: x * 2 if x.sum() > 0 else x - 1, torch.ones(3))
    traced.add_example(-torch.ones(2, 2))
    (method,) = traced.check().methods
    assert {"[3]", "[2, 2]"} <= set(method.compared)


def test_every_signature_is_compared():
    traced = unmoor.trace(lambda x: x * 2 + x.sum(), torch.rand(3))
    traced(torch.rand(2, 2))
    traced(torch.ones(4, dtype=torch.float64))
    (method,) = traced.check().methods
    assert {"[3]", "[2, 2]", "[2]"} <= set(method.compared)


def test_examples_may_be_given_by_name_and_by_place():
    traced = unmoor.trace(lambda x, y: x - y, torch.rand(3), torch.rand(3))
    traced.add_example(torch.rand(2, 2), torch.rand(2, 2))
    assert len(traced.check().methods[0].compared) > 8


def test_the_module_as_it_was_traced_is_what_counts():
    net = nn.Linear(4, 2).eval()
    traced = unmoor.trace(net, torch.rand(3, 4))
    with torch.no_grad():
        net.weight.zero_()
    net.train()
    assert str(traced.check()).startswith("checked on ")
    assert net.weight.abs().max() == 0


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return x * self.count


def test_state_is_as_it_was_before_the_check():
    net = Counter().eval()
    traced = unmoor.trace(net, torch.ones(2))
    traced(torch.ones(2))
    report = traced.check()
    assert report.methods[0].off["the state count"][0] == 0
    assert traced(torch.ones(2)).tolist() == [2.0, 2.0] and net.count == 0


def test_a_second_call_is_compared_where_there_is_state():
    class Once(Counter):
        def forward(self, x):
            self.count += 1
            count = self.count.item()
            return x * (2 if type(count) is not float or count == 1 else 3)

    traced = unmoor.trace(Once().eval(), torch.ones(2))
    with pytest.raises(VerifyError, match="in the second of two calls"):
        traced.check()


def test_changed_arguments_are_compared():
    def f(x):
        x.add_(1)
        return x.sum()

    assert "argument 0 after the call" in unmoor.trace(f, torch.rand(3)).check().methods[0].off


def test_calls_that_are_refused_are_no_difference():
    report = unmoor.trace(lambda x: x * 2 if x.shape[0] > 1 else x, torch.rand(3)).check()
    assert {"[0]", "[1]"} <= set(report.methods[0].refused)
    assert "refused   2, by the program's checks or by eager PyTorch, which is fine:" in str(report)


def test_a_closure_is_left_alone():
    seen = []
    traced = unmoor.trace(lambda x: (seen.append(1), x + 1)[1], torch.rand(3))
    assert str(traced.check()).startswith("checked on ") and len(seen) == 1


GLOBAL = nn.BatchNorm1d(3)


def helper(x):
    return GLOBAL(x)


def test_modules_in_globals_are_left_alone():
    GLOBAL.train()
    with pytest.warns(unmoor.TrainingModeWarning):
        traced = unmoor.trace(lambda x: helper(x) + GLOBAL.bias, torch.rand(4, 3))
    before = GLOBAL.running_mean.clone()
    assert "[0, 3]" in traced.check().methods[0].refused
    assert str(traced.check()).startswith("checked on ")
    assert torch.equal(GLOBAL.running_mean, before)


def test_what_cannot_be_copied_is_said():
    net = nn.Linear(2, 2).eval()
    net.lock = threading.Lock()
    report = unmoor.trace(net, torch.rand(1, 2)).check()
    assert str(report).startswith("not checked: the traced callable cannot be copied (TypeError: ")


def test_random_draws_are_held_against_the_reference():
    def f(x):
        return x * torch.bernoulli(torch.full_like(x, 0.5)) + torch.randn(x.shape[0])

    x = torch.rand(5)
    before = torch.get_rng_state()
    traced = unmoor.trace(f, x)
    report = traced.check()
    assert "equal to the reference interpreter, which draws the same random numbers, " in str(report)
    assert report.methods[0].off["the state random()"][0] == 0
    assert torch.equal(torch.get_rng_state(), before)


def test_every_method_and_mode_is_compared():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.5)

        def encode(self, x):
            return self.norm(x) * 2

        def forward(self, x):
            return self.drop(self.norm(x))

    net = Two().eval()
    report = unmoor.trace_module(net, {"encode": (torch.rand(4, 3),), "forward": (torch.rand(2, 3),)}).check()
    assert [m.method for m in report.methods] == ["encode", "forward"] and all(m.compared for m in report.methods)
    assert "encode: checked on " in str(report)
    report = unmoor.trace(net, torch.rand(4, 3), modes=("eval", "train")).check()
    assert [m.method for m in report.methods] == ["forward.eval", "forward.train"]
    assert all(m.compared for m in report.methods) and not net.training


def test_what_takes_too_long_is_left_out(monkeypatch):
    monkeypatch.setattr("unmoor.jit.check.SECONDS", 0.0)
    report = unmoor.trace(torch.relu, torch.rand(3)).check()
    assert report.methods[0].compared == ["[3]"] and report.methods[0].left > 3
    assert "more inputs, for time" in str(report)
