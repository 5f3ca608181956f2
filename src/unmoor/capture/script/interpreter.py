"""The interpreter: runs TorchScript graphs node by node under capture, on tensors, numbers, lists and objects."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from unmoor.capture.contents import Contents, Untold
from unmoor.capture.recorder import Recorder
from unmoor.capture.script.arithmetic import is_symbolic, pinned, symbolic, without_data
from unmoor.capture.script.boundary import bound, holds_object, is_of
from unmoor.capture.script.containers import on_container
from unmoor.capture.script.graphs import Block, Library, Prepared, Receiver, Step, callee_of
from unmoor.capture.script.heap import Heap, Made
from unmoor.capture.script.tensors import OF_NUMBERS, OF_TENSORS, OTHER_NAMES, Numbers
from unmoor.capture.torch_private import (
    bare_call,
    is_dispatched,
    named_tuple,
    run_alone,
    schema_of,
)
from unmoor.errors import Unsupported
from unmoor.ir.graph import Source
from unmoor.ir.recording import Froze

TURNS = 10_000


@dataclass(eq=False)
class Frame:
    """A running graph: its values by number, where it is, and the turns of the loops that it is in."""

    graph: Prepared
    path: str
    values: dict[int, Any] = field(default_factory=dict)
    step: Step | None = None
    turns: list[tuple[int, int, Any]] = field(default_factory=list)  # (step, turn, turns in all)
    asked: int = 0  # guards in this step

    def value(self, number: int) -> Any:
        return self.values[number] if number in self.values else self.graph.constants[number]


class Interpreter:
    """TorchScript in one trace."""

    def __init__(self, recorder: Recorder, library: Library, know: Callable[[torch.Tensor, str], None]) -> None:
        self.recorder, self.library, self.know = recorder, library, know
        self.heap = Heap(library, know)
        self.numbers = Numbers()
        self.frames: list[Frame] = []
        self._in_python = 0  # calls from TorchScript into Python that are running
        self._known: set[int] = set()
        self._grad: list[bool] = []

    # -- calls --------------------------------------------------------------------------------
    def call(self, called: Any, args: tuple[Any, ...], kwargs: dict[str, Any], path: str) -> Any:
        """A call from Python of a function or a method of TorchScript."""
        receiver = None
        if hasattr(called, "owner"):
            receiver = self.library.receiver(called.owner, path)
            graph = self.library.method(receiver, called.name)
        else:
            graph = self.library.function(called)
        outer, self._in_python = self._in_python, 0
        given = [self._given(a) for a in args]
        named = {name: self._given(a) for name, a in kwargs.items()}
        try:
            (result,) = self._run(graph, bound(called.schema, given, named, receiver), path)
        finally:
            self._in_python = outer
        if holds_object(result):
            raise self.recorder.refusal("a call of TorchScript gives Python an object of its own", "return its tensors")
        return result

    def _given(self, value: Any) -> Any:
        """An argument; a module, which hooks are given, as its object."""
        return self.library.receiver(value._c, "") if isinstance(value, torch.jit.ScriptModule) else value

    def _run(self, graph: Prepared, args: list[Any], path: str) -> list[Any]:
        if id(graph) not in self._known:
            self._known.add(id(graph))
            for name, tensor in graph.named:
                self.know(tensor, name)
        frame = Frame(graph, path)
        self.frames.append(frame)
        try:
            frame.values.update(zip(graph.block.inputs, args, strict=True))
            return self._block(frame, graph.block)
        finally:
            self.frames.pop()

    def _block(self, frame: Frame, block: Block) -> list[Any]:
        for step in block.steps:
            frame.step, frame.asked = step, 0
            if step.kind == "prim::If":
                chosen = step.blocks[0 if frame.value(step.inputs[0]) else 1]
                results = self._block(frame, chosen)
            elif step.kind == "prim::Loop":
                results = self._loop(frame, step)
            else:
                args = [frame.value(n) for n in step.inputs]
                made = self._perform(step, args)
                results = [made] if len(step.outputs) == 1 else list(made) if step.outputs else []
            frame.values.update(zip(step.outputs, results, strict=True))
        return [frame.value(n) for n in block.outputs]

    def _loop(self, frame: Frame, step: Step) -> list[Any]:
        limit, go, *carried = (frame.value(n) for n in step.inputs)
        limit = pinned(limit)
        (body,) = step.blocks
        turn = 0
        while go and turn < limit:
            if turn == TURNS:
                raise self.recorder.refusal(f"a loop of more than {TURNS} turns is not supported", "use tensor ops")
            frame.turns.append((step.number, turn, limit))
            frame.values.update(zip(body.inputs, [turn, *carried], strict=True))
            go, *carried = self._block(frame, body)
            frame.turns.pop()
            turn += 1
        frame.step = step
        return carried

    # -- one node -----------------------------------------------------------------------------
    def _perform(self, step: Step, args: list[Any]) -> Any:
        if step.kind in _NODES:
            return _NODES[step.kind](self, step, args)
        first = args[0] if args else None
        tensors = any(map(_holds_tensor, args))
        if isinstance(first, torch.Tensor):
            perform = OTHER_NAMES.get(step.overload) or OF_TENSORS.get(step.kind)
            if perform is not None:
                return perform(self, args)
        elif step.kind in OF_NUMBERS and not tensors:
            return OF_NUMBERS[step.kind](self, args)
        if is_dispatched(step.overload):
            return self._dispatch(step, args)
        function = on_container(step.kind, args)
        if function is not None:
            return function(*args)
        if tensors or (step.kind.startswith("prim::") and not step.overload):
            raise self._unknown(step)
        if is_symbolic(args):
            made = symbolic(step.kind, step.overload, args)
            if made is not NotImplemented:
                return made
        return self._of_plain(step, [pinned(a) for a in args])

    def _unknown(self, step: Step) -> Unsupported:
        what = step.overload or step.kind
        return self.recorder.refusal(f"{what}, a node of TorchScript, is not supported", "write it with supported ops")

    def _dispatch(self, step: Step, args: list[Any]) -> Any:
        """An op of torch's dispatcher, recorded as it is in any other program."""
        if holds_object(args):
            raise self._unknown(step)
        overload = _overload(step.overload)
        plain, named = [], {}
        for argument, value in zip(schema_of(overload).arguments, args, strict=False):
            if step.kind != "aten::select" and (step.kind == "aten::arange" or "int" in argument.type.annotation_str):
                value = without_data(value)  # sizes and positions
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                plain.append(value)
        result = bare_call(overload)(*plain, **named)
        self.numbers.follow(self, step.kind, args, result)
        return result

    def _of_plain(self, step: Step, args: list[Any]) -> Any:
        """An op that neither reads nor makes tensors, by torch itself."""
        for value in step.node.outputs():
            if "Tensor" in value.type().annotation_str:
                raise self._unknown(step)
        if step.overload and any(a.alias_info is not None and a.alias_info.is_write for a in _schema(step)):
            raise self._unknown(step)
        if holds_object(args):
            raise self._unknown(step)
        if step.perform is None:
            step.perform = run_alone(step.node)
        with self.recorder.silence():
            return step.perform(*_distinct(step, args))

    @contextmanager
    def python(self) -> Iterator[None]:
        """While it runs, Python code that TorchScript called is the innermost."""
        self._in_python += 1
        try:
            yield
        finally:
            self._in_python -= 1

    # -- where it stands ----------------------------------------------------------------------
    @property
    def running(self) -> bool:
        return bool(self.frames) and not self._in_python

    def source(self) -> Source | None:
        """The line that runs: the innermost that the user wrote, else torch's; None where Python runs."""
        if not self.running:
            return None
        lines = [frame.step.line for frame in reversed(self.frames) if frame.step is not None]
        found = [line for line in lines if line is not None]
        line = next((line for line in found if not line.library), found[0] if found else None)
        return None if line is None else line.source(self.frames[-1].path)

    def condition(self) -> str | None:
        """The text of the expression that runs; None where Python runs."""
        if not self.running:
            return None
        for frame in reversed(self.frames):
            if frame.step is not None and frame.step.line is not None:
                return frame.step.line.expression
        return ""

    def form(self, contents: Contents) -> object:
        """What the interpreter holds at a guard, to compare with other runs. Raises Untold."""
        innermost = self.frames[-1]
        step = innermost.step
        innermost.asked += 1
        if innermost.asked > 1 or step is None:
            raise Untold
        used = () if step.kind in _DECIDES else step.inputs
        return (
            tuple(self._form(contents, innermost.value(n)) for n in used),
            tuple(self._frame(frame, contents) for frame in self.frames),
            self.heap.form(contents),
        )

    def _frame(self, frame: Frame, contents: Contents) -> object:
        assert frame.step is not None
        live = [(n, self._form(contents, frame.values[n])) for n in sorted(frame.step.live) if n in frame.values]
        return (contents.same(frame.graph), frame.step.number, tuple(frame.turns), tuple(live))

    def _form(self, contents: Contents, value: Any) -> object:
        number = self.numbers.of(self, value) if isinstance(value, torch.Tensor) else None
        return contents.form(value) if number is None else (contents.form(value), contents.form(number))


# What gives a condition, and nothing else of its operands.
_DECIDES = frozenset(
    ("aten::Bool", "aten::is_nonzero", "aten::lt", "aten::le", "aten::gt", "aten::ge", "aten::eq", "aten::ne")
)


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensor, value))
    return isinstance(value, torch.Tensor)


def _overload(name: str) -> Any:
    """torch's overload, "aten::add.Tensor"."""
    space, _, rest = name.partition("::")
    op, _, kind = rest.partition(".")
    return getattr(getattr(getattr(torch.ops, space), op), kind or "default")


def _schema(step: Step) -> Any:
    return schema_of(_overload(step.overload)).arguments


def _distinct(step: Step, args: list[Any]) -> list[Any]:
    """The operands of a step, each once: so a graph that does the step alone takes them."""
    return list({number: value for number, value in zip(step.inputs, args, strict=True)}.values())


# -- nodes that are no ops ------------------------------------------------------------------------
def _call_method(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    receiver = args[0]
    if isinstance(receiver, Receiver):
        (result,) = machine._run(machine.library.method(receiver, step.name), args, receiver.path)
    else:
        (result,) = machine._run(callee_of(step), _distinct(step, args), machine.frames[-1].path)
    return result


def _call_function(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    (result,) = machine._run(callee_of(step), _distinct(step, args)[1:], machine.frames[-1].path)
    return result


def _create(machine: Interpreter, step: Step, args: list[Any]) -> Made:
    return Made(step.node.output().type().annotation_str)


def _get_attribute(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    return machine.heap.read(args[0], step.name)


def _set_attribute(machine: Interpreter, step: Step, args: list[Any]) -> None:
    machine.heap.write(args[0], step.name, args[1])


def _tuple(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    type_ = step.node.output().type()
    return named_tuple(type_, tuple(args)) if type_.str().startswith("NamedTuple(") else tuple(args)


def _tuple_slice(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    return tuple(args[0])[step.node.i("beg") : step.node.i("end")]


def _dict(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    return dict(zip(args[::2], args[1::2], strict=True))


def _unpacked(machine: Interpreter, step: Step, args: list[Any]) -> list[Any]:
    items = list(args[0])
    if len(items) != len(step.outputs):
        raise RuntimeError(f"Expected {len(step.outputs)} elements in a list but found {len(items)}")
    return items[0] if len(items) == 1 else items


def _raise(machine: Interpreter, step: Step, args: list[Any]) -> None:
    raise torch.jit.Error(str(args[0]))


def _print(machine: Interpreter, step: Step, args: list[Any]) -> None:
    machine.recorder.tape.assume(Froze.OUTSIDE, "what the program prints, a call does not print")


def _warn(machine: Interpreter, step: Step, args: list[Any]) -> None:
    warnings.warn(str(args[0]), stacklevel=2)


def _is_instance(machine: Interpreter, step: Step, args: list[Any]) -> bool:
    types = step.node.tys("types")
    return any(is_of(args[0], t) for t in types)


def _fork(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    """A task that runs at once: nothing else runs meanwhile."""
    if step.callee is None:
        step.callee = Prepared(step.node.g("Subgraph"))
    (result,) = machine._run(step.callee, args, machine.frames[-1].path)
    return result


def _python(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    """A Python function that the program kept as it is (torch.jit.ignore)."""
    if holds_object(args):
        raise machine.recorder.refusal("a method that stays in Python (torch.jit.ignore) is not supported", "script it")
    function = step.node.pyobj()
    with machine.python():
        return function(*args)


_GRADIENTS = {"no_grad": False, "enable_grad": True, "inference_mode": False}


def _enter(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    owner = args[0]
    name = owner.type_name.rpartition(".")[2] if isinstance(owner, Made) else ""
    if name not in _GRADIENTS or ".torch." not in owner.type_name:
        raise machine.recorder.refusal("a `with` block of TorchScript is not supported", "only torch.no_grad() is")
    machine._grad.append(torch.is_grad_enabled())
    torch.set_grad_enabled(_GRADIENTS[name])
    return None


def _exit(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    torch.set_grad_enabled(machine._grad.pop())
    return None


def _set_grad(machine: Interpreter, step: Step, args: list[Any]) -> None:
    torch.set_grad_enabled(args[0])


def _dense_constant(machine: Interpreter, step: Step, args: list[Any]) -> Any:
    """A weight in oneDNN's layout."""
    if step.perform is None:
        with machine.recorder.silence():
            weight = step.node.t("value").to_dense()
        step.perform = lambda: weight
    weight = step.perform()
    machine.know(weight, step.node.output().debugName())
    return weight


def _refused(what: str, way_out: str) -> Callable[[Interpreter, Step, list[Any]], Any]:
    def refused(machine: Interpreter, step: Step, args: list[Any]) -> Any:
        raise machine.recorder.refusal(what, way_out)

    return refused


_NODES: dict[str, Callable[[Interpreter, Step, list[Any]], Any]] = {
    "prim::CallMethod": _call_method,
    "prim::CallFunction": _call_function,
    "prim::CreateObject": _create,
    "prim::GetAttr": _get_attribute,
    "prim::SetAttr": _set_attribute,
    "prim::ListConstruct": lambda machine, step, args: args,
    "prim::TupleConstruct": _tuple,
    "prim::TupleSlice": _tuple_slice,
    "prim::DictConstruct": _dict,
    "prim::ListUnpack": _unpacked,
    "prim::TupleUnpack": _unpacked,
    "aten::dict": lambda machine, step, args: dict(*args),
    "prim::RaiseException": _raise,
    "prim::Uninitialized": lambda machine, step, args: None,
    "prim::Print": _print,
    "aten::warn": _warn,
    "prim::isinstance": _is_instance,
    "prim::fork": _fork,
    "aten::wait": lambda machine, step, args: args[0],
    "prim::PythonOp": _python,
    "prim::Enter": _enter,
    "prim::Exit": _exit,
    "aten::set_grad_enabled": _set_grad,
    "aten::is_grad_enabled": lambda machine, step, args: torch.is_grad_enabled(),
    "prim::ConstantMKLDNNTensor": _dense_constant,
    "aten::_get_tracing_state": lambda machine, step, args: False,
    "aten::is_scripting": lambda machine, step, args: True,
}
