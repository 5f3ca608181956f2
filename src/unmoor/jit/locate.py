"""Finds the first op of a recording that is compiled wrongly, by compiling what leads up to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unmoor.dtypes import BY_NUMPY, numbers_of
from unmoor.errors import UnmoorError
from unmoor.ir.graph import Node, Value
from unmoor.ir.signature import Leaf
from unmoor.ops.closeness import allowed
from unmoor.runtime.structures import rebuild

if TYPE_CHECKING:
    from unmoor.jit.specialisations import Specialisations

Steps = Sequence[tuple[Node, Sequence[Any]]]


def first_miscompiled(programs: Specialisations, steps: Steps, inputs: list[np.ndarray]) -> Node | None:
    """The first node whose compiled value is not that of `steps`; None where none is found.

    The search halves what is left each time: it takes what follows a wrong value to be wrong, too.
    """
    top = {id(node) for node in programs.recording.graph.nodes}
    tried = [(n, v[0]) for n, v in steps if id(n) in top and len(v) == 1 and isinstance(v[0], np.ndarray)]
    low, high = 0, len(tried)  # the first wrong one is in between, or there is none
    while low < high:
        middle = (low + high) // 2
        node, expected = tried[middle]
        if _is_right(programs, node.outputs[0], expected, inputs):
            low = middle + 1
        else:
            high = middle
    return tried[low][0] if low < len(tried) else None


def _is_right(programs: Specialisations, value: Value, expected: np.ndarray, inputs: list[np.ndarray]) -> bool:
    from unmoor.jit.specialisations import Specialisations

    whole = programs.recording
    graph = replace(whole.graph, outputs=(value,))
    part = replace(whole, graph=graph, result=Leaf(0), changed=(), returned=())
    own = Specialisations("part", part, "", programs.options, "numpy", rebuild)
    try:
        args, kwargs = rebuild(whole.arguments, tuple(inputs))
        own.compile_for(args, kwargs)
        made = np.asarray(own.model(*args, **kwargs))
    except UnmoorError:
        return True  # it says nothing: go on behind it
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return False
    a, b = numbers_of(made).astype(np.float64), numbers_of(expected).astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    off = np.where(same, 0.0, np.abs(a - b))
    return bool((off <= allowed(expected, BY_NUMPY[expected.dtype])).all())
