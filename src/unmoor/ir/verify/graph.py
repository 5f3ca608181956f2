"""Checks graphs.

- Names are unique; every value is defined once, before its uses, in its block or one around it.
- Constants are C-contiguous, and have the type they say.
- Every op is in the table, or structural (`prim::`, `fusion::`); an op has one argument per parameter of its schema.
- In a typed graph the elementwise operands of a node that no promotion is left for have one dtype.
- A branch has two blocks without parameters, with a result per output unless they end in `prim::raise`.
- A loop has one block, and as many parameters, results and outputs as `prim::Loop` says, in a typed graph of the types
  that go round; either turns or a condition, and with a condition no rows.
- A fusion group has one block with a parameter per input and a result per output, of the same types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unmoor.dtypes import BY_NUMPY
from unmoor.errors import VerifyError
from unmoor.ir.dim import dim
from unmoor.ir.graph import Block, Constant, Graph, Node, Value, loop_parts, raises, values_of
from unmoor.ir.op import Kind, Op
from unmoor.ir.printer.graph import print_arg, print_value
from unmoor.ir.types import TensorType


def verify_graph(graph: Graph, table: Mapping[str, Op]) -> None:
    """Raises VerifyError, naming the node, where the graph breaks a rule."""
    _Verifier(table).graph(graph)


@dataclass(frozen=True)
class _Shown:
    """A node as messages show it, written out only where there is one."""

    node: Node

    def __str__(self) -> str:
        return f"{self.node.op}({', '.join(map(print_arg, self.node.args))})"


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

    def _used(self, args: object, known: set[Value], where: object) -> None:
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
            where = _Shown(node)
            self._used(node.args, known, where)
            self._op(node, where)
            if node.op == "prim::raise" and node is not nodes[-1]:
                raise VerifyError(f"{where} is not the last node of its block")
            if node.op == "prim::Loop":
                self._loop(node, where)
            for block in node.blocks:
                self._block(node, block, known)
            for value in node.outputs:
                self._define(value, known)

    def _op(self, node: Node, where: object) -> None:
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

    def _loop(self, node: Node, where: object) -> None:
        lists = node.args[3:]
        if len(node.args) != 5 or len(node.blocks) != 1 or not all(isinstance(a, tuple) for a in lists):
            raise VerifyError(f"{where} needs turns, a condition, a direction, two lists and one block")
        p, (block,) = loop_parts(node), node.blocks
        if (p.turns is None) is (p.condition is None):
            raise VerifyError(f"{where} needs either turns or a condition")
        if p.condition is not None and (p.scanned or p.next_rows or p.backward):
            raise VerifyError(f"{where} has a condition, and so no rows")
        fits = len(block.params) == len(p.initial) + len(p.scanned) and len(p.next_carried) == len(p.initial)
        if not fits or raises(block) or len(node.outputs) != len(p.initial) + len(p.next_rows):
            raise VerifyError(f"{where} has a block that does not fit its lists and outputs")
        outputs = node.outputs[: len(p.initial)]
        for initial, param, result, output in zip(p.initial, p.carried, p.next_carried, outputs, strict=True):
            types = [v.type for v in (initial, param, result, output) if isinstance(v, Value)]
            if isinstance(param.type, TensorType) and (len(types) != 4 or len(set(types)) != 1):
                raise VerifyError(f"{where} carries %{param.name} as {', '.join(map(str, types))}")
        pairs = [*zip(p.scanned, p.rows, strict=True), *zip(node.outputs[len(p.initial) :], p.next_rows, strict=True)]
        for whole, row in pairs:
            whole_type, row_type = (v.type if isinstance(v, Value) else None for v in (whole, row))
            if isinstance(whole_type, TensorType) and (
                not isinstance(row_type, TensorType)
                or whole_type != TensorType(row_type.dtype, (dim(p.turns), *row_type.shape))  # type: ignore[arg-type]
            ):
                raise VerifyError(f"{where} has rows of {row_type} in {whole_type}")

    def _block(self, node: Node, block: Block, known: set[Value]) -> None:
        for param in block.params:
            self._define(param, known)
        self._nodes(block.nodes, known)
        self._used(block.results, known, f"yield of {node.op}")
        known.difference_update(block.params, *(n.outputs for n in block.nodes))  # what is inside is not seen outside
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
