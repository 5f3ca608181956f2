"""The committed polynomial coefficients are what their generator computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from unmoor.codegen.math import coefficients

GENERATOR = Path(__file__).parents[3] / "tools/fit_polynomials.py"


def test_a_fit_is_reproduced():
    spec = importlib.util.spec_from_file_location("fit_polynomials", GENERATOR)
    fit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit)
    for name, (function, interval, single, double) in fit.FITS.items():
        if double:
            fitted, _ = fit.chebyshev(function, interval, double)
            assert tuple(map(float, fitted)) == getattr(coefficients, f"{name}_64")
        assert len(getattr(coefficients, f"{name}_32", [None] * (single or 0))) == (single or 0)
