"""Prepares recordings for merging: inputs and constants that they share become the same values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Constant, Node, Source, Value, map_arg
from unmoor.ir.recording import Recording, State
from unmoor.ir.types import BOOL, INT
from unmoor.merge.paths import GUARD, Definitions, Step, is_pure


class Prepared:
    """The recordings as lists of steps over shared inputs and constants."""

    def __init__(self, recordings: tuple[Recording, ...]) -> None:
        self.first = recordings[0]
        self.definitions = Definitions()
        self.constants: list[Constant] = []
        self.paths: list[tuple[list[Step], tuple[Arg, ...]]] = []
        for recording in recordings:
            self._check(recording)
            self.paths.append(self._path(recording))
        self.shared = {*self.first.graph.inputs, *(c.value for c in self.constants)}

    def _check(self, recording: Recording) -> None:
        first = self.first
        if recording.arguments != first.arguments:
            raise Unsupported("the arguments of this example have another structure than those of the trace")
        if [s.name for s in recording.states] != [s.name for s in first.states] or recording.changed != first.changed:
            raise Unsupported(
                "this example changes other state or arguments than the trace; write the same ones on every path "
                "(`self.n += torch.where(condition, 1, 0)`)"
            )
        if recording.result != first.result:
            raise Unsupported(
                "the result has another structure in this example than in the trace, and a program has one: return "
                "tensors in the same tuples, lists and dicts on every path"
            )

    def _path(self, recording: Recording) -> tuple[list[Step], tuple[Arg, ...]]:
        graph = recording.graph
        mapping: dict[Value, Arg] = dict(zip(graph.inputs, self.first.graph.inputs, strict=True))
        mapping.update((c.value, self._constant(c)) for c in graph.constants)
        steps: list[Step] = []
        for number, node in enumerate(graph.nodes):
            source = _moved(node.source, recording.caller, self.first.caller)
            node = replace(node, args=tuple(map_arg(a, mapping) for a in node.args), source=source)
            if node.op == "prim::rank_guard":
                node = self._rank_guard(node)
            if is_pure(node):
                self.definitions[node.output] = node
            else:
                state = recording.held.get(number)
                steps.append(Step(node, None if state is None else _mapped(state, mapping)))
        return steps, tuple(map_arg(o, mapping) for o in graph.outputs)

    def _constant(self, constant: Constant) -> Value:
        """The shared constant with the same data."""
        for known in self.constants:
            if known.value.name == constant.value.name or known.data.size <= 16:
                same = known.data.dtype == constant.data.dtype and known.data.shape == constant.data.shape
                if same and np.array_equal(_bits(known.data), _bits(constant.data)):
                    return known.value
                if known.origin == constant.origin and constant.origin.startswith(("parameter ", "buffer ")):
                    raise Unsupported(f"the {constant.origin} has changed since the trace: trace the module again")
        self.constants.append(constant)
        return constant.value

    def _rank_guard(self, node: Node) -> Node:
        """A guard on a rank as one on a comparison, so that other examples may take its other side."""
        tensor, wanted, message = node.args
        rank, same = Value("rank", INT), Value("same_rank", BOOL)
        self.definitions[rank] = Node("prim::rank", (tensor,), (rank,), node.source)
        self.definitions[same] = Node("prim::compare", (rank, wanted, "=="), (same,), node.source)
        return replace(node, op=GUARD, args=(same, True, message))


def _moved(source: Source, caller: Source, first: Source) -> Source:
    """A source in the first recording's terms: what no line of the user's own made has the line that called for it."""
    if (source.file, source.line) != (caller.file, caller.line):
        return source
    return replace(source, file=first.file, line=first.line, text=first.text)


def _bits(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1).view(np.uint8)


def _mapped(state: State, mapping: dict[Value, Arg]) -> State:
    return tuple(_mapped(s, mapping) if isinstance(s, tuple) else _of(s, mapping) for s in state)


def _of(part: object, mapping: dict[Value, Arg]) -> object:
    return mapping.get(part, part) if isinstance(part, Value) else part
