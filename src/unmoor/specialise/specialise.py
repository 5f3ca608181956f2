"""Walks a recorded graph for one signature: sizes become Dims, types are inferred, composites are taken apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from unmoor.dtypes import BY_NUMPY, DType
from unmoor.errors import NotTraced, SignatureError, UnmoorError, Unsupported
from unmoor.ir.complex import Complex
from unmoor.ir.dim import Dim, const, dim, sym
from unmoor.ir.graph import (
    Arg,
    Block,
    Constant,
    Graph,
    Node,
    Relation,
    Source,
    Value,
    loop_parts,
    names_of,
    raises,
    tensor_type,
)
from unmoor.ir.op import Kind, Op
from unmoor.ir.recording import ANOTHER, ExampleTensor
from unmoor.ir.signature import Demand, Reason, TensorSpec, contiguity
from unmoor.ir.types import BOOL, FLOAT, INT, TENSOR, TensorType
from unmoor.ops import TABLE
from unmoor.specialise.builder import Turn, TypedBuilder
from unmoor.specialise.division import check_divisor, check_exponent
from unmoor.specialise.facts import ExampleFacts, Learnt
from unmoor.specialise.named import Demanded, NamedDims, Pinned
from unmoor.specialise.numbers import arithmetic, as_tensor, compare, item, plain, truth
from unmoor.specialise.reverse import gradients


@dataclass(frozen=True, eq=False)
class Specialised:
    """A typed graph with its relations, the types of its inputs, and the example's value of each symbol.

    `most` has the upper bounds of the sizes that a call finds, `names` those that users gave to symbols, `pinned` the
    names of dims that are of one size here, or of two names. `reasons` are the guards that relations, and fixed or
    equal dims of inputs, come from.
    """

    graph: Graph
    inputs: tuple[TensorSpec, ...]
    example: dict[str, int]
    most: dict[str, Dim]
    names: dict[str, str]
    reasons: dict[Demand, Reason]
    pinned: tuple[Pinned, ...] = ()


def specialise(graph: Graph, example: tuple[ExampleTensor, ...]) -> Specialised:
    """The typed graph for tensors like `example`: their dtypes and ranks, with symbolic sizes.

    What must hold between sizes is decided by the example: equalities are substituted, the rest become relations.
    Raises NotTraced where a guard refuses the example, Unsupported or SignatureError, with the user's line, where an op
    does.
    """
    if len(example) != len(graph.inputs):
        raise SignatureError(f"{len(example)} tensors for {len(graph.inputs)} inputs")
    known: dict[str, Dim] = {}
    pinned: list[Pinned] = []
    asked: dict[str, Value] = {}  # the conditions that fixed symbols
    while True:
        walk = _Walk(graph, example, known, asked)
        try:
            return replace(walk.run(), pinned=tuple(pinned))
        except Learnt as learnt:
            if learnt.pinned:
                pinned.append(Pinned(*learnt.pinned))
            if walk.at is not None and walk.at.op == "prim::compare":
                asked[learnt.symbol] = walk.at.output
            known = {name: d.substitute({learnt.symbol: learnt.value}) for name, d in known.items()}
            known[learnt.symbol] = learnt.value
        except _Refusal as refusal:
            raise NotTraced(str(refusal)) from None


NOT_PLAIN = (
    "a plain number is needed where the program computes one from sizes or tensors: compute with tensors there, or "
    "pass a literal"
)


class _Refusal(NotTraced):
    """A guard that sizes decide, and that refuses them."""

    def __init__(self, source: Source, message: str, number: Arg = None, now: Arg = None) -> None:
        place = f"{source.file}:{source.line} " if source.file else ""
        super().__init__(f"{place}{message if now is None else message.replace(ANOTHER, f'is {now}')}")
        self.source, self.message, self.number = source, message, number


class _Walk:
    def __init__(
        self, graph: Graph, example: tuple[ExampleTensor, ...], known: dict[str, Dim], asked: dict[str, Value]
    ) -> None:
        self.graph, self.asked = graph, asked
        self.at: Node | None = None
        self.certain = True  # whether what is walked is so for all sizes
        self.decided: dict[Value, tuple[Relation, ...]] = {}  # what conditions on sizes demand
        self.numbers: dict[Value, Arg] = {}  # the numbers that they ask about
        self.reasons: dict[Demand, Reason] = {}
        self.refused: dict[Node, _Refusal] = {}  # what the nodes say that blocks end with which sizes refuse
        self.symbols: dict[str, int] = {}
        self.inputs: list[Value] = []
        self.specs: list[TensorSpec] = []
        self.places: dict[str, tuple[int, int]] = {}  # where each symbol comes from: (input, axis)
        for k, (value, tensor) in enumerate(zip(graph.inputs, example, strict=True)):
            shape = tuple(
                const(n) if tensor.fixed else self._symbol(n, known, (k, axis)) for axis, n in enumerate(tensor.shape)
            )
            self.inputs.append(replace(value, type=TensorType(tensor.dtype, shape)))
            self.specs.append(TensorSpec(tensor.name, TensorType(tensor.dtype, shape)))
        self.example = example
        self.facts = ExampleFacts(self.symbols)
        self.named = NamedDims(self.facts)
        self.builder = TypedBuilder(self.facts, names_of(graph))
        self.differentiates = graph.differentiates
        if self.differentiates:
            self.builder.steps = {}
        self.env: dict[Value, Arg] = dict(zip(graph.inputs, self.inputs, strict=True))
        self.constants = [self._constant(c) for c in graph.constants]

    def _symbol(self, size: int, known: dict[str, Dim], place: tuple[int, int]) -> Dim:
        name = f"s{len(self.symbols)}"
        self.symbols[name], self.places[name] = size, place
        return known.get(name, sym(name))

    def _constant(self, constant: Constant) -> Constant:
        type_ = TensorType(BY_NUMPY[constant.data.dtype], tuple(const(n) for n in constant.data.shape))
        typed = replace(constant, value=replace(constant.value, type=type_))
        self.env[constant.value] = typed.value
        self.builder.constants[typed.value] = typed.data
        return typed

    def run(self) -> Specialised:
        """The whole graph, typed."""
        self._nodes(self.graph.nodes)
        outputs = tuple(self._result(o) for o in self.graph.outputs)
        relations = tuple(self.facts.relations)
        graph = Graph(
            self.graph.name, tuple(self.inputs), tuple(self.constants), tuple(self.builder.nodes), outputs, relations
        )
        return Specialised(graph, tuple(self.specs), self.symbols, self.facts.most, self.named.symbols, self.reasons)

    def _result(self, output: Arg) -> Arg:
        """What the graph gives: of a complex tensor, its parts side by side, as `torch.view_as_real` has them."""
        made = self._arg(output)
        return self.builder.emit("aten::view_as_real", made) if isinstance(made, Complex) else made

    def _nodes(self, nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            self.builder.source, self.at = node.source, node
            try:
                results = self._node(node)
            except Learnt as learnt:
                name = self.named.symbols.get(learnt.symbol)
                if name is not None and node.op != "prim::dims" and learnt.pinned is None:
                    value = self.named.symbols.get(learnt.value.symbol or "", str(learnt.value))
                    if learnt.value.is_const or learnt.value.symbol in self.named.symbols:
                        learnt.pinned = (name, value, node.source)
                raise
            except (NotTraced, Demanded):
                raise
            except ZeroDivisionError:
                raise SignatureError(f"{_at(node.source)}a size that is 0 here is divided by") from None
            except UnmoorError as error:
                if node.blocks:  # its text names a line already
                    raise
                raise type(error)(f"{_at(node.source)}{node.op}: {error}") from error
            except TypeError as error:
                if not any(v.type in (INT, FLOAT, BOOL) for v in node.inputs):
                    raise
                raise Unsupported(f"{_at(node.source)}{node.op}: {NOT_PLAIN}") from error
            self.env.update(zip(node.outputs, results, strict=True))

    # -- branches -----------------------------------------------------------------------------
    def _branch(self, node: Node) -> tuple[Arg, ...]:
        """prim::If: the block that sizes decide, or both where the condition is data."""
        condition = self._arg(node.args[0])
        if not isinstance(condition, Value):
            block = node.blocks[0 if condition else 1]
            self.certain = False
            self._nodes(block.nodes)
            return tuple(self._arg(r) for r in block.results)
        made = [self._block(b) for b in node.blocks]
        reached = [b for b in made if not raises(b)]
        if not reached:
            last = made[0].nodes[-1]
            raise self.refused.get(last) or _Refusal(last.source, str(last.args[0]))
        self.builder.source = node.source
        count = range(len(node.outputs))
        alike = [self._alike([b.results[k] for b in reached]) for k in count]
        made = [b if raises(b) else self._yielding(b, [b.results[k] for k in count if not alike[k]]) for b in made]
        reached_results = zip(*(b.results for b in made if not raises(b)), strict=True)
        differing = [node.outputs[k] for k in count if not alike[k]]
        outputs = [self._output(v, results, node.source) for v, results in zip(differing, reached_results, strict=True)]
        self.builder.with_blocks(
            Node("prim::If", (condition,), tuple(outputs), node.source, tuple(made)), "a branch on data"
        )
        return tuple(plain(reached[0].results[k]) if alike[k] else outputs.pop(0) for k in count)

    def _block(self, block: Block) -> Block:
        """A block, typed. Where it refuses inputs like these, as eager PyTorch would, it raises when it is reached."""
        before, self.builder.nodes = self.builder.nodes, []
        known, places, certain = set(self.facts.most), dict(self.builder.place_of), self.certain
        self.certain = False
        try:
            self._nodes(block.nodes)
            results = tuple(self._arg(r) for r in block.results)
            self._check_leaves(block, results, set(self.facts.most) - known)
        except _Refusal as refusal:
            return self._refusing(refusal)
        except SignatureError as error:
            message = f"a branch that takes no inputs of such sizes was reached: {error}"
            return Block((), (Node("prim::raise", (message,), ()),), ())
        finally:
            made, self.builder.nodes = self.builder.nodes, before
            self.builder.place_of, self.certain = places, certain
        return Block((), tuple(made), results)

    def _refusing(self, refusal: _Refusal) -> Block:
        """A block that refuses whatever comes there, with the size that it asked for at that time."""
        self.builder.nodes = []
        told: tuple[Arg, ...] = ()
        if isinstance(refusal.number, Dim) and refusal.number.symbols <= self.symbols.keys():
            told = (as_tensor(self.builder, refusal.number),)
        last = Node("prim::raise", (refusal.message, *told), (), refusal.source)
        self.refused[last] = refusal
        return Block((), (*self.builder.nodes, last), ())

    def _check_leaves(self, block: Block, results: tuple[Arg, ...], found: set[str]) -> None:
        """Refuses sizes that a block finds in data, where they leave it."""
        for result, recorded in zip(results, block.results, strict=True):
            dims = tensor_type(result).shape if isinstance(result, Value) else (result,)
            if any(isinstance(d, Dim) and d.symbols & found for d in dims):
                maker = next((n for n in block.nodes if recorded in n.outputs), None)
                raise Unsupported(
                    f"{_at(maker.source) if maker else ''}a tensor whose size comes out of data is made on one "
                    "side of a branch and used behind it, which is not supported: make it before the branch, or reduce "
                    "it inside"
                )

    def _alike(self, results: list[Arg]) -> bool:
        """Whether all blocks that go on give the same: a literal, a size, or a value from before the branch."""
        first = plain(results[0])
        if isinstance(first, Value):
            return len(results) > 1 and all(r is first for r in results)
        return all(type(plain(r)) is type(first) and plain(r) == first for r in results)

    def _yielding(self, block: Block, results: list[Arg]) -> Block:
        """The block with its results as tensors."""
        before, self.builder.nodes = self.builder.nodes, list(block.nodes)
        made = tuple(as_tensor(self.builder, r) for r in results)
        block = Block((), tuple(self.builder.nodes), made)
        self.builder.nodes = before
        return block

    def _output(self, value: Value, results: tuple[Arg, ...], source: Source) -> Value:
        """What a branch gives where its blocks give `results`: of one dtype and rank, with equal sizes."""
        types = [self._type(r) for r in results]
        first = types[0]
        for other in types[1:]:
            same = other.dtype is first.dtype and other.rank == first.rank
            if not same or not all(self.facts.equal(a, b) for a, b in zip(first.shape, other.shape, strict=True)):
                raise Unsupported(
                    f"{_at(source)}the two sides of this branch give {first} and {other}: what follows needs one type; "
                    "make them alike"
                )
        made = Value(self.builder.names.fresh(value.name), first)
        if all(isinstance(r, Value) and r in self.builder.weak for r in results):
            self.builder.weak.add(made)
        return made

    # -- loops --------------------------------------------------------------------------------
    def _loop(self, node: Node) -> tuple[Arg, ...]:
        """prim::Loop, its block typed by what it carries at first."""
        p, b, (block,) = loop_parts(node), self.builder, node.blocks

        def tensors(args: tuple[Arg, ...]) -> tuple[Value, ...]:
            return tuple(as_tensor(b, self._arg(a)) for a in args)

        def body(carried: tuple[Value, ...], rows: tuple[Value, ...]) -> Turn:
            b.weak.update(v for v, recorded in zip(carried, p.carried, strict=True) if recorded.type != TENSOR)
            self.env.update(zip(block.params, (*carried, *rows), strict=True))
            self._nodes(block.nodes)
            b.source = node.source
            again = [as_tensor(b, truth(b, self._arg(c))) for c in p.next_condition]
            return again[0] if again else None, tensors(p.next_carried), tensors(p.next_rows)

        try:
            condition = None if p.condition is None else as_tensor(b, truth(b, self._arg(p.condition)))
            initial, scanned = tensors(p.initial), tensors(p.scanned)
            turns = None if p.turns is None else dim(self._arg(p.turns))  # type: ignore[arg-type]
            for whole in scanned:
                if turns is None or not self.facts.equal(tensor_type(whole).shape[0], turns):
                    raise Unsupported("the tensors that a loop takes rows of have different lengths")
            made = b.loop(turns, initial, scanned, body, condition, p.backward)
            b.weak.update(v for v, recorded in zip(made, node.outputs, strict=True) if recorded.type != TENSOR)
            return made
        except Unsupported as error:
            where = _at(node.source)
            raise error if str(error).startswith(where) else Unsupported(f"{where}{error}") from error

    def _arg(self, arg: Arg) -> Arg:
        if isinstance(arg, Value):
            return self.env[arg]
        return tuple(self._arg(a) for a in arg) if isinstance(arg, tuple) else arg

    def _node(self, node: Node) -> tuple[Arg, ...]:
        if node.op == "prim::If":
            return self._branch(node)
        if node.op == "prim::Loop":
            certain, self.certain = self.certain, False
            results = self._loop(node)
            self.certain = certain
            return results
        args = tuple(self._arg(a) for a in node.args)
        self.builder.wanted = ""
        if node.op == "prim::guard":
            self._guard(node)
            return ()
        if node.op == "prim::compare":
            return (self._compare(node.output, args),)
        if node.op == "prim::is_dtype":
            dtype = self._type(args[0]).dtype
            self.numbers[node.output] = dtype.torch_name
            return (dtype is args[1],)
        if node.op == "prim::leaf" or (node.op == "aten::detach" and self.differentiates):
            return (self.builder.stop(args[0]),)
        if node.op == "prim::grad":
            return self._gradients(args)
        if node.op in TABLE:
            _check_plain(TABLE[node.op], args)
            given = tuple(_literal_dims(a) for a in args)
            check_divisor(self.builder, node.op, given)
            check_exponent(self.builder, node.op, given)
            return self.builder.emit_all(node.op, *given)
        name = node.op.removeprefix("prim::")
        if name.startswith(("int_", "float_")):
            family, _, operation = name.partition("_")
            return (arithmetic(self.builder, operation, args, family == "int"),)
        return self._structural(name, node.source, args)

    def _gradients(self, args: tuple[Arg, ...]) -> tuple[Arg, ...]:
        """prim::grad, written out."""
        lists: list[list[Any]] = [list(a) for a in args[:3] if isinstance(a, tuple)]
        if any(isinstance(v, Complex) for given in lists for v in given):
            raise Unsupported("gradients of complex tensors are not supported")
        outputs, seeds, by = lists
        made = gradients(self.builder, outputs, seeds, by)
        return made if args[3] else tuple(self.builder.stop(v) for v in made)

    def _structural(self, name: str, source: Source, args: tuple[Arg, ...]) -> tuple[Arg, ...]:
        b = self.builder
        match name:
            case "size":
                shape, axis = self._type(args[0]).shape, int(str(args[1]))
                if not -len(shape) <= axis < len(shape):
                    raise SignatureError(f"there is no dim {axis} of a tensor of rank {len(shape)}")
                return (plain(shape[axis]),)
            case "rank":
                return (self._type(args[0]).rank,)
            case "is_contiguous":
                return (self._is_contiguous(self._value(args[0])),)
            case "not":
                return (b.emit("aten::logical_not", args[0]) if isinstance(args[0], Value) else not args[0],)
            case "item":
                return (item(b, self._value(args[0])),)
            case "truth":
                return (truth(b, args[0]),)
            case "complex":
                return (self.builder.complex(args[0], args[1]),)
            case "raise":
                self._refuse_unless(False, source, args[0])
            case "dims":
                assert isinstance(args[2], tuple)
                self.named.hold(str(args[1]), self._type(args[0]).shape, args[2])
            case "rank_guard":
                rank = self._type(args[0]).rank
                self._refuse_unless(rank == int(str(args[1])), source, args[2], rank)
            case "dtype_guard":
                assert isinstance(args[1], DType)
                dtype = self._type(args[0]).dtype
                self._refuse_unless(dtype is args[1], source, args[2], dtype.torch_name)
            case _:
                raise Unsupported(f"prim::{name} cannot be compiled yet")
        return ()

    def _is_contiguous(self, value: Value) -> bool:
        """Whether an input lies contiguously in memory: as in the example, which the signature then demands."""
        number = self.inputs.index(value)
        name, held, which = contiguity(number), self.example[number].contiguous, self.example[number].name
        self.symbols[name] = int(held)
        message = (
            f"{which} is contiguous in memory, and another program is for that: pass its transpose or slice as it is"
        )
        if held:
            message = f"{which} is not contiguous in memory, as the program wants it: pass {which}.contiguous()"
        self.facts.relations[Relation(sym(name), "==", const(int(held)), message)] = None
        return held

    def _compare(self, value: Value, args: tuple[Arg, ...]) -> Arg:
        before = len(self.facts.relations)
        result = compare(self.builder, args[0], args[1], str(args[2]))
        self.numbers[value] = args[0]
        if not isinstance(result, Value):
            self.decided[value] = tuple(self.facts.relations)[before:]
        return result

    def _guard(self, node: Node) -> None:
        condition, expected, message = (self._arg(a) for a in node.args)
        asked = node.args[0]
        assert isinstance(asked, Value)
        number = self.numbers.get(asked)
        if isinstance(condition, Value):
            told = number is not None and ANOTHER in str(message)
            self.builder.guard(
                condition, bool(expected), str(message), (as_tensor(self.builder, number),) if told else ()
            )
            return
        self._refuse_unless(bool(condition) is bool(expected), node.source, message, number)
        if self.certain:
            demands: list[Demand] = [*self.decided.get(asked, ())]
            demands += [self.places[s] for s, by in self.asked.items() if by is asked]
            self.reasons.update((d, (str(message), node.source)) for d in demands)

    def _refuse_unless(self, holds: bool, source: Source, message: Any, number: Arg = None) -> None:
        """`number` is what the guard asks for, where the message can tell it."""
        if not holds:
            now = number
            if isinstance(number, Dim) and number.symbols <= self.symbols.keys():
                now = number.evaluate(self.symbols)
            raise _Refusal(source, str(message), number, now)

    def _value(self, arg: Arg) -> Value:
        if isinstance(arg, Complex):
            raise Unsupported("a single number is read of a complex tensor: read its .real and its .imag")
        assert isinstance(arg, Value), f"{arg} is no tensor"
        return arg

    def _type(self, arg: Arg) -> TensorType:
        if isinstance(arg, Complex):
            return self.builder.type_of(arg)
        return tensor_type(self._value(arg))


def _check_plain(op: Op, args: tuple[Arg, ...]) -> None:
    """Unsupported where an op's kernel has a number in its code, and the call computes that number."""
    if op.kind is Kind.MAP and any(
        isinstance(a, Value) and p.type == "float" for p, a in zip(op.schema.params, args, strict=True)
    ):
        raise Unsupported(NOT_PLAIN)


def _literal_dims(arg: Arg) -> Arg:
    """Constant Dims as ints, in lists too."""
    return tuple(_literal_dims(a) for a in arg) if isinstance(arg, tuple) else plain(arg)


def _at(source: Source) -> str:
    return f"{source.led}: " if source.file else ""
