"""Sizes that are 1 without being written so: an axis that a slice or a model's own arithmetic leaves one of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import unmoor


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x / (x[:, -1:] + 1),
        lambda x: x * x[:, x.shape[1] - 1 : x.shape[1]],
        lambda x: x + x[:, : x.shape[1] // x.shape[1]],
        lambda x: x[:, 3 - x.shape[0] :][:, :1] - x,
        lambda x: x[:, -1:].expand(-1, 4) @ x.new_ones(4, x.shape[1]),
        lambda x: torch.where(x > 0, x[:, -1:], x[-1:]),
    ],
)
def test_it_is_repeated(f):
    x = torch.rand(2, 5) - 0.5
    traced = unmoor.trace(f, x)
    torch.testing.assert_close(traced(x), f(x))


def test_a_gate_of_one_channel_is_computed_with_its_contraction():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid()).eval()
    traced = unmoor.trace(lambda x: net(x) * 10, torch.randn(2, 3, 8, 8))
    for size in (8, 11):
        x = torch.randn(3, 3, size, size)
        torch.testing.assert_close(traced(x), net(x).detach() * 10, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1.05, 1.1])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_a_scale_that_keeps_the_size(mode, factor):
    def f(x):
        return nn.functional.interpolate(x, scale_factor=factor, mode=mode)

    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(unmoor.trace(f, x)(x), f(x), rtol=1e-4, atol=1e-5)
