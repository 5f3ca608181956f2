"""Layers with random settings, traced at one size and called at others: eager PyTorch's numbers, or its error."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import unmoor

Program = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[], torch.Tensor]]


def convolution(r: random.Random) -> Program:
    rank = r.choice([1, 2])
    kinds = ([nn.Conv1d, nn.ConvTranspose1d], [nn.Conv2d, nn.ConvTranspose2d])[rank - 1]
    taps = [r.randint(1, 3) for _ in range(rank)]
    settings = {"stride": r.randint(1, 3), "padding": r.randint(0, 2), "dilation": r.randint(1, 2)}
    layer = r.choice(kinds)(4, r.choice([4, 8]), taps, bias=r.random() < 0.5, groups=r.choice([1, 2, 4]), **settings)
    after = r.choice(
        [
            torch.relu,
            lambda x: x.sum(-1),
            lambda x: x.permute(*range(x.dim() - 1, -1, -1)) * 2,
            lambda x: x + x.mean(1, keepdim=True),
        ]
    )
    return lambda x: after(layer(x)), lambda: torch.randn(r.randint(1, 3), 4, *(r.randint(6, 11) for _ in range(rank)))


def pool(r: random.Random) -> Program:
    rank, taps, step, ceil, inside = (
        r.choice([1, 2]),
        r.randint(1, 3),
        r.randint(1, 3),
        r.random() < 0.4,
        r.random() < 0.5,
    )
    margin = r.randint(0, taps // 2)
    most, mean, adaptive = (
        (F.max_pool1d, F.avg_pool1d, F.adaptive_avg_pool1d),
        (F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d),
    )[rank - 1]
    fn = r.choice(
        [
            lambda x: most(x, taps, step, margin, 1, ceil),
            lambda x: mean(x, taps, step, margin, ceil, inside),
            lambda x: adaptive(x, taps),
        ]
    )
    return fn, lambda: torch.randn(r.randint(1, 3), 3, *(r.randint(5, 11) for _ in range(rank)))


def product(r: random.Random) -> Program:
    columns = r.choice([1, 3, 9, 70])
    w = torch.randn(8, columns)
    fn = r.choice(
        [
            lambda x: torch.matmul(x, (w * x.mean()).expand(x.shape[0], 8, columns)),
            lambda x: x @ w.expand(1, 8, columns),
            lambda x: x.transpose(1, 2) @ (x[:1].expand_as(x) * 2),
            lambda x: (x @ x.transpose(-1, -2)).flip(0) @ x,
        ]
    )
    return fn, lambda: torch.randn(r.randint(1, 4), r.randint(1, 6), 8)


@pytest.mark.parametrize("make", [convolution, pool, product])
@pytest.mark.parametrize("seed", range(12))
def test_random_layer(make: Callable[[random.Random], Program], seed: int) -> None:
    torch.manual_seed(seed)
    fn, tensor = make(random.Random(seed))
    with torch.no_grad():
        traced = unmoor.trace(fn, tensor())
        for _ in range(3):
            x = tensor()
            try:
                want = fn(x)
            except RuntimeError:
                with pytest.raises(unmoor.UnmoorError):
                    traced(x)
                continue
            torch.testing.assert_close(traced(x), want, rtol=1e-3, atol=1e-4)
