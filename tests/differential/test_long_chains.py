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


def views_of_views(x):
    for _ in range(1000):
        x = x.unsqueeze(0).squeeze(0)
    return x * 2


def written_through_views(x):
    y = x * 1
    z = y
    for _ in range(500):
        z = z.view(-1, 1).view(-1)
    z.add_(1)
    return y * 2


def numbers_of_numbers(x):
    n, v = x.shape[0], x.sum().item()
    for _ in range(1000):
        n, v = n + 1 - 1, v + 0.5
    return x * v + torch.zeros(n)


@pytest.mark.parametrize("fn", [views_of_views, written_through_views, numbers_of_numbers])
def test_long_chains_are_walked_without_recursion(fn):
    traced = unmoor.trace(fn, torch.ones(4))
    x = torch.randn(6)
    torch.testing.assert_close(traced(x), fn(x), rtol=1e-4, atol=1e-4)
