"""Integers divided by zero or to a negative power are refused, as eager PyTorch does; floats are as in IEEE 754."""

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


POWERS = [lambda x: x**2, lambda x: 2**x, lambda x: torch.pow(x, torch.tensor(3)), lambda x: x**2.5]


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_powers_of_integers(power, dtype):
    x = torch.tensor([0, 1, 2, 3]).to(dtype)
    got = unmoor.trace(power, x)(x)
    torch.testing.assert_close(got, power(x), rtol=1e-6, atol=0)


def test_negative_powers():
    base, exponent = torch.tensor([1, -1, 2, -1]), torch.tensor([-1, -1, -2, -2])
    traced = unmoor.trace(torch.pow, base, exponent)
    assert torch.equal(traced(base, exponent), torch.pow(base, exponent))
    by_number = unmoor.trace(lambda x, n: x ** n.item(), base, torch.tensor(2))
    assert torch.equal(by_number(base, torch.tensor(3)), base**3)
    with pytest.raises(unmoor.NotTraced, match="integers to negative integer powers, where eager PyTorch raises"):
        by_number(base, torch.tensor(-1))
    by_size = unmoor.trace(lambda x: x ** (x.shape[0] - 2), base)
    with pytest.raises(unmoor.SignatureError):
        by_size(base[:1])
    with pytest.raises(unmoor.Unsupported, match=r"power of bool by bool.*\.long\(\)"):
        unmoor.trace(lambda x: torch.pow(x, True), base > 0)
