"""Padding: the core op, a constant around a tensor, and PyTorch's modes made of it and of reads at computed places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import bool_
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim, dmax, dmin
from unmoor.ir.op import Builder, Facts, Kind, Op, Sample
from unmoor.ir.scalar import Expr, IndexValue, Number
from unmoor.ir.types import TensorType
from unmoor.ops.family import EVERY, EXACT, FLOATS, composite
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema

Index = tuple[Dim, ...]


def _infer(facts: Facts, x: TensorType, before: Sequence[Any], after: Sequence[Any], value: Any) -> TensorType:
    return TensorType(x.dtype, tuple(d + p + q for d, p, q in zip(x.shape, before, after, strict=True)))


def _lower(
    index: Index, source: TensorType, result: TensorType, before: Sequence[Any], after: Sequence[Any], value: Any
) -> tuple[Expr, Index, Any]:
    inside: Expr = Number(bool_, True)
    place: list[Dim] = []
    for i, extent, p, q in zip(index, source.shape, map(dim, before), map(dim, after), strict=True):
        at = i - p
        if p != 0:
            inside = inside & (IndexValue(at) >= 0)
            at = dmax(at, 0)
        if q != 0:
            inside = inside & (IndexValue(i - p) < IndexValue(extent))
            at = dmin(at, extent - 1)
        place.append(at)
    return inside, tuple(place), value


def _np_pad(x: np.ndarray, before: Sequence[int], after: Sequence[int], value: Any) -> np.ndarray:
    return np.pad(x, list(zip(before, after, strict=True)), constant_values=value)


PAD = Op(
    "prim::pad",
    parse_schema("(Tensor self, int[] before, int[] after, Scalar value) -> Tensor"),
    Kind.PAD,
    _infer,
    _np_pad,
    (),
    lambda d: [
        Sample(((Rand if d in FLOATS else Ints)(2, 3), (1, 0), (0, 2), 1)),
        Sample(((Rand if d in FLOATS else Ints)(3, 17), (0, 1), (0, 1), 0)),
    ],
    EXACT,
    lower=_lower,
    dtypes=EVERY,
    doc="A constant around a tensor: `before` and `after` count elements per axis. No padded axis is empty.",
)


def pad(b: Builder, x: Any, before: Sequence[Any], after: Sequence[Any], value: Any = 0) -> Any:
    """A constant around a tensor; negative counts cut elements off."""
    type_ = b.type_of(x)
    sizes = [(dim(p), dim(q)) for p, q in zip(before, after, strict=True)]
    for axis, (p, q) in enumerate(sizes):
        cut = [-d if d.is_const and d.value < 0 else const(0) for d in (p, q)]
        if cut[0] == 0 and cut[1] == 0:
            continue
        length = b.type_of(x).shape[axis] - cut[0] - cut[1]
        if not b.facts.at_most(0, length):
            raise SignatureError(f"padding {p}, {q} cuts off more than dim {axis} of {type_} has")
        x = b.emit("prim::slice", x, axis, cut[0], 1, length)
        sizes[axis] = (p + cut[0], q + cut[1])
    if all(p == 0 and q == 0 for p, q in sizes):
        return x
    shape = b.type_of(x).shape
    if not all(b.facts.at_most(1, d) for d, (p, q) in zip(shape, sizes, strict=True) if p != 0 or q != 0):
        wide = tuple(d + p + q for d, (p, q) in zip(shape, sizes, strict=True))
        return b.emit("prim::full", wide, value, type_.dtype)
    return b.emit("prim::pad", x, tuple(p for p, _ in sizes), tuple(q for _, q in sizes), value)


def _pairs(b: Builder, x: Any, amounts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """F.pad's list, last axis first, as counts before and after each axis."""
    rank = b.type_of(x).rank
    if len(amounts) % 2 or len(amounts) > 2 * rank:
        raise SignatureError(f"pad of {len(amounts)} amounts for a tensor of rank {rank}: give two for each axis")
    before: list[Any] = [0] * rank
    after: list[Any] = [0] * rank
    for k in range(len(amounts) // 2):
        before[rank - 1 - k], after[rank - 1 - k] = amounts[2 * k], amounts[2 * k + 1]
    return before, after


def constant_pad(b: Builder, x: Any, amounts: Sequence[Any], value: Any = 0) -> Any:
    """A constant around a tensor, amounts as F.pad has them."""
    return pad(b, x, *_pairs(b, x, amounts), value)


def pad_sequence(b: Builder, sequences: Sequence[Any], batch_first: bool, value: float, side: str) -> Any:
    """Tensors of different lengths, each filled up to the longest, side by side along a new axis."""
    lengths = [b.type_of(s).shape[0] for s in sequences]
    longest = lengths[0]
    for length in lengths[1:]:
        longest = dmax(longest, length)
    made = []
    for sequence, length in zip(sequences, lengths, strict=True):
        rest = (const(0),) * (b.type_of(sequence).rank - 1)
        gap, none = (longest - length, *rest), (const(0), *rest)
        before, after = (none, gap) if side == "right" else (gap, none)
        filled = pad(b, sequence, before, after, value)
        shape = (longest, *b.type_of(sequence).shape[1:])
        made.append(b.emit("prim::reshape", filled, shape))
    return b.emit("aten::stack", tuple(made), 0 if batch_first else 1)


def _np_pad_sequence(sequences: Sequence[np.ndarray], batch_first: bool, value: float, side: str) -> np.ndarray:
    longest = max(len(s) for s in sequences)
    gaps = [longest - len(s) for s in sequences]
    rest = [(0, 0)] * (sequences[0].ndim - 1)
    ends = [(0, g) if side == "right" else (g, 0) for g in gaps]
    made = [np.pad(s, [e, *rest], constant_values=s.dtype.type(value)) for s, e in zip(sequences, ends, strict=True)]
    return np.stack(made, 0 if batch_first else 1)


def pad_mode(b: Builder, x: Any, amounts: Sequence[Any], mode: str, value: Any) -> Any:
    """F.pad: constant, reflect (without the edge), replicate (the edge), circular."""
    if mode == "constant":
        return constant_pad(b, x, amounts, 0 if value is None else value)
    before, after = _pairs(b, x, amounts)
    for axis, (p, q) in enumerate(zip(before, after, strict=True)):
        if dim(p) != 0 or dim(q) != 0:
            x = _pad_axis(b, x, axis, dim(p), dim(q), mode)
    return x


def _pad_axis(b: Builder, x: Any, axis: int, before: Dim, after: Dim, mode: str) -> Any:
    size = b.type_of(x).shape[axis]
    least = {"reflect": 1, "replicate": 0, "circular": 0}[mode]
    for p in (before, after):
        limit = size if mode == "circular" else size - 1
        if mode != "replicate" and not b.facts.at_most(p, limit):
            raise SignatureError(f"{mode} padding of {p} is too large for dim {axis} of size {size}")
    if not b.facts.at_most(least + 1, size):
        raise Unsupported(f"{mode} padding of a dim of size {size}")
    if any(p.is_const and p.value < 0 for p in (before, after)):
        raise Unsupported(f"negative {mode} padding: cut the tensor with a slice")
    at = b.emit("aten::sub", b.emit("prim::iota", size + before + after), before)
    if mode == "replicate":
        at = b.emit("aten::clamp", at, 0, size - 1)
    elif mode == "circular":
        at = b.emit("aten::remainder", at, size)
    else:
        at = b.emit("aten::abs", at)
        at = b.emit("aten::sub", size - 1, b.emit("aten::abs", b.emit("aten::sub", size - 1, at)))
    return b.emit("prim::take", x, (at,), (axis,), axis)


def _np_pad_mode(x: np.ndarray, amounts: Sequence[int], mode: str = "constant", value: Any = None) -> np.ndarray:
    pairs = [(0, 0)] * (x.ndim - len(amounts) // 2)
    pairs += [(amounts[k], amounts[k + 1]) for k in range(len(amounts) - 2, -1, -2)]
    cut = x[tuple(slice(max(-p, 0), x.shape[a] - max(-q, 0)) for a, (p, q) in enumerate(pairs))]
    wide = [(max(p, 0), max(q, 0)) for p, q in pairs]
    if mode == "constant":
        return np.pad(cut, wide, constant_values=value or 0)
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    made: np.ndarray = np.pad(cut, wide, mode=names[mode])  # type: ignore[call-overload]
    return made


def _mode_samples(d: str) -> list[Sample]:
    make = Rand if d in FLOATS else Ints
    modes = [("reflect", (2, 1)), ("replicate", (3, 2)), ("circular", (1, 2)), ("reflect", (1, 1, 2, 0))]
    more = [Sample((make(1, 2, 4, 5) if len(p) == 4 else make(2, 3, 4), p, mode)) for mode, p in modes]
    return [Sample((make(3, 4), (1, 2), "constant", 2)), Sample((make(3, 4), (-1, 1, 2, 0))), *more]


PADDING: list[Op] = [
    PAD,
    composite(
        "aten::pad",
        "(Tensor self, int[] pad, str mode='constant', float? value=None) -> Tensor",
        "default",
        pad_mode,
        _np_pad_mode,
        _mode_samples,
        dtypes=("f32", "f64", "i64"),
        tolerance=EXACT,
    ),
    composite(
        "aten::pad_sequence",
        "(Tensor[] sequences, bool batch_first=False, float padding_value=0.0, str padding_side='right') -> Tensor",
        "default",
        pad_sequence,
        _np_pad_sequence,
        lambda d: [
            Sample(((kind(2, 3), kind(4, 3)), first, 2.0, side))
            for kind in (Rand if d in FLOATS else Ints,)
            for first, side in ((False, "right"), (True, "left"))
        ],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    composite(
        "aten::constant_pad_nd",
        "(Tensor self, int[] pad, Scalar value=0) -> Tensor",
        "default",
        constant_pad,
        lambda x, amounts, value=0: _np_pad_mode(x, amounts, "constant", value),
        lambda d: [
            Sample(((Rand if d in FLOATS else Ints)(2, 3, 4), (1, 1, 0, 2), 3)),
            Sample(((Rand if d in FLOATS else Ints)(0, 4), (1, 1, 1, 0))),
        ],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
]
