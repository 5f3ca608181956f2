"""Faults that random programs found, each as small as it gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import unmoor
from unmoor.errors import NotTraced, SignatureError, Unsupported
from unmoor.ops import TABLE


def agrees(fn: Callable[..., Any], *calls: tuple[torch.Tensor, ...]) -> None:
    """Traced on the first call, `fn` gives what eager PyTorch does in each of them, or refuses those after it."""
    traced = unmoor.trace(fn, *(t.clone() for t in calls[0]))
    for number, call in enumerate(calls):
        given, wanted = [t.clone() for t in call], [t.clone() for t in call]
        want = fn(*wanted)
        try:
            got = traced(*given)
        except (NotTraced, SignatureError):
            assert number, "the example itself is refused"
            continue
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(given, wanted)


def test_a_vector_times_a_matrix_is_a_result_beside_what_is_made_of_it() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> Any:
        product = y @ x
        return torch.nn.functional.gelu(product), product

    agrees(f, (torch.randn(3, 3), torch.randn(3)), (torch.randn(5, 7), torch.randn(5)))


def test_pieces_of_a_constant_as_large_as_a_size_says() -> None:
    constant = torch.arange(3.0)
    agrees(lambda x: constant.split(x.shape[0])[-1], *((torch.randn(n),) for n in (2, 1, 3, 5)))


def test_an_empty_tensor_is_split_into_pieces_of_no_size() -> None:
    agrees(lambda x: x.split(x.shape[0] // 2)[0], (torch.randn(0),), (torch.randn(4),))


def test_the_reference_of_softmax_takes_no_elements() -> None:
    assert TABLE["aten::softmax"].reference(np.zeros((2, 0)), -1).shape == (2, 0)


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.copy_(x[:, 0]),
        lambda x: x.mul_(x.unbind(1)[-1]),
        lambda x: x[1:].add_(x[:-1]),
        lambda x: x.__setitem__(slice(1, None), x[:-1]),
    ],
)
def test_a_write_that_reads_what_it_writes_at_other_places_is_refused(write: Callable[[torch.Tensor], Any]) -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        write(x)
        return x * 2

    with pytest.raises(Unsupported, match="reads the very memory that it writes"):
        unmoor.trace(f, torch.randn(3, 3))


def test_a_write_may_read_other_rows_or_the_same_places() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        x[0] += x[1]
        x[::2].mul_(x[1::2])
        x.add_(x.view(4, 3))
        x[:, 1:].copy_(x[:, :1])
        return x * 2

    agrees(f, (torch.randn(4, 3),))


class _Keeps(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("flags", torch.tensor([True, False, True]))
        self.register_buffer("a", torch.zeros(()))
        self.register_buffer("b", torch.zeros(()))


def test_state_in_python_that_shows_in_an_argument_alone_is_refused() -> None:
    class Net(_Keeps):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.flags = self.flags * 0.5
            x.sub_(self.flags.sum())
            return torch.ones(3)

    with pytest.raises(Unsupported, match="the call changes flags in Python"):
        unmoor.trace(Net(), torch.randn(3))


def test_a_state_that_gets_the_memory_of_another_which_is_written_is_refused() -> None:
    class Net(_Keeps):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.a.fill_(3)
            self.a = self.b.detach()
            return x + self.a

    with pytest.raises(Unsupported, match="gives a the memory of buffer b"):
        unmoor.trace(Net(), torch.randn(3))


def test_a_size_found_in_data_is_broadcast_with_a_size_that_is_one() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> Any:
        return y + x[x > 0]

    agrees(f, (torch.tensor([1.0, 2.0, -1.0]), torch.ones(2, 1)), (-torch.ones(3), torch.ones(4, 1)))
    agrees(f, (-torch.ones(3), torch.ones(1, 1)), (torch.ones(3), torch.ones(1, 1)))


def test_an_argument_takes_what_has_its_size_by_another_expression() -> None:
    def f(y: torch.Tensor) -> torch.Tensor:
        made = torch.ones(len(y), min(y.shape[1], 3)).triu(1)
        y.copy_(made)
        return made

    agrees(f, (torch.ones(1, 1),), (torch.ones(2, 2),), (torch.ones(2, 3),))


def test_a_row_of_no_elements_is_left_out_of_a_cat_of_higher_rank() -> None:
    agrees(lambda x, y: torch.cat([x, y], -1), (torch.randn(0), torch.randn(2, 3)), (torch.randn(0), torch.randn(1, 4)))


def test_a_dim_that_other_sizes_do_not_have_is_refused() -> None:
    traced = unmoor.trace(lambda x: x.squeeze(0) + x.squeeze(0).shape[0] * 2, torch.randn(0))
    with pytest.raises((NotTraced, SignatureError)):
        traced(torch.randn(1))
