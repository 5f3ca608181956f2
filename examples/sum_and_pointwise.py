"""Traced at shape (2,), called at (3, 3): sizes and ranks are specialised on first use, never traced again."""

import torch

import unmoor


def total(x):
    return x.sum()


def pointwise(x):
    return torch.relu(x * 2.0 + 1.0)


for function in (total, pointwise):
    traced = unmoor.trace(function, torch.tensor([2.0, 2.0]))
    x = torch.randn(3, 3)
    print(function.__name__, tuple(traced(x).shape))
    torch.testing.assert_close(traced(x), function(x))
    assert len(traced.signatures) == 2

assert total(torch.randn(3, 3)).dim() == 0
