"""Emits the program of one signature: places every tensor, plans memory, and writes the instructions in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from unmoor.dtypes import DType
from unmoor.emit.builtins import BuiltinUse, builtin_use, is_builtin
from unmoor.emit.flatten import Mark, Move, Next, Step, Turns, flatten
from unmoor.emit.memory import Lifetime, plan
from unmoor.emit.registers import IntRegisters, symbol_places
from unmoor.errors import Unsupported
from unmoor.ir.bounds import interval
from unmoor.ir.call import KernelCall
from unmoor.ir.dim import Dim, const
from unmoor.ir.graph import Constant, Graph, Node, Source, Value, tensor_type, values_of
from unmoor.ir.kernel import Kernel
from unmoor.ir.program import Check, CheckOp, Instruction, Message, Opcode, Place, Program, TensorRegister
from unmoor.ir.signature import Demand, Reason, Signature
from unmoor.ops.found import found_by

CHECKS = {"==": CheckOp.EQ, "!=": CheckOp.NE, "<=": CheckOp.LE, "<": CheckOp.LT}


@dataclass(frozen=True, eq=False)
class Emitted:
    """A program whose instructions index into `kernels` and whose weight registers index into `constants`."""

    program: Program
    kernels: tuple[Kernel, ...]
    constants: tuple[Constant, ...]


def emit(
    graph: Graph,
    calls: Mapping[Node, KernelCall],
    signature: Signature,
    reasons: Mapping[Demand, Reason] = MappingProxyType({}),
) -> Emitted:
    """The program of a grouped graph. `calls` has the lowered kernel of each fusion group.

    `reasons` are the guards that some of the signature's demands come from: a call that breaks one is told so.
    """
    return _Emission(graph, calls, signature, reasons).run()


class _Emission:
    def __init__(
        self,
        graph: Graph,
        calls: Mapping[Node, KernelCall],
        signature: Signature,
        reasons: Mapping[Demand, Reason],
    ) -> None:
        self.graph, self.calls, self.signature, self.reasons = graph, calls, signature, reasons
        self.ints = IntRegisters(symbol_places([tensor_type(v).shape for v in graph.inputs]))
        self.roots: dict[Value, Value] = {}  # names of memory -> the value that owns it
        self.constants = {c.value: k for k, c in enumerate(graph.constants)}
        self.steps = flatten(graph.nodes, self.roots)
        self.run_of = {
            n: self.ints.find(found_by(n), tensor_type(n.inputs[0]).numel)
            for n in self.steps
            if isinstance(n, Node) and found_by(n)
        }
        self.storage = self._storage()
        self.tensors: list[TensorRegister] = []
        self.register_of: dict[object, int] = {}
        self.kernels: dict[Kernel, int] = {}
        self.messages: dict[Message, int] = {}
        self.sources: dict[Source, int] = {}
        self.builtins = {n: builtin_use(n) for n in self.steps if isinstance(n, Node) and is_builtin(n)}
        self.copies: list[tuple[int, Value]] = []  # (output, value): results that no kernel writes in place

    def root(self, value: Value) -> Value:
        return self.roots.get(value, value)

    def _storage(self) -> dict[Value, Dim]:
        """Elements that each value really takes: panels are padded."""
        sizes = {v: tensor_type(v).numel for v in self.graph.inputs}
        for step in self.steps:
            if isinstance(step, Move):
                sizes[self.root(step.target)] = tensor_type(step.target).numel
            if isinstance(step, Turns):
                for row, whole in step.rows:
                    sizes[row] = tensor_type(row).numel
                    sizes.setdefault(self.root(whole), tensor_type(whole).numel)
        for call in self.calls.values():
            for value, size in zip(call.operands, call.sizes, strict=True):
                if value is not None:
                    sizes[self.root(value)] = size
        for step in self.steps:
            if isinstance(step, Node) and is_builtin(step):
                sizes.update((self.root(v), tensor_type(v).numel) for v in step.outputs)
        return sizes

    # -- tensor registers ---------------------------------------------------------------------
    def _register(self, place: Place, index: int, dtype: DType, shape: tuple[Dim, ...], elements: Dim) -> int:
        dims = tuple(self.ints.of(d) for d in shape)
        self.tensors.append(TensorRegister(place, index, dtype, dims, self.ints.at_most(elements * dtype.size)))
        return len(self.tensors) - 1

    def _place_inputs_and_outputs(self) -> None:
        for k, value in enumerate(self.graph.inputs):
            type_ = tensor_type(value)
            self.register_of[value] = self._register(Place.INPUT, k, type_.dtype, type_.shape, type_.numel)
        for k, output in enumerate(self.graph.outputs):
            if not isinstance(output, Value):
                raise Unsupported(f"output {k} is the number {output}: return a tensor instead")
            value, type_ = output, tensor_type(output)
            register = self._register(Place.OUTPUT, k, type_.dtype, type_.shape, type_.numel)
            root = self.root(value)
            if root in self.register_of or root in self.constants:
                self.copies.append((k, value))
            else:
                self.register_of[root] = register

    def _place_intermediates(self) -> dict[object, int]:
        """Arena offsets, as int registers, of local buffers and of values that live between instructions."""
        first: dict[object, int] = {}
        last: dict[object, int] = {}
        size: dict[object, Dim] = {}
        rows = {row for step in self.steps if isinstance(step, Turns) for row, _ in step.rows}
        for k, node in enumerate(self.steps):
            if isinstance(node, Turns):
                for number, (_, whole) in enumerate(node.rows):
                    root = self.root(whole)
                    if number >= len(node.rows) - node.stacked and root not in self.register_of:
                        first.setdefault(root, k)
                        size[root] = self.storage[root] * tensor_type(root).dtype.size
                    if root in first:
                        last[root] = k
            if isinstance(node, Turns | Next):
                if node.condition is not None and self.root(node.condition) in first:
                    last[self.root(node.condition)] = k
                continue
            if isinstance(node, Move):
                target = self.root(node.target)
                if target not in self.register_of and target not in rows:
                    first.setdefault(target, k)
                    last[target] = k
                    size[target] = self.storage[target] * tensor_type(target).dtype.size
                if self.root(node.source) in first:
                    last[self.root(node.source)] = k
                continue
            if isinstance(node, Mark):
                if node.condition is not None and self.root(node.condition) in first:
                    last[self.root(node.condition)] = k
                continue
            for key, bytes in self._operands(node):
                if key in self.register_of or key in self.constants or key in rows:
                    continue
                first.setdefault(key, k)
                last[key] = k
                size[key] = bytes
            for value in node.inputs:
                if self.root(value) in first:
                    last[self.root(value)] = k
        self._outlive_turns(first, last)
        lives = [Lifetime(key, interval(size[key], self.ints.most)[1], first[key], last[key]) for key in first]
        offsets, total = plan(lives)
        self.arena = self.ints.of(total)
        return {key: self.ints.of(offset) for key, offset in offsets.items()}

    def _operands(self, node: Node) -> list[tuple[object, Dim]]:
        """What a node's instruction takes, by what owns the memory (scratch has a place in the node), and its bytes."""
        call, builtin = self.calls.get(node), self.builtins.get(node)
        if call is not None:
            return [
                ((node, k) if v is None else self.root(v), size * buffer.dtype.size)
                for k, (v, size, buffer) in enumerate(zip(call.operands, call.sizes, call.kernel.buffers, strict=True))
            ]
        if builtin is None:
            return []
        values = [
            (self.root(v), self.storage.get(self.root(v), tensor_type(v).numel) * tensor_type(v).dtype.size)
            for v in builtin.operands
        ]
        return [*values, *(((node, k), size * dtype.size) for k, (dtype, size) in enumerate(builtin.scratch))]

    def _outlive_turns(self, first: dict[object, int], last: dict[object, int]) -> None:
        """What a loop uses from before it lives until its last turn."""
        for end, step in enumerate(self.steps):  # an inner loop ends before the one around it
            if isinstance(step, Next):
                for key, until in last.items():
                    if first[key] <= step.start <= until < end:
                        last[key] = end

    def _operand(self, key: object, dtype: DType, shape: tuple[Dim, ...], size: Dim, offsets: dict[object, int]) -> int:
        """The tensor register of a kernel's operand, made on first use."""
        if key not in self.register_of:
            if key in self.constants:
                place, index = Place.WEIGHT, self.constants[key]
            else:
                place, index = Place.ARENA, offsets[key]
            self.register_of[key] = self._register(place, index, dtype, shape, size)
        return self.register_of[key]

    # -- instructions -------------------------------------------------------------------------
    def _message(self, text: str, source: Source) -> int:
        return self.messages.setdefault(Message(text, source), len(self.messages))

    def _source(self, source: Source) -> int:
        return self.sources.setdefault(source, len(self.sources))

    def _call(self, node: Node, call: KernelCall, offsets: dict[object, int]) -> Instruction:
        registers: list[int] = []
        for number, value in enumerate(call.operands):
            buffer = call.kernel.buffers[number]
            if value is None:
                shape: tuple[Dim, ...] = (call.sizes[number],)
                registers.append(self._operand((node, number), buffer.dtype, shape, call.sizes[number], offsets))
            else:
                root = self.root(value)
                size = self.storage[root]
                registers.append(self._operand(root, buffer.dtype, tensor_type(root).shape, size, offsets))
        return Instruction(
            Opcode.CALL,
            kernel=self.kernels.setdefault(call.kernel, len(self.kernels)),
            extent=self.ints.of(call.extent),
            tensors=tuple(registers),
            ints=tuple(self.ints.of(i) for i in call.ints),
            source=self._source(call.source),
            grain=None if call.grain is None else self.ints.of(call.grain),
        )

    def _builtin(self, node: Node, call: BuiltinUse, offsets: dict[object, int]) -> Instruction:
        registers = []
        for value in call.operands:
            root, type_ = self.root(value), tensor_type(value)
            size = self.storage.get(root, type_.numel)
            registers.append(self._operand(root, type_.dtype, tensor_type(root).shape, size, offsets))
        for number, (dtype, size) in enumerate(call.scratch):
            registers.append(self._operand((node, number), dtype, (size,), size, offsets))
        return Instruction(
            Opcode.BUILTIN,
            tensors=tuple(registers),
            ints=tuple(self.ints.of(i) for i in call.ints),
            source=self._source(node.source),
            builtin=call.name,
            count=self.run_of.get(node, 0),  # until the runs are laid out
        )

    def _turns(self, step: Turns, offsets: dict[object, int]) -> Instruction:
        """The start of a loop, whose rows get their registers."""
        source, target = self._source(step.node.source), step.end + 1
        if step.condition is not None:
            return Instruction(Opcode.WHILE, tensors=(self._read(step.condition),), target=target, source=source)
        rows = []
        for row, whole in step.rows:
            root, type_ = self.root(whole), tensor_type(row)
            placed = tensor_type(root)
            register = self._operand(root, placed.dtype, placed.shape, self.storage[root], offsets)
            self.register_of[row] = self._register(Place.ROW, register, type_.dtype, type_.shape, type_.numel)
            rows.append(self.register_of[row])
        assert step.turns is not None
        extent = self.ints.of(step.turns)
        backward = int(step.backward)
        return Instruction(
            Opcode.LOOP, extent=extent, tensors=tuple(rows), expected=backward, target=target, source=source
        )

    def _read(self, value: Value) -> int:
        """The register of a value that is in memory, or a constant."""
        register = self.register_of.get(self.root(value))
        if register is None:
            type_ = tensor_type(value)
            register = self._operand(self.root(value), type_.dtype, type_.shape, type_.numel, {})
        return register

    def _move(self, move: Move, offsets: dict[object, int]) -> Instruction:
        """What one block of a branch gives, into the memory that both blocks give it in."""
        owner = self.root(move.target)
        type_ = tensor_type(owner)
        target = self._operand(owner, type_.dtype, type_.shape, self.storage[owner], offsets)
        read = self.tensors[self._read(move.source)]
        source = self._register(read.place, read.index, type_.dtype, type_.shape, type_.numel)
        if read.place in (Place.ARENA, Place.ROW):  # each register of them is a memory of its own
            source = self._read(move.source)
        return Instruction(Opcode.COPY, tensors=(target, source), source=self._source(move.node.source))

    def _raise(self, node: Node) -> Instruction:
        text, *told = node.args
        return Instruction(
            Opcode.RAISE,
            tensors=tuple(self._read(v) for v in values_of(tuple(told))),
            message=self._message(str(text), node.source),
            source=self._source(node.source),
        )

    def _guard(self, node: Node) -> Instruction:
        condition, expected, text, *told = node.args
        assert isinstance(condition, Value) and isinstance(text, str)
        return Instruction(
            Opcode.GUARD,
            tensors=tuple(self._read(v) for v in (condition, *values_of(tuple(told)))),
            expected=int(bool(expected)),
            message=self._message(text, node.source),
            source=self._source(node.source),
        )

    def _copy(self, output: int, value: Value) -> Instruction:
        root, type_ = self.root(value), tensor_type(value)
        own = self.register_of.get(root)
        place, index = (
            (self.tensors[own].place, self.tensors[own].index)
            if own is not None
            else (
                Place.WEIGHT,
                self.constants[root],
            )
        )
        source = self._register(place, index, type_.dtype, type_.shape, type_.numel)
        return Instruction(Opcode.COPY, tensors=(len(self.graph.inputs) + output, source))

    def _instruction(self, step: Step, offsets: dict[object, int]) -> Instruction:
        if isinstance(step, Move):
            return self._move(step, offsets)
        if isinstance(step, Turns):
            return self._turns(step, offsets)
        if isinstance(step, Next):
            tested = () if step.condition is None else (self._read(step.condition),)
            return Instruction(Opcode.NEXT, tensors=tested, target=step.start)
        if isinstance(step, Mark):
            if step.condition is None:
                return Instruction(Opcode.JUMP, target=step.target)
            source = self._source(step.node.source)
            return Instruction(
                Opcode.JUMP_UNLESS, tensors=(self._read(step.condition),), target=step.target, source=source
            )
        if step.op == "prim::raise":
            return self._raise(step)
        if step in self.builtins:
            return self._builtin(step, self.builtins[step], offsets)
        call = self.calls.get(step)
        return self._call(step, call, offsets) if call else self._guard(step)

    def run(self) -> Emitted:
        """The emitted program."""
        self._source(Source())
        self._place_inputs_and_outputs()
        offsets = self._place_intermediates()
        code = [self._instruction(step, offsets) for step in self.steps]
        code += [self._copy(output, value) for output, value in self.copies]
        code.append(Instruction(Opcode.RETURN))
        checks = (*self._dim_checks(), *self._relation_checks())
        flops, traffic = const(0), const(0)
        turns = [const(1)]  # of the loops around a step together; those while a condition holds count as one
        for step in self.steps:
            if isinstance(step, Turns):
                turns.append(turns[-1] * (const(1) if step.turns is None else step.turns))
            elif isinstance(step, Next):
                turns.pop()
            elif isinstance(step, Node) and step in self.calls:
                call = self.calls[step]
                flops = flops + call.flops * turns[-1]
                for size, buffer in zip(call.sizes, call.kernel.buffers, strict=True):
                    traffic = traffic + size * buffer.dtype.size * turns[-1]
            elif isinstance(step, Node) and step in self.builtins:
                for _, bytes in self._operands(step):
                    traffic = traffic + bytes * turns[-1]
        flops_register, traffic_register = self.ints.at_most(flops), self.ints.at_most(traffic)
        program = Program(
            signature=self.signature,
            formulas=tuple(self.ints.formulas),
            checks=checks,
            tensors=tuple(self.tensors),
            code=tuple(code),
            messages=tuple(self.messages),
            sources=tuple(self.sources),
            arena=self.arena,
            flops=flops_register,
            traffic=traffic_register,
        )
        return Emitted(self._in_runs(program), tuple(self.kernels), self.graph.constants)

    def _relation_checks(self) -> Iterator[Check]:
        for r in self.signature.relations:
            if self.ints.most.keys().isdisjoint((r.left - r.right).symbols):
                text, source = self.reasons.get(replace(r, message=""), (r.message or str(r), Source()))
                yield Check(CHECKS[r.op], self.ints.of(r.left), self.ints.of(r.right), self._message(text, source))

    def _dim_checks(self) -> Iterator[Check]:
        """A check for each dim that a guard fixed. It always holds where the signature does, and tells why that is."""
        for demand, (text, source) in self.reasons.items():
            if isinstance(demand, tuple):
                wanted = self.signature.inputs[demand[0]].type.shape[demand[1]]
                message = self._message(text, source)
                yield Check(CheckOp.EQ, self.ints.size(demand), self.ints.of(wanted), message)

    def _in_runs(self, program: Program) -> Program:
        """The program with its int registers in their final order."""
        final, spans = self.ints.layout()

        def moved(i: Instruction) -> Instruction:
            i = replace(i, ints=tuple(final[r] for r in i.ints))
            if i.opcode is Opcode.CALL:
                i = replace(i, extent=final[i.extent], grain=None if i.grain is None else final[i.grain])
            if i.count:
                first, count = spans[i.count]
                i = replace(i, first=first, count=count)
            return i

        def placed(t: TensorRegister) -> TensorRegister:
            index = final[t.index] if t.place is Place.ARENA else t.index
            return replace(t, index=index, dims=tuple(final[d] for d in t.dims), bytes=final[t.bytes])

        return replace(
            program,
            formulas=tuple(self.ints.formulas),
            checks=tuple(replace(c, left=final[c.left], right=final[c.right]) for c in program.checks),
            tensors=tuple(map(placed, program.tensors)),
            code=tuple(map(moved, program.code)),
            arena=final[program.arena],
            flops=final[program.flops],
            traffic=final[program.traffic],
        )
