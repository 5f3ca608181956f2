"""Checks graphs.

- Names are unique; every value is defined once, before its uses, in its block or one around it.
- Constants are C-contiguous, and have the type they say.
- Every op is in the table, or structural (`prim::`, `fusion::`); an op has one argument per parameter of its schema.
- In a typed graph the elementwise operands of a node that no promotion is left for have one dtype.
- A branch has two blocks without parameters, with a result per output unless they end in `prim::raise`.
- A fusion group has one block with a parameter per input and a result per output, of the same types.
"""

from __future__ import annotations

from collections.abc import Mapping

from unmoor.dtypes import BY_NUMPY
from unmoor.errors import VerifyError
from unmoor.ir.graph import Block, Constant, Graph, Node, Value, raises, values_of
from unmoor.ir.op import Kind, Op
from unmoor.ir.printer.graph import print_arg, print_value
from unmoor.ir.types import TensorType


def verify_graph(graph: Graph, table: Mapping[str, Op]) -> None:
    """Raises VerifyError, naming the node, where the graph breaks a rule."""
    _Verifier(table).graph(graph)


class _Verifier:
    def __init__(self, table: Mapping[str, Op]) -> None:
        self.table = table
        self.names: set[str] = set()

    def graph(self, graph: Graph) -> None:
        known: set[Value] = set()
        for value in graph.inputs:
            self._define(value, known)
        for constant in graph.constants:
            self._constant(constant)
            self._define(constant.value, known)
        self._nodes(graph.nodes, known)
        self._used(graph.outputs, known, "return")

    def _define(self, value: Value, known: set[Value]) -> None:
        if value.name in self.names:
            raise VerifyError(f"%{value.name} is defined twice")
        self.names.add(value.name)
        known.add(value)

    def _used(self, args: object, known: set[Value], where: str) -> None:
        for value in values_of(args):
            if value not in known:
                raise VerifyError(f"%{value.name} is used before it is defined, in {where}")

    def _constant(self, constant: Constant) -> None:
        type_, data = constant.value.type, constant.data
        if not data.flags.c_contiguous:
            raise VerifyError(f"the constant %{constant.value.name} is not contiguous")
        if isinstance(type_, TensorType) and (BY_NUMPY[data.dtype] is not type_.dtype or data.shape != type_.shape):
            raise VerifyError(f"the constant %{constant.value.name} is {data.dtype}{list(data.shape)}, not {type_}")

    def _nodes(self, nodes: tuple[Node, ...], known: set[Value]) -> None:
        for node in nodes:
            where = f"{node.op}({', '.join(map(print_arg, node.args))})"
            self._used(node.args, known, where)
            self._op(node, where)
            if node.op == "prim::raise" and node is not nodes[-1]:
                raise VerifyError(f"{where} is not the last node of its block")
            for block in node.blocks:
                self._block(node, block, known)
            for value in node.outputs:
                self._define(value, known)

    def _op(self, node: Node, where: str) -> None:
        op = self.table.get(node.op)
        if op is None:
            if not node.op.startswith(("prim::", "fusion::")):
                raise VerifyError(f"there is no op {node.op}")
            return
        if len(node.args) != len(op.schema.params):
            raise VerifyError(f"{where} has {len(node.args)} arguments for {op.schema.text}")
        if op.kind is Kind.MAP and op.promote in ("common", "float"):
            typed = {v.type.dtype for v in node.inputs if isinstance(v.type, TensorType)}
            if len(typed) > 1 and all(isinstance(v.type, TensorType) for v in node.inputs):
                raise VerifyError(f"{where} has operands of {' and '.join(sorted(map(str, typed)))}")

    def _block(self, node: Node, block: Block, known: set[Value]) -> None:
        inside = set(known)
        for param in block.params:
            self._define(param, inside)
        self._nodes(block.nodes, inside)
        self._used(block.results, inside, f"yield of {node.op}")
        if node.op == "prim::If" and (block.params or len(node.blocks) != 2 or len(node.args) != 1):
            raise VerifyError("prim::If needs one condition and two blocks without parameters")
        if node.op == "prim::If" and len(block.results) != (0 if raises(block) else len(node.outputs)):
            raise VerifyError(f"a block of prim::If gives {len(block.results)} results for {len(node.outputs)} outputs")
        if node.op.startswith("fusion::"):
            results = [r for r in block.results if isinstance(r, Value)]
            for mine, theirs in ((block.params, node.inputs), (results, node.outputs)):
                if [v.type for v in mine] != [v.type for v in theirs]:
                    shown = ", ".join(map(print_value, theirs))
                    raise VerifyError(f"the block of {node.op} does not fit {shown}")
