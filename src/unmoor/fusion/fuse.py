"""Builds the grouped graph: every tensor is made by a fusion group, and what is left are names, guards
and builtins of the runtime.

Top-level nodes of the result: `fusion::map|row|contract|attention|join|scan|scatter|pack(inputs...)`, `prim::reshape`
where it only names memory that exists (no kernel), ops of the kind BUILTIN, and `prim::guard`. Inputs and outputs are
as before.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

from unmoor.fusion.attention import join_attention
from unmoor.fusion.grow import Group, grow
from unmoor.fusion.nodes import Flow, is_inline
from unmoor.fusion.operands import RESHAPE, prepare
from unmoor.ir.graph import Arg, Block, Graph, Names, Node, Value, map_arg, names_of, values_of
from unmoor.ops.found import found_by

BLOCKS = ("prim::If", "prim::Loop")
ORDERED = ("prim::guard", *BLOCKS, "prim::raise")  # what refuses a call, or may: in the program's order


def fuse(graph: Graph) -> Graph:
    """A typed graph with its nodes in fusion groups. Needs dead code gone; leaves guards in their order."""
    prepared, anchors = prepare(graph)
    flow = Flow(prepared, anchors)
    return _Assembly(flow, join_attention(flow, grow(flow))).graph()


class _Assembly:
    def __init__(self, flow: Flow, groups: list[Group]) -> None:
        self.flow = flow
        self.groups = groups
        self.group_of = {n: g for g in groups for n in g.nodes}
        self.names: Names = names_of(flow.graph)
        self.needed: set[Value] = set()  # values that must be in memory
        for value in values_of(flow.graph.outputs):
            self._materialise(value)
        for node in flow.graph.nodes:
            if node.op in ORDERED:
                for value in node.used:
                    self._materialise(value)

    def graph(self) -> Graph:
        fused = [g for g in self.groups if g.kind != "builtin"]
        for group in self.groups:
            for value in group.nodes[0].inputs if group.kind == "builtin" else ():
                self._materialise(value)
        blocks = {g: self._fill(g) for g in fused}
        made = {g: self._node(g, *blocks[g]) for g in fused}
        waiting = [made[g] if g in made else g.nodes[0] for g in self.groups]
        waiting += [n for n in self.flow.graph.nodes if n.op in ORDERED or self._is_name(n)]
        nodes = self._in_order(waiting)
        used = {v for n in nodes for v in n.used} | set(values_of(self.flow.graph.outputs))
        constants = tuple(c for c in self.flow.graph.constants if c.value in used)
        return replace(self.flow.graph, nodes=tuple(nodes), constants=constants)

    def _in_order(self, waiting: list[Node]) -> list[Node]:
        """The nodes, each after those that it needs: always the first one that can go."""
        maker = {v: n for n in waiting for v in n.outputs}
        needs: dict[Node, set[Node]] = {}
        followers: dict[Node, list[Node]] = {n: [] for n in waiting}
        last: Node | None = None
        for node in waiting:
            needs[node] = {maker[v] for v in (node.used if node.op in BLOCKS else node.inputs) if v in maker}
            needs[node].update(maker[f.outputs[0]] for f in self._finders(node))
            if node.op in ORDERED:
                needs[node].update((last,) if last else ())
                last = node
            for source in needs[node]:
                followers[source].append(node)
        place = {n: k for k, n in enumerate(waiting)}
        ready = [place[n] for n in waiting if not needs[n]]  # in order, and so a heap
        nodes: list[Node] = []
        while ready:
            node = waiting[heapq.heappop(ready)]
            nodes.append(node)
            for follower in followers[node]:
                needs[follower].remove(node)
                if not needs[follower]:
                    heapq.heappush(ready, place[follower])
        if len(nodes) < len(waiting):
            raise AssertionError(f"fusion made a cycle among {[n.op for n in waiting if needs[n]]}")
        return nodes

    def _finders(self, node: Node) -> list[Node]:
        """The nodes that find the sizes which a node of the grouped graph uses."""
        finder = self.flow.finder
        return [finder[s] for s in node.symbols - set(found_by(node)) if s in finder] if finder else []

    def _is_name(self, node: Node) -> bool:
        """Whether a node is a needed reshape of memory that exists."""
        return node.op == RESHAPE and node.output in self.needed and node.output not in self.flow.anchors

    def _node(self, group: Group, inputs: tuple[Value, ...], block: Block) -> Node:
        outputs = tuple(v for n in group.nodes for v in n.outputs if v in self.needed)
        renamed = {v: Value(self.names.fresh(v.name), v.type) for v in outputs}
        inner = _rename(block, renamed)
        inner = replace(inner, results=tuple(renamed[v] for v in outputs))
        return Node(f"fusion::{group.kind}", inputs, outputs, group.nodes[0].source, (inner,))

    def _fill(self, group: Group) -> tuple[tuple[Value, ...], Block]:
        """A group's inputs, and its block with the inline nodes that its nodes read through."""
        inside = set(group.nodes)
        params: dict[Value, Value] = {}
        nodes: dict[Node, Node] = {}
        mapping: dict[Value, Arg] = {}

        def need(value: Value) -> None:
            if value in mapping:
                return
            node = self.flow.producer.get(value)
            if node is not None and (node in inside or self._read_through(node, inside)):
                if node not in inside:
                    clone(node)
                return
            self._materialise(value)
            params[value] = Value(self.names.fresh(value.name), value.type)
            mapping[value] = params[value]

        def clone(node: Node) -> None:
            for v in node.inputs:
                need(v)
            outputs = node.outputs
            if node not in inside:
                outputs = tuple(Value(self.names.fresh(v.name), v.type) for v in outputs)
                mapping.update(zip(node.outputs, outputs, strict=True))
            args = tuple(map_arg(a, mapping) for a in node.args)
            nodes[node] = Node(node.op, args, outputs, node.source)

        for node in group.nodes:
            clone(node)
        return tuple(params), Block(tuple(params.values()), tuple(nodes.values()), ())

    def _read_through(self, node: Node, inside: set[Node]) -> bool:
        """Whether an inline node is repeated inside the group, rather than read as memory with a new name."""
        if not is_inline(node) or node.output in self.flow.anchors:
            return False
        return not (node.op == RESHAPE and self._memory_outside(node.inputs[0], inside))

    def _memory_outside(self, value: Value, inside: set[Node]) -> bool:
        """Whether a value is in memory, in order, before the group runs."""
        node = self.flow.producer.get(value)
        if node is None:
            return True
        if self.flow.computes(node):
            return node not in inside
        return node.op == RESHAPE and self._memory_outside(node.inputs[0], inside)

    def _materialise(self, value: Value) -> None:
        """Marks a value that a group reads from memory, and what it is a name of."""
        self.needed.add(value)
        node = self.flow.producer.get(value)
        if node is not None and node.op == RESHAPE and value not in self.flow.anchors:
            self._materialise(node.inputs[0])


def _rename(block: Block, mapping: dict[Value, Value]) -> Block:
    """The block with its values renamed, definitions and uses alike."""
    arg_map: dict[Value, Arg] = dict(mapping)
    nodes = tuple(
        replace(n, args=tuple(map_arg(a, arg_map) for a in n.args), outputs=tuple(mapping.get(v, v) for v in n.outputs))
        for n in block.nodes
    )
    return Block(block.params, nodes, block.results)
