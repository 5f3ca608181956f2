"""Special functions, and membership, as formulas of other ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unmoor.errors import Unsupported
from unmoor.ir.op import Op
from unmoor.ops.family import EVERY, EXACT
from unmoor.ops.formula import FAR, NEAR, Aten, formula
from unmoor.ops.formulas import UNARY, in_f64
from unmoor.ops.samples import Ints, Rand

INF = math.inf
TERMS, FAR_FROM = 45, 16.0  # of the power series of Bessel functions, below; beyond, the asymptotic one


# -- modified Bessel functions --------------------------------------------------------------------
def _bessel(order: int, scaled: bool) -> Callable[[Aten, Any], Any]:
    """I0 or I1: (x/2)^order sum of (x^2/4)^k / (k! (k + order)!), all terms of one sign; scaled by e^-|x|."""
    near = [1 / (math.factorial(k) * math.factorial(k + order)) for k in range(TERMS)]
    distant, term = [1.0], 1.0
    for k in range(1, 20):  # terms of 1 / |x|
        term *= ((2 * k - 1) ** 2 - 4 * order**2) / (8 * k)
        distant.append(term)

    def sum_of(aten: Aten, terms: list[float], x: Any) -> Any:
        made: Any = terms[-1]
        for t in reversed(terms[:-1]):
            made = aten.add(aten.mul(x, made), t)
        return made

    def meaning(aten: Aten, x: Any) -> Any:
        size = aten.abs(x)
        inside = aten.clamp(size, None, FAR_FROM)
        low = sum_of(aten, near, aten.mul(aten.mul(inside, inside), 0.25))
        low = low if order == 0 else aten.mul(low, aten.mul(inside, 0.5))
        outside = aten.clamp(size, FAR_FROM, None)
        high = sum_of(aten, distant, aten.reciprocal(outside))
        high = aten.div(high, aten.sqrt(aten.mul(outside, 2 * math.pi)))
        if scaled:
            low = aten.mul(low, aten.exp(aten.neg(inside)))
        else:  # e^x in two steps: its product may be finite where e^x is not
            half = aten.exp(aten.mul(outside, 0.5))
            high = aten.mul(aten.mul(high, half), half)
        made = aten.where(aten.lt(size, FAR_FROM), low, high)
        made = aten.where(aten.isnan(x), x, made)
        return made if order == 0 else aten.where(aten.lt(x, 0.0), aten.neg(made), made)

    return meaning


# -- the error function's far end -----------------------------------------------------------------
def _erfcx(aten: Aten, x: Any) -> Any:
    """e^(x^2) erfc(x): as it is written near zero, beyond 2 as a continued fraction, below zero mirrored."""
    size = aten.abs(x)
    near = aten.clamp(size, None, 2.0)
    low = aten.mul(aten.exp(aten.mul(near, near)), aten.sub(1.0, aten.erf(near)))
    far = aten.clamp(size, 2.0, None)
    fraction = far
    for k in range(60, 0, -1):
        fraction = aten.add(far, aten.div(k / 2, fraction))
    high = aten.div(1 / math.sqrt(math.pi), fraction)
    made = aten.where(aten.lt(size, 2.0), low, high)
    mirrored = aten.sub(aten.mul(aten.exp(aten.mul(x, x)), 2.0), made)
    return aten.where(aten.isnan(x), x, aten.where(aten.lt(x, 0.0), mirrored, made))


def _log_ndtr(aten: Aten, x: Any) -> Any:
    """The logarithm of the normal distribution's cumulative function; below -1 by erfcx, which does not vanish."""
    root = math.sqrt(0.5)
    low = aten.clamp(x, None, -1.0)
    tail = aten.log(aten.mul(_erfcx(aten, aten.mul(low, -root)), 0.5))
    tail = aten.sub(tail, aten.mul(aten.mul(low, low), 0.5))
    high = aten.clamp(x, -1.0, None)
    body = aten.log1p(aten.mul(aten.sub(1.0, aten.erf(aten.mul(high, root))), -0.5))
    made = aten.where(aten.lt(x, -1.0), tail, body)
    return aten.where(aten.eq(x, -INF), -INF, aten.where(aten.isnan(x), x, made))


# -- elements -------------------------------------------------------------------------------------
def _rounded(aten: Aten, x: Any, decimals: int) -> Any:
    """Rounded to so many decimals, by a power of ten."""
    if not aten.is_float(x):
        raise Unsupported("round with decimals of integers is not supported: they have none")
    if aten.type_of(x).dtype.size < 4:
        raise Unsupported("round with decimals of half precision is not supported: convert with .float() first")
    if decimals == 0:
        return aten.round(x)
    ten = 10.0 ** abs(decimals)
    if decimals > 0:
        return aten.div(aten.round(aten.mul(x, ten)), ten)
    return aten.mul(aten.round(aten.div(x, ten)), ten)


def _ldexp(aten: Aten, x: Any, other: Any) -> Any:
    """x * 2^other."""
    return aten.mul(x, aten.pow(2.0, other))


def _isin(aten: Aten, elements: Any, tests: Any, assume_unique: bool, invert: bool) -> Any:
    """Whether each element is among the tested ones."""
    builder = aten.builder
    row = (
        aten.reshape(tests, (-1,))
        if builder.is_tensor(tests)
        else builder.emit("prim::full", (1,), tests, aten.type_of(tests).dtype)
    )
    column = (
        aten.unsqueeze(elements, -1)
        if builder.is_tensor(elements)
        else builder.emit("prim::full", (1,), elements, aten.type_of(elements).dtype)
    )
    found = aten.any(aten.eq(column, row), -1, False)
    return aten.logical_not(found) if invert else found


def _safe_softmax(aten: Aten, x: Any, dim: int, dtype: Any) -> Any:
    """softmax; zeros where a row holds nothing but -inf."""
    made = aten.softmax(x, dim, dtype)
    if not aten.rank(x):
        return aten.where(aten.eq(x, -INF), 0.0, made)
    return aten.where(aten.all(aten.eq(x, -INF), dim, True), 0.0, made)


WIDELY = Rand(3, 5, scale=6.0)
SPECIAL: list[Op] = [
    formula("i0", UNARY, in_f64(_bessel(0, False)), overloads="default special_i0.default", tolerance=FAR),
    formula("special_i0e", UNARY, in_f64(_bessel(0, True)), (WIDELY,), tolerance=FAR),
    formula("special_i1", UNARY, in_f64(_bessel(1, False)), tolerance=FAR),
    formula("special_i1e", UNARY, in_f64(_bessel(1, True)), (WIDELY,), tolerance=FAR),
    formula("special_erfcx", UNARY, in_f64(_erfcx), tolerance=FAR),
    formula("special_log_ndtr", UNARY, in_f64(_log_ndtr), (WIDELY,), tolerance=FAR),
    formula(
        "round_decimals",
        "(Tensor self, *, int decimals) -> Tensor",
        _rounded,
        (WIDELY, 2),
        (WIDELY, -1),
        overloads="round.decimals",
        tolerance=NEAR,
    ),
    formula("ldexp", "(Tensor self, Tensor other) -> Tensor", _ldexp, (Rand(3, 5), Rand(5)), overloads="Tensor"),
    formula(
        "isin",
        "(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor",
        _isin,
        (Ints(3, 5), Ints(4)),
        (Ints(7), Ints(2, 2), False, True),
        overloads="Tensor_Tensor",
        dtypes=("i64", "i32"),
        tolerance=EXACT,
    ),
    formula(
        "msort",
        "(Tensor self) -> Tensor",
        lambda aten, x: aten.builder.emit_all("aten::sort", x, 0, False, None)[0],
        dtypes=EVERY,
        tolerance=EXACT,
    ),
    formula(
        "_safe_softmax",
        "(Tensor self, int dim, dtype? dtype=None) -> Tensor",
        _safe_softmax,
        (Rand(3, 5), 1),
        (np.array([[-INF, -INF], [0.0, -INF]], np.float32), 1),
    ),
]
