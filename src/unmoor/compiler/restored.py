"""Puts constants of a recorded graph back in order that a file stores only as programs read them: by views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmoor.ir.graph import Arg, Constant, Graph, Names, Node, Value, Views, names_of
from unmoor.ops import evaluate

Part = tuple[int, Views]  # a weight of the file, and the views through which it shows a constant
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """How a constant comes of stored weights: each of them through views, then side by side along `axis`."""

    parts: tuple[Part, ...]
    axis: int = 0


def way_back(shape: Shape, parts: Sequence[Part]) -> Way | None:
    """How an array of that shape comes of parts that each show it, or some of it; None where they leave some out."""
    known: dict[tuple[int, int, int], Part] = {}  # by axis, start and end
    for part in parts:
        place = _place(shape, part[1])
        if place is not None:
            known.setdefault(place, part)
    for axis in range(max(len(shape), 1)):
        pieces = sorted((start, end, part) for (a, start, end), part in known.items() if a == axis)
        reached, chosen = 0, []
        for start, end, part in pieces:
            if start == reached < end:
                chosen.append(part)
                reached = end
        if chosen and reached == (shape[axis] if shape else 1):
            return Way(tuple(chosen), axis)
    return None


def _place(shape: Shape, views: Views) -> tuple[int, int, int] | None:
    """What such views show: an axis, its first element and the one behind the last; None where it is no such piece."""
    place = (0, 0, shape[0] if shape else 1)
    for k, (op, args) in enumerate(views):
        if op == "prim::slice" and k == 0:
            axis, start, step, length = (int(str(a)) for a in args)
            if step != 1:
                return None
            place = (axis, start, start + length)
        elif op not in ("prim::reshape", "prim::permute", "prim::flip"):
            return None
    return place


def restore(graph: Graph, ways: Mapping[Value, Way], shapes: Sequence[Shape]) -> tuple[Graph, dict[str, int]]:
    """The recorded graph with constants made of weights of these shapes, and the weight of each new constant."""
    names, weights = names_of(graph), dict[str, int]()
    nodes: list[Node] = []
    constants: list[Constant] = []
    for constant in graph.constants:
        way = ways.get(constant.value)
        if way is None:
            constants.append(constant)
            continue
        pieces = []
        for weight, views in way.parts:
            stored = Value(names.fresh(f"{constant.value.name}.stored"))
            weights[stored.name] = weight
            blank = np.broadcast_to(np.zeros((), constant.data.dtype), shapes[weight])
            constants.append(Constant(stored, blank, constant.origin))
            steps = _inverse(_shown(constant.data, way, views), views)
            last = constant.value if len(way.parts) == 1 else Value(names.fresh(constant.value.name))
            nodes += _chain(stored, steps, last, names)
            pieces.append(last)
        if len(pieces) > 1:
            nodes.append(Node("aten::cat", (tuple(pieces), way.axis), (constant.value,)))
    return replace(graph, constants=tuple(constants), nodes=(*nodes, *graph.nodes)), weights


def _shown(data: np.ndarray, way: Way, views: Views) -> np.ndarray:
    """What an array shows of a constant before it is rearranged: all, or a piece."""
    return evaluate(views[0][0], (data, *views[0][1])) if views[0][0] == "prim::slice" else data


def _inverse(data: np.ndarray, views: Views) -> list[tuple[str, tuple[Arg, ...]]]:
    """What turns the rearranged array into `data`, as ops of a recorded graph."""
    back: list[tuple[str, tuple[Arg, ...]]] = []
    for op, args in views[1:] if views[0][0] == "prim::slice" else views:
        (given,) = args
        assert isinstance(given, tuple)
        numbers = [int(n) for n in given]
        if op == "prim::reshape":
            back.insert(0, ("aten::reshape", (data.shape,)))
        elif op == "prim::permute":
            back.insert(0, ("aten::permute", (tuple(int(a) for a in np.argsort(numbers)),)))
        else:
            back.insert(0, ("aten::flip", (tuple(numbers),)))
        data = evaluate(op, (data, *args))
    return back


def _chain(start: Value, steps: list[tuple[str, tuple[Arg, ...]]], end: Value, names: Names) -> list[Node]:
    made = []
    for k, (op, args) in enumerate(steps):
        out = end if k == len(steps) - 1 else Value(names.fresh(end.name))
        made.append(Node(op, (start, *args), (out,)))
        start = out
    return made
