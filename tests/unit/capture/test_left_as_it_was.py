"""Writes into what a program has just made, and what a trace leaves behind, also where the program raises midway."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import unmoor


def into_fresh(x):
    y = torch.zeros(3)
    y += x
    if y.sum() > 0:
        return y * 2
    return y - 1


def test_a_write_into_a_fresh_tensor_is_seen_by_the_branch_behind_it() -> None:
    """The fault that was silent once: the branch took the zeros for a constant, and was baked in."""
    traced = unmoor.trace(into_fresh, torch.ones(3))
    torch.testing.assert_close(traced(torch.full((3,), 2.0)), torch.full((3,), 4.0))
    for run in (traced, unmoor.load(traced.to_bytes(), trust=True)):
        with pytest.raises(
            unmoor.NotTraced, match=r"took the branch `y.sum\(\) > 0` in every example; here it is False"
        ):
            run(-torch.ones(3))
    traced.add_example(-torch.ones(3))
    for sign in (1, -1):
        torch.testing.assert_close(traced(sign * torch.ones(3)), into_fresh(sign * torch.ones(3)))


class Raises(nn.Module):
    """Changes all that it can reach, then raises."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))
        self.weight = nn.Parameter(torch.ones(2))
        self.calls = 0

    def forward(self, x, raises=True):
        self.calls += 1
        self.added = x
        self.count += 1
        self.last = x * 2
        with torch.no_grad():
            self.weight.mul_(3)
        x.add_(1)
        torch.manual_seed(5)
        torch.rand(2), random.random(), np.random.rand()
        if raises:
            raise RuntimeError("midway")
        return x + self.count


def test_a_trace_that_raises_midway_leaves_everything_as_it_was() -> None:
    net, x = Raises().eval(), torch.ones(2)
    last, states = net.last, (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes())
    sized = torch.Tensor.size
    with pytest.raises(RuntimeError, match="midway"):
        unmoor.trace(net, x)
    assert (net.calls, hasattr(net, "added"), net.last is last, float(net.count)) == (0, False, True, 0.0)
    assert x.tolist() == [1, 1] and net.weight.tolist() == [1, 1] and last.tolist() == [0, 0]
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert np.random.get_state()[1].tobytes() == states[2] and torch.Tensor.size is sized
    assert unmoor.trace(torch.relu, torch.ones(2))(-torch.ones(2)).tolist() == [0, 0]
