"""Losses and distances between tensors, as formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unmoor.dtypes import i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.op import Op
from unmoor.ops.formula import NEAR, Aten, formula, reduced
from unmoor.ops.samples import Rand

PAIR = "(Tensor self, Tensor target, int reduction=1) -> Tensor"
A, B = Rand(3, 5), Rand(3, 5)
CLASSES = np.array([1, 4, 0])
LOGS, CHANCES = Rand(3, 5, shift=-4.0), Rand(3, 5, scale=0.05, shift=0.5)


def _mse(aten: Aten, x: Any, y: Any, reduction: int) -> Any:
    d = aten.sub(x, y)
    return reduced(aten, aten.mul(d, d), reduction)


def _smooth_l1(aten: Aten, x: Any, y: Any, reduction: int, beta: float) -> Any:
    d = aten.abs(aten.sub(x, y))
    if beta == 0:
        return reduced(aten, d, reduction)
    near = aten.div(aten.mul(aten.mul(d, d), 0.5), beta)
    return reduced(aten, aten.where(aten.lt(d, beta), near, aten.sub(d, 0.5 * beta)), reduction)


def _huber(aten: Aten, x: Any, y: Any, reduction: int, delta: float) -> Any:
    d = aten.abs(aten.sub(x, y))
    if aten.type_of(d).dtype is not aten.type_of(d).dtype.compute:
        raise Unsupported("huber_loss of half floats, which eager rounds as the processor can: convert with .float()")
    far = aten.mul(aten.sub(d, 0.5 * delta), delta)
    return reduced(aten, aten.where(aten.le(d, delta), aten.mul(aten.mul(d, d), 0.5), far), reduction)


def _bce(aten: Aten, x: Any, y: Any, weight: Any, reduction: int) -> Any:
    """Each logarithm is held above -100, as PyTorch does."""
    if aten.rank(x) != aten.rank(y) or not all(map(aten.facts.equal, aten.shape(x), aten.shape(y))):
        raise SignatureError("binary_cross_entropy needs tensors of one shape")
    yes, no = (aten.clamp_min(v, -100.0) for v in (aten.log(x), aten.log1p(aten.neg(x))))
    made = aten.sub(aten.mul(aten.sub(y, 1.0), no), aten.mul(y, yes))
    return reduced(aten, made if weight is None else aten.mul(made, weight), reduction)


def _bce_logits(aten: Aten, x: Any, y: Any, weight: Any, positive: Any, reduction: int) -> Any:
    sigmoid = aten.log_sigmoid(x)
    scaled = sigmoid if positive is None else aten.mul(aten.add(aten.mul(aten.sub(positive, 1.0), y), 1.0), sigmoid)
    made = aten.sub(aten.mul(aten.sub(1.0, y), x), scaled)
    return reduced(aten, made if weight is None else aten.mul(made, weight), reduction)


def _kl_div(aten: Aten, x: Any, y: Any, reduction: int, log_target: bool) -> Any:
    made = aten.mul(aten.exp(y), aten.sub(y, x)) if log_target else aten.sub(aten.xlogy(y, y), aten.mul(y, x))
    return reduced(aten, made, reduction)


def _hinge(aten: Aten, x: Any, y: Any, margin: float, reduction: int) -> Any:
    missed = aten.where(aten.ne(y, 1), aten.clamp_min(aten.sub(margin, x), 0), 0)
    hit = aten.where(aten.ne(y, -1), x, 0)
    return reduced(aten, aten.add(missed, hit), reduction)


def _ranking(aten: Aten, a: Any, b: Any, y: Any, margin: float, reduction: int) -> Any:
    return reduced(aten, aten.clamp_min(aten.add(aten.mul(aten.neg(y), aten.sub(a, b)), margin), 0), reduction)


def _soft_margin(aten: Aten, x: Any, y: Any, reduction: int) -> Any:
    return reduced(aten, aten.log1p(aten.exp(aten.mul(aten.neg(y), x))), reduction)


def cosine_similarity(aten: Aten, a: Any, b: Any, dim: int, eps: float) -> Any:
    """The sum of products of the two tensors, each divided by its norm or by eps."""
    a, b = aten.builder.emit_all("aten::broadcast_tensors", (a, b))
    if not aten.is_float(a) or not aten.is_float(b):
        raise SignatureError("cosine_similarity needs floats")

    def unit(v: Any) -> Any:
        return aten.div(v, aten.clamp_min(aten.linalg_vector_norm(v, 2, (dim,), True), eps))

    return aten.sum(aten.mul(unit(a), unit(b)), (dim,))


def _cosine_embedding(aten: Aten, a: Any, b: Any, y: Any, margin: float, reduction: int) -> Any:
    """1 - cos for alike pairs, max(0, cos - margin) for others; PyTorch's epsilon of 1e-12 within the roots."""
    axis = (aten.rank(y),)

    def squares(v: Any) -> Any:
        return aten.add(aten.sum(aten.mul(v, v), axis), 1e-12)

    cosine = aten.div(aten.sum(aten.mul(a, b), axis), aten.sqrt(aten.mul(squares(a), squares(b))))
    alike = aten.where(aten.eq(y, 1), aten.sub(1.0, cosine), 0)
    other = aten.where(aten.eq(y, -1), aten.clamp_min(aten.sub(cosine, margin), 0), 0)
    return reduced(aten, aten.add(alike, other), reduction)


def _pairwise(aten: Aten, a: Any, b: Any, p: float, eps: float, keepdim: bool) -> Any:
    d = aten.add(aten.sub(a, b), eps)
    return aten.linalg_vector_norm(d, p, (aten.rank(d) - 1,), keepdim)


def _triplet(
    aten: Aten, x: Any, near: Any, far: Any, margin: float, p: float, eps: float, swap: bool, reduction: int
) -> Any:
    good, bad = (aten.pairwise_distance(x, v, p, eps) for v in (near, far))
    if swap:
        bad = aten.minimum(bad, aten.pairwise_distance(near, far, p, eps))
    return reduced(aten, aten.clamp_min(aten.sub(aten.add(good, margin), bad), 0), reduction)


def _poisson(aten: Aten, x: Any, y: Any, log_input: bool, full: bool, eps: float, reduction: int) -> Any:
    made = aten.sub(aten.exp(x), aten.mul(y, x)) if log_input else aten.sub(x, aten.mul(y, aten.log(aten.add(x, eps))))
    if full:
        stirling = aten.add(aten.sub(aten.mul(y, aten.log(y)), y), aten.mul(aten.log(aten.mul(y, 2 * math.pi)), 0.5))
        made = aten.add(made, aten.where(aten.le(y, 1), 0.0, stirling))
    return reduced(aten, made, reduction)


def _classes(aten: Aten, x: Any, target: Any) -> tuple[Any, Any, int]:
    """(one-hot of the targets as bools, axis of the classes): a class out of range, as ignored ones, is nowhere."""
    axis = 1 if aten.rank(x) > 1 else 0
    count = aten.shape(x)[axis]
    shape = tuple(count if k == axis else 1 for k in range(aten.rank(x)))
    numbers = aten.reshape(aten.builder.emit("prim::iota", count), shape)
    return aten.eq(aten.unsqueeze(target, axis), numbers), count, axis


def nll(aten: Aten, x: Any, target: Any, weight: Any, reduction: int, ignore: Any) -> Any:
    """Minus the log chances of the target classes, weighted; the mean is over the weights of what is not ignored."""
    if aten.rank(target) != max(aten.rank(x) - 1, 0):
        raise SignatureError(f"nll_loss of {aten.type_of(x)} with targets of rank {aten.rank(target)}")
    dtype = aten.type_of(x).dtype
    if dtype is not dtype.compute and reduction:
        raise Unsupported("a reduced nll_loss of half floats, which eager adds up in them: convert with .float() first")
    here, count, axis = _classes(aten, x, target)
    ignored = aten.eq(target, ignore)
    inside = aten.logical_and(aten.ge(target, 0), aten.lt(target, count))
    aten.builder.guard(aten.all(aten.logical_or(inside, ignored)), True, "a target class of nll_loss is out of range")
    here = aten.logical_and(here, aten.logical_not(aten.unsqueeze(ignored, axis)))
    shape = tuple(count if k == axis else 1 for k in range(aten.rank(x)))
    weights: Any = 1.0 if weight is None else aten.reshape(weight, shape)
    each = aten.neg(aten.sum(aten.where(here, aten.mul(x, weights), 0.0), (axis,)))
    if reduction != 1:
        return reduced(aten, each, reduction)
    total = aten.sum(aten.where(here, weights, 0.0))
    return aten.div(aten.sum(each), aten.cast(total, aten.type_of(x).dtype))


def cross_entropy(aten: Aten, x: Any, target: Any, weight: Any, reduction: int, ignore: Any, smoothing: float) -> Any:
    """nll_loss of the log softmax over classes; or targets that are chances; with label smoothing."""
    axis = 1 if aten.rank(x) > 1 else 0
    logs = aten.log_softmax(x, axis)
    count = aten.shape(x)[axis]
    shape = tuple(count if k == axis else 1 for k in range(aten.rank(x)))
    if aten.is_float(target):
        if smoothing:
            target = aten.add(
                aten.mul(target, 1 - smoothing), aten.div(aten.number(smoothing, aten.type_of(x).dtype), count)
            )
        each = aten.mul(logs, target)
        each = aten.neg(aten.sum(each if weight is None else aten.mul(each, aten.reshape(weight, shape)), (axis,)))
        if reduction == 1:
            pieces = aten.type_of(x).numel // count
            return aten.div(aten.sum(each), pieces)
        return reduced(aten, each, reduction)
    plain = aten.nll_loss_nd(logs, target, weight, reduction, ignore)
    if not smoothing:
        return plain
    weighted = logs if weight is None else aten.mul(logs, aten.reshape(weight, shape))
    ignored = aten.eq(target, ignore)
    smooth = aten.where(ignored, 0.0, aten.neg(aten.sum(weighted, (axis,))))
    if reduction == 1:
        if weight is None:
            total = aten.cast(aten.sum(aten.cast(aten.logical_not(ignored), i64)), aten.type_of(x).dtype)
        else:
            here, _, _ = _classes(aten, x, target)
            here = aten.logical_and(here, aten.logical_not(aten.unsqueeze(ignored, axis)))
            total = aten.sum(aten.where(here, aten.reshape(weight, shape), 0.0))
        smooth = aten.div(aten.sum(smooth), total)
    else:
        smooth = reduced(aten, smooth, reduction)
    return aten.add(aten.mul(plain, 1 - smoothing), aten.mul(aten.div(smooth, count), smoothing))


def _cdist(aten: Aten, a: Any, b: Any, p: float, mode: int | None) -> Any:
    if not aten.is_float(a) or not aten.is_float(b):
        raise Unsupported("cdist needs floats")
    d = aten.sub(aten.unsqueeze(a, -2), aten.unsqueeze(b, -3))
    return aten.linalg_vector_norm(d, p, (aten.rank(d) - 1,))


NLL = "(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100) -> Tensor"
LOSSES: list[Op] = [
    formula("mse_loss", PAIR, _mse, (A, B, 1), (A, B, 0), stepwise=True),
    formula("l1_loss", PAIR, lambda aten, x, y, r: reduced(aten, aten.abs(aten.sub(x, y)), r), (A, B, 2)),
    formula(
        "smooth_l1_loss",
        "(Tensor self, Tensor target, int reduction=1, float beta=1.0) -> Tensor",
        _smooth_l1,
        (A, B, 1, 0.7),
    ),
    formula(
        "huber_loss",
        "(Tensor self, Tensor target, int reduction=1, float delta=1.0) -> Tensor",
        _huber,
        (A, B, 1, 0.7),
        stepwise=True,
    ),
    formula(
        "binary_cross_entropy",
        "(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor",
        _bce,
        (CHANCES, CHANCES),
        stepwise=True,
    ),
    formula(
        "binary_cross_entropy_with_logits",
        "(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor",
        _bce_logits,
        (A, CHANCES, None, Rand(5)),
        stepwise=True,
    ),
    formula(
        "kl_div",
        "(Tensor self, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor",
        _kl_div,
        (LOGS, LOGS, 1, True),
        (LOGS, CHANCES),
    ),
    formula(
        "hinge_embedding_loss",
        "(Tensor self, Tensor target, float margin=1.0, int reduction=1) -> Tensor",
        _hinge,
        (A, B),
        stepwise=True,
    ),
    formula(
        "margin_ranking_loss",
        "(Tensor input1, Tensor input2, Tensor target, float margin=0.0, int reduction=1) -> Tensor",
        _ranking,
        (A, B, A),
    ),
    formula("soft_margin_loss", PAIR, _soft_margin, (A, B), stepwise=True),
    formula(
        "cosine_similarity",
        "(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor",
        cosine_similarity,
        (A, B),
        stepwise=True,
    ),
    formula(
        "cosine_embedding_loss",
        "(Tensor input1, Tensor input2, Tensor target, float margin=0.0, int reduction=1) -> Tensor",
        _cosine_embedding,
        (A, B, Rand(3)),
    ),
    formula(
        "pairwise_distance",
        "(Tensor x1, Tensor x2, float p=2.0, float eps=1e-06, bool keepdim=False) -> Tensor",
        _pairwise,
        (A, B),
        stepwise=True,
    ),
    formula(
        "triplet_margin_loss",
        "(Tensor anchor, Tensor positive, Tensor negative, float margin=1.0, float p=2.0, float eps=1e-06, "
        "bool swap=False, int reduction=1) -> Tensor",
        _triplet,
        (A, B, Rand(3, 5)),
        stepwise=True,
    ),
    formula(
        "poisson_nll_loss",
        "(Tensor input, Tensor target, bool log_input, bool full, float eps, int reduction) -> Tensor",
        _poisson,
        (A, Rand(3, 5, shift=5.0), True, True, 1e-8, 1),
        stepwise=True,
    ),
    formula(
        "nll_loss_nd", NLL, nll, (LOGS, CLASSES), overloads="default nll_loss.default nll_loss2d.default", stepwise=True
    ),
    formula(
        "cross_entropy_loss",
        "(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100, "
        "float label_smoothing=0.0) -> Tensor",
        cross_entropy,
        (A, CLASSES, Rand(5, shift=5.0)),
        (A, CHANCES, None, 1, -100, 0.1),
        stepwise=True,
    ),
    formula(
        "cdist",
        "(Tensor x1, Tensor x2, float p=2.0, int? compute_mode=None) -> Tensor",
        _cdist,
        (Rand(2, 3, 5), Rand(4, 5)),
        tolerance=NEAR,
    ),
]
