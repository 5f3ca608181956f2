"""The op table: everything Unmoor knows about each op, declared once.

TABLE      ops by name, "aten::add"
OVERLOADS  ops by torch overload, "add.Tensor"
evaluate   one op's eager meaning on NumPy arrays
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unmoor.ir.op import Op
from unmoor.ops.adaptive import ADAPTIVE
from unmoor.ops.arranging import ARRANGING
from unmoor.ops.assignment import ASSIGNMENT
from unmoor.ops.attention import ATTENTION
from unmoor.ops.comparison import COMPARISON
from unmoor.ops.complex import COMPLEX
from unmoor.ops.composite import COMPOSITE
from unmoor.ops.contraction import CONTRACTION
from unmoor.ops.convolution import CONVOLUTION
from unmoor.ops.counting import COUNTING
from unmoor.ops.creation import CREATION
from unmoor.ops.elementwise import ARITHMETIC
from unmoor.ops.evaluation import evaluate_op
from unmoor.ops.finding import FINDING
from unmoor.ops.formulas import FORMULAS
from unmoor.ops.fourier_axes import FOURIER
from unmoor.ops.gradients import RULES
from unmoor.ops.index_maps import INDEX_MAPS
from unmoor.ops.indexing import INDEXING
from unmoor.ops.joining import JOINING
from unmoor.ops.linear_systems import LINEAR_SYSTEMS
from unmoor.ops.losses import LOSSES
from unmoor.ops.matrix_factors import MATRIX_FACTORS
from unmoor.ops.matrix_spectra import MATRIX_SPECTRA
from unmoor.ops.matrix_vectors import MATRIX_VECTORS
from unmoor.ops.normalisation import NORMALISATION
from unmoor.ops.padding import PADDING
from unmoor.ops.pooling import POOLING
from unmoor.ops.products import PRODUCTS
from unmoor.ops.random import RANDOM
from unmoor.ops.ranges import RANGES
from unmoor.ops.rearrangement import REARRANGEMENT
from unmoor.ops.recurrence import RECURRENCE
from unmoor.ops.reduction import REDUCTION
from unmoor.ops.resampling import RESAMPLING
from unmoor.ops.sampling import SAMPLING
from unmoor.ops.scan import SCAN
from unmoor.ops.scatter import SCATTER
from unmoor.ops.short_windows import SHORT_WINDOWS
from unmoor.ops.slicing import SLICING
from unmoor.ops.sorting import SORTING
from unmoor.ops.special import SPECIAL
from unmoor.ops.statistics import STATISTICS
from unmoor.ops.transcendental import TRANSCENDENTAL
from unmoor.ops.view import VIEW
from unmoor.ops.windowing import WINDOWING

FAMILIES: dict[str, list[Op]] = {
    "arithmetic": ARITHMETIC,
    "comparison": COMPARISON,
    "transcendental": TRANSCENDENTAL,
    "reduction": REDUCTION,
    "index_maps": INDEX_MAPS,
    "view": VIEW,
    "slicing": SLICING,
    "joining": JOINING,
    "indexing": INDEXING,
    "scatter": SCATTER,
    "assignment": ASSIGNMENT,
    "scan": SCAN,
    "sorting": SORTING,
    "finding": FINDING,
    "counting": COUNTING,
    "contraction": CONTRACTION,
    "convolution": CONVOLUTION,
    "attention": ATTENTION,
    "recurrence": RECURRENCE,
    "padding": PADDING,
    "pooling": POOLING,
    "adaptive": ADAPTIVE,
    "rearrangement": REARRANGEMENT,
    "normalisation": NORMALISATION,
    "resampling": RESAMPLING,
    "sampling": SAMPLING,
    "creation": CREATION,
    "ranges": RANGES,
    "random": RANDOM,
    "composite": COMPOSITE,
    "formulas": FORMULAS,
    "special": SPECIAL,
    "statistics": STATISTICS,
    "losses": LOSSES,
    "arranging": ARRANGING,
    "products": PRODUCTS,
    "complex": COMPLEX,
    "fourier": FOURIER,
    "windowing": WINDOWING,
    "short_windows": SHORT_WINDOWS,
    "matrix_factors": MATRIX_FACTORS,
    "linear_systems": LINEAR_SYSTEMS,
    "matrix_spectra": MATRIX_SPECTRA,
    "matrix_vectors": MATRIX_VECTORS,
}
for _family in FAMILIES.values():
    _family[:] = [replace(op, vjp=RULES.get(op.name)) for op in _family]
TABLE: dict[str, Op] = {op.name: op for family in FAMILIES.values() for op in family}
OVERLOADS: dict[str, Op] = {overload: op for op in TABLE.values() for overload in op.overloads}


def evaluate(name: str, args: tuple[Any, ...]) -> Any:
    """The result of one op on NumPy arrays and numbers, as eager PyTorch would compute it; a tuple for several."""
    return evaluate_op(TABLE[name], args)
