"""A complex tensor of a typed graph: its real and its imaginary part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Complex:
    """Parts of one dtype and shape; of a Python number, which is weak in promotion, two floats.

    It stands for a value while a graph is typed. Typed graphs hold the parts alone.
    """

    re: Any
    im: Any
