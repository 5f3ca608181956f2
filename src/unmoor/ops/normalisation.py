"""Normalisations over groups of channels, each a layer norm of what it groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import const, product
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import composite
from unmoor.ops.reduction import mean, variance
from unmoor.ops.samples import Rand

SUMS = Tolerance({"f32": 1e-5, "f64": 1e-12}, {"f32": 1e-5, "f64": 1e-12}, "sums in another order, own rsqrt, FMA")


def group_norm(b: Builder, x: Any, groups: int, weight: Any, bias: Any, eps: float, cudnn: bool = True) -> Any:
    """(x - mean) / sqrt(var + eps) over each group of channels and all places, then scale and shift by channel
    (Wu, He 2018)."""
    batch, channels, *places = b.type_of(x).shape
    if not b.facts.equal(channels % groups, 0):
        raise SignatureError(f"group_norm of {channels} channels in {groups} groups")
    grouped = b.emit("prim::reshape", x, (batch, const(groups), product([channels // groups, *places])))
    scale = b.emit("aten::rsqrt", b.emit("aten::add", variance(b, grouped, (2,), 0, True), eps))
    made = b.emit("aten::mul", b.emit("aten::sub", grouped, mean(b, grouped, (2,), True)), scale)
    made = b.emit("prim::reshape", made, (batch, channels, *places))
    column = (const(1), channels, *(const(1) for _ in places))
    made = made if weight is None else b.emit("aten::mul", made, b.emit("prim::reshape", weight, column))
    return made if bias is None else b.emit("aten::add", made, b.emit("prim::reshape", bias, column))


def instance_norm(
    b: Builder,
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    own: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Any:
    """group_norm with a group per channel; by running statistics it is batch_norm."""
    if b.type_of(x).dtype is not b.type_of(x).dtype.compute:
        raise Unsupported("instance_norm of half floats, whose statistics eager rounds: convert with .float() first")
    if not own:
        rest = (running_mean, running_var, False, momentum, eps, cudnn)
        return b.emit("aten::batch_norm", x, weight, bias, *rest)
    return group_norm(b, x, b.facts.int_of(b.type_of(x).shape[1]), weight, bias, eps)


def _np_group_norm(
    x: np.ndarray, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn: bool = True
) -> np.ndarray:
    grouped = x.reshape(x.shape[0], groups, -1)
    made = (grouped - grouped.mean(2, keepdims=True)) / np.sqrt(grouped.var(2, keepdims=True) + eps)
    column = (1, -1, *(1 for _ in x.shape[2:]))
    made = made.reshape(x.shape) * (1 if weight is None else weight.reshape(column))
    return np.asarray(made + (0 if bias is None else bias.reshape(column))).astype(x.dtype)


def _np_instance_norm(
    x: np.ndarray, weight: Any, bias: Any, m: Any, v: Any, own: bool, momentum: float, eps: float, cudnn: bool
) -> np.ndarray:
    if own:
        return _np_group_norm(x, x.shape[1], weight, bias, eps)
    column = (1, -1, *(1 for _ in x.shape[2:]))
    made = (x - m.reshape(column)) / np.sqrt(v.reshape(column) + eps)
    return np.asarray(made * weight.reshape(column) + bias.reshape(column)).astype(x.dtype)


NORMALISATION: list[Op] = [
    composite(
        "aten::group_norm",
        "(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
        "bool cudnn_enabled=True) -> Tensor",
        "default",
        group_norm,
        _np_group_norm,
        lambda d: [
            Sample((Rand(2, 6, 5, 3), 3, Rand(6), Rand(6))),
            Sample((Rand(2, 4), 2)),
            Sample((Rand(2, 6, 7), 1, Rand(6), Rand(6), 1e-3)),
        ],
        dtypes=("f32", "f64"),
        tolerance=SUMS,
    ),
    composite(
        "aten::instance_norm",
        "(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, "
        "bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor",
        "default",
        instance_norm,
        _np_instance_norm,
        lambda d: [
            Sample((Rand(2, 3, 5, 4), Rand(3), Rand(3), None, None, True, 0.1, 1e-5, True)),
            Sample((Rand(2, 3, 5), Rand(3), Rand(3), Rand(3), Rand(3, shift=2.0), False, 0.1, 1e-5, True)),
        ],
        dtypes=("f32", "f64"),
        tolerance=SUMS,
        stepwise=True,
    ),
]
