"""The scalar functions as vector code that calls nothing, with stated bounds of their errors."""

from unmoor.codegen.math.casts import cast
from unmoor.codegen.math.table import branches, expand

__all__ = ["branches", "cast", "expand"]
