"""The programs of one recording: compiled as calls need them, linked, and run by the native runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from unmoor import archive, codegen, runtime
from unmoor.compiler import Compiled, Entry, Linker, compile_recording
from unmoor.dtypes import BY_NUMPY, BY_TORCH_NAME
from unmoor.errors import SignatureError, UnmoorError, Unsupported
from unmoor.ir.program import Image
from unmoor.ir.recording import ExampleTensor, Recording
from unmoor.ir.signature import Mapping, Structure
from unmoor.ir.signature import Sequence as SequenceOf
from unmoor.ir.target import Target
from unmoor.jit.progress import telling
from unmoor.options import Options
from unmoor.runtime.structures import flatten

Rebuild = Callable[[Structure, tuple[Any, ...]], Any]


class Group:
    """Recordings in one image: they share weights, state, and the threads that a call may use."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.members: list[Specialisations] = []
        self._opened: runtime.Model | None = None
        self._linker = Linker()
        self._kept = archive.WeightsApart()

    def link(self, targets: Sequence[Target], strip: bool = False) -> Image:
        """Everything as the image of a file."""
        with telling(f"making machine code for {' and '.join(t.name for t in targets) or 'no processor'}"):
            return self._linker.link([m.entry for m in self.members if m.compiled], targets, strip)

    def open(self, outputs: str, rebuild: Rebuild) -> None:
        """Gives every member the method of a new model, which goes on with the state of the one before."""
        host = codegen.host_target()
        if host is None:
            raise Unsupported("this processor is older than x86-64-v3, for which Unmoor makes no code yet")
        image = self.link([host], strip=True)
        data = archive.write_apart(image, self._kept)
        weights = self._kept.section if self._kept.section.nbytes else None
        model = runtime.open(
            data,
            trust=True,
            weights=weights,
            on_miss=self._missed,
            outputs=outputs,
            rebuild=rebuild,
            threads=self.threads,
        )
        if self._opened is not None:
            model.set_state(self._opened.state())
        self._opened = model
        for member in self.members:
            if member.compiled:
                member.model = model.methods[member.method]

    def _missed(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: UnmoorError) -> Any:
        return next(m for m in self.members if m.method == name).missed(name, args, kwargs, error)


class Specialisations:
    """One recording with a program per signature. `model` runs them; it is replaced whenever a program is added."""

    model: runtime.Method

    def __init__(
        self,
        method: str,
        recording: Recording,
        assumptions: str,
        options: Options,
        outputs: str,
        rebuild: Rebuild,
        group: Group | None = None,
    ) -> None:
        self.method, self.recording, self.options = method, recording, options
        self._assumptions, self._outputs, self._rebuild = assumptions, outputs, rebuild
        self._compiled: dict[tuple[tuple[str, int], ...], list[Compiled]] = {}
        self._made: dict[tuple[ExampleTensor, ...], Compiled] = {}  # what was compiled for an example
        self._closed = False
        self.group = group or Group()
        self.group.members.append(self)

    @property
    def compiled(self) -> tuple[Compiled, ...]:
        """What is there, in the order it was compiled."""
        return tuple(c for same in self._compiled.values() for c in same)

    def compile_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Compiled:
        """The program for a call with these arguments; SignatureError where they are not like those of the trace."""
        return self.add(self._example_of(args, kwargs))

    def add(self, example: tuple[ExampleTensor, ...]) -> Compiled:
        """The program for an example, compiled unless one is there that fits."""
        if example in self._made:
            return self._made[example]
        with telling(f"compiling {self.recording.graph.name}"):
            compiled = compile_recording(self.recording, example, self.options)
        self._made[example] = self._added(compiled, example)
        return self._made[example]

    def _added(self, compiled: Compiled, example: tuple[ExampleTensor, ...]) -> Compiled:
        """The program that has its signature, which it is itself where there is none yet."""
        same = self._compiled.setdefault(tuple((e.dtype.name, len(e.shape)) for e in example), [])
        for known in same:
            if known.signature == compiled.signature:
                return known
        same.append(compiled)
        self.group.open(self._outputs, self._rebuild)
        return compiled

    @contextmanager
    def as_saved(self) -> Iterator[runtime.Method]:
        """The model as a file of it is where nothing can be compiled; its state is put back afterwards."""
        state = self.model.state()
        self._closed = True
        try:
            yield self.model
        finally:
            self._closed = False
            self.model.set_state(state)

    def missed(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: UnmoorError) -> Any:
        """A call that no signature fits: compile for it, then call. Raises `error` where that changes nothing."""
        if self._closed:
            raise error
        before = len(self.compiled)
        try:
            self.compile_for(args, kwargs)
        except SignatureError as why:
            raise SignatureError(f"{error}\nA program for it cannot be made either: {why}") from None
        if len(self.compiled) == before:
            raise error
        return self.model(*args, **kwargs)

    def link(self, targets: Sequence[Target], strip: bool = False) -> Image:
        """Everything of its group as the image of a file."""
        return self.group.link(targets, strip)

    @property
    def entry(self) -> Entry:
        """What the linker takes."""
        return Entry(self.method, self.recording, self._assumptions, self.compiled)

    def _example_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[ExampleTensor, ...]:
        recording = self.recording
        tensors = flatten(recording.arguments, args, kwargs, _positional_names(recording))
        given = tuple(_described(known.name, t) for known, t in zip(recording.example, tensors, strict=False))
        return given + recording.example[len(given) :]  # the states are what they always are


def _positional_names(recording: Recording) -> tuple[str, ...]:
    """A name for each positional argument of the trace, "" where the callable gives none."""
    assert isinstance(recording.arguments, SequenceOf)
    positional, keywords = recording.arguments.items
    assert isinstance(positional, SequenceOf) and isinstance(keywords, Mapping)
    names = recording.parameters[: len(positional.items)]
    return names + ("",) * (len(positional.items) - len(names))


def _described(name: str, tensor: Any) -> ExampleTensor:
    if not hasattr(tensor, "dtype") or not hasattr(tensor, "shape"):
        raise SignatureError(f"{name} is a {type(tensor).__name__}; the program takes a tensor there")
    dtype_name = str(tensor.dtype).removeprefix("torch.")
    of_array = isinstance(tensor, np.ndarray | np.generic)
    dtype = BY_NUMPY.get(tensor.dtype) if of_array else BY_TORCH_NAME.get(dtype_name)
    if dtype is None:
        raise Unsupported(f"{name} has dtype {dtype_name}, in which Unmoor does not compute yet")
    contiguous = bool(tensor.flags.c_contiguous if of_array else tensor.is_contiguous())
    return ExampleTensor(name, dtype, tuple(int(n) for n in tensor.shape), contiguous=contiguous)
