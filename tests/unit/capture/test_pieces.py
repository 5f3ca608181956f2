"""Splits by sizes that the program computes: their number is a condition of the trace, the sizes stay symbolic."""

from __future__ import annotations

import torch

import unmoor


def test_halves_of_any_size():
    def f(x):
        left, right = torch.split(x, x.shape[-1] // 2, dim=-1)
        return left - right

    traced = unmoor.trace(f, torch.randn(2, 6))
    for n in (6, 10, 2):
        x = torch.randn(3, n)
        torch.testing.assert_close(traced(x), f(x))
