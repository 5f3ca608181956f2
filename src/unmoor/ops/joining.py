"""Joins: tensors one after the other along an axis, and what is made of that: stacks, repeats, rolls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY, promote
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim
from unmoor.ir.op import Builder, Kind, Op, Sample
from unmoor.ir.types import TensorType
from unmoor.ops.family import EVERY, EXACT, axis_of, composite
from unmoor.ops.index_maps import made_of, view
from unmoor.ops.schema import parse_schema
from unmoor.ops.view import unsqueeze


def cat(b: Builder, tensors: Sequence[Any], axis: int) -> Any:
    """Tensors one after the other along an axis; 1-D tensors of no elements are left out, as PyTorch does."""
    types = [b.type_of(t) for t in tensors]
    rank = max(t.rank for t in types)
    kept = [
        t
        for t, type_ in zip(tensors, types, strict=True)
        if not (type_.rank == 1 and rank > 1 and b.facts.equal(type_.shape[0], 0))
    ]
    common = types[0].dtype
    for type_ in types:
        common = promote(common, type_.dtype)
    a = axis_of(axis, rank)
    first = b.type_of(kept[0]).shape
    for t in kept[1:]:
        other = b.type_of(t).shape
        if not len(first) == len(other) == rank or not all(
            k == a or b.facts.equal(m, n) for k, (m, n) in enumerate(zip(first, other, strict=True))
        ):
            raise SignatureError(f"cat along dim {axis} of {b.type_of(kept[0])} and {b.type_of(t)}")
    cast = tuple(t if b.type_of(t).dtype is common else b.emit("prim::cast", t, common) for t in kept)
    return cast[0] if len(cast) == 1 else b.emit("prim::cat", cast, a)


def stack(b: Builder, tensors: Sequence[Any], axis: int) -> Any:
    """Tensors of one shape along a new axis."""
    return cat(b, [unsqueeze(b, t, axis) for t in tensors], axis)


def _in_common(tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Arrays in the dtype that PyTorch promotes them to, whatever their ranks."""
    common = reduce(promote, (BY_NUMPY[t.dtype] for t in tensors))
    return [t.astype(common.numpy, copy=False) for t in tensors]


def _np_cat(tensors: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    rank = max(t.ndim for t in tensors)
    return np.concatenate([t for t in _in_common(tensors) if not (t.shape == (0,) and rank > 1)], axis)


def repeat(b: Builder, x: Any, repeats: Sequence[Any]) -> Any:
    """The tensor several times along its axes."""
    shape = b.type_of(x).shape
    shape = (*(const(1) for _ in range(len(repeats) - len(shape))), *shape)
    between = [d for pair in zip([const(1)] * len(shape), shape, strict=True) for d in pair]
    wide = [d for pair in zip(repeats, shape, strict=True) for d in pair]
    expanded = b.emit("prim::expand", b.emit("prim::reshape", x, tuple(between)), tuple(dim(d) for d in wide))
    return b.emit("prim::reshape", expanded, tuple(d * r for d, r in zip(shape, repeats, strict=True)))


def roll(b: Builder, x: Any, shifts: Any, dims: Any) -> Any:
    """The elements moved along axes, those that leave at the end coming in at the front; without axes, of one row."""
    moves, axes = ((v,) if isinstance(v, int | Dim) else tuple(v) for v in (shifts, dims))
    type_ = b.type_of(x)
    if not axes:
        if len(moves) != 1:
            raise SignatureError("roll without dims takes one shift")
        flat = b.emit("prim::reshape", x, (type_.numel,))
        return b.emit("prim::reshape", roll(b, flat, moves, (0,)), type_.shape)
    if len(moves) != len(axes):
        raise SignatureError(f"roll with {len(moves)} shifts for {len(axes)} dims")
    for shift, axis in zip(moves, axes, strict=True):
        a = axis_of(axis, type_.rank)
        size = type_.shape[a] if type_.rank else const(0)
        if b.facts.is_found(size):
            raise Unsupported("roll along a dim whose size comes out of data")
        if not b.facts.at_most(1, size):
            continue
        start = -dim(shift) % size
        if start != 0:
            parts = (b.emit("prim::slice", x, a, start, 1, size - start), b.emit("prim::slice", x, a, 0, 1, start))
            x = b.emit("prim::cat", parts, a)
    return x


CAT = Op(
    "prim::cat",
    parse_schema("(Tensor[] tensors, int axis) -> Tensor"),
    Kind.JOIN,
    lambda facts, tensors, axis: TensorType(
        tensors[0].dtype,
        tuple(
            sum((t.shape[a] for t in tensors[1:]), tensors[0].shape[a]) if a == int(str(axis)) else d
            for a, d in enumerate(tensors[0].shape)
        ),
    ),
    lambda tensors, axis: np.concatenate(tensors, axis),
    (),
    lambda d: [Sample(((made_of(d)(2, 3), made_of(d)(2, 1)), 1))],
    EXACT,
    lower=True,
    dtypes=EVERY,
)
JOINING: list[Op] = [
    CAT,
    view("aten::repeat", "(Tensor self, int[] repeats) -> Tensor", repeat, np.tile, [((2, 3), (2, 1, 3))]),
    view(
        "aten::roll",
        "(Tensor self, int[] shifts, int[] dims=[]) -> Tensor",
        roll,
        lambda x, s, d=(): np.roll(x, s, d if d != () else None),
        [((3, 4), (1,), (0,)), ((3, 4), (-6, 5), (1, -2)), ((3, 4), (5,), ()), ((0, 3), (1,), (0,))],
    ),
    composite(
        "aten::cat",
        "(Tensor[] tensors, int dim=0) -> Tensor",
        "default",
        cat,
        _np_cat,
        lambda d: [
            Sample(((made_of(d)(2, 3), made_of(d)(1, 3)), 0)),
            Sample(((made_of(d)(2, 3), made_of(d)(2, 5)), -1)),
        ],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    composite(
        "aten::stack",
        "(Tensor[] tensors, int dim=0) -> Tensor",
        "default",
        stack,
        lambda tensors, axis=0: np.stack(_in_common(tensors), axis),
        lambda d: [Sample(((made_of(d)(2, 3), made_of(d)(2, 3)), 1))],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
]
