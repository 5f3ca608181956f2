"""Numbers made of sizes, as programs make them: the least, the greatest, and tensors of them stay expressions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from unmoor import load, trace
from unmoor.errors import NotTraced, Unsupported

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
    "int of a size": lambda x: x.reshape(int(x.shape[0]) * int(x.shape[1])),
    "int of a quotient": lambda x: torch.arange(int(len(x) / 3) + int(0.75 * len(x)) + int((3 - len(x)) / 2) + 9),
    "float of a whole size": lambda x: x / float(x.size(0)) + math.sqrt(float(x.size(1))),
    "length": lambda x: x.new_zeros(len(x), 2),
    "ints of a shape": lambda x: x.new_ones([int(n) for n in x.shape]) + x.new_ones(tuple(map(int, x.shape))),
    "in a function inside": lambda x: [
        k(x) for k in (lambda y: torch.ones(len(y)), lambda y: y.float() * float(len(y)))
    ],
    "divmod of a size": lambda x: torch.ones(divmod(x.shape[0], 2)),
    "deberta's clamp": lambda x: torch.clamp(x.long(), 0, torch.tensor(x.shape[0]) * 2 - 1),
    "clamped in place": lambda x: (x * 9).clamp_(min=-1, max=torch.tensor(x.shape[1])),
    "longformer's zeros": lambda x: x.new_zeros((torch.tensor(x.size(0)) + 1, 3)),
    "longformer's strides": lambda x: x.as_strided(size=(torch.tensor(len(x)), 1), stride=(x.shape[1], 1)),
    "made of tensors": lambda x: [
        torch.arange(torch.tensor(len(x))) + torch.zeros(torch.tensor(x.shape[0])),
        torch.full((torch.tensor(x.shape[1]), 2), torch.tensor(x.shape[0])),
        torch.ones(size=(torch.tensor(x.shape[1]),)),
    ],
    "repeats of a size": lambda x: x.repeat_interleave(3, dim=1, output_size=x.shape[1] * 3),
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


def test_functions_that_convert_sizes_are_afterwards_as_they_were():
    def kept(x):
        return [int(n) for n in x.shape]

    def fn(x):
        return x.new_zeros(kept(x)), lambda: int("3")

    before = kept.__code__, fn.__code__
    traced = trace(lambda x: fn(x)[0], torch.randn(4, 3))
    assert traced(torch.randn(5, 2)).shape == (5, 2)
    assert (kept.__code__, fn.__code__) == before and "__unmoor_int__" not in kept.__code__.co_names
    assert fn(torch.ones(1))[1]() == 3


def test_an_int_of_data_is_still_guarded_by_what_it_is_compared_with():
    def fn(x):
        rows = int(x.shape[0])
        return x[:rows] * 2 if int(x.sum()) > 3 else x

    traced = trace(fn, torch.ones(3, 2))
    torch.testing.assert_close(traced(torch.ones(5, 4)), torch.full((5, 4), 2.0))
    with pytest.raises(NotTraced, match=r"took the branch `int\(x.sum\(\)\) > 3`"):
        traced(torch.zeros(5, 4))


class Tokens(torch.nn.Module):
    """A module that converts itself to what it already is, as mixtures of experts do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 2)

    def forward(self, x):
        self.inner = self.inner.to(x.dtype)
        return self.inner(x)


def test_numbers_are_results():
    def fn(x):
        return {"rows": x.shape[0], "mean": x.sum().item() / x.numel(), "of": (x.shape[1] * 2, x * 2), "plain": 5}

    traced = trace(fn, torch.randn(4, 3))
    loaded = load(traced.to_bytes(), trust=True)
    for shape in SHAPES:
        x = torch.randn(shape)
        for got in (traced(x), loaded(x), loaded(x.numpy())):
            want = fn(x)
            assert (got["rows"], got["of"][0], got["plain"]) == (shape[0], shape[1] * 2, 5)
            assert type(got["rows"]) is int and type(got["mean"]) is float
            assert got["mean"] == pytest.approx(want["mean"], rel=1e-5, abs=1e-6)
    assert "full([], v" in traced.code and ".item()" in traced.code.rpartition("return")[2]


def test_a_module_is_converted_in_a_trace_only_to_what_it_is():
    fn = Tokens()
    traced = trace(fn.eval(), torch.randn(4, 3))
    with torch.no_grad():
        x = torch.randn(2, 3)
        torch.testing.assert_close(traced(x), fn(x))
    with pytest.raises(Unsupported, match="a Linear is converted inside the trace"):
        trace(lambda x: fn.inner.to(torch.float64)(x.double()), torch.randn(4, 3))


def test_a_check_of_all_elements_is_a_guard_on_one_condition():
    def fn(x):
        torch._check_tensor_all(x > 0, lambda: "negative")
        return x * 2

    traced = trace(fn, torch.ones(3))
    torch.testing.assert_close(traced(torch.ones(2, 5)), torch.full((2, 5), 2.0))
    with pytest.raises(NotTraced, match="was True in every example; here it is False"):
        traced(torch.tensor([1.0, -1.0]))
