"""Ops that torch fuses for its own runs of transformers, as what they compute: files keep the fused ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from unmoor.capture.script.interpreter import Interpreter

# What a mask is over: pairs of places, keys, or the pairs of each head. Where it is not 0, it leaves out.
_PAIRS, _KEYS, _HEADS = 0, 1, 2


def _mask(machine: Interpreter, mask: Any, kind: int | None) -> Any:
    """A mask as it broadcasts to [batch, heads, queries, keys]."""
    if mask is None:
        return None
    mask = mask.to(torch.bool)  # as torch does with the -inf of a float mask
    if kind == _KEYS and mask.dim() == 2:
        return mask.unsqueeze(1).unsqueeze(1)
    if (kind in (_PAIRS, None) and mask.dim() == 2) or (kind == _HEADS and mask.dim() == 4):
        return mask
    raise machine.recorder.refusal("a mask of fused attention of this kind is not supported")


def multi_head_attention(machine: Interpreter, args: list[Any]) -> Any:
    query, key, value, _, heads, weight, bias, out_weight, out_bias, mask, need_weights, average, kind = args
    weights, biases = weight.chunk(3), bias.chunk(3)
    q, k, v = (
        torch.unflatten(functional.linear(x, w, b), -1, (heads, -1)).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    left_out = _mask(machine, mask, kind)
    if not need_weights and left_out is None:
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
        return functional.linear(mixed, out_weight, out_bias), None
    scores = (q / math.sqrt(q.size(-1))) @ k.transpose(-2, -1)
    if left_out is not None:  # a row that is left out as a whole is NaN, as it is there
        scores = scores.masked_fill(left_out, -math.inf)
    shares = scores.softmax(-1)
    mixed = (shares @ v).transpose(1, 2).flatten(-2)
    told = (shares.mean(1) if average else shares) if need_weights else None
    return functional.linear(mixed, out_weight, out_bias), told


def encoder_layer(machine: Interpreter, args: list[Any]) -> Any:
    x, width, heads, *attention = args[:7]
    use_gelu, norm_first, eps, norm1, bias1, norm2, bias2 = args[7:14]
    up, up_bias, down, down_bias, mask, kind = args[14:]

    def attended(y: torch.Tensor) -> torch.Tensor:
        given = [y, y, y, width, heads, *attention, mask, False, True, kind]
        result: torch.Tensor = multi_head_attention(machine, given)[0]
        return result

    def fed(y: torch.Tensor) -> torch.Tensor:
        inner = functional.linear(y, up, up_bias)
        return functional.linear(functional.gelu(inner) if use_gelu else functional.relu(inner), down, down_bias)

    def first(y: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(y, (width,), norm1, bias1, eps)

    def second(y: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(y, (width,), norm2, bias2, eps)

    if norm_first:
        x = x + attended(first(x))
        return x + fed(second(x))
    x = first(x + attended(x))
    return second(x + fed(x))
