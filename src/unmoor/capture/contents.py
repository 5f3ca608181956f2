"""Python values as something to compare from run to run: everything of them but the tensors, which stand apart."""

from __future__ import annotations

import enum
import logging
import re
from collections import OrderedDict, deque
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from unmoor.capture.bytecode import live_variables
from unmoor.capture.numbers import Float, Int, Number
from unmoor.capture.script.graphs import Receiver
from unmoor.capture.source import current
from unmoor.capture.stack import NOTHING, stack
from unmoor.capture.torch_private import undispatched
from unmoor.capture.tracks import OUTLIVES, Track, Tracks
from unmoor.ir.graph import Value

DEPTH, ITEMS, FIXED = 12, 2000, 4096
LONGEST = 100  # views of views, and numbers made of numbers
PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, range, slice, type(None), type(...))
STILL = (BuiltinFunctionType, ModuleType, logging.Logger, re.Pattern, enum.Enum, type)  # compared by identity
BARE = (dict, list, tuple)  # most of what there is, and without attributes
_ITERABLES: tuple[Any, ...] = ((), [], range(1), {}, {}.values(), {}.items(), "", b"", reversed([]))
ITERATORS: tuple[type, ...] = (
    *(type(iter(x)) for x in _ITERABLES),
    zip,
    enumerate,
    map,
    filter,
)  # they tell where they stand


class Untold(Exception):
    """Something that cannot be looked into."""


class Same:
    """An object that equals itself only; it stays alive, so that nothing else takes its place."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


class Contents:
    """The forms of the values of one moment, with their tensors in order; see unmoor.ir.recording.Held."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self.values: list[Value] = []
        self.sharing: list[object] = []
        self.bases: list[Value] = []
        self._objects: dict[int, int] = {}  # containers and tensors by the order in which they were met
        self._leaves: dict[Value, int] = {}
        self._kept: list[object] = []

    def same(self, value: object) -> Same:
        return Same(value)

    def form(self, value: Any, depth: int = DEPTH) -> object:
        """The form of a value. Raises Untold."""
        kind = type(value)
        if kind is bool or kind is int or kind is str or value is None:
            return (kind.__name__, value)
        if depth == 0:
            raise Untold
        way = _way(kind)  # type: ignore[arg-type]
        if way is Same:
            return Same(value)
        if way is torch.Tensor:
            return self._tensor(value)
        if way is Number:
            return self._number(value.node)
        if way is repr:
            return (kind.__name__, repr(value))
        if way is FunctionType:
            return self._function(value, depth)
        if way is MethodType:
            return ("method", self.form(value.__func__, depth - 1), self.form(value.__self__, depth - 1))
        return self._object(value, kind, depth)

    def _object(self, value: Any, kind: type, depth: int) -> object:
        """A thing that may change: where it is met again, it is the same one."""
        if id(value) in self._objects:
            return ("again", self._objects[id(value)])
        self._objects[id(value)] = len(self._objects)
        self._kept.append(value)
        if isinstance(value, (tuple, list, deque)):
            return (kind, *self._items(value, depth), *self._attributes(value, depth))
        if isinstance(value, dict):
            return (kind, *((k, v) for k, v in self._pairs(value, depth)), *self._attributes(value, depth))
        if isinstance(value, (set, frozenset)):
            return (kind, value.__sizeof__(), *self._items(value, depth))
        if isinstance(value, ITERATORS):
            return (kind, self.form(value.__reduce__(), depth - 1))
        if isinstance(value, GeneratorType):
            return self._generator(value, depth)
        if isinstance(value, np.ndarray) and value.size <= FIXED and value.dtype != object:
            return ("array", str(value.dtype), value.shape, value.tobytes())
        if isinstance(value, np.generic):
            return ("numpy", str(value.dtype), value.tobytes())
        if kind.__module__.partition(".")[0] == "functools" or not hasattr(value, "__dict__"):
            if hasattr(value, "func") and hasattr(value, "keywords"):  # functools.partial
                parts = (value.func, value.args, value.keywords)
                return ("partial", *(self.form(v, depth - 1) for v in parts))
            raise Untold
        return (kind, *self._attributes(value, depth))

    def _items(self, value: Any, depth: int) -> list[object]:
        if len(value) > ITEMS:
            raise Untold
        return [self.form(v, depth - 1) for v in value]

    def _pairs(self, value: Any, depth: int) -> list[tuple[object, object]]:
        """The items that a dict holds itself: a class of its own may run code of its own to give others."""
        if dict.__len__(value) > ITEMS:
            raise Untold
        kind: Any = OrderedDict if isinstance(value, OrderedDict) else dict
        return [(self.form(k, depth - 1), self.form(v, depth - 1)) for k, v in kind.items(value)]

    def _attributes(self, value: Any, depth: int) -> list[object]:
        if type(value) in BARE:
            return []
        own = getattr(value, "__dict__", None)
        slots = _slots(type(value))  # type: ignore[arg-type]
        found: list[object] = [(s, self.form(getattr(value, s), depth - 1)) for s in slots if hasattr(value, s)]
        if isinstance(own, dict):
            if type(value).__module__ == "builtins":
                return found
            found += [(k, v) for k, v in self._pairs(own, depth)]
        return found

    def _function(self, value: FunctionType, depth: int) -> object:
        cells = []
        for cell in value.__closure__ or ():
            try:
                cells.append(self.form(cell.cell_contents, depth - 1))
            except ValueError:
                cells.append(None)
        given = value.__defaults__, value.__kwdefaults__
        return ("function", value.__code__, *cells, self.form(given, depth - 1))

    def _generator(self, value: GeneratorType[Any, Any, Any], depth: int) -> object:
        frame = value.gi_frame
        if frame is None:
            return ("generator", None)
        below = stack(frame)
        index = current(frame)
        if value.gi_running or below is None or index < 0 or value.gi_yieldfrom is not None:
            raise Untold
        live = live_variables(frame.f_code, index)
        variables = tuple((n, self.form(v, depth - 1)) for n, v in sorted(frame.f_locals.items()) if n in live)
        held = tuple(None if v is NOTHING else self.form(v, depth - 1) for v in below)
        return ("generator", frame.f_code, index, variables, held)

    # -- tensors and numbers ------------------------------------------------------------------
    def _tensor(self, tensor: torch.Tensor) -> object:
        track = self.tracks.known(tensor)
        if vars(tensor):
            raise Untold
        if track is None or track.kind in ("parameter", "buffer", "outside"):
            if track is not None and track.version:
                raise Untold
            return ("outer", Same(tensor if track is None else track.tensor))
        value = self.tracks.read_quietly(track)
        if value is None:
            raise Untold
        self._leaves.setdefault(value, len(self.values))
        self.values.append(value)
        number = self._objects.setdefault(id(track), len(self._objects))
        self._kept.append(track)
        self.sharing.append((number, track.kind if track.kind in OUTLIVES else "", self._base(track)))
        return ("tensor", type(tensor), tensor.dtype, tensor.dim(), self._fixed(track))

    def _base(self, track: Track, depth: int = 0) -> object:
        """What a tensor shares memory with, all the way down."""
        base, derivation = track.base, track.derivation
        if base is None:
            return None
        if depth > LONGEST:
            raise Untold
        value = self.tracks.read_quietly(base)
        if value is None:
            raise Untold
        self.bases.append(value)
        number = self._objects.setdefault(id(base), len(self._objects))
        self._kept.append(base)
        how: object = None
        if derivation is not None:
            literal = not any(isinstance(a, Value) for a in _flat(derivation.args[1:]))
            args: object = repr(derivation.args[1:]) if literal else Same(derivation)
            how = (derivation.op, args, derivation.index, derivation.count)
        return (number, how, track.loose, base.kind if base.kind in OUTLIVES else "", self._base(base, depth + 1))

    def _fixed(self, track: Track) -> object:
        """The elements of a tensor that no input changes: a program reads its sizes and values without a guard."""
        if not track.fixed:
            return None
        if track.tensor.numel() > FIXED:
            raise Untold
        with undispatched():
            plain = track.tensor.detach().contiguous().reshape(-1)
            return (tuple(track.tensor.shape), bytes(plain.view(torch.uint8).tolist()) if plain.numel() else b"")

    def _number(self, number: Number, depth: int = 0) -> object:
        """A number by how it was computed: nothing is recorded for it."""
        if depth > LONGEST:
            raise Untold
        return ("number", number.op, number.data, *(self._operand(a, depth + 1) for a in number.args))

    def _operand(self, part: object, depth: int) -> object:
        if isinstance(part, Number):
            return self._number(part, depth)
        if not isinstance(part, Value):
            return (type(part).__name__, repr(part))
        if part not in self._leaves:
            self._leaves[part] = len(self.values)
            self.values.append(part)
            self.sharing.append(None)
            return ("leaf", None)
        return ("leaf", self._leaves[part])


@lru_cache(maxsize=4096)
def _way(kind: type) -> object:
    """How the values of a type are told: `Same` by identity, `repr` by their text, else by what they are."""
    ways: tuple[tuple[object, Any], ...] = (
        (torch.Tensor, torch.Tensor),
        (Number, (Int, Float)),
        (repr, PLAIN),
        (Same, STILL),
        (FunctionType, FunctionType),
        (MethodType, MethodType),
        (Same, (torch.nn.Module, Receiver)),  # its attributes are told as what the call reaches outside
    )
    return next((way for way, types in ways if issubclass(kind, types)), object)


@lru_cache(maxsize=4096)
def _slots(kind: type) -> tuple[str, ...]:
    """The names of all slots of a type and its bases."""
    found = []
    for cls in kind.__mro__:
        slots = vars(cls).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else tuple(slots)
        found += [n for n in names if n not in ("__dict__", "__weakref__") and not n.startswith("__")]
    return tuple(found)


def _flat(arg: object) -> list[object]:
    return [x for a in arg for x in _flat(a)] if isinstance(arg, tuple) else [arg]
