"""Prepares recordings for merging: lists of steps, in which constants that are the same become the same values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Constant, Node, Source, Value, map_arg, map_node
from unmoor.ir.recording import Held, Recording
from unmoor.ir.types import BOOL, INT
from unmoor.merge.paths import GUARD, Definitions, Step, is_pure


@dataclass(eq=False)
class Run:
    """One recording: what it starts from, its steps, and what it gives."""

    inputs: tuple[Value, ...]
    steps: list[Step]
    outputs: tuple[Arg, ...]
    writes: bool = False  # in place, before its first step


class Prepared:
    """The recordings as runs, each over inputs of its own. `changed` are the inputs that any of them changes."""

    def __init__(self, recordings: tuple[Recording, ...]) -> None:
        self.first = recordings[0]
        self.definitions = Definitions()
        self.constants: list[Constant] = []
        for recording in recordings:
            self.check(recording)
        self.changed = tuple(sorted({k for r in recordings for k in r.changed}))
        self.runs: list[Run] = []
        self.fixed: set[Value] = set()
        for recording in recordings:
            self.add(recording)

    def add(self, recording: Recording) -> Run:
        """The run of one more recording, which has passed the check and changes no other inputs than those before."""
        run = self._run(len(self.runs), recording)
        self.runs.append(run)
        self.fixed.update(c.value for c in self.constants)
        return run

    def check(self, recording: Recording) -> None:
        """Unsupported where a recording cannot be merged with the first, whatever its path."""
        first = self.first
        if recording.arguments != first.arguments:
            raise Unsupported("the arguments of this example have another structure than those of the trace")
        if [s.name for s in recording.states] != [s.name for s in first.states]:
            raise Unsupported(
                "this example changes other state than the trace; write the same one on every path "
                "(`self.n += torch.where(condition, 1, 0)`)"
            )
        if recording.result != first.result:
            raise Unsupported(
                "the result has another structure in this example than in the trace, and a program has one: return "
                "tensors in the same tuples, lists and dicts on every path"
            )

    def _run(self, number: int, recording: Recording) -> Run:
        graph = recording.graph
        inputs = tuple(Value(v.name, v.type) for v in graph.inputs)
        mapping: dict[Value, Arg] = dict(zip(graph.inputs, inputs, strict=True))
        mapping.update((c.value, self._constant(c)) for c in graph.constants)
        results = len(graph.outputs) - len(recording.changed)
        outputs = tuple(map_arg(o, mapping) for o in graph.outputs)
        left = dict(zip(recording.changed, outputs[results:], strict=True))
        run = Run(inputs, [], (*outputs[:results], *(left.get(k, inputs[k]) for k in self.changed)))
        asked = 0
        for place, node in enumerate(recording.path):
            if place in recording.writes:
                self._wrote(run)
            source = _moved(node.source, recording.caller, self.first.caller)
            node = replace(map_node(node, mapping), source=source)
            state = recording.held.get(place)
            held = None if state is None else _mapped(state, mapping)
            if node.op in ("prim::rank_guard", "prim::dtype_guard"):
                node = self._as_condition(node)
            if is_pure(node):
                self.definitions[node.output] = node
            else:
                run.steps.append(Step(node, held, run=number, asked=asked))
            asked += node.op == GUARD
        if any(place >= len(recording.path) for place in recording.writes):
            self._wrote(run)
        return run

    def _wrote(self, run: Run) -> None:
        if run.steps:
            run.steps[-1].writes = True
        else:
            run.writes = True

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

    def _as_condition(self, node: Node) -> Node:
        """A guard on a rank or dtype as one on a condition, so that other examples may take its other side."""
        tensor, wanted, message = node.args
        same = Value("same", BOOL)
        if node.op == "prim::rank_guard":
            rank = Value("rank", INT)
            self.definitions[rank] = Node("prim::rank", (tensor,), (rank,), node.source)
            self.definitions[same] = Node("prim::compare", (rank, wanted, "=="), (same,), node.source)
        else:
            self.definitions[same] = Node("prim::is_dtype", (tensor, wanted), (same,), node.source)
        return replace(node, op=GUARD, args=(same, True, message))


def _moved(source: Source, caller: Source, first: Source) -> Source:
    """A source in the first recording's terms: what no line of the user's own made has the line that called for it."""
    if (source.file, source.line) != (caller.file, caller.line):
        return source
    return replace(source, file=first.file, line=first.line, text=first.text)


def _bits(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1).view(np.uint8)


def _mapped(held: Held, mapping: dict[Value, Arg]) -> Held:
    def moved(values: tuple[Value, ...]) -> tuple[Any, ...]:
        return tuple(mapping.get(v, v) for v in values)

    return replace(held, values=moved(held.values), bases=moved(held.bases), inputs=moved(held.inputs))
