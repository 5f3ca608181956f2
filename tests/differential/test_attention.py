"""Attention in one kernel: programs whose scores nobody else reads, at sizes around a block of rows, against eager."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import unmoor


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], is_causal=True, enable_gqa=True)


def _masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=k[:, :, None, :, 0] > 0.3)


def _written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + k[:, :1, None, :, 0]
    return torch.softmax(scores, -1) @ v + 1


def _twice_read(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The scores are read again after what was made of them has been written."""
    scores = q @ k.transpose(-1, -2)
    weights = torch.exp(scores - scores.mean(-1, keepdim=True)) * torch.sigmoid(scores)
    return (weights / weights.sum(-1, keepdim=True)) @ v


def _seen_weights(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(q @ k.transpose(-1, -2), -1)
    return weights @ v, weights


def _split_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries lie between the keys and values that one linear layer would have made, their heads within a row."""
    batch, heads, rows, width = q.shape
    joined = (
        torch.cat((q, q + 1, q * 2), -1).transpose(1, 2).reshape(batch, rows, heads, 3, width).permute(3, 0, 2, 1, 4)
    )
    return F.scaled_dot_product_attention(*joined.unbind(0), is_causal=True).transpose(1, 2).flatten(2)


SIZES = ((2, 3, 30, 30), (1, 2, 1, 7), (1, 1, 25, 2), (3, 1, 24, 49), (1, 2, 130, 70), (1, 2, 50, 300), (2, 2, 0, 5))


def _inputs(batch: int, heads: int, queries: int, keys: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(queries + keys)
    shapes = ((batch, heads, queries, 16), (batch, heads, keys, 16), (batch, heads, keys, 20))
    return [torch.randn(s, dtype=dtype) for s in shapes]


def _groups(traced: unmoor.TracedFunction, inputs: list[Tensor]) -> int:
    return str(traced.graph_for(*inputs)).count("fusion::attention")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("program", [_plain, _causal, _grouped, _masked, _written_out, _twice_read, _split_heads])
def test_equals_eager_at_all_sizes(program: Callable[..., Tensor], dtype: torch.dtype) -> None:
    traced = unmoor.trace(program, *_inputs(*SIZES[0], dtype))
    assert _groups(traced, _inputs(*SIZES[0], dtype)) == 1
    for size in SIZES:
        if program is _split_heads and not size[2]:
            continue  # its keys are as many as its queries: without keys is a test of its own
        inputs = _inputs(*size, dtype)
        torch.testing.assert_close(traced(*inputs), program(*inputs), rtol=5e-5, atol=1e-5, msg=f"{size}")


def test_weights_that_are_returned_stay_whole() -> None:
    inputs = _inputs(*SIZES[0], torch.float32)
    traced = unmoor.trace(_seen_weights, *inputs)
    assert _groups(traced, inputs) == 0
    torch.testing.assert_close(traced(*inputs), _seen_weights(*inputs), rtol=5e-5, atol=1e-5)


def _square(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.softmax(q @ k.transpose(-1, -2), -1)
    return weights @ weights


def _turned_scores(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-1, -2)
    return torch.softmax(scores + scores.transpose(-1, -2), -1) @ v


def _weights_beside(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.softmax(q @ k.transpose(-1, -2), -1)
    return weights @ q[..., :1].expand(*q.shape[:-1], k.shape[-2]) + weights


@pytest.mark.parametrize("program", [_square, _turned_scores, _weights_beside])
def test_scores_that_are_read_elsewhere_are_written(program: Callable[..., Tensor]) -> None:
    inputs = _inputs(2, 3, 30, 30, torch.float32)
    traced = unmoor.trace(program, *inputs)
    for some in (inputs, _inputs(1, 2, 70, 70, torch.float32)):
        torch.testing.assert_close(traced(*some), program(*some), rtol=5e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("program", [_plain, _causal, _masked])
def test_half_floats(program: Callable[..., Tensor], dtype: torch.dtype) -> None:
    inputs = _inputs(1, 2, 50, 50, dtype)
    traced = unmoor.trace(program, *inputs)
    rtol, atol = (2.0**-7, 2.0**-8) if dtype is torch.bfloat16 else (2.0**-10, 2.0**-11)
    torch.testing.assert_close(traced(*inputs), program(*inputs), rtol=rtol, atol=atol)


def test_rows_without_keys_are_as_in_eager() -> None:
    """0 where attention itself masks them, NaN where a softmax is written out."""
    mask = torch.rand(50, 50) > 0.5
    mask[3] = mask[30:] = False

    def written(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return torch.softmax((q @ k.transpose(-1, -2)).masked_fill(~mask, -math.inf), -1) @ v

    def whole(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    inputs = [*_inputs(1, 2, 50, 50, torch.float32), mask]
    for program in (whole, written):
        traced = unmoor.trace(program, *inputs)
        assert _groups(traced, inputs) == 1
        want = program(*inputs)
        assert want[0, 0, 3].isnan().all() == (program is written)
        torch.testing.assert_close(traced(*inputs), want, rtol=5e-5, atol=1e-5, equal_nan=True)


def test_hidden_keys_are_not_read() -> None:
    """As eager's kernel does: what a causal mask hides from a whole block of rows may hold anything."""
    q, k, v = _inputs(1, 2, 20, 200, torch.float32)
    v[:, :, 100:] = torch.nan
    traced = unmoor.trace(_causal, q, k, v)
    assert torch.isfinite(traced(q, k, v)).all()
