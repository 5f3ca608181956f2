"""TorchScript graphs made ready: nodes with their operands by number, constants, lines, and what lives after each."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch

from unmoor.capture.script.lines import Line, line_of
from unmoor.capture.torch_private import call_alone


class Step:
    """A node. `overload` is "aten::add.Tensor", "" without a schema; `live` are the values that are needed after it."""

    def __init__(self, node: Any, number: int, blocks: tuple[Block, ...], live: frozenset[int]) -> None:
        self.node, self.number, self.blocks, self.live = node, number, blocks, live
        self.kind: str = node.kind()
        schema = node.schema()
        self.overload: str = "" if schema == "(no schema)" else schema.partition("(")[0]
        self.inputs = tuple(v.unique() for v in node.inputs())
        self.outputs = tuple(v.unique() for v in node.outputs())
        self.before: Step | None = None  # in its block
        self.of_loop: Step | None = None  # the loop whose turns it counts, as far as it may
        self.perform: Callable[..., Any] | None = None  # found when it first runs
        self.callee: Prepared | None = None

    @cached_property
    def line(self) -> Line | None:
        """Where it comes from; what torch added comes from the loop that it counts for, or from the step before."""
        line = line_of(self.node)
        if self.of_loop is not None and (line is None or not line.original):
            return self.of_loop.line or line
        step = self
        while line is None and step.before is not None:
            step = step.before
            line = line_of(step.node)
        return line

    @property
    def name(self) -> str:
        """The attribute or method that it names."""
        return str(self.node.s("name"))


@dataclass(eq=False)
class Block:
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: list[Step] = field(default_factory=list)

    def belong_to(self, loop: Step) -> None:
        """Its last steps that are no blocks are the loop's own: they count and compare."""
        for step in reversed(self.steps):
            if step.blocks:
                return
            step.of_loop = loop


class Prepared:
    """A graph that can be run. Equal only to itself, and kept as long as what it came from."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.constants: dict[int, Any] = {}
        self.named: list[tuple[str, torch.Tensor]] = []  # tensors among them, with the names that the graph has
        self._count = 0
        self.block = self._prepare(graph.param_node(), graph.nodes(), graph.return_node(), frozenset())

    def _prepare(self, params: Any, nodes: Any, returns: Any, after: frozenset[int]) -> Block:
        """A block; its steps are made from the last to the first, so that each knows what is needed later."""
        block = Block(tuple(v.unique() for v in params.outputs()), tuple(v.unique() for v in returns.inputs()))
        live = set(after) | set(block.outputs)
        for node in reversed(list(nodes)):
            if node.kind() == "prim::Constant":
                self._constant(node)
                continue
            outputs = {v.unique() for v in node.outputs()}
            needed = frozenset(live - outputs)
            around = needed
            if node.kind() == "prim::Loop":  # the next turn needs what the body reads
                around = needed | frozenset(_uses(node))
            blocks = tuple(self._prepare(b.paramNode(), b.nodes(), b.returnNode(), around) for b in node.blocks())
            self._count += 1
            block.steps.append(Step(node, self._count, blocks, needed))
            live = set(needed) | {v.unique() for v in node.inputs()} | set(_uses(node))
            if node.kind() == "prim::Loop":
                block.steps[-1].blocks[0].belong_to(block.steps[-1])
            elif len(block.steps) > 1 and block.steps[-2].kind == "prim::Loop":
                block.steps[-1].of_loop = block.steps[-2]
        block.steps.reverse()
        for step, following in pairwise(block.steps):
            following.before = step
        return block

    def _constant(self, node: Any) -> None:
        output = node.output()
        value = output.toIValue()
        self.constants[output.unique()] = value
        if isinstance(value, torch.Tensor):
            name = output.debugName()
            self.named.append(("" if name.isdigit() else name, value))


def _uses(node: Any) -> set[int]:
    """The values that the blocks of a node read."""
    found: set[int] = set()
    for block in node.blocks():
        for inner in [*block.nodes(), block.returnNode()]:
            found |= {v.unique() for v in inner.inputs()} | _uses(inner)
    return found


class Library:
    """The graphs of what one callable reaches, made ready once, and its objects: the same in each of its traces."""

    def __init__(self) -> None:
        self._methods: dict[tuple[int, str], Prepared] = {}
        self._functions: dict[int, Prepared] = {}
        self._receivers: dict[int, Receiver] = {}
        self._kept: list[Any] = []

    def receiver(self, handle: Any, path: str) -> Receiver:
        """The object of torch's that `handle` is one of many handles of."""
        return self._receivers.setdefault(hash(handle), Receiver(handle, path))

    def method(self, receiver: Receiver, name: str) -> Prepared:
        key = (id(receiver), name)
        if key not in self._methods:
            self._methods[key] = Prepared(receiver.handle._get_method(name).graph)
        return self._methods[key]

    def function(self, function: Any) -> Prepared:
        if id(function) not in self._functions:
            self._kept.append(function)
            self._functions[id(function)] = Prepared(function.graph)
        return self._functions[id(function)]


@dataclass(frozen=True, eq=False)
class Receiver:
    """A module, or another object that was there before the call: its handle, and its path for people."""

    handle: Any
    path: str


def callee_of(step: Step) -> Prepared:
    """The graph of what a step calls, where torch gives it by no name: a function, or the method of a class."""
    if step.callee is None:
        step.callee = Prepared(call_alone(step.node))
    return step.callee


_libraries: dict[int, tuple[Any, Library]] = {}


def library_of(fn: object) -> Library:
    """The library of a callable, kept as long as that lives."""
    for key, (reference, _) in list(_libraries.items()):
        if reference() is None:
            del _libraries[key]
    if id(fn) in _libraries:
        return _libraries[id(fn)][1]
    library = Library()
    with suppress(TypeError):  # one that cannot be watched: its graphs are made ready anew in each trace
        _libraries[id(fn)] = (weakref.ref(fn), library)
    return library
