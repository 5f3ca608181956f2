"""The order of the graph passes. A pass is a function; its place in a list is its place in the order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unmoor import ops
from unmoor.ir.graph import Graph
from unmoor.ir.verify import verify_graph
from unmoor.options import Options
from unmoor.passes import (
    algebra,
    canonicalise_views,
    common_subexpressions,
    constant_folding,
    dead_code,
    number_folding,
    sink_permutes,
    sink_reshapes,
    through_blocks,
)

Pass = Callable[[Graph], Graph]
Stage = tuple[str, Graph]

WHOLE: tuple[Pass, ...] = (
    number_folding,  # first: sizes that are literals make more tensors constant
    constant_folding,
    common_subexpressions,
)
UNUSED: tuple[Pass, ...] = (dead_code,)  # folding and merging leave unused nodes behind
RECORDED = (*WHOLE, *UNUSED)

TYPED: tuple[Pass, ...] = (
    constant_folding,
    algebra,
    canonicalise_views,
    sink_permutes,  # after the views are canonical, as the next one: they look for single views
    canonicalise_views,
    sink_reshapes,
    algebra,  # sinking brings reshapes together, and casts next to casts
    canonicalise_views,
    common_subexpressions,
    dead_code,
)


def run_passes(graph: Graph, passes: Sequence[Pass], options: Options) -> tuple[Graph, list[Stage]]:
    """The graph after all passes that are not skipped, and what each of them left, under its name."""
    stages: list[Stage] = []
    for transform in passes:
        name = transform.__name__
        if name in options.skip:
            continue
        graph = (
            transform(graph) if transform is dead_code else through_blocks(transform, graph)
        )  # it sees blocks itself
        if options.verify:
            verify_graph(graph, ops.TABLE)
        stages.append((name, graph))
    return graph, stages


def first_passes(graph: Graph, options: Options) -> Graph:
    """The recorded graph as users look at it: constants folded, nothing unused."""
    return run_passes(graph, RECORDED, options)[0]
