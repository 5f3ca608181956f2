"""Graph passes: plain functions from graph to graph. Their order is in `compiler.pipeline`."""

from unmoor.passes.algebra import algebra
from unmoor.passes.canonicalise_views import canonicalise_views
from unmoor.passes.common_subexpressions import common_subexpressions
from unmoor.passes.constant_folding import constant_folding
from unmoor.passes.dead_code import dead_code
from unmoor.passes.number_folding import number_folding
from unmoor.passes.sink_permutes import sink_permutes
from unmoor.passes.sink_reshapes import sink_reshapes
from unmoor.passes.through_blocks import through_blocks

__all__ = [
    "algebra",
    "canonicalise_views",
    "common_subexpressions",
    "constant_folding",
    "dead_code",
    "number_folding",
    "sink_permutes",
    "sink_reshapes",
    "through_blocks",
]
