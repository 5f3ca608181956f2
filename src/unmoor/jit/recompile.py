"""Files back into what the compiler takes: machine code made again, and the recording of a method."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any

from unmoor import archive, codegen
from unmoor.dtypes import BY_NUMPY
from unmoor.errors import ArchiveError, MissingDependency, NotTraced, SignatureError, UnmoorError
from unmoor.ir.parser import parse_graph
from unmoor.ir.program import Image, Method
from unmoor.ir.recording import ExampleTensor, RecordedState, Recording
from unmoor.ir.target import Target
from unmoor.jit.specialisations import Specialisations
from unmoor.options import Options
from unmoor.runtime import Model
from unmoor.runtime.structures import rebuild as as_plain_data


def compiling_target() -> Target | None:
    """The target of code made in this process; None where llvmlite is missing or the processor is too old."""
    try:
        return codegen.host_target()
    except MissingDependency:
        return None


def made_again(source: Any, target: Target) -> bytes:
    """The file with machine code of our own, from its verified kernels, instead of its own."""
    image = archive.read(source)
    return archive.write(replace(image, code=(codegen.generate(image.kernels, target),)))


class Recompiler:
    """What a loaded model does with calls that fit no signature of its file: compiles them from the recorded graph."""

    def __init__(self, source: Any, digest: str) -> None:
        self._source, self._digest = source, digest
        self._methods: dict[str, Specialisations] = {}
        self._lock = Lock()

    def missed(
        self, caller: Model, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: UnmoorError
    ) -> Any:
        """The result of a call of `caller`, whose state it takes and changes.

        Raises `error` where it cannot be compiled here or the file holds no recorded graph.
        """
        if compiling_target() is None:
            if isinstance(error, NotTraced):  # no program for such sizes could do more
                raise error
            raise SignatureError(f"{error}\nTo compile for other signatures here: pip install 'unmoor[compile]'")
        if name not in self._methods:
            self._methods[name] = self._specialisations(name, error)
        known = self._methods[name]
        if not known.recording.states:
            return known.model(*args, **kwargs) if known.compiled else known.missed(name, args, kwargs, error)
        with self._lock:
            return _with_state_of(caller, known, args, kwargs)

    def _specialisations(self, name: str, error: UnmoorError) -> Specialisations:
        if archive.digest(self._source) != self._digest:
            raise ArchiveError("the file was replaced after it was loaded; load it again") from error
        image = archive.read(self._source)
        method = next(m for m in image.methods if m.name == name)
        if not method.graph or not method.programs:
            raise error
        recording = _recording(image, method)
        return Specialisations(name, recording, method.assumptions, Options(), "inputs", as_plain_data)


def _with_state_of(caller: Model, known: Specialisations, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call by another model, which is given the caller's state and hands it back changed."""
    known.compile_for(args, kwargs)
    names = set(known.model.state())
    known.model.set_state({n: v for n, v in caller.state().items() if n in names})
    result = known.model(*args, **kwargs)
    caller.set_state(known.model.state())
    return result


def _recording(image: Image, method: Method) -> Recording:
    """The recording that a method was compiled from. Its example has the right names and dtypes only."""
    signature = method.programs[0].signature
    data = {name: archive.unpack(image.weights[k]) for name, k in method.constants}
    weights = {s.name: image.weights[s.weight] for s in image.states}
    states = tuple(RecordedState(n, archive.unpack(weights[n]), weights[n].name) for n in signature.states)
    example = tuple(ExampleTensor(i.name, i.type.dtype, ()) for i in signature.given)
    example += tuple(ExampleTensor(s.name, BY_NUMPY[s.data.dtype], s.data.shape, True) for s in states)
    graph = parse_graph(method.graph, data)
    return Recording(
        graph,
        signature.arguments,
        signature.result,
        example,
        parameters=method.parameters,
        states=states,
        changed=signature.changed,
    )
