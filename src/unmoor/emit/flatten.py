"""Flattens a grouped graph: the nodes of branches and loops in one list, with jumps between the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from unmoor.ir.dim import Dim, dim
from unmoor.ir.graph import Block, Node, Value, loop_parts, raises


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


@dataclass(frozen=True, eq=False)
class Turns:
    """The start of a loop's block. `rows` are pairs: a row, and the value that it is a row of; `end` is the step
    number of its `Next`."""

    node: Node
    turns: Dim | None  # how many, or
    condition: Value | None  # whether there is a first one
    backward: bool
    rows: tuple[tuple[Value, Value], ...]
    stacked: int  # that many of `rows`, the last ones, are written
    end: int


@dataclass(frozen=True, eq=False)
class Next:
    """The end of a turn of the loop that began at the step number `start`; there is another one while `condition`."""

    node: Node
    condition: Value | None
    start: int


Step = Union[Node, Move, Mark, Turns, Next]


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
        elif node.op == "prim::Loop":
            _loop(node, roots, steps)
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
    made = _made(block)
    for output, result in zip(node.outputs, block.results, strict=True):
        assert isinstance(result, Value)
        root = _root(result, roots)
        if root in made:
            made.discard(root)
            _rename(root, output, roots)
        else:
            steps.append(Move(output, result, node))


def _made(block: Block) -> set[Value]:
    """The values whose memory is the block's own to place."""
    return {v for n in block.nodes if n.blocks for v in n.outputs}


def _loop(node: Node, roots: dict[Value, Value], steps: list[Step]) -> None:
    """What is carried lies in the memory of the loop's outputs, from before its first turn on."""
    p, (block,) = loop_parts(node), node.blocks
    carried = node.outputs[: len(p.initial)]
    for output, param, initial in zip(carried, p.carried, p.initial, strict=True):
        assert isinstance(initial, Value)
        steps.append(Move(output, initial, node))
        roots[param] = output
    rows: list[tuple[Value, Value]] = []
    for row, whole in zip(p.rows, p.scanned, strict=True):
        assert isinstance(whole, Value)
        if any(_root(whole, roots) is other for s in steps if isinstance(s, Turns) for other, _ in s.rows):
            kept = Value(f"{row.name}.whole", whole.type)  # a row has no rows of its own
            steps.append(Move(kept, whole, node))
            whole = kept
        rows.append((row, whole))
    start = len(steps)
    condition = p.condition if isinstance(p.condition, Value) else None
    turns = None if p.turns is None else dim(p.turns)  # type: ignore[arg-type]
    steps.append(Turns(node, turns, condition, p.backward, tuple(rows), 0, 0))
    _flatten(block.nodes, roots, steps)
    made = {v for n in block.nodes if n.op.startswith("fusion::") for v in n.outputs}
    moves: list[tuple[Value, Value]] = []
    for whole, result in zip(node.outputs[len(carried) :], p.next_rows, strict=True):
        assert isinstance(result, Value)
        row, root = Value(f"{whole.name}.row", result.type), _root(result, roots)
        rows.append((row, whole))
        if root in made:
            made.discard(root)
            _rename(root, row, roots)
        else:
            steps.append(Move(row, result, node))
    for output, result in zip(carried, p.next_carried, strict=True):
        assert isinstance(result, Value)
        if _root(result, roots) is output:
            continue
        if _root(result, roots) in carried:  # another one's place, which may be written first
            kept = Value(f"{output.name}.next", result.type)
            steps.append(Move(kept, result, node))
            result = kept
        moves.append((output, result))
    steps += [Move(output, result, node) for output, result in moves]
    (*_, again) = (None, *p.next_condition)
    steps[start] = Turns(node, turns, condition, p.backward, tuple(rows), len(p.next_rows), len(steps))
    steps.append(Next(node, again if isinstance(again, Value) else None, start))


def _root(value: Value, roots: dict[Value, Value]) -> Value:
    return roots.get(value, value)


def _rename(root: Value, owner: Value, roots: dict[Value, Value]) -> None:
    """`root` and all that name its memory now name the memory of `owner`."""
    for value in [v for v, r in roots.items() if r is root]:
        roots[value] = owner
    roots[root] = owner
