"""Strides and as_strided: what the program learns of memory is an expression of sizes, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from unmoor import trace
from unmoor.capture.memory import order_of
from unmoor.errors import NotTraced, Unsupported


def test_the_order_of_axes_in_memory() -> None:
    """Dense memory has one; gaps and overlaps have none."""
    assert order_of((2, 3, 4), (12, 4, 1)) == (0, 1, 2)
    assert order_of((4, 3), (1, 4)) == (1, 0)
    assert order_of((2, 3), (4, 1)) is None
    assert order_of((2, 3), (0, 1)) is None
    assert order_of((), ()) == ()


def _overlapping_chunks(x: torch.Tensor) -> torch.Tensor:
    x = (x * 2).reshape(x.size(0), 2, 4, -1)
    size, stride = list(x.size()), list(x.stride())
    size[1], stride[1] = size[1] * 2 - 1, stride[1] // 2
    return x.as_strided(size, stride)


@pytest.mark.parametrize(
    "fn",
    [
        _overlapping_chunks,
        lambda x: x.transpose(0, 1).as_strided((x.shape[0], 2), (x.shape[1], 1)),
        lambda x: x.as_strided((3,), (2,), 1),
        lambda x: (x.t() * 2).as_strided((2, 2), (1, 2)),
        lambda x: torch.as_strided(x[:, 1:], (2, 2), (3, 1), 1),
        lambda x: x * x.stride(0) + x.t().stride(1),
    ],
)
def test_other_sizes_are_right(fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Each function, traced at one size, gives eager's numbers at others."""
    traced = trace(fn, torch.randn(2, 16))
    for shape in ((2, 16), (3, 24), (5, 8)):
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), fn(x))


def test_what_does_not_fill_its_memory_is_refused() -> None:
    """A part of a larger tensor, and an input that lies otherwise than row by row."""
    with pytest.raises(Unsupported, match="as_strided is supported of tensors that fill their memory"):
        trace(lambda x: x[1:].as_strided((2,), (1,)), torch.randn(3, 4))
    with pytest.raises(Unsupported, match=r"put \.contiguous\(\) before it"):
        trace(lambda x: x.as_strided((2,), (1,)), torch.randn(3, 4).t())


def test_what_strides_freeze_is_held_by_guards() -> None:
    """A call whose tensors lie otherwise is refused."""
    traced = trace(lambda x: x.as_strided((2,), (x.stride(0),)), torch.randn(3, 4))
    assert "uses strides, with x contiguous" in str(traced.assumptions)
    with pytest.raises(NotTraced, match=r"pass x.contiguous"):
        traced(torch.randn(4, 3).t())


def test_marks_of_a_profile_are_no_part_of_the_program() -> None:
    """record_function inside the traced function."""

    def fn(x: torch.Tensor) -> torch.Tensor:
        with torch.autograd.profiler.record_function("doubling"):
            return x * 2

    traced = trace(fn, torch.ones(3))
    assert traced(torch.ones(2)).tolist() == [2, 2]


def test_steps_of_linspace_stay_sizes() -> None:
    """torch takes them as a plain int; the trace does not."""
    traced = trace(lambda x: x + torch.linspace(0, 1, x.shape[-1]), torch.ones(2, 8))
    torch.testing.assert_close(traced(torch.ones(1, 11)), torch.ones(1, 11) + torch.linspace(0, 1, 11))


def test_linspace_takes_its_arguments_by_name() -> None:
    """As the windows of torch.signal call it."""
    traced = trace(lambda x: x + torch.linspace(start=0, end=1, steps=x.shape[0], dtype=torch.float32), torch.ones(8))
    torch.testing.assert_close(traced(torch.ones(5)), torch.ones(5) + torch.linspace(0, 1, 5))
    plain = trace(lambda x: x + torch.linspace(start=0, end=1, steps=3), torch.ones(3))
    torch.testing.assert_close(plain(torch.ones(3)), torch.ones(3) + torch.linspace(0, 1, 3))
