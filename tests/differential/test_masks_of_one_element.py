"""Masks of rank 0: what they select and what is assigned by them, against eager PyTorch."""

from __future__ import annotations

import torch

import unmoor


def numbers(*sizes):
    return torch.arange(1.0, 1 + torch.Size(sizes).numel()).reshape(sizes)


def set_by_mask(x, m):
    x[m] = x + 1
    x[:, m] = 7
    x[~m] += 1
    x[m, 0] = 5
    return x * 1


def set_by_its_own(x):
    y = x.sum()
    y[y > 3] = 1.0
    return y, y[y > 3]


def test_masks_of_one_element():
    traced = unmoor.trace(set_by_mask, numbers(2, 3), torch.tensor(True))
    own = unmoor.trace(set_by_its_own, numbers(2, 3))
    for held in (True, False):
        x, given, m = numbers(2, 3), numbers(2, 3), torch.tensor(held)
        assert torch.equal(traced(given, m), set_by_mask(x, m)) and torch.equal(given, x)
        for w, g in zip(set_by_its_own(x * held), own(x * held), strict=True):
            assert torch.equal(w, g)
    for read in (lambda x, m: x[m], lambda x, m: x[:, m], lambda x, m: x[m, 0], lambda x, m: x[..., m]):
        traced = unmoor.trace(read, numbers(2, 3), torch.tensor(True))
        for held in (True, False):
            assert torch.equal(traced(numbers(3, 4), torch.tensor(held)), read(numbers(3, 4), torch.tensor(held)))
