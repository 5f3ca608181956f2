"""Chains of hundreds of operations: kernels are cut where they would grow without bound."""

from __future__ import annotations

import pytest
import torch

import unmoor


def pointwise(x):
    for k in range(150):
        x = torch.sin(x) + k
    return x


def sums(x):
    y = x.sum() * 0
    for k in range(300):
        y = y + x.sum() * k
    return y


def views(x):
    for k in range(100):
        x = (x.unsqueeze(0) + k).squeeze(0).reshape(2, 2).t().reshape(-1) * 0.5
    return x


@pytest.mark.parametrize("fn", [pointwise, sums, views])
def test_long_chains_compile(fn):
    traced = unmoor.trace(fn, torch.ones(4))
    x = torch.randn(4)
    torch.testing.assert_close(traced(x), fn(x), rtol=1e-4, atol=1e-4)
