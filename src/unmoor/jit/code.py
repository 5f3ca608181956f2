"""The recorded graph as Python source over torch. Text only: torch is needed by who runs it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from unmoor import ops
from unmoor.dtypes import BY_NUMPY, DType, numbers_of
from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Constant, Graph, Node, Value, loop_parts, raises
from unmoor.ir.op import Schema
from unmoor.ir.signature import Leaf, Mapping, Sequence, Structure

SMALL = 16  # elements of a constant that is written out
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "pow": "**"}
PLAIN_FUNCTIONS = {"min": "min", "max": "max", "sqrt": "math.sqrt", "ceil": "math.ceil", "floor": "math.floor"}
TORCH_NAMES = {
    "div_mode": "div",
    "max_dim": "max",
    "min_dim": "min",
    "scatter_value": "scatter",
    "where_places": "where",
    "repeat_interleave_tensor": "repeat_interleave",
}  # two ops share one of torch's


def python_source(graph: Graph, result: Structure) -> str:
    """A module with one function, named like the graph. Large constants come in by the argument `weights`, by name."""
    return _Writer(graph, result).module()


def is_large(constant: Constant) -> bool:
    """Whether the source takes a constant by the argument `weights`."""
    return constant.data.size > SMALL


class _Writer:
    def __init__(self, graph: Graph, result: Structure) -> None:
        self.graph, self.result = graph, result
        self.names: dict[Value, str] = {}
        self.sizes: dict[str, str] = {}  # of named dims, the first
        self.taken = {"torch", "math", "weights", *keyword.kwlist}

    def module(self) -> str:
        graph = self.graph
        inputs = [self.name(v) for v in graph.inputs]
        large = any(is_large(c) for c in graph.constants)
        lines = [self.constant(c) for c in graph.constants]
        lines += self.nodes(graph.nodes)
        lines.append(f"return {self.value(self.result)}")
        head = f"def {_identifier(graph.name)}({', '.join([*inputs, *(['*', 'weights'] if large else [])])}):"
        body = "".join(f"    {line}\n" for line in lines)
        imports = "import math\n\n" if "math." in body else ""
        return f"{imports}import torch\n\n\n{head}\n{body}"

    def name(self, value: Value) -> str:
        if value not in self.names:
            wanted = name = _identifier(value.name)
            n = 1
            while name in self.taken:
                name, n = f"{wanted}_{n}", n + 1
            self.taken.add(name)
            self.names[value] = name
        return self.names[value]

    def constant(self, constant: Constant) -> str:
        name = self.name(constant.value)
        if is_large(constant):
            return f"{name} = weights[{constant.value.name!r}]"
        elements = re.sub(r"\b(nan|inf)\b", r'float("\1")', repr(numbers_of(constant.data).tolist()))
        dtype = self.arg(BY_NUMPY[constant.data.dtype])
        shaped = "" if constant.data.size else f".reshape({constant.data.shape})"  # no list says (0, 3)
        return f"{name} = torch.tensor({elements}, dtype={dtype}){shaped}"

    def value(self, structure: Structure) -> str:
        """The returned expression; dataclasses are written as dicts."""
        if isinstance(structure, Leaf):
            output = self.arg(self.graph.outputs[structure.index])
            return f"{output}.item()" if structure.number else output
        if isinstance(structure, Sequence):
            items = [self.value(i) for i in structure.items]
            return f"[{', '.join(items)}]" if structure.kind == "list" else _tuple(items)
        if isinstance(structure, Mapping):
            pairs = zip(structure.keys, structure.items, strict=True)
            return f"{{{', '.join(f'{k!r}: {self.value(i)}' for k, i in pairs)}}}"
        return repr(structure)

    def arg(self, arg: Arg) -> str:
        if isinstance(arg, Value):
            return self.name(arg)
        if isinstance(arg, DType):
            return f"torch.{arg.torch_name}"
        if isinstance(arg, tuple):
            return f"[{', '.join(map(self.arg, arg))}]"
        if isinstance(arg, float) and (arg != arg or arg in (float("inf"), float("-inf"))):
            return f'float("{arg}")'
        return repr(arg)

    def nodes(self, nodes: Iterable[Node]) -> list[str]:
        return [line for node in nodes for line in self.node(node)]

    def branch(self, node: Node, comment: str) -> list[str]:
        """prim::If as if and else, which assign what the node gives."""
        condition = self.arg(node.args[0])
        lines = [f"if {condition}:{comment}"]
        for word, block in zip(("", "else:"), node.blocks, strict=True):
            inside = self.nodes(block.nodes)
            if not raises(block):
                inside += self.assigned(node.outputs, block.results)
            if word and not inside:
                break
            lines += [word] if word else []
            lines += [f"    {line}" for line in inside or ["pass"]]
        return lines

    def loop(self, node: Node, comment: str) -> list[str]:
        """prim::Loop as for or while; what it carries goes by the names of its block's parameters."""
        p, (block,) = loop_parts(node), node.blocks
        lists = [self.unused(f"{self.name(v)}_rows") for v in node.outputs[len(p.initial) :]]
        lines = [*self.assigned(p.carried, p.initial), *(f"{name} = []" for name in lists)]
        if p.turns is None:
            again = self.unused("again")
            lines += [f"{again} = {self.arg(p.condition)}", f"while {again}:{comment}"]
        else:
            turn, count = self.unused("turn"), f"range({self.arg(p.turns)})"
            lines.append(f"for {turn} in {f'reversed({count})' if p.backward else count}:{comment}")
        inside = [f"{self.name(r)} = {self.arg(w)}[{turn}]" for r, w in zip(p.rows, p.scanned, strict=True)]
        inside += self.nodes(block.nodes)
        inside += [f"{name}.append({self.arg(r)})" for name, r in zip(lists, p.next_rows, strict=True)]
        inside += [f"{again} = {self.arg(c)}" for c in p.next_condition]
        inside += self.assigned(p.carried, p.next_carried)
        lines += [f"    {line}" for line in inside or ["pass"]]
        lines += self.assigned(node.outputs[: len(p.initial)], p.carried)
        order = "[::-1]" if p.backward else ""
        stacked = zip(node.outputs[len(p.initial) :], lists, strict=True)
        return lines + [f"{self.name(v)} = torch.stack({name}{order})" for v, name in stacked]

    def assigned(self, values: Iterable[Value], args: Iterable[Arg]) -> list[str]:
        """One assignment of all values at once."""
        pairs = [(self.name(v), self.arg(a)) for v, a in zip(values, args, strict=True)]
        pairs = [(name, arg) for name, arg in pairs if name != arg]
        return [f"{', '.join(n for n, _ in pairs)} = {', '.join(a for _, a in pairs)}"] if pairs else []

    def unused(self, wanted: str) -> str:
        """A name that no value has."""
        return self.name(Value(wanted))

    def node(self, node: Node) -> list[str]:
        comment = f"  # {node.source.file}:{node.source.line}" if node.source.file else ""
        if node.op == "prim::If":
            return self.branch(node, comment)
        if node.op == "prim::Loop":
            return self.loop(node, comment)
        if node.op == "prim::raise":
            return [f"raise AssertionError({node.args[0]!r}){comment}"]
        family, _, op = node.op.partition("::")
        if family == "aten":
            expression = self.call(op, ops.TABLE[node.op].schema, node)
        elif family == "unmoor":
            return self.indexing(op, node)
        elif op == "leaf":
            expression = f"{self.arg(node.args[0])}.detach().requires_grad_()"
        elif op == "grad":
            of, seeds, by = (self.arg(a) for a in node.args[:3])
            kept = "create_graph=True" if node.args[3] else "retain_graph=True"
            names = ", ".join(self.name(v) for v in node.outputs)
            return [f"{names}, = torch.autograd.grad({of}, {by}, {seeds}, {kept}){comment}"]
        elif op == "dims":
            return self.dims(node)
        elif op in ("guard", "rank_guard", "dtype_guard"):
            return [self.guard(op, node) + comment]
        else:
            expression = self.number(op, [self.arg(a) for a in node.args])
        outputs = [self.name(v) for v in node.outputs]
        return [f"{', '.join(outputs)}{',' if _is_list(node) else ''} = {expression}{comment}"]

    def call(self, op: str, schema: Schema, node: Node) -> str:
        """A call of torch's operator; trailing arguments that are defaults are left out."""
        given = list(zip(schema.params, node.args, strict=True))
        positional = [(p, a) for p, a in given if not p.keyword_only]
        while positional and positional[-1][0].has_default and positional[-1][0].default == positional[-1][1]:
            positional.pop()
        named = [(p, a) for p, a in given if p.keyword_only and not (p.has_default and p.default == a)]
        named = [(p, a) for p, a in named if not (a is None and p.type.endswith("?"))]
        texts = [self.arg(a) for _, a in positional] + [f"{p.name}={self.arg(a)}" for p, a in named]
        if op == "to" and len(positional) == 1:
            return texts[0]
        return f"torch.ops.aten.{TORCH_NAMES.get(op, op)}({', '.join(texts)})"

    def indexing(self, op: str, node: Node) -> list[str]:
        tensor, items = self.arg(node.args[0]), node.args[1]
        assert isinstance(items, tuple)
        index = ", ".join(map(self.item, items)) + ("," if len(items) == 1 else "")
        out = self.name(node.output)
        if op == "getitem":
            return [f"{out} = {tensor}[{index}]"]
        return [f"{out} = {tensor}.clone()", f"{out}[{index}] = {self.arg(node.args[2])}"]

    def item(self, item: Arg) -> str:
        if isinstance(item, tuple):
            match item:
                case ("slice", start, stop, step):
                    return f"slice({self.arg(start)}, {self.arg(stop)}, {self.arg(step)})"
                case ("newaxis",):
                    return "None"
                case ("ellipsis",):
                    return "..."
        return self.arg(item)

    def guard(self, op: str, node: Node) -> str:
        what, expected, message = node.args
        subject = self.arg(what)
        condition = {
            "guard": f"bool({subject}) is {expected!r}",
            "rank_guard": f"{subject}.dim() == {expected}",
            "dtype_guard": f"{subject}.dtype == {self.arg(expected)}",
        }[op]
        return f"assert {condition}, {message!r}"

    def dims(self, node: Node) -> list[str]:
        """What the user says of an input's dims, as assertions; the first dim of a name stands for it."""
        tensor, said = self.arg(node.args[0]), node.args[2]
        assert isinstance(said, tuple)
        lines = [f"assert {tensor}.dim() == {len(said)}"]
        for axis, entry in enumerate(said):
            size = f"{tensor}.shape[{axis}]"
            if isinstance(entry, int):
                lines.append(f"assert {size} == {entry}")
            elif isinstance(entry, tuple):
                name, least, most = entry
                first = self.sizes.setdefault(str(name), size)
                lines += [f"assert {size} == {first}  # {name}"] if first != size else []
                lines += [f"assert {size} >= {least}  # {name}"] if least else []
                lines += [] if most is None else [f"assert {size} <= {most}  # {name}"]
        return lines

    def number(self, op: str, args: list[str]) -> str:
        kind = op.partition("_")[2] if op.startswith(("int_", "float_")) else op
        if kind in INFIX:
            return f"{args[0]} {INFIX[kind]} {args[1]}"
        if kind in PLAIN_FUNCTIONS:
            return f"{PLAIN_FUNCTIONS[kind]}({', '.join(args)})"
        templates = {
            "neg": "-{0}",
            "not": "not {0}",
            "size": "{0}.shape[{1}]",
            "rank": "{0}.dim()",
            "is_contiguous": "{0}.is_contiguous()",
            "is_dtype": "{0}.dtype == {1}",
            "item": "{0}.item()",
            "truth": "bool({0})",
            "complex": "complex({0}, {1})",
        }
        if kind == "compare":
            return f"{args[0]} {args[2][1:-1]} {args[1]}"
        if kind not in templates:
            raise Unsupported(f"prim::{op} has no Python source yet")
        return templates[kind].format(*args)


def _identifier(name: str) -> str:
    cleaned = re.sub(r"\W", "_", name)
    return cleaned if cleaned[:1].isalpha() or cleaned[:1] == "_" else f"v{cleaned}"


def _tuple(items: Iterable[str]) -> str:
    listed = list(items)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def _is_list(node: Node) -> bool:
    """Whether torch gives a list or tuple for the node's outputs, though there may be one."""
    return (
        len(node.outputs) == 1 and ops.TABLE[node.op].schema.results == ("Tensor[]",) if node.op in ops.TABLE else False
    )
