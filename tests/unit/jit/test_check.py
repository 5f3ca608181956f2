"""Before a save, the programs are compared with the original; a difference refuses the save and names the line."""

from __future__ import annotations

import io

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
    with pytest.raises(VerifyError, match=r"not saved: .*value 0 is off by .*check=False"):
        unmoor.save(traced, file)
    assert file.getvalue() == b""
    assert unmoor.save(traced, file, check=False).startswith("sha256:")


def test_what_was_compared_is_said():
    said = unmoor.trace(lambda x: (x.softmax(-1), x.sum(0)), torch.rand(3, 4)).check()
    assert said.startswith("checked on ") and int(said.split()[2]) >= 8


def test_the_module_as_it_was_traced_is_what_counts():
    net = nn.Linear(4, 2).eval()
    traced = unmoor.trace(net, torch.rand(3, 4))
    with torch.no_grad():
        net.weight.zero_()
    assert traced.check().startswith("checked on ")
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
    assert traced.check().startswith("checked on ")
    assert traced(torch.ones(2)).tolist() == [2.0, 2.0] and net.count == 0


def test_calls_that_are_refused_are_no_difference():
    said = unmoor.trace(lambda x: x * 2 if x.shape[0] > 1 else x, torch.rand(3)).check()
    assert "more are refused" in said


def test_a_closure_is_left_alone():
    seen = []
    traced = unmoor.trace(lambda x: (seen.append(1), x + 1)[1], torch.rand(3))
    assert traced.check().startswith("not checked") and len(seen) == 1
