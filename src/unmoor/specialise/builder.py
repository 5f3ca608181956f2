"""Emits typed nodes: applies an op's type rule, brings operands to one dtype, and takes composites apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DType, c64, c128, i64, numbers_of
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.complex import Complex
from unmoor.ir.dim import Dim, DimLike, const, dim
from unmoor.ir.graph import (
    NOWHERE,
    Arg,
    Block,
    Names,
    Node,
    Relation,
    Source,
    Value,
    tensor_type,
    values_of,
    walk_nodes,
)
from unmoor.ir.op import Kind, Op
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE
from unmoor.ops.complex_rules import rule_of
from unmoor.ops.evaluation import (
    OPERAND,
    check_factor,
    computes,
    cut_quotient,
    dtypes_in,
    half_result,
    operand_dtype,
    through,
)
from unmoor.ops.family import NumberType, in_dtype, number_type
from unmoor.ops.found import found_by
from unmoor.specialise.facts import ExampleFacts
from unmoor.specialise.reverse import Step, step_of_node
from unmoor.specialise.spans import Span, span_of

_COMPARE = {"==": "aten::eq", "!=": "aten::ne", "<=": "aten::le"}
# Of one turn of a loop: whether another one follows, where that is data; what is carried on; and its rows.
Turn = tuple[Value | None, tuple[Value, ...], tuple[Value, ...]]


class TypedBuilder:
    """A typed graph under construction. `source` is given to the nodes that are emitted next.

    `weak` holds values that stand for Python numbers: 0-dim tensors that do not raise a tensor's dtype.
    """

    def __init__(self, facts: ExampleFacts, names: Names) -> None:
        self.facts = facts
        self.names = names
        self.nodes: list[Node] = []
        self.weak: set[Value] = set()
        self.producer: dict[Value, Node] = {}
        self.constants: dict[Value, np.ndarray] = {}
        self.place_of: dict[Value, Value] = {}  # by mask, where it holds
        self.steps: dict[Value, Step] | None = None  # by what each gives, where gradients may go back through them
        self.stops: set[Value] = set()  # what no gradient goes back through
        facts.demand = self._demand
        self.source: Source = NOWHERE
        self.wanted = ""

    def emit(self, op: str, *args: Arg, **kwargs: Arg) -> Value:
        """Append an op and return its only output."""
        (only,) = self.emit_all(op, *args, **kwargs)
        return only

    def emit_all(self, op: str, *args: Arg, **kwargs: Arg) -> tuple[Value, ...]:
        """Append an op, its arguments completed from the schema, and return its outputs."""
        entry = TABLE[op]
        full = _complete(entry, args, kwargs)
        if _has_complex(full) and (rule := rule_of(op)) is not None:
            made = rule(self, *full)
            return made if isinstance(made, tuple) else (made,)
        if entry.decompose is not None:
            return self._composite(entry, full)
        target = None
        if entry.kind is Kind.MAP and entry.promote != "none":
            full, target = self._promoted(entry, full)
            if cut_quotient(entry, target, full):
                return self.emit_all("aten::trunc", self.emit("aten::div", *args[:2]))
        elif computes(entry):
            target = next((d for d in dtypes_in(self._typed(full)) if d is not d.compute), None)
            full = full if target is None else tuple(self._widened(a) for a in full)
        assert entry.infer is not None
        types = entry.infer(self.facts, *(self._typed(a) for a in full))
        if entry.kind is Kind.MAP:
            full = tuple(self._repeated(a, types.shape) if isinstance(a, Value) else a for a in full)
        made = self._append(op, full, types if isinstance(types, tuple) else (types,))
        return made if target is None else tuple(self._narrowed(m, target) for m in made)

    def _composite(self, entry: Op, args: tuple[Arg, ...]) -> tuple[Value, ...]:
        """The op taken apart. Of half floats as eager kernels do it: everything in f32, rounded once at the end."""
        assert entry.decompose is not None
        target = half_result(entry, self._typed(args))
        if target is not None:
            args = tuple(self._widened(self._common(a, target), halves=True) for a in args)
        made = entry.decompose(self, *args)
        results: tuple[Value, ...] = made if isinstance(made, tuple) else (made,)
        if entry.vjp is not None and all(isinstance(r, Value) for r in results) and values_of(args):
            given = values_of(args)
            if all(r not in given for r in results):
                self.note(step_of_node(entry.name, args, results, self.source))
        return results if target is None else tuple(self._narrowed(r, target) for r in results)

    def _common(self, arg: Arg, dtype: DType) -> Arg:
        """A 0-dim float among a composite's operands in the dtype of the others."""
        if isinstance(arg, Value) and dtype is not dtype.compute and not (type_ := tensor_type(arg)).shape:
            return self._in_value(arg, dtype) if type_.dtype.is_float else arg
        return arg

    def _widened(self, arg: Any, halves: bool = False) -> Any:
        """Tensors and dtypes among arguments in what they are computed with; only half floats where `halves`."""
        if isinstance(arg, tuple):
            return tuple(self._widened(a, halves) for a in arg)
        if isinstance(arg, DType):
            return arg.compute if arg.is_float or not halves else arg
        if not isinstance(arg, Value):
            return arg
        dtype = tensor_type(arg).dtype
        return self._in_dtype(arg, dtype.compute) if dtype.is_float or not halves else arg

    def _narrowed(self, value: Value, dtype: DType) -> Value:
        """A result in the dtype that it is stored in; one of another kind, such as an index, as it is."""
        return self._in_value(value, dtype) if tensor_type(value).dtype is dtype.compute else value

    def type_of(self, value: Arg | Complex) -> TensorType:
        """The type of a value, weak where it stands for a Python number; of a number, its 0-dim type."""
        if isinstance(value, Complex):
            if not isinstance(value.re, Value):
                return NumberType(c64, ())
            part = tensor_type(value.re)
            return TensorType(c64 if part.dtype is c64.part else c128, part.shape)
        if isinstance(value, Value):
            type_ = tensor_type(value)
            return NumberType(type_.dtype, ()) if value in self.weak else type_
        return number_type(value)

    def loop(
        self,
        turns: DimLike | None,
        initial: Sequence[Value],
        scanned: Sequence[Value],
        body: Callable[[tuple[Value, ...], tuple[Value, ...]], Turn],
        condition: Value | None = None,
        backward: bool = False,
    ) -> tuple[Value, ...]:
        """Append a `prim::Loop`, whose block `body` makes from what is carried and the rows of a turn."""
        carried = tuple(Value(self.names.fresh(v.name), tensor_type(v)) for v in initial)
        rows = tuple(
            Value(self.names.fresh(v.name), TensorType(tensor_type(v).dtype, tensor_type(v).shape[1:])) for v in scanned
        )
        if any(self.facts.is_found(d) for d in (turns or 0, *(d for v in scanned for d in tensor_type(v).shape))):
            raise Unsupported("the turns of a loop, or the rows it takes, have sizes that come out of data")
        before, self.nodes, source, places = self.nodes, [], self.source, dict(self.place_of)
        try:
            again, onward, made_rows = body(carried, rows)
            onward = tuple(self._carried_on(param, v) for param, v in zip(carried, onward, strict=True))
        finally:
            made, self.nodes, self.source, self.place_of = self.nodes, before, source, places
        if any(found_by(n) for n in walk_nodes(tuple(made))):
            raise Unsupported("a size comes out of data in a loop, where it may differ from turn to turn")
        first = () if again is None else (again,)
        block = Block((*carried, *rows), tuple(made), (*first, *onward, *made_rows))
        types = [tensor_type(v) for v in initial]
        if made_rows:
            assert turns is not None, "a loop with a condition has no rows"
            types += [TensorType(tensor_type(v).dtype, (dim(turns), *tensor_type(v).shape)) for v in made_rows]
        outputs = tuple(Value(self.names.fresh(), t) for t in types)
        args: tuple[Arg, ...] = (turns, condition, backward, tuple(initial), tuple(scanned))
        self.with_blocks(Node("prim::Loop", args, outputs, source, (block,)), "a loop")
        return outputs

    def with_blocks(self, node: Node, name: str) -> None:
        """Append a branch or loop."""
        self.nodes.append(node)
        self.note(Step(name, None, node.args, node.outputs, tuple(node.used), node.source))

    def note(self, step: Step) -> None:
        """Keep what gradients may go back through, where the graph has any."""
        if self.steps is not None:
            self.steps.update((v, step) for v in step.results)

    def step_of(self, value: Value) -> Step | None:
        """What a value was made by; None for inputs and constants."""
        return None if self.steps is None else self.steps.get(value)

    def stop(self, value: Arg | Complex) -> Arg:
        """The same tensor, as one that no gradient goes back through."""
        if isinstance(value, Complex):
            return Complex(self.stop(value.re), self.stop(value.im))  # type: ignore[return-value]
        assert isinstance(value, Value)
        (same,) = self._append("prim::reshape", (value, tensor_type(value).shape), (tensor_type(value),))
        self.stops.add(same)
        return same

    def _carried_on(self, param: Value, value: Value) -> Value:
        """What a turn gives the next one, of the type that it has come with."""
        wanted, given = tensor_type(param), tensor_type(value)
        same = wanted.dtype is given.dtype and wanted.rank == given.rank
        if not same or not all(self.facts.equal(a, b) for a, b in zip(wanted.shape, given.shape, strict=True)):
            raise Unsupported(
                f"a value that a loop carries is {wanted} before a turn and {given} after it: keep its dtype and "
                "sizes, or give the loop a tensor that is large enough from the start"
            )
        return value if wanted == given else self.emit("prim::reshape", value, wanted.shape)

    def is_tensor(self, value: Arg | Complex) -> bool:
        """Whether an argument is a tensor."""
        return isinstance(value, Value | Complex)

    def parts(self, value: Any) -> tuple[Any, Any]:
        """The real and the imaginary part of a complex tensor or number."""
        return value.re, value.im

    def complex(self, re: Any, im: Any) -> Any:
        """The complex tensor of two parts of one shape and dtype."""
        return Complex(re, im)

    def guard(self, condition: Value, expected: bool, message: str, told: tuple[Arg, ...] = ()) -> None:
        """Append a guard on a 0-dim bool tensor. `told` may have the number that the message is about."""
        if self.source.caller and "called from" not in message:  # what capture guards tells the line's text, too
            message = f"{message}\n  called from {self.source.caller}"
        self.nodes.append(Node("prim::guard", (condition, expected, message, *told), (), self.source))

    def places(self, mask: Value) -> Value:
        """Where a 1-D mask holds; the same mask is gone through once."""
        node = self.producer.get(mask)
        key = node.inputs[0] if node is not None and node.op == "prim::reshape" else mask  # its rows as one
        if key not in self.place_of:
            self.place_of[key] = self.emit("prim::nonzero", mask)
        return self.place_of[key]

    def _demand(self, relation: Relation) -> None:
        """A guard on sizes that a call finds."""
        sides = [self.emit("prim::full", (), d, i64) for d in (relation.left, relation.right)]
        holds = self.emit(_COMPARE[relation.op], *sides)
        self.guard(holds, True, f"a size that comes out of data does not fit: {relation} does not hold")

    def span(self, value: Arg) -> Span | None:
        """Bounds of an integer tensor's elements, the upper one excluded; None where its making does not tell."""
        return span_of(value, self.producer, self.constants)

    def _repeated(self, value: Value, shape: tuple[Dim, ...]) -> Value:
        """An operand whose sizes that are repeated are plainly 1: one that is only known to equal 1 becomes it."""
        own = tensor_type(value).shape
        out = shape[len(shape) - len(own) :]
        plain = tuple(
            d if d == 1 or d == e or self.facts.equal(d, e) else const(1) for d, e in zip(own, out, strict=True)
        )
        return value if plain == own else self.emit("prim::reshape", value, plain)

    def _typed(self, arg: Any) -> Any:
        if isinstance(arg, Value | Complex):
            return self.type_of(arg)
        return tuple(self._typed(a) for a in arg) if isinstance(arg, tuple) else arg

    def _promoted(self, entry: Op, args: tuple[Arg, ...]) -> tuple[tuple[Arg, ...], DType]:
        """The arguments with elementwise operands in the dtype that is computed with, and the result's dtype."""
        places = [
            k
            for k, (p, a) in enumerate(zip(entry.schema.params, args, strict=True))
            if p.type.rstrip("?") in OPERAND and a is not None
        ]
        dtype = operand_dtype(entry, [self._typed(args[k]) for k in places])
        assert dtype is not None
        wide = dtype.compute if computes(entry) else dtype
        check_factor(entry, dtype, args)
        out = list(args)
        for k in places[1:] if entry.promote == "where" else places:
            rounds = through(entry, dtype, k, self.type_of(args[k]).rank)
            out[k] = self._in_dtype(self._in_dtype(args[k], dtype) if rounds else args[k], wide)
        return tuple(out), dtype

    def _in_value(self, value: Value, dtype: DType) -> Value:
        return value if tensor_type(value).dtype is dtype else self.emit("prim::cast", value, dtype)

    def _in_dtype(self, arg: Arg, dtype: DType) -> Arg:
        if isinstance(arg, Value):
            return self._in_value(arg, dtype)
        if isinstance(arg, Dim):
            return arg.value if arg.is_const and not dtype.is_float else float(arg.value) if arg.is_const else arg
        assert isinstance(arg, bool | int | float)
        if dtype is not dtype.compute:
            return numbers_of(in_dtype(arg, dtype)).item()  # type: ignore[no-any-return]
        return float(arg) if dtype.is_float else arg

    def _append(self, op: str, args: tuple[Arg, ...], types: tuple[TensorType, ...]) -> tuple[Value, ...]:
        outputs = tuple(Value(self.names.fresh(self.wanted), TensorType(t.dtype, t.shape)) for t in types)
        node = Node(op, args, outputs, self.source)
        self.nodes.append(node)
        self.producer.update((v, node) for v in outputs)
        self.note(step_of_node(op, args, outputs, self.source))
        return outputs


def _has_complex(arg: Any) -> bool:
    """Whether a complex tensor or dtype is among arguments."""
    if isinstance(arg, tuple):
        return any(_has_complex(a) for a in arg)
    return isinstance(arg, Complex) or (isinstance(arg, DType) and arg.is_complex)


def _complete(entry: Op, args: tuple[Arg, ...], kwargs: dict[str, Arg]) -> tuple[Arg, ...]:
    """The arguments by position, one per parameter of the schema."""
    params = entry.schema.params
    if len(args) > len(params):
        raise SignatureError(f"{entry.name} takes {len(params)} arguments, got {len(args)}")
    rest = [kwargs.get(p.name, p.default) for p in params[len(args) :]]
    return (*args, *rest)
