"""Reverse mode: writes out the gradients that `prim::grad` asks for, by the rules of the op table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Source, Value, tensor_type, values_of
from unmoor.ir.op import Kind, Op
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE
from unmoor.ops.formula import Aten
from unmoor.ops.gradients.moving import summed_to

if TYPE_CHECKING:
    from unmoor.specialise.builder import TypedBuilder


@dataclass(frozen=True, eq=False)
class Step:
    """What gradients go back through in one: a node, or all that a composite with a rule of its own became.

    `entry` is None for what has no rule at all, a branch or a loop: `name` says what it is.
    """

    name: str
    entry: Op | None
    args: tuple[Arg, ...]
    results: tuple[Value, ...]
    reads: tuple[Value, ...]
    source: Source


def gradients(
    b: TypedBuilder, outputs: Sequence[Value], seeds: Sequence[Value | None], by: Sequence[Value]
) -> tuple[Value, ...]:
    """The gradients of the sum of outputs times seeds (1 for None) by some values, emitted."""
    return _Reverse(b, by).run(outputs, seeds)


class _Reverse:
    def __init__(self, b: TypedBuilder, by: Sequence[Value]) -> None:
        self.b, self.by = b, tuple(by)
        self.aten = Aten(b)  # type: ignore[arg-type]
        self.found: dict[Value, Value] = {}  # gradients so far
        self.flows: set[Value] = set(by)  # what depends on those values

    def run(self, outputs: Sequence[Value], seeds: Sequence[Value | None]) -> tuple[Value, ...]:
        steps = self._steps(outputs)
        for step in steps:
            if any(v in self.flows for v in step.reads):
                self.flows.update(v for v in step.results if tensor_type(v).dtype.is_float)
        for output, seed in zip(outputs, seeds, strict=True):
            self._add(output, self._ones(output) if seed is None else seed)
        source = self.b.source
        for step in reversed(steps):
            back = tuple(self.found.get(v) for v in step.results)
            if any(g is not None for g in back) and any(v in self.flows for v in step.reads):
                self.b.source = step.source
                self._go_back(step, back)
        self.b.source = source
        return tuple(self.found.get(v) or self._zeros(v) for v in self.by)

    def _steps(self, outputs: Sequence[Value]) -> list[Step]:
        """What the outputs were made by, each after what it reads."""
        order: list[Step] = []
        seen: set[int] = set()
        stack: list[tuple[Step, Iterator[Value]]] = []

        def enter(value: Value) -> None:
            step = None if value in self.b.stops else self.b.step_of(value)
            if step is not None and id(step) not in seen:
                seen.add(id(step))
                stack.append((step, iter(step.reads)))

        for output in outputs:
            enter(output)
            while stack:
                step, left = stack[-1]
                value = next(left, None)
                if value is None:
                    order.append(step)
                    stack.pop()
                else:
                    enter(value)
        return order

    def _go_back(self, step: Step, back: tuple[Value | None, ...]) -> None:
        rule = None if step.entry is None else step.entry.vjp
        if rule is None:
            raise self._refusal(step)
        assert step.entry is not None
        single = len(step.results) == 1
        try:
            made = rule(self.aten, *((back[0], step.results[0]) if single else (back, step.results)), *step.args)
        except NotImplementedError:
            raise self._refusal(step) from None
        for arg, gradient in zip(step.args, made, strict=True):
            self._flow(step.entry, arg, gradient)

    def _flow(self, entry: Op, arg: Arg, gradient: Any) -> None:
        if isinstance(arg, tuple):
            for one, of_one in zip(arg, gradient or (None,) * len(arg), strict=True):
                self._flow(entry, one, of_one)
        elif isinstance(arg, Value) and arg in self.flows and gradient is not None:
            made = gradient()
            if entry.kind is Kind.MAP:
                made = summed_to(self.aten, made, tensor_type(arg).shape)
            self._add(arg, made)

    def _add(self, value: Value, gradient: Value) -> None:
        wanted = tensor_type(value)
        given = tensor_type(gradient)
        if given.dtype is not wanted.dtype:
            gradient = self.b.emit("prim::cast", gradient, wanted.dtype)
        if given.shape != wanted.shape:
            gradient = self._fitted(gradient, wanted)
        before = self.found.get(value)
        self.found[value] = gradient if before is None else self.b.emit("aten::add", before, gradient, 1)

    def _fitted(self, gradient: Value, wanted: TensorType) -> Value:
        """The same sizes, that are only known to be equal."""
        shape = tensor_type(gradient).shape
        if len(shape) != wanted.rank or not all(map(self.b.facts.equal, shape, wanted.shape)):
            raise AssertionError(f"a gradient of {list(shape)} for {wanted}")
        return self.b.emit("prim::reshape", gradient, wanted.shape)

    def _ones(self, value: Value) -> Value:
        type_ = tensor_type(value)
        return self.b.emit("prim::full", type_.shape, 1.0, type_.dtype)

    def _zeros(self, value: Value) -> Value:
        type_ = tensor_type(value)
        return self.b.emit("prim::full", type_.shape, 0.0, type_.dtype)

    def _refusal(self, step: Step) -> Unsupported:
        where = f" ({step.source.led})" if step.source.file else ""
        return Unsupported(
            f"the gradient of {step.name}{where} is not supported: compute that part under torch.no_grad(), or "
            "write it with other operations"
        )


def step_of_node(name: str, args: tuple[Arg, ...], results: tuple[Value, ...], source: Source) -> Step:
    """A node as a step."""
    return Step(name, TABLE.get(name), args, results, tuple(values_of(args)), source)
