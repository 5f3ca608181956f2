"""Loops that turn what they read, against eager PyTorch: whole tiles, and narrower blocks at the edges."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import unmoor

Function = Callable[..., torch.Tensor]
TURNED: dict[str, Function] = {
    "a matrix": lambda x: x.t().contiguous(),
    "channels last": lambda x: x.view(1, *x.shape).permute(0, 2, 1).contiguous(),
    "with work": lambda x: torch.relu(x.t() * 2 + 1),
    "beside what is not turned": lambda x: x.t() + x.sum(0)[:, None],
    "as bool": lambda x: (x.t() > 0) | (x.t() < -1),
}
SHAPES = ((64, 48), (17, 33), (9, 70), (40, 3), (3, 40), (1, 20))


@pytest.mark.parametrize("name", TURNED)
def test_turned_as_eager_does(name: str) -> None:
    torch.manual_seed(0)
    traced = unmoor.trace(TURNED[name], torch.randn(5, 7))
    for shape in SHAPES:
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), TURNED[name](x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_elements_of_every_size(dtype: torch.dtype) -> None:
    traced = unmoor.trace(lambda x: x.t().contiguous(), torch.zeros(4, 4, dtype=dtype))
    for shape in SHAPES:
        x = torch.randint(0, 100, shape).to(dtype)
        assert torch.equal(traced(x), x.t())
