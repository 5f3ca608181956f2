"""Fits the polynomials of the vector math functions and writes src/unmoor/codegen/math/coefficients.py.

Run by hand after a change: `python tools/fit_polynomials.py`. Needs mpmath and NumPy. Each fit is a truncated
Chebyshev series computed with 80 digits (within a factor of about two of minimax), except where a weight far from
flat pays: there, weighted least squares on Chebyshev nodes. Printed: the largest error of each fit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 80
OUT = Path(__file__).parent.parent / "src/unmoor/codegen/math/coefficients.py"
Real = Callable[[mp.mpf], mp.mpf]

LN2 = mp.log(2)
TINY = mp.mpf(10) ** -20


def away_from_zero(f: Real) -> Real:
    """f with its removable singularity at 0 stepped around."""
    return lambda x: f(x if abs(x) > TINY else TINY)


def root(f: Real) -> Real:
    """A function of x as one of z = x*x."""
    return lambda z: f(mp.sqrt(z))


def erfcx_scaled(t: mp.mpf) -> mp.mpf:
    """erfc(x) exp(x^2) (1 + 2x) at x = 4 (1 + t)/(1 - t), after Schonfelder's mapping of the half line."""
    x = 4 * (1 + t) / (1 - t)
    return mp.erfc(x) * mp.exp(x * x) * (1 + 2 * x)


# name: (function, interval, terms for f32 or None, terms for f64 or None)
FITS: dict[str, tuple[Real, tuple[mp.mpf, mp.mpf], int | None, int | None]] = {
    # (e^r - 1 - r) / r^2
    "EXP": (lambda r: (mp.expm1(r) - r) / r**2, (-LN2 * 0.5005, LN2 * 0.5005), 5, 11),
    # (2^r - 1) / r
    "EXP2": (lambda r: mp.expm1(r * LN2) / r, (mp.mpf(-0.5), mp.mpf(0.5)), 6, None),
    # (log(1 + f) - f + f^2/2) / f^3
    "LOG": (lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, (mp.mpf("-0.2930"), mp.mpf("0.4143")), 9, None),
    # (log((1+s)/(1-s)) / s - 2) / s^2, in z = s^2
    "LOG_RATIO": (root(lambda s: (2 * mp.atanh(s) / s - 2) / s**2), (mp.mpf(0), mp.mpf("0.02945")), None, 8),
    # (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4, in z = r^2
    "SIN": (root(lambda r: (mp.sin(r) / r - 1) / r**2), (mp.mpf(0), mp.mpf("0.6175")), 3, 6),
    "COS": (root(lambda r: (mp.cos(r) - 1 + r * r / 2) / r**4), (mp.mpf(0), mp.mpf("0.6175")), 3, 6),
    # (atan(t)/t - 1) / t^2 and (asin(x)/x - 1) / x^2, in z
    "ATAN": (root(lambda t: (mp.atan(t) / t - 1) / t**2), (mp.mpf(0), mp.mpf("0.2501")), 6, 15),
    "ASIN": (root(lambda x: (mp.asin(x) / x - 1) / x**2), (mp.mpf(0), mp.mpf("0.25")), 6, 14),
    # (sinh(x)/x - 1) / x^2, in z
    "SINH": (root(lambda x: (mp.sinh(x) / x - 1) / x**2), (mp.mpf(0), mp.mpf(1)), None, 7),
    # erf(x)/x - 1, in z
    "ERF_SMALL": (root(lambda x: mp.erf(x) / x - 1), (mp.mpf(0), mp.mpf("0.5625")), None, 11),
    "ERFCX": (erfcx_scaled, (mp.mpf(-0.685), mp.mpf("0.23")), None, 18),
}


def chebyshev(f: Real, interval: tuple[mp.mpf, mp.mpf], terms: int) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients, lowest first, and the largest absolute error."""
    coefficients, error = mp.chebyfit(away_from_zero(f), list(interval), terms, error=True)
    return list(reversed(coefficients)), error


def erf_log(terms: int) -> tuple[list[float], float]:
    """R of -log(erfc(x)) = x (2/sqrt(pi) + x R(x)) on [0, 4], by the relative error it causes in erf.

    The error in erf is erfc(x) times that in the logarithm, hence the weight x^2 erfc(x) / erf(x).
    """
    x = 2 - 2 * np.cos((np.arange(600) + 0.5) * np.pi / 600)
    exact = [-mp.log(mp.erfc(mp.mpf(v))) for v in x]
    r = np.array([float((y / v - 2 / mp.sqrt(mp.pi)) / v) for y, v in zip(exact, map(mp.mpf, x), strict=True)])
    weight = np.array([float(v * v * mp.erfc(v) / mp.erf(v)) for v in map(mp.mpf, x)])
    basis = np.polynomial.chebyshev.chebvander(x / 2 - 1, terms - 1)
    emphasis = np.ones_like(x)
    for _ in range(60):  # Lawson's iteration: least squares towards minimax
        scale = weight * np.sqrt(emphasis)
        solution = np.linalg.lstsq(basis * scale[:, None], r * scale, rcond=None)[0]
        error = np.abs(basis @ solution - r) * weight
        emphasis = emphasis * (error / error.max() + 1e-3)
        emphasis /= emphasis.max()
    series = np.polynomial.chebyshev.Chebyshev(solution, domain=[0, 4])
    return list(series.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1]).coef), error.max()


def hexadecimal(values: list[mp.mpf] | list[float], single: bool) -> str:
    rounded = [float(np.float32(float(v))) if single else float(v) for v in values]
    return "".join(f"    float.fromhex({v.hex()!r}),\n" for v in rounded).replace("'", '"')


def main() -> None:
    text = (
        '"""Polynomial coefficients, lowest degree first. Written by tools/fit_polynomials.py; see there for each."""\n'
    )
    for name, (f, interval, single, double) in FITS.items():
        for terms, suffix in ((single, "32"), (double, "64")):
            if terms:
                values, error = chebyshev(f, interval, terms)
                print(f"{name}_{suffix}: {terms} terms, error {mp.nstr(error, 3)}")
                text += f"\n{name}_{suffix} = (\n{hexadecimal(values, suffix == '32')})\n"
    fitted, worst = erf_log(8)
    print(f"ERF_LOG_32: 8 terms, relative error in erf {worst:.3g}")
    text += f"\nERF_LOG_32 = (\n{hexadecimal(fitted, True)})\n"
    OUT.write_text(text)


if __name__ == "__main__":
    main()
