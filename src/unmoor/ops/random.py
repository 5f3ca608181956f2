"""Random numbers: 64 bits per element from a counter-based generator, and what is made of them.

A session keeps the generator as the state `random()`, i64 [seed, draws]. The bits of an element depend on the seed, the
number of draws before, and the element's place in its tensor: not on the host, the order or the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import DEFAULT_FLOAT, DType, f64, i64
from unmoor.ir.dim import product
from unmoor.ir.op import Builder, Op
from unmoor.ir.scalar import FUNCTIONS, apply
from unmoor.ops.family import EXACT, composite, in_dtype, pointwise
from unmoor.ops.samples import Ints

_STATE = np.array([5, 2], np.int64)


def _bits(b: Builder, state: Any, draw: int, size: Any) -> Any:
    """Counter: the element's place; offset: draws before this one; key: the seed."""
    shape = tuple(size)
    counter = b.emit("prim::reshape", b.emit("prim::iota", product(shape)), shape)
    seed = b.emit("prim::reshape", b.emit("prim::slice", state, 0, 0, 1, 1), ())
    draws = b.emit("prim::reshape", b.emit("prim::slice", state, 0, 1, 1, 1), ())
    return b.emit("prim::philox", counter, b.emit("aten::add", draws, draw), seed)


def _np_bits(state: Any, draw: int, size: Any) -> Any:
    counter = np.arange(int(np.prod(size, dtype=np.int64))).reshape(size)
    return np.asarray(FUNCTIONS["philox"].meaning(counter, state[1] + draw, state[0])).reshape(size)


def _uniform(b: Builder, bits: Any, dtype: DType) -> Any:
    """In [0, 1): the upper 53 bits for f64, 24 bits of the lower word for all others."""
    if dtype is f64:
        top = b.emit("aten::bitwise_and", b.emit("prim::shift_right", bits, 11), (1 << 53) - 1)
        return b.emit("aten::mul", b.emit("prim::cast", top, f64), 2.0**-53)
    word = b.emit("aten::bitwise_and", b.emit("prim::shift_right", bits, 8), (1 << 24) - 1)
    made = b.emit("aten::mul", b.emit("prim::cast", word, DEFAULT_FLOAT), 2.0**-24)
    return made if dtype is DEFAULT_FLOAT else b.emit("prim::cast", made, dtype)


def _np_uniform(bits: Any, dtype: DType) -> Any:
    if dtype is f64:
        return ((bits >> 11) & ((1 << 53) - 1)) * 2.0**-53
    return in_dtype((((bits >> 8) & ((1 << 24) - 1)) * 2.0**-24).astype(np.float32), dtype)


def _normal(b: Builder, bits: Any, dtype: DType) -> Any:
    """Box and Muller's cosine, in double: the radius from one word, the angle from the other."""
    first = b.emit("aten::bitwise_and", bits, (1 << 32) - 1)
    second = b.emit("aten::bitwise_and", b.emit("prim::shift_right", bits, 32), (1 << 32) - 1)
    u = b.emit("aten::mul", b.emit("aten::add", b.emit("prim::cast", first, f64), 1.0), 2.0**-32)  # in (0, 1]
    angle = b.emit("aten::mul", b.emit("prim::cast", second, f64), 2 * np.pi * 2.0**-32)
    radius = b.emit("aten::sqrt", b.emit("aten::mul", b.emit("aten::log", u), -2.0))
    made = b.emit("aten::mul", radius, b.emit("aten::cos", angle))
    return made if dtype is f64 else b.emit("prim::cast", made, dtype)


def _np_normal(bits: Any, dtype: DType) -> Any:
    first, second = bits & ((1 << 32) - 1), (bits >> 32) & ((1 << 32) - 1)
    radius = np.sqrt(-2 * np.log((first + 1.0) * 2.0**-32))
    return in_dtype(radius * np.cos(second * (2 * np.pi * 2.0**-32)), dtype)


def _integer(b: Builder, bits: Any, low: Any, high: Any, dtype: DType) -> Any:
    """In [low, high): 63 bits modulo the width."""
    word = b.emit("aten::bitwise_and", b.emit("prim::shift_right", bits, 1), (1 << 63) - 1)
    made = b.emit("aten::add", b.emit("aten::remainder", word, high - low), low)
    return made if dtype is i64 else b.emit("prim::cast", made, dtype)


def _np_integer(bits: Any, low: int, high: int, dtype: DType) -> Any:
    return in_dtype(((bits >> 1) & ((1 << 63) - 1)) % (high - low) + low, dtype)


def _order(b: Builder, bits: Any) -> Any:
    """How many elements are smaller, the earlier of equal ones first: each number below the length, once."""
    n = b.type_of(bits).shape[0]
    place = b.emit("prim::iota", n)
    mine, other = b.emit("prim::reshape", bits, (n, 1)), b.emit("prim::reshape", bits, (1, n))
    mine_at, other_at = b.emit("prim::reshape", place, (n, 1)), b.emit("prim::reshape", place, (1, n))
    earlier = b.emit("aten::logical_and", b.emit("aten::eq", other, mine), b.emit("aten::lt", other_at, mine_at))
    smaller = b.emit("aten::logical_or", b.emit("aten::lt", other, mine), earlier)
    return b.emit("prim::sum", b.emit("prim::cast", smaller, i64), (1,), False)


def _np_order(bits: Any) -> Any:
    order = np.empty(len(bits), np.int64)
    order[np.argsort(bits, kind="stable")] = np.arange(len(bits))
    return order


def _dropped(b: Builder, x: Any, bits: Any, p: float) -> Any:
    """Zero with probability p, else divided by 1 - p."""
    keep = b.emit("aten::ge", _uniform(b, bits, DEFAULT_FLOAT), p)
    scale = 1 / (1 - p) if p < 1 else 0.0
    return b.emit("aten::mul", x, b.emit("aten::mul", b.emit("prim::cast", keep, b.type_of(x).dtype), scale))


def _np_dropped(x: Any, bits: Any, p: float) -> Any:
    scale = 1 / (1 - p) if p < 1 else 0.0
    return x * ((_np_uniform(bits, DEFAULT_FLOAT) >= p) * scale).astype(x.dtype)


def _one(*args: Any) -> Any:
    from unmoor.ir.op import Sample

    return lambda dtype: [Sample(args)]


_SOME = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 17)
RANDOM: list[Op] = [
    pointwise(
        "prim::philox",
        "(Tensor counter, Tensor offset, Tensor seed) -> Tensor",
        "",
        lambda counter, offset, seed: apply("philox", counter, offset, seed),
        FUNCTIONS["philox"].meaning,
        dtypes=("i64",),
        samples=_one(Ints(17), Ints(1), Ints(17)),
        doc="64 random bits: Philox 4x32-10 of (counter, offset) under the key `seed`.",
    ),
    pointwise(
        "prim::shift_right",
        "(Tensor self, Scalar bits) -> Tensor",
        "",
        lambda x, bits: apply("shr", x, bits),
        np.right_shift,
        dtypes=("i64",),
        samples=_one(Ints(17), 3),
        doc="The bits of integers moved towards the lowest; the sign fills up.",
    ),
    composite(
        "unmoor::random_bits",
        "(Tensor state, int draw, int[] size) -> Tensor",
        "",
        _bits,
        _np_bits,
        _one(_STATE, 1, (3, 4)),
        dtypes=("i64",),
        tolerance=EXACT,
        doc="64 random bits for each element, as i64; `draw` counts the draws of a call.",
    ),
    composite(
        "unmoor::random_bits_like",
        "(Tensor state, int draw, Tensor like) -> Tensor",
        "",
        lambda b, state, draw, like: _bits(b, state, draw, b.type_of(like).shape),
        lambda state, draw, like: _np_bits(state, draw, np.shape(like)),
        _one(_STATE, 1, np.zeros((3, 4), np.float32)),
        dtypes=("i64",),
        tolerance=EXACT,
        doc="The same, in the shape of a tensor.",
    ),
    composite(
        "unmoor::uniform",
        "(Tensor bits, dtype dtype) -> Tensor",
        "",
        _uniform,
        _np_uniform,
        lambda d: [*_one(_SOME, DEFAULT_FLOAT)(d), *_one(_SOME, f64)(d)],
        dtypes=("i64",),
        tolerance=EXACT,
        doc="Floats in [0, 1) from random bits.",
    ),
    composite(
        "unmoor::normal",
        "(Tensor bits, dtype dtype) -> Tensor",
        "",
        _normal,
        _np_normal,
        lambda d: [*_one(_SOME, DEFAULT_FLOAT)(d), *_one(_SOME, f64)(d)],
        dtypes=("i64",),
        doc="Normally distributed floats from random bits.",
    ),
    composite(
        "unmoor::integer",
        "(Tensor bits, int low, int high, dtype dtype) -> Tensor",
        "",
        _integer,
        _np_integer,
        _one(_SOME, -3, 10, i64),
        dtypes=("i64",),
        tolerance=EXACT,
        doc="Integers in [low, high) from random bits.",
    ),
    composite(
        "unmoor::order",
        "(Tensor bits) -> Tensor",
        "",
        _order,
        _np_order,
        _one(_SOME),
        dtypes=("i64",),
        tolerance=EXACT,
        doc="A permutation: the place of each element of a vector in sorted order.",
    ),
    composite(
        "unmoor::dropped",
        "(Tensor input, Tensor bits, float p) -> Tensor",
        "",
        _dropped,
        _np_dropped,
        _one(np.linspace(-1, 1, 17).astype(np.float32), _SOME, 0.3),
        dtypes=("f32",),
        doc="Dropout with given random bits, which are broadcast.",
    ),
]
