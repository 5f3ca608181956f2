"""Tracks: which graph value each torch tensor stands for, also after in-place writes to it or to what it shares.

A tensor that is a view knows its base and the op that made it. A write to either makes the other stale; a stale view
is recorded again from its base's new value when it is next read. Whether `reshape`, `contiguous` or `to` share
memory depends on strides and dtypes that a graph does not have, so after a write through such a tie the other side
may not be read any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from unmoor.capture.refusals import leaf_written, refuse, shared_written
from unmoor.capture.tape import Tape
from unmoor.capture.torch_private import TensorBase, address_of, set_version, storage_of, undispatched
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Source, Value
from unmoor.ir.recording import Froze
from unmoor.ir.types import INT

WRITABLE = ("computed", "created", "made")
OUTLIVES = ("input", "state", "parameter", "buffer", "outside")  # kinds whose memory the call did not make


@dataclass(frozen=True)
class Derivation:
    """How a view came from its base: the op, its arguments (the base's value first), and which of its outputs it is."""

    op: str
    args: tuple[Arg, ...]
    index: int = 0
    count: int = 1


class Track:
    """One tensor of the run: its value in the graph, and what it shares memory with.

    kind      computed, created (by an op like zeros, still in torch's hands), made (a literal of the program), input,
              state (kept from call to call), parameter, buffer or outside
    fixed     it depends on no input: its sizes and values are the same in every call
    base      the tensor it is a view of; `derivation` says how, None where that is not known
    loose     whether it shares its base's memory depends on strides or dtypes
    """

    __slots__ = (
        "_fixed",
        "base",
        "derivation",
        "kind",
        "loose",
        "origin",
        "seen",
        "spoilt",
        "tensor",
        "value",
        "version",
    )

    def __init__(self, tensor: torch.Tensor, value: Value, kind: str, origin: str, fixed: bool) -> None:
        self.tensor = tensor
        self.value = value
        self.kind = kind
        self.origin = origin
        self._fixed = fixed
        self.base: Track | None = None
        self.derivation: Derivation | None = None
        self.loose = False
        self.version = 0
        self.seen = 0
        self.spoilt: Unsupported | None = None

    @property
    def fixed(self) -> bool:
        return self._fixed and (self.base is None or self.base.fixed)

    @property
    def root(self) -> Track:
        return self if self.base is None else self.base.root


Describe = Callable[[torch.Tensor], tuple[str, str, str]]


class Tracks:
    """All tensors that the run has touched. They are kept alive, so that identities stay unique until it ends."""

    def __init__(self, tape: Tape, describe: Describe) -> None:
        self.tape = tape
        self.describe = describe
        self._by_id: dict[int, Track] = {}
        self._by_storage: dict[int, Track] = {}
        self._by_address: dict[int, Track] = {}
        self.written: dict[int, Track] = {}  # parameters, buffers and other constants that the run writes: state
        self._before: list[tuple[torch.Tensor, torch.Tensor, int]] = []  # what writes will change, as it was
        self._saved: set[int] = set()
        self.inputs: list[Track] = []  # those that stand for the graph's inputs
        self.fresh: set[int] = set()  # storages of literals that the program is just making

    def add(self, tensor: torch.Tensor, value: Value, kind: str, origin: str = "", fixed: bool = False) -> Track:
        track = Track(tensor, value, kind, origin, fixed)
        self._by_id[id(tensor)] = track
        if self._by_storage.setdefault(storage_of(tensor), track) is track:
            self._by_address.setdefault(address_of(tensor), track)
        return track

    def stand_in(self, tensor: torch.Tensor, twin: Track) -> None:
        """The program holds the twin of a tensor instead of it: what shares the memory is a view of the twin."""
        self._by_storage[storage_of(tensor)] = twin
        self._by_address[address_of(tensor)] = twin

    def states(self) -> list[Track]:
        return [t for t in self._by_id.values() if t.kind == "state"]

    def known(self, tensor: torch.Tensor) -> Track | None:
        return self._by_id.get(id(tensor))

    def sharing(self, tensor: torch.Tensor) -> Track | None:
        """The first tracked tensor in the same memory."""
        return self._by_storage.get(storage_of(tensor))

    def of(self, tensor: torch.Tensor) -> Track:
        """The track of a tensor; one that the run has not made becomes a constant."""
        return self._by_id.get(id(tensor)) or self.adopt(tensor)

    def adopt(self, tensor: torch.Tensor, made: bool = False) -> Track:
        """A constant: a parameter, a buffer, a literal of the program, or a tensor from outside."""
        where = self.tape.where()
        self.check_dtype(tensor, where)
        kind, name, origin = ("made", "", "") if made else self.describe(tensor)
        shared = self.sharing(tensor) or self._by_address.get(address_of(tensor) or -1)
        if shared is not None and (
            shared.root.version or (not name and shared.root.kind in (*WRITABLE, "input", "state"))
        ):
            raise refuse(
                where,
                "a tensor is used here that shares memory with the traced program's data, but was made in a way that "
                "the trace cannot see",
                "make it with tensor operations",
            )
        if made:
            name, origin = literal_name(where), f"literal at {where}"
        elif kind == "outside":
            self.tape.assume(Froze.OUTSIDE, f"{origin}, a tensor from outside, is kept as it was")
        with torch.no_grad():
            data = elements(tensor)
        return self.add(tensor, self.tape.constant(data, name, origin), kind, origin, fixed=True)

    def check_dtype(self, tensor: torch.Tensor, where: Source) -> None:
        """Unsupported unless the tensor is dense, on the processor, and of a dtype that is computed with."""
        name = str(tensor.dtype).removeprefix("torch.")
        dtype = BY_TORCH_NAME.get(name)
        if dtype is None:
            raise refuse(
                where,
                f"a tensor of dtype {name} is not supported",
                "convert it before the call, for instance with .float() or .long()",
            )
        if tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise refuse(
                where, f"a {tensor.layout} tensor on {tensor.device} is not supported", "use a dense tensor on the CPU"
            )

    def derive(
        self, tensor: torch.Tensor, value: Value, base: Track, derivation: Derivation | None, loose: bool, fixed: bool
    ) -> Track:
        """Add a tensor that is, or for other strides may be, a view of `base`."""
        track = self.add(tensor, value, "computed", "", fixed)
        track.base, track.derivation, track.loose, track.seen = base, derivation, loose, base.version
        return track

    def read(self, track: Track) -> Value:
        """The tensor's value now."""
        if track.spoilt is not None:
            raise track.spoilt
        base = track.base
        if base is None:
            return track.value
        value = self.read(base)
        if base.version != track.seen:
            if track.loose or track.derivation is None:
                raise self._untold(self.tape.where())
            d = track.derivation
            track.value = self.tape.emit(d.op, (value, *d.args[1:]), d.count)[d.index]
            track.seen = base.version
            track.version += 1
        return track.value

    def read_quietly(self, track: Track) -> Value | None:
        """The tensor's value now, where nothing need be recorded to read it."""
        if track.spoilt is not None:
            return None
        if track.base is None:
            return track.value
        return None if track.base.version != track.seen or self.read_quietly(track.base) is None else track.value

    def check_writable(self, track: Track, op: str) -> None:
        if track.base is not None and self._copied_by_cast(track, track.base):
            track.base = None
        root = track.root
        if root.kind not in OUTLIVES:
            return
        if self._loosely_tied(track):
            raise self._untold(self.tape.where())
        if torch.is_grad_enabled() and root.tensor.requires_grad:
            raise leaf_written(self.tape.where(), op, root.origin)
        shares = [t for t in self._by_id.values() if t is not root and t.base is None and t.kind in OUTLIVES]
        for other in shares:
            if storage_of(other.tensor) == storage_of(root.tensor):
                raise shared_written(self.tape.where(), op, root.origin, other.origin)
        self._save(root)
        if root.kind not in ("input", "state"):
            self.written[id(root.tensor)] = root

    def _save(self, root: Track) -> None:
        """Keep a tensor as it is before the first write to it."""
        if id(root.tensor) not in self._saved:
            self._saved.add(id(root.tensor))
            with torch.no_grad():
                self._before.append((root.tensor, root.tensor.detach().clone(), root.tensor._version))

    def restore(self) -> None:
        """Put back everything that the run has written and did not make."""
        with torch.no_grad():
            for tensor, before, version in reversed(self._before):
                tensor.detach().copy_(before)
                set_version(tensor, version)
        self._before.clear()

    def _copied_by_cast(self, track: Track, base: Track) -> bool:
        """Whether a tensor is a copy because a cast changed the dtype; then that dtype is guarded."""
        if track.derivation is None or track.derivation.op != "aten::to" or track.tensor.dtype == base.tensor.dtype:
            return False
        dtype = BY_TORCH_NAME[str(base.tensor.dtype).removeprefix("torch.")]
        text = f"changed a copy of a tensor of dtype {dtype.torch_name} in every example; here its dtype is another"
        self.tape.guard_dtype(self.read(base), dtype, text)
        return True

    def _loosely_tied(self, track: Track) -> bool:
        return track.base is not None and (track.loose or track.derivation is None or self._loosely_tied(track.base))

    def write(self, track: Track, value: Value) -> None:
        """The tensor has been written: it and its base have new values, its other views are stale."""
        self.tape.writes.add(len(self.tape.nodes))
        base = track.base
        if base is not None and (track.loose or track.derivation is None):
            self._spoil(base)
            track.base = None
        elif base is not None:
            self.write(base, self._written_through(base, track.derivation, value))
            track.seen = base.version
        track.value = value
        track.version += 1
        track._fixed = False  # what is written may come from an input

    def _spoil(self, track: Track) -> None:
        """Nobody can tell whether this tensor has changed: reading it from here on is refused."""
        while True:
            track.spoilt = self._untold(self.tape.where())
            if track.base is None:
                return
            track = track.base

    def _untold(self, where: Source) -> Unsupported:
        return refuse(
            where,
            "a tensor is written in place that may or may not share memory with another one that is used: it came by "
            "reshape, flatten, contiguous or to, which copy only where strides or dtype ask for it",
            "put .clone() before the in-place operation",
        )

    def _written_through(self, base: Track, derivation: Derivation | None, value: Value) -> Value:
        """The base's new value after a view of it has become `value`."""
        assert derivation is not None
        old = self.read(base)
        op, args = derivation.op, derivation.args
        if op in ("aten::detach", "aten::alias", "aten::dropout"):
            return value
        items = self._items_written(base, derivation)
        if items is not None:
            return self.tape.emit("unmoor::setitem", (old, items, value))[0]
        if op in ("aten::t", "aten::transpose", "aten::numpy_T", "aten::mT"):
            return self.tape.emit(op, (value, *args[1:]))[0]
        if op == "aten::permute":
            return self._unpermuted(value, args[1])
        if op in ("aten::view", "aten::unsqueeze", "aten::squeeze", "aten::unflatten"):
            rank = base.tensor.dim()
            self.tape.guard_rank(old, rank, f"wrote in place through a view of a tensor with {rank} dims")
            sizes = tuple(self.tape.pure("prim::size", (old, axis), INT) for axis in range(rank))
            return self.tape.emit("aten::reshape", (value, sizes))[0]
        raise refuse(
            self.tape.where(),
            f"an in-place write through {op} of another tensor is not supported",
            "write to a copy (.clone()), or build the result with torch.where or torch.cat",
        )

    def _items_written(self, base: Track, derivation: Derivation) -> tuple[Arg, ...] | None:
        """The items under which a view that is a part of its base stands there; None for other views."""
        op, args = derivation.op, derivation.args
        if op == "unmoor::getitem":
            assert isinstance(args[1], tuple)
            return args[1]
        if op not in ("aten::select", "aten::slice", "aten::narrow", "aten::unbind"):
            return None
        axis, rank = args[1], base.tensor.dim()
        if not isinstance(axis, int):
            return None
        if axis < 0:
            self.tape.guard_rank(self.read(base), rank, f"wrote in place through a view of a tensor with {rank} dims")
        before: tuple[Arg, ...] = (("slice", None, None, None),) * (axis % rank)
        match op:
            case "aten::select":
                return (*before, args[2])
            case "aten::unbind":
                return (*before, derivation.index)
            case "aten::slice":
                return (*before, ("slice", *args[2:5]))
        stop = self.tape.pure("prim::int_add", (args[2], args[3]), INT)
        return (*before, ("slice", args[2], stop, None))

    def _unpermuted(self, value: Value, dims: Arg) -> Value:
        assert isinstance(dims, tuple)
        order = [d % len(dims) for d in dims if isinstance(d, int)]
        return self.tape.emit("aten::permute", (value, tuple(int(i) for i in np.argsort(order))))[0]


def literal_name(source: Source) -> str:
    """The variable that a line like `a = torch.tensor(7)` assigns to; "" for other lines."""
    left, equals, right = source.text.partition("=")
    return left.strip() if equals and left.strip().isidentifier() and right.strip().startswith("torch.") else ""


def elements(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's elements as NumPy has them: bfloat16 as its 16-bit words."""
    plain = tensor.detach().cpu().contiguous()
    if plain.dtype is torch.bfloat16:
        with undispatched():
            return np.asarray(TensorBase.numpy(plain.view(torch.uint16)))
    return np.asarray(plain.numpy())
