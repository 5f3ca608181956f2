"""Writes paths as a graph with branches: each guard with two sides becomes an If that ends where its sides join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from unmoor.errors import UnmoorError
from unmoor.ir.graph import Arg, Block, Graph, Names, Node, Value, map_arg
from unmoor.ir.recording import EVERY
from unmoor.ir.types import Type
from unmoor.merge.paths import Edge, Step, after, needs
from unmoor.merge.prepare import Prepared

Env = dict[Value, Arg]
Decided = dict[object, bool]  # conditions that are known to hold or not


class Unbound(UnmoorError):
    """A step needs a value that one of the ways to it does not have."""


def structured(root: Edge, prepared: Prepared) -> Graph:
    """The graph of all paths from the root."""
    return _Writer(root, prepared).graph()


class _Writer:
    def __init__(self, root: Edge, prepared: Prepared) -> None:
        self.root, self.prepared = root, prepared
        self.definitions = prepared.definitions
        self.needed = needs(root, self.definitions)
        self.joins = _joins(root)
        self.names = Names()
        self.depth = 0  # of branches

    def graph(self) -> Graph:
        first = self.prepared.first.graph
        env: Env = {v: v for v in first.inputs}  # the root's edge says which the first run's own are
        for value in first.inputs:
            self.names.fresh(value.name)
        constants = []
        for constant in self.prepared.constants:
            value = Value(self.names.fresh(constant.value.name), constant.value.type)
            env[constant.value] = value
            constants.append(replace(constant, value=value))
        nodes: list[Node] = []
        outputs = self.region(self.root, None, env, nodes, {})
        assert isinstance(outputs, tuple)
        return Graph(first.name, first.inputs, tuple(constants), tuple(nodes), outputs)

    def region(
        self, edge: Edge, stop: Step | None, env: Env, nodes: list[Node], decided: Decided
    ) -> Env | tuple[Arg, ...]:
        """Writes the steps from an edge up to `stop`, and gives the values there; up to the end, the outputs.

        What is decided already is not asked again.
        """
        while True:
            env = self.crossed(edge, env, nodes)
            step = edge.to
            if step is None:
                return tuple(self.arg(o, env, nodes) for o in edge.outputs)
            if step is stop:
                return env
            key = self.key(step.node.args[0], env) if step.is_guard else None
            if step.is_guard and decided.get(key) in step.sides:
                edge = step.sides[decided[key]]
                continue
            args = tuple(self.arg(a, env, nodes) for a in step.node.args)
            if len(step.sides) == 2:
                joined = self.branch(step, key, args[0], env, nodes, decided)
                if isinstance(joined, tuple):
                    return joined
                env, following = joined, self.joins[step]
                assert following is not None
                edge = Edge(following)
                if following is stop:
                    return env
                continue
            outputs = tuple(Value(self.names.fresh(v.name), v.type) for v in step.node.outputs)
            if step.is_guard:
                (side,) = step.sides
                message = str(args[2])
                args = (args[0], side, message.replace(EVERY, f"{EVERY} that came here") if self.depth else message)
                decided = {**decided, key: side}
            blocks = self.blocks(step.node, env, nodes)
            nodes.append(replace(step.node, args=args, outputs=outputs, blocks=blocks))
            env = {**env, **dict(zip(step.node.outputs, outputs, strict=True))} if outputs else env
            (edge,) = step.sides.values()

    def blocks(self, node: Node, env: Env, nodes: list[Node]) -> tuple[Block, ...]:
        """A node's own blocks in the graph's values, with fresh names inside."""
        if not node.blocks:
            return ()
        mapping: Env = {v: self.arg(v, env, nodes) for v in node.captured}
        mapping.update((v, Value(self.names.fresh(v.name), v.type)) for v in _defined(node.blocks))
        return _renamed(node.blocks, mapping)

    def key(self, arg: Arg, env: Env) -> object:
        """A condition as something to compare: how it is computed, from which values of the graph."""
        if isinstance(arg, tuple):
            return tuple(self.key(a, env) for a in arg)
        if not isinstance(arg, Value):
            return (type(arg).__name__, repr(arg))
        if arg in self.definitions:
            return (self.definitions[arg].op, self.key(self.definitions[arg].args, env))
        return env.get(arg, arg)

    def branch(
        self, step: Step, key: object, condition: Arg, env: Env, nodes: list[Node], decided: Decided
    ) -> Env | tuple[Arg, ...]:
        """Writes an If, and gives the values where its sides join; at the end of the program, the outputs."""
        join = self.joins[step]
        blocks: list[list[Node]] = [[], []]
        self.depth += 1
        first, second = (
            self.region(step.sides[side], join, dict(env), block, {**decided, key: side})
            for side, block in zip((True, False), blocks, strict=True)
        )
        self.depth -= 1
        results: list[list[Arg]] = [[], []]
        outputs: list[Value] = []

        def one(a: Arg, b: Arg, like: Value | None) -> Arg:
            if a is b or (not isinstance(a, Value) and type(a) is type(b) and repr(a) == repr(b)):
                return a
            made = Value(self.names.fresh(like.name if like else ""), _type(a, b))
            outputs.append(made)
            results[0].append(a)
            results[1].append(b)
            return made

        joined: Env | tuple[Arg, ...]
        if isinstance(first, tuple) and isinstance(second, tuple):
            joined = tuple(one(a, b, None) for a, b in zip(first, second, strict=True))
        else:
            assert isinstance(first, dict) and isinstance(second, dict) and join is not None
            both = [v for v in self.needed[join] if v in first and v in second]
            both.sort(key=lambda v: v.name)
            joined = {**{v: a for v, a in env.items() if v not in self.needed[join]}}
            joined.update((v, one(first[v], second[v], v)) for v in both)
        made = tuple(Block((), tuple(b), tuple(r)) for b, r in zip(blocks, results, strict=True))
        nodes.append(Node("prim::If", (condition,), tuple(outputs), step.node.source, made))
        return joined

    def crossed(self, edge: Edge, env: Env, nodes: list[Node]) -> Env:
        if not edge.values:
            return env
        moved = dict(env)
        wanted = self.needed[edge.to] if edge.to is not None else set(self.definitions.leaves(edge.outputs))
        for value in sorted(wanted, key=lambda v: v.name):
            if value in edge.values:
                source = edge.values[value]
                try:
                    moved[value] = self.arg(source, env, nodes)
                except Unbound:
                    moved.pop(value, None)
        return moved

    def arg(self, arg: Arg, env: Env, nodes: list[Node]) -> Arg:
        """An argument in the graph's values; numbers are computed where they are first used."""
        if isinstance(arg, tuple):
            return tuple(self.arg(a, env, nodes) for a in arg)
        if not isinstance(arg, Value):
            return arg
        if arg in self.definitions:
            node = self.definitions[arg]
            output = Value(self.names.fresh(), node.output.type)
            args = tuple(self.arg(a, env, nodes) for a in node.args)
            nodes.append(replace(node, args=args, outputs=(output,)))
            return output
        if arg not in env:
            raise Unbound(f"%{arg.name} is not known on every way to its use")
        return env[arg]


def _defined(blocks: tuple[Block, ...]) -> Iterator[Value]:
    """The values that blocks define, inner ones included."""
    for block in blocks:
        yield from block.params
        for node in block.nodes:
            yield from node.outputs
            yield from _defined(node.blocks)


def _renamed(blocks: tuple[Block, ...], mapping: Env) -> tuple[Block, ...]:
    """Blocks with other values, also where they are defined."""

    def values(old: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(v for v in (mapping[o] for o in old) if isinstance(v, Value))

    made = []
    for block in blocks:
        nodes = tuple(
            replace(
                n,
                args=tuple(map_arg(a, mapping) for a in n.args),
                outputs=values(n.outputs),
                blocks=_renamed(n.blocks, mapping),
            )
            for n in block.nodes
        )
        made.append(Block(values(block.params), nodes, tuple(map_arg(r, mapping) for r in block.results)))
    return tuple(made)


def _type(a: Arg, b: Arg) -> Type:
    for arg in (a, b):
        if isinstance(arg, Value):
            return arg.type
    raise Unbound("two literals differ")


def _joins(root: Edge) -> dict[Step, Step | None]:
    """Where the sides of each step meet again: its immediate postdominator, None for the end."""
    following: dict[Step, Step | None] = {}
    depth: dict[Step | None, int] = {None: 0}
    for step in reversed(after(root)):
        meet: Step | None = None
        for n, edge in enumerate(step.sides.values()):
            other = edge.to
            if n == 0:
                meet = other
            while meet is not other:
                if depth[meet] >= depth[other]:
                    assert meet is not None
                    meet = following[meet]
                else:
                    assert other is not None
                    other = following[other]
        following[step] = meet
        depth[step] = depth[meet] + 1
    return following
