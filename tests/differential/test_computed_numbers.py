"""Numbers that the program computes from sizes and tensors, where ops take a number: right, or refused by name."""

from __future__ import annotations

import pytest
import torch

import unmoor

RIGHT = {
    "full": lambda x: x + torch.full([x.shape[0]], x.shape[0] / 3),
    "full of an element": lambda x: torch.full((2,), x.sum().item()),
    "full of a dtype": lambda x: torch.full((2,), x.sum().item(), dtype=torch.int64),
    "full of a place": lambda x: torch.full((x.shape[0],), x.argmax().item()),
    "full_like": lambda x: torch.full_like(x, x.sum().item()),
    "new_full": lambda x: x.new_full((2, 3), x.shape[0] / 2),
    "scalar_tensor": lambda x: torch.scalar_tensor(x.shape[0] / 3),
    "fill_": lambda x: torch.zeros(3).fill_(x.sum().item()),
    "masked_fill": lambda x: x.masked_fill(x > 0, x.shape[0] / 3),
    "index_fill": lambda x: x.index_fill(0, torch.tensor([0]), x.shape[0] / 3),
    "clamp": lambda x: x.clamp(max=x.shape[0] / 3),
    "pow": lambda x: torch.pow(x.shape[0] / 3, x),
    "scatter": lambda x: x.scatter(0, torch.tensor([1]), x.shape[0] / 3),
    "where": lambda x: torch.where(x > 0, x.shape[0] / 3, 0.0),
    "alpha": lambda x: torch.add(x, x * 2, alpha=x.shape[0] / 3),
    "alpha in place": lambda x: x.clone().sub_(x * x, alpha=x.sum().item()),
    "lerp": lambda x: torch.lerp(x, x * 2, x.shape[0] / 3),
}
REFUSED = {
    "linspace": lambda x: torch.linspace(0, x.shape[0] / 2, 5),
    "arange": lambda x: torch.arange(0, x.sum().item(), 1.0),
    "elu": lambda x: torch.nn.functional.elu(x, x.shape[0] / 3),
}


@pytest.mark.parametrize("fn", RIGHT.values(), ids=RIGHT)
def test_computed_numbers_are_values(fn):
    traced = unmoor.trace(fn, torch.tensor([1.0, -2.0, 3.0, 4.0]))
    for x in (torch.tensor([1.0, -2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0, 3.0, 5.0, 4.0, 8.0])):
        torch.testing.assert_close(traced(x), fn(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fn", REFUSED.values(), ids=REFUSED)
def test_numbers_that_a_kernel_has_in_its_code_are_refused(fn):
    with pytest.raises(unmoor.Unsupported, match=r"test_computed_numbers.py:\d+: .* a plain number is needed"):
        unmoor.trace(fn, torch.tensor([1.0, -2.0, 3.0, 4.0]))
