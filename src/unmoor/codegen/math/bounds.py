"""The largest error of each scalar function in machine code, in ulps of the exact result. The op table cites it.

A function that is not named is exact to half an ulp, as IEEE 754's own operations are (integers, selections and
comparisons: exact). Most f32 functions of the second half are f64 ones rounded.
"""

from __future__ import annotations

from unmoor.dtypes import DType, f32, f64

EXACT = 0.5
ULPS: dict[tuple[str, DType], float] = {
    ("exp", f32): 1.0,
    ("exp", f64): 1.0,
    ("exp2", f32): 1.0,
    ("exp2", f64): 1.25,
    ("expm1", f32): 2.0,
    ("expm1", f64): 2.0,
    ("log", f32): 1.0,
    ("log", f64): 1.0,
    ("log2", f32): 1.25,
    ("log2", f64): 1.25,
    ("log10", f32): 1.0,
    ("log10", f64): 1.0,
    ("log1p", f32): 1.0,
    ("log1p", f64): 1.0,
    ("sin", f32): 1.5,
    ("sin", f64): 1.0,
    ("cos", f32): 1.5,
    ("cos", f64): 1.0,
    ("tan", f32): 0.51,
    ("tan", f64): 2.5,
    ("asin", f32): 2.0,
    ("asin", f64): 2.0,
    ("acos", f32): 1.0,
    ("acos", f64): 1.0,
    ("atan", f32): 1.75,
    ("atan", f64): 1.75,
    ("atan2", f32): 2.0,
    ("atan2", f64): 2.0,
    ("sinh", f32): 0.51,
    ("sinh", f64): 1.75,
    ("cosh", f32): 0.51,
    ("cosh", f64): 1.75,
    ("tanh", f32): 2.5,
    ("tanh", f64): 2.75,
    ("asinh", f32): 0.51,
    ("asinh", f64): 2.0,
    ("acosh", f32): 0.51,
    ("acosh", f64): 2.5,
    ("atanh", f32): 0.51,
    ("atanh", f64): 2.0,
    ("erf", f32): 2.0,
    ("erf", f64): 1.5,
    ("sigmoid", f32): 2.5,
    ("sigmoid", f64): 2.5,
    ("pow", f32): 0.51,
    ("pow", f64): 1.5,
}


def ulps(fn: str, dtype: DType) -> float:
    """The bound for one function of operands of `dtype`; 0 for a function of bools or integers."""
    return ULPS.get((fn, dtype), EXACT) if dtype.is_float else 0.0
