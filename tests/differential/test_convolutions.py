"""Convolutions against eager PyTorch, at sizes where tiles of rows begin and end anywhere in an image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import unmoor

CONVOLUTIONS = {
    "images of 7 x 7": (lambda: nn.Conv2d(16, 20, 3, 1, 1), (2, 16, 7, 7), (1, 16, 7, 67)),
    "three channels": (lambda: nn.Conv2d(3, 64, 7, 2, 3), (1, 3, 23, 31), (1, 3, 5, 91)),
    "more channels than a block": (lambda: nn.Conv2d(300, 50, 3, 2, 1), (1, 300, 9, 6), (1, 300, 2, 3)),
    "every second place": (lambda: nn.Conv2d(32, 48, 1, 2), (1, 32, 14, 14), (3, 32, 5, 4)),
    "one dim": (lambda: nn.Conv1d(8, 20, 5, 1, 2), (1, 8, 40), (2, 8, 400)),
    "padded above and below": (lambda: nn.Conv2d(8, 12, (3, 1), 1, (1, 0)), (1, 8, 9, 9), (1, 8, 1, 200)),
    "padded left and right": (lambda: nn.Conv2d(8, 12, (1, 3), 1, (0, 1)), (1, 8, 9, 9), (1, 8, 200, 1)),
    "three dims": (lambda: nn.Conv3d(4, 8, 3, 1, 1), (1, 4, 5, 6, 7), (2, 4, 2, 9, 8)),
    "groups and dilation": (lambda: nn.Conv2d(8, 16, 3, 1, 2, 2, groups=2), (1, 8, 9, 9), (1, 8, 20, 17)),
    "groups of four": (lambda: nn.Conv2d(20, 20, 3, 1, 1, groups=5), (2, 20, 7, 9), (1, 20, 4, 31)),
    "groups of two, every second place": (lambda: nn.Conv2d(24, 24, 3, 2, 1, groups=12), (1, 24, 9, 30), (1, 24, 5, 4)),
    "groups of eight": (lambda: nn.Conv2d(24, 24, 3, 1, 1, groups=3), (1, 24, 6, 17), (1, 24, 3, 3)),
    "groups of three, four outputs each": (lambda: nn.Conv2d(9, 12, (3, 5), groups=3), (1, 9, 6, 17), (1, 9, 3, 6)),
    "groups of twenty": (
        lambda: nn.Sequential(nn.Conv2d(40, 40, 1, groups=2), nn.ReLU()),
        (1, 40, 5, 7),
        (2, 40, 3, 3),
    ),
    "groups of four, one dim": (lambda: nn.Conv1d(16, 16, 3, 1, 2, 2, groups=4), (1, 16, 30), (2, 16, 9)),
    "groups of four, three dims": (lambda: nn.Conv3d(8, 8, 3, 1, 1, groups=2), (1, 8, 3, 5, 15), (1, 8, 2, 2, 2)),
    "patches": (lambda: nn.Conv2d(8, 16, 4, 4), (1, 8, 16, 20), (2, 8, 50, 60)),
    "more padding than taps": (lambda: nn.Conv2d(8, 8, 3, 1, 4), (1, 8, 5, 5), (1, 8, 3, 30)),
    "transposed": (lambda: nn.ConvTranspose2d(8, 6, 3, 2, 1), (1, 8, 6, 7), (1, 8, 3, 30)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str) -> None:
    make, shape, other = CONVOLUTIONS[name]
    torch.manual_seed(0)
    module, x, y = make().eval(), torch.randn(shape), torch.randn(other)
    traced = unmoor.trace(module, x)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), module(x), rtol=5e-5, atol=2e-5)
        torch.testing.assert_close(traced(y), module(y), rtol=5e-5, atol=2e-5)


def test_a_batch_of_products_over_no_elements_is_zeros() -> None:
    traced = unmoor.trace(torch.matmul, torch.randn(2, 3, 5, 6), torch.randn(2, 3, 6, 7))
    assert torch.equal(traced(torch.randn(2, 3, 5, 0), torch.randn(2, 3, 0, 7)), torch.zeros(2, 3, 5, 7))
