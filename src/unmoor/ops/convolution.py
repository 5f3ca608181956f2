"""Convolutions in any number of spatial dims, as contractions over channels that lie last in memory.

The core op `prim::convolve` reads windows of a padded tensor in place. A depthwise convolution, with one input channel
per group, has nothing to contract: it is a sum over its taps; one with groups of a few channels, each narrower than a
vector, is a sum over taps and channels. A transposed one is a convolution of the tensor with zeros between its
elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.errors import SignatureError
from unmoor.ir.dim import Dim, const, dim, product
from unmoor.ir.op import Builder, Facts, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.family import FLOATS, composite
from unmoor.ops.padding import pad
from unmoor.ops.samples import Rand
from unmoor.ops.schema import parse_schema

SUMS = Tolerance({"f32": 5e-5, "f64": 1e-12}, {"f32": 2e-5, "f64": 1e-12}, "sums of products in another order, FMA")

TAPS = Tolerance(
    {**SUMS.rtol, "f16": 2.0**-9, "bf16": 2.0**-6},
    {**SUMS.atol, "f16": 2.0**-7, "bf16": 2.0**-4},
    f"{SUMS.reason}; eager rounds half floats after each tap on processors without instructions for them, we once",
)

FEW = 8  # input channels of a group that are added up one by one


# -- the core op ----------------------------------------------------------------------------------
def output_size(size: Dim, taps: Any, step: Any, dilation: Any) -> Dim:
    """How many windows of a (padded) axis there are."""
    return (size - (dim(dilation) * (dim(taps) - 1) + 1)) // dim(step) + 1


def _infer(
    facts: Facts, x: TensorType, w: TensorType, taps: Any, steps: Any, dilations: Any, before: Any, after: Any
) -> TensorType:
    batch, *spatial, _, _ = x.shape
    wide = [size + p + q for size, p, q in zip(spatial, before, after, strict=True)]
    places = map(output_size, wide, taps, steps, dilations)
    return TensorType(x.dtype, (batch, *places, *w.shape[:-2], w.shape[-1]))


def _np_convolve(
    x: np.ndarray,
    w: np.ndarray,
    taps: Sequence[int],
    steps: Sequence[int],
    dilations: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
) -> np.ndarray:
    seen = np.pad(x, [(0, 0), *zip(before, after, strict=True), (0, 0), (0, 0)])
    for axis, (tap, step, dilation) in enumerate(zip(taps, steps, dilations, strict=True), 1):
        reach = dilation * (tap - 1) + 1
        whole = np.lib.stride_tricks.sliding_window_view(seen, reach, axis)
        seen = whole[(slice(None),) * axis + (slice(None, None, step),)][..., ::dilation]
    rank = len(taps)  # [n, places..., groups, channels, taps...]
    order = (rank + 1, *range(rank + 1), *range(rank + 3, 2 * rank + 3), rank + 2)
    windows = np.transpose(seen, order)  # [groups, n, places..., taps..., channels]
    left = windows.reshape(*windows.shape[: rank + 2], w.shape[-2])
    tall = w.reshape(w.shape[0], *(1,) * rank, *w.shape[-2:]) if w.ndim == 3 else w
    return np.moveaxis(np.matmul(left, tall), 0, -2) if w.ndim == 3 else np.asarray(np.matmul(left[0], w))


CONVOLVE = Op(
    "prim::convolve",
    parse_schema(
        "(Tensor self, Tensor weight, int[] taps, int[] steps, int[] dilations, int[] before, int[] after) -> Tensor"
    ),
    Kind.CONTRACT,
    _infer,
    _np_convolve,
    (),
    lambda d: [
        Sample((Rand(2, 5, 6, 1, 3), Rand(18, 5), (3, 2), (1, 2), (1, 1), (0, 0), (0, 0))),
        Sample((Rand(2, 5, 6, 1, 3), Rand(27, 5), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))),
        Sample((Rand(1, 11, 19, 1, 2), Rand(30, 50), (5, 3), (2, 3), (1, 2), (3, 4), (2, 1))),
        Sample((Rand(2, 9, 1, 4), Rand(12, 50), (3,), (1,), (2,), (0,), (3,))),
        Sample((Rand(2, 9, 3, 4), Rand(3, 8, 5), (2,), (2,), (1,), (0,), (0,))),
        Sample((Rand(2, 4, 5, 3, 2), Rand(3, 18, 5), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))),
        Sample((Rand(1, 4, 5, 6, 1, 2), Rand(16, 3), (2, 2, 2), (1, 1, 2), (1, 2, 1), (1, 0, 1), (0, 0, 1))),
    ],
    SUMS,
    lower=True,
    dtypes=FLOATS,
    doc="Windows of [n, places..., groups, channels], with zeros around the places, times [groups, taps x channels, "
    "outputs], or without groups a plain matrix: [n, places, groups, outputs].",
)


# -- PyTorch's convolutions -----------------------------------------------------------------------
def each_of(value: Any, rank: int) -> tuple[Any, ...]:
    """One number for each of the spatial dims."""
    given = tuple(value) if isinstance(value, tuple | list) else (value,)
    return given * rank if len(given) == 1 else given


def convolution(
    b: Builder, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Cross-correlation of [n, c, places...] (or [c, places...]) with [outputs, c / groups, taps...]."""
    groups = b.facts.int_of(groups)
    shape = b.type_of(weight).shape
    rank = len(shape) - 2
    if b.type_of(x).rank == rank + 1:
        made = convolution(b, _unsqueeze(b, x), weight, bias, stride, padding, dilation, groups)
        return b.emit("prim::reshape", made, b.type_of(made).shape[1:])
    if b.type_of(x).rank != rank + 2:
        raise SignatureError(f"a convolution over {rank} dims needs a tensor of rank {rank + 1} or {rank + 2}")
    taps = tuple(b.facts.int_of(d) for d in shape[2:])
    steps, spread = (tuple(b.facts.int_of(dim(v)) for v in each_of(a, rank)) for a in (stride, dilation))
    before, after = (tuple(b.facts.int_of(dim(p)) for p in side) for side in _padding(padding, taps, spread))
    last = channels_last(b, x, rank)
    return _convolve(b, last, weight, bias, taps, steps, spread, before, after, groups)


def _padding(padding: Any, taps: Sequence[int], dilations: Sequence[int]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if padding == "valid":
        return (0,) * len(taps), (0,) * len(taps)
    if padding == "same":
        total = [d * (t - 1) for t, d in zip(taps, dilations, strict=True)]
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    each = each_of(padding, len(taps))
    return each, each


def channels_last(b: Builder, x: Any, rank: int) -> Any:
    """[n, c, places...] as [n, places..., c]."""
    return b.emit("prim::permute", x, (0, *range(2, rank + 2), 1))


def channels_first(b: Builder, x: Any, rank: int) -> Any:
    """[n, places..., c] as [n, c, places...]."""
    return b.emit("prim::permute", x, (0, rank + 1, *range(1, rank + 1)))


def _unsqueeze(b: Builder, x: Any) -> Any:
    return b.emit("prim::reshape", x, (const(1), *b.type_of(x).shape))


def _convolve(
    b: Builder,
    x: Any,
    weight: Any,
    bias: Any,
    taps: tuple[int, ...],
    steps: tuple[int, ...],
    dilations: tuple[int, ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
    groups: int,
) -> Any:
    """The convolution of [n, places..., c], its result with the channels second."""
    rank = len(taps)
    outputs, each = b.type_of(weight).shape[:2]
    channels = b.type_of(x).shape[-1]
    if not b.facts.equal(channels, each * groups):
        raise SignatureError(f"a convolution of {channels} channels by weights for {each * groups}")
    cut = [tuple(min(p, 0) for p in side) for side in (before, after)]
    x = pad(b, x, (0, *cut[0], 0), (0, *cut[1], 0))  # negative padding cuts off
    before, after = (tuple(max(p, 0) for p in side) for side in (before, after))
    batch, *spatial, _ = b.type_of(x).shape
    for size, tap, dilation, p, q in zip(spatial, taps, dilations, before, after, strict=True):
        if not b.facts.at_most(dilation * (tap - 1) + 1, size + p + q):
            raise SignatureError(
                f"the window of a convolution reaches over {dilation * (tap - 1) + 1} places of {size + p + q}"
            )
    if groups > 1 and _is_narrow(b, each, outputs, groups):
        x = pad(b, x, (0, *before, 0), (0, *after, 0))
        made = _narrow(b, x, weight, taps, steps, dilations, groups)
    elif groups == 1 and all(n == 1 for n in (*taps, *steps)) and not any((*before, *after)):
        flat = b.emit("prim::reshape", x, (batch * product(spatial), channels))
        made = b.emit("prim::reshape", b.emit("prim::matmul", flat, _matrix(b, weight, 1)), (batch, *spatial, outputs))
    else:
        grouped = b.emit("prim::reshape", x, (batch, *spatial, const(groups), each))
        made = b.emit("prim::convolve", grouped, _matrix(b, weight, groups), taps, steps, dilations, before, after)
        if groups > 1:
            made = b.emit("prim::reshape", made, (*b.type_of(made).shape[: rank + 1], outputs))
    made = made if bias is None else b.emit("aten::add", made, bias)
    return channels_first(b, made, rank)


def _matrix(b: Builder, weight: Any, groups: int) -> Any:
    """[outputs, c, taps...] as [taps x c, outputs], or one such matrix per group."""
    outputs, each, *taps = b.type_of(weight).shape
    axes, depth = range(2, len(taps) + 2), product([*taps, each])
    if groups == 1:
        return b.emit("prim::reshape", b.emit("prim::permute", weight, (*axes, 1, 0)), (depth, outputs))
    split = b.emit("prim::reshape", weight, (const(groups), outputs // groups, each, *taps))
    order = (0, *(a + 1 for a in axes), 2, 1)
    return b.emit("prim::reshape", b.emit("prim::permute", split, order), (const(groups), depth, outputs // groups))


def _is_narrow(b: Builder, each: Dim, outputs: Dim, groups: int) -> bool:
    """Whether a group has one input channel, or few ones and so few outputs that they would fill a part of a vector."""
    if each == 1:
        return True
    known = each.is_const and outputs.is_const
    return known and each.value <= FEW and outputs.value in [groups * times for times in (2, 4, 8)]


def _narrow(b: Builder, x: Any, weight: Any, taps: Any, steps: Any, dilations: Any, groups: int) -> Any:
    """The sum over taps and a group's channels c of [n, places..., taps..., c, last tap, outputs] x [taps..., c, last
    tap, outputs], where the outputs of a group read the same input."""
    rank = len(taps)
    outputs, each = b.type_of(weight).shape[:2]
    x = b.emit("prim::reshape", x, (*b.type_of(x).shape[:-1], const(groups), each))
    for axis in range(rank):
        x = b.emit("prim::windows", x, axis + 1, taps[axis], steps[axis], dilations[axis])
    order = (*range(rank + 1), *range(rank + 3, 2 * rank + 2), rank + 2, 2 * rank + 2, rank + 1)
    x = b.emit("prim::permute", x, order)
    weight = b.emit("prim::copy", b.emit("prim::permute", weight, (*range(2, rank + 1), 1, rank + 1, 0)))
    if outputs != groups:
        times = outputs // groups
        shape = b.type_of(x).shape
        x = b.emit("prim::expand", b.emit("prim::reshape", x, (*shape, const(1))), (*shape, times))
        x = b.emit("prim::reshape", x, (*shape[:-1], outputs))
    return b.emit("prim::sum", b.emit("aten::mul", x, weight), tuple(range(rank + 1, 2 * rank + 2)), False)


def transposed(
    b: Builder,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    """The gradient of a convolution: weights are [c, outputs / groups, taps...]."""
    groups = b.facts.int_of(groups)
    shape = b.type_of(weight).shape
    rank = len(shape) - 2
    if b.type_of(x).rank == rank + 1:
        made = transposed(b, _unsqueeze(b, x), weight, bias, stride, padding, output_padding, groups, dilation)
        return b.emit("prim::reshape", made, b.type_of(made).shape[1:])
    taps = tuple(b.facts.int_of(d) for d in shape[2:])
    steps, spread, margin, extra = (
        tuple(b.facts.int_of(dim(v)) for v in each_of(a, rank)) for a in (stride, dilation, padding, output_padding)
    )
    last = channels_last(b, x, rank)
    if groups == 1 and taps == steps and set((*spread, 1)) == {1} and not any((*margin, *extra)):
        return channels_first(b, _side_by_side(b, last, weight, bias, taps), rank)
    for axis, step in enumerate(steps, 1):
        last = _spread(b, last, axis, step)
    before = tuple(d * (t - 1) - p for t, d, p in zip(taps, spread, margin, strict=True))
    after = tuple(p + e for p, e in zip(before, extra, strict=True))
    channels, each = shape[:2]
    split = b.emit("prim::reshape", weight, (const(groups), channels // groups, each, *shape[2:]))
    swapped = b.emit("prim::permute", split, (0, 2, 1, *range(3, rank + 3)))
    turned = b.emit("prim::reshape", swapped, (each * groups, channels // groups, *shape[2:]))
    turned = b.emit("prim::flip", turned, tuple(range(2, rank + 2)))
    return _convolve(b, last, turned, bias, taps, (1,) * rank, spread, before, after, groups)


def _side_by_side(b: Builder, x: Any, weight: Any, bias: Any, taps: tuple[int, ...]) -> Any:
    """Of [n, places..., c] and windows that neither overlap nor leave gaps: one product gives all taps of a place."""
    channels, outputs = b.type_of(weight).shape[:2]
    batch, *places, _ = b.type_of(x).shape
    rank = len(taps)
    matrix = b.emit("prim::permute", weight, (0, *range(2, rank + 2), 1))
    matrix = b.emit("prim::reshape", matrix, (channels, product(taps) * outputs))
    flat = b.emit("prim::reshape", x, (batch * product(places), channels))
    made = b.emit("prim::matmul", flat, matrix)
    if bias is not None:
        row = b.emit("prim::reshape", bias, (const(1), outputs))
        tiled = b.emit("prim::expand", row, (product(taps), outputs))
        made = b.emit(
            "aten::add", made, b.emit("prim::copy", b.emit("prim::reshape", tiled, (product(taps) * outputs,)))
        )
    made = b.emit("prim::reshape", made, (batch, *places, *map(const, taps), outputs))
    order = (0, *(a for k in range(1, rank + 1) for a in (k, k + rank)), 2 * rank + 1)
    wide = [place * tap for place, tap in zip(places, taps, strict=True)]
    return b.emit("prim::reshape", b.emit("prim::permute", made, order), (batch, *wide, outputs))


def _spread(b: Builder, x: Any, axis: int, step: int) -> Any:
    """step - 1 zeros between the elements along an axis."""
    if step == 1:
        return x
    shape = b.type_of(x).shape
    head, size, tail = shape[:axis], shape[axis], shape[axis + 1 :]
    wide = b.emit("prim::reshape", x, (*head, size, const(1), *tail))
    zeros = (0,) * (len(shape) + 1)
    wide = pad(b, wide, zeros, (*zeros[: axis + 1], step - 1, *zeros[axis + 2 :]))
    flat = b.emit("prim::reshape", wide, (*head, size * step, *tail))
    return b.emit("prim::slice", flat, axis, 0, 1, (size - 1) * step + 1)


def _any(
    b: Builder,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    is_transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    if is_transposed:
        return transposed(b, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return convolution(b, x, weight, bias, stride, padding, dilation, groups)


# -- references -----------------------------------------------------------------------------------
def _np_convolution(
    x: np.ndarray, w: np.ndarray, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    rank = w.ndim - 2
    if x.ndim == rank + 1:
        return np.asarray(_np_convolution(x[None], w, bias, stride, padding, dilation, groups)[0])
    steps, spread, taps = each_of(stride, rank), each_of(dilation, rank), w.shape[2:]
    before, after = _padding(padding, taps, spread)
    made = np.moveaxis(x, 1, -1)
    grouped = made.reshape(*made.shape[:-1], groups, w.shape[1])
    split = np.moveaxis(w.reshape(groups, -1, *w.shape[1:]), (1, 2), (-1, -2))
    matrix = split.reshape(groups, -1, w.shape[0] // groups)
    out = _np_convolve(grouped, matrix, taps, steps, spread, before, after)
    result = out.reshape(*out.shape[:-2], w.shape[0])
    return np.asarray(np.moveaxis(result if bias is None else result + bias, -1, 1))


def _np_transposed(
    x: np.ndarray, w: np.ndarray, bias: Any, stride: Any, padding: Any, extra: Any, groups: int, dilation: Any
) -> np.ndarray:
    rank = w.ndim - 2
    steps, spread, margin = each_of(stride, rank), each_of(dilation, rank), each_of(padding, rank)
    more = each_of(extra, rank)
    out = np.zeros(
        (
            x.shape[0],
            w.shape[1] * groups,
            *(
                (n - 1) * s + d * (t - 1) + 1 + e
                for n, s, d, t, e in zip(x.shape[2:], steps, spread, w.shape[2:], more, strict=True)
            ),
        ),
        x.dtype,
    )
    c, o = x.shape[1] // groups, w.shape[1]
    for g in range(groups):
        for tap in np.ndindex(*w.shape[2:]):
            own = w[(slice(g * c, (g + 1) * c), slice(None), *tap)]
            part = np.einsum("nc...,co->no...", x[:, g * c : (g + 1) * c], own)
            place = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, spread, x.shape[2:], steps, strict=True)
            )
            out[(slice(None), slice(g * o, (g + 1) * o), *place)] += part
    kept = tuple(slice(p, out.shape[a + 2] - p) for a, p in enumerate(margin))
    made = out[(slice(None), slice(None), *kept)]
    return np.asarray(made if bias is None else made + np.reshape(bias, (-1, *(1,) * rank)))


def _np_any(
    x: np.ndarray,
    w: np.ndarray,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    is_transposed: bool,
    extra: Any,
    groups: int,
) -> np.ndarray:
    if is_transposed:
        return _np_transposed(x, w, bias, stride, padding, extra, groups, dilation)
    return _np_convolution(x, w, bias, stride, padding, dilation, groups)


# -- the table ------------------------------------------------------------------------------------
def _samples(rank: int) -> list[Sample]:
    size, two = (7, 6, 5)[:rank], (2,) * rank
    one = (1,) * rank
    x, w = Rand(2, 4, *size), Rand(6, 4, *((3, 2, 2)[:rank]))
    grouped = [
        Sample((x, Rand(6, 2, *two), None, one, one, one, 2)),
        Sample((x, Rand(8, 1, *two), Rand(8), two, one, one, 4)),
    ]
    plain = [Sample((x, w, Rand(6), one, (0,) * rank, one, 1)), Sample((x, w, None, two, one, two, 1))]
    return [*plain, *grouped, Sample((Rand(4, *size), w, Rand(6), one, one, one, 1))]


def _few(samples: list[Sample]) -> Callable[[str], list[Sample]]:
    """All samples in f32 and one in f64: a contraction whose sizes are all symbols takes seconds to compile."""
    return lambda dtype: samples if dtype == "f32" else samples[:1]


def _forward(rank: int) -> list[Op]:
    ones = ", ".join(["1"] * rank)
    zeros = ", ".join(["0"] * rank)
    name = f"aten::conv{rank}d"
    head = f"(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=[{ones}], "
    tail = f"int[] dilation=[{ones}], int groups=1) -> Tensor"

    def op(name: str, schema: str, overload: str, samples: list[Sample]) -> Op:
        return composite(
            name, schema, overload, convolution, _np_convolution, _few(samples), dtypes=FLOATS, tolerance=SUMS
        )

    one = (1,) * rank
    named = [
        Sample((Rand(1, 4, *(7, 6, 5)[:rank]), Rand(3, 4, *(3, 2, 4)[:rank]), None, one, mode, one, 1))
        for mode in ("same", "valid")
    ]
    return [
        op(name, f"{head}int[] padding=[{zeros}], {tail}", "default", _samples(rank)),
        op(f"{name}_padding", f"{head}str padding='valid', {tail}", f"conv{rank}d.padding", named),
    ]


def _backward(rank: int) -> Op:
    ones, zeros = ", ".join(["1"] * rank), ", ".join(["0"] * rank)
    one, none, two = (1,) * rank, (0,) * rank, (2,) * rank
    x = Rand(2, 4, *(5, 4, 3)[:rank])
    return composite(
        f"aten::conv_transpose{rank}d",
        f"(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=[{ones}], int[] padding=[{zeros}], "
        f"int[] output_padding=[{zeros}], int groups=1, int[] dilation=[{ones}]) -> Tensor",
        "default" if rank == 1 else "input",
        transposed,
        _np_transposed,
        _few(
            [
                Sample((x, Rand(4, 3, *(3, 3, 3)[:rank]), Rand(3), two, one, one, 1, one)),
                Sample((x, Rand(4, 2, *(2, 2, 2)[:rank]), None, two, none, none, 2, two)),
            ]
        ),
        dtypes=FLOATS,
        tolerance=TAPS,
    )


CONVOLUTION: list[Op] = [
    CONVOLVE,
    *(op for rank in (1, 2, 3) for op in _forward(rank)),
    *(_backward(rank) for rank in (1, 2, 3)),
    composite(
        "aten::convolution",
        "(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, bool transposed, "
        "int[] output_padding, int groups) -> Tensor",
        "default",
        _any,
        _np_any,
        lambda d: [
            Sample((Rand(2, 3, 6, 5), Rand(4, 3, 3, 3), Rand(4), (1, 1), (1, 1), (1, 1), False, (0, 0), 1)),
            Sample((Rand(2, 3, 6, 5), Rand(3, 4, 3, 3), None, (2, 2), (1, 1), (1, 1), True, (1, 1), 1)),
        ],
        dtypes=("f32",),
        tolerance=TAPS,
    ),
]
