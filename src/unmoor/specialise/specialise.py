"""Walks a recorded graph for one signature: sizes become Dims, types are inferred, composites are taken apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from unmoor.dtypes import BY_NUMPY, DType
from unmoor.errors import NotTraced, SignatureError, UnmoorError, Unsupported
from unmoor.ir.dim import Dim, const, sym
from unmoor.ir.graph import Arg, Constant, Graph, Node, Source, Value, names_of, tensor_type
from unmoor.ir.recording import ExampleTensor
from unmoor.ir.signature import TensorSpec
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE
from unmoor.specialise.builder import TypedBuilder
from unmoor.specialise.facts import ExampleFacts, Learnt
from unmoor.specialise.numbers import arithmetic, compare, item, plain, truth


@dataclass(frozen=True, eq=False)
class Specialised:
    """A typed graph with its relations, the types of its inputs, and the example's value of each symbol."""

    graph: Graph
    inputs: tuple[TensorSpec, ...]
    example: dict[str, int]


def specialise(graph: Graph, example: tuple[ExampleTensor, ...]) -> Specialised:
    """The typed graph for tensors like `example`: their dtypes and ranks, with symbolic sizes.

    What must hold between sizes is decided by the example: equalities are substituted, the rest become relations.
    Raises NotTraced where a guard refuses the example, Unsupported or SignatureError, with the user's line, where an op
    does.
    """
    if len(example) != len(graph.inputs):
        raise SignatureError(f"{len(example)} tensors for {len(graph.inputs)} inputs")
    known: dict[str, Dim] = {}
    while True:
        try:
            return _Walk(graph, example, known).run()
        except Learnt as learnt:
            known = {name: d.substitute({learnt.symbol: learnt.value}) for name, d in known.items()}
            known[learnt.symbol] = learnt.value


class _Walk:
    def __init__(self, graph: Graph, example: tuple[ExampleTensor, ...], known: dict[str, Dim]) -> None:
        self.graph = graph
        self.symbols: dict[str, int] = {}
        self.inputs: list[Value] = []
        self.specs: list[TensorSpec] = []
        for value, tensor in zip(graph.inputs, example, strict=True):
            if not tensor.dtype.computes:
                raise Unsupported(
                    f"input {tensor.name} has dtype {tensor.dtype.torch_name}, in which Unmoor does not compute"
                )
            shape = tuple(self._symbol(size, known) for size in tensor.shape)
            self.inputs.append(replace(value, type=TensorType(tensor.dtype, shape)))
            self.specs.append(TensorSpec(tensor.name, TensorType(tensor.dtype, shape)))
        self.facts = ExampleFacts(self.symbols)
        self.builder = TypedBuilder(self.facts, names_of(graph))
        self.env: dict[Value, Arg] = dict(zip(graph.inputs, self.inputs, strict=True))
        self.constants = [self._constant(c) for c in graph.constants]

    def _symbol(self, size: int, known: dict[str, Dim]) -> Dim:
        name = f"s{len(self.symbols)}"
        self.symbols[name] = size
        return known.get(name, sym(name))

    def _constant(self, constant: Constant) -> Constant:
        type_ = TensorType(BY_NUMPY[constant.data.dtype], tuple(const(n) for n in constant.data.shape))
        typed = replace(constant, value=replace(constant.value, type=type_))
        self.env[constant.value] = typed.value
        return typed

    def run(self) -> Specialised:
        """The whole graph, typed."""
        for node in self.graph.nodes:
            self.builder.source = node.source
            try:
                results = self._node(node)
            except (Learnt, NotTraced):
                raise
            except UnmoorError as error:
                raise type(error)(f"{_at(node.source)}{node.op}: {error}") from error
            self.env.update(zip(node.outputs, results, strict=True))
        outputs = tuple(self._arg(o) for o in self.graph.outputs)
        relations = tuple(self.facts.relations)
        graph = Graph(
            self.graph.name, tuple(self.inputs), tuple(self.constants), tuple(self.builder.nodes), outputs, relations
        )
        return Specialised(graph, tuple(self.specs), self.symbols)

    def _arg(self, arg: Arg) -> Arg:
        if isinstance(arg, Value):
            return self.env[arg]
        return tuple(self._arg(a) for a in arg) if isinstance(arg, tuple) else arg

    def _node(self, node: Node) -> tuple[Arg, ...]:
        args = tuple(self._arg(a) for a in node.args)
        self.builder.wanted = ""
        if node.op in TABLE:
            return self.builder.emit_all(node.op, *(_literal_dims(a) for a in args))
        name = node.op.removeprefix("prim::")
        if name.startswith(("int_", "float_")):
            family, _, operation = name.partition("_")
            return (arithmetic(self.builder, operation, args, family == "int"),)
        return self._structural(name, node.source, args)

    def _structural(self, name: str, source: Source, args: tuple[Arg, ...]) -> tuple[Arg, ...]:
        b = self.builder
        match name:
            case "size":
                shape = self._type(args[0]).shape
                return (plain(shape[int(str(args[1]))]),)
            case "rank":
                return (self._type(args[0]).rank,)
            case "compare":
                return (compare(b, args[0], args[1], str(args[2])),)
            case "not":
                return (b.emit("aten::logical_not", args[0]) if isinstance(args[0], Value) else not args[0],)
            case "item":
                return (item(b, self._value(args[0])),)
            case "truth":
                return (truth(b, args[0]),)
            case "guard":
                self._guard(source, args)
            case "rank_guard":
                self._refuse_unless(self._type(args[0]).rank == int(str(args[1])), source, args[2])
            case "dtype_guard":
                assert isinstance(args[1], DType)
                self._refuse_unless(self._type(args[0]).dtype is args[1], source, args[2])
            case _:
                raise Unsupported(f"prim::{name} cannot be compiled yet")
        return ()

    def _guard(self, source: Source, args: tuple[Arg, ...]) -> None:
        condition, expected, message = args
        if isinstance(condition, Value):
            self.builder.guard(condition, bool(expected), str(message))
        else:
            self._refuse_unless(bool(condition) is bool(expected), source, message)

    def _refuse_unless(self, holds: bool, source: Source, message: Any) -> None:
        if not holds:
            raise NotTraced(f"{_at(source, ' ')}{message}")

    def _value(self, arg: Arg) -> Value:
        assert isinstance(arg, Value), f"{arg} is no tensor"
        return arg

    def _type(self, arg: Arg) -> TensorType:
        return tensor_type(self._value(arg))


def _literal_dims(arg: Arg) -> Arg:
    """Constant Dims as ints, in lists too."""
    return tuple(_literal_dims(a) for a in arg) if isinstance(arg, tuple) else plain(arg)


def _at(source: Source, end: str = ": ") -> str:
    return f"{source.file}:{source.line}{end}" if source.file else ""
