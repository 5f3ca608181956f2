"""The recorder: for every op that torch dispatches, runs it for real and puts it on the tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from unmoor import ops
from unmoor.capture import running_statistics
from unmoor.capture.behind import number_behind, rests_on_sizes
from unmoor.capture.draws import DROPOUTS, draws, record_draw
from unmoor.capture.gradients import Differentiates, Gradients
from unmoor.capture.guards import Guards
from unmoor.capture.layout import Layout
from unmoor.capture.memory import as_strided, crossing
from unmoor.capture.numbers import Float, Int, Number, number_of, wrap
from unmoor.capture.refusals import higher_order, refuse, unknown_op
from unmoor.capture.rewritten import each, written
from unmoor.capture.schemas import IDENTITIES, OVERWRITES, READS, Plan, bind, plan
from unmoor.capture.signs import WITH_SIGNS
from unmoor.capture.tape import Tape
from unmoor.capture.through import Derivation
from unmoor.capture.torch_private import OpOverload, TorchDispatchMode, torch_tape
from unmoor.capture.tracks import Track, Tracks
from unmoor.capture.typecheck import check_type
from unmoor.dtypes import BY_TORCH_NAME, DType
from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Node, Source, Value
from unmoor.ir.recording import Froze
from unmoor.ir.types import TENSOR

# Ops that share their argument's memory or copy it, as its strides and dtype ask.
LOOSE = frozenset(("aten::reshape", "aten::contiguous", "aten::flatten", "aten::to", "aten::ravel", "aten::reshape_as"))
# Ops that are views where they share memory at all, though torch's schemas do not say so.
VIEWS = DROPOUTS | frozenset(
    ("aten::to", "aten::einsum", "aten::expand_as", *(f"aten::atleast_{n}d" for n in (1, 2, 3)))
)
UNTOLD = "aten::sum_to_size"  # shares memory where there is nothing to sum, which hangs on sizes
COLUMNS = ("aten::nonzero_numpy", "aten::where_places")  # a tensor for each axis
PIECES = frozenset(("aten::unbind", "aten::split", "aten::chunk", *COLUMNS))


def dtype_of(tensor: torch.Tensor) -> DType:
    return BY_TORCH_NAME[str(tensor.dtype).removeprefix("torch.")]


class Recorder:
    """One recording in progress. `quiet` is on while our own code works on tensors: nothing is recorded then."""

    def __init__(self, tape: Tape, tracks: Tracks, guards: Guards) -> None:
        self.tape = tape
        self.tracks = tracks
        self.guards = guards
        self.layout = Layout(tape, tracks, guards)
        tracks.shares = self.layout.shares
        self.quiet = True
        self.script: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]  # interprets a call of TorchScript
        self.generator: Track | None = None  # the session's random number generator, once the run draws
        self.draws = 0
        self.vectors: list[Source] = []  # where vectors were computed whose signs are free
        self.random_state = torch.get_rng_state()  # torch's, after what has been recorded
        self.gradients: Gradients | None = None  # of a program that computes some

    @contextmanager
    def silence(self) -> Iterator[None]:
        before, self.quiet = self.quiet, True
        try:
            with self.tape_of_torch(True):
                yield
        finally:
            self.quiet = before

    def differentiates(self) -> Gradients:
        """What gradients flow through. Raises Differentiates where the run is made without them."""
        if self.gradients is None:
            raise Differentiates
        return self.gradients

    def tape_of_torch(self, on: bool) -> AbstractContextManager[None]:
        """Where gradients are computed, real ops go on torch's autograd tape, and those of the program pass it by."""
        return nullcontext() if self.gradients is None else torch_tape(on)

    def aloud(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call torch or the program with recording on, from a place where it is off."""
        self.quiet = False
        try:
            with self.tape_of_torch(False):
                return function(*args, **kwargs)
        finally:
            self.quiet = True

    @contextmanager
    def block(self, nodes: list[Node], trial: bool = False) -> Iterator[None]:
        """What the program does in this context becomes `nodes`, a block of a branch or loop."""
        settled = set(self.layout.settled)
        try:
            with self.tracks.block(), self.tape.block(nodes, trial):
                yield
        finally:
            self.layout.settled = settled

    def refusal(self, what: str, way_out: str = "") -> Unsupported:
        return refuse(self.tape.where(), what, way_out)

    # -- one op -------------------------------------------------------------------------------
    def dispatch(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run and record one op; what cannot be recorded is refused before it runs."""
        p = plan(func)
        if func.namespace == "profiler":  # marks of a profile: nothing that a result depends on
            return self.run(func, args, kwargs)
        if p.overload == "detach_.default" and self.gradients is not None:
            return self.run(func, args, kwargs)
        if p.overload in IDENTITIES:
            if p.overload == "lift_fresh.default" and self.tracks.known(args[0]) is None:
                self.tracks.adopt(args[0], made=True)
            if not (args[0].is_conj() or args[0].is_neg()):
                return args[0]
            resolved = self.run(func, args, kwargs)  # what was conjugated in name only becomes a tensor of its own
            return self.record("aten::clone", (self.argument(args[0]),), [args[0]], resolved, False)
        if p.overload == "detach.default" and self.tracks.of(args[0]).kind == "created":
            return self._handed_out(args[0])
        if p.overload in READS:
            return self._read_from_cpp(func, p, args[0])
        if p.overload in OVERWRITES:
            return self._overwrite(func, OVERWRITES[p.overload], bind(p, args, kwargs))
        if p.overload.startswith("_foreach_"):
            return each(self, func, args, kwargs)
        if p.out and isinstance(kwargs.get("out"), torch.Tensor):
            return written(self, func, p, args, kwargs)
        bound = bind(p, args, kwargs)
        if p.op is not None and "other" in bound and isinstance(bound.get("alpha"), (torch.SymInt, torch.SymFloat)):
            bound["other"] = self.dispatch(torch.ops.aten.mul.Scalar, (bound["other"], bound["alpha"]), {})
            args, kwargs = (bound["self"], bound["other"]), {}
            bound["alpha"] = 1
        if p.overload == "as_strided.default":
            return as_strided(self, func, bound)
        if draws(p.overload, bound):
            self._check_placement(p, bound)
            return record_draw(self, func, p.overload, bound, lambda: self.run(func, args, kwargs))
        self._check_supported(p, bound)
        assert p.op is not None
        self._check_placement(p, bound)
        if p.op.name == "aten::batch_norm" and bound["training"]:
            return running_statistics.batch_norm(self, bound, lambda: self.run(func, args, kwargs))
        if p.op.name == "aten::instance_norm" and bound["use_input_stats"] and bound["running_mean"] is not None:
            return running_statistics.instance_norm(self, bound, lambda: self.run(func, args, kwargs))
        self._check_eval(p.op.name, bound)
        ours = self._our_arguments(p, bound)
        if p.inplace:
            self.tracks.check_writable(self.tracks.of(args[0]), f"the in-place op {p.overload.partition('.')[0]}")
            self.check_apart(args[0], ours)
        recorded = tuple(self.argument(a) for a in ours)
        result = self.run(func, args, kwargs)
        if p.inplace:
            self._record_inplace(p, recorded, ours, args[0])
            return result
        return self.record(p.op.name, recorded, ours, result, p.aliases)

    def run(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self.silence():
            return func(*concrete(args), **{k: concrete(v) for k, v in kwargs.items()})

    # -- random numbers and training ----------------------------------------------------------
    def next_draw(self) -> tuple[Value, int]:
        """The generator, and the number of the next draw in this call."""
        if self.generator is None:  # the run is made again with the generator as state
            with self.tape.at(0):
                value = self.tape.value("random")
            self.generator = self.tracks.add(torch.zeros(2, dtype=torch.int64), value, "state")
        self.draws += 1
        return self.generator.value, self.draws - 1

    def check_random_state(self) -> None:
        """Writes down where torch's random state is not as the recorded draws left it."""
        if not torch.equal(torch.get_rng_state(), self.random_state):
            self.tape.assume(Froze.RANDOM, "torch's random numbers were seeded, or drawn in a way that is not recorded")

    def advance(self) -> None:
        """After the run: the generator counts the draws."""
        self.check_random_state()
        if self.generator is not None and self.draws:
            self.tracks.write(self.generator, self.counted(self.generator.value, self.draws))

    def counted(self, generator: Value, draws: int) -> Value:
        """The generator after so many further draws."""
        if not draws:
            return generator
        step = self.tape.constant(np.array([0, draws]), "", "draws of a call")
        return self.tape.emit("aten::add", (generator, step, 1))[0]

    def _handed_out(self, tensor: torch.Tensor) -> torch.Tensor:
        """What torch's factories return: a detached twin of what they made, since we hold on to the original."""
        track = self.tracks.of(tensor)
        twin = tensor.detach()
        self.tracks.stand_in(tensor, self.tracks.add(twin, track.value, "computed", "", track.fixed))
        return twin

    def record(self, name: str, recorded: tuple[Arg, ...], ours: list[Any], result: Any, aliases: bool) -> Any:
        """Put an op that has run on the tape, and know its results from here on. Returns them."""
        single = isinstance(result, torch.Tensor)
        tensors = [result] if single else list(result)
        check_type(name, [concrete(a) for a in ours], tensors)
        if name in PIECES:
            self._guard_pieces(name, ours)
        values = self.tape.emit(name, recorded, len(tensors))
        fixed = not any(self._varies(a) for a in ours)
        out = []
        for index, (tensor, value) in enumerate(zip(tensors, values, strict=True)):
            self.tracks.check_dtype(tensor, self.tape.where())
            if self.tracks.known(tensor) is not None:  # the op handed back its argument
                tensor = torch.ops.aten.alias.default(tensor)
            out.append(tensor)
            source: torch.Tensor | None = None
            derivation = Derivation(name, recorded, index, len(tensors))
            if name == "aten::broadcast_tensors":
                source = ours[0][index]
                tensors_given: Any = recorded[0]
                derivation = Derivation("aten::expand_as", (tensors_given[index], value))
            elif name == "aten::einsum":
                source = ours[1][0] if len(ours[1]) == 1 else None
                derivation = Derivation(name, recorded, at=1)
            elif ours and isinstance(ours[0], torch.Tensor):
                source = ours[0]
            if name == "unmoor::getitem":
                derivation = Derivation(name, recorded, indices=self._varying_indices(recorded[1], ours[1]))
            self._track_result(tensor, value, derivation, source, aliases, fixed)
        return out[0] if single else type(result)(out)

    def _varying_indices(self, items: Any, parts: Any) -> tuple[tuple[Value, torch.Tensor], ...]:
        """The tensors among the items of an index that differ from call to call, with their values."""
        pairs = zip(items, parts, strict=True)
        return tuple((v, t) for v, t in pairs if isinstance(t, torch.Tensor) and not self.tracks.of(t).fixed)

    def _track_result(
        self,
        tensor: torch.Tensor,
        value: Value,
        derivation: Derivation,
        source: torch.Tensor | None,  # the argument that it may share memory with
        aliases: bool,
        fixed: bool,
    ) -> None:
        """Know a result from here on, and what it shares memory with."""
        shared = self.tracks.sharing(tensor)
        loose = derivation.op in LOOSE or derivation.op == UNTOLD or bool(derivation.indices)
        base = self.tracks.of(source) if source is not None else None
        if shared is None and not (loose and base is not None):
            kind = "created" if source is None else "computed"
            self.tracks.add(tensor, value, kind, "", fixed)
        elif base is not None and (shared is None or base.root is shared.root):
            known = (aliases or loose or derivation.op in VIEWS) and derivation.op != UNTOLD
            self.tracks.derive(tensor, value, base, derivation if known else None, loose, fixed)
        else:
            assert shared is not None
            self.tracks.derive(tensor, value, shared, None, loose, fixed)

    def _record_inplace(self, p: Plan, recorded: tuple[Arg, ...], ours: list[Any], target: torch.Tensor) -> None:
        """An in-place op as its functional form, whose result then takes the target's shape and dtype."""
        assert p.op is not None
        value = self.tape.emit(p.op.name, recorded)[0]
        others = any(isinstance(a, torch.Tensor) and a is not target for a in ours)
        self._write(target, value, fits=not others and not p.op.name.startswith(_MAY_CHANGE_DTYPE))

    def _write(self, target: torch.Tensor, value: Value, fits: bool) -> None:
        track = self.tracks.of(target)
        old = self.tracks.read(track)
        if not fits:  # the result is cast, and broadcast, into the target
            self.dtype(target)
            value = self.tape.emit("aten::to", (value, dtype_of(target)))[0]
            value = self.tape.emit("aten::expand_as", (value, old))[0]
        self.tracks.write(track, value)

    def _overwrite(self, func: OpOverload, how: str, bound: dict[str, Any]) -> Any:
        target = bound["self"]
        track = self.tracks.of(target)
        self.tracks.check_writable(track, f"the in-place op {how}_")
        given = bound.get("src", bound.get("value", 0))
        self.check_apart(target, (given,))
        old = self.tracks.read(track)
        argument = self.argument(given)
        with self.silence():
            result = func(*concrete([v for v in bound.values()]))
        if isinstance(given, torch.Tensor):
            self._write(target, self.tracks.read(self.tracks.of(given)), fits=False)
        else:
            self.tracks.write(track, self.tape.emit("aten::full_like", (old, argument, None))[0])
        return result

    # -- arguments ----------------------------------------------------------------------------
    def argument(self, value: Any) -> Arg:
        """An argument as the graph has it."""
        if isinstance(value, torch.Tensor):
            return self.tracks.read(self.tracks.of(value))
        if isinstance(value, (torch.SymInt, torch.SymFloat)):
            number = number_of(value)
            assert isinstance(number, Number)
            return number.value
        if isinstance(value, (list, tuple)):
            return tuple(self.argument(v) for v in value)
        if isinstance(value, torch.dtype):
            dtype = BY_TORCH_NAME.get(str(value).removeprefix("torch."))
            if dtype is None:
                raise self.refusal(f"the dtype {value} is not supported", "use float32, float64, int64, int32 or bool")
            return dtype
        if value is None or isinstance(value, (bool, int, float, str, DType)):
            return value
        if isinstance(value, complex):
            return self.tape.pure("prim::complex", (value.real, value.imag), TENSOR)
        raise self.refusal(f"an argument of type {type(value).__name__} is not supported here")

    def _varies(self, value: Any) -> bool:
        """Whether an argument differs from call to call."""
        if isinstance(value, torch.Tensor):
            return not self.tracks.of(value).fixed
        if isinstance(value, (list, tuple)):
            return any(self._varies(v) for v in value)
        return isinstance(value, (torch.SymInt, torch.SymFloat))

    def _our_arguments(self, p: Plan, bound: dict[str, Any]) -> list[Any]:
        """The arguments of a torch call in the order of our schema."""
        assert p.op is not None
        defaults = dict(p.names)
        for name in p.extra:
            given = bound[name]
            if name == "other" and p.op.name == "aten::to":
                bound["dtype"] = self.dtype(given)
            elif name == "unbiased":
                bound["correction"] = int(given)
            elif isinstance(given, torch.Tensor) or given != defaults[name]:
                raise self.refusal(f"{p.overload} with {name}={given!r} is not supported")
        return [bound.get(q.name, q.default) for q in p.op.schema.params]

    def dtype(self, tensor: torch.Tensor) -> torch.dtype:
        """A tensor's dtype, guarded: the program depends on it."""
        track = self.tracks.of(tensor)
        if not track.fixed:
            self.tape.guard_dtype(self.tracks.read(track), dtype_of(tensor))
        return tensor.dtype

    # -- values and sizes ---------------------------------------------------------------------
    def size(self, tensor: torch.Tensor, axis: int, real: int) -> Any:
        """The size along an axis (not negative): symbolic unless it is the same in every call."""
        track = self.tracks.of(tensor)
        if track.fixed:
            return real
        return Int(Number(self.guards, real, "prim::size", (self.tracks.read(track), axis), data=False))

    def rank(self, tensor: torch.Tensor, real: int) -> int:
        """The number of dims, guarded."""
        track = self.tracks.of(tensor)
        if not track.fixed:
            self.tape.guard_rank(self.tracks.read(track), real)
        return real

    def item(self, tensor: torch.Tensor, real: int | float) -> Any:
        """The one element of a tensor as a number: symbolic unless it is the same in every call."""
        track = self.tracks.of(tensor)
        if track.fixed:
            self._read_fixed(track, real)
            return real
        value = self.tracks.read(track)
        if self.gradients is not None:
            value = self.gradients.apart(value)  # a number carries no gradient
        size = number_behind(self.guards, value, real) if tensor.dtype == torch.int64 else None
        number = size or Number(self.guards, real, "prim::item", (value,), data=True)
        _ = number.value  # recorded even where nothing uses it: there is one element
        return wrap(number) if size or not rests_on_sizes(self.guards, value) else number.pin()

    def _read_fixed(self, track: Track, real: int | float) -> None:
        if track.kind != "made":
            self.tape.assume(Froze.VALUE, f"read the value {real!r} from a tensor that no input changes")

    def truth(self, tensor: torch.Tensor, held: bool) -> bool:
        """bool(tensor), guarded."""
        track = self.tracks.of(tensor)
        if track.fixed:
            self._read_fixed(track, held)
            return held
        return self.guards.truth(self.tracks.read(track), held)

    def _read_from_cpp(self, func: OpOverload, p: Plan, tensor: torch.Tensor) -> Any:
        with self.silence():
            real = func(tensor)
        if isinstance(real, bool):
            return self.truth(tensor, real)
        item = self.item(tensor, real)
        return item.node.pin() if isinstance(item, (Int, Float)) else item

    def _guard_pieces(self, name: str, ours: list[Any]) -> None:
        """The number of tensors that unbind, split or chunk give is part of the program."""
        tensor, axis = ours[0], ours[-1]
        symbolic = name not in COLUMNS and name != "aten::unbind" and isinstance(number_of(ours[1]), Number)
        if self.tracks.of(tensor).fixed and not symbolic:
            return
        if name in COLUMNS:
            self.rank(tensor, tensor.dim())
            return
        along = axis if axis >= 0 else self.rank(tensor, tensor.dim()) + axis
        size = self.size(tensor, along, tensor.size(along))
        each: Any = 1
        if name != "aten::unbind":
            given = number_of(ours[1])  # of the symbol that torch hands on
            count: Any = wrap(given) if isinstance(given, Number) else ours[1]
            each = count if name == "aten::split" else (size + (count - 1)) // count
        some = size.node.hint if isinstance(size, Int) else size
        pieces = (size + (each - 1)) // each if some else size
        if isinstance(pieces, Int):
            self.guards.equal(pieces.node, pieces=True)

    def check_apart(self, target: torch.Tensor, given: Iterable[Any]) -> None:
        """Unsupported where a write reads memory that it writes at other places: eager's answer hangs on its order."""
        for source in given:
            if isinstance(source, torch.Tensor) and source is not target and crossing(target, source):
                raise self.refusal(
                    "an in-place write reads the very memory that it writes, at other places: what comes of that hangs "
                    "on the order in which PyTorch goes over the elements",
                    "read a copy (.clone())",
                )

    def wrote_already(self, track: Track, items: tuple[Arg, ...], value: Any) -> bool:
        """Whether `value` is the view x[items] of this tensor and up to date, as `x[items] += 1` assigns it back."""
        given = self.tracks.known(value) if isinstance(value, torch.Tensor) else None
        if given is None or given.base is not track or given.derivation is None or given.loose:
            return False
        if given.seen != track.version:
            return False
        return given.derivation.op == "unmoor::getitem" and given.derivation.args[1] == items

    # -- what is refused ----------------------------------------------------------------------
    def _check_supported(self, p: Plan, bound: dict[str, Any]) -> None:
        where = self.tape.where()
        if p.random and _draws(bound):
            raise refuse(
                where,
                f"{p.overload} draws random numbers, which a trace does not support yet",
                "pass the random tensor in as an argument, or trace in eval mode (`module.eval()`)",
            )
        if p.out:
            raise refuse(where, f"{p.overload} writes into an out= argument", "use the result it returns instead")
        if p.op is None:
            raise unknown_op(where, p.overload, ops.OVERLOADS)
        if p.op.name in WITH_SIGNS:
            self.vectors.append(where)

    def _check_placement(self, p: Plan, bound: dict[str, Any]) -> None:
        device = bound.get("device")
        if device is not None:
            if torch.device(device).type != "cpu":
                raise self.refusal(f"the device {device} is not supported", "trace on the CPU")
            text = "the device cpu is named; where the file runs, its host chooses the device"
            if p.op is not None and p.op.name == "aten::to":
                self.tape.assume(Froze.DEVICE, text)
        if bound.get("layout") not in (None, torch.strided):
            raise self.refusal(f"the layout {bound['layout']} is not supported", "use dense tensors")

    def _check_eval(self, name: str, bound: dict[str, Any]) -> None:
        if name == "aten::batch_norm" and bound["running_mean"] is None:
            raise self.refusal("batch norm without statistics is not supported here", "pass training=True")


_MAY_CHANGE_DTYPE = (
    "aten::eq", "aten::ne", "aten::lt", "aten::le", "aten::gt", "aten::ge", "aten::logical_",
)  # fmt: skip


def _draws(bound: dict[str, Any]) -> bool:
    """Whether an op that can draw random numbers does so: one with a dropout, only where that is at work."""
    if {"p", "train"} <= bound.keys():
        return bool(bound["p"] and bound["train"])
    if "training" in bound:
        return bool(bound["training"])
    if "dropout_p" in bound:
        return bool(bound["dropout_p"])
    return bool(bound["dropout"] and bound["train"]) if {"dropout", "train"} <= bound.keys() else True


def concrete(value: Any) -> Any:
    """An argument with the real numbers in place of symbolic ones."""
    if isinstance(value, (torch.SymInt, torch.SymFloat)):
        number = number_of(value)
        assert isinstance(number, Number)
        return number.hint
    if isinstance(value, tuple):
        return tuple(concrete(v) for v in value)
    if isinstance(value, list):
        return [concrete(v) for v in value]
    return value


class RecordingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The dispatch mode that hands every op to a recorder."""

    supports_higher_order_operators = True  # they come here, to be refused by name

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's switch for wrapping the method below so that its compiler skips it, which imports that compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        recorder = self.recorder
        if recorder.quiet:
            return func(*args, **(kwargs or {}))
        if not isinstance(func, OpOverload):
            raise higher_order(recorder.tape.where(), func.name())
        with recorder.silence():
            return recorder.dispatch(func, args, kwargs or {})
