"""Recorded graphs with their gradients written out, as the reference interpreter runs them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmoor.dtypes import BY_NUMPY
from unmoor.ir.graph import Graph
from unmoor.ir.recording import ExampleTensor
from unmoor.specialise import specialise


def differentiated(graph: Graph, given: Sequence[np.ndarray], states: int) -> Graph:
    """The graph itself, or, where it asks for gradients, the typed one for these inputs; the last ones are states."""
    if not graph.differentiates:
        return graph
    fixed = len(given) - states
    example = (
        ExampleTensor(v.name, BY_NUMPY[a.dtype], a.shape, k >= fixed)
        for k, (v, a) in enumerate(zip(graph.inputs, given, strict=True))
    )
    return specialise(graph, tuple(example)).graph
