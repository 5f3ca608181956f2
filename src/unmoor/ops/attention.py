"""Attention, taken apart into two contractions with a softmax between them that is safe for rows without keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import bool_
from unmoor.errors import Unsupported
from unmoor.ir.dim import const
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.contraction import matmul
from unmoor.ops.family import composite
from unmoor.ops.samples import Rand
from unmoor.ops.view import expand, transpose

ATTENTION_ERROR = Tolerance(
    {"f32": 5e-5, "f64": 1e-12, "f16": 2.0**-10, "bf16": 2.0**-7},
    {"f32": 1e-5, "f64": 1e-12, "f16": 2.0**-11, "bf16": 2.0**-8},
    "two contractions in another order, own exp; eager rounds scores and weights to half floats, we the result alone",
)


def scaled_dot_product_attention(
    b: Builder,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    dropout: float,
    causal: bool,
    scale: float | None,
    grouped: bool,
) -> Any:
    """softmax(query @ key^T * scale + mask) @ value, per head (Vaswani et al. 2017); 0 where a row has no key.

    query [..., m, d], key [..., n, d], value [..., n, e]; a bool mask tells which keys take part.
    """
    if dropout:
        raise Unsupported(
            "attention with dropout draws random numbers: call .eval() before tracing, or pass dropout_p=0"
        )
    if causal and mask is not None:
        raise Unsupported("attention takes is_causal or a mask, not both")
    if grouped:
        key, value = (_repeat_heads(b, x, b.type_of(query).shape[-3]) for x in (key, value))
    width = b.type_of(query).shape[-1]
    factor = scale if scale is not None else 1 / math.sqrt(b.facts.int_of(width))
    scores = b.emit("aten::mul", matmul(b, query, transpose(b, key, -2, -1)), factor)
    if causal:
        mask = b.emit("prim::lower_triangle", *b.type_of(scores).shape[-2:])
    if mask is not None and b.type_of(mask).dtype is bool_:
        scores = b.emit("aten::where", mask, scores, -math.inf)
    elif mask is not None:
        scores = b.emit("aten::add", scores, mask)
    if not b.facts.at_most(1, b.type_of(scores).shape[-1]):
        return matmul(b, scores, value)  # no keys: sums of nothing
    highest = b.emit("aten::amax", scores, (-1,), True)
    none = b.emit("aten::eq", highest, -math.inf)
    weights = b.emit("aten::exp", b.emit("aten::sub", scores, b.emit("aten::where", none, 0.0, highest)))
    total = b.emit("aten::sum", weights, (-1,), True, None)
    # The sum divides after the contraction: one division a row, and never one a key.
    share = b.emit("aten::reciprocal", b.emit("aten::where", none, 1.0, total))
    return b.emit("aten::mul", matmul(b, weights, value), share)


def _repeat_heads(b: Builder, x: Any, heads: Any) -> Any:
    """[..., h, n, d] as [..., heads, n, d]: each of its heads serves as many that follow each other."""
    *batch, own, n, d = b.type_of(x).shape
    times = const(b.facts.int_of(heads) // b.facts.int_of(own))
    wide = expand(b, b.emit("prim::reshape", x, (*batch, own, const(1), n, d)), (*batch, own, times, n, d))
    return b.emit("prim::reshape", wide, (*batch, own * times, n, d))


def _reference(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    scale: float | None = None,
    grouped: bool = False,
) -> np.ndarray:
    if grouped:
        times = query.shape[-3] // key.shape[-3]
        key, value = (np.repeat(x, times, axis=-3) for x in (key, value))
    scores = np.matmul(query, np.swapaxes(key, -2, -1)) * (scale or 1 / math.sqrt(query.shape[-1]))
    if causal:
        mask = np.tri(*scores.shape[-2:], dtype=bool)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    highest = scores.max(-1, keepdims=True)
    none = highest == -np.inf
    weights = np.exp(scores - np.where(none, 0, highest))
    weights = weights / np.where(none, 1, weights.sum(-1, keepdims=True))
    return np.asarray(np.matmul(weights, value)).astype(query.dtype)


def _samples(dtype: str) -> Sequence[Sample]:
    def qkv(*batch: int, m: int = 3, n: int = 5, d: int = 8) -> tuple[Any, ...]:
        return Rand(*batch, m, d), Rand(*batch, n, d), Rand(*batch, n, d)

    some = np.arange(15).reshape(3, 5) % 4 != 1
    some[1] = False
    return [
        Sample(qkv(2, 2)),
        Sample(qkv(2)),
        Sample((*qkv(2, 2), None, 0.0, True)),
        Sample((*qkv(2, 2), some)),
        Sample((*qkv(2, 2), Rand(2, 1, 3, 5))),
        Sample((*qkv(1, 2, m=1), None, 0.0, False, 0.5)),
        Sample((Rand(2, 4, 3, 8), Rand(2, 2, 5, 8), Rand(2, 2, 5, 8), None, 0.0, False, None, True)),
        Sample(qkv(2, 2, m=0)),
    ]


ATTENTION: list[Op] = [
    composite(
        "aten::scaled_dot_product_attention",
        "(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, "
        "*, float? scale=None, bool enable_gqa=False) -> Tensor",
        "default",
        scaled_dot_product_attention,
        _reference,
        _samples,
        tolerance=ATTENTION_ERROR,
    )
]
