"""Views that keep every element: PyTorch's ops that give a tensor another shape, or its axes another order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from unmoor.errors import SignatureError
from unmoor.ir.dim import const, dim, product
from unmoor.ir.op import Builder, Op
from unmoor.ops.family import axes_of, axis_of
from unmoor.ops.index_maps import view
from unmoor.ops.samples import Rand


def reshape(b: Builder, x: Any, shape: Sequence[Any]) -> Any:
    """The tensor in another shape, one size of which may be -1."""
    type_ = b.type_of(x)
    wanted = [dim(d) for d in shape]
    unknown = [k for k, d in enumerate(wanted) if d == -1]
    if len(unknown) > 1:
        raise SignatureError("only one size can be -1")
    if unknown:
        known = product(d for k, d in enumerate(wanted) if k != unknown[0])
        if any(b.facts.equal(d, 0) for k, d in enumerate(wanted) if k != unknown[0]):
            raise SignatureError("a size of -1 cannot be told beside a size of 0")
        wanted[unknown[0]] = type_.numel // known
    if not b.facts.equal(product(wanted), type_.numel):
        raise SignatureError(f"shape {list(wanted)} does not fit {type_}")
    return b.emit("prim::reshape", x, tuple(wanted))


def _np_flatten(x: np.ndarray, start: int = 0, end: int = -1) -> np.ndarray:
    shape = x.shape or (1,)
    first, last = start % len(shape), end % len(shape)
    return x.reshape(*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])


def expand(b: Builder, x: Any, size: Sequence[Any]) -> Any:
    """The tensor with axes of size 1 repeated, new ones in front; -1 keeps a size."""
    type_ = b.type_of(x)
    new = len(size) - type_.rank
    if new < 0:
        raise SignatureError(f"expand to {len(size)} axes of a tensor of rank {type_.rank}")
    shape = [*(const(1) for _ in range(new)), *type_.shape]
    wanted = []
    for axis, given in enumerate(size):
        d, own = dim(given), shape[axis]
        if d == -1 or own == d:
            wanted.append(own)
        elif b.facts.is_found(d) and not b.facts.is_found(own) and b.facts.equal(own, 1):
            wanted.append(d)
            shape[axis] = const(1)
        elif own != 1 and b.facts.equal(own, d):
            wanted.append(own if b.facts.is_found(own) else d)
            shape[axis] = wanted[-1]
        elif own == 1 or b.facts.equal(own, 1):
            wanted.append(d)
            shape[axis] = const(1)
        else:
            raise SignatureError(f"size {own} does not expand to {d}")
    if tuple(shape) != type_.shape:
        x = b.emit("prim::reshape", x, tuple(shape))
    return b.emit("prim::expand", x, tuple(wanted))


def permute(b: Builder, x: Any, dims: Sequence[int]) -> Any:
    """The tensor with its axes in another order."""
    rank = b.type_of(x).rank
    return b.emit("prim::permute", x, tuple(axis_of(d, rank) for d in dims))


def transpose(b: Builder, x: Any, dim0: int, dim1: int) -> Any:
    """The tensor with two axes swapped."""
    rank = b.type_of(x).rank
    order = list(range(rank))
    if rank:
        i, j = axis_of(dim0, rank), axis_of(dim1, rank)
        order[i], order[j] = order[j], order[i]
    return b.emit("prim::permute", x, tuple(order))


def unsqueeze(b: Builder, x: Any, axis: int) -> Any:
    """The tensor with a new axis of size 1."""
    shape = list(b.type_of(x).shape)
    shape.insert(axis_of(axis, len(shape) + 1), const(1))
    return b.emit("prim::reshape", x, tuple(shape))


def squeeze(b: Builder, x: Any, dims: Any) -> Any:
    """The tensor without those axes (all, for None) that have size 1."""
    type_ = b.type_of(x)
    among = axes_of(dims, type_.rank) if dims != () else ()
    shape = tuple(d for a, d in enumerate(type_.shape) if a not in among or not b.facts.equal(d, 1))
    return b.emit("prim::reshape", x, shape)


def flatten(b: Builder, x: Any, start: int, end: int) -> Any:
    """The axes start .. end as one."""
    type_ = b.type_of(x)
    if not type_.rank:
        return b.emit("prim::reshape", x, (1,))
    i, j = axis_of(start, type_.rank), axis_of(end, type_.rank)
    return b.emit("prim::reshape", x, (*type_.shape[:i], product(type_.shape[i : j + 1]), *type_.shape[j + 1 :]))


def unflatten(b: Builder, x: Any, axis: int, sizes: Sequence[Any]) -> Any:
    """One axis as several."""
    type_ = b.type_of(x)
    a = axis_of(axis, type_.rank)
    given = [dim(s) for s in sizes]
    if given.count(const(-1)) == 1:  # told by this axis alone, also where another is of size 0
        known = product(d for d in given if d != -1)
        if b.facts.equal(known, 0):
            raise SignatureError("a size of -1 cannot be told beside a size of 0")
        given[given.index(const(-1))] = type_.shape[a] // known
    if not b.facts.equal(product(given), type_.shape[a]):
        raise SignatureError(f"sizes {given} do not fit the axis of {type_.shape[a]}")
    return reshape(b, x, (*type_.shape[:a], *given, *type_.shape[a + 1 :]))


def movedim(b: Builder, x: Any, source: Any, destination: Any) -> Any:
    """The tensor with some axes at new places."""
    rank = b.type_of(x).rank
    src = [axis_of(a, rank) for a in ((source,) if isinstance(source, int) else source)]
    dst = [axis_of(a, rank) for a in ((destination,) if isinstance(destination, int) else destination)]
    order = [a for a in range(rank) if a not in src]
    for to, a in sorted(zip(dst, src, strict=True)):
        order.insert(to, a)
    return b.emit("prim::permute", x, tuple(order)) if rank else x


def _np_squeeze(x: np.ndarray, dims: Any = None) -> np.ndarray:
    return x.reshape([d for a, d in enumerate(x.shape) if a not in axes_of(dims, x.ndim) or d != 1])


def _np_unflatten(x: np.ndarray, axis: int, sizes: Sequence[int]) -> np.ndarray:
    a = axis % x.ndim
    told = [x.shape[a] // prod(n for n in sizes if n != -1) if s == -1 else s for s in sizes]
    return x.reshape(*x.shape[:a], *told, *x.shape[a + 1 :])


SELF = "(Tensor self) -> Tensor"
VIEW: list[Op] = [
    view(
        "aten::view",
        "(Tensor self, int[] size) -> Tensor",
        reshape,
        np.reshape,
        [((2, 6), (3, -1)), ((2, 3), (6,))],
        overloads="default view_copy.default _unsafe_view.default",
    ),
    view(
        "aten::reshape",
        "(Tensor self, int[] shape) -> Tensor",
        reshape,
        np.reshape,
        [((2, 6), (3, -1)), ((4,), (2, 2))],
    ),
    view(
        "aten::permute",
        "(Tensor self, int[] dims) -> Tensor",
        permute,
        np.transpose,
        [((2, 3, 4), (2, 0, -2))],
        overloads="default permute_copy.default",
    ),
    view(
        "aten::transpose",
        "(Tensor self, int dim0, int dim1) -> Tensor",
        transpose,
        lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
        [((2, 3, 4), 0, -1)],
        overloads="int transpose_copy.int",
    ),
    view(
        "aten::t",
        SELF,
        lambda b, x: transpose(b, x, 0, 1) if b.type_of(x).rank == 2 else x,
        np.transpose,
        [((2, 3),), ((4,),)],
        overloads="default t_copy.default",
    ),
    view(
        "aten::numpy_T",
        SELF,
        lambda b, x: permute(b, x, tuple(reversed(range(b.type_of(x).rank)))),
        np.transpose,
        [((2, 3, 4),)],
    ),
    view(
        "aten::mT",
        SELF,
        lambda b, x: transpose(b, x, -2, -1),
        lambda x: np.swapaxes(x, -1, -2) if x.ndim else x,
        [((2, 3, 4),)],
    ),
    view(
        "aten::expand",
        "(Tensor self, int[] size) -> Tensor",
        expand,
        lambda x, s: np.broadcast_to(x, [x.shape[k - len(s)] if d == -1 else d for k, d in enumerate(s)]),
        [((3, 1), (2, -1, 4))],
        overloads="default expand_copy.default",
    ),
    view(
        "aten::expand_as",
        "(Tensor self, Tensor other) -> Tensor",
        lambda b, x, o: expand(b, x, b.type_of(o).shape),
        lambda x, o: np.broadcast_to(x, o.shape),
        [((3, 1), Rand(2, 3, 4))],
    ),
    view(
        "aten::unsqueeze",
        "(Tensor self, int dim) -> Tensor",
        unsqueeze,
        np.expand_dims,
        [((2, 3), -1), ((), 0)],
        overloads="default unsqueeze_copy.default",
    ),
    view(
        "aten::squeeze",
        "(Tensor self, int[]? dim=None) -> Tensor",
        squeeze,
        _np_squeeze,
        [((2, 1, 3, 1),), ((2, 1, 3, 1), (1,)), ((2, 1), (0,))],
        overloads="default dim dims squeeze_copy.default squeeze_copy.dim squeeze_copy.dims",
    ),
    view(
        "aten::flatten",
        "(Tensor self, int start_dim=0, int end_dim=-1) -> Tensor",
        flatten,
        _np_flatten,
        [((2, 3, 4),), ((2, 3, 4), 1), ((2, 3, 4), 0, 1), ((2, 3, 4), -2, -1), ((0, 3), 0, 1)],
        "using_ints",
    ),
    view(
        "aten::unflatten",
        "(Tensor self, int dim, int[] sizes) -> Tensor",
        unflatten,
        _np_unflatten,
        [((2, 6), 1, (3, 2)), ((2, 6), -1, (3, 2)), ((6, 2), -2, (3, 2))],
        "int",
    ),
    view(
        "aten::flip",
        "(Tensor self, int[] dims) -> Tensor",
        lambda b, x, dims: b.emit("prim::flip", x, axes_of(dims, b.type_of(x).rank)) if dims else x,
        lambda x, d: np.flip(x, tuple(d)) if x.ndim else x,
        [((3, 4), (0,)), ((3, 4), (0, -1))],
    ),
    view(
        "aten::movedim",
        "(Tensor self, int[] source, int[] destination) -> Tensor",
        movedim,
        lambda x, source, destination: np.moveaxis(x, source, destination) if x.ndim else x,
        [((2, 3, 4), (0,), (2,))],
        overloads="intlist int moveaxis.intlist moveaxis.int",
    ),
]
