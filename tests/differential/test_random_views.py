"""Random chains of views into both operands of products, against eager PyTorch; around the inputs' memory lie NaNs.

A product reads views in place where it can. What it would read beside a tensor shows as NaN in the result.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

import unmoor

Shape = tuple[int, ...]
View = Callable[[torch.Tensor], torch.Tensor]
MARGIN = 5000  # elements of NaN on both sides of an input


def permuted(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    order = r.sample(range(len(shape)), len(shape))
    source = tuple(shape[order.index(a)] for a in range(len(shape)))
    return source, lambda x: x.permute(order)


def transposed(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    a, b = r.sample(range(-len(shape), 0), 2)
    source = list(shape)
    source[a], source[b] = source[b], source[a]
    return tuple(source), lambda x: x.transpose(a, b)


def expanded(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    axis, kept = r.randrange(len(shape)), r.random() < 0.5
    sizes = [-1 if kept and a != axis else n for a, n in enumerate(shape)]
    return (*shape[:axis], 1, *shape[axis + 1 :]), lambda x: x.expand(sizes)


def sliced(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    axis, first, step, behind = r.randrange(len(shape)), r.randint(0, 3), r.choice((1, 1, 2, 3)), r.randint(0, 3)
    size = shape[axis]
    items = (slice(None),) * axis + (slice(first, first + size * step, step),)
    return (*shape[:axis], first + size * step + behind, *shape[axis + 1 :]), lambda x: x[items]


def selected(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    axis, size = r.randint(0, len(shape)), r.randint(1, 3)
    place = r.randint(-size, size - 1)
    return (*shape[:axis], size, *shape[axis:]), lambda x: x.select(axis, place)


def unsqueezed(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    ones = [a for a, n in enumerate(shape) if n == 1 and len(shape) > 1]
    if not ones:
        return expanded(r, shape)
    axis = r.choice(ones)
    return (*shape[:axis], *shape[axis + 1 :]), lambda x: x.unsqueeze(axis)


def reshaped(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    if r.random() < 0.5 and len(shape) > 1:
        axis = r.randrange(len(shape) - 1)
        joined = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
        return joined, lambda x: x.reshape(shape)
    axis = r.randrange(len(shape))
    parts = next((p for p in (2, 3, 5) if shape[axis] % p == 0), 1)
    return (*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :]), lambda x: x.reshape(shape)


def chain(r: random.Random, shape: Shape) -> tuple[Shape, View]:
    """The shape of a source, and views that make a tensor of `shape` from it."""
    views: list[View] = []
    kinds = (permuted, transposed, expanded, sliced, selected, unsqueezed, reshaped)
    for _ in range(r.randint(0, 4)):
        if len(shape) < 2 or len(shape) > 5:
            break
        shape, view = r.choice(kinds)(r, shape)
        views.insert(0, view)

    def apply(x: torch.Tensor) -> torch.Tensor:
        for view in views:
            x = view(x)
        return x

    return shape, apply


def surrounded(shape: Shape) -> torch.Tensor:
    """Random numbers in the middle of NaNs."""
    size = torch.Size(shape).numel()
    memory = torch.full((size + 2 * MARGIN,), float("nan"))
    memory[MARGIN : MARGIN + size] = torch.randn(size)
    return memory[MARGIN : MARGIN + size].view(shape)


def product(r: random.Random) -> tuple[tuple[Shape, Shape], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """The shapes of two sources, and a product of views of them; either may be a constant or computed before."""
    batch, rows = r.choice((1, 2, 3)), r.choice((1, 2, 7, 13))
    depth, columns = r.choice((1, 4, 9, 70)), r.choice((1, 3, 16, 50, 97))
    kind = r.choice(("matmul", "bmm", "broadcast", "linear"))
    wanted: tuple[Shape, Shape] = {
        "matmul": ((rows, depth), (depth, columns)),
        "bmm": ((batch, rows, depth), (batch, depth, columns)),
        "broadcast": (
            (batch, 2, rows, depth),
            r.choice(((depth, columns), (2, depth, columns), (1, 1, depth, columns))),
        ),
        "linear": ((batch, rows, depth), (columns, depth)),
    }[kind]
    (left_shape, left), (right_shape, right) = (chain(r, shape) for shape in wanted)
    multiply = {"matmul": torch.mm, "bmm": torch.bmm, "broadcast": torch.matmul, "linear": F.linear}[kind]
    constant = torch.randn(right_shape) if r.random() < 0.3 else None
    computed = r.random() < 0.3

    def program(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = x * 2 if computed else x
        return multiply(left(x), right(y if constant is None else constant + y.sum() * 0 if computed else constant))

    return (left_shape, right_shape), program


@pytest.mark.parametrize("seed", range(10))
def test_products_of_random_views(seed: int) -> None:
    torch.manual_seed(seed)
    r = random.Random(seed)
    shapes, programs = zip(*(product(r) for _ in range(5)), strict=True)

    def together(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(p(*tensors[2 * k : 2 * k + 2]) for k, p in enumerate(programs))

    first, second = ([surrounded(s) for pair in shapes for s in pair] for _ in range(2))
    with torch.no_grad():
        traced = unmoor.trace(together, *first)
        for tensors in (first, second):
            for got, want in zip(traced(*tensors), together(*tensors), strict=True):
                torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
