"""Numbers made of sizes, as programs make them: the least, the greatest, and tensors of them stay expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unmoor import trace
from unmoor.errors import NotTraced

SHAPES = ((8, 3), (5, 4), (4, 9), (2, 2), (1, 1))

PROGRAMS: dict[str, Callable[[torch.Tensor], Any]] = {
    "min with a number": lambda x: x[: min(x.shape[0], 4)] * 2,
    "max with a number": lambda x: torch.zeros(max(3, x.size(0)), x.shape[1]) + x.sum(),
    "clamped": lambda x: torch.arange(min(max(x.size(0), x.size(1)), 6)),
    "of a shape": lambda x: x / max(x.shape) + torch.ones(min([*x.shape, 3])).sum(),
    "with floats": lambda x: x * max(0.5, x.shape[0] * 0.25),
    "tensor of a size": lambda x: x * torch.tensor(x.shape[0]),
    "root of a size": lambda x: x / torch.sqrt(torch.tensor(x.size(-1), dtype=torch.float32)),
    "float of a size": lambda x: x * torch.tensor(x.shape[0] * 1.5),
    "tensor of a shape": lambda x: torch.tensor(x.shape) * 2,
    "height and width": lambda x: x.sum() / torch.as_tensor([[x.shape[0], 1], [x.shape[1] // 2, 2.5]]),
    "in int32": lambda x: torch.tensor([x.shape[0], 7], dtype=torch.int32),
    "log of a length": lambda x: x * torch.log(torch.tensor(x.shape[0] + 1.0)),
    "item of a size": lambda x: torch.zeros(torch.tensor(x.shape[0]).item() + 1),
    "row of a shape": lambda x: x.new_ones(torch.tensor([x.shape[1], x.shape[0]])[0].item(), 2) * x.shape[0],
    "each of a shape": lambda x: [torch.arange(n.item() * 2) for n in torch.tensor(x.shape)],
    "longformer's chunks": lambda x: x.repeat(4, 1).view(torch.div(x.size(0) * 4, 4, rounding_mode="trunc"), 4, -1),
    "deberta's slice": lambda x: x[8 - torch.tensor(x.shape[0]) : 8 + torch.tensor(x.shape[0])] * x.shape[0],
    "floor division": lambda x: x.repeat(2, 1).reshape(torch.div(x.size(0) * 2, 2, rounding_mode="floor"), -1),
    "tensor of a value": lambda x: x + torch.tensor([x.sum().item(), 1.0]).sum(),
    "deberta's scale": lambda x: x / torch.tensor(min(max(x.size(-2), x.size(-1)), 6) + 1, dtype=torch.float).sqrt(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers_of_sizes(name: str) -> None:
    fn = PROGRAMS[name]
    torch.manual_seed(0)
    traced = trace(fn, torch.randn(SHAPES[0]))
    if name != "with floats":
        assert "looped" not in traced.assumptions and "branch" not in traced.assumptions
    for shape in SHAPES if name != "with floats" else SHAPES[:1]:
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), fn(x))


def test_an_item_that_only_sizes_decide_is_pinned():
    def fn(x):
        return torch.zeros(int(torch.tensor(x.shape[0]).bitwise_or(1).item()), 2)

    traced = trace(fn, torch.randn(4, 3))
    torch.testing.assert_close(traced(torch.randn(4, 5)), fn(torch.randn(4, 5)))
    with pytest.raises(NotTraced):
        traced(torch.randn(6, 3))
