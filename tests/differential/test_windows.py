"""Windows of every kind against eager PyTorch: blocks of them inside, single ones at the borders, part of a vector at
the end of the channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import unmoor


def depthwise(channels: int, taps: object, *more: object, times: int = 1) -> nn.Module:
    return nn.Conv2d(channels, channels * times, taps, *more, groups=channels)


WINDOWS = {
    "3x3": (lambda: depthwise(19, 3, 1, 1), (2, 19, 9, 17)),
    "3x3 stride 2": (lambda: depthwise(8, 3, 2, 1), (1, 8, 15, 20)),
    "5x5": (lambda: depthwise(24, 5, 1, 2), (1, 24, 8, 14)),
    "5x5 stride 2 with ReLU6": (lambda: nn.Sequential(depthwise(16, 5, 2, 2), nn.ReLU6()), (1, 16, 14, 21)),
    "7x7 on a smaller image": (lambda: depthwise(8, 7, 1, 3), (1, 8, 4, 5)),
    "dilated, more padding than taps": (lambda: depthwise(9, (2, 3), 1, (3, 5), (1, 2)), (1, 9, 6, 11)),
    "no padding": (lambda: depthwise(8, 3), (1, 8, 7, 13)),
    "two outputs for a channel": (lambda: depthwise(8, 3, 1, 1, times=2), (1, 8, 6, 9)),
    "one dim": (lambda: nn.Conv1d(16, 16, 4, padding=2, groups=16), (2, 16, 23)),
    "three dims": (lambda: nn.Conv3d(8, 8, 3, padding=1, groups=8), (1, 8, 4, 5, 9)),
    "largest": (lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Hardswish()), (1, 17, 12, 19)),
    "mean": (lambda: nn.AvgPool2d(3, 1, 1), (1, 16, 6, 13)),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    make, shape = WINDOWS[name]
    torch.manual_seed(0)
    module, x = make().eval(), torch.randn(shape)
    traced = unmoor.trace(module, x)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), module(x), rtol=2e-5, atol=2e-5)
        wider = F.pad(x, (0, 8))
        torch.testing.assert_close(traced(wider), module(wider), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("step", [1, 2])
def test_windows_of_a_padded_image_of_any_size_divide_no_index(step: int) -> None:
    """A division for each element would cost more than the sum; what lies outside is a bound of the fold."""
    x = torch.randn(1, 8, 15, 20)
    text = str(unmoor.trace(depthwise(8, 3, step, 1).eval(), x).kernels_for(x))
    (fold,) = (line for line in text.splitlines() if "fold" in line)
    assert " where 0 <= " in fold
    assert "select" not in text
    assert "%" not in text


def test_padding_is_never_read() -> None:
    """Not even where a weight is no number that 0 times it would be 0."""
    module = depthwise(8, 3, 1, 1).eval()
    with torch.no_grad():
        module.weight[:, :, 0, 0] = float("inf")
        got = unmoor.trace(module, torch.ones(1, 8, 4, 9))(torch.ones(1, 8, 4, 9))
    assert torch.isinf(got[:, :, 1:, 1:]).all()
    assert torch.isfinite(got[:, :, 0]).all()
    assert torch.isfinite(got[:, :, :, 0]).all()
