"""What a user says of the dims of an input: names, ranges, pins; and names in place of symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unmoor.ir import dim as dims
from unmoor.ir.graph import Arg, Block, Graph, Node, Relation, Value
from unmoor.ir.signature import Signature, TensorSpec
from unmoor.ir.types import TensorType


@dataclass(frozen=True)
class Dim:
    """A dim with a name, whose size is at least `min` and, unless that is None, at most `max`."""

    name: str
    min: int = 0
    max: int | None = None


Names = Mapping[str, str]  # of symbols


class Naming:
    """Renames symbols everywhere."""

    def __init__(self, names: Names) -> None:
        self.symbols = {symbol: dims.sym(name) for symbol, name in names.items()}
        self._values: dict[Value, Value] = {}

    def signature(self, s: Signature) -> Signature:
        """The signature with names."""
        if not self.symbols:
            return s
        inputs, outputs = (tuple(TensorSpec(i.name, self._type(i.type)) for i in run) for run in (s.inputs, s.outputs))
        return replace(s, inputs=inputs, outputs=outputs, relations=tuple(map(self.relation, s.relations)))

    def relation(self, r: Relation) -> Relation:
        """The relation with names."""
        return replace(r, left=r.left.substitute(self.symbols), right=r.right.substitute(self.symbols))

    def graph(self, g: Graph) -> Graph:
        """The typed graph with names, for people to look at."""
        if not self.symbols:
            return g
        return Graph(
            g.name,
            tuple(map(self._value, g.inputs)),
            tuple(replace(c, value=self._value(c.value)) for c in g.constants),
            tuple(map(self._node, g.nodes)),
            tuple(map(self._arg, g.outputs)),
            tuple(map(self.relation, g.relations)),
        )

    def _type(self, type_: TensorType) -> TensorType:
        return TensorType(type_.dtype, tuple(d.substitute(self.symbols) for d in type_.shape))

    def _value(self, value: Value) -> Value:
        if value not in self._values:
            named = replace(value, type=self._type(value.type)) if isinstance(value.type, TensorType) else value
            self._values[value] = named
        return self._values[value]

    def _arg(self, arg: Arg) -> Arg:
        if isinstance(arg, Value):
            return self._value(arg)
        if isinstance(arg, tuple):
            return tuple(map(self._arg, arg))
        return arg.substitute(self.symbols) if isinstance(arg, dims.Dim) else arg

    def _node(self, node: Node) -> Node:
        return replace(
            node,
            args=tuple(map(self._arg, node.args)),
            outputs=tuple(map(self._value, node.outputs)),
            blocks=tuple(map(self._block, node.blocks)),
        )

    def _block(self, block: Block) -> Block:
        params, results = tuple(map(self._value, block.params)), tuple(map(self._arg, block.results))
        return Block(params, tuple(map(self._node, block.nodes)), results)
