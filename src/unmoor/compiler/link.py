"""Links compiled signatures into an image: equal kernels and weights once, machine code for every target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmoor import codegen
from unmoor.compiler.compile import Compiled
from unmoor.compiler.restored import Part, Way, restore, way_back
from unmoor.dtypes import BY_NUMPY
from unmoor.ir.dim import const
from unmoor.ir.graph import Constant, Graph, Value
from unmoor.ir.kernel import PANEL_ALIGN, PANEL_WIDTH, Kernel, Panels
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.printer import print_graph
from unmoor.ir.program import Image, Instruction, Method, Opcode, Place, Program, State, Weight
from unmoor.ir.recording import Recording
from unmoor.ir.target import Target

BLOB_ALIGNMENT = 64
Key = tuple[object, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """One method to link: its recording, what it assumed as text, and its compiled signatures."""

    name: str
    recording: Recording
    assumptions: str
    compiled: tuple[Compiled, ...]


class Linker:
    """Makes images, and keeps machine code and packed weights, so that relinking makes only what is new."""

    def __init__(self) -> None:
        self._code: dict[tuple[Target, Kernel], tuple[bytes, int]] = {}
        self._packed: dict[Key, tuple[np.ndarray, np.ndarray]] = {}  # with its source, whose memory is in the key

    def link(self, entries: Sequence[Entry], targets: Sequence[Target], strip: bool = False) -> Image:
        """The image of a file. With `strip` the recorded graphs, and the weights that only they need, are left out."""
        kernels: dict[Kernel, int] = {}
        weights = _Weights(self._packed)
        for entry in entries:
            for compiled in entry.compiled:
                for constant, packed in _constants_used(compiled):
                    weights.add(constant, packed)
        methods = []
        for entry in entries:
            programs = tuple(_relocate(c, kernels, weights) for c in entry.compiled)
            graph, constants = ("", ()) if strip else _recorded(entry.recording.graph, weights)
            methods.append(
                Method(entry.name, graph, constants, entry.recording.parameters, entry.assumptions, programs)
            )
        states: dict[str, State] = {}
        for entry in entries:
            for s in entry.recording.states:
                states.setdefault(s.name, State(s.name, weights.add(Constant(Value(s.name), s.data, s.origin), None)))
        named = tuple(replace(k, name=f"k{n}_{k.name}") for k, n in kernels.items())
        code = tuple(self._object_code(tuple(kernels), named, target) for target in targets)
        return Image(tuple(methods), named, tuple(weights.weights), code, tuple(states.values()))

    def _object_code(self, kernels: tuple[Kernel, ...], named: tuple[Kernel, ...], target: Target) -> ObjectCode:
        """One blob with all kernels; only those not seen before are compiled."""
        new = [n for n, k in enumerate(kernels) if (target, k) not in self._code]
        if new:
            made = codegen.generate([named[n] for n in new], target)
            for n in new:
                self._code[target, kernels[n]] = (made.blob, made.entries[named[n].name])
        blob = b""
        starts: dict[int, int] = {}  # the parts are kept whole: code in them refers to their own read-only data
        entries: dict[str, int] = {}
        for kernel, name in zip(kernels, named, strict=True):
            part, entry = self._code[target, kernel]
            if id(part) not in starts:
                blob += bytes(-len(blob) % BLOB_ALIGNMENT)
                starts[id(part)] = len(blob)
                blob += part
            entries[name.name] = starts[id(part)] + entry
        return ObjectCode(target, blob, entries)


def _constants_used(compiled: Compiled) -> list[tuple[Constant, Panels | None]]:
    """The constants of a program, with the packed layout of those that a kernel reads as panels."""
    emitted = compiled.emitted
    panels: dict[int, Panels] = {}
    for instruction in emitted.program.code:
        if instruction.opcode is Opcode.CALL:
            buffers = emitted.kernels[instruction.kernel].buffers
            for buffer, register in zip(buffers, instruction.tensors, strict=True):
                tensor = emitted.program.tensors[register]
                if buffer.panels is not None and tensor.place is Place.WEIGHT:
                    *batch, k, n = emitted.constants[tensor.index].data.shape
                    panels[tensor.index] = Panels(const(int(np.prod(batch, dtype=np.int64))), const(k), const(n))
    return [(c, panels.get(k)) for k, c in enumerate(emitted.constants)]


def _recorded(graph: Graph, weights: _Weights) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The text of a recorded graph, and the weight of each of its constants: those that programs read, if need be
    put back in order."""
    ways: dict[Value, Way] = {}
    plain: dict[str, int] = {}
    for constant in graph.constants:
        found = weights.of_recorded(constant)
        if isinstance(found, Way):
            ways[constant.value] = found
        else:
            plain[constant.value.name] = found
    graph, stored = restore(graph, ways, [w.shape for w in weights.weights])
    number = plain | stored
    return print_graph(graph), tuple((c.value.name, number[c.value.name]) for c in graph.constants)


class _Weights:
    """The weights of a file, each array once."""

    def __init__(self, packed: dict[Key, tuple[np.ndarray, np.ndarray]]) -> None:
        self.weights: list[Weight] = []
        self._index: dict[Key, int] = {}
        self._parts: dict[Key, list[Part]] = {}  # what shows an array rearranged, or some of it
        self._packed = packed

    def add(self, constant: Constant, panels: Panels | None) -> int:
        """The index of a constant in the layout that a kernel reads."""
        shown = constant.shows or constant
        identity = _identity(shown.data)
        key = (*identity, panels, constant.through)
        if key not in self._index:
            data = self._panels(key, shown, constant) if panels else constant.data.reshape(-1)
            transposed = panels is not None and constant.transposed
            shape = shown.data.shape if transposed else constant.data.shape
            dtype = BY_NUMPY[constant.data.dtype]
            self._index[key] = len(self.weights)
            self.weights.append(Weight(shown.value.name, dtype, shape, memoryview(data.data), panels, transposed))
            if transposed or not constant.through:
                self._index.setdefault((*identity, "logical"), self._index[key])
            else:
                self._parts.setdefault(identity, []).append((self._index[key], constant.through))
        return self._index[key]

    def of_recorded(self, constant: Constant) -> int | Way:
        """The index of a constant of a recorded graph, in any layout, since it can be unpacked; or how it comes of
        weights that programs read."""
        identity = _identity(constant.data)
        if (*identity, "logical") in self._index:
            return self._index[*identity, "logical"]
        way = way_back(constant.data.shape, self._parts.get(identity, ()))
        return self.add(constant, None) if way is None else way

    def _panels(self, key: Key, shown: Constant, constant: Constant) -> np.ndarray:
        if key not in self._packed:
            self._packed[key] = shown.data, pack(constant.data)
        return self._packed[key][1]


def _identity(data: np.ndarray) -> Key:
    """What makes two constants the same weight: the same memory, or small and equal."""
    if data.nbytes <= 4096:
        return (data.shape, data.dtype.str, data.tobytes())
    return (data.shape, data.dtype.str, data.__array_interface__["data"][0])


def pack(data: np.ndarray) -> np.ndarray:
    """A [..., k, n] array in the panel layout of `ir.kernel.Panels`, 1-D; missing columns are zero."""
    *batch, k, n = data.shape
    padded = -(-n // PANEL_ALIGN) * PANEL_ALIGN
    count = int(np.prod(batch, dtype=np.int64))
    packed = np.empty((count, k * padded), data.dtype)
    for matrix, place in zip(data.reshape(count, k, n), packed, strict=True):
        for start in range(0, padded, PANEL_WIDTH):
            width = min(PANEL_WIDTH, padded - start)
            panel = place[start * k : (start + width) * k].reshape(k, width)
            real = min(width, n - start)
            panel[:, :real] = matrix[:, start : start + real]
            panel[:, real:] = 0
    return packed.reshape(-1)


def _relocate(compiled: Compiled, kernels: dict[Kernel, int], weights: _Weights) -> Program:
    """A program with its kernel and weight numbers turned into the file's."""
    emitted = compiled.emitted
    numbers = [kernels.setdefault(k, len(kernels)) for k in emitted.kernels]
    places = [weights.add(c, p) for c, p in _constants_used(compiled)]

    def moved(instruction: Instruction) -> Instruction:
        if instruction.opcode is Opcode.CALL:
            return replace(instruction, kernel=numbers[instruction.kernel])
        return instruction

    tensors = tuple(
        replace(t, index=places[t.index]) if t.place is Place.WEIGHT else t for t in emitted.program.tensors
    )
    return replace(emitted.program, tensors=tensors, code=tuple(moved(i) for i in emitted.program.code))
