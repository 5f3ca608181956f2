"""Computes at compile time what depends on constants alone.

Does: runs nodes whose operands are constants and numbers, by the ops' reference. Leaves: the results as constants with
origin "folded". Does not: make a constant of more than LIMIT bytes that is larger than what it is made of; widen a
weight; fold symbolic sizes; fold views themselves, which cost nothing and would store a weight twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY
from unmoor.errors import UnmoorError
from unmoor.ir.dim import Dim, const
from unmoor.ir.graph import Arg, Constant, Graph, Names, Node, Value, map_arg, map_node, names_of, values_of
from unmoor.ir.op import Effect, Kind
from unmoor.ir.types import TENSOR, TensorType
from unmoor.ops import TABLE, evaluate
from unmoor.ops.found import found_by

REARRANGING = ("prim::reshape", "prim::permute", "prim::flip", "prim::slice")
LIMIT = 1 << 20  # bytes
SMALL = 1 << 12  # bytes of a cast's or a view's result: a large weight keeps its own width and size where it is read


def constant_folding(graph: Graph) -> Graph:
    """The graph with constant computations done."""
    return _Folding(graph).run()


class _Folding:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.data: dict[Value, np.ndarray] = {c.value: c.data for c in graph.constants}
        self.seen: dict[Value, Constant] = {c.value: c for c in graph.constants}  # constants, also through views
        self.names: Names = names_of(graph)
        self.mapping: dict[Value, Arg] = {}
        self.made: list[Constant] = []

    def run(self) -> Graph:
        nodes = [n for n in self.graph.nodes if not self._folded(n)]
        kept = tuple(map_node(n, self.mapping) for n in nodes)
        outputs = tuple(map_arg(o, self.mapping) for o in self.graph.outputs)
        constants = (*self.graph.constants, *self.made)
        return replace(self.graph, nodes=kept, outputs=outputs, constants=constants)

    def _folded(self, node: Node) -> bool:
        op = TABLE.get(node.op)
        if op is None or op.effects is not Effect.NONE or found_by(node):
            return False
        given = tuple(map_arg(a, self.mapping) for a in node.args)
        if not all(self._known(a) for a in given):
            return False
        args = tuple(self._data(a) for a in given)
        try:
            made = evaluate(node.op, args)
        except (UnmoorError, ValueError, TypeError, IndexError):
            return False  # the program's own mistake: let it be reported with its line
        if op.kind is Kind.VIEW:
            if np.size(made) <= np.size(args[0]) or np.asarray(made).nbytes <= SMALL:
                self.data[node.output] = np.asarray(made)  # what is computed from it may be folded
                shown = self._seen(given[0]) if node.op in REARRANGING else None
                if shown is not None:
                    views = ((node.op, args[1:]),)
                    self.seen[node.output] = shown.seen(node.output, self.data[node.output], views)
            return False
        results = [np.ascontiguousarray(r).reshape(np.shape(r)) for r in (made if isinstance(made, tuple) else (made,))]
        read = sum(self.data[v].nbytes for v in values_of(given))
        if node.op == "prim::cast" and sum(r.nbytes for r in results) > max(SMALL, read):
            return False
        if sum(r.nbytes for r in results) > max(LIMIT, read) or any(
            r.dtype not in BY_NUMPY or r.dtype.kind == "c" for r in results
        ):
            return False
        shown = self._seen(given[0]) if node.op == "prim::copy" else None
        for value, result in zip(node.outputs, results, strict=True):
            self._add(value, result, shown)
        return True

    def _seen(self, arg: Arg) -> Constant | None:
        """The constant that an argument is, perhaps through views."""
        return self.seen.get(arg) if isinstance(arg, Value) else None

    def _known(self, arg: Arg) -> bool:
        if isinstance(arg, tuple):
            return all(self._known(a) for a in arg)
        return arg in self.data if isinstance(arg, Value) else not isinstance(arg, Dim) or arg.is_const

    def _data(self, arg: Arg) -> Any:
        if isinstance(arg, tuple):
            return tuple(self._data(a) for a in arg)
        if isinstance(arg, Value):
            return self.data[arg]
        return arg.value if isinstance(arg, Dim) else arg

    def _add(self, value: Value, data: np.ndarray, copied: Constant | None) -> None:
        type_ = TENSOR if value.type == TENSOR else TensorType(BY_NUMPY[data.dtype], tuple(map(const, data.shape)))
        made = Value(self.names.fresh(value.name), type_)
        data.setflags(write=False)
        self.data[made] = data
        self.mapping[value] = made
        constant = copied.seen(made, data, ()) if copied else Constant(made, data, "folded")
        self.seen[made] = constant
        self.made.append(constant)
