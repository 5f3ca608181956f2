"""One recorded call: sets the stage, runs the callable, and puts everything back."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from unmoor.capture.conversions import Conversions
from unmoor.capture.dims import named_dims, told
from unmoor.capture.encoders import dense_encoders
from unmoor.capture.gradients import Differentiates, Gradients
from unmoor.capture.guards import Guards
from unmoor.capture.methods import Interception, active, bound_before
from unmoor.capture.modules import (
    Modules,
    PathHooks,
    Rebound,
    Snapshot,
    acts_in_training,
    class_name,
    in_training,
    warn_training_mode,
)
from unmoor.capture.numbers import Float, Int
from unmoor.capture.outside import Outside
from unmoor.capture.reads import ReadsMode
from unmoor.capture.recorder import Recorder, RecordingMode, dtype_of
from unmoor.capture.refusals import refuse
from unmoor.capture.script.graphs import library_of
from unmoor.capture.script.interpreter import Interpreter
from unmoor.capture.signs import PATTERNS, check_signs
from unmoor.capture.source import source_of, user_frame
from unmoor.capture.state import Watch
from unmoor.capture.structure import flatten, is_still, is_tensor, paths, pinned, rebuild
from unmoor.capture.tape import Misled, Tape
from unmoor.capture.torch_private import below_autograd, script_parameters, torch_tape, without_torch_compile
from unmoor.capture.tracks import Track, Tracks, elements
from unmoor.capture.training import Training
from unmoor.capture.twice import Place, check_again, check_other_values, outer_numbers, taken_apart
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.errors import Unsupported
from unmoor.ir.graph import NOWHERE, Arg, Graph, Source, Value, values_of
from unmoor.ir.program import GENERATOR
from unmoor.ir.recording import ExampleTensor, Froze, RecordedState, Recording
from unmoor.ir.signature import Mapping as MappingOf
from unmoor.ir.signature import Sequence as SequenceOf
from unmoor.ir.signature import Structure


@dataclass(frozen=True, eq=False)
class Call:
    """A call to record. `mode` puts the modules of `fn` into "train" or "eval" mode for it; "" leaves them.

    `decisions` say how its first guards go, whatever the values are; `dims` what the user says of the inputs' dims.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    mode: str = ""
    decisions: tuple[bool, ...] = ()
    dims: object = None


def record_calls(calls: Sequence[Call]) -> list[Recording]:
    """The recordings of several calls, which share their state; see `unmoor.capture.record`."""
    for call in calls:
        _check_recordable(call.fn)
        if not call.mode and not call.decisions:
            warn_training_mode(Modules(call.fn))
    with Conversions() as conversions:
        return _record_calls(calls, conversions)


def _record_calls(calls: Sequence[Call], conversions: Conversions) -> list[Recording]:
    """The recordings of calls; a run is made again where a tensor from outside that it writes must be state from the
    start, and where functions that convert sizes must run with other code."""
    states: list[StateTensor] = []
    training = Training()
    while True:
        plain: set[CodeType] = set()
        found: list[StateTensor] = []
        recordings = []
        training.grown = False
        try:
            for number, call in enumerate(calls):
                trace = _Trace(call.fn, tuple(states), call.decisions, call.dims, training, number)
                with _in_mode(trace.modules, call.mode):
                    recordings.append(trace.run(call.args, call.kwargs))
                known = {id(s.tensor) for s in found} | ({GENERATOR} & {s.name for s in found})
                found += [s for s in trace.found.values() if id(s.tensor) not in known and s.name not in known]
                plain |= trace.recorder.guards.plain
                trace.tracks.forget()
        except Differentiates:
            training.on = True
            continue
        learnt = conversions.learn(plain)
        if training.grown:  # from another start, other tensors are state
            states = []
        elif not found and not learnt:
            return recordings
        else:
            states += found


@contextmanager
def _in_mode(modules: Modules, mode: str) -> Iterator[None]:
    before = [(module, module.training) for _, module in modules.every() if hasattr(module, "training")]
    try:
        for module, _ in before if mode else ():
            module.training = mode == "train"
        yield
    finally:
        for module, training in before:
            module.training = training


def _check_recordable(fn: Callable[..., Any]) -> None:
    if torch.get_default_dtype() is not torch.float32:
        raise Unsupported(
            f"torch's default dtype is {torch.get_default_dtype()}; traces are made under float32: "
            "call torch.set_default_dtype(torch.float32) before tracing"
        )
    if active() is not None:
        raise Unsupported("a trace was started inside a trace; trace the inner function on its own")


@dataclass(frozen=True, eq=False)
class StateTensor:
    """A tensor from outside that the call changes: a buffer, a parameter, or what a closure holds."""

    tensor: torch.Tensor
    name: str
    origin: str


class _Trace:
    """The parts of one recording."""

    def __init__(
        self,
        fn: Callable[..., Any],
        states: tuple[StateTensor, ...],
        decisions: tuple[bool, ...],
        dims: object,
        training: Training,
        number: int,
    ) -> None:
        self.fn, self.states, self.dims = fn, states, dims
        self.training, self.number = training, number
        self.found: dict[int, StateTensor] = {}  # what turned out to be state
        self.modules = Modules(fn)
        self.hooks = PathHooks(self.modules)
        self.tape = Tape(self.where, decisions)
        self.tracks = Tracks(self.tape, self.modules.describe)
        self.recorder = Recorder(self.tape, self.tracks, Guards(self.tape))
        if training.on:
            self.recorder.gradients = Gradients(self.recorder, training)
        self.script = Interpreter(self.recorder, library_of(fn), self.modules.know_constant)
        self.recorder.script = lambda f, args, kwargs: self.script.call(f, args, kwargs, self._path_of(f))
        self.tape.condition = self.script.condition

    def _path_of(self, called: Any) -> str:
        """The path of the module that a method of TorchScript belongs to."""
        owner = getattr(called, "owner", None)
        return self.hooks.path if owner is None else self.modules.scripted.get(hash(owner), self.hooks.path)

    def where(self) -> Source:
        return self.script.source() or source_of(user_frame(), self.hooks.path)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
        arguments, leaves = flatten((args, kwargs), "the arguments")
        named = _named_arguments(self.fn, arguments)
        leaves, example = self._inputs(leaves, tuple(paths(named, "")))
        for name, value in pinned(named, ""):
            self.tape.assume(Froze.ARGUMENT, f"the argument {name} is {value!r} in every call", True, NOWHERE)
        for node in named_dims(self.dims, [self.tracks.of(leaf).value for leaf in leaves], example):
            self.tape.nodes.append(node)
            text = f"the dims of {node.args[1]} are {told(node)}, as `dims` says"
            self.tape.assume(Froze.SIZE, text, True, NOWHERE)
        with self._in_training():
            return self._recorded(arguments, named, leaves, example)

    def _in_training(self) -> AbstractContextManager[None]:
        """A context in which optimisers and gradients are kept as they are, where the program has them."""
        if not self.training.on:
            return nullcontext()
        return self.training.run(self.recorder, self.modules, self.number)

    def _recorded(
        self, arguments: Structure, named: MappingOf, leaves: list[Any], example: tuple[ExampleTensor, ...]
    ) -> Recording:
        states = tuple(self._add_state(s) for s in self.states)
        inputs = [self.tracks.of(leaf) for leaf in leaves] + [self.tracks.of(s.tensor) for s in self.states]
        self.tracks.inputs = inputs
        outside_now = Outside(self.fn, self.modules, self.tracks)
        watch = Watch(self.recorder, outside_now, self.script, _Trace._call.__code__)
        self.tape.state = watch.held
        values = tuple(track.value for track in inputs)
        example += tuple(ExampleTensor(s.name, dtype_of(s.tensor), tuple(s.tensor.shape), True) for s in self.states)
        outside = outer_numbers(self.fn)
        with _kept_as_it_is(self.modules, self.tape, self.tracks) as (snapshot, left):
            call = rebuild(arguments, leaves)
            result = self._call(*call)
            self._check_arguments(named, call, leaves)
            first = taken_apart(result)
            left_behind = taken_apart(result, call, [s.tensor for s in self.states])
            structure, outputs, returned = self._outputs(result)
            self.recorder.advance()
            left_in_python = self.training.finish() if self.training.on else []
            rebound = self._rebound([*snapshot.rebound(), *self.script.heap.rebound(), *left_in_python])
            changed = [k for k, track in enumerate(inputs) if track.version or id(track.tensor) in rebound]
            self._assume_rebound(inputs, rebound)
            used = self._used(outputs) | {values[k] for k in changed}
            dropped = [k for k in range(len(leaves), len(inputs)) if values[k] not in used]
            if not self.found:
                changed = [k - sum(d < k for d in dropped) for k in changed]
                inputs, values, example = (_without(run, dropped) for run in (inputs, values, example))
                states = _without(states, [k - len(leaves) for k in dropped])
            returned += tuple(example[k] for k in changed)
            with torch.no_grad():
                outputs += tuple(rebound.get(id(inputs[k].tensor)) or self.tracks.read(inputs[k]) for k in changed)
        left.update(self._left_by_script())
        if not self.found:
            self._call_again(rebuild(arguments, leaves), left_behind, left, outside)
            self._turn_signs(rebuild(arguments, leaves), first)
        self._assume_modules()
        graph = Graph(
            re.sub(r"\W", "", _name(self.fn)) or type(self.fn).__name__,  # "<lambda>" is no name
            values,
            tuple(self.tape.constants),
            self.tape.kept(),
            outputs,
        )
        return Recording(
            graph,
            arguments,
            structure,
            example,
            self.tape.assumptions,
            _parameters(self.fn),
            returned,
            states,
            tuple(changed),
            source_of(user_frame()),
            tuple(self.tape.nodes),
            self.tape.held,
            frozenset(self.tape.writes),
        )

    def _check_arguments(self, named: MappingOf, call: tuple[Any, Any], leaves: Sequence[Any]) -> None:
        """Unsupported where the call changed a list, dict or object that it was given: a traced call does not."""
        for name, wanted, given in zip(named.keys, named.items, (*call[0], *call[1].values()), strict=True):
            if not is_still(wanted, given, leaves):
                raise Unsupported(
                    f"the call changes the argument {name}, a {type(given).__name__}: it is given or loses a part, "
                    "which a traced call would not do. Work on a copy and return that: trace a function that calls "
                    f"yours with copy.deepcopy({name.partition('.')[0]})"
                )

    def _left_by_script(self) -> dict[str, Place]:
        """The attributes that TorchScript changed and that are no state of the trace."""
        states = _names_of_states(self.tracks)
        left = {name: place for name, place in self.script.heap.left().items() if name not in states}
        for name in left:
            self.tape.assume(Froze.STATE, _attribute_changed(name), source=NOWHERE)
        return left

    def _call_again(self, call: Any, first: Any, left: dict[str, Place], outside: dict[str, Any]) -> None:
        """Where the call changed Python state: Unsupported if a second call, from that state, gives something else."""
        now = outer_numbers(self.fn)
        names = [*left, *(name for name in {**outside, **now} if now.get(name) != outside.get(name))]
        if not names:
            return
        if self.tape.decisions:
            raise Misled  # a second call would not go the same way
        tape = Tape(self.where)
        kept = [(state.tensor, state.tensor.detach().clone()) for state in self.states]
        random_state = torch.get_rng_state()
        places, tensors = list(left.values()), [state.tensor for state in self.states]
        kept_as_it_is = _kept_as_it_is(self.modules, tape, Tracks(tape, self.modules.describe))
        with self._in_training(), kept_as_it_is as (snapshot, _), torch.set_grad_enabled(self.training.on):

            def restart() -> None:
                snapshot.restore()
                self.script.heap.restore()
                torch.set_rng_state(random_state)
                for tensor, before in kept:
                    tensor.detach().copy_(before)

            try:
                check_again(self.fn, call, first, places, names, tensors)
                restart()
                if len(names) == len(left):
                    check_other_values(self.fn, call, places, names, tensors, restart)
            finally:
                restart()

    def _turn_signs(self, call: Any, first: Any) -> None:
        """Where the call computed vectors whose signs are free: Unsupported if they change the result."""
        if not self.recorder.vectors or self.tape.decisions:
            return
        tape = Tape(self.where)
        kept = [(state.tensor, state.tensor.detach().clone()) for state in self.states]
        for pattern in PATTERNS:
            with _kept_as_it_is(self.modules, tape, Tracks(tape, self.modules.describe)), torch.no_grad():
                try:
                    check_signs(self.fn, call, first, pattern, self.recorder.vectors[0])
                finally:
                    for tensor, before in kept:
                        tensor.detach().copy_(before)

    def _used(self, outputs: tuple[Arg, ...]) -> set[Value]:
        """What the recording reads."""
        used = {value for node in self.tape.nodes for value in node.used}
        return used | set(values_of(outputs))

    def _add_state(self, state: StateTensor) -> RecordedState:
        """Makes a tensor an input that the session gives."""
        data = np.array(elements(state.tensor), order="C", copy=True)
        data.setflags(write=False)
        if state.name == GENERATOR:
            self.recorder.generator = self.tracks.add(state.tensor, self.tape.value("random"), "state", state.origin)
            return RecordedState(state.name, data, state.origin)
        self.tracks.add(state.tensor, self.tape.value(state.name), "state", state.origin)
        return RecordedState(state.name, data, state.origin)

    def _rebound(self, attributes: Sequence[Rebound]) -> dict[int, Value]:
        """The new values of states that got another tensor (`self.h = h`); others of that kind become state."""
        for track in self.tracks.written.values():
            self._found(track.tensor, "", track.origin)
        generator = self.recorder.generator
        if generator is not None and all(s.name != GENERATOR for s in self.states):
            tensor = generator.tensor
            self.found[id(tensor)] = StateTensor(torch.zeros_like(tensor), GENERATOR, "the random number generator")
        values: dict[int, Value] = {}
        known = {id(s.tensor) for s in self.states}
        for attribute in attributes:
            old, new = attribute.old, attribute.new
            read = self.tracks.known(old) is not None
            if not read and not attribute.is_buffer:
                continue
            if old.is_complex() or new.is_complex():
                raise refuse(
                    self.where(),
                    f"the call changes the complex tensor {attribute.name}",
                    "keep its torch.view_as_real as state",
                )
            if old.shape != new.shape or old.dtype != new.dtype:
                if read and not self.tracks.of(new).fixed:
                    raise refuse(
                        self.where(),
                        f"the call gives {attribute.name} a tensor of another shape or dtype, {_shown(new)} in place "
                        f"of {_shown(old)}; state keeps its shape",
                        "keep it in a buffer of fixed size, or pass it in and return it",
                    )
            elif id(old) not in known:
                self._check_one_owner(attribute.name, old, new)
                self._found(old, attribute.name, f"tensor {attribute.name}")
            else:
                self._check_one_owner(attribute.name, old, new)
                for axis, size in enumerate(new.shape):
                    number = self.recorder.size(new, axis, size)
                    if isinstance(number, Int):
                        number.node.pin()
                value, state = self.recorder.argument(new), self.recorder.argument(old)
                assert isinstance(value, Value) and isinstance(state, Value)
                if not self.tracks.of(new).fixed:  # of the state's sizes, also where they come out of data
                    (value,) = self.tape.emit("aten::view_as", (value, state))
                values[id(old)] = value
        return values

    def _check_one_owner(self, name: str, old: torch.Tensor, new: torch.Tensor) -> None:
        """Unsupported where a state gets the memory of another one, and writes to the one show in the other."""
        owner = self.tracks.sharing(new)
        if owner is None or owner.root.kind not in ("state", "buffer", "parameter", "outside"):
            return
        root, own = owner.root, self.tracks.known(old)
        if root is not own and (root.version or (own is not None and own.version)):
            raise refuse(
                self.where(),
                f"the call gives {name} the memory of {root.origin or 'another tensor that is kept'}, and writes in "
                "place to one of them: in later calls a write to the one would show in the other",
                "give it a copy (.clone())",
            )

    def _assume_rebound(self, inputs: list[Track], rebound: dict[int, Value]) -> None:
        for track in inputs:
            if id(track.tensor) in rebound and not track.version:
                text = f"the call gives {track.origin} a new tensor: it is state of the session"
                self.tape.assume(Froze.STATE, text, True, NOWHERE)

    def _found(self, tensor: torch.Tensor, name: str, origin: str) -> None:
        _, own, described = self.modules.describe(tensor)
        taken = {s.name for s in (*self.states, *self.found.values())}
        wanted = own or name or "state"
        name, n = wanted, 1
        while name in taken:
            name, n = f"{wanted}.{n}", n + 1
        self.found.setdefault(id(tensor), StateTensor(tensor, name, described if own else origin))

    def _inputs(
        self, leaves: list[Any], names: tuple[str, ...]
    ) -> tuple[list[torch.Tensor], tuple[ExampleTensor, ...]]:
        """Stand-ins for the input tensors, each with an identity of its own, and their descriptions."""
        stand_ins, example = [], []
        for leaf, name in zip(leaves, names, strict=True):
            if not isinstance(leaf, torch.Tensor):
                raise Unsupported(f"the argument {name} is a NumPy array; pass torch.from_numpy(...) of it")
            self.tracks.check_dtype(leaf, self.where())
            if leaf.is_complex():
                raise Unsupported(
                    f"the argument {name} is {_shown(leaf)}: pass torch.view_as_real of it, and begin the traced "
                    f"function with torch.view_as_complex({name})"
                )
            stand_in = leaf.detach().requires_grad_(leaf.requires_grad)
            self.tracks.add(stand_in, self.tape.value(name), "input", f"argument {name}")
            stand_ins.append(stand_in)
            example.append(ExampleTensor(name, dtype_of(leaf), tuple(leaf.shape), contiguous=leaf.is_contiguous()))
        return stand_ins, tuple(example)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = self.recorder
        reads = ReadsMode(recorder, bound_before())
        with ExitStack() as stack:
            stack.enter_context(without_torch_compile())
            stack.enter_context(below_autograd() if recorder.gradients is None else torch_tape(False))
            stack.enter_context(Interception(recorder))
            stack.callback(register_optimizer_step_pre_hook(self._steps).remove)
            stack.callback(self.hooks.remove)
            self.hooks.install(lambda: active() is recorder)
            stack.enter_context(RecordingMode(recorder))
            stack.enter_context(reads)
            recorder.quiet = False
            try:
                return self.fn(*args, **kwargs)
            finally:
                recorder.quiet = True

    def _steps(self, optimiser: Optimizer, args: object, kwargs: object) -> None:
        if active() is self.recorder:
            with self.recorder.silence():
                self.recorder.differentiates().training.steps(optimiser)

    def _outputs(self, result: Any) -> tuple[Structure, tuple[Arg, ...], tuple[ExampleTensor | None, ...]]:
        structure, leaves = flatten(result, "the result", lambda v: is_tensor(v) or isinstance(v, (Int, Float)))
        if any(isinstance(leaf, np.ndarray) for leaf in leaves):
            raise Unsupported("the traced function returns a NumPy array; return the torch tensor")
        for name, leaf in zip(paths(structure, "result"), leaves, strict=True):
            if isinstance(leaf, torch.Tensor) and leaf.is_complex():
                raise Unsupported(
                    f"{name} is {_shown(leaf)}: return torch.view_as_real of it, and torch.view_as_complex of what a "
                    "call gives"
                )
        if not leaves:
            self.tape.assume(Froze.OUTSIDE, "the result holds no tensor: it is the same for every input")
        returned = tuple(_described(name, leaf) for name, leaf in zip(paths(structure, "result"), leaves, strict=True))
        return structure, tuple(map(self._output, leaves)), returned

    def _output(self, leaf: Any) -> Arg:
        """What the graph returns: a tensor, or a number as a tensor of rank 0."""
        value = self.recorder.argument(leaf)
        if isinstance(leaf, (Int, Float)):
            return self.tape.emit("aten::full", ((), value, _NUMBERS[type(leaf)]))[0]
        return value

    def _assume_modules(self) -> None:
        if not self.modules.roots:
            return
        weights = sum(c.origin.startswith(("parameter ", "buffer ")) for c in self.tape.constants)
        if weights:
            text = f"{weights} parameters and buffers are kept as they were at the trace"
            self.tape.assume(Froze.OUTSIDE, text, source=NOWHERE)
        for name, module in self.modules.roots.items():
            mode = "training" if in_training(module) else "eval"
            text = f"{name or class_name(module)} was traced in {mode} mode (modes=('eval', 'train') keeps both)"
            self.tape.assume(Froze.MODE, text, source=NOWHERE)
        mixed = [p for p, m in self.modules.every() if p and in_training(m) and not acts_in_training(m)]
        if mixed and not any(in_training(m) for m in self.modules.roots.values()):
            self.tape.assume(Froze.MODE, f"in training mode were: {', '.join(mixed)}", source=NOWHERE)


def _without(run: Any, dropped: list[int]) -> Any:
    return type(run)(item for k, item in enumerate(run) if k not in dropped)


def _shown(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


_NUMBERS = {Int: BY_TORCH_NAME["int64"], Float: BY_TORCH_NAME["float64"]}


def _described(name: str, leaf: Any) -> ExampleTensor | None:
    if type(leaf) in _NUMBERS:
        return ExampleTensor(name, _NUMBERS[type(leaf)], ())
    if not isinstance(leaf, torch.Tensor) or str(leaf.dtype).removeprefix("torch.") not in BY_TORCH_NAME:
        return None
    return ExampleTensor(name, dtype_of(leaf), tuple(leaf.shape))


@contextmanager
def _kept_as_it_is(modules: Modules, tape: Tape, tracks: Tracks) -> Iterator[tuple[Snapshot, dict[str, Place]]]:
    """Leaves modules, their tensors, the inputs, random number generators and torch's global switches as they were.

    The dict it gives holds, afterwards, the attributes that the call changed and that are no state of the trace.
    """
    left: dict[str, Place] = {}
    snapshot = Snapshot(modules)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        with dense_encoders():
            yield snapshot, left
    finally:
        tracks.restore()
        if random.getstate() != states[1] or not _same_random(np.random.get_state(), states[2]):
            text = "random numbers of Python or NumPy were drawn, and are kept as they were"
            tape.assume(Froze.RANDOM, text, source=NOWHERE)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])
        states_now = _names_of_states(tracks)
        left.update({name: place for name, place in snapshot.restore().items() if name not in states_now})
        for name in left:
            if "_hooks" in name:  # each with the attribute that says that it is there
                continue
            tape.assume(Froze.STATE, _attribute_changed(name), source=NOWHERE)


def _names_of_states(tracks: Tracks) -> set[str]:
    return {t.origin.partition(" ")[2] for t in tracks.states()}


def _attribute_changed(name: str) -> str:
    return f"the call changes the attribute {name}; a traced call does not"


def _same_random(now: Any, before: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(now, before, strict=True))


def _name(fn: Callable[..., Any]) -> str:
    if isinstance(fn, torch.jit.ScriptModule):
        return str(fn.original_name)
    return str(getattr(fn, "__name__", ""))


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(fn.forward if isinstance(fn, torch.nn.Module) else fn)
    except (TypeError, ValueError):
        return None


def _parameters(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the positional parameters."""
    scripted = script_parameters(getattr(fn, "forward", fn))
    if scripted is not None:
        return scripted
    signature = _signature(fn)
    if signature is None:
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in signature.parameters.values() if p.kind in kinds)


def _named_arguments(fn: Callable[..., Any], arguments: Structure) -> MappingOf:
    """The structure of the arguments by parameter name; leaves stay in their order."""
    assert isinstance(arguments, SequenceOf)
    positional, keywords = arguments.items
    assert isinstance(positional, SequenceOf) and isinstance(keywords, MappingOf)
    names = list(_parameters(fn)[: len(positional.items)])
    rest = next((p.name for p in _all_parameters(fn) if p.kind is inspect.Parameter.VAR_POSITIONAL), "args")
    names += [f"{rest}.{i}" for i in range(len(positional.items) - len(names))]
    return MappingOf((*names, *keywords.keys), (*positional.items, *keywords.items))


def _all_parameters(fn: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    signature = _signature(fn)
    return () if signature is None else tuple(signature.parameters.values())
