"""Products of tensors as formulas of matmul: outer and inner products, tensordot, einsum, kron, cross."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import const, product
from unmoor.ir.op import Op
from unmoor.ops.contraction import SUMS
from unmoor.ops.family import axis_of
from unmoor.ops.formula import Aten, formula
from unmoor.ops.linear_systems import inv
from unmoor.ops.samples import Rand

PAIR = "(Tensor self, Tensor other) -> Tensor"


def outer(aten: Aten, a: Any, b: Any) -> Any:
    """a[i] * b[j]."""
    if aten.rank(a) != 1 or aten.rank(b) != 1:
        raise SignatureError("outer needs two vectors")
    return aten.mul(aten.unsqueeze(a, 1), b)


def _added(aten: Aten, x: Any, made: Any, beta: Any, alpha: Any) -> Any:
    """beta * x + alpha * made; a beta of 0 leaves x out, NaN and all, but for its shape."""
    if not aten.is_float(made):
        beta, alpha = int(beta), int(alpha)
    made = made if alpha == 1 else aten.mul(made, alpha)
    if beta == 0:
        return made
    return aten.add(x if beta == 1 else aten.mul(x, beta), made)


def _addr(aten: Aten, x: Any, a: Any, b: Any, beta: Any, alpha: Any) -> Any:
    types = [aten.type_of(v).dtype.name for v in (x, a, b)]
    if "bool" in types:
        raise Unsupported("addr of bools is not supported")
    if beta == 0 or not aten.is_float(a):
        return _added(aten, x, outer(aten, a, b), beta, alpha)
    dtype = aten.type_of(a).dtype
    scaled = a if alpha == 1 else aten.mul(a, aten.number(alpha, dtype))
    made = outer(aten, scaled, b)
    return aten.add(x if beta == 1 else aten.mul(x, aten.number(beta, dtype)), made)


def _addbmm(aten: Aten, x: Any, a: Any, c: Any, beta: Any, alpha: Any) -> Any:
    """The sum of a batch's products; of half floats one after the other, each sum rounded, as eager does it."""
    dtype = aten.type_of(a).dtype
    if not dtype.is_float or dtype is dtype.compute:
        return _added(aten, x, aten.sum(aten.matmul(a, c), (0,), False, dtype), beta, alpha)
    for k in range(aten.facts.int_of(aten.shape(a)[0])):
        x = aten.addmm(x, aten.select(a, 0, k), aten.select(c, 0, k), beta if k == 0 else 1, alpha)
    return x


def _inner(aten: Aten, a: Any, b: Any) -> Any:
    if not aten.rank(a) or not aten.rank(b):
        return aten.mul(a, b)
    return tensordot(aten, a, b, (-1,), (-1,))


def tensordot(aten: Aten, a: Any, b: Any, dims_self: Sequence[int], dims_other: Sequence[int]) -> Any:
    """The sum of products over pairs of axes; what is left of a, then of b."""
    first = [axis_of(d, aten.rank(a)) for d in dims_self]
    second = [axis_of(d, aten.rank(b)) for d in dims_other]
    for i, j in zip(first, second, strict=True):
        if not aten.facts.equal(aten.shape(a)[i], aten.shape(b)[j]):
            raise SignatureError(f"tensordot of {aten.type_of(a)} and {aten.type_of(b)} over sizes that differ")
    left = [k for k in range(aten.rank(a)) if k not in first]
    right = [k for k in range(aten.rank(b)) if k not in second]
    rows, columns = [aten.shape(a)[k] for k in left], [aten.shape(b)[k] for k in right]
    inner = product(aten.shape(a)[k] for k in first)
    x = aten.reshape(aten.permute(a, (*left, *first)), (product(rows), inner))
    y = aten.reshape(aten.permute(b, (*second, *right)), (inner, product(columns)))
    return aten.reshape(aten.matmul(x, y), (*rows, *columns))


def _kron(aten: Aten, a: Any, b: Any) -> Any:
    rank = max(aten.rank(a), aten.rank(b))
    one, two = ([*(const(1) for _ in range(rank - aten.rank(v))), *aten.shape(v)] for v in (a, b))
    x = aten.reshape(a, tuple(d for n in one for d in (n, 1)))
    y = aten.reshape(b, tuple(d for n in two for d in (1, n)))
    return aten.reshape(aten.mul(x, y), tuple(m * n for m, n in zip(one, two, strict=True)))


def _cross(aten: Aten, a: Any, b: Any, dim: int | None) -> Any:
    a, b = aten.builder.emit_all("aten::broadcast_tensors", (a, b))
    axis = next((k for k, d in enumerate(aten.shape(a)) if aten.facts.equal(d, 3)), None) if dim is None else dim
    if axis is None or not aten.facts.equal(aten.shape(a)[axis], 3):
        raise SignatureError("cross needs a dim of size 3")
    x, y = ([aten.select(v, axis, k) for k in range(3)] for v in (a, b))
    parts = [aten.sub(aten.mul(x[i], y[j]), aten.mul(x[j], y[i])) for i, j in ((1, 2), (2, 0), (0, 1))]
    return aten.stack(tuple(parts), axis)


def _chain(aten: Aten, tensors: Sequence[Any]) -> Any:
    """The matrices' product, multiplied from the left; a first or last vector is a row or a column.

    Of three, the pair that is cheaper to begin with goes first, as in eager: half floats are rounded in between.
    """
    half = aten.type_of(tensors[0]).dtype
    if half is not half.compute and len(tensors) == 3:
        first, second, third = tensors
        rows = const(1) if aten.rank(first) == 1 else aten.shape(first)[0]
        columns = const(1) if aten.rank(third) == 1 else aten.shape(third)[1]
        inner, outer_ = aten.shape(second)
        if aten.facts.at_most(inner * columns * (rows + outer_), rows * outer_ * (inner + columns)):
            return aten.matmul(first, aten.matmul(second, third))
    elif half is not half.compute and len(tensors) > 3:
        raise Unsupported(f"a product of {len(tensors)} matrices of half floats: multiply them with @, two at a time")
    made = tensors[0]
    for t in tensors[1:]:
        made = aten.matmul(made, t)
    return made


def _power(aten: Aten, x: Any, n: int) -> Any:
    if n < 0:
        x, n = inv(aten.builder, x), -n
    if n == 0:
        eye = aten.eye(aten.shape(x)[-1], None, aten.type_of(x).dtype)
        return aten.expand(eye, aten.shape(x))
    made, square = None, x
    while n:
        if n & 1:
            made = square if made is None else aten.matmul(made, square)
        n >>= 1
        square = aten.matmul(square, square) if n else square
    return made


def _bilinear(aten: Aten, a: Any, b: Any, weight: Any, bias: Any) -> Any:
    if not aten.rank(a) or aten.type_of(a).dtype is aten.type_of(a).dtype.compute:
        made = einsum(aten, "...i,oij,...j->...o", (a, weight, b), None)
    else:  # eager rounds half floats in between
        made = einsum(aten, "...oj,...j->...o", (einsum(aten, "...i,oij->...oj", (a, weight), None), b), None)
    return made if bias is None else aten.add(made, bias)


# -- einsum ---------------------------------------------------------------------------------------
def _letters(aten: Aten, term: str, x: Any) -> list[str]:
    """The names of a tensor's axes; those behind an ellipsis are called by their place from the right."""
    front, dots, back = term.partition("...")
    hidden = aten.rank(x) - len(front) - len(back)
    if hidden < 0 or (hidden and not dots):
        raise SignatureError(f"einsum: {term!r} does not name the dims of {aten.type_of(x)}")
    return [*front, *(f".{hidden - k}" for k in range(hidden)), *back]


def _once(aten: Aten, x: Any, names: list[str]) -> tuple[Any, list[str]]:
    """A tensor whose axes have different names: axes of one name become their diagonal."""
    while len(set(names)) < len(names):
        name = next(n for n in names if names.count(n) > 1)
        i = names.index(name)
        j = names.index(name, i + 1)
        if not aten.facts.equal(aten.shape(x)[i], aten.shape(x)[j]):
            raise SignatureError(f"einsum: {name!r} names axes of {aten.shape(x)[i]} and {aten.shape(x)[j]}")
        x = aten.diagonal(x, 0, i, j)
        names = [n for k, n in enumerate(names) if k not in (i, j)] + [name]
    return x, names


def _without(aten: Aten, x: Any, names: list[str], needed: set[str]) -> tuple[Any, list[str]]:
    """Axes that nothing else needs, summed."""
    axes = tuple(k for k, n in enumerate(names) if n not in needed)
    return (aten.sum(x, axes), [n for n in names if n in needed]) if axes else (x, names)


def _pair(aten: Aten, a: Any, names: list[str], b: Any, others: list[str], needed: set[str]) -> tuple[Any, list[str]]:
    """Two tensors multiplied, and summed over the axes that nothing else needs, as one batched matmul."""
    a, names = _without(aten, a, names, needed | set(others))
    b, others = _without(aten, b, others, needed | set(names))
    common = [n for n in names if n in others]
    sizes = {n: d for n, d in zip(names, aten.shape(a), strict=True)}
    for n, d in zip(others, aten.shape(b), strict=True):
        if n in common and d != sizes[n] and not aten.facts.equal(d, sizes[n]):
            if d == 1:  # a size of 1 is broadcast
                continue
            sizes[n] = d
            continue
        sizes.setdefault(n, d)
    a = (
        aten.expand(a, tuple(sizes[n] for n in names))
        if any(sizes[n] != d for n, d in zip(names, aten.shape(a), strict=True))
        else a
    )
    b = (
        aten.expand(b, tuple(sizes[n] for n in others))
        if any(sizes[n] != d for n, d in zip(others, aten.shape(b), strict=True))
        else b
    )
    batch = [n for n in common if n in needed]
    summed = [n for n in common if n not in needed]
    left, right = [n for n in names if n not in common], [n for n in others if n not in common]

    def size(which: list[str]) -> Any:
        return product(sizes[n] for n in which)

    outer_sizes = tuple(sizes[n] for n in batch)
    x = aten.permute(a, tuple(names.index(n) for n in (*batch, *left, *summed)))
    y = aten.permute(b, tuple(others.index(n) for n in (*batch, *summed, *right)))
    x = aten.reshape(x, (*outer_sizes, size(left), size(summed)))
    y = aten.reshape(y, (*outer_sizes, size(summed), size(right)))
    made = aten.matmul(x, y) if summed else aten.mul(x, y)
    result = [*batch, *left, *right]
    return aten.reshape(made, tuple(sizes[n] for n in result)), result


def einsum(aten: Aten, equation: str, tensors: Sequence[Any], path: Any) -> Any:
    """Einstein's sum, two tensors at a time from the left."""
    terms, arrow, result = equation.replace(" ", "").partition("->")
    parts = terms.split(",")
    if len(parts) != len(tensors):
        raise SignatureError(f"einsum: {len(parts)} terms for {len(tensors)} tensors")
    named = [_letters(aten, term, x) for term, x in zip(parts, tensors, strict=True)]
    every = [n for names in named for n in names]
    hidden = sorted({n for n in every if n[0] == "."}, key=lambda n: -int(n[1:]))
    if arrow:
        front, dots, back = result.partition("...")
        wanted = [*front, *(hidden if dots else ()), *back]
    else:
        wanted = [*hidden, *sorted({n for n in every if n[0] != "." and every.count(n) == 1})]
    once = [_once(aten, x, names) for x, names in zip(tensors, named, strict=True)]
    made, names = once[0]
    for k, (x, others) in enumerate(once[1:], 1):
        needed = set(wanted).union(*(set(n) for _, n in once[k + 1 :]))
        made, names = _pair(aten, made, names, x, others, needed)
    made, names = _without(aten, made, names, set(wanted))
    return aten.permute(made, tuple(names.index(n) for n in wanted))


ADD = "(Tensor self, Tensor {0}, Tensor {1}, *, Scalar beta=1, Scalar alpha=1) -> Tensor"
PRODUCTS: list[Op] = [
    formula(
        "outer", "(Tensor self, Tensor vec2) -> Tensor", outer, (Rand(3), Rand(4)), overloads="default ger.default"
    ),
    formula(
        "addr",
        ADD.format("vec1", "vec2"),
        _addr,
        (Rand(3, 4), Rand(3), Rand(4), 0.5, 2.0),
        tolerance=SUMS,
        stepwise=True,
    ),
    formula(
        "addmv",
        ADD.format("mat", "vec"),
        lambda aten, x, m, v, beta, alpha: aten.expand_as(
            _added(aten, x, aten.matmul(m, v), beta, alpha), aten.matmul(m, v)
        ),
        (Rand(3), Rand(3, 4), Rand(4), 0.5, 2.0),
        tolerance=SUMS,
    ),
    formula(
        "addbmm",
        ADD.format("batch1", "batch2"),
        _addbmm,
        (Rand(3, 5), Rand(2, 3, 4), Rand(2, 4, 5)),
        tolerance=SUMS,
        stepwise=True,
    ),
    formula("inner", PAIR, _inner, (Rand(3, 4), Rand(2, 4)), tolerance=SUMS),
    formula("vdot", PAIR, lambda aten, a, b: aten.matmul(a, b), (Rand(4), Rand(4)), tolerance=SUMS),
    formula(
        "linalg_vecdot",
        "(Tensor x, Tensor y, *, int dim=-1) -> Tensor",
        lambda aten, a, b, dim: aten.sum(aten.mul(a, b), (dim,)),
        (Rand(3, 4), Rand(4)),
        tolerance=SUMS,
        stepwise=True,
    ),
    formula(
        "tensordot",
        "(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor",
        tensordot,
        (Rand(2, 3, 4), Rand(4, 2, 5), (2, 0), (0, 1)),
        tolerance=SUMS,
    ),
    formula("kron", PAIR, _kron, (Rand(3, 4), Rand(2))),
    formula(
        "linalg_cross",
        "(Tensor self, Tensor other, *, int dim=-1) -> Tensor",
        _cross,
        (Rand(4, 3), Rand(4, 3)),
        stepwise=True,
    ),
    formula(
        "cross", "(Tensor self, Tensor other, int? dim=None) -> Tensor", _cross, (Rand(3, 4), Rand(3, 4)), stepwise=True
    ),
    formula(
        "linalg_multi_dot",
        "(Tensor[] tensors) -> Tensor",
        _chain,
        ((Rand(3), Rand(3, 4), Rand(4, 2)),),
        ((Rand(2, 6), Rand(6, 4), Rand(4, 1)),),
        tolerance=SUMS,
        stepwise=True,
    ),
    formula(
        "chain_matmul",
        "(Tensor[] matrices) -> Tensor",
        _chain,
        ((Rand(5, 3), Rand(3, 4), Rand(4, 2)),),
        tolerance=SUMS,
    ),
    formula(
        "linalg_matrix_power",
        "(Tensor self, int n) -> Tensor",
        _power,
        (Rand(3, 3), 3),
        (np.eye(3, dtype=np.float32) * 2 + 0.3, -3),
        overloads="default matrix_power.default",
        tolerance=SUMS,
    ),
    formula(
        "bilinear",
        "(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor",
        _bilinear,
        (Rand(2, 3), Rand(2, 4), Rand(5, 3, 4), Rand(5)),
        tolerance=SUMS,
        stepwise=True,
    ),
    formula(
        "einsum",
        "(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor",
        einsum,
        ("bij,bjk->bik", (Rand(2, 3, 4), Rand(2, 4, 5))),
        ("...ij,kj->...ki", (Rand(2, 3, 4), Rand(5, 4))),
        ("ii->i", (Rand(3, 3),)),
        ("ab,bc,cd", (Rand(2, 3), Rand(3, 4), Rand(4, 2))),
        tolerance=SUMS,
    ),
]
