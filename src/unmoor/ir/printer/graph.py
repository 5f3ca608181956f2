"""The text of graphs, in the manner of TorchScript's IR.

graph forward(%x : f32[s0, 3]) where s0 == s1 {
  const %l1.weight : f32[8, 3]  # parameter l1.weight
  %3 : f32[s0, 8] = aten::linear(%x, %l1.weight, none)  # model.py:12 (l1) | return self.l1(x)
  return (%3)
}
"""

from __future__ import annotations

import json

from unmoor.dtypes import BY_NUMPY, DType
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Arg, Block, Constant, Graph, Node, Source, Value
from unmoor.ir.types import TENSOR


def print_graph(graph: Graph) -> str:
    """The graph as text, without the constants' data; those of one number show it."""
    lines = [f"graph {graph.name}({', '.join(map(print_value, graph.inputs))}){_where(graph)} {{"]
    lines += [f"  {_constant(c)}" for c in graph.constants]
    lines += _nodes(graph.nodes, "  ")
    lines += [f"  return ({', '.join(map(print_arg, graph.outputs))})", "}"]
    return "\n".join(lines) + "\n"


def print_value(value: Value) -> str:
    """`%x : f32[s0, 3]`; an untyped tensor is the name alone."""
    return f"%{value.name}" if value.type == TENSOR else f"%{value.name} : {value.type}"


def print_arg(arg: Arg) -> str:
    """An argument: a value, number, size, string, dtype or list."""
    if arg is None or isinstance(arg, bool):
        return {None: "none", True: "true", False: "false"}[arg]
    if isinstance(arg, Value):
        return f"%{arg.name}"
    if isinstance(arg, tuple):
        return f"[{', '.join(map(print_arg, arg))}]"
    if isinstance(arg, str):
        return json.dumps(arg)
    if isinstance(arg, Dim | DType):
        return str(arg)
    return repr(arg)


def _where(graph: Graph) -> str:
    if not graph.relations:
        return ""
    facts = [str(r) + (f" else {json.dumps(r.message)}" if r.message else "") for r in graph.relations]
    return f" where {', '.join(facts)}"


def _constant(constant: Constant) -> str:
    value = constant.value
    if value.type == TENSOR:
        shape = ", ".join(map(str, constant.data.shape))
        typed = f"%{value.name} : Tensor {BY_NUMPY[constant.data.dtype]}[{shape}]"
    else:
        typed = print_value(value)
    if constant.data.ndim == 0:
        typed += f" = {print_arg(constant.data.item())}"
    return f"const {typed}" + (f"  # {constant.origin}" if constant.origin else "")


def _nodes(nodes: tuple[Node, ...], indent: str) -> list[str]:
    return [line for node in nodes for line in _node(node, indent)]


def _node(node: Node, indent: str) -> list[str]:
    results = ", ".join(map(print_value, node.outputs))
    head = f"{indent}{results}{' = ' if results else ''}{node.op}({', '.join(map(print_arg, node.args))})"
    comment = f"  # {print_source(node.source)}" if node.source != Source() else ""
    if not node.blocks:
        return [head + comment]
    lines = [f"{head} {{{comment}"]
    for block in node.blocks:
        lines += _block(block, indent + "  ")
    return [*lines, f"{indent}}}"]


def _block(block: Block, indent: str) -> list[str]:
    return [
        f"{indent}block ({', '.join(map(print_value, block.params))}) {{",
        *_nodes(block.nodes, indent + "  "),
        f"{indent}  yield ({', '.join(map(print_arg, block.results))})",
        f"{indent}}}",
    ]


def print_source(source: Source) -> str:
    """`model.py:12 (l1) | return self.l1(x)`, its parts left out where they are empty."""
    module = f" ({source.module})" if source.module else ""
    text = f" | {' '.join(source.text.split())}" if source.text else ""
    return f"{source.file}:{source.line}{module}{text}"
