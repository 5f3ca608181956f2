"""Integers divided by zero are refused, as eager PyTorch refuses them; floats give what IEEE 754 says."""

from __future__ import annotations

import pytest
import torch

import unmoor

OPS = {
    "remainder": lambda a, b: a % b,
    "floor": lambda a, b: a // b,
    "truncated": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
    "fmod": torch.fmod,
}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_by_data(op):
    traced = unmoor.trace(op, torch.tensor([7, -7]), torch.tensor([2, 3]))
    saved = unmoor.load(traced.to_bytes(), trust=True)
    for run in (traced, saved):
        given = torch.tensor([-5, 8]), torch.tensor([3, -3])
        assert torch.equal(run(*given), op(*given))
        with pytest.raises(unmoor.NotTraced, match=r"divides integers by zero, where eager PyTorch raises"):
            run(torch.tensor([1, 2]), torch.tensor([1, 0]))


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_by_a_size(op):
    traced = unmoor.trace(lambda x: op(torch.arange(5), x.shape[0]), torch.ones(3))
    assert torch.equal(traced(torch.ones(2)), op(torch.arange(5), 2))
    with pytest.raises(unmoor.SignatureError, match="divides integers by zero"):
        traced(torch.ones(0))
    empty = unmoor.trace(lambda x: op(x.long(), x.shape[0]), torch.ones(3))
    assert empty(torch.ones(0)).shape == (0,)


def test_by_an_element():
    traced = unmoor.trace(lambda x, n: x // n.item(), torch.tensor([7, 9]), torch.tensor(2))
    assert traced(torch.tensor([7, 9]), torch.tensor(4)).tolist() == [1, 2]
    with pytest.raises(unmoor.NotTraced, match="divides integers by zero"):
        traced(torch.tensor([7, 9]), torch.tensor(0))


def test_a_size_by_a_tensor():
    traced = unmoor.trace(lambda x: x.shape[0] % torch.arange(1, 4), torch.ones(3))
    assert traced(torch.ones(5)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_floats_are_not_refused(op):
    traced = unmoor.trace(op, torch.ones(2), torch.ones(2))
    given = torch.tensor([1.0, 0.0]), torch.zeros(2)
    torch.testing.assert_close(traced(*given), op(*given), equal_nan=True)
