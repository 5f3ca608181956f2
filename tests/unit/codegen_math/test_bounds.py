"""Each float function is within its stated bound of the exact result, over samples and random bit patterns."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from unmoor.codegen.math.bounds import ulps
from unmoor.dtypes import f32, f64
from unmoor.ir.scalar import FUNCTIONS

Wide = np.longdouble  # 64 bits of mantissa on x86: 11 more than f64's
COUNT = 3000

NUMPY_NAMES = {"pow": "power"} | {f"a{n}": f"arc{n}" for n in ("sin", "cos", "tan", "tan2", "sinh", "cosh", "tanh")}


def exact_erf(x: np.ndarray) -> np.ndarray:
    with mpmath.workprec(80):
        values = [mpmath.nstr(mpmath.erf(mpmath.mpf(float(v))), 24) if np.isfinite(v) and v else v for v in x]
    return np.array([np.sign(v) if isinstance(v, Wide) and np.isinf(v) else Wide(v) for v in values])


def exact_sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e / (1 + e), 1 / (1 + e))


def exact_remainder(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """NumPy's fmod is C's, which is exact; the sign rule is PyTorch's."""
    r = np.fmod(x, y)
    return np.where((r != 0) & ((r < 0) != (y < 0)), r + y, r)


def reference(fn: str, operands: list[np.ndarray]) -> np.ndarray:
    if fn == "mod":
        return exact_remainder(*operands).astype(Wide)
    wide = [x.astype(Wide) for x in operands]
    own = {"erf": exact_erf, "sigmoid": exact_sigmoid}.get(fn)
    result: np.ndarray = (own or getattr(np, NUMPY_NAMES.get(fn, fn)))(*wide)
    return result


SPECIALS = [
    *(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, np.inf, np.nan, 88.72, 88.73, 89.4, 103.9, 104.1, 709.7, 709.8, 710.4),
    *(745.1, 745.2, 128.0, 149.0, 150.0, 1023.9, 1074.0, 1075.0, 1e5, 1e15, 1e22, 1e30, 0.75, 3.9, 5.9, 2.0**27),
]


def samples(dtype: np.dtype) -> np.ndarray:
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    bits = np.int32 if dtype.itemsize == 4 else np.int64
    edges = [float(v) for v in (info.tiny, info.smallest_subnormal, info.max, 1 - info.epsneg, 1 + info.eps)]
    special = np.array(SPECIALS + edges)
    parts = [
        special,
        -special,
        rng.integers(np.iinfo(bits).min, np.iinfo(bits).max, COUNT, dtype=bits).view(dtype),
        np.exp2(rng.uniform(-40, 20, COUNT)) * rng.choice([-1, 1], COUNT),
        *(rng.uniform(-a, a, COUNT) for a in (1, 10, 100, 1000)),
        1 + rng.uniform(-1, 1, COUNT) * np.exp2(rng.uniform(-50, 0, COUNT)),
        np.arange(-COUNT, COUNT) * (np.pi / 4),
    ]
    with np.errstate(over="ignore"):
        return np.concatenate([np.asarray(p).astype(dtype) for p in parts])


def operands(fn: str, dtype: np.dtype) -> list[np.ndarray]:
    x = samples(dtype)
    if fn == "erf":
        x = x[:: 1 if len(x) < 4000 else 8]
    if FUNCTIONS[fn].arity == 1:
        return [x]
    rng = np.random.default_rng(8)
    special = x[: 2 * len(SPECIALS) + 10]
    a, b = (g.ravel() for g in np.meshgrid(special, special))
    base = np.exp(rng.uniform(-30, 30, COUNT)).astype(dtype)  # powers over the whole range of results
    limit = 103 if dtype.itemsize == 4 else 745
    exponent = (rng.uniform(-limit, limit, COUNT) / np.log(base.astype(Wide))).astype(dtype)
    return [np.concatenate([x, a, base]), np.concatenate([rng.permutation(x), b, exponent])]


def errors(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """In ulps of the result's dtype; inf where NaN, an infinity or the sign of a zero is wrong."""
    info = np.finfo(got.dtype)
    rounded = exact.astype(got.dtype)
    finite = np.isfinite(rounded) & np.isfinite(got)
    size = np.maximum(np.abs(np.where(finite, exact, 1)), Wide(info.tiny))
    ulp = np.exp2(np.floor(np.log2(size)) - info.nmant)
    error = np.where(finite, np.abs(got.astype(Wide) - np.where(finite, exact, 0)) / ulp, np.inf)
    error = np.where((np.isnan(got) & np.isnan(rounded)) | (~finite & (got == rounded)), 0, error)
    wrong_zero = (got == 0) & (rounded == 0) & (np.signbit(got) != np.signbit(rounded))
    return np.where(wrong_zero, np.inf, error).astype(float)


MEASURED = [
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "atan2"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "sigmoid", "pow", "sqrt", "fmod", "mod"),
]


@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.parametrize("fn", MEASURED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_within_its_bound(fn, dtype, lanes, compile_function):
    xs = operands(fn, dtype.numpy)
    error = errors(compile_function(fn, dtype, lanes)(*xs), reference(fn, xs))
    worst = int(np.argmax(error))
    assert error[worst] <= ulps(fn, dtype), f"{fn}({', '.join(repr(x[worst]) for x in xs)})"


def test_the_measure_sees_an_error_of_one_ulp():
    x = np.float32([1.0, 1.0, -0.0, np.nan, np.inf])
    y = np.float32([1.0, 1.0 + 2**-23, 0.0, 1.0, np.inf])
    assert errors(x, y.astype(Wide)).tolist() == [0.0, 1.0, np.inf, np.inf, 0.0]
