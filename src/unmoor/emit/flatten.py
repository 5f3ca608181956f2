"""Flattens a grouped graph: the nodes of branches in one list, with jumps between the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from unmoor.ir.graph import Block, Node, Value, raises


@dataclass(frozen=True, eq=False)
class Move:
    """`target`, an output of the branch `node`, becomes a copy of `source`."""

    target: Value
    source: Value
    node: Node


@dataclass(frozen=True, eq=False)
class Mark:
    """A jump to the step number `target`: always, or unless `condition` holds."""

    node: Node
    condition: Value | None
    target: int


Step = Union[Node, Move, Mark]


def flatten(nodes: tuple[Node, ...], roots: dict[Value, Value]) -> list[Step]:
    """The steps of a graph in order. `roots` is told which values are other names of the same memory.

    What a block computes for an output of its branch is computed in that output's memory, where it can be.
    """
    steps: list[Step] = []
    _flatten(nodes, roots, steps)
    return steps


def _flatten(nodes: tuple[Node, ...], roots: dict[Value, Value], steps: list[Step]) -> None:
    for node in nodes:
        if node.op == "prim::reshape":
            (source,) = node.inputs
            roots[node.output] = _root(source, roots)
        elif node.op == "prim::If":
            _branch(node, roots, steps)
        else:
            steps.append(node)


def _branch(node: Node, roots: dict[Value, Value], steps: list[Step]) -> None:
    first, second = node.blocks
    start = len(steps)
    (condition,) = node.inputs
    steps.append(Mark(node, condition, 0))
    _block(node, first, roots, steps)
    end = len(steps)
    if not raises(first):
        steps.append(Mark(node, None, 0))
    other = len(steps)
    _block(node, second, roots, steps)
    if other == len(steps) and not raises(first):
        steps.pop()
        other = end
    elif not raises(first):
        steps[end] = Mark(node, None, len(steps))
    steps[start] = Mark(node, condition, other)


def _block(node: Node, block: Block, roots: dict[Value, Value], steps: list[Step]) -> None:
    _flatten(block.nodes, roots, steps)
    if raises(block):
        return
    made = {v for n in block.nodes if n.op == "prim::If" or n.op.startswith("fusion::") for v in n.outputs}
    for output, result in zip(node.outputs, block.results, strict=True):
        assert isinstance(result, Value)
        root = _root(result, roots)
        if root in made:
            made.discard(root)
            _rename(root, output, roots)
        else:
            steps.append(Move(output, result, node))


def _root(value: Value, roots: dict[Value, Value]) -> Value:
    return roots.get(value, value)


def _rename(root: Value, owner: Value, roots: dict[Value, Value]) -> None:
    """`root` and all that name its memory now name the memory of `owner`."""
    for value in [v for v, r in roots.items() if r is root]:
        roots[value] = owner
    roots[root] = owner
