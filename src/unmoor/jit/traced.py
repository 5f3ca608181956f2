"""Traced functions: recorded once, compiled for each signature on first use, called through the native runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any

from unmoor import archive, capture, codegen, runtime
from unmoor.compiler import Compiled, Entry, Linker, compile_recording, first_passes
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.printer import print_graph, print_kernel, print_program
from unmoor.ir.recording import Assumption, ExampleTensor, Recording
from unmoor.ir.target import ALL, Target
from unmoor.options import Options

METHOD = "forward"


def trace(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> TracedFunction:
    """Runs `fn(*args, **kwargs)` once, records its operations, and compiles them for inputs like these.

    `fn` is a function or a torch module, which stays as it was. Raises Unsupported with the user's line for what cannot
    be recorded. Other sizes and ranks are compiled when the result is first called with them.
    """
    return TracedFunction(capture.record(fn, args, kwargs), Options())


class TracedFunction:
    """A recorded program as a callable of torch tensors, and a window on every stage of its compilation."""

    def __init__(self, recording: Recording, options: Options) -> None:
        self._recording, self._options = recording, options
        self._compiled: dict[tuple[tuple[str, int], ...], list[Compiled]] = {}
        self._linker = Linker()
        self._kept = archive.WeightsApart()
        self._add(recording.example)

    # -- calling ------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._model(*args, **kwargs)

    def add_example(self, *args: Any, **kwargs: Any) -> None:
        """Compiles for inputs like these, so that a saved file serves them too."""
        self._compile_for(args, kwargs)

    def _missed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that no signature fits: compile for it, then call again."""
        before = len(self._all())
        self._compile_for(args, kwargs)
        if len(self._all()) == before:
            raise SignatureError(f"the call does not fit {self!r}")
        return self._model(*args, **kwargs)

    def _example_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[ExampleTensor, ...]:
        structure, tensors = capture.flatten_call(args, kwargs)
        if structure != self._recording.arguments:
            raise SignatureError(
                f"the arguments are not those of the trace, {self._recording.arguments}, but {structure}"
            )
        made = []
        for known, tensor in zip(self._recording.example, tensors, strict=True):
            name = str(tensor.dtype).removeprefix("torch.")
            dtype = BY_TORCH_NAME.get(name)
            if dtype is None or not dtype.computes:
                raise Unsupported(f"argument {known.name} has dtype {name}, in which Unmoor does not compute")
            made.append(ExampleTensor(known.name, dtype, tuple(int(n) for n in tensor.shape)))
        return tuple(made)

    def _compile_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Compiled:
        return self._add(self._example_of(args, kwargs))

    def _add(self, example: tuple[ExampleTensor, ...]) -> Compiled:
        """The program for an example, compiled unless one is there that fits."""
        compiled = compile_recording(self._recording, example, self._options)
        same = self._compiled.setdefault(tuple((e.dtype.name, len(e.shape)) for e in example), [])
        for known in same:
            if known.signature == compiled.signature:
                return known
        same.append(compiled)
        self._model = self._open()
        return compiled

    def _open(self) -> runtime.Model:
        host = codegen.host_target()
        if host is None:
            raise Unsupported("this processor is older than x86-64-v3, for which Unmoor makes no code yet")
        image = self._linker.link([self._entry()], [host])
        data = archive.write_apart(image, self._kept)
        weights = self._kept.section if image.weights else None
        return runtime.open(
            data, trust=True, weights=weights, on_miss=self._missed, outputs="torch", rebuild=capture.rebuild
        )

    def _all(self) -> tuple[Compiled, ...]:
        return tuple(c for same in self._compiled.values() for c in same)

    def _entry(self) -> Entry:
        return Entry(METHOD, self._recording, self.assumptions, self._all())

    # -- looking ------------------------------------------------------------------------------
    @property
    def recorded(self) -> str:
        """The graph as it was captured."""
        return print_graph(self._recording.graph)

    @property
    def graph(self) -> str:
        """The recorded graph after the first passes: constants folded, nothing unused."""
        return print_graph(first_passes(self._recording.graph, self._options))

    @property
    def assumptions(self) -> str:
        """What the trace froze, most important first, a line each."""
        return "\n".join(map(_assumption, self._recording.assumptions))

    def graph_for(self, *args: Any, **kwargs: Any) -> str:
        """The optimised graph for such inputs: the signature's guard, and fusion groups."""
        return print_graph(self._compile_for(args, kwargs).graph)

    def passes_for(self, *args: Any, **kwargs: Any) -> str:
        """The graph for such inputs after each pass."""
        return "\n".join(f"# {name}\n{print_graph(g)}" for name, g in self._compile_for(args, kwargs).stages)

    def kernels_for(self, *args: Any, **kwargs: Any) -> str:
        """The kernels for such inputs, as loop nests."""
        return "\n".join(map(print_kernel, self._compile_for(args, kwargs).emitted.kernels))

    def assembly_for(self, *args: Any, **kwargs: Any) -> str:
        """The assembly of those kernels for this processor."""
        target = codegen.host_target()
        assert target is not None
        return codegen.assembly(self._compile_for(args, kwargs).emitted.kernels, target)

    def bytecode_for(self, *args: Any, **kwargs: Any) -> str:
        """The program for such inputs."""
        emitted = self._compile_for(args, kwargs).emitted
        return print_program(emitted.program, emitted.kernels)

    def __repr__(self) -> str:
        return "TracedFunction " + "; ".join(str(c.signature) for c in self._all())

    # -- saving -------------------------------------------------------------------------------
    def to_bytes(self, targets: tuple[Target, ...] = ALL) -> bytes:
        """The file as bytes, with machine code for each of `targets`."""
        return archive.write(self._linker.link([self._entry()], targets))

    def _write(self, path: str | os.PathLike[str], targets: tuple[Target, ...]) -> str:
        return archive.write_file(self._linker.link([self._entry()], targets), path)


def save(traced: TracedFunction, file: str | os.PathLike[str] | IO[bytes], targets: tuple[Target, ...] = ALL) -> str:
    """Writes a traced function to a path or a binary file object, and returns the digest that `load(trust=...)` takes.

    A save to a path that fails midway leaves an old file of that name whole.
    """
    if isinstance(file, str | os.PathLike):
        return traced._write(file, targets)
    data = traced.to_bytes(targets)
    file.write(data)
    return archive.digest(data)


def _assumption(a: Assumption) -> str:
    return f"{a.source}: {a.froze.value}: {a.text}{'' if a.checked else ' (not checked at run time)'}"
