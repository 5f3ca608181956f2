"""A text of a number binds the trace, unless it only goes to people; that of a tensor is refused there."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch

import unmoor

LOG = logging.getLogger(__name__)


def check_sizes(holds, message):
    if not holds:
        raise ValueError(message)


class Asserting(torch.nn.Module):
    def forward(self, x):
        torch._assert(x.shape[0] > 0, f"empty: {x.shape}")
        return x * 2


def prints(x):
    print(f"shape {x.shape}, sum {x.sum().item()}", x)
    return x + 1


def logs(x):
    LOG.debug(f"{x.mean():.3f} {x}")
    LOG.info("of %s", x.shape)
    return x + 1


def asserts(x):
    assert x.shape[0] < 100, f"too many: {x.shape[0]}"
    return x + 1


def names_a_message(x):
    message = f"too many: {x.shape[0]}" + str(x.shape)
    if x.shape[0] > 1000:
        raise ValueError(message)
    return x + 1


def checks(x):
    check_sizes(x.shape[0] < 1000, "bad {}".format(*x.shape))
    return x + 1


def warns(x):
    warnings.warn("of " + ", ".join(map(str, x.shape)), stacklevel=1)
    return x + 1


@pytest.mark.filterwarnings("ignore:of ")
@pytest.mark.parametrize("fn", [Asserting(), prints, logs, asserts, names_a_message, checks, warns])
def test_what_is_shown_to_people_binds_nothing(fn) -> None:
    traced = unmoor.trace(fn, torch.ones(2))
    for size in (2, 11):
        x = torch.ones(size)
        torch.testing.assert_close(traced(x), fn(x))


def counts_letters(x):
    return x + len(str(x.shape[0]))


def formats(x):
    return x + len(f"{x.shape[0]}")


def looks_up(x):
    return x * {"2": 1.0, "11": 2.0}.get(str(x.shape[0]), 7.0)


def compares(x):
    text = f"{x.shape[0]}x"
    print(text)
    return x * (text == "2x")


def hashes(x):
    return x * float(repr(x.shape) == "torch.Size([2])")


def reads_back(x):
    return x * int("{}".format(*x.shape))


@pytest.mark.parametrize(
    "fn", [counts_letters, formats, looks_up, compares, hashes, reads_back], ids=lambda f: f.__name__
)
def test_what_a_program_does_with_a_text_of_a_size_is_refused_at_others(fn) -> None:
    traced = unmoor.trace(fn, torch.ones(2))
    torch.testing.assert_close(traced(torch.ones(2) * 3), fn(torch.ones(2) * 3))
    with pytest.raises(unmoor.NotTraced, match="used a size as the number 2 in every example; here it is 11"):
        traced(torch.ones(11))


def test_and_with_a_text_of_a_value_at_other_values() -> None:
    traced = unmoor.trace(lambda x: x + len(str(x.sum().item())), torch.ones(2))
    with pytest.raises(unmoor.NotTraced, match=r"froze the value 2\.0, read from a tensor, in .*; here it is 14\.5"):
        traced(torch.ones(2) * 7.25)


def test_a_text_of_a_tensor_that_decides_something_is_refused_with_the_line() -> None:
    with pytest.raises(unmoor.Unsupported, match=r"test_shown\.py:\d+: the text of a tensor .*; print or log it"):
        unmoor.trace(lambda x: x + len(f"{x}"), torch.ones(2))
