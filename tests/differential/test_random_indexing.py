"""Random indexing and assignments, against eager PyTorch, at the traced sizes and at others."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

import unmoor

TENSORS = ((), (3,), (2, 1), (3,))  # shapes of the index tensors that items refer to by number


def random_items(r: random.Random, rank: int) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for _ in range(r.randint(1, rank)):
        kind = r.choices(("number", "slice", "new", "tensor", "list"), (2, 3, 1, 3, 1))[0]
        made: Any = {"number": r.randint(-2, 1), "new": None, "tensor": r.randint(0, 3)}.get(kind)
        if kind == "slice":
            made = slice(r.choice([None, 0, 1, -2]), r.choice([None, 2, -1, 100]), r.choice([None, 1, 2]))
        items.append((kind, r.choice([[0, 1], [1, -1, 0]]) if kind == "list" else made))
    if r.random() < 0.3:
        items.insert(r.randint(0, len(items)), ("new", ...))
    return items


@pytest.mark.parametrize("seed", range(80))
def test_random_items(seed):
    r = random.Random(seed)
    torch.manual_seed(seed)
    rank = r.randint(1, 3)
    items, mode = random_items(r, rank), r.choice(("get", "set", "number", "add", "mask"))

    def program(x, v, *tensors):
        index = tuple(tensors[made] if kind == "tensor" else made for kind, made in items)
        if mode == "get":
            return x[index]
        y = x * 1
        if mode == "set":
            y[index] = x[index] * 2 + v
        elif mode == "number":
            y[index] = 3
        elif mode == "add":
            y[index] += v
        else:
            y[index] = torch.where(y[index] > 0, v, y[index])
            y[y < 0] = v
        return y

    def arguments(shape):
        return torch.randn(shape), torch.randn(()), *(torch.randint(-2, 2, s) for s in TENSORS)

    shape = [r.randint(2, 4) for _ in range(rank)]
    first, second = arguments(shape), arguments([n + r.randint(0, 3) for n in shape])
    try:
        program(*first)
        wanted = [program(*a) for a in (first, second)]
    except (IndexError, RuntimeError):
        return  # eager PyTorch refuses these items for such a tensor
    traced = unmoor.trace(program, *first)
    for given, want in zip((first, second), wanted, strict=True):
        torch.testing.assert_close(traced(*given), want, rtol=0, atol=0)
