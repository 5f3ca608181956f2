"""What hangs on strides: what the program asks of them, and whether a reshape is a view or a copy."""

from __future__ import annotations

import pytest
import torch

import unmoor


def asks(x):
    return x * 2 if x.is_contiguous() else x * 3


def asks_of_what_is_computed(x):
    y = (x + 1).transpose(0, 1)
    return y * 2 if y.is_contiguous() else y * 3


def by_strides(x):
    return x * x.stride(0) + x.t().stride()[1]


def flat_write(x):
    y = x * 2
    y.reshape(-1)[0] = 7
    return y


def flat_write_of_the_input(x):
    x.reshape(-1)[0] = 7
    return x + 1


def write_into_a_copy(x):
    y = (x * 2).t()
    z = y.reshape(-1)
    z += 1
    return y, z


def base_written_after(x):
    y = x * 2
    z = y.flatten()
    y += 1
    return z * 3


def contiguous_of_both(x):
    y = x * 2
    z = y.contiguous()
    z += 1
    w = y.t().contiguous()
    w += 1
    return y, z, w


def cast_or_not(x):
    y = x * 2
    z = y.to(torch.float32)
    z += 1
    return y, z


def through_pieces(x):
    y = x * 2
    first, *_, last = y.chunk(2, 1)
    last.mul_(5)
    y.movedim(0, 1)[0].add_(1)
    y.diagonal().zero_()
    y.expand_as(y).sub_(1)
    return y + first.sum()


FUNCTIONS = (
    asks, asks_of_what_is_computed, by_strides, flat_write, flat_write_of_the_input, write_into_a_copy,
    base_written_after, contiguous_of_both, cast_or_not, through_pieces,
)  # fmt: skip
CALLS = [
    torch.randn(3, 4), torch.randn(5, 4), torch.randn(4, 3).t(), torch.randn(1, 4), torch.randn(4, 1),
    torch.randn(1, 1), torch.randn(6, 4)[::2], torch.randn(3, 7)[:, 1:5], torch.randn(2, 2), torch.randn(0, 4),
    torch.randn(3, 4).double(),
]  # fmt: skip


def _same_or_refused(run, fn, x):
    """1 where the call gives what eager PyTorch gives, 0 where it is refused."""
    given, eager = x.clone(memory_format=torch.preserve_format), x.clone(memory_format=torch.preserve_format)
    try:
        want = fn(eager)
    except (RuntimeError, IndexError, ValueError):
        with pytest.raises(unmoor.UnmoorError):
            run(given)
        return 0
    try:
        got = run(given)
    except (unmoor.NotTraced, unmoor.SignatureError) as error:
        assert "test_layout.py" in str(error) or "contiguous" in str(error) or "signature" in str(error), error
        return 0
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(given, eager)
    return 1


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_strides_are_those_of_the_example_or_the_call_is_refused(fn):
    traced = unmoor.trace(fn, torch.randn(3, 4))
    saved = unmoor.load(traced.to_bytes(), trust=True)
    assert _same_or_refused(saved, fn, CALLS[0]) and _same_or_refused(saved, fn, CALLS[1])
    for x in CALLS:
        _same_or_refused(saved, fn, x)
        _same_or_refused(traced, fn, x)
    _same_or_refused(saved, fn, CALLS[0])


def test_both_layouts_are_branches_with_an_example_of_each():
    traced = unmoor.trace(asks, torch.randn(3, 4))
    with pytest.raises(unmoor.NotTraced, match=r"took the branch `x.is_contiguous\(\)`"):
        traced(torch.randn(4, 3).t())
    traced.add_example(torch.randn(4, 3).t())
    saved = unmoor.load(traced.to_bytes(), trust=True)
    for run in (traced, saved):
        assert all(_same_or_refused(run, asks, x) for x in CALLS if x.dtype is torch.float32)


def test_an_argument_that_is_not_contiguous_is_named():
    with pytest.raises(unmoor.Unsupported, match=r"the argument x is not contiguous; trace and call with x.contiguous"):
        unmoor.trace(flat_write_of_the_input, torch.randn(4, 3).t())


@pytest.mark.parametrize("ask", [lambda x: x.storage_offset(), lambda x: x.data_ptr()])
def test_where_a_tensor_lies_is_refused(ask):
    with pytest.raises(unmoor.Unsupported, match=r"test_layout.py:\d+: .* says where .* sizes and strides"):
        unmoor.trace(lambda x: x + 1 if ask(x) else x, torch.randn(3))


def test_layout_asked_for_is_an_assumption_that_is_checked():
    traced = unmoor.trace(asks_of_what_is_computed, torch.randn(3, 4))
    assert "not checked" not in str(traced.assumptions) and "contiguous" in str(traced.assumptions)
