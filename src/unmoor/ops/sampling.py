"""Sampling: pictures and volumes read between their elements, at the places that a grid names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DType, f64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, const, dim
from unmoor.ir.op import Builder, Op, Sample, Tolerance
from unmoor.ops.family import composite
from unmoor.ops.formula import NEAR
from unmoor.ops.indexing import counting, take
from unmoor.ops.ranges import linspace
from unmoor.ops.resampling import cubic_weights, number
from unmoor.ops.samples import Rand

LINEAR, NEAREST, CUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2
MIXED = Tolerance(
    {"f32": 2e-5, "f64": 1e-12}, {"f32": 1e-5, "f64": 1e-12}, "the places and weights are rounded in another order"
)


class Axis:
    """One axis of the sampled tensor: where on it the grid points, and what is read there."""

    def __init__(self, b: Builder, size: Dim, padding: int, corners: bool, dtype: DType) -> None:
        self.b, self.size, self.padding, self.corners, self.dtype = b, size, padding, corners, dtype
        self.last = number(b, size - 1, dtype)

    def place(self, coordinate: Any, exactly: bool) -> Any:
        """-1 .. 1 as a place in elements: of the outermost elements' middles, or of their outer borders.

        `exactly` keeps product and difference apart, so that what is rounded to the nearest element is what eager has.
        """
        b = self.b
        half = b.emit("aten::mul", number(b, self.size - 1 if self.corners else self.size, self.dtype), 0.5)
        shifted = b.emit("aten::add", coordinate, 1.0)
        if exactly and self.dtype is not f64:
            wide = b.emit("aten::mul", b.emit("prim::cast", shifted, f64), b.emit("prim::cast", half, f64))
            product = b.emit("prim::cast", wide, self.dtype)
        else:
            product = b.emit("aten::mul", shifted, half)
        return product if self.corners else b.emit("aten::sub", product, 0.5)

    def padded(self, place: Any) -> Any:
        """A place brought back to the elements, as the padding says."""
        if self.padding == REFLECTION:
            place = self._reflected(place)
        if self.padding == ZEROS:
            return place
        b = self.b
        inside = b.emit("aten::where", b.emit("aten::gt", place, 0.0), place, 0.0)  # NaN counts as 0
        return b.emit("aten::minimum", inside, self.last)

    def _reflected(self, place: Any) -> Any:
        b = self.b
        if self.corners and b.facts.equal(self.size, 1):
            return b.emit("aten::mul", place, 0.0)
        shift = 0.0 if self.corners else -0.5
        span = number(b, (self.size - 1 if self.corners else self.size) * 2, self.dtype)
        away = b.emit("aten::abs", b.emit("aten::sub", place, shift))
        turns = b.emit("aten::trunc", b.emit("aten::div", away, span))
        rest = b.emit("aten::sub", away, b.emit("aten::mul", turns, span))
        return b.emit("aten::add", b.emit("aten::minimum", rest, b.emit("aten::sub", span, rest)), shift)

    def inside(self, place: Any) -> Any:
        """Whether an element lies at a whole place."""
        b = self.b
        return b.emit("aten::logical_and", b.emit("aten::ge", place, 0.0), b.emit("aten::le", place, self.last))

    def index(self, place: Any) -> Any:
        """A whole place as an index, that of the nearest element where none lies there."""
        b = self.b
        near = b.emit("aten::where", b.emit("aten::gt", place, 0.0), place, 0.0)
        return b.emit("prim::cast", b.emit("aten::minimum", near, self.last), i64)

    def taps(self, coordinate: Any, mode: int) -> list[tuple[Any, Any]]:
        """(place, weight) for each element that is read; no weight where it is 1."""
        b = self.b
        place = self.place(coordinate, mode == NEAREST)
        if mode == NEAREST:
            return [(b.emit("aten::round", self.padded(place)), None)]
        if mode == CUBIC:
            low = b.emit("aten::floor", place)
            weights = cubic_weights(b, b.emit("aten::sub", place, low))
            return [(self.padded(b.emit("aten::add", low, k - 1.0)), w) for k, w in enumerate(weights)]
        place = self.padded(place)
        low = b.emit("aten::floor", place)
        share = b.emit("aten::sub", place, low)
        return [(low, b.emit("aten::rsub", share, 1.0)), (b.emit("aten::add", low, 1.0), share)]


def grid_sample(b: Builder, x: Any, grid: Any, mode: int, padding: int, corners: bool) -> Any:
    """[n, c, sizes...] read at [n, places..., (x, y, ...)], the last coordinate for the first of the sizes."""
    shape, places = b.type_of(x).shape, b.type_of(grid).shape
    rank, dtype = len(shape) - 2, b.type_of(x).dtype.compute
    if rank not in (2, 3) or len(places) != len(shape) or not b.facts.equal(places[-1], rank):
        raise SignatureError("grid_sample takes [n, c, sizes...] and a grid [n, places..., coordinates] of equal rank")
    if not b.facts.equal(shape[0], places[0]):
        raise SignatureError(f"grid_sample of {shape[0]} pictures with grids for {places[0]}")
    if mode == CUBIC and rank == 3:
        raise SignatureError("bicubic sampling is for pictures")
    if not all(b.facts.at_most(1, d) for d in shape[2:]):
        raise SignatureError("grid_sample of a tensor without elements along a sampled dim")
    if b.type_of(x).dtype is not dtype:
        raise Unsupported("grid_sample of half floats, which eager rounds tap by tap: convert with .float() first")
    spots = places[:-1]
    axes = [Axis(b, d, padding, corners, dtype) for d in shape[2:]]
    taps = []
    for a, axis in enumerate(axes):
        coordinate = b.emit("prim::slice", grid, rank + 1, rank - 1 - a, 1, 1)
        taps.append(axis.taps(b.emit("prim::reshape", coordinate, spots), mode))
    batch = counting(b, 0, spots)
    total = None
    for chosen in itertools.product(*taps):
        part = _read(b, x, batch, axes, [place for place, _ in chosen], padding)
        weights = [w for _, w in chosen if w is not None]
        if weights:
            weight = weights[0]
            for more in weights[1:]:
                weight = b.emit("aten::mul", weight, more)
            part = b.emit("aten::mul", part, b.emit("prim::reshape", weight, (*spots, 1)))
        total = part if total is None else b.emit("aten::add", total, part)
    return b.emit("prim::permute", total, (0, rank + 1, *range(1, rank + 1)))


def _read(b: Builder, x: Any, batch: Any, axes: Sequence[Axis], places: Sequence[Any], padding: int) -> Any:
    """[n, places..., c] of the elements at whole places; outside, with padding by zeros, 0."""
    indices = [batch, *(axis.index(place) for axis, place in zip(axes, places, strict=True))]
    found = take(b, x, indices, (0, *range(2, len(axes) + 2)), 0)
    inside = None
    for axis, place in zip(axes, places, strict=True):
        here = axis.inside(place)
        inside = here if inside is None else b.emit("aten::logical_and", inside, here)
    return b.emit("aten::where", b.emit("prim::reshape", inside, (*b.type_of(inside).shape, 1)), found, 0.0)


def affine_grid(b: Builder, theta: Any, size: Sequence[Any], corners: bool) -> Any:
    """The grid of a picture's or volume's places under one affine map for each: [n, places..., coordinates]."""
    batch, _, *sizes = (dim(d) for d in size)
    rank, given = len(sizes), b.type_of(theta)
    if rank not in (2, 3) or given.rank != 3 or not b.facts.equal(given.shape[1], rank):
        raise SignatureError("affine_grid takes [n, 2, 3] and (n, c, h, w), or [n, 3, 4] and (n, c, d, h, w)")
    if not b.facts.equal(given.shape[0], batch) or not b.facts.equal(given.shape[2], rank + 1):
        raise SignatureError("affine_grid needs one affine map for each picture")
    columns = []
    for a in reversed(range(rank)):
        line = _middles(b, sizes[a], corners, given.dtype.compute)
        one = tuple(d if k == a else const(1) for k, d in enumerate(sizes))
        columns.append(b.emit("prim::expand", b.emit("prim::reshape", line, one), tuple(sizes)))
    columns.append(b.emit("prim::full", tuple(sizes), 1.0, given.dtype.compute))
    base = b.emit("aten::stack", tuple(columns), -1)
    count = b.type_of(columns[0]).numel
    rows = b.emit("prim::reshape", base, (1, count, const(rank + 1)))
    made = b.emit("aten::matmul", rows, b.emit("prim::permute", theta, (0, 2, 1)))
    return b.emit("prim::reshape", made, (batch, *sizes, const(rank)))


def _middles(b: Builder, size: Dim, corners: bool, dtype: DType) -> Any:
    """Where an axis's elements lie between -1 and 1."""
    if b.facts.equal(size, 1):
        return b.emit("prim::full", (1,), 0.0, dtype)
    line = linspace(b, -1.0, 1.0, size, dtype)
    if corners:
        return line
    return b.emit("aten::div", b.emit("aten::mul", line, number(b, size - 1, dtype)), number(b, size, dtype))


# -- references -----------------------------------------------------------------------------------
def _np_fold(place: np.ndarray, size: int, padding: int, corners: bool) -> np.ndarray:
    if padding == ZEROS:
        return place
    if padding == REFLECTION:
        shift, span = (0.0, 2.0 * (size - 1)) if corners else (-0.5, 2.0 * size)
        away = np.mod(np.abs(place - shift), span) if span else place * 0
        place = np.minimum(away, span - away) + shift
    return np.asarray(np.clip(np.nan_to_num(place), 0, size - 1))


def _np_weights(place: np.ndarray, mode: int, size: int, padding: int, corners: bool) -> list[Any]:
    if mode == NEAREST:
        return [(np.rint(_np_fold(place, size, padding, corners)), np.ones_like(place))]
    if mode == LINEAR:
        place = _np_fold(place, size, padding, corners)
        low = np.floor(place)
        return [(low, low + 1 - place), (low + 1, place - low)]
    low, made = np.floor(place), []
    for k in range(-1, 3):
        d, a = np.abs(place - low - k), -0.75
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        made.append((_np_fold(low + k, size, padding, corners), np.where(d < 1, near, (((d - 5) * d + 8) * d - 4) * a)))
    return made


def _np_grid_sample(x: np.ndarray, grid: np.ndarray, mode: int, padding: int, corners: bool) -> np.ndarray:
    rank = x.ndim - 2
    taps = []
    for a, size in enumerate(x.shape[2:]):
        shifted = (grid[..., rank - 1 - a] + 1) / 2
        place = shifted * (size - 1) if corners else shifted * size - grid.dtype.type(0.5)
        taps.append(_np_weights(place, mode, size, padding, corners))
    out = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]), x.dtype)
    batch = np.arange(x.shape[0]).reshape(-1, *(1 for _ in range(rank)))
    for chosen in itertools.product(*taps):
        inside = np.ones(grid.shape[:-1], bool)
        weight = np.ones(grid.shape[:-1], x.dtype)
        at = []
        for (place, w), size in zip(chosen, x.shape[2:], strict=True):
            inside &= (place >= 0) & (place <= size - 1)
            weight = weight * w
            at.append(np.clip(np.nan_to_num(place), 0, size - 1).astype(np.int64))
        found = np.moveaxis(x, 1, -1)[(batch, *at)]
        out += np.moveaxis(np.where(inside[..., None], found, 0) * weight[..., None], -1, 1)
    return out


def _np_affine_grid(theta: np.ndarray, size: Sequence[int], corners: bool) -> np.ndarray:
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if corners else line * (n - 1) / n)
    grids = np.meshgrid(*lines, indexing="ij")
    base = np.stack([*reversed(grids), np.ones_like(grids[0])], -1).reshape(-1, len(lines) + 1)
    made = base @ np.swapaxes(theta, 1, 2)
    return np.asarray(made.reshape(size[0], *size[2:], len(lines)).astype(theta.dtype))


def _samples(dtype: str) -> list[Sample]:
    flat = [
        Sample((Rand(2, 3, 5, 4), Rand(2, 3, 2, 2), *how))
        for how in ((0, 0, False), (0, 2, True), (1, 0, True), (1, 2, False), (2, 1, False), (2, 0, True))
    ]
    solid = [Sample((Rand(2, 3, 4, 5, 3), Rand(2, 3, 2, 2, 3), m, p, c)) for m, p, c in ((0, 0, False), (1, 2, True))]
    return [*flat, *solid]


SAMPLING: list[Op] = [
    composite(
        "aten::grid_sampler",
        "(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor",
        "default grid_sampler_2d.default grid_sampler_3d.default",
        grid_sample,
        _np_grid_sample,
        _samples,
        dtypes=("f32", "f64"),
        tolerance=MIXED,
        stepwise=True,
    ),
    composite(
        "aten::affine_grid_generator",
        "(Tensor theta, int[] size, bool align_corners) -> Tensor",
        "default",
        affine_grid,
        _np_affine_grid,
        lambda d: [
            Sample((Rand(2, 2, 3), (2, 3, 4, 5), False)),
            Sample((Rand(2, 2, 3), (2, 3, 1, 5), True)),
            Sample((Rand(1, 3, 4), (1, 3, 2, 3, 4), False)),
        ],
        dtypes=("f32", "f64"),
        tolerance=NEAR,
    ),
]
