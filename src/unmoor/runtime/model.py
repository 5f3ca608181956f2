"""Models: opened files as Python callables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmoor.errors import ArchiveError, NotTraced, NotTrusted, SignatureError, UnmoorError
from unmoor.ir.program import GENERATOR
from unmoor.ir.signature import Leaf, Mapping, Sequence, Structure
from unmoor.ir.structure import parse_arguments, parse_result
from unmoor.runtime import _native
from unmoor.runtime.status import Status, error_of
from unmoor.runtime.structures import flatten
from unmoor.runtime.tensors import check_writable, readable, write_back

OnMiss = Callable[[str, tuple[Any, ...], dict[str, Any], UnmoorError], Any]
Rebuild = Callable[[Structure, tuple[Any, ...]], Any]
Described = tuple[str, str, str, int, int, bytes]
RETURNS_TUPLE, RETURNS_TENSOR, RETURNS_STRUCTURE = range(3)
OUTPUTS_AS = {"inputs": 0, "torch": 1, "numpy": 2}


@dataclass(frozen=True)
class MethodInfo:
    """A method of a file: its name, its signatures for people, and what its trace froze."""

    name: str
    signatures: tuple[str, ...]
    assumptions: str


@dataclass(frozen=True)
class ModelInfo:
    """What a file is and what runs here. `engine` says which machine code runs, or why none does."""

    digest: str
    engine: str
    methods: tuple[MethodInfo, ...]

    def __str__(self) -> str:
        lines = [f"digest  {self.digest}", f"engine  {self.engine}"]
        for method in self.methods:
            lines += [f"method  {method.name}", *(f"  {s}" for s in method.signatures)]
        return "\n".join(lines)


class Method(_native.Function):
    """An entry point as a callable: torch tensors or NumPy arrays in, the same kind out."""

    def __init__(
        self,
        model: _native.Model,
        number: int,
        info: MethodInfo,
        arguments: Structure,
        result: Structure,
        outputs: int,
        changed: bytes,
        on_miss: OnMiss | None,
        outputs_as: str,
        rebuild: Rebuild,
    ) -> None:
        self.info_of_method = info
        self.arguments, self.result = arguments, result
        self._model, self._on_miss, self._rebuild = model, on_miss, rebuild
        flat = bool(info.signatures) and _is_flat(arguments)
        returns = _returns(result, outputs)
        self._changed = changed
        self._bound = (model, number, outputs, changed)
        self._names = _parameter_names(arguments, info.signatures)
        self.bind(model, number, self._slow, self._rebuilt, flat, returns, OUTPUTS_AS[outputs_as], outputs, changed)

    @property
    def signatures(self) -> tuple[str, ...]:
        """The signatures that the file holds for this method."""
        return self.info_of_method.signatures

    # -- state --------------------------------------------------------------------------------
    def state(self) -> dict[str, np.ndarray]:
        """What the model keeps from call to call, by name: copies."""
        return dict(self._model.states())

    def set_state(self, values: dict[str, Any] | None = None, **named: Any) -> None:
        """Sets states, by name, to arrays or tensors of their dtypes and shapes; others stay as they are."""
        given = {**(values or {}), **named}
        known = self.state()
        arrays = {}
        for name, value in given.items():
            if name not in known:
                has = f"its states are {', '.join(known)}" if known else "it keeps no state"
                raise SignatureError(f"the model has no state {name}; {has}")
            own, array = known[name], np.asarray(value.detach() if hasattr(value, "detach") else value)
            if array.shape != own.shape or array.dtype != own.dtype:
                raise SignatureError(
                    f"the state {name} is {own.dtype}{list(own.shape)}; the value given is {array.dtype}"
                    f"{list(array.shape)}"
                )
            arrays[name] = np.ascontiguousarray(array).reshape(own.shape)
        for number, name in enumerate(known):
            if name in arrays:
                self._model.set_state(number, arrays[name])

    def reset_state(self) -> None:
        """Every state as it was before the first call."""
        self._model.reset_state()

    def seed(self, number: int) -> None:
        """Starts the model's random numbers anew: the same ones for the same seed, on every host."""
        if GENERATOR not in self.state():
            raise SignatureError("the model draws no random numbers: there is nothing to seed")
        self.set_state({GENERATOR: np.array([number, 0], np.int64)})

    def outputs_of(self, tensors: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """The outputs of a call as arrays, in order: the tensors of its arguments in, without their structure.

        What the call changes in place is changed in these arrays. Raises what a call raises, but compiles nothing.
        """
        flat = _native.Function()
        flat.bind(*self._bound[:2], _returned, tuple, True, RETURNS_TUPLE, OUTPUTS_AS["numpy"], *self._bound[2:])
        status, result = flat.run(*tensors)
        if status != Status.OK:
            raise error_of(status, result) if status > 0 else UnmoorError("the arrays cannot be read as they are")
        return tuple(result)

    def _rebuilt(self, outputs: tuple[Any, ...]) -> Any:
        return self._rebuild(self.result, outputs)

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any], status: int, message: str) -> Any:
        """What the fast path does not do: structures, copies, and saying what went wrong."""
        if not self.signatures:
            text = f"the method {self.info_of_method.name} holds no signature"
            return self._missed(args, kwargs, SignatureError(text))
        result: Any = message
        if status == Status.NOT_RUN:
            tensors = flatten(self.arguments, args, kwargs, self._names)
            status, result = self.run(*tensors)
            if status == Status.NOT_RUN:
                status, result = self._run_copies(tensors)
        if status == Status.OK:
            return result
        if status == Status.NOT_RUN:
            raise UnmoorError("the arguments cannot be read as tensors of this machine")
        if status == Status.WRONG_INPUT:
            return self._missed(args, kwargs, SignatureError(result))
        if status == Status.NOT_PREPARED:
            return self._missed(args, kwargs, NotTraced(result))
        if status == Status.NOT_TRUSTED:
            raise NotTrusted(
                "the file's machine code may not run, since nobody has vouched for the file. If it comes from where "
                f'you think, open it with trust="{self._model.digest}" (or trust=True); with llvmlite installed '
                "(pip install 'unmoor[compile]') unmoor.load makes the code again and needs no trust"
            )
        raise error_of(status, result)

    def _run_copies(self, tensors: list[Any]) -> tuple[int, Any]:
        """Runs on copies of what cannot be read as it is; what the call changes is then copied back."""
        names = self._leaf_names(len(tensors))
        changes = [k < len(self._changed) and bool(self._changed[k]) for k in range(len(tensors))]
        for tensor, name, changed in zip(tensors, names, changes, strict=True):
            if changed:
                check_writable(tensor, name)
        copies = [readable(t, n) for t, n in zip(tensors, names, strict=True)]
        status, result = self.run(*copies)
        for tensor, copy, changed in zip(tensors, copies, changes, strict=True):
            if changed and status == Status.OK:
                write_back(tensor, copy)
        return status, result

    def _missed(self, args: tuple[Any, ...], kwargs: dict[str, Any], error: UnmoorError) -> Any:
        if self._on_miss is not None:
            return self._on_miss(self.info_of_method.name, args, kwargs, error)
        raise error

    def _leaf_names(self, count: int) -> list[str]:
        """What people call the tensors of a call, in order."""
        found = _spec_names(self.signatures[0])
        return found if len(found) == count else [f"tensor {k}" for k in range(count)]


class Model(Method):
    """An opened file. Calling it calls its method `forward`, or its first; each method is in `methods`."""

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview,
        trust: bool | str,
        weights: Any,
        method: str | None,
        on_miss: OnMiss | None,
        outputs_as: str,
        rebuild: Rebuild,
        threads: int,
        huge: bool,
    ) -> None:
        self._handle = _open(source, trust, weights, threads, huge)
        described = self._handle.methods()
        made: dict[str, tuple[Any, ...]] = {}
        for number, (name, assumptions, signatures) in enumerate(described):
            info = MethodInfo(name, tuple(s[0] for s in signatures), assumptions)
            made[name] = (self._handle, number, info, *_structures(name, signatures), on_miss, outputs_as, rebuild)
        chosen = method or next((n for n in ("forward", "forward.eval") if n in made), next(iter(made), "forward"))
        if chosen not in made:
            raise SignatureError(f"the file has no method {chosen}; it has {', '.join(made) or 'none'}")
        super().__init__(*made[chosen])
        self.methods: dict[str, Method] = {n: Method(*parts) for n, parts in made.items()}
        self._made, self._chosen = made, chosen

    def train(self, mode: bool = True) -> Model:
        """Calls what was traced in training mode from here on: see `modes` of `unmoor.trace`."""
        return self._switch("train" if mode else "eval")

    def eval(self) -> Model:
        """Calls the methods as they were traced in eval mode from here on."""
        return self._switch("eval")

    def _switch(self, mode: str) -> Model:
        name = f"{self._chosen.partition('.')[0]}.{mode}"
        if name not in self._made:
            raise SignatureError(
                f"the file has no method {name}: trace it with modes=('eval', 'train') to have both modes"
            )
        super().__init__(*self._made[name])
        return self

    @property
    def digest(self) -> str:
        """The file's digest, "sha256:...": what `trust` takes."""
        return self._handle.digest

    @property
    def engine(self) -> str:
        """What a call runs: "native x86-64-v4", or why there is no native code."""
        return self._handle.engine

    def verify(self) -> str:
        """Runs the examples in the file, in a session of its own: "ok", with how many gave what the file expects.

        Raises VerifyError, which names the first output that differs: example, index, both values, tolerance.
        """
        try:
            count = self._handle.verify()
        except RuntimeError as error:
            if len(error.args) == 2 and isinstance(error.args[0], int):
                raise error_of(*error.args) from None
            raise
        if count == 0:
            return "ok: the file is sound; it holds no examples"
        return f"ok: {count} example{'s give' if count > 1 else ' gives'} what the file expects ({self.engine})"

    def info(self) -> ModelInfo:
        """What the file holds."""
        return ModelInfo(self.digest, self.engine, tuple(m.info_of_method for m in self.methods.values()))

    def __repr__(self) -> str:
        return f"<model {self.info()}>"

    def __getattr__(self, name: str) -> Method:
        methods: dict[str, Method] = self.__dict__.get("methods", {})
        if name in methods:
            return methods[name]
        raise AttributeError(f"the model has no method or attribute {name}; its methods are {', '.join(methods)}")


def _returned(args: tuple[Any, ...], kwargs: dict[str, Any], status: int, message: str) -> Any:
    raise AssertionError("only `run` of this function is called")


def _structures(name: str, signatures: list[Described]) -> tuple[Structure, Structure, int, bytes]:
    """The structures of arguments and result, the number of outputs, and which inputs are changed: one for all
    signatures of a method."""
    if not signatures:
        return None, None, 0, b""
    if len({s[1:] for s in signatures}) > 1:
        raise ArchiveError(f"the file is damaged: the signatures of {name} differ in their structures")
    _, arguments, result, inputs, outputs, changed = signatures[0]
    try:
        return parse_arguments(arguments, inputs), parse_result(result, outputs), outputs, changed
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"the file is damaged: {error}") from error


def _open(source: Any, trust: bool | str, weights: Any, threads: int, huge: bool) -> _native.Model:
    path = os.fspath(source) if isinstance(source, os.PathLike) else source
    digest = trust if isinstance(trust, str) else None
    if digest is not None and not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise NotTrusted(f"trust is True, False or a digest, 'sha256:' and 64 hex digits; {digest!r} is none of them")
    try:
        return _native.Model(path, weights, 2 if digest is not None else int(trust), digest, threads, huge)
    except RuntimeError as error:
        if len(error.args) == 2 and isinstance(error.args[0], int):
            raise error_of(*error.args) from None
        raise


def _is_flat(arguments: Structure) -> bool:
    """Whether a call's positional arguments are its tensors, in order, and there are no others."""
    match arguments:
        case Sequence(_, (Sequence(_, items), Mapping((), _))):
            return items == tuple(Leaf(k) for k in range(len(items)))
    return False


def _returns(result: Structure, outputs: int) -> int:
    if result == Leaf(0) and outputs == 1:
        return RETURNS_TENSOR
    if result == Sequence("tuple", tuple(Leaf(k) for k in range(outputs))):
        return RETURNS_TUPLE
    return RETURNS_STRUCTURE


def _spec_names(signature: str) -> list[str]:
    """The names of the inputs in a signature's text, `(x: f32[s0, 3], b: i64[]) -> (...)`."""
    inputs = signature[1 : signature.index(") -> (")] if ") -> (" in signature else ""
    return re.findall(r"(?:^|\], )(.*?): \w+\[", inputs)


def _parameter_names(arguments: Structure, signatures: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the positional parameters that are tensors; "" for others."""
    if not isinstance(arguments, Sequence) or not signatures:
        return ()
    positional, names = arguments.items[0], _spec_names(signatures[0])
    assert isinstance(positional, Sequence)
    return tuple(names[i.index] if isinstance(i, Leaf) and i.index < len(names) else "" for i in positional.items)
