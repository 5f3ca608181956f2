"""Functions with ops of several parts, traced at one size and called at others: eager PyTorch's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from unmoor import trace
from unmoor.errors import Unsupported

PICTURES = ((2, 3, 8, 8), (1, 3, 9, 5))
ROWS = ((3, 8), (5, 7), (1, 1))
SQUARE = ((3, 3),)
EMPTIES = ((3, 4), (0, 4), (3, 0), (0, 0))


def _identity(x: torch.Tensor) -> torch.Tensor:
    return F.affine_grid(torch.eye(2, 3).expand(x.shape[0], 2, 3), list(x.shape), align_corners=False)


FUNCTIONS: list[tuple[str, Callable[..., Any], tuple[tuple[int, ...], ...]]] = [
    ("grid_sample", lambda x: F.grid_sample(x, x[..., :2] * 0.5, align_corners=True), ((2, 3, 6, 4), (1, 2, 3, 5))),
    ("nearest grid", lambda x: F.grid_sample(x, _identity(x), mode="nearest", align_corners=False), PICTURES),
    ("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, (3, 2), return_indices=True), PICTURES),
    ("adaptive_max_pool1d", lambda x: F.adaptive_max_pool1d(x, 4), ((2, 3, 8), (1, 3, 4), (2, 2, 9))),
    ("max_unpool2d", lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), ((1, 2, 4, 6),)),
    ("fold", lambda x: F.fold(F.unfold(x, 3, padding=1), x.shape[-2:], 3, padding=1), ((2, 3, 8, 8),)),
    ("index_reduce", lambda x: x.index_reduce(0, torch.tensor([0, 0]), x[:2] + 1, "mean"), ((3, 8), (2, 7))),
    ("quantile", lambda x: torch.quantile(x, torch.tensor([0.1, 0.75]), 1), ROWS),
    ("quantile of all", lambda x: torch.quantile(x, 0.3, interpolation="higher"), ROWS),
    ("vander", lambda x: torch.vander(x[0], 3), ROWS),
    ("combinations", lambda x: torch.combinations(x[0]), ((3, 8), (5, 8))),
    ("matrix_power", lambda x: torch.linalg.matrix_power(x + torch.eye(3), 3), SQUARE),
    ("a product with itself", lambda x: (x @ x.T + 1) @ (x @ x.T + 1), ROWS),
    ("a row alone", lambda x: x @ (torch.arange(42000.0).view(600, 70).sin() / 600), ((5, 600), (1, 600), (2, 600))),
    ("softmax along nothing", lambda x: x.softmax(-1), EMPTIES),
    (
        "softmax of a number",
        lambda x: torch.cat([(x[0, 0] * v).softmax(0).view(1) for v in (0.0, 2.0, math.inf)]),
        ROWS,
    ),
    ("log_softmax along nothing", lambda x: F.log_softmax(x, 0), EMPTIES),
    ("attention without keys", lambda x: F.scaled_dot_product_attention(x.new_ones(2, 4), x, x), EMPTIES[:2]),
    ("weight norm", lambda x: torch._weight_norm(x, x[:, :1], 0), ROWS),
]


@pytest.mark.parametrize(("fn", "shapes"), [f[1:] for f in FUNCTIONS], ids=[f[0] for f in FUNCTIONS])
def test_other_sizes_are_right(fn: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    """At the traced size, and at the others."""
    torch.manual_seed(0)
    traced = trace(fn, torch.randn(shapes[0]))
    for shape in shapes:
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), fn(x), equal_nan=True)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: torch.add(x, x, alpha=0.3),
        lambda x: F.interpolate(x[None], size=5, mode="linear"),
        lambda x: torch.linspace(0, 1, 9, dtype=torch.bfloat16) + x[0, 0],
        lambda x: torch.arange(0, 1, 0.01, dtype=torch.bfloat16) + x[0, 0],
        lambda x: F.adaptive_avg_pool3d(x[None, None], (1, 2, 3)),
    ],
)
def test_what_eager_rounds_by_its_vectors_is_refused(fn: Callable[..., Any]) -> None:
    """Half floats whose bits no program can promise."""
    with pytest.raises(Unsupported):
        trace(fn, torch.randn(4, 6).to(torch.bfloat16))
